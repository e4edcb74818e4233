/*
 * signals.h - signals as a descriptor to poll, and the process's limits.
 *
 * SIGTERM and SIGINT arrive at the descriptor. SIGPIPE and SIGXFSZ are ignored,
 * so that a write says EPIPE or EFBIG. Call signals_open before any thread is made.
 */
#ifndef VIGIL_SERVER_NET_SIGNALS_H
#define VIGIL_SERVER_NET_SIGNALS_H

#include "protocol/failure.h"

int signals_open(int *ret_fd, struct failure *failure);
/* The signal that arrived, 0 for none. After the first, the next SIGINT ends the process at once. */
int signals_take(int fd);

/* Raises the soft limit of descriptors to the hard one; an error where even that is too low. */
int descriptors_raise(struct failure *failure);

#endif
