#define _POSIX_C_SOURCE 200809L
/*
 * check_watches.c - walks what each watcher saw, from one opening to the next, beside the journal. Nothing
 * is said of what comes after the last thing it saw, unless it has drained the stream.
 */
#include <vigil.h>

#include <inttypes.h>
#include <stdlib.h>

#include "tests/torture/check.h"

struct watching {
    uint32_t source;
    bool open;
    bool first; /* nothing has come since it was opened */
    enum watch_since since;
    uint32_t filter;
    uint64_t position; /* the records up to it are settled */
    uint64_t last;     /* record that came */
    uint64_t *came;    /* bits: records that came since it was opened, by seq */
};

static bool matches(const struct check *c, uint32_t filter, const struct seen_record *r)
{
    const struct seen_change *changes = changes_of(c, r);
    for (uint16_t i = 0; i < r->count; i++) {
        if (filter_matches(c->e, filter, changes[i].key))
            return true;
    }
    return false;
}

/* Whatever matches up to seq, seq excluded, should have come. */
static void settle(struct check *c, struct watching *w, uint64_t seq)
{
    for (uint64_t missed = w->position + 1; missed < seq && missed <= c->head; missed++) {
        const struct seen_record *r = c->records[missed];
        if (!r || !matches(c, w->filter, r))
            continue;
        /* Whatever there still is: also what went before the first one came. */
        if (w->first && w->since == SINCE_OLDEST && missed < c->oldest)
            continue;
        accuse(c, w->first ? PROPERTY_RESUMABLE : PROPERTY_RELIABLE,
               "%s: record %" PRIu64 " is missing between %" PRIu64 " and %" PRIu64,
               source_name(c, w->source), missed, w->position, seq);
        break; /* one of a row says it */
    }
}

static void opened(struct check *c, struct watching *w, const struct watch_event *event)
{
    checked(c, PROPERTY_HONEST);
    if (event->epoch != c->epoch)
        accuse(c, PROPERTY_HONEST, "%s: opened in the epoch %" PRIu64, source_name(c, w->source),
               event->epoch);
    if (event->position > c->head)
        accuse(c, PROPERTY_HONEST, "%s: opened at %" PRIu64 ", beyond the head",
               source_name(c, w->source), event->position);
    for (size_t i = 0; i <= c->head / 64; i++)
        w->came[i] = 0;
    w->open = true;
    w->first = true;
    w->since = event->since;
    w->filter = event->filter;
    w->position = event->position;
    w->last = 0;
}

static const struct seen_change *part_of(const struct seen_change *changes, uint16_t count,
                                         uint16_t part)
{
    for (uint16_t i = 0; i < count; i++) {
        if (changes[i].part == part)
            return &changes[i];
    }
    return NULL;
}

static bool same_change(const struct seen_change *a, const struct seen_change *b)
{
    return a->key == b->key && a->op == b->op && a->prev_seq == b->prev_seq && a->mark == b->mark;
}

/* The value before is the one of the change before; it is unknown only where compaction took that. */
static void check_before(struct check *c, const struct watching *w, uint64_t seq,
                         const struct seen_change *came)
{
    const struct seen_record *r = came->prev_seq ? record_at(c, came->prev_seq) : NULL;
    const struct seen_change *old = r ? change_of_key(c, r, came->key) : NULL;
    bool was_there = old && old->op == VIGIL_PUT;
    bool right = came->before == VIGIL_BEFORE_UNKNOWN && came->prev_seq < c->oldest;
    if (came->before == VIGIL_BEFORE_NOT_ASKED || is_unread(c, came->prev_seq))
        return;
    if (came->before == VIGIL_BEFORE_ABSENT)
        right = !was_there;
    else if (came->before == VIGIL_BEFORE_VALUE)
        right = was_there && came->before_mark == old->mark;
    checked(c, PROPERTY_BEFORE);
    if (!right)
        accuse(c, PROPERTY_BEFORE,
               "%s: what %s was before %" PRIu64 " was told wrongly (%u); it changed at %" PRIu64,
               source_name(c, w->source), key_name(c, came->key), seq, came->before,
               came->prev_seq);
}

/* All parts of the record that match, and no other, as they stand in the journal. */
static void compare_content(struct check *c, const struct watching *w,
                            const struct seen_record *seen, const struct seen_record *r)
{
    const struct seen_change *came = changes_of(c, seen);
    const struct seen_change *whole = changes_of(c, r);
    checked(c, PROPERTY_FILTERED);
    checked(c, PROPERTY_ATOMIC);
    if (seen->count == 0)
        accuse(c, PROPERTY_FILTERED, "%s: record %" PRIu64 " came without a change",
               source_name(c, w->source), seen->seq);
    if (seen->parts != r->parts || seen->time_us != r->time_us)
        accuse(c, PROPERTY_DURABLE, "%s: record %" PRIu64 " was shown otherwise than it is",
               source_name(c, w->source), seen->seq);
    for (uint16_t i = 0; i < seen->count; i++) {
        const struct seen_change *true_change = part_of(whole, r->count, came[i].part);
        if (!true_change || !same_change(&came[i], true_change))
            accuse(c, PROPERTY_DURABLE,
                   "%s: part %u of record %" PRIu64 " was shown otherwise than it is",
                   source_name(c, w->source), came[i].part, seen->seq);
        check_before(c, w, seen->seq, &came[i]);
        if (!filter_matches(c->e, w->filter, came[i].key))
            accuse(c, PROPERTY_FILTERED, "%s: record %" PRIu64 " brought %s, which does not match",
                   source_name(c, w->source), seen->seq, key_name(c, came[i].key));
    }
    for (uint16_t i = 0; i < r->count; i++) {
        if (filter_matches(c->e, w->filter, whole[i].key) &&
            !part_of(came, seen->count, whole[i].part))
            accuse(c, PROPERTY_ATOMIC, "%s: record %" PRIu64 " came without its part %u",
                   source_name(c, w->source), seen->seq, whole[i].part);
    }
}

static void take_record(struct check *c, struct watching *w, const struct watch_event *event)
{
    uint64_t seq = event->record.seq;
    const struct seen_record *r = record_at(c, seq);
    checked(c, PROPERTY_ORDERED);
    checked(c, PROPERTY_UNIQUE);
    checked(c, PROPERTY_RELIABLE);
    if (!r && !is_unread(c, seq)) {
        accuse(c, PROPERTY_DURABLE, "%s: was shown %" PRIu64 ", which the journal has not",
               source_name(c, w->source), seq);
        return;
    }
    if (w->came[seq / 64] >> (seq % 64) & 1)
        accuse(c, PROPERTY_UNIQUE, "%s: record %" PRIu64 " came twice", source_name(c, w->source),
               seq);
    else if (seq < w->last)
        accuse(c, PROPERTY_ORDERED, "%s: record %" PRIu64 " came after %" PRIu64,
               source_name(c, w->source), seq, w->last);
    else if (w->first && seq <= w->position)
        accuse(c, PROPERTY_RESUMABLE, "%s: opened after %" PRIu64 ", and got %" PRIu64,
               source_name(c, w->source), w->position, seq);
    else if (seq <= w->position)
        accuse(c, PROPERTY_BOOKMARKED, "%s: got %" PRIu64 " when its position was %" PRIu64,
               source_name(c, w->source), seq, w->position);
    w->came[seq / 64] |= UINT64_C(1) << (seq % 64);
    if (w->first)
        checked(c, PROPERTY_RESUMABLE);
    if (seq > w->position)
        settle(c, w, seq);
    if (r)
        compare_content(c, w, &event->record, r);
    if (event->position != seq)
        accuse(c, PROPERTY_BOOKMARKED, "%s: the position with record %" PRIu64 " is %" PRIu64,
               source_name(c, w->source), seq, event->position);
    if (seq > w->last)
        w->last = seq;
    if (seq > w->position)
        w->position = seq;
    w->first = false;
}

static void take_position(struct check *c, struct watching *w, uint64_t position)
{
    if (position < w->position)
        accuse(c, PROPERTY_BOOKMARKED, "%s: the position fell from %" PRIu64 " to %" PRIu64,
               source_name(c, w->source), w->position, position);
    if (position <= w->position)
        return;
    settle(c, w, position + 1);
    w->position = position;
    w->first = false;
}

static void take_bookmark(struct check *c, struct watching *w, const struct watch_event *event)
{
    checked(c, PROPERTY_BOOKMARKED);
    take_position(c, w, event->position);
    if (event->position > event->head)
        accuse(c, PROPERTY_BOOKMARKED, "%s: the position %" PRIu64 " is beyond the head %" PRIu64,
               source_name(c, w->source), event->position, event->head);
    if (event->head > c->head)
        accuse(c, PROPERTY_DURABLE, "%s: was shown the head %" PRIu64 ", which the journal has not",
               source_name(c, w->source), event->head);
}

static void ended(struct check *c, struct watching *w, const struct watch_event *event)
{
    checked(c, PROPERTY_HONEST);
    take_position(c, w, event->position);
    switch (event->error) {
    case VIGIL_COMPACTED:
        if (event->oldest <= event->position + 1 || event->oldest > c->oldest)
            accuse(c, PROPERTY_HONEST,
                   "%s: COMPACTED at %" PRIu64 " with the oldest record said to be %" PRIu64
                   ", in the journal %" PRIu64,
                   source_name(c, w->source), event->position, event->oldest, c->oldest);
        break;
    case VIGIL_EPOCH_CHANGED:
    case VIGIL_POSITION_AHEAD:
    case VIGIL_CORRUPT:
        accuse(c, PROPERTY_HONEST, "%s: told %s at %" PRIu64 ", which is not true",
               source_name(c, w->source), vigil_error_name(event->error), event->position);
        break;
    default:
        break;
    }
    w->open = false;
}

/* Another epoch and a position beyond the head are told as what they are, or not at all. */
static void refused(struct check *c, uint32_t source, const struct watch_event *event)
{
    bool answered = event->error == VIGIL_OK || event->error == VIGIL_COMPACTED ||
                    event->error == VIGIL_EPOCH_CHANGED || event->error == VIGIL_POSITION_AHEAD;
    checked(c, PROPERTY_HONEST);
    if (answered && event->error != event->expected)
        accuse(c, PROPERTY_HONEST, "%s: told %s for a position that is %s", source_name(c, source),
               vigil_error_name(event->error), vigil_error_name(event->expected));
}

static void take_event(struct check *c, struct watching *w, const struct watch_event *event)
{
    if (event->kind == WATCH_REFUSED) {
        refused(c, w->source, event);
        return;
    }
    if (event->kind == WATCH_OPENED) {
        opened(c, w, event);
        return;
    }
    if (!w->open) { /* refused before it was open */
        if (event->kind == WATCH_ENDED) {
            w->position = event->position;
            ended(c, w, event);
        }
        return;
    }
    switch (event->kind) {
    case WATCH_RECORD:
        take_record(c, w, event);
        break;
    case WATCH_BOOKMARK:
        take_bookmark(c, w, event);
        break;
    case WATCH_ENDED:
        ended(c, w, event);
        break;
    case WATCH_DRAINED:
        checked(c, PROPERTY_RELIABLE);
        if (w->position < event->head)
            accuse(c, PROPERTY_RELIABLE, "%s: drained, but at %" PRIu64 " of %" PRIu64,
                   source_name(c, w->source), w->position, event->head);
        break;
    case WATCH_OPENED:
    case WATCH_REFUSED:
        break;
    }
}

void check_watches(struct check *c)
{
    struct watching w = {.source = UINT32_MAX};
    w.came = calloc(c->head / 64 + 1, sizeof *w.came);
    if (!w.came)
        abort();
    for (size_t i = 0; i < c->e->watches.count; i++) {
        const struct watch_event *event = &c->e->watches.items[i];
        if (event->source != w.source) {
            w.source = event->source;
            w.open = false;
        }
        take_event(c, &w, event);
    }
    free(w.came);
}
