/* redis.c - Redis as one of the peers: its operations and connections. See peer.h, redis.h. */
#define _GNU_SOURCE
#include "bench/peers/redis.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char peer_name[] = "redis";
const char peer_address_help[] = "HOST:PORT or unix:/PATH";

const struct peer_operation peer_operations[REDIS_KINDS] = {
    [REDIS_SET] =
        {.name = "set",
         .summary =
             "SET; watched by keyspace notifications (switched on meanwhile), which\n"
             "                   carry no value: a watcher GETs the key, whose value may be newer",
         .watchable = true,
         .timed = true,
         .lossy = true},
    [REDIS_INCR] = {.name = "incr",
                    .summary = "INCR; watched likewise",
                    .watchable = true,
                    .lossy = true,
                    .counters = true},
    [REDIS_GET] = {.name = "get", .summary = "GET of what an earlier set has written"},
    [REDIS_PUBLISH] = {.name = "publish",
                       .summary = "PUBLISH to the key's channel, which stores nothing; PSUBSCRIBE",
                       .watchable = true,
                       .timed = true,
                       .lossy = true},
    [REDIS_SET_PUBLISH] = {.name = "set-publish",
                           .summary =
                               "SET and PUBLISH, sent together but not in a MULTI; PSUBSCRIBE",
                           .watchable = true,
                           .timed = true,
                           .lossy = true},
    [REDIS_XADD] = {.name = "xadd",
                    .summary = "XADD to one stream, which keeps no state; XREAD BLOCK",
                    .watchable = true,
                    .timed = true,
                    .replayable = true},
    [REDIS_SET_XADD] = {.name = "set-xadd",
                        .summary = "SET and XADD in one MULTI; XREAD BLOCK",
                        .watchable = true,
                        .timed = true,
                        .replayable = true},
};
const size_t peer_operation_count = REDIS_KINDS;

enum redis_kind redis_kind_of(const struct peer_operation *operation)
{
    return (enum redis_kind)(operation - peer_operations);
}

int redis_fail(struct failure *failure, const redisContext *context, const char *what)
{
    int err = !context || context->err == REDIS_ERR_OOM                       ? ERR_NO_MEMORY
              : context->err == REDIS_ERR_EOF || context->err == REDIS_ERR_IO ? ERR_DISCONNECTED
                                                                              : ERR_IO;
    return failure_set(failure, err, "%s: %s", what, context ? context->errstr : error_text(err));
}

int redis_connect(const char *address, redisContext **ret_context, struct failure *failure)
{
    static const char unix_prefix[] = "unix:";
    redisContext *context;
    if (!strncmp(address, unix_prefix, sizeof unix_prefix - 1)) {
        context = redisConnectUnix(address + sizeof unix_prefix - 1);
    } else {
        char host[256];
        const char *colon = strrchr(address, ':');
        if (!colon || colon == address || (size_t)(colon - address) >= sizeof host) {
            return failure_set(failure, ERR_INVALID, "'%s' is not %s", address, peer_address_help);
        }
        snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
        context = redisConnect(host, (int)strtol(colon + 1, NULL, 10));
    }
    if (!context || context->err) {
        int err = redis_fail(failure, context, "cannot connect");
        redisFree(context);
        return err;
    }
    /* Or it gives its memory back and takes it anew with each value that is large. */
    context->reader->maxbuf = 0;
    *ret_context = context;
    return ERR_OK;
}

int redis_unblock(redisContext *context, struct failure *failure)
{
    int flags = fcntl(context->fd, F_GETFL);
    if (flags < 0 || fcntl(context->fd, F_SETFL, flags | O_NONBLOCK)) {
        return failure_set(failure, ERR_IO, "cannot set a socket up: %s", strerror(errno));
    }
    context->flags &= ~REDIS_BLOCK;
    return ERR_OK;
}

int redis_ask(redisContext *context, redisReply **ret_reply, struct failure *failure,
              const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(context, format, arguments);
    va_end(arguments);
    char name[32];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(format, " "), format);
    if (!reply) {
        return redis_fail(failure, context, name);
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        int err = failure_set(failure, ERR_IO, "%s: %s", name, reply->str);
        freeReplyObject(reply);
        return err;
    }
    *ret_reply = reply;
    return ERR_OK;
}

int redis_send(redisContext *context, struct poll_set *polled, uint32_t number, bool *wants_write,
               struct failure *failure)
{
    int all = 0;
    if (redisBufferWrite(context, &all) != REDIS_OK) {
        return redis_fail(failure, context, "cannot send");
    }
    if (*wants_write == !all) {
        return ERR_OK;
    }
    *wants_write = !all;
    return poll_set_want_write(polled, context->fd, number, !all, failure);
}

int redis_receive(redisContext *context, struct failure *failure)
{
    if (redisBufferRead(context) != REDIS_OK) {
        return redis_fail(failure, context, "cannot receive");
    }
    return ERR_OK;
}
