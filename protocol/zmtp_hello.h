/*
 * zmtp_hello.h - reads along while a new peer introduces itself (ZMTP 3, mechanism NULL: greeting,
 * then the READY command), and says whether it may be let in. Pure.
 *
 * A peer must not name itself. A ROUTER gives a peer without a name one of its own, a byte 0 and a
 * number: who claims such a name ends the whole process once the number comes round, because ZeroMQ
 * takes that for impossible. And of two peers with one name the second is never read from: what it
 * has sent stays in memory when it is long gone.
 */
#ifndef VIGIL_PROTOCOL_ZMTP_HELLO_H
#define VIGIL_PROTOCOL_ZMTP_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ZMTP_GREETING_SIZE = 64,
    ZMTP_READY_SIZE_MAX = 512, /* ZeroMQ's has less than 60 bytes; an application may add to it */
    ZMTP_HELLO_SIZE_MAX = ZMTP_GREETING_SIZE + 9 + ZMTP_READY_SIZE_MAX
};

enum zmtp_verdict {
    ZMTP_UNDECIDED,  /* more is to come */
    ZMTP_WELCOME,    /* it has introduced itself */
    ZMTP_SUBSCRIBER, /* likewise, as a SUB or XSUB */
    ZMTP_REFUSED
};

struct zmtp_hello {
    uint16_t size;
    uint8_t bytes[ZMTP_HELLO_SIZE_MAX];
};

/* The next bytes of a hello that is undecided, one or more; zero it before the first. *ret_used: how
 * many of them belong to it. The verdict falls with the same byte, whatever the pieces. */
enum zmtp_verdict zmtp_hello_take(struct zmtp_hello *h, const void *data, size_t size,
                                  size_t *ret_used);

/* Of a hello whose verdict was a welcome: its mechanism is NULL, and each type that it gives is one of
 * the two; other may be NULL. ZeroMQ checks this by itself. */
bool zmtp_hello_is(const struct zmtp_hello *h, const char *type, const char *other);

#endif
