/* keeper.c - see keeper.h. */
#define _GNU_SOURCE
#include "client/keeper.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "client/clock.h"
#include "protocol/errors.h"

enum {
    RENEWALS_PER_TTL = 3,
    STEP_MS = 50,   /* within which it notices that it is to stop while it waits for a reply */
    AGAIN_MS = 100, /* after a renewal that failed */
    REQUEST_TIMEOUT_MS = 5000
};

struct keeper {
    struct vigil *v;
    struct vigil_lease *lease;
    pthread_t thread;
    bool is_running;
    atomic_bool stopping;
    int stop_fd;
    bool has_told; /* the lease's descriptor is readable */
};

/* One renewal; its reply fills it in. */
struct renewal {
    bool done;
    bool answered;
    bool known;
};

static void on_reply(void *context, const struct reply *reply)
{
    struct renewal *r = context;
    struct wire_reader body = reply->body;
    r->done = true;
    r->answered = reply->error == ERR_OK && key_lease_read_renewal(&body, &r->known);
}

/* The descriptor is readable exactly while the lease cannot be relied on. */
static void tell(struct keeper *k)
{
    const struct vigil_lease *l = k->lease;
    bool is_over = vigil_lease_left_ms(l) == 0;
    eventfd_t count;
    if (is_over && !k->has_told)
        (void)eventfd_write(l->fd, 1);
    else if (!is_over && k->has_told)
        (void)eventfd_read(l->fd, &count);
    k->has_told = is_over;
}

static void wait_ms(struct keeper *k, int64_t ms)
{
    static const struct timespec poll_failed = {.tv_nsec = STEP_MS * 1000000L};
    struct pollfd stop = {.fd = k->stop_fd, .events = POLLIN};
    int64_t left_ms = vigil_lease_left_ms(k->lease);
    if (!k->has_told && left_ms < ms)
        ms = left_ms;
    if (ms > 0 && poll(&stop, 1, (int)ms) < 0)
        (void)nanosleep(&poll_failed, NULL);
}

/* Sends a renewal and waits for what comes of it. False: it could not be sent, or was not answered. */
static bool renew(struct keeper *k)
{
    struct vigil *v = k->v;
    struct renewal r = {.done = false};
    struct wire_buffer *b;
    int64_t sent_ms = clock_boot_ms();
    if (connection_request_begin(v, OP_LEASE_RENEW, 0, KEY_LEASE_RENEWAL_SIZE, &b) != ERR_OK)
        return false;
    key_lease_write_renewal(k->lease, b);
    if (connection_request_end(v, on_reply, &r, NULL) != ERR_OK)
        return false;
    connection_send(v);
    while (!r.done && !atomic_load(&k->stopping)) {
        (void)connection_wait(v, NULL, STEP_MS);
        connection_step(v);
        tell(k);
    }
    if (!r.done)
        pending_abandon(&v->pending, &r);
    if (r.answered)
        key_lease_answered(k->lease, sent_ms, r.known);
    return r.answered;
}

static void *run(void *context)
{
    struct keeper *k = context;
    struct vigil_lease *l = k->lease;
    int64_t every_ms = l->ttl_ms / RENEWALS_PER_TTL;
    int64_t due_ms = clock_boot_ms() + every_ms;
    while (!atomic_load(&k->stopping) && !atomic_load(&l->ended)) {
        int64_t now_ms = clock_boot_ms();
        if (now_ms < due_ms)
            wait_ms(k, due_ms - now_ms);
        else
            due_ms = now_ms + (renew(k) ? every_ms : AGAIN_MS);
        tell(k);
    }
    return NULL;
}

int keeper_new(struct vigil *v, uint32_t ttl_ms, struct keeper **ret_keeper)
{
    const vigil_options options = {
        .endpoint = v->endpoint_text,
        .connect_timeout_ms = v->connect_timeout_ms,
        .request_timeout_ms = ttl_ms < REQUEST_TIMEOUT_MS ? (int)ttl_ms : REQUEST_TIMEOUT_MS,
        .client_name = v->client_name,
        .no_session = true,
    };
    struct keeper *k = calloc(1, sizeof *k);
    if (!k)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    k->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int err = k->stop_fd < 0 ? connection_fail(v, ERR_LIMIT, "cannot make a descriptor") : ERR_OK;
    if (err == ERR_OK) {
        err = vigil_open(&options, &k->v);
        if (err)
            connection_fail(v, err, "%s", vigil_failure_text(NULL));
    }
    if (err) {
        keeper_free(k);
        return err;
    }
    *ret_keeper = k;
    return ERR_OK;
}

int keeper_start(struct keeper *k, struct vigil_lease *lease)
{
    sigset_t all;
    sigset_t before;
    k->lease = lease;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    k->is_running = pthread_create(&k->thread, NULL, run, k) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return k->is_running ? ERR_OK : ERR_LIMIT;
}

void keeper_free(struct keeper *k)
{
    if (!k)
        return;
    atomic_store(&k->stopping, true);
    if (k->is_running) {
        (void)eventfd_write(k->stop_fd, 1);
        pthread_join(k->thread, NULL);
    }
    vigil_close(k->v);
    if (k->stop_fd >= 0)
        close(k->stop_fd);
    free(k);
}
