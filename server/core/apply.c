/* apply.c - one request: to its op, and its reply; the ops that change nothing but what is asked. */
#define _POSIX_C_SOURCE 200809L
#include "server/core/core_state.h"

#include "protocol/key.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- what every op uses ---- */

int request_fail(struct request *q, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(q->text, sizeof q->text, format, arguments);
    va_end(arguments);
    return code;
}

int request_fail_at(struct request *q, int code, const char *part, unsigned number)
{
    char text[LIMIT_ERROR_TEXT + 1];
    (void)snprintf(text, sizeof text, "%s", q->text[0] != '\0' ? q->text : error_text(code));
    (void)snprintf(q->text, sizeof q->text, "%s %u: %.400s", part, number, text);
    return code;
}

size_t request_reply(struct core *core, const struct request *q, uint64_t seq)
{
    return reply_begin(&core->batch.replies,
                       &(struct reply_header){.op = q->header.op, .id = q->header.id, .seq = seq});
}

void request_reply_set_seq(struct core *core, const struct request *q, size_t begin, uint64_t seq)
{
    struct wire_buffer *replies = &core->batch.replies;
    size_t end = replies->size;
    if (replies->failed)
        return;
    replies->size = begin;
    (void)request_reply(core, q, seq);
    replies->size = end;
}

int request_reply_end(struct core *core, struct request *q, size_t begin)
{
    struct wire_buffer *replies = &core->batch.replies;
    if (replies->failed)
        return ERR_NO_MEMORY;
    if (q->is_numbered && replies->size - begin > REPLY_HEADER_SIZE + LIMIT_SESSION_RESULT)
        return request_fail(q, ERR_TOO_LARGE,
                            "the reply does not fit: within a session it may have %u bytes",
                            LIMIT_SESSION_RESULT);
    if (replies->size - begin > q->budget)
        return request_fail(q, ERR_TOO_LARGE,
                            "the reply of %zu bytes does not fit: a message's replies may have %u, "
                            "%zu are left for this one",
                            replies->size - begin, LIMIT_REPLY_SIZE, q->budget);
    message_part_end(replies, begin);
    return ERR_OK;
}

struct bytes request_reply_kept(const struct core *core, const struct request *q, size_t begin)
{
    const struct wire_buffer *replies = &core->batch.replies;
    size_t body = begin + REPLY_HEADER_SIZE;
    if (!q->is_numbered)
        return (struct bytes){NULL, 0};
    return (struct bytes){replies->data + body, replies->size - body};
}

int request_check_key(struct request *q, const char *what, struct bytes key)
{
    if (key_valid(key))
        return ERR_OK;
    if (key.size == 0)
        return request_fail(q, ERR_BAD_KEY, "%s is empty: a key has 1 to %d bytes", what,
                            LIMIT_KEY_SIZE);
    if (key.size > LIMIT_KEY_SIZE)
        return request_fail(q, ERR_BAD_KEY, "%s has %zu bytes: at most %d are allowed", what,
                            key.size, LIMIT_KEY_SIZE);
    if (memchr(key.data, 0, key.size))
        return request_fail(q, ERR_BAD_KEY, "%s contains a NUL byte", what);
    return request_fail(q, ERR_BAD_KEY, "%s is not valid UTF-8", what);
}

int request_check_value(const struct core *core, struct request *q, const char *what,
                        struct bytes value)
{
    if (value.size > core->limits.value_size_max)
        return request_fail(q, ERR_TOO_LARGE, "%s has %zu bytes: at most %u are allowed", what,
                            value.size, (unsigned)core->limits.value_size_max);
    if (value_valid(value))
        return ERR_OK;
    if (value.size == 0)
        return request_fail(q, ERR_BAD_VALUE, "%s is empty: not even the MessagePack nil", what);
    return request_fail(q, ERR_BAD_VALUE,
                        "%s of %zu bytes is not one well-formed MessagePack object of at most %d "
                        "levels, with strings in UTF-8",
                        what, value.size, LIMIT_VALUE_DEPTH);
}

/* ---- ops ---- */

static int apply_hello(struct core *core, struct request *q)
{
    struct request_hello body;
    if (!request_hello_read(&q->body, &body))
        return ERR_MALFORMED;
    if (body.protocol_min > PROTOCOL_VERSION || body.protocol_max < PROTOCOL_VERSION)
        return request_fail(q, ERR_VERSION,
                            "the client speaks protocol versions %u to %u, this server %d",
                            body.protocol_min, body.protocol_max, PROTOCOL_VERSION);
    struct wire_buffer *replies = &core->batch.replies;
    size_t begin = request_reply(core, q, core->batch.last_seq);
    struct reply_hello reply = {
        .protocol = PROTOCOL_VERSION,
        .window_messages = LIMIT_WINDOW_MESSAGES,
        .message_size_max = core->limits.message_size_max,
        .value_size_max = core->limits.value_size_max,
        .lease_ms = LEASE_MS,
        .time_us = core->batch.time_us,
        .server = {(const uint8_t *)core->server, strlen(core->server)},
        .stream_suffix = {(const uint8_t *)core->stream_suffix, strlen(core->stream_suffix)},
        .replay_suffix = {(const uint8_t *)core->replay_suffix, strlen(core->replay_suffix)},
    };
    reply_hello_write(replies, &reply); /* its last field, ports, is empty: */
    wire_write_u16(replies, (uint16_t)core->ports_count);
    for (size_t i = 0; i < core->ports_count; i++) {
        for (size_t j = 0; j < 3; j++)
            wire_write_u16(replies, core->ports[i][j]);
    }
    return request_reply_end(core, q, begin);
}

static int apply_ping(struct core *core, struct request *q)
{
    struct request_ping body;
    if (!request_ping_read(&q->body, &body))
        return ERR_MALFORMED;
    return request_reply_end(core, q, request_reply(core, q, core->batch.last_seq));
}

static int apply_status(struct core *core, struct request *q)
{
    struct request_status body;
    if (!request_status_read(&q->body, &body))
        return ERR_MALFORMED;
    struct wire_buffer *map = &core->status;
    wire_buffer_clear(map);
    if (!wire_extend(map, STATUS_SIZE_MAX))
        return ERR_NO_MEMORY;
    wire_buffer_clear(map); /* what fails now is too long */
    if (core->on_status)
        core->on_status(core->status_context, map);
    else
        wire_write_u8(map, 0x80); /* MessagePack: a map of nothing */
    if (map->failed)
        return request_fail(q, ERR_INTERNAL, "the status does not fit %d bytes", STATUS_SIZE_MAX);
    struct reply_status reply = {.map = {map->data, map->size}};
    size_t begin = request_reply(core, q, core->batch.last_seq);
    reply_status_write(&core->batch.replies, &reply);
    return request_reply_end(core, q, begin);
}

static int apply_compact(struct core *core, struct request *q)
{
    struct request_compact body;
    if (!request_compact_read(&q->body, &body))
        return ERR_MALFORMED;
    if (body.before > core->batch.last_seq)
        return request_fail(
            q, ERR_POSITION_AHEAD, "cannot compact before %llu: the journal's head is %llu",
            (unsigned long long)body.before, (unsigned long long)core->batch.last_seq);
    int err = compact_check_hold(core, q, body.before);
    if (err)
        return err;
    if (body.before > core->oldest && body.before > core->compact_target)
        core->compact_target = body.before;
    struct reply_compact reply = {.oldest = core->oldest};
    size_t begin = request_reply(core, q, core->batch.last_seq);
    reply_compact_write(&core->batch.replies, &reply);
    return request_reply_end(core, q, begin);
}

/* ---- dispatch ---- */

struct op_entry {
    request_op_apply *apply;
    uint8_t flags; /* that the op knows */
};

static const struct op_entry ops[] = {
    [OP_HELLO] = {apply_hello, 0},
    [OP_PING] = {apply_ping, 0},
    [OP_STATUS] = {apply_status, 0},
    [OP_PUT] = {apply_put, REQUEST_IF_SEQ | REQUEST_IF_VALUE},
    [OP_DELETE] = {apply_delete, REQUEST_IF_SEQ | REQUEST_IF_VALUE},
    [OP_INCR] = {apply_incr, 0},
    [OP_TXN] = {apply_txn, REQUEST_ATOMIC},
    [OP_GET] = {apply_get, 0},
    [OP_GET_MANY] = {apply_get_many, 0},
    [OP_STREAM_OPEN] = {apply_stream_open, 0},
    [OP_STREAM_RENEW] = {apply_stream_renew, 0},
    [OP_STREAM_CLOSE] = {apply_stream_close, 0},
    [OP_COMPACT] = {apply_compact, 0},
    [OP_SESSION_OPEN] = {apply_session_open, 0},
    [OP_SESSION_CLOSE] = {apply_session_close, 0},
    [OP_CURSOR_OPEN] = {apply_cursor_open, REQUEST_CURSOR_AS_STORED},
    [OP_CURSOR_MOVE] = {apply_cursor_move, 0},
    [OP_CURSOR_DELETE] = {apply_cursor_delete, 0},
    [OP_CURSOR_LIST] = {apply_cursor_list, 0},
    [OP_TURN] = {apply_turn, 0},
    [OP_CALL] = {apply_call, REQUEST_CALL_CHECK},
    [OP_LEASE_OPEN] = {apply_lease_open, 0},
    [OP_LEASE_RENEW] = {apply_lease_renew, 0},
    [OP_LEASE_CLOSE] = {apply_lease_close, 0},
};

static int dispatch(struct core *core, struct request *q)
{
    uint8_t op = q->header.op;
    const char *name = request_op_name(op);
    if (name && request_op_is_replay(op))
        return request_fail(q, ERR_UNKNOWN_OP, "'%s' is served by the replay socket, not here",
                            name);
    if (!name || op >= sizeof ops / sizeof ops[0] || !ops[op].apply)
        return request_fail(q, ERR_UNKNOWN_OP, "unknown operation %u", op);
    if ((q->header.flags & ~ops[op].flags) != 0)
        return request_fail(q, ERR_MALFORMED, "malformed request: '%s' has no flag 0x%02x", name,
                            (unsigned)(q->header.flags & ~ops[op].flags));
    int err = ops[op].apply(core, q);
    if (err == ERR_MALFORMED && q->text[0] == '\0')
        (void)request_fail(q, err, "malformed request: the body of '%s' is cut off or too long",
                           name);
    return err;
}

int core_apply(struct core *core, struct request *q, uint16_t *ret_status)
{
    struct wire_buffer *replies = &core->batch.replies;
    size_t begin = replies->size;
    q->text[0] = '\0';
    q->long_text = NULL;
    q->error_seq = 0;
    q->looked_at = 0;
    q->appended = 0;
    int err = dispatch(core, q);
    if (err == ERR_NO_MEMORY)
        return err;
    *ret_status = (uint16_t)err;
    if (err == ERR_OK)
        return ERR_OK;
    replies->size = begin;
    const char *text = q->text[0] != '\0' ? q->text : NULL;
    reply_write_error(replies, q->header.op, q->header.id, *ret_status, q->error_seq,
                      q->long_text ? q->long_text : text);
    return replies->failed ? ERR_NO_MEMORY : ERR_OK;
}
