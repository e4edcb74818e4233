/*
 * pattern_index.h - which patterns match a key, at a cost that depends on the
 * key and on the patterns that match, not on how many there are.
 *
 * Exact keys: one lookup. Prefixes: one walk over the key, with a lookup at
 * each length that some prefix has.
 *
 * 1. A pattern is there as long as it has a subscription.
 */
#ifndef VIGIL_SERVER_CORE_PATTERN_INDEX_H
#define VIGIL_SERVER_CORE_PATTERN_INDEX_H

#include "protocol/errors.h"
#include "protocol/filter.h"
#include "protocol/limits.h"
#include "server/core/key_hash.h"
#include "server/core/table.h"

struct stream;
struct pattern_entry;

/* One pattern of one stream; the stream owns it. */
struct subscription {
    struct stream *stream;
    struct pattern_entry *entry;
    struct subscription *next;
    struct subscription *previous;
};

struct pattern_entry {
    uint64_t hash;
    struct subscription *first;
    uint16_t size;
    uint8_t kind;
    uint8_t text[];
};

struct pattern_index {
    struct hash_seed seed; /* the same as of the hashes handed to match */
    uint64_t multiplier;   /* of the prefix hash */
    struct table table;
    size_t exact_count;
    size_t prefix_size_max;
    uint32_t prefixes_of_size[LIMIT_KEY_SIZE + 1];
};

/* An exact pattern and a prefix of every length. */
enum { PATTERN_MATCHES_MAX = LIMIT_KEY_SIZE + 2 };

void pattern_index_init(struct pattern_index *index, const struct hash_seed *seed, uint64_t random);
void pattern_index_free(struct pattern_index *index); /* after the last subscription */
/* Fills in the subscription but for its stream. ERR_OK, ERR_NO_MEMORY. */
int pattern_index_add(struct pattern_index *index, const struct pattern *pattern,
                      struct subscription *s);
void pattern_index_remove(struct pattern_index *index, struct subscription *s);
/* Returns how many match. hash: key_hash of key. */
size_t pattern_index_match(const struct pattern_index *index, struct bytes key, uint64_t hash,
                           struct pattern_entry *ret_entries[PATTERN_MATCHES_MAX]);

#endif
