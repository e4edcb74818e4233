#define _GNU_SOURCE
/* subscriptions.c - see subscriptions.h. */
#include "server/net/subscriptions.h"

#include "protocol/limits.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <zmq.h>

enum { TAKE_MAX = 256, DESCRIPTORS_MAX = 1 << 20, UNSUBSCRIBE = 0, SUBSCRIBE = 1 };

/* The count of fd's connection, or of several that had this descriptor one after another: at
 * worst somebody has to connect again, which ZeroMQ does by itself. */
static uint16_t *count_of(struct subscriptions *s, int fd)
{
    if (fd < 0 || fd >= DESCRIPTORS_MAX)
        return NULL;
    if ((size_t)fd >= s->counts_size) {
        size_t size = (size_t)fd * 2 + 64;
        uint16_t *counts = realloc(s->counts, size * sizeof *counts);
        if (!counts)
            return NULL;
        memset(counts + s->counts_size, 0, (size - s->counts_size) * sizeof *counts);
        s->counts = counts;
        s->counts_size = size;
    }
    return &s->counts[fd];
}

static void count(struct subscriptions *s, zmq_msg_t *message, unsigned weight)
{
    int fd = zmq_msg_get(message, ZMQ_SRCFD);
    uint16_t *count = count_of(s, fd);
    if (!count)
        return;
    *count = (uint16_t)(*count + weight);
    if (*count < SUBSCRIPTIONS_MAX)
        return;
    *count = 0;
    s->ended++;
    shutdown(fd, SHUT_RDWR);
}

/* What counts how much. Of unsubscriptions only those come here that ended the last subscription to
 * something: they follow one that has been counted. */
static unsigned weigh(zmq_msg_t *message, bool (*subscribed)(void *context, struct bytes topic),
                      void *context)
{
    const uint8_t *data = zmq_msg_data(message);
    size_t size = zmq_msg_size(message);
    if (size > 0 && data[0] == UNSUBSCRIBE)
        return 0;
    if (size != 1 + TOPIC_SIZE || data[0] != SUBSCRIBE)
        return SUBSCRIPTIONS_MAX;
    return subscribed(context, (struct bytes){data + 1, TOPIC_SIZE}) ? 1 : SUBSCRIPTION_UNKNOWN;
}

bool subscriptions_take(struct subscriptions *s, void *socket,
                        bool (*subscribed)(void *context, struct bytes topic), void *context)
{
    zmq_msg_t message;
    bool any = false;
    zmq_msg_init(&message);
    for (int i = 0; i < TAKE_MAX && zmq_msg_recv(&message, socket, ZMQ_DONTWAIT) >= 0; i++) {
        any = true;
        s->received++;
        count(s, &message, weigh(&message, subscribed, context));
    }
    zmq_msg_close(&message);
    return any;
}

void subscriptions_free(struct subscriptions *s)
{
    free(s->counts);
    *s = (struct subscriptions){0};
}
