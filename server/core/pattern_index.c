/* pattern_index.c - adding, removing, matching. */
#include "server/core/pattern_index.h"

#include <assert.h>
#include <stdlib.h>

void pattern_index_init(struct pattern_index *index, const struct hash_seed *seed, uint64_t random)
{
    *index = (struct pattern_index){.seed = *seed};
    index->multiplier = random % (PREFIX_HASH_MODULUS - 256) + 256;
}

void pattern_index_free(struct pattern_index *index)
{
    assert(index->table.count == 0);
    table_free(&index->table);
}

/* The field's elements fill 61 bits; a slot number takes the lowest: mix them. */
static uint64_t slot_hash(uint64_t prefix_hash)
{
    uint64_t h = (prefix_hash + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

static uint64_t pattern_hash(const struct pattern_index *index, const struct pattern *p)
{
    if (p->kind == PATTERN_EXACT)
        return key_hash(&index->seed, p->text);
    uint64_t hash = 0;
    for (size_t i = 0; i < p->text.size; i++)
        hash = prefix_hash_step(hash, p->text.data[i], index->multiplier);
    return slot_hash(hash);
}

static bool entry_is_pattern(const void *item, const void *key)
{
    const struct pattern_entry *e = item;
    const struct pattern *p = key;
    return e->kind == p->kind && bytes_equal((struct bytes){e->text, e->size}, p->text);
}

static void count_pattern(struct pattern_index *index, const struct pattern_entry *e)
{
    if (e->kind == PATTERN_EXACT) {
        index->exact_count++;
        return;
    }
    index->prefixes_of_size[e->size]++;
    if (e->size > index->prefix_size_max)
        index->prefix_size_max = e->size;
}

static void uncount_pattern(struct pattern_index *index, const struct pattern_entry *e)
{
    if (e->kind == PATTERN_EXACT) {
        index->exact_count--;
        return;
    }
    index->prefixes_of_size[e->size]--;
    while (index->prefix_size_max > 0 && index->prefixes_of_size[index->prefix_size_max] == 0)
        index->prefix_size_max--;
}

int pattern_index_add(struct pattern_index *index, const struct pattern *pattern,
                      struct subscription *s)
{
    uint64_t hash = pattern_hash(index, pattern);
    struct pattern_entry *e = table_find(&index->table, hash, entry_is_pattern, pattern);
    if (!e) {
        e = malloc(sizeof *e + pattern->text.size);
        if (!e)
            return ERR_NO_MEMORY;
        *e = (struct pattern_entry){
            .hash = hash, .size = (uint16_t)pattern->text.size, .kind = pattern->kind};
        if (pattern->text.size > 0)
            memcpy(e->text, pattern->text.data, pattern->text.size);
        if (table_add(&index->table, hash, e)) {
            free(e);
            return ERR_NO_MEMORY;
        }
        count_pattern(index, e);
    }
    s->entry = e;
    s->previous = NULL;
    s->next = e->first;
    if (e->first)
        e->first->previous = s;
    e->first = s;
    return ERR_OK;
}

void pattern_index_remove(struct pattern_index *index, struct subscription *s)
{
    struct pattern_entry *e = s->entry;
    if (s->next)
        s->next->previous = s->previous;
    if (s->previous)
        s->previous->next = s->next;
    else
        e->first = s->next;
    if (e->first)
        return;
    uncount_pattern(index, e);
    table_remove(&index->table, e->hash, e);
    free(e);
}

size_t pattern_index_match(const struct pattern_index *index, struct bytes key, uint64_t hash,
                           struct pattern_entry *ret_entries[PATTERN_MATCHES_MAX])
{
    size_t count = 0;
    struct pattern wanted = {PATTERN_EXACT, key};
    if (index->exact_count > 0) {
        ret_entries[count] = table_find(&index->table, hash, entry_is_pattern, &wanted);
        count += ret_entries[count] != NULL;
    }
    size_t size_max = index->prefix_size_max < key.size ? index->prefix_size_max : key.size;
    uint64_t prefix_hash = 0;
    wanted.kind = PATTERN_PREFIX;
    for (size_t size = 0;; size++) {
        if (index->prefixes_of_size[size] > 0) {
            wanted.text.size = size;
            ret_entries[count] =
                table_find(&index->table, slot_hash(prefix_hash), entry_is_pattern, &wanted);
            count += ret_entries[count] != NULL;
        }
        if (size == size_max)
            return count;
        prefix_hash = prefix_hash_step(prefix_hash, key.data[size], index->multiplier);
    }
}
