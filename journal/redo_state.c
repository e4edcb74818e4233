/*
 * redo_state.c - see redo.h: rows of the state, made again from records, as far as
 * the run before had needed them: oldest cannot be where it was while the state
 * is behind it.
 *
 * What a change makes of a row is what server/core/key_state.c says; here the row
 * before it is in the state, because records are taken one after another.
 */
#define _GNU_SOURCE

#include <errno.h>

#include "journal/environment.h"
#include "journal/redo.h"
#include "protocol/record.h"

struct rolling {
    const struct environment *e;
    MDB_txn *txn;
    struct tally tally;
    struct wire_buffer record; /* a put may move what LMDB has shown */
};

/* LMDB's code. */
static int apply_change(struct rolling *r, uint64_t seq, const struct change *change)
{
    struct state_row before = {.deleted = true};
    MDB_val key = lmdb_value(change->key);
    MDB_val stored;
    int rc = mdb_get(r->txn, r->e->state, &key, &stored);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return rc;
    if (rc == 0 && row_decode(change->key, stored_bytes(stored), &before) != ERR_OK)
        return MDB_CORRUPTED;
    if (rc == 0 && before.modified >= seq)
        return 0; /* a checkpoint was there before */
    if (rc == 0)
        tally_remove(&r->tally, change->key, stored_bytes(stored));
    struct state_row after = {.modified = seq, .deleted = change->op != CHANGE_PUT};
    if (!after.deleted) {
        after.created = before.deleted ? seq : before.created;
        after.version = before.deleted ? 1 : before.version + 1;
        after.value = change->value;
    }
    return row_put(r->e, r->txn, change->key, &after, &r->tally);
}

static int apply_record(struct rolling *r, uint64_t seq)
{
    struct record_header header;
    struct change change;
    uint8_t seq_key[SEQ_KEY_SIZE];
    MDB_val key = {sizeof seq_key, seq_key};
    MDB_val stored;
    seq_key_store(seq_key, seq);
    int rc = mdb_get(r->txn, r->e->journal, &key, &stored);
    if (rc != 0)
        return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
    wire_buffer_clear(&r->record);
    wire_write_raw(&r->record, stored.mv_data, stored.mv_size);
    if (r->record.failed)
        return ENOMEM;
    if (record_check((struct bytes){r->record.data, r->record.size}, &header) != ERR_OK ||
        header.seq != seq)
        return MDB_CORRUPTED;
    struct change_iterator changes = record_changes(r->record.data);
    while (rc == 0 && change_next(&changes, &change))
        rc = apply_change(r, seq, &change);
    return rc;
}

int redo_rows(const struct environment *e, MDB_txn *txn, uint64_t after, uint64_t to)
{
    struct rolling r = {.e = e, .txn = txn};
    if (tally_get(e, txn, &r.tally) != ERR_OK)
        return MDB_CORRUPTED;
    wire_buffer_init(&r.record, LIMIT_RECORD_SIZE);
    int rc = 0;
    for (uint64_t seq = after + 1; rc == 0 && seq <= to; seq++)
        rc = apply_record(&r, seq);
    wire_buffer_free(&r.record);
    return rc ? rc : tally_put(e, txn, &r.tally);
}
