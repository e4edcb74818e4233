/* A dict's other methods in the library, and what transactions give of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/client_fixture.h"

static struct client_fixture f;

static int set_up(void **state)
{
    (void)state;
    static const char *const options[] = {"--durability", "process", NULL};
    client_fixture_open(&f, TEST_VIGILD, options);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_fixture_close(&f);
    return 0;
}

static void single_requests(void **state)
{
    (void)state;
    vigil_entry entry;
    bool flag;
    uint64_t number;
    uint64_t seq;
    const char *key;
    assert_int_equal(vigil_set_default(f.v, "a", "\x01", 1, &flag, &entry), VIGIL_OK);
    assert_true(flag);
    assert_int_equal(vigil_set_default(f.v, "a", "\x02", 1, &flag, &entry), VIGIL_OK);
    assert_false(flag);
    assert_int_equal(integer_of(entry.value, entry.size), 1);
    assert_int_equal(entry.modified, 1);
    assert_int_equal(entry.seq, 1);
    assert_int_equal(vigil_append(f.v, "l", "\x01", 1, &number, &seq), VIGIL_OK);
    assert_int_equal(vigil_append(f.v, "l", "\x02", 1, &number, &seq), VIGIL_OK);
    assert_int_equal(number, 2);
    assert_int_equal(seq, 3);
    assert_int_equal(vigil_append(f.v, "a", "\x02", 1, &number, &seq), VIGIL_BAD_VALUE);
    assert_int_equal(vigil_add(f.v, "l", "\x02", 1, &flag, &number, &seq), VIGIL_OK);
    assert_false(flag);
    assert_int_equal(number, 2);
    assert_int_equal(vigil_add(f.v, "l", "\x03", 1, &flag, &number, &seq), VIGIL_OK);
    assert_true(flag);
    assert_int_equal(number, 3);
    assert_int_equal(vigil_pop(f.v, "l", &entry, &seq), VIGIL_OK);
    assert_int_equal(entry.size, 4);
    assert_memory_equal(entry.value, "\x93\x01\x02\x03", 4);
    assert_int_equal(entry.modified, 4);
    assert_int_equal(seq, 5);
    assert_int_equal(vigil_pop(f.v, "l", &entry, &seq), VIGIL_NOT_FOUND);
    assert_int_equal(vigil_pop_any(f.v, "q/", &entry, &seq), VIGIL_NOT_FOUND);
    assert_int_equal(vigil_push(f.v, "q/", "\x07", 1, &key, &seq), VIGIL_OK);
    assert_string_equal(key, "q/0000000000000006-0000");
    assert_int_equal(vigil_push(f.v, "q/", "\x08", 1, NULL, NULL), VIGIL_OK);
    assert_int_equal(vigil_pop_any(f.v, "q/", &entry, &seq), VIGIL_OK);
    assert_string_equal(entry.key, "q/0000000000000006-0000");
    assert_int_equal(integer_of(entry.value, entry.size), 7);
    assert_int_equal(vigil_count(f.v, NULL, 0, &number, &seq), VIGIL_OK);
    assert_int_equal(number, 2);
    assert_int_equal(vigil_clear(f.v, "q", &number, &seq), VIGIL_OK);
    assert_int_equal(number, 1);
    assert_int_equal(seq, 9);
    assert_int_equal(vigil_clear(f.v, "q", NULL, NULL), VIGIL_OK);
    assert_int_equal(vigil_count(f.v, "q", 0, &number, NULL), VIGIL_OK);
    assert_int_equal(number, 0);
    /* What is not valid never leaves. */
    assert_int_equal(vigil_pop(f.v, "", NULL, NULL), VIGIL_BAD_KEY);
    assert_int_equal(vigil_append(f.v, "l", "\xc1", 1, NULL, NULL), VIGIL_BAD_VALUE);
    assert_int_equal(vigil_count(f.v, "\xff", 0, NULL, NULL), VIGIL_BAD_KEY);
    assert_int_equal(vigil_push(f.v, "q", NULL, 0, NULL, NULL), VIGIL_BAD_VALUE);
}

static void many_or_none(void **state)
{
    (void)state;
    vigil_pair pairs[] = {{"a", "\x01", 1}, {"b", "\x02", 1}, {"a", "\x03", 1}};
    vigil_entry entry;
    uint64_t seq;
    assert_int_equal(vigil_put_many(f.v, pairs, 3, &seq), VIGIL_OK);
    assert_int_equal(seq, 1);
    assert_int_equal(vigil_get(f.v, "a", &entry), VIGIL_OK);
    assert_int_equal(integer_of(entry.value, entry.size), 3);
    assert_int_equal(entry.version, 1);
    pairs[1].value = "\xc1";
    assert_int_equal(vigil_put_many(f.v, pairs, 3, &seq), VIGIL_BAD_VALUE);
    assert_int_equal(vigil_put_many(f.v, pairs, 0, &seq), VIGIL_OK);
    assert_int_equal(seq, 1);
}

static void rows_of_a_list(void **state)
{
    (void)state;
    vigil_txn *t;
    const vigil_txn_result *results;
    size_t count;
    size_t at = 0;
    vigil_row row;
    bool succeeded;
    put_integer(f.v, "p/b", 2);
    put_integer(f.v, "p/a", 1);
    put_integer(f.v, "q", 3);
    assert_int_equal(vigil_txn_new(&t), VIGIL_OK);
    assert_int_equal(vigil_txn_if_prefix_unchanged(t, "p/", 2), VIGIL_OK);
    assert_int_equal(vigil_txn_list(t, "p/", 0), VIGIL_OK);
    assert_int_equal(vigil_txn_list(t, "none", 0), VIGIL_OK);
    assert_int_equal(vigil_txn_commit(f.v, t, &succeeded, NULL, &results, &count), VIGIL_OK);
    assert_true(succeeded);
    assert_int_equal(count, 2);
    assert_true(vigil_txn_row(&results[0], &at, &row));
    assert_memory_equal(row.key, "p/a", row.key_size);
    assert_int_equal(row.modified, 2);
    assert_true(vigil_txn_row(&results[0], &at, &row));
    assert_int_equal(row.key_size, 3);
    assert_memory_equal(row.key, "p/b", 3);
    assert_int_equal(integer_of(row.value, row.size), 2);
    assert_false(vigil_txn_row(&results[0], &at, &row));
    at = 0;
    assert_false(vigil_txn_row(&results[1], &at, &row));
    vigil_txn_clear(t);
    assert_int_equal(vigil_txn_if_prefix_unchanged(t, "p/", 1), VIGIL_OK);
    assert_int_equal(vigil_txn_commit(f.v, t, &succeeded, NULL, NULL, NULL), VIGIL_OK);
    assert_false(succeeded);
    assert_int_equal(vigil_txn_put_ttl(t, "k", "\x01", 1, 0), VIGIL_INVALID);
    vigil_txn_free(t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(single_requests), TEST(many_or_none),
                                       TEST(rows_of_a_list)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
