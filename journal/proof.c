/* proof.c - see proof.h. */
#define _GNU_SOURCE

#include "journal/proof.h"

#include <stdio.h>

#include "journal/environment.h"

static bool load(struct proof *p, const struct environment *e, MDB_txn *txn)
{
    if (p->loaded)
        return true;
    int rc = pages_tree(txn, p->database, &p->tree);
    if (rc != 0) {
        snprintf(p->why, sizeof p->why, "it has no tree: %s", mdb_strerror(rc));
        return false;
    }
    p->pages = pages_of(e->lmdb, e->map);
    p->pages.memo = &p->memo;
    p->loaded = true;
    return true;
}

/* The leaf that was looked at last is where key belongs. */
static bool is_at_hand(const struct proof *p, struct bytes key)
{
    const struct key_range *r = &p->place.range;
    return p->found && p->place.leaf.start && (!r->low.data || bytes_compare(key, r->low) >= 0) &&
           (!r->high.data || bytes_compare(key, r->high) < 0);
}

/* A key that is absent at a leaf's edge may be in the leaf beside it, if the key in the branch that
 * parts them is damaged: then that leaf has keys that are not in its range. */
static bool check_beside(struct proof *p)
{
    struct page_place beside;
    const struct key_range *r = &p->place.range;
    if (p->place.found)
        return true;
    if (p->place.index == 0 && r->low.data &&
        !pages_find_before(&p->pages, &p->tree, r->low, &beside, p->why))
        return false;
    return p->place.index < p->place.leaf.count || !r->high.data ||
           pages_find(&p->pages, &p->tree, r->high, &beside, p->why);
}

bool proof_find(struct proof *p, const struct environment *e, MDB_txn *txn, struct bytes key,
                bool *ret_found)
{
    if (!e->map || (!ret_found && is_at_hand(p, key)))
        return true;
    p->found = load(p, e, txn) && pages_find(&p->pages, &p->tree, key, &p->place, p->why) &&
               check_beside(p);
    if (p->found && ret_found)
        *ret_found = p->place.found;
    return p->found;
}

bool proof_in_place(struct proof *p, const struct environment *e, MDB_txn *txn, struct bytes key)
{
    return !e->map || (load(p, e, txn) && pages_in_place(&p->pages, &p->tree, key));
}

bool proof_scan(struct proof *p, const struct environment *e, MDB_txn *txn, struct bytes from,
                bool after)
{
    bool there = false;
    if (!proof_find(p, e, txn, from, &there))
        return false;
    p->next = p->place.index + (after && there);
    return true;
}

/* Goes to the leaf behind this one: the one that begins where this one ends. */
static bool next_leaf(struct proof *p)
{
    uint8_t limit[LIMIT_KEY_SIZE + 1];
    struct bytes high = p->place.range.high;
    if (high.size > sizeof limit) {
        snprintf(p->why, sizeof p->why, "a branch has a key that is too long");
        return false;
    }
    memcpy(limit, high.data, high.size);
    high.data = limit;
    if (!pages_find(&p->pages, &p->tree, high, &p->place, p->why))
        return false;
    p->next = p->place.index;
    return true;
}

bool proof_next(struct proof *p, const struct environment *e, struct bytes key)
{
    if (!e->map)
        return true;
    if (p->next == p->place.leaf.count && p->place.range.high.data && !next_leaf(p))
        return false;
    bool at_end = p->next >= p->place.leaf.count;
    if (at_end ? !key.data && !p->place.range.high.data
               : key.data && page_node(&p->place.leaf, p->next).key.data == key.data) {
        p->next += !at_end;
        return true;
    }
    snprintf(p->why, sizeof p->why, "its pages do not follow one another");
    return false;
}
