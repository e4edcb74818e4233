#define _GNU_SOURCE
/*
 * journal_script.c - see journal_script.h. Each part of the script is what one run of a server does; an
 * error ends a part only where the journal did not open, otherwise the script goes on as if it could
 * not believe it: nothing that a journal has refused may make it accept something wrong.
 */
#include "tests/sweep/journal_script.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal/environment.h"
#include "protocol/record.h"

enum {
    KEYS = 13,
    DELETED_KEY = 5, /* every other time */
    LARGE_EVERY = 9,
    LARGE_SIZE = 10000,
    SMALL_SIZE = 60,
    SESSION_ROW_SIZE = 40,
    BATCH_RECORDS = 5,
};

static unsigned boots;

/* Another number of boots is another boot of the machine. */
void __wrap_journal_boot_id(char out[BOOT_ID_SIZE]);
void __wrap_journal_boot_id(char out[BOOT_ID_SIZE])
{
    memset(out, 0, BOOT_ID_SIZE);
    snprintf(out, BOOT_ID_SIZE, "boot %u", boots);
}

bool script_init(struct script *s, struct sweep *sweep)
{
    memset(s, 0, sizeof *s);
    s->sweep = sweep;
    s->buffer = (struct wire_buffer){.data = s->storage,
                                     .capacity = sizeof s->storage,
                                     .size_max = sizeof s->storage}; /* it allocates nothing */
    snprintf(s->directory, sizeof s->directory, "%s/journal", sweep->folder);
    void *shared =
        /* cppcheck-suppress invalidFunctionArg */
        mmap(NULL, sizeof *s->ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    s->ledger = shared == MAP_FAILED ? NULL : shared;
    /* cppcheck-suppress memleak */
    return s->ledger != NULL;
}

void script_free(struct script *s)
{
    munmap(s->ledger, sizeof *s->ledger);
}

static bool wrong(struct script *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool wrong(struct script *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!s->ledger->wrong[0])
        vsnprintf(s->ledger->wrong, sizeof s->ledger->wrong, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- records ---- */

struct content {
    char key[16];
    bool deleted;
    uint64_t prev_seq;
    struct bytes value;
    struct state_row row;
};

static struct bytes key_of(const struct content *c)
{
    return (struct bytes){(const uint8_t *)c->key, strlen(c->key)};
}

static struct content content_of(struct script *s, uint64_t n)
{
    uint64_t key = (n - 1) % KEYS;
    uint64_t life = (n - 1) / KEYS;
    size_t size = n % LARGE_EVERY == 0 ? LARGE_SIZE : SMALL_SIZE;
    struct content c = {.prev_seq = n > KEYS ? n - KEYS : 0};
    snprintf(c.key, sizeof c.key, "key %llu", (unsigned long long)key);
    c.deleted = key == DELETED_KEY && life % 2 == 1;
    memset(s->value, (int)(n % 251), sizeof s->value);
    s->value[0] = 0xc5;
    s->value[1] = (uint8_t)(size >> 8);
    s->value[2] = (uint8_t)size;
    if (!c.deleted)
        c.value = (struct bytes){s->value, size + 3};
    c.row = (struct state_row){.created = key == DELETED_KEY ? n : key + 1,
                               .modified = n,
                               .version = key == DELETED_KEY ? 1 : life + 1,
                               .value = c.value};
    if (c.deleted) {
        c.row.deleted = true;
        c.row.created = n - KEYS;
        c.row.version = 0;
    }
    return c;
}

static struct bytes record_of(struct script *s, uint64_t n)
{
    struct record_writer w;
    struct content c = content_of(s, n);
    struct change change = {.op = c.deleted ? CHANGE_DELETE : CHANGE_PUT,
                            .prev_seq = c.prev_seq,
                            .key = key_of(&c),
                            .value = c.value};
    wire_buffer_clear(&s->buffer);
    record_begin(&w, &s->buffer, n, n * 1000, 0, 0);
    record_add(&w, &change);
    size_t size = record_end(&w);
    return (struct bytes){s->buffer.data, size};
}

/* The row of a session that was written with record n. */
static struct bytes session_row(uint64_t n, uint8_t out[SESSION_ROW_SIZE])
{
    memset(out, (int)(n % 251), SESSION_ROW_SIZE);
    memcpy(out, &n, sizeof n);
    return (struct bytes){out, SESSION_ROW_SIZE};
}

/* ---- steps ---- */

/* An error has to be one that a caller can understand. */
static bool is_sound(struct script *s, const char *what, int err, const struct failure *failure)
{
    if (err == ERR_OK)
        return true;
    if (err < 0 || strcmp(error_text(err), error_text(ERR_INTERNAL)) == 0)
        return wrong(s, "%s: error %d: %s", what, err, failure->text);
    if (failure->text[0] == '\0')
        return wrong(s, "%s: %s without a text", what, error_name(err));
    return true;
}

/* Where LMDB cannot give what it has, its pages are damaged, and verify and rebuild take it so. */
static bool plays_damage(const struct script *s)
{
    const struct fault_plan *plan = s->sweep->plan;
    return atomic_load(&plan->armed) &&
           (plan->fault == FAULT_mdb_get || plan->fault == FAULT_mdb_cursor_get);
}

static int open_journal(struct script *s, enum journal_durability durability, struct journal **ret)
{
    struct failure failure = {0};
    struct journal_status status;
    struct journal_options options = {.directory = s->directory,
                                      .durability = durability,
                                      .map_size_bytes = 64 << 20,
                                      .allocate_bytes = 64 << 10,
                                      .reserve_bytes = 64 << 10,
                                      .redo_bytes = 4 << 10, /* a base for each batch or two */
                                      .epoch = 1000 + boots};
    int err = journal_open(&options, ret, &failure);
    if (!is_sound(s, "open", err, &failure))
        return ERR_INTERNAL;
    if (err != ERR_OK)
        return err;
    journal_status(*ret, &status);
    if (s->ledger->epoch == 0)
        s->ledger->epoch = status.epoch;
    if (status.epoch != s->ledger->epoch) {
        if (!s->ledger->may_have_new_epoch)
            wrong(s, "the epoch is another one");
        s->ledger->epoch = status.epoch;
        memset(s->ledger->sessions, 0, sizeof s->ledger->sessions); /* forgotten with the old one */
    }
    /* After a power loss in process mode, what is whole is kept, with a new epoch. */
    bool cut = status.new_epoch && plays_damage(s);
    if ((status.head < s->ledger->acknowledged && !cut) || status.head > s->ledger->attempted)
        wrong(s, "it opens with record %llu as the newest, not %llu to %llu",
              (unsigned long long)status.head, (unsigned long long)s->ledger->acknowledged,
              (unsigned long long)s->ledger->attempted);
    s->ledger->acknowledged = status.head; /* what it has shown it must keep */
    s->ledger->attempted = status.head;
    return ERR_OK;
}

enum batch_parts { RECORDS = 1, SESSIONS = 2, CHECKPOINT = 4, COMPACT = 8 };

static int fill_batch(struct script *s, struct journal *j, unsigned parts, bool *ret_more,
                      struct failure *failure)
{
    struct journal_status status;
    uint8_t row[SESSION_ROW_SIZE];
    int err = ERR_OK;
    journal_status(j, &status);
    uint64_t head = status.head;
    for (int i = 0; (parts & RECORDS) && i < BATCH_RECORDS && err == ERR_OK; i++)
        err = journal_batch_append(j, record_of(s, ++head), failure);
    for (uint64_t i = 0; (parts & SESSIONS) && i < SCRIPT_SESSIONS && err == ERR_OK; i++) {
        /* One of them ends every other time. */
        struct bytes stored = session_row(head, row);
        if (i == 1 && head % 2 == 0)
            stored.size = 0;
        s->ledger->sessions_attempted[i] = head;
        err = journal_batch_put_session(j, 100 + i, stored, failure);
    }
    for (uint64_t n = status.applied + 1; (parts & CHECKPOINT) && n <= head && err == ERR_OK; n++) {
        struct content c = content_of(s, n);
        err = journal_batch_put_row(j, key_of(&c), &c.row, failure);
    }
    if ((parts & CHECKPOINT) && err == ERR_OK)
        err = journal_batch_set_applied(j, head, failure);
    bool blocked = false;
    if ((parts & COMPACT) && err == ERR_OK)
        err = journal_batch_compact(j, s->ledger->compact_target, NULL, 0, 3, ret_more, &blocked,
                                    failure);
    return err;
}

static int batch(struct script *s, struct journal *j, unsigned parts, bool *ret_more)
{
    struct ledger *l = s->ledger;
    struct failure failure = {0};
    struct failure again = {0};
    struct journal_status status;
    journal_status(j, &status);
    if (status.head != l->acknowledged)
        wrong(s, "record %llu was not acknowledged and is there", (unsigned long long)status.head);
    uint64_t head = status.head + (parts & RECORDS ? BATCH_RECORDS : 0);
    bool more = false;
    int err = journal_batch_begin(j, (parts & COMPACT) ? 0 : 2000, &failure);
    if (err != ERR_OK) {
        is_sound(s, "begin", err, &failure);
        return err;
    }
    err = fill_batch(s, j, parts, &more, &failure);
    is_sound(s, "a batch's step", err, &failure);
    l->attempted = head;
    int commit = journal_batch_commit(j, &again);
    is_sound(s, "commit", commit, &again);
    if (err != ERR_OK && commit == ERR_OK)
        wrong(s, "a batch is committed though a step of it failed: %s", failure.text);
    if (commit != ERR_OK)
        return commit;
    l->acknowledged = head;
    for (uint64_t i = 0; (parts & SESSIONS) && i < SCRIPT_SESSIONS; i++)
        l->sessions[i] = l->sessions_attempted[i];
    if (ret_more)
        *ret_more = more;
    return ERR_OK;
}

/* An error, or as many rows as there are keys at most, in order. */
static void scan_all(struct script *s, struct journal *j)
{
    struct bytes last = {NULL, 0};
    struct bytes key;
    struct state_row row;
    int err = journal_state_seek(j, last);
    for (uint64_t n = 0; err == ERR_OK; n++, last = key) {
        err = journal_state_next(j, &key, &row);
        if (err == ERR_OK &&
            (bytes_compare(last, key) >= 0 || n == KEYS || row.modified > s->ledger->attempted))
            wrong(s, "a scan has a row too many, %.*s", (int)key.size, (const char *)key.data);
        if (err == ERR_OK && n == KEYS)
            return;
    }
}

static void look_up(struct script *s, struct journal *j)
{
    struct failure failure = {0};
    int err = journal_view_begin(j, &failure);
    if (!is_sound(s, "view", err, &failure) || err != ERR_OK)
        return;
    for (uint64_t n = 1; n <= KEYS; n++) {
        struct content c = content_of(s, n);
        struct state_row row;
        struct journal_status status;
        journal_status(j, &status);
        err = journal_state_get(j, key_of(&c), &row);
        if (err == ERR_NOT_FOUND && status.applied >= n)
            wrong(s, "the row of %s is missing", c.key);
        if (err == ERR_OK && (row.modified == 0 || row.modified > s->ledger->attempted))
            wrong(s, "the row of %s is wrong", c.key);
    }
    scan_all(s, j);
    journal_view_end(j);
}

static void walk_records(struct script *s, struct journal_reader *r,
                         const struct journal_view *view)
{
    struct failure failure = {0};
    struct bytes record;
    uint64_t seq = view->oldest;
    uint64_t got = 0;
    int err = journal_reader_seek(r, seq, &failure);
    is_sound(s, "seek", err, &failure);
    for (; err == ERR_OK; seq++) {
        err = journal_reader_next(r, &got, &record, &failure);
        if (err == ERR_OK && (got != seq || !bytes_equal(record, record_of(s, seq))))
            wrong(s, "record %llu is wrong", (unsigned long long)seq);
    }
    if (err == ERR_NOT_FOUND && seq != view->head + 2)
        wrong(s, "the records end at %llu, not at %llu", (unsigned long long)seq - 2,
              (unsigned long long)view->head);
    if (err != ERR_NOT_FOUND)
        is_sound(s, "next", err, &failure);
    if (journal_reader_get(r, view->head, &record, &failure) == ERR_OK &&
        !bytes_equal(record, record_of(s, view->head)))
        wrong(s, "the record at head is wrong");
}

static void walk_rows(struct script *s, struct journal_reader *r)
{
    const struct bytes none = {NULL, 0};
    struct failure failure = {0};
    struct state_row row;
    struct bytes key;
    int err = journal_reader_rows(r, none, none, &failure);
    while (err == ERR_OK)
        err = journal_reader_next_row(r, &key, &row, &failure);
    if (err != ERR_NOT_FOUND)
        is_sound(s, "rows", err, &failure);
}

/* A row is that of its last acknowledged batch, or of one that was tried after it. */
static void walk_sessions(struct script *s, struct journal_reader *r, bool strict)
{
    struct failure failure = {0};
    uint64_t next = 1;
    bool there[SCRIPT_SESSIONS] = {false};
    int err = ERR_OK;
    while (err == ERR_OK) {
        uint64_t session;
        struct bytes row;
        uint64_t n = 0;
        err = journal_reader_session(r, next, &session, &row, &failure);
        if (err != ERR_OK)
            break;
        if (session < 100 || session >= 100 + SCRIPT_SESSIONS || row.size != SESSION_ROW_SIZE) {
            wrong(s, "there is a row of session %llu", (unsigned long long)session);
            return;
        }
        uint64_t i = session - 100;
        memcpy(&n, row.data, sizeof n);
        there[i] = true;
        if (n < s->ledger->sessions[i] || n > s->ledger->sessions_attempted[i])
            wrong(s, "the row of session %llu is of %llu", (unsigned long long)session,
                  (unsigned long long)n);
        next = session + 1;
    }
    if (err != ERR_NOT_FOUND)
        is_sound(s, "sessions", err, &failure);
    else if (strict &&
             ((s->ledger->sessions[0] && !there[0]) || (s->ledger->sessions[2] && !there[2])))
        wrong(s, "the row of a session is missing");
}

static void read_all(struct script *s, struct journal *j, bool strict)
{
    struct failure failure = {0};
    struct journal_reader *r = NULL;
    struct journal_view view;
    int err = journal_reader_open(j, &r, &failure);
    if (!is_sound(s, "reader", err, &failure) || err != ERR_OK)
        return;
    err = journal_reader_begin(r, &view, &failure);
    is_sound(s, "reader's view", err, &failure);
    if (err == ERR_OK && view.head > 0) {
        walk_records(s, r, &view);
        walk_rows(s, r);
        walk_sessions(s, r, strict);
    }
    if (err == ERR_OK)
        journal_reader_end(r);
    journal_reader_close(r);
}

static void compact(struct script *s, struct journal *j, uint64_t target)
{
    s->ledger->compact_target = target;
    bool more = true;
    for (int i = 0; i < 8 && more; i++)
        (void)batch(s, j, COMPACT, &more);
}

/* ---- parts ---- */

static void first_run(struct script *s)
{
    struct journal *j = NULL;
    struct failure failure = {0};
    if (open_journal(s, JOURNAL_POWER, &j) != ERR_OK)
        return;
    (void)batch(s, j, RECORDS, NULL);
    (void)batch(s, j, RECORDS | SESSIONS, NULL);
    (void)batch(s, j, CHECKPOINT, NULL);
    look_up(s, j);
    read_all(s, j, false);
    (void)batch(s, j, RECORDS | CHECKPOINT | SESSIONS, NULL);
    (void)batch(s, j, RECORDS, NULL);
    read_all(s, j, false);
    compact(s, j, 8);
    int err = journal_sync(j, &failure);
    is_sound(s, "sync", err, &failure);
    (void)batch(s, j, RECORDS, NULL);
    look_up(s, j);
    journal_close(j);
}

static void killed_run(struct script *s)
{
    struct journal *j = NULL;
    if (open_journal(s, JOURNAL_POWER, &j) != ERR_OK)
        return;
    (void)batch(s, j, RECORDS | SESSIONS, NULL);
    (void)batch(s, j, RECORDS, NULL);
}

static void recovering_run(struct script *s)
{
    struct journal *j = NULL;
    if (open_journal(s, JOURNAL_POWER, &j) != ERR_OK)
        return;
    (void)batch(s, j, RECORDS | CHECKPOINT, NULL);
    compact(s, j, 20);
    journal_close(j);
}

static void unsynced_run(struct script *s)
{
    struct journal *j = NULL;
    struct failure failure = {0};
    if (open_journal(s, JOURNAL_PROCESS, &j) != ERR_OK)
        return;
    (void)batch(s, j, RECORDS | SESSIONS, NULL);
    int err = journal_sync(j, &failure);
    is_sound(s, "sync", err, &failure);
    (void)batch(s, j, RECORDS, NULL);
}

static void rebuilding_run(struct script *s)
{
    struct journal *j = NULL;
    s->ledger->may_have_new_epoch = true;
    if (open_journal(s, JOURNAL_PROCESS, &j) != ERR_OK)
        return;
    (void)batch(s, j, RECORDS | CHECKPOINT, NULL);
    read_all(s, j, false);
    journal_close(j);
}

static void note_problem(void *context, uint64_t seq, const char *text)
{
    struct script *s = context;
    if (!plays_damage(s))
        wrong(s, "verify: seq %llu: %s", (unsigned long long)seq, text);
}

static void verify(struct script *s, bool strict)
{
    struct journal_verify_report report;
    struct failure failure = {0};
    int err = journal_verify(s->directory, note_problem, NULL, s, &report, &failure);
    is_sound(s, "verify", err, &failure);
    if (strict && err != ERR_OK)
        wrong(s, "it cannot be verified: %s", failure.text);
    if (err == ERR_OK && report.problems == 0 && report.head != s->ledger->acknowledged)
        wrong(s, "verify saw record %llu as the newest", (unsigned long long)report.head);
}

/* In a process that ends without closing anything. */
static void in_killed_process(struct script *s, void (*part)(struct script *s))
{
    int status = 0;
    pid_t child = faults_real_fork();
    if (child == 0) {
        alarm(s->sweep->limit_seconds);
        part(s);
        _exit(EXIT_SUCCESS);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        wrong(s, "a process of the script died: status %d", status);
}

bool script_run(struct script *s)
{
    boots = 1;
    first_run(s);
    in_killed_process(s, killed_run);
    recovering_run(s);
    in_killed_process(s, killed_run);
    boots = 2; /* what was not synced may be lost; here nothing is, but the redo log is to say so */
    recovering_run(s);
    in_killed_process(s, unsynced_run);
    boots = 3;
    rebuilding_run(s);
    if (s->ledger->epoch != 0)
        verify(s, false);
    return s->ledger->wrong[0] == '\0';
}

bool script_check(struct script *s)
{
    struct journal *j = NULL;
    uint64_t before = s->ledger->acknowledged;
    if (open_journal(s, JOURNAL_POWER, &j) != ERR_OK)
        return wrong(s, "it does not open afterwards");
    read_all(s, j, true);
    look_up(s, j);
    if (batch(s, j, RECORDS | CHECKPOINT | SESSIONS, NULL) != ERR_OK ||
        s->ledger->acknowledged < before + BATCH_RECORDS)
        wrong(s, "it takes no batch afterwards");
    read_all(s, j, true);
    journal_close(j);
    verify(s, true);
    return s->ledger->wrong[0] == '\0';
}
