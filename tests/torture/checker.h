/*
 * checker.h - judges what was seen (evidence.h) against the journal and against time: each guarantee
 * of docs/guarantees.md on its own. Pure: no clock, no file.
 *
 * The order of things:
 *   check_journal.c      the journal itself: whole, unchanging, each record what its requests make of it
 *   check_operations.c   each answer against the journal, and real time against seq
 *   check_once.c         how often each request took effect
 *   check_state.c        each read and each mirror against the state at its seq
 *   check_history.c      each key's history against the journal
 *   check_watches.c      each watch against what the journal says it should have seen
 *   check_cursors.c      each named cursor over all who held it
 *   check_restored.c     what was restored against what was backed up
 *   check_work.c         what operations did and told, worked out again by a model (work_model.h)
 *   check_totals.c       the sum of all accounts, in every view of them
 *   check_lives.c        keys that expire: which, not too early, and all of them
 */
#ifndef VIGIL_TESTS_TORTURE_CHECKER_H
#define VIGIL_TESTS_TORTURE_CHECKER_H

#include "tests/torture/evidence.h"

enum property {
    PROPERTY_SERIAL,
    PROPERTY_DURABLE,
    PROPERTY_ORDERED,
    PROPERTY_UNIQUE,
    PROPERTY_RELIABLE,
    PROPERTY_ATOMIC,
    PROPERTY_FILTERED,
    PROPERTY_RESUMABLE,
    PROPERTY_BOOKMARKED,
    PROPERTY_HONEST,
    PROPERTY_EXACTLY_ONCE,
    PROPERTY_WAITS,
    PROPERTY_CURSORS,
    PROPERTY_BEFORE,
    PROPERTY_BACKUPS,
    PROPERTY_RESULTS,
    PROPERTY_TOTALS,
    PROPERTY_LIVES,
    PROPERTY_COUNT
};

enum { VIOLATION_TEXT_MAX = 256, VIOLATIONS_KEPT = 5 };

struct finding {
    uint64_t checked; /* facts that were looked at: none means that nothing was shown */
    uint64_t violations;
    char texts[VIOLATIONS_KEPT][VIOLATION_TEXT_MAX]; /* of the first ones */
};

struct verdict {
    struct finding findings[PROPERTY_COUNT];
    uint64_t increments_acknowledged, increments_in_doubt, increments_applied;
    uint64_t expired;    /* keys */
    uint64_t unread;     /* records that were removed before anybody could read them */
    uint64_t violations; /* of all */
};

struct checker_options {
    bool
        no_doubt; /* nothing may be in doubt: whoever asked has been told (sessions, nobody killed) */
};

const char *property_name(enum property p);
/* options may be NULL. */
void checker_run(const struct evidence *e, const struct checker_options *options,
                 struct verdict *ret_verdict);

#endif
