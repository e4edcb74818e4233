/* value_memory.c - what keys were after the change that was seen of each last. */
#include "client/value_memory.h"

#include <assert.h>
#include <stdlib.h>

#include "client/key_hash.h"

enum {
    CAPACITY_FIRST = 64,
    ROOM_STEP = 16,
    ALLOCATION_COST = 16, /* what malloc adds, about */
    SLOT_COST = 2 * sizeof(void *)
};

void value_memory_init(struct value_memory *m, size_t bytes_max)
{
    *m = (struct value_memory){.bytes_max = bytes_max};
}

void value_memory_clear(struct value_memory *m)
{
    for (struct remembered *r = m->newest; r;) {
        struct remembered *older = r->older;
        free(r);
        r = older;
    }
    free(m->slots);
    value_memory_init(m, m->bytes_max);
}

static size_t cost_of(size_t room)
{
    return sizeof(struct remembered) + room + ALLOCATION_COST + SLOT_COST;
}

static struct remembered **slot_of(const struct value_memory *m, uint64_t hash)
{
    return &m->slots[(size_t)(hash >> 20) & (m->capacity - 1)];
}

static struct remembered *find(const struct value_memory *m, uint64_t hash, struct bytes key)
{
    struct remembered *r = m->capacity ? *slot_of(m, hash) : NULL;
    while (r &&
           (r->hash != hash || r->key_size != key.size || memcmp(r->data, key.data, key.size) != 0))
        r = r->next;
    return r;
}

const struct remembered *value_memory_find(const struct value_memory *m, struct bytes key,
                                           uint64_t seq)
{
    const struct remembered *r = find(m, key_hash(key), key);
    return r && r->seq == seq ? r : NULL;
}

/* ---- the order of age ---- */

static void unlink_age(struct value_memory *m, struct remembered *r)
{
    if (r->newer)
        r->newer->older = r->older;
    else
        m->newest = r->older;
    if (r->older)
        r->older->newer = r->newer;
    else
        m->oldest = r->newer;
}

static void link_newest(struct value_memory *m, struct remembered *r)
{
    r->newer = NULL;
    r->older = m->newest;
    if (m->newest)
        m->newest->newer = r;
    else
        m->oldest = r;
    m->newest = r;
}

/* ---- entries ---- */

static void forget(struct value_memory *m, struct remembered *r)
{
    struct remembered **link = slot_of(m, r->hash);
    while (*link != r)
        link = &(*link)->next;
    *link = r->next;
    unlink_age(m, r);
    m->bytes -= cost_of(r->room);
    m->count--;
    free(r);
}

/* Without memory for it the chains become longer. */
static bool grow(struct value_memory *m)
{
    size_t capacity = m->capacity ? m->capacity * 2 : CAPACITY_FIRST;
    struct remembered **slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return m->capacity > 0;
    free(m->slots);
    m->slots = slots;
    m->capacity = capacity;
    for (struct remembered *r = m->newest; r; r = r->older) {
        struct remembered **slot = slot_of(m, r->hash);
        r->next = *slot;
        *slot = r;
    }
    return true;
}

static struct remembered *add(struct value_memory *m, uint64_t hash, size_t needed)
{
    size_t room = (needed + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
    size_t cost = cost_of(room);
    if (cost > m->bytes_max || (m->count >= m->capacity && !grow(m)))
        return NULL;
    while (m->bytes + cost > m->bytes_max) {
        const struct remembered *oldest = m->oldest;
        forget(m, m->oldest);
        assert(m->oldest != oldest);
    }
    struct remembered *r = malloc(sizeof *r + room);
    if (!r)
        return NULL;
    struct remembered **slot = slot_of(m, hash);
    *r = (struct remembered){.next = *slot, .hash = hash, .room = (uint32_t)room};
    *slot = r;
    link_newest(m, r);
    m->bytes += cost;
    m->count++;
    return r;
}

void value_memory_put(struct value_memory *m, struct bytes key, uint64_t seq, bool present,
                      struct bytes value)
{
    uint64_t hash = key_hash(key);
    size_t value_size = present ? value.size : 0;
    size_t needed = key.size + value_size;
    struct remembered *r = find(m, hash, key);
    /* The room of a much larger value is given back. */
    bool fits = r && r->room >= needed && r->room / 4 <= needed;
    if (r && !fits)
        forget(m, r);
    if (fits) {
        unlink_age(m, r);
        link_newest(m, r);
    } else {
        r = add(m, hash, needed);
    }
    if (!r)
        return;
    r->seq = seq;
    r->present = present;
    r->key_size = (uint16_t)key.size;
    r->value_size = (uint32_t)value_size;
    memcpy(r->data, key.data, key.size);
    if (value_size > 0)
        memcpy(r->data + key.size, value.data, value_size);
}
