/* wire.c - bounded little-endian cursors. */
#include "protocol/wire.h"

#include <stdlib.h>

int bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    if (order != 0)
        return order;
    return (a.size > b.size) - (a.size < b.size);
}

static const uint8_t *take(struct wire_reader *r, size_t n)
{
    if (r->failed || wire_left(r) < n) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += n;
    return p;
}

uint8_t wire_read_u8(struct wire_reader *r)
{
    const uint8_t *p = take(r, 1);
    return p ? *p : 0;
}

uint16_t wire_read_u16(struct wire_reader *r)
{
    const uint8_t *p = take(r, 2);
    return p ? wire_load_u16(p) : 0;
}

uint32_t wire_read_u32(struct wire_reader *r)
{
    const uint8_t *p = take(r, 4);
    return p ? wire_load_u32(p) : 0;
}

uint64_t wire_read_u64(struct wire_reader *r)
{
    const uint8_t *p = take(r, 8);
    return p ? wire_load_u64(p) : 0;
}

struct bytes wire_read_raw(struct wire_reader *r, size_t size)
{
    const uint8_t *p = take(r, size);
    return p ? (struct bytes){p, size} : (struct bytes){NULL, 0};
}

struct bytes wire_read_bytes16(struct wire_reader *r)
{
    uint16_t size = wire_read_u16(r);
    return wire_read_raw(r, size);
}

struct bytes wire_read_bytes32(struct wire_reader *r)
{
    uint32_t size = wire_read_u32(r);
    return wire_read_raw(r, size);
}

void wire_buffer_init(struct wire_buffer *b, size_t size_max)
{
    *b = (struct wire_buffer){.size_max = size_max};
}

void wire_buffer_free(struct wire_buffer *b)
{
    free(b->data);
    wire_buffer_init(b, b->size_max);
}

static bool grow(struct wire_buffer *b, size_t needed)
{
    size_t capacity = b->capacity ? b->capacity : 256;
    while (capacity < needed)
        capacity *= 2;
    if (capacity > b->size_max)
        capacity = b->size_max;
    uint8_t *data = realloc(b->data, capacity);
    if (!data)
        return false;
    b->data = data;
    b->capacity = capacity;
    return true;
}

uint8_t *wire_extend(struct wire_buffer *b, size_t n)
{
    if (b->failed || n > b->size_max - b->size ||
        (n > b->capacity - b->size && !grow(b, b->size + n))) {
        b->failed = true;
        return NULL;
    }
    uint8_t *p = b->data + b->size;
    b->size += n;
    return p;
}

void wire_write_u8(struct wire_buffer *b, uint8_t v)
{
    uint8_t *p = wire_extend(b, 1);
    if (p)
        *p = v;
}

void wire_write_u16(struct wire_buffer *b, uint16_t v)
{
    uint8_t *p = wire_extend(b, 2);
    if (p)
        wire_store_u16(p, v);
}

void wire_write_u32(struct wire_buffer *b, uint32_t v)
{
    uint8_t *p = wire_extend(b, 4);
    if (p)
        wire_store_u32(p, v);
}

void wire_write_u64(struct wire_buffer *b, uint64_t v)
{
    uint8_t *p = wire_extend(b, 8);
    if (p)
        wire_store_u64(p, v);
}

void wire_write_raw(struct wire_buffer *b, const void *data, size_t size)
{
    if (size == 0)
        return;
    uint8_t *p = wire_extend(b, size);
    if (p)
        memcpy(p, data, size);
}

void wire_write_bytes16(struct wire_buffer *b, struct bytes v)
{
    if (v.size > UINT16_MAX) {
        b->failed = true;
        return;
    }
    wire_write_u16(b, (uint16_t)v.size);
    wire_write_raw(b, v.data, v.size);
}

void wire_write_bytes32(struct wire_buffer *b, struct bytes v)
{
    if (v.size > UINT32_MAX) {
        b->failed = true;
        return;
    }
    wire_write_u32(b, (uint32_t)v.size);
    wire_write_raw(b, v.data, v.size);
}
