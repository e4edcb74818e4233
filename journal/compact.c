/*
 * compact.c - moving oldest, and removing what lies before it.
 *
 *   trimmed <= oldest <= min(applied + 1, head), and <= hold's from
 *
 * A target moves oldest at once; the records before it go in steps, and trimmed
 * tells how far. What retention drops moves both together, once the target's
 * records are gone. Tombstones follow oldest. Where somebody is waited for, both
 * stop before what he has not seen; how much that is, is known exactly when the
 * records before it are gone, and only then it is held against the hold's limits.
 */
#define _GNU_SOURCE

#include "journal/environment.h"
#include "protocol/record.h"

enum { RECORD_AT_TIME = 16 };

/* One call's work. */
struct compaction {
    struct journal *j;
    const struct journal_retention *retention;
    uint64_t now_us;
    uint64_t target;           /* at most head */
    uint64_t limit;            /* oldest cannot be moved beyond it */
    struct journal_hold *hold; /* NULL: none */
    uint32_t left;             /* removals */
    bool more;
    bool blocked;
    bool out_of_space; /* stop here, and keep what is done */
    bool overtaken;    /* likewise: the hold has been passed */
    bool removed_any;
    struct failure *failure;
};

static bool retention_drops(const struct compaction *c, MDB_val record)
{
    const struct journal_retention *retention = c->retention;
    const struct meta *m = &c->j->next;
    if (!retention)
        return false;
    if (retention->records && m->head - m->oldest + 1 > retention->records)
        return true;
    if (retention->bytes && m->bytes - record.mv_size >= retention->bytes)
        return true;
    uint64_t time_us = wire_load_u64((const uint8_t *)record.mv_data + RECORD_AT_TIME);
    return retention->age_us && time_us < c->now_us && c->now_us - time_us > retention->age_us;
}

/* Whether the hold's limits allow to keep record, the first of those that are waited for. */
static enum journal_hold_limit hold_exceeded(const struct compaction *c, MDB_val record)
{
    const struct journal_hold *hold = c->hold;
    const struct meta *m = &c->j->next;
    uint64_t time_us = wire_load_u64((const uint8_t *)record.mv_data + RECORD_AT_TIME);
    if (hold->records && m->head - m->trimmed + 1 > hold->records)
        return JOURNAL_HOLD_RECORDS;
    if (hold->bytes && m->bytes > hold->bytes)
        return JOURNAL_HOLD_BYTES;
    if (hold->age_us && time_us < c->now_us && c->now_us - time_us > hold->age_us)
        return JOURNAL_HOLD_AGE;
    return JOURNAL_HOLD_NONE;
}

/* Whether record, the first in the file and waited for, stays. */
static bool hold_keeps(struct compaction *c, MDB_val record)
{
    struct journal_hold *hold = c->hold;
    hold->exceeded = hold_exceeded(c, record);
    hold->held = hold->exceeded == JOURNAL_HOLD_NONE;
    return hold->held;
}

static int removal_failure(struct compaction *c, int rc)
{
    return c->j->batch_error =
               environment_failure(c->failure, rc, "remove old records from", c->j->directory);
}

/* Room for one more removal. A full disk ends the step, unless nothing was removed yet. */
static int charge(struct compaction *c, int err)
{
    if (err == ERR_NO_SPACE && c->removed_any) {
        c->out_of_space = true;
        c->more = true;
        return ERR_OK;
    }
    return c->j->batch_error = err;
}

/* Decides on the first record in the file: *ret_remove. */
static int consider_first(struct compaction *c, MDB_val key, MDB_val record, bool *ret_remove)
{
    const struct meta *m = &c->j->next;
    if (key.mv_size != SEQ_KEY_SIZE || seq_key_load(key.mv_data) != m->trimmed ||
        record.mv_size < RECORD_HEADER_SIZE || m->bytes < record.mv_size)
        return c->j->batch_error =
                   failure_set(c->failure, ERR_CORRUPT, "record %llu is not where it should be",
                               (unsigned long long)m->trimmed);
    bool wanted = m->trimmed < m->oldest;
    bool is_waited_for = false;
    if (!wanted && m->trimmed < m->head && (m->trimmed < c->target || retention_drops(c, record))) {
        wanted = m->oldest < c->limit;
        c->blocked = c->blocked || !wanted;
        is_waited_for = c->hold && m->trimmed >= c->hold->from;
    }
    if (wanted && c->left == 0) {
        c->more = true;
        wanted = false;
    }
    *ret_remove = wanted && !(is_waited_for && hold_keeps(c, record));
    return ERR_OK;
}

static int remove_records(struct compaction *c, MDB_cursor *cursor)
{
    struct journal *j = c->j;
    while (!c->out_of_space && !c->overtaken) {
        MDB_val key;
        MDB_val record;
        bool remove = false;
        int rc = mdb_cursor_get(cursor, &key, &record, MDB_FIRST);
        if (rc != 0)
            return rc == MDB_NOTFOUND ? ERR_OK : removal_failure(c, rc);
        int err = consider_first(c, key, record, &remove);
        if (err != ERR_OK || !remove)
            return err;
        uint64_t size = record.mv_size;
        err = charge(c, space_charge_removal(j, SEQ_KEY_SIZE + size, c->failure));
        if (err != ERR_OK || c->out_of_space)
            return err;
        rc = mdb_cursor_del(cursor, 0);
        if (rc != 0)
            return removal_failure(c, rc);
        j->next.trimmed++;
        if (j->next.oldest < j->next.trimmed)
            j->next.oldest = j->next.trimmed;
        j->next.bytes -= size;
        j->meta_due = true;
        c->removed_any = true;
        c->left--;
        c->overtaken = c->hold && c->hold->exceeded != JOURNAL_HOLD_NONE;
        c->more = c->more || c->overtaken;
    }
    return ERR_OK;
}

static void take_hold(struct compaction *c)
{
    struct journal_hold *hold = c->retention ? c->retention->hold : NULL;
    if (!hold)
        return;
    hold->held = false;
    hold->exceeded = JOURNAL_HOLD_NONE;
    if (hold->from != 0 && hold->from >= c->j->next.oldest)
        c->hold = hold;
}

/* Moves oldest to the target, or as far as it may. */
static void move_oldest(struct compaction *c)
{
    struct meta *m = &c->j->next;
    uint64_t wanted = c->target;
    if (c->hold && wanted > c->hold->from)
        wanted = c->hold->from;
    c->blocked = wanted > c->limit;
    if (c->blocked)
        wanted = c->limit;
    if (wanted > m->oldest) {
        m->oldest = wanted;
        c->j->meta_due = true;
    }
}

/* Removes the key's row, if that is still the deletion at seq. */
static int remove_row(struct compaction *c, struct bytes key, uint64_t seq)
{
    struct journal *j = c->j;
    MDB_val row_key = lmdb_value(key);
    MDB_val stored;
    struct state_row row;
    char text[128];
    int rc = mdb_get(j->txn, j->environment.state, &row_key, &stored);
    if (rc == MDB_NOTFOUND)
        return ERR_OK;
    if (rc != 0)
        return removal_failure(c, rc);
    if (row_decode(key, stored_bytes(stored), &row) != ERR_OK)
        return j->batch_error = failure_set(c->failure, ERR_CORRUPT, "the row of key %s is damaged",
                                            key_text(key, text, sizeof text));
    if (!row.deleted || row.modified != seq)
        return ERR_OK;
    if (!proof_find(&j->rows_proof, &j->environment, j->txn, key, NULL))
        return j->batch_error =
                   failure_set(c->failure, ERR_CORRUPT, "the row of key %s cannot be removed: %s",
                               key_text(key, text, sizeof text), j->rows_proof.why);
    tally_remove(&j->next_tally, key, stored_bytes(stored));
    j->tally_due = true;
    rc = mdb_del(j->txn, j->environment.state, &row_key, NULL);
    return rc ? removal_failure(c, rc) : ERR_OK;
}

static int remove_tombstones(struct compaction *c, MDB_cursor *cursor)
{
    struct journal *j = c->j;
    while (!c->out_of_space) {
        MDB_val stored_key;
        MDB_val nothing;
        uint64_t seq = 0;
        struct bytes key;
        uint8_t copy[LIMIT_KEY_SIZE]; /* LMDB may move its pages while the row is removed */
        int rc = mdb_cursor_get(cursor, &stored_key, &nothing, MDB_FIRST);
        if (rc != 0)
            return rc == MDB_NOTFOUND ? ERR_OK : removal_failure(c, rc);
        if (!tombstone_decode(stored_bytes(stored_key), &seq, &key))
            return j->batch_error = failure_set(c->failure, ERR_CORRUPT, "a tombstone is damaged");
        if (seq >= j->next.oldest)
            return ERR_OK;
        if (c->left == 0) {
            c->more = true;
            return ERR_OK;
        }
        int err = charge(c, space_charge_row(j, stored_key.mv_size, c->failure));
        if (err != ERR_OK || c->out_of_space)
            return err;
        memcpy(copy, key.data, key.size);
        err = remove_row(c, (struct bytes){copy, key.size}, seq);
        if (err != ERR_OK)
            return err;
        rc = mdb_cursor_del(cursor, 0);
        if (rc != 0)
            return removal_failure(c, rc);
        c->removed_any = true;
        c->left--;
    }
    return ERR_OK;
}

static int with_cursor(struct compaction *c, const char *name, MDB_dbi database,
                       int (*work)(struct compaction *c, MDB_cursor *cursor))
{
    MDB_cursor *cursor = NULL;
    struct proof p = {.database = name};
    /* LMDB would spread the damage of a page that it changes. */
    if (!proof_find(&p, &c->j->environment, c->j->txn, (struct bytes){(const uint8_t *)"", 0},
                    NULL))
        return c->j->batch_error =
                   failure_set(c->failure, ERR_CORRUPT, "cannot remove old records from %s: %s",
                               c->j->directory, p.why);
    int rc = mdb_cursor_open(c->j->txn, database, &cursor);
    if (rc != 0)
        return removal_failure(c, rc);
    int err = work(c, cursor);
    mdb_cursor_close(cursor);
    return err;
}

int journal_batch_compact(struct journal *j, uint64_t target,
                          const struct journal_retention *retention, uint64_t now_us,
                          uint32_t records_max, bool *ret_more, bool *ret_blocked,
                          struct failure *failure)
{
    if (!j->txn)
        return failure_set(failure, ERR_INTERNAL, "no batch is open");
    if (j->batch_error)
        return failure_set(failure, j->batch_error, "the batch has failed already");
    struct meta *m = &j->next;
    struct compaction c = {.j = j,
                           .retention = retention,
                           .now_us = now_us,
                           .target = target < m->head ? target : m->head,
                           .limit = m->applied + 1 < m->head ? m->applied + 1 : m->head,
                           .left = records_max,
                           .failure = failure};
    int err = ERR_OK;
    take_hold(&c);
    /* Removing rearranges the pages under the appender: the next append opens it again. */
    mdb_cursor_close(j->appender);
    j->appender = NULL;
    if (m->head > 0) {
        move_oldest(&c);
        err = with_cursor(&c, "journal", j->environment.journal, remove_records);
        c.left = records_max;
        if (err == ERR_OK)
            err = with_cursor(&c, "tombstones", j->environment.tombstones, remove_tombstones);
    }
    if (err != ERR_OK)
        return err;
    if (c.hold && !c.overtaken)
        c.hold->exceeded = JOURNAL_HOLD_NONE; /* there was no room to remove it */
    *ret_more = c.more;
    *ret_blocked = c.blocked;
    return ERR_OK;
}
