/* txn_commit.c - committing a transaction, and what its operations have given. */
#include "client/mutation.h"
#include "protocol/value.h"

#include <stdlib.h>

/* A result's key, where it has one of its own (empty: none), and its value. */
static bool split_result(const struct txn_result *result, struct bytes *ret_key,
                         struct bytes *ret_value)
{
    struct wire_reader r = wire_reader_of(result->value.data, result->value.size);
    struct bytes key_value;
    uint32_t count;
    *ret_key = (struct bytes){NULL, 0};
    *ret_value = result->value;
    if (result->op == TXN_PUSH)
        return value_read_string(result->value, ret_key);
    if (result->op != TXN_POP_ANY || !result->present)
        return true;
    return value_next_array(&r, &count) && count == 2 && value_next(&r, &key_value) &&
           value_read_string(key_value, ret_key) && value_next(&r, ret_value) &&
           wire_read_complete(&r);
}

/* Counts the results, and the bytes that their keys need. */
static bool measure(struct wire_reader r, uint16_t *ret_count, size_t *ret_key_bytes)
{
    uint16_t count = wire_read_u16(&r);
    size_t key_bytes = 0;
    for (uint16_t i = 0; i < count; i++) {
        struct txn_result result;
        struct bytes key;
        struct bytes value;
        if (!txn_result_read(&r, &result) || !split_result(&result, &key, &value))
            return false;
        key_bytes += key.size + 1;
    }
    *ret_count = count;
    *ret_key_bytes = key_bytes;
    return count <= LIMIT_TXN_OPS && wire_read_complete(&r);
}

/* The results are the connection's, until its next call; their keys stand behind them. */
static int read_results(struct vigil *v, struct bytes bytes, uint16_t *ret_count)
{
    struct wire_reader r = wire_reader_of(bytes.data, bytes.size);
    uint16_t count;
    size_t key_bytes;
    if (!measure(r, &count, &key_bytes))
        return ERR_MALFORMED;
    vigil_txn_result *results = calloc(1, (count ? count : 1) * sizeof *results + key_bytes);
    if (!results)
        return ERR_NO_MEMORY;
    free(v->txn_results);
    v->txn_results = results;
    char *key_at = (char *)(results + count);
    (void)wire_read_u16(&r);
    for (uint16_t i = 0; i < count; i++) {
        struct txn_result result = {0};
        struct bytes key;
        struct bytes value;
        (void)txn_result_read(&r, &result);
        (void)split_result(&result, &key, &value);
        results[i] = (vigil_txn_result){.op = (enum vigil_op)result.op,
                                        .present = result.present,
                                        .seq = result.seq,
                                        .value = value.size ? value.data : NULL,
                                        .size = value.size};
        if (key.size == 0)
            continue;
        memcpy(key_at, key.data, key.size);
        results[i].key = key_at;
        key_at += key.size + 1;
    }
    *ret_count = count;
    return ERR_OK;
}

int mutation_commit_txn(struct vigil *v, const vigil_txn *t, uint8_t flags, int timeout_ms,
                        bool *ret_succeeded, uint64_t *ret_seq,
                        const vigil_txn_result **ret_results, size_t *ret_count)
{
    struct call call;
    struct reply_txn body;
    uint16_t count = 0;
    int err = mutation_begin_txn(v, t, flags);
    if (err == ERR_OK)
        err = connection_call(v, &call, timeout_ms);
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

int vigil_txn_commit(vigil *v, const vigil_txn *t, bool *ret_succeeded, uint64_t *ret_seq,
                     const vigil_txn_result **ret_results, size_t *ret_count)
{
    return mutation_commit_txn(v, t, 0, v->request_timeout_ms, ret_succeeded, ret_seq, ret_results,
                               ret_count);
}

static bool read_key(struct wire_reader *r, struct bytes *ret_key)
{
    struct bytes field;
    return value_next(r, &field) && value_read_string(field, ret_key);
}

/* What follows the key of a row of a list. */
static bool read_fields(struct wire_reader *r, vigil_row *row)
{
    struct value_integer modified;
    struct bytes field;
    struct bytes value;
    if (!value_next(r, &field) || value_read_integer(field, &modified) != ERR_OK ||
        !value_next(r, &value))
        return false;
    row->modified = modified.bits;
    row->value = value.data;
    row->size = value.size;
    return true;
}

bool vigil_txn_row(const vigil_txn_result *result, size_t *at, vigil_row *ret_row)
{
    struct wire_reader r = wire_reader_of(result->value, result->size);
    bool is_list = result->op == VIGIL_OP_LIST;
    vigil_row row = {.key = NULL};
    struct bytes key;
    uint32_t count;
    if ((!is_list && result->op != VIGIL_OP_KEYS) || !result->value ||
        !value_next_array(&r, &count))
        return false;
    if (*at > 0 && *at <= result->size)
        r.at = (const uint8_t *)result->value + *at;
    if (is_list && (!value_next_array(&r, &count) || count != 3))
        return false;
    if (!read_key(&r, &key) || (is_list && !read_fields(&r, &row)))
        return false;
    row.key = (const char *)key.data;
    row.key_size = key.size;
    *ret_row = row;
    *at = (size_t)(r.at - (const uint8_t *)result->value);
    return true;
}
