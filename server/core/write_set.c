/* write_set.c - see write_set.h. */
#include "server/core/core_state.h"

#include <stdlib.h>

/* ---- kept bytes ---- */

enum { BLOCK_BYTES = 16 << 10, BLOCK_ALIGN = 16 };

struct write_set_block {
    struct write_set_block *next;
    size_t used;
    size_t capacity;
    uint8_t bytes[];
};

/* The newest block stays for the next request, unless it is a large one. */
static void free_blocks(struct write_set *w, bool keep_one)
{
    struct write_set_block *b = w->blocks;
    w->blocks = NULL;
    while (b) {
        struct write_set_block *next = b->next;
        if (keep_one && b->capacity == BLOCK_BYTES) {
            *b = (struct write_set_block){.capacity = b->capacity};
            w->blocks = b;
            keep_one = false;
        } else {
            free(b);
        }
        b = next;
    }
}

static void *allocate(struct write_set *w, size_t size)
{
    struct write_set_block *b = w->blocks;
    size = (size + BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN;
    if (!b || b->capacity - b->used < size) {
        size_t capacity = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        b = malloc(sizeof *b + capacity);
        if (!b)
            return NULL;
        *b = (struct write_set_block){.next = w->blocks, .capacity = capacity};
        w->blocks = b;
    }
    void *place = b->bytes + b->used;
    b->used += size;
    return place;
}

int write_set_keep(struct core *core, struct bytes bytes, struct bytes *ret_kept)
{
    uint8_t *copy = allocate(&core->writes, bytes.size);
    if (!copy)
        return ERR_NO_MEMORY;
    if (bytes.size > 0)
        memcpy(copy, bytes.data, bytes.size);
    *ret_kept = (struct bytes){copy, bytes.size};
    return ERR_OK;
}

/* ---- life ---- */

void write_set_free(struct write_set *w)
{
    free_blocks(w, false);
    free(w->keys);
    table_free(&w->table);
    (void)key_order_free_some(&w->order, SIZE_MAX);
}

int write_set_begin(struct core *core, size_t expected)
{
    struct write_set *w = &core->writes;
    w->count = 0;
    w->bytes = 0;
    w->is_ordered = false;
    w->first_known = false;
    (void)key_order_free_some(&w->order, SIZE_MAX);
    w->lives = 0;
    free_blocks(w, true);
    return table_reset(&w->table, expected);
}

/* ---- keys ---- */

static bool key_is(const void *item, const void *key)
{
    return bytes_equal(((const struct write_set_key *)item)->key, *(const struct bytes *)key);
}

static int add_key(struct write_set *w, const struct write_set_key *key,
                   struct write_set_key **ret_key)
{
    if (w->count == w->capacity) {
        size_t capacity = w->capacity ? w->capacity * 2 : 16;
        struct write_set_key **keys = realloc(w->keys, capacity * sizeof *keys);
        if (!keys)
            return ERR_NO_MEMORY;
        w->keys = keys;
        w->capacity = capacity;
    }
    struct write_set_key *k = allocate(w, sizeof *k);
    if (!k || table_add(&w->table, key->hash, k))
        return ERR_NO_MEMORY;
    *k = *key;
    /* What fails here ends the batch, and the set is forgotten. */
    if (w->is_ordered && key_order_add(&w->order, &(struct key_order_item){k->key, k->hash, k}))
        return ERR_NO_MEMORY;
    w->keys[w->count++] = k;
    *ret_key = k;
    return ERR_OK;
}

enum { CHANGE_BYTES = 24 }; /* of a record, besides key and value */

/* Before anything of it is written: a script may go on after the error. */
static int check_room(const struct core *core, struct request *q, size_t more)
{
    size_t bytes = core->writes.bytes + CHANGE_BYTES + more;
    if (bytes <= q->record_room)
        return ERR_OK;
    return request_fail(q, ERR_TOO_LARGE,
                        "what would change has %zu bytes: there is room for %zu, less the more "
                        "requests come in one message",
                        bytes, q->record_room);
}

/* The key, to be written. */
static int touch(struct core *core, struct request *q, struct bytes key,
                 struct write_set_key **ret_key, struct key_state *ret_before)
{
    struct write_set *w = &core->writes;
    uint64_t hash = core_key_hash(core, key);
    struct write_set_key *k = table_find(&w->table, hash, key_is, &key);
    if (k) {
        if (ret_before)
            *ret_before =
                (struct key_state){.present = k->is_present, .meta = k->before, .value = k->value};
        *ret_key = k;
        return ERR_OK;
    }
    if (w->count >= LIMIT_TXN_OPS)
        return request_fail(q, ERR_LIMIT, "more than %d keys would change: at most so many may",
                            LIMIT_TXN_OPS);
    struct key_state state;
    int err = core_lookup_for(core, q, key, hash, &state);
    if (err)
        return err;
    if (ret_before)
        *ret_before = state;
    w->bytes += CHANGE_BYTES + key.size;
    return add_key(w,
                   &(struct write_set_key){.key = key,
                                           .hash = hash,
                                           .was_present = state.present,
                                           .is_present = state.present,
                                           .before = state.meta},
                   ret_key);
}

int write_set_get(struct core *core, struct request *q, struct bytes key, uint64_t own_seq,
                  struct key_state *ret_state, bool *ret_own)
{
    struct write_set *w = &core->writes;
    uint64_t hash = core_key_hash(core, key);
    const struct write_set_key *k = table_find(&w->table, hash, key_is, &key);
    bool own = k && (k->is_present || k->was_present);
    if (ret_own)
        *ret_own = own;
    if (!k)
        return core_lookup_for(core, q, key, hash, ret_state);
    struct key_state before = {.present = k->was_present, .meta = k->before};
    *ret_state = (struct key_state){.present = k->is_present,
                                    .meta = k->before,
                                    .value = k->is_present ? k->value : (struct bytes){NULL, 0}};
    if (own)
        ret_state->meta =
            key_meta_after(&before, k->is_present ? CHANGE_PUT : CHANGE_DELETE, own_seq);
    return ERR_OK;
}

/* What write_set_first counts on. */
static void note_live(struct write_set *w, struct bytes key)
{
    if (w->first_known && bytes_compare(key, w->first_from) < 0)
        w->first_known = false;
}

int write_set_put(struct core *core, struct request *q, struct bytes key, struct bytes value,
                  struct key_state *ret_before)
{
    static const struct life_effect no_end = {LIFE_EFFECT_END, 0};
    return write_set_put_living(core, q, key, value, &no_end, ret_before);
}

int write_set_put_living(struct core *core, struct request *q, struct bytes key, struct bytes value,
                         const struct life_effect *life, struct key_state *ret_before)
{
    struct write_set_key *k = NULL;
    int err = check_room(core, q, key.size + value.size);
    if (!err)
        err = life_check_effect(core, q, life, core->writes.lives);
    if (!err)
        err = touch(core, q, key, &k, ret_before);
    if (err || !k)
        return err;
    core->writes.bytes += value.size - k->value.size;
    if (life->kind != LIFE_EFFECT_KEEP)
        k->life = *life;
    core->writes.lives += life->kind == LIFE_EFFECT_TTL || life->kind == LIFE_EFFECT_LEASE;
    k->value = value;
    k->is_present = true;
    note_live(&core->writes, k->key);
    return ERR_OK;
}

int write_set_delete(struct core *core, struct request *q, struct bytes key,
                     struct key_state *ret_before)
{
    struct write_set_key *k = NULL;
    int err = check_room(core, q, key.size);
    if (!err)
        err = touch(core, q, key, &k, ret_before);
    if (err || !k)
        return err;
    core->writes.bytes -= k->value.size;
    k->value = (struct bytes){NULL, 0};
    k->is_present = false;
    k->life = (struct life_effect){LIFE_EFFECT_END, 0};
    return ERR_OK;
}

/* ---- the outcome ---- */

static bool is_change(const struct write_set_key *k)
{
    return k->is_present || k->was_present;
}

bool write_set_changes_anything(const struct write_set *w)
{
    for (size_t i = 0; i < w->count; i++) {
        if (is_change(w->keys[i]))
            return true;
    }
    return false;
}

int write_set_commit(struct core *core, const struct request *q, size_t reply_at)
{
    const struct write_set *w = &core->writes;
    uint64_t seq = core->batch.last_seq + 1;
    struct record_draft draft;
    core_record_begin(core, &draft, q, request_reply_kept(core, q, reply_at));
    for (size_t i = 0; i < w->count; i++) {
        const struct write_set_key *k = w->keys[i];
        if (!is_change(k))
            continue;
        struct change change = {.op = k->is_present ? CHANGE_PUT : CHANGE_DELETE,
                                .prev_seq = k->before.modified,
                                .key = k->key,
                                .value = k->value};
        core_record_add(core, &draft, &change, k->hash);
    }
    int err = core_record_end(core, &draft);
    for (size_t i = 0; i < w->count && !err; i++) {
        const struct write_set_key *k = w->keys[i];
        if (!is_change(k))
            continue;
        struct key_state before = {.present = k->was_present, .meta = k->before};
        struct key_meta after =
            key_meta_after(&before, k->is_present ? CHANGE_PUT : CHANGE_DELETE, seq);
        err = core_store(core, k->key, k->hash, &after, k->value);
        if (!err)
            err = life_follow(core, k->key, k->hash, k->before.modified, seq, &k->life);
    }
    return err;
}
