/* life.c - see life.h: the tables, the heap of ends, taking back. */
#include "server/core/life.h"

#include "protocol/errors.h"

#include <assert.h>
#include <stdlib.h>

/* ---- the heap: the earliest end is at 0 ---- */

static void put_at(struct life_table *t, struct ending *e, size_t place)
{
    t->heap[place] = e;
    e->place = place;
}

static void sift_up(struct life_table *t, struct ending *e, size_t place)
{
    while (place > 0 && t->heap[(place - 1) / 2]->end_ms > e->end_ms) {
        put_at(t, t->heap[(place - 1) / 2], place);
        place = (place - 1) / 2;
    }
    put_at(t, e, place);
}

static void sift_down(struct life_table *t, struct ending *e, size_t place)
{
    for (;;) {
        size_t child = 2 * place + 1;
        if (child + 1 < t->heap_count && t->heap[child + 1]->end_ms < t->heap[child]->end_ms)
            child++;
        if (child >= t->heap_count || t->heap[child]->end_ms >= e->end_ms)
            break;
        put_at(t, t->heap[child], place);
        place = child;
    }
    put_at(t, e, place);
}

static void heap_add(struct life_table *t, struct ending *e)
{
    assert(!e->is_placed);
    assert(t->heap_count < t->heap_capacity);
    e->is_placed = true;
    t->heap_count++;
    sift_up(t, e, t->heap_count - 1);
}

static void heap_remove(struct life_table *t, struct ending *e)
{
    if (!e->is_placed)
        return;
    e->is_placed = false;
    struct ending *last = t->heap[--t->heap_count];
    if (last == e)
        return;
    if (last->end_ms < e->end_ms)
        sift_up(t, last, e->place);
    else
        sift_down(t, last, e->place);
}

/* Room for one more life or lease, so that nothing that is taken back needs any. */
static int heap_reserve(struct life_table *t)
{
    if (t->lives.count + t->leases.count < t->heap_capacity)
        return ERR_OK;
    size_t capacity = t->heap_capacity ? t->heap_capacity * 2 : 64;
    struct ending **heap = realloc(t->heap, capacity * sizeof *heap);
    if (!heap)
        return ERR_NO_MEMORY;
    t->heap = heap;
    t->heap_capacity = capacity;
    return ERR_OK;
}

void life_postpone(struct life_table *t, struct ending *e, uint64_t end_ms)
{
    if (end_ms <= e->end_ms)
        return;
    e->end_ms = end_ms;
    if (e->is_placed)
        sift_down(t, e, e->place);
}

/* ---- where a life belongs ---- */

static void join(struct life_table *t, struct life *l)
{
    struct key_lease *lease = l->terms.lease;
    switch (l->terms.kind) {
    case LIFE_TTL:
        l->ending.end_ms = l->terms.end_ms;
        heap_add(t, &l->ending);
        break;
    case LIFE_LEASE:
        l->previous = NULL;
        l->next = lease->first;
        if (l->next)
            l->next->previous = l;
        lease->first = l;
        lease->count++;
        break;
    case LIFE_NONE:
        break;
    }
}

static void leave(struct life_table *t, struct life *l)
{
    struct key_lease *lease = l->terms.lease;
    switch (l->terms.kind) {
    case LIFE_TTL:
        heap_remove(t, &l->ending);
        break;
    case LIFE_LEASE:
        if (l->previous)
            l->previous->next = l->next;
        else
            lease->first = l->next;
        if (l->next)
            l->next->previous = l->previous;
        lease->count--;
        break;
    case LIFE_NONE:
        break;
    }
}

static void become(struct life_table *t, struct life *l, const struct life_terms *terms)
{
    leave(t, l);
    l->terms = *terms;
    join(t, l);
}

/* ---- finding and making ---- */

static bool is_of_key(const void *item, const void *key)
{
    return bytes_equal(life_key(item), *(const struct bytes *)key);
}

static bool is_with_id(const void *item, const void *id)
{
    return ((const struct key_lease *)item)->id == *(const uint64_t *)id;
}

struct life *life_find(const struct life_table *t, struct bytes key, uint64_t hash)
{
    return table_find(&t->lives, hash, is_of_key, &key);
}

struct key_lease *key_lease_find(const struct life_table *t, uint64_t id)
{
    struct key_lease *l = table_find(&t->leases, id, is_with_id, &id);
    return l && !l->is_ended ? l : NULL;
}

/* Of kind NONE. */
static int make_life(struct life_table *t, struct bytes key, uint64_t hash, struct life **ret_life)
{
    if (heap_reserve(t))
        return ERR_NO_MEMORY;
    struct life *l = malloc(sizeof *l + key.size);
    if (!l)
        return ERR_NO_MEMORY;
    *l = (struct life){.hash = hash, .key_size = (uint16_t)key.size};
    memcpy(l->key, key.data, key.size);
    if (table_add(&t->lives, hash, l)) {
        free(l);
        return ERR_NO_MEMORY;
    }
    *ret_life = l;
    return ERR_OK;
}

static void forget_life(struct life_table *t, struct life *l)
{
    table_remove(&t->lives, l->hash, l);
    free(l);
}

static int make_lease(struct life_table *t, uint64_t id, uint32_t ttl_ms, uint64_t end_ms,
                      struct key_lease **ret_lease)
{
    if (heap_reserve(t))
        return ERR_NO_MEMORY;
    struct key_lease *l = malloc(sizeof *l);
    if (!l)
        return ERR_NO_MEMORY;
    *l = (struct key_lease){
        .ending = {.end_ms = end_ms, .is_lease = true}, .id = id, .ttl_ms = ttl_ms};
    if (table_add(&t->leases, id, l)) {
        free(l);
        return ERR_NO_MEMORY;
    }
    heap_add(t, &l->ending);
    *ret_lease = l;
    return ERR_OK;
}

static void forget_lease(struct life_table *t, struct key_lease *l)
{
    heap_remove(t, &l->ending);
    table_remove(&t->leases, l->id, l);
    free(l);
}

static void free_items(struct table *t)
{
    for (size_t i = 0; i < t->capacity; i++)
        free(t->slots[i].item);
    table_free(t);
}

void life_table_free(struct life_table *t)
{
    free_items(&t->lives);
    free_items(&t->leases);
    free(t->heap);
    *t = (struct life_table){0};
}

/* ---- at start ---- */

int life_restore(struct life_table *t, struct bytes key, uint64_t hash,
                 const struct life_terms *terms)
{
    struct life *l;
    if (make_life(t, key, hash, &l))
        return ERR_NO_MEMORY;
    become(t, l, terms);
    return ERR_OK;
}

int key_lease_restore(struct life_table *t, uint64_t id, uint32_t ttl_ms,
                      struct key_lease **ret_lease)
{
    return make_lease(t, id, ttl_ms, UINT64_MAX, ret_lease);
}

void life_renew_all(struct life_table *t, uint64_t now_ms)
{
    for (size_t i = 0; i < t->leases.capacity; i++) {
        struct key_lease *l = t->leases.slots[i].item;
        if (!l)
            continue;
        heap_remove(t, &l->ending);
        l->ending.end_ms = now_ms + l->ttl_ms + 1;
        heap_add(t, &l->ending);
    }
}

/* ---- within a batch ---- */

static void touch(struct life_table *t, struct life *l, uint64_t batch)
{
    if (l->batch == batch)
        return;
    l->batch = batch;
    l->before = l->terms;
    l->next_touched = t->touched;
    t->touched = l;
    t->touched_count++;
}

void life_change(struct life_table *t, struct life *l, const struct life_terms *terms,
                 uint64_t batch)
{
    touch(t, l, batch);
    become(t, l, terms);
}

int life_set(struct life_table *t, struct bytes key, uint64_t hash, const struct life_terms *terms,
             uint64_t batch)
{
    struct life *l = life_find(t, key, hash);
    if (!l && make_life(t, key, hash, &l))
        return ERR_NO_MEMORY;
    life_change(t, l, terms, batch);
    return ERR_OK;
}

static void touch_lease(struct life_table *t, struct key_lease *l, uint64_t batch)
{
    if (l->batch == batch)
        return;
    l->batch = batch;
    l->next_touched = t->leases_touched;
    t->leases_touched = l;
    t->leases_touched_count++;
}

int key_lease_open(struct life_table *t, uint64_t id, uint32_t ttl_ms, uint64_t end_ms,
                   uint64_t batch, struct key_lease **ret_lease)
{
    struct key_lease *l;
    if (make_lease(t, id, ttl_ms, end_ms, &l))
        return ERR_NO_MEMORY;
    l->is_new = true;
    touch_lease(t, l, batch);
    *ret_lease = l;
    return ERR_OK;
}

void key_lease_end(struct life_table *t, struct key_lease *l, uint64_t batch)
{
    assert(l->count == 0);
    touch_lease(t, l, batch);
    l->is_ended = true;
    heap_remove(t, &l->ending);
}

static void forget_touched(struct life_table *t)
{
    t->touched = NULL;
    t->touched_count = 0;
    t->leases_touched = NULL;
    t->leases_touched_count = 0;
}

void life_batch_commit(struct life_table *t)
{
    for (struct life *l = t->touched, *next; l; l = next) {
        next = l->next_touched;
        if (l->terms.kind == LIFE_NONE)
            forget_life(t, l);
    }
    for (struct key_lease *l = t->leases_touched, *next; l; l = next) {
        next = l->next_touched;
        l->is_new = false;
        if (l->is_ended)
            forget_lease(t, l);
    }
    forget_touched(t);
}

void life_batch_abort(struct life_table *t)
{
    /* Lives first: what they were may belong to a lease that this batch has ended. */
    for (struct life *l = t->touched, *next; l; l = next) {
        next = l->next_touched;
        become(t, l, &l->before);
        if (l->terms.kind == LIFE_NONE)
            forget_life(t, l);
    }
    for (struct key_lease *l = t->leases_touched, *next; l; l = next) {
        next = l->next_touched;
        if (l->is_new) {
            forget_lease(t, l);
            continue;
        }
        l->is_ended = false;
        if (!l->ending.is_placed)
            heap_add(t, &l->ending);
    }
    forget_touched(t);
}
