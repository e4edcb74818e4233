/*
 * reply_budget.c - see reply_budget.h.
 *
 * An account is shared by the table and by each message under way, and freed by
 * the last that lets go of it. An account at 0 bytes can be given to another peer.
 */
#include "server/net/reply_budget.h"

#include "server/net/zmq_socket.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { PEER_SIZE_MAX = 255 };

struct account {
    _Atomic size_t bytes; /* waiting */
    _Atomic unsigned holders;
    uint8_t peer_size;
    uint8_t peer[PEER_SIZE_MAX];
};

struct reply_budget {
    struct account *accounts[REPLY_BUDGET_PEERS];
    size_t count;
};

/* A message's body: what ZeroMQ hands back when it has let go of it. */
struct large_body {
    struct account *account;
    size_t size;
    uint8_t data[];
};

static void let_go(struct account *a)
{
    if (atomic_fetch_sub(&a->holders, 1) == 1)
        free(a);
}

static void release(void *data, void *hint)
{
    (void)data;
    struct large_body *body = hint;
    atomic_fetch_sub(&body->account->bytes, body->size);
    let_go(body->account);
    free(body);
}

int reply_budget_new(struct reply_budget **ret_budget)
{
    struct reply_budget *b = calloc(1, sizeof *b);
    if (!b)
        return ERR_NO_MEMORY;
    *ret_budget = b;
    return ERR_OK;
}

void reply_budget_free(struct reply_budget *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->count; i++)
        let_go(b->accounts[i]);
    free(b);
}

static bool is_of(const struct account *a, struct bytes peer)
{
    return a->peer_size == peer.size && memcmp(a->peer, peer.data, peer.size) == 0;
}

/* The peer's account, or a new one; NULL: too many have large replies waiting. A linear search is
 * little beside the copy of a large reply. */
static struct account *find_account(struct reply_budget *b, struct bytes peer)
{
    size_t unused = b->count;
    for (size_t i = 0; i < b->count; i++) {
        if (is_of(b->accounts[i], peer))
            return b->accounts[i];
        if (unused == b->count && atomic_load(&b->accounts[i]->bytes) == 0)
            unused = i;
    }
    if (unused == REPLY_BUDGET_PEERS || peer.size > PEER_SIZE_MAX)
        return NULL;
    struct account *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    atomic_store(&a->holders, 1);
    a->peer_size = (uint8_t)peer.size;
    memcpy(a->peer, peer.data, peer.size);
    if (unused == b->count)
        b->count++;
    else
        let_go(b->accounts[unused]);
    b->accounts[unused] = a;
    return a;
}

bool reply_budget_send(struct reply_budget *b, void *socket, struct bytes peer, struct bytes body)
{
    zmq_msg_t message;
    struct account *a = find_account(b, peer);
    if (!a) /* nobody is to suffer from what others leave waiting */
        return routed_send(socket, peer, body);
    if (atomic_load(&a->bytes) >= REPLY_BUDGET_BYTES)
        return false;
    struct large_body *large = malloc(sizeof *large + body.size);
    if (!large)
        return false;
    large->account = a;
    large->size = body.size;
    memcpy(large->data, body.data, body.size);
    if (zmq_msg_init_data(&message, large->data, body.size, release, large) != 0) {
        free(large);
        return false;
    }
    atomic_fetch_add(&a->bytes, body.size);
    atomic_fetch_add(&a->holders, 1);
    return routed_send_message(socket, peer, &message);
}
