/* What is found in the bytes of a connection, whatever the pieces in which they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/zmtp_frames.h"
#include "protocol/zmtp_reader.h"

enum { ROOM = 64 * 1024, TOLD = 4096, SIZE_MAX_HERE = 1000 };

struct stream {
    uint8_t bytes[ROOM];
    size_t size;
};

static void add(struct stream *s, uint8_t flags, const char *body, size_t size)
{
    uint8_t header[ZMTP_HEADER_MAX];
    size_t header_size = zmtp_header(header, size);
    header[0] |= flags;
    assert_true(s->size + header_size + size <= ROOM);
    memcpy(s->bytes + s->size, header, header_size);
    if (size > 0)
        memcpy(s->bytes + s->size + header_size, body, size);
    s->size += header_size + size;
}

static void add_text(struct stream *s, uint8_t flags, const char *text)
{
    add(s, flags, text, strlen(text));
}

/* Everything that is found, as text: "m:body ", "s ", "c:body ", "e". Pieces of `piece` bytes are put
 * behind what was left of those before. */
static void tell(const struct stream *s, size_t piece, char out[TOLD])
{
    struct zmtp_reader r = {0};
    static uint8_t held[ROOM];
    size_t held_size = 0;
    size_t told = 0;
    out[0] = '\0';
    for (size_t at = 0; at < s->size; at += piece) {
        size_t size = s->size - at < piece ? s->size - at : piece;
        memcpy(held + held_size, s->bytes + at, size);
        struct bytes data = {held, held_size + size};
        for (;;) {
            struct bytes body = {NULL, 0};
            size_t used = 0;
            enum zmtp_found found = zmtp_reader_next(&r, data, SIZE_MAX_HERE, &used, &body);
            assert_true(used <= data.size);
            data.data += used;
            data.size -= used;
            static const char letters[] = {[ZMTP_MESSAGE] = 'm',
                                           [ZMTP_SURPLUS] = 's',
                                           [ZMTP_CONTROL] = 'c',
                                           [ZMTP_ENDLESS] = 'e'};
            if (found == ZMTP_INCOMPLETE)
                break;
            int shown = body.size < 8 ? (int)body.size : 8;
            told += (size_t)snprintf(out + told, TOLD - told, "%c:%zu:%.*s ", letters[found],
                                     body.size, shown, body.data ? (const char *)body.data : "");
            assert_true(told < TOLD);
            if (found == ZMTP_ENDLESS)
                return;
        }
        memmove(held, data.data, data.size);
        held_size = data.size;
    }
}

/* The same for every size of pieces. */
static void expect(const struct stream *s, const char *expected)
{
    char told[TOLD];
    size_t most = s->size < 700 ? s->size : 700;
    for (size_t piece = 1; piece <= most; piece++) {
        tell(s, piece, told);
        assert_string_equal(told, expected);
    }
    tell(s, s->size, told);
    assert_string_equal(told, expected);
}

static char long_body[SIZE_MAX_HERE + 1];

static void messages_are_found_where_they_lie(void **state)
{
    (void)state;
    static struct stream s;
    s.size = 0;
    add_text(&s, 0, "one");
    add_text(&s, 0, "");
    add(&s, 0, long_body, 300);
    add_text(&s, 0, "two");
    expect(&s, "m:3:one m:0: m:300:bbbbbbbb m:3:two ");
}

static void surplus_frames_are_skipped_and_told_once(void **state)
{
    (void)state;
    static struct stream s;
    s.size = 0;
    add_text(&s, 0, "one");
    add_text(&s, ZMTP_MORE, "");
    add(&s, ZMTP_MORE, long_body, 400);
    add_text(&s, ZMTP_COMMAND, "\4PINGxx");
    add_text(&s, 0, "last");
    add_text(&s, 0, "two");
    add_text(&s, ZMTP_MORE, "");
    add_text(&s, 0, "");
    expect(&s, "m:3:one c:7:\4PINGxx s:0: m:3:two s:0: ");
}

static void long_commands_are_skipped(void **state)
{
    (void)state;
    static struct stream s;
    s.size = 0;
    add(&s, ZMTP_COMMAND, long_body, 500);
    add_text(&s, ZMTP_COMMAND, "");
    add_text(&s, 0, "one");
    expect(&s, "c:0: m:3:one ");
}

static void what_is_too_large_ends_it_with_its_header(void **state)
{
    (void)state;
    static struct stream s;
    s.size = 0;
    add(&s, 0, long_body, SIZE_MAX_HERE);
    add(&s, ZMTP_COMMAND, long_body, SIZE_MAX_HERE);
    uint8_t header[ZMTP_HEADER_MAX];
    size_t size = zmtp_header(header, SIZE_MAX_HERE + 1);
    memcpy(s.bytes + s.size, header, size);
    s.size += size;
    expect(&s, "m:1000:bbbbbbbb e:0: ");
    memset(s.bytes + s.size - 8, 0xff, 8);
    expect(&s, "m:1000:bbbbbbbb e:0: ");
    s.bytes[s.size - 9] |= ZMTP_COMMAND;
    expect(&s, "m:1000:bbbbbbbb e:0: ");
}

static void frames_of_a_message_are_bounded_together(void **state)
{
    (void)state;
    static struct stream s;
    s.size = 0;
    add(&s, ZMTP_MORE, long_body, 500);
    add(&s, ZMTP_MORE, long_body, 500);
    add_text(&s, 0, "");
    expect(&s, "s:0: ");
    s.size -= 2;
    add_text(&s, 0, "x");
    expect(&s, "e:0: ");
    s.size = 0;
    for (int i = 0; i < ZMTP_PARTS_MAX - 1; i++)
        add_text(&s, ZMTP_MORE, "");
    add_text(&s, 0, "");
    char told[TOLD];
    tell(&s, 1001, told);
    assert_string_equal(told, "s:0: ");
    s.size -= 2;
    add_text(&s, ZMTP_MORE, "");
    add_text(&s, 0, "");
    tell(&s, 1001, told);
    assert_string_equal(told, "e:0: ");
}

static void a_command_is_no_part_of_a_message(void **state)
{
    (void)state;
    static struct stream s;
    s.size = 0;
    add_text(&s, 0, "one");
    add_text(&s, ZMTP_COMMAND | ZMTP_MORE, "\4PING");
    expect(&s, "m:3:one e:0: ");
}

static void a_frame_tells_how_much_it_wants(void **state)
{
    (void)state;
    uint8_t header[ZMTP_HEADER_MAX];
    size_t size = zmtp_header(header, 100000);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(zmtp_reader_wants((struct bytes){header, i}), 0);
    assert_int_equal(zmtp_reader_wants((struct bytes){header, size}), 100009);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_found_where_they_lie),
        cmocka_unit_test(surplus_frames_are_skipped_and_told_once),
        cmocka_unit_test(long_commands_are_skipped),
        cmocka_unit_test(what_is_too_large_ends_it_with_its_header),
        cmocka_unit_test(frames_of_a_message_are_bounded_together),
        cmocka_unit_test(a_command_is_no_part_of_a_message),
        cmocka_unit_test(a_frame_tells_how_much_it_wants),
    };
    memset(long_body, 'b', sizeof long_body);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
