/*
 * key_gaps.h - stretches of keys within which nothing lives, as far as they have been
 * found out: the front of a queue whose items have been taken is walked over once,
 * and not by each who takes the next.
 *
 * 1. Gaps are disjoint, do not touch, and stand in order.
 * 2. All of it is knowledge that may be forgotten at any time: nothing here fails, and
 *    at most KEY_GAPS_MAX are kept, those that were not used for longest go first.
 * 3. Whoever makes a key live says so (key_gaps_cut). What a batch has found out may rest
 *    on its own deletions: an abort takes it back (key_gaps_abort).
 *
 * Threads: the core's.
 */
#ifndef VIGIL_SERVER_CORE_KEY_GAPS_H
#define VIGIL_SERVER_CORE_KEY_GAPS_H

#include "protocol/limits.h"
#include "protocol/wire.h"

enum { KEY_GAPS_MAX = 1024, KEY_BOUND_SIZE = LIMIT_KEY_SIZE + 1 };

/* A place between keys: before all that are not less. */
struct key_bound {
    uint16_t size;
    uint8_t text[KEY_BOUND_SIZE];
};

struct key_gap;

/* Zeroed: empty. */
struct key_gaps {
    struct key_gap *gaps[KEY_GAPS_MAX];
    size_t count;
    uint64_t uses;
};

static inline struct bytes key_bound_bytes(const struct key_bound *b)
{
    return (struct bytes){b->text, b->size};
}
/* Of at most KEY_BOUND_SIZE bytes. */
void key_bound_set(struct key_bound *b, struct bytes text);
/* Behind all keys with this prefix. */
void key_bound_set_behind(struct key_bound *b, struct bytes prefix);

void key_gaps_free(struct key_gaps *g);
/* Where the gap ends that from lies in; false: in none that is known. The end is valid until the
 * next call of any other function. */
bool key_gaps_skip(struct key_gaps *g, struct bytes from, struct bytes *ret_end);
/* Nothing lives from low on up to, and without, high. */
void key_gaps_learn(struct key_gaps *g, struct bytes low, struct bytes high, uint64_t batch);
/* The key lives, from now on. */
void key_gaps_cut_known(struct key_gaps *g, struct bytes key);
static inline void key_gaps_cut(struct key_gaps *g, struct bytes key)
{
    if (g->count > 0)
        key_gaps_cut_known(g, key);
}
/* What was learnt in the batch is forgotten. */
void key_gaps_abort(struct key_gaps *g, uint64_t batch);

#endif
