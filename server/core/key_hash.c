/* key_hash.c - SipHash-1-3 (Aumasson, Bernstein: one round a word, three at the end). */
#include "server/core/key_hash.h"

static inline uint64_t rotate(uint64_t v, unsigned bits)
{
    return (v << bits) | (v >> (64 - bits));
}

struct sip_state {
    uint64_t v0;
    uint64_t v1;
    uint64_t v2;
    uint64_t v3;
};

static inline void sip_round(struct sip_state *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

/* The last left bytes, 0 to 7, of the size bytes that end there. */
static inline uint64_t load_rest(const uint8_t *p, size_t left, size_t size)
{
    if (left == 0)
        return 0;
    if (size >= 8) /* the bytes before them are shifted out */
        return wire_load_u64(p + left - 8) >> (64 - 8 * left);
    if (left >= 4)
        return wire_load_u32(p) | (uint64_t)wire_load_u32(p + left - 4) << (8 * left - 32);
    uint64_t rest = p[0];
    if (left >= 2)
        rest |= (uint64_t)wire_load_u16(p + left - 2) << (8 * left - 16);
    return rest;
}

uint64_t key_hash(const struct hash_seed *seed, struct bytes text)
{
    struct sip_state s = {
        seed->k0 ^ UINT64_C(0x736f6d6570736575), seed->k1 ^ UINT64_C(0x646f72616e646f6d),
        seed->k0 ^ UINT64_C(0x6c7967656e657261), seed->k1 ^ UINT64_C(0x7465646279746573)};
    const uint8_t *p = text.data;
    size_t left = text.size;
    for (; left >= 8; p += 8, left -= 8) {
        uint64_t word = wire_load_u64(p);
        s.v3 ^= word;
        sip_round(&s);
        s.v0 ^= word;
    }
    uint64_t last = (uint64_t)text.size << 56 | load_rest(p, left, text.size);
    s.v3 ^= last;
    sip_round(&s);
    s.v0 ^= last;
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
