/*
 * session_outcome.h - the replies that are kept for one session, by number.
 *
 * A ring: the numbers that it holds lie within a window (of at most
 * LIMIT_SESSION_WINDOW), so that each has a place of its own. Numbers within
 * the window may be missing.
 */
#ifndef VIGIL_SERVER_CORE_SESSION_OUTCOME_H
#define VIGIL_SERVER_CORE_SESSION_OUTCOME_H

#include "protocol/wire.h"

enum { OUTCOME_INLINE = 24 }; /* bytes of a body that need no block: all but a txn's and a text */

struct outcome {
    uint64_t number; /* 0: a free place */
    uint64_t seq;
    uint32_t size; /* of body: the reply's, as it was sent */
    uint16_t status;
    uint8_t op;
    union {
        uint8_t inlined[OUTCOME_INLINE];
        uint8_t *block;
    } body;
};

/* Zeroed: empty. */
struct outcomes {
    struct outcome *places;
    uint32_t capacity; /* 0 or a power of two */
    uint32_t count;
    uint64_t bytes; /* of bodies */
};

struct bytes outcome_body(const struct outcome *o);
/* Room for the numbers of a window of so many. ERR_OK, ERR_NO_MEMORY. */
int outcomes_reserve(struct outcomes *o, uint64_t window);
/* Gives back places if so small a window needs far fewer of them. */
void outcomes_shrink(struct outcomes *o, uint64_t window);
/* Within the window that was reserved. Takes number, seq, status and op of kept, and copies body.
 * ERR_OK, ERR_NO_MEMORY. */
int outcomes_add(struct outcomes *o, const struct outcome *kept, struct bytes body);
/* NULL: not kept. */
const struct outcome *outcomes_find(const struct outcomes *o, uint64_t number);
/* Forgets first..last. */
void outcomes_drop(struct outcomes *o, uint64_t first, uint64_t last);
void outcomes_free(struct outcomes *o);

#endif
