/*
 * subscriptions.h - what arrives at the XPUB. A peer's subscriptions are its own
 * affair; a topic in one only means: a bookmark is wanted there.
 *
 * ZeroMQ keeps every subscription of a peer in memory. A connection that keeps
 * subscribing is therefore ended after SUBSCRIPTIONS_MAX; a watcher needs one.
 */
#ifndef VIGIL_SERVER_NET_SUBSCRIPTIONS_H
#define VIGIL_SERVER_NET_SUBSCRIPTIONS_H

#include "protocol/wire.h"

enum { SUBSCRIPTIONS_MAX = 4096 };

struct subscriptions {
    uint16_t *counts; /* by descriptor */
    size_t counts_size;
    uint64_t received;
    uint64_t ended; /* connections */
};

/* Takes what waits, a bounded part of it, and calls subscribed for each topic.
 * True if there was any. */
bool subscriptions_take(struct subscriptions *s, void *socket,
                        void (*subscribed)(void *context, struct bytes topic), void *context);
void subscriptions_free(struct subscriptions *s);

#endif
