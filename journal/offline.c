/*
 * offline.c - journal_verify: a directory that no server uses is held against
 * itself (verify.c), by another process, which damage may kill. What that one had
 * found by then is reported all the same, and its death as one more problem.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "journal/apart.h"
#include "journal/environment.h"

struct offline {
    const char *directory;
    struct journal_verify_report *so_far; /* in memory that both processes share */
    int channel;                          /* the child's */
    void (*problem)(void *context, uint64_t seq, const char *text);
    void (*progress)(void *context, uint64_t done, uint64_t all);
    void *context;
};

struct found {
    bool is_problem;
    uint64_t first;  /* seq; or done */
    uint64_t second; /* all */
    char text[512];
};
_Static_assert(sizeof(struct found) <= APART_MESSAGE_MAX, "it fits into a message");

/* ---- in the child ---- */

static void send_problem(void *context, uint64_t seq, const char *text)
{
    const struct offline *o = context;
    struct found f = {.is_problem = true, .first = seq};
    size_t size = strnlen(text, sizeof f.text - 1);
    memcpy(f.text, text, size);
    apart_send(o->channel, &f, offsetof(struct found, text) + size + 1);
}

static void send_progress(void *context, uint64_t done, uint64_t all)
{
    const struct offline *o = context;
    struct found f = {.first = done, .second = all};
    apart_send(o->channel, &f, offsetof(struct found, text) + 1);
}

static int verify(void *context, int channel, struct failure *failure)
{
    struct offline *o = context;
    struct verify_options options = {
        .problem = send_problem, .progress = send_progress, .context = o, .so_far = o->so_far};
    struct verify_findings findings;
    struct environment e = {0};
    struct meta m;
    o->channel = channel;
    /* Our own lock keeps servers away, and LMDB's lock file could not be made on a read-only
     * file system. */
    int err =
        environment_open(&e, o->directory, MDB_RDONLY | MDB_NOLOCK, MAP_SIZE_DEFAULT, failure);
    if (err != ERR_OK)
        return err;
    apart_guard(e.lmdb);
    err = environment_load(&e, o->directory, &m, failure);
    if (err == ERR_NOT_FOUND)
        err = failure_set(failure, ERR_FOREIGN, "%s holds no journal", o->directory);
    if (err == ERR_OK)
        err = verify_environment(&e, o->directory, &options, &findings, failure);
    environment_close(&e);
    if (err == ERR_OK)
        *o->so_far = findings.report;
    return err;
}

/* ---- in the parent ---- */

static void take(void *context, const void *message, size_t size)
{
    const struct offline *o = context;
    struct found f;
    if (size > sizeof f)
        return;
    memcpy(&f, message, size);
    if (f.is_problem && o->problem)
        o->problem(o->context, f.first, f.text);
    else if (!f.is_problem && o->progress)
        o->progress(o->context, f.first, f.second);
}

static int verify_apart(struct offline *o, struct failure *failure)
{
    struct apart a = {
        .work = verify, .take = take, .context = o, .bytes = directory_data_size(o->directory)};
    struct failure end = {0};
    bool died = false;
    int err = apart_run(&a, &died, &end);
    if (!died)
        return err ? failure_set(failure, err, "%s", end.text) : ERR_OK;
    char text[sizeof end.text + 64];
    snprintf(text, sizeof text, "the rest cannot be checked: %s", end.text);
    o->so_far->problems++;
    if (o->problem)
        o->problem(o->context, o->so_far->head, text);
    return ERR_OK;
}

/* After a power loss in power mode data.mdb is nothing without its redo log. */
static int bring_up_to_date(const char *directory, struct failure *failure)
{
    bool needed = false;
    int err = redo_check(directory, &needed, failure);
    if (err != ERR_OK || !needed)
        return err;
    if (access(directory, W_OK) != 0)
        return failure_set(failure, ERR_ACCESS,
                           "%s has to be written to first, because its last run ended with a power "
                           "loss: start vigild, or verify a copy of the whole folder",
                           directory);
    return redo_recover(directory, MAP_SIZE_DEFAULT, failure);
}

int journal_verify(const char *directory,
                   void (*problem)(void *context, uint64_t seq, const char *text),
                   void (*progress)(void *context, uint64_t done, uint64_t all), void *context,
                   struct journal_verify_report *ret_report, struct failure *failure)
{
    struct offline o = {
        .directory = directory, .problem = problem, .progress = progress, .context = context};
    int lock_fd = -1;
    bool is_new = false;
    int err = directory_check(directory, &is_new, failure);
    if (err == ERR_OK && is_new)
        err = failure_set(failure, ERR_FOREIGN, "%s holds no journal", directory);
    if (err == ERR_OK)
        err = directory_lock(directory, true, &lock_fd, failure);
    if (err != ERR_OK)
        return err;
    err = bring_up_to_date(directory, failure);
    if (err != ERR_OK) {
        directory_unlock(lock_fd);
        return err;
    }
    const int flags = MAP_SHARED | MAP_ANONYMOUS;
    /* cppcheck-suppress invalidFunctionArg */
    void *shared = mmap(NULL, sizeof *o.so_far, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (shared == MAP_FAILED) {
        err = failure_set(failure, ERR_NO_MEMORY, "out of memory");
    } else {
        o.so_far = shared;
        err = verify_apart(&o, failure);
        if (err == ERR_OK)
            *ret_report = *o.so_far;
        munmap(shared, sizeof *o.so_far);
    }
    directory_unlock(lock_fd);
    return err;
}
