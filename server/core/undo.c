/* undo.c - saving, rolling back, forgetting. */
#include "server/core/undo.h"

#include "protocol/errors.h"

#include <assert.h>
#include <stdlib.h>

enum {
    UNDO_KEEP_IMAGES = 65536, /* what stays allocated from batch to batch */
    UNDO_KEEP_BYTES = 8 << 20
};

void undo_init(struct undo_log *u)
{
    *u = (struct undo_log){0};
    wire_buffer_init(&u->values, SIZE_MAX / 2);
}

void undo_free(struct undo_log *u)
{
    for (size_t i = 0; i < u->count; i++)
        free(u->images[i].kept);
    free(u->images);
    wire_buffer_free(&u->values);
    undo_init(u);
}

int undo_reserve(struct undo_log *u)
{
    if (u->count < u->capacity)
        return ERR_OK;
    size_t capacity = u->capacity ? u->capacity * 2 : 256;
    struct undo_image *images = realloc(u->images, capacity * sizeof *images);
    if (!images)
        return ERR_NO_MEMORY;
    u->images = images;
    u->capacity = capacity;
    return ERR_OK;
}

void undo_note_new(struct undo_log *u, struct overlay_entry *e, uint64_t batch)
{
    assert(u->count < u->capacity);
    u->images[u->count++] = (struct undo_image){.entry = e, .is_new = true};
    e->batch = batch;
}

int undo_save(struct undo_log *u, struct overlay *o, struct overlay_entry *e, uint64_t batch)
{
    if (e->batch == batch)
        return ERR_OK;
    if (undo_reserve(u))
        return ERR_NO_MEMORY;
    struct undo_image *image = &u->images[u->count];
    *image = (struct undo_image){.entry = e,
                                 .meta = e->meta,
                                 .batch = e->batch,
                                 .value_size = e->value_size,
                                 .copied_at = u->values.size};
    if (e->value_capacity > OVERLAY_INLINE_MAX) {
        image->kept = e->value;
        image->kept_capacity = e->value_capacity;
        e->value = overlay_entry_inline(e);
        e->value_capacity = e->inline_capacity;
        o->bytes -= e->value_size;
        e->value_size = 0;
    } else {
        wire_write_raw(&u->values, e->value, e->value_size);
        if (u->values.failed) {
            u->values.failed = false;
            return ERR_NO_MEMORY;
        }
    }
    u->count++;
    e->batch = batch;
    return ERR_OK;
}

static void restore(struct undo_log *u, struct overlay *o, const struct undo_image *image)
{
    struct overlay_entry *e = image->entry;
    e->meta = image->meta;
    e->batch = image->batch;
    o->bytes = o->bytes - e->value_size + image->value_size;
    if (image->kept) {
        if (!overlay_entry_is_inline(e))
            free(e->value);
        e->value = image->kept;
        e->value_capacity = image->kept_capacity;
    } else {
        assert(image->value_size <= e->value_capacity);
        if (image->value_size > 0)
            memcpy(e->value, u->values.data + image->copied_at, image->value_size);
    }
    e->value_size = image->value_size;
}

void undo_rollback(struct undo_log *u, struct overlay *o)
{
    /* Backwards, so that the new entries are the overlay's newest. */
    while (u->count > 0) {
        const struct undo_image *image = &u->images[--u->count];
        if (image->is_new)
            overlay_remove_newest(o);
        else
            restore(u, o, image);
    }
    undo_forget(u);
}

void undo_forget(struct undo_log *u)
{
    for (size_t i = 0; i < u->count; i++)
        free(u->images[i].kept);
    u->count = 0;
    wire_buffer_clear(&u->values);
    if (u->capacity > UNDO_KEEP_IMAGES) {
        free(u->images);
        u->images = NULL;
        u->capacity = 0;
    }
    if (u->values.capacity > UNDO_KEEP_BYTES)
        wire_buffer_free(&u->values);
}
