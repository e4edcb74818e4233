#define _GNU_SOURCE
/* peers_listen.c - see peers.h: listeners. Addresses are taken as ZeroMQ takes them: "*", numeric ones
 * and names of interfaces; names of hosts are not looked up. */
#include "server/net/connection.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

struct address {
    struct sockaddr_storage bytes;
    socklen_t size;
};

static int no_listener(const struct endpoint *e, int reason, struct failure *failure)
{
    char text[ENDPOINT_SIZE];
    const char *advice = "";
    endpoint_format(e, text);
    if (reason == EADDRINUSE)
        advice = "; another process uses it: stop that, or give another --listen";
    else if (reason == ENODEV || reason == EADDRNOTAVAIL)
        advice = "; that address is not one of this machine";
    int code = reason == EACCES       ? ERR_ACCESS
               : reason == EADDRINUSE ? ERR_LOCKED
               : reason == ENOMEM     ? ERR_NO_MEMORY
                                      : ERR_IO;
    return failure_set(failure, code, "cannot listen on %s: %s%s", text, strerror(reason), advice);
}

/* ---- addresses ---- */

static bool find_interface(const char *name, uint16_t port, struct address *ret)
{
    struct ifaddrs *all = NULL;
    bool found = false;
    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
        found = i->ifa_addr && i->ifa_addr->sa_family == AF_INET && strcmp(i->ifa_name, name) == 0;
        if (!found)
            continue;
        struct sockaddr_in in;
        memcpy(&in, i->ifa_addr, sizeof in);
        in.sin_port = htons(port);
        memcpy(&ret->bytes, &in, sizeof in);
        ret->size = sizeof in;
    }
    freeifaddrs(all);
    return found;
}

static bool find_address(const struct endpoint *e, struct address *ret)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_family = e->host[0] == '[' ? AF_INET6 : AF_INET,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char host[ENDPOINT_HOST_MAX + 1];
    char port[8];
    size_t size = strlen(e->host);
    if (e->host[0] == '[')
        snprintf(host, sizeof host, "%.*s", (int)size - 2, e->host + 1);
    else
        snprintf(host, sizeof host, "%s", strcmp(e->host, "*") == 0 ? "0.0.0.0" : e->host);
    snprintf(port, sizeof port, "%u", (unsigned)e->port);
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return find_interface(e->host, e->port, ret);
    memcpy(&ret->bytes, found->ai_addr, found->ai_addrlen);
    ret->size = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

/* The address and the port that fd got. */
static bool name_bound(int fd, struct endpoint *e)
{
    struct address bound = {.size = sizeof bound.bytes};
    char host[ENDPOINT_HOST_MAX - 1];
    char port[8];
    if (getsockname(fd, (struct sockaddr *)&bound.bytes, &bound.size) != 0 ||
        getnameinfo((struct sockaddr *)&bound.bytes, bound.size, host, sizeof host, port,
                    sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    bool is_ipv6 = bound.bytes.ss_family == AF_INET6;
    snprintf(e->host, sizeof e->host, is_ipv6 ? "[%s]" : "%s", host);
    struct sockaddr_in in;
    memcpy(&in, &bound.bytes, sizeof in); /* the port lies at the same place in both */
    e->port = ntohs(in.sin_port);
    return true;
}

/* ---- sockets ---- */

/* What connections inherit: small replies go at once, and a peer that vanished from the network ends,
 * whether anything was on its way to it or not. One that has stopped is alive while its kernel
 * answers and has room. */
static bool set_up_tcp(int fd, bool is_ipv6)
{
    int yes = 1;
    int no = 0;
    int idle_s = PEERS_GONE_S / 3;
    int interval_s = PEERS_GONE_S / 6;
    int count = 4;
    unsigned gone_ms = PEERS_GONE_S * 1000;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
           (!is_ipv6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) == 0) &&
           setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes) == 0 &&
           setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s) == 0 &&
           setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s) == 0 &&
           setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count) == 0 &&
           setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &gone_ms, sizeof gone_ms) == 0;
}

static bool start(struct peers *p, int fd)
{
    struct epoll_event event = {
        .events = EPOLLIN, .data.u64 = peers_mark(PEERS_LISTENER, (uint32_t)p->listeners_count)};
    return listen(fd, BACKLOG) == 0 && epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static int listen_at(struct peers *p, const struct endpoint *e, const struct address *at,
                     int *ret_fd, struct failure *failure)
{
    int family = at->bytes.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return no_listener(e, errno, failure);
    if ((family != AF_UNIX && !set_up_tcp(fd, family == AF_INET6)) ||
        bind(fd, (const struct sockaddr *)&at->bytes, at->size) != 0 || !start(p, fd)) {
        int reason = errno;
        close(fd);
        return no_listener(e, reason, failure);
    }
    p->listeners[p->listeners_count++] = (struct listener){.fd = fd};
    *ret_fd = fd;
    return ERR_OK;
}

int peers_listen(struct peers *p, struct endpoint *e, struct failure *failure)
{
    struct address at = {.size = sizeof(struct sockaddr_un)};
    struct endpoint bound = *e;
    int fd = -1;
    if (p->listeners_count == CONFIG_LISTEN_MAX)
        return failure_set(failure, ERR_LIMIT, "more than %d endpoints to listen on",
                           CONFIG_LISTEN_MAX);
    if (e->kind == ENDPOINT_IPC) {
        struct sockaddr_un local = {.sun_family = AF_UNIX};
        memcpy(local.sun_path, e->path, strlen(e->path) + 1);
        memcpy(&at.bytes, &local, sizeof local);
    } else if (!find_address(e, &at)) {
        return no_listener(e, ENODEV, failure);
    }
    int err = listen_at(p, e, &at, &fd, failure);
    if (err == ERR_OK && e->kind == ENDPOINT_TCP && !name_bound(fd, &bound))
        err = failure_set(failure, ERR_INTERNAL, "cannot tell which port %s got", e->host);
    if (err == ERR_OK)
        *e = bound;
    return err;
}
