/*
 * peer.h - what a system has to offer to be measured beside Vigil: clients that
 * change it, watchers that get the changes, and a reader of what is stored. Each
 * system has one file that defines all of these (vigil.c, redis.c, ...) and is
 * linked with the same main.c, load.c and onlookers.c into a program of its own,
 * so that the load, the clocks and the report are the same for each.
 *
 * Threads: one calls all functions of the clients, one all of a watch, but
 * for peer_delivery. The watch lives in another process than the clients: no
 * library is shared across a fork.
 *
 * Errors are those of protocol/errors.h; ERR_DISCONNECTED where there is no
 * server, ERR_IO for what has no better name. The failure says what failed, with
 * the server's own words where it gave some. An operation that the server
 * refuses, or a watch that ends, is an error of the poll that finds it.
 */
#ifndef VIGIL_BENCH_PEERS_PEER_H
#define VIGIL_BENCH_PEERS_PEER_H

#include "protocol/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peer_operation {
    const char *name;    /* "put", as on the command line */
    const char *summary; /* for --help: what it does, and what its watcher does */
    bool watchable;      /* peer_watch_open takes it */
    bool timed;      /* each delivery is the value that was written: bench/payload.h has its age */
    bool lossy;      /* a watcher may miss a change, by the system's own rules */
    bool replayable; /* peer_replay takes it */
    bool counters;   /* adds to integers: its keys are not those of the others */
};

/* What main.c has from the command line; it outlives all that is opened with it. */
struct peer_plan {
    const char *address;
    const struct peer_operation *operation;
    uint32_t clients;
    uint32_t depth;    /* requests in flight for each client, at most */
    uint32_t size;     /* of each value */
    uint32_t keys;     /* payload_key(0) to payload_key(keys - 1): all begin with PAYLOAD_PREFIX */
    uint32_t watchers; /* in the watchers' process */
};

extern const char peer_name[];         /* "redis" */
extern const char peer_address_help[]; /* for --help: "HOST:PORT or unix:PATH" */
extern const struct peer_operation peer_operations[];
extern const size_t peer_operation_count;

/* ---- clients ------------------------------------------------------------------- */

struct peer_clients;

/* One operation is acknowledged. Called from within peer_poll only; it may call peer_start. */
typedef void peer_done(void *context, uint32_t client, uint64_t token);

/* plan->clients connections, unless the library shares one by its nature. Blocks until they work. */
int peer_open(const struct peer_plan *plan, peer_done *done, void *context,
              struct peer_clients **ret_clients, struct failure *failure);
/* Queues one operation of that client, which has less than plan->depth in flight. key is
 * NUL-terminated; key and value are copied or encoded before it returns. It never calls done, and need
 * not send: what is queued leaves with the next peer_poll, in as few system calls as the library
 * can. token comes back with done; operations of a client may be done in any order. */
int peer_start(struct peer_clients *c, uint32_t client, const char *key, const void *value,
               size_t size, uint64_t token, struct failure *failure);
/* Sends what is queued, waits up to timeout_ns (0: not at all) for anything to come unless something
 * has, and calls done for all of it. What done has started is sent before it returns. A signal may
 * end the wait early; so may anything else. */
int peer_poll(struct peer_clients *c, uint64_t timeout_ns, struct failure *failure);
void peer_close(struct peer_clients *c); /* takes NULL */

/* ---- watchers ------------------------------------------------------------------ */

struct peer_watch;

/* The application holds a change: called once per watcher and change, from within peer_watch_poll,
 * peer_replay, or a thread that the library owns. value is only read before it returns; where the
 * operation is not timed it may be anything, NULL as well. */
typedef void peer_delivery(void *context, uint32_t watcher, const void *value, size_t size);

/* plan->watchers of them, each of which gets every change of every key from now on; what was written
 * before may not come. Returns when all are subscribed. Several watchers may share a connection only
 * where an application's would, and each still gets its own copy through the library. */
int peer_watch_open(const struct peer_plan *plan, peer_delivery *delivery, void *context,
                    struct peer_watch **ret_watch, struct failure *failure);
/* As peer_poll. */
int peer_watch_poll(struct peer_watch *w, uint64_t timeout_ns, struct failure *failure);
void peer_watch_close(
    struct peer_watch *w); /* takes NULL; undoes what open has set at the server */

/* ---- replay -------------------------------------------------------------------- */

/* Connects a new reader, reads the oldest stored records from the beginning, in order, until records
 * many were delivered (as watcher 0), and disconnects. The time that it takes is what is measured. */
int peer_replay(const struct peer_plan *plan, uint64_t records, peer_delivery *delivery,
                void *context, struct failure *failure);

#endif
