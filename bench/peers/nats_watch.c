/*
 * nats_watch.c - NATS JetStream: watchers and the replay, both by an ordered push
 * consumer, which is also what a watch of a key-value bucket is made of. See peer.h.
 *
 * An application has one connection for all that it watches, and so have these.
 */
#define _GNU_SOURCE
#include "bench/peers/nats_stream.h"

#include <stdlib.h>

enum { WATCHERS_PER_CONNECTION = 100, REPLAY_STEP_MS = 10000 };

struct peer_watch {
    const struct peer_plan *plan;
    peer_delivery *delivery;
    void *context;
    struct nats_links links;
    jsCtx **contexts; /* of each link */
    natsSubscription **consumers;
};

static natsStatus subscribe(jsCtx *js, const struct peer_plan *plan, jsDeliverPolicy policy,
                            natsSubscription **ret_consumer)
{
    jsSubOptions options;
    jsSubOptions_Init(&options);
    options.Stream = nats_stream_name(plan);
    options.Ordered = true;
    options.Config.DeliverPolicy = policy;
    natsSubscription *consumer = NULL;
    natsStatus status =
        js_SubscribeSync(&consumer, js, nats_stream_subjects(plan), NULL, &options, NULL);
    if (status == NATS_OK) {
        /* No limit of the library's own: what waits is bounded by the server's flow control. */
        status = natsSubscription_SetPendingLimits(consumer, -1, -1);
    }
    if (status != NATS_OK) {
        natsSubscription_Destroy(consumer);
        return status;
    }
    *ret_consumer = consumer;
    return NATS_OK;
}

static uint32_t link_count(const struct peer_plan *plan)
{
    return (plan->watchers + WATCHERS_PER_CONNECTION - 1) / WATCHERS_PER_CONNECTION;
}

static int subscribe_all(struct peer_watch *w, struct failure *failure)
{
    natsStatus status = NATS_OK;
    for (uint32_t i = 0; i < w->links.count && status == NATS_OK; i++) {
        status = natsConnection_JetStream(&w->contexts[i], w->links.links[i].connection, NULL);
    }
    for (uint32_t i = 0; i < w->plan->watchers && status == NATS_OK; i++) {
        status = subscribe(w->contexts[i / WATCHERS_PER_CONNECTION], w->plan, js_DeliverNew,
                           &w->consumers[i]);
    }
    return status == NATS_OK ? ERR_OK : nats_fail(failure, status, "cannot watch");
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
    w->contexts = calloc(link_count(plan), sizeof(jsCtx *));
    w->consumers = calloc(plan->watchers, sizeof(natsSubscription *));
    int err = w->contexts && w->consumers ? nats_stream_make(plan, failure)
                                          : failure_set(failure, ERR_NO_MEMORY, "out of memory");
    if (!err) {
        err = nats_links_open(&w->links, plan->address, link_count(plan), failure);
    }
    if (!err) {
        err = nats_links_lend(&w->links, failure);
    }
    if (!err) {
        err = subscribe_all(w, failure);
        nats_links_take_back(&w->links);
    }
    if (err) {
        peer_watch_close(w);
        return err;
    }
    *ret_watch = w;
    return ERR_OK;
}

/* Takes all that waits for one watcher. */
static int take(struct peer_watch *w, uint32_t watcher, struct failure *failure)
{
    int waiting = 0;
    natsSubscription *consumer = w->consumers[watcher];
    natsStatus status = natsSubscription_GetPending(consumer, &waiting, NULL);
    while (status == NATS_OK && waiting-- > 0) {
        natsMsg *message = NULL;
        status = natsSubscription_NextMsg(&message, consumer, 1);
        if (status == NATS_OK) {
            w->delivery(w->context, watcher, natsMsg_GetData(message),
                        (size_t)natsMsg_GetDataLength(message));
            natsMsg_Destroy(message);
        }
    }
    /* What waited was a word of the server's to the library. */
    return status == NATS_OK || status == NATS_TIMEOUT ? ERR_OK
                                                       : nats_fail(failure, status, "a watch");
}

int peer_watch_poll(struct peer_watch *w, uint64_t timeout_ns, struct failure *failure)
{
    uint32_t ready[POLL_SET_EVENTS];
    uint32_t count = 0;
    int err = nats_links_turn(&w->links, timeout_ns, ready, &count, failure);
    for (uint32_t i = 0; i < count && !err; i++) {
        uint32_t first = ready[i] * WATCHERS_PER_CONNECTION;
        uint32_t last = first + WATCHERS_PER_CONNECTION;
        for (uint32_t k = first; k < last && k < w->plan->watchers && !err; k++) {
            err = take(w, k, failure);
        }
    }
    return err;
}

void peer_watch_close(struct peer_watch *w)
{
    if (!w) {
        return;
    }
    /* Unsubscribing removes the consumer at the server, for which it waits. */
    bool can_wait = w->links.count > 0 && nats_links_lend(&w->links, NULL) == ERR_OK;
    for (uint32_t i = 0; w->consumers && i < w->plan->watchers && can_wait; i++) {
        if (w->consumers[i]) {
            natsSubscription_Unsubscribe(w->consumers[i]);
        }
    }
    nats_links_take_back(&w->links);
    for (uint32_t i = 0; w->consumers && i < w->plan->watchers; i++) {
        natsSubscription_Destroy(w->consumers[i]);
    }
    for (uint32_t i = 0; w->contexts && i < w->links.count; i++) {
        jsCtx_Destroy(w->contexts[i]);
    }
    nats_links_close(&w->links);
    free(w->consumers);
    free(w->contexts);
    free(w);
}

/* With the library's own threads, which read the next messages while this one takes the last. */
int peer_replay(const struct peer_plan *plan, uint64_t records, peer_delivery *delivery,
                void *context, struct failure *failure)
{
    natsOptions *options = NULL;
    natsConnection *connection = NULL;
    jsCtx *js = NULL;
    natsSubscription *consumer = NULL;
    int err = nats_plain_options(plan->address, &options, failure);
    if (err) {
        return err;
    }
    natsStatus status = natsConnection_Connect(&connection, options);
    if (status == NATS_OK) {
        status = natsConnection_JetStream(&js, connection, NULL);
    }
    if (status == NATS_OK) {
        status = subscribe(js, plan, js_DeliverAll, &consumer);
    }
    for (uint64_t i = 0; i < records && status == NATS_OK; i++) {
        natsMsg *message = NULL;
        status = natsSubscription_NextMsg(&message, consumer, REPLAY_STEP_MS);
        if (status == NATS_OK) {
            delivery(context, 0, natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
            natsMsg_Destroy(message);
        }
    }
    if (status != NATS_OK) {
        err = nats_fail(failure, status, "cannot replay");
    }
    /* First the connection: its thread hands messages to a subscription without keeping it. */
    natsConnection_Close(connection);
    natsSubscription_Destroy(consumer);
    jsCtx_Destroy(js);
    natsConnection_Destroy(connection);
    natsOptions_Destroy(options);
    return err;
}
