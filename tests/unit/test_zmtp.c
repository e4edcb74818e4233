/* Who is let in, and when a message has too many frames, whatever the pieces in which bytes come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/zmtp.h"
#include "protocol/zmtp_frames.h"
#include "protocol/zmtp_hello.h"

enum { ROOM = 1024 };

struct text {
    uint8_t bytes[ROOM];
    size_t size;
};

static void add(struct text *t, const void *data, size_t size)
{
    memcpy(t->bytes + t->size, data, size);
    t->size += size;
}

static void add_property(struct text *t, const char *name, const char *value, size_t size)
{
    uint8_t name_size = (uint8_t)strlen(name);
    uint8_t value_size[4] = {0, 0, 0, (uint8_t)size};
    add(t, &name_size, 1);
    add(t, name, name_size);
    add(t, value_size, 4);
    add(t, value, size);
}

static struct text greeting(void)
{
    struct text t = {.size = ZMTP_GREETING_SIZE + 2};
    t.bytes[0] = 0xff;
    t.bytes[9] = 0x7f;
    t.bytes[10] = 3;
    memcpy(t.bytes + 12, "NULL", 4);
    t.bytes[ZMTP_GREETING_SIZE] = 4;
    add(&t, "\5READY", 6);
    return t;
}

static void close_ready(struct text *t)
{
    if (t->bytes[ZMTP_GREETING_SIZE] == 6) {
        size_t size = t->size - ZMTP_GREETING_SIZE - 9;
        t->bytes[ZMTP_GREETING_SIZE + 7] = (uint8_t)(size >> 8);
        t->bytes[ZMTP_GREETING_SIZE + 8] = (uint8_t)size;
        return;
    }
    t->bytes[ZMTP_GREETING_SIZE + 1] = (uint8_t)(t->size - ZMTP_GREETING_SIZE - 2);
}

/* In pieces of every size; ZMTP_UNDECIDED until the last byte that counts. */
static void expect(struct text *t, enum zmtp_verdict verdict)
{
    close_ready(t);
    size_t end = t->size;
    add(t, "behind", 6);
    for (size_t piece = 1; piece <= t->size; piece++) {
        struct zmtp_hello h = {0};
        enum zmtp_verdict got = ZMTP_UNDECIDED;
        size_t at = 0;
        while (got == ZMTP_UNDECIDED && at < t->size) {
            size_t used = 0;
            size_t size = t->size - at < piece ? t->size - at : piece;
            got = zmtp_hello_take(&h, t->bytes + at, size, &used);
            at += used;
        }
        assert_int_equal(got, verdict);
        if (verdict != ZMTP_REFUSED)
            assert_int_equal(at, end);
    }
}

static void those_who_say_who_they_are_are_welcome(void **state)
{
    (void)state;
    struct text t = greeting();
    add_property(&t, "Socket-Type", "DEALER", 6);
    add_property(&t, "Identity", "", 0);
    expect(&t, ZMTP_WELCOME);
    t = greeting();
    add_property(&t, "identity", "", 0);
    add_property(&t, "Socket-Type", "DEALER", 6);
    expect(&t, ZMTP_WELCOME);
    t = greeting();
    add_property(&t, "Socket-Type", "SUB", 3);
    expect(&t, ZMTP_SUBSCRIBER);
    t = greeting();
    add_property(&t, "X-Name", "x", 1);
    add_property(&t, "Socket-Type", "XSUB", 4);
    add_property(&t, "Socket-Type", "DEALER", 6);
    expect(&t, ZMTP_SUBSCRIBER);
}

/* A frame may say its size in eight bytes even if one would do. */
static void in_long_form(struct text *t)
{
    memmove(t->bytes + ZMTP_GREETING_SIZE + 9, t->bytes + ZMTP_GREETING_SIZE + 2,
            t->size - ZMTP_GREETING_SIZE - 2);
    memset(t->bytes + ZMTP_GREETING_SIZE, 0, 9);
    t->bytes[ZMTP_GREETING_SIZE] = 6;
    t->size += 7;
}

static void a_long_ready_is_read_too(void **state)
{
    (void)state;
    static const char padding[250] = "";
    struct text t = greeting();
    add_property(&t, "Socket-Type", "SUB", 3);
    in_long_form(&t);
    expect(&t, ZMTP_SUBSCRIBER);
    t = greeting();
    add_property(&t, "X-Padding", padding, sizeof padding);
    add_property(&t, "Socket-Type", "DEALER", 6);
    in_long_form(&t);
    expect(&t, ZMTP_WELCOME);
    t = greeting();
    add_property(&t, "X-Padding", padding, sizeof padding);
    add_property(&t, "Identity", "n", 1);
    add_property(&t, "Socket-Type", "DEALER", 6);
    in_long_form(&t);
    expect(&t, ZMTP_REFUSED);
    t = greeting();
    add_property(&t, "Socket-Type", "DEALER", 6);
    add_property(&t, "X-Padding", padding, sizeof padding);
    add_property(&t, "X-Padding", padding, sizeof padding);
    in_long_form(&t);
    expect(&t, ZMTP_REFUSED); /* beyond ZMTP_READY_SIZE_MAX */
    t = greeting();
    in_long_form(&t);
    t.bytes[ZMTP_GREETING_SIZE + 1] = 0x80; /* of a size that is no size */
    expect(&t, ZMTP_REFUSED);
}

/* ZeroMQ knows "Socket-Type" in this spelling only: a type in another would be taken for a DEALER's
 * here, and not looked at there, so that a subscriber would go unbounded. */
static void the_type_is_spelt_as_zeromq_reads_it(void **state)
{
    (void)state;
    struct text t = greeting();
    add_property(&t, "socket-type", "DEALER", 6);
    expect(&t, ZMTP_REFUSED);
    t = greeting();
    add_property(&t, "socket-type", "DEALER", 6);
    add_property(&t, "Socket-Type", "SUB", 3);
    expect(&t, ZMTP_SUBSCRIBER);
    t = greeting();
    add_property(&t, "Socket-Type", "SUB", 3);
    add_property(&t, "Socket-Type", "DEALER", 6);
    expect(&t, ZMTP_SUBSCRIBER);
}

static void names_are_refused(void **state)
{
    (void)state;
    struct text t = greeting();
    add_property(&t, "Socket-Type", "DEALER", 6);
    add_property(&t, "Identity", "\0abcd", 5);
    expect(&t, ZMTP_REFUSED);
    t = greeting();
    add_property(&t, "iDENTITY", "n", 1);
    add_property(&t, "Socket-Type", "DEALER", 6);
    expect(&t, ZMTP_REFUSED);
}

static void who_does_not_say_is_refused(void **state)
{
    (void)state;
    struct text t = greeting();
    expect(&t, ZMTP_REFUSED); /* without a type */
    t = greeting();
    add_property(&t, "Socket-Type", "DEALER", 6);
    t.bytes[10] = 2;
    expect(&t, ZMTP_REFUSED);
    t = greeting();
    add_property(&t, "Socket-Type", "DEALER", 6);
    t.bytes[ZMTP_GREETING_SIZE] = 0;
    expect(&t, ZMTP_REFUSED);
    t = greeting();
    add_property(&t, "Socket-Type", "DEALER", 6);
    t.size--; /* a value that is cut off */
    expect(&t, ZMTP_REFUSED);
    t = greeting();
    add(&t, "\xc8", 1); /* a name beyond the end */
    expect(&t, ZMTP_REFUSED);
    t = greeting();
    t.bytes[0] = 1;
    expect(&t, ZMTP_REFUSED);
}

static void frames_are_counted_by_message(void **state)
{
    (void)state;
    struct zmtp_frames f = {0};
    static const uint8_t more[] = {1, 3, 'a', 'b', 'c'};
    static const uint8_t last[] = {2, 0, 0, 0, 0, 0, 0, 0, 2, 'x', 'y'};
    static const uint8_t command[] = {4, 1, 'p'};
    for (int message = 0; message < 3; message++) {
        for (unsigned i = 0; i + 1 < ZMTP_PARTS_MAX; i++) {
            assert_true(zmtp_frames_take(&f, more, 1, 1 << 20));
            assert_true(zmtp_frames_take(&f, more + 1, sizeof more - 1, 1 << 20));
            assert_true(zmtp_frames_take(&f, command, sizeof command, 1 << 20));
        }
        for (size_t i = 0; i < sizeof last; i++)
            assert_true(zmtp_frames_take(&f, last + i, 1, 1 << 20));
    }
    for (unsigned i = 0; i < ZMTP_PARTS_MAX; i++)
        assert_true(zmtp_frames_take(&f, more, sizeof more, 1 << 20));
    assert_false(zmtp_frames_take(&f, more, sizeof more, 1 << 20));
}

static void bytes_are_counted_by_message(void **state)
{
    (void)state;
    struct zmtp_frames f = {0};
    static const uint8_t half[2 + 50] = {1, 50};
    static const uint8_t last[2 + 50] = {0, 50};
    static const uint8_t endless[] = {3, 255, 255, 255, 255, 255, 255, 255, 255};
    for (int i = 0; i < 10; i++) {
        assert_true(zmtp_frames_take(&f, half, sizeof half, 100));
        assert_true(zmtp_frames_take(&f, last, sizeof last, 100));
    }
    assert_true(zmtp_frames_take(&f, half, sizeof half, 100));
    assert_true(zmtp_frames_take(&f, half, sizeof half, 100));
    assert_false(zmtp_frames_take(&f, half, sizeof half, 100));
    f = (struct zmtp_frames){0};
    assert_true(zmtp_frames_take(&f, half, sizeof half, 100));
    assert_false(zmtp_frames_take(&f, endless, sizeof endless, 100));
}

/* Between the frames of a message there may be a PING; a SUBSCRIBE that claims to be continued is kept
 * by ZeroMQ like the frame of a message. */
static void commands_are_no_part_of_a_message(void **state)
{
    (void)state;
    static const uint8_t ping[] = {4, 7, 4, 'P', 'I', 'N', 'G', 0, 10};
    static const uint8_t cancel[] = {6, 0,   0,   0,   0,   0,   0,   0,  8,
                                     6, 'C', 'A', 'N', 'C', 'E', 'L', 'x'};
    static const uint8_t half[2 + 50] = {1, 50};
    static const uint8_t last[2 + 50] = {0, 50};
    static const uint8_t subscribe[] = {5, 10, 9, 'S', 'U', 'B', 'S', 'C', 'R', 'I', 'B', 'E'};
    static const uint8_t long_one[] = {7, 0, 0, 0, 0, 0, 0, 0, 0};
    struct zmtp_frames f = {0};
    for (int i = 0; i < 3; i++) {
        assert_true(zmtp_frames_take(&f, half, sizeof half, 100));
        assert_true(zmtp_frames_take(&f, ping, sizeof ping, 100));
        assert_true(zmtp_frames_take(&f, cancel, sizeof cancel, 100));
        assert_true(zmtp_frames_take(&f, last, sizeof last, 100));
    }
    assert_true(zmtp_frames_take(&f, half, sizeof half, 100));
    assert_true(zmtp_frames_take(&f, ping, sizeof ping, 100));
    assert_true(zmtp_frames_take(&f, half, sizeof half, 100));
    assert_true(zmtp_frames_take(&f, ping, sizeof ping, 100));
    assert_false(zmtp_frames_take(&f, half, sizeof half, 100));
    f = (struct zmtp_frames){0};
    assert_false(zmtp_frames_take(&f, subscribe, sizeof subscribe, 100));
    f = (struct zmtp_frames){0};
    assert_false(zmtp_frames_take(&f, long_one, sizeof long_one, 100));
}

/* Whoever reads along understands what is written here. */
static void what_is_written_is_welcome(void **state)
{
    (void)state;
    uint8_t bytes[ZMTP_GREETING_SIZE + ZMTP_READY_MAX];
    zmtp_greeting(bytes);
    size_t size = ZMTP_GREETING_SIZE + zmtp_ready(bytes + ZMTP_GREETING_SIZE, "ROUTER");
    struct zmtp_hello h = {0};
    size_t used = 0;
    assert_int_equal(zmtp_hello_take(&h, bytes, size, &used), ZMTP_WELCOME);
    assert_int_equal(used, size);
    assert_true(zmtp_hello_is(&h, "ROUTER", NULL));
    assert_true(zmtp_hello_is(&h, "DEALER", "ROUTER"));
    assert_false(zmtp_hello_is(&h, "DEALER", NULL));
    assert_false(zmtp_hello_is(&h, "ROUTE", "ROUTERS"));
    h.bytes[15] = 'X'; /* the mechanism's last letter, then what follows it */
    assert_false(zmtp_hello_is(&h, "ROUTER", NULL));
    h.bytes[15] = 'L';
    h.bytes[16] = 'L';
    assert_false(zmtp_hello_is(&h, "ROUTER", NULL));
}

static void each_type_counts(void **state)
{
    (void)state;
    struct zmtp_hello h = {0};
    size_t used = 0;
    struct text t = greeting();
    add_property(&t, "Socket-Type", "DEALER", 6);
    add_property(&t, "Socket-Type", "PUSH", 4);
    in_long_form(&t);
    close_ready(&t);
    assert_int_equal(zmtp_hello_take(&h, t.bytes, t.size, &used), ZMTP_WELCOME);
    assert_true(zmtp_hello_is(&h, "PUSH", "DEALER"));
    assert_false(zmtp_hello_is(&h, "DEALER", NULL));
}

static void headers_are_read_as_written(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 255, 256, 65536, 1ull << 40, UINT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t header[ZMTP_HEADER_MAX];
        struct zmtp_frame frame;
        size_t size = zmtp_header(header, sizes[i]);
        assert_int_equal(size, sizes[i] < 256 ? 2 : 9);
        for (size_t part = 0; part < size; part++)
            assert_false(zmtp_frame_read(header, part, &frame));
        assert_true(zmtp_frame_read(header, size, &frame));
        assert_int_equal(frame.header_size, size);
        assert_true(frame.body_size == sizes[i]);
        assert_int_equal(frame.flags, sizes[i] < 256 ? 0 : ZMTP_LONG);
    }
}

static void a_ping_is_answered_with_its_context(void **state)
{
    (void)state;
    static const uint8_t ping[] = {4, 'P', 'I', 'N', 'G', 0, 10, 'x', 'y'};
    static const uint8_t pong[] = {ZMTP_COMMAND, 7, 4, 'P', 'O', 'N', 'G', 'x', 'y'};
    uint8_t long_ping[7 + 17] = {4, 'P', 'I', 'N', 'G'};
    uint8_t out[ZMTP_PONG_MAX];
    assert_int_equal(zmtp_pong((struct bytes){ping, sizeof ping}, out), sizeof pong);
    assert_memory_equal(out, pong, sizeof pong);
    assert_int_equal(zmtp_pong((struct bytes){ping, 7}, out), 7);
    assert_int_equal(zmtp_pong((struct bytes){ping, 6}, out), 0); /* no time to live */
    assert_int_equal(zmtp_pong((struct bytes){long_ping, sizeof long_ping - 1}, out),
                     ZMTP_PONG_MAX);
    assert_int_equal(zmtp_pong((struct bytes){long_ping, sizeof long_ping}, out), 0);
    assert_int_equal(zmtp_pong((struct bytes){pong + 2, 7}, out), 0);
    assert_int_equal(zmtp_pong((struct bytes){NULL, 0}, out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_who_say_who_they_are_are_welcome),
        cmocka_unit_test(a_long_ready_is_read_too),
        cmocka_unit_test(the_type_is_spelt_as_zeromq_reads_it),
        cmocka_unit_test(names_are_refused),
        cmocka_unit_test(what_is_written_is_welcome),
        cmocka_unit_test(each_type_counts),
        cmocka_unit_test(headers_are_read_as_written),
        cmocka_unit_test(a_ping_is_answered_with_its_context),
        cmocka_unit_test(who_does_not_say_is_refused),
        cmocka_unit_test(frames_are_counted_by_message),
        cmocka_unit_test(bytes_are_counted_by_message),
        cmocka_unit_test(commands_are_no_part_of_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
