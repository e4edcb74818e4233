#define _GNU_SOURCE
/* sync_thread.c - see sync_thread.h. */
#include "server/net/sync_thread.h"

#include "server/net/clocks.h"
#include "server/net/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { PAUSE_MS = 100 };

struct sync_thread {
    pthread_t thread;
    struct journal *journal;
    int wake_fd;
    int interval_ms; /* -1: none */
    atomic_bool stop;
};

static void *run(void *context)
{
    struct sync_thread *t = context;
    struct pollfd wait = {.fd = t->wake_fd, .events = POLLIN};
    int failed = ERR_OK;
    for (;;) {
        struct failure failure = {0};
        eventfd_t count;
        int n = poll(&wait, 1, t->interval_ms);
        if (n > 0)
            (void)eventfd_read(t->wake_fd, &count);
        else if (n < 0 && errno != EINTR)
            clock_pause_ms(PAUSE_MS); /* out of memory, say */
        if (atomic_load(&t->stop))
            return NULL;
        int err = journal_sync(t->journal, &failure);
        if (err != ERR_OK && err != failed)
            log_error("the background sync failed: %s", failure.text);
        failed = err;
    }
}

int sync_thread_start(struct journal *journal, uint64_t interval_ms,
                      struct sync_thread **ret_thread, struct failure *failure)
{
    struct sync_thread *t = calloc(1, sizeof *t);
    if (!t)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    t->journal = journal;
    t->interval_ms = interval_ms > INT_MAX ? INT_MAX : interval_ms == 0 ? -1 : (int)interval_ms;
    t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int reason = t->wake_fd < 0 ? errno : pthread_create(&t->thread, NULL, run, t);
    if (reason != 0) {
        if (t->wake_fd >= 0)
            close(t->wake_fd);
        free(t);
        return failure_set(failure, ERR_INTERNAL, "cannot make a thread: %s", strerror(reason));
    }
    *ret_thread = t;
    return ERR_OK;
}

void sync_thread_wake(struct sync_thread *t)
{
    if (t)
        eventfd_write(t->wake_fd, 1);
}

void sync_thread_stop(struct sync_thread *t)
{
    if (!t)
        return;
    atomic_store(&t->stop, true);
    sync_thread_wake(t);
    pthread_join(t->thread, NULL);
    close(t->wake_fd);
    free(t);
}
