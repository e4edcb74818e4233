/*
 * open.c - a journal's life: opened, marked as running, marked as cleanly
 * stopped; opened again in place after a failed commit.
 *
 *   closed --open--> running (clean = false, synced) --close--> closed (clean = true, synced)
 *                    running --commit fails--> reopen --> running
 *                                                     --> shut: every call gives ERR_IO
 *
 * What a start finds decides what it does (docs/journal-format.md, "Starting"):
 * only after a run in process mode that ended neither cleanly nor within this
 * boot of the machine may LMDB's file be damaged, and records be lost. The mark
 * (mark.c) tells, before LMDB opens the file.
 */
#define _GNU_SOURCE

#include "journal/environment.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { REDO_AGAIN_BATCHES = 256 }; /* after which a redo log is tried again */

static int open_environment(struct journal *j, struct failure *failure)
{
    return environment_open(&j->environment, j->directory, 0, j->map_size, failure);
}

static int read_position(struct journal *j, struct meta *m, struct failure *failure)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(j->environment.lmdb, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return environment_failure(failure, rc, "read", j->directory);
    int err = environment_position(&j->environment, txn, m, failure);
    mdb_txn_abort(txn);
    return err;
}

/* Aside, and synced: what stands at the data file's place is never half made. */
static int create(const struct journal *j, uint64_t epoch, struct failure *failure)
{
    char path[4096];
    struct environment e = {0};
    if (epoch == 0)
        return failure_set(failure, ERR_INVALID, "a new journal needs an epoch");
    if (!directory_path(j->directory, DATA_NAME_NEW, path, sizeof path))
        return environment_failure(failure, ENAMETOOLONG, "make a journal in", j->directory);
    struct meta m = {.epoch = epoch,
                     .oldest = 1,
                     .trimmed = 1,
                     .clean = true,
                     .durability = (uint8_t)j->durability};
    (void)unlink(path); /* of a start that was cut short */
    int err = environment_open(&e, path, MDB_NOSUBDIR | MDB_NOLOCK, j->map_size, failure);
    if (err == ERR_OK)
        err = environment_create(&e, j->directory, &m, failure);
    environment_close(&e);
    if (err == ERR_OK)
        err = directory_replace_data(j->directory, DATA_NAME_NEW, failure);
    if (err != ERR_OK)
        (void)unlink(path);
    return err;
}

static int rebuild(struct journal *j, uint64_t epoch, struct failure *failure)
{
    int err = journal_rebuild(j->directory, j->map_size, epoch, failure);
    if (err == ERR_OK)
        j->new_epoch = true;
    return err;
}

/* Sees to it that LMDB finds a data file that it can survive. */
static int prepare(struct journal *j, bool is_new, uint64_t epoch, struct failure *failure)
{
    enum mark mark = MARK_NONE;
    if (is_new)
        return create(j, epoch, failure);
    int err = redo_recover(j->directory, j->map_size, failure);
    if (err == ERR_OK)
        err = mark_read(j->directory, &mark, failure);
    if (err == ERR_OK && mark == MARK_OTHER_BOOT)
        err = rebuild(j, epoch, failure);
    /* A start that was killed may have left names that are not on the disk yet. */
    return err ? err : directory_sync(j->directory, failure);
}

/* LMDB promises nothing after a power loss without syncs. Such a run has left its mark, or its redo
 * log; but files can be copied without them. */
static bool may_be_damaged(const struct meta *m)
{
    char boot_id[BOOT_ID_SIZE];
    journal_boot_id(boot_id);
    return !m->clean && m->durability != JOURNAL_POWER && !boot_id_equal(boot_id, m->boot_id);
}

static int open_and_load(struct journal *j, struct meta *ret_meta, struct failure *failure)
{
    int dead = 0;
    int err = open_environment(j, failure);
    if (err != ERR_OK)
        return err;
    mdb_reader_check(j->environment.lmdb, &dead);
    return environment_load(&j->environment, j->directory, ret_meta, failure);
}

/* The rows' tally; a journal from before there was one gets it. */
static int load_tally(struct journal *j, struct failure *failure)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(j->environment.lmdb, NULL, 0, &txn);
    if (rc != 0)
        return environment_failure(failure, rc, "read the state in", j->directory);
    int err = tally_get(&j->environment, txn, &j->tally);
    if (err == ERR_NOT_FOUND) {
        err = ERR_OK;
        rc = tally_count(&j->environment, txn, &j->tally);
        if (rc == 0)
            rc = tally_put(&j->environment, txn, &j->tally);
        if (rc == 0) {
            rc = mdb_txn_commit(txn);
            txn = NULL;
        }
    }
    mdb_txn_abort(txn);
    if (rc != 0)
        return environment_failure(failure, rc, "count the rows in", j->directory);
    return err ? failure_set(failure, err, "the tally of the rows in %s is damaged", j->directory)
               : ERR_OK;
}

static int check_start(struct journal *j, const struct meta *m, struct failure *failure)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(j->environment.lmdb, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return environment_failure(failure, rc, "read", j->directory);
    int err = environment_check_start(&j->environment, txn, m, j->directory, failure);
    mdb_txn_abort(txn);
    return err;
}

static int load(struct journal *j, uint64_t epoch, struct failure *failure)
{
    struct meta m;
    int err = open_and_load(j, &m, failure);
    bool is_empty = err == ERR_NOT_FOUND;
    if (is_empty || (err == ERR_OK && !j->new_epoch && may_be_damaged(&m))) {
        environment_close(&j->environment);
        err = is_empty ? create(j, epoch, failure) : rebuild(j, epoch, failure);
        if (err == ERR_OK)
            err = open_and_load(j, &m, failure);
    }
    if (err == ERR_OK)
        err = check_start(j, &m, failure);
    if (err == ERR_OK)
        err = load_tally(j, failure);
    if (err == ERR_OK)
        err = environment_add_missing(&j->environment, j->directory, failure);
    if (err == ERR_OK)
        err = read_position(j, &m, failure);
    if (err != ERR_OK)
        return err;
    j->recovered = !m.clean;
    j->meta = m;
    return ERR_OK;
}

static uint8_t durability_now(const struct journal *j)
{
    return (uint8_t)(j->redo.active ? META_REDO : j->durability);
}

/* Writes the meta row in a synced transaction of its own. */
static int store_mark(struct journal *j, bool clean, uint8_t durability, struct failure *failure)
{
    struct meta m = j->meta;
    m.clean = clean;
    m.durability = durability;
    journal_boot_id(m.boot_id);
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(j->environment.lmdb, NULL, 0, &txn);
    if (rc == 0)
        rc = environment_meta_put(&j->environment, txn, &m);
    if (rc == 0) {
        rc = mdb_txn_commit(txn);
        txn = NULL;
    }
    mdb_txn_abort(txn);
    if (rc != 0)
        return environment_failure(failure, rc, "mark the start in", j->directory);
    j->meta = m;
    j->meta_head = m.head;
    return ERR_OK;
}

static int set_sync(struct journal *j, bool each_commit, struct failure *failure)
{
    int rc = mdb_env_set_flags(j->environment.lmdb, MDB_NOSYNC, each_commit ? 0 : 1);
    return rc ? environment_failure(failure, rc, "set the durability of", j->directory) : ERR_OK;
}

/* Commits are not synced by LMDB: somebody else sees to that. */
static bool syncs_later(const struct journal *j)
{
    return j->durability == JOURNAL_PROCESS || j->redo.active;
}

/* On a disk too full for a log each commit is synced by LMDB. */
static int begin_redo(struct journal *j, uint64_t redo_bytes, struct failure *failure)
{
    int err = redo_start(j, redo_bytes, failure);
    j->redo.is_missed = err == ERR_NO_SPACE;
    j->redo.again_at = j->batches + REDO_AGAIN_BATCHES;
    return err == ERR_NO_SPACE ? ERR_OK : err;
}

/* The synced commit of store_mark covers what a killed run has left unsynced. */
static int begin_running(struct journal *j, uint64_t redo_bytes, struct failure *failure)
{
    enum mark mark = MARK_NONE;
    int err = mark_read(j->directory, &mark, failure);
    if (err == ERR_OK && j->durability == JOURNAL_PROCESS && mark != MARK_THIS_BOOT)
        err = mark_write(j->directory, failure);
    if (err == ERR_OK && j->durability == JOURNAL_POWER)
        err = begin_redo(j, redo_bytes, failure);
    if (err == ERR_OK)
        err = store_mark(j, false, durability_now(j), failure);
    if (err == ERR_OK && j->durability == JOURNAL_POWER)
        err = mark_remove(j->directory, failure);
    if (err == ERR_OK && syncs_later(j))
        err = set_sync(j, false, failure);
    return err;
}

static int init_locks(struct journal *j)
{
    pthread_rwlockattr_t attributes;
    if (pthread_rwlockattr_init(&attributes) != 0)
        return ERR_NO_MEMORY;
    /* A reopen must not wait for ever behind readers that take turns. */
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    int rc = pthread_rwlock_init(&j->gate, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    if (rc != 0)
        return ERR_NO_MEMORY;
    if (pthread_mutex_init(&j->readers_lock, NULL) != 0) {
        pthread_rwlock_destroy(&j->gate);
        return ERR_NO_MEMORY;
    }
    if (redo_init(&j->redo) != 0) {
        pthread_mutex_destroy(&j->readers_lock);
        pthread_rwlock_destroy(&j->gate);
        return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

/* NULL: out of memory. */
static struct journal *allocate(const struct journal_options *options)
{
    struct journal *j = calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->lock_fd = -1;
    j->durability = options->durability ? options->durability : JOURNAL_POWER;
    j->map_size = options->map_size_bytes ? options->map_size_bytes : MAP_SIZE_DEFAULT;
    j->directory = strdup(options->directory);
    if (!j->directory || init_locks(j) != ERR_OK) {
        free(j->directory);
        free(j);
        return NULL;
    }
    return j;
}

static void release(struct journal *j)
{
    redo_detach(j);
    environment_close(&j->environment);
    redo_free(&j->redo);
    directory_unlock(j->lock_fd);
    pthread_rwlock_destroy(&j->gate);
    pthread_mutex_destroy(&j->readers_lock);
    free(j->directory);
    free(j);
}

/* What an open that failed has put into a directory that was empty. */
static void remove_beginnings(const char *directory)
{
    static const char *const names[] = {DATA_NAME, "lock.mdb", "redo.0", "redo.1"};
    char path[4096];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (directory_path(directory, names[i], path, sizeof path))
            (void)unlink(path);
}

static int start(struct journal *j, const struct journal_options *options, struct failure *failure)
{
    bool is_new = false;
    int err = directory_prepare(j->directory, &is_new, failure);
    if (err == ERR_OK)
        err = directory_lock(j->directory, false, &j->lock_fd, failure);
    if (err != ERR_OK)
        return err;
    err = prepare(j, is_new, options->epoch, failure);
    if (err == ERR_OK)
        err = load(j, options->epoch, failure);
    if (err == ERR_OK)
        err = begin_running(j, options->redo_bytes, failure);
    if (err == ERR_OK)
        space_open(j, options);
    if (err != ERR_OK && is_new) {
        redo_detach(j);
        environment_close(&j->environment);
        remove_beginnings(j->directory);
    }
    return err;
}

int journal_open(const struct journal_options *options, struct journal **ret_journal,
                 struct failure *failure)
{
    if (!options->directory || !options->directory[0])
        return failure_set(failure, ERR_INVALID, "no journal directory is given");
    if (options->durability != 0 && options->durability != JOURNAL_POWER &&
        options->durability != JOURNAL_PROCESS)
        return failure_set(failure, ERR_INVALID, "unknown durability %d", (int)options->durability);
    struct journal *j = allocate(options);
    if (!j)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    int err = start(j, options, failure);
    if (err != ERR_OK) {
        release(j);
        return err;
    }
    *ret_journal = j;
    return ERR_OK;
}

static int sync_data(struct journal *j, struct failure *failure)
{
    int rc = j->environment.lmdb ? environment_sync(&j->environment) : EIO;
    if (rc == 0)
        return ERR_OK;
    atomic_store(&j->sync_failed, true);
    return environment_failure(failure, rc, "sync the journal in", j->directory);
}

/* The mark goes to the disk after all that it vouches for: LMDB syncs the file before it writes the
 * page that makes a commit valid. */
static int mark_clean(struct journal *j, struct failure *failure)
{
    int err = set_sync(j, true, failure);
    if (err == ERR_OK)
        err = sync_data(j, failure);
    /* What the kernel could not write it may have dropped, and then later syncs say nothing of it. */
    if (err == ERR_OK && atomic_load(&j->sync_failed))
        err = failure_set(failure, ERR_IO, "an earlier sync of the journal in %s failed",
                          j->directory);
    if (err == ERR_OK)
        err = store_mark(j, true, durability_now(j), failure);
    if (err == ERR_OK && j->durability == JOURNAL_PROCESS)
        err = mark_remove(j->directory, failure);
    return err ? err : redo_end(j, failure);
}

int journal_stop(struct journal *j, struct failure *failure)
{
    int err = ERR_OK;
    if (!j)
        return ERR_OK;
    journal_batch_abort(j);
    view_abort(j);
    for (struct journal_reader *r = j->readers; r; r = reader_following(r))
        reader_detach(r);
    if (j->environment.lmdb)
        err = mark_clean(j, failure);
    release(j);
    return err;
}

void journal_close(struct journal *j)
{
    struct failure failure;
    (void)journal_stop(j, &failure);
}

void journal_status(const struct journal *j, struct journal_status *ret_status)
{
    uint64_t used = j->environment.lmdb ? environment_used(&j->environment) : 0;
    *ret_status = (struct journal_status){
        .epoch = j->meta.epoch,
        .head = j->meta.head,
        .oldest = j->meta.oldest,
        .applied = j->meta.applied,
        .records_bytes = j->meta.bytes,
        .file_bytes = used,
        .allocated_bytes = j->space.allocated > used ? j->space.allocated : used,
        .recovered = j->recovered,
        .new_epoch = j->new_epoch,
    };
}

/* Every transaction ends, with the gate held for writing. */
static void detach_all(struct journal *j)
{
    view_abort(j);
    j->view_open = false;
    for (struct journal_reader *r = j->readers; r; r = reader_following(r))
        reader_detach(r);
    redo_detach(j);
}

bool journal_sync_due(const struct journal *j)
{
    return atomic_load(&j->redo.pending);
}

int journal_sync(struct journal *j, struct failure *failure)
{
    pthread_rwlock_rdlock(&j->gate);
    int err = j->environment.lmdb && j->durability == JOURNAL_POWER ? redo_advance(j, failure)
                                                                    : sync_data(j, failure);
    pthread_rwlock_unlock(&j->gate);
    return err;
}

void journal_shut(struct journal *j)
{
    pthread_rwlock_wrlock(&j->gate);
    pthread_mutex_lock(&j->readers_lock);
    detach_all(j);
    environment_close(&j->environment);
    pthread_mutex_unlock(&j->readers_lock);
    pthread_rwlock_unlock(&j->gate);
}

/* With the gate held for writing. */
static int reopen_environment(struct journal *j, struct failure *failure)
{
    detach_all(j);
    environment_close(&j->environment);

    struct meta m = {0};
    int err = open_environment(j, failure);
    if (err == ERR_OK)
        err = environment_load(&j->environment, j->directory, &m, failure);
    uint64_t stored_head = err == ERR_OK ? m.head : 0;
    if (err == ERR_OK)
        err = read_position(j, &m, failure);
    if (err == ERR_OK && (m.head != j->meta.head || m.epoch != j->meta.epoch))
        err =
            failure_set(failure, ERR_IO, "the head of the journal in %s is %llu, not %llu",
                        j->directory, (unsigned long long)m.head, (unsigned long long)j->meta.head);
    if (err == ERR_OK && j->redo.active)
        err = redo_restart(j, failure);
    if (err == ERR_OK && syncs_later(j))
        err = set_sync(j, false, failure);
    if (err != ERR_OK) {
        redo_detach(j);
        environment_close(&j->environment);
        return err;
    }
    j->meta_head = stored_head;
    j->space.free_pages = 0;
    memset(j->space.free_runs, 0, sizeof j->space.free_runs);
    return ERR_OK;
}

int journal_reopen(struct journal *j, struct failure *failure)
{
    pthread_rwlock_wrlock(&j->gate);
    pthread_mutex_lock(&j->readers_lock);
    int err = reopen_environment(j, failure);
    pthread_mutex_unlock(&j->readers_lock);
    pthread_rwlock_unlock(&j->gate);
    return err;
}

/* ---- with and without a redo log ---- */

static int shut_by(struct journal *j, struct failure *failure)
{
    struct failure reason = failure ? *failure : (struct failure){0};
    journal_shut(j);
    return failure_set(failure, ERR_IO, "%s", reason.text);
}

/* Without a log data.mdb counts only if it says that all of it is synced: so it says that first. */
static int leave_redo(struct journal *j, struct failure *failure)
{
    struct redo *r = &j->redo;
    pthread_mutex_lock(&r->lock);
    int err = set_sync(j, true, failure);
    if (err == ERR_OK)
        err = store_mark(j, false, JOURNAL_POWER, failure);
    bool is_marked = err == ERR_OK;
    if (is_marked)
        err = redo_end(j, failure);
    pthread_mutex_unlock(&r->lock);
    if (err == ERR_OK) {
        r->is_missed = true;
        r->again_at = j->batches + REDO_AGAIN_BATCHES;
        return ERR_OK;
    }
    /* A log that may still be there knows nothing of what would follow. */
    if (is_marked || journal_reopen(j, NULL) != ERR_OK)
        return shut_by(j, failure);
    return err;
}

/* Where that fails, it goes on without one. */
static int miss_redo_no_longer(struct journal *j, struct failure *failure)
{
    int err = begin_redo(j, j->redo.switch_bytes, failure);
    if (err != ERR_OK && redo_files_remove(j->directory, 0, failure) != ERR_OK)
        return shut_by(j, failure);
    j->redo.is_missed = !j->redo.active;
    if (!j->redo.active)
        return ERR_OK;
    err = store_mark(j, false, META_REDO, failure);
    if (err != ERR_OK)
        return journal_reopen(j, NULL) == ERR_OK ? err : shut_by(j, failure);
    return set_sync(j, false, failure);
}

int journal_choose_redo(struct journal *j, uint64_t bytes, struct failure *failure)
{
    struct redo *r = &j->redo;
    bool leaves = r->active && r->too_small && bytes == 0;
    bool begins = r->is_missed && bytes > 0 && j->batches >= r->again_at;
    if (!leaves && !begins)
        return ERR_OK;
    int err = space_begin(j, bytes, failure);
    if (err != ERR_OK)
        return err;
    err = leaves ? leave_redo(j, failure) : miss_redo_no_longer(j, failure);
    space_end(j, err == ERR_OK);
    return err;
}
