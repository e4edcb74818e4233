/*
 * core_state.h - what struct core is made of, and the functions by which its
 * files call each other. Only server/core includes it.
 *
 *   core.c         life, restore, figures
 *   batch.c        a batch: begin, messages, replies, commit, abort
 *   apply.c        one request: dispatch, and the ops that only answer
 *   key_state.c    what a key is, and how a change becomes a record
 *   exactly_once.c session_open, session_close, and mutations within a session
 *   session_rows.c the sessions' rows, at checkpoints and at start
 *   cursors.c      cursor_open, cursor_move, cursor_delete, cursor_list
 *   cursor_rows.c  the cursors' rows, with a batch and at start
 *   cursor_hold.c  what compaction leaves for them
 *   mutate.c       put, delete, incr
 *   transaction.c  txn; txn_ops.c, txn_prefix_ops.c: its operations
 *   take_turns.c   turn, and whose turn a transaction may disturb
 *   call.c         call: a function in Lua
 *   write_set.c    what one request has changed so far, above the state
 *   write_set_scan.c the live keys with a prefix, as the request sees them
 *   prefix_scan.c  the same without what the request has changed
 *   lives.c        lease_open, lease_renew, lease_close; what ends by itself
 *   life_rows.c    the rows of lives, with a batch and at start
 *   read.c         get, get_many
 *   streams.c      stream_open, stream_renew, stream_close
 *   publish.c      records to streams
 *   bookmark.c     the tick
 *   overlay, key_order, key_gaps, undo, checkpoint, stream_table, pattern_index, lease, table, key_hash,
 *   session, session_outcome, session_row, cursor_table, turns, life, life_clock: the parts
 *
 * Threads: none of its own; a core belongs to one thread at a time.
 */
#ifndef VIGIL_SERVER_CORE_CORE_STATE_H
#define VIGIL_SERVER_CORE_CORE_STATE_H

#include "protocol/message.h"
#include "protocol/record.h"
#include "protocol/record_view.h"
#include "protocol/stream_message.h"
#include "protocol/value.h"
#include "server/core/checkpoint.h"
#include "server/core/core.h"
#include "server/core/cursor_table.h"
#include "server/core/key_gaps.h"
#include "server/core/lease.h"
#include "server/core/life.h"
#include "server/core/life_clock.h"
#include "server/core/overlay.h"
#include "server/core/session.h"
#include "server/core/stream_table.h"
#include "server/core/turns.h"
#include "server/core/undo.h"
#include "server/core/write_set.h"
#include "server/script/script.h"

enum {
    /* What a reply needs that says no more than that something failed, or where a mutation went. */
    REPLY_RESERVE = REPLY_HEADER_SIZE + 2 + LIMIT_ERROR_TEXT,
    STATUS_SIZE_MAX = 64 << 10,
    SESSION_ROW_SIZE_MAX = LIMIT_SESSION_BYTES + LIMIT_SESSION_WINDOW * 24 + 64,
    CURSOR_LIST_BYTES = 256 << 10, /* rows of one reply; one of them may go beyond it */
    CURSOR_ROW_SIZE_MAX = 64 + LIMIT_CURSOR_NAME + LIMIT_FILTER_PATTERNS * (LIMIT_KEY_SIZE + 8),
    FUNCTION_MS_MAX = 3600000,
    IDENTITY_TEXT_MAX = 255,
    IDENTITY_PORTS_MAX = 64
};

/* ---- a batch ---- */

struct reply_place {
    size_t begin; /* within replies */
    size_t size;
    size_t peer_at; /* within peers */
    uint16_t peer_size;
    uint16_t count; /* of replies */
};

struct batch {
    bool is_open;
    bool is_published; /* or there is nothing to publish */
    bool replies_lost; /* no memory was left to tell each request: one short message for all */
    uint64_t number;
    uint64_t time_us;
    uint64_t function_us; /* that its functions have taken */
    uint64_t first_seq;
    uint64_t last_seq; /* seq of the newest record, this batch's included */
    uint64_t compact_target;
    size_t requests;
    uint64_t mutations;
    uint64_t expired;           /* of its records: those that no request made */
    struct wire_buffer records; /* one after another */
    size_t *record_ends;
    size_t record_count;
    size_t record_capacity;
    uint64_t *key_hashes; /* of each change of each record, for publishing */
    size_t key_hash_count;
    size_t key_hash_capacity;
    uint8_t reply_header[REPLY_MESSAGE_HEADER_SIZE];
    struct wire_buffer replies;
    struct wire_buffer peers;
    struct reply_place *places;
    size_t place_count;
    size_t place_capacity;
};

/* One request while it is applied. */
struct request {
    struct request_header header;
    struct wire_reader body;
    struct bytes peer;
    uint32_t message_flags;
    uint64_t message_session;
    struct session *session; /* of the message; NULL: none, or not known */
    bool is_numbered;        /* a mutation within the session: its record and reply are kept */
    size_t budget;           /* bytes that its whole reply may take */
    uint32_t looked_at;      /* keys, for its prefixes: see LIMIT_PREFIX_KEYS */
    uint32_t all_looked_at;  /* for the whole message */
    uint64_t appended;       /* bytes of values: see LIMIT_APPEND_BYTES */
    uint64_t all_appended;   /* likewise */
    size_t record_room;      /* bytes that its record may take */
    const char *long_text;   /* of a function's failure; NULL: text */
    uint64_t error_seq;      /* of a CONFLICT */
    char text[LIMIT_ERROR_TEXT + 1];
};

/* ---- publishing ---- */

struct pending {
    struct wire_buffer message; /* never more than LIMIT_STREAM_MESSAGE_SIZE, never reallocated */
    struct stream *stream;
    uint16_t count;
    struct pending *next;
};

struct view_match {
    struct change_span span;
    uint32_t next; /* 1 + the number of the stream's next; 0: none */
};

struct publisher {
    uint64_t head; /* of the last completely published batch */
    uint64_t mark;
    struct stream *first_matched;
    struct stream *last_matched;
    struct view_match *matches;
    size_t match_count;
    size_t match_capacity;
    struct pending *unused;
    struct pending *first_pending;
    struct pending *last_pending;
    size_t pending_allocated;
    struct wire_buffer view;
};

struct bookmarks {
    uint64_t busy_due_ms; /* while a stream is busy */
    uint64_t credit_ms;   /* when credit was last counted */
    uint64_t credit;      /* idle bookmarks that may go out now */
};

struct core {
    struct core_source source;
    struct core_limits limits;
    uint64_t epoch;
    uint64_t incarnation;
    char server[IDENTITY_TEXT_MAX + 1];
    char stream_suffix[IDENTITY_TEXT_MAX + 1];
    char replay_suffix[IDENTITY_TEXT_MAX + 1];
    uint16_t ports[IDENTITY_PORTS_MAX][3];
    size_t ports_count;

    uint64_t head;
    uint64_t oldest;
    uint64_t applied;
    uint64_t restored; /* up to where core_restore has come */
    uint64_t time_us;  /* of the newest record */
    uint64_t now_ms;   /* the latest that anyone has told */
    uint64_t compact_target;
    uint64_t compact_held_from; /* where the last one had to stop before a cursor; 0: it did not */
    bool checkpoint_wanted;

    struct hash_seed seed;
    struct overlay *active;
    struct checkpoint checkpoint;
    struct key_gaps gaps;
    struct undo_log undo;
    struct batch batch;
    struct write_set writes;
    struct script_engine *script; /* NULL until the first call */
    struct bytes *listed;         /* keys, for a function */
    size_t listed_capacity;
    uint64_t calls, calls_failed, function_us;
    uint64_t burst_us; /* that functions have taken since all others had been read, or had time */
    uint64_t burst_end_us;   /* when it had become too much */
    struct wire_buffer made; /* the value that an operation of a transaction has made */
    struct wire_buffer status;
    struct stream_table streams;
    struct lease_table leases;
    struct session_table sessions;
    struct wire_buffer session_row;
    struct cursor_table cursors;
    struct life_table lives;
    struct life_clock life_clock;
    struct wire_buffer cursor_rows;
    struct turns turns;
    struct publisher publisher;
    struct bookmarks bookmarks;

    void (*on_status)(void *context, struct wire_buffer *map);
    void *status_context;
    uint64_t requests, mutations, records_published, stream_messages, bookmarks_sent;
    uint64_t cursors_overtaken, expired;
};

/* ---- batch.c ---- */
int batch_init(struct core *core);
void batch_free(struct batch *b);
/* After a batch and at core_checkpoint_start: freezes the active overlay if it is time to. */
void core_freeze_if_due(struct core *core);

/* ---- apply.c ---- */

/* An op writes its whole reply, or returns an error, which then becomes the
 * reply; ERR_NO_MEMORY ends the batch. */
typedef int request_op_apply(struct core *core, struct request *q);
/* Applies one request and writes its reply. ERR_OK or ERR_NO_MEMORY;
 * *ret_status: what the reply says. */
int core_apply(struct core *core, struct request *q, uint16_t *ret_status);
/* Sets the text and returns code. */
int request_fail(struct request *q, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "part number: " before the text of the error code. Returns code. */
int request_fail_at(struct request *q, int code, const char *part, unsigned number);
/* Opens the reply of an op that went well; the seq may still be corrected. */
size_t request_reply(struct core *core, const struct request *q, uint64_t seq);
void request_reply_set_seq(struct core *core, const struct request *q, size_t begin, uint64_t seq);
/* Closes it. ERR_NO_MEMORY if the reply could not be written; ERR_TOO_LARGE if
 * it is more than the budget (the caller must not have changed anything then). */
int request_reply_end(struct core *core, struct request *q, size_t begin);
/* What the request's record keeps of its reply: the body, or nothing. Valid until the next reply is
 * written. */
struct bytes request_reply_kept(const struct core *core, const struct request *q, size_t begin);
/* ERR_OK, or an error with a text that begins with what ("the key"). */
int request_check_key(struct request *q, const char *what, struct bytes key);
int request_check_value(const struct core *core, struct request *q, const char *what,
                        struct bytes value);

/* ---- key_state.c ---- */

/* What a key is: modified is its deletion's seq if it is absent (0: none known). */
struct key_state {
    bool present;
    struct key_meta meta;
    struct bytes value; /* valid until the next lookup or change */
};
static inline uint64_t core_key_hash(const struct core *core, struct bytes key)
{
    return key_hash(&core->seed, key);
}
/* ERR_OK (absent, too), or the source's error. */
int core_lookup(struct core *core, struct bytes key, uint64_t hash, struct key_state *ret_state);
/* The same for a request, whose text then names a damaged key. */
int core_lookup_for(struct core *core, struct request *q, struct bytes key, uint64_t hash,
                    struct key_state *ret_state);
/* What the key will be after op (CHANGE_PUT, CHANGE_DELETE) at seq. */
struct key_meta key_meta_after(const struct key_state *before, uint8_t op, uint64_t seq);
/* Puts it into the active overlay; in a batch so that it can be undone. ERR_OK, ERR_NO_MEMORY. */
int core_store(struct core *core, struct bytes key, uint64_t hash, const struct key_meta *meta,
               struct bytes value);

/* The next record of the batch: begin, add each change, end. */
struct record_draft {
    struct record_writer writer;
    size_t hash_count; /* before it */
};
/* result: request_reply_kept; valid until core_record_end. */
void core_record_begin(struct core *core, struct record_draft *draft, const struct request *q,
                       struct bytes result);
void core_record_add(struct core *core, struct record_draft *draft, const struct change *change,
                     uint64_t hash);
/* ERR_OK, ERR_NO_MEMORY (the batch must be aborted). */
int core_record_end(struct core *core, struct record_draft *draft);

/* ---- the ops ---- */
/* The sum of an integer value (NULL: of nothing, 0) and by, in shortest form. */
int core_add_integer(struct request *q, const char *what, const struct bytes *value, int64_t by,
                     uint8_t out[VALUE_INTEGER_SIZE_MAX], size_t *ret_size);
request_op_apply apply_put, apply_delete, apply_incr, apply_txn, apply_get, apply_get_many,
    apply_stream_open, apply_stream_renew, apply_stream_close, apply_session_open,
    apply_session_close, apply_cursor_open, apply_cursor_move, apply_cursor_delete,
    apply_cursor_list, apply_call, apply_lease_open, apply_lease_renew, apply_lease_close,
    apply_turn;

/* ---- take_turns.c ---- */

/* A transaction that is REQUEST_ATOMIC, and whose compares hold, is about to run ops: ERR_CONFLICT if
 * that would disturb another's turn; otherwise the peer's own one ends here. */
int turns_admit(struct core *core, struct request *q, struct wire_reader ops);

/* ---- call.c ---- */

/* ERR_OK; ERR_BUSY: the functions of this message have had their time. */
int call_check_time(const struct core *core, struct request *q);

/* ---- exactly_once.c ---- */

/* The session that the message names; what it acknowledges takes effect. */
void exactly_once_begin(struct core *core, struct request *q,
                        const struct request_message_header *h);
static inline bool exactly_once_applies(const struct request *q)
{
    return q->message_session != 0 && q->header.number != 0 && request_op_is_mutation(q->header.op);
}
/* In place of core_apply. abort_it: one before it in the message has failed. */
int exactly_once_apply(struct core *core, struct request *q, bool abort_it, uint16_t *ret_status);
/* At start: what a record tells about the session that it was made in. */
int exactly_once_restore(struct core *core, const struct record_header *h, const uint8_t *record);

/* ---- lives.c, life_rows.c ---- */

static inline uint64_t core_life_at(const struct core *core, uint64_t now_ms)
{
    return life_clock_at(&core->life_clock, now_ms);
}
static inline uint64_t core_life_now(const struct core *core)
{
    return core_life_at(core, core->now_ms);
}
/* Whether a key can get this life, besides others that the same request gives. ERR_OK, ERR_INVALID,
 * ERR_LIMIT, ERR_LEASE_ENDED. */
int life_check_effect(const struct core *core, struct request *q, const struct life_effect *effect,
                      size_t others);
/* After core_store at seq: what that does to the key's life. modified_before: of the key. ERR_OK,
 * ERR_NO_MEMORY (the batch must be aborted). */
int life_follow(struct core *core, struct bytes key, uint64_t hash, uint64_t modified_before,
                uint64_t seq, const struct life_effect *effect);
void life_clock_batch_end(struct life_clock *c, bool is_durable);

/* ---- cursor_hold.c ---- */

/* ERR_CONFLICT: compaction has stopped before a cursor, and this request wants it to go further. */
int compact_check_hold(struct core *core, struct request *q, uint64_t before);

/* ---- publish.c, bookmark.c ---- */
void publisher_init(struct core *core);
void publisher_free(struct publisher *p);
/* The stream had traffic: a bookmark follows. */
void bookmark_after_traffic(struct core *core, struct stream *s);
/* Within which time a bookmark follows one that is sent, or a stream that is opened, now. */
uint32_t bookmark_interval_ms(const struct core *core);

#endif
