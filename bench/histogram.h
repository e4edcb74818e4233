/*
 * histogram.h - how often which duration was seen: log-linear buckets, 128 to
 * each doubling, so that what is read is at most 0.8 % above what was put in.
 * Pure. It holds no pointer: copy it, or send it to another process as it is.
 */
#ifndef VIGIL_BENCH_HISTOGRAM_H
#define VIGIL_BENCH_HISTOGRAM_H

#include <stdint.h>

/* 2^43 - 1 ns, over two hours; what is longer counts as this. */
#define HISTOGRAM_VALUE_MAX ((UINT64_C(1) << 43) - 1)

enum { HISTOGRAM_SUB_BITS = 7, HISTOGRAM_BUCKETS = (43 - HISTOGRAM_SUB_BITS + 1) << 7 };

struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t min; /* exact; 0 while count is 0 */
    uint64_t max; /* exact */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_clear(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The value that percent (0..100) of all that was added do not exceed; 0 while empty. */
uint64_t histogram_percentile(const struct histogram *h, double percent);
double histogram_mean(const struct histogram *h);

#endif
