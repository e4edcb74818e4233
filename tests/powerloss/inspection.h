/*
 * inspection.h - opens a journal that a power loss has left, in another process, and
 * holds it against what was acknowledged before.
 */
#ifndef VIGIL_TESTS_POWERLOSS_INSPECTION_H
#define VIGIL_TESTS_POWERLOSS_INSPECTION_H

#include "tests/powerloss/history.h"
#include "tests/powerloss/operation_log.h"

/* What the notes up to a cut promise. Zero-initialised: nothing. */
struct expectation {
    struct note acknowledged; /* the last one; kind 0: the journal has not been open yet */
    uint64_t attempted;       /* no record beyond this one was ever on its way */
    bool whole;               /* nothing acknowledged may be missing, and nothing refused */
    bool renewable;           /* the epoch may be a new one */
};
void expectation_take(struct expectation *e, const struct note *n);
/* After a power loss in process mode that nobody has looked at yet. */
void expectation_forget(struct expectation *e);

enum outcome {
    OUTCOME_SERVED,  /* in the old epoch */
    OUTCOME_RENEWED, /* in a new one */
    OUTCOME_REFUSED, /* with an error that says what to do */
    OUTCOME_WRONG,
    OUTCOMES,
};
struct verdict {
    enum outcome outcome;
    char text[800];
};

/* Zeroed memory that this process and its children share. Never NULL. */
void *share_memory(size_t size);
/* The journal is in directory; it may not be there at all. */
void inspect(const char *directory, const struct history *history, const struct expectation *e,
             enum journal_durability durability, struct verdict *ret_verdict);

#endif
