/*
 * etcd_grpc.h - gRPC's messages within an HTTP/2 body: one byte that tells whether
 * the message is compressed, its size in four bytes, big end first, the message. Pure.
 *
 * 1. A message is handed on once and whole, however the body was cut.
 * 2. What a size announces is not reserved: memory grows with what has come.
 */
#ifndef VIGIL_BENCH_PEERS_ETCD_GRPC_H
#define VIGIL_BENCH_PEERS_ETCD_GRPC_H

#include "protocol/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A watcher that has fallen behind gets up to 1,000 changes in one message. */
#define GRPC_MESSAGE_SIZE_MAX (UINT32_C(128) << 20)

/* Not ERR_OK: nothing more of this body is wanted. The message is valid during the call. */
typedef int grpc_message_function(void *context, struct bytes message);

struct grpc_reader {
    struct wire_buffer part; /* the beginning of a message that has not come whole */
};

void grpc_reader_init(struct grpc_reader *r);
void grpc_reader_free(struct grpc_reader *r);
/* For another body; keeps the memory. */
void grpc_reader_clear(struct grpc_reader *r);
/* Takes the next piece of a body. ERR_MALFORMED (compressed: nobody has offered to understand
 * that), ERR_TOO_LARGE, ERR_NO_MEMORY, or what on_message has returned. */
int grpc_reader_take(struct grpc_reader *r, const uint8_t *data, size_t size,
                     grpc_message_function *on_message, void *context);
/* Whether the body may end here. */
static inline bool grpc_reader_complete(const struct grpc_reader *r)
{
    return r->part.size == 0;
}

/* Appends what stands before a message; returns where it is, for grpc_end_message. */
size_t grpc_begin_message(struct wire_buffer *b);
/* Fills in the size of what has been appended since. */
void grpc_end_message(struct wire_buffer *b, size_t begin);

#endif
