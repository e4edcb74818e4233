/* The cursors: bounds, stickiness, byte order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/sample_bytes.h"

static void test_little_endian(void **state)
{
    (void)state;
    struct wire_buffer b;
    wire_buffer_init(&b, 64);
    wire_write_u8(&b, 0x01);
    wire_write_u16(&b, 0x0302);
    wire_write_u32(&b, 0x07060504);
    wire_write_u64(&b, UINT64_C(0x0f0e0d0c0b0a0908));
    assert_false(b.failed);
    assert_int_equal(b.size, 15);
    for (size_t i = 0; i < b.size; i++)
        assert_int_equal(b.data[i], i + 1);

    struct wire_reader r = wire_reader_of(b.data, b.size);
    assert_int_equal(wire_read_u8(&r), 0x01);
    assert_int_equal(wire_read_u16(&r), 0x0302);
    assert_int_equal(wire_read_u32(&r), 0x07060504);
    assert_true(wire_read_u64(&r) == UINT64_C(0x0f0e0d0c0b0a0908));
    assert_true(wire_read_complete(&r));
    wire_buffer_free(&b);
}

static void test_reader_fails_sticky(void **state)
{
    (void)state;
    uint8_t *data = copy_exactly("\x01\x02\x03", 3);
    struct wire_reader r = wire_reader_of(data, 3);
    assert_int_equal(wire_read_u32(&r), 0);
    assert_true(r.failed);
    assert_int_equal(wire_left(&r), 3);
    assert_int_equal(wire_read_u8(&r), 0); /* there would be one, but it is over */
    assert_null(wire_read_raw(&r, 0).data);
    assert_false(wire_read_complete(&r));
    free(data);

    struct wire_reader empty = wire_reader_of(NULL, 0);
    assert_true(wire_read_complete(&empty));
    assert_int_equal(wire_read_u8(&empty), 0);
    assert_true(empty.failed);
}

static void test_sized_bytes_at_every_cut(void **state)
{
    (void)state;
    struct wire_buffer b;
    wire_buffer_init(&b, 256);
    wire_write_bytes16(&b, bytes_of("key"));
    wire_write_bytes32(&b, bytes_of("a value"));
    wire_write_bytes16(&b, (struct bytes){NULL, 0});
    for (size_t cut = 0; cut <= b.size; cut++) {
        uint8_t *data = copy_exactly(b.data, cut);
        struct wire_reader r = wire_reader_of(data, cut);
        struct bytes key = wire_read_bytes16(&r);
        struct bytes value = wire_read_bytes32(&r);
        struct bytes empty = wire_read_bytes16(&r);
        assert_int_equal(wire_read_complete(&r), cut == b.size);
        if (cut == b.size) {
            assert_true(bytes_equal(key, bytes_of("key")));
            assert_true(bytes_equal(value, bytes_of("a value")));
            assert_int_equal(empty.size, 0);
        }
        free(data);
    }
    wire_buffer_free(&b);
}

static void test_announced_size_is_not_believed(void **state)
{
    (void)state;
    const uint8_t huge16[] = {0xff, 0xff, 1, 2};
    const uint8_t huge32[] = {0xff, 0xff, 0xff, 0xff, 1, 2};
    struct wire_reader r = wire_reader_of(huge16, sizeof huge16);
    assert_null(wire_read_bytes16(&r).data);
    assert_true(r.failed);
    r = wire_reader_of(huge32, sizeof huge32);
    assert_null(wire_read_bytes32(&r).data);
    assert_true(r.failed);
    r = wire_reader_of(huge32, sizeof huge32);
    assert_null(wire_read_raw(&r, SIZE_MAX).data);
    assert_true(r.failed);
}

/* For each bound: what fits is written, the first that does not ends it for good. */
static void test_buffer_keeps_its_bound(void **state)
{
    (void)state;
    for (size_t bound = 0; bound < 1200; bound += 7) {
        struct wire_buffer b;
        wire_buffer_init(&b, bound);
        size_t written = 0;
        while (written + 8 <= bound) {
            wire_write_u64(&b, written);
            written += 8;
            assert_false(b.failed);
        }
        wire_write_u64(&b, 1);
        assert_true(b.failed);
        assert_int_equal(b.size, written);
        assert_true(b.capacity <= bound);
        wire_write_u8(&b, 1);
        assert_int_equal(b.size, written);
        assert_null(wire_extend(&b, 0));
        wire_buffer_clear(&b);
        assert_int_equal(b.size, 0);
        assert_false(b.failed);
        wire_buffer_free(&b);
        assert_null(b.data);
        assert_int_equal(b.size_max, bound);
    }
}

static void test_a_bound_that_is_lowered(void **state)
{
    (void)state;
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    assert_non_null(wire_extend(&b, 1000));
    wire_buffer_clear(&b);
    b.size_max = 100; /* less than what is allocated */
    assert_non_null(wire_extend(&b, 100));
    assert_null(wire_extend(&b, 1));
    assert_true(b.failed);
    wire_buffer_free(&b);
}

static void test_extend_cannot_overflow(void **state)
{
    (void)state;
    struct wire_buffer b;
    wire_buffer_init(&b, 100);
    wire_write_u64(&b, 1);
    assert_null(wire_extend(&b, SIZE_MAX));
    assert_true(b.failed);
    wire_buffer_free(&b);
}

static void test_bytes16_bound(void **state)
{
    (void)state;
    uint8_t *big = calloc(1, 65536);
    struct wire_buffer b;
    wire_buffer_init(&b, 1 << 20);
    wire_write_bytes16(&b, (struct bytes){big, 65535});
    assert_false(b.failed);
    assert_int_equal(b.size, 65537);
    wire_write_bytes16(&b, (struct bytes){big, 65536});
    assert_true(b.failed);
    wire_buffer_free(&b);
    free(big);
}

static void test_bytes_compare(void **state)
{
    (void)state;
    const char *const rising[] = {"", "\x01", "a", "a/", "aa", "b", "\x7f", "\x80", "\xff"};
    for (size_t i = 0; i < sizeof rising / sizeof rising[0]; i++) {
        for (size_t j = 0; j < sizeof rising / sizeof rising[0]; j++) {
            int order = bytes_compare(bytes_of(rising[i]), bytes_of(rising[j]));
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
            assert_int_equal(bytes_equal(bytes_of(rising[i]), bytes_of(rising[j])), i == j);
        }
    }
    assert_true(bytes_equal((struct bytes){NULL, 0}, bytes_of("")));
    assert_int_equal(bytes_compare((struct bytes){NULL, 0}, bytes_of("")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_little_endian),
        cmocka_unit_test(test_reader_fails_sticky),
        cmocka_unit_test(test_sized_bytes_at_every_cut),
        cmocka_unit_test(test_announced_size_is_not_believed),
        cmocka_unit_test(test_buffer_keeps_its_bound),
        cmocka_unit_test(test_a_bound_that_is_lowered),
        cmocka_unit_test(test_extend_cannot_overflow),
        cmocka_unit_test(test_bytes16_bound),
        cmocka_unit_test(test_bytes_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
