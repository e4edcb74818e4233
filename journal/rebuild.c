/*
 * rebuild.c - after a power loss in process mode. Without syncs the disk may
 * hold any mixture of old and new pages, and LMDB checks none: not the records',
 * not those of the tree, nor those of its free list. So everything is read and
 * held against each other (verify.c), and what is whole goes, entry by entry,
 * into a new file that takes the old one's place.
 *
 * 1. Records are kept from oldest up to the last before the first that is
 *    damaged or missing. The state must not be ahead of that, nor damaged:
 *    what it was before cannot be known (ERR_CORRUPT: a backup is needed).
 * 2. The epoch is new: acknowledged records may be gone, and their seqs will be
 *    given again.
 * 3. The old file stays until the new one is on the disk.
 */
#define _GNU_SOURCE

#include "journal/environment.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static const char new_name[] = "rebuild.mdb";
enum { COPY_BYTES = 16 << 20, COPY_ENTRIES = 65536, PATH_SIZE = 4096 };

struct copy {
    const struct environment *from;
    struct environment to;
    MDB_txn *source;
    MDB_txn *txn;
    uint64_t entries; /* in this transaction */
    uint64_t bytes;
    struct meta meta;
    const char *directory;
    struct failure *failure;
};

static int copy_failure(struct copy *c, int rc)
{
    return environment_failure(c->failure, rc, "rebuild the journal in", c->directory);
}

/* Ends a transaction that has become large, and begins the next. */
static int pace(struct copy *c, uint64_t size)
{
    c->bytes += size;
    if (++c->entries < COPY_ENTRIES && c->bytes < COPY_BYTES)
        return 0;
    int rc = mdb_txn_commit(c->txn);
    c->txn = NULL;
    c->entries = 0;
    c->bytes = 0;
    return rc ? rc : mdb_txn_begin(c->to.lmdb, NULL, 0, &c->txn);
}

static int copy_records(struct copy *c, MDB_cursor *cursor)
{
    uint8_t seq_key[SEQ_KEY_SIZE];
    MDB_val record;
    seq_key_store(seq_key, c->meta.oldest);
    MDB_val key = {sizeof seq_key, seq_key};
    int rc = mdb_cursor_get(cursor, &key, &record, MDB_SET_KEY);
    while (rc == 0 && seq_key_load(key.mv_data) <= c->meta.head) {
        rc = mdb_put(c->txn, c->to.journal, &key, &record, MDB_APPEND);
        if (rc == 0)
            rc = pace(c, record.mv_size);
        if (rc != 0)
            return rc;
        c->meta.bytes += record.mv_size;
        rc = mdb_cursor_get(cursor, &key, &record, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int copy_rows(struct copy *c, MDB_cursor *cursor)
{
    MDB_val key;
    MDB_val stored;
    struct state_row row;
    int rc = 0;
    while ((rc = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT)) == 0) {
        if (row_decode(stored_bytes(key), stored_bytes(stored), &row) != ERR_OK)
            return MDB_CORRUPTED;
        rc = row_put(&c->to, c->txn, stored_bytes(key), &row);
        if (rc == 0)
            rc = pace(c, stored.mv_size);
        if (rc != 0)
            return rc;
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int with_cursor(struct copy *c, MDB_dbi database,
                       int (*work)(struct copy *c, MDB_cursor *cursor))
{
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open(c->source, database, &cursor);
    if (rc == 0)
        rc = work(c, cursor);
    mdb_cursor_close(cursor);
    return rc;
}

static int copy_all(struct copy *c)
{
    int rc = mdb_txn_begin(c->from->lmdb, NULL, MDB_RDONLY, &c->source);
    if (rc == 0)
        rc = mdb_txn_begin(c->to.lmdb, NULL, 0, &c->txn);
    if (rc == 0 && c->meta.head > 0)
        rc = with_cursor(c, c->from->journal, copy_records);
    if (rc == 0)
        rc = with_cursor(c, c->from->state, copy_rows);
    if (rc == 0)
        rc = environment_meta_put(&c->to, c->txn, &c->meta);
    if (rc == 0) {
        rc = mdb_txn_commit(c->txn);
        c->txn = NULL;
    }
    if (rc == 0)
        rc = mdb_env_sync(c->to.lmdb, 1);
    mdb_txn_abort(c->txn);
    mdb_txn_abort(c->source);
    return rc;
}

/* Up to where the journal can be kept. */
static int find_end(const struct environment *e, const char *directory, const struct meta *m,
                    uint64_t *ret_end, struct failure *failure)
{
    const struct verify_options silent = {0};
    struct verify_findings f;
    int err = verify_environment(e, directory, &silent, &f, failure);
    if (err != ERR_OK)
        return err;
    uint64_t end = f.first_bad ? f.first_bad - 1 : f.report.head;
    if (f.state_problems > 0 || end < m->applied || end < f.row_newest ||
        (m->head > 0 && end < m->oldest))
        return failure_set(
            failure, ERR_CORRUPT,
            "%s was damaged by a power loss in process mode: its records are whole "
            "up to %llu, its state goes up to %llu and has %llu faults; restore a "
            "backup",
            directory, (unsigned long long)end,
            (unsigned long long)(f.row_newest > m->applied ? f.row_newest : m->applied),
            (unsigned long long)f.state_problems);
    *ret_end = end;
    return ERR_OK;
}

static int write_new(struct copy *c, const char *path, uint64_t map_size)
{
    int err = environment_open(&c->to, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, map_size,
                               c->failure);
    if (err != ERR_OK)
        return err;
    struct meta empty = {.epoch = c->meta.epoch,
                         .oldest = 1,
                         .trimmed = 1,
                         .clean = true,
                         .durability = c->meta.durability};
    err = environment_create(&c->to, c->directory, &empty, c->failure);
    if (err == ERR_OK) {
        int rc = copy_all(c);
        err = rc ? copy_failure(c, rc) : ERR_OK;
    }
    environment_close(&c->to);
    return err;
}

int journal_rebuild(struct environment *e, const char *directory, uint64_t map_size, uint64_t epoch,
                    struct meta *m, struct failure *failure)
{
    char path[PATH_SIZE];
    char data_path[PATH_SIZE];
    uint64_t end = 0;
    if (epoch == 0)
        return failure_set(failure, ERR_INVALID, "a journal that lost its end needs a new epoch");
    if (!directory_path(directory, new_name, path, sizeof path) ||
        !directory_path(directory, "data.mdb", data_path, sizeof data_path))
        return environment_failure(failure, ENAMETOOLONG, "rebuild the journal in", directory);
    int err = find_end(e, directory, m, &end, failure);
    if (err != ERR_OK)
        return err;

    struct copy c = {.from = e, .meta = *m, .directory = directory, .failure = failure};
    c.meta.epoch = epoch != m->epoch ? epoch : epoch ^ 1;
    c.meta.trimmed = m->oldest;
    c.meta.head = end;
    c.meta.bytes = 0;
    (void)unlink(path); /* of a rebuild that was cut short */
    err = write_new(&c, path, map_size);
    if (err != ERR_OK) {
        (void)unlink(path);
        return err;
    }
    environment_close(e);
    if (rename(path, data_path) != 0)
        return environment_failure(failure, errno, "replace", data_path);
    err = directory_sync(directory, failure);
    if (err == ERR_OK)
        err = environment_open(e, directory, 0, map_size, failure);
    if (err == ERR_OK)
        err = environment_load(e, directory, m, failure);
    return err;
}
