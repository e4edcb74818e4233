/* Calls through the core: one record or nothing, exactly once, stored functions, limits, long errors. */
#include "tests/support/core_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct core_fixture *f = malloc(sizeof *f);
    core_fixture_open(f, 12, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    core_fixture_close(*state);
    free(*state);
    return 0;
}

static void put(struct core_fixture *f, const char *key, struct bytes value)
{
    core_fixture_message(f, 0, 0);
    (void)request_put(f, key, value);
    assert_int_equal(core_fixture_ask(f, "p").header.status, ERR_OK);
}

static void add_call(struct core_fixture *f, const char *name, const char *source,
                     struct bytes arguments)
{
    (void)request_start(f, OP_CALL);
    request_call_write(&f->message, &(struct request_call){.name = bytes_of(name),
                                                           .source = bytes_of(source),
                                                           .arguments = arguments});
    request_finish(f);
}

static const struct bytes none = {NULL, 0};

static struct parsed_reply call_with(struct core_fixture *f, const char *name, const char *source,
                                     struct bytes arguments)
{
    core_fixture_message(f, 0, 0);
    add_call(f, name, source, arguments);
    return core_fixture_ask(f, "p");
}

static struct parsed_reply call(struct core_fixture *f, const char *source)
{
    return call_with(f, "", source, none);
}

static void assert_value(struct parsed_reply reply, uint64_t seq, const char *value, size_t size)
{
    struct reply_call body;
    if (reply.header.status)
        print_error("%s\n", reply.text);
    assert_int_equal(reply.header.status, ERR_OK);
    assert_true(reply_call_read(&reply.body, &body));
    assert_int_equal(body.value.size, size);
    assert_memory_equal(body.value.data, value, size);
    assert_int_equal(reply.header.seq, seq);
}

static void assert_failed(struct parsed_reply reply, int status, const char *text)
{
    if (reply.header.status != status || !strstr(reply.text, text))
        print_error("%u: %s\n", reply.header.status, reply.text);
    assert_int_equal(reply.header.status, status);
    assert_non_null(strstr(reply.text, text));
}

static void store(struct core_fixture *f, const char *key, const char *source)
{
    uint8_t value[600];
    size_t size = strlen(source);
    size_t head = size < 32 ? 1 : size < 256 ? 2 : 3;
    assert_true(size + 3 < sizeof value);
    value[0] = (uint8_t)(size < 32 ? 0xa0 | size : size < 256 ? 0xd9 : 0xda);
    if (head == 2)
        value[1] = (uint8_t)size;
    if (head == 3) {
        value[1] = (uint8_t)(size >> 8);
        value[2] = (uint8_t)size;
    }
    memcpy(value + head, source, size);
    put(f, key, (struct bytes){value, head + size});
}

/* ---- what a call does ---- */

static void test_one_record_of_all_changes(void **state)
{
    struct core_fixture *f = *state;
    put(f, "gone", value_number(1));
    put(f, "from", value_number(10));
    assert_value(call(f, "put('from', get('from') - 3)\n"
                         "put('to', (get('to') or 0) + 3)\n"
                         "put('to', get('to') + 1)\n"
                         "put('short', 1) delete('short')\n"
                         "delete('gone') delete('never')\n"
                         "return {get('from'), get('to'), list('')}"),
                 3,
                 "\x93\x07\x04\x92\xa4"
                 "from\xa2to",
                 12);
    assert_int_equal(core_fixture_head(f), 3);
    struct record_header h;
    struct bytes record = f->journal.items[f->journal.count - 1];
    assert_int_equal(record_check(record, &h), ERR_OK);
    assert_int_equal(h.count, 3);
    assert_int_equal(core_fixture_get(f, "from").modified, 3);
    assert_int_equal(core_fixture_get(f, "gone").present, 0);
}

static void test_without_a_change_there_is_no_record(void **state)
{
    struct core_fixture *f = *state;
    put(f, "a", value_number(1));
    assert_value(call(f, "put('x', 1) delete('x') return get('a')"), 1, "\x01", 1);
    assert_int_equal(core_fixture_head(f), 1);
}

static void test_an_error_leaves_nothing(void **state)
{
    struct core_fixture *f = *state;
    static const char *const sources[] = {
        "put('a', 2) error('no')", "put('a', 2) delete('b') while true do end",
        "put('a', 2) local t = {} while true do t[#t + 1] = {} end", "put('a', 2) put('', 1)",
        "put('a', 2) incr('b')"};
    put(f, "a", value_number(1));
    put(f, "b", value_text("text"));
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        struct parsed_reply reply = call(f, sources[i]);
        assert_failed(reply, ERR_SCRIPT, "source:1: ");
        assert_failed(reply, ERR_SCRIPT, "\nstack traceback:\n\t");
    }
    assert_failed(call(f, "put('a', 2) return get"), ERR_SCRIPT, "the result holds a function");
    assert_failed(call(f, "put('a', 2) return 1, 2"), ERR_SCRIPT, "one value");
    assert_int_equal(core_fixture_head(f), 2);
    assert_int_equal(core_fixture_get(f, "a").value.data[0], 1);
    /* What the script may catch has no effect either. */
    assert_value(call(f, "local a = pcall(put, '', 1) local b, e = pcall(incr, 'b')\n"
                         "return {a, b, e:find('not an integer') ~= nil, pcall(put, 'x', get)}"),
                 2, "\x95\xc2\xc2\xc3\xc2\xd9\x2dthe value holds a function, which is no value",
                 52);
}

static void test_operations_on_the_state(void **state)
{
    struct core_fixture *f = *state;
    assert_value(call(f, "return incr('n', 5) + incr('n', -2)"), 1, "\x08", 1);
    assert_value(call(f, "return now() > 0 and now() == now()"), 1, "\xc3", 1);
    assert_value(call(f, "put('t', 1, 5000) return get('t')"), 2, "\x01", 1);
}

static void test_stored_functions(void **state)
{
    struct core_fixture *f = *state;
    store(f, "vigil/function/add", "return incr(args[1], args[2])");
    assert_value(call_with(f, "add", "", bytes_of("\x92\xa1n\x05")), 2, "\x05", 1);
    assert_value(call_with(f, "add", "", bytes_of("\x92\xa1n\x05")), 3, "\x0a", 1);
    store(f, "vigil/function/add", "local key, by = args[1], args[2] return incr(key, by * 100)");
    assert_value(call_with(f, "add", "", bytes_of("\x92\xa1n\x01")), 5, "\x6e", 1);
    /* A function may change functions; the call under way is not changed. */
    assert_value(call_with(f, "add", "", (struct bytes){(const uint8_t *)"\x92\xa1n\x00", 4}), 6,
                 "\x6e", 1);
    store(f, "vigil/function/self", "put('vigil/function/self', 'return 2') return 1");
    assert_value(call_with(f, "self", "", none), 8, "\x01", 1);
    assert_value(call_with(f, "self", "", none), 8, "\x02", 1);
    store(f, "vigil/function/bad", "\n\nreturn nothing.x");
    assert_failed(call_with(f, "bad", "", none), ERR_SCRIPT, "bad:3: attempt to index a nil value");
}

static void test_what_is_no_call(void **state)
{
    struct core_fixture *f = *state;
    put(f, "vigil/function/number", value_number(1));
    assert_failed(call_with(f, "", "", none), ERR_INVALID, "either");
    assert_failed(call_with(f, "a", "return 1", none), ERR_INVALID, "either");
    assert_failed(call_with(f, "a", "", none), ERR_NOT_FOUND, "no function 'a'");
    assert_failed(call_with(f, "number", "", none), ERR_BAD_VALUE, "not a string");
    assert_failed(call_with(f, "\xff", "", none), ERR_BAD_KEY, "UTF-8");
    char name[LIMIT_KEY_SIZE + 1];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_failed(call_with(f, name, "", none), ERR_BAD_KEY, "at most 465");
    assert_failed(call_with(f, "", "return 1", bytes_of("\x81\x01\x01")), ERR_BAD_VALUE, "array");
    assert_failed(call_with(f, "", "return 1", bytes_of("\x91")), ERR_BAD_VALUE, "well-formed");
    core_fixture_message(f, 0, 0);
    f->next_flags = 2;
    add_call(f, "", "return 1", none);
    assert_failed(core_fixture_ask(f, "p"), ERR_MALFORMED, "flag 0x02");
}

static void test_check_only(void **state)
{
    struct core_fixture *f = *state;
    core_fixture_message(f, 0, 0);
    f->next_flags = REQUEST_CALL_CHECK;
    add_call(f, "", "put('a', 1)", none);
    assert_value(core_fixture_ask(f, "p"), 0, "\xc0", 1);
    core_fixture_message(f, 0, 0);
    f->next_flags = REQUEST_CALL_CHECK;
    add_call(f, "", "put('a',", none);
    assert_failed(core_fixture_ask(f, "p"), ERR_SCRIPT, "source:1:");
    assert_int_equal(core_fixture_head(f), 0);
}

/* ---- limits ---- */

static void test_keys_are_limited(void **state)
{
    struct core_fixture *f = *state;
    assert_failed(call(f, "for i = 1, 10001 do put('k' .. i, i) end"), ERR_SCRIPT,
                  "more than 10000 operations");
    assert_int_equal(core_fixture_head(f), 0);
    assert_value(call(f, "for i = 1, 5000 do put('k' .. i, i) end return #list('k1')"), 1,
                 "\xcd\x04\x57", 3);
}

static void test_long_texts_fit(void **state)
{
    struct core_fixture *f = *state;
    struct parsed_reply reply = call(f, "error(('x'):rep(100000))");
    assert_failed(reply, ERR_SCRIPT, "xxx");
    assert_true(strlen(reply.text) > 2000);
    /* As many as a message may have: each reply has its room. */
    core_fixture_message(f, 0, 0);
    for (int i = 0; i < LIMIT_MESSAGE_REQUESTS; i++)
        add_call(f, "", "error(('x'):rep(5000))", none);
    core_fixture_run(f, "p");
    for (size_t i = 0; i < LIMIT_MESSAGE_REQUESTS; i += 315)
        assert_int_equal(core_fixture_reply(f, 0, i).header.status, ERR_SCRIPT);
}

/* ---- time ---- */

static void test_a_messages_functions_share_time(void **state)
{
    struct core_fixture *f = *state;
    f->clock_step_us = 60000; /* each time that the clock is looked at */
    core_fixture_message(f, 0, 0);
    for (int i = 0; i < 2; i++)
        add_call(f, "", "return incr('n')", none);
    core_fixture_run(f, "p");
    assert_failed(core_fixture_reply(f, 0, 0), ERR_SCRIPT, "time");
    assert_failed(core_fixture_reply(f, 0, 1), ERR_BUSY, "fewer at once");
    f->clock_step_us = 0;
    assert_value(call(f, "return get('n') == nil"), core_fixture_head(f), "\xc3", 1);
}

static uint16_t status_of(struct core_fixture *f, const char *peer, const char *source)
{
    core_fixture_message(f, 0, 0);
    add_call(f, "", source, none);
    core_fixture_begin(f);
    core_fixture_send(f, peer);
    core_fixture_commit(f);
    return core_fixture_reply(f, 0, 0).header.status;
}

/* Whoever sends them, in however many batches, as long as others have not had their time. */
static void test_others_come_before_more_functions(void **state)
{
    struct core_fixture *f = *state;
    char peer[16];
    f->clock_step_us = 60000;
    status_of(f, "p", "return 1");
    f->clock_step_us = 0;
    for (int i = 0; i < 20; i++) {
        snprintf(peer, sizeof peer, "p%d", i);
        assert_int_equal(status_of(f, peer, "return 1"), ERR_BUSY);
    }
    /* As much time for the others as the functions had. */
    f->clock_us += 1000000;
    assert_int_equal(status_of(f, "q", "return 1"), ERR_OK);
    /* Or all have been read. */
    f->clock_step_us = 60000;
    status_of(f, "q", "return 1");
    f->clock_step_us = 0;
    assert_int_equal(status_of(f, "q", "return 1"), ERR_BUSY);
    core_all_read(f->core);
    assert_int_equal(status_of(f, "q", "return 1"), ERR_OK);
}

#define CORE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CORE_TEST(test_one_record_of_all_changes),
        CORE_TEST(test_without_a_change_there_is_no_record),
        CORE_TEST(test_an_error_leaves_nothing),
        CORE_TEST(test_operations_on_the_state),
        CORE_TEST(test_stored_functions),
        CORE_TEST(test_what_is_no_call),
        CORE_TEST(test_check_only),
        CORE_TEST(test_keys_are_limited),
        CORE_TEST(test_long_texts_fit),
        CORE_TEST(test_a_messages_functions_share_time),
        CORE_TEST(test_others_come_before_more_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
