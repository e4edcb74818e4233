/*
 * peer_inbox.h - where the bytes of request connections are received to, and lie until their batch is
 * done with.
 *
 *   shared  one large block that connections are read into one after another; whole messages are
 *           used where they lie
 *   rest    what a connection has sent of something that is not whole yet: a block of its own.
 *           A small one goes in front of what is read next, in the shared block; a large one grows
 *           until its frame is whole, and then lies in the batch as it is
 *
 * 1. What was handed out stays where it is until peer_inbox_release.
 * 2. A rest grows with what has come, not with what a header claims.
 * 3. A connection with nothing under way holds no memory.
 *
 * Core thread only; nothing is sent or received here.
 */
#ifndef VIGIL_SERVER_NET_PEER_INBOX_H
#define VIGIL_SERVER_NET_PEER_INBOX_H

#include "protocol/wire.h"

enum {
    INBOX_BLOCK = 64 * 1024, /* bytes of a shared block */
    INBOX_ROOM = 16 * 1024,  /* at least so many are free in it for a connection's next bytes */
    INBOX_LARGE = 32 * 1024  /* a frame of more is received into a block of its own */
};

struct inbox_block;

/* Of all connections. Zero it before use. */
struct peer_inbox {
    struct inbox_block *shared; /* the current one; others of the batch follow it */
    struct inbox_block *large;  /* of the batch */
    struct inbox_block *spare;
    size_t spare_count;
    size_t bytes; /* that the batch's blocks hold */
};

/* Where a connection's next bytes go: behind `have` bytes that are there already. */
struct inbox_place {
    uint8_t *data;
    size_t have;
    size_t room;
};

/* Takes over the connection's rest (*rest becomes NULL, unless it is a large one that is not whole).
 * False: out of memory, nothing has changed. */
bool peer_inbox_place(struct peer_inbox *in, struct inbox_block **rest,
                      struct inbox_place *ret_place);
/* So many bytes have been received to it, or 0. Returns what there is to be read now: nothing while a
 * large rest is not whole. */
struct bytes peer_inbox_take(struct peer_inbox *in, struct inbox_block **rest,
                             const struct inbox_place *place, size_t received);
/* Keeps what is left of what peer_inbox_take gave; wants: as zmtp_reader_wants has it. False: out of memory,
 * it is lost. */
bool peer_inbox_keep(struct inbox_block **rest, struct bytes left, uint64_t wants);
/* The batch is done with. */
void peer_inbox_release(struct peer_inbox *in);
/* All blocks, at the end. */
void peer_inbox_free(struct peer_inbox *in);
/* Of a connection that ends. */
void peer_inbox_drop(struct inbox_block *rest);

#endif
