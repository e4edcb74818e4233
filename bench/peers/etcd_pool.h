/*
 * etcd_pool.h - connections to etcd that one thread waits for together: one for each
 * client, or one for each watcher.
 */
#ifndef VIGIL_BENCH_PEERS_ETCD_POOL_H
#define VIGIL_BENCH_PEERS_ETCD_POOL_H

#include "bench/peers/etcd_http2.h"

struct etcd_pool;

/* count connections, whose index is 0 to count - 1. */
int etcd_pool_open(const char *address, uint32_t count, const struct http2_handler *handler,
                   void *context, struct etcd_pool **ret_pool, struct failure *failure);
void etcd_pool_close(struct etcd_pool *p); /* takes NULL */

/* An empty call of a connection, which leaves with the next poll; NULL without memory. */
struct http2_call *etcd_pool_call_new(struct etcd_pool *p, uint32_t index);
int etcd_pool_call_start(struct etcd_pool *p, uint32_t index, struct http2_call *call,
                         const char *path, bool stays_open, struct failure *failure);
/* Sends what is queued, waits up to timeout_ns for anything to come, and calls the handler for all of
 * it; what that has started is sent before this returns. */
int etcd_pool_poll(struct etcd_pool *p, uint64_t timeout_ns, struct failure *failure);

#endif
