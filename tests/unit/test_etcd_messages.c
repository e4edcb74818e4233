/* What the comparison with etcd says and hears: bytes as etcd's own definition has them, hostile lengths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "bench/peers/etcd_grpc.h"
#include "bench/peers/etcd_messages.h"
#include "protocol/errors.h"

#define BYTES(literal) ((struct bytes){(const uint8_t *)(literal), sizeof(literal) - 1})

static void assert_bytes(struct bytes actual, struct bytes expected)
{
    assert_int_equal(actual.size, expected.size);
    if (expected.size > 0) {
        assert_memory_equal(actual.data, expected.data, expected.size);
    }
}

static void assert_written(struct wire_buffer *b, struct bytes expected)
{
    assert_false(b->failed);
    assert_bytes((struct bytes){b->data, b->size}, expected);
    wire_buffer_clear(b);
}

/* ---- requests ------------------------------------------------------------------- */

static void test_requests_are_as_etcd_reads_them(void **unused)
{
    (void)unused;
    static const uint8_t value[300];
    struct wire_buffer b;
    wire_buffer_init(&b, 1024);
    etcd_write_put_request(&b, BYTES("k"), BYTES("vw"));
    assert_written(&b, BYTES("\x0a\x01k\x12\x02vw"));
    etcd_write_watch_request(&b, BYTES("a"), BYTES("b"), 0);
    assert_written(&b, BYTES("\x0a\x08\x0a\x01"
                             "a\x12\x01"
                             "b\x18\x00"));
    etcd_write_watch_request(&b, BYTES("a"), BYTES("b"), 300);
    assert_written(&b, BYTES("\x0a\x09\x0a\x01"
                             "a\x12\x01"
                             "b\x18\xac\x02"));
    size_t begin = grpc_begin_message(&b);
    etcd_write_put_request(&b, BYTES("k"), (struct bytes){value, sizeof value});
    grpc_end_message(&b, begin);
    assert_int_equal(b.size, 5 + 3 + 3 + sizeof value);
    assert_memory_equal(b.data, "\x00\x00\x00\x01\x32\x0a\x01k\x12\xac\x02", 11);
    wire_buffer_free(&b);
}

static void test_a_request_without_room_is_failed(void **unused)
{
    (void)unused;
    struct wire_buffer b;
    wire_buffer_init(&b, 8);
    size_t begin = grpc_begin_message(&b);
    etcd_write_put_request(&b, BYTES("key"), BYTES("value"));
    grpc_end_message(&b, begin);
    assert_true(b.failed);
    wire_buffer_free(&b);
}

/* ---- responses ------------------------------------------------------------------ */

/* cluster_id, member_id, revision 300, raft_term */
#define HEADER "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x05\x18\xac\x02\x20\x07"
#define HEADER_FIELD "\x0a\x12" HEADER
/* key "k", create_revision 2, mod_revision 301, version 9, value "v" */
#define PUT_EVENT "\x5a\x10\x12\x0e\x0a\x01k\x10\x02\x18\xad\x02\x20\x09\x2a\x02vw"
/* type DELETE, key "d", mod_revision 302 */
#define DELETE_EVENT                   \
    "\x5a\x0a\x08\x01\x12\x06\x0a\x01" \
    "d\x18\xae\x02"
#define WATCH_RESPONSE HEADER_FIELD "\x10\x00" PUT_EVENT DELETE_EVENT

static void test_a_put_response_is_read(void **unused)
{
    (void)unused;
    uint64_t revision = 1;
    assert_int_equal(etcd_read_put_response(BYTES(HEADER_FIELD), &revision), ERR_OK);
    assert_int_equal(revision, 300);
    assert_int_equal(etcd_read_put_response(BYTES(""), &revision), ERR_OK);
    assert_int_equal(revision, 0);
}

static void test_a_watch_response_is_read(void **unused)
{
    (void)unused;
    struct etcd_watch_response r;
    struct etcd_event event;
    assert_int_equal(etcd_read_watch_response(BYTES(WATCH_RESPONSE), &r), ERR_OK);
    assert_int_equal(r.revision, 300);
    assert_false(r.created);
    assert_false(r.canceled);
    assert_true(etcd_next_event(&r.events, &event));
    assert_false(event.deleted);
    assert_int_equal(event.revision, 301);
    assert_bytes(event.key, BYTES("k"));
    assert_bytes(event.value, BYTES("vw"));
    assert_true(etcd_next_event(&r.events, &event));
    assert_true(event.deleted);
    assert_int_equal(event.revision, 302);
    assert_bytes(event.key, BYTES("d"));
    assert_bytes(event.value, BYTES(""));
    assert_false(etcd_next_event(&r.events, &event));
    assert_false(r.events.failed);
}

static void test_the_beginning_and_the_end_of_a_watch_are_told(void **unused)
{
    (void)unused;
    struct etcd_watch_response r;
    assert_int_equal(etcd_read_watch_response(BYTES(HEADER_FIELD "\x18\x01"), &r), ERR_OK);
    assert_true(r.created);
    assert_int_equal(
        etcd_read_watch_response(BYTES(HEADER_FIELD "\x20\x01\x28\x0b\x32\x03why"), &r), ERR_OK);
    assert_true(r.canceled);
    assert_int_equal(r.compact_revision, 11);
    assert_bytes(r.cancel_reason, BYTES("why"));
}

/* Fields of etcd's later versions, of each type that there is. */
static void test_what_is_not_known_is_skipped(void **unused)
{
    (void)unused;
    uint64_t revision = 0;
    assert_int_equal(etcd_read_put_response(BYTES("\xa8\x06\x09\xa9\x06"
                                                  "12345678\xaa\x06\x02hi\xad\x06"
                                                  "1234" HEADER_FIELD),
                                            &revision),
                     ERR_OK);
    assert_int_equal(revision, 300);
}

static int read_all(struct bytes message, unsigned *ret_events)
{
    struct etcd_watch_response r;
    struct etcd_event event;
    *ret_events = 0;
    int err = etcd_read_watch_response(message, &r);
    while (!err && etcd_next_event(&r.events, &event)) {
        (*ret_events)++;
    }
    return !err && r.events.failed ? ERR_MALFORMED : err;
}

/* A block of the piece's own size lets a sanitizer see each read beyond it. */
static void test_a_cut_message_is_never_read_beyond(void **unused)
{
    (void)unused;
    struct bytes whole = BYTES(WATCH_RESPONSE);
    static const size_t boundaries[] = {0, 20, 22, 40}; /* between fields */
    unsigned intact = 0;
    assert_int_equal(whole.size, 52);
    for (size_t size = 0; size < whole.size; size++) {
        uint8_t *copy = malloc(size + 1);
        unsigned events = 0;
        assert_non_null(copy);
        memcpy(copy + 1, whole.data, size);
        int err = read_all((struct bytes){copy + 1, size}, &events);
        if (intact < 4 && size == boundaries[intact]) {
            intact++;
            assert_int_equal(err, ERR_OK);
            assert_int_equal(events, size == 40 ? 1 : 0);
        } else {
            assert_int_equal(err, ERR_MALFORMED);
        }
        free(copy);
    }
    assert_int_equal(intact, 4);
}

static void test_hostile_messages_are_refused(void **unused)
{
    (void)unused;
    static const struct {
        const char *what;
        struct bytes message;
    } hostile[] = {
        {"a length of 2^64 - 1",
         {(const uint8_t *)"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}},
        {"a length of 2^63", {(const uint8_t *)"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11}},
        {"a length of 2^32",
         {(const uint8_t *)"\x0a\x80\x80\x80\x80\x10"
                           "abc",
          9}},
        {"a number beyond 64 bits",
         {(const uint8_t *)"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11}},
        {"a number without an end",
         {(const uint8_t *)"\x18\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 12}},
        {"a field 0", {(const uint8_t *)"\x00\x01", 2}},
        {"a field 2^29", {(const uint8_t *)"\x80\x80\x80\x80\x10\x01", 6}},
        {"the begin of a group", {(const uint8_t *)"\x0b\x0c", 2}},
        {"a type that is none", {(const uint8_t *)"\x0f", 1}},
        {"a header that is a number", {(const uint8_t *)"\x08\x01", 2}},
        {"a header longer than its message", {(const uint8_t *)"\x0a\x7f\x18", 3}},
        {"a revision longer than its header", {(const uint8_t *)"\x0a\x02\x18\x80\x01", 5}},
        {"created that is text", {(const uint8_t *)"\x1a\x01y", 3}},
        {"an event that is a number", {(const uint8_t *)"\x58\x01", 2}},
        {"a change longer than its event", {(const uint8_t *)"\x5a\x02\x12\x05\x0a\x03xyz", 9}},
        {"a value longer than its change",
         {(const uint8_t *)"\x5a\x04\x12\x02\x2a\x09xyzxyzxyz", 15}},
        {"a key that is a number", {(const uint8_t *)"\x5a\x04\x12\x02\x08\x01", 6}},
    };
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        unsigned events = 0;
        if (read_all(hostile[i].message, &events) != ERR_MALFORMED) {
            fail_msg("%s is believed", hostile[i].what);
        }
    }
}

static void test_a_refused_message_leaves_the_result_alone(void **unused)
{
    (void)unused;
    uint64_t revision = 77;
    assert_int_equal(etcd_read_put_response(BYTES("\x0a\x02\x18\x05\x0b"), &revision),
                     ERR_MALFORMED);
    assert_int_equal(revision, 77);
    assert_int_equal(etcd_read_put_response(BYTES("\x0a\x02\x18\x80"), &revision), ERR_MALFORMED);
    assert_int_equal(revision, 77);
}

/* ---- gRPC's messages within a body ----------------------------------------------- */

struct heard {
    unsigned count;
    size_t sizes[4];
    uint8_t all[64];
    size_t all_size;
    int answer;
};

static int hear(void *context, struct bytes message)
{
    struct heard *h = context;
    assert_true(h->count < 4 && message.size <= sizeof h->all - h->all_size);
    h->sizes[h->count++] = message.size;
    if (message.size > 0) {
        memcpy(h->all + h->all_size, message.data, message.size);
    }
    h->all_size += message.size;
    return h->answer;
}

/* Three messages, the second one empty. */
#define BODY        \
    "\0\0\0\0\3one" \
    "\0\0\0\0\0"    \
    "\0\0\0\0\5three"

static void assert_all_heard(const struct heard *h)
{
    assert_int_equal(h->count, 3);
    assert_int_equal(h->sizes[0], 3);
    assert_int_equal(h->sizes[1], 0);
    assert_int_equal(h->sizes[2], 5);
    assert_memory_equal(h->all, "onethree", 8);
}

static void test_a_body_may_be_cut_anywhere(void **unused)
{
    (void)unused;
    struct bytes body = BYTES(BODY);
    for (size_t first = 0; first <= body.size; first++) {
        for (size_t second = first; second <= body.size; second++) {
            struct grpc_reader r;
            struct heard h = {0};
            grpc_reader_init(&r);
            assert_int_equal(grpc_reader_take(&r, body.data, first, hear, &h), ERR_OK);
            assert_int_equal(grpc_reader_take(&r, body.data + first, second - first, hear, &h),
                             ERR_OK);
            assert_int_equal(grpc_reader_complete(&r),
                             second == 0 || second == 8 || second == 13 || second == 23);
            assert_int_equal(grpc_reader_take(&r, body.data + second, body.size - second, hear, &h),
                             ERR_OK);
            assert_all_heard(&h);
            assert_true(grpc_reader_complete(&r));
            grpc_reader_free(&r);
        }
    }
}

static void test_a_body_may_come_byte_by_byte(void **unused)
{
    (void)unused;
    struct bytes body = BYTES(BODY);
    struct grpc_reader r;
    struct heard h = {0};
    grpc_reader_init(&r);
    for (size_t i = 0; i < body.size; i++) {
        assert_int_equal(grpc_reader_take(&r, body.data + i, 1, hear, &h), ERR_OK);
    }
    assert_all_heard(&h);
    grpc_reader_free(&r);
}

static void test_what_a_size_announces_is_not_reserved(void **unused)
{
    (void)unused;
    struct grpc_reader r;
    struct heard h = {0};
    grpc_reader_init(&r);
    assert_int_equal(grpc_reader_take(&r,
                                      (const uint8_t *)"\0\x07\xff\xff\xff"
                                                       "abc",
                                      8, hear, &h),
                     ERR_OK);
    assert_int_equal(h.count, 0);
    assert_false(grpc_reader_complete(&r));
    assert_true(r.part.capacity <= 4096);
    grpc_reader_free(&r);
}

static void test_bodies_that_cannot_be_read_are_refused(void **unused)
{
    (void)unused;
    static const struct {
        const char *body;
        int err;
    } bad[] = {{"\1\0\0\0\1x", ERR_MALFORMED}, /* compressed */
               {"\0\x08\0\0\1x", ERR_TOO_LARGE},
               {"\0\xff\xff\xff\xffx", ERR_TOO_LARGE}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (size_t cut = 0; cut < 6; cut++) {
            struct grpc_reader r;
            struct heard h = {0};
            grpc_reader_init(&r);
            const uint8_t *body = (const uint8_t *)bad[i].body;
            int err = grpc_reader_take(&r, body, cut, hear, &h);
            if (!err) {
                err = grpc_reader_take(&r, body + cut, 6 - cut, hear, &h);
            }
            assert_int_equal(err, bad[i].err);
            assert_int_equal(h.count, 0);
            grpc_reader_free(&r);
        }
    }
}

static void test_what_the_listener_answers_ends_the_body(void **unused)
{
    (void)unused;
    struct bytes body = BYTES(BODY);
    struct grpc_reader r;
    struct heard h = {.answer = ERR_LIMIT};
    grpc_reader_init(&r);
    assert_int_equal(grpc_reader_take(&r, body.data, body.size, hear, &h), ERR_LIMIT);
    assert_int_equal(h.count, 1);
    grpc_reader_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_as_etcd_reads_them),
        cmocka_unit_test(test_a_request_without_room_is_failed),
        cmocka_unit_test(test_a_put_response_is_read),
        cmocka_unit_test(test_a_watch_response_is_read),
        cmocka_unit_test(test_the_beginning_and_the_end_of_a_watch_are_told),
        cmocka_unit_test(test_what_is_not_known_is_skipped),
        cmocka_unit_test(test_a_cut_message_is_never_read_beyond),
        cmocka_unit_test(test_hostile_messages_are_refused),
        cmocka_unit_test(test_a_refused_message_leaves_the_result_alone),
        cmocka_unit_test(test_a_body_may_be_cut_anywhere),
        cmocka_unit_test(test_a_body_may_come_byte_by_byte),
        cmocka_unit_test(test_what_a_size_announces_is_not_reserved),
        cmocka_unit_test(test_bodies_that_cannot_be_read_are_refused),
        cmocka_unit_test(test_what_the_listener_answers_ends_the_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
