/*
 * reader.c - views of threads other than the writer.
 *
 * 1. From begin to end a reader holds the journal's gate for reading: the
 *    environment cannot be closed under an open view.
 * 2. Between views the transaction is kept, reset, for the next begin; a reopen
 *    takes it away, and begin makes a new one.
 * 3. What next and next_row hand out has been checked: CRC, place, order.
 */
#define _GNU_SOURCE

#include "journal/environment.h"

#include <stdlib.h>

#include "protocol/record.h"

struct journal_reader {
    struct journal *journal;
    struct journal_reader *next;
    MDB_txn *txn;
    MDB_cursor *records;
    MDB_cursor *rows;
    MDB_cursor *sessions;
    MDB_cursor *cursors;
    MDB_cursor *lives;
    struct journal_view view;
    bool open;
    bool has_failed;      /* the transaction is not to be used for another view */
    bool seek_due;        /* records does not stand before next_seq */
    bool records_renewed; /* the cursors belong to this view */
    bool rows_renewed;
    bool sessions_renewed;
    bool cursors_renewed;
    bool lives_renewed;
    uint64_t next_seq; /* 0: no seek yet */
    struct proof rows_proof;
    bool rows_ended;
    bool row_waits; /* rows stands at a row that was not handed out yet */
    size_t prefix_size;
    uint8_t prefix[LIMIT_KEY_SIZE];
};

struct journal_reader *reader_following(const struct journal_reader *r)
{
    return r->next;
}

void reader_detach(struct journal_reader *r)
{
    mdb_cursor_close(r->records);
    mdb_cursor_close(r->rows);
    mdb_cursor_close(r->sessions);
    mdb_cursor_close(r->cursors);
    mdb_cursor_close(r->lives);
    mdb_txn_abort(r->txn);
    r->records = NULL;
    r->rows = NULL;
    r->sessions = NULL;
    r->cursors = NULL;
    r->lives = NULL;
    r->txn = NULL;
}

int journal_reader_open(struct journal *j, struct journal_reader **ret_reader,
                        struct failure *failure)
{
    struct journal_reader *r = calloc(1, sizeof *r);
    if (!r)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    r->journal = j;
    pthread_mutex_lock(&j->readers_lock);
    r->next = j->readers;
    j->readers = r;
    pthread_mutex_unlock(&j->readers_lock);
    *ret_reader = r;
    return ERR_OK;
}

void journal_reader_close(struct journal_reader *r)
{
    if (!r)
        return;
    struct journal *j = r->journal;
    journal_reader_end(r);
    /* The gate first, as a reopen does. */
    pthread_rwlock_rdlock(&j->gate);
    pthread_mutex_lock(&j->readers_lock);
    for (struct journal_reader **link = &j->readers; *link; link = &(*link)->next)
        if (*link == r) {
            *link = r->next;
            break;
        }
    reader_detach(r);
    pthread_mutex_unlock(&j->readers_lock);
    pthread_rwlock_unlock(&j->gate);
    free(r);
}

static int read_failure(struct journal_reader *r, int rc, struct failure *failure)
{
    /* A transaction that has met a damaged page gives this from then on. */
    if (rc == MDB_BAD_TXN)
        rc = MDB_CORRUPTED;
    r->has_failed = true;
    return environment_failure(failure, rc, "read the journal in", r->journal->directory);
}

static int load_view(struct journal_reader *r, struct failure *failure)
{
    struct journal *j = r->journal;
    struct meta m;
    uint64_t head = 0;
    int rc = r->txn ? mdb_txn_renew(r->txn)
                    : mdb_txn_begin(j->environment.lmdb, NULL, MDB_RDONLY, &r->txn);
    if (rc != 0)
        return read_failure(r, rc, failure);
    int err = environment_meta_get(&j->environment, r->txn, j->directory, &m, failure);
    if (err == ERR_OK) {
        rc = environment_last_seq(&j->environment, r->txn, &head);
        if (rc != 0)
            err = read_failure(r, rc, failure);
        else
            err = environment_check_head(&j->environment, r->txn, &m, head, failure);
    }
    if (err != ERR_OK) {
        reader_detach(r);
        r->has_failed = false;
        return err;
    }
    r->view = (struct journal_view){
        .epoch = m.epoch, .head = head, .oldest = m.oldest, .applied = m.applied};
    return ERR_OK;
}

int journal_reader_begin(struct journal_reader *r, struct journal_view *ret_view,
                         struct failure *failure)
{
    struct journal *j = r->journal;
    if (r->open)
        return failure_set(failure, ERR_INTERNAL, "this reader has a view open already");
    pthread_rwlock_rdlock(&j->gate);
    int err = j->environment.lmdb
                  ? load_view(r, failure)
                  : failure_set(failure, ERR_IO, "the journal in %s is closed", j->directory);
    if (err != ERR_OK) {
        pthread_rwlock_unlock(&j->gate);
        return err;
    }
    r->open = true;
    r->records_renewed = false;
    r->rows_renewed = false;
    r->sessions_renewed = false;
    r->cursors_renewed = false;
    r->lives_renewed = false;
    r->next_seq = 0;
    r->row_waits = false;
    *ret_view = r->view;
    return ERR_OK;
}

void journal_reader_end(struct journal_reader *r)
{
    if (!r->open)
        return;
    r->open = false;
    if (r->has_failed)
        reader_detach(r);
    else
        mdb_txn_reset(r->txn);
    r->has_failed = false;
    pthread_rwlock_unlock(&r->journal->gate);
}

/* Makes *cursor one of this view's transaction. */
static int renew_cursor(struct journal_reader *r, MDB_dbi database, MDB_cursor **cursor,
                        bool *renewed)
{
    int rc = 0;
    if (!*cursor)
        rc = mdb_cursor_open(r->txn, database, cursor);
    else if (!*renewed)
        rc = mdb_cursor_renew(r->txn, *cursor);
    *renewed = rc == 0;
    return rc;
}

static int not_open(struct failure *failure)
{
    return failure_set(failure, ERR_INTERNAL, "this reader has no view open");
}

static int check_record(uint64_t seq, MDB_val record, struct failure *failure)
{
    struct record_header header;
    int err = record_check(stored_bytes(record), &header);
    if (err != ERR_OK)
        return failure_set(failure, err, "record %llu is damaged: %s", (unsigned long long)seq,
                           error_text(err));
    if (header.seq != seq || header.size != record.mv_size)
        return failure_set(failure, ERR_CORRUPT, "record %llu is found in the place of %llu",
                           (unsigned long long)header.seq, (unsigned long long)seq);
    return ERR_OK;
}

static int missing(uint64_t seq, struct failure *failure)
{
    return failure_set(failure, ERR_CORRUPT, "record %llu is missing", (unsigned long long)seq);
}

static int check_compacted(const struct journal_reader *r, uint64_t seq, struct failure *failure)
{
    if (seq >= r->view.oldest)
        return ERR_OK;
    return failure_set(failure, ERR_COMPACTED, "record %llu is compacted: the oldest is %llu",
                       (unsigned long long)seq, (unsigned long long)r->view.oldest);
}

static int record_failure(struct journal_reader *r, uint64_t seq, int rc, struct failure *failure)
{
    struct failure reason = {0};
    int err = read_failure(r, rc, &reason);
    return failure_set(failure, err, "record %llu: %.400s", (unsigned long long)seq, reason.text);
}

int journal_reader_get(struct journal_reader *r, uint64_t seq, struct bytes *ret_record,
                       struct failure *failure)
{
    if (!r->open)
        return not_open(failure);
    int err = check_compacted(r, seq, failure);
    if (err != ERR_OK)
        return err;
    if (seq > r->view.head)
        return failure_set(failure, ERR_NOT_FOUND, "record %llu is beyond the head, %llu",
                           (unsigned long long)seq, (unsigned long long)r->view.head);
    uint8_t seq_key[SEQ_KEY_SIZE];
    seq_key_store(seq_key, seq);
    MDB_val key = {sizeof seq_key, seq_key};
    MDB_val record;
    int rc = mdb_get(r->txn, r->journal->environment.journal, &key, &record);
    if (rc != 0)
        return rc == MDB_NOTFOUND ? missing(seq, failure) : record_failure(r, seq, rc, failure);
    err = check_record(seq, record, failure);
    if (err == ERR_OK)
        *ret_record = stored_bytes(record);
    return err;
}

int journal_reader_seek(struct journal_reader *r, uint64_t seq, struct failure *failure)
{
    if (!r->open)
        return not_open(failure);
    int err = check_compacted(r, seq, failure);
    if (err != ERR_OK)
        return err;
    int rc = renew_cursor(r, r->journal->environment.journal, &r->records, &r->records_renewed);
    if (rc != 0)
        return read_failure(r, rc, failure);
    r->next_seq = seq;
    r->seek_due = true;
    return ERR_OK;
}

int journal_reader_next(struct journal_reader *r, uint64_t *ret_seq, struct bytes *ret_record,
                        struct failure *failure)
{
    if (!r->open || r->next_seq == 0)
        return not_open(failure);
    uint64_t seq = r->next_seq;
    if (seq > r->view.head)
        return failure_set(failure, ERR_NOT_FOUND, "the head has been passed");
    uint8_t seq_key[SEQ_KEY_SIZE];
    seq_key_store(seq_key, seq);
    MDB_val key = {sizeof seq_key, seq_key};
    MDB_val record;
    int rc = mdb_cursor_get(r->records, &key, &record, r->seek_due ? MDB_SET_KEY : MDB_NEXT);
    r->seek_due = true; /* unless this one is whole */
    if (rc != 0)
        return rc == MDB_NOTFOUND ? missing(seq, failure) : record_failure(r, seq, rc, failure);
    if (key.mv_size != SEQ_KEY_SIZE || seq_key_load(key.mv_data) != seq)
        return missing(seq, failure);
    int err = check_record(seq, record, failure);
    if (err != ERR_OK)
        return err;
    r->seek_due = false;
    r->next_seq = seq + 1;
    *ret_seq = seq;
    *ret_record = stored_bytes(record);
    return ERR_OK;
}

static int unproven(const struct journal_reader *r, struct failure *failure)
{
    return failure_set(failure, ERR_CORRUPT, "the state is damaged: %s", r->rows_proof.why);
}

int journal_reader_rows(struct journal_reader *r, struct bytes prefix, struct bytes after,
                        struct failure *failure)
{
    if (!r->open)
        return not_open(failure);
    if (prefix.size > LIMIT_KEY_SIZE || after.size > LIMIT_KEY_SIZE)
        return failure_set(failure, ERR_INVALID, "a prefix or key is longer than %d bytes",
                           LIMIT_KEY_SIZE);
    int rc = renew_cursor(r, r->journal->environment.state, &r->rows, &r->rows_renewed);
    if (rc != 0)
        return read_failure(r, rc, failure);
    /* Before the prefix nothing matches: start there, if after is not beyond. */
    bool beyond = after.size > 0 && bytes_compare(after, prefix) >= 0;
    struct bytes from = beyond ? after : prefix;
    MDB_val key = lmdb_value(from);
    MDB_val stored;
    rc = mdb_cursor_get(r->rows, &key, &stored, from.size ? MDB_SET_RANGE : MDB_FIRST);
    if (rc == 0 && beyond && bytes_equal(stored_bytes(key), after))
        rc = mdb_cursor_get(r->rows, &key, &stored, MDB_NEXT);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return read_failure(r, rc, failure);
    r->rows_proof = (struct proof){.database = "state"};
    if (!proof_scan(&r->rows_proof, &r->journal->environment, r->txn, from, beyond))
        return unproven(r, failure);
    r->rows_ended = false;
    r->row_waits = rc == 0;
    r->prefix_size = prefix.size;
    if (prefix.size)
        memcpy(r->prefix, prefix.data, prefix.size);
    return ERR_OK;
}

int journal_reader_next_row(struct journal_reader *r, struct bytes *ret_key,
                            struct state_row *ret_row, struct failure *failure)
{
    if (!r->open || !r->rows_renewed)
        return not_open(failure);
    MDB_val key;
    MDB_val stored;
    int rc = r->row_waits ? mdb_cursor_get(r->rows, &key, &stored, MDB_GET_CURRENT) : MDB_NOTFOUND;
    if (rc != 0 && rc != MDB_NOTFOUND)
        return read_failure(r, rc, failure);
    struct bytes proven = rc == 0 ? stored_bytes(key) : (struct bytes){NULL, 0};
    if (!r->rows_ended && !proof_next(&r->rows_proof, &r->journal->environment, proven))
        return unproven(r, failure);
    if (rc == MDB_NOTFOUND || key.mv_size < r->prefix_size ||
        memcmp(key.mv_data, r->prefix, r->prefix_size) != 0) {
        r->row_waits = false;
        r->rows_ended = true;
        return failure_set(failure, ERR_NOT_FOUND, "no further row");
    }
    struct state_row row;
    char text[128];
    if (row_decode(stored_bytes(key), stored_bytes(stored), &row) != ERR_OK)
        return failure_set(failure, ERR_CORRUPT, "the row of key %s is damaged",
                           key_text(stored_bytes(key), text, sizeof text));
    *ret_key = stored_bytes(key);
    *ret_row = row;
    MDB_val following;
    rc = mdb_cursor_get(r->rows, &following, &stored, MDB_NEXT);
    r->row_waits = rc == 0;
    if (rc != 0 && rc != MDB_NOTFOUND)
        return read_failure(r, rc, failure);
    return ERR_OK;
}

int journal_reader_session(struct journal_reader *r, uint64_t first, uint64_t *ret_session,
                           struct bytes *ret_row, struct failure *failure)
{
    if (!r->open)
        return not_open(failure);
    int rc = renew_cursor(r, r->journal->environment.sessions, &r->sessions, &r->sessions_renewed);
    uint8_t id_key[SEQ_KEY_SIZE];
    seq_key_store(id_key, first);
    MDB_val key = {sizeof id_key, id_key};
    MDB_val stored;
    if (rc == 0)
        rc = mdb_cursor_get(r->sessions, &key, &stored, MDB_SET_RANGE);
    if (rc == MDB_NOTFOUND)
        return failure_set(failure, ERR_NOT_FOUND, "no further session");
    uint64_t session =
        rc == 0 && key.mv_size == SEQ_KEY_SIZE ? seq_key_load(key.mv_data) : UINT64_MAX;
    if (rc != 0 || session < first) {
        *ret_session = UINT64_MAX; /* there is no way to those behind it */
        return read_failure(r, rc ? rc : MDB_CORRUPTED, failure);
    }
    struct bytes row;
    int err = session_decode(stored_bytes(key), stored_bytes(stored), &session, &row);
    *ret_session = session;
    if (err != ERR_OK)
        return failure_set(failure, err, "the row of session %016llx is damaged",
                           (unsigned long long)session);
    *ret_row = row;
    return ERR_OK;
}

/* Rows under names: which, where they are, and the walk at hand. */
struct named_walk {
    const char *what;
    MDB_dbi database;
    MDB_cursor **cursor;
    bool *renewed;
    int (*decode)(struct bytes key, struct bytes stored, struct bytes *ret_row);
};

/* The first whose name is greater than after. */
static int next_named(struct journal_reader *r, const struct named_walk *w, struct bytes after,
                      struct bytes *ret_name, struct bytes *ret_row, struct failure *failure)
{
    if (!r->open)
        return not_open(failure);
    MDB_val key = lmdb_value(after);
    MDB_val stored;
    int rc = renew_cursor(r, w->database, w->cursor, w->renewed);
    if (rc == 0)
        rc = mdb_cursor_get(*w->cursor, &key, &stored, after.size > 0 ? MDB_SET_RANGE : MDB_FIRST);
    if (rc == 0 && bytes_equal(stored_bytes(key), after))
        rc = mdb_cursor_get(*w->cursor, &key, &stored, MDB_NEXT);
    if (rc == MDB_NOTFOUND)
        return failure_set(failure, ERR_NOT_FOUND, "no further %s", w->what);
    if (rc != 0 || bytes_compare(stored_bytes(key), after) <= 0) {
        /* There is no way to those behind it. */
        struct failure reason = {0};
        read_failure(r, rc ? rc : MDB_CORRUPTED, &reason);
        return failure_set(failure, ERR_IO, "%s", reason.text);
    }
    struct bytes name = stored_bytes(key);
    char text[LIMIT_CURSOR_NAME + 1];
    *ret_name = name;
    if (w->decode(name, stored_bytes(stored), ret_row) != ERR_OK)
        return failure_set(failure, ERR_CORRUPT, "the row of %s %s is damaged", w->what,
                           key_text(name, text, sizeof text));
    return ERR_OK;
}

int journal_reader_cursor(struct journal_reader *r, struct bytes after, struct bytes *ret_name,
                          struct bytes *ret_row, struct failure *failure)
{
    const struct named_walk w = {"cursor", r->journal->environment.cursors, &r->cursors,
                                 &r->cursors_renewed, cursor_decode};
    return next_named(r, &w, after, ret_name, ret_row, failure);
}

int journal_reader_life(struct journal_reader *r, struct bytes after, struct bytes *ret_name,
                        struct bytes *ret_row, struct failure *failure)
{
    const struct named_walk w = {"life", r->journal->environment.lives, &r->lives,
                                 &r->lives_renewed, life_decode};
    return next_named(r, &w, after, ret_name, ret_row, failure);
}
