/*
 * connection.h - what the files of peers.h share: a connection, and all of them.
 *
 *   peers.c         the table, the waiting, accepting, introductions, the end
 *   peers_listen.c  listeners
 *   peers_read.c    from ready connections to messages
 *   peers_write.c   replies
 */
#ifndef VIGIL_SERVER_NET_CONNECTION_H
#define VIGIL_SERVER_NET_CONNECTION_H

#include "protocol/zmtp_hello.h"
#include "protocol/zmtp_reader.h"
#include "server/net/config.h"
#include "server/net/peer_inbox.h"
#include "server/net/peer_outbox.h"
#include "server/net/peers.h"

#include <sys/epoll.h>
#include <sys/queue.h>

enum { PEERS_EVENTS = 256 }; /* connections of a round */

struct connection {
    uint64_t serial;
    int fd;
    bool is_stuck;            /* the kernel takes no more: EPOLLOUT is waited for */
    bool is_deaf;             /* sending has failed: what it sent is still read */
    bool is_over;             /* receiving has found its end: only the rest is left */
    bool is_queued;           /* among those to flush */
    bool is_pending;          /* rest may hold whole messages */
    struct zmtp_hello *hello; /* NULL: it has introduced itself */
    uint64_t due_us;          /* until when it has to */
    struct zmtp_reader reader;
    struct inbox_block *rest; /* what has come of what is not whole */
    struct peer_outbox out;
    TAILQ_ENTRY(connection) link; /* among the newcomers, later among the pending */
    TAILQ_ENTRY(connection) flush_link;
};

TAILQ_HEAD(connection_list, connection);

struct listener {
    int fd;
    uint64_t paused_until_us; /* 0: it accepts */
};

struct peers {
    int epoll;
    uint64_t message_size_max;
    struct connection **table; /* by descriptor */
    size_t table_size;
    uint64_t serial; /* of the last connection */

    struct listener listeners[CONFIG_LISTEN_MAX];
    size_t listeners_count;
    bool any_paused;
    int others[PEERS_OTHERS]; /* descriptors; -1: none */
    bool stirred[PEERS_OTHERS];
    uint64_t looked_us; /* when the others were last looked at */

    struct connection_list newcomers; /* in the order in which they are due */
    struct connection_list pending;
    size_t pending_count;
    size_t pending_left; /* of this round */
    struct connection_list to_flush;

    struct epoll_event ready[PEERS_EVENTS]; /* of this round */
    size_t ready_at;
    size_t ready_count;
    bool more_waits;            /* this round has left something in the kernel */
    unsigned trifles;           /* pings and refusals of this round's turn */
    struct connection *current; /* being read; NULL: none */
    struct bytes unread;        /* what it has sent */
    struct peer_inbox inbox;

    size_t waiting; /* bytes in all outboxes */
};

/* How events tell what they are of. */
enum peers_kind { PEERS_CONNECTION, PEERS_LISTENER, PEERS_OTHER };
static inline uint64_t peers_mark(enum peers_kind kind, uint32_t index)
{
    return (uint64_t)kind << 32 | index;
}
static inline enum peers_kind peers_mark_kind(uint64_t mark)
{
    return (enum peers_kind)(mark >> 32);
}
static inline uint32_t peers_mark_index(uint64_t mark)
{
    return (uint32_t)mark;
}

/* ---- peers.c ---- */

/* NULL: there is none. */
struct connection *peers_at(const struct peers *p, uint32_t fd);
/* Closes it and frees c; current is NULL afterwards if it was that. */
void peers_end(struct peers *p, struct connection *c);
/* Waits for room to send as well, or not any more. False: memory is short. */
bool peers_wait_for_room(struct peers *p, struct connection *c, bool wanted);
/* It has introduced itself: what it sends are frames from now on. */
void peers_welcome(struct peers *p, struct connection *c);

/* ---- peers_write.c ---- */

/* An answer to a ping. Left out where replies are dropped. */
void peers_send_command(struct peers *p, struct connection *c, struct bytes frame);
/* Sends what waits, as far as it goes. */
void peers_write(struct peers *p, struct connection *c);
/* Forgets what waits. */
void peers_drop_replies(struct peers *p, struct connection *c);

#endif
