#define _POSIX_C_SOURCE 200809L
/* The bench's command line: what it takes, what it refuses. Its keys and values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "bench/options.h"
#include "bench/payload.h"
#include <vigil.h>

enum { ARGUMENTS_MAX = 8 };

/* Parses a line of words behind the command put. */
static int parse(const char *line, struct options *options, bool *ret_help)
{
    static char text[256];
    static char *arguments[ARGUMENTS_MAX + 2];
    static char program[] = "put";
    struct failure failure = {0};
    int count = 0;
    assert_true(strlen(line) < sizeof text);
    strcpy(text, line);
    arguments[0] = program;
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        assert_true(count < ARGUMENTS_MAX);
        arguments[++count] = word;
    }
    arguments[count + 1] = NULL;
    *options = options_default;
    return options_parse(count, arguments + 1, options, ret_help, &failure);
}

static void test_takes_options(void **unused)
{
    (void)unused;
    struct options o;
    bool help = false;
    assert_int_equal(parse("--clients 50 --depth=64 --json", &o, &help), ERR_OK);
    assert_int_equal(o.clients, 50);
    assert_int_equal(o.depth, 64);
    assert_true(o.json);
    assert_true(o.yardstick);
    assert_false(help);
    assert_null(o.server_arguments[0]);

    assert_int_equal(parse("--records 5M --duration 250ms", &o, &help), ERR_OK);
    assert_int_equal(o.records, 5000000);
    assert_int_equal(o.duration_ns, 250000000);

    assert_int_equal(parse("--way call", &o, &help), ERR_OK);
    assert_string_equal(o.way, "call");
    assert_int_equal(parse("--way update", &o, &help), ERR_OK);
    assert_string_equal(o.way, "update");
    assert_int_equal(parse("--way put", &o, &help), ERR_INVALID);

    assert_int_equal(parse("--threads 8 --clients 3", &o, &help), ERR_OK);
    assert_int_equal(o.threads, 3);

    assert_int_equal(parse("--durability process -- --log-level debug", &o, &help), ERR_OK);
    assert_string_equal(o.durability, "process");
    assert_string_equal(o.server_arguments[0], "--log-level");
    assert_string_equal(o.server_arguments[1], "debug");
    assert_null(o.server_arguments[2]);

    assert_int_equal(parse("--help", &o, &help), ERR_OK);
    assert_true(help);
}

static void test_refuses(void **unused)
{
    (void)unused;
    static const char *const lines[] = {
        "--clients 0", "--clients -1",      "--clients 10001", "--clients 1x",
        "--depth",     "--duration 5",      "--duration 0s",   "--duration 2d",
        "--size 15",   "--durability none", "--transport udp", "--rate -1",
        "--rate 1e99", "--no-such",         "surplus",         "--records 18446744073709551M",
        "--runs 0",    "--json=1",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct options o;
        bool help = false;
        if (parse(lines[i], &o, &help) != ERR_INVALID) {
            fail_msg("taken: %s", lines[i]);
        }
    }
}

static void test_values_are_of_their_size_and_valid(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {PAYLOAD_SIZE_MIN, 100, 257, 258, 259, 65538, 65539, 70000};
    static uint8_t value[70000];
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t time_ns = 1;
        payload_make(value, sizes[i]);
        assert_true(vigil_value_valid(value, sizes[i]));
        assert_true(payload_get_time(value, sizes[i], &time_ns));
        assert_int_equal(time_ns, 0);
        payload_set_time(value, sizes[i], 123456789);
        assert_true(vigil_value_valid(value, sizes[i]));
        assert_true(payload_get_time(value, sizes[i], &time_ns));
        assert_int_equal(time_ns, 123456789);
    }
    uint64_t time_ns = 5;
    uint8_t other[40];
    size_t size = vigil_pack_binary(other, sizeof other, "something else of some size", 27);
    assert_false(payload_get_time(other, size, &time_ns));
    assert_false(payload_get_time(NULL, 0, &time_ns));
    assert_int_equal(time_ns, 5);
}

static void test_keys(void **unused)
{
    (void)unused;
    char key[PAYLOAD_KEY_SIZE + 1];
    payload_key(0, key);
    assert_string_equal(key, "bench/00000000");
    payload_key(PAYLOAD_KEYS_MAX - 1, key);
    assert_string_equal(key, "bench/99999999");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_options),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_values_are_of_their_size_and_valid),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
