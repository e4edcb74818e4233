/*
 * environment.c - LMDB's environment and the five databases in it, and what its
 * return codes mean to us.
 *
 * MDB_NOTLS: a reader belongs to its handle, not to its thread, so that the
 * writer's view and its batch can be open together, and a failed commit can end
 * the readers of other threads. Readahead stays on (no MDB_NORDAHEAD): replays
 * and verify read in order; the state's random lookups mostly hit the cache.
 */
#define _GNU_SOURCE

#include "journal/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "protocol/record.h"

static const char meta_key[] = "vigil";
enum {
    DATABASES_MAX = 7,
    FILE_MODE = 0600,
    WRITE_BACK_PIECES = 1024, /* at most */
    WRITE_BACK_LEAST = 1 << 18
};

static const uint64_t gib = UINT64_C(1) << 30;

/* LMDB stores keys in memcmp's order: big-endian sorts by number. */
void seq_key_store(uint8_t out[SEQ_KEY_SIZE], uint64_t seq)
{
    for (int i = SEQ_KEY_SIZE - 1; i >= 0; i--, seq >>= 8)
        out[i] = (uint8_t)seq;
}

uint64_t seq_key_load(const uint8_t *key)
{
    uint64_t seq = 0;
    for (int i = 0; i < SEQ_KEY_SIZE; i++)
        seq = (seq << 8) | key[i];
    return seq;
}

int environment_error(int rc)
{
    switch (rc) {
    case 0:
        return ERR_OK;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case MDB_MAP_FULL:
        return ERR_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_ACCESS;
    case ENOMEM:
        return ERR_NO_MEMORY;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_CURSOR_FULL: /* pages that are their own ancestors */
        return ERR_CORRUPT;
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
        return ERR_FOREIGN;
    case MDB_NOTFOUND:
        return ERR_NOT_FOUND;
    case MDB_TXN_FULL:
        return ERR_TOO_LARGE;
    case MDB_READERS_FULL:
        return ERR_LIMIT;
    case MDB_KEYEXIST:
    case MDB_BAD_VALSIZE:
    case MDB_BAD_TXN:
    case MDB_BAD_DBI:
    case EINVAL:
        return ERR_INTERNAL;
    default:
        return ERR_IO;
    }
}

int environment_failure(struct failure *failure, int rc, const char *what, const char *path)
{
    int err = environment_error(rc);
    return failure_set(failure, err, "cannot %s %s: %s%s", what, path, mdb_strerror(rc),
                       err == ERR_CORRUPT ? " (it is damaged: see vigil verify)" : "");
}

static int open_once(MDB_env **ret_env, const char *path, unsigned flags, uint64_t map_size)
{
    MDB_env *env = NULL;
    int rc = mdb_env_create(&env);
    if (rc != 0)
        return rc;
    rc = mdb_env_set_maxdbs(env, DATABASES_MAX);
    if (rc == 0)
        rc = mdb_env_set_mapsize(env, (size_t)map_size);
    if (rc == 0)
        rc = mdb_env_open(env, path, flags | MDB_NOTLS, FILE_MODE);
    if (rc != 0)
        mdb_env_close(env); /* also after a failed open, says LMDB */
    else
        *ret_env = env;
    return rc;
}

int environment_fd(const struct environment *e)
{
    int fd = -1;
    mdb_env_get_fd(e->lmdb, &fd);
    return fd;
}

/* Only the disk's queue is what this is about: errors, and all that counts, are left to the sync. */
static void write_back(const struct environment *e)
{
    struct stat status;
    int fd = environment_fd(e);
    if (fstat(fd, &status) != 0)
        return;
    off_t piece = status.st_size / WRITE_BACK_PIECES;
    piece = piece > WRITE_BACK_LEAST ? piece : WRITE_BACK_LEAST;
    for (off_t at = 0; at < status.st_size; at += piece)
        (void)sync_file_range(fd, at, piece,
                              SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                  SYNC_FILE_RANGE_WAIT_AFTER);
}

int environment_sync(struct environment *e)
{
    write_back(e);
    return mdb_env_sync(e->lmdb, 1);
}

uint64_t environment_file_limit(void)
{
    struct rlimit limit;
    bool is_limited = getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return is_limited ? limit.rlim_cur : UINT64_MAX;
}

/* A page beyond the file's end would be a SIGBUS, not an error. */
static int check_length(const struct environment *e, const char *path, struct failure *failure)
{
    struct stat status;
    if (fstat(environment_fd(e), &status) != 0)
        return environment_failure(failure, errno, "look at", path);
    uint64_t used = environment_used(e);
    if ((uint64_t)status.st_size < used)
        return failure_set(failure, ERR_CORRUPT,
                           "the data file in %s is cut off: %llu bytes of %llu are there", path,
                           (unsigned long long)status.st_size, (unsigned long long)used);
    return ERR_OK;
}

int environment_open(struct environment *e, const char *path, unsigned flags, uint64_t map_size,
                     struct failure *failure)
{
    const uint64_t sizes[] = {map_size, 256 * gib, 64 * gib};
    MDB_env *env = NULL;
    int rc = ENOMEM;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && rc == ENOMEM; i++)
        if (i == 0 || sizes[i] < map_size)
            rc = open_once(&env, path, flags, sizes[i]);
    if (rc != 0)
        return environment_failure(failure, rc, "open the journal in", path);
    struct environment opened = {.lmdb = env};
    MDB_stat stat;
    rc = mdb_env_stat(env, &stat);
    int err = rc ? environment_failure(failure, rc, "open the journal in", path)
                 : check_length(&opened, path, failure);
    if (err != ERR_OK) {
        mdb_env_close(env);
        return err;
    }
    opened.page_size = stat.ms_psize;
    (void)pages_map(env, &opened.map, &opened.map_size);
    *e = opened;
    return ERR_OK;
}

void environment_close(struct environment *e)
{
    if (e->lmdb)
        mdb_env_close(e->lmdb);
    e->lmdb = NULL;
}

uint64_t environment_used(const struct environment *e)
{
    MDB_envinfo info;
    MDB_stat stat;
    mdb_env_info(e->lmdb, &info);
    mdb_env_stat(e->lmdb, &stat);
    return (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
}

int environment_meta_get(const struct environment *e, MDB_txn *txn, const char *directory,
                         struct meta *ret_meta, struct failure *failure)
{
    MDB_val key = {sizeof meta_key - 1, (void *)(uintptr_t)meta_key};
    MDB_val row;
    int rc = mdb_get(txn, e->meta, &key, &row);
    if (rc == MDB_NOTFOUND)
        return failure_set(failure, ERR_FOREIGN, "%s is not a Vigil journal", directory);
    if (rc != 0)
        return environment_failure(failure, rc, "read the meta row of", directory);
    return meta_decode(stored_bytes(row), directory, ret_meta, failure);
}

int environment_meta_put(const struct environment *e, MDB_txn *txn, const struct meta *m)
{
    uint8_t row[META_SIZE];
    meta_encode(m, row);
    MDB_val key = {sizeof meta_key - 1, (void *)(uintptr_t)meta_key};
    MDB_val value = {sizeof row, row};
    return mdb_put(txn, e->meta, &key, &value, 0);
}

static int is_empty(MDB_txn *txn, bool *ret_empty)
{
    MDB_dbi main = 0;
    MDB_stat stat;
    int rc = mdb_dbi_open(txn, NULL, 0, &main);
    if (rc == 0)
        rc = mdb_stat(txn, main, &stat);
    if (rc == 0)
        *ret_empty = stat.ms_entries == 0;
    return rc;
}

static int open_if_there(MDB_txn *txn, const char *name, unsigned flags, MDB_dbi *ret_database,
                         bool *ret_there)
{
    int rc = mdb_dbi_open(txn, name, flags, ret_database);
    *ret_there = rc == 0;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int open_contents(struct environment *e, MDB_txn *txn, unsigned flags)
{
    int rc = mdb_dbi_open(txn, "journal", flags, &e->journal);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "state", flags, &e->state);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "tombstones", flags, &e->tombstones);
    if (rc == 0)
        rc = open_if_there(txn, "sessions", flags, &e->sessions, &e->has_sessions);
    if (rc == 0)
        rc = open_if_there(txn, "cursors", flags, &e->cursors, &e->has_cursors);
    if (rc == 0)
        rc = open_if_there(txn, "lives", flags, &e->lives, &e->has_lives);
    return rc;
}

int environment_add_missing(struct environment *e, const char *directory, struct failure *failure)
{
    MDB_txn *txn = NULL;
    if (e->has_sessions && e->has_cursors && e->has_lives)
        return ERR_OK;
    int rc = mdb_txn_begin(e->lmdb, NULL, 0, &txn);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "sessions", MDB_CREATE, &e->sessions);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "cursors", MDB_CREATE, &e->cursors);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "lives", MDB_CREATE, &e->lives);
    if (rc == 0) {
        rc = mdb_txn_commit(txn);
        txn = NULL;
    }
    mdb_txn_abort(txn);
    if (rc != 0)
        return environment_failure(failure, rc, "add sessions, cursors and lives to", directory);
    e->has_sessions = true;
    e->has_cursors = true;
    e->has_lives = true;
    return ERR_OK;
}

int environment_load(struct environment *e, const char *directory, struct meta *ret_meta,
                     struct failure *failure)
{
    MDB_txn *txn = NULL;
    bool empty = false;
    int err = ERR_OK;
    int rc = mdb_txn_begin(e->lmdb, NULL, MDB_RDONLY, &txn);
    if (rc == 0)
        rc = is_empty(txn, &empty);
    if (rc != 0) {
        err = environment_failure(failure, rc, "read", directory);
        goto out;
    }
    if (empty) {
        err = failure_set(failure, ERR_NOT_FOUND, "%s holds no journal yet", directory);
        goto out;
    }
    rc = mdb_dbi_open(txn, "meta", 0, &e->meta);
    if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE) {
        err = failure_set(failure, ERR_FOREIGN, "%s is not a Vigil journal", directory);
        goto out;
    }
    if (rc != 0) {
        err = environment_failure(failure, rc, "read", directory);
        goto out;
    }
    err = environment_meta_get(e, txn, directory, ret_meta, failure);
    if (err != ERR_OK)
        goto out;
    rc = open_contents(e, txn, 0);
    if (rc == MDB_NOTFOUND)
        rc = MDB_CORRUPTED;
    if (rc == 0) {
        /* Handles opened in a transaction stay only if it is committed. */
        rc = mdb_txn_commit(txn);
        txn = NULL;
    }
    if (rc != 0)
        err = environment_failure(failure, rc, "read", directory);
out:
    mdb_txn_abort(txn);
    return err;
}

int environment_create(struct environment *e, const char *directory, const struct meta *m,
                       struct failure *failure)
{
    const struct tally no_rows = {0};
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(e->lmdb, NULL, 0, &txn);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &e->meta);
    if (rc == 0)
        rc = open_contents(e, txn, MDB_CREATE);
    if (rc == 0)
        rc = environment_meta_put(e, txn, m);
    if (rc == 0)
        rc = tally_put(e, txn, &no_rows);
    if (rc == 0) {
        rc = mdb_txn_commit(txn);
        txn = NULL;
    }
    mdb_txn_abort(txn);
    if (rc != 0)
        return environment_failure(failure, rc, "make a journal in", directory);
    return ERR_OK;
}

int environment_last_seq(const struct environment *e, MDB_txn *txn, uint64_t *ret_seq)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val record;
    uint64_t seq = 0;
    int rc = mdb_cursor_open(txn, e->journal, &cursor);
    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(cursor, &key, &record, MDB_LAST);
    if (rc == 0 && key.mv_size != SEQ_KEY_SIZE)
        rc = MDB_CORRUPTED;
    else if (rc == 0)
        seq = seq_key_load(key.mv_data);
    else if (rc == MDB_NOTFOUND)
        rc = 0;
    mdb_cursor_close(cursor);
    if (rc == 0)
        *ret_seq = seq;
    return rc;
}

static int position_failure(struct failure *failure, uint64_t seq)
{
    return failure_set(failure, ERR_CORRUPT, "record %llu is not where the journal should have it",
                       (unsigned long long)seq);
}

/* Adds what follows m->head; the cursor stands at m->head, or at the first record. */
static int count_on(MDB_cursor *cursor, struct meta *m, struct failure *failure)
{
    MDB_val key;
    MDB_val record;
    int rc = mdb_cursor_get(cursor, &key, &record, m->head ? MDB_NEXT : MDB_GET_CURRENT);
    for (; rc == 0; rc = mdb_cursor_get(cursor, &key, &record, MDB_NEXT)) {
        if (key.mv_size != SEQ_KEY_SIZE || seq_key_load(key.mv_data) != m->head + 1)
            return position_failure(failure, m->head + 1);
        m->head++;
        m->bytes += record.mv_size;
    }
    return rc == MDB_NOTFOUND ? ERR_OK
                              : environment_failure(failure, rc, "read", "the newest records");
}

int environment_position(const struct environment *e, MDB_txn *txn, struct meta *m,
                         struct failure *failure)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val record;
    int err = ERR_OK;
    int rc = mdb_cursor_open(txn, e->journal, &cursor);
    if (rc != 0)
        return environment_failure(failure, rc, "read", "the journal");
    rc = mdb_cursor_get(cursor, &key, &record, MDB_FIRST);
    if (rc == MDB_NOTFOUND) {
        err = m->head == 0 ? ERR_OK : position_failure(failure, m->head);
        goto out;
    }
    if (rc == 0 && (key.mv_size != SEQ_KEY_SIZE || seq_key_load(key.mv_data) != m->trimmed)) {
        err = position_failure(failure, m->trimmed);
        goto out;
    }
    if (rc == 0 && m->head != 0) {
        uint8_t head[SEQ_KEY_SIZE];
        seq_key_store(head, m->head);
        key = (MDB_val){sizeof head, head};
        rc = mdb_cursor_get(cursor, &key, &record, MDB_SET);
        if (rc == MDB_NOTFOUND) {
            err = position_failure(failure, m->head);
            goto out;
        }
    }
    if (rc != 0)
        err = environment_failure(failure, rc, "read", "the journal");
    else
        err = count_on(cursor, m, failure);
out:
    mdb_cursor_close(cursor);
    return err;
}
