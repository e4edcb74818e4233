/* stream_message.c - what a stream carries: records, notices, bookmarks. */
#include "protocol/stream_message.h"

#include "protocol/errors.h"
#include "protocol/message.h"

enum { AT_COUNT = TOPIC_SIZE + 4 };

void stream_write_header(struct wire_buffer *b, const struct stream_header *h)
{
    wire_write_raw(b, h->topic, TOPIC_SIZE);
    wire_write_u8(b, PROTOCOL_MAGIC);
    wire_write_u8(b, PROTOCOL_VERSION);
    wire_write_u8(b, h->kind);
    wire_write_u8(b, 0);
    wire_write_u16(b, h->count);
    wire_write_u16(b, 0);
    wire_write_u64(b, h->epoch);
    wire_write_u64(b, h->incarnation);
}

void stream_set_count(struct wire_buffer *b, size_t start, uint16_t count)
{
    if (!b->failed)
        wire_store_u16(b->data + start + AT_COUNT, count);
}

void stream_write_notice(struct wire_buffer *b, uint64_t prev, uint64_t seq)
{
    wire_write_u64(b, prev);
    wire_write_u64(b, seq);
}

void stream_write_bookmark(struct wire_buffer *b, const struct stream_bookmark *m)
{
    wire_write_u64(b, m->head);
    wire_write_u64(b, m->last);
    wire_write_u64(b, m->oldest);
    wire_write_u32(b, m->interval_ms);
}

static bool count_fits_kind(uint8_t kind, uint16_t count)
{
    switch (kind) {
    case STREAM_RECORDS:
        return count > 0;
    case STREAM_NOTICE:
        return count == 1;
    case STREAM_BOOKMARK:
        return count == 0;
    default:
        return false;
    }
}

int stream_read_header(struct wire_reader *r, struct stream_header *ret_header)
{
    struct stream_header h;
    struct bytes topic = wire_read_raw(r, TOPIC_SIZE);
    uint8_t magic = wire_read_u8(r);
    uint8_t version = wire_read_u8(r);
    if (r->failed || magic != PROTOCOL_MAGIC)
        return ERR_MALFORMED;
    if (version != PROTOCOL_VERSION)
        return ERR_VERSION;
    memcpy(h.topic, topic.data, TOPIC_SIZE);
    h.kind = wire_read_u8(r);
    uint8_t reserved_1 = wire_read_u8(r);
    h.count = wire_read_u16(r);
    uint16_t reserved_2 = wire_read_u16(r);
    h.epoch = wire_read_u64(r);
    h.incarnation = wire_read_u64(r);
    if (r->failed || reserved_1 != 0 || reserved_2 != 0 || !count_fits_kind(h.kind, h.count))
        return ERR_MALFORMED;
    *ret_header = h;
    return ERR_OK;
}

int stream_read_entry(struct wire_reader *r, uint64_t *ret_prev, struct bytes *ret_record,
                      struct record_header *ret_header)
{
    struct record_header h;
    uint64_t prev = wire_read_u64(r);
    if (r->failed)
        return ERR_MALFORMED;
    int err = record_check((struct bytes){r->at, wire_left(r)}, &h);
    if (err)
        return err;
    if (prev >= h.seq)
        return ERR_MALFORMED;
    *ret_prev = prev;
    *ret_record = wire_read_raw(r, h.size);
    *ret_header = h;
    return ERR_OK;
}

int stream_read_notice(struct wire_reader *r, uint64_t *ret_prev, uint64_t *ret_seq)
{
    uint64_t prev = wire_read_u64(r);
    uint64_t seq = wire_read_u64(r);
    if (!wire_read_complete(r) || prev >= seq)
        return ERR_MALFORMED;
    *ret_prev = prev;
    *ret_seq = seq;
    return ERR_OK;
}

int stream_read_bookmark(struct wire_reader *r, struct stream_bookmark *ret_bookmark)
{
    struct stream_bookmark m;
    m.head = wire_read_u64(r);
    m.last = wire_read_u64(r);
    m.oldest = wire_read_u64(r);
    m.interval_ms = wire_read_u32(r);
    if (!wire_read_complete(r) || m.last > m.head)
        return ERR_MALFORMED;
    *ret_bookmark = m;
    return ERR_OK;
}
