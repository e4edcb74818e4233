/*
 * meta.c - the meta row: one row of fixed layout (docs/journal-format.md).
 *
 * Magic and format stand where every later format will have them too, and are
 * looked at before anything else, so that a newer journal is named as such.
 */
#define _GNU_SOURCE

#include "journal/environment.h"
#include "protocol/crc32c.h"

static const uint8_t magic[8] = {'V', 'I', 'G', 'I', 'L', 'J', 'N', 'L'};

enum {
    AT_FORMAT = 8,
    AT_SIZE = 12,
    AT_EPOCH = 16,
    AT_APPLIED = 24,
    AT_OLDEST = 32,
    AT_TRIMMED = 40,
    AT_HEAD = 48,
    AT_BYTES = 56,
    AT_CLEAN = 64,
    AT_DURABILITY = 65,
    AT_BOOT_ID = 72,
    AT_CRC = AT_BOOT_ID + BOOT_ID_SIZE,
};
_Static_assert(AT_CRC + 4 == META_SIZE, "the meta row's layout");

void meta_encode(const struct meta *m, uint8_t out[META_SIZE])
{
    memset(out, 0, META_SIZE);
    memcpy(out, magic, sizeof magic);
    wire_store_u32(out + AT_FORMAT, JOURNAL_FORMAT);
    wire_store_u32(out + AT_SIZE, META_SIZE);
    wire_store_u64(out + AT_EPOCH, m->epoch);
    wire_store_u64(out + AT_APPLIED, m->applied);
    wire_store_u64(out + AT_OLDEST, m->oldest);
    wire_store_u64(out + AT_TRIMMED, m->trimmed);
    wire_store_u64(out + AT_HEAD, m->head);
    wire_store_u64(out + AT_BYTES, m->bytes);
    out[AT_CLEAN] = m->clean ? 1 : 0;
    out[AT_DURABILITY] = m->durability;
    memcpy(out + AT_BOOT_ID, m->boot_id, BOOT_ID_SIZE);
    wire_store_u32(out + AT_CRC, crc32c(0, out, AT_CRC));
}

static bool is_consistent(const struct meta *m)
{
    return m->epoch != 0 && m->applied <= m->head && m->trimmed >= 1 && m->trimmed <= m->oldest &&
           m->oldest <= m->applied + 1 && (m->head == 0 ? m->oldest == 1 : m->oldest <= m->head) &&
           (m->durability == JOURNAL_POWER || m->durability == JOURNAL_PROCESS ||
            m->durability == META_REDO);
}

int meta_decode(struct bytes row, const char *directory, struct meta *ret_meta,
                struct failure *failure)
{
    if (row.size < AT_EPOCH || memcmp(row.data, magic, sizeof magic) != 0)
        return failure_set(failure, ERR_FOREIGN, "%s is not a Vigil journal", directory);
    uint32_t format = wire_load_u32(row.data + AT_FORMAT);
    if (format > JOURNAL_FORMAT)
        return failure_set(failure, ERR_FOREIGN,
                           "%s has journal format %u, this program knows formats up to %d",
                           directory, format, JOURNAL_FORMAT);
    if (format != JOURNAL_FORMAT || row.size != META_SIZE ||
        wire_load_u32(row.data + AT_SIZE) != META_SIZE ||
        wire_load_u32(row.data + AT_CRC) != crc32c(0, row.data, AT_CRC))
        return failure_set(failure, ERR_CORRUPT, "the meta row of %s is damaged", directory);
    struct meta m = {
        .epoch = wire_load_u64(row.data + AT_EPOCH),
        .applied = wire_load_u64(row.data + AT_APPLIED),
        .oldest = wire_load_u64(row.data + AT_OLDEST),
        .trimmed = wire_load_u64(row.data + AT_TRIMMED),
        .head = wire_load_u64(row.data + AT_HEAD),
        .bytes = wire_load_u64(row.data + AT_BYTES),
        .clean = row.data[AT_CLEAN] == 1,
        .durability = row.data[AT_DURABILITY],
    };
    memcpy(m.boot_id, row.data + AT_BOOT_ID, BOOT_ID_SIZE);
    if (!is_consistent(&m))
        return failure_set(failure, ERR_CORRUPT, "the meta row of %s contradicts itself",
                           directory);
    *ret_meta = m;
    return ERR_OK;
}
