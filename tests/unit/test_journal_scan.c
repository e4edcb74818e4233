/* The state in order, within the writer's view, and damage that it meets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/support/journal_fixture.h"
#include "tests/support/sample_bytes.h"

enum { KEYS = 3000 };

static const struct bytes none = {NULL, 0};

static void name_key(unsigned i, char out[16])
{
    (void)snprintf(out, 16, "k/%05u", i * 7919 % KEYS);
}

/* So many that they are on several pages, every tenth deleted. */
static void fill(struct journal_fixture *f)
{
    char key[16];
    journal_fixture_open(f);
    journal_fixture_append(f, 1);
    assert_ok(journal_batch_begin(f->j, KEYS * 100, &f->failure), f);
    for (unsigned i = 0; i < KEYS; i++) {
        name_key(i, key);
        struct state_row row = {.created = 1, .modified = 1, .version = 1, .value = bytes_of(key)};
        if (i % 10 == 0)
            row = (struct state_row){.modified = 1, .deleted = true};
        assert_ok(journal_batch_put_row(f->j, bytes_of(key), &row, &f->failure), f);
    }
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
}

/* Returns how many rows there are from here on; ERR_NOT_FOUND ended it. */
static unsigned count_from(struct journal_fixture *f, const char *from)
{
    char last[16] = "";
    struct bytes key;
    struct state_row row;
    unsigned count = 0;
    assert_int_equal(journal_state_seek(f->j, bytes_of(from)), ERR_OK);
    for (;;) {
        int err = journal_state_next(f->j, &key, &row);
        if (err == ERR_NOT_FOUND)
            return count;
        assert_int_equal(err, ERR_OK);
        assert_true(bytes_compare(bytes_of(last), key) < 0);
        assert_true(bytes_compare(bytes_of(from), key) <= 0);
        assert_true(row.deleted ? row.value.size == 0 : bytes_equal(row.value, key));
        (void)snprintf(last, sizeof last, "%.*s", (int)key.size, (const char *)key.data);
        count++;
    }
}

static void test_scan(void **state)
{
    struct journal_fixture *f = *state;
    struct bytes key;
    struct state_row row;
    fill(f);
    assert_int_equal(journal_state_seek(f->j, none), ERR_INTERNAL); /* no view */
    for (int round = 0; round < 3; round++) {
        assert_ok(journal_view_begin(f->j, &f->failure), f);
        assert_int_equal(count_from(f, ""), KEYS);
        assert_int_equal(count_from(f, "k/"), KEYS);
        assert_int_equal(count_from(f, "k/01000"), KEYS - 1000);
        assert_int_equal(count_from(f, "k/01000!"), KEYS - 1001);
        assert_int_equal(count_from(f, "l"), 0);
        /* Lookups and commits between its steps do not disturb it. */
        assert_int_equal(journal_state_seek(f->j, bytes_of("k/02998")), ERR_OK);
        assert_int_equal(journal_state_next(f->j, &key, &row), ERR_OK);
        assert_int_equal(journal_state_get(f->j, bytes_of("k/00001"), &row), ERR_OK);
        assert_int_equal(journal_state_get(f->j, bytes_of("absent"), &row), ERR_NOT_FOUND);
        journal_fixture_append(f, 1);
        assert_int_equal(journal_state_next(f->j, &key, &row), ERR_OK);
        assert_true(bytes_equal(key, bytes_of("k/02999")));
        assert_int_equal(journal_state_next(f->j, &key, &row), ERR_NOT_FOUND);
        assert_int_equal(journal_state_next(f->j, &key, &row), ERR_CORRUPT); /* not sought */
        journal_view_end(f->j);
        assert_int_equal(journal_state_next(f->j, &key, &row), ERR_CORRUPT);
    }
    uint8_t long_key[LIMIT_KEY_SIZE + 2] = {1};
    assert_ok(journal_view_begin(f->j, &f->failure), f);
    assert_int_equal(journal_state_seek(f->j, (struct bytes){long_key, sizeof long_key}),
                     ERR_INVALID);
    assert_int_equal(journal_state_seek(f->j, (struct bytes){long_key, sizeof long_key - 1}),
                     ERR_OK);
    journal_view_end(f->j);
}

static void test_empty_state(void **state)
{
    struct journal_fixture *f = *state;
    journal_fixture_open(f);
    assert_ok(journal_view_begin(f->j, &f->failure), f);
    assert_int_equal(count_from(f, ""), 0);
    assert_int_equal(count_from(f, "a"), 0);
    journal_view_end(f->j);
}

static void test_damaged_row(void **state)
{
    struct journal_fixture *f = *state;
    struct bytes key;
    struct state_row row;
    fill(f);
    assert_ok(journal_batch_begin(f->j, 1000, &f->failure), f);
    struct state_row odd = {
        .created = 1, .modified = 2, .version = 2, .value = bytes_of("damage this")};
    assert_ok(journal_batch_put_row(f->j, bytes_of("k/01001"), &odd, &f->failure), f);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
    journal_fixture_close(f);
    journal_fixture_damage(f, "damage this", 2);
    journal_fixture_open(f);
    assert_ok(journal_view_begin(f->j, &f->failure), f);
    assert_int_equal(journal_state_seek(f->j, bytes_of("k/01000")), ERR_OK);
    assert_int_equal(journal_state_next(f->j, &key, &row), ERR_OK);
    for (int i = 0; i < 2; i++) /* it does not go on as if nothing were there */
        assert_int_equal(journal_state_next(f->j, &key, &row), ERR_CORRUPT);
    assert_int_equal(count_from(f, "k/01002"), KEYS - 1002);
    journal_view_end(f->j);
}

int main(void)
{
#define T(name) \
    cmocka_unit_test_setup_teardown(name, journal_fixture_setup, journal_fixture_teardown)
    const struct CMUnitTest tests[] = {T(test_scan), T(test_empty_state), T(test_damaged_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
