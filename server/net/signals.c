#define _GNU_SOURCE
/* signals.c - see signals.h. */
#include "server/net/signals.h"

#include "server/net/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Journal, sockets, ZeroMQ's own, and a few dozen connections with three sockets each. */
enum { DESCRIPTORS_MIN = 256 };

int signals_open(int *ret_fd, struct failure *failure)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    int err = pthread_sigmask(SIG_BLOCK, &set, NULL);
    int fd = err == 0 ? signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC) : -1;
    if (fd < 0)
        return failure_set(failure, ERR_INTERNAL, "cannot receive signals: %s",
                           strerror(err ? err : errno));
    *ret_fd = fd;
    return ERR_OK;
}

int signals_take(int fd)
{
    struct signalfd_siginfo info;
    ssize_t size = read(fd, &info, sizeof info);
    if (size < 0 && errno != EAGAIN && errno != EINTR) {
        log_error("signals cannot be read: %s", strerror(errno));
        return SIGTERM; /* whoever cannot be told to stop stops */
    }
    if (size != (ssize_t)sizeof info)
        return 0;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    return (int)info.ssi_signo;
}

int descriptors_raise(struct failure *failure)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return failure_set(failure, ERR_INTERNAL, "cannot read the limit of open files: %s",
                           strerror(errno));
    if (limit.rlim_max < DESCRIPTORS_MIN)
        return failure_set(failure, ERR_LIMIT,
                           "the limit of open files (%llu) is below the %d that vigild needs; "
                           "raise it with ulimit -n",
                           (unsigned long long)limit.rlim_max, DESCRIPTORS_MIN);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return failure_set(failure, ERR_LIMIT, "cannot raise the limit of open files: %s",
                           strerror(errno));
    return ERR_OK;
}
