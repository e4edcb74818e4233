/*
 * soundness.c - cheap looks at a journal that tell of damage before it does harm: to
 * a start, because LMDB would write over what a damaged free list names; to each
 * reader, because a journal whose last leaf has lost entries seems to end earlier.
 */
#define _GNU_SOURCE

#include <stdio.h>

#include "journal/environment.h"

/* Of the pages that lead to others: with 200 ways in each, they lead to 3 GiB. */
enum { START_BRANCHES_MAX = 4096 };

bool journal_maps(const struct journal *j, const void *address)
{
    const struct environment *e = &j->environment;
    uintptr_t base = (uintptr_t)e->map;
    uintptr_t at = (uintptr_t)address;
    return e->map && at >= base && at - base < e->map_size;
}

int environment_check_head(const struct environment *e, MDB_txn *txn, const struct meta *m,
                           uint64_t head, struct failure *failure)
{
    MDB_stat stat;
    int rc = mdb_stat(txn, e->journal, &stat);
    if (rc != 0)
        return environment_failure(failure, rc, "read", "the journal");
    uint64_t expected = head == 0 ? 0 : head - m->trimmed + 1;
    if (head < m->head || (m->clean && head != m->head) || stat.ms_entries != expected)
        return failure_set(failure, ERR_CORRUPT,
                           "records are missing: the last is %llu, and of those from %llu on "
                           "there should be %llu",
                           (unsigned long long)head, (unsigned long long)m->trimmed,
                           (unsigned long long)stat.ms_entries);
    return ERR_OK;
}

/* The ways to a tree's first and last key, where records are removed and appended. */
static bool check_edges(const struct environment *e, MDB_txn *txn, const char *database, char *why)
{
    uint8_t most[LIMIT_KEY_SIZE];
    memset(most, 0xff, sizeof most);
    struct proof p = {.database = database};
    bool whole = proof_find(&p, e, txn, (struct bytes){most, 0}, &(bool){false}) &&
                 proof_find(&p, e, txn, (struct bytes){most, sizeof most}, &(bool){false});
    if (!whole)
        memcpy(why, p.why, sizeof p.why);
    return whole;
}

/* As many rows as the tally says. */
static bool check_rows(const struct environment *e, MDB_txn *txn, char *why)
{
    struct tally tally;
    MDB_stat stat;
    int err = tally_get(e, txn, &tally);
    if (err == ERR_NOT_FOUND)
        return true;
    if (err == ERR_OK && mdb_stat(txn, e->state, &stat) == 0 && stat.ms_entries == tally.rows)
        return true;
    snprintf(why, PAGE_WHY_SIZE,
             err == ERR_OK ? "rows of the state are missing"
                           : "the tally of the state's rows is damaged");
    return false;
}

int environment_check_start(const struct environment *e, MDB_txn *txn, const struct meta *m,
                            const char *directory, struct failure *failure)
{
    char why[PAGE_WHY_SIZE] = "";
    struct failure reason = {0};
    uint64_t head = 0;
    int rc = environment_last_seq(e, txn, &head);
    if (rc != 0)
        return environment_failure(failure, rc, "read the journal in", directory);
    bool sound = environment_check_head(e, txn, m, head, &reason) == ERR_OK;
    if (!sound)
        snprintf(why, sizeof why, "%.150s", reason.text);
    sound = sound && check_rows(e, txn, why);
    sound = sound && check_edges(e, txn, "journal", why) && check_edges(e, txn, "tombstones", why);
    if (sound && e->map) {
        rc = pages_check_start(e->lmdb, txn, e->map, START_BRANCHES_MAX, why);
        if (rc != 0) /* out of memory is no damage */
            return environment_failure(failure, rc, "read the journal in", directory);
        sound = !why[0];
    }
    if (sound)
        return ERR_OK;
    return failure_set(failure, ERR_CORRUPT,
                       "%s is damaged, and nothing was changed in it: %s. \"vigil verify\" lists "
                       "what is wrong; then restore a backup",
                       directory, why);
}
