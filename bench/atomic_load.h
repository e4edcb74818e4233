/*
 * atomic_load.h - clients that each run vigil_atomically in a loop, one after
 * another: a function that adds one, or what `vigil update` does with `. + 1`.
 * These calls block, so each client has a thread; the server sees as many
 * connections, with one request in flight each, as it does of a load (load.h).
 */
#ifndef VIGIL_BENCH_ATOMIC_LOAD_H
#define VIGIL_BENCH_ATOMIC_LOAD_H

#include "bench/load.h"

enum atomic_way { ATOMIC_FUNCTION = 1, ATOMIC_JQ = 2 };

struct atomic_plan {
    enum atomic_way way;
    const char *endpoint;
    uint32_t clients;
    uint32_t keys;
    uint32_t first_key;
    uint64_t warmup_ns;
    uint64_t duration_ns;
    pid_t server_pid; /* 0: none to look at */
};

struct atomic_result {
    struct load_result load; /* last_seq is not known */
    uint64_t runs;           /* of the function, for the successes within the window */
};

/* Blocks until the window is over and every client has come to an end. A call that fails ends all. */
int atomic_load_run(const struct atomic_plan *plan, struct atomic_result *ret_result,
                    struct failure *failure);

#endif
