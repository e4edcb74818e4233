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

uint8_t *wire_extend_beyond(struct wire_buffer *b, size_t n)
{
    if (b->failed || n > b->size_max - b->size || !grow(b, b->size + n)) {
        b->failed = true;
        return NULL;
    }
    uint8_t *p = b->data + b->size;
    b->size += n;
    return p;
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
