/*
 * cursors.c - the requests that open named cursors, move, delete and list them.
 *
 * 1. Only the holder of the newest opening moves a cursor.
 * 2. A cursor never moves back, and never beyond head.
 */
#include "server/core/core_state.h"

#include <stdio.h>

enum {
    FILTER_TEXT_MAX = 256,
    REPLY_FIXED_MAX = REPLY_HEADER_SIZE + 32, /* of a reply without its filter, or its rows */
    HOLDER_RANDOM_BITS = 48
};

static unsigned long long printed(uint64_t n)
{
    return n;
}

/* For "%.*s": names are text without NUL. */
#define NAME(bytes) (int)(bytes).size, (const char *)(bytes).data

static int check_name(struct request *q, struct bytes name)
{
    if (name.size > LIMIT_CURSOR_NAME)
        return request_fail(q, ERR_BAD_KEY,
                            "the cursor's name has %zu bytes: at most %d are allowed", name.size,
                            LIMIT_CURSOR_NAME);
    return request_check_key(q, "the cursor's name", name);
}

/* The cursor that the request is about, or NULL with *ret_error. */
static struct cursor *find_cursor(const struct core *core, struct request *q, struct bytes name,
                                  int *ret_error)
{
    *ret_error = check_name(q, name);
    if (*ret_error)
        return NULL;
    struct cursor *c = cursor_find(&core->cursors, name);
    if (!c)
        *ret_error = request_fail(q, ERR_NOT_FOUND, "no such cursor: %.*s", NAME(name));
    return c;
}

static int fail_ahead(const struct core *core, struct request *q, uint64_t position)
{
    return request_fail(q, ERR_POSITION_AHEAD, "position %llu is beyond the journal's head, %llu",
                        printed(position), printed(core->batch.last_seq));
}

static int fail_epoch(const struct core *core, struct request *q, uint64_t epoch)
{
    return request_fail(q, ERR_EPOCH_CHANGED,
                        "the position is of epoch %016llx, the journal's is %016llx",
                        printed(epoch), printed(core->epoch));
}

/* ---- open ---- */

/* As many of the patterns as there is room for. */
static void describe_filter(struct bytes filter, char text[FILTER_TEXT_MAX])
{
    struct wire_reader r = wire_reader_of(filter.data, filter.size);
    uint16_t count = wire_read_u16(&r);
    size_t used = 0;
    text[0] = '\0';
    for (uint16_t i = 0; i < count; i++) {
        uint8_t kind = wire_read_u8(&r);
        struct bytes pattern = wire_read_bytes16(&r);
        if (used + pattern.size + 32 > FILTER_TEXT_MAX) {
            (void)snprintf(text + used, FILTER_TEXT_MAX - used, "%s%u more",
                           used > 0 ? " and " : "", (unsigned)(count - i));
            return;
        }
        used += (size_t)snprintf(text + used, FILTER_TEXT_MAX - used, "%s%s '%.*s'",
                                 used > 0 ? ", " : "", kind == PATTERN_EXACT ? "key" : "prefix",
                                 NAME(pattern));
    }
}

static int fail_filter(struct request *q, const struct cursor *c)
{
    char text[FILTER_TEXT_MAX];
    describe_filter(c->filter, text);
    return request_fail(q, ERR_CONFLICT,
                        "cursor %.*s has another filter (%s): delete it before it is made with "
                        "this one",
                        NAME(c->name), text);
}

/* Drawn anew for each cursor: whoever held a deleted one of the same name cannot move this one. */
static uint64_t first_holder(struct core *core)
{
    uint64_t random;
    core->source.random(core->source.context, (uint8_t *)&random, sizeof random);
    return random >> (64 - HOLDER_RANDOM_BITS);
}

static int make_cursor(struct core *core, struct request *q, const struct request_cursor_open *body,
                       struct cursor **ret_cursor)
{
    struct cursor_table *t = &core->cursors;
    struct batch *b = &core->batch;
    uint64_t position = body->position == UINT64_MAX ? b->last_seq : body->position;
    if (body->epoch != 0 && body->epoch != core->epoch)
        return fail_epoch(core, q, body->epoch);
    if (position > b->last_seq)
        return fail_ahead(core, q, position);
    if (t->count >= core->limits.cursors_max)
        return request_fail(q, ERR_LIMIT,
                            "there are %zu cursors, as many as there may be: delete one", t->count);
    struct cursor *c;
    if (cursor_add(t, body->name, stream_table_last_filter(&core->streams), &c))
        return ERR_NO_MEMORY;
    c->epoch = core->epoch;
    c->position = position;
    c->holder = first_holder(core);
    c->created_us = b->time_us;
    c->moved_us = b->time_us;
    cursor_make_in_batch(t, c, b->number);
    *ret_cursor = c;
    return ERR_OK;
}

/* The filter that is asked for goes into the stream table's last one. */
static int read_filter(struct core *core, struct request *q, struct bytes filter)
{
    struct wire_reader r = wire_reader_of(filter.data, filter.size);
    if ((q->header.flags & REQUEST_CURSOR_AS_STORED) != 0)
        return filter.size == 0 ? ERR_OK : ERR_MALFORMED;
    return stream_table_read_filter(&core->streams, &r);
}

int apply_cursor_open(struct core *core, struct request *q)
{
    struct request_cursor_open body;
    bool as_stored = (q->header.flags & REQUEST_CURSOR_AS_STORED) != 0;
    if (!request_cursor_open_read(&q->body, &body))
        return ERR_MALFORMED;
    int err;
    struct cursor *c = find_cursor(core, q, body.name, &err);
    if (!c && (err != ERR_NOT_FOUND || as_stored))
        return err;
    q->text[0] = '\0';
    err = read_filter(core, q, body.filter);
    if (err)
        return err;
    if (c && !as_stored && !bytes_equal(c->filter, stream_table_last_filter(&core->streams)))
        return fail_filter(q, c);
    bool is_new = c == NULL;
    struct bytes filter = is_new ? stream_table_last_filter(&core->streams) : c->filter;
    if (q->budget < REPLY_FIXED_MAX + filter.size)
        return request_fail(q, ERR_TOO_LARGE, "the reply does not fit: ask for fewer at once");
    if (is_new) {
        err = make_cursor(core, q, &body, &c);
        if (err)
            return err;
    }
    cursor_touch(&core->cursors, c, core->batch.number);
    c->holder++;
    struct reply_cursor_open reply = {.is_new = is_new,
                                      .holder = c->holder,
                                      .epoch = c->epoch,
                                      .position = c->position,
                                      .filter = c->filter};
    size_t begin = request_reply(core, q, core->batch.last_seq);
    reply_cursor_open_write(&core->batch.replies, &reply);
    return request_reply_end(core, q, begin);
}

/* ---- move, delete ---- */

int apply_cursor_move(struct core *core, struct request *q)
{
    struct request_cursor_move body;
    if (!request_cursor_move_read(&q->body, &body))
        return ERR_MALFORMED;
    int err;
    struct cursor *c = find_cursor(core, q, body.name, &err);
    if (!c)
        return err;
    if (body.holder != c->holder)
        return request_fail(q, ERR_CURSOR_TAKEN,
                            "another watcher has opened cursor %.*s since: its holder is %llu, not "
                            "%llu",
                            NAME(c->name), printed(c->holder), printed(body.holder));
    if (body.epoch != core->epoch || body.epoch != c->epoch)
        return fail_epoch(core, q, body.epoch != core->epoch ? body.epoch : c->epoch);
    if (body.position > core->batch.last_seq)
        return fail_ahead(core, q, body.position);
    cursor_touch(&core->cursors, c, core->batch.number);
    if (body.position > c->position)
        c->position = body.position;
    c->moved_us = core->batch.time_us;
    struct reply_cursor_move reply = {.position = c->position};
    size_t begin = request_reply(core, q, core->batch.last_seq);
    reply_cursor_move_write(&core->batch.replies, &reply);
    return request_reply_end(core, q, begin);
}

int apply_cursor_delete(struct core *core, struct request *q)
{
    struct request_cursor_delete body;
    if (!request_cursor_delete_read(&q->body, &body))
        return ERR_MALFORMED;
    int err;
    struct cursor *c = find_cursor(core, q, body.name, &err);
    if (!c)
        return err;
    cursor_delete_in_batch(&core->cursors, c, core->batch.number);
    return request_reply_end(core, q, request_reply(core, q, core->batch.last_seq));
}

/* ---- list ---- */

static void write_row(struct wire_buffer *rows, const struct cursor *c)
{
    cursor_row_write(rows, &(struct cursor_row){.name = c->name,
                                                .epoch = c->epoch,
                                                .position = c->position,
                                                .holder = c->holder,
                                                .created_us = c->created_us,
                                                .moved_us = c->moved_us,
                                                .filter = c->filter});
}

int apply_cursor_list(struct core *core, struct request *q)
{
    struct request_cursor_list body;
    const struct cursor_table *t = &core->cursors;
    struct wire_buffer *rows = &core->cursor_rows;
    if (!request_cursor_list_read(&q->body, &body))
        return ERR_MALFORMED;
    size_t bytes_max = q->budget - REPLY_FIXED_MAX; /* a budget is no less than REPLY_RESERVE */
    if (bytes_max > CURSOR_LIST_BYTES)
        bytes_max = CURSOR_LIST_BYTES;
    size_t first = cursor_first_after(t, body.after);
    size_t next = first;
    wire_buffer_clear(rows);
    for (; next < t->count && rows->size < bytes_max; next++) {
        size_t size = rows->size;
        write_row(rows, t->sorted[next]);
        if (rows->failed)
            return ERR_NO_MEMORY;
        if (next > first && rows->size > bytes_max) {
            rows->size = size;
            break;
        }
    }
    struct reply_cursor_list reply = {.time_us = core->batch.time_us,
                                      .more = next < t->count,
                                      .count = (uint32_t)(next - first),
                                      .rows = {rows->data, rows->size}};
    size_t begin = request_reply(core, q, core->batch.last_seq);
    reply_cursor_list_write(&core->batch.replies, &reply);
    return request_reply_end(core, q, begin);
}
