/*
 * key_hash.h - the two hashes of the core's tables. Both are keyed with random
 * seeds, so that nobody can choose keys that collide.
 */
#ifndef VIGIL_SERVER_CORE_KEY_HASH_H
#define VIGIL_SERVER_CORE_KEY_HASH_H

#include "protocol/wire.h"

struct hash_seed {
    uint64_t k0;
    uint64_t k1;
};

/* SipHash-1-3 of a whole text. */
uint64_t key_hash(const struct hash_seed *seed, struct bytes text);

/* A polynomial over the field of 2^61 - 1 elements: the hash of a text is that
 * of the text without its last byte and one step, so that one walk over a key
 * yields the hashes of all its prefixes. Starts at 0; multiplier: random, below
 * 2^61 - 1 and not 0. */
#define PREFIX_HASH_MODULUS ((UINT64_C(1) << 61) - 1)
__extension__ typedef unsigned __int128 prefix_hash_product;

static inline uint64_t prefix_hash_step(uint64_t hash, uint8_t byte, uint64_t multiplier)
{
    prefix_hash_product product = (prefix_hash_product)(hash + byte + 1) * multiplier;
    uint64_t sum = ((uint64_t)product & PREFIX_HASH_MODULUS) + (uint64_t)(product >> 61);
    return sum >= PREFIX_HASH_MODULUS ? sum - PREFIX_HASH_MODULUS : sum;
}

#endif
