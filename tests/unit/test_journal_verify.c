/* Verify: each kind of fault, made by hand behind the journal's back, is found and named once. */
#define _GNU_SOURCE

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "journal/environment.h"
#include "protocol/record.h"
#include "tests/support/journal_fixture.h"
#include "tests/support/sample_bytes.h"

/*
 * What each test starts from: 1..20, oldest 6, applied 15.
 *   key "a": put at each odd seq; key "b": deleted at each even one; key "c": put with "a" at 3.
 */
enum { HEAD = 20, OLDEST = 6, APPLIED = 15 };

static struct bytes value_at(uint64_t seq)
{
    static const uint8_t small[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
                                    0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d,
                                    0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14};
    return (struct bytes){small + seq, 1};
}

static struct bytes sample_record(struct journal_fixture *f, uint64_t seq, uint64_t prev_seq)
{
    struct record_writer w;
    wire_buffer_clear(&f->buffer);
    record_begin(&w, &f->buffer, seq, seq, 0, 0);
    if (seq % 2 == 0) {
        record_add(
            &w, &(struct change){.op = CHANGE_DELETE, .prev_seq = prev_seq, .key = bytes_of("b")});
    } else {
        record_add(&w, &(struct change){.op = CHANGE_PUT,
                                        .prev_seq = prev_seq,
                                        .key = bytes_of("a"),
                                        .value = value_at(seq)});
    }
    if (seq == 3)
        record_add(
            &w, &(struct change){.op = CHANGE_PUT, .key = bytes_of("c"), .value = value_at(seq)});
    size_t size = record_end(&w);
    return (struct bytes){f->buffer.data, size};
}

static struct state_row row_at(uint64_t seq, bool deleted)
{
    struct state_row row = {.created = 1, .modified = seq, .deleted = deleted};
    if (!deleted) {
        row.version = 1;
        row.value = value_at(seq);
    }
    return row;
}

static int setup(void **state)
{
    if (journal_fixture_setup(state) != 0)
        return -1;
    struct journal_fixture *f = *state;
    struct state_row a = row_at(APPLIED, false);
    struct state_row b = row_at(APPLIED - 1, true);
    struct state_row c = row_at(3, false);
    journal_fixture_open(f);
    assert_ok(journal_batch_begin(f->j, 10000, &f->failure), f);
    for (uint64_t seq = 1; seq <= HEAD; seq++)
        assert_ok(
            journal_batch_append(f->j, sample_record(f, seq, seq > 2 ? seq - 2 : 0), &f->failure),
            f);
    assert_ok(journal_batch_put_row(f->j, bytes_of("a"), &a, &f->failure), f);
    assert_ok(journal_batch_put_row(f->j, bytes_of("b"), &b, &f->failure), f);
    assert_ok(journal_batch_put_row(f->j, bytes_of("c"), &c, &f->failure), f);
    assert_ok(journal_batch_set_applied(f->j, APPLIED, &f->failure), f);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
    journal_fixture_compact(f, OLDEST, 100);
    journal_fixture_close(f);
    return 0;
}

/* ---- behind the journal's back ---- */

struct edit {
    struct journal_fixture *f;
    struct environment e;
    MDB_txn *txn;
    struct meta meta;
};

static struct edit edit_begin(struct journal_fixture *f)
{
    struct edit edit = {.f = f};
    assert_ok(environment_open(&edit.e, f->directory, 0, 1 << 26, &f->failure), f);
    assert_ok(environment_load(&edit.e, f->directory, &edit.meta, &f->failure), f);
    assert_int_equal(mdb_txn_begin(edit.e.lmdb, NULL, 0, &edit.txn), 0);
    return edit;
}

/* As if the disk had changed it: the tally does not know. */
static void edit_end_untold(struct edit *edit)
{
    assert_int_equal(mdb_txn_commit(edit->txn), 0);
    environment_close(&edit->e);
}

static void edit_end(struct edit *edit)
{
    struct tally tally;
    assert_int_equal(tally_count(&edit->e, edit->txn, &tally), 0);
    assert_int_equal(tally_put(&edit->e, edit->txn, &tally), 0);
    edit_end_untold(edit);
}

static void put_record(struct edit *edit, uint64_t at, struct bytes record)
{
    uint8_t seq_key[SEQ_KEY_SIZE];
    seq_key_store(seq_key, at);
    MDB_val key = {sizeof seq_key, seq_key};
    MDB_val value = lmdb_value(record);
    assert_int_equal(mdb_put(edit->txn, edit->e.journal, &key, &value, 0), 0);
}

static void remove_record(struct edit *edit, uint64_t seq)
{
    uint8_t seq_key[SEQ_KEY_SIZE];
    seq_key_store(seq_key, seq);
    MDB_val key = {sizeof seq_key, seq_key};
    assert_int_equal(mdb_del(edit->txn, edit->e.journal, &key, NULL), 0);
}

static void put_state(struct edit *edit, const char *key, struct state_row row)
{
    assert_int_equal(row_put(&edit->e, edit->txn, bytes_of(key), &row, &(struct tally){0}), 0);
}

static void remove_state(struct edit *edit, const char *key)
{
    MDB_val stored_key = lmdb_value(bytes_of(key));
    assert_int_equal(mdb_del(edit->txn, edit->e.state, &stored_key, NULL), 0);
}

/* ---- what verify says ---- */

struct findings {
    size_t count;
    uint64_t seq; /* of the last */
    char text[512];
};

static void note(void *context, uint64_t seq, const char *text)
{
    struct findings *found = context;
    found->count++;
    found->seq = seq;
    snprintf(found->text, sizeof found->text, "%s", text);
}

static struct journal_verify_report expect(struct journal_fixture *f, size_t count, uint64_t seq,
                                           const char *text)
{
    struct findings found = {0};
    struct journal_verify_report report = {0};
    assert_ok(journal_verify(f->directory, note, NULL, &found, &report, &f->failure), f);
    if (found.count != count || report.problems != count)
        fail_msg("%zu problems (%llu reported), not %zu; the last: %s", found.count,
                 (unsigned long long)report.problems, count, found.text);
    if (count > 0) {
        assert_int_equal(found.seq, seq);
        if (!strstr(found.text, text))
            fail_msg("\"%s\" does not say \"%s\"", found.text, text);
    }
    return report;
}

static void count_progress(void *context, uint64_t done, uint64_t all)
{
    uint64_t *last = context;
    assert_int_equal(done, all);
    *last = done;
}

static void test_nothing_is_wrong(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_verify_report report = expect(f, 0, 0, NULL);
    assert_true(report.epoch == f->options.epoch);
    assert_int_equal(report.head, HEAD);
    assert_int_equal(report.oldest, OLDEST);
    assert_int_equal(report.applied, APPLIED);
    assert_int_equal(report.records, HEAD - OLDEST + 1);
    assert_int_equal(report.changes, HEAD - OLDEST + 1);
    assert_int_equal(report.keys, 2); /* "a" and "c" */
    uint64_t done = 0;
    assert_ok(journal_verify(f->directory, NULL, count_progress, &done, &report, &f->failure), f);
    assert_int_equal(done, HEAD - OLDEST + 1 + 3);
}

static void test_missing_records(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    remove_record(&edit, 10);
    edit_end(&edit);
    expect(f, 1, 10, "record 10 is missing");
    edit = edit_begin(f);
    remove_record(&edit, 11);
    edit_end(&edit);
    expect(f, 1, 10, "records 10 to 11 are missing");
}

static void test_a_missing_end(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    remove_record(&edit, HEAD);
    edit_end(&edit);
    expect(f, 1, HEAD, "is missing");
    journal_fixture_open_fails(f, ERR_CORRUPT);
}

static void test_a_missing_beginning(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    remove_record(&edit, OLDEST);
    edit_end(&edit);
    expect(f, 1, OLDEST, "is missing");
    journal_fixture_open_fails(f, ERR_CORRUPT);
}

static void test_a_record_in_the_wrong_place(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    put_record(&edit, 17, sample_record(f, 15, 13));
    edit_end(&edit);
    expect(f, 1, 17, "another one is in its place");
}

static void test_a_broken_chain(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    put_record(&edit, 17, sample_record(f, 17, 13));
    edit_end(&edit);
    expect(f, 1, 17, "the change before is 15, not 13");
    edit = edit_begin(f);
    put_record(&edit, 17, sample_record(f, 17, 15));
    put_record(&edit, HEAD, journal_fixture_record(f, HEAD, bytes_of("n"), NULL, 10));
    edit_end(&edit);
    expect(f, 1, HEAD, "the change before, 10, is not there");
}

static void test_a_stale_row(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    put_state(&edit, "a", row_at(13, false));
    edit_end(&edit);
    expect(f, 1, APPLIED, "older than the key's last change");
    edit = edit_begin(f);
    put_state(&edit, "a", row_at(1, false)); /* a record that is gone */
    edit_end(&edit);
    expect(f, 1, APPLIED, "older than the key's last change");
}

static void test_rows_may_be_ahead_of_applied(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    put_state(&edit, "a", row_at(17, false));
    put_state(&edit, "b", row_at(HEAD, true));
    edit_end(&edit);
    expect(f, 0, 0, NULL);
    edit = edit_begin(f);
    put_state(&edit, "a", row_at(HEAD - 1, false));
    edit_end(&edit);
    expect(f, 0, 0, NULL);
}

static void test_a_row_with_another_effect(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    struct state_row row = row_at(APPLIED, false);
    row.value = value_at(1);
    put_state(&edit, "a", row);
    edit_end(&edit);
    expect(f, 1, APPLIED, "not what its record made of it");
    edit = edit_begin(f);
    put_state(&edit, "a", row_at(17, true)); /* applied in part, and wrongly */
    edit_end(&edit);
    expect(f, 1, 17, "not what its record made of it");
}

static void test_a_row_of_another_keys_record(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    put_state(&edit, "a", row_at(18, false));
    edit_end(&edit);
    expect(f, 1, 18, "a record that does not change the key");
    edit = edit_begin(f);
    put_state(&edit, "a", row_at(APPLIED, false));
    put_state(&edit, "never", row_at(18, false));
    edit_end(&edit);
    expect(f, 1, 18, "a record that does not change the key");
}

static void test_a_row_beyond_the_head(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    struct state_row row = row_at(HEAD, false);
    row.modified = HEAD + 1;
    put_state(&edit, "a", row);
    edit_end(&edit);
    expect(f, 1, HEAD + 1, "newer than the journal");
}

static void test_a_missing_row(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    remove_state(&edit, "b");
    edit_end(&edit);
    expect(f, 1, APPLIED - 1, "is missing");
}

static void test_a_row_that_contradicts_itself(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    struct state_row row = row_at(3, false);
    row.created = 4;
    put_state(&edit, "c", row);
    edit_end(&edit);
    expect(f, 1, 3, "contradicts itself");
}

static void test_a_row_under_another_key(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    MDB_val key = lmdb_value(bytes_of("c"));
    MDB_val stored;
    assert_int_equal(mdb_get(edit.txn, edit.e.state, &key, &stored), 0);
    uint8_t *copy = copy_exactly(stored.mv_data, stored.mv_size);
    stored.mv_data = copy;
    key = lmdb_value(bytes_of("d"));
    assert_int_equal(mdb_put(edit.txn, edit.e.state, &key, &stored, 0), 0);
    free(copy);
    edit_end(&edit);
    expect(f, 1, 0, "is damaged");
}

static void test_a_missing_tombstone(void **state)
{
    struct journal_fixture *f = *state;
    uint8_t buffer[TOMBSTONE_KEY_SIZE_MAX];
    struct edit edit = edit_begin(f);
    MDB_val key = {tombstone_encode(APPLIED - 1, bytes_of("b"), buffer), buffer};
    assert_int_equal(mdb_del(edit.txn, edit.e.tombstones, &key, NULL), 0);
    edit_end(&edit);
    expect(f, 1, APPLIED - 1, "has no tombstone");
}

/* Its record has been compacted: only the tally knows of it. */
static void test_a_row_that_no_record_tells_of(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    put_state(&edit, "long ago", row_at(2, false));
    edit_end(&edit);
    expect(f, 0, 0, NULL);
    edit = edit_begin(f);
    put_state(&edit, "long ago", row_at(1, false));
    edit_end_untold(&edit);
    expect(f, 1, 0, "not those that were written last");
    edit = edit_begin(f);
    remove_state(&edit, "long ago");
    edit_end_untold(&edit);
    expect(f, 1, 0, "rows, and should have");
    assert_non_null(strstr(journal_fixture_open_fails(f, ERR_CORRUPT), "vigil verify"));
}

static void test_a_wrong_counter(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    edit.meta.bytes++;
    assert_int_equal(environment_meta_put(&edit.e, edit.txn, &edit.meta), 0);
    edit_end(&edit);
    expect(f, 1, HEAD, "the meta row says");
}

/* What follows from a damaged record is not told again. */
static void test_one_damaged_record_is_one_problem(void **state)
{
    struct journal_fixture *f = *state;
    struct edit edit = edit_begin(f);
    struct bytes record = sample_record(f, APPLIED, APPLIED - 2);
    f->buffer.data[record.size - 1] ^= 1;
    put_record(&edit, APPLIED, record);
    edit_end(&edit);
    expect(f, 1, APPLIED, "damaged");
}

static void test_a_directory_without_a_journal(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_verify_report report;
    assert_int_equal(journal_verify(f->parent, NULL, NULL, NULL, &report, &f->failure),
                     ERR_FOREIGN);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, journal_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_wrong),
        TEST(test_missing_records),
        TEST(test_a_missing_end),
        TEST(test_a_missing_beginning),
        TEST(test_a_record_in_the_wrong_place),
        TEST(test_a_broken_chain),
        TEST(test_a_stale_row),
        TEST(test_rows_may_be_ahead_of_applied),
        TEST(test_a_row_with_another_effect),
        TEST(test_a_row_of_another_keys_record),
        TEST(test_a_row_beyond_the_head),
        TEST(test_a_missing_row),
        TEST(test_a_row_that_contradicts_itself),
        TEST(test_a_row_under_another_key),
        TEST(test_a_missing_tombstone),
        TEST(test_a_row_that_no_record_tells_of),
        TEST(test_a_wrong_counter),
        TEST(test_one_damaged_record_is_one_problem),
        TEST(test_a_directory_without_a_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
