/*
 * test_client_wait.c - waits and mirrors of libvigil on a real server: values that held for a
 * moment, conditions, restarts, and that a mirror equals the state.
 *
 * ctest: TIMEOUT=240
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/client_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 30000 };

static struct client_fixture f;

static int set_up(void **state)
{
    (void)state;
    const char *options[] = {"--checkpoint-keys", "50", NULL};
    client_fixture_open(&f, TEST_VIGILD, options);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_fixture_close(&f);
    return 0;
}

static bool equals(void *context, const void *value, size_t size, const vigil_change *change)
{
    (void)change;
    const int64_t *wanted = context;
    return value && integer_of(value, size) == *wanted;
}

static bool is_absent(void *context, const void *value, size_t size, const vigil_change *change)
{
    (void)context;
    (void)size;
    (void)change;
    return !value;
}

/* ---- waits ---- */

static void the_present_state_is_enough(void **state)
{
    (void)state;
    vigil_wait_result result;
    int64_t wanted = 5;
    vigil_wait_options options = {.until = equals, .context = &wanted};
    put_integer(f.v, "k", 5);
    assert_int_equal(vigil_wait(f.v, "k", NULL, PATIENCE_MS, &result), VIGIL_OK);
    assert_true(result.from_state);
    assert_string_equal(result.entry.key, "k");
    assert_int_equal(vigil_wait(f.v, "k", &options, 0, &result), VIGIL_OK);
    wanted = 6;
    assert_int_equal(vigil_wait(f.v, "k", &options, 0, &result), VIGIL_TIMEOUT);
    assert_int_equal(vigil_wait(f.v, "k", &options, 50, &result), VIGIL_TIMEOUT);
    options = (vigil_wait_options){.until = is_absent};
    assert_int_equal(vigil_wait(f.v, "none", &options, 0, &result), VIGIL_OK);
    assert_false(result.entry.present);
    assert_int_equal(vigil_wait(f.v, "", NULL, 0, &result), VIGIL_BAD_KEY);
}

static void changes_alone(void **state)
{
    (void)state;
    vigil_wait_result result;
    vigil_wait_options options = {.change = true};
    put_integer(f.v, "k*", 1); /* a key that looks like a pattern */
    assert_int_equal(vigil_wait(f.v, "k*", &options, 50, &result), VIGIL_TIMEOUT);
    options.since = VIGIL_SINCE_OLDEST;
    put_integer(f.v, "k*more", 2);
    assert_int_equal(vigil_wait(f.v, "k*", &options, PATIENCE_MS, &result), VIGIL_OK);
    assert_false(result.from_state);
    assert_int_equal(result.record.seq, 1);
    assert_int_equal(result.record.count, 1);
    assert_string_equal(result.record.changes[0].key, "k*");
    options.since = VIGIL_SINCE_POSITION;
    options.position.seq = 1;
    assert_int_equal(vigil_wait(f.v, "k*", &options, 50, &result), VIGIL_TIMEOUT);
    options.position.seq = 100;
    assert_int_equal(vigil_wait(f.v, "k*", &options, 50, &result), VIGIL_POSITION_AHEAD);
}

struct writer {
    atomic_int_fast64_t wanted; /* what the waiter waits for; -1: stop */
    atomic_int_fast64_t written;
    vigil *v;
};

/* For each wanted value: sets it and overwrites it, in one message and so in one batch. */
static void *write_transients(void *context)
{
    struct writer *w = context;
    int64_t last = 0;
    for (;;) {
        int64_t wanted = atomic_load(&w->wanted);
        if (wanted < 0)
            return NULL;
        if (wanted == last)
            continue;
        last = wanted;
        for (int i = 0; i < 20; i++)
            send_integer(w->v, "transient", -i);
        send_integer(w->v, "transient", wanted);
        for (int i = 0; i < 20; i++)
            send_integer(w->v, "transient", -i);
        receive_all(w->v);
        atomic_store(&w->written, wanted);
    }
}

/* Wants a value, and when the present state has been looked at has it written: so it comes and goes
 * between that look and whatever the wait does next. */
struct trap {
    struct writer *writer;
    int64_t wanted;
};

static bool spring(void *context, const void *value, size_t size, const vigil_change *change)
{
    struct trap *t = context;
    bool satisfied = value && integer_of(value, size) == t->wanted;
    if (!change && !satisfied)
        atomic_store(&t->writer->wanted, t->wanted);
    return satisfied;
}

static void transients_are_seen_every_time(void **state)
{
    (void)state;
    struct writer w = {.v = client_fixture_connect(&f, 0)};
    pthread_t thread;
    put_integer(f.v, "transient", 0);
    assert_int_equal(pthread_create(&thread, NULL, write_transients, &w), 0);
    for (int64_t i = 1; i <= 1000; i++) {
        vigil_wait_result result;
        struct trap trap = {&w, i};
        vigil_wait_options options = {.until = spring, .context = &trap};
        int err = vigil_wait(f.v, "transient", &options, PATIENCE_MS, &result);
        if (err)
            fail_msg("wait %lld: %s", (long long)i, vigil_error_name(err));
        assert_false(result.from_state);
        while (atomic_load(&w.written) != i)
            ;
        if (i % 3 == 0) /* another key in between: the watch is opened anew */
            assert_int_equal(vigil_wait(f.v, "other", NULL, 0, NULL), VIGIL_TIMEOUT);
        if (i % 7 == 0) {
            options = (vigil_wait_options){.change = true};
            assert_int_equal(vigil_wait(f.v, "other", &options, 0, NULL), VIGIL_TIMEOUT);
        }
    }
    atomic_store(&w.wanted, -1);
    pthread_join(thread, NULL);
    vigil_close(w.v);
}

/* The same from a position, which the kept watch serves. */
static void waits_from_a_position_see_transients(void **state)
{
    (void)state;
    put_integer(f.v, "n", 0);
    for (int64_t i = 1; i <= 300; i++) {
        vigil_wait_result result;
        vigil_info info;
        int64_t wanted = i;
        vigil_get_info(f.v, &info);
        vigil_wait_options options = {.until = equals,
                                      .context = &wanted,
                                      .since = VIGIL_SINCE_POSITION,
                                      .position = {info.epoch, info.head}};
        send_integer(f.v, "n", i);
        send_integer(f.v, "n", -i);
        assert_int_equal(vigil_wait(f.v, "n", &options, PATIENCE_MS, &result), VIGIL_OK);
        assert_int_equal(result.record.seq, info.head + 1);
        receive_all(f.v);
    }
}

struct waiter {
    vigil_wait_options options;
    vigil_wait_result result;
    int err;
};

static void *wait_on_k(void *context)
{
    struct waiter *w = context;
    w->err = vigil_wait(f.v, "k", &w->options, PATIENCE_MS, &w->result);
    return NULL;
}

/* The waiter has a thread of its own, because the server must be the child of one that stays. */
static void a_wait_survives_a_crash(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        int64_t wanted = 7;
        vigil_info info;
        pthread_t thread;
        put_integer(f.v, "k", 0);
        vigil_get_info(f.v, &info);
        struct waiter w = {.options = {.until = equals,
                                       .context = &wanted,
                                       .since = VIGIL_SINCE_POSITION,
                                       .position = {info.epoch, info.head}}};
        assert_int_equal(pthread_create(&thread, NULL, wait_on_k, &w), 0);
        client_fixture_kill_server(&f);
        client_fixture_start_server(&f);
        vigil *v = client_fixture_connect(&f, 0);
        put_integer(v, "k", 7);
        put_integer(v, "k", 8);
        pthread_join(thread, NULL);
        assert_int_equal(w.err, VIGIL_OK);
        const vigil_change *c = &w.result.record.changes[0];
        assert_int_equal(integer_of(c->value, c->size), 7);
        vigil_close(v);
    }
}

static void a_wait_without_a_server_is_disconnected(void **state)
{
    (void)state;
    vigil_wait_result result;
    vigil_wait_options changes = {.change = true};
    vigil *v = client_fixture_connect(&f, 100);
    client_fixture_kill_server(&f);
    assert_int_equal(vigil_wait(v, "k", NULL, 300, &result), VIGIL_DISCONNECTED);
    assert_int_equal(vigil_wait(v, "k", &changes, 300, &result), VIGIL_DISCONNECTED);
    vigil_close(v);
    client_fixture_start_server(&f);
}

/* ---- mirrors ---- */

struct comparison {
    vigil_mirror *m;
    size_t count;
};

static bool compare_entry(void *context, const vigil_entry *e)
{
    struct comparison *c = context;
    vigil_entry mine;
    c->count++;
    if (vigil_mirror_get(c->m, e->key, &mine) != VIGIL_OK)
        fail_msg("%s is not in the mirror", e->key);
    assert_int_equal(mine.size, e->size);
    assert_memory_equal(mine.value, e->value, e->size);
    assert_int_equal(mine.modified, e->modified);
    assert_int_equal(mine.created, e->created);
    assert_int_equal(mine.version, e->version);
    return true;
}

/* Brings the mirror to the head and holds it against the server's listing. */
static void compare(vigil_mirror *m, const char *prefix)
{
    struct comparison c = {.m = m};
    vigil_info info;
    uint64_t seq;
    int err;
    vigil_ping(f.v);
    vigil_get_info(f.v, &info);
    do
        err = vigil_mirror_wait_seq(m, info.head, PATIENCE_MS);
    while (err == VIGIL_DISCONNECTED);
    assert_int_equal(err, VIGIL_OK);
    assert_int_equal(vigil_list(f.v, prefix, true, 0, compare_entry, &c, &seq), VIGIL_OK);
    assert_int_equal(seq, vigil_mirror_seq(m));
    assert_int_equal(c.count, vigil_mirror_count(m));
}

static void change_something(unsigned *random, int count)
{
    char key[32];
    for (int i = 0; i < count; i++) {
        *random = *random * 1103515245u + 12345u;
        snprintf(key, sizeof key, "%s/%u", *random >> 30 ? "m" : "other", (*random >> 16) % 200);
        if ((*random >> 8) % 4 == 0) {
            assert_int_equal(vigil_send_delete(f.v, key, NULL, NULL), VIGIL_OK);
            continue;
        }
        send_integer(f.v, key, i);
    }
    while (vigil_pending(f.v) > 0) {
        vigil_completion c;
        assert_int_equal(vigil_receive(f.v, PATIENCE_MS, &c), VIGIL_OK);
    }
}

static void a_mirror_equals_the_state(void **state)
{
    (void)state;
    unsigned random = 42;
    const char *patterns[] = {"m/*"};
    vigil_mirror *m;
    vigil_entry entry;
    change_something(&random, 2000);
    assert_int_equal(vigil_mirror_open(f.v, patterns, 1, PATIENCE_MS, &m), VIGIL_OK);
    for (int round = 0; round < 20; round++) {
        compare(m, "m/");
        change_something(&random, 300);
    }
    compare(m, "m/");
    assert_int_equal(vigil_mirror_get(m, "other/1", &entry), VIGIL_NOT_FOUND);
    client_fixture_kill_server(&f);
    client_fixture_start_server(&f);
    change_something(&random, 300);
    compare(m, "m/");
    vigil_mirror_close(m);
}

static void a_mirror_of_keys_and_prefixes(void **state)
{
    (void)state;
    const char *patterns[] = {"one", "two", "p/*"};
    vigil_mirror *m;
    vigil_entry entry;
    put_integer(f.v, "one", 1);
    put_integer(f.v, "onex", 1);
    put_integer(f.v, "p/a", 2);
    put_integer(f.v, "two", 1);
    assert_int_equal(vigil_delete(f.v, "two", NULL, NULL), VIGIL_OK);
    assert_int_equal(vigil_mirror_open(f.v, patterns, 3, PATIENCE_MS, &m), VIGIL_OK);
    assert_int_equal(vigil_mirror_count(m), 2);
    assert_int_equal(vigil_mirror_get(m, "one", &entry), VIGIL_OK);
    uint64_t seq = put_integer(f.v, "two", 2);
    assert_int_equal(vigil_mirror_wait_seq(m, seq, PATIENCE_MS), VIGIL_OK);
    assert_int_equal(vigil_mirror_get(m, "two", &entry), VIGIL_OK);
    assert_int_equal(integer_of(entry.value, entry.size), 2);
    seq = put_integer(f.v, "elsewhere", 1); /* a bookmark brings it here */
    assert_int_equal(vigil_mirror_wait_seq(m, seq, PATIENCE_MS), VIGIL_OK);
    assert_int_equal(vigil_mirror_update(m, 0, NULL), VIGIL_TIMEOUT);
    vigil_mirror_close(m);
}

static void a_mirror_loads_afresh_from_another_journal(void **state)
{
    (void)state;
    vigil_mirror *m;
    bool reloaded = false;
    int err;
    put_integer(f.v, "old", 1);
    assert_int_equal(vigil_mirror_open(f.v, NULL, 0, PATIENCE_MS, &m), VIGIL_OK);
    struct pollfd p = {.fd = vigil_mirror_fd(m), .events = POLLIN};
    client_fixture_kill_server(&f);
    client_fixture_replace_data(&f);
    client_fixture_start_server(&f);
    put_integer(f.v, "new", 2);
    do {
        err = vigil_mirror_update(m, PATIENCE_MS, &reloaded);
    } while (err == VIGIL_DISCONNECTED);
    assert_int_equal(err, VIGIL_OK);
    assert_true(reloaded);
    vigil_entry entry;
    assert_int_equal(vigil_mirror_get(m, "old", &entry), VIGIL_NOT_FOUND);
    assert_int_equal(vigil_mirror_get(m, "new", &entry), VIGIL_OK);
    /* The descriptor is the same and still works. */
    assert_int_equal(vigil_mirror_fd(m), p.fd);
    while (vigil_mirror_update(m, 0, NULL) != VIGIL_TIMEOUT)
        ;
    put_integer(f.v, "new", 3);
    while ((err = vigil_mirror_update(m, 0, NULL)) == VIGIL_TIMEOUT)
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_int_equal(err, VIGIL_OK);
    vigil_mirror_close(m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_present_state_is_enough),
        TEST(changes_alone),
        TEST(transients_are_seen_every_time),
        TEST(waits_from_a_position_see_transients),
        TEST(a_wait_survives_a_crash),
        TEST(a_wait_without_a_server_is_disconnected),
        TEST(a_mirror_equals_the_state),
        TEST(a_mirror_of_keys_and_prefixes),
        TEST(a_mirror_loads_afresh_from_another_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
