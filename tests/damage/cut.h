/* cut.h - what is done to a data file: kinds of damage, at places of every kind. */
#ifndef VIGIL_TESTS_DAMAGE_CUT_H
#define VIGIL_TESTS_DAMAGE_CUT_H

#include "tests/damage/truth.h"

enum cut_kind {
    CUT_BIT,
    CUT_BYTE,
    CUT_SECTOR, /* 512 bytes are zero */
    CUT_SWAP,   /* two pages have changed places */
    CUT_OLDER,  /* a page is as it was some commits before: a write that was lost */
    CUT_META,   /* a bit of the two meta pages */
    CUT_KINDS
};
enum page_use { USE_META, USE_BRANCH, USE_LEAF, USE_OVERFLOW, USE_FREE, PAGE_USES };
enum page_part { PART_HEADER, PART_POINTERS, PART_NODES, PART_DATA, PAGE_PARTS };

struct image {
    uint8_t *bytes;
    size_t size;
    size_t page_size;
    size_t pages; /* in use */
    uint8_t *use; /* [page] */
    size_t by_use[PAGE_USES];
};

struct cut {
    enum cut_kind kind;
    enum page_use use;
    size_t page;
    size_t offset; /* of what changed, up to end */
    size_t end;
    size_t page_other; /* of a swap */
    char text[128];
};

/* False: it cannot be read. */
bool image_load(struct image *image, const char *directory);
void image_free(struct image *image);
/* The number-th cut, drawn from the seed: pages in turn, kinds and parts at random. Damages image,
 * which cut_undo restores. */
void cut_make(struct image *image, const struct truth *t, uint64_t number, uint64_t seed,
              struct cut *ret_cut, uint8_t *undo);
void cut_undo(struct image *image, const struct cut *cut, const uint8_t *undo);
/* What the cut changed, into the file. */
bool cut_write(const struct image *image, const struct cut *cut, int fd);
extern const char *const cut_kind_names[CUT_KINDS];

#endif
