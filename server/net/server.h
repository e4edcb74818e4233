/*
 * server.h - the whole of vigild: what it consists of, its start and its end.
 *
 *   main thread    the core thread: requests, streams, journal writer (core_thread.c, turn.c); it
 *                  reads from and writes to the request connections itself (peers.h)
 *   replay thread  replays, listings, histories (replay_thread.c)
 *   sync thread    syncs that nobody waits for (sync_thread.c)
 *   ZeroMQ's own I/O thread, for the connections of streams and replays
 */
#ifndef VIGIL_SERVER_NET_SERVER_H
#define VIGIL_SERVER_NET_SERVER_H

#include "server/net/config.h"
#include "server/net/listen.h"
#include "server/net/peers.h"
#include "server/net/replay_thread.h"
#include "server/net/subscriptions.h"
#include "server/net/sync_thread.h"
#include "server/net/turn.h"

struct server {
    const struct config *config;
    int signal_fd;
    uint64_t incarnation;
    uint64_t started_us;
    struct listen_set listen;
    void *zmq;
    struct peers *peers;
    void *sockets[3]; /* by enum endpoint_role; requests have none */
    struct journal *journal;
    struct core *core;
    struct turn turn;
    struct subscriptions subscriptions;
    struct replay_figures replay_figures;
    struct replay_thread *replay;
    struct sync_thread *sync;
};

/* Starts, calls ready with the server, serves until a signal arrives at
 * signal_fd, and stops cleanly. */
int server_run(const struct config *config, int signal_fd, void (*ready)(const struct server *s),
               struct failure *failure);

/* core_thread.c: serves until a signal arrives. An error: the journal is lost. */
int core_thread_run(struct server *s, struct failure *failure);
/* status.c: the map that answers a status request; context is the server. */
void status_write(void *context, struct wire_buffer *map);

#endif
