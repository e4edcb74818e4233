/*
 * keeper.h - a thread that renews a lease, over a connection of its own, for as
 * long as the process runs.
 *
 * 1. It owns the connection; nothing else of the library is touched by it but the
 *    lease's atomic fields and its descriptor.
 * 2. It ends when it is told to, or when the server says that the lease has ended.
 * 3. It takes no signals.
 */
#ifndef VIGIL_CLIENT_KEEPER_H
#define VIGIL_CLIENT_KEEPER_H

#include "client/key_lease.h"

/* Connects as the lease's connection did, and makes what the thread needs. Sets the failure of the
 * lease's connection. */
int keeper_new(struct vigil *v, uint32_t ttl_ms, struct keeper **ret_keeper);
/* lease has an id, and lives until keeper_free. ERR_OK, ERR_LIMIT. */
int keeper_start(struct keeper *k, struct vigil_lease *lease);
/* Stops it, waits for it. Takes NULL. */
void keeper_free(struct keeper *k);

#endif
