/*
 * faults_lmdb.c - wrappers of LMDB's functions, see faults.h. One that fails has done nothing, but
 * for a commit, which has ended the transaction all the same.
 */
#include "tests/sweep/faults.h"

#include <errno.h>
#include <lmdb.h>

#define WRAP(name, parameters, arguments, first, second)    \
    int __real_##name parameters;                           \
    int __wrap_##name parameters;                           \
    int __wrap_##name parameters                            \
    {                                                       \
        int code = fault_code(FAULT_##name, first, second); \
        return code ? code : __real_##name arguments;       \
    }

/* clang-format off */
WRAP(mdb_env_create, (MDB_env **env), (env), ENOMEM, ENOMEM)
WRAP(mdb_env_open, (MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode),
     (env, path, flags, mode), ENOMEM, EIO)
WRAP(mdb_env_set_mapsize, (MDB_env *env, size_t size), (env, size), ENOMEM, EIO)
WRAP(mdb_env_set_maxdbs, (MDB_env *env, MDB_dbi count), (env, count), EIO, ENOMEM)
WRAP(mdb_env_set_flags, (MDB_env *env, unsigned flags, int on), (env, flags, on), EIO, ENOMEM)
WRAP(mdb_env_sync, (MDB_env *env, int force), (env, force), EIO, ENOSPC)
WRAP(mdb_reader_check, (MDB_env *env, int *dead), (env, dead), ENOMEM, EIO)
WRAP(mdb_reader_list, (MDB_env *env, MDB_msg_func *print, void *context), (env, print, context),
     -1, -1)
WRAP(mdb_txn_begin, (MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn),
     (env, parent, flags, txn), ENOMEM, MDB_READERS_FULL)
WRAP(mdb_txn_renew, (MDB_txn *txn), (txn), MDB_READERS_FULL, MDB_PANIC)
WRAP(mdb_dbi_open, (MDB_txn *txn, const char *name, unsigned flags, MDB_dbi *database),
     (txn, name, flags, database), MDB_DBS_FULL, ENOMEM)
WRAP(mdb_stat, (MDB_txn *txn, MDB_dbi database, MDB_stat *out), (txn, database, out), EIO,
     MDB_PAGE_NOTFOUND)
WRAP(mdb_get, (MDB_txn *txn, MDB_dbi database, MDB_val *key, MDB_val *data),
     (txn, database, key, data), EIO, MDB_CORRUPTED)
WRAP(mdb_put, (MDB_txn *txn, MDB_dbi database, MDB_val *key, MDB_val *data, unsigned flags),
     (txn, database, key, data, flags), MDB_MAP_FULL, ENOMEM)
WRAP(mdb_del, (MDB_txn *txn, MDB_dbi database, MDB_val *key, MDB_val *data),
     (txn, database, key, data), ENOMEM, MDB_MAP_FULL)
WRAP(mdb_cursor_open, (MDB_txn *txn, MDB_dbi database, MDB_cursor **cursor),
     (txn, database, cursor), ENOMEM, EIO)
WRAP(mdb_cursor_renew, (MDB_txn *txn, MDB_cursor *cursor), (txn, cursor), ENOMEM, EIO)
WRAP(mdb_cursor_get, (MDB_cursor *cursor, MDB_val *key, MDB_val *data, MDB_cursor_op operation),
     (cursor, key, data, operation), EIO, MDB_CORRUPTED)
WRAP(mdb_cursor_put, (MDB_cursor *cursor, MDB_val *key, MDB_val *data, unsigned flags),
     (cursor, key, data, flags), MDB_MAP_FULL, ENOMEM)
WRAP(mdb_cursor_del, (MDB_cursor *cursor, unsigned flags), (cursor, flags), ENOMEM, MDB_TXN_FULL)
/* clang-format on */

int __real_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_txn_commit(MDB_txn *txn)
{
    int code = fault_code(FAULT_mdb_txn_commit, EIO, ENOSPC);
    if (code == 0)
        return __real_mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return code;
}
