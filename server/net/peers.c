#define _GNU_SOURCE
/* peers.c - see peers.h: the table, the waiting, accepting, introductions, the end. */
#include "server/net/peers.h"

#include "server/net/clocks.h"
#include "server/net/gate.h"
#include "server/net/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPT_MAX = 64,       /* of a listener, at once */
    ACCEPT_PAUSE_MS = 100, /* where accepting fails for the machine's state */
    LOOK_EVERY_US = 1000   /* at the others, while there is something left to do */
};

int peers_new(uint64_t message_size_max, size_t descriptors_max, struct peers **ret_peers,
              struct failure *failure)
{
    struct peers *p = calloc(1, sizeof *p);
    struct connection **table = calloc(descriptors_max, sizeof *table);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!p || !table || epoll < 0) {
        int reason = errno;
        if (epoll >= 0)
            close(epoll);
        free(table);
        free(p);
        return failure_set(failure, reason == ENOMEM ? ERR_NO_MEMORY : ERR_IO,
                           "cannot wait for connections: %s", strerror(reason));
    }
    p->epoll = epoll;
    p->table = table;
    p->table_size = descriptors_max;
    p->message_size_max = message_size_max;
    for (size_t i = 0; i < PEERS_OTHERS; i++)
        p->others[i] = -1;
    TAILQ_INIT(&p->newcomers);
    TAILQ_INIT(&p->pending);
    TAILQ_INIT(&p->to_flush);
    *ret_peers = p;
    return ERR_OK;
}

int peers_descriptor(const struct peers *p)
{
    return p->epoll;
}

struct connection *peers_at(const struct peers *p, uint32_t fd)
{
    return fd < p->table_size ? p->table[fd] : NULL;
}

/* ---- the others ---- */

int peers_watch(struct peers *p, enum peers_other other, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET,
                                .data.u64 = peers_mark(PEERS_OTHER, (uint32_t)other)};
    if (epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return ERR_NO_MEMORY;
    p->others[other] = fd;
    return ERR_OK;
}

bool peers_stirred(struct peers *p, enum peers_other other)
{
    bool stirred = p->stirred[other];
    p->stirred[other] = false;
    return stirred;
}

/* Without the events of connections, for which there is no room yet. */
static void look_at_others(struct peers *p, uint64_t now_us)
{
    struct pollfd fds[PEERS_OTHERS];
    if (now_us - p->looked_us < LOOK_EVERY_US)
        return;
    p->looked_us = now_us;
    for (size_t i = 0; i < PEERS_OTHERS; i++)
        fds[i] = (struct pollfd){.fd = p->others[i], .events = POLLIN};
    if (poll(fds, PEERS_OTHERS, 0) <= 0)
        return;
    for (size_t i = 0; i < PEERS_OTHERS; i++)
        p->stirred[i] = p->stirred[i] || fds[i].revents != 0;
}

/* ---- connections ---- */

/* A ROUTER greets without waiting for the peer, and says who it is: a fresh connection has room. */
static bool greet(int fd)
{
    uint8_t hello[ZMTP_GREETING_SIZE + ZMTP_READY_MAX];
    zmtp_greeting(hello);
    size_t size = ZMTP_GREETING_SIZE + zmtp_ready(hello + ZMTP_GREETING_SIZE, "ROUTER");
    return send(fd, hello, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size;
}

static void begin(struct peers *p, int fd)
{
    struct epoll_event event = {.events = EPOLLIN,
                                .data.u64 = peers_mark(PEERS_CONNECTION, (uint32_t)fd)};
    struct connection *c = (size_t)fd < p->table_size ? calloc(1, sizeof *c) : NULL;
    struct zmtp_hello *hello = c ? calloc(1, sizeof *hello) : NULL;
    if (!hello || !greet(fd) || epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        free(hello);
        free(c);
        close(fd);
        return;
    }
    c->fd = fd;
    c->serial = ++p->serial;
    c->hello = hello;
    c->due_us = clock_boot_us() + PEERS_HANDSHAKE_MS * 1000u;
    TAILQ_INSERT_TAIL(&p->newcomers, c, link);
    p->table[fd] = c;
}

void peers_welcome(struct peers *p, struct connection *c)
{
    free(c->hello);
    c->hello = NULL;
    TAILQ_REMOVE(&p->newcomers, c, link);
}

void peers_end(struct peers *p, struct connection *c)
{
    peers_drop_replies(p, c);
    peer_inbox_drop(c->rest);
    if (c->hello)
        peers_welcome(p, c);
    if (c->is_pending) {
        TAILQ_REMOVE(&p->pending, c, link);
        p->pending_count--;
    }
    if (c->is_queued)
        TAILQ_REMOVE(&p->to_flush, c, flush_link);
    if (p->current == c)
        p->current = NULL;
    p->table[c->fd] = NULL;
    close(c->fd); /* which takes it out of the epoll set */
    free(c);
}

bool peers_wait_for_room(struct peers *p, struct connection *c, bool wanted)
{
    struct epoll_event event = {.events = wanted ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                .data.u64 = peers_mark(PEERS_CONNECTION, (uint32_t)c->fd)};
    if (epoll_ctl(p->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0)
        return false;
    c->is_stuck = wanted;
    return true;
}

static void end_late_newcomers(struct peers *p, uint64_t now_us)
{
    struct connection *c;
    while ((c = TAILQ_FIRST(&p->newcomers)) && c->due_us <= now_us)
        peers_end(p, c);
}

/* ---- accepting ---- */

static void arm(struct peers *p, size_t i, bool armed)
{
    struct epoll_event event = {.events = armed ? EPOLLIN : 0,
                                .data.u64 = peers_mark(PEERS_LISTENER, (uint32_t)i)};
    struct listener *l = &p->listeners[i];
    bool done = epoll_ctl(p->epoll, EPOLL_CTL_MOD, l->fd, &event) == 0;
    if (!armed || !done) /* it is tried again */
        l->paused_until_us = clock_boot_us() + ACCEPT_PAUSE_MS * 1000u;
    else
        l->paused_until_us = 0;
    p->any_paused = p->any_paused || l->paused_until_us != 0;
}

/* A listener that is ready and cannot accept would be told of for ever. */
static void end_pauses(struct peers *p, uint64_t now_us)
{
    if (!p->any_paused)
        return;
    p->any_paused = false;
    for (size_t i = 0; i < p->listeners_count; i++) {
        struct listener *l = &p->listeners[i];
        if (l->paused_until_us != 0 && l->paused_until_us <= now_us)
            arm(p, i, true);
        p->any_paused = p->any_paused || l->paused_until_us != 0;
    }
}

/* What accept says of one connection alone, which is lost then; everything else is the machine's. */
static bool is_of_connection(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

static void accept_some(struct peers *p, size_t i)
{
    for (int n = 0; n < ACCEPT_MAX; n++) {
        int fd = gate_accept_own(p->listeners[i].fd);
        if (fd >= 0) {
            begin(p, fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (!is_of_connection(errno)) {
            arm(p, i, false);
            return;
        }
    }
}

/* ---- waiting ---- */

/* Everything but connections is seen to at once; these are left, in their order. */
static void sort_events(struct peers *p, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t mark = p->ready[i].data.u64;
        if (peers_mark_kind(mark) == PEERS_CONNECTION)
            p->ready[kept++] = p->ready[i];
        else if (peers_mark_kind(mark) == PEERS_LISTENER)
            accept_some(p, peers_mark_index(mark));
        else
            p->stirred[peers_mark_index(mark)] = true;
    }
    p->ready_count = kept;
}

/* Until a handshake is late, or a listener's pause is over. */
static int shorten(const struct peers *p, int timeout_ms, uint64_t now_us)
{
    const struct connection *first = TAILQ_FIRST(&p->newcomers);
    if (first) {
        uint64_t left_us = first->due_us > now_us ? first->due_us - now_us : 0;
        int left_ms = (int)((left_us + 999) / 1000);
        timeout_ms = left_ms < timeout_ms ? left_ms : timeout_ms;
    }
    if (p->any_paused && timeout_ms > ACCEPT_PAUSE_MS)
        timeout_ms = ACCEPT_PAUSE_MS;
    return timeout_ms;
}

bool peers_has_left(const struct peers *p)
{
    return p->current || p->ready_at < p->ready_count || p->pending_count > 0;
}

int peers_wait(struct peers *p, int timeout_ms, uint64_t now_us)
{
    p->trifles = 0;
    end_late_newcomers(p, now_us);
    end_pauses(p, now_us);
    if (p->current || p->ready_at < p->ready_count || p->pending_left > 0) {
        look_at_others(p, now_us);
        return 0;
    }
    p->ready_at = 0;
    p->ready_count = 0;
    p->pending_left = p->pending_count;
    p->more_waits = false;
    p->looked_us = now_us;
    timeout_ms = p->pending_left > 0 ? 0 : shorten(p, timeout_ms, now_us);
    int count = epoll_wait(p->epoll, p->ready, PEERS_EVENTS, timeout_ms);
    if (count < 0 && errno != EINTR) {
        for (size_t i = 0; i < PEERS_OTHERS; i++)
            p->stirred[i] = true; /* they are looked at without it */
        return -1;
    }
    p->more_waits = count == PEERS_EVENTS;
    sort_events(p, count > 0 ? (size_t)count : 0);
    return 0;
}

/* ---- the end ---- */

/* Those who have nothing waiting end; of the others only room is waited for. */
static size_t prepare_to_linger(struct peers *p)
{
    size_t lingering = 0;
    for (uint32_t fd = 0; fd < p->table_size; fd++) {
        struct connection *c = p->table[fd];
        struct epoll_event event = {.events = EPOLLOUT,
                                    .data.u64 = peers_mark(PEERS_CONNECTION, fd)};
        if (!c)
            continue;
        if (c->out.bytes == 0 || epoll_ctl(p->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0)
            peers_end(p, c);
        else
            lingering++;
    }
    return lingering;
}

static void linger(struct peers *p, unsigned linger_ms)
{
    uint64_t end_us = clock_boot_us() + linger_ms * UINT64_C(1000);
    size_t lingering = prepare_to_linger(p);
    for (uint64_t now_us; lingering > 0 && (now_us = clock_boot_us()) < end_us;) {
        int left_ms = (int)((end_us - now_us + 999) / 1000);
        int count = epoll_wait(p->epoll, p->ready, PEERS_EVENTS, left_ms);
        for (int i = 0; i < count; i++) {
            uint64_t mark = p->ready[i].data.u64;
            struct connection *c = peers_mark_kind(mark) == PEERS_CONNECTION
                                       ? peers_at(p, peers_mark_index(mark))
                                       : NULL;
            if (!c)
                continue;
            peers_write(p, c);
            if (c->out.bytes > 0 && !c->is_deaf)
                continue;
            peers_end(p, c);
            lingering--;
        }
        if (count < 0 && errno != EINTR)
            return;
    }
}

void peers_free(struct peers *p, unsigned linger_ms)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->listeners_count; i++)
        close(p->listeners[i].fd);
    peers_flush(p);
    linger(p, linger_ms);
    for (size_t fd = 0; fd < p->table_size; fd++) {
        if (p->table[fd])
            peers_end(p, p->table[fd]);
    }
    peer_inbox_free(&p->inbox);
    close(p->epoll);
    free(p->table);
    free(p);
}
