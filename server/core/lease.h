/*
 * lease.h - which peers keep which streams alive, and for how long.
 *
 * A peer's lease on a stream counts how often it opened it. Any request of a
 * peer renews all of its leases.
 *
 * 1. What a batch does to counts is logged, so that it can be taken back.
 *    Leases, peers and streams are removed only by lease_sweep, never within a
 *    batch: pointers stay valid until its end.
 * 2. A lease whose count is 0 is on the released list until the sweep.
 * 3. Peers are listed in the order of their last request.
 */
#ifndef VIGIL_SERVER_CORE_LEASE_H
#define VIGIL_SERVER_CORE_LEASE_H

#include "server/core/stream_table.h"

struct peer;

struct lease {
    uint64_t hash;
    struct peer *peer;
    struct stream *stream;
    uint64_t count;
    struct lease *next; /* of the same peer */
    struct lease *previous;
    struct lease *next_released;
    struct lease *previous_released;
    bool is_released;
};

struct peer {
    uint64_t hash;
    uint64_t seen_ms;
    struct peer *next; /* by seen_ms, the longest silent first */
    struct peer *previous;
    struct lease *first_lease;
    size_t leases;
    size_t live_leases; /* those with a count */
    uint8_t id_size;
    uint8_t id[];
};

struct lease_change {
    struct lease *lease;
    int64_t delta;
};

struct lease_table {
    struct hash_seed seed;
    struct stream_table *streams;
    struct table peers;
    struct table leases; /* by peer and stream */
    struct peer *first_peer;
    struct peer *last_peer;
    struct lease *first_released;
    struct lease_change *log;
    size_t log_count;
    size_t log_capacity;
    size_t peers_max;
    size_t streams_per_peer_max;
};

void lease_table_init(struct lease_table *t, const struct hash_seed *seed,
                      struct stream_table *streams, size_t peers_max, size_t streams_per_peer_max);
void lease_table_free(struct lease_table *t); /* before the streams */

/* A request of this peer has come. */
void lease_touch(struct lease_table *t, struct bytes peer, uint64_t now_ms);
/* One more for the peer on the stream. ERR_OK, ERR_LIMIT (the peer's streams,
 * or the peers), ERR_NO_MEMORY. */
int lease_take(struct lease_table *t, struct bytes peer, struct stream *s, uint64_t now_ms);
/* One less; false if the peer has none. ERR_OK, ERR_NO_STREAM, ERR_NO_MEMORY. */
int lease_drop(struct lease_table *t, struct bytes peer, struct stream *s);
/* Whether the peer has a lease on the stream; how many more it could take. */
bool lease_held(const struct lease_table *t, struct bytes peer, const struct stream *s);
size_t lease_room(const struct lease_table *t, struct bytes peer);

/* The end of a batch: what it did stays, or is taken back. A stream opened
 * in an aborted batch starts at head. */
void lease_commit(struct lease_table *t);
void lease_abort(struct lease_table *t, uint64_t head);
/* Outside of a batch: drops the leases of peers that are silent for LEASE_MS,
 * released leases, and streams that have no lease left; at most steps_max
 * leases. True when nothing is left to do. */
bool lease_sweep(struct lease_table *t, uint64_t now_ms, size_t steps_max);
/* When the next peer's leases end; UINT64_MAX: never. */
uint64_t lease_next_end_ms(const struct lease_table *t);

#endif
