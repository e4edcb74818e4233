/*
 * redo_state.c - see redo.h: rows of the state, made again from records, as far as
 * the run before had needed them: oldest cannot be where it was while the state
 * is behind it.
 * The row before a change is in the state, because records are taken one after another.
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
    struct state_row row;
    struct bytes stored;
    int rc = row_find(r->e, r->txn, change->key, &row, &stored);
    if (rc != 0 || row.modified >= seq) /* a checkpoint was there before */
        return rc;
    row_change(&row, seq, change);
    return row_replace(r->e, r->txn, change->key, stored, &row, &r->tally);
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
