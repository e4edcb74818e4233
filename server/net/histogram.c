/* histogram.c - see histogram.h. */
#include "server/net/histogram.h"

/* 0..7 have a bucket each; above, three bits follow the leading one. */
static unsigned bucket_of(uint64_t value)
{
    if (value < 8)
        return (unsigned)value;
    unsigned exponent = 63u - (unsigned)__builtin_clzll(value);
    return (exponent - 2) * 8 + (unsigned)((value >> (exponent - 3)) & 7);
}

static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < 8)
        return bucket;
    unsigned shift = bucket / 8 - 1;
    return ((UINT64_C(8) + bucket % 8 + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
    h->buckets[bucket_of(value)]++;
    h->count++;
    if (value > h->max)
        h->max = value;
}

uint64_t histogram_at(const struct histogram *h, unsigned permille)
{
    uint64_t wanted = h->count / 1000 * permille + h->count % 1000 * permille / 1000;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > wanted || (seen == h->count && seen > 0)) {
            uint64_t end = bucket_end(i);
            return end < h->max ? end : h->max;
        }
    }
    return 0;
}
