/* histogram.c - see histogram.h. */
#include "bench/histogram.h"

#include <math.h>
#include <string.h>

enum { SUB_COUNT = 1 << HISTOGRAM_SUB_BITS };

/* Below 2 * SUB_COUNT each value has a bucket of its own; from there on the
 * upper 8 bits of a value tell its bucket within its power of two. */
static uint32_t bucket_of(uint64_t value)
{
    if (value < SUB_COUNT) {
        return (uint32_t)value;
    }
    uint32_t shift = (uint32_t)(63 - __builtin_clzll(value)) - HISTOGRAM_SUB_BITS;
    return shift * SUB_COUNT + (uint32_t)(value >> shift);
}

static uint64_t highest_in(uint32_t bucket)
{
    if (bucket < 2 * SUB_COUNT) {
        return bucket;
    }
    uint32_t shift = bucket / SUB_COUNT - 1;
    uint64_t upper_bits = bucket - shift * SUB_COUNT;
    return ((upper_bits + 1) << shift) - 1;
}

void histogram_clear(struct histogram *h)
{
    memset(h, 0, sizeof *h);
}

void histogram_add(struct histogram *h, uint64_t value)
{
    if (value > HISTOGRAM_VALUE_MAX) {
        value = HISTOGRAM_VALUE_MAX;
    }
    if (h->count == 0 || value < h->min) {
        h->min = value;
    }
    if (value > h->max) {
        h->max = value;
    }
    h->count++;
    h->sum += value;
    h->buckets[bucket_of(value)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->count == 0) {
        return;
    }
    if (into->count == 0 || from->min < into->min) {
        into->min = from->min;
    }
    if (from->max > into->max) {
        into->max = from->max;
    }
    into->count += from->count;
    into->sum += from->sum;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    if (h->count == 0) {
        return 0;
    }
    uint64_t rank = (uint64_t)ceil(percent / 100.0 * (double)h->count);
    if (rank < 1) {
        rank = 1;
    }
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= rank) {
            uint64_t value = highest_in(i);
            return value < h->max ? value : h->max;
        }
    }
    return h->max;
}

double histogram_mean(const struct histogram *h)
{
    return h->count ? (double)h->sum / (double)h->count : 0;
}
