/* yardstick_lmdb.c - LMDB and the disk without a transport; see yardstick.h. */
#define _GNU_SOURCE
#include "bench/child.h"
#include "bench/interrupt.h"
#include "bench/monotonic.h"
#include "bench/roles.h"
#include "bench/server.h"
#include "bench/yardstick.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

/* As the server's: address space only. */
#define MAP_SIZE (UINT64_C(1) << 36)
enum { READY_MS = 20000, SCAN_BATCH = 10000, SYNC_WRITE_SIZE = 4096 };

struct store {
    char folder[ENDPOINT_PATH_MAX + 16];
    MDB_env *env;
    MDB_dbi dbi;
    uint64_t next;
    uint8_t *record;
    size_t size;
};

static int lmdb_failure(struct failure *failure, int code)
{
    return failure_set(failure, ERR_IO, "LMDB: %s", mdb_strerror(code));
}

/* A new environment in a folder below folder. */
static int store_open(struct store *s, const char *folder, size_t size, unsigned flags,
                      struct failure *failure)
{
    MDB_txn *txn = NULL;
    snprintf(s->folder, sizeof s->folder, "%s/lmdb", folder);
    s->size = size;
    s->record = calloc(1, size);
    if (!s->record || (mkdir(s->folder, 0700) && errno != EEXIST)) {
        return failure_set(failure, ERR_IO, "cannot make %s: %s", s->folder, strerror(errno));
    }
    int code = mdb_env_create(&s->env);
    if (!code) {
        code = mdb_env_set_mapsize(s->env, MAP_SIZE);
    }
    if (!code) {
        code = mdb_env_open(s->env, s->folder, flags, 0600);
    }
    if (!code) {
        code = mdb_txn_begin(s->env, NULL, 0, &txn);
    }
    if (!code) {
        code = mdb_dbi_open(txn, NULL, 0, &s->dbi);
    }
    if (!code) {
        code = mdb_txn_commit(txn);
    } else if (txn) {
        mdb_txn_abort(txn);
    }
    return code ? lmdb_failure(failure, code) : ERR_OK;
}

static void store_close(struct store *s)
{
    if (s->env) {
        mdb_env_close(s->env);
    }
    free(s->record);
    run_folder_remove(s->folder);
}

static int append_batch(struct store *s, uint64_t batch)
{
    MDB_txn *txn = NULL;
    int code = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (code) {
        return code;
    }
    for (uint64_t i = 0; i < batch && !code; i++) {
        uint64_t number = ++s->next;
        uint8_t key_bytes[8];
        for (int byte = 0; byte < 8; byte++) {
            key_bytes[byte] = (uint8_t)(number >> (56 - 8 * byte));
        }
        memcpy(s->record, &number, sizeof number);
        MDB_val key = {.mv_size = sizeof key_bytes, .mv_data = key_bytes};
        MDB_val value = {.mv_size = s->size, .mv_data = s->record};
        code = mdb_put(txn, s->dbi, &key, &value, MDB_APPEND);
    }
    if (code) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

int yardstick_append(const char *folder, uint32_t batch, size_t size, uint64_t duration_ns,
                     struct append_result *ret_result, struct failure *failure)
{
    struct store s = {0};
    int err = store_open(&s, folder, size, 0, failure);
    if (!err) {
        int code = 0;
        uint64_t begin_ns = monotonic_ns();
        uint64_t now = begin_ns;
        histogram_clear(&ret_result->commit);
        while (!code && now < begin_ns + duration_ns && !interrupted()) {
            uint64_t batch_ns = now;
            code = append_batch(&s, batch);
            now = monotonic_ns();
            histogram_add(&ret_result->commit, now - batch_ns);
        }
        if (code) {
            err = lmdb_failure(failure, code);
        } else {
            ret_result->per_s = (double)s.next * (double)NS_PER_S / (double)(now - begin_ns);
        }
    }
    store_close(&s);
    return err;
}

static int scan(struct store *s, uint64_t *ret_ns)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val value;
    uint64_t begin_ns = monotonic_ns();
    int code = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (!code) {
        code = mdb_cursor_open(txn, s->dbi, &cursor);
    }
    while (!code) {
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        if (!code) {
            memcpy(s->record, value.mv_data, s->size);
        }
    }
    *ret_ns = monotonic_ns() - begin_ns;
    if (cursor) {
        mdb_cursor_close(cursor);
    }
    if (txn) {
        mdb_txn_abort(txn);
    }
    return code == MDB_NOTFOUND ? 0 : code;
}

int yardstick_scan(const char *folder, uint64_t count, size_t size, double *ret_per_s,
                   struct failure *failure)
{
    struct store s = {0};
    int err = store_open(&s, folder, size, MDB_NOSYNC, failure);
    int code = 0;
    while (!err && !code && s.next < count && !interrupted()) {
        uint64_t left = count - s.next;
        code = append_batch(&s, left < SCAN_BATCH ? left : SCAN_BATCH);
    }
    if (!err && !code) {
        uint64_t ns = 1;
        code = scan(&s, &ns);
        if (!code) {
            *ret_per_s = (double)s.next * (double)NS_PER_S / (double)ns;
        }
    }
    if (code) {
        err = lmdb_failure(failure, code);
    }
    store_close(&s);
    return err;
}

/* arguments: folder of an environment, endpoint. */
int role_opener(int count, char *const arguments[])
{
    MDB_env *env = NULL;
    char byte;
    void *context = zmq_ctx_new();
    void *router = context ? zmq_socket(context, ZMQ_ROUTER) : NULL;
    if (count != 2 || !router || zmq_bind(router, arguments[1]) || mdb_env_create(&env) ||
        mdb_env_set_mapsize(env, MAP_SIZE) || mdb_env_open(env, arguments[0], 0, 0600)) {
        fprintf(stderr, "vigil-bench: opener: cannot open or bind\n");
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    mdb_env_close(env);
    zmq_close(router);
    zmq_ctx_term(context);
    return 0;
}

int yardstick_start(const char *folder, const char *listen, uint32_t runs,
                    struct histogram *ret_times, struct failure *failure)
{
    struct store s = {0};
    char endpoint[ENDPOINT_SIZE];
    char role[] = "role";
    char name[] = "opener";
    snprintf(endpoint, sizeof endpoint, "%s", listen);
    char *arguments[] = {NULL, role, name, s.folder, endpoint, NULL};
    histogram_clear(ret_times);
    int err = store_open(&s, folder, 100, 0, failure);
    if (!err) {
        mdb_env_close(s.env);
        s.env = NULL;
    }
    for (uint32_t i = 0; i < runs && !err; i++) {
        struct child child = CHILD_INIT;
        char line[16];
        uint64_t begin_ns = monotonic_ns();
        err = child_start_role(&child, "the opener", arguments, failure);
        if (!err) {
            err = child_read_line(&child, line, sizeof line, READY_MS, failure);
        }
        if (!err) {
            histogram_add(ret_times, monotonic_ns() - begin_ns);
        }
        child_end(&child, 0, READY_MS);
    }
    store_close(&s);
    return err;
}

int yardstick_fdatasync(const char *folder, uint64_t duration_ns, struct histogram *ret_times,
                        struct failure *failure)
{
    static const char page[SYNC_WRITE_SIZE];
    char path[ENDPOINT_PATH_MAX + 16];
    int err = ERR_OK;
    histogram_clear(ret_times);
    snprintf(path, sizeof path, "%s/sync", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return failure_set(failure, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    }
    uint64_t end_ns = monotonic_ns() + duration_ns;
    while (!err && monotonic_ns() < end_ns && !interrupted()) {
        ssize_t written = write(fd, page, sizeof page);
        uint64_t begin_ns = monotonic_ns();
        if (written != (ssize_t)sizeof page || fdatasync(fd)) {
            err = failure_set(failure, ERR_IO, "cannot write %s: %s", path, strerror(errno));
        }
        histogram_add(ret_times, monotonic_ns() - begin_ns);
    }
    close(fd);
    unlink(path);
    return err;
}
