/*
 * redo.h - the redo log: what makes a batch durable in `power` mode with one sync.
 *
 * LMDB alone needs two, one after the other: of the pages, then of the meta page
 * that makes them valid. Here a batch is first appended to a log of its own, as
 * what it puts (records, and the rows of sessions, cursors and lives), and that is
 * synced. LMDB's commit follows without a sync. What a power loss makes of
 * data.mdb does not matter, as long as there is a *base*: a commit of which all
 * pages have been synced, and have not been written over since. A start goes back
 * to the base, and does what the log says.
 *
 *   redo.0  | base | entry entry entry ...        | two segments that take turns
 *   redo.1  | base | entry entry ...              |
 *
 * Invariants:
 *  1. Nothing is visible, in LMDB or outside, before its entry has been synced.
 *  2. A read transaction holds the base (the pin), so that LMDB reuses none of its
 *     pages. Its two meta pages, which LMDB does write over, are kept in the base.
 *  3. The log is: the base of the highest generation that is valid, that segment's
 *     entries, then those of the other segment with the generation after it.
 *  4. A base is one sector, and written only after a sync of data.mdb.
 *  5. Only the last entry can be torn. Anything else that is not whole is damage.
 *  6. While there is a log, the pages of its base stay; it is ended by a base that
 *     says that it is the last, and then removed. Without that both segments are
 *     there, as long as their base says at least.
 *
 * What is not logged (rows of the state, what compaction removed) is done again:
 * it follows from the records, and from which of them is the oldest.
 *
 * Threads: the writer's, but for redo_advance. The source of the idea is every
 * database's write-ahead log; that LMDB's own copy on write is what makes an old
 * commit whole again is peculiar to this one.
 */
#ifndef VIGIL_JOURNAL_REDO_H
#define VIGIL_JOURNAL_REDO_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "journal/journal.h"

enum {
    REDO_SEGMENTS = 2,
    REDO_FORMAT = 1,
    REDO_META_SIZE = 152, /* of LMDB's meta page: all that it reads of it */
    REDO_BASE_SIZE = 512,
    REDO_ENTRIES_AT = 4096,
    REDO_ENTRY_HEADER_SIZE = 40,
    REDO_ITEM_HEADER_SIZE = 7, /* kind u8, key size u16, value size u32 */
};

enum redo_kind {
    REDO_RECORD = 1,
    REDO_SESSION = 2,
    REDO_CURSOR = 3,
    REDO_LIFE = 4,
    REDO_OLDEST = 5, /* value: u64, the oldest record from now on */
};

struct redo_item {
    enum redo_kind kind;
    struct bytes key;   /* as in LMDB; of a record: none */
    struct bytes value; /* the row without its own header; empty: removed */
};

struct redo_base {
    uint64_t log;                  /* names the log: drawn for each run */
    uint64_t generation;           /* 1, 2, 3, ... of its segments */
    uint64_t number;               /* of the first entry in it */
    uint64_t head;                 /* the newest record at the base */
    uint64_t sizes[REDO_SEGMENTS]; /* of the files, at least */
    uint32_t page_size;
    bool last; /* no entries follow, and the other segment may be gone */
    char boot_id[BOOT_ID_SIZE];
    uint8_t metas[2][REDO_META_SIZE];
};

/* ---- redo_file.c: the two files, and what is in them ---- */

struct redo_files {
    int fd[REDO_SEGMENTS]; /* -1: there is none */
    /* Bytes that have been written once, so that a sync of what is written over them moves nothing
     * but data; and how many of these a sync has covered. */
    uint64_t capacity[REDO_SEGMENTS];
    uint64_t synced[REDO_SEGMENTS];
};

/* Both are made, synced, and named. ERR_NO_SPACE and what else the system says. */
int redo_files_create(const char *directory, uint64_t capacity, struct redo_files *ret_files,
                      struct failure *failure);
/* Those that are there. *ret_any: at least one. */
int redo_files_open(const char *directory, bool writable, struct redo_files *ret_files,
                    bool *ret_any, struct failure *failure);
void redo_files_close(struct redo_files *files);
/* Removes their names, that of segment last; both are gone for good when it returns. */
int redo_files_remove(const char *directory, unsigned segment, struct failure *failure);
/* Room up to end, rounded up to step. 0 or an errno. */
int redo_extend(struct redo_files *files, unsigned segment, uint64_t end, uint64_t step);
/* All of it. 0 or an errno. */
int redo_pwrite(int fd, const void *data, size_t size, uint64_t offset);

/* Writes and syncs. 0 or an errno. */
int redo_base_write(int fd, const struct redo_base *base);
/* ERR_OK, ERR_NOT_FOUND (none was ever written there), ERR_CORRUPT, ERR_IO. */
int redo_base_read(int fd, struct redo_base *ret_base);
/* LMDB's two meta pages as they are now. 0 or an errno. */
int redo_metas_read(int data_fd, uint32_t page_size, struct redo_base *base);
/* Makes them what they were at the base, and syncs. 0 or an errno. */
int redo_metas_restore(int data_fd, const struct redo_base *base);

/* The header of an entry whose items follow it in the buffer. */
void redo_entry_finish(struct wire_buffer *entry, uint64_t log, uint64_t generation,
                       uint64_t number);
void redo_entry_add(struct wire_buffer *entry, const struct redo_item *item);
/* The items of the entry at data, if that is a whole one of this number; otherwise false. */
bool redo_entry_check(struct bytes data, uint64_t log, uint64_t generation, uint64_t number,
                      struct wire_reader *ret_items);
/* A whole entry of that generation with a number above this one begins somewhere in data. */
bool redo_entry_follows(struct bytes data, uint64_t log, uint64_t generation, uint64_t number);
/* False: no more; r->failed tells whether they ended well. */
bool redo_item_next(struct wire_reader *r, struct redo_item *ret_item);
/* Where the entry after one with these items begins. */
size_t redo_entry_size(size_t items_size);

/* ---- redo_recover.c ---- */

/* If a log is there: goes back to its base, does what it says, and removes it. The caller has locked
 * the directory; data.mdb is not open. ERR_CORRUPT: the log is damaged. */
int redo_recover(const char *directory, uint64_t map_size, struct failure *failure);
/* Reads a log that is there, as redo_recover does first. *ret_needed: it is of another run of the
 * machine, so that data.mdb may be anything. */
int redo_check(const char *directory, bool *ret_needed, struct failure *failure);

/* ---- redo_state.c ---- */

struct environment;

/* The rows that the records after..to make. LMDB's code. */
int redo_rows(const struct environment *e, MDB_txn *txn, uint64_t after, uint64_t to);

/* ---- redo.c: a running journal's ---- */

struct redo {
    bool active;
    struct redo_files files;
    struct wire_buffer entry; /* of the open batch; empty: nothing to be logged */
    uint64_t log;
    uint64_t generation;
    uint64_t number;  /* of the next entry */
    uint64_t at;      /* where it goes */
    uint64_t written; /* bytes of the open batch's entry that may be in the file */
    unsigned segment; /* where entries go */
    uint64_t step;
    uint64_t switch_bytes;
    uint64_t commits;  /* LMDB's since the segment was begun */
    bool too_small;    /* a batch that may use the reserve found no room in it */
    bool is_missed;    /* the disk is too full for a log, so that LMDB syncs each commit */
    uint64_t again_at; /* then: the batch at which a log is tried again */

    /* Of the base: */
    pthread_mutex_t lock;
    atomic_bool pending;   /* next is to be written */
    unsigned base_segment; /* with the valid base; while pending the other one has the entries */
    struct redo_base next;
    MDB_txn *pin;
    MDB_txn *next_pin;
};

struct journal;

/* 0 or an errno. */
int redo_init(struct redo *r);
void redo_free(struct redo *r);
/* Begins a log: data.mdb is synced, and is its base. switch_bytes: journal_options.redo_bytes. */
int redo_start(struct journal *j, uint64_t switch_bytes, struct failure *failure);
/* Everything has been synced and marked: the log is removed. After an error it may still be there. */
int redo_end(struct journal *j, struct failure *failure);
/* Gives up the pins: the environment is about to be closed. */
void redo_detach(struct journal *j);
/* It is open again: as redo_start, with the files that there are. */
int redo_restart(struct journal *j, struct failure *failure);

/* Around a batch, in this order. */
int redo_batch_begin(struct journal *j, struct failure *failure);
int redo_add(struct journal *j, const struct redo_item *item, struct failure *failure);
/* Appends and syncs. */
int redo_write(struct journal *j, struct failure *failure);
/* LMDB has committed. */
void redo_committed(struct journal *j);
/* The entry may be in the file, and LMDB has not committed: a base after which it does not count. */
int redo_take_back(struct journal *j, struct failure *failure);
/* The base moves up to LMDB's last commit, so that what was freed before can be used. */
int redo_renew(struct journal *j, struct failure *failure);

/* Any thread. Writes the base that is pending, if there is one. */
int redo_advance(struct journal *j, struct failure *failure);

#endif
