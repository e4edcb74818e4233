/* channel.h - what the connection's other files need of channel.c: the request socket itself. */
#ifndef VIGIL_CLIENT_CHANNEL_H
#define VIGIL_CLIENT_CHANNEL_H

#include "client/connection.h"

/* Begins to connect. ERR_OK, ERR_LIMIT; sets the failure. */
int channel_open(struct vigil *v);
void channel_close(struct vigil *v);
/* Takes what has come. */
void channel_receive(struct vigil *v);
/* The link failed: takes what has come, then the connection is lost. */
void channel_failed(struct vigil *v);
/* Before something is sent while nothing is under way: a connection that ended long ago is noticed now,
 * rather than by the loss of what is sent. */
void channel_look(struct vigil *v);
/* The descriptors wait for what the link waits for. After each change of that. */
void channel_watch(struct vigil *v);
/* Moves now_ms, stalled_ms and silent_ms on. */
void channel_advance_clock(struct vigil *v);

#endif
