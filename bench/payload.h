/*
 * payload.h - the keys and values that loads write. A value is a MessagePack
 * binary of a given whole size whose content begins with the time at which its
 * mutation was due, so that whoever gets it knows its age.
 */
#ifndef VIGIL_BENCH_PAYLOAD_H
#define VIGIL_BENCH_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAYLOAD_PREFIX "bench/"

enum {
    PAYLOAD_KEY_SIZE = 14, /* PAYLOAD_PREFIX and eight digits */
    PAYLOAD_KEYS_MAX = 100000000,
    PAYLOAD_SIZE_MIN = 16,
    PAYLOAD_SIZE_MAX = 1 << 20
};

/* The time of a value that ends a load: see waiters. */
#define PAYLOAD_END 0

/* Fills out (of size bytes, PAYLOAD_SIZE_MIN..PAYLOAD_SIZE_MAX) with a value of time 0. */
void payload_make(uint8_t *out, size_t size);
void payload_set_time(uint8_t *value, size_t size, uint64_t time_ns);
/* False for a value that no load has written. */
bool payload_get_time(const void *value, size_t size, uint64_t *ret_time_ns);
/* The next of a sequence of random numbers; *state is never 0. */
uint64_t payload_draw(uint64_t *state);
/* NUL-terminated; number is below PAYLOAD_KEYS_MAX. */
void payload_key(uint64_t number, char out[PAYLOAD_KEY_SIZE + 1]);

#endif
