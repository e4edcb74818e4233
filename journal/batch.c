/*
 * batch.c - one LMDB transaction of the writer: what it appends, and how it ends.
 *
 *   idle --begin--> open --commit--> idle
 *                   open --abort---> idle
 *                   open --an operation fails--> dead --commit, abort--> idle
 *
 * 1. j->meta and the stored meta row change only at a commit.
 * 2. A failed commit ends the whole environment and opens it again: after a
 *    write error LMDB's picture of the file is not to be relied on.
 */
#define _GNU_SOURCE

#include "journal/environment.h"

#include <errno.h>

#include "protocol/record.h"

enum { READER_CHECK_BATCHES = 1000 };

static void forget(struct journal *j)
{
    j->txn = NULL;
    j->appender = NULL; /* LMDB ends a write transaction's cursors with it */
    j->batch_error = ERR_OK;
    j->meta_due = false;
    j->tally_due = false;
}

int journal_batch_begin(struct journal *j, uint64_t bytes, struct failure *failure)
{
    if (!j->environment.lmdb)
        return failure_set(failure, ERR_IO, "the journal in %s is closed", j->directory);
    if (j->txn)
        return failure_set(failure, ERR_INTERNAL, "a batch is open already");
    if (j->batches++ % READER_CHECK_BATCHES == 0) {
        int dead = 0;
        mdb_reader_check(j->environment.lmdb, &dead); /* readers of processes that are gone */
    }
    int err = redo_batch_begin(j, failure);
    if (err == ERR_OK)
        err = journal_choose_redo(j, bytes, failure);
    if (err == ERR_OK)
        err = space_begin(j, bytes, failure);
    if (err != ERR_OK)
        return err;
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(j->environment.lmdb, NULL, 0, &txn);
    if (rc != 0) {
        space_end(j, false);
        forget(j);
        return environment_failure(failure, rc, "begin a batch in", j->directory);
    }
    j->txn = txn;
    j->next = j->meta;
    j->next_tally = j->tally;
    j->rows_proof = (struct proof){.database = "state"};
    return ERR_OK;
}

/* LMDB would spread the damage of a page that it changes. */
static int check_end(struct journal *j, struct bytes seq_key, struct failure *failure)
{
    struct proof p = {.database = "journal"};
    if (proof_find(&p, &j->environment, j->txn, seq_key, NULL))
        return ERR_OK;
    return failure_set(failure, ERR_CORRUPT, "nothing can be appended to the journal in %s: %s",
                       j->directory, p.why);
}

int journal_batch_append(struct journal *j, struct bytes record, struct failure *failure)
{
    uint64_t seq = j->next.head + 1;
    if (!j->txn || record.size < RECORD_HEADER_SIZE || wire_load_u32(record.data) != record.size ||
        wire_load_u64(record.data + 8) != seq)
        return failure_set(failure, ERR_INTERNAL, "what was appended is not record %llu",
                           (unsigned long long)seq);
    if (j->batch_error)
        return failure_set(failure, j->batch_error, "the batch has failed already");
    int err = space_charge_item(j, SEQ_KEY_SIZE + record.size, failure);
    if (err != ERR_OK)
        return j->batch_error = err;
    uint8_t seq_key[SEQ_KEY_SIZE];
    seq_key_store(seq_key, seq);
    if (!j->appender) {
        err = check_end(j, (struct bytes){seq_key, sizeof seq_key}, failure);
        if (err != ERR_OK)
            return j->batch_error = err;
    }
    MDB_val key = {sizeof seq_key, seq_key};
    MDB_val value = lmdb_value(record);
    int rc = j->appender ? 0 : mdb_cursor_open(j->txn, j->environment.journal, &j->appender);
    if (rc == 0)
        rc = mdb_cursor_put(j->appender, &key, &value, MDB_APPEND);
    if (rc != 0)
        return j->batch_error = environment_failure(failure, rc, "append to", j->directory);
    err = redo_add(j, &(struct redo_item){.kind = REDO_RECORD, .value = record}, failure);
    if (err != ERR_OK)
        return j->batch_error = err;
    j->next.head = seq;
    j->next.bytes += record.size;
    return ERR_OK;
}

int journal_batch_set_applied(struct journal *j, uint64_t applied, struct failure *failure)
{
    if (!j->txn || applied < j->next.applied || applied > j->next.head)
        return failure_set(failure, ERR_INTERNAL, "applied cannot move from %llu to %llu",
                           (unsigned long long)j->next.applied, (unsigned long long)applied);
    j->meta_due = j->meta_due || applied != j->next.applied;
    j->next.applied = applied;
    return ERR_OK;
}

/* The commit has failed with rc, and LMDB has freed the transaction. */
static int commit_failed(struct journal *j, int rc, struct failure *failure)
{
    /* A write cut short is EIO for LMDB. Where the disk could not promise the room, it is full. */
    bool full = rc == EIO && (j->space.tight || j->space.unsupported);
    struct failure reason = {0};
    environment_failure(&reason, full ? ENOSPC : rc, "commit a batch to", j->directory);
    struct failure reopening = {0};
    if (journal_reopen(j, &reopening) != ERR_OK)
        return failure_set(failure, ERR_IO, "%.240s; then %.240s", reason.text, reopening.text);
    return failure_set(failure, reason.code, "%s", reason.text);
}

/* Its entry could not be written: nothing of the batch may come back with a later start. */
static int log_failed(struct journal *j, int err, struct failure *failure)
{
    struct failure reason = {0};
    journal_batch_abort(j);
    if (redo_take_back(j, &reason) == ERR_OK)
        return err;
    struct failure first = failure ? *failure : (struct failure){0};
    journal_shut(j);
    return failure_set(failure, ERR_IO, "%.240s; then %.240s", first.text, reason.text);
}

/* Who was told that a record is gone is not to find it again. */
static int log_oldest(struct journal *j, struct failure *failure)
{
    uint8_t oldest[8];
    if (j->next.oldest == j->meta.oldest)
        return ERR_OK;
    wire_store_u64(oldest, j->next.oldest);
    const struct redo_item item = {.kind = REDO_OLDEST, .value = {oldest, sizeof oldest}};
    return redo_add(j, &item, failure);
}

int journal_batch_commit(struct journal *j, struct failure *failure)
{
    if (!j->txn)
        return failure_set(failure, ERR_INTERNAL, "no batch is open");
    if (j->batch_error) {
        int err = j->batch_error;
        journal_batch_abort(j);
        return failure_set(failure, err, "the batch had failed: %s", error_text(err));
    }
    bool meta_due = j->meta_due || j->next.head - j->meta_head >= META_RECORDS_MAX;
    int rc = meta_due ? environment_meta_put(&j->environment, j->txn, &j->next) : 0;
    if (rc == 0 && j->tally_due)
        rc = tally_put(&j->environment, j->txn, &j->next_tally);
    if (rc != 0) {
        int err = environment_failure(failure, rc, "write the meta row of", j->directory);
        journal_batch_abort(j);
        return err;
    }
    int err = log_oldest(j, failure);
    if (err == ERR_OK)
        err = redo_write(j, failure);
    if (err != ERR_OK)
        return log_failed(j, err, failure);
    rc = mdb_txn_commit(j->txn);
    forget(j);
    space_end(j, rc == 0);
    if (rc != 0)
        return commit_failed(j, rc, failure);
    redo_committed(j);
    j->meta = j->next;
    j->tally = j->next_tally;
    if (meta_due)
        j->meta_head = j->meta.head;
    return ERR_OK;
}

void journal_batch_abort(struct journal *j)
{
    if (!j->txn)
        return;
    mdb_txn_abort(j->txn);
    forget(j);
    space_end(j, false);
}
