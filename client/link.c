/* link.c - see link.h. */
#define _GNU_SOURCE
#include "client/link.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "protocol/limits.h"

enum {
    /* A server that vanished is noticed after a minute, also where nothing is under way. */
    KEEPALIVE_IDLE_S = 30,
    KEEPALIVE_INTERVAL_S = 10,
    KEEPALIVE_COUNT = 3,
    PONGS_MAX = 64,                    /* that wait for the socket; further pings are ignored */
    UNSENT_KEPT = MESSAGE_READER_MOST, /* bytes of its buffer that are kept for the next time */
    DISCARD_SIZE = 4096,
    DISCARD_MAX = 1024 /* reads */
};

static const struct {
    const char *own, *peer, *other_peer;
} types[] = {
    [LINK_REQUESTER] = {"DEALER", "ROUTER", NULL},
    [LINK_SUBSCRIBER] = {"SUB", "XPUB", "PUB"},
};

void link_init(struct link *l, enum link_kind kind, size_t message_size_max)
{
    *l = (struct link){.kind = kind, .fd = -1};
    message_reader_init(&l->reader, message_size_max);
    /* A line of messages, and answers to pings behind it. */
    wire_buffer_init(&l->unsent, SIZE_MAX / 2);
}

void link_free(struct link *l)
{
    link_close(l);
    message_reader_free(&l->reader);
    wire_buffer_free(&l->unsent);
}

/* ---- connecting ---- */

static void set_options(int fd, sa_family_t family)
{
    const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT},
    };
    /* Without them it is slower, or slower to notice a loss: no reason to do without a connection. */
    for (size_t i = 0; family != AF_UNIX && i < sizeof options / sizeof *options; i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

/* Greeting and READY at once: a peer of version 3 or newer needs no second thought about the mechanism.
 */
static bool introduce(struct link *l)
{
    uint8_t *p = wire_extend(&l->unsent, ZMTP_GREETING_SIZE + ZMTP_READY_MAX);
    if (!p)
        return false;
    zmtp_greeting(p);
    l->unsent.size = ZMTP_GREETING_SIZE + zmtp_ready(p + ZMTP_GREETING_SIZE, types[l->kind].own);
    return true;
}

bool link_open(struct link *l, const struct address *address)
{
    assert(l->state == LINK_CLOSED);
    sa_family_t family = address->name.ss_family;
    l->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return false;
    set_options(l->fd, family);
    if (connect(l->fd, (const struct sockaddr *)&address->name, address->size) != 0 &&
        errno != EINPROGRESS)
        goto fail;
    if (!introduce(l)) {
        errno = ENOMEM;
        goto fail;
    }
    l->owner = getpid();
    l->state = LINK_CONNECTING;
    return true;
fail:;
    int error = errno;
    link_close(l);
    errno = error;
    return false;
}

bool link_is_own(const struct link *l)
{
    return l->owner == getpid();
}

void link_close(struct link *l)
{
    /* A child may hold a copy that it never closes: the server is to see the end all the same. */
    if (l->fd >= 0 && link_is_own(l))
        (void)shutdown(l->fd, SHUT_RDWR);
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    l->owner = 0;
    l->state = LINK_CLOSED;
    l->is_read_dry = false;
    l->has_refused = false;
    l->hello.size = 0;
    l->line_count = 0;
    l->unsent_at = 0;
    wire_buffer_clear(&l->unsent);
    if (l->unsent.capacity > UNSENT_KEPT)
        wire_buffer_free(&l->unsent);
    message_reader_clear(&l->reader);
}

/* What comes behind the introduction stays in the reader. */
static bool read_introduction(struct link *l)
{
    struct bytes come = message_reader_bytes(&l->reader);
    size_t used = 0;
    if (come.size == 0)
        return true;
    enum zmtp_verdict verdict = zmtp_hello_take(&l->hello, come.data, come.size, &used);
    message_reader_skip(&l->reader, used);
    if (verdict == ZMTP_UNDECIDED)
        return true;
    if (verdict != ZMTP_WELCOME ||
        !zmtp_hello_is(&l->hello, types[l->kind].peer, types[l->kind].other_peer)) {
        errno = EPROTO;
        return false;
    }
    l->state = LINK_UP;
    return true;
}

bool link_advance(struct link *l)
{
    /* A socket that is not connected yet takes nothing, and says so as if it were full. */
    if (!link_flush(l))
        return false;
    if (l->unsent.size > 0)
        return true;
    enum link_read read;
    do {
        read = link_read(l);
        if (read == LINK_READ_END || read == LINK_READ_NO_MEMORY || !read_introduction(l))
            return false;
    } while (read == LINK_READ_SOME && l->state == LINK_CONNECTING);
    return true;
}

/* ---- sending ---- */

void link_add(struct link *l, struct bytes message)
{
    assert(link_takes(l));
    uint8_t *header = l->headers[l->line_count];
    struct iovec *parts = &l->line[2 * l->line_count++];
    parts[0] = (struct iovec){header, zmtp_header(header, message.size)};
    /* The type has no const; sendmsg only reads. */
    parts[1] = (struct iovec){(void *)(uintptr_t)message.data, message.size};
}

/* Bytes that the socket took; -1: the connection failed. */
static ssize_t send_parts(struct link *l, struct iovec *parts, size_t count)
{
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent = sendmsg(l->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR)
        sent = sendmsg(l->fd, &message, MSG_NOSIGNAL);
    l->is_read_dry = false;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    return sent;
}

static bool break_off(struct link *l)
{
    l->state = LINK_BROKEN;
    return false;
}

static bool send_unsent(struct link *l)
{
    struct iovec part = {l->unsent.data + l->unsent_at, l->unsent.size - l->unsent_at};
    if (l->unsent.failed)
        return break_off(l);
    ssize_t sent = send_parts(l, &part, 1);
    if (sent < 0)
        return break_off(l);
    l->unsent_at += (size_t)sent;
    if (l->unsent_at < l->unsent.size)
        return true;
    l->unsent_at = 0;
    wire_buffer_clear(&l->unsent);
    if (l->unsent.capacity > UNSENT_KEPT)
        wire_buffer_free(&l->unsent);
    return true;
}

static bool send_line(struct link *l)
{
    size_t count = 2 * (size_t)l->line_count;
    l->line_count = 0;
    ssize_t sent = send_parts(l, l->line, count);
    if (sent < 0) {
        l->has_refused = true;
        return break_off(l);
    }
    size_t skipped = (size_t)sent;
    for (size_t i = 0; i < count; i++) {
        const struct iovec *part = &l->line[i];
        size_t gone = skipped < part->iov_len ? skipped : part->iov_len;
        skipped -= gone;
        if (gone < part->iov_len)
            wire_write_raw(&l->unsent, (const uint8_t *)part->iov_base + gone,
                           part->iov_len - gone);
    }
    return l->unsent.failed ? break_off(l) : true;
}

bool link_flush(struct link *l)
{
    if (l->state == LINK_BROKEN || l->state == LINK_CLOSED)
        return false;
    assert(l->line_count == 0 || l->unsent.size == 0);
    if (l->unsent.size > 0 && !send_unsent(l))
        return false;
    return l->line_count == 0 || send_line(l);
}

/* ---- receiving ---- */

enum link_read link_read(struct link *l)
{
    struct message_room room = message_reader_room(&l->reader);
    if (room.size == 0)
        return LINK_READ_NO_MEMORY;
    ssize_t got = recv(l->fd, room.data, room.size, 0);
    while (got < 0 && errno == EINTR)
        got = recv(l->fd, room.data, room.size, 0);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return LINK_READ_NOTHING;
    if (got == 0)
        errno = ECONNRESET; /* as if it had failed */
    if (got <= 0)
        return LINK_READ_END;
    message_reader_came(&l->reader, (size_t)got);
    l->is_read_dry = (size_t)got < room.size;
    return l->is_read_dry ? LINK_READ_ALL : LINK_READ_SOME;
}

static void answer_command(struct link *l, struct bytes command)
{
    uint8_t pong[ZMTP_PONG_MAX];
    size_t size = zmtp_pong(command, pong);
    size_t waiting = l->unsent.size - l->unsent_at;
    if (size == 0 || l->state != LINK_UP || (waiting > 0 && l->pongs == PONGS_MAX))
        return;
    l->pongs = waiting > 0 ? (uint8_t)(l->pongs + 1) : 0;
    wire_write_raw(&l->unsent, pong, size);
    (void)link_flush(l); /* a failure is told by what is done next */
}

enum message_reader_item link_next(struct link *l, struct wire_buffer *message)
{
    for (;;) {
        struct bytes command;
        enum message_reader_item item = message_reader_next(&l->reader, message, &command);
        if (item != READER_COMMAND)
            return item;
        answer_command(l, command);
    }
}

void link_discard(struct link *l)
{
    uint8_t bytes[DISCARD_SIZE];
    for (unsigned i = 0; i < DISCARD_MAX; i++) {
        if (recv(l->fd, bytes, sizeof bytes, 0) <= 0)
            return;
    }
}
