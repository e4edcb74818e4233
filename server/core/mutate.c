/* mutate.c - put, delete, incr: one key, one record. */
#include "server/core/core_state.h"

/* The condition of a put or a delete. */
static int check_condition(struct request *q, const struct key_state *before, uint64_t expect_seq,
                           struct bytes expect_value)
{
    uint64_t modified = before->present ? before->meta.modified : 0;
    q->error_seq = modified;
    if ((q->header.flags & REQUEST_IF_SEQ) != 0 && expect_seq != modified) {
        if (expect_seq == 0)
            return request_fail(q, ERR_CONFLICT, "the key is there: it changed last at seq %llu",
                                (unsigned long long)modified);
        if (!before->present)
            return request_fail(q, ERR_CONFLICT, "expected the key at seq %llu, but there is none",
                                (unsigned long long)expect_seq);
        return request_fail(q, ERR_CONFLICT,
                            "expected the key at seq %llu, it changed last at %llu",
                            (unsigned long long)expect_seq, (unsigned long long)modified);
    }
    if ((q->header.flags & REQUEST_IF_VALUE) != 0) {
        if (!before->present)
            return request_fail(q, ERR_CONFLICT, "expected a value, but there is no such key");
        if (!bytes_equal(before->value, expect_value))
            return request_fail(q, ERR_CONFLICT,
                                "the key has another value than expected, since seq %llu",
                                (unsigned long long)modified);
    }
    q->error_seq = 0;
    return ERR_OK;
}

/* Makes a change of one key true: its record, and the key in the overlay. The reply, at reply_at, is
 * written already. */
static int change_key(struct core *core, const struct request *q, size_t reply_at, uint64_t hash,
                      const struct change *change, const struct key_meta *after)
{
    struct record_draft draft;
    core_record_begin(core, &draft, q, request_reply_kept(core, q, reply_at));
    core_record_add(core, &draft, change, hash);
    int err = core_record_end(core, &draft);
    if (err)
        return err;
    return core_store(core, change->key, hash, after, change->value);
}

int apply_put(struct core *core, struct request *q)
{
    struct request_put body;
    struct key_state before;
    if (!request_put_read(&q->body, &body))
        return ERR_MALFORMED;
    int err = request_check_key(q, "the key", body.key);
    if (!err)
        err = request_check_value(core, q, "the value", body.value);
    if (err)
        return err;
    uint64_t hash = core_key_hash(core, body.key);
    err = core_lookup(core, body.key, hash, &before);
    if (!err)
        err = check_condition(q, &before, body.expect_seq, body.expect_value);
    if (err)
        return err;

    uint64_t seq = core->batch.last_seq + 1;
    struct key_meta after = key_meta_after(&before, CHANGE_PUT, seq);
    struct change change = {
        .op = CHANGE_PUT, .prev_seq = before.meta.modified, .key = body.key, .value = body.value};
    struct reply_put reply = {.prev_seq = change.prev_seq, .version = after.version};
    size_t begin = request_reply(core, q, seq);
    reply_put_write(&core->batch.replies, &reply);
    err = request_reply_end(core, q, begin);
    return err ? err : change_key(core, q, begin, hash, &change, &after);
}

int apply_delete(struct core *core, struct request *q)
{
    struct request_delete body;
    struct key_state before;
    if (!request_delete_read(&q->body, &body))
        return ERR_MALFORMED;
    int err = request_check_key(q, "the key", body.key);
    if (err)
        return err;
    uint64_t hash = core_key_hash(core, body.key);
    err = core_lookup(core, body.key, hash, &before);
    if (!err)
        err = check_condition(q, &before, body.expect_seq, body.expect_value);
    if (err)
        return err;
    if (!before.present)
        return ERR_NOT_FOUND;

    uint64_t seq = core->batch.last_seq + 1;
    struct key_meta after = key_meta_after(&before, CHANGE_DELETE, seq);
    struct change change = {.op = CHANGE_DELETE, .prev_seq = before.meta.modified, .key = body.key};
    struct reply_delete reply = {.prev_seq = change.prev_seq};
    size_t begin = request_reply(core, q, seq);
    reply_delete_write(&core->batch.replies, &reply);
    err = request_reply_end(core, q, begin);
    return err ? err : change_key(core, q, begin, hash, &change, &after);
}

int apply_incr(struct core *core, struct request *q)
{
    struct request_incr body;
    struct key_state before;
    if (!request_incr_read(&q->body, &body))
        return ERR_MALFORMED;
    int err = request_check_key(q, "the key", body.key);
    if (err)
        return err;
    uint64_t hash = core_key_hash(core, body.key);
    err = core_lookup(core, body.key, hash, &before);
    if (err)
        return err;
    uint8_t number[VALUE_INTEGER_SIZE_MAX];
    struct bytes value = {number, 0};
    err = core_add_integer(q, "the value", before.present ? &before.value : NULL, body.by, number,
                           &value.size);
    if (err)
        return err;

    uint64_t seq = core->batch.last_seq + 1;
    struct key_meta after = key_meta_after(&before, CHANGE_PUT, seq);
    struct change change = {
        .op = CHANGE_PUT, .prev_seq = before.meta.modified, .key = body.key, .value = value};
    struct reply_incr reply = {.version = after.version, .value = value};
    size_t begin = request_reply(core, q, seq);
    reply_incr_write(&core->batch.replies, &reply);
    err = request_reply_end(core, q, begin);
    return err ? err : change_key(core, q, begin, hash, &change, &after);
}

int core_add_integer(struct request *q, const char *what, const struct bytes *value, int64_t by,
                     uint8_t out[VALUE_INTEGER_SIZE_MAX], size_t *ret_size)
{
    struct value_integer number = {false, 0};
    int err = value ? value_read_integer(*value, &number) : ERR_OK;
    if (err)
        return request_fail(q, err, "%s is not an integer", what);
    err = value_integer_add(number, by, &number);
    if (err)
        return request_fail(q, err, "%s and %lld do not fit -2^63 to 2^64-1", what, (long long)by);
    *ret_size = value_write_integer(number, out);
    return ERR_OK;
}
