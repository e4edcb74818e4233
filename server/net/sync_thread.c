#define _GNU_SOURCE
/* sync_thread.c - see sync_thread.h. */
#include "server/net/sync_thread.h"

#include "server/net/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct sync_thread {
    pthread_t thread;
    struct journal *journal;
    int stop_fd;
    int interval_ms;
};

static void *run(void *context)
{
    struct sync_thread *t = context;
    struct pollfd wait = {.fd = t->stop_fd, .events = POLLIN};
    int failed = ERR_OK;
    while (poll(&wait, 1, t->interval_ms) == 0 || (wait.revents == 0 && errno == EINTR)) {
        struct failure failure = {0};
        int err = journal_sync(t->journal, &failure);
        if (err != ERR_OK && err != failed)
            log_error("the background sync failed: %s", failure.text);
        failed = err;
    }
    return NULL;
}

int sync_thread_start(struct journal *journal, uint64_t interval_ms,
                      struct sync_thread **ret_thread, struct failure *failure)
{
    struct sync_thread *t = calloc(1, sizeof *t);
    if (!t)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    t->journal = journal;
    t->interval_ms = interval_ms > INT_MAX ? INT_MAX : (int)interval_ms;
    t->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int reason = t->stop_fd < 0 ? errno : pthread_create(&t->thread, NULL, run, t);
    if (reason != 0) {
        if (t->stop_fd >= 0)
            close(t->stop_fd);
        free(t);
        return failure_set(failure, ERR_INTERNAL, "cannot make a thread: %s", strerror(reason));
    }
    *ret_thread = t;
    return ERR_OK;
}

void sync_thread_stop(struct sync_thread *t)
{
    if (!t)
        return;
    eventfd_write(t->stop_fd, 1);
    pthread_join(t->thread, NULL);
    close(t->stop_fd);
    free(t);
}
