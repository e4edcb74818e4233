/*
 * test_server_commit.c - the journal's side of a turn, over a real journal whose
 * batches fail when the test says so.
 *
 * ctest: WRAP=journal_batch_begin,journal_batch_put_row,journal_batch_compact
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/net/turn.h"
#include "tests/support/core_fixture.h"
#include "tests/support/temp_folder.h"

#include <stdio.h>

enum { KEYS = 5, LATER_US = 60 * 1000 * 1000 };

static struct fixture {
    char folder[TEMP_FOLDER_SIZE];
    struct journal *journal;
    struct core_fixture core;
    struct turn turn;
    struct failure failure;
} f;

/* ---- a disk that is full ---- */

static int compactions_that_fail;
static bool only_the_reserve_is_left;
static unsigned rows_that_fit; /* into a batch; 0: any number */
static unsigned rows_put;      /* of the batch in hand */

int __real_journal_batch_begin(struct journal *j, uint64_t bytes, struct failure *failure);
int __wrap_journal_batch_begin(struct journal *j, uint64_t bytes, struct failure *failure);

int __wrap_journal_batch_begin(struct journal *j, uint64_t bytes, struct failure *failure)
{
    rows_put = 0;
    if (only_the_reserve_is_left && bytes > 0)
        return failure_set(failure, ERR_NO_SPACE, "the disk is full, says the test");
    return __real_journal_batch_begin(j, bytes, failure);
}

int __real_journal_batch_compact(struct journal *j, uint64_t target,
                                 const struct journal_retention *retention, uint64_t now_us,
                                 uint32_t records_max, bool *ret_more, bool *ret_blocked,
                                 struct failure *failure);
int __wrap_journal_batch_compact(struct journal *j, uint64_t target,
                                 const struct journal_retention *retention, uint64_t now_us,
                                 uint32_t records_max, bool *ret_more, bool *ret_blocked,
                                 struct failure *failure);

int __wrap_journal_batch_compact(struct journal *j, uint64_t target,
                                 const struct journal_retention *retention, uint64_t now_us,
                                 uint32_t records_max, bool *ret_more, bool *ret_blocked,
                                 struct failure *failure)
{
    if (compactions_that_fail > 0) {
        compactions_that_fail--;
        return failure_set(failure, ERR_NO_SPACE, "the disk is full, says the test");
    }
    return __real_journal_batch_compact(j, target, retention, now_us, records_max, ret_more,
                                        ret_blocked, failure);
}

int __real_journal_batch_put_row(struct journal *j, struct bytes key, const struct state_row *row,
                                 struct failure *failure);
int __wrap_journal_batch_put_row(struct journal *j, struct bytes key, const struct state_row *row,
                                 struct failure *failure);

int __wrap_journal_batch_put_row(struct journal *j, struct bytes key, const struct state_row *row,
                                 struct failure *failure)
{
    if (rows_that_fit > 0 && rows_put++ == rows_that_fit)
        return failure_set(failure, ERR_NO_SPACE, "the reserve is used up, says the test");
    return __real_journal_batch_put_row(j, key, row, failure);
}

/* ---- the fixture ---- */

static int set_up(void **state)
{
    (void)state;
    f = (struct fixture){0};
    compactions_that_fail = 0;
    only_the_reserve_is_left = false;
    rows_that_fit = 0;
    assert_true(temp_folder_make(f.folder));
    char directory[TEMP_FOLDER_SIZE + 8];
    snprintf(directory, sizeof directory, "%s/data", f.folder);
    struct journal_options options = {
        .directory = directory, .durability = JOURNAL_PROCESS, .epoch = 1};
    assert_int_equal(journal_open(&options, &f.journal, &f.failure), ERR_OK);
    core_fixture_open(&f.core, 1, NULL);
    f.turn = (struct turn){.journal = f.journal, .core = f.core.core, .now_us = 1};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    core_fixture_close(&f.core);
    journal_close(f.journal);
    temp_folder_remove(f.folder);
    return 0;
}

static const char *key_name(unsigned i)
{
    static char name[16];
    snprintf(name, sizeof name, "key/%u", i);
    return name;
}

/* A batch of KEYS records. */
static void put_keys(void)
{
    core_fixture_begin(&f.core);
    core_fixture_message(&f.core, 0, 0);
    for (unsigned i = 0; i < KEYS; i++)
        request_put(&f.core, key_name(i), value_number((uint8_t)i));
    core_fixture_send(&f.core, "peer");
    assert_int_equal(commit_batch(&f.turn, 0, false, &f.failure), ERR_OK);
    core_fixture_commit(&f.core);
}

/* Which a checkpoint is then to write. */
static void put_keys_and_freeze(void)
{
    put_keys();
    core_checkpoint_start(f.core.core);
    assert_int_equal(core_checkpoint_pending(f.core.core), KEYS);
}

static size_t rows_in_state(void)
{
    size_t rows = 0;
    struct state_row row;
    assert_int_equal(journal_view_begin(f.journal, &f.failure), ERR_OK);
    for (unsigned i = 0; i < KEYS; i++)
        rows += journal_state_get(f.journal, bytes_of(key_name(i)), &row) == ERR_OK;
    journal_view_end(f.journal);
    return rows;
}

static struct journal_status journal_now(void)
{
    struct journal_status status;
    journal_status(f.journal, &status);
    return status;
}

static uint64_t applied(void)
{
    return journal_now().applied;
}

static void ask_for_compaction(uint64_t before)
{
    core_fixture_begin(&f.core);
    core_fixture_message(&f.core, 0, 0);
    request_start(&f.core, OP_COMPACT);
    request_compact_write(&f.core.message, &(struct request_compact){.before = before});
    request_finish(&f.core);
    core_fixture_send(&f.core, "peer");
    core_fixture_commit(&f.core);
    assert_int_equal(core_compact_target(f.core.core), before);
}

/* ---- tests ---- */

static void a_slice_whose_batch_failed_is_written_again(void **state)
{
    (void)state;
    put_keys_and_freeze();
    f.turn.compact_more = true;
    compactions_that_fail = 1;

    /* The second try compacts alone: what the first had taken of the checkpoint is still to do. */
    assert_int_equal(commit_background(&f.turn, LATER_US, &f.failure), ERR_OK);
    assert_int_equal(compactions_that_fail, 0);
    assert_int_equal(rows_in_state(), 0);
    assert_int_equal(applied(), 0);
    assert_int_equal(core_checkpoint_pending(f.core.core), KEYS);

    assert_int_equal(commit_background(&f.turn, 2 * LATER_US, &f.failure), ERR_OK);
    assert_int_equal(core_checkpoint_pending(f.core.core), 0);
    assert_int_equal(rows_in_state(), KEYS);
    assert_int_equal(applied(), KEYS);
}

static void a_slice_of_a_batch_that_goes_through_is_written_once(void **state)
{
    (void)state;
    put_keys_and_freeze();
    assert_int_equal(commit_background(&f.turn, LATER_US, &f.failure), ERR_OK);
    assert_int_equal(core_checkpoint_pending(f.core.core), 0);
    assert_int_equal(rows_in_state(), KEYS);
    assert_int_equal(applied(), KEYS);
    assert_false(commit_background_due(&f.turn, LATER_US + 1));
}

/* It waits for a checkpoint, and that has the reserve to be written from. */
static void a_full_disk_does_not_hold_up_the_checkpoint_of_a_compaction(void **state)
{
    (void)state;
    put_keys();
    ask_for_compaction(KEYS);
    only_the_reserve_is_left = true;
    for (unsigned i = 1; i <= 5; i++)
        assert_int_equal(commit_background(&f.turn, i * (uint64_t)LATER_US, &f.failure), ERR_OK);
    assert_int_equal(rows_in_state(), KEYS);
    assert_int_equal(applied(), KEYS);
    assert_int_equal(journal_now().oldest, KEYS);
    assert_int_equal(core_compact_target(f.core.core), 0);
}

static void a_small_reserve_takes_small_slices(void **state)
{
    (void)state;
    put_keys();
    ask_for_compaction(KEYS);
    only_the_reserve_is_left = true;
    rows_that_fit = 2;
    for (unsigned i = 1; i <= 10; i++)
        assert_int_equal(commit_background(&f.turn, i * (uint64_t)LATER_US, &f.failure), ERR_OK);
    assert_int_equal(rows_in_state(), KEYS);
    assert_int_equal(journal_now().oldest, KEYS);
}

/* The same where retention asks. */
static void a_full_disk_does_not_hold_up_the_checkpoint_of_retention(void **state)
{
    (void)state;
    f.turn.retention.records = 1;
    put_keys();
    f.turn.mutated_us = f.turn.now_us;
    only_the_reserve_is_left = true;
    for (unsigned i = 1; i <= 5; i++)
        assert_int_equal(commit_background(&f.turn, i * (uint64_t)LATER_US, &f.failure), ERR_OK);
    assert_int_equal(rows_in_state(), KEYS);
    assert_int_equal(journal_now().oldest, KEYS);
}

int main(void)
{
#define COMMIT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        COMMIT_TEST(a_slice_whose_batch_failed_is_written_again),
        COMMIT_TEST(a_slice_of_a_batch_that_goes_through_is_written_once),
        COMMIT_TEST(a_full_disk_does_not_hold_up_the_checkpoint_of_a_compaction),
        COMMIT_TEST(a_full_disk_does_not_hold_up_the_checkpoint_of_retention),
        COMMIT_TEST(a_small_reserve_takes_small_slices),
    };
    return cmocka_run_group_tests_name("server commit", tests, NULL, NULL);
}
