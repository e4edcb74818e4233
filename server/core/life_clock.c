/*
 * life_clock.c - see life_clock.h. The row, little-endian:
 *
 *   0 40 bytes: the boot's name   40 u64 boot clock   48 u64 life time
 */
#include "server/core/life_clock.h"

#include "protocol/errors.h"

void life_clock_row_encode(const struct life_clock *c, uint64_t boot_ms,
                           uint8_t out[LIFE_CLOCK_ROW_SIZE])
{
    memcpy(out, c->boot, LIFE_BOOT_SIZE);
    wire_store_u64(out + LIFE_BOOT_SIZE, boot_ms);
    wire_store_u64(out + LIFE_BOOT_SIZE + 8, life_clock_at(c, boot_ms));
}

int life_clock_row_decode(struct life_clock *c, struct bytes row)
{
    if (row.size != LIFE_CLOCK_ROW_SIZE)
        return ERR_CORRUPT;
    c->is_restored = true;
    memcpy(c->restored_boot, row.data, LIFE_BOOT_SIZE);
    uint64_t life_ms = wire_load_u64(row.data + LIFE_BOOT_SIZE + 8);
    c->restored_offset = life_ms - wire_load_u64(row.data + LIFE_BOOT_SIZE);
    life_clock_seen(c, life_ms);
    return ERR_OK;
}

void life_clock_seen(struct life_clock *c, uint64_t life_ms)
{
    if (life_ms > c->restored_life_ms)
        c->restored_life_ms = life_ms;
}

void life_clock_start(struct life_clock *c, const uint8_t boot[LIFE_BOOT_SIZE], uint64_t boot_ms)
{
    bool is_named = boot[0] != 0;
    memcpy(c->boot, boot, LIFE_BOOT_SIZE);
    c->offset = 0;
    if (!c->is_restored && c->restored_life_ms == 0)
        return;
    /* A boot clock that is behind where it was is another one, whatever its boot is called. */
    uint64_t ahead_ms = boot_ms + c->restored_offset - c->restored_life_ms;
    bool is_same = is_named && c->is_restored &&
                   memcmp(boot, c->restored_boot, LIFE_BOOT_SIZE) == 0 && ahead_ms < UINT64_MAX / 2;
    c->offset = is_same ? c->restored_offset : c->restored_life_ms - boot_ms;
}
