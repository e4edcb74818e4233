/*
 * atomic_set.h - keys with what an atomic function has read or written of them, in bytewise order.
 *
 * 1. A key is in a set once.
 * 2. An item never moves: pointers into it are good until it is removed. What replaces an item goes
 *    through atomic_set_put, and the caller decides when the old one ends.
 */
#ifndef VIGIL_CLIENT_ATOMIC_SET_H
#define VIGIL_CLIENT_ATOMIC_SET_H

#include "protocol/wire.h"

struct atomic_item {
    struct atomic_item *next; /* of a list of the caller's */
    uint64_t seq;             /* where the key changed last; 0 if absent, or of a write */
    size_t key_size;
    size_t value_size;
    bool present;
    bool is_used;
    char bytes[]; /* the key, terminated; then the value */
};

/* Zeroed: empty. */
struct atomic_set {
    struct atomic_item **items;
    size_t count;
    size_t capacity;
};

/* value.data NULL: absent. NULL: no memory. */
struct atomic_item *atomic_item_new(struct bytes key, struct bytes value, uint64_t seq);
static inline struct bytes atomic_item_key(const struct atomic_item *item)
{
    return (struct bytes){(const uint8_t *)item->bytes, item->key_size};
}
/* data is NULL if the key is absent. */
static inline struct bytes atomic_item_value(const struct atomic_item *item)
{
    const uint8_t *value = (const uint8_t *)item->bytes + item->key_size + 1;
    return (struct bytes){item->present ? value : NULL, item->value_size};
}

/* Frees the items, too. */
void atomic_set_free(struct atomic_set *set);
void atomic_set_clear(struct atomic_set *set);
struct atomic_item *atomic_set_find(const struct atomic_set *set, struct bytes key);
/* The number of the first item that is not before key. */
size_t atomic_set_lower_bound(const struct atomic_set *set, struct bytes key);
/* *ret_old: the item that was there with this key, now the caller's; or NULL. ERR_OK,
 * ERR_NO_MEMORY. */
int atomic_set_put(struct atomic_set *set, struct atomic_item *item, struct atomic_item **ret_old);

#endif
