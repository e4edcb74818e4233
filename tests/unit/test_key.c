/* Keys, prefixes and UTF-8, against a decoder that takes RFC 3629's table literally. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "protocol/key.h"
#include "protocol/limits.h"
#include "tests/support/sample_bytes.h"

static size_t encode(uint32_t point, uint8_t out[4])
{
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    size_t size = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size - 1; i > 0; i--, point >>= 6)
        out[i] = (uint8_t)(0x80 | (point & 0x3f));
    out[0] = (uint8_t)(leads[size] | point);
    return size;
}

static void test_every_code_point(void **state)
{
    (void)state;
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        uint8_t text[4];
        size_t size = encode(point, text);
        bool is_surrogate = point >= 0xd800 && point <= 0xdfff;
        assert_int_equal(utf8_valid((struct bytes){text, size}), !is_surrogate);
        assert_int_equal(key_valid((struct bytes){text, size}), !is_surrogate && point != 0);
        for (size_t cut = 1; cut < size && !is_surrogate; cut++) {
            assert_false(utf8_valid((struct bytes){text, cut}));
            assert_true(prefix_valid((struct bytes){text, cut}));
        }
    }
}

/* One character by the table: 0 none, else its size; -1 cut off but possible. */
static int literal_character(const uint8_t *p, size_t left)
{
    static const struct {
        size_t size;
        uint8_t low[4];
        uint8_t high[4];
    } rows[] = {
        {1, {0x00}, {0x7f}},
        {2, {0xc2, 0x80}, {0xdf, 0xbf}},
        {3, {0xe0, 0xa0, 0x80}, {0xe0, 0xbf, 0xbf}},
        {3, {0xe1, 0x80, 0x80}, {0xec, 0xbf, 0xbf}},
        {3, {0xed, 0x80, 0x80}, {0xed, 0x9f, 0xbf}},
        {3, {0xee, 0x80, 0x80}, {0xef, 0xbf, 0xbf}},
        {4, {0xf0, 0x90, 0x80, 0x80}, {0xf0, 0xbf, 0xbf, 0xbf}},
        {4, {0xf1, 0x80, 0x80, 0x80}, {0xf3, 0xbf, 0xbf, 0xbf}},
        {4, {0xf4, 0x80, 0x80, 0x80}, {0xf4, 0x8f, 0xbf, 0xbf}},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        size_t i = 0;
        while (i < rows[row].size && i < left && p[i] >= rows[row].low[i] &&
               p[i] <= rows[row].high[i])
            i++;
        if (i == rows[row].size)
            return (int)i;
        if (i == left)
            return -1;
    }
    return 0;
}

static bool literal_valid(const uint8_t *p, size_t size, bool may_be_cut)
{
    while (size > 0) {
        int step = literal_character(p, size);
        if (step <= 0)
            return step < 0 && may_be_cut;
        p += step;
        size -= (size_t)step;
    }
    return true;
}

static void check_against_literal(const uint8_t *text, size_t size)
{
    uint8_t *copy = copy_exactly(text, size);
    struct bytes b = {copy, size};
    bool has_nul = memchr(text, 0, size) != NULL;
    assert_int_equal(utf8_valid(b), literal_valid(text, size, false));
    assert_int_equal(key_valid(b), size > 0 && !has_nul && literal_valid(text, size, false));
    assert_int_equal(prefix_valid(b), !has_nul && literal_valid(text, size, true));
    free(copy);
}

static void test_every_pair_and_edge_bytes(void **state)
{
    (void)state;
    uint8_t text[4];
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            text[0] = (uint8_t)first;
            text[1] = (uint8_t)second;
            check_against_literal(text, 2);
        }
        check_against_literal(text, 1);
    }
    static const uint8_t edges[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                                    0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
                                    0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
    enum { N = sizeof edges };
    for (size_t i = 0; i < (size_t)N * N * N * N; i++) {
        text[0] = edges[i % N];
        text[1] = edges[i / N % N];
        text[2] = edges[i / N / N % N];
        text[3] = edges[i / N / N / N];
        check_against_literal(text, 4);
        if (i < (size_t)N * N * N)
            check_against_literal(text, 3);
    }
}

/* The fast path by eights must not skip anything. */
static void test_one_bad_byte_anywhere(void **state)
{
    (void)state;
    uint8_t text[41];
    for (size_t size = 1; size < sizeof text; size++) {
        for (size_t bad = 0; bad < size; bad++) {
            memset(text, 'x', size);
            text[bad] = 0x80;
            check_against_literal(text, size);
            text[bad] = 0;
            check_against_literal(text, size);
            text[bad] = 0xc3; /* a lead that only a last byte of a prefix may be */
            check_against_literal(text, size);
        }
    }
}

static void test_random_mixtures(void **state)
{
    (void)state;
    struct sample s = {3};
    for (int round = 0; round < 20000; round++) {
        uint8_t text[64];
        size_t size = 0;
        while (size < 40) {
            uint32_t point = (uint32_t)(sample_below(&s, 3) ? sample_below(&s, 0x80)
                                                            : sample_below(&s, 0x110000));
            size += encode(point, text + size);
        }
        if (sample_below(&s, 2))
            text[sample_below(&s, size)] = (uint8_t)sample_u64(&s);
        check_against_literal(text, size - sample_below(&s, 5));
    }
}

static void test_sizes(void **state)
{
    (void)state;
    uint8_t text[LIMIT_KEY_SIZE + 1];
    memset(text, 'k', sizeof text);
    assert_false(key_valid((struct bytes){text, 0}));
    assert_false(key_valid((struct bytes){NULL, 0}));
    assert_true(key_valid((struct bytes){text, 1}));
    assert_true(key_valid((struct bytes){text, LIMIT_KEY_SIZE}));
    assert_false(key_valid((struct bytes){text, LIMIT_KEY_SIZE + 1}));
    assert_true(prefix_valid((struct bytes){NULL, 0}));
    assert_true(prefix_valid((struct bytes){text, LIMIT_KEY_SIZE}));
    assert_false(prefix_valid((struct bytes){text, LIMIT_KEY_SIZE + 1}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_point),
        cmocka_unit_test(test_every_pair_and_edge_bytes),
        cmocka_unit_test(test_one_bad_byte_anywhere),
        cmocka_unit_test(test_random_mixtures),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
