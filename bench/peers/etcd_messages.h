/*
 * etcd_messages.h - what the comparison with etcd says and hears, in Protocol
 * Buffers: a put (etcdserverpb.KV/Put) and a watch (etcdserverpb.Watch/Watch).
 * Written by hand, because these few fields do not pay for a generator; the field
 * numbers are those of etcd 3.4's rpc.proto and kv.proto. Pure.
 *
 * 1. Nothing that a message announces is believed beyond its own end.
 * 2. What is read is not copied: it points into the message.
 * 3. Fields that are not known are skipped; a known one of another type, a group
 *    or a number longer than 64 bits makes the message malformed.
 */
#ifndef VIGIL_BENCH_PEERS_ETCD_MESSAGES_H
#define VIGIL_BENCH_PEERS_ETCD_MESSAGES_H

#include "protocol/wire.h"

#include <stdbool.h>
#include <stdint.h>

struct etcd_watch_response {
    uint64_t revision;         /* of the store, when the response was made */
    uint64_t compact_revision; /* not 0: what was asked for is compacted */
    bool created;
    bool canceled;
    struct bytes cancel_reason;
    struct wire_reader events; /* for etcd_next_event */
};

struct etcd_event {
    bool deleted;
    uint64_t revision; /* of the change */
    struct bytes key;
    struct bytes value;
};

/* These append one message to the buffer, whose `failed` says whether it has room. */
void etcd_write_put_request(struct wire_buffer *b, struct bytes key, struct bytes value);
/* Watches [key, range_end) from start_revision on; 0: from now on. */
void etcd_write_watch_request(struct wire_buffer *b, struct bytes key, struct bytes range_end,
                              uint64_t start_revision);

/* ERR_OK or ERR_MALFORMED. */
int etcd_read_put_response(struct bytes message, uint64_t *ret_revision);
int etcd_read_watch_response(struct bytes message, struct etcd_watch_response *ret_response);
/* False at the end of the events, and where one is malformed: events->failed tells which. */
bool etcd_next_event(struct wire_reader *events, struct etcd_event *ret_event);

#endif
