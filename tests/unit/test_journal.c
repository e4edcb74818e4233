/* The journal: appending, reading, the state's rows, views, reopening. */
#define _GNU_SOURCE

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/stat.h>

#include "tests/support/journal_fixture.h"
#include "tests/support/sample_bytes.h"

static void test_new_journal_is_empty(void **state)
{
    struct journal_fixture *f = *state;
    struct stat status;
    char path[FIXTURE_PATH_SIZE + 16];
    journal_fixture_open(f);
    struct journal_status s = journal_fixture_status(f);
    assert_true(s.epoch == 0xE1);
    assert_int_equal(s.head, 0);
    assert_int_equal(s.oldest, 1);
    assert_int_equal(s.applied, 0);
    assert_int_equal(s.records_bytes, 0);
    assert_false(s.recovered || s.new_epoch);
    assert_int_equal(stat(f->directory, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    journal_fixture_path(f, "data.mdb", path, sizeof path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    journal_fixture_check_records(f);
    journal_fixture_verify(f, 0);
}

static void test_records_come_back_after_reopening(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    journal_fixture_append(f, 1);
    journal_fixture_append(f, 5000);
    journal_fixture_check_records(f);
    struct journal_status before = journal_fixture_status(f);
    assert_int_equal(before.head, 5001);
    assert_true(before.records_bytes > 5001 * 100);
    journal_fixture_close(f);
    f->options.epoch = 0xE2; /* only for new journals */
    journal_fixture_open(f);
    struct journal_status after = journal_fixture_status(f);
    assert_true(after.epoch == before.epoch);
    assert_int_equal(after.head, before.head);
    assert_int_equal(after.records_bytes, before.records_bytes);
    assert_false(after.recovered);
    journal_fixture_append(f, 10);
    journal_fixture_check_records(f);
    journal_fixture_verify(f, 0);
}

static void append_and_die(struct journal_fixture *f)
{
    journal_fixture_open(f);
    journal_fixture_append(f, 100);
    journal_fixture_checkpoint(f);
    for (uint64_t i = 0; i < 30; i++)
        journal_fixture_append(f, i % 7 + 1);
    if (journal_fixture_status(f).head < 70000)
        journal_fixture_append(f, 70000); /* beyond what one meta row stands for */
}

static void test_counters_survive_a_killed_process(void **state)
{
    struct journal_fixture *f = *state;
    f->options.durability = JOURNAL_PROCESS;
    for (int round = 1; round <= 2; round++) {
        journal_fixture_in_child(append_and_die, f);
        journal_fixture_open(f);
        struct journal_status s = journal_fixture_status(f);
        assert_true(s.recovered);
        assert_false(s.new_epoch);
        assert_true(s.epoch == 0xE1);
        journal_fixture_check_records(f);
        journal_fixture_close(f); /* verify holds the counter against the records */
        journal_fixture_verify(f, 0);
        journal_fixture_open(f);
        assert_int_equal(journal_fixture_status(f).records_bytes, s.records_bytes);
        journal_fixture_close(f);
    }
}

static void test_only_the_next_record_is_taken(void **state)
{
    struct journal_fixture *f = *state;
    struct bytes value = bytes_of("\x01");
    journal_fixture_open(f);
    assert_int_equal(journal_batch_append(f->j, value, &f->failure), ERR_INTERNAL);
    assert_int_equal(journal_batch_commit(f->j, &f->failure), ERR_INTERNAL);
    assert_ok(journal_batch_begin(f->j, 1000, &f->failure), f);
    assert_int_equal(journal_batch_begin(f->j, 1000, &f->failure), ERR_INTERNAL);
    struct bytes record = journal_fixture_record(f, 2, bytes_of("k"), &value, 0);
    assert_int_equal(journal_batch_append(f->j, record, &f->failure), ERR_INTERNAL);
    record = journal_fixture_record(f, 1, bytes_of("k"), &value, 0);
    struct bytes cut = {record.data, record.size - 1};
    assert_int_equal(journal_batch_append(f->j, cut, &f->failure), ERR_INTERNAL);
    assert_ok(journal_batch_append(f->j, record, &f->failure), f);
    assert_int_equal(journal_batch_append(f->j, record, &f->failure), ERR_INTERNAL);
    assert_int_equal(journal_batch_set_applied(f->j, 2, &f->failure), ERR_INTERNAL);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
    assert_int_equal(journal_fixture_status(f).head, 1);
}

static void test_an_aborted_batch_leaves_nothing(void **state)
{
    struct journal_fixture *f = *state;
    struct bytes value = bytes_of("\x01");
    bool more = false;
    bool blocked = false;
    journal_fixture_open(f);
    journal_fixture_append(f, 10);
    journal_fixture_checkpoint(f);
    struct journal_status before = journal_fixture_status(f);
    assert_ok(journal_batch_begin(f->j, 1000, &f->failure), f);
    struct bytes record = journal_fixture_record(f, 11, bytes_of("k"), &value, 0);
    assert_ok(journal_batch_append(f->j, record, &f->failure), f);
    struct state_row row = {.created = 11, .modified = 11, .version = 1, .value = value};
    assert_ok(journal_batch_put_row(f->j, bytes_of("k"), &row, &f->failure), f);
    assert_ok(journal_batch_set_applied(f->j, 11, &f->failure), f);
    assert_ok(journal_batch_compact(f->j, 5, NULL, 0, 100, &more, &blocked, &f->failure), f);
    journal_batch_abort(f->j);
    journal_batch_abort(f->j); /* nothing is open: nothing happens */
    struct journal_status after = journal_fixture_status(f);
    assert_memory_equal(&before, &after, offsetof(struct journal_status, file_bytes));
    journal_fixture_append(f, 1);
    journal_fixture_check_records(f);
    journal_fixture_verify(f, 0);
}

static void test_reader_bounds(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_reader *r = NULL;
    struct journal_view view;
    struct bytes record;
    uint64_t seq = 0;
    journal_fixture_open(f);
    journal_fixture_append(f, 20);
    journal_fixture_checkpoint(f);
    journal_fixture_compact(f, 8, 100);
    assert_ok(journal_reader_open(f->j, &r, &f->failure), f);
    assert_int_equal(journal_reader_get(r, 10, &record, &f->failure), ERR_INTERNAL);
    assert_int_equal(journal_reader_seek(r, 10, &f->failure), ERR_INTERNAL);
    assert_ok(journal_reader_begin(r, &view, &f->failure), f);
    assert_int_equal(journal_reader_begin(r, &view, &f->failure), ERR_INTERNAL);
    assert_int_equal(journal_reader_next(r, &seq, &record, &f->failure), ERR_INTERNAL);
    assert_int_equal(view.oldest, 8);
    assert_int_equal(journal_reader_get(r, 0, &record, &f->failure), ERR_COMPACTED);
    assert_int_equal(journal_reader_get(r, 7, &record, &f->failure), ERR_COMPACTED);
    assert_ok(journal_reader_get(r, 8, &record, &f->failure), f);
    assert_ok(journal_reader_get(r, 20, &record, &f->failure), f);
    assert_int_equal(journal_reader_get(r, 21, &record, &f->failure), ERR_NOT_FOUND);
    assert_int_equal(journal_reader_seek(r, 7, &f->failure), ERR_COMPACTED);
    assert_ok(journal_reader_seek(r, 21, &f->failure), f);
    assert_int_equal(journal_reader_next(r, &seq, &record, &f->failure), ERR_NOT_FOUND);
    assert_ok(journal_reader_seek(r, 20, &f->failure), f);
    assert_ok(journal_reader_next(r, &seq, &record, &f->failure), f);
    assert_int_equal(seq, 20);
    assert_int_equal(journal_reader_next(r, &seq, &record, &f->failure), ERR_NOT_FOUND);
    journal_reader_close(r); /* ends the view too */
    journal_reader_close(NULL);
}

static void test_a_view_stays_while_batches_go_on(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_reader *readers[2] = {NULL, NULL};
    struct journal_view view;
    struct bytes record;
    journal_fixture_open(f);
    journal_fixture_append(f, 10);
    assert_ok(journal_reader_open(f->j, &readers[0], &f->failure), f);
    assert_ok(journal_reader_open(f->j, &readers[1], &f->failure), f);
    assert_ok(journal_reader_begin(readers[0], &view, &f->failure), f);
    journal_fixture_append(f, 10);
    journal_fixture_checkpoint(f);
    journal_fixture_compact(f, 15, 100);
    assert_ok(journal_reader_get(readers[0], 1, &record, &f->failure), f);
    assert_int_equal(journal_reader_get(readers[0], 11, &record, &f->failure), ERR_NOT_FOUND);
    assert_ok(journal_reader_begin(readers[1], &view, &f->failure), f);
    assert_int_equal(view.head, 20);
    assert_int_equal(view.oldest, 15);
    journal_reader_end(readers[0]);
    journal_reader_end(readers[0]);
    assert_ok(journal_reader_begin(readers[0], &view, &f->failure), f);
    assert_int_equal(view.head, 20);
    journal_reader_close(readers[0]);
    journal_reader_close(readers[1]);
}

static void put_row(struct journal_fixture *f, const char *key, uint64_t modified,
                    const char *value)
{
    struct state_row row = {.created = 1, .modified = modified, .deleted = !value};
    if (value) {
        row.version = modified;
        row.value = bytes_of(value);
    }
    assert_ok(journal_batch_begin(f->j, 1000, &f->failure), f);
    assert_ok(journal_batch_put_row(f->j, bytes_of(key), &row, &f->failure), f);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
}

static struct state_row get_row(struct journal_fixture *f, const char *key)
{
    struct state_row row;
    assert_int_equal(journal_state_get(f->j, bytes_of(key), &row), ERR_OK);
    return row;
}

static void test_rows(void **state)
{
    struct journal_fixture *f = *state;
    struct state_row row;
    journal_fixture_open(f);
    journal_fixture_append(f, 20);
    assert_int_equal(journal_state_get(f->j, bytes_of("a"), &row), ERR_INTERNAL);
    put_row(f, "a", 3, "three");
    assert_ok(journal_view_begin(f->j, &f->failure), f);
    assert_int_equal(journal_view_begin(f->j, &f->failure), ERR_INTERNAL);
    put_row(f, "a", 9, "nine");
    put_row(f, "b", 10, NULL);
    assert_true(bytes_equal(get_row(f, "a").value, bytes_of("three"))); /* the view is older */
    assert_int_equal(journal_state_get(f->j, bytes_of("b"), &row), ERR_NOT_FOUND);
    journal_view_end(f->j);
    assert_ok(journal_view_begin(f->j, &f->failure), f);
    row = get_row(f, "a");
    assert_true(bytes_equal(row.value, bytes_of("nine")));
    assert_int_equal(row.created, 1);
    assert_int_equal(row.modified, 9);
    assert_int_equal(row.version, 9);
    assert_false(row.deleted);
    row = get_row(f, "b");
    assert_true(row.deleted);
    assert_int_equal(row.modified, 10);
    assert_int_equal(row.value.size, 0);
    journal_view_end(f->j);
    put_row(f, "a", 8, "eight"); /* older than what is stored */
    assert_ok(journal_view_begin(f->j, &f->failure), f);
    assert_true(bytes_equal(get_row(f, "a").value, bytes_of("nine")));
    assert_int_equal(journal_state_get(f->j, bytes_of(""), &row), ERR_NOT_FOUND);
    journal_view_end(f->j);
}

static void expect_rows(struct journal_fixture *f, struct journal_reader *r, const char *prefix,
                        const char *after, const char *expected)
{
    char found[256] = "";
    struct bytes key;
    struct state_row row;
    size_t size = 0;
    assert_ok(journal_reader_rows(r, bytes_of(prefix), bytes_of(after), &f->failure), f);
    int err = journal_reader_next_row(r, &key, &row, &f->failure);
    for (; err == ERR_OK; err = journal_reader_next_row(r, &key, &row, &f->failure))
        size += (size_t)snprintf(found + size, sizeof found - size, "%.*s ", (int)key.size,
                                 (const char *)key.data);
    assert_int_equal(err, ERR_NOT_FOUND);
    assert_int_equal(journal_reader_next_row(r, &key, &row, &f->failure), ERR_NOT_FOUND);
    assert_string_equal(found, expected);
}

static void test_rows_are_walked_by_prefix(void **state)
{
    struct journal_fixture *f = *state;
    static const char *const keys[] = {"b", "a/2", "a", "a/10", "c", "a/1", "a0"};
    struct journal_reader *r = NULL;
    struct journal_view view;
    uint8_t longest[LIMIT_KEY_SIZE + 1] = {0};
    journal_fixture_open(f);
    journal_fixture_append(f, 10);
    assert_ok(journal_reader_open(f->j, &r, &f->failure), f);
    assert_ok(journal_reader_begin(r, &view, &f->failure), f);
    expect_rows(f, r, "", "", "");
    journal_reader_end(r);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        put_row(f, keys[i], i + 1, i % 2 ? "v" : NULL);
    assert_ok(journal_reader_begin(r, &view, &f->failure), f);
    expect_rows(f, r, "", "", "a a/1 a/10 a/2 a0 b c ");
    expect_rows(f, r, "a", "", "a a/1 a/10 a/2 a0 ");
    expect_rows(f, r, "a/", "", "a/1 a/10 a/2 ");
    expect_rows(f, r, "a/", "a/1", "a/10 a/2 ");
    expect_rows(f, r, "a/", "a/11", "a/2 ");
    expect_rows(f, r, "a/", "a/2", "");
    expect_rows(f, r, "a/", "a", "a/1 a/10 a/2 ");
    expect_rows(f, r, "a/", "b", "");
    expect_rows(f, r, "", "b", "c ");
    expect_rows(f, r, "", "c", "");
    expect_rows(f, r, "d", "", "");
    struct bytes too_long = {longest, sizeof longest};
    assert_int_equal(journal_reader_rows(r, too_long, bytes_of(""), &f->failure), ERR_INVALID);
    assert_int_equal(journal_reader_rows(r, bytes_of(""), too_long, &f->failure), ERR_INVALID);
    journal_reader_close(r);
}

static void test_large_records_and_rows(void **state)
{
    struct journal_fixture *f = *state;
    static const size_t sizes[] = {1, 1900, 1930, 2000, 2040, 4000, 4096, 100000, 2 << 20};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    struct journal_reader *r = NULL;
    struct journal_view view;
    struct bytes record;
    uint8_t *data = calloc(1, 2 << 20);
    assert_non_null(data);
    sample_fill(&(struct sample){7}, data, 2 << 20);
    journal_fixture_open(f);
    for (size_t i = 0; i < COUNT; i++) {
        struct bytes value = {data, sizes[i]};
        struct state_row row = {.created = 1, .modified = i + 1, .version = i + 1, .value = value};
        assert_ok(journal_batch_begin(f->j, sizes[i] * 2 + 200, &f->failure), f);
        record = journal_fixture_record(f, i + 1, bytes_of("k"), &value, i);
        assert_ok(journal_batch_append(f->j, record, &f->failure), f);
        assert_ok(journal_batch_put_row(f->j, bytes_of("k"), &row, &f->failure), f);
        assert_ok(journal_batch_set_applied(f->j, i + 1, &f->failure), f);
        assert_ok(journal_batch_commit(f->j, &f->failure), f);
    }
    journal_fixture_verify(f, 0);
    assert_ok(journal_reader_open(f->j, &r, &f->failure), f);
    assert_ok(journal_reader_begin(r, &view, &f->failure), f);
    for (size_t i = 0; i < COUNT; i++) {
        struct bytes value = {data, sizes[i]};
        assert_ok(journal_reader_get(r, i + 1, &record, &f->failure), f);
        assert_true(
            bytes_equal(record, journal_fixture_record(f, i + 1, bytes_of("k"), &value, i)));
    }
    journal_reader_close(r);
    journal_fixture_compact(f, COUNT, 3);
    journal_fixture_verify(f, 0);
    free(data);
}

static void test_the_default_map(void **state)
{
    struct journal_fixture *f = *state;
    f->options.map_size_bytes = 0;
    f->options.allocate_bytes = 0;
    f->options.reserve_bytes = 0;
    journal_fixture_open(f);
    journal_fixture_append(f, 100);
    assert_true(journal_fixture_status(f).allocated_bytes >= journal_fixture_status(f).file_bytes);
    journal_fixture_verify(f, 0);
}

#define TEST(function) \
    cmocka_unit_test_setup_teardown(function, journal_fixture_setup, journal_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_new_journal_is_empty),
        TEST(test_records_come_back_after_reopening),
        TEST(test_counters_survive_a_killed_process),
        TEST(test_only_the_next_record_is_taken),
        TEST(test_an_aborted_batch_leaves_nothing),
        TEST(test_reader_bounds),
        TEST(test_a_view_stays_while_batches_go_on),
        TEST(test_rows),
        TEST(test_rows_are_walked_by_prefix),
        TEST(test_large_records_and_rows),
        TEST(test_the_default_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
