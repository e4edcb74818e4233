/* etcd_pool.c - connections that one thread waits for together; see etcd_pool.h. */
#include "bench/peers/etcd_pool.h"
#include "bench/peers/poll_set.h"

#include <stdlib.h>

struct member {
    struct http2_connection *connection;
    uint32_t index;
    bool queued;  /* is in the list of those with something to send */
    bool blocked; /* its socket is full: the set tells when there is room */
};

struct etcd_pool {
    struct poll_set set; /* the numbers are the members' indexes */
    uint32_t count;
    struct member *members;
    uint32_t *queue; /* indexes of those with something to send */
    uint32_t queue_size;
};

static void queue(struct etcd_pool *p, struct member *m)
{
    if (!m->queued) {
        m->queued = true;
        p->queue[p->queue_size++] = m->index;
    }
}

int etcd_pool_open(const char *address, uint32_t count, const struct http2_handler *handler,
                   void *context, struct etcd_pool **ret_pool, struct failure *failure)
{
    int err = ERR_OK;
    struct etcd_pool *p = calloc(1, sizeof *p);
    if (!p) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    p->members = calloc(count, sizeof *p->members);
    p->queue = calloc(count, sizeof *p->queue);
    if (!p->members || !p->queue) {
        err = failure_set(failure, ERR_NO_MEMORY, "out of memory");
        goto out;
    }
    p->count = count;
    err = poll_set_open(&p->set, failure);
    for (uint32_t i = 0; i < count && !err; i++) {
        struct member *m = &p->members[i];
        m->index = i;
        err = http2_connect(address, handler, context, i, &m->connection, failure);
        if (!err) {
            err = poll_set_add(&p->set, http2_fd(m->connection), i, failure);
        }
    }
out:
    if (err) {
        etcd_pool_close(p);
        return err;
    }
    *ret_pool = p;
    return ERR_OK;
}

void etcd_pool_close(struct etcd_pool *p)
{
    if (!p) {
        return;
    }
    for (uint32_t i = 0; i < p->count; i++) {
        http2_close(p->members[i].connection);
    }
    poll_set_close(&p->set);
    free(p->members);
    free(p->queue);
    free(p);
}

struct http2_call *etcd_pool_call_new(struct etcd_pool *p, uint32_t index)
{
    return http2_call_new(p->members[index].connection);
}

int etcd_pool_call_start(struct etcd_pool *p, uint32_t index, struct http2_call *call,
                         const char *path, bool stays_open, struct failure *failure)
{
    struct member *m = &p->members[index];
    queue(p, m);
    return http2_call_start(m->connection, call, path, stays_open, failure);
}

static int flush(struct etcd_pool *p, struct member *m, struct failure *failure)
{
    bool blocked = false;
    int err = http2_flush(m->connection, &blocked, failure);
    if (!err && blocked != m->blocked) {
        m->blocked = blocked;
        err = poll_set_want_write(&p->set, http2_fd(m->connection), m->index, blocked, failure);
    }
    return err;
}

static int flush_queue(struct etcd_pool *p, struct failure *failure)
{
    int err = ERR_OK;
    while (p->queue_size > 0 && !err) {
        struct member *m = &p->members[p->queue[--p->queue_size]];
        m->queued = false;
        err = flush(p, m, failure);
    }
    return err;
}

int etcd_pool_poll(struct etcd_pool *p, uint64_t timeout_ns, struct failure *failure)
{
    uint32_t ready[POLL_SET_EVENTS];
    uint32_t count = 0;
    int err = flush_queue(p, failure);
    if (!err) {
        err = poll_set_wait(&p->set, timeout_ns, ready, &count, failure);
    }
    for (uint32_t i = 0; i < count && !err; i++) {
        struct member *m = &p->members[ready[i]];
        err = http2_receive(m->connection, failure);
        /* Also what the protocol itself has to answer. */
        queue(p, m);
        if (!err) {
            err = flush_queue(p, failure);
        }
    }
    return err;
}
