/* replay_channel.c - the replay socket of a connection. */
#include "client/replay_channel.h"

#include <errno.h>

#include "client/clock.h"
#include "client/connection.h"

void replay_channel_init(struct replay_channel *c)
{
    *c = (struct replay_channel){.next_id = 1};
    wire_buffer_init(&c->buffer, LIMIT_MESSAGE_SIZE);
}

static void close_socket(struct vigil *v)
{
    if (!v->replay.socket)
        return;
    connection_socket_closing(v, v->replay.socket);
    zmq_close(v->replay.socket);
    v->replay.socket = NULL;
}

void replay_channel_free(struct vigil *v)
{
    replay_channel_reset(v);
    wire_buffer_free(&v->replay.buffer);
}

/* No lingering, bounded messages. NULL: out of sockets or memory. */
static void *new_socket(struct vigil *v)
{
    const int linger = 0;
    const int ipv6 = 1;
    const int keepalive = 1;
    const int reconnect_first = BACKOFF_FIRST_MS;
    const int reconnect_most = BACKOFF_MOST_MS;
    const int64_t message_max = (int64_t)LIMIT_REPLY_SIZE + (int64_t)LIMIT_RECORD_SIZE;
    void *socket = zmq_socket(v->context, ZMQ_DEALER);
    if (!socket)
        return NULL;
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(socket, ZMQ_IPV6, &ipv6, sizeof ipv6);
    zmq_setsockopt(socket, ZMQ_TCP_KEEPALIVE, &keepalive, sizeof keepalive);
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &reconnect_first, sizeof reconnect_first);
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL_MAX, &reconnect_most, sizeof reconnect_most);
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &message_max, sizeof message_max);
    return socket;
}

static int open_socket(struct vigil *v)
{
    struct replay_channel *c = &v->replay;
    if (c->socket)
        return ERR_OK;
    c->socket = new_socket(v);
    if (!c->socket)
        return connection_fail(v, ERR_LIMIT, "cannot open a socket: %s", zmq_strerror(zmq_errno()));
    if (zmq_connect(c->socket, v->replay_endpoint) != 0) {
        int err = connection_fail(v, ERR_INVALID, "cannot connect to %s: %s", v->replay_endpoint,
                                  zmq_strerror(zmq_errno()));
        close_socket(v);
        return err;
    }
    connection_socket_opened(v, c->socket);
    return ERR_OK;
}

struct wire_buffer *replay_call_begin(struct vigil *v, uint8_t op, uint8_t flags, size_t *ret_place)
{
    struct replay_channel *c = &v->replay;
    wire_buffer_clear(&c->buffer);
    request_message_begin(&c->buffer, &(struct request_message_header){.count = 1});
    c->count = 1;
    *ret_place = request_begin(
        &c->buffer, &(struct request_header){.op = op, .flags = flags, .id = c->next_id});
    return &c->buffer;
}

void replay_call_more(struct vigil *v, uint8_t op, uint8_t flags, size_t *place)
{
    struct replay_channel *c = &v->replay;
    struct request_header header = {.op = op, .flags = flags, .id = c->next_id + c->count};
    message_part_end(&c->buffer, *place);
    c->count++;
    *place = request_begin(&c->buffer, &header);
}

/* What cannot be sent now is tried again after the next reply, or step. */
static void send_queued(struct vigil *v)
{
    struct replay_channel *c = &v->replay;
    for (struct replay_call *call = c->waiting; call; call = call->next) {
        if (call->state != REPLAY_QUEUED)
            continue;
        if (c->sent_count >= REPLAY_SENT_MAX ||
            zmq_msg_send(&call->frame, c->socket, ZMQ_DONTWAIT) < 0)
            return;
        call->state = REPLAY_SENT;
        call->sent_ms = v->now_ms;
        c->sent_count++;
    }
}

/* Takes what the buffer holds. */
static int enqueue(struct replay_channel *c, struct replay_call *call)
{
    if (zmq_msg_init_size(&call->frame, c->buffer.size) != 0)
        return ERR_NO_MEMORY;
    memcpy(zmq_msg_data(&call->frame), c->buffer.data, c->buffer.size);
    call->id = c->next_id;
    call->count = c->count;
    c->next_id += c->count;
    call->state = REPLAY_QUEUED;
    call->next = NULL;
    struct replay_call **link = &c->waiting;
    while (*link)
        link = &(*link)->next;
    *link = call;
    return ERR_OK;
}

int replay_call_end(struct vigil *v, struct replay_call *call, size_t place)
{
    struct replay_channel *c = &v->replay;
    message_part_end(&c->buffer, place);
    message_set_count(&c->buffer, 0, c->count);
    if (c->buffer.failed)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    if (v->state != CHANNEL_READY)
        return ERR_DISCONNECTED; /* the failure text tells why */
    int err = open_socket(v);
    if (err)
        return err;
    if (enqueue(c, call) != ERR_OK)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    send_queued(v);
    return ERR_OK;
}

int64_t replay_call_due_ms(const struct vigil *v, const struct replay_call *call,
                           int64_t patience_ms)
{
    return (call->state == REPLAY_SENT ? call->sent_ms : v->now_ms) + patience_ms;
}

static void unlink_call(struct replay_channel *c, struct replay_call *call)
{
    struct replay_call **link = &c->waiting;
    while (*link != call)
        link = &(*link)->next;
    *link = call->next;
    if (call->state == REPLAY_SENT)
        c->sent_count--;
    else
        zmq_msg_close(&call->frame);
}

void replay_call_reset(struct vigil *v, struct replay_call *call)
{
    if (call->state == REPLAY_ARRIVED) {
        zmq_msg_close(&call->frame);
    } else if (replay_call_is_waiting(call)) {
        unlink_call(&v->replay, call);
        send_queued(v);
    }
    call->state = REPLAY_IDLE;
}

/* The first reply, and what follows it. */
static int read_first(struct bytes data, struct reply_message_header *ret_message,
                      struct reply_header *ret_header, struct wire_reader *ret_body,
                      struct wire_reader *ret_rest)
{
    *ret_rest = wire_reader_of(data.data, data.size);
    int err = reply_message_read(ret_rest, ret_message);
    return err ? err : reply_read(ret_rest, ret_header, ret_body);
}

int replay_reply_read(struct bytes data, struct reply_message_header *ret_message,
                      struct reply_header *ret_header, struct wire_reader *ret_body)
{
    struct wire_reader rest;
    int err = read_first(data, ret_message, ret_header, ret_body, &rest);
    if (err == ERR_OK && (ret_message->count != 1 || !wire_read_complete(&rest)))
        err = ERR_MALFORMED;
    return err;
}

static void arrive(struct replay_call *call, int error)
{
    call->state = REPLAY_ARRIVED;
    call->error = error;
    descriptor_signal(call->descriptor);
}

/* The call that a reply answers; an error without an id answers the oldest. */
static struct replay_call *find_call(struct replay_channel *c, const struct reply_header *h)
{
    struct replay_call *call = c->waiting;
    bool oldest = h->id == 0 && h->status;
    while (call && call->state == REPLAY_SENT && call->id != h->id && !oldest)
        call = call->next;
    return call && call->state == REPLAY_SENT ? call : NULL;
}

/* As many replies as there were requests, or one that refuses them all. */
static bool is_answer(const struct replay_call *call, const struct reply_message_header *message,
                      const struct reply_header *header, const struct wire_reader *rest)
{
    bool refused = header->id == 0 && message->count == 1;
    return (refused || message->count == call->count) &&
           (message->count > 1 || wire_read_complete(rest));
}

static void take_message(struct vigil *v, zmq_msg_t *m)
{
    struct reply_message_header message;
    struct reply_header header;
    struct wire_reader body;
    struct wire_reader rest;
    struct bytes data = {zmq_msg_data(m), zmq_msg_size(m)};
    if (zmq_msg_more(m) || read_first(data, &message, &header, &body, &rest) != ERR_OK)
        return; /* nobody's: whoever waits asks again */
    struct replay_call *call = find_call(&v->replay, &header);
    if (!call || !is_answer(call, &message, &header, &rest))
        return;
    unlink_call(&v->replay, call);
    zmq_msg_init(&call->frame);
    zmq_msg_move(&call->frame, m);
    /* A small message lives inside of zmq_msg_t and has moved with it. */
    const uint8_t *moved = zmq_msg_data(&call->frame);
    ptrdiff_t body_at = body.at - data.data;
    call->body = wire_reader_of(moved + body_at, wire_left(&body));
    call->rest = wire_reader_of(moved + (rest.at - data.data), wire_left(&rest));
    call->message = message;
    call->header = header;
    arrive(call, header.status);
}

void replay_channel_receive(struct vigil *v)
{
    while (v->replay.socket) {
        zmq_msg_t m;
        zmq_msg_init(&m);
        int got = zmq_msg_recv(&m, v->replay.socket, ZMQ_DONTWAIT);
        int failure = got < 0 ? zmq_errno() : 0;
        if (got >= 0)
            take_message(v, &m);
        zmq_msg_close(&m);
        send_queued(v);
        if (failure && failure != EINTR)
            return;
    }
}

void replay_channel_reset(struct vigil *v)
{
    struct replay_channel *c = &v->replay;
    close_socket(v);
    while (c->waiting) {
        struct replay_call *call = c->waiting;
        unlink_call(c, call);
        zmq_msg_init(&call->frame);
        arrive(call, ERR_DISCONNECTED);
    }
}

/* As for other requests: silence for as long as a request may take is a lost connection; within
 * less it cannot be told apart from a slow server. */
static int call_timed_out(struct vigil *v, int timeout_ms)
{
    bool full_time = v->request_timeout_ms >= 0 && timeout_ms >= v->request_timeout_ms;
    if (full_time || v->state != CHANNEL_READY)
        return connection_fail(v, ERR_DISCONNECTED, "%s: no answer", v->replay_endpoint);
    return connection_fail(v, ERR_TIMEOUT, "no answer within the time given");
}

int replay_call_explain(struct vigil *v, const struct replay_call *call)
{
    struct reply_error e;
    struct wire_reader body = call->body;
    if (reply_error_read(&body, &e) && e.text.size > 0)
        return connection_fail(v, call->error, "%.*s", (int)e.text.size, (const char *)e.text.data);
    return connection_fail(v, call->error, NULL);
}

int replay_call_wait(struct vigil *v, struct replay_call *call, int timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);
    while (replay_call_is_waiting(call)) {
        int64_t now = clock_now_ms();
        if (now >= deadline) {
            connection_step(v);
            if (!replay_call_is_waiting(call))
                break;
            replay_call_reset(v, call);
            return call_timed_out(v, timeout_ms);
        }
        int err = connection_wait(v, NULL, deadline_left_ms(deadline, now, 1000));
        if (err) {
            replay_call_reset(v, call);
            return connection_fail(v, err, NULL);
        }
        connection_step(v);
    }
    return call->error && call->error != ERR_DISCONNECTED ? replay_call_explain(v, call)
                                                          : call->error;
}
