/*
 * page_walk.c - see pages.h: every page of the data file, and to whom it belongs.
 *
 * 1. Each page in use is a meta page, or reached from the roots once, or in the free
 *    list once. What breaks this is reported.
 * 2. A page that is wrong is reported and not followed; pages of which nobody tells
 *    are not reported then, because it is this page that would have told.
 * 3. Memory: a bit for each page.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal/pages.h"

enum {
    META_MAGIC = 16, /* in a meta page */
    META_FREE = 40,
    META_MAIN = 88,
    META_LAST_PAGE = 136,
    META_TXN = 144,
    AT_PAGES = 12, /* in the first of some overflow pages */
    LEVELS_MAX = PAGE_DEPTH_MAX,
};

struct page_walk {
    struct pages pages;
    MDB_txn *txn;
    const struct page_walk_options *options;
    uint64_t *reached; /* a bit for each page */
    uint64_t reached_count;
    uint64_t problems;
    unsigned branches_left; /* of a start's check */
    bool leaves_unread;     /* such a check: leaves are counted, not looked at */
    int fd;                 /* of the data file */
    uint8_t copy[PAGE_SIZE_MAX];
    char name[64];          /* of the tree */
    struct page_tree found; /* what has been counted of it */
};

/* Where a walk stands: a branch, and the next of its children. */
struct level {
    struct page page;
    struct key_range range;
    unsigned next;
};

static void complain(struct page_walk *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void complain(struct page_walk *w, const char *format, ...)
{
    char text[PAGE_WHY_SIZE + 128];
    va_list arguments;
    w->problems++;
    if (!w->options->problem)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    w->options->problem(w->options->context, text);
}

static uint64_t load_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static bool is_reached(const struct page_walk *w, uint64_t number)
{
    return w->reached[number / 64] >> (number % 64) & 1;
}

static bool reach(struct page_walk *w, uint64_t number)
{
    if (number < PAGE_METAS || number >= w->pages.count) {
        complain(w, "%s: it names page %" PRIu64 ", which does not exist", w->name, number);
        return false;
    }
    if (is_reached(w, number)) {
        complain(w, "%s: page %" PRIu64 " has another use as well", w->name, number);
        return false;
    }
    w->reached[number / 64] |= UINT64_C(1) << (number % 64);
    w->reached_count++;
    return true;
}

/* ---- trees ---- */

/* The pages of a value that has its own. False: damaged. */
static bool check_overflow(struct page_walk *w, const struct node *n)
{
    uint64_t first = load_u64(n->data);
    if (first < PAGE_METAS || first >= w->pages.count) {
        complain(w, "%s: a value is said to be in page %" PRIu64 ", which does not exist", w->name,
                 first);
        return false;
    }
    const uint8_t *start = w->pages.base + first * w->pages.size;
    uint32_t count;
    uint16_t flags;
    memcpy(&count, start + AT_PAGES, sizeof count);
    memcpy(&flags, start + AT_PAGES - 2, sizeof flags);
    uint64_t needed = (n->data_size + PAGE_HEADER_SIZE + w->pages.size - 1) / w->pages.size;
    if (load_u64(start) != first || !(flags & PAGE_OVERFLOW) || count < needed ||
        count > w->pages.count - first) {
        complain(w, "%s: page %" PRIu64 " is not the beginning of a large value", w->name, first);
        return false;
    }
    for (uint32_t i = 0; i < count; i++)
        if (!reach(w, first + i))
            return false;
    w->found.overflow_pages += count;
    return true;
}

/* The free list's entry: how many pages, and their falling numbers. */
static void check_free_list(struct page_walk *w, const struct node *n)
{
    const uint8_t *list = (n->flags & NODE_BIG)
                              ? w->pages.base + load_u64(n->data) * w->pages.size + PAGE_HEADER_SIZE
                              : n->data;
    uint64_t transaction = load_u64(n->key.data);
    uint64_t count = n->data_size >= sizeof count ? load_u64(list) : UINT64_MAX;
    if (count >= n->data_size / sizeof count) {
        complain(w, "%s: the entry of transaction %" PRIu64 " is not a list", w->name, transaction);
        return;
    }
    uint64_t before = UINT64_MAX;
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t number = load_u64(list + i * sizeof number);
        if (number >= before)
            complain(w, "%s: page %" PRIu64 " is out of order", w->name, number);
        before = number;
        (void)reach(w, number);
    }
}

static void check_leaf(struct page_walk *w, const struct page *leaf, bool is_free_list)
{
    w->found.leaf_pages++;
    w->found.entries += leaf->count;
    for (unsigned i = 0; i < leaf->count; i++) {
        struct node n = page_node(leaf, i);
        if ((n.flags & NODE_BIG) && !check_overflow(w, &n))
            continue;
        if (is_free_list)
            check_free_list(w, &n);
    }
}

/* A start looks at each branch above leaves once, and they are far apart. To read such a page takes a
 * third of what a fault takes, which maps its neighbours as well: of the check of 1,600 branches, 16 ms
 * instead of 24. */
static bool check_page(struct page_walk *w, uint64_t number, bool is_passing, bool integer_keys,
                       struct page *ret_page, char *why)
{
    size_t size = w->pages.size;
    bool is_copied = is_passing && size <= sizeof w->copy &&
                     pread(w->fd, w->copy, size, (off_t)(number * size)) == (ssize_t)size;
    if (is_copied)
        return page_check_copy(&w->pages, number, w->copy, integer_keys, ret_page, why);
    return page_check(&w->pages, number, integer_keys, ret_page, why);
}

/* Takes one page of the tree. A branch becomes *ret_level. */
static bool enter(struct page_walk *w, const struct page_tree *tree, uint64_t number,
                  unsigned depth, const struct key_range *range, struct level *ret_level)
{
    char why[PAGE_WHY_SIZE];
    struct page page;
    if (!reach(w, number))
        return false;
    bool is_passing = w->leaves_unread && depth + 1 == tree->depth;
    if (!check_page(w, number, is_passing, tree->integer_keys, &page, why)) {
        complain(w, "%s: %s", w->name, why);
        return false;
    }
    if ((page.kind == PAGE_LEAF) != (depth == tree->depth) || depth > tree->depth ||
        !page_in_range(&page, range, tree->integer_keys)) {
        complain(w, "%s: page %" PRIu64 " does not belong where it is", w->name, number);
        return false;
    }
    if (page.kind == PAGE_LEAF) {
        check_leaf(w, &page, tree->integer_keys);
        return false;
    }
    w->found.branch_pages++;
    if (w->leaves_unread && w->branches_left-- == 0) {
        w->branches_left = 0;
        return false;
    }
    *ret_level = (struct level){.page = page, .range = *range};
    return true;
}

/* All that a branch above leaves leads to, which a start does not read: most of what it looks at, so
 * they are not entered one by one. */
static void reach_leaves(struct page_walk *w, const struct page *branch)
{
    for (unsigned i = 0; i < branch->count; i++)
        w->found.leaf_pages += reach(w, page_child(branch, i));
}

static void compare_counts(struct page_walk *w, const struct page_tree *tree, uint64_t before)
{
    if (w->problems > before)
        return; /* they cannot be right */
    if (w->found.branch_pages != tree->branch_pages || w->found.leaf_pages != tree->leaf_pages ||
        w->found.overflow_pages != tree->overflow_pages || w->found.entries != tree->entries)
        complain(w,
                 "%s: it has %" PRIu64 " entries in %" PRIu64 " pages, and is said to have %" PRIu64
                 " in %" PRIu64,
                 w->name, w->found.entries,
                 w->found.branch_pages + w->found.leaf_pages + w->found.overflow_pages,
                 tree->entries, tree->branch_pages + tree->leaf_pages + tree->overflow_pages);
}

/* The order of keys, and what else LMDB would believe of the tree. */
static bool has_flags(const struct page_tree *tree)
{
    const unsigned of_environment = MDB_NOSUBDIR; /* the free list's are the environment's too */
    return tree->integer_keys ? (tree->flags & ~of_environment) == MDB_INTEGERKEY
                              : tree->flags == 0;
}

static void walk_tree(struct page_walk *w, const char *name, const struct page_tree *tree)
{
    struct level levels[LEVELS_MAX];
    struct key_range all = {{NULL, 0}, {NULL, 0}};
    unsigned depth = 0;
    uint64_t before = w->problems;
    snprintf(w->name, sizeof w->name, "%s", name);
    w->found = (struct page_tree){0};
    if (tree->depth > LEVELS_MAX || !has_flags(tree)) {
        complain(w, "%s: its record is damaged", name);
        return;
    }
    if (tree->root != UINT64_MAX)
        depth = enter(w, tree, tree->root, 1, &all, &levels[0]);
    while (depth > 0) {
        struct level *l = &levels[depth - 1];
        if (w->leaves_unread && depth + 1 == tree->depth) {
            reach_leaves(w, &l->page);
            l->next = l->page.count;
        }
        if (l->next == l->page.count) {
            depth--;
            continue;
        }
        struct key_range range = page_child_range(&l->page, &l->range, l->next);
        uint64_t number = page_node(&l->page, l->next).child;
        l->next++;
        /* Beyond the tree's own depth nothing is entered, so depth stays below LEVELS_MAX. */
        struct level below;
        if (enter(w, tree, number, depth + 1, &range, &below))
            levels[depth++] = below;
    }
    if (!w->leaves_unread)
        compare_counts(w, tree, before);
}

/* ---- the file ---- */

/* Of two commits the newer is in the meta page that its number's last bit says, and the older, the
 * one before it, in the other: so that a commit cannot be lost behind one that is taken for newer. */
static void check_metas(struct page_walk *w)
{
    uint64_t txn[PAGE_METAS];
    snprintf(w->name, sizeof w->name, "the meta pages");
    for (unsigned i = 0; i < PAGE_METAS; i++) {
        const uint8_t *page = w->pages.base + i * w->pages.size;
        uint16_t flags;
        memcpy(&flags, page + AT_PAGES - 2, sizeof flags);
        txn[i] = load_u64(page + META_TXN);
        if (load_u64(page) != i || !(flags & PAGE_META) ||
            memcmp(page + META_MAGIC, w->pages.base + META_MAGIC, 8) != 0)
            complain(w, "meta page %u is damaged", i);
        else if (txn[i] != 0 && txn[i] % PAGE_METAS != i)
            complain(w, "meta page %u has the transaction of the other one", i);
    }
    if ((txn[0] > txn[1] ? txn[0] - txn[1] : txn[1] - txn[0]) > 1)
        complain(w, "the meta pages are not of two commits in a row (%" PRIu64 ", %" PRIu64 ")",
                 txn[0], txn[1]);
}

/* The trees' records are in the meta page; its free list first. False: it has been written over. */
static bool load_meta(const struct page_walk *w, struct page_tree *ret_free,
                      struct page_tree *ret_main)
{
    uint64_t txn = mdb_txn_id(w->txn);
    const uint8_t *page = w->pages.base + txn % PAGE_METAS * w->pages.size;
    *ret_free = page_tree_load(page + META_FREE, true);
    *ret_main = page_tree_load(page + META_MAIN, false);
    return load_u64(page + META_TXN) == txn;
}

/* Returns LMDB's code where a call has failed that tells nothing about the pages. */
static int walk_named_trees(struct page_walk *w, const struct page_tree *main)
{
    MDB_dbi dbi = 0;
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val record;
    bool leaves_unread = w->leaves_unread;
    w->leaves_unread = false;
    walk_tree(w, "the list of databases", main);
    w->leaves_unread = leaves_unread;
    /* LMDB has read these few pages before; they have just been found whole. */
    if (w->problems > 0)
        return 0;
    int rc = mdb_dbi_open(w->txn, NULL, 0, &dbi);
    if (rc == 0)
        rc = mdb_cursor_open(w->txn, dbi, &cursor);
    if (rc != 0)
        return rc;
    while ((rc = mdb_cursor_get(cursor, &key, &record, MDB_NEXT)) == 0) {
        char name[64];
        snprintf(name, sizeof name, "database %.*s", (int)(key.mv_size < 40 ? key.mv_size : 40),
                 (const char *)key.mv_data);
        if (record.mv_size != PAGE_TREE_SIZE) {
            complain(w, "%s has no record", name);
            continue;
        }
        struct page_tree tree = page_tree_load(record.mv_data, false);
        walk_tree(w, name, &tree);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static void find_unused(struct page_walk *w)
{
    if (w->problems > 0)
        return;
    for (uint64_t number = PAGE_METAS; number < w->pages.count; number++)
        if (!is_reached(w, number)) {
            complain(w, "%" PRIu64 " pages are neither in use nor free, the first is page %" PRIu64,
                     w->pages.count - PAGE_METAS - w->reached_count, number);
            return;
        }
}

static int walk(struct page_walk *w, MDB_env *env, const uint8_t *base)
{
    struct page_tree free_list;
    struct page_tree main;
    int rc = 0;
    w->pages = pages_of(env, base);
    mdb_env_get_fd(env, &w->fd);
    w->reached = calloc((size_t)(w->pages.count / 64 + 1), sizeof *w->reached);
    if (!w->reached)
        return ENOMEM;
    check_metas(w);
    if (load_meta(w, &free_list, &main)) {
        bool leaves_unread = w->leaves_unread;
        w->leaves_unread = false;
        walk_tree(w, "the free list", &free_list);
        w->leaves_unread = leaves_unread;
        rc = walk_named_trees(w, &main);
    } else if (w->problems == 0) {
        complain(w, "no meta page is that of the newest commit");
    }
    if (rc == 0 && !w->leaves_unread)
        find_unused(w);
    free(w->reached);
    return rc;
}

int pages_walk(MDB_env *env, MDB_txn *txn, const uint8_t *base,
               const struct page_walk_options *options)
{
    struct page_walk w = {.txn = txn, .options = options};
    return walk(&w, env, base);
}

static void keep_first(void *context, const char *text)
{
    char *why = context;
    if (!why[0])
        snprintf(why, PAGE_WHY_SIZE, "%s", text);
}

int pages_check_start(MDB_env *env, MDB_txn *txn, const uint8_t *base, unsigned branches_max,
                      char *why)
{
    const struct page_walk_options options = {keep_first, why};
    struct page_walk w = {
        .txn = txn, .options = &options, .leaves_unread = true, .branches_left = branches_max};
    why[0] = '\0';
    return walk(&w, env, base);
}
