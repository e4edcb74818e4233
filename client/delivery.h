/*
 * delivery.h - brings requests to the server and their replies back, over as
 * many connections as it takes: sends in order within the windows, opens the
 * session, takes replies, and sends again what was not answered.
 *
 *  - Mutations of a session are sent again with their numbers, and so take
 *    effect once. Outside of a session they end as DISCONNECTED when the
 *    connection is lost, and all mutations behind them.
 *  - Reads are sent again as they were; requests that nobody waits for are not.
 *  - A server that does not know the session has never applied what was sent to
 *    it over this connection alone: that moves to a new session. What was sent
 *    before ends as OUTCOME_UNKNOWN.
 *  - A reply that says "not now" (numbers missing before it, or windows full)
 *    starts a rewind: nothing more is sent until all that is under way has been
 *    answered, then everything from there on is sent again.
 */
#ifndef VIGIL_CLIENT_DELIVERY_H
#define VIGIL_CLIENT_DELIVERY_H

#include "client/connection.h"

/* A reply message in state READY. ERR_OK; ERR_MALFORMED, ERR_VERSION: the connection is of no more
 * use. */
int delivery_take_reply(struct vigil *v, struct reply_frame *frame);
/* Wakes the application if it has outcomes to receive, unless it is just doing so. */
void delivery_signal_outcomes(struct vigil *v);
/* The connection is lost; the failure has been set. What can be sent again is queued again. */
void delivery_lost(struct vigil *v);
/* Everything ends as DISCONNECTED, and is given up: no number of it will be sent again. */
void delivery_give_up(struct vigil *v);
/* Takes out what nobody waits for. Nothing may be under way. */
void delivery_drop_abandoned(struct vigil *v);
/* Hello has named the server's epoch. */
void delivery_greeted(struct vigil *v, uint64_t epoch);
/* The server owes a reply. */
bool delivery_expects_reply(const struct vigil *v);
/* Everything under way can be sent again. */
bool delivery_may_repeat(const struct vigil *v);
/* The handle is being closed: the server may forget the session. Best effort. */
void delivery_close_session(struct vigil *v);

#endif
