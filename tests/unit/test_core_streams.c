/* Streams: opening them, leases, limits. */
#include "tests/support/stream_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct core_fixture *f = malloc(sizeof *f);
    static const struct core_limits limits = {
        .streams_max = 4000, .streams_per_peer_max = 3000, .peers_max = 3};
    core_fixture_open(f, 17, &limits);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    core_fixture_close(*state);
    free(*state);
    return 0;
}

/* ---- opening and leases ---- */

static void test_same_filter_same_stream(void **state)
{
    struct core_fixture *f = *state;
    stream_put(f, "a", value_number(1));
    struct topic a = stream_open(f, "one", PATTERN_PREFIX, "a/");
    assert_int_equal(a.last, 1);
    struct topic b = stream_open(f, "two", PATTERN_PREFIX, "b/");
    struct topic again = stream_open(f, "two", PATTERN_PREFIX, "a/");
    assert_memory_equal(a.bytes, again.bytes, TOPIC_SIZE);
    assert_memory_not_equal(a.bytes, b.bytes, TOPIC_SIZE);
    /* Another way to say the same. */
    struct pattern same[] = {{PATTERN_EXACT, bytes_of("a/x")},
                             {PATTERN_PREFIX, bytes_of("a/")},
                             {PATTERN_PREFIX, bytes_of("a/b")}};
    core_fixture_message(f, 0, 0);
    (void)request_open(f, same, 3);
    again = stream_read_open(core_fixture_ask(f, "one"));
    assert_memory_equal(a.bytes, again.bytes, TOPIC_SIZE);
    assert_int_equal(stream_count(f), 2);
    assert_int_equal(peer_count(f), 2);
}

static void test_open_refused(void **state)
{
    struct core_fixture *f = *state;
    assert_int_equal(stream_try_open(f, "p", PATTERN_EXACT, "").header.status, ERR_BAD_KEY);
    assert_int_equal(stream_try_open(f, "p", 9, "a").header.status, ERR_INVALID);
    core_fixture_message(f, 0, 0);
    (void)request_open(f, NULL, 0);
    assert_int_equal(core_fixture_ask(f, "p").header.status, ERR_INVALID);
    core_fixture_message(f, 0, 0);
    struct pattern all = {PATTERN_PREFIX, {NULL, 0}};
    (void)request_open(f, &all, 1);
    wire_write_u8(&f->message, 0);
    request_finish(f);
    f->message_count = 1;
    message_set_count(&f->message, 0, 1);
    assert_int_equal(core_fixture_ask(f, "p").header.status, ERR_MALFORMED);
    assert_int_equal(stream_count(f), 0);
    assert_int_equal(peer_count(f), 0);
}

static void test_close(void **state)
{
    struct core_fixture *f = *state;
    struct topic a = stream_open(f, "one", PATTERN_EXACT, "a");
    (void)stream_open(f, "one", PATTERN_EXACT, "a");
    assert_int_equal(stream_close(f, "two", &a), ERR_NO_STREAM);
    assert_int_equal(stream_close(f, "one", &a), ERR_OK);
    (void)core_fixture_tick(f, 1);
    assert_int_equal(stream_count(f), 1);
    assert_int_equal(stream_close(f, "one", &a), ERR_OK);
    assert_int_equal(stream_close(f, "one", &a), ERR_NO_STREAM);
    /* Until the end of the turn it is still there, and may be taken again. */
    assert_true(stream_renew(f, "two", &a));
    (void)core_fixture_tick(f, 1);
    assert_int_equal(stream_count(f), 1);
    assert_int_equal(peer_count(f), 1);
    assert_int_equal(stream_close(f, "two", &a), ERR_OK);
    (void)core_fixture_tick(f, 1);
    assert_int_equal(stream_count(f), 0);
    assert_int_equal(peer_count(f), 0);
    assert_int_equal(stream_close(f, "two", &a), ERR_NO_STREAM);
    assert_false(stream_renew(f, "one", &a));
}

static void test_leases_end_with_silence(void **state)
{
    struct core_fixture *f = *state;
    struct topic a = stream_open(f, "one", PATTERN_EXACT, "a");
    struct topic b = stream_open(f, "two", PATTERN_EXACT, "b");
    struct topic again = stream_open(f, "two", PATTERN_EXACT, "a");
    assert_memory_equal(again.bytes, a.bytes, TOPIC_SIZE);
    (void)core_fixture_tick(f, LEASE_MS - 1);
    /* Any request keeps all of a peer's leases. */
    core_fixture_message(f, 0, 0);
    (void)request_plain(f, OP_PING);
    core_fixture_run(f, "one");
    uint32_t wait_ms = core_fixture_tick(f, 0);
    assert_true(wait_ms <= 1);
    (void)core_fixture_tick(f, 1);
    assert_int_equal(peer_count(f), 1);
    assert_int_equal(stream_count(f), 1);
    assert_false(stream_renew(f, "two", &b));
    assert_true(stream_renew(f, "two", &a));
    assert_int_equal(peer_count(f), 2);
    (void)core_fixture_tick(f, LEASE_MS);
    assert_int_equal(peer_count(f), 0);
    assert_int_equal(stream_count(f), 0);
}

static void test_limits(void **state)
{
    (void)state;
    static const struct core_limits limits = {
        .streams_max = 3, .streams_per_peer_max = 2, .peers_max = 2};
    struct core_fixture g;
    struct core_fixture *f = &g;
    core_fixture_open(f, 3, &limits);
    (void)stream_open(f, "one", PATTERN_EXACT, "a");
    (void)stream_open(f, "one", PATTERN_EXACT, "b");
    (void)stream_open(f, "one", PATTERN_EXACT, "b");
    assert_int_equal(stream_try_open(f, "one", PATTERN_EXACT, "c").header.status, ERR_LIMIT);
    assert_int_equal(stream_count(f), 2);
    struct topic c = stream_open(f, "two", PATTERN_EXACT, "c");
    struct parsed_reply reply = stream_try_open(f, "two", PATTERN_EXACT, "d");
    assert_int_equal(reply.header.status, ERR_LIMIT);
    assert_non_null(strstr(reply.text, "3 streams"));
    assert_int_equal(stream_try_open(f, "three", PATTERN_EXACT, "a").header.status, ERR_LIMIT);
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_STREAM_RENEW);
    wire_write_u16(&f->message, 1);
    wire_write_raw(&f->message, c.bytes, TOPIC_SIZE);
    request_finish(f);
    assert_int_equal(core_fixture_ask(f, "one").header.status, ERR_LIMIT);
    assert_int_equal(core_fixture_ask(f, "three").header.status, ERR_LIMIT);
    assert_int_equal(stream_close(f, "two", &c), ERR_OK);
    (void)core_fixture_tick(f, 1);
    (void)stream_open(f, "three", PATTERN_EXACT, "a");
    core_fixture_close(f);
}

static void test_abort_drops_what_it_opened(void **state)
{
    struct core_fixture *f = *state;
    struct topic a = stream_open(f, "one", PATTERN_EXACT, "a");
    core_fixture_begin(f);
    core_fixture_message(f, 0, 0);
    struct pattern patterns[] = {{PATTERN_EXACT, bytes_of("b")}, {PATTERN_EXACT, bytes_of("a")}};
    (void)request_put(f, "b", value_number(1));
    (void)request_open(f, &patterns[0], 1);
    (void)request_open(f, &patterns[1], 1);
    core_fixture_send(f, "two");
    core_fixture_abort(f, ERR_IO, NULL);
    assert_int_equal(core_fixture_reply(f, 0, 1).header.status, ERR_IO);
    /* Opened again before it was swept: its start is not a seq that never was. */
    struct topic b = stream_open(f, "two", PATTERN_EXACT, "b");
    assert_int_equal(b.last, 0);
    stream_put(f, "b", value_number(2));
    assert_int_equal(f->emitted.count, 1);
    struct emitted e = emitted_at(f, 0);
    assert_topic(&e, STREAM_RECORDS, &b);
    (void)assert_entry(&e, 0, 1);
    assert_int_equal(stream_close(f, "two", &b), ERR_OK);
    assert_int_equal(stream_close(f, "two", &a), ERR_NO_STREAM);
    (void)core_fixture_tick(f, 1);
    assert_int_equal(stream_count(f), 1);
    assert_int_equal(peer_count(f), 1);
    /* A close is taken back, too. */
    core_fixture_begin(f);
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_STREAM_CLOSE);
    wire_write_raw(&f->message, a.bytes, TOPIC_SIZE);
    request_finish(f);
    core_fixture_send(f, "one");
    core_fixture_abort(f, ERR_IO, NULL);
    (void)core_fixture_tick(f, 1);
    assert_int_equal(stream_count(f), 1);
    assert_int_equal(stream_close(f, "one", &a), ERR_OK);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_same_filter_same_stream), T(test_open_refused), T(test_close),
        T(test_leases_end_with_silence), T(test_limits),       T(test_abort_drops_what_it_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
