/* etcd_grpc.c - gRPC's messages within an HTTP/2 body; see etcd_grpc.h. */
#include "bench/peers/etcd_grpc.h"
#include "protocol/errors.h"

enum { PREFIX_SIZE = 5 };

void grpc_reader_init(struct grpc_reader *r)
{
    wire_buffer_init(&r->part, PREFIX_SIZE + (size_t)GRPC_MESSAGE_SIZE_MAX);
}

void grpc_reader_free(struct grpc_reader *r)
{
    wire_buffer_free(&r->part);
}

void grpc_reader_clear(struct grpc_reader *r)
{
    wire_buffer_clear(&r->part);
}

static int read_prefix(const uint8_t *data, size_t *ret_size)
{
    if (data[0] != 0) {
        return ERR_MALFORMED;
    }
    uint32_t size = (uint32_t)data[1] << 24 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 8 |
                    (uint32_t)data[4];
    if (size > GRPC_MESSAGE_SIZE_MAX) {
        return ERR_TOO_LARGE;
    }
    *ret_size = size;
    return ERR_OK;
}

/* Moves up to wanted - part.size bytes over; false without memory. */
static bool fill(struct grpc_reader *r, size_t wanted, const uint8_t **data, size_t *size)
{
    size_t n = wanted - r->part.size < *size ? wanted - r->part.size : *size;
    wire_write_raw(&r->part, *data, n);
    *data += n;
    *size -= n;
    return !r->part.failed;
}

/* Goes on with a message that has begun in an earlier piece. */
static int take_rest(struct grpc_reader *r, const uint8_t **data, size_t *size,
                     grpc_message_function *on_message, void *context)
{
    size_t message_size = 0;
    if (r->part.size < PREFIX_SIZE && !fill(r, PREFIX_SIZE, data, size)) {
        return ERR_NO_MEMORY;
    }
    if (r->part.size < PREFIX_SIZE) {
        return ERR_OK;
    }
    int err = read_prefix(r->part.data, &message_size);
    if (err) {
        return err;
    }
    if (!fill(r, PREFIX_SIZE + message_size, data, size)) {
        return ERR_NO_MEMORY;
    }
    if (r->part.size == PREFIX_SIZE + message_size) {
        struct bytes message = {r->part.data + PREFIX_SIZE, message_size};
        err = on_message(context, message);
        wire_buffer_clear(&r->part);
    }
    return err;
}

int grpc_reader_take(struct grpc_reader *r, const uint8_t *data, size_t size,
                     grpc_message_function *on_message, void *context)
{
    int err = ERR_OK;
    while (size > 0 && !err) {
        size_t message_size = 0;
        if (r->part.size > 0 || size < PREFIX_SIZE) {
            err = take_rest(r, &data, &size, on_message, context);
            continue;
        }
        err = read_prefix(data, &message_size);
        if (!err && size - PREFIX_SIZE >= message_size) {
            err = on_message(context, (struct bytes){data + PREFIX_SIZE, message_size});
            data += PREFIX_SIZE + message_size;
            size -= PREFIX_SIZE + message_size;
        } else if (!err) {
            err = take_rest(r, &data, &size, on_message, context);
        }
    }
    return err;
}

size_t grpc_begin_message(struct wire_buffer *b)
{
    size_t begin = b->size;
    uint8_t *prefix = wire_extend(b, PREFIX_SIZE);
    if (prefix) {
        memset(prefix, 0, PREFIX_SIZE);
    }
    return begin;
}

void grpc_end_message(struct wire_buffer *b, size_t begin)
{
    if (b->failed) {
        return;
    }
    size_t size = b->size - begin - PREFIX_SIZE;
    if (size > GRPC_MESSAGE_SIZE_MAX) {
        b->failed = true;
        return;
    }
    for (size_t i = 0; i < 4; i++) {
        b->data[begin + 1 + i] = (uint8_t)(size >> (24 - 8 * i));
    }
}
