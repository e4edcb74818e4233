/* test_server_quantity.c - numbers of options, and the histogram of the status figures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/net/histogram.h"
#include "server/net/quantity.h"
#include "tests/support/sample_bytes.h"

static void sizes_have_units(void **state)
{
    (void)state;
    uint64_t n = 7;
    assert_true(quantity_parse_size("0", &n));
    assert_int_equal(n, 0);
    assert_true(quantity_parse_size("64K", &n));
    assert_int_equal(n, 65536);
    assert_true(quantity_parse_size("10G", &n));
    assert_int_equal(n, UINT64_C(10) << 30);
    assert_true(quantity_parse_size("3MiB", &n));
    assert_int_equal(n, 3 << 20);
    assert_true(quantity_parse_size("18446744073709551615", &n));
    assert_true(n == UINT64_MAX);
    static const char *const bad[] = {
        "", "K", "-1", "1k ", " 1", "1X", "1.5M", "18446744073709551616", "17179869184G"};
    n = 7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(quantity_parse_size(bad[i], &n));
    assert_int_equal(n, 7);
}

static void durations_need_units(void **state)
{
    (void)state;
    uint64_t n = 7;
    assert_true(quantity_parse_duration("250ms", &n));
    assert_int_equal(n, 250);
    assert_true(quantity_parse_duration("30s", &n));
    assert_int_equal(n, 30000);
    assert_true(quantity_parse_duration("2h", &n));
    assert_int_equal(n, 7200000);
    assert_true(quantity_parse_duration("7d", &n));
    assert_int_equal(n, 604800000);
    assert_true(quantity_parse_duration("0", &n));
    assert_int_equal(n, 0);
    assert_false(quantity_parse_duration("7", &n));
    assert_false(quantity_parse_duration("d", &n));
    assert_true(quantity_parse_count("12", &n));
    assert_int_equal(n, 12);
    assert_false(quantity_parse_count("12K", &n));
}

/* Against the sorted values themselves: never below, and at most an eighth above. */
static void percentiles_are_close(void **state)
{
    (void)state;
    enum { VALUES = 5000 };
    static struct histogram h;
    static uint64_t seen[1 << 16]; /* how many of each value */
    struct sample s = {7};
    assert_int_equal(histogram_at(&h, 500), 0);
    for (int i = 0; i < VALUES; i++) {
        uint64_t value = sample_u64(&s) % (UINT64_C(1) << (1 + sample_below(&s, 16)));
        histogram_add(&h, value);
        seen[value]++;
    }
    for (unsigned permille = 0; permille < 1000; permille += 10) {
        uint64_t below = 0;
        uint64_t exact = 0;
        while ((below += seen[exact]) <= (uint64_t)VALUES * permille / 1000)
            exact++;
        uint64_t got = histogram_at(&h, permille);
        assert_true(got >= exact);
        assert_true(got <= exact + exact / 8);
    }
    histogram_add(&h, UINT64_MAX);
    assert_true(histogram_at(&h, 1000) == UINT64_MAX);
    assert_true(h.max == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_have_units),
        cmocka_unit_test(durations_need_units),
        cmocka_unit_test(percentiles_are_close),
    };
    return cmocka_run_group_tests_name("server quantity", tests, NULL, NULL);
}
