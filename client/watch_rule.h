/*
 * watch_rule.h - the watcher's whole rule, without sockets: what to do with
 * each thing that comes, so that every matching record is handed out once and
 * in order. Pure: time comes in as now_ms.
 *
 *               opened               p reached the head
 *   CLOSED --> OPENING --> REPLAYING ------------------> LIVE
 *     ^           |           ^  |  gap, notice           |
 *     |  failed   |           +--|-------------------------
 *     +-----------+--------------+-------------------------+  new incarnation, silence,
 *     |                                                       stream unknown, connection lost
 *     +--> ENDED: another epoch, a position ahead, compacted, damage
 *
 * With position p:
 *   record (seq, prev)   seq <= p: skip; prev <= p: hand out, p = seq; else a gap
 *   bookmark (head, last) last <= p: p = max(p, head); else a gap
 *   gap                  ask for records after p, until p reaches the head that a reply names
 *
 * 1. position never falls, and moves to seq only when everything that matches
 *    up to seq has been handed out.
 * 2. While REPLAYING the live stream is left unread.
 * 3. A replay's reply is taken only if it answers the request in hand.
 * 4. COMPACTED is decided by replay alone.
 */
#ifndef VIGIL_CLIENT_WATCH_RULE_H
#define VIGIL_CLIENT_WATCH_RULE_H

#include <stdbool.h>
#include <stdint.h>
#include <vigil.h>

#include "protocol/stream_message.h"

enum watch_state { WATCH_CLOSED, WATCH_OPENING, WATCH_REPLAYING, WATCH_LIVE, WATCH_ENDED };

enum {
    WATCH_OPEN_MS = 3000,   /* for the reply to an open request */
    WATCH_REPLAY_MS = 3000, /* for the reply to a replay request, before it is asked again */
    WATCH_REPLAY_TRIES =
        2, /* then the stream is opened again, which tells whether the server lives */
    WATCH_CONFIRM_MS = 2000, /* for the first message of a stream that was just subscribed to */
    WATCH_CONFIRM_TRIES = 2, /* then the stream counts as lost, although the server answers */
    WATCH_SILENCE_MS = 3000, /* at least, before missing bookmarks count */
    WATCH_SILENCE_INTERVALS = 3,
    WATCH_BACKOFF_FIRST_MS = 50,
    WATCH_BACKOFF_MOST_MS = 2000
};

struct watch_rule {
    enum watch_state state;
    enum vigil_since since;
    bool no_reconnect;
    int error; /* ENDED: why */
    int say;   /* an error to be told once, while it goes on */
    bool down; /* the loss has been told, and the stream was not open since */

    bool positioned; /* position means something: always, once the stream was open */
    bool
        settled; /* something was handed out, or the head was reached: nothing may be skipped any more */
    uint64_t epoch;
    uint64_t server_epoch; /* as seen last */
    uint64_t incarnation;
    uint64_t position;
    uint64_t head;
    uint64_t oldest;

    int64_t due_ms; /* CLOSED: open then. OPENING: the reply is due. LIVE: a message is due */
    int64_t opened_ms;
    uint32_t backoff_ms;
    uint64_t random;
    bool confirmed;   /* LIVE: a message came, so the subscription is there */
    uint32_t unheard; /* openings in a row after which no message came */
    uint32_t interval_ms;

    bool asked;           /* a replay request is in hand */
    bool arrived;         /* its reply is there, but not taken yet */
    bool chunk;           /* a reply was taken, its records are being handed out */
    uint64_t asked_after; /* of the request in hand */
    uint64_t chunk_to;
    uint64_t fetched;      /* replies up to here were taken */
    uint64_t replay_head;  /* as of the last one */
    int64_t replay_due_ms; /* asked: the reply is due. Otherwise: ask then */
    uint32_t replay_tries;
    uint32_t bad_chunks; /* in a row */

    uint64_t gaps;
    uint64_t reopened;
};

/* What another try can mend: the server stops, or has no room at the moment. */
bool watch_rule_is_passing(int code);

struct watch_opened {
    uint64_t epoch;
    uint64_t incarnation;
    uint64_t head;
    uint64_t oldest;
    uint32_t interval_ms;
};

enum watch_verdict {
    WATCH_SKIP,
    WATCH_DELIVER,
    WATCH_BREAK, /* the state has changed: drop the rest of the message */
    WATCH_MOVED  /* bookmark: the position has moved */
};

/* position counts for VIGIL_SINCE_POSITION. seed: for jitter. */
void watch_rule_init(struct watch_rule *w, enum vigil_since since, vigil_position position,
                     bool no_reconnect, uint64_t seed, int64_t now_ms);

/* ---- opening ---- */
static inline bool watch_rule_wants_open(const struct watch_rule *w, int64_t now_ms)
{
    return w->state == WATCH_CLOSED && now_ms >= w->due_ms;
}
void watch_rule_asked_open(struct watch_rule *w, int64_t now_ms);
void watch_rule_opened(struct watch_rule *w, int64_t now_ms, const struct watch_opened *o);
/* code: the reply's status, or DISCONNECTED. */
void watch_rule_open_failed(struct watch_rule *w, int64_t now_ms, int code);
/* The server no longer knows the stream. */
void watch_rule_stream_gone(struct watch_rule *w, int64_t now_ms);
/* It cannot be subscribed to: code is told once, and it is tried again. */
void watch_rule_not_subscribed(struct watch_rule *w, int64_t now_ms, int code);
/* The watch ends for a reason outside of the rule; what it still holds is not handed out. */
void watch_rule_end(struct watch_rule *w, int code);
/* The connection is lost. */
void watch_rule_lost(struct watch_rule *w, int64_t now_ms);

/* ---- live ---- */
/* For each message first: is it of this stream as it was opened? */
bool watch_rule_heard(struct watch_rule *w, int64_t now_ms, uint64_t epoch, uint64_t incarnation);
/* DELIVER: hand it out, then call watch_rule_delivered. */
enum watch_verdict watch_rule_record(struct watch_rule *w, int64_t now_ms, uint64_t prev,
                                     uint64_t seq);
enum watch_verdict watch_rule_notice(struct watch_rule *w, int64_t now_ms, uint64_t prev,
                                     uint64_t seq);
enum watch_verdict watch_rule_bookmark(struct watch_rule *w, int64_t now_ms,
                                       const struct stream_bookmark *b);
/* A message that could not be read. */
void watch_rule_garbled(struct watch_rule *w, int64_t now_ms);
/* The record with seq is in the application's hands. */
void watch_rule_delivered(struct watch_rule *w, uint64_t seq);

/* ---- replay ---- */
/* One request ahead of what is being handed out, so that the server is at work meanwhile. */
bool watch_rule_wants_replay(const struct watch_rule *w, int64_t now_ms, uint64_t *ret_after);
void watch_rule_asked_replay(struct watch_rule *w, int64_t now_ms, uint64_t after);
/* The reply to the request in hand is due then: the request has been standing in line. */
void watch_rule_replay_due(struct watch_rule *w, int64_t due_ms);
/* It could not be asked just now. */
void watch_rule_replay_later(struct watch_rule *w, int64_t now_ms, int64_t delay_ms);
/* The reply is there; it is taken once the chunk before it has been handed out. */
void watch_rule_replay_arrived(struct watch_rule *w);
/* True: its records are to be handed out, each after watch_rule_replay_record; then chunk_done. */
bool watch_rule_replay_taken(struct watch_rule *w, int64_t now_ms, const struct watch_opened *o,
                             uint64_t from, uint64_t to);
enum watch_verdict watch_rule_replay_record(struct watch_rule *w, uint64_t seq);
/* A record in the chunk is damaged: what was handed out before it counts. */
void watch_rule_chunk_bad(struct watch_rule *w, int64_t now_ms, int code);
/* Returns true if the position moved. */
bool watch_rule_chunk_done(struct watch_rule *w, int64_t now_ms);
/* code: the reply's status, DISCONNECTED, or what was wrong with the reply; o: its header, or NULL.
 */
void watch_rule_replay_failed(struct watch_rule *w, int64_t now_ms, int code,
                              const struct watch_opened *o);

/* A record to be handed out cannot be completed: it is dropped, and comes again unless this is the
 * end. */
void watch_rule_record_failed(struct watch_rule *w, int64_t now_ms, int code);

/* ---- time ---- */
/* Only when nothing that has come is left unread. */
void watch_rule_tick(struct watch_rule *w, int64_t now_ms);
/* When the next tick or action is due. */
int64_t watch_rule_due_ms(const struct watch_rule *w);
/* The error to tell now, or ERR_OK. */
int watch_rule_take_error(struct watch_rule *w);

#endif
