/* mutation.c - put, delete, increment: checked, written, and the blocking form of each. */
#include "client/mutation.h"

#include "client/arguments.h"
#include "protocol/value.h"

/* ---- writing ---- */

static int read_condition(struct vigil *v, const vigil_condition *c, uint8_t *ret_flags,
                          uint64_t *ret_seq, struct bytes *ret_value)
{
    if (!c)
        return ERR_OK;
    if (c->if_value) {
        int err = arguments_value(v, c->if_value, c->if_value_size, ret_value);
        if (err)
            return err;
        *ret_flags |= REQUEST_IF_VALUE;
    }
    if (c->if_seq) {
        *ret_seq = c->seq;
        *ret_flags |= REQUEST_IF_SEQ;
    }
    return ERR_OK;
}

int mutation_begin_put(struct vigil *v, const char *key, const void *value, size_t size,
                       const vigil_condition *condition)
{
    struct request_put body = {0};
    struct wire_buffer *b;
    uint8_t flags = 0;
    int err = arguments_key(v, key, &body.key);
    if (err == ERR_OK)
        err = arguments_value(v, value, size, &body.value);
    if (err == ERR_OK)
        err = read_condition(v, condition, &flags, &body.expect_seq, &body.expect_value);
    if (err == ERR_OK)
        err = connection_request_begin(
            v, OP_PUT, flags, 18 + body.key.size + body.value.size + body.expect_value.size, &b);
    if (err == ERR_OK)
        request_put_write(b, &body);
    return err;
}

int mutation_begin_delete(struct vigil *v, const char *key, const vigil_condition *condition)
{
    struct request_delete body = {0};
    struct wire_buffer *b;
    uint8_t flags = 0;
    int err = arguments_key(v, key, &body.key);
    if (err == ERR_OK)
        err = read_condition(v, condition, &flags, &body.expect_seq, &body.expect_value);
    if (err == ERR_OK)
        err = connection_request_begin(v, OP_DELETE, flags,
                                       14 + body.key.size + body.expect_value.size, &b);
    if (err == ERR_OK)
        request_delete_write(b, &body);
    return err;
}

int mutation_begin_incr(struct vigil *v, const char *key, int64_t by)
{
    struct request_incr body = {.by = by};
    struct wire_buffer *b;
    int err = arguments_key(v, key, &body.key);
    if (err == ERR_OK)
        err = connection_request_begin(v, OP_INCR, 0, 10 + body.key.size, &b);
    if (err == ERR_OK)
        request_incr_write(b, &body);
    return err;
}

int mutation_begin_get(struct vigil *v, const char *key)
{
    struct request_get body = {0};
    struct wire_buffer *b;
    int err = arguments_key(v, key, &body.key);
    if (err == ERR_OK)
        err = connection_request_begin(v, OP_GET, 0, 2 + body.key.size, &b);
    if (err == ERR_OK)
        request_get_write(b, &body);
    return err;
}

/* ---- blocking ---- */

/* A conflict tells where the key changed last. */
static void set_conflict(int err, const struct call *call, vigil_result *ret_result)
{
    if (err == ERR_CONFLICT && ret_result)
        *ret_result = (vigil_result){.seq = call->reply.header.seq};
}

int vigil_put(vigil *v, const char *key, const void *value, size_t size,
              const vigil_condition *condition, vigil_result *ret_result)
{
    struct call call;
    struct reply_put body;
    int err = mutation_begin_put(v, key, value, size, condition);
    if (err)
        return err;
    err = connection_call(v, &call, v->request_timeout_ms);
    set_conflict(err, &call, ret_result);
    if (err)
        return err;
    if (!reply_put_read(&call.reply.body, &body))
        return connection_malformed(v);
    if (ret_result)
        *ret_result = (vigil_result){call.reply.header.seq, body.prev_seq, body.version};
    return ERR_OK;
}

int vigil_delete(vigil *v, const char *key, const vigil_condition *condition,
                 vigil_result *ret_result)
{
    struct call call;
    struct reply_delete body;
    int err = mutation_begin_delete(v, key, condition);
    if (err)
        return err;
    err = connection_call(v, &call, v->request_timeout_ms);
    set_conflict(err, &call, ret_result);
    if (err)
        return err;
    if (!reply_delete_read(&call.reply.body, &body))
        return connection_malformed(v);
    if (ret_result)
        *ret_result = (vigil_result){.seq = call.reply.header.seq, .prev_seq = body.prev_seq};
    return ERR_OK;
}

int vigil_incr(vigil *v, const char *key, int64_t by, int64_t *ret_integer, const void **ret_value,
               size_t *ret_size, vigil_result *ret_result)
{
    struct call call;
    struct reply_incr body;
    struct value_integer integer;
    int err = mutation_begin_incr(v, key, by);
    if (err == ERR_OK)
        err = connection_call(v, &call, v->request_timeout_ms);
    if (err)
        return err;
    if (!reply_incr_read(&call.reply.body, &body) ||
        value_read_integer(body.value, &integer) != ERR_OK)
        return connection_malformed(v);
    if (ret_integer)
        *ret_integer =
            !integer.negative && integer.bits > INT64_MAX ? INT64_MAX : (int64_t)integer.bits;
    if (ret_value)
        *ret_value = body.value.data;
    if (ret_size)
        *ret_size = body.value.size;
    if (ret_result)
        *ret_result = (vigil_result){.seq = call.reply.header.seq, .version = body.version};
    return ERR_OK;
}
