/*
 * wire.h - the two cursors that all formats are written and read with.
 *
 * All integers are little-endian. Both cursors fail "sticky": after the first
 * access out of bounds every further one is a no-op that yields zero, so a
 * decoder checks once, at its end.
 *
 * 1. A reader never touches a byte outside [at, end).
 * 2. A buffer never grows beyond size_max.
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
uint8_t wire_read_u8(struct wire_reader *r);
uint16_t wire_read_u16(struct wire_reader *r);
uint32_t wire_read_u32(struct wire_reader *r);
uint64_t wire_read_u64(struct wire_reader *r);
/* The next size bytes, in place. */
struct bytes wire_read_raw(struct wire_reader *r, size_t size);
/* u16 size + bytes; u32 size + bytes. In place. */
struct bytes wire_read_bytes16(struct wire_reader *r);
struct bytes wire_read_bytes32(struct wire_reader *r);
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
/* Room for n more bytes at the end, which count as written; NULL if failed. */
uint8_t *wire_extend(struct wire_buffer *b, size_t n);
void wire_write_u8(struct wire_buffer *b, uint8_t v);
void wire_write_u16(struct wire_buffer *b, uint16_t v);
void wire_write_u32(struct wire_buffer *b, uint32_t v);
void wire_write_u64(struct wire_buffer *b, uint64_t v);
void wire_write_raw(struct wire_buffer *b, const void *data, size_t size);
void wire_write_bytes16(struct wire_buffer *b, struct bytes v); /* fails above 65535 */
void wire_write_bytes32(struct wire_buffer *b, struct bytes v);

#endif
