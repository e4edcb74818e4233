/* raw_server.c - see raw_server.h. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/raw_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/zmtp.h"

enum { PATIENCE_S = 30, MESSAGE_MAX = 64 << 20 };

/* ---- listening ---- */

static void unix_name(const struct raw_server *s, struct sockaddr_un *ret_name)
{
    *ret_name = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(ret_name->sun_path, sizeof ret_name->sun_path, "%s/s", s->folder);
}

void raw_server_listen_again(struct raw_server *s)
{
    struct sockaddr_un name;
    unix_name(s, &name);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->listener >= 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(s->listener, 8), 0);
}

void raw_server_unlisten(struct raw_server *s)
{
    struct sockaddr_un name;
    unix_name(s, &name);
    close(s->listener);
    s->listener = -1;
    unlink(name.sun_path);
}

void raw_server_listen(struct raw_server *s)
{
    *s = (struct raw_server){.listener = -1, .fd = -1};
    assert_true(temp_folder_make(s->folder));
    snprintf(s->endpoint, sizeof s->endpoint, "ipc://%s/s", s->folder);
    raw_server_listen_again(s);
}

bool raw_server_listen_tcp(struct raw_server *s, const char *address, const char *host)
{
    struct sockaddr_in six_less = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    bool is_six = inet_pton(AF_INET6, address, &six.sin6_addr) == 1;
    struct sockaddr *name = is_six ? (struct sockaddr *)&six : (struct sockaddr *)&six_less;
    socklen_t size = is_six ? sizeof six : sizeof six_less;
    const int only = 1;
    *s = (struct raw_server){.listener = -1, .fd = -1};
    if (!is_six)
        assert_int_equal(inet_pton(AF_INET, address, &six_less.sin_addr), 1);
    s->listener = socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listener >= 0 && is_six)
        (void)setsockopt(s->listener, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    if (s->listener < 0 || bind(s->listener, name, size) != 0 || listen(s->listener, 8) != 0) {
        if (s->listener >= 0)
            close(s->listener);
        s->listener = -1;
        return false;
    }
    assert_int_equal(getsockname(s->listener, name, &size), 0);
    snprintf(s->endpoint, sizeof s->endpoint, "tcp://%s:%u", host,
             (unsigned)ntohs(is_six ? six.sin6_port : six_less.sin_port));
    return true;
}

static void *run(void *context)
{
    struct raw_server *s = context;
    s->went_well = s->lines(s);
    return NULL;
}

void raw_server_start(struct raw_server *s, raw_server_lines *lines)
{
    s->lines = lines;
    assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
}

void raw_server_join(struct raw_server *s)
{
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    raw_server_drop(s);
    free(s->message);
    s->message = NULL;
    assert_true(s->went_well);
}

void raw_server_close(struct raw_server *s)
{
    if (s->listener >= 0)
        close(s->listener);
    s->listener = -1;
    if (s->folder[0])
        temp_folder_remove(s->folder);
}

/* ---- bytes and frames ---- */

bool raw_server_accept(struct raw_server *s)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    const int at_once = 1;
    raw_server_drop(s);
    (void)setsockopt(s->listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    s->fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    if (s->fd < 0)
        return false;
    (void)setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(s->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    (void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    return true;
}

void raw_server_drop(struct raw_server *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

bool raw_server_send(struct raw_server *s, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size > 0) {
        size_t piece = s->piece > 0 && s->piece < size ? s->piece : size;
        ssize_t sent = send(s->fd, at, piece, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

bool raw_server_send_frame(struct raw_server *s, uint8_t flags, const void *data, size_t size)
{
    uint8_t header[ZMTP_HEADER_MAX];
    size_t header_size = zmtp_header(header, size);
    header[0] |= flags;
    return raw_server_send(s, header, header_size) && raw_server_send(s, data, size);
}

static bool receive(struct raw_server *s, void *out, size_t size)
{
    return size == 0 || recv(s->fd, out, size, MSG_WAITALL) == (ssize_t)size;
}

uint8_t *raw_server_read_frame(struct raw_server *s, uint8_t *ret_flags, size_t *ret_size)
{
    uint8_t header[ZMTP_HEADER_MAX];
    struct zmtp_frame f;
    if (!receive(s, header, 2))
        return NULL;
    if (!zmtp_frame_read(header, 2, &f) &&
        (!receive(s, header + 2, sizeof header - 2) || !zmtp_frame_read(header, sizeof header, &f)))
        return NULL;
    if (f.body_size > MESSAGE_MAX)
        return NULL;
    uint8_t *body = malloc((size_t)f.body_size + 1);
    if (body && !receive(s, body, (size_t)f.body_size)) {
        free(body);
        return NULL;
    }
    *ret_flags = f.flags;
    *ret_size = (size_t)f.body_size;
    return body;
}

/* ---- messages ---- */

bool raw_server_handshake(struct raw_server *s, const char *own, const char *peer)
{
    uint8_t greeting[ZMTP_GREETING_SIZE];
    uint8_t ready[ZMTP_READY_MAX];
    uint8_t flags = 0;
    size_t size = 0;
    zmtp_greeting(greeting);
    const size_t ready_size = zmtp_ready(ready, own);
    if (!raw_server_send(s, greeting, sizeof greeting) || !raw_server_send(s, ready, ready_size) ||
        !receive(s, greeting, sizeof greeting))
        return false;
    uint8_t *body = raw_server_read_frame(s, &flags, &size);
    bool fits = body && flags == ZMTP_COMMAND && memmem(body, size, peer, strlen(peer));
    free(body);
    return fits && greeting[0] == 0xff;
}

bool raw_server_take(struct raw_server *s)
{
    for (;;) {
        uint8_t flags = 0;
        size_t size = 0;
        uint8_t *body = raw_server_read_frame(s, &flags, &size);
        if (!body)
            return false;
        if ((flags & ZMTP_COMMAND) != 0) {
            free(body);
            continue;
        }
        free(s->message);
        s->message = body;
        struct wire_reader r = wire_reader_of(body, size);
        return (flags & ZMTP_MORE) == 0 && request_message_read(&r, &s->header) == ERR_OK &&
               request_read(&r, &s->request, &s->body) == ERR_OK;
    }
}

static void begin_reply(const struct raw_server *s, struct wire_buffer *b)
{
    wire_buffer_init(b, MESSAGE_MAX);
    reply_message_begin(
        b, &(struct reply_message_header){.count = s->header.count, .epoch = 5, .incarnation = 9});
}

void raw_server_reply_get(const struct raw_server *s, struct bytes value, struct wire_buffer *b)
{
    begin_reply(s, b);
    size_t place = reply_begin(b, &(struct reply_header){.op = OP_GET, .id = s->request.id});
    reply_get_write(b,
                    &(struct reply_get){.present = 1, .modified = 1, .version = 1, .value = value});
    message_part_end(b, place);
}

/* To each of its requests. */
void raw_server_reply_put(const struct raw_server *s, struct wire_buffer *b)
{
    begin_reply(s, b);
    for (uint16_t i = 0; i < s->header.count; i++) {
        struct reply_header header = {
            .op = OP_PUT, .id = s->request.id + i, .seq = s->request.id + i};
        size_t place = reply_begin(b, &header);
        reply_put_write(b, &(struct reply_put){.version = 1});
        message_part_end(b, place);
    }
}

bool raw_server_answer(struct raw_server *s, struct wire_buffer *b)
{
    bool sent = !b->failed && raw_server_send_frame(s, 0, b->data, b->size);
    wire_buffer_free(b);
    return sent;
}

static bool answer_hello(struct raw_server *s)
{
    static const uint8_t no_ports[2];
    struct wire_buffer b;
    const struct reply_hello hello = {.protocol = PROTOCOL_VERSION,
                                      .window_messages = 64,
                                      .message_size_max = LIMIT_MESSAGE_SIZE,
                                      .value_size_max = 1 << 20,
                                      .lease_ms = 30000,
                                      .stream_suffix = {(const uint8_t *)".stream", 7},
                                      .replay_suffix = {(const uint8_t *)".replay", 7},
                                      .ports = {no_ports, sizeof no_ports}};
    begin_reply(s, &b);
    size_t place = reply_begin(&b, &(struct reply_header){.op = OP_HELLO, .id = s->request.id});
    reply_hello_write(&b, &hello);
    message_part_end(&b, place);
    return raw_server_answer(s, &b);
}

bool raw_server_welcome(struct raw_server *s)
{
    return raw_server_accept(s) && raw_server_handshake(s, "ROUTER", "DEALER") &&
           raw_server_take(s) && s->request.op == OP_HELLO && answer_hello(s);
}

bool raw_server_ended(struct raw_server *s)
{
    uint8_t bytes[4096];
    ssize_t got;
    do
        got = recv(s->fd, bytes, sizeof bytes, 0);
    while (got > 0);
    return got == 0 || errno == ECONNRESET;
}
