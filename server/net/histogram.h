/*
 * histogram.h - how long something took, in buckets an eighth of a power of two
 * wide: a percentile is at most 12.5 % above the true one. One thread.
 */
#ifndef VIGIL_SERVER_NET_HISTOGRAM_H
#define VIGIL_SERVER_NET_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 62 * 8 };

struct histogram {
    uint64_t count;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);
/* A value that permille of a thousand do not exceed; 0 if there are none. */
uint64_t histogram_at(const struct histogram *h, unsigned permille);

#endif
