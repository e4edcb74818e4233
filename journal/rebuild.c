/*
 * rebuild.c - after a power loss in process mode. Without syncs the disk may
 * hold any mixture of old and new pages, and LMDB checks none: not the records',
 * not those of the tree, nor those of its free list. So everything is read and
 * held against each other (verify.c), and what is whole goes, entry by entry,
 * into a new file that takes the old one's place. All that reads the old file is
 * done by another process (apart.h).
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
#include <unistd.h>

#include "journal/apart.h"

enum { COPY_BYTES = 16 << 20, COPY_ENTRIES = 65536, PATH_SIZE = 4096 };

struct copy {
    const struct environment *from;
    struct environment to;
    MDB_txn *source;
    MDB_txn *txn;
    uint64_t entries; /* in this transaction */
    uint64_t bytes;
    struct meta meta;
    struct tally tally;
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

/* The way that verify has gone: in a torn tree a search may lead elsewhere than the walk. */
static int copy_records(struct copy *c, MDB_cursor *cursor)
{
    MDB_val key;
    MDB_val record;
    uint64_t next = c->meta.oldest;
    int rc = 0;
    while (next <= c->meta.head && (rc = mdb_cursor_get(cursor, &key, &record, MDB_NEXT)) == 0) {
        uint64_t seq = key.mv_size == SEQ_KEY_SIZE ? seq_key_load(key.mv_data) : 0;
        if (seq < next && next == c->meta.oldest)
            continue; /* waits for its removal */
        if (seq != next)
            return MDB_CORRUPTED;
        next++;
        rc = mdb_put(c->txn, c->to.journal, &key, &record, MDB_APPEND);
        if (rc == 0)
            rc = pace(c, record.mv_size);
        if (rc != 0)
            return rc;
        c->meta.bytes += record.mv_size;
    }
    return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
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
        rc = row_put(&c->to, c->txn, stored_bytes(key), &row, &c->tally);
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

/* Pages of nonsense may lead anywhere; a row's own sum tells what is one. */
static int copy_kept(struct copy *c, MDB_cursor *cursor, MDB_dbi to,
                     int (*decode)(struct bytes key, struct bytes stored, struct bytes *ret_row))
{
    MDB_val key;
    MDB_val stored;
    while (mdb_cursor_get(cursor, &key, &stored, MDB_NEXT) == 0) {
        struct bytes row;
        if (decode(stored_bytes(key), stored_bytes(stored), &row) != ERR_OK)
            continue;
        int rc = kept_put(c->txn, to, stored_bytes(key), row);
        if (rc == 0)
            rc = pace(c, stored.mv_size);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* What can be read of them: they are of the old epoch, and whoever opens one is told so. */
static int copy_cursors(struct copy *c, MDB_cursor *cursor)
{
    return copy_kept(c, cursor, c->to.cursors, cursor_decode);
}

/* Likewise: one knows the change of its key that it belongs to, and means nothing to another. */
static int copy_lives(struct copy *c, MDB_cursor *cursor)
{
    return copy_kept(c, cursor, c->to.lives, life_decode);
}

/* Not the sessions: they may know outcomes of records that are lost. A client is told that its
 * session is unknown. */
static int copy_all(struct copy *c)
{
    int rc = mdb_txn_begin(c->from->lmdb, NULL, MDB_RDONLY, &c->source);
    if (rc == 0)
        rc = mdb_txn_begin(c->to.lmdb, NULL, 0, &c->txn);
    if (rc == 0 && c->meta.head > 0)
        rc = with_cursor(c, c->from->journal, copy_records);
    if (rc == 0)
        rc = with_cursor(c, c->from->state, copy_rows);
    if (rc == 0 && c->from->has_cursors)
        rc = with_cursor(c, c->from->cursors, copy_cursors);
    if (rc == 0 && c->from->has_lives)
        rc = with_cursor(c, c->from->lives, copy_lives);
    if (rc == 0)
        rc = environment_meta_put(&c->to, c->txn, &c->meta);
    if (rc == 0)
        rc = tally_put(&c->to, c->txn, &c->tally);
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

/* ---- in a process of its own ---- */

struct rebuild {
    const char *directory;
    const char *path; /* of the new file */
    uint64_t map_size;
    uint64_t epoch;
};

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
            "its records are whole up to %llu, its state goes up to %llu and has "
            "%llu faults",
            (unsigned long long)end,
            (unsigned long long)(f.row_newest > m->applied ? f.row_newest : m->applied),
            (unsigned long long)f.state_problems);
    *ret_end = end;
    return ERR_OK;
}

static int write_new(struct copy *c, const struct rebuild *r)
{
    int err = environment_open(&c->to, r->path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, r->map_size,
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

static int check_and_copy(void *context, int channel, struct failure *failure)
{
    const struct rebuild *r = context;
    struct environment e = {0};
    struct meta m;
    uint64_t end = 0;
    (void)channel;
    int err = environment_open(&e, r->directory, MDB_RDONLY | MDB_NOLOCK, r->map_size, failure);
    if (err != ERR_OK)
        return err;
    apart_guard(e.lmdb);
    err = environment_load(&e, r->directory, &m, failure);
    if (err == ERR_OK)
        err = find_end(&e, r->directory, &m, &end, failure);
    if (err == ERR_OK) {
        struct copy c = {.from = &e, .meta = m, .directory = r->directory, .failure = failure};
        c.meta.epoch = r->epoch != m.epoch ? r->epoch : r->epoch ^ 1;
        c.meta.trimmed = m.oldest;
        c.meta.head = end;
        c.meta.bytes = 0;
        c.meta.clean = false;
        err = write_new(&c, r);
    }
    environment_close(&e);
    return err;
}

/* ---- in the server's ---- */

/* Whatever damage looks like to LMDB, the reader of the log has to know what to do. What has other
 * causes (a full disk, no permission) is said as it is. */
static int advise(int err, const char *why, const char *directory, struct failure *failure)
{
    switch (err) {
    case ERR_NO_SPACE:
    case ERR_ACCESS:
    case ERR_NO_MEMORY:
    case ERR_LIMIT:
    case ERR_IO:
        return failure_set(failure, err, "%s", why);
    default:
        return failure_set(failure, ERR_CORRUPT,
                           "%.200s was damaged by a power loss in process mode (%.150s): restore a "
                           "backup, or move the folder away to begin a new journal; vigil verify "
                           "shows what it still holds",
                           directory, why);
    }
}

int journal_rebuild(const char *directory, uint64_t map_size, uint64_t epoch,
                    struct failure *failure)
{
    char path[PATH_SIZE];
    if (epoch == 0)
        return failure_set(failure, ERR_INVALID, "a journal that lost its end needs a new epoch");
    if (!directory_path(directory, DATA_NAME_NEW, path, sizeof path))
        return environment_failure(failure, ENAMETOOLONG, "rebuild the journal in", directory);
    struct rebuild r = {directory, path, map_size, epoch};
    struct apart a = {
        .work = check_and_copy, .context = &r, .bytes = directory_data_size(directory)};
    struct failure end = {0};
    bool died = false;
    (void)unlink(path); /* of one that was cut short */
    int err = apart_run(&a, &died, &end);
    if (err == ERR_OK)
        return directory_replace_data(directory, DATA_NAME_NEW, failure);
    (void)unlink(path);
    return advise(err, end.text, directory, failure);
}
