/*
 * channel.c - the request socket: connecting, greeting, receiving, noticing
 * that the server is gone, and connecting again.
 *
 * Loss is told by the socket (it ended, or failed), or by silence: a part of
 * the request timeout first, so that there is time to try another connection,
 * longer each time. Nothing is ever sent before the link is up.
 */
#define _POSIX_C_SOURCE 200809L
#include "client/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "client/clock.h"
#include "client/delivery.h"
#include "client/lease.h"
#include "client/watch.h"

enum {
    READS_MAX = 64,     /* of the socket, per step */
    LOOK_AFTER_MS = 5,  /* see channel_look */
    WAIT_BUSY_MS = 100, /* a wait while a reply is expected: silence is counted in such slices */
    WAIT_IDLE_MS = 1000,
    PATIENCE_SHARE = 4, /* of the request timeout, before another connection is tried */
    PATIENCE_LEAST_MS = 250,
    PATIENCE_MOST_MS = 60000
};
static const uint64_t hello_id = UINT64_MAX;

/* ---- the link ---- */

static int channel_fd(const struct vigil *v)
{
    int fd = dial_fd(&v->dial);
    return fd >= 0 ? fd : v->link.fd;
}

static short channel_events(const struct vigil *v)
{
    return link_wants_write(&v->link) ? POLLIN | POLLOUT : POLLIN;
}

void channel_watch(struct vigil *v)
{
    connection_watch_plain(v, channel_fd(v), channel_events(v));
}

void channel_close(struct vigil *v)
{
    connection_watch_plain(v, -1, 0);
    dial_stop(&v->dial);
    link_close(&v->link);
    v->state = CHANNEL_DOWN;
}

/* At once after the first loss, then later each time until hello is answered. */
static void plan_reconnect(struct vigil *v)
{
    v->reconnect_ms = v->now_ms + backoff_next(&v->backoff);
}

static void lose(struct vigil *v, const char *reason, bool give_up)
{
    connection_fail(v, ERR_DISCONNECTED, "%s: %s", v->endpoint_text, reason);
    channel_close(v);
    replay_channel_reset(v);
    v->silent_ms = 0;
    plan_reconnect(v);
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
    link_add(&v->link, (struct bytes){b.data, b.size});
    v->state = CHANNEL_GREETING;
    v->silent_ms = 0;
    if (!link_flush(&v->link))
        connection_lost(v, "the connection was lost");
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
    struct endpoint replay;
    if (endpoint_derive(&v->endpoint, ENDPOINT_STREAM, &hello, &v->stream_endpoint) ||
        endpoint_derive(&v->endpoint, ENDPOINT_REPLAY, &hello, &replay))
        return ERR_MALFORMED;
    endpoint_format(&replay, v->replay_endpoint);
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
    backoff_reset(&v->backoff);
    v->state = CHANNEL_READY;
    connection_signal_all(v);
    return ERR_OK;
}

/* ---- connecting ---- */

/* While addresses are tried, descriptors come and go: the epoll sets must not keep one that is closed. */
static void go_on_connecting(struct vigil *v)
{
    connection_watch_plain(v, -1, 0);
    enum dial_progress progress = dial_go(&v->dial, &v->link, v->now_ms);
    if (progress == DIAL_UP) {
        v->dial_error = 0;
        send_hello(v);
    } else if (progress == DIAL_FAILED) {
        v->dial_error = errno;
        channel_close(v);
        plan_reconnect(v);
    }
    channel_watch(v);
}

int channel_open(struct vigil *v)
{
    int err = dial_start(&v->dial, &v->endpoint, v->now_ms);
    if (err)
        return connection_fail(v, err, "cannot look up %s: %s", v->endpoint_text, error_text(err));
    v->state = CHANNEL_CONNECTING;
    go_on_connecting(v);
    if (v->state == CHANNEL_DOWN && (v->dial_error == EMFILE || v->dial_error == ENFILE))
        return connection_fail(v, ERR_LIMIT, "cannot open a socket: %s",
                               zmq_strerror(v->dial_error));
    return ERR_OK;
}

/* ---- receiving ---- */

static int take_message(struct vigil *v, struct reply_frame *frame)
{
    struct bytes data = {frame->message.data, frame->message.size};
    v->silent_ms = 0;
    if (v->state == CHANNEL_GREETING)
        return take_hello(v, data);
    return v->state == CHANNEL_READY ? delivery_take_reply(v, frame) : ERR_MALFORMED;
}

/* ERR_OK: go on; NOT_FOUND: what has come holds no further message. */
static int take_next(struct vigil *v)
{
    struct reply_frame *frame = reply_frame_new(&v->pending);
    if (!frame)
        return ERR_NO_MEMORY;
    int err = ERR_OK;
    switch (link_next(&v->link, &frame->message)) {
    case READER_MESSAGE:
        err = take_message(v, frame);
        break;
    case READER_NO_MEMORY:
        err = ERR_NO_MEMORY;
        break;
    case READER_MALFORMED:
        err = ERR_MALFORMED;
        break;
    default:
        err = ERR_NOT_FOUND;
    }
    reply_frame_release(&v->pending, frame);
    return err;
}

static void lose_by_reply(struct vigil *v, int error)
{
    char reason[sizeof v->failure.text];
    if (error == ERR_NO_MEMORY)
        snprintf(reason, sizeof reason, "no memory for a reply");
    else if (v->state == CHANNEL_GREETING && error != ERR_MALFORMED && error != ERR_VERSION)
        snprintf(reason, sizeof reason, "%s", v->failure.text);
    else
        snprintf(reason, sizeof reason, "the server's reply was not understood: %s",
                 error_text(error));
    connection_lost(v, reason);
}

/* All messages of what has been received. False: the connection is lost. */
static bool take_messages(struct vigil *v)
{
    int err = ERR_OK;
    while (err == ERR_OK)
        err = take_next(v);
    if (err != ERR_NOT_FOUND)
        lose_by_reply(v, err);
    return err == ERR_NOT_FOUND;
}

void channel_receive(struct vigil *v)
{
    enum link_read read = LINK_READ_SOME;
    v->looked_ms = v->stepped_ms;
    for (unsigned i = 0; take_messages(v) && read == LINK_READ_SOME && i < READS_MAX; i++) {
        read = link_read(&v->link);
        if (read == LINK_READ_END) {
            connection_lost(v, "the connection was lost");
            return;
        }
        if (read == LINK_READ_NO_MEMORY) {
            lose_by_reply(v, ERR_NO_MEMORY);
            return;
        }
        if (read == LINK_READ_NOTHING)
            return;
        if (message_reader_is_within(&v->link.reader))
            v->silent_ms = 0; /* a large reply is on its way */
    }
}

void channel_failed(struct vigil *v)
{
    channel_receive(v); /* what was answered before the connection went */
    if (v->state == CHANNEL_READY || v->state == CHANNEL_GREETING)
        connection_lost(v, "the connection was lost");
}

void channel_look(struct vigil *v)
{
    if (v->stepped_ms - v->looked_ms >= LOOK_AFTER_MS)
        channel_receive(v);
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

/* The link was seen to be empty just now: one system call less. True once, so that whoever steps again
 * and again without waiting sees what comes. */
static bool is_dry(struct vigil *v)
{
    bool dry = v->link.is_read_dry && v->stepped_ms - v->looked_ms <= 1;
    v->link.is_read_dry = false;
    return dry;
}

static void note_dry(struct vigil *v)
{
    v->link.is_read_dry = true;
    v->looked_ms = clock_now_ms();
}

void connection_step(struct vigil *v)
{
    channel_advance_clock(v);
    if (v->state == CHANNEL_CONNECTING)
        go_on_connecting(v);
    else if (v->state == CHANNEL_DOWN && v->now_ms >= v->reconnect_ms && channel_open(v) != ERR_OK)
        v->reconnect_ms = v->now_ms + BACKOFF_MOST_MS;
    if ((v->state == CHANNEL_GREETING || v->state == CHANNEL_READY) && !is_dry(v))
        channel_receive(v);
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

static zmq_pollitem_t pollitem_of(struct pollfd p)
{
    return (zmq_pollitem_t){.fd = p.fd,
                            .events = p.events & POLLOUT ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN};
}

/* Waits for the link, the other one, and the replay socket, which is ZeroMQ's. */
static int wait_with_replay(struct vigil *v, struct pollfd link, struct pollfd also, int timeout_ms)
{
    zmq_pollitem_t items[3] = {pollitem_of(link)};
    int count = link.fd >= 0;
    if (also.fd >= 0)
        items[count++] = pollitem_of(also);
    items[count++] = (zmq_pollitem_t){.socket = v->replay.socket, .events = ZMQ_POLLIN};
    int ready = zmq_poll(items, count, timeout_ms);
    if (ready < 0)
        return zmq_errno() == EINTR ? ERR_INTERRUPTED : ERR_OK;
    if (link.fd >= 0 && items[0].revents == 0)
        note_dry(v);
    return ERR_OK;
}

/* The same without any of ZeroMQ's: one system call. */
static int wait_for_links(struct vigil *v, struct pollfd link, struct pollfd also, int timeout_ms)
{
    struct pollfd items[] = {link, also}; /* a negative descriptor is not looked at */
    int ready = poll(items, 2, timeout_ms);
    if (ready < 0)
        return errno == EINTR ? ERR_INTERRUPTED : ERR_OK;
    if (link.fd >= 0 && items[0].revents == 0)
        note_dry(v);
    return ERR_OK;
}

int connection_wait(struct vigil *v, const struct pollfd *also, int timeout_ms)
{
    connection_send(v); /* whoever waits, waits for the answer to what is queued */
    int due_ms = connection_due_ms(v);
    if (v->state == CHANNEL_DOWN)
        due_ms = deadline_left_ms(v->reconnect_ms, v->now_ms, WAIT_BUSY_MS);
    if (timeout_ms < 0 || timeout_ms > due_ms)
        timeout_ms = due_ms;
    /* To look at each socket, which the caller does next, takes fewer system calls than to ask. */
    if (timeout_ms == 0)
        return ERR_OK;
    v->link.is_read_dry = false;
    const struct pollfd link = {.fd = channel_fd(v), .events = channel_events(v)};
    const struct pollfd none = {.fd = -1};
    return v->replay.waiting ? wait_with_replay(v, link, also ? *also : none, timeout_ms)
                             : wait_for_links(v, link, also ? *also : none, timeout_ms);
}
