/*
 * restore.c - a journal out of a backup (protocol/backup_file.h), in an empty
 * directory.
 *
 * Rows and records are put down as they come, both in rising order. Then the
 * records are applied to the rows, each change that is newer than its key's row,
 * so that the state is complete at head, and the rows of deleted keys are there
 * again, which a backup leaves out.
 *
 * 1. All is made aside and takes its place as a whole. A restore that is killed
 *    leaves no journal, and what it leaves no start takes for an empty directory.
 * 2. What is applied must fit together: a change names the one before it.
 *    Otherwise nothing of the backup is believed.
 * 3. Memory: a chunk of the backup and one bounded transaction.
 */
#define _GNU_SOURCE

#include "journal/environment.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/backup_file.h"
#include "protocol/message.h"
#include "protocol/record.h"

enum {
    RESTORE_BYTES = 16 << 20, /* of a transaction */
    APPLY_COST = 1024,        /* of a row that is put anywhere, beside its bytes */
    PATH_SIZE = 4096,
};

struct restore {
    const struct journal_options *options;
    const struct journal_restoring *how;
    char path[PATH_SIZE]; /* of the new file */
    struct environment e;
    MDB_txn *txn;
    uint64_t bytes; /* in this transaction */
    struct tally tally;
    struct meta meta;
    uint64_t keys;
    struct failure *failure;
};

static int restore_failure(struct restore *r, int rc)
{
    return environment_failure(r->failure, rc, "restore into", r->options->directory);
}

static int commit(struct restore *r)
{
    int rc = mdb_txn_commit(r->txn);
    r->txn = NULL;
    r->bytes = 0;
    return rc ? restore_failure(r, rc) : ERR_OK;
}

/* Ends a transaction that has become large; the next begins when it is needed. */
static int pace(struct restore *r, uint64_t size)
{
    r->bytes += size;
    if (r->bytes < RESTORE_BYTES)
        return ERR_OK;
    int err = commit(r);
    if (err == ERR_OK && r->how->go_on && !r->how->go_on(r->how->context))
        err = failure_set(r->failure, ERR_INTERRUPTED, "the restore was stopped");
    return err;
}

static int need_txn(struct restore *r)
{
    int rc = r->txn ? 0 : mdb_txn_begin(r->e.lmdb, NULL, 0, &r->txn);
    return rc ? restore_failure(r, rc) : ERR_OK;
}

/* ---- what the backup holds; its reader has checked it ---- */

static int put_record(struct restore *r, struct bytes record)
{
    uint8_t seq_key[SEQ_KEY_SIZE];
    seq_key_store(seq_key, ++r->meta.head);
    MDB_val key = {sizeof seq_key, seq_key};
    MDB_val value = lmdb_value(record);
    int err = need_txn(r);
    int rc = err ? 0 : mdb_put(r->txn, r->e.journal, &key, &value, MDB_APPEND);
    if (rc != 0)
        err = restore_failure(r, rc);
    r->meta.bytes += record.size;
    return err ? err : pace(r, record.size);
}

/* A live row whose key is beyond all there are: the tree's pages are filled one after another. */
static int append_row(struct restore *r, struct bytes key, const struct state_row *row)
{
    MDB_val stored_key = lmdb_value(key);
    MDB_val stored = {ROW_HEADER_SIZE + row->value.size, NULL};
    int err = need_txn(r);
    if (err != ERR_OK)
        return err;
    int rc = mdb_put(r->txn, r->e.state, &stored_key, &stored, MDB_RESERVE | MDB_APPEND);
    if (rc != 0)
        return restore_failure(r, rc);
    row_header_encode(key, row, stored.mv_data);
    memcpy((uint8_t *)stored.mv_data + ROW_HEADER_SIZE, row->value.data, row->value.size);
    tally_add(&r->tally, key, stored_bytes(stored));
    r->keys++;
    return pace(r, stored.mv_size + key.size);
}

static int take_chunk(struct restore *r, const struct backup_chunk *c)
{
    struct wire_reader reader = wire_reader_of(c->content.data, c->content.size);
    int err = ERR_OK;
    for (uint32_t i = 0; i < c->count && err == ERR_OK; i++) {
        struct list_row listed;
        if (c->kind == BACKUP_RECORDS) {
            uint32_t size = wire_load_u32(reader.at);
            err = put_record(r, (struct bytes){reader.at, size});
            reader.at += size;
            continue;
        }
        list_row_read(&reader, &listed);
        const struct state_row row = {.created = listed.created,
                                      .modified = listed.modified,
                                      .version = listed.version,
                                      .value = listed.value};
        err = append_row(r, listed.key, &row);
    }
    return err;
}

static int take_all(struct restore *r)
{
    struct backup_chunk chunk;
    int err;
    while ((err = backup_reader_next(r->how->backup, &chunk, r->failure)) == ERR_OK) {
        err = take_chunk(r, &chunk);
        if (err != ERR_OK)
            break;
    }
    if (err != ERR_NOT_FOUND)
        return err;
    r->meta.oldest = r->how->backup->tally.summary.oldest;
    return r->txn ? commit(r) : ERR_OK;
}

/* ---- the records applied to the rows ---- */

static int misfit(struct restore *r, uint64_t seq, struct bytes key)
{
    char text[128];
    return failure_set(r->failure, ERR_CORRUPT,
                       "%s contradicts itself: record %llu does not fit what key %s was before",
                       r->how->backup->name, (unsigned long long)seq,
                       key_text(key, text, sizeof text));
}

/* row: what the key is, version 0 if it is not there. *ret_due: the change is newer. */
static bool fits(const struct restore *r, uint64_t seq, const struct change *c,
                 const struct state_row *row, bool *ret_due)
{
    *ret_due = row->modified < seq;
    if (row->modified > seq)
        return true;
    if (row->modified == seq)
        return c->op == CHANGE_PUT && !row->deleted && bytes_equal(row->value, c->value);
    if (row->modified == 0) /* never there, or deleted before the first record */
        return c->prev_seq < r->meta.trimmed;
    /* Where compaction had passed the deletion, the key's next change does not know of it. */
    return c->prev_seq == row->modified ||
           (row->deleted && row->modified < r->meta.oldest && c->prev_seq == 0);
}

static int apply_change(struct restore *r, uint64_t seq, const struct change *c)
{
    struct state_row row;
    struct bytes stored;
    bool due = false;
    int rc = row_find(&r->e, r->txn, c->key, &row, &stored);
    if (rc != 0)
        return restore_failure(r, rc);
    if (!fits(r, seq, c, &row, &due))
        return misfit(r, seq, c->key);
    if (!due)
        return ERR_OK;
    bool was_there = !row.deleted;
    row_change(&row, seq, c);
    r->keys += (uint64_t)!row.deleted - (uint64_t)was_there;
    r->bytes += APPLY_COST + c->key.size + c->value.size;
    rc = row_replace(&r->e, r->txn, c->key, stored, &row, &r->tally);
    return rc ? restore_failure(r, rc) : ERR_OK;
}

/* From seq on, as many as one transaction takes; *seq moves on. */
static int apply_some(struct restore *r, uint64_t *seq)
{
    uint8_t seq_key[SEQ_KEY_SIZE];
    MDB_cursor *cursor = NULL;
    MDB_val key = {sizeof seq_key, seq_key};
    MDB_val record;
    struct change c;
    seq_key_store(seq_key, *seq);
    int err = need_txn(r);
    if (err != ERR_OK)
        return err;
    int rc = mdb_cursor_open(r->txn, r->e.journal, &cursor);
    if (rc == 0)
        rc = mdb_cursor_get(cursor, &key, &record, MDB_SET);
    while (rc == 0 && err == ERR_OK) {
        struct change_iterator i = record_changes(record.mv_data);
        while (err == ERR_OK && change_next(&i, &c))
            err = apply_change(r, *seq, &c);
        ++*seq;
        r->bytes += record.mv_size / 8; /* read only, but this ends some time */
        if (r->bytes >= RESTORE_BYTES || *seq > r->meta.head)
            break;
        rc = mdb_cursor_get(cursor, &key, &record, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (err == ERR_OK && rc != 0)
        err = restore_failure(r, rc);
    return err;
}

static int apply_all(struct restore *r)
{
    uint64_t seq = r->meta.trimmed;
    int err = ERR_OK;
    while (err == ERR_OK && seq <= r->meta.head) {
        err = apply_some(r, &seq);
        if (err == ERR_OK)
            err = pace(r, 0);
    }
    return err;
}

/* ---- the whole ---- */

static int finish(struct restore *r)
{
    r->meta.applied = r->meta.head;
    int err = need_txn(r);
    int rc = err ? 0 : environment_meta_put(&r->e, r->txn, &r->meta);
    if (err == ERR_OK && rc == 0)
        rc = tally_put(&r->e, r->txn, &r->tally);
    if (rc != 0)
        err = restore_failure(r, rc);
    if (err == ERR_OK)
        err = commit(r);
    rc = err ? 0 : mdb_env_sync(r->e.lmdb, 1);
    return rc ? restore_failure(r, rc) : err;
}

static int build(struct restore *r)
{
    const struct journal_options *o = r->options;
    enum journal_durability durability = o->durability ? o->durability : JOURNAL_POWER;
    const struct backup_header *h = &r->how->backup->header;
    uint64_t map_size = o->map_size_bytes ? o->map_size_bytes : MAP_SIZE_DEFAULT;
    int err = environment_open(&r->e, r->path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, map_size,
                               r->failure);
    if (err != ERR_OK)
        return err;
    r->meta = (struct meta){.epoch = o->epoch != h->epoch ? o->epoch : o->epoch ^ 1,
                            .oldest = 1,
                            .trimmed = 1,
                            .clean = true,
                            .durability = (uint8_t)durability};
    err = environment_create(&r->e, o->directory, &r->meta, r->failure);
    r->meta.trimmed = h->first;
    r->meta.head = h->first - 1;
    if (err == ERR_OK)
        err = take_all(r);
    if (err == ERR_OK)
        err = apply_all(r);
    if (err == ERR_OK)
        err = finish(r);
    mdb_txn_abort(r->txn);
    environment_close(&r->e);
    return err;
}

static int restore_locked(struct restore *r)
{
    const char *directory = r->options->directory;
    int err = directory_check_restore(directory, r->failure);
    if (err != ERR_OK)
        return err;
    (void)unlink(r->path); /* of a restore that was cut short */
    err = build(r);
    if (err == ERR_OK)
        err = mark_remove(directory, r->failure); /* it spoke of another file */
    if (err == ERR_OK)
        err = directory_replace_data(directory, DATA_NAME_RESTORE, r->failure);
    if (err != ERR_OK)
        (void)unlink(r->path);
    return err;
}

/* The lock file stays where the directory stays: others may be about to lock it. */
static void remove_made(const char *directory)
{
    char path[PATH_SIZE];
    if (directory_path(directory, LOCK_NAME, path, sizeof path))
        (void)unlink(path);
    (void)rmdir(directory);
}

int journal_restore(const struct journal_options *options,
                    const struct journal_restoring *restoring, uint64_t *ret_keys,
                    struct failure *failure)
{
    struct restore r = {.options = options, .how = restoring, .failure = failure};
    int lock_fd = -1;
    if (!options->directory || !options->directory[0] || options->epoch == 0)
        return failure_set(failure, ERR_INVALID, "a restore needs a directory and an epoch");
    if (!directory_path(options->directory, DATA_NAME_RESTORE, r.path, sizeof r.path))
        return environment_failure(failure, ENAMETOOLONG, "restore into", options->directory);
    bool made = mkdir(options->directory, 0700) == 0;
    if (!made && errno != EEXIST)
        return environment_failure(failure, errno, "make the directory", options->directory);
    /* Before anything is written into it. */
    int err = directory_check_restore(options->directory, failure);
    if (err == ERR_OK)
        err = directory_lock(options->directory, false, &lock_fd, failure);
    if (err == ERR_OK)
        err = restore_locked(&r);
    if (err != ERR_OK && made)
        remove_made(options->directory);
    directory_unlock(lock_fd);
    if (err == ERR_OK)
        *ret_keys = r.keys;
    return err;
}
