#define _POSIX_C_SOURCE 200809L
/* vigil-bench check, without measuring: verdicts, and the file of a baseline. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "bench/baseline.h"
#include "bench/check.h"
#include "tests/support/temp_folder.h"

#define MARGIN 0.2

static const struct baseline_row stored = {
    .name = "put", .ratio = 0.5, .low = 0.45, .high = 0.55, .runs = 5};

static struct check_row measured(const struct baseline_row *against, const double *ratios,
                                 unsigned count)
{
    struct check_row row = {.stored = against};
    for (unsigned i = 0; i < count; i++) {
        assert_true(check_add(&row, ratios[i]));
    }
    return row;
}

static void assert_near(double a, double b)
{
    assert_true(a - b < 1e-9 && b - a < 1e-9);
}

/* ---- verdicts ---- */

static void test_median(void **unused)
{
    (void)unused;
    static const double ratios[] = {0.5, 0.1, 0.9, 0.3};
    struct check_row none = {.stored = NULL};
    struct check_row row = measured(NULL, ratios, 1);
    assert_near(check_median(&none), 0);
    assert_near(check_median(&row), 0.5);
    row = measured(NULL, ratios, 2);
    assert_near(check_median(&row), 0.5); /* the better of the two */
    row = measured(NULL, ratios, 3);
    assert_near(check_median(&row), 0.5);
    row = measured(NULL, ratios, 4);
    assert_near(check_median(&row), 0.5);
}

static void test_verdicts(void **unused)
{
    (void)unused;
    static const struct {
        double ratio;
        double margin;
        enum check_verdict verdict;
    } cases[] = {
        {0.5, MARGIN, CHECK_OK},
        {0.41, MARGIN, CHECK_OK},
        {0.39, MARGIN, CHECK_WORSE},
        {0.59, MARGIN, CHECK_OK},
        {0.61, MARGIN, CHECK_BETTER},
        {0.39, 0.3, CHECK_OK},
        /* Within what the baseline's own runs saw, nothing is worse or better. */
        {0.46, 0.01, CHECK_OK},
        {0.44, 0.01, CHECK_WORSE},
        {0.54, 0.01, CHECK_OK},
        {0.56, 0.01, CHECK_BETTER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct check_row row = measured(&stored, &cases[i].ratio, 1);
        if (check_judge(&row, cases[i].margin) != cases[i].verdict) {
            fail_msg("%g within %g: %s", cases[i].ratio, cases[i].margin,
                     check_verdict_text(check_judge(&row, cases[i].margin)));
        }
    }
    static const double any = 0.01;
    struct check_row row = measured(NULL, &any, 1);
    assert_int_equal(check_judge(&row, MARGIN), CHECK_NEW);
}

static void test_what_looks_worse_is_measured_again(void **unused)
{
    (void)unused;
    struct check_row row = {.stored = &stored};
    assert_true(check_wants_more(&row, MARGIN, 1));
    (void)check_add(&row, 0.5);
    assert_false(check_wants_more(&row, MARGIN, 5)); /* well */

    row = (struct check_row){.stored = &stored};
    (void)check_add(&row, 0.2);
    assert_true(check_wants_more(&row, MARGIN, 5));
    assert_false(check_wants_more(&row, MARGIN, 1));
    (void)check_add(&row, 0.5); /* one bad second */
    assert_false(check_wants_more(&row, MARGIN, 5));
    assert_int_equal(check_judge(&row, MARGIN), CHECK_OK);

    /* One good run among bad ones saves nothing. */
    static const double bad[] = {0.2, 0.21, 0.5, 0.22, 0.19};
    row = measured(&stored, bad, 4);
    assert_true(check_wants_more(&row, MARGIN, 5));
    (void)check_add(&row, bad[4]);
    assert_false(check_wants_more(&row, MARGIN, 5));
    assert_int_equal(check_judge(&row, MARGIN), CHECK_WORSE);
}

static void test_runs_are_bounded(void **unused)
{
    (void)unused;
    struct check_row row = {.stored = &stored};
    for (int i = 0; i < CHECK_RUNS_MAX; i++) {
        assert_true(check_wants_more(&row, MARGIN, UINT32_MAX));
        assert_true(check_add(&row, 0.1));
    }
    assert_false(check_wants_more(&row, MARGIN, UINT32_MAX));
    assert_false(check_add(&row, 0.1));
}

static void test_what_is_stored(void **unused)
{
    (void)unused;
    static const double ratios[] = {0.5, 0.4, 0.6, 0.55, 0.45};
    struct check_row row = measured(NULL, ratios, 5);
    struct baseline_row kept = check_store(&row, "put");
    assert_string_equal(kept.name, "put");
    assert_near(kept.ratio, 0.5);
    assert_near(kept.low, 0.4);
    assert_near(kept.high, 0.6);
    assert_int_equal(kept.runs, 5);
}

/* ---- the file ---- */

static void test_rows_by_name(void **unused)
{
    (void)unused;
    static struct baseline b;
    struct baseline_row row = stored;
    b.count = 0;
    assert_null(baseline_find(&b, "put"));
    assert_int_equal(baseline_set(&b, &row, NULL), ERR_OK);
    row.ratio = 0.47;
    assert_int_equal(baseline_set(&b, &row, NULL), ERR_OK);
    assert_int_equal(b.count, 1);
    assert_near(baseline_find(&b, "put")->ratio, 0.47);
    while (b.count < BASELINE_ROWS_MAX) {
        (void)snprintf(row.name, sizeof row.name, "row %zu", b.count);
        assert_int_equal(baseline_set(&b, &row, NULL), ERR_OK);
    }
    strcpy(row.name, "one more");
    assert_int_equal(baseline_set(&b, &row, NULL), ERR_LIMIT);
}

static void test_written_is_read(void **unused)
{
    (void)unused;
    char folder[TEMP_FOLDER_SIZE];
    char path[300];
    struct failure failure = {0};
    static struct baseline b;
    static struct baseline read;
    struct baseline_row other = {.name = "get", .ratio = 1.25, .low = 1, .high = 1.5, .runs = 1};
    assert_true(temp_folder_make(folder));
    (void)snprintf(path, sizeof path, "%s/baseline.json", folder);
    b.count = 0;
    assert_int_equal(baseline_read(path, &read, &failure), ERR_NOT_FOUND);
    assert_non_null(strstr(failure.text, path));
    assert_int_equal(baseline_set(&b, &stored, NULL), ERR_OK);
    assert_int_equal(baseline_set(&b, &other, NULL), ERR_OK);
    assert_int_equal(baseline_write(path, &b, "0.1.0", "a \"machine\" / two", &failure), ERR_OK);
    assert_int_equal(baseline_read(path, &read, &failure), ERR_OK);
    assert_int_equal(read.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(read.rows[i].name, b.rows[i].name);
        assert_near(read.rows[i].ratio, b.rows[i].ratio);
        assert_near(read.rows[i].low, b.rows[i].low);
        assert_near(read.rows[i].high, b.rows[i].high);
        assert_int_equal(read.rows[i].runs, b.rows[i].runs);
    }
    assert_int_equal(remove(path), 0);
    assert_int_equal(baseline_write(folder, &b, "0.1.0", "a machine", &failure), ERR_IO);
    temp_folder_remove(folder);
}

#define LONG_NAME                                                                  \
    "{\"rows\": {\"a name that goes on for longer than a name of a row may be\": " \
    "{\"ratio\": 0.5, \"low\": 0.5, \"high\": 0.5, \"runs\": 1}}}"
#define ROW(fields) "{\"rows\": {\"put\": {" fields "}}}"

static void test_malformed_is_refused(void **unused)
{
    (void)unused;
    static const char *const texts[] = {
        "",
        "ratio 0.5",
        "[]",
        "7",
        "{}",
        "{\"rows\": []}",
        "{\"rows\": {\"put\": 0.5}}",
        "{\"rows\": {\"put\": {}}}",
        ROW("\"ratio\": 0.5"),
        ROW("\"ratio\": \"0.5\", \"low\": 0.5, \"high\": 0.5, \"runs\": 1"),
        ROW("\"ratio\": 0, \"low\": 0, \"high\": 0.5, \"runs\": 1"),
        ROW("\"ratio\": 0.5, \"low\": -0.5, \"high\": 0.5, \"runs\": 1"),
        ROW("\"ratio\": 0.5, \"low\": 0.5, \"high\": NaN, \"runs\": 1"),
        ROW("\"ratio\": 0.5, \"low\": 0.6, \"high\": 0.7, \"runs\": 1"),
        ROW("\"ratio\": 0.5, \"low\": 0.4, \"high\": 0.4, \"runs\": 1"),
        ROW("\"ratio\": 0.5, \"low\": 0.5, \"high\": 0.5, \"runs\": 0"),
        ROW("\"ratio\": 0.5, \"low\": 0.5, \"high\": 0.5, \"runs\": 1.5"),
        ROW("\"ratio\": 0.5, \"low\": 0.5, \"high\": 0.5, \"runs\": 1") "{}",
        "{\"rows\": {\"\": {\"ratio\": 0.5, \"low\": 0.5, \"high\": 0.5, \"runs\": 1}}}",
        LONG_NAME,
        "{\"rows\": {\"put\": {\"ratio\": 0.5, \"low\": 0.5, \"high\": 0.5",
    };
    static struct baseline b;
    b.count = 99;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct failure failure = {0};
        if (baseline_parse(texts[i], strlen(texts[i]), &b, &failure) != ERR_INVALID) {
            fail_msg("taken: %s", texts[i]);
        }
        assert_true(failure.text[0]);
        assert_int_equal(b.count, 99);
    }
    static char large[BASELINE_FILE_MAX + 1];
    memset(large, ' ', sizeof large);
    assert_int_equal(baseline_parse(large, sizeof large, &b, NULL), ERR_INVALID);
    static const char good[] = ROW("\"ratio\": 1, \"low\": 0.5, \"high\": 2, \"runs\": 3") "\n";
    assert_int_equal(baseline_parse(good, sizeof good - 1, &b, NULL), ERR_OK);
    assert_int_equal(b.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_median),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_what_looks_worse_is_measured_again),
        cmocka_unit_test(test_runs_are_bounded),
        cmocka_unit_test(test_what_is_stored),
        cmocka_unit_test(test_rows_by_name),
        cmocka_unit_test(test_written_is_read),
        cmocka_unit_test(test_malformed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
