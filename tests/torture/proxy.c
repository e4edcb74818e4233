#define _GNU_SOURCE
/* proxy.c - see proxy.h. */
#include "tests/torture/proxy.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/endpoint.h"

enum { SOCKETS = 3, LINKS_MAX = 512, CHUNK = 65536, ROUND_MS = 10, TO_SERVER = 0, TO_CLIENT = 1 };

/* Bytes on their way in one direction. */
struct lane {
    size_t from, until;
    char bytes[CHUNK];
};

union address {
    struct sockaddr any;
    struct sockaddr_un path;
    struct sockaddr_in port;
};

struct link {
    int fds[2];    /* [TO_SERVER]: where the server is written to; [TO_CLIENT]: the client */
    int socket;    /* 0, 1, 2 */
    unsigned cuts; /* of the socket, when the link was made */
    struct lane lanes[2];
};

struct proxy {
    pthread_t thread;
    union address addresses[SOCKETS];
    union address server_addresses[SOCKETS];
    int listeners[SOCKETS];
    struct link *links[LINKS_MAX];
    size_t links_count;
    _Atomic int modes[SOCKETS][2];
    _Atomic unsigned cuts[SOCKETS];
    _Atomic bool stopping;
};

/* The three sockets of an endpoint: suffixes of a path, or ports in a row. */
static bool find_addresses(const char *endpoint, union address out[SOCKETS])
{
    static const char *const suffixes[SOCKETS] = {"", ENDPOINT_STREAM_SUFFIX,
                                                  ENDPOINT_REPLAY_SUFFIX};
    struct endpoint e;
    if (endpoint_parse(endpoint, &e, NULL) != ERR_OK)
        return false;
    for (int i = 0; i < SOCKETS; i++) {
        out[i] = (union address){0};
        if (e.kind == ENDPOINT_IPC) {
            out[i].path.sun_family = AF_UNIX;
            snprintf(out[i].path.sun_path, sizeof out[i].path.sun_path, "%s%s", e.path,
                     suffixes[i]);
        } else {
            out[i].port.sin_family = AF_INET;
            out[i].port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            out[i].port.sin_port = htons((uint16_t)(e.port + i));
        }
    }
    return true;
}

static socklen_t size_of(const union address *a)
{
    return a->any.sa_family == AF_UNIX ? sizeof a->path : sizeof a->port;
}

static int open_socket(const union address *a)
{
    return socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static void send_at_once(int fd, const union address *a)
{
    int on = 1;
    if (a->any.sa_family == AF_INET)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int listen_at(const union address *a)
{
    int on = 1;
    int fd = open_socket(a);
    if (fd >= 0 && a->any.sa_family == AF_INET)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd >= 0 && (bind(fd, &a->any, size_of(a)) != 0 || listen(fd, 64) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Connected, or on the way to it: then nothing can be sent or received yet. */
static int connect_to(const union address *a)
{
    int fd = open_socket(a);
    if (fd >= 0 && connect(fd, &a->any, size_of(a)) != 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    if (fd >= 0)
        send_at_once(fd, a);
    return fd;
}

static void accept_one(struct proxy *p, int socket)
{
    int client = accept4(p->listeners[socket], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0)
        return;
    int server = p->links_count < LINKS_MAX ? connect_to(&p->server_addresses[socket]) : -1;
    struct link *link = server >= 0 ? calloc(1, sizeof *link) : NULL;
    if (!link) {
        close(client);
        if (server >= 0)
            close(server);
        return;
    }
    send_at_once(client, &p->addresses[socket]);
    link->fds[TO_SERVER] = server;
    link->fds[TO_CLIENT] = client;
    link->socket = socket;
    link->cuts = atomic_load(&p->cuts[socket]);
    p->links[p->links_count++] = link;
}

static void end_link(struct proxy *p, size_t index)
{
    struct link *link = p->links[index];
    close(link->fds[0]);
    close(link->fds[1]);
    free(link);
    p->links[index] = p->links[--p->links_count];
}

/* Moves what can be moved in one direction. False: the connection has ended. */
static bool move(struct link *link, int direction, enum proxy_mode mode)
{
    struct lane *lane = &link->lanes[direction];
    if (mode == PROXY_STALL)
        return true;
    if (lane->from == lane->until) {
        ssize_t got = recv(link->fds[!direction], lane->bytes, CHUNK, 0);
        if (got == 0)
            return false;
        if (got < 0)
            return errno == EAGAIN || errno == EINTR;
        lane->from = 0;
        lane->until = (size_t)got;
    }
    if (mode == PROXY_LOSE) {
        lane->from = lane->until;
        return true;
    }
    ssize_t sent = send(link->fds[direction], lane->bytes + lane->from, lane->until - lane->from,
                        MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
    lane->from += (size_t)sent;
    return true;
}

/* What poll should wait for on one end of a link. A stalled end is left alone, hang-ups included. */
static struct pollfd interest(const struct proxy *p, const struct link *link, int end)
{
    struct pollfd wanted = {.fd = link->fds[end]};
    bool readable = atomic_load(&p->modes[link->socket][!end]) != PROXY_STALL;
    bool writable = atomic_load(&p->modes[link->socket][end]) != PROXY_STALL;
    if (readable && link->lanes[!end].from == link->lanes[!end].until)
        wanted.events |= POLLIN;
    if (writable && link->lanes[end].from < link->lanes[end].until)
        wanted.events |= POLLOUT;
    if (!wanted.events)
        wanted.fd = -1;
    return wanted;
}

static void turn(struct proxy *p)
{
    struct pollfd polled[SOCKETS + 2 * LINKS_MAX];
    size_t count = 0;
    for (int i = 0; i < SOCKETS; i++)
        polled[count++] = (struct pollfd){.fd = p->listeners[i], .events = POLLIN};
    for (size_t i = 0; i < p->links_count; i++) {
        polled[count++] = interest(p, p->links[i], TO_SERVER);
        polled[count++] = interest(p, p->links[i], TO_CLIENT);
    }
    (void)poll(polled, count, ROUND_MS);
    for (size_t i = p->links_count; i > 0; i--) {
        struct link *link = p->links[i - 1];
        const struct pollfd *ends = &polled[SOCKETS + 2 * (i - 1)];
        bool alive = link->cuts == atomic_load(&p->cuts[link->socket]);
        for (int direction = 0; alive && (ends[0].revents || ends[1].revents) && direction < 2;
             direction++)
            alive = move(link, direction,
                         (enum proxy_mode)atomic_load(&p->modes[link->socket][direction]));
        if (!alive)
            end_link(p, i - 1);
    }
    for (int i = 0; i < SOCKETS; i++) {
        if (polled[i].revents)
            accept_one(p, i);
    }
}

static void *run(void *context)
{
    struct proxy *p = context;
    while (!atomic_load(&p->stopping))
        turn(p);
    while (p->links_count > 0)
        end_link(p, p->links_count - 1);
    return NULL;
}

struct proxy *proxy_start(const char *endpoint, const char *server_endpoint)
{
    struct proxy *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    if (!find_addresses(endpoint, p->addresses) ||
        !find_addresses(server_endpoint, p->server_addresses)) {
        free(p);
        return NULL;
    }
    for (int i = 0; i < SOCKETS; i++) {
        p->listeners[i] = listen_at(&p->addresses[i]);
        if (p->listeners[i] < 0)
            /* cppcheck-suppress memleak */
            return NULL; /* the run ends, and the process with it */
    }
    if (pthread_create(&p->thread, NULL, run, p) != 0)
        return NULL;
    return p;
}

void proxy_stop(struct proxy *p)
{
    if (!p)
        return;
    atomic_store(&p->stopping, true);
    pthread_join(p->thread, NULL);
    for (int i = 0; i < SOCKETS; i++) {
        close(p->listeners[i]);
        if (p->addresses[i].any.sa_family == AF_UNIX)
            unlink(p->addresses[i].path.sun_path);
    }
    free(p);
}

void proxy_set(struct proxy *p, enum proxy_socket sockets, enum proxy_mode to_server,
               enum proxy_mode to_client)
{
    for (int i = 0; i < SOCKETS; i++) {
        if ((unsigned)sockets >> i & 1) {
            atomic_store(&p->modes[i][TO_SERVER], (int)to_server);
            atomic_store(&p->modes[i][TO_CLIENT], (int)to_client);
        }
    }
}

void proxy_cut(struct proxy *p, enum proxy_socket sockets)
{
    for (int i = 0; i < SOCKETS; i++) {
        if ((unsigned)sockets >> i & 1)
            atomic_fetch_add(&p->cuts[i], 1);
    }
}
