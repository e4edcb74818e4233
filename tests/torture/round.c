#define _GNU_SOURCE
/* round.c - see round.h. */
#include "tests/torture/round.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"
#include "tests/torture/cast.h"
#include "tests/torture/control.h"
#include "tests/torture/endpoints.h"
#include "tests/torture/harvest.h"
#include "tests/torture/restoring.h"
#include "tests/torture/verdict_print.h"

enum { END_MS = 30000, DRAIN_MS = 60000, STEP_MS = 5 };

struct round {
    const struct round_options *options;
    struct summary *summary;
    struct plan plan;
    char folder[TEMP_FOLDER_SIZE];
    char data[TEMP_FOLDER_SIZE + 16];
    struct endpoints endpoints;
    char server_log[TEMP_FOLDER_SIZE + 24];
    struct control *control;
    struct harvest harvest;
    struct server_process server;
    struct proxy *proxies[PLAN_PROXIES];
    struct cast cast;
    unsigned filler; /* its index in the cast */
    unsigned starts; /* of the server */
    bool server_stopped;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static bool fail(struct round *r, const char *format, ...)
{
    va_list arguments;
    printf("  FAILED: ");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    r->failed = true;
    return false;
}

/* ---- the server ---- */

static void save_log(const struct round *r)
{
    char log[SERVER_LOG_SIZE];
    FILE *file = r->server.log_fd > 0 ? fopen(r->server_log, "ae") : NULL;
    if (!file)
        return;
    server_log(&r->server, log);
    fprintf(file, "---- start %u, end %d\n%s", r->starts, r->server.exit_status, log);
    fclose(file);
}

static bool start_server(struct round *r)
{
    const char *arguments[PLAN_OPTIONS_MAX + 7] = {"--data",   r->data,
                                                   "--listen", r->endpoints.server[PLAN_IPC],
                                                   "--listen", r->endpoints.server[PLAN_TCP]};
    for (unsigned i = 0; i < r->plan.options_count; i++)
        arguments[6 + i] = r->plan.options[i];
    setenv("LD_PRELOAD", r->options->preload, 1);
    bool started = server_start(&r->server, r->options->vigild, arguments);
    unsetenv("LD_PRELOAD");
    r->starts++;
    r->server_stopped = false;
    if (started)
        return true;
    save_log(r);
    return fail(r, "the server did not start (exit %d), see %s", r->server.exit_status,
                r->server_log);
}

static bool harvest(struct round *r, bool verify)
{
    if (!harvest_read(&r->harvest, verify))
        return fail(r, "%s", r->harvest.error);
    atomic_store(&r->control->harvested, r->harvest.head);
    atomic_store(&r->control->epoch, r->harvest.epoch);
    return true;
}

static bool stop_server(struct round *r, int signal)
{
    int expected = signal == SIGKILL ? 128 + SIGKILL : 0;
    int status = server_stop(&r->server, signal);
    save_log(r);
    if (status != expected)
        return fail(r, "the server ended with %d, see %s", status, r->server_log);
    return harvest(r, false);
}

/* Nothing but this program may end the server. */
static bool check_server(struct round *r)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)r->server.pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == 0)
        return true;
    (void)server_stop(&r->server, SIGKILL);
    save_log(r);
    return fail(r, "the server ended by itself with %d, see %s", r->server.exit_status,
                r->server_log);
}

/* A limit on the file's size is a full disk to the server. */
static void limit_disk(const struct round *r, bool full)
{
    char path[TEMP_FOLDER_SIZE + 32];
    struct stat file;
    struct rlimit limit;
    snprintf(path, sizeof path, "%s/data.mdb", r->data);
    if (r->server.pid <= 0 || stat(path, &file) != 0 ||
        prlimit(r->server.pid, RLIMIT_FSIZE, NULL, &limit) != 0)
        return;
    limit.rlim_cur = full ? (rlim_t)file.st_size : limit.rlim_max;
    (void)prlimit(r->server.pid, RLIMIT_FSIZE, &limit, NULL);
}

/* ---- the faults ---- */

static bool stop_and_read(struct round *r)
{
    siginfo_t info;
    kill(r->server.pid, SIGSTOP);
    r->server_stopped = true;
    (void)waitid(P_PID, (id_t)r->server.pid, &info, WSTOPPED | WEXITED | WNOWAIT);
    return harvest(r, false);
}

static bool fault_of_server(struct round *r, const struct plan_step *step)
{
    if (step->fault != FAULT_STOP_SERVER)
        return stop_server(r, step->fault == FAULT_KILL_SERVER ? SIGKILL : SIGTERM) &&
               start_server(r);
    if (r->server.pid <= 0)
        return true;
    if (!step->ends)
        return stop_and_read(r);
    kill(r->server.pid, SIGCONT);
    r->server_stopped = false;
    return true;
}

/* Not while it is stopped anyway: it goes on at its own time. */
static bool read_between(struct round *r)
{
    if (r->server.pid <= 0 || r->server_stopped)
        return true;
    bool ok = stop_and_read(r);
    kill(r->server.pid, SIGCONT);
    r->server_stopped = false;
    return ok;
}

static bool fault_of_actor(struct round *r, const struct plan_step *step)
{
    if (step->fault == FAULT_STOP_ACTOR) {
        cast_signal(&r->cast, step->target, step->ends ? SIGCONT : SIGSTOP);
        return true;
    }
    cast_kill(&r->cast, step->target);
    return cast_start(&r->cast, step->target) || fail(r, "%s", r->cast.error);
}

static void fault_of_network(struct round *r, const struct plan_step *step)
{
    struct proxy *p = r->proxies[step->target];
    if (step->fault == FAULT_CUT) {
        proxy_cut(p, step->sockets);
        return;
    }
    if (step->ends)
        proxy_set(p, step->sockets, PROXY_PASS, PROXY_PASS);
    else
        proxy_set(p, step->sockets, step->to_server, step->to_client);
    if (step->ends && step->cut)
        proxy_cut(p, step->sockets);
}

static bool fault_of_disk(struct round *r, const struct plan_step *step)
{
    limit_disk(r, !step->ends);
    if (!step->ends)
        return cast_start(&r->cast, r->filler) || fail(r, "%s", r->cast.error);
    cast_kill(&r->cast, r->filler);
    return true;
}

static bool take_step(struct round *r, const struct plan_step *step)
{
    r->summary->faults[step->fault] += !step->ends;
    switch (step->fault) {
    case FAULT_KILL_SERVER:
    case FAULT_END_SERVER:
    case FAULT_STOP_SERVER:
        return fault_of_server(r, step);
    case FAULT_KILL_ACTOR:
    case FAULT_STOP_ACTOR:
        return fault_of_actor(r, step);
    case FAULT_CUT:
    case FAULT_STALL:
    case FAULT_LOSE:
        fault_of_network(r, step);
        return true;
    case FAULT_FULL_DISK:
        return fault_of_disk(r, step);
    case FAULT_CLOCK_STEP: /* which makes records old */
        if (r->plan.retains && !read_between(r))
            return false;
        atomic_store(&r->control->clock_offset_us, step->amount_us);
        return true;
    case FAULT_READING:
        return read_between(r);
    case FAULT_SLOW_SYNC:
        atomic_store(&r->control->sync_delay_us, step->ends ? 0 : (uint32_t)step->amount_us);
        return true;
    case FAULT_COUNT:
        break;
    }
    return true;
}

/* The plan's clock stands still while the server is being restarted and read. */
static bool run_plan(struct round *r)
{
    uint64_t begin = history_now_us();
    for (unsigned i = 0; i < r->plan.steps_count;) {
        const struct plan_step *step = &r->plan.steps[i];
        uint64_t now = history_now_us();
        if (torture_interrupted)
            return fail(r, "interrupted");
        if (!check_server(r))
            return false;
        if (!cast_check(&r->cast))
            return fail(r, "%s", r->cast.error);
        if (now - begin < (uint64_t)step->at_ms * 1000) {
            (void)poll(NULL, 0, STEP_MS);
            continue;
        }
        if (!take_step(r, step))
            return false;
        begin += history_now_us() - now;
        i++;
    }
    return true;
}

static void heal(struct round *r)
{
    atomic_store(&r->control->sync_delay_us, 0);
    limit_disk(r, false);
    for (unsigned i = 0; i < PLAN_PROXIES; i++)
        proxy_set(r->proxies[i], PROXY_ALL, PROXY_PASS, PROXY_PASS);
    for (unsigned i = 0; i < r->cast.count; i++)
        cast_signal(&r->cast, i, SIGCONT);
    if (r->server.pid > 0)
        kill(r->server.pid, SIGCONT);
}

/* ---- the round ---- */

static bool make_control(struct round *r)
{
    char path[TEMP_FOLDER_SIZE + 16];
    snprintf(path, sizeof path, "%s/control", r->folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool made = fd >= 0 && ftruncate(fd, sizeof(struct control)) == 0;
    if (fd >= 0)
        close(fd);
    r->control = made ? control_map(path) : NULL;
    setenv(CONTROL_VARIABLE, path, 1);
    return r->control != NULL;
}

static bool set_up(struct round *r)
{
    char copy[TEMP_FOLDER_SIZE + 16], history[TEMP_FOLDER_SIZE + 24];
    if (!temp_folder_make(r->folder) || !make_control(r))
        return fail(r, "cannot make a folder: %s", strerror(errno));
    snprintf(r->data, sizeof r->data, "%s/data", r->folder);
    snprintf(r->server_log, sizeof r->server_log, "%s/server.log", r->folder);
    snprintf(copy, sizeof copy, "%s/copy", r->folder);
    snprintf(history, sizeof history, "%s/journal.history", r->folder);
    if (!harvest_open(&r->harvest, r->data, copy, history))
        return fail(r, "cannot write %s", history);
    if (r->plan.retains)
        harvest_may_miss(&r->harvest);
    if (r->plan.holds)
        harvest_holds_for_cursors(&r->harvest);
    if (!endpoints_find(&r->endpoints, &r->plan, r->folder))
        return fail(r, "no free ports");
    if (!start_server(r))
        return false;
    for (unsigned i = 0; i < PLAN_PROXIES; i++) {
        r->proxies[i] =
            proxy_start(r->endpoints.proxies[i], r->endpoints.server[r->plan.proxies[i].back]);
        if (!r->proxies[i])
            return fail(r, "cannot listen at %s", r->endpoints.proxies[i]);
    }
    return true;
}

static bool start_cast(struct round *r)
{
    struct plan_actor filler = {.role = "fill", .proxy = -1, .seed = 1};
    r->cast.program = r->options->actor;
    atomic_store(&r->control->pace_us, r->plan.pace_us);
    snprintf(r->cast.log, sizeof r->cast.log, "%s/actors.log", r->folder);
    for (unsigned i = 0; i < r->plan.actors_count; i++) {
        const struct plan_actor *planned = &r->plan.actors[i];
        cast_add(&r->cast, r->folder,
                 planned->proxy < 0 ? r->endpoints.server[planned->transport]
                                    : r->endpoints.proxies[planned->proxy],
                 planned);
        if (!cast_start(&r->cast, i))
            return fail(r, "%s", r->cast.error);
    }
    r->filler = cast_add(&r->cast, r->folder, r->endpoints.server[PLAN_IPC], &filler);
    return true;
}

static bool judge(struct round *r)
{
    struct evidence e;
    static struct verdict verdict;
    struct checker_options options = {.no_doubt = r->options->no_doubt};
    evidence_init(&e);
    bool read = evidence_add_folder(&e, r->folder);
    if (read) {
        checker_run(&e, &options, &verdict);
        verdict_print(&e, &verdict);
        summary_add(r->summary, &e, &verdict);
        if (verdict.violations)
            (void)fail(r, "%llu violations", (unsigned long long)verdict.violations);
    } else {
        (void)fail(r, "%s", e.error);
    }
    evidence_free(&e);
    return !r->failed;
}

static bool play(struct round *r)
{
    if (!start_cast(r) || !run_plan(r))
        return false;
    heal(r);
    if (!cast_end(&r->cast, false, END_MS) || !cast_end(&r->cast, true, DRAIN_MS))
        return fail(r, "%s", r->cast.error);
    if (!check_server(r) || !stop_server(r, SIGTERM) || !harvest(r, true))
        return false;
    if (!restoring_run(&r->cast, r->options->vigild, r->folder))
        return fail(r, "%s", r->cast.error);
    return judge(r);
}

bool round_run(const struct round_options *options, uint64_t seed, struct summary *sum)
{
    static struct round r;
    r = (struct round){.options = options, .summary = sum};
    sum->rounds++;
    plan_draw(&r.plan, seed, options->duration_ms, options->kills_only);
    if (options->verbose)
        plan_print(&r.plan, stdout);
    if (set_up(&r))
        (void)play(&r);
    cast_kill_all(&r.cast);
    (void)server_stop(&r.server, SIGKILL);
    if (r.server.log_fd > 0)
        close(r.server.log_fd);
    for (unsigned i = 0; i < PLAN_PROXIES; i++)
        proxy_stop(r.proxies[i]);
    if (r.harvest.crcs)
        harvest_close(&r.harvest);
    if (r.control)
        munmap(r.control, sizeof *r.control);
    bool found = r.failed && !torture_interrupted;
    if (found)
        plan_print(&r.plan, stdout);
    if (found || options->keep)
        printf("  kept: %s\n", r.folder);
    else if (r.folder[0])
        temp_folder_remove(r.folder);
    return !r.failed;
}
