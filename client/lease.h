/*
 * lease.h - keeps the streams of a connection's watches alive: one request for all, every third of
 * a lease.
 */
#ifndef VIGIL_CLIENT_LEASE_H
#define VIGIL_CLIENT_LEASE_H

#include "client/connection.h"

/* A stream was opened: from now on there is something to renew. */
void lease_started(struct vigil *v);
/* Renews if it is time. */
void lease_renew(struct vigil *v);
/* The connection is lost: the streams are opened again, with new leases. */
void lease_forget(struct vigil *v);

#endif
