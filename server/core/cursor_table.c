/* cursor_table.c - the sorted list of cursors, and what a batch does to it. */
#include "server/core/cursor_table.h"

#include "protocol/errors.h"

#include <assert.h>
#include <stdlib.h>

enum { CAPACITY_MIN = 16 };

void cursor_table_free(struct cursor_table *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->sorted[i]);
    free(t->sorted);
    *t = (struct cursor_table){0};
}

/* How many names are less than name, or less or equal. */
static size_t count_before(const struct cursor_table *t, struct bytes name, bool or_equal)
{
    size_t low = 0;
    size_t high = t->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = bytes_compare(t->sorted[middle]->name, name);
        if (order < 0 || (or_equal && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct cursor *cursor_find(const struct cursor_table *t, struct bytes name)
{
    size_t at = count_before(t, name, false);
    return at < t->count && bytes_equal(t->sorted[at]->name, name) ? t->sorted[at] : NULL;
}

size_t cursor_first_after(const struct cursor_table *t, struct bytes after)
{
    return count_before(t, after, true);
}

/* There is room for it. */
static void insert(struct cursor_table *t, struct cursor *c)
{
    size_t at = count_before(t, c->name, false);
    assert(t->count < t->capacity);
    memmove(t->sorted + at + 1, t->sorted + at, (t->count - at) * sizeof *t->sorted);
    t->sorted[at] = c;
    t->count++;
}

static void take_out(struct cursor_table *t, const struct cursor *c)
{
    size_t at = count_before(t, c->name, false);
    assert(at < t->count && t->sorted[at] == c);
    t->count--;
    memmove(t->sorted + at, t->sorted + at + 1, (t->count - at) * sizeof *t->sorted);
}

static int reserve(struct cursor_table *t)
{
    if (t->count < t->capacity)
        return ERR_OK;
    size_t capacity = t->capacity ? t->capacity * 2 : CAPACITY_MIN;
    struct cursor **sorted = realloc(t->sorted, capacity * sizeof(struct cursor *));
    if (!sorted)
        return ERR_NO_MEMORY;
    t->sorted = sorted;
    t->capacity = capacity;
    return ERR_OK;
}

int cursor_add(struct cursor_table *t, struct bytes name, struct bytes filter,
               struct cursor **ret_cursor)
{
    if (reserve(t))
        return ERR_NO_MEMORY;
    struct cursor *c = calloc(1, sizeof *c + name.size + filter.size);
    if (!c)
        return ERR_NO_MEMORY;
    uint8_t *texts = (uint8_t *)(c + 1);
    memcpy(texts, name.data, name.size);
    memcpy(texts + name.size, filter.data, filter.size);
    c->name = (struct bytes){texts, name.size};
    c->filter = (struct bytes){texts + name.size, filter.size};
    insert(t, c);
    *ret_cursor = c;
    return ERR_OK;
}

void cursor_forget(struct cursor_table *t, struct cursor *c)
{
    take_out(t, c);
    free(c);
}

/* ---- within a batch ---- */

void cursor_touch(struct cursor_table *t, struct cursor *c, uint64_t batch)
{
    if (c->batch == batch)
        return;
    c->batch = batch;
    c->position_before = c->position;
    c->holder_before = c->holder;
    c->moved_before = c->moved_us;
    c->next_touched = NULL;
    if (t->last_touched)
        t->last_touched->next_touched = c;
    else
        t->first_touched = c;
    t->last_touched = c;
    t->touched++;
}

void cursor_make_in_batch(struct cursor_table *t, struct cursor *c, uint64_t batch)
{
    cursor_touch(t, c, batch);
    c->is_new = true;
    t->has_grown = true;
}

void cursor_delete_in_batch(struct cursor_table *t, struct cursor *c, uint64_t batch)
{
    cursor_touch(t, c, batch);
    take_out(t, c);
    c->is_deleted = true;
}

static void forget_touched(struct cursor_table *t)
{
    t->first_touched = NULL;
    t->last_touched = NULL;
    t->touched = 0;
    t->has_grown = false;
}

void cursor_batch_commit(struct cursor_table *t)
{
    for (struct cursor *c = t->first_touched, *next; c; c = next) {
        next = c->next_touched;
        c->is_new = false;
        if (c->is_deleted)
            free(c);
    }
    forget_touched(t);
}

void cursor_batch_abort(struct cursor_table *t)
{
    struct cursor *kept = NULL; /* of those touched: those that were there before */
    for (struct cursor *c = t->first_touched, *next; c; c = next) {
        next = c->next_touched;
        if (c->is_new) {
            if (!c->is_deleted)
                take_out(t, c);
            free(c);
        } else {
            c->next_touched = kept;
            kept = c;
        }
    }
    /* Now the names of the deleted ones are free again, and there is room for them. */
    for (struct cursor *c = kept; c; c = c->next_touched) {
        c->position = c->position_before;
        c->holder = c->holder_before;
        c->moved_us = c->moved_before;
        if (c->is_deleted)
            insert(t, c);
        c->is_deleted = false;
    }
    forget_touched(t);
}
