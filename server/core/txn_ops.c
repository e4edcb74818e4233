/* txn_ops.c - operations on one key. To add one: its function, and a line in the table. */
#include "server/core/txn_ops.h"

#include "protocol/key.h"
#include "protocol/value_edit.h"
#include "server/core/prefix_scan.h"

static const struct life_effect life_goes_on = {LIFE_EFFECT_KEEP, 0};

/* ---- as single requests have them, too ---- */

static int run_get(struct core *core, struct request *q, struct txn_step *step)
{
    struct key_state state;
    bool own;
    int err = write_set_get(core, q, step->op.key, step->own_seq, &state, &own);
    if (err)
        return err;
    step->own_seq_shown |= own;
    txn_set_before(step, &state);
    if (state.present)
        step->result.value = state.value;
    return ERR_OK;
}

static int run_put(struct core *core, struct request *q, struct txn_step *step)
{
    struct key_state before;
    int err = write_set_put(core, q, step->op.key, step->op.value, &before);
    if (!err)
        txn_set_before(step, &before);
    return err;
}

static int run_delete(struct core *core, struct request *q, struct txn_step *step)
{
    struct key_state before;
    int err = write_set_delete(core, q, step->op.key, &before);
    if (!err)
        txn_set_before(step, &before);
    return err;
}

static int run_incr(struct core *core, struct request *q, struct txn_step *step)
{
    struct key_state before;
    uint8_t number[VALUE_INTEGER_SIZE_MAX];
    struct bytes sum = {number, 0};
    int err = write_set_get(core, q, step->op.key, 0, &before, NULL);
    if (!err)
        err = core_add_integer(q, "the value", before.present ? &before.value : NULL, step->op.by,
                               number, &sum.size);
    if (!err)
        err = write_set_keep(core, sum, &sum);
    if (!err)
        err = write_set_put_living(core, q, step->op.key, sum, &life_goes_on, &before);
    if (err)
        return err;
    txn_set_before(step, &before);
    step->result.value = sum;
    return ERR_OK;
}

/* ---- the others ---- */

static int put_living(struct core *core, struct request *q, struct txn_step *step,
                      enum life_effect_kind kind)
{
    const struct life_effect life = {kind, (uint64_t)step->op.by};
    struct key_state before;
    int err = write_set_put_living(core, q, step->op.key, step->op.value, &life, &before);
    if (!err)
        txn_set_before(step, &before);
    return err;
}

static int run_put_ttl(struct core *core, struct request *q, struct txn_step *step)
{
    return put_living(core, q, step, LIFE_EFFECT_TTL);
}

static int run_put_lease(struct core *core, struct request *q, struct txn_step *step)
{
    return put_living(core, q, step, LIFE_EFFECT_LEASE);
}

static int run_set_default(struct core *core, struct request *q, struct txn_step *step)
{
    struct key_state before;
    int err = run_get(core, q, step);
    if (err || step->result.present)
        return err;
    step->result.value = step->op.value;
    err = write_set_put(core, q, step->op.key, step->op.value, &before);
    if (!err)
        txn_set_before(step, &before);
    return err;
}

/* The value is copied: it may be the state's, which the deletion looks up again. */
static int run_pop(struct core *core, struct request *q, struct txn_step *step)
{
    struct key_state before;
    struct bytes value = {NULL, 0};
    int err = write_set_get(core, q, step->op.key, 0, &before, NULL);
    if (!err && before.present) {
        wire_buffer_clear(&core->made);
        wire_write_raw(&core->made, before.value.data, before.value.size);
        err = txn_check_made(core, q);
        value = (struct bytes){core->made.data, core->made.size};
    }
    if (!err)
        err = run_delete(core, q, step);
    step->result.value = value;
    return err;
}

void txn_set_number(struct core *core, struct txn_step *step, uint64_t number)
{
    wire_buffer_clear(&core->made);
    value_write_number(&core->made, number);
    step->result.value = (struct bytes){core->made.data, core->made.size};
}

int txn_check_made(const struct core *core, struct request *q)
{
    if (!core->made.failed)
        return ERR_OK;
    if (core->made.size <= LIMIT_REPLY_SIZE)
        return ERR_NO_MEMORY;
    return request_fail(q, ERR_TOO_LARGE,
                        "its result does not fit: a message's replies may have %u bytes",
                        LIMIT_REPLY_SIZE);
}

/* Appending copies what there is, and adding looks through it. */
static int charge_bytes(struct request *q, size_t bytes)
{
    q->appended += bytes;
    q->all_appended += bytes;
    if (q->appended > LIMIT_APPEND_BYTES)
        return request_fail(q, ERR_LIMIT,
                            "it would append to more than %u bytes of values in all: use fewer "
                            "operations at once, or keys of their own for the elements",
                            LIMIT_APPEND_BYTES);
    if (q->all_appended > UINT64_C(4) * LIMIT_APPEND_BYTES)
        return request_fail(q, ERR_LIMIT,
                            "this message's requests would append to more than %u bytes of values: "
                            "send fewer of them at once",
                            4 * LIMIT_APPEND_BYTES);
    return ERR_OK;
}

static int append_failure(const struct core *core, struct request *q, int err)
{
    if (err == ERR_BAD_VALUE)
        return request_fail(q, err,
                            "the key's value is not an array, and not a string or binary to which "
                            "another of its kind is added");
    if (err == ERR_LIMIT)
        return request_fail(q, ERR_BAD_VALUE, "an element of an array may have %d levels at most",
                            LIMIT_VALUE_DEPTH - 1);
    return err == ERR_NO_MEMORY ? txn_check_made(core, q) : err;
}

/* The key, which is as in before, gets its value with the element at its end. */
static int append(struct core *core, struct request *q, struct txn_step *step,
                  const struct key_state *before)
{
    uint64_t length;
    struct key_state put_before;
    struct bytes made;
    wire_buffer_clear(&core->made);
    int err =
        value_append(before->present ? &before->value : NULL, step->op.value, &core->made, &length);
    if (err)
        return append_failure(core, q, err);
    if (core->made.size > core->limits.value_size_max)
        return request_fail(q, ERR_TOO_LARGE,
                            "the value would have %zu bytes: at most %u are "
                            "allowed",
                            core->made.size, (unsigned)core->limits.value_size_max);
    err = write_set_keep(core, (struct bytes){core->made.data, core->made.size}, &made);
    if (!err)
        err = write_set_put_living(core, q, step->op.key, made, &life_goes_on, &put_before);
    if (err)
        return err;
    txn_set_before(step, &put_before);
    txn_set_number(core, step, length);
    return txn_check_made(core, q);
}

static int run_append(struct core *core, struct request *q, struct txn_step *step)
{
    struct key_state before;
    int err = write_set_get(core, q, step->op.key, 0, &before, NULL);
    if (!err)
        err = charge_bytes(q, before.value.size);
    if (!err)
        err = append(core, q, step, &before);
    return err;
}

static int run_add(struct core *core, struct request *q, struct txn_step *step)
{
    struct key_state before;
    uint32_t count = 0;
    bool own;
    bool has = false;
    int err = write_set_get(core, q, step->op.key, step->own_seq, &before, &own);
    if (!err)
        err = charge_bytes(q, before.value.size);
    if (!err && before.present &&
        value_array_has(before.value, step->op.value, &count, &has) != ERR_OK)
        err = request_fail(q, ERR_BAD_VALUE, "the key's value is not an array");
    if (err)
        return err;
    if (!has) {
        err = append(core, q, step, &before);
        step->result.present = false;
        return err;
    }
    step->own_seq_shown |= own;
    txn_set_before(step, &before);
    txn_set_number(core, step, count);
    return txn_check_made(core, q);
}

/* ---- all of them ---- */

enum { ON_KEY = 1, ON_PREFIX = 2, PUTS = 4 };

static const struct txn_entry {
    uint8_t code;
    uint8_t takes;
    txn_op_apply *run;
} entries[] = {
    {OP_PUT, ON_KEY | PUTS, run_put},
    {OP_DELETE, ON_KEY, run_delete},
    {OP_INCR, ON_KEY, run_incr},
    {OP_GET, ON_KEY, run_get},
    {TXN_APPEND, ON_KEY | PUTS, run_append},
    {TXN_ADD, ON_KEY | PUTS, run_add},
    {TXN_SET_DEFAULT, ON_KEY | PUTS, run_set_default},
    {TXN_POP, ON_KEY, run_pop},
    {TXN_POP_ANY, ON_PREFIX, txn_pop_any},
    {TXN_CLEAR, ON_PREFIX, txn_clear},
    {TXN_COUNT, ON_PREFIX, txn_count},
    {TXN_LIST, ON_PREFIX, txn_list},
    {TXN_KEYS, ON_PREFIX, txn_list},
    {TXN_PUSH, ON_PREFIX | PUTS, txn_push},
    {TXN_PUT_TTL, ON_KEY | PUTS, run_put_ttl},
    {TXN_PUT_LEASE, ON_KEY | PUTS, run_put_lease},
};

static const struct txn_entry *find_entry(uint8_t code)
{
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        if (entries[i].code == code)
            return &entries[i];
    }
    return NULL;
}

static int check_prefix(struct request *q, const struct txn_op *op)
{
    int err = prefix_check(q, op->key);
    if (err)
        return err;
    if ((op->op == TXN_LIST || op->op == TXN_KEYS) && op->by < 0)
        return request_fail(q, ERR_INVALID, "a list of at most %lld keys cannot be",
                            (long long)op->by);
    if (op->op == TXN_PUSH &&
        (op->key.size > LIMIT_KEY_SIZE - TXN_PUSH_SUFFIX || !utf8_valid(op->key)))
        return request_fail(q, ERR_BAD_KEY,
                            "the prefix to push to is not valid: at most %d bytes of whole UTF-8 "
                            "characters",
                            LIMIT_KEY_SIZE - TXN_PUSH_SUFFIX);
    return ERR_OK;
}

int txn_op_check(const struct core *core, struct request *q, const struct txn_op *op)
{
    const struct txn_entry *entry = find_entry(op->op);
    if (!entry)
        return request_fail(q, ERR_UNKNOWN_OP, "operation %u is not one of a transaction", op->op);
    int err = (entry->takes & ON_KEY) != 0 ? request_check_key(q, "the key", op->key)
                                           : check_prefix(q, op);
    if (!err && (entry->takes & PUTS) != 0)
        err = request_check_value(core, q, "the value", op->value);
    return err;
}

int txn_op_run(struct core *core, struct request *q, struct txn_step *step)
{
    return find_entry(step->op.op)->run(core, q, step);
}
