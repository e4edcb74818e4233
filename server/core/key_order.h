/*
 * key_order.h - items in bytewise order of their keys: a skip list (Pugh 1990) whose
 * levels come from the keys' hashes, which are keyed, so that nobody can choose keys
 * that make it slow.
 *
 * 1. A key is in it once. It borrows the keys' bytes from the items, which outlive it.
 * 2. Nodes stay where they are: while others are added, a walk goes on.
 *
 * Threads: none of its own.
 */
#ifndef VIGIL_SERVER_CORE_KEY_ORDER_H
#define VIGIL_SERVER_CORE_KEY_ORDER_H

#include "protocol/wire.h"

enum { KEY_ORDER_LEVELS = 12 };

struct key_order_node {
    struct bytes key;
    void *item;
    unsigned levels;
    struct key_order_node *next[]; /* next[0] is the next of all */
};

/* Zeroed: empty. */
struct key_order {
    struct key_order_node *first[KEY_ORDER_LEVELS];
};

/* One to be put in order. */
struct key_order_item {
    struct bytes key;
    uint64_t hash;
    void *item;
};

/* An empty one becomes one of these, in any order. ERR_OK; ERR_NO_MEMORY (then it is empty). */
int key_order_build(struct key_order *o, size_t count,
                    struct key_order_item (*item_at)(const void *context, size_t i),
                    const void *context);
/* The key is not in it yet. ERR_OK, ERR_NO_MEMORY. */
int key_order_add(struct key_order *o, const struct key_order_item *item);
/* The key is in it. */
void key_order_remove(struct key_order *o, struct bytes key);
/* The first from key on; NULL: none. */
struct key_order_node *key_order_seek(const struct key_order *o, struct bytes key);
/* Frees up to nodes_max nodes; true when it is empty. The items may be gone already. */
bool key_order_free_some(struct key_order *o, size_t nodes_max);

#endif
