/*
 * Backups as bytes: written, read again, and refused when anything about them is
 * wrong; and the example in docs/backup-format.md.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "protocol/backup_file.h"
#include "protocol/crc32c.h"
#include "protocol/message.h"
#include "protocol/record.h"
#include "tests/support/sample_bytes.h"

enum { EPOCH_AT = 16 };
#define EPOCH UINT64_C(0x8c1f52a60b3d97e4)
#define TIME_US UINT64_C(1735689600000000)

/* ---- a backup of the test's own ---- */

static void add_record(struct wire_buffer *b, uint64_t seq, const char *key, const char *value,
                       uint64_t prev_seq)
{
    struct record_writer w;
    record_begin(&w, b, seq, TIME_US + seq, 0, 0);
    record_add(&w, &(struct change){.op = value ? CHANGE_PUT : CHANGE_DELETE,
                                    .prev_seq = prev_seq,
                                    .key = bytes_of(key),
                                    .value = value ? bytes_of(value) : (struct bytes){0}});
    assert_true(record_end(&w) > 0);
}

static void add_row(struct wire_buffer *b, const char *key, uint64_t created, uint64_t modified,
                    uint64_t version, const char *value)
{
    list_row_write(b, &(struct list_row){.key = bytes_of(key),
                                         .created = created,
                                         .modified = modified,
                                         .version = version,
                                         .value = bytes_of(value)});
}

/* Ends the chunk that begins at begin, and lets the tally judge it. */
static int seal(struct wire_buffer *b, size_t begin, uint32_t count, struct backup_tally *t)
{
    struct backup_chunk chunk;
    struct failure failure = {0};
    backup_chunk_end(b, begin, count);
    assert_false(b->failed);
    return backup_tally_chunk(t, (struct bytes){b->data + begin, b->size - begin}, &chunk,
                              &failure);
}

/* Records 41 to 43, rows of two keys: "a" as of 42, "b" as of before. */
static void write_sample(struct wire_buffer *b, struct backup_tally *t)
{
    struct backup_header h = {.epoch = EPOCH, .first = 41, .time_us = TIME_US};
    backup_write_header(b, &h, t);
    size_t begin = backup_chunk_begin(b, BACKUP_RECORDS);
    add_record(b, 41, "c", "\x01", 0);
    add_record(b, 42, "a", "\xa2ok", 17);
    assert_int_equal(seal(b, begin, 2, t), ERR_OK);
    begin = backup_chunk_begin(b, BACKUP_ROWS);
    add_row(b, "a", 17, 42, 2, "\xa2ok");
    assert_int_equal(seal(b, begin, 1, t), ERR_OK);
    begin = backup_chunk_begin(b, BACKUP_ROWS);
    add_row(b, "b", 3, 30, 4, "\x07");
    assert_int_equal(seal(b, begin, 1, t), ERR_OK);
    begin = backup_chunk_begin(b, BACKUP_RECORDS);
    add_record(b, 43, "c", NULL, 41);
    assert_int_equal(seal(b, begin, 1, t), ERR_OK);
    backup_write_end(b, t, 42);
}

struct memory {
    const uint8_t *data;
    size_t size;
    size_t step; /* bytes that a read gives at most */
};

static int read_memory(void *context, uint8_t *out, size_t size, size_t *ret_size,
                       struct failure *failure)
{
    struct memory *m = context;
    (void)failure;
    size_t n = size < m->size ? size : m->size;
    n = n < m->step ? n : m->step;
    memcpy(out, m->data, n);
    m->data += n;
    m->size -= n;
    *ret_size = n;
    return ERR_OK;
}

/* Reads to the end. ERR_OK, or what is wrong. */
static int read_all(const uint8_t *data, size_t size, size_t step, struct backup_summary *ret,
                    struct failure *failure)
{
    struct memory m = {data, size, step};
    struct backup_reader r = {.read = read_memory, .context = &m, .name = "it"};
    struct backup_chunk chunk;
    *failure = (struct failure){0};
    int err = backup_reader_open(&r, failure);
    while (err == ERR_OK)
        err = backup_reader_next(&r, &chunk, failure);
    if (err == ERR_NOT_FOUND)
        assert_int_equal(backup_reader_next(&r, &chunk, failure), ERR_NOT_FOUND);
    if (ret)
        *ret = r.tally.summary;
    backup_reader_free(&r);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static int refused(const struct wire_buffer *b, struct failure *failure)
{
    return read_all(b->data, b->size, SIZE_MAX, NULL, failure);
}

/* ---- tests ---- */

static void test_round_trip(void **state)
{
    (void)state;
    struct wire_buffer b;
    struct backup_tally t;
    struct failure failure;
    wire_buffer_init(&b, 1 << 20);
    write_sample(&b, &t);
    assert_int_equal(t.summary.bytes, b.size);
    for (size_t step = 1; step <= b.size; step += 13) {
        struct backup_summary s = {0};
        assert_int_equal(read_all(b.data, b.size, step, &s, &failure), ERR_OK);
        assert_int_equal(s.bytes, t.summary.bytes);
        assert_int_equal(s.checksum, t.summary.checksum);
        assert_int_equal(s.head, t.summary.head);
    }
    assert_int_equal(t.summary.head, 43);
    assert_int_equal(t.summary.oldest, 42);
    assert_int_equal(t.summary.rows, 2);
    assert_int_equal(t.summary.records, 3);
    assert_int_equal(t.summary.chunks, 4);
    wire_buffer_free(&b);
}

static void test_an_empty_journal(void **state)
{
    (void)state;
    struct wire_buffer b;
    struct backup_tally t;
    struct failure failure;
    struct backup_summary s;
    wire_buffer_init(&b, 1 << 20);
    backup_write_header(&b, &(struct backup_header){.epoch = EPOCH, .first = 1}, &t);
    backup_write_end(&b, &t, 1);
    assert_int_equal(read_all(b.data, b.size, SIZE_MAX, &s, &failure), ERR_OK);
    assert_int_equal(s.head, 0);
    assert_int_equal(s.oldest, 1);
    wire_buffer_free(&b);
}

static void test_every_byte_counts(void **state)
{
    (void)state;
    struct wire_buffer b;
    struct backup_tally t;
    struct failure failure;
    wire_buffer_init(&b, 1 << 20);
    write_sample(&b, &t);
    for (size_t i = 0; i < b.size; i++) {
        for (unsigned flip = 1; flip < 256; flip++) {
            b.data[i] ^= (uint8_t)flip;
            int err = refused(&b, &failure);
            if (err != ERR_CORRUPT && err != ERR_FOREIGN)
                fail_msg("byte %zu changed by %02x: %s", i, flip, error_name(err));
            assert_non_null(strstr(failure.text, "it "));
            b.data[i] ^= (uint8_t)flip;
        }
    }
    wire_buffer_free(&b);
}

static void test_every_length_but_the_right_one(void **state)
{
    (void)state;
    struct wire_buffer b;
    struct backup_tally t;
    struct failure failure;
    wire_buffer_init(&b, 1 << 20);
    write_sample(&b, &t);
    for (size_t size = 0; size < b.size; size++) {
        uint8_t *copy = malloc(size + 1); /* exactly, so that a read past the end shows */
        assert_non_null(copy);
        memcpy(copy, b.data, size);
        int err = read_all(copy, size, SIZE_MAX, NULL, &failure);
        assert_int_equal(err, size == 0 ? ERR_FOREIGN : ERR_CORRUPT);
        assert_non_null(strstr(failure.text, size == 0 ? "not a Vigil backup" : "cut off"));
        free(copy);
    }
    wire_write_u8(&b, 0);
    assert_int_equal(refused(&b, &failure), ERR_CORRUPT);
    assert_non_null(strstr(failure.text, "follows its end"));
    wire_buffer_free(&b);
}

static void put_header_right(struct wire_buffer *b)
{
    wire_store_u32(b->data + 44, crc32c(0, b->data, 44));
}

static void test_foreign_files(void **state)
{
    (void)state;
    struct wire_buffer b;
    struct backup_tally t;
    struct failure failure;
    wire_buffer_init(&b, 1 << 20);
    write_sample(&b, &t);
    wire_store_u32(b.data + 8, 2);
    put_header_right(&b);
    assert_int_equal(refused(&b, &failure), ERR_FOREIGN);
    assert_non_null(strstr(failure.text, "format 2"));
    wire_store_u32(b.data + 8, 0);
    put_header_right(&b);
    assert_int_equal(refused(&b, &failure), ERR_CORRUPT);
    wire_buffer_clear(&b);
    wire_write_raw(&b, "#!/bin/sh\necho this is no backup\n", 32);
    assert_int_equal(refused(&b, &failure), ERR_FOREIGN);
    wire_buffer_free(&b);
}

/* The checksums are right, and still it cannot be: the whole of another header, chunks that were
 * moved, left out, repeated. */
static void test_parts_that_do_not_belong_together(void **state)
{
    (void)state;
    struct wire_buffer b;
    struct backup_tally t;
    struct failure failure;
    size_t at[8] = {BACKUP_HEADER_SIZE};
    size_t chunks = 0;
    wire_buffer_init(&b, 1 << 20);
    write_sample(&b, &t);
    for (; at[chunks] < b.size; chunks++)
        at[chunks + 1] =
            at[chunks] + BACKUP_CHUNK_HEADER_SIZE + wire_load_u32(b.data + at[chunks] + 4);
    assert_int_equal(chunks, 5);

    wire_store_u64(b.data + EPOCH_AT, EPOCH + 1);
    put_header_right(&b);
    assert_int_equal(refused(&b, &failure), ERR_CORRUPT);
    wire_store_u64(b.data + EPOCH_AT, EPOCH);
    put_header_right(&b);
    assert_int_equal(refused(&b, &failure), ERR_OK);

    for (size_t from = 0; from < chunks; from++) {
        for (size_t to = 0; to <= chunks; to++) {
            /* The chunk `from` goes before the chunk `to`, or if that is itself, nowhere. */
            struct wire_buffer other;
            wire_buffer_init(&other, 1 << 20);
            wire_write_raw(&other, b.data, BACKUP_HEADER_SIZE);
            for (size_t i = 0; i <= chunks; i++) {
                if (i == to && from != to)
                    wire_write_raw(&other, b.data + at[from], at[from + 1] - at[from]);
                if (i < chunks && i != from)
                    wire_write_raw(&other, b.data + at[i], at[i + 1] - at[i]);
            }
            int err = refused(&other, &failure);
            assert_int_equal(err, to == from + 1 ? ERR_OK : ERR_CORRUPT);
            wire_buffer_free(&other);
        }
    }
    wire_buffer_free(&b);
}

/* What a client must never write, because a reader refuses it. */
static void test_content_that_cannot_be(void **state)
{
    (void)state;
    struct wire_buffer b;
    struct backup_tally begun;
    wire_buffer_init(&b, 1 << 20);
    backup_write_header(&b, &(struct backup_header){.epoch = EPOCH, .first = 41}, &begun);
    size_t start = b.size;
#define REFUSES(kind, count, ...)                                  \
    do {                                                           \
        struct backup_tally t = begun;                             \
        b.size = start;                                            \
        size_t begin = backup_chunk_begin(&b, kind);               \
        __VA_ARGS__;                                               \
        assert_int_equal(seal(&b, begin, count, &t), ERR_CORRUPT); \
    } while (0)
    REFUSES(BACKUP_RECORDS, 1, add_record(&b, 42, "a", "\x01", 0));
    REFUSES(BACKUP_RECORDS, 1, add_record(&b, 41, "a", "\x01", 41));
    REFUSES(BACKUP_RECORDS, 1, add_record(&b, 41, "a", "\xa2o", 0));
    REFUSES(BACKUP_RECORDS, 2, add_record(&b, 41, "a", "\x01", 0));
    REFUSES(BACKUP_RECORDS, 0, (void)0);
    REFUSES(BACKUP_RECORDS, 1, add_record(&b, 41, "a", "\x01", 0); wire_write_u8(&b, 0));
    REFUSES(BACKUP_ROWS, 1, add_row(&b, "", 1, 1, 1, "\x01"));
    REFUSES(BACKUP_ROWS, 1, add_row(&b, "a", 0, 1, 1, "\x01"));
    REFUSES(BACKUP_ROWS, 1, add_row(&b, "a", 2, 1, 1, "\x01"));
    REFUSES(BACKUP_ROWS, 1, add_row(&b, "a", 1, 1, 0, "\x01"));
    REFUSES(BACKUP_ROWS, 1, add_row(&b, "a", 1, 3, 4, "\x01"));
    REFUSES(BACKUP_ROWS, 1, add_row(&b, "a", 1, 1, 1, "\xc1"));
    REFUSES(BACKUP_ROWS, 2, add_row(&b, "b", 1, 1, 1, "\x01"); add_row(&b, "a", 1, 1, 1, "\x01"));
    REFUSES(BACKUP_ROWS, 2, add_row(&b, "a", 1, 1, 1, "\x01"); add_row(&b, "a", 1, 1, 1, "\x01"));
    REFUSES((enum backup_kind)4, 1, wire_write_u8(&b, 0));
    REFUSES(BACKUP_END, 0, wire_write_u64(&b, 0));
    /* A row that is newer than the last record. */
    struct backup_tally t = begun;
    struct failure failure;
    b.size = start;
    size_t begin = backup_chunk_begin(&b, BACKUP_RECORDS);
    add_record(&b, 41, "a", "\x01", 0);
    assert_int_equal(seal(&b, begin, 1, &t), ERR_OK);
    begin = backup_chunk_begin(&b, BACKUP_ROWS);
    add_row(&b, "b", 1, 42, 2, "\x01");
    assert_int_equal(seal(&b, begin, 1, &t), ERR_OK);
    backup_write_end(&b, &t, 41);
    assert_int_equal(refused(&b, &failure), ERR_CORRUPT);
    assert_non_null(strstr(failure.text, "missing"));
    wire_buffer_free(&b);
}

static int read_badly(void *context, uint8_t *out, size_t size, size_t *ret_size,
                      struct failure *failure)
{
    (void)context;
    (void)out;
    (void)size;
    (void)ret_size;
    return failure_set(failure, ERR_IO, "the disk is gone");
}

static void test_a_source_that_fails(void **state)
{
    (void)state;
    struct backup_reader r = {.read = read_badly, .name = "it"};
    struct failure failure = {0};
    assert_int_equal(backup_reader_open(&r, &failure), ERR_IO);
    assert_string_equal(failure.text, "the disk is gone");
    backup_reader_free(&r);
}

/* ---- the document ---- */

static size_t read_example(uint8_t *out, size_t size)
{
    static const char fence[] = "```hex name=backup\n";
    enum { DOCUMENT_MAX = 1 << 16 };
    char path[4096];
    char *document = calloc(1, DOCUMENT_MAX + 1);
    assert_non_null(document);
    (void)snprintf(path, sizeof path, "%s/docs/backup-format.md", TEST_SOURCE_DIR);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_true(fread(document, 1, DOCUMENT_MAX, file) > 0);
    (void)fclose(file);
    const char *at = strstr(document, fence);
    assert_non_null(at);
    size_t count = 0;
    for (at += sizeof fence - 1; strncmp(at, "```", 3) != 0; at = strchr(at, '\n') + 1) {
        char *end;
        for (const char *text = at; *text != '#'; text = end + strspn(end, " ")) {
            assert_true(count < size);
            out[count++] = (uint8_t)strtoul(text, &end, 16);
            assert_ptr_equal(end, text + 2);
        }
    }
    free(document);
    return count;
}

static void test_the_documents_example(void **state)
{
    (void)state;
    uint8_t example[4096];
    struct wire_buffer b;
    struct backup_tally t;
    struct failure failure;
    wire_buffer_init(&b, 1 << 20);
    write_sample(&b, &t);
    size_t size = read_example(example, sizeof example);
    if (size != b.size || memcmp(example, b.data, size) != 0) {
        for (size_t i = 0; i < b.size; i++)
            print_message("%02x%s", b.data[i], i % 16 == 15 ? "\n" : " ");
        fail_msg("the document's example is not what the code writes");
    }
    assert_int_equal(read_all(example, size, SIZE_MAX, NULL, &failure), ERR_OK);
    wire_buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_an_empty_journal),
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_every_length_but_the_right_one),
        cmocka_unit_test(test_foreign_files),
        cmocka_unit_test(test_parts_that_do_not_belong_together),
        cmocka_unit_test(test_content_that_cannot_be),
        cmocka_unit_test(test_a_source_that_fails),
        cmocka_unit_test(test_the_documents_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
