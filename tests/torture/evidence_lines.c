#define _GNU_SOURCE
/*
 * evidence_lines.c - reads one line of a history; the kinds are listed in history.h. Those of requests are
 * in evidence_requests.c.
 */
#include "tests/torture/evidence_lines.h"

#include "tests/torture/evidence_words.h"

static bool line_reading(struct words *w, struct evidence *e)
{
    struct reading r;
    r.epoch = words_number(w);
    r.oldest = words_number(w);
    r.head = words_number(w);
    *LIST_ADD(&e->readings) = r;
    return !w->failed;
}

/* ---- watchers and mirrors ---- */

static bool line_watch(struct words *w, struct evidence *e, char kind)
{
    struct watch_event event = {.source = evidence_source(e)};
    if (kind == 'W') {
        event.kind = WATCH_OPENED;
        (void)words_number(w);
        const char *since = words_next(w);
        event.since = *since == 'n' ? SINCE_NOW : *since == 'o' ? SINCE_OLDEST : SINCE_POSITION;
        event.epoch = words_number(w);
        event.position = words_number(w);
        event.filter = words_filter(w, e, words_number(w));
    } else if (kind == 'E') {
        event.kind = WATCH_RECORD;
        event.position = words_number(w);
        event.record = words_record(w, e);
    } else if (kind == 'B') {
        event.kind = WATCH_BOOKMARK;
        event.position = words_number(w);
        event.head = words_number(w);
        event.oldest = words_number(w);
    } else if (kind == 'X') {
        event.kind = WATCH_ENDED;
        event.error = (int)words_number(w);
        event.epoch = words_number(w);
        event.position = words_number(w);
        event.oldest = words_number(w);
        event.head = words_number(w);
    } else if (kind == 'Z') {
        event.kind = WATCH_REFUSED;
        event.expected = (int)words_number(w);
        event.error = (int)words_number(w);
    } else {
        event.kind = WATCH_DRAINED;
        event.head = words_number(w);
    }
    *LIST_ADD(&e->watches) = event;
    return !w->failed;
}

static bool line_before(struct words *w, struct evidence *e)
{
    uint64_t seq = words_number(w);
    uint64_t count = words_number(w);
    const struct watch_event *seen =
        e->watches.count > 0 ? &e->watches.items[e->watches.count - 1] : NULL;
    if (!seen || seen->kind != WATCH_RECORD || seen->source != evidence_source(e) ||
        seen->record.seq != seq || seen->record.count != count)
        return false;
    for (uint64_t i = 0; i < count && !w->failed; i++) {
        struct seen_change *change = &e->changes.items[seen->record.first + i];
        change->before = (uint8_t)words_number(w);
        change->before_mark = words_mark(w);
    }
    return !w->failed;
}

static bool line_sight(struct words *w, struct evidence *e)
{
    struct sight s;
    s.time_us = words_number(w);
    s.seq = words_number(w);
    if (!w->failed)
        *LIST_ADD(&e->sights) = s;
    return !w->failed;
}

static bool line_total(struct words *w, struct evidence *e)
{
    struct total_claim c = {.source = evidence_source(e)};
    (void)words_number(w);
    c.seq = words_number(w);
    c.accounts = words_number(w);
    c.total = (int64_t)words_number(w);
    if (!w->failed)
        *LIST_ADD(&e->totals) = c;
    return !w->failed;
}

static bool line_restored(struct words *w, struct evidence *e)
{
    struct restored r = {.source = evidence_source(e), .first = e->restored_records.count};
    r.epoch = words_number(w);
    r.oldest = words_number(w);
    r.head = words_number(w);
    if (!w->failed)
        *LIST_ADD(&e->restored) = r;
    return !w->failed;
}

static bool line_restored_record(struct words *w, struct evidence *e)
{
    if (e->restored.count == 0)
        return false;
    struct seen_record r = words_record(w, e);
    *LIST_ADD(&e->restored_records) = r;
    e->restored.items[e->restored.count - 1].count++;
    return !w->failed;
}

static bool line_mirror(struct words *w, struct evidence *e)
{
    struct digest_claim c = {.source = evidence_source(e), .operation = SIZE_MAX};
    (void)words_number(w);
    c.seq = words_number(w);
    c.at_least = words_number(w);
    c.count = words_number(w);
    c.digest = words_number(w);
    c.filter = words_filter(w, e, words_number(w));
    if (!w->failed)
        *LIST_ADD(&e->digests) = c;
    return !w->failed;
}

bool evidence_line(struct evidence *e, char *line)
{
    struct words w = {line, false};
    const char *kind = words_next(&w);
    switch (*kind) {
    case 'H':
        return line_reading(&w, e);
    case 'V':
        e->verify_problems += words_number(&w);
        return !w.failed;
    case 'D':
        e->cursors_held = true;
        return true;
    case 'N':
        e->may_miss = true;
        return true;
    case 'J': {
        struct seen_record r = words_record(&w, e);
        *LIST_ADD(&e->journal) = r;
        return !w.failed;
    }
    case 'P':
        e->first_open_operation = e->operations.count;
        e->processes++;
        return true;
    case 'W':
    case 'E':
    case 'B':
    case 'X':
    case 'F':
    case 'Z':
        return line_watch(&w, e, *kind);
    case 'M':
        return line_mirror(&w, e);
    case 'U':
        return line_before(&w, e);
    case 'C':
        return line_sight(&w, e);
    case 'Q':
        return line_total(&w, e);
    case 'Y':
        return line_restored(&w, e);
    case 'I':
        return line_restored_record(&w, e);
    default:
        return evidence_request_line(&w, e, *kind);
    }
}
