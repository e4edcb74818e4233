/*
 * The file `running`: when it is there, what it says, and that a start believes it
 * rather than the data file.
 *
 * ctest: WRAP=journal_boot_id,mdb_env_sync
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
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/environment.h"
#include "tests/support/journal_fixture.h"

static const char *boot = "first boot";

void __wrap_journal_boot_id(char out[BOOT_ID_SIZE]);

void __wrap_journal_boot_id(char out[BOOT_ID_SIZE])
{
    memset(out, 0, BOOT_ID_SIZE);
    memcpy(out, boot, strlen(boot));
}

static int failing_syncs;

int __real_mdb_env_sync(MDB_env *env, int force);
int __wrap_mdb_env_sync(MDB_env *env, int force);

int __wrap_mdb_env_sync(MDB_env *env, int force)
{
    if (failing_syncs == 0)
        return __real_mdb_env_sync(env, force);
    failing_syncs--;
    return EIO;
}

static int setup(void **state)
{
    boot = "first boot";
    failing_syncs = 0;
    return journal_fixture_setup(state);
}

static void write_file(struct journal_fixture *f, const char *name, const char *content)
{
    char path[FIXTURE_PATH_SIZE + 16];
    journal_fixture_path(f, name, path, sizeof path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static bool has_file(struct journal_fixture *f, const char *name)
{
    char path[FIXTURE_PATH_SIZE + 16];
    journal_fixture_path(f, name, path, sizeof path);
    return access(path, F_OK) == 0;
}

static enum mark mark_of(struct journal_fixture *f)
{
    enum mark mark = (enum mark)99;
    assert_ok(mark_read(f->directory, &mark, &f->failure), f);
    return mark;
}

/* ---- the file ---- */

static void test_a_mark_is_written_and_removed(void **state)
{
    struct journal_fixture *f = *state;
    char text[64];
    char path[FIXTURE_PATH_SIZE + 16];
    assert_int_equal(mkdir(f->directory, 0700), 0);
    assert_int_equal(mark_of(f), MARK_NONE);
    assert_ok(mark_remove(f->directory, &f->failure), f); /* where there is none */
    write_file(f, "running.new", "half writt");
    assert_ok(mark_write(f->directory, &f->failure), f);
    assert_int_equal(mark_of(f), MARK_THIS_BOOT);
    assert_false(has_file(f, "running.new"));
    journal_fixture_path(f, "running", path, sizeof path);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    assert_string_equal(text, "process first boot\n");
    boot = "second boot";
    assert_int_equal(mark_of(f), MARK_OTHER_BOOT);
    assert_ok(mark_write(f->directory, &f->failure), f);
    assert_int_equal(mark_of(f), MARK_THIS_BOOT);
    assert_ok(mark_remove(f->directory, &f->failure), f);
    assert_int_equal(mark_of(f), MARK_NONE);
}

static void test_a_mark_that_cannot_be_trusted(void **state)
{
    static const char *const texts[] = {
        "",
        "process",
        "process first boot",
        "process first boot\nand more",
        "process second boot\n",
        "first boot\n",
        "a line that is far longer than any mark has ever been, or will ever be\n"};
    struct journal_fixture *f = *state;
    assert_int_equal(mkdir(f->directory, 0700), 0);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_file(f, "running", texts[i]);
        assert_int_equal(mark_of(f), MARK_OTHER_BOOT);
    }
    boot = "";
    assert_ok(mark_write(f->directory, &f->failure), f);
    assert_int_equal(mark_of(f), MARK_OTHER_BOOT); /* which boot it is cannot be known */
}

static void test_errors_of_the_mark(void **state)
{
    struct journal_fixture *f = *state;
    char path[FIXTURE_PATH_SIZE + 16];
    enum mark mark = MARK_NONE;
    assert_int_equal(mark_write(f->directory, &f->failure), ERR_IO); /* no such directory */
    assert_non_null(strstr(f->failure.text, "running"));
    journal_fixture_open(f);
    journal_fixture_close(f);
    journal_fixture_path(f, "running", path, sizeof path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mark_read(f->directory, &mark, &f->failure), ERR_IO);
    assert_non_null(strstr(journal_fixture_open_fails(f, ERR_IO), path));
    assert_int_equal(rmdir(path), 0);
    journal_fixture_open(f);
}

/* ---- the life of a journal ---- */

static void append_and_die(struct journal_fixture *f)
{
    journal_fixture_open(f);
    journal_fixture_append(f, 100);
}

static void test_only_process_mode_leaves_a_mark(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    assert_int_equal(mark_of(f), MARK_NONE);
    journal_fixture_close(f);
    f->options.durability = JOURNAL_PROCESS;
    journal_fixture_open(f);
    assert_int_equal(mark_of(f), MARK_THIS_BOOT);
    journal_fixture_append(f, 10);
    assert_int_equal(mark_of(f), MARK_THIS_BOOT);
    journal_fixture_close(f);
    assert_int_equal(mark_of(f), MARK_NONE);
}

static void test_a_killed_process_leaves_its_mark(void **state)
{
    struct journal_fixture *f = *state;
    f->options.durability = JOURNAL_PROCESS;
    journal_fixture_in_child(append_and_die, f);
    assert_int_equal(mark_of(f), MARK_THIS_BOOT);
    journal_fixture_in_child(append_and_die, f);
    f->options.durability = JOURNAL_POWER;
    journal_fixture_open(f);
    struct journal_status s = journal_fixture_status(f);
    assert_true(s.recovered && !s.new_epoch);
    assert_int_equal(s.head, 200);
    assert_int_equal(mark_of(f), MARK_NONE); /* all has been synced */
    journal_fixture_close(f);
    boot = "second boot";
    journal_fixture_open(f);
    assert_false(journal_fixture_status(f).new_epoch);
}

static int stop(struct journal_fixture *f, struct failure *failure)
{
    struct journal *j = f->j;
    f->j = NULL;
    return journal_stop(j, failure);
}

/* What the kernel could not write it may have dropped, and the next sync says nothing of it. */
static void test_a_failed_sync_makes_the_stop_unclean(void **state)
{
    struct journal_fixture *f = *state;
    struct failure failure = {0};
    f->options.durability = JOURNAL_PROCESS;
    journal_fixture_open(f);
    journal_fixture_append(f, 10);
    failing_syncs = 1;
    assert_int_equal(journal_sync(f->j, &failure), ERR_IO);
    journal_fixture_append(f, 10);
    assert_ok(journal_sync(f->j, &failure), f);
    assert_int_equal(stop(f, &failure), ERR_IO);
    assert_non_null(strstr(failure.text, "an earlier sync"));
    assert_non_null(strstr(failure.text, f->directory));
    assert_int_equal(mark_of(f), MARK_THIS_BOOT);
    journal_fixture_open(f);
    assert_true(journal_fixture_status(f).recovered);
    assert_int_equal(journal_fixture_status(f).head, 20);
    failing_syncs = 1; /* that of the stop itself */
    assert_int_equal(stop(f, &failure), ERR_IO);
    assert_int_equal(mark_of(f), MARK_THIS_BOOT);
    boot = "second boot";
    f->options.epoch = 0xE2;
    journal_fixture_open(f);
    assert_true(journal_fixture_status(f).new_epoch);
    assert_ok(stop(f, &failure), f);
    assert_int_equal(mark_of(f), MARK_NONE);
}

/* A torn tree may still show the meta row of the last clean stop. */
static void test_the_mark_is_believed_before_the_meta_row(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    journal_fixture_append(f, 100);
    journal_fixture_close(f);
    write_file(f, "running", "process first boot\n");
    boot = "second boot";
    f->options.epoch = 0xE2;
    journal_fixture_open(f);
    struct journal_status s = journal_fixture_status(f);
    assert_true(s.recovered && s.new_epoch);
    assert_true(s.epoch == 0xE2);
    assert_int_equal(s.head, 100);
    assert_int_equal(mark_of(f), MARK_NONE);
    journal_fixture_check_records(f);
    journal_fixture_verify(f, 0);
}

static void test_a_copy_without_the_mark(void **state)
{
    struct journal_fixture *f = *state;
    f->options.durability = JOURNAL_PROCESS;
    journal_fixture_in_child(append_and_die, f);
    assert_ok(mark_remove(f->directory, &f->failure), f);
    boot = "second boot";
    f->options.epoch = 0xE2;
    journal_fixture_open(f);
    assert_true(journal_fixture_status(f).new_epoch);
    assert_int_equal(mark_of(f), MARK_THIS_BOOT);
    journal_fixture_check_records(f);
}

static void test_what_a_start_that_was_cut_short_left(void **state)
{
    struct journal_fixture *f = *state;
    assert_int_equal(mkdir(f->directory, 0700), 0);
    write_file(f, "rebuild.mdb", "half of a new journal");
    write_file(f, "running.new", "half of a mark");
    journal_fixture_open(f);
    journal_fixture_append(f, 10);
    journal_fixture_check_records(f);
    assert_false(has_file(f, "rebuild.mdb") || has_file(f, "running.new"));
}

/* ---- damage that LMDB does not survive ---- */

/* Takes all nodes but one from the branch pages of the state: LMDB has an assertion against it. */
static void break_the_state(struct journal_fixture *f)
{
    enum { PAGE = 4096, FLAGS_AT = 10, LOWER_AT = 12, NODES_AT = 16, NODE_HEADER = 8 };
    char path[FIXTURE_PATH_SIZE + 16];
    struct stat status;
    size_t broken = 0;
    journal_fixture_path(f, "data.mdb", path, sizeof path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    size_t size = (size_t)status.st_size;
    uint8_t *file = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(file, MAP_FAILED);
    for (uint8_t *page = file; page + PAGE <= file + size; page += PAGE) {
        size_t node = (size_t)page[NODES_AT + 2] | (size_t)page[NODES_AT + 3] << 8;
        if (page[FLAGS_AT] == 1 && node + NODE_HEADER + 4 < PAGE &&
            memcmp(page + node + NODE_HEADER, "key ", 4) == 0) {
            page[LOWER_AT] = NODES_AT + 2;
            page[LOWER_AT + 1] = 0;
            broken++;
        }
    }
    munmap(file, size);
    close(fd);
    assert_true(broken > 0);
}

static void run_with_state_and_die(struct journal_fixture *f)
{
    journal_fixture_open(f);
    journal_fixture_append(f, 1000);
    journal_fixture_checkpoint(f);
}

static void test_a_start_survives_what_lmdb_does_not(void **state)
{
    struct journal_fixture *f = *state;
    f->options.durability = JOURNAL_PROCESS;
    journal_fixture_in_child(run_with_state_and_die, f);
    break_the_state(f);
    boot = "second boot";
    for (int i = 0; i < 2; i++) { /* nothing is changed */
        const char *text = journal_fixture_open_fails(f, ERR_CORRUPT);
        assert_non_null(strstr(text, "restore a backup"));
        assert_non_null(strstr(text, f->directory));
        assert_int_equal(mark_of(f), MARK_OTHER_BOOT);
        assert_false(has_file(f, "rebuild.mdb"));
    }
}

struct heard {
    size_t problems;
    char last[512];
};

static void hear(void *context, uint64_t seq, const char *text)
{
    struct heard *heard = context;
    (void)seq;
    heard->problems++;
    snprintf(heard->last, sizeof heard->last, "%s", text);
}

static void test_verify_tells_what_it_found_before(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_verify_report report = {0};
    struct heard heard = {0};
    run_with_state_and_die(f);
    journal_fixture_append(f, 200);
    journal_fixture_close(f);
    journal_fixture_damage(f, "value 0000000000000000001100", 10);
    break_the_state(f);
    assert_ok(journal_verify(f->directory, hear, NULL, &heard, &report, &f->failure), f);
    /* The record, the page that LMDB cannot read, and the end of those who do so. */
    assert_int_equal(heard.problems, 3);
    assert_non_null(strstr(heard.last, "the rest cannot be checked"));
    assert_int_equal(report.problems, 3);
    assert_int_equal(report.head, 1200);
    assert_int_equal(report.records, 1200);
    assert_int_equal(report.applied, 1000);
    assert_true(report.epoch == 0xE1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, journal_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_mark_is_written_and_removed),
        TEST(test_a_mark_that_cannot_be_trusted),
        TEST(test_errors_of_the_mark),
        TEST(test_only_process_mode_leaves_a_mark),
        TEST(test_a_killed_process_leaves_its_mark),
        TEST(test_a_failed_sync_makes_the_stop_unclean),
        TEST(test_the_mark_is_believed_before_the_meta_row),
        TEST(test_a_copy_without_the_mark),
        TEST(test_what_a_start_that_was_cut_short_left),
        TEST(test_a_start_survives_what_lmdb_does_not),
        TEST(test_verify_tells_what_it_found_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
