/* etcd_http2.c - calls of gRPC over HTTP/2, on libnghttp2; see etcd_http2.h. */
#define _GNU_SOURCE
#include "bench/peers/etcd_http2.h"
#include "bench/monotonic.h"
#include "bench/peers/etcd_tcp.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    WINDOW_SIZE = 1 << 30,
    IN_SIZE = 1 << 16,
    OUT_SIZE = 1 << 18, /* one write has at most about that */
    RECEIVES_MAX = 16,  /* of one http2_receive, so that other connections have their turn */
    CALLS_BEFORE_GREETING = 4096, /* the server's settings replace it */
    GREETING_MS = 10000,
    STATUS_DIGITS_MAX = 3
};

struct http2_connection {
    int fd;
    uint32_t index;
    const struct http2_handler *handler;
    void *context;
    nghttp2_session *session;
    char *authority;
    bool greeted;
    int err; /* of a handler, on its way through libnghttp2 */
    struct failure failure;
    struct http2_call *calls; /* all of them */
    struct http2_call *free_calls;
    size_t out_at; /* from here on out is not written yet */
    struct wire_buffer out;
    uint8_t in[IN_SIZE];
};

static int session_failure(struct failure *failure, const char *what, ssize_t code)
{
    int err = code == NGHTTP2_ERR_NOMEM ? ERR_NO_MEMORY : ERR_IO;
    return failure_set(failure, err, "%s: %s", what, nghttp2_strerror((int)code));
}

/* ---- calls ---------------------------------------------------------------------- */

struct http2_call *http2_call_new(struct http2_connection *c)
{
    struct http2_call *call = c->free_calls;
    if (call) {
        c->free_calls = call->next_free;
    } else {
        call = calloc(1, sizeof *call);
        if (!call) {
            return NULL;
        }
        wire_buffer_init(&call->request, HTTP2_REQUEST_SIZE_MAX);
        grpc_reader_init(&call->response);
        call->next = c->calls;
        c->calls = call;
    }
    wire_buffer_clear(&call->request);
    grpc_reader_clear(&call->response);
    call->token = 0;
    call->messages = 0;
    call->sent = 0;
    call->http_status = 0;
    call->grpc_status = -1;
    call->status_text[0] = '\0';
    call->next_free = NULL;
    return call;
}

static void give_back(struct http2_connection *c, struct http2_call *call)
{
    call->next_free = c->free_calls;
    c->free_calls = call;
}

static ssize_t read_request(nghttp2_session *session, int32_t stream, uint8_t *out, size_t size,
                            uint32_t *flags, nghttp2_data_source *source, void *connection)
{
    (void)session;
    (void)stream;
    (void)connection;
    struct http2_call *call = source->ptr;
    size_t left = call->request.size - call->sent;
    size_t n = left < size ? left : size;
    if (n == 0 && call->stays_open) {
        return NGHTTP2_ERR_DEFERRED;
    }
    memcpy(out, call->request.data + call->sent, n);
    call->sent += n;
    if (n == left && !call->stays_open) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

static nghttp2_nv header_of(const char *name, const char *value)
{
    /* libnghttp2 does not write to them; its type only does not say so. */
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value),
                        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

int http2_call_start(struct http2_connection *c, struct http2_call *call, const char *path,
                     bool stays_open, struct failure *failure)
{
    /* After the first call each of these is one byte, by HTTP/2's header compression. */
    nghttp2_nv headers[] = {
        header_of(":method", "POST"),
        header_of(":scheme", "http"),
        header_of(":path", path),
        header_of(":authority", c->authority),
        header_of("content-type", "application/grpc"),
        header_of("te", "trailers"),
    };
    nghttp2_data_provider body = {.source.ptr = call, .read_callback = read_request};
    if (call->request.failed) {
        give_back(c, call);
        return failure_set(failure, ERR_TOO_LARGE, "the request is too large");
    }
    call->stays_open = stays_open;
    int32_t stream = nghttp2_submit_request(c->session, NULL, headers,
                                            sizeof headers / sizeof headers[0], &body, call);
    if (stream < 0) {
        give_back(c, call);
        return session_failure(failure, "cannot start a call", stream);
    }
    return ERR_OK;
}

/* ---- what libnghttp2 calls ------------------------------------------------------- */

/* Remembers the error for http2_receive, and makes libnghttp2 stop. */
static int stop(struct http2_connection *c, int err)
{
    c->err = err;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int parse_status(const uint8_t *value, size_t size)
{
    int status = 0;
    if (size == 0 || size > STATUS_DIGITS_MAX) {
        return -1;
    }
    for (size_t i = 0; i < size; i++) {
        if (value[i] < '0' || value[i] > '9') {
            return -1;
        }
        status = status * 10 + (value[i] - '0');
    }
    return status;
}

static bool is_named(const uint8_t *name, size_t size, const char *wanted)
{
    return size == strlen(wanted) && memcmp(name, wanted, size) == 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *connection)
{
    (void)flags;
    (void)connection;
    struct http2_call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!call) {
        return 0;
    }
    if (is_named(name, name_size, ":status")) {
        call->http_status = parse_status(value, value_size);
    } else if (is_named(name, name_size, "grpc-status")) {
        call->grpc_status = parse_status(value, value_size);
    } else if (is_named(name, name_size, "grpc-message")) {
        size_t room = sizeof call->status_text - 1;
        size_t n = value_size < room ? value_size : room;
        memcpy(call->status_text, value, n);
        call->status_text[n] = '\0';
    }
    return 0;
}

struct message_target {
    struct http2_connection *connection;
    struct http2_call *call;
};

static int on_message(void *context, struct bytes message)
{
    struct message_target *t = context;
    struct http2_connection *c = t->connection;
    t->call->messages++;
    return c->handler->message(c->context, c->index, t->call, message, &c->failure);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t size, void *connection)
{
    (void)flags;
    struct http2_connection *c = connection;
    struct message_target t = {c, nghttp2_session_get_stream_user_data(session, stream)};
    if (!t.call) {
        return 0;
    }
    int err = grpc_reader_take(&t.call->response, data, size, on_message, &t);
    if (!err) {
        return 0;
    }
    if (!c->failure.code) {
        failure_set(&c->failure, err, "a message of the server: %s", error_text(err));
    }
    return stop(c, err);
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t error_code,
                           void *connection)
{
    struct http2_connection *c = connection;
    struct http2_call *call = nghttp2_session_get_stream_user_data(session, stream);
    if (!call) {
        return 0;
    }
    /* Without a status of its own, what HTTP/2 says of the stream is all there is. */
    if (call->grpc_status != 0 || error_code != NGHTTP2_NO_ERROR ||
        !grpc_reader_complete(&call->response)) {
        const char *text =
            call->status_text[0] ? call->status_text : nghttp2_http2_strerror(error_code);
        return stop(c, failure_set(&c->failure, ERR_IO,
                                   "a call failed: gRPC status %d, HTTP status %d: %s",
                                   call->grpc_status, call->http_status, text));
    }
    uint64_t token = call->token;
    uint32_t messages = call->messages;
    give_back(c, call);
    int err = c->handler->end(c->context, c->index, token, messages, &c->failure);
    return err ? stop(c, err) : 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *connection)
{
    (void)session;
    struct http2_connection *c = connection;
    if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
        c->greeted = true;
    }
    return 0;
}

/* ---- sending and receiving -------------------------------------------------------- */

/* Writes out what waits there. */
static int write_out(struct http2_connection *c, bool *ret_blocked, struct failure *failure)
{
    while (c->out_at < c->out.size) {
        ssize_t n = send(c->fd, c->out.data + c->out_at, c->out.size - c->out_at,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            c->out_at += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            *ret_blocked = true;
            return ERR_OK;
        } else if (errno != EINTR) {
            return failure_set(failure, ERR_DISCONNECTED, "cannot send: %s", strerror(errno));
        }
    }
    wire_buffer_clear(&c->out);
    c->out_at = 0;
    return ERR_OK;
}

int http2_flush(struct http2_connection *c, bool *ret_blocked, struct failure *failure)
{
    bool blocked = false;
    bool empty = false;
    int err = ERR_OK;
    if (c->out.size > 0) {
        err = write_out(c, &blocked, failure);
    }
    while (!err && !blocked && !empty) {
        while (!empty && c->out.size < OUT_SIZE) {
            const uint8_t *data;
            ssize_t n = nghttp2_session_mem_send(c->session, &data);
            if (n < 0) {
                return session_failure(failure, "cannot send", n);
            }
            empty = n == 0;
            wire_write_raw(&c->out, data, (size_t)n);
        }
        if (c->out.failed) {
            return failure_set(failure, ERR_NO_MEMORY, "cannot send: out of memory");
        }
        err = write_out(c, &blocked, failure);
    }
    if (!err) {
        *ret_blocked = blocked;
    }
    return err;
}

int http2_receive(struct http2_connection *c, struct failure *failure)
{
    for (int i = 0; i < RECEIVES_MAX; i++) {
        ssize_t n = recv(c->fd, c->in, sizeof c->in, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
            return ERR_OK;
        }
        if (n <= 0) {
            return failure_set(failure, ERR_DISCONNECTED, "the connection is lost: %s",
                               n < 0 ? strerror(errno) : "closed by the server");
        }
        ssize_t taken = nghttp2_session_mem_recv(c->session, c->in, (size_t)n);
        if (taken < 0 && c->err) {
            return failure_set(failure, c->err, "%s",
                               c->failure.code ? c->failure.text : error_text(c->err));
        }
        if (taken < 0) {
            return session_failure(failure, "what the server sends", taken);
        }
        if ((size_t)n < sizeof c->in) {
            return ERR_OK;
        }
    }
    return ERR_OK;
}

/* ---- connecting -------------------------------------------------------------------- */

static int start_session(struct http2_connection *c, struct failure *failure)
{
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_SIZE},
    };
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int code = nghttp2_session_callbacks_new(&callbacks);
    if (!code) {
        code = nghttp2_option_new(&option);
    }
    if (!code) {
        nghttp2_option_set_peer_max_concurrent_streams(option, CALLS_BEFORE_GREETING);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        code = nghttp2_session_client_new2(&c->session, callbacks, c, option);
    }
    if (!code) {
        code = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
                                       sizeof settings / sizeof settings[0]);
    }
    if (!code) {
        code = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, WINDOW_SIZE);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return code ? session_failure(failure, "cannot start HTTP/2", code) : ERR_OK;
}

static int greet(struct http2_connection *c, struct failure *failure)
{
    uint64_t end_ns = monotonic_ns() + GREETING_MS * NS_PER_MS;
    while (!c->greeted) {
        bool blocked = false;
        int err = http2_flush(c, &blocked, failure);
        uint64_t now = monotonic_ns();
        if (!err && now >= end_ns) {
            err = failure_set(failure, ERR_TIMEOUT, "no HTTP/2 greeting from the server");
        }
        if (err) {
            return err;
        }
        short events = blocked ? POLLIN | POLLOUT : POLLIN;
        struct pollfd p = {.fd = c->fd, .events = events};
        poll(&p, 1, (int)((end_ns - now) / NS_PER_MS) + 1);
        err = http2_receive(c, failure);
        if (err) {
            return err;
        }
    }
    return ERR_OK;
}

int http2_connect(const char *address, const struct http2_handler *handler, void *context,
                  uint32_t index, struct http2_connection **ret_connection, struct failure *failure)
{
    struct http2_connection *c = calloc(1, sizeof *c);
    int err;
    if (!c) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    c->fd = -1;
    c->index = index;
    c->handler = handler;
    c->context = context;
    wire_buffer_init(&c->out, 2 * (size_t)OUT_SIZE);
    c->authority = strdup(address);
    err = etcd_tcp_connect(address, &c->fd, failure);
    if (!err && !c->authority) {
        err = failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    if (!err) {
        err = start_session(c, failure);
    }
    if (!err) {
        err = greet(c, failure);
    }
    if (err) {
        http2_close(c);
        return err;
    }
    *ret_connection = c;
    return ERR_OK;
}

void http2_close(struct http2_connection *c)
{
    if (!c) {
        return;
    }
    nghttp2_session_del(c->session);
    while (c->calls) {
        struct http2_call *call = c->calls;
        c->calls = call->next;
        wire_buffer_free(&call->request);
        grpc_reader_free(&call->response);
        free(call);
    }
    if (c->fd >= 0) {
        close(c->fd);
    }
    wire_buffer_free(&c->out);
    free(c->authority);
    free(c);
}

int http2_fd(const struct http2_connection *c)
{
    return c->fd;
}
