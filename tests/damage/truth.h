/* truth.h - a journal of every kind of content, drawn from a seed, and what it holds. */
#ifndef VIGIL_TESTS_DAMAGE_TRUTH_H
#define VIGIL_TESTS_DAMAGE_TRUTH_H

#include "journal/journal.h"

enum { TRUTH_KEYS = 400, TRUTH_KEY_SIZE = 64 };

struct truth_key {
    char name[TRUTH_KEY_SIZE];
    struct state_row row; /* as of head; modified 0: never there */
    uint8_t *value;
};

struct truth {
    struct wire_buffer records; /* all that were ever appended */
    size_t *record_at;          /* [seq]: where in records; record_at[head + 1] is its end */
    uint64_t head;
    uint64_t oldest;
    uint64_t applied;
    struct truth_key keys[TRUTH_KEYS];
    uint64_t random;
    uint8_t *older; /* the data file as it was some commits before the end */
    size_t older_size;
};

uint64_t truth_draw(uint64_t *random, uint64_t below);
/* Makes the journal in directory and closes it. False, with a word on stderr. */
bool truth_make(struct truth *t, const char *directory, uint64_t seed, uint64_t records);
void truth_free(struct truth *t);
struct bytes truth_record(const struct truth *t, uint64_t seq);
/* NULL: no such key. */
const struct truth_key *truth_find(const struct truth *t, struct bytes name);
struct bytes truth_name(const struct truth_key *k);
/* The whole file. NULL: it cannot be read. */
uint8_t *read_data_file(const char *directory, size_t *ret_size);

#endif
