/*
 * watch_next.c - handing out what a watch has: records of replays and of the live stream,
 * bookmarks.
 */
#include "client/watch_drive.h"

#include <inttypes.h>
#include <stdlib.h>

#include "client/clock.h"
#include "client/watch_cursor.h"

enum { STEP_EVERY = 64 /* records handed out between two looks at the connection */ };

enum handing { HANDED_OUT, HANDED_NOTHING, HANDED_LATER, HANDED_ERROR };

/* ---- events ---- */

static void set_event(struct vigil_watch *w, enum vigil_event_kind kind)
{
    w->event.kind = kind;
    w->event.position = (vigil_position){w->rule.epoch, w->rule.position};
    w->event.head = w->rule.head;
    w->event.oldest = w->rule.oldest;
}

static enum handing hand_out_whole(struct vigil_watch *w)
{
    watch_rule_delivered(&w->rule, w->event.record.seq);
    if (w->cursor)
        cursor_rule_handed(&w->cursor->rule, w->event.record.seq);
    set_event(w, VIGIL_EVENT_RECORD);
    w->handed_out++;
    w->replayed += w->chunk.held;
    return HANDED_OUT;
}

/* A record that waits for its previous values has not been handed out: the position stays before
 * it, and if its message has to be dropped, a replay brings it again. */
static enum handing hand_out_before(struct vigil_watch *w, enum before_state state, int err)
{
    if (state == BEFORE_ASKING)
        return HANDED_LATER;
    if (state == BEFORE_DONE) {
        before_handed_out(w->before);
        return hand_out_whole(w);
    }
    watch_rule_record_failed(&w->rule, w->connection->now_ms, err);
    return err == ERR_NO_MEMORY ? HANDED_ERROR : HANDED_NOTHING;
}

static enum handing hand_out_asked(struct vigil_watch *w)
{
    int err = ERR_OK;
    enum before_state state = before_drive(w->before, &err);
    return hand_out_before(w, state, err);
}

static enum handing hand_out_record(struct vigil_watch *w, const uint8_t *record,
                                    const struct record_header *header)
{
    int err = ERR_OK;
    if (record_reader_read(&w->reader, w->rule.epoch, record, header, &w->event.record) != ERR_OK) {
        /* It has not been handed out, so the replay after the reopening brings it again. */
        watch_rule_stream_gone(&w->rule, w->connection->now_ms);
        connection_fail(w->connection, ERR_NO_MEMORY, NULL);
        return HANDED_ERROR;
    }
    if (!w->before)
        return hand_out_whole(w);
    enum before_state state =
        before_begin(w->before, &w->event.record, w->reader.changes, w->rule.oldest, &err);
    return hand_out_before(w, state, err);
}

static enum handing hand_out_bookmark(struct vigil_watch *w)
{
    if (!w->bookmarks)
        return HANDED_NOTHING;
    set_event(w, VIGIL_EVENT_BOOKMARK);
    return HANDED_OUT;
}

/* ---- a replay's records ---- */

static enum handing hand_out_chunk(struct vigil_watch *w)
{
    struct held_message *m = &w->chunk;
    while (m->left > 0) {
        struct record_header header;
        int err = record_check((struct bytes){m->reader.at, wire_left(&m->reader)}, &header);
        enum watch_verdict verdict =
            err ? WATCH_BREAK : watch_rule_replay_record(&w->rule, header.seq);
        if (verdict == WATCH_BREAK) {
            watch_drop_chunk(w);
            watch_rule_chunk_bad(&w->rule, w->connection->now_ms, err ? err : ERR_CORRUPT);
            return HANDED_NOTHING;
        }
        const uint8_t *record = m->reader.at;
        m->reader.at += header.size;
        m->left--;
        if (verdict == WATCH_DELIVER)
            return hand_out_record(w, record, &header);
    }
    watch_drop_chunk(w);
    bool moved = watch_rule_chunk_done(&w->rule, w->connection->now_ms);
    return moved ? hand_out_bookmark(w) : HANDED_NOTHING;
}

/* ---- the live stream ---- */

static bool receive_live(struct vigil_watch *w)
{
    struct held_message *m = &w->live;
    if (!subscription_receive(&w->subscription, &w->live_bytes, w->connection->now_ms))
        return false;
    m->held = true;
    m->left = 0;
    m->reader = wire_reader_of(w->live_bytes.data, w->live_bytes.size);
    return true;
}

static void drop_live(struct vigil_watch *w)
{
    w->live = (struct held_message){.held = false};
}

/* Reads the message's head; a bookmark or a notice is dealt with at once. */
static enum handing start_live(struct vigil_watch *w)
{
    struct held_message *m = &w->live;
    struct watch_rule *rule = &w->rule;
    int64_t now = w->connection->now_ms;
    struct stream_header header;
    struct stream_bookmark bookmark;
    uint64_t prev;
    uint64_t seq;
    if (stream_read_header(&m->reader, &header) != ERR_OK) {
        watch_rule_garbled(rule, now);
    } else if (memcmp(header.topic, w->topic, TOPIC_SIZE) != 0 ||
               !watch_rule_heard(rule, now, header.epoch, header.incarnation)) {
        ; /* not of this stream */
    } else if (header.kind == STREAM_RECORDS) {
        m->left = header.count;
        return HANDED_NOTHING;
    } else if (header.kind == STREAM_NOTICE) {
        if (stream_read_notice(&m->reader, &prev, &seq) == ERR_OK)
            watch_rule_notice(rule, now, prev, seq);
        else
            watch_rule_garbled(rule, now);
    } else if (stream_read_bookmark(&m->reader, &bookmark) == ERR_OK) {
        enum watch_verdict verdict = watch_rule_bookmark(rule, now, &bookmark);
        drop_live(w);
        return verdict == WATCH_BREAK ? HANDED_NOTHING : hand_out_bookmark(w);
    } else {
        watch_rule_garbled(rule, now);
    }
    drop_live(w);
    return HANDED_NOTHING;
}

static enum handing hand_out_live(struct vigil_watch *w)
{
    struct held_message *m = &w->live;
    int64_t now = w->connection->now_ms;
    while (m->left > 0) {
        uint64_t prev;
        struct bytes record;
        struct record_header header;
        enum watch_verdict verdict = WATCH_BREAK;
        if (stream_read_entry(&m->reader, &prev, &record, &header) == ERR_OK)
            verdict = watch_rule_record(&w->rule, now, prev, header.seq);
        else
            watch_rule_garbled(&w->rule, now);
        if (verdict == WATCH_BREAK)
            break;
        m->left--;
        if (verdict == WATCH_DELIVER)
            return hand_out_record(w, record.data, &header);
    }
    drop_live(w);
    return HANDED_NOTHING;
}

/* The next thing that is there, if any. Returns HANDED_NOTHING or HANDED_LATER only when waiting is
 * what is left. */
static enum handing hand_out(struct vigil_watch *w)
{
    for (;;) {
        enum handing handing = HANDED_NOTHING;
        watch_drive(w);
        if (watch_is_asking_before(w))
            handing = hand_out_asked(w);
        else if (w->chunk.held)
            handing = hand_out_chunk(w);
        else if (w->rule.state != WATCH_LIVE)
            return HANDED_NOTHING;
        else if (w->live.held)
            handing = hand_out_live(w);
        else if (receive_live(w))
            handing = start_live(w);
        else
            return HANDED_NOTHING;
        if (handing != HANDED_NOTHING)
            return handing;
    }
}

/* ---- the public side ---- */

int watch_fail(struct vigil_watch *w, int error)
{
    const struct watch_rule *rule = &w->rule;
    struct vigil *v = w->connection;
    if (w->cursor && error)
        return watch_cursor_fail(w->cursor, error);
    switch (error) {
    case ERR_OK:
        return ERR_OK;
    case ERR_COMPACTED:
        return connection_fail(v, error,
                               "position %" PRIu64 " is no longer whole: the journal has %" PRIu64
                               " to %" PRIu64,
                               rule->position, rule->oldest, rule->head);
    case ERR_EPOCH_CHANGED:
        return connection_fail(
            v, error, "the position is of epoch %016" PRIx64 ", the server has epoch %016" PRIx64,
            rule->epoch, rule->server_epoch);
    case ERR_POSITION_AHEAD:
        return connection_fail(v, error,
                               "position %" PRIu64 " is beyond the newest record, %" PRIu64,
                               rule->position, rule->head);
    default:
        /* What the connection says about it is more to the point. */
        return v->failure.code == error ? error : connection_fail(v, error, NULL);
    }
}

static int time_out(struct vigil_watch *w)
{
    struct vigil *v = w->connection;
    if (w->descriptor) {
        subscription_watch(&w->subscription, watch_reads_stream(w));
        int64_t due = watch_due_ms(w);
        int most = connection_due_ms(v);
        descriptor_arm(w->descriptor, deadline_left_ms(due, v->now_ms, most));
    }
    return connection_fail(v, ERR_TIMEOUT, NULL);
}

int vigil_watch_next(vigil_watch *w, int timeout_ms, const vigil_event **ret_event)
{
    struct vigil *v = w->connection;
    int64_t deadline = DEADLINE_NEVER;
    bool waited = false;
    bool last = false;
    if (w->before)
        before_absorb(w->before);
    if (w->handed_out % STEP_EVERY == 0)
        connection_step(v);
    for (;;) {
        enum handing handing = hand_out(w);
        if (handing == HANDED_OUT) {
            *ret_event = &w->event;
            return ERR_OK;
        }
        if (handing == HANDED_ERROR)
            return v->failure.code;
        if (waited && handing != HANDED_LATER)
            watch_rule_tick(&w->rule, v->now_ms);
        int err = watch_rule_take_error(&w->rule);
        if (err)
            return watch_fail(w, err);
        if (last)
            return time_out(w);
        if (!waited) {
            deadline = deadline_after(timeout_ms);
            descriptor_clear(w->descriptor);
            waited = true;
        }
        int64_t now = clock_now_ms();
        int most = deadline_left_ms(watch_due_ms(w), v->now_ms, 1000);
        const struct pollfd stream = subscription_wanted(&w->subscription, watch_reads_stream(w));
        err = connection_wait(v, &stream, deadline_left_ms(deadline, now, most));
        if (err)
            return connection_fail(v, err, NULL);
        connection_step(v);
        last = timeout_ms == 0 || clock_now_ms() >= deadline;
    }
}

bool vigil_watch_connected(const vigil_watch *w)
{
    return w->rule.state != WATCH_ENDED && !w->rule.down;
}

void vigil_watch_position(const vigil_watch *w, vigil_position *ret_position)
{
    *ret_position = (vigil_position){w->rule.epoch, w->rule.position};
}

void vigil_watch_bounds(const vigil_watch *w, uint64_t *ret_epoch, uint64_t *ret_head,
                        uint64_t *ret_oldest)
{
    if (ret_epoch)
        *ret_epoch = w->rule.server_epoch;
    if (ret_head)
        *ret_head = w->rule.head;
    if (ret_oldest)
        *ret_oldest = w->rule.oldest;
}

void vigil_watch_get_figures(const vigil_watch *w, vigil_watch_figures *ret_figures)
{
    *ret_figures = (vigil_watch_figures){.records = w->handed_out,
                                         .replayed = w->replayed,
                                         .gaps = w->rule.gaps,
                                         .reopened = w->rule.reopened,
                                         .lookups = w->before ? before_asked(w->before) : 0};
}

int vigil_watch_fd(vigil_watch *w)
{
    if (!w->descriptor) {
        struct descriptor *d = malloc(sizeof *d);
        if (!d || connection_add_descriptor(w->connection, d) != ERR_OK) {
            free(d);
            return -1;
        }
        w->descriptor = d;
        w->replay.descriptor = d;
        if (w->before)
            before_set_descriptor(w->before, d);
        w->subscription.watcher = d;
    }
    return w->descriptor->epoll;
}
