/* Calls: the operations on the state, what is cached, the library's functions, limits as told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/script/engine.h"
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

/* ---- operations ---- */

static void test_operations(void **state)
{
    struct script_fixture *f = *state;
    f->now_us = 1234567890;
    script_expect_true(f, "return get('a') == nil");
    script_expect(f, "put('a', {x = 1})", "\xc0", 1);
    script_expect_integer(f, "return get('a').x", 1);
    script_expect_true(f, "return delete('a') and not delete('a') and get('a') == nil");
    script_expect_integer(f, "return incr('n')", 1);
    script_expect_integer(f, "return incr('n', 41)", 42);
    script_expect_integer(f, "return incr('n', -50)", -8);
    script_expect_integer(f, "return now()", 1234567890);
    script_expect(f, "put('p/b', 1) put('p/a', 2) put('q', 3) return list('p/')",
                  "\x92\xa3p/a\xa3p/b", 9);
    script_expect(f, "return list('p/', 1)", "\x91\xa3p/a", 5);
    script_expect(f, "return list('nothing/')", "\x90", 1);
    script_expect_integer(f, "return #list('')", 4);
    script_expect(f, "put('t', 1, 5000)", "\xc0", 1);
    assert_int_equal(script_fixture_find(f, "t")->ttl_ms, 5000);
    script_expect_failure(f, "put('t', 1, 0)", "at least 1 ms");
    script_expect_failure(f, "put(1, 1)", "string expected");
    script_expect_failure(f, "get({})", "string expected");
    script_expect_failure(f, "list('', -1)", "not negative");
    script_expect_failure(f, "incr('n', 1.5)", "no integer representation");
}

static void test_errors_of_the_host(void **state)
{
    struct script_fixture *f = *state;
    /* About what the script asked for: it can be caught. */
    script_fixture_set(f, "text", bytes_of("\xa1x"));
    script_expect_failure(f, "incr('text')", "test:1: the value is not an integer\nstack");
    script_expect_true(f, "return not pcall(incr, 'text')");
    f->fail_with = ERR_BAD_KEY;
    script_expect_true(f, "return not pcall(put, 'k', 1)");
    /* About the store itself: it cannot. */
    static const int fatal[] = {ERR_NO_MEMORY, ERR_IO, ERR_CORRUPT, ERR_LIMIT};
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++) {
        f->fail_with = fatal[i];
        assert_int_equal(script_fixture_run(f, "pcall(put, 'k', 1) return 1", NULL), fatal[i]);
        assert_non_null(
            strstr(script_error_text(f->engine, SCRIPT_TEXT_MAX), error_text(fatal[i])));
        f->fail_with = ERR_OK;
        script_expect_integer(f, "return 1", 1);
    }
}

/* ---- limits ---- */

static void test_operations_are_limited(void **state)
{
    struct script_fixture *f = *state;
    f->limits.operations = 10;
    script_expect_integer(f, "for i = 1, 10 do incr('n') end return get == nil and 0 or 1", 1);
    script_expect_failure(f, "for i = 1, 11 do get('n') end", "more than 10 operations");
    script_expect_failure(f, "for i = 1, 11 do pcall(get, 'n') end", "more than 10 operations");
    f->limits.operations = 100;
    script_expect_integer(f, "for i = 1, 20 do put('k' .. i, i) end return 1", 1);
    script_expect_failure(f, "for i = 1, 5 do list('k') end", "more than 100 operations");
}

static void test_steps_are_counted(void **state)
{
    struct script_fixture *f = *state;
    f->limits.steps = 20000;
    script_expect_true(f, "for i = 1, 5000 do end return true");
    script_expect_failure(f, "for i = 1, 50000 do end return true", "the limit of 20000 steps");
    /* The same call takes as many steps, whether it has to be compiled or not. */
    f->limits.steps = 1000;
    for (int i = 0; i < 3; i++)
        script_expect_true(f, "for i = 1, 200 do end return true -- compiled once");
}

static void test_time_is_limited(void **state)
{
    struct script_fixture *f = *state;
    f->limits.time_ms = 1;
    f->fake_clock_us = 1;
    f->fake_clock_step_us = 200; /* each time that it is looked at */
    script_expect_true(f, "for i = 1, 1000 do end return true");
    script_expect_failure(f, "for i = 1, 100000 do end return true", "the time limit of 1 ms");
    script_expect_failure(f, "return (('a'):rep(5000)):find('.-.-b')", "the time limit of 1 ms");
}

static void test_checks_only(void **state)
{
    struct script_fixture *f = *state;
    f->check_only = true;
    assert_int_equal(script_fixture_run(f, "put('k', 1) return 1", NULL), ERR_OK);
    assert_int_equal(f->result.size, 1);
    assert_int_equal(f->result.data[0], 0xc0);
    assert_null(script_fixture_find(f, "k"));
    assert_int_equal(script_fixture_run(f, "return return", NULL), ERR_SCRIPT);
    assert_non_null(strstr(script_error_text(f->engine, SCRIPT_TEXT_MAX), "test:1:"));
}

/* ---- the cache ---- */

static void test_the_cache_is_bounded(void **state)
{
    struct script_fixture *f = *state;
    char source[64];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(source, sizeof source, "return %d + (get('k') or 0)", i);
        script_expect_integer(f, source, i);
    }
    size_t used = f->engine->used;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 1000; i++) {
            (void)snprintf(source, sizeof source, "return %d + (get('k') or 0)", i);
            script_expect_integer(f, source, i);
        }
    }
    assert_true(f->engine->used < 2 * used);
}

static void test_large_functions_go_first(void **state)
{
    struct script_fixture *f = *state;
    f->limits.memory = 64 << 20;
    char *source = malloc(SCRIPT_SOURCE_MAX + 1);
    size_t most = 0;
    for (int round = 0; round < 60; round++) {
        size_t size = (size_t)snprintf(source, 64, "local n = %d ", round);
        while (size + 16 < 100000)
            size += (size_t)snprintf(source + size, 32, "n = n + 0x%x ", 16 + (int)(size & 4095));
        strcpy(source + size, "return 1");
        script_expect_integer(f, source, 1);
        if (f->engine->used > most)
            most = f->engine->used;
    }
    free(source);
    assert_true(f->engine->cache_cost <= 16 << 20);
    assert_true(most < 64 << 20);
}

/* A name is part of messages: the same source by another name is another function. */
static void test_names_are_told(void **state)
{
    struct script_fixture *f = *state;
    struct script_call call = {.source = bytes_of("error('x')"),
                               .arguments = bytes_of("\x90"),
                               .host = &f->host,
                               .limits = f->limits};
    static const char *const names[] = {"transfer", "debit", ""};
    for (size_t i = 0; i < 3; i++) {
        char expected[32];
        call.name = bytes_of(names[i]);
        assert_int_equal(script_call(f->engine, &call, &f->result), ERR_SCRIPT);
        (void)snprintf(expected, sizeof expected, "%s:1: x\n", names[i]);
        assert_int_equal(
            strncmp(script_error_text(f->engine, SCRIPT_TEXT_MAX), expected, strlen(expected)), 0);
    }
}

/* What many calls leave behind is collected. */
static void test_nothing_grows(void **state)
{
    struct script_fixture *f = *state;
    size_t used = 0;
    for (int i = 0; i < 20000; i++) {
        script_expect_integer(
            f, "local t = {} for i = 1, 20 do t[i] = {i} end put('k', t) return 1", 1);
        if (i == 1000)
            used = f->engine->used;
    }
    assert_true(f->engine->used < 3 * used);
}

/* ---- the libraries ---- */

static void test_tables(void **state)
{
    struct script_fixture *f = *state;
    script_expect(f, "local t = {1, 2, 4} table.insert(t, 3, 3) table.insert(t, 5) return t",
                  "\x95\x01\x02\x03\x04\x05", 6);
    script_expect_true(f, "local t = {1, 2, 3} return table.remove(t, 1) == 1 and #t == 2 and "
                          "table.remove(t) == 3 and table.remove({}) == nil");
    script_expect(f, "return table.move({1, 2, 3}, 1, 3, 2)", "\x94\x01\x01\x02\x03", 5);
    script_expect(f, "return table.move({1, 2, 3}, 2, 3, 1)", "\x93\x02\x03\x03", 4);
    script_expect(f, "return table.move({1, 2}, 1, 2, 3, {8, 9})", "\x94\x08\x09\x01\x02", 5);
    script_expect_true(f, "return table.concat({1, 'b', 2.5}, ', ') == '1, b, 2.5' and "
                          "table.concat({}) == '' and table.concat({1, 2, 3}, '-', 2, 3) == '2-3'");
    script_expect_true(f, "local t = table.pack(1, nil, 3) return t.n == 3 and t[3] == 3");
    script_expect_true(f, "local a, b, c = table.unpack({1, 2, 3}) return a == 1 and c == 3 and "
                          "select('#', table.unpack({}, 1, 3)) == 3");
    script_expect_failure(f, "table.insert({}, 5, 1)", "position out of bounds");
    script_expect_failure(f, "table.insert({})", "wrong number of arguments");
    script_expect_failure(f, "table.remove({1, 2}, 7)", "position out of bounds");
    script_expect_failure(f, "table.concat({1, {}})", "invalid value (at index 2)");
    script_expect_failure(f, "table.move({}, 0, math.maxinteger, 1)", "too many elements");
    script_expect_failure(f, "table.move({}, 1, 2, math.maxinteger)", "wrap around");
}

static void test_sorting(void **state)
{
    struct script_fixture *f = *state;
    script_expect(f, "local t = {3, 1, 2} table.sort(t) return t", "\x93\x01\x02\x03", 4);
    script_expect(f, "local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end) return t",
                  "\x93\x03\x02\x01", 4);
    script_expect_true(f, "local x = 12345\n"
                          "for n = 0, 70 do\n"
                          "    local t, sum = {}, 0\n"
                          "    for i = 1, n do x = (x * 1103515245 + 12345) % 2147483648\n"
                          "        t[i] = x % 50 sum = sum + t[i] end\n"
                          "    table.sort(t)\n"
                          "    if #t ~= n then return false end\n"
                          "    for i = 1, n do sum = sum - t[i]\n"
                          "        if i > 1 and t[i - 1] > t[i] then return false end end\n"
                          "    if sum ~= 0 then return false end\n"
                          "end\n"
                          "return true");
    script_expect_failure(f, "table.sort({1, 'a'})", "attempt to compare");
    script_expect_failure(f, "table.sort({1, 2}, 5)", "function expected");
    /* An order that makes no sense, or raises, loses nothing. */
    script_expect_true(f, "local t = {} for i = 1, 100 do t[i] = i end\n"
                          "local n = 0\n"
                          "table.sort(t, function(a, b) n = n + 1 return n % 3 == 0 end)\n"
                          "pcall(table.sort, t, function(a, b) n = n + 1 return n % 200 == 7 or "
                          "error('x') end)\n"
                          "local sum = 0 for i = 1, 100 do sum = sum + t[i] end\n"
                          "return #t == 100 and sum == 5050");
}

static void test_the_rest(void **state)
{
    struct script_fixture *f = *state;
    script_expect_true(f, "return ('x'):rep(3, ',') == 'x,x,x' and ('x'):rep(0) == '' and "
                          "('x'):rep(-1) == '' and (''):rep(5) == '' and (''):rep(3, 'y') == 'yy'");
    script_expect_true(f, "return string.format('%d %s %q %5.2f %%', 7, 'x', 'y', 1.5) == "
                          "'7 x \"y\"  1.50 %'");
    script_expect_failure(f, "return string.format('%d', 'x')", "number expected");
    script_expect_failure(f, "return string.format('%s')", "bad argument #2 to 'format'");
    script_expect_true(f, "return utf8.len('\\u{e9}x') == 2 and utf8.char(233) == '\\u{e9}'");
    script_expect_true(f, "return tonumber('0x10') == 16 and tonumber('z', 36) == 35 and "
                          "tonumber('x') == nil and tostring(1.0) == '1.0' and '10' + 1 == 11");
    script_expect_true(f,
                       "return math.type(1) == 'integer' and 7 // 2 == 3 and math.max(1, 2) == 2");
}

#define CALLS_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALLS_TEST(test_operations),
        CALLS_TEST(test_errors_of_the_host),
        CALLS_TEST(test_operations_are_limited),
        CALLS_TEST(test_steps_are_counted),
        CALLS_TEST(test_time_is_limited),
        CALLS_TEST(test_checks_only),
        CALLS_TEST(test_the_cache_is_bounded),
        CALLS_TEST(test_large_functions_go_first),
        CALLS_TEST(test_names_are_told),
        CALLS_TEST(test_nothing_grows),
        CALLS_TEST(test_tables),
        CALLS_TEST(test_sorting),
        CALLS_TEST(test_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
