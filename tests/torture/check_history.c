#define _POSIX_C_SOURCE 200809L
/*
 * check_history.c - what a key's history told: all of its changes from one on, each as the journal has it,
 * and nothing missing at either end but what had been removed.
 */
#include <vigil.h>

#include <inttypes.h>

#include "tests/torture/check.h"
#include "tests/torture/history.h"

/* The changes of key from first to last, as a history would have told them. */
static void sum_up(const struct check *c, const struct operation *o, uint64_t *ret_count,
                   uint64_t *ret_digest)
{
    uint64_t count = 0, digest = 0;
    for (size_t i = c->key_first[o->key]; i < c->key_first[o->key + 1]; i++) {
        uint64_t seq = c->key_seqs[i];
        if (seq < o->first || seq > o->seq)
            continue;
        count++;
        digest +=
            digest_of(key_name(c, o->key), seq, change_of_key(c, record_at(c, seq), o->key)->mark);
    }
    *ret_count = count;
    *ret_digest = digest;
}

static void check_beginning(struct check *c, const struct operation *o)
{
    const struct seen_record *r = record_at(c, o->first);
    const struct seen_change *first = r ? change_of_key(c, r, o->key) : NULL;
    if (!first)
        return; /* has been said */
    bool cut = first->prev_seq != 0;
    checked(c, PROPERTY_HONEST);
    if (o->succeeded == cut || (cut && first->prev_seq >= c->oldest))
        accuse(c, PROPERTY_HONEST,
               "%s: the history of %s from %" PRIu64 " on was told to be %s; before comes %" PRIu64,
               source_name(c, o->source), key_name(c, o->key), o->first,
               o->succeeded ? "complete" : "cut off", first->prev_seq);
}

void check_history(struct check *c, const struct operation *o, uint64_t floor)
{
    uint64_t newest = changed_before(c, o->key, floor + 1);
    uint64_t count, digest;
    checked(c, PROPERTY_SERIAL);
    if (o->count == 0 ? newest >= c->oldest : changed_after(c, o->key, o->seq) <= floor)
        accuse(c, PROPERTY_SERIAL,
               "%s: the history of %s ended at %" PRIu64 " after %" PRIu64 " had been told",
               source_name(c, o->source), key_name(c, o->key), o->seq, newest);
    if (o->count == 0 || c->unread > 0)
        return;
    sum_up(c, o, &count, &digest);
    if (count != o->count || digest != o->digest)
        accuse(c, PROPERTY_SERIAL,
               "%s: the history of %s from %" PRIu64 " to %" PRIu64 " has %" PRIu64
               " changes; there were %" PRIu64 "%s",
               source_name(c, o->source), key_name(c, o->key), o->first, o->seq, o->count, count,
               count == o->count ? ", with other content" : "");
    check_beginning(c, o);
}
