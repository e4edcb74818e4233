/*
 * What a journal does with directories that are not its own, damage, and a power
 * loss.
 *
 * ctest: WRAP=journal_boot_id
 */
#define _GNU_SOURCE

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/environment.h"
#include "protocol/crc32c.h"
#include "tests/support/journal_fixture.h"

/* ---- another boot of the machine ---- */

static const char *boot = "first boot";

void __real_journal_boot_id(char out[BOOT_ID_SIZE]);
void __wrap_journal_boot_id(char out[BOOT_ID_SIZE]);

void __wrap_journal_boot_id(char out[BOOT_ID_SIZE])
{
    memset(out, 0, BOOT_ID_SIZE);
    memcpy(out, boot, strlen(boot));
}

static void test_the_boot_id(void **state)
{
    (void)state;
    char id[BOOT_ID_SIZE];
    char none[BOOT_ID_SIZE] = "";
    __real_journal_boot_id(id);
    assert_int_equal(strlen(id), 36);
    assert_true(boot_id_equal(id, id));
    assert_false(boot_id_equal(id, none));
    assert_false(boot_id_equal(none, none));
}

/* ---- directories ---- */

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

static void test_a_directory_with_other_files(void **state)
{
    struct journal_fixture *f = *state;
    assert_int_equal(mkdir(f->directory, 0755), 0);
    write_file(f, "letter.txt", "Dear Sir");
    assert_non_null(strstr(journal_fixture_open_fails(f, ERR_FOREIGN), "letter.txt"));
    assert_false(has_file(f, "data.mdb") || has_file(f, "lock.mdb") || has_file(f, "vigil.lock"));
}

static void test_an_empty_directory_is_used(void **state)
{
    struct journal_fixture *f = *state;
    assert_int_equal(mkdir(f->directory, 0700), 0);
    write_file(f, "vigil.lock", ""); /* of a start that was cut short */
    write_file(f, "data.mdb", "");
    journal_fixture_open(f);
    journal_fixture_append(f, 10);
    journal_fixture_check_records(f);
}

static void test_a_data_file_of_another_program(void **state)
{
    struct journal_fixture *f = *state;
    char content[8192];
    memset(content, 'x', sizeof content - 1);
    content[sizeof content - 1] = '\0';
    assert_int_equal(mkdir(f->directory, 0700), 0);
    write_file(f, "data.mdb", content);
    journal_fixture_open_fails(f, ERR_FOREIGN);
    struct journal_verify_report report;
    assert_int_equal(journal_verify(f->directory, NULL, NULL, NULL, &report, &f->failure),
                     ERR_FOREIGN);
}

/* Calls change with a write transaction of the journal's own LMDB environment. */
static void with_lmdb(struct journal_fixture *f,
                      void (*change)(MDB_txn *txn, struct journal_fixture *f))
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 8), 0);
    assert_int_equal(mdb_env_set_mapsize(env, 1 << 26), 0);
    assert_int_equal(mdb_env_open(env, f->directory, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    change(txn, f);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void make_other_database(MDB_txn *txn, struct journal_fixture *f)
{
    MDB_dbi database = 0;
    MDB_val word = {1, "x"};
    (void)f;
    assert_int_equal(mdb_dbi_open(txn, "other", MDB_CREATE, &database), 0);
    assert_int_equal(mdb_put(txn, database, &word, &word, 0), 0);
}

static void make_plain_meta(MDB_txn *txn, struct journal_fixture *f)
{
    MDB_dbi database = 0;
    MDB_val name = {4, "meta"};
    (void)f;
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &database), 0);
    assert_int_equal(mdb_put(txn, database, &name, &name, 0), 0);
}

static void make_other_meta(MDB_txn *txn, struct journal_fixture *f)
{
    MDB_dbi database = 0;
    MDB_val word = {20, "twenty characters..."};
    MDB_val name = {5, "vigil"};
    (void)f;
    assert_int_equal(mdb_dbi_open(txn, "meta", MDB_CREATE, &database), 0);
    assert_int_equal(mdb_put(txn, database, &name, &word, 0), 0);
}

static void test_other_lmdb_environments(void **state)
{
    struct journal_fixture *f = *state;
    static void (*const makers[])(MDB_txn *, struct journal_fixture *) = {
        make_other_database, make_plain_meta, make_other_meta};
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++) {
        snprintf(f->directory, sizeof f->directory, "%s/%zu", f->parent, i);
        assert_int_equal(mkdir(f->directory, 0700), 0);
        with_lmdb(f, makers[i]);
        assert_non_null(strstr(journal_fixture_open_fails(f, ERR_FOREIGN), "not a Vigil journal"));
    }
}

static void edit_meta(MDB_txn *txn, uint8_t row[META_SIZE], bool store)
{
    MDB_dbi database = 0;
    MDB_val name = {5, "vigil"};
    MDB_val stored;
    assert_int_equal(mdb_dbi_open(txn, "meta", 0, &database), 0);
    if (!store) {
        assert_int_equal(mdb_get(txn, database, &name, &stored), 0);
        assert_int_equal(stored.mv_size, META_SIZE);
        memcpy(row, stored.mv_data, META_SIZE);
        return;
    }
    stored = (MDB_val){META_SIZE, row};
    assert_int_equal(mdb_put(txn, database, &name, &stored, 0), 0);
}

static void make_newer(MDB_txn *txn, struct journal_fixture *f)
{
    uint8_t row[META_SIZE];
    (void)f;
    edit_meta(txn, row, false);
    wire_store_u32(row + 8, 2); /* the CRC of a newer format may be anywhere */
    edit_meta(txn, row, true);
}

static void damage_meta(MDB_txn *txn, struct journal_fixture *f)
{
    uint8_t row[META_SIZE];
    (void)f;
    edit_meta(txn, row, false);
    row[30] ^= 1;
    edit_meta(txn, row, true);
}

static void contradict_meta(MDB_txn *txn, struct journal_fixture *f)
{
    uint8_t row[META_SIZE];
    (void)f;
    edit_meta(txn, row, false);
    wire_store_u64(row + 24, 99); /* applied, beyond head */
    wire_store_u32(row + META_SIZE - 4, crc32c(0, row, META_SIZE - 4));
    edit_meta(txn, row, true);
}

static void test_a_newer_format(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    journal_fixture_close(f);
    with_lmdb(f, make_newer);
    const char *text = journal_fixture_open_fails(f, ERR_FOREIGN);
    assert_non_null(strstr(text, "format 2"));
    assert_non_null(strstr(text, "up to 1"));
    assert_true(has_file(f, "data.mdb"));
}

static void test_a_damaged_meta_row(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    journal_fixture_append(f, 10);
    journal_fixture_close(f);
    with_lmdb(f, contradict_meta);
    journal_fixture_open_fails(f, ERR_CORRUPT);
    with_lmdb(f, damage_meta);
    journal_fixture_open_fails(f, ERR_CORRUPT);
    assert_true(has_file(f, "data.mdb"));
}

static void test_a_locked_directory(void **state)
{
    struct journal_fixture *f = *state;
    char pid[32];
    struct journal_verify_report report;
    journal_fixture_open(f);
    struct journal *first = f->j;
    f->j = NULL;
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_non_null(strstr(journal_fixture_open_fails(f, ERR_LOCKED), pid));
    assert_int_equal(journal_verify(f->directory, NULL, NULL, NULL, &report, &f->failure),
                     ERR_LOCKED);
    f->j = first;
    journal_fixture_append(f, 10);
    journal_fixture_check_records(f);
}

static void test_paths_that_lead_nowhere(void **state)
{
    struct journal_fixture *f = *state;
    char path[FIXTURE_PATH_SIZE + 16];
    struct journal_verify_report report;
    snprintf(path, sizeof path, "%s/absent/journal", f->parent);
    f->options.directory = path;
    assert_non_null(strstr(journal_fixture_open_fails(f, ERR_IO), path));
    snprintf(path, sizeof path, "%s/absent", f->parent);
    assert_int_equal(journal_verify(path, NULL, NULL, NULL, &report, &f->failure), ERR_IO);
    assert_int_not_equal(access(path, F_OK), 0);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    journal_fixture_open_fails(f, ERR_IO); /* a file, not a directory */
}

static void open_as_nobody(struct journal_fixture *f)
{
    struct journal_verify_report report;
    if (setgid(65534) != 0 || setuid(65534) != 0)
        _exit(1);
    struct journal *j = NULL;
    int opened = journal_open(&f->options, &j, &f->failure);
    int verified = journal_verify(f->directory, NULL, NULL, NULL, &report, &f->failure);
    _exit(opened == ERR_ACCESS && verified == ERR_ACCESS ? 0 : 2);
}

static void test_no_permission(void **state)
{
    struct journal_fixture *f = *state;
    if (geteuid() != 0)
        skip(); /* needs another user to be */
    journal_fixture_open(f);
    journal_fixture_close(f);
    journal_fixture_in_child(open_as_nobody, f);
}

static void test_options(void **state)
{
    struct journal_fixture *f = *state;
    f->options.epoch = 0;
    journal_fixture_open_fails(f, ERR_INVALID);
    assert_false(has_file(f, "data.mdb"));
    f->options.epoch = 1;
    f->options.durability = (enum journal_durability)7;
    journal_fixture_open_fails(f, ERR_INVALID);
    f->options.durability = 0;
    f->options.directory = "";
    journal_fixture_open_fails(f, ERR_INVALID);
}

/* ---- damage ---- */

static void test_a_file_that_was_cut_off(void **state)
{
    struct journal_fixture *f = *state;
    char path[FIXTURE_PATH_SIZE + 16];
    struct journal_verify_report report;
    journal_fixture_open(f);
    journal_fixture_append(f, 1000);
    uint64_t used = journal_fixture_status(f).file_bytes;
    journal_fixture_close(f);
    journal_fixture_path(f, "data.mdb", path, sizeof path);
    assert_int_equal(truncate(path, (off_t)used / 2), 0);
    assert_non_null(strstr(journal_fixture_open_fails(f, ERR_CORRUPT), "cut off"));
    assert_int_equal(journal_verify(f->directory, NULL, NULL, NULL, &report, &f->failure),
                     ERR_CORRUPT);
}

static void test_a_damaged_record(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_reader *r = NULL;
    struct journal_view view;
    struct bytes record;
    uint64_t seq = 0;
    journal_fixture_open(f);
    journal_fixture_append(f, 1000);
    journal_fixture_close(f);
    journal_fixture_damage(f, "value 0000000000000000000500", 10);
    journal_fixture_verify(f, 1);
    journal_fixture_open(f);
    assert_ok(journal_reader_open(f->j, &r, &f->failure), f);
    assert_ok(journal_reader_begin(r, &view, &f->failure), f);
    assert_int_equal(journal_reader_get(r, 500, &record, &f->failure), ERR_CORRUPT);
    assert_non_null(strstr(f->failure.text, "500"));
    assert_ok(journal_reader_get(r, 499, &record, &f->failure), f);
    assert_ok(journal_reader_seek(r, 499, &f->failure), f);
    assert_ok(journal_reader_next(r, &seq, &record, &f->failure), f);
    for (int i = 0; i < 2; i++) { /* it does not go on as if nothing were there */
        assert_int_equal(journal_reader_next(r, &seq, &record, &f->failure), ERR_CORRUPT);
        assert_non_null(strstr(f->failure.text, "record 500 is damaged"));
    }
    assert_ok(journal_reader_seek(r, 501, &f->failure), f);
    assert_ok(journal_reader_next(r, &seq, &record, &f->failure), f);
    journal_reader_close(r);
}

static void test_a_damaged_row(void **state)
{
    struct journal_fixture *f = *state;
    struct journal_reader *r = NULL;
    struct journal_view view;
    struct bytes key = {(const uint8_t *)"key 7.", 6};
    struct bytes none = {NULL, 0};
    struct state_row row;
    journal_fixture_open(f);
    journal_fixture_append(f, 10);
    journal_fixture_checkpoint(f);
    journal_fixture_append(f, 1);
    journal_fixture_checkpoint(f);
    journal_fixture_compact(f, 11, 100);
    journal_fixture_close(f);
    journal_fixture_damage(f, "value 0000000000000000000007", 3);
    journal_fixture_verify(f, 1);
    journal_fixture_open(f);
    assert_ok(journal_view_begin(f->j, &f->failure), f);
    assert_int_equal(journal_state_get(f->j, key, &row), ERR_CORRUPT);
    journal_view_end(f->j);
    assert_ok(journal_reader_open(f->j, &r, &f->failure), f);
    assert_ok(journal_reader_begin(r, &view, &f->failure), f);
    assert_ok(journal_reader_rows(r, (struct bytes){key.data, 5}, none, &f->failure), f);
    assert_int_equal(journal_reader_next_row(r, &key, &row, &f->failure), ERR_CORRUPT);
    assert_non_null(strstr(f->failure.text, "key 7."));
    journal_reader_close(r);
    assert_ok(journal_batch_begin(f->j, 100, &f->failure), f);
    row = (struct state_row){.created = 11, .modified = 11, .version = 1};
    assert_int_equal(journal_batch_put_row(f->j, key, &row, &f->failure), ERR_CORRUPT);
    journal_batch_abort(f->j);
}

/* ---- a power loss in process mode ---- */

static void run_and_die(struct journal_fixture *f)
{
    journal_fixture_open(f);
    journal_fixture_append(f, 300);
    journal_fixture_checkpoint(f);
    journal_fixture_compact(f, 50, 1000);
    journal_fixture_append(f, 300);
}

static void append_five_and_die(struct journal_fixture *f)
{
    journal_fixture_open(f);
    journal_fixture_append(f, 5);
}

static void reboot(struct journal_fixture *f, enum journal_durability durability)
{
    boot = "first boot";
    f->options.durability = durability;
    journal_fixture_in_child(run_and_die, f);
    boot = "second boot";
    f->options.epoch = 0xE2;
}

static void test_a_power_loss_in_process_mode(void **state)
{
    struct journal_fixture *f = *state;
    reboot(f, JOURNAL_PROCESS);
    journal_fixture_open(f);
    struct journal_status s = journal_fixture_status(f);
    assert_true(s.recovered && s.new_epoch);
    assert_true(s.epoch == 0xE2);
    assert_int_equal(s.head, 600);
    assert_int_equal(s.oldest, 50);
    assert_int_equal(s.applied, 300);
    journal_fixture_check_records(f);
    journal_fixture_append(f, 10);
    journal_fixture_checkpoint(f);
    journal_fixture_verify(f, 0);
    s = journal_fixture_status(f);
    assert_true(s.epoch == 0xE2);
    assert_false(s.recovered || s.new_epoch);
    assert_false(has_file(f, "rebuild.mdb"));
}

static void test_a_power_loss_with_the_same_epoch_offered(void **state)
{
    struct journal_fixture *f = *state;
    reboot(f, JOURNAL_PROCESS);
    f->options.epoch = 0xE1;
    journal_fixture_open(f);
    assert_true(journal_fixture_status(f).new_epoch);
    assert_false(journal_fixture_status(f).epoch == 0xE1);
}

static void test_a_power_loss_that_damaged_the_end(void **state)
{
    struct journal_fixture *f = *state;
    reboot(f, JOURNAL_PROCESS);
    journal_fixture_damage(f, "value 0000000000000000000580", 10);
    journal_fixture_open(f);
    struct journal_status s = journal_fixture_status(f);
    assert_true(s.new_epoch);
    assert_int_equal(s.head, 579);
    assert_int_equal(s.applied, 300);
    journal_fixture_check_records(f);
    journal_fixture_append(f, 10);
    journal_fixture_verify(f, 0);
}

static void test_a_power_loss_that_damaged_the_state(void **state)
{
    struct journal_fixture *f = *state;
    reboot(f, JOURNAL_PROCESS);
    journal_fixture_damage(f, "value 0000000000000000000020", 10); /* compacted: the row alone */
    assert_non_null(strstr(journal_fixture_open_fails(f, ERR_CORRUPT), "backup"));
    journal_fixture_open_fails(f, ERR_CORRUPT); /* and changes nothing */
}

static void test_a_power_loss_that_damaged_before_applied(void **state)
{
    struct journal_fixture *f = *state;
    reboot(f, JOURNAL_PROCESS);
    journal_fixture_damage(f, "value 0000000000000000000200", 10);
    journal_fixture_open_fails(f, ERR_CORRUPT);
}

/* A checkpoint was under way: a row tells of a record that is lost. */
static void die_in_a_checkpoint(struct journal_fixture *f)
{
    struct state_row row = {.created = 590, .modified = 590, .version = 1};
    static const char value[] = "\xd9\x1cvalue 0000000000000000000590";
    row.value = (struct bytes){(const uint8_t *)value, sizeof value - 1};
    run_and_die(f);
    assert_ok(journal_batch_begin(f->j, 100, &f->failure), f);
    struct bytes key = {(const uint8_t *)"key 590.", 8};
    assert_ok(journal_batch_put_row(f->j, key, &row, &f->failure), f);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
}

static void test_a_power_loss_within_a_checkpoint(void **state)
{
    struct journal_fixture *f = *state;
    boot = "first boot";
    f->options.durability = JOURNAL_PROCESS;
    journal_fixture_in_child(die_in_a_checkpoint, f);
    boot = "second boot";
    journal_fixture_damage(f, "value 0000000000000000000595", 10);
    journal_fixture_open(f); /* the row's record is there */
    assert_int_equal(journal_fixture_status(f).head, 594);
    journal_fixture_close(f);
    boot = "first boot";
    journal_fixture_in_child(append_five_and_die, f);
    boot = "second boot";
    journal_fixture_damage(f, "value 0000000000000000000580", 10);
    journal_fixture_open_fails(f, ERR_CORRUPT);
}

static void test_a_power_loss_in_power_mode(void **state)
{
    struct journal_fixture *f = *state;
    reboot(f, JOURNAL_POWER);
    journal_fixture_open(f);
    struct journal_status s = journal_fixture_status(f);
    assert_true(s.recovered);
    assert_false(s.new_epoch);
    assert_true(s.epoch == 0xE1);
    journal_fixture_check_records(f);
}

static void test_a_reboot_after_a_clean_stop(void **state)
{
    struct journal_fixture *f = *state;
    boot = "first boot";
    f->options.durability = JOURNAL_PROCESS;
    run_and_die(f);
    assert_ok(journal_sync(f->j, &f->failure), f);
    journal_fixture_close(f);
    boot = "second boot";
    journal_fixture_open(f);
    struct journal_status s = journal_fixture_status(f);
    assert_false(s.recovered || s.new_epoch);
    journal_fixture_check_records(f);
}

#define TEST(function) \
    cmocka_unit_test_setup_teardown(function, journal_fixture_setup, journal_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_boot_id),
        TEST(test_a_directory_with_other_files),
        TEST(test_an_empty_directory_is_used),
        TEST(test_a_data_file_of_another_program),
        TEST(test_other_lmdb_environments),
        TEST(test_a_newer_format),
        TEST(test_a_damaged_meta_row),
        TEST(test_a_locked_directory),
        TEST(test_paths_that_lead_nowhere),
        TEST(test_no_permission),
        TEST(test_options),
        TEST(test_a_file_that_was_cut_off),
        TEST(test_a_damaged_record),
        TEST(test_a_damaged_row),
        TEST(test_a_power_loss_in_process_mode),
        TEST(test_a_power_loss_with_the_same_epoch_offered),
        TEST(test_a_power_loss_that_damaged_the_end),
        TEST(test_a_power_loss_that_damaged_the_state),
        TEST(test_a_power_loss_that_damaged_before_applied),
        TEST(test_a_power_loss_within_a_checkpoint),
        TEST(test_a_power_loss_in_power_mode),
        TEST(test_a_reboot_after_a_clean_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
