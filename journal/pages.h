/*
 * pages.h - LMDB's pages, looked at without LMDB: it checks none of them, and takes
 * what a damaged one says for the truth. Here nothing is followed that was not
 * checked, so that damage is an answer and not a crash.
 *
 *   pages_find   the way from the root to the leaf where a key is, or would be: proves
 *                that a key is absent, and that nothing was left out of a scan
 *   pages_walk   every page of a file: which tree or free list it belongs to
 *                (page_walk.c)
 *
 * What a page must fulfil: it carries its own number; its nodes fill it without a
 * hole and without overlapping; their keys rise, and lie between those that lead to
 * it. A page that is an older version of itself fulfils this too: see tally.c.
 *
 * Layout: LMDB 0.9, data version 1, whose numbers have the machine's byte order.
 * Any thread, for the pages of a snapshot that a transaction holds.
 */
#ifndef VIGIL_JOURNAL_PAGES_H
#define VIGIL_JOURNAL_PAGES_H

#include <lmdb.h>

#include "protocol/wire.h"

enum {
    PAGE_HEADER_SIZE = 16,
    PAGE_NODE_SIZE = 8, /* of a node without its key and data */
    PAGE_DEPTH_MAX = 32,
    PAGE_SIZE_MAX = 32768,
    PAGE_WHY_SIZE = 160,
    PAGE_METAS = 2, /* pages 0 and 1 */
};
enum page_kind { PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_OVERFLOW = 4, PAGE_META = 8 };
enum { NODE_BIG = 1, NODE_SUBTREE = 2 };

/* LMDB's record of a tree. */
struct page_tree {
    uint64_t branch_pages;
    uint64_t leaf_pages;
    uint64_t overflow_pages;
    uint64_t entries;
    uint64_t root; /* UINT64_MAX: empty */
    uint16_t depth;
    uint16_t flags;
    bool integer_keys; /* of the free list */
};

/* A branch or leaf that was found whole. */
struct page {
    const uint8_t *start;
    enum page_kind kind;
    unsigned count;
};

/* Branches that were found whole: within a snapshot they stay so, and most ways lead over the same
 * few. */
enum { PAGE_MEMO_SIZE = 32 };
struct page_memo {
    struct {
        uint64_t number; /* 0: none */
        struct page page;
    } branches[PAGE_MEMO_SIZE]; /* by number modulo PAGE_MEMO_SIZE */
};

struct pages {
    const uint8_t *base; /* NULL: not known, and nothing is checked */
    uint64_t count;      /* those from here on are not in use */
    size_t size;
    struct page_memo *memo; /* of the caller's, zero at first; may be NULL */
};

struct node {
    struct bytes key;
    const uint8_t *data; /* in the page: the value, or a page number if NODE_BIG */
    uint64_t data_size;  /* of a leaf's node */
    uint64_t child;      /* of a branch's node */
    unsigned flags;
};

/* Keys from low on, and below high; data NULL: no bound. */
struct key_range {
    struct bytes low;
    struct bytes high;
};

struct page_place {
    struct page leaf;
    struct key_range range; /* of the leaf */
    unsigned index;         /* of the first key that is not less; leaf.count if there is none */
    bool found;
};

/* Where LMDB has mapped its file, as the system says it. False: it does not say. */
bool pages_map(MDB_env *env, const uint8_t **ret_base, size_t *ret_size);
/* The pages that may be in use now. */
struct pages pages_of(MDB_env *env, const uint8_t *base);

struct page_tree page_tree_load(const uint8_t *record, bool integer_keys);
enum { PAGE_TREE_SIZE = 48 };
/* Of a named database, as it was when txn began. LMDB's code. */
int pages_tree(MDB_txn *txn, const char *name, struct page_tree *ret_tree);

/* False: why tells what is wrong (PAGE_WHY_SIZE bytes). */
bool page_check(const struct pages *p, uint64_t number, bool integer_keys, struct page *ret_page,
                char *why);
/* The same of a copy of the page, of p->size bytes. */
bool page_check_copy(const struct pages *p, uint64_t number, const uint8_t *copy, bool integer_keys,
                     struct page *ret_page, char *why);
/* All of its keys are in the range. */
bool page_in_range(const struct page *page, const struct key_range *range, bool integer_keys);
struct node page_node(const struct page *page, unsigned index);
/* Of a branch: the child of page_node, without the rest. */
uint64_t page_child(const struct page *page, unsigned index);
/* The range of the child at index, in a branch with this one. */
struct key_range page_child_range(const struct page *page, const struct key_range *range,
                                  unsigned index);
int page_key_compare(struct bytes a, struct bytes b, bool integer_keys);

/* False: the way there is damaged. An empty tree: a place without a leaf. */
bool pages_find(const struct pages *p, const struct page_tree *tree, struct bytes key,
                struct page_place *ret_place, char *why);
/* Every page on the way to key carries its own number: none has come here from elsewhere. Checks
 * nothing else, for a way that LMDB has just gone: cheap enough for every row that is read. */
bool pages_in_place(const struct pages *p, const struct page_tree *tree, struct bytes key);
/* The last leaf whose range begins below key. */
bool pages_find_before(const struct pages *p, const struct page_tree *tree, struct bytes key,
                       struct page_place *ret_place, char *why);

/* ---- page_walk.c ---- */

struct page_walk_options {
    void (*problem)(void *context, const char *text);
    void *context;
};
/* Every page of the file against every other. Reports each that is wrong. Returns LMDB's code: where
 * it is not 0, memory has run out or the like, and nothing is known of the pages. */
int pages_walk(MDB_env *env, MDB_txn *txn, const uint8_t *base,
               const struct page_walk_options *options);
/* What a start checks: the two meta pages, and that the free list names no page twice and none
 * that is in use, as far as branches tell (branches_max of them). why: empty, or what is wrong. Likewise LMDB's code. */
int pages_check_start(MDB_env *env, MDB_txn *txn, const uint8_t *base, unsigned branches_max,
                      char *why);

#endif
