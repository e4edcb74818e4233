/*
 * subscription.h - the way of a watch's live stream: a link to the server's stream socket, as a SUB
 * that asks for one topic, read by the thread that uses the handle. It never blocks.
 *
 *   CLOSED --open--> CONNECTING --> UP
 *                     |    ^        |
 *                     v    | later  |
 *                     DOWN <--------+   the link failed, or brought what is no message
 *
 * 1. Messages come whole and in order. What the server sends while the link is not up is missed: the
 *    stream's own messages tell that (watch_rule.h), and one comes soon after each subscription.
 * 2. What is not read stays in the kernel and then with the server, which in the end leaves messages
 *    out: memory is bounded by one message.
 */
#ifndef VIGIL_CLIENT_SUBSCRIPTION_H
#define VIGIL_CLIENT_SUBSCRIPTION_H

#include <poll.h>

#include "client/backoff.h"
#include "client/descriptor.h"
#include "client/dial.h"
#include "client/link.h"
#include "protocol/stream_message.h"

enum subscription_state {
    SUBSCRIPTION_CLOSED,
    SUBSCRIPTION_DOWN,
    SUBSCRIPTION_CONNECTING,
    SUBSCRIPTION_UP
};

struct subscription {
    enum subscription_state state;
    struct endpoint endpoint;
    uint8_t topic[TOPIC_SIZE];
    struct dial dial;
    struct link link;
    struct backoff backoff;
    int64_t retry_ms;           /* DOWN: until then */
    struct descriptor *watcher; /* of the application; NULL: none */
    struct pollfd watched;      /* what its set holds; fd -1: nothing */
};

/* seed: for the pauses between attempts. */
void subscription_init(struct subscription *s, uint64_t seed);
void subscription_free(struct subscription *s);

/* Begins anew, with the topic; nothing of what was sent for the one before can come. ERR_OK, ERR_LIMIT
 * (descriptors, threads, memory): it stays closed. */
int subscription_open(struct subscription *s, const struct endpoint *endpoint,
                      const uint8_t topic[TOPIC_SIZE], int64_t now_ms);
/* Takes one that is closed. */
void subscription_close(struct subscription *s);

/* Connects, as far as that goes without waiting. */
void subscription_drive(struct subscription *s, int64_t now_ms);
/* When it is to be driven again, on the connection's clock, if nothing comes before. */
int64_t subscription_due_ms(const struct subscription *s);
/* What to wait for; reads: messages are wanted. fd -1: nothing. */
struct pollfd subscription_wanted(const struct subscription *s, bool reads);
/* Has the descriptor wait for that. */
void subscription_watch(struct subscription *s, bool reads);

/* True: *message has the next one; its memory is used again. Look at now_ms after a false one: there may
 * be something to be driven. */
bool subscription_receive(struct subscription *s, struct wire_buffer *message, int64_t now_ms);

#endif
