/*
 * Readers and the syncing thread beside the writer, also while failed commits
 * close and reopen the environment. Meant for ThreadSanitizer as well.
 *
 * ctest: TIMEOUT=120 PROCESSORS=2
 */
#define _GNU_SOURCE

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "tests/support/journal_fixture.h"
#include "tests/support/sample_bytes.h"

enum { BATCHES = 300, READERS = 2, FAIL_EVERY = 25 };

struct shared {
    struct journal *j;
    atomic_bool stop;
    atomic_int views; /* of all readers */
    atomic_int failures;
    char text[512]; /* of the first failure */
};

/* Assertions are for the main thread: cmocka jumps out of them. */
static void note_failure(struct shared *shared, const char *what)
{
    if (atomic_fetch_add(&shared->failures, 1) == 0)
        snprintf(shared->text, sizeof shared->text, "%s", what);
}

/* One view: its records are whole, its rows are from before its head. */
static int read_all(struct journal_reader *r, struct failure *failure)
{
    struct journal_view view;
    struct bytes record;
    struct bytes key;
    struct bytes none = {NULL, 0};
    struct state_row row;
    uint64_t seq = 0;
    int err = journal_reader_begin(r, &view, failure);
    if (err != ERR_OK)
        return err;
    uint64_t expected = view.oldest;
    err = journal_reader_seek(r, view.oldest, failure);
    while (err == ERR_OK && (err = journal_reader_next(r, &seq, &record, failure)) == ERR_OK)
        if (seq != expected++)
            err = failure_set(failure, ERR_INTERNAL, "seq %llu", (unsigned long long)seq);
    if (err == ERR_NOT_FOUND && expected != view.head + 1)
        err = failure_set(failure, ERR_INTERNAL, "ended before the head");
    if (err == ERR_NOT_FOUND)
        err = journal_reader_rows(r, none, none, failure);
    while (err == ERR_OK && (err = journal_reader_next_row(r, &key, &row, failure)) == ERR_OK)
        if (row.modified > view.applied)
            err = failure_set(failure, ERR_INTERNAL, "a row from beyond the view");
    journal_reader_end(r);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static void *read_views(void *context)
{
    struct shared *shared = context;
    struct journal_reader *r = NULL;
    struct failure failure = {0};
    if (journal_reader_open(shared->j, &r, &failure) != ERR_OK)
        note_failure(shared, failure.text);
    for (int i = 1; r && !atomic_load(&shared->stop); i++) {
        if (read_all(r, &failure) != ERR_OK) {
            note_failure(shared, failure.text);
            break;
        }
        atomic_fetch_add(&shared->views, 1);
        if (i % 10 == 0) { /* readers come and go */
            journal_reader_close(r);
            r = NULL;
            if (journal_reader_open(shared->j, &r, &failure) != ERR_OK)
                note_failure(shared, failure.text);
        }
    }
    journal_reader_close(r);
    return NULL;
}

static void *sync_on(void *context)
{
    struct shared *shared = context;
    struct failure failure = {0};
    while (!atomic_load(&shared->stop))
        if (journal_sync(shared->j, &failure) != ERR_OK)
            note_failure(shared, failure.text);
    return NULL;
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void commit_and_fail(struct journal_fixture *f)
{
    struct bytes value = bytes_of("\x01");
    uint64_t head = journal_fixture_status(f).head;
    assert_ok(journal_batch_begin(f->j, 1000, &f->failure), f);
    struct bytes record = journal_fixture_record(f, head + 1, bytes_of("k"), &value, 0);
    assert_ok(journal_batch_append(f->j, record, &f->failure), f);
    limit_file_size(8192);
    assert_int_not_equal(journal_batch_commit(f->j, &f->failure), ERR_OK);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(journal_fixture_status(f).head, head);
}

static void write_on(struct journal_fixture *f, struct shared *shared)
{
    for (int i = 1; i <= BATCHES || atomic_load(&shared->views) < 20; i++) {
        journal_fixture_append(f, 20);
        if (i % 5 == 0)
            journal_fixture_checkpoint(f);
        if (i % 7 == 0 && journal_fixture_status(f).head > 500)
            journal_fixture_compact(f, journal_fixture_status(f).head - 500, 100);
        if (i % FAIL_EVERY == 0)
            commit_and_fail(f);
        if (atomic_load(&shared->failures))
            return;
    }
}

static void test_readers_beside_the_writer(void **state)
{
    struct journal_fixture *f = *state;
    pthread_t threads[READERS + 1];
    struct shared shared = {0};
    f->options.durability = JOURNAL_PROCESS;
    journal_fixture_open(f);
    shared.j = f->j;
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_views, &shared), 0);
    assert_int_equal(pthread_create(&threads[READERS], NULL, sync_on, &shared), 0);
    write_on(f, &shared);
    atomic_store(&shared.stop, true);
    for (int i = 0; i <= READERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    if (atomic_load(&shared.failures))
        fail_msg("%s", shared.text);
    journal_fixture_check_records(f);
    journal_fixture_verify(f, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_readers_beside_the_writer, journal_fixture_setup,
                                        journal_fixture_teardown),
    };
    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
