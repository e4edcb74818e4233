/*
 * onlookers.h - the watchers, in a process of their own: what they cost is not the
 * load's, and what they get has crossed all that an application's would. They take
 * the age of every change at the moment at which the application holds it.
 */
#ifndef VIGIL_BENCH_PEERS_ONLOOKERS_H
#define VIGIL_BENCH_PEERS_ONLOOKERS_H

#include "bench/child.h"
#include "bench/histogram.h"
#include "bench/peers/peer.h"

/* What the process sends back, as it is in memory: both are this program. */
struct onlookers_report {
    uint64_t deliveries; /* to all together, warm-up included */
    uint64_t counted;    /* of these, within the window */
    uint64_t fewest;     /* that one watcher got */
    uint64_t most;
    uint64_t untimed;         /* of a timed operation: what was not a load's value */
    bool ended;               /* of a lossy operation: the system has cut the watch off */
    struct histogram latency; /* of what was due within the window */
};

struct onlookers {
    struct child child;
};

#define ONLOOKERS_INIT      \
    {                       \
        .child = CHILD_INIT \
    }

/* Returns when all are subscribed. */
int onlookers_start(struct onlookers *o, const struct peer_plan *plan, struct failure *failure);
int onlookers_window(struct onlookers *o, uint64_t begin_ns, uint64_t end_ns,
                     struct failure *failure);
/* Waits until each watcher has got so many changes, or nothing has come for two seconds. */
int onlookers_finish(struct onlookers *o, uint64_t changes, struct onlookers_report *ret_report,
                     struct failure *failure);
/* Ends the process. Takes one that never started. */
void onlookers_end(struct onlookers *o);

/* The process itself, when it was started with these arguments. Returns its exit status. */
int onlookers_role(int count, char *const arguments[]);

#endif
