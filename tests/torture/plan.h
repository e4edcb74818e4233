/*
 * plan.h - what a round of the torture run does, drawn from its seed alone: the server's options, the
 * actors, and the faults with their times. The same seed is the same plan; what the machine makes of it is
 * not, because processes race.
 */
#ifndef VIGIL_TESTS_TORTURE_PLAN_H
#define VIGIL_TESTS_TORTURE_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/torture/proxy.h"

enum {
    PLAN_OPTIONS_MAX = 12,
    PLAN_OPTION_SIZE = 40,
    PLAN_ACTORS_MAX = 52, /* what draw_actors adds at the most is 50 */
    PLAN_TELLERS = 16,
    PLAN_STEPS_MAX = 300,
    PLAN_PROXIES = 2
};

enum fault {
    FAULT_KILL_SERVER,
    FAULT_END_SERVER, /* SIGTERM */
    FAULT_STOP_SERVER,
    FAULT_KILL_ACTOR,
    FAULT_STOP_ACTOR,
    FAULT_CUT,
    FAULT_STALL, /* and then on, or a cut */
    FAULT_LOSE,  /* and then a cut */
    FAULT_FULL_DISK,
    FAULT_CLOCK_STEP,
    FAULT_SLOW_SYNC,
    FAULT_READING, /* the server is stopped for as long as its journal is read */
    FAULT_COUNT
};

enum plan_transport { PLAN_IPC, PLAN_TCP };

struct plan_proxy {
    enum plan_transport front, back; /* to the clients, to the server */
};

struct plan_actor {
    const char *role;
    int proxy; /* -1: none between it and the server */
    enum plan_transport transport;
    uint64_t seed;
    unsigned number;
};

struct plan_step {
    uint32_t at_ms;
    enum fault fault;
    bool ends;       /* the end of a fault that lasts */
    unsigned target; /* actor or proxy */
    enum proxy_socket sockets;
    enum proxy_mode to_server, to_client;
    bool cut;          /* at the end of a stall */
    int64_t amount_us; /* clock step, sync delay */
};

struct plan {
    char options[PLAN_OPTIONS_MAX][PLAN_OPTION_SIZE];
    unsigned options_count;
    bool retains;     /* the server removes records by itself, read or not */
    bool holds;       /* but none that a cursor has not seen */
    uint32_t pace_us; /* a mutator's pause between two requests */
    struct plan_proxy proxies[PLAN_PROXIES];
    struct plan_actor actors[PLAN_ACTORS_MAX];
    unsigned actors_count;
    unsigned exposed_count; /* of these, the first ones: they are killed and stopped */
    struct plan_step steps[PLAN_STEPS_MAX]; /* by time */
    unsigned steps_count;
};

/* kills_only: nothing but SIGKILLs of the server, and increments. */
void plan_draw(struct plan *p, uint64_t seed, uint32_t duration_ms, bool kills_only);
void plan_print(const struct plan *p, FILE *out);
const char *fault_name(enum fault fault);

#endif
