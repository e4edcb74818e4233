/*
 * journal_fixture.h - a journal in a directory of its own, records to put into
 * it, and the checks that many tests share. For cmocka programs.
 */
#ifndef VIGIL_TESTS_SUPPORT_JOURNAL_FIXTURE_H
#define VIGIL_TESTS_SUPPORT_JOURNAL_FIXTURE_H

#include "journal/journal.h"
#include "protocol/limits.h"
#include "tests/support/temp_folder.h"

enum { FIXTURE_PATH_SIZE = 128 };

struct journal_fixture {
    char parent[TEMP_FOLDER_SIZE];     /* made by setup, removed by teardown */
    char directory[FIXTURE_PATH_SIZE]; /* of the journal, in parent; setup does not make it */
    struct journal_options options;    /* small steps; change them before the first open */
    struct journal *j;
    struct wire_buffer buffer;
    struct failure failure;
};

/* cmocka's setup and teardown: *state is a struct journal_fixture. Teardown closes the journal. */
int journal_fixture_setup(void **state);
int journal_fixture_teardown(void **state);

/* Asserts that it opens. */
void journal_fixture_open(struct journal_fixture *f);
void journal_fixture_close(struct journal_fixture *f);
/* Asserts that it does not open, with this error, and returns what the failure says. */
const char *journal_fixture_open_fails(struct journal_fixture *f, int code);
void journal_fixture_path(const struct journal_fixture *f, const char *name, char *out,
                          size_t size);
/* Runs work in another process, which ends without closing anything. */
void journal_fixture_in_child(void (*work)(struct journal_fixture *f), struct journal_fixture *f);
/* Turns the bits of the byte at offset into the only place where text stands in data.mdb. */
void journal_fixture_damage(const struct journal_fixture *f, const char *text, size_t offset);

/* A record of one change, valid until the next. time_us is seq * 1000. */
struct bytes journal_fixture_record(struct journal_fixture *f, uint64_t seq, struct bytes key,
                                    const struct bytes *value, uint64_t prev_seq);
/* Appends count records in a batch of their own: record N puts "value N" under "key N". */
void journal_fixture_append(struct journal_fixture *f, uint64_t count);
/* Writes the rows of what journal_fixture_append made after applied, and moves applied to head. */
void journal_fixture_checkpoint(struct journal_fixture *f);
/* Compacts in steps of records_max until nothing is left to remove. */
void journal_fixture_compact(struct journal_fixture *f, uint64_t target, uint32_t records_max);
/* Reads all records through a reader; each has to be what journal_fixture_append made. */
void journal_fixture_check_records(struct journal_fixture *f);
/* Verify (the journal is closed meanwhile) has to find so many problems. */
void journal_fixture_verify(struct journal_fixture *f, uint64_t problems);

struct journal_status journal_fixture_status(const struct journal_fixture *f);

/* Asserts ERR_OK and shows the failure otherwise. */
#define assert_ok(expression, fixture)                                \
    do {                                                              \
        if ((expression) != ERR_OK)                                   \
            fail_msg("%s: %s", #expression, (fixture)->failure.text); \
    } while (0)

#endif
