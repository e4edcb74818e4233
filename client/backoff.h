/*
 * backoff.h - the pauses between attempts to connect: none before the first, then longer each time, and
 * each a little different. Many clients lose a server at once; they need not all come back at once.
 * Pure.
 */
#ifndef VIGIL_CLIENT_BACKOFF_H
#define VIGIL_CLIENT_BACKOFF_H

#include <stdint.h>

enum { BACKOFF_FIRST_MS = 50, BACKOFF_MOST_MS = 1000 };

/* The caller sets random once, to something that other clients do not have. */
struct backoff {
    int delay_ms;
    uint64_t random;
};

/* It succeeded: the next attempt is a first one. */
static inline void backoff_reset(struct backoff *b)
{
    b->delay_ms = 0;
}
/* Milliseconds before the next attempt. */
int backoff_next(struct backoff *b);

#endif
