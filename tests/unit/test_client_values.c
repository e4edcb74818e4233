/*
 * test_client_values.c - making and reading values, the error list, the table of rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <vigil.h>

#include "client/row_table.h"
#include "protocol/errors.h"
#include "tests/support/sample_bytes.h"

static void what_is_packed_is_unpacked(void **state)
{
    (void)state;
    const int64_t integers[] = {0,         1,      -1,        31,        -32,       -33,      127,
                                128,       255,    256,       -128,      -129,      65535,    65536,
                                INT32_MIN, -32769, INT32_MAX, INT64_MIN, INT64_MAX, 1LL << 53};
    uint8_t bytes[16];
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        int64_t back = 0;
        size_t size = vigil_pack_int(bytes, sizeof bytes, integers[i]);
        assert_true(vigil_value_valid(bytes, size));
        assert_int_equal(vigil_unpack_int(bytes, size, &back), VIGIL_OK);
        assert_true(back == integers[i]);
    }
    uint64_t unsigned_back = 0;
    size_t size = vigil_pack_uint(bytes, sizeof bytes, UINT64_MAX);
    assert_int_equal(vigil_unpack_uint(bytes, size, &unsigned_back), VIGIL_OK);
    assert_true(unsigned_back == UINT64_MAX);
    int64_t integer;
    assert_int_equal(vigil_unpack_int(bytes, size, &integer), VIGIL_BAD_VALUE);
    size = vigil_pack_int(bytes, sizeof bytes, -1);
    assert_int_equal(vigil_unpack_uint(bytes, size, &unsigned_back), VIGIL_BAD_VALUE);
    bool flag = false;
    size = vigil_pack_bool(bytes, sizeof bytes, true);
    assert_int_equal(vigil_unpack_bool(bytes, size, &flag), VIGIL_OK);
    assert_true(flag);
    size = vigil_pack_nil(bytes, sizeof bytes);
    assert_int_equal(size, 1);
    assert_int_equal(vigil_unpack_bool(bytes, size, &flag), VIGIL_BAD_VALUE);
    assert_int_equal(vigil_pack_array(bytes, sizeof bytes, 3), 1);
    assert_int_equal(vigil_pack_map(bytes, sizeof bytes, 70000), 5);
}

static void numbers_without_loss(void **state)
{
    (void)state;
    uint8_t bytes[16];
    double back;
    int64_t integer;
    uint64_t natural;
    size_t size = vigil_pack_double(bytes, sizeof bytes, 2.5);
    assert_int_equal(vigil_unpack_double(bytes, size, &back), VIGIL_OK);
    assert_true(back == 2.5);
    assert_int_equal(vigil_unpack_int(bytes, size, &integer), VIGIL_BAD_VALUE);
    size = vigil_pack_double(bytes, sizeof bytes, -4.0);
    assert_int_equal(vigil_unpack_int(bytes, size, &integer), VIGIL_OK);
    assert_int_equal(integer, -4);
    assert_int_equal(vigil_unpack_uint(bytes, size, &natural), VIGIL_BAD_VALUE);
    const double beyond[] = {1e300, -1e300, INFINITY, -INFINITY, NAN, 18446744073709551616.0};
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        size = vigil_pack_double(bytes, sizeof bytes, beyond[i]);
        assert_int_equal(vigil_unpack_int(bytes, size, &integer), VIGIL_BAD_VALUE);
        assert_int_equal(vigil_unpack_uint(bytes, size, &natural), VIGIL_BAD_VALUE);
    }
    size = vigil_pack_double(bytes, sizeof bytes, -9223372036854775808.0);
    assert_int_equal(vigil_unpack_int(bytes, size, &integer), VIGIL_OK);
    assert_true(integer == INT64_MIN);
    size = vigil_pack_int(bytes, sizeof bytes, (1LL << 53) + 1);
    assert_int_equal(vigil_unpack_double(bytes, size, &back), VIGIL_BAD_VALUE);
    size = vigil_pack_uint(bytes, sizeof bytes, UINT64_MAX);
    assert_int_equal(vigil_unpack_double(bytes, size, &back), VIGIL_BAD_VALUE);
    const uint8_t half[] = {0xca, 0x3f, 0x00, 0x00, 0x00};
    assert_int_equal(vigil_unpack_double(half, sizeof half, &back), VIGIL_OK);
    assert_true(back == 0.5);
}

static void texts_of_every_length(void **state)
{
    (void)state;
    static char text[70000];
    static uint8_t bytes[70010];
    const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536, 70000};
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const char *back;
        const void *data;
        size_t back_size;
        size_t size = vigil_pack_string(bytes, sizeof bytes, text, lengths[i]);
        assert_int_equal(vigil_pack_string(NULL, 0, text, lengths[i]), size);
        assert_int_equal(vigil_unpack_string(bytes, size, &back, &back_size), VIGIL_OK);
        assert_int_equal(back_size, lengths[i]);
        assert_memory_equal(back, text, back_size);
        assert_int_equal(vigil_unpack_binary(bytes, size, &data, &back_size), VIGIL_BAD_VALUE);
        assert_int_equal(vigil_unpack_string(bytes, size - 1, &back, &back_size), VIGIL_BAD_VALUE);
        size = vigil_pack_binary(bytes, sizeof bytes, text, lengths[i]);
        assert_int_equal(vigil_unpack_binary(bytes, size, &data, &back_size), VIGIL_OK);
        assert_int_equal(back_size, lengths[i]);
        assert_int_equal(vigil_unpack_string(bytes, size, &back, &back_size), VIGIL_BAD_VALUE);
    }
    assert_int_equal(vigil_unpack_string(NULL, 0, NULL, NULL), VIGIL_BAD_VALUE);
}

static void too_little_room_writes_nothing_beyond(void **state)
{
    (void)state;
    uint8_t bytes[8];
    for (size_t capacity = 0; capacity < sizeof bytes; capacity++) {
        memset(bytes, 0xee, sizeof bytes);
        assert_int_equal(vigil_pack_string(bytes, capacity, "abcdefghij", 10), 11);
        for (size_t i = capacity; i < sizeof bytes; i++)
            assert_int_equal(bytes[i], 0xee);
    }
}

static void names_and_keys(void **state)
{
    (void)state;
    assert_string_equal(vigil_error_name(VIGIL_COMPACTED), "COMPACTED");
    assert_string_equal(vigil_error_name(9999), "UNKNOWN");
    assert_non_null(vigil_error_text(-1));
    assert_non_null(vigil_version());
    assert_true(vigil_key_valid("a/b"));
    assert_false(vigil_key_valid(""));
    assert_false(vigil_key_valid(NULL));
    assert_false(vigil_key_valid("\xc3"));
}

/* ---- rows ---- */

/* Against an array that is looked up by index. */
static void a_table_and_its_model(void **state)
{
    (void)state;
    enum { KEYS = 500, STEPS = 60000 };
    static struct {
        bool present;
        uint64_t modified, created, version;
    } model[KEYS];
    struct row_table t = {0};
    struct sample random = {99};
    size_t count = 0;
    memset(model, 0, sizeof model);
    for (uint64_t seq = 1; seq <= STEPS; seq++) {
        char key[16];
        size_t k = sample_below(&random, KEYS);
        bool put = sample_below(&random, 2);
        snprintf(key, sizeof key, "key/%zu", k);
        assert_int_equal(row_table_apply(&t, seq, put, bytes_of(key), bytes_of(put ? key : "")),
                         ERR_OK);
        if (put) {
            count += !model[k].present;
            model[k].version = model[k].present ? model[k].version + 1 : 1;
            model[k].created = model[k].present ? model[k].created : seq;
            model[k].modified = seq;
        } else {
            count -= model[k].present;
        }
        model[k].present = put;
        assert_int_equal(t.count, count);
        if (put) /* what the row already has changes nothing */
            assert_int_equal(row_table_apply(&t, seq - sample_below(&random, 2),
                                             sample_below(&random, 2), bytes_of(key),
                                             bytes_of("old")),
                             ERR_OK);
        assert_int_equal(t.count, count);
        k = sample_below(&random, KEYS);
        snprintf(key, sizeof key, "key/%zu", k);
        const struct table_row *row = row_table_find(&t, bytes_of(key));
        assert_int_equal(row != NULL, model[k].present);
        if (row) {
            assert_int_equal(row->modified, model[k].modified);
            assert_int_equal(row->created, model[k].created);
            assert_int_equal(row->version, model[k].version);
            assert_string_equal(row->key, key);
            assert_memory_equal(table_row_value(row), key, row->value_size);
        }
    }
    struct table_row **rows = row_table_sorted(&t);
    for (size_t i = 1; i < t.count; i++)
        assert_true(strcmp(rows[i - 1]->key, rows[i]->key) < 0);
    free(rows);
    row_table_free(&t);
    assert_null(row_table_find(&t, bytes_of("key/1")));
    assert_null(row_table_sorted(&t));
    row_table_remove(&t, bytes_of("key/1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_packed_is_unpacked),
        cmocka_unit_test(numbers_without_loss),
        cmocka_unit_test(texts_of_every_length),
        cmocka_unit_test(too_little_room_writes_nothing_beyond),
        cmocka_unit_test(names_and_keys),
        cmocka_unit_test(a_table_and_its_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
