/* read.c - get and get_many: they see every mutation before them, in this batch too. */
#include "server/core/core_state.h"

static int write_entry(struct core *core, struct request *q, struct bytes key)
{
    struct key_state state;
    int err = core_lookup_for(core, q, key, core_key_hash(core, key), &state);
    if (err)
        return err;
    struct reply_get reply = {.present = state.present, .modified = state.meta.modified};
    if (state.present) {
        reply.created = state.meta.created;
        reply.version = state.meta.version;
        reply.value = state.value;
    }
    reply_get_write(&core->batch.replies, &reply);
    return ERR_OK;
}

int apply_get(struct core *core, struct request *q)
{
    struct request_get body;
    if (!request_get_read(&q->body, &body))
        return ERR_MALFORMED;
    int err = request_check_key(q, "the key", body.key);
    if (err)
        return err;
    size_t begin = request_reply(core, q, core->batch.last_seq);
    err = write_entry(core, q, body.key);
    if (err)
        return err;
    return request_reply_end(core, q, begin);
}

int apply_get_many(struct core *core, struct request *q)
{
    struct wire_buffer *replies = &core->batch.replies;
    uint16_t count = wire_read_u16(&q->body);
    if (count > LIMIT_GET_KEYS)
        return request_fail(q, ERR_LIMIT, "%u keys: at most %d are allowed", count, LIMIT_GET_KEYS);
    size_t begin = request_reply(core, q, core->batch.last_seq);
    wire_write_u16(replies, count);
    for (unsigned i = 0; i < count; i++) {
        struct bytes key = wire_read_bytes16(&q->body);
        if (q->body.failed)
            return ERR_MALFORMED;
        int err = request_check_key(q, "the key", key);
        if (!err)
            err = write_entry(core, q, key);
        if (err)
            return request_fail_at(q, err, "key", i);
        if (replies->failed || replies->size - begin > q->budget)
            break;
    }
    if (replies->failed || replies->size - begin > q->budget)
        return request_reply_end(core, q, begin);
    if (!wire_read_complete(&q->body))
        return ERR_MALFORMED;
    return request_reply_end(core, q, begin);
}
