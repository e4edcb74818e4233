/*
 * test_client_watch_rule.c - the watcher's rule: each step by itself, and a million random steps
 * against a server that drops, restarts, forgets and compacts.
 *
 * ctest: TIMEOUT=120
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/watch_rule.h"
#include "protocol/errors.h"
#include "tests/support/sample_bytes.h"

enum { EPOCH = 7, RUN = 1 };

static const struct watch_opened opened_at_10 = {
    .epoch = EPOCH, .incarnation = RUN, .head = 10, .oldest = 3, .interval_ms = 1000};

static struct watch_rule opened(enum vigil_since since, uint64_t seq, const struct watch_opened *o)
{
    struct watch_rule w;
    watch_rule_init(&w, since, (vigil_position){0, seq}, false, 1, 0);
    assert_true(watch_rule_wants_open(&w, 0));
    watch_rule_asked_open(&w, 0);
    assert_int_equal(w.state, WATCH_OPENING);
    watch_rule_opened(&w, 0, o);
    return w;
}

/* Live at position 10. */
static struct watch_rule live(void)
{
    struct watch_rule w = opened(VIGIL_SINCE_NOW, 0, &opened_at_10);
    assert_int_equal(w.state, WATCH_LIVE);
    assert_int_equal(w.position, 10);
    return w;
}

/* Replaying after 5, with the request in hand. */
static struct watch_rule replaying(void)
{
    uint64_t after = 0;
    struct watch_rule w = opened(VIGIL_SINCE_POSITION, 5, &opened_at_10);
    assert_int_equal(w.state, WATCH_REPLAYING);
    assert_true(watch_rule_wants_replay(&w, 0, &after));
    assert_int_equal(after, 5);
    watch_rule_asked_replay(&w, 0, after);
    assert_false(watch_rule_wants_replay(&w, 0, &after));
    return w;
}

/* ---- opening ---- */

static void where_a_watch_begins(void **state)
{
    (void)state;
    struct watch_rule w = opened(VIGIL_SINCE_OLDEST, 0, &opened_at_10);
    assert_int_equal(w.position, 2);
    assert_int_equal(w.state, WATCH_REPLAYING);
    w = opened(VIGIL_SINCE_POSITION, 10, &opened_at_10);
    assert_int_equal(w.state, WATCH_LIVE);
    w = opened(VIGIL_SINCE_POSITION, 11, &opened_at_10);
    assert_int_equal(watch_rule_take_error(&w), ERR_POSITION_AHEAD);
    assert_int_equal(watch_rule_take_error(&w), ERR_POSITION_AHEAD);
    struct watch_opened empty = {.epoch = EPOCH, .incarnation = RUN, .head = 0, .oldest = 1};
    w = opened(VIGIL_SINCE_OLDEST, 0, &empty);
    assert_int_equal(w.state, WATCH_LIVE);
    assert_int_equal(w.position, 0);
}

static void another_epoch_ends_it(void **state)
{
    (void)state;
    struct watch_rule w;
    watch_rule_init(&w, VIGIL_SINCE_POSITION, (vigil_position){EPOCH + 1, 5}, false, 1, 0);
    watch_rule_asked_open(&w, 0);
    watch_rule_opened(&w, 0, &opened_at_10);
    assert_int_equal(watch_rule_take_error(&w), ERR_EPOCH_CHANGED);
    assert_int_equal(w.epoch, EPOCH + 1);
    assert_int_equal(w.server_epoch, EPOCH);
    /* On the stream too, by way of opening again. */
    w = live();
    assert_false(watch_rule_heard(&w, 10000, EPOCH + 1, RUN));
    assert_int_equal(w.state, WATCH_CLOSED);
    watch_rule_asked_open(&w, 10000);
    struct watch_opened other = opened_at_10;
    other.epoch = EPOCH + 1;
    watch_rule_opened(&w, 10000, &other);
    assert_int_equal(watch_rule_take_error(&w), ERR_EPOCH_CHANGED);
}

static void failures_to_open(void **state)
{
    (void)state;
    struct watch_rule w;
    watch_rule_init(&w, VIGIL_SINCE_NOW, (vigil_position){0, 0}, false, 1, 0);
    watch_rule_asked_open(&w, 0);
    watch_rule_open_failed(&w, 0, ERR_BAD_KEY);
    assert_int_equal(watch_rule_take_error(&w), ERR_BAD_KEY);

    watch_rule_init(&w, VIGIL_SINCE_NOW, (vigil_position){0, 0}, false, 1, 0);
    watch_rule_asked_open(&w, 0);
    watch_rule_open_failed(&w, 0, ERR_STOPPING);
    assert_int_equal(watch_rule_take_error(&w), ERR_DISCONNECTED);
    assert_int_equal(watch_rule_take_error(&w), ERR_OK);
    /* It tries again, ever more slowly, and does not repeat itself. */
    int64_t now = 0;
    for (int i = 0; i < 20; i++) {
        int64_t due = watch_rule_due_ms(&w);
        assert_true(due >= now && due <= now + WATCH_BACKOFF_MOST_MS);
        now = due;
        assert_true(watch_rule_wants_open(&w, now));
        watch_rule_asked_open(&w, now);
        now += WATCH_OPEN_MS;
        watch_rule_tick(&w, now);
        assert_int_equal(w.state, WATCH_CLOSED);
        assert_int_equal(watch_rule_take_error(&w), ERR_OK);
    }
    assert_true(watch_rule_due_ms(&w) - now >= WATCH_BACKOFF_MOST_MS / 2);
    watch_rule_asked_open(&w, now);
    watch_rule_opened(&w, now, &opened_at_10);
    assert_false(w.down);
    watch_rule_lost(&w, now);
    assert_int_equal(watch_rule_take_error(&w), ERR_DISCONNECTED);
    assert_true(watch_rule_wants_open(&w, now));
}

static void a_stream_that_cannot_be_subscribed_to(void **state)
{
    (void)state;
    struct watch_rule w = live();
    watch_rule_not_subscribed(&w, 0, ERR_LIMIT);
    assert_int_equal(watch_rule_take_error(&w), ERR_LIMIT);
    assert_int_equal(w.state, WATCH_CLOSED);
    assert_false(watch_rule_wants_open(&w, 0));
    assert_true(watch_rule_wants_open(&w, WATCH_BACKOFF_MOST_MS));
}

static void a_reply_that_nobody_waits_for(void **state)
{
    (void)state;
    struct watch_rule w = live();
    struct watch_opened other = opened_at_10;
    other.head = 20;
    watch_rule_opened(&w, 0, &other);
    watch_rule_open_failed(&w, 0, ERR_BAD_KEY);
    assert_int_equal(w.state, WATCH_LIVE);
    assert_int_equal(w.position, 10);
}

static void without_reconnecting_a_loss_is_the_end(void **state)
{
    (void)state;
    struct watch_rule w = live();
    w.no_reconnect = true;
    watch_rule_lost(&w, 0);
    assert_int_equal(w.state, WATCH_ENDED);
    assert_int_equal(watch_rule_take_error(&w), ERR_DISCONNECTED);
    assert_int_equal(watch_rule_due_ms(&w), INT64_MAX);
}

/* ---- live ---- */

static void records_by_the_rule(void **state)
{
    (void)state;
    struct watch_rule w = live();
    assert_true(watch_rule_heard(&w, 0, EPOCH, RUN));
    assert_int_equal(watch_rule_record(&w, 0, 4, 10), WATCH_SKIP);
    assert_int_equal(watch_rule_record(&w, 0, 9, 12), WATCH_DELIVER);
    watch_rule_delivered(&w, 12);
    assert_int_equal(watch_rule_record(&w, 0, 12, 15), WATCH_DELIVER);
    watch_rule_delivered(&w, 15);
    assert_int_equal(w.position, 15);
    assert_int_equal(w.head, 15);
    assert_int_equal(watch_rule_record(&w, 0, 16, 17), WATCH_BREAK);
    assert_int_equal(w.gaps, 1);
    assert_int_equal(w.state, WATCH_REPLAYING);
    assert_int_equal(w.position, 15);
    /* The rest of that message, should anybody still ask. */
    assert_int_equal(watch_rule_record(&w, 0, 17, 18), WATCH_BREAK);
}

static void bookmarks_by_the_rule(void **state)
{
    (void)state;
    struct watch_rule w = live();
    struct stream_bookmark b = {.head = 20, .last = 10, .oldest = 4, .interval_ms = 500};
    assert_int_equal(watch_rule_bookmark(&w, 0, &b), WATCH_MOVED);
    assert_int_equal(w.position, 20);
    assert_int_equal(w.oldest, 4);
    b.head = 15; /* of before */
    assert_int_equal(watch_rule_bookmark(&w, 0, &b), WATCH_SKIP);
    assert_int_equal(w.position, 20);
    b = (struct stream_bookmark){.head = 30, .last = 21};
    assert_int_equal(watch_rule_bookmark(&w, 0, &b), WATCH_BREAK);
    assert_int_equal(w.position, 20);
    assert_int_equal(w.state, WATCH_REPLAYING);
}

static void notices_and_garbage_lead_to_a_replay(void **state)
{
    (void)state;
    struct watch_rule w = live();
    assert_int_equal(watch_rule_notice(&w, 0, 5, 10), WATCH_SKIP);
    assert_int_equal(watch_rule_notice(&w, 0, 10, 11), WATCH_BREAK);
    assert_int_equal(w.state, WATCH_REPLAYING);
    assert_int_equal(w.gaps, 0); /* nothing was lost */
    w = live();
    watch_rule_garbled(&w, 0);
    assert_int_equal(w.state, WATCH_REPLAYING);
}

static void silence_is_noticed(void **state)
{
    (void)state;
    struct watch_rule w = live();
    watch_rule_tick(&w, WATCH_CONFIRM_MS - 1);
    assert_int_equal(w.state, WATCH_LIVE);
    watch_rule_tick(&w, WATCH_CONFIRM_MS);
    assert_int_equal(w.state, WATCH_CLOSED); /* it may never have been subscribed */
    assert_int_equal(w.reopened, 1);
    assert_int_equal(watch_rule_take_error(&w), ERR_OK);
    /* Twice, and it is not to be called well; told once, until a message comes. */
    int64_t now = 10000;
    for (int i = 0; i < 4; i++) {
        watch_rule_asked_open(&w, now);
        watch_rule_opened(&w, now, &opened_at_10);
        now += WATCH_CONFIRM_MS;
        watch_rule_tick(&w, now);
        assert_int_equal(w.state, WATCH_CLOSED);
        assert_int_equal(watch_rule_take_error(&w), i == 0 ? ERR_DISCONNECTED : ERR_OK);
        assert_true(w.down);
    }
    watch_rule_asked_open(&w, now);
    watch_rule_opened(&w, now, &opened_at_10);
    assert_true(watch_rule_heard(&w, now, EPOCH, RUN));
    assert_false(w.down);

    w = live();
    assert_true(watch_rule_heard(&w, 1000, EPOCH, RUN));
    struct stream_bookmark b = {.head = 10, .last = 10, .interval_ms = 2000};
    watch_rule_bookmark(&w, 1000, &b);
    assert_int_equal(watch_rule_due_ms(&w), 1000 + 6000);
    watch_rule_tick(&w, 6999);
    assert_int_equal(w.state, WATCH_LIVE);
    watch_rule_tick(&w, 7000);
    assert_int_equal(w.state, WATCH_CLOSED);
    assert_true(watch_rule_wants_open(&w, 7000));
}

static void another_incarnation_is_opened_again(void **state)
{
    (void)state;
    struct watch_rule w = live();
    assert_false(watch_rule_heard(&w, 5000, EPOCH, RUN + 1));
    assert_int_equal(w.state, WATCH_CLOSED);
    assert_int_equal(w.position, 10);
    assert_true(watch_rule_wants_open(&w, 5000));
    /* A server that does this all the time is not asked all the time. */
    watch_rule_asked_open(&w, 5000);
    watch_rule_opened(&w, 5000, &opened_at_10);
    assert_false(watch_rule_heard(&w, 5001, EPOCH, RUN + 1));
    assert_false(watch_rule_wants_open(&w, 5001));
}

/* ---- replay ---- */

static void a_replay_in_two_chunks(void **state)
{
    (void)state;
    struct watch_rule w = replaying();
    uint64_t after = 0;
    watch_rule_replay_arrived(&w);
    assert_true(watch_rule_replay_taken(&w, 10, &opened_at_10, 5, 7));
    /* The next request goes out before the first chunk is handed out. */
    assert_true(watch_rule_wants_replay(&w, 10, &after));
    assert_int_equal(after, 7);
    watch_rule_asked_replay(&w, 10, 7);
    assert_int_equal(watch_rule_replay_record(&w, 6), WATCH_DELIVER);
    watch_rule_delivered(&w, 6);
    assert_int_equal(watch_rule_replay_record(&w, 6), WATCH_SKIP);
    assert_int_equal(watch_rule_replay_record(&w, 8), WATCH_BREAK);
    assert_true(watch_rule_chunk_done(&w, 10));
    assert_int_equal(w.position, 7);
    assert_int_equal(w.state, WATCH_REPLAYING);
    struct watch_opened later = opened_at_10;
    later.head = 12;
    assert_true(watch_rule_replay_taken(&w, 20, &later, 7, 12));
    assert_false(watch_rule_wants_replay(&w, 20, &after));
    assert_true(watch_rule_chunk_done(&w, 20));
    assert_int_equal(w.position, 12);
    assert_int_equal(w.state, WATCH_LIVE);
}

static void replies_that_do_not_fit_are_not_taken(void **state)
{
    (void)state;
    const uint64_t wrong[][2] = {{4, 8}, {6, 8}, {5, 4}, {5, 11}, {5, 5}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint64_t after;
        struct watch_rule w = replaying();
        assert_false(watch_rule_replay_taken(&w, 0, &opened_at_10, wrong[i][0], wrong[i][1]));
        assert_int_equal(w.position, 5);
        assert_false(watch_rule_wants_replay(&w, 0, &after)); /* not at once */
        assert_true(watch_rule_wants_replay(&w, WATCH_BACKOFF_MOST_MS, &after));
        assert_int_equal(after, 5);
    }
    struct watch_rule w = replaying();
    struct watch_opened other = opened_at_10;
    other.incarnation++;
    assert_false(watch_rule_replay_taken(&w, 0, &other, 5, 8));
    assert_int_equal(w.state, WATCH_CLOSED);
    /* Nor one that nobody asked for. */
    w = live();
    assert_false(watch_rule_replay_taken(&w, 0, &opened_at_10, 10, 10));
    assert_false(watch_rule_chunk_done(&w, 0));
}

static void a_lost_reply_is_asked_for_again(void **state)
{
    (void)state;
    struct watch_rule w = replaying();
    uint64_t after;
    watch_rule_tick(&w, WATCH_REPLAY_MS - 1);
    assert_true(w.asked);
    watch_rule_tick(&w, WATCH_REPLAY_MS);
    assert_true(watch_rule_wants_replay(&w, WATCH_REPLAY_MS, &after));
    watch_rule_asked_replay(&w, WATCH_REPLAY_MS, after);
    watch_rule_tick(&w, 2 * WATCH_REPLAY_MS);
    assert_int_equal(w.state, WATCH_CLOSED); /* does the server live at all? */
    /* One that is there, and waits for its turn, is not lost. */
    w = replaying();
    watch_rule_replay_arrived(&w);
    watch_rule_tick(&w, 10 * WATCH_REPLAY_MS);
    assert_true(w.asked);
    assert_int_equal(watch_rule_due_ms(&w), INT64_MAX);
}

static void what_is_compacted_is_told(void **state)
{
    (void)state;
    struct watch_opened later = opened_at_10;
    later.oldest = 8;
    struct watch_rule w = replaying();
    watch_rule_replay_failed(&w, 0, ERR_COMPACTED, &later);
    assert_int_equal(watch_rule_take_error(&w), ERR_COMPACTED);
    assert_int_equal(w.oldest, 8);
    assert_int_equal(w.position, 5);

    /* Since the oldest means whatever there still is, until something was handed out. */
    uint64_t after;
    w = opened(VIGIL_SINCE_OLDEST, 0, &opened_at_10);
    assert_true(watch_rule_wants_replay(&w, 0, &after));
    watch_rule_asked_replay(&w, 0, after);
    watch_rule_replay_failed(&w, 0, ERR_COMPACTED, &later);
    assert_int_equal(w.state, WATCH_REPLAYING);
    assert_int_equal(w.position, 7);
    assert_true(watch_rule_wants_replay(&w, 0, &after));
    watch_rule_asked_replay(&w, 0, after);
    assert_true(watch_rule_replay_taken(&w, 0, &later, 7, 9));
    watch_rule_delivered(&w, 8);
    watch_rule_chunk_done(&w, 0);
    assert_true(watch_rule_wants_replay(&w, 0, &after));
    watch_rule_asked_replay(&w, 0, after);
    later.oldest = 10;
    later.head = 30;
    watch_rule_replay_failed(&w, 0, ERR_COMPACTED, &later);
    assert_int_equal(watch_rule_take_error(&w), ERR_COMPACTED);
}

static void damage_is_tried_twice(void **state)
{
    (void)state;
    uint64_t after;
    struct watch_rule w = replaying();
    assert_true(watch_rule_replay_taken(&w, 0, &opened_at_10, 5, 10));
    watch_rule_chunk_bad(&w, 0, ERR_CORRUPT);
    assert_int_equal(w.state, WATCH_REPLAYING);
    assert_true(watch_rule_wants_replay(&w, WATCH_BACKOFF_MOST_MS, &after));
    watch_rule_asked_replay(&w, 0, after);
    assert_true(watch_rule_replay_taken(&w, 0, &opened_at_10, 5, 10));
    watch_rule_chunk_bad(&w, 0, ERR_CORRUPT);
    assert_int_equal(watch_rule_take_error(&w), ERR_CORRUPT);

    w = replaying();
    watch_rule_replay_failed(&w, 0, ERR_CORRUPT, &opened_at_10);
    assert_int_equal(w.state, WATCH_REPLAYING);
    assert_true(watch_rule_wants_replay(&w, WATCH_BACKOFF_MOST_MS, &after));
    watch_rule_asked_replay(&w, 0, after);
    watch_rule_replay_failed(&w, 0, ERR_CORRUPT, &opened_at_10);
    assert_int_equal(watch_rule_take_error(&w), ERR_CORRUPT);
    w = replaying();
    watch_rule_replay_failed(&w, 0, ERR_MALFORMED, NULL);
    assert_int_equal(watch_rule_take_error(&w), ERR_MALFORMED);
}

/* ---- a million steps ---- */

enum { RECORDS_MAX = 1 << 16, QUEUE = 8 };

enum message_kind { MESSAGE_RECORD, MESSAGE_NOTICE, MESSAGE_BOOKMARK, MESSAGE_GARBAGE };
struct message {
    enum message_kind kind;
    uint64_t incarnation;
    uint64_t prev, seq, last;
};

struct world {
    struct sample random;
    struct watch_rule rule;
    int64_t now;
    bool lossy;
    /* server */
    bool up;
    bool matches[RECORDS_MAX];
    uint64_t head, oldest, incarnation;
    bool stream; /* it knows the stream */
    uint64_t last;
    /* between */
    bool subscribed;
    struct message queue[QUEUE];
    size_t queued;
    bool open_request;
    bool replay_request;
    uint64_t replay_after;
    /* a chunk in hand */
    uint64_t chunk_next, chunk_to;
    /* what must come next */
    uint64_t expected_after;
    uint64_t delivered;
};

static bool happens(struct world *w, size_t one_in)
{
    return w->lossy && sample_below(&w->random, one_in) == 0;
}

static void publish(struct world *w, struct message m)
{
    if (!w->subscribed || w->queued == QUEUE || happens(w, 6))
        return; /* dropped without a word */
    m.incarnation = w->incarnation;
    w->queue[w->queued++] = m;
}

static void write_record(struct world *w)
{
    if (!w->up || w->head + 1 >= RECORDS_MAX)
        return;
    uint64_t seq = ++w->head;
    w->matches[seq] = sample_below(&w->random, 3) == 0;
    if (!w->matches[seq] || !w->stream)
        return;
    publish(w, (struct message){.kind = happens(w, 10) ? MESSAGE_NOTICE : MESSAGE_RECORD,
                                .prev = w->last,
                                .seq = seq});
    w->last = seq;
}

static void restart(struct world *w)
{
    w->incarnation++;
    w->stream = false;
    w->subscribed = w->subscribed && sample_below(&w->random, 2);
    w->open_request = false;
    w->replay_request = false;
    if (sample_below(&w->random, 2))
        watch_rule_lost(&w->rule, w->now);
}

static void compact(struct world *w)
{
    /* Never what the watcher still needs: that end is tested above. */
    uint64_t most = w->rule.positioned ? w->rule.position + 1 : 1;
    if (w->oldest < most && w->oldest < w->head)
        w->oldest++;
}

static void server_step(struct world *w)
{
    switch (sample_below(&w->random, 6)) {
    case 0:
        if (w->stream)
            publish(w, (struct message){.kind = MESSAGE_BOOKMARK, .seq = w->head, .last = w->last});
        break;
    case 1:
        compact(w);
        break;
    case 2:
        if (happens(w, 40))
            restart(w);
        else if (happens(w, 40))
            publish(w, (struct message){.kind = MESSAGE_GARBAGE});
        else if (happens(w, 60))
            w->stream = false; /* the lease ended */
        break;
    default:
        write_record(w);
    }
}

static void deliver(struct world *w, uint64_t seq)
{
    uint64_t next = w->expected_after + 1;
    while (!w->matches[next] && next < seq)
        next++;
    if (next != seq || !w->matches[seq])
        fail_msg("handed out %llu after %llu", (unsigned long long)seq,
                 (unsigned long long)w->expected_after);
    w->expected_after = seq;
    w->delivered++;
    watch_rule_delivered(&w->rule, seq);
}

static void answer_open(struct world *w)
{
    w->open_request = false;
    if (happens(w, 8))
        return;
    if (!w->stream) {
        w->stream = true;
        w->last = w->head;
    }
    struct watch_opened o = {w->rule.epoch ? w->rule.epoch : EPOCH, w->incarnation, w->head,
                             w->oldest, 1000};
    /* Written between the reply and the subscription. */
    bool first = !w->rule.positioned;
    watch_rule_opened(&w->rule, w->now, &o);
    if (first)
        w->expected_after = w->rule.position;
    while (happens(w, 2))
        write_record(w);
    w->subscribed = !happens(w, 10);
    w->queued = 0;
    if (w->subscribed)
        publish(w, (struct message){.kind = MESSAGE_BOOKMARK, .seq = w->head, .last = w->last});
}

static void answer_replay(struct world *w)
{
    w->replay_request = false;
    if (happens(w, 8) || w->chunk_next != 0)
        return;
    uint64_t to = w->replay_after + 1 + sample_below(&w->random, 10);
    if (to > w->head)
        to = w->head;
    struct watch_opened o = {EPOCH, w->incarnation, w->head, w->oldest, 0};
    watch_rule_replay_arrived(&w->rule);
    if (watch_rule_replay_taken(&w->rule, w->now, &o, w->replay_after, to)) {
        w->chunk_next = w->replay_after + 1;
        w->chunk_to = to;
    }
}

static void hand_out_chunk(struct world *w)
{
    if (!w->rule.chunk) { /* the rule has given it up */
        w->chunk_next = 0;
        return;
    }
    for (; w->chunk_next <= w->chunk_to; w->chunk_next++) {
        if (!w->matches[w->chunk_next])
            continue;
        enum watch_verdict verdict = watch_rule_replay_record(&w->rule, w->chunk_next);
        assert_int_not_equal(verdict, WATCH_BREAK);
        if (verdict == WATCH_DELIVER)
            deliver(w, w->chunk_next);
        if (happens(w, 5))
            return; /* the application takes its time */
    }
    w->chunk_next = 0;
    watch_rule_chunk_done(&w->rule, w->now);
}

static void read_stream(struct world *w)
{
    struct message m = w->queue[0];
    memmove(w->queue, w->queue + 1, --w->queued * sizeof m);
    if (m.kind == MESSAGE_GARBAGE) {
        watch_rule_garbled(&w->rule, w->now);
        return;
    }
    if (!watch_rule_heard(&w->rule, w->now, EPOCH, m.incarnation))
        return;
    if (m.kind == MESSAGE_BOOKMARK) {
        struct stream_bookmark b = {.head = m.seq, .last = m.last, .interval_ms = 1000};
        watch_rule_bookmark(&w->rule, w->now, &b);
    } else if (m.kind == MESSAGE_NOTICE) {
        watch_rule_notice(&w->rule, w->now, m.prev, m.seq);
    } else if (watch_rule_record(&w->rule, w->now, m.prev, m.seq) == WATCH_DELIVER) {
        deliver(w, m.seq);
    }
}

static void client_step(struct world *w)
{
    uint64_t after;
    uint64_t before = w->rule.position;
    bool positioned = w->rule.positioned;
    if (watch_rule_wants_open(&w->rule, w->now)) {
        watch_rule_asked_open(&w->rule, w->now);
        w->open_request = true;
        w->queued = 0;
        w->subscribed = false;
    }
    if (!w->rule.asked)
        w->replay_request = false;
    if (watch_rule_wants_replay(&w->rule, w->now, &after)) {
        watch_rule_asked_replay(&w->rule, w->now, after);
        w->replay_request = true;
        w->replay_after = after;
    }
    if (w->chunk_next != 0)
        hand_out_chunk(w);
    else if (w->rule.state == WATCH_LIVE && w->queued > 0)
        read_stream(w);
    else
        watch_rule_tick(&w->rule, w->now);
    int err = watch_rule_take_error(&w->rule);
    assert_true(err == ERR_OK || err == ERR_DISCONNECTED);
    assert_true(!positioned || w->rule.position >= before);
    assert_true(w->rule.position <= w->head);
}

static void step(struct world *w)
{
    w->now += (int64_t)sample_below(&w->random, w->lossy ? 200 : 20);
    if (w->open_request && sample_below(&w->random, 3) == 0)
        answer_open(w);
    if (w->replay_request && sample_below(&w->random, 3) == 0)
        answer_replay(w);
    client_step(w);
}

static void run_world(uint64_t seed, enum vigil_since since)
{
    static struct world w;
    memset(&w, 0, sizeof w);
    w.random.state = seed;
    w.lossy = true;
    w.up = true;
    w.oldest = 1;
    w.incarnation = 1;
    for (int i = 0; i < 20; i++)
        write_record(&w);
    watch_rule_init(&w.rule, since, (vigil_position){EPOCH, 10}, false, seed, 0);
    w.expected_after = since == VIGIL_SINCE_POSITION ? 10 : 0;
    for (int i = 0; i < 20000; i++) {
        server_step(&w);
        for (size_t n = sample_below(&w.random, 4); n > 0; n--)
            step(&w);
    }
    /* Nothing is lost any more and nothing new comes: it gets to the head, having handed out all.
     */
    w.lossy = false;
    int left = 20000;
    while (w.rule.position < w.head && left-- > 0) {
        if (w.stream && w.subscribed && w.queued == 0)
            publish(&w, (struct message){.kind = MESSAGE_BOOKMARK, .seq = w.head, .last = w.last});
        step(&w);
    }
    assert_int_equal(w.rule.position, w.head);
    for (uint64_t seq = w.expected_after + 1; seq <= w.head; seq++)
        assert_false(w.matches[seq]);
    assert_true(w.delivered > 100);
    assert_true(w.rule.gaps > 0);
}

static void nothing_is_missing_in_a_bad_world(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        run_world(seed * 7919, (enum vigil_since)(seed % 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_a_watch_begins),
        cmocka_unit_test(another_epoch_ends_it),
        cmocka_unit_test(failures_to_open),
        cmocka_unit_test(a_stream_that_cannot_be_subscribed_to),
        cmocka_unit_test(a_reply_that_nobody_waits_for),
        cmocka_unit_test(without_reconnecting_a_loss_is_the_end),
        cmocka_unit_test(records_by_the_rule),
        cmocka_unit_test(bookmarks_by_the_rule),
        cmocka_unit_test(notices_and_garbage_lead_to_a_replay),
        cmocka_unit_test(silence_is_noticed),
        cmocka_unit_test(another_incarnation_is_opened_again),
        cmocka_unit_test(a_replay_in_two_chunks),
        cmocka_unit_test(replies_that_do_not_fit_are_not_taken),
        cmocka_unit_test(a_lost_reply_is_asked_for_again),
        cmocka_unit_test(what_is_compacted_is_told),
        cmocka_unit_test(damage_is_tried_twice),
        cmocka_unit_test(nothing_is_missing_in_a_bad_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
