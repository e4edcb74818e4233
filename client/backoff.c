/* backoff.c - see backoff.h. The generator is Knuth's (MMIX), of which the upper bits are used. */
#include "client/backoff.h"

static int with_jitter(struct backoff *b)
{
    b->random = b->random * 6364136223846793005u + 1442695040888963407u;
    return b->delay_ms - (int)((b->random >> 33) % ((unsigned)b->delay_ms / 2 + 1));
}

int backoff_next(struct backoff *b)
{
    int pause_ms = with_jitter(b);
    b->delay_ms = b->delay_ms == 0                    ? BACKOFF_FIRST_MS
                  : b->delay_ms * 2 < BACKOFF_MOST_MS ? b->delay_ms * 2
                                                      : BACKOFF_MOST_MS;
    return pause_ms;
}
