/* message.c - encoders and decoders, made from the lists in message.h. */
#define _POSIX_C_SOURCE 200809L
#include "protocol/message.h"

const char *request_op_name(uint8_t op)
{
    switch (op) {
#define OP_NAME(number, NAME, name) \
    case number:                    \
        return #name;
        REQUEST_OP_LIST(OP_NAME)
#undef OP_NAME
    default:
        return NULL;
    }
}

/* ---- bodies ---- */

#define WRITE_nothing(name)
#define WRITE_u8(name) wire_write_u8(b, body->name);
#define WRITE_u16(name) wire_write_u16(b, body->name);
#define WRITE_u32(name) wire_write_u32(b, body->name);
#define WRITE_u64(name) wire_write_u64(b, body->name);
#define WRITE_i64(name) wire_write_u64(b, (uint64_t)body->name);
#define WRITE_bytes16(name) wire_write_bytes16(b, body->name);
#define WRITE_bytes32(name) wire_write_bytes32(b, body->name);
#define WRITE_rest(name) wire_write_raw(b, body->name.data, body->name.size);
#define WRITE(kind, name) WRITE_##kind(name)

#define READ_nothing(name)
#define READ_u8(name) body.name = wire_read_u8(r);
#define READ_u16(name) body.name = wire_read_u16(r);
#define READ_u32(name) body.name = wire_read_u32(r);
#define READ_u64(name) body.name = wire_read_u64(r);
#define READ_i64(name) body.name = (int64_t)wire_read_u64(r);
#define READ_bytes16(name) body.name = wire_read_bytes16(r);
#define READ_bytes32(name) body.name = wire_read_bytes32(r);
#define READ_rest(name) body.name = wire_read_raw(r, wire_left(r));
#define READ(kind, name) READ_##kind(name)

#define DEFINE(name, FIELDS)                                            \
    void name##_write(struct wire_buffer *b, const struct name *body)   \
    {                                                                   \
        (void)b;                                                        \
        (void)body;                                                     \
        FIELDS(WRITE)                                                   \
    }                                                                   \
    bool name##_read_next(struct wire_reader *r, struct name *ret_body) \
    {                                                                   \
        struct name body = {0};                                         \
        FIELDS(READ)                                                    \
        if (r->failed)                                                  \
            return false;                                               \
        *ret_body = body;                                               \
        return true;                                                    \
    }                                                                   \
    bool name##_read(struct wire_reader *r, struct name *ret_body)      \
    {                                                                   \
        struct name body;                                               \
        if (!name##_read_next(r, &body) || !wire_read_complete(r))      \
            return false;                                               \
        *ret_body = body;                                               \
        return true;                                                    \
    }
MESSAGE_BODY_LIST(DEFINE)
#undef DEFINE

/* ---- envelopes ---- */

/* Magic, version, count, flags: the same in both directions. */
static void store_message_start(uint8_t *p, uint16_t count, uint32_t flags)
{
    p[0] = PROTOCOL_MAGIC;
    p[1] = PROTOCOL_VERSION;
    wire_store_u16(p + 2, count);
    wire_store_u32(p + 4, flags);
}

void request_message_begin(struct wire_buffer *b, const struct request_message_header *h)
{
    uint8_t *p = wire_extend(b, REQUEST_MESSAGE_HEADER_SIZE);
    if (p) {
        store_message_start(p, h->count, h->flags);
        wire_store_u64(p + 8, h->session);
    }
    if ((h->flags & MESSAGE_ACKNOWLEDGES) != 0)
        wire_write_u64(b, h->acknowledged);
}

size_t request_begin(struct wire_buffer *b, const struct request_header *h)
{
    size_t begin = b->size;
    uint8_t *p = wire_extend(b, REQUEST_HEADER_SIZE);
    if (p) {
        wire_store_u32(p, 0);
        p[4] = h->op;
        p[5] = h->flags;
        wire_store_u16(p + 6, 0);
        wire_store_u64(p + 8, h->id);
        wire_store_u64(p + 16, h->number);
    }
    return begin;
}

void reply_message_begin(struct wire_buffer *b, const struct reply_message_header *h)
{
    uint8_t *p = wire_extend(b, REPLY_MESSAGE_HEADER_SIZE);
    if (p) {
        store_message_start(p, h->count, 0);
        wire_store_u64(p + 8, h->epoch);
        wire_store_u64(p + 16, h->incarnation);
        wire_store_u64(p + 24, h->head);
        wire_store_u64(p + 32, h->oldest);
    }
}

size_t reply_begin(struct wire_buffer *b, const struct reply_header *h)
{
    size_t begin = b->size;
    uint8_t *p = wire_extend(b, REPLY_HEADER_SIZE);
    if (p) {
        wire_store_u32(p, 0);
        p[4] = h->op;
        p[5] = 0;
        wire_store_u16(p + 6, h->status);
        wire_store_u64(p + 8, h->id);
        wire_store_u64(p + 16, h->seq);
    }
    return begin;
}

void message_part_end(struct wire_buffer *b, size_t begin)
{
    if (!b->failed)
        wire_store_u32(b->data + begin, (uint32_t)(b->size - begin));
}

void message_set_count(struct wire_buffer *b, size_t start, uint16_t count)
{
    if (!b->failed)
        wire_store_u16(b->data + start + 2, count);
}

void reply_write_error(struct wire_buffer *b, uint8_t op, uint64_t id, uint16_t status,
                       uint64_t seq, const char *text)
{
    if (!text)
        text = error_text(status);
    size_t size = strnlen(text, status == ERR_SCRIPT ? LIMIT_SCRIPT_ERROR_TEXT : LIMIT_ERROR_TEXT);
    size_t begin =
        reply_begin(b, &(struct reply_header){.op = op, .status = status, .id = id, .seq = seq});
    wire_write_bytes16(b, (struct bytes){(const uint8_t *)text, size});
    message_part_end(b, begin);
}

/* Magic, version, count: the same in both directions. */
static int read_message_start(struct wire_reader *r, size_t header_size, size_t part_size,
                              uint16_t *ret_count)
{
    if (wire_left(r) < header_size || r->at[0] != PROTOCOL_MAGIC)
        return ERR_MALFORMED;
    if (r->at[1] != PROTOCOL_VERSION)
        return ERR_VERSION;
    uint16_t count = wire_load_u16(r->at + 2);
    if (count == 0 || count > LIMIT_MESSAGE_REQUESTS ||
        count > (wire_left(r) - header_size) / part_size)
        return ERR_MALFORMED;
    r->at += 4;
    *ret_count = count;
    return ERR_OK;
}

int request_message_read(struct wire_reader *r, struct request_message_header *ret_header)
{
    struct request_message_header h;
    int err = read_message_start(r, REQUEST_MESSAGE_HEADER_SIZE, REQUEST_HEADER_SIZE, &h.count);
    if (err)
        return err;
    h.flags = wire_read_u32(r);
    h.session = wire_read_u64(r);
    if (h.flags & ~(uint32_t)(MESSAGE_STOP_ON_ERROR | MESSAGE_ACKNOWLEDGES))
        return ERR_MALFORMED;
    h.acknowledged = (h.flags & MESSAGE_ACKNOWLEDGES) != 0 ? wire_read_u64(r) : 0;
    if (r->failed)
        return ERR_MALFORMED;
    *ret_header = h;
    return ERR_OK;
}

/* The u32 size that opens a part, as a reader over the rest of the part. */
static bool read_part(struct wire_reader *r, size_t header_size, struct wire_reader *ret_part)
{
    uint32_t size = wire_read_u32(r);
    if (r->failed || size < header_size || size - 4 > wire_left(r))
        return false;
    *ret_part = wire_reader_of(r->at, size - 4);
    r->at += size - 4;
    return true;
}

int request_read(struct wire_reader *r, struct request_header *ret_header,
                 struct wire_reader *ret_body)
{
    struct wire_reader part;
    if (!read_part(r, REQUEST_HEADER_SIZE, &part))
        return ERR_MALFORMED;
    struct request_header h;
    h.op = wire_read_u8(&part);
    h.flags = wire_read_u8(&part);
    uint16_t reserved = wire_read_u16(&part);
    h.id = wire_read_u64(&part);
    h.number = wire_read_u64(&part);
    if (reserved != 0)
        return ERR_MALFORMED;
    *ret_header = h;
    *ret_body = part;
    return ERR_OK;
}

int reply_message_read(struct wire_reader *r, struct reply_message_header *ret_header)
{
    struct reply_message_header h;
    int err = read_message_start(r, REPLY_MESSAGE_HEADER_SIZE, REPLY_HEADER_SIZE, &h.count);
    if (err)
        return err;
    uint32_t reserved = wire_read_u32(r);
    h.epoch = wire_read_u64(r);
    h.incarnation = wire_read_u64(r);
    h.head = wire_read_u64(r);
    h.oldest = wire_read_u64(r);
    if (reserved != 0)
        return ERR_MALFORMED;
    *ret_header = h;
    return ERR_OK;
}

int reply_read(struct wire_reader *r, struct reply_header *ret_header, struct wire_reader *ret_body)
{
    struct wire_reader part;
    if (!read_part(r, REPLY_HEADER_SIZE, &part))
        return ERR_MALFORMED;
    struct reply_header h;
    h.op = wire_read_u8(&part);
    uint8_t reserved = wire_read_u8(&part);
    h.status = wire_read_u16(&part);
    h.id = wire_read_u64(&part);
    h.seq = wire_read_u64(&part);
    if (reserved != 0)
        return ERR_MALFORMED;
    *ret_header = h;
    *ret_body = part;
    return ERR_OK;
}

/* ---- parts of transactions and listings ---- */

void txn_compare_write(struct wire_buffer *b, const struct txn_compare *c)
{
    wire_write_u8(b, c->target);
    wire_write_u8(b, c->relation);
    wire_write_u64(b, c->number);
    wire_write_bytes16(b, c->key);
    wire_write_bytes32(b, c->value);
}

bool txn_compare_read(struct wire_reader *r, struct txn_compare *ret)
{
    struct txn_compare c;
    c.target = wire_read_u8(r);
    c.relation = wire_read_u8(r);
    c.number = wire_read_u64(r);
    c.key = wire_read_bytes16(r);
    c.value = wire_read_bytes32(r);
    if (r->failed)
        return false;
    *ret = c;
    return true;
}

void txn_op_write(struct wire_buffer *b, const struct txn_op *op)
{
    wire_write_u8(b, op->op);
    wire_write_u64(b, (uint64_t)op->by);
    wire_write_bytes16(b, op->key);
    wire_write_bytes32(b, op->value);
}

bool txn_op_read(struct wire_reader *r, struct txn_op *ret)
{
    struct txn_op op;
    op.op = wire_read_u8(r);
    op.by = (int64_t)wire_read_u64(r);
    op.key = wire_read_bytes16(r);
    op.value = wire_read_bytes32(r);
    if (r->failed)
        return false;
    *ret = op;
    return true;
}

void txn_result_write(struct wire_buffer *b, const struct txn_result *result)
{
    wire_write_u8(b, result->op);
    wire_write_u8(b, result->present);
    wire_write_u64(b, result->seq);
    wire_write_bytes32(b, result->value);
}

bool txn_result_read(struct wire_reader *r, struct txn_result *ret)
{
    struct txn_result result;
    result.op = wire_read_u8(r);
    result.present = wire_read_u8(r);
    result.seq = wire_read_u64(r);
    result.value = wire_read_bytes32(r);
    if (r->failed)
        return false;
    *ret = result;
    return true;
}

void list_row_write(struct wire_buffer *b, const struct list_row *row)
{
    wire_write_bytes16(b, row->key);
    wire_write_u64(b, row->created);
    wire_write_u64(b, row->modified);
    wire_write_u64(b, row->version);
    wire_write_bytes32(b, row->value);
}

bool list_row_read(struct wire_reader *r, struct list_row *ret)
{
    struct list_row row;
    row.key = wire_read_bytes16(r);
    row.created = wire_read_u64(r);
    row.modified = wire_read_u64(r);
    row.version = wire_read_u64(r);
    row.value = wire_read_bytes32(r);
    if (r->failed)
        return false;
    *ret = row;
    return true;
}

void cursor_row_write(struct wire_buffer *b, const struct cursor_row *row)
{
    wire_write_bytes16(b, row->name);
    wire_write_u64(b, row->epoch);
    wire_write_u64(b, row->position);
    wire_write_u64(b, row->holder);
    wire_write_u64(b, row->created_us);
    wire_write_u64(b, row->moved_us);
    wire_write_bytes16(b, row->filter);
}

bool cursor_row_read(struct wire_reader *r, struct cursor_row *ret)
{
    struct cursor_row row;
    row.name = wire_read_bytes16(r);
    row.epoch = wire_read_u64(r);
    row.position = wire_read_u64(r);
    row.holder = wire_read_u64(r);
    row.created_us = wire_read_u64(r);
    row.moved_us = wire_read_u64(r);
    row.filter = wire_read_bytes16(r);
    if (r->failed)
        return false;
    *ret = row;
    return true;
}
