/*
 * replay_thread.h - the thread that answers the replay socket. It shares the
 * journal's files with the core thread and nothing else but these counters.
 */
#ifndef VIGIL_SERVER_NET_REPLAY_THREAD_H
#define VIGIL_SERVER_NET_REPLAY_THREAD_H

#include "journal/journal.h"

#include <stdatomic.h>

struct replay_figures {
    _Atomic uint64_t requests;
    _Atomic uint64_t records;
    _Atomic uint64_t bytes;
    _Atomic uint64_t dropped; /* replies that their peer did not take */
    _Atomic uint64_t damaged; /* requests that met damaged data */
};

struct replay_thread;

/* socket: a bound ROUTER, which belongs to the thread from here on until stop has returned; the
 * caller closes it then. */
int replay_thread_start(struct journal *journal, void *socket, uint64_t incarnation,
                        struct replay_figures *figures, struct replay_thread **ret_thread,
                        struct failure *failure);
/* Takes NULL. Waits for the request in hand. */
void replay_thread_stop(struct replay_thread *t);

#endif
