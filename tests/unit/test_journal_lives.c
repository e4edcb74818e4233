/*
 * Rows of lives in the journal: put, replaced, deleted, walked in order; damaged
 * ones found, the others kept by a rebuild; journals that were made before there
 * were any; and the example in docs/journal-format.md.
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
    assert_ok(journal_batch_put_life(f->j, bytes_of(name), bytes_of(row), &f->failure), f);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
}

/* Walks the lives; each must be the next of names, with this row. NULL: damaged. */
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
        int err = journal_reader_life(reader, name, &name, &row, &f->failure);
        assert_int_equal(err, rows[i] ? ERR_OK : ERR_CORRUPT);
        assert_true(bytes_equal(name, bytes_of(names[i])));
        if (rows[i])
            assert_true(bytes_equal(row, bytes_of(rows[i])));
    }
    assert_int_equal(journal_reader_life(reader, name, &name, &row, &f->failure), ERR_NOT_FOUND);
    journal_reader_end(reader);
    journal_reader_close(reader);
}

static void test_put_replace_delete(void **state)
{
    struct journal_fixture *f = *state;
    char longest[JOURNAL_LIFE_NAME_SIZE + 2];
    memset(longest, 'z', sizeof longest);
    longest[JOURNAL_LIFE_NAME_SIZE] = '\0';
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
    longest[JOURNAL_LIFE_NAME_SIZE] = 'z';
    assert_ok(journal_batch_begin(f->j, 10, &f->failure), f);
    assert_int_equal(
        journal_batch_put_life(f->j, (struct bytes){(uint8_t *)longest, JOURNAL_LIFE_NAME_SIZE + 1},
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
    assert_ok(journal_batch_put_life(f->j, bytes_of("a"), bytes_of("after"), &f->failure), f);
    assert_ok(journal_batch_put_life(f->j, bytes_of("b"), bytes_of("after"), &f->failure), f);
    journal_batch_abort(f->j);
    expect(f, 1, (const char *[]){"a"}, (const char *[]){"before"});
    assert_int_equal(journal_batch_put_life(f->j, bytes_of("a"), bytes_of("x"), &f->failure),
                     ERR_INTERNAL);
}

static void put_three(struct journal_fixture *f)
{
    put(f, "a", "one life's row");
    put(f, "b", "a row that will be damaged");
    put(f, "c", "another life's row");
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
           (const char *[]){"one life's row", NULL, "another life's row"});
    assert_non_null(strstr(f->failure.text, "no further life"));
    journal_fixture_verify(f, 1);
    journal_fixture_close(f);
    struct journal_verify_report report;
    assert_ok(journal_verify(f->directory, NULL, NULL, NULL, &report, &f->failure), f);
    assert_int_equal(report.lives, 3);
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
           (const char *[]){"one life's row", "another life's row"});
    journal_fixture_check_records(f);
    journal_fixture_verify(f, 0);
}

/* A journal without the database gets it at its next start; verify does not need it. */
static void test_journal_without_lives(void **state)
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
    assert_true(e.has_lives);
    assert_int_equal(mdb_txn_begin(e.lmdb, NULL, 0, &txn), 0);
    assert_int_equal(mdb_drop(txn, e.lives, 1), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    environment_close(&e);

    struct journal_verify_report report;
    assert_ok(journal_verify(f->directory, NULL, NULL, NULL, &report, &f->failure), f);
    assert_int_equal(report.problems, 0);
    assert_int_equal(report.lives, 0);
    journal_fixture_open(f);
    journal_fixture_check_records(f);
    put(f, "a", "row");
    expect(f, 1, (const char *[]){"a"}, (const char *[]){"row"});
}

/* The rows of the document, each under its key, are what the core takes, and what it would write. */
static void test_the_documents_example(void **state)
{
    (void)state;
    static const char boot[BOOT_ID_SIZE] = "9c0b6a1e-2f4d-4c58-8b1e-6a57d0c1f3e2";
    static const size_t sizes[][2] = {{1, 64}, {9, 12}, {5, 40}}; /* key, row */
    uint8_t block[256];
    size_t size =
        document_block(TEST_SOURCE_DIR, "docs/journal-format.md", "life-rows", block, sizeof block);
    struct core_fixture *f = malloc(sizeof *f);
    assert_non_null(f);
    core_fixture_open(f, 1, NULL);
    size_t at = 0;
    for (size_t i = 0; i < 3; i++) {
        struct bytes name = {block + at, sizes[i][0]};
        struct bytes stored = {block + at + name.size, sizes[i][1]};
        struct bytes row;
        assert_int_equal(life_decode(name, stored, &row), ERR_OK);
        assert_int_equal(core_restore_life(f->core, name, row), ERR_OK);
        at += name.size + stored.size;
    }
    assert_int_equal(at, size);
    /* Two minutes later in the same boot: the lease has its ten seconds again. */
    core_life_start(f->core, boot, 180000);
    assert_int_equal(core_life_wait_ms(f->core, 180000), 10001);
    struct core_figures figures;
    core_figures(f->core, &figures);
    assert_int_equal(figures.lives, 1);
    assert_int_equal(figures.leases, 1);
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
        TEST(test_journal_without_lives),
        cmocka_unit_test(test_the_documents_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
