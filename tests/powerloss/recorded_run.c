/* recorded_run.c - see recorded_run.h. */
#define _GNU_SOURCE

#include "tests/powerloss/recorded_run.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/powerloss/history.h"
#include "tests/powerloss/operation_log.h"
#include "tests/support/raw_client.h"
#include "tests/support/sample_bytes.h"
#include "tests/support/server_process.h"

static bool set_error(struct recorded_run *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool set_error(struct recorded_run *r, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->error, sizeof r->error, format, arguments);
    va_end(arguments);
    return false;
}

bool recorded_run_make(struct recorded_run *r)
{
    *r = (struct recorded_run){0};
    if (!temp_folder_make(r->folder))
        return set_error(r, "cannot make a folder");
    char *real = realpath(r->folder, NULL); /* the recorder compares with what the kernel says */
    if (!real)
        return set_error(r, "%s cannot be found", r->folder);
    snprintf(r->root, sizeof r->root, "%s/root", real);
    snprintf(r->journal, sizeof r->journal, "%s/root/journal", real);
    snprintf(r->log, sizeof r->log, "%s/operations", real);
    snprintf(r->boot_id, sizeof r->boot_id, "%s/boot_id", real);
    free(real);
    if (mkdir(r->root, 0700) != 0)
        return set_error(r, "cannot make %s", r->root);
    return recorded_run_boot(r, "first boot");
}

void recorded_run_remove(struct recorded_run *r)
{
    if (r->folder[0])
        temp_folder_remove(r->folder);
    r->folder[0] = '\0';
}

bool recorded_run_boot(struct recorded_run *r, const char *boot_id)
{
    FILE *file = fopen(r->boot_id, "we");
    bool ok = file && fputs(boot_id, file) >= 0;
    if (file)
        ok = fclose(file) == 0 && ok;
    return ok || set_error(r, "cannot write %s", r->boot_id);
}

/* For the processes that are started in between. */
static void record_children(const struct recorded_run *r, bool on)
{
    const char *const settings[][2] = {{"LD_PRELOAD", POWERLOSS_RECORDER_FILE},
                                       {POWERLOSS_ROOT, r->root},
                                       {POWERLOSS_LOG, r->log},
                                       {POWERLOSS_BOOT_ID, r->boot_id}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (on)
            setenv(settings[i][0], settings[i][1], 1);
        else
            unsetenv(settings[i][0]);
    }
}

/* ---- the workload ---- */

bool recorded_run_workload(struct recorded_run *r, const struct workload_segment *segment,
                           uint64_t seed, bool *ret_refused)
{
    char seed_text[32];
    char epoch_text[32];
    char batches_text[32];
    char program[] = POWERLOSS_WORKLOAD_FILE;
    char mode[] = "process";
    char end[] = "close";
    snprintf(seed_text, sizeof seed_text, "%llu", (unsigned long long)seed);
    snprintf(epoch_text, sizeof epoch_text, "%llu", (unsigned long long)(seed | 1));
    snprintf(batches_text, sizeof batches_text, "%u", segment->batches);
    if (segment->durability == JOURNAL_POWER)
        snprintf(mode, sizeof mode, "power");
    if (!segment->closes)
        snprintf(end, sizeof end, "exit");
    char *arguments[] = {program, r->journal, mode, epoch_text, seed_text, batches_text, end, NULL};
    pid_t pid = 0;
    int status = 0;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (ret_refused) /* what it says of that is no news */
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    record_children(r, true);
    if (segment->flaw)
        setenv(segment->flaw, segment->files, 1);
    int rc = posix_spawn(&pid, program, &actions, NULL, arguments, environ);
    if (segment->flaw)
        unsetenv(segment->flaw);
    record_children(r, false);
    posix_spawn_file_actions_destroy(&actions);
    if (rc != 0 || waitpid(pid, &status, 0) != pid)
        return set_error(r, "cannot run %s", program);
    bool done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (ret_refused)
        *ret_refused = !done;
    return done || ret_refused || set_error(r, "%s ended with status %d", program, status);
}

/* ---- a server ---- */

struct putting {
    struct recorded_run *r;
    enum journal_durability durability;
    struct raw_client client;
    struct sample random;
    int log_fd;
    uint64_t head;
};

/* What a reply says has been acknowledged. Where the journal begins and how far its state goes is
 * the server's own affair. */
static void note(const struct putting *p, enum note_kind kind, uint64_t head)
{
    struct note n = {.kind = kind,
                     .durability = p->durability,
                     .epoch = p->client.reply_header.epoch,
                     .head = head,
                     .oldest = 1};
    operation_log_note(p->log_fd, &n);
}

/* Some puts in one message; each is answered with its seq. */
static bool put_some(struct putting *p, size_t count)
{
    static struct history_change changes[HISTORY_CHANGES_MAX];
    struct reply_header reply;
    struct wire_reader body;
    note(p, NOTE_BATCH, p->head + count);
    raw_begin(&p->client, 0);
    for (size_t i = 1; i <= count; i++) {
        server_history.changes(p->head + i, changes);
        raw_add_put(&p->client, changes[0].key, history_value(&changes[0]));
    }
    raw_send(&p->client);
    for (size_t got = 0; got < count;) {
        if (!raw_receive(&p->client))
            return set_error(p->r, "the server does not answer");
        while (raw_next(&p->client, &reply, &body)) {
            got++;
            if (reply.status != ERR_OK || reply.seq != ++p->head)
                return set_error(p->r, "a put gets status %d and seq %llu instead of %llu",
                                 (int)reply.status, (unsigned long long)reply.seq,
                                 (unsigned long long)p->head);
            note(p, NOTE_COMMITTED, p->head);
        }
    }
    return true;
}

static bool put_all(struct putting *p, unsigned puts)
{
    enum { AT_ONCE_MAX = 20 };
    bool ok = true;
    for (uint64_t left = puts; ok && left > 0;) {
        size_t count = 1 + sample_below(&p->random, AT_ONCE_MAX);
        count = count < left ? count : (size_t)left;
        ok = put_some(p, count);
        left -= count;
    }
    return ok;
}

/* What the server says before anything is put. */
static bool meet(struct putting *p)
{
    struct reply_header reply;
    struct wire_reader body;
    raw_begin(&p->client, 0);
    raw_add_empty(&p->client, OP_PING);
    if (raw_call(&p->client, &reply, &body) != ERR_OK)
        return set_error(p->r, "the server does not answer a ping");
    p->head = reply.seq;
    note(p, NOTE_OPENED, p->head);
    return true;
}

/* The server allocates space ahead by a share of what it may use; here every picture has it all. */
static void limit_files(bool on)
{
    enum { FILE_SIZE_MAX = 32 << 20 };
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0) {
        limit.rlim_cur = on && limit.rlim_max > FILE_SIZE_MAX ? FILE_SIZE_MAX : limit.rlim_max;
        setrlimit(RLIMIT_FSIZE, &limit);
    }
}

static bool start_server(struct putting *p, struct server_process *server)
{
    char endpoint[RUN_PATH_SIZE + 16];
    char log[SERVER_LOG_SIZE];
    snprintf(endpoint, sizeof endpoint, "ipc://%s/s", p->r->folder);
    const char *arguments[] = {"--listen", endpoint, "--data", p->r->journal, "--durability",
                               p->durability == JOURNAL_POWER ? "power" : "process",
                               /* much of everything in a short time */
                               "--checkpoint-records", "40", "--retain-records", "150",
                               "--sync-interval", "50ms", NULL};
    note(p, NOTE_OPENING, 0);
    record_children(p->r, true);
    limit_files(true);
    bool started = server_start(server, TEST_VIGILD, arguments);
    limit_files(false);
    record_children(p->r, false);
    if (started)
        return true;
    server_log(server, log);
    return set_error(p->r, "vigild does not start: %.300s", log);
}

bool recorded_run_server(struct recorded_run *r, enum journal_durability durability, unsigned puts,
                         uint64_t seed)
{
    struct putting p = {.r = r,
                        .durability = durability,
                        .random = {seed | 1},
                        .log_fd = operation_log_open(r->log)};
    struct server_process server = {0};
    if (p.log_fd < 0)
        return set_error(r, "cannot open %s", r->log);
    bool ok = start_server(&p, &server);
    if (ok) {
        void *zmq = zmq_ctx_new();
        raw_open(&p.client, zmq, server.endpoints[0]);
        ok = meet(&p) && put_all(&p, puts);
        int status = server_stop(&server, SIGTERM);
        if (ok && status != 0)
            ok = set_error(r, "vigild ended with status %d", status);
        if (ok)
            note(&p, NOTE_CLOSED, p.head);
        raw_close(&p.client);
        zmq_ctx_term(zmq);
    }
    if (server.log_fd > 0)
        close(server.log_fd);
    close(p.log_fd);
    return ok;
}
