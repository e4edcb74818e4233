/*
 * The redo log: a run in power mode that was killed, or ended with a power loss, goes on with all
 * that was committed; a log that is damaged is refused.
 *
 * A power loss is made here by putting back data.mdb as it was when the log was begun: of all that
 * came later nothing has reached the disk. (tests/powerloss does that at every step, and in part.)
 *
 * ctest: WRAP=journal_boot_id,pwrite,fdatasync TIMEOUT=120
 */
#define _GNU_SOURCE

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/environment.h"
#include "tests/support/journal_fixture.h"
#include "tests/support/sample_bytes.h"

enum { SMALL_LOG = 16 << 10, BATCH = 20, PATH_ROOM = FIXTURE_PATH_SIZE + 32 };

/* ---- another boot of the machine ---- */

static const char *boot = "first boot";

void __wrap_journal_boot_id(char out[BOOT_ID_SIZE]);

void __wrap_journal_boot_id(char out[BOOT_ID_SIZE])
{
    memset(out, 0, BOOT_ID_SIZE);
    memcpy(out, boot, strlen(boot));
}

/* ---- a disk that is full, or fails (LMDB, a library of its own, does not notice) ---- */

static struct {
    uint64_t end; /* writes beyond it find no room; 0: there is room */
    int pwrites;  /* the one after so many fails with EIO; 0: none */
    int syncs;
} disk;

ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

static bool is_due(int *countdown)
{
    return *countdown > 0 && --*countdown == 0;
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    bool full = disk.end > 0 && (uint64_t)offset + size > disk.end;
    bool fails = is_due(&disk.pwrites);
    if (full || fails) {
        errno = fails ? EIO : ENOSPC;
        return -1;
    }
    return __real_pwrite(fd, data, size, offset);
}

int __wrap_fdatasync(int fd)
{
    if (is_due(&disk.syncs)) {
        errno = EIO;
        return -1;
    }
    return __real_fdatasync(fd);
}

static int setup(void **state)
{
    boot = "first boot";
    memset(&disk, 0, sizeof disk);
    return journal_fixture_setup(state);
}

/* ---- files ---- */

struct path {
    char text[PATH_ROOM];
};

static struct path path_of(const struct journal_fixture *f, const char *name)
{
    struct path p = {{0}};
    journal_fixture_path(f, name, p.text, sizeof p.text);
    return p;
}

static bool has_file(const struct journal_fixture *f, const char *name)
{
    return access(path_of(f, name).text, F_OK) == 0;
}

static struct path segment_path(const struct journal_fixture *f, unsigned segment)
{
    char name[16];
    snprintf(name, sizeof name, "redo.%u", segment);
    return path_of(f, name);
}

static void copy_file(struct path from, struct path to)
{
    static uint8_t block[1 << 16];
    FILE *in = fopen(from.text, "rb");
    FILE *out = fopen(to.text, "wb");
    assert_non_null(in);
    assert_non_null(out);
    for (size_t n; (n = fread(block, 1, sizeof block, in)) > 0;)
        assert_int_equal(fwrite(block, 1, n, out), n);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

static void rename_file(struct path from, struct path to)
{
    assert_int_equal(rename(from.text, to.text), 0);
}

static void read_at(struct path p, uint64_t offset, void *out, size_t size)
{
    int fd = open(p.text, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, out, size, (off_t)offset), size);
    close(fd);
}

static void write_at(struct path p, uint64_t offset, const void *data, size_t size)
{
    int fd = open(p.text, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, size, (off_t)offset), size);
    close(fd);
}

static void flip(struct path p, uint64_t offset)
{
    uint8_t byte;
    read_at(p, offset, &byte, 1);
    byte = (uint8_t)~byte;
    write_at(p, offset, &byte, 1);
}

static struct redo_base base_of(const struct journal_fixture *f, unsigned segment)
{
    struct redo_base base = {0};
    int fd = open(segment_path(f, segment).text, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(redo_base_read(fd, &base), ERR_OK);
    close(fd);
    return base;
}

/* Where entry i of the segment begins, if its first is number 0. */
static uint64_t entry_at(const struct journal_fixture *f, unsigned segment, unsigned i)
{
    uint8_t header[REDO_ENTRY_HEADER_SIZE];
    uint64_t at = REDO_ENTRIES_AT;
    for (; i > 0; i--) {
        read_at(segment_path(f, segment), at, header, sizeof header);
        at += redo_entry_size(wire_load_u32(header + 32));
    }
    return at;
}

/* ---- runs that die ---- */

static struct path kept_path(const struct journal_fixture *f)
{
    struct path p = {{0}};
    snprintf(p.text, sizeof p.text, "%s/base.mdb", f->parent);
    return p;
}

/* data.mdb as it will be after a power loss: as it was soon after its base. */
static void keep_base(const struct journal_fixture *f)
{
    static uint64_t kept;
    const struct redo *r = &f->j->redo;
    uint64_t generation = r->active ? base_of(f, r->base_segment).generation : 0;
    if (generation == kept)
        return;
    copy_file(path_of(f, "data.mdb"), kept_path(f));
    kept = generation;
}

static void lose_power(struct journal_fixture *f)
{
    boot = "second boot";
    f->options.epoch = 0xE2;
    rename_file(kept_path(f), path_of(f, "data.mdb"));
}

/* What is kept of sessions, cursors and lives after so many batches: those of the last three, the
 * newest row, those of the last. */
static void put_kept(struct journal_fixture *f, uint64_t n)
{
    char name[32];
    char row[32];
    struct bytes none = {NULL, 0};
    snprintf(row, sizeof row, "row of batch %llu", (unsigned long long)n);
    assert_ok(journal_batch_begin(f->j, 1000, &f->failure), f);
    assert_ok(journal_batch_put_session(f->j, n, bytes_of(row), &f->failure), f);
    if (n > 3)
        assert_ok(journal_batch_put_session(f->j, n - 3, none, &f->failure), f);
    assert_ok(journal_batch_put_cursor(f->j, bytes_of("billing"), bytes_of(row), &f->failure), f);
    snprintf(name, sizeof name, "life %llu", (unsigned long long)n);
    assert_ok(journal_batch_put_life(f->j, bytes_of(name), bytes_of(row), &f->failure), f);
    snprintf(name, sizeof name, "life %llu", (unsigned long long)n - 1);
    assert_ok(journal_batch_put_life(f->j, bytes_of(name), none, &f->failure), f);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
}

static void check_kept(struct journal_fixture *f, uint64_t n)
{
    struct journal_reader *r = NULL;
    struct journal_view view;
    struct bytes none = {NULL, 0};
    struct bytes name;
    struct bytes row;
    uint64_t session = 0;
    char text[32];
    assert_ok(journal_reader_open(f->j, &r, &f->failure), f);
    assert_ok(journal_reader_begin(r, &view, &f->failure), f);
    for (uint64_t i = n - 2; i <= n; i++) {
        snprintf(text, sizeof text, "row of batch %llu", (unsigned long long)i);
        assert_ok(journal_reader_session(r, session + 1, &session, &row, &f->failure), f);
        assert_int_equal(session, i);
        assert_true(bytes_equal(row, bytes_of(text)));
    }
    assert_int_equal(journal_reader_session(r, n + 1, &session, &row, &f->failure), ERR_NOT_FOUND);
    assert_ok(journal_reader_cursor(r, none, &name, &row, &f->failure), f);
    assert_true(bytes_equal(row, bytes_of(text)));
    assert_ok(journal_reader_life(r, none, &name, &row, &f->failure), f);
    assert_true(bytes_equal(row, bytes_of(text)));
    assert_int_equal(journal_reader_life(r, name, &name, &row, &f->failure), ERR_NOT_FOUND);
    journal_reader_end(r);
    journal_reader_close(r);
}

static struct {
    unsigned batches;
    unsigned sync_every; /* 0: never */
    bool ends_pending;
} run;

/* One that is given up, with an item of each kind. */
static void abort_batch(struct journal_fixture *f)
{
    uint64_t seq = journal_fixture_status(f).head + 1;
    struct bytes value = bytes_of("\x01");
    assert_ok(journal_batch_begin(f->j, 1000, &f->failure), f);
    assert_ok(journal_batch_append(f->j, journal_fixture_record(f, seq, bytes_of("k"), &value, 0),
                                   &f->failure),
              f);
    assert_ok(journal_batch_put_session(f->j, 77, bytes_of("given up"), &f->failure), f);
    assert_ok(journal_batch_put_cursor(f->j, bytes_of("a"), bytes_of("given up"), &f->failure), f);
    assert_ok(journal_batch_put_life(f->j, bytes_of("a"), bytes_of("given up"), &f->failure), f);
    journal_batch_abort(f->j);
}

/* What run_and_die compacts up to. */
static uint64_t oldest_after(unsigned batches)
{
    unsigned compacted = batches / 20 * 20;
    return compacted == 0 ? 1 : compacted / 7 * 7 * BATCH - 30;
}

static void run_and_die(struct journal_fixture *f)
{
    journal_fixture_open(f);
    assert_true(f->j->redo.active);
    keep_base(f);
    for (unsigned n = 1; n <= run.batches; n++) {
        journal_fixture_append(f, BATCH);
        put_kept(f, n);
        abort_batch(f);
        if (n % 7 == 0)
            journal_fixture_checkpoint(f);
        if (n % 20 == 0)
            journal_fixture_compact(f, journal_fixture_status(f).applied - 30, 50);
        if (run.sync_every && n % run.sync_every == 0)
            assert_ok(journal_sync(f->j, &f->failure), f);
        keep_base(f);
    }
    const struct redo *r = &f->j->redo;
    if (run.ends_pending) {
        assert_true(journal_sync_due(f->j));
        assert_true(r->segment != r->base_segment && r->at > REDO_ENTRIES_AT);
    }
}

static void check_recovered(struct journal_fixture *f)
{
    struct journal_status s = journal_fixture_status(f);
    assert_true(s.recovered);
    assert_false(s.new_epoch);
    assert_true(s.epoch == 0xE1);
    assert_int_equal(s.head, run.batches * BATCH);
    assert_int_equal(s.oldest, oldest_after(run.batches));
    journal_fixture_check_records(f);
    check_kept(f, run.batches);
    journal_fixture_verify(f, 0);
    assert_false(journal_fixture_status(f).recovered);
    journal_fixture_append(f, 5);
    journal_fixture_check_records(f);
}

/* After a kill, and after a power loss. */
static void check_both(struct journal_fixture *f, bool power_loss)
{
    journal_fixture_in_child(run_and_die, f);
    assert_true(has_file(f, "redo.0") && has_file(f, "redo.1"));
    if (power_loss)
        lose_power(f);
    journal_fixture_open(f);
    check_recovered(f);
    journal_fixture_close(f);
    assert_false(has_file(f, "redo.0") || has_file(f, "redo.1"));
}

static void test_a_killed_run(void **state)
{
    run.batches = 25;
    check_both(*state, false);
}

static void test_a_power_loss(void **state)
{
    run.batches = 25;
    check_both(*state, true);
}

static void test_many_segments(void **state)
{
    struct journal_fixture *f = *state;
    char *directory = f->directory;
    unsigned i = 0;
    f->options.redo_bytes = SMALL_LOG;
    run.batches = 80;
    for (unsigned sync_every = 0; sync_every <= 4; sync_every += 2) {
        for (int power_loss = 0; power_loss < 2; power_loss++) {
            snprintf(directory, sizeof f->directory, "%s/%u", f->parent, i++);
            boot = "first boot";
            f->options.epoch = 0xE1;
            run.sync_every = sync_every;
            check_both(f, power_loss);
        }
    }
    run.sync_every = 0;
}

/* Entries in both segments, and a base that is not there yet. */
static void test_a_pending_base(void **state)
{
    struct journal_fixture *f = *state;
    f->options.redo_bytes = SMALL_LOG;
    run.ends_pending = true;
    run.batches = 12;
    check_both(f, true);
    run.ends_pending = false;
}

/* ---- what a log cannot say ---- */

static void append_ten_and_die(struct journal_fixture *f)
{
    journal_fixture_open(f);
    keep_base(f);
    for (int i = 0; i < 10; i++)
        journal_fixture_append(f, BATCH);
}

static void make_log(struct journal_fixture *f, bool power_loss)
{
    journal_fixture_in_child(append_ten_and_die, f);
    if (power_loss)
        lose_power(f);
}

/* Two segments with bases and entries, the newest base without its last entries. */
static void make_long_log(struct journal_fixture *f)
{
    f->options.redo_bytes = SMALL_LOG;
    run.batches = 40;
    run.sync_every = 2;
    journal_fixture_in_child(run_and_die, f);
    run.sync_every = 0;
    lose_power(f);
}

static void refused(struct journal_fixture *f, const char *text)
{
    for (int i = 0; i < 2; i++) { /* and nothing is changed */
        const char *failure = journal_fixture_open_fails(f, ERR_CORRUPT);
        if (!strstr(failure, text) || !strstr(failure, "backup"))
            fail_msg("not '%s': %s", text, failure);
    }
    assert_true(has_file(f, "data.mdb"));
}

static void test_a_torn_entry(void **state)
{
    struct journal_fixture *f = *state;
    make_log(f, true);
    flip(segment_path(f, 0), entry_at(f, 0, 9) + 100);
    journal_fixture_open(f);
    assert_int_equal(journal_fixture_status(f).head, 9 * BATCH);
    assert_true(journal_fixture_status(f).epoch == 0xE1);
    journal_fixture_append(f, BATCH);
    journal_fixture_check_records(f);
    journal_fixture_verify(f, 0);
}

static void test_an_entry_that_was_not_torn(void **state)
{
    struct journal_fixture *f = *state;
    make_log(f, false); /* no power was lost */
    flip(segment_path(f, 0), entry_at(f, 0, 9) + 100);
    refused(f, "its end is gone");
}

static void test_damage_before_the_end(void **state)
{
    struct journal_fixture *f = *state;
    const unsigned places[] = {0, 5, 9, 20, 30, 33, 37, 41, 100, 500};
    make_log(f, true);
    for (unsigned i = 0; i < 9; i++) {
        uint64_t at = entry_at(f, 0, i) + places[i];
        flip(segment_path(f, 0), at);
        refused(f, "an entry before others");
        flip(segment_path(f, 0), at);
    }
    journal_fixture_open(f);
    assert_int_equal(journal_fixture_status(f).head, 10 * BATCH);
}

/* The last entries of the older segment, where the newer one goes on. */
static void test_an_end_before_the_other_segment(void **state)
{
    struct journal_fixture *f = *state;
    f->options.redo_bytes = SMALL_LOG;
    run.ends_pending = true;
    run.batches = 12;
    journal_fixture_in_child(run_and_die, f);
    run.ends_pending = false;
    lose_power(f);
    unsigned older = base_of(f, 1).generation > base_of(f, 0).generation;
    uint64_t last = REDO_ENTRIES_AT;
    uint8_t header[REDO_ENTRY_HEADER_SIZE];
    for (unsigned i = 0;; i++) {
        uint64_t at = entry_at(f, older, i);
        read_at(segment_path(f, older), at, header, sizeof header);
        if (wire_load_u64(header + 16) != base_of(f, older).generation)
            break;
        last = at;
    }
    assert_true(last > REDO_ENTRIES_AT);
    flip(segment_path(f, older), last + 50);
    refused(f, "an entry before others");
}

static void test_damaged_bases(void **state)
{
    struct journal_fixture *f = *state;
    static const uint8_t zeros[REDO_BASE_SIZE];
    uint8_t good[REDO_BASE_SIZE];
    make_long_log(f);
    for (unsigned i = 0; i < 2; i++) {
        struct path p = segment_path(f, i);
        read_at(p, 0, good, sizeof good);
        for (unsigned at = 0; at < 416; at += 17) {
            flip(p, at);
            refused(f, "a base");
            flip(p, at);
        }
        write_at(p, 0, zeros, sizeof zeros);
        refused(f, "a base is gone");
        write_at(p, 0, good, sizeof good);
    }
    journal_fixture_open(f);
    check_recovered(f);
}

static void test_a_new_log_without_its_base(void **state)
{
    struct journal_fixture *f = *state;
    static const uint8_t zeros[REDO_BASE_SIZE];
    make_log(f, true);
    write_at(segment_path(f, 0), 0, zeros, sizeof zeros);
    refused(f, "a base is gone");
}

static void test_segments_that_are_gone(void **state)
{
    struct journal_fixture *f = *state;
    struct path aside;
    snprintf(aside.text, sizeof aside.text, "%s/aside", f->parent);
    make_long_log(f);
    for (unsigned i = 0; i < 2; i++) {
        rename_file(segment_path(f, i), aside);
        refused(f, "a segment is gone");
        rename_file(aside, segment_path(f, i));
        copy_file(segment_path(f, i), aside);
        assert_int_equal(truncate(segment_path(f, i).text, 40000), 0);
        refused(f, "a segment is cut off");
        assert_int_equal(truncate(segment_path(f, i).text, 300), 0);
        refused(f, "a base");
        rename_file(aside, segment_path(f, i));
    }
    journal_fixture_open(f);
    check_recovered(f);
}

static void test_the_first_segment_of_a_new_log_is_gone(void **state)
{
    struct journal_fixture *f = *state;
    make_log(f, true);
    assert_int_equal(unlink(segment_path(f, 0).text), 0);
    refused(f, "a base is gone");
}

/* Which name a segment has says nothing. */
static void test_segments_that_changed_places(void **state)
{
    struct journal_fixture *f = *state;
    struct path aside;
    snprintf(aside.text, sizeof aside.text, "%s/aside", f->parent);
    make_long_log(f);
    rename_file(segment_path(f, 0), aside);
    rename_file(segment_path(f, 1), segment_path(f, 0));
    rename_file(aside, segment_path(f, 1));
    struct redo_base bases[] = {base_of(f, 0), base_of(f, 1)};
    assert_true(bases[0].sizes[0] == bases[0].sizes[1] && bases[1].sizes[0] == bases[1].sizes[1]);
    journal_fixture_open(f);
    check_recovered(f);
}

static void test_segments_of_different_logs(void **state)
{
    struct journal_fixture *f = *state;
    struct path aside;
    snprintf(aside.text, sizeof aside.text, "%s/aside", f->parent);
    make_long_log(f);
    copy_file(segment_path(f, 1), aside);
    journal_fixture_open(f);
    check_recovered(f);
    journal_fixture_close(f);
    boot = "first boot";
    f->options.epoch = 0xE1;
    snprintf(f->directory, sizeof f->directory, "%s/other", f->parent);
    make_long_log(f);
    struct path own = segment_path(f, 1);
    rename_file(aside, own);
    refused(f, "do not belong together");
    copy_file(segment_path(f, 0), own);
    refused(f, "do not belong together");
}

/* Entries of an earlier generation are nothing, wherever they stand. */
static void test_old_entries(void **state)
{
    struct journal_fixture *f = *state;
    make_long_log(f);
    struct redo_base older = base_of(f, 0);
    struct redo_base newer = base_of(f, 1);
    unsigned base_segment = newer.generation > older.generation;
    uint8_t entry[REDO_ENTRY_HEADER_SIZE];
    read_at(segment_path(f, 1 - base_segment), REDO_ENTRIES_AT, entry, sizeof entry);
    assert_true(wire_load_u64(entry + 16) < base_of(f, base_segment).generation);
    assert_true(wire_load_u64(entry + 16) > 0);
    flip(segment_path(f, 1 - base_segment), REDO_ENTRIES_AT + 100);
    journal_fixture_open(f);
    check_recovered(f);
}

/* ---- modes ---- */

static void append_and_die(struct journal_fixture *f)
{
    journal_fixture_open(f);
    journal_fixture_append(f, BATCH);
    journal_fixture_append(f, BATCH);
}

static void test_changes_of_the_mode(void **state)
{
    struct journal_fixture *f = *state;
    static const enum journal_durability modes[] = {JOURNAL_POWER, JOURNAL_PROCESS, JOURNAL_POWER,
                                                    JOURNAL_POWER, JOURNAL_PROCESS};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        bool power = modes[i] == JOURNAL_POWER;
        f->options.durability = modes[i];
        journal_fixture_in_child(append_and_die, f);
        assert_true(has_file(f, "redo.0") == power && has_file(f, "running") == !power);
    }
    f->options.durability = JOURNAL_POWER;
    journal_fixture_open(f);
    struct journal_status s = journal_fixture_status(f);
    assert_true(s.recovered && !s.new_epoch && s.head == 10 * BATCH);
    journal_fixture_check_records(f);
    journal_fixture_verify(f, 0);
    journal_fixture_close(f);
    assert_false(has_file(f, "redo.0") || has_file(f, "redo.1") || has_file(f, "running"));
}

static void test_process_mode_after_a_power_loss(void **state)
{
    struct journal_fixture *f = *state;
    make_log(f, true);
    f->options.durability = JOURNAL_PROCESS;
    journal_fixture_open(f);
    assert_false(journal_fixture_status(f).new_epoch || has_file(f, "redo.0"));
    assert_int_equal(journal_fixture_status(f).head, 10 * BATCH);
    journal_fixture_check_records(f);
}

/* What is not synced is not a base: a copy without the log is noticed. */
static void test_a_copy_without_the_log(void **state)
{
    struct journal_fixture *f = *state;
    make_log(f, false);
    boot = "second boot";
    f->options.epoch = 0xE2;
    assert_int_equal(unlink(segment_path(f, 0).text), 0);
    assert_int_equal(unlink(segment_path(f, 1).text), 0);
    journal_fixture_open(f);
    assert_true(journal_fixture_status(f).new_epoch);
    journal_fixture_check_records(f);
}

/* ---- full disks, and broken ones ---- */

static int append_large(struct journal_fixture *f)
{
    static uint8_t large[200 << 10];
    struct bytes value = {large, sizeof large};
    uint64_t seq = journal_fixture_status(f).head + 1;
    sample_fill(&(struct sample){5}, large, sizeof large);
    assert_ok(journal_batch_begin(f->j, sizeof large + 1000, &f->failure), f);
    assert_ok(journal_batch_append(
                  f->j, journal_fixture_record(f, seq, bytes_of("large"), &value, 0), &f->failure),
              f);
    return journal_batch_commit(f->j, &f->failure);
}

static void fill_and_die(struct journal_fixture *f)
{
    journal_fixture_open(f);
    disk.end = 128 << 10;
    for (int i = 0; i < 100; i++) /* more than both segments hold */
        journal_fixture_append(f, BATCH);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(append_large(f), ERR_NO_SPACE);
        assert_int_equal(journal_fixture_status(f).head, (100 + i) * BATCH);
        journal_fixture_append(f, BATCH);
    }
    journal_fixture_check_records(f);
    disk.end = 0;
    assert_int_equal(append_large(f), ERR_OK);
}

static void test_a_full_disk(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_in_child(fill_and_die, f);
    journal_fixture_open(f);
    assert_int_equal(journal_fixture_status(f).head, 102 * BATCH + 1);
    journal_fixture_verify(f, 0);
}

static void test_a_full_disk_at_the_start(void **state)
{
    struct journal_fixture *f = *state;
    unsigned flags = MDB_NOSYNC;
    disk.end = 32 << 10;
    journal_fixture_open(f);
    assert_false(f->j->redo.active || has_file(f, "redo.0") || has_file(f, "redo.0.new"));
    assert_int_equal(mdb_env_get_flags(f->j->environment.lmdb, &flags), 0);
    assert_false(flags & MDB_NOSYNC);
    journal_fixture_append(f, BATCH);
    assert_false(journal_sync_due(f->j));
    assert_ok(journal_sync(f->j, &f->failure), f);
    journal_fixture_verify(f, 0);
    disk.end = 0;
    journal_fixture_close(f);
    journal_fixture_open(f);
    assert_true(f->j->redo.active);
    journal_fixture_check_records(f);
}

/* A row that no segment has room for, in a batch of what makes room. */
static int put_large_session(struct journal_fixture *f)
{
    static uint8_t large[200 << 10];
    sample_fill(&(struct sample){7}, large, sizeof large);
    assert_ok(journal_batch_begin(f->j, 0, &f->failure), f);
    assert_ok(journal_batch_put_session(f->j, 1, (struct bytes){large, sizeof large}, &f->failure),
              f);
    return journal_batch_commit(f->j, &f->failure);
}

static bool lmdb_syncs(const struct journal_fixture *f)
{
    unsigned flags = MDB_NOSYNC;
    assert_int_equal(mdb_env_get_flags(f->j->environment.lmdb, &flags), 0);
    return (flags & MDB_NOSYNC) == 0;
}

static void outgrow_the_log(struct journal_fixture *f)
{
    journal_fixture_open(f);
    journal_fixture_append(f, BATCH);
    disk.end = 128 << 10;
    assert_int_equal(append_large(f), ERR_NO_SPACE); /* no reason to do without a log */
    journal_fixture_append(f, BATCH);
    assert_ok(journal_batch_begin(f->j, 0, &f->failure), f);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
    assert_true(f->j->redo.active);
    assert_int_equal(put_large_session(f), ERR_NO_SPACE);
    assert_int_equal(put_large_session(f), ERR_OK);
    assert_false(f->j->redo.active || has_file(f, "redo.0") || has_file(f, "redo.1"));
    assert_true(lmdb_syncs(f));
    assert_false(journal_sync_due(f->j));
    assert_ok(journal_sync(f->j, &f->failure), f);
    journal_fixture_append(f, BATCH);
}

static void check_large_session(struct journal_fixture *f, uint64_t head)
{
    struct journal_reader *r = NULL;
    struct journal_view view;
    struct bytes row;
    uint64_t session = 0;
    struct journal_status s = journal_fixture_status(f);
    assert_true(s.recovered && !s.new_epoch);
    assert_int_equal(s.head, head);
    journal_fixture_check_records(f);
    assert_ok(journal_reader_open(f->j, &r, &f->failure), f);
    assert_ok(journal_reader_begin(r, &view, &f->failure), f);
    assert_ok(journal_reader_session(r, 1, &session, &row, &f->failure), f);
    assert_int_equal(row.size, 200 << 10);
    journal_reader_close(r);
    journal_fixture_verify(f, 0);
}

/* What makes room never waits for room in the log; what was committed without one stays. */
static void test_a_log_too_small_for_what_makes_room(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_in_child(outgrow_the_log, f);
    boot = "second boot";
    disk.end = 0;
    journal_fixture_open(f);
    check_large_session(f, 3 * BATCH);
}

static void outgrow_the_log_and_go_on(struct journal_fixture *f)
{
    outgrow_the_log(f);
    disk.end = 32 << 10; /* nor is there room for a new one */
    f->j->redo.again_at = f->j->batches;
    journal_fixture_append(f, 1);
    assert_true(f->j->redo.again_at > f->j->batches);
    assert_false(f->j->redo.active || has_file(f, "redo.0") || has_file(f, "redo.0.new"));
    disk.end = 0;
    for (int i = 0; i < 300 && !f->j->redo.active; i++)
        journal_fixture_append(f, 1);
    assert_true(f->j->redo.active && has_file(f, "redo.0") && has_file(f, "redo.1"));
    assert_false(lmdb_syncs(f));
    copy_file(path_of(f, "data.mdb"), kept_path(f));
    while (journal_fixture_status(f).head < 500)
        journal_fixture_append(f, 1);
}

/* A log is begun again when there is room for one. */
static void test_a_log_after_none(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_in_child(outgrow_the_log_and_go_on, f);
    disk.end = 0;
    lose_power(f);
    journal_fixture_open(f);
    check_large_session(f, 500);
}

/* The write or the sync of an entry fails: it is gone for good, also if it has reached the disk. */
static void fail_and_die(struct journal_fixture *f)
{
    journal_fixture_open(f);
    keep_base(f);
    for (uint64_t i = 0; i < 20; i++) {
        journal_fixture_append(f, BATCH);
        disk.syncs = i % 2;
        disk.pwrites = 1 - i % 2;
        uint64_t seq = journal_fixture_status(f).head + 1;
        struct bytes value = bytes_of("\x01");
        struct bytes record = journal_fixture_record(f, seq, bytes_of("k"), &value, 0);
        assert_ok(journal_batch_begin(f->j, 1000, &f->failure), f);
        assert_ok(journal_batch_append(f->j, record, &f->failure), f);
        assert_int_equal(journal_batch_commit(f->j, &f->failure), ERR_IO);
        assert_int_equal(journal_fixture_status(f).head, seq - 1);
        journal_fixture_check_records(f);
        keep_base(f);
    }
}

static void test_entries_that_cannot_be_written(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_in_child(fail_and_die, f);
    lose_power(f);
    journal_fixture_open(f);
    assert_int_equal(journal_fixture_status(f).head, 20 * BATCH);
    journal_fixture_check_records(f);
    journal_fixture_verify(f, 0);
}

/* Not even the base that makes it void can be written. */
static void test_a_broken_disk(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    journal_fixture_append(f, BATCH);
    assert_ok(journal_batch_begin(f->j, 1000, &f->failure), f);
    assert_ok(journal_batch_put_cursor(f->j, bytes_of("c"), bytes_of("row"), &f->failure), f);
    disk.end = 1;
    assert_int_equal(journal_batch_commit(f->j, &f->failure), ERR_IO);
    assert_int_equal(journal_batch_begin(f->j, 1000, &f->failure), ERR_IO);
    journal_fixture_close(f);
    disk.end = 0;
    journal_fixture_open(f);
    assert_true(journal_fixture_status(f).recovered);
    journal_fixture_check_records(f);
    journal_fixture_verify(f, 0);
}

/* What the kernel could not write it may have dropped: nothing is built on it. */
static void test_a_base_that_cannot_be_made(void **state)
{
    struct journal_fixture *f = *state;
    f->options.redo_bytes = SMALL_LOG;
    journal_fixture_open(f);
    while (!journal_sync_due(f->j))
        journal_fixture_append(f, BATCH);
    disk.pwrites = 1;
    assert_int_equal(journal_sync(f->j, &f->failure), ERR_IO);
    assert_int_equal(journal_batch_begin(f->j, 1000, &f->failure), ERR_IO);
    assert_non_null(strstr(f->failure.text, "start again"));
    uint64_t head = journal_fixture_status(f).head;
    journal_fixture_close(f);
    journal_fixture_open(f);
    assert_true(journal_fixture_status(f).recovered);
    assert_int_equal(journal_fixture_status(f).head, head);
    journal_fixture_check_records(f);
}

/* ---- verify ---- */

static void test_verify_after_a_power_loss(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_verify_report report;
    make_log(f, true);
    assert_ok(journal_verify(f->directory, NULL, NULL, NULL, &report, &f->failure), f);
    assert_int_equal(report.problems, 0);
    assert_int_equal(report.head, 10 * BATCH);
    assert_false(has_file(f, "redo.0") || has_file(f, "redo.1"));
    journal_fixture_open(f);
    assert_true(journal_fixture_status(f).recovered && !journal_fixture_status(f).new_epoch);
    journal_fixture_check_records(f);
}

/* Nothing has to be written for it. */
static void test_verify_after_a_kill(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_verify_report report;
    make_log(f, false);
    assert_ok(journal_verify(f->directory, NULL, NULL, NULL, &report, &f->failure), f);
    assert_int_equal(report.problems, 0);
    assert_int_equal(report.head, 10 * BATCH);
    assert_true(has_file(f, "redo.0"));
}

static void test_verify_of_a_damaged_log(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_verify_report report;
    make_log(f, false);
    flip(segment_path(f, 0), entry_at(f, 0, 4) + 50);
    assert_int_equal(journal_verify(f->directory, NULL, NULL, NULL, &report, &f->failure),
                     ERR_CORRUPT);
    assert_non_null(strstr(f->failure.text, "backup"));
}

static void verify_as_nobody(struct journal_fixture *f)
{
    struct journal_verify_report report;
    if (setgid(65534) != 0 || setuid(65534) != 0)
        _exit(1);
    int err = journal_verify(f->directory, NULL, NULL, NULL, &report, &f->failure);
    _exit(err == ERR_ACCESS && strstr(f->failure.text, "copy of the whole folder") ? 0 : 2);
}

static void test_verify_where_it_cannot_write(void **state)
{
    struct journal_fixture *f = *state;
    static const char *const names[] = {"data.mdb", "redo.0", "redo.1", "vigil.lock"};
    if (geteuid() != 0)
        skip(); /* needs another user to be */
    make_log(f, true);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(chmod(path_of(f, names[i]).text, 0444), 0);
    assert_int_equal(chmod(f->directory, 0555), 0);
    assert_int_equal(chmod(f->parent, 0755), 0);
    journal_fixture_in_child(verify_as_nobody, f);
    assert_true(has_file(f, "redo.0"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, journal_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_killed_run),
        TEST(test_a_power_loss),
        TEST(test_many_segments),
        TEST(test_a_pending_base),
        TEST(test_a_torn_entry),
        TEST(test_an_entry_that_was_not_torn),
        TEST(test_damage_before_the_end),
        TEST(test_an_end_before_the_other_segment),
        TEST(test_damaged_bases),
        TEST(test_a_new_log_without_its_base),
        TEST(test_segments_that_are_gone),
        TEST(test_the_first_segment_of_a_new_log_is_gone),
        TEST(test_segments_that_changed_places),
        TEST(test_segments_of_different_logs),
        TEST(test_old_entries),
        TEST(test_changes_of_the_mode),
        TEST(test_process_mode_after_a_power_loss),
        TEST(test_a_copy_without_the_log),
        TEST(test_a_full_disk),
        TEST(test_a_full_disk_at_the_start),
        TEST(test_a_log_too_small_for_what_makes_room),
        TEST(test_a_log_after_none),
        TEST(test_entries_that_cannot_be_written),
        TEST(test_a_broken_disk),
        TEST(test_a_base_that_cannot_be_made),
        TEST(test_verify_after_a_power_loss),
        TEST(test_verify_after_a_kill),
        TEST(test_verify_of_a_damaged_log),
        TEST(test_verify_where_it_cannot_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
