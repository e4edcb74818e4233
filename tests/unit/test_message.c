/*
 * Requests and replies: every body of message.h's list is filled at random,
 * written, read back and cut at each place; then the envelopes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "protocol/message.h"
#include "tests/support/sample_bytes.h"

static struct bytes random_text(struct sample *s, uint8_t storage[8])
{
    size_t size = sample_below(s, 9);
    sample_fill(s, storage, size);
    return (struct bytes){storage, size};
}

/* Each number has its highest bit set now and then, so that no width is cut down. */
#define FILL_nothing(name)
#define FILL_u8(name) body.name = (uint8_t)sample_u64(&s);
#define FILL_u16(name) body.name = (uint16_t)sample_u64(&s);
#define FILL_u32(name) body.name = (uint32_t)sample_u64(&s);
#define FILL_u64(name) body.name = sample_u64(&s);
#define FILL_i64(name) body.name = (int64_t)sample_u64(&s);
#define FILL_bytes16(name) body.name = random_text(&s, storage[texts++]);
#define FILL_bytes32(name) body.name = random_text(&s, storage[texts++]);
#define FILL_rest(name)                            \
    body.name = random_text(&s, storage[texts++]); \
    rest_size = body.name.size;                    \
    has_rest = true;
#define FILL(kind, name) FILL_##kind(name)

#define SAME_nothing(name)
#define SAME_number(name) assert_true(back.name == body.name);
#define SAME_u8(name) SAME_number(name)
#define SAME_u16(name) SAME_number(name)
#define SAME_u32(name) SAME_number(name)
#define SAME_u64(name) SAME_number(name)
#define SAME_i64(name) SAME_number(name)
#define SAME_bytes16(name) assert_true(bytes_equal(back.name, body.name));
#define SAME_bytes32(name) assert_true(bytes_equal(back.name, body.name));
#define SAME_rest(name) assert_true(bytes_equal(back.name, body.name));
#define SAME(kind, name) SAME_##kind(name)

#define DEFINE_BODY_TEST(type, FIELDS)                                                      \
    static void test_body_##type(void **state)                                              \
    {                                                                                       \
        (void)state;                                                                        \
        struct sample s = {sizeof #type};                                                   \
        struct wire_buffer b;                                                               \
        wire_buffer_init(&b, 4096);                                                         \
        for (int round = 0; round < 300; round++) {                                         \
            uint8_t storage[4][8];                                                          \
            size_t texts = 0;                                                               \
            size_t rest_size = 0;                                                           \
            bool has_rest = false;                                                          \
            struct type body = {0};                                                         \
            struct type back;                                                               \
            FIELDS(FILL)                                                                    \
            (void)s, (void)storage;                                                         \
            (void)texts;                                                                    \
            wire_buffer_clear(&b);                                                          \
            type##_write(&b, &body);                                                        \
            assert_false(b.failed);                                                         \
            for (size_t cut = 0; cut <= b.size + 1; cut++) {                                \
                uint8_t *copy = calloc(1, cut + 1);                                         \
                memcpy(copy, b.data ? b.data : copy, cut < b.size ? cut : b.size);          \
                struct wire_reader r = wire_reader_of(copy, cut);                           \
                memset(&back, 0x5a, sizeof back);                                           \
                bool ok = type##_read(&r, &back);                                           \
                assert_int_equal(ok, has_rest ? cut >= b.size - rest_size : cut == b.size); \
                if (cut == b.size) {                                                        \
                    FIELDS(SAME)                                                            \
                }                                                                           \
                if (!ok)                                                                    \
                    assert_int_equal(((const uint8_t *)&back)[sizeof back - 1], 0x5a);      \
                r = wire_reader_of(copy, cut);                                              \
                assert_int_equal(type##_read_next(&r, &back), cut >= b.size - rest_size);   \
                free(copy);                                                                 \
            }                                                                               \
        }                                                                                   \
        wire_buffer_free(&b);                                                               \
    }
MESSAGE_BODY_LIST(DEFINE_BODY_TEST)

/* ---- envelopes ---- */

static void write_requests(struct wire_buffer *b)
{
    request_message_begin(b, &(struct request_message_header){.flags = MESSAGE_STOP_ON_ERROR,
                                                              .session = UINT64_MAX - 1});
    size_t begin = request_begin(
        b, &(struct request_header){.op = OP_PUT, .flags = REQUEST_IF_SEQ, .id = 7, .number = 9});
    request_put_write(b, &(struct request_put){
                             .expect_seq = 3, .key = bytes_of("key"), .value = bytes_of("\x07")});
    message_part_end(b, begin);
    begin = request_begin(b, &(struct request_header){.op = OP_PING, .id = 8});
    message_part_end(b, begin);
    begin = request_begin(b, &(struct request_header){.op = OP_GET, .id = UINT64_MAX});
    request_get_write(b, &(struct request_get){.key = bytes_of("key")});
    message_part_end(b, begin);
    message_set_count(b, 0, 3);
    assert_false(b->failed);
}

/* Reads all of a request message; the error of the first thing that is wrong. */
static int read_requests(const uint8_t *data, size_t size)
{
    struct wire_reader r = wire_reader_of(data, size);
    struct request_message_header h;
    int err = request_message_read(&r, &h);
    for (uint16_t i = 0; !err && i < h.count; i++) {
        struct request_header request;
        struct wire_reader body;
        struct request_put put;
        struct request_get get;
        err = request_read(&r, &request, &body);
        if (err)
            break;
        bool ok = request.op == OP_PUT   ? request_put_read(&body, &put)
                  : request.op == OP_GET ? request_get_read(&body, &get)
                                         : wire_read_complete(&body);
        err = ok ? ERR_OK : ERR_MALFORMED;
    }
    if (!err && !wire_read_complete(&r))
        err = ERR_MALFORMED;
    return err;
}

static void test_request_message(void **state)
{
    (void)state;
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    write_requests(&b);
    struct wire_reader r = wire_reader_of(b.data, b.size);
    struct request_message_header h;
    struct request_header request;
    struct wire_reader body;
    assert_int_equal(request_message_read(&r, &h), ERR_OK);
    assert_int_equal(h.count, 3);
    assert_int_equal(h.flags, MESSAGE_STOP_ON_ERROR);
    assert_true(h.session == UINT64_MAX - 1);
    assert_int_equal(request_read(&r, &request, &body), ERR_OK);
    assert_int_equal(request.op, OP_PUT);
    assert_int_equal(request.flags, REQUEST_IF_SEQ);
    assert_int_equal(request.id, 7);
    assert_int_equal(request.number, 9);
    struct request_put put;
    assert_true(request_put_read(&body, &put));
    assert_int_equal(put.expect_seq, 3);
    assert_true(bytes_equal(put.key, bytes_of("key")));
    assert_int_equal(request_read(&r, &request, &body), ERR_OK);
    assert_int_equal(wire_left(&body), 0);
    assert_int_equal(request_read(&r, &request, &body), ERR_OK);
    assert_true(request.id == UINT64_MAX);
    assert_true(wire_read_complete(&r));
    assert_int_equal(request_read(&r, &request, &body), ERR_MALFORMED);
    wire_buffer_free(&b);
}

static void test_request_message_at_every_cut(void **state)
{
    (void)state;
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    write_requests(&b);
    size_t size = b.size;
    assert_int_equal(read_requests(b.data, size), ERR_OK);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = copy_exactly(b.data, cut);
        assert_int_equal(read_requests(copy, cut), ERR_MALFORMED);
        free(copy);
    }
    wire_write_u8(&b, 0);
    assert_int_equal(read_requests(b.data, b.size), ERR_MALFORMED);
    wire_buffer_free(&b);
}

/* One byte of the request message set; what becomes of it. */
static void test_false_request_messages(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
        int err;
    } cases[] = {
        {0, 'v', ERR_MALFORMED},  {1, 0, ERR_VERSION},
        {1, 2, ERR_VERSION},      {1, 255, ERR_VERSION},
        {2, 0, ERR_MALFORMED},    {2, 2, ERR_MALFORMED},
        {2, 4, ERR_MALFORMED},    {3, 0x10, ERR_MALFORMED},
        {3, 0xff, ERR_MALFORMED}, {4, 0, ERR_OK},
        {4, 4, ERR_MALFORMED},    {7, 0x80, ERR_MALFORMED},
        {16, 0, ERR_MALFORMED},   {16, 23, ERR_MALFORMED},
        {16, 24, ERR_MALFORMED},  {19, 0xff, ERR_MALFORMED},
        {22, 1, ERR_MALFORMED},   {23, 1, ERR_MALFORMED},
    };
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    write_requests(&b);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *copy = copy_exactly(b.data, b.size);
        copy[cases[i].at] = cases[i].value;
        assert_int_equal(read_requests(copy, b.size), cases[i].err);
        free(copy);
    }
    wire_buffer_free(&b);
}

/* With its flag, acknowledged stands between header and requests, whole or not at all. */
static void test_acknowledged(void **state)
{
    (void)state;
    struct wire_buffer b;
    struct request_message_header h;
    wire_buffer_init(&b, 4096);
    request_message_begin(
        &b, &(struct request_message_header){.count = 1,
                                             .flags = MESSAGE_ACKNOWLEDGES | MESSAGE_STOP_ON_ERROR,
                                             .session = 5,
                                             .acknowledged = UINT64_MAX - 7});
    assert_int_equal(b.size, request_message_header_size(MESSAGE_ACKNOWLEDGES));
    size_t begin = request_begin(&b, &(struct request_header){.op = OP_PING, .id = 8});
    message_part_end(&b, begin);
    struct wire_reader r = wire_reader_of(b.data, b.size);
    assert_int_equal(request_message_read(&r, &h), ERR_OK);
    assert_true(h.acknowledged == UINT64_MAX - 7);
    assert_int_equal(h.session, 5);
    assert_ptr_equal(r.at, b.data + begin);
    assert_int_equal(read_requests(b.data, b.size), ERR_OK);
    for (size_t cut = 0; cut < b.size; cut++) {
        uint8_t *copy = copy_exactly(b.data, cut);
        assert_int_equal(read_requests(copy, cut), ERR_MALFORMED);
        free(copy);
    }
    b.data[4] = 0; /* without the flag the eight bytes are no request */
    assert_int_equal(read_requests(b.data, b.size), ERR_MALFORMED);
    b.data[4] = MESSAGE_ACKNOWLEDGES; /* and with it they are not a part of one */
    wire_store_u16(b.data + 2, 2);
    assert_int_equal(read_requests(b.data, b.size), ERR_MALFORMED);
    wire_buffer_free(&b);
}

static void test_count_of_requests(void **state)
{
    (void)state;
    struct wire_buffer b;
    wire_buffer_init(&b, 1 << 20);
    request_message_begin(&b, &(struct request_message_header){0});
    for (size_t i = 0; i <= LIMIT_MESSAGE_REQUESTS; i++) {
        size_t begin = request_begin(&b, &(struct request_header){.op = OP_PING, .id = i});
        message_part_end(&b, begin);
        if (i + 1 == LIMIT_MESSAGE_REQUESTS) {
            message_set_count(&b, 0, (uint16_t)(i + 1));
            assert_int_equal(read_requests(b.data, b.size), ERR_OK);
        }
    }
    message_set_count(&b, 0, LIMIT_MESSAGE_REQUESTS + 1);
    assert_int_equal(read_requests(b.data, b.size), ERR_MALFORMED);
    wire_buffer_free(&b);
}

static void write_replies(struct wire_buffer *b)
{
    reply_message_begin(
        b, &(struct reply_message_header){.epoch = 1, .incarnation = 2, .head = 3, .oldest = 4});
    size_t begin = reply_begin(b, &(struct reply_header){.op = OP_PUT, .id = 7, .seq = 3});
    reply_put_write(b, &(struct reply_put){.prev_seq = 1, .version = 2});
    message_part_end(b, begin);
    reply_write_error(b, OP_GET, 8, ERR_BAD_KEY, 0, NULL);
    message_set_count(b, 0, 2);
    assert_false(b->failed);
}

static int read_replies(const uint8_t *data, size_t size)
{
    struct wire_reader r = wire_reader_of(data, size);
    struct reply_message_header h;
    int err = reply_message_read(&r, &h);
    for (uint16_t i = 0; !err && i < h.count; i++) {
        struct reply_header reply;
        struct wire_reader body;
        struct reply_put put;
        struct reply_error error;
        err = reply_read(&r, &reply, &body);
        if (!err && !(reply.status ? reply_error_read(&body, &error) : reply_put_read(&body, &put)))
            err = ERR_MALFORMED;
    }
    if (!err && !wire_read_complete(&r))
        err = ERR_MALFORMED;
    return err;
}

static void test_reply_message(void **state)
{
    (void)state;
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    write_replies(&b);
    struct wire_reader r = wire_reader_of(b.data, b.size);
    struct reply_message_header h;
    struct reply_header reply;
    struct wire_reader body;
    struct reply_error error;
    assert_int_equal(reply_message_read(&r, &h), ERR_OK);
    assert_int_equal(h.count, 2);
    assert_true(h.epoch == 1 && h.incarnation == 2 && h.head == 3 && h.oldest == 4);
    assert_int_equal(reply_read(&r, &reply, &body), ERR_OK);
    assert_true(reply.op == OP_PUT && reply.status == ERR_OK && reply.id == 7 && reply.seq == 3);
    assert_int_equal(reply_read(&r, &reply, &body), ERR_OK);
    assert_true(reply.op == OP_GET && reply.status == ERR_BAD_KEY && reply.id == 8);
    assert_true(reply_error_read(&body, &error));
    assert_true(bytes_equal(error.text, bytes_of(error_text(ERR_BAD_KEY))));
    assert_true(wire_read_complete(&r));

    size_t size = b.size;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = copy_exactly(b.data, cut);
        assert_int_equal(read_replies(copy, cut), ERR_MALFORMED);
        free(copy);
    }
    wire_write_u8(&b, 0);
    assert_int_equal(read_replies(b.data, size), ERR_OK);
    assert_int_equal(read_replies(b.data, size + 1), ERR_MALFORMED);
    static const size_t must_be_zero[] = {4, 5, 6, 7, 45};
    for (size_t i = 0; i < sizeof must_be_zero / sizeof must_be_zero[0]; i++) {
        b.data[must_be_zero[i]] = 1;
        assert_int_equal(read_replies(b.data, size), ERR_MALFORMED);
        b.data[must_be_zero[i]] = 0;
    }
    b.data[1] = 2;
    assert_int_equal(read_replies(b.data, size), ERR_VERSION);
    wire_buffer_free(&b);
}

static void test_error_text_is_cut(void **state)
{
    (void)state;
    static char text[LIMIT_ERROR_TEXT + 100];
    memset(text, 'e', sizeof text - 1);
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    reply_write_error(&b, OP_PUT, 1, ERR_IO, 5, text);
    struct wire_reader r = wire_reader_of(b.data, b.size);
    struct reply_header reply;
    struct wire_reader body;
    struct reply_error error;
    assert_int_equal(reply_read(&r, &reply, &body), ERR_OK);
    assert_int_equal(reply.seq, 5);
    assert_true(reply_error_read(&body, &error));
    assert_int_equal(error.text.size, LIMIT_ERROR_TEXT);
    wire_buffer_free(&b);
}

static void test_full_buffer_is_safe(void **state)
{
    (void)state;
    for (size_t bound = 0; bound < 60; bound++) {
        struct wire_buffer b;
        wire_buffer_init(&b, bound);
        reply_message_begin(&b, &(struct reply_message_header){.epoch = 1});
        size_t begin = reply_begin(&b, &(struct reply_header){.op = OP_PING});
        message_part_end(&b, begin);
        message_set_count(&b, 0, 1);
        assert_true(b.failed);
        wire_buffer_free(&b);
    }
}

/* ---- parts of transactions, rows ---- */

#define DEFINE_PART_TEST(type, value, same)                          \
    static void test_part_##type(void **state)                       \
    {                                                                \
        (void)state;                                                 \
        struct wire_buffer b;                                        \
        wire_buffer_init(&b, 4096);                                  \
        const struct type given = value;                             \
        type##_write(&b, &given);                                    \
        for (size_t cut = 0; cut <= b.size; cut++) {                 \
            uint8_t *copy = copy_exactly(b.data, cut);               \
            struct wire_reader r = wire_reader_of(copy, cut);        \
            struct type back;                                        \
            assert_int_equal(type##_read(&r, &back), cut == b.size); \
            if (cut == b.size)                                       \
                assert_true(same);                                   \
            free(copy);                                              \
        }                                                            \
        wire_buffer_free(&b);                                        \
    }

#define COMPARE_VALUE_GIVEN                                                           \
    {                                                                                 \
        .target = COMPARE_VALUE, .relation = COMPARE_NOT_EQUAL, .number = UINT64_MAX, \
        .key = bytes_of("k"), .value = bytes_of("\xc3")                               \
    }
#define OP_GIVEN                                                                     \
    {                                                                                \
        .op = OP_INCR, .by = INT64_MIN, .key = bytes_of("k"), .value = bytes_of("v") \
    }
#define RESULT_GIVEN                                                                 \
    {                                                                                \
        .op = OP_GET, .present = 1, .seq = UINT64_MAX - 5, .value = bytes_of("\x05") \
    }
#define ROW_GIVEN                                                                 \
    {                                                                             \
        .key = bytes_of("k"), .created = 1, .modified = UINT64_MAX, .version = 3, \
        .value = bytes_of("vv")                                                   \
    }
#define CURSOR_GIVEN                                                                             \
    {                                                                                            \
        .name = bytes_of("c"), .epoch = UINT64_MAX, .position = 1, .holder = 2, .created_us = 3, \
        .moved_us = UINT64_MAX - 1, .filter = bytes_of("ff")                                     \
    }

DEFINE_PART_TEST(txn_compare, COMPARE_VALUE_GIVEN,
                 back.target == given.target && back.relation == given.relation &&
                     back.number == given.number && bytes_equal(back.key, given.key) &&
                     bytes_equal(back.value, given.value))
DEFINE_PART_TEST(txn_op, OP_GIVEN,
                 back.op == given.op && back.by == given.by && bytes_equal(back.key, given.key) &&
                     bytes_equal(back.value, given.value))
DEFINE_PART_TEST(txn_result, RESULT_GIVEN,
                 back.op == given.op && back.present == given.present && back.seq == given.seq &&
                     bytes_equal(back.value, given.value))
DEFINE_PART_TEST(list_row, ROW_GIVEN,
                 bytes_equal(back.key, given.key) && back.created == given.created &&
                     back.modified == given.modified && back.version == given.version &&
                     bytes_equal(back.value, given.value))
DEFINE_PART_TEST(cursor_row, CURSOR_GIVEN,
                 bytes_equal(back.name, given.name) && back.epoch == given.epoch &&
                     back.position == given.position && back.holder == given.holder &&
                     back.created_us == given.created_us && back.moved_us == given.moved_us &&
                     bytes_equal(back.filter, given.filter))

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(request_op_name(OP_PUT), "put");
    assert_string_equal(request_op_name(OP_HISTORY), "history");
    assert_null(request_op_name(0));
    assert_null(request_op_name(200));
    assert_false(request_op_is_replay(OP_COMPACT));
    assert_true(request_op_is_replay(OP_REPLAY));
    assert_string_equal(error_name(ERR_COMPACTED), "COMPACTED");
    assert_string_equal(error_name(9999), "UNKNOWN");
    assert_string_equal(error_text(-1), "unknown error");
    for (int code = 0; code <= ERR_INTERRUPTED; code++) {
        assert_string_not_equal(error_name(code), "UNKNOWN"); /* the numbers have no hole */
        assert_true(strlen(error_text(code)) > 0);
    }
}

#define REGISTER_BODY_TEST(type, FIELDS) cmocka_unit_test(test_body_##type),

int main(void)
{
    const struct CMUnitTest tests[] = {
        MESSAGE_BODY_LIST(REGISTER_BODY_TEST) cmocka_unit_test(test_request_message),
        cmocka_unit_test(test_acknowledged),
        cmocka_unit_test(test_request_message_at_every_cut),
        cmocka_unit_test(test_false_request_messages),
        cmocka_unit_test(test_count_of_requests),
        cmocka_unit_test(test_reply_message),
        cmocka_unit_test(test_error_text_is_cut),
        cmocka_unit_test(test_full_buffer_is_safe),
        cmocka_unit_test(test_part_txn_compare),
        cmocka_unit_test(test_part_txn_op),
        cmocka_unit_test(test_part_txn_result),
        cmocka_unit_test(test_part_list_row),
        cmocka_unit_test(test_part_cursor_row),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
