/*
 * session.h - the numbers under which the server knows a connection's
 * mutations, so that one that is sent again takes effect once. Pure: no socket.
 *
 *            asked            answered
 *   NONE ----------> OPENING ----------> OPEN ------> NONE    expired, or another journal
 *     ^                 |                                     (a loss of the connection does not end it)
 *     |                 v  the server cannot, or not now
 *     +------------- REFUSED: without
 *
 * 1. Numbers are given in the order of sending, without holes, and never twice.
 * 2. acknowledged never moves back, and is never beyond an unanswered number.
 * 3. A failure under stop-on-error is not acknowledged before all that had been
 *    sent when it became known has ended: until then the server aborts it.
 */
#ifndef VIGIL_CLIENT_SESSION_H
#define VIGIL_CLIENT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/message.h"

/* A message must fit into the window of a session whole. */
enum { SESSION_MESSAGE_MUTATIONS = 1024, SESSION_RETRY_MS = 1000 };

enum client_session_state { SESSION_NONE, SESSION_OPENING, SESSION_OPEN, SESSION_REFUSED };

struct client_session {
    bool off; /* the application does not want one */
    enum client_session_state state;
    uint64_t id; /* OPEN */
    uint64_t epoch;
    uint32_t window;
    uint64_t last_number;  /* given */
    uint64_t acknowledged; /* as told last */
    uint64_t stop_number;  /* what failed under stop-on-error, and is not acknowledged yet; 0 */
    uint64_t stop_until;   /* what had been given when that became known */
    int64_t retry_ms;      /* REFUSED: when to ask again */
};

void client_session_init(struct client_session *s, bool off);
/* OPENING: the reply. Anything that is no session is REFUSED, until retry_ms or the next
 * connection. */
void client_session_take_reply(struct client_session *s, const struct reply_message_header *message,
                               const struct reply_header *header, struct wire_reader body,
                               int64_t now_ms);
/* There is no session any more, or none yet. */
void client_session_forget(struct client_session *s);
/* The connection was lost: an open session stays. */
void client_session_lost(struct client_session *s);
/* True: a mutation must wait for the session to be opened. */
bool client_session_wanted(struct client_session *s, int64_t now_ms);
static inline bool client_session_is_open(const struct client_session *s)
{
    return s->state == SESSION_OPEN;
}

/* What to tell with the next message; oldest is the first number without an outcome, 0 if there is
 * none. */
uint64_t client_session_acknowledge(struct client_session *s, uint64_t oldest);
/* True if so many mutations more may be under way, after client_session_acknowledge. */
bool client_session_has_room(const struct client_session *s, uint32_t mutations);
/* A mutation of a message with stop-on-error has failed. */
void client_session_stopped(struct client_session *s, uint64_t number);

#endif
