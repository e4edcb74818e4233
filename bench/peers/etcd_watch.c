/*
 * etcd_watch.c - etcd beside Vigil: watchers of all keys, and the reading of what is
 * stored, which is a watch from the first revision on. Several watchers share a
 * connection, as those of one application do; each has a stream of its own on it.
 */
#define _GNU_SOURCE
#include "bench/monotonic.h"
#include "bench/payload.h"
#include "bench/peers/etcd_messages.h"
#include "bench/peers/etcd_pool.h"
#include "bench/peers/peer.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_NS (10 * NS_PER_S) /* a server that says nothing for so long is stuck */

enum { FIRST_REVISION = 1, WATCHERS_PER_CONNECTION = 100 };

struct peer_watch {
    struct etcd_pool *pool;
    peer_delivery *delivery;
    void *context;
    uint32_t created; /* watchers that the server has confirmed */
    uint64_t delivered;
    uint64_t delivered_max; /* of a replay: the rest is not handed on */
};

static int take_response(void *context, uint32_t index, struct http2_call *call,
                         struct bytes message, struct failure *failure)
{
    (void)index;
    struct peer_watch *w = context;
    uint32_t watcher = (uint32_t)call->token;
    struct etcd_watch_response response;
    struct etcd_event event;
    if (etcd_read_watch_response(message, &response)) {
        return failure_set(failure, ERR_MALFORMED, "this is no answer to a watch");
    }
    if (response.canceled || response.compact_revision) {
        return failure_set(
            failure, response.compact_revision ? ERR_COMPACTED : ERR_IO, "the watch is ended: %.*s",
            (int)(response.cancel_reason.size < 200 ? response.cancel_reason.size : 200),
            (const char *)response.cancel_reason.data);
    }
    w->created += response.created;
    while (etcd_next_event(&response.events, &event)) {
        if (!event.deleted && w->delivered < w->delivered_max) {
            w->delivered++;
            w->delivery(w->context, watcher, event.value.data, event.value.size);
        }
    }
    if (response.events.failed) {
        return failure_set(failure, ERR_MALFORMED, "a change that cannot be read");
    }
    return ERR_OK;
}

static int take_end(void *context, uint32_t index, uint64_t token, uint32_t messages,
                    struct failure *failure)
{
    (void)context;
    (void)index;
    (void)token;
    (void)messages;
    return failure_set(failure, ERR_DISCONNECTED, "the server has ended a watch");
}

static const struct http2_handler watch_handler = {.message = take_response, .end = take_end};

static int start_watch(struct peer_watch *w, uint32_t watcher, uint64_t start_revision,
                       struct failure *failure)
{
    uint32_t index = watcher / WATCHERS_PER_CONNECTION;
    uint8_t end[] = PAYLOAD_PREFIX;
    size_t size = sizeof end - 1;
    struct http2_call *call = etcd_pool_call_new(w->pool, index);
    if (!call) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    call->token = watcher;
    end[size - 1]++; /* the first key after all that begin with the prefix */
    size_t begin = grpc_begin_message(&call->request);
    etcd_write_watch_request(&call->request, (struct bytes){(const uint8_t *)PAYLOAD_PREFIX, size},
                             (struct bytes){end, size}, start_revision);
    grpc_end_message(&call->request, begin);
    return etcd_pool_call_start(w->pool, index, call, "/etcdserverpb.Watch/Watch", true, failure);
}

/* start_revision 0: from now on. */
static int open_watch(const char *address, uint32_t watchers, uint64_t start_revision,
                      struct peer_watch *w, struct failure *failure)
{
    uint64_t end_ns = monotonic_ns() + ANSWER_NS;
    uint32_t connections = (watchers + WATCHERS_PER_CONNECTION - 1) / WATCHERS_PER_CONNECTION;
    int err = etcd_pool_open(address, connections, &watch_handler, w, &w->pool, failure);
    for (uint32_t i = 0; i < watchers && !err; i++) {
        err = start_watch(w, i, start_revision, failure);
    }
    while (!err && w->created < watchers) {
        uint64_t now = monotonic_ns();
        if (now >= end_ns) {
            err = failure_set(failure, ERR_TIMEOUT, "%u of %u watches are confirmed", w->created,
                              watchers);
        } else {
            err = etcd_pool_poll(w->pool, end_ns - now, failure);
        }
    }
    return err;
}

int peer_watch_open(const struct peer_plan *plan, peer_delivery *delivery, void *context,
                    struct peer_watch **ret_watch, struct failure *failure)
{
    struct peer_watch *w = calloc(1, sizeof *w);
    if (!w) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    w->delivery = delivery;
    w->context = context;
    w->delivered_max = UINT64_MAX;
    int err = open_watch(plan->address, plan->watchers, 0, w, failure);
    if (err) {
        peer_watch_close(w);
        return err;
    }
    *ret_watch = w;
    return ERR_OK;
}

int peer_watch_poll(struct peer_watch *w, uint64_t timeout_ns, struct failure *failure)
{
    return etcd_pool_poll(w->pool, timeout_ns, failure);
}

void peer_watch_close(struct peer_watch *w)
{
    if (!w) {
        return;
    }
    etcd_pool_close(w->pool);
    free(w);
}

int peer_replay(const struct peer_plan *plan, uint64_t records, peer_delivery *delivery,
                void *context, struct failure *failure)
{
    struct peer_watch w = {.delivery = delivery, .context = context, .delivered_max = records};
    int err = open_watch(plan->address, 1, FIRST_REVISION, &w, failure);
    uint64_t end_ns = monotonic_ns() + ANSWER_NS;
    uint64_t seen = 0;
    while (!err && w.delivered < records) {
        uint64_t now = monotonic_ns();
        if (w.delivered > seen) {
            seen = w.delivered;
            end_ns = now + ANSWER_NS;
        }
        if (now >= end_ns) {
            err = failure_set(failure, ERR_TIMEOUT, "%llu of %llu records have come",
                              (unsigned long long)seen, (unsigned long long)records);
        } else {
            err = etcd_pool_poll(w.pool, end_ns - now, failure);
        }
    }
    etcd_pool_close(w.pool);
    return err;
}
