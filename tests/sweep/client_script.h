/*
 * client_script.h - a client that uses every function of vigil.h while calls fail, in it or in its
 * server, and keeps account of what it was promised.
 */
#ifndef VIGIL_TESTS_SWEEP_CLIENT_SCRIPT_H
#define VIGIL_TESTS_SWEEP_CLIENT_SCRIPT_H

#include <vigil.h>

#include "tests/sweep/sweep.h"

enum { SCRIPT_KEY_SIZE = 32, SCRIPT_ACKNOWLEDGED_MAX = 64, SCRIPT_WATCHED_KEYS = 4 };

struct acknowledged {
    uint64_t seq;
    char key[SCRIPT_KEY_SIZE];
    bool is_put; /* of n */
    int64_t n;
};

/* Of the keys that are watched, all values are integers. */
struct watched_key {
    char key[SCRIPT_KEY_SIZE];
    uint64_t seq; /* 0: not seen yet */
    int64_t n;
};

struct watching {
    vigil_watch *watch;
    bool before;  /* with the option of that name */
    uint64_t seq; /* newest that was seen */
    struct watched_key last[SCRIPT_WATCHED_KEYS];
};

struct client_script {
    struct sweep *sweep;
    const char *endpoint;
    int request_timeout_ms;
    /* NULL, or whether the script had better end: its server is gone. */
    bool (*is_over)(struct client_script *s);
    void *context;

    char prefix[16]; /* of this run's keys */
    vigil *v;
    struct watching live;
    struct acknowledged acknowledged[SCRIPT_ACKNOWLEDGED_MAX];
    size_t acknowledged_count;
    int64_t increments;           /* acknowledged */
    int64_t increments_attempted; /* of them all */
    bool cursor_made;
    bool cursor_deleted;      /* another one */
    uint64_t cursor_promised; /* acknowledged to be there at least */
    unsigned refusals;        /* calls that returned an error which the script does not provoke */
    bool good;
};

/* The connection and its watch stay open. */
void client_script_run(struct client_script *s);
/* Without faults, with a server that works: connection and watch go on, and nothing is missing. */
void client_script_settle(struct client_script *s);
void client_script_close(struct client_script *s);

#endif
