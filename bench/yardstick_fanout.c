/*
 * yardstick_fanout.c - PUB and SUB without anything between; see yardstick.h.
 * Messages go out in rounds: the next one starts when every subscriber has all of
 * the last, so that nothing is dropped and all that is counted was delivered.
 */
#define _GNU_SOURCE
#include "bench/child.h"
#include "bench/interrupt.h"
#include "bench/monotonic.h"
#include "bench/roles.h"
#include "bench/yardstick.h"
#include "protocol/endpoint.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

enum { READY_MS = 20000, ROUND_DELIVERIES = 200000, ROUND_MAX = 20000, ROUND_MIN = 100 };

/* ---- the other process: subscribers ------------------------------------------- */

struct subscribers {
    void *context;
    void **sockets;
    uint32_t count;
    int epoll_fd;
    uint64_t received;
};

static bool subscribers_open(struct subscribers *s, const char *endpoint)
{
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->context = zmq_ctx_new();
    s->sockets = calloc(s->count, sizeof *s->sockets);
    if (s->epoll_fd < 0 || !s->context || !s->sockets ||
        zmq_ctx_set(s->context, ZMQ_MAX_SOCKETS, (int)s->count + 16)) {
        return false;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        int unlimited = 0;
        int fd = -1;
        size_t fd_size = sizeof fd;
        s->sockets[i] = zmq_socket(s->context, ZMQ_SUB);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = s->sockets[i]};
        if (!s->sockets[i] ||
            zmq_setsockopt(s->sockets[i], ZMQ_RCVHWM, &unlimited, sizeof unlimited) ||
            zmq_setsockopt(s->sockets[i], ZMQ_SUBSCRIBE, "t", 1) ||
            zmq_connect(s->sockets[i], endpoint) ||
            zmq_getsockopt(s->sockets[i], ZMQ_FD, &fd, &fd_size) ||
            epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
            return false;
        }
    }
    return true;
}

static void drain(struct subscribers *s, void *socket)
{
    zmq_msg_t message;
    zmq_msg_init(&message);
    while (zmq_msg_recv(&message, socket, ZMQ_DONTWAIT) >= 0) {
        s->received++;
    }
    zmq_msg_close(&message);
}

/* arguments: endpoint, subscribers, messages of a round. Says "done" after each round; ends with its
 * input. */
int role_subscribers(int count, char *const arguments[])
{
    struct subscribers s = {.epoll_fd = -1};
    uint64_t round = 0;
    if (count == 3) {
        s.count = (uint32_t)strtoul(arguments[1], NULL, 10);
        round = strtoull(arguments[2], NULL, 10);
    }
    if (round == 0 || !subscribers_open(&s, arguments[0])) {
        fprintf(stderr, "vigil-bench: subscribers: %s\n", zmq_strerror(zmq_errno()));
        free(s.sockets);
        return 1;
    }
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(s.epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &input);
    uint64_t wanted = round * s.count;
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[64];
        int n = epoll_wait(s.epoll_fd, events, 64, -1);
        for (int i = 0; i < n; i++) {
            if (!events[i].data.ptr) {
                free(s.sockets);
                return 0; /* the sockets end with the process */
            }
            drain(&s, events[i].data.ptr);
        }
        if (s.received >= wanted) {
            s.received -= wanted;
            printf("done\n");
            fflush(stdout);
        }
    }
}

/* ---- the publisher --------------------------------------------------------------- */

/* Reads the subscriptions that come until all are there. */
static int await_subscriptions(void *publisher, uint32_t count, struct failure *failure)
{
    uint64_t deadline_ns = monotonic_ns() + READY_MS * NS_PER_MS;
    uint32_t seen = 0;
    while (seen < count) {
        zmq_pollitem_t item = {.socket = publisher, .events = ZMQ_POLLIN};
        uint8_t frame[8];
        if (monotonic_ns() > deadline_ns) {
            return failure_set(failure, ERR_TIMEOUT, "fan-out: subscriptions did not come");
        }
        if (zmq_poll(&item, 1, 100) > 0 && zmq_recv(publisher, frame, sizeof frame, 0) > 0) {
            seen += frame[0] == 1;
        }
    }
    return ERR_OK;
}

static int run_rounds(void *publisher, struct child *child, size_t size, uint64_t round,
                      uint64_t duration_ns, uint64_t *ret_rounds, uint64_t *ret_ns,
                      struct failure *failure)
{
    char *message = calloc(1, size);
    char line[16];
    int err = ERR_OK;
    uint64_t rounds = 0;
    if (!message) {
        return failure_set(failure, ERR_NO_MEMORY, "fan-out: out of memory");
    }
    message[0] = 't';
    uint64_t begin_ns = monotonic_ns();
    uint64_t now = begin_ns;
    while (!err && now < begin_ns + duration_ns) {
        for (uint64_t i = 0; i < round; i++) {
            zmq_send(publisher, message, size, 0);
        }
        err = child_read_line(child, line, sizeof line, READY_MS, failure);
        now = monotonic_ns();
        rounds++;
    }
    free(message);
    *ret_rounds = rounds;
    *ret_ns = now - begin_ns;
    return err;
}

static void *open_publisher(void *context, const char *listen, char endpoint[ENDPOINT_SIZE])
{
    void *publisher = context ? zmq_socket(context, ZMQ_XPUB) : NULL;
    int unlimited = 0;
    int verbose = 1;
    int linger = 0;
    size_t size = ENDPOINT_SIZE;
    if (publisher && !zmq_setsockopt(publisher, ZMQ_SNDHWM, &unlimited, sizeof unlimited) &&
        !zmq_setsockopt(publisher, ZMQ_XPUB_VERBOSE, &verbose, sizeof verbose) &&
        !zmq_setsockopt(publisher, ZMQ_LINGER, &linger, sizeof linger) &&
        !zmq_bind(publisher, listen) &&
        !zmq_getsockopt(publisher, ZMQ_LAST_ENDPOINT, endpoint, &size)) {
        return publisher;
    }
    if (publisher) {
        zmq_close(publisher);
    }
    return NULL;
}

uint64_t yardstick_fanout_round(uint32_t subscribers)
{
    uint64_t round = ROUND_DELIVERIES / subscribers;
    return round < ROUND_MIN ? ROUND_MIN : round > ROUND_MAX ? ROUND_MAX : round;
}

int yardstick_fanout(const char *listen, uint32_t subscribers, size_t size, uint64_t duration_ns,
                     double *ret_per_s, struct failure *failure)
{
    char endpoint[ENDPOINT_SIZE];
    char count[16];
    char round_text[24];
    char line[16];
    char role[] = "role";
    char name[] = "subscribers";
    uint64_t round = yardstick_fanout_round(subscribers);
    uint64_t rounds = 0;
    uint64_t ns = 0;
    struct child child = CHILD_INIT;
    char *arguments[] = {NULL, role, name, endpoint, count, round_text, NULL};
    snprintf(count, sizeof count, "%u", (unsigned)subscribers);
    snprintf(round_text, sizeof round_text, "%llu", (unsigned long long)round);

    void *context = zmq_ctx_new();
    void *publisher = open_publisher(context, listen, endpoint);
    int err = publisher ? ERR_OK
                        : failure_set(failure, ERR_IO, "fan-out: cannot bind %s: %s", listen,
                                      zmq_strerror(zmq_errno()));
    if (!err) {
        err = child_start_role(&child, "the subscribers", arguments, failure);
    }
    if (!err) {
        err = child_read_line(&child, line, sizeof line, READY_MS, failure);
    }
    if (!err) {
        err = await_subscriptions(publisher, subscribers, failure);
    }
    if (!err) {
        err = run_rounds(publisher, &child, size, round, duration_ns, &rounds, &ns, failure);
    }
    if (!err) {
        *ret_per_s = (double)rounds * (double)round * subscribers * (double)NS_PER_S / (double)ns;
    }
    child_end(&child, 0, READY_MS);
    if (publisher) {
        zmq_close(publisher);
    }
    if (context) {
        zmq_ctx_term(context);
    }
    return err;
}
