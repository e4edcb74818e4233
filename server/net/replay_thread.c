#define _GNU_SOURCE
/* replay_thread.c - see replay_thread.h. */
#include "server/net/replay_thread.h"

#include "server/net/clocks.h"
#include "server/net/log.h"
#include "server/net/replay_answer.h"
#include "server/net/zmq_socket.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    NICENESS = 5,             /* live traffic goes first where cores are short */
    SWALLOW_PARTS = 4096,     /* surplus frames taken at once */
    TRIM_MS = 10000,          /* after so long without work, free memory goes back to the system */
    BUFFER_START = 64 * 1024, /* grown at once: what a reply needs at most is not known before */
    PAUSE_MS = 10,            /* where waiting itself fails */
};

struct replay_thread {
    pthread_t thread;
    int stop_fd;
    int socket_fd; /* ZeroMQ's; tells when to look at the socket */
    void *socket;
    struct replay_figures *figures;
    struct replay_answer answer;
    struct wire_buffer out;
    uint64_t corrupt_logged;
    bool swallowing;
    bool poll_failed; /* it is said once */
};

static void note(struct replay_thread *t, size_t bytes)
{
    struct replay_answer *a = &t->answer;
    atomic_fetch_add_explicit(&t->figures->requests, a->requests, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->figures->records, a->records, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->figures->bytes, bytes, memory_order_relaxed);
    if (a->corrupt_seq == 0)
        return;
    atomic_fetch_add_explicit(&t->figures->damaged, 1, memory_order_relaxed);
    if (a->corrupt_seq != t->corrupt_logged)
        log_error("damaged data met while answering a replay: %s", a->failure.text);
    t->corrupt_logged = a->corrupt_seq;
}

static void answer_one(struct replay_thread *t, struct routed *m, bool surplus)
{
    struct bytes none = {NULL, 0}; /* answered as malformed */
    wire_buffer_clear(&t->out);
    int err = replay_answer(&t->answer, surplus ? none : routed_body(m), &t->out);
    note(t, t->out.size);
    bool sent = false;
    if (err == ERR_OK)
        sent = routed_send_buffer(t->socket, routed_peer(m), &t->out);
    if (!sent)
        atomic_fetch_add_explicit(&t->figures->dropped, 1, memory_order_relaxed);
    if (err != ERR_OK)
        wire_buffer_free(&t->out);
}

/* Answers one message. False if none waits. */
static bool step(struct replay_thread *t)
{
    struct routed m;
    if (t->swallowing) {
        t->swallowing = !routed_swallow(t->socket, SWALLOW_PARTS);
        return true;
    }
    enum routed_result result = routed_receive(t->socket, &m);
    if (result == ROUTED_NONE)
        return false;
    answer_one(t, &m, result == ROUTED_SURPLUS);
    t->swallowing = result == ROUTED_SURPLUS;
    routed_close(&m);
    return true;
}

/* Sleeps until there is something to do. True: to stop. */
static bool wait_for_something(struct replay_thread *t, struct pollfd wait[2], int timeout_ms)
{
    eventfd_t count;
    int ready = poll(wait, 2, timeout_ms);
    if (ready == 0 && timeout_ms > 0)
        malloc_trim(0); /* what the crowd of an hour ago has left free */
    if (ready >= 0)
        return wait[0].revents != 0;
    /* Out of memory, say. Requests are taken without it. */
    if (errno != EINTR && !t->poll_failed)
        log_error("poll, of the thread for replays: %s; going on without it", strerror(errno));
    t->poll_failed = t->poll_failed || errno != EINTR;
    clock_pause_ms(PAUSE_MS);
    return eventfd_read(t->stop_fd, &count) == 0;
}

static void *run(void *context)
{
    struct replay_thread *t = context;
    struct pollfd wait[2] = {{.fd = t->stop_fd, .events = POLLIN},
                             {.fd = t->socket_fd, .events = POLLIN}};
    /* On Linux this is about the calling thread. */
    setpriority(PRIO_PROCESS, 0, NICENESS);
    bool busy = true; /* there may be requests already */
    while (!wait_for_something(t, wait, busy ? 0 : TRIM_MS))
        busy = step(t) || socket_readable(t->socket);
    return NULL;
}

int replay_thread_start(struct journal *journal, void *socket, uint64_t incarnation,
                        struct replay_figures *figures, struct replay_thread **ret_thread,
                        struct failure *failure)
{
    int err = ERR_OK;
    struct replay_thread *t = calloc(1, sizeof *t);
    if (!t)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    t->socket = socket;
    t->figures = figures;
    t->answer.incarnation = incarnation;
    t->answer.now_us = clock_boot_us;
    wire_buffer_init(&t->out, LIMIT_RECORD_SIZE + BUFFER_START);
    t->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (t->stop_fd < 0) {
        err = failure_set(failure, ERR_INTERNAL, "cannot make an eventfd: %s", strerror(errno));
        goto fail;
    }
    t->socket_fd = socket_descriptor(socket);
    if (t->socket_fd < 0) {
        err = failure_set(failure, ERR_INTERNAL, "cannot wait for requests of replays");
        goto fail;
    }
    err = journal_reader_open(journal, &t->answer.reader, failure);
    if (err != ERR_OK)
        goto fail;
    int reason = pthread_create(&t->thread, NULL, run, t);
    if (reason != 0) {
        err = failure_set(failure, ERR_INTERNAL, "cannot make a thread: %s", strerror(reason));
        goto fail;
    }
    *ret_thread = t;
    return ERR_OK;
fail:
    if (t->stop_fd >= 0)
        close(t->stop_fd);
    if (t->answer.reader)
        journal_reader_close(t->answer.reader);
    free(t);
    return err;
}

void replay_thread_stop(struct replay_thread *t)
{
    if (!t)
        return;
    eventfd_write(t->stop_fd, 1);
    pthread_join(t->thread, NULL);
    close(t->stop_fd);
    journal_reader_close(t->answer.reader);
    wire_buffer_free(&t->out);
    free(t);
}
