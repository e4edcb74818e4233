/*
 * peer_outbox.h - what waits to be sent to one peer: frames in blocks, which are freed as they go. It
 * sends nothing itself.
 *
 * 1. Small frames share a block, a large one has its own: beside what waits, at most a block is held.
 * 2. An empty outbox holds no memory.
 */
#ifndef VIGIL_SERVER_NET_PEER_OUTBOX_H
#define VIGIL_SERVER_NET_PEER_OUTBOX_H

#include "protocol/wire.h"

#include <sys/uio.h>

struct outbox_block;

/* Zero it before use. */
struct peer_outbox {
    struct outbox_block *first;
    struct outbox_block *last;
    size_t bytes;      /* that wait */
    uint32_t messages; /* that wait; those of a block count until it has gone as a whole */
};

/* Copies a frame behind what waits, without its first `gone` bytes, which have been sent. messages: 1,
 * or 0 for a command. False: out of memory, nothing has changed. */
bool peer_outbox_add(struct peer_outbox *o, struct bytes header, struct bytes body, size_t gone,
                     uint32_t messages);
/* The first bytes that wait, as up to count pieces; returns how many. Valid until the next call. */
size_t peer_outbox_pieces(const struct peer_outbox *o, struct iovec *pieces, size_t count);
/* So many bytes have gone, at most o->bytes. */
void peer_outbox_sent(struct peer_outbox *o, size_t bytes);
void peer_outbox_free(struct peer_outbox *o);

#endif
