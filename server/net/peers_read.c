#define _GNU_SOURCE
/* peers_read.c - see peers.h: from ready connections to messages. */
#include "server/net/gate.h"
#include "server/net/connection.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    TRIFLES_MAX = 4096,    /* pings and refusals of one turn, which fill no batch */
    BATCH_BYTES = 16 << 20 /* of the messages of a batch, and what lies between them */
};

/* ---- introductions ---- */

/* As a ROUTER of ZeroMQ has it. */
static bool is_welcome(enum zmtp_verdict verdict, const struct zmtp_hello *h)
{
    return verdict == ZMTP_WELCOME &&
           (zmtp_hello_is(h, "DEALER", "ROUTER") || zmtp_hello_is(h, "REQ", NULL));
}

/* Takes what belongs to the hello off data. False: it is not let in, and has ended. */
static bool introduce(struct peers *p, struct connection *c, struct bytes *data)
{
    size_t used = 0;
    if (data->size == 0)
        return true;
    enum zmtp_verdict verdict = zmtp_hello_take(c->hello, data->data, data->size, &used);
    data->data += used;
    data->size -= used;
    if (verdict == ZMTP_UNDECIDED)
        return true;
    if (is_welcome(verdict, c->hello)) {
        peers_welcome(p, c);
        return true;
    }
    gate_count_refused();
    peers_end(p, c);
    return false;
}

/* ---- receiving ---- */

/* Goes on with c later in any case: something whole may be left of it. */
static void make_pending(struct peers *p, struct connection *c)
{
    TAILQ_INSERT_TAIL(&p->pending, c, link);
    p->pending_count++;
    c->is_pending = true;
}

static void end_pending(struct peers *p, struct connection *c)
{
    if (!c->is_pending)
        return;
    TAILQ_REMOVE(&p->pending, c, link);
    p->pending_count--;
    c->is_pending = false;
}

/* Receives once. True: p->current and p->unread are set. What a peer sent before it went is there as
 * well: only with nothing left of it has it ended. */
static bool read_connection(struct peers *p, struct connection *c)
{
    struct inbox_place place;
    end_pending(p, c);
    if (!peer_inbox_place(&p->inbox, &c->rest, &place)) {
        peers_end(p, c); /* which gives some memory back */
        return false;
    }
    ssize_t got = -1;
    errno = EAGAIN;
    if (place.room > 0)
        got = recvfrom(c->fd, place.data + place.have, place.room, MSG_DONTWAIT, NULL, NULL);
    bool is_over = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    size_t received = got > 0 ? (size_t)got : 0;
    p->more_waits = p->more_waits || received == place.room;
    struct bytes data = peer_inbox_take(&p->inbox, &c->rest, &place, received);
    if (is_over && (data.size == 0 || c->hello)) {
        peers_end(p, c);
        return false;
    }
    c->is_over = is_over;
    if (c->hello && !introduce(p, c, &data))
        return false;
    if (data.size == 0 || c->hello)
        return false;
    p->current = c;
    p->unread = data;
    return true;
}

/* Ready ones first, then those of which something was left. NULL: the round is over. */
static struct connection *next_connection(struct peers *p)
{
    while (p->ready_at < p->ready_count) {
        const struct epoll_event *event = &p->ready[p->ready_at++];
        struct connection *c = peers_at(p, peers_mark_index(event->data.u64));
        if (!c) /* it has ended meanwhile */
            continue;
        if ((event->events & EPOLLOUT) != 0)
            peers_write(p, c);
        if ((event->events & ~(uint32_t)EPOLLOUT) != 0)
            return c;
    }
    if (p->pending_left == 0)
        return NULL;
    p->pending_left--;
    if (TAILQ_EMPTY(&p->pending))
        p->pending_left = 0;
    return TAILQ_FIRST(&p->pending);
}

/* What is left of the current one's bytes stays with it. */
static void leave(struct peers *p, uint64_t wants)
{
    struct connection *c = p->current;
    p->current = NULL;
    if (!peer_inbox_keep(&c->rest, p->unread, wants))
        peers_end(p, c);
}

/* ---- messages ---- */

static void answer(struct peers *p, struct connection *c, struct bytes command)
{
    uint8_t pong[ZMTP_PONG_MAX];
    size_t size = zmtp_pong(command, pong);
    if (size > 0)
        peers_send_command(p, c, (struct bytes){pong, size});
}

static void write_name(const struct connection *c, uint8_t out[PEERS_NAME_SIZE])
{
    wire_store_u32(out, (uint32_t)c->fd);
    wire_store_u64(out + 4, c->serial);
}

/* The next thing of the current peer; PEERS_NONE: it has no more, or something that is no message. */
static enum peers_result read_current(struct peers *p, struct peer_message *ret_message)
{
    struct connection *c = p->current;
    struct bytes body = {NULL, 0};
    size_t used = 0;
    enum zmtp_found found =
        zmtp_reader_next(&c->reader, p->unread, p->message_size_max, &used, &body);
    p->unread.data += used;
    p->unread.size -= used;
    switch (found) {
    case ZMTP_MESSAGE:
        write_name(c, ret_message->peer);
        ret_message->body = body;
        return PEERS_MESSAGE;
    case ZMTP_SURPLUS:
        p->trifles++;
        write_name(c, ret_message->peer);
        return PEERS_SURPLUS;
    case ZMTP_CONTROL:
        p->trifles++;
        answer(p, c, body);
        return PEERS_NONE;
    case ZMTP_INCOMPLETE:
        if (c->is_over)
            peers_end(p, c);
        else
            leave(p, zmtp_reader_wants(p->unread));
        return PEERS_NONE;
    case ZMTP_ENDLESS:
        break;
    }
    gate_count_cut_off();
    peers_end(p, c);
    return PEERS_NONE;
}

enum peers_result peers_receive(struct peers *p, struct peer_message *ret_message)
{
    while (p->trifles < TRIFLES_MAX) {
        if (p->current) {
            enum peers_result result = read_current(p, ret_message);
            if (result != PEERS_NONE)
                return result;
            continue;
        }
        struct connection *c = next_connection(p);
        if (!c)
            return PEERS_NONE;
        read_connection(p, c);
    }
    return PEERS_NONE;
}

bool peers_all_read(const struct peers *p)
{
    return !p->more_waits && !p->current && p->ready_at == p->ready_count && p->pending_count == 0;
}

bool peers_batch_full(const struct peers *p)
{
    return p->inbox.bytes >= BATCH_BYTES;
}

void peers_release(struct peers *p)
{
    struct connection *c = p->current;
    if (c) {
        make_pending(p, c);
        leave(p, 0);
    }
    peer_inbox_release(&p->inbox);
}
