/*
 * Backups: the reader must stand any bytes, and what it lets through can be walked without further
 * checks, as a restore does. The input is tried as it is, and once more with its checksums and its
 * end put right, so that mutations get behind those.
 */
#include <assert.h>
#include <stdlib.h>

#include "protocol/backup_file.h"
#include "protocol/crc32c.h"
#include "protocol/message.h"
#include "protocol/record.h"

enum { HEADER_CRC_AT = 44, KIND_AT = 12, READ_MAX = 4093 };

struct memory {
    const uint8_t *data;
    size_t size;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_memory(void *context, uint8_t *out, size_t size, size_t *ret_size,
                       struct failure *failure)
{
    struct memory *m = context;
    (void)failure;
    size_t n = size < m->size ? size : m->size;
    n = n < READ_MAX ? n : READ_MAX;
    if (n > 0)
        memcpy(out, m->data, n);
    m->data += n;
    m->size -= n;
    *ret_size = n;
    return ERR_OK;
}

/* Walks a chunk as a restore does. Returns the bytes seen. */
static size_t walk(const struct backup_chunk *c)
{
    struct wire_reader r = wire_reader_of(c->content.data, c->content.size);
    for (uint32_t i = 0; i < c->count; i++) {
        struct list_row row;
        struct change change;
        if (c->kind == BACKUP_RECORDS) {
            for (struct change_iterator k = record_changes(r.at); change_next(&k, &change);)
                assert(change.key.size > 0);
            r.at += wire_load_u32(r.at);
        } else {
            bool whole = list_row_read(&r, &row);
            assert(whole && row.key.size > 0);
        }
    }
    return (size_t)(r.at - c->content.data);
}

/* Returns what the reader says. */
static int use(const uint8_t *data, size_t size)
{
    struct memory m = {data, size};
    struct backup_reader r = {.read = read_memory, .context = &m, .name = "input"};
    struct failure failure = {0};
    struct backup_chunk chunk;
    uint64_t rows = 0;
    uint64_t records = 0;
    int err = backup_reader_open(&r, &failure);
    while (err == ERR_OK && (err = backup_reader_next(&r, &chunk, &failure)) == ERR_OK) {
        size_t seen = walk(&chunk);
        assert(seen == chunk.content.size);
        rows += chunk.kind == BACKUP_ROWS ? chunk.count : 0;
        records += chunk.kind == BACKUP_RECORDS ? chunk.count : 0;
    }
    assert(err != ERR_OK);
    if (err == ERR_NOT_FOUND) {
        const struct backup_summary *s = &r.tally.summary;
        assert(s->bytes == size && s->rows == rows && s->records == records);
        assert(s->head + 1 == s->first + records && s->oldest >= s->first);
        assert(s->oldest <= s->head || s->head == 0);
    } else {
        assert(failure.text[0] != '\0' && failure.code == err);
    }
    backup_reader_free(&r);
    return err;
}

static void seal(uint8_t *chunk, size_t size)
{
    wire_store_u32(chunk, crc32c(0, chunk + 4, size - 4));
}

/* Puts the header's and the chunks' checksums right, and in place of what does not fit any more, an
 * end. Returns the size. */
static size_t put_right(uint8_t *data, size_t size, struct wire_buffer *out)
{
    struct backup_tally t;
    struct backup_header h = {.epoch = 1 | wire_load_u64(data + 16),
                              .first = (wire_load_u64(data + 24) & 0xffffffff) | 1};
    backup_write_header(out, &h, &t);
    size_t at = BACKUP_HEADER_SIZE;
    while (size - at >= BACKUP_CHUNK_HEADER_SIZE && data[at + KIND_AT] != BACKUP_END) {
        size_t left = size - at - BACKUP_CHUNK_HEADER_SIZE;
        size_t content = wire_load_u32(data + at + 4) % (left + 1);
        size_t whole = BACKUP_CHUNK_HEADER_SIZE + content;
        struct backup_chunk chunk;
        wire_store_u32(data + at + 4, (uint32_t)content);
        seal(data + at, whole);
        struct backup_tally next = t;
        if (backup_tally_chunk(&next, (struct bytes){data + at, whole}, &chunk, NULL) == ERR_OK) {
            wire_write_raw(out, data + at, whole);
            t = next;
        }
        at += whole;
    }
    backup_write_end(out, &t, t.summary.head);
    return out->failed ? 0 : out->size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_buffer out;
    (void)use(data, size);
    if (size < BACKUP_HEADER_SIZE)
        return 0;
    uint8_t *copy = malloc(size);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    wire_store_u32(copy + HEADER_CRC_AT, crc32c(0, copy, HEADER_CRC_AT));
    (void)use(copy, size);
    wire_buffer_init(&out, size + 4096);
    if (put_right(copy, size, &out) > 0) {
        int err = use(out.data, out.size);
        /* It holds together, unless rows or records are missing that it needs. */
        assert(err == ERR_NOT_FOUND || err == ERR_CORRUPT);
    }
    wire_buffer_free(&out);
    free(copy);
    return 0;
}
