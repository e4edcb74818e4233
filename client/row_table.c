/* row_table.c - keys and their values in memory. */
#include "client/row_table.h"

#include <stdlib.h>

#include "client/key_hash.h"
#include "protocol/errors.h"

enum { CAPACITY_FIRST = 64 };

void row_table_free(struct row_table *t)
{
    for (size_t i = 0; i < t->capacity; i++)
        free(t->slots[i]);
    free(t->slots);
    *t = (struct row_table){0};
}

static size_t slot_of(const struct row_table *t, uint64_t hash)
{
    return (size_t)(hash >> 20) & (t->capacity - 1);
}

static bool is_row_of(const struct table_row *row, uint64_t hash, struct bytes key)
{
    return row->hash == hash && row->key_size == key.size &&
           memcmp(row->key, key.data, key.size) == 0;
}

/* The slot of key, or the free one where it belongs. The table is not empty. */
static size_t find_slot(const struct row_table *t, uint64_t hash, struct bytes key)
{
    size_t i = slot_of(t, hash);
    while (t->slots[i] && !is_row_of(t->slots[i], hash, key))
        i = (i + 1) & (t->capacity - 1);
    return i;
}

struct table_row *row_table_find(const struct row_table *t, struct bytes key)
{
    return t->capacity ? t->slots[find_slot(t, key_hash(key), key)] : NULL;
}

static int grow(struct row_table *t)
{
    struct row_table grown = {.capacity = t->capacity ? t->capacity * 2 : CAPACITY_FIRST,
                              .count = t->count};
    grown.slots = calloc(grown.capacity, sizeof *grown.slots);
    if (!grown.slots)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < t->capacity; i++) {
        struct table_row *row = t->slots[i];
        if (!row)
            continue;
        size_t at = slot_of(&grown, row->hash);
        while (grown.slots[at])
            at = (at + 1) & (grown.capacity - 1);
        grown.slots[at] = row;
    }
    free(t->slots);
    *t = grown;
    return ERR_OK;
}

int row_table_put(struct row_table *t, struct bytes key, struct bytes value, uint64_t created,
                  uint64_t modified, uint64_t version)
{
    if ((t->count + 1) * 2 > t->capacity && grow(t) != ERR_OK)
        return ERR_NO_MEMORY;
    uint64_t hash = key_hash(key);
    size_t at = find_slot(t, hash, key);
    struct table_row *row = malloc(sizeof *row + key.size + 1 + value.size);
    if (!row)
        return ERR_NO_MEMORY;
    *row = (struct table_row){
        .hash = hash,
        .created = created,
        .modified = modified,
        .version = version,
        .key = (char *)(row + 1),
        .key_size = (uint32_t)key.size,
        .value_size = (uint32_t)value.size,
    };
    memcpy(row->key, key.data, key.size);
    row->key[key.size] = '\0';
    if (value.size > 0)
        memcpy(row->key + key.size + 1, value.data, value.size);
    if (!t->slots[at])
        t->count++;
    free(t->slots[at]);
    t->slots[at] = row;
    return ERR_OK;
}

void row_table_remove(struct row_table *t, struct bytes key)
{
    if (t->capacity == 0)
        return;
    size_t mask = t->capacity - 1;
    size_t hole = find_slot(t, key_hash(key), key);
    if (!t->slots[hole])
        return;
    free(t->slots[hole]);
    t->slots[hole] = NULL;
    t->count--;
    /* What was pushed past the hole moves back, so that no search ends early. */
    for (size_t i = (hole + 1) & mask; t->slots[i]; i = (i + 1) & mask) {
        size_t home = slot_of(t, t->slots[i]->hash);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            t->slots[i] = NULL;
            hole = i;
        }
    }
}

int row_table_apply(struct row_table *t, uint64_t seq, bool is_put, struct bytes key,
                    struct bytes value)
{
    const struct table_row *row = row_table_find(t, key);
    if (row && row->modified >= seq)
        return ERR_OK;
    if (is_put)
        return row_table_put(t, key, value, row ? row->created : seq, seq,
                             row ? row->version + 1 : 1);
    if (row)
        row_table_remove(t, key);
    return ERR_OK;
}

static int compare_rows(const void *a, const void *b)
{
    const struct table_row *x = *(struct table_row *const *)a;
    const struct table_row *y = *(struct table_row *const *)b;
    return bytes_compare((struct bytes){(const uint8_t *)x->key, x->key_size},
                         (struct bytes){(const uint8_t *)y->key, y->key_size});
}

struct table_row **row_table_sorted(const struct row_table *t)
{
    size_t n = 0;
    if (t->count == 0)
        return NULL;
    struct table_row **rows = malloc(t->count * sizeof *rows);
    if (!rows)
        return NULL;
    for (size_t i = 0; i < t->capacity; i++) {
        if (t->slots[i])
            rows[n++] = t->slots[i];
    }
    qsort(rows, n, sizeof *rows, compare_rows);
    return rows;
}
