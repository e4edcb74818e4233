/*
 * kept.c - what the caller keeps of sessions, of named cursors and of lives, as
 * rows with a CRC. What is in them is the caller's (server/core/session_row.c,
 * cursor_rows.c, life_rows.c).
 *
 *   sessions   big-endian id    cursors, lives   the name's bytes
 *
 *   0 u32 crc32c of the key and the bytes from 4 on  4 u8 format  5 3 bytes 0  8 the row
 */
#define _GNU_SOURCE

#include "journal/environment.h"
#include "protocol/crc32c.h"

enum { AT_CRC = 0, AT_FORMAT = 4 };

int kept_decode(struct bytes key, struct bytes stored, struct bytes *ret_row)
{
    if (stored.size <= KEPT_HEADER_SIZE)
        return ERR_CORRUPT;
    uint32_t crc =
        crc32c(crc32c(0, key.data, key.size), stored.data + AT_FORMAT, stored.size - AT_FORMAT);
    if (wire_load_u32(stored.data + AT_CRC) != crc || stored.data[AT_FORMAT] != KEPT_FORMAT)
        return ERR_CORRUPT;
    *ret_row = (struct bytes){stored.data + KEPT_HEADER_SIZE, stored.size - KEPT_HEADER_SIZE};
    return ERR_OK;
}

int session_decode(struct bytes key, struct bytes stored, uint64_t *ret_session,
                   struct bytes *ret_row)
{
    if (key.size != SEQ_KEY_SIZE || kept_decode(key, stored, ret_row) != ERR_OK)
        return ERR_CORRUPT;
    *ret_session = seq_key_load(key.data);
    return ERR_OK;
}

int cursor_decode(struct bytes key, struct bytes stored, struct bytes *ret_row)
{
    return key.size == 0 || key.size > LIMIT_CURSOR_NAME ? ERR_CORRUPT
                                                         : kept_decode(key, stored, ret_row);
}

int life_decode(struct bytes key, struct bytes stored, struct bytes *ret_row)
{
    return key.size == 0 || key.size > JOURNAL_LIFE_NAME_SIZE ? ERR_CORRUPT
                                                              : kept_decode(key, stored, ret_row);
}

int kept_put(MDB_txn *txn, MDB_dbi database, struct bytes key, struct bytes row)
{
    MDB_val stored_key = lmdb_value(key);
    MDB_val stored = {KEPT_HEADER_SIZE + row.size, NULL};
    int rc = mdb_put(txn, database, &stored_key, &stored, MDB_RESERVE);
    if (rc != 0)
        return rc;
    uint8_t *p = stored.mv_data;
    memset(p, 0, KEPT_HEADER_SIZE);
    p[AT_FORMAT] = KEPT_FORMAT;
    memcpy(p + KEPT_HEADER_SIZE, row.data, row.size);
    uint32_t crc = crc32c(0, key.data, key.size);
    wire_store_u32(p + AT_CRC, crc32c(crc, p + AT_FORMAT, stored.mv_size - AT_FORMAT));
    return 0;
}

MDB_dbi kept_database(const struct environment *e, enum redo_kind kind)
{
    return kind == REDO_SESSION ? e->sessions : kind == REDO_CURSOR ? e->cursors : e->lives;
}

int kept_put_or_remove(MDB_txn *txn, MDB_dbi database, struct bytes key, struct bytes row)
{
    if (row.size > 0)
        return kept_put(txn, database, key, row);
    MDB_val stored_key = lmdb_value(key);
    int rc = mdb_del(txn, database, &stored_key, NULL);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int put_or_remove(struct journal *j, enum redo_kind kind, struct bytes key, struct bytes row,
                         struct failure *failure)
{
    static const char *const whats[] = {
        [REDO_SESSION] = "write a session to",
        [REDO_CURSOR] = "write a cursor to",
        [REDO_LIFE] = "write a life to",
    };
    int rc = kept_put_or_remove(j->txn, kept_database(&j->environment, kind), key, row);
    if (rc != 0)
        return j->batch_error = environment_failure(failure, rc, whats[kind], j->directory);
    const struct redo_item item = {.kind = kind, .key = key, .value = row};
    return j->batch_error = redo_add(j, &item, failure);
}

static int check_batch(const struct journal *j, struct failure *failure)
{
    if (!j->txn)
        return failure_set(failure, ERR_INTERNAL, "no batch is open");
    if (j->batch_error)
        return failure_set(failure, j->batch_error, "the batch has failed already");
    return ERR_OK;
}

int journal_batch_put_session(struct journal *j, uint64_t session, struct bytes row,
                              struct failure *failure)
{
    uint8_t id[SEQ_KEY_SIZE];
    struct bytes key = {id, sizeof id};
    int err = check_batch(j, failure);
    if (err != ERR_OK)
        return err;
    err = space_charge_session(j, SEQ_KEY_SIZE + KEPT_HEADER_SIZE + (uint64_t)row.size, failure);
    if (err != ERR_OK)
        return j->batch_error = err;
    seq_key_store(id, session);
    return put_or_remove(j, REDO_SESSION, key, row, failure);
}

int journal_batch_put_cursor(struct journal *j, struct bytes name, struct bytes row,
                             struct failure *failure)
{
    int err = check_batch(j, failure);
    if (err != ERR_OK)
        return err;
    if (name.size == 0 || name.size > LIMIT_CURSOR_NAME)
        return failure_set(failure, ERR_INTERNAL, "a cursor's name of %zu bytes", name.size);
    err = space_charge_cursor(j, name.size + KEPT_HEADER_SIZE + (uint64_t)row.size, failure);
    if (err != ERR_OK)
        return j->batch_error = err;
    return put_or_remove(j, REDO_CURSOR, name, row, failure);
}

int journal_batch_put_life(struct journal *j, struct bytes name, struct bytes row,
                           struct failure *failure)
{
    int err = check_batch(j, failure);
    if (err != ERR_OK)
        return err;
    if (name.size == 0 || name.size > JOURNAL_LIFE_NAME_SIZE)
        return failure_set(failure, ERR_INTERNAL, "a life's name of %zu bytes", name.size);
    err = space_charge_life(j, name.size + KEPT_HEADER_SIZE + (uint64_t)row.size, failure);
    if (err != ERR_OK)
        return j->batch_error = err;
    return put_or_remove(j, REDO_LIFE, name, row, failure);
}
