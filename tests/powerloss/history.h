/*
 * history.h - what record n is, for every n: the workloads write it, the inspection
 * knows it. Nothing else has to be remembered of a run than its last seq.
 */
#ifndef VIGIL_TESTS_POWERLOSS_HISTORY_H
#define VIGIL_TESTS_POWERLOSS_HISTORY_H

#include "journal/journal.h"

enum { HISTORY_CHANGES_MAX = 2, HISTORY_VALUE_MAX = 9000 + 3 };

struct history_change {
    char key[24];
    bool deleted;
    uint64_t prev_seq;
    uint8_t value[HISTORY_VALUE_MAX]; /* MessagePack */
    size_t value_size;
};
struct history {
    /* Fills in what record n (from 1) changes, and returns how many keys that are. */
    size_t (*changes)(uint64_t n, struct history_change out[HISTORY_CHANGES_MAX]);
    uint64_t period; /* each key changes at least once in so many records */
};

/* Two families of keys with periods of their own, deletions, values of up to three pages. */
extern const struct history journal_history;
/* One put a record, as a client sends them. */
extern const struct history server_history;

static inline struct bytes history_key(const struct history_change *c)
{
    return (struct bytes){(const uint8_t *)c->key, strlen(c->key)};
}
/* Empty where it is deleted. */
static inline struct bytes history_value(const struct history_change *c)
{
    return (struct bytes){c->value, c->value_size};
}
/* Record n in b; size 0: out of memory. */
struct bytes history_record(const struct history *h, uint64_t n, struct wire_buffer *b);
/* The row that a change of record n leaves; points into c. */
struct state_row history_row(uint64_t n, const struct history_change *c);

#endif
