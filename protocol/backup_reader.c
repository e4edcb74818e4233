/*
 * backup_reader.c - reads a backup and believes nothing of it; see backup_file.h.
 * Pure: the bytes come from the caller's function.
 */
#include "protocol/backup_file.h"
#include "protocol/backup_layout.h"
#include "protocol/crc32c.h"
#include "protocol/key.h"
#include "protocol/message.h"
#include "protocol/record.h"
#include "protocol/value.h"

static int corrupt(struct failure *failure, const char *what)
{
    return failure_set(failure, ERR_CORRUPT, "%s", what);
}

/* ---- content ---- */

static int check_record(struct backup_tally *t, struct wire_reader *r, struct failure *failure)
{
    struct record_header h;
    uint64_t seq = t->summary.head + 1;
    if (record_check((struct bytes){r->at, wire_left(r)}, &h) != ERR_OK || h.seq != seq ||
        (h.flags & RECORD_FLAG_VIEW) != 0 || h.count != h.parts)
        return failure_set(failure, ERR_CORRUPT, "what should be record %llu is not",
                           (unsigned long long)seq);
    struct change c;
    for (struct change_iterator i = record_changes(r->at); change_next(&i, &c);) {
        if (c.prev_seq >= seq || (c.op == CHANGE_PUT && !value_valid(c.value)))
            return failure_set(failure, ERR_CORRUPT, "record %llu holds a change that cannot be",
                               (unsigned long long)seq);
    }
    r->at += h.size;
    t->summary.head = seq;
    t->summary.records++;
    return ERR_OK;
}

static int check_row(struct backup_tally *t, struct wire_reader *r, struct failure *failure)
{
    struct list_row row;
    if (!list_row_read(r, &row) || !key_valid(row.key))
        return corrupt(failure, "a row is malformed");
    if (t->last_key_size > 0 &&
        bytes_compare(row.key, (struct bytes){t->last_key, t->last_key_size}) <= 0)
        return corrupt(failure, "a row is out of order");
    if (row.created == 0 || row.created > row.modified || row.version == 0 ||
        row.version - 1 > row.modified - row.created || !value_valid(row.value))
        return corrupt(failure, "a row contradicts itself");
    memcpy(t->last_key, row.key.data, row.key.size);
    t->last_key_size = row.key.size;
    if (row.modified > t->newest)
        t->newest = row.modified;
    t->summary.rows++;
    return ERR_OK;
}

static int check_end(struct backup_tally *t, const struct backup_chunk *c, struct failure *failure)
{
    struct backup_summary *s = &t->summary;
    struct wire_reader r = wire_reader_of(c->content.data, c->content.size);
    bool same = c->count == 0 && c->content.size == BACKUP_END_SIZE;
    same = wire_read_u64(&r) == s->epoch && same;
    same = wire_read_u64(&r) == s->first && same;
    uint64_t oldest = wire_read_u64(&r);
    const uint64_t expected[] = {s->head, s->rows, s->records, s->chunks};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        same = wire_read_u64(&r) == expected[i] && same;
    same = wire_read_u32(&r) == s->checksum && same;
    /* Without any record first is 1 and head 0. */
    if (!same || oldest < s->first || oldest > (s->head ? s->head : 1))
        return corrupt(failure, "what its end says is not what comes before it");
    if (t->newest > s->head || (s->records == 0 && s->first != 1))
        return corrupt(failure, "its last records are missing");
    s->oldest = oldest;
    return ERR_OK;
}

static int check_content(struct backup_tally *t, const struct backup_chunk *c,
                         struct failure *failure)
{
    struct wire_reader r = wire_reader_of(c->content.data, c->content.size);
    int err = ERR_OK;
    if (c->count == 0)
        return corrupt(failure, "a chunk is empty");
    for (uint32_t i = 0; i < c->count && err == ERR_OK; i++)
        err = c->kind == BACKUP_RECORDS ? check_record(t, &r, failure) : check_row(t, &r, failure);
    if (err == ERR_OK && !wire_read_complete(&r))
        err = corrupt(failure, "a chunk has bytes too many");
    return err;
}

static uint32_t chunk_size(const uint8_t header[BACKUP_CHUNK_HEADER_SIZE])
{
    return wire_load_u32(header + CHUNK_AT_SIZE);
}

int backup_tally_chunk(struct backup_tally *t, struct bytes chunk, struct backup_chunk *ret_chunk,
                       struct failure *failure)
{
    const uint8_t *p = chunk.data;
    if (chunk.size < BACKUP_CHUNK_HEADER_SIZE ||
        chunk_size(p) != chunk.size - BACKUP_CHUNK_HEADER_SIZE ||
        wire_load_u32(p) != crc32c(0, p + CHUNK_AT_SIZE, chunk.size - CHUNK_AT_SIZE))
        return corrupt(failure, "a checksum is wrong");
    struct backup_chunk c = {
        .kind = p[CHUNK_AT_KIND],
        .count = wire_load_u32(p + CHUNK_AT_COUNT),
        .content = {p + BACKUP_CHUNK_HEADER_SIZE, chunk.size - BACKUP_CHUNK_HEADER_SIZE},
    };
    int err;
    if (c.kind < BACKUP_RECORDS || c.kind > BACKUP_END || p[CHUNK_AT_KIND + 1] != 0 ||
        p[CHUNK_AT_KIND + 2] != 0 || p[CHUNK_AT_KIND + 3] != 0)
        err = corrupt(failure, "a chunk is of no known kind");
    else
        err = c.kind == BACKUP_END ? check_end(t, &c, failure) : check_content(t, &c, failure);
    if (err != ERR_OK)
        return err;
    t->summary.bytes += chunk.size;
    if (c.kind != BACKUP_END) {
        t->summary.chunks++;
        t->summary.checksum = crc32c(t->summary.checksum, p, chunk.size);
    }
    *ret_chunk = c;
    return ERR_OK;
}

/* ---- the file ---- */

/* Adds size bytes to the buffer; fewer only at the file's end. */
static int fill(struct backup_reader *r, size_t size, size_t *ret_size, struct failure *failure)
{
    size_t done = 0;
    uint8_t *out = wire_extend(&r->buffer, size);
    if (!out)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    while (done < size) {
        size_t got = 0;
        int err = r->read(r->context, out + done, size - done, &got, failure);
        if (err != ERR_OK)
            return err;
        if (got == 0)
            break;
        done += got;
    }
    *ret_size = done;
    return ERR_OK;
}

/* The same, all of it. */
static int fill_whole(struct backup_reader *r, size_t size, struct failure *failure)
{
    size_t got = 0;
    int err = fill(r, size, &got, failure);
    if (err == ERR_OK && got < size)
        err = failure_set(failure, ERR_CORRUPT, "%s is cut off: it ends after %llu bytes", r->name,
                          (unsigned long long)r->tally.summary.bytes + r->buffer.size - size + got);
    return err;
}

static int damaged(const struct backup_reader *r, const struct failure *reason,
                   struct failure *failure)
{
    return failure_set(failure, reason->code, "%s is damaged after byte %llu: %.200s", r->name,
                       (unsigned long long)r->tally.summary.bytes, reason->text);
}

static int read_header(struct backup_reader *r, size_t size, struct failure *failure)
{
    const uint8_t *p = r->buffer.data;
    size_t magic = size < sizeof backup_magic ? size : sizeof backup_magic;
    if (magic == 0 || memcmp(p, backup_magic, magic) != 0)
        return failure_set(failure, ERR_FOREIGN, "%s is not a Vigil backup", r->name);
    if (size >= HEADER_AT_FORMAT + 4 && wire_load_u32(p + HEADER_AT_FORMAT) > BACKUP_FORMAT)
        return failure_set(failure, ERR_FOREIGN,
                           "%s has backup format %u, this program knows formats up to %d", r->name,
                           wire_load_u32(p + HEADER_AT_FORMAT), BACKUP_FORMAT);
    if (size < BACKUP_HEADER_SIZE)
        return failure_set(failure, ERR_CORRUPT, "%s is cut off: it ends in its header", r->name);
    uint32_t flags = wire_load_u32(p + HEADER_AT_FLAGS);
    struct backup_header h = {
        .epoch = wire_load_u64(p + HEADER_AT_EPOCH),
        .first = wire_load_u64(p + HEADER_AT_FIRST),
        .time_us = wire_load_u64(p + HEADER_AT_TIME),
        .state_only = (flags & BACKUP_FLAG_STATE_ONLY) != 0,
    };
    if (wire_load_u32(p + HEADER_AT_CRC) != crc32c(0, p, HEADER_AT_CRC) ||
        wire_load_u32(p + HEADER_AT_FORMAT) != BACKUP_FORMAT ||
        wire_load_u32(p + HEADER_AT_ZERO) != 0 || (flags & ~(uint32_t)BACKUP_FLAG_STATE_ONLY) ||
        h.epoch == 0 || h.first == 0 || h.first > INT64_MAX)
        return failure_set(failure, ERR_CORRUPT, "%s is damaged: its header is wrong", r->name);
    r->header = h;
    backup_tally_begin(&r->tally, &h, p);
    return ERR_OK;
}

int backup_reader_open(struct backup_reader *r, struct failure *failure)
{
    size_t size = 0;
    wire_buffer_init(&r->buffer, BACKUP_CHUNK_HEADER_SIZE + BACKUP_CONTENT_MAX);
    int err = fill(r, BACKUP_HEADER_SIZE, &size, failure);
    return err ? err : read_header(r, size, failure);
}

static int expect_nothing(struct backup_reader *r, struct failure *failure)
{
    size_t size = 0;
    int err = fill(r, 1, &size, failure);
    if (err == ERR_OK && size > 0)
        err =
            failure_set(failure, ERR_CORRUPT, "%s is damaged: something follows its end", r->name);
    if (err != ERR_OK)
        return err;
    r->ended = true;
    return ERR_NOT_FOUND;
}

int backup_reader_next(struct backup_reader *r, struct backup_chunk *ret_chunk,
                       struct failure *failure)
{
    struct failure reason = {0};
    struct backup_chunk chunk = {0};
    if (r->ended)
        return ERR_NOT_FOUND;
    wire_buffer_clear(&r->buffer);
    int err = fill_whole(r, BACKUP_CHUNK_HEADER_SIZE, failure);
    if (err != ERR_OK)
        return err;
    size_t size = chunk_size(r->buffer.data);
    if (size > BACKUP_CONTENT_MAX) {
        corrupt(&reason, "a chunk is too large");
        return damaged(r, &reason, failure);
    }
    err = fill_whole(r, size, failure);
    if (err != ERR_OK)
        return err;
    err = backup_tally_chunk(&r->tally, (struct bytes){r->buffer.data, r->buffer.size}, &chunk,
                             &reason);
    if (err != ERR_OK)
        return damaged(r, &reason, failure);
    if (chunk.kind == BACKUP_END)
        return expect_nothing(r, failure);
    *ret_chunk = chunk;
    return ERR_OK;
}

void backup_reader_free(struct backup_reader *r)
{
    wire_buffer_free(&r->buffer);
}
