/* descriptor.c - a pollable descriptor for the application's event loop. */
#define _GNU_SOURCE
#include "client/descriptor.h"

#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <zmq.h>

#include "client/clock.h"
#include "protocol/errors.h"

static int add_fd(int epoll, int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data = {.fd = fd}};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

int descriptor_open(struct descriptor *d)
{
    d->next = NULL;
    d->signalled = false;
    d->due_ms = 0;
    d->epoll = epoll_create1(EPOLL_CLOEXEC);
    d->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    d->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (d->epoll >= 0 && d->event >= 0 && d->timer >= 0 && add_fd(d->epoll, d->event) == 0 &&
        add_fd(d->epoll, d->timer) == 0)
        return ERR_OK;
    descriptor_close(d);
    return ERR_LIMIT;
}

void descriptor_close(struct descriptor *d)
{
    int *fds[] = {&d->epoll, &d->event, &d->timer};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

static int socket_fd(void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;
    if (!socket || zmq_getsockopt(socket, ZMQ_FD, &fd, &size) != 0)
        return -1;
    return fd;
}

void descriptor_add(struct descriptor *d, void *socket)
{
    int fd = socket_fd(socket);
    if (fd < 0)
        return;
    add_fd(d->epoll, fd);
    descriptor_signal(d); /* what came before it was in the set made no edge */
}

void descriptor_remove(struct descriptor *d, void *socket)
{
    int fd = socket_fd(socket);
    if (fd >= 0)
        epoll_ctl(d->epoll, EPOLL_CTL_DEL, fd, NULL);
}

static int control(const struct descriptor *d, int operation, int fd, short events)
{
    uint32_t wanted = (events & POLLOUT) != 0 ? EPOLLIN | EPOLLOUT : EPOLLIN;
    struct epoll_event e = {.events = wanted, .data = {.fd = fd}};
    return epoll_ctl(d->epoll, operation, fd, &e);
}

void descriptor_add_plain(struct descriptor *d, int fd, short events)
{
    if (control(d, EPOLL_CTL_ADD, fd, events) != 0)
        descriptor_signal(d); /* out of memory: the timer takes its place */
}

void descriptor_change_plain(struct descriptor *d, int fd, short events)
{
    (void)control(d, EPOLL_CTL_MOD, fd, events);
}

void descriptor_remove_plain(struct descriptor *d, int fd)
{
    epoll_ctl(d->epoll, EPOLL_CTL_DEL, fd, NULL);
}

void descriptor_signal(struct descriptor *d)
{
    if (!d || d->signalled)
        return;
    eventfd_write(d->event, 1);
    d->signalled = true;
}

void descriptor_clear(struct descriptor *d)
{
    if (!d)
        return;
    if (d->signalled) {
        eventfd_t count;
        eventfd_read(d->event, &count);
        d->signalled = false;
    }
    if (d->due_ms != 0 && clock_now_ms() >= d->due_ms) {
        uint64_t expirations;
        if (read(d->timer, &expirations, sizeof expirations) > 0)
            d->due_ms = 0; /* otherwise it goes off within the millisecond */
    }
}

void descriptor_arm(struct descriptor *d, int64_t delay_ms)
{
    if (!d)
        return;
    if (delay_ms < 1)
        delay_ms = 1; /* 0 would disarm */
    int64_t due_ms = clock_now_ms() + delay_ms;
    if (d->due_ms != 0 && d->due_ms <= due_ms)
        return;
    struct itimerspec when = {
        .it_value = {.tv_sec = delay_ms / 1000, .tv_nsec = (long)(delay_ms % 1000) * 1000000}};
    if (timerfd_settime(d->timer, 0, &when, NULL) == 0)
        d->due_ms = due_ms;
}
