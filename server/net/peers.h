/*
 * peers.h - the request socket: a ROUTER of ZeroMQ on the wire (ZMTP 3.1), served by the core thread
 * itself, because each request would otherwise pass two threads on its way in and two on its way out.
 *
 *   peers_wait -> peers_receive ... -> [the batch is applied and committed]
 *              -> peers_send ... -> peers_flush -> peers_release
 *
 *   connection:  accepted --greeting, READY--> introduced --> ended
 *                    |  refused, or not within PEERS_HANDSHAKE_MS: ended
 *
 * 1. One turn of N requests from N connections costs one wait, N receives and N sends.
 * 2. What a message holds stays where it is until peers_release.
 * 3. A connection is read from once a round, a shared block's worth at most, and every one that is
 *    ready has its turn before any has another. Nothing is read that there is no room for: what waits,
 *    waits in the kernel.
 * 4. An idle connection costs some 150 bytes, and 600 more until it has introduced itself.
 * 5. What waits for a peer that does not read stays below PEERS_WAITING_BYTES plus one reply and
 *    PEERS_WAITING_MESSAGES. Beyond PEERS_WAITING_BYTES_ALL only those get another reply that have
 *    none waiting, and a small one. A reply beyond that is dropped.
 * 6. A peer whose end is known only by sending is still read from, until nothing is left that it has
 *    sent.
 * 7. A name is never given out twice.
 *
 * Core thread only. Nothing blocks but peers_wait and peers_free.
 */
#ifndef VIGIL_SERVER_NET_PEERS_H
#define VIGIL_SERVER_NET_PEERS_H

#include "protocol/endpoint.h"
#include "protocol/failure.h"
#include "protocol/limits.h"
#include "protocol/wire.h"

enum {
    PEERS_HANDSHAKE_MS = 10000,
    PEERS_GONE_S = 30, /* a tcp peer whose kernel does not answer for so long is gone */
    /* Twice the window, so that a client that keeps to it never meets the bound. */
    PEERS_WAITING_MESSAGES = 2 * LIMIT_WINDOW_MESSAGES + 16,
    PEERS_WAITING_BYTES = 32 << 20,
    PEERS_WAITING_BYTES_ALL = 512 << 20,
    PEERS_NAME_SIZE = 12
};

struct peers;

/* descriptors_max: greater than that of any connection. ERR_OK, ERR_NO_MEMORY, ERR_IO. */
int peers_new(uint64_t message_size_max, size_t descriptors_max, struct peers **ret_peers,
              struct failure *failure);
/* Ends all connections; replies that wait get linger_ms to go out. Takes NULL. Socket files are left to
 * the caller. */
void peers_free(struct peers *p, unsigned linger_ms);

/* Listens at an endpoint, of which no socket file may be there; *e then has the address and the port
 * that were bound. ERR_OK, ERR_ACCESS, ERR_LOCKED (it is in use), ERR_IO, ERR_NO_MEMORY. */
int peers_listen(struct peers *p, struct endpoint *e, struct failure *failure);

/* Descriptors of others that peers_wait waits for as well. */
enum peers_other { PEERS_SIGNALS, PEERS_STREAMS, PEERS_OTHERS };
/* Edge-triggered: one that has become readable is told of once. ERR_OK, ERR_NO_MEMORY. */
int peers_watch(struct peers *p, enum peers_other other, int fd);
/* Whether it has become readable since the last call. */
bool peers_stirred(struct peers *p, enum peers_other other);

/* Waits until a connection or one of the others has something, at most timeout_ms, and not at all while
 * there is something left to do of before. now_us: boot clock. 0, or -1 with errno. */
int peers_wait(struct peers *p, int timeout_ms, uint64_t now_us);
/* True: there is something left to do of before, and peers_wait does not wait. */
bool peers_has_left(const struct peers *p);
/* Otherwise: readable when peers_wait would find something. */
int peers_descriptor(const struct peers *p);

struct peer_message {
    uint8_t peer[PEERS_NAME_SIZE];
    struct bytes body; /* valid until peers_release */
};

enum peers_result {
    PEERS_NONE,    /* nothing more for now: peers_wait */
    PEERS_MESSAGE, /* *ret_message is set */
    PEERS_SURPLUS  /* a message of several frames came to its end; only its peer is set */
};
/* The next message of those that peers_wait has found. */
enum peers_result peers_receive(struct peers *p, struct peer_message *ret_message);
/* After PEERS_NONE: true if all that had come before the last peers_wait has been handed out. */
bool peers_all_read(const struct peers *p);
/* The batch should take no more, for the memory that its messages hold. */
bool peers_batch_full(const struct peers *p);

/* Queues a reply, or sends it if it is large. False: it is dropped, because the peer is gone, does not
 * read, or memory is short. */
bool peers_send(struct peers *p, struct bytes peer, struct bytes body);
/* Sends what has been queued. */
void peers_flush(struct peers *p);
/* The messages handed out are done with. */
void peers_release(struct peers *p);

#endif
