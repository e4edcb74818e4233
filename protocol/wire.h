/*
 * wire.h - the two cursors that all formats are written and read with.
 *
 * All integers are little-endian. Both cursors fail "sticky": after the first
 * access out of bounds every further one is a no-op that yields zero, so a
 * decoder checks once, at its end.
 *
 * 1. A reader never touches a byte outside [at, end).
 * 2. A buffer never grows beyond size_max, which capacity never exceeds.
 *
 * What a few instructions do is inline: out of line, the calls and what has to be kept across them took
 * half of a decoder's and of an encoder's instructions.
 */
#ifndef VIGIL_PROTOCOL_WIRE_H
#define VIGIL_PROTOCOL_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes that somebody else owns. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

struct wire_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

/* A growing buffer with an upper bound. Zero-initialise, then set size_max (or use wire_buffer_init). */
struct wire_buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t size_max;
    bool failed; /* bound reached or out of memory: the content is not to be used */
};

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Unsigned bytewise order, the shorter first: LMDB's order. */
int bytes_compare(struct bytes a, struct bytes b);

static inline uint16_t wire_load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (p[1] << 8));
}
static inline uint32_t wire_load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | ((uint32_t)p[1] << 8) | ((uint32_t)p[2] << 16) | ((uint32_t)p[3] << 24);
}
static inline uint64_t wire_load_u64(const uint8_t *p)
{
    return (uint64_t)wire_load_u32(p) | ((uint64_t)wire_load_u32(p + 4) << 32);
}
static inline void wire_store_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void wire_store_u32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}
static inline void wire_store_u64(uint8_t *p, uint64_t v)
{
    wire_store_u32(p, (uint32_t)v);
    wire_store_u32(p + 4, (uint32_t)(v >> 32));
}

static inline struct wire_reader wire_reader_of(const void *data, size_t size)
{
    const uint8_t *p = data;
    return (struct wire_reader){p, size ? p + size : p, false};
}
static inline size_t wire_left(const struct wire_reader *r)
{
    return (size_t)(r->end - r->at);
}
/* The next size bytes, in place. */
static inline struct bytes wire_read_raw(struct wire_reader *r, size_t size)
{
    if (r->failed || wire_left(r) < size) {
        r->failed = true;
        return (struct bytes){NULL, 0};
    }
    const uint8_t *p = r->at;
    r->at += size;
    return (struct bytes){p, size};
}
static inline uint8_t wire_read_u8(struct wire_reader *r)
{
    const uint8_t *p = wire_read_raw(r, 1).data;
    return p ? *p : 0;
}
static inline uint16_t wire_read_u16(struct wire_reader *r)
{
    const uint8_t *p = wire_read_raw(r, 2).data;
    return p ? wire_load_u16(p) : 0;
}
static inline uint32_t wire_read_u32(struct wire_reader *r)
{
    const uint8_t *p = wire_read_raw(r, 4).data;
    return p ? wire_load_u32(p) : 0;
}
static inline uint64_t wire_read_u64(struct wire_reader *r)
{
    const uint8_t *p = wire_read_raw(r, 8).data;
    return p ? wire_load_u64(p) : 0;
}
/* u16 size + bytes; u32 size + bytes. In place. */
static inline struct bytes wire_read_bytes16(struct wire_reader *r)
{
    return wire_read_raw(r, wire_read_u16(r));
}
static inline struct bytes wire_read_bytes32(struct wire_reader *r)
{
    return wire_read_raw(r, wire_read_u32(r));
}
/* True when nothing failed and nothing is left over. */
static inline bool wire_read_complete(const struct wire_reader *r)
{
    return !r->failed && r->at == r->end;
}

void wire_buffer_init(struct wire_buffer *b, size_t size_max);
void wire_buffer_free(
    struct wire_buffer *b); /* takes a zeroed one too; leaves it zeroed but for size_max */
static inline void wire_buffer_clear(struct wire_buffer *b)
{
    b->size = 0;
    b->failed = false;
}
/* As wire_extend, where there is no room yet. */
uint8_t *wire_extend_beyond(struct wire_buffer *b, size_t n);
/* Room for n more bytes at the end, which count as written; NULL if failed. */
static inline uint8_t *wire_extend(struct wire_buffer *b, size_t n)
{
    /* A bound may have been lowered below what is allocated. */
    size_t room = b->capacity < b->size_max ? b->capacity : b->size_max;
    if (b->failed || n > room - b->size)
        return wire_extend_beyond(b, n);
    uint8_t *p = b->data + b->size;
    b->size += n;
    return p;
}
static inline void wire_write_u8(struct wire_buffer *b, uint8_t v)
{
    uint8_t *p = wire_extend(b, 1);
    if (p)
        *p = v;
}
static inline void wire_write_u16(struct wire_buffer *b, uint16_t v)
{
    uint8_t *p = wire_extend(b, 2);
    if (p)
        wire_store_u16(p, v);
}
static inline void wire_write_u32(struct wire_buffer *b, uint32_t v)
{
    uint8_t *p = wire_extend(b, 4);
    if (p)
        wire_store_u32(p, v);
}
static inline void wire_write_u64(struct wire_buffer *b, uint64_t v)
{
    uint8_t *p = wire_extend(b, 8);
    if (p)
        wire_store_u64(p, v);
}
static inline void wire_write_raw(struct wire_buffer *b, const void *data, size_t size)
{
    uint8_t *p = size > 0 ? wire_extend(b, size) : NULL;
    if (p)
        memcpy(p, data, size);
}
void wire_write_bytes16(struct wire_buffer *b, struct bytes v); /* fails above 65535 */
void wire_write_bytes32(struct wire_buffer *b, struct bytes v);

#endif
