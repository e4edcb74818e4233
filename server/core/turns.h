/*
 * turns.h - who may go first: turns on keys and prefixes for clients whose
 * transactions have met too many conflicts. A peer takes a place for a filter;
 * places are served in the order in which they were taken, and two whose filters
 * name the same pattern never have their turn at once. While a peer has its
 * turn, the atomic transactions of others may not write what its filter covers.
 *
 *            taken           first for all its patterns
 *     none ---------> WAITING -------------------------> TURN
 *       ^               |  not renewed for TURN_PLACE_MS   |
 *       +---------------+----------------------------------+
 *                                    left, or after TURN_MS
 *
 * A turn is a courtesy and guards nothing: what a transaction compares decides
 * about it. So nothing of this is durable, nor taken back with a batch.
 *
 * 1. A place waits in the queues of all its patterns from one moment on, so that
 *    of two places that share patterns the same one is first everywhere: nobody
 *    waits in a circle. Turns on patterns that only overlap (a key, a prefix of
 *    it) may be there at once; then the older goes first.
 * 2. Who has died holds up those behind it for no longer than TURN_PLACE_MS and
 *    TURN_MS.
 * 3. At most LIMIT_TURN_PLACES places, on LIMIT_TURN_PREFIXES distinct prefixes.
 *
 * Threads: the core's.
 */
#ifndef VIGIL_SERVER_CORE_TURNS_H
#define VIGIL_SERVER_CORE_TURNS_H

#include "protocol/filter.h"
#include "server/core/key_hash.h"
#include "server/core/table.h"

struct turn_place;
struct turn_queue;

/* Zeroed, with a seed: empty. */
struct turns {
    struct hash_seed seed;
    struct table places; /* by peer */
    struct table queues; /* by pattern */
    struct turn_queue *first_prefix;
    size_t prefixes;
    struct turn_place *first; /* all places */
    size_t turns;             /* places that have their turn, or had it and were not looked at */
    uint64_t given;           /* turns so far */
    uint64_t sweep_ms;
};

struct turn_answer {
    bool granted;
    uint32_t ahead;   /* places before this one, at most TURN_AHEAD_MAX are counted */
    uint32_t left_ms; /* until the turn ends; not granted: until the place is lost if not renewed */
};
enum { TURN_AHEAD_MAX = 64 };

void turns_free(struct turns *t);
/* Takes a place, or renews the one that the peer has for the same filter; one for another filter is
 * given up. ERR_OK, ERR_LIMIT, ERR_NO_MEMORY. */
int turns_take(struct turns *t, struct bytes peer, const struct filter *f, uint64_t now_ms,
               struct turn_answer *ret_answer);
/* Without effect where the peer has no place. */
void turns_leave(struct turns *t, struct bytes peer);
/* Whether a write to key would disturb the turn of another peer: one that is older than peer's own,
 * if that has one. */
bool turns_forbid(const struct turns *t, struct bytes peer, struct bytes key, uint64_t now_ms);
/* Forgets what has ended; cheap where nothing is due. */
void turns_sweep(struct turns *t, uint64_t now_ms);

#endif
