/*
 * test_journal_pages.c - what page_check takes for a whole page: pages made by hand, in all orders of
 * their nodes, and what single bytes do to them, against a check that counts bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/pages.h"
#include "tests/support/sample_bytes.h"

#include <string.h>

enum { SIZE = 4096, NUMBER = 2, NODES_MAX = 60, ROUNDS = 20000, AT_LOWER = 12, AT_UPPER = 14 };

/* Pages 0 to 2, of which the last is looked at. Aligned as LMDB's map. */
static _Alignas(SIZE) uint8_t file[(NUMBER + 1) * SIZE];
static uint8_t *const page_bytes = file + NUMBER * SIZE;
static const struct pages all = {.base = file, .count = NUMBER + 1, .size = SIZE};
static char why[PAGE_WHY_SIZE];

static void store_u16(uint8_t *at, size_t v)
{
    uint16_t narrow = (uint16_t)v;
    memcpy(at, &narrow, sizeof narrow);
}

static uint16_t load_u16(const uint8_t *at)
{
    uint16_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

static bool is_whole(void)
{
    struct page page;
    return page_check(&all, NUMBER, false, &page, why);
}

/* Keys 1, 2, ... of eight bytes; places: in which order their nodes are put into the page, from its end. */
static void make_page(enum page_kind kind, unsigned count, const unsigned *places,
                      size_t value_size)
{
    const uint64_t number = NUMBER;
    size_t upper = SIZE;
    memset(page_bytes, 0, SIZE);
    memcpy(page_bytes, &number, sizeof number);
    store_u16(page_bytes + 10, kind);
    for (unsigned i = 0; i < count; i++) {
        unsigned index = places[i];
        size_t value = kind == PAGE_LEAF ? value_size + index % 5 : 0;
        size_t extent = PAGE_NODE_SIZE + sizeof(uint64_t) + value;
        upper -= extent + extent % 2;
        uint8_t *n = page_bytes + upper;
        store_u16(n, kind == PAGE_LEAF ? value : 100 + index);
        store_u16(n + 6, sizeof(uint64_t));
        n[PAGE_NODE_SIZE + 6] = (uint8_t)((index + 1) / 256);
        n[PAGE_NODE_SIZE + 7] = (uint8_t)(index + 1);
        store_u16(page_bytes + PAGE_HEADER_SIZE + 2 * index, upper);
    }
    store_u16(page_bytes + AT_LOWER, PAGE_HEADER_SIZE + 2 * count);
    store_u16(page_bytes + AT_UPPER, upper);
}

static void shuffle(struct sample *r, unsigned *places, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        places[i] = i;
    for (unsigned i = count; i > 1; i--) {
        size_t j = sample_below(r, i);
        unsigned held = places[i - 1];
        places[i - 1] = places[j];
        places[j] = held;
    }
}

/* ---- the same, by counting ---- */

static bool counts_once(enum page_kind kind, unsigned count, size_t upper)
{
    uint8_t uses[SIZE] = {0};
    for (unsigned i = 0; i < count; i++) {
        size_t at = load_u16(page_bytes + PAGE_HEADER_SIZE + 2 * i);
        if (at < upper || at % 2 != 0 || at + PAGE_NODE_SIZE > SIZE)
            return false;
        const uint8_t *n = page_bytes + at;
        size_t extent = (size_t)PAGE_NODE_SIZE + load_u16(n + 6);
        if (kind == PAGE_LEAF)
            extent += (load_u16(n + 4) & NODE_BIG) ? 8 : load_u16(n) + 65536u * load_u16(n + 2);
        extent += extent % 2;
        if (at + extent > SIZE)
            return false;
        for (size_t k = at; k < at + extent; k++)
            uses[k]++;
    }
    for (size_t k = upper; k < SIZE; k++)
        if (uses[k] != 1)
            return false;
    return true;
}

static bool rises(enum page_kind kind, unsigned count)
{
    struct bytes before = {NULL, 0};
    for (unsigned i = kind == PAGE_BRANCH; i < count; i++) {
        const uint8_t *n = page_bytes + load_u16(page_bytes + PAGE_HEADER_SIZE + 2 * i);
        struct bytes key = {n + PAGE_NODE_SIZE, load_u16(n + 6)};
        if (key.size == 0 || (before.data && bytes_compare(before, key) >= 0))
            return false;
        before = key;
    }
    return true;
}

static bool should_be_whole(void)
{
    static const uint8_t number[8] = {NUMBER};
    unsigned kind = load_u16(page_bytes + 10) & 0x6f;
    size_t lower = load_u16(page_bytes + AT_LOWER);
    size_t upper = load_u16(page_bytes + AT_UPPER);
    if (memcmp(page_bytes, number, 8) != 0 || (kind != PAGE_BRANCH && kind != PAGE_LEAF) ||
        lower < PAGE_HEADER_SIZE || lower > upper || upper > SIZE || lower % 2 || upper % 2)
        return false;
    unsigned count = (unsigned)(lower - PAGE_HEADER_SIZE) / 2;
    return count >= (kind == PAGE_BRANCH ? 2 : 1) &&
           counts_once((enum page_kind)kind, count, upper) && rises((enum page_kind)kind, count);
}

/* ---- tests ---- */

static void nodes_in_any_order(void **state)
{
    (void)state;
    struct sample r = {11};
    unsigned places[NODES_MAX];
    for (unsigned count = 2; count <= NODES_MAX; count++) {
        for (unsigned i = 0; i < count; i++)
            places[i] = i;
        make_page(PAGE_BRANCH, count, places, 0);
        assert_true(is_whole());
        make_page(PAGE_LEAF, count, places, 9);
        assert_true(is_whole());
        shuffle(&r, places, count);
        make_page(PAGE_BRANCH, count, places, 0);
        assert_true(is_whole());
        make_page(PAGE_LEAF, count, places, 9);
        assert_true(is_whole());
    }
}

/* Where there are gaps, overlaps, or a node is there twice. */
static void a_hole_and_an_overlap(void **state)
{
    (void)state;
    static const unsigned falling[] = {0, 1, 2, 3};
    make_page(PAGE_BRANCH, 4, falling, 0);
    size_t upper = load_u16(page_bytes + AT_UPPER);
    store_u16(page_bytes + AT_UPPER, upper - 2);
    assert_false(is_whole());
    store_u16(page_bytes + AT_UPPER, upper + 2);
    assert_false(is_whole());

    make_page(PAGE_BRANCH, 4, falling, 0);
    store_u16(page_bytes + PAGE_HEADER_SIZE + 6, load_u16(page_bytes + PAGE_HEADER_SIZE + 4));
    assert_false(is_whole());

    make_page(PAGE_BRANCH, 4, falling, 0);
    store_u16(page_bytes + AT_LOWER, PAGE_HEADER_SIZE + 6); /* the last one is forgotten */
    assert_false(is_whole());
    assert_non_null(strstr(why, "do not fill it"));

    make_page(PAGE_BRANCH, 4, falling, 0);
    uint8_t *key = page_bytes + load_u16(page_bytes + PAGE_HEADER_SIZE + 4) + PAGE_NODE_SIZE;
    key[6] = 1; /* 256 + 3, before 4 */
    assert_false(is_whole());
    assert_non_null(strstr(why, "out of order"));
}

static void whatever_a_few_bytes_do(void **state)
{
    (void)state;
    struct sample r = {12};
    unsigned places[NODES_MAX];
    unsigned whole = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned count = 2 + (unsigned)sample_below(&r, NODES_MAX - 1);
        shuffle(&r, places, count);
        if (sample_below(&r, 2))
            for (unsigned i = 0; i < count; i++)
                places[i] = i;
        make_page(sample_below(&r, 2) ? PAGE_BRANCH : PAGE_LEAF, count, places,
                  sample_below(&r, 40));
        size_t upper = load_u16(page_bytes + AT_UPPER);
        for (size_t n = 1 + sample_below(&r, 3); n > 0; n--) {
            size_t header = PAGE_HEADER_SIZE + 2 * (size_t)count;
            size_t at = sample_below(&r, 3) ? upper + sample_below(&r, SIZE - upper)
                                            : sample_below(&r, header);
            page_bytes[at] =
                (uint8_t)(sample_below(&r, 2) ? page_bytes[at] + 2u : sample_below(&r, 256));
        }
        whole += should_be_whole();
        assert_int_equal(is_whole(), should_be_whole());
    }
    assert_true(whole > ROUNDS / 100 && whole < ROUNDS);
}

static void eight_bytes_are_ordered_like_any(void **state)
{
    (void)state;
    struct sample r = {13};
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t a[9], b[9];
        sample_fill(&r, a, sizeof a);
        memcpy(b, a, sizeof b);
        b[sample_below(&r, 8)] = (uint8_t)sample_below(&r, 256);
        struct bytes x = {a + i % 2, 8}, y = {b + i % 2, 8};
        int expected = bytes_compare(x, y);
        int order = page_key_compare(x, y, false);
        assert_true(expected < 0 ? order < 0 : expected > 0 ? order > 0 : order == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_in_any_order),
        cmocka_unit_test(a_hole_and_an_overlap),
        cmocka_unit_test(whatever_a_few_bytes_do),
        cmocka_unit_test(eight_bytes_are_ordered_like_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
