/* record.c - writing, checking, walking and filtering records. */
#include "protocol/record.h"

#include "protocol/crc32c.h"
#include "protocol/errors.h"
#include "protocol/filter.h"
#include "protocol/key.h"
#include "protocol/limits.h"

/* Where the fields stand; see record.h. */
enum {
    AT_SIZE = 0,
    AT_CRC = 4,
    AT_SEQ = 8,
    AT_TIME = 16,
    AT_SESSION = 24,
    AT_NUMBER = 32,
    AT_PARTS = 40,
    AT_COUNT = 42,
    AT_FORMAT = 44,
    AT_FLAGS = 45,
    AT_REQUEST_OP = 46,
    AT_RESERVED = 47
};
enum {
    CHANGE_AT_OP = 0,
    CHANGE_AT_RESERVED_1 = 1,
    CHANGE_AT_PART = 2,
    CHANGE_AT_KEY_SIZE = 4,
    CHANGE_AT_RESERVED_2 = 6,
    CHANGE_AT_VALUE_SIZE = 8,
    CHANGE_AT_PREV_SEQ = 12
};
enum { RESULT_SIZE_SIZE = 4 };

/* ---- writing ---- */

void record_begin(struct record_writer *w, struct wire_buffer *b, uint64_t seq, uint64_t time_us,
                  uint64_t session, uint64_t number)
{
    *w = (struct record_writer){.buffer = b, .start = b->size};
    uint8_t *p = wire_extend(b, RECORD_HEADER_SIZE);
    if (!p)
        return;
    memset(p, 0, RECORD_HEADER_SIZE);
    wire_store_u64(p + AT_SEQ, seq);
    wire_store_u64(p + AT_TIME, time_us);
    wire_store_u64(p + AT_SESSION, session);
    wire_store_u64(p + AT_NUMBER, number);
    p[AT_FORMAT] = RECORD_FORMAT;
}

void record_add(struct record_writer *w, const struct change *c)
{
    struct wire_buffer *b = w->buffer;
    if (w->count == LIMIT_RECORD_CHANGES || c->key.size > LIMIT_KEY_SIZE ||
        c->value.size > LIMIT_VALUE_SIZE_MAX) {
        b->failed = true;
        return;
    }
    uint8_t *p = wire_extend(b, CHANGE_HEADER_SIZE + c->key.size + c->value.size);
    if (!p)
        return;
    w->count++;
    p[CHANGE_AT_OP] = c->op;
    p[CHANGE_AT_RESERVED_1] = 0;
    wire_store_u16(p + CHANGE_AT_PART, w->count);
    wire_store_u16(p + CHANGE_AT_KEY_SIZE, (uint16_t)c->key.size);
    wire_store_u16(p + CHANGE_AT_RESERVED_2, 0);
    wire_store_u32(p + CHANGE_AT_VALUE_SIZE, (uint32_t)c->value.size);
    wire_store_u64(p + CHANGE_AT_PREV_SEQ, c->prev_seq);
    p += CHANGE_HEADER_SIZE;
    memcpy(p, c->key.data, c->key.size);
    if (c->value.size > 0)
        memcpy(p + c->key.size, c->value.data, c->value.size);
}

void record_set_request(struct record_writer *w, uint8_t op, struct bytes result)
{
    w->request_op = op;
    w->result = result;
}

/* Fills in size and CRC of the record that ends the buffer. */
static void seal(uint8_t *record, size_t size)
{
    wire_store_u32(record + AT_SIZE, (uint32_t)size);
    wire_store_u32(record + AT_CRC, crc32c(0, record + AT_SEQ, size - AT_SEQ));
}

size_t record_end(struct record_writer *w)
{
    struct wire_buffer *b = w->buffer;
    if (w->result.size > LIMIT_SESSION_RESULT)
        b->failed = true;
    else if (w->result.size > 0)
        wire_write_bytes32(b, w->result);
    size_t size = b->size - w->start;
    if (b->failed || w->count == 0 || size > LIMIT_RECORD_SIZE) {
        b->size = w->start;
        b->failed = true;
        return 0;
    }
    uint8_t *record = b->data + w->start;
    wire_store_u16(record + AT_PARTS, w->count);
    wire_store_u16(record + AT_COUNT, w->count);
    record[AT_FLAGS] = w->result.size > 0 ? RECORD_FLAG_RESULT : 0;
    record[AT_REQUEST_OP] = w->request_op;
    seal(record, size);
    return size;
}

/* ---- checking ---- */

static struct record_header load_header(const uint8_t *record)
{
    return (struct record_header){
        .size = wire_load_u32(record + AT_SIZE),
        .crc = wire_load_u32(record + AT_CRC),
        .seq = wire_load_u64(record + AT_SEQ),
        .time_us = wire_load_u64(record + AT_TIME),
        .session = wire_load_u64(record + AT_SESSION),
        .number = wire_load_u64(record + AT_NUMBER),
        .parts = wire_load_u16(record + AT_PARTS),
        .count = wire_load_u16(record + AT_COUNT),
        .flags = record[AT_FLAGS],
        .request_op = record[AT_REQUEST_OP],
    };
}

/* Size of the change at p, which has left bytes at most; 0 if it is not one. */
static size_t check_change(const uint8_t *p, size_t left, uint64_t seq)
{
    if (left < CHANGE_HEADER_SIZE)
        return 0;
    uint8_t op = p[CHANGE_AT_OP];
    size_t key_size = wire_load_u16(p + CHANGE_AT_KEY_SIZE);
    size_t value_size = wire_load_u32(p + CHANGE_AT_VALUE_SIZE);
    if (op < CHANGE_PUT || op > CHANGE_EXPIRE || p[CHANGE_AT_RESERVED_1] != 0 ||
        wire_load_u16(p + CHANGE_AT_RESERVED_2) != 0)
        return 0;
    if ((op == CHANGE_PUT) != (value_size > 0) || value_size > LIMIT_VALUE_SIZE_MAX)
        return 0;
    if (key_size + value_size > left - CHANGE_HEADER_SIZE)
        return 0;
    if (wire_load_u64(p + CHANGE_AT_PREV_SEQ) >= seq)
        return 0;
    if (!key_valid((struct bytes){p + CHANGE_HEADER_SIZE, key_size}))
        return 0;
    return CHANGE_HEADER_SIZE + key_size + value_size;
}

static bool check_changes(const uint8_t *record, const struct record_header *h)
{
    const uint8_t *p = record + RECORD_HEADER_SIZE;
    size_t left = h->size - RECORD_HEADER_SIZE;
    uint16_t part_before = 0;
    for (uint16_t i = 0; i < h->count; i++) {
        size_t size = check_change(p, left, h->seq);
        if (size == 0)
            return false;
        uint16_t part = wire_load_u16(p + CHANGE_AT_PART);
        if (part <= part_before || part > h->parts)
            return false;
        part_before = part;
        p += size;
        left -= size;
    }
    if ((h->flags & RECORD_FLAG_RESULT) == 0)
        return left == 0;
    uint32_t result = left > RESULT_SIZE_SIZE ? wire_load_u32(p) : 0;
    return result > 0 && result <= LIMIT_SESSION_RESULT && left - RESULT_SIZE_SIZE == result;
}

static bool check_origin(const uint8_t *record, const struct record_header *h)
{
    if (record[AT_RESERVED] != 0 || (h->request_op != 0 && (h->session == 0 || h->number == 0)))
        return false;
    return (h->flags & RECORD_FLAG_RESULT) == 0 ||
           (h->request_op != 0 && (h->flags & RECORD_FLAG_VIEW) == 0);
}

static int check(struct bytes data, bool with_crc, struct record_header *ret_header)
{
    if (data.size < RECORD_HEADER_SIZE)
        return ERR_CORRUPT;
    const uint8_t *record = data.data;
    struct record_header h = load_header(record);
    if (h.size < RECORD_HEADER_SIZE || h.size > data.size || h.size > LIMIT_RECORD_SIZE)
        return ERR_CORRUPT;
    /* The CRC first: a flipped bit must not look like a newer format. */
    if (with_crc && crc32c(0, record + AT_SEQ, h.size - AT_SEQ) != h.crc)
        return ERR_CORRUPT;
    if (record[AT_FORMAT] > RECORD_FORMAT)
        return ERR_FOREIGN;
    if (record[AT_FORMAT] != RECORD_FORMAT ||
        (h.flags & ~(RECORD_FLAG_VIEW | RECORD_FLAG_RESULT)) != 0 || h.seq == 0 ||
        !check_origin(record, &h))
        return ERR_CORRUPT;
    bool is_view = h.flags & RECORD_FLAG_VIEW;
    if (h.count == 0 || h.parts > LIMIT_RECORD_CHANGES ||
        (is_view ? h.count >= h.parts : h.count != h.parts) || !check_changes(record, &h))
        return ERR_CORRUPT;
    *ret_header = h;
    return ERR_OK;
}

int record_check(struct bytes data, struct record_header *ret_header)
{
    return check(data, true, ret_header);
}

int record_peek(struct bytes data, struct record_header *ret_header)
{
    return check(data, false, ret_header);
}

/* ---- reading ---- */

struct change_iterator record_changes(const uint8_t *record)
{
    size_t size = wire_load_u32(record + AT_SIZE);
    return (struct change_iterator){
        .reader = wire_reader_of(record + RECORD_HEADER_SIZE, size - RECORD_HEADER_SIZE),
        .left = wire_load_u16(record + AT_COUNT),
    };
}

bool change_next(struct change_iterator *i, struct change *ret_change)
{
    if (i->left == 0)
        return false;
    const uint8_t *p = i->reader.at;
    size_t key_size = wire_load_u16(p + CHANGE_AT_KEY_SIZE);
    size_t value_size = wire_load_u32(p + CHANGE_AT_VALUE_SIZE);
    const uint8_t *key = p + CHANGE_HEADER_SIZE;
    *ret_change = (struct change){
        .op = p[CHANGE_AT_OP],
        .part = wire_load_u16(p + CHANGE_AT_PART),
        .prev_seq = wire_load_u64(p + CHANGE_AT_PREV_SEQ),
        .key = {key, key_size},
        .value = {key + key_size, value_size},
    };
    i->reader.at = key + key_size + value_size;
    i->left--;
    return true;
}

bool record_has_result(const uint8_t *record)
{
    return (record[AT_FLAGS] & RECORD_FLAG_RESULT) != 0;
}

/* Where the changes of a checked record end. */
static const uint8_t *changes_end(const uint8_t *record)
{
    const uint8_t *p = record + RECORD_HEADER_SIZE;
    for (uint16_t left = wire_load_u16(record + AT_COUNT); left > 0; left--)
        p += CHANGE_HEADER_SIZE + wire_load_u16(p + CHANGE_AT_KEY_SIZE) +
             wire_load_u32(p + CHANGE_AT_VALUE_SIZE);
    return p;
}

struct bytes record_result(const uint8_t *record)
{
    if (!record_has_result(record))
        return (struct bytes){NULL, 0};
    const uint8_t *p = changes_end(record);
    return (struct bytes){p + RESULT_SIZE_SIZE, wire_load_u32(p)};
}

uint16_t record_match(const uint8_t *record, const struct filter *f)
{
    if (filter_is_everything(f))
        return wire_load_u16(record + AT_COUNT);
    uint16_t matching = 0;
    struct change c;
    for (struct change_iterator i = record_changes(record); change_next(&i, &c);)
        matching = (uint16_t)(matching + filter_match(f, c.key));
    return matching;
}

size_t record_write_shown(struct wire_buffer *b, const uint8_t *record)
{
    size_t start = b->size;
    bool has_result = record_has_result(record);
    size_t size =
        has_result ? (size_t)(changes_end(record) - record) : wire_load_u32(record + AT_SIZE);
    wire_write_raw(b, record, size);
    if (b->failed)
        return 0;
    if (has_result) {
        uint8_t *shown = b->data + start;
        shown[AT_FLAGS] &= (uint8_t)~RECORD_FLAG_RESULT;
        seal(shown, size);
    }
    return size;
}

size_t record_write_view(struct wire_buffer *b, const uint8_t *record, const struct filter *f)
{
    size_t start = b->size;
    uint16_t matching = record_match(record, f);
    if (matching == 0)
        return 0;
    if (matching == wire_load_u16(record + AT_COUNT))
        return record_write_shown(b, record);
    wire_write_raw(b, record, RECORD_HEADER_SIZE);
    struct change_iterator i = record_changes(record);
    struct change c;
    for (const uint8_t *at = i.reader.at; change_next(&i, &c); at = i.reader.at) {
        if (filter_match(f, c.key))
            wire_write_raw(b, at, (size_t)(i.reader.at - at));
    }
    if (b->failed) {
        b->size = start;
        return 0;
    }
    uint8_t *view = b->data + start;
    view[AT_FLAGS] = RECORD_FLAG_VIEW;
    wire_store_u16(view + AT_COUNT, matching);
    seal(view, b->size - start);
    return b->size - start;
}
