/*
 * descriptor.h - a pollable descriptor for the application's event loop: an
 * epoll set over ZeroMQ's descriptors, an event for what another handle of the
 * connection has done for this one, and a timer for duties.
 *
 * ZeroMQ's descriptors are edge-triggered: the application must go on until
 * there is nothing more to do, and whoever looked at the sockets for another
 * reason signals the event if that left something.
 */
#ifndef VIGIL_CLIENT_DESCRIPTOR_H
#define VIGIL_CLIENT_DESCRIPTOR_H

#include <stdint.h>

struct descriptor {
    struct descriptor *next; /* of the connection's list */
    int epoll;
    int event;
    int timer;
};

/* ERR_OK, ERR_LIMIT. */
int descriptor_open(struct descriptor *d);
void descriptor_close(struct descriptor *d);
/* A ZeroMQ socket enters or, before it is closed, leaves. A NULL socket is ignored. */
void descriptor_add(struct descriptor *d, void *socket);
void descriptor_remove(struct descriptor *d, void *socket);
/* Becomes readable. d may be NULL. */
void descriptor_signal(struct descriptor *d);
/* Not readable any more for what was signalled or timed. d may be NULL. */
void descriptor_clear(struct descriptor *d);
/* Becomes readable after delay_ms. d may be NULL. */
void descriptor_arm(struct descriptor *d, int64_t delay_ms);

#endif
