/* txn_prefix_ops.c - operations on the keys with a prefix: pop_any, clear, count, list, push. */
#include "server/core/txn_ops.h"

#include "protocol/value_edit.h"

#include <stdio.h>

int txn_pop_any(struct core *core, struct request *q, struct txn_step *step)
{
    struct write_set_entry first;
    struct key_state before;
    struct bytes key;
    int err = write_set_first(core, q, step->op.key, 0, &first);
    if (err)
        return err == ERR_NOT_FOUND ? ERR_OK : err;
    wire_buffer_clear(&core->made);
    value_write_array(&core->made, 2);
    value_write_string(&core->made, first.key);
    wire_write_raw(&core->made, first.value.data, first.value.size);
    err = write_set_keep(core, first.key, &key);
    if (!err)
        err = write_set_delete(core, q, key, &before);
    if (err)
        return err;
    txn_set_before(step, &before);
    step->result.value = (struct bytes){core->made.data, core->made.size};
    return txn_check_made(core, q);
}

/* ---- all of them ---- */

struct clearing {
    struct core *core;
    struct request *q;
    uint64_t count;
};

static int clear_one(void *context, const struct write_set_entry *entry)
{
    struct clearing *c = context;
    struct bytes key;
    int err = write_set_keep(c->core, entry->key, &key);
    if (!err)
        err = write_set_delete(c->core, c->q, key, NULL);
    c->count++;
    if (err == ERR_LIMIT)
        request_fail(c->q, err,
                     "more than %d keys would change: clear longer prefixes one after another, or "
                     "a part of the keys at a time",
                     LIMIT_TXN_OPS);
    return err;
}

int txn_clear(struct core *core, struct request *q, struct txn_step *step)
{
    struct clearing c = {core, q, 0};
    int err = write_set_scan(core, q, step->op.key, 0, clear_one, &c);
    if (err)
        return err;
    step->result.present = c.count > 0;
    txn_set_number(core, step, c.count);
    return txn_check_made(core, q);
}

static int count_one(void *context, const struct write_set_entry *entry)
{
    (void)entry;
    ++*(uint64_t *)context;
    return ERR_OK;
}

int txn_count(struct core *core, struct request *q, struct txn_step *step)
{
    uint64_t count = 0;
    int err = write_set_scan(core, q, step->op.key, 0, count_one, &count);
    if (err)
        return err;
    step->result.present = count > 0;
    txn_set_number(core, step, count);
    return txn_check_made(core, q);
}

struct listing {
    struct core *core;
    struct request *q;
    uint64_t rows_max; /* 0: as many as there are */
    bool keys_only;
    uint32_t rows;
    bool own;
};

static int list_one(void *context, const struct write_set_entry *entry)
{
    struct listing *l = context;
    struct wire_buffer *made = &l->core->made;
    if (!l->keys_only)
        value_write_array(made, 3);
    value_write_string(made, entry->key);
    if (!l->keys_only) {
        value_write_number(made, entry->modified);
        wire_write_raw(made, entry->value.data, entry->value.size);
        l->own |= entry->own;
    }
    l->rows++;
    int err = txn_check_made(l->core, l->q);
    return !err && l->rows == l->rows_max ? WRITE_SET_STOP : err;
}

int txn_list(struct core *core, struct request *q, struct txn_step *step)
{
    struct listing l = {.core = core,
                        .q = q,
                        .rows_max = (uint64_t)step->op.by,
                        .keys_only = step->op.op == TXN_KEYS};
    uint8_t head[VALUE_HEAD_SIZE_MAX];
    wire_buffer_clear(&core->made);
    /* Room for the head, whose size shows when all rows are there. */
    wire_write_raw(&core->made, (uint8_t[VALUE_HEAD_SIZE_MAX]){0}, VALUE_HEAD_SIZE_MAX);
    int err = txn_check_made(core, q);
    if (!err)
        err = write_set_scan(core, q, step->op.key, step->own_seq, list_one, &l);
    if (err)
        return err;
    size_t head_size = value_array_head(l.rows, head);
    size_t begin = VALUE_HEAD_SIZE_MAX - head_size;
    memcpy(core->made.data + begin, head, head_size);
    step->own_seq_shown |= l.own;
    step->result.present = l.rows > 0;
    step->result.value = (struct bytes){core->made.data + begin, core->made.size - begin};
    return ERR_OK;
}

/* ---- a new one ---- */

int txn_push(struct core *core, struct request *q, struct txn_step *step)
{
    char text[LIMIT_KEY_SIZE + 1];
    struct key_state before;
    struct bytes key;
    size_t prefix_size = step->op.key.size;
    unsigned long long seq = core->batch.last_seq + 1;
    if (prefix_size > 0)
        memcpy(text, step->op.key.data, prefix_size);
    /* Not own_seq, which is 0 where it turns out that there will be no record: the key is the same
     * in both runs. */
    (void)snprintf(text + prefix_size, sizeof text - prefix_size, "%016llx-%04x", seq,
                   step->number);
    int err =
        write_set_keep(core, (struct bytes){(uint8_t *)text, prefix_size + TXN_PUSH_SUFFIX}, &key);
    if (!err)
        err = write_set_put(core, q, key, step->op.value, &before);
    if (!err && before.present)
        err =
            request_fail(q, ERR_CONFLICT, "the key %.*s, which is the next to be pushed, is there",
                         (int)key.size, (const char *)key.data);
    if (err)
        return err;
    txn_set_before(step, &before);
    wire_buffer_clear(&core->made);
    value_write_string(&core->made, key);
    step->result.value = (struct bytes){core->made.data, core->made.size};
    return txn_check_made(core, q);
}
