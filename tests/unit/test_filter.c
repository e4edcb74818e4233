/* Filters: canonical form, and random ones against a naive model. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "protocol/errors.h"
#include "protocol/filter.h"
#include "tests/support/sample_bytes.h"

static struct filter *new_filter(void)
{
    struct filter *f = calloc(1, sizeof *f);
    assert_non_null(f);
    return f;
}

static struct pattern exact(const char *text)
{
    return (struct pattern){PATTERN_EXACT, bytes_of(text)};
}

static struct pattern prefix(const char *text)
{
    return (struct pattern){PATTERN_PREFIX, bytes_of(text)};
}

static void check_canonical(const struct pattern *given, size_t n, const struct pattern *expected,
                            size_t expected_n)
{
    struct filter *f = new_filter();
    assert_int_equal(filter_init(f, given, n), ERR_OK);
    assert_int_equal(f->count, expected_n);
    for (size_t i = 0; i < expected_n; i++) {
        assert_int_equal(f->patterns[i].kind, expected[i].kind);
        assert_true(bytes_equal(f->patterns[i].text, expected[i].text));
        assert_true(f->patterns[i].text.data >= f->storage);
    }
    free(f);
}

#define CHECK_CANONICAL(given, expected)                               \
    check_canonical(given, sizeof(given) / sizeof(given)[0], expected, \
                    sizeof(expected) / sizeof(expected)[0])

static void test_canonical_form(void **state)
{
    (void)state;
    struct pattern sorted[] = {exact("b"), exact("a"), exact("a/b"), exact("a")};
    struct pattern sorted_expected[] = {exact("a"), exact("a/b"), exact("b")};
    CHECK_CANONICAL(sorted, sorted_expected);

    struct pattern covered[] = {exact("a/b"), prefix("a/b/"), prefix("a/"), exact("a"),
                                exact("a0")};
    struct pattern covered_expected[] = {exact("a"), prefix("a/"), exact("a0")};
    CHECK_CANONICAL(covered, covered_expected);

    struct pattern same_text[] = {exact("a"), prefix("a")};
    struct pattern same_text_expected[] = {prefix("a")};
    CHECK_CANONICAL(same_text, same_text_expected);

    struct pattern everything[] = {exact("x"), prefix("y"), prefix(""), exact("\x01")};
    struct pattern everything_expected[] = {prefix("")};
    CHECK_CANONICAL(everything, everything_expected);
}

static void test_everything(void **state)
{
    (void)state;
    struct filter *f = new_filter();
    struct pattern all = {PATTERN_PREFIX, {NULL, 0}};
    assert_int_equal(filter_init(f, &all, 1), ERR_OK);
    assert_true(filter_is_everything(f));
    assert_true(filter_match(f, bytes_of("a")));
    struct pattern some[] = {prefix("a"), prefix("b")};
    assert_int_equal(filter_init(f, some, 2), ERR_OK);
    assert_false(filter_is_everything(f));
    free(f);
}

static void test_refusals_leave_the_filter(void **state)
{
    (void)state;
    struct filter *f = new_filter();
    struct filter *before = new_filter();
    struct pattern good = exact("good");
    assert_int_equal(filter_init(f, &good, 1), ERR_OK);
    memcpy(before, f, sizeof *f);

    struct pattern many[LIMIT_FILTER_PATTERNS + 1];
    for (size_t i = 0; i <= LIMIT_FILTER_PATTERNS; i++)
        many[i] = exact("k");
    assert_int_equal(filter_init(f, many, LIMIT_FILTER_PATTERNS + 1), ERR_LIMIT);
    assert_int_equal(filter_init(f, many, 0), ERR_INVALID);

    struct pattern bad_kind[] = {exact("a"), {0, bytes_of("a")}};
    assert_int_equal(filter_init(f, bad_kind, 2), ERR_INVALID);
    bad_kind[1].kind = 3;
    assert_int_equal(filter_init(f, bad_kind, 2), ERR_INVALID);

    struct pattern bad[] = {exact("a"), exact("")};
    assert_int_equal(filter_init(f, bad, 2), ERR_BAD_KEY);
    bad[1] = exact("\xc3");
    assert_int_equal(filter_init(f, bad, 2), ERR_BAD_KEY);
    bad[1] = prefix("\xc3\x28");
    assert_int_equal(filter_init(f, bad, 2), ERR_BAD_KEY);
    char long_text[LIMIT_KEY_SIZE + 2];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    bad[1] = prefix(long_text);
    assert_int_equal(filter_init(f, bad, 2), ERR_BAD_KEY);

    assert_memory_equal(f, before, sizeof *f);
    assert_int_equal(filter_init(f, many, LIMIT_FILTER_PATTERNS), ERR_OK);
    free(f);
    free(before);
}

static void test_full_size(void **state)
{
    (void)state;
    static uint8_t texts[LIMIT_FILTER_PATTERNS][LIMIT_KEY_SIZE];
    struct pattern patterns[LIMIT_FILTER_PATTERNS];
    for (size_t i = 0; i < LIMIT_FILTER_PATTERNS; i++) {
        memset(texts[i], 'a' + (int)i, LIMIT_KEY_SIZE);
        patterns[i] = (struct pattern){PATTERN_EXACT, {texts[i], LIMIT_KEY_SIZE}};
    }
    struct filter *f = new_filter();
    assert_int_equal(filter_init(f, patterns, LIMIT_FILTER_PATTERNS), ERR_OK);
    assert_int_equal(f->count, LIMIT_FILTER_PATTERNS);
    for (size_t i = 0; i < LIMIT_FILTER_PATTERNS; i++)
        assert_true(filter_match(f, patterns[i].text));
    free(f);
}

/* ---- random filters over a small alphabet, where covering is frequent ---- */

struct random_set {
    struct pattern patterns[LIMIT_FILTER_PATTERNS];
    uint8_t texts[LIMIT_FILTER_PATTERNS][4];
    size_t count;
};

static void draw_set(struct sample *s, struct random_set *set)
{
    static const uint8_t alphabet[] = {'a', 'b', '/'};
    set->count = 1 + sample_below(s, LIMIT_FILTER_PATTERNS);
    for (size_t i = 0; i < set->count; i++) {
        uint8_t kind = sample_below(s, 3) ? PATTERN_EXACT : PATTERN_PREFIX;
        size_t size = (kind == PATTERN_EXACT || sample_below(s, 10)) ? 1 + sample_below(s, 4) : 0;
        for (size_t j = 0; j < size; j++)
            set->texts[i][j] = alphabet[sample_below(s, sizeof alphabet)];
        set->patterns[i] = (struct pattern){kind, {set->texts[i], size}};
    }
}

static bool naive_match(const struct random_set *set, struct bytes key)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct pattern *p = &set->patterns[i];
        if (p->kind == PATTERN_EXACT
                ? bytes_equal(p->text, key)
                : p->text.size <= key.size &&
                      bytes_equal(p->text, (struct bytes){key.data, p->text.size}))
            return true;
    }
    return false;
}

/* All keys of 1 to 5 letters; returns the size, 0 when i is beyond them. */
static size_t nth_key(size_t i, uint8_t out[5])
{
    size_t size = 1;
    size_t many = 3;
    while (i >= many) {
        i -= many;
        many *= 3;
        if (++size > 5)
            return 0;
    }
    for (size_t j = 0; j < size; j++, i /= 3)
        out[j] = (uint8_t) "ab/"[i % 3];
    return size;
}

static void test_matches_like_the_naive_model(void **state)
{
    (void)state;
    struct sample s = {6};
    struct filter *f = new_filter();
    for (int round = 0; round < 500; round++) {
        struct random_set set;
        draw_set(&s, &set);
        assert_int_equal(filter_init(f, set.patterns, set.count), ERR_OK);
        uint8_t key[5];
        size_t size;
        for (size_t i = 0; (size = nth_key(i, key)) > 0; i++) {
            uint8_t *copy = copy_exactly(key, size);
            struct bytes b = {copy, size};
            assert_int_equal(filter_match(f, b), naive_match(&set, b));
            free(copy);
        }
        /* Minimal: without any of its patterns it is another filter. */
        for (size_t i = 0; i < f->count; i++) {
            for (size_t j = 0; j < f->count; j++) {
                const struct pattern *a = &f->patterns[i];
                const struct pattern *b = &f->patterns[j];
                if (i == j)
                    continue;
                assert_false(bytes_equal(a->text, b->text));
                assert_false(a->kind == PATTERN_PREFIX && a->text.size <= b->text.size &&
                             bytes_equal(a->text, (struct bytes){b->text.data, a->text.size}));
            }
        }
    }
    free(f);
}

static void test_equal_sets_have_equal_bytes(void **state)
{
    (void)state;
    struct sample s = {7};
    struct filter *f = new_filter();
    struct wire_buffer first;
    struct wire_buffer second;
    wire_buffer_init(&first, 1 << 16);
    wire_buffer_init(&second, 1 << 16);
    for (int round = 0; round < 2000; round++) {
        struct random_set set;
        draw_set(&s, &set);
        assert_int_equal(filter_init(f, set.patterns, set.count), ERR_OK);
        wire_buffer_clear(&first);
        filter_write(&first, f);
        for (size_t i = set.count - 1; i > 0; i--) { /* shuffle */
            size_t j = sample_below(&s, i + 1);
            struct pattern swap = set.patterns[i];
            set.patterns[i] = set.patterns[j];
            set.patterns[j] = swap;
        }
        if (set.count < LIMIT_FILTER_PATTERNS) /* and one of them twice */
            set.patterns[set.count++] = set.patterns[0];
        assert_int_equal(filter_init(f, set.patterns, set.count), ERR_OK);
        wire_buffer_clear(&second);
        filter_write(&second, f);
        assert_int_equal(first.size, second.size);
        assert_memory_equal(first.data, second.data, first.size);
    }
    wire_buffer_free(&first);
    wire_buffer_free(&second);
    free(f);
}

static void test_wire_form_at_every_cut(void **state)
{
    (void)state;
    struct pattern patterns[] = {prefix("zoo/"), exact("a"), exact("caf\xc3\xa9")};
    struct filter *f = new_filter();
    struct filter *back = new_filter();
    assert_int_equal(filter_init(f, patterns, 3), ERR_OK);
    struct wire_buffer b;
    wire_buffer_init(&b, 1 << 16);
    filter_write(&b, f);
    for (size_t cut = 0; cut < b.size; cut++) {
        uint8_t *copy = copy_exactly(b.data, cut);
        struct wire_reader r = wire_reader_of(copy, cut);
        assert_int_equal(filter_read(&r, back), ERR_MALFORMED);
        free(copy);
    }
    struct wire_reader r = wire_reader_of(b.data, b.size);
    assert_int_equal(filter_read(&r, back), ERR_OK);
    assert_true(wire_read_complete(&r));
    assert_int_equal(back->count, 3);
    assert_true(filter_match(back, bytes_of("zoo/lion")));
    assert_true(filter_match(back, bytes_of("caf\xc3\xa9")));
    assert_false(filter_match(back, bytes_of("zoo")));

    wire_store_u16(b.data, LIMIT_FILTER_PATTERNS + 1);
    r = wire_reader_of(b.data, b.size);
    assert_int_equal(filter_read(&r, back), ERR_LIMIT);
    wire_store_u16(b.data, 0);
    r = wire_reader_of(b.data, b.size);
    assert_int_equal(filter_read(&r, back), ERR_INVALID);
    wire_buffer_free(&b);
    free(f);
    free(back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical_form),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_refusals_leave_the_filter),
        cmocka_unit_test(test_full_size),
        cmocka_unit_test(test_matches_like_the_naive_model),
        cmocka_unit_test(test_equal_sets_have_equal_bytes),
        cmocka_unit_test(test_wire_form_at_every_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
