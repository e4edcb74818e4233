/*
 * workload.c - the program whose writes are recorded: it fills a journal with
 * journal_history and notes in the log what has been acknowledged.
 *
 *   workload DIRECTORY power|process EPOCH SEED BATCHES close|exit
 *
 * exit ends it as a kill would, without closing.
 */
#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "journal/journal.h"
#include "tests/powerloss/history.h"
#include "tests/powerloss/operation_log.h"
#include "tests/support/sample_bytes.h"

enum {
    BATCH_RECORDS_MAX = 12,
    RECORD_SIZE_ABOUT = 400,
    CHECKPOINT_EVERY = 5,
    RETENTION_EVERY = 7,
    COMPACT_EVERY = 23,
    SYNC_EVERY = 20,
    REOPEN_EVERY = 60,
    RECORDS_KEPT = 250,
    REMOVALS_MAX = 40,
    REDO_BYTES = 24 << 10, /* a few batches */
};

static struct workload {
    struct journal_options options;
    struct journal *j;
    struct wire_buffer buffer;
    struct sample random;
    struct failure failure;
    int log_fd;
} w;

static void note(enum note_kind kind, uint64_t head)
{
    struct note n = {.kind = kind, .durability = w.options.durability, .head = head};
    if (kind != NOTE_OPENING && kind != NOTE_BATCH) {
        struct journal_status s;
        journal_status(w.j, &s);
        n.epoch = s.epoch;
        n.head = s.head;
        n.oldest = s.oldest;
        n.applied = s.applied;
    }
    operation_log_note(w.log_fd, &n);
}

static int open_journal(void)
{
    note(NOTE_OPENING, 0);
    int err = journal_open(&w.options, &w.j, &w.failure);
    if (err != ERR_OK)
        return err;
    note(NOTE_OPENED, 0);
    return ERR_OK;
}

static void close_journal(void)
{
    struct journal_status s;
    journal_status(w.j, &s);
    journal_close(w.j);
    w.j = NULL;
    struct note n = {.kind = NOTE_CLOSED,
                     .durability = w.options.durability,
                     .epoch = s.epoch,
                     .head = s.head,
                     .oldest = s.oldest,
                     .applied = s.applied};
    operation_log_note(w.log_fd, &n);
}

static int put_rows(uint64_t from, uint64_t to)
{
    static struct history_change changes[HISTORY_CHANGES_MAX];
    int err = ERR_OK;
    for (uint64_t n = from; err == ERR_OK && n <= to; n++) {
        size_t count = journal_history.changes(n, changes);
        for (size_t i = 0; err == ERR_OK && i < count; i++) {
            struct state_row row = history_row(n, &changes[i]);
            err = journal_batch_put_row(w.j, history_key(&changes[i]), &row, &w.failure);
        }
    }
    return err ? err : journal_batch_set_applied(w.j, to, &w.failure);
}

static int commit(uint64_t head)
{
    note(NOTE_BATCH, head);
    int err = journal_batch_commit(w.j, &w.failure);
    if (err == ERR_OK)
        note(NOTE_COMMITTED, 0);
    return err;
}

static int append_batch(unsigned batch)
{
    struct journal_status s;
    struct journal_retention keep = {.records = RECORDS_KEPT};
    bool more = false;
    bool blocked = false;
    uint64_t count = 1 + sample_below(&w.random, BATCH_RECORDS_MAX);
    journal_status(w.j, &s);
    int err = journal_batch_begin(w.j, count * RECORD_SIZE_ABOUT, &w.failure);
    for (uint64_t n = s.head + 1; err == ERR_OK && n <= s.head + count; n++)
        err = journal_batch_append(w.j, history_record(&journal_history, n, &w.buffer), &w.failure);
    if (err == ERR_OK && batch % CHECKPOINT_EVERY == 0)
        err = put_rows(s.applied + 1, s.head);
    if (err == ERR_OK && batch % RETENTION_EVERY == 0)
        err = journal_batch_compact(w.j, 0, &keep, 0, REMOVALS_MAX, &more, &blocked, &w.failure);
    return err ? err : commit(s.head + count);
}

/* As an operator asks for it. */
static int compact(void)
{
    struct journal_status s;
    bool more = false;
    bool blocked = false;
    journal_status(w.j, &s);
    int err = journal_batch_begin(w.j, 0, &w.failure);
    if (err == ERR_OK)
        err = journal_batch_compact(w.j, s.oldest + 20, NULL, 0, REMOVALS_MAX, &more, &blocked,
                                    &w.failure);
    return err ? err : commit(s.head);
}

static int run(unsigned batches)
{
    int err = open_journal();
    for (unsigned batch = 1; err == ERR_OK && batch <= batches; batch++) {
        err = append_batch(batch);
        if (err == ERR_OK && batch % COMPACT_EVERY == 0)
            err = compact();
        bool beside = w.options.durability == JOURNAL_PROCESS || sample_below(&w.random, 3) == 0;
        if (err == ERR_OK && batch % SYNC_EVERY == 0 && beside)
            err = journal_sync(w.j, &w.failure);
        if (err == ERR_OK && batch % REOPEN_EVERY == 0) {
            close_journal();
            err = open_journal();
        }
    }
    return err;
}

static bool is_word(const char *word, const char *expected)
{
    return word && strcmp(word, expected) == 0;
}

int main(int argc, char **argv)
{
    const char *log_path = getenv(POWERLOSS_LOG);
    if (argc < 7 || !log_path) {
        fprintf(stderr, "workload: it is power_loss that runs this\n");
        return 2;
    }
    w.options = (struct journal_options){.directory = argv[1],
                                         .durability = is_word(argv[2], "process") ? JOURNAL_PROCESS
                                                                                   : JOURNAL_POWER,
                                         .map_size_bytes = UINT64_C(1) << 28,
                                         .allocate_bytes = UINT64_C(256) << 10,
                                         .reserve_bytes = UINT64_C(256) << 10,
                                         .redo_bytes = REDO_BYTES,
                                         .epoch = strtoull(argv[3], NULL, 10)};
    w.random.state = strtoull(argv[4], NULL, 10) | 1;
    w.log_fd = operation_log_open(log_path);
    wire_buffer_init(&w.buffer, LIMIT_RECORD_SIZE);
    if (w.log_fd < 0 || run((unsigned)strtoul(argv[5], NULL, 10)) != ERR_OK) {
        fprintf(stderr, "workload: %s\n", w.failure.text);
        return 1;
    }
    if (is_word(argv[6], "exit"))
        _exit(0);
    close_journal();
    wire_buffer_free(&w.buffer);
    return 0;
}
