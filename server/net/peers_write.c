#define _GNU_SOURCE
/* peers_write.c - see peers.h: replies. */
#include "server/net/connection.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    SEND_AT_BYTES = 32 * 1024, /* what a turn queues for a peer before it is sent without waiting */
    LITTLE_BYTES = 64 * 1024,  /* a reply for which there is room, whatever others leave waiting */
    PIECES_MAX = 16
};

static struct connection *find(const struct peers *p, struct bytes name)
{
    if (name.size != PEERS_NAME_SIZE)
        return NULL;
    struct connection *c = peers_at(p, wire_load_u32(name.data));
    return c && c->serial == wire_load_u64(name.data + 4) ? c : NULL;
}

void peers_drop_replies(struct peers *p, struct connection *c)
{
    p->waiting -= c->out.bytes;
    peer_outbox_free(&c->out);
}

/* It cannot be told anything any more, and will see that. What it has sent is still read; that it has
 * ended is heard then. */
static void give_up(struct peers *p, struct connection *c)
{
    peers_drop_replies(p, c);
    c->is_deaf = true;
    shutdown(c->fd, SHUT_RDWR);
    if (c->is_stuck)
        peers_wait_for_room(p, c, false);
}

static bool has_room(const struct peers *p, const struct connection *c, size_t size)
{
    if (c->out.messages >= PEERS_WAITING_MESSAGES || c->out.bytes >= PEERS_WAITING_BYTES)
        return false;
    return p->waiting < PEERS_WAITING_BYTES_ALL || (c->out.bytes == 0 && size <= LITTLE_BYTES);
}

static bool add(struct peers *p, struct connection *c, struct bytes header, struct bytes body,
                size_t gone, uint32_t messages)
{
    if (!peer_outbox_add(&c->out, header, body, gone, messages))
        return false;
    p->waiting += header.size + body.size - gone;
    return true;
}

/* Of what waits and the pieces behind it: returns how many bytes have gone, -1 if none ever will. */
static ssize_t send_pieces(struct connection *c, struct iovec *pieces, size_t count)
{
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
    ssize_t sent =
        count == 1 ? send(c->fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
                   : sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return sent;
}

static void sent(struct peers *p, struct connection *c, size_t bytes)
{
    peer_outbox_sent(&c->out, bytes);
    p->waiting -= bytes;
}

void peers_write(struct peers *p, struct connection *c)
{
    struct iovec pieces[PIECES_MAX];
    size_t count = peer_outbox_pieces(&c->out, pieces, PIECES_MAX);
    if (count > 0) {
        ssize_t gone = send_pieces(c, pieces, count);
        if (gone < 0) {
            give_up(p, c);
            return;
        }
        sent(p, c, (size_t)gone);
    }
    bool waits = c->out.bytes > 0;
    if (waits != c->is_stuck && !peers_wait_for_room(p, c, waits) && waits)
        give_up(p, c);
}

/* Sends what waits and the frame behind it, without copying what goes. */
static bool send_at_once(struct peers *p, struct connection *c, struct bytes header,
                         struct bytes body)
{
    struct iovec pieces[PIECES_MAX + 2];
    size_t count = peer_outbox_pieces(&c->out, pieces, PIECES_MAX);
    size_t before = 0;
    for (size_t i = 0; i < count; i++)
        before += pieces[i].iov_len;
    bool with_frame = before == c->out.bytes;
    if (with_frame) {
        pieces[count++] = (struct iovec){(void *)(uintptr_t)header.data, header.size};
        pieces[count++] = (struct iovec){(void *)(uintptr_t)body.data, body.size};
    }
    ssize_t result = send_pieces(c, pieces, count);
    if (result < 0) {
        give_up(p, c);
        return false;
    }
    size_t gone = (size_t)result;
    size_t of_before = gone < before ? gone : before;
    sent(p, c, of_before);
    gone -= of_before;
    if (with_frame && gone == header.size + body.size)
        return true;
    bool added = (gone > 0 || has_room(p, c, body.size)) && add(p, c, header, body, gone, 1);
    if ((gone > 0 && !added) || (c->out.bytes > 0 && !peers_wait_for_room(p, c, true))) {
        give_up(p, c); /* half a frame is the end */
        return false;
    }
    return added;
}

static void queue(struct peers *p, struct connection *c)
{
    if (c->is_queued || c->is_stuck)
        return;
    TAILQ_INSERT_TAIL(&p->to_flush, c, flush_link);
    c->is_queued = true;
}

bool peers_send(struct peers *p, struct bytes peer, struct bytes body)
{
    uint8_t bytes[ZMTP_HEADER_MAX];
    struct bytes header = {bytes, zmtp_header(bytes, body.size)};
    struct connection *c = find(p, peer);
    if (!c || c->is_deaf)
        return false;
    queue(p, c);
    bool is_much =
        c->out.bytes + body.size >= SEND_AT_BYTES || c->out.messages >= PEERS_WAITING_MESSAGES;
    if (is_much && !c->is_stuck)
        return send_at_once(p, c, header, body);
    return has_room(p, c, body.size) && add(p, c, header, body, 0, 1);
}

void peers_send_command(struct peers *p, struct connection *c, struct bytes frame)
{
    if (c->is_deaf || !has_room(p, c, frame.size) || c->out.bytes >= LITTLE_BYTES)
        return;
    queue(p, c);
    add(p, c, frame, (struct bytes){NULL, 0}, 0, 0);
}

void peers_flush(struct peers *p)
{
    struct connection *c;
    while ((c = TAILQ_FIRST(&p->to_flush))) {
        TAILQ_REMOVE(&p->to_flush, c, flush_link);
        c->is_queued = false;
        if (c->out.bytes > 0 && !c->is_stuck)
            peers_write(p, c);
    }
}
