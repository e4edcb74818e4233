/*
 * space.c - room in the data file, promised by the disk before it is needed.
 *
 * LMDB writes a batch's pages at its commit, where a full disk shows as a write
 * cut short (EIO). So the file is extended by fallocate ahead of what is in use,
 * and a batch begins only where an upper bound of its pages fits.
 *
 *   |---- in use ----|---- granted to the batch ----|-- reserve --|
 *   0              used                                      allocated
 *
 * 1. A batch never dirties more pages than it was charged for, and is never
 *    charged more than it was granted.
 * 2. Only a batch of 0 bytes (compaction, and the checkpoint that it waits for)
 *    is granted the reserve.
 * 3. Where the disk is full, pages that LMDB has freed count too. They are
 *    counted only then; afterwards the count is kept as a lower bound.
 */
#define _GNU_SOURCE

#include "journal/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum {
    FIXED_PAGES = 64,   /* paths to the leaves of all trees, the free list's own pages */
    SHARE_OF_DISK = 16, /* step and reserve take at most 1/16 of a small disk each */
    PAGES_PER_ROW = 3,  /* its leaf, the branch above, a split */
    NODE_HEADER = 10,   /* LMDB's, with the page's pointer to it */
    OVERFLOW_HEADER = 16,
    AGING_COMMITS = 2, /* commits after which freed pages can be taken */
};
static const uint64_t default_step = UINT64_C(64) << 20;
static const uint64_t default_reserve = UINT64_C(16) << 20;
static const uint64_t smallest_share = UINT64_C(256) << 10;

static uint64_t round_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static uint64_t less(uint64_t n, uint64_t by)
{
    return n > by ? n - by : 0;
}

/* The size that the data file may not pass. */
static uint64_t file_limit(const struct journal *j)
{
    MDB_envinfo info;
    mdb_env_info(j->environment.lmdb, &info);
    uint64_t limit = environment_file_limit();
    return limit < info.me_mapsize ? limit : info.me_mapsize;
}

/* Asks the disk to back the file up to end. 0 or an errno. */
static int extend(struct journal *j, uint64_t end)
{
    struct space *s = &j->space;
    if (end <= s->allocated)
        return 0;
    if (end > file_limit(j))
        return EFBIG; /* fallocate would say so too, but with a SIGXFSZ */
    uint64_t more = end - s->allocated;
    int rc = 0;
    do {
        rc = s->unsupported || fallocate(environment_fd(&j->environment), 0, (off_t)s->allocated,
                                         (off_t)more) == 0
                 ? 0
                 : errno;
    } while (rc == EINTR);
    if (rc == EOPNOTSUPP || rc == ENOSYS)
        s->unsupported = true;
    if (s->unsupported) {
        struct statvfs disk;
        if (fstatvfs(environment_fd(&j->environment), &disk) == 0 &&
            (uint64_t)disk.f_bavail * disk.f_frsize < more)
            return ENOSPC;
        return 0; /* there is room now; nothing is promised, so allocated stays */
    }
    if (rc == 0)
        s->allocated = end;
    return rc;
}

static uint64_t share_of(uint64_t wanted, uint64_t disk)
{
    uint64_t share = disk / SHARE_OF_DISK;
    if (share < smallest_share)
        share = smallest_share;
    return wanted < share ? wanted : share;
}

void space_open(struct journal *j, const struct journal_options *options)
{
    struct space *s = &j->space;
    struct statvfs disk;
    struct stat file;
    uint64_t size = file_limit(j);
    if (fstatvfs(environment_fd(&j->environment), &disk) == 0 && disk.f_blocks > 0 &&
        (uint64_t)disk.f_blocks * disk.f_frsize < size)
        size = (uint64_t)disk.f_blocks * disk.f_frsize;
    *s = (struct space){
        .step = share_of(options->allocate_bytes ? options->allocate_bytes : default_step, size),
        .reserve =
            share_of(options->reserve_bytes ? options->reserve_bytes : default_reserve, size),
        .allocated = environment_used(&j->environment),
    };
    s->step = round_up(s->step, j->environment.page_size);
    /* The file's tail may be what an earlier run allocated, or a hole that a copy made of it. */
    if (fstat(environment_fd(&j->environment), &file) == 0 && (uint64_t)file.st_size > s->allocated)
        (void)extend(j, (uint64_t)file.st_size);
}

/* ---- pages that LMDB has freed ---- */

static void count_run(struct space *s, uint64_t run)
{
    for (unsigned k = 0; k < SPACE_RUN_SIZES; k++)
        s->free_runs[k] += run >> k << k;
}

static void count_list(const size_t *list, size_t size, bool usable, struct space *s)
{
    size_t count = size ? list[0] : 0;
    if (count >= size)
        return; /* not a list */
    if (!usable) {
        s->waiting_pages += count;
        return;
    }
    s->free_pages += count;
    uint64_t run = 0;
    for (size_t i = 1; i <= count; i++) { /* falling page numbers */
        if (i > 1 && list[i] + 1 != list[i - 1]) {
            count_run(s, run);
            run = 0;
        }
        run++;
    }
    count_run(s, run);
}

/* mdb_reader_list's lines: pid, thread, transaction or "-". */
static int oldest_reader(const char *line, void *context)
{
    size_t *oldest = context;
    const char *last = strrchr(line, ' ');
    char *end = NULL;
    if (!last)
        return 0;
    unsigned long long txn = strtoull(last + 1, &end, 10);
    if (end > last + 1 && txn < *oldest)
        *oldest = (size_t)txn;
    return 0;
}

/* Walks LMDB's free list: transaction -> the pages it freed. */
static int walk_free_list(struct journal *j, MDB_txn *txn, size_t oldest)
{
    size_t newest = mdb_txn_id(txn);
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val list;
    int rc = mdb_cursor_open(txn, 0, &cursor); /* 0 is the free list's handle */
    if (rc != 0)
        return rc;
    while ((rc = mdb_cursor_get(cursor, &key, &list, MDB_NEXT)) == 0) {
        size_t id = 0;
        if (key.mv_size != sizeof id)
            break;
        memcpy(&id, key.mv_data, sizeof id);
        /* Where no reader holds it back, a page waits for age alone. */
        if (id < oldest || oldest == newest)
            count_list(list.mv_data, list.mv_size / sizeof(size_t), id < oldest, &j->space);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Counts anew what LMDB can take from its free list. False: it could not be read. */
static bool recount(struct journal *j)
{
    struct space *s = &j->space;
    MDB_txn *txn = NULL;
    s->free_pages = 0;
    s->waiting_pages = 0;
    memset(s->free_runs, 0, sizeof s->free_runs);
    int rc = mdb_txn_begin(j->environment.lmdb, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return false;
    size_t oldest = mdb_txn_id(txn); /* this reader's own, as a writer sees it too */
    mdb_reader_list(j->environment.lmdb, oldest_reader, &oldest);
    rc = walk_free_list(j, txn, oldest);
    mdb_txn_abort(txn);
    return rc == 0;
}

/* A commit of the meta row, to let freed pages grow old enough. */
static int age(struct journal *j)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(j->environment.lmdb, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = environment_meta_put(&j->environment, txn, &j->meta);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    rc = mdb_txn_commit(txn);
    if (rc == 0)
        rc = redo_renew(j, NULL) == ERR_OK ? 0 : EIO;
    if (rc == 0)
        j->meta_head = j->meta.head;
    else
        (void)journal_reopen(j, NULL); /* if that fails the next begin says so */
    return rc;
}

/* Tries to reach needed pages from the free list and the room at the file's end. */
static bool find_free(struct journal *j, uint64_t needed, uint64_t room)
{
    struct space *s = &j->space;
    if (s->free_pages + room >= needed)
        return true;
    if (!j->txn && redo_renew(j, NULL) != ERR_OK)
        return false;
    for (int i = 0; i <= AGING_COMMITS && recount(j); i++) {
        if (s->free_pages + room >= needed)
            return true;
        if (j->txn || s->free_pages + s->waiting_pages + room < needed || room < FIXED_PAGES ||
            age(j) != 0)
            return false;
    }
    return false;
}

/* ---- a batch ---- */

static int no_space(struct journal *j, int rc, struct failure *failure)
{
    return failure_set(failure, ERR_NO_SPACE, "no space for the journal in %s: %s", j->directory,
                       mdb_strerror(rc));
}

/* Grants at least needed bytes of pages, and what else is there without asking for more. */
static int grant(struct journal *j, uint64_t needed, struct failure *failure)
{
    struct space *s = &j->space;
    uint64_t page = j->environment.page_size;
    uint64_t used = environment_used(&j->environment);
    uint64_t kept = s->reserve_too ? 0 : s->reserve;
    if (s->allocated < used)
        s->allocated = used;
    uint64_t end = used + round_up(needed, page) + kept;
    int rc = 0;
    if (end > s->allocated) {
        if (needed > file_limit(j))
            return no_space(j, EFBIG, failure);
        rc = extend(j, round_up(end + s->reserve - kept, s->step));
        if (rc != 0)
            rc = extend(j, end);
    }
    if (rc == 0) {
        s->granted = s->allocated >= end ? s->allocated - used - kept : needed;
        s->tight = false;
        return ERR_OK;
    }
    int err = environment_error(rc);
    if (err != ERR_NO_SPACE)
        return failure_set(failure, err, "cannot extend the journal in %s: %s", j->directory,
                           mdb_strerror(rc));
    uint64_t room = (s->allocated - used) / page;
    if (!find_free(j, (needed + kept) / page + 1, room))
        return no_space(j, rc, failure);
    s->granted = (s->free_pages + room) * page - kept;
    s->tight = true;
    return ERR_OK;
}

int space_begin(struct journal *j, uint64_t bytes, struct failure *failure)
{
    struct space *s = &j->space;
    if (bytes > UINT64_MAX / 4)
        return no_space(j, EFBIG, failure);
    uint64_t fixed = (uint64_t)FIXED_PAGES * j->environment.page_size;
    s->reserve_too = bytes == 0;
    s->charged = fixed;
    s->run_pages = 0;
    s->run_size = 0;
    s->row_pages = UINT64_MAX;
    s->session_pages = UINT64_MAX;
    s->cursor_pages = UINT64_MAX;
    s->life_pages = UINT64_MAX;
    s->granted = 0;
    return grant(j, fixed + 2 * bytes, failure);
}

void space_end(struct journal *j, bool committed)
{
    struct space *s = &j->space;
    uint64_t pages = s->charged / j->environment.page_size + 1;
    if (committed) {
        s->free_pages = less(s->free_pages, pages);
        for (unsigned k = 0; k < SPACE_RUN_SIZES; k++)
            s->free_runs[k] = less(s->free_runs[k], pages + s->run_pages);
    }
    s->charged = 0;
    s->granted = 0;
}

static int charge(struct journal *j, uint64_t bytes, struct failure *failure)
{
    struct space *s = &j->space;
    s->charged += bytes;
    return s->charged <= s->granted ? ERR_OK : grant(j, s->charged, failure);
}

/* Data beyond a node's bound goes to pages of its own, which have to be neighbours. */
static bool overflows(const struct journal *j, uint64_t size)
{
    return size + NODE_HEADER > (j->environment.page_size - OVERFLOW_HEADER) / 2;
}

/* Whether what needs neighbours finds them: at the file's end, or in runs of free pages. Blocks of
 * powers of two fill larger ones without a rest. */
static bool runs_fit(const struct journal *j)
{
    const struct space *s = &j->space;
    uint64_t page = j->environment.page_size;
    uint64_t taken = environment_used(&j->environment) + (s->reserve_too ? 0 : s->reserve);
    if (s->run_pages * page <= less(s->allocated, taken))
        return true;
    return s->run_size < SPACE_RUN_SIZES && s->run_pages <= s->free_runs[s->run_size];
}

static int charge_overflow(struct journal *j, uint64_t size, struct failure *failure)
{
    struct space *s = &j->space;
    uint64_t page = j->environment.page_size;
    uint64_t bytes = round_up(size + OVERFLOW_HEADER, page);
    unsigned k = 0;
    while (page << k < bytes)
        k++;
    s->run_pages += UINT64_C(1) << k;
    if (s->run_size < k)
        s->run_size = k;
    int err = charge(j, bytes, failure);
    if (err == ERR_OK && s->tight && !runs_fit(j) && !(recount(j) && runs_fit(j)))
        return no_space(j, ENOSPC, failure);
    return err;
}

int space_charge_item(struct journal *j, uint64_t size, struct failure *failure)
{
    /* Leaves fill up one after another, to two thirds at the least; the branches above them take
     * a hundredth. */
    if (!overflows(j, size))
        return charge(j, (size + NODE_HEADER) * 13 / 8, failure);
    int err = charge_overflow(j, size, failure);
    return err ? err : charge(j, (uint64_t)64, failure);
}

/* An item of so many bytes, anywhere in the tree of database. */
static int charge_tree(struct journal *j, MDB_dbi database, uint64_t *tree_pages, uint64_t size,
                       struct failure *failure)
{
    uint64_t page = j->environment.page_size;
    if (*tree_pages == UINT64_MAX) {
        /* However many rows there are, a page is copied once, and splits once before what is
         * added fills its halves again. */
        MDB_stat stat;
        if (mdb_stat(j->txn, database, &stat) != 0)
            return failure_set(failure, ERR_IO, "cannot read the state in %s", j->directory);
        *tree_pages = 2 * (stat.ms_leaf_pages + stat.ms_branch_pages) + 16;
    }
    uint64_t pages = *tree_pages < PAGES_PER_ROW ? *tree_pages : PAGES_PER_ROW;
    *tree_pages -= pages;
    int err = overflows(j, size) ? charge_overflow(j, size, failure) : ERR_OK;
    uint64_t node = overflows(j, size) ? LIMIT_KEY_SIZE : size;
    return err ? err : charge(j, pages * page + 4 * (node + NODE_HEADER), failure);
}

int space_charge_row(struct journal *j, uint64_t size, struct failure *failure)
{
    return charge_tree(j, j->environment.state, &j->space.row_pages, size, failure);
}

int space_charge_session(struct journal *j, uint64_t size, struct failure *failure)
{
    return charge_tree(j, j->environment.sessions, &j->space.session_pages, size, failure);
}

int space_charge_cursor(struct journal *j, uint64_t size, struct failure *failure)
{
    return charge_tree(j, j->environment.cursors, &j->space.cursor_pages, size, failure);
}

int space_charge_life(struct journal *j, uint64_t size, struct failure *failure)
{
    return charge_tree(j, j->environment.lives, &j->space.life_pages, size, failure);
}

int space_charge_removal(struct journal *j, uint64_t size, struct failure *failure)
{
    /* The leaf it was in, shared with its neighbours, and an entry of the free list. */
    uint64_t node = overflows(j, size) ? 64 : size;
    uint64_t freed = size / j->environment.page_size + 1;
    return charge(j, 2 * (node + NODE_HEADER) + freed * 16, failure);
}
