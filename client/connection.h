/*
 * connection.h - struct vigil: a server's request socket, what is under way on
 * it, and what all handles of the connection share.
 *
 *            link is up           hello's reply
 *   CONNECTING ------> GREETING ------> READY
 *        ^                 |              |
 *        | after a pause   v              v
 *        +-------------- DOWN <-----------+   the peer is gone, silent, or talks nonsense
 *
 * 1. Requests go out in the order of their ids, at most `window` messages
 *    unanswered. In GREETING only the hello is under way.
 * 2. When the connection is lost the socket is made anew: no reply of before
 *    can come any more. What was under way is sent again (delivery.h), until
 *    nothing has been answered for the request timeout: then everything ends as
 *    DISCONNECTED.
 * 3. The library's own deadlines run on now_ms, which does not count time in
 *    which the process was stopped or the application did not call.
 *
 * Everything here runs on the thread that uses the handle.
 */
#ifndef VIGIL_CLIENT_CONNECTION_H
#define VIGIL_CLIENT_CONNECTION_H

#include <poll.h>

#include <vigil.h>

#include "client/backoff.h"
#include "client/descriptor.h"
#include "client/dial.h"
#include "client/link.h"
#include "client/outbox.h"
#include "client/pending.h"
#include "client/replay_channel.h"
#include "protocol/endpoint.h"
#include "client/session.h"
#include "protocol/failure.h"

enum channel_state { CHANNEL_DOWN, CHANNEL_CONNECTING, CHANNEL_GREETING, CHANNEL_READY };

enum {
    TIMEOUT_DEFAULT_MS = 5000,
    PIPELINE_MAX_DEFAULT = 65536,
    WINDOW_MAX = 1024,
    SERVER_NAME_MAX = 64,
    CLIENT_NAME_MAX = 255,
    STEP_MAX_MS = 1100 /* longest that one step counts on now_ms; waits are shorter */
};

/* The last failure: longer than others' (protocol/failure.h), because of that of a function. */
struct connection_failure {
    int code;
    char text[LIMIT_SCRIPT_ERROR_TEXT + 1];
};

struct vigil {
    void *context;
    struct endpoint endpoint;
    char endpoint_text[ENDPOINT_SIZE];
    struct endpoint stream_endpoint; /* set by hello */
    char replay_endpoint[ENDPOINT_SIZE];
    char client_name[CLIENT_NAME_MAX + 1];
    int connect_timeout_ms;
    int request_timeout_ms;
    uint32_t pipeline_max;

    /* request channel */
    enum channel_state state;
    int dial_error; /* errno of the last attempt to connect, until one succeeds; 0 */
    int watched_fd; /* in the epoll sets of the descriptors, for watched_events; -1: none */
    short watched_events;
    bool is_receiving; /* vigil_receive is under way: see there */
    struct dial dial;  /* CONNECTING */
    struct link link;
    int64_t looked_ms;    /* the clock when the link was found empty last */
    int64_t reconnect_ms; /* DOWN: until then */
    struct backoff backoff;
    int greeting_error; /* why the last hello failed */

    /* delivery */
    uint32_t window;
    uint32_t ignored_count; /* replies to come that answer what is sent again */
    struct outbox outbox;
    struct pending pending;
    struct client_session session;
    int64_t resume_ms; /* nothing is sent until then */
    int resume_delay_ms;
    bool stop_on_error;
    bool in_atomic; /* vigil_atomically runs */

    /* time */
    int64_t now_ms;
    int64_t stepped_ms; /* the clock at the last step */
    int64_t silent_ms;  /* for so long nothing came although something was expected */
    int64_t stalled_ms; /* for so long no request that waits has been answered */
    int patience_ms;    /* so much silence is a lost connection */
    uint64_t answered;  /* counts messages that have been answered */

    /* what replies told */
    uint64_t epoch;
    uint64_t incarnation;
    uint64_t head;
    uint64_t oldest;
    uint32_t value_size_max;
    uint32_t lease_ms;
    char server[SERVER_NAME_MAX + 1];

    /* shared by handles */
    struct replay_channel replay;
    struct vigil_watch *watches;
    int64_t renew_ms;                /* leases: the clock at which they are renewed */
    uint8_t (*renewing)[TOPIC_SIZE]; /* topics of the renewal under way; NULL: none */
    uint16_t renewing_count;
    struct descriptor *descriptors;
    struct descriptor *own_descriptor; /* vigil_fd */
    struct vigil_watch *wait_watch;    /* kept for the next wait on the same key */

    /* results that live until the next call */
    struct reply_frame *call_frame;
    struct reply_frame *received_frame;
    struct wire_buffer scratch;
    vigil_txn_result *txn_results;
    struct connection_failure failure;
};

/* Sets the failure text and returns code. format NULL: the code's own sentence. */
int connection_fail(struct vigil *v, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- driving ---- */

/* All that can be done without waiting: receive, send, reconnect, renew. */
void connection_step(struct vigil *v);
/* Waits until something comes, for timeout_ms at most (less, if duties are due); also (may be
 * NULL, or have no descriptor) is waited for as well. ERR_OK, ERR_INTERRUPTED. Call connection_step
 * next. */
int connection_wait(struct vigil *v, const struct pollfd *also, int timeout_ms);
/* Sends what is queued, as far as the windows allow. */
void connection_send(struct vigil *v);
/* The connection is of no more use: see invariant 2. */
void connection_lost(struct vigil *v, const char *reason);
/* The same, and nothing is sent again: all ends as DISCONNECTED. */
void connection_give_up(struct vigil *v, const char *reason);
/* A reply over the request socket that is not understood: the connection is lost. MALFORMED. */
int connection_malformed(struct vigil *v);
/* What a reply message tells of the server. */
void connection_take_info(struct vigil *v, const struct reply_message_header *m);
/* How much silence is a lost connection, at first. */
int connection_patience_ms(const struct vigil *v);
/* Requests that wait behind a failure end as ABORTED. */
void connection_abort_queued(struct vigil *v);
/* Milliseconds until the connection wants to be stepped again, for the application's event loop. */
int connection_due_ms(const struct vigil *v);

/* ---- requests ---- */

/* Starts a request; its body, of body_size bytes, is then written to *ret_buffer. Sets the failure.
 */
int connection_request_begin(struct vigil *v, uint8_t op, uint8_t flags, size_t body_size,
                             struct wire_buffer **ret_buffer);
/* Enters it, to be answered to handler, or with handler NULL to the application. */
int connection_request_end(struct vigil *v, reply_handler *handler, void *context,
                           uint64_t *ret_id);

/* A blocking request: begin and the body first, then this, which waits for the reply. */
struct call {
    bool done;
    struct reply reply;
    struct reply_message_header message;
};
/* Returns the reply's status; the reply stays valid until the next call. timeout_ms as
 * request_timeout_ms. */
int connection_call(struct vigil *v, struct call *call, int timeout_ms);

/* ---- descriptors ---- */

int connection_add_descriptor(struct vigil *v, struct descriptor *d);
void connection_remove_descriptor(struct vigil *v, struct descriptor *d);
void connection_socket_opened(struct vigil *v, void *socket);
void connection_socket_closing(struct vigil *v, void *socket);
/* What they wait for besides ZeroMQ's sockets: this plain descriptor, until it changes. -1: none. */
void connection_watch_plain(struct vigil *v, int fd, short events);
void connection_signal_all(struct vigil *v);

#endif
