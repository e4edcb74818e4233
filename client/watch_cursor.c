/* watch_cursor.c - the named cursor of a watch; see watch_cursor.h. */
#include "client/watch_cursor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/arguments.h"
#include "client/clock.h"
#include "client/read.h"

enum { OPEN_TRIES = 3, BUSY_RETRY_MS = 20 };

/* ---- opening ---- */

/* Where a cursor begins that is not there yet. */
static int beginning(struct vigil *v, const vigil_watch_options *options, vigil_position *ret_start)
{
    *ret_start = (vigil_position){.epoch = 0, .seq = UINT64_MAX};
    if (options->since == VIGIL_SINCE_POSITION)
        *ret_start = options->position;
    if (options->since != VIGIL_SINCE_OLDEST)
        return ERR_OK;
    int err = read_head(v, v->request_timeout_ms);
    ret_start->seq = v->oldest > 0 ? v->oldest - 1 : 0;
    return err;
}

/* filter NULL: the cursor's own. */
static int ask_open(struct vigil *v, struct bytes name, vigil_position start,
                    const struct filter *filter, struct call *call)
{
    struct request_cursor_open body = {.epoch = start.epoch, .position = start.seq, .name = name};
    struct wire_buffer *b;
    size_t filter_size = filter ? arguments_filter_size(filter) : 0;
    int err = connection_request_begin(v, OP_CURSOR_OPEN, filter ? 0 : REQUEST_CURSOR_AS_STORED,
                                       18 + name.size + filter_size, &b);
    if (err)
        return err;
    request_cursor_open_write(b, &body);
    if (filter)
        filter_write(b, filter);
    return connection_call(v, call, v->request_timeout_ms);
}

/* Without patterns the cursor's own count; between two requests somebody may make or delete it. */
static int open_at_server(struct vigil *v, const vigil_watch_options *options, struct bytes name,
                          const struct filter *filter, struct call *call)
{
    vigil_position start;
    bool as_stored = options->pattern_count == 0;
    int err = beginning(v, options, &start);
    for (int i = 0; i < OPEN_TRIES && err == ERR_OK; i++) {
        err = ask_open(v, name, start, as_stored ? NULL : filter, call);
        bool again =
            as_stored ? err == ERR_NOT_FOUND : err == ERR_CONFLICT && options->pattern_count == 0;
        if (!again)
            break;
        as_stored = !as_stored;
        err = i + 1 < OPEN_TRIES ? ERR_OK : err;
    }
    if (err == ERR_CONFLICT)
        return connection_fail(v, err,
                               "cursor %s has other patterns: give none to go on with its own, or "
                               "delete it (vigil cursors --delete %s)",
                               options->cursor, options->cursor);
    return err;
}

static int take_opened(struct vigil *v, struct call *call, vigil_watch_options *options,
                       struct filter *filter, struct watch_cursor *c)
{
    struct reply_cursor_open body;
    if (!reply_cursor_open_read(&call->reply.body, &body))
        return connection_malformed(v);
    struct wire_reader r = wire_reader_of(body.filter.data, body.filter.size);
    if (filter_read(&r, filter) != ERR_OK || !wire_read_complete(&r))
        return connection_malformed(v);
    c->holder = body.holder;
    c->epoch = body.epoch;
    cursor_rule_init(&c->rule, body.position, v->now_ms);
    /* A new one that begins at the oldest record may pass over what is discarded just now. */
    if (!body.is_new || options->since != VIGIL_SINCE_OLDEST)
        options->since = VIGIL_SINCE_POSITION;
    options->position = (vigil_position){body.epoch, body.position};
    return ERR_OK;
}

int watch_cursor_open(struct vigil *v, vigil_watch_options *options, struct filter *filter,
                      struct watch_cursor **ret_cursor)
{
    struct call call;
    struct bytes name;
    int err = arguments_cursor_name(v, options->cursor, &name);
    if (err)
        return err;
    struct watch_cursor *c = calloc(1, sizeof *c);
    if (!c)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    memcpy(c->name, name.data, name.size);
    err = open_at_server(v, options, name, filter, &call);
    if (err == ERR_OK)
        err = take_opened(v, &call, options, filter, c);
    if (err)
        free(c);
    else
        *ret_cursor = c;
    return err;
}

/* ---- moving ---- */

static void on_moved(void *context, const struct reply *reply)
{
    struct watch_cursor *c = context;
    struct vigil_watch *w = c->watch;
    struct reply_cursor_move body;
    struct wire_reader reader = reply->body;
    int err = reply->error;
    if (err == ERR_OK && !reply_cursor_move_read(&reader, &body))
        err = ERR_MALFORMED;
    if (err == ERR_OK)
        cursor_rule_moved(&c->rule);
    else
        cursor_rule_failed(&c->rule, w->connection->now_ms, err, !watch_rule_is_passing(err));
    if (c->rule.error)
        watch_rule_end(&w->rule, c->rule.error);
    descriptor_signal(w->descriptor);
}

static void ignore_reply(void *context, const struct reply *reply)
{
    (void)context;
    (void)reply;
}

static int send_move(struct vigil *v, struct watch_cursor *c, uint64_t position,
                     reply_handler *handler)
{
    struct request_cursor_move body = {.holder = c->holder,
                                       .epoch = c->epoch,
                                       .position = position,
                                       .name = {(const uint8_t *)c->name, strlen(c->name)}};
    struct wire_buffer *b;
    int err = connection_request_begin(v, OP_CURSOR_MOVE, 0, 26 + body.name.size, &b);
    if (err)
        return err;
    request_cursor_move_write(b, &body);
    return connection_request_end(v, handler, c, NULL);
}

void watch_cursor_drive(struct watch_cursor *c)
{
    struct vigil_watch *w = c->watch;
    struct vigil *v = w->connection;
    uint64_t position;
    cursor_rule_passed(&c->rule, w->rule.position);
    if (v->state != CHANNEL_READY || !cursor_rule_wants_move(&c->rule, v->now_ms, &position))
        return;
    int err = send_move(v, c, position, on_moved);
    if (err) {
        cursor_rule_failed(&c->rule, v->now_ms, err, false);
        return;
    }
    cursor_rule_sent(&c->rule, position, v->now_ms);
    connection_send(v);
}

int64_t watch_cursor_due_ms(const struct watch_cursor *c)
{
    /* What waits for the connection is not due before that is ready. */
    bool is_ready = c->watch->connection->state == CHANNEL_READY;
    return is_ready ? cursor_rule_due_ms(&c->rule) : INT64_MAX;
}

void watch_cursor_close(struct watch_cursor *c, struct vigil *v)
{
    if (!c)
        return;
    const struct cursor_rule *rule = &c->rule;
    if (!rule->error && rule->said > rule->moved && rule->said > rule->under_way &&
        v->state == CHANNEL_READY && send_move(v, c, rule->said, ignore_reply) == ERR_OK)
        connection_send(v);
    pending_abandon(&v->pending, c);
    free(c);
}

/* ---- acknowledging ---- */

/* The time is over. It goes on being sent. */
static int not_acknowledged(struct watch_cursor *c, int timeout_ms)
{
    struct vigil *v = c->watch->connection;
    if (v->state != CHANNEL_READY)
        return connection_fail(v, ERR_DISCONNECTED, "%s: no server is there", v->endpoint_text);
    if (c->rule.trouble && c->rule.trouble != ERR_DISCONNECTED)
        return connection_fail(v, c->rule.trouble, "cursor %s could not be moved: %s", c->name,
                               error_text(c->rule.trouble));
    return connection_fail(v, ERR_TIMEOUT, "no answer within %d ms", timeout_ms);
}

static int acknowledge(struct vigil_watch *w, uint64_t seq, int timeout_ms)
{
    struct vigil *v = w->connection;
    struct watch_cursor *c = w->cursor;
    int64_t deadline = deadline_after(timeout_ms);
    bool last = timeout_ms == 0;
    if (!c)
        return connection_fail(v, ERR_INVALID, "this watch has no cursor");
    cursor_rule_passed(&c->rule, w->rule.position);
    cursor_rule_say(&c->rule, seq);
    uint64_t wanted = c->rule.said;
    for (;;) {
        watch_cursor_drive(c);
        if (c->rule.error)
            return watch_cursor_fail(c, c->rule.error);
        if (timeout_ms == 0 || c->rule.moved >= wanted)
            return ERR_OK;
        if (last)
            return not_acknowledged(c, timeout_ms);
        int most = deadline_left_ms(watch_cursor_due_ms(c), v->now_ms, 1000);
        int err = connection_wait(v, NULL, deadline_left_ms(deadline, clock_now_ms(), most));
        if (err)
            return connection_fail(v, err, NULL);
        connection_step(v);
        last = clock_now_ms() >= deadline;
    }
}

int vigil_watch_acknowledge(vigil_watch *w, int timeout_ms)
{
    return acknowledge(w, UINT64_MAX, timeout_ms);
}

int vigil_watch_acknowledge_to(vigil_watch *w, uint64_t seq, int timeout_ms)
{
    return acknowledge(w, seq, timeout_ms);
}

int watch_cursor_fail(struct watch_cursor *c, int error)
{
    const struct watch_rule *rule = &c->watch->rule;
    struct vigil *v = c->watch->connection;
    switch (error) {
    case ERR_CURSOR_TAKEN:
        return connection_fail(v, error,
                               "cursor %s has been opened by another watcher, which goes on after "
                               "what this one has acknowledged",
                               c->name);
    case ERR_NOT_FOUND:
        return connection_fail(v, error, "cursor %s has been deleted", c->name);
    case ERR_COMPACTED:
        return connection_fail(v, error,
                               "cursor %s stands at %" PRIu64
                               ", and what comes after that is no longer whole: the journal has "
                               "%" PRIu64 " to %" PRIu64 "; delete it (vigil cursors --delete %s) "
                               "and begin anew, with what there still is or from the present state",
                               c->name, rule->position, rule->oldest, rule->head, c->name);
    case ERR_EPOCH_CHANGED:
        return connection_fail(v, error,
                               "cursor %s is of epoch %016" PRIx64
                               ", the server's journal of epoch %016" PRIx64
                               "; delete it (vigil cursors --delete %s) and begin anew",
                               c->name, c->epoch, rule->server_epoch, c->name);
    case ERR_POSITION_AHEAD:
        return connection_fail(v, error,
                               "cursor %s stands at %" PRIu64 ", beyond the newest record, %" PRIu64
                               "; delete it (vigil cursors --delete %s) and begin anew",
                               c->name, rule->position, rule->head, c->name);
    default:
        return v->failure.code == error ? error : connection_fail(v, error, NULL);
    }
}
