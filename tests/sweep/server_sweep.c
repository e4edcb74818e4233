#define _GNU_SOURCE
/*
 * server_sweep.c - the failure sweep over vigild, which a client of the whole library uses meanwhile: the
 * server goes on, or ends by itself and says why; afterwards a start on the same directory serves the
 * same connection and watch on, with all that was acknowledged.
 */
#include "tests/sweep/client_script.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "journal/journal.h"
#include "protocol/record.h"
#include "tests/support/server_process.h"

enum { REQUEST_TIMEOUT_MS = 500, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct setting {
    const char *durability;
    char data[SWEEP_PATH_SIZE];
    char listen[SWEEP_PATH_SIZE];
    struct server_process server;
};

static bool start(struct setting *t)
{
    const char *const arguments[] = {"--listen",     t->listen,     "--data", t->data,
                                     "--durability", t->durability, NULL};
    return server_start(&t->server, SWEEP_VIGILD, arguments);
}

static bool has_ended(struct client_script *s)
{
    const struct setting *t = s->context;
    siginfo_t info = {0};
    return t->server.pid == 0 ||
           waitid(P_PID, (id_t)t->server.pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid != 0;
}

/* The end of a run in which calls failed: clean, or with a message. */
static void check_end(struct client_script *s, const struct setting *t, int status)
{
    char log[SERVER_LOG_SIZE];
    server_log(&t->server, log);
    bool clean = status == EXIT_SUCCESS;
    /* A log that cannot be written tells nothing. */
    bool can_tell = s->sweep->plan->fault != FAULT_write;
    bool told = (status == EXIT_FAILED || status == EXIT_USAGE) && (log[0] != '\0' || !can_tell);
    if (!clean && !told)
        s->good = sweep_wrong(s->sweep, "vigild ends with %d and says:\n%s", status, log);
    if (s->sweep->plan->fault == FAULT_NONE && status != EXIT_SUCCESS)
        s->good = sweep_wrong(s->sweep, "vigild ends with %d without a fault:\n%s", status, log);
}

/* ---- the directory ---- */

static bool has_change(struct bytes record, const char *key)
{
    struct change c;
    struct change_iterator i = record_changes(record.data);
    while (change_next(&i, &c))
        if (c.key.size == strlen(key) && memcmp(c.key.data, key, c.key.size) == 0)
            return true;
    return false;
}

static void check_acknowledged(struct client_script *s, struct journal *j)
{
    struct journal_reader *r = NULL;
    struct journal_view view;
    struct failure failure = {0};
    int err = journal_reader_open(j, &r, &failure);
    if (err == ERR_OK)
        err = journal_reader_begin(r, &view, &failure);
    for (size_t i = 0; err == ERR_OK && i < s->acknowledged_count; i++) {
        const struct acknowledged *a = &s->acknowledged[i];
        struct bytes record;
        int got = journal_reader_get(r, a->seq, &record, &failure);
        if (got != ERR_COMPACTED && (got != ERR_OK || !has_change(record, a->key)))
            s->good = sweep_wrong(s->sweep, "%s was acknowledged as %llu: %s", a->key,
                                  (unsigned long long)a->seq,
                                  got ? failure.text : "another record is there");
    }
    if (err != ERR_OK)
        s->good = sweep_wrong(s->sweep, "the journal cannot be read: %s", failure.text);
    else
        journal_reader_end(r);
    journal_reader_close(r);
}

static void note_problem(void *context, uint64_t seq, const char *text)
{
    struct client_script *s = context;
    s->good = sweep_wrong(s->sweep, "verify: seq %llu: %s", (unsigned long long)seq, text);
}

static void check_directory(struct client_script *s, const struct setting *t)
{
    struct journal_options options = {.directory = t->data, .epoch = 1};
    struct journal_verify_report report;
    struct failure failure = {0};
    struct journal *j = NULL;
    if (journal_open(&options, &j, &failure) != ERR_OK) {
        s->good = sweep_wrong(s->sweep, "the directory does not open: %s", failure.text);
        return;
    }
    check_acknowledged(s, j);
    journal_close(j);
    if (journal_verify(t->data, note_problem, NULL, s, &report, &failure) != ERR_OK)
        s->good = sweep_wrong(s->sweep, "verify fails: %s", failure.text);
}

/* ---- a run ---- */

static void run_with_faults(struct client_script *s, struct setting *t)
{
    sweep_arm(s->sweep);
    bool started = start(t);
    if (started) {
        client_script_run(s);
        sweep_disarm(s->sweep);
        if (!has_ended(s)) {
            client_script_settle(s);
            sweep_arm(s->sweep);
        }
        (void)server_stop(&t->server, SIGTERM);
    }
    sweep_disarm(s->sweep);
    check_end(s, t, t->server.exit_status);
    if (s->sweep->plan->fault == FAULT_NONE && s->refusals > 0)
        s->good = sweep_wrong(s->sweep, "%u calls fail without any fault", s->refusals);
}

static void run_afterwards(struct client_script *s, struct setting *t)
{
    if (!start(t)) {
        char log[SERVER_LOG_SIZE];
        server_log(&t->server, log);
        s->good = sweep_wrong(s->sweep, "vigild does not start afterwards:\n%s", log);
        return;
    }
    if (s->v) {
        client_script_settle(s);
    } else {
        s->refusals = 0;
        s->request_timeout_ms = SWEEP_PATIENT_MS;
        client_script_run(s);
        if (s->refusals > 0)
            s->good = sweep_wrong(s->sweep, "%u calls fail afterwards", s->refusals);
    }
    int status = server_stop(&t->server, SIGTERM);
    if (status != EXIT_SUCCESS)
        s->good = sweep_wrong(s->sweep, "vigild ends with %d afterwards", status);
}

static bool run(struct sweep *sweep, void *context)
{
    struct setting t = {.durability = context};
    struct client_script s = {.sweep = sweep,
                              .endpoint = t.listen,
                              .request_timeout_ms = sweep_patience_ms(sweep, REQUEST_TIMEOUT_MS),
                              .is_over = has_ended,
                              .context = &t,
                              .good = true};
    faults = NULL; /* in the server alone */
    setenv(FAULTS_VARIABLE, sweep->plan_path, 1);
    snprintf(t.data, sizeof t.data, "%s/data", sweep->folder);
    snprintf(t.listen, sizeof t.listen, "ipc://%s/s", sweep->folder);
    run_with_faults(&s, &t);
    if (s.good)
        check_directory(&s, &t);
    if (s.good)
        run_afterwards(&s, &t);
    client_script_close(&s);
    return s.good;
}

int main(int argc, char **argv)
{
    char power[] = "power";
    char process[] = "process";
    struct sweep s = {
        .name = "server", .run = run, .context = power, .points_max = 1, .limit_seconds = 200};
    if (!sweep_options(&s, argc, argv) || !sweep_open(&s)) {
        fputs(sweep_usage, stderr);
        return 2;
    }
    sweep_run(&s);
    s.name = "process"; /* the other durability */
    s.context = process;
    sweep_run(&s);
    return sweep_close(&s);
}
