/*
 * fixture_cursors.h - the cursors' rows, and those of lives, as a journal would keep
 * them for a core under test: staged with a batch, and kept when it is committed.
 */
#ifndef VIGIL_TESTS_SUPPORT_FIXTURE_CURSORS_H
#define VIGIL_TESTS_SUPPORT_FIXTURE_CURSORS_H

#include "server/core/core.h"

struct fixture_cursor {
    struct bytes name;
    struct bytes row; /* staged: empty if it is deleted */
};

/* Zeroed: none. */
struct fixture_cursors {
    struct fixture_cursor *rows;
    size_t count;
    size_t capacity;
    struct fixture_cursor *staged;
    size_t staged_count;
    size_t staged_capacity;
};

/* Takes what the batch at hand has changed. */
void fixture_cursors_stage(struct fixture_cursors *c, struct core *core);
void fixture_cursors_drop_staged(struct fixture_cursors *c);
void fixture_cursors_commit(struct fixture_cursors *c);
/* The same of lives, which have a struct of their own. */
void fixture_lives_stage(struct fixture_cursors *c, struct core *core);
void fixture_lives_restore(struct fixture_cursors *c, struct core *core);
/* Into a new core. */
void fixture_cursors_restore(const struct fixture_cursors *c, struct core *core);
void fixture_cursors_free(struct fixture_cursors *c);

#endif
