/*
 * descriptor.h - a pollable descriptor for the application's event loop: an
 * epoll set over the sockets of the library's own links and ZeroMQ's descriptors, an event
 * for what another handle of the connection has done for this one, and a timer
 * for duties.
 *
 * ZeroMQ's descriptors are edge-triggered: the application must go on until
 * there is nothing more to do, and whoever looked at those sockets for another
 * reason signals the event if that left something. A link's socket is readable
 * for as long as it has something that no step has taken; a watch that leaves
 * its stream unread takes it out of the set.
 *
 * All calls for one descriptor come from the thread that has its connection.
 */
#ifndef VIGIL_CLIENT_DESCRIPTOR_H
#define VIGIL_CLIENT_DESCRIPTOR_H

#include <stdbool.h>
#include <stdint.h>

struct descriptor {
    struct descriptor *next; /* of the connection's list */
    int epoll;
    int event;
    int timer;
    bool signalled;
    int64_t
        due_ms; /* when the timer goes off, or did so without having been read; 0: it does not */
};

/* ERR_OK, ERR_LIMIT. */
int descriptor_open(struct descriptor *d);
void descriptor_close(struct descriptor *d);
/* A ZeroMQ socket enters or, before it is closed, leaves. A NULL socket is ignored. */
void descriptor_add(struct descriptor *d, void *socket);
void descriptor_remove(struct descriptor *d, void *socket);
/* A plain descriptor enters, is waited for otherwise, or, before it is closed, leaves. events: of
 * poll. */
void descriptor_add_plain(struct descriptor *d, int fd, short events);
void descriptor_change_plain(struct descriptor *d, int fd, short events);
void descriptor_remove_plain(struct descriptor *d, int fd);
/* Becomes readable. d may be NULL. */
void descriptor_signal(struct descriptor *d);
/* Not readable any more for what was signalled or timed. d may be NULL. */
void descriptor_clear(struct descriptor *d);
/* Becomes readable after delay_ms, or earlier if it was to: whoever works on the handle again and again
 * makes no system call for it. d may be NULL. */
void descriptor_arm(struct descriptor *d, int64_t delay_ms);

#endif
