/*
 * redo.c - see redo.h: the redo log of a running journal.
 *
 *   entries go to segment, whose base is valid --switch--> to the other one, whose base is pending
 *        ^                                                     |
 *        +--------------------- advance -----------------------+
 *
 * A switch takes what LMDB's last commit is, and pins it; it costs a few system calls. The sync of
 * data.mdb that makes a base of it is another thread's (redo_advance), or this one's where that is
 * far behind.
 */
#define _GNU_SOURCE

#include "journal/redo.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "journal/environment.h"

enum {
    STEP = 1 << 20,         /* by which a segment grows */
    STEP_SMALL = 64 << 10,  /* on a small disk, and at first */
    SWITCH_BYTES = 8 << 20, /* of entries after which a base is due */
    /* Or after as many commits as these are in it: each leaves some pages that the pin holds back. */
    COMMIT_SHARE = 8192,
    BEHIND = 4,           /* times that, and the writer waits for the base */
    DISK_SHARE = 64,      /* due after this share of a small disk */
    ENTRY_KEEP = 4 << 20, /* stays allocated from batch to batch */
};
static const size_t entry_size_max = (size_t)1 << 30;

int redo_init(struct redo *r)
{
    r->files = (struct redo_files){.fd = {-1, -1}};
    wire_buffer_init(&r->entry, entry_size_max);
    return pthread_mutex_init(&r->lock, NULL);
}

void redo_free(struct redo *r)
{
    redo_files_close(&r->files);
    wire_buffer_free(&r->entry);
    pthread_mutex_destroy(&r->lock);
}

static int redo_failure(const struct journal *j, int rc, const char *what, struct failure *failure)
{
    return environment_failure(failure, rc, what, j->directory);
}

/* What LMDB has committed last, and a transaction that keeps its pages. 0 or LMDB's code. */
static int capture(struct journal *j, struct redo_base *ret_base, MDB_txn **ret_pin)
{
    struct redo *r = &j->redo;
    struct redo_base base = {
        .log = r->log, .generation = r->generation, .number = r->number, .head = j->meta.head};
    MDB_txn *pin = NULL;
    journal_boot_id(base.boot_id);
    memcpy(base.sizes, r->files.synced, sizeof base.sizes);
    int rc = mdb_txn_begin(j->environment.lmdb, NULL, MDB_RDONLY, &pin);
    if (rc == 0)
        rc = redo_metas_read(environment_fd(&j->environment), j->environment.page_size, &base);
    if (rc != 0) {
        mdb_txn_abort(pin);
        return rc;
    }
    *ret_base = base;
    *ret_pin = pin;
    return 0;
}

/* Syncs data.mdb and writes the base into segment. 0 or an errno. */
static int establish(struct journal *j, unsigned segment, const struct redo_base *base)
{
    int rc = environment_sync(&j->environment);
    return rc ? rc : redo_base_write(j->redo.files.fd[segment], base);
}

/* The first base of a log, or of what is left of one after the environment was opened again. */
static int begin_log(struct journal *j, unsigned segment, bool last, struct failure *failure)
{
    struct redo *r = &j->redo;
    struct redo_base base;
    int rc = capture(j, &base, &r->pin);
    base.last = last;
    if (rc == 0)
        rc = establish(j, segment, &base);
    if (rc != 0) {
        mdb_txn_abort(r->pin);
        r->pin = NULL;
        return redo_failure(j, rc, "begin the redo log of", failure);
    }
    r->segment = segment;
    r->base_segment = segment;
    r->at = REDO_ENTRIES_AT;
    r->written = 0;
    r->commits = 0;
    atomic_store(&r->pending, false);
    return ERR_OK;
}

int redo_start(struct journal *j, uint64_t switch_bytes, struct failure *failure)
{
    struct redo *r = &j->redo;
    struct statvfs disk;
    switch_bytes = switch_bytes ? switch_bytes : SWITCH_BYTES;
    uint64_t share = switch_bytes;
    if (fstatvfs(environment_fd(&j->environment), &disk) == 0 && disk.f_blocks > 0)
        share = (uint64_t)disk.f_blocks * disk.f_frsize / DISK_SHARE;
    r->switch_bytes = share < switch_bytes ? share : switch_bytes;
    r->step = r->switch_bytes < SWITCH_BYTES ? STEP_SMALL : STEP;
    r->generation = 1;
    r->number = 1;
    if (getrandom(&r->log, sizeof r->log, 0) != sizeof r->log)
        return redo_failure(j, errno, "draw a name for the redo log of", failure);
    int err = redo_files_create(j->directory, STEP_SMALL, &r->files, failure);
    if (err != ERR_OK)
        return err;
    err = begin_log(j, 0, false, failure);
    if (err != ERR_OK) {
        struct failure unused;
        redo_files_close(&r->files);
        (void)redo_files_remove(j->directory, 0, &unused);
    }
    r->active = err == ERR_OK;
    r->too_small = false;
    return err;
}

void redo_detach(struct journal *j)
{
    struct redo *r = &j->redo;
    mdb_txn_abort(r->pin);
    mdb_txn_abort(r->next_pin);
    r->pin = NULL;
    r->next_pin = NULL;
}

/* Two generations on: none of the entries that there are belong to it. */
static int begin_anew(struct journal *j, bool last, struct failure *failure)
{
    struct redo *r = &j->redo;
    r->generation += 2;
    return begin_log(j, 1 - r->base_segment, last, failure);
}

int redo_restart(struct journal *j, struct failure *failure)
{
    return begin_anew(j, false, failure);
}

int redo_end(struct journal *j, struct failure *failure)
{
    struct redo *r = &j->redo;
    if (!r->active)
        return ERR_OK;
    redo_detach(j);
    int err = begin_anew(j, true, failure);
    redo_detach(j);
    if (err == ERR_OK)
        err = redo_files_remove(j->directory, r->base_segment, failure);
    redo_files_close(&r->files);
    r->active = false;
    return err;
}

/* ---- switching segments ---- */

int redo_advance(struct journal *j, struct failure *failure)
{
    struct redo *r = &j->redo;
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    if (atomic_load(&r->pending)) {
        unsigned segment = 1 - r->base_segment;
        rc = establish(j, segment, &r->next);
        if (rc == 0) {
            mdb_txn_abort(r->pin);
            r->pin = r->next_pin;
            r->next_pin = NULL;
            r->base_segment = segment;
            atomic_store(&r->pending, false);
        }
    }
    pthread_mutex_unlock(&r->lock);
    if (rc == 0)
        return ERR_OK;
    atomic_store(&j->sync_failed, true);
    return redo_failure(j, rc, "sync", failure);
}

static int switch_segment(struct journal *j, struct failure *failure)
{
    struct redo *r = &j->redo;
    r->generation++;
    int rc = capture(j, &r->next, &r->next_pin);
    if (rc != 0) {
        r->generation--;
        return redo_failure(j, rc, "continue the redo log of", failure);
    }
    r->segment = 1 - r->segment;
    r->at = REDO_ENTRIES_AT;
    r->commits = 0;
    atomic_store(&r->pending, true);
    return ERR_OK;
}

static uint64_t times_due(const struct redo *r)
{
    uint64_t by_bytes = r->at / r->switch_bytes;
    uint64_t by_commits = r->commits / (r->switch_bytes / COMMIT_SHARE + 1);
    return by_bytes > by_commits ? by_bytes : by_commits;
}

int redo_batch_begin(struct journal *j, struct failure *failure)
{
    struct redo *r = &j->redo;
    wire_buffer_clear(&r->entry);
    if (r->active && atomic_load(&j->sync_failed)) {
        /* The kernel may have dropped what it could not write, and later syncs say nothing of it. The
         * base and the log are whole: a start makes the rest anew. */
        journal_shut(j);
        return failure_set(failure, ERR_IO,
                           "a sync of the data file in %s has failed: start again, so that it is "
                           "made anew from the redo log",
                           j->directory);
    }
    if (!r->active || times_due(r) == 0)
        return ERR_OK;
    if (r->entry.capacity > ENTRY_KEEP)
        wire_buffer_free(&r->entry);
    if (atomic_load(&r->pending) && times_due(r) < BEHIND)
        return ERR_OK;
    int err = redo_advance(j, failure);
    return err ? err : switch_segment(j, failure);
}

/* ---- a batch ---- */

int redo_add(struct journal *j, const struct redo_item *item, struct failure *failure)
{
    if (!j->redo.active)
        return ERR_OK;
    redo_entry_add(&j->redo.entry, item);
    return j->redo.entry.failed ? failure_set(failure, ERR_NO_MEMORY, "out of memory") : ERR_OK;
}

/* Where a disk is full, the other segment may have the room. */
static int make_room(struct journal *j, uint64_t size, struct failure *failure)
{
    struct redo *r = &j->redo;
    if (r->at + size <= r->files.capacity[r->segment])
        return ERR_OK;
    int rc = redo_extend(&r->files, r->segment, r->at + size, r->step);
    if (rc == ENOSPC || rc == EDQUOT || rc == EFBIG) {
        int err = redo_renew(j, failure);
        if (err != ERR_OK)
            return err;
        rc = redo_extend(&r->files, r->segment, r->at + size, STEP_SMALL);
        r->too_small = rc != 0 && j->space.reserve_too;
    }
    return rc ? redo_failure(j, rc, "extend the redo log of", failure) : ERR_OK;
}

int redo_write(struct journal *j, struct failure *failure)
{
    struct redo *r = &j->redo;
    if (!r->active || r->entry.size == 0)
        return ERR_OK;
    uint64_t size = redo_entry_size(r->entry.size - REDO_ENTRY_HEADER_SIZE);
    int err = make_room(j, size, failure);
    if (err != ERR_OK)
        return err;
    redo_entry_finish(&r->entry, r->log, r->generation, r->number);
    int fd = r->files.fd[r->segment];
    r->written = size;
    int rc = redo_pwrite(fd, r->entry.data, r->entry.size, r->at);
    if (rc == 0 && fdatasync(fd) != 0)
        rc = errno;
    if (rc != 0)
        return redo_failure(j, rc, "write the redo log of", failure);
    r->files.synced[r->segment] = r->files.capacity[r->segment];
    return ERR_OK;
}

void redo_committed(struct journal *j)
{
    struct redo *r = &j->redo;
    r->number += r->written > 0;
    r->at += r->written;
    r->written = 0;
    r->commits++;
}

int redo_take_back(struct journal *j, struct failure *failure)
{
    struct redo *r = &j->redo;
    if (!r->active || r->written == 0)
        return ERR_OK;
    pthread_mutex_lock(&r->lock);
    redo_detach(j);
    int err = redo_restart(j, failure);
    pthread_mutex_unlock(&r->lock);
    return err;
}

int redo_renew(struct journal *j, struct failure *failure)
{
    if (!j->redo.active)
        return ERR_OK;
    int err = redo_advance(j, failure);
    if (err == ERR_OK)
        err = switch_segment(j, failure);
    return err ? err : redo_advance(j, failure);
}
