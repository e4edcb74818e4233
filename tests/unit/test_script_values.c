/* Values: MessagePack to Lua and back without a loss, or an error that says what is lost. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "protocol/limits.h"
#include "protocol/value.h"
#include "tests/support/sample_bytes.h"
#include "tests/support/script_fixture.h"

static int set_up(void **state)
{
    struct script_fixture *f = malloc(sizeof *f);
    script_fixture_start(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    script_fixture_stop(*state);
    free(*state);
    return 0;
}

/* Through an argument, a put and a get, and the result. */
static int round_trip(struct script_fixture *f, const uint8_t *value, size_t size)
{
    uint8_t *packed = malloc(size + 1);
    packed[0] = 0x91;
    memcpy(packed + 1, value, size);
    int err = script_fixture_run(f, "put('k', args[1]) return get('k')",
                                 &(struct bytes){packed, size + 1});
    free(packed);
    return err;
}

static void check_same(struct script_fixture *f, const char *value, size_t size)
{
    uint8_t *copy = copy_exactly(value, size);
    int err = round_trip(f, copy, size);
    if (err)
        print_error("%s\n", script_error_text(f->engine, SCRIPT_TEXT_MAX));
    assert_int_equal(err, ERR_OK);
    assert_int_equal(f->result.size, size);
    assert_memory_equal(f->result.data, copy, size);
    free(copy);
}

#define SAME(text) check_same(f, text, sizeof text - 1)

static void test_each_kind_comes_back(void **state)
{
    struct script_fixture *f = *state;
    SAME("\xc0");
    SAME("\xc2");
    SAME("\xc3");
    SAME("\x00");
    SAME("\x7f");
    SAME("\xcc\x80");
    SAME("\xcd\x01\x00");
    SAME("\xce\x00\x01\x00\x00");
    SAME("\xcf\x00\x00\x00\x01\x00\x00\x00\x00");
    SAME("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff");
    SAME("\xff");
    SAME("\xe0");
    SAME("\xd0\x80");
    SAME("\xd1\x80\x00");
    SAME("\xd2\x80\x00\x00\x00");
    SAME("\xd3\x80\x00\x00\x00\x00\x00\x00\x00");
    SAME("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00");
    SAME("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"); /* 1.0 stays a float */
    SAME("\xcb\x80\x00\x00\x00\x00\x00\x00\x00"); /* -0.0 */
    SAME("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"); /* infinity */
    SAME("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"); /* NaN */
    SAME("\xa0");
    SAME("\xa2\xc3\xa9");
    SAME("\xa3x\x00y");
    SAME("\xc4\x00");
    SAME("\xc4\x03\xff\x00\xfe");
    SAME("\xc7\x00\x05");
    SAME("\xc7\x03\x05xyz");
    SAME("\xd4\xff\x01");
    SAME("\xd5\x01xy");
    SAME("\xd6\xff\x01\x02\x03\x04");
    SAME("\xd7\xff\x01\x02\x03\x04\x05\x06\x07\x08");
    SAME("\xd8\x00xxxxxxxxxxxxxxxx");
    SAME("\x90");
    SAME("\x80");
    SAME("\x93\xc0\xc0\xc0");
    SAME("\x92\x90\x80");
    SAME("\x81\x01\xa1x"); /* a map whose keys are positions stays a map */
    SAME("\x82\x01\xa1x\x02\xa1y");
    SAME(
        "\x87\xc0\x01\xc2\x02\xc3\x03\xff\x04\x07\x05\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\x06\xa1k\xc0");
}

static void test_each_size_comes_back(void **state)
{
    struct script_fixture *f = *state;
    static const struct {
        uint8_t tag;
        unsigned width;
        unsigned extra; /* bytes of a type */
        size_t item;
    } kinds[] = {{0xd9, 1, 0, 1}, {0xda, 2, 0, 1}, {0xdb, 4, 0, 1}, {0xc4, 1, 0, 1},
                 {0xc5, 2, 0, 1}, {0xc6, 4, 0, 1}, {0xc7, 1, 1, 1}, {0xc8, 2, 1, 1},
                 {0xc9, 4, 1, 1}, {0xdc, 2, 0, 1}, {0xdd, 4, 0, 1}};
    static const size_t sizes[] = {32, 255, 256, 65535, 65536, 100000};
    f->limits.memory = 64 << 20;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t n = sizes[i];
            unsigned shortest = kinds[k].tag >= 0xdc ? (n <= 65535 ? 2 : 4)
                                : n <= 255           ? 1
                                : n <= 65535         ? 2
                                                     : 4;
            if (shortest != kinds[k].width)
                continue;
            size_t head = 1 + kinds[k].width + kinds[k].extra;
            uint8_t *value = malloc(head + n);
            memset(value, 'a', head + n);
            value[0] = kinds[k].tag;
            for (unsigned b = 0; b < kinds[k].width; b++)
                value[1 + b] = (uint8_t)(n >> (8 * (kinds[k].width - 1 - b)));
            assert_true(value_valid((struct bytes){value, head + n}));
            check_same(f, (char *)value, head + n);
            free(value);
        }
    }
}

static void test_shortest_forms(void **state)
{
    struct script_fixture *f = *state;
    static const struct {
        const char *value;
        size_t size;
        const char *back;
        size_t back_size;
    } cases[] = {{"\xcc\x05", 2, "\x05", 1},
                 {"\xd3\xff\xff\xff\xff\xff\xff\xff\xff", 9, "\xff", 1},
                 {"\xca\x3f\xc0\x00\x00", 5, "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", 9},
                 {"\xd9\x01x", 3, "\xa1x", 2},
                 {"\xdc\x00\x01\x05", 4, "\x91\x05", 2},
                 {"\xde\x00\x01\x05\x06", 5, "\x81\x05\x06", 3},
                 {"\xc6\x00\x00\x00\x01x", 6, "\xc4\x01x", 3},
                 {"\x82\xa1z\x01\xa1y\x02", 7, "\x82\xa1y\x02\xa1z\x01", 7}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(round_trip(f, (const uint8_t *)cases[i].value, cases[i].size), ERR_OK);
        assert_int_equal(f->result.size, cases[i].back_size);
        assert_memory_equal(f->result.data, cases[i].back, cases[i].back_size);
    }
}

static void refused(struct script_fixture *f, const char *value, size_t size, const char *text)
{
    int err = round_trip(f, (const uint8_t *)value, size);
    assert_int_equal(err, ERR_SCRIPT);
    if (!strstr(script_error_text(f->engine, SCRIPT_TEXT_MAX), text))
        print_error("%s\n", script_error_text(f->engine, SCRIPT_TEXT_MAX));
    assert_non_null(strstr(script_error_text(f->engine, SCRIPT_TEXT_MAX), text));
}

#define REFUSED(value, text) refused(f, value, sizeof value - 1, text)

static void test_what_lua_cannot_hold(void **state)
{
    struct script_fixture *f = *state;
    REFUSED("\xcf\x80\x00\x00\x00\x00\x00\x00\x00", "9223372036854775808 is beyond");
    REFUSED("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615 is beyond");
    REFUSED("\x81\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\x01", "the float 1.0 as a key");
    REFUSED("\x81\xcb\x80\x00\x00\x00\x00\x00\x00\x00\x01", "the float 0.0 as a key");
    REFUSED("\x81\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\x01", "NaN");
    REFUSED("\x82\x01\x02\xcc\x01\x02", "the key '1' twice");
    REFUSED("\x82\xa1x\x02\xa1x\x02", "the key 'x' twice");
    REFUSED("\x81\x90\x01", "an array or a map");
    REFUSED("\x81\xc4\x01x\x01", "binary");
    REFUSED("\x81\xd4\x01x\x01", "binary");
}

static void test_what_is_no_value(void **state)
{
    struct script_fixture *f = *state;
    script_expect_failure(f, "return get", "a function, which is no value");
    script_expect_failure(f, "return string", "a library, which is no value");
    script_expect_failure(f, "put('k', {string.rep})", "the value holds a function");
    script_expect_failure(f, "return '\\xff'", "not UTF-8: bytes(s)");
    script_expect_failure(f, "return {['\\xff'] = 1}", "not UTF-8: bytes(s)");
    script_expect_failure(f, "return {[{}] = 1}", "a map with a table as a key");
    script_expect_failure(f, "return {[bytes('a')] = 1}", "a map with a userdata as a key");
    script_expect_failure(f, "return array({1, nil, 3})", "hole");
    script_expect_failure(f, "return array({1, x = 2})", "hole");
    script_expect_failure(f, "return array({[0] = 1})", "hole");
    script_expect_failure(f, "local t = {} t[1] = t return t", "nested deeper than 32");
    script_expect_failure(f, "local t = {} for i = 1, 32 do t = {t} end return t", "nested deeper");
    script_expect_failure(f, "put('k', nil)", "delete(key)");
    script_expect_failure(f, "put('k')", "delete(key)");
    f->limits.value_size = 100;
    f->limits.result_size = 50;
    script_expect_failure(f, "put('k', ('x'):rep(100))", "too large: at most 100 bytes");
    script_expect_failure(f, "return ('x'):rep(50)", "too large: at most 50 bytes");
    assert_int_equal(script_fixture_run(f, "put('k', ('x'):rep(98)) return ('x'):rep(48)", NULL),
                     ERR_OK);
}

static void test_kinds_of_tables(void **state)
{
    struct script_fixture *f = *state;
    script_expect(f, "return {}", "\x80", 1);
    script_expect(f, "return array{}", "\x90", 1);
    script_expect(f, "return map{}", "\x80", 1);
    script_expect(f, "return {1, 2}", "\x92\x01\x02", 3);
    script_expect(f, "return map{1, 2}", "\x82\x01\x01\x02\x02", 5);
    script_expect(f, "return {1, x = 2}", "\x82\x01\x01\xa1x\x02", 6);
    script_expect(f, "return {[2] = 1}", "\x81\x02\x01", 3);
    script_expect(f, "return {1, null, 3}", "\x93\x01\xc0\x03", 4);
    script_expect(f, "return {a = null}",
                  "\x81\xa1"
                  "a\xc0",
                  4);
    script_expect(f, "return {b = 1, a = 2, [3] = 4, [-1] = 5, [true] = 6, [0.5] = 7}",
                  "\x86\xc3\x06\xff\x05\x03\x04\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00\x07\xa1"
                  "a\x02\xa1"
                  "b\x01",
                  23);
    /* An array that was read stays one when it is emptied; a map, too. */
    script_expect(f, "put('a', {1}) local t = get('a') table.remove(t) return t", "\x90", 1);
    script_expect(f, "put('m', {x = 1}) local t = get('m') t.x = nil return t", "\x80", 1);
    script_expect(f, "put('m', {x = 1}) local t = get('m') t.x = nil t[1] = 1 return t",
                  "\x81\x01\x01", 3);
    /* And a literal can hold 32 levels. */
    script_expect_true(f, "local t = {} for i = 1, 31 do t = {t} end put('d', t) local n = 0 "
                          "t = get('d') while t do n = n + 1 t = t[1] end return n == 32");
}

static void test_nil_and_null(void **state)
{
    struct script_fixture *f = *state;
    script_expect(f, "return", "\xc0", 1);
    script_expect(f, "return nil", "\xc0", 1);
    script_expect(f, "return null", "\xc0", 1);
    script_expect_true(f, "return get('absent') == nil and null ~= nil and null == null");
    script_expect_true(f, "put('n', null) return get('n') == null");
    script_expect_true(f, "return tostring(null) == 'null' and type(null) == 'userdata'");
    assert_int_equal(script_fixture_run(f, "return #args == 3 and args[2] == null",
                                        &(struct bytes){(const uint8_t *)"\x93\x01\xc0\x03", 4}),
                     ERR_OK);
    assert_int_equal(f->result.data[0], 0xc3);
}

static void test_bytes(void **state)
{
    struct script_fixture *f = *state;
    script_expect(f, "return bytes('\\xff\\0')", "\xc4\x02\xff\x00", 4);
    script_expect_true(f, "return #bytes('abc') == 3 and tostring(bytes('\\xff')) == '\\xff'");
    script_expect_true(f, "return bytes('a') == bytes('a') and bytes('a') ~= bytes('b')");
    script_expect_true(f, "return bytes('a') ~= 'a' and bytes(bytes('a')) == bytes('a')");
    script_expect_true(f, "return string.format('%s', bytes('x\\xff')) == 'x\\xff'");
    script_expect_failure(f, "return bytes(1)", "string expected");
    script_expect_failure(f, "return bytes({})", "string expected");
    /* An extension is another thing than bytes, and passes through. */
    assert_int_equal(script_fixture_run(
                         f, "return #args[1] == 1 and args[1] ~= bytes('x') and args[1] == args[2]",
                         &(struct bytes){(const uint8_t *)"\x92\xd4\x05x\xd4\x05x", 7}),
                     ERR_OK);
    assert_int_equal(f->result.data[0], 0xc3);
}

/* ---- random values ---- */

static size_t random_scalar(struct sample *s, uint8_t *out)
{
    switch (sample_below(s, 7)) {
    case 0:
        out[0] = (uint8_t[]){0xc0, 0xc2, 0xc3}[sample_below(s, 3)];
        return 1;
    case 1: {
        uint64_t bits = sample_u64(s) >> (1 + sample_below(s, 63));
        bool negative = sample_below(s, 2) && bits > 0;
        return value_write_integer((struct value_integer){negative, negative ? -bits : bits}, out);
    }
    case 2:
        out[0] = 0xcb;
        sample_fill(s, out + 1, 8);
        out[1] &= 0xbf; /* no NaN, whose bits a processor may change */
        return 9;
    case 3: {
        size_t n = sample_below(s, 32);
        out[0] = (uint8_t)(0xa0 | n);
        for (size_t i = 1; i <= n; i++)
            out[i] = (uint8_t)sample_below(s, 128);
        return 1 + n;
    }
    case 4: {
        size_t n = sample_below(s, 20);
        out[0] = 0xc4;
        out[1] = (uint8_t)n;
        sample_fill(s, out + 2, n);
        return 2 + n;
    }
    case 5: {
        size_t n = (size_t)1 << sample_below(s, 5);
        out[0] = (uint8_t)(0xd4 + __builtin_ctzll(n));
        sample_fill(s, out + 1, n + 1);
        return 2 + n;
    }
    default:
        out[0] = (uint8_t)sample_below(s, 128);
        return 1;
    }
}

/* In the one form that is written: keys in order, each once. */
static size_t random_value(struct sample *s, uint8_t *out, size_t room, unsigned depth)
{
    size_t size = 1;
    size_t kind = sample_below(s, 4);
    if (room < 512 || depth == LIMIT_VALUE_DEPTH || kind > 1)
        return random_scalar(s, out);
    size_t n = sample_below(s, 8);
    out[0] = (uint8_t)((kind == 0 ? 0x90 : 0x80) | n);
    for (size_t i = 0; i < n; i++) {
        if (kind == 1) {
            out[size++] = 0xa1;
            out[size++] = (uint8_t)('a' + i);
        }
        size += random_value(s, out + size, room / n - 3, depth + 1);
    }
    return size;
}

static void test_random_values(void **state)
{
    struct script_fixture *f = *state;
    struct sample s = {99};
    uint8_t value[8192];
    for (int round = 0; round < 20000; round++) {
        size_t size = random_value(&s, value, 6000, 0);
        assert_true(value_valid((struct bytes){value, size}));
        check_same(f, (const char *)value, size);
    }
}

/* What is not one whole value is refused, and nothing is read beyond its end. */
static void test_random_bytes(void **state)
{
    struct script_fixture *f = *state;
    struct sample s = {5};
    uint8_t value[2500];
    for (int round = 0; round < 20000; round++) {
        size_t size = random_value(&s, value, 2000, 0);
        if (sample_below(&s, 2))
            size -= sample_below(&s, size);
        else
            value[sample_below(&s, size)] = (uint8_t)sample_u64(&s);
        uint8_t *copy = copy_exactly(value, size);
        int err = script_fixture_run(f, "return args", &(struct bytes){copy, size});
        assert_true(err == ERR_OK || err == ERR_SCRIPT);
        if (!err)
            assert_true(value_valid(f->result) || !value_valid((struct bytes){copy, size}));
        free(copy);
    }
}

#define VALUES_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VALUES_TEST(test_each_kind_comes_back), VALUES_TEST(test_each_size_comes_back),
        VALUES_TEST(test_shortest_forms),       VALUES_TEST(test_what_lua_cannot_hold),
        VALUES_TEST(test_what_is_no_value),     VALUES_TEST(test_kinds_of_tables),
        VALUES_TEST(test_nil_and_null),         VALUES_TEST(test_bytes),
        VALUES_TEST(test_random_values),        VALUES_TEST(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
