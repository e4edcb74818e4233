/* watch.c - opening, driving and closing a watch. Handing out is in watch_next.c. */
#define _POSIX_C_SOURCE 200809L
#include "client/watch.h"

#include <stdlib.h>

#include "client/arguments.h"
#include "client/clock.h"
#include "client/lease.h"
#include "client/watch_cursor.h"
#include "client/watch_drive.h"

enum { REPLAY_CHUNK_BYTES = 512 * 1024, REPLAY_LATER_MS = 20, SUBSCRIBE_MS = 1000 };

/* ---- what is held ---- */

void watch_drop_chunk(struct vigil_watch *w)
{
    if (w->chunk.held)
        zmq_msg_close(&w->chunk_message);
    w->chunk = (struct held_message){.held = false};
}

/* A record in one that waits for its previous values comes again. */
static void cancel_before(struct vigil_watch *w, const struct held_message *m)
{
    if (m->held && w->before)
        before_cancel(w->before);
}

/* ---- the stream ---- */

static void close_stream(struct vigil_watch *w)
{
    cancel_before(w, &w->live);
    w->live = (struct held_message){.held = false};
    w->has_topic = false;
    w->must_subscribe = false;
    subscription_close(&w->subscription);
}

static int subscribe(struct vigil_watch *w)
{
    struct vigil *v = w->connection;
    char endpoint[ENDPOINT_SIZE];
    int err = subscription_open(&w->subscription, &v->stream_endpoint, w->topic, v->now_ms);
    if (err == ERR_OK)
        return ERR_OK;
    endpoint_format(&v->stream_endpoint, endpoint);
    return connection_fail(v, err, "cannot subscribe at %s: %s", endpoint, error_text(err));
}

/* ---- opening ---- */

static void on_opened(void *context, const struct reply *reply)
{
    struct vigil_watch *w = context;
    struct vigil *v = w->connection;
    struct reply_stream_open body;
    struct wire_reader reader = reply->body;
    descriptor_signal(w->descriptor);
    if (reply->error) {
        struct reply_error e;
        if (reply->frame && reply_error_read(&reader, &e))
            connection_fail(v, reply->error, "%.*s", (int)e.text.size, (const char *)e.text.data);
        watch_rule_open_failed(&w->rule, v->now_ms, reply->error);
        return;
    }
    if (!reply_stream_open_read(&reader, &body) || body.topic.size != TOPIC_SIZE) {
        watch_rule_open_failed(&w->rule, v->now_ms, ERR_MALFORMED);
        return;
    }
    memcpy(w->topic, body.topic.data, TOPIC_SIZE);
    w->has_topic = true;
    w->must_subscribe = true;
    watch_rule_opened(&w->rule, v->now_ms,
                      &(struct watch_opened){.epoch = reply->message->epoch,
                                             .incarnation = reply->message->incarnation,
                                             .head = reply->message->head,
                                             .oldest = reply->message->oldest,
                                             .interval_ms = body.interval_ms});
}

static void ask_open(struct vigil_watch *w)
{
    struct vigil *v = w->connection;
    struct wire_buffer *b;
    watch_rule_asked_open(&w->rule, v->now_ms);
    int err = connection_request_begin(v, OP_STREAM_OPEN, 0, arguments_filter_size(w->filter), &b);
    if (err == ERR_OK) {
        filter_write(b, w->filter);
        err = connection_request_end(v, on_opened, w, NULL);
    }
    if (err)
        watch_rule_open_failed(&w->rule, v->now_ms, err);
    connection_send(v);
}

/* ---- replay ---- */

static void ask_replay(struct vigil_watch *w, uint64_t after)
{
    struct vigil *v = w->connection;
    size_t place;
    struct request_replay request = {.epoch = w->rule.epoch,
                                     .after = after,
                                     .until = UINT64_MAX,
                                     .bytes_max = REPLAY_CHUNK_BYTES};
    replay_call_reset(v, &w->replay);
    struct wire_buffer *b = replay_call_begin(v, OP_REPLAY, 0, &place);
    request_replay_write(b, &request);
    filter_write(b, w->filter);
    if (replay_call_end(v, &w->replay, place) == ERR_OK)
        watch_rule_asked_replay(&w->rule, v->now_ms, after);
    else
        watch_rule_replay_later(&w->rule, v->now_ms, REPLAY_LATER_MS);
}

static void take_replay(struct vigil_watch *w)
{
    struct vigil *v = w->connection;
    struct replay_call *call = &w->replay;
    struct watch_opened opened = {.epoch = call->message.epoch,
                                  .incarnation = call->message.incarnation,
                                  .head = call->message.head,
                                  .oldest = call->message.oldest};
    struct reply_replay body;
    struct wire_reader reader = call->body;
    int err = call->error;
    if (err == ERR_OK && (call->header.op != OP_REPLAY || !reply_replay_read(&reader, &body)))
        err = ERR_CORRUPT;
    if (call->error == ERR_CORRUPT)
        replay_call_explain(v, call); /* which record it is, for the watch's end */
    if (err) {
        watch_rule_replay_failed(&w->rule, v->now_ms, err,
                                 err == ERR_DISCONNECTED ? NULL : &opened);
    } else if (watch_rule_replay_taken(&w->rule, v->now_ms, &opened, body.from, body.to)) {
        /* A small message lives inside of zmq_msg_t: what points into it moves along. */
        ptrdiff_t at = body.records.data - (const uint8_t *)zmq_msg_data(&call->frame);
        w->chunk.held = true;
        w->chunk.left = body.count;
        zmq_msg_init(&w->chunk_message);
        zmq_msg_move(&w->chunk_message, &call->frame);
        w->chunk.reader = wire_reader_of((const uint8_t *)zmq_msg_data(&w->chunk_message) + at,
                                         body.records.size);
    }
    replay_call_reset(v, call);
}

static void drive_replay(struct vigil_watch *w)
{
    struct vigil *v = w->connection;
    struct watch_rule *rule = &w->rule;
    uint64_t after;
    if (w->chunk.held && !rule->chunk) {
        cancel_before(w, &w->chunk);
        watch_drop_chunk(w);
    }
    if (!rule->asked && w->replay.state != REPLAY_IDLE)
        replay_call_reset(v, &w->replay); /* it answers nothing that is asked now */
    if (replay_call_is_waiting(&w->replay))
        watch_rule_replay_due(rule, replay_call_due_ms(v, &w->replay, WATCH_REPLAY_MS));
    if (w->replay.state == REPLAY_ARRIVED) {
        watch_rule_replay_arrived(rule);
        if (!w->chunk.held)
            take_replay(w);
    }
    if (watch_rule_wants_replay(rule, v->now_ms, &after))
        ask_replay(w, after);
}

void watch_drive(struct vigil_watch *w)
{
    struct vigil *v = w->connection;
    if (w->rule.state == WATCH_CLOSED || w->rule.state == WATCH_ENDED) {
        close_stream(w);
        if (v->state == CHANNEL_READY && watch_rule_wants_open(&w->rule, v->now_ms))
            ask_open(w);
    }
    if (w->must_subscribe && (w->rule.state == WATCH_LIVE || w->rule.state == WATCH_REPLAYING)) {
        w->must_subscribe = false;
        lease_started(v);
        int err = subscribe(w);
        if (err)
            watch_rule_not_subscribed(&w->rule, v->now_ms, err);
    }
    subscription_drive(&w->subscription, v->now_ms);
    if (w->rule.state == WATCH_REPLAYING || w->replay.state != REPLAY_IDLE || w->chunk.held)
        drive_replay(w);
    if (w->cursor)
        watch_cursor_drive(w->cursor);
}

static int64_t rule_due_ms(const struct vigil_watch *w)
{
    /* What waits for the connection is not due before that is ready. */
    if (w->rule.state == WATCH_CLOSED && w->connection->state != CHANNEL_READY)
        return INT64_MAX;
    if (watch_is_asking_before(w))
        return before_due_ms(w->before);
    return watch_rule_due_ms(&w->rule);
}

int64_t watch_due_ms(const struct vigil_watch *w)
{
    int64_t due = rule_due_ms(w);
    int64_t subscription_due = subscription_due_ms(&w->subscription);
    int64_t cursor_due = w->cursor ? watch_cursor_due_ms(w->cursor) : INT64_MAX;
    due = due < subscription_due ? due : subscription_due;
    return due < cursor_due ? due : cursor_due;
}

void watch_on_lost(struct vigil_watch *w)
{
    pending_abandon(&w->connection->pending, w);
    watch_rule_lost(&w->rule, w->connection->now_ms);
}

void watch_topic_gone(struct vigil *v, const uint8_t topic[TOPIC_SIZE])
{
    for (struct vigil_watch *w = v->watches; w; w = w->next) {
        if (w->has_topic && memcmp(w->topic, topic, TOPIC_SIZE) == 0) {
            watch_rule_stream_gone(&w->rule, v->now_ms);
            descriptor_signal(w->descriptor);
        }
    }
}

/* ---- opening and closing ---- */

/* A subscription that is under way is waited for, so that what changes next need not be replayed; one
 * that takes long or fails is left to be tried again. */
static bool is_open(const struct vigil_watch *w)
{
    if (w->rule.state != WATCH_LIVE && w->rule.state != WATCH_REPLAYING)
        return false;
    return w->subscription.state != SUBSCRIPTION_CONNECTING ||
           w->connection->now_ms - w->rule.opened_ms >= SUBSCRIBE_MS;
}

/* A server that is not there may come within the time; any other failure is the caller's to judge.
 */
static int wait_until_open(struct vigil_watch *w, int timeout_ms)
{
    struct vigil *v = w->connection;
    int64_t deadline = deadline_after(timeout_ms);
    for (;;) {
        connection_step(v);
        watch_drive(w);
        if (is_open(w))
            return ERR_OK;
        watch_rule_tick(&w->rule, v->now_ms);
        int err = watch_rule_take_error(&w->rule);
        if (err && err != ERR_DISCONNECTED)
            return watch_fail(w, err);
        int64_t now = clock_now_ms();
        if (now >= deadline) {
            bool full_time = v->request_timeout_ms >= 0 && timeout_ms >= v->request_timeout_ms;
            bool is_slow = v->state == CHANNEL_READY && !full_time;
            return connection_fail(v, is_slow ? ERR_TIMEOUT : ERR_DISCONNECTED,
                                   "%s: the stream could not be opened within %d ms",
                                   v->endpoint_text, timeout_ms);
        }
        int most = deadline_left_ms(watch_due_ms(w), v->now_ms, 1000);
        const struct pollfd stream = subscription_wanted(&w->subscription, false);
        connection_wait(v, &stream, deadline_left_ms(deadline, now, most));
    }
}

int watch_open(struct vigil *v, struct filter *filter, struct watch_cursor *cursor,
               const vigil_watch_options *options, int open_timeout_ms,
               struct vigil_watch **ret_watch)
{
    struct vigil_watch *w = calloc(1, sizeof *w);
    if (!w) {
        free(filter);
        free(cursor);
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    }
    w->connection = v;
    w->filter = filter;
    w->bookmarks = options->bookmarks;
    if (options->before && before_new(v, options->before_memory_bytes, &w->before) != ERR_OK) {
        free(filter);
        free(cursor);
        free(w);
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    }
    const uint64_t seed = (uint64_t)clock_now_ms() ^ (uint64_t)(uintptr_t)w;
    wire_buffer_init(&w->live_bytes, SIZE_MAX / 2);
    subscription_init(&w->subscription, seed);
    watch_rule_init(&w->rule, options->since, options->position, false, seed, v->now_ms);
    if (cursor) {
        w->cursor = cursor;
        w->rule.epoch = cursor->epoch;
        cursor->watch = w;
    }
    w->next = v->watches;
    v->watches = w;
    int err = wait_until_open(w, open_timeout_ms);
    if (err) {
        vigil_watch_close(w);
        return err;
    }
    w->rule.no_reconnect = options->no_reconnect;
    *ret_watch = w;
    return ERR_OK;
}

void watch_restart(struct vigil_watch *w, const vigil_watch_options *options)
{
    struct vigil *v = w->connection;
    pending_abandon(&v->pending, w);
    replay_call_reset(v, &w->replay);
    close_stream(w);
    watch_drop_chunk(w);
    if (w->before)
        before_reset(w->before);
    watch_rule_init(&w->rule, options->since, options->position, options->no_reconnect,
                    w->rule.random, v->now_ms);
    descriptor_signal(w->descriptor);
}

int vigil_watch_open(vigil *v, const vigil_watch_options *options, vigil_watch **ret_watch)
{
    const vigil_watch_options defaults = VIGIL_WATCH_OPTIONS_INIT;
    struct filter *filter = NULL;
    if (!options)
        options = &defaults;
    if (!ret_watch || options->since > VIGIL_SINCE_POSITION)
        return connection_fail(v, ERR_INVALID, NULL);
    vigil_watch_options begin = *options;
    struct watch_cursor *cursor = NULL;
    int err = arguments_filter(v, options->patterns, options->pattern_count, &filter);
    if (err)
        return err;
    if (begin.cursor)
        err = watch_cursor_open(v, &begin, filter, &cursor);
    if (err) {
        free(filter);
        return err;
    }
    return watch_open(v, filter, cursor, &begin, v->request_timeout_ms, ret_watch);
}

static void ignore_reply(void *context, const struct reply *reply)
{
    (void)context;
    (void)reply;
}

static bool is_shared(const struct vigil_watch *w)
{
    for (const struct vigil_watch *other = w->connection->watches; other; other = other->next) {
        if (other != w && other->has_topic && memcmp(other->topic, w->topic, TOPIC_SIZE) == 0)
            return true;
    }
    return false;
}

/* A lease would end by itself; this is for the server's tables. */
static void tell_server(struct vigil_watch *w)
{
    struct vigil *v = w->connection;
    struct wire_buffer *b;
    if (!w->has_topic || v->state != CHANNEL_READY || is_shared(w))
        return;
    if (connection_request_begin(v, OP_STREAM_CLOSE, 0, TOPIC_SIZE, &b) != ERR_OK)
        return;
    wire_write_raw(b, w->topic, TOPIC_SIZE);
    connection_request_end(v, ignore_reply, NULL, NULL);
    connection_send(v);
}

void vigil_watch_close(vigil_watch *w)
{
    if (!w)
        return;
    struct vigil *v = w->connection;
    watch_cursor_close(w->cursor, v);
    w->cursor = NULL;
    tell_server(w);
    pending_abandon(&v->pending, w);
    replay_call_reset(v, &w->replay);
    close_stream(w);
    subscription_free(&w->subscription);
    wire_buffer_free(&w->live_bytes);
    watch_drop_chunk(w);
    before_free(w->before);
    for (struct vigil_watch **link = &v->watches; *link; link = &(*link)->next) {
        if (*link == w) {
            *link = w->next;
            break;
        }
    }
    if (w->descriptor) {
        connection_remove_descriptor(v, w->descriptor);
        descriptor_close(w->descriptor);
        free(w->descriptor);
    }
    record_reader_free(&w->reader);
    free(w->filter);
    free(w);
}
