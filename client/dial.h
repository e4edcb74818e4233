/*
 * dial.h - the way to a server: looks its addresses up, and tries one after another until a link is up.
 */
#ifndef VIGIL_CLIENT_DIAL_H
#define VIGIL_CLIENT_DIAL_H

#include "client/address.h"
#include "client/link.h"

enum dial_progress { DIAL_WAITS, DIAL_UP, DIAL_FAILED };

struct dial {
    struct address_lookup *lookup; /* under way; NULL: the addresses are known */
    struct address_list addresses;
    uint8_t next;   /* address */
    int64_t due_ms; /* of the lookup or attempt under way, on the connection's clock */
};

/* Begins; dial_go comes next. ERR_OK; ERR_LIMIT (threads, descriptors, memory). */
int dial_start(struct dial *d, const struct endpoint *e, int64_t now_ms);
/* Goes on as far as it can without waiting. l is closed, or an attempt of this dial. FAILED: no address
 * is left, l is closed; errno says why the last one failed. */
enum dial_progress dial_go(struct dial *d, struct link *l, int64_t now_ms);
/* Ends what is under way, but for the link. */
void dial_stop(struct dial *d);
/* To be waited for until it is readable; -1: the link is. Belongs to the lookup. */
int dial_fd(const struct dial *d);

#endif
