/*
 * test_client_requests.c - libvigil against a real server: connecting, mutations, reads,
 * transactions, pipelining, listings, histories.
 *
 * ctest: TIMEOUT=120
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/client_fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct client_fixture f;

static int set_up(void **state)
{
    (void)state;
    /* Checkpoints come early, so that listings are made of rows and records. */
    const char *options[] = {"--checkpoint-keys", "8", NULL};
    client_fixture_open(&f, TEST_VIGILD, options);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_fixture_close(&f);
    return 0;
}

static void connecting_tells_about_the_server(void **state)
{
    (void)state;
    vigil_info info;
    vigil_get_info(f.v, &info);
    assert_int_not_equal(info.epoch, 0);
    assert_int_not_equal(info.incarnation, 0);
    assert_int_equal(info.head, 0);
    assert_int_equal(info.value_size_max, 1u << 20);
    assert_int_equal(info.message_size_max, 4u << 20);
    assert_non_null(strstr(info.server, "vigild"));
    assert_string_equal(info.endpoint, f.endpoint);
    assert_int_equal(vigil_ping(f.v), VIGIL_OK);
    put_integer(f.v, "a", 1);
    vigil_get_info(f.v, &info);
    assert_int_equal(info.head, 1);
}

static void connecting_to_nothing_fails_in_time(void **state)
{
    (void)state;
    char nowhere[128];
    vigil *v = NULL;
    snprintf(nowhere, sizeof nowhere, "ipc://%s/nobody", f.folder);
    vigil_options options = {.endpoint = nowhere, .connect_timeout_ms = 50};
    assert_int_equal(vigil_open(&options, &v), VIGIL_DISCONNECTED);
    assert_null(v);
    assert_non_null(strstr(vigil_failure_text(NULL), nowhere));
    options.endpoint = "http://x";
    assert_int_equal(vigil_open(&options, &v), VIGIL_INVALID);
    options.endpoint = "tcp://127.0.0.1:0";
    assert_int_equal(vigil_open(&options, &v), VIGIL_INVALID);
}

static void put_get_delete(void **state)
{
    (void)state;
    vigil_entry entry;
    vigil_result result;
    assert_int_equal(vigil_get(f.v, "a/b", &entry), VIGIL_OK);
    assert_false(entry.present);
    assert_int_equal(entry.seq, 0);

    assert_int_equal(put_integer(f.v, "a/b", 7), 1);
    assert_int_equal(vigil_put(f.v, "a/b", "\x08", 1, NULL, &result), VIGIL_OK);
    assert_int_equal(result.seq, 2);
    assert_int_equal(result.prev_seq, 1);
    assert_int_equal(result.version, 2);

    assert_int_equal(vigil_get(f.v, "a/b", &entry), VIGIL_OK);
    assert_true(entry.present);
    assert_string_equal(entry.key, "a/b");
    assert_int_equal(integer_of(entry.value, entry.size), 8);
    assert_int_equal(entry.created, 1);
    assert_int_equal(entry.modified, 2);
    assert_int_equal(entry.version, 2);
    assert_int_equal(entry.seq, 2);

    assert_int_equal(vigil_delete(f.v, "a/b", NULL, &result), VIGIL_OK);
    assert_int_equal(result.seq, 3);
    assert_int_equal(result.prev_seq, 2);
    assert_int_equal(vigil_delete(f.v, "a/b", NULL, NULL), VIGIL_NOT_FOUND);
    assert_int_equal(vigil_get(f.v, "a/b", &entry), VIGIL_OK);
    assert_false(entry.present);
    assert_null(entry.value);
    assert_int_equal(entry.modified, 3);
}

static void conditions(void **state)
{
    (void)state;
    vigil_result result = {0};
    vigil_condition absent = {.if_seq = true, .seq = 0};
    assert_int_equal(vigil_put(f.v, "k", "\x01", 1, &absent, &result), VIGIL_OK);
    uint64_t seq = result.seq;
    assert_int_equal(vigil_put(f.v, "k", "\x02", 1, &absent, &result), VIGIL_CONFLICT);
    assert_int_equal(result.seq, seq);
    vigil_condition at = {.if_seq = true, .seq = seq};
    assert_int_equal(vigil_put(f.v, "k", "\x02", 1, &at, &result), VIGIL_OK);
    vigil_condition value = {.if_value = "\x02", .if_value_size = 1};
    assert_int_equal(vigil_delete(f.v, "k", &at, NULL), VIGIL_CONFLICT);
    assert_int_equal(vigil_delete(f.v, "k", &value, NULL), VIGIL_OK);
}

static void arguments_are_checked_before_sending(void **state)
{
    (void)state;
    char long_key[500];
    size_t large = (1u << 20) + 16;
    uint8_t *bytes = calloc(1, large);
    assert_non_null(bytes);
    memset(long_key, 'k', sizeof long_key);
    long_key[481] = '\0';
    assert_int_equal(vigil_put(f.v, "", "\x01", 1, NULL, NULL), VIGIL_BAD_KEY);
    assert_int_equal(vigil_put(f.v, NULL, "\x01", 1, NULL, NULL), VIGIL_BAD_KEY);
    assert_int_equal(vigil_put(f.v, "\xff", "\x01", 1, NULL, NULL), VIGIL_BAD_KEY);
    assert_int_equal(vigil_put(f.v, long_key, "\x01", 1, NULL, NULL), VIGIL_BAD_KEY);
    assert_int_equal(vigil_put(f.v, "k", "\x91", 1, NULL, NULL), VIGIL_BAD_VALUE);
    assert_int_equal(vigil_put(f.v, "k", "\x01\x01", 2, NULL, NULL), VIGIL_BAD_VALUE);
    assert_int_equal(vigil_put(f.v, "k", NULL, 0, NULL, NULL), VIGIL_BAD_VALUE);
    assert_int_equal(vigil_put(f.v, "k", bytes, large, NULL, NULL), VIGIL_TOO_LARGE);
    free(bytes);
    /* None of it has cost anything. */
    long_key[480] = '\0';
    assert_int_equal(put_integer(f.v, long_key, 1), 1);
}

static void the_largest_value_goes_and_comes(void **state)
{
    (void)state;
    size_t size = 1u << 20;
    uint8_t *bytes = malloc(size);
    vigil_entry entry;
    vigil_completion completion;
    assert_non_null(bytes);
    memset(bytes, 'x', size);
    assert_int_equal(vigil_pack_binary(bytes, 5, "", 0), 2);
    bytes[0] = 0xc6; /* bin 32 */
    bytes[1] = 0;
    bytes[2] = 0x0f;
    bytes[3] = 0xff;
    bytes[4] = 0xfb; /* 1 MiB - 5 */
    assert_true(vigil_value_valid(bytes, size));
    assert_int_equal(vigil_put(f.v, "large", bytes, size, NULL, NULL), VIGIL_OK);
    assert_int_equal(vigil_get(f.v, "large", &entry), VIGIL_OK);
    assert_int_equal(entry.size, size);
    assert_memory_equal(entry.value, bytes, size);
    /* Several of them do not fit one reply: each request gets an answer all the same. */
    for (int i = 0; i < 10; i++)
        assert_int_equal(vigil_send_get(f.v, "large", NULL), VIGIL_OK);
    while (vigil_pending(f.v) > 0) {
        assert_int_equal(vigil_receive(f.v, 10000, &completion), VIGIL_OK);
        if (completion.error == VIGIL_OK)
            assert_int_equal(completion.size, size);
        else
            assert_int_equal(completion.error, VIGIL_TOO_LARGE);
    }
    free(bytes);
}

static void increments(void **state)
{
    (void)state;
    int64_t integer = 0;
    const void *value = NULL;
    size_t size = 0;
    vigil_result result;
    assert_int_equal(vigil_incr(f.v, "n", 5, &integer, &value, &size, &result), VIGIL_OK);
    assert_int_equal(integer, 5);
    assert_int_equal(integer_of(value, size), 5);
    assert_int_equal(result.version, 1);
    assert_int_equal(vigil_incr(f.v, "n", -7, &integer, NULL, NULL, NULL), VIGIL_OK);
    assert_int_equal(integer, -2);
    assert_int_equal(vigil_put(f.v, "t", "\xa1x", 2, NULL, NULL), VIGIL_OK);
    assert_int_equal(vigil_incr(f.v, "t", 1, NULL, NULL, NULL, NULL), VIGIL_NOT_AN_INTEGER);
    uint8_t huge[9];
    assert_int_equal(vigil_pack_uint(huge, sizeof huge, UINT64_MAX - 1), 9);
    assert_int_equal(vigil_put(f.v, "n", huge, 9, NULL, NULL), VIGIL_OK);
    assert_int_equal(vigil_incr(f.v, "n", 1, &integer, NULL, NULL, NULL), VIGIL_OK);
    assert_true(integer == INT64_MAX);
    assert_int_equal(vigil_incr(f.v, "n", 1, &integer, NULL, NULL, NULL), VIGIL_OUT_OF_RANGE);
}

static void transactions(void **state)
{
    (void)state;
    vigil_txn *t;
    bool succeeded = false;
    uint64_t seq = 0;
    const vigil_txn_result *results;
    size_t count;
    put_integer(f.v, "from", 10);
    assert_int_equal(vigil_txn_new(&t), VIGIL_OK);
    assert_int_equal(vigil_txn_if_value(t, "from", VIGIL_EQUAL, "\x0a", 1), VIGIL_OK);
    assert_int_equal(vigil_txn_if_exists(t, "to", false), VIGIL_OK);
    assert_int_equal(vigil_txn_incr(t, "from", -3), VIGIL_OK);
    assert_int_equal(vigil_txn_put(t, "to", "\x03", 1), VIGIL_OK);
    vigil_txn_otherwise(t);
    assert_int_equal(vigil_txn_get(t, "from"), VIGIL_OK);

    assert_int_equal(vigil_txn_commit(f.v, t, &succeeded, &seq, &results, &count), VIGIL_OK);
    assert_true(succeeded);
    assert_int_equal(seq, 2);
    assert_int_equal(count, 2);
    assert_int_equal(results[0].op, VIGIL_OP_INCR);
    assert_int_equal(integer_of(results[0].value, results[0].size), 7);
    assert_int_equal(results[1].op, VIGIL_OP_PUT);
    assert_false(results[1].present);

    assert_int_equal(vigil_txn_commit(f.v, t, &succeeded, &seq, &results, &count), VIGIL_OK);
    assert_false(succeeded);
    assert_int_equal(count, 1);
    assert_int_equal(integer_of(results[0].value, results[0].size), 7);

    vigil_txn_clear(t);
    assert_int_equal(vigil_txn_put(t, "", "\x03", 1), VIGIL_BAD_KEY);
    assert_int_equal(vigil_txn_put(t, "fine", "\x03", 1), VIGIL_BAD_KEY); /* it sticks */
    assert_int_equal(vigil_txn_commit(f.v, t, NULL, NULL, NULL, NULL), VIGIL_BAD_KEY);
    vigil_txn_free(t);
}

static void many_keys_at_one_seq(void **state)
{
    (void)state;
    const char *keys[] = {"b", "a", "c"};
    vigil_entry entries[3];
    put_integer(f.v, "a", 1);
    put_integer(f.v, "b", 2);
    assert_int_equal(vigil_get_many(f.v, keys, 3, entries), VIGIL_OK);
    assert_string_equal(entries[0].key, "b");
    assert_int_equal(integer_of(entries[0].value, entries[0].size), 2);
    assert_string_equal(entries[1].key, "a");
    assert_true(entries[1].present);
    assert_false(entries[2].present);
    assert_int_equal(entries[2].seq, 2);
    assert_int_equal(vigil_get_many(f.v, keys, 0, entries), VIGIL_LIMIT);
}

static void status_is_a_map_and_compaction_moves_oldest(void **state)
{
    (void)state;
    const void *map;
    size_t size;
    uint64_t oldest = 0;
    for (int i = 0; i < 50; i++)
        put_integer(f.v, "k", i);
    assert_int_equal(vigil_status(f.v, &map, &size), VIGIL_OK);
    assert_true(vigil_value_valid(map, size));
    assert_int_equal(vigil_compact(f.v, 40, 20000, &oldest), VIGIL_OK);
    assert_int_equal(oldest, 40);
    assert_int_equal(vigil_compact(f.v, 1000, 1000, &oldest), VIGIL_POSITION_AHEAD);
}

/* ---- pipelining ---- */

static void outcomes_come_in_order(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    uint64_t first = 0;
    for (int i = 0; i < COUNT; i++) {
        uint64_t id;
        uint8_t value = (uint8_t)(i % 100);
        assert_int_equal(vigil_send_put(f.v, "k", &value, 1, NULL, &id), VIGIL_OK);
        first = first ? first : id;
        assert_int_equal(id, first + (uint64_t)i);
    }
    assert_int_equal(vigil_pending(f.v), COUNT);
    /* A blocking call in between takes its turn behind them. */
    assert_int_equal(put_integer(f.v, "other", 1), COUNT + 1);
    for (int i = 0; i < COUNT; i++) {
        vigil_completion c;
        assert_int_equal(vigil_receive(f.v, 10000, &c), VIGIL_OK);
        assert_int_equal(c.id, first + (uint64_t)i);
        assert_int_equal(c.error, VIGIL_OK);
        assert_int_equal(c.result.seq, i + 1);
    }
    vigil_completion c;
    assert_int_equal(vigil_receive(f.v, 0, &c), VIGIL_INVALID);
}

static void every_kind_can_be_sent(void **state)
{
    (void)state;
    vigil_completion c;
    vigil_txn *t;
    vigil_condition absent = {.if_seq = true};
    assert_int_equal(vigil_txn_new(&t), VIGIL_OK);
    assert_int_equal(vigil_txn_if_exists(t, "n", false), VIGIL_OK);
    assert_int_equal(vigil_send_put(f.v, "a", "\x01", 1, NULL, NULL), VIGIL_OK);
    assert_int_equal(vigil_send_put(f.v, "a", "\x01", 1, &absent, NULL), VIGIL_OK);
    assert_int_equal(vigil_send_incr(f.v, "n", 3, NULL), VIGIL_OK);
    assert_int_equal(vigil_send_get(f.v, "a", NULL), VIGIL_OK);
    assert_int_equal(vigil_send_txn(f.v, t, NULL), VIGIL_OK);
    assert_int_equal(vigil_send_delete(f.v, "a", NULL, NULL), VIGIL_OK);
    assert_int_equal(vigil_receive(f.v, 5000, &c), VIGIL_OK);
    assert_int_equal(c.result.version, 1);
    assert_int_equal(vigil_receive(f.v, 5000, &c), VIGIL_OK);
    assert_int_equal(c.error, VIGIL_CONFLICT);
    assert_int_equal(c.result.seq, 1);
    assert_int_equal(vigil_receive(f.v, 5000, &c), VIGIL_OK);
    assert_int_equal(integer_of(c.value, c.size), 3);
    assert_int_equal(vigil_receive(f.v, 5000, &c), VIGIL_OK);
    assert_true(c.present);
    assert_int_equal(integer_of(c.value, c.size), 1);
    assert_int_equal(vigil_receive(f.v, 5000, &c), VIGIL_OK);
    assert_false(c.present);
    assert_int_equal(vigil_receive(f.v, 5000, &c), VIGIL_OK);
    assert_int_equal(c.error, VIGIL_OK);
    assert_int_equal(c.result.prev_seq, 1);
    vigil_txn_free(t);
}

/* What is sent while a few messages wait for their replies goes as one. */
static void requests_gather_behind_others(void **state)
{
    (void)state;
    enum { COUNT = 100, AT_ONCE = 3 };
    put_integer(f.v, "k", 0); /* the session is there */
    uint64_t before = server_figure(f.v, "messages");
    assert_int_equal(kill(f.server.pid, SIGSTOP), 0);
    for (int i = 0; i < COUNT; i++) {
        vigil_completion none;
        send_integer(f.v, "k", i);
        assert_int_equal(vigil_receive(f.v, 0, &none), VIGIL_TIMEOUT);
    }
    assert_int_equal(kill(f.server.pid, SIGCONT), 0);
    assert_int_equal(receive_all(f.v), COUNT + 1);
    assert_int_equal(server_figure(f.v, "messages") - before, AT_ONCE + 1 + 1); /* and status */
}

static void a_full_pipeline_says_so(void **state)
{
    (void)state;
    vigil *v;
    vigil_options options = {.endpoint = f.endpoint, .pipeline_max = 3};
    assert_int_equal(vigil_open(&options, &v), VIGIL_OK);
    for (int i = 0; i < 3; i++)
        send_integer(v, "k", i);
    assert_int_equal(vigil_send_put(v, "k", "\x01", 1, NULL, NULL), VIGIL_BUSY);
    receive_all(v);
    send_integer(v, "k", 3);
    receive_all(v);
    vigil_close(v);
}

static void a_failure_stops_what_is_behind_it(void **state)
{
    (void)state;
    enum { COUNT = 30000, BAD = 12000 };
    vigil_condition absent = {.if_seq = true};
    vigil_entry entry;
    put_integer(f.v, "there", 1);
    vigil_stop_on_error(f.v, true);
    for (int i = 0; i < COUNT; i++) {
        if (i == BAD)
            assert_int_equal(vigil_send_put(f.v, "there", "\x01", 1, &absent, NULL), VIGIL_OK);
        else
            send_integer(f.v, "k", i);
    }
    for (int i = 0; i < COUNT; i++) {
        vigil_completion c;
        assert_int_equal(vigil_receive(f.v, 10000, &c), VIGIL_OK);
        assert_int_equal(c.error, i < BAD ? VIGIL_OK : i == BAD ? VIGIL_CONFLICT : VIGIL_ABORTED);
        if (i == BAD) { /* received: what is sent from here on goes */
            send_integer(f.v, "after", 1);
        }
    }
    receive_all(f.v);
    assert_int_equal(vigil_get(f.v, "k", &entry), VIGIL_OK);
    assert_int_equal(integer_of(entry.value, entry.size), BAD - 1);
    vigil_stop_on_error(f.v, false);
}

static void the_descriptor_tells_when_to_receive(void **state)
{
    (void)state;
    vigil_completion c;
    struct pollfd p = {.fd = vigil_fd(f.v), .events = POLLIN};
    assert_true(p.fd >= 0);
    for (int round = 0; round < 200; round++) {
        int received = 0;
        for (int i = 0; i < 3; i++)
            send_integer(f.v, "k", i);
        assert_int_equal(vigil_flush(f.v), VIGIL_OK);
        while (received < 3) {
            assert_int_equal(poll(&p, 1, 10000), 1);
            while (vigil_pending(f.v) > 0 && vigil_receive(f.v, 0, &c) == VIGIL_OK)
                received++;
        }
    }
}

/* A loop that calls receive whenever the descriptor is readable comes to rest when nothing is under way. */
static void an_idle_descriptor_comes_to_rest(void **state)
{
    (void)state;
    vigil_completion c;
    struct pollfd p = {.fd = vigil_fd(f.v), .events = POLLIN};
    send_integer(f.v, "k", 1);
    assert_int_equal(vigil_receive(f.v, 10000, &c), VIGIL_OK);
    int wakes = 0;
    while (poll(&p, 1, 0) == 1 && wakes < 1000) {
        assert_int_equal(vigil_receive(f.v, 0, &c), VIGIL_INVALID);
        wakes++;
    }
    assert_true(wakes < 1000);
}

/* Who takes one outcome at a time is woken for the next, also for what another call has taken in. */
static void the_descriptor_stays_readable_while_outcomes_are_left(void **state)
{
    (void)state;
    vigil_completion c;
    struct pollfd p = {.fd = vigil_fd(f.v), .events = POLLIN};
    for (int by_other_call = 0; by_other_call < 2; by_other_call++) {
        for (int i = 0; i < 3; i++)
            send_integer(f.v, "k", i);
        assert_int_equal(vigil_flush(f.v), VIGIL_OK);
        if (by_other_call)
            assert_int_equal(vigil_ping(f.v), VIGIL_OK);
        for (int received = 0; received < 3;) {
            bool is_there = by_other_call || received > 0;
            assert_int_equal(poll(&p, 1, is_there ? 0 : 10000), 1);
            received += vigil_receive(f.v, 0, &c) == VIGIL_OK;
        }
    }
}

/* It becomes readable for the library's own duties, each time anew. */
static void an_idle_descriptor_wakes_for_duties(void **state)
{
    (void)state;
    vigil_completion c;
    struct pollfd p = {.fd = vigil_fd(f.v), .events = POLLIN};
    for (int wake = 0; wake < 3;) {
        assert_int_equal(poll(&p, 1, 10000), 1);
        while (poll(&p, 1, 0) == 1)
            assert_int_equal(vigil_receive(f.v, 0, &c), VIGIL_INVALID);
        wake++;
    }
}

/* ---- listings and histories ---- */

struct listing {
    char text[4096];
    size_t count;
    size_t stop_after;
};

static bool list_entry(void *context, const vigil_entry *e)
{
    struct listing *l = context;
    size_t used = strlen(l->text);
    snprintf(l->text + used, sizeof l->text - used, "%s=%lld ", e->key,
             e->value ? (long long)integer_of(e->value, e->size) : -1LL);
    l->count++;
    return l->count != l->stop_after;
}

static void listings_are_whole_and_sorted(void **state)
{
    (void)state;
    struct listing all = {0};
    struct listing few = {0};
    struct listing names = {0};
    struct listing stopped = {.stop_after = 1};
    uint64_t seq = 0;
    char key[32];
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "x/%02d", i);
        put_integer(f.v, key, i);
    }
    for (int i = 0; i < 20; i += 2) {
        snprintf(key, sizeof key, "x/%02d", i);
        assert_int_equal(vigil_delete(f.v, key, NULL, NULL), VIGIL_OK);
    }
    put_integer(f.v, "x/03", 33);
    put_integer(f.v, "y", 1);
    assert_int_equal(vigil_list(f.v, "x/", true, 5000, list_entry, &all, &seq), VIGIL_OK);
    assert_string_equal(all.text, "x/01=1 x/03=33 x/05=5 x/07=7 x/09=9 x/11=11 x/13=13 x/15=15 "
                                  "x/17=17 x/19=19 ");
    assert_int_equal(seq, 32);
    assert_int_equal(vigil_list(f.v, "y", false, 0, list_entry, &names, NULL), VIGIL_OK);
    assert_string_equal(names.text, "y=-1 ");
    assert_int_equal(vigil_list(f.v, "", true, 0, list_entry, &few, NULL), VIGIL_OK);
    assert_int_equal(few.count, 11);
    assert_int_equal(vigil_list(f.v, "", true, 0, list_entry, &stopped, NULL), VIGIL_INTERRUPTED);
    assert_int_equal(vigil_list(f.v, "nothing", true, 0, list_entry, &stopped, NULL), VIGIL_OK);
}

static void a_long_listing_takes_several_pages(void **state)
{
    (void)state;
    enum { COUNT = 40000 };
    struct listing l = {.text = ""};
    char key[32];
    for (int i = 0; i < COUNT; i++) {
        snprintf(key, sizeof key, "page/%05d", i);
        send_integer(f.v, key, i);
    }
    receive_all(f.v);
    assert_int_equal(vigil_list(f.v, "page/", false, 20000, list_entry, &l, NULL), VIGIL_OK);
    assert_int_equal(l.count, COUNT);
}

static bool history_record(void *context, const vigil_record *r)
{
    struct listing *l = context;
    size_t used = strlen(l->text);
    assert_int_equal(r->count, 1);
    if (r->changes[0].op == VIGIL_PUT)
        snprintf(l->text + used, sizeof l->text - used, "%llu=%lld ", (unsigned long long)r->seq,
                 (long long)integer_of(r->changes[0].value, r->changes[0].size));
    else
        snprintf(l->text + used, sizeof l->text - used, "%llu=gone ", (unsigned long long)r->seq);
    l->count++;
    return true;
}

static void histories_go_back_to_the_beginning(void **state)
{
    (void)state;
    struct listing h = {0};
    struct listing none = {0};
    struct listing rest = {0};
    bool complete = false;
    uint64_t oldest;
    put_integer(f.v, "h", 1);
    put_integer(f.v, "other", 1);
    put_integer(f.v, "h", 2);
    assert_int_equal(vigil_delete(f.v, "h", NULL, NULL), VIGIL_OK);
    assert_int_equal(vigil_history(f.v, "h", 5000, history_record, &h, &complete), VIGIL_OK);
    assert_string_equal(h.text, "1=1 3=2 4=gone ");
    assert_true(complete);
    assert_int_equal(vigil_history(f.v, "never", 5000, history_record, &none, &complete), VIGIL_OK);
    assert_int_equal(none.count, 0);
    assert_true(complete);
    assert_int_equal(vigil_compact(f.v, 3, 20000, &oldest), VIGIL_OK);
    assert_int_equal(vigil_history(f.v, "h", 5000, history_record, &rest, &complete), VIGIL_OK);
    assert_string_equal(rest.text, "3=2 4=gone ");
    assert_false(complete);
}

static void a_long_history_takes_several_pages(void **state)
{
    (void)state;
    enum { COUNT = 30000 };
    struct listing h = {0};
    bool complete = false;
    for (int i = 0; i < COUNT; i++)
        send_integer(f.v, "h", i);
    receive_all(f.v);
    assert_int_equal(vigil_history(f.v, "h", 20000, history_record, &h, &complete), VIGIL_OK);
    assert_int_equal(h.count, COUNT);
    assert_true(complete);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connecting_tells_about_the_server),
        TEST(connecting_to_nothing_fails_in_time),
        TEST(put_get_delete),
        TEST(conditions),
        TEST(arguments_are_checked_before_sending),
        TEST(the_largest_value_goes_and_comes),
        TEST(increments),
        TEST(transactions),
        TEST(many_keys_at_one_seq),
        TEST(status_is_a_map_and_compaction_moves_oldest),
        TEST(outcomes_come_in_order),
        TEST(every_kind_can_be_sent),
        TEST(requests_gather_behind_others),
        TEST(a_full_pipeline_says_so),
        TEST(a_failure_stops_what_is_behind_it),
        TEST(the_descriptor_tells_when_to_receive),
        TEST(an_idle_descriptor_comes_to_rest),
        TEST(the_descriptor_stays_readable_while_outcomes_are_left),
        TEST(an_idle_descriptor_wakes_for_duties),
        TEST(listings_are_whole_and_sorted),
        TEST(a_long_listing_takes_several_pages),
        TEST(histories_go_back_to_the_beginning),
        TEST(a_long_history_takes_several_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
