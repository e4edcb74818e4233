/* Transactions: compares, branches, own writes, net changes, failures that change nothing. */
#include "tests/support/core_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct core_fixture *f = malloc(sizeof *f);
    core_fixture_open(f, 11, NULL);
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

/* A transaction is started, then filled list by list: n compares, n ops, n ops. */
static void txn_start(struct core_fixture *f, uint16_t compares)
{
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_TXN);
    wire_write_u16(&f->message, compares);
}

static void compare(struct core_fixture *f, const char *key, uint8_t target, uint8_t relation,
                    uint64_t number, struct bytes value)
{
    txn_compare_write(&f->message,
                      &(struct txn_compare){target, relation, number, bytes_of(key), value});
}

static void list(struct core_fixture *f, uint16_t ops)
{
    wire_write_u16(&f->message, ops);
}

static void op(struct core_fixture *f, uint8_t code, const char *key, int64_t by,
               struct bytes value)
{
    txn_op_write(&f->message, &(struct txn_op){code, by, bytes_of(key), value});
}

static const struct bytes none = {NULL, 0};

static struct parsed_reply txn_run(struct core_fixture *f)
{
    request_finish(f);
    return core_fixture_ask(f, "p");
}

/* Leaves the reply's body at the first result. */
static void assert_txn(struct parsed_reply *reply, uint64_t seq, bool succeeded, uint16_t results)
{
    assert_int_equal(reply->header.status, ERR_OK);
    assert_int_equal(reply->header.seq, seq);
    assert_int_equal(wire_read_u8(&reply->body), succeeded);
    assert_int_equal(wire_read_u16(&reply->body), results);
}

static void assert_result(struct parsed_reply *reply, uint8_t code, bool present, uint64_t seq,
                          struct bytes value)
{
    struct txn_result result;
    assert_true(txn_result_read(&reply->body, &result));
    assert_int_equal(result.op, code);
    assert_int_equal(result.present, present);
    assert_int_equal(result.seq, seq);
    assert_true(bytes_equal(result.value, value));
}

static void assert_change(struct change_iterator *i, uint8_t code, const char *key, uint64_t prev,
                          struct bytes value)
{
    struct change c;
    assert_true(change_next(i, &c));
    assert_int_equal(c.op, code);
    assert_true(bytes_equal(c.key, bytes_of(key)));
    assert_int_equal(c.prev_seq, prev);
    assert_true(bytes_equal(c.value, value));
}

static void test_one_record_net_changes(void **state)
{
    struct core_fixture *f = *state;
    put(f, "x", value_number(1));
    put(f, "y", value_number(2));
    txn_start(f, 0);
    list(f, 9);
    op(f, OP_PUT, "b", 0, value_number(10));
    op(f, OP_INCR, "x", 5, none);
    op(f, OP_PUT, "gone", 0, value_number(1));
    op(f, OP_DELETE, "y", 0, none);
    op(f, OP_INCR, "x", 5, none);
    op(f, OP_GET, "x", 0, none);
    op(f, OP_DELETE, "gone", 0, none);
    op(f, OP_DELETE, "never", 0, none);
    op(f, OP_GET, "y", 0, none);
    list(f, 0);
    struct parsed_reply reply = txn_run(f);
    assert_txn(&reply, 3, true, 9);
    assert_result(&reply, OP_PUT, false, 0, none);
    assert_result(&reply, OP_INCR, true, 1, value_number(6));
    assert_result(&reply, OP_PUT, false, 0, none);
    assert_result(&reply, OP_DELETE, true, 2, none);
    assert_result(&reply, OP_INCR, true, 1, value_number(11));
    assert_result(&reply, OP_GET, true, 3, value_number(11));
    assert_result(&reply, OP_DELETE, true, 0, none);
    assert_result(&reply, OP_DELETE, false, 0, none);
    assert_result(&reply, OP_GET, false, 3, none);
    assert_true(wire_read_complete(&reply.body));
    assert_int_equal(core_fixture_head(f), 3);
    struct change_iterator i = record_changes(core_fixture_record(f, 3).data);
    assert_int_equal(i.left, 3);
    assert_change(&i, CHANGE_PUT, "b", 0, value_number(10));
    assert_change(&i, CHANGE_PUT, "x", 1, value_number(11));
    assert_change(&i, CHANGE_DELETE, "y", 2, none);
    struct reply_get got = core_fixture_get(f, "x");
    assert_int_equal(got.version, 2);
    assert_int_equal(got.created, 1);
    assert_int_equal(core_fixture_get(f, "gone").modified, 0);
    assert_int_equal(core_fixture_get(f, "y").modified, 3);
}

static void test_nothing_changes(void **state)
{
    struct core_fixture *f = *state;
    put(f, "x", value_number(1));
    txn_start(f, 0);
    list(f, 4);
    op(f, OP_PUT, "a", 0, value_number(1));
    op(f, OP_GET, "a", 0, none);
    op(f, OP_DELETE, "a", 0, none);
    op(f, OP_GET, "x", 0, none);
    list(f, 0);
    struct parsed_reply reply = txn_run(f);
    assert_txn(&reply, 1, true, 4);
    assert_result(&reply, OP_PUT, false, 0, none);
    /* There is no record whose seq it could name. */
    assert_result(&reply, OP_GET, true, 0, value_number(1));
    assert_result(&reply, OP_DELETE, true, 0, none);
    assert_result(&reply, OP_GET, true, 1, value_number(1));
    assert_int_equal(core_fixture_head(f), 1);
    assert_int_equal(core_fixture_get(f, "a").present, 0);
}

static void test_delete_then_put_keeps_the_life(void **state)
{
    struct core_fixture *f = *state;
    put(f, "x", value_number(1));
    txn_start(f, 0);
    list(f, 2);
    op(f, OP_DELETE, "x", 0, none);
    op(f, OP_PUT, "x", 0, value_number(2));
    list(f, 0);
    struct parsed_reply reply = txn_run(f);
    assert_txn(&reply, 2, true, 2);
    /* One net change: what follows from the record alone, as after a restart. */
    for (int round = 0; round < 2; round++) {
        struct reply_get got = core_fixture_get(f, "x");
        assert_int_equal(got.created, 1);
        assert_int_equal(got.version, 2);
        core_fixture_restart(f);
    }
}

static bool compare_one(struct core_fixture *f, const char *key, uint8_t target, uint8_t relation,
                        uint64_t number, struct bytes value)
{
    txn_start(f, 1);
    compare(f, key, target, relation, number, value);
    list(f, 0);
    list(f, 1);
    op(f, OP_GET, "x", 0, none);
    struct parsed_reply reply = txn_run(f);
    assert_int_equal(reply.header.status, ERR_OK);
    uint8_t succeeded = wire_read_u8(&reply.body);
    assert_int_equal(wire_read_u16(&reply.body), succeeded ? 0 : 1);
    return succeeded;
}

static void test_compares(void **state)
{
    struct core_fixture *f = *state;
    put(f, "y", value_number(0));
    put(f, "x", value_number(1));
    put(f, "x", value_number(2)); /* modified 3, version 2 */
    static const uint64_t numbers[] = {0, 1, 2, 3, 4};
    for (size_t i = 0; i < 5; i++) {
        uint64_t n = numbers[i];
        for (int present = 0; present < 2; present++) {
            const char *key = present ? "x" : "absent";
            uint64_t of[5] = {0, present ? 3 : 0, 0, (uint64_t)present, present ? 2 : 0};
            for (unsigned t = COMPARE_SEQ; t <= COMPARE_VERSION; t++) {
                uint8_t target = (uint8_t)t;
                if (target == COMPARE_VALUE)
                    continue;
                assert_int_equal(compare_one(f, key, target, COMPARE_EQUAL, n, none),
                                 of[target] == n);
                assert_int_equal(compare_one(f, key, target, COMPARE_NOT_EQUAL, n, none),
                                 of[target] != n);
                assert_int_equal(compare_one(f, key, target, COMPARE_LESS, n, none),
                                 of[target] < n);
                assert_int_equal(compare_one(f, key, target, COMPARE_GREATER, n, none),
                                 of[target] > n);
            }
        }
    }
    assert_true(compare_one(f, "x", COMPARE_VALUE, COMPARE_EQUAL, 0, value_number(2)));
    assert_false(compare_one(f, "x", COMPARE_VALUE, COMPARE_EQUAL, 0, value_number(1)));
    assert_true(compare_one(f, "x", COMPARE_VALUE, COMPARE_NOT_EQUAL, 0, value_number(1)));
    assert_false(compare_one(f, "absent", COMPARE_VALUE, COMPARE_EQUAL, 0, none));
    assert_true(compare_one(f, "absent", COMPARE_VALUE, COMPARE_NOT_EQUAL, 0, none));
}

static void test_all_compares_must_hold(void **state)
{
    struct core_fixture *f = *state;
    put(f, "x", value_number(1));
    txn_start(f, 2);
    compare(f, "x", COMPARE_EXISTS, COMPARE_EQUAL, 1, none);
    compare(f, "y", COMPARE_EXISTS, COMPARE_EQUAL, 1, none);
    list(f, 1);
    op(f, OP_PUT, "then", 0, value_number(1));
    list(f, 1);
    op(f, OP_PUT, "else", 0, value_number(1));
    struct parsed_reply reply = txn_run(f);
    assert_txn(&reply, 2, false, 1);
    assert_int_equal(core_fixture_get(f, "then").present, 0);
    assert_int_equal(core_fixture_get(f, "else").present, 1);
}

static void assert_fails(struct core_fixture *f, int code, const char *part_of_text)
{
    uint64_t head = core_fixture_head(f);
    struct parsed_reply reply = txn_run(f);
    assert_int_equal(reply.header.status, code);
    if (part_of_text)
        assert_non_null(strstr(reply.text, part_of_text));
    assert_int_equal(core_fixture_head(f), head);
    assert_int_equal(core_fixture_get(f, "a").present, 0);
}

static void test_failures_change_nothing(void **state)
{
    struct core_fixture *f = *state;
    put(f, "t", value_text("text"));
    txn_start(f, 0);
    list(f, 2);
    op(f, OP_PUT, "a", 0, value_number(1));
    op(f, OP_INCR, "t", 1, none);
    list(f, 0);
    assert_fails(f, ERR_NOT_AN_INTEGER, "then op 1: the value is not an integer");

    txn_start(f, 1);
    compare(f, "t", COMPARE_EXISTS, COMPARE_EQUAL, 0, none);
    list(f, 0);
    list(f, 3);
    op(f, OP_PUT, "a", 0, value_number(1));
    op(f, OP_INCR, "a", INT64_MAX, none);
    op(f, OP_INCR, "t", 1, none);
    assert_fails(f, ERR_NOT_AN_INTEGER, "else op 2");

    txn_start(f, 0);
    list(f, 3);
    op(f, OP_INCR, "a", INT64_MIN, none);
    op(f, OP_INCR, "a", -1, none);
    op(f, OP_GET, "t", 0, none);
    list(f, 0);
    assert_fails(f, ERR_OUT_OF_RANGE, "then op 1");
}

static void test_refused_before_it_runs(void **state)
{
    struct core_fixture *f = *state;
    txn_start(f, 1);
    compare(f, "", COMPARE_SEQ, COMPARE_EQUAL, 0, none);
    list(f, 0);
    list(f, 0);
    assert_fails(f, ERR_BAD_KEY, "compare 0: the key is empty");
    static const uint8_t bad[][2] = {
        {0, 1}, {6, 1}, {1, 0}, {1, 5}, {COMPARE_VALUE, COMPARE_LESS}, {COMPARE_PREFIX, 2}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        txn_start(f, 1);
        compare(f, "a", bad[i][0], bad[i][1], 0, none);
        list(f, 0);
        list(f, 0);
        assert_fails(f, ERR_INVALID, "compare 0");
    }
    /* Also in the branch that is not taken. */
    txn_start(f, 0);
    list(f, 1);
    op(f, OP_PUT, "a", 0, value_number(1));
    list(f, 2);
    op(f, OP_GET, "b", 0, none);
    op(f, OP_PUT, "b", 0, bytes_of("\xc1"));
    assert_fails(f, ERR_BAD_VALUE, "else op 1");
    txn_start(f, 0);
    list(f, 1);
    op(f, OP_TXN, "a", 0, none);
    list(f, 0);
    assert_fails(f, ERR_UNKNOWN_OP, "then op 0");
    txn_start(f, LIMIT_TXN_COMPARES + 1);
    assert_fails(f, ERR_LIMIT, "1025 compares");
    txn_start(f, 0);
    list(f, LIMIT_TXN_OPS + 1);
    assert_fails(f, ERR_LIMIT, "10001 operations");
    txn_start(f, 0);
    list(f, 1);
    op(f, OP_PUT, "a", 0, value_number(1));
    assert_fails(f, ERR_MALFORMED, NULL);
    txn_start(f, 0);
    list(f, 1);
    op(f, OP_PUT, "a", 0, value_number(1));
    list(f, 0);
    wire_write_u8(&f->message, 0);
    assert_fails(f, ERR_MALFORMED, NULL);
}

static void test_result_too_large(void **state)
{
    struct core_fixture *f = *state;
    struct bytes value = value_blob(1 << 20, 3);
    put(f, "big", value);
    txn_start(f, 0);
    list(f, 10);
    op(f, OP_PUT, "a", 0, value_number(1));
    for (int i = 0; i < 9; i++)
        op(f, OP_GET, "big", 0, none);
    list(f, 0);
    assert_fails(f, ERR_TOO_LARGE, "does not fit");
    free((void *)(uintptr_t)value.data);
}

static void test_ten_thousand_keys(void **state)
{
    struct core_fixture *f = *state;
    for (int round = 0; round < 2; round++) {
        txn_start(f, 0);
        list(f, LIMIT_TXN_OPS);
        for (unsigned i = 0; i < LIMIT_TXN_OPS; i++) {
            char key[16];
            (void)snprintf(key, sizeof key, "k%u", i);
            op(f, round == 0 ? OP_INCR : OP_DELETE, key, (int64_t)(i % 100), none);
        }
        list(f, 0);
        struct parsed_reply reply = txn_run(f);
        assert_txn(&reply, (uint64_t)round + 1, true, LIMIT_TXN_OPS);
        struct record_header h;
        assert_int_equal(record_check(core_fixture_record(f, (uint64_t)round + 1), &h), ERR_OK);
        assert_int_equal(h.count, LIMIT_TXN_OPS);
        assert_int_equal(core_fixture_get(f, "k9999").present, round == 0);
    }
    /* A small one after it. */
    txn_start(f, 0);
    list(f, 1);
    op(f, OP_PUT, "a", 0, value_number(1));
    list(f, 0);
    struct parsed_reply reply = txn_run(f);
    assert_txn(&reply, 3, true, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_one_record_net_changes),
        T(test_nothing_changes),
        T(test_delete_then_put_keeps_the_life),
        T(test_compares),
        T(test_all_compares_must_hold),
        T(test_failures_change_nothing),
        T(test_refused_before_it_runs),
        T(test_result_too_large),
        T(test_ten_thousand_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
