/*
 * load.h - drives one system's clients from one thread, and times each operation.
 *
 *  - closed loop (rate 0): each client keeps depth operations in flight; an
 *    operation's time runs from when it was handed to the library.
 *  - paced: operations are due at a fixed rate, whatever the replies do, and
 *    their time runs from when they were due, so that a stall shows in each
 *    operation that it held up. One that finds every client full waits for its
 *    turn, beyond the window's end as well.
 *
 * Work counts while the window [begin, end) lasts, by whenever it is done;
 * latency counts of what was due within it.
 */
#ifndef VIGIL_BENCH_PEERS_LOAD_H
#define VIGIL_BENCH_PEERS_LOAD_H

#include "bench/figures.h"
#include "bench/histogram.h"
#include "bench/peers/peer.h"

enum { PEER_SERVERS_MAX = 16 };

struct peer_load_plan {
    const struct peer_plan *peer;
    double rate;         /* operations a second in all; 0: closed loop */
    uint64_t operations; /* not 0: so many in all, of keys in turn, instead of a window; no rate */
    uint64_t begin_ns;
    uint64_t end_ns;
    pid_t server_pids[PEER_SERVERS_MAX]; /* whose CPU time is the server's */
    size_t server_count;
    pid_t watcher_pid; /* 0: none */
};

struct peer_load_result {
    uint64_t total;   /* acknowledged, warm-up included */
    uint64_t counted; /* of these, within the window */
    uint64_t unsent;  /* paced: were due, but no client was free for them for too long */
    double seconds;   /* of the window */
    /* Within the window: CPU time of all threads, and context switches. */
    uint64_t client_cpu_ns;
    uint64_t server_cpu_ns;
    uint64_t server_switches;
    uint64_t watcher_cpu_ns;
    struct histogram latency;
};

/* Connects, runs the load at once until the window is over and all is acknowledged, and disconnects. */
int peer_load_run(const struct peer_load_plan *plan, struct peer_load_result *ret_result,
                  struct failure *failure);

#endif
