/*
 * subscriptions.h - what arrives at the XPUB. A peer's subscriptions are its own
 * affair; a topic in one only means: a bookmark is wanted there.
 *
 * ZeroMQ keeps every subscription of a peer in memory: a node for each byte that
 * no other begins with, and each of a peer's own. So a connection is ended
 *
 * 1. that sends anything which is no topic's subscription, "everything" included;
 * 2. that has subscribed SUBSCRIPTIONS_MAX times (a watcher needs one); a topic
 *    that is not known, such as one of before a restart, counts as 16.
 */
#ifndef VIGIL_SERVER_NET_SUBSCRIPTIONS_H
#define VIGIL_SERVER_NET_SUBSCRIPTIONS_H

#include "protocol/wire.h"

enum { SUBSCRIPTIONS_MAX = 1024, SUBSCRIPTION_UNKNOWN = 16 };

struct subscriptions {
    uint16_t *counts; /* by descriptor */
    size_t counts_size;
    uint64_t received;
    uint64_t ended; /* connections */
};

/* Takes what waits, a bounded part of it, and calls subscribed for each topic,
 * which says whether it is known. True if there was any. */
bool subscriptions_take(struct subscriptions *s, void *socket,
                        bool (*subscribed)(void *context, struct bytes topic), void *context);
void subscriptions_free(struct subscriptions *s);

#endif
