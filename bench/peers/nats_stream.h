/*
 * nats_stream.h - the stream that an operation on JetStream is about.
 */
#ifndef VIGIL_BENCH_PEERS_NATS_STREAM_H
#define VIGIL_BENCH_PEERS_NATS_STREAM_H

#include "bench/peers/nats_link.h"
#include "bench/peers/peer.h"

/* What goes before a key to make its subject. */
const char *nats_stream_prefix(const struct peer_plan *plan);
/* Every subject of the stream. */
const char *nats_stream_subjects(const struct peer_plan *plan);
const char *nats_stream_name(const struct peer_plan *plan);
/* Makes the stream, or the bucket, with file storage, unless it is there. */
int nats_stream_make(const struct peer_plan *plan, struct failure *failure);

#endif
