/*
 * load.h - drives many connections with pipelined requests, from one thread or
 * a few, and times each request.
 *
 *  - closed loop (rate 0): each connection keeps depth requests in flight; a
 *    request's time runs from when it was handed to the library.
 *  - in rounds (round not 0): a closed loop that stops after each round of so many requests until
 *    await_round returns.
 *  - open loop: requests are due at a fixed rate, whatever the replies do, and
 *    their time runs from when they were due, so that a server that stalls
 *    shows in every request that it held up.
 *
 * What completes in the window [begin, end) is counted; load before it warms up.
 */
#ifndef VIGIL_BENCH_LOAD_H
#define VIGIL_BENCH_LOAD_H

#include "bench/figures.h"
#include "bench/histogram.h"
#include "protocol/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum load_kind { LOAD_PUT = 1, LOAD_GET = 2, LOAD_INCR = 3, LOAD_CALL = 4 };

/* What LOAD_CALL calls, with the key: a function of this name, which must be stored before. */
#define LOAD_FUNCTION "bench/increment"

struct load_plan {
    enum load_kind kind;
    const char *endpoint;
    uint32_t clients;
    uint32_t depth;
    uint32_t threads;
    uint32_t size;
    uint32_t keys;       /* drawn at random among these; with operations in order */
    uint32_t first_key;  /* the number of the first of them */
    double rate;         /* in all; 0: closed loop */
    uint64_t operations; /* not 0: so many in all instead of a window, and no rate */
    pid_t server_pid;    /* 0: none to look at */
    const char *folder;  /* on the device that is looked at; NULL: none */
    uint64_t round;      /* 0: no rounds; they need one thread, and no rate or operations */
    /* Called when all of a round is answered. last_seq: the newest record so far. */
    int (*await_round)(void *context, uint64_t last_seq, struct failure *failure);
    void *await_context;
};

struct load_result {
    uint64_t total;      /* requests that succeeded, warm-up included */
    uint64_t counted;    /* of these, within the window */
    double seconds;      /* of the window */
    uint64_t last_seq;   /* the newest record that a mutation of ours made */
    uint64_t own_cpu_ns; /* of this process, within the window */
    bool has_server;     /* the two below are known */
    struct process_figures server_before;
    struct process_figures server_after;
    uint64_t device_bytes;    /* written to the plan's device within the window, by whomever */
    struct histogram latency; /* of what was counted */
};

struct load;

/* Connects. The plan stays the caller's and must outlive the load. */
int load_open(const struct load_plan *plan, struct load **ret_load, struct failure *failure);
/* Once. Starts at once; blocks until the window is over and all is answered. A request that fails ends
 * the load with its error. The window does not matter where the plan has operations. */
int load_run(struct load *l, uint64_t begin_ns, uint64_t end_ns, struct load_result *ret_result,
             struct failure *failure);
void load_close(struct load *l);

#endif
