/* txn.c - collecting a transaction, and committing it. */
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

static int add_compare(vigil_txn *t, uint8_t target, const char *key, enum vigil_relation relation,
                       uint64_t number, struct bytes value)
{
    struct txn_compare c = {
        .target = target, .relation = (uint8_t)relation, .number = number, .value = value};
    if (t->error)
        return t->error;
    int err = arguments_key(NULL, key, &c.key);
    if (err)
        return fail(t, err);
    if (relation < VIGIL_EQUAL || relation > VIGIL_GREATER ||
        (relation > VIGIL_NOT_EQUAL && (target == COMPARE_VALUE || target == COMPARE_EXISTS)))
        return fail(t, ERR_INVALID);
    if (t->compare_count == LIMIT_TXN_COMPARES)
        return fail(t, ERR_LIMIT);
    txn_compare_write(&t->compares, &c);
    t->compare_count++;
    return check_buffer(t, &t->compares);
}

int vigil_txn_if_seq(vigil_txn *t, const char *key, enum vigil_relation relation, uint64_t seq)
{
    return add_compare(t, COMPARE_SEQ, key, relation, seq, (struct bytes){0});
}

int vigil_txn_if_version(vigil_txn *t, const char *key, enum vigil_relation relation,
                         uint64_t version)
{
    return add_compare(t, COMPARE_VERSION, key, relation, version, (struct bytes){0});
}

int vigil_txn_if_value(vigil_txn *t, const char *key, enum vigil_relation relation,
                       const void *value, size_t size)
{
    struct bytes bytes = {value, size};
    if (!value || size > LIMIT_VALUE_SIZE_MAX || !value_valid(bytes))
        return fail(t, size > LIMIT_VALUE_SIZE_MAX ? ERR_TOO_LARGE : ERR_BAD_VALUE);
    return add_compare(t, COMPARE_VALUE, key, relation, 0, bytes);
}

int vigil_txn_if_exists(vigil_txn *t, const char *key, bool exists)
{
    return add_compare(t, COMPARE_EXISTS, key, VIGIL_EQUAL, exists, (struct bytes){0});
}

/* ---- operations ---- */

static int add_op(vigil_txn *t, const char *key, struct txn_op *op)
{
    if (t->error)
        return t->error;
    int err = arguments_key(NULL, key, &op->key);
    if (err)
        return fail(t, err);
    if (t->op_counts[t->branch] == LIMIT_TXN_OPS)
        return fail(t, ERR_LIMIT);
    txn_op_write(&t->branches[t->branch], op);
    t->op_counts[t->branch]++;
    return check_buffer(t, &t->branches[t->branch]);
}

int vigil_txn_put(vigil_txn *t, const char *key, const void *value, size_t size)
{
    struct txn_op op = {.op = OP_PUT, .value = {value, size}};
    if (!value || size > LIMIT_VALUE_SIZE_MAX || !value_valid(op.value))
        return fail(t, size > LIMIT_VALUE_SIZE_MAX ? ERR_TOO_LARGE : ERR_BAD_VALUE);
    return add_op(t, key, &op);
}

int vigil_txn_delete(vigil_txn *t, const char *key)
{
    return add_op(t, key, &(struct txn_op){.op = OP_DELETE});
}

int vigil_txn_incr(vigil_txn *t, const char *key, int64_t by)
{
    return add_op(t, key, &(struct txn_op){.op = OP_INCR, .by = by});
}

int vigil_txn_get(vigil_txn *t, const char *key)
{
    return add_op(t, key, &(struct txn_op){.op = OP_GET});
}

void vigil_txn_otherwise(vigil_txn *t)
{
    t->branch = 1;
}

/* ---- committing ---- */

int mutation_begin_txn(struct vigil *v, const vigil_txn *t)
{
    struct wire_buffer *b;
    if (t->error)
        return connection_fail(v, t->error, "the transaction is not valid: %s",
                               error_text(t->error));
    size_t size = 6 + t->compares.size + t->branches[0].size + t->branches[1].size;
    int err = connection_request_begin(v, OP_TXN, 0, size, &b);
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

/* The results in *ret_results are the connection's, until its next call. */
static int read_results(struct vigil *v, struct bytes bytes, uint16_t *ret_count)
{
    struct wire_reader r = wire_reader_of(bytes.data, bytes.size);
    uint16_t count = wire_read_u16(&r);
    if (r.failed || count > LIMIT_TXN_OPS)
        return ERR_MALFORMED;
    vigil_txn_result *results = calloc(count ? count : 1, sizeof *results);
    if (!results)
        return ERR_NO_MEMORY;
    free(v->txn_results);
    v->txn_results = results;
    for (uint16_t i = 0; i < count; i++) {
        struct txn_result result;
        if (!txn_result_read(&r, &result))
            return ERR_MALFORMED;
        results[i] = (vigil_txn_result){.op = (enum vigil_op)result.op,
                                        .present = result.present,
                                        .seq = result.seq,
                                        .value = result.value.size ? result.value.data : NULL,
                                        .size = result.value.size};
    }
    *ret_count = count;
    return wire_read_complete(&r) ? ERR_OK : ERR_MALFORMED;
}

int vigil_txn_commit(vigil *v, const vigil_txn *t, bool *ret_succeeded, uint64_t *ret_seq,
                     const vigil_txn_result **ret_results, size_t *ret_count)
{
    struct call call;
    struct reply_txn body;
    uint16_t count = 0;
    int err = mutation_begin_txn(v, t);
    if (err == ERR_OK)
        err = connection_call(v, &call, v->request_timeout_ms);
    if (err)
        return err;
    err = reply_txn_read(&call.reply.body, &body) ? read_results(v, body.results, &count)
                                                  : ERR_MALFORMED;
    if (err == ERR_MALFORMED)
        return connection_malformed(v);
    if (err)
        return connection_fail(v, err, NULL);
    if (ret_succeeded)
        *ret_succeeded = body.succeeded;
    if (ret_seq)
        *ret_seq = call.reply.header.seq;
    if (ret_results)
        *ret_results = v->txn_results;
    if (ret_count)
        *ret_count = count;
    return ERR_OK;
}
