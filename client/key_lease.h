/*
 * key_lease.h - what is known of a lease for keys: how long it surely lives.
 *
 * The thread of the connection, that of the keeper, and any that asks share it:
 * the fields that change are atomic.
 */
#ifndef VIGIL_CLIENT_KEY_LEASE_H
#define VIGIL_CLIENT_KEY_LEASE_H

#include <vigil.h>

#include <stdatomic.h>

#include "client/connection.h"

struct keeper;

struct vigil_lease {
    struct vigil *v;
    struct keeper *keeper; /* NULL: renewed by hand */
    uint64_t id;
    uint32_t ttl_ms;
    _Atomic int64_t safe_until_ms; /* of the boot clock */
    atomic_bool ended;             /* the server has said so */
    int fd; /* readable: it has ended, or its time is over; -1: renewed by hand */
};

/* A renewal, sent at this time of the boot clock, was answered. */
void key_lease_answered(struct vigil_lease *l, int64_t sent_ms, bool known);
/* The body of a renewal of this lease. */
void key_lease_write_renewal(const struct vigil_lease *l, struct wire_buffer *b);
/* What it says; false if it says nothing of one lease. */
bool key_lease_read_renewal(struct wire_reader *body, bool *ret_known);
enum { KEY_LEASE_RENEWAL_SIZE = 10 };

#endif
