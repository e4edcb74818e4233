/* pages.c - see pages.h: one page, and the way to a leaf. */
#define _GNU_SOURCE

#include "journal/pages.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum {
    AT_FLAGS = 10,
    AT_LOWER = 12,
    AT_UPPER = 14,
    FLAGS_KIND = 0x6f, /* branch, leaf, overflow, meta, and what trees with duplicates have */
    NODE_AT_KEY_SIZE = 6,
};

static uint16_t load_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t load_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* ---- the map ---- */

/* A line of /proc/self/maps: START-END PERMISSIONS OFFSET DEVICE INODE. True: the file with this inode
 * is mapped there from its beginning on, and shared. */
static bool is_map_of(const char *line, uint64_t inode, const uint8_t **ret_base, size_t *ret_size)
{
    char *at;
    uint64_t start = strtoull(line, &at, 16);
    uint64_t end = *at == '-' ? strtoull(at + 1, &at, 16) : 0;
    if (*at != ' ' || strlen(at) < 1 + 4 + 1)
        return false;
    bool is_shared = at[4] == 's';
    uint64_t offset = strtoull(at + 1 + 4, &at, 16);
    const char *device_end = *at == ' ' ? strchr(at + 1, ' ') : NULL;
    if (!device_end || !is_shared || offset != 0 || end <= start ||
        strtoull(device_end, NULL, 10) != inode)
        return false;
    *ret_base = (const uint8_t *)(uintptr_t)start;
    *ret_size = (size_t)(end - start);
    return true;
}

bool pages_map(MDB_env *env, const uint8_t **ret_base, size_t *ret_size)
{
    int fd = -1;
    struct stat file;
    mdb_env_get_fd(env, &fd);
    if (fstat(fd, &file) != 0)
        return false;
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps)
        return false;
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof line, maps))
        found = is_map_of(line, file.st_ino, ret_base, ret_size);
    fclose(maps);
    return found;
}

struct pages pages_of(MDB_env *env, const uint8_t *base)
{
    MDB_envinfo info;
    MDB_stat stat;
    mdb_env_info(env, &info);
    mdb_env_stat(env, &stat);
    return (struct pages){.base = base, .count = info.me_last_pgno + 1, .size = stat.ms_psize};
}

struct page_tree page_tree_load(const uint8_t *record, bool integer_keys)
{
    return (struct page_tree){
        .flags = load_u16(record + 4),
        .depth = load_u16(record + 6),
        .branch_pages = load_u64(record + 8),
        .leaf_pages = load_u64(record + 16),
        .overflow_pages = load_u64(record + 24),
        .entries = load_u64(record + 32),
        .root = load_u64(record + 40),
        .integer_keys = integer_keys,
    };
}

int pages_tree(MDB_txn *txn, const char *name, struct page_tree *ret_tree)
{
    const MDB_dbi main = 1; /* the handle of the list of databases */
    MDB_val key = {strlen(name), (void *)(uintptr_t)name};
    MDB_val record;
    int rc = mdb_get(txn, main, &key, &record);
    if (rc == MDB_NOTFOUND || (rc == 0 && record.mv_size != PAGE_TREE_SIZE))
        rc = MDB_CORRUPTED;
    if (rc == 0)
        *ret_tree = page_tree_load(record.mv_data, false);
    return rc;
}

/* ---- one page ---- */

/* Keys of eight bytes, which the journal's are, in one step: a start compares half a million of them. */
int page_key_compare(struct bytes a, struct bytes b, bool integer_keys)
{
    bool is_short = a.size == sizeof(uint64_t) && b.size == sizeof(uint64_t);
    if (!integer_keys && !is_short)
        return bytes_compare(a, b);
    uint64_t x = load_u64(a.data);
    uint64_t y = load_u64(b.data);
    if (!integer_keys) {
        x = be64toh(x);
        y = be64toh(y);
    }
    return x < y ? -1 : x > y;
}

static const uint8_t *node_start(const struct page *page, unsigned index)
{
    return page->start + load_u16(page->start + PAGE_HEADER_SIZE + 2 * index);
}

uint64_t page_child(const struct page *page, unsigned index)
{
    const uint8_t *n = node_start(page, index);
    return (uint64_t)load_u16(n) | (uint64_t)load_u16(n + 2) << 16 |
           (uint64_t)load_u16(n + 4) << 32;
}

struct node page_node(const struct page *page, unsigned index)
{
    const uint8_t *n = node_start(page, index);
    uint64_t low = load_u16(n);
    uint64_t high = load_u16(n + 2);
    unsigned flags = load_u16(n + 4);
    struct bytes key = {n + PAGE_NODE_SIZE, load_u16(n + NODE_AT_KEY_SIZE)};
    if (page->kind == PAGE_BRANCH)
        return (struct node){.key = key, .child = page_child(page, index)};
    return (struct node){
        .key = key, .data = key.data + key.size, .data_size = low | high << 16, .flags = flags};
}

/* Bytes of the page that the node at n takes; 0: more than left. */
static size_t node_extent(const uint8_t *n, size_t left, enum page_kind kind)
{
    if (left < PAGE_NODE_SIZE)
        return 0;
    uint64_t size = PAGE_NODE_SIZE + load_u16(n + NODE_AT_KEY_SIZE);
    if (kind == PAGE_LEAF)
        size += (load_u16(n + 4) & NODE_BIG) ? sizeof(uint64_t)
                                             : load_u16(n) + (uint64_t)load_u16(n + 2) * 65536;
    size += size & 1;
    return size <= left ? (size_t)size : 0;
}

/* Where keys came in their order, as in the journal, each node lies right below the one before it. */
static bool nodes_fall(const struct page *page, size_t upper, size_t size)
{
    size_t end = size;
    for (unsigned i = 0; i < page->count; i++) {
        size_t at = load_u16(page->start + PAGE_HEADER_SIZE + 2 * i);
        if (at < upper || at >= end || (at & 1) != 0 ||
            node_extent(page->start + at, end - at, page->kind) != end - at)
            return false;
        end = at;
    }
    return end == upper;
}

/* The nodes, wherever the page's pointers put them, lie one behind another up to its end. */
static bool nodes_fill(const struct page *page, size_t upper, size_t size)
{
    if (nodes_fall(page, upper, size))
        return true;
    uint64_t starts[PAGE_SIZE_MAX / 2 / 64];
    memset(starts, 0, size / 16);
    for (unsigned i = 0; i < page->count; i++) {
        size_t at = load_u16(page->start + PAGE_HEADER_SIZE + 2 * i);
        if (at < upper || at >= size || (at & 1) != 0)
            return false;
        starts[at / 128] |= UINT64_C(1) << (at / 2 % 64);
    }
    unsigned count = 0;
    for (size_t at = upper; at < size; count++) {
        size_t extent = node_extent(page->start + at, size - at, page->kind);
        if (extent == 0 || !(starts[at / 128] >> (at / 2 % 64) & 1))
            return false;
        at += extent;
    }
    return count == page->count;
}

static bool nodes_rise(const struct page *page, bool integer_keys)
{
    /* A branch's first key is never looked at: it may be anything. */
    unsigned first = page->kind == PAGE_BRANCH;
    struct bytes before = {NULL, 0};
    for (unsigned i = first; i < page->count; i++) {
        const uint8_t *n = node_start(page, i);
        struct bytes key = {n + PAGE_NODE_SIZE, load_u16(n + NODE_AT_KEY_SIZE)};
        if (key.size == 0 || (integer_keys && key.size != sizeof(uint64_t)) ||
            (i > first && page_key_compare(before, key, integer_keys) >= 0))
            return false;
        before = key;
    }
    return true;
}

bool page_check(const struct pages *p, uint64_t number, bool integer_keys, struct page *ret_page,
                char *why)
{
    if (number < PAGE_METAS || number >= p->count) {
        snprintf(why, PAGE_WHY_SIZE, "there is no page %" PRIu64, number);
        return false;
    }
    return page_check_copy(p, number, p->base + number * p->size, integer_keys, ret_page, why);
}

bool page_check_copy(const struct pages *p, uint64_t number, const uint8_t *copy, bool integer_keys,
                     struct page *ret_page, char *why)
{
    const char *what = NULL;
    struct page page = {.start = copy};
    unsigned flags = load_u16(page.start + AT_FLAGS) & FLAGS_KIND;
    size_t lower = load_u16(page.start + AT_LOWER);
    size_t upper = load_u16(page.start + AT_UPPER);
    if (load_u64(page.start) != number) {
        what = "is another page";
    } else if (flags != PAGE_BRANCH && flags != PAGE_LEAF) {
        what = "is neither a branch nor a leaf";
    } else if (lower < PAGE_HEADER_SIZE || lower > upper || upper > p->size || (lower & 1) != 0 ||
               (upper & 1) != 0 || p->size > PAGE_SIZE_MAX) {
        what = "has a damaged header";
    } else {
        page.kind = (enum page_kind)flags;
        page.count = (unsigned)(lower - PAGE_HEADER_SIZE) / 2;
        if (!nodes_fill(&page, upper, p->size))
            what = "has nodes that do not fill it";
        else if (!nodes_rise(&page, integer_keys))
            what = "has keys out of order";
        else if (page.count < (page.kind == PAGE_BRANCH ? 2U : 1U))
            what = "has too few nodes";
    }
    if (what)
        snprintf(why, PAGE_WHY_SIZE, "page %" PRIu64 " %s", number, what);
    else
        *ret_page = page;
    return !what;
}

bool page_in_range(const struct page *page, const struct key_range *range, bool integer_keys)
{
    unsigned first = page->kind == PAGE_BRANCH;
    if (page->count <= first)
        return true;
    struct bytes least = page_node(page, first).key;
    struct bytes most = page_node(page, page->count - 1).key;
    return (!range->low.data || page_key_compare(least, range->low, integer_keys) >= 0) &&
           (!range->high.data || page_key_compare(most, range->high, integer_keys) < 0);
}

struct key_range page_child_range(const struct page *page, const struct key_range *range,
                                  unsigned index)
{
    return (struct key_range){
        .low = index > 0 ? page_node(page, index).key : range->low,
        .high = index + 1 < page->count ? page_node(page, index + 1).key : range->high,
    };
}

/* ---- the way to a leaf ---- */

/* The first of the nodes from first on whose key is not less than key. */
static unsigned lower_bound(const struct page *page, unsigned first, struct bytes key,
                            bool integer_keys, bool *ret_found)
{
    unsigned low = first;
    unsigned high = page->count;
    *ret_found = false;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = page_key_compare(page_node(page, middle).key, key, integer_keys);
        *ret_found = *ret_found || order == 0;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The branch or leaf with this number, checked, if it was not before. */
static bool visit(const struct pages *p, uint64_t number, bool integer_keys, struct page *ret_page,
                  char *why)
{
    size_t at = number % PAGE_MEMO_SIZE;
    if (p->memo && number != 0 && p->memo->branches[at].number == number) {
        *ret_page = p->memo->branches[at].page;
        return true;
    }
    if (!page_check(p, number, integer_keys, ret_page, why))
        return false;
    if (p->memo && ret_page->kind == PAGE_BRANCH) {
        p->memo->branches[at].number = number;
        p->memo->branches[at].page = *ret_page;
    }
    return true;
}

static bool find(const struct pages *p, const struct page_tree *tree, struct bytes key, bool before,
                 struct page_place *ret_place, char *why)
{
    struct page_place place = {0};
    uint64_t number = tree->root;
    if (number == UINT64_MAX) {
        *ret_place = place;
        if (tree->entries != 0)
            snprintf(why, PAGE_WHY_SIZE, "there is no root for %" PRIu64 " entries", tree->entries);
        return tree->entries == 0;
    }
    for (unsigned level = 1;; level++) {
        bool is_leaf = level == tree->depth;
        if (!visit(p, number, tree->integer_keys, &place.leaf, why))
            return false;
        if (level > PAGE_DEPTH_MAX || is_leaf != (place.leaf.kind == PAGE_LEAF) ||
            !page_in_range(&place.leaf, &place.range, tree->integer_keys)) {
            snprintf(why, PAGE_WHY_SIZE, "page %" PRIu64 " does not belong where it is", number);
            return false;
        }
        if (is_leaf)
            break;
        bool found = false;
        unsigned next = lower_bound(&place.leaf, 1, key, tree->integer_keys, &found);
        next -= before || !found;
        struct page branch = place.leaf;
        place.range = page_child_range(&branch, &place.range, next);
        number = page_node(&branch, next).child;
    }
    place.index = lower_bound(&place.leaf, 0, key, tree->integer_keys, &place.found);
    *ret_place = place;
    return true;
}

bool pages_find(const struct pages *p, const struct page_tree *tree, struct bytes key,
                struct page_place *ret_place, char *why)
{
    return find(p, tree, key, false, ret_place, why);
}

bool pages_find_before(const struct pages *p, const struct page_tree *tree, struct bytes key,
                       struct page_place *ret_place, char *why)
{
    return find(p, tree, key, true, ret_place, why);
}

bool pages_in_place(const struct pages *p, const struct page_tree *tree, struct bytes key)
{
    uint64_t number = tree->root;
    for (unsigned level = 1; level <= PAGE_DEPTH_MAX; level++) {
        bool found = false;
        if (number < PAGE_METAS || number >= p->count)
            return false;
        struct page page = {.start = p->base + number * p->size};
        unsigned flags = load_u16(page.start + AT_FLAGS) & FLAGS_KIND;
        size_t lower = load_u16(page.start + AT_LOWER);
        if (load_u64(page.start) != number || lower < PAGE_HEADER_SIZE || lower > p->size ||
            (flags == PAGE_LEAF) != (level == tree->depth))
            return false;
        if (flags == PAGE_LEAF)
            return true;
        page.kind = PAGE_BRANCH;
        page.count = (unsigned)(lower - PAGE_HEADER_SIZE) / 2;
        unsigned next = lower_bound(&page, 1, key, tree->integer_keys, &found) - !found;
        if (next >= page.count)
            return false;
        number = page_node(&page, next).child;
    }
    return false;
}
