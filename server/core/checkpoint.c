/*
 * checkpoint.c - the frozen overlay in key order, sorted as far as it is asked
 * for: sorting it all at once would stall a batch (incremental quicksort,
 * Paredes and Navarro 2006).
 */
#include "server/core/checkpoint.h"

#include <assert.h>
#include <stdlib.h>

enum {
    SORT_AT_ONCE = 32,  /* items that are not worth a partition */
    FREE_ENTRIES = 1024 /* a turn */
};

void checkpoint_freeze(struct checkpoint *c, struct overlay *frozen, uint64_t seq)
{
    assert(!c->frozen);
    overlay_free(c->retired); /* what is left of it; as a rule nothing */
    *c = (struct checkpoint){.frozen = frozen, .seq = seq, .random = c->random | 1};
}

static int item_compare(const void *left, const void *right)
{
    const struct overlay_item *a = left;
    const struct overlay_item *b = right;
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    return bytes_compare(overlay_entry_key(a->entry), overlay_entry_key(b->entry));
}

static void swap(struct overlay_item *a, struct overlay_item *b)
{
    struct overlay_item kept = *a;
    *a = *b;
    *b = kept;
}

/* Splits items[begin, end) around a random one; returns its final place. */
static size_t partition(struct checkpoint *c, size_t begin, size_t end)
{
    struct overlay_item *items = c->frozen->items;
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    struct overlay_item *last = &items[end - 1];
    swap(&items[begin + c->random % (end - begin)], last);
    size_t place = begin;
    for (size_t i = begin; i < end - 1; i++) {
        if (item_compare(&items[i], last) < 0)
            swap(&items[i], &items[place++]);
    }
    swap(&items[place], last);
    return place;
}

/* Puts at least one more item in its final order. */
static void sort_some(struct checkpoint *c)
{
    for (;;) {
        size_t end = c->pivot_count > 0 ? c->pivots[c->pivot_count - 1] : c->frozen->count;
        if (end == c->sorted) {
            c->pivot_count--;
            c->sorted++;
            return;
        }
        if (end - c->sorted <= SORT_AT_ONCE || c->pivot_count == CHECKPOINT_PIVOTS) {
            qsort(&c->frozen->items[c->sorted], end - c->sorted, sizeof c->frozen->items[0],
                  item_compare);
            c->sorted = end;
            return;
        }
        c->pivots[c->pivot_count] = partition(c, c->sorted, end);
        c->pivot_count++;
    }
}

bool checkpoint_next(struct checkpoint *c, struct overlay_entry **ret_entry)
{
    if (!c->frozen || c->written == c->frozen->count)
        return false;
    if (c->written == c->sorted)
        sort_some(c);
    *ret_entry = c->frozen->items[c->written++].entry;
    return true;
}

bool checkpoint_confirm(struct checkpoint *c, bool all_else)
{
    if (!c->frozen)
        return false;
    c->confirmed = c->written;
    if (c->confirmed < c->frozen->count || !all_else)
        return false;
    c->retired = c->frozen;
    c->frozen = NULL;
    c->confirmed = 0;
    c->written = 0;
    return true;
}

void checkpoint_take_back(struct checkpoint *c)
{
    c->written = c->confirmed;
}

void checkpoint_free_some(struct checkpoint *c)
{
    if (c->retired && overlay_free_some(c->retired, FREE_ENTRIES))
        c->retired = NULL;
}

void checkpoint_free(struct checkpoint *c)
{
    overlay_free(c->frozen);
    overlay_free(c->retired);
    *c = (struct checkpoint){0};
}
