/* zmq_socket.c - see zmq_socket.h. */
#include "server/net/zmq_socket.h"

#include <errno.h>
#include <stdlib.h>

enum { BACKLOG = 1024, HANDSHAKE_MS = 10000 };

int socket_open(void *zmq, const struct socket_options *options, void **ret_socket,
                struct failure *failure)
{
    int linger_ms = 0;
    int backlog = BACKLOG;
    int handshake_ms = HANDSHAKE_MS;
    int yes = 1;
    void *socket = zmq_socket(zmq, options->type);
    if (!socket)
        return failure_set(failure, ERR_INTERNAL, "cannot make a socket: %s", zmq_strerror(errno));
    int bad =
        zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms) |
        zmq_setsockopt(socket, ZMQ_BACKLOG, &backlog, sizeof backlog) |
        zmq_setsockopt(socket, ZMQ_HANDSHAKE_IVL, &handshake_ms, sizeof handshake_ms) |
        zmq_setsockopt(socket, ZMQ_SNDHWM, &options->send_queue, sizeof options->send_queue) |
        zmq_setsockopt(socket, ZMQ_RCVHWM, &options->receive_queue, sizeof options->receive_queue) |
        zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &options->message_size_max,
                       sizeof options->message_size_max);
    if (options->type == ZMQ_ROUTER)
        bad |= zmq_setsockopt(socket, ZMQ_ROUTER_MANDATORY, &yes, sizeof yes);
    if (options->type == ZMQ_XPUB)
        bad |= zmq_setsockopt(socket, ZMQ_XPUB_VERBOSE, &yes, sizeof yes);
    if (bad) {
        zmq_close(socket);
        return failure_set(failure, ERR_INTERNAL, "cannot set up a socket: %s",
                           zmq_strerror(errno));
    }
    *ret_socket = socket;
    return ERR_OK;
}

void socket_close(void *socket, int linger_ms)
{
    if (!socket)
        return;
    zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_close(socket);
}

int socket_descriptor(void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;
    zmq_getsockopt(socket, ZMQ_FD, &fd, &size);
    return fd;
}

bool socket_readable(void *socket)
{
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN) != 0;
}

enum routed_result routed_receive(void *socket, struct routed *m)
{
    zmq_msg_init(&m->peer);
    zmq_msg_init(&m->body);
    /* ROUTER puts the peer's id before what it hands out, so a second frame always follows, and a
     * message is handed out only when it is there as a whole. */
    if (zmq_msg_recv(&m->peer, socket, ZMQ_DONTWAIT) < 0 ||
        zmq_msg_recv(&m->body, socket, ZMQ_DONTWAIT) < 0) {
        routed_close(m);
        return ROUTED_NONE;
    }
    return zmq_msg_more(&m->body) ? ROUTED_SURPLUS : ROUTED_ONE;
}

void routed_close(struct routed *m)
{
    zmq_msg_close(&m->peer);
    zmq_msg_close(&m->body);
}

struct bytes routed_peer(struct routed *m)
{
    return (struct bytes){zmq_msg_data(&m->peer), zmq_msg_size(&m->peer)};
}

struct bytes routed_body(struct routed *m)
{
    return (struct bytes){zmq_msg_data(&m->body), zmq_msg_size(&m->body)};
}

bool routed_swallow(void *socket, int parts_max)
{
    zmq_msg_t part;
    zmq_msg_init(&part);
    bool last = false;
    for (int i = 0; i < parts_max && !last; i++)
        last = zmq_msg_recv(&part, socket, ZMQ_DONTWAIT) < 0 || !zmq_msg_more(&part);
    zmq_msg_close(&part);
    return last;
}

/* A full queue may be one whose peer has read on: ZeroMQ hears of that when it looks at its own
 * messages, which a busy socket seldom does by itself. Asking for events makes it look. */
static bool send_peer(void *socket, struct bytes peer)
{
    if (zmq_send(socket, peer.data, peer.size, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0)
        return true;
    if (errno != EAGAIN)
        return false;
    socket_readable(socket);
    return zmq_send(socket, peer.data, peer.size, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0;
}

static void free_body(void *data, void *hint)
{
    (void)hint;
    free(data);
}

bool routed_send_buffer(void *socket, struct bytes peer, struct wire_buffer *body)
{
    zmq_msg_t message;
    if (zmq_msg_init_data(&message, body->data, body->size, free_body, NULL) != 0)
        return false;
    *body = (struct wire_buffer){.size_max = body->size_max};
    bool sent = send_peer(socket, peer) && zmq_msg_send(&message, socket, ZMQ_DONTWAIT) >= 0;
    if (!sent)
        zmq_msg_close(&message);
    return sent;
}
