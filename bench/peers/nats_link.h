/*
 * nats_link.h - connections of libnats whose sockets the caller's thread drives,
 * as an "external event loop" of that library: no thread a connection, no hand-off
 * between threads on the way of a message, and one write for all that was queued.
 *
 * Threads: one owns a set of links. While the library itself waits for an answer
 * (a stream or a consumer is made), a thread turns the set on its behalf: between
 * nats_links_lend and nats_links_take_back.
 */
#ifndef VIGIL_BENCH_PEERS_NATS_LINK_H
#define VIGIL_BENCH_PEERS_NATS_LINK_H

#include "bench/peers/poll_set.h"
#include "protocol/failure.h"

#include <nats/nats.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct nats_link {
    struct nats_links *set;
    uint32_t number;
    natsConnection *connection;
    int fd;
    bool waits_for_room; /* the socket took only a part */
};

struct nats_links {
    struct poll_set polled;
    struct nats_link *links;
    uint32_t count;
    pthread_mutex_t output_lock; /* of has_output: the library's timers write as well */
    uint32_t *has_output;
    uint32_t output_count;
    int wake_fd;
    bool lent;
    atomic_bool lending_ends;
    pthread_t borrower;
};

int nats_fail(struct failure *failure, natsStatus status, const char *what);

/* Options for HOST:PORT: no reconnection, so that what breaks is seen. The caller destroys them. */
int nats_plain_options(const char *address, natsOptions **ret_options, struct failure *failure);

/* Connects count links. Takes s zeroed. */
int nats_links_open(struct nats_links *s, const char *address, uint32_t count,
                    struct failure *failure);
/* Sends what is queued, then waits for any of them and lets the library read what has come: the
 * numbers of those that it came for are returned. ERR_DISCONNECTED when one has lost its server. */
int nats_links_turn(struct nats_links *s, uint64_t timeout_ns, uint32_t ret_ready[POLL_SET_EVENTS],
                    uint32_t *ret_count, struct failure *failure);
/* Sends what is queued, as far as the sockets take it. */
int nats_links_send(struct nats_links *s, struct failure *failure);
int nats_links_lend(struct nats_links *s, struct failure *failure);
void nats_links_take_back(struct nats_links *s);
void nats_links_close(struct nats_links *s); /* takes one that is zero, or half open */

#endif
