/*
 * snapshot.h - the state that a filter sees, whole and consistent at one seq,
 * in memory: rows of the checkpointed state, then the records since the first
 * page's checkpoint, over as many short requests as it takes.
 */
#ifndef VIGIL_CLIENT_SNAPSHOT_H
#define VIGIL_CLIENT_SNAPSHOT_H

#include "client/connection.h"
#include "client/row_table.h"
#include "protocol/filter.h"

struct snapshot {
    struct row_table table;
    uint64_t epoch;
    uint64_t seq; /* everything up to it is in, and nothing after it */
};

/* Everything that was acknowledged before the call is in. timeout_ms in all; 0: request_timeout_ms
 * for each round trip alone. Outlives a lost connection; in another epoch it begins anew. Sets the failure. Errors: DISCONNECTED, TIMEOUT, INTERRUPTED, NO_MEMORY,
 * CORRUPT, COMPACTED (the journal moves on faster than it can be read). */
int snapshot_load(struct vigil *v, const struct filter *filter, bool with_values, int timeout_ms,
                  struct snapshot *ret_snapshot);
void snapshot_free(struct snapshot *s);

/* A reply over the replay socket was not understood: MALFORMED. The request socket is as good as before. */
int snapshot_malformed(struct vigil *v);

#endif
