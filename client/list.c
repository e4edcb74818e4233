/* list.c - all keys with a prefix, at one seq. */
#include "client/arguments.h"
#include "client/snapshot.h"

#include <stdlib.h>

#include "protocol/key.h"

static int prefix_filter(struct vigil *v, const char *prefix, struct filter **ret_filter)
{
    struct pattern p = {.kind = PATTERN_PREFIX};
    if (prefix)
        p.text = (struct bytes){(const uint8_t *)prefix, strlen(prefix)};
    if (p.text.size > LIMIT_KEY_SIZE || !prefix_valid(p.text))
        return connection_fail(v, ERR_BAD_KEY, NULL);
    struct filter *f = malloc(sizeof *f);
    if (!f)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    int err = filter_init(f, &p, 1);
    if (err) {
        free(f);
        return connection_fail(v, err, NULL);
    }
    *ret_filter = f;
    return ERR_OK;
}

static int hand_out(struct vigil *v, const struct snapshot *s, bool with_values,
                    bool (*each)(void *context, const vigil_entry *entry), void *context)
{
    int err = ERR_OK;
    struct table_row **rows = row_table_sorted(&s->table);
    if (!rows && s->table.count > 0)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    for (size_t i = 0; i < s->table.count && err == ERR_OK; i++) {
        const struct table_row *row = rows[i];
        vigil_entry entry = {
            .key = row->key,
            .value = with_values ? table_row_value(row) : NULL,
            .size = row->value_size,
            .present = true,
            .modified = row->modified,
            .created = row->created,
            .version = row->version,
            .seq = s->seq,
        };
        if (!each(context, &entry))
            err = connection_fail(v, ERR_INTERRUPTED, "the application stopped the listing");
    }
    free(rows);
    return err;
}

int vigil_list(vigil *v, const char *prefix, bool with_values, int timeout_ms,
               bool (*each)(void *context, const vigil_entry *entry), void *context,
               uint64_t *ret_seq)
{
    struct filter *filter = NULL;
    struct snapshot snapshot = {.epoch = 0};
    if (!each)
        return connection_fail(v, ERR_INVALID, NULL);
    int err = prefix_filter(v, prefix, &filter);
    if (err)
        return err;
    err = snapshot_load(v, filter, with_values, timeout_ms, &snapshot);
    free(filter);
    if (err)
        return err;
    if (ret_seq)
        *ret_seq = snapshot.seq;
    err = hand_out(v, &snapshot, with_values, each, context);
    snapshot_free(&snapshot);
    return err;
}
