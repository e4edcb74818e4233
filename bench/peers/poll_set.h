/*
 * poll_set.h - the descriptors of a peer's connections, each with a number, in one
 * epoll; for the libraries that leave their sockets to the caller.
 */
#ifndef VIGIL_BENCH_PEERS_POLL_SET_H
#define VIGIL_BENCH_PEERS_POLL_SET_H

#include "protocol/failure.h"

#include <stdbool.h>
#include <stdint.h>

enum { POLL_SET_EVENTS = 64 };

struct poll_set {
    int epoll_fd;
};

int poll_set_open(struct poll_set *s, struct failure *failure);
/* Level-triggered, for reading. fd -1 is refused. */
int poll_set_add(struct poll_set *s, int fd, uint32_t number, struct failure *failure);
/* Of one that was added: whether to wait for room to write as well. */
int poll_set_want_write(struct poll_set *s, int fd, uint32_t number, bool want,
                        struct failure *failure);
/* The numbers of those that are ready, for whatever; none after timeout_ns or a signal. */
int poll_set_wait(struct poll_set *s, uint64_t timeout_ns, uint32_t ret_ready[POLL_SET_EVENTS],
                  uint32_t *ret_count, struct failure *failure);
void poll_set_close(struct poll_set *s); /* takes one that is zero */

#endif
