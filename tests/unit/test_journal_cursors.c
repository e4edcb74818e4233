/*
 * Rows of named cursors in the journal: put, replaced, deleted, walked in order;
 * damaged ones found, the others kept by a rebuild; journals that were made before
 * there were any; and the example in docs/journal-format.md.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "journal/environment.h"
#include "protocol/errors.h"
#include "tests/support/core_fixture.h"
#include "tests/support/document_block.h"
#include "tests/support/journal_fixture.h"
#include "tests/support/sample_bytes.h"

static void put(struct journal_fixture *f, const char *name, const char *row)
{
    assert_ok(journal_batch_begin(f->j, strlen(row), &f->failure), f);
    assert_ok(journal_batch_put_cursor(f->j, bytes_of(name), bytes_of(row), &f->failure), f);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
}

/* Walks the cursors; each must be the next of names, with this row. NULL: damaged. */
static void expect(struct journal_fixture *f, size_t count, const char *const *names,
                   const char *const *rows)
{
    struct journal_reader *reader = NULL;
    struct journal_view view;
    struct bytes name = {NULL, 0};
    struct bytes row;
    assert_ok(journal_reader_open(f->j, &reader, &f->failure), f);
    assert_ok(journal_reader_begin(reader, &view, &f->failure), f);
    for (size_t i = 0; i < count; i++) {
        int err = journal_reader_cursor(reader, name, &name, &row, &f->failure);
        assert_int_equal(err, rows[i] ? ERR_OK : ERR_CORRUPT);
        assert_true(bytes_equal(name, bytes_of(names[i])));
        if (rows[i])
            assert_true(bytes_equal(row, bytes_of(rows[i])));
    }
    assert_int_equal(journal_reader_cursor(reader, name, &name, &row, &f->failure), ERR_NOT_FOUND);
    journal_reader_end(reader);
    journal_reader_close(reader);
}

static void test_put_replace_delete(void **state)
{
    struct journal_fixture *f = *state;
    char longest[LIMIT_CURSOR_NAME + 2];
    memset(longest, 'z', sizeof longest);
    longest[LIMIT_CURSOR_NAME] = '\0';
    journal_fixture_open(f);
    expect(f, 0, NULL, NULL);
    put(f, "b", "middle");
    put(f, longest, "last");
    put(f, "a", "first");
    put(f, "aa", "second");
    expect(f, 4, (const char *[]){"a", "aa", "b", longest},
           (const char *[]){"first", "second", "middle", "last"});
    put(f, "b", "another, longer than before");
    put(f, "a", "");
    put(f, "c", ""); /* there is none */
    for (unsigned round = 0; round < 2; round++) {
        expect(f, 3, (const char *[]){"aa", "b", longest},
               (const char *[]){"second", "another, longer than before", "last"});
        journal_fixture_verify(f, 0);
    }
    longest[LIMIT_CURSOR_NAME] = 'z';
    assert_ok(journal_batch_begin(f->j, 10, &f->failure), f);
    assert_int_equal(
        journal_batch_put_cursor(f->j, (struct bytes){(uint8_t *)longest, LIMIT_CURSOR_NAME + 1},
                                 bytes_of("row"), &f->failure),
        ERR_INTERNAL);
    journal_batch_abort(f->j);
}

static void test_abort(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    put(f, "a", "before");
    assert_ok(journal_batch_begin(f->j, 100, &f->failure), f);
    assert_ok(journal_batch_put_cursor(f->j, bytes_of("a"), bytes_of("after"), &f->failure), f);
    assert_ok(journal_batch_put_cursor(f->j, bytes_of("b"), bytes_of("after"), &f->failure), f);
    journal_batch_abort(f->j);
    expect(f, 1, (const char *[]){"a"}, (const char *[]){"before"});
    assert_int_equal(journal_batch_put_cursor(f->j, bytes_of("a"), bytes_of("x"), &f->failure),
                     ERR_INTERNAL);
}

static void put_three(struct journal_fixture *f)
{
    put(f, "a", "one cursor's row");
    put(f, "b", "a row that will be damaged");
    put(f, "c", "another cursor's row");
    journal_fixture_append(f, 10);
}

/* The others are known all the same, and verify tells. */
static void test_damage(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    put_three(f);
    journal_fixture_close(f);
    journal_fixture_damage(f, "a row that will be damaged", 3);
    journal_fixture_open(f);
    expect(f, 3, (const char *[]){"a", "b", "c"},
           (const char *[]){"one cursor's row", NULL, "another cursor's row"});
    assert_non_null(strstr(f->failure.text, "no further cursor"));
    journal_fixture_verify(f, 1);
    journal_fixture_close(f);
    struct journal_verify_report report;
    assert_ok(journal_verify(f->directory, NULL, NULL, NULL, &report, &f->failure), f);
    assert_int_equal(report.cursors, 3);
}

static void test_rebuild_keeps_what_can_be_read(void **state)
{
    struct journal_fixture *f = *state;
    char path[FIXTURE_PATH_SIZE + 16];
    journal_fixture_open(f);
    put_three(f);
    journal_fixture_close(f);
    journal_fixture_damage(f, "a row that will be damaged", 3);
    journal_fixture_path(f, "running", path, sizeof path);
    FILE *mark = fopen(path, "w");
    assert_non_null(mark);
    assert_true(fputs("process another boot\n", mark) >= 0);
    assert_int_equal(fclose(mark), 0);
    f->options.epoch = 0xe2;
    journal_fixture_open(f);
    assert_true(journal_fixture_status(f).new_epoch);
    expect(f, 2, (const char *[]){"a", "c"},
           (const char *[]){"one cursor's row", "another cursor's row"});
    journal_fixture_check_records(f);
    journal_fixture_verify(f, 0);
}

/* A journal without the database gets it at its next start; verify does not need it. */
static void test_journal_without_cursors(void **state)
{
    struct journal_fixture *f = *state;
    struct environment e = {0};
    struct meta m;
    MDB_txn *txn = NULL;
    journal_fixture_open(f);
    journal_fixture_append(f, 3);
    journal_fixture_close(f);
    assert_ok(environment_open(&e, f->directory, 0, UINT64_C(1) << 30, &f->failure), f);
    assert_ok(environment_load(&e, f->directory, &m, &f->failure), f);
    assert_true(e.has_cursors);
    assert_int_equal(mdb_txn_begin(e.lmdb, NULL, 0, &txn), 0);
    assert_int_equal(mdb_drop(txn, e.cursors, 1), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    environment_close(&e);

    struct journal_verify_report report;
    assert_ok(journal_verify(f->directory, NULL, NULL, NULL, &report, &f->failure), f);
    assert_int_equal(report.problems, 0);
    assert_int_equal(report.cursors, 0);
    journal_fixture_open(f);
    journal_fixture_check_records(f);
    put(f, "a", "row");
    expect(f, 1, (const char *[]){"a"}, (const char *[]){"row"});
}

static void test_the_documents_example(void **state)
{
    (void)state;
    uint8_t block[256];
    size_t size = document_block(TEST_SOURCE_DIR, "docs/journal-format.md", "cursor-row", block,
                                 sizeof block);
    struct bytes name = {block, 7};
    struct bytes row;
    assert_int_equal(cursor_decode(name, (struct bytes){block + name.size, size - name.size}, &row),
                     ERR_OK);
    assert_true(bytes_equal(name, bytes_of("billing")));

    struct core_fixture *f = malloc(sizeof *f);
    assert_non_null(f);
    core_fixture_open(f, 1, NULL);
    assert_int_equal(core_restore_cursor(f->core, name, row), ERR_OK);
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_CURSOR_LIST);
    request_cursor_list_write(&f->message, &(struct request_cursor_list){{NULL, 0}, 0});
    request_finish(f);
    struct parsed_reply reply = core_fixture_ask(f, "p");
    struct reply_cursor_list body;
    struct cursor_row listed;
    assert_true(reply_cursor_list_read(&reply.body, &body));
    struct wire_reader r = wire_reader_of(body.rows.data, body.rows.size);
    assert_true(cursor_row_read(&r, &listed));
    assert_true(bytes_equal(listed.name, name));
    assert_true(listed.epoch == UINT64_C(0x5d3f0c9a7e214b68));
    assert_int_equal(listed.position, 44);
    assert_int_equal(listed.holder, 3);
    assert_true(listed.created_us == UINT64_C(1700000000000000));
    assert_true(listed.moved_us == listed.created_us + 5);
    core_fixture_close(f);
    free(f);
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, journal_fixture_setup, journal_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_put_replace_delete),
        TEST(test_abort),
        TEST(test_damage),
        TEST(test_rebuild_keeps_what_can_be_read),
        TEST(test_journal_without_cursors),
        cmocka_unit_test(test_the_documents_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
