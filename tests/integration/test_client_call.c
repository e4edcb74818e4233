/*
 * test_client_call.c - functions through libvigil: values, failures with their whole text, stored
 * functions, pipelining; 64 connections that count by one; exactly once over a killed server; and
 * hostile functions beside a client that goes on.
 *
 * ctest: TIMEOUT=120
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/client_fixture.h"

enum { PATIENCE_MS = 60000 };

static struct client_fixture f;
static const vigil_function stored = {.name = "count"};
static const char count_source[] = "return incr(args[1])";
static const char key_argument[] = "\x91\xa1n"; /* ["n"] */
enum { KEY_ARGUMENT_SIZE = 3 };

static vigil_function of_source(const char *source)
{
    return (vigil_function){.source = source, .source_size = strlen(source)};
}

static void store_count(void)
{
    uint8_t value[64];
    size_t size = vigil_pack_string(value, sizeof value, count_source, strlen(count_source));
    assert_int_equal(vigil_put(f.v, VIGIL_FUNCTIONS "count", value, size, NULL, NULL), VIGIL_OK);
}

static int set_up(void **state)
{
    (void)state;
    static const char *const options[] = {"--durability", "process", NULL};
    client_fixture_open(&f, TEST_VIGILD, options);
    store_count();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_fixture_close(&f);
    return 0;
}

static void values_and_seqs(void **state)
{
    (void)state;
    const void *value;
    size_t size;
    uint64_t seq;
    vigil_function function = of_source("put('a', args[1]) return {get('a'), now() > 0, #args}");
    assert_int_equal(vigil_call(f.v, &function, "\x92\xc4\x01\xff\xc0", 5, &value, &size, &seq),
                     VIGIL_OK);
    assert_int_equal(seq, 2);
    assert_int_equal(size, 6);
    assert_memory_equal(value, "\x93\xc4\x01\xff\xc3\x02", 6);
    /* Without a change there is no record. */
    function = of_source("return get('a') ~= nil");
    assert_int_equal(vigil_call(f.v, &function, NULL, 0, &value, &size, &seq), VIGIL_OK);
    assert_int_equal(seq, 2);
    assert_int_equal(vigil_call(f.v, &stored, key_argument, KEY_ARGUMENT_SIZE, NULL, NULL, NULL),
                     VIGIL_OK);
}

static void failures_come_back_whole(void **state)
{
    (void)state;
    uint64_t seq = 77;
    vigil_function function = of_source("local function deep(n)\n"
                                        "    if n == 0 then error(('x'):rep(1500)) end\n"
                                        "    deep(n - 1)\n"
                                        "    return 1\n"
                                        "end\n"
                                        "put('a', 1)\n"
                                        "deep(30)");
    assert_int_equal(vigil_call(f.v, &function, NULL, 0, NULL, NULL, &seq), VIGIL_SCRIPT);
    const char *text = vigil_failure_text(f.v);
    assert_memory_equal(text, "source:2: xxx", 13);
    assert_true(strlen(text) > 2000);
    assert_non_null(strstr(text, "\nstack traceback:\n\t"));
    assert_non_null(strstr(text, "\n\tsource:7: in main chunk"));
    assert_int_equal(seq, 77);
    vigil_entry entry;
    assert_int_equal(vigil_get(f.v, "a", &entry), VIGIL_OK);
    assert_false(entry.present);

    function = of_source("return (");
    assert_int_equal(vigil_function_check(f.v, &function), VIGIL_SCRIPT);
    assert_non_null(strstr(vigil_failure_text(f.v), "source:1:"));
    function = of_source("put('a', 1)");
    assert_int_equal(vigil_function_check(f.v, &function), VIGIL_OK);
    assert_int_equal(vigil_get(f.v, "a", &entry), VIGIL_OK);
    assert_false(entry.present);
}

static void what_is_no_function(void **state)
{
    (void)state;
    char *large = malloc(300000);
    memset(large, ' ', 299999);
    large[299999] = '\0';
    const struct {
        vigil_function function;
        const char *arguments;
        int error;
    } cases[] = {{{.name = NULL}, "\x90", VIGIL_INVALID},
                 {{.name = "a", .source = "b", .source_size = 1}, "\x90", VIGIL_INVALID},
                 {{.source = "", .source_size = 0}, "\x90", VIGIL_INVALID},
                 {{.source = large, .source_size = 299999}, "\x90", VIGIL_TOO_LARGE},
                 {{.name = ""}, "\x90", VIGIL_BAD_KEY},
                 {{.name = "nosuch"}, "\x90", VIGIL_NOT_FOUND},
                 {{.name = "count"}, "\x91", VIGIL_BAD_VALUE},
                 {{.name = "count"}, "\x05", VIGIL_BAD_VALUE}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(
            vigil_call(f.v, &cases[i].function, cases[i].arguments, 1, NULL, NULL, NULL),
            cases[i].error);
    assert_int_equal(vigil_call(f.v, NULL, NULL, 0, NULL, NULL, NULL), VIGIL_INVALID);
    free(large);
}

/* ---- counting ---- */

static void mark(uint8_t *seen, size_t count, const vigil_completion *c)
{
    assert_int_equal(c->error, VIGIL_OK);
    int64_t n = integer_of(c->value, c->size);
    assert_in_range(n, 1, count);
    assert_false(seen[n]);
    seen[n] = 1;
}

static void many_connections_count(void **state)
{
    (void)state;
    enum { CONNECTIONS = 64, EACH = 20, ALL = CONNECTIONS * EACH };
    static uint8_t seen[ALL + 1];
    vigil *connections[CONNECTIONS];
    vigil_completion c;
    for (size_t i = 0; i < CONNECTIONS; i++)
        connections[i] = client_fixture_connect(&f, 0);
    for (size_t n = 0; n < EACH; n++) {
        for (size_t i = 0; i < CONNECTIONS; i++) {
            assert_int_equal(
                vigil_send_call(connections[i], &stored, key_argument, KEY_ARGUMENT_SIZE, NULL),
                VIGIL_OK);
            vigil_flush(connections[i]);
        }
    }
    for (size_t i = 0; i < CONNECTIONS; i++) {
        for (size_t n = 0; n < EACH; n++) {
            assert_int_equal(vigil_receive(connections[i], PATIENCE_MS, &c), VIGIL_OK);
            mark(seen, ALL, &c);
        }
        vigil_close(connections[i]);
    }
}

static void each_counts_once_over_a_killed_server(void **state)
{
    (void)state;
    enum { ROUNDS = 4, EACH = 200 };
    static uint8_t seen[ROUNDS * EACH + 1];
    vigil_completion c;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < EACH; i++)
            assert_int_equal(vigil_send_call(f.v, &stored, key_argument, KEY_ARGUMENT_SIZE, NULL),
                             VIGIL_OK);
        vigil_flush(f.v);
        client_fixture_kill_server(&f);
        client_fixture_start_server(&f);
        for (int i = 0; i < EACH; i++) {
            assert_int_equal(vigil_receive(f.v, PATIENCE_MS, &c), VIGIL_OK);
            mark(seen, ROUNDS * EACH, &c);
        }
    }
}

/* Functions that take long, many in one message: what is left when time is up is sent again. */
static void long_functions_all_come_to_their_end(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    static uint8_t seen[COUNT + 1];
    vigil_completion c;
    vigil_function function = of_source("for i = 1, 50000 do end return incr('n')");
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(vigil_send_call(f.v, &function, NULL, 0, NULL), VIGIL_OK);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(vigil_receive(f.v, PATIENCE_MS, &c), VIGIL_OK);
        mark(seen, COUNT, &c);
    }
}

static void hostile_functions_leave_others_alone(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "while true do end", "local t = {} while true do t[#t + 1] = {} end",
        "local function f() return 1 + f() end f()", "return ('x'):rep(1 << 40)",
        "return (('a'):rep(100000)):find(('a*'):rep(20) .. 'b')"};
    enum { SOURCES = sizeof sources / sizeof sources[0], COUNT = 40 };
    vigil *hostile = client_fixture_connect(&f, PATIENCE_MS);
    vigil_completion c;
    for (int i = 0; i < COUNT; i++) {
        vigil_function function = of_source(sources[i % SOURCES]);
        assert_int_equal(vigil_send_call(hostile, &function, NULL, 0, NULL), VIGIL_OK);
    }
    vigil_flush(hostile);
    for (int i = 0; i < 20; i++)
        put_integer(f.v, "k", i);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(vigil_receive(hostile, PATIENCE_MS, &c), VIGIL_OK);
        assert_int_equal(c.error, VIGIL_SCRIPT);
        assert_non_null(strstr(vigil_failure_text(hostile), "traceback"));
    }
    vigil_close(hostile);
    assert_int_equal(vigil_call(f.v, &stored, key_argument, KEY_ARGUMENT_SIZE, NULL, NULL, NULL),
                     VIGIL_OK);
}

#define CALL_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALL_TEST(values_and_seqs),
        CALL_TEST(failures_come_back_whole),
        CALL_TEST(what_is_no_function),
        CALL_TEST(many_connections_count),
        CALL_TEST(each_counts_once_over_a_killed_server),
        CALL_TEST(long_functions_all_come_to_their_end),
        CALL_TEST(hostile_functions_leave_others_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
