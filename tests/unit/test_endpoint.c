/* test_endpoint.c - protocol/endpoint.h: what is an endpoint, and what follows from one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/endpoint.h"

#include <stdio.h>

static struct bytes text(const char *t)
{
    return (struct bytes){(const uint8_t *)t, strlen(t)};
}

static void endpoints_are_read_and_written_back(void **state)
{
    (void)state;
    static const char *const good[] = {
        "ipc:///run/vigil.sock", "ipc://relative/sock", "tcp://127.0.0.1:7878",
        "tcp://[::1]:0",         "tcp://*:65535",       "tcp://host.name:1",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct endpoint e;
        char out[ENDPOINT_SIZE];
        assert_int_equal(endpoint_parse(good[i], &e, NULL), ERR_OK);
        endpoint_format(&e, out);
        assert_string_equal(out, good[i]);
    }
}

static void others_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "ipc://",
        "ipc:///",
        "ipc://@abstract",
        "ipc://*",
        "inproc://x",
        "/run/sock",
        "tcp://",
        "tcp://host",
        "tcp://host:",
        "tcp://:1",
        "tcp://host:65536",
        "tcp://host:99999999999",
        "tcp://host:1x",
        "tcp://host:-1",
        "tcp://::1:5",
        "tcp://a/b:1",
        "tcp://eth0;host:1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct endpoint e = {.port = 7};
        struct failure failure = {0};
        assert_int_equal(endpoint_parse(bad[i], &e, &failure), ERR_INVALID);
        assert_int_equal(e.port, 7);
        assert_true(failure.text[0] != '\0');
    }
    char path[ENDPOINT_SIZE] = "ipc://";
    struct endpoint e;
    memset(path + 6, 'x', ENDPOINT_PATH_MAX);
    assert_int_equal(endpoint_parse(path, &e, NULL), ERR_OK);
    path[6 + ENDPOINT_PATH_MAX] = 'x';
    assert_int_equal(endpoint_parse(path, &e, NULL), ERR_INVALID);
}

static void only_this_machine_is_local(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool local;
    } cases[] = {
        {"ipc:///x", true},
        {"tcp://127.0.0.1:1", true},
        {"tcp://127.9.9.9:1", true},
        {"tcp://localhost:1", true},
        {"tcp://[::1]:1", true},
        {"tcp://*:1", false},
        {"tcp://0.0.0.0:1", false},
        {"tcp://[::]:1", false},
        {"tcp://127.example.org:1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct endpoint e;
        assert_int_equal(endpoint_parse(cases[i].text, &e, NULL), ERR_OK);
        assert_int_equal(endpoint_is_local(&e), cases[i].local);
    }
}

static void derive(const char *from, enum endpoint_role role, const struct reply_hello *hello,
                   const char *expected)
{
    struct endpoint e;
    char out[ENDPOINT_SIZE];
    assert_int_equal(endpoint_parse(from, &e, NULL), ERR_OK);
    struct endpoint derived;
    int err = endpoint_derive(&e, role, hello, &derived);
    assert_int_equal(err, expected ? ERR_OK : ERR_MALFORMED);
    if (!expected)
        return;
    endpoint_format(&derived, out);
    assert_string_equal(out, expected);
}

static void the_hello_says_what_follows(void **state)
{
    (void)state;
    static const uint8_t ports[] = {2, 0, 10, 0, 11, 0, 12, 0, 0x10, 0x27, 20, 0, 30, 0};
    struct reply_hello hello = {
        .stream_suffix = text(".s"), .replay_suffix = text(".r"), .ports = {ports, sizeof ports}};
    derive("ipc:///x", ENDPOINT_REQUEST, &hello, "ipc:///x");
    derive("ipc:///x", ENDPOINT_STREAM, &hello, "ipc:///x.s");
    derive("ipc:///x", ENDPOINT_REPLAY, &hello, "ipc:///x.r");
    derive("tcp://h:10000", ENDPOINT_REQUEST, &hello, "tcp://h:10000");
    derive("tcp://h:10000", ENDPOINT_STREAM, &hello, "tcp://h:20");
    derive("tcp://h:10000", ENDPOINT_REPLAY, &hello, "tcp://h:30");
    derive("tcp://h:99", ENDPOINT_STREAM, &hello, "tcp://h:100");
    derive("tcp://h:99", ENDPOINT_REPLAY, &hello, "tcp://h:101");
}

static void a_hello_without_sense_is_malformed(void **state)
{
    (void)state;
    static const uint8_t cut[] = {1, 0, 10, 0, 11};
    static const uint8_t zero[] = {1, 0, 10, 0, 0, 0, 0, 0};
    struct reply_hello hello = {.stream_suffix = text("/../evil"),
                                .replay_suffix = text(".much-too-long"),
                                .ports = {cut, sizeof cut}};
    derive("ipc:///x", ENDPOINT_STREAM, &hello, NULL);
    derive("ipc:///x", ENDPOINT_REPLAY, &hello, NULL);
    derive("tcp://h:10", ENDPOINT_STREAM, &hello, NULL);
    hello.stream_suffix = text("");
    hello.replay_suffix = (struct bytes){(const uint8_t *)"a\0b", 3};
    hello.ports = (struct bytes){zero, sizeof zero};
    derive("ipc:///x", ENDPOINT_STREAM, &hello, NULL);
    derive("ipc:///x", ENDPOINT_REPLAY, &hello, NULL);
    derive("tcp://h:10", ENDPOINT_STREAM, &hello, NULL);
    derive("tcp://h:65535", ENDPOINT_STREAM, &hello, NULL);
}

static void the_default_is_private(void **state)
{
    (void)state;
    char out[ENDPOINT_SIZE];
    char longest[200];
    assert_false(endpoint_default("/run/user/7", 7, out));
    assert_string_equal(out, "ipc:///run/user/7/vigil.sock");
    assert_false(endpoint_default("/run/user/7//", 7, out));
    assert_string_equal(out, "ipc:///run/user/7/vigil.sock");
    memset(longest, 'x', sizeof longest);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    const char *const unusable[] = {NULL, "", "relative", "/", longest};
    for (size_t i = 0; i < sizeof unusable / sizeof *unusable; i++) {
        assert_true(endpoint_default(unusable[i], 7, out));
        assert_string_equal(out, "ipc:///tmp/vigil-7/vigil.sock");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_are_read_and_written_back),
        cmocka_unit_test(others_are_refused_with_a_reason),
        cmocka_unit_test(only_this_machine_is_local),
        cmocka_unit_test(the_hello_says_what_follows),
        cmocka_unit_test(a_hello_without_sense_is_malformed),
        cmocka_unit_test(the_default_is_private),
    };
    return cmocka_run_group_tests_name("endpoint", tests, NULL, NULL);
}
