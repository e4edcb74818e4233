/* read.h - reads whose caller has a time-out of its own: timeout_ms as request_timeout_ms. */
#ifndef VIGIL_CLIENT_READ_H
#define VIGIL_CLIENT_READ_H

#include "client/connection.h"

/* With the epoch that the entry's seq belongs to. */
int read_entry(struct vigil *v, const char *key, int timeout_ms, vigil_entry *ret_entry,
               uint64_t *ret_epoch);
/* As vigil_get_many and vigil_ping. */
int read_entries(struct vigil *v, const char *const *keys, size_t count, int timeout_ms,
                 vigil_entry *ret_entries);
int read_head(struct vigil *v, int timeout_ms);

#endif
