/* reading.c - see reading.h: through the journal's own interface. */
#define _GNU_SOURCE

#include "tests/damage/reading.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/record.h"

enum { WHAT_SIZE = 256, CPU_SECONDS = 20 };

const char *const outcome_names[OUTCOMES] = {"unharmed", "typed error", "refused",
                                             "died",     "LIE",         "SILENT"};

bool live_damage(const struct live *live)
{
    char path[256];
    snprintf(path, sizeof path, "%s/data.mdb", live->directory);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && cut_write(live->image, live->cut, fd);
    close(fd);
    return done;
}

struct reading {
    const struct truth *t;
    struct journal *j;
    struct journal_reader *r;
    struct journal_view view;
    struct failure failure;
    bool typed;
    char *lie; /* in shared memory */
};

static void tell_lie(struct reading *x, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void tell_lie(struct reading *x, const char *format, ...)
{
    va_list arguments;
    if (x->lie[0])
        return;
    va_start(arguments, format);
    vsnprintf(x->lie, WHAT_SIZE, format, arguments);
    va_end(arguments);
}

static bool is_row(const struct state_row *row, const struct truth_key *k)
{
    const struct state_row *kept = &k->row;
    return row->deleted == kept->deleted && row->modified == kept->modified &&
           row->created == kept->created && row->version == kept->version &&
           (row->deleted || bytes_equal(row->value, kept->value));
}

/* What the state has of the key: known for what did not change after the last checkpoint. */
static void check_row(struct reading *x, const struct truth_key *k, int err,
                      const struct state_row *row, const char *how)
{
    bool expected = k->row.modified != 0 && !k->row.deleted;
    bool is_old = k->row.modified > x->view.applied;
    if (err == ERR_OK && !is_old && k->row.modified && !is_row(row, k))
        tell_lie(x, "%s: key %s is of seq %llu, not %llu", how, k->name,
                 (unsigned long long)row->modified, (unsigned long long)k->row.modified);
    else if (err == ERR_NOT_FOUND && !is_old && expected)
        tell_lie(x, "%s: key %s is absent", how, k->name);
    else if (err != ERR_OK && err != ERR_NOT_FOUND)
        x->typed = true;
}

static void read_keys(struct reading *x)
{
    if (journal_view_begin(x->j, &x->failure) != ERR_OK) {
        x->typed = true;
        return;
    }
    for (size_t i = 0; i < TRUTH_KEYS; i++) {
        struct state_row row;
        int err = journal_state_get(x->j, truth_name(&x->t->keys[i]), &row);
        check_row(x, &x->t->keys[i], err, &row, "get");
    }
    journal_view_end(x->j);
}

/* All rows: by a reader, or in the writer's view. */
static void read_rows(struct reading *x, bool by_reader)
{
    bool seen[TRUTH_KEYS] = {false};
    struct bytes none = {NULL, 0};
    struct bytes name;
    struct state_row row;
    const char *how = by_reader ? "list" : "scan";
    int err = by_reader ? journal_reader_rows(x->r, none, none, &x->failure)
                        : journal_state_seek(x->j, none);
    while (err == ERR_OK && !x->lie[0]) {
        err = by_reader ? journal_reader_next_row(x->r, &name, &row, &x->failure)
                        : journal_state_next(x->j, &name, &row);
        const struct truth_key *k = err == ERR_OK ? truth_find(x->t, name) : NULL;
        if (k) {
            seen[k - x->t->keys] = true;
            check_row(x, k, err, &row, how);
        } else if (err == ERR_OK) {
            tell_lie(x, "%s: a key that never was", how);
        }
    }
    for (size_t i = 0; i < TRUTH_KEYS && err == ERR_NOT_FOUND; i++)
        if (!seen[i])
            check_row(x, &x->t->keys[i], ERR_NOT_FOUND, NULL, how);
    x->typed = x->typed || err != ERR_NOT_FOUND;
}

/* In a view of its own: lookups that met damage would have ended it. */
static void scan_keys(struct reading *x)
{
    if (journal_view_begin(x->j, &x->failure) != ERR_OK) {
        x->typed = true;
        return;
    }
    read_rows(x, false);
    journal_view_end(x->j);
}

static void check_record(struct reading *x, uint64_t seq, int err, struct bytes record)
{
    if (err == ERR_OK && !bytes_equal(record, truth_record(x->t, seq)))
        tell_lie(x, "record %llu is altered", (unsigned long long)seq);
    else if (err != ERR_OK && err != ERR_CORRUPT)
        tell_lie(x, "record %llu: %s", (unsigned long long)seq, error_text(err));
    else if (err != ERR_OK)
        x->typed = true;
}

static void read_records(struct reading *x)
{
    struct bytes record = {NULL, 0};
    for (uint64_t seq = x->t->oldest; seq <= x->t->head; seq++) {
        int err = journal_reader_get(x->r, seq, &record, &x->failure);
        check_record(x, seq, err, record);
    }
    int err = journal_reader_seek(x->r, x->t->oldest, &x->failure);
    for (uint64_t expected = x->t->oldest; err == ERR_OK && !x->lie[0]; expected++) {
        uint64_t seq = 0;
        err = journal_reader_next(x->r, &seq, &record, &x->failure);
        if (err == ERR_OK && seq != expected)
            tell_lie(x, "record %llu was skipped", (unsigned long long)expected);
        if (err == ERR_OK || expected <= x->t->head)
            check_record(x, expected, err, record);
    }
}

static int read_all(struct reading *x, const char *directory, const struct live *live)
{
    const struct journal_options options = {.directory = directory,
                                            .map_size_bytes = UINT64_C(1) << 30,
                                            .allocate_bytes = 1 << 16,
                                            .reserve_bytes = 1 << 16};
    if (journal_open(&options, &x->j, &x->failure) != ERR_OK)
        return OUTCOME_REFUSED;
    if (live && !live_damage(live))
        return OUTCOME_SILENT;
    if (journal_reader_open(x->j, &x->r, &x->failure) != ERR_OK)
        return OUTCOME_SILENT;
    if (journal_reader_begin(x->r, &x->view, &x->failure) != ERR_OK)
        return OUTCOME_TYPED;
    if (x->view.head != x->t->head || x->view.epoch != 0xE1 || x->view.oldest != x->t->oldest ||
        x->view.applied != x->t->applied)
        tell_lie(x, "the head is %llu", (unsigned long long)x->view.head);
    else
        read_keys(x);
    if (!x->lie[0])
        scan_keys(x);
    if (!x->lie[0])
        read_rows(x, true);
    if (!x->lie[0])
        read_records(x);
    return x->lie[0] ? OUTCOME_LIE : x->typed ? OUTCOME_TYPED : OUTCOME_UNHARMED;
}

enum outcome read_directly(const struct truth *t, const char *directory, const struct live *live,
                           char *what)
{
    /* cppcheck-suppress invalidFunctionArg */
    void *shared = mmap(NULL, WHAT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return OUTCOME_SILENT;
    pid_t child = fork();
    if (child == 0) {
        struct reading x = {.t = t, .lie = shared};
        const struct rlimit none = {0, 0};
        const struct rlimit seconds = {CPU_SECONDS, CPU_SECONDS};
        setrlimit(RLIMIT_CORE, &none);
        setrlimit(RLIMIT_CPU, &seconds);
        int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(quiet, STDERR_FILENO); /* LMDB's assertions */
        _exit(read_all(&x, directory, live));
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    snprintf(what, WHAT_SIZE, "%s", (const char *)shared);
    munmap(shared, WHAT_SIZE);
    if (WIFEXITED(status) && WEXITSTATUS(status) < OUTCOMES)
        return (enum outcome)WEXITSTATUS(status);
    if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL)) {
        snprintf(what, WHAT_SIZE, "reading does not come to an end");
        return OUTCOME_SILENT;
    }
    return OUTCOME_DIED;
}
