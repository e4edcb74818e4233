/*
 * inspection.c - see inspection.h.
 *
 * The child that opens the journal writes its verdict into shared memory; what it
 * has written there before it dies is where it died.
 */
#define _GNU_SOURCE

#include "tests/powerloss/inspection.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal/environment.h"
#include "protocol/record.h"

enum { CPU_SECONDS_MAX = 20, RECORDS_APPENDED = 3 };
static const uint64_t offered_epoch = 0xC0FFEE;

/* ---- the machine has been started again: linked with --wrap=journal_boot_id ---- */

void __wrap_journal_boot_id(char out[BOOT_ID_SIZE]);

void __wrap_journal_boot_id(char out[BOOT_ID_SIZE])
{
    memset(out, 0, BOOT_ID_SIZE);
    memcpy(out, "after the power loss", 20);
}

/* ---- what is promised ---- */

void expectation_take(struct expectation *e, const struct note *n)
{
    bool power = n->durability == JOURNAL_POWER;
    switch (n->kind) {
    case NOTE_OPENING:
        e->renewable = e->renewable || !power;
        return;
    case NOTE_BATCH:
        e->attempted = n->head > e->attempted ? n->head : e->attempted;
        e->whole = power;
        return;
    case NOTE_OPENED:
        e->attempted = n->head;
        e->whole = true;
        e->renewable = !power;
        break;
    case NOTE_CLOSED:
        e->whole = true;
        e->renewable = false;
        break;
    default:
        break;
    }
    e->acknowledged = *n;
}

void expectation_forget(struct expectation *e)
{
    e->whole = false;
    e->renewable = true;
}

/* ---- in the child ---- */

struct inspection {
    const char *directory;
    const struct history *history;
    const struct expectation *e;
    struct journal_options options;
    struct verdict *verdict; /* shared */
    struct journal *j;
    struct journal_status status;
    struct failure failure;
};

static bool wrong(struct inspection *i, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool wrong(struct inspection *i, const char *format, ...)
{
    va_list arguments;
    i->verdict->outcome = OUTCOME_WRONG;
    va_start(arguments, format);
    vsnprintf(i->verdict->text, sizeof i->verdict->text, format, arguments);
    va_end(arguments);
    return false;
}

static void stand_at(struct inspection *i, const char *step)
{
    snprintf(i->verdict->text, sizeof i->verdict->text, "%s", step);
}

static void keep_problem(void *context, uint64_t seq, const char *text)
{
    struct failure *first = context;
    if (!first->text[0])
        snprintf(first->text, sizeof first->text, "seq %llu: %s", (unsigned long long)seq, text);
}

static bool verify(struct inspection *i, const char *when)
{
    struct journal_verify_report report;
    struct failure first = {0};
    if (journal_verify(i->directory, keep_problem, NULL, &first, &report, &i->failure) != ERR_OK)
        return wrong(i, "verify %s: %s", when, i->failure.text);
    return report.problems == 0 || wrong(i, "verify %s: %s", when, first.text);
}

static bool same_changes(const struct history *h, uint64_t n, struct bytes record)
{
    static struct history_change expected[HISTORY_CHANGES_MAX];
    struct record_header header;
    struct change c;
    if (record_check(record, &header) != ERR_OK || header.seq != n)
        return false;
    size_t count = h->changes(n, expected);
    struct change_iterator changes = record_changes(record.data);
    bool same = header.count == count;
    for (size_t k = 0; same && k < count; k++)
        same = change_next(&changes, &c) && bytes_equal(c.key, history_key(&expected[k])) &&
               c.op == (expected[k].deleted ? CHANGE_DELETE : CHANGE_PUT) &&
               c.prev_seq == expected[k].prev_seq &&
               bytes_equal(c.value, history_value(&expected[k]));
    return same;
}

static bool check_records(struct inspection *i, struct journal_reader *r)
{
    const struct journal_status *s = &i->status;
    struct bytes record;
    uint64_t seq = 0;
    if (s->head == 0)
        return true;
    if (journal_reader_seek(r, s->oldest, &i->failure) != ERR_OK)
        return wrong(i, "cannot read: %s", i->failure.text);
    for (uint64_t n = s->oldest; n <= s->head; n++) {
        if (journal_reader_next(r, &seq, &record, &i->failure) != ERR_OK)
            return wrong(i, "cannot read record %llu: %s", (unsigned long long)n, i->failure.text);
        if (seq != n || !same_changes(i->history, n, record))
            return wrong(i, "record %llu is not what was written", (unsigned long long)n);
    }
    return true;
}

/* A row has to be what one of its key's changes made of it. */
static bool row_is_right(const struct history *h, struct bytes key, const struct state_row *row)
{
    static struct history_change changes[HISTORY_CHANGES_MAX];
    size_t count = h->changes(row->modified, changes);
    for (size_t k = 0; k < count; k++)
        if (bytes_equal(history_key(&changes[k]), key))
            return row->deleted == changes[k].deleted &&
                   bytes_equal(row->value, history_value(&changes[k]));
    return false;
}

static bool check_rows(struct inspection *i, struct journal_reader *r)
{
    struct bytes none = {NULL, 0};
    struct bytes key;
    struct state_row row;
    int err = journal_reader_rows(r, none, none, &i->failure);
    while (err == ERR_OK) {
        err = journal_reader_next_row(r, &key, &row, &i->failure);
        if (err == ERR_OK && (row.modified > i->status.head || row.modified == 0 ||
                              !row_is_right(i->history, key, &row)))
            return wrong(i, "the row of %.*s, of seq %llu, is not what was written", (int)key.size,
                         (const char *)key.data, (unsigned long long)row.modified);
    }
    return err == ERR_NOT_FOUND || wrong(i, "cannot read the rows: %s", i->failure.text);
}

/* Each key's last change up to applied is in the state, or a later one. */
static bool check_applied(struct inspection *i)
{
    static struct history_change changes[HISTORY_CHANGES_MAX];
    const struct journal_status *s = &i->status;
    uint64_t from = s->applied > i->history->period ? s->applied - i->history->period + 1 : 1;
    if (journal_view_begin(i->j, &i->failure) != ERR_OK)
        return wrong(i, "cannot read the state: %s", i->failure.text);
    bool right = true;
    for (uint64_t n = from; right && n <= s->applied; n++) {
        size_t count = i->history->changes(n, changes);
        for (size_t k = 0; right && k < count; k++) {
            struct state_row row;
            int err = journal_state_get(i->j, history_key(&changes[k]), &row);
            bool forgotten = err == ERR_NOT_FOUND && changes[k].deleted && n < s->oldest;
            if (!forgotten && (err != ERR_OK || row.modified < n))
                right = wrong(i, "the state has not got %s as of seq %llu", changes[k].key,
                              (unsigned long long)n);
        }
    }
    journal_view_end(i->j);
    return right;
}

static bool check_content(struct inspection *i)
{
    struct journal_reader *r = NULL;
    struct journal_view view;
    if (journal_reader_open(i->j, &r, &i->failure) != ERR_OK ||
        journal_reader_begin(r, &view, &i->failure) != ERR_OK)
        return wrong(i, "cannot read: %s", i->failure.text);
    bool right = check_records(i, r) && check_rows(i, r);
    journal_reader_end(r);
    journal_reader_close(r);
    return right && check_applied(i);
}

static bool check_promises(struct inspection *i)
{
    const struct journal_status *s = &i->status;
    const struct expectation *e = i->e;
    const struct note *a = &e->acknowledged;
    bool same_epoch = s->epoch == a->epoch;
    if (a->kind && !same_epoch && !e->renewable)
        return wrong(i, "the epoch has changed");
    if (s->head > e->attempted)
        return wrong(i, "head is %llu, but %llu was the last one written",
                     (unsigned long long)s->head, (unsigned long long)e->attempted);
    if ((e->whole || same_epoch) && s->head < a->head)
        return wrong(i, "head is %llu, but %llu was acknowledged, in %s",
                     (unsigned long long)s->head, (unsigned long long)a->head,
                     same_epoch ? "this epoch" : "the epoch before");
    /* A redo log knows what was put, and the oldest record; rows that follow from that are made
     * again. */
    bool rows_too = a->durability == JOURNAL_PROCESS || a->kind == NOTE_CLOSED;
    if ((e->whole || same_epoch) &&
        (s->oldest < a->oldest || (rows_too && s->applied < a->applied)))
        return wrong(i, "oldest and applied are %llu and %llu, behind %llu and %llu",
                     (unsigned long long)s->oldest, (unsigned long long)s->applied,
                     (unsigned long long)a->oldest, (unsigned long long)a->applied);
    return true;
}

/* It goes on from where it is. */
static bool append_some(struct inspection *i)
{
    struct wire_buffer b;
    wire_buffer_init(&b, LIMIT_RECORD_SIZE);
    int err = journal_batch_begin(i->j, (uint64_t)RECORDS_APPENDED * 10000, &i->failure);
    for (uint64_t n = 1; err == ERR_OK && n <= RECORDS_APPENDED; n++)
        err = journal_batch_append(i->j, history_record(i->history, i->status.head + n, &b),
                                   &i->failure);
    if (err == ERR_OK)
        err = journal_batch_commit(i->j, &i->failure);
    wire_buffer_free(&b);
    return err == ERR_OK || wrong(i, "cannot go on: %s", i->failure.text);
}

static bool open_again(struct inspection *i)
{
    struct journal_status s;
    if (journal_open(&i->options, &i->j, &i->failure) != ERR_OK)
        return wrong(i, "cannot be opened again: %s", i->failure.text);
    journal_status(i->j, &s);
    journal_close(i->j);
    return (s.epoch == i->status.epoch && s.head == i->status.head + RECORDS_APPENDED &&
            !s.recovered) ||
           wrong(i, "after a clean stop it is not as it was");
}

static void refuse(struct inspection *i, int err)
{
    struct journal_verify_report report;
    bool right = err == ERR_CORRUPT && strstr(i->failure.text, "backup") && !i->e->whole &&
                 i->e->acknowledged.kind;
    if (!right) {
        wrong(i, "it does not open: %s", i->failure.text);
        return;
    }
    stand_at(i, "verifying what has been refused");
    if (journal_verify(i->directory, NULL, NULL, NULL, &report, &i->failure) == ERR_OK &&
        report.problems == 0)
        wrong(i, "it does not open, but nothing is wrong with it: %s", i->failure.text);
    else
        i->verdict->outcome = OUTCOME_REFUSED;
}

static void run(struct inspection *i)
{
    stand_at(i, "verifying it as it was left");
    if (i->e->whole && !verify(i, "as it was left"))
        return;
    stand_at(i, "opening it");
    int err = journal_open(&i->options, &i->j, &i->failure);
    if (err != ERR_OK) {
        refuse(i, err);
        return;
    }
    journal_status(i->j, &i->status);
    bool same_epoch = i->status.epoch == i->e->acknowledged.epoch;
    stand_at(i, "reading what it serves");
    if (!check_promises(i) || !check_content(i))
        return;
    stand_at(i, "going on with it");
    if (!append_some(i))
        return;
    journal_close(i->j);
    stand_at(i, "verifying what it became");
    if (!verify(i, "after going on") || !open_again(i))
        return;
    i->verdict->outcome = same_epoch ? OUTCOME_SERVED : OUTCOME_RENEWED;
}

static void run_in_child(struct inspection *i)
{
    struct rlimit cpu = {CPU_SECONDS_MAX, CPU_SECONDS_MAX};
    setrlimit(RLIMIT_CPU, &cpu); /* LMDB may go round in circles */
    int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (quiet >= 0)
        dup2(quiet, STDERR_FILENO); /* LMDB's assertions */
    run(i);
    _exit(0);
}

/* ---- in the parent ---- */

void *share_memory(size_t size)
{
    const int flags = MAP_SHARED | MAP_ANONYMOUS;
    /* cppcheck-suppress invalidFunctionArg */
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (shared == MAP_FAILED)
        abort();
    return shared;
}

static struct verdict *shared_verdict(void)
{
    static struct verdict *shared;
    static pid_t owner; /* a worker takes one of its own */
    if (!shared || owner != getpid()) {
        shared = share_memory(sizeof *shared);
        owner = getpid();
    }
    return shared;
}

void inspect(const char *directory, const struct history *history, const struct expectation *e,
             enum journal_durability durability, struct verdict *ret_verdict)
{
    struct verdict *shared = shared_verdict();
    *shared = (struct verdict){.outcome = OUTCOME_WRONG};
    struct inspection i = {.directory = directory,
                           .history = history,
                           .e = e,
                           .options = {.directory = directory,
                                       .durability = durability,
                                       .map_size_bytes = UINT64_C(1) << 28,
                                       .allocate_bytes = UINT64_C(256) << 10,
                                       .reserve_bytes = UINT64_C(256) << 10,
                                       .epoch = offered_epoch},
                           .verdict = shared};
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0)
        run_in_child(&i);
    int status = 0;
    if (waitpid(pid, &status, 0) != pid)
        abort();
    *ret_verdict = *shared;
    if (WIFSIGNALED(status))
        snprintf(ret_verdict->text, sizeof ret_verdict->text, "killed by %s while %.600s",
                 sigdescr_np(WTERMSIG(status)), shared->text);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        ret_verdict->outcome = OUTCOME_WRONG;
}
