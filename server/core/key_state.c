/* key_state.c - what a key is, what a change makes of it, and how changes become a record. */
#include "server/core/core_state.h"

#include <stdlib.h>

static void state_of_entry(const struct overlay_entry *e, struct key_state *ret_state)
{
    ret_state->present = !e->meta.deleted;
    ret_state->meta = e->meta;
    ret_state->value = overlay_entry_value(e);
}

int core_lookup(struct core *core, struct bytes key, uint64_t hash, struct key_state *ret_state)
{
    const struct overlay_entry *e = overlay_find(core->active, key, hash);
    if (!e && core->checkpoint.frozen)
        e = overlay_find(core->checkpoint.frozen, key, hash);
    if (e) {
        state_of_entry(e, ret_state);
        return ERR_OK;
    }
    struct state_row row;
    int err = core->source.state_get(core->source.context, key, &row);
    if (err == ERR_NOT_FOUND) {
        *ret_state = (struct key_state){.meta = {.deleted = true}};
        return ERR_OK;
    }
    if (err)
        return err;
    *ret_state = (struct key_state){
        .present = !row.deleted,
        .meta = {row.created, row.modified, row.version, row.deleted},
        .value = row.value,
    };
    return ERR_OK;
}

int core_lookup_for(struct core *core, struct request *q, struct bytes key, uint64_t hash,
                    struct key_state *ret_state)
{
    int err = core_lookup(core, key, hash, ret_state);
    if (err == ERR_CORRUPT)
        request_fail(q, err, "the state is damaged where key %.*s is: see vigil verify",
                     (int)key.size, (const char *)key.data);
    return err;
}

struct key_meta key_meta_after(const struct key_state *before, uint8_t op, uint64_t seq)
{
    if (op != CHANGE_PUT)
        return (struct key_meta){.modified = seq, .deleted = true};
    if (!before->present)
        return (struct key_meta){.created = seq, .modified = seq, .version = 1};
    return (struct key_meta){before->meta.created, seq, before->meta.version + 1, false};
}

int core_store(struct core *core, struct bytes key, uint64_t hash, const struct key_meta *meta,
               struct bytes value)
{
    struct overlay *o = core->active;
    bool in_batch = core->batch.is_open;
    struct overlay_entry *e = overlay_find(o, key, hash);
    if (!meta->deleted)
        key_gaps_cut(&core->gaps, key);
    if (e) {
        if (in_batch && undo_save(&core->undo, o, e, core->batch.number))
            return ERR_NO_MEMORY;
    } else {
        if (in_batch && undo_reserve(&core->undo))
            return ERR_NO_MEMORY;
        if (overlay_add(o, key, hash, value.size, &e))
            return ERR_NO_MEMORY;
        if (in_batch)
            undo_note_new(&core->undo, e, core->batch.number);
    }
    if (overlay_set_value(o, e, value))
        return ERR_NO_MEMORY;
    e->meta = *meta;
    return ERR_OK;
}

/* ---- records ---- */

void core_record_begin(struct core *core, struct record_draft *draft, const struct request *q,
                       struct bytes result)
{
    struct batch *b = &core->batch;
    draft->hash_count = b->key_hash_count;
    record_begin(&draft->writer, &b->records, b->last_seq + 1, b->time_us,
                 q->is_numbered ? q->session->id : 0, q->is_numbered ? q->header.number : 0);
    if (q->is_numbered)
        record_set_request(&draft->writer, q->header.op, result);
}

void core_record_add(struct core *core, struct record_draft *draft, const struct change *change,
                     uint64_t hash)
{
    struct batch *b = &core->batch;
    if (b->key_hash_count == b->key_hash_capacity) {
        size_t capacity = b->key_hash_capacity ? b->key_hash_capacity * 2 : 1024;
        uint64_t *hashes = realloc(b->key_hashes, capacity * sizeof *hashes);
        if (!hashes) {
            b->records.failed = true;
            return;
        }
        b->key_hashes = hashes;
        b->key_hash_capacity = capacity;
    }
    b->key_hashes[b->key_hash_count++] = hash;
    record_add(&draft->writer, change);
}

int core_record_end(struct core *core, struct record_draft *draft)
{
    struct batch *b = &core->batch;
    if (b->record_count == b->record_capacity) {
        size_t capacity = b->record_capacity ? b->record_capacity * 2 : 1024;
        size_t *ends = realloc(b->record_ends, capacity * sizeof *ends);
        if (!ends) {
            b->records.failed = true;
        } else {
            b->record_ends = ends;
            b->record_capacity = capacity;
        }
    }
    if (record_end(&draft->writer) == 0) {
        b->key_hash_count = draft->hash_count;
        return ERR_NO_MEMORY;
    }
    b->record_ends[b->record_count++] = b->records.size;
    b->last_seq++;
    b->mutations++;
    return ERR_OK;
}
