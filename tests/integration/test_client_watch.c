/*
 * test_client_watch.c - watches of libvigil on a real server: order and completeness under
 * overload, filters, resuming, honest ends, the descriptor.
 *
 * ctest: TIMEOUT=180
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/watch.h"
#include "tests/support/client_fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 30000 };

static struct client_fixture f;

static int set_up(void **state)
{
    (void)state;
    client_fixture_open(&f, TEST_VIGILD, NULL);
    return 0;
}

/* Of a stream only a few messages wait for a watcher: it loses most of a burst. */
static int set_up_narrow(void **state)
{
    (void)state;
    const char *options[] = {"--stream-queue", "4", NULL};
    client_fixture_open(&f, TEST_VIGILD, options);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_fixture_close(&f);
    return 0;
}

static vigil_watch *watch(vigil *v, const char *pattern, enum vigil_since since, uint64_t epoch,
                          uint64_t seq)
{
    vigil_watch *w = NULL;
    const char *patterns[] = {pattern};
    vigil_watch_options options = {.patterns = patterns,
                                   .pattern_count = pattern ? 1 : 0,
                                   .since = since,
                                   .position = {epoch, seq}};
    int err = vigil_watch_open(v, &options, &w);
    if (err)
        fail_msg("watch: %s", vigil_failure_text(v));
    return w;
}

/* The next record; DISCONNECTED may be told before it, and is counted. */
static const vigil_event *next(vigil_watch *w, int *losses)
{
    const vigil_event *event;
    for (;;) {
        int err = vigil_watch_next(w, PATIENCE_MS, &event);
        if (err == VIGIL_DISCONNECTED && losses) {
            (*losses)++;
            continue;
        }
        if (err)
            fail_msg("next: %s", vigil_error_name(err));
        return event;
    }
}

static void expect(vigil_watch *w, uint64_t seq, const char *key, int64_t value)
{
    const vigil_event *e = next(w, NULL);
    vigil_position position;
    assert_int_equal(e->kind, VIGIL_EVENT_RECORD);
    assert_int_equal(e->record.seq, seq);
    assert_int_equal(e->record.count, 1);
    assert_string_equal(e->record.changes[0].key, key);
    assert_int_equal(e->record.changes[0].key_size, strlen(key));
    assert_int_equal(integer_of(e->record.changes[0].value, e->record.changes[0].size), value);
    vigil_watch_position(w, &position);
    assert_int_equal(position.seq, seq);
    assert_int_equal(e->position.seq, seq);
    assert_int_equal(e->position.epoch, e->record.epoch);
}

/* count records with values first, first + 1, ... */
static void expect_run(vigil_watch *w, int64_t first, int count, int *losses)
{
    for (int64_t i = first; i < first + count; i++) {
        const vigil_event *e = next(w, losses);
        const vigil_change *c = &e->record.changes[0];
        if (integer_of(c->value, c->size) != i)
            fail_msg("expected %lld, got %lld", (long long)i,
                     (long long)integer_of(c->value, c->size));
    }
}

static void what_comes_after_now(void **state)
{
    (void)state;
    const vigil_event *event;
    put_integer(f.v, "before", 1);
    vigil_watch *w = watch(f.v, NULL, VIGIL_SINCE_NOW, 0, 0);
    assert_int_equal(vigil_watch_next(w, 0, &event), VIGIL_TIMEOUT);
    put_integer(f.v, "a", 10);
    put_integer(f.v, "b", 11);
    expect(w, 2, "a", 10);
    expect(w, 3, "b", 11);
    assert_int_equal(vigil_watch_next(w, 50, &event), VIGIL_TIMEOUT);
    assert_true(vigil_watch_connected(w));
    vigil_watch_close(w);
}

static void all_that_there_is(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        put_integer(f.v, "k", i);
    vigil_watch *w = watch(f.v, "k", VIGIL_SINCE_OLDEST, 0, 0);
    expect_run(w, 0, 100, NULL);
    put_integer(f.v, "k", 100);
    expect_run(w, 100, 1, NULL);
    vigil_watch_close(w);
}

static void only_what_matches(void **state)
{
    (void)state;
    const char *patterns[] = {"a/*", "exact"};
    vigil_watch_options options = {.patterns = patterns, .pattern_count = 2};
    vigil_watch *w;
    vigil_txn *t;
    assert_int_equal(vigil_watch_open(f.v, &options, &w), VIGIL_OK);
    put_integer(f.v, "b/1", 1);
    put_integer(f.v, "exact/not", 1);
    put_integer(f.v, "exact", 2);
    assert_int_equal(vigil_txn_new(&t), VIGIL_OK);
    vigil_txn_put(t, "a/1", "\x05", 1);
    vigil_txn_put(t, "b/2", "\x06", 1);
    vigil_txn_put(t, "a/2", "\x07", 1);
    vigil_txn_delete(t, "exact");
    assert_int_equal(vigil_txn_commit(f.v, t, NULL, NULL, NULL, NULL), VIGIL_OK);
    vigil_txn_free(t);
    expect(w, 3, "exact", 2);
    const vigil_event *e = next(w, NULL);
    assert_int_equal(e->record.seq, 4);
    assert_int_equal(e->record.parts, 4);
    assert_int_equal(e->record.count, 3);
    assert_string_equal(e->record.changes[0].key, "a/1");
    assert_int_equal(e->record.changes[0].part, 1);
    assert_string_equal(e->record.changes[1].key, "a/2");
    assert_int_equal(e->record.changes[1].part, 3);
    assert_string_equal(e->record.changes[2].key, "exact");
    assert_int_equal(e->record.changes[2].op, VIGIL_DELETE);
    assert_null(e->record.changes[2].value);
    assert_int_equal(e->record.changes[2].prev_seq, 3);
    vigil_watch_close(w);

    const char *bad[] = {""};
    options = (vigil_watch_options){.patterns = bad, .pattern_count = 1};
    assert_int_equal(vigil_watch_open(f.v, &options, &w), VIGIL_BAD_KEY);
}

/* The watcher does not read while all is written, so most of it is dropped on its way. */
static void nothing_is_missing_after_an_overload(void **state)
{
    (void)state;
    enum { COUNT = 60000, BATCH = 20 };
    vigil *reader = client_fixture_connect(&f, 0);
    vigil_watch *w = watch(reader, "k", VIGIL_SINCE_NOW, 0, 0);
    put_integer(f.v, "k", -1);
    expect(w, 1, "k", -1);
    for (int i = 0; i < COUNT; i++) {
        send_integer(f.v, "k", i);
        if (i % BATCH ==
            BATCH - 1) /* a message on the stream each time, so that its queue overflows */
            receive_all(f.v);
    }
    expect_run(w, 0, COUNT, NULL);
    vigil_watch_figures figures;
    vigil_watch_get_figures(w, &figures);
    assert_int_equal(figures.records, COUNT + 1);
    assert_true(figures.gaps > 0);
    assert_true(figures.replayed > 0);
    vigil_watch_close(w);
    vigil_close(reader);
}

/* While it reads: live and replay take turns. */
static void nothing_is_missing_while_it_reads(void **state)
{
    (void)state;
    enum { ROUNDS = 100, EACH = 500 };
    vigil_watch *w = watch(f.v, "k", VIGIL_SINCE_NOW, 0, 0);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < EACH; i++)
            send_integer(f.v, "k", round * EACH + i);
        vigil_flush(f.v);
        if (round > 0)
            expect_run(w, (round - 1) * EACH, EACH, NULL);
        receive_all(f.v);
    }
    expect_run(w, (ROUNDS - 1) * EACH, EACH, NULL);
    vigil_watch_close(w);
}

static void large_records_come_by_replay(void **state)
{
    (void)state;
    size_t size = 100000;
    uint8_t *bytes = malloc(size + 16);
    char *text = calloc(1, size);
    assert_non_null(bytes);
    assert_non_null(text);
    memset(text, 'x', size);
    vigil_watch *w = watch(f.v, "large", VIGIL_SINCE_NOW, 0, 0);
    for (int i = 0; i < 20; i++) {
        size_t packed = vigil_pack_string(bytes, size + 16, text, size);
        assert_int_equal(vigil_put(f.v, "large", bytes, packed, NULL, NULL), VIGIL_OK);
        put_integer(f.v, "large", i);
        const vigil_event *e = next(w, NULL);
        assert_int_equal(e->record.changes[0].size, packed);
        assert_memory_equal(e->record.changes[0].value, bytes, packed);
        expect(w, 2 * (uint64_t)i + 2, "large", i);
    }
    free(bytes);
    free(text);
    vigil_watch_close(w);
}

static void a_position_resumes_where_it_was(void **state)
{
    (void)state;
    vigil_position position = {0};
    for (int i = 0; i < 1000; i++)
        put_integer(f.v, i % 3 ? "k" : "noise", i);
    int expected = 0;
    for (int part = 0; part < 10; part++) {
        vigil_watch *w = watch(f.v, "k", part ? VIGIL_SINCE_POSITION : VIGIL_SINCE_OLDEST,
                               position.epoch, position.seq);
        for (int n = 0; n < 60; n++) {
            do
                expected++;
            while (expected % 3 == 0);
            const vigil_event *e = next(w, NULL);
            assert_int_equal(integer_of(e->record.changes[0].value, e->record.changes[0].size),
                             expected);
        }
        vigil_watch_position(w, &position);
        vigil_watch_close(w);
    }
}

static void bookmarks_move_an_idle_watcher(void **state)
{
    (void)state;
    const char *patterns[] = {"idle"};
    vigil_watch_options options = {.patterns = patterns, .pattern_count = 1, .bookmarks = true};
    vigil_watch *w;
    assert_int_equal(vigil_watch_open(f.v, &options, &w), VIGIL_OK);
    uint64_t seq = put_integer(f.v, "other", 1);
    const vigil_event *e;
    do {
        e = next(w, NULL);
        assert_int_equal(e->kind, VIGIL_EVENT_BOOKMARK);
    } while (e->position.seq < seq);
    assert_int_equal(e->head, seq);
    assert_int_equal(e->oldest, 1);
    vigil_watch_close(w);
}

static void honest_ends(void **state)
{
    (void)state;
    vigil_info info;
    vigil_watch *w;
    const vigil_event *event;
    uint64_t oldest;
    uint64_t head;
    uint64_t epoch;
    for (int i = 0; i < 100; i++)
        put_integer(f.v, "k", i);
    vigil_get_info(f.v, &info);
    vigil_watch_options options = {.since = VIGIL_SINCE_POSITION, .position = {info.epoch, 101}};
    assert_int_equal(vigil_watch_open(f.v, &options, &w), VIGIL_POSITION_AHEAD);
    assert_non_null(strstr(vigil_failure_text(f.v), "101"));
    options.position = (vigil_position){info.epoch ^ 1, 5};
    assert_int_equal(vigil_watch_open(f.v, &options, &w), VIGIL_EPOCH_CHANGED);

    assert_int_equal(vigil_compact(f.v, 50, 20000, &oldest), VIGIL_OK);
    w = watch(f.v, NULL, VIGIL_SINCE_POSITION, info.epoch, 5);
    assert_int_equal(vigil_watch_next(w, PATIENCE_MS, &event), VIGIL_COMPACTED);
    assert_int_equal(vigil_watch_next(w, 0, &event), VIGIL_COMPACTED);
    vigil_watch_bounds(w, &epoch, &head, &oldest);
    assert_true(epoch == info.epoch);
    assert_int_equal(head, 100);
    assert_int_equal(oldest, 50);
    vigil_watch_close(w);

    w = watch(f.v, NULL, VIGIL_SINCE_POSITION, 0, 49); /* just whole */
    expect_run(w, 49, 51, NULL);
    vigil_watch_close(w);
    w = watch(f.v, NULL, VIGIL_SINCE_OLDEST, 0, 0);
    expect_run(w, 49, 51, NULL);
    vigil_watch_close(w);
}

/* Two with the same filter share a topic: closing one must not take the stream from the other. */
static void watches_share_a_connection(void **state)
{
    (void)state;
    vigil_watch *all = watch(f.v, NULL, VIGIL_SINCE_NOW, 0, 0);
    vigil_watch *a = watch(f.v, "a", VIGIL_SINCE_NOW, 0, 0);
    vigil_watch *twin = watch(f.v, "a", VIGIL_SINCE_NOW, 0, 0);
    vigil_watch *b = watch(f.v, "b", VIGIL_SINCE_NOW, 0, 0);
    put_integer(f.v, "a", 1);
    put_integer(f.v, "b", 2);
    expect(b, 2, "b", 2);
    expect(all, 1, "a", 1);
    expect(twin, 1, "a", 1);
    expect(a, 1, "a", 1);
    vigil_watch_close(a);
    put_integer(f.v, "a", 3);
    expect(twin, 3, "a", 3);
    expect(all, 2, "b", 2);
    expect(all, 3, "a", 3);
    vigil_watch_close(twin);
    vigil_watch_close(all);
    vigil_watch_close(b);
}

/* Many replays at once over one connection, whose reader lets their answers lie for longer than all
 * buffers between the two hold: none is dropped, so none has to be asked for again. */
static void replays_stand_in_line(void **state)
{
    (void)state;
    enum { WATCHES = 24, RECORDS = 40, SIZE = 100000, LIE_MS = 300 };
    uint8_t *bytes = malloc(SIZE + 16);
    char *text = calloc(1, SIZE);
    vigil_watch *w[WATCHES];
    assert_non_null(bytes);
    assert_non_null(text);
    size_t packed = vigil_pack_string(bytes, SIZE + 16, text, SIZE);
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(vigil_put(f.v, "large", bytes, packed, NULL, NULL), VIGIL_OK);
    vigil *reader = client_fixture_connect(&f, 0);
    for (int i = 0; i < WATCHES; i++)
        w[i] = watch(reader, NULL, VIGIL_SINCE_OLDEST, 0, 0);
    for (int i = 0; i < WATCHES; i++)
        assert_int_equal(next(w[i], NULL)->record.seq, 1);
    poll(NULL, 0, LIE_MS);
    for (uint64_t seq = 2; seq <= RECORDS; seq++) {
        for (int i = 0; i < WATCHES; i++)
            assert_int_equal(next(w[i], NULL)->record.seq, seq);
    }
    assert_int_equal(server_figure(f.v, "replay_dropped"), 0);
    for (int i = 0; i < WATCHES; i++)
        vigil_watch_close(w[i]);
    vigil_close(reader);
    free(bytes);
    free(text);
}

/* Each descriptor wakes its own watch, also for what another handle has read from a shared socket.
 */
static void descriptors_drive_watches(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    vigil *writer = client_fixture_connect(&f, 0);
    for (int i = 0; i < COUNT; i++)
        send_integer(writer, "k", i);
    receive_all(writer);
    vigil_watch *watches[2] = {watch(f.v, "k", VIGIL_SINCE_OLDEST, 0, 0),
                               watch(f.v, NULL, VIGIL_SINCE_OLDEST, 0, 0)};
    struct pollfd p[2];
    int got[2] = {0};
    for (int i = 0; i < 2; i++)
        p[i] = (struct pollfd){.fd = vigil_watch_fd(watches[i]), .events = POLLIN};
    for (int i = COUNT; i < 2 * COUNT; i++)
        send_integer(writer, "k", i);
    vigil_flush(writer);
    while (got[0] < 2 * COUNT || got[1] < 2 * COUNT) {
        assert_true(poll(p, 2, PATIENCE_MS) > 0);
        for (int i = 0; i < 2; i++) {
            const vigil_event *e;
            while (p[i].revents && vigil_watch_next(watches[i], 0, &e) == VIGIL_OK) {
                const vigil_change *c = &e->record.changes[0];
                assert_int_equal(integer_of(c->value, c->size), got[i]);
                got[i]++;
            }
        }
        if (vigil_pending(writer) > 0) {
            vigil_completion c;
            while (vigil_receive(writer, 0, &c) == VIGIL_OK)
                ;
        }
    }
    /* Once all is read they are quiet: a descriptor that stays readable would make its loop spin.
     */
    int readable = 1;
    for (int tries = 0; tries < 1000 && readable > 0; tries++) {
        const vigil_event *e;
        for (int i = 0; i < 2; i++)
            assert_int_equal(vigil_watch_next(watches[i], 0, &e), VIGIL_TIMEOUT);
        readable = poll(p, 2, 0);
    }
    assert_int_equal(readable, 0);
    vigil_watch_close(watches[0]);
    vigil_watch_close(watches[1]);
    vigil_close(writer);
}

/* The connection of the stream alone: the watch goes on as if nothing had been. */
static void a_stream_that_breaks_off(void **state)
{
    (void)state;
    vigil_watch *w = watch(f.v, NULL, VIGIL_SINCE_NOW, 0, 0);
    for (int64_t i = 0; i < 50; i++) {
        put_integer(f.v, "a", 2 * i);
        assert_true(w->subscription.link.fd >= 0);
        assert_int_equal(shutdown(w->subscription.link.fd, i % 2 ? SHUT_RDWR : SHUT_WR), 0);
        put_integer(f.v, "a", 2 * i + 1);
        expect_run(w, 2 * i, 2, NULL);
        while (w->subscription.state != SUBSCRIPTION_UP) {
            const vigil_event *event;
            assert_int_equal(vigil_watch_next(w, 10, &event), VIGIL_TIMEOUT);
        }
        assert_true(vigil_watch_connected(w));
    }
    assert_int_equal(w->rule.reopened, 0);
    vigil_watch_close(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_NARROW(name) cmocka_unit_test_setup_teardown(name, set_up_narrow, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_comes_after_now),
        TEST(all_that_there_is),
        TEST(only_what_matches),
        TEST_NARROW(nothing_is_missing_after_an_overload),
        TEST_NARROW(nothing_is_missing_while_it_reads),
        TEST(large_records_come_by_replay),
        TEST(a_position_resumes_where_it_was),
        TEST(bookmarks_move_an_idle_watcher),
        TEST(honest_ends),
        TEST(watches_share_a_connection),
        TEST(replays_stand_in_line),
        TEST(descriptors_drive_watches),
        TEST(a_stream_that_breaks_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
