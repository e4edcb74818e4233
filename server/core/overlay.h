/*
 * overlay.h - the keys that changed since the last checkpoint, above the state
 * on disk. One overlay is active and takes the changes; at most one is frozen,
 * while it is written to the state.
 *
 * 1. A value of at most OVERLAY_INLINE_MAX bytes may live within its entry.
 *    Room for a value only grows, or shrinks to no less than that (undo.c counts
 *    on it: a small value can always be put back without allocating).
 * 2. items holds each entry once, the newest last, until the overlay is frozen
 *    and sorted.
 * 3. The order of its keys costs nothing until somebody asks for it; from then on
 *    it is kept.
 */
#ifndef VIGIL_SERVER_CORE_OVERLAY_H
#define VIGIL_SERVER_CORE_OVERLAY_H

#include "protocol/wire.h"
#include "server/core/key_order.h"
#include "server/core/table.h"

enum { OVERLAY_INLINE_MAX = 1024 };

/* What a key is; of a deleted one modified is the deletion's seq and the rest 0. */
struct key_meta {
    uint64_t created;
    uint64_t modified;
    uint64_t version;
    bool deleted;
};

struct overlay_entry {
    uint64_t hash;
    uint64_t batch; /* the batch that saved it for undo */
    struct key_meta meta;
    uint8_t *value; /* within the entry, or a buffer of its own */
    uint32_t value_size;
    uint32_t value_capacity;
    uint32_t inline_capacity;
    uint16_t key_size;
    uint8_t key[]; /* followed by the inline value */
};

struct overlay_item {
    uint64_t prefix; /* the key's first eight bytes, big-endian: most comparisons end here */
    struct overlay_entry *entry;
};

struct overlay {
    struct table table;
    struct overlay_item *items;
    size_t count;
    size_t capacity;
    uint64_t bytes; /* of keys and values */
    bool is_ordered;
    bool order_used; /* it was asked for, not only taken over from the overlay before */
    struct key_order order;
};

static inline struct bytes overlay_entry_key(const struct overlay_entry *e)
{
    return (struct bytes){e->key, e->key_size};
}
static inline struct bytes overlay_entry_value(const struct overlay_entry *e)
{
    return (struct bytes){e->value, e->value_size};
}
static inline uint8_t *overlay_entry_inline(struct overlay_entry *e)
{
    return e->key + e->key_size;
}
static inline bool overlay_entry_is_inline(const struct overlay_entry *e)
{
    return e->value == e->key + e->key_size;
}

/* ERR_OK, ERR_NO_MEMORY. expected: room made at once, so that growing does not stall later. */
int overlay_new(size_t expected, struct overlay **ret_overlay);
void overlay_free(struct overlay *o); /* takes NULL */
/* Frees up to entries_max entries; true when the overlay itself is gone too. */
bool overlay_free_some(struct overlay *o, size_t entries_max);

struct overlay_entry *overlay_find(const struct overlay *o, struct bytes key, uint64_t hash);
/* A new entry with an empty value, room for value_size, and zero meta. */
int overlay_add(struct overlay *o, struct bytes key, uint64_t hash, size_t value_size,
                struct overlay_entry **ret_entry);
/* Its entries (the items) in the order of their keys. ERR_OK, ERR_NO_MEMORY. */
int overlay_order(struct overlay *o, const struct key_order **ret_order);
/* Takes the newest entry out again and frees it. */
void overlay_remove_newest(struct overlay *o);
/* Copies value in; it must not lie within the entry. ERR_NO_MEMORY leaves the old one. */
int overlay_set_value(struct overlay *o, struct overlay_entry *e, struct bytes value);

#endif
