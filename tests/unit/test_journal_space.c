/*
 * A full disk: a limit of the file's size, a small file system, a small map, and
 * a commit that fails.
 *
 * ctest: TIMEOUT=120
 */
#define _GNU_SOURCE

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/journal_fixture.h"
#include "tests/support/sample_bytes.h"

enum { BATCH = 200 };

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int setup(void **state)
{
    if (journal_fixture_setup(state) != 0)
        return -1;
    struct journal_fixture *f = *state;
    f->options.durability = JOURNAL_PROCESS; /* what matters here is the same in both, but faster */
    return 0;
}

static int teardown(void **state)
{
    limit_file_size(RLIM_INFINITY);
    return journal_fixture_teardown(state);
}

/* Appends batches of records with values of size bytes until there is no space. */
static void fill(struct journal_fixture *f, size_t size)
{
    uint8_t *data = malloc(size);
    assert_non_null(data);
    sample_fill(&(struct sample){3}, data, size);
    struct bytes value = {data, size};
    int err = ERR_OK;
    while (err == ERR_OK) {
        uint64_t head = journal_fixture_status(f).head;
        err = journal_batch_begin(f->j, BATCH * (size + 80), &f->failure);
        for (uint64_t i = 1; err == ERR_OK && i <= BATCH; i++) {
            struct bytes record =
                journal_fixture_record(f, head + i, bytes_of("k"), &value, head + i - 1);
            err = journal_batch_append(f->j, record, &f->failure);
        }
        if (err == ERR_OK) {
            err = journal_batch_commit(f->j, &f->failure);
            assert_int_equal(err, ERR_OK); /* fullness shows before the commit */
        } else {
            journal_batch_abort(f->j);
            assert_int_equal(journal_fixture_status(f).head, head);
        }
    }
    assert_int_equal(err, ERR_NO_SPACE);
    free(data);
}

static void checkpoint_one_key(struct journal_fixture *f)
{
    uint64_t head = journal_fixture_status(f).head;
    struct journal_reader *r = NULL;
    struct journal_view view;
    struct bytes record;
    assert_ok(journal_reader_open(f->j, &r, &f->failure), f);
    assert_ok(journal_reader_begin(r, &view, &f->failure), f);
    assert_ok(journal_reader_get(r, head, &record, &f->failure), f);
    struct state_row row = {.created = 1, .modified = head, .version = head};
    row.value = (struct bytes){record.data + 48 + 20 + 1, record.size - 48 - 20 - 1};
    assert_ok(journal_batch_begin(f->j, 0, &f->failure), f);
    assert_ok(journal_batch_put_row(f->j, bytes_of("k"), &row, &f->failure), f);
    assert_ok(journal_batch_set_applied(f->j, head, &f->failure), f);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
    journal_reader_close(r);
}

/* Full, compacted, filled again: several times, and with a restart in between. */
static void fill_and_compact(struct journal_fixture *f, size_t size)
{
    uint64_t appended[4] = {0};
    journal_fixture_open(f);
    for (int round = 0; round < 4; round++) {
        uint64_t head = journal_fixture_status(f).head;
        fill(f, size);
        appended[round] = journal_fixture_status(f).head - head;
        assert_true(appended[round] >= BATCH);
        checkpoint_one_key(f);
        journal_fixture_compact(f, journal_fixture_status(f).head - 10, 500);
        if (round == 1)
            journal_fixture_verify(f, 0);
    }
    /* What compaction gave back is nearly all there was. */
    assert_true(appended[2] > appended[0] / 2);
    assert_true(appended[3] > appended[0] / 2);
    journal_fixture_verify(f, 0);
}

static void test_a_limit_of_the_file_size(void **state)
{
    struct journal_fixture *f = *state;
    limit_file_size(12 << 20);
    fill_and_compact(f, 100);
}

static void test_a_limit_with_large_records(void **state)
{
    struct journal_fixture *f = *state;
    limit_file_size(40 << 20);
    fill_and_compact(f, 9000);
}

/* What one commit freed is there for the very next batch. */
static void test_freed_pages_are_there_at_once(void **state)
{
    struct journal_fixture *f = *state;
    bool more = true;
    bool blocked = false;
    struct bytes value = bytes_of("\x01");
    limit_file_size(12 << 20);
    journal_fixture_open(f);
    fill(f, 100);
    checkpoint_one_key(f);
    fill(f, 100);
    assert_ok(journal_batch_begin(f->j, 0, &f->failure), f);
    assert_ok(journal_batch_compact(f->j, 1000, NULL, 0, 1000, &more, &blocked, &f->failure), f);
    assert_false(more);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
    uint64_t head = journal_fixture_status(f).head;
    assert_ok(journal_batch_begin(f->j, (uint64_t)BATCH * 180, &f->failure), f);
    struct bytes record = journal_fixture_record(f, head + 1, bytes_of("k"), &value, head);
    assert_ok(journal_batch_append(f->j, record, &f->failure), f);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
    journal_fixture_verify(f, 0);
}

/* One page of records, then one of a row, and so on: what compaction frees lies scattered, and a
 * large record finds no neighbours in it. */
static void test_scattered_pages(void **state)
{
    struct journal_fixture *f = *state;
    uint8_t data[3000] = {0xc5, 0x0b, 0xb5};
    struct bytes value = {data, sizeof data};
    limit_file_size(12 << 20);
    journal_fixture_open(f);
    int err = ERR_OK;
    while (err == ERR_OK) {
        uint64_t head = journal_fixture_status(f).head;
        err = journal_batch_begin(f->j, 24 * 170 + sizeof data, &f->failure);
        for (uint64_t i = 1; err == ERR_OK && i <= 24; i++) {
            char key[64];
            unsigned long long number = head + i;
            snprintf(key, sizeof key, "%060llu", number);
            struct bytes one = bytes_of("\x01");
            struct bytes record = journal_fixture_record(f, head + i, bytes_of(key), &one, 0);
            struct state_row row = {
                .created = head + i, .modified = head + i, .version = 1, .value = value};
            err = journal_batch_append(f->j, record, &f->failure);
            if (err == ERR_OK && i == 24)
                err = journal_batch_put_row(f->j, bytes_of(key), &row, &f->failure);
        }
        if (err == ERR_OK)
            assert_ok(journal_batch_set_applied(f->j, head + 24, &f->failure), f);
        if (err == ERR_OK)
            assert_ok(journal_batch_commit(f->j, &f->failure), f);
    }
    journal_batch_abort(f->j);
    assert_int_equal(err, ERR_NO_SPACE);
    journal_fixture_compact(f, journal_fixture_status(f).head, 500);
    fill(f, 30000); /* asserts that no commit fails */
    fill(f, 100);
    journal_fixture_compact(f, 0, 500);
}

/* Pages that an open view still needs are not counted as free. */
static void test_a_full_disk_and_an_open_view(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_reader *r = NULL;
    struct journal_view view;
    struct bytes record;
    limit_file_size(12 << 20);
    journal_fixture_open(f);
    fill(f, 100);
    checkpoint_one_key(f);
    assert_ok(journal_reader_open(f->j, &r, &f->failure), f);
    assert_ok(journal_reader_begin(r, &view, &f->failure), f);
    uint64_t before = journal_fixture_status(f).head;
    journal_fixture_compact(f, before / 4, UINT32_MAX);
    fill(f, 100); /* asserts that no commit fails */
    assert_true(journal_fixture_status(f).head < before + 5 * BATCH);
    assert_ok(journal_reader_get(r, 1, &record, &f->failure), f);
    journal_reader_close(r);
    fill(f, 100);
    assert_true(journal_fixture_status(f).head > before + 10 * BATCH);
    journal_fixture_verify(f, 0);
}

static void test_a_limit_that_is_there_at_the_start(void **state)
{
    struct journal_fixture *f = *state;
    limit_file_size(4096);
    journal_fixture_open_fails(f, ERR_NO_SPACE);
    limit_file_size(RLIM_INFINITY);
    journal_fixture_open(f); /* nothing was left behind */
    journal_fixture_append(f, 10);
    journal_fixture_check_records(f);
}

static void test_a_small_map(void **state)
{
    struct journal_fixture *f = *state;
    f->options.map_size_bytes = 8 << 20;
    fill_and_compact(f, 100);
}

static void test_a_small_file_system(void **state)
{
    struct journal_fixture *f = *state;
    /* In a mount namespace of our own: it is gone with this process, whatever happens. */
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        print_message("needs the right to mount: skipped\n");
        skip();
    }
    assert_int_equal(mkdir(f->directory, 0700), 0);
    assert_int_equal(mount("tmpfs", f->directory, "tmpfs", 0, "size=32m"), 0);
    f->options.allocate_bytes = 0; /* 64 MiB and 16 MiB: they have to shrink */
    f->options.reserve_bytes = 0;
    journal_fixture_open(f);
    assert_true(journal_fixture_status(f).allocated_bytes < 8 << 20);
    journal_fixture_close(f);
    fill_and_compact(f, 200);
    struct journal_status s = journal_fixture_status(f);
    assert_true(s.allocated_bytes > 28 << 20);
    journal_fixture_close(f);

    assert_int_equal(mount(NULL, f->directory, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    journal_fixture_open_fails(f, ERR_ACCESS);
    journal_fixture_verify(f, 0);
    assert_int_equal(umount2(f->directory, MNT_DETACH), 0);
}

static void test_a_batch_too_large_for_any_disk(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    assert_int_equal(journal_batch_begin(f->j, UINT64_MAX, &f->failure), ERR_NO_SPACE);
    assert_int_equal(journal_batch_begin(f->j, UINT64_MAX / 8, &f->failure), ERR_NO_SPACE);
    journal_fixture_append(f, 10);
}

/* More is put than was announced: the room is asked for on the way. */
static void test_a_batch_that_was_announced_too_small(void **state)
{
    struct journal_fixture *f = *state;
    uint8_t data[4000] = {0};
    struct bytes value = {data, sizeof data};
    journal_fixture_open(f);
    limit_file_size(12 << 20);
    assert_ok(journal_batch_begin(f->j, 1, &f->failure), f);
    int err = ERR_OK;
    uint64_t n = 0;
    while (err == ERR_OK && n < 5000) {
        char key[16];
        snprintf(key, sizeof key, "%llu", (unsigned long long)++n);
        struct state_row row = {.created = 1, .modified = 1, .version = 1, .value = value};
        err = journal_batch_put_row(f->j, bytes_of(key), &row, &f->failure);
    }
    assert_int_equal(err, ERR_NO_SPACE);
    assert_true(n > 500);
    assert_int_equal(journal_batch_commit(f->j, &f->failure), ERR_NO_SPACE);
    limit_file_size(RLIM_INFINITY);
    journal_fixture_append(f, 10);
    journal_fixture_check_records(f);
    journal_fixture_verify(f, 0);
}

/* The room was promised, and then writing to it fails. */
static void test_a_commit_that_fails(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_reader *r = NULL;
    struct journal_view view;
    struct bytes value = bytes_of("\x01");
    struct bytes record;
    struct state_row row;
    f->options.allocate_bytes = 8 << 20;
    f->options.durability = JOURNAL_POWER;
    journal_fixture_open(f);
    journal_fixture_append(f, 10); /* the redo log stays below the limit */
    assert_ok(journal_reader_open(f->j, &r, &f->failure), f);
    assert_ok(journal_reader_begin(r, &view, &f->failure), f);
    journal_reader_end(r);
    for (int round = 0; round < 3; round++) {
        struct journal_status before = journal_fixture_status(f);
        assert_ok(journal_view_begin(f->j, &f->failure), f);
        assert_ok(journal_batch_begin(f->j, 1000, &f->failure), f);
        record = journal_fixture_record(f, before.head + 1, bytes_of("k"), &value, 0);
        assert_ok(journal_batch_append(f->j, record, &f->failure), f);
        limit_file_size(8192);
        int err = journal_batch_commit(f->j, &f->failure);
        assert_true(err == ERR_NO_SPACE || err == ERR_IO);
        limit_file_size(RLIM_INFINITY);
        struct journal_status after = journal_fixture_status(f);
        assert_memory_equal(&before, &after, offsetof(struct journal_status, file_bytes));
        /* The view ended with the environment; that is no accident for its owner. */
        assert_int_equal(journal_state_get(f->j, bytes_of("k"), &row), ERR_INTERNAL);
        journal_view_end(f->j);
        assert_ok(journal_reader_begin(r, &view, &f->failure), f);
        assert_int_equal(view.head, before.head);
        assert_ok(journal_reader_get(r, view.head, &record, &f->failure), f);
        journal_reader_end(r);
        journal_fixture_append(f, 5);
        journal_fixture_check_records(f);
    }
    journal_reader_close(r);
    journal_fixture_verify(f, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_limit_of_the_file_size),
        TEST(test_a_limit_with_large_records),
        TEST(test_freed_pages_are_there_at_once),
        TEST(test_scattered_pages),
        TEST(test_a_full_disk_and_an_open_view),
        TEST(test_a_limit_that_is_there_at_the_start),
        TEST(test_a_small_map),
        TEST(test_a_small_file_system),
        TEST(test_a_batch_too_large_for_any_disk),
        TEST(test_a_batch_that_was_announced_too_small),
        TEST(test_a_commit_that_fails),
    };
    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
