/* turns.c - the queues of turns.h. */
#include "server/core/turns.h"

#include "protocol/errors.h"

#include <assert.h>
#include <stdlib.h>

/* Those that wait for one pattern, the first to come first. */
struct turn_queue {
    uint64_t hash;
    struct turn_member *first;
    struct turn_member *last;
    struct turn_queue *next_prefix; /* PATTERN_PREFIX: all those */
    uint8_t kind;
    uint16_t size;
    uint8_t text[];
};

/* A place in one queue. */
struct turn_member {
    struct turn_place *place;
    struct turn_queue *queue;
    struct turn_member *next;
    struct turn_member *previous;
};

struct turn_place {
    uint64_t hash;
    struct turn_place *next;
    struct turn_place *previous;
    uint64_t ends_ms;
    uint64_t order; /* of its turn; 0: it waits */
    struct turn_member *members;
    uint8_t count;
    uint8_t peer_size;
    uint8_t peer[];
};

/* ---- finding ---- */

static uint64_t pattern_hash(const struct turns *t, const struct pattern *p)
{
    return key_hash(&t->seed, p->text) + p->kind;
}

static bool is_queue_of(const void *item, const void *key)
{
    const struct turn_queue *queue = item;
    const struct pattern *p = key;
    return queue->kind == p->kind && bytes_equal((struct bytes){queue->text, queue->size}, p->text);
}

static struct turn_queue *find_queue(const struct turns *t, const struct pattern *p)
{
    return table_find(&t->queues, pattern_hash(t, p), is_queue_of, p);
}

static bool is_place_of(const void *item, const void *key)
{
    const struct turn_place *place = item;
    return bytes_equal((struct bytes){place->peer, place->peer_size}, *(const struct bytes *)key);
}

static struct turn_place *find_place(const struct turns *t, struct bytes peer)
{
    return table_find(&t->places, key_hash(&t->seed, peer), is_place_of, &peer);
}

/* ---- queues ---- */

static int queue_new(struct turns *t, const struct pattern *p, struct turn_queue **ret_queue)
{
    if (p->kind == PATTERN_PREFIX && t->prefixes == LIMIT_TURN_PREFIXES)
        return ERR_LIMIT;
    struct turn_queue *queue = malloc(sizeof *queue + p->text.size);
    if (!queue)
        return ERR_NO_MEMORY;
    *queue = (struct turn_queue){
        .hash = pattern_hash(t, p), .kind = p->kind, .size = (uint16_t)p->text.size};
    if (p->text.size > 0)
        memcpy(queue->text, p->text.data, p->text.size);
    if (table_add(&t->queues, queue->hash, queue)) {
        free(queue);
        return ERR_NO_MEMORY;
    }
    if (p->kind == PATTERN_PREFIX) {
        queue->next_prefix = t->first_prefix;
        t->first_prefix = queue;
        t->prefixes++;
    }
    *ret_queue = queue;
    return ERR_OK;
}

static void queue_free_if_empty(struct turns *t, struct turn_queue *queue)
{
    if (queue->first)
        return;
    if (queue->kind == PATTERN_PREFIX) {
        struct turn_queue **at = &t->first_prefix;
        while (*at != queue)
            at = &(*at)->next_prefix;
        *at = queue->next_prefix;
        t->prefixes--;
    }
    table_remove(&t->queues, queue->hash, queue);
    free(queue);
}

static void member_add(struct turn_member *m, struct turn_place *place, struct turn_queue *queue)
{
    *m = (struct turn_member){.place = place, .queue = queue, .previous = queue->last};
    if (queue->last)
        queue->last->next = m;
    else
        queue->first = m;
    queue->last = m;
}

static void member_remove(struct turns *t, struct turn_member *m)
{
    struct turn_queue *queue = m->queue;
    if (m->previous)
        m->previous->next = m->next;
    else
        queue->first = m->next;
    if (m->next)
        m->next->previous = m->previous;
    else
        queue->last = m->previous;
    queue_free_if_empty(t, queue);
}

/* ---- places ---- */

/* Takes it out of the queues that it is in. */
static void place_free(struct turns *t, struct turn_place *place)
{
    for (uint8_t i = 0; i < place->count; i++)
        member_remove(t, &place->members[i]);
    free(place->members);
    free(place);
}

static void place_remove(struct turns *t, struct turn_place *place)
{
    if (place->previous)
        place->previous->next = place->next;
    else
        t->first = place->next;
    if (place->next)
        place->next->previous = place->previous;
    if (place->order != 0)
        t->turns--;
    table_remove(&t->places, place->hash, place);
    place_free(t, place);
}

static int place_new(struct turns *t, struct bytes peer, const struct filter *f,
                     struct turn_place **ret_place)
{
    if (t->places.count == LIMIT_TURN_PLACES)
        return ERR_LIMIT;
    assert(peer.size <= UINT8_MAX);
    struct turn_place *place = calloc(1, sizeof *place + peer.size);
    if (!place)
        return ERR_NO_MEMORY;
    int err = ERR_NO_MEMORY;
    place->hash = key_hash(&t->seed, peer);
    place->peer_size = (uint8_t)peer.size;
    if (peer.size > 0)
        memcpy(place->peer, peer.data, peer.size);
    place->members = calloc(f->count, sizeof *place->members);
    if (!place->members)
        goto fail;
    for (size_t i = 0; i < f->count; i++) {
        struct turn_queue *queue = find_queue(t, &f->patterns[i]);
        err = queue ? ERR_OK : queue_new(t, &f->patterns[i], &queue);
        if (err)
            goto fail;
        member_add(&place->members[i], place, queue);
        place->count++;
    }
    err = table_add(&t->places, place->hash, place);
    if (err)
        goto fail;
    place->next = t->first;
    if (t->first)
        t->first->previous = place;
    t->first = place;
    *ret_place = place;
    return ERR_OK;
fail:
    place_free(t, place);
    return err;
}

static bool is_for(const struct turn_place *place, const struct filter *f)
{
    if (place->count != f->count)
        return false;
    for (uint8_t i = 0; i < place->count; i++) {
        if (!is_queue_of(place->members[i].queue, &f->patterns[i]))
            return false;
    }
    return true;
}

static bool has_ended(const struct turn_place *place, uint64_t now_ms)
{
    return now_ms >= place->ends_ms;
}

/* How many are before it in the queue that holds it up most. Those that have ended are passed by. */
static uint32_t count_ahead(struct turns *t, const struct turn_place *place, uint64_t now_ms)
{
    uint32_t most = 0;
    for (uint8_t i = 0; i < place->count; i++) {
        uint32_t ahead = 0;
        struct turn_member *m = place->members[i].previous;
        while (m && ahead < TURN_AHEAD_MAX) {
            struct turn_member *previous = m->previous;
            if (has_ended(m->place, now_ms))
                place_remove(t, m->place);
            else
                ahead++;
            m = previous;
        }
        most = ahead > most ? ahead : most;
    }
    return most;
}

/* ---- the calls ---- */

void turns_free(struct turns *t)
{
    while (t->first)
        place_remove(t, t->first);
    table_free(&t->places);
    table_free(&t->queues);
}

int turns_take(struct turns *t, struct bytes peer, const struct filter *f, uint64_t now_ms,
               struct turn_answer *ret_answer)
{
    struct turn_place *place = find_place(t, peer);
    if (place && (has_ended(place, now_ms) || !is_for(place, f))) {
        place_remove(t, place);
        place = NULL;
    }
    if (!place) {
        int err = place_new(t, peer, f, &place);
        if (err)
            return err;
    }
    uint32_t ahead = 0;
    if (place->order == 0) {
        ahead = count_ahead(t, place, now_ms);
        place->ends_ms = now_ms + TURN_PLACE_MS;
        if (ahead == 0) {
            place->order = ++t->given;
            place->ends_ms = now_ms + TURN_MS;
            t->turns++;
        }
    }
    *ret_answer = (struct turn_answer){.granted = place->order != 0,
                                       .ahead = ahead,
                                       .left_ms = (uint32_t)(place->ends_ms - now_ms)};
    return ERR_OK;
}

void turns_leave(struct turns *t, struct bytes peer)
{
    struct turn_place *place = t->first ? find_place(t, peer) : NULL;
    if (place)
        place_remove(t, place);
}

/* Whether the one who is first there has its turn, and goes before a turn of this order. */
static bool forbids(const struct turn_queue *queue, uint64_t order, uint64_t now_ms)
{
    const struct turn_place *place = queue->first->place;
    return place->order != 0 && place->order < order && !has_ended(place, now_ms);
}

bool turns_forbid(const struct turns *t, struct bytes peer, struct bytes key, uint64_t now_ms)
{
    if (t->turns == 0)
        return false;
    const struct turn_place *own = find_place(t, peer);
    uint64_t order = own && own->order != 0 && !has_ended(own, now_ms) ? own->order : UINT64_MAX;
    struct pattern exact = {PATTERN_EXACT, key};
    const struct turn_queue *queue = find_queue(t, &exact);
    if (queue && forbids(queue, order, now_ms))
        return true;
    for (queue = t->first_prefix; queue; queue = queue->next_prefix) {
        if (queue->size <= key.size && memcmp(queue->text, key.data, queue->size) == 0 &&
            forbids(queue, order, now_ms))
            return true;
    }
    return false;
}

void turns_sweep(struct turns *t, uint64_t now_ms)
{
    if (!t->first || now_ms < t->sweep_ms)
        return;
    t->sweep_ms = now_ms + TURN_PLACE_MS;
    for (struct turn_place *place = t->first; place;) {
        struct turn_place *next = place->next;
        if (has_ended(place, now_ms))
            place_remove(t, place);
        place = next;
    }
}
