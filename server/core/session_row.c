/*
 * session_row.c - a session as a row of the journal. Layout, little-endian:
 *
 *    0 u64 last  8 u64 acknowledged  16 u64 stopped_at  24 u32 count
 *   28 count outcomes, by rising number:
 *       0 u64 number  8 u64 seq  16 u16 status  18 u8 op  19 u8 0
 *      20 bytes32 body
 */
#include "server/core/session.h"

#include "protocol/errors.h"
#include "protocol/limits.h"
#include "protocol/message.h"

enum { AT_COUNT = 24 };

static void write_outcome(struct wire_buffer *row, const struct outcome *o)
{
    wire_write_u64(row, o->number);
    wire_write_u64(row, o->seq);
    wire_write_u16(row, o->status);
    wire_write_u8(row, o->op);
    wire_write_u8(row, 0);
    wire_write_bytes32(row, outcome_body(o));
}

void session_row_encode(const struct session *s, struct wire_buffer *row)
{
    size_t begin = row->size;
    uint32_t count = 0;
    wire_write_u64(row, s->last);
    wire_write_u64(row, s->acknowledged);
    wire_write_u64(row, s->stopped_at);
    wire_write_u32(row, 0);
    for (uint64_t i = 1; i <= LIMIT_SESSION_WINDOW && count < s->outcomes.count; i++) {
        const struct outcome *o = outcomes_find(&s->outcomes, s->acknowledged + i);
        if (!o)
            continue;
        write_outcome(row, o);
        count++;
    }
    if (!row->failed)
        wire_store_u32(row->data + begin + AT_COUNT, count);
}

static int read_outcome(struct session_table *t, struct session *s, struct wire_reader *r)
{
    struct outcome o = {0};
    o.number = wire_read_u64(r);
    o.seq = wire_read_u64(r);
    o.status = wire_read_u16(r);
    o.op = wire_read_u8(r);
    uint8_t reserved = wire_read_u8(r);
    struct bytes body = wire_read_bytes32(r);
    if (r->failed || reserved != 0 || !request_op_is_mutation(o.op) || o.number <= s->last ||
        o.number - s->acknowledged > LIMIT_SESSION_WINDOW || body.size > LIMIT_SESSION_RESULT)
        return ERR_CORRUPT;
    return session_take(t, s, &o, body);
}

int session_row_decode(struct session_table *t, struct session *s, struct bytes row)
{
    struct wire_reader r = wire_reader_of(row.data, row.size);
    uint64_t last = wire_read_u64(&r);
    s->acknowledged = wire_read_u64(&r);
    uint64_t stopped_at = wire_read_u64(&r);
    uint32_t count = wire_read_u32(&r);
    if (r.failed || s->acknowledged > last || stopped_at > last || count > LIMIT_SESSION_WINDOW ||
        (stopped_at != 0 && stopped_at <= s->acknowledged))
        return ERR_CORRUPT;
    s->last = s->acknowledged;
    for (uint32_t i = 0; i < count; i++) {
        int err = read_outcome(t, s, &r);
        if (err)
            return err;
    }
    if (!wire_read_complete(&r) || s->last > last)
        return ERR_CORRUPT;
    s->last = last;
    s->stopped_at = stopped_at;
    return ERR_OK;
}
