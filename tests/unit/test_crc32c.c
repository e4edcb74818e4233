/* CRC-32C: known vectors, and both versions against a bit by bit one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "protocol/crc32c.h"
#include "tests/support/sample_bytes.h"

typedef uint32_t crc_function(uint32_t crc, const void *data, size_t size);
static crc_function *const versions[] = {crc32c, crc32c_portable};

static uint32_t bit_by_bit(uint32_t crc, const uint8_t *p, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* RFC 3720, B.4, and the usual check value. */
static void test_known_vectors(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0};
    uint8_t ones[32];
    uint8_t rising[32];
    uint8_t falling[32];
    for (size_t i = 0; i < 32; i++) {
        ones[i] = 0xff;
        rising[i] = (uint8_t)i;
        falling[i] = (uint8_t)(31 - i);
    }
    for (size_t v = 0; v < 2; v++) {
        assert_int_equal(versions[v](0, "123456789", 9), 0xe3069283u);
        assert_int_equal(versions[v](0, zeros, 32), 0x8a9136aau);
        assert_int_equal(versions[v](0, ones, 32), 0x62a8ab43u);
        assert_int_equal(versions[v](0, rising, 32), 0x46dd794eu);
        assert_int_equal(versions[v](0, falling, 32), 0x113fdb5cu);
        assert_int_equal(versions[v](0, zeros, 0), 0);
        assert_int_equal(versions[v](0x12345678, zeros, 0), 0x12345678);
    }
}

/* Every size around the steps of 8 and of three lanes, at every alignment. */
static void test_sizes_and_alignments(void **state)
{
    (void)state;
    struct sample s = {1};
    static uint8_t data[2048];
    sample_fill(&s, data, sizeof data);
    for (size_t size = 0; size <= 1700; size += size < 40 || (size > 750 && size < 800) ? 1 : 13) {
        size_t offset = size % 8;
        uint32_t start = (uint32_t)sample_u64(&s);
        uint32_t expected = bit_by_bit(start, data + offset, size);
        uint8_t *copy = copy_exactly(data + offset, size);
        for (size_t v = 0; v < 2; v++) {
            assert_int_equal(versions[v](start, data + offset, size), expected);
            assert_int_equal(versions[v](start, copy, size), expected);
        }
        free(copy);
    }
}

static void test_continues_over_pieces(void **state)
{
    (void)state;
    struct sample s = {2};
    static uint8_t data[4096];
    sample_fill(&s, data, sizeof data);
    uint32_t whole = crc32c(0, data, sizeof data);
    for (int round = 0; round < 200; round++) {
        size_t cut = sample_below(&s, sizeof data + 1);
        for (size_t v = 0; v < 2; v++) {
            uint32_t crc = versions[v](0, data, cut);
            assert_int_equal(versions[v](crc, data + cut, sizeof data - cut), whole);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_vectors),
        cmocka_unit_test(test_sizes_and_alignments),
        cmocka_unit_test(test_continues_over_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
