/*
 * etcd.c - etcd beside Vigil: puts. Each client has a connection of its own, and each of
 * its requests in flight is a stream on it, as etcd's own client library does it.
 *
 * etcd acknowledges a put after its write-ahead log is synced, and gathers the puts
 * that wait meanwhile.
 */
#include "bench/peers/etcd_messages.h"
#include "bench/peers/etcd_pool.h"
#include "bench/peers/peer.h"

#include <stdlib.h>
#include <string.h>

const char peer_name[] = "etcd";
const char peer_address_help[] = "HOST:PORT";
const struct peer_operation peer_operations[] = {
    {.name = "put",
     .summary = "KV/Put, acknowledged when synced; watch: Watch/Watch of the prefix, with values",
     .watchable = true,
     .timed = true,
     .replayable = true},
};
const size_t peer_operation_count = sizeof peer_operations / sizeof peer_operations[0];

struct peer_clients {
    struct etcd_pool *pool;
    peer_done *done;
    void *context;
};

static int take_response(void *context, uint32_t index, struct http2_call *call,
                         struct bytes message, struct failure *failure)
{
    (void)context;
    (void)index;
    uint64_t revision = 0;
    if (call->messages != 1 || etcd_read_put_response(message, &revision) || revision == 0) {
        return failure_set(failure, ERR_MALFORMED, "this is no answer to a put");
    }
    return ERR_OK;
}

static int take_end(void *context, uint32_t index, uint64_t token, uint32_t messages,
                    struct failure *failure)
{
    struct peer_clients *c = context;
    if (messages != 1) {
        return failure_set(failure, ERR_MALFORMED, "a put has no answer");
    }
    c->done(c->context, index, token);
    return ERR_OK;
}

static const struct http2_handler put_handler = {.message = take_response, .end = take_end};

int peer_open(const struct peer_plan *plan, peer_done *done, void *context,
              struct peer_clients **ret_clients, struct failure *failure)
{
    struct peer_clients *c = calloc(1, sizeof *c);
    if (!c) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    c->done = done;
    c->context = context;
    int err = etcd_pool_open(plan->address, plan->clients, &put_handler, c, &c->pool, failure);
    if (err) {
        free(c);
        return err;
    }
    *ret_clients = c;
    return ERR_OK;
}

int peer_start(struct peer_clients *c, uint32_t client, const char *key, const void *value,
               size_t size, uint64_t token, struct failure *failure)
{
    struct http2_call *call = etcd_pool_call_new(c->pool, client);
    if (!call) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    size_t begin = grpc_begin_message(&call->request);
    etcd_write_put_request(&call->request, (struct bytes){(const uint8_t *)key, strlen(key)},
                           (struct bytes){value, size});
    grpc_end_message(&call->request, begin);
    call->token = token;
    return etcd_pool_call_start(c->pool, client, call, "/etcdserverpb.KV/Put", false, failure);
}

int peer_poll(struct peer_clients *c, uint64_t timeout_ns, struct failure *failure)
{
    return etcd_pool_poll(c->pool, timeout_ns, failure);
}

void peer_close(struct peer_clients *c)
{
    if (!c) {
        return;
    }
    etcd_pool_close(c->pool);
    free(c);
}
