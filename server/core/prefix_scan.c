/* prefix_scan.c - see prefix_scan.h. */
#include "server/core/prefix_scan.h"

#include "protocol/key.h"

enum {
    DEAD_WORTH_KNOWING = 16, /* keys: fewer are as soon walked over */
    CHARGED_BYTES = 16 << 10 /* of a checkpointed value, whose checksum is read, too */
};

bool key_has_prefix(struct bytes key, struct bytes prefix)
{
    return key.size >= prefix.size &&
           (prefix.size == 0 || memcmp(key.data, prefix.data, prefix.size) == 0);
}

int prefix_check(struct request *q, struct bytes prefix)
{
    if (prefix_valid(prefix))
        return ERR_OK;
    return request_fail(q, ERR_BAD_KEY,
                        "the prefix of %zu bytes is not one: at most %d of UTF-8, without NUL",
                        prefix.size, LIMIT_KEY_SIZE);
}

int prefix_charge(struct request *q, uint32_t keys)
{
    q->looked_at += keys;
    q->all_looked_at += keys;
    if (q->looked_at > LIMIT_PREFIX_KEYS)
        return request_fail(q, ERR_LIMIT,
                            "more than %d keys, deleted ones included, would have to be looked at: "
                            "use longer prefixes. If most of them are deleted, ask again: it goes "
                            "on where this one has stopped",
                            LIMIT_PREFIX_KEYS);
    if (q->all_looked_at > 4 * LIMIT_PREFIX_KEYS)
        return request_fail(q, ERR_LIMIT,
                            "this message's requests would look at more than %d keys: send fewer "
                            "of those with prefixes at once",
                            4 * LIMIT_PREFIX_KEYS);
    return ERR_OK;
}

/* ---- the three places ---- */

static const struct key_order_node *within(const struct key_order_node *n, struct bytes prefix)
{
    return n && key_has_prefix(n->key, prefix) ? n : NULL;
}

static int source_failure(struct prefix_scan *s, int err)
{
    s->state_waits = false;
    if (err == ERR_CORRUPT)
        request_fail(s->q, err,
                     "the state is damaged among the keys with prefix %.*s: see vigil "
                     "verify",
                     (int)s->prefix.size, (const char *)s->prefix.data);
    return err;
}

static int state_step(struct prefix_scan *s)
{
    const struct core_source *source = &s->core->source;
    int err = source->state_next(source->context, &s->state_key, &s->state_row);
    s->state_waits = err == ERR_OK && key_has_prefix(s->state_key, s->prefix);
    return err && err != ERR_NOT_FOUND ? source_failure(s, err) : ERR_OK;
}

static int seek(struct prefix_scan *s, struct bytes from)
{
    const struct core *core = s->core;
    const struct key_order *order;
    int err = overlay_order(core->active, &order);
    if (err)
        return err;
    s->active = within(key_order_seek(order, from), s->prefix);
    s->frozen = NULL;
    if (core->checkpoint.frozen) {
        err = overlay_order(core->checkpoint.frozen, &order);
        if (err)
            return err;
        s->frozen = within(key_order_seek(order, from), s->prefix);
    }
    err = core->source.state_seek(core->source.context, from);
    return err ? source_failure(s, err) : state_step(s);
}

/* ---- what is dead ---- */

static void dead_begin(struct prefix_scan *s, struct bytes at)
{
    if (!s->in_dead)
        key_bound_set(&s->dead_from, at);
    s->in_dead = true;
}

/* All from dead_from on up to here is dead. */
static void dead_end(struct prefix_scan *s, struct bytes here)
{
    if (s->dead >= DEAD_WORTH_KNOWING || (s->dead > 0 && s->skipped))
        key_gaps_learn(&s->core->gaps, key_bound_bytes(&s->dead_from), here, s->core->batch.number);
    s->dead = 0;
    s->skipped = false;
    s->in_dead = false;
}

/* Over the gap that from lies in, if it is known. */
static int skip_gap(struct prefix_scan *s, struct bytes from, bool *ret_skipped)
{
    struct bytes end;
    *ret_skipped = key_gaps_skip(&s->core->gaps, from, &end);
    if (!*ret_skipped)
        return ERR_OK;
    dead_begin(s, from);
    s->skipped = true;
    return seek(s, end);
}

/* ---- the walk ---- */

int prefix_scan_begin(struct core *core, struct request *q, struct bytes prefix, struct bytes from,
                      struct prefix_scan *ret_scan)
{
    struct prefix_scan *s = ret_scan;
    bool skipped;
    s->core = core;
    s->q = q;
    s->prefix = prefix;
    s->state_waits = false;
    s->state_row = (struct state_row){0};
    s->dead = 0;
    s->skipped = false;
    s->in_dead = false;
    dead_begin(s, from);
    int err = skip_gap(s, from, &skipped);
    return err || skipped ? err : seek(s, from);
}

/* The least of the three keys; false: there is none. */
static bool least_key(const struct prefix_scan *s, struct bytes *ret_key)
{
    const struct bytes *least = s->active ? &s->active->key : NULL;
    if (s->frozen && (!least || bytes_compare(s->frozen->key, *least) < 0))
        least = &s->frozen->key;
    if (s->state_waits && (!least || bytes_compare(s->state_key, *least) < 0))
        least = &s->state_key;
    if (least)
        *ret_key = *least;
    return least != NULL;
}

static bool take_node(const struct key_order_node **n, struct bytes key, struct bytes prefix,
                      const struct overlay_entry **ret_entry)
{
    if (!*n || !bytes_equal((*n)->key, key))
        return false;
    *ret_entry = (*n)->item;
    *n = within((*n)->next[0], prefix);
    return true;
}

/* Takes key, the least, wherever it is. What is newest counts. */
static int take(struct prefix_scan *s, struct bytes key, struct live_key *ret_key, bool *ret_alive)
{
    const struct overlay_entry *e = NULL;
    const struct overlay_entry *older = NULL;
    uint32_t charge = 1;
    bool in_state = s->state_waits && bytes_equal(s->state_key, key);
    struct state_row row = s->state_row;
    if (!take_node(&s->active, key, s->prefix, &e))
        (void)take_node(&s->frozen, key, s->prefix, &e);
    else
        (void)take_node(&s->frozen, key, s->prefix, &older);
    if (e) {
        *ret_alive = !e->meta.deleted;
        *ret_key =
            (struct live_key){overlay_entry_key(e), overlay_entry_value(e), e->meta.modified};
    } else {
        *ret_alive = !row.deleted;
        *ret_key = (struct live_key){key, row.value, row.modified};
    }
    int err = ERR_OK;
    if (in_state) {
        charge += (uint32_t)(row.value.size / CHARGED_BYTES);
        err = state_step(s);
    }
    return err ? err : prefix_charge(s->q, charge);
}

int prefix_scan_next(struct prefix_scan *s, struct live_key *ret_key)
{
    struct bytes key;
    while (least_key(s, &key)) {
        struct live_key found;
        bool alive;
        bool skipped = false;
        int err = take(s, key, &found, &alive);
        if (!err && alive) {
            dead_end(s, key);
            *ret_key = found;
            return ERR_OK;
        }
        if (!err)
            err = skip_gap(s, key, &skipped);
        if (err) {
            dead_end(s, key);
            return err;
        }
        if (!skipped) {
            dead_begin(s, key);
            s->dead++;
        }
    }
    struct key_bound behind;
    key_bound_set_behind(&behind, s->prefix);
    dead_end(s, key_bound_bytes(&behind));
    return ERR_NOT_FOUND;
}

/* ---- whether something has changed ---- */

static int overlay_unchanged(struct request *q, struct overlay *o, struct bytes prefix,
                             uint64_t seq, bool *ret_unchanged)
{
    const struct key_order *order;
    int err = overlay_order(o, &order);
    if (err)
        return err;
    const struct key_order_node *n = within(key_order_seek(order, prefix), prefix);
    for (; n && !err && *ret_unchanged; n = within(n->next[0], prefix)) {
        *ret_unchanged = ((const struct overlay_entry *)n->item)->meta.modified <= seq;
        err = prefix_charge(q, 1);
    }
    return err;
}

static int state_unchanged(struct core *core, struct request *q, struct bytes prefix, uint64_t seq,
                           bool *ret_unchanged)
{
    struct prefix_scan s = {.core = core, .q = q, .prefix = prefix};
    int err = core->source.state_seek(core->source.context, prefix);
    if (err)
        return source_failure(&s, err);
    for (err = state_step(&s); !err && s.state_waits && *ret_unchanged;) {
        *ret_unchanged = s.state_row.modified <= seq;
        err = prefix_charge(q, 1 + (uint32_t)(s.state_row.value.size / CHARGED_BYTES));
        if (!err)
            err = state_step(&s);
    }
    return err;
}

int prefix_unchanged_since(struct core *core, struct request *q, struct bytes prefix, uint64_t seq,
                           bool *ret_unchanged)
{
    struct overlay *frozen = core->checkpoint.frozen;
    bool unchanged = true;
    int err = ERR_OK;
    if (seq >= core->batch.last_seq) {
        *ret_unchanged = true;
        return ERR_OK;
    }
    err = overlay_unchanged(q, core->active, prefix, seq, &unchanged);
    if (!err && unchanged && frozen && seq < core->checkpoint.seq)
        err = overlay_unchanged(q, frozen, prefix, seq, &unchanged);
    /* Rows up to where the core was restored may come from a checkpoint that a stop cut short. */
    if (!err && unchanged && (seq < core->applied || seq < core->restored)) {
        /* The rows of deletions before oldest may be gone. */
        unchanged = seq + 1 >= core->oldest;
        if (unchanged)
            err = state_unchanged(core, q, prefix, seq, &unchanged);
    }
    if (!err)
        *ret_unchanged = unchanged;
    return err;
}
