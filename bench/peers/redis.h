/*
 * redis.h - what the parts of the driver for Redis share: the operations, the
 * commands that they are made of, and connections of hiredis.
 */
#ifndef VIGIL_BENCH_PEERS_REDIS_H
#define VIGIL_BENCH_PEERS_REDIS_H

#include "bench/peers/peer.h"
#include "bench/peers/poll_set.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The stream of the operations that add to one. */
#define REDIS_STREAM "stream"

/* In the order of peer_operations. */
enum redis_kind {
    REDIS_SET,
    REDIS_INCR,
    REDIS_GET,
    REDIS_PUBLISH,
    REDIS_SET_PUBLISH,
    REDIS_XADD,
    REDIS_SET_XADD,
    REDIS_KINDS
};

enum redis_kind redis_kind_of(const struct peer_operation *operation);

/* ---- redis_command.c ----------------------------------------------------------- */

/* One operation as bytes of the protocol; the buffer is made for values of one size. */
struct redis_command {
    char *bytes;
    size_t size;
};

int redis_command_open(struct redis_command *c, size_t value_size, struct failure *failure);
void redis_command_close(struct redis_command *c); /* takes one that is zero */
/* value_size is at most that of open. */
void redis_command_encode(struct redis_command *c, enum redis_kind kind, const char *key,
                          const void *value, size_t value_size);
/* How many replies that brings; the last one tells the outcome. */
uint32_t redis_command_replies(enum redis_kind kind);

/* ---- redis.c: connections ------------------------------------------------------ */

/* Blocking as hiredis makes it, until redis_unblock. */
int redis_connect(const char *address, redisContext **ret_context, struct failure *failure);
int redis_unblock(redisContext *context, struct failure *failure);
/* What hiredis says of a connection that has failed. */
int redis_fail(struct failure *failure, const redisContext *context, const char *what);
/* The one reply to a command of a blocking connection; an error reply is a failure. The caller frees. */
int redis_ask(redisContext *context, redisReply **ret_reply, struct failure *failure,
              const char *format, ...);
/* Of a connection that does not block: sends, as far as there is room. For what is left, the set is to
 * tell when there is more (as number), which *wants_write remembers. */
int redis_send(redisContext *context, struct poll_set *polled, uint32_t number, bool *wants_write,
               struct failure *failure);
/* Takes what has come into the reader, if anything. */
int redis_receive(redisContext *context, struct failure *failure);

#endif
