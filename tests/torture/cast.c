#define _GNU_SOURCE
/* cast.c - see cast.h. */
#include "tests/torture/cast.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/torture/history.h"

enum { POLL_MS = 5 };

volatile sig_atomic_t torture_interrupted;

unsigned cast_add(struct cast *c, const char *folder, const char *endpoint,
                  const struct plan_actor *planned)
{
    struct cast_actor *a = &c->actors[c->count];
    *a = (struct cast_actor){0};
    snprintf(a->role, sizeof a->role, "%s", planned->role);
    snprintf(a->endpoint, sizeof a->endpoint, "%s", endpoint);
    snprintf(a->history, sizeof a->history, "%s/%02u-%s-%u.history", folder, c->count,
             planned->role, planned->number);
    snprintf(a->seed, sizeof a->seed, "%llu", (unsigned long long)planned->seed);
    snprintf(a->number, sizeof a->number, "%u", planned->number);
    return c->count++;
}

static void become(const struct cast *c, struct cast_actor *a)
{
    char *argv[] = {
        (char *)(uintptr_t)c->program, a->role, a->endpoint, a->history, a->seed, a->number, NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int log = open(c->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log >= 0)
        dup2(log, STDERR_FILENO);
    execv(c->program, argv);
    _exit(127);
}

bool cast_start(struct cast *c, unsigned index)
{
    struct cast_actor *a = &c->actors[index];
    if (a->lives++ > 0) /* another life, another way */
        snprintf(a->seed + strlen(a->seed) - 1, 4, "%u", a->lives % 10);
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM); /* in the actor: until it is ready for it */
    sigprocmask(SIG_BLOCK, &set, &before);
    a->pid = fork();
    if (a->pid == 0)
        become(c, a);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (a->pid > 0)
        return true;
    a->pid = 0;
    snprintf(c->error, sizeof c->error, "cannot start an actor: %s", strerror(errno));
    return false;
}

void cast_kill(struct cast *c, unsigned index)
{
    struct cast_actor *a = &c->actors[index];
    if (a->pid <= 0)
        return;
    kill(a->pid, SIGKILL);
    while (waitpid(a->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    a->pid = 0;
}

void cast_signal(const struct cast *c, unsigned index, int signal)
{
    if (c->actors[index].pid > 0)
        kill(c->actors[index].pid, signal);
}

/* True: it has ended, and *ret_status says how. */
static bool has_ended(struct cast_actor *a, int *ret_status)
{
    if (a->pid <= 0 || waitpid(a->pid, ret_status, WNOHANG) != a->pid)
        return false;
    a->pid = 0;
    return true;
}

static bool report(struct cast *c, const struct cast_actor *a, int status)
{
    if (WIFSIGNALED(status))
        snprintf(c->error, sizeof c->error, "%s died of signal %d", a->history, WTERMSIG(status));
    else
        snprintf(c->error, sizeof c->error, "%s ended with %d, see %s", a->history,
                 WEXITSTATUS(status), c->log);
    return false;
}

bool cast_check(struct cast *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        int status;
        if (has_ended(&c->actors[i], &status))
            return report(c, &c->actors[i], status);
    }
    return true;
}

static bool is_watcher(const struct cast_actor *a)
{
    return strcmp(a->role, "watch") == 0 || strcmp(a->role, "mirror") == 0 ||
           strcmp(a->role, "cursor") == 0;
}

static bool wait_until(struct cast *c, unsigned index, uint64_t deadline_us)
{
    struct cast_actor *a = &c->actors[index];
    struct timespec pause = {.tv_nsec = POLL_MS * 1000000};
    int status = 0;
    while (a->pid > 0 && !has_ended(a, &status)) {
        if (torture_interrupted || history_now_us() > deadline_us) {
            snprintf(c->error, sizeof c->error,
                     torture_interrupted ? "%s: interrupted" : "%s does not end", a->history);
            return false;
        }
        nanosleep(&pause, NULL);
    }
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0) || report(c, a, status);
}

bool cast_wait(struct cast *c, unsigned index, uint32_t timeout_ms)
{
    return wait_until(c, index, history_now_us() + (uint64_t)timeout_ms * 1000);
}

bool cast_end(struct cast *c, bool watchers, uint32_t timeout_ms)
{
    uint64_t deadline_us = history_now_us() + (uint64_t)timeout_ms * 1000;
    for (unsigned i = 0; i < c->count; i++) {
        if (is_watcher(&c->actors[i]) == watchers)
            cast_signal(c, i, SIGTERM);
    }
    for (unsigned i = 0; i < c->count; i++) {
        if (is_watcher(&c->actors[i]) == watchers && !wait_until(c, i, deadline_us))
            return false;
    }
    return true;
}

void cast_kill_all(struct cast *c)
{
    for (unsigned i = 0; i < c->count; i++)
        cast_kill(c, i);
}
