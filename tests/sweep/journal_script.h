/*
 * journal_script.h - what a journal goes through in a run of the sweep, and what it has promised by
 * then. Record N is always the same: a put of "key K" (one of them is deleted every other time),
 * every ninth with a value that needs pages of its own.
 */
#ifndef VIGIL_TESTS_SWEEP_JOURNAL_SCRIPT_H
#define VIGIL_TESTS_SWEEP_JOURNAL_SCRIPT_H

#include "journal/journal.h"
#include "tests/sweep/sweep.h"

enum { SCRIPT_SESSIONS = 3 };

/* In memory that all processes of a run share. */
struct ledger {
    uint64_t epoch;                     /* of the first open that succeeded */
    bool may_have_new_epoch;            /* a power loss was played */
    uint64_t acknowledged;              /* newest record that was */
    uint64_t attempted;                 /* newest record that a commit was tried with */
    uint64_t sessions[SCRIPT_SESSIONS]; /* last record with which a row of it was acknowledged */
    uint64_t sessions_attempted[SCRIPT_SESSIONS];
    uint64_t compact_target;
    char wrong[256]; /* empty: nothing so far */
};

struct script {
    struct sweep *sweep;
    struct ledger *ledger;
    char directory[SWEEP_PATH_SIZE];
    struct wire_buffer buffer;
    uint8_t value[10003];
    uint8_t storage[10200];
};

bool script_init(struct script *s, struct sweep *sweep);
void script_free(struct script *s);
/* All of it, while faults happen. False: what was found is in the ledger. */
bool script_run(struct script *s);
/* Without faults: the directory opens and holds what it must. */
bool script_check(struct script *s);

#endif
