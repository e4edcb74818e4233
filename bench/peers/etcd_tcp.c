/* etcd_tcp.c - see etcd_tcp.h. */
#define _GNU_SOURCE
#include "bench/peers/etcd_tcp.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_SIZE = 256 };

static int connect_to(const struct addrinfo *a, int *ret_fd)
{
    int on = 1;
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0) {
        return errno;
    }
    if (connect(fd, a->ai_addr, a->ai_addrlen) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)) {
        int number = errno;
        close(fd);
        return number;
    }
    *ret_fd = fd;
    return 0;
}

int etcd_tcp_connect(const char *address, int *ret_fd, struct failure *failure)
{
    char host[HOST_SIZE];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const char *colon = strrchr(address, ':');
    if (!colon || (size_t)(colon - address) >= sizeof host) {
        return failure_set(failure, ERR_INVALID, "'%s' is no HOST:PORT", address);
    }
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = '\0';
    int code = getaddrinfo(host, colon + 1, &hints, &found);
    if (code) {
        return failure_set(failure, ERR_DISCONNECTED, "%s: %s", address, gai_strerror(code));
    }
    int number = 0;
    int fd = -1;
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        number = connect_to(a, &fd);
    }
    freeaddrinfo(found);
    if (fd < 0) {
        return failure_set(failure, ERR_DISCONNECTED, "cannot connect to %s: %s", address,
                           strerror(number));
    }
    *ret_fd = fd;
    return ERR_OK;
}
