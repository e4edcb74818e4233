/*
 * Reply messages, as the client reads them: envelope, each reply, its body and
 * what the body holds. What was understood must be written as the same bytes.
 */
#include <assert.h>
#include <stdlib.h>

#include "protocol/filter.h"
#include "protocol/key.h"
#include "protocol/message.h"
#include "protocol/record.h"
#include "protocol/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_into_records(struct bytes records, uint32_t count)
{
    struct record_header h;
    struct change c;
    for (uint32_t n = 0; n < count && record_check(records, &h) == ERR_OK; n++) {
        for (struct change_iterator i = record_changes(records.data); change_next(&i, &c);)
            (void)value_valid(c.value);
        records.data += h.size;
        records.size -= h.size;
    }
}

static void look_into_rows(struct bytes rows, uint32_t count)
{
    struct wire_reader r = wire_reader_of(rows.data, rows.size);
    struct list_row row;
    for (uint32_t i = 0; i < count && list_row_read(&r, &row); i++)
        (void)value_valid(row.value);
}

static void look_into_filter(struct bytes bytes)
{
    struct filter *f = malloc(sizeof *f);
    struct wire_reader r = wire_reader_of(bytes.data, bytes.size);
    if (f && filter_read(&r, f) == ERR_OK)
        (void)filter_match(f, (struct bytes){(const uint8_t *)"some/key", 8});
    free(f);
}

/* A row is understood whole, or not at all: written again it is the same bytes. */
static void look_into_cursors(struct bytes rows, uint32_t count)
{
    struct wire_reader r = wire_reader_of(rows.data, rows.size);
    struct wire_buffer written;
    struct cursor_row row;
    wire_buffer_init(&written, rows.size);
    for (uint32_t i = 0; i < count && cursor_row_read(&r, &row); i++) {
        (void)key_valid(row.name);
        look_into_filter(row.filter);
        cursor_row_write(&written, &row);
    }
    assert(!written.failed);
    assert(written.size == 0 || memcmp(written.data, rows.data, written.size) == 0);
    wire_buffer_free(&written);
}

static void look_into_results(struct bytes results)
{
    struct wire_reader r = wire_reader_of(results.data, results.size);
    struct txn_result result;
    uint16_t n = wire_read_u16(&r);
    for (uint16_t i = 0; i < n && txn_result_read(&r, &result); i++)
        (void)value_valid(result.value);
}

static void look_into_entries(struct bytes entries)
{
    struct wire_reader r = wire_reader_of(entries.data, entries.size);
    struct reply_get entry;
    uint16_t n = wire_read_u16(&r);
    for (uint16_t i = 0; i < n && reply_get_read_next(&r, &entry); i++)
        (void)value_valid(entry.value);
}

/* Reads the body; what was understood is written again and compared. */
#define BODY(name, look)                                        \
    do {                                                        \
        struct reply_##name body;                               \
        const uint8_t *start = r->at;                           \
        size_t size = wire_left(r);                             \
        if (!reply_##name##_read(r, &body))                     \
            return;                                             \
        reply_##name##_write(b, &body);                         \
        assert(!b->failed);                                     \
        assert(b->size == size);                                \
        assert(size == 0 || memcmp(b->data, start, size) == 0); \
        look;                                                   \
    } while (0)
#define BODY_CASE(NAME, name, look) \
    case OP_##NAME:                 \
        BODY(name, look);           \
        return;

static void read_body(const struct reply_header *h, struct wire_reader *r, struct wire_buffer *b)
{
    if (h->status != ERR_OK) {
        BODY(error, (void)body.text);
        return;
    }
    switch (h->op) {
        BODY_CASE(HELLO, hello, (void)body)
        BODY_CASE(PING, ping, (void)body)
        BODY_CASE(STATUS, status, (void)value_valid(body.map))
        BODY_CASE(PUT, put, (void)body)
        BODY_CASE(DELETE, delete, (void)body)
        BODY_CASE(INCR, incr, (void)value_valid(body.value))
        BODY_CASE(TXN, txn, look_into_results(body.results))
        BODY_CASE(GET, get, (void)value_valid(body.value))
        BODY_CASE(GET_MANY, get_many, look_into_entries(body.entries))
        BODY_CASE(STREAM_OPEN, stream_open, (void)body)
        BODY_CASE(STREAM_RENEW, stream_renew, (void)body)
        BODY_CASE(STREAM_CLOSE, stream_close, (void)body)
        BODY_CASE(COMPACT, compact, (void)body)
        BODY_CASE(SESSION_OPEN, session_open, (void)body)
        BODY_CASE(SESSION_CLOSE, session_close, (void)body)
        BODY_CASE(CURSOR_OPEN, cursor_open, look_into_filter(body.filter))
        BODY_CASE(CURSOR_MOVE, cursor_move, (void)body)
        BODY_CASE(CURSOR_DELETE, cursor_delete, (void)body)
        BODY_CASE(CURSOR_LIST, cursor_list, look_into_cursors(body.rows, body.count))
        BODY_CASE(LEASE_OPEN, lease_open, (void)body)
        BODY_CASE(LEASE_RENEW, lease_renew, (void)body)
        BODY_CASE(LEASE_CLOSE, lease_close, (void)body)
        BODY_CASE(TURN, turn, (void)body)
        BODY_CASE(REPLAY, replay, look_into_records(body.records, body.count))
        BODY_CASE(LIST, list, look_into_rows(body.rows, body.count))
        BODY_CASE(HISTORY, history, look_into_records(body.records, body.count))
    default:
        assert(!request_op_name(h->op));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_reader r = wire_reader_of(data, size);
    struct reply_message_header h;
    if (reply_message_read(&r, &h) != ERR_OK)
        return 0;
    struct wire_buffer b;
    wire_buffer_init(&b, size);
    for (uint16_t i = 0; i < h.count; i++) {
        struct reply_header reply;
        struct wire_reader body;
        if (reply_read(&r, &reply, &body) != ERR_OK)
            break;
        wire_buffer_clear(&b);
        read_body(&reply, &body, &b);
    }
    wire_buffer_free(&b);
    return 0;
}
