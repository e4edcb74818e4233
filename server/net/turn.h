/*
 * turn.h - one turn of the core thread: what waits is gathered into a batch,
 * applied, committed in one journal transaction, published and answered.
 *
 *   gather -> apply -> [begin, append, checkpoint slice, compact, commit]
 *          -> publish -> reply
 *
 * 1. Nothing is published or acknowledged before its commit succeeded.
 * 2. A batch without records, rows of sessions and background work takes no
 *    transaction.
 * 3. Where the disk is full, mutations are refused and everything else is
 *    answered; compaction goes on with what the journal keeps in reserve.
 * 4. Keys whose end has come go with the batch, at most a tick later; where that
 *    cannot be committed, they are tried again.
 * 5. Checkpoints and compaction go in steps that grow with the batch they ride
 *    on, or in small ones of their own while nothing else is to be done.
 *
 * Core thread only.
 */
#ifndef VIGIL_SERVER_NET_TURN_H
#define VIGIL_SERVER_NET_TURN_H

#include "journal/journal.h"
#include "server/core/core.h"
#include "server/net/histogram.h"
#include "server/net/patience.h"
#include "server/net/peers.h"
#include "server/net/sync_thread.h"

struct turn_figures {
    uint64_t messages;
    uint64_t malformed; /* messages with surplus frames */
    uint64_t commits;
    uint64_t failed_commits;
    uint64_t replies_dropped;
    uint64_t overloads; /* turns that left requests waiting, because the batch was full */
    struct histogram batch_records;
    struct histogram commit_us;
};

struct turn {
    struct journal *journal;
    struct core *core;
    struct peers *peers; /* whom requests come from */
    void *streams;       /* XPUB */
    struct journal_retention retention;
    struct journal_hold hold; /* its limits, all 0: cursors are not waited for */

    struct peer_message *batch; /* LIMIT_BATCH_REQUESTS of them, batch_count in use */
    size_t batch_count;
    bool view_open;
    struct sync_thread *sync; /* of the journal */
    struct wire_buffer malformed_reply;
    struct patience patience; /* whether a batch waits for company */
    uint64_t incarnation;

    bool no_space;               /* the last commit found the disk full */
    bool failing;                /* the last commit failed for another reason */
    bool journal_lost;           /* the journal cannot be used any more */
    struct failure lost;         /* why */
    uint64_t applied;            /* as of the last commit */
    bool compact_more;           /* the last compaction step left something to do */
    bool compact_blocked;        /* it waits for a checkpoint */
    uint32_t reserve_rows;       /* of a slice that is written from the reserve, at most */
    bool held;                   /* it stopped before a cursor */
    bool published;              /* since the caller cleared it: bookmarks will be due */
    bool emitted;                /* likewise: something was sent on the stream socket */
    bool expire_more;            /* keys whose end has come are left */
    uint64_t compact_checked_us; /* when it was last tried */
    uint64_t background_us;      /* when background work was last done on its own */
    uint64_t mutated_us;         /* when records were last committed */
    uint64_t expire_us;          /* when keys may end again, not before */
    uint64_t now_us;             /* boot clock, of this turn */
    struct turn_figures figures;
};

/* Zero it and fill in journal, core, the sockets and the settings before. */
int turn_init(struct turn *t);
void turn_free(struct turn *t);

/* Does what peers_wait has found, at most a batch. *ret_worked: there was something. An error
 * means that the journal can no longer be used: the caller ends the server. */
int turn_run(struct turn *t, uint64_t now_us, bool *ret_worked, struct failure *failure);

/* Milliseconds until keys end that nobody's request makes it do; UINT32_MAX: none are in sight. */
uint32_t turn_expire_wait_ms(const struct turn *t, uint64_t now_us);

/* The state's rows, for struct core_source; context is the turn. */
int turn_state_get(void *context, struct bytes key, struct state_row *ret_row);
int turn_state_seek(void *context, struct bytes from);
int turn_state_next(void *context, struct bytes *ret_key, struct state_row *ret_row);
/* Sends a stream message, for core_publish and core_tick; context is the turn. */
void turn_emit(void *context, struct bytes message);

/* ---- commit.c ---- */

/* What may ride on a batch besides its records. */
enum {
    COMMIT_SLICE = 1,
    COMMIT_COMPACT = 2,
    COMMIT_RESERVE = 4, /* use the journal's reserve */
    COMMIT_SESSIONS = 8 /* rows of sessions, though no checkpoint needs them */
};

/* Writes the batch's records and what steps allow, in one transaction. On an
 * error nothing took effect; t->journal_lost says whether it is for good. The
 * caller tells the core how it ended. */
int commit_batch(struct turn *t, unsigned steps, bool alone, struct failure *failure);
/* Whether a step of checkpoint or compaction is wanted on its own now. */
bool commit_background_due(struct turn *t, uint64_t now_us);
/* Does it. An error means the same as in turn_run. */
int commit_background(struct turn *t, uint64_t now_us, struct failure *failure);
/* Milliseconds until commit_background_due may say yes; UINT32_MAX: nothing is in sight. */
uint32_t commit_background_wait_ms(const struct turn *t, uint64_t now_us);
/* At a clean stop: everything that the core holds goes into the state. */
int commit_checkpoint_all(struct turn *t, struct failure *failure);

#endif
