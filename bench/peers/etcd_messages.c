/* etcd_messages.c - puts and watches in Protocol Buffers; see etcd_messages.h. */
#include "bench/peers/etcd_messages.h"
#include "protocol/errors.h"

enum wire_type { TYPE_VARINT = 0, TYPE_FIXED64 = 1, TYPE_BYTES = 2, TYPE_FIXED32 = 5 };

/* The fields that are used here, by message. */
enum {
    HEADER = 1, /* of every response */
    HEADER_REVISION = 3,
    PUT_KEY = 1,
    PUT_VALUE = 2,
    WATCH_CREATE = 1,
    CREATE_KEY = 1,
    CREATE_RANGE_END = 2,
    CREATE_START_REVISION = 3,
    WATCH_CREATED = 3,
    WATCH_CANCELED = 4,
    WATCH_COMPACT_REVISION = 5,
    WATCH_CANCEL_REASON = 6,
    WATCH_EVENTS = 11,
    EVENT_TYPE = 1,
    EVENT_TYPE_DELETE = 1,
    EVENT_KV = 2,
    KV_KEY = 1,
    KV_MOD_REVISION = 3,
    KV_VALUE = 5
};

/* ---- writing ------------------------------------------------------------------ */

static size_t varint_size(uint64_t v)
{
    size_t size = 1;
    for (; v >= 0x80; v >>= 7) {
        size++;
    }
    return size;
}

static void write_varint(struct wire_buffer *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) {
        wire_write_u8(b, (uint8_t)(v | 0x80));
    }
    wire_write_u8(b, (uint8_t)v);
}

static void write_tag(struct wire_buffer *b, uint32_t field, enum wire_type type)
{
    write_varint(b, (uint64_t)field << 3 | type);
}

static void write_bytes(struct wire_buffer *b, uint32_t field, struct bytes v)
{
    write_tag(b, field, TYPE_BYTES);
    write_varint(b, v.size);
    wire_write_raw(b, v.data, v.size);
}

/* A field below 16 has a tag of one byte: those of all requests here are. */
static size_t bytes_field_size(struct bytes v)
{
    return 1 + varint_size(v.size) + v.size;
}

void etcd_write_put_request(struct wire_buffer *b, struct bytes key, struct bytes value)
{
    write_bytes(b, PUT_KEY, key);
    write_bytes(b, PUT_VALUE, value);
}

void etcd_write_watch_request(struct wire_buffer *b, struct bytes key, struct bytes range_end,
                              uint64_t start_revision)
{
    write_tag(b, WATCH_CREATE, TYPE_BYTES);
    write_varint(b, bytes_field_size(key) + bytes_field_size(range_end) + 1 +
                        varint_size(start_revision));
    write_bytes(b, CREATE_KEY, key);
    write_bytes(b, CREATE_RANGE_END, range_end);
    write_tag(b, CREATE_START_REVISION, TYPE_VARINT);
    write_varint(b, start_revision);
}

/* ---- reading ------------------------------------------------------------------ */

struct field {
    uint64_t number; /* 1.. */
    enum wire_type type;
    uint64_t varint;
    struct bytes bytes;
};

static uint64_t read_varint(struct wire_reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = wire_read_u8(r);
        if (shift == 63 && byte > 1) {
            break;
        }
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return v;
        }
    }
    r->failed = true;
    return 0;
}

/* False at the end, or with r->failed. */
static bool read_field(struct wire_reader *r, struct field *f)
{
    if (r->failed || r->at == r->end) {
        return false;
    }
    uint64_t tag = read_varint(r);
    *f = (struct field){.number = tag >> 3, .type = (enum wire_type)(tag & 7)};
    switch (f->type) {
    case TYPE_VARINT:
        f->varint = read_varint(r);
        break;
    case TYPE_FIXED64:
        wire_read_u64(r);
        break;
    case TYPE_BYTES: {
        /* Compared before it becomes a size_t, which may be the smaller type. */
        uint64_t size = read_varint(r);
        if (size > wire_left(r)) {
            r->failed = true;
        } else {
            f->bytes = wire_read_raw(r, (size_t)size);
        }
        break;
    }
    case TYPE_FIXED32:
        wire_read_u32(r);
        break;
    default:
        r->failed = true;
    }
    if (f->number == 0 || f->number >= UINT64_C(1) << 29) {
        r->failed = true;
    }
    return !r->failed;
}

/* Whether this is the field asked for; in another type than that it makes the message malformed. */
static bool is_field(struct wire_reader *r, const struct field *f, uint32_t number,
                     enum wire_type type)
{
    if (f->number != number) {
        return false;
    }
    r->failed |= f->type != type;
    return !r->failed;
}

static bool read_header(struct bytes message, uint64_t *ret_revision)
{
    struct wire_reader r = wire_reader_of(message.data, message.size);
    struct field f;
    while (read_field(&r, &f)) {
        if (is_field(&r, &f, HEADER_REVISION, TYPE_VARINT)) {
            *ret_revision = f.varint;
        }
    }
    return !r.failed;
}

int etcd_read_put_response(struct bytes message, uint64_t *ret_revision)
{
    struct wire_reader r = wire_reader_of(message.data, message.size);
    struct field f;
    uint64_t revision = 0;
    while (read_field(&r, &f)) {
        if (is_field(&r, &f, HEADER, TYPE_BYTES)) {
            r.failed |= !read_header(f.bytes, &revision);
        }
    }
    if (r.failed) {
        return ERR_MALFORMED;
    }
    *ret_revision = revision;
    return ERR_OK;
}

int etcd_read_watch_response(struct bytes message, struct etcd_watch_response *ret_response)
{
    struct wire_reader r = wire_reader_of(message.data, message.size);
    struct etcd_watch_response response = {.events = r};
    struct field f;
    while (read_field(&r, &f)) {
        if (is_field(&r, &f, HEADER, TYPE_BYTES)) {
            r.failed |= !read_header(f.bytes, &response.revision);
        } else if (is_field(&r, &f, WATCH_CREATED, TYPE_VARINT)) {
            response.created = f.varint != 0;
        } else if (is_field(&r, &f, WATCH_CANCELED, TYPE_VARINT)) {
            response.canceled = f.varint != 0;
        } else if (is_field(&r, &f, WATCH_COMPACT_REVISION, TYPE_VARINT)) {
            response.compact_revision = f.varint;
        } else if (is_field(&r, &f, WATCH_CANCEL_REASON, TYPE_BYTES)) {
            response.cancel_reason = f.bytes;
        }
    }
    if (r.failed) {
        return ERR_MALFORMED;
    }
    *ret_response = response;
    return ERR_OK;
}

static bool read_key_value(struct bytes message, struct etcd_event *event)
{
    struct wire_reader r = wire_reader_of(message.data, message.size);
    struct field f;
    while (read_field(&r, &f)) {
        if (is_field(&r, &f, KV_KEY, TYPE_BYTES)) {
            event->key = f.bytes;
        } else if (is_field(&r, &f, KV_MOD_REVISION, TYPE_VARINT)) {
            event->revision = f.varint;
        } else if (is_field(&r, &f, KV_VALUE, TYPE_BYTES)) {
            event->value = f.bytes;
        }
    }
    return !r.failed;
}

static bool read_event(struct bytes message, struct etcd_event *event)
{
    struct wire_reader r = wire_reader_of(message.data, message.size);
    struct field f;
    while (read_field(&r, &f)) {
        if (is_field(&r, &f, EVENT_TYPE, TYPE_VARINT)) {
            event->deleted = f.varint == EVENT_TYPE_DELETE;
        } else if (is_field(&r, &f, EVENT_KV, TYPE_BYTES)) {
            r.failed |= !read_key_value(f.bytes, event);
        }
    }
    return !r.failed;
}

bool etcd_next_event(struct wire_reader *events, struct etcd_event *ret_event)
{
    struct field f;
    while (read_field(events, &f)) {
        if (is_field(events, &f, WATCH_EVENTS, TYPE_BYTES)) {
            struct etcd_event event = {.deleted = false};
            if (!read_event(f.bytes, &event)) {
                events->failed = true;
                return false;
            }
            *ret_event = event;
            return true;
        }
    }
    return false;
}
