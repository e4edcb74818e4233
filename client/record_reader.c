/* record_reader.c - a record's bytes as the application sees them. */
#include "client/record_reader.h"

#include <stdlib.h>

#include "protocol/errors.h"
#include "protocol/limits.h"

void record_reader_free(struct record_reader *r)
{
    free(r->changes);
    free(r->keys);
    *r = (struct record_reader){0};
}

static bool reserve(void **array, size_t *capacity, size_t needed, size_t element_size)
{
    if (needed <= *capacity)
        return true;
    size_t wanted = *capacity * 2 > needed ? *capacity * 2 : needed;
    void *grown = realloc(*array, wanted * element_size);
    if (!grown)
        return false;
    *array = grown;
    *capacity = wanted;
    return true;
}

/* Every change takes its header and its key, so this is enough for all keys with their terminators.
 */
static size_t keys_bound(const struct record_header *h)
{
    size_t overhead = RECORD_HEADER_SIZE + (size_t)h->count * (CHANGE_HEADER_SIZE - 1);
    size_t bound = h->size - overhead;
    size_t most = (size_t)h->count * (LIMIT_KEY_SIZE + 1);
    return bound < most ? bound : most;
}

int record_reader_read(struct record_reader *r, uint64_t epoch, const uint8_t *record,
                       const struct record_header *header, vigil_record *ret_record)
{
    void *changes = r->changes;
    void *keys = r->keys;
    bool reserved = reserve(&changes, &r->changes_capacity, header->count, sizeof *r->changes);
    r->changes = changes;
    reserved = reserved && reserve(&keys, &r->keys_capacity, keys_bound(header), 1);
    r->keys = keys;
    if (!reserved)
        return ERR_NO_MEMORY;

    struct change c;
    char *key = r->keys;
    vigil_change *out = r->changes;
    for (struct change_iterator i = record_changes(record); change_next(&i, &c); out++) {
        memcpy(key, c.key.data, c.key.size);
        key[c.key.size] = '\0';
        *out = (vigil_change){
            .op = (enum vigil_change_op)c.op,
            .part = c.part,
            .key = key,
            .key_size = c.key.size,
            .value = c.op == CHANGE_PUT ? c.value.data : NULL,
            .size = c.value.size,
            .prev_seq = c.prev_seq,
        };
        key += c.key.size + 1;
    }
    *ret_record = (vigil_record){
        .epoch = epoch,
        .seq = header->seq,
        .time_us = header->time_us,
        .session = header->session,
        .number = header->number,
        .parts = header->parts,
        .count = header->count,
        .changes = r->changes,
    };
    return ERR_OK;
}
