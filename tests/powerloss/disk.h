/*
 * disk.h - a disk with a volatile cache, as far as a log of operations shows it:
 * what is durable, and what has been written since and may or may not be.
 *
 * What a power loss leaves (disk_draw):
 *  1. Everything that a sync covered, or that was written with O_DSYNC.
 *  2. Of the writes since then, any subset of their sectors of 512 bytes. Where
 *     several of them hit one sector, the newest that arrived counts: that covers
 *     every order in which they can arrive.
 *  3. The size after any number of the operations that changed it. What lies
 *     within the size and never arrived reads as zeros, or as old rubbish.
 *  4. Of the changes to a folder's names since it was synced, the first few. Every
 *     journaling file system keeps their order.
 *  5. A file that is written through memory: anything at all.
 */
#ifndef VIGIL_TESTS_POWERLOSS_DISK_H
#define VIGIL_TESTS_POWERLOSS_DISK_H

#include "tests/powerloss/operation_log.h"
#include "tests/powerloss/image.h"
#include "tests/support/sample_bytes.h"

enum { SECTOR_SIZE = 512 };

struct disk;

/* NULL: out of memory. The operations that are handed over stay the caller's, and must stay. */
struct disk *disk_create(void);
void disk_free(struct disk *d);

/* An operation is under way: it may take effect in part. False: it makes no sense; see disk_error. */
bool disk_begin(struct disk *d, const struct operation *o);
/* The operation that was begun last has returned. */
void disk_finish(struct disk *d);
const char *disk_error(const struct disk *d);

/* Nothing is pending: all draws are equal. */
bool disk_is_settled(const struct disk *d);
/* What a power loss leaves now. */
void disk_draw(const struct disk *d, struct sample *random, struct image *ret_image);
/* What the process itself sees. */
void disk_draw_all(const struct disk *d, struct image *ret_image);

#endif
