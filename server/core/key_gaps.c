/* key_gaps.c - see key_gaps.h. */
#include "server/core/key_gaps.h"

#include <stdlib.h>

struct key_gap {
    struct key_bound low;
    struct key_bound high;
    /* Before the batch; low: it was not there. Knowing less than that is fine, too. */
    struct key_bound high_before;
    uint64_t batch; /* that extended it last */
    uint64_t used;
};

void key_bound_set(struct key_bound *b, struct bytes text)
{
    b->size = (uint16_t)text.size;
    if (text.size > 0)
        memcpy(b->text, text.data, text.size);
}

void key_bound_set_behind(struct key_bound *b, struct bytes prefix)
{
    key_bound_set(b, prefix);
    if (prefix.size == 0) { /* no key begins with it, because none is UTF-8 then */
        b->text[b->size++] = 0xff;
        return;
    }
    /* 0xff is in no prefix either. */
    b->text[b->size - 1]++;
}

static int bound_compare(const struct key_bound *a, struct bytes b)
{
    return bytes_compare(key_bound_bytes(a), b);
}

/* How many gaps begin at text or before. */
static size_t count_up_to(const struct key_gaps *g, struct bytes text)
{
    size_t low = 0;
    size_t high = g->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (bound_compare(&g->gaps[middle]->low, text) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void remove_at(struct key_gaps *g, size_t at, size_t count)
{
    for (size_t i = at; i < at + count; i++)
        free(g->gaps[i]);
    g->count -= count;
    memmove(g->gaps + at, g->gaps + at + count, (g->count - at) * sizeof g->gaps[0]);
}

void key_gaps_free(struct key_gaps *g)
{
    remove_at(g, 0, g->count);
}

bool key_gaps_skip(struct key_gaps *g, struct bytes from, struct bytes *ret_end)
{
    size_t n = count_up_to(g, from);
    if (n == 0 || bound_compare(&g->gaps[n - 1]->high, from) <= 0)
        return false;
    g->gaps[n - 1]->used = ++g->uses;
    *ret_end = key_bound_bytes(&g->gaps[n - 1]->high);
    return true;
}

static void forget_least_used(struct key_gaps *g)
{
    size_t least = 0;
    for (size_t i = 1; i < g->count; i++) {
        if (g->gaps[i]->used < g->gaps[least]->used)
            least = i;
    }
    remove_at(g, least, 1);
}

static struct key_gap *insert(struct key_gaps *g, struct bytes low, uint64_t batch)
{
    struct key_gap *gap = malloc(sizeof *gap);
    if (!gap)
        return NULL;
    if (g->count == KEY_GAPS_MAX)
        forget_least_used(g);
    size_t at = count_up_to(g, low);
    memmove(g->gaps + at + 1, g->gaps + at, (g->count - at) * sizeof g->gaps[0]);
    g->gaps[at] = gap;
    g->count++;
    gap->batch = batch;
    key_bound_set(&gap->low, low);
    gap->high_before = gap->high = gap->low;
    return gap;
}

void key_gaps_learn(struct key_gaps *g, struct bytes low, struct bytes high, uint64_t batch)
{
    if (bytes_compare(low, high) >= 0)
        return;
    size_t n = count_up_to(g, low);
    struct key_gap *gap = n > 0 ? g->gaps[n - 1] : NULL;
    if (!gap || bound_compare(&gap->high, low) < 0) {
        gap = insert(g, low, batch);
        if (!gap)
            return;
        n = count_up_to(g, low);
    } else if (gap->batch != batch) {
        gap->batch = batch;
        gap->high_before = gap->high;
    }
    gap->used = ++g->uses;
    if (bound_compare(&gap->high, high) < 0)
        key_bound_set(&gap->high, high);
    /* Those that it has reached become a part of it. */
    size_t reached = 0;
    while (n + reached < g->count &&
           bound_compare(&g->gaps[n + reached]->low, key_bound_bytes(&gap->high)) <= 0) {
        struct bytes end = key_bound_bytes(&g->gaps[n + reached]->high);
        if (bound_compare(&gap->high, end) < 0)
            key_bound_set(&gap->high, end);
        reached++;
    }
    remove_at(g, n, reached);
}

void key_gaps_cut_known(struct key_gaps *g, struct bytes key)
{
    size_t n = count_up_to(g, key);
    if (n == 0 || bound_compare(&g->gaps[n - 1]->high, key) <= 0)
        return;
    struct key_gap *gap = g->gaps[n - 1];
    if (bound_compare(&gap->low, key) == 0) {
        remove_at(g, n - 1, 1);
        return;
    }
    key_bound_set(&gap->high, key);
    if (bound_compare(&gap->high_before, key) > 0)
        gap->high_before = gap->high;
}

void key_gaps_abort(struct key_gaps *g, uint64_t batch)
{
    for (size_t i = g->count; i > 0; i--) {
        struct key_gap *gap = g->gaps[i - 1];
        if (gap->batch != batch)
            continue;
        gap->high = gap->high_before;
        if (bound_compare(&gap->low, key_bound_bytes(&gap->high)) >= 0)
            remove_at(g, i - 1, 1);
    }
}
