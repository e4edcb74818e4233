/* poll_set.c - see poll_set.h. */
#define _GNU_SOURCE
#include "bench/peers/poll_set.h"
#include "bench/monotonic.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

int poll_set_open(struct poll_set *s, struct failure *failure)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) {
        return failure_set(failure, ERR_IO, "cannot make an epoll: %s", strerror(errno));
    }
    s->epoll_fd = fd;
    return ERR_OK;
}

static int control(struct poll_set *s, int operation, int fd, uint32_t number, bool want_write,
                   struct failure *failure)
{
    struct epoll_event event = {.events = EPOLLIN | (want_write ? EPOLLOUT : 0u),
                                .data.u32 = number};
    if (epoll_ctl(s->epoll_fd, operation, fd, &event)) {
        return failure_set(failure, ERR_IO, "cannot poll a connection: %s", strerror(errno));
    }
    return ERR_OK;
}

int poll_set_add(struct poll_set *s, int fd, uint32_t number, struct failure *failure)
{
    return control(s, EPOLL_CTL_ADD, fd, number, false, failure);
}

int poll_set_want_write(struct poll_set *s, int fd, uint32_t number, bool want,
                        struct failure *failure)
{
    return control(s, EPOLL_CTL_MOD, fd, number, want, failure);
}

int poll_set_wait(struct poll_set *s, uint64_t timeout_ns, uint32_t ret_ready[POLL_SET_EVENTS],
                  uint32_t *ret_count, struct failure *failure)
{
    struct epoll_event events[POLL_SET_EVENTS];
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / NS_PER_S),
                               .tv_nsec = (long)(timeout_ns % NS_PER_S)};
    int n = epoll_pwait2(s->epoll_fd, events, POLL_SET_EVENTS, &timeout, NULL);
    if (n < 0 && errno != EINTR) {
        return failure_set(failure, ERR_IO, "cannot poll: %s", strerror(errno));
    }
    for (int i = 0; i < n; i++) {
        ret_ready[i] = events[i].data.u32;
    }
    *ret_count = n > 0 ? (uint32_t)n : 0;
    return ERR_OK;
}

void poll_set_close(struct poll_set *s)
{
    if (s->epoll_fd > 0) {
        close(s->epoll_fd);
        s->epoll_fd = 0;
    }
}
