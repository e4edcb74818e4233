/* Compaction: targets, retention, tombstones, bounded steps. */
#define _GNU_SOURCE

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/support/journal_fixture.h"
#include "tests/support/sample_bytes.h"

struct step {
    bool more;
    bool blocked;
};

static struct step compact_once(struct journal_fixture *f, uint64_t target,
                                const struct journal_retention *retention, uint64_t now_us,
                                uint32_t records_max)
{
    struct step step = {false, false};
    assert_ok(journal_batch_begin(f->j, 0, &f->failure), f);
    assert_ok(journal_batch_compact(f->j, target, retention, now_us, records_max, &step.more,
                                    &step.blocked, &f->failure),
              f);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
    return step;
}

static void expect_oldest(struct journal_fixture *f, uint64_t oldest)
{
    assert_int_equal(journal_fixture_status(f).oldest, oldest);
    journal_fixture_check_records(f);
}

static void test_an_empty_journal_stays(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    struct step step = compact_once(f, 100, NULL, 0, 100);
    assert_false(step.more || step.blocked);
    assert_int_equal(journal_fixture_status(f).oldest, 1);
    journal_fixture_verify(f, 0);
}

static void test_a_target_moves_oldest_at_once(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    journal_fixture_append(f, 1000);
    journal_fixture_checkpoint(f);
    struct step step = compact_once(f, 901, NULL, 0, 10);
    assert_true(step.more);
    assert_false(step.blocked);
    expect_oldest(f, 901);
    journal_fixture_verify(f, 0); /* reopens in the middle */
    expect_oldest(f, 901);
    journal_fixture_compact(f, 0, 10);
    expect_oldest(f, 901);
    assert_int_equal(journal_fixture_status(f).records_bytes,
                     99 * 106 + 107);          /* key 1000 is longer */
    step = compact_once(f, 900, NULL, 0, 100); /* does not move back */
    assert_false(step.more || step.blocked);
    expect_oldest(f, 901);
    journal_fixture_verify(f, 0);
}

static void test_a_target_waits_for_applied(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    journal_fixture_append(f, 50);
    struct step step = compact_once(f, 30, NULL, 0, 100);
    assert_false(step.more);
    assert_true(step.blocked);
    expect_oldest(f, 1);
    journal_fixture_checkpoint(f);
    journal_fixture_append(f, 50);
    step = compact_once(f, 80, NULL, 0, 100);
    assert_true(step.blocked);
    expect_oldest(f, 51);
    journal_fixture_checkpoint(f);
    step = compact_once(f, 80, NULL, 0, 100);
    assert_false(step.blocked);
    expect_oldest(f, 80);
    journal_fixture_verify(f, 0);
}

static void test_a_target_just_beyond_applied(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    journal_fixture_append(f, 50);
    journal_fixture_checkpoint(f);
    journal_fixture_append(f, 2);
    struct step step = compact_once(f, 52, NULL, 0, 100);
    assert_true(step.blocked);
    expect_oldest(f, 51);
    journal_fixture_verify(f, 0);
}

static void test_the_head_stays(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    journal_fixture_append(f, 50);
    journal_fixture_checkpoint(f);
    struct step step = compact_once(f, UINT64_MAX, NULL, 0, 100);
    assert_false(step.more || step.blocked);
    expect_oldest(f, 50);
    struct journal_retention all = {.records = 1, .bytes = 1, .age_us = 1};
    step = compact_once(f, 0, &all, UINT64_MAX, 100);
    assert_false(step.more || step.blocked);
    expect_oldest(f, 50);
    journal_fixture_verify(f, 0);
    journal_fixture_append(f, 1);
    expect_oldest(f, 50);
}

static void test_retention_by_records(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_retention keep = {.records = 100};
    journal_fixture_open(f);
    journal_fixture_append(f, 90);
    struct step step = compact_once(f, 0, &keep, 0, 1000);
    assert_false(step.more || step.blocked);
    journal_fixture_append(f, 90);
    step = compact_once(f, 0, &keep, 0, 1000);
    assert_true(step.blocked);
    expect_oldest(f, 1);
    journal_fixture_checkpoint(f);
    step = compact_once(f, 0, &keep, 0, 50);
    assert_true(step.more);
    expect_oldest(f, 51);
    step = compact_once(f, 0, &keep, 0, 50);
    assert_false(step.more || step.blocked);
    expect_oldest(f, 81);
    journal_fixture_verify(f, 0);
}

static void test_retention_by_bytes(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    journal_fixture_append(f, 9);
    uint64_t each = journal_fixture_status(f).records_bytes / 9;
    journal_fixture_append(f, 90);
    journal_fixture_checkpoint(f);
    struct journal_retention keep = {.bytes = 20 * (each + 1)};
    struct step step = compact_once(f, 0, &keep, 0, 1000);
    assert_false(step.more || step.blocked);
    expect_oldest(f, 80); /* at least so many bytes, and not one record more */
    assert_int_equal(journal_fixture_status(f).records_bytes, keep.bytes);
}

static void test_retention_by_age(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_retention keep = {.age_us = 20000};
    journal_fixture_open(f);
    journal_fixture_append(f, 100); /* record N is of N milliseconds */
    journal_fixture_checkpoint(f);
    compact_once(f, 0, &keep, 5000, 1000); /* a clock before all of them */
    expect_oldest(f, 1);
    compact_once(f, 0, &keep, 60000, 1000);
    expect_oldest(f, 40);
    keep.records = 10; /* the limit that keeps least counts */
    compact_once(f, 0, &keep, 60000, 1000);
    expect_oldest(f, 91);
}

static void test_compacting_and_appending_in_one_batch(void **state)
{
    struct journal_fixture *f = *state;
    bool more = false;
    bool blocked = false;
    struct bytes value = bytes_of("\x01");
    struct journal_retention keep = {.records = 3};
    journal_fixture_open(f);
    for (uint64_t seq = 1; seq <= 300; seq++) {
        assert_ok(journal_batch_begin(f->j, 200, &f->failure), f);
        struct bytes record = journal_fixture_record(f, seq, bytes_of("k"), &value, seq - 1);
        struct state_row row = {.created = 1, .modified = seq, .version = seq, .value = value};
        if (seq % 2)
            assert_ok(journal_batch_append(f->j, record, &f->failure), f);
        assert_ok(journal_batch_compact(f->j, 0, &keep, 0, 10, &more, &blocked, &f->failure), f);
        assert_false(more);
        if (seq % 2 == 0)
            assert_ok(journal_batch_append(f->j, record, &f->failure), f);
        assert_ok(journal_batch_put_row(f->j, bytes_of("k"), &row, &f->failure), f);
        assert_ok(journal_batch_set_applied(f->j, seq, &f->failure), f);
        assert_ok(journal_batch_commit(f->j, &f->failure), f);
    }
    assert_in_range(journal_fixture_status(f).oldest, 297, 298);
    journal_fixture_verify(f, 0);
}

/* ---- tombstones ---- */

static void change(struct journal_fixture *f, const char *key, uint64_t prev_seq, bool put)
{
    uint64_t seq = journal_fixture_status(f).head + 1;
    struct bytes value = bytes_of("\x01");
    struct state_row row = {.created = seq, .modified = seq, .deleted = !put};
    if (put) {
        row.version = 1;
        row.value = value;
    }
    assert_ok(journal_batch_begin(f->j, 1000, &f->failure), f);
    struct bytes record =
        journal_fixture_record(f, seq, bytes_of(key), put ? &value : NULL, prev_seq);
    assert_ok(journal_batch_append(f->j, record, &f->failure), f);
    assert_ok(journal_batch_put_row(f->j, bytes_of(key), &row, &f->failure), f);
    assert_ok(journal_batch_set_applied(f->j, seq, &f->failure), f);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
}

static int row_of(struct journal_fixture *f, const char *key)
{
    struct state_row row;
    assert_ok(journal_view_begin(f->j, &f->failure), f);
    int err = journal_state_get(f->j, bytes_of(key), &row);
    journal_view_end(f->j);
    return err;
}

static void test_a_tombstone_stays_until_passed(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    change(f, "gone", 0, true);  /* 1 */
    change(f, "gone", 1, false); /* 2 */
    change(f, "back", 0, true);  /* 3 */
    change(f, "back", 3, false); /* 4 */
    change(f, "back", 4, true);  /* 5 */
    change(f, "last", 0, false); /* 6: the head */
    journal_fixture_verify(f, 0);
    journal_fixture_compact(f, 2, 100);
    assert_int_equal(row_of(f, "gone"), ERR_OK);
    journal_fixture_verify(f, 0);
    journal_fixture_compact(f, 3, 100);
    assert_int_equal(row_of(f, "gone"), ERR_NOT_FOUND);
    journal_fixture_verify(f, 0);
    journal_fixture_compact(f, 6, 100);
    assert_int_equal(row_of(f, "back"), ERR_OK);
    assert_int_equal(row_of(f, "last"), ERR_OK);
    journal_fixture_verify(f, 0);
    change(f, "gone", 0, true); /* 7: nothing is known of its past */
    journal_fixture_compact(f, 7, 100);
    assert_int_equal(row_of(f, "last"), ERR_NOT_FOUND);
    assert_int_equal(row_of(f, "gone"), ERR_OK);
    journal_fixture_verify(f, 0);
}

static void test_tombstones_go_in_steps(void **state)
{
    struct journal_fixture *f = *state;
    char key[16];
    journal_fixture_open(f);
    for (uint64_t i = 1; i <= 100; i++) {
        snprintf(key, sizeof key, "key %llu", (unsigned long long)(i * 37 % 101));
        change(f, key, 0, false);
    }
    struct step step = compact_once(f, 100, NULL, 0, 10);
    assert_true(step.more);
    assert_int_equal(row_of(f, "key 37"), ERR_NOT_FOUND); /* record 1 */
    assert_int_equal(row_of(f, "key 32"), ERR_OK);        /* record 50 */
    journal_fixture_compact(f, 0, 10);
    assert_int_equal(row_of(f, "key 32"), ERR_NOT_FOUND);
    assert_int_equal(row_of(f, "key 64"), ERR_OK); /* record 100, the head */
    journal_fixture_verify(f, 0);
}

/* ---- somebody is waited for ---- */

/* 100 records of about a hundred bytes, at times seq * 1000 us. */
static void open_hundred(struct journal_fixture *f)
{
    journal_fixture_open(f);
    journal_fixture_append(f, 100);
    journal_fixture_checkpoint(f);
}

static void test_retention_waits(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_hold hold = {.from = 41, .records = 60};
    struct journal_retention keep = {.records = 10, .hold = &hold};
    open_hundred(f);
    struct step step = compact_once(f, 0, &keep, 0, 25);
    assert_true(step.more);
    assert_false(hold.held);
    step = compact_once(f, 0, &keep, 0, 25);
    assert_false(step.more || step.blocked);
    assert_true(hold.held);
    assert_int_equal(hold.exceeded, JOURNAL_HOLD_NONE);
    expect_oldest(f, 41);
    hold.from = 46; /* it goes on */
    (void)compact_once(f, 0, &keep, 0, 25);
    assert_true(hold.held);
    expect_oldest(f, 46);
    hold.from = 101; /* it has seen everything */
    (void)compact_once(f, 0, &keep, 0, 100);
    assert_false(hold.held);
    expect_oldest(f, 91);
    journal_fixture_verify(f, 0);
}

/* The limits, each just reached, then exceeded. */
static void test_limits_of_waiting(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_hold hold = {.from = 41, .records = 60};
    struct journal_retention keep = {.records = 10, .hold = &hold};
    open_hundred(f);
    (void)compact_once(f, 0, &keep, 0, 1000);
    assert_true(hold.held);
    uint64_t bytes = journal_fixture_status(f).records_bytes; /* of 41..100 */
    hold = (struct journal_hold){.from = 41, .bytes = bytes};
    (void)compact_once(f, 0, &keep, 0, 1000);
    assert_true(hold.held);
    hold = (struct journal_hold){.from = 41, .age_us = 59000};
    (void)compact_once(f, 0, &keep, 100000, 1000);
    assert_true(hold.held);
    expect_oldest(f, 41);

    hold = (struct journal_hold){.from = 41, .records = 59};
    struct step step = compact_once(f, 0, &keep, 0, 1000);
    assert_false(hold.held);
    assert_int_equal(hold.exceeded, JOURNAL_HOLD_RECORDS);
    assert_true(step.more); /* the next one that waits may do so */
    expect_oldest(f, 42);
    bytes = journal_fixture_status(f).records_bytes;
    hold = (struct journal_hold){.from = 42, .bytes = bytes - 1};
    (void)compact_once(f, 0, &keep, 0, 1000);
    assert_int_equal(hold.exceeded, JOURNAL_HOLD_BYTES);
    expect_oldest(f, 43);
    hold = (struct journal_hold){.from = 43, .age_us = 56999};
    (void)compact_once(f, 0, &keep, 100000, 1000);
    assert_int_equal(hold.exceeded, JOURNAL_HOLD_AGE);
    expect_oldest(f, 44);
    hold = (struct journal_hold){.from = 43, .records = 1000}; /* gone already: nobody waits */
    (void)compact_once(f, 0, &keep, 0, 1000);
    assert_false(hold.held);
    expect_oldest(f, 91);
}

static void test_a_target_waits(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_hold hold = {.from = 41, .records = 60};
    struct journal_retention keep = {.hold = &hold};
    open_hundred(f);
    struct step step = compact_once(f, 80, &keep, 0, 10);
    assert_true(step.more);
    assert_false(hold.held); /* what it waits for is not known before the rest is gone */
    expect_oldest(f, 41);
    while (compact_once(f, 80, &keep, 0, 10).more)
        continue;
    assert_true(hold.held);
    expect_oldest(f, 41);
    (void)compact_once(f, 30, &keep, 0, 10);
    assert_false(hold.held); /* that far it has been already */
    hold.records = 59;
    step = compact_once(f, 80, &keep, 0, 10);
    assert_int_equal(hold.exceeded, JOURNAL_HOLD_RECORDS);
    assert_true(step.more);
    expect_oldest(f, 42);
    hold = (struct journal_hold){0};
    while (compact_once(f, 80, &keep, 0, 10).more)
        continue;
    expect_oldest(f, 80);
}

/* No step is left for the removal: then nothing was exceeded yet. */
static void test_a_step_that_ends_before_the_limit(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_hold hold = {.from = 11, .records = 1};
    struct journal_retention keep = {.records = 5, .hold = &hold};
    open_hundred(f);
    struct step step = compact_once(f, 0, &keep, 0, 10);
    assert_true(step.more);
    assert_int_equal(hold.exceeded, JOURNAL_HOLD_NONE);
    expect_oldest(f, 11);
    step = compact_once(f, 0, &keep, 0, 10);
    assert_int_equal(hold.exceeded, JOURNAL_HOLD_RECORDS);
    expect_oldest(f, 12);
}

#define TEST(function) \
    cmocka_unit_test_setup_teardown(function, journal_fixture_setup, journal_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_empty_journal_stays),
        TEST(test_a_target_moves_oldest_at_once),
        TEST(test_a_target_waits_for_applied),
        TEST(test_a_target_just_beyond_applied),
        TEST(test_the_head_stays),
        TEST(test_retention_by_records),
        TEST(test_retention_by_bytes),
        TEST(test_retention_by_age),
        TEST(test_compacting_and_appending_in_one_batch),
        TEST(test_a_tombstone_stays_until_passed),
        TEST(test_tombstones_go_in_steps),
        TEST(test_retention_waits),
        TEST(test_limits_of_waiting),
        TEST(test_a_target_waits),
        TEST(test_a_step_that_ends_before_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
