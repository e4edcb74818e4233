#define _GNU_SOURCE
/* listen.c - see listen.h. Main thread only. */
#include "server/net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

enum { SOCKET_PATH_SIZE = 108, LOCK_ATTEMPTS = 10, HEARTBEAT_MS = 10000 };

static const char *const suffixes[3] = {"", ENDPOINT_STREAM_SUFFIX, ENDPOINT_REPLAY_SUFFIX};

static void socket_path(const struct endpoint *e, const char *suffix, char out[SOCKET_PATH_SIZE])
{
    snprintf(out, SOCKET_PATH_SIZE, "%s%s", e->path, suffix);
}

/* ---- ipc: the folder of the default endpoint, the lock, stale sockets ---- */

static int make_private_folder(const char *socket, struct failure *failure)
{
    char folder[SOCKET_PATH_SIZE];
    struct stat status;
    snprintf(folder, sizeof folder, "%s", socket);
    *strrchr(folder, '/') = '\0';
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return failure_set(failure, ERR_ACCESS, "cannot make the folder %s: %s", folder,
                           strerror(errno));
    if (lstat(folder, &status) != 0)
        return failure_set(failure, ERR_ACCESS, "cannot look at %s: %s", folder, strerror(errno));
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077) != 0)
        return failure_set(failure, ERR_ACCESS,
                           "%s is not a private folder of this user (mode 0700); remove it, set "
                           "XDG_RUNTIME_DIR, or give --listen",
                           folder);
    return ERR_OK;
}

/* A lock file may be removed by its holder between our open and our lock: then we hold a file
 * without a name, and try again. */
static int take_lock(struct listen_point *p, struct failure *failure)
{
    char path[SOCKET_PATH_SIZE];
    socket_path(&p->endpoint, ".lock", path);
    for (int attempt = 0; attempt < LOCK_ATTEMPTS; attempt++) {
        struct stat named;
        struct stat held;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return failure_set(failure, errno == EACCES ? ERR_ACCESS : ERR_IO,
                               "cannot listen at %s: cannot make its lock file %s: %s",
                               p->endpoint.path, path, strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int reason = errno;
            close(fd);
            if (reason == EWOULDBLOCK)
                break;
            return failure_set(failure, ERR_IO, "cannot lock %s: %s", path, strerror(reason));
        }
        if (stat(path, &named) == 0 && fstat(fd, &held) == 0 && named.st_ino == held.st_ino &&
            named.st_dev == held.st_dev) {
            p->lock_fd = fd;
            return ERR_OK;
        }
        close(fd);
    }
    return failure_set(failure, ERR_LOCKED,
                       "another vigild listens at ipc://%s; stop it, or give another --listen",
                       p->endpoint.path);
}

static void drop_lock(struct listen_point *p)
{
    char path[SOCKET_PATH_SIZE];
    if (p->lock_fd < 0)
        return;
    socket_path(&p->endpoint, ".lock", path);
    unlink(path);
    close(p->lock_fd);
    p->lock_fd = -1;
}

static bool is_stale(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool refused =
        connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int remove_stale(const char *path, struct failure *failure)
{
    struct stat status;
    if (lstat(path, &status) != 0) {
        if (errno == ENOENT)
            return ERR_OK;
        return failure_set(failure, errno == EACCES ? ERR_ACCESS : ERR_IO, "cannot look at %s: %s",
                           path, strerror(errno));
    }
    if (!S_ISSOCK(status.st_mode))
        return failure_set(failure, ERR_LOCKED,
                           "%s is there and is not a socket; remove it, or give another --listen",
                           path);
    if (!is_stale(path))
        return failure_set(failure, ERR_LOCKED,
                           "another process serves at %s; stop it, or give another --listen", path);
    if (unlink(path) != 0)
        return failure_set(failure, ERR_ACCESS, "cannot remove the stale socket %s: %s", path,
                           strerror(errno));
    return ERR_OK;
}

static int open_ipc(const struct config *config, struct listen_point *p, struct failure *failure)
{
    int err = config->listen_in_tmp ? make_private_folder(p->endpoint.path, failure) : ERR_OK;
    if (err == ERR_OK)
        err = take_lock(p, failure);
    for (size_t i = 0; i < 3 && err == ERR_OK; i++) {
        char path[SOCKET_PATH_SIZE];
        socket_path(&p->endpoint, suffixes[i], path);
        err = remove_stale(path, failure);
    }
    return err;
}

int listen_open(const struct config *config, struct listen_set *ret_set, struct failure *failure)
{
    struct listen_set set = {.count = config->listen_count};
    int err = ERR_OK;
    for (size_t i = 0; i < set.count; i++)
        set.points[i] = (struct listen_point){.endpoint = config->listen[i], .lock_fd = -1};
    for (size_t i = 0; i < set.count && err == ERR_OK; i++) {
        if (set.points[i].endpoint.kind == ENDPOINT_IPC)
            err = open_ipc(config, &set.points[i], failure);
    }
    if (err == ERR_OK) {
        *ret_set = set;
        return ERR_OK;
    }
    for (size_t i = 0; i < set.count; i++)
        drop_lock(&set.points[i]); /* and no socket: those that are there are not ours */
    return err;
}

/* ---- binding ---- */

static int bind_one(void *socket, const char *text, struct failure *failure)
{
    if (zmq_bind(socket, text) == 0)
        return ERR_OK;
    int reason = errno;
    const char *advice = "";
    if (reason == EADDRINUSE)
        advice = "; another process uses it: stop that, or give another --listen";
    else if (reason == ENODEV || reason == EADDRNOTAVAIL)
        advice = "; that address is not one of this machine";
    int code = reason == EACCES ? ERR_ACCESS : reason == EADDRINUSE ? ERR_LOCKED : ERR_IO;
    return failure_set(failure, code, "cannot listen on %s: %s%s", text, zmq_strerror(reason),
                       advice);
}

/* The role's address, on the given port; *ret_port: the one that it got. */
static int bind_tcp_one(void *socket, struct endpoint e, uint16_t port, uint16_t *ret_port,
                        struct failure *failure)
{
    char text[ENDPOINT_SIZE];
    char bound[ENDPOINT_SIZE];
    size_t size = sizeof bound;
    struct endpoint ret;
    int ipv6 = e.host[0] == '[';
    int heartbeat_ms = HEARTBEAT_MS;
    e.port = port;
    endpoint_format(&e, text);
    zmq_setsockopt(socket, ZMQ_IPV6, &ipv6, sizeof ipv6);
    /* A peer that vanished from the network frees its queues. */
    zmq_setsockopt(socket, ZMQ_HEARTBEAT_IVL, &heartbeat_ms, sizeof heartbeat_ms);
    int err = bind_one(socket, text, failure);
    if (err != ERR_OK)
        return err;
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &size) != 0 ||
        endpoint_parse(bound, &ret, NULL) != ERR_OK)
        return failure_set(failure, ERR_INTERNAL, "cannot tell which port %s got", text);
    *ret_port = ret.port;
    return ERR_OK;
}

static int bind_tcp(struct listen_point *p, struct peers *peers, void *const sockets[3],
                    struct failure *failure)
{
    struct endpoint e = p->endpoint;
    bool any_port = e.port == 0;
    if (strcmp(e.host, "localhost") == 0)
        strcpy(e.host, "127.0.0.1");
    if (e.port > UINT16_MAX - 2)
        return failure_set(failure, ERR_INVALID,
                           "port %u leaves no room for the two ports after it", (unsigned)e.port);
    int err = peers_listen(peers, &e, failure);
    if (err != ERR_OK)
        return err;
    p->endpoint = e;
    p->ports[ENDPOINT_REQUEST] = e.port;
    for (size_t i = ENDPOINT_STREAM; i < 3 && err == ERR_OK; i++)
        err = bind_tcp_one(sockets[i], e, any_port ? 0 : (uint16_t)(e.port + i), &p->ports[i],
                           failure);
    return err;
}

static int bind_ipc(struct listen_point *p, struct peers *peers, void *const sockets[3],
                    struct failure *failure)
{
    int heartbeat_ms = 0; /* the kernel says when a local peer is gone; a stopped one is alive */
    int err = peers_listen(peers, &p->endpoint, failure);
    for (size_t i = ENDPOINT_STREAM; i < 3 && err == ERR_OK; i++) {
        char text[ENDPOINT_SIZE];
        snprintf(text, sizeof text, "ipc://%s%s", p->endpoint.path, suffixes[i]);
        zmq_setsockopt(sockets[i], ZMQ_HEARTBEAT_IVL, &heartbeat_ms, sizeof heartbeat_ms);
        err = bind_one(sockets[i], text, failure);
    }
    return err;
}

int listen_bind(struct listen_set *set, struct peers *peers, void *const sockets[3],
                struct failure *failure)
{
    int err = ERR_OK;
    for (size_t i = 0; i < set->count && err == ERR_OK; i++) {
        struct listen_point *p = &set->points[i];
        err = p->endpoint.kind == ENDPOINT_IPC ? bind_ipc(p, peers, sockets, failure)
                                               : bind_tcp(p, peers, sockets, failure);
    }
    return err;
}

void listen_close(struct listen_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        struct listen_point *p = &set->points[i];
        if (p->lock_fd < 0)
            continue;
        /* ZeroMQ removes its files, unless a bind failed half way. */
        for (size_t k = 0; k < 3; k++) {
            char path[SOCKET_PATH_SIZE];
            struct stat status;
            socket_path(&p->endpoint, suffixes[k], path);
            if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode))
                unlink(path);
        }
        drop_lock(p);
    }
    set->count = 0;
}
