/*
 * A journal out of a backup: the state at its last record, whatever way rows and
 * records came; nothing at all out of one that is damaged or contradicts itself.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/environment.h"
#include "protocol/backup_file.h"
#include "protocol/errors.h"
#include "protocol/message.h"
#include "protocol/record.h"
#include "tests/support/journal_fixture.h"
#include "tests/support/sample_bytes.h"

#define EPOCH UINT64_C(0x0123456789abcdef)

/* ---- a backup, written step by step ---- */

static struct {
    struct wire_buffer bytes;
    struct backup_tally tally;
    size_t begin;
    uint32_t count;
    size_t taken; /* by the reader */
    unsigned asked;
    unsigned stop_at; /* go_on says no at this call; 0: never */
} b;

static void backup_begin(uint64_t first)
{
    wire_buffer_free(&b.bytes);
    memset(&b, 0, sizeof b);
    wire_buffer_init(&b.bytes, 64 << 20);
    backup_write_header(&b.bytes, &(struct backup_header){.epoch = EPOCH, .first = first},
                        &b.tally);
}

static void chunk_begin(enum backup_kind kind)
{
    b.begin = backup_chunk_begin(&b.bytes, kind);
    b.count = 0;
}

static void chunk_end(void)
{
    struct backup_chunk chunk;
    struct failure failure = {0};
    backup_chunk_end(&b.bytes, b.begin, b.count);
    if (backup_tally_chunk(&b.tally, (struct bytes){b.bytes.data + b.begin, b.bytes.size - b.begin},
                           &chunk, &failure) != ERR_OK)
        fail_msg("%s", failure.text);
}

static void row(const char *key, uint64_t created, uint64_t modified, uint64_t version,
                struct bytes value)
{
    list_row_write(&b.bytes, &(struct list_row){.key = bytes_of(key),
                                                .created = created,
                                                .modified = modified,
                                                .version = version,
                                                .value = value});
    b.count++;
}

/* The next record: puts value under key, or without one deletes it. */
static void record(const char *key, const char *value, uint64_t prev_seq)
{
    struct record_writer w;
    uint64_t seq = b.tally.summary.head + b.count + 1;
    record_begin(&w, &b.bytes, seq, seq * 1000, 0, 0);
    record_add(&w, &(struct change){.op = value ? CHANGE_PUT : CHANGE_DELETE,
                                    .prev_seq = prev_seq,
                                    .key = bytes_of(key),
                                    .value = value ? bytes_of(value) : (struct bytes){0}});
    assert_true(record_end(&w) > 0);
    b.count++;
}

static int read_bytes(void *context, uint8_t *out, size_t size, size_t *ret_size,
                      struct failure *failure)
{
    (void)context;
    (void)failure;
    size_t left = b.bytes.size - b.taken;
    *ret_size = size < left ? size : left;
    memcpy(out, b.bytes.data + b.taken, *ret_size);
    b.taken += *ret_size;
    return ERR_OK;
}

static bool go_on(void *context)
{
    (void)context;
    return ++b.asked != b.stop_at;
}

static int restore(struct journal_fixture *f, uint64_t *ret_keys)
{
    struct backup_reader reader = {.read = read_bytes, .name = "the backup"};
    struct journal_restoring how = {.backup = &reader, .go_on = go_on};
    b.taken = 0;
    b.asked = 0;
    f->failure = (struct failure){0};
    int err = backup_reader_open(&reader, &f->failure);
    if (err == ERR_OK)
        err = journal_restore(&f->options, &how, ret_keys, &f->failure);
    backup_reader_free(&reader);
    return err;
}

static void assert_state(struct journal_fixture *f, const char *key, uint64_t created,
                         uint64_t modified, uint64_t version, const char *value)
{
    struct state_row found;
    assert_int_equal(journal_state_get(f->j, bytes_of(key), &found), ERR_OK);
    assert_int_equal(found.created, created);
    assert_int_equal(found.modified, modified);
    assert_int_equal(found.version, version);
    assert_int_equal(found.deleted, value == NULL);
    if (value)
        assert_true(bytes_equal(found.value, bytes_of(value)));
}

static void assert_nothing_made(struct journal_fixture *f)
{
    assert_int_not_equal(access(f->directory, F_OK), 0);
}

/* ---- tests ---- */

/* Records 11..19 on keys in every state that a page of rows can have caught them in. */
static void sample(void)
{
    backup_begin(11);
    chunk_begin(BACKUP_RECORDS);
    record("caught", "\x01", 4);  /* 11: the row is newer */
    record("caught", "\x02", 11); /* 12: the row's */
    record("gone", "\x03", 2);    /* 13: no row, since 14 deleted it */
    record("gone", NULL, 13);     /* 14 */
    record("made", "\x05", 0);    /* 15: no checkpoint had it */
    chunk_end();
    chunk_begin(BACKUP_ROWS);
    row("caught", 3, 12, 5, bytes_of("\x02"));
    row("old", 1, 1, 1, bytes_of("\xa1x"));
    chunk_end();
    chunk_begin(BACKUP_RECORDS);
    record("old", "\x06", 1);   /* 16: the row is older */
    record("made", NULL, 15);   /* 17 */
    record("made", "\x08", 17); /* 18: another life */
    record("caught", NULL, 12); /* 19 */
    chunk_end();
    chunk_begin(BACKUP_ROWS);
    row("z", 9, 9, 1, bytes_of("\x0a"));
    chunk_end();
    backup_write_end(&b.bytes, &b.tally, 11);
}

static void test_state_at_head(void **state)
{
    struct journal_fixture *f = *state;
    uint64_t keys = 0;
    sample();
    f->options.epoch = EPOCH; /* is the backup's: another one is taken */
    assert_ok(restore(f, &keys), f);
    assert_int_equal(keys, 3);
    journal_fixture_open(f);
    struct journal_status s = journal_fixture_status(f);
    assert_true(s.epoch != EPOCH && s.epoch != 0);
    assert_int_equal(s.head, 19);
    assert_int_equal(s.oldest, 11);
    assert_int_equal(s.applied, 19);
    assert_false(s.recovered);
    assert_ok(journal_view_begin(f->j, &f->failure), f);
    assert_state(f, "caught", 0, 19, 0, NULL);
    assert_state(f, "gone", 0, 14, 0, NULL);
    assert_state(f, "made", 18, 18, 1, "\x08");
    assert_state(f, "old", 1, 16, 2, "\x06");
    assert_state(f, "z", 9, 9, 1, "\x0a");
    journal_view_end(f->j);
    journal_fixture_verify(f, 0);
}

/* While the backup was made, compaction passed the deletion at 2, and the key's next change did not
 * know of it any more. */
static void test_compacted_meanwhile(void **state)
{
    struct journal_fixture *f = *state;
    uint64_t keys = 0;
    backup_begin(1);
    chunk_begin(BACKUP_RECORDS);
    record("a", "\x01", 0);
    record("a", NULL, 1);
    record("b", "\x01", 0);
    record("a", "\x02", 0);
    chunk_end();
    backup_write_end(&b.bytes, &b.tally, 3);
    assert_ok(restore(f, &keys), f);
    assert_int_equal(keys, 2);
    journal_fixture_open(f);
    assert_int_equal(journal_fixture_status(f).oldest, 3);
    journal_fixture_verify(f, 0);
    journal_fixture_compact(f, 0, 100);
    journal_fixture_verify(f, 0);
    /* But not where it was still there. */
    journal_fixture_teardown(state);
    assert_int_equal(journal_fixture_setup(state), 0);
    f = *state;
    wire_buffer_clear(&b.bytes);
    backup_begin(1);
    chunk_begin(BACKUP_RECORDS);
    record("a", "\x01", 0);
    record("a", NULL, 1);
    record("a", "\x02", 0);
    chunk_end();
    backup_write_end(&b.bytes, &b.tally, 2);
    assert_int_equal(restore(f, &keys), ERR_CORRUPT);
    assert_non_null(strstr(f->failure.text, "record 3 does not fit"));
    assert_nothing_made(f);
}

static void test_nothing_in_it(void **state)
{
    struct journal_fixture *f = *state;
    uint64_t keys = 1;
    backup_begin(1);
    backup_write_end(&b.bytes, &b.tally, 1);
    assert_ok(restore(f, &keys), f);
    assert_int_equal(keys, 0);
    journal_fixture_open(f);
    assert_int_equal(journal_fixture_status(f).head, 0);
    journal_fixture_append(f, 3);
    journal_fixture_verify(f, 0);
}

/* Each: rows and records whose checksums are right, and that cannot be of one journal. */
static void test_contradictions(void **state)
{
    struct journal_fixture *f = *state;
    uint64_t keys = 0;
    for (int i = 0; i < 5; i++) {
        backup_begin(5);
        chunk_begin(BACKUP_RECORDS);
        record("k", i == 0 ? NULL : "\x01", 3);
        record("other", "\x01", i == 1 ? 5 : 0);
        record("k", "\x02", i == 2 ? 4 : 5);
        chunk_end();
        chunk_begin(BACKUP_ROWS);
        if (i == 0 || i == 3)
            row("k", 3, 5, 2, bytes_of(i == 3 ? "\x09" : "\x01")); /* not what the record says */
        else
            row("k", 3, i == 4 ? 4 : 3, 1, bytes_of("\x07"));
        chunk_end();
        backup_write_end(&b.bytes, &b.tally, 5);
        if (restore(f, &keys) != ERR_CORRUPT)
            fail_msg("case %d is taken", i);
        assert_non_null(strstr(f->failure.text, "the backup contradicts itself"));
        assert_nothing_made(f);
    }
}

static void test_damage_at_the_end(void **state)
{
    struct journal_fixture *f = *state;
    uint64_t keys = 0;
    sample();
    b.bytes.data[b.bytes.size - 1] ^= 1;
    assert_int_equal(restore(f, &keys), ERR_CORRUPT);
    assert_nothing_made(f);
    /* In a folder of somebody else's making the lock file may stay, and nothing else. */
    assert_int_equal(mkdir(f->directory, 0700), 0);
    assert_int_equal(restore(f, &keys), ERR_CORRUPT);
    char path[256];
    journal_fixture_path(f, DATA_NAME_RESTORE, path, sizeof path);
    assert_int_not_equal(access(path, F_OK), 0);
    b.bytes.data[b.bytes.size - 1] ^= 1;
    assert_ok(restore(f, &keys), f);
    journal_fixture_verify(f, 0);
}

static void touch(struct journal_fixture *f, const char *name)
{
    char path[256];
    journal_fixture_path(f, name, path, sizeof path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs("left by somebody\n", file);
    (void)fclose(file);
}

static void test_what_is_there_already(void **state)
{
    struct journal_fixture *f = *state;
    uint64_t keys = 0;
    sample();
    journal_fixture_open(f);
    journal_fixture_append(f, 5);
    assert_int_equal(restore(f, &keys), ERR_INVALID); /* also while it is in use */
    journal_fixture_close(f);
    assert_int_equal(restore(f, &keys), ERR_INVALID);
    assert_non_null(strstr(f->failure.text, "holds a journal already"));
    journal_fixture_open(f);
    journal_fixture_check_records(f);
}

static void test_somebody_elses_files(void **state)
{
    struct journal_fixture *f = *state;
    uint64_t keys = 0;
    char path[256];
    sample();
    assert_int_equal(mkdir(f->directory, 0700), 0);
    touch(f, "notes.txt");
    assert_int_equal(restore(f, &keys), ERR_FOREIGN);
    assert_non_null(strstr(f->failure.text, "notes.txt"));
    journal_fixture_path(f, "vigil.lock", path, sizeof path);
    assert_int_not_equal(access(path, F_OK), 0); /* nothing was written into it */
}

/* No start takes what a killed restore left for an empty directory; the next restore does. */
static void test_after_a_killed_restore(void **state)
{
    struct journal_fixture *f = *state;
    uint64_t keys = 0;
    sample();
    assert_int_equal(mkdir(f->directory, 0700), 0);
    touch(f, DATA_NAME_RESTORE);
    touch(f, MARK_NAME); /* of a journal whose data file is gone */
    assert_non_null(strstr(journal_fixture_open_fails(f, ERR_FOREIGN), "restore"));
    assert_ok(restore(f, &keys), f);
    journal_fixture_open(f);
    assert_false(journal_fixture_status(f).new_epoch);
    assert_int_equal(journal_fixture_status(f).head, 19);
    journal_fixture_verify(f, 0);
}

static void large(void)
{
    enum { RECORDS = 40 };
    char *value = calloc(1, (1 << 20) + 8);
    assert_non_null(value);
    memset(value, 0x2a, 1 << 20);
    memcpy(value, "\xdb\x00\x0f\xff\x01", 5); /* text of 1 MiB but 255 */
    value[5 + 0xfff01] = '\0';
    backup_begin(1);
    for (uint64_t i = 1; i <= RECORDS; i++) {
        struct record_writer w;
        chunk_begin(BACKUP_RECORDS);
        record_begin(&w, &b.bytes, i, i, 0, 0);
        record_add(&w, &(struct change){.op = CHANGE_PUT,
                                        .prev_seq = i - 1,
                                        .key = bytes_of("k"),
                                        .value = {(const uint8_t *)value, 5 + 0xfff01}});
        assert_true(record_end(&w) > 0);
        b.count = 1;
        chunk_end();
    }
    backup_write_end(&b.bytes, &b.tally, 1);
    free(value);
}

/* Over several transactions; stopped between any two of them. */
static void test_stopped(void **state)
{
    struct journal_fixture *f = *state;
    uint64_t keys = 0;
    large();
    assert_ok(restore(f, &keys), f);
    unsigned times = b.asked;
    assert_true(times >= 3);
    journal_fixture_verify(f, 0);
    for (unsigned i = 1; i <= times; i++) {
        journal_fixture_teardown(state);
        assert_int_equal(journal_fixture_setup(state), 0);
        f = *state;
        b.stop_at = i;
        assert_int_equal(restore(f, &keys), ERR_INTERRUPTED);
        assert_nothing_made(f);
    }
}

static int free_backup(void **state)
{
    (void)state;
    wire_buffer_free(&b.bytes);
    return 0;
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, journal_fixture_setup, journal_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_state_at_head),
        TEST(test_compacted_meanwhile),
        TEST(test_nothing_in_it),
        TEST(test_contradictions),
        TEST(test_damage_at_the_end),
        TEST(test_what_is_there_already),
        TEST(test_somebody_elses_files),
        TEST(test_after_a_killed_restore),
        TEST(test_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, free_backup);
}
