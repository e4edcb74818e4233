/*
 * outbox.h - requests on their way into messages. Requests are appended to the
 * last message for as long as it has room, so that many small ones share a
 * message while the server's window is full. Pure: no socket.
 *
 * 1. Ids within one message are consecutive, and rise from message to message.
 * 2. A message never exceeds message_size_max; one that holds more than one
 *    request never exceeds OUTBOX_MESSAGE_SIZE.
 * 3. All queued messages together never exceed OUTBOX_SIZE (OUTBOX_SIZE plus one
 *    message, so that a large one can always go).
 */
#ifndef VIGIL_CLIENT_OUTBOX_H
#define VIGIL_CLIENT_OUTBOX_H

#include "protocol/message.h"

enum { OUTBOX_MESSAGE_SIZE = 256 * 1024, OUTBOX_SIZE = 64 * 1024 * 1024, OUTBOX_SPARE_MAX = 8 };

struct outbox_message {
    struct outbox_message *next;
    struct wire_buffer buffer;
    uint64_t first_id;
    uint32_t flags;
    uint16_t count;
};

struct outbox {
    struct outbox_message *first;
    struct outbox_message *last;
    struct outbox_message *spare; /* with their buffers, for reuse */
    size_t spare_count;
    size_t size_bytes; /* queued */
    uint32_t message_size_max;
    /* the request that is being written */
    size_t request_at;
    size_t message_size_before;
    bool opened; /* a message was opened for it */
};

void outbox_init(struct outbox *o);
void outbox_free(struct outbox *o);
/* Drops what is queued. */
void outbox_clear(struct outbox *o);

/* Starts a request whose body will have body_size bytes; message_flags separate it from requests
 * with others. The body is then written to *ret_buffer. ERR_OK, ERR_TOO_LARGE, ERR_BUSY
 * (OUTBOX_SIZE), ERR_NO_MEMORY. */
int outbox_begin(struct outbox *o, const struct request_header *header, uint32_t message_flags,
                 size_t body_size, struct wire_buffer **ret_buffer);
/* ERR_OK, or ERR_NO_MEMORY: the request was taken back. */
int outbox_end(struct outbox *o);

/* The first message, complete; NULL if nothing is queued. pop drops it. */
const struct outbox_message *outbox_first(struct outbox *o);
void outbox_pop(struct outbox *o);
/* Drops the messages that have one of flags, after calling each for it. */
void outbox_drop_flagged(struct outbox *o, uint32_t flags,
                         void (*each)(void *context, const struct outbox_message *m),
                         void *context);

#endif
