/*
 * test_client_lives.c - keys that end, through libvigil on a real server: never
 * early by the boot clock, across kills and restarts; leases that are kept by their
 * thread, renewed by hand, closed, and lost.
 *
 * ctest: TIMEOUT=240
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/message.h"
#include "tests/support/client_fixture.h"
#include "tests/support/raw_client.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { PATIENCE_MS = 60000 };

static struct client_fixture f;
static vigil_watch *watch;
static const uint8_t one = 1;

static int64_t boot_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int set_up(void **state)
{
    static const char *const patterns[] = {"life/*"};
    const vigil_watch_options options = {.patterns = patterns, .pattern_count = 1};
    (void)state;
    client_fixture_open(&f, TEST_VIGILD, NULL);
    assert_int_equal(vigil_watch_open(f.v, &options, &watch), VIGIL_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vigil_watch_close(watch);
    client_fixture_close(&f);
    return 0;
}

/* The next record that the watch sees; NULL if there is none within the time. */
static const vigil_record *next_record(int timeout_ms)
{
    int64_t deadline = boot_ms() + timeout_ms;
    while (boot_ms() <= deadline) {
        const vigil_event *event = NULL;
        int err = vigil_watch_next(watch, (int)(deadline - boot_ms() + 1), &event);
        if (err == VIGIL_OK && event->kind == VIGIL_EVENT_RECORD)
            return &event->record;
        assert_true(err == VIGIL_OK || err == VIGIL_TIMEOUT || err == VIGIL_DISCONNECTED);
    }
    return NULL;
}

static void expect_put(const char *key)
{
    const vigil_record *event = next_record(PATIENCE_MS);
    assert_non_null(event);
    assert_int_equal(event->changes[0].op, VIGIL_PUT);
    assert_string_equal(event->changes[0].key, key);
}

/* The next record ends these keys, not before the boot clock says so. */
static void expect_end(size_t count, const char *const *keys, int64_t earliest_ms)
{
    const vigil_record *event = next_record(PATIENCE_MS);
    assert_non_null(event);
    assert_true(boot_ms() >= earliest_ms);
    assert_int_equal(event->count, count);
    for (size_t i = 0; i < count; i++) {
        bool found = false;
        assert_int_equal(event->changes[i].op, VIGIL_EXPIRE);
        for (size_t k = 0; k < count; k++)
            found = found || strcmp(event->changes[i].key, keys[k]) == 0;
        assert_true(found);
    }
}

static void restart(void)
{
    client_fixture_kill_server(&f);
    client_fixture_start_server(&f);
}

/* ---- a time to live ---- */

static void ends_in_order_and_never_early(void **state)
{
    (void)state;
    static const char *const keys[] = {"life/a", "life/b", "life/c", "life/d"};
    static const uint64_t ttls[] = {400, 100, 300, 200};
    static const size_t order[] = {1, 3, 2, 0};
    vigil_txn *t;
    assert_int_equal(vigil_txn_new(&t), VIGIL_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(vigil_txn_put_ttl(t, keys[i], &one, 1, ttls[i]), VIGIL_OK);
    int64_t sent_ms = boot_ms();
    assert_int_equal(vigil_txn_commit(f.v, t, NULL, NULL, NULL, NULL), VIGIL_OK);
    vigil_txn_free(t);
    assert_int_equal(next_record(PATIENCE_MS)->count, 4);
    for (size_t i = 0; i < 4; i++)
        expect_end(1, &keys[order[i]], sent_ms + (int64_t)ttls[order[i]]);
    vigil_entry entry;
    assert_int_equal(vigil_get(f.v, keys[0], &entry), VIGIL_OK);
    assert_false(entry.present);
}

static void conditions_and_arguments(void **state)
{
    (void)state;
    vigil_result first;
    vigil_result result;
    const vigil_condition absent = {.if_seq = true};
    const vigil_condition other = {.if_value = "\x05", .if_value_size = 1};
    assert_int_equal(vigil_put_ttl(f.v, "life/k", &one, 1, 600000, &absent, &first), VIGIL_OK);
    assert_int_equal(first.prev_seq, 0);
    assert_int_equal(vigil_put_ttl(f.v, "life/k", &one, 1, 600000, &absent, &result),
                     VIGIL_CONFLICT);
    assert_int_equal(result.seq, first.seq);
    assert_int_equal(vigil_put_ttl(f.v, "life/k", &one, 1, 600000, &other, NULL), VIGIL_CONFLICT);
    const vigil_condition seq = {.if_seq = true, .seq = first.seq};
    assert_int_equal(vigil_put_ttl(f.v, "life/k", &one, 1, 600000, &seq, &result), VIGIL_OK);
    assert_int_equal(result.prev_seq, first.seq);
    assert_int_equal(vigil_put_ttl(f.v, "life/k", &one, 1, 0, NULL, NULL), VIGIL_INVALID);
    assert_int_equal(vigil_put_ttl(f.v, "", &one, 1, 5, NULL, NULL), VIGIL_BAD_KEY);
    assert_int_equal(vigil_put_ttl(f.v, "k", NULL, 0, 5, NULL, NULL), VIGIL_BAD_VALUE);
    assert_int_equal(vigil_put_lease(f.v, "k", &one, 1, 77, NULL, NULL), VIGIL_LEASE_ENDED);
    vigil_lease *lease = NULL;
    assert_int_equal(vigil_lease_open(f.v, 999, &lease), VIGIL_INVALID);
    assert_int_equal(vigil_lease_open(f.v, 1000, NULL), VIGIL_INVALID);
    assert_null(lease);
    assert_int_equal(vigil_lease_close(NULL), VIGIL_OK);
}

/* It goes on while no server runs, and what ended meanwhile ends at the start, once. */
static void kills_do_not_stop_the_clock(void **state)
{
    (void)state;
    static const char *const keys[] = {"life/long", "life/short"};
    int64_t sent_ms = boot_ms();
    assert_int_equal(vigil_put_ttl(f.v, keys[0], &one, 1, 2500, NULL, NULL), VIGIL_OK);
    assert_int_equal(vigil_put_ttl(f.v, keys[1], &one, 1, 1, NULL, NULL), VIGIL_OK);
    client_fixture_kill_server(&f);
    client_fixture_start_server(&f);
    expect_put(keys[0]);
    expect_put(keys[1]);
    expect_end(1, &keys[1], sent_ms + 1);
    restart();
    expect_end(1, &keys[0], sent_ms + 2500);
    restart();
    assert_int_equal(vigil_put(f.v, "life/mark", &one, 1, NULL, NULL), VIGIL_OK);
    expect_put("life/mark");
}

/* ---- leases ---- */

static void a_lease_is_kept_through_a_restart(void **state)
{
    (void)state;
    static const char *const keys[] = {"life/a", "life/b"};
    vigil_lease *lease;
    assert_int_equal(vigil_lease_open(f.v, 3000, &lease), VIGIL_OK);
    assert_true(vigil_lease_id(lease) != 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(vigil_put_lease(f.v, keys[i], &one, 1, vigil_lease_id(lease), NULL, NULL),
                         VIGIL_OK);
        expect_put(keys[i]);
    }
    /* More than twice its time, and a restart. */
    assert_null(next_record(4000));
    restart();
    assert_null(next_record(4000));
    assert_false(vigil_lease_has_ended(lease));
    while (vigil_lease_left_ms(lease) == 0)
        assert_null(next_record(20));
    assert_true(vigil_lease_left_ms(lease) <= 3000);
    assert_int_equal(vigil_lease_close(lease), VIGIL_OK);
    expect_end(2, keys, 0);
}

static void close_from_elsewhere(uint64_t id)
{
    struct raw_client c = {0};
    struct wire_buffer body;
    struct reply_header header;
    struct wire_reader reply;
    void *zmq = zmq_ctx_new();
    raw_open(&c, zmq, f.endpoint);
    wire_buffer_init(&body, 64);
    request_lease_close_write(&body, &(struct request_lease_close){.lease = id});
    raw_begin(&c, 0);
    raw_add(&c, OP_LEASE_CLOSE, 0, &body);
    assert_int_equal(raw_call(&c, &header, &reply), ERR_OK);
    wire_buffer_free(&body);
    raw_close(&c);
    zmq_ctx_term(zmq);
}

static void the_thread_finds_out_that_it_is_lost(void **state)
{
    (void)state;
    vigil_lease *lease;
    assert_int_equal(vigil_lease_open(f.v, 1500, &lease), VIGIL_OK);
    struct pollfd lost = {.fd = vigil_lease_fd(lease), .events = POLLIN};
    assert_int_equal(poll(&lost, 1, 0), 0);
    assert_true(vigil_lease_left_ms(lease) > 0);
    close_from_elsewhere(vigil_lease_id(lease));
    assert_int_equal(poll(&lost, 1, PATIENCE_MS), 1);
    assert_true(vigil_lease_has_ended(lease));
    assert_int_equal(vigil_lease_left_ms(lease), 0);
    assert_int_equal(vigil_lease_renew(lease), VIGIL_LEASE_ENDED);
    assert_int_equal(vigil_lease_close(lease), VIGIL_LEASE_ENDED);
}

/* Nobody answers: it cannot be relied on, but may come back. */
static void a_server_that_is_away(void **state)
{
    (void)state;
    vigil_lease *lease;
    assert_int_equal(vigil_lease_open(f.v, 1000, &lease), VIGIL_OK);
    struct pollfd lost = {.fd = vigil_lease_fd(lease), .events = POLLIN};
    client_fixture_kill_server(&f);
    assert_int_equal(poll(&lost, 1, PATIENCE_MS), 1);
    assert_int_equal(vigil_lease_left_ms(lease), 0);
    assert_false(vigil_lease_has_ended(lease));
    client_fixture_start_server(&f);
    int64_t deadline = boot_ms() + PATIENCE_MS;
    while (vigil_lease_left_ms(lease) == 0 && boot_ms() < deadline)
        (void)poll(NULL, 0, 10);
    assert_true(vigil_lease_left_ms(lease) > 0);
    assert_int_equal(vigil_lease_close(lease), VIGIL_OK);
}

static void by_hand(void **state)
{
    (void)state;
    static const char *const keys[] = {"life/hand"};
    vigil_lease *lease;
    assert_int_equal(vigil_lease_open_by_hand(f.v, 2000, &lease), VIGIL_OK);
    assert_int_equal(vigil_lease_fd(lease), -1);
    assert_int_equal(vigil_put_lease(f.v, keys[0], &one, 1, vigil_lease_id(lease), NULL, NULL),
                     VIGIL_OK);
    expect_put(keys[0]);
    int64_t sent_ms = 0;
    for (unsigned i = 0; i < 4; i++) {
        sent_ms = boot_ms();
        assert_int_equal(vigil_lease_renew(lease), VIGIL_OK);
        assert_true(vigil_lease_left_ms(lease) > 0);
        assert_null(next_record(700));
    }
    expect_end(1, keys, sent_ms + 2000);
    assert_int_equal(vigil_lease_left_ms(lease), 0);
    assert_int_equal(vigil_lease_renew(lease), VIGIL_LEASE_ENDED);
    assert_true(vigil_lease_has_ended(lease));
    assert_int_equal(vigil_put_lease(f.v, keys[0], &one, 1, vigil_lease_id(lease), NULL, NULL),
                     VIGIL_LEASE_ENDED);
    assert_int_equal(vigil_lease_close(lease), VIGIL_LEASE_ENDED);
}

/* ---- many ---- */

/* As many as come in one record of puts, in one moment: others are served between their ends. */
static void many_ends_at_once(void **state)
{
    (void)state;
    enum { MANY = 10000 };
    vigil_txn *t;
    char key[32];
    assert_int_equal(vigil_txn_new(&t), VIGIL_OK);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "life/many/%u", i);
        assert_int_equal(vigil_txn_put_ttl(t, key, &one, 1, 50), VIGIL_OK);
    }
    bool succeeded;
    vigil *unbound = client_fixture_connect(&f, 0);
    assert_int_equal(vigil_txn_commit(unbound, t, &succeeded, NULL, NULL, NULL), VIGIL_TOO_LARGE);
    vigil_close(unbound);
    vigil_txn_clear(t);
    for (unsigned i = 0; i < MANY / 10; i++) {
        snprintf(key, sizeof key, "life/many/%u", i);
        assert_int_equal(vigil_txn_put_ttl(t, key, &one, 1, 50), VIGIL_OK);
    }
    assert_int_equal(vigil_txn_commit(f.v, t, &succeeded, NULL, NULL, NULL), VIGIL_OK);
    vigil_txn_free(t);
    assert_int_equal(next_record(PATIENCE_MS)->count, MANY / 10);
    for (unsigned i = 0; i < MANY / 10; i++) {
        const vigil_record *event = next_record(PATIENCE_MS);
        assert_non_null(event);
        assert_int_equal(event->count, 1);
        assert_int_equal(event->changes[0].op, VIGIL_EXPIRE);
    }
    assert_null(next_record(200));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ends_in_order_and_never_early),
        TEST(conditions_and_arguments),
        TEST(kills_do_not_stop_the_clock),
        TEST(a_lease_is_kept_through_a_restart),
        TEST(the_thread_finds_out_that_it_is_lost),
        TEST(a_server_that_is_away),
        TEST(by_hand),
        TEST(many_ends_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
