/* living.c - a single put that gives the key an end: a transaction of one operation. */
#include "client/arguments.h"
#include "client/mutation.h"

static void add_condition(vigil_txn *t, const char *key, const vigil_condition *c)
{
    if (c && c->if_seq)
        (void)vigil_txn_if_seq(t, key, VIGIL_EQUAL, c->seq);
    if (c && c->if_value)
        (void)vigil_txn_if_value(t, key, VIGIL_EQUAL, c->if_value, c->if_value_size);
}

/* The transaction's errors are told as a put tells them. */
static int check(struct vigil *v, const char *key, const void *value, size_t size,
                 const vigil_condition *condition)
{
    struct bytes bytes;
    int err = arguments_key(v, key, &bytes);
    if (err == ERR_OK)
        err = arguments_value(v, value, size, &bytes);
    if (err == ERR_OK && condition && condition->if_value)
        err = arguments_value(v, condition->if_value, condition->if_value_size, &bytes);
    return err;
}

/* t has the put. Where the condition does not hold, a get tells where the key stands. */
static int commit(struct vigil *v, vigil_txn *t, const char *key, vigil_result *ret_result)
{
    const vigil_txn_result *results;
    size_t count;
    bool succeeded;
    vigil_result result = {0};
    vigil_txn_otherwise(t);
    (void)vigil_txn_get(t, key);
    int err = vigil_txn_commit(v, t, &succeeded, &result.seq, &results, &count);
    if (err)
        return err;
    if (count != 1)
        return connection_malformed(v);
    if (succeeded)
        result.prev_seq = results[0].seq;
    else
        result.seq = results[0].present ? results[0].seq : 0;
    if (ret_result)
        *ret_result = result;
    return succeeded ? ERR_OK : connection_fail(v, ERR_CONFLICT, NULL);
}

/* With lease, or if that is 0, for ttl_ms. */
static int put(vigil *v, const char *key, struct bytes value, uint64_t ttl_ms, uint64_t lease,
               const vigil_condition *condition, vigil_result *ret_result)
{
    vigil_txn *t = NULL;
    int err = check(v, key, value.data, value.size, condition);
    if (err)
        return err;
    if (vigil_txn_new(&t) != ERR_OK)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    add_condition(t, key, condition);
    if (lease == 0)
        (void)vigil_txn_put_ttl(t, key, value.data, value.size, ttl_ms);
    else
        (void)vigil_txn_put_lease(t, key, value.data, value.size, lease);
    err = commit(v, t, key, ret_result);
    vigil_txn_free(t);
    return err;
}

int vigil_put_ttl(vigil *v, const char *key, const void *value, size_t size, uint64_t ttl_ms,
                  const vigil_condition *condition, vigil_result *ret_result)
{
    return put(v, key, (struct bytes){value, size}, ttl_ms, 0, condition, ret_result);
}

int vigil_put_lease(vigil *v, const char *key, const void *value, size_t size, uint64_t lease,
                    const vigil_condition *condition, vigil_result *ret_result)
{
    if (lease == 0)
        return connection_fail(v, ERR_LEASE_ENDED, NULL);
    return put(v, key, (struct bytes){value, size}, 0, lease, condition, ret_result);
}
