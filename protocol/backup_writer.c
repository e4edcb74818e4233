/* backup_writer.c - a backup's bytes; see backup_file.h. Pure. */
#include "protocol/backup_file.h"
#include "protocol/backup_layout.h"
#include "protocol/crc32c.h"

void backup_tally_begin(struct backup_tally *t, const struct backup_header *h,
                        const uint8_t bytes[BACKUP_HEADER_SIZE])
{
    *t = (struct backup_tally){
        .summary = {.epoch = h->epoch,
                    .first = h->first,
                    .head = h->first - 1,
                    .bytes = BACKUP_HEADER_SIZE,
                    .checksum = crc32c(0, bytes, BACKUP_HEADER_SIZE)},
    };
}

void backup_write_header(struct wire_buffer *b, const struct backup_header *h,
                         struct backup_tally *t)
{
    uint8_t *out = wire_extend(b, BACKUP_HEADER_SIZE);
    if (!out)
        return;
    memset(out, 0, BACKUP_HEADER_SIZE);
    memcpy(out, backup_magic, sizeof backup_magic);
    wire_store_u32(out + HEADER_AT_FORMAT, BACKUP_FORMAT);
    wire_store_u32(out + HEADER_AT_FLAGS, h->state_only ? BACKUP_FLAG_STATE_ONLY : 0);
    wire_store_u64(out + HEADER_AT_EPOCH, h->epoch);
    wire_store_u64(out + HEADER_AT_FIRST, h->first);
    wire_store_u64(out + HEADER_AT_TIME, h->time_us);
    wire_store_u32(out + HEADER_AT_CRC, crc32c(0, out, HEADER_AT_CRC));
    backup_tally_begin(t, h, out);
}

size_t backup_chunk_begin(struct wire_buffer *b, enum backup_kind kind)
{
    size_t begin = b->size;
    uint8_t *out = wire_extend(b, BACKUP_CHUNK_HEADER_SIZE);
    if (out) {
        memset(out, 0, BACKUP_CHUNK_HEADER_SIZE);
        out[CHUNK_AT_KIND] = (uint8_t)kind;
    }
    return begin;
}

void backup_chunk_end(struct wire_buffer *b, size_t begin, uint32_t count)
{
    if (b->failed)
        return;
    uint8_t *chunk = b->data + begin;
    size_t size = b->size - begin;
    wire_store_u32(chunk + CHUNK_AT_SIZE, (uint32_t)(size - BACKUP_CHUNK_HEADER_SIZE));
    wire_store_u32(chunk + CHUNK_AT_COUNT, count);
    wire_store_u32(chunk, crc32c(0, chunk + CHUNK_AT_SIZE, size - CHUNK_AT_SIZE));
}

void backup_write_end(struct wire_buffer *b, struct backup_tally *t, uint64_t oldest)
{
    struct backup_summary *s = &t->summary;
    s->oldest = oldest > s->head ? s->head : oldest;
    if (s->oldest < s->first)
        s->oldest = s->first;
    size_t begin = backup_chunk_begin(b, BACKUP_END);
    wire_write_u64(b, s->epoch);
    wire_write_u64(b, s->first);
    wire_write_u64(b, s->oldest);
    wire_write_u64(b, s->head);
    wire_write_u64(b, s->rows);
    wire_write_u64(b, s->records);
    wire_write_u64(b, s->chunks);
    wire_write_u32(b, s->checksum);
    backup_chunk_end(b, begin, 0);
    if (!b->failed)
        s->bytes += BACKUP_CHUNK_HEADER_SIZE + BACKUP_END_SIZE;
}
