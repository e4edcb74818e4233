/*
 * contender.h - one of several who want to be the only one: what locks, elections
 * and barriers are made of.
 *
 * Everyone puts a key of his own under the common name, NAME//LEASE, which ends with
 * his lease. The one whose key was created first is the holder; whoever comes later
 * waits for the one just before him to go, so that a release wakes one waiter and
 * not all of them, and the order is that of arrival. (The scheme of ZooKeeper's
 * lock recipe, with seqs in place of sequential nodes.)
 *
 * 1. The seq that made the key is the fence: it grows from holder to holder.
 * 2. A contender holds nothing any more when its key is gone, whatever it believes.
 * 3. No name has // in it or / at its end, so nothing of another name is under NAME//.
 *
 * Threads: that of the connection.
 */
#ifndef VIGIL_CLIENT_CONTENDER_H
#define VIGIL_CLIENT_CONTENDER_H

#include "client/connection.h"

enum {
    CONTENDER_NAME_MAX = 416,                     /* of the name alone */
    CONTENDER_NAME_SIZE = CONTENDER_NAME_MAX + 16 /* with its kind; what comes behind still fits */
};

struct contender {
    struct vigil *v;
    vigil_lease *lease;
    char prefix[LIMIT_KEY_SIZE + 1]; /* NAME// */
    char key[LIMIT_KEY_SIZE + 1];
    uint64_t seq;   /* of the record that made the key */
    uint64_t epoch; /* to which that belongs */
};

/* KIND/NAME, under which the contenders of a kind are. ERR_OK, ERR_BAD_KEY. */
int contender_name(struct vigil *v, const char *kind, const char *name,
                   char out[CONTENDER_NAME_SIZE]);
/* Takes a lease and puts the key with value. ret_count: if it is not NULL, how many are there then,
 * this one included. Sets the failure. On an error there is nothing to leave. */
int contender_enter(struct contender *c, struct vigil *v, const char *name, const void *value,
                    size_t size, uint32_t ttl_ms, uint64_t *ret_count);
/* For how long to wait before looking at the lease again; 0: it has ended, or the time is over. */
int contender_patience_ms(const struct contender *c, int64_t deadline);
/* Says that its lease has ended, and returns that. */
int contender_has_ended(const struct contender *c);
/* Until nobody who came before is left. TIMEOUT: it still waits in line; LEASE_ENDED: it has lost
 * its place, or what it held. */
int contender_wait_first(struct contender *c, int64_t deadline);
/* Asks the server: OK, or LEASE_ENDED. */
int contender_check(struct contender *c);
/* Its key goes, at once if the server can be reached, otherwise with the lease. */
void contender_leave(struct contender *c);

/* The first under name: its key's seq and a copy of its value, to be freed. NOT_FOUND: nobody. */
int contender_first(struct vigil *v, const char *name, int timeout_ms, uint64_t *ret_seq,
                    void **ret_value, size_t *ret_size);

#endif
