/*
 * Lives in the core: what gives a key an end and what takes it away, that nothing
 * ends early and everything in the first batch after its end, leases with their
 * keys, what an abort, a restart and a reboot leave, and many ends at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/support/core_fixture.h"

enum { LIVES_MAX = 5000, LEASES_MAX = 3 };

static int set_up(void **state)
{
    static const struct core_limits limits = {.lives_max = LIVES_MAX, .leases_max = LEASES_MAX};
    struct core_fixture *f = malloc(sizeof *f);
    assert_non_null(f);
    core_fixture_open(f, 11, &limits);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    core_fixture_close(*state);
    free(*state);
    return 0;
}

/* ---- requests ---- */

struct op {
    uint8_t code;
    int64_t by;
    const char *key;
};

static void write_txn(struct core_fixture *f, size_t count, const struct op *ops)
{
    (void)request_start(f, OP_TXN);
    wire_write_u16(&f->message, 0);
    wire_write_u16(&f->message, (uint16_t)count);
    for (size_t i = 0; i < count; i++)
        txn_op_write(&f->message,
                     &(struct txn_op){ops[i].code, ops[i].by, bytes_of(ops[i].key),
                                      ops[i].code == OP_DELETE || ops[i].code == OP_INCR
                                          ? (struct bytes){NULL, 0}
                                          : value_number(1)});
    wire_write_u16(&f->message, 0);
    request_finish(f);
}

/* Its status. */
static uint16_t txn(struct core_fixture *f, size_t count, const struct op *ops)
{
    core_fixture_message(f, 0, 0);
    write_txn(f, count, ops);
    return core_fixture_ask(f, "p").header.status;
}

static uint16_t put_ttl(struct core_fixture *f, const char *key, int64_t ttl_ms)
{
    return txn(f, 1, &(struct op){TXN_PUT_TTL, ttl_ms, key});
}

static uint16_t put_lease(struct core_fixture *f, const char *key, uint64_t lease)
{
    return txn(f, 1, &(struct op){TXN_PUT_LEASE, (int64_t)lease, key});
}

static void put(struct core_fixture *f, const char *key)
{
    core_fixture_message(f, 0, 0);
    (void)request_put(f, key, value_number(2));
    assert_int_equal(core_fixture_ask(f, "p").header.status, ERR_OK);
}

static void write_lease_open(struct core_fixture *f, uint32_t ttl_ms)
{
    (void)request_start(f, OP_LEASE_OPEN);
    request_lease_open_write(&f->message, &(struct request_lease_open){.ttl_ms = ttl_ms});
    request_finish(f);
}

static uint64_t open_lease(struct core_fixture *f, uint32_t ttl_ms)
{
    struct reply_lease_open body;
    core_fixture_message(f, 0, 0);
    write_lease_open(f, ttl_ms);
    struct parsed_reply reply = core_fixture_ask(f, "p");
    assert_int_equal(reply.header.status, ERR_OK);
    assert_true(reply_lease_open_read(&reply.body, &body));
    assert_true(body.lease != 0);
    return body.lease;
}

static void write_lease_renew(struct core_fixture *f, uint64_t lease)
{
    (void)request_start(f, OP_LEASE_RENEW);
    wire_write_u16(&f->message, 1);
    wire_write_u64(&f->message, lease);
    request_finish(f);
}

static bool renew(struct core_fixture *f, uint64_t lease)
{
    core_fixture_message(f, 0, 0);
    write_lease_renew(f, lease);
    struct parsed_reply reply = core_fixture_ask(f, "p");
    assert_int_equal(reply.header.status, ERR_OK);
    assert_int_equal(wire_read_u16(&reply.body), 1);
    return wire_read_u8(&reply.body) != 0;
}

static struct parsed_reply close_lease(struct core_fixture *f, uint64_t lease)
{
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_LEASE_CLOSE);
    request_lease_close_write(&f->message, &(struct request_lease_close){.lease = lease});
    request_finish(f);
    return core_fixture_ask(f, "p");
}

/* ---- what ends ---- */

/* A batch in which nothing is asked, ms later. How many records it made. */
static size_t expire_after(struct core_fixture *f, uint64_t ms)
{
    f->now_ms += ms;
    core_fixture_begin(f);
    assert_int_equal(core_expire(f->core), ERR_OK);
    size_t records = core_batch_record_count(f->core);
    core_fixture_commit(f);
    return records;
}

static bool is_there(struct core_fixture *f, const char *key)
{
    return core_fixture_get(f, key).present;
}

/* The newest record ends these keys, in any order, and nothing else. */
static void expect_expired(struct core_fixture *f, size_t count, const char *const *keys)
{
    struct bytes record = core_fixture_record(f, core_fixture_head(f));
    struct record_header h;
    struct change c;
    size_t found = 0;
    assert_int_equal(record_check(record, &h), ERR_OK);
    assert_int_equal(h.count, count);
    assert_true(h.session == 0);
    for (struct change_iterator i = record_changes(record.data); change_next(&i, &c);) {
        assert_int_equal(c.op, CHANGE_EXPIRE);
        assert_int_equal(c.value.size, 0);
        assert_true(c.prev_seq > 0 && c.prev_seq < h.seq);
        for (size_t k = 0; k < count; k++)
            found += bytes_equal(c.key, bytes_of(keys[k]));
    }
    assert_int_equal(found, count);
}

static struct core_figures figures_of(const struct core_fixture *f)
{
    struct core_figures figures;
    core_figures(f->core, &figures);
    return figures;
}

/* ---- a time to live ---- */

static void test_ends_after_its_time_and_not_before(void **state)
{
    struct core_fixture *f = *state;
    assert_int_equal(core_life_wait_ms(f->core, f->now_ms), UINT32_MAX);
    assert_int_equal(put_ttl(f, "k", 100), ERR_OK);
    assert_int_equal(core_life_wait_ms(f->core, f->now_ms), 101);
    assert_int_equal(expire_after(f, 100), 0);
    assert_true(is_there(f, "k"));
    assert_int_equal(core_life_wait_ms(f->core, f->now_ms), 1);
    assert_int_equal(expire_after(f, 1), 1);
    expect_expired(f, 1, (const char *[]){"k"});
    assert_false(is_there(f, "k"));
    assert_int_equal(core_life_wait_ms(f->core, f->now_ms), UINT32_MAX);
    assert_int_equal(f->lives.count, 1); /* the clock's row */
    assert_int_equal(figures_of(f).lives, 0);
    assert_int_equal(figures_of(f).expired, 1);
}

/* The request's own time counts, not that of its batch. */
static void test_counts_from_the_request(void **state)
{
    struct core_fixture *f = *state;
    core_fixture_message(f, 0, 0);
    write_txn(f, 1, &(struct op){TXN_PUT_TTL, 100, "k"});
    core_fixture_begin(f);
    core_at(f->core, f->now_ms + 70);
    core_fixture_send(f, "p");
    core_fixture_commit(f);
    assert_int_equal(expire_after(f, 170), 0);
    assert_int_equal(expire_after(f, 1), 1);
}

static void test_is_there_until_the_record_says_so(void **state)
{
    struct core_fixture *f = *state;
    assert_int_equal(put_ttl(f, "k", 10), ERR_OK);
    f->now_ms += 1000;
    assert_true(is_there(f, "k"));
    put(f, "k");
    assert_int_equal(expire_after(f, 1000), 0);
    assert_true(is_there(f, "k"));
}

static void test_what_keeps_a_life_and_what_ends_it(void **state)
{
    struct core_fixture *f = *state;
    static const struct {
        struct op ops[3];
        size_t count;
        bool expires;
    } cases[] = {
        {{{OP_INCR, 1, "k"}}, 1, true},
        {{{OP_PUT, 0, "k"}}, 1, false},
        {{{OP_DELETE, 0, "k"}}, 1, false},
        {{{OP_DELETE, 0, "k"}, {OP_INCR, 1, "k"}}, 2, false},
        {{{OP_PUT, 0, "k"}, {TXN_PUT_TTL, 100, "k"}, {OP_INCR, 1, "k"}}, 3, true},
        {{{TXN_PUT_TTL, 50, "k"}, {OP_PUT, 0, "k"}}, 2, false},
        {{{OP_INCR, 1, "k"}, {OP_INCR, 1, "k"}}, 2, true},
        {{{OP_GET, 0, "k"}}, 1, true},
        {{{TXN_POP, 0, "k"}, {TXN_SET_DEFAULT, 0, "k"}}, 2, false},
        {{{TXN_SET_DEFAULT, 0, "k"}}, 1, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(put_ttl(f, "k", 100), ERR_OK);
        assert_int_equal(txn(f, cases[i].count, cases[i].ops), ERR_OK);
        bool was_there = is_there(f, "k");
        if (expire_after(f, 101) != cases[i].expires)
            fail_msg("case %zu", i);
        assert_int_equal(is_there(f, "k"), was_there && !cases[i].expires);
        assert_int_equal(figures_of(f).lives, 0);
        core_fixture_restart(f);
        assert_int_equal(expire_after(f, 101), 0);
    }
}

static void test_single_requests(void **state)
{
    struct core_fixture *f = *state;
    assert_int_equal(put_ttl(f, "k", 100), ERR_OK);
    core_fixture_message(f, 0, 0);
    (void)request_incr(f, "k", 5);
    assert_int_equal(core_fixture_ask(f, "p").header.status, ERR_OK);
    assert_int_equal(put_ttl(f, "other", 100), ERR_OK);
    core_fixture_message(f, 0, 0);
    (void)request_delete(f, "other");
    assert_int_equal(core_fixture_ask(f, "p").header.status, ERR_OK);
    assert_int_equal(expire_after(f, 101), 1);
    expect_expired(f, 1, (const char *[]){"k"});
}

static void test_refusals(void **state)
{
    struct core_fixture *f = *state;
    assert_int_equal(put_ttl(f, "k", 0), ERR_INVALID);
    assert_int_equal(put_ttl(f, "k", -1), ERR_INVALID);
    assert_int_equal(put_ttl(f, "k", (int64_t)LIMIT_TTL_MS + 1), ERR_INVALID);
    assert_int_equal(put_ttl(f, "k", (int64_t)LIMIT_TTL_MS), ERR_OK);
    assert_int_equal(put_lease(f, "k", 77), ERR_LEASE_ENDED);
    static const uint32_t times[] = {0, LIMIT_LEASE_TTL_MS_MIN - 1, LIMIT_LEASE_TTL_MS + 1};
    for (size_t i = 0; i < 3; i++) {
        core_fixture_message(f, 0, 0);
        write_lease_open(f, times[i]);
        assert_int_equal(core_fixture_ask(f, "p").header.status, ERR_INVALID);
    }
    for (size_t i = 0; i < LEASES_MAX; i++)
        (void)open_lease(f, 1000);
    core_fixture_message(f, 0, 0);
    write_lease_open(f, 1000);
    assert_int_equal(core_fixture_ask(f, "p").header.status, ERR_LIMIT);
    assert_false(renew(f, 0));
    assert_int_equal(close_lease(f, 99).header.status, ERR_LEASE_ENDED);
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_LEASE_RENEW);
    wire_write_u16(&f->message, 2);
    wire_write_u64(&f->message, 1);
    request_finish(f);
    assert_int_equal(core_fixture_ask(f, "p").header.status, ERR_MALFORMED);
}

/* ---- leases ---- */

static void test_a_lease_ends_with_its_keys(void **state)
{
    struct core_fixture *f = *state;
    uint64_t lease = open_lease(f, 1000);
    assert_int_equal(put_lease(f, "a", lease), ERR_OK);
    assert_int_equal(put_lease(f, "b", lease), ERR_OK);
    assert_int_equal(put_lease(f, "c", lease), ERR_OK);
    put(f, "b"); /* lives on without end */
    assert_int_equal(expire_after(f, 900), 0);
    assert_true(renew(f, lease));
    assert_int_equal(expire_after(f, 1000), 0);
    assert_int_equal(expire_after(f, 1), 1);
    expect_expired(f, 2, (const char *[]){"a", "c"});
    assert_true(is_there(f, "b"));
    assert_false(renew(f, lease));
    assert_int_equal(put_lease(f, "a", lease), ERR_LEASE_ENDED);
    assert_int_equal(f->lives.count, 1);
    uint64_t empty = open_lease(f, 1000);
    assert_int_equal(expire_after(f, 1001), 0);
    assert_false(renew(f, empty));
    assert_int_equal(f->lives.count, 1);
}

static void test_closing_a_lease(void **state)
{
    struct core_fixture *f = *state;
    uint64_t lease = open_lease(f, 1000);
    assert_int_equal(close_lease(f, lease).header.status, ERR_OK);
    assert_int_equal(core_fixture_head(f), 0);
    lease = open_lease(f, 1000);
    assert_int_equal(put_lease(f, "a", lease), ERR_OK);
    assert_int_equal(put_lease(f, "b", lease), ERR_OK);
    struct parsed_reply reply = close_lease(f, lease);
    assert_int_equal(reply.header.status, ERR_OK);
    assert_int_equal(reply.header.seq, core_fixture_head(f));
    expect_expired(f, 2, (const char *[]){"a", "b"});
    assert_int_equal(close_lease(f, lease).header.status, ERR_LEASE_ENDED);
    assert_int_equal(figures_of(f).leases, 0);
}

static void test_a_key_changes_its_lease(void **state)
{
    struct core_fixture *f = *state;
    uint64_t first = open_lease(f, 1000);
    uint64_t second = open_lease(f, 5000);
    assert_int_equal(put_lease(f, "k", first), ERR_OK);
    assert_int_equal(put_lease(f, "k", second), ERR_OK);
    assert_int_equal(expire_after(f, 1001), 0);
    assert_int_equal(put_ttl(f, "k", 10000), ERR_OK);
    assert_int_equal(expire_after(f, 5000), 0);
    assert_int_equal(figures_of(f).leases, 0);
    assert_true(is_there(f, "k"));
    assert_int_equal(expire_after(f, 5001), 1);
}

/* ---- bounds ---- */

static void put_many(struct core_fixture *f, size_t count, uint8_t code, int64_t by)
{
    struct op *ops = calloc(count, sizeof *ops);
    char(*keys)[32] = calloc(count, sizeof *keys);
    assert_non_null(ops);
    assert_non_null(keys);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "many %zu", i);
        ops[i] = (struct op){code, by, keys[i]};
    }
    assert_int_equal(txn(f, count, ops), ERR_OK);
    free(keys);
    free(ops);
}

static void test_many_at_once_are_ended_in_steps(void **state)
{
    struct core_fixture *f = *state;
    put_many(f, LIVES_MAX, TXN_PUT_TTL, 100);
    assert_int_equal(put_ttl(f, "one more", 100), ERR_LIMIT);
    size_t ended = 0;
    size_t most = 0;
    f->now_ms += 101;
    for (unsigned batches = 0; ended < LIVES_MAX; batches++) {
        assert_int_equal(core_life_wait_ms(f->core, f->now_ms), 0);
        size_t now = expire_after(f, 0);
        most = now > most ? now : most;
        ended += now;
        assert_true(batches < 100);
    }
    assert_true(most <= 1024);
    assert_int_equal(ended, LIVES_MAX);
    assert_int_equal(put_ttl(f, "one more", 100), ERR_OK);
}

static void test_a_large_lease_is_one_record(void **state)
{
    struct core_fixture *f = *state;
    f->limits.lives_max = 20000;
    core_fixture_restart(f);
    uint64_t lease = open_lease(f, 1000);
    put_many(f, LIMIT_LEASE_KEYS, TXN_PUT_LEASE, (int64_t)lease);
    assert_int_equal(put_lease(f, "one more", lease), ERR_LIMIT);
    assert_int_equal(expire_after(f, 1001), 1);
    struct record_header h;
    assert_int_equal(record_check(core_fixture_record(f, core_fixture_head(f)), &h), ERR_OK);
    assert_int_equal(h.count, LIMIT_LEASE_KEYS);
    assert_int_equal(figures_of(f).lives, 0);
}

/* ---- aborts ---- */

static void test_an_abort_takes_ends_back(void **state)
{
    struct core_fixture *f = *state;
    uint64_t lease = open_lease(f, 1000);
    assert_int_equal(put_ttl(f, "t", 1000), ERR_OK);
    assert_int_equal(put_lease(f, "a", lease), ERR_OK);
    assert_int_equal(put_lease(f, "b", lease), ERR_OK);
    f->now_ms += 2000;
    for (unsigned i = 0; i < 3; i++) {
        core_fixture_begin(f);
        assert_int_equal(core_expire(f->core), ERR_OK);
        assert_int_equal(core_batch_record_count(f->core), 2);
        core_fixture_abort(f, ERR_NO_SPACE, NULL);
        assert_int_equal(core_life_wait_ms(f->core, f->now_ms), 0);
    }
    assert_true(is_there(f, "a"));
    assert_int_equal(figures_of(f).lives, 3);
    assert_int_equal(figures_of(f).leases, 1);
    assert_int_equal(figures_of(f).expired, 0);
    assert_true(renew(f, lease)); /* it is not too late */
    assert_int_equal(expire_after(f, 0), 1);
    expect_expired(f, 1, (const char *[]){"t"});
    assert_int_equal(expire_after(f, 1001), 1);
    assert_false(is_there(f, "t"));
    assert_false(is_there(f, "b"));
}

static void test_an_abort_takes_gifts_back(void **state)
{
    struct core_fixture *f = *state;
    uint64_t lease = open_lease(f, 60000);
    assert_int_equal(put_lease(f, "leased", lease), ERR_OK);
    assert_int_equal(put_ttl(f, "timed", 500), ERR_OK);
    put(f, "free");
    core_fixture_message(f, 0, 0);
    write_txn(f, 3,
              (struct op[]){
                  {TXN_PUT_TTL, 10, "free"}, {TXN_PUT_TTL, 10, "leased"}, {OP_PUT, 0, "timed"}});
    write_txn(f, 2, (struct op[]){{TXN_PUT_TTL, 10, "new"}, {OP_DELETE, 0, "leased"}});
    write_lease_open(f, 1000);
    core_fixture_begin(f);
    core_fixture_send(f, "p");
    core_fixture_abort(f, ERR_IO, NULL);
    assert_int_equal(figures_of(f).lives, 2);
    assert_int_equal(figures_of(f).leases, 1);
    assert_int_equal(expire_after(f, 100), 0);
    assert_int_equal(expire_after(f, 401), 1);
    expect_expired(f, 1, (const char *[]){"timed"});
    assert_int_equal(close_lease(f, lease).header.status, ERR_OK);
    expect_expired(f, 1, (const char *[]){"leased"});
}

/* ---- restarts and reboots ---- */

static void test_goes_on_while_no_server_runs(void **state)
{
    struct core_fixture *f = *state;
    uint64_t lease = open_lease(f, 1000);
    assert_int_equal(put_ttl(f, "k", 1000), ERR_OK);
    assert_int_equal(put_lease(f, "l", lease), ERR_OK);
    f->now_ms += 700;
    core_fixture_restart(f);
    assert_int_equal(expire_after(f, 300), 0);
    assert_int_equal(expire_after(f, 1), 1);
    expect_expired(f, 1, (const char *[]){"k"});
    assert_int_equal(expire_after(f, 699), 0); /* a lease has its whole time again */
    assert_int_equal(expire_after(f, 1), 1);
    expect_expired(f, 1, (const char *[]){"l"});
    assert_int_equal(put_ttl(f, "k", 1000), ERR_OK);
    f->now_ms += 5000;
    core_fixture_restart(f);
    assert_int_equal(expire_after(f, 0), 1);
}

/* What was left when the clock's row was written last is left after a reboot. */
static void test_a_reboot(void **state)
{
    struct core_fixture *f = *state;
    static const uint64_t clocks[] = {30, 1000000, 7};
    uint64_t left = 10000;
    f->now_ms = 90000;
    assert_int_equal(put_ttl(f, "k", (int64_t)left), ERR_OK);
    for (size_t i = 0; i < 3; i++) {
        f->now_ms += 2000;
        (void)expire_after(f, 0); /* with it goes the clock's row: it is a second old */
        left -= 2000;
        f->now_ms += 500; /* of which nobody knows afterwards */
        (void)snprintf(f->boot, sizeof f->boot, "boot %zu", 2 + i);
        f->now_ms = clocks[i];
        core_fixture_restart(f);
        assert_int_equal(core_life_wait_ms(f->core, f->now_ms), left + 1);
    }
    assert_int_equal(expire_after(f, left), 0);
    assert_int_equal(expire_after(f, 1), 1);
}

/* The new boot's row is written before anything relies on it. */
static void test_a_kill_soon_after_a_reboot(void **state)
{
    struct core_fixture *f = *state;
    f->now_ms = 90000;
    assert_int_equal(put_ttl(f, "old", 1000), ERR_OK);
    (void)snprintf(f->boot, sizeof f->boot, "boot 2");
    f->now_ms = 50;
    core_fixture_restart(f);
    assert_int_equal(put_ttl(f, "new", 600), ERR_OK);
    f->now_ms += 500;
    core_fixture_restart(f); /* the same boot: it has gone on */
    assert_int_equal(expire_after(f, 100), 0);
    assert_int_equal(expire_after(f, 1), 1);
    expect_expired(f, 1, (const char *[]){"new"});
    assert_int_equal(expire_after(f, 399), 0);
    assert_int_equal(expire_after(f, 1), 1);
}

/* No name of the boot, or a boot clock that has gone back: late, not early. */
static void test_a_clock_that_is_not_to_be_trusted(void **state)
{
    struct core_fixture *f = *state;
    f->now_ms = 90000;
    assert_int_equal(put_ttl(f, "k", 1000), ERR_OK);
    f->now_ms = 500;
    core_fixture_restart(f);
    assert_int_equal(core_life_wait_ms(f->core, f->now_ms), 1001);
    memset(f->boot, 0, sizeof f->boot);
    f->now_ms = 1000000;
    core_fixture_restart(f);
    assert_int_equal(core_life_wait_ms(f->core, f->now_ms), 1001);
    core_fixture_restart(f);
    assert_int_equal(core_life_wait_ms(f->core, f->now_ms), 1001);
    assert_int_equal(expire_after(f, 1001), 1);
}

/* Without the clock's row the lives' own tell how far time has come at least. */
static void test_the_clocks_row_is_lost(void **state)
{
    struct core_fixture *f = *state;
    f->now_ms = 90000;
    assert_int_equal(put_ttl(f, "old", 5000), ERR_OK);
    f->now_ms += 3000;
    assert_int_equal(put_ttl(f, "new", 100000), ERR_OK);
    struct fixture_cursors *rows = &f->lives;
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->rows[i].name.size == 1) {
            free((void *)(uintptr_t)rows->rows[i].name.data);
            free((void *)(uintptr_t)rows->rows[i].row.data);
            rows->rows[i] = rows->rows[--rows->count];
        }
    }
    assert_int_equal(rows->count, 2);
    f->now_ms = 10;
    core_fixture_restart(f);
    assert_int_equal(core_life_wait_ms(f->core, f->now_ms), 2001);
}

static void test_the_clocks_row_is_kept_up(void **state)
{
    struct core_fixture *f = *state;
    assert_int_equal(core_life_clock_wait_ms(f->core, f->now_ms), UINT32_MAX);
    assert_int_equal(put_ttl(f, "k", 100000), ERR_OK);
    assert_int_equal(core_life_clock_wait_ms(f->core, f->now_ms), 10000);
    assert_int_equal(core_life_clock_wait_ms(f->core, f->now_ms + 9999), 1);
    assert_int_equal(core_life_clock_wait_ms(f->core, f->now_ms + 20000), 0);
    f->now_ms += 20000;
    core_fixture_begin(f);
    fixture_lives_stage(&f->lives, f->core);
    assert_int_equal(f->lives.staged_count, 1);
    core_fixture_abort(f, ERR_IO, NULL);
    assert_int_equal(core_life_clock_wait_ms(f->core, f->now_ms), 0);
    (void)expire_after(f, 0);
    assert_int_equal(core_life_clock_wait_ms(f->core, f->now_ms), 10000);
    core_life_clock_ask(f->core);
    assert_int_equal(core_life_clock_wait_ms(f->core, f->now_ms), 0);
}

/* ---- damage ---- */

/* A row that does not belong to its key any more ends nothing: after a rebuild, say. */
static void test_a_row_of_another_change(void **state)
{
    struct core_fixture *f = *state;
    assert_int_equal(put_ttl(f, "k", 100), ERR_OK);
    for (size_t i = 0; i < f->lives.count; i++) {
        uint8_t *row = (uint8_t *)(uintptr_t)f->lives.rows[i].row.data;
        if (f->lives.rows[i].name.size == 2)
            wire_store_u64(row + 8, 999);
    }
    core_fixture_restart(f);
    assert_int_equal(expire_after(f, 101), 0);
    assert_true(is_there(f, "k"));
    assert_int_equal(figures_of(f).lives, 0);
}

static void test_rows_that_cannot_be(void **state)
{
    struct core_fixture *f = *state;
    static const uint8_t life[32] = {1, 0, 0, 0, 0, 0, 0, 0, 5};
    static const uint8_t no_kind[32] = {7, 0, 0, 0, 0, 0, 0, 0, 5};
    static const uint8_t clock_kind[] = {1}, no_such_kind[] = {9};
    static const uint8_t key[] = {3, 'k'}, no_key[] = {3}, lease[] = {2, 0, 0, 0, 0, 0, 0, 0, 0};
    static const struct {
        struct bytes name;
        struct bytes row;
    } cases[] = {
        {{NULL, 0}, {life, sizeof life}},
        {{no_key, 1}, {life, sizeof life}},
        {{key, 2}, {life, sizeof life - 1}},
        {{key, 2}, {no_kind, sizeof no_kind}},
        {{lease, 9}, {life, 4}},
        {{lease, 8}, {life, 4}},
        {{clock_kind, 1}, {life, 4}},
        {{no_such_kind, 1}, {life, 4}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(core_restore_life(f->core, cases[i].name, cases[i].row), ERR_CORRUPT);
    assert_int_equal(
        core_restore_life(f->core, (struct bytes){key, 2}, (struct bytes){life, sizeof life}),
        ERR_OK);
    assert_int_equal(
        core_restore_life(f->core, (struct bytes){key, 2}, (struct bytes){life, sizeof life}),
        ERR_CORRUPT);
}

/* One that cannot be looked up does not hold up the others. */
static void test_a_key_that_cannot_be_looked_up(void **state)
{
    struct core_fixture *f = *state;
    assert_int_equal(put_ttl(f, "a", 100), ERR_OK);
    assert_int_equal(put_ttl(f, "b", 100), ERR_OK);
    core_checkpoint_start(f->core);
    while (core_checkpoint_pending(f->core) > 0) {
        core_fixture_begin(f);
        core_fixture_slice(f, 100);
        core_fixture_commit(f);
    }
    f->state_error = ERR_CORRUPT;
    assert_int_equal(expire_after(f, 101), 0);
    assert_true(core_life_wait_ms(f->core, f->now_ms) > 0);
    f->state_error = 0;
    assert_int_equal(expire_after(f, 100000), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ends_after_its_time_and_not_before),
        TEST(test_counts_from_the_request),
        TEST(test_is_there_until_the_record_says_so),
        TEST(test_what_keeps_a_life_and_what_ends_it),
        TEST(test_single_requests),
        TEST(test_refusals),
        TEST(test_a_lease_ends_with_its_keys),
        TEST(test_closing_a_lease),
        TEST(test_a_key_changes_its_lease),
        TEST(test_many_at_once_are_ended_in_steps),
        TEST(test_a_large_lease_is_one_record),
        TEST(test_an_abort_takes_ends_back),
        TEST(test_an_abort_takes_gifts_back),
        TEST(test_goes_on_while_no_server_runs),
        TEST(test_a_reboot),
        TEST(test_a_kill_soon_after_a_reboot),
        TEST(test_a_clock_that_is_not_to_be_trusted),
        TEST(test_the_clocks_row_is_lost),
        TEST(test_the_clocks_row_is_kept_up),
        TEST(test_a_row_of_another_change),
        TEST(test_rows_that_cannot_be),
        TEST(test_a_key_that_cannot_be_looked_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
