/* patience.c - see patience.h. */
#include "server/net/patience.h"

enum {
    COMMIT_SLOW_US = 1000,
    WAIT_MAX_US = 4000,
    WAIT_SHARE = 4, /* of a commit's time */
    GAIN_SHARE = 4, /* of the batch: less company than this did not pay */
    PAUSE_MAX = 64,
    AVERAGE_WEIGHT = 8
};

void patience_committed(struct patience *p, uint64_t took_us)
{
    if (p->commit_us == 0)
        p->commit_us = took_us;
    else
        p->commit_us = (p->commit_us * (AVERAGE_WEIGHT - 1) + took_us) / AVERAGE_WEIGHT;
}

uint64_t patience_begin(struct patience *p)
{
    if (p->commit_us < COMMIT_SLOW_US)
        return 0;
    if (p->pause > 0) {
        p->pause--;
        return 0;
    }
    uint64_t wait_us = p->commit_us / WAIT_SHARE;
    return wait_us < WAIT_MAX_US ? wait_us : WAIT_MAX_US;
}

void patience_learn(struct patience *p, size_t before, size_t after)
{
    if (after - before >= before / GAIN_SHARE + 1) {
        p->pause_next = 0;
        return;
    }
    p->pause_next = p->pause_next ? p->pause_next * 2 : 1;
    if (p->pause_next > PAUSE_MAX)
        p->pause_next = PAUSE_MAX;
    p->pause = p->pause_next;
}
