/*
 * key_table.h - what verify remembers of each key: the last change seen of it.
 * Grows with the number of distinct keys, and with nothing else.
 */
#ifndef VIGIL_JOURNAL_KEY_TABLE_H
#define VIGIL_JOURNAL_KEY_TABLE_H

#include "protocol/wire.h"

struct key_entry {
    uint64_t key_at; /* in key_table.keys */
    uint16_t key_size;
    bool last_deleted;
    bool row_seen;
    uint32_t last_at; /* where in its record the key of the last change stands */
    uint64_t last_seq;
    uint64_t applied_seq; /* of the last change at or before applied; 0: none */
};

struct key_slot {
    uint32_t hash;
    uint32_t number; /* index + 1 of an entry, 0 if free */
};

/* Zero-initialise. */
struct key_table {
    struct key_entry *entries; /* in the order of adding */
    size_t count;
    size_t capacity;
    struct key_slot *slots;
    size_t slot_count; /* a power of two */
    uint8_t *keys;
    size_t keys_size;
    size_t keys_capacity;
};

void key_table_free(struct key_table *t);
struct key_entry *key_table_find(const struct key_table *t, struct bytes key);
/* The entry of key, made zeroed if there is none; NULL: out of memory. Valid until the next add. */
struct key_entry *key_table_add(struct key_table *t, struct bytes key);
struct bytes key_table_key(const struct key_table *t, const struct key_entry *entry);

#endif
