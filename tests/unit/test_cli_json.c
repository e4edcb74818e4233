/* JSON text and MessagePack: pairs both ways, what is refused, and random values there and back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <vigil.h>

#include "client/cli/base64.h"
#include "client/cli/json_check.h"
#include "client/cli/json_read.h"
#include "client/cli/json_write.h"
#include "protocol/limits.h"
#include "protocol/value.h"
#include "tests/support/sample_bytes.h"

enum { BUFFER_MAX = 16 << 20 };

static struct json_reader *reader;

static int set_up(void **state)
{
    (void)state;
    return json_reader_new(&reader);
}

static int tear_down(void **state)
{
    (void)state;
    json_reader_free(reader);
    return 0;
}

/* The text's value in out, which is cleared first. */
static int read_text(struct bytes text, struct wire_buffer *out, struct failure *failure)
{
    uint8_t *copy = calloc(1, text.size + 1);
    memcpy(copy, text.data, text.size);
    wire_buffer_clear(out);
    int err = json_read_value(reader, (struct bytes){copy, text.size}, out, failure);
    free(copy);
    return err;
}

static void check_read(const char *text, const char *bytes, size_t size)
{
    struct wire_buffer out;
    struct failure failure = {.text = ""};

    wire_buffer_init(&out, BUFFER_MAX);
    if (read_text(bytes_of(text), &out, &failure) != ERR_OK)
        fail_msg("%s: %s", text, failure.text);
    if (out.size != size || memcmp(out.data, bytes, size) != 0)
        fail_msg("%s: gives other bytes, the first is %02x", text, out.data[0]);
    assert_true(value_valid((struct bytes){out.data, out.size}));
    wire_buffer_free(&out);
}

static void check_write(const char *text, const char *bytes, size_t size)
{
    struct wire_buffer out;
    uint8_t *copy = copy_exactly(bytes, size);

    wire_buffer_init(&out, BUFFER_MAX);
    assert_true(json_write_value(&out, (struct bytes){copy, size}));
    wire_write_u8(&out, 0);
    assert_string_equal((const char *)out.data, text);
    free(copy);
    wire_buffer_free(&out);
}

#define BYTES(literal) (literal), sizeof(literal) - 1
#define BOTH(text, literal)                \
    do {                                   \
        check_read(text, BYTES(literal));  \
        check_write(text, BYTES(literal)); \
    } while (0)

static void test_scalars(void **state)
{
    (void)state;
    BOTH("null", "\xc0");
    BOTH("false", "\xc2");
    BOTH("true", "\xc3");
    BOTH("0", "\x00");
    BOTH("127", "\x7f");
    BOTH("128", "\xcc\x80");
    BOTH("65536", "\xce\x00\x01\x00\x00");
    BOTH("-1", "\xff");
    BOTH("-33", "\xd0\xdf");
    BOTH("-32769", "\xd2\xff\xff\x7f\xff");
    BOTH("\"\"", "\xa0");
    BOTH("\"a\\\"b\\\\c\\n\\u0000\\u001f\\u007f\"", "\xa9"
                                                    "a\"b\\c\n\0\x1f\x7f");
    BOTH("\"\xc3\xa4\xf0\x9f\x98\x80\"", "\xa6\xc3\xa4\xf0\x9f\x98\x80");
    check_read(" \t\r\n 1 \n", BYTES("\x01"));
    check_read("\"\\u00e4\\ud83d\\ude00\\/\\b\\f\\r\\t\"",
               BYTES("\xab\xc3\xa4\xf0\x9f\x98\x80/\b\f\r\t"));
}

static void test_integers_keep_their_digits(void **state)
{
    (void)state;
    BOTH("9007199254740993", "\xcf\x00\x20\x00\x00\x00\x00\x00\x01");
    BOTH("9223372036854775807", "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff");
    BOTH("9223372036854775808", "\xcf\x80\x00\x00\x00\x00\x00\x00\x00");
    BOTH("18446744073709551615", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
    BOTH("-9223372036854775808", "\xd3\x80\x00\x00\x00\x00\x00\x00\x00");
    /* Forms that are longer than they need to be mean the same. */
    check_write("1", BYTES("\xcf\x00\x00\x00\x00\x00\x00\x00\x01"));
    check_write("5", BYTES("\xd3\x00\x00\x00\x00\x00\x00\x00\x05"));
    check_write("-2", BYTES("\xd1\xff\xfe"));
}

static void test_floats(void **state)
{
    (void)state;
    BOTH("1.0", "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00");
    BOTH("-0.0", "\xcb\x80\x00\x00\x00\x00\x00\x00\x00");
    BOTH("0.1", "\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a");
    BOTH("1e+300", "\xcb\x7e\x37\xe4\x3c\x88\x00\x75\x9c");
    BOTH("5e-324", "\xcb\x00\x00\x00\x00\x00\x00\x00\x01");
    check_read("1E2", BYTES("\xcb\x40\x59\x00\x00\x00\x00\x00\x00"));
    check_read("18446744073709551616.0", BYTES("\xcb\x43\xf0\x00\x00\x00\x00\x00\x00"));
    check_write("0.5", BYTES("\xca\x3f\x00\x00\x00"));
    BOTH("{\"$float\":\"inf\"}", "\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00");
    BOTH("{\"$float\":\"-inf\"}", "\xcb\xff\xf0\x00\x00\x00\x00\x00\x00");
    BOTH("{\"$float\":\"nan\"}", "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00");
    check_write("{\"$float\":\"inf\"}", BYTES("\xca\x7f\x80\x00\x00"));
}

static void test_containers(void **state)
{
    (void)state;
    BOTH("[]", "\x90");
    BOTH("{}", "\x80");
    BOTH("[1,[\"x\",null],{}]", "\x93\x01\x92\xa1x\xc0\x80");
    BOTH("{\"a\":1,\"b\":{\"c\":[]}}", "\x82\xa1"
                                       "a\x01\xa1"
                                       "b\x81\xa1"
                                       "c\x90");
    check_read("{\"a\":1,\"b\":2,\"a\":3}", BYTES("\x82\xa1"
                                                  "a\x03\xa1"
                                                  "b\x02"));
    check_write("[7]", BYTES("\xdc\x00\x01\x07"));
    check_write("{\"k\":7}", BYTES("\xdf\x00\x00\x00\x01\xa1k\x07"));
}

static void test_tags(void **state)
{
    (void)state;
    BOTH("{\"$bin\":\"\"}", "\xc4\x00");
    BOTH("{\"$bin\":\"AP8=\"}", "\xc4\x02\x00\xff");
    BOTH("{\"$ext\":[5,\"AQ==\"]}", "\xd4\x05\x01");
    BOTH("{\"$ext\":[-1,\"AQIDBA==\"]}", "\xd6\xff\x01\x02\x03\x04");
    BOTH("{\"$ext\":[-128,\"AQID\"]}", "\xc7\x03\x80\x01\x02\x03");
    BOTH("{\"$ext\":[127,\"\"]}", "\xc7\x00\x7f");
    BOTH("{\"$map\":[[1,2],[null,\"x\"]]}", "\x82\x01\x02\xc0\xa1x");
    BOTH("{\"$map\":[[{\"$map\":[[1,2]]},[]]]}", "\x81\x81\x01\x02\x90");
    /* A map that would be taken for a tag, and names that json-c would cut. */
    BOTH("{\"$map\":[[\"$bin\",\"AP8=\"]]}", "\x81\xa4$bin\xa4"
                                             "AP8=");
    BOTH("{\"$map\":[[\"$map\",[]]]}", "\x81\xa4$map\x90");
    BOTH("{\"$map\":[[\"a\\u0000b\",1]]}", "\x81\xa3"
                                           "a\0b\x01");
    BOTH("{\"$bin\":1,\"x\":2}", "\x82\xa4$bin\x01\xa1x\x02");
    BOTH("{\"$other\":1}", "\x81\xa6$other\x01");
}

static void check_refused(const char *text, const char *reason)
{
    struct wire_buffer out;
    struct failure failure = {.text = ""};

    wire_buffer_init(&out, BUFFER_MAX);
    if (read_text(bytes_of(text), &out, &failure) == ERR_OK)
        fail_msg("%s is taken", text);
    if (strstr(failure.text, reason) == NULL)
        fail_msg("%s: \"%s\" lacks \"%s\"", text, failure.text, reason);
    wire_buffer_free(&out);
}

static void test_no_json(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "nul",
        "TRUE",
        "truex",
        "1 2",
        "[1 2]",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "/*c*/1",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "--1",
        "1e1.5",
        "NaN",
        "nan",
        "-Infinity",
        "Infinity",
        "\"a\nb\"",
        "\"\x01\"",
        "{\"a\" 1}",
        "]",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "\xef\xbb\xbf 1",
        "\"\\ud800\"",
        "\"\\ude00\"",
        "\"\\ud800\\u0041\"",
        "\v1",
        "{\"a\":}",
        "{\"a\\u0000\":1}",
        "-a",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        check_refused(texts[i], "no valid JSON");
    check_refused("[1,\n  x]", "at byte 7");
    check_refused("\"\\ud800\"", "surrogate");
    check_refused("hello", "double quotes");
}

static void test_numbers_that_do_not_fit(void **state)
{
    (void)state;
    check_refused("18446744073709551616", "beyond 64 bits");
    check_refused("-9223372036854775809", "beyond 64 bits");
    check_refused("[1,100000000000000000000]", "beyond 64 bits");
    check_refused("1e400", "64-bit float");
}

static void test_bad_tags(void **state)
{
    static const char *const texts[] = {
        "{\"$bin\":1}",          "{\"$bin\":\"a\"}",     "{\"$bin\":\"ab=c\"}",
        "{\"$bin\":\"AB==\"}",   "{\"$bin\":\"A*==\"}",  "{\"$ext\":[1]}",
        "{\"$ext\":[200,\"\"]}", "{\"$ext\":\"\"}",      "{\"$ext\":[\"1\",\"\"]}",
        "{\"$map\":[1]}",        "{\"$map\":[[1,2,3]]}", "{\"$map\":{}}",
        "{\"$float\":\"NaN\"}",  "{\"$float\":1}",       "{\"$bin\":\"AAB=\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        check_refused(texts[i], "{\"$");
}

/* count opening brackets, a 1, and as many closing ones. */
static struct bytes nested(char *text, size_t count, const char *open, const char *close)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++, size += strlen(open))
        memcpy(text + size, open, strlen(open) + 1);
    text[size++] = '1';
    for (size_t i = 0; i < count; i++, size += strlen(close))
        memcpy(text + size, close, strlen(close) + 1);
    return (struct bytes){(const uint8_t *)text, size};
}

static void test_depth(void **state)
{
    static const char *const brackets[][2] = {
        {"[", "]"}, {"{\"a\":", "}"}, {"{\"$map\":[[1,", "]]}"}};
    struct wire_buffer value;
    struct wire_buffer text_again;
    struct failure failure;
    char text[4096];

    (void)state;
    wire_buffer_init(&value, BUFFER_MAX);
    wire_buffer_init(&text_again, BUFFER_MAX);
    for (size_t i = 0; i < 3; i++) {
        struct bytes fits = nested(text, LIMIT_VALUE_DEPTH, brackets[i][0], brackets[i][1]);
        assert_int_equal(read_text(fits, &value, &failure), ERR_OK);
        assert_true(value_valid((struct bytes){value.data, value.size}));
        wire_buffer_clear(&text_again);
        assert_true(json_write_value(&text_again, (struct bytes){value.data, value.size}));
        assert_memory_equal(text_again.data, fits.data, fits.size);
        for (size_t more = 1; more < 100; more += 49) {
            struct bytes deeper =
                nested(text, LIMIT_VALUE_DEPTH + more, brackets[i][0], brackets[i][1]);
            assert_int_equal(read_text(deeper, &value, &failure), ERR_BAD_VALUE);
            assert_non_null(strstr(failure.text, "32 levels"));
        }
    }
    /* A scalar in a tag is no level of its own. */
    struct bytes with_binary = nested(text, LIMIT_VALUE_DEPTH, "[", "]");
    char tagged[4096];
    snprintf(tagged, sizeof(tagged), "%.*s{\"$bin\":\"\"}%s", LIMIT_VALUE_DEPTH, text,
             (const char *)with_binary.data + LIMIT_VALUE_DEPTH + 1);
    assert_int_equal(read_text(bytes_of(tagged), &value, &failure), ERR_OK);
    wire_buffer_free(&value);
    wire_buffer_free(&text_again);
}

static void write_packed(struct wire_buffer *out, const uint8_t *packed, size_t size)
{
    wire_write_raw(out, packed, size);
}

static void write_random_text(struct sample *s, struct wire_buffer *out, const char *prefix)
{
    static const char *const pieces[] = {
        "a", "\"", "\\", "\n", "\x7f", "/", "$b", " ", "\xc3\xa4", "\xf0\x9f\x98\x80", "\x01"};
    char text[128];
    size_t size = (size_t)snprintf(text, sizeof(text), "%s", prefix);
    uint8_t packed[160];

    for (size_t left = sample_below(s, 12); left > 0; left--) {
        const char *piece = pieces[sample_below(s, sizeof(pieces) / sizeof(pieces[0]))];
        memcpy(text + size, piece, strlen(piece));
        size += strlen(piece);
    }
    write_packed(out, packed, vigil_pack_string(packed, sizeof(packed), text, size));
}

static void write_random_double(struct sample *s, struct wire_buffer *out)
{
    uint8_t packed[9];
    uint64_t bits = sample_u64(s);
    double number;

    memcpy(&number, &bits, sizeof(number));
    if (number != number) /* a NaN has many forms, JSON one */
        number = 0.5;
    write_packed(out, packed, vigil_pack_double(packed, sizeof(packed), number));
}

/* A value in the shortest form, its map keys distinct: the form that comes back. */
static void write_random_value(struct sample *s, struct wire_buffer *out, int depth)
{
    static const char *const tags[] = {"$bin", "$ext", "$map", "$float", "$"};
    uint8_t packed[64];
    uint8_t raw[40];
    size_t count = sample_below(s, 5);

    switch (sample_below(s, depth > 0 ? 10 : 7)) {
    case 0:
        write_packed(out, packed, vigil_pack_nil(packed, sizeof(packed)));
        break;
    case 1:
        write_packed(out, packed, vigil_pack_bool(packed, sizeof(packed), count & 1));
        break;
    case 2:
        write_packed(out, packed,
                     vigil_pack_uint(packed, sizeof(packed), sample_u64(s) >> sample_below(s, 64)));
        break;
    case 3:
        write_packed(out, packed,
                     vigil_pack_int(packed, sizeof(packed),
                                    -1 - (int64_t)(sample_u64(s) >> (1 + sample_below(s, 63)))));
        break;
    case 4:
        write_random_double(s, out);
        break;
    case 5:
        write_random_text(s, out, "");
        break;
    case 6:
        count = sample_below(s, sizeof(raw));
        sample_fill(s, raw, sizeof(raw));
        write_packed(out, packed, vigil_pack_binary(packed, sizeof(packed), raw, count));
        break;
    case 7:
        write_packed(out, packed, vigil_pack_array(packed, sizeof(packed), (uint32_t)count));
        for (size_t i = 0; i < count; i++)
            write_random_value(s, out, depth - 1);
        break;
    case 8:
        write_packed(out, packed, vigil_pack_map(packed, sizeof(packed), (uint32_t)count));
        for (size_t i = 0; i < count; i++) {
            char prefix[8];
            snprintf(prefix, sizeof(prefix), "%zu", i);
            write_random_text(s, out, prefix);
            write_random_value(s, out, depth - 1);
        }
        break;
    default:
        write_packed(out, packed, vigil_pack_map(packed, sizeof(packed), 1));
        if (count == 0)
            write_random_text(s, out, tags[sample_below(s, 5)]);
        else
            write_random_value(s, out, depth - 1);
        write_random_value(s, out, depth - 1);
    }
}

static void test_random_values_come_back(void **state)
{
    struct sample s = {20260131};
    struct wire_buffer value;
    struct wire_buffer again;
    struct wire_buffer text;
    struct failure failure = {.text = ""};

    (void)state;
    wire_buffer_init(&value, BUFFER_MAX);
    wire_buffer_init(&again, BUFFER_MAX);
    wire_buffer_init(&text, BUFFER_MAX);
    for (int round = 0; round < 20000; round++) {
        wire_buffer_clear(&value);
        wire_buffer_clear(&text);
        write_random_value(&s, &value, 4);
        assert_true(value_valid((struct bytes){value.data, value.size}));
        assert_true(json_write_value(&text, (struct bytes){value.data, value.size}));
        if (read_text((struct bytes){text.data, text.size}, &again, &failure) != ERR_OK)
            fail_msg("%.*s: %s", (int)text.size, (const char *)text.data, failure.text);
        if (again.size != value.size || memcmp(again.data, value.data, value.size) != 0)
            fail_msg("%.*s does not come back the same", (int)text.size, (const char *)text.data);
    }
    wire_buffer_free(&value);
    wire_buffer_free(&again);
    wire_buffer_free(&text);
}

/* Whatever a valid value is made of, its text can be read; nothing is read beyond a broken one. */
static void test_random_bytes(void **state)
{
    struct sample s = {7};
    struct wire_buffer text;
    struct wire_buffer again;
    struct failure failure = {.text = ""};
    int valid_count = 0;

    (void)state;
    wire_buffer_init(&text, BUFFER_MAX);
    wire_buffer_init(&again, BUFFER_MAX);
    for (int round = 0; round < 200000; round++) {
        uint8_t raw[24];
        size_t size = sample_below(&s, sizeof(raw));
        sample_fill(&s, raw, size);
        if (round & 1)
            for (size_t i = 0; i < size; i++)
                raw[i] = (uint8_t)(raw[i] & 1 ? 0x80 | (raw[i] & 0x23) : raw[i] >> 4);
        uint8_t *copy = copy_exactly(raw, size);
        struct bytes value = {copy, size};
        wire_buffer_clear(&text);
        bool written = json_write_value(&text, value);
        if (!written)
            assert_int_equal(text.size, 0);
        if (value_valid(value)) {
            valid_count++;
            assert_true(written);
            if (read_text((struct bytes){text.data, text.size}, &again, &failure) != ERR_OK)
                fail_msg("%.*s: %s", (int)text.size, (const char *)text.data, failure.text);
        }
        free(copy);
    }
    assert_true(valid_count > 1000);
    wire_buffer_free(&text);
    wire_buffer_free(&again);
}

/* Broken texts: no crash, and what is taken is a valid value that comes back the same. */
static void test_random_texts(void **state)
{
    static const char seed_text[] =
        "{\"a\":[1,-2.5e3,true,null,\"x\\u00e4\\n\"],\"b\":{\"$bin\":\"AAAA\"},\"$map\":[[1,2]]}";
    struct sample s = {99};
    struct wire_buffer value;
    struct wire_buffer text;
    struct wire_buffer again;
    struct failure failure;

    (void)state;
    wire_buffer_init(&value, BUFFER_MAX);
    wire_buffer_init(&text, BUFFER_MAX);
    wire_buffer_init(&again, BUFFER_MAX);
    for (int round = 0; round < 100000; round++) {
        uint8_t broken[sizeof(seed_text)];
        size_t size = sizeof(seed_text) - 1;
        memcpy(broken, seed_text, sizeof(seed_text));
        for (size_t n = 1 + sample_below(&s, 3); n > 0; n--)
            broken[sample_below(&s, size)] = (uint8_t)seed_text[sample_below(&s, size)];
        if (sample_below(&s, 4) == 0)
            size = sample_below(&s, size);
        if (read_text((struct bytes){broken, size}, &value, &failure) != ERR_OK)
            continue;
        assert_true(value_valid((struct bytes){value.data, value.size}));
        wire_buffer_clear(&text);
        assert_true(json_write_value(&text, (struct bytes){value.data, value.size}));
        assert_int_equal(read_text((struct bytes){text.data, text.size}, &again, &failure), ERR_OK);
        assert_int_equal(again.size, value.size);
        assert_memory_equal(again.data, value.data, value.size);
    }
    wire_buffer_free(&value);
    wire_buffer_free(&text);
    wire_buffer_free(&again);
}

static void test_base64(void **state)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    struct wire_buffer out;

    (void)state;
    wire_buffer_init(&out, 1000);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        wire_buffer_clear(&out);
        base64_write(&out, bytes_of(pairs[i][0]));
        assert_int_equal(out.size, strlen(pairs[i][1]));
        assert_memory_equal(out.data, pairs[i][1], out.size);
        wire_buffer_clear(&out);
        assert_true(base64_read(pairs[i][1], strlen(pairs[i][1]), &out));
        assert_int_equal(out.size, strlen(pairs[i][0]));
        assert_memory_equal(out.data, pairs[i][0], out.size);
    }
    assert_false(base64_read("Zg=", 3, &out));
    assert_false(base64_read("Zh==", 4, &out));
    assert_false(base64_read("Z===", 4, &out));
    assert_false(base64_read("Zg==Zg==", 8, &out));
    wire_buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_integers_keep_their_digits),
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_containers),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_no_json),
        cmocka_unit_test(test_numbers_that_do_not_fit),
        cmocka_unit_test(test_bad_tags),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_random_values_come_back),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_random_texts),
        cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
