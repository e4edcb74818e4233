/*
 * replay_trip.h - a question over the replay socket whose answer is waited for,
 * also beyond a lost connection: the library connects again and asks once more,
 * for as long as the call may take. Reads are harmless to repeat, and name their
 * epoch where it matters.
 */
#ifndef VIGIL_CLIENT_REPLAY_TRIP_H
#define VIGIL_CLIENT_REPLAY_TRIP_H

#include "client/connection.h"

/* How long a call of several round trips may take. */
struct trip_patience {
    bool each;        /* request_timeout_ms for each trip alone */
    int64_t deadline; /* otherwise: of all of them; DEADLINE_NEVER: none */
};

/* timeout_ms of vigil_list and the like: 0: each; negative: for ever. */
struct trip_patience trip_patience_of(int timeout_ms);
/* What a trip over the request socket may take. */
int trip_timeout_ms(const struct vigil *v, const struct trip_patience *p);
/* Whether a trip over the request socket that ended with err is to be made again. */
bool trip_again(const struct trip_patience *p, int err);

struct trip_question {
    uint8_t op;
    uint8_t flags;
    void (*write)(struct wire_buffer *b, const void *context); /* the body; for each asking */
    const void *context;
};

/* Blocks. Returns the reply's status and sets the failure; the caller resets the call. */
int replay_trip(struct vigil *v, const struct trip_question *question,
                const struct trip_patience *p, struct replay_call *call);

#endif
