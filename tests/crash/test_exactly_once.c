/*
 * test_exactly_once.c - eight clients increment while the server is killed, stopped and started
 * again: every increment succeeds, each gets its own first result, and the sum equals what was
 * acknowledged.
 *
 *   test_exactly_once [KILLS]     20 unless told, or VIGIL_TEST_KILLS
 *
 * ctest: TIMEOUT=300 PROCESSORS=2
 */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/client_fixture.h"
#include "tests/support/sample_bytes.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { CLIENTS = 8, KILLS = 20, PATIENCE_MS = 120000, BURST_MAX = 3000 };

static struct client_fixture f;
static int kills = KILLS;

/* What the clients and the one who kills tell each other. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static uint64_t acknowledged;
static int failed;
static bool is_over;

struct client {
    pthread_t thread;
    vigil *v;
    struct sample random;
    char key[16];
    int64_t count; /* acknowledged increments of its own key, and of the shared one */
};

static bool goes_on(uint64_t more)
{
    pthread_mutex_lock(&mutex);
    acknowledged += more;
    bool result = !is_over && !failed;
    pthread_cond_signal(&moved);
    pthread_mutex_unlock(&mutex);
    return result;
}

static void *give_up(const struct client *c, const char *what, int err)
{
    fprintf(stderr, "%s: %s: %s: %s\n", c->key, what, vigil_error_name(err),
            vigil_failure_text(c->v));
    pthread_mutex_lock(&mutex);
    failed++;
    pthread_cond_signal(&moved);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* One after the other. */
static int increment(struct client *c)
{
    int64_t value = 0;
    int err = vigil_incr(c->v, c->key, 1, &value, NULL, NULL, NULL);
    if (err == VIGIL_OK && value != c->count + 1)
        err = VIGIL_CORRUPT; /* somebody else's result, or applied twice */
    if (err == VIGIL_OK)
        err = vigil_incr(c->v, "sum", 1, NULL, NULL, NULL, NULL);
    c->count += err == VIGIL_OK;
    return err;
}

/* Many under way. */
static int increment_burst(struct client *c, int count)
{
    int err = VIGIL_OK;
    for (int i = 0; i < count && err == VIGIL_OK; i++) {
        err = vigil_send_incr(c->v, c->key, 1, NULL);
        if (err == VIGIL_OK)
            err = vigil_send_incr(c->v, "sum", 1, NULL);
    }
    for (int i = 0; err == VIGIL_OK && vigil_pending(c->v) > 0; i++) {
        vigil_completion completion;
        int64_t value = 0;
        err = vigil_receive(c->v, PATIENCE_MS, &completion);
        if (err == VIGIL_OK)
            err = completion.error;
        if (err == VIGIL_OK)
            err = vigil_unpack_int(completion.value, completion.size, &value);
        if (err == VIGIL_OK && i % 2 == 0 && value != ++c->count)
            err = VIGIL_CORRUPT;
    }
    return err;
}

static void *work(void *context)
{
    struct client *c = context;
    int64_t before = c->count;
    while (goes_on((uint64_t)(c->count - before))) {
        bool is_single = sample_below(&c->random, 2) == 0;
        before = c->count;
        int err = is_single ? increment(c)
                            : increment_burst(c, 1 + (int)sample_below(&c->random, BURST_MAX));
        if (err)
            return give_up(c, is_single ? "increment" : "burst", err);
    }
    return NULL;
}

/* Returns once the clients have come so much further. */
static void wait_for_progress(uint64_t more)
{
    pthread_mutex_lock(&mutex);
    uint64_t goal = acknowledged + more;
    while (acknowledged < goal && !failed)
        pthread_cond_wait(&moved, &mutex);
    int failures = failed;
    pthread_mutex_unlock(&mutex);
    assert_int_equal(failures, 0);
}

static int64_t read_counter(const char *key)
{
    vigil_entry entry;
    assert_int_equal(vigil_get(f.v, key, &entry), VIGIL_OK);
    assert_true(entry.present);
    return integer_of(entry.value, entry.size);
}

static void the_sum_is_what_was_acknowledged(void **state)
{
    (void)state;
    static struct client clients[CLIENTS];
    struct sample random = {2024};
    client_fixture_open(&f, TEST_VIGILD, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        c->v = client_fixture_connect(&f, PATIENCE_MS);
        c->random = (struct sample){(uint64_t)i + 1};
        snprintf(c->key, sizeof c->key, "own/%d", i);
        assert_int_equal(pthread_create(&c->thread, NULL, work, c), 0);
    }
    for (int kill_number = 0; kill_number < kills; kill_number++) {
        wait_for_progress(1 + sample_below(&random, 4000));
        if (sample_below(&random, 4) == 0) { /* what it has read stays unanswered */
            assert_int_equal(kill(f.server.pid, SIGSTOP), 0);
            assert_int_equal(kill(f.server.pid, SIGCONT), 0);
        }
        client_fixture_kill_server(&f);
        client_fixture_start_server(&f);
    }
    wait_for_progress(CLIENTS);
    pthread_mutex_lock(&mutex);
    is_over = true;
    pthread_mutex_unlock(&mutex);

    int64_t sum = 0;
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_join(clients[i].thread, NULL), 0);
        vigil_close(clients[i].v);
        assert_int_equal(read_counter(clients[i].key), clients[i].count);
        sum += clients[i].count;
    }
    assert_int_equal(failed, 0);
    assert_int_equal(read_counter("sum"), sum);
    print_message("%d kills, %lld increments by %d clients\n", kills, (long long)sum * 2, CLIENTS);
    client_fixture_close(&f);
}

int main(int argc, char **argv)
{
    const char *told = argc > 1 ? argv[1] : getenv("VIGIL_TEST_KILLS");
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_sum_is_what_was_acknowledged)};
    if (told)
        kills = (int)strtol(told, NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
