/*
 * row_table.h - keys and their values in memory: a hash table that mirrors and
 * listings are loaded into, and that records are applied to.
 */
#ifndef VIGIL_CLIENT_ROW_TABLE_H
#define VIGIL_CLIENT_ROW_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/wire.h"

struct table_row {
    uint64_t hash;
    uint64_t created;
    uint64_t modified;
    uint64_t version;
    uint32_t value_size;
    uint32_t key_size;
    char *key; /* terminated; the value follows the terminator */
};

/* Open addressing; a NULL row is free. At most half full. */
struct row_table {
    struct table_row **slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

void row_table_free(struct row_table *t);
struct table_row *row_table_find(const struct row_table *t, struct bytes key);
/* Adds or replaces. ERR_OK, ERR_NO_MEMORY: then the table is as it was. */
int row_table_put(struct row_table *t, struct bytes key, struct bytes value, uint64_t created,
                  uint64_t modified, uint64_t version);
void row_table_remove(struct row_table *t, struct bytes key);
static inline const uint8_t *table_row_value(const struct table_row *row)
{
    return (const uint8_t *)row->key + row->key_size + 1;
}

/* What one change of the record seq does; passed over if the row already has it. value may be
 * empty where values are not wanted. ERR_OK, ERR_NO_MEMORY. */
int row_table_apply(struct row_table *t, uint64_t seq, bool is_put, struct bytes key,
                    struct bytes value);
/* The rows in the order of their keys, in an array of count that the caller frees; NULL: no memory
 * (or count 0). */
struct table_row **row_table_sorted(const struct row_table *t);

#endif
