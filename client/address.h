/*
 * address.h - the socket addresses that an endpoint stands for. Paths and numeric addresses are known
 * at once; names are looked up by a thread, because that may take seconds and a step may not.
 *
 * Everything is called on the thread that uses the handle.
 */
#ifndef VIGIL_CLIENT_ADDRESS_H
#define VIGIL_CLIENT_ADDRESS_H

#include <sys/socket.h>

#include "protocol/endpoint.h"

enum { ADDRESSES_MAX = 16 };

struct address {
    struct sockaddr_storage name;
    socklen_t size;
};

struct address_list {
    uint8_t count;
    struct address each[ADDRESSES_MAX]; /* in the order in which they are to be tried */
};

/* Does not block. False: the host is a name. */
bool address_of(const struct endpoint *e, struct address_list *ret_list);

struct address_lookup;

/* Starts a thread that ends with the answer, however long that takes. NULL: out of memory, threads or
 * descriptors. */
struct address_lookup *address_lookup_start(const struct endpoint *e);
/* Readable when there is an answer. Belongs to the lookup. */
int address_lookup_fd(const struct address_lookup *l);
/* Does not block. False: there is no answer yet. The list is empty if the name is not known. */
bool address_lookup_take(struct address_lookup *l, struct address_list *ret_list);
/* Nobody waits for it any more. Does not block: the thread goes on alone, if it still runs. Takes
 * NULL. */
void address_lookup_drop(struct address_lookup *l);

#endif
