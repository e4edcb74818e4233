/*
 * verify.c - reads a whole journal and holds its parts against each other:
 * records first, in order, then rows, then tombstones, then sessions, cursors and lives.
 *
 * 1. A fault is reported and passed over; only what cannot be read at all ends
 *    it. What follows from a fault that was reported (a change whose predecessor
 *    stood in a damaged record) is not reported again.
 * 2. Memory grows with the number of distinct keys (about 80 bytes and the key),
 *    not with that of records.
 */
#define _GNU_SOURCE

#include "journal/environment.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "journal/key_table.h"
#include "protocol/record.h"

enum { PROGRESS_EVERY = 65536 };

struct verification {
    const struct environment *e;
    const char *directory;
    const struct verify_options *options;
    struct failure *failure;
    MDB_txn *txn;
    struct meta meta;
    uint64_t head;
    uint64_t bytes; /* of records up to meta.head */
    uint64_t done;
    uint64_t all;
    uint64_t bad_first; /* records bad_first..bad_last are not all whole; 0: all are */
    uint64_t bad_last;
    struct key_table keys;
    struct tally tally; /* of the rows that were read */
    struct verify_findings findings;
};

static void keep_so_far(struct verification *v)
{
    if (v->options->so_far)
        *v->options->so_far = v->findings.report;
}

static void report_problem(struct verification *v, uint64_t seq, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void report_problem(struct verification *v, uint64_t seq, const char *format, ...)
{
    v->findings.report.problems++;
    if (!v->options->problem)
        return;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    v->options->problem(v->options->context, seq, text);
}

static void advance(struct verification *v)
{
    keep_so_far(v);
    if (++v->done % PROGRESS_EVERY == 0 && v->options->progress)
        v->options->progress(v->options->context, v->done, v->all);
}

static int read_failure(struct verification *v, int rc)
{
    return environment_failure(v->failure, rc, "read the journal in", v->directory);
}

/* ---- records ---- */

static void mark_bad(struct verification *v, uint64_t first, uint64_t last)
{
    if (v->bad_first == 0)
        v->bad_first = first;
    v->bad_last = last;
    if (v->findings.first_bad == 0)
        v->findings.first_bad = first;
}

static bool is_bad(const struct verification *v, uint64_t seq)
{
    return v->bad_first != 0 && seq >= v->bad_first && seq <= v->bad_last;
}

static void check_predecessor(struct verification *v, uint64_t seq, const struct change *c,
                              const struct key_entry *entry)
{
    char text[128];
    bool right = entry->last_seq ? c->prev_seq == entry->last_seq : c->prev_seq < v->meta.oldest;
    if (right || (is_bad(v, c->prev_seq) && c->prev_seq > entry->last_seq && c->prev_seq < seq))
        return;
    if (entry->last_seq)
        report_problem(v, seq, "key %s: the change before is %llu, not %llu",
                       key_text(c->key, text, sizeof text), (unsigned long long)entry->last_seq,
                       (unsigned long long)c->prev_seq);
    else
        report_problem(v, seq, "key %s: the change before, %llu, is not there",
                       key_text(c->key, text, sizeof text), (unsigned long long)c->prev_seq);
}

static int check_changes(struct verification *v, uint64_t seq, const uint8_t *record)
{
    struct change_iterator i = record_changes(record);
    struct change c;
    while (change_next(&i, &c)) {
        struct key_entry *entry = key_table_add(&v->keys, c.key);
        if (!entry)
            return failure_set(v->failure, ERR_NO_MEMORY, "out of memory after %zu keys",
                               v->keys.count);
        check_predecessor(v, seq, &c, entry);
        entry->last_seq = seq;
        entry->last_at = (uint32_t)(c.key.data - record);
        entry->last_deleted = c.op != CHANGE_PUT;
        if (seq <= v->meta.applied)
            entry->applied_seq = seq;
        v->findings.report.changes++;
    }
    return ERR_OK;
}

static int check_record(struct verification *v, uint64_t seq, MDB_val stored)
{
    struct record_header header;
    int err = record_check(stored_bytes(stored), &header);
    if (err != ERR_OK) {
        report_problem(v, seq, "record %llu: %s", (unsigned long long)seq, error_text(err));
    } else if (header.seq != seq || header.size != stored.mv_size ||
               (header.flags & RECORD_FLAG_VIEW) != 0 || header.count != header.parts) {
        report_problem(v, seq, "record %llu: another one is in its place (seq %llu)",
                       (unsigned long long)seq, (unsigned long long)header.seq);
    } else {
        return check_changes(v, seq, stored.mv_data);
    }
    mark_bad(v, seq, seq);
    return ERR_OK;
}

static void report_missing(struct verification *v, uint64_t first, uint64_t last)
{
    if (first == last)
        report_problem(v, first, "record %llu is missing", (unsigned long long)first);
    else
        report_problem(v, first, "records %llu to %llu are missing", (unsigned long long)first,
                       (unsigned long long)last);
    mark_bad(v, first, last);
}

/* One entry of the journal; *expected moves on. */
static int check_entry(struct verification *v, MDB_val key, MDB_val record, uint64_t *expected)
{
    uint64_t seq = key.mv_size == SEQ_KEY_SIZE ? seq_key_load(key.mv_data) : 0;
    if (seq < *expected) {
        report_problem(v, seq, "a record is out of place: %llu, after %llu",
                       (unsigned long long)seq, (unsigned long long)(*expected - 1));
        mark_bad(v, *expected, *expected);
        return ERR_OK;
    }
    if (seq > *expected)
        report_missing(v, *expected, seq - 1);
    *expected = seq + 1;
    v->findings.report.head = seq;
    if (seq <= v->meta.head)
        v->bytes += record.mv_size;
    v->findings.report.records += seq >= v->meta.oldest;
    /* Those before oldest wait for their removal: nobody reads them any more. */
    return seq >= v->meta.oldest ? check_record(v, seq, record) : ERR_OK;
}

static int check_records(struct verification *v)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val record;
    uint64_t expected = v->meta.trimmed;
    int err = ERR_OK;
    int rc = mdb_cursor_open(v->txn, v->e->journal, &cursor);
    if (rc != 0)
        return read_failure(v, rc);
    while (err == ERR_OK && (rc = mdb_cursor_get(cursor, &key, &record, MDB_NEXT)) == 0) {
        err = check_entry(v, key, record, &expected);
        advance(v);
    }
    mdb_cursor_close(cursor);
    if (err != ERR_OK)
        return err;
    uint64_t end = v->head > v->meta.head ? v->head : v->meta.head;
    if (rc != MDB_NOTFOUND) {
        report_problem(v, expected, "the journal cannot be read beyond record %llu: %s",
                       (unsigned long long)(expected - 1), mdb_strerror(rc));
        mark_bad(v, expected, end > expected ? end : expected);
    } else if (expected <= end) {
        report_missing(v, expected, end);
    } else if (v->findings.first_bad == 0 && v->bytes != v->meta.bytes) {
        report_problem(v, v->meta.head, "the records have %llu bytes, the meta row says %llu",
                       (unsigned long long)v->bytes, (unsigned long long)v->meta.bytes);
    }
    v->findings.report.head = expected - 1;
    return ERR_OK;
}

/* ---- rows ---- */

static void report_row(struct verification *v, uint64_t seq, struct bytes key, const char *what)
{
    char text[256];
    v->findings.state_problems++;
    report_problem(v, seq, "the row of key %s %s", key_text(key, text, sizeof text), what);
}

static bool has_effect(const struct state_row *row, const struct change *c)
{
    if (c->op != CHANGE_PUT)
        return row->deleted;
    return !row->deleted && bytes_equal(row->value, c->value);
}

/* The change of key in the record at seq; at: where it is if it is the key's last one, or 0. */
static bool find_change(struct verification *v, uint64_t seq, struct bytes key, uint32_t at,
                        struct change *ret_change)
{
    uint8_t seq_key[SEQ_KEY_SIZE];
    seq_key_store(seq_key, seq);
    MDB_val stored_key = {sizeof seq_key, seq_key};
    MDB_val record;
    if (mdb_get(v->txn, v->e->journal, &stored_key, &record) != 0)
        return false;
    const uint8_t *start = record.mv_data;
    struct change_iterator i = record_changes(start);
    if (at) {
        i.reader = wire_reader_of(start + at - CHANGE_HEADER_SIZE,
                                  record.mv_size - at + CHANGE_HEADER_SIZE);
        i.left = 1;
    }
    while (change_next(&i, ret_change))
        if (bytes_equal(ret_change->key, key))
            return true;
    return false;
}

/* The row against the record of its last change, where that is still there. */
static void compare_row(struct verification *v, struct bytes key, const struct state_row *row,
                        const struct key_entry *entry)
{
    struct change c;
    if (row->modified < v->meta.oldest) {
        if (entry && entry->applied_seq)
            report_row(v, entry->applied_seq, key, "is older than the key's last change");
        return;
    }
    if (is_bad(v, row->modified))
        return;
    uint32_t at = entry && row->modified == entry->last_seq ? entry->last_at : 0;
    if (!entry || !find_change(v, row->modified, key, at, &c))
        report_row(v, row->modified, key, "names a record that does not change the key");
    else if (row->modified < entry->applied_seq)
        report_row(v, entry->applied_seq, key, "is older than the key's last change");
    else if (!has_effect(row, &c))
        report_row(v, row->modified, key, "is not what its record made of it");
}

static void check_tombstone(struct verification *v, struct bytes key, const struct state_row *row)
{
    uint8_t buffer[TOMBSTONE_KEY_SIZE_MAX];
    MDB_val stored_key = {tombstone_encode(row->modified, key, buffer), buffer};
    MDB_val nothing;
    if (mdb_get(v->txn, v->e->tombstones, &stored_key, &nothing) != 0)
        report_row(v, row->modified, key, "is deleted, but has no tombstone");
}

static void check_row(struct verification *v, MDB_val stored_key, MDB_val stored)
{
    struct bytes key = stored_bytes(stored_key);
    struct state_row row;
    if (key.size > LIMIT_KEY_SIZE) {
        report_row(v, 0, key, "has a key that is too long");
        return;
    }
    struct key_entry *entry = key_table_find(&v->keys, key);
    if (entry)
        entry->row_seen = true;
    if (row_decode(key, stored_bytes(stored), &row) != ERR_OK) {
        report_row(v, 0, key, "is damaged");
        return;
    }
    if (row.modified > v->findings.row_newest)
        v->findings.row_newest = row.modified;
    if (!entry && !row.deleted)
        v->findings.report.keys++;
    if (row.modified == 0 || row.created > row.modified || row.deleted != (row.version == 0)) {
        report_row(v, row.modified, key, "contradicts itself");
        return;
    }
    if (row.modified > v->findings.report.head) {
        report_row(v, row.modified, key, "is newer than the journal");
        return;
    }
    compare_row(v, key, &row, entry);
    if (row.deleted)
        check_tombstone(v, key, &row);
}

/* Keys whose last change should be in the state and is not. */
static void check_absent_rows(struct verification *v)
{
    for (size_t i = 0; i < v->keys.count; i++) {
        const struct key_entry *entry = &v->keys.entries[i];
        if (!entry->last_deleted)
            v->findings.report.keys++;
        if (entry->applied_seq && !entry->row_seen)
            report_row(v, entry->applied_seq, key_table_key(&v->keys, entry), "is missing");
    }
}

/* Rows of keys whose changes have all been compacted: nothing else tells of them. */
static void check_tally(struct verification *v)
{
    struct tally kept;
    int err = tally_get(v->e, v->txn, &kept);
    if (err == ERR_NOT_FOUND)
        return; /* made before there was one */
    if (err == ERR_OK && kept.rows == v->tally.rows && kept.sum == v->tally.sum)
        return;
    v->findings.state_problems++;
    if (err != ERR_OK)
        report_problem(v, 0, "the tally of the state's rows is damaged");
    else if (kept.rows != v->tally.rows)
        report_problem(v, 0, "the state has %llu rows, and should have %llu",
                       (unsigned long long)v->tally.rows, (unsigned long long)kept.rows);
    else
        report_problem(v, 0, "rows of the state are not those that were written last");
}

static int check_rows(struct verification *v)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val stored;
    uint8_t before[LIMIT_KEY_SIZE];
    size_t before_size = 0;
    int rc = mdb_cursor_open(v->txn, v->e->state, &cursor);
    if (rc != 0)
        return read_failure(v, rc);
    while ((rc = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT)) == 0) {
        if (before_size &&
            bytes_compare(stored_bytes(key), (struct bytes){before, before_size}) <= 0)
            report_row(v, 0, stored_bytes(key), "is out of order");
        check_row(v, key, stored);
        tally_add(&v->tally, stored_bytes(key), stored_bytes(stored));
        before_size = key.mv_size < sizeof before ? key.mv_size : sizeof before;
        memcpy(before, key.mv_data, before_size);
        advance(v);
    }
    mdb_cursor_close(cursor);
    if (rc != MDB_NOTFOUND) {
        v->findings.state_problems++;
        report_problem(v, 0, "the state cannot be read to its end: %s", mdb_strerror(rc));
    }
    check_absent_rows(v);
    check_tally(v);
    return ERR_OK;
}

/* ---- sessions, cursors, lives ---- */

static int check_kept(struct verification *v, MDB_dbi database, const char *plural,
                      void (*check)(struct verification *v, MDB_val key, MDB_val stored))
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val stored;
    int rc = mdb_cursor_open(v->txn, database, &cursor);
    if (rc != 0)
        return read_failure(v, rc);
    while ((rc = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT)) == 0) {
        check(v, key, stored);
        advance(v);
    }
    mdb_cursor_close(cursor);
    if (rc != MDB_NOTFOUND)
        report_problem(v, 0, "the %s cannot be read to their end: %s", plural, mdb_strerror(rc));
    return ERR_OK;
}

static void check_session(struct verification *v, MDB_val key, MDB_val stored)
{
    uint64_t session = 0;
    struct bytes row;
    if (session_decode(stored_bytes(key), stored_bytes(stored), &session, &row) != ERR_OK)
        report_problem(v, 0, "the row of a session is damaged: it will not be known");
    v->findings.report.sessions++;
}

static void check_cursor(struct verification *v, MDB_val key, MDB_val stored)
{
    struct bytes row;
    char text[LIMIT_CURSOR_NAME + 1];
    if (cursor_decode(stored_bytes(key), stored_bytes(stored), &row) != ERR_OK)
        report_problem(v, 0, "the row of cursor %s is damaged: it will not be known",
                       key_text(stored_bytes(key), text, sizeof text));
    v->findings.report.cursors++;
}

static void check_life(struct verification *v, MDB_val key, MDB_val stored)
{
    struct bytes row;
    char text[LIMIT_KEY_SIZE + 1];
    if (life_decode(stored_bytes(key), stored_bytes(stored), &row) != ERR_OK)
        report_problem(v, 0, "the row of life %s is damaged: it will not be known",
                       key_text(stored_bytes(key), text, sizeof text));
    v->findings.report.lives++;
}

/* ---- pages ---- */

static void take_page_problem(void *context, const char *text)
{
    struct verification *v = context;
    report_problem(v, 0, "%s", text);
}

/* Before anything else: it never crashes, whatever is in them. */
static int check_pages(struct verification *v)
{
    const struct page_walk_options options = {take_page_problem, v};
    if (!v->e->map)
        return ERR_OK;
    int rc = pages_walk(v->e->lmdb, v->txn, v->e->map, &options);
    return rc ? read_failure(v, rc) : ERR_OK;
}

/* ---- the whole ---- */

static uint64_t entries_of(const struct verification *v, MDB_dbi database)
{
    MDB_stat stat;
    return mdb_stat(v->txn, database, &stat) == 0 ? stat.ms_entries : 0;
}

static int begin(struct verification *v)
{
    int rc = mdb_txn_begin(v->e->lmdb, NULL, MDB_RDONLY, &v->txn);
    if (rc != 0)
        return read_failure(v, rc);
    int err = environment_meta_get(v->e, v->txn, v->directory, &v->meta, v->failure);
    if (err != ERR_OK)
        return err;
    rc = environment_last_seq(v->e, v->txn, &v->head);
    if (rc != 0)
        v->head = v->meta.head; /* the walk will say what is wrong */
    v->all = entries_of(v, v->e->journal) + entries_of(v, v->e->state) +
             (v->e->has_sessions ? entries_of(v, v->e->sessions) : 0) +
             (v->e->has_cursors ? entries_of(v, v->e->cursors) : 0) +
             (v->e->has_lives ? entries_of(v, v->e->lives) : 0);
    v->findings.report.epoch = v->meta.epoch;
    v->findings.report.oldest = v->meta.oldest;
    v->findings.report.applied = v->meta.applied;
    keep_so_far(v);
    return ERR_OK;
}

int verify_environment(const struct environment *e, const char *directory,
                       const struct verify_options *options, struct verify_findings *ret_findings,
                       struct failure *failure)
{
    struct verification v = {
        .e = e, .directory = directory, .options = options, .failure = failure};
    int err = begin(&v);
    if (err == ERR_OK)
        err = check_pages(&v);
    if (err == ERR_OK)
        err = check_records(&v);
    if (err == ERR_OK)
        err = check_rows(&v);
    if (err == ERR_OK && e->has_sessions)
        err = check_kept(&v, e->sessions, "sessions", check_session);
    if (err == ERR_OK && e->has_cursors)
        err = check_kept(&v, e->cursors, "cursors", check_cursor);
    if (err == ERR_OK && e->has_lives)
        err = check_kept(&v, e->lives, "lives", check_life);
    if (err == ERR_OK && options->progress)
        options->progress(options->context, v.done, v.done);
    mdb_txn_abort(v.txn);
    key_table_free(&v.keys);
    if (err == ERR_OK)
        *ret_findings = v.findings;
    return err;
}
