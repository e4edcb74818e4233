/* key_hash.h - the hash of a key in the library's tables. */
#ifndef VIGIL_CLIENT_KEY_HASH_H
#define VIGIL_CLIENT_KEY_HASH_H

#include "protocol/wire.h"

/* FNV-1a with a final mix: slots come from its upper bits. Keys are the server's own, who could as
 * well send wrong values: there is nobody to defend a table's balance against. */
static inline uint64_t key_hash(struct bytes key)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < key.size; i++)
        h = (h ^ key.data[i]) * 1099511628211u;
    h ^= h >> 32;
    return h * 0x9e3779b97f4a7c15u;
}

#endif
