/* round.h - one round of the torture run: a server, its actors, a plan of faults, and the verdict. */
#ifndef VIGIL_TESTS_TORTURE_ROUND_H
#define VIGIL_TESTS_TORTURE_ROUND_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/torture/summary.h"

struct round_options {
    const char *vigild;
    const char *actor;
    const char *preload;
    uint32_t duration_ms; /* of the faults */
    bool kills_only;      /* nothing but SIGKILLs of the server during increments */
    bool no_doubt;        /* see checker.h */
    bool verbose;         /* shows the plan */
    bool keep; /* the folder, also of a round that passes; that of a failure is always kept */
};

/* True: nothing was found. What was done is added to sum. */
bool round_run(const struct round_options *options, uint64_t seed, struct summary *sum);

#endif
