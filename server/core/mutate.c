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

/* ---- one key: what it is, and what becomes of it ---- */

struct edit {
    uint64_t hash;
    struct key_state before;
    uint64_t seq;
    struct key_meta after;
    struct change change;
    struct life_effect life;
};

static int edit_find(struct core *core, struct request *q, struct bytes key, struct edit *e)
{
    int err = request_check_key(q, "the key", key);
    if (err)
        return err;
    e->hash = core_key_hash(core, key);
    e->change = (struct change){.key = key};
    e->life = (struct life_effect){LIFE_EFFECT_END, 0};
    return core_lookup_for(core, q, key, e->hash, &e->before);
}

/* op with value becomes the next record. Returns where its reply begins. */
static size_t edit_decide(struct core *core, const struct request *q, struct edit *e, uint8_t op,
                          struct bytes value)
{
    e->seq = core->batch.last_seq + 1;
    e->after = key_meta_after(&e->before, op, e->seq);
    e->change.op = op;
    e->change.prev_seq = e->before.meta.modified;
    e->change.value = value;
    return request_reply(core, q, e->seq);
}

/* Makes it true: its record, and the key in the overlay. The reply's body is written. */
static int edit_end(struct core *core, struct request *q, const struct edit *e, size_t reply_at)
{
    struct record_draft draft;
    int err = request_reply_end(core, q, reply_at);
    if (err)
        return err;
    core_record_begin(core, &draft, q, request_reply_kept(core, q, reply_at));
    core_record_add(core, &draft, &e->change, e->hash);
    err = core_record_end(core, &draft);
    if (err)
        return err;
    err = core_store(core, e->change.key, e->hash, &e->after, e->change.value);
    if (err)
        return err;
    return life_follow(core, e->change.key, e->hash, e->before.meta.modified, e->seq, &e->life);
}

/* ---- ops ---- */

int apply_put(struct core *core, struct request *q)
{
    struct request_put body;
    struct edit e;
    if (!request_put_read(&q->body, &body))
        return ERR_MALFORMED;
    int err = edit_find(core, q, body.key, &e);
    if (!err)
        err = request_check_value(core, q, "the value", body.value);
    if (!err)
        err = check_condition(q, &e.before, body.expect_seq, body.expect_value);
    if (err)
        return err;
    size_t begin = edit_decide(core, q, &e, CHANGE_PUT, body.value);
    struct reply_put reply = {.prev_seq = e.change.prev_seq, .version = e.after.version};
    reply_put_write(&core->batch.replies, &reply);
    return edit_end(core, q, &e, begin);
}

int apply_delete(struct core *core, struct request *q)
{
    struct request_delete body;
    struct edit e;
    if (!request_delete_read(&q->body, &body))
        return ERR_MALFORMED;
    int err = edit_find(core, q, body.key, &e);
    if (!err)
        err = check_condition(q, &e.before, body.expect_seq, body.expect_value);
    if (err)
        return err;
    if (!e.before.present)
        return ERR_NOT_FOUND;
    size_t begin = edit_decide(core, q, &e, CHANGE_DELETE, (struct bytes){0});
    struct reply_delete reply = {.prev_seq = e.change.prev_seq};
    reply_delete_write(&core->batch.replies, &reply);
    return edit_end(core, q, &e, begin);
}

int apply_incr(struct core *core, struct request *q)
{
    struct request_incr body;
    struct edit e;
    uint8_t number[VALUE_INTEGER_SIZE_MAX];
    struct bytes value = {number, 0};
    if (!request_incr_read(&q->body, &body))
        return ERR_MALFORMED;
    int err = edit_find(core, q, body.key, &e);
    if (!err)
        err = core_add_integer(q, "the value", e.before.present ? &e.before.value : NULL, body.by,
                               number, &value.size);
    if (err)
        return err;
    e.life.kind = LIFE_EFFECT_KEEP;
    size_t begin = edit_decide(core, q, &e, CHANGE_PUT, value);
    struct reply_incr reply = {.version = e.after.version, .value = value};
    reply_incr_write(&core->batch.replies, &reply);
    return edit_end(core, q, &e, begin);
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
