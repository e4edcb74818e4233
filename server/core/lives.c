/*
 * lives.c - lives as requests and time see them: what a change does to its key's
 * life, the requests that open, renew and close leases, and the ends.
 *
 * 1. A key whose end has come is there until the record that says so.
 * 2. Never early: an end lies a millisecond behind what was asked for, counted from
 *    the request's own time (core_at).
 * 3. One record ends one key, or a lease with all of its keys; a batch makes so many
 *    of them that nobody waits long.
 */
#include "server/core/core_state.h"

enum {
    CHANGES_PER_BATCH = 1024, /* a lease's record may go beyond it */
    ID_TRIES = 16,
    POSTPONE_MS = 10000 /* of a key that cannot be looked up */
};

static unsigned long long printed(uint64_t n)
{
    return n;
}

static uint64_t end_after(const struct core *core, uint64_t ttl_ms)
{
    return core_life_now(core) + ttl_ms + 1;
}

/* ---- what a change does ---- */

static int fail_ended(struct request *q, uint64_t id)
{
    return request_fail(q, ERR_LEASE_ENDED, "there is no lease %016llx: it has ended", printed(id));
}

int life_check_effect(const struct core *core, struct request *q, const struct life_effect *effect,
                      size_t others)
{
    const struct life_table *t = &core->lives;
    if (effect->kind != LIFE_EFFECT_TTL && effect->kind != LIFE_EFFECT_LEASE)
        return ERR_OK;
    if (t->lives.count + others >= core->limits.lives_max)
        return request_fail(q, ERR_LIMIT, "%u keys have an end already: at most so many may",
                            (unsigned)core->limits.lives_max);
    if (effect->kind == LIFE_EFFECT_TTL) {
        if (effect->number == 0 || effect->number > LIMIT_TTL_MS)
            return request_fail(q, ERR_INVALID, "a time to live has 1 to %llu ms, not %llu",
                                printed(LIMIT_TTL_MS), printed(effect->number));
        return ERR_OK;
    }
    const struct key_lease *lease = key_lease_find(t, effect->number);
    if (!lease)
        return fail_ended(q, effect->number);
    if (lease->count + others >= LIMIT_LEASE_KEYS)
        return request_fail(q, ERR_LIMIT, "lease %016llx has %zu keys: at most %d are allowed",
                            printed(lease->id), lease->count, LIMIT_LEASE_KEYS);
    return ERR_OK;
}

/* The life that goes on, if there is one that belongs to the key as it was before. */
static void keep(struct core *core, struct life *l, uint64_t modified_before, uint64_t seq)
{
    struct life_terms terms = {.kind = LIFE_NONE};
    if (l->terms.kind != LIFE_NONE && l->terms.modified == modified_before) {
        terms = l->terms;
        terms.modified = seq;
    }
    life_change(&core->lives, l, &terms, core->batch.number);
}

int life_follow(struct core *core, struct bytes key, uint64_t hash, uint64_t modified_before,
                uint64_t seq, const struct life_effect *effect)
{
    struct life_table *t = &core->lives;
    struct life_terms terms = {.kind = LIFE_NONE, .modified = seq, .set_ms = core_life_now(core)};
    if (effect->kind == LIFE_EFFECT_KEEP || effect->kind == LIFE_EFFECT_END) {
        struct life *l = t->lives.count > 0 ? life_find(t, key, hash) : NULL;
        if (l && effect->kind == LIFE_EFFECT_KEEP)
            keep(core, l, modified_before, seq);
        else if (l)
            life_change(t, l, &terms, core->batch.number);
        return ERR_OK;
    }
    if (effect->kind == LIFE_EFFECT_TTL) {
        terms.kind = LIFE_TTL;
        terms.end_ms = end_after(core, effect->number);
    } else {
        terms.kind = LIFE_LEASE;
        terms.lease = key_lease_find(t, effect->number);
        if (!terms.lease)
            return ERR_NO_MEMORY; /* life_check_effect has seen it: nothing ends it in between */
    }
    return life_set(t, key, hash, &terms, core->batch.number);
}

/* ---- ends ---- */

static void expire_begin(struct core *core, struct record_draft *draft)
{
    const struct request nobody = {.is_numbered = false};
    core_record_begin(core, draft, &nobody, (struct bytes){NULL, 0});
}

/* Whether the life means anything to its key, whose change it then is. */
static int decide(struct core *core, const struct life *l, bool *ret_expires)
{
    struct key_state state;
    int err = core_lookup(core, life_key(l), l->hash, &state);
    if (!err)
        *ret_expires = state.present && state.meta.modified == l->terms.modified;
    return err;
}

static int expire_key(struct core *core, struct life *l, uint64_t seq)
{
    static const struct life_terms none = {.kind = LIFE_NONE};
    struct key_meta after = {.modified = seq, .deleted = true};
    int err = core_store(core, life_key(l), l->hash, &after, (struct bytes){NULL, 0});
    if (!err)
        life_change(&core->lives, l, &none, core->batch.number);
    return err;
}

static struct change change_of(const struct life *l)
{
    return (struct change){.op = CHANGE_EXPIRE, .prev_seq = l->terms.modified, .key = life_key(l)};
}

static int end_life(struct core *core, struct life *l, size_t *changes)
{
    static const struct life_terms none = {.kind = LIFE_NONE};
    bool expires;
    int err = decide(core, l, &expires);
    (*changes)++;
    if (err == ERR_NO_MEMORY)
        return err;
    if (err) {
        /* It is said to whoever reads it; the others are not to wait for it. */
        life_postpone(&core->lives, &l->ending, core_life_now(core) + POSTPONE_MS);
        return ERR_OK;
    }
    if (!expires) {
        life_change(&core->lives, l, &none, core->batch.number);
        return ERR_OK;
    }
    struct record_draft draft;
    struct change change = change_of(l);
    expire_begin(core, &draft);
    core_record_add(core, &draft, &change, l->hash);
    err = core_record_end(core, &draft);
    return err ? err : expire_key(core, l, core->batch.last_seq);
}

/* Which of its keys are in the record. A key that cannot be looked up stays, without an end. */
static int decide_all(struct core *core, struct key_lease *lease, size_t *ret_count)
{
    size_t count = 0;
    for (struct life *l = lease->first; l; l = l->next) {
        l->is_expiring = false;
        if (decide(core, l, &l->is_expiring) == ERR_NO_MEMORY)
            return ERR_NO_MEMORY;
        count += l->is_expiring;
    }
    *ret_count = count;
    return ERR_OK;
}

static int end_lease(struct core *core, struct key_lease *lease, size_t *changes)
{
    static const struct life_terms none = {.kind = LIFE_NONE};
    size_t count;
    int err = decide_all(core, lease, &count);
    if (err)
        return err;
    *changes += lease->count + 1;
    if (count > 0) {
        struct record_draft draft;
        expire_begin(core, &draft);
        for (const struct life *l = lease->first; l; l = l->next) {
            struct change change = change_of(l);
            if (l->is_expiring)
                core_record_add(core, &draft, &change, l->hash);
        }
        err = core_record_end(core, &draft);
    }
    while (!err && lease->first) {
        struct life *l = lease->first;
        if (l->is_expiring)
            err = expire_key(core, l, core->batch.last_seq);
        else
            life_change(&core->lives, l, &none, core->batch.number);
    }
    if (!err)
        key_lease_end(&core->lives, lease, core->batch.number);
    return err;
}

int core_expire(struct core *core)
{
    uint64_t now_ms = core_life_now(core);
    size_t records = core->batch.record_count;
    size_t changes = 0;
    struct ending *e;
    int err = ERR_OK;
    while (!err && changes < CHANGES_PER_BATCH && (e = life_first_ending(&core->lives)) != NULL &&
           e->end_ms <= now_ms)
        err = e->is_lease ? end_lease(core, (struct key_lease *)e, &changes)
                          : end_life(core, (struct life *)e, &changes);
    core->batch.expired += core->batch.record_count - records;
    return err;
}

uint32_t core_life_wait_ms(const struct core *core, uint64_t now_ms)
{
    const struct ending *e = life_first_ending(&core->lives);
    uint64_t now = core_life_at(core, now_ms);
    if (!e)
        return UINT32_MAX;
    if (e->end_ms <= now)
        return 0;
    return e->end_ms - now < UINT32_MAX ? (uint32_t)(e->end_ms - now) : UINT32_MAX - 1;
}

/* ---- requests ---- */

int apply_lease_open(struct core *core, struct request *q)
{
    struct request_lease_open body;
    struct life_table *t = &core->lives;
    struct key_lease *lease;
    uint64_t id = 0;
    if (!request_lease_open_read(&q->body, &body))
        return ERR_MALFORMED;
    if (body.ttl_ms < LIMIT_LEASE_TTL_MS_MIN || body.ttl_ms > LIMIT_LEASE_TTL_MS)
        return request_fail(q, ERR_INVALID, "a lease has %d to %d ms, not %u",
                            LIMIT_LEASE_TTL_MS_MIN, LIMIT_LEASE_TTL_MS, (unsigned)body.ttl_ms);
    if (t->leases.count >= core->limits.leases_max)
        return request_fail(q, ERR_LIMIT, "there are %zu leases, as many as there may be",
                            t->leases.count);
    for (unsigned i = 0; i < ID_TRIES && (id == 0 || key_lease_find(t, id)); i++)
        core->source.random(core->source.context, (uint8_t *)&id, sizeof id);
    if (id == 0 || key_lease_find(t, id))
        return request_fail(q, ERR_INTERNAL, "no random number is free for the lease");
    if (key_lease_open(t, id, body.ttl_ms, end_after(core, body.ttl_ms), core->batch.number,
                       &lease))
        return ERR_NO_MEMORY;
    size_t begin = request_reply(core, q, core->batch.last_seq);
    reply_lease_open_write(&core->batch.replies, &(struct reply_lease_open){.lease = id});
    return request_reply_end(core, q, begin);
}

int apply_lease_renew(struct core *core, struct request *q)
{
    struct request_lease_renew body;
    if (!request_lease_renew_read(&q->body, &body))
        return ERR_MALFORMED;
    struct wire_reader r = wire_reader_of(body.leases.data, body.leases.size);
    uint16_t count = wire_read_u16(&r);
    if (r.failed || wire_left(&r) != (size_t)count * 8)
        return ERR_MALFORMED;
    struct wire_buffer *replies = &core->batch.replies;
    size_t begin = request_reply(core, q, core->batch.last_seq);
    wire_write_u16(replies, count);
    for (uint16_t i = 0; i < count; i++) {
        struct key_lease *lease = key_lease_find(&core->lives, wire_read_u64(&r));
        if (lease)
            life_postpone(&core->lives, &lease->ending, end_after(core, lease->ttl_ms));
        wire_write_u8(replies, lease != NULL);
    }
    return request_reply_end(core, q, begin);
}

int apply_lease_close(struct core *core, struct request *q)
{
    struct request_lease_close body;
    struct batch *b = &core->batch;
    if (!request_lease_close_read(&q->body, &body))
        return ERR_MALFORMED;
    struct key_lease *lease = key_lease_find(&core->lives, body.lease);
    if (!lease)
        return fail_ended(q, body.lease);
    if (b->records.size > LIMIT_BATCH_BYTES)
        return request_fail(q, ERR_BUSY, "too many keys end at once: close the lease again");
    size_t changes = 0;
    size_t records = b->record_count;
    int err = end_lease(core, lease, &changes);
    if (err)
        return ERR_NO_MEMORY;
    b->expired += b->record_count - records;
    return request_reply_end(core, q, request_reply(core, q, b->last_seq));
}
