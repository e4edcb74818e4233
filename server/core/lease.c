/* lease.c - peers, counts, and the sweep. */
#include "server/core/lease.h"

#include <assert.h>
#include <stdlib.h>

enum { PEER_ID_SIZE_MAX = 255, LOG_KEEP = 4096 };

void lease_table_init(struct lease_table *t, const struct hash_seed *seed,
                      struct stream_table *streams, size_t peers_max, size_t streams_per_peer_max)
{
    *t = (struct lease_table){.seed = *seed,
                              .streams = streams,
                              .peers_max = peers_max,
                              .streams_per_peer_max = streams_per_peer_max};
}

/* ---- peers ---- */

static bool peer_has_id(const void *item, const void *key)
{
    const struct peer *p = item;
    return bytes_equal((struct bytes){p->id, p->id_size}, *(const struct bytes *)key);
}

static struct peer *find_peer(const struct lease_table *t, struct bytes id)
{
    if (t->peers.count == 0)
        return NULL;
    return table_find(&t->peers, key_hash(&t->seed, id), peer_has_id, &id);
}

static void unlink_peer(struct lease_table *t, struct peer *p)
{
    if (p->previous)
        p->previous->next = p->next;
    else
        t->first_peer = p->next;
    if (p->next)
        p->next->previous = p->previous;
    else
        t->last_peer = p->previous;
}

static void append_peer(struct lease_table *t, struct peer *p, uint64_t now_ms)
{
    p->seen_ms = now_ms;
    p->next = NULL;
    p->previous = t->last_peer;
    if (t->last_peer)
        t->last_peer->next = p;
    else
        t->first_peer = p;
    t->last_peer = p;
}

void lease_touch(struct lease_table *t, struct bytes peer, uint64_t now_ms)
{
    struct peer *p = find_peer(t, peer);
    if (!p)
        return;
    unlink_peer(t, p);
    append_peer(t, p, now_ms);
}

static int add_peer(struct lease_table *t, struct bytes id, uint64_t now_ms, struct peer **ret_peer)
{
    assert(id.size <= PEER_ID_SIZE_MAX);
    if (t->peers.count >= t->peers_max)
        return ERR_LIMIT;
    struct peer *p = calloc(1, sizeof *p + id.size);
    if (!p)
        return ERR_NO_MEMORY;
    p->hash = key_hash(&t->seed, id);
    p->id_size = (uint8_t)id.size;
    if (id.size > 0)
        memcpy(p->id, id.data, id.size);
    if (table_add(&t->peers, p->hash, p)) {
        free(p);
        return ERR_NO_MEMORY;
    }
    append_peer(t, p, now_ms);
    *ret_peer = p;
    return ERR_OK;
}

static void remove_peer(struct lease_table *t, struct peer *p)
{
    unlink_peer(t, p);
    table_remove(&t->peers, p->hash, p);
    free(p);
}

/* ---- leases ---- */

struct lease_key {
    const struct peer *peer;
    const struct stream *stream;
};

static bool lease_has_key(const void *item, const void *key)
{
    const struct lease *l = item;
    const struct lease_key *k = key;
    return l->peer == k->peer && l->stream == k->stream;
}

/* The topic is random and the peer's hash keyed. */
static uint64_t lease_hash(const struct peer *p, const struct stream *s)
{
    return p->hash ^ wire_load_u64(s->topic + 8);
}

static struct lease *find_lease(const struct lease_table *t, const struct peer *p,
                                const struct stream *s)
{
    struct lease_key key = {p, s};
    return table_find(&t->leases, lease_hash(p, s), lease_has_key, &key);
}

static void release(struct lease_table *t, struct lease *l)
{
    if (l->is_released)
        return;
    l->is_released = true;
    l->previous_released = NULL;
    l->next_released = t->first_released;
    if (t->first_released)
        t->first_released->previous_released = l;
    t->first_released = l;
}

static void unrelease(struct lease_table *t, struct lease *l)
{
    if (!l->is_released)
        return;
    l->is_released = false;
    if (l->next_released)
        l->next_released->previous_released = l->previous_released;
    if (l->previous_released)
        l->previous_released->next_released = l->next_released;
    else
        t->first_released = l->next_released;
}

static void set_count(struct lease_table *t, struct lease *l, uint64_t count)
{
    l->peer->live_leases += (size_t)(count > 0) - (size_t)(l->count > 0);
    l->count = count;
    if (count == 0)
        release(t, l);
    else
        unrelease(t, l);
}

static int log_reserve(struct lease_table *t)
{
    if (t->log_count < t->log_capacity)
        return ERR_OK;
    size_t capacity = t->log_capacity ? t->log_capacity * 2 : 64;
    struct lease_change *log = realloc(t->log, capacity * sizeof *log);
    if (!log)
        return ERR_NO_MEMORY;
    t->log = log;
    t->log_capacity = capacity;
    return ERR_OK;
}

static void change(struct lease_table *t, struct lease *l, int64_t delta)
{
    assert(t->log_count < t->log_capacity);
    t->log[t->log_count++] = (struct lease_change){l, delta};
    set_count(t, l, l->count + (uint64_t)delta);
}

static int add_lease(struct lease_table *t, struct peer *p, struct stream *s,
                     struct lease **ret_lease)
{
    struct lease *l = calloc(1, sizeof *l);
    if (!l)
        return ERR_NO_MEMORY;
    l->hash = lease_hash(p, s);
    l->peer = p;
    l->stream = s;
    if (table_add(&t->leases, l->hash, l)) {
        free(l);
        return ERR_NO_MEMORY;
    }
    l->next = p->first_lease;
    if (p->first_lease)
        p->first_lease->previous = l;
    p->first_lease = l;
    p->leases++;
    s->leases++;
    release(t, l);
    *ret_lease = l;
    return ERR_OK;
}

static void remove_lease(struct lease_table *t, struct lease *l)
{
    struct peer *p = l->peer;
    unrelease(t, l);
    p->live_leases -= l->count > 0;
    if (l->next)
        l->next->previous = l->previous;
    if (l->previous)
        l->previous->next = l->next;
    else
        p->first_lease = l->next;
    table_remove(&t->leases, l->hash, l);
    if (--l->stream->leases == 0)
        stream_table_drop(t->streams, l->stream);
    if (--p->leases == 0)
        remove_peer(t, p);
    free(l);
}

int lease_take(struct lease_table *t, struct bytes peer, struct stream *s, uint64_t now_ms)
{
    struct peer *p = find_peer(t, peer);
    struct lease *l = p ? find_lease(t, p, s) : NULL;
    if (p && (!l || l->count == 0) && p->live_leases >= t->streams_per_peer_max)
        return ERR_LIMIT;
    if (log_reserve(t))
        return ERR_NO_MEMORY;
    if (!p) {
        int err = add_peer(t, peer, now_ms, &p);
        if (err)
            return err;
    }
    if (!l && add_lease(t, p, s, &l)) {
        if (p->leases == 0)
            remove_peer(t, p);
        return ERR_NO_MEMORY;
    }
    change(t, l, 1);
    return ERR_OK;
}

int lease_drop(struct lease_table *t, struct bytes peer, struct stream *s)
{
    struct peer *p = find_peer(t, peer);
    struct lease *l = p ? find_lease(t, p, s) : NULL;
    if (!l || l->count == 0)
        return ERR_NO_STREAM;
    if (log_reserve(t))
        return ERR_NO_MEMORY;
    change(t, l, -1);
    return ERR_OK;
}

bool lease_held(const struct lease_table *t, struct bytes peer, const struct stream *s)
{
    const struct peer *p = find_peer(t, peer);
    const struct lease *l = p ? find_lease(t, p, s) : NULL;
    return l && l->count > 0;
}

size_t lease_room(const struct lease_table *t, struct bytes peer)
{
    const struct peer *p = find_peer(t, peer);
    if (!p)
        return t->peers.count < t->peers_max ? t->streams_per_peer_max : 0;
    return t->streams_per_peer_max - p->live_leases;
}

/* ---- the end of a batch ---- */

void lease_commit(struct lease_table *t)
{
    t->log_count = 0;
    if (t->log_capacity > LOG_KEEP) {
        free(t->log);
        t->log = NULL;
        t->log_capacity = 0;
    }
}

void lease_abort(struct lease_table *t, uint64_t head)
{
    while (t->log_count > 0) {
        const struct lease_change *c = &t->log[--t->log_count];
        if (c->lease->stream->last > head)
            c->lease->stream->last = head;
        set_count(t, c->lease, c->lease->count - (uint64_t)c->delta);
    }
    lease_commit(t);
}

bool lease_sweep(struct lease_table *t, uint64_t now_ms, size_t steps_max)
{
    assert(t->log_count == 0);
    for (size_t steps = 0; steps < steps_max; steps++) {
        if (t->first_released)
            remove_lease(t, t->first_released);
        else if (t->first_peer && t->first_peer->seen_ms + LEASE_MS <= now_ms)
            remove_lease(t, t->first_peer->first_lease);
        else
            return true;
    }
    return false;
}

uint64_t lease_next_end_ms(const struct lease_table *t)
{
    return t->first_peer ? t->first_peer->seen_ms + LEASE_MS : UINT64_MAX;
}

void lease_table_free(struct lease_table *t)
{
    while (t->first_peer)
        remove_lease(t, t->first_peer->first_lease);
    table_free(&t->peers);
    table_free(&t->leases);
    free(t->log);
    *t = (struct lease_table){0};
}
