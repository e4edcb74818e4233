/* key_table.c - an open-addressed table of keys; see key_table.h. */
#include "journal/key_table.h"

#include <assert.h>
#include <stdlib.h>

#include "protocol/crc32c.h"

enum { SLOTS_MIN = 1024 };

void key_table_free(struct key_table *t)
{
    free(t->entries);
    free(t->slots);
    free(t->keys);
    *t = (struct key_table){0};
}

struct bytes key_table_key(const struct key_table *t, const struct key_entry *entry)
{
    return (struct bytes){t->keys + entry->key_at, entry->key_size};
}

static uint32_t hash_of(struct bytes key)
{
    return (uint32_t)((crc32c(0, key.data, key.size) * UINT64_C(0x9E3779B97F4A7C15)) >> 32);
}

static size_t free_slot(const struct key_table *t, uint32_t hash)
{
    size_t slot = hash & (t->slot_count - 1);
    while (t->slots[slot].number != 0)
        slot = (slot + 1) & (t->slot_count - 1);
    return slot;
}

struct key_entry *key_table_find(const struct key_table *t, struct bytes key)
{
    if (t->slot_count == 0)
        return NULL;
    uint32_t hash = hash_of(key);
    size_t slot = hash & (t->slot_count - 1);
    for (; t->slots[slot].number != 0; slot = (slot + 1) & (t->slot_count - 1)) {
        struct key_entry *entry = &t->entries[t->slots[slot].number - 1];
        if (t->slots[slot].hash == hash && bytes_equal(key_table_key(t, entry), key))
            return entry;
    }
    return NULL;
}

static bool grow_slots(struct key_table *t)
{
    struct key_table grown = {.slot_count = t->slot_count ? t->slot_count * 2 : SLOTS_MIN};
    grown.slots = calloc(grown.slot_count, sizeof *grown.slots);
    if (!grown.slots)
        return false;
    for (size_t i = 0; i < t->slot_count; i++)
        if (t->slots[i].number != 0)
            grown.slots[free_slot(&grown, t->slots[i].hash)] = t->slots[i];
    free(t->slots);
    t->slots = grown.slots;
    t->slot_count = grown.slot_count;
    return true;
}

static bool make_room(struct key_table *t, size_t key_size)
{
    if (t->count == t->capacity) {
        size_t capacity = t->capacity ? t->capacity * 2 : SLOTS_MIN;
        struct key_entry *entries = realloc(t->entries, capacity * sizeof *entries);
        if (!entries)
            return false;
        t->entries = entries;
        t->capacity = capacity;
    }
    if (t->keys_capacity - t->keys_size < key_size) {
        size_t capacity = (t->keys_capacity + key_size) * 2;
        uint8_t *keys = realloc(t->keys, capacity);
        if (!keys)
            return false;
        t->keys = keys;
        t->keys_capacity = capacity;
    }
    return t->count < t->slot_count / 4 * 3 || grow_slots(t);
}

struct key_entry *key_table_add(struct key_table *t, struct bytes key)
{
    struct key_entry *present = key_table_find(t, key);
    if (present)
        return present;
    if (t->count >= UINT32_MAX - 1 || !make_room(t, key.size))
        return NULL;
    assert(t->entries);
    uint32_t hash = hash_of(key);
    struct key_entry *entry = &t->entries[t->count++];
    *entry = (struct key_entry){.key_at = t->keys_size, .key_size = (uint16_t)key.size};
    memcpy(t->keys + t->keys_size, key.data, key.size);
    t->keys_size += key.size;
    t->slots[free_slot(t, hash)] = (struct key_slot){hash, (uint32_t)t->count};
    return entry;
}
