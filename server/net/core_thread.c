#define _GNU_SOURCE
/*
 * core_thread.c - the loop around the turns: waits for requests, subscriptions,
 * signals and the time of the next bookmark; never spins, never waits with
 * something to do.
 *
 * ZeroMQ's descriptors are edge-triggered, and any call on a socket may take
 * their edge. A receive that finds nothing leaves an edge for whatever comes
 * after it: so a turn without work, which ends with one on the request socket,
 * is followed by looking at the stream socket after all that sends on it, and
 * if that finds nothing either, by sleeping. Asking the sockets once more would
 * cost a put four system calls, which its watchers' I/O thread would wait for.
 */
#include "server/net/clocks.h"
#include "server/net/log.h"
#include "server/net/server.h"
#include "server/net/signals.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>

/* Under load, subscriptions and signals are looked for this often. */
enum { LOOK_EVERY_US = 1000, PAUSE_MS = 10 };

struct core_loop {
    struct server *server;
    struct pollfd wait[3]; /* signals, requests, streams */
    uint64_t tick_us;      /* when core_tick wants to be called */
    uint64_t looked_us;    /* for subscriptions and signals */
    bool poll_failed;      /* it is said once */
};

static bool subscribed(void *context, struct bytes topic)
{
    return core_subscribed(context, topic);
}

/* True if there were any: their bookmarks are due. */
static bool look_at_subscriptions(struct core_loop *loop, uint64_t now_us)
{
    struct server *s = loop->server;
    loop->looked_us = now_us;
    if (!subscriptions_take(&s->subscriptions, s->sockets[ENDPOINT_STREAM], subscribed, s->core))
        return false;
    loop->tick_us = 0;
    return true;
}

static void tick_if_due(struct core_loop *loop, uint64_t now_us)
{
    struct turn *t = &loop->server->turn;
    uint64_t soon_us = now_us + BOOKMARK_TICK_MS * 1000u;
    if (t->published && loop->tick_us > soon_us)
        loop->tick_us = soon_us;
    t->published = false;
    if (now_us < loop->tick_us)
        return;
    uint32_t wait_ms = core_tick(loop->server->core, now_us / 1000, turn_emit, t);
    loop->tick_us = now_us + (uint64_t)wait_ms * 1000u;
}

static int sleep_ms(const struct core_loop *loop, uint64_t now_us)
{
    uint64_t wait_us = loop->tick_us > now_us ? loop->tick_us - now_us : 0;
    uint64_t wait_ms = (wait_us + 999) / 1000;
    uint32_t background_ms = commit_background_wait_ms(&loop->server->turn, now_us);
    if (background_ms < wait_ms)
        wait_ms = background_ms;
    uint32_t expire_ms = turn_expire_wait_ms(&loop->server->turn, now_us);
    if (expire_ms < wait_ms)
        wait_ms = expire_ms;
    return wait_ms > INT_MAX ? INT_MAX : (int)wait_ms;
}

/* Sleeps if there is nothing to do. True if a signal has arrived. */
static bool wait_for_something(struct core_loop *loop, bool busy, uint64_t now_us)
{
    struct server *s = loop->server;
    int timeout_ms = busy ? 0 : sleep_ms(loop, now_us);
    if (poll(loop->wait, 3, timeout_ms) < 0) {
        /* Out of memory, say. What it would tell of is looked at without it. */
        if (errno != EINTR && !loop->poll_failed)
            log_error("poll: %s; going on without it", strerror(errno));
        loop->poll_failed = loop->poll_failed || errno != EINTR;
        clock_pause_ms(PAUSE_MS);
        loop->wait[0].revents = POLLIN;
        loop->wait[2].revents = POLLIN;
    }
    if (!busy && loop->wait[2].revents == 0)
        loop->looked_us = clock_boot_us(); /* that was as good as a look */
    if (loop->wait[0].revents == 0)
        return false;
    int number = signals_take(s->signal_fd);
    if (number != 0)
        log_info("%s: stopping", number == SIGINT ? "SIGINT" : "SIGTERM");
    return number != 0;
}

int core_thread_run(struct server *s, struct failure *failure)
{
    struct core_loop loop = {.server = s};
    loop.wait[0] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
    loop.wait[1] =
        (struct pollfd){.fd = socket_descriptor(s->sockets[ENDPOINT_REQUEST]), .events = POLLIN};
    loop.wait[2] =
        (struct pollfd){.fd = socket_descriptor(s->sockets[ENDPOINT_STREAM]), .events = POLLIN};

    if (loop.wait[1].fd < 0 || loop.wait[2].fd < 0)
        return failure_set(failure, ERR_INTERNAL, "cannot wait for requests");
    for (;;) {
        uint64_t now_us = clock_boot_us();
        bool worked = false;
        int err = turn_run(&s->turn, now_us, &worked, failure);
        if (err != ERR_OK)
            return err;
        tick_if_due(&loop, now_us);
        if (commit_background_due(&s->turn, now_us)) {
            err = commit_background(&s->turn, now_us, failure);
            if (err != ERR_OK)
                return err;
        }
        if (worked && now_us - loop.looked_us < LOOK_EVERY_US)
            continue;
        bool busy = look_at_subscriptions(&loop, now_us) || worked;
        if (wait_for_something(&loop, busy, now_us))
            return ERR_OK;
    }
}
