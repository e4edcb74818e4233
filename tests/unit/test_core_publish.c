/* What is published on streams: the chain, views, notices, bookmarks. */
#include "tests/support/stream_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

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

/* ---- publishing ---- */

static void test_coalesced_chain(void **state)
{
    struct core_fixture *f = *state;
    struct topic all = stream_open(f, "one", PATTERN_PREFIX, "");
    struct topic b = stream_open(f, "one", PATTERN_PREFIX, "b");
    struct topic c = stream_open(f, "one", PATTERN_EXACT, "c");
    core_fixture_message(f, 0, 0);
    (void)request_put(f, "b1", value_number(1));
    (void)request_put(f, "c", value_number(2));
    (void)request_put(f, "b2", value_number(3));
    core_fixture_run(f, "writer");
    assert_int_equal(f->emitted.count, 3);
    struct emitted e = emitted_at(f, 0);
    struct emitted of_b = emitted_at(f, 1);
    if (memcmp(e.header.topic, all.bytes, TOPIC_SIZE) != 0) {
        e = emitted_at(f, 1);
        of_b = emitted_at(f, 0);
    }
    assert_topic(&e, STREAM_RECORDS, &all);
    assert_int_equal(e.header.count, 3);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        struct bytes record = assert_entry(&e, seq - 1, seq);
        assert_true(bytes_equal(record, core_fixture_record(f, seq)));
    }
    assert_true(wire_read_complete(&e.body));
    assert_topic(&of_b, STREAM_RECORDS, &b);
    (void)assert_entry(&of_b, 0, 1);
    (void)assert_entry(&of_b, 1, 3);
    e = emitted_at(f, 2);
    assert_topic(&e, STREAM_RECORDS, &c);
    (void)assert_entry(&e, 0, 2);
    core_fixture_clear_emitted(f);
    stream_put(f, "b1", value_number(4));
    assert_int_equal(f->emitted.count, 2);
    stream_put(f, "x", value_number(4));
    assert_int_equal(f->emitted.count, 3);
    e = emitted_at(f, 2);
    (void)assert_entry(&e, 4, 5);
}

static void test_records_before_and_after_the_open(void **state)
{
    struct core_fixture *f = *state;
    struct pattern a = {PATTERN_EXACT, bytes_of("a")};
    core_fixture_message(f, 0, 0);
    (void)request_put(f, "a", value_number(1));
    (void)request_open(f, &a, 1);
    (void)request_put(f, "a", value_number(2));
    (void)request_put(f, "a", value_number(3));
    core_fixture_run(f, "one");
    struct topic t = stream_read_open(core_fixture_reply(f, 0, 1));
    assert_int_equal(t.last, 1);
    assert_int_equal(core_fixture_reply(f, 0, 1).header.seq, 1);
    assert_int_equal(f->emitted.count, 1);
    struct emitted e = emitted_at(f, 0);
    assert_int_equal(e.header.count, 2);
    (void)assert_entry(&e, 1, 2);
    (void)assert_entry(&e, 2, 3);
}

static void put_both(struct core_fixture *f, struct bytes value_of_b)
{
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_TXN);
    wire_write_u16(&f->message, 0);
    wire_write_u16(&f->message, 3);
    txn_op_write(&f->message, &(struct txn_op){OP_PUT, 0, bytes_of("a"), value_number(1)});
    txn_op_write(&f->message, &(struct txn_op){OP_PUT, 0, bytes_of("b"), value_of_b});
    txn_op_write(&f->message, &(struct txn_op){OP_PUT, 0, bytes_of("c"), value_number(3)});
    wire_write_u16(&f->message, 0);
    request_finish(f);
    assert_int_equal(core_fixture_ask(f, "writer").header.status, ERR_OK);
}

static void test_views(void **state)
{
    struct core_fixture *f = *state;
    struct pattern two[] = {{PATTERN_EXACT, bytes_of("a")}, {PATTERN_EXACT, bytes_of("c")}};
    core_fixture_message(f, 0, 0);
    (void)request_open(f, two, 2);
    struct topic t = stream_read_open(core_fixture_ask(f, "one"));
    struct bytes large = value_blob(20000, 1);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        core_fixture_clear_emitted(f);
        put_both(f, seq == 1 ? value_number(2) : large);
        /* Also where the record is large: what is sent is the view. */
        assert_int_equal(f->emitted.count, 1);
        struct emitted e = emitted_at(f, 0);
        assert_topic(&e, STREAM_RECORDS, &t);
        struct bytes view = assert_entry(&e, seq - 1, seq);
        struct record_header h;
        assert_int_equal(record_check(view, &h), ERR_OK);
        assert_int_equal(h.flags, RECORD_FLAG_VIEW);
        assert_int_equal(h.count, 2);
        assert_int_equal(h.parts, 3);
        struct change change;
        struct change_iterator i = record_changes(view.data);
        assert_true(change_next(&i, &change));
        assert_int_equal(change.part, 1);
        assert_true(change_next(&i, &change));
        assert_int_equal(change.part, 3);
        assert_true(bytes_equal(change.value, value_number(3)));
        /* The same bytes that anybody makes who knows the filter. */
        struct filter *filter = malloc(sizeof *filter);
        struct wire_buffer expected;
        wire_buffer_init(&expected, 1 << 20);
        assert_int_equal(filter_init(filter, two, 2), ERR_OK);
        assert_int_equal(record_write_view(&expected, core_fixture_record(f, seq).data, filter),
                         view.size);
        assert_true(bytes_equal(view, (struct bytes){expected.data, expected.size}));
        wire_buffer_free(&expected);
        free(filter);
    }
    free((void *)(uintptr_t)large.data);
}

static void test_full_messages_and_notices(void **state)
{
    struct core_fixture *f = *state;
    struct topic t = stream_open(f, "one", PATTERN_PREFIX, "");
    struct bytes third = value_blob(2500, 1);
    struct bytes large = value_blob(9000, 1);
    core_fixture_message(f, 0, 0);
    for (int i = 0; i < 4; i++)
        (void)request_put(f, "a", third);
    (void)request_put(f, "a", large);
    (void)request_put(f, "a", third);
    core_fixture_run(f, "writer");
    assert_int_equal(f->emitted.count, 4);
    struct emitted e = emitted_at(f, 0);
    assert_topic(&e, STREAM_RECORDS, &t);
    assert_int_equal(e.header.count, 3);
    for (uint64_t seq = 1; seq <= 3; seq++)
        (void)assert_entry(&e, seq - 1, seq);
    e = emitted_at(f, 1);
    assert_int_equal(e.header.count, 1);
    (void)assert_entry(&e, 3, 4);
    e = emitted_at(f, 2);
    assert_topic(&e, STREAM_NOTICE, &t);
    uint64_t prev;
    uint64_t seq;
    assert_int_equal(stream_read_notice(&e.body, &prev, &seq), ERR_OK);
    assert_int_equal(prev, 4);
    assert_int_equal(seq, 5);
    e = emitted_at(f, 3);
    (void)assert_entry(&e, 5, 6);
    free((void *)(uintptr_t)third.data);
    free((void *)(uintptr_t)large.data);
}

static void test_the_largest_that_is_sent(void **state)
{
    struct core_fixture *f = *state;
    struct topic t = stream_open(f, "one", PATTERN_PREFIX, "");
    size_t room = LIMIT_STREAM_MESSAGE_SIZE - STREAM_HEADER_SIZE - STREAM_ENTRY_OVERHEAD -
                  RECORD_HEADER_SIZE - CHANGE_HEADER_SIZE - 1;
    for (size_t more = 0; more < 2; more++) {
        struct bytes value = value_blob(room + more, 1);
        core_fixture_clear_emitted(f);
        stream_put(f, "a", value);
        assert_int_equal(f->emitted.count, 1);
        struct emitted e = emitted_at(f, 0);
        assert_topic(&e, more == 0 ? STREAM_RECORDS : STREAM_NOTICE, &t);
        free((void *)(uintptr_t)value.data);
    }
}

/* More streams with something to send than there are messages under way. */
static void test_many_streams_at_once(void **state)
{
    struct core_fixture *f = *state;
    enum { STREAMS = 2500 };
    for (unsigned i = 0; i < STREAMS; i++) {
        char other[16];
        (void)snprintf(other, sizeof other, "other%u", i);
        struct pattern two[] = {{PATTERN_EXACT, bytes_of("a")}, {PATTERN_EXACT, bytes_of(other)}};
        core_fixture_message(f, 0, 0);
        (void)request_open(f, two, 2);
        (void)stream_read_open(core_fixture_ask(f, "one"));
    }
    for (uint64_t round = 0; round < 2; round++) {
        core_fixture_clear_emitted(f);
        core_fixture_message(f, 0, 0);
        (void)request_put(f, "a", value_number(1));
        (void)request_put(f, "a", value_number(2));
        core_fixture_run(f, "writer");
        size_t entries = 0;
        for (size_t i = 0; i < f->emitted.count; i++) {
            struct emitted e = emitted_at(f, i);
            for (uint16_t n = 0; n < e.header.count; n++) {
                uint64_t prev;
                struct bytes record;
                struct record_header h;
                assert_int_equal(stream_read_entry(&e.body, &prev, &record, &h), ERR_OK);
                assert_int_equal(prev, h.seq - 1);
                entries++;
            }
        }
        assert_int_equal(entries, 2 * STREAMS);
    }
}

/* ---- bookmarks ---- */

static void test_bookmark_after_traffic(void **state)
{
    struct core_fixture *f = *state;
    struct topic t = stream_open(f, "one", PATTERN_EXACT, "a");
    stream_put(f, "a", value_number(1));
    stream_put(f, "b", value_number(1));
    core_fixture_clear_emitted(f);
    assert_int_equal(core_fixture_tick(f, 0), BOOKMARK_TICK_MS);
    assert_int_equal(core_fixture_tick(f, BOOKMARK_TICK_MS - 1), 1);
    assert_int_equal(f->emitted.count, 0);
    (void)core_fixture_tick(f, 1);
    assert_int_equal(f->emitted.count, 1);
    struct stream_bookmark m = assert_bookmark(f, 0, &t);
    assert_int_equal(m.head, 2);
    assert_int_equal(m.last, 1);
    assert_int_equal(m.oldest, 1);
    (void)core_fixture_tick(f, BOOKMARK_TICK_MS);
    assert_int_equal(f->emitted.count, 1);
}

static void test_bookmark_for_a_subscription(void **state)
{
    struct core_fixture *f = *state;
    struct topic t = stream_open(f, "one", PATTERN_EXACT, "a");
    struct topic other = stream_open(f, "one", PATTERN_EXACT, "b");
    struct bytes topic = {t.bytes, TOPIC_SIZE};
    for (int i = 0; i < 3; i++)
        core_subscribed(f->core, topic);
    core_subscribed(f->core, (struct bytes){t.bytes, TOPIC_SIZE - 1});
    core_subscribed(f->core, (struct bytes){NULL, 0});
    core_subscribed(f->core, bytes_of("0123456789abcdef"));
    (void)core_fixture_tick(f, 0);
    assert_int_equal(f->emitted.count, 1);
    (void)assert_bookmark(f, 0, &t);
    (void)core_fixture_tick(f, 0);
    assert_int_equal(f->emitted.count, 1);
    core_subscribed(f->core, (struct bytes){other.bytes, TOPIC_SIZE});
    core_subscribed(f->core, topic);
    (void)core_fixture_tick(f, 0);
    assert_int_equal(f->emitted.count, 3);
    core_subscribed(f->core, topic); /* never answered: freed all the same */
}

/* Each stream's bookmarks come within the interval that the one before named, while some streams
 * have traffic, come and go; and idle ones cost no more than they may. */
static void test_intervals_are_honest(void **state)
{
    struct core_fixture *f = *state;
    enum { STREAMS = 3000, TURNS = 400 };
    uint64_t *due_ms = calloc(STREAMS, sizeof *due_ms);
    struct topic *topics = calloc(STREAMS, sizeof *topics);
    uint64_t bookmarks = 0;
    uint64_t begun_ms = f->now_ms;
    for (unsigned i = 0; i < STREAMS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", i);
        topics[i] = stream_open(f, "one", PATTERN_EXACT, key);
        due_ms[i] = f->now_ms + topics[i].interval_ms;
    }
    uint32_t wait_ms = core_fixture_tick(f, 0);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", turn % 7);
        stream_put(f, key, value_number(1));
        core_fixture_message(f, 0, 0);
        (void)request_plain(f, OP_PING);
        core_fixture_run(f, "one");
        core_fixture_clear_emitted(f);
        /* Never later than it asked for, sometimes sooner. */
        uint64_t step_ms = turn % 3 == 0 ? wait_ms / 2 : wait_ms;
        wait_ms = core_fixture_tick(f, step_ms);
        for (size_t m = 0; m < f->emitted.count; m++) {
            struct emitted e = emitted_at(f, m);
            struct stream_bookmark bookmark;
            assert_int_equal(stream_read_bookmark(&e.body, &bookmark), ERR_OK);
            unsigned i = 0;
            while (memcmp(topics[i].bytes, e.header.topic, TOPIC_SIZE) != 0)
                assert_true(++i < STREAMS);
            assert_true(f->now_ms <= due_ms[i]);
            due_ms[i] = f->now_ms + bookmark.interval_ms;
            bookmarks++;
        }
    }
    for (unsigned i = 0; i < STREAMS; i++)
        assert_true(f->now_ms <= due_ms[i]);
    uint64_t ms = f->now_ms - begun_ms;
    assert_true(ms > 5000);
    assert_true(bookmarks >= STREAMS);
    /* Beside the traffic's: seven streams, ten times a second. */
    assert_true(bookmarks <= ms * BOOKMARK_IDLE_PER_SECOND / 1000 + ms * 70 / 1000 + 500);
    free(due_ms);
    free(topics);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_coalesced_chain),
        T(test_records_before_and_after_the_open),
        T(test_views),
        T(test_full_messages_and_notices),
        T(test_the_largest_that_is_sent),
        T(test_many_streams_at_once),
        T(test_bookmark_after_traffic),
        T(test_bookmark_for_a_subscription),
        T(test_intervals_are_honest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
