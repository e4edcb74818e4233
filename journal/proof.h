/*
 * proof.h - what LMDB says of a tree, proven by its pages (pages.h). A row that is
 * there proves itself by its CRC; that a key has no row, or that a scan left none
 * out, is proven by the leaf where it would be, and by the way to that leaf.
 *
 * One proof belongs to one database and one transaction; set it to zero for another. It is not to be
 * copied once it is in use.
 * Where the pages cannot be looked at, everything counts as proven.
 */
#ifndef VIGIL_JOURNAL_PROOF_H
#define VIGIL_JOURNAL_PROOF_H

#include "journal/pages.h"

struct environment;

struct proof {
    const char *database;
    bool loaded;
    bool found; /* place is there */
    struct pages pages;
    struct page_memo memo;
    struct page_tree tree;
    struct page_place place;
    unsigned next; /* of a scan: the node of place.leaf that has to come now */
    char why[PAGE_WHY_SIZE];
};

/* True: the way to where key is, or would be, is whole. *ret_found (may be NULL): it is there. */
bool proof_find(struct proof *p, const struct environment *e, MDB_txn *txn, struct bytes key,
                bool *ret_found);
/* The row of key, which LMDB has found, stands in pages that belong where they are. */
bool proof_in_place(struct proof *p, const struct environment *e, MDB_txn *txn, struct bytes key);
/* A scan begins at from, or with the key after it. */
bool proof_scan(struct proof *p, const struct environment *e, MDB_txn *txn, struct bytes from,
                bool after);
/* The key that LMDB gave, where it lies in the map, is the scan's next; data NULL: the end is. */
bool proof_next(struct proof *p, const struct environment *e, struct bytes key);

#endif
