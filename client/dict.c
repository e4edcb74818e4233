/* dict.c - a dict's other methods: each a transaction of one operation. */
#include "client/arguments.h"
#include "client/mutation.h"

/* Commits the transaction, which has been made with err, and forgets it. *ret_result: of its first
 * operation. */
static int commit(struct vigil *v, int err, vigil_txn *t, vigil_txn_result *ret_result,
                  uint64_t *ret_seq)
{
    const vigil_txn_result *results = NULL;
    size_t count = 0;
    if (t) /* otherwise there was no memory for it */
        err = vigil_txn_commit(v, t, NULL, ret_seq, &results, &count);
    else
        err = connection_fail(v, err, NULL);
    vigil_txn_free(t);
    if (err == ERR_OK && count == 0)
        return connection_malformed(v);
    if (err == ERR_OK)
        *ret_result = results[0];
    return err;
}

/* Lengths and counts. */
static int read_number(struct vigil *v, const vigil_txn_result *result, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (!result->value || vigil_unpack_uint(result->value, result->size, &number) != VIGIL_OK)
        return connection_malformed(v);
    if (ret_number)
        *ret_number = number;
    return ERR_OK;
}

static void set_entry(const char *key, const vigil_txn_result *result, uint64_t seq,
                      vigil_entry *ret_entry)
{
    if (ret_entry)
        *ret_entry = (vigil_entry){.key = key,
                                   .value = result->value,
                                   .size = result->size,
                                   .present = true,
                                   .modified = result->seq,
                                   .seq = seq};
}

int vigil_set_default(vigil *v, const char *key, const void *value, size_t size, bool *ret_put,
                      vigil_entry *ret_entry)
{
    vigil_txn *t = NULL;
    vigil_txn_result result = {.size = 0};
    uint64_t seq = 0;
    int err = vigil_txn_new(&t);
    if (err == ERR_OK)
        err = vigil_txn_set_default(t, key, value, size);
    err = commit(v, err, t, &result, &seq);
    if (err)
        return err;
    if (ret_put)
        *ret_put = !result.present;
    set_entry(key, &result, seq, ret_entry);
    return ERR_OK;
}

static int popped(struct vigil *v, int err, const char *key, const vigil_txn_result *result,
                  uint64_t seq, vigil_entry *ret_entry, uint64_t *ret_seq)
{
    if (err)
        return err;
    if (!result->present)
        return connection_fail(v, ERR_NOT_FOUND, NULL);
    set_entry(key, result, seq, ret_entry);
    if (ret_seq)
        *ret_seq = seq;
    return ERR_OK;
}

int vigil_pop(vigil *v, const char *key, vigil_entry *ret_entry, uint64_t *ret_seq)
{
    vigil_txn *t = NULL;
    vigil_txn_result result = {.size = 0};
    uint64_t seq = 0;
    int err = vigil_txn_new(&t);
    if (err == ERR_OK)
        err = vigil_txn_pop(t, key);
    err = commit(v, err, t, &result, &seq);
    return popped(v, err, key, &result, seq, ret_entry, ret_seq);
}

int vigil_pop_any(vigil *v, const char *prefix, vigil_entry *ret_entry, uint64_t *ret_seq)
{
    vigil_txn *t = NULL;
    vigil_txn_result result = {.size = 0};
    uint64_t seq = 0;
    int err = vigil_txn_new(&t);
    if (err == ERR_OK)
        err = vigil_txn_pop_any(t, prefix);
    err = commit(v, err, t, &result, &seq);
    return popped(v, err, result.key, &result, seq, ret_entry, ret_seq);
}

int vigil_put_many(vigil *v, const vigil_pair *pairs, size_t count, uint64_t *ret_seq)
{
    vigil_txn *t = NULL;
    int err = vigil_txn_new(&t);
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        err = vigil_txn_put(t, pairs[i].key, pairs[i].value, pairs[i].size);
    if (!t)
        return connection_fail(v, err, NULL);
    err = vigil_txn_commit(v, t, NULL, ret_seq, NULL, NULL);
    vigil_txn_free(t);
    return err;
}

int vigil_append(vigil *v, const char *key, const void *value, size_t size, uint64_t *ret_length,
                 uint64_t *ret_seq)
{
    vigil_txn *t = NULL;
    vigil_txn_result result = {.size = 0};
    int err = vigil_txn_new(&t);
    if (err == ERR_OK)
        err = vigil_txn_append(t, key, value, size);
    err = commit(v, err, t, &result, ret_seq);
    return err ? err : read_number(v, &result, ret_length);
}

int vigil_add(vigil *v, const char *key, const void *value, size_t size, bool *ret_added,
              uint64_t *ret_length, uint64_t *ret_seq)
{
    vigil_txn *t = NULL;
    vigil_txn_result result = {.size = 0};
    int err = vigil_txn_new(&t);
    if (err == ERR_OK)
        err = vigil_txn_add(t, key, value, size);
    err = commit(v, err, t, &result, ret_seq);
    if (err)
        return err;
    if (ret_added)
        *ret_added = !result.present;
    return read_number(v, &result, ret_length);
}

int vigil_clear(vigil *v, const char *prefix, uint64_t *ret_count, uint64_t *ret_seq)
{
    vigil_txn *t = NULL;
    vigil_txn_result result = {.size = 0};
    int err = vigil_txn_new(&t);
    if (err == ERR_OK)
        err = vigil_txn_clear_prefix(t, prefix);
    err = commit(v, err, t, &result, ret_seq);
    return err ? err : read_number(v, &result, ret_count);
}

static bool count_one(void *context, const vigil_entry *entry)
{
    uint64_t *count = context;
    (void)entry;
    (*count)++;
    return true;
}

int vigil_count(vigil *v, const char *prefix, int timeout_ms, uint64_t *ret_count,
                uint64_t *ret_seq)
{
    vigil_txn *t = NULL;
    vigil_txn_result result = {.size = 0};
    uint64_t count = 0;
    int err = vigil_txn_new(&t);
    if (err == ERR_OK)
        err = vigil_txn_count(t, prefix);
    err = commit(v, err, t, &result, ret_seq);
    if (err == ERR_OK)
        return read_number(v, &result, ret_count);
    if (err != ERR_LIMIT)
        return err;
    err = vigil_list(v, prefix, false, timeout_ms, count_one, &count, ret_seq);
    if (err == ERR_OK && ret_count)
        *ret_count = count;
    return err;
}

int vigil_push(vigil *v, const char *prefix, const void *value, size_t size, const char **ret_key,
               uint64_t *ret_seq)
{
    vigil_txn *t = NULL;
    vigil_txn_result result = {.size = 0};
    int err = vigil_txn_new(&t);
    if (err == ERR_OK)
        err = vigil_txn_push(t, prefix, value, size);
    err = commit(v, err, t, &result, ret_seq);
    if (err)
        return err;
    if (!result.key)
        return connection_malformed(v);
    if (ret_key)
        *ret_key = result.key;
    return ERR_OK;
}
