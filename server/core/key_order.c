/* key_order.c - see key_order.h. */
#include "server/core/key_order.h"

#include "protocol/errors.h"

#include <assert.h>
#include <stdlib.h>

/* One node in four is on the next level, too. */
static unsigned levels_of(uint64_t hash)
{
    unsigned levels = 1;
    while (levels < KEY_ORDER_LEVELS && (hash & 3) == 0) {
        levels++;
        hash >>= 2;
    }
    return levels;
}

static struct key_order_node *node_new(const struct key_order_item *item)
{
    unsigned levels = levels_of(item->hash);
    struct key_order_node *n = malloc(sizeof *n + levels * sizeof(struct key_order_node *));
    if (n) {
        n->key = item->key;
        n->item = item->item;
        n->levels = levels;
    }
    return n;
}

/* The links that lead over key, one of each level. Returns what stands at key or behind it. */
static struct key_order_node *find(const struct key_order *o, struct bytes key,
                                   struct key_order_node *const *links[KEY_ORDER_LEVELS])
{
    struct key_order_node *const *next = o->first;
    for (unsigned level = KEY_ORDER_LEVELS; level-- > 0;) {
        while (next[level] && bytes_compare(next[level]->key, key) < 0)
            next = next[level]->next;
        links[level] = &next[level];
    }
    return next[0];
}

/* The list is the caller's to change, and so are its links. */
static struct key_order_node **writable(struct key_order_node *const *link)
{
    return (struct key_order_node **)(uintptr_t)link;
}

struct key_order_node *key_order_seek(const struct key_order *o, struct bytes key)
{
    struct key_order_node *const *links[KEY_ORDER_LEVELS];
    return find(o, key, links);
}

int key_order_add(struct key_order *o, const struct key_order_item *item)
{
    struct key_order_node *const *links[KEY_ORDER_LEVELS];
    struct key_order_node *n = node_new(item);
    if (!n)
        return ERR_NO_MEMORY;
    (void)find(o, item->key, links);
    unsigned level = 0;
    do {
        n->next[level] = *links[level];
        *writable(links[level]) = n;
    } while (++level < n->levels);
    return ERR_OK;
}

void key_order_remove(struct key_order *o, struct bytes key)
{
    struct key_order_node *const *links[KEY_ORDER_LEVELS];
    struct key_order_node *n = find(o, key, links);
    assert(n);
    assert(bytes_equal(n->key, key));
    for (unsigned level = 0; level < n->levels; level++)
        *writable(links[level]) = n->next[level];
    free(n);
}

bool key_order_free_some(struct key_order *o, size_t nodes_max)
{
    struct key_order_node *n = o->first[0];
    for (; n && nodes_max > 0; nodes_max--) {
        struct key_order_node *next = n->next[0];
        free(n);
        n = next;
    }
    *o = (struct key_order){.first = {n}};
    return !n;
}

/* ---- all at once ---- */

static int compare_nodes(const void *left, const void *right)
{
    const struct key_order_node *const *a = left;
    const struct key_order_node *const *b = right;
    return bytes_compare((*a)->key, (*b)->key);
}

static void link_sorted(struct key_order *o, struct key_order_node **nodes, size_t count)
{
    struct key_order_node **ends[KEY_ORDER_LEVELS];
    for (unsigned level = 0; level < KEY_ORDER_LEVELS; level++)
        ends[level] = &o->first[level];
    for (size_t i = 0; i < count; i++) {
        for (unsigned level = 0; level < nodes[i]->levels; level++) {
            *ends[level] = nodes[i];
            ends[level] = &nodes[i]->next[level];
        }
    }
    for (unsigned level = 0; level < KEY_ORDER_LEVELS; level++)
        *ends[level] = NULL;
}

int key_order_build(struct key_order *o, size_t count,
                    struct key_order_item (*item_at)(const void *context, size_t i),
                    const void *context)
{
    struct key_order_node **nodes = malloc((count + 1) * sizeof(struct key_order_node *));
    size_t made = 0;
    if (!nodes)
        return ERR_NO_MEMORY;
    for (; made < count; made++) {
        struct key_order_item item = item_at(context, made);
        nodes[made] = node_new(&item);
        if (!nodes[made])
            break;
    }
    bool complete = made == count;
    if (complete) {
        qsort(nodes, count, sizeof(struct key_order_node *), compare_nodes);
        link_sorted(o, nodes, count);
    } else {
        while (made > 0)
            free(nodes[--made]);
    }
    free(nodes);
    return complete ? ERR_OK : ERR_NO_MEMORY;
}
