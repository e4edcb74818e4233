/*
 * Request messages, as the server reads them: envelope, each request, its body
 * and what the body holds. What was understood must be written as the same bytes.
 */
#include <assert.h>
#include <stdlib.h>

#include "protocol/key.h"
#include "protocol/message.h"
#include "protocol/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_into_txn(struct bytes program)
{
    struct wire_reader r = wire_reader_of(program.data, program.size);
    struct txn_compare compare;
    struct txn_op op;
    uint16_t n = wire_read_u16(&r);
    for (uint16_t i = 0; i < n && txn_compare_read(&r, &compare); i++)
        (void)(key_valid(compare.key) && value_valid(compare.value));
    for (int branch = 0; branch < 2; branch++) {
        n = wire_read_u16(&r);
        for (uint16_t i = 0; i < n && txn_op_read(&r, &op); i++)
            (void)(key_valid(op.key) && value_valid(op.value));
    }
    (void)wire_read_complete(&r);
}

static void look_into_keys(struct bytes keys)
{
    struct wire_reader r = wire_reader_of(keys.data, keys.size);
    uint16_t n = wire_read_u16(&r);
    for (uint16_t i = 0; i < n && !r.failed; i++)
        (void)key_valid(wire_read_bytes16(&r));
}

static void look_into_filter(struct bytes bytes)
{
    struct filter *f = malloc(sizeof *f);
    struct wire_reader r = wire_reader_of(bytes.data, bytes.size);
    if (f && filter_read(&r, f) == ERR_OK)
        (void)filter_match(f, (struct bytes){(const uint8_t *)"some/key", 8});
    free(f);
}

static void look_into_put(const struct request_put *body)
{
    (void)(key_valid(body->key) && value_valid(body->value) && value_valid(body->expect_value));
}

/* Reads the body; what was understood is written again and compared. */
#define BODY_CASE(NAME, name, look)                             \
    case OP_##NAME: {                                           \
        struct request_##name body;                             \
        const uint8_t *start = r->at;                           \
        size_t size = wire_left(r);                             \
        if (!request_##name##_read(r, &body))                   \
            return;                                             \
        request_##name##_write(b, &body);                       \
        assert(!b->failed);                                     \
        assert(b->size == size);                                \
        assert(size == 0 || memcmp(b->data, start, size) == 0); \
        look;                                                   \
        return;                                                 \
    }

static void read_body(uint8_t op, struct wire_reader *r, struct wire_buffer *b)
{
    switch (op) {
        BODY_CASE(HELLO, hello, (void)utf8_valid(body.client))
        BODY_CASE(PING, ping, (void)body)
        BODY_CASE(STATUS, status, (void)body)
        BODY_CASE(PUT, put, look_into_put(&body))
        BODY_CASE(DELETE, delete, (void)key_valid(body.key))
        BODY_CASE(INCR, incr, (void)key_valid(body.key))
        BODY_CASE(TXN, txn, look_into_txn(body.program))
        BODY_CASE(GET, get, (void)key_valid(body.key))
        BODY_CASE(GET_MANY, get_many, look_into_keys(body.keys))
        BODY_CASE(STREAM_OPEN, stream_open, look_into_filter(body.filter))
        BODY_CASE(STREAM_RENEW, stream_renew, (void)body)
        BODY_CASE(STREAM_CLOSE, stream_close, (void)body)
        BODY_CASE(COMPACT, compact, (void)body)
        BODY_CASE(SESSION_OPEN, session_open, (void)body)
        BODY_CASE(SESSION_CLOSE, session_close, (void)body)
        BODY_CASE(CURSOR_OPEN, cursor_open, look_into_filter(body.filter))
        BODY_CASE(CURSOR_MOVE, cursor_move, (void)key_valid(body.name))
        BODY_CASE(CURSOR_DELETE, cursor_delete, (void)key_valid(body.name))
        BODY_CASE(CURSOR_LIST, cursor_list, (void)body)
        BODY_CASE(LEASE_OPEN, lease_open, (void)body)
        BODY_CASE(LEASE_RENEW, lease_renew, (void)body)
        BODY_CASE(LEASE_CLOSE, lease_close, (void)body)
        BODY_CASE(TURN, turn, look_into_filter(body.filter))
        BODY_CASE(REPLAY, replay, look_into_filter(body.filter))
        BODY_CASE(LIST, list, (void)prefix_valid(body.prefix))
        BODY_CASE(HISTORY, history, (void)key_valid(body.key))
    default:
        assert(!request_op_name(op));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_reader r = wire_reader_of(data, size);
    struct request_message_header h;
    if (request_message_read(&r, &h) != ERR_OK)
        return 0;
    struct wire_buffer b;
    wire_buffer_init(&b, size);
    for (uint16_t i = 0; i < h.count; i++) {
        struct request_header request;
        struct wire_reader body;
        if (request_read(&r, &request, &body) != ERR_OK)
            break;
        wire_buffer_clear(&b);
        read_body(request.op, &body, &b);
    }
    wire_buffer_free(&b);
    return 0;
}
