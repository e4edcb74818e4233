/*
 * core.h - the pure middle of vigild: requests in; replies, records and stream
 * messages out. No I/O, no clock, no thread, no randomness of its own: those
 * come in as arguments and through struct core_source.
 *
 * One turn of the server:
 *
 *   core_batch_begin -> core_request ... -> [records committed by the caller]
 *        -> core_batch_commit -> core_publish, core_reply_at ...
 *        or core_batch_abort  -> core_reply_at ... (errors only)
 *
 * Invariants:
 *  1. Nothing of a batch is visible outside (replies, streams) before
 *     core_batch_commit; core_batch_abort leaves the state as it was at begin.
 *  2. Each request message gets exactly one reply message, in order.
 *  3. Matching and prev are decided at publishing; a bookmark's head and last
 *     are those of the last completely published batch.
 *  4. Every table is bounded by struct core_limits; beyond it ERR_LIMIT.
 */
#ifndef VIGIL_SERVER_CORE_CORE_H
#define VIGIL_SERVER_CORE_CORE_H

#include "journal/journal.h" /* struct state_row */
#include "protocol/limits.h"
#include "protocol/wire.h"

/* What the core reads and draws from outside. */
struct core_source {
    void *context;
    /* The checkpointed row of a key: ERR_OK, ERR_NOT_FOUND, or an error that the
     * request then gets. The value stays valid until the next call. */
    int (*state_get)(void *context, struct bytes key, struct state_row *ret_row);
    /* The checkpointed rows in bytewise order of their keys, deleted ones included: seek to the
     * first whose key is not less than from (up to LIMIT_KEY_SIZE + 1 bytes), then next until
     * ERR_NOT_FOUND. state_get may come between. What next gives stays valid until the batch ends. */
    int (*state_seek)(void *context, struct bytes from);
    int (*state_next)(void *context, struct bytes *ret_key, struct state_row *ret_row);
    /* For the time that functions may take: that of the processor, as this thread has had it, for one
     * of them; a clock that does not step for those of a message. NULL: they may take any. */
    uint64_t (*processor_us)(void *context);
    uint64_t (*clock_us)(void *context);
    /* Fills size bytes with unpredictable ones (topics, sessions). */
    void (*random)(void *context, uint8_t *out, size_t size);
};

/* 0 in any field: the default of protocol/limits.h. */
struct core_limits {
    uint32_t value_size_max;
    uint32_t message_size_max;
    uint32_t streams_max;
    uint32_t streams_per_peer_max;
    uint32_t peers_max;
    uint32_t sessions_max;
    uint32_t cursors_max;
    uint32_t lives_max;
    uint32_t leases_max;
    uint64_t session_idle_ms;
    /* Of one function. */
    uint64_t function_steps;
    uint64_t function_ms;     /* at most an hour */
    uint64_t function_memory; /* bytes */
    /* When the overlay is frozen and written to the state. */
    uint32_t checkpoint_keys;    /* default 131072 */
    uint64_t checkpoint_bytes;   /* of keys and values; default 32 MiB */
    uint64_t checkpoint_records; /* records since applied; default 300000 */
};

/* What hello tells besides the limits; texts are copied. */
struct core_identity {
    uint64_t epoch;
    uint64_t incarnation;
    const char *server;        /* "vigild 0.1.0" */
    const char *stream_suffix; /* ".stream" */
    const char *replay_suffix;
    const uint16_t (*ports)[3]; /* port, stream port, replay port */
    size_t ports_count;
};

struct core;

/* head, oldest, applied as the journal has them. ERR_OK, ERR_NO_MEMORY. */
int core_new(const struct core_source *source, const struct core_limits *limits,
             const struct core_identity *identity, uint64_t head, uint64_t oldest, uint64_t applied,
             struct core **ret_core);
void core_free(struct core *core);
/* At start: the effect of each record after applied, in order. Of one up to applied only the time
 * is taken: hand over the one at head, too, so that time does not fall. ERR_OK, ERR_NO_MEMORY,
 * ERR_CORRUPT, ERR_FOREIGN, or state_get's error. */
int core_restore(struct core *core, struct bytes record);
/* A named cursor's row. ERR_OK, ERR_NO_MEMORY, ERR_CORRUPT (the cursor is then not there). */
int core_restore_cursor(struct core *core, struct bytes name, struct bytes row);
/* Before all records: a session's row. ERR_OK, ERR_NO_MEMORY, ERR_CORRUPT (the session then stays
 * unknown). */
int core_restore_session(struct core *core, uint64_t session, struct bytes row);

/* The rows of lives, in the order of their names. ERR_OK, ERR_NO_MEMORY, ERR_CORRUPT (it is then not
 * known). */
int core_restore_life(struct core *core, struct bytes name, struct bytes row);
/* After them: what ends by itself counts on. boot: this run of the machine, as journal_boot_id names
 * it; now_ms: its boot clock, as core_batch_begin gets it. */
void core_life_start(struct core *core, const char boot[BOOT_ID_SIZE], uint64_t now_ms);

/* ---- a batch ---- */

/* time_us: wall clock for the records (the core keeps it from falling); now_ms: the boot clock, which
 * never steps. */
void core_batch_begin(struct core *core, uint64_t time_us, uint64_t now_ms);
/* The boot clock has moved on: before a request, so that nothing ends early that it asks for. */
void core_at(struct core *core, uint64_t now_ms);
/* Applies one request message; never fails for what the message holds. peer:
 * the routing id, up to 255 bytes. ERR_OK or ERR_NO_MEMORY (then: abort; also
 * what a batch gets that goes on after core_batch_full). */
int core_request(struct core *core, struct bytes peer, struct bytes message);
/* True when the batch should take no more. */
bool core_batch_full(const struct core *core);
/* True when its functions have taken so long that it should not wait for more. */
bool core_batch_is_late(const struct core *core);
/* No request waits any more that is not in the batch: functions have their time anew. */
void core_all_read(struct core *core);
/* Whether that would make a difference: functions have taken time since it was last so. */
bool core_wants_all_read(const struct core *core);
size_t core_batch_record_count(const struct core *core);
/* Whether there is anything in it that must be durable before it is committed: records, or rows of
 * sessions or cursors. */
bool core_batch_is_durable_work(const struct core *core);
/* Valid until the next core_request or core_batch_begin. */
struct bytes core_batch_record_at(const struct core *core, size_t i);
size_t core_batch_record_bytes(const struct core *core);
/* The records are durable. */
void core_batch_commit(struct core *core);
/* They are not: every request of the batch gets code and text. */
void core_batch_abort(struct core *core, int code, const char *text);
size_t core_reply_count(const struct core *core);
void core_reply_at(const struct core *core, size_t i, struct bytes *ret_peer,
                   struct bytes *ret_message); /* valid until the next begin */
/* status is answered by the caller's figures: called within core_request. */
void core_on_status(struct core *core, void (*status)(void *context, struct wire_buffer *map),
                    void *context);

/* ---- streams ---- */

/* emit gets one whole stream message; its bytes are valid during the call. */
typedef void core_emit(void *context, struct bytes message);
/* Publishes the records of the batch just committed, in seq order, coalesced per stream. Before the
 * next core_batch_begin or core_tick. */
void core_publish(struct core *core, core_emit *emit, void *context);
/* A subscription notice's topic arrived: a known one (true) is answered at the next core_tick. */
bool core_subscribed(struct core *core, struct bytes topic);
/* Bookmarks that are due, leases that ended. Not within a batch; once a turn. Returns ms until it
 * wants to be called again. */
uint32_t core_tick(struct core *core, uint64_t now_ms, core_emit *emit, void *context);

/* ---- sessions ---- */

/* Rows of sessions that go with this batch: all that it opened or closed, and of the others whose
 * row is out of date at most others_max. An empty row: delete it. Before core_checkpoint_slice of
 * the same batch, which needs them. Progress and repetition as there. */
int core_session_rows(struct core *core, uint32_t others_max,
                      int (*put)(void *context, uint64_t session, struct bytes row), void *context);
/* Sessions whose row is out of date; of them, those that have expired, whose row is to be deleted. */
size_t core_sessions_unwritten(const struct core *core);
size_t core_sessions_gone(const struct core *core);
/* About how many bytes core_session_rows would put. */
uint64_t core_session_row_bytes(const struct core *core, uint32_t others_max);

/* ---- named cursors ---- */

/* Rows of the cursors that this batch has changed, one each. An empty row: delete it. */
int core_cursor_rows(struct core *core,
                     int (*put)(void *context, struct bytes name, struct bytes row), void *context);
/* About how many bytes that puts. */
uint64_t core_cursor_row_bytes(const struct core *core);
/* The first record that a cursor still waits for; 0: there is none. */
uint64_t core_cursors_wait_from(const struct core *core);
/* Before core_set_oldest with the same: tells which cursors lose what they wait for. */
void core_cursors_overtake(struct core *core, uint64_t oldest,
                           void (*tell)(void *context, struct bytes name, uint64_t position,
                                        uint64_t lag),
                           void *context);
/* Compaction has come up to the record that core_cursors_wait_from named, and must not pass it: the
 * target is given up, and whoever asked for it is told. */
void core_compact_is_held(struct core *core, uint64_t from);
/* Whether rows of cursors that were there before are all that the batch has to make durable. */
bool core_batch_only_moves_cursors(const struct core *core);

/* ---- lives ---- */

/* Within a batch, before its requests: records for keys whose end has come, a bounded number. ERR_OK,
 * ERR_NO_MEMORY (abort; they are made another time). */
int core_expire(struct core *core);
/* Milliseconds until there is something for it to do, 0: now; UINT32_MAX: nothing is in sight. */
uint32_t core_life_wait_ms(const struct core *core, uint64_t now_ms);
/* Rows of the lives and leases that this batch has changed, one each, and of their clock now and
 * then. An empty row: delete it. */
int core_life_rows(struct core *core,
                   int (*put)(void *context, struct bytes name, struct bytes row), void *context);
/* About how many bytes that puts. */
uint64_t core_life_row_bytes(const struct core *core);
/* Milliseconds until the clock's row is wanted, with a batch of its own if there is no other; 0: now;
 * UINT32_MAX: there is nothing that has an end. */
uint32_t core_life_clock_wait_ms(const struct core *core, uint64_t now_ms);
/* It is wanted with the next batch (clean stop). */
void core_life_clock_ask(struct core *core);

/* ---- checkpoint and compaction ---- */

/* Rows to write with this batch, at most rows_max: calls put for each. Progress counts at
 * core_batch_commit (or core_checkpoint_confirm outside of a batch), and is taken back by
 * core_batch_abort. Returns put's error, if any. *ret_applied: set applied to this with the same
 * batch (0: not yet). Each call starts again at the first row that is not durable: a commit that
 * failed and is tried again within the batch must call it again, with rows_max 0 to take the rows
 * back without handing out others. */
int core_checkpoint_slice(struct core *core, uint32_t rows_max,
                          int (*put)(void *context, struct bytes key, const struct state_row *row),
                          void *context, uint64_t *ret_applied);
/* Outside of a batch: the rows of the last slice are durable. */
void core_checkpoint_confirm(struct core *core);
/* Rows waiting in a frozen overlay, and of sessions for it (0: no checkpoint under way). */
size_t core_checkpoint_pending(const struct core *core);
/* Of those in a frozen overlay: how many are to be written by now, so that all are before a sixth of
 * what the next checkpoint waits for has changed. */
size_t core_checkpoint_due(const struct core *core);
/* Starts one now, if anything changed since the last (clean stop, compaction that is blocked). */
void core_checkpoint_start(struct core *core);
/* What a compact request asked for; 0: nothing. */
uint64_t core_compact_target(const struct core *core);
/* After the journal moved: goes into replies and bookmarks. */
void core_set_oldest(struct core *core, uint64_t oldest);

/* ---- figures for status ---- */
struct core_figures {
    uint64_t head, oldest, applied;
    uint64_t streams, peers, overlay_keys, overlay_bytes;
    uint64_t sessions, session_replies, session_bytes;
    uint64_t cursors, cursors_overtaken;
    uint64_t lives, leases, expired;
    uint64_t requests, mutations, records_published, stream_messages, bookmarks;
    uint64_t calls, calls_failed, function_us;
};
void core_figures(const struct core *core, struct core_figures *ret_figures);

#endif
