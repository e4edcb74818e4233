/*
 * journal.h - the log of records and the checkpointed state, in one LMDB
 * environment. The only part of Vigil that knows LMDB.
 *
 *   journal     big-endian seq -> record (protocol/record.h)
 *   state       key -> row: what the key was at its last checkpoint
 *   tombstones  big-endian seq and key -> nothing, for rows of deleted keys
 *   sessions    big-endian id -> what the caller keeps of a session
 *   cursors     name -> what the caller keeps of a named cursor
 *   lives       name -> what the caller keeps of how long keys live
 *   meta        format, epoch, applied, oldest, durability, boot id, clean mark
 *
 * Invariants:
 *  1. Records oldest..head are there, without holes, each with a valid CRC.
 *  2. state holds the effect of at least every record up to applied; a row
 *     knows its modified seq, so applying a record again changes nothing.
 *  3. oldest <= applied + 1: compaction never passes what the state holds; the
 *     record at head is never removed.
 *  4. In power mode, commit returns only when the batch is on stable storage, and
 *     nobody sees it before.
 *  5. A row of a deleted key stays until oldest has passed its deletion.
 *
 * Threads: one writer thread (the functions on struct journal), and any number
 * of reader threads, each with its own struct journal_reader.
 */
#ifndef VIGIL_JOURNAL_JOURNAL_H
#define VIGIL_JOURNAL_JOURNAL_H

#include "protocol/failure.h"
#include "protocol/limits.h"
#include "protocol/wire.h"

enum journal_durability { JOURNAL_POWER = 1, JOURNAL_PROCESS = 2 };

enum { JOURNAL_LIFE_NAME_SIZE = 1 + LIMIT_KEY_SIZE };

/* Names this run of the machine, in 36 characters; all zeros if unknown. */
enum { BOOT_ID_SIZE = 40 };
void journal_boot_id(char out[BOOT_ID_SIZE]);

struct journal_options {
    const char *directory;              /* made (0700) if it is not there */
    enum journal_durability durability; /* 0: power */
    uint64_t map_size_bytes;            /* 0: 1 TiB of address space */
    uint64_t allocate_bytes;            /* step by which file space is allocated ahead; 0: 64 MiB */
    uint64_t reserve_bytes; /* kept free for compaction when the disk is full; 0: 16 MiB */
    uint64_t redo_bytes; /* of the redo log (power mode), after which the data file is to catch up;
                               what a start may have to read of it is a few times that. 0: 8 MiB */
    uint64_t epoch;      /* random, for a new directory, or where recovery must take a new one */
};

enum journal_hold_limit {
    JOURNAL_HOLD_NONE,
    JOURNAL_HOLD_RECORDS,
    JOURNAL_HOLD_BYTES,
    JOURNAL_HOLD_AGE
};

/* What somebody has not seen yet stays, unless that is more than the limits allow (0: no limit of
 * that kind): then the first record of it is removed all the same, and compaction stops there once,
 * so that the caller can name the next one that waits. */
struct journal_hold {
    uint64_t from; /* the first record that has not been seen; 0, or one before oldest: none */
    uint64_t records;
    uint64_t bytes;
    uint64_t age_us;
    /* What came of it; set by journal_batch_compact. */
    bool held;                        /* `from` would have been removed */
    enum journal_hold_limit exceeded; /* it was, because of this limit */
};

/* What retention keeps at least; 0: no limit of that kind. Of several limits the one that keeps
 * least counts. */
struct journal_retention {
    uint64_t records;
    uint64_t bytes;
    uint64_t age_us;
    struct journal_hold *hold; /* NULL: nobody is waited for */
};

struct journal_status {
    uint64_t epoch;
    uint64_t head;   /* newest committed record, 0 if none ever */
    uint64_t oldest; /* oldest record that can be read; head + 1 only when head is 0 */
    uint64_t applied;
    uint64_t records_bytes; /* of the records oldest..head, and of those not yet removed */
    uint64_t file_bytes;    /* size in use of the data file */
    uint64_t allocated_bytes;
    bool recovered; /* the last stop was not clean */
    bool new_epoch; /* recovery had to take a new epoch */
};

struct state_row {
    uint64_t created;  /* seq at which the present life of the key began */
    uint64_t modified; /* seq of its last change, its deletion included */
    uint64_t version;  /* changes since created, 1 for the first; 0 if deleted */
    bool deleted;
    struct bytes value;
};

struct journal;

/* Opens, locks (ERR_LOCKED), checks format (ERR_FOREIGN), recovers. Errors also:
 * ERR_ACCESS, ERR_IO, ERR_NO_SPACE, ERR_CORRUPT; failure says which path and why. */
int journal_open(const struct journal_options *options, struct journal **ret_journal,
                 struct failure *failure);
/* Syncs, marks the stop as clean, unlocks. Takes NULL. Readers are closed before. On an error it is
 * closed too, but not marked as clean, as after a kill: a sync has failed, now or ever before. */
int journal_stop(struct journal *j, struct failure *failure);
/* The same, where nobody asks. */
void journal_close(struct journal *j);
void journal_status(const struct journal *j, struct journal_status *ret_status);
/* The address is in the file's map. Async-signal-safe, from any thread. */
bool journal_maps(const struct journal *j, const void *address);

/* ---- state lookups of the writer thread ---- */

/* A stable view until journal_view_end; hold it for a batch, not longer. */
int journal_view_begin(struct journal *j, struct failure *failure);
void journal_view_end(struct journal *j);
/* ERR_OK, ERR_NOT_FOUND (no row, not even of a deleted key), ERR_CORRUPT, ERR_IO. The value points
 * into the view. */
int journal_state_get(struct journal *j, struct bytes key, struct state_row *ret_row);
/* Rows in the order of their keys, deleted ones included: seek to the first whose key is not less
 * than from (up to LIMIT_KEY_SIZE + 1 bytes), then next until ERR_NOT_FOUND. ERR_OK, ERR_CORRUPT,
 * ERR_IO; after an error seek again. What is given points into the view. Lookups may come between;
 * one that meets damage ends the scan. */
int journal_state_seek(struct journal *j, struct bytes from);
int journal_state_next(struct journal *j, struct bytes *ret_key, struct state_row *ret_row);

/* ---- a batch: begin, any of the rest, then commit or abort ---- */

/* bytes: what will be appended and put, about; space for it is allocated first
 * (ERR_NO_SPACE leaves everything as it was). A batch of 0 bytes may use the
 * reserve: compaction. */
int journal_batch_begin(struct journal *j, uint64_t bytes, struct failure *failure);
/* The next record in seq order: exactly head + 1 of this batch. */
int journal_batch_append(struct journal *j, struct bytes record, struct failure *failure);
/* A checkpointed row; ignored if the stored row is newer. */
int journal_batch_put_row(struct journal *j, struct bytes key, const struct state_row *row,
                          struct failure *failure);
int journal_batch_set_applied(struct journal *j, uint64_t applied, struct failure *failure);
/* What is kept of a session; an empty row: nothing any more. */
int journal_batch_put_session(struct journal *j, uint64_t session, struct bytes row,
                              struct failure *failure);
/* What is kept of a named cursor, likewise; name: 1 to LIMIT_CURSOR_NAME bytes. */
int journal_batch_put_cursor(struct journal *j, struct bytes name, struct bytes row,
                             struct failure *failure);
/* What is kept of lives, likewise; name: 1 to JOURNAL_LIFE_NAME_SIZE bytes. */
int journal_batch_put_life(struct journal *j, struct bytes name, struct bytes row,
                           struct failure *failure);
/* Moves oldest towards target (0: none) and towards what retention no longer
 * keeps, not past applied and never past head, and removes at most records_max
 * records and as many tombstones from the file. oldest itself moves at once
 * for a target, up to what retention->hold says. *ret_more: there is more to
 * remove. *ret_blocked: it would go further if applied were higher (a checkpoint
 * is wanted). */
int journal_batch_compact(struct journal *j, uint64_t target,
                          const struct journal_retention *retention, uint64_t now_us,
                          uint32_t records_max, bool *ret_more, bool *ret_blocked,
                          struct failure *failure);
/* On any error nothing of the batch took effect, and the journal has been
 * closed and opened again if LMDB needed that (ERR_IO when even this failed:
 * the caller exits). */
int journal_batch_commit(struct journal *j, struct failure *failure);
void journal_batch_abort(struct journal *j);
/* Any thread, at any time. In process mode: what is committed goes to stable storage. In power mode,
 * where that is the case anyway: the data file catches up with the redo log, which is as good a thing
 * to do beside the writer's thread; if nobody does, the writer does it now and then. */
int journal_sync(struct journal *j, struct failure *failure);
/* power mode: it would have something to do. */
bool journal_sync_due(const struct journal *j);

/* ---- readers: one per thread ---- */

struct journal_reader;
struct journal_view {
    uint64_t epoch;
    uint64_t head;
    uint64_t oldest;
    uint64_t applied;
};

int journal_reader_open(struct journal *j, struct journal_reader **ret_reader,
                        struct failure *failure);
void journal_reader_close(struct journal_reader *r);
/* A stable view until end. Short: an open view stops LMDB from reusing pages. */
int journal_reader_begin(struct journal_reader *r, struct journal_view *ret_view,
                         struct failure *failure);
void journal_reader_end(struct journal_reader *r);
/* The record at seq. ERR_OK, ERR_COMPACTED (below oldest), ERR_NOT_FOUND (beyond head),
 * ERR_CORRUPT (its CRC or place is wrong; failure names the seq). Points into the view. */
int journal_reader_get(struct journal_reader *r, uint64_t seq, struct bytes *ret_record,
                       struct failure *failure);
/* Walks upwards: seek, then next until ERR_NOT_FOUND (the head has been passed). */
int journal_reader_seek(struct journal_reader *r, uint64_t seq, struct failure *failure);
int journal_reader_next(struct journal_reader *r, uint64_t *ret_seq, struct bytes *ret_record,
                        struct failure *failure);
/* Walks the state's rows whose key starts with prefix and is greater than after
 * (empty: from the start), deleted ones included. ERR_NOT_FOUND ends it. */
int journal_reader_rows(struct journal_reader *r, struct bytes prefix, struct bytes after,
                        struct failure *failure);
int journal_reader_next_row(struct journal_reader *r, struct bytes *ret_key,
                            struct state_row *ret_row, struct failure *failure);

/* Walks the sessions: the first with an id from first on, or ERR_NOT_FOUND. With ERR_CORRUPT the
 * row is damaged, and *ret_session is set all the same, so that the walk can go on behind it. */
int journal_reader_session(struct journal_reader *r, uint64_t first, uint64_t *ret_session,
                           struct bytes *ret_row, struct failure *failure);

/* Walks the named cursors: the first whose name is greater than after, or ERR_NOT_FOUND. With
 * ERR_CORRUPT the row is damaged, and *ret_name is set all the same. */
int journal_reader_cursor(struct journal_reader *r, struct bytes after, struct bytes *ret_name,
                          struct bytes *ret_row, struct failure *failure);

/* Walks the rows of lives, likewise. */
int journal_reader_life(struct journal_reader *r, struct bytes after, struct bytes *ret_name,
                        struct bytes *ret_row, struct failure *failure);

/* ---- offline ---- */

struct backup_reader; /* protocol/backup_file.h */
struct journal_restoring {
    struct backup_reader *backup; /* opened */
    /* Asked now and then: false gives up, ERR_INTERRUPTED. May be NULL. */
    bool (*go_on)(void *context);
    void *context;
};
/* Makes the journal that backup tells of, in an empty directory or one that is not there. It has
 * options' epoch, which is to be a new one; the state is complete at its head. Nothing is there
 * before all is checked and on the disk; after an error the directory is as it was, but for the
 * lock file. ERR_INVALID: there is a journal in it; ERR_CORRUPT: the backup is damaged; and the
 * errors of journal_open. *ret_keys: live ones. */
int journal_restore(const struct journal_options *options,
                    const struct journal_restoring *restoring, uint64_t *ret_keys,
                    struct failure *failure);

struct journal_verify_report {
    uint64_t epoch;
    uint64_t head;
    uint64_t oldest;
    uint64_t applied;
    uint64_t records;
    uint64_t changes;
    uint64_t keys; /* live */
    uint64_t sessions;
    uint64_t cursors;
    uint64_t lives; /* their rows */
    uint64_t problems;
};
/* Reads the whole directory without a server: each record's CRC, the seq chain,
 * each change's prev_seq against the record before it of that key, each row's
 * CRC, and the state against the journal. Calls problem for each fault found
 * and progress now and then (either may be NULL). ERR_OK also where problems
 * were found; an error if it could not read (ERR_LOCKED: a server is running). */
int journal_verify(const char *directory,
                   void (*problem)(void *context, uint64_t seq, const char *text),
                   void (*progress)(void *context, uint64_t done, uint64_t all), void *context,
                   struct journal_verify_report *ret_report, struct failure *failure);

#endif
