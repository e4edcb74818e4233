/*
 * test_client_loss.c - libvigil when the server is killed, started again, stopped, replaced: what
 * is told, once, and that nothing is missing afterwards.
 *
 * ctest: TIMEOUT=240
 */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/client_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

enum { PATIENCE_MS = 30000 };

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

static vigil_watch *watch(vigil *v, const vigil_watch_options *options)
{
    vigil_watch *w = NULL;
    int err = vigil_watch_open(v, options, &w);
    if (err)
        fail_msg("watch: %s", vigil_failure_text(v));
    return w;
}

/* Values first .. first + count - 1; what else the watch tells is counted by kind. */
static void expect_run(vigil_watch *w, int64_t first, int count, int *losses)
{
    const vigil_event *e;
    for (int64_t i = first; i < first + count;) {
        int err = vigil_watch_next(w, PATIENCE_MS, &e);
        if (err == VIGIL_DISCONNECTED && losses) {
            assert_false(vigil_watch_connected(w));
            (*losses)++;
            continue;
        }
        if (err)
            fail_msg("next: %s", vigil_error_name(err));
        assert_int_equal(integer_of(e->record.changes[0].value, e->record.changes[0].size), i);
        i++;
    }
    assert_true(vigil_watch_connected(w));
}

static void put_run(vigil *v, int64_t first, int count)
{
    for (int64_t i = first; i < first + count; i++)
        send_integer(v, "k", i);
    receive_all(v);
}

static void a_watch_goes_on_after_a_crash(void **state)
{
    (void)state;
    vigil_watch_options options = {.since = VIGIL_SINCE_NOW};
    vigil_watch *w = watch(f.v, &options);
    vigil *writer = client_fixture_connect(&f, 0);
    int64_t value = 0;
    for (int round = 0; round < 5; round++) {
        int losses = 0;
        put_run(writer, value, 1000);
        expect_run(w, value, 400, NULL);
        client_fixture_kill_server(&f);
        vigil_close(writer);
        client_fixture_start_server(&f);
        writer = client_fixture_connect(&f, 0);
        put_run(writer, value + 1000, 1000);
        expect_run(w, value + 400, 1600, &losses);
        assert_int_equal(losses, 1);
        value += 2000;
    }
    vigil_watch_figures figures;
    vigil_watch_get_figures(w, &figures);
    assert_int_equal(figures.records, value);
    vigil_watch_close(w);
    vigil_close(writer);
}

static void a_loss_is_told_once_and_connected_says_the_rest(void **state)
{
    (void)state;
    const vigil_event *e;
    vigil_watch_options options = {.since = VIGIL_SINCE_NOW};
    vigil_watch *w = watch(f.v, &options);
    put_integer(f.v, "k", 0);
    expect_run(w, 0, 1, NULL);
    client_fixture_kill_server(&f);
    assert_int_equal(vigil_watch_next(w, PATIENCE_MS, &e), VIGIL_DISCONNECTED);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(vigil_watch_next(w, 20, &e), VIGIL_TIMEOUT);
        assert_false(vigil_watch_connected(w));
    }
    client_fixture_start_server(&f);
    put_integer(f.v, "k", 1); /* the connection comes back by itself */
    expect_run(w, 1, 1, NULL);
    vigil_watch_close(w);
}

static void a_watch_that_must_not_reconnect_ends(void **state)
{
    (void)state;
    const vigil_event *e;
    vigil_watch_options options = {.since = VIGIL_SINCE_NOW, .no_reconnect = true};
    vigil_watch *w = watch(f.v, &options);
    client_fixture_kill_server(&f);
    assert_int_equal(vigil_watch_next(w, PATIENCE_MS, &e), VIGIL_DISCONNECTED);
    client_fixture_start_server(&f);
    assert_int_equal(vigil_watch_next(w, 100, &e), VIGIL_DISCONNECTED);
    vigil_watch_close(w);
}

/* Sends what a stopped server will never see, and kills it. */
static void send_and_kill(vigil *v, int count)
{
    vigil_completion c;
    assert_int_equal(kill(f.server.pid, SIGSTOP), 0);
    for (int i = 0; i < count; i++)
        assert_int_equal(vigil_send_incr(v, "n", 1, NULL), VIGIL_OK);
    assert_int_equal(vigil_receive(v, 50, &c), VIGIL_TIMEOUT);
    client_fixture_kill_server(&f);
}

static void requests_under_way_survive_the_server(void **state)
{
    (void)state;
    vigil_entry entry;
    vigil_completion c;
    for (int round = 0; round < 3; round++) {
        send_and_kill(f.v, 10);
        client_fixture_start_server(&f);
        assert_int_equal(vigil_send_get(f.v, "n", NULL), VIGIL_OK);
        for (int i = 0; i < 10; i++) {
            assert_int_equal(vigil_receive(f.v, PATIENCE_MS, &c), VIGIL_OK);
            assert_int_equal(c.error, VIGIL_OK);
            assert_int_equal(integer_of(c.value, c.size), 10 * round + i + 1);
        }
        assert_int_equal(vigil_receive(f.v, PATIENCE_MS, &c), VIGIL_OK);
        assert_int_equal(integer_of(c.value, c.size), 10 * round + 10);
    }
    assert_int_equal(vigil_get(f.v, "n", &entry), VIGIL_OK);
    assert_int_equal(integer_of(entry.value, entry.size), 30);
}

static void without_a_session_requests_under_way_end_as_disconnected(void **state)
{
    (void)state;
    vigil_completion c;
    vigil_entry entry;
    vigil *v = NULL;
    vigil_options options = {.endpoint = f.endpoint, .no_session = true};
    assert_int_equal(vigil_open(&options, &v), VIGIL_OK);
    send_and_kill(v, 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(vigil_receive(v, PATIENCE_MS, &c), VIGIL_DISCONNECTED);
        assert_int_equal(c.error, VIGIL_DISCONNECTED);
        assert_int_equal(vigil_pending(v), 9 - i);
    }
    client_fixture_start_server(&f);
    assert_int_equal(vigil_get(v, "n", &entry), VIGIL_OK);
    assert_false(entry.present);
    put_integer(v, "k", 1);
    vigil_close(v);
}

static int64_t status_figure(vigil *v, const char *name)
{
    const void *map;
    size_t size;
    assert_int_equal(vigil_status(v, &map, &size), VIGIL_OK);
    const uint8_t *bytes = map;
    size_t length = strlen(name);
    for (size_t i = 0; i + length < size; i++) { /* a short name, then a small integer */
        if (bytes[i] == (0xa0 | length) && memcmp(bytes + i + 1, name, length) == 0)
            return bytes[i + 1 + length];
    }
    fail_msg("no figure %s", name);
    return -1;
}

/* Nobody knows any more whether it was applied: that is said, and the next session is a new one. */
static void an_expired_session_leaves_the_outcome_unknown(void **state)
{
    (void)state;
    vigil_completion c;
    int64_t value;
    assert_int_equal(vigil_incr(f.v, "n", 1, NULL, NULL, NULL, NULL), VIGIL_OK);
    send_and_kill(f.v, 2);
    f.options[0] = "--session-idle=1s";
    client_fixture_start_server(&f);
    vigil *other = client_fixture_connect(&f, 0);
    while (status_figure(other, "sessions") > 0)
        ;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vigil_receive(f.v, PATIENCE_MS, &c), VIGIL_OK);
        assert_int_equal(c.error, VIGIL_OUTCOME_UNKNOWN);
    }
    assert_int_equal(vigil_incr(f.v, "n", 1, &value, NULL, NULL, NULL), VIGIL_OK);
    assert_int_equal(value, 2);
    /* Unnoticed where nothing was under way. */
    while (status_figure(other, "sessions") > 0)
        ;
    assert_int_equal(vigil_incr(f.v, "n", 1, &value, NULL, NULL, NULL), VIGIL_OK);
    assert_int_equal(value, 3);
    vigil_close(other);
}

static void *increment(void *ret_value)
{
    int err = vigil_incr(f.v, "n", 1, ret_value, NULL, NULL, NULL);
    return err ? (void *)(uintptr_t)err : NULL;
}

static void a_blocking_call_survives_the_server(void **state)
{
    (void)state;
    int64_t value = 0;
    for (int round = 1; round <= 5; round++) {
        pthread_t caller;
        void *err;
        client_fixture_kill_server(&f);
        assert_int_equal(pthread_create(&caller, NULL, increment, &value), 0);
        client_fixture_start_server(&f);
        assert_int_equal(pthread_join(caller, &err), 0);
        assert_null(err);
        assert_int_equal(value, round);
    }
}

/* Nothing was under way: the next request goes to the new server, and nobody need know. */
static void an_idle_connection_comes_back_unnoticed(void **state)
{
    (void)state;
    vigil_info before;
    vigil_info after;
    for (int round = 0; round < 5; round++) {
        put_integer(f.v, "k", round);
        vigil_get_info(f.v, &before);
        client_fixture_kill_server(&f);
        client_fixture_start_server(&f);
        put_integer(f.v, "k", round);
        vigil_get_info(f.v, &after);
        assert_true(before.epoch == after.epoch);
        assert_true(before.incarnation != after.incarnation);
    }
}

static bool any_record(void *context, const vigil_record *record)
{
    (void)context;
    (void)record;
    return true;
}

static void a_missing_server_is_disconnected_in_time(void **state)
{
    (void)state;
    vigil *v = client_fixture_connect(&f, 200);
    vigil_watch *w;
    vigil_completion c;
    bool complete;
    client_fixture_kill_server(&f);
    assert_int_equal(vigil_put(v, "k", "\x01", 1, NULL, NULL), VIGIL_DISCONNECTED);
    assert_int_equal(vigil_ping(v), VIGIL_DISCONNECTED);
    assert_int_equal(vigil_watch_open(v, NULL, &w), VIGIL_DISCONNECTED);
    assert_int_equal(vigil_history(v, "k", 0, any_record, NULL, &complete), VIGIL_DISCONNECTED);
    assert_int_equal(vigil_send_put(v, "k", "\x01", 1, NULL, NULL), VIGIL_OK);
    assert_int_equal(vigil_receive(v, PATIENCE_MS, &c), VIGIL_DISCONNECTED);
    vigil_close(v);
    client_fixture_start_server(&f);
}

/* Connected, but no word comes: that is a lost connection as well, not a time-out. */
static void a_stopped_server_is_disconnected(void **state)
{
    (void)state;
    vigil *v = client_fixture_connect(&f, 200);
    vigil_watch_options options = {.since = VIGIL_SINCE_NOW};
    const vigil_event *e;
    vigil_watch *w = watch(f.v, &options);
    put_integer(f.v, "k", 0);
    expect_run(w, 0, 1, NULL);
    assert_int_equal(kill(f.server.pid, SIGSTOP), 0);
    assert_int_equal(vigil_put(v, "k", "\x01", 1, NULL, NULL), VIGIL_DISCONNECTED);
    assert_int_equal(vigil_watch_next(w, PATIENCE_MS, &e), VIGIL_DISCONNECTED);
    assert_int_equal(kill(f.server.pid, SIGCONT), 0);
    uint64_t seq = put_integer(f.v, "other", 1); /* the one above may have taken effect */
    do {
        int err = vigil_watch_next(w, PATIENCE_MS, &e);
        if (err)
            fail_msg("next: %s", vigil_error_name(err));
    } while (e->record.seq < seq);
    vigil_watch_close(w);
    vigil_close(v);
}

static bool any_entry(void *context, const vigil_entry *entry)
{
    (void)context;
    (void)entry;
    return true;
}

/* Less time than a request may take is over: the connection may be fine, and it is. */
static void a_call_with_less_time_times_out(void **state)
{
    (void)state;
    vigil_mirror *m;
    bool complete;
    vigil *v = client_fixture_connect(&f, PATIENCE_MS);
    put_integer(v, "k", 0);
    assert_int_equal(vigil_list(v, "", true, 0, any_entry, NULL, NULL), VIGIL_OK);
    assert_int_equal(kill(f.server.pid, SIGSTOP), 0);
    assert_int_equal(vigil_list(v, "", true, 20, any_entry, NULL, NULL), VIGIL_TIMEOUT);
    assert_int_equal(vigil_history(v, "k", 20, any_record, NULL, &complete), VIGIL_TIMEOUT);
    assert_int_equal(vigil_mirror_open(v, NULL, 0, 20, &m), VIGIL_TIMEOUT);
    assert_int_equal(kill(f.server.pid, SIGCONT), 0);
    assert_int_equal(vigil_list(v, "", true, 0, any_entry, NULL, NULL), VIGIL_OK);
    assert_int_equal(vigil_history(v, "k", 0, any_record, NULL, &complete), VIGIL_OK);
    vigil_close(v);
}

static void a_short_stop_goes_unnoticed(void **state)
{
    (void)state;
    vigil_watch_options options = {.since = VIGIL_SINCE_NOW};
    vigil_watch *w = watch(f.v, &options);
    const vigil_event *e;
    assert_int_equal(kill(f.server.pid, SIGSTOP), 0);
    send_integer(f.v, "k", 0);
    vigil_flush(f.v);
    assert_int_equal(vigil_watch_next(w, 300, &e), VIGIL_TIMEOUT);
    assert_int_equal(kill(f.server.pid, SIGCONT), 0);
    expect_run(w, 0, 1, NULL);
    receive_all(f.v);
    vigil_watch_close(w);
}

static void another_journal_is_another_epoch(void **state)
{
    (void)state;
    vigil_watch_options options = {.since = VIGIL_SINCE_NOW};
    const vigil_event *e;
    vigil_watch *w = watch(f.v, &options);
    vigil_position position;
    int err;
    put_integer(f.v, "k", 0);
    expect_run(w, 0, 1, NULL);
    client_fixture_kill_server(&f);
    client_fixture_replace_data(&f);
    client_fixture_start_server(&f);
    put_integer(f.v, "k", 100);
    do
        err = vigil_watch_next(w, PATIENCE_MS, &e);
    while (err == VIGIL_DISCONNECTED);
    assert_int_equal(err, VIGIL_EPOCH_CHANGED);
    assert_int_equal(vigil_watch_next(w, 0, &e), VIGIL_EPOCH_CHANGED);
    uint64_t epoch;
    vigil_watch_bounds(w, &epoch, NULL, NULL);
    vigil_watch_position(w, &position);
    assert_true(epoch != position.epoch);
    options.since = VIGIL_SINCE_POSITION;
    options.position = position;
    vigil_watch *other;
    assert_int_equal(vigil_watch_open(f.v, &options, &other), VIGIL_EPOCH_CHANGED);
    vigil_watch_close(w);
}

/* A crash in the middle of a replay. */
static void a_replay_survives_a_crash(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    vigil_watch_options options = {.since = VIGIL_SINCE_OLDEST};
    for (int i = 0; i < COUNT; i += 20000)
        put_run(f.v, i, 20000);
    vigil_watch *w = watch(f.v, &options);
    int losses = 0;
    expect_run(w, 0, 10, NULL);
    client_fixture_kill_server(&f);
    client_fixture_start_server(&f);
    expect_run(w, 10, COUNT - 10, &losses);
    assert_true(losses <= 1);
    vigil_watch_close(w);
}

static void two_watches_go_on_after_a_crash(void **state)
{
    (void)state;
    const char *k[] = {"k"};
    vigil_watch_options everything = {.since = VIGIL_SINCE_NOW};
    vigil_watch_options one = {.since = VIGIL_SINCE_NOW, .patterns = k, .pattern_count = 1};
    vigil_watch *a = watch(f.v, &everything);
    vigil_watch *b = watch(f.v, &one);
    int losses[2] = {0};
    put_run(f.v, 0, 100);
    expect_run(a, 0, 100, NULL);
    client_fixture_kill_server(&f);
    client_fixture_start_server(&f);
    put_integer(f.v, "k", 100);
    expect_run(a, 100, 1, &losses[0]);
    expect_run(b, 0, 101, &losses[1]);
    assert_int_equal(losses[0], 1);
    assert_int_equal(losses[1], 1);
    vigil_watch_close(a);
    vigil_watch_close(b);
}

static void a_descriptor_wakes_for_a_loss_and_the_return(void **state)
{
    (void)state;
    vigil_watch_options options = {.since = VIGIL_SINCE_NOW};
    vigil_watch *w = watch(f.v, &options);
    const vigil_event *e;
    struct pollfd p = {.fd = vigil_watch_fd(w), .events = POLLIN};
    int err;
    while (vigil_watch_next(w, 0, &e) != VIGIL_TIMEOUT)
        ;
    client_fixture_kill_server(&f);
    do {
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        err = vigil_watch_next(w, 0, &e);
    } while (err == VIGIL_TIMEOUT);
    assert_int_equal(err, VIGIL_DISCONNECTED);
    client_fixture_start_server(&f);
    vigil *writer = client_fixture_connect(&f, 0);
    put_integer(writer, "k", 5);
    while ((err = vigil_watch_next(w, 0, &e)) == VIGIL_TIMEOUT)
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_int_equal(err, VIGIL_OK);
    assert_int_equal(integer_of(e->record.changes[0].value, e->record.changes[0].size), 5);
    vigil_close(writer);
    vigil_watch_close(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_watch_goes_on_after_a_crash),
        TEST(a_loss_is_told_once_and_connected_says_the_rest),
        TEST(a_watch_that_must_not_reconnect_ends),
        TEST(requests_under_way_survive_the_server),
        TEST(without_a_session_requests_under_way_end_as_disconnected),
        TEST(an_expired_session_leaves_the_outcome_unknown),
        TEST(a_blocking_call_survives_the_server),
        TEST(an_idle_connection_comes_back_unnoticed),
        TEST(a_missing_server_is_disconnected_in_time),
        TEST(a_stopped_server_is_disconnected),
        TEST(a_call_with_less_time_times_out),
        TEST(a_short_stop_goes_unnoticed),
        TEST(another_journal_is_another_epoch),
        TEST(a_replay_survives_a_crash),
        TEST(two_watches_go_on_after_a_crash),
        TEST(a_descriptor_wakes_for_a_loss_and_the_return),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
