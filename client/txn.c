/* txn.c - collecting a transaction, and its request; txn_commit.c sends that and reads the reply. */
#include "client/arguments.h"
#include "client/mutation.h"
#include "protocol/key.h"
#include "protocol/value.h"

#include <stdlib.h>

/* The three parts are kept as they will stand in the request; counts go before them. */
struct vigil_txn {
    struct wire_buffer compares;
    struct wire_buffer branches[2]; /* then, else */
    uint16_t compare_count;
    uint16_t op_counts[2];
    int branch;
    int error; /* sticks */
};

int vigil_txn_new(vigil_txn **ret_txn)
{
    if (!ret_txn)
        return ERR_INVALID;
    vigil_txn *t = calloc(1, sizeof *t);
    if (!t)
        return ERR_NO_MEMORY;
    wire_buffer_init(&t->compares, LIMIT_MESSAGE_SIZE_MAX);
    wire_buffer_init(&t->branches[0], LIMIT_MESSAGE_SIZE_MAX);
    wire_buffer_init(&t->branches[1], LIMIT_MESSAGE_SIZE_MAX);
    *ret_txn = t;
    return ERR_OK;
}

void vigil_txn_free(vigil_txn *t)
{
    if (!t)
        return;
    wire_buffer_free(&t->compares);
    wire_buffer_free(&t->branches[0]);
    wire_buffer_free(&t->branches[1]);
    free(t);
}

void vigil_txn_clear(vigil_txn *t)
{
    wire_buffer_clear(&t->compares);
    wire_buffer_clear(&t->branches[0]);
    wire_buffer_clear(&t->branches[1]);
    t->compare_count = 0;
    t->op_counts[0] = 0;
    t->op_counts[1] = 0;
    t->branch = 0;
    t->error = ERR_OK;
}

static int fail(vigil_txn *t, int error)
{
    if (t->error == ERR_OK)
        t->error = error;
    return error;
}

/* A buffer that failed is at its bound, or memory is short: at this size it is the bound that
 * counts. */
static int check_buffer(vigil_txn *t, const struct wire_buffer *b)
{
    if (!b->failed)
        return ERR_OK;
    return fail(t, b->size > LIMIT_MESSAGE_SIZE_MAX / 2 ? ERR_TOO_LARGE : ERR_NO_MEMORY);
}

/* ---- compares ---- */

/* key has been looked at: err is what was found. */
static int add_compare(vigil_txn *t, int err, const struct txn_compare *c)
{
    if (t->error)
        return t->error;
    if (err)
        return fail(t, err);
    if (c->relation < COMPARE_EQUAL || c->relation > COMPARE_GREATER ||
        (c->relation > COMPARE_NOT_EQUAL &&
         (c->target == COMPARE_VALUE || c->target == COMPARE_EXISTS)))
        return fail(t, ERR_INVALID);
    if (t->compare_count == LIMIT_TXN_COMPARES)
        return fail(t, ERR_LIMIT);
    txn_compare_write(&t->compares, c);
    t->compare_count++;
    return check_buffer(t, &t->compares);
}

static int add_key_compare(vigil_txn *t, uint8_t target, const char *key,
                           enum vigil_relation relation, uint64_t number, struct bytes value)
{
    struct txn_compare c = {
        .target = target, .relation = (uint8_t)relation, .number = number, .value = value};
    int err = arguments_key(NULL, key, &c.key);
    return add_compare(t, err, &c);
}

int vigil_txn_if_seq(vigil_txn *t, const char *key, enum vigil_relation relation, uint64_t seq)
{
    return add_key_compare(t, COMPARE_SEQ, key, relation, seq, (struct bytes){0});
}

int vigil_txn_if_version(vigil_txn *t, const char *key, enum vigil_relation relation,
                         uint64_t version)
{
    return add_key_compare(t, COMPARE_VERSION, key, relation, version, (struct bytes){0});
}

/* ERR_OK, ERR_TOO_LARGE, ERR_BAD_VALUE. The server may take less. */
static int check_value(const void *value, size_t size)
{
    if (size > LIMIT_VALUE_SIZE_MAX)
        return ERR_TOO_LARGE;
    return value && value_valid((struct bytes){value, size}) ? ERR_OK : ERR_BAD_VALUE;
}

int vigil_txn_if_value(vigil_txn *t, const char *key, enum vigil_relation relation,
                       const void *value, size_t size)
{
    int err = check_value(value, size);
    if (err)
        return fail(t, err);
    return add_key_compare(t, COMPARE_VALUE, key, relation, 0, (struct bytes){value, size});
}

int vigil_txn_if_exists(vigil_txn *t, const char *key, bool exists)
{
    return add_key_compare(t, COMPARE_EXISTS, key, VIGIL_EQUAL, exists, (struct bytes){0});
}

int vigil_txn_if_prefix_unchanged(vigil_txn *t, const char *prefix, uint64_t seq)
{
    struct txn_compare c = {.target = COMPARE_PREFIX, .relation = COMPARE_EQUAL, .number = seq};
    int err = arguments_prefix(NULL, prefix, &c.key);
    return add_compare(t, err, &c);
}

/* ---- operations ---- */

static int add_op(vigil_txn *t, int err, const struct txn_op *op)
{
    if (t->error)
        return t->error;
    if (err)
        return fail(t, err);
    if (t->op_counts[t->branch] == LIMIT_TXN_OPS)
        return fail(t, ERR_LIMIT);
    txn_op_write(&t->branches[t->branch], op);
    t->op_counts[t->branch]++;
    return check_buffer(t, &t->branches[t->branch]);
}

static int add_key_op(vigil_txn *t, uint8_t code, const char *key, int64_t by)
{
    struct txn_op op = {.op = code, .by = by};
    int err = arguments_key(NULL, key, &op.key);
    return add_op(t, err, &op);
}

static int add_value_op(vigil_txn *t, uint8_t code, const char *key, const void *value, size_t size,
                        int64_t by)
{
    struct txn_op op = {.op = code, .by = by, .value = {value, size}};
    int err = check_value(value, size);
    if (!err)
        err = arguments_key(NULL, key, &op.key);
    return add_op(t, err, &op);
}

static int add_prefix_op(vigil_txn *t, uint8_t code, const char *prefix, int64_t by)
{
    struct txn_op op = {.op = code, .by = by};
    int err = arguments_prefix(NULL, prefix, &op.key);
    return add_op(t, err, &op);
}

int vigil_txn_put(vigil_txn *t, const char *key, const void *value, size_t size)
{
    return add_value_op(t, OP_PUT, key, value, size, 0);
}

int vigil_txn_put_ttl(vigil_txn *t, const char *key, const void *value, size_t size,
                      uint64_t ttl_ms)
{
    if (ttl_ms == 0 || ttl_ms > LIMIT_TTL_MS)
        return fail(t, ERR_INVALID);
    return add_value_op(t, TXN_PUT_TTL, key, value, size, (int64_t)ttl_ms);
}

int vigil_txn_put_lease(vigil_txn *t, const char *key, const void *value, size_t size,
                        uint64_t lease)
{
    return add_value_op(t, TXN_PUT_LEASE, key, value, size, (int64_t)lease);
}

int vigil_txn_delete(vigil_txn *t, const char *key)
{
    return add_key_op(t, OP_DELETE, key, 0);
}

int vigil_txn_incr(vigil_txn *t, const char *key, int64_t by)
{
    return add_key_op(t, OP_INCR, key, by);
}

int vigil_txn_get(vigil_txn *t, const char *key)
{
    return add_key_op(t, OP_GET, key, 0);
}

int vigil_txn_append(vigil_txn *t, const char *key, const void *value, size_t size)
{
    return add_value_op(t, TXN_APPEND, key, value, size, 0);
}

int vigil_txn_add(vigil_txn *t, const char *key, const void *value, size_t size)
{
    return add_value_op(t, TXN_ADD, key, value, size, 0);
}

int vigil_txn_set_default(vigil_txn *t, const char *key, const void *value, size_t size)
{
    return add_value_op(t, TXN_SET_DEFAULT, key, value, size, 0);
}

int vigil_txn_pop(vigil_txn *t, const char *key)
{
    return add_key_op(t, TXN_POP, key, 0);
}

int vigil_txn_pop_any(vigil_txn *t, const char *prefix)
{
    return add_prefix_op(t, TXN_POP_ANY, prefix, 0);
}

int vigil_txn_clear_prefix(vigil_txn *t, const char *prefix)
{
    return add_prefix_op(t, TXN_CLEAR, prefix, 0);
}

int vigil_txn_count(vigil_txn *t, const char *prefix)
{
    return add_prefix_op(t, TXN_COUNT, prefix, 0);
}

int vigil_txn_list(vigil_txn *t, const char *prefix, uint32_t limit)
{
    return add_prefix_op(t, TXN_LIST, prefix, limit);
}

int vigil_txn_keys(vigil_txn *t, const char *prefix, uint32_t limit)
{
    return add_prefix_op(t, TXN_KEYS, prefix, limit);
}

int vigil_txn_push(vigil_txn *t, const char *prefix, const void *value, size_t size)
{
    struct txn_op op = {.op = TXN_PUSH, .value = {value, size}};
    int err = check_value(value, size);
    if (!err)
        err = arguments_prefix(NULL, prefix, &op.key);
    return add_op(t, err, &op);
}

void vigil_txn_otherwise(vigil_txn *t)
{
    t->branch = 1;
}

/* ---- the request ---- */

int mutation_begin_txn(struct vigil *v, const vigil_txn *t, uint8_t flags)
{
    struct wire_buffer *b;
    if (t->error)
        return connection_fail(v, t->error, "the transaction is not valid: %s",
                               error_text(t->error));
    size_t size = 6 + t->compares.size + t->branches[0].size + t->branches[1].size;
    int err = connection_request_begin(v, OP_TXN, flags, size, &b);
    if (err)
        return err;
    wire_write_u16(b, t->compare_count);
    wire_write_raw(b, t->compares.data, t->compares.size);
    for (int i = 0; i < 2; i++) {
        wire_write_u16(b, t->op_counts[i]);
        wire_write_raw(b, t->branches[i].data, t->branches[i].size);
    }
    return ERR_OK;
}
