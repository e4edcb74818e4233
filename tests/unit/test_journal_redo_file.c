/*
 * The bytes of the redo log: bases, entries and items, whole, damaged and hostile; and the examples in
 * docs/journal-format.md.
 */
#define _GNU_SOURCE

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "journal/redo.h"
#include "protocol/record.h"
#include "tests/support/document_block.h"
#include "tests/support/sample_bytes.h"

enum { BASE_USED = 416 };

/* Every bit of it counts; nothing behind it does. */
static void test_a_base(void **state)
{
    (void)state;
    struct redo_base base = {.log = 1,
                             .generation = 2,
                             .number = 3,
                             .head = 4,
                             .sizes = {5, 6},
                             .page_size = 4096,
                             .last = true,
                             .boot_id = "a boot"};
    struct redo_base read;
    uint8_t bytes[REDO_BASE_SIZE];
    int fd = memfd_create("base", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(redo_base_read(fd, &read), ERR_CORRUPT); /* too short */
    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_int_equal(redo_base_read(fd, &read), ERR_NOT_FOUND);
    assert_int_equal(redo_base_write(fd, &base), 0);
    assert_int_equal(redo_base_read(fd, &read), ERR_OK);
    assert_memory_equal(read.boot_id, base.boot_id, sizeof base.boot_id);
    assert_true(read.log == 1 && read.generation == 2 && read.number == 3 && read.head == 4 &&
                read.sizes[0] == 5 && read.sizes[1] == 6 && read.page_size == 4096 && read.last);
    assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
    for (size_t i = 0; i < 8 * (size_t)BASE_USED; i++) {
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
        assert_int_equal(redo_base_read(fd, &read), ERR_CORRUPT);
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    close(fd);
}

static const struct redo_item samples[] = {
    {REDO_RECORD, {NULL, 0}, {(const uint8_t *)"a record", 8}},
    {REDO_SESSION, {(const uint8_t *)"12345678", 8}, {(const uint8_t *)"row", 3}},
    {REDO_CURSOR, {(const uint8_t *)"billing", 7}, {NULL, 0}},
    {REDO_LIFE, {(const uint8_t *)"\x01", 1}, {(const uint8_t *)"12", 2}},
    {REDO_OLDEST, {NULL, 0}, {(const uint8_t *)"12345678", 8}},
};
enum { SAMPLES = sizeof samples / sizeof samples[0] };

static void make_entry(struct wire_buffer *b, uint64_t number)
{
    wire_buffer_clear(b);
    for (size_t i = 0; i < SAMPLES; i++)
        redo_entry_add(b, &samples[i]);
    redo_entry_finish(b, 7, 3, number);
}

static void test_an_entry(void **state)
{
    struct wire_buffer b;
    struct wire_reader items;
    struct redo_item item;
    (void)state;
    wire_buffer_init(&b, 1 << 16);
    make_entry(&b, 5);
    struct bytes whole = {b.data, b.size};
    assert_true(redo_entry_check(whole, 7, 3, 5, &items));
    assert_int_equal(redo_entry_size(wire_left(&items)), (b.size + 7) / 8 * 8);
    for (size_t i = 0; i < SAMPLES; i++) {
        assert_true(redo_item_next(&items, &item));
        assert_int_equal(item.kind, samples[i].kind);
        assert_true(bytes_equal(item.key, samples[i].key));
        assert_true(bytes_equal(item.value, samples[i].value));
    }
    assert_false(redo_item_next(&items, &item) || items.failed);

    assert_false(redo_entry_check(whole, 8, 3, 5, &items));
    assert_false(redo_entry_check(whole, 7, 4, 5, &items));
    assert_false(redo_entry_check(whole, 7, 3, 6, &items));
    assert_true(redo_entry_follows(whole, 7, 3, 4));
    assert_false(redo_entry_follows(whole, 7, 3, 5));
    for (size_t size = 0; size < b.size; size++)
        assert_false(redo_entry_check((struct bytes){b.data, size}, 7, 3, 5, &items));
    for (size_t i = 0; i < 8 * b.size; i++) {
        b.data[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(redo_entry_check(whole, 7, 3, 5, &items));
        b.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    wire_buffer_free(&b);
}

/* Items whose checksum is right, and which make no sense. */
static void test_items_that_make_no_sense(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[12];
        size_t size;
    } cases[] = {
        {{0, 0, 0, 0, 0, 0, 0}, 7},                             /* no such kind */
        {{6, 0, 0, 0, 0, 0, 0}, 7},                             /* nor this */
        {{1, 0, 0, 1, 0, 0, 0}, 7},                             /* the value is missing */
        {{2, 1, 0, 0, 0, 0, 0}, 7},                             /* the key is */
        {{2, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4, 5}, 12}, /* sizes that overflow */
        {{1, 0, 0, 0, 0, 0}, 6},                                /* cut off */
        {{1}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *exact = malloc(cases[i].size);
        assert_non_null(exact);
        memcpy(exact, cases[i].bytes, cases[i].size);
        struct wire_reader r = wire_reader_of(exact, cases[i].size);
        struct redo_item item;
        assert_false(redo_item_next(&r, &item));
        assert_true(r.failed);
        free(exact);
    }
}

/* ---- the document ---- */

static void test_the_documents_base(void **state)
{
    (void)state;
    uint8_t block[REDO_BASE_SIZE] = {0};
    uint8_t written[REDO_BASE_SIZE];
    struct redo_base base;
    size_t size =
        document_block(TEST_SOURCE_DIR, "docs/journal-format.md", "redo-base", block, sizeof block);
    assert_int_equal(size, 416);
    int fd = memfd_create("base", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, block, sizeof block, 0), sizeof block);
    assert_int_equal(redo_base_read(fd, &base), ERR_OK);
    assert_true(base.log == UINT64_C(0x5be1977c30a2d4f6));
    assert_true(base.generation == 1 && base.number == 1 && base.head == 0 && !base.last);
    assert_true(base.sizes[0] == 65536 && base.sizes[1] == 65536 && base.page_size == 4096);
    assert_string_equal(base.boot_id, "9c0b6a1e-2f4d-4c58-8b1e-6a57d0c1f3e2");
    assert_int_equal(wire_load_u32(base.metas[0] + 16), 0xbeefc0de); /* LMDB's magic */
    assert_int_equal(wire_load_u32(base.metas[1] + 16), 0xbeefc0de);
    assert_int_equal(redo_base_write(fd, &base), 0);
    assert_int_equal(pread(fd, written, sizeof written, 0), sizeof written);
    assert_memory_equal(written, block, sizeof block);
    close(fd);
}

static void test_the_documents_entry(void **state)
{
    (void)state;
    uint8_t block[512];
    struct record_header header;
    struct redo_item items[2];
    struct redo_item none;
    struct wire_reader r;
    struct wire_buffer b;
    size_t size = document_block(TEST_SOURCE_DIR, "docs/journal-format.md", "redo-entry", block,
                                 sizeof block);
    assert_true(
        redo_entry_check((struct bytes){block, size}, UINT64_C(0x5be1977c30a2d4f6), 1, 1, &r));
    assert_int_equal(redo_entry_size(wire_left(&r)), size);
    assert_true(redo_item_next(&r, &items[0]) && redo_item_next(&r, &items[1]));
    assert_false(redo_item_next(&r, &none) || r.failed);
    assert_int_equal(items[0].kind, REDO_RECORD);
    assert_int_equal(record_check(items[0].value, &header), ERR_OK);
    assert_int_equal(header.seq, 1);
    assert_int_equal(items[1].kind, REDO_CURSOR);
    assert_true(bytes_equal(items[1].key, bytes_of("billing")) && items[1].value.size == 0);
    wire_buffer_init(&b, 1 << 16);
    for (size_t i = 0; i < 2; i++)
        redo_entry_add(&b, &items[i]);
    redo_entry_finish(&b, UINT64_C(0x5be1977c30a2d4f6), 1, 1);
    assert_memory_equal(b.data, block, b.size);
    wire_buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_base),
        cmocka_unit_test(test_an_entry),
        cmocka_unit_test(test_items_that_make_no_sense),
        cmocka_unit_test(test_the_documents_base),
        cmocka_unit_test(test_the_documents_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
