/* check.h - between the parts of the checker: the journal in order, and how to accuse. */
#ifndef VIGIL_TESTS_TORTURE_CHECK_H
#define VIGIL_TESTS_TORTURE_CHECK_H

#include "tests/torture/checker.h"

struct check {
    const struct evidence *e;
    struct checker_options options;
    struct verdict *verdict;
    const struct seen_record **records; /* [seq], 1..head; NULL where none was read */
    uint64_t unread;       /* how many of these: removed before they were read or seen as a whole */
    uint64_t first_unread; /* NEVER: none */
    uint64_t head;
    uint64_t epoch;
    uint64_t oldest;    /* by the last reading */
    uint64_t *key_seqs; /* where keys changed, key after key, rising */
    size_t *key_first;  /* [key], into key_seqs; one more at the end */
    bool *changes;      /* [operation]: work that has made a record */
};

void checked(struct check *c, enum property p);
__attribute__((format(printf, 3, 4))) void accuse(struct check *c, enum property p,
                                                  const char *format, ...);

const char *source_name(const struct check *c, uint32_t source);
const char *key_name(const struct check *c, uint32_t key);
/* NULL if the journal has none. */
const struct seen_record *record_at(const struct check *c, uint64_t seq);
const struct seen_change *changes_of(const struct check *c, const struct seen_record *r);
/* The record was there, but nobody knows what it was: nothing can be said of it. */
bool is_unread(const struct check *c, uint64_t seq);
/* The record's change of key; NULL if it has none. */
const struct seen_change *change_of_key(const struct check *c, const struct seen_record *r,
                                        uint32_t key);
bool same_record(const struct check *c, const struct seen_record *a, const struct seen_record *b);
/* Where key changed last before seq; 0: nowhere. */
uint64_t changed_before(const struct check *c, uint32_t key, uint64_t seq);
/* Where key changed first after seq; NEVER: nowhere. */
uint64_t changed_after(const struct check *c, uint32_t key, uint64_t seq);
bool is_mutation(enum operation_kind kind);
/* It may have taken effect or not: there is no answer, or the answer says so. */
bool is_in_doubt(const struct operation *o);

/* The record in which a value that is used once was put; 0: in none. */
struct mark_places;
struct mark_places *mark_places_of(const struct check *c);
uint64_t mark_place(const struct mark_places *places, uint64_t mark);
/* A step that puts such a value. */
bool is_signed(const struct work_step *s);
/* The first of an operation's steps that is; NULL: none. */
const struct work_step *signed_step(const struct check *c, const struct operation *o);

void check_journal(struct check *c);
/* Before all that asks for c->changes. */
void check_work(struct check *c);
void check_totals(struct check *c);
void check_lives(struct check *c);
void check_operations(struct check *c);
void check_real_time(struct check *c);
/* What a history told, asked for when floor had been told already. */
void check_history(struct check *c, const struct operation *o, uint64_t floor);
void check_once(struct check *c);
void check_waits(struct check *c);
void check_state(struct check *c);
void check_watches(struct check *c);
void check_cursors(struct check *c);
void check_restored(struct check *c);

#endif
