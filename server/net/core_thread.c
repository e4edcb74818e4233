#define _GNU_SOURCE
/*
 * core_thread.c - the loop around the turns: waits for requests, subscriptions,
 * signals and the time of the next bookmark; never spins, never waits with
 * something to do.
 *
 * Connections are told of while there is anything to read, so that each turn is
 * followed by waiting, and nothing is asked for twice. The stream socket's
 * descriptor is ZeroMQ's: it tells once, and any call on the socket may take
 * that away. So after all that sends on it, and before sleeping, the socket is
 * looked at: a receive that finds nothing makes the descriptor tell of whatever
 * comes after it.
 */
#include "server/net/clocks.h"
#include "server/net/log.h"
#include "server/net/server.h"
#include "server/net/signals.h"
#include "server/net/zmq_socket.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>

/* Under load, subscriptions are looked for this often. */
enum { LOOK_EVERY_US = 1000, PAUSE_MS = 10 };

struct core_loop {
    struct server *server;
    uint64_t tick_us;   /* when core_tick wants to be called */
    uint64_t looked_us; /* for subscriptions */
    bool must_look;     /* before sleeping */
    bool wait_failed;   /* it is said once */
};

static bool subscribed(void *context, struct bytes topic)
{
    return core_subscribed(context, topic);
}

/* Bookmarks of new ones are due; and then there may be more. */
static void look_at_subscriptions(struct core_loop *loop, uint64_t now_us)
{
    struct server *s = loop->server;
    loop->looked_us = now_us;
    loop->must_look =
        subscriptions_take(&s->subscriptions, s->sockets[ENDPOINT_STREAM], subscribed, s->core);
    if (loop->must_look)
        loop->tick_us = 0;
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
static bool wait_for_something(struct core_loop *loop, uint64_t now_us)
{
    struct server *s = loop->server;
    if (peers_wait(s->peers, loop->must_look ? 0 : sleep_ms(loop, now_us), now_us) != 0) {
        /* Out of memory, say. What it would tell of is looked at without it. */
        if (!loop->wait_failed)
            log_error("epoll_wait: %s; going on without it", strerror(errno));
        loop->wait_failed = true;
        clock_pause_ms(PAUSE_MS);
    }
    loop->must_look = peers_stirred(s->peers, PEERS_STREAMS) || loop->must_look;
    if (!peers_stirred(s->peers, PEERS_SIGNALS))
        return false;
    int number = signals_take(s->signal_fd);
    if (number != 0)
        log_info("%s: stopping", number == SIGINT ? "SIGINT" : "SIGTERM");
    return number != 0;
}

static int watch(struct server *s, struct failure *failure)
{
    int streams = socket_descriptor(s->sockets[ENDPOINT_STREAM]);
    if (streams < 0 || peers_watch(s->peers, PEERS_SIGNALS, s->signal_fd) != ERR_OK ||
        peers_watch(s->peers, PEERS_STREAMS, streams) != ERR_OK)
        return failure_set(failure, ERR_INTERNAL, "cannot wait for requests");
    return ERR_OK;
}

int core_thread_run(struct server *s, struct failure *failure)
{
    struct core_loop loop = {.server = s, .must_look = true};
    int err = watch(s, failure);
    if (err != ERR_OK)
        return err;
    for (;;) {
        uint64_t now_us = clock_boot_us();
        bool worked = false;
        err = turn_run(&s->turn, now_us, &worked, failure);
        if (err != ERR_OK)
            return err;
        tick_if_due(&loop, now_us);
        if (commit_background_due(&s->turn, now_us)) {
            err = commit_background(&s->turn, now_us, failure);
            if (err != ERR_OK)
                return err;
        }
        loop.must_look = loop.must_look || s->turn.emitted;
        s->turn.emitted = false;
        if (loop.must_look && (!worked || now_us - loop.looked_us >= LOOK_EVERY_US))
            look_at_subscriptions(&loop, now_us);
        if (wait_for_something(&loop, now_us))
            return ERR_OK;
    }
}
