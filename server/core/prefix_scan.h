/*
 * prefix_scan.h - the keys with a prefix, in bytewise order: those of the active
 * overlay, of the frozen one, and of the state, the newest of each. What the request
 * itself has changed is write_set.h's.
 *
 * 1. A request looks at a bounded number of keys (LIMIT_PREFIX_KEYS).
 * 2. Stretches without a live key are remembered (key_gaps.h), and then skipped.
 *
 * Only one at a time: the source has one place in the state.
 * Threads: the core's.
 */
#ifndef VIGIL_SERVER_CORE_PREFIX_SCAN_H
#define VIGIL_SERVER_CORE_PREFIX_SCAN_H

#include "server/core/core_state.h"

/* Valid until something is changed. */
struct live_key {
    struct bytes key;
    struct bytes value;
    uint64_t modified;
};

struct prefix_scan {
    struct core *core;
    struct request *q;
    struct bytes prefix;
    const struct key_order_node *active; /* each the next of its kind; NULL: none */
    const struct key_order_node *frozen;
    bool state_waits; /* state_key and state_row are the next of the state */
    struct bytes state_key;
    struct state_row state_row;
    /* The stretch without a live key that has been walked over just now. */
    bool in_dead;
    size_t dead;  /* keys that were looked at there */
    bool skipped; /* a part of it was known */
    struct key_bound dead_from;
};

/* Begins at from, which is not before the prefix. The prefix has to stay. The errors of both:
 * ERR_LIMIT; ERR_NO_MEMORY; those of the source. */
int prefix_scan_begin(struct core *core, struct request *q, struct bytes prefix, struct bytes from,
                      struct prefix_scan *ret_scan);
/* ERR_NOT_FOUND: there are no more. */
int prefix_scan_next(struct prefix_scan *s, struct live_key *ret_key);
/* Counts one key, or more, against what the request may look at. ERR_OK, ERR_LIMIT. */
int prefix_charge(struct request *q, uint32_t keys);
/* ERR_OK, ERR_BAD_KEY. */
int prefix_check(struct request *q, struct bytes prefix);
/* *ret_unchanged: no key with the prefix was put or deleted after seq. False also where that cannot
 * be known, because deletions since then may have been compacted. Looks at the state only where seq
 * is older than what is in it. Errors as of a scan. */
int prefix_unchanged_since(struct core *core, struct request *q, struct bytes prefix, uint64_t seq,
                           bool *ret_unchanged);
bool key_has_prefix(struct bytes key, struct bytes prefix);

#endif
