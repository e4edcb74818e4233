/*
 * Keys in order: the order itself, the gaps, long queues, prefixes that have not changed, and the
 * bounds.
 *
 * ctest: TIMEOUT=120
 */
#include "server/core/key_gaps.h"
#include "server/core/key_order.h"
#include "tests/support/core_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- the parts ---- */

enum { NAMES = 200 };

static struct key_order_item numbered(const void *context, size_t i)
{
    static char names[NAMES][8];
    (void)context;
    (void)snprintf(names[i], sizeof names[i], "%03zu", i * 7 % NAMES);
    return (struct key_order_item){bytes_of(names[i]), i * UINT64_C(0x9e3779b97f4a7c15), names[i]};
}

static void test_order(void **state)
{
    (void)state;
    struct key_order o = {{0}};
    bool there[NAMES] = {0};
    struct sample random = {3};
    assert_int_equal(key_order_build(&o, NAMES / 2, numbered, NULL), ERR_OK);
    for (size_t i = 0; i < NAMES / 2; i++)
        there[i * 7 % NAMES] = true;
    for (int step = 0; step < 5000; step++) {
        size_t i = sample_below(&random, NAMES);
        struct key_order_item item = numbered(NULL, i);
        size_t number = i * 7 % NAMES;
        if (there[number])
            key_order_remove(&o, item.key);
        else
            assert_int_equal(key_order_add(&o, &item), ERR_OK);
        there[number] = !there[number];
        size_t from = sample_below(&random, NAMES);
        char text[8];
        (void)snprintf(text, sizeof text, "%03zu", from);
        const struct key_order_node *n = key_order_seek(&o, bytes_of(text));
        for (size_t k = from; k < NAMES; k++) {
            if (!there[k])
                continue;
            (void)snprintf(text, sizeof text, "%03zu", k);
            assert_non_null(n);
            assert_true(bytes_equal(n->key, bytes_of(text)));
            n = n->next[0];
        }
        assert_null(n);
    }
    assert_false(key_order_free_some(&o, 1));
    assert_true(key_order_free_some(&o, SIZE_MAX));
}

/* Against a flag for each place between keys: what is known must be a part of what was said, and as
 * a rule it is all of it. */
static void test_gaps(void **state)
{
    (void)state;
    struct key_gaps g = {0};
    struct sample random = {4};
    bool dead[NAMES] = {0};
    bool dead_before[NAMES] = {0};
    uint64_t batch = 1;
    size_t skips = 0;
    for (int step = 0; step < 20000; step++) {
        char low[8];
        char high[8];
        size_t a = sample_below(&random, NAMES);
        size_t b = a + sample_below(&random, 10);
        b = b < NAMES ? b : NAMES - 1;
        (void)snprintf(low, sizeof low, "%03zu", a);
        (void)snprintf(high, sizeof high, "%03zu", b);
        switch (sample_below(&random, 6)) {
        case 0:
        case 1:
            key_gaps_learn(&g, bytes_of(low), bytes_of(high), batch);
            for (size_t i = a; i < b; i++)
                dead[i] = true;
            break;
        case 2:
        case 3:
            key_gaps_cut(&g, bytes_of(low));
            dead[a] = false;
            dead_before[a] = false;
            break;
        case 4:
            if (sample_below(&random, 2)) {
                key_gaps_abort(&g, batch);
                memcpy(dead, dead_before, sizeof dead);
            }
            memcpy(dead_before, dead, sizeof dead);
            batch++;
            break;
        default: {
            struct bytes end;
            if (!key_gaps_skip(&g, bytes_of(low), &end))
                break;
            assert_true(bytes_compare(bytes_of(low), end) < 0);
            skips++;
            for (size_t i = a; i < NAMES; i++) {
                (void)snprintf(high, sizeof high, "%03zu", i);
                assert_true(dead[i] || bytes_compare(bytes_of(high), end) >= 0);
            }
        }
        }
    }
    assert_true(skips > 500);
    key_gaps_free(&g);
    for (unsigned i = 0; i < KEY_GAPS_MAX + 10; i++) {
        char low[16];
        char high[16];
        (void)snprintf(low, sizeof low, "%04u", i);
        (void)snprintf(high, sizeof high, "%04u0", i);
        key_gaps_learn(&g, bytes_of(low), bytes_of(high), batch);
    }
    assert_int_equal(g.count, KEY_GAPS_MAX);
    struct bytes end;
    assert_false(key_gaps_skip(&g, bytes_of("0000"), &end));
    assert_true(key_gaps_skip(&g, bytes_of("0010"), &end));
    key_gaps_free(&g);
}

/* ---- requests ---- */

static int setup(void **state)
{
    struct core_fixture *f = malloc(sizeof *f);
    core_fixture_open(f, 13, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    core_fixture_close(*state);
    free(*state);
    return 0;
}

static void write_txn(struct core_fixture *f, unsigned count, uint8_t code, const char *key)
{
    static const uint8_t nil[] = {0xc0};
    (void)request_start(f, OP_TXN);
    wire_write_u16(&f->message, 0);
    wire_write_u16(&f->message, (uint16_t)count);
    for (unsigned i = 0; i < count; i++)
        txn_op_write(&f->message, &(struct txn_op){code, 0, bytes_of(key), {nil, 1}});
    wire_write_u16(&f->message, 0);
    request_finish(f);
}

/* The status; how many results are of a key that was there. */
static int ask(struct core_fixture *f, unsigned count, uint8_t code, const char *key,
               unsigned *ret_present)
{
    struct txn_result result;
    core_fixture_message(f, 0, 0);
    write_txn(f, count, code, key);
    struct parsed_reply reply = core_fixture_ask(f, "p");
    *ret_present = 0;
    if (reply.header.status != ERR_OK)
        return reply.header.status;
    (void)wire_read_u8(&reply.body);
    assert_int_equal(wire_read_u16(&reply.body), count);
    for (unsigned i = 0; i < count; i++) {
        assert_true(txn_result_read(&reply.body, &result));
        *ret_present += result.present;
    }
    return ERR_OK;
}

static void push(struct core_fixture *f, unsigned count)
{
    unsigned present;
    for (unsigned n; count > 0; count -= n) {
        n = count < LIMIT_TXN_OPS ? count : LIMIT_TXN_OPS;
        assert_int_equal(ask(f, n, TXN_PUSH, "q/", &present), ERR_OK);
    }
}

/* Were the front of the queue walked over each time, that would be more keys than a request may look
 * at, and take hours. */
static void test_long_queue(void **state)
{
    struct core_fixture *f = *state;
    unsigned present;
    push(f, 100000);
    for (unsigned i = 0; i < 100000; i++) {
        assert_int_equal(ask(f, 1, TXN_POP_ANY, "q/", &present), ERR_OK);
        assert_int_equal(present, 1);
    }
    assert_int_equal(ask(f, 1, TXN_POP_ANY, "q/", &present), ERR_OK);
    assert_int_equal(present, 0);
    push(f, LIMIT_TXN_OPS);
    assert_int_equal(ask(f, LIMIT_TXN_OPS, TXN_POP_ANY, "q/", &present), ERR_OK);
    assert_int_equal(present, LIMIT_TXN_OPS);
}

/* With a new core nothing is known of the gaps: each try goes further. */
static void test_walk_goes_on(void **state)
{
    struct core_fixture *f = *state;
    unsigned present;
    push(f, 150000);
    for (unsigned i = 0; i < 14; i++)
        assert_int_equal(ask(f, LIMIT_TXN_OPS, TXN_POP_ANY, "q/", &present), ERR_OK);
    core_fixture_restart(f);
    assert_int_equal(ask(f, 1, TXN_COUNT, "q/", &present), ERR_LIMIT);
    assert_int_equal(ask(f, 1, TXN_COUNT, "q/", &present), ERR_LIMIT);
    assert_int_equal(ask(f, 1, TXN_POP_ANY, "q/", &present), ERR_OK);
    assert_int_equal(present, 1);
    assert_int_equal(ask(f, 1, TXN_CLEAR, "q/", &present), ERR_OK);
    push(f, LIMIT_TXN_OPS);
    push(f, 1);
    assert_int_equal(ask(f, 1, TXN_CLEAR, "q/", &present), ERR_LIMIT);
}

static void test_gaps_and_aborts(void **state)
{
    struct core_fixture *f = *state;
    unsigned present;
    push(f, 200);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(ask(f, 1, TXN_POP_ANY, "q/", &present), ERR_OK);
    core_fixture_begin(f);
    for (unsigned i = 0; i < 100; i++) {
        core_fixture_message(f, 0, 0);
        write_txn(f, 1, TXN_POP_ANY, "q/");
        core_fixture_send(f, "p");
    }
    core_fixture_abort(f, ERR_NO_SPACE, NULL);
    for (unsigned i = 0; i < 150; i++) {
        assert_int_equal(ask(f, 1, TXN_POP_ANY, "q/", &present), ERR_OK);
        assert_int_equal(present, 1);
    }
    assert_int_equal(ask(f, 1, TXN_POP_ANY, "q/", &present), ERR_OK);
    assert_int_equal(present, 0);
    /* Before all that was there. */
    core_fixture_message(f, 0, 0);
    (void)request_put(f, "q/0", value_number(1));
    (void)core_fixture_ask(f, "p");
    assert_int_equal(ask(f, 1, TXN_POP_ANY, "q/", &present), ERR_OK);
    assert_int_equal(present, 1);
}

static void test_message_bound(void **state)
{
    struct core_fixture *f = *state;
    push(f, 60000);
    core_fixture_message(f, 0, 0);
    for (unsigned i = 0; i < 6; i++)
        write_txn(f, 1, TXN_COUNT, "q/");
    core_fixture_run(f, "p");
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(core_fixture_reply(f, 0, i).header.status, i < 4 ? ERR_OK : ERR_LIMIT);
    assert_non_null(strstr(core_fixture_reply(f, 0, 5).text, "this message's requests"));
}

/* ---- unchanged ---- */

static bool unchanged(struct core_fixture *f, const char *prefix, uint64_t seq)
{
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_TXN);
    wire_write_u16(&f->message, 1);
    txn_compare_write(
        &f->message,
        &(struct txn_compare){COMPARE_PREFIX, COMPARE_EQUAL, seq, bytes_of(prefix), {NULL, 0}});
    wire_write_u32(&f->message, 0);
    request_finish(f);
    struct parsed_reply reply = core_fixture_ask(f, "p");
    assert_int_equal(reply.header.status, ERR_OK);
    return wire_read_u8(&reply.body);
}

static void put(struct core_fixture *f, const char *key)
{
    core_fixture_message(f, 0, 0);
    (void)request_put(f, key, value_number(1));
    assert_int_equal(core_fixture_ask(f, "p").header.status, ERR_OK);
}

static void checkpoint(struct core_fixture *f)
{
    core_checkpoint_start(f->core);
    core_fixture_begin(f);
    core_fixture_slice(f, 1000);
    core_fixture_commit(f);
}

static void test_unchanged(void **state)
{
    struct core_fixture *f = *state;
    put(f, "a/1"); /* 1 */
    put(f, "b/1");
    put(f, "a/2"); /* 3 */
    put(f, "b/1");
    core_fixture_message(f, 0, 0);
    (void)request_delete(f, "a/1"); /* 5 */
    (void)core_fixture_ask(f, "p");
    put(f, "c");
    for (int round = 0; round < 3; round++) {
        assert_false(unchanged(f, "a/", 4));
        assert_true(unchanged(f, "a/", 5));
        assert_true(unchanged(f, "a/", 6));
        assert_true(unchanged(f, "a/", 99));
        assert_true(unchanged(f, "a/2", 3));
        assert_false(unchanged(f, "a/2", 2));
        assert_false(unchanged(f, "b/", 3));
        assert_true(unchanged(f, "b/", 4));
        assert_true(unchanged(f, "x", 0));
        assert_false(unchanged(f, "", 5));
        if (round == 0)
            checkpoint(f);
        else
            core_fixture_restart(f);
    }
    assert_int_equal(f->applied, 6);
    /* What is newer than the state needs no look at it. */
    put(f, "d");
    size_t seeks = f->seeks;
    assert_true(unchanged(f, "a/", 6));
    assert_false(unchanged(f, "d", 6));
    assert_int_equal(f->seeks, seeks);
    /* Deletions that may be gone: it cannot be known. */
    core_fixture_compact(f, 5);
    assert_true(unchanged(f, "x", 4));
    assert_false(unchanged(f, "x", 3));
}

static void test_damaged_state(void **state)
{
    struct core_fixture *f = *state;
    put(f, "a");
    f->state_error = ERR_CORRUPT;
    core_fixture_message(f, 0, 0);
    write_txn(f, 1, TXN_COUNT, "a");
    struct parsed_reply reply = core_fixture_ask(f, "p");
    assert_int_equal(reply.header.status, ERR_CORRUPT);
    assert_non_null(strstr(reply.text, "among the keys with prefix a"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_gaps),
        T(test_long_queue),
        T(test_walk_goes_on),
        T(test_gaps_and_aborts),
        T(test_message_bound),
        T(test_unchanged),
        T(test_damaged_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
