/*
 * replay_channel.h - the replay socket of a connection, shared by its watches,
 * listings and histories. Opened when first needed.
 *
 * 1. A reply reaches the call that it answers, by id; any other is dropped.
 * 2. A call has at most one message under way, with one request or several.
 * 3. At most REPLAY_SENT_MAX messages are at the server: it drops a reply for which it finds no
 *    room. The other calls stand in line here, and the first of them goes out as a reply comes.
 */
#ifndef VIGIL_CLIENT_REPLAY_CHANNEL_H
#define VIGIL_CLIENT_REPLAY_CHANNEL_H

#include <stdbool.h>
#include <zmq.h>

#include "protocol/message.h"

struct vigil;
struct descriptor;

enum { REPLAY_SENT_MAX = LIMIT_REPLAY_WINDOW_MESSAGES };

enum replay_call_state { REPLAY_IDLE, REPLAY_QUEUED, REPLAY_SENT, REPLAY_ARRIVED };

struct replay_call {
    struct replay_call *next;
    enum replay_call_state state;
    uint64_t id;
    uint16_t count;                /* requests; their ids are id, id + 1, ... */
    struct descriptor *descriptor; /* signalled when it arrives; may be NULL */
    int64_t sent_ms;               /* SENT: when, on now_ms */
    /* ARRIVED: */
    int error; /* the first reply's status, or DISCONNECTED: then there is no reply */
    struct reply_message_header message;
    struct reply_header header; /* of the first reply */
    struct wire_reader body;    /* likewise */
    struct wire_reader rest;    /* the other replies; none if the whole message was refused */
    zmq_msg_t frame;            /* QUEUED: the message to be sent; ARRIVED: the answer */
};

struct replay_channel {
    void *socket;
    struct replay_call *waiting; /* SENT ones, then QUEUED ones, each in the order of their calls */
    uint32_t sent_count;
    uint64_t next_id;
    uint16_t count; /* requests in the buffer */
    struct wire_buffer buffer;
};

void replay_channel_init(struct replay_channel *c);
/* All calls must have ended. */
void replay_channel_free(struct vigil *v);

/* Starts a request: body is written by the caller between begin and end. */
struct wire_buffer *replay_call_begin(struct vigil *v, uint8_t op, uint8_t flags,
                                      size_t *ret_place);
/* Ends the request at *place and begins another one in the same message, whose body comes next. */
void replay_call_more(struct vigil *v, uint8_t op, uint8_t flags, size_t *place);
/* Sends it, or puts it in line. ERR_OK, ERR_NO_MEMORY, ERR_LIMIT, ERR_DISCONNECTED. */
int replay_call_end(struct vigil *v, struct replay_call *call, size_t place);
static inline bool replay_call_is_waiting(const struct replay_call *call)
{
    return call->state == REPLAY_QUEUED || call->state == REPLAY_SENT;
}
/* When the answer of a call that waits is due, on now_ms: the time in line does not count. */
int64_t replay_call_due_ms(const struct vigil *v, const struct replay_call *call,
                           int64_t patience_ms);
/* Back to IDLE, whatever it was. */
void replay_call_reset(struct vigil *v, struct replay_call *call);
/* What the server says of the error of a call that has arrived, as the connection's failure.
 * Returns the error. */
int replay_call_explain(struct vigil *v, const struct replay_call *call);
/* Sends nothing; blocks until the call has arrived, and returns its status. timeout_ms as
 * request_timeout_ms: silence for that long is DISCONNECTED, with less it may be TIMEOUT. */
int replay_call_wait(struct vigil *v, struct replay_call *call, int timeout_ms);

/* Hands out what has come. */
void replay_channel_receive(struct vigil *v);
/* The connection is lost: what waits ends as DISCONNECTED. */
void replay_channel_reset(struct vigil *v);

/* Reads a reply message with its one reply. ERR_OK, ERR_MALFORMED, ERR_VERSION. Pure. */
int replay_reply_read(struct bytes data, struct reply_message_header *ret_message,
                      struct reply_header *ret_header, struct wire_reader *ret_body);

#endif
