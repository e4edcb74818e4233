/*
 * checkpoint.h - the overlay that is on its way into the state, in slices that
 * rise with the key.
 *
 * 1. A frozen overlay does not change. It answers lookups until all of its rows
 *    are durable.
 * 2. Rows below confirmed are durable, those below written are in the batch at
 *    hand; items below sorted stand in their final order.
 */
#ifndef VIGIL_SERVER_CORE_CHECKPOINT_H
#define VIGIL_SERVER_CORE_CHECKPOINT_H

#include "server/core/overlay.h"

enum { CHECKPOINT_PIVOTS = 64 };

struct checkpoint {
    struct overlay *frozen; /* NULL: no checkpoint under way */
    uint64_t seq;           /* applied, once all of frozen is durable */
    size_t confirmed;
    size_t written;
    size_t sorted;
    size_t pivots[CHECKPOINT_PIVOTS]; /* falling: places whose item is in its final order */
    size_t pivot_count;
    uint64_t random;
    struct overlay *retired; /* durable, being freed in steps */
};

/* frozen holds everything up to seq. */
void checkpoint_freeze(struct checkpoint *c, struct overlay *frozen, uint64_t seq);
/* The next row in key order; false when all are written. */
bool checkpoint_next(struct checkpoint *c, struct overlay_entry **ret_entry);
/* What was written is durable. True when that was the last of it, and all else that the checkpoint
 * needs is durable, too; frozen is then retired. */
bool checkpoint_confirm(struct checkpoint *c, bool all_else);
/* It is not. */
void checkpoint_take_back(struct checkpoint *c);
/* Frees a bounded part of what is retired. */
void checkpoint_free_some(struct checkpoint *c);
void checkpoint_free(struct checkpoint *c);

#endif
