/*
 * Rows of sessions in the journal: put, replaced, deleted, walked; damaged ones
 * found; journals that were made before there were any; and the example in
 * docs/journal-format.md.
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
#include "server/core/session.h"
#include "tests/support/document_block.h"
#include "tests/support/journal_fixture.h"
#include "tests/support/sample_bytes.h"

static void put(struct journal_fixture *f, uint64_t session, struct bytes row)
{
    assert_ok(journal_batch_begin(f->j, row.size, &f->failure), f);
    assert_ok(journal_batch_put_session(f->j, session, row, &f->failure), f);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
}

/* Walks the sessions; each must be the next of expected, with this row. NULL: damaged. */
static void expect(struct journal_fixture *f, size_t count, const uint64_t *sessions,
                   const char *const *rows)
{
    struct journal_reader *reader = NULL;
    struct journal_view view;
    uint64_t next = 1;
    assert_ok(journal_reader_open(f->j, &reader, &f->failure), f);
    assert_ok(journal_reader_begin(reader, &view, &f->failure), f);
    for (size_t i = 0; i < count; i++) {
        uint64_t session = 0;
        struct bytes row;
        int err = journal_reader_session(reader, next, &session, &row, &f->failure);
        assert_int_equal(err, rows[i] ? ERR_OK : ERR_CORRUPT);
        assert_true(session == sessions[i]);
        if (rows[i])
            assert_true(bytes_equal(row, bytes_of(rows[i])));
        next = session + 1;
    }
    if (next != 0) {
        uint64_t session;
        struct bytes row;
        assert_int_equal(journal_reader_session(reader, next, &session, &row, &f->failure),
                         ERR_NOT_FOUND);
    }
    journal_reader_end(reader);
    journal_reader_close(reader);
}

static void test_put_replace_delete(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    expect(f, 0, NULL, NULL);
    put(f, 256, bytes_of("middle"));
    put(f, UINT64_MAX, bytes_of("last"));
    put(f, 1, bytes_of("first"));
    expect(f, 3, (uint64_t[]){1, 256, UINT64_MAX}, (const char *[]){"first", "middle", "last"});
    put(f, 256, bytes_of("another, longer than before"));
    put(f, 1, (struct bytes){NULL, 0});
    put(f, 77, (struct bytes){NULL, 0}); /* there is none */
    for (unsigned round = 0; round < 2; round++) {
        expect(f, 2, (uint64_t[]){256, UINT64_MAX},
               (const char *[]){"another, longer than before", "last"});
        journal_fixture_close(f);
        journal_fixture_open(f);
    }
}

static void test_abort(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    put(f, 5, bytes_of("before"));
    assert_ok(journal_batch_begin(f->j, 100, &f->failure), f);
    assert_ok(journal_batch_put_session(f->j, 5, bytes_of("after"), &f->failure), f);
    assert_ok(journal_batch_put_session(f->j, 6, bytes_of("after"), &f->failure), f);
    journal_batch_abort(f->j);
    expect(f, 1, (uint64_t[]){5}, (const char *[]){"before"});
    assert_int_equal(journal_batch_put_session(f->j, 5, bytes_of("x"), &f->failure), ERR_INTERNAL);
}

static void test_large_rows(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    char *large = malloc((1 << 20) + 1);
    assert_non_null(large);
    memset(large, 'r', 1 << 20);
    large[1 << 20] = '\0';
    put(f, 9, bytes_of(large));
    put(f, 10, bytes_of("small"));
    expect(f, 2, (uint64_t[]){9, 10}, (const char *[]){large, "small"});
    large[1 << 19] = '\0';
    put(f, 9, bytes_of(large));
    expect(f, 2, (uint64_t[]){9, 10}, (const char *[]){large, "small"});
    free(large);
}

/* The others are known all the same, and verify tells. */
static void test_damage(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    put(f, 5, bytes_of("one session's row"));
    put(f, 6, bytes_of("a row that will be damaged"));
    put(f, 7, bytes_of("another session's row"));
    journal_fixture_close(f);
    journal_fixture_damage(f, "a row that will be damaged", 3);
    journal_fixture_open(f);
    expect(f, 3, (uint64_t[]){5, 6, 7},
           (const char *[]){"one session's row", NULL, "another session's row"});
    journal_fixture_verify(f, 1);
}

/* A journal without the database gets it at its next start; verify does not need it. */
static void test_journal_without_sessions(void **state)
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
    assert_true(e.has_sessions);
    assert_int_equal(mdb_txn_begin(e.lmdb, NULL, 0, &txn), 0);
    assert_int_equal(mdb_drop(txn, e.sessions, 1), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    environment_close(&e);

    struct journal_verify_report report;
    assert_ok(journal_verify(f->directory, NULL, NULL, NULL, &report, &f->failure), f);
    assert_int_equal(report.problems, 0);
    assert_int_equal(report.sessions, 0);
    journal_fixture_open(f);
    journal_fixture_check_records(f);
    put(f, 5, bytes_of("row"));
    expect(f, 1, (uint64_t[]){5}, (const char *[]){"row"});
}

/* ---- the document ---- */

static void test_the_documents_example(void **state)
{
    (void)state;
    uint8_t block[256];
    size_t size = document_block(TEST_SOURCE_DIR, "docs/journal-format.md", "session-row", block,
                                 sizeof block);
    struct bytes key = {block, SEQ_KEY_SIZE};
    uint64_t id;
    struct bytes row;
    assert_int_equal(
        session_decode(key, (struct bytes){block + SEQ_KEY_SIZE, size - SEQ_KEY_SIZE}, &id, &row),
        ERR_OK);
    assert_true(id == UINT64_C(0x40c3a97e11d205b8));

    struct session_table t = {0};
    struct session *s;
    struct wire_buffer written;
    assert_int_equal(session_add(&t, id, 0, &s), ERR_OK);
    assert_int_equal(session_row_decode(&t, s, row), ERR_OK);
    assert_int_equal(s->last, 7);
    assert_int_equal(s->acknowledged, 6);
    const struct outcome *o = outcomes_find(&s->outcomes, 7);
    assert_non_null(o);
    assert_int_equal(o->seq, 46);
    wire_buffer_init(&written, 1024);
    session_row_encode(s, &written);
    assert_true(bytes_equal(row, (struct bytes){written.data, written.size}));
    wire_buffer_free(&written);
    session_table_free(&t);
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, journal_fixture_setup, journal_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_put_replace_delete),
        TEST(test_abort),
        TEST(test_large_rows),
        TEST(test_damage),
        TEST(test_journal_without_sessions),
        cmocka_unit_test(test_the_documents_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
