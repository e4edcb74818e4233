/*
 * rows.c - the state's rows, the tombstones of deleted ones, and the writer's
 * own view of them. Layouts: docs/journal-format.md.
 *
 * 1. A row's CRC covers its key: a row under a wrong key is found out.
 * 2. A row is replaced only by one of a later change.
 * 3. Where a row says deleted, there is a tombstone of its seq and key; not the
 *    other way round: the tombstone of a key that lives again stays until
 *    compaction passes it.
 */
#define _GNU_SOURCE

#include "journal/environment.h"
#include "protocol/crc32c.h"

enum {
    AT_CRC = 0,
    AT_FORMAT = 4,
    AT_FLAGS = 5,
    AT_CREATED = 8,
    AT_MODIFIED = ROW_MODIFIED_AT,
    AT_VERSION = 24,
    AT_KEY_CRC = 32,
};
enum { ROW_FLAG_DELETED = 1 };

static uint32_t row_crc(struct bytes key, const uint8_t *header, struct bytes value)
{
    uint32_t crc = crc32c(0, key.data, key.size);
    crc = crc32c(crc, header + AT_FORMAT, ROW_HEADER_SIZE - AT_FORMAT);
    return crc32c(crc, value.data, value.size);
}

void row_header_encode(struct bytes key, const struct state_row *row, uint8_t out[ROW_HEADER_SIZE])
{
    struct bytes value = row->deleted ? (struct bytes){NULL, 0} : row->value;
    memset(out, 0, ROW_HEADER_SIZE);
    out[AT_FORMAT] = ROW_FORMAT;
    out[AT_FLAGS] = row->deleted ? ROW_FLAG_DELETED : 0;
    wire_store_u64(out + AT_CREATED, row->created);
    wire_store_u64(out + AT_MODIFIED, row->modified);
    wire_store_u64(out + AT_VERSION, row->version);
    wire_store_u32(out + AT_KEY_CRC, crc32c(0, key.data, key.size));
    wire_store_u32(out + AT_CRC, row_crc(key, out, value));
}

int row_decode(struct bytes key, struct bytes stored, struct state_row *ret_row)
{
    if (stored.size < ROW_HEADER_SIZE)
        return ERR_CORRUPT;
    const uint8_t *p = stored.data;
    struct bytes value = {p + ROW_HEADER_SIZE, stored.size - ROW_HEADER_SIZE};
    if (p[AT_FORMAT] != ROW_FORMAT || wire_load_u32(p + AT_CRC) != row_crc(key, p, value))
        return ERR_CORRUPT;
    *ret_row = (struct state_row){
        .created = wire_load_u64(p + AT_CREATED),
        .modified = wire_load_u64(p + AT_MODIFIED),
        .version = wire_load_u64(p + AT_VERSION),
        .deleted = (p[AT_FLAGS] & ROW_FLAG_DELETED) != 0,
        .value = value,
    };
    return ERR_OK;
}

const char *key_text(struct bytes key, char *out, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;
    for (size_t i = 0; i < key.size; i++) {
        uint8_t c = key.data[i];
        bool plain = c >= 0x20 && c != 0x7f && c != '\\';
        if (n + (plain ? 1 : 4) + 1 > size)
            break;
        if (plain) {
            out[n++] = (char)c;
        } else {
            out[n++] = '\\';
            out[n++] = 'x';
            out[n++] = digits[c >> 4];
            out[n++] = digits[c & 15];
        }
    }
    out[n] = '\0';
    return out;
}

size_t tombstone_encode(uint64_t seq, struct bytes key, uint8_t out[TOMBSTONE_KEY_SIZE_MAX])
{
    seq_key_store(out, seq);
    memcpy(out + SEQ_KEY_SIZE, key.data, key.size);
    return SEQ_KEY_SIZE + key.size;
}

bool tombstone_decode(struct bytes stored_key, uint64_t *ret_seq, struct bytes *ret_key)
{
    if (stored_key.size <= SEQ_KEY_SIZE || stored_key.size > TOMBSTONE_KEY_SIZE_MAX)
        return false;
    *ret_seq = seq_key_load(stored_key.data);
    *ret_key = (struct bytes){stored_key.data + SEQ_KEY_SIZE, stored_key.size - SEQ_KEY_SIZE};
    return true;
}

static int tombstone_put(const struct environment *e, MDB_txn *txn, uint64_t seq, struct bytes key)
{
    uint8_t buffer[TOMBSTONE_KEY_SIZE_MAX];
    MDB_val stored_key = {tombstone_encode(seq, key, buffer), buffer};
    MDB_val nothing = {0, NULL};
    return mdb_put(txn, e->tombstones, &stored_key, &nothing, 0);
}

int row_put(const struct environment *e, MDB_txn *txn, struct bytes key,
            const struct state_row *row, struct tally *tally)
{
    size_t value_size = row->deleted ? 0 : row->value.size;
    MDB_val stored_key = lmdb_value(key);
    MDB_val stored = {ROW_HEADER_SIZE + value_size, NULL};
    int rc = mdb_put(txn, e->state, &stored_key, &stored, MDB_RESERVE);
    if (rc != 0)
        return rc;
    row_header_encode(key, row, stored.mv_data);
    if (value_size)
        memcpy((uint8_t *)stored.mv_data + ROW_HEADER_SIZE, row->value.data, value_size);
    tally_add(tally, key, stored_bytes(stored));
    return row->deleted ? tombstone_put(e, txn, row->modified, key) : 0;
}

int row_find(const struct environment *e, MDB_txn *txn, struct bytes key, struct state_row *ret_row,
             struct bytes *ret_stored)
{
    MDB_val stored_key = lmdb_value(key);
    MDB_val stored;
    int rc = mdb_get(txn, e->state, &stored_key, &stored);
    if (rc == MDB_NOTFOUND) {
        *ret_row = (struct state_row){.deleted = true};
        *ret_stored = (struct bytes){NULL, 0};
        return 0;
    }
    if (rc != 0)
        return rc;
    *ret_stored = stored_bytes(stored);
    return row_decode(key, *ret_stored, ret_row) == ERR_OK ? 0 : MDB_CORRUPTED;
}

void row_change(struct state_row *row, uint64_t seq, const struct change *change)
{
    bool was_there = !row->deleted;
    row->modified = seq;
    row->deleted = change->op != CHANGE_PUT;
    row->created = row->deleted ? 0 : was_there ? row->created : seq;
    row->version = row->deleted ? 0 : was_there ? row->version + 1 : 1;
    row->value = change->value;
}

int row_replace(const struct environment *e, MDB_txn *txn, struct bytes key, struct bytes stored,
                const struct state_row *row, struct tally *tally)
{
    if (stored.size > 0)
        tally_remove(tally, key, stored);
    return row_put(e, txn, key, row, tally);
}

/* ---- the writer's view ---- */

int journal_view_begin(struct journal *j, struct failure *failure)
{
    if (!j->environment.lmdb)
        return failure_set(failure, ERR_IO, "the journal in %s is closed", j->directory);
    if (j->view_open)
        return failure_set(failure, ERR_INTERNAL, "a view of the state is open already");
    int rc = j->view ? mdb_txn_renew(j->view)
                     : mdb_txn_begin(j->environment.lmdb, NULL, MDB_RDONLY, &j->view);
    if (rc != 0)
        return environment_failure(failure, rc, "read the state in", j->directory);
    j->view_open = true;
    j->view_proof = (struct proof){.database = "state"};
    j->scan_renewed = false;
    j->scan_open = false;
    return ERR_OK;
}

void journal_view_end(struct journal *j)
{
    if (j->view_open)
        mdb_txn_reset(j->view);
    j->view_open = false;
    j->scan_open = false;
}

void view_abort(struct journal *j)
{
    mdb_cursor_close(j->scan_cursor);
    mdb_txn_abort(j->view);
    j->scan_cursor = NULL;
    j->scan_renewed = false;
    j->scan_open = false;
    j->view = NULL;
}

void view_begin_anew(struct journal *j)
{
    view_abort(j);
    j->view_open = mdb_txn_begin(j->environment.lmdb, NULL, MDB_RDONLY, &j->view) == 0;
}

/* Whether the key that stands there is what it was: one that is damaged may have been key's. Its
 * value, which may be large, is not read. */
static bool is_key_whole(struct journal *j, unsigned index)
{
    const struct page *leaf = &j->view_proof.place.leaf;
    if (index >= leaf->count)
        return true;
    struct bytes key = page_node(leaf, index).key;
    MDB_val stored_key = lmdb_value(key);
    MDB_val stored;
    return mdb_get(j->view, j->environment.state, &stored_key, &stored) == 0 &&
           stored.mv_size >= ROW_HEADER_SIZE &&
           wire_load_u32((const uint8_t *)stored.mv_data + AT_KEY_CRC) ==
               crc32c(0, key.data, key.size);
}

/* LMDB finds no row: neither does the way through the pages, and those between which it would be
 * are what they were. */
static bool is_absent(struct journal *j, struct bytes key)
{
    bool found = false;
    if (!proof_find(&j->view_proof, &j->environment, j->view, key, &found) || found)
        return false;
    unsigned index = j->view_proof.place.index;
    return is_key_whole(j, index) && (index == 0 || is_key_whole(j, index - 1));
}

int journal_state_get(struct journal *j, struct bytes key, struct state_row *ret_row)
{
    if (!j->view_open)
        return j->environment.lmdb ? ERR_INTERNAL : ERR_IO;
    if (key.size == 0 || key.size > LIMIT_KEY_SIZE)
        return ERR_NOT_FOUND;
    MDB_val stored_key = lmdb_value(key);
    MDB_val stored;
    int rc = mdb_get(j->view, j->environment.state, &stored_key, &stored);
    if (rc != 0 && rc != MDB_NOTFOUND)
        view_begin_anew(j);
    if (rc == MDB_NOTFOUND && !is_absent(j, key))
        return ERR_CORRUPT;
    if (rc == 0 && !proof_in_place(&j->view_proof, &j->environment, j->view, key))
        return ERR_CORRUPT;
    return rc ? environment_error(rc) : row_decode(key, stored_bytes(stored), ret_row);
}

/* ---- rows of a batch ---- */

int journal_batch_put_row(struct journal *j, struct bytes key, const struct state_row *row,
                          struct failure *failure)
{
    char text[128];
    if (!j->txn || key.size == 0 || key.size > LIMIT_KEY_SIZE)
        return failure_set(failure, ERR_INTERNAL, "a row without a batch or a key");
    if (j->batch_error)
        return failure_set(failure, j->batch_error, "the batch has failed already");

    /* LMDB would spread the damage of a page that it changes. */
    if (!proof_find(&j->rows_proof, &j->environment, j->txn, key, NULL))
        return j->batch_error =
                   failure_set(failure, ERR_CORRUPT, "the state cannot be changed at key %s: %s",
                               key_text(key, text, sizeof text), j->rows_proof.why);
    MDB_val stored_key = lmdb_value(key);
    MDB_val stored;
    int rc = mdb_get(j->txn, j->environment.state, &stored_key, &stored);
    bool is_there = rc == 0;
    if (is_there) {
        struct state_row present;
        if (row_decode(key, stored_bytes(stored), &present) != ERR_OK)
            return j->batch_error =
                       failure_set(failure, ERR_CORRUPT, "the row of key %s is damaged",
                                   key_text(key, text, sizeof text));
        if (present.modified >= row->modified)
            return ERR_OK;
    } else if (rc != MDB_NOTFOUND) {
        return j->batch_error = environment_failure(failure, rc, "read the state in", j->directory);
    }

    size_t size = key.size + ROW_HEADER_SIZE + (row->deleted ? 0 : row->value.size);
    int err = space_charge_row(j, size, failure);
    if (err == ERR_OK && row->deleted)
        err = space_charge_row(j, SEQ_KEY_SIZE + key.size, failure);
    if (err != ERR_OK)
        return j->batch_error = err;
    j->tally_due = true;
    struct bytes before = is_there ? stored_bytes(stored) : (struct bytes){NULL, 0};
    rc = row_replace(&j->environment, j->txn, key, before, row, &j->next_tally);
    if (rc != 0)
        return j->batch_error = environment_failure(failure, rc, "write a row to", j->directory);
    return ERR_OK;
}
