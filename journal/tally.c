/*
 * tally.c - how many rows the state has, and a sum over what they are: a row of the
 * meta database that is written with every commit that changes rows.
 *
 * A row's CRC tells that it is as it was written, not that it is the newest, nor that
 * none is missing: where a page of the file is an older version of itself, all of its
 * rows are right by themselves. The records tell, as far back as there are records.
 * The tally tells for all rows.
 *
 *   0 u32 crc32c of the bytes from 4 on  4 u8 format  5 3 bytes 0  8 u64 rows  16 u64 sum
 *
 * The sum is modulo 2^64, so that it does not depend on the order, and a row that is
 * replaced is taken out of it without the others being read.
 */
#define _GNU_SOURCE

#include "journal/environment.h"
#include "protocol/crc32c.h"

static const char tally_key[] = "tally";
enum { TALLY_FORMAT = 1, AT_FORMAT = 4, AT_ROWS = 8, AT_SUM = 16, TALLY_SIZE = 24 };

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* The row's own CRC stands for key and value; modified tells its versions apart for sure. */
static uint64_t row_number(struct bytes key, struct bytes stored)
{
    uint64_t crcs = (uint64_t)crc32c(~UINT32_C(0), key.data, key.size) << 32;
    uint64_t modified = 0;
    if (stored.size >= ROW_HEADER_SIZE) {
        crcs |= wire_load_u32(stored.data);
        modified = wire_load_u64(stored.data + ROW_MODIFIED_AT);
    }
    return mix(mix(modified) ^ crcs);
}

void tally_add(struct tally *t, struct bytes key, struct bytes stored)
{
    t->rows++;
    t->sum += row_number(key, stored);
}

void tally_remove(struct tally *t, struct bytes key, struct bytes stored)
{
    t->rows--;
    t->sum -= row_number(key, stored);
}

int tally_get(const struct environment *e, MDB_txn *txn, struct tally *ret_tally)
{
    MDB_val key = {sizeof tally_key - 1, (void *)(uintptr_t)tally_key};
    MDB_val row;
    int rc = mdb_get(txn, e->meta, &key, &row);
    if (rc != 0)
        return environment_error(rc);
    const uint8_t *p = row.mv_data;
    if (row.mv_size != TALLY_SIZE || p[AT_FORMAT] != TALLY_FORMAT ||
        wire_load_u32(p) != crc32c(0, p + AT_FORMAT, TALLY_SIZE - AT_FORMAT))
        return ERR_CORRUPT;
    *ret_tally = (struct tally){wire_load_u64(p + AT_ROWS), wire_load_u64(p + AT_SUM)};
    return ERR_OK;
}

int tally_put(const struct environment *e, MDB_txn *txn, const struct tally *t)
{
    uint8_t row[TALLY_SIZE] = {0};
    row[AT_FORMAT] = TALLY_FORMAT;
    wire_store_u64(row + AT_ROWS, t->rows);
    wire_store_u64(row + AT_SUM, t->sum);
    wire_store_u32(row, crc32c(0, row + AT_FORMAT, TALLY_SIZE - AT_FORMAT));
    MDB_val key = {sizeof tally_key - 1, (void *)(uintptr_t)tally_key};
    MDB_val value = {sizeof row, row};
    return mdb_put(txn, e->meta, &key, &value, 0);
}

int tally_count(const struct environment *e, MDB_txn *txn, struct tally *ret_tally)
{
    struct tally t = {0};
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val stored;
    int rc = mdb_cursor_open(txn, e->state, &cursor);
    while (rc == 0 && (rc = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT)) == 0)
        tally_add(&t, stored_bytes(key), stored_bytes(stored));
    mdb_cursor_close(cursor);
    if (rc != MDB_NOTFOUND)
        return rc;
    *ret_tally = t;
    return 0;
}
