/* connection.c - opening and closing a connection, and the ways to ask something over it. */
#define _POSIX_C_SOURCE 200809L
#include "client/connection.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/channel.h"
#include "client/clock.h"
#include "client/context.h"
#include "client/delivery.h"
#include "client/wait.h"

enum { SCRATCH_MAX = LIMIT_GET_KEYS * (LIMIT_KEY_SIZE + 1) };

static _Thread_local struct connection_failure open_failure;

int connection_fail(struct vigil *v, int code, const char *format, ...)
{
    v->failure.code = code;
    if (!format) {
        snprintf(v->failure.text, sizeof v->failure.text, "%s", error_text(code));
        return code;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(v->failure.text, sizeof v->failure.text, format, arguments);
    va_end(arguments);
    return code;
}

const char *vigil_failure_text(const vigil *v)
{
    return v ? v->failure.text : open_failure.text;
}

/* ---- opening and closing ---- */

/* Anyone can make a folder in /tmp: it must be this user's own, or its socket is not to be trusted.
 */
static int check_private_folder(struct vigil *v)
{
    char folder[ENDPOINT_PATH_MAX + 1];
    struct stat s;
    snprintf(folder, sizeof folder, "%s", v->endpoint.path);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    if (lstat(folder, &s) != 0)
        return ERR_OK; /* no server has made it yet */
    if (!S_ISDIR(s.st_mode) || s.st_uid != getuid() || (s.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return connection_fail(v, ERR_ACCESS, "%s is not a private folder of this user", folder);
    return ERR_OK;
}

static int choose_endpoint(struct vigil *v, const char *given)
{
    struct failure failure = {0};
    char fallback[ENDPOINT_SIZE];
    bool in_private_folder = false;
    if (!given || !*given)
        given = getenv("VIGIL_SERVER");
    if (!given || !*given) {
        in_private_folder =
            endpoint_default(getenv("XDG_RUNTIME_DIR"), (unsigned long)getuid(), fallback);
        given = fallback;
    }
    int err = endpoint_parse(given, &v->endpoint, &failure);
    if (err)
        return connection_fail(v, err, "%s", failure.text);
    if (v->endpoint.kind == ENDPOINT_TCP && strcmp(v->endpoint.host, "*") == 0)
        return connection_fail(v, ERR_INVALID, "%s: * is for servers only", given);
    if (v->endpoint.kind == ENDPOINT_TCP && v->endpoint.port == 0)
        return connection_fail(v, ERR_INVALID, "%s: port 0 is for servers only", given);
    endpoint_format(&v->endpoint, v->endpoint_text);
    return in_private_folder ? check_private_folder(v) : ERR_OK;
}

static int init(struct vigil *v, const vigil_options *options)
{
    const vigil_options defaults = VIGIL_OPTIONS_INIT;
    if (!options)
        options = &defaults;
    v->connect_timeout_ms =
        options->connect_timeout_ms ? options->connect_timeout_ms : TIMEOUT_DEFAULT_MS;
    v->request_timeout_ms =
        options->request_timeout_ms ? options->request_timeout_ms : TIMEOUT_DEFAULT_MS;
    v->pipeline_max = options->pipeline_max ? options->pipeline_max : PIPELINE_MAX_DEFAULT;
    snprintf(v->client_name, sizeof v->client_name, "%s",
             options->client_name ? options->client_name : "");
    client_session_init(&v->session, options->no_session);
    v->patience_ms = connection_patience_ms(v);
    v->stepped_ms = clock_now_ms();
    v->backoff.random = (uint64_t)v->stepped_ms ^ (uint64_t)(uintptr_t)v;
    v->now_ms = v->stepped_ms;
    v->renew_ms = DEADLINE_NEVER;
    v->watched_fd = -1;
    link_init(&v->link, LINK_REQUESTER, (size_t)LIMIT_REPLY_SIZE + LIMIT_RECORD_SIZE);
    outbox_init(&v->outbox);
    wire_buffer_init(&v->scratch, SCRATCH_MAX);
    replay_channel_init(&v->replay);
    int err = pending_init(&v->pending);
    if (err)
        return connection_fail(v, err, NULL);
    err = choose_endpoint(v, options->endpoint);
    if (err)
        return err;
    err = context_acquire(&v->context);
    if (err)
        return connection_fail(v, err, "cannot start ZeroMQ: %s", error_text(err));
    return channel_open(v);
}

static int cannot_reach(struct vigil *v)
{
    return connection_fail(v, ERR_DISCONNECTED, "cannot reach a server at %s within %d ms%s%s",
                           v->endpoint_text, v->connect_timeout_ms, v->dial_error ? ": " : "",
                           v->dial_error ? zmq_strerror(v->dial_error) : "");
}

static int wait_until_ready(struct vigil *v)
{
    int64_t deadline = deadline_after(v->connect_timeout_ms);
    int request_timeout_ms = v->request_timeout_ms;
    v->request_timeout_ms = v->connect_timeout_ms;
    int err = ERR_OK;
    while (err == ERR_OK && v->state != CHANNEL_READY) {
        int64_t now = clock_now_ms();
        /* A server that understands and refuses will not think better of it. */
        if (v->greeting_error)
            err = v->greeting_error;
        else if (now >= deadline)
            err = cannot_reach(v);
        if (err)
            break;
        connection_wait(v, NULL, deadline_left_ms(deadline, now, 1000));
        connection_step(v);
    }
    v->request_timeout_ms = request_timeout_ms;
    return err;
}

int vigil_open(const vigil_options *options, vigil **ret_connection)
{
    if (!ret_connection)
        return ERR_INVALID;
    struct vigil *v = calloc(1, sizeof *v);
    if (!v) {
        open_failure.code = ERR_NO_MEMORY;
        snprintf(open_failure.text, sizeof open_failure.text, "%s", error_text(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    int err = init(v, options);
    if (err == ERR_OK)
        err = wait_until_ready(v);
    if (err) {
        open_failure = v->failure;
        vigil_close(v);
        return err;
    }
    *ret_connection = v;
    return ERR_OK;
}

void vigil_close(vigil *v)
{
    if (!v)
        return;
    wait_forget(v);
    if (v->context) {
        delivery_close_session(v);
        channel_close(v);
        replay_channel_free(v);
        link_free(&v->link);
    }
    if (v->own_descriptor) {
        connection_remove_descriptor(v, v->own_descriptor);
        descriptor_close(v->own_descriptor);
        free(v->own_descriptor);
    }
    reply_frame_release(&v->pending, v->call_frame);
    reply_frame_release(&v->pending, v->received_frame);
    pending_free(&v->pending);
    outbox_free(&v->outbox);
    wire_buffer_free(&v->scratch);
    free(v->renewing);
    free(v->txn_results);
    context_release(v->context);
    free(v);
}

void vigil_get_info(const vigil *v, vigil_info *ret_info)
{
    *ret_info = (vigil_info){
        .epoch = v->epoch,
        .incarnation = v->incarnation,
        .head = v->head,
        .oldest = v->oldest,
        .value_size_max = v->value_size_max,
        .message_size_max = v->outbox.message_size_max,
        .server = v->server,
        .endpoint = v->endpoint_text,
    };
}

/* ---- requests ---- */

/* What an application sends in order, and may want to stop at the first failure. */
static bool stops_on_error(const struct vigil *v, uint8_t op)
{
    return v->stop_on_error && op >= OP_PUT && op <= OP_GET_MANY;
}

int connection_request_begin(struct vigil *v, uint8_t op, uint8_t flags, size_t body_size,
                             struct wire_buffer **ret_buffer)
{
    struct request_header header = {.op = op, .flags = flags, .id = v->pending.next_id};
    int err = pending_reserve(&v->pending);
    if (err == ERR_OK)
        err = outbox_begin(&v->outbox, &header, stops_on_error(v, op) ? MESSAGE_STOP_ON_ERROR : 0,
                           body_size, ret_buffer);
    if (err == ERR_TOO_LARGE)
        return connection_fail(v, err, "a request of %zu bytes; the server takes %u", body_size,
                               v->outbox.message_size_max);
    return err ? connection_fail(v, err, NULL) : ERR_OK;
}

int connection_request_end(struct vigil *v, reply_handler *handler, void *context, uint64_t *ret_id)
{
    struct wire_buffer *b = &v->outbox.last->buffer;
    uint8_t op = b->failed ? 0 : b->data[v->outbox.request_at + 4];
    int err = outbox_end(&v->outbox);
    if (err)
        return connection_fail(v, err, NULL);
    if (pending_count(&v->pending) == 0)
        channel_advance_clock(v); /* silence counts from here */
    uint64_t id = pending_add(&v->pending, &(struct pending_request){.op = op,
                                                                     .application = !handler,
                                                                     .stops = stops_on_error(v, op),
                                                                     .handler = handler,
                                                                     .context = context});
    if (ret_id)
        *ret_id = id;
    return ERR_OK;
}

static void on_call_reply(void *context, const struct reply *reply)
{
    struct call *call = context;
    call->done = true;
    call->reply = *reply;
    if (reply->message)
        call->message = *reply->message;
    if (reply->frame)
        reply_frame_keep(reply->frame);
}

static int call_failed(struct vigil *v, struct call *call)
{
    struct reply_error e;
    struct wire_reader body = call->reply.body;
    int err = call->reply.error;
    if (!call->reply.frame) /* DISCONNECTED: the connection has said why */
        return err == ERR_DISCONNECTED ? err : connection_fail(v, err, NULL);
    if (reply_error_read(&body, &e) && e.text.size > 0)
        return connection_fail(v, err, "%.*s", (int)e.text.size, (const char *)e.text.data);
    return connection_fail(v, err, NULL);
}

/* Silence for as long as a request may take is a lost connection, and all is given up. With less
 * time (a wait has its own), it cannot be told apart from a slow server, unless there is no
 * connection at all. */
static int call_timed_out(struct vigil *v, int timeout_ms, bool answered)
{
    bool full_time = v->request_timeout_ms >= 0 && timeout_ms >= v->request_timeout_ms;
    bool is_there = v->state == CHANNEL_READY;
    if (full_time && !answered) {
        connection_give_up(v, is_there ? "the server does not answer" : "no server is there");
        return v->failure.code;
    }
    if (!is_there) {
        delivery_drop_abandoned(v);
        return connection_fail(v, ERR_DISCONNECTED, "%s: no server is there", v->endpoint_text);
    }
    return connection_fail(v, ERR_TIMEOUT, "no answer within %d ms", timeout_ms);
}

int connection_malformed(struct vigil *v)
{
    connection_lost(v, "the server's reply was not understood");
    return connection_fail(v, ERR_MALFORMED, NULL);
}

int connection_call(struct vigil *v, struct call *call, int timeout_ms)
{
    *call = (struct call){.done = false};
    reply_frame_release(&v->pending, v->call_frame);
    v->call_frame = NULL;
    int err = connection_request_end(v, on_call_reply, call, NULL);
    if (err)
        return err;
    uint64_t answered = v->answered;
    int64_t deadline = deadline_after(timeout_ms);
    connection_send(v);
    while (!call->done) {
        int64_t now = clock_now_ms();
        if (now >= deadline) {
            connection_step(v); /* it may have come while the process was stopped */
            if (call->done)
                break;
            pending_abandon(&v->pending, call);
            return call_timed_out(v, timeout_ms, v->answered != answered);
        }
        connection_wait(v, NULL, deadline_left_ms(deadline, now, 1000));
        connection_step(v);
    }
    v->call_frame = call->reply.frame;
    return call->reply.error ? call_failed(v, call) : ERR_OK;
}

/* ---- descriptors ---- */

int connection_add_descriptor(struct vigil *v, struct descriptor *d)
{
    int err = descriptor_open(d);
    if (err)
        return connection_fail(v, err, "cannot make a descriptor");
    d->next = v->descriptors;
    v->descriptors = d;
    if (v->watched_fd >= 0)
        descriptor_add_plain(d, v->watched_fd, v->watched_events);
    descriptor_add(d, v->replay.socket);
    descriptor_signal(d);
    return ERR_OK;
}

void connection_remove_descriptor(struct vigil *v, struct descriptor *d)
{
    for (struct descriptor **link = &v->descriptors; *link; link = &(*link)->next) {
        if (*link == d) {
            *link = d->next;
            return;
        }
    }
}

void connection_socket_opened(struct vigil *v, void *socket)
{
    for (struct descriptor *d = v->descriptors; d; d = d->next)
        descriptor_add(d, socket);
}

void connection_socket_closing(struct vigil *v, void *socket)
{
    for (struct descriptor *d = v->descriptors; d; d = d->next)
        descriptor_remove(d, socket);
}

void connection_watch_plain(struct vigil *v, int fd, short events)
{
    if (fd == v->watched_fd && events == v->watched_events)
        return;
    for (struct descriptor *d = v->descriptors; d; d = d->next) {
        if (fd == v->watched_fd && fd >= 0)
            descriptor_change_plain(d, fd, events);
        else if (v->watched_fd >= 0)
            descriptor_remove_plain(d, v->watched_fd);
        if (fd != v->watched_fd && fd >= 0)
            descriptor_add_plain(d, fd, events);
    }
    v->watched_fd = fd;
    v->watched_events = events;
}

void connection_signal_all(struct vigil *v)
{
    for (struct descriptor *d = v->descriptors; d; d = d->next)
        descriptor_signal(d);
}
