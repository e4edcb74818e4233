/*
 * neighbours.h - processes that keep the machine busy while a load is measured: one
 * that replays the journal, and one that burns as much CPU time as that cost and is
 * no watcher at all.
 */
#ifndef VIGIL_BENCH_NEIGHBOURS_H
#define VIGIL_BENCH_NEIGHBOURS_H

#include "bench/child.h"

#include <stdint.h>

/* What the process sends back, as it is in memory: both are this program. */
struct neighbour_report {
    uint64_t records; /* replayed within the window */
    uint64_t replays; /* of these, whole ones */
    uint64_t cpu_ns;  /* of the process, from the window's begin to its end */
};

/* Replays everything up to seq until, again and again, within each window. */
int replayer_start(struct child *c, const char *endpoint, uint64_t until, struct failure *failure);
int burner_start(struct child *c, struct failure *failure);

int replayer_window(struct child *c, uint64_t begin_ns, uint64_t end_ns, struct failure *failure);
/* Two threads, each of which is to use such a share of a core. */
int burner_window(struct child *c, uint64_t begin_ns, uint64_t end_ns, const double shares[2],
                  struct failure *failure);
/* Of the last window, after its end. */
int neighbour_finish(struct child *c, struct neighbour_report *ret_report, struct failure *failure);
void neighbour_end(struct child *c);

#endif
