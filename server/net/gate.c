#define _GNU_SOURCE
/* gate.c - see gate.h. */
#include "server/net/gate.h"

#include "server/net/clocks.h"
#include "server/net/gate_probe.h"
#include "protocol/zmtp_frames.h"
#include "protocol/zmtp_hello.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    OWN_DESCRIPTORS = 64,  /* journal, sockets, ZeroMQ's own: far fewer are in use */
    SPARE_DESCRIPTORS = 32 /* that no connection gets */
};

struct gate_connection {
    struct zmtp_hello *hello; /* NULL: it has introduced itself */
    struct zmtp_frames frames;
    uint64_t received; /* bytes, of a subscriber */
    uint64_t since_us;
    bool is_subscriber;
    bool is_ours; /* false: nothing that was accepted here */
    bool has_ended;
};

/* By descriptor: the kernel gives out the lowest that is free, so one beyond the limit says that as
 * many are in use. */
static struct {
    struct gate_connection *connections;
    size_t limit; /* 0: the gate is not there */
    uint64_t message_size_max;
    _Atomic uint64_t turned_away;
    _Atomic uint64_t refused;
    _Atomic uint64_t cut_off;
} gate;

/* The names that the linker sees: libzmq's calls come here. */
int gate_accept4(int listener, struct sockaddr *address, socklen_t *size,
                 int flags) __asm__("accept4") __attribute__((used, visibility("default")));
int gate_accept(int listener, struct sockaddr *address, socklen_t *size) __asm__("accept")
    __attribute__((used, visibility("default")));
ssize_t gate_recv(int fd, void *data, size_t size, int flags) __asm__("recv")
    __attribute__((used, visibility("default")));

static void count(_Atomic uint64_t *figure)
{
    atomic_fetch_add_explicit(figure, 1, memory_order_relaxed);
}

static bool begin(int fd)
{
    struct gate_connection *c = &gate.connections[fd];
    free(c->hello); /* of one before it that had this descriptor */
    *c = (struct gate_connection){.hello = calloc(1, sizeof *c->hello), .is_ours = true};
    return c->hello != NULL;
}

/* What accept says of a network or a machine in trouble; ZeroMQ ends the process for most of it. */
static bool is_passing(int error)
{
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EPERM:
    case EPROTO:
    case ENOPROTOOPT:
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

static int turn_away(int fd)
{
    close(fd);
    count(&gate.turned_away);
    errno = ECONNABORTED;
    return -1;
}

int gate_accept4(int listener, struct sockaddr *address, socklen_t *size, int flags)
{
    int fd = (int)syscall(SYS_accept4, listener, address, size, flags);
    if (fd < 0 && gate.limit > 0 && is_passing(errno))
        errno = ECONNABORTED;
    if (fd < 0 || gate.limit == 0 || ((size_t)fd < gate.limit && begin(fd)))
        return fd;
    return turn_away(fd);
}

int gate_accept(int listener, struct sockaddr *address, socklen_t *size)
{
    return gate_accept4(listener, address, size, 0);
}

int gate_accept_own(int listener)
{
    int fd = (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd >= 0 && (size_t)fd >= gate.limit ? turn_away(fd) : fd;
}

void gate_count_refused(void)
{
    count(&gate.refused);
}

void gate_count_cut_off(void)
{
    count(&gate.cut_off);
}

static bool is_within_rate(struct gate_connection *c, size_t size)
{
    if (!c->is_subscriber)
        return true;
    c->received += size;
    return c->received <= GATE_SUBSCRIBER_BYTES ||
           c->received - GATE_SUBSCRIBER_BYTES <=
               (clock_boot_us() - c->since_us) / 1000000 * GATE_SUBSCRIBER_RATE;
}

/* True if ZeroMQ may have them. */
static bool let_through(struct gate_connection *c, const uint8_t *data, size_t size)
{
    size_t used = 0;
    if (c->hello) {
        enum zmtp_verdict verdict = zmtp_hello_take(c->hello, data, size, &used);
        if (verdict == ZMTP_UNDECIDED)
            return true;
        free(c->hello);
        c->hello = NULL;
        c->is_subscriber = verdict == ZMTP_SUBSCRIBER;
        c->since_us = clock_boot_us();
        if (verdict == ZMTP_REFUSED) {
            count(&gate.refused);
            return false;
        }
    }
    if (is_within_rate(c, size - used) &&
        zmtp_frames_take(&c->frames, data + used, size - used, gate.message_size_max))
        return true;
    count(&gate.cut_off);
    return false;
}

ssize_t gate_recv(int fd, void *data, size_t size, int flags)
{
    struct gate_connection *c = fd >= 0 && (size_t)fd < gate.limit ? &gate.connections[fd] : NULL;
    if (!c || !c->is_ours)
        return recvfrom(fd, data, size, flags, NULL, NULL);
    if (!c->has_ended) {
        ssize_t got = recvfrom(fd, data, size, flags, NULL, NULL);
        if (got <= 0 || let_through(c, data, (size_t)got))
            return got;
        c->has_ended = true;
    }
    errno = ECONNRESET;
    return -1;
}

/* The probe's peer must have come this way, and been refused here. */
static int prove(struct failure *failure)
{
    int err = gate_probe(failure);
    uint64_t refused = atomic_exchange(&gate.refused, 0);
    if (err == ERR_OK && refused != 1)
        err = failure_set(failure, ERR_INTERNAL, "libzmq's connections cannot be guarded");
    return err;
}

int gate_open(uint32_t connections_max, uint64_t message_size_max, struct failure *failure)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur <= 2 * SPARE_DESCRIPTORS)
        return failure_set(failure, ERR_LIMIT, "the limit of open files is too low");
    size_t room = (size_t)limit.rlim_cur - SPARE_DESCRIPTORS;
    size_t wanted = (size_t)connections_max + OWN_DESCRIPTORS;
    size_t most = wanted < room ? wanted : room;
    gate.connections = calloc(most, sizeof *gate.connections);
    if (!gate.connections)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    gate.limit = most;
    gate.message_size_max = message_size_max;
    int err = prove(failure);
    if (err != ERR_OK)
        gate_close();
    return err;
}

void gate_close(void)
{
    for (size_t i = 0; i < gate.limit; i++)
        free(gate.connections[i].hello);
    free(gate.connections);
    gate.connections = NULL;
    gate.limit = 0;
}

void gate_figures(struct gate_figures *ret_figures)
{
    ret_figures->turned_away = atomic_load_explicit(&gate.turned_away, memory_order_relaxed);
    ret_figures->refused = atomic_load_explicit(&gate.refused, memory_order_relaxed);
    ret_figures->cut_off = atomic_load_explicit(&gate.cut_off, memory_order_relaxed);
}

size_t gate_descriptors_max(void)
{
    return gate.limit;
}

uint32_t gate_connections_max(void)
{
    return gate.limit > OWN_DESCRIPTORS ? (uint32_t)(gate.limit - OWN_DESCRIPTORS) : 0;
}
