#define _POSIX_C_SOURCE 200809L
/*
 * check_state.c - walks the journal once and, at each seq, compares the state with what reads, listings
 * and mirrors said it was.
 */
#include <vigil.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/torture/check.h"
#include "tests/torture/history.h"

struct key_state {
    bool present;
    uint64_t modified, created, version, mark;
};

struct walk {
    struct key_state *keys;
    uint64_t *counts;    /* [filter] */
    uint64_t *digests;   /* [filter] */
    uint8_t *matches;    /* [filter * keys + key] */
    size_t *entry_order; /* entries by seq */
    size_t *digest_order;
    size_t next_entry, next_digest;
    const struct operation **told; /* [seq]: who was told a version with it, or NULL */
};

static const struct evidence *sorted; /* qsort has no context: one check at a time */

static int compare_entries(const void *left, const void *right)
{
    uint64_t a = sorted->entries.items[*(const size_t *)left].seq;
    uint64_t b = sorted->entries.items[*(const size_t *)right].seq;
    return a < b ? -1 : a > b;
}

static int compare_digests(const void *left, const void *right)
{
    uint64_t a = sorted->digests.items[*(const size_t *)left].seq;
    uint64_t b = sorted->digests.items[*(const size_t *)right].seq;
    return a < b ? -1 : a > b;
}

static void *allocated(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    if (!memory)
        abort();
    return memory;
}

static void open_walk(struct walk *w, const struct check *c)
{
    const struct evidence *e = c->e;
    *w = (struct walk){0};
    w->keys = allocated(e->keys.count, sizeof *w->keys);
    w->counts = allocated(e->filters.count, sizeof *w->counts);
    w->digests = allocated(e->filters.count, sizeof *w->digests);
    w->matches = allocated(e->filters.count * e->keys.count, 1);
    w->entry_order = allocated(e->entries.count, sizeof *w->entry_order);
    w->digest_order = allocated(e->digests.count, sizeof *w->digest_order);
    for (uint32_t f = 0; f < e->filters.count; f++) {
        for (uint32_t k = 0; k < e->keys.count; k++)
            w->matches[f * e->keys.count + k] = filter_matches(e, f, k);
    }
    for (size_t i = 0; i < e->entries.count; i++)
        w->entry_order[i] = i;
    for (size_t i = 0; i < e->digests.count; i++)
        w->digest_order[i] = i;
    w->told = allocated(c->head + 1, sizeof *w->told);
    for (size_t i = 0; i < e->operations.count; i++) {
        const struct operation *o = &e->operations.items[i];
        bool one_key = o->kind == OPERATION_PUT || o->kind == OPERATION_INCR;
        if (one_key && o->error == 0 && o->seq <= c->head)
            w->told[o->seq] = o;
    }
    sorted = e;
    qsort(w->entry_order, e->entries.count, sizeof *w->entry_order, compare_entries);
    qsort(w->digest_order, e->digests.count, sizeof *w->digest_order, compare_digests);
}

static void close_walk(struct walk *w)
{
    free(w->keys);
    free(w->counts);
    free(w->digests);
    free(w->matches);
    free(w->entry_order);
    free(w->digest_order);
    free(w->told);
}

/* Adds (or with sign -1 takes away) what key is now to the digests that it belongs to. */
static void count_key(struct walk *w, const struct check *c, uint32_t key, uint64_t sign)
{
    const struct key_state *k = &w->keys[key];
    if (!k->present)
        return;
    uint64_t part = digest_of(key_name(c, key), k->modified, k->mark);
    for (size_t f = 0; f < c->e->filters.count; f++) {
        if (w->matches[f * c->e->keys.count + key]) {
            w->counts[f] += sign;
            w->digests[f] += sign * part;
        }
    }
}

static void apply(struct walk *w, const struct check *c, const struct seen_record *r)
{
    const struct seen_change *changes = changes_of(c, r);
    for (uint16_t i = 0; i < r->count; i++) {
        struct key_state *k = &w->keys[changes[i].key];
        count_key(w, c, changes[i].key, UINT64_MAX);
        bool put = changes[i].op == VIGIL_PUT;
        if (put && !k->present) {
            k->created = r->seq;
            k->version = 0;
        }
        k->present = put;
        k->version = put ? k->version + 1 : 0;
        k->modified = r->seq;
        k->mark = changes[i].mark;
        count_key(w, c, changes[i].key, 1);
    }
}

static void check_version(struct check *c, const struct walk *w, uint64_t seq)
{
    const struct operation *o = w->told[seq];
    if (!o || w->keys[o->key].modified != seq)
        return;
    checked(c, PROPERTY_SERIAL);
    if (o->version != w->keys[o->key].version)
        accuse(c, PROPERTY_SERIAL,
               "%s: told version %" PRIu64 " of %s at %" PRIu64 ", which is %" PRIu64,
               source_name(c, o->source), o->version, key_name(c, o->key), seq,
               w->keys[o->key].version);
}

static void check_entry(struct check *c, const struct walk *w, const struct entry_claim *claim)
{
    const struct key_state *k = &w->keys[claim->key];
    const struct operation *o = &c->e->operations.items[claim->operation];
    bool same = claim->present == k->present;
    if (k->present)
        same = same && claim->modified == k->modified && claim->created == k->created &&
               claim->version == k->version && claim->mark == k->mark;
    else
        same = same && (claim->modified == 0 || claim->modified == k->modified);
    checked(c, PROPERTY_SERIAL);
    if (!same)
        accuse(c, PROPERTY_SERIAL,
               "%s: a read of %s at %" PRIu64 " saw %s of %" PRIu64 " (version %" PRIu64
               "); it was %s of %" PRIu64 " (version %" PRIu64 ")",
               source_name(c, o->source), key_name(c, claim->key), claim->seq,
               claim->present ? "the value" : "its absence", claim->modified, claim->version,
               k->present ? "the value" : "absent", k->modified, k->version);
}

static void check_wait_state(struct check *c, const struct operation *o)
{
    const struct seen_record *r = record_at(c, changed_before(c, o->key, o->seq + 1));
    const struct seen_change *change = r ? change_of_key(c, r, o->key) : NULL;
    if (c->first_unread <= o->seq)
        return;
    checked(c, PROPERTY_WAITS);
    if (!change || change->mark != o->result_mark || o->result_mark % o->divisor != o->remainder)
        accuse(c, PROPERTY_WAITS,
               "%s: a wait for %s ended with a state at %" PRIu64 " that was not",
               source_name(c, o->source), key_name(c, o->key), o->seq);
}

static void check_digest(struct check *c, const struct walk *w, const struct digest_claim *claim)
{
    checked(c, PROPERTY_SERIAL);
    if (claim->seq < claim->at_least)
        accuse(c, PROPERTY_SERIAL, "%s: a copy at %" PRIu64 " after %" PRIu64 " had been asked for",
               source_name(c, claim->source), claim->seq, claim->at_least);
    if (claim->count != w->counts[claim->filter] || claim->digest != w->digests[claim->filter])
        accuse(c, PROPERTY_SERIAL,
               "%s: a copy of %s... at %" PRIu64 " has %" PRIu64 " keys; there were %" PRIu64 "%s",
               source_name(c, claim->source), c->e->filters.items[claim->filter].patterns[0],
               claim->seq, claim->count, w->counts[claim->filter],
               claim->count == w->counts[claim->filter] ? ", with other content" : "");
}

static void check_claims_at(struct check *c, struct walk *w, uint64_t seq)
{
    const struct evidence *e = c->e;
    for (; w->next_entry < e->entries.count; w->next_entry++) {
        const struct entry_claim *claim = &e->entries.items[w->entry_order[w->next_entry]];
        if (claim->seq > seq)
            break;
        check_entry(c, w, claim);
    }
    for (; w->next_digest < e->digests.count; w->next_digest++) {
        const struct digest_claim *claim = &e->digests.items[w->digest_order[w->next_digest]];
        if (claim->seq > seq)
            break;
        check_digest(c, w, claim);
    }
}

void check_state(struct check *c)
{
    struct walk w;
    open_walk(&w, c);
    check_claims_at(c, &w, 0);
    for (uint64_t seq = 1; seq <= c->head; seq++) {
        if (is_unread(c, seq))
            break; /* nobody knows the state from here on */
        if (c->records[seq])
            apply(&w, c, c->records[seq]);
        check_version(c, &w, seq);
        check_claims_at(c, &w, seq);
    }
    size_t left = c->e->entries.count - w.next_entry + c->e->digests.count - w.next_digest;
    if (left > 0 && c->unread == 0)
        accuse(c, PROPERTY_DURABLE, "%zu reads saw a state beyond the journal's head", left);
    for (size_t i = 0; i < c->e->operations.count; i++) {
        const struct operation *o = &c->e->operations.items[i];
        if (o->kind == OPERATION_WAIT && o->error == 0 && o->succeeded)
            check_wait_state(c, o);
    }
    close_walk(&w);
}
