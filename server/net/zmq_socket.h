/*
 * zmq_socket.h - the few things that are done with ZeroMQ sockets: those of streams and of replays.
 * A socket belongs to the thread that uses it; all of these only ever try.
 */
#ifndef VIGIL_SERVER_NET_ZMQ_SOCKET_H
#define VIGIL_SERVER_NET_ZMQ_SOCKET_H

#include "protocol/failure.h"
#include "protocol/wire.h"

#include <zmq.h>

struct socket_options {
    int type;
    int send_queue;    /* messages, per peer */
    int receive_queue; /* messages, per peer */
    int64_t message_size_max;
};

int socket_open(void *zmq, const struct socket_options *options, void **ret_socket,
                struct failure *failure);
/* Takes NULL. linger_ms: how long what is queued may still go out. */
void socket_close(void *socket, int linger_ms);
/* To poll for; edge-triggered: before sleeping on it, socket_readable has to say no, or a receive has
 * to find nothing, after whatever else was done with the socket. */
int socket_descriptor(void *socket);
bool socket_readable(void *socket);

/* A message of a ROUTER: who sent it, and its one frame. */
struct routed {
    zmq_msg_t peer;
    zmq_msg_t body;
};

enum routed_result {
    ROUTED_NONE,   /* nothing waits */
    ROUTED_ONE,    /* *m is open: routed_close it */
    ROUTED_SURPLUS /* the same, and frames follow that nobody wants: routed_swallow them */
};
enum routed_result routed_receive(void *socket, struct routed *m);
void routed_close(struct routed *m);
struct bytes routed_peer(struct routed *m);
struct bytes routed_body(struct routed *m);
/* Takes at most parts_max frames of the rest. True when that was the last. */
bool routed_swallow(void *socket, int parts_max);
/* Takes over body->data, and leaves body empty. False if the peer is gone or does not read: the reply is
 * dropped. */
bool routed_send_buffer(void *socket, struct bytes peer, struct wire_buffer *body);

#endif
