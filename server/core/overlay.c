/* overlay.c - entries, their values, and giving them back in small steps. */
#include "server/core/overlay.h"

#include "protocol/errors.h"
#include "protocol/limits.h"

#include <assert.h>
#include <stdlib.h>

enum {
    OVERLAY_EXPECTED_MAX = 1 << 20,
    INLINE_STEP = 16,      /* room is a multiple of it */
    SHRINK_CAPACITY = 4096 /* larger buffers are given back when a quarter would do */
};

int overlay_new(size_t expected, struct overlay **ret_overlay)
{
    struct overlay *o = calloc(1, sizeof *o);
    if (!o)
        return ERR_NO_MEMORY;
    if (table_init(&o->table, expected < OVERLAY_EXPECTED_MAX ? expected : OVERLAY_EXPECTED_MAX)) {
        free(o);
        return ERR_NO_MEMORY;
    }
    *ret_overlay = o;
    return ERR_OK;
}

static void entry_free(struct overlay_entry *e)
{
    if (!overlay_entry_is_inline(e))
        free(e->value);
    free(e);
}

bool overlay_free_some(struct overlay *o, size_t entries_max)
{
    for (; entries_max > 0 && o->count > 0; entries_max--)
        entry_free(o->items[--o->count].entry);
    if (o->count > 0 || !key_order_free_some(&o->order, entries_max))
        return false;
    table_free(&o->table);
    free(o->items);
    free(o);
    return true;
}

void overlay_free(struct overlay *o)
{
    if (o)
        (void)overlay_free_some(o, SIZE_MAX);
}

static bool entry_has_key(const void *item, const void *key)
{
    return bytes_equal(overlay_entry_key(item), *(const struct bytes *)key);
}

struct overlay_entry *overlay_find(const struct overlay *o, struct bytes key, uint64_t hash)
{
    return table_find(&o->table, hash, entry_has_key, &key);
}

static uint64_t key_prefix(struct bytes key)
{
    uint64_t prefix = 0;
    for (size_t i = 0; i < 8; i++)
        prefix = prefix << 8 | (i < key.size ? key.data[i] : 0);
    return prefix;
}

static int items_reserve(struct overlay *o)
{
    if (o->count < o->capacity)
        return ERR_OK;
    size_t capacity = o->capacity ? o->capacity * 2 : 64;
    struct overlay_item *items = realloc(o->items, capacity * sizeof *items);
    if (!items)
        return ERR_NO_MEMORY;
    o->items = items;
    o->capacity = capacity;
    return ERR_OK;
}

int overlay_add(struct overlay *o, struct bytes key, uint64_t hash, size_t value_size,
                struct overlay_entry **ret_entry)
{
    assert(key.size > 0 && key.size <= LIMIT_KEY_SIZE);
    size_t room = 0;
    if (value_size <= OVERLAY_INLINE_MAX)
        room = (value_size + INLINE_STEP) / INLINE_STEP * INLINE_STEP;
    if (room > OVERLAY_INLINE_MAX)
        room = OVERLAY_INLINE_MAX;
    if (items_reserve(o))
        return ERR_NO_MEMORY;
    struct overlay_entry *e = malloc(sizeof *e + key.size + room);
    if (!e)
        return ERR_NO_MEMORY;
    *e = (struct overlay_entry){.hash = hash,
                                .value_capacity = (uint32_t)room,
                                .inline_capacity = (uint32_t)room,
                                .key_size = (uint16_t)key.size};
    memcpy(e->key, key.data, key.size);
    e->value = overlay_entry_inline(e);
    if (table_add(&o->table, hash, e)) {
        free(e);
        return ERR_NO_MEMORY;
    }
    if (o->is_ordered &&
        key_order_add(&o->order, &(struct key_order_item){overlay_entry_key(e), hash, e})) {
        table_remove(&o->table, hash, e);
        free(e);
        return ERR_NO_MEMORY;
    }
    o->items[o->count++] = (struct overlay_item){key_prefix(key), e};
    o->bytes += key.size;
    *ret_entry = e;
    return ERR_OK;
}

void overlay_remove_newest(struct overlay *o)
{
    struct overlay_entry *e = o->items[--o->count].entry;
    table_remove(&o->table, e->hash, e);
    if (o->is_ordered)
        key_order_remove(&o->order, overlay_entry_key(e));
    o->bytes -= (uint64_t)e->key_size + e->value_size;
    entry_free(e);
}

static struct key_order_item order_item(const void *context, size_t i)
{
    struct overlay_entry *e = ((const struct overlay *)context)->items[i].entry;
    return (struct key_order_item){overlay_entry_key(e), e->hash, e};
}

int overlay_order(struct overlay *o, const struct key_order **ret_order)
{
    if (!o->is_ordered && key_order_build(&o->order, o->count, order_item, o))
        return ERR_NO_MEMORY;
    o->is_ordered = true;
    o->order_used = true;
    *ret_order = &o->order;
    return ERR_OK;
}

int overlay_set_value(struct overlay *o, struct overlay_entry *e, struct bytes value)
{
    bool wasteful = e->value_capacity > SHRINK_CAPACITY && value.size < e->value_capacity / 4;
    if (value.size > e->value_capacity || wasteful) {
        size_t capacity = (value.size + value.size / 4 + INLINE_STEP) / INLINE_STEP * INLINE_STEP;
        if (wasteful && capacity < OVERLAY_INLINE_MAX)
            capacity = OVERLAY_INLINE_MAX;
        uint8_t *data = malloc(capacity);
        if (!data)
            return ERR_NO_MEMORY;
        if (!overlay_entry_is_inline(e))
            free(e->value);
        e->value = data;
        e->value_capacity = (uint32_t)capacity;
    }
    if (value.size > 0)
        memcpy(e->value, value.data, value.size);
    o->bytes = o->bytes - e->value_size + value.size;
    e->value_size = (uint32_t)value.size;
    return ERR_OK;
}
