/*
 * undo.h - what the active overlay's entries were before the batch touched them.
 *
 * 1. Each entry is saved once a batch, at its first touch (entry->batch tells).
 * 2. Rolling back allocates nothing and cannot fail.
 */
#ifndef VIGIL_SERVER_CORE_UNDO_H
#define VIGIL_SERVER_CORE_UNDO_H

#include "server/core/overlay.h"

struct undo_image {
    struct overlay_entry *entry;
    struct key_meta meta;
    uint8_t *kept; /* a large value's own buffer, taken over; NULL: copied */
    size_t copied_at;
    uint64_t batch;
    uint32_t value_size;
    uint32_t kept_capacity;
    bool is_new; /* the entry did not exist */
};

/* Zeroed: empty. */
struct undo_log {
    struct undo_image *images;
    size_t count;
    size_t capacity;
    struct wire_buffer values;
};

void undo_init(struct undo_log *u);
void undo_free(struct undo_log *u);
/* Room for one more image. ERR_OK, ERR_NO_MEMORY. */
int undo_reserve(struct undo_log *u);
/* After undo_reserve: the entry was made in this batch. */
void undo_note_new(struct undo_log *u, struct overlay_entry *e, uint64_t batch);
/* The entry as it is, unless this batch has saved it before. A large value's
 * buffer moves into the log: the entry's value is then empty. ERR_OK, ERR_NO_MEMORY. */
int undo_save(struct undo_log *u, struct overlay *o, struct overlay_entry *e, uint64_t batch);
void undo_rollback(struct undo_log *u, struct overlay *o);
/* The batch is durable. */
void undo_forget(struct undo_log *u);

#endif
