/*
 * call.c - call: a function in Lua on the state, as one request.
 *
 * The function works on a copy (write_set.h), which becomes a record when it has
 * returned and its reply is known to fit. An error of any kind leaves nothing.
 *
 * 1. A function gets its time. All functions together get it once more; then
 *    calls are BUSY, and take no number, until all requests that wait have been
 *    read, or those have had as much time as the functions. So what others wait
 *    for functions does not depend on how many there are.
 * 2. What a function has put is copied, at most as much as a record may have and
 *    the function may use memory.
 */
#include "server/core/prefix_scan.h"

#include <stdlib.h>

static const char name_prefix[] = "vigil/function/";
enum { NAME_PREFIX_SIZE = sizeof name_prefix - 1 };

/* What the callbacks work on. */
struct call_state {
    struct core *core;
    struct request *q;
    size_t kept_left; /* bytes that may still be copied */
    uint8_t number[VALUE_INTEGER_SIZE_MAX];
    size_t list_limit;
    size_t list_count;
};

/* ---- what the function does to the state ---- */

static int begin_operation(struct call_state *c, struct bytes key)
{
    c->q->text[0] = '\0';
    return request_check_key(c->q, "the key", key);
}

static int keep(struct call_state *c, struct bytes bytes, struct bytes *ret_kept)
{
    if (bytes.size > c->kept_left)
        return request_fail(c->q, ERR_LIMIT,
                            "all that the function has written, also what it wrote over, is too "
                            "much");
    c->kept_left -= bytes.size;
    return write_set_keep(c->core, bytes, ret_kept);
}

static int host_get(void *context, struct bytes key, bool *ret_present, struct bytes *ret_value)
{
    struct call_state *c = context;
    struct key_state state;
    int err = begin_operation(c, key);
    if (!err)
        err = write_set_get(c->core, c->q, key, 0, &state, NULL);
    if (err)
        return err;
    *ret_present = state.present;
    *ret_value = state.value;
    return ERR_OK;
}

static int host_put(void *context, struct bytes key, struct bytes value, uint64_t ttl_ms)
{
    struct call_state *c = context;
    const struct life_effect life = {ttl_ms == 0 ? LIFE_EFFECT_END : LIFE_EFFECT_TTL, ttl_ms};
    int err = begin_operation(c, key);
    if (!err)
        err = keep(c, key, &key);
    if (!err)
        err = keep(c, value, &value);
    if (!err)
        err = write_set_put_living(c->core, c->q, key, value, &life, NULL);
    return err;
}

static int host_remove(void *context, struct bytes key, bool *ret_was_present)
{
    struct call_state *c = context;
    struct key_state before;
    int err = begin_operation(c, key);
    if (!err)
        err = keep(c, key, &key);
    if (!err)
        err = write_set_delete(c->core, c->q, key, &before);
    if (err)
        return err;
    *ret_was_present = before.present;
    return ERR_OK;
}

static int host_incr(void *context, struct bytes key, int64_t by, struct bytes *ret_value)
{
    struct call_state *c = context;
    static const struct life_effect life = {LIFE_EFFECT_KEEP, 0};
    struct key_state before;
    struct bytes sum = {c->number, 0};
    int err = begin_operation(c, key);
    if (!err)
        err = write_set_get(c->core, c->q, key, 0, &before, NULL);
    if (!err)
        err = core_add_integer(c->q, "the value", before.present ? &before.value : NULL, by,
                               c->number, &sum.size);
    if (!err)
        err = keep(c, key, &key);
    if (!err)
        err = keep(c, sum, &sum);
    if (!err)
        err = write_set_put_living(c->core, c->q, key, sum, &life, NULL);
    if (err)
        return err;
    *ret_value = sum;
    return ERR_OK;
}

static int list_one(void *context, const struct write_set_entry *entry)
{
    struct call_state *c = context;
    struct core *core = c->core;
    if (c->list_count == c->list_limit)
        return WRITE_SET_STOP;
    if (c->list_count == core->listed_capacity) {
        size_t capacity = core->listed_capacity ? core->listed_capacity * 2 : 64;
        struct bytes *listed = realloc(core->listed, capacity * sizeof *listed);
        if (!listed)
            return ERR_NO_MEMORY;
        core->listed = listed;
        core->listed_capacity = capacity;
    }
    core->listed[c->list_count++] = entry->key;
    return ERR_OK;
}

static int host_list(void *context, struct bytes prefix, size_t limit,
                     const struct bytes **ret_keys, size_t *ret_count)
{
    struct call_state *c = context;
    c->q->text[0] = '\0';
    c->list_limit = limit;
    c->list_count = 0;
    int err = prefix_check(c->q, prefix);
    if (!err)
        err = write_set_scan(c->core, c->q, prefix, 0, list_one, c);
    if (err)
        return err;
    *ret_keys = c->core->listed;
    *ret_count = c->list_count;
    return ERR_OK;
}

static const char *host_error_text(void *context)
{
    const struct call_state *c = context;
    return c->q->text[0] != '\0' ? c->q->text : NULL;
}

static uint64_t clock_of(const struct core *core)
{
    return core->source.clock_us ? core->source.clock_us(core->source.context) : 0;
}

static uint64_t host_clock_us(void *context)
{
    const struct core_source *source = &((const struct call_state *)context)->core->source;
    return source->processor_us ? source->processor_us(source->context) : 0;
}

/* ---- which function ---- */

static bool read_text(struct bytes value, struct bytes *ret_text)
{
    static const uint8_t tag8 = 0xd9; /* then the ones with sizes of 2 and 4 bytes */
    if (value.size == 0)
        return false;
    uint8_t tag = value.data[0];
    size_t head = (tag & 0xe0) == 0xa0             ? 1
                  : tag >= tag8 && tag <= tag8 + 2 ? 1 + ((size_t)1 << (tag - tag8))
                                                   : 0;
    if (head == 0)
        return false;
    *ret_text = (struct bytes){value.data + head, value.size - head};
    return true;
}

/* The source of the stored function, valid until the next lookup. */
static int find_source(struct core *core, struct request *q, struct bytes name,
                       struct bytes *ret_source)
{
    uint8_t key_bytes[LIMIT_KEY_SIZE];
    struct bytes key = {key_bytes, NAME_PREFIX_SIZE + name.size};
    struct key_state state;
    if (key.size > LIMIT_KEY_SIZE)
        return request_fail(q, ERR_BAD_KEY, "a function's name has at most %d bytes",
                            LIMIT_KEY_SIZE - NAME_PREFIX_SIZE);
    memcpy(key_bytes, name_prefix, NAME_PREFIX_SIZE);
    memcpy(key_bytes + NAME_PREFIX_SIZE, name.data, name.size);
    int err = request_check_key(q, "the function's name", key);
    if (!err)
        err = core_lookup_for(core, q, key, core_key_hash(core, key), &state);
    if (err)
        return err;
    if (!state.present)
        return request_fail(q, ERR_NOT_FOUND, "there is no function '%.*s': no key '%.*s'",
                            (int)name.size, (const char *)name.data, (int)key.size,
                            (const char *)key.data);
    if (!read_text(state.value, ret_source))
        return request_fail(q, ERR_BAD_VALUE, "'%.*s' is no function: its value is not a string",
                            (int)key.size, (const char *)key.data);
    return ERR_OK;
}

static bool is_array(struct bytes value)
{
    return (value.data[0] & 0xf0) == 0x90 || value.data[0] == 0xdc || value.data[0] == 0xdd;
}

static int read_call(struct core *core, struct request *q, struct script_call *call)
{
    static const uint8_t no_arguments[] = {0x90};
    struct request_call body;
    if (!request_call_read(&q->body, &body))
        return ERR_MALFORMED;
    if ((body.name.size == 0) == (body.source.size == 0))
        return request_fail(q, ERR_INVALID, "a call has either a function's name or a source");
    call->arguments = body.arguments.size > 0 ? body.arguments : (struct bytes){no_arguments, 1};
    int err = request_check_value(core, q, "the array of arguments", call->arguments);
    if (err)
        return err;
    if (!is_array(call->arguments))
        return request_fail(q, ERR_BAD_VALUE, "the arguments are not an array");
    call->name = body.name.size > 0 ? body.name : (struct bytes){(const uint8_t *)"source", 6};
    call->source = body.source;
    return body.name.size > 0 ? find_source(core, q, body.name, &call->source) : ERR_OK;
}

/* ---- the call ---- */

static bool burst_is_over(const struct core *core)
{
    return core->burst_us >= core->limits.function_ms * 1000;
}

int call_check_time(const struct core *core, struct request *q)
{
    if (!burst_is_over(core) || clock_of(core) - core->burst_end_us >= core->burst_us)
        return ERR_OK;
    return request_fail(q, ERR_BUSY,
                        "functions have taken %llu ms by now, and other requests wait: try again, "
                        "with fewer at once",
                        (unsigned long long)(core->burst_us / 1000));
}

static void count_time(struct core *core, uint64_t began_us)
{
    uint64_t now_us = clock_of(core);
    uint64_t took_us = now_us - began_us;
    if (burst_is_over(core)) /* call_check_time has seen that this was long ago */
        core->burst_us = 0;
    core->burst_us += took_us;
    core->burst_end_us = now_us;
    core->batch.function_us += took_us;
    core->function_us += took_us;
}

/* A function's failure has a longer text than others, as far as the reply has room for it. */
static int fail(struct core *core, struct request *q, int err)
{
    size_t room = q->budget - REPLY_HEADER_SIZE - 2;
    if (err == ERR_SCRIPT)
        q->long_text = script_error_text(core->script, room);
    else if (err != ERR_NO_MEMORY)
        (void)request_fail(q, err, "%s", script_error_text(core->script, LIMIT_ERROR_TEXT));
    return err;
}

/* function: its name, source and arguments. */
static int run(struct core *core, struct request *q, const struct script_call *function,
               struct bytes *ret_value)
{
    struct script_call call = *function;
    struct call_state c = {.core = core, .q = q};
    const struct script_host host = {.context = &c,
                                     .get = host_get,
                                     .put = host_put,
                                     .remove = host_remove,
                                     .incr = host_incr,
                                     .list = host_list,
                                     .error_text = host_error_text,
                                     .clock_us = host_clock_us};
    c.kept_left = q->record_room + core->limits.function_memory;
    call.host = &host;
    call.now_us = core->batch.time_us;
    call.check_only = (q->header.flags & REQUEST_CALL_CHECK) != 0;
    call.limits = (struct script_limits){.steps = core->limits.function_steps,
                                         .time_ms = (uint32_t)core->limits.function_ms,
                                         .operations = LIMIT_TXN_OPS,
                                         .memory = core->limits.function_memory,
                                         .value_size = core->limits.value_size_max,
                                         .result_size = core->limits.value_size_max};
    uint64_t began_us = clock_of(core);
    int err = script_call(core->script, &call, ret_value);
    count_time(core, began_us);
    core->calls++;
    core->calls_failed += err != ERR_OK;
    return err ? fail(core, q, err) : ERR_OK;
}

int apply_call(struct core *core, struct request *q)
{
    struct script_call call = {0};
    struct reply_call reply = {0};
    int err = q->is_numbered ? ERR_OK : call_check_time(core, q); /* of those it was asked before */
    if (!err && !core->script)
        err = script_engine_new(&core->script);
    if (!err)
        err = read_call(core, q, &call);
    if (!err)
        err = write_set_begin(core, 1);
    if (!err)
        err = run(core, q, &call, &reply.value);
    if (err)
        return err;
    size_t begin = request_reply(core, q, core->batch.last_seq + 1);
    reply_call_write(&core->batch.replies, &reply);
    err = request_reply_end(core, q, begin);
    if (err)
        return err;
    if (write_set_changes_anything(&core->writes))
        return write_set_commit(core, q, begin);
    request_reply_set_seq(core, q, begin, core->batch.last_seq);
    message_part_end(&core->batch.replies, begin);
    return ERR_OK;
}
