/*
 * nats.c - NATS JetStream with file storage: clients, through libnats. See peer.h.
 *
 * A publication to JetStream is a message to a subject of the stream with a reply
 * subject, at which the acknowledgement arrives; a put into a key-value bucket is
 * one to the subject $KV.BUCKET.KEY of a stream that keeps the last of each. The
 * library's js_PublishAsync does the same, but hands every acknowledgement to a
 * thread of that connection: here the load's thread takes them itself, which costs
 * the client less and so is in the peer's favour.
 */
#define _GNU_SOURCE
#include "bench/peers/nats_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUBJECT_MAX = 160, REPLY_MAX = 80 };

const char peer_name[] = "nats";
const char peer_address_help[] = "HOST:PORT";

const struct peer_operation peer_operations[] = {
    {.name = "put",
     .summary = "a put into a key-value bucket (history 1); its watcher watches the bucket, and\n"
                "                   does not get what was overwritten before it was sent",
     .watchable = true,
     .timed = true,
     .lossy = true},
    {.name = "publish",
     .summary = "appends to a stream; watched, and replayed, by an ordered consumer",
     .watchable = true,
     .timed = true,
     .replayable = true},
};
const size_t peer_operation_count = sizeof peer_operations / sizeof peer_operations[0];

struct client {
    natsSubscription *acknowledgements;
    char inbox[REPLY_MAX / 2];
    uint64_t *tokens;     /* by slot; the slot is the reply subject's last word */
    uint32_t *free_slots; /* a stack */
    uint32_t free_count;
};

struct peer_clients {
    const struct peer_plan *plan;
    peer_done *done;
    void *context;
    struct client *clients;
    struct nats_links links;
};

int peer_start(struct peer_clients *c, uint32_t client, const char *key, const void *value,
               size_t size, uint64_t token, struct failure *failure)
{
    struct client *one = &c->clients[client];
    char subject[SUBJECT_MAX];
    char reply[REPLY_MAX];
    uint32_t slot = one->free_slots[one->free_count - 1];
    snprintf(subject, sizeof subject, "%s%s", nats_stream_prefix(c->plan), key);
    snprintf(reply, sizeof reply, "%s.%" PRIu32, one->inbox, slot);
    natsStatus status = natsConnection_PublishRequest(c->links.links[client].connection, subject,
                                                      reply, value, (int)size);
    if (status != NATS_OK) {
        return nats_fail(failure, status, "cannot publish");
    }
    one->free_count--;
    one->tokens[slot] = token;
    return ERR_OK;
}

static int take_acknowledgement(struct peer_clients *c, uint32_t client, const natsMsg *message,
                                struct failure *failure)
{
    struct client *one = &c->clients[client];
    const char *text = natsMsg_GetData(message);
    int length = natsMsg_GetDataLength(message);
    if (length <= 0 || memmem(text, (size_t)length, "\"error\"", 7) ||
        !memmem(text, (size_t)length, "\"seq\"", 5)) {
        return failure_set(failure, ERR_IO, "the server refused a message: %.*s",
                           length > 0 ? length : 0, text);
    }
    const char *dot = strrchr(natsMsg_GetSubject(message), '.');
    unsigned long slot = dot ? strtoul(dot + 1, NULL, 10) : c->plan->depth;
    if (slot >= c->plan->depth || one->free_count >= c->plan->depth) {
        return failure_set(failure, ERR_IO, "an acknowledgement of nothing that was sent");
    }
    one->free_slots[one->free_count++] = (uint32_t)slot;
    c->done(c->context, client, one->tokens[slot]);
    return ERR_OK;
}

static int take(struct peer_clients *c, uint32_t client, struct failure *failure)
{
    int waiting = 0;
    int err = ERR_OK;
    natsSubscription *acknowledgements = c->clients[client].acknowledgements;
    natsStatus status = natsSubscription_GetPending(acknowledgements, &waiting, NULL);
    while (status == NATS_OK && waiting-- > 0 && !err) {
        natsMsg *message = NULL;
        status = natsSubscription_NextMsg(&message, acknowledgements, 1);
        if (status == NATS_OK) {
            err = take_acknowledgement(c, client, message, failure);
            natsMsg_Destroy(message);
        }
    }
    return err                 ? err
           : status != NATS_OK ? nats_fail(failure, status, "an acknowledgement")
                               : ERR_OK;
}

int peer_poll(struct peer_clients *c, uint64_t timeout_ns, struct failure *failure)
{
    uint32_t ready[POLL_SET_EVENTS];
    uint32_t count = 0;
    int err = nats_links_turn(&c->links, timeout_ns, ready, &count, failure);
    for (uint32_t i = 0; i < count && !err; i++) {
        err = take(c, ready[i], failure);
    }
    return err ? err : nats_links_send(&c->links, failure);
}

static int open_client(struct peer_clients *c, uint32_t index, struct failure *failure)
{
    struct client *one = &c->clients[index];
    uint32_t depth = c->plan->depth;
    one->tokens = calloc(depth, sizeof *one->tokens);
    one->free_slots = calloc(depth, sizeof *one->free_slots);
    if (!one->tokens || !one->free_slots) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    for (one->free_count = 0; one->free_count < depth; one->free_count++) {
        one->free_slots[one->free_count] = one->free_count;
    }
    natsInbox *inbox = NULL;
    natsStatus status = natsInbox_Create(&inbox);
    if (status != NATS_OK) {
        return nats_fail(failure, status, "cannot make an inbox");
    }
    snprintf(one->inbox, sizeof one->inbox, "%s", inbox);
    natsInbox_Destroy(inbox);
    char subject[REPLY_MAX];
    snprintf(subject, sizeof subject, "%s.*", one->inbox);
    status = natsConnection_SubscribeSync(&one->acknowledgements, c->links.links[index].connection,
                                          subject);
    if (status == NATS_OK) {
        status = natsSubscription_SetPendingLimits(one->acknowledgements, -1, -1);
    }
    return status == NATS_OK ? ERR_OK : nats_fail(failure, status, "cannot subscribe");
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
    c->clients = calloc(plan->clients, sizeof *c->clients);
    int err = c->clients ? nats_stream_make(plan, failure)
                         : failure_set(failure, ERR_NO_MEMORY, "out of memory");
    if (!err) {
        err = nats_links_open(&c->links, plan->address, plan->clients, failure);
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
        natsSubscription_Destroy(c->clients[i].acknowledgements);
        free(c->clients[i].tokens);
        free(c->clients[i].free_slots);
    }
    nats_links_close(&c->links);
    free(c->clients);
    free(c);
}
