#define _POSIX_C_SOURCE 200809L
/* checker.c - see checker.h: the whole, and what its parts share. */
#include "tests/torture/checker.h"

#include <vigil.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/torture/check.h"

const char *property_name(enum property p)
{
    static const char *const names[PROPERTY_COUNT] = {
        "serial",   "durable",   "ordered",    "unique",  "reliable",     "atomic",
        "filtered", "resumable", "bookmarked", "honest",  "exactly once", "waits",
        "cursors",  "before",    "backups",    "results", "totals",       "lives"};
    return names[p];
}

void checked(struct check *c, enum property p)
{
    c->verdict->findings[p].checked++;
}

void accuse(struct check *c, enum property p, const char *format, ...)
{
    struct finding *f = &c->verdict->findings[p];
    if (f->violations < VIOLATIONS_KEPT) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(f->texts[f->violations], VIOLATION_TEXT_MAX, format, arguments);
        va_end(arguments);
    }
    f->violations++;
    c->verdict->violations++;
}

const char *source_name(const struct check *c, uint32_t source)
{
    return c->e->sources.items[source];
}

const char *key_name(const struct check *c, uint32_t key)
{
    return c->e->keys.items[key];
}

const struct seen_record *record_at(const struct check *c, uint64_t seq)
{
    return seq <= c->head ? c->records[seq] : NULL;
}

bool is_unread(const struct check *c, uint64_t seq)
{
    return c->unread > 0 && seq > 0 && seq <= c->head && !c->records[seq];
}

const struct seen_change *changes_of(const struct check *c, const struct seen_record *r)
{
    return c->e->changes.items + r->first;
}

const struct seen_change *change_of_key(const struct check *c, const struct seen_record *r,
                                        uint32_t key)
{
    const struct seen_change *changes = changes_of(c, r);
    for (uint16_t i = 0; i < r->count; i++) {
        if (changes[i].key == key)
            return &changes[i];
    }
    return NULL;
}

/* The number of changes of key up to seq, seq included. */
static size_t changes_until(const struct check *c, uint32_t key, uint64_t seq)
{
    size_t low = c->key_first[key];
    size_t high = c->key_first[key + 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->key_seqs[middle] <= seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low - c->key_first[key];
}

uint64_t changed_before(const struct check *c, uint32_t key, uint64_t seq)
{
    size_t count = seq > 0 ? changes_until(c, key, seq - 1) : 0;
    return count > 0 ? c->key_seqs[c->key_first[key] + count - 1] : 0;
}

uint64_t changed_after(const struct check *c, uint32_t key, uint64_t seq)
{
    size_t next = c->key_first[key] + changes_until(c, key, seq);
    return next < c->key_first[key + 1] ? c->key_seqs[next] : NEVER;
}

/* Counting sort of all changes by key. */
static void index_keys(struct check *c)
{
    size_t keys = c->e->keys.count;
    size_t *place = calloc(keys + 2, sizeof *place);
    c->key_first = place;
    if (!place)
        abort();
    for (uint64_t seq = 1; seq <= c->head; seq++) {
        const struct seen_record *r = c->records[seq];
        for (uint16_t i = 0; r && i < r->count; i++)
            place[changes_of(c, r)[i].key + 2]++;
    }
    for (size_t key = 2; key < keys + 2; key++)
        place[key] += place[key - 1];
    c->key_seqs = calloc(place[keys + 1] + 1, sizeof *c->key_seqs);
    if (!c->key_seqs)
        abort();
    /* [key + 1] moves from the first of key to the first of the next. */
    for (uint64_t seq = 1; seq <= c->head; seq++) {
        const struct seen_record *r = c->records[seq];
        for (uint16_t i = 0; r && i < r->count; i++)
            c->key_seqs[place[changes_of(c, r)[i].key + 1]++] = seq;
    }
}

bool is_mutation(enum operation_kind kind)
{
    return kind <= OPERATION_DO;
}

bool is_in_doubt(const struct operation *o)
{
    switch (o->error) {
    case NO_ANSWER:
    case VIGIL_DISCONNECTED:
    case VIGIL_TIMEOUT:
    case VIGIL_IO:
    case VIGIL_INTERRUPTED:
    case VIGIL_OUTCOME_UNKNOWN:
        return true;
    default:
        return false;
    }
}

void checker_run(const struct evidence *e, const struct checker_options *options,
                 struct verdict *ret_verdict)
{
    struct check c = {.e = e, .verdict = ret_verdict};
    if (options)
        c.options = *options;
    *ret_verdict = (struct verdict){0};
    for (size_t i = 0; i < e->journal.count; i++) {
        if (e->journal.items[i].seq > c.head)
            c.head = e->journal.items[i].seq;
    }
    c.records = calloc(c.head + 1, sizeof *c.records);
    c.changes = calloc(e->operations.count + 1, sizeof *c.changes);
    if (!c.records || !c.changes)
        abort();
    check_journal(&c);
    index_keys(&c);
    check_work(&c);
    check_operations(&c);
    check_real_time(&c);
    check_once(&c);
    check_waits(&c);
    check_state(&c);
    check_watches(&c);
    check_cursors(&c);
    check_restored(&c);
    check_totals(&c);
    check_lives(&c);
    ret_verdict->unread = c.unread;
    free(c.changes);
    free(c.key_seqs);
    free(c.key_first);
    free(c.records);
}
