/*
 * environment.h - what the files of journal/ share among themselves: the LMDB
 * environment, the meta row, the state rows, the data file's space, and struct
 * journal itself. Nobody outside of journal/ includes it, but for its tests.
 *
 *   directory.c    the directory: making, checking, locking it; the boot id
 *   mark.c         the file that says that data.mdb is written without syncs
 *   environment.c  LMDB's environment and databases; its error codes
 *   meta.c         the meta row
 *   open.c         open, recover, mark clean, close, reopen in place, sync
 *   rebuild.c      after a power loss in process mode: what can be kept
 *   apart.c        what damage may kill, in a process of its own (apart.h)
 *   redo.c         the log that makes a batch durable with one sync (redo.h);
 *                  redo_file.c, redo_recover.c, redo_state.c
 *   space.c        room in the data file, allocated before it is needed
 *   batch.c        begin, append, set_applied, commit, abort
 *   rows.c         state rows and tombstones; the writer's view
 *   scan.c         the state in order, within that view
 *   tally.c        how many rows, and a sum over them
 *   pages.c        LMDB's pages, checked; page_walk.c: all of them (pages.h)
 *   soundness.c    what a start and each reader look at
 *   proof.c        what LMDB says is not there, proven (proof.h)
 *   kept.c         rows of sessions, of named cursors and of lives
 *   compact.c      moving oldest, removing records and tombstones
 *   reader.c       views of other threads
 *   verify.c       the whole journal against itself; key_table.c serves it
 *   offline.c      the same for a directory that no server uses
 *   restore.c      a journal out of a backup
 */
#ifndef VIGIL_JOURNAL_ENVIRONMENT_H
#define VIGIL_JOURNAL_ENVIRONMENT_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "journal/journal.h"
#include "journal/proof.h"
#include "journal/redo.h"
#include "protocol/limits.h"
#include "protocol/record.h"

enum {
    JOURNAL_FORMAT = 1,
    SEQ_KEY_SIZE = 8,
    TOMBSTONE_KEY_SIZE_MAX = SEQ_KEY_SIZE + LIMIT_KEY_SIZE,
    META_SIZE = 116,
    ROW_HEADER_SIZE = 36,
    ROW_FORMAT = 1,
    ROW_MODIFIED_AT = 16,
    KEPT_HEADER_SIZE = 8,
    KEPT_FORMAT = 1,
    META_REDO = 3,            /* durability in a meta row: power, with a redo log beside it */
    META_RECORDS_MAX = 65536, /* records after which the meta row is written anew at the latest */
};

/* ---- directory.c ---- */

/* Makes the directory if need be. ERR_FOREIGN: there are files in it, none of them ours.
 * *ret_new: it holds no journal yet. */
int directory_prepare(const char *directory, bool *ret_new, struct failure *failure);
/* The same for a directory that must be there. */
int directory_check(const char *directory, bool *ret_new, struct failure *failure);
/* The same for one that is to hold what a backup holds, and no journal yet (ERR_INVALID). */
int directory_check_restore(const char *directory, struct failure *failure);
/* Takes the directory's lock; it ends with the descriptor or the process. With read_only, a
 * directory that cannot be written to is locked as far as it can be (*ret_fd may be -1). */
int directory_lock(const char *directory, bool read_only, int *ret_fd, struct failure *failure);
void directory_unlock(int fd);
/* directory/name. False: too long. */
bool directory_path(const char *directory, const char *name, char *out, size_t size);
/* After it was made, or files of it were made or renamed. */
int directory_sync(const char *directory, struct failure *failure);

/* A data file is made or rebuilt under this name, and takes its place when it is whole. */
#define LOCK_NAME "vigil.lock"
#define DATA_NAME "data.mdb"
#define DATA_NAME_NEW "rebuild.mdb"
/* And one that a restore makes under this one, which no start takes for an empty directory. */
#define DATA_NAME_RESTORE "restore.mdb"
/* Of the data file, in bytes; 0: it cannot be asked. */
uint64_t directory_data_size(const char *directory);
/* What is under this name, and on the disk, becomes DATA_NAME. */
int directory_replace_data(const char *directory, const char *name, struct failure *failure);
bool boot_id_equal(const char a[BOOT_ID_SIZE], const char b[BOOT_ID_SIZE]);

/* ---- mark.c ---- */

#define MARK_NAME "running"
#define MARK_NAME_NEW "running.new"

enum mark {
    MARK_NONE,       /* all that was written has been synced */
    MARK_THIS_BOOT,  /* what was written is there, be it in the kernel's memory */
    MARK_OTHER_BOOT, /* or not to be read: data.mdb may be damaged */
};
int mark_read(const char *directory, enum mark *ret_mark, struct failure *failure);
/* Before data.mdb is written without syncs. It is on the disk when this returns. */
int mark_write(const char *directory, struct failure *failure);
/* After all of data.mdb has been synced. */
int mark_remove(const char *directory, struct failure *failure);

/* ---- meta.c ---- */

struct meta {
    uint64_t epoch;
    uint64_t applied;
    uint64_t oldest;
    uint64_t trimmed; /* first record that is still in the file; at most oldest */
    uint64_t head;    /* newest record when this was written; there may be newer ones */
    uint64_t bytes;   /* of the records trimmed..head */
    bool clean;       /* the run that wrote this has ended, and everything is on the disk */
    uint8_t durability;
    char boot_id[BOOT_ID_SIZE];
};

void meta_encode(const struct meta *m, uint8_t out[META_SIZE]);
/* ERR_OK, ERR_FOREIGN (not ours, newer), ERR_CORRUPT. */
int meta_decode(struct bytes row, const char *directory, struct meta *ret_meta,
                struct failure *failure);

/* ---- environment.c ---- */

struct environment {
    MDB_env *lmdb; /* NULL: closed */
    MDB_dbi journal;
    MDB_dbi state;
    MDB_dbi tombstones;
    MDB_dbi meta;
    MDB_dbi sessions;
    MDB_dbi cursors;
    MDB_dbi lives;
    bool has_sessions; /* journals made before there were any have no database for them */
    bool has_cursors;
    bool has_lives;
    uint32_t page_size;
    const uint8_t *map; /* NULL: it is not known where LMDB has mapped the file */
    size_t map_size;
};

/* LMDB's code, or an errno, as one of ours. */
int environment_error(int rc);
/* "cannot WHAT PATH: why". */
int environment_failure(struct failure *failure, int rc, const char *what, const char *path);

/* Of the data file; LMDB's own. */
int environment_fd(const struct environment *e);
/* Syncs the data file a piece at a time: what others sync on the same disk meanwhile waits for a
 * piece, not for the whole. 0, or LMDB's return code. */
int environment_sync(struct environment *e);
/* The file size that the process may not pass; UINT64_MAX: it may be of any size. */
uint64_t environment_file_limit(void);

/* Enough for any file that was ever made: address space costs nothing. */
#define MAP_SIZE_DEFAULT (UINT64_C(1) << 40)

/* path: the directory, or a file with MDB_NOSUBDIR in flags. */
int environment_open(struct environment *e, const char *path, unsigned flags, uint64_t map_size,
                     struct failure *failure);
void environment_close(struct environment *e);
/* Opens the databases and reads the meta row. ERR_NOT_FOUND: nothing has been committed yet. */
int environment_load(struct environment *e, const char *directory, struct meta *ret_meta,
                     struct failure *failure);
/* Makes the databases and the meta row in an empty environment. */
int environment_create(struct environment *e, const char *directory, const struct meta *m,
                       struct failure *failure);
/* Brings head and bytes up to the last record there is. Reads only what came after m->head. */
int environment_position(const struct environment *e, MDB_txn *txn, struct meta *m,
                         struct failure *failure);
/* Makes the databases of sessions, cursors and lives, if they are not there yet. */
int environment_add_missing(struct environment *e, const char *directory, struct failure *failure);
int environment_meta_get(const struct environment *e, MDB_txn *txn, const char *directory,
                         struct meta *ret_meta, struct failure *failure);
/* Returns LMDB's code. */
int environment_meta_put(const struct environment *e, MDB_txn *txn, const struct meta *m);
/* The records trimmed..head are as many as the tree is said to have: none is cut off at its end. */
int environment_check_head(const struct environment *e, MDB_txn *txn, const struct meta *m,
                           uint64_t head, struct failure *failure);
/* Before anything is written to it: the file's own books, the newest records, the state's size. */
int environment_check_start(const struct environment *e, MDB_txn *txn, const struct meta *m,
                            const char *directory, struct failure *failure);
/* Seq of the last record, 0 if there is none. Returns LMDB's code. */
int environment_last_seq(const struct environment *e, MDB_txn *txn, uint64_t *ret_seq);
/* Bytes of the data file that are in use. */
uint64_t environment_used(const struct environment *e);

void seq_key_store(uint8_t out[SEQ_KEY_SIZE], uint64_t seq);
uint64_t seq_key_load(const uint8_t *key);

static inline MDB_val lmdb_value(struct bytes b)
{
    return (MDB_val){b.size, (void *)(uintptr_t)b.data};
}
static inline struct bytes stored_bytes(MDB_val v)
{
    return (struct bytes){v.mv_data, v.mv_size};
}

/* ---- tally.c ---- */

struct tally {
    uint64_t rows;
    uint64_t sum;
};

void tally_add(struct tally *t, struct bytes key, struct bytes stored);
void tally_remove(struct tally *t, struct bytes key, struct bytes stored);
/* ERR_NOT_FOUND: the journal is from before there was one. ERR_CORRUPT. */
int tally_get(const struct environment *e, MDB_txn *txn, struct tally *ret_tally);
/* These return LMDB's code. */
int tally_put(const struct environment *e, MDB_txn *txn, const struct tally *t);
int tally_count(const struct environment *e, MDB_txn *txn, struct tally *ret_tally);

/* ---- rows.c ---- */

/* ERR_OK or ERR_CORRUPT: the CRC over key and row, and the layout. */
int row_decode(struct bytes key, struct bytes stored, struct state_row *ret_row);
void row_header_encode(struct bytes key, const struct state_row *row, uint8_t out[ROW_HEADER_SIZE]);
/* Writes "key" as far as it can be printed; for messages. */
const char *key_text(struct bytes key, char *out, size_t size);
/* The key's row as txn sees it, and as it is stored; if there is none, deleted, with modified 0, and nothing
 * stored. LMDB's code; MDB_CORRUPTED where row_decode finds damage. */
int row_find(const struct environment *e, MDB_txn *txn, struct bytes key, struct state_row *ret_row,
             struct bytes *ret_stored);
/* What a change at seq makes of the row before it, as server/core/key_state.c has it. */
void row_change(struct state_row *row, uint64_t seq, const struct change *change);
/* Puts row in the place of what is stored, if there is anything, with row_put. */
int row_replace(const struct environment *e, MDB_txn *txn, struct bytes key, struct bytes stored,
                const struct state_row *row, struct tally *tally);
/* Puts row and, where it is deleted, its tombstone, and adds it to tally. Returns LMDB's code. */
int row_put(const struct environment *e, MDB_txn *txn, struct bytes key,
            const struct state_row *row, struct tally *tally);
/* seq and key of a tombstone. False: malformed. */
bool tombstone_decode(struct bytes stored_key, uint64_t *ret_seq, struct bytes *ret_key);
size_t tombstone_encode(uint64_t seq, struct bytes key, uint8_t out[TOMBSTONE_KEY_SIZE_MAX]);

/* The writer's view is given up; it, and its cursor, are gone. */
void view_abort(struct journal *j);
/* A transaction that has met a damaged page gives errors from then on. A new one shows the same
 * state: nobody but this thread commits. What the old one has given stays where it is. */
void view_begin_anew(struct journal *j);

/* ---- kept.c ---- */

/* ERR_OK or ERR_CORRUPT: the CRC over key and row, and the layout. */
int kept_decode(struct bytes key, struct bytes stored, struct bytes *ret_row);
int cursor_decode(struct bytes key, struct bytes stored, struct bytes *ret_row);
int life_decode(struct bytes key, struct bytes stored, struct bytes *ret_row);
/* Returns LMDB's code. */
int kept_put(MDB_txn *txn, MDB_dbi database, struct bytes key, struct bytes row);
/* Where rows of that kind are kept: not of REDO_RECORD, REDO_OLDEST. */
MDB_dbi kept_database(const struct environment *e, enum redo_kind kind);
/* An empty row: removes what there is, if there is anything. Returns LMDB's code. */
int kept_put_or_remove(MDB_txn *txn, MDB_dbi database, struct bytes key, struct bytes row);
int session_decode(struct bytes key, struct bytes stored, uint64_t *ret_session,
                   struct bytes *ret_row);

/* ---- space.c ---- */

/* Runs are told apart up to 2^15 pages: 128 MiB, more than any record. */
enum { SPACE_RUN_SIZES = 16 };

struct space {
    uint64_t step;          /* as the options say, less on a small file system */
    uint64_t reserve;       /* likewise */
    uint64_t allocated;     /* bytes of the data file that the disk has promised */
    bool unsupported;       /* the file system cannot promise: ask it for what is free */
    uint64_t free_pages;    /* at least so many pages can be taken from LMDB's free list, */
    uint64_t waiting_pages; /* freed by the newest commits, not to be taken yet */
    uint64_t free_runs[SPACE_RUN_SIZES]; /* [k]: and of these, in runs of 2^k neighbours */
    /* Of the open batch; upper bounds, in bytes. */
    uint64_t charged;
    uint64_t run_pages; /* charged for what needs neighbours; each rounded up to 2^k pages */
    unsigned run_size;  /* the largest such k */
    uint64_t granted;
    uint64_t row_pages;     /* that rows may still dirty; UINT64_MAX: not known yet */
    uint64_t session_pages; /* likewise, rows of sessions */
    uint64_t cursor_pages;  /* and of cursors */
    uint64_t life_pages;    /* and of lives */
    bool reserve_too;
    bool tight; /* counts on LMDB's free list */
};

void space_open(struct journal *j, const struct journal_options *options);
/* Before the batch's transaction: room for so many bytes of records and rows. */
int space_begin(struct journal *j, uint64_t bytes, struct failure *failure);
void space_end(struct journal *j, bool committed);
/* An item of so many bytes, key included, put where the previous one was. */
int space_charge_item(struct journal *j, uint64_t size, struct failure *failure);
/* One put or removed anywhere in the state. */
int space_charge_row(struct journal *j, uint64_t size, struct failure *failure);
/* One put or removed among the sessions. */
int space_charge_session(struct journal *j, uint64_t size, struct failure *failure);
/* Or among the cursors. */
int space_charge_cursor(struct journal *j, uint64_t size, struct failure *failure);
/* Or among the lives. */
int space_charge_life(struct journal *j, uint64_t size, struct failure *failure);
/* One removed from the journal's beginning. */
int space_charge_removal(struct journal *j, uint64_t size, struct failure *failure);

/* ---- struct journal ---- */

struct journal {
    char *directory;
    int lock_fd;
    enum journal_durability durability;
    uint64_t map_size;
    struct environment environment;
    struct space space;
    bool recovered;
    bool new_epoch;
    atomic_bool sync_failed; /* once: this run's stop is not clean */

    struct meta meta;   /* as committed, but head and bytes are those of the last record */
    uint64_t meta_head; /* head in the stored meta row */
    struct tally tally; /* as committed */

    /* The open batch. */
    MDB_txn *txn;
    MDB_cursor *appender;
    struct meta next; /* what meta becomes at commit */
    struct tally next_tally;
    bool meta_due; /* the row has to be written */
    bool tally_due;
    int batch_error;         /* the transaction is dead: commit gives this */
    struct proof rows_proof; /* of the state as it was before the batch */
    uint64_t batches;
    struct redo redo;

    /* The writer's view. */
    MDB_txn *view;
    bool view_open;
    struct proof view_proof;
    MDB_cursor *scan_cursor; /* of the view */
    bool scan_renewed;       /* in this view */
    bool scan_open;          /* a seek has gone well */
    bool scan_waits;         /* the cursor stands at the next row */
    struct proof scan_proof;

    /* Closing and reopening takes the gate for writing, everything that other threads do
     * takes it for reading. readers_lock guards the list alone. */
    pthread_rwlock_t gate;
    pthread_mutex_t readers_lock;
    struct journal_reader *readers;
};

/* open.c: after a failed commit. ERR_OK, or the journal is closed for good. */
int journal_reopen(struct journal *j, struct failure *failure);
/* open.c: closed for good. */
void journal_shut(struct journal *j);
/* open.c: before a batch. Leaves a redo log that is too small for what makes room, and begins one
 * again later. After an error it is as it was, or the journal is closed for good (ERR_IO). */
int journal_choose_redo(struct journal *j, uint64_t bytes, struct failure *failure);
/* reader.c: gives up the reader's transaction; the gate is held for writing. */
void reader_detach(struct journal_reader *r);
struct journal_reader *reader_following(const struct journal_reader *r);
/* rebuild.c: checks everything, in another process, and puts a new data file with what is whole in
 * its place. The caller has locked the directory, and has not opened the data file. */
int journal_rebuild(const char *directory, uint64_t map_size, uint64_t epoch,
                    struct failure *failure);

/* ---- verify.c ---- */

struct verify_options {
    void (*problem)(void *context, uint64_t seq, const char *text);
    void (*progress)(void *context, uint64_t done, uint64_t all);
    void *context;
    /* May be NULL. Kept up to date all the time; head is how far the records have been read. */
    struct journal_verify_report *so_far;
};
struct verify_findings {
    struct journal_verify_report report;
    uint64_t first_bad;      /* first record that is damaged or missing; 0: none */
    uint64_t row_newest;     /* largest modified of any row */
    uint64_t state_problems; /* of report.problems: those of rows and tombstones */
};
int verify_environment(const struct environment *e, const char *directory,
                       const struct verify_options *options, struct verify_findings *ret_findings,
                       struct failure *failure);

#endif
