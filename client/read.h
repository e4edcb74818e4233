/* read.h - a read together with the epoch that its seq belongs to. */
#ifndef VIGIL_CLIENT_READ_H
#define VIGIL_CLIENT_READ_H

#include "client/connection.h"

int read_entry(struct vigil *v, const char *key, int timeout_ms, vigil_entry *ret_entry,
               uint64_t *ret_epoch);

#endif
