/* The bench's histogram against the sorted values themselves; its bounds; merging. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "bench/histogram.h"

enum { VALUES = 20000 };

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Over many powers of two, as latencies are. */
static uint64_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 32) >> (*state >> 27 & 31);
}

static void test_percentiles_match_sorted_values(void **unused)
{
    (void)unused;
    static uint64_t values[VALUES];
    static struct histogram h;
    uint64_t state = 7;
    histogram_clear(&h);
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = draw(&state);
        histogram_add(&h, values[i]);
    }
    qsort(values, VALUES, sizeof values[0], compare);
    static const double percents[] = {0.005, 1, 10, 50, 90, 99, 99.9, 99.99, 100};
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        double exact_rank = percents[i] / 100.0 * VALUES;
        size_t rank = (size_t)exact_rank;
        rank += (double)rank < exact_rank;
        uint64_t true_value = values[rank - 1];
        uint64_t read = histogram_percentile(&h, percents[i]);
        assert_true(read >= true_value);
        assert_true((double)(read - true_value) <= 0.008 * (double)true_value);
    }
    assert_int_equal(h.count, VALUES);
    assert_int_equal(h.min, values[0]);
    assert_int_equal(h.max, values[VALUES - 1]);
    assert_int_equal(histogram_percentile(&h, 100), values[VALUES - 1]);
}

static void test_edges(void **unused)
{
    (void)unused;
    static struct histogram h;
    histogram_clear(&h);
    assert_int_equal(histogram_percentile(&h, 50), 0);
    assert_true(histogram_mean(&h) == 0);

    histogram_add(&h, 0);
    assert_int_equal(histogram_percentile(&h, 100), 0);
    for (uint32_t shift = 0; shift < 43; shift++) {
        histogram_clear(&h);
        uint64_t power = UINT64_C(1) << shift;
        histogram_add(&h, power - 1);
        histogram_add(&h, power);
        assert_in_range(histogram_percentile(&h, 50), power - 1, power);
        assert_int_equal(histogram_percentile(&h, 100), power);
    }
    histogram_clear(&h);
    histogram_add(&h, UINT64_MAX);
    assert_int_equal(histogram_percentile(&h, 50), HISTOGRAM_VALUE_MAX);
}

static void test_merge_is_as_if_added_to_one(void **unused)
{
    (void)unused;
    static struct histogram parts[3];
    static struct histogram whole;
    static struct histogram merged;
    uint64_t state = 11;
    histogram_clear(&whole);
    histogram_clear(&merged);
    for (size_t i = 0; i < 3; i++) {
        histogram_clear(&parts[i]);
    }
    for (size_t i = 0; i < VALUES; i++) {
        uint64_t value = draw(&state);
        histogram_add(&whole, value);
        histogram_add(&parts[i % 2], value); /* the third stays empty */
    }
    for (size_t i = 0; i < 3; i++) {
        histogram_merge(&merged, &parts[i]);
    }
    assert_memory_equal(&merged, &whole, sizeof whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percentiles_match_sorted_values),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_merge_is_as_if_added_to_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
