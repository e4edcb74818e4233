/* The operations that there are within a transaction only, one by one. */
#include "protocol/value_edit.h"
#include "tests/support/core_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct bytes none = {NULL, 0};

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

static void start(struct core_fixture *f, uint16_t ops)
{
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_TXN);
    wire_write_u16(&f->message, 0);
    wire_write_u16(&f->message, ops);
}

static void op(struct core_fixture *f, uint8_t code, const char *key, int64_t by,
               struct bytes value)
{
    txn_op_write(&f->message, &(struct txn_op){code, by, bytes_of(key), value});
}

static struct parsed_reply finish(struct core_fixture *f)
{
    wire_write_u16(&f->message, 0);
    request_finish(f);
    struct parsed_reply reply = core_fixture_ask(f, "p");
    if (reply.header.status == ERR_OK) {
        (void)wire_read_u8(&reply.body);
        (void)wire_read_u16(&reply.body);
    }
    return reply;
}

/* A transaction of one operation, which goes well; its result. */
static struct txn_result one(struct core_fixture *f, uint8_t code, const char *key, int64_t by,
                             struct bytes value)
{
    struct txn_result result;
    start(f, 1);
    op(f, code, key, by, value);
    struct parsed_reply reply = finish(f);
    assert_int_equal(reply.header.status, ERR_OK);
    assert_true(txn_result_read(&reply.body, &result));
    assert_int_equal(result.op, code);
    return result;
}

static void refused(struct core_fixture *f, uint8_t code, const char *key, int64_t by,
                    struct bytes value, int status, const char *part_of_text)
{
    uint64_t head = core_fixture_head(f);
    start(f, 1);
    op(f, code, key, by, value);
    struct parsed_reply reply = finish(f);
    assert_int_equal(reply.header.status, status);
    assert_non_null(strstr(reply.text, part_of_text));
    assert_int_equal(core_fixture_head(f), head);
}

static void put(struct core_fixture *f, const char *key, struct bytes value)
{
    (void)one(f, OP_PUT, key, 0, value);
}

static void assert_value(struct core_fixture *f, const char *key, struct bytes value)
{
    struct reply_get got = core_fixture_get(f, key);
    assert_true(got.present);
    assert_true(bytes_equal(got.value, value));
}

static void assert_result(struct txn_result r, bool present, uint64_t seq, struct bytes value)
{
    assert_int_equal(r.present, present);
    assert_int_equal(r.seq, seq);
    assert_true(bytes_equal(r.value, value));
}

static void test_append(void **state)
{
    struct core_fixture *f = *state;
    assert_result(one(f, TXN_APPEND, "a", 0, value_text("x")), false, 0, value_number(1));
    assert_result(one(f, TXN_APPEND, "a", 0, value_number(7)), true, 1, value_number(2));
    assert_value(f, "a", bytes_of("\x92\xa1x\x07"));
    for (unsigned i = 2; i < 20; i++)
        assert_int_equal(one(f, TXN_APPEND, "a", 0, value_number(7)).value.data[0], i + 1);
    struct reply_get got = core_fixture_get(f, "a");
    assert_memory_equal(got.value.data, "\xdc\x00\x14\xa1x\x07", 6);
    assert_int_equal(got.version, 20);
    put(f, "s", value_text("ab"));
    assert_result(one(f, TXN_APPEND, "s", 0, value_text("cde")), true, 21, value_number(5));
    assert_value(f, "s", value_text("abcde"));
    put(f, "b", (struct bytes){(const uint8_t *)"\xc4\x01\xff", 3});
    assert_result(
        one(f, TXN_APPEND, "b", 0, (struct bytes){(const uint8_t *)"\xc4\x02\x00\x01", 4}), true,
        23, value_number(3));
    assert_value(f, "b", (struct bytes){(const uint8_t *)"\xc4\x03\xff\x00\x01", 5});
    refused(f, TXN_APPEND, "s", 0, value_number(1), ERR_BAD_VALUE, "then op 0: the key's value is");
    refused(f, TXN_APPEND, "b", 0, value_text("x"), ERR_BAD_VALUE, "then op 0: the key's value is");
    put(f, "n", value_number(1));
    refused(f, TXN_APPEND, "n", 0, value_number(1), ERR_BAD_VALUE, "is not an array");
}

static void test_append_bounds(void **state)
{
    struct core_fixture *f = *state;
    uint8_t deep[LIMIT_VALUE_DEPTH];
    memset(deep, 0x91, sizeof deep);
    deep[sizeof deep - 1] = 0x90;
    refused(f, TXN_APPEND, "a", 0, (struct bytes){deep, sizeof deep}, ERR_BAD_VALUE, "31 levels");
    (void)one(f, TXN_APPEND, "a", 0, (struct bytes){deep + 1, sizeof deep - 1});
    struct bytes half = value_blob(600000, 3);
    put(f, "b", half);
    refused(f, TXN_APPEND, "b", 0, half, ERR_TOO_LARGE, "at most 1048576 are allowed");
    /* What would be copied is bounded. */
    start(f, 30);
    for (int i = 0; i < 30; i++)
        op(f, TXN_APPEND, "b", 0, bytes_of("\xc4\x01x"));
    struct parsed_reply reply = finish(f);
    assert_int_equal(reply.header.status, ERR_LIMIT);
    assert_non_null(strstr(reply.text, "keys of their own"));
    /* And so is what a message's requests make grow, so that others get room in the batch. */
    char key[16];
    for (int i = 0; i < 40; i++) {
        (void)snprintf(key, sizeof key, "g%d", i);
        put(f, key, half);
    }
    uint64_t head = core_fixture_head(f);
    core_fixture_message(f, 0, 0);
    for (int i = 0; i < 80; i++) {
        (void)snprintf(key, sizeof key, "g%d", i % 40);
        (void)request_start(f, OP_TXN);
        wire_write_u32(&f->message, 1 << 16); /* no compares, one op */
        op(f, TXN_APPEND, key, 0, bytes_of("\xc4\x01x"));
        wire_write_u16(&f->message, 0);
        request_finish(f);
    }
    (void)request_put(f, "last", value_number(1));
    core_fixture_run(f, "p");
    assert_int_equal(core_fixture_reply(f, 0, 0).header.status, ERR_OK);
    reply = core_fixture_reply(f, 0, 79);
    assert_int_equal(reply.header.status, ERR_TOO_LARGE);
    assert_non_null(strstr(reply.text, "one message"));
    assert_int_equal(core_fixture_reply(f, 0, 80).header.status, ERR_OK);
    assert_true(core_fixture_head(f) > head + 30);
    free((void *)(uintptr_t)half.data);
}

static void test_add(void **state)
{
    struct core_fixture *f = *state;
    assert_result(one(f, TXN_ADD, "a", 0, value_text("x")), false, 0, value_number(1));
    assert_result(one(f, TXN_ADD, "a", 0, value_text("y")), false, 1, value_number(2));
    assert_result(one(f, TXN_ADD, "a", 0, value_text("x")), true, 2, value_number(2));
    assert_int_equal(core_fixture_head(f), 2);
    assert_value(f, "a", bytes_of("\x92\xa1x\xa1y"));
    put(f, "s", value_text("text"));
    refused(f, TXN_ADD, "s", 0, value_text("x"), ERR_BAD_VALUE, "is not an array");
}

static void test_set_default_and_pop(void **state)
{
    struct core_fixture *f = *state;
    assert_result(one(f, TXN_SET_DEFAULT, "a", 0, value_number(1)), false, 0, value_number(1));
    assert_result(one(f, TXN_SET_DEFAULT, "a", 0, value_number(2)), true, 1, value_number(1));
    assert_int_equal(core_fixture_head(f), 1);
    assert_result(one(f, TXN_POP, "a", 0, none), true, 1, value_number(1));
    assert_result(one(f, TXN_POP, "a", 0, none), false, 2, none);
    assert_int_equal(core_fixture_head(f), 2);
    assert_result(one(f, TXN_SET_DEFAULT, "a", 0, value_number(3)), false, 2, value_number(3));
    core_fixture_restart(f);
    assert_value(f, "a", value_number(3));
}

static void test_prefixes(void **state)
{
    struct core_fixture *f = *state;
    put(f, "q", value_number(0));
    put(f, "q/b", value_number(2));
    put(f, "q/a", value_number(1));
    put(f, "r/a", value_number(9));
    assert_result(one(f, TXN_COUNT, "q/", 0, none), true, 0, value_number(2));
    assert_result(one(f, TXN_COUNT, "", 0, none), true, 0, value_number(4));
    assert_result(one(f, TXN_COUNT, "x", 0, none), false, 0, value_number(0));
    assert_result(one(f, TXN_LIST, "q/", 0, none), true, 0,
                  bytes_of("\x92\x93\xa3q/a\x03\x01\x93\xa3q/b\x02\x02"));
    assert_result(one(f, TXN_LIST, "q/", 1, none), true, 0, bytes_of("\x91\x93\xa3q/a\x03\x01"));
    assert_result(one(f, TXN_LIST, "x", 0, none), false, 0, bytes_of("\x90"));
    refused(f, TXN_LIST, "q/", -1, none, ERR_INVALID, "at most -1");
    assert_result(one(f, TXN_KEYS, "q/", 0, none), true, 0, bytes_of("\x92\xa3q/a\xa3q/b"));
    assert_result(one(f, TXN_KEYS, "q/", 1, none), true, 0, bytes_of("\x91\xa3q/a"));
    assert_result(one(f, TXN_KEYS, "x", 0, none), false, 0, bytes_of("\x90"));
    refused(f, TXN_KEYS, "q/", -1, none, ERR_INVALID, "at most -1");
    assert_result(one(f, TXN_POP_ANY, "q/", 0, none), true, 3, bytes_of("\x92\xa3q/a\x01"));
    assert_result(one(f, TXN_CLEAR, "q", 0, none), true, 0, value_number(2));
    assert_result(one(f, TXN_POP_ANY, "q", 0, none), false, 0, none);
    assert_int_equal(core_fixture_get(f, "r/a").present, 1);
    assert_result(one(f, TXN_CLEAR, "", 0, none), true, 0, value_number(1));
    refused(f, TXN_COUNT, "\xff", 0, none, ERR_BAD_KEY, "the prefix of 1 bytes");
}

static void test_push(void **state)
{
    struct core_fixture *f = *state;
    start(f, 2);
    op(f, TXN_PUSH, "q/", 0, value_number(1));
    op(f, TXN_PUSH, "q/", 0, value_number(2));
    struct parsed_reply reply = finish(f);
    struct txn_result result;
    assert_true(txn_result_read(&reply.body, &result));
    assert_result(result, false, 0, bytes_of("\xb7q/0000000000000001-0000"));
    assert_true(txn_result_read(&reply.body, &result));
    assert_result(result, false, 0, bytes_of("\xb7q/0000000000000001-0001"));
    (void)one(f, TXN_PUSH, "q/", 0, value_number(3));
    for (uint8_t i = 1; i <= 3; i++)
        assert_int_equal(one(f, TXN_POP_ANY, "q/", 0, none).value.data[25], i);
    char key[LIMIT_KEY_SIZE + 1] = {0};
    memset(key, 'k', LIMIT_KEY_SIZE - TXN_PUSH_SUFFIX);
    (void)one(f, TXN_PUSH, key, 0, value_number(1));
    memset(key, 'k', LIMIT_KEY_SIZE - TXN_PUSH_SUFFIX + 1);
    refused(f, TXN_PUSH, key, 0, value_number(1), ERR_BAD_KEY, "at most 459 bytes");
    refused(f, TXN_PUSH, "\xc3", 0, value_number(1), ERR_BAD_KEY, "whole UTF-8");
    (void)snprintf(key, sizeof key, "p/%016llx-0000", (unsigned long long)core_fixture_head(f) + 2);
    put(f, key, value_number(1));
    refused(f, TXN_PUSH, "p/", 0, value_number(1), ERR_CONFLICT, "is there");
}

/* What the transaction wrote itself is seen by what follows, and its seq is the record's; where there
 * is none, that is not named. */
static void test_own_writes(void **state)
{
    struct core_fixture *f = *state;
    put(f, "q/b", value_number(2));
    struct txn_result result;
    for (int changes = 0; changes < 2; changes++) {
        start(f, (uint16_t)(4 + changes));
        op(f, OP_PUT, "q/a", 0, value_number(1));
        op(f, TXN_LIST, "q/", 0, none);
        op(f, TXN_POP_ANY, "q/", 0, none);
        op(f, TXN_COUNT, "q/", 0, none);
        if (changes)
            op(f, OP_PUT, "q/0", 0, value_number(0));
        struct parsed_reply reply = finish(f);
        assert_int_equal(reply.header.status, ERR_OK);
        assert_true(txn_result_read(&reply.body, &result));
        assert_true(txn_result_read(&reply.body, &result));
        assert_result(result, true, 0,
                      changes ? bytes_of("\x92\x93\xa3q/a\x02\x01\x93\xa3q/b\x01\x02")
                              : (struct bytes){(const uint8_t *)"\x92\x93\xa3q/a\x00\x01"
                                                                "\x93\xa3q/b\x01\x02",
                                               15});
        assert_true(txn_result_read(&reply.body, &result));
        assert_result(result, true, 0, bytes_of("\x92\xa3q/a\x01"));
        assert_true(txn_result_read(&reply.body, &result));
        assert_result(result, true, 0, value_number(1));
        assert_int_equal(core_fixture_head(f), 1 + (unsigned)changes);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_append),   T(test_append_bounds), T(test_add),        T(test_set_default_and_pop),
        T(test_prefixes), T(test_push),          T(test_own_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
