/*
 * arguments.h - the command line of the peers' programs, the same for each.
 */
#ifndef VIGIL_BENCH_PEERS_ARGUMENTS_H
#define VIGIL_BENCH_PEERS_ARGUMENTS_H

#include "bench/peers/load.h"
#include "bench/peers/peer.h"

#include <stdio.h>

struct arguments {
    struct peer_plan peer;
    const char *row; /* what the caller calls this measurement; NULL: nothing */
    bool replay;     /* read what is stored instead of a load */
    bool no_write;   /* replay: of what an earlier run has written */
    bool help;
    uint64_t records;
    uint32_t runs;
    uint64_t duration_ns;
    uint64_t warmup_ns;
    double rate;
    pid_t server_pids[PEER_SERVERS_MAX];
    size_t server_count;
};

/* ERR_INVALID: failure says what is not understood. */
int arguments_parse(int argc, char *argv[], struct arguments *ret_arguments,
                    struct failure *failure);
void arguments_print_help(FILE *out);
/* NULL: the peer has none of that name. */
const struct peer_operation *arguments_operation(const char *name);

#endif
