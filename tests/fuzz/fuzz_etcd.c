/*
 * What etcd sends to the comparison: a body of gRPC's messages, each of which is read as the answer to
 * a put and to a watch.
 *
 * Wherever the body is cut, the same messages come out of it, and the same verdict. All that a message
 * is said to hold lies within it.
 *
 * An input: one byte for the cuts, and then the body.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bench/peers/etcd_grpc.h"
#include "bench/peers/etcd_messages.h"
#include "protocol/errors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    int err;
    uint64_t messages;
    uint64_t digest; /* of their sizes and contents */
};

static void expect_within(struct bytes part, struct bytes whole)
{
    assert(part.size == 0 || (part.data >= whole.data && part.size <= whole.size &&
                              part.data - whole.data <= (ptrdiff_t)(whole.size - part.size)));
}

static void read_message(struct bytes message)
{
    uint64_t revision = 0;
    uint64_t events = 0;
    struct etcd_watch_response response;
    struct etcd_event event;
    int err = etcd_read_put_response(message, &revision);
    assert(err == ERR_OK || err == ERR_MALFORMED);
    if (etcd_read_watch_response(message, &response)) {
        return;
    }
    expect_within(response.cancel_reason, message);
    while (etcd_next_event(&response.events, &event)) {
        expect_within(event.key, message);
        expect_within(event.value, message);
        events++;
    }
    assert(events <= message.size / 2);
}

static int on_message(void *context, struct bytes message)
{
    struct outcome *o = context;
    o->messages++;
    o->digest = (o->digest ^ message.size) * UINT64_C(1099511628211);
    for (size_t i = 0; i < message.size; i++) {
        o->digest = (o->digest ^ message.data[i]) * UINT64_C(1099511628211);
    }
    read_message(message);
    return ERR_OK;
}

/* A heap block of each piece's own size shows a read beyond its end. */
static struct outcome take(const uint8_t *body, size_t size, size_t piece)
{
    struct outcome o = {.err = ERR_OK};
    struct grpc_reader r;
    grpc_reader_init(&r);
    for (size_t at = 0; at < size && !o.err; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        uint8_t *copy = malloc(n);
        assert(copy);
        memcpy(copy, body + at, n);
        o.err = grpc_reader_take(&r, copy, n, on_message, &o);
        free(copy);
    }
    assert(r.part.size <= size);
    grpc_reader_free(&r);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    read_message((struct bytes){data + 1, size - 1});
    struct outcome whole = take(data + 1, size - 1, size - 1);
    struct outcome cut = take(data + 1, size - 1, 1 + data[0] % 40);
    assert(whole.err == cut.err && whole.messages == cut.messages && whole.digest == cut.digest);
    return 0;
}
