/* atomic_set.c - sorted arrays of items. */
#include "client/atomic_set.h"

#include <stdlib.h>

#include "protocol/errors.h"

enum { CAPACITY_MIN = 16 };

struct atomic_item *atomic_item_new(struct bytes key, struct bytes value, uint64_t seq)
{
    struct atomic_item *item = malloc(sizeof *item + key.size + 1 + value.size);
    if (!item)
        return NULL;
    *item = (struct atomic_item){
        .seq = seq, .key_size = key.size, .value_size = value.size, .present = value.data != NULL};
    if (key.size > 0)
        memcpy(item->bytes, key.data, key.size);
    item->bytes[key.size] = '\0';
    if (value.data && value.size > 0)
        memcpy(item->bytes + key.size + 1, value.data, value.size);
    return item;
}

void atomic_set_clear(struct atomic_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->items[i]);
    set->count = 0;
}

void atomic_set_free(struct atomic_set *set)
{
    atomic_set_clear(set);
    free(set->items);
    *set = (struct atomic_set){0};
}

size_t atomic_set_lower_bound(const struct atomic_set *set, struct bytes key)
{
    size_t low = 0;
    size_t high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bytes_compare(atomic_item_key(set->items[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct atomic_item *atomic_set_find(const struct atomic_set *set, struct bytes key)
{
    size_t at = atomic_set_lower_bound(set, key);
    if (at < set->count && bytes_equal(atomic_item_key(set->items[at]), key))
        return set->items[at];
    return NULL;
}

static int make_room(struct atomic_set *set)
{
    if (set->count < set->capacity)
        return ERR_OK;
    size_t capacity = set->capacity ? 2 * set->capacity : CAPACITY_MIN;
    struct atomic_item **items = realloc(set->items, capacity * sizeof *items);
    if (!items)
        return ERR_NO_MEMORY;
    set->items = items;
    set->capacity = capacity;
    return ERR_OK;
}

int atomic_set_put(struct atomic_set *set, struct atomic_item *item, struct atomic_item **ret_old)
{
    size_t at = atomic_set_lower_bound(set, atomic_item_key(item));
    if (at < set->count && bytes_equal(atomic_item_key(set->items[at]), atomic_item_key(item))) {
        *ret_old = set->items[at];
        set->items[at] = item;
        return ERR_OK;
    }
    if (make_room(set))
        return ERR_NO_MEMORY;
    memmove(set->items + at + 1, set->items + at, (set->count - at) * sizeof(struct atomic_item *));
    set->items[at] = item;
    set->count++;
    *ret_old = NULL;
    return ERR_OK;
}
