/* stop_signal.c - see stop_signal.h. */
#define _GNU_SOURCE
#include "client/cli/stop_signal.h"

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

int stop_signal_open(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0)
        return -1;
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool stop_signal_pending(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) > 0;
}

int stop_signal_next(int fd)
{
    struct signalfd_siginfo info;

    return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

int stop_signal_take(int fd)
{
    int signal_number = stop_signal_next(fd);

    close(fd);
    return signal_number;
}

void stop_signal_die(int signal_number)
{
    sigset_t signals;

    signal(signal_number, SIG_DFL);
    sigemptyset(&signals);
    sigaddset(&signals, signal_number);
    raise(signal_number);
    sigprocmask(SIG_UNBLOCK, &signals, NULL);
}
