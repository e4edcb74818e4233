/*
 * channel.c - the request socket: connecting, greeting, receiving, noticing
 * that the server is gone, and connecting again.
 *
 * Loss is told by a monitor on the socket (the peer closed), by a send that
 * finds no pipe, or by silence: a part of the request timeout first, so that
 * there is time to try another connection, longer each time. With ZMQ_IMMEDIATE
 * nothing is ever queued towards a server that is not there.
 */
#define _POSIX_C_SOURCE 200809L
#include "client/channel.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "client/clock.h"
#include "client/delivery.h"
#include "client/lease.h"
#include "client/watch.h"

enum {
    RECONNECT_FIRST_MS = 50,
    RECONNECT_MOST_MS = 1000,
    RECEIVE_MAX = 1024, /* messages per step */
    WAIT_BUSY_MS = 100, /* a wait while a reply is expected: silence is counted in such slices */
    WAIT_IDLE_MS = 1000,
    PATIENCE_SHARE = 4, /* of the request timeout, before another connection is tried */
    PATIENCE_LEAST_MS = 250,
    PATIENCE_MOST_MS = 60000
};
static const uint64_t hello_id = UINT64_MAX;

/* ---- sockets ---- */

void *channel_socket_new(struct vigil *v, int type)
{
    const int linger = 0;
    const int ipv6 = 1;
    const int keepalive = 1;
    const int reconnect_first = RECONNECT_FIRST_MS;
    const int reconnect_most = RECONNECT_MOST_MS;
    const int64_t message_max = (int64_t)LIMIT_REPLY_SIZE + (int64_t)LIMIT_RECORD_SIZE;
    void *socket = zmq_socket(v->context, type);
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

/* Nobody may leave a monitor unread, or ZeroMQ's thread hangs: so its queue has no limit. It gets
 * one small message a disconnection, and is read whenever the handle is used. */
static void *open_monitor(struct vigil *v)
{
    static atomic_uint_fast64_t count;
    const int unlimited = 0;
    const int linger = 0;
    char address[64];
    snprintf(address, sizeof address, "inproc://vigil-monitor-%" PRIuFAST64,
             atomic_fetch_add(&count, 1));
    if (zmq_socket_monitor(v->socket, address, ZMQ_EVENT_DISCONNECTED) != 0)
        return NULL;
    void *monitor = zmq_socket(v->context, ZMQ_PAIR);
    if (!monitor)
        return NULL;
    zmq_setsockopt(monitor, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(monitor, ZMQ_RCVHWM, &unlimited, sizeof unlimited);
    if (zmq_connect(monitor, address) != 0) {
        zmq_close(monitor);
        return NULL;
    }
    return monitor;
}

int channel_open(struct vigil *v)
{
    const int immediate = 1;
    const int queue = WINDOW_MAX + 16;
    int err = ERR_OK;
    v->socket = channel_socket_new(v, ZMQ_DEALER);
    if (!v->socket)
        return connection_fail(v, zmq_errno() == EMFILE ? ERR_LIMIT : ERR_NO_MEMORY,
                               "cannot open a socket: %s", zmq_strerror(zmq_errno()));
    zmq_setsockopt(v->socket, ZMQ_IMMEDIATE, &immediate, sizeof immediate);
    zmq_setsockopt(v->socket, ZMQ_SNDHWM, &queue, sizeof queue);
    zmq_setsockopt(v->socket, ZMQ_RCVHWM, &queue, sizeof queue);
    v->monitor = open_monitor(v);
    if (!v->monitor)
        err = connection_fail(v, ERR_LIMIT, "cannot watch over a socket: %s",
                              zmq_strerror(zmq_errno()));
    else if (zmq_connect(v->socket, v->endpoint_text) != 0)
        err = connection_fail(v, ERR_INVALID, "cannot connect to %s: %s", v->endpoint_text,
                              zmq_strerror(zmq_errno()));
    if (err) {
        channel_close(v);
        return err;
    }
    connection_socket_opened(v, v->socket);
    connection_socket_opened(v, v->monitor);
    v->state = CHANNEL_CONNECTING;
    return ERR_OK;
}

void channel_close(struct vigil *v)
{
    if (v->socket) {
        connection_socket_closing(v, v->socket);
        zmq_socket_monitor(v->socket, NULL, 0);
        zmq_close(v->socket);
    }
    if (v->monitor) {
        connection_socket_closing(v, v->monitor);
        zmq_close(v->monitor);
    }
    v->socket = NULL;
    v->monitor = NULL;
    v->monitor_readable = false;
    v->state = CHANNEL_DOWN;
}

/* Many clients lose a server at once; they need not all come back at once. */
static int with_jitter(struct vigil *v, int delay_ms)
{
    v->random = v->random * 6364136223846793005u + 1442695040888963407u;
    return delay_ms - (int)((v->random >> 33) % ((unsigned)delay_ms / 2 + 1));
}

static void lose(struct vigil *v, const char *reason, bool give_up)
{
    connection_fail(v, ERR_DISCONNECTED, "%s: %s", v->endpoint_text, reason);
    channel_close(v);
    replay_channel_reset(v);
    v->silent_ms = 0;
    v->reconnect_ms = v->now_ms + with_jitter(v, v->reconnect_delay_ms);
    v->reconnect_delay_ms = v->reconnect_delay_ms == 0 ? RECONNECT_FIRST_MS
                            : v->reconnect_delay_ms * 2 < RECONNECT_MOST_MS
                                ? v->reconnect_delay_ms * 2
                                : RECONNECT_MOST_MS;
    if (give_up)
        delivery_give_up(v);
    lease_forget(v);
    for (struct vigil_watch *w = v->watches; w; w = w->next)
        watch_on_lost(w);
    delivery_lost(v);
    connection_signal_all(v);
}

void connection_lost(struct vigil *v, const char *reason)
{
    lose(v, reason, false);
}

void connection_give_up(struct vigil *v, const char *reason)
{
    lose(v, reason, true);
}

/* ---- greeting ---- */

static void send_hello(struct vigil *v)
{
    uint8_t storage[REQUEST_MESSAGE_HEADER_SIZE + REQUEST_HEADER_SIZE + 16 + CLIENT_NAME_MAX];
    struct wire_buffer b = {
        .data = storage, .capacity = sizeof storage, .size_max = sizeof storage};
    struct request_hello hello = {
        .protocol_min = PROTOCOL_VERSION,
        .protocol_max = PROTOCOL_VERSION,
        .client = {(const uint8_t *)v->client_name, strlen(v->client_name)}};
    request_message_begin(&b, &(struct request_message_header){.count = 1});
    size_t place = request_begin(&b, &(struct request_header){.op = OP_HELLO, .id = hello_id});
    request_hello_write(&b, &hello);
    message_part_end(&b, place);
    if (zmq_send(v->socket, b.data, b.size, ZMQ_DONTWAIT) >= 0) {
        v->state = CHANNEL_GREETING;
        v->silent_ms = 0;
    }
}

static int read_hello(struct vigil *v, struct bytes data, struct reply_message_header *ret_message)
{
    struct reply_header header;
    struct wire_reader body;
    struct reply_hello hello;
    int err = replay_reply_read(data, ret_message, &header, &body);
    if (err)
        return err;
    if (header.status) {
        struct reply_error e = {0};
        bool has_text = reply_error_read(&body, &e);
        return connection_fail(v, header.status, "%s refuses the connection: %.*s",
                               v->endpoint_text, has_text ? (int)e.text.size : 0,
                               has_text ? (const char *)e.text.data : "");
    }
    if (header.id != hello_id || header.op != OP_HELLO || !reply_hello_read(&body, &hello))
        return ERR_MALFORMED;
    if (hello.protocol != PROTOCOL_VERSION)
        return ERR_VERSION;
    if (endpoint_derive(&v->endpoint, ENDPOINT_STREAM, &hello, v->stream_endpoint) ||
        endpoint_derive(&v->endpoint, ENDPOINT_REPLAY, &hello, v->replay_endpoint))
        return ERR_MALFORMED;
    if (hello.message_size_max < 1024 || hello.message_size_max > LIMIT_MESSAGE_SIZE_MAX ||
        hello.window_messages == 0)
        return ERR_MALFORMED;
    v->window = hello.window_messages < WINDOW_MAX ? hello.window_messages : WINDOW_MAX;
    v->outbox.message_size_max = hello.message_size_max;
    v->value_size_max = hello.value_size_max;
    v->lease_ms = hello.lease_ms;
    size_t size = hello.server.size < SERVER_NAME_MAX ? hello.server.size : SERVER_NAME_MAX;
    memcpy(v->server, hello.server.data ? hello.server.data : (const uint8_t *)"", size);
    v->server[size] = '\0';
    return ERR_OK;
}

void connection_take_info(struct vigil *v, const struct reply_message_header *m)
{
    v->epoch = m->epoch;
    v->incarnation = m->incarnation;
    v->head = m->head;
    v->oldest = m->oldest;
}

static int take_hello(struct vigil *v, struct bytes data)
{
    struct reply_message_header message;
    int err = read_hello(v, data, &message);
    if (err) {
        v->greeting_error = err;
        return err;
    }
    connection_take_info(v, &message);
    delivery_greeted(v, message.epoch);
    v->greeting_error = ERR_OK;
    v->reconnect_delay_ms = 0;
    v->state = CHANNEL_READY;
    connection_signal_all(v);
    return ERR_OK;
}

/* ---- receiving ---- */

static int take_message(struct vigil *v, struct reply_frame *frame)
{
    struct bytes data = {zmq_msg_data(&frame->message), zmq_msg_size(&frame->message)};
    v->silent_ms = 0;
    if (zmq_msg_more(&frame->message))
        return ERR_MALFORMED;
    if (v->state == CHANNEL_GREETING)
        return take_hello(v, data);
    return v->state == CHANNEL_READY ? delivery_take_reply(v, frame) : ERR_MALFORMED;
}

bool channel_receive(struct vigil *v)
{
    bool any = false;
    for (int i = 0; i < RECEIVE_MAX && v->socket; i++) {
        struct reply_frame *frame = reply_frame_new(&v->pending);
        if (!frame)
            return any;
        int got = zmq_msg_recv(&frame->message, v->socket, ZMQ_DONTWAIT);
        int err = got >= 0 ? take_message(v, frame) : ERR_OK;
        reply_frame_release(&v->pending, frame);
        if (got < 0 && zmq_errno() != EINTR)
            return any;
        any = any || got >= 0;
        if (err) {
            char reason[sizeof v->failure.text];
            if (v->state == CHANNEL_GREETING && err != ERR_MALFORMED && err != ERR_VERSION)
                snprintf(reason, sizeof reason, "%s", v->failure.text);
            else
                snprintf(reason, sizeof reason, "the server's reply was not understood: %s",
                         error_text(err));
            connection_lost(v, reason);
            return any;
        }
    }
    return any;
}

/* True if the peer has closed the connection since the last look. */
static bool monitor_tells_loss(struct vigil *v)
{
    bool lost = false;
    v->monitor_readable = false;
    for (;;) {
        zmq_msg_t m;
        zmq_msg_init(&m);
        int got = zmq_msg_recv(&m, v->monitor, ZMQ_DONTWAIT);
        bool retry = got < 0 && zmq_errno() == EINTR;
        zmq_msg_close(&m);
        if (got < 0 && !retry)
            return lost;
        lost = lost || got >= 0;
    }
}

/* ---- stepping ---- */

int connection_patience_ms(const struct vigil *v)
{
    int timeout_ms = v->request_timeout_ms < 0 ? TIMEOUT_DEFAULT_MS : v->request_timeout_ms;
    int share = timeout_ms / PATIENCE_SHARE;
    return share < PATIENCE_LEAST_MS ? PATIENCE_LEAST_MS : share;
}

static bool is_reply_expected(const struct vigil *v)
{
    return v->state == CHANNEL_GREETING || delivery_expects_reply(v);
}

void channel_advance_clock(struct vigil *v)
{
    int64_t now = clock_now_ms();
    int64_t passed = now - v->stepped_ms;
    v->stepped_ms = now;
    if (passed > STEP_MAX_MS)
        passed = STEP_MAX_MS;
    v->now_ms += passed;
    v->silent_ms = is_reply_expected(v) ? v->silent_ms + passed : 0;
    v->stalled_ms = pending_count(&v->pending) > 0 ? v->stalled_ms + passed : 0;
}

/* Nothing has been answered for as long as a request may take. */
static void give_up(struct vigil *v)
{
    v->stalled_ms = 0;
    v->patience_ms = connection_patience_ms(v);
    if (v->state == CHANNEL_GREETING || v->state == CHANNEL_READY) {
        connection_give_up(v, "the server does not answer");
        return;
    }
    connection_fail(v, ERR_DISCONNECTED, "%s: no server is there", v->endpoint_text);
    delivery_give_up(v);
    connection_signal_all(v);
}

static void check_silence(struct vigil *v)
{
    if (v->request_timeout_ms >= 0 && v->stalled_ms >= v->request_timeout_ms) {
        give_up(v);
        return;
    }
    if ((v->state != CHANNEL_GREETING && v->state != CHANNEL_READY) ||
        v->silent_ms < v->patience_ms || !delivery_may_repeat(v))
        return;
    v->patience_ms = v->patience_ms * 2 < PATIENCE_MOST_MS ? v->patience_ms * 2 : PATIENCE_MOST_MS;
    connection_lost(v, "the server does not answer");
}

static bool is_writable(void *socket)
{
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLOUT);
}

void connection_step(struct vigil *v)
{
    channel_advance_clock(v);
    if (v->state == CHANNEL_DOWN && v->now_ms >= v->reconnect_ms && channel_open(v) != ERR_OK)
        v->reconnect_ms = v->now_ms + RECONNECT_MOST_MS;
    bool any = v->socket && channel_receive(v);
    /* While replies come, the connection is there: the monitor can wait for a step that finds none. */
    if (v->monitor && v->monitor_readable && !any && monitor_tells_loss(v)) {
        channel_receive(v); /* what was answered before the connection went */
        if (v->state == CHANNEL_READY || v->state == CHANNEL_GREETING)
            connection_lost(v, "the connection was lost");
    }
    if (v->state == CHANNEL_CONNECTING && is_writable(v->socket))
        send_hello(v);
    if (v->replay.waiting)
        replay_channel_receive(v);
    lease_renew(v);
    check_silence(v);
    connection_send(v);
}

int connection_due_ms(const struct vigil *v)
{
    if (v->resume_ms > v->now_ms)
        return deadline_left_ms(v->resume_ms, v->now_ms, WAIT_BUSY_MS);
    if (is_reply_expected(v) || pending_count(&v->pending) > 0 || v->state != CHANNEL_READY)
        return WAIT_BUSY_MS;
    return WAIT_IDLE_MS;
}

int connection_wait(struct vigil *v, void *stream, int timeout_ms)
{
    zmq_pollitem_t items[4];
    int count = 0;
    int monitor_at = -1;
    connection_send(v); /* whoever waits, waits for the answer to what is queued */
    int due_ms = connection_due_ms(v);
    if (v->state == CHANNEL_DOWN)
        due_ms = deadline_left_ms(v->reconnect_ms, v->now_ms, WAIT_BUSY_MS);
    if (timeout_ms < 0 || timeout_ms > due_ms)
        timeout_ms = due_ms;
    if (timeout_ms == 0) {
        /* To look at each socket, which the caller does next, takes fewer system calls than to ask. */
        v->monitor_readable = v->monitor != NULL;
        return ERR_OK;
    }
    if (v->socket) {
        short events = ZMQ_POLLIN;
        if (v->state == CHANNEL_CONNECTING)
            events |= ZMQ_POLLOUT;
        items[count++] = (zmq_pollitem_t){.socket = v->socket, .events = events};
    }
    if (v->monitor) {
        monitor_at = count;
        items[count++] = (zmq_pollitem_t){.socket = v->monitor, .events = ZMQ_POLLIN};
    }
    if (v->replay.waiting)
        items[count++] = (zmq_pollitem_t){.socket = v->replay.socket, .events = ZMQ_POLLIN};
    if (stream)
        items[count++] = (zmq_pollitem_t){.socket = stream, .events = ZMQ_POLLIN};
    int ready = zmq_poll(items, count, timeout_ms);
    if (ready < 0 && zmq_errno() == EINTR) {
        v->monitor_readable = v->monitor != NULL;
        return ERR_INTERRUPTED;
    }
    if (monitor_at >= 0 && (items[monitor_at].revents & ZMQ_POLLIN))
        v->monitor_readable = true;
    return ERR_OK;
}
