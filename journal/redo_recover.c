/*
 * redo_recover.c - see redo.h: what a start does with the log of a run that did
 * not stop cleanly.
 *
 * 1. The log is read to its end before anything is changed.
 * 2. All that the log says takes effect in one transaction of LMDB, which cannot
 *    write over the pages of the base that it starts from: a start that is cut
 *    short is begun anew.
 * 3. Only after that transaction has been synced a base of its own ends the log.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "journal/apart.h"
#include "journal/environment.h"
#include "journal/redo.h"
#include "protocol/record.h"

enum { PATH_SIZE = 4096 };
static const uint64_t segment_size_max = UINT64_C(4) << 30;

struct recovery {
    const char *directory;
    struct redo_files files;
    struct bytes
        segments[REDO_SEGMENTS]; /* what is in them, allocated; NULL: there is no such file */
    bool is_there;               /* a log that has been begun */
    struct redo_base base;
    unsigned base_segment;
    uint64_t generation; /* of the entries in hand */
    uint64_t number;     /* of the next */
    uint64_t last;       /* record so far */
    uint64_t oldest;     /* likewise; 0: it has not moved */
    struct environment e;
    struct meta meta;
    MDB_txn *txn;
    struct failure *failure;
};

static int damaged(struct recovery *r, const char *what)
{
    return failure_set(r->failure, ERR_CORRUPT,
                       "the redo log in %.200s is damaged (%s): restore a backup, or move the "
                       "folder away to begin a new journal",
                       r->directory, what);
}

static int system_failure(struct recovery *r, int rc, const char *what)
{
    return environment_failure(r->failure, rc, what, r->directory);
}

static int read_segment(struct recovery *r, unsigned segment)
{
    uint64_t size = r->files.capacity[segment];
    uint64_t done = 0;
    if (size < REDO_ENTRIES_AT || size > segment_size_max)
        return damaged(r, "the size of a segment");
    uint8_t *data = malloc(size);
    if (!data)
        return failure_set(r->failure, ERR_NO_MEMORY, "out of memory");
    while (done < size) {
        ssize_t n = pread(r->files.fd[segment], data + done, size - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int rc = n < 0 ? errno : EIO;
            free(data);
            return system_failure(r, rc, "read the redo log of");
        }
        done += (uint64_t)n;
    }
    r->segments[segment] = (struct bytes){data, size};
    return ERR_OK;
}

/* ---- doing again ---- */

static int put_record(struct recovery *r, struct bytes record)
{
    struct record_header header;
    uint8_t seq_key[SEQ_KEY_SIZE];
    if (record_check(record, &header) != ERR_OK || header.seq != r->meta.head + 1)
        return damaged(r, "a record");
    seq_key_store(seq_key, header.seq);
    MDB_val key = {sizeof seq_key, seq_key};
    MDB_val value = lmdb_value(record);
    int rc = mdb_put(r->txn, r->e.journal, &key, &value, MDB_APPEND);
    if (rc != 0)
        return system_failure(r, rc, "append to");
    r->meta.head = header.seq;
    r->meta.bytes += record.size;
    return ERR_OK;
}

static int put_kept(struct recovery *r, const struct redo_item *item)
{
    if (!r->e.has_sessions || !r->e.has_cursors || !r->e.has_lives)
        return damaged(r, "its base has no place for what it says");
    int rc = kept_put_or_remove(r->txn, kept_database(&r->e, item->kind), item->key, item->value);
    return rc ? system_failure(r, rc, "write to") : ERR_OK;
}

static int do_again(struct recovery *r, const struct redo_item *item)
{
    switch (item->kind) {
    case REDO_RECORD:
        return put_record(r, item->value);
    case REDO_OLDEST:
        r->oldest = wire_load_u64(item->value.data);
        return ERR_OK;
    default:
        return put_kept(r, item);
    }
}

/* Compaction never passes what the state holds: so that has to follow. */
static int move_oldest(struct recovery *r)
{
    struct meta *m = &r->meta;
    if (r->oldest <= m->oldest)
        return ERR_OK;
    if (r->oldest > m->head)
        return damaged(r, "the oldest record is not there");
    int rc = r->oldest > m->applied + 1 ? redo_rows(&r->e, r->txn, m->applied, r->oldest - 1) : 0;
    if (rc != 0)
        return system_failure(r, rc, "make the state again in");
    if (m->applied < r->oldest - 1)
        m->applied = r->oldest - 1;
    m->oldest = r->oldest;
    return ERR_OK;
}

static int check(struct recovery *r, const struct redo_item *item)
{
    struct record_header header;
    if (item->kind == REDO_OLDEST && item->value.size != 8)
        return damaged(r, "an entry");
    if (item->kind != REDO_RECORD)
        return ERR_OK;
    if (record_check(item->value, &header) != ERR_OK || header.seq != r->last + 1)
        return damaged(r, "a record");
    r->last = header.seq;
    return ERR_OK;
}

typedef int (*take_item)(struct recovery *r, const struct redo_item *item);

static int read_items(struct recovery *r, struct wire_reader *items, take_item take)
{
    struct redo_item item;
    int err = ERR_OK;
    while (err == ERR_OK && redo_item_next(items, &item))
        err = take(r, &item);
    return err == ERR_OK && items->failed ? damaged(r, "an entry") : err;
}

static int read_entries(struct recovery *r, unsigned segment, take_item take)
{
    struct bytes all = r->segments[segment];
    struct wire_reader items;
    int err = ERR_OK;
    if (!all.data)
        return ERR_OK;
    struct bytes rest = {all.data + REDO_ENTRIES_AT, all.size - REDO_ENTRIES_AT};
    while (err == ERR_OK && redo_entry_check(rest, r->base.log, r->generation, r->number, &items)) {
        size_t size = redo_entry_size(wire_left(&items));
        err = read_items(r, &items, take);
        r->number++;
        size = size < rest.size ? size : rest.size;
        rest = (struct bytes){rest.data + size, rest.size - size};
    }
    if (err == ERR_OK && redo_entry_follows(rest, r->base.log, r->generation, r->number - 1))
        err = damaged(r, "an entry before others");
    return err;
}

/* All that is after the base. */
static int read_log(struct recovery *r, take_item take)
{
    r->generation = r->base.generation;
    r->number = r->base.number;
    int err = read_entries(r, r->base_segment, take);
    r->generation++;
    return err ? err : read_entries(r, 1 - r->base_segment, take);
}

static int do_log(struct recovery *r)
{
    int rc = mdb_txn_begin(r->e.lmdb, NULL, 0, &r->txn);
    if (rc != 0)
        return system_failure(r, rc, "recover");
    int err = read_log(r, do_again);
    if (err == ERR_OK)
        err = move_oldest(r);
    if (err != ERR_OK)
        return err;
    r->meta.durability = JOURNAL_POWER; /* this is synced, and stands without a log */
    r->meta.clean = false;
    rc = environment_meta_put(&r->e, r->txn, &r->meta);
    if (rc == 0) {
        rc = mdb_txn_commit(r->txn);
        r->txn = NULL;
    }
    return rc ? system_failure(r, rc, "recover") : ERR_OK;
}

/* ---- the base ---- */

/* Nothing was ever written behind the place of the base. */
static bool is_unused(int fd)
{
    uint64_t begin = 1;
    return fd < 0 || (pread(fd, &begin, sizeof begin, REDO_ENTRIES_AT) == sizeof begin && !begin);
}

/* The base of segment i; the one that counts so far is r->base, if there is one. */
static int take_base(struct recovery *r, unsigned i, bool *ret_none, bool *ret_blank)
{
    struct redo_base base;
    int err = r->files.fd[i] < 0 ? ERR_NOT_FOUND : redo_base_read(r->files.fd[i], &base);
    if (err == ERR_NOT_FOUND) {
        *ret_blank = *ret_blank || r->files.fd[i] >= 0;
        return ERR_OK;
    }
    if (err == ERR_IO)
        return system_failure(r, EIO, "read the redo log of");
    if (err != ERR_OK)
        return damaged(r, "a base");
    if (!*ret_none && (base.log != r->base.log || base.generation == r->base.generation))
        return damaged(r, "its segments do not belong together");
    if (*ret_none || base.generation > r->base.generation) {
        r->base = base;
        r->base_segment = i;
    }
    *ret_none = false;
    return ERR_OK;
}

/* What there has to be beside the base that counts. */
static int check_segments(struct recovery *r, bool blank)
{
    /* Only the second segment of a new log has none. */
    if (blank && r->base.generation > 1)
        return damaged(r, "a base is gone");
    for (unsigned i = 0; i < REDO_SEGMENTS; i++) {
        if (r->files.fd[i] < 0 && !r->base.last)
            return damaged(r, "a segment is gone");
        if (r->files.fd[i] >= 0 && r->files.capacity[i] < r->base.sizes[i])
            return damaged(r, "a segment is cut off");
    }
    return ERR_OK;
}

/* Which one counts. *ret_none: the log has not been begun. */
static int find_base(struct recovery *r, bool *ret_none)
{
    bool blank = false; /* a segment without one */
    int err = ERR_OK;
    *ret_none = true;
    for (unsigned i = 0; i < REDO_SEGMENTS && err == ERR_OK; i++)
        err = take_base(r, i, ret_none, &blank);
    if (err != ERR_OK)
        return err;
    if (!*ret_none)
        return check_segments(r, blank);
    /* They are named in this order. */
    bool lost = r->files.fd[0] < 0 || !is_unused(r->files.fd[0]) || !is_unused(r->files.fd[1]);
    return lost ? damaged(r, "a base is gone") : ERR_OK;
}

/* ---- what data.mdb has by itself ---- */

struct own_head {
    const char *directory;
    uint64_t map_size;
    uint64_t head;
};

static int read_head(void *context, int channel, struct failure *failure)
{
    const struct own_head *o = context;
    struct environment e = {0};
    struct meta m;
    MDB_txn *txn = NULL;
    uint64_t head = 0;
    int err = environment_open(&e, o->directory, MDB_RDONLY | MDB_NOLOCK, o->map_size, failure);
    if (err != ERR_OK)
        return err;
    apart_guard(e.lmdb);
    err = environment_load(&e, o->directory, &m, failure);
    if (err == ERR_OK && mdb_txn_begin(e.lmdb, NULL, MDB_RDONLY, &txn) == 0 &&
        environment_last_seq(&e, txn, &head) == 0)
        apart_send(channel, &head, sizeof head);
    mdb_txn_abort(txn);
    environment_close(&e);
    return err;
}

static void take_head(void *context, const void *message, size_t size)
{
    struct own_head *o = context;
    if (size == sizeof o->head)
        memcpy(&o->head, message, size);
}

/* Within one run of the machine it has all that was ever committed: the log may have more, by an
 * entry, but not less. (After a power loss there is no telling an end that is gone from one that was
 * never there.) 0: not known. If a sync has failed it may be damaged, so that another process
 * reads. */
static uint64_t head_of_data(const struct recovery *r, uint64_t map_size)
{
    struct own_head own = {.directory = r->directory, .map_size = map_size};
    struct apart a = {.work = read_head,
                      .take = take_head,
                      .context = &own,
                      .bytes = directory_data_size(r->directory)};
    struct failure unused = {0};
    bool died = false;
    char boot_id[BOOT_ID_SIZE];
    journal_boot_id(boot_id);
    if (boot_id_equal(boot_id, r->base.boot_id))
        (void)apart_run(&a, &died, &unused);
    return own.head;
}

static int check_log(struct recovery *r, uint64_t map_size)
{
    uint64_t head = head_of_data(r, map_size);
    int err = ERR_OK;
    for (unsigned i = 0; i < REDO_SEGMENTS && err == ERR_OK; i++)
        err = r->files.fd[i] >= 0 ? read_segment(r, i) : ERR_OK;
    r->last = r->base.head;
    if (err == ERR_OK)
        err = read_log(r, check);
    return err == ERR_OK && r->last < head ? damaged(r, "its end is gone") : err;
}

static int open_data(struct recovery *r, int *ret_fd)
{
    char path[PATH_SIZE];
    if (!directory_path(r->directory, DATA_NAME, path, sizeof path))
        return system_failure(r, ENAMETOOLONG, "recover");
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return environment_failure(r->failure, errno, "open", path);
    *ret_fd = fd;
    return ERR_OK;
}

/* A base of what there is now, with no entries: nothing has to be done again. */
static int end_log(struct recovery *r, int fd)
{
    struct redo_base base = r->base;
    unsigned segment = 1 - r->base_segment;
    base.generation += 2;
    base.number = r->number;
    base.head = r->meta.head;
    base.last = true;
    int rc = redo_metas_read(fd, r->e.page_size, &base);
    if (rc == 0 && r->files.fd[segment] >= 0)
        rc = redo_base_write(r->files.fd[segment], &base);
    else
        segment = r->base_segment;
    if (rc != 0)
        return system_failure(r, rc, "end the redo log of");
    return redo_files_remove(r->directory, segment, r->failure);
}

static int recover(struct recovery *r, uint64_t map_size)
{
    int fd = -1;
    MDB_txn *pin = NULL;
    int err = open_data(r, &fd);
    if (err != ERR_OK)
        return err;
    int rc = redo_metas_restore(fd, &r->base);
    if (rc != 0) {
        err = system_failure(r, rc, "recover");
        goto out;
    }
    err = environment_open(&r->e, r->directory, 0, map_size, r->failure);
    if (err == ERR_OK)
        err = environment_load(&r->e, r->directory, &r->meta, r->failure);
    if (err == ERR_NOT_FOUND)
        err = damaged(r, "its base is empty");
    if (err != ERR_OK)
        goto out;
    rc = mdb_txn_begin(r->e.lmdb, NULL, MDB_RDONLY, &pin);
    if (rc != 0)
        err = system_failure(r, rc, "recover");
    if (err == ERR_OK)
        err = environment_check_start(&r->e, pin, &r->meta, r->directory, r->failure);
    if (err == ERR_OK)
        err = environment_position(&r->e, pin, &r->meta, r->failure);
    if (err == ERR_OK && r->meta.head != r->base.head)
        err = damaged(r, "data.mdb is not the one that it belongs to");
    if (err == ERR_OK)
        err = do_log(r);
    if (err == ERR_OK)
        err = end_log(r, fd);
out:
    mdb_txn_abort(r->txn);
    mdb_txn_abort(pin);
    environment_close(&r->e);
    close(fd);
    return err;
}

/* Opens the log and reads it to its end. Nothing is changed. */
static int examine(struct recovery *r, bool writable, uint64_t map_size, bool *ret_any)
{
    bool none = true;
    int err = redo_files_open(r->directory, writable, &r->files, ret_any, r->failure);
    if (err != ERR_OK || !*ret_any)
        return err;
    err = find_base(r, &none);
    r->is_there = err == ERR_OK && !none;
    return r->is_there ? check_log(r, map_size) : err;
}

static void release(struct recovery *r)
{
    for (unsigned i = 0; i < REDO_SEGMENTS; i++)
        free((void *)(uintptr_t)r->segments[i].data);
    redo_files_close(&r->files);
}

int redo_recover(const char *directory, uint64_t map_size, struct failure *failure)
{
    struct recovery r = {.directory = directory, .files.fd = {-1, -1}, .failure = failure};
    bool any = false;
    int err = examine(&r, true, map_size, &any);
    if (err == ERR_OK && any)
        err = r.is_there ? recover(&r, map_size) : redo_files_remove(directory, 0, failure);
    release(&r);
    return err;
}

int redo_check(const char *directory, bool *ret_needed, struct failure *failure)
{
    struct recovery r = {.directory = directory, .files.fd = {-1, -1}, .failure = failure};
    char boot_id[BOOT_ID_SIZE];
    bool any = false;
    int err = examine(&r, false, MAP_SIZE_DEFAULT, &any);
    journal_boot_id(boot_id);
    *ret_needed = err == ERR_OK && r.is_there && !boot_id_equal(boot_id, r.base.boot_id);
    release(&r);
    return err;
}
