/*
 * vigil.c - Vigil as one of the peers, through libvigil as any application would
 * use it. See peer.h.
 */
#define _GNU_SOURCE
#include "bench/interrupt.h"
#include "bench/payload.h"
#include "bench/peers/peer.h"
#include "bench/peers/poll_set.h"

#include <stdlib.h>
#include <string.h>
#include <vigil.h>

enum { WATCHES_PER_CONNECTION = 100, SUBSCRIBE_MS = 10000, REPLAY_STEP_MS = 10000 };

const char peer_name[] = "vigil";
const char peer_address_help[] = "ipc:///PATH or tcp://HOST:PORT";

const struct peer_operation peer_operations[] = {
    {.name = "put",
     .summary = "a put; watched, and replayed, by a watch of the prefix",
     .watchable = true,
     .timed = true,
     .replayable = true},
    {.name = "incr",
     .summary = "adds 1 to an integer; watched likewise",
     .watchable = true,
     .counters = true},
    {.name = "get", .summary = "reads what an earlier put has written"},
};
const size_t peer_operation_count = sizeof peer_operations / sizeof peer_operations[0];

static int fail(struct failure *failure, const vigil *v, int err, const char *what)
{
    return failure_set(failure, err, "%s: %s", what, vigil_failure_text(v));
}

static int connect_to(const struct peer_plan *plan, uint32_t pipeline_max, vigil **ret_connection,
                      struct failure *failure)
{
    vigil_options options = VIGIL_OPTIONS_INIT;
    options.endpoint = plan->address;
    options.client_name = "vigil-peer-vigil";
    options.pipeline_max = pipeline_max;
    int err = vigil_open(&options, ret_connection);
    return err ? fail(failure, NULL, err, "cannot connect") : ERR_OK;
}

/* ---- clients ------------------------------------------------------------------- */

struct client {
    vigil *v;
    uint64_t *tokens; /* ring of plan->depth: replies come in the order of the requests */
    uint32_t first;
    uint32_t in_flight;
    bool is_queued; /* somebody will send its requests: it is in the list, or being taken from */
};

struct peer_clients {
    const struct peer_plan *plan;
    peer_done *done;
    void *context;
    struct client *clients;
    uint32_t *queued; /* clients with requests that were not sent */
    uint32_t queued_count;
    int (*send)(vigil *v, const char *key, const void *value, size_t size, uint64_t *ret_id);
    struct poll_set polled;
};

static int send_put(vigil *v, const char *key, const void *value, size_t size, uint64_t *ret_id)
{
    return vigil_send_put(v, key, value, size, NULL, ret_id);
}

static int send_incr(vigil *v, const char *key, const void *value, size_t size, uint64_t *ret_id)
{
    (void)value;
    (void)size;
    return vigil_send_incr(v, key, 1, ret_id);
}

static int send_get(vigil *v, const char *key, const void *value, size_t size, uint64_t *ret_id)
{
    (void)value;
    (void)size;
    return vigil_send_get(v, key, ret_id);
}

int peer_start(struct peer_clients *c, uint32_t client, const char *key, const void *value,
               size_t size, uint64_t token, struct failure *failure)
{
    struct client *one = &c->clients[client];
    uint64_t id = 0;
    int err = c->send(one->v, key, value, size, &id);
    if (err) {
        return fail(failure, one->v, err, "cannot send");
    }
    uint32_t slot = one->first + one->in_flight++;
    one->tokens[slot < c->plan->depth ? slot : slot - c->plan->depth] = token;
    if (!one->is_queued) {
        one->is_queued = true;
        c->queued[c->queued_count++] = client;
    }
    return ERR_OK;
}

/* Takes all that has come. The call that finds nothing more has sent all that was queued meanwhile, and
 * quietens the descriptor: it is made even where nothing is in flight. */
static int take(struct peer_clients *c, uint32_t client, bool *ret_any, struct failure *failure)
{
    struct client *one = &c->clients[client];
    bool was_queued = one->is_queued;
    one->is_queued = true;
    for (;;) {
        vigil_completion completion;
        int err = vigil_receive(one->v, 0, &completion);
        bool idle = err == VIGIL_INVALID && one->in_flight == 0;
        if (err == VIGIL_TIMEOUT || err == VIGIL_INTERRUPTED || idle) {
            break;
        }
        if (err || completion.error) {
            return failure_set(failure, err ? err : completion.error, "a request failed: %s",
                               err ? vigil_failure_text(one->v)
                                   : vigil_error_text(completion.error));
        }
        uint64_t token = one->tokens[one->first];
        one->first = one->first + 1 < c->plan->depth ? one->first + 1 : 0;
        one->in_flight--;
        *ret_any = true;
        c->done(c->context, client, token);
    }
    one->is_queued = was_queued;
    return ERR_OK;
}

static int send_queued(struct peer_clients *c, bool *ret_any, struct failure *failure)
{
    int err = ERR_OK;
    while (c->queued_count > 0 && !err) {
        uint32_t client = c->queued[--c->queued_count];
        c->clients[client].is_queued = false;
        err = take(c, client, ret_any, failure);
    }
    return err;
}

int peer_poll(struct peer_clients *c, uint64_t timeout_ns, struct failure *failure)
{
    bool any = false;
    int err = send_queued(c, &any, failure);
    uint32_t ready[POLL_SET_EVENTS];
    uint32_t count = 0;
    if (!err) {
        err = poll_set_wait(&c->polled, any ? 0 : timeout_ns, ready, &count, failure);
    }
    for (uint32_t i = 0; i < count && !err; i++) {
        err = take(c, ready[i], &any, failure);
    }
    return err ? err : send_queued(c, &any, failure);
}

static int open_client(struct peer_clients *c, uint32_t index, struct failure *failure)
{
    struct client *one = &c->clients[index];
    one->tokens = calloc(c->plan->depth, sizeof *one->tokens);
    if (!one->tokens) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    int err = connect_to(c->plan, c->plan->depth, &one->v, failure);
    if (!err) {
        err = poll_set_add(&c->polled, vigil_fd(one->v), index, failure);
    }
    return err;
}

int peer_open(const struct peer_plan *plan, peer_done *done, void *context,
              struct peer_clients **ret_clients, struct failure *failure)
{
    struct peer_clients *c = calloc(1, sizeof *c);
    if (!c) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    c->plan = plan;
    c->done = done;
    c->context = context;
    c->send = plan->operation->counters    ? send_incr
              : plan->operation->watchable ? send_put
                                           : send_get;
    c->clients = calloc(plan->clients, sizeof *c->clients);
    c->queued = calloc(plan->clients, sizeof *c->queued);
    if (!c->clients || !c->queued) {
        peer_close(c);
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    int err = poll_set_open(&c->polled, failure);
    for (uint32_t i = 0; i < plan->clients && !err; i++) {
        err = open_client(c, i, failure);
    }
    if (err) {
        peer_close(c);
        return err;
    }
    *ret_clients = c;
    return ERR_OK;
}

void peer_close(struct peer_clients *c)
{
    if (!c) {
        return;
    }
    for (uint32_t i = 0; c->clients && i < c->plan->clients; i++) {
        vigil_close(c->clients[i].v);
        free(c->clients[i].tokens);
    }
    poll_set_close(&c->polled);
    free(c->clients);
    free(c->queued);
    free(c);
}

/* ---- watchers ------------------------------------------------------------------ */

struct peer_watch {
    const struct peer_plan *plan;
    peer_delivery *delivery;
    void *context;
    vigil **connections; /* several watches share one, as those of one application do */
    vigil_watch **watches;
    struct poll_set polled;
};

static void deliver(const vigil_record *record, uint32_t watcher, peer_delivery *delivery,
                    void *context)
{
    for (size_t i = 0; i < record->count; i++) {
        delivery(context, watcher, record->changes[i].value, record->changes[i].size);
    }
}

/* Takes all that has come for one watch. */
static int take_events(struct peer_watch *w, uint32_t watcher, struct failure *failure)
{
    for (;;) {
        const vigil_event *event = NULL;
        int err = vigil_watch_next(w->watches[watcher], 0, &event);
        if (err == VIGIL_TIMEOUT || err == VIGIL_INTERRUPTED) {
            return ERR_OK;
        }
        if (err) {
            return failure_set(failure, err, "a watch: %s", vigil_error_text(err));
        }
        if (event->kind == VIGIL_EVENT_RECORD) {
            deliver(&event->record, watcher, w->delivery, w->context);
        }
    }
}

/* Until the first bookmark: from then on it is subscribed. */
static int subscribe(struct peer_watch *w, uint32_t watcher, struct failure *failure)
{
    vigil *connection = w->connections[watcher / WATCHES_PER_CONNECTION];
    static const char *const pattern = PAYLOAD_PREFIX "*";
    vigil_watch_options options = VIGIL_WATCH_OPTIONS_INIT;
    options.patterns = &pattern;
    options.pattern_count = 1;
    options.bookmarks = true;
    const vigil_event *event = NULL;
    int err = vigil_watch_open(connection, &options, &w->watches[watcher]);
    if (!err) {
        err = vigil_watch_next(w->watches[watcher], SUBSCRIBE_MS, &event);
    }
    if (err) {
        return fail(failure, connection, err, "cannot watch");
    }
    return poll_set_add(&w->polled, vigil_watch_fd(w->watches[watcher]), watcher, failure);
}

int peer_watch_open(const struct peer_plan *plan, peer_delivery *delivery, void *context,
                    struct peer_watch **ret_watch, struct failure *failure)
{
    struct peer_watch *w = calloc(1, sizeof *w);
    if (!w) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    w->plan = plan;
    w->delivery = delivery;
    w->context = context;
    w->connections = calloc(plan->watchers / WATCHES_PER_CONNECTION + 1, sizeof(vigil *));
    w->watches = calloc(plan->watchers, sizeof(vigil_watch *));
    if (!w->connections || !w->watches) {
        peer_watch_close(w);
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    int err = poll_set_open(&w->polled, failure);
    for (uint32_t i = 0; i < plan->watchers && !err; i++) {
        if (i % WATCHES_PER_CONNECTION == 0) {
            err = connect_to(plan, 0, &w->connections[i / WATCHES_PER_CONNECTION], failure);
        }
        if (!err) {
            err = subscribe(w, i, failure);
        }
    }
    if (err) {
        peer_watch_close(w);
        return err;
    }
    *ret_watch = w;
    return ERR_OK;
}

int peer_watch_poll(struct peer_watch *w, uint64_t timeout_ns, struct failure *failure)
{
    uint32_t ready[POLL_SET_EVENTS];
    uint32_t count = 0;
    int err = poll_set_wait(&w->polled, timeout_ns, ready, &count, failure);
    for (uint32_t i = 0; i < count && !err; i++) {
        err = take_events(w, ready[i], failure);
    }
    return err;
}

void peer_watch_close(struct peer_watch *w)
{
    if (!w) {
        return;
    }
    for (uint32_t i = 0; w->watches && i < w->plan->watchers; i++) {
        vigil_watch_close(w->watches[i]);
    }
    for (uint32_t i = 0; w->connections && i <= w->plan->watchers / WATCHES_PER_CONNECTION; i++) {
        vigil_close(w->connections[i]);
    }
    poll_set_close(&w->polled);
    free(w->watches);
    free(w->connections);
    free(w);
}

/* ---- replay -------------------------------------------------------------------- */

int peer_replay(const struct peer_plan *plan, uint64_t records, peer_delivery *delivery,
                void *context, struct failure *failure)
{
    vigil *v = NULL;
    vigil_watch *watch = NULL;
    vigil_watch_options options = VIGIL_WATCH_OPTIONS_INIT;
    options.since = VIGIL_SINCE_OLDEST;
    int err = connect_to(plan, 0, &v, failure);
    if (!err && (err = vigil_watch_open(v, &options, &watch))) {
        fail(failure, v, err, "cannot watch");
    }
    for (uint64_t i = 0; i < records && !err; i++) {
        const vigil_event *event = NULL;
        err = vigil_watch_next(watch, REPLAY_STEP_MS, &event);
        if (err || interrupted()) {
            err = failure_set(failure, err ? err : ERR_INTERRUPTED, "the replay stopped: %s",
                              vigil_error_text(err ? err : VIGIL_INTERRUPTED));
        } else {
            deliver(&event->record, 0, delivery, context);
        }
    }
    vigil_watch_close(watch);
    vigil_close(v);
    return err;
}
