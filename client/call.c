/* call.c - functions that run at the server, and their keys. */
#include "client/arguments.h"
#include "client/connection.h"
#include "client/mutation.h"
#include "protocol/key.h"
#include "protocol/limits.h"
#include "protocol/value.h"

#include <string.h>

/* ---- calling ---- */

static int check_function(struct vigil *v, const vigil_function *f, struct request_call *body)
{
    if (!f || (f->name != NULL) == (f->source != NULL))
        return connection_fail(v, ERR_INVALID, "a function has either a name or a source");
    if (f->name) {
        body->name = (struct bytes){(const uint8_t *)f->name, strlen(f->name)};
        if (!key_valid(body->name) || body->name.size > LIMIT_KEY_SIZE - strlen(VIGIL_FUNCTIONS))
            return connection_fail(v, ERR_BAD_KEY,
                                   "the function's name is empty, too long or not "
                                   "valid UTF-8");
        return ERR_OK;
    }
    if (f->source_size == 0)
        return connection_fail(v, ERR_INVALID, "the function's source is empty");
    if (f->source_size > LIMIT_FUNCTION_SOURCE)
        return connection_fail(v, ERR_TOO_LARGE,
                               "the function's source has %zu bytes: at most %u are allowed",
                               f->source_size, LIMIT_FUNCTION_SOURCE);
    body->source = (struct bytes){(const uint8_t *)f->source, f->source_size};
    return ERR_OK;
}

int mutation_begin_call(struct vigil *v, const vigil_function *function, const void *arguments,
                        size_t arguments_size, bool check_only)
{
    struct request_call body = {.arguments = {arguments, arguments ? arguments_size : 0}};
    struct wire_buffer *b;
    int err = check_function(v, function, &body);
    if (!err && body.arguments.size > LIMIT_VALUE_SIZE_MAX)
        err = connection_fail(v, ERR_TOO_LARGE, "the arguments have %zu bytes", arguments_size);
    if (!err && arguments && !value_valid(body.arguments))
        err = connection_fail(v, ERR_BAD_VALUE, "the arguments are not one MessagePack array");
    if (!err)
        err = connection_request_begin(v, OP_CALL, check_only ? REQUEST_CALL_CHECK : 0,
                                       10 + body.name.size + body.source.size + body.arguments.size,
                                       &b);
    if (!err)
        request_call_write(b, &body);
    return err;
}

static int call_and_read(struct vigil *v, struct call *call, struct reply_call *ret_body)
{
    int err = connection_call(v, call, v->request_timeout_ms);
    if (err)
        return err;
    return reply_call_read(&call->reply.body, ret_body) ? ERR_OK : connection_malformed(v);
}

int vigil_call(vigil *v, const vigil_function *function, const void *arguments,
               size_t arguments_size, const void **ret_value, size_t *ret_size, uint64_t *ret_seq)
{
    struct call call;
    struct reply_call body;
    int err = mutation_begin_call(v, function, arguments, arguments_size, false);
    if (!err)
        err = call_and_read(v, &call, &body);
    if (err)
        return err;
    if (ret_value)
        *ret_value = body.value.data;
    if (ret_size)
        *ret_size = body.value.size;
    if (ret_seq)
        *ret_seq = call.reply.header.seq;
    return ERR_OK;
}

int vigil_function_check(vigil *v, const vigil_function *function)
{
    struct call call;
    struct reply_call body;
    int err = mutation_begin_call(v, function, NULL, 0, true);
    return err ? err : call_and_read(v, &call, &body);
}
