/*
 * test_client_reads.c - listings and histories over a server that is killed and started again: whole
 * and right within their time, and an honest error after it.
 *
 * ctest: TIMEOUT=180
 */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/client_fixture.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Several pages of a listing, and several of a history. */
enum { KEYS = 4000, CHANGES = 2500, VALUE_SIZE = 1000, PATIENCE_MS = 60000, ROUNDS = 20 };

static struct client_fixture f;
static atomic_bool done;
static sem_t kills; /* that are still to be done: one for each read */

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

static void send_value(const char *key, uint64_t number)
{
    static const char filling[VALUE_SIZE] = "";
    uint8_t value[VALUE_SIZE + 32];
    size_t at = vigil_pack_array(value, sizeof value, 2);
    at += vigil_pack_uint(value + at, sizeof value - at, number);
    at += vigil_pack_string(value + at, sizeof value - at, filling, VALUE_SIZE);
    assert_int_equal(vigil_send_put(f.v, key, value, at, NULL, NULL), VIGIL_OK);
}

/* The number is the array's first element. */
static uint64_t number_of(const void *value, size_t size)
{
    uint8_t expected[16];
    const uint8_t *bytes = value;
    assert_true(size > VALUE_SIZE);
    for (size_t i = 1; i <= 9; i++) {
        uint64_t number;
        if (vigil_unpack_uint(bytes + 1, i, &number) == VIGIL_OK &&
            vigil_pack_uint(expected, sizeof expected, number) == i)
            return number;
    }
    fail_msg("a value that nobody put");
    return 0;
}

static void fill(void)
{
    char key[16];
    for (uint64_t i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k/%04d", (int)i);
        send_value(key, i);
    }
    for (uint64_t i = 0; i < CHANGES; i++)
        send_value("changes", i);
    receive_all(f.v);
}

static bool take_entry(void *context, const vigil_entry *entry)
{
    uint64_t *count = context;
    char key[16];
    snprintf(key, sizeof key, "k/%04d", (int)*count);
    assert_string_equal(entry->key, key);
    assert_int_equal(number_of(entry->value, entry->size), *count);
    (*count)++;
    return true;
}

static bool take_change(void *context, const vigil_record *record)
{
    uint64_t *count = context;
    assert_int_equal(number_of(record->changes[0].value, record->changes[0].size), *count);
    (*count)++;
    return true;
}

static void list_all(int timeout_ms)
{
    uint64_t count = 0;
    int err = vigil_list(f.v, "k/", true, timeout_ms, take_entry, &count, NULL);
    if (err)
        fail_msg("list: %s: %s", vigil_error_name(err), vigil_failure_text(f.v));
    assert_int_equal(count, KEYS);
}

static void read_history(int timeout_ms)
{
    uint64_t count = 0;
    bool complete = false;
    int err = vigil_history(f.v, "changes", timeout_ms, take_change, &count, &complete);
    if (err)
        fail_msg("history: %s: %s", vigil_error_name(err), vigil_failure_text(f.v));
    assert_int_equal(count, CHANGES);
    assert_true(complete);
}

/* The server is the thread's, until it is joined: then it dies, as it would with the test. */
static void *kill_and_start(void *context)
{
    (void)context;
    for (long i = 0; sem_wait(&kills) == 0 && !atomic_load(&done); i++) {
        /* Another moment of the read each time. */
        struct timespec moment = {.tv_nsec = (i * 7 % 40) * 1000000};
        nanosleep(&moment, NULL);
        client_fixture_kill_server(&f);
        client_fixture_start_server(&f);
    }
    return NULL;
}

static void reads_over_a_server_that_keeps_dying(void **state)
{
    (void)state;
    pthread_t killer;
    fill();
    atomic_store(&done, false);
    assert_int_equal(sem_init(&kills, 0, 0), 0);
    assert_int_equal(pthread_create(&killer, NULL, kill_and_start, NULL), 0);
    for (int i = 0; i < ROUNDS; i++) {
        sem_post(&kills);
        list_all(i % 2 ? PATIENCE_MS : -1);
        sem_post(&kills);
        read_history(i % 2 ? PATIENCE_MS : -1);
    }
    atomic_store(&done, true);
    sem_post(&kills);
    pthread_join(killer, NULL);
    sem_destroy(&kills);
    client_fixture_kill_server(&f);
    client_fixture_start_server(&f);
}

static bool take_bytes(void *context, const void *data, size_t size)
{
    size_t *total = context;
    (void)data;
    *total += size;
    return true;
}

/* On a connection that has long known that the server is gone, and by nothing but these calls. */
static void a_backup_connects_again(void **state)
{
    (void)state;
    vigil *v = client_fixture_connect(&f, 200);
    uint64_t seq = put_integer(v, "k/1", 1);
    size_t total = 0;
    vigil_backup_info info = {0};
    client_fixture_kill_server(&f);
    assert_int_equal(vigil_ping(v), VIGIL_DISCONNECTED);
    assert_int_equal(vigil_backup(v, false, take_bytes, &total, &info), VIGIL_DISCONNECTED);
    client_fixture_start_server(&f);
    int64_t tries = PATIENCE_MS / 200;
    while (vigil_backup(v, false, take_bytes, &total, &info) != VIGIL_OK && --tries > 0)
        ;
    assert_true(tries > 0);
    assert_int_equal(info.seq, seq);
    assert_true(total >= info.bytes);
    vigil_close(v);
}

static bool take_nothing(void *context, const vigil_entry *entry)
{
    (void)context;
    (void)entry;
    return true;
}

static bool take_no_change(void *context, const vigil_record *record)
{
    (void)context;
    (void)record;
    return true;
}

static void a_server_that_is_away_is_told(void **state)
{
    (void)state;
    vigil *v = client_fixture_connect(&f, 200);
    put_integer(v, "k/1", 1);
    client_fixture_kill_server(&f);
    const int timeouts[] = {0, 1, 300, 1500};
    for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
        assert_int_equal(vigil_list(v, "", true, timeouts[i], take_nothing, NULL, NULL),
                         VIGIL_DISCONNECTED);
        assert_int_equal(vigil_history(v, "k/1", timeouts[i], take_no_change, NULL, NULL),
                         VIGIL_DISCONNECTED);
    }
    client_fixture_start_server(&f);
    assert_int_equal(vigil_list(v, "", true, PATIENCE_MS, take_nothing, NULL, NULL), VIGIL_OK);
    vigil_close(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_over_a_server_that_keeps_dying, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_is_away_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_backup_connects_again, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
