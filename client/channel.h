/* channel.h - what the connection's other files need of channel.c: the request socket itself. */
#ifndef VIGIL_CLIENT_CHANNEL_H
#define VIGIL_CLIENT_CHANNEL_H

#include "client/connection.h"

/* ERR_OK, ERR_LIMIT, ERR_NO_MEMORY, ERR_INVALID (endpoint); sets the failure. */
int channel_open(struct vigil *v);
void channel_close(struct vigil *v);
/* Takes what has come; true if there was anything. */
bool channel_receive(struct vigil *v);
/* Moves now_ms, stalled_ms and silent_ms on. */
void channel_advance_clock(struct vigil *v);
/* A socket of the library's making: no lingering, bounded messages. NULL: out of sockets or memory.
 */
void *channel_socket_new(struct vigil *v, int type);

#endif
