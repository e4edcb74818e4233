/*
 * link.h - one connection to a socket of the server: a stream socket that speaks ZMTP 3.1, read and
 * written by the thread that uses the handle. It never blocks.
 *
 *   CLOSED --link_open--> CONNECTING --link_advance--> UP
 *      ^                       |                        |
 *      +-------- link_close, after any failure ---------+
 *
 * 1. Nothing is sent before the peer has introduced itself as what fits, but for the own introduction.
 * 2. What link_add was given goes out whole and in order, or the connection fails.
 * 3. After a failure nothing more is sent; what has come can still be read.
 */
#ifndef VIGIL_CLIENT_LINK_H
#define VIGIL_CLIENT_LINK_H

#include <sys/uio.h>

#include "client/address.h"
#include "client/message_reader.h"
#include "protocol/zmtp.h"

/* BROKEN: see 3 */
enum link_state { LINK_CLOSED, LINK_CONNECTING, LINK_UP, LINK_BROKEN };

/* A DEALER for a ROUTER, or a SUB for an XPUB. */
enum link_kind { LINK_REQUESTER, LINK_SUBSCRIBER };

enum { LINK_LINE_MAX = 16 /* messages that share a system call */ };

struct link {
    enum link_state state;
    enum link_kind kind;
    int fd;           /* -1: none */
    pid_t owner;      /* the process that connected: a child after fork only has a copy */
    bool is_read_dry; /* nothing has come since the last look, as far as is known */
    struct zmtp_hello hello;
    struct message_reader reader;
    struct wire_buffer unsent; /* what the socket did not take, from unsent_at */
    size_t unsent_at;
    bool has_refused;
    uint8_t pongs;      /* in unsent, behind what was there first */
    uint8_t line_count; /* messages that wait for link_flush */
    uint8_t headers[LINK_LINE_MAX][ZMTP_HEADER_MAX];
    struct iovec line[2 * LINK_LINE_MAX];
};

/* message_size_max: bytes of a message from the server. */
void link_init(struct link *l, enum link_kind kind, size_t message_size_max);
void link_free(struct link *l);

/* Begins to connect; l must be closed. False, with errno: it stays closed. */
bool link_open(struct link *l, const struct address *address);
/* CONNECTING: goes on as far as it can. False: it failed. */
bool link_advance(struct link *l);
/* Ends the connection at once; in a child after fork, only its copy of it. What the socket has taken is
 * still delivered, if nothing comes in between that was not read. */
void link_close(struct link *l);

/* True in the process that connected. */
bool link_is_own(const struct link *l);

/* ---- sending (UP) ---- */

/* False: the socket is full, or the line is. Add nothing until it is true. */
static inline bool link_takes(const struct link *l)
{
    return l->state == LINK_UP && l->unsent.size == 0 && l->line_count < LINK_LINE_MAX;
}
/* A message for the next link_flush, up to which its bytes must stay. */
void link_add(struct link *l, struct bytes message);
/* Sends what was added, and what the socket did not take before. False: the connection failed. */
bool link_flush(struct link *l);
/* Of a flush that failed: the socket took nothing of what had been added. */
static inline bool link_has_refused(const struct link *l)
{
    return l->has_refused;
}
/* The socket is to be waited for until it is writable. */
static inline bool link_wants_write(const struct link *l)
{
    return l->unsent.size > 0 && l->state != LINK_BROKEN;
}

/* ---- receiving (UP, BROKEN) ---- */

enum link_read {
    LINK_READ_NOTHING,
    LINK_READ_ALL,  /* some bytes, and there were no more */
    LINK_READ_SOME, /* there may be more */
    LINK_READ_END,  /* the peer has closed the connection, or it failed */
    LINK_READ_NO_MEMORY
};
/* Receives once. Call link_next until it finds nothing before the next one. */
enum link_read link_read(struct link *l);
/* The next message of what has been received; answers pings. READER_COMMAND is never returned. */
enum message_reader_item link_next(struct link *l, struct wire_buffer *message);
/* Throws away what has come: a socket that is closed with unread bytes makes TCP tell the peer that
 * the connection broke, which may overtake what was sent last. */
void link_discard(struct link *l);

#endif
