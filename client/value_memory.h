/*
 * value_memory.h - what keys were after the change that was seen of each last:
 * bounded in bytes, what was not changed for longest goes first.
 *
 * 1. An entry is of one change, named by its seq: it answers for that change or
 *    not at all, so the memory may forget anything and never gives a wrong value.
 * 2. bytes never exceeds bytes_max; what does not fit is not kept.
 */
#ifndef VIGIL_CLIENT_VALUE_MEMORY_H
#define VIGIL_CLIENT_VALUE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/wire.h"

struct remembered {
    struct remembered *next; /* in its slot */
    struct remembered *newer;
    struct remembered *older;
    uint64_t hash;
    uint64_t seq;
    uint32_t room; /* for key and value */
    uint32_t value_size;
    uint16_t key_size;
    bool present; /* false: the change deleted the key */
    uint8_t data[];
};

/* A hash table with chains, at most one entry a slot on average. */
struct value_memory {
    struct remembered **slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
    size_t bytes;
    size_t bytes_max;
    struct remembered *newest;
    struct remembered *oldest;
};

void value_memory_init(struct value_memory *m, size_t bytes_max);
/* Forgets all. */
void value_memory_clear(struct value_memory *m);

/* The entry, if the change of key that was seen last is the one at seq; else NULL. Valid until the
 * next put or clear. */
const struct remembered *value_memory_find(const struct value_memory *m, struct bytes key,
                                           uint64_t seq);
/* The key was changed at seq: to value, or deleted. Where there is no room or memory the key is
 * forgotten. */
void value_memory_put(struct value_memory *m, struct bytes key, uint64_t seq, bool present,
                      struct bytes value);

static inline struct bytes remembered_value(const struct remembered *r)
{
    return (struct bytes){r->data + r->key_size, r->value_size};
}

#endif
