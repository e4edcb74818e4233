/*
 * The hex blocks of docs/protocol.md: each is encoded here with the code, from
 * the values that the document gives, and must be the same bytes; then the
 * document's bytes are decoded as a peer would. A block that nobody knows fails,
 * and so does one that is missing. The tables of errors and requests are
 * compared with the code, too.
 *
 * SRC in the environment, or the build's TEST_SOURCE_DIR, is the source tree.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "protocol/crc32c.h"
#include "protocol/message.h"
#include "protocol/record.h"
#include "protocol/stream_message.h"
#include "protocol/value.h"
#include "tests/support/sample_bytes.h"

#define EPOCH UINT64_C(0x5d3f0c9a7e214b68)
#define INCARNATION UINT64_C(0x1b7e22d05a94c3f1)
#define TIME_US UINT64_C(1700000000000000)
#define SESSION UINT64_C(0x40c3a97e11d205b8)
#define INSTALLED bytes_of("\xa9installed")
#define VIM bytes_of("pkg/vim")
#define LOCK bytes_of("lock")
#define ME bytes_of("\xa2me")

static const uint8_t topic_bytes[TOPIC_SIZE] = {0x9e, 0x4c, 0xd1, 0x07, 0x7a, 0xb2, 0x5f, 0x30,
                                                0xc8, 0xe6, 0x19, 0x4b, 0x8d, 0x02, 0xf7, 0xa5};
static const struct bytes topic = {topic_bytes, TOPIC_SIZE};

/* ---- envelopes ---- */

static size_t begin_request(struct wire_buffer *b, uint8_t op, uint8_t flags, uint64_t id)
{
    request_message_begin(b, &(struct request_message_header){.count = 1});
    return request_begin(b, &(struct request_header){.op = op, .flags = flags, .id = id});
}

static size_t begin_reply(struct wire_buffer *b, uint8_t op, uint64_t id, uint64_t seq,
                          uint64_t head, uint64_t oldest)
{
    reply_message_begin(b, &(struct reply_message_header){.count = 1,
                                                          .epoch = EPOCH,
                                                          .incarnation = INCARNATION,
                                                          .head = head,
                                                          .oldest = oldest});
    return reply_begin(b, &(struct reply_header){.op = op, .id = id, .seq = seq});
}

/* A reply that is at its server's head. */
static size_t begin_reply_at(struct wire_buffer *b, uint8_t op, uint64_t id, uint64_t head)
{
    return begin_reply(b, op, id, head, head, 1);
}

/* BLOCK(request_put, "put-request", begin, .key = ...): a message of one part with this body. */
#define BLOCK(function, type, begin, ...)             \
    static void function(struct wire_buffer *b)       \
    {                                                 \
        size_t part = begin;                          \
        type##_write(b, &(struct type){__VA_ARGS__}); \
        message_part_end(b, part);                    \
    }

/* What a body ends with, if that is made of parts: written to a buffer of its own, which lives until
 * the next call. */
static struct wire_buffer rest;

static struct wire_buffer *rest_begin(void)
{
    if (rest.size_max == 0)
        wire_buffer_init(&rest, 1 << 16);
    wire_buffer_clear(&rest);
    return &rest;
}

static struct bytes rest_end(void)
{
    assert_false(rest.failed);
    return (struct bytes){rest.data, rest.size};
}

/* ---- request socket ---- */

static struct bytes ports(void)
{
    struct wire_buffer *b = rest_begin();
    wire_write_u16(b, 1);
    for (uint16_t port = 7878; port <= 7880; port++)
        wire_write_u16(b, port);
    return rest_end();
}

BLOCK(hello_request, request_hello, begin_request(b, OP_HELLO, 0, 1), .protocol_min = 1,
      .protocol_max = 1, .client = bytes_of("example 1.0"))
BLOCK(hello_reply, reply_hello, begin_reply_at(b, OP_HELLO, 1, 41), .protocol = 1,
      .window_messages = LIMIT_WINDOW_MESSAGES, .message_size_max = LIMIT_MESSAGE_SIZE,
      .value_size_max = LIMIT_VALUE_SIZE, .lease_ms = LEASE_MS, .time_us = TIME_US,
      .server = bytes_of("vigild 0.1.0"), .stream_suffix = bytes_of(".stream"),
      .replay_suffix = bytes_of(".replay"), .ports = ports())
BLOCK(ping_request, request_ping, begin_request(b, OP_PING, 0, 1), 0)
BLOCK(ping_reply, reply_ping, begin_reply_at(b, OP_PING, 1, 42), 0)
BLOCK(status_reply, reply_status, begin_reply_at(b, OP_STATUS, 1, 42),
      .map = bytes_of("\x81\xa4head\x2a"))
BLOCK(put_request, request_put, begin_request(b, OP_PUT, 0, 2), .key = VIM, .value = INSTALLED)
BLOCK(put_reply, reply_put, begin_reply_at(b, OP_PUT, 2, 42), .prev_seq = 40, .version = 3)
BLOCK(put_if_request, request_put, begin_request(b, OP_PUT, REQUEST_IF_SEQ, 3), .expect_seq = 41,
      .key = VIM, .value = bytes_of("\xc0"))
BLOCK(delete_request, request_delete, begin_request(b, OP_DELETE, REQUEST_IF_VALUE, 4), .key = VIM,
      .expect_value = INSTALLED)
BLOCK(delete_reply, reply_delete, begin_reply_at(b, OP_DELETE, 4, 43), .prev_seq = 42)
BLOCK(incr_request, request_incr, begin_request(b, OP_INCR, 0, 5), .by = -2, .key = bytes_of("n"))
BLOCK(incr_reply, reply_incr, begin_reply_at(b, OP_INCR, 5, 44), .version = 12,
      .value = {(const uint8_t *)"\xcd\x01\x00", 3})

static void error_reply(struct wire_buffer *b)
{
    reply_message_begin(
        b, &(struct reply_message_header){
               .count = 1, .epoch = EPOCH, .incarnation = INCARNATION, .head = 42, .oldest = 1});
    reply_write_error(b, OP_PUT, 3, ERR_CONFLICT, 42,
                      "expected the key at seq 41, it changed last at 42");
}

static void malformed_reply(struct wire_buffer *b)
{
    reply_message_begin(
        b, &(struct reply_message_header){
               .count = 1, .epoch = EPOCH, .incarnation = INCARNATION, .head = 45, .oldest = 1});
    reply_write_error(b, 0, 0, ERR_MALFORMED, 0, NULL);
}

static void pipelined_request(struct wire_buffer *b)
{
    request_message_begin(b, &(struct request_message_header){.flags = MESSAGE_STOP_ON_ERROR});
    size_t part = request_begin(b, &(struct request_header){.op = OP_INCR, .id = 20});
    request_incr_write(b, &(struct request_incr){.by = 1, .key = bytes_of("a")});
    message_part_end(b, part);
    part = request_begin(b, &(struct request_header){.op = OP_INCR, .id = 21});
    request_incr_write(b, &(struct request_incr){.by = 1, .key = bytes_of("b")});
    message_part_end(b, part);
    message_set_count(b, 0, 2);
}

static struct bytes program(void)
{
    struct wire_buffer *b = rest_begin();
    wire_write_u16(b, 1);
    txn_compare_write(
        b, &(struct txn_compare){.target = COMPARE_SEQ, .relation = COMPARE_EQUAL, .key = LOCK});
    wire_write_u16(b, 2);
    txn_op_write(b, &(struct txn_op){.op = OP_PUT, .key = LOCK, .value = ME});
    txn_op_write(b, &(struct txn_op){.op = OP_INCR, .by = 1, .key = bytes_of("n")});
    wire_write_u16(b, 1);
    txn_op_write(b, &(struct txn_op){.op = OP_GET, .key = LOCK});
    return rest_end();
}

static struct bytes results(void)
{
    struct wire_buffer *b = rest_begin();
    wire_write_u16(b, 2);
    txn_result_write(b, &(struct txn_result){.op = OP_PUT});
    txn_result_write(
        b, &(struct txn_result){
               .op = OP_INCR, .present = 1, .seq = 44, .value = bytes_of("\xcd\x01\x01")});
    return rest_end();
}

BLOCK(txn_request, request_txn, begin_request(b, OP_TXN, 0, 6), .program = program())
BLOCK(txn_reply, reply_txn, begin_reply_at(b, OP_TXN, 6, 45), .succeeded = 1, .results = results())

static struct bytes prefix_program(void)
{
    const struct bytes jobs = bytes_of("jobs/");
    struct wire_buffer *b = rest_begin();
    wire_write_u16(b, 1);
    txn_compare_write(
        b, &(struct txn_compare){
               .target = COMPARE_PREFIX, .relation = COMPARE_EQUAL, .number = 45, .key = jobs});
    wire_write_u16(b, 2);
    txn_op_write(b, &(struct txn_op){.op = TXN_POP_ANY, .key = jobs});
    txn_op_write(b, &(struct txn_op){.op = TXN_APPEND, .key = bytes_of("done"), .value = ME});
    wire_write_u16(b, 1);
    txn_op_write(b, &(struct txn_op){.op = TXN_COUNT, .key = jobs});
    return rest_end();
}

static struct bytes prefix_results(void)
{
    struct wire_buffer *b = rest_begin();
    wire_write_u16(b, 2);
    txn_result_write(
        b, &(struct txn_result){.op = TXN_POP_ANY,
                                .present = 1,
                                .seq = 44,
                                .value = bytes_of("\x92\xbajobs/000000000000002c-0000\x07")});
    txn_result_write(b, &(struct txn_result){
                            .op = TXN_APPEND, .present = 1, .seq = 40, .value = bytes_of("\x02")});
    return rest_end();
}

BLOCK(txn_prefix_request, request_txn, begin_request(b, OP_TXN, 0, 24), .program = prefix_program())
BLOCK(txn_prefix_reply, reply_txn, begin_reply_at(b, OP_TXN, 24, 46), .succeeded = 1,
      .results = prefix_results())

#define LOCK_ENTRY .present = 1, .modified = 45, .created = 45, .version = 1, .value = ME

static struct bytes keys(void)
{
    struct wire_buffer *b = rest_begin();
    wire_write_u16(b, 2);
    wire_write_bytes16(b, LOCK);
    wire_write_bytes16(b, VIM);
    return rest_end();
}

static struct bytes entries(void)
{
    struct wire_buffer *b = rest_begin();
    wire_write_u16(b, 2);
    reply_get_write(b, &(struct reply_get){LOCK_ENTRY});
    reply_get_write(b, &(struct reply_get){.modified = 43});
    return rest_end();
}

BLOCK(get_request, request_get, begin_request(b, OP_GET, 0, 7), .key = LOCK)
BLOCK(get_reply, reply_get, begin_reply_at(b, OP_GET, 7, 45), LOCK_ENTRY)
BLOCK(get_many_request, request_get_many, begin_request(b, OP_GET_MANY, 0, 8), .keys = keys())
BLOCK(get_many_reply, reply_get_many, begin_reply_at(b, OP_GET_MANY, 8, 45), .entries = entries())

static void make_filter(struct filter *f)
{
    const struct pattern patterns[] = {{PATTERN_PREFIX, bytes_of("pkg/")}, {PATTERN_EXACT, LOCK}};
    assert_int_equal(filter_init(f, patterns, 2), ERR_OK);
}

static struct bytes filter_bytes(void)
{
    struct filter *f = malloc(sizeof *f);
    assert_non_null(f);
    make_filter(f);
    filter_write(rest_begin(), f);
    free(f);
    return rest_end();
}

static struct bytes one_topic(void)
{
    struct wire_buffer *b = rest_begin();
    wire_write_u16(b, 1);
    wire_write_raw(b, topic_bytes, TOPIC_SIZE);
    return rest_end();
}

BLOCK(stream_open_request, request_stream_open, begin_request(b, OP_STREAM_OPEN, 0, 9),
      .filter = filter_bytes())
BLOCK(stream_open_reply, reply_stream_open, begin_reply_at(b, OP_STREAM_OPEN, 9, 45),
      .topic = topic, .last = 45, .interval_ms = BOOKMARK_IDLE_MS)
BLOCK(stream_renew_request, request_stream_renew, begin_request(b, OP_STREAM_RENEW, 0, 10),
      .topics = one_topic())
BLOCK(stream_renew_reply, reply_stream_renew, begin_reply_at(b, OP_STREAM_RENEW, 10, 45),
      .known = {(const uint8_t *)"\x01\x00\x01", 3})
BLOCK(stream_close_request, request_stream_close, begin_request(b, OP_STREAM_CLOSE, 0, 11),
      .topic = topic)
BLOCK(compact_request, request_compact, begin_request(b, OP_COMPACT, 0, 12), .before = 40)
BLOCK(session_open_request, request_session_open, begin_request(b, OP_SESSION_OPEN, 0, 13), 0)
BLOCK(session_open_reply, reply_session_open, begin_reply_at(b, OP_SESSION_OPEN, 13, 45),
      .session = SESSION, .window = LIMIT_SESSION_WINDOW, .idle_s = SESSION_IDLE_S)
BLOCK(session_close_request, request_session_close, begin_request(b, OP_SESSION_CLOSE, 0, 15),
      .session = SESSION)
BLOCK(session_close_reply, reply_session_close, begin_reply_at(b, OP_SESSION_CLOSE, 15, 46), 0)

/* The first request of a session. */
static void session_request(struct wire_buffer *b)
{
    request_message_begin(
        b, &(struct request_message_header){.count = 1,
                                            .flags = MESSAGE_STOP_ON_ERROR | MESSAGE_ACKNOWLEDGES,
                                            .session = SESSION,
                                            .acknowledged = 6});
    size_t part = request_begin(b, &(struct request_header){.op = OP_TXN, .id = 14, .number = 7});
    request_txn_write(b, &(struct request_txn){.program = program()});
    message_part_end(b, part);
}

/* ---- named cursors ---- */

#define BILLING bytes_of("billing")

static struct bytes cursor_rows(void)
{
    struct wire_buffer filter;
    wire_buffer_init(&filter, 64);
    struct bytes written = filter_bytes();
    wire_write_raw(&filter, written.data, written.size);
    struct wire_buffer *b = rest_begin();
    cursor_row_write(b, &(struct cursor_row){.name = BILLING,
                                             .epoch = EPOCH,
                                             .position = 44,
                                             .holder = 3,
                                             .created_us = TIME_US,
                                             .moved_us = TIME_US + 5,
                                             .filter = {filter.data, filter.size}});
    wire_buffer_free(&filter);
    return rest_end();
}

BLOCK(cursor_open_request, request_cursor_open, begin_request(b, OP_CURSOR_OPEN, 0, 16),
      .position = UINT64_MAX, .name = BILLING, .filter = filter_bytes())
BLOCK(cursor_open_reply, reply_cursor_open, begin_reply_at(b, OP_CURSOR_OPEN, 16, 45), .holder = 3,
      .epoch = EPOCH, .position = 40, .filter = filter_bytes())
BLOCK(cursor_move_request, request_cursor_move, begin_request(b, OP_CURSOR_MOVE, 0, 17),
      .holder = 3, .epoch = EPOCH, .position = 44, .name = BILLING)
BLOCK(cursor_move_reply, reply_cursor_move, begin_reply_at(b, OP_CURSOR_MOVE, 17, 45),
      .position = 44)
BLOCK(cursor_delete_request, request_cursor_delete, begin_request(b, OP_CURSOR_DELETE, 0, 18),
      .name = BILLING)
BLOCK(cursor_delete_reply, reply_cursor_delete, begin_reply_at(b, OP_CURSOR_DELETE, 18, 45), 0)
BLOCK(cursor_list_request, request_cursor_list, begin_request(b, OP_CURSOR_LIST, 0, 19), 0)
BLOCK(cursor_list_reply, reply_cursor_list, begin_reply_at(b, OP_CURSOR_LIST, 19, 45),
      .time_us = TIME_US + 9, .count = 1, .rows = cursor_rows())

#define LEASE UINT64_C(0x40c3a97e11d205b8)
static struct bytes leases(void)
{
    wire_write_u16(rest_begin(), 2);
    wire_write_u64(&rest, LEASE);
    wire_write_u64(&rest, 7);
    return rest_end();
}
static struct bytes leases_known(void)
{
    wire_write_u16(rest_begin(), 2);
    wire_write_u8(&rest, 1);
    wire_write_u8(&rest, 0);
    return rest_end();
}
BLOCK(call_request, request_call, begin_request(b, OP_CALL, 0, 25), .name = bytes_of("add"),
      .arguments = bytes_of("\x92\xa1n\x05"))
BLOCK(call_reply, reply_call, begin_reply_at(b, OP_CALL, 25, 47), .value = bytes_of("\x05"))
BLOCK(lease_open_request, request_lease_open, begin_request(b, OP_LEASE_OPEN, 0, 21),
      .ttl_ms = 10000)
BLOCK(lease_open_reply, reply_lease_open, begin_reply_at(b, OP_LEASE_OPEN, 21, 45), .lease = LEASE)
BLOCK(lease_renew_request, request_lease_renew, begin_request(b, OP_LEASE_RENEW, 0, 22),
      .leases = leases())
BLOCK(lease_renew_reply, reply_lease_renew, begin_reply_at(b, OP_LEASE_RENEW, 22, 45),
      .known = leases_known())
BLOCK(lease_close_request, request_lease_close, begin_request(b, OP_LEASE_CLOSE, 0, 23),
      .lease = LEASE)
BLOCK(lease_close_reply, reply_lease_close, begin_reply_at(b, OP_LEASE_CLOSE, 23, 46), 0)

BLOCK(turn_request, request_turn, begin_request(b, OP_TURN, 0, 20), .action = TURN_TAKE,
      .filter = filter_bytes())
BLOCK(turn_reply, reply_turn, begin_reply_at(b, OP_TURN, 20, 45), .ahead = 2,
      .left_ms = TURN_PLACE_MS)

BLOCK(compact_reply, reply_compact, begin_reply(b, OP_COMPACT, 12, 45, 45, 40), .oldest = 40)

/* ---- records and streams ---- */

static void record_42(struct wire_buffer *b)
{
    struct record_writer w;
    record_begin(&w, b, 42, TIME_US + 1, 0, 0);
    record_add(&w,
               &(struct change){.op = CHANGE_PUT, .prev_seq = 40, .key = VIM, .value = INSTALLED});
    assert_true(record_end(&w) > 0);
}

static void record_43(struct wire_buffer *b)
{
    struct record_writer w;
    record_begin(&w, b, 43, TIME_US + 2, 0, 0);
    record_add(&w, &(struct change){.op = CHANGE_DELETE, .prev_seq = 42, .key = VIM});
    assert_true(record_end(&w) > 0);
}

static void record_45(struct wire_buffer *b)
{
    struct record_writer w;
    record_begin(&w, b, 45, TIME_US + 4, 0, 0);
    record_add(&w, &(struct change){.op = CHANGE_PUT, .key = LOCK, .value = ME});
    record_add(&w, &(struct change){.op = CHANGE_PUT,
                                    .prev_seq = 44,
                                    .key = bytes_of("n"),
                                    .value = bytes_of("\xcd\x01\x01")});
    assert_true(record_end(&w) > 0);
}

/* As it is in the journal, when the transaction was a session's. */
static void session_record(struct wire_buffer *b)
{
    struct record_writer w;
    struct wire_buffer result;
    wire_buffer_init(&result, 4096);
    reply_txn_write(&result, &(struct reply_txn){.succeeded = 1, .results = results()});
    record_begin(&w, b, 45, TIME_US + 4, SESSION, 7);
    record_add(&w, &(struct change){.op = CHANGE_PUT, .key = LOCK, .value = ME});
    record_add(&w, &(struct change){.op = CHANGE_PUT,
                                    .prev_seq = 44,
                                    .key = bytes_of("n"),
                                    .value = bytes_of("\xcd\x01\x01")});
    record_set_request(&w, OP_TXN, (struct bytes){result.data, result.size});
    assert_true(record_end(&w) > 0);
    wire_buffer_free(&result);
}

static void view_45(struct wire_buffer *b)
{
    struct filter *f = malloc(sizeof *f);
    struct wire_buffer whole;
    assert_non_null(f);
    make_filter(f);
    wire_buffer_init(&whole, 4096);
    record_45(&whole);
    assert_true(record_write_view(b, whole.data, f) > 0);
    wire_buffer_free(&whole);
    free(f);
}

static void stream_header(struct wire_buffer *b, uint8_t kind, uint16_t count)
{
    struct stream_header h = {
        .kind = kind, .count = count, .epoch = EPOCH, .incarnation = INCARNATION};
    memcpy(h.topic, topic_bytes, TOPIC_SIZE);
    stream_write_header(b, &h);
}

static void stream_records(struct wire_buffer *b)
{
    stream_header(b, STREAM_RECORDS, 1);
    wire_write_u64(b, 43);
    view_45(b);
}

static void stream_notice(struct wire_buffer *b)
{
    stream_header(b, STREAM_NOTICE, 1);
    stream_write_notice(b, 45, 46);
}

static void stream_bookmark(struct wire_buffer *b)
{
    stream_header(b, STREAM_BOOKMARK, 0);
    stream_write_bookmark(
        b, &(struct stream_bookmark){
               .head = 46, .last = 46, .oldest = 1, .interval_ms = BOOKMARK_IDLE_MS});
}

/* ---- replay socket ---- */

static struct bytes rising_records(void)
{
    struct wire_buffer *b = rest_begin();
    record_42(b);
    record_43(b);
    return rest_end();
}

static struct bytes falling_records(void)
{
    struct wire_buffer *b = rest_begin();
    record_43(b);
    record_42(b);
    return rest_end();
}

static struct bytes rows(void)
{
    struct wire_buffer *b = rest_begin();
    list_row_write(b, &(struct list_row){.key = bytes_of("pkg/tar"),
                                         .created = 7,
                                         .modified = 7,
                                         .version = 1,
                                         .value = INSTALLED});
    list_row_write(b, &(struct list_row){.key = VIM,
                                         .created = 12,
                                         .modified = 40,
                                         .version = 2,
                                         .value = bytes_of("\xa8unpacked")});
    return rest_end();
}

BLOCK(replay_request, request_replay, begin_request(b, OP_REPLAY, 0, 1), .epoch = EPOCH,
      .after = 41, .bytes_max = 65536, .filter = filter_bytes())
BLOCK(replay_reply, reply_replay, begin_reply_at(b, OP_REPLAY, 1, 43), .from = 41, .to = 43,
      .count = 2, .records = rising_records())
BLOCK(list_request, request_list, begin_request(b, OP_LIST, REQUEST_LIST_VALUES, 1),
      .prefix = bytes_of("pkg/"))
BLOCK(list_reply, reply_list, begin_reply(b, OP_LIST, 1, 40, 43, 1), .applied = 40, .count = 2,
      .rows = rows())
BLOCK(history_request, request_history, begin_request(b, OP_HISTORY, 0, 1), .epoch = EPOCH,
      .from_seq = 43, .key = VIM)
BLOCK(history_reply, reply_history, begin_reply(b, OP_HISTORY, 1, 43, 43, 41),
      .end = HISTORY_COMPACTED, .next_seq = 40, .count = 2, .records = falling_records())

/* ---- decoding what the document says ---- */

static void decode_records(struct bytes records, uint32_t count)
{
    struct record_header h;
    struct change c;
    for (uint32_t n = 0; n < count; n++) {
        assert_int_equal(record_check(records, &h), ERR_OK);
        for (struct change_iterator i = record_changes(records.data); change_next(&i, &c);)
            assert_true(c.op != CHANGE_PUT || value_valid(c.value));
        records.data += h.size;
        records.size -= h.size;
    }
    assert_int_equal(records.size, 0);
}

static void decode_request(struct wire_reader *r)
{
    struct request_message_header h;
    assert_int_equal(request_message_read(r, &h), ERR_OK);
    for (uint16_t i = 0; i < h.count; i++) {
        struct request_header request;
        struct wire_reader part;
        assert_int_equal(request_read(r, &request, &part), ERR_OK);
        switch (request.op) {
#define DECODE_REQUEST(number, NAME, name)                \
    case number: {                                        \
        struct request_##name body;                       \
        assert_true(request_##name##_read(&part, &body)); \
        break;                                            \
    }
            REQUEST_OP_LIST(DECODE_REQUEST)
        default:
            fail_msg("op %u", request.op);
        }
    }
    assert_true(wire_read_complete(r));
}

static void decode_reply_body(const struct reply_header *reply, struct wire_reader *part)
{
    struct reply_error error;
    struct reply_replay replay;
    struct reply_history history;
    if (reply->status != ERR_OK) {
        assert_true(reply_error_read(part, &error));
        return;
    }
    switch (reply->op) {
    case OP_REPLAY:
        assert_true(reply_replay_read(part, &replay));
        decode_records(replay.records, replay.count);
        break;
    case OP_HISTORY:
        assert_true(reply_history_read(part, &history));
        decode_records(history.records, history.count);
        break;
    default:
        switch (reply->op) {
#define DECODE_REPLY(number, NAME, name)               \
    case number: {                                     \
        struct reply_##name body;                      \
        assert_true(reply_##name##_read(part, &body)); \
        break;                                         \
    }
            REQUEST_OP_LIST(DECODE_REPLY)
        default:
            fail_msg("op %u", reply->op);
        }
    }
}

static void decode_reply(struct wire_reader *r)
{
    struct reply_message_header h;
    assert_int_equal(reply_message_read(r, &h), ERR_OK);
    for (uint16_t i = 0; i < h.count; i++) {
        struct reply_header reply;
        struct wire_reader part;
        assert_int_equal(reply_read(r, &reply, &part), ERR_OK);
        decode_reply_body(&reply, &part);
    }
    assert_true(wire_read_complete(r));
}

static void decode_record(struct wire_reader *r)
{
    decode_records(wire_read_raw(r, wire_left(r)), 1);
}

static void decode_stream(struct wire_reader *r)
{
    struct stream_header h;
    struct stream_bookmark bookmark;
    struct bytes record;
    struct record_header record_header;
    uint64_t prev;
    uint64_t seq;
    assert_int_equal(stream_read_header(r, &h), ERR_OK);
    if (h.kind == STREAM_NOTICE)
        assert_int_equal(stream_read_notice(r, &prev, &seq), ERR_OK);
    else if (h.kind == STREAM_BOOKMARK)
        assert_int_equal(stream_read_bookmark(r, &bookmark), ERR_OK);
    for (uint16_t i = 0; h.kind == STREAM_RECORDS && i < h.count; i++)
        assert_int_equal(stream_read_entry(r, &prev, &record, &record_header), ERR_OK);
    assert_true(wire_read_complete(r));
}

/* ---- the document ---- */

static const struct {
    const char *name;
    void (*encode)(struct wire_buffer *b);
    void (*decode)(struct wire_reader *r);
} blocks[] = {
    {"pipelined-request", pipelined_request, decode_request},
    {"malformed-reply", malformed_reply, decode_reply},
    {"hello-request", hello_request, decode_request},
    {"hello-reply", hello_reply, decode_reply},
    {"ping-request", ping_request, decode_request},
    {"ping-reply", ping_reply, decode_reply},
    {"status-reply", status_reply, decode_reply},
    {"put-request", put_request, decode_request},
    {"put-reply", put_reply, decode_reply},
    {"put-if-request", put_if_request, decode_request},
    {"error-reply", error_reply, decode_reply},
    {"delete-request", delete_request, decode_request},
    {"delete-reply", delete_reply, decode_reply},
    {"call-request", call_request, decode_request},
    {"call-reply", call_reply, decode_reply},
    {"incr-request", incr_request, decode_request},
    {"incr-reply", incr_reply, decode_reply},
    {"txn-request", txn_request, decode_request},
    {"txn-reply", txn_reply, decode_reply},
    {"txn-prefix-request", txn_prefix_request, decode_request},
    {"txn-prefix-reply", txn_prefix_reply, decode_reply},
    {"get-request", get_request, decode_request},
    {"get-reply", get_reply, decode_reply},
    {"get-many-request", get_many_request, decode_request},
    {"get-many-reply", get_many_reply, decode_reply},
    {"stream-open-request", stream_open_request, decode_request},
    {"stream-open-reply", stream_open_reply, decode_reply},
    {"stream-renew-request", stream_renew_request, decode_request},
    {"stream-renew-reply", stream_renew_reply, decode_reply},
    {"stream-close-request", stream_close_request, decode_request},
    {"compact-request", compact_request, decode_request},
    {"compact-reply", compact_reply, decode_reply},
    {"session-open-request", session_open_request, decode_request},
    {"session-open-reply", session_open_reply, decode_reply},
    {"session-request", session_request, decode_request},
    {"session-close-request", session_close_request, decode_request},
    {"session-close-reply", session_close_reply, decode_reply},
    {"cursor-open-request", cursor_open_request, decode_request},
    {"cursor-open-reply", cursor_open_reply, decode_reply},
    {"cursor-move-request", cursor_move_request, decode_request},
    {"cursor-move-reply", cursor_move_reply, decode_reply},
    {"cursor-delete-request", cursor_delete_request, decode_request},
    {"cursor-delete-reply", cursor_delete_reply, decode_reply},
    {"cursor-list-request", cursor_list_request, decode_request},
    {"cursor-list-reply", cursor_list_reply, decode_reply},
    {"lease-open-request", lease_open_request, decode_request},
    {"lease-open-reply", lease_open_reply, decode_reply},
    {"lease-renew-request", lease_renew_request, decode_request},
    {"lease-renew-reply", lease_renew_reply, decode_reply},
    {"lease-close-request", lease_close_request, decode_request},
    {"lease-close-reply", lease_close_reply, decode_reply},
    {"turn-request", turn_request, decode_request},
    {"turn-reply", turn_reply, decode_reply},
    {"replay-request", replay_request, decode_request},
    {"replay-reply", replay_reply, decode_reply},
    {"list-request", list_request, decode_request},
    {"list-reply", list_reply, decode_reply},
    {"history-request", history_request, decode_request},
    {"history-reply", history_reply, decode_reply},
    {"record", record_42, decode_record},
    {"record-of-two", record_45, decode_record},
    {"session-record", session_record, decode_record},
    {"record-view", view_45, decode_record},
    {"stream-records", stream_records, decode_stream},
    {"stream-notice", stream_notice, decode_stream},
    {"stream-bookmark", stream_bookmark, decode_stream},
};
enum { BLOCK_COUNT = sizeof blocks / sizeof blocks[0], DOCUMENT_SIZE_MAX = 1 << 20 };

static char *document; /* NUL-terminated */

static int read_document(void **state)
{
    (void)state;
    const char *source = getenv("SRC");
    char path[4096];
#ifdef TEST_SOURCE_DIR
    if (!source)
        source = TEST_SOURCE_DIR;
#endif
    if (!source)
        return -1;
    (void)snprintf(path, sizeof path, "%s/docs/protocol.md", source);
    FILE *file = fopen(path, "rb");
    if (!file)
        return -1;
    document = calloc(1, DOCUMENT_SIZE_MAX + 1);
    size_t size = document ? fread(document, 1, DOCUMENT_SIZE_MAX, file) : 0;
    (void)fclose(file);
    return size > 0 && size < DOCUMENT_SIZE_MAX ? 0 : -1;
}

static int free_document(void **state)
{
    (void)state;
    free(document);
    wire_buffer_free(&rest);
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes of the block that starts at text; returns its end, the closing fence. */
static const char *parse_block(const char *text, struct wire_buffer *ret_bytes)
{
    while (strncmp(text, "```", 3) != 0) {
        const char *line_end = strchr(text, '\n');
        assert_non_null(line_end);
        while (text < line_end && *text != '#') {
            if (*text == ' ') {
                text++;
                continue;
            }
            int high = hex_digit(text[0]);
            int low = hex_digit(text[1]);
            assert_true(high >= 0);
            assert_true(low >= 0);
            wire_write_u8(ret_bytes, (uint8_t)(high * 16 + low));
            text += 2;
        }
        text = line_end + 1;
    }
    return text;
}

static size_t find_block(const char *name, size_t size)
{
    for (size_t i = 0; i < BLOCK_COUNT; i++) {
        if (strlen(blocks[i].name) == size && memcmp(blocks[i].name, name, size) == 0)
            return i;
    }
    fail_msg("a hex block that the test does not know: %.*s", (int)size, name);
    return 0;
}

static void print_bytes(const char *title, const struct wire_buffer *b)
{
    print_message("%s\n", title);
    for (size_t i = 0; i < b->size; i++)
        print_message("%02x%s", b->data[i], i % 16 == 15 || i + 1 == b->size ? "\n" : " ");
}

static void test_every_block(void **state)
{
    (void)state;
    static const char fence[] = "```hex name=";
    bool seen[BLOCK_COUNT] = {false};
    const char *at = document;
    while ((at = strstr(at, fence)) != NULL) {
        struct wire_buffer written;
        struct wire_buffer encoded;
        wire_buffer_init(&written, 4096);
        wire_buffer_init(&encoded, 4096);
        const char *name = at + sizeof fence - 1;
        const char *name_end = strchr(name, '\n');
        assert_non_null(name_end);
        size_t i = find_block(name, (size_t)(name_end - name));
        assert_false(seen[i]);
        seen[i] = true;
        at = parse_block(name_end + 1, &written);
        blocks[i].encode(&encoded);
        assert_false(written.failed);
        assert_false(encoded.failed);
        if (!bytes_equal((struct bytes){written.data, written.size},
                         (struct bytes){encoded.data, encoded.size})) {
            print_bytes("the document:", &written);
            print_bytes("the code:", &encoded);
            fail_msg("the block %s differs from what the code writes", blocks[i].name);
        }
        struct wire_reader r = wire_reader_of(written.data, written.size);
        blocks[i].decode(&r);
        wire_buffer_free(&written);
        wire_buffer_free(&encoded);
    }
    for (size_t i = 0; i < BLOCK_COUNT; i++) {
        if (!seen[i])
            fail_msg("the document has no hex block %s", blocks[i].name);
    }
}

static void assert_says(const char *line)
{
    if (!strstr(document, line))
        fail_msg("the document lacks: %s", line);
}

static void test_errors_are_listed(void **state)
{
    (void)state;
    char line[256];
#define CHECK_ERROR(number, name, text)                                               \
    (void)snprintf(line, sizeof line, "\n| %d | `%s` | %s |\n", number, #name, text); \
    assert_says(line);
    ERROR_LIST(CHECK_ERROR)
}

static void test_requests_are_listed(void **state)
{
    (void)state;
    char line[256];
#define CHECK_OP(number, NAME, name)                                                             \
    (void)snprintf(line, sizeof line, "\n| %d | [%s](#%s-%d) | ", number, #name, #name, number); \
    assert_says(line);                                                                           \
    (void)snprintf(line, sizeof line, "\n### %s (%d)\n", #name, number);                         \
    assert_says(line);
    REQUEST_OP_LIST(CHECK_OP)
}

static void test_sum_of_the_check_value(void **state)
{
    (void)state;
    char text[16];
    (void)snprintf(text, sizeof text, "`%08x`", (unsigned)crc32c(0, "123456789", 9));
    assert_says(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_block),
        cmocka_unit_test(test_errors_are_listed),
        cmocka_unit_test(test_requests_are_listed),
        cmocka_unit_test(test_sum_of_the_check_value),
    };
    return cmocka_run_group_tests(tests, read_document, free_document);
}
