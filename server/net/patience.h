/*
 * patience.h - how long a batch waits for company before a slow commit.
 *
 * Where a sync takes long, clients fall into two groups that wait for each
 * other's commits: while one group's batch is synced the other's requests
 * arrive, and each commit carries half of what it could. Waiting a small part of
 * a commit's time for the group just answered joins the two: with 50 clients at
 * depth 64 and syncs of 4 ms that is 1.8 times the throughput.
 *
 * 1. Nobody waits longer than a quarter of a commit's usual time, or 4 ms.
 * 2. Commits under a millisecond are not waited for.
 * 3. Waiting that brought little company is not tried again for a number of
 *    batches, which doubles each time, up to 64.
 *
 * Pure; one thread.
 */
#ifndef VIGIL_SERVER_NET_PATIENCE_H
#define VIGIL_SERVER_NET_PATIENCE_H

#include <stddef.h>
#include <stdint.h>

/* Zero it before use. */
struct patience {
    uint64_t commit_us; /* usual time of a commit: a moving average */
    uint32_t pause;     /* batches for which waiting is not tried */
    uint32_t pause_next;
};

/* After each commit that had records. */
void patience_committed(struct patience *p, uint64_t took_us);
/* For a batch with records: how long it may wait now; 0: not at all. */
uint64_t patience_begin(struct patience *p);
/* After having waited: records before and after. */
void patience_learn(struct patience *p, size_t before, size_t after);

#endif
