/*
 * test_client_queue.c - queues whose items are worked on at least once, on a real server: each item
 * by one worker while none dies, by the next one where it does, and done by who holds it alone.
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

enum { PATIENCE_MS = 60000, SHORT_MS = 1000, LONG_MS = 86400000 };

static struct client_fixture f;
static vigil_lease *lease; /* of f.v; nothing but its end ends it */

static int set_up(void **state)
{
    (void)state;
    client_fixture_open(&f, TEST_VIGILD, NULL);
    assert_int_equal(vigil_lease_open(f.v, LONG_MS, &lease), VIGIL_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(vigil_lease_close(lease), VIGIL_OK);
    client_fixture_close(&f);
    return 0;
}

static uint64_t count_keys(const char *prefix)
{
    uint64_t count = UINT64_MAX;
    assert_int_equal(vigil_count(f.v, prefix, PATIENCE_MS, &count, NULL), VIGIL_OK);
    return count;
}

static uint64_t push(int64_t number)
{
    uint8_t value[16];
    uint64_t seq = 0;
    assert_int_equal(
        vigil_queue_push(f.v, "q", value, vigil_pack_int(value, sizeof value, number), &seq),
        VIGIL_OK);
    return seq;
}

static vigil_claim *claim(vigil *v, const vigil_lease *l)
{
    vigil_claim *c = NULL;
    int err = vigil_queue_claim(v, "q", l, PATIENCE_MS, &c);
    if (err)
        fail_msg("claim: %s: %s", vigil_error_name(err), vigil_failure_text(v));
    return c;
}

static int64_t number_of(const vigil_claim *c)
{
    size_t size;
    const void *value = vigil_claim_value(c, &size);
    int64_t number = -1;
    return vigil_unpack_int(value, size, &number) == VIGIL_OK ? number : -1;
}

static void nothing_is_free(void)
{
    vigil_claim *c = NULL;
    assert_int_equal(vigil_queue_claim(f.v, "q", lease, 0, &c), VIGIL_TIMEOUT);
    assert_null(c);
}

/* ---- one worker ---- */

static void in_the_order_of_their_push(void **state)
{
    (void)state;
    vigil_claim *claims[20];
    uint64_t fence = 0;
    nothing_is_free();
    for (int i = 0; i < 20; i++)
        fence = push(i);
    for (int i = 0; i < 20; i++) {
        claims[i] = claim(f.v, lease);
        assert_int_equal(number_of(claims[i]), i);
        assert_true(vigil_claim_seq(claims[i]) > fence);
        fence = vigil_claim_seq(claims[i]);
    }
    nothing_is_free();
    /* What is given back is the first again. */
    char *key = strdup(vigil_claim_key(claims[3]));
    vigil_claim_return(claims[7]);
    vigil_claim_return(claims[3]);
    claims[3] = claim(f.v, lease);
    assert_string_equal(vigil_claim_key(claims[3]), key);
    assert_true(vigil_claim_seq(claims[3]) > fence);
    free(key);
    claims[7] = claim(f.v, lease);
    assert_int_equal(number_of(claims[7]), 7);
    for (int i = 19; i >= 0; i--)
        assert_int_equal(vigil_claim_done(claims[i]), VIGIL_OK);
    vigil_claim_return(NULL);
    assert_int_equal(count_keys("queue/"), 0);
}

static void items_larger_than_a_reply(void **state)
{
    (void)state;
    enum { LARGE = 300000 };
    uint8_t *value = malloc(LARGE + 8);
    uint8_t *content = malloc(LARGE);
    size_t size;
    assert_non_null(value);
    assert_non_null(content);
    for (int i = 0; i < 3; i++) {
        memset(content, 'a' + i, LARGE);
        size = vigil_pack_binary(value, LARGE + 8, content, LARGE);
        assert_int_equal(vigil_queue_push(f.v, "q", value, size, NULL), VIGIL_OK);
    }
    for (int i = 0; i < 3; i++) {
        vigil_claim *c = claim(f.v, lease);
        const void *found = vigil_claim_value(c, &size);
        const void *data;
        memset(content, 'a' + i, LARGE);
        assert_int_equal(vigil_unpack_binary(found, size, &data, &size), VIGIL_OK);
        assert_int_equal(size, LARGE);
        assert_memory_equal(data, content, LARGE);
        assert_int_equal(vigil_claim_done(c), VIGIL_OK);
    }
    free(content);
    free(value);
}

static void names(void **state)
{
    (void)state;
    vigil_claim *c = NULL;
    static const char *const refused[] = {"", "a/", "a//item", NULL};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(vigil_queue_push(f.v, refused[i], "\x01", 1, NULL), VIGIL_BAD_KEY);
        assert_int_equal(vigil_queue_claim(f.v, refused[i], lease, 0, &c), VIGIL_BAD_KEY);
    }
    assert_int_equal(vigil_queue_claim(f.v, "q", NULL, 0, &c), VIGIL_INVALID);
    assert_int_equal(vigil_queue_push(f.v, "q/item", "\x01", 1, NULL), VIGIL_OK);
    assert_int_equal(vigil_queue_push(f.v, "q", "\xc1", 1, NULL), VIGIL_BAD_VALUE);
    nothing_is_free();
}

/* Puts a mark on an item, unless it has one: as another worker would. */
static bool mark_item(void *context, const vigil_entry *entry)
{
    static const char items[] = "queue/q//item/";
    static const vigil_condition if_absent = {.if_seq = true};
    char mark[128];
    vigil *other = context;
    (void)snprintf(mark, sizeof mark, "queue/q//claim/%s", entry->key + strlen(items));
    return vigil_send_put(other, mark, "\x01", 1, &if_absent, NULL) == VIGIL_OK;
}

/* More than a look takes in, and in the end more marks than a reply has room for. */
static void many_are_claimed(void **state)
{
    (void)state;
    enum { MANY = 2000, CLAIMED = 270 };
    static vigil_claim *claims[CLAIMED];
    vigil *other = client_fixture_connect(&f, PATIENCE_MS);
    for (int i = 0; i < MANY; i++)
        push(i);
    for (int i = 0; i < CLAIMED; i++) {
        claims[i] = claim(f.v, lease);
        assert_int_equal(number_of(claims[i]), i);
    }
    assert_int_equal(vigil_list(f.v, "queue/q//item/", false, 0, mark_item, other, NULL), VIGIL_OK);
    while (vigil_pending(other) > 0) {
        vigil_completion done;
        assert_int_equal(vigil_receive(other, PATIENCE_MS, &done), VIGIL_OK);
        assert_true(done.error == VIGIL_OK || done.error == VIGIL_CONFLICT);
    }
    nothing_is_free();
    push(MANY);
    vigil_claim *last = claim(f.v, lease);
    assert_int_equal(number_of(last), MANY);
    assert_int_equal(vigil_claim_done(last), VIGIL_OK);
    for (int i = 0; i < CLAIMED; i++)
        assert_int_equal(vigil_claim_done(claims[i]), VIGIL_OK);
    assert_int_equal(count_keys("queue/q//claim/"), MANY - CLAIMED);
    vigil_close(other);
}

/* ---- several workers ---- */

enum { WORKERS = 6, ITEMS = 120, NO_MORE = -2 };

static atomic_int times_done[ITEMS];

struct worker {
    pthread_t thread;
    int error;
};

static void *work(void *context)
{
    struct worker *w = context;
    const vigil_options options = {.endpoint = f.endpoint, .request_timeout_ms = PATIENCE_MS};
    vigil *v = NULL;
    vigil_lease *own = NULL;
    int64_t number = 0;
    w->error = vigil_open(&options, &v);
    if (w->error == VIGIL_OK)
        w->error = vigil_lease_open(v, LONG_MS, &own);
    while (w->error == VIGIL_OK && number != NO_MORE) {
        vigil_claim *c = NULL;
        w->error = vigil_queue_claim(v, "q", own, PATIENCE_MS, &c);
        if (w->error != VIGIL_OK)
            break;
        number = number_of(c);
        if (number >= 0 && number < ITEMS)
            (void)atomic_fetch_add(&times_done[number], 1);
        w->error = vigil_claim_done(c);
    }
    (void)vigil_lease_close(own);
    vigil_close(v);
    return NULL;
}

static void each_item_by_one(void **state)
{
    (void)state;
    struct worker workers[WORKERS] = {0};
    for (int i = 0; i < ITEMS / 2; i++)
        push(i);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    for (int i = ITEMS / 2; i < ITEMS; i++)
        push(i);
    for (int i = 0; i < WORKERS; i++)
        push(NO_MORE);
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].error, VIGIL_OK);
    }
    for (int i = 0; i < ITEMS; i++)
        assert_int_equal(atomic_load(&times_done[i]), 1);
    assert_int_equal(count_keys("queue/"), 0);
}

/* ---- what goes wrong ---- */

static bool claim_and_die(vigil *v, int fd)
{
    vigil_lease *own = NULL;
    vigil_claim *c = NULL;
    return vigil_lease_open(v, SHORT_MS, &own) == VIGIL_OK &&
           vigil_queue_claim(v, "q", own, PATIENCE_MS, &c) == VIGIL_OK && number_of(c) == 1 &&
           child_client_say(fd, 'c') && child_client_hear(fd, 'g');
}

static void a_killed_workers_item_goes_to_another(void **state)
{
    (void)state;
    struct child_client child;
    push(1);
    child_client_start(&child, &f, claim_and_die);
    assert_true(child_client_hear(child.fd, 'c'));
    nothing_is_free();
    child_client_kill(&child);
    vigil_claim *c = claim(f.v, lease);
    assert_int_equal(number_of(c), 1);
    assert_int_equal(vigil_claim_done(c), VIGIL_OK);
    assert_int_equal(count_keys("queue/"), 0);
}

static bool put_guarded(vigil *v, const vigil_claim *c)
{
    vigil_txn *t;
    bool succeeded = true;
    assert_int_equal(vigil_txn_new(&t), VIGIL_OK);
    assert_int_equal(vigil_claim_guard(c, t), VIGIL_OK);
    assert_int_equal(vigil_txn_put(t, "effect", "\x01", 1), VIGIL_OK);
    assert_int_equal(vigil_txn_commit(v, t, &succeeded, NULL, NULL, NULL), VIGIL_OK);
    vigil_txn_free(t);
    return succeeded;
}

/* The late one does no harm to who has the item now, however it ends. */
static void a_lost_claim(void **state)
{
    (void)state;
    vigil *late = client_fixture_connect(&f, PATIENCE_MS);
    push(5);
    push(6);
    for (int ending = 0; ending < 2; ending++) {
        vigil_lease *not_renewed;
        assert_int_equal(vigil_lease_open_by_hand(late, SHORT_MS, &not_renewed), VIGIL_OK);
        vigil_claim *lost = claim(late, not_renewed);
        vigil_claim *c = NULL;
        if (ending == 0) { /* the other item is still free */
            vigil_claim *other = claim(f.v, lease);
            assert_int_equal(number_of(other), 6);
            c = claim(f.v, lease);
            vigil_claim_return(other);
        } else {
            c = claim(f.v, lease);
        }
        assert_int_equal(number_of(c), 5 + ending);
        assert_string_equal(vigil_claim_key(c), vigil_claim_key(lost));
        assert_true(vigil_claim_seq(c) > vigil_claim_seq(lost));
        assert_false(put_guarded(late, lost));
        assert_true(put_guarded(f.v, c));
        if (ending == 0)
            assert_int_equal(vigil_claim_done(lost), VIGIL_LEASE_ENDED);
        else
            vigil_claim_return(lost);
        assert_true(put_guarded(f.v, c));
        assert_int_equal(vigil_claim_done(c), VIGIL_OK);
        vigil_claim *none = NULL;
        if (ending == 1)
            assert_int_equal(vigil_queue_claim(late, "q", not_renewed, 0, &none), VIGIL_TIMEOUT);
        assert_int_equal(vigil_lease_close(not_renewed), VIGIL_LEASE_ENDED);
    }
    vigil_close(late);
    assert_int_equal(count_keys("queue/"), 0);
}

/* An item that somebody takes away by hand, with the mark that was on it. */
static void an_item_that_is_removed(void **state)
{
    (void)state;
    push(1);
    vigil_claim *c = claim(f.v, lease);
    assert_int_equal(vigil_delete(f.v, vigil_claim_key(c), NULL, NULL), VIGIL_OK);
    assert_int_equal(vigil_claim_done(c), VIGIL_OK);
    assert_int_equal(count_keys("queue/"), 0);
}

static void *claim_in_a_thread(void *context)
{
    struct worker *w = context;
    const vigil_options options = {.endpoint = f.endpoint, .request_timeout_ms = PATIENCE_MS};
    vigil *v = NULL;
    vigil_lease *own = NULL;
    vigil_claim *c = NULL;
    w->error = vigil_open(&options, &v);
    if (w->error == VIGIL_OK)
        w->error = vigil_lease_open(v, LONG_MS, &own);
    for (int i = 0; i < 2 && w->error == VIGIL_OK; i++) {
        w->error = vigil_queue_claim(v, "q", own, PATIENCE_MS, &c);
        if (w->error == VIGIL_OK)
            w->error = number_of(c) == i ? vigil_claim_done(c) : VIGIL_INTERNAL;
    }
    (void)vigil_lease_close(own);
    vigil_close(v);
    return NULL;
}

/* A worker waits for an item while the server is killed. */
static void the_server_is_killed(void **state)
{
    (void)state;
    struct worker w = {0};
    assert_int_equal(pthread_create(&w.thread, NULL, claim_in_a_thread, &w), 0);
    push(0);
    /* Once the first is done, the worker looks for the next, and finds none. */
    while (count_keys("queue/q//item/") > 0)
        continue;
    client_fixture_kill_server(&f);
    client_fixture_start_server(&f);
    push(1);
    assert_int_equal(pthread_join(w.thread, NULL), 0);
    assert_int_equal(w.error, VIGIL_OK);
    assert_int_equal(count_keys("queue/"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(in_the_order_of_their_push),
        TEST(items_larger_than_a_reply),
        TEST(names),
        TEST(many_are_claimed),
        TEST(each_item_by_one),
        TEST(a_killed_workers_item_goes_to_another),
        TEST(a_lost_claim),
        TEST(an_item_that_is_removed),
        TEST(the_server_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
