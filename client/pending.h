/*
 * pending.h - the requests that wait for their reply, and the outcomes that
 * wait for the application. Decodes reply messages. Pure: no socket.
 *
 *   pending_add -> [message sent] -> pending_take_reply -> handler
 *                                                       -> outcome -> pending_outcome
 *
 * Ids are given without holes, and replies come in the order of the requests,
 * so the table is a ring that is looked up by id.
 *
 * 1. Each request ends exactly once: with its reply, with pending_doom or with
 *    pending_fail_all; and in the order of the ids.
 * 2. Whatever bytes a reply message has, nothing outside of it is touched, and
 *    a message that does not answer what was asked is ERR_MALFORMED.
 * 3. Ending a request never needs memory: pending_add has reserved it.
 */
#ifndef VIGIL_CLIENT_PENDING_H
#define VIGIL_CLIENT_PENDING_H

#include <vigil.h>

#include "protocol/message.h"

/* A message from the server whose bytes somebody still points into. */
struct reply_frame {
    struct wire_buffer message; /* see client/message_reader.h */
    uint32_t references;
    struct reply_frame *next_spare;
};

struct reply {
    int error; /* that of the reply; without one message and frame are NULL */
    const struct reply_message_header *message;
    struct reply_header header;
    struct wire_reader body;
    struct reply_frame *frame;
};

/* Must not call back into the connection: it notes what came. */
typedef void reply_handler(void *context, const struct reply *reply);

struct pending_request {
    uint8_t op;
    bool application;       /* its outcome goes to vigil_receive */
    bool stops;             /* its failure aborts what was sent behind it */
    int doom;               /* it ends with this error, once those before it have ended; 0 */
    reply_handler *handler; /* NULL: nobody listens any more */
    void *context;
};

struct pending_outcome {
    vigil_completion completion;
    struct bytes text; /* of an error, from the server */
    struct reply_frame *frame;
};

struct pending {
    struct pending_request *ring;
    size_t ring_capacity; /* powers of two */
    uint64_t first_id;    /* the oldest that has not ended; == next_id: none */
    uint64_t next_id;
    struct pending_outcome *outcomes;
    size_t outcomes_capacity;
    uint64_t outcomes_first;
    uint64_t outcomes_next;
    size_t application_count; /* under way: not answered, or not received */
    uint64_t failed_id; /* the first stopping request that failed and has not been received; 0 */
    struct reply_frame *spare; /* with their memory, unless that is large */
    size_t spare_count;
};

int pending_init(struct pending *p);
void pending_free(struct pending *p);

/* Makes sure that the next pending_add succeeds. ERR_OK, ERR_NO_MEMORY, ERR_BUSY. */
int pending_reserve(struct pending *p);
/* Returns the id, which is p->next_id of before. */
uint64_t pending_add(struct pending *p, const struct pending_request *request);
static inline size_t pending_count(const struct pending *p)
{
    return (size_t)(p->next_id - p->first_id);
}
/* The owner of context is going away: its replies will be ignored. */
void pending_abandon(struct pending *p, const void *context);
/* No reply will come: the request ends with error when those before it have ended. */
void pending_doom(struct pending *p, uint64_t id, int error);
void pending_fail_all(struct pending *p, int error);
/* Neither ended nor doomed. */
bool pending_is_live(const struct pending *p, uint64_t id);
/* Nobody listens to it any more. */
bool pending_is_abandoned(const struct pending *p, uint64_t id);

/* What a message held that is being answered. */
struct answered_message {
    uint64_t first_id; /* the oldest live one; then the live ones behind it */
    uint16_t count;
    bool numbered; /* its mutations have numbers of a session */
    bool doubtful; /* it may have reached the server before */
};

enum reply_verdict {
    REPLY_TAKEN,          /* every request has ended */
    REPLY_AGAIN,          /* from one request on they were not looked at: to be sent again */
    REPLY_SESSION_UNKNOWN /* likewise, because the server does not know the session */
};

struct reply_summary {
    struct reply_message_header header;
    enum reply_verdict verdict;
    uint16_t ended;     /* requests */
    uint64_t failed_id; /* the first numbered mutation that has certainly failed; 0 */
};

/* The frame holds the reply to message m. Its requests end, unless the verdict says other. ERR_OK;
 * ERR_MALFORMED, ERR_VERSION: the connection is of no more use. */
int pending_take_reply(struct pending *p, struct reply_frame *frame,
                       const struct answered_message *m, struct reply_summary *ret_summary);

static inline bool pending_has_outcome(const struct pending *p)
{
    return p->outcomes_first != p->outcomes_next;
}
/* Moves the oldest outcome out: its frame's reference is now the caller's. */
bool pending_outcome(struct pending *p, struct pending_outcome *ret_outcome);

/* A frame with an empty message and one reference, or NULL. */
struct reply_frame *reply_frame_new(struct pending *p);
static inline struct reply_frame *reply_frame_keep(struct reply_frame *f)
{
    f->references++;
    return f;
}
/* Takes NULL. */
void reply_frame_release(struct pending *p, struct reply_frame *f);

#endif
