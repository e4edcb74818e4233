/*
 * outbox.h - requests on their way into messages, and back to the application.
 * Requests are appended to the last message for as long as it has room, so that
 * many small ones share a message while the server's window is full. A message
 * stays until it is answered, so that it can be sent again. Pure: no socket.
 *
 *   first ... | unsent ... last        answered: taken from the front
 *   sent      | queued                 rewound: all queued again
 *
 * 1. Ids rise from request to request and from message to message.
 * 2. A message never exceeds message_size_max; one that holds more than one
 *    request never exceeds OUTBOX_MESSAGE_SIZE; one never holds more mutations
 *    than SESSION_MESSAGE_MUTATIONS.
 * 3. All messages together never exceed OUTBOX_SIZE (OUTBOX_SIZE plus one
 *    message, so that a large one can always go).
 * 4. A mutation keeps the number that it was given until outbox_renumber.
 * 5. Nothing is appended to a message that has been sent.
 */
#ifndef VIGIL_CLIENT_OUTBOX_H
#define VIGIL_CLIENT_OUTBOX_H

#include "client/session.h"
#include "protocol/message.h"

enum { OUTBOX_MESSAGE_SIZE = 256 * 1024, OUTBOX_SIZE = 64 * 1024 * 1024, OUTBOX_SPARE_MAX = 8 };
/* Room for either header is kept before the requests. */
enum { OUTBOX_HEADER_SIZE = REQUEST_MESSAGE_HEADER_SIZE + 8 };

struct outbox_message {
    struct outbox_message *next;
    struct wire_buffer buffer; /* OUTBOX_HEADER_SIZE bytes, then the requests */
    uint64_t first_id;
    uint64_t first_number; /* of its mutations; 0: none has been given */
    uint32_t flags;
    uint16_t count;
    uint16_t mutations;
    bool doubtful; /* it was sent before and not answered: it may have been applied already */
};

struct outbox {
    struct outbox_message *first;
    struct outbox_message *unsent;
    struct outbox_message *last;
    uint32_t sent_count;
    struct outbox_message *spare; /* with their buffers, for reuse */
    size_t spare_count;
    size_t size_bytes; /* of all */
    uint32_t message_size_max;
    /* the request that is being written */
    size_t request_at;
    size_t message_size_before;
    bool opened; /* a message was opened for it */
};

void outbox_init(struct outbox *o);
void outbox_free(struct outbox *o);
/* Drops everything. */
void outbox_clear(struct outbox *o);

/* Starts a request whose body will have body_size bytes; message_flags separate it from requests
 * with others. The body is then written to *ret_buffer. ERR_OK, ERR_TOO_LARGE, ERR_BUSY
 * (OUTBOX_SIZE), ERR_NO_MEMORY. */
int outbox_begin(struct outbox *o, const struct request_header *header, uint32_t message_flags,
                 size_t body_size, struct wire_buffer **ret_buffer);
/* ERR_OK, or ERR_NO_MEMORY: the request was taken back. */
int outbox_end(struct outbox *o);

/* The message as it is to be sent, within the session if that is open: then its mutations get the
 * next numbers, if they have none yet. */
struct bytes outbox_stamp(struct outbox_message *m, struct client_session *s);
/* The first unsent message has been sent. */
void outbox_sent(struct outbox *o);
/* The last so many that were sent have certainly not left. */
void outbox_refused(struct outbox *o, uint32_t count);
/* The first message, which was sent, has been answered. */
void outbox_answered(struct outbox *o);
/* The number of the oldest mutation here that has one; 0: none has. */
uint64_t outbox_oldest_number(const struct outbox *o);
/* The number of the message's request with this id; 0: none. */
uint64_t outbox_number_of(const struct outbox_message *m, uint64_t id);
/* True if a mutation was sent outside of a session and is not answered. */
bool outbox_has_unnumbered_sent(const struct outbox *o);

struct outbox_request {
    uint8_t op;
    uint64_t id;
    uint64_t number;
    bool was_sent; /* now or before, and not answered */
    bool doubtful; /* before */
};
typedef bool outbox_keeps(void *context, const struct outbox_request *request);

/* What was sent is to be sent again: all that keeps says yes to. Requests of which it says no are
 * gone. */
void outbox_rewind(struct outbox *o, outbox_keeps *keeps, void *context);
/* Nothing has been sent: the mutations left here will get new numbers. After a rewind. */
void outbox_renumber(struct outbox *o);
/* Takes those unsent messages out for which each says yes. */
void outbox_take_out(struct outbox *o, bool (*takes)(void *context, const struct outbox_message *m),
                     void *context);
/* The ids of a message's requests, one after another: from *at, which starts as 0. False: no more. */
bool outbox_next_id(const struct outbox_message *m, size_t *at, uint64_t *ret_id);

#endif
