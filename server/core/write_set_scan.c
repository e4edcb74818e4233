/*
 * write_set_scan.c - the keys with a prefix, in order, as a request sees them: what
 * it has written above what there is.
 */
#include "server/core/prefix_scan.h"

static struct key_order_item item_at(const void *context, size_t i)
{
    struct write_set_key *k = ((const struct write_set *)context)->keys[i];
    return (struct key_order_item){k->key, k->hash, k};
}

static int put_in_order(struct write_set *w)
{
    if (!w->is_ordered && key_order_build(&w->order, w->count, item_at, w))
        return ERR_NO_MEMORY;
    w->is_ordered = true;
    return ERR_OK;
}

struct own_walk {
    const struct key_order_node *next; /* NULL: no more with the prefix */
    struct bytes prefix;
};

static void own_step(struct own_walk *own, const struct key_order_node *n)
{
    own->next = n && key_has_prefix(n->key, own->prefix) ? n : NULL;
}

struct merge {
    struct prefix_scan below;
    struct live_key below_key;
    enum { BELOW_DUE, BELOW_WAITS, BELOW_ENDED } below_is;
    struct own_walk own;
    uint64_t own_seq;
};

static int merge_begin(struct core *core, struct request *q, struct bytes prefix, struct bytes from,
                       uint64_t own_seq, struct merge *m)
{
    struct write_set *w = &core->writes;
    int err = put_in_order(w);
    if (!err)
        err = prefix_scan_begin(core, q, prefix, from, &m->below);
    if (err)
        return err;
    m->below_is = BELOW_DUE;
    m->own_seq = own_seq;
    m->own.prefix = prefix;
    own_step(&m->own, key_order_seek(&w->order, from));
    return ERR_OK;
}

static int below_step(struct merge *m)
{
    if (m->below_is != BELOW_DUE)
        return ERR_OK;
    int err = prefix_scan_next(&m->below, &m->below_key);
    m->below_is = err ? BELOW_ENDED : BELOW_WAITS;
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* The next live key of both. ERR_NOT_FOUND: there is none. */
static int merge_next(struct merge *m, struct write_set_entry *ret_entry)
{
    for (;;) {
        int err = below_step(m);
        if (err)
            return err;
        const struct write_set_key *k = m->own.next ? m->own.next->item : NULL;
        bool below = m->below_is == BELOW_WAITS;
        if (!k && !below)
            return ERR_NOT_FOUND;
        int order = !k ? 1 : !below ? -1 : bytes_compare(k->key, m->below_key.key);
        if (order >= 0)
            m->below_is = below ? BELOW_DUE : BELOW_ENDED;
        if (order > 0) {
            *ret_entry = (struct write_set_entry){m->below_key.key, m->below_key.value,
                                                  m->below_key.modified, false};
            return ERR_OK;
        }
        err = prefix_charge(m->below.q, 1);
        if (err)
            return err;
        own_step(&m->own, m->own.next->next[0]);
        *ret_entry = (struct write_set_entry){k->key, k->value, m->own_seq, true};
        if (k->is_present)
            return ERR_OK;
    }
}

int write_set_scan(struct core *core, struct request *q, struct bytes prefix, uint64_t own_seq,
                   write_set_visit *visit, void *context)
{
    struct merge m;
    struct write_set_entry entry;
    int err = merge_begin(core, q, prefix, prefix, own_seq, &m);
    while (!err) {
        err = merge_next(&m, &entry);
        if (err)
            return err == ERR_NOT_FOUND ? ERR_OK : err;
        err = visit(context, &entry);
    }
    return err == WRITE_SET_STOP ? ERR_OK : err;
}

/* Remembers where the first one was found: what is deleted from there on in the same request need
 * not be walked over again. */
static int remember_first(struct core *core, struct bytes prefix, bool known, struct bytes from)
{
    struct write_set *w = &core->writes;
    w->first_known = false;
    int err = known ? ERR_OK : write_set_keep(core, prefix, &w->first_prefix);
    if (!err)
        err = write_set_keep(core, from, &w->first_from);
    w->first_known = !err;
    return err;
}

int write_set_first(struct core *core, struct request *q, struct bytes prefix, uint64_t own_seq,
                    struct write_set_entry *ret_entry)
{
    const struct write_set *w = &core->writes;
    struct merge m;
    bool known = w->first_known && bytes_equal(w->first_prefix, prefix);
    int err = merge_begin(core, q, prefix, known ? w->first_from : prefix, own_seq, &m);
    if (!err)
        err = merge_next(&m, ret_entry);
    return err ? err : remember_first(core, prefix, known, ret_entry->key);
}
