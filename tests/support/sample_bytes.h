/*
 * sample_bytes.h - reproducible random numbers, and copies whose end is the end
 * of a heap block, so that AddressSanitizer sees each read beyond it.
 */
#ifndef VIGIL_TESTS_SUPPORT_SAMPLE_BYTES_H
#define VIGIL_TESTS_SUPPORT_SAMPLE_BYTES_H

#include "protocol/wire.h"

#include <stdlib.h>

/* xorshift64*: the seed must not be 0. */
struct sample {
    uint64_t state;
};

static inline uint64_t sample_u64(struct sample *s)
{
    s->state ^= s->state >> 12;
    s->state ^= s->state << 25;
    s->state ^= s->state >> 27;
    return s->state * UINT64_C(0x2545f4914f6cdd1d);
}

/* 0 .. bound - 1; 0 if there is none. */
static inline size_t sample_below(struct sample *s, size_t bound)
{
    return bound > 0 ? (size_t)(sample_u64(s) % bound) : 0;
}

static inline void sample_fill(struct sample *s, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)sample_u64(s);
}

/* The caller frees it. Never NULL. */
static inline uint8_t *copy_exactly(const void *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    return copy;
}

static inline struct bytes bytes_of(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

#endif
