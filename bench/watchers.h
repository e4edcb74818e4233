/*
 * watchers.h - those who look on while a load runs, in a process of their own, so
 * that their CPU time is not the load's: watchers, or waiters (who call vigil_wait
 * again and again on the first key). Each takes the age of every value it gets.
 */
#ifndef VIGIL_BENCH_WATCHERS_H
#define VIGIL_BENCH_WATCHERS_H

#include "bench/child.h"
#include "bench/histogram.h"

#include <stdbool.h>
#include <stdint.h>

enum watchers_kind {
    WATCHERS_ALL = 1,      /* each watches every key of the load */
    WATCHERS_DISTINCT = 2, /* number N watches the load's key N */
    WATCHERS_WAITERS = 3
};

/* What the process sends back, as it is in memory: both are this program. */
struct watchers_report {
    uint64_t deliveries; /* records handed out, to all together */
    uint64_t counted;    /* of these, handed out within the window */
    uint64_t fewest;     /* that one watcher got */
    uint64_t most;
    uint64_t disorder; /* records that came twice or out of order */
    uint64_t lost;     /* times the server was lost */
    uint64_t replayed; /* deliveries that came by replay */
    uint64_t gaps;
    uint64_t cpu_ns;          /* of the process, since the window was told */
    struct histogram latency; /* from when a change was due until it was handed out */
};

struct watchers {
    struct child child;
};

#define WATCHERS_INIT       \
    {                       \
        .child = CHILD_INIT \
    }

/* Returns when all are subscribed, or waiting. */
int watchers_start(struct watchers *w, enum watchers_kind kind, const char *endpoint,
                   uint32_t count, struct failure *failure);
/* Deliveries count towards latency when they were due in [begin_ns, end_ns). */
int watchers_window(struct watchers *w, uint64_t begin_ns, uint64_t end_ns,
                    struct failure *failure);
/* The other side of it: false if line says something else. */
bool watchers_parse_window(const char *line, uint64_t *ret_begin_ns, uint64_t *ret_end_ns);
/* Waits until each watcher is at seq or beyond. Watchers only. */
int watchers_await(struct watchers *w, uint64_t seq, struct failure *failure);
/* Waits until each watcher is at seq until or beyond (waiters: until they got a value of time
 * PAYLOAD_END), then takes the report. */
int watchers_finish(struct watchers *w, uint64_t until, struct watchers_report *ret_report,
                    struct failure *failure);
/* Ends the process. Takes one that never started. */
void watchers_end(struct watchers *w);

#endif
