#define _POSIX_C_SOURCE 200809L
/*
 * check_lives.c - keys that expire. Only a key whose last put gave it an end does; one with a time to live
 * alone, and not before that time after it was asked for; those of a lease together, and not while the
 * lease was told to go on. Whoever gave keys an end lists them at the very end, when there may be none.
 *
 * Too early is judged by who saw it first: the record, and the deadline, are older than that.
 */
#include <vigil.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/torture/check.h"

/* A put that gave a key its end: known by its value. */
struct life {
    uint64_t mark;
    const struct operation *operation;
    const struct work_step *step;
};

/* By the lease's id. */
struct lease {
    uint64_t id;
    uint64_t not_before_us; /* it was told to live until then */
    uint64_t closed_us;     /* when that was first asked for; NEVER */
    uint64_t closed_seq;    /* it was told to be closed, and the head then; NEVER */
    size_t live;            /* its keys, on the walk */
};

struct walk {
    struct check *c;
    struct life *lives;
    size_t lives_count;
    struct lease *leases;
    size_t leases_count;
    const struct life **current; /* [key]: what its last put gave it, or NULL */
    uint64_t *seen_us;           /* [seq]: by whom it was seen first; 0: nobody */
    bool whole;                  /* no record is unknown so far */
};

static int compare_lives(const void *left, const void *right)
{
    const struct life *a = left;
    const struct life *b = right;
    return a->mark < b->mark ? -1 : a->mark > b->mark;
}

static int compare_leases(const void *left, const void *right)
{
    const struct lease *a = left;
    const struct lease *b = right;
    return a->id < b->id ? -1 : a->id > b->id;
}

static const struct life *find_life(const struct walk *w, uint64_t mark)
{
    struct life wanted = {.mark = mark};
    return w->lives_count ? bsearch(&wanted, w->lives, w->lives_count, sizeof wanted, compare_lives)
                          : NULL;
}

static struct lease *find_lease(const struct walk *w, uint64_t id)
{
    struct lease wanted = {.id = id};
    return w->leases_count
               ? bsearch(&wanted, w->leases, w->leases_count, sizeof wanted, compare_leases)
               : NULL;
}

static struct lease *lease_of(const struct walk *w, const struct life *l)
{
    return l && l->step->code == WORK_LEASE ? find_lease(w, (uint64_t)l->step->by) : NULL;
}

static void *allocated(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    if (!memory)
        abort();
    return memory;
}

/* ---- what was asked for ---- */

static void collect_lives(struct walk *w)
{
    const struct evidence *e = w->c->e;
    w->lives = allocated(e->steps.count, sizeof *w->lives);
    for (size_t i = 0; i < e->operations.count; i++) {
        const struct operation *o = &e->operations.items[i];
        for (size_t k = 0; o->kind == OPERATION_DO && k < o->step_count; k++) {
            const struct work_step *s = &e->steps.items[o->first_step + k];
            if (s->code == WORK_TTL || s->code == WORK_LEASE)
                w->lives[w->lives_count++] = (struct life){s->mark, o, s};
        }
    }
    qsort(w->lives, w->lives_count, sizeof *w->lives, compare_lives);
}

static void collect_leases(struct walk *w)
{
    const struct evidence *e = w->c->e;
    w->leases = allocated(e->operations.count, sizeof *w->leases);
    for (size_t i = 0; i < e->operations.count; i++) {
        const struct operation *o = &e->operations.items[i];
        if (o->kind == OPERATION_LEASE_OPEN && o->error == 0)
            w->leases[w->leases_count++] =
                (struct lease){o->lease, o->start_us + o->ttl_ms * 1000, NEVER, NEVER, 0};
    }
    qsort(w->leases, w->leases_count, sizeof *w->leases, compare_leases);
}

static uint64_t ttl_of(const struct walk *w, uint64_t lease)
{
    const struct evidence *e = w->c->e;
    for (size_t i = 0; i < e->operations.count; i++) {
        const struct operation *o = &e->operations.items[i];
        if (o->kind == OPERATION_LEASE_OPEN && o->error == 0 && o->lease == lease)
            return o->ttl_ms;
    }
    return 0;
}

static void follow_leases(struct walk *w)
{
    const struct evidence *e = w->c->e;
    for (size_t i = 0; i < e->operations.count; i++) {
        const struct operation *o = &e->operations.items[i];
        bool renews = o->kind == OPERATION_LEASE_RENEW;
        struct lease *l =
            renews || o->kind == OPERATION_LEASE_CLOSE ? find_lease(w, o->lease) : NULL;
        if (!l)
            continue;
        uint64_t until_us = o->start_us + ttl_of(w, l->id) * 1000;
        if (renews && o->error == 0 && until_us > l->not_before_us)
            l->not_before_us = until_us;
        if (!renews && o->start_us < l->closed_us)
            l->closed_us = o->start_us;
        if (!renews && o->error == 0 && o->seq < l->closed_seq)
            l->closed_seq = o->seq;
    }
}

static void collect_sights(struct walk *w)
{
    const struct evidence *e = w->c->e;
    w->seen_us = allocated(w->c->head, sizeof *w->seen_us);
    for (size_t i = 0; i < e->sights.count; i++) {
        const struct sight *s = &e->sights.items[i];
        uint64_t *seen_us = s->seq <= w->c->head ? &w->seen_us[s->seq] : NULL;
        if (seen_us && (*seen_us == 0 || s->time_us < *seen_us))
            *seen_us = s->time_us;
    }
}

/* ---- the ends ---- */

static void check_time(struct walk *w, const struct seen_record *r, const struct life *life)
{
    uint64_t not_before_us = life->operation->start_us + (uint64_t)life->step->by * 1000;
    uint64_t seen_us = w->seen_us[r->seq];
    const struct lease *lease = lease_of(w, life);
    if (life->step->code == WORK_LEASE) {
        if (!lease)
            return; /* nobody was told of it */
        not_before_us = lease->not_before_us;
        if (lease->closed_us < not_before_us)
            not_before_us = lease->closed_us;
    }
    if (seen_us != 0 && seen_us < not_before_us)
        accuse(w->c, PROPERTY_LIVES,
               "%s: %s expired at %" PRIu64 ", %" PRIu64 " us before its time",
               source_name(w->c, life->operation->source), key_name(w->c, life->step->key), r->seq,
               not_before_us - seen_us);
}

/* All of one life: a key with a time of its own, or what has the same lease, all of it. */
static void check_company(struct walk *w, const struct seen_record *r, const struct life *first)
{
    const struct seen_change *changes = changes_of(w->c, r);
    const struct lease *lease = lease_of(w, first);
    for (uint16_t i = 1; i < r->count; i++) {
        /* What it is since a record that nobody has read is not known. */
        bool is_known = !is_unread(w->c, changes[i].prev_seq);
        const struct life *other = is_known ? w->current[changes[i].key] : NULL;
        if (other && (first->step->code != WORK_LEASE || other->step->code != WORK_LEASE ||
                      other->step->by != first->step->by))
            accuse(w->c, PROPERTY_LIVES, "record %" PRIu64 " ends %s together with %s", r->seq,
                   key_name(w->c, changes[0].key), key_name(w->c, changes[i].key));
    }
    if (lease && w->whole && lease->live != r->count)
        accuse(w->c, PROPERTY_LIVES,
               "record %" PRIu64 " ends %u keys of a lease that has %zu, %s among them", r->seq,
               r->count, lease->live, key_name(w->c, changes[0].key));
}

static void check_end(struct walk *w, const struct seen_record *r, const struct seen_change *change)
{
    const struct seen_record *before = record_at(w->c, change->prev_seq);
    const struct seen_change *put = before ? change_of_key(w->c, before, change->key) : NULL;
    const struct life *life = put && put->op == VIGIL_PUT ? find_life(w, put->mark) : NULL;
    w->c->verdict->expired++;
    if (is_unread(w->c, change->prev_seq))
        return;
    checked(w->c, PROPERTY_LIVES);
    if (!life)
        accuse(w->c, PROPERTY_LIVES,
               "%s expired at %" PRIu64 ", and what it was since %" PRIu64 " had no end",
               key_name(w->c, change->key), r->seq, change->prev_seq);
    else
        check_time(w, r, life);
}

/* A record that expires a key expires nothing but keys, and changes none. */
static void check_ends(struct walk *w, const struct seen_record *r)
{
    const struct seen_change *changes = changes_of(w->c, r);
    uint16_t ends = 0;
    for (uint16_t i = 0; i < r->count; i++) {
        if (changes[i].op == VIGIL_EXPIRE) {
            check_end(w, r, &changes[i]);
            ends++;
        }
    }
    if (ends > 0 && ends < r->count)
        accuse(w->c, PROPERTY_LIVES, "record %" PRIu64 " expires keys and changes others", r->seq);
    else if (ends > 0 && w->current[changes[0].key] && !is_unread(w->c, changes[0].prev_seq))
        check_company(w, r, w->current[changes[0].key]);
}

static void apply(struct walk *w, const struct seen_record *r)
{
    const struct seen_change *changes = changes_of(w->c, r);
    for (uint16_t i = 0; i < r->count; i++) {
        const struct life **life = &w->current[changes[i].key];
        struct lease *lease = lease_of(w, *life);
        if (lease)
            lease->live--;
        *life = changes[i].op == VIGIL_PUT ? find_life(w, changes[i].mark) : NULL;
        lease = lease_of(w, *life);
        if (lease)
            lease->live++;
        if (lease && lease->closed_seq < r->seq)
            accuse(w->c, PROPERTY_LIVES,
                   "%s was put at %" PRIu64 " with a lease closed at %" PRIu64,
                   key_name(w->c, changes[i].key), r->seq, lease->closed_seq);
    }
}

/* ---- what is left ---- */

/* The seq at which its source listed its keys last. */
static uint64_t last_listed(const struct walk *w, const struct life *life)
{
    const struct evidence *e = w->c->e;
    for (size_t i = e->digests.count; i > 0; i--) {
        const struct digest_claim *claim = &e->digests.items[i - 1];
        if (claim->source == life->operation->source && claim->operation != SIZE_MAX &&
            filter_matches(e, claim->filter, life->step->key))
            return claim->seq;
    }
    return 0;
}

static void check_left(struct walk *w)
{
    for (uint32_t key = 0; key < w->c->e->keys.count; key++) {
        const struct life *life = w->current[key];
        uint64_t put = changed_before(w->c, key, NEVER);
        if (!life)
            continue;
        checked(w->c, PROPERTY_LIVES);
        const struct lease *lease = lease_of(w, life);
        if (put <= last_listed(w, life) || (lease && lease->closed_seq != NEVER))
            accuse(w->c, PROPERTY_LIVES, "%s: %s was to expire, and is there at the end",
                   source_name(w->c, life->operation->source), key_name(w->c, key));
    }
}

/* Once a lease was told to be closed, its keys are gone. */
static void check_closed(struct walk *w, uint64_t seq)
{
    for (size_t i = 0; i < w->leases_count; i++) {
        const struct lease *l = &w->leases[i];
        if (l->closed_seq == seq && l->live > 0)
            accuse(w->c, PROPERTY_LIVES, "a lease was closed at %" PRIu64 ", and has %zu keys", seq,
                   l->live);
    }
}

void check_lives(struct check *c)
{
    struct walk w = {.c = c, .whole = true};
    collect_lives(&w);
    collect_leases(&w);
    follow_leases(&w);
    collect_sights(&w);
    w.current = allocated(c->e->keys.count, sizeof *w.current);
    for (uint64_t seq = 1; seq <= c->head; seq++) {
        const struct seen_record *r = record_at(c, seq);
        w.whole &= !is_unread(c, seq);
        if (r) {
            check_ends(&w, r);
            apply(&w, r);
        }
        if (w.whole)
            check_closed(&w, seq);
    }
    if (w.whole)
        check_left(&w);
    free(w.lives);
    free(w.leases);
    free(w.seen_us);
    free(w.current);
}
