/*
 * test_client_recipes.c - locks, elections and barriers on a real server: one at a time, in the
 * order of arrival, each with a greater fence; holders that are stopped, killed, or whose server is.
 *
 * ctest: TIMEOUT=240 PROCESSORS=2 LABELS=no-tsan
 */
#define _DEFAULT_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/child_client.h"
#include "tests/support/client_fixture.h"

enum {
    PATIENCE_MS = 60000,
    SHORT_MS = 1000,   /* of a lease that is to be lost */
    LONG_MS = 86400000 /* of one that only a release ends */
};

static struct client_fixture f;

static int set_up(void **state)
{
    (void)state;
    client_fixture_open(&f, TEST_VIGILD, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_fixture_close(&f);
    return 0;
}

static uint64_t count_keys(const char *prefix)
{
    uint64_t count = UINT64_MAX;
    assert_int_equal(vigil_count(f.v, prefix, PATIENCE_MS, &count, NULL), VIGIL_OK);
    return count;
}

/* Puts 1 at key if the lock is held; returns whether it was. */
static bool put_guarded(vigil *v, const vigil_lock *l, const char *key, int *ret_error)
{
    static const uint8_t one = 1;
    vigil_txn *t = NULL;
    bool succeeded = false;
    *ret_error = vigil_txn_new(&t);
    if (*ret_error)
        return false;
    (void)vigil_lock_guard(l, t);
    (void)vigil_txn_put(t, key, &one, 1);
    *ret_error = vigil_txn_commit(v, t, &succeeded, NULL, NULL, NULL);
    vigil_txn_free(t);
    return succeeded;
}

/* ---- several at once ---- */

enum { CONTENDERS = 8, TIMES = 10 };

static atomic_int holders;
static _Atomic uint64_t last_fence;

struct contender {
    pthread_t thread;
    int error;
    bool alone;
};

/* Reads, adds one, writes: what only one at a time may do. */
static int add_one(vigil *v)
{
    vigil_entry entry;
    uint8_t value[16];
    int64_t number = 0;
    int err = vigil_get(v, "n", &entry);
    if (!err && entry.present)
        err = vigil_unpack_int(entry.value, entry.size, &number);
    if (err)
        return err;
    return vigil_put(v, "n", value, vigil_pack_int(value, sizeof value, number + 1), NULL, NULL);
}

static int hold_once(vigil *v, struct contender *c)
{
    vigil_lock *l = NULL;
    int err = vigil_lock_acquire(v, "one", LONG_MS, PATIENCE_MS, &l);
    if (err)
        return err;
    c->alone &= atomic_fetch_add(&holders, 1) == 0;
    c->alone &= atomic_exchange(&last_fence, vigil_lock_seq(l)) < vigil_lock_seq(l);
    err = vigil_lock_check(l);
    if (!err)
        err = add_one(v);
    (void)atomic_fetch_sub(&holders, 1);
    vigil_lock_release(l);
    return err;
}

static void *contend(void *context)
{
    struct contender *c = context;
    const vigil_options options = {.endpoint = f.endpoint, .request_timeout_ms = PATIENCE_MS};
    vigil *v = NULL;
    c->alone = true;
    c->error = vigil_open(&options, &v);
    for (int i = 0; i < TIMES && c->error == VIGIL_OK; i++)
        c->error = hold_once(v, c);
    vigil_close(v);
    return NULL;
}

static void one_at_a_time(void **state)
{
    (void)state;
    static struct contender contenders[CONTENDERS];
    vigil_entry entry;
    for (int i = 0; i < CONTENDERS; i++)
        assert_int_equal(pthread_create(&contenders[i].thread, NULL, contend, &contenders[i]), 0);
    for (int i = 0; i < CONTENDERS; i++) {
        assert_int_equal(pthread_join(contenders[i].thread, NULL), 0);
        assert_int_equal(contenders[i].error, VIGIL_OK);
        assert_true(contenders[i].alone);
    }
    assert_int_equal(vigil_get(f.v, "n", &entry), VIGIL_OK);
    assert_int_equal(integer_of(entry.value, entry.size), CONTENDERS * TIMES);
    assert_int_equal(count_keys("lock/"), 0);
}

/* One who waits in a thread, on a connection of its own. */
struct waiter {
    pthread_t thread;
    vigil *v;
    vigil_lock *lock;
    int error;
    int place; /* in the order of those who got the lock */
};

static atomic_int places;

static void enter(struct waiter *w, const char *name, uint32_t ttl_ms)
{
    *w = (struct waiter){.v = client_fixture_connect(&f, PATIENCE_MS)};
    assert_int_equal(vigil_lock_enter(w->v, name, NULL, 0, ttl_ms, &w->lock), VIGIL_OK);
}

static void *wait_in_line(void *context)
{
    struct waiter *w = context;
    w->error = vigil_lock_wait(w->lock, PATIENCE_MS);
    w->place = atomic_fetch_add(&places, 1);
    if (w->error == VIGIL_OK)
        w->error = vigil_lock_check(w->lock);
    vigil_lock_release(w->lock);
    return NULL;
}

static void start_waiter(struct waiter *w)
{
    assert_int_equal(pthread_create(&w->thread, NULL, wait_in_line, w), 0);
}

static void join_waiter(struct waiter *w, int place)
{
    assert_int_equal(pthread_join(w->thread, NULL), 0);
    assert_int_equal(w->error, VIGIL_OK);
    assert_int_equal(w->place, place);
    vigil_close(w->v);
}

/* Leases of a day: nothing but a release brings the next one on. */
static void in_the_order_of_arrival(void **state)
{
    (void)state;
    enum { LINE = 5 };
    struct waiter line[LINE];
    vigil_lock *first = NULL;
    atomic_store(&places, 0);
    assert_int_equal(vigil_lock_acquire(f.v, "line", LONG_MS, 0, &first), VIGIL_OK);
    uint64_t fence = vigil_lock_seq(first);
    for (int i = 0; i < LINE; i++) {
        enter(&line[i], "line", LONG_MS);
        assert_true(vigil_lock_seq(line[i].lock) > fence);
        fence = vigil_lock_seq(line[i].lock);
        assert_int_equal(vigil_lock_wait(line[i].lock, 0), VIGIL_TIMEOUT);
    }
    for (int i = LINE - 1; i >= 0; i--)
        start_waiter(&line[i]);
    vigil_lock_release(first);
    for (int i = 0; i < LINE; i++)
        join_waiter(&line[i], i);
    assert_int_equal(count_keys("lock/"), 0);
}

/* One in the middle goes: the one behind it waits for the one before it. */
static void a_timeout_leaves_the_line(void **state)
{
    (void)state;
    struct waiter middle;
    struct waiter last;
    vigil_lock *first = NULL;
    vigil_lock *none = NULL;
    atomic_store(&places, 0);
    assert_int_equal(vigil_lock_acquire(f.v, "l", LONG_MS, 0, &first), VIGIL_OK);
    enter(&middle, "l", LONG_MS);
    assert_int_equal(vigil_lock_acquire(f.v, "l", LONG_MS, 30, &none), VIGIL_TIMEOUT);
    assert_null(none);
    assert_int_equal(count_keys("lock/l//"), 2);
    enter(&last, "l", LONG_MS);
    start_waiter(&last);
    vigil_lock_release(middle.lock);
    vigil_close(middle.v);
    assert_int_equal(vigil_lock_check(first), VIGIL_OK);
    assert_int_equal(atomic_load(&places), 0);
    vigil_lock_release(first);
    join_waiter(&last, 0);
}

static void names(void **state)
{
    (void)state;
    vigil_lock *l[3] = {NULL};
    char longest[1024];
    static const char *const refused[] = {"", "a/", "a//b", NULL};
    for (int i = 0; i < 4; i++)
        assert_int_equal(vigil_lock_acquire(f.v, refused[i], LONG_MS, 0, &l[0]), VIGIL_BAD_KEY);
    memset(longest, 'x', sizeof longest);
    longest[416] = '\0';
    assert_int_equal(vigil_lock_acquire(f.v, longest, LONG_MS, 0, &l[0]), VIGIL_OK);
    vigil_lock_release(l[0]);
    longest[416] = 'x';
    longest[417] = '\0';
    assert_int_equal(vigil_lock_acquire(f.v, longest, LONG_MS, 0, &l[0]), VIGIL_BAD_KEY);
    assert_int_equal(vigil_lock_acquire(f.v, "a", 999, 0, &l[0]), VIGIL_INVALID);
    assert_int_equal(vigil_lock_acquire(f.v, "a", LONG_MS, 0, NULL), VIGIL_INVALID);
    /* One name within another is another name. */
    static const char *const nested[] = {"a/b", "a", "a/b/c"};
    for (int i = 0; i < 3; i++)
        assert_int_equal(vigil_lock_acquire(f.v, nested[i], LONG_MS, 0, &l[i]), VIGIL_OK);
    for (int i = 0; i < 3; i++)
        vigil_lock_release(l[i]);
    vigil_lock_release(NULL);
}

/* ---- what goes wrong ---- */

static bool hold_and_be_stopped(vigil *v, int fd)
{
    vigil_lock *l = NULL;
    int err;
    if (vigil_lock_acquire(v, "s", SHORT_MS, PATIENCE_MS, &l) != VIGIL_OK ||
        !put_guarded(v, l, "guarded", &err) || !child_client_say(fd, 'h'))
        return false;
    /* Here it is stopped. */
    if (!child_client_hear(fd, 'g') || put_guarded(v, l, "late", &err) || err != VIGIL_OK ||
        vigil_lock_check(l) != VIGIL_LEASE_ENDED || vigil_lock_wait(l, 0) != VIGIL_LEASE_ENDED)
        return false;
    while (vigil_lock_left_ms(l) > 0) /* until its thread has been told, too */
        continue;
    vigil_lock_release(l);
    return child_client_say(fd, 'd');
}

static void a_stopped_holder_has_lost_it(void **state)
{
    (void)state;
    struct child_client child;
    vigil_lock *next = NULL;
    vigil_entry entry;
    int err;
    child_client_start(&child, &f, hold_and_be_stopped);
    assert_true(child_client_hear(child.fd, 'h'));
    assert_int_equal(vigil_get(f.v, "guarded", &entry), VIGIL_OK);
    uint64_t held = entry.modified;
    child_client_stop(&child);
    assert_int_equal(vigil_lock_acquire(f.v, "s", LONG_MS, PATIENCE_MS, &next), VIGIL_OK);
    assert_true(vigil_lock_seq(next) > held);
    child_client_continue(&child);
    assert_true(child_client_say(child.fd, 'g'));
    assert_true(child_client_hear(child.fd, 'd'));
    child_client_join(&child);
    assert_int_equal(vigil_get(f.v, "late", &entry), VIGIL_OK);
    assert_false(entry.present);
    assert_true(put_guarded(f.v, next, "late", &err));
    assert_int_equal(vigil_lock_check(next), VIGIL_OK);
    vigil_lock_release(next);
}

static bool hold(vigil *v, int fd)
{
    vigil_lock *l = NULL;
    return vigil_lock_acquire(v, "k", SHORT_MS, PATIENCE_MS, &l) == VIGIL_OK &&
           child_client_say(fd, 'h') && child_client_hear(fd, 'g');
}

static void a_killed_holder_is_passed_by(void **state)
{
    (void)state;
    struct child_client child;
    vigil_lock *next = NULL;
    child_client_start(&child, &f, hold);
    assert_true(child_client_hear(child.fd, 'h'));
    assert_int_equal(vigil_lock_acquire(f.v, "k", LONG_MS, 0, &next), VIGIL_TIMEOUT);
    child_client_kill(&child);
    assert_int_equal(vigil_lock_acquire(f.v, "k", LONG_MS, PATIENCE_MS, &next), VIGIL_OK);
    vigil_lock_release(next);
}

/* The holder and the line outlive their server, and their leases' time: they are renewed again. */
static void the_server_is_killed(void **state)
{
    (void)state;
    enum { TTL_MS = 5000 };
    struct waiter waiter;
    vigil_lock *first = NULL;
    const vigil_wait_options any_change = {.change = true};
    atomic_store(&places, 0);
    assert_int_equal(vigil_lock_acquire(f.v, "r", TTL_MS, 0, &first), VIGIL_OK);
    uint64_t fence = vigil_lock_seq(first);
    enter(&waiter, "r", TTL_MS);
    start_waiter(&waiter);
    for (int i = 0; i < 2; i++) {
        client_fixture_kill_server(&f);
        client_fixture_start_server(&f);
    }
    assert_int_equal(vigil_wait(f.v, "unrelated", &any_change, TTL_MS + 1000, NULL), VIGIL_TIMEOUT);
    assert_int_equal(vigil_lock_check(first), VIGIL_OK);
    assert_int_equal(vigil_lock_seq(first), fence);
    assert_int_equal(count_keys("lock/r//"), 2);
    assert_int_equal(atomic_load(&places), 0);
    vigil_lock_release(first);
    join_waiter(&waiter, 0);
}

/* Another journal: no fence of the old one means anything there. */
static void the_journal_is_replaced(void **state)
{
    (void)state;
    vigil_lock *l = NULL;
    assert_int_equal(vigil_lock_acquire(f.v, "j", LONG_MS, 0, &l), VIGIL_OK);
    client_fixture_kill_server(&f);
    client_fixture_replace_data(&f);
    client_fixture_start_server(&f);
    assert_int_equal(vigil_lock_check(l), VIGIL_LEASE_ENDED);
    assert_int_equal(vigil_lock_wait(l, 0), VIGIL_LEASE_ENDED);
    vigil_lock_release(l);
}

/* ---- elections ---- */

static void expect_leader(const vigil_lock *l, const char *text)
{
    uint64_t seq = 0;
    void *value = NULL;
    size_t size = 0;
    const char *found;
    assert_int_equal(vigil_elected(f.v, "e", &seq, &value, &size), VIGIL_OK);
    assert_int_equal(seq, vigil_lock_seq(l));
    assert_int_equal(vigil_unpack_string(value, size, &found, &size), VIGIL_OK);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(found, text, size);
    free(value);
}

static void the_oldest_leads(void **state)
{
    (void)state;
    vigil_lock *first = NULL;
    vigil_lock *second = NULL;
    uint64_t seq;
    void *value;
    size_t size;
    assert_int_equal(vigil_elected(f.v, "e", &seq, &value, &size), VIGIL_NOT_FOUND);
    assert_int_equal(vigil_elect(f.v, "e", "\xa3one", 4, LONG_MS, 0, &first), VIGIL_OK);
    expect_leader(first, "one");
    assert_int_equal(vigil_elect_enter(f.v, "e", "\xa3two", 4, LONG_MS, &second), VIGIL_OK);
    assert_int_equal(vigil_lock_wait(second, 0), VIGIL_TIMEOUT);
    expect_leader(first, "one");
    vigil_lock_release(first);
    assert_int_equal(vigil_lock_wait(second, PATIENCE_MS), VIGIL_OK);
    expect_leader(second, "two");
    vigil_lock_release(second);
    assert_int_equal(vigil_elected(f.v, "e", &seq, &value, &size), VIGIL_NOT_FOUND);
    assert_int_equal(vigil_elect(f.v, "e", "\xc1", 1, LONG_MS, 0, &first), VIGIL_BAD_VALUE);
    assert_int_equal(count_keys("election/"), 0);
}

/* ---- barriers ---- */

enum { COMPANY = 4, ROUNDS = 15 };

struct guest {
    pthread_t thread;
    int error;
    int rounds;
};

/* Each leaves at once, whether or not the others have noticed that it opened. */
static void *meet(void *context)
{
    struct guest *g = context;
    const vigil_options options = {.endpoint = f.endpoint, .request_timeout_ms = PATIENCE_MS};
    vigil *v = NULL;
    g->error = vigil_open(&options, &v);
    while (g->rounds < ROUNDS && g->error == VIGIL_OK) {
        char name[32];
        vigil_barrier *b = NULL;
        (void)snprintf(name, sizeof name, "round/%d", g->rounds);
        g->error = vigil_barrier_enter(v, name, COMPANY, LONG_MS, PATIENCE_MS, &b);
        g->rounds += g->error == VIGIL_OK;
        vigil_barrier_leave(b);
    }
    vigil_close(v);
    return NULL;
}

static void a_barrier_opens_for_all(void **state)
{
    (void)state;
    struct guest guests[COMPANY] = {0};
    for (int i = 0; i < COMPANY; i++)
        assert_int_equal(pthread_create(&guests[i].thread, NULL, meet, &guests[i]), 0);
    for (int i = 0; i < COMPANY; i++) {
        assert_int_equal(pthread_join(guests[i].thread, NULL), 0);
        assert_int_equal(guests[i].error, VIGIL_OK);
        assert_int_equal(guests[i].rounds, ROUNDS);
    }
    assert_int_equal(count_keys("barrier/"), 0);
}

static void a_barrier_with_one_missing(void **state)
{
    (void)state;
    vigil_barrier *b[2] = {NULL};
    assert_int_equal(vigil_barrier_enter(f.v, "b", 1, LONG_MS, 0, &b[0]), VIGIL_OK);
    assert_int_equal(vigil_barrier_enter(f.v, "b/other", 1, LONG_MS, 0, &b[1]), VIGIL_OK);
    vigil_barrier_leave(b[1]);
    b[1] = NULL;
    assert_int_equal(vigil_barrier_enter(f.v, "b", 3, LONG_MS, 50, &b[1]), VIGIL_TIMEOUT);
    assert_null(b[1]);
    assert_int_equal(count_keys("barrier/b//"), 1);
    assert_int_equal(vigil_barrier_enter(f.v, "b", 2, LONG_MS, 0, &b[1]), VIGIL_OK);
    vigil_barrier_leave(b[0]);
    vigil_barrier_leave(b[1]);
    vigil_barrier_leave(NULL);
    assert_int_equal(vigil_barrier_enter(f.v, "b", 0, LONG_MS, 0, &b[0]), VIGIL_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_at_a_time),
        TEST(in_the_order_of_arrival),
        TEST(a_timeout_leaves_the_line),
        TEST(names),
        TEST(a_stopped_holder_has_lost_it),
        TEST(a_killed_holder_is_passed_by),
        TEST(the_server_is_killed),
        TEST(the_journal_is_replaced),
        TEST(the_oldest_leads),
        TEST(a_barrier_opens_for_all),
        TEST(a_barrier_with_one_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
