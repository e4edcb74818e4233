/* What goes over the stream socket: layout, cuts, false fields. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "protocol/errors.h"
#include "protocol/stream_message.h"
#include "tests/support/sample_bytes.h"

static const uint8_t topic[TOPIC_SIZE] = "sixteen bytes...";

static void begin(struct wire_buffer *b, uint8_t kind, uint16_t count)
{
    struct stream_header h = {
        .kind = kind, .count = count, .epoch = 0x1112131415161718, .incarnation = 0x21};
    memcpy(h.topic, topic, TOPIC_SIZE);
    stream_write_header(b, &h);
}

static void write_entry(struct wire_buffer *b, uint64_t prev, uint64_t seq)
{
    struct record_writer w;
    wire_write_u64(b, prev);
    record_begin(&w, b, seq, 1, 0, 0);
    record_add(
        &w, &(struct change){.op = CHANGE_PUT, .key = bytes_of("key"), .value = bytes_of("\x05")});
    assert_true(record_end(&w) > 0);
}

/* Reads a whole message; the error of the first thing that is wrong. */
static int read_all(const uint8_t *data, size_t size)
{
    struct wire_reader r = wire_reader_of(data, size);
    struct stream_header h;
    struct stream_bookmark bookmark;
    struct record_header record_header;
    struct bytes record;
    uint64_t prev;
    uint64_t seq;
    int err = stream_read_header(&r, &h);
    if (err)
        return err;
    if (h.kind == STREAM_NOTICE)
        return stream_read_notice(&r, &prev, &seq);
    if (h.kind == STREAM_BOOKMARK)
        return stream_read_bookmark(&r, &bookmark);
    for (uint16_t i = 0; !err && i < h.count; i++)
        err = stream_read_entry(&r, &prev, &record, &record_header);
    return err ? err : wire_read_complete(&r) ? ERR_OK : ERR_MALFORMED;
}

/* Whole it is read, cut or lengthened it is not. */
static void check_message(struct wire_buffer *b)
{
    size_t size = b->size;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = copy_exactly(b->data, cut);
        int err = read_all(copy, cut);
        assert_true(err == ERR_MALFORMED || err == ERR_CORRUPT);
        free(copy);
    }
    wire_write_u8(b, 0);
    assert_int_equal(read_all(b->data, size), ERR_OK);
    assert_int_equal(read_all(b->data, size + 1), ERR_MALFORMED);
    b->size = size;
}

static void test_records(void **state)
{
    (void)state;
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    wire_write_u8(&b, 0xee);
    begin(&b, STREAM_RECORDS, 0);
    write_entry(&b, 4, 7);
    write_entry(&b, 7, 9);
    stream_set_count(&b, 1, 2);
    memmove(b.data, b.data + 1, --b.size);
    assert_memory_equal(b.data, topic, TOPIC_SIZE);
    assert_memory_equal(b.data + 16, "V\x01\x01\x00\x02\x00\x00\x00", 8);
    assert_memory_equal(b.data + 24, "\x18\x17\x16\x15\x14\x13\x12\x11\x21", 9);
    check_message(&b);

    struct wire_reader r = wire_reader_of(b.data, b.size);
    struct stream_header h;
    assert_int_equal(stream_read_header(&r, &h), ERR_OK);
    assert_memory_equal(h.topic, topic, TOPIC_SIZE);
    assert_true(h.kind == STREAM_RECORDS && h.count == 2 && h.epoch == 0x1112131415161718 &&
                h.incarnation == 0x21);
    uint64_t prev;
    struct bytes record;
    struct record_header header;
    assert_int_equal(stream_read_entry(&r, &prev, &record, &header), ERR_OK);
    assert_true(prev == 4 && header.seq == 7 && record.size == header.size);
    assert_int_equal(stream_read_entry(&r, &prev, &record, &header), ERR_OK);
    assert_true(prev == 7 && header.seq == 9);
    assert_true(record.data + record.size == b.data + b.size);

    b.data[b.size - 1] ^= 1;
    assert_int_equal(read_all(b.data, b.size), ERR_CORRUPT);
    wire_buffer_free(&b);

    wire_buffer_init(&b, 4096); /* prev must be before the record */
    begin(&b, STREAM_RECORDS, 1);
    write_entry(&b, 7, 7);
    assert_int_equal(read_all(b.data, b.size), ERR_MALFORMED);
    wire_buffer_free(&b);
}

static void test_notice(void **state)
{
    (void)state;
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    begin(&b, STREAM_NOTICE, 1);
    stream_write_notice(&b, 5, 6);
    assert_int_equal(b.size, 56);
    check_message(&b);
    struct wire_reader r = wire_reader_of(b.data + STREAM_HEADER_SIZE, 16);
    uint64_t prev;
    uint64_t seq;
    assert_int_equal(stream_read_notice(&r, &prev, &seq), ERR_OK);
    assert_true(prev == 5 && seq == 6);
    b.data[40] = 6;
    assert_int_equal(read_all(b.data, b.size), ERR_MALFORMED);
    wire_buffer_free(&b);
}

static void test_bookmark(void **state)
{
    (void)state;
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    begin(&b, STREAM_BOOKMARK, 0);
    stream_write_bookmark(
        &b, &(struct stream_bookmark){.head = 9, .last = 8, .oldest = 2, .interval_ms = 1000});
    assert_int_equal(b.size, 68);
    check_message(&b);
    struct wire_reader r = wire_reader_of(b.data + STREAM_HEADER_SIZE, 28);
    struct stream_bookmark m;
    assert_int_equal(stream_read_bookmark(&r, &m), ERR_OK);
    assert_true(m.head == 9 && m.last == 8 && m.oldest == 2 && m.interval_ms == 1000);
    b.data[48] = 10; /* a last beyond the head */
    assert_int_equal(read_all(b.data, b.size), ERR_MALFORMED);
    wire_buffer_free(&b);
}

static void test_false_headers(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
        int err;
    } cases[] = {{16, 'W', ERR_MALFORMED}, {17, 0, ERR_VERSION},   {17, 2, ERR_VERSION},
                 {18, 0, ERR_MALFORMED},   {18, 2, ERR_MALFORMED}, {18, 4, ERR_MALFORMED},
                 {18, 255, ERR_MALFORMED}, {19, 1, ERR_MALFORMED}, {20, 1, ERR_MALFORMED},
                 {21, 1, ERR_MALFORMED},   {22, 1, ERR_MALFORMED}, {23, 1, ERR_MALFORMED},
                 {0, 'S', ERR_OK}};
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    begin(&b, STREAM_BOOKMARK, 0);
    stream_write_bookmark(&b, &(struct stream_bookmark){.head = 1});
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *copy = copy_exactly(b.data, b.size);
        copy[cases[i].at] = cases[i].value;
        assert_int_equal(read_all(copy, b.size), cases[i].err);
        free(copy);
    }
    wire_buffer_free(&b);

    wire_buffer_init(&b, 4096);
    begin(&b, STREAM_RECORDS, 0);
    assert_int_equal(read_all(b.data, b.size), ERR_MALFORMED); /* none at all */
    stream_set_count(&b, 0, 2);
    write_entry(&b, 1, 2);
    assert_true(read_all(b.data, b.size) != ERR_OK); /* fewer than announced */
    wire_buffer_free(&b);

    wire_buffer_init(&b, 4096);
    begin(&b, STREAM_NOTICE, 2);
    stream_write_notice(&b, 1, 2);
    assert_int_equal(read_all(b.data, b.size), ERR_MALFORMED);
    wire_buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_notice),
        cmocka_unit_test(test_bookmark),
        cmocka_unit_test(test_false_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
