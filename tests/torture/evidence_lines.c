#define _GNU_SOURCE
/* evidence_lines.c - reads one line of a history; the kinds are listed in history.h. */
#include "tests/torture/evidence_lines.h"

#include <stdlib.h>
#include <string.h>

/* The words of a line that are left; what is missing or wrong makes it fail for good. */
struct words {
    char *rest;
    bool failed;
};

static char *word(struct words *w)
{
    static char nothing[] = "";
    char *found = w->rest ? strsep(&w->rest, " ") : NULL;
    if (!found || !*found) {
        w->failed = true;
        return nothing;
    }
    return found;
}

static uint64_t number(struct words *w)
{
    char *end;
    const char *text = word(w);
    uint64_t result = strtoull(text, &end, 10); /* of a negative one: its two's complement */
    if (*end || end == text)
        w->failed = true;
    return result;
}

/* 0 for none. */
static uint64_t mark(struct words *w)
{
    char *text = word(w);
    if (strcmp(text, "-") == 0)
        return 0;
    struct words one = {text, false};
    uint64_t result = number(&one);
    w->failed |= one.failed;
    return result;
}

static uint32_t key(struct words *w, struct evidence *e)
{
    char *text = word(w);
    return w->failed ? 0 : evidence_key(e, text);
}

static uint32_t this_source(const struct evidence *e)
{
    return (uint32_t)e->sources.count - 1;
}

static bool same_filter(const struct seen_filter *a, const struct seen_filter *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->patterns[i], b->patterns[i]) != 0)
            return false;
    }
    return true;
}

static uint32_t add_filter(struct words *w, struct evidence *e, size_t count)
{
    struct seen_filter f = {.count = count};
    if (count == 0 || count > PATTERNS_MAX) {
        w->failed = true;
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        f.patterns[i] = word(w);
    for (uint32_t i = 0; i < e->filters.count; i++) {
        if (same_filter(&e->filters.items[i], &f))
            return i;
    }
    for (size_t i = 0; i < count; i++)
        f.patterns[i] = strdup(f.patterns[i]);
    *LIST_ADD(&e->filters) = f;
    return (uint32_t)e->filters.count - 1;
}

static struct seen_record record(struct words *w, struct evidence *e)
{
    struct seen_record r = {.first = e->changes.count};
    r.seq = number(w);
    r.time_us = number(w);
    r.session = number(w);
    r.number = number(w);
    r.parts = (uint16_t)number(w);
    r.count = (uint16_t)number(w);
    for (uint16_t i = 0; i < r.count && !w->failed; i++) {
        struct seen_change c = {0};
        c.op = (uint8_t)number(w);
        c.part = (uint16_t)number(w);
        c.key = key(w, e);
        c.prev_seq = number(w);
        c.mark = mark(w);
        *LIST_ADD(&e->changes) = c;
    }
    return r;
}

static bool line_reading(struct words *w, struct evidence *e)
{
    struct reading r;
    r.epoch = number(w);
    r.oldest = number(w);
    r.head = number(w);
    *LIST_ADD(&e->readings) = r;
    return !w->failed;
}

/* ---- requests and answers ---- */

static void condition(struct words *w, struct operation *o)
{
    char *text = word(w);
    if (strcmp(text, "-") == 0)
        return;
    o->condition = *text;
    struct words operand = {text + 1, false};
    o->condition_operand = number(&operand);
    w->failed |= operand.failed || (o->condition != 's' && o->condition != 'v');
}

static void txn(struct words *w, struct evidence *e, struct operation *o)
{
    o->first_compare = e->changes.count;
    o->compare_count = number(w);
    for (size_t i = 0; i < o->compare_count && !w->failed; i++) {
        struct seen_change c = {.key = key(w, e)};
        c.prev_seq = number(w);
        *LIST_ADD(&e->changes) = c;
    }
    o->first_change = e->changes.count;
    o->change_count = number(w);
    for (size_t i = 0; i < o->change_count && !w->failed; i++) {
        const char *kind = word(w);
        struct seen_change c = {.op = (uint8_t)(*kind == 'p' ? 1 : *kind == 'd' ? 2 : 3)};
        c.key = key(w, e);
        if (*kind != 'd')
            c.mark = number(w);
        *LIST_ADD(&e->changes) = c;
    }
}

static void wait_asked(struct words *w, struct evidence *e, struct operation *o)
{
    o->key = key(w, e);
    char *since = word(w);
    o->since_state = strcmp(since, "-") == 0;
    struct words position = {since, false};
    if (!o->since_state)
        o->since = number(&position);
    o->divisor = number(w);
    o->remainder = number(w);
    o->until = number(w);
    w->failed |= position.failed || o->divisor == 0;
}

static void cursor_asked(struct words *w, struct evidence *e, struct operation *o)
{
    o->key = key(w, e);
    if (o->kind == OPERATION_CURSOR_OPEN) {
        o->filter = add_filter(w, e, number(w));
    } else if (o->kind == OPERATION_CURSOR_ACKNOWLEDGE) {
        o->acknowledges = number(w);
        o->waits = number(w) != 0;
    }
}

static bool line_asked(struct words *w, struct evidence *e)
{
    static const char *const kinds[] = {"put",  "del",  "incr",    "txn",   "get",
                                        "list", "wait", "compact", "peek",  "history",
                                        "open", "ack",  "look",    "backup"};
    struct operation o = {
        .source = this_source(e), .process = e->processes, .end_us = NEVER, .error = NO_ANSWER};
    o.id = number(w);
    o.start_us = number(w);
    const char *name = word(w);
    size_t kind = 0;
    while (kind < sizeof kinds / sizeof *kinds && strcmp(kinds[kind], name) != 0)
        kind++;
    o.kind = (enum operation_kind)kind;
    switch (o.kind) {
    case OPERATION_PUT:
    case OPERATION_DELETE:
        o.key = key(w, e);
        if (o.kind == OPERATION_PUT)
            o.mark = mark(w);
        condition(w, &o);
        break;
    case OPERATION_INCR:
        o.key = key(w, e);
        o.mark = number(w);
        break;
    case OPERATION_TXN:
        txn(w, e, &o);
        break;
    case OPERATION_WAIT:
        wait_asked(w, e, &o);
        break;
    case OPERATION_PEEK:
    case OPERATION_HISTORY:
        o.key = key(w, e);
        break;
    case OPERATION_CURSOR_OPEN:
    case OPERATION_CURSOR_ACKNOWLEDGE:
    case OPERATION_CURSOR_LOOK:
        cursor_asked(w, e, &o);
        break;
    case OPERATION_GET:
    case OPERATION_LIST:
    case OPERATION_COMPACT:
    case OPERATION_BACKUP:
        break;
    default:
        return false;
    }
    *LIST_ADD(&e->operations) = o;
    return !w->failed;
}

/* The request of this process that an answer is for. */
static struct operation *answered(struct words *w, struct evidence *e)
{
    uint64_t id = number(w);
    for (size_t i = e->operations.count; i > e->first_open_operation; i--) {
        struct operation *o = &e->operations.items[i - 1];
        if (o->id == id) {
            w->failed |= o->end_us != NEVER;
            o->end_us = number(w);
            o->error = (int)number(w);
            return o;
        }
    }
    w->failed = true;
    return NULL;
}

static bool line_answer(struct words *w, struct evidence *e)
{
    struct operation *o = answered(w, e);
    if (!o)
        return false;
    o->seq = number(w);
    o->prev_seq = number(w);
    o->version = number(w);
    o->result_mark = mark(w);
    return !w->failed;
}

static bool line_txn_answer(struct words *w, struct evidence *e)
{
    struct operation *o = answered(w, e);
    if (!o)
        return false;
    o->seq = number(w);
    o->succeeded = number(w) != 0;
    return !w->failed;
}

static bool line_get_answer(struct words *w, struct evidence *e)
{
    struct operation *o = answered(w, e);
    if (!o)
        return false;
    o->seq = number(w);
    uint64_t count = number(w);
    for (uint64_t i = 0; i < count && !w->failed; i++) {
        struct entry_claim c = {.operation = (size_t)(o - e->operations.items), .seq = o->seq};
        c.key = key(w, e);
        c.present = number(w) != 0;
        c.modified = number(w);
        c.created = number(w);
        c.version = number(w);
        c.mark = mark(w);
        *LIST_ADD(&e->entries) = c;
    }
    return !w->failed;
}

static bool line_list_answer(struct words *w, struct evidence *e)
{
    struct operation *o = answered(w, e);
    if (!o)
        return false;
    o->seq = number(w);
    struct digest_claim c = {.source = this_source(e), .seq = o->seq};
    c.operation = (size_t)(o - e->operations.items);
    c.filter = add_filter(w, e, 1);
    c.count = number(w);
    c.digest = number(w);
    if (!w->failed && o->error == 0)
        *LIST_ADD(&e->digests) = c;
    return !w->failed;
}

static bool line_wait_answer(struct words *w, struct evidence *e)
{
    struct operation *o = answered(w, e);
    if (!o)
        return false;
    o->succeeded = number(w) != 0;
    o->seq = number(w);
    o->result_mark = mark(w);
    return !w->failed;
}

static bool line_history_answer(struct words *w, struct evidence *e)
{
    struct operation *o = answered(w, e);
    if (!o)
        return false;
    o->succeeded = number(w) != 0;
    o->count = number(w);
    o->first = number(w);
    o->seq = number(w);
    o->digest = number(w);
    return !w->failed;
}

/* ---- watchers and mirrors ---- */

static bool line_watch(struct words *w, struct evidence *e, char kind)
{
    struct watch_event event = {.source = this_source(e)};
    if (kind == 'W') {
        event.kind = WATCH_OPENED;
        (void)number(w);
        const char *since = word(w);
        event.since = *since == 'n' ? SINCE_NOW : *since == 'o' ? SINCE_OLDEST : SINCE_POSITION;
        event.epoch = number(w);
        event.position = number(w);
        event.filter = add_filter(w, e, number(w));
    } else if (kind == 'E') {
        event.kind = WATCH_RECORD;
        event.position = number(w);
        event.record = record(w, e);
    } else if (kind == 'B') {
        event.kind = WATCH_BOOKMARK;
        event.position = number(w);
        event.head = number(w);
        event.oldest = number(w);
    } else if (kind == 'X') {
        event.kind = WATCH_ENDED;
        event.error = (int)number(w);
        event.epoch = number(w);
        event.position = number(w);
        event.oldest = number(w);
        event.head = number(w);
    } else if (kind == 'Z') {
        event.kind = WATCH_REFUSED;
        event.expected = (int)number(w);
        event.error = (int)number(w);
    } else {
        event.kind = WATCH_DRAINED;
        event.head = number(w);
    }
    *LIST_ADD(&e->watches) = event;
    return !w->failed;
}

static bool line_before(struct words *w, struct evidence *e)
{
    uint64_t seq = number(w);
    uint64_t count = number(w);
    const struct watch_event *seen =
        e->watches.count > 0 ? &e->watches.items[e->watches.count - 1] : NULL;
    if (!seen || seen->kind != WATCH_RECORD || seen->source != this_source(e) ||
        seen->record.seq != seq || seen->record.count != count)
        return false;
    for (uint64_t i = 0; i < count && !w->failed; i++) {
        struct seen_change *change = &e->changes.items[seen->record.first + i];
        change->before = (uint8_t)number(w);
        change->before_mark = mark(w);
    }
    return !w->failed;
}

static bool line_restored(struct words *w, struct evidence *e)
{
    struct restored r = {.source = this_source(e), .first = e->restored_records.count};
    r.epoch = number(w);
    r.oldest = number(w);
    r.head = number(w);
    if (!w->failed)
        *LIST_ADD(&e->restored) = r;
    return !w->failed;
}

static bool line_restored_record(struct words *w, struct evidence *e)
{
    if (e->restored.count == 0)
        return false;
    struct seen_record r = record(w, e);
    *LIST_ADD(&e->restored_records) = r;
    e->restored.items[e->restored.count - 1].count++;
    return !w->failed;
}

static bool line_mirror(struct words *w, struct evidence *e)
{
    struct digest_claim c = {.source = this_source(e), .operation = SIZE_MAX};
    (void)number(w);
    c.seq = number(w);
    c.at_least = number(w);
    c.count = number(w);
    c.digest = number(w);
    c.filter = add_filter(w, e, number(w));
    if (!w->failed)
        *LIST_ADD(&e->digests) = c;
    return !w->failed;
}

bool evidence_line(struct evidence *e, char *line)
{
    struct words w = {line, false};
    const char *kind = word(&w);
    switch (*kind) {
    case 'H':
        return line_reading(&w, e);
    case 'V':
        e->verify_problems += number(&w);
        return !w.failed;
    case 'D':
        e->cursors_held = true;
        return true;
    case 'N':
        e->may_miss = true;
        return true;
    case 'J': {
        struct seen_record r = record(&w, e);
        *LIST_ADD(&e->journal) = r;
        return !w.failed;
    }
    case 'P':
        e->first_open_operation = e->operations.count;
        e->processes++;
        return true;
    case 'O':
        return line_asked(&w, e);
    case 'R':
        return line_answer(&w, e);
    case 'S':
        return line_txn_answer(&w, e);
    case 'G':
        return line_get_answer(&w, e);
    case 'L':
        return line_list_answer(&w, e);
    case 'T':
        return line_wait_answer(&w, e);
    case 'K':
        return line_history_answer(&w, e);
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
    case 'Y':
        return line_restored(&w, e);
    case 'I':
        return line_restored_record(&w, e);
    default:
        return false;
    }
}
