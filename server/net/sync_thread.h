/*
 * sync_thread.h - the syncs that nobody has to wait for: durability `process` brings what is committed
 * to stable storage now and then, durability `power` the data file up to the redo log, when asked.
 */
#ifndef VIGIL_SERVER_NET_SYNC_THREAD_H
#define VIGIL_SERVER_NET_SYNC_THREAD_H

#include "journal/journal.h"

struct sync_thread;

/* interval_ms: 0: only when woken. */
int sync_thread_start(struct journal *journal, uint64_t interval_ms,
                      struct sync_thread **ret_thread, struct failure *failure);
/* One sync, soon. Any thread. Takes NULL. */
void sync_thread_wake(struct sync_thread *t);
/* Takes NULL. Waits for the sync in hand. */
void sync_thread_stop(struct sync_thread *t);

#endif
