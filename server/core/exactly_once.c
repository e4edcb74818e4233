/*
 * exactly_once.c - sessions as requests see them: opening, closing, and the
 * rule by which a numbered mutation takes effect once (docs/protocol.md,
 * "Sessions").
 *
 *   number   .. acknowledged]  .. last]    last + 1   further, within the window
 *            OUTCOME_UNKNOWN   the kept    applied,   ABORTED: send again
 *                              reply       kept
 *
 * 1. A number is taken together with the mutation's effect, in the same batch,
 *    or not at all.
 * 2. A refusal that does not take the number names the one that would be taken
 *    in its reply's seq, which is 0 where the number was taken.
 */
#include "server/core/core_state.h"

enum { ID_TRIES = 16 };

static unsigned long long printed(uint64_t n)
{
    return n;
}

/* ---- opening and closing ---- */

int apply_session_open(struct core *core, struct request *q)
{
    struct request_session_open body;
    struct session_table *t = &core->sessions;
    uint64_t id = 0;
    struct session *s;
    if (!request_session_open_read(&q->body, &body))
        return ERR_MALFORMED;
    if (session_table_count(t) >= core->limits.sessions_max || t->gone >= core->limits.sessions_max)
        return request_fail(q, ERR_LIMIT, "there are %u sessions already",
                            (unsigned)core->limits.sessions_max);
    for (unsigned i = 0; i < ID_TRIES && (id == 0 || session_find(t, id)); i++)
        core->source.random(core->source.context, (uint8_t *)&id, sizeof id);
    if (id == 0 || session_find(t, id))
        return request_fail(q, ERR_INTERNAL, "no random number is free for the session");
    if (session_add(t, id, core->now_ms, &s))
        return ERR_NO_MEMORY;
    session_touch(t, s, core->batch.number);
    session_open_in_batch(t, s);
    size_t begin = request_reply(core, q, core->batch.last_seq);
    struct reply_session_open reply = {.session = id,
                                       .window = LIMIT_SESSION_WINDOW,
                                       .idle_s = (uint32_t)(core->limits.session_idle_ms / 1000)};
    reply_session_open_write(&core->batch.replies, &reply);
    return request_reply_end(core, q, begin);
}

int apply_session_close(struct core *core, struct request *q)
{
    struct request_session_close body;
    if (!request_session_close_read(&q->body, &body))
        return ERR_MALFORMED;
    struct session *s = session_find(&core->sessions, body.session);
    if (s) {
        session_touch(&core->sessions, s, core->batch.number);
        session_close_in_batch(&core->sessions, s);
    }
    return request_reply_end(core, q, request_reply(core, q, core->batch.last_seq));
}

/* ---- a message ---- */

void exactly_once_begin(struct core *core, struct request *q,
                        const struct request_message_header *h)
{
    q->message_flags = h->flags;
    q->message_session = h->session;
    q->session = h->session != 0 ? session_find(&core->sessions, h->session) : NULL;
    q->is_numbered = false;
    if (!q->session)
        return;
    session_use(&core->sessions, q->session, core->now_ms);
    session_acknowledge(&core->sessions, q->session, h->acknowledged);
}

/* ---- a mutation ---- */

static int refuse(struct core *core, struct request *q, int code, uint64_t seq,
                  uint16_t *ret_status)
{
    struct wire_buffer *replies = &core->batch.replies;
    *ret_status = (uint16_t)code;
    reply_write_error(replies, q->header.op, q->header.id, *ret_status, seq, q->text);
    return replies->failed ? ERR_NO_MEMORY : ERR_OK;
}

/* The reply that was kept, or why there is none. */
static int repeat(struct core *core, struct request *q, uint16_t *ret_status)
{
    struct wire_buffer *replies = &core->batch.replies;
    const struct session *s = q->session;
    uint64_t number = q->header.number;
    const struct outcome *o = outcomes_find(&s->outcomes, number);
    int err;
    if (!o) {
        err = request_fail(q, ERR_OUTCOME_UNKNOWN,
                           "request %llu had no effect, but what its reply said is not known any "
                           "more, after a restart",
                           printed(number));
        return refuse(core, q, err, 0, ret_status);
    }
    struct bytes body = outcome_body(o);
    if (o->op != q->header.op) {
        err = request_fail(q, ERR_INVALID, "request %llu of this session was another one: '%s'",
                           printed(number), request_op_name(o->op));
        return refuse(core, q, err, s->last + 1, ret_status);
    }
    if (REPLY_HEADER_SIZE + body.size > q->budget) {
        err = request_fail(q, ERR_TOO_LARGE,
                           "the reply that was kept does not fit this message's any more: ask for "
                           "fewer at once");
        return refuse(core, q, err, s->last + 1, ret_status);
    }
    *ret_status = o->status;
    size_t begin = reply_begin(
        replies, &(struct reply_header){
                     .op = o->op, .status = o->status, .id = q->header.id, .seq = o->seq});
    wire_write_raw(replies, body.data, body.size);
    message_part_end(replies, begin);
    return replies->failed ? ERR_NO_MEMORY : ERR_OK;
}

/* ERR_OK: the number is the next one, and there is room for its reply. */
static int check_next(const struct core *core, struct request *q)
{
    const struct session_table *t = &core->sessions;
    const struct session *s = q->session;
    uint64_t number = q->header.number;
    bool is_large = q->header.op == OP_TXN || q->header.op == OP_CALL;
    uint64_t body_max = is_large ? LIMIT_SESSION_RESULT : LIMIT_ERROR_TEXT + 2;
    if (number - s->acknowledged > LIMIT_SESSION_WINDOW)
        return request_fail(q, ERR_LIMIT,
                            "request %llu is more than %d after %llu, the last one acknowledged",
                            printed(number), LIMIT_SESSION_WINDOW, printed(s->acknowledged));
    if (number != s->last + 1)
        return request_fail(q, ERR_ABORTED,
                            "not tried, because request %llu of the session is missing before it",
                            printed(s->last + 1));
    if (s->outcomes.bytes + body_max > LIMIT_SESSION_BYTES)
        return request_fail(q, ERR_LIMIT,
                            "%llu bytes of replies are kept for this session: acknowledge some",
                            printed(s->outcomes.bytes));
    if (t->outcomes >= LIMIT_SESSION_OUTCOMES || t->bytes + body_max > LIMIT_SESSIONS_BYTES)
        return request_fail(q, ERR_BUSY, "too many replies are kept for sessions");
    return q->header.op == OP_CALL ? call_check_time(core, q) : ERR_OK;
}

/* Takes the number, with the reply at begin. */
static int take(struct core *core, struct request *q, size_t begin)
{
    const struct wire_buffer *replies = &core->batch.replies;
    struct wire_reader r = wire_reader_of(replies->data + begin, replies->size - begin);
    struct wire_reader body;
    struct reply_header h;
    if (reply_read(&r, &h, &body))
        return ERR_NO_MEMORY; /* it was not written: there is no other reason */
    struct outcome kept = {
        .number = q->header.number, .seq = h.seq, .status = h.status, .op = h.op};
    return session_take(&core->sessions, q->session, &kept,
                        (struct bytes){body.at, wire_left(&body)});
}

/* The next number of its session. */
static int apply_next(struct core *core, struct request *q, bool abort_it, uint16_t *ret_status)
{
    struct session *s = q->session;
    size_t begin = core->batch.replies.size;
    bool stops = (q->message_flags & MESSAGE_STOP_ON_ERROR) != 0;
    int err;
    session_touch(&core->sessions, s, core->batch.number);
    if (stops && (abort_it || s->stopped_at != 0)) {
        err = request_fail(q, ERR_ABORTED, "%s", error_text(ERR_ABORTED));
        err = refuse(core, q, err, 0, ret_status);
    } else {
        q->is_numbered = true;
        err = core_apply(core, q, ret_status);
        q->is_numbered = false;
    }
    if (!err)
        err = take(core, q, begin);
    if (!err && stops && *ret_status != ERR_OK && s->stopped_at == 0)
        s->stopped_at = q->header.number;
    return err;
}

int exactly_once_apply(struct core *core, struct request *q, bool abort_it, uint16_t *ret_status)
{
    const struct session *s = q->session;
    uint64_t number = q->header.number;
    q->text[0] = '\0';
    if (!s || s->is_closing) {
        int err = request_fail(q, ERR_OUTCOME_UNKNOWN,
                               "the session is not known here: it has expired or was closed");
        return refuse(core, q, err, 0, ret_status);
    }
    if (number <= s->acknowledged) {
        int err = request_fail(q, ERR_OUTCOME_UNKNOWN,
                               "the outcome of request %llu is not known any more: requests up to "
                               "%llu were acknowledged",
                               printed(number), printed(s->acknowledged));
        return refuse(core, q, err, 0, ret_status);
    }
    if (number <= s->last)
        return repeat(core, q, ret_status);
    int err = check_next(core, q);
    if (err)
        return refuse(core, q, err, s->last + 1, ret_status);
    return apply_next(core, q, abort_it, ret_status);
}

/* ---- start ---- */

int exactly_once_restore(struct core *core, const struct record_header *h, const uint8_t *record)
{
    if (h->session == 0 || (h->flags & RECORD_FLAG_RESULT) == 0)
        return ERR_OK;
    struct session *s = session_find(&core->sessions, h->session);
    if (!s)
        return ERR_OK; /* it was closed since, or has expired */
    struct outcome kept = {.number = h->number, .seq = h->seq, .op = h->request_op};
    return session_restore(&core->sessions, s, &kept, record_result(record));
}
