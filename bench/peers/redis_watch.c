/*
 * redis_watch.c - watchers of Redis and its reader of a stream, see peer.h. Each
 * watcher has a connection of its own and takes hiredis' reply objects, as an
 * application would:
 *
 *   set, incr               PSUBSCRIBE to the keys' keyspace notifications; the key
 *                           that one names is read over a second connection
 *   publish, set-publish    PSUBSCRIBE to the keys' channels
 *   xadd, set-xadd          XREAD BLOCK, from the entry seen last
 */
#define _GNU_SOURCE
#include "bench/interrupt.h"
#include "bench/payload.h"
#include "bench/peers/poll_set.h"
#include "bench/peers/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYSPACE "__keyspace@0__:"
#define NOTIFY_STRINGS "K$" /* keyspace events of commands on strings */

/* Entries that one XREAD asks for. */
enum { READ_COUNT = 1000, ID_SIZE = 48 };

enum way { BY_KEYSPACE, BY_CHANNEL, BY_STREAM };

struct watcher {
    redisContext *context;
    redisContext *getter;  /* BY_KEYSPACE */
    char last_id[ID_SIZE]; /* BY_STREAM */
    bool wants_write;      /* the one that sends is polled for room */
};

struct peer_watch {
    const struct peer_plan *plan;
    enum way way;
    peer_delivery *delivery;
    void *context;
    struct watcher *watchers;
    struct poll_set polled; /* 2 n: a watcher's context; 2 n + 1: its getter */
};

static enum way way_of(const struct peer_operation *operation)
{
    enum redis_kind kind = redis_kind_of(operation);
    return kind == REDIS_SET || kind == REDIS_INCR        ? BY_KEYSPACE
           : kind == REDIS_XADD || kind == REDIS_SET_XADD ? BY_STREAM
                                                          : BY_CHANNEL;
}

/* ---- streams ------------------------------------------------------------------- */

static bool is_array(const redisReply *reply, size_t elements)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements >= elements;
}

/* XREAD's reply for one stream: [[name, [[id, [field, value]]...]]]. Moves last_id on. */
static int deliver_entries(const redisReply *reply, char last_id[ID_SIZE], uint32_t watcher,
                           peer_delivery *delivery, void *context, uint64_t *ret_count,
                           struct failure *failure)
{
    if (reply->type == REDIS_REPLY_NIL) {
        return ERR_OK;
    }
    if (!is_array(reply, 1) || !is_array(reply->element[0], 2)) {
        return failure_set(failure, ERR_MALFORMED, "XREAD: %s",
                           reply->type == REDIS_REPLY_ERROR ? reply->str : "not understood");
    }
    const redisReply *entries = reply->element[0]->element[1];
    for (size_t i = 0; i < entries->elements; i++) {
        const redisReply *entry = entries->element[i];
        if (!is_array(entry, 2) || !is_array(entry->element[1], 2)) {
            return failure_set(failure, ERR_MALFORMED, "XREAD: an entry without a value");
        }
        const redisReply *value = entry->element[1]->element[1];
        snprintf(last_id, ID_SIZE, "%s", entry->element[0]->str);
        delivery(context, watcher, value->str, value->len);
        ++*ret_count;
    }
    return ERR_OK;
}

static int ask_for_entries(const struct peer_watch *w, uint32_t watcher, struct failure *failure)
{
    const struct watcher *one = &w->watchers[watcher];
    if (redisAppendCommand(one->context, "XREAD COUNT %d BLOCK 0 STREAMS " REDIS_STREAM " %s",
                           READ_COUNT, one->last_id) != REDIS_OK) {
        return redis_fail(failure, one->context, "cannot queue XREAD");
    }
    return ERR_OK;
}

/* Where the stream ends now. */
static int find_last_id(struct watcher *one, struct failure *failure)
{
    redisReply *reply = NULL;
    int err =
        redis_ask(one->context, &reply, failure, "XREVRANGE " REDIS_STREAM " + - COUNT %d", 1);
    if (err) {
        return err;
    }
    bool has_any = is_array(reply, 1) && is_array(reply->element[0], 2);
    snprintf(one->last_id, ID_SIZE, "%s", has_any ? reply->element[0]->element[0]->str : "0-0");
    freeReplyObject(reply);
    return ERR_OK;
}

int peer_replay(const struct peer_plan *plan, uint64_t records, peer_delivery *delivery,
                void *context, struct failure *failure)
{
    redisContext *connection = NULL;
    char last_id[ID_SIZE] = "0-0";
    uint64_t count = 0;
    uint64_t before = 0;
    int err = redis_connect(plan->address, &connection, failure);
    while (!err && count < records) {
        redisReply *reply = NULL;
        before = count;
        err = redis_ask(connection, &reply, failure, "XREAD COUNT %d STREAMS " REDIS_STREAM " %s",
                        READ_COUNT, last_id);
        if (!err) {
            err = deliver_entries(reply, last_id, 0, delivery, context, &count, failure);
            freeReplyObject(reply);
        }
        if (!err && (count == before || interrupted())) {
            err =
                failure_set(failure, ERR_INTERRUPTED, "the replay stopped at an entry %s", last_id);
        }
    }
    redisFree(connection);
    return err;
}

/* ---- what comes ---------------------------------------------------------------- */

/* A message of a pattern: [pmessage, pattern, channel, content]. */
static int take_message(struct peer_watch *w, uint32_t watcher, const redisReply *reply,
                        struct failure *failure)
{
    struct watcher *one = &w->watchers[watcher];
    if (!is_array(reply, 4)) {
        return failure_set(failure, ERR_MALFORMED, "PSUBSCRIBE: %s",
                           reply->type == REDIS_REPLY_ERROR ? reply->str : "not understood");
    }
    if (w->way == BY_CHANNEL) {
        w->delivery(w->context, watcher, reply->element[3]->str, reply->element[3]->len);
        return ERR_OK;
    }
    const char *key = reply->element[2]->str + sizeof KEYSPACE - 1;
    if (redisAppendCommand(one->getter, "GET %s", key) != REDIS_OK) {
        return redis_fail(failure, one->getter, "cannot queue GET");
    }
    return ERR_OK;
}

static int take_reply(struct peer_watch *w, uint32_t number, const redisReply *reply,
                      struct failure *failure)
{
    uint32_t watcher = number / 2;
    uint64_t count = 0;
    if (number % 2) {
        w->delivery(w->context, watcher, reply->str, reply->len);
        return ERR_OK;
    }
    if (w->way != BY_STREAM) {
        return take_message(w, watcher, reply, failure);
    }
    int err = deliver_entries(reply, w->watchers[watcher].last_id, watcher, w->delivery, w->context,
                              &count, failure);
    return err ? err : ask_for_entries(w, watcher, failure);
}

/* Sends what a watcher has queued; what does not fit into the socket, when there is room. */
static int send_watcher(struct peer_watch *w, uint32_t number, struct failure *failure)
{
    struct watcher *one = &w->watchers[number / 2];
    redisContext *context = number % 2 ? one->getter : one->context;
    return redis_send(context, &w->polled, number, &one->wants_write, failure);
}

static int take(struct peer_watch *w, uint32_t number, struct failure *failure)
{
    struct watcher *one = &w->watchers[number / 2];
    redisContext *context = number % 2 ? one->getter : one->context;
    int err = redis_receive(context, failure);
    while (!err) {
        void *reply = NULL;
        if (redisGetReplyFromReader(context, &reply) != REDIS_OK) {
            return redis_fail(failure, context, "cannot read a reply");
        }
        if (!reply) {
            break;
        }
        err = take_reply(w, number, reply, failure);
        freeReplyObject(reply);
    }
    if (err || w->way == BY_CHANNEL) {
        return err;
    }
    return send_watcher(w, w->way == BY_KEYSPACE ? number | 1 : number, failure);
}

int peer_watch_poll(struct peer_watch *w, uint64_t timeout_ns, struct failure *failure)
{
    uint32_t ready[POLL_SET_EVENTS];
    uint32_t count = 0;
    int err = poll_set_wait(&w->polled, timeout_ns, ready, &count, failure);
    for (uint32_t i = 0; i < count && !err; i++) {
        err = take(w, ready[i], failure);
    }
    return err;
}

/* ---- opening and closing ------------------------------------------------------- */

static int subscribe(struct watcher *one, enum way way, struct failure *failure)
{
    redisReply *reply = NULL;
    int err = redis_ask(one->context, &reply, failure, "PSUBSCRIBE %s",
                        way == BY_KEYSPACE ? KEYSPACE PAYLOAD_PREFIX "*" : PAYLOAD_PREFIX "*");
    if (!err) {
        freeReplyObject(reply);
    }
    return err;
}

static int set_notifications(const struct watcher *one, const char *events, struct failure *failure)
{
    redisReply *reply = NULL;
    int err =
        redis_ask(one->getter, &reply, failure, "CONFIG SET notify-keyspace-events %s", events);
    if (!err) {
        freeReplyObject(reply);
    }
    return err;
}

static int poll_context(struct peer_watch *w, redisContext *context, uint32_t number,
                        struct failure *failure)
{
    int err = redis_unblock(context, failure);
    return err ? err : poll_set_add(&w->polled, context->fd, number, failure);
}

static int open_watcher(struct peer_watch *w, uint32_t index, struct failure *failure)
{
    struct watcher *one = &w->watchers[index];
    int err = redis_connect(w->plan->address, &one->context, failure);
    if (!err && w->way == BY_KEYSPACE) {
        err = redis_connect(w->plan->address, &one->getter, failure);
    }
    if (!err && w->way == BY_KEYSPACE && index == 0) {
        err = set_notifications(one, NOTIFY_STRINGS, failure);
    }
    if (!err) {
        err = w->way == BY_STREAM ? find_last_id(one, failure) : subscribe(one, w->way, failure);
    }
    if (!err) {
        err = poll_context(w, one->context, 2 * index, failure);
    }
    if (!err && one->getter) {
        err = poll_context(w, one->getter, 2 * index + 1, failure);
    }
    if (!err && w->way == BY_STREAM) {
        err = ask_for_entries(w, index, failure);
    }
    if (!err && w->way == BY_STREAM) {
        err = send_watcher(w, 2 * index, failure);
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
    w->plan = plan;
    w->way = way_of(plan->operation);
    w->delivery = delivery;
    w->context = context;
    w->watchers = calloc(plan->watchers, sizeof *w->watchers);
    if (!w->watchers) {
        peer_watch_close(w);
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    int err = poll_set_open(&w->polled, failure);
    for (uint32_t i = 0; i < plan->watchers && !err; i++) {
        err = open_watcher(w, i, failure);
    }
    if (err) {
        peer_watch_close(w);
        return err;
    }
    *ret_watch = w;
    return ERR_OK;
}

/* Best effort: what follows is to find the server as it was. */
static void stop_notifications(const struct peer_watch *w)
{
    struct watcher quiet = {0};
    if (w->way == BY_KEYSPACE && !redis_connect(w->plan->address, &quiet.getter, NULL)) {
        set_notifications(&quiet, "", NULL);
        redisFree(quiet.getter);
    }
}

void peer_watch_close(struct peer_watch *w)
{
    if (!w) {
        return;
    }
    stop_notifications(w);
    for (uint32_t i = 0; w->watchers && i < w->plan->watchers; i++) {
        redisFree(w->watchers[i].context);
        redisFree(w->watchers[i].getter);
    }
    poll_set_close(&w->polled);
    free(w->watchers);
    free(w);
}
