/*
 * scan.c - the state's rows in order, within the writer's view: what reader.c gives
 * other threads, with the same proofs that no row is left out.
 */
#define _GNU_SOURCE

#include "journal/environment.h"

/* What has failed gives errors from then on. */
static int scan_failure(struct journal *j, int rc)
{
    j->scan_open = false;
    if (rc == MDB_BAD_TXN)
        rc = MDB_CORRUPTED;
    view_begin_anew(j);
    return environment_error(rc);
}

static int renew_cursor(struct journal *j)
{
    int rc = 0;
    if (!j->scan_cursor)
        rc = mdb_cursor_open(j->view, j->environment.state, &j->scan_cursor);
    else if (!j->scan_renewed)
        rc = mdb_cursor_renew(j->view, j->scan_cursor);
    if (rc == 0 && !j->scan_renewed)
        j->scan_proof = (struct proof){.database = "state"};
    j->scan_renewed = rc == 0;
    return rc;
}

int journal_state_seek(struct journal *j, struct bytes from)
{
    if (!j->view_open)
        return j->environment.lmdb ? ERR_INTERNAL : ERR_IO;
    j->scan_open = false;
    if (from.size > LIMIT_KEY_SIZE + 1)
        return ERR_INVALID;
    int rc = renew_cursor(j);
    MDB_val key = lmdb_value(from);
    MDB_val stored;
    if (rc == 0)
        rc = mdb_cursor_get(j->scan_cursor, &key, &stored, from.size ? MDB_SET_RANGE : MDB_FIRST);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return scan_failure(j, rc);
    if (!proof_scan(&j->scan_proof, &j->environment, j->view, from, false))
        return ERR_CORRUPT;
    j->scan_open = true;
    j->scan_waits = rc == 0;
    return ERR_OK;
}

int journal_state_next(struct journal *j, struct bytes *ret_key, struct state_row *ret_row)
{
    if (!j->scan_open)
        return ERR_CORRUPT;
    MDB_val key;
    MDB_val stored;
    int rc = j->scan_waits ? mdb_cursor_get(j->scan_cursor, &key, &stored, MDB_GET_CURRENT)
                           : MDB_NOTFOUND;
    if (rc != 0 && rc != MDB_NOTFOUND)
        return scan_failure(j, rc);
    struct bytes found = rc == 0 ? stored_bytes(key) : (struct bytes){NULL, 0};
    struct state_row row;
    if (!proof_next(&j->scan_proof, &j->environment, found) ||
        (rc == 0 && row_decode(found, stored_bytes(stored), &row) != ERR_OK)) {
        j->scan_open = false;
        return ERR_CORRUPT;
    }
    if (rc == MDB_NOTFOUND) {
        j->scan_open = false;
        return ERR_NOT_FOUND;
    }
    MDB_val following;
    MDB_val unused;
    rc = mdb_cursor_get(j->scan_cursor, &following, &unused, MDB_NEXT);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return scan_failure(j, rc);
    j->scan_waits = rc == 0;
    *ret_key = found;
    *ret_row = row;
    return ERR_OK;
}
