/*
 * cursor_table.h - the named cursors: where watchers go on, and which of their
 * rows the batch at hand has changed.
 *
 * 1. sorted is in bytewise order of the names, without duplicates.
 * 2. What a batch does is taken back by an abort, which allocates nothing and
 *    cannot fail: a cursor that a batch deletes leaves sorted, but is kept until
 *    the batch ends.
 * 3. Pointers stay valid until the end of a batch.
 */
#ifndef VIGIL_SERVER_CORE_CURSOR_TABLE_H
#define VIGIL_SERVER_CORE_CURSOR_TABLE_H

#include "protocol/wire.h"

struct cursor {
    struct bytes name; /* both are the cursor's own */
    struct bytes filter;
    uint64_t epoch;
    uint64_t position;
    uint64_t holder;
    uint64_t created_us;
    uint64_t moved_us;
    /* Of the batch at hand, if that touched it. */
    struct cursor *next_touched;
    uint64_t batch;
    uint64_t position_before;
    uint64_t holder_before;
    uint64_t moved_before;
    bool is_new;
    bool is_deleted;
};

struct cursor_table {
    struct cursor **sorted;
    size_t count;
    size_t capacity;
    struct cursor *first_touched; /* in the order of their first touch */
    struct cursor *last_touched;
    size_t touched;
    bool has_grown; /* the batch at hand has made some */
};

void cursor_table_free(struct cursor_table *t);
/* NULL: there is none. */
struct cursor *cursor_find(const struct cursor_table *t, struct bytes name);
/* Number of the first cursor whose name is greater than after. */
size_t cursor_first_after(const struct cursor_table *t, struct bytes after);

/* The caller knows that there is none with this name. ERR_OK, ERR_NO_MEMORY. */
int cursor_add(struct cursor_table *t, struct bytes name, struct bytes filter,
               struct cursor **ret_cursor);
/* Takes it out again, at once; outside of a batch. */
void cursor_forget(struct cursor_table *t, struct cursor *c);

/* ---- within a batch ---- */

/* Before the batch changes anything of it. */
void cursor_touch(struct cursor_table *t, struct cursor *c, uint64_t batch);
/* It was just added. */
void cursor_make_in_batch(struct cursor_table *t, struct cursor *c, uint64_t batch);
void cursor_delete_in_batch(struct cursor_table *t, struct cursor *c, uint64_t batch);
void cursor_batch_commit(struct cursor_table *t);
void cursor_batch_abort(struct cursor_table *t);

#endif
