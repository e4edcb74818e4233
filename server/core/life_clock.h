/*
 * life_clock.h - the time in which ends of lives are counted, in milliseconds: the
 * machine's boot clock, and after a reboot the boot clock from where it was last
 * known to stand before. So nothing that is kept has to be changed at a reboot.
 *
 *   boot clock  100 ... 5000 | reboot | 30 ... 700
 *   life time   100 ... 5000 |        | 4900 ...   the newest row said 4900: late, not early
 *
 * 1. It never falls and never gains on the boot clock: an end is never early.
 * 2. Within one boot its distance to the boot clock is always the same: what was
 *    counted goes on while no server runs. A row with the boot's name and both
 *    clocks is in the journal before anything that was counted by it.
 */
#ifndef VIGIL_SERVER_CORE_LIFE_CLOCK_H
#define VIGIL_SERVER_CORE_LIFE_CLOCK_H

#include "protocol/wire.h"

enum { LIFE_BOOT_SIZE = 40, LIFE_CLOCK_ROW_SIZE = LIFE_BOOT_SIZE + 16 };

/* Zeroed: life time is the boot clock, of a boot without a name. */
struct life_clock {
    uint64_t offset; /* of life time from the boot clock, modulo 2^64 */
    uint8_t boot[LIFE_BOOT_SIZE];
    /* What the journal had at start. */
    bool is_restored;
    uint8_t restored_boot[LIFE_BOOT_SIZE];
    uint64_t restored_offset;
    uint64_t restored_life_ms; /* it has come so far, at least */
    /* Its row. */
    bool is_written;      /* by this run */
    uint64_t written_ms;  /* boot clock of the newest one that is durable */
    bool is_in_batch;     /* one goes with the batch at hand, */
    uint64_t in_batch_ms; /* of this boot clock */
};

void life_clock_row_encode(const struct life_clock *c, uint64_t boot_ms,
                           uint8_t out[LIFE_CLOCK_ROW_SIZE]);
/* ERR_OK, ERR_CORRUPT. */
int life_clock_row_decode(struct life_clock *c, struct bytes row);
/* Something in the journal was written at this life time. */
void life_clock_seen(struct life_clock *c, uint64_t life_ms);
/* From now on it runs. boot: the boot's name; all zeros equal no other. */
void life_clock_start(struct life_clock *c, const uint8_t boot[LIFE_BOOT_SIZE], uint64_t boot_ms);
static inline uint64_t life_clock_at(const struct life_clock *c, uint64_t boot_ms)
{
    return boot_ms + c->offset;
}

#endif
