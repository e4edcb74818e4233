/*
 * redis_clients.c - clients of Redis, see peer.h: a connection each, pipelined, in
 * hiredis' non-blocking way. Replies are checked as they are read, without making
 * an object of each.
 */
#define _GNU_SOURCE
#include "bench/peers/poll_set.h"
#include "bench/peers/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct client {
    redisContext *context;
    uint64_t *tokens; /* ring of plan->depth: replies come in the order of the commands */
    uint32_t first;
    uint32_t in_flight;
    uint32_t replies;  /* of the oldest operation, so far */
    bool is_queued;    /* in the list of those with unsent commands */
    bool wants_write;  /* polled for room to send */
    bool nil_refuses;  /* a transaction that was not executed */
    char refused[128]; /* the server's words; empty: all is well */
};

struct peer_clients {
    const struct peer_plan *plan;
    enum redis_kind kind;
    uint32_t replies_each;
    peer_done *done;
    void *context;
    struct redis_command command;
    struct client *clients;
    uint32_t *queued;
    uint32_t queued_count;
    struct poll_set polled;
};

/* ---- replies, as hiredis' reader finds them ------------------------------------ */

/* What stands for a reply: the reader wants something that is not NULL. */
static char reply_mark;

static void *on_string(const redisReadTask *task, char *text, size_t size)
{
    struct client *one = task->privdata;
    if (task->type == REDIS_REPLY_ERROR && !one->refused[0]) {
        snprintf(one->refused, sizeof one->refused, "%.*s", (int)size, text);
    }
    return &reply_mark;
}

static void *on_array(const redisReadTask *task, int count)
{
    (void)task;
    (void)count;
    return &reply_mark;
}

static void *on_integer(const redisReadTask *task, long long integer)
{
    (void)task;
    (void)integer;
    return &reply_mark;
}

static void *on_nil(const redisReadTask *task)
{
    struct client *one = task->privdata;
    if (one->nil_refuses && !one->refused[0]) {
        snprintf(one->refused, sizeof one->refused, "not executed");
    }
    return &reply_mark;
}

static void on_free(void *reply)
{
    (void)reply;
}

static redisReplyObjectFunctions reply_functions = {
    .createString = on_string,
    .createArray = on_array,
    .createInteger = on_integer,
    .createNil = on_nil,
    .freeObject = on_free,
};

/* ---- sending and receiving ----------------------------------------------------- */

int peer_start(struct peer_clients *c, uint32_t client, const char *key, const void *value,
               size_t size, uint64_t token, struct failure *failure)
{
    struct client *one = &c->clients[client];
    redis_command_encode(&c->command, c->kind, key, value, size);
    if (redisAppendFormattedCommand(one->context, c->command.bytes, c->command.size) != REDIS_OK) {
        return redis_fail(failure, one->context, "cannot queue a command");
    }
    uint32_t slot = one->first + one->in_flight++;
    one->tokens[slot < c->plan->depth ? slot : slot - c->plan->depth] = token;
    if (!one->is_queued && !one->wants_write) {
        one->is_queued = true;
        c->queued[c->queued_count++] = client;
    }
    return ERR_OK;
}

/* What does not fit into the socket is sent when there is room. */
static int send_client(struct peer_clients *c, uint32_t client, struct failure *failure)
{
    struct client *one = &c->clients[client];
    return redis_send(one->context, &c->polled, client, &one->wants_write, failure);
}

static int send_queued(struct peer_clients *c, struct failure *failure)
{
    int err = ERR_OK;
    while (c->queued_count > 0 && !err) {
        uint32_t client = c->queued[--c->queued_count];
        c->clients[client].is_queued = false;
        err = send_client(c, client, failure);
    }
    return err;
}

static int take(struct peer_clients *c, uint32_t client, struct failure *failure)
{
    struct client *one = &c->clients[client];
    int err = redis_receive(one->context, failure);
    while (!err) {
        void *reply = NULL;
        if (redisGetReplyFromReader(one->context, &reply) != REDIS_OK) {
            err = redis_fail(failure, one->context, "cannot read a reply");
        } else if (one->refused[0]) {
            err = failure_set(failure, ERR_IO, "%s: %s", c->plan->operation->name, one->refused);
        } else if (!reply) {
            break;
        } else if (++one->replies == c->replies_each) {
            uint64_t token = one->tokens[one->first];
            one->first = one->first + 1 < c->plan->depth ? one->first + 1 : 0;
            one->in_flight--;
            one->replies = 0;
            c->done(c->context, client, token);
        }
    }
    return err;
}

int peer_poll(struct peer_clients *c, uint64_t timeout_ns, struct failure *failure)
{
    uint32_t ready[POLL_SET_EVENTS];
    uint32_t count = 0;
    int err = send_queued(c, failure);
    if (!err) {
        err = poll_set_wait(&c->polled, timeout_ns, ready, &count, failure);
    }
    for (uint32_t i = 0; i < count && !err; i++) {
        if (c->clients[ready[i]].wants_write) {
            err = send_client(c, ready[i], failure);
        }
        if (!err) {
            err = take(c, ready[i], failure);
        }
        if (!err) {
            err = send_queued(c, failure);
        }
    }
    return err;
}

/* ---- opening and closing ------------------------------------------------------- */

static int open_client(struct peer_clients *c, uint32_t index, struct failure *failure)
{
    struct client *one = &c->clients[index];
    one->nil_refuses = c->replies_each > 1;
    one->tokens = calloc(c->plan->depth, sizeof *one->tokens);
    if (!one->tokens) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    int err = redis_connect(c->plan->address, &one->context, failure);
    if (!err) {
        one->context->reader->fn = &reply_functions;
        one->context->reader->privdata = one;
        err = redis_unblock(one->context, failure);
    }
    if (!err) {
        err = poll_set_add(&c->polled, one->context->fd, index, failure);
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
    c->kind = redis_kind_of(plan->operation);
    c->replies_each = redis_command_replies(c->kind);
    c->done = done;
    c->context = context;
    c->clients = calloc(plan->clients, sizeof *c->clients);
    c->queued = calloc(plan->clients, sizeof *c->queued);
    if (!c->clients || !c->queued) {
        peer_close(c);
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    int err = poll_set_open(&c->polled, failure);
    if (!err) {
        err = redis_command_open(&c->command, plan->size, failure);
    }
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
        redisFree(c->clients[i].context);
        free(c->clients[i].tokens);
    }
    redis_command_close(&c->command);
    poll_set_close(&c->polled);
    free(c->clients);
    free(c->queued);
    free(c);
}
