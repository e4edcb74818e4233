/* test_client_message_reader.c - the same messages from every cut of the bytes; sizes that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "client/message_reader.h"
#include "protocol/zmtp.h"

enum { SIZE_MAX_BYTES = 1 << 20, MESSAGES_MAX = 8 };

static struct message_reader reader;
static struct wire_buffer stream;
static size_t sizes[MESSAGES_MAX];
static size_t count;

static int set_up(void **state)
{
    (void)state;
    message_reader_init(&reader, SIZE_MAX_BYTES);
    wire_buffer_init(&stream, 8 << 20);
    count = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    message_reader_free(&reader);
    wire_buffer_free(&stream);
    return 0;
}

static uint8_t byte_at(size_t message, size_t i)
{
    return (uint8_t)(message * 31 + i * 7 + i / 253);
}

static void add(uint8_t flags, size_t size)
{
    uint8_t header[ZMTP_HEADER_MAX];
    size_t header_size = zmtp_header(header, size);
    header[0] |= flags;
    wire_write_raw(&stream, header, header_size);
    for (size_t i = 0; i < size; i++)
        wire_write_u8(&stream, byte_at(count, i));
    if (flags == 0)
        sizes[count++] = size;
}

/* Takes what is there; returns how many messages have been taken by then. */
static size_t take(size_t taken, struct wire_buffer *message)
{
    for (;;) {
        struct bytes command;
        enum message_reader_item item = message_reader_next(&reader, message, &command);
        if (item == READER_NOTHING)
            return taken;
        if (item == READER_COMMAND)
            continue;
        assert_int_equal(item, READER_MESSAGE);
        assert_true(taken < count);
        assert_int_equal(message->size, sizes[taken]);
        for (size_t i = 0; i < message->size; i += 1 + message->size / 4096)
            assert_int_equal(message->data[i], byte_at(taken, i));
        taken++;
    }
}

/* In pieces of first, then of rest bytes. */
static void feed(size_t first, size_t rest)
{
    struct wire_buffer message = {.size_max = SIZE_MAX_BYTES};
    size_t taken = 0;
    size_t piece = first;
    message_reader_clear(&reader);
    for (size_t at = 0; at < stream.size;) {
        struct message_room room = message_reader_room(&reader);
        assert_true(room.size > 0);
        size_t size = piece < room.size ? piece : room.size;
        size = size < stream.size - at ? size : stream.size - at;
        memcpy(room.data, stream.data + at, size);
        message_reader_came(&reader, size);
        at += size;
        taken = take(taken, &message);
        piece = rest;
    }
    assert_int_equal(taken, count);
    wire_buffer_free(&message);
}

static void every_cut_gives_the_same_messages(void **state)
{
    (void)state;
    add(0, 0);
    add(0, 1);
    add(ZMTP_COMMAND, 30);
    add(0, 255);
    add(0, 256);
    add(ZMTP_COMMAND, MESSAGE_READER_COMMAND_MAX);
    add(0, 600);
    for (size_t piece = 1; piece <= stream.size; piece++)
        feed(piece, piece);
    for (size_t first = 1; first < stream.size; first++)
        feed(first, stream.size);
}

static void messages_around_the_size_of_the_buffer(void **state)
{
    (void)state;
    for (size_t less = 0; less < 15; less++) {
        wire_buffer_clear(&stream);
        count = 0;
        add(0, (size_t)MESSAGE_READER_FIRST + 2 - less);
        add(0, 3);
        add(0, (size_t)MESSAGE_READER_FIRST * 2 + 2 - less);
        add(0, (size_t)MESSAGE_READER_MOST + 2 - less);
        add(0, 5);
        feed(SIZE_MAX_BYTES, SIZE_MAX_BYTES);
        feed(MESSAGE_READER_FIRST, 1000);
        feed(1, 4099);
        feed(10, SIZE_MAX_BYTES);
    }
}

static void large_ones_in_any_pieces(void **state)
{
    (void)state;
    add(0, SIZE_MAX_BYTES);
    add(0, 7);
    add(0, 300000);
    add(0, SIZE_MAX_BYTES);
    feed(SIZE_MAX_BYTES, SIZE_MAX_BYTES);
    feed(1, 60000);
    feed(9, 777);
}

static enum message_reader_item next_of(const uint8_t *data, size_t size)
{
    struct wire_buffer message = {.size_max = SIZE_MAX_BYTES};
    struct bytes command;
    message_reader_clear(&reader);
    struct message_room room = message_reader_room(&reader);
    assert_true(room.size >= size);
    memcpy(room.data, data, size);
    message_reader_came(&reader, size);
    enum message_reader_item item = message_reader_next(&reader, &message, &command);
    assert_int_equal(message_reader_next(&reader, &message, &command), item);
    wire_buffer_free(&message);
    return item;
}

/* A size that is only announced takes no memory; one beyond the bound is the end. */
static void sizes_that_lie(void **state)
{
    (void)state;
    const uint8_t bound[] = {ZMTP_LONG, 0, 0, 0, 0, 0, SIZE_MAX_BYTES >> 16, 0, 0, 1, 2, 3};
    assert_int_equal(next_of(bound, sizeof bound), READER_NOTHING);
    assert_true(message_reader_is_within(&reader));
    assert_true(message_reader_room(&reader).size <= MESSAGE_READER_MOST);
    assert_true(reader.large.capacity <= MESSAGE_READER_MOST);
    const uint8_t beyond[] = {ZMTP_LONG, 0, 0, 0, 0, 0, SIZE_MAX_BYTES >> 16, 0, 1};
    assert_int_equal(next_of(beyond, sizeof beyond), READER_MALFORMED);
    const uint8_t most[] = {ZMTP_LONG, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    assert_int_equal(next_of(most, sizeof most), READER_MALFORMED);
    const uint8_t long_command[] = {ZMTP_COMMAND | ZMTP_LONG, 0, 0, 0, 0, 0, 0, 2, 1};
    assert_int_equal(next_of(long_command, sizeof long_command), READER_MALFORMED);
}

static void flags_of_no_message(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags < 256; flags++) {
        const uint8_t frame[] = {(uint8_t)flags, 0, 0, 0, 0, 0, 0, 0, 0};
        unsigned kind = flags & ~(unsigned)ZMTP_LONG;
        enum message_reader_item expected =
            kind == 0 || kind == ZMTP_COMMAND ? READER_NOTHING : READER_MALFORMED;
        if (expected == READER_MALFORMED)
            assert_int_equal(next_of(frame, sizeof frame), expected);
        else
            assert_int_equal(next_of(frame, 1), expected);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_cut_gives_the_same_messages),
        TEST(messages_around_the_size_of_the_buffer),
        TEST(large_ones_in_any_pieces),
        TEST(sizes_that_lie),
        TEST(flags_of_no_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
