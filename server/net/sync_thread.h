/* sync_thread.h - durability `process`: brings what is committed to stable storage now and then. */
#ifndef VIGIL_SERVER_NET_SYNC_THREAD_H
#define VIGIL_SERVER_NET_SYNC_THREAD_H

#include "journal/journal.h"

struct sync_thread;

int sync_thread_start(struct journal *journal, uint64_t interval_ms,
                      struct sync_thread **ret_thread, struct failure *failure);
/* Takes NULL. Waits for the sync in hand. */
void sync_thread_stop(struct sync_thread *t);

#endif
