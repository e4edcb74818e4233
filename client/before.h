/*
 * before.h - the previous values of a watch's changes: from what the watch has
 * seen itself (value_memory.h), otherwise from the record at prev_seq, which
 * the server is asked for.
 *
 *            known                        handed_out
 *   IDLE ---------------------------+  +------------> HANDED --+
 *    ^ |  begin                     v  |                       | absorb, at the
 *    | +---------> ASKING --------> DONE                       | next call
 *    |  cancel        |                                        |
 *    +----------------+<---------------------------------------+
 *
 * 1. A record is handed out with all of its previous values, or not yet.
 * 2. The memory changes only in absorb: what points into it is valid as long as
 *    the event that shows it.
 * 3. One message is under way at most, with BATCH_MAX requests: the server holds
 *    few replies for a client, and answers of a message what fits into a reply.
 * 4. The previous values of one record that came from the server take BYTES_MAX,
 *    and one reply; those beyond are UNKNOWN.
 */
#ifndef VIGIL_CLIENT_BEFORE_H
#define VIGIL_CLIENT_BEFORE_H

#include <vigil.h>

#include "client/replay_channel.h"

struct before;
struct descriptor;

enum {
    BEFORE_BATCH_MAX = 256, /* with the longest keys within the server's limit for a message */
    BEFORE_BYTES_MAX = 256 << 20,
    BEFORE_MEMORY_DEFAULT = 16 << 20,
    BEFORE_REPLY_MS = 3000, /* for a reply, before it is asked again */
    BEFORE_TRIES = 2
};

enum before_state {
    BEFORE_DONE,   /* every change has its before */
    BEFORE_ASKING, /* drive again when something has come, or at before_due_ms */
    BEFORE_FAILED  /* given up: *ret_error; idle again */
};

/* memory_bytes 0: the default. ERR_OK, ERR_NO_MEMORY. */
int before_new(struct vigil *v, size_t memory_bytes, struct before **ret_before);
void before_free(struct before *b);
/* Another history follows. */
void before_reset(struct before *b);

/* Starts with a record that is about to be handed out, whose changes stay where they are until it
 * is or until cancel. oldest: of the journal, as far as is known. */
enum before_state before_begin(struct before *b, const vigil_record *record, vigil_change *changes,
                               uint64_t oldest, int *ret_error);
/* Goes on, without waiting. */
enum before_state before_drive(struct before *b, int *ret_error);
bool before_is_asking(const struct before *b);
/* The record is not to be handed out after all. Nothing if none is being asked for. */
void before_cancel(struct before *b);
/* After DONE. */
void before_handed_out(struct before *b);
/* Takes what was handed out into the memory; nothing if nothing was. */
void before_absorb(struct before *b);

/* ASKING: when, on the connection's clock, it wants to be driven though nothing has come. */
int64_t before_due_ms(const struct before *b);
/* Signalled when a reply comes. */
void before_set_descriptor(struct before *b, struct descriptor *descriptor);
/* Requests that were made. */
uint64_t before_asked(const struct before *b);

#endif
