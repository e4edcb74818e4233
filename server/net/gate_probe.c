#define _GNU_SOURCE
/* gate_probe.c - see gate_probe.h. Main thread only. */
#include "server/net/gate_probe.h"

#include "server/net/clocks.h"
#include "protocol/zmtp_hello.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

enum { TIMEOUT_MS = 10000 };

struct probe {
    void *zmq;
    void *router;
    int listener;
    int peer;
    size_t received; /* by the peer */
    bool has_spoken;
};

/* A DEALER that claims a name. */
static bool introduce(int peer)
{
    static const char ready[] = "\5READY"
                                "\13Socket-Type\0\0\0\6DEALER"
                                "\10Identity\0\0\0\5\0name";
    enum { READY_SIZE = sizeof ready - 1 };
    uint8_t hello[ZMTP_GREETING_SIZE + 2 + READY_SIZE] = {
        [0] = 0xff, [9] = 0x7f, [10] = 3, [ZMTP_GREETING_SIZE] = 4};
    memcpy(hello + 12, "NULL", 4);
    hello[ZMTP_GREETING_SIZE + 1] = READY_SIZE;
    memcpy(hello + ZMTP_GREETING_SIZE + 2, ready, READY_SIZE);
    return send(peer, hello, sizeof hello, MSG_NOSIGNAL) == (ssize_t)sizeof hello;
}

/* A ROUTER behind a unix socket with a name that the kernel draws, no file, and a peer of it. */
static bool set_up(struct probe *p)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof address.sun_family;
    int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int linger_ms = 0;
    p->zmq = zmq_ctx_new();
    p->router = p->zmq ? zmq_socket(p->zmq, ZMQ_ROUTER) : NULL;
    p->listener = socket(AF_UNIX, type, 0);
    p->peer = socket(AF_UNIX, type, 0);
    if (!p->router || p->listener < 0 || p->peer < 0 ||
        zmq_setsockopt(p->router, ZMQ_LINGER, &linger_ms, sizeof linger_ms) != 0 ||
        bind(p->listener, (struct sockaddr *)&address, size) != 0 || listen(p->listener, 1) != 0)
        return false;
    size = sizeof address;
    if (getsockname(p->listener, (struct sockaddr *)&address, &size) != 0 ||
        zmq_setsockopt(p->router, ZMQ_USE_FD, &p->listener, sizeof p->listener) != 0 ||
        zmq_bind(p->router, "ipc://@vigil-probe") != 0)
        return false;
    p->listener = -1; /* the ROUTER closes it */
    return connect(p->peer, (struct sockaddr *)&address, size) == 0 && introduce(p->peer);
}

/* 1: the connection has ended. 0: not yet. -1: it is being served. */
static int look(struct probe *p, short at_peer, short at_router)
{
    uint8_t bytes[256];
    if (at_router != 0)
        return -1;
    if (at_peer == 0)
        return 0;
    ssize_t got = read(p->peer, bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0)
        return 1;
    p->received += (size_t)got;
    /* Behind the server's READY a message may follow, which a ROUTER that has let it in hands out. */
    if (p->received > ZMTP_GREETING_SIZE && !p->has_spoken)
        p->has_spoken = send(p->peer, "\0\1!", 3, MSG_NOSIGNAL) == 3;
    return 0;
}

static int watch(struct probe *p)
{
    uint64_t end_us = clock_boot_us() + TIMEOUT_MS * 1000u;
    int found = 0;
    while (found == 0 && clock_boot_us() < end_us) {
        zmq_pollitem_t items[2] = {{.socket = p->router, .events = ZMQ_POLLIN},
                                   {.fd = p->peer, .events = ZMQ_POLLIN}};
        if (zmq_poll(items, 2, TIMEOUT_MS) < 0 && errno != EINTR)
            return 0;
        found = look(p, items[1].revents, items[0].revents);
    }
    return found;
}

int gate_probe(struct failure *failure)
{
    struct probe p = {.listener = -1, .peer = -1};
    int found = 0;
    int err = ERR_OK;
    if (set_up(&p))
        found = watch(&p);
    if (found < 0)
        err = failure_set(failure, ERR_INTERNAL,
                          "this build of libzmq reads from its connections in a way that vigild "
                          "cannot guard");
    else if (found == 0)
        err = failure_set(failure, ERR_INTERNAL,
                          "cannot find out whether libzmq's connections are guarded: %s",
                          zmq_strerror(errno));
    if (p.peer >= 0)
        close(p.peer);
    if (p.listener >= 0)
        close(p.listener);
    if (p.router)
        zmq_close(p.router);
    if (p.zmq)
        zmq_ctx_term(p.zmq);
    return err;
}
