/*
 * reply_budget.h - bounds the bytes of large replies that wait for one peer.
 *
 * ZeroMQ bounds a peer's queue in messages only. Small replies are bounded by
 * that well enough; a large one is handed to ZeroMQ with a note of whose it is,
 * and counts against its peer until ZeroMQ lets go of it.
 *
 * 1. What waits for a peer in large replies stays below REPLY_BUDGET_BYTES plus
 *    one reply, while at most REPLY_BUDGET_PEERS have such waiting.
 * Core thread only, but for the release, which is on ZeroMQ's thread.
 */
#ifndef VIGIL_SERVER_NET_REPLY_BUDGET_H
#define VIGIL_SERVER_NET_REPLY_BUDGET_H

#include "protocol/errors.h"
#include "protocol/wire.h"

enum {
    REPLY_BUDGET_BYTES = 32 << 20, /* per peer */
    REPLY_LARGE_BYTES = 32 << 10,  /* from here on a reply is counted */
    REPLY_BUDGET_PEERS = 1024      /* with large replies under way at one time */
};

struct reply_budget;

int reply_budget_new(struct reply_budget **ret_budget);
/* Takes NULL. Accounts that ZeroMQ still holds live on until it lets go. */
void reply_budget_free(struct reply_budget *b);
/* Sends a large reply as a copy. False: the peer is gone, does not read, or has
 * too much waiting. */
bool reply_budget_send(struct reply_budget *b, void *socket, struct bytes peer, struct bytes body);

#endif
