#define _POSIX_C_SOURCE 200809L
/* check_journal.c - the readings of the journal against each other, and each record against those before. */
#include <vigil.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/torture/check.h"

bool same_record(const struct check *c, const struct seen_record *a, const struct seen_record *b)
{
    if (a->time_us != b->time_us || a->session != b->session || a->number != b->number ||
        a->parts != b->parts || a->count != b->count)
        return false;
    const struct seen_change *x = changes_of(c, a);
    const struct seen_change *y = changes_of(c, b);
    for (uint16_t i = 0; i < a->count; i++) {
        if (x[i].key != y[i].key || x[i].op != y[i].op || x[i].part != y[i].part ||
            x[i].prev_seq != y[i].prev_seq || x[i].mark != y[i].mark)
            return false;
    }
    return true;
}

static void take_records(struct check *c)
{
    for (size_t i = 0; i < c->e->journal.count; i++) {
        const struct seen_record *r = &c->e->journal.items[i];
        if (r->seq == 0)
            accuse(c, PROPERTY_DURABLE, "the journal has a record of seq 0");
        else if (!c->records[r->seq])
            c->records[r->seq] = r;
        else if (!same_record(c, c->records[r->seq], r))
            accuse(c, PROPERTY_DURABLE, "the record %" PRIu64 " is not what it was", r->seq);
    }
}

/* Where the server removes records by itself, one may be gone before it is read. A watcher that saw all of
 * it stands in: not so good a witness, but all others are then held against what it says. */
static void fill_holes(struct check *c)
{
    for (size_t i = 0; c->e->may_miss && i < c->e->watches.count; i++) {
        const struct watch_event *event = &c->e->watches.items[i];
        const struct seen_record *r = &event->record;
        if (event->kind == WATCH_RECORD && r->count == r->parts && r->seq > 0 &&
            r->seq < c->oldest && r->seq <= c->head && !c->records[r->seq])
            c->records[r->seq] = r;
    }
    c->first_unread = NEVER;
    for (uint64_t seq = 1; seq <= c->head; seq++) {
        checked(c, PROPERTY_DURABLE);
        if (c->records[seq])
            continue;
        if (!c->e->may_miss || seq >= c->oldest) {
            accuse(c, PROPERTY_DURABLE, "the record %" PRIu64 " is missing in the journal", seq);
            continue;
        }
        if (c->unread++ == 0)
            c->first_unread = seq;
    }
}

static void check_readings(struct check *c)
{
    struct reading before = {0};
    for (size_t i = 0; i < c->e->readings.count; i++) {
        const struct reading *r = &c->e->readings.items[i];
        checked(c, PROPERTY_DURABLE);
        if (i > 0 && r->epoch != before.epoch)
            accuse(c, PROPERTY_DURABLE, "the epoch went from %" PRIu64 " to %" PRIu64, before.epoch,
                   r->epoch);
        if (r->head < before.head)
            accuse(c, PROPERTY_DURABLE, "the head fell from %" PRIu64 " to %" PRIu64, before.head,
                   r->head);
        if (r->oldest < before.oldest)
            accuse(c, PROPERTY_DURABLE, "the oldest record fell from %" PRIu64 " to %" PRIu64,
                   before.oldest, r->oldest);
        before = *r;
    }
    c->epoch = before.epoch;
    c->oldest = before.oldest;
    if (before.head != c->head)
        accuse(c, PROPERTY_DURABLE,
               "the last reading has the head %" PRIu64 ", records reach %" PRIu64, before.head,
               c->head);
    if (c->e->verify_problems > 0)
        accuse(c, PROPERTY_DURABLE, "verify found %" PRIu64 " problems", c->e->verify_problems);
}

/* Compaction that passes a deletion takes the tombstone with it: what came before is then not known. */
static bool was_forgotten(const struct check *c, uint32_t key, const uint64_t *last)
{
    if (c->first_unread < c->oldest)
        return true; /* there may have been a deletion that nobody saw */
    const struct seen_record *r = record_at(c, last[key]);
    const struct seen_change *change = r ? change_of_key(c, r, key) : NULL;
    return change && change->op != VIGIL_PUT && last[key] < c->oldest;
}

/* Each change names the one before it of its key, and each record comes no earlier than the one before. */
static void check_chain(struct check *c)
{
    uint64_t *last = calloc(c->e->keys.count + 1, sizeof *last);
    uint64_t time_us = 0;
    if (!last)
        abort();
    for (uint64_t seq = 1; seq <= c->head; seq++) {
        const struct seen_record *r = c->records[seq];
        if (!r)
            continue;
        const struct seen_change *changes = changes_of(c, r);
        checked(c, PROPERTY_SERIAL);
        if (r->time_us < time_us)
            accuse(c, PROPERTY_SERIAL, "the time of record %" PRIu64 " is before that of the last",
                   seq);
        time_us = r->time_us;
        if (r->count != r->parts)
            accuse(c, PROPERTY_ATOMIC, "record %" PRIu64 " has %u of its %u parts in the journal",
                   seq, r->count, r->parts);
        for (uint16_t i = 0; i < r->count; i++) {
            if (last[changes[i].key] == seq)
                accuse(c, PROPERTY_ATOMIC, "record %" PRIu64 " changes %s twice", seq,
                       key_name(c, changes[i].key));
            else if (changes[i].prev_seq != last[changes[i].key] &&
                     !is_unread(c, changes[i].prev_seq) &&
                     !(changes[i].prev_seq == 0 && was_forgotten(c, changes[i].key, last)))
                accuse(c, PROPERTY_SERIAL,
                       "record %" PRIu64 " says that %s changed at %" PRIu64
                       " before; it did at %" PRIu64,
                       seq, key_name(c, changes[i].key), changes[i].prev_seq, last[changes[i].key]);
            last[changes[i].key] = seq;
        }
    }
    free(last);
}

void check_journal(struct check *c)
{
    take_records(c);
    check_readings(c);
    fill_holes(c);
    check_chain(c);
}
