/*
 * shadow_cursors.h - the simplest thing that does what the core does with named
 * cursors: a list. It is shown each request message that was sent and, when the
 * batch is committed, the replies; it ends the process where they contradict it.
 * What is in the messages does not matter: only cursor requests are looked at.
 */
#ifndef VIGIL_TESTS_SUPPORT_SHADOW_CURSORS_H
#define VIGIL_TESTS_SUPPORT_SHADOW_CURSORS_H

#include "tests/support/core_fixture.h"

enum { SHADOW_CURSORS_MAX = 64 }; /* no less than the core's own limit */

struct shadow_cursor {
    struct bytes name; /* owned, as the filter is */
    struct bytes filter;
    uint64_t epoch;
    uint64_t position;
    uint64_t holder;
};

/* Zeroed: none. */
struct shadow_cursors {
    struct shadow_cursor list[SHADOW_CURSORS_MAX]; /* by name */
    size_t count;
    struct bytes_list sent; /* messages of the batch */
    uint32_t limit;         /* of cursors, as the core has it */
};

void shadow_cursors_sent(struct shadow_cursors *s, struct bytes message);
/* The batch is committed, or aborted: in either case before the next begins. */
void shadow_cursors_committed(struct shadow_cursors *s, const struct core_fixture *f);
void shadow_cursors_aborted(struct shadow_cursors *s);
/* What the core lists (in a batch of its own) has to be what is here. */
void shadow_cursors_check(struct shadow_cursors *s, struct core_fixture *f);
void shadow_cursors_free(struct shadow_cursors *s);

#endif
