/*
 * atomic.h - one vigil_atomically: what its function has read and written, and the turn that it may
 * need.
 *
 *   run the function: reads are fetched once and kept, writes are kept
 *        -> one transaction: nothing that was read has changed? then the writes
 *                            else what was read, as it is now
 *        -> it failed: run the function again over the fresh values
 *        -> it fails again and again: queue up for a turn (server/core/turns.h), then as before
 *
 *   atomic.c          the tries
 *   atomic_handle.c   what the function calls
 *   atomic_commit.c   the transaction, and what a failed one brings
 *   atomic_turn.c     queueing up
 *
 * 1. What is used in a run was read from one history (epoch), and every one of it is compared.
 * 2. What the function has been given stays in memory until it returns.
 */
#ifndef VIGIL_CLIENT_ATOMIC_H
#define VIGIL_CLIENT_ATOMIC_H

#include "client/atomic_set.h"
#include "client/connection.h"

/* All that was there under a prefix, at a seq. */
struct atomic_listing {
    struct atomic_listing *next;
    uint64_t seq;
    bool is_used;
    struct atomic_set rows;
    struct bytes prefix; /* text */
    char text[LIMIT_KEY_SIZE + 1];
};

struct vigil_atomic {
    struct vigil *v;
    vigil_txn *txn;
    uint64_t epoch; /* of what has been read */
    uint32_t run;
    int error; /* sticks, for a run */

    struct atomic_set reads;
    struct atomic_listing *listings;
    struct atomic_set writes;
    struct atomic_item *replaced; /* writes that the function may still look at */
    bool reads_anew; /* what is read does not fit a reply: a failed transaction brings nothing */

    /* where it met conflicts: the turn is for these */
    struct pattern conflicts[LIMIT_FILTER_PATTERNS];
    char conflict_texts[LIMIT_FILTER_PATTERNS][LIMIT_KEY_SIZE];
    size_t conflict_count;
    size_t turn_count; /* how many of them the place is for; 0: there is no place */
    int64_t turn_ends_ms;
};

/* ---- atomic_handle.c ---- */
/* Forgets what a run has written, and which reads it used. */
void atomic_begin_run(struct vigil_atomic *a);
void atomic_forget_reads(struct vigil_atomic *a);
void atomic_listing_free(struct atomic_listing *listing);

/* ---- atomic_commit.c ---- */
enum atomic_outcome {
    ATOMIC_DONE,
    ATOMIC_CHANGED, /* something that was read has changed */
    ATOMIC_WAIT,    /* it is another client's turn */
    ATOMIC_FAILED   /* *ret_error */
};
enum atomic_outcome atomic_commit(struct vigil_atomic *a, uint64_t *ret_seq, int *ret_error);

/* ---- atomic_turn.c ---- */
/* Remembers that a conflict was there, if there is room. */
void atomic_note_conflict(struct vigil_atomic *a, uint8_t kind, struct bytes text);
/* The place is for all conflicts so far, and it is this connection's turn. */
bool atomic_has_turn(const struct vigil_atomic *a);
/* Queues up and waits for the turn, until deadline. ERR_OK (also where the server gives no turns: then
 * a moment has passed), ERR_CONFLICT (the time is over), errors of a request. */
int atomic_take_turn(struct vigil_atomic *a, int64_t deadline);
/* For a moment. */
void atomic_pause(struct vigil_atomic *a);
/* Gives the place up, if there is one; does not wait for the server. */
void atomic_leave_turn(struct vigil_atomic *a);

#endif
