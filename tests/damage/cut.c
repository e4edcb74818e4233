/* cut.c - see cut.h. */
#define _GNU_SOURCE

#include "tests/damage/cut.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "journal/pages.h"

enum { SECTOR = 512, META_USED = 152, TRIES = 200 };

const char *const cut_kind_names[CUT_KINDS] = {"bit",           "byte",       "zero sector",
                                               "swapped pages", "older page", "bit of meta"};

static uint64_t load_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static unsigned load_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void mark_free(struct image *image, MDB_txn *txn)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val list;
    if (mdb_cursor_open(txn, 0, &cursor) != 0)
        return;
    while (mdb_cursor_get(cursor, &key, &list, MDB_NEXT) == 0)
        for (uint64_t i = 1; i <= load_u64(list.mv_data); i++) {
            uint64_t page = load_u64((const uint8_t *)list.mv_data + 8 * i);
            if (page < image->pages)
                image->use[page] = USE_FREE;
        }
    mdb_cursor_close(cursor);
}

static void mark_used(struct image *image)
{
    for (size_t i = 0; i < image->pages; i++) {
        const uint8_t *page = image->bytes + i * image->page_size;
        unsigned flags = load_u16(page + 10);
        if (image->use[i] == USE_FREE || image->use[i] == USE_OVERFLOW)
            continue;
        image->use[i] = flags & PAGE_META     ? USE_META
                        : flags & PAGE_BRANCH ? USE_BRANCH
                        : flags & PAGE_LEAF   ? USE_LEAF
                                              : USE_OVERFLOW;
        for (unsigned k = 1; (flags & PAGE_OVERFLOW) && k < load_u16(page + 12); k++)
            if (i + k < image->pages)
                image->use[i + k] = USE_OVERFLOW;
    }
    for (size_t i = 0; i < image->pages; i++)
        image->by_use[image->use[i]]++;
}

bool image_load(struct image *image, const char *directory)
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    MDB_envinfo info;
    MDB_stat stat;
    *image = (struct image){0};
    image->bytes = read_data_file(directory, &image->size);
    if (!image->bytes || mdb_env_create(&env) != 0 ||
        mdb_env_open(env, directory, MDB_RDONLY | MDB_NOLOCK, 0600) != 0 ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
        return false;
    mdb_env_info(env, &info);
    mdb_env_stat(env, &stat);
    image->page_size = stat.ms_psize;
    image->pages = info.me_last_pgno + 1;
    image->use = malloc(image->pages);
    if (image->use) {
        memset(image->use, USE_META, image->pages);
        mark_free(image, txn);
        mark_used(image);
    }
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return image->use != NULL;
}

void image_free(struct image *image)
{
    free(image->bytes);
    free(image->use);
}

/* A byte of the page's part; pages without such parts: any byte. */
static size_t draw_place(const struct image *image, const struct cut *c, uint64_t *random)
{
    const uint8_t *page = image->bytes + c->page * image->page_size;
    size_t upper = load_u16(page + 14);
    size_t lower = load_u16(page + 12);
    enum page_part part = (enum page_part)truth_draw(random, PAGE_PARTS);
    if (part == PART_HEADER)
        return truth_draw(random, PAGE_HEADER_SIZE);
    if ((c->use != USE_BRANCH && c->use != USE_LEAF) || lower <= PAGE_HEADER_SIZE ||
        upper >= image->page_size)
        return truth_draw(random, image->page_size);
    if (part == PART_POINTERS)
        return PAGE_HEADER_SIZE + truth_draw(random, lower - PAGE_HEADER_SIZE);
    if (part == PART_DATA)
        return upper + truth_draw(random, image->page_size - upper);
    size_t count = (lower - PAGE_HEADER_SIZE) / 2;
    size_t node = load_u16(page + PAGE_HEADER_SIZE + 2 * truth_draw(random, count));
    size_t at = node + truth_draw(random, PAGE_NODE_SIZE + 8);
    return at < image->page_size ? at : image->page_size - 1;
}

static enum cut_kind draw_kind(uint64_t *random)
{
    static const uint8_t shares[CUT_KINDS] = {45, 15, 10, 10, 10, 10};
    uint64_t draw = truth_draw(random, 100);
    unsigned kind = 0;
    while (draw >= shares[kind])
        draw -= shares[kind++];
    return (enum cut_kind)kind;
}

/* False: this page has no older version that differs, or the like. */
static bool change(struct image *image, const struct truth *t, struct cut *c, uint64_t *random)
{
    uint8_t *page = image->bytes + c->page * image->page_size;
    size_t at = c->page * image->page_size;
    uint64_t bits = 0;
    switch (c->kind) {
    case CUT_META:
        c->page = truth_draw(random, PAGE_METAS);
        at = c->page * image->page_size + truth_draw(random, META_USED);
        image->bytes[at] = (uint8_t)(image->bytes[at] ^ 1U << truth_draw(random, 8));
        c->offset = at;
        c->end = at + 1;
        return true;
    case CUT_BIT:
    case CUT_BYTE:
        at += draw_place(image, c, random);
        bits =
            c->kind == CUT_BIT ? UINT64_C(1) << truth_draw(random, 8) : 1 + truth_draw(random, 255);
        image->bytes[at] = (uint8_t)(image->bytes[at] ^ bits);
        c->offset = at;
        c->end = at + 1;
        return true;
    case CUT_SECTOR:
        c->offset = at + SECTOR * truth_draw(random, image->page_size / SECTOR);
        c->end = c->offset + SECTOR;
        memset(image->bytes + c->offset, 0, SECTOR);
        return true;
    case CUT_SWAP: {
        c->page_other = PAGE_METAS + truth_draw(random, image->pages - PAGE_METAS);
        uint8_t *other = image->bytes + c->page_other * image->page_size;
        uint8_t *kept = malloc(image->page_size);
        if (!kept || c->page < PAGE_METAS || c->page == c->page_other) {
            free(kept);
            return false;
        }
        memcpy(kept, page, image->page_size);
        memcpy(page, other, image->page_size);
        memcpy(other, kept, image->page_size);
        free(kept);
        c->offset = at;
        c->end = at + image->page_size;
        return true;
    }
    default:
        if (at + image->page_size > t->older_size ||
            memcmp(page, t->older + at, image->page_size) == 0)
            return false;
        memcpy(page, t->older + at, image->page_size);
        c->offset = at;
        c->end = at + image->page_size;
        return true;
    }
}

void cut_make(struct image *image, const struct truth *t, uint64_t number, uint64_t seed,
              struct cut *ret_cut, uint8_t *undo)
{
    uint64_t random = (seed << 32) + number * UINT64_C(0x9e3779b97f4a7c15) + 1;
    struct cut c = {0};
    memcpy(undo, image->bytes, image->pages * image->page_size);
    (void)truth_draw(&random, 2);
    /* Branches are few and everything hangs on them: a third of the cuts is theirs. */
    enum cut_kind kind = draw_kind(&random);
    for (unsigned tries = 0;; tries++) {
        c = (struct cut){.kind = tries < TRIES ? kind : CUT_BIT};
        c.page = tries == 0 ? number % image->pages : truth_draw(&random, image->pages);
        bool branch_wanted = number % 3 == 0 && tries < TRIES / 2;
        c.use = (enum page_use)image->use[c.page];
        if ((!branch_wanted || c.use == USE_BRANCH) && change(image, t, &c, &random))
            break;
    }
    c.use = (enum page_use)image->use[c.page];
    snprintf(c.text, sizeof c.text, "%s in page %zu (use %d) at %zu..%zu, other page %zu",
             cut_kind_names[c.kind], c.page, (int)c.use, c.offset % image->page_size,
             (c.end - 1) % image->page_size, c.page_other);
    *ret_cut = c;
}

void cut_undo(struct image *image, const struct cut *cut, const uint8_t *undo)
{
    memcpy(image->bytes + cut->offset, undo + cut->offset, cut->end - cut->offset);
    if (cut->kind == CUT_SWAP)
        memcpy(image->bytes + cut->page_other * image->page_size,
               undo + cut->page_other * image->page_size, image->page_size);
}

bool cut_write(const struct image *image, const struct cut *cut, int fd)
{
    size_t size = cut->end - cut->offset;
    if (pwrite(fd, image->bytes + cut->offset, size, (off_t)cut->offset) != (ssize_t)size)
        return false;
    size_t at = cut->page_other * image->page_size;
    return cut->kind != CUT_SWAP ||
           pwrite(fd, image->bytes + at, image->page_size, (off_t)at) == (ssize_t)image->page_size;
}
