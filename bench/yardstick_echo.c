/* yardstick_echo.c - ROUTER and DEALER without anything between; see yardstick.h. */
#define _GNU_SOURCE
#include "bench/child.h"
#include "bench/interrupt.h"
#include "bench/monotonic.h"
#include "bench/roles.h"
#include "bench/yardstick.h"
#include "protocol/endpoint.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <zmq.h>

enum { READY_MS = 10000, STUCK_MS = 10000 };

/* ---- the other process ----------------------------------------------------- */

static void *exit_at_end_of_input(void *context)
{
    char byte;
    (void)context;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    _exit(0);
}

int role_echo(int count, char *const arguments[])
{
    pthread_t thread;
    char endpoint[ENDPOINT_SIZE];
    size_t endpoint_size = sizeof endpoint;
    void *context = zmq_ctx_new();
    void *router = context ? zmq_socket(context, ZMQ_ROUTER) : NULL;
    int unlimited = 0;
    if (count != 1 || !router || zmq_setsockopt(router, ZMQ_SNDHWM, &unlimited, sizeof unlimited) ||
        zmq_setsockopt(router, ZMQ_RCVHWM, &unlimited, sizeof unlimited) ||
        zmq_bind(router, arguments[0]) ||
        zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &endpoint_size) ||
        pthread_create(&thread, NULL, exit_at_end_of_input, NULL)) {
        fprintf(stderr, "vigil-bench: echo: %s\n", zmq_strerror(zmq_errno()));
        return 1;
    }
    printf("ready %s\n", endpoint);
    fflush(stdout);
    for (;;) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, router, 0) < 0) {
            if (zmq_errno() == EINTR) {
                continue;
            }
            return 1;
        }
        int more = zmq_msg_more(&part) ? ZMQ_SNDMORE : 0;
        if (zmq_msg_send(&part, router, more) < 0) {
            zmq_msg_close(&part);
        }
    }
}

/* ---- the clients ------------------------------------------------------------ */

struct echo_client {
    void *dealer;
    uint64_t *sent_ns; /* ring of depth */
    uint32_t first;
    uint32_t in_flight;
};

struct echo_load {
    void *context;
    int epoll_fd;
    struct echo_client *clients;
    uint32_t count;
    uint32_t depth;
    double rate; /* 0: as fast as replies come */
    uint8_t *message;
    size_t size;
    uint64_t begin_ns;
    uint64_t end_ns;
    uint64_t counted;
    struct echo_result *result;
};

static int socket_failure(struct failure *failure, const char *what)
{
    failure_set(failure, ERR_IO, "echo: %s: %s", what, zmq_strerror(zmq_errno()));
    return ERR_IO;
}

static int open_client(struct echo_load *l, struct echo_client *c, const char *endpoint,
                       struct failure *failure)
{
    int unlimited = 0;
    int linger = 0;
    int fd = -1;
    size_t fd_size = sizeof fd;
    c->sent_ns = calloc(l->depth, sizeof *c->sent_ns);
    c->dealer = zmq_socket(l->context, ZMQ_DEALER);
    if (!c->sent_ns || !c->dealer ||
        zmq_setsockopt(c->dealer, ZMQ_SNDHWM, &unlimited, sizeof unlimited) ||
        zmq_setsockopt(c->dealer, ZMQ_RCVHWM, &unlimited, sizeof unlimited) ||
        zmq_setsockopt(c->dealer, ZMQ_LINGER, &linger, sizeof linger) ||
        zmq_connect(c->dealer, endpoint) || zmq_getsockopt(c->dealer, ZMQ_FD, &fd, &fd_size)) {
        return socket_failure(failure, "cannot connect");
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
        failure_set(failure, ERR_IO, "echo: cannot poll: %s", strerror(errno));
        return ERR_IO;
    }
    return ERR_OK;
}

/* False on an error. */
static bool fill(struct echo_load *l, struct echo_client *c)
{
    uint64_t now = monotonic_ns();
    while (now < l->end_ns && c->in_flight < l->depth) {
        if (zmq_send(c->dealer, l->message, l->size, ZMQ_DONTWAIT) < 0) {
            return zmq_errno() == EAGAIN || zmq_errno() == EINTR;
        }
        c->sent_ns[(c->first + c->in_flight) % l->depth] = now;
        c->in_flight++;
    }
    return true;
}

/* A send may swallow the signal of a message that has come, so readiness is asked for again after it. */
static int serve(struct echo_load *l, struct echo_client *c, struct failure *failure)
{
    uint32_t ready = ZMQ_POLLIN;
    size_t ready_size = sizeof ready;
    do {
        zmq_msg_t message;
        zmq_msg_init(&message);
        while (c->in_flight > 0 && zmq_msg_recv(&message, c->dealer, ZMQ_DONTWAIT) >= 0) {
            uint64_t now = monotonic_ns();
            if (now >= l->begin_ns && now < l->end_ns) {
                l->counted++;
                histogram_add(&l->result->latency, now - c->sent_ns[c->first]);
            }
            c->first = (c->first + 1) % l->depth;
            c->in_flight--;
        }
        zmq_msg_close(&message);
        if (!fill(l, c)) {
            return socket_failure(failure, "cannot send");
        }
        if (zmq_getsockopt(c->dealer, ZMQ_EVENTS, &ready, &ready_size)) {
            return socket_failure(failure, "cannot look at a socket");
        }
    } while (ready & ZMQ_POLLIN && c->in_flight > 0);
    return ERR_OK;
}

static int run(struct echo_load *l, struct failure *failure)
{
    for (uint32_t i = 0; i < l->count; i++) {
        int err = serve(l, &l->clients[i], failure);
        if (err) {
            return err;
        }
    }
    while (monotonic_ns() < l->end_ns) {
        struct epoll_event events[64];
        int n = epoll_wait(l->epoll_fd, events, 64, STUCK_MS);
        if (interrupted()) {
            return failure_set(failure, ERR_INTERRUPTED, "interrupted");
        }
        if (n == 0) {
            return failure_set(failure, ERR_TIMEOUT, "echo: no reply came");
        }
        for (int i = 0; i < n; i++) {
            int err = serve(l, events[i].data.ptr, failure);
            if (err) {
                return err;
            }
        }
    }
    return ERR_OK;
}

/* The reply to the one message in flight. */
static int receive_one(struct echo_load *l, zmq_msg_t *message, struct failure *failure)
{
    while (zmq_msg_recv(message, l->clients[0].dealer, ZMQ_DONTWAIT) < 0) {
        struct epoll_event event;
        if (zmq_errno() != EAGAIN && zmq_errno() != EINTR) {
            return socket_failure(failure, "cannot receive");
        }
        if (epoll_wait(l->epoll_fd, &event, 1, STUCK_MS) == 0) {
            return failure_set(failure, ERR_TIMEOUT, "echo: no reply came");
        }
        if (interrupted()) {
            return failure_set(failure, ERR_INTERRUPTED, "interrupted");
        }
    }
    return ERR_OK;
}

static int run_paced(struct echo_load *l, struct failure *failure)
{
    uint64_t start_ns = monotonic_ns();
    uint64_t due_ns = start_ns;
    int err = ERR_OK;
    prctl(PR_SET_TIMERSLACK, 1UL);
    for (uint64_t i = 1; due_ns < l->end_ns && !err; i++) {
        zmq_msg_t message;
        zmq_msg_init(&message);
        while (due_ns > monotonic_ns() + POLL_AHEAD_NS && !interrupted()) {
            monotonic_sleep_until(due_ns - POLL_AHEAD_NS);
        }
        uint64_t sent_ns;
        do {
            sent_ns = monotonic_ns();
        } while (sent_ns < due_ns);
        if (zmq_send(l->clients[0].dealer, l->message, l->size, 0) < 0) {
            err = socket_failure(failure, "cannot send");
        } else {
            err = receive_one(l, &message, failure);
        }
        zmq_msg_close(&message);
        if (!err && due_ns >= l->begin_ns) {
            l->counted++;
            histogram_add(&l->result->latency, monotonic_ns() - sent_ns);
        }
        due_ns = start_ns + (uint64_t)((double)i * (double)NS_PER_S / l->rate);
    }
    prctl(PR_SET_TIMERSLACK, 0UL);
    return err;
}

static int open_load(struct echo_load *l, const char *endpoint, struct failure *failure)
{
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->context = zmq_ctx_new();
    l->clients = calloc(l->count, sizeof *l->clients);
    l->message = calloc(1, l->size);
    if (l->epoll_fd < 0 || !l->context || !l->clients || !l->message ||
        zmq_ctx_set(l->context, ZMQ_MAX_SOCKETS, (int)l->count + 16)) {
        failure_set(failure, ERR_NO_MEMORY, "echo: out of memory or descriptors");
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        int err = open_client(l, &l->clients[i], endpoint, failure);
        if (err) {
            return err;
        }
    }
    return ERR_OK;
}

static void close_load(struct echo_load *l)
{
    for (uint32_t i = 0; l->clients && i < l->count; i++) {
        if (l->clients[i].dealer) {
            zmq_close(l->clients[i].dealer);
        }
        free(l->clients[i].sent_ns);
    }
    if (l->context) {
        zmq_ctx_term(l->context);
    }
    if (l->epoll_fd >= 0) {
        close(l->epoll_fd);
    }
    free(l->clients);
    free(l->message);
}

static int measure(struct echo_load *l, const char *listen, uint64_t duration_ns,
                   struct echo_result *ret_result, struct failure *failure)
{
    struct child child = CHILD_INIT;
    char role[] = "role";
    char name[] = "echo";
    char address[ENDPOINT_SIZE];
    char line[ENDPOINT_SIZE + 16];
    snprintf(address, sizeof address, "%s", listen);
    char *arguments[] = {NULL, role, name, address, NULL};
    histogram_clear(&ret_result->latency);
    l->result = ret_result;

    int err = child_start_role(&child, "the echo", arguments, failure);
    if (!err) {
        err = child_read_line(&child, line, sizeof line, READY_MS, failure);
    }
    if (!err) {
        err = open_load(l, line + strlen("ready "), failure);
    }
    if (!err) {
        l->begin_ns = monotonic_ns() + duration_ns / 5;
        l->end_ns = l->begin_ns + duration_ns;
        err = l->rate > 0 ? run_paced(l, failure) : run(l, failure);
    }
    if (!err) {
        ret_result->per_s = (double)l->counted * (double)NS_PER_S / (double)duration_ns;
    }
    close_load(l);
    child_end(&child, 0, READY_MS);
    return err;
}

int yardstick_echo(const char *listen, uint32_t clients, uint32_t depth, size_t size,
                   uint64_t duration_ns, struct echo_result *ret_result, struct failure *failure)
{
    struct echo_load l = {.epoll_fd = -1, .count = clients, .depth = depth, .size = size};
    return measure(&l, listen, duration_ns, ret_result, failure);
}

int yardstick_paced_echo(const char *listen, double rate, size_t size, uint64_t duration_ns,
                         struct echo_result *ret_result, struct failure *failure)
{
    struct echo_load l = {.epoll_fd = -1, .count = 1, .depth = 1, .rate = rate, .size = size};
    return measure(&l, listen, duration_ns, ret_result, failure);
}
