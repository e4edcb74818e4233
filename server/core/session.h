/*
 * session.h - the sessions: who they are, how far their numbers have come, and
 * which of their rows the journal does not have yet.
 *
 *   open --commit--> live --close, commit-------------> gone --row deleted--> freed
 *        --abort---> freed  --idle too long, batch begin->
 *
 * 1. acknowledged <= last; all outcomes that are kept have numbers above
 *    acknowledged, up to last, and at most LIMIT_SESSION_WINDOW above it.
 * 2. What a batch does to numbers and outcomes is taken back by an abort;
 *    what a client has acknowledged is not: it has given up those numbers.
 *    Taking back allocates nothing and cannot fail.
 * 3. A session whose row differs from what the journal has is in one of two
 *    lists: unwritten, or (its row being in the batch at hand) written.
 * 4. Sessions are freed at the ends of batches only, and by expiry at the
 *    beginning: pointers stay valid in between.
 */
#ifndef VIGIL_SERVER_CORE_SESSION_H
#define VIGIL_SERVER_CORE_SESSION_H

#include "server/core/key_hash.h"
#include "server/core/session_outcome.h"
#include "server/core/table.h"

enum session_list { SESSION_BY_USE, SESSION_UNWRITTEN, SESSION_WRITTEN, SESSION_LISTS };

struct session_links {
    struct session *before;
    struct session *after;
};

struct session {
    uint64_t id;
    uint64_t hash;
    uint64_t acknowledged;
    uint64_t last;       /* newest number that was taken or given up */
    uint64_t stopped_at; /* number of the failure that stops what follows it; 0: none */
    uint64_t used_ms;
    struct outcomes outcomes;
    struct session_links use;
    struct session_links writing;
    enum session_list written_in; /* the list that writing belongs to; SESSION_BY_USE: none */
    /* Of the batch at hand, if that touched it. */
    struct session *next_touched;
    uint64_t batch;
    uint64_t last_before;
    uint64_t stopped_before;
    bool is_new;
    bool is_closing;
    bool is_gone; /* not in the table any more; its row is to be deleted */
    bool is_due;  /* its row is needed before the checkpoint under way is complete */
};

struct session_ends {
    struct session *first;
    struct session *last;
};

struct session_table {
    struct hash_seed seed;
    struct table table;
    struct session_ends lists[SESSION_LISTS];
    struct session *touched;
    size_t touched_rows; /* of them: opened or closed, so that their rows go with this batch */
    size_t gone;
    size_t due;         /* sessions that are */
    size_t due_written; /* of them: in the batch at hand */
    uint64_t outcomes;  /* kept, of all sessions */
    uint64_t bytes;
    bool clock_known; /* used_ms of the sessions means something */
};

void session_table_free(struct session_table *t);
size_t session_table_count(const struct session_table *t);
/* NULL: unknown, or closed by the batch at hand. */
struct session *session_find(const struct session_table *t, uint64_t id);
/* The caller knows that there is none with this id. */
int session_add(struct session_table *t, uint64_t id, uint64_t now_ms, struct session **ret);
/* Takes it out again, at once: its row was not to be understood. */
void session_forget(struct session_table *t, struct session *s);
/* Somebody names it: it does not expire. */
void session_use(struct session_table *t, struct session *s, uint64_t now_ms);
/* Makes those gone that were not used for idle_ms, at most so many. Not within a batch. */
void session_expire(struct session_table *t, uint64_t now_ms, uint64_t idle_ms, size_t most);

/* ---- numbers ---- */

/* Outcomes up to number are not needed any more, and numbers up to it never come. */
void session_acknowledge(struct session_table *t, struct session *s, uint64_t number);
/* Before the batch changes anything of it. */
void session_touch(struct session_table *t, struct session *s, uint64_t batch);
/* Takes the number of kept, which is last + 1, within the window. ERR_OK, ERR_NO_MEMORY. */
int session_take(struct session_table *t, struct session *s, const struct outcome *kept,
                 struct bytes body);
/* At start: what a record tells, in the order of the records. ERR_OK, ERR_NO_MEMORY. */
int session_restore(struct session_table *t, struct session *s, const struct outcome *kept,
                    struct bytes body);
/* Within a batch, after session_touch. */
void session_open_in_batch(struct session_table *t, struct session *s);
void session_close_in_batch(struct session_table *t, struct session *s);
void session_batch_commit(struct session_table *t);
void session_batch_abort(struct session_table *t);

/* ---- rows ---- */

/* The row of s goes with the batch at hand. */
void session_written(struct session_table *t, struct session *s);
/* That batch is durable: frees what is gone. */
void session_confirm(struct session_table *t);
/* It is not. */
void session_take_back(struct session_table *t);
/* All rows that are unwritten now are due. */
void session_mark_due(struct session_table *t);

/* session_row.c: a live session as the journal keeps it. */
void session_row_encode(const struct session *s, struct wire_buffer *row);
/* Into a session that was just added. ERR_OK, ERR_NO_MEMORY, ERR_CORRUPT. */
int session_row_decode(struct session_table *t, struct session *s, struct bytes row);

#endif
