/*
 * core_fixture.h - a core with what it needs around it: a state that is an
 * array, a journal that is a list, a clock that the test moves, and random
 * numbers from a seed.
 *
 * Usage: build a message (core_fixture_message, then request functions), then
 * run it as a batch of its own (core_fixture_run), or several messages between
 * core_fixture_begin and core_fixture_commit or _abort.
 */
#ifndef VIGIL_TESTS_SUPPORT_CORE_FIXTURE_H
#define VIGIL_TESTS_SUPPORT_CORE_FIXTURE_H

#include "protocol/message.h"
#include "protocol/record.h"
#include "protocol/stream_message.h"
#include "server/core/core.h"
#include "tests/support/fixture_cursors.h"
#include "tests/support/sample_bytes.h"

/* A list of byte strings, each a heap block of its exact size. */
struct bytes_list {
    struct bytes *items;
    size_t count;
    size_t capacity;
};
void bytes_list_add(struct bytes_list *list, struct bytes item);
void bytes_list_clear(struct bytes_list *list);

struct fixture_row {
    struct bytes key;
    struct state_row row; /* owns its value */
};

struct fixture_session {
    uint64_t session;
    struct bytes row;
};

struct core_fixture {
    struct core *core;
    struct core_limits limits;
    struct sample random;
    uint64_t epoch;
    uint64_t incarnation;
    uint64_t time_us;
    uint64_t now_ms;
    /* The journal: record i has seq journal_first + i. */
    struct bytes_list journal;
    uint64_t journal_first;
    uint64_t oldest;
    uint64_t applied;
    uint64_t batch_applied; /* of the slice in the batch at hand; 0: none */
    /* The state. Rows of the batch at hand are staged until it is committed. */
    struct fixture_row *rows;
    size_t row_count;
    size_t row_capacity;
    struct fixture_row *staged;
    size_t staged_count;
    size_t staged_capacity;
    /* The sessions' rows, likewise. An empty row: deleted. */
    struct fixture_session *sessions;
    size_t session_count;
    size_t session_capacity;
    struct fixture_session *staged_sessions;
    size_t staged_session_count;
    size_t staged_session_capacity;
    bool sessions_staged; /* those that the batch must write have been asked for */
    struct fixture_cursors cursors;
    struct fixture_cursors lives;
    char boot[BOOT_ID_SIZE]; /* of the machine whose boot clock now_ms is */
    int state_error;         /* what state_get returns instead; 0: nothing */
    uint64_t clock_us;       /* for the time of functions */
    uint64_t clock_step_us;
    size_t state_gets; /* and steps of scans */
    uint8_t seek_from[LIMIT_KEY_SIZE + 1];
    size_t seek_size;
    size_t seeks;
    /* What was emitted since core_fixture_clear_emitted. */
    struct bytes_list emitted;
    /* The message being built. */
    struct wire_buffer message;
    uint16_t message_count;
    size_t request_at;
    uint64_t next_id;
    uint64_t next_number;
    uint8_t next_flags;
    uint64_t acknowledged; /* of messages with MESSAGE_ACKNOWLEDGES */
};

void core_fixture_open(struct core_fixture *f, uint64_t seed, const struct core_limits *limits);
void core_fixture_close(struct core_fixture *f);
/* A new core on the same journal and state. */
void core_fixture_restart(struct core_fixture *f);
uint64_t core_fixture_head(const struct core_fixture *f);
/* The record at seq. */
struct bytes core_fixture_record(const struct core_fixture *f, uint64_t seq);
/* Forgets records below seq, as compaction does. */
void core_fixture_compact(struct core_fixture *f, uint64_t seq);
/* The row of a key in the state on disk, or NULL. */
const struct state_row *core_fixture_row(const struct core_fixture *f, struct bytes key);

/* ---- building a message ---- */

void core_fixture_message(struct core_fixture *f, uint32_t flags, uint64_t session);
/* Each returns the request's id. next_flags and next_number apply to one request. */
uint64_t request_put(struct core_fixture *f, const char *key, struct bytes value);
uint64_t request_put_if(struct core_fixture *f, const char *key, struct bytes value, uint8_t flags,
                        uint64_t seq, struct bytes expected);
uint64_t request_delete(struct core_fixture *f, const char *key);
uint64_t request_incr(struct core_fixture *f, const char *key, int64_t by);
uint64_t request_get(struct core_fixture *f, const char *key);
uint64_t request_open(struct core_fixture *f, const struct pattern *patterns, size_t count);
uint64_t request_plain(struct core_fixture *f, uint8_t op); /* ping, status */
/* Any op: begin, write the body to f->message, end. */
uint64_t request_start(struct core_fixture *f, uint8_t op);
void request_finish(struct core_fixture *f);
struct bytes core_fixture_message_bytes(struct core_fixture *f);

/* ---- running it ---- */

void core_fixture_begin(struct core_fixture *f);
/* core_request with the message that was built. */
void core_fixture_send(struct core_fixture *f, const char *peer);
void core_fixture_send_bytes(struct core_fixture *f, const char *peer, struct bytes message);
/* At most rows_max rows of a checkpoint, and of sessions, go with the batch. */
void core_fixture_slice(struct core_fixture *f, uint32_t rows_max);
/* The rows of the slices do not become durable: their commit failed. */
void core_fixture_drop_staged(struct core_fixture *f);
/* Takes the records into the journal, commits, publishes. */
void core_fixture_commit(struct core_fixture *f);
void core_fixture_abort(struct core_fixture *f, int code, const char *text);
/* begin, send, commit. */
void core_fixture_run(struct core_fixture *f, const char *peer);
/* Moves the clock and ticks. Returns what core_tick returned. */
uint32_t core_fixture_tick(struct core_fixture *f, uint64_t ms);
void core_fixture_clear_emitted(struct core_fixture *f);

/* ---- looking at replies ---- */

struct parsed_reply {
    struct reply_message_header message;
    struct reply_header header;
    struct wire_reader body;
    char text[LIMIT_SCRIPT_ERROR_TEXT + 1]; /* of an error */
};
/* Request number r of message number m of the batch. */
struct parsed_reply core_fixture_reply(const struct core_fixture *f, size_t m, size_t r);
/* Runs the message of one request as a batch and returns its reply. */
struct parsed_reply core_fixture_ask(struct core_fixture *f, const char *peer);
struct reply_get core_fixture_get(struct core_fixture *f, const char *key);

/* ---- values ---- */

/* MessagePack of a small integer (0..127); of a text; valid until the fourth call after. */
struct bytes value_number(uint8_t n);
struct bytes value_text(const char *text);
/* A binary value of exactly size bytes (at least 5), filled from seed. The caller frees data. */
struct bytes value_blob(size_t size, uint32_t seed);

#endif
