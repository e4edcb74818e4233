/* What goes out and comes in as lines: change lines, jq conditions, lines of load. */
#define _POSIX_C_SOURCE 200809L
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/change_line.h"
#include "client/cli/filter_jq.h"
#include "client/cli/load_line.h"
#include "client/cli/output.h"
#include "tests/support/sample_bytes.h"

static void check_text(struct wire_buffer *out, const char *expected)
{
    wire_write_u8(out, 0);
    assert_string_equal((const char *)out->data, expected);
    wire_buffer_clear(out);
}

static void test_before(void **state)
{
    const vigil_change changes[] = {{.op = VIGIL_DELETE,
                                     .part = 1,
                                     .key = "a",
                                     .key_size = 1,
                                     .prev_seq = 5,
                                     .before = VIGIL_BEFORE_VALUE,
                                     .before_value = "\xc0",
                                     .before_size = 1},
                                    {.op = VIGIL_DELETE,
                                     .part = 2,
                                     .key = "b",
                                     .key_size = 1,
                                     .prev_seq = 6,
                                     .before = VIGIL_BEFORE_UNKNOWN},
                                    {.op = VIGIL_PUT,
                                     .part = 3,
                                     .key = "c",
                                     .key_size = 1,
                                     .value = "\x01",
                                     .size = 1,
                                     .before = VIGIL_BEFORE_ABSENT}};
    vigil_change damaged = changes[0];
    vigil_record record = {.seq = 7, .parts = 3, .count = 3, .changes = changes};
    struct wire_buffer out;

    (void)state;
    wire_buffer_init(&out, 4096);
    assert_true(change_line_write_record(&out, &record));
    check_text(&out, "{\"seq\":7,\"op\":\"delete\",\"key\":\"a\",\"before\":null,"
                     "\"prev_seq\":5,\"time\":\"1970-01-01T00:00:00.000000Z\",\"part\":1,"
                     "\"parts\":3}\n"
                     "{\"seq\":7,\"op\":\"delete\",\"key\":\"b\",\"before_unknown\":true,"
                     "\"prev_seq\":6,\"time\":\"1970-01-01T00:00:00.000000Z\",\"part\":2,"
                     "\"parts\":3}\n"
                     "{\"seq\":7,\"op\":\"put\",\"key\":\"c\",\"value\":1,"
                     "\"prev_seq\":0,\"time\":\"1970-01-01T00:00:00.000000Z\",\"part\":3,"
                     "\"parts\":3,\"last\":true}\n");
    damaged.before_value = "\xc1";
    record = (vigil_record){.seq = 7, .parts = 1, .count = 1, .changes = &damaged};
    assert_false(change_line_write_record(&out, &record));
    wire_buffer_free(&out);
}

static void test_record_lines(void **state)
{
    const vigil_change single = {.op = VIGIL_PUT,
                                 .part = 1,
                                 .key = "a\"\n",
                                 .key_size = 3,
                                 .value = "\x93\x01\xa1x\xc0",
                                 .size = 5,
                                 .prev_seq = 3};
    const vigil_change several[] = {
        {.op = VIGIL_DELETE, .part = 2, .key = "b", .key_size = 1, .prev_seq = 5},
        {.op = VIGIL_EXPIRE, .part = 5, .key = "c", .key_size = 1, .prev_seq = 6}};
    vigil_record record = {.seq = 7,
                           .time_us = UINT64_C(1769860800000001),
                           .parts = 1,
                           .count = 1,
                           .changes = &single};
    struct wire_buffer out;

    (void)state;
    wire_buffer_init(&out, 4096);
    assert_true(change_line_write_record(&out, &record));
    check_text(&out, "{\"seq\":7,\"op\":\"put\",\"key\":\"a\\\"\\n\",\"value\":[1,\"x\",null],"
                     "\"prev_seq\":3,\"time\":\"2026-01-31T12:00:00.000001Z\"}\n");
    record = (vigil_record){.seq = UINT64_MAX, .parts = 7, .count = 2, .changes = several};
    assert_true(change_line_write_record(&out, &record));
    check_text(&out, "{\"seq\":18446744073709551615,\"op\":\"delete\",\"key\":\"b\","
                     "\"prev_seq\":5,\"time\":\"1970-01-01T00:00:00.000000Z\",\"part\":2,"
                     "\"parts\":7}\n"
                     "{\"seq\":18446744073709551615,\"op\":\"expire\",\"key\":\"c\","
                     "\"prev_seq\":6,\"time\":\"1970-01-01T00:00:00.000000Z\",\"part\":5,"
                     "\"parts\":7,\"last\":true}\n");

    const vigil_change damaged = {
        .op = VIGIL_PUT, .key = "k", .key_size = 1, .value = "\xc1", .size = 1};
    record = (vigil_record){.seq = 1, .parts = 1, .count = 1, .changes = &damaged};
    assert_false(change_line_write_record(&out, &record));
    wire_buffer_free(&out);
}

static void test_entry_and_bookmark_lines(void **state)
{
    const vigil_entry present = {.key = "k",
                                 .value = "\x05",
                                 .size = 1,
                                 .present = true,
                                 .modified = 4,
                                 .created = 2,
                                 .version = 3,
                                 .seq = 9};
    const vigil_entry absent = {.key = "k", .modified = 4, .seq = 9};
    const vigil_event bookmark = {
        .kind = VIGIL_EVENT_BOOKMARK, .position = {0xab, 12}, .head = 12, .oldest = 3};
    struct wire_buffer out;

    (void)state;
    wire_buffer_init(&out, 4096);
    assert_true(change_line_write_entry(&out, &present, true));
    check_text(&out, "{\"seq\":4,\"key\":\"k\",\"present\":true,\"value\":5,\"created\":2,"
                     "\"version\":3,\"as_of\":9}\n");
    assert_true(change_line_write_entry(&out, &present, false));
    check_text(&out, "{\"seq\":4,\"key\":\"k\",\"present\":true,\"created\":2,\"version\":3,"
                     "\"as_of\":9}\n");
    assert_true(change_line_write_entry(&out, &absent, true));
    check_text(&out, "{\"seq\":4,\"key\":\"k\",\"present\":false,\"as_of\":9}\n");
    change_line_write_bookmark(&out, &bookmark);
    check_text(&out, "{\"bookmark\":true,\"seq\":12,\"head\":12,\"oldest\":3,"
                     "\"epoch\":\"00000000000000ab\"}\n");
    wire_buffer_free(&out);
}

/* Against the C library's calendar, over all years up to 9999. */
static void test_times(void **state)
{
    struct sample s = {5};
    char text[CHANGE_LINE_TIME_SIZE];
    char expected[64];

    (void)state;
    for (int round = 0; round < 20000; round++) {
        uint64_t us = sample_u64(&s) % UINT64_C(253402300800000000);
        time_t seconds = (time_t)(us / 1000000);
        struct tm broken_down;
        change_line_format_time(us, text);
        gmtime_r(&seconds, &broken_down);
        size_t size = strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &broken_down);
        snprintf(expected + size, sizeof(expected) - size, ".%06uZ", (unsigned)(us % 1000000));
        assert_string_equal(text, expected);
    }
    change_line_format_time(UINT64_C(951782400000000), text);
    assert_string_equal(text, "2000-02-29T00:00:00.000000Z");
    change_line_format_time(UINT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999999Z");
}

static void check_condition(const char *expression, struct bytes value, bool expected)
{
    struct filter_jq *f = NULL;
    struct failure failure = {.text = ""};
    bool result = !expected;

    if (filter_jq_new(expression, &f, &failure) != ERR_OK)
        fail_msg("%s: %s", expression, failure.text);
    for (int i = 0; i < 2; i++) { /* used again it says the same */
        result = !expected;
        if (filter_jq_evaluate(f, value, &result, &failure) != ERR_OK)
            fail_msg("%s: %s", expression, failure.text);
        assert_int_equal(result, expected);
    }
    filter_jq_free(f);
}

static void test_conditions(void **state)
{
    const struct bytes text = bytes_of("\xa4"
                                       "done");
    const struct bytes list = bytes_of("\x93\x01\x02\x03");
    const struct bytes map = bytes_of("\x81\xa5state\xa4"
                                      "done");
    const struct bytes absent = {NULL, 0};

    (void)state;
    check_condition(". == \"done\"", text, true);
    check_condition(". == \"other\"", text, false);
    check_condition(".", text, true);
    check_condition(".", absent, false);
    check_condition(". == null", absent, true);
    check_condition(".state == \"done\"", map, true);
    check_condition(".none", map, false);
    check_condition("length == 3", list, true);
    check_condition(".[] == 3", list, true);
    check_condition("empty", list, false);
    check_condition("0", list, true); /* as in jq, 0 is true */
    check_condition("test(\"^do\")", text, true);
    filter_jq_free(NULL);
}

static void test_bad_conditions(void **state)
{
    struct filter_jq *f = NULL;
    struct failure failure = {.text = ""};
    bool result = true;

    (void)state;
    assert_int_equal(filter_jq_new(". ==", &f, &failure), ERR_INVALID);
    assert_non_null(strstr(failure.text, "syntax error"));
    assert_int_equal(filter_jq_new("nosuch(1)", &f, &failure), ERR_INVALID);
    assert_non_null(strstr(failure.text, "nosuch/1 is not defined"));
    assert_null(f);

    /* An expression that fails on one value goes on with the next one. */
    assert_int_equal(filter_jq_new(".a > 1", &f, &failure), ERR_OK);
    assert_int_equal(filter_jq_evaluate(f, bytes_of("\xa1x"), &result, &failure), ERR_INVALID);
    assert_non_null(strstr(failure.text, "Cannot index string"));
    assert_int_equal(filter_jq_evaluate(f,
                                        bytes_of("\x81\xa1"
                                                 "a\x02"),
                                        &result, &failure),
                     ERR_OK);
    assert_true(result);
    filter_jq_free(f);
}

static int parse_line(struct load_line *l, const char *text, struct failure *failure)
{
    return load_line_parse(l, bytes_of(text), failure);
}

static void test_load_lines(void **state)
{
    static const char *const good[] = {
        "{\"key\":\"a\",\"value\":1}",
        "{\"key\":\"a\",\"value\":null}",
        "{\"op\":\"put\",\"key\":\"a\",\"value\":{\"b\":[]}}",
        "{\"op\":\"delete\",\"key\":\"a\"}",
        "{\"op\":\"incr\",\"key\":\"a\"}",
        "{\"op\":\"incr\",\"key\":\"a\",\"by\":-9223372036854775808}",
        ("{\"txn\":[{\"key\":\"a\",\"value\":1},{\"op\":\"delete\",\"key\":\"b\"},"
         "{\"op\":\"incr\",\"key\":\"c\",\"by\":2}]}"),
        ("{\"seq\":7,\"op\":\"expire\",\"key\":\"a\",\"prev_seq\":3,\"time\":\"x\",\"part\":1,"
         "\"parts\":2,\"last\":true}"),
        "{\"key\":\"a\",\"value\":1,\"before\":[2]}",
        "{\"key\":\"a\",\"value\":1,\"before_unknown\":true}",
    };
    static const struct {
        const char *text;
        const char *reason;
    } bad[] = {
        {"{\"key\":\"a\",\"value\":1", "too early"},
        {"[]", "JSON object"},
        {"null", "JSON object"},
        {"{\"key\":\"a\"}", "\"value\" is missing"},
        {"{\"value\":1}", "\"key\" is missing"},
        {"{\"key\":1,\"value\":1}", "\"key\" is missing, or no string"},
        {"{\"key\":\"\",\"value\":1}", "1 to 480 bytes"},
        {"{\"key\":\"a\\u0000b\",\"value\":1}", "without NUL"},
        {"{\"key\":\"a\",\"vaule\":1}", "unknown member \"vaule\""},
        {"{\"op\":\"move\",\"key\":\"a\"}", "unknown op \"move\""},
        {"{\"op\":1,\"key\":\"a\"}", "\"op\" is no string"},
        {"{\"op\":\"delete\",\"key\":\"a\",\"value\":1}", "only a put"},
        {"{\"key\":\"a\",\"value\":1,\"by\":1}", "only an incr"},
        {"{\"op\":\"incr\",\"key\":\"a\",\"by\":1.5}", "whole number"},
        {"{\"op\":\"incr\",\"key\":\"a\",\"by\":9223372036854775808}", "does not fit"},
        {"{\"txn\":[]}", "array of mutations"},
        {"{\"txn\":{}}", "array of mutations"},
        {"{\"txn\":[],\"key\":\"a\"}", "nothing else"},
        {"{\"txn\":[{\"key\":\"a\",\"value\":1},{\"key\":\"b\"}]}", "mutation 2 of \"txn\""},
        {"{\"txn\":[{\"txn\":[]}]}", "within another"},
    };
    struct load_line *l = NULL;
    struct failure failure;

    (void)state;
    assert_int_equal(load_line_new(&l), ERR_OK);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (parse_line(l, good[i], &failure) != ERR_OK)
            fail_msg("%s: %s", good[i], failure.text);
        assert_true(load_line_size(l) > 0);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (parse_line(l, bad[i].text, &failure) == ERR_OK)
            fail_msg("%s is taken", bad[i].text);
        if (strstr(failure.text, bad[i].reason) == NULL)
            fail_msg("%s: \"%s\" lacks \"%s\"", bad[i].text, failure.text, bad[i].reason);
    }
    load_line_free(l);
    load_line_free(NULL);
}

static void test_output(void **state)
{
    struct output o;
    int fds[2];
    int stop[2];
    char text[64];

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(pipe(stop), 0);
    output_init(&o, fds[1]);
    o.stop_fd = stop[0];
    wire_write_raw(&o.buffer, "line\n", 5);
    assert_int_equal(output_flush(&o), OUTPUT_OK);
    assert_int_equal(read(fds[0], text, sizeof(text)), 5);
    assert_int_equal(output_flush(&o), OUTPUT_OK);

    /* A pipe that is full gives way to a signal, and goes on where it was. */
    uint8_t *p = wire_extend(&o.buffer, 1 << 20);
    memset(p, 'x', 1 << 20);
    assert_int_equal(write(stop[1], "s", 1), 1);
    assert_int_equal(output_flush(&o), OUTPUT_INTERRUPTED);
    assert_true(o.written > 0 && o.written < (1 << 20));
    close(fds[0]);
    assert_int_equal(output_flush(&o), OUTPUT_CLOSED);
    output_free(&o);
    close(fds[1]);
    close(stop[0]);
    close(stop[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_lines),
        cmocka_unit_test(test_before),
        cmocka_unit_test(test_entry_and_bookmark_lines),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_bad_conditions),
        cmocka_unit_test(test_load_lines),
        cmocka_unit_test(test_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
