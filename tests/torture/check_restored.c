#define _POSIX_C_SOURCE 200809L
/*
 * check_restored.c - a server that was started with a backup: its records are the journal's up to the seq
 * that the backup was said to be of, all of them from its oldest on, in an epoch of its own. (Its state
 * is compared like a mirror's, in check_state.c.)
 */
#include <inttypes.h>

#include "tests/torture/check.h"

static bool was_backed_up(const struct check *c, uint64_t seq)
{
    for (size_t i = 0; i < c->e->operations.count; i++) {
        const struct operation *o = &c->e->operations.items[i];
        if (o->kind == OPERATION_BACKUP && o->error == 0 && o->seq == seq)
            return true;
    }
    return false;
}

static void check_records(struct check *c, const struct restored *r)
{
    const char *source = source_name(c, r->source);
    uint64_t next = r->oldest;
    for (size_t i = 0; i < r->count; i++) {
        const struct seen_record *found = &c->e->restored_records.items[r->first + i];
        const struct seen_record *original = record_at(c, found->seq);
        checked(c, PROPERTY_BACKUPS);
        if (found->seq != next)
            accuse(c, PROPERTY_BACKUPS, "%s: %" PRIu64 " comes where %" PRIu64 " should", source,
                   found->seq, next);
        if (!is_unread(c, found->seq) && (!original || !same_record(c, found, original)))
            accuse(c, PROPERTY_BACKUPS, "%s: record %" PRIu64 " is not what it was", source,
                   found->seq);
        next = found->seq + 1;
    }
    if (next != r->head + 1)
        accuse(c, PROPERTY_BACKUPS, "%s: the records end before %" PRIu64 ", the head is %" PRIu64,
               source, next, r->head);
}

void check_restored(struct check *c)
{
    for (size_t i = 0; i < c->e->restored.count; i++) {
        const struct restored *r = &c->e->restored.items[i];
        checked(c, PROPERTY_BACKUPS);
        if (r->epoch == c->epoch)
            accuse(c, PROPERTY_BACKUPS, "%s: restored, and still in the epoch %" PRIu64,
                   source_name(c, r->source), r->epoch);
        if (!was_backed_up(c, r->head))
            accuse(c, PROPERTY_BACKUPS, "%s: restored up to %" PRIu64 ", which no backup was of",
                   source_name(c, r->source), r->head);
        check_records(c, r);
    }
}
