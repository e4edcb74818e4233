/*
 * context.h - the one ZeroMQ context of the process, shared by all connections.
 *
 * It is made with the first connection and ends with the last. A child after
 * fork gets one of its own: the parent's is never used there. Any thread.
 */
#ifndef VIGIL_CLIENT_CONTEXT_H
#define VIGIL_CLIENT_CONTEXT_H

/* ERR_OK, ERR_NO_MEMORY, ERR_LIMIT (descriptors). */
int context_acquire(void **ret_context);
/* Takes NULL. All sockets must have been closed. */
void context_release(void *context);

#endif
