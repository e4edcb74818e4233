/*
 * sessions.c - what the caller keeps of sessions, as rows with a CRC. What is in
 * them is the caller's (server/core/session_row.c).
 *
 *   0 u32 crc32c of the key and the bytes from 4 on  4 u8 format  5 3 bytes 0  8 the row
 */
#define _GNU_SOURCE

#include "journal/environment.h"
#include "protocol/crc32c.h"

enum { AT_CRC = 0, AT_FORMAT = 4 };

int session_decode(struct bytes key, struct bytes stored, uint64_t *ret_session,
                   struct bytes *ret_row)
{
    if (key.size != SEQ_KEY_SIZE || stored.size <= SESSION_HEADER_SIZE)
        return ERR_CORRUPT;
    uint32_t crc =
        crc32c(crc32c(0, key.data, key.size), stored.data + AT_FORMAT, stored.size - AT_FORMAT);
    if (wire_load_u32(stored.data + AT_CRC) != crc || stored.data[AT_FORMAT] != SESSION_FORMAT)
        return ERR_CORRUPT;
    *ret_session = seq_key_load(key.data);
    *ret_row = (struct bytes){stored.data + SESSION_HEADER_SIZE, stored.size - SESSION_HEADER_SIZE};
    return ERR_OK;
}

static int put(struct journal *j, MDB_val *key, struct bytes row)
{
    MDB_val stored = {SESSION_HEADER_SIZE + row.size, NULL};
    int rc = mdb_put(j->txn, j->environment.sessions, key, &stored, MDB_RESERVE);
    if (rc != 0)
        return rc;
    uint8_t *p = stored.mv_data;
    memset(p, 0, SESSION_HEADER_SIZE);
    p[AT_FORMAT] = SESSION_FORMAT;
    memcpy(p + SESSION_HEADER_SIZE, row.data, row.size);
    uint32_t crc = crc32c(0, key->mv_data, key->mv_size);
    wire_store_u32(p + AT_CRC, crc32c(crc, p + AT_FORMAT, stored.mv_size - AT_FORMAT));
    return 0;
}

int journal_batch_put_session(struct journal *j, uint64_t session, struct bytes row,
                              struct failure *failure)
{
    if (!j->txn)
        return failure_set(failure, ERR_INTERNAL, "a session without a batch");
    if (j->batch_error)
        return failure_set(failure, j->batch_error, "the batch has failed already");
    int err =
        space_charge_session(j, SEQ_KEY_SIZE + SESSION_HEADER_SIZE + (uint64_t)row.size, failure);
    if (err != ERR_OK)
        return j->batch_error = err;
    uint8_t id_key[SEQ_KEY_SIZE];
    seq_key_store(id_key, session);
    MDB_val key = {sizeof id_key, id_key};
    int rc =
        row.size > 0 ? put(j, &key, row) : mdb_del(j->txn, j->environment.sessions, &key, NULL);
    if (rc != 0 && !(row.size == 0 && rc == MDB_NOTFOUND))
        return j->batch_error =
                   environment_failure(failure, rc, "write a session to", j->directory);
    return ERR_OK;
}
