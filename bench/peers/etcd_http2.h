/*
 * etcd_http2.h - calls of gRPC over one cleartext HTTP/2 connection, many at a time.
 * libnghttp2 does the frames, header compression and flow control; the socket
 * and what waits for it are here.
 *
 * 1. A call that is started sends nothing by itself: all that is queued leaves with
 *    the next http2_flush, in as few writes as the socket takes.
 * 2. The windows for what we receive are so large that the server never waits for us
 *    to widen them, as long as we read.
 * 3. A call that ends otherwise than with status 0, and a broken connection, are errors
 *    of http2_receive. After an error a connection can only be closed.
 *
 * A connection belongs to one thread.
 */
#ifndef VIGIL_BENCH_PEERS_ETCD_HTTP2_H
#define VIGIL_BENCH_PEERS_ETCD_HTTP2_H

#include "bench/peers/etcd_grpc.h"
#include "protocol/failure.h"
#include "protocol/wire.h"

#include <stdbool.h>
#include <stdint.h>

/* Of a request's body. */
#define HTTP2_REQUEST_SIZE_MAX (UINT32_C(64) << 20)

struct http2_connection;

struct http2_call {
    struct wire_buffer request; /* to be filled with the body before the start */
    uint64_t token;             /* the caller's own */
    uint32_t messages;          /* that the response had so far */

    /* etcd_http2.c's own. */
    size_t sent; /* of request */
    bool stays_open;
    int http_status; /* 0: not known yet */
    int grpc_status; /* -1: not known yet */
    char status_text[160];
    struct grpc_reader response;
    struct http2_call *next; /* free, or all */
    struct http2_call *next_free;
};

/* Called from within http2_receive; both may start calls. What they return but ERR_OK ends the
 * connection, and becomes what http2_receive returns. */
struct http2_handler {
    /* message is valid during the call. */
    int (*message)(void *context, uint32_t index, struct http2_call *call, struct bytes message,
                   struct failure *failure);
    /* The call has ended with status 0; its memory serves for another one already. */
    int (*end)(void *context, uint32_t index, uint64_t token, uint32_t messages,
               struct failure *failure);
};

/* address: HOST:PORT. index is what the handler gets. Blocks until the server has greeted, at most
 * 10 s. */
int http2_connect(const char *address, const struct http2_handler *handler, void *context,
                  uint32_t index, struct http2_connection **ret_connection,
                  struct failure *failure);
void http2_close(struct http2_connection *c); /* takes NULL; ends all calls */

int http2_fd(const struct http2_connection *c);
/* An empty call, to be filled and started at once; NULL without memory. The connection owns it. */
struct http2_call *http2_call_new(struct http2_connection *c);
/* Queues it. path: a string constant. stays_open: the request has no end, as that of a watch. */
int http2_call_start(struct http2_connection *c, struct http2_call *call, const char *path,
                     bool stays_open, struct failure *failure);
/* Writes what is queued, as much as the socket takes; *ret_blocked: not all, wait until it is
 * writable. */
int http2_flush(struct http2_connection *c, bool *ret_blocked, struct failure *failure);
/* Reads what has come, and calls the handler for it. Never blocks. */
int http2_receive(struct http2_connection *c, struct failure *failure);

#endif
