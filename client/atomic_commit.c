/* atomic_commit.c - the transaction of an atomic function, and what a failed one brings. */
#include "client/atomic.h"
#include "client/mutation.h"

#include <stdlib.h>

/* ---- making it ---- */

static void add_compares(struct vigil_atomic *a)
{
    for (size_t i = 0; i < a->reads.count; i++) {
        const struct atomic_item *item = a->reads.items[i];
        if (item->is_used)
            (void)vigil_txn_if_seq(a->txn, item->bytes, VIGIL_EQUAL, item->seq);
    }
    for (const struct atomic_listing *l = a->listings; l; l = l->next) {
        if (l->is_used)
            (void)vigil_txn_if_prefix_unchanged(a->txn, l->text, l->seq);
    }
}

static void add_writes(struct vigil_atomic *a)
{
    for (size_t i = 0; i < a->writes.count; i++) {
        const struct atomic_item *item = a->writes.items[i];
        struct bytes value = atomic_item_value(item);
        if (item->present)
            (void)vigil_txn_put(a->txn, item->bytes, value.data, value.size);
        else
            (void)vigil_txn_delete(a->txn, item->bytes);
    }
}

static void add_reads(struct vigil_atomic *a)
{
    vigil_txn_otherwise(a->txn);
    for (size_t i = 0; i < a->reads.count; i++) {
        if (a->reads.items[i]->is_used)
            (void)vigil_txn_get(a->txn, a->reads.items[i]->bytes);
    }
    for (const struct atomic_listing *l = a->listings; l; l = l->next) {
        if (l->is_used)
            (void)vigil_txn_list(a->txn, l->text, 0);
    }
}

/* ---- what a failed one brings ---- */

static bool same_rows(const struct atomic_set *a, const struct atomic_set *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (a->items[i]->seq != b->items[i]->seq ||
            !bytes_equal(atomic_item_key(a->items[i]), atomic_item_key(b->items[i])))
            return false;
    }
    return true;
}

/* A key that was read, as it is now. */
static int renew_item(struct vigil_atomic *a, size_t i, const vigil_txn_result *result)
{
    struct atomic_item *old = a->reads.items[i];
    uint64_t seq = result->present ? result->seq : 0;
    if (seq == old->seq)
        return ERR_OK;
    struct bytes value = {result->present ? result->value : NULL, result->size};
    struct atomic_item *item = atomic_item_new(atomic_item_key(old), value, seq);
    if (!item)
        return ERR_NO_MEMORY;
    item->is_used = true;
    a->reads.items[i] = item;
    atomic_note_conflict(a, PATTERN_EXACT, atomic_item_key(item));
    free(old);
    return ERR_OK;
}

static int renew_listing(struct vigil_atomic *a, struct atomic_listing *l,
                         const vigil_txn_result *result, uint64_t seq)
{
    struct atomic_set rows = {0};
    struct atomic_item *old;
    vigil_row row;
    size_t at = 0;
    while (vigil_txn_row(result, &at, &row)) {
        struct atomic_item *item =
            atomic_item_new((struct bytes){(const uint8_t *)row.key, row.key_size},
                            (struct bytes){row.value, row.size}, row.modified);
        if (!item || atomic_set_put(&rows, item, &old)) {
            free(item);
            atomic_set_free(&rows);
            return ERR_NO_MEMORY;
        }
        free(old); /* no server lists a key twice */
    }
    if (!same_rows(&rows, &l->rows))
        atomic_note_conflict(a, PATTERN_PREFIX, l->prefix);
    atomic_set_free(&l->rows);
    l->rows = rows;
    l->seq = seq;
    return ERR_OK;
}

/* What was read but not used is old by now. */
static void forget_unused(struct vigil_atomic *a)
{
    size_t kept = 0;
    for (size_t i = 0; i < a->reads.count; i++) {
        if (a->reads.items[i]->is_used)
            a->reads.items[kept++] = a->reads.items[i];
        else
            free(a->reads.items[i]);
    }
    a->reads.count = kept;
    for (struct atomic_listing **link = &a->listings; *link;) {
        struct atomic_listing *l = *link;
        if (l->is_used) {
            link = &l->next;
            continue;
        }
        *link = l->next;
        atomic_listing_free(l);
    }
}

static int renew(struct vigil_atomic *a, const vigil_txn_result *results, size_t count,
                 uint64_t seq)
{
    size_t expected = a->reads.count;
    for (const struct atomic_listing *l = a->listings; l; l = l->next)
        expected++;
    if (count != expected)
        return connection_malformed(a->v);
    int err = ERR_OK;
    for (size_t i = 0; i < a->reads.count && err == ERR_OK; i++)
        err = renew_item(a, i, results++);
    for (struct atomic_listing *l = a->listings; l && err == ERR_OK; l = l->next)
        err = renew_listing(a, l, results++, seq);
    return err ? connection_fail(a->v, err, NULL) : ERR_OK;
}

/* Which of them has changed is not known. */
static void read_anew(struct vigil_atomic *a)
{
    for (size_t i = 0; i < a->reads.count; i++)
        atomic_note_conflict(a, PATTERN_EXACT, atomic_item_key(a->reads.items[i]));
    for (const struct atomic_listing *l = a->listings; l; l = l->next)
        atomic_note_conflict(a, PATTERN_PREFIX, l->prefix);
    atomic_forget_reads(a);
}

/* ---- committing ---- */

static enum atomic_outcome failed(int error, int *ret_error)
{
    *ret_error = error;
    return ATOMIC_FAILED;
}

/* The transaction has got an error. */
static enum atomic_outcome take_error(struct vigil_atomic *a, int err, int *ret_error)
{
    if (err == ERR_CONFLICT) {
        for (size_t i = 0; i < a->writes.count; i++)
            atomic_note_conflict(a, PATTERN_EXACT, atomic_item_key(a->writes.items[i]));
        return ATOMIC_WAIT;
    }
    /* Without writes there is nothing whose outcome could be unknown. */
    if (err == ERR_OUTCOME_UNKNOWN && a->writes.count == 0) {
        atomic_forget_reads(a);
        return ATOMIC_CHANGED;
    }
    return failed(err, ret_error);
}

enum atomic_outcome atomic_commit(struct vigil_atomic *a, uint64_t *ret_seq, int *ret_error)
{
    const vigil_txn_result *results;
    size_t count;
    uint64_t seq;
    bool succeeded;
    int err;
    forget_unused(a);
    bool has_read = a->reads.count > 0 || a->listings;
    if (has_read && a->epoch != a->v->epoch)
        return failed(connection_fail(a->v, ERR_EPOCH_CHANGED, NULL), ret_error);
    if (!has_read && a->writes.count == 0) {
        *ret_seq = a->v->head;
        return ATOMIC_DONE;
    }
    for (bool again = true; again;) {
        vigil_txn_clear(a->txn);
        add_compares(a);
        add_writes(a);
        if (!a->reads_anew)
            add_reads(a);
        err = mutation_commit_txn(a->v, a->txn, REQUEST_ATOMIC, a->v->request_timeout_ms,
                                  &succeeded, &seq, &results, &count);
        /* It may be the values of what was read that are too many for a reply. */
        again = (err == ERR_TOO_LARGE || err == ERR_LIMIT) && has_read && !a->reads_anew;
        a->reads_anew |= again;
    }
    if (err)
        return take_error(a, err, ret_error);
    if (succeeded) {
        *ret_seq = seq;
        a->turn_count = 0; /* it ended with this */
        return ATOMIC_DONE;
    }
    if (a->reads_anew) {
        read_anew(a);
        return ATOMIC_CHANGED;
    }
    err = renew(a, results, count, seq);
    return err ? failed(err, ret_error) : ATOMIC_CHANGED;
}
