/* read.c - reads and questions that take one round trip: get, get many, ping, status, compact. */
#include "client/arguments.h"
#include "client/clock.h"
#include "client/mutation.h"
#include "client/read.h"

static vigil_entry entry_of(const char *key, const struct reply_get *body, uint64_t seq)
{
    return (vigil_entry){
        .key = key,
        .value = body->present ? body->value.data : NULL,
        .size = body->present ? body->value.size : 0,
        .present = body->present,
        .modified = body->modified,
        .created = body->created,
        .version = body->version,
        .seq = seq,
    };
}

/* Copies keys, terminated, so that results do not hang on the caller's. Pointers come at the end,
 * when the buffer moves no more. */
static int keep_key(struct vigil *v, struct bytes key)
{
    wire_write_raw(&v->scratch, key.data, key.size);
    wire_write_u8(&v->scratch, 0);
    return v->scratch.failed ? connection_fail(v, ERR_NO_MEMORY, NULL) : ERR_OK;
}

int read_entry(struct vigil *v, const char *key, int timeout_ms, vigil_entry *ret_entry,
               uint64_t *ret_epoch)
{
    struct call call;
    struct reply_get body;
    int err = mutation_begin_get(v, key);
    if (err == ERR_OK)
        err = connection_call(v, &call, timeout_ms);
    if (err)
        return err;
    if (!reply_get_read(&call.reply.body, &body))
        return connection_malformed(v);
    wire_buffer_clear(&v->scratch);
    err = keep_key(v, (struct bytes){(const uint8_t *)key, strlen(key)});
    if (err)
        return err;
    *ret_entry = entry_of((const char *)v->scratch.data, &body, call.reply.header.seq);
    *ret_epoch = call.message.epoch;
    return ERR_OK;
}

int vigil_get(vigil *v, const char *key, vigil_entry *ret_entry)
{
    uint64_t epoch;
    return read_entry(v, key, v->request_timeout_ms, ret_entry, &epoch);
}

static int begin_get_many(struct vigil *v, const char *const *keys, size_t count)
{
    struct wire_buffer *b;
    size_t size = 2;
    if (!keys || count == 0 || count > LIMIT_GET_KEYS)
        return connection_fail(v, ERR_LIMIT, "1 to %d keys can be read at once", LIMIT_GET_KEYS);
    wire_buffer_clear(&v->scratch);
    for (size_t i = 0; i < count; i++) {
        struct bytes key;
        int err = arguments_key(v, keys[i], &key);
        if (err == ERR_OK)
            err = keep_key(v, key);
        if (err)
            return err;
        size += 2 + key.size;
    }
    int err = connection_request_begin(v, OP_GET_MANY, 0, size, &b);
    if (err)
        return err;
    wire_write_u16(b, (uint16_t)count);
    for (size_t i = 0; i < count; i++)
        wire_write_bytes16(b, (struct bytes){(const uint8_t *)keys[i], strlen(keys[i])});
    return ERR_OK;
}

int read_entries(struct vigil *v, const char *const *keys, size_t count, int timeout_ms,
                 vigil_entry *ret_entries)
{
    struct call call;
    struct reply_get_many body;
    int err = begin_get_many(v, keys, count);
    if (err == ERR_OK)
        err = connection_call(v, &call, timeout_ms);
    if (err)
        return err;
    if (!reply_get_many_read(&call.reply.body, &body))
        return connection_malformed(v);
    struct wire_reader r = wire_reader_of(body.entries.data, body.entries.size);
    if (wire_read_u16(&r) != count)
        return connection_malformed(v);
    const char *key = (const char *)v->scratch.data;
    for (size_t i = 0; i < count; i++) {
        struct reply_get entry;
        if (!reply_get_read_next(&r, &entry))
            return connection_malformed(v);
        ret_entries[i] = entry_of(key, &entry, call.reply.header.seq);
        key += strlen(key) + 1;
    }
    return wire_read_complete(&r) ? ERR_OK : connection_malformed(v);
}

int vigil_get_many(vigil *v, const char *const *keys, size_t count, vigil_entry *ret_entries)
{
    return read_entries(v, keys, count, v->request_timeout_ms, ret_entries);
}

int read_head(struct vigil *v, int timeout_ms)
{
    struct call call;
    struct wire_buffer *b;
    int err = connection_request_begin(v, OP_PING, 0, 0, &b);
    return err ? err : connection_call(v, &call, timeout_ms);
}

int vigil_ping(vigil *v)
{
    return read_head(v, v->request_timeout_ms);
}

int vigil_status(vigil *v, const void **ret_map, size_t *ret_size)
{
    struct call call;
    struct reply_status body;
    struct wire_buffer *b;
    int err = connection_request_begin(v, OP_STATUS, 0, 0, &b);
    if (err == ERR_OK)
        err = connection_call(v, &call, v->request_timeout_ms);
    if (err)
        return err;
    if (!reply_status_read(&call.reply.body, &body))
        return connection_malformed(v);
    *ret_map = body.map.data;
    *ret_size = body.map.size;
    return ERR_OK;
}

int vigil_compact(vigil *v, uint64_t before, int timeout_ms, uint64_t *ret_oldest)
{
    int64_t deadline = deadline_after(timeout_ms);
    for (;;) {
        struct call call;
        struct request_compact request = {.before = before};
        struct reply_compact body;
        struct wire_buffer *b;
        int err = connection_request_begin(v, OP_COMPACT, 0, 8, &b);
        if (err)
            return err;
        request_compact_write(b, &request);
        err = connection_call(v, &call, v->request_timeout_ms);
        if (err)
            return err;
        if (!reply_compact_read(&call.reply.body, &body))
            return connection_malformed(v);
        if (ret_oldest)
            *ret_oldest = body.oldest;
        if (body.oldest >= before)
            return ERR_OK;
        int64_t now = clock_now_ms();
        if (now >= deadline)
            return connection_fail(v, ERR_TIMEOUT, "the journal is still being compacted");
        /* The server goes on with it at its own pace. */
        err = connection_wait(v, NULL, deadline_left_ms(deadline, now, 10));
        if (err)
            return connection_fail(v, err, NULL);
        connection_step(v);
    }
}
