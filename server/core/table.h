/*
 * table.h - a hash table of pointers: open addressing, linear probing, removal
 * by shifting back (no tombstones). The items own their keys.
 *
 * 1. At most three quarters of the slots are taken, so a probe ends.
 */
#ifndef VIGIL_SERVER_CORE_TABLE_H
#define VIGIL_SERVER_CORE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_slot {
    uint64_t hash;
    void *item; /* NULL: free */
};

/* Zeroed: empty. */
struct table {
    struct table_slot *slots;
    size_t capacity; /* 0 or a power of two */
    size_t count;
};

typedef bool table_equal(const void *item, const void *key);

/* Room for expected items without growing. ERR_OK, ERR_NO_MEMORY. */
int table_init(struct table *t, size_t expected);
/* Empties it, with room for expected items; keeps its slots where that is about what they are. */
int table_reset(struct table *t, size_t expected);
void table_free(struct table *t); /* the items are the caller's */
/* The caller knows that it is not there yet. ERR_OK, ERR_NO_MEMORY. */
int table_add(struct table *t, uint64_t hash, void *item);
/* The item is there. */
void table_remove(struct table *t, uint64_t hash, const void *item);

/* The item with this hash for which equal(item, key) holds, or NULL. */
static inline void *table_find(const struct table *t, uint64_t hash, table_equal *equal,
                               const void *key)
{
    if (t->count == 0)
        return NULL;
    size_t mask = t->capacity - 1;
    for (size_t i = hash & mask; t->slots[i].item; i = (i + 1) & mask) {
        if (t->slots[i].hash == hash && equal(t->slots[i].item, key))
            return t->slots[i].item;
    }
    return NULL;
}

#endif
