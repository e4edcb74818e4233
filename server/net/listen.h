/*
 * listen.h - the endpoints that vigild serves on: who may have them, the three
 * addresses of each, and what is left of them at the end.
 *
 * 1. A socket file is only replaced while PATH.lock is held, and only if it is
 *    a socket that nobody accepts on: ZeroMQ's bind would replace any file.
 * 2. After listen_close neither sockets nor lock files of ours are left.
 */
#ifndef VIGIL_SERVER_NET_LISTEN_H
#define VIGIL_SERVER_NET_LISTEN_H

#include "server/net/config.h"
#include "server/net/peers.h"

struct listen_point {
    struct endpoint endpoint; /* after listen_bind with the port that was bound */
    int lock_fd;              /* ipc; -1: none */
    uint16_t ports[3];        /* tcp: request, stream, replay */
};

struct listen_set {
    struct listen_point points[CONFIG_LISTEN_MAX];
    size_t count;
};

/* Takes the locks and removes stale sockets. On failure nothing is held. */
int listen_open(const struct config *config, struct listen_set *ret_set, struct failure *failure);
/* Makes peers listen at all points, and binds ZeroMQ's two sockets, indexed by enum endpoint_role, to
 * the addresses that follow from each. */
int listen_bind(struct listen_set *set, struct peers *peers, void *const sockets[3],
                struct failure *failure);
/* Once the sockets are closed. Takes a zeroed set too. */
void listen_close(struct listen_set *set);

#endif
