/* wait.h - the watch that a connection keeps for waits on the same key, one after the other. */
#ifndef VIGIL_CLIENT_WAIT_H
#define VIGIL_CLIENT_WAIT_H

struct vigil;

/* Closes it, if there is one. */
void wait_forget(struct vigil *v);

#endif
