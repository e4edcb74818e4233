#define _GNU_SOURCE
/* sweep.c - see sweep.h. */
#include "tests/sweep/sweep.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAILURES_MAX = 10 };

/* ---- options ---- */

const char sweep_usage[] =
    "options: [--full] [--seed N] [--part I/N] [--only FUNCTION[:N:once|lasting]]\n";

/* The number from 1 on, or from 0, at *text, which moves on to what comes after it. */
static bool read_number(const char **text, unsigned least, unsigned *ret)
{
    char *end = NULL;
    unsigned long n = strtoul(*text, &end, 10);
    if (end == *text || n < least || n > UINT_MAX)
        return false;
    *text = end;
    *ret = (unsigned)n;
    return true;
}

static bool read_only(struct sweep *s, const char *text)
{
    size_t size = strcspn(text, ":");
    for (int i = 0; i < FAULT_COUNT; i++)
        if (strlen(fault_name((enum fault)i)) == size &&
            strncmp(fault_name((enum fault)i), text, size) == 0)
            s->only_fault = i;
    text += size;
    if (s->only_fault == FAULT_NONE || *text == '\0')
        return s->only_fault != FAULT_NONE;
    text++;
    if (!read_number(&text, 1, &s->only_at))
        return false;
    s->only_lasting = strcmp(text, ":lasting") == 0;
    return s->only_lasting || strcmp(text, ":once") == 0;
}

static bool read_part(struct sweep *s, const char *text)
{
    return read_number(&text, 0, &s->part) && *text++ == '/' && read_number(&text, 1, &s->parts) &&
           *text == '\0' && s->part < s->parts;
}

bool sweep_options(struct sweep *s, int argc, char **argv)
{
    static const struct option options[] = {{"full", no_argument, NULL, 'f'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"part", required_argument, NULL, 'p'},
                                            {"only", required_argument, NULL, 'o'},
                                            {NULL, 0, NULL, 0}};
    const char *form = getenv("VIGIL_TEST_SWEEP");
    s->full = form && strcmp(form, "full") == 0;
    s->only_fault = FAULT_NONE;
    s->seed = 1;
    s->parts = 1;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        bool good = option == 'f' || option == 's' || (option == 'p' && read_part(s, optarg)) ||
                    (option == 'o' && read_only(s, optarg));
        if (!good)
            return false;
        if (option == 'f')
            s->full = true;
        if (option == 's')
            s->seed = (unsigned)strtoul(optarg, NULL, 10);
    }
    return optind == argc;
}

bool sweep_open(struct sweep *s)
{
    int fd = memfd_create("plan", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, sizeof *s->plan) != 0)
        return false;
    void *plan = mmap(NULL, sizeof *s->plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (plan == MAP_FAILED)
        return false;
    snprintf(s->plan_path, sizeof s->plan_path, "/proc/%ld/fd/%d", (long)getpid(), fd);
    s->plan = plan;
    s->plan->fault = FAULT_NONE;
    faults = plan;
    return true;
}

/* ---- a run ---- */

int sweep_patience_ms(const struct sweep *s, int with_faults_ms)
{
    return s->plan->fault == FAULT_NONE ? SWEEP_PATIENT_MS : with_faults_ms;
}

void sweep_arm(struct sweep *s)
{
    atomic_store(&s->plan->armed, true);
}

void sweep_disarm(struct sweep *s)
{
    atomic_store(&s->plan->armed, false);
}

static void print_fault(const struct sweep *s)
{
    const struct fault_plan *plan = s->plan;
    if (plan->fault == FAULT_NONE) {
        fprintf(stderr, "%s, without a fault: ", s->name);
        return;
    }
    fprintf(stderr, "%s, --only %s:%u:%s: ", s->name, fault_name((enum fault)plan->fault), plan->at,
            plan->lasting ? "lasting" : "once");
}

static void print_place(const struct sweep *s)
{
    fputs("    the call failed first at", stderr);
    for (size_t i = 0; i < FAULT_TRACE_MAX && atomic_load(&s->plan->trace[i]) != 0; i++)
        fprintf(stderr, " %#lx", (unsigned long)atomic_load(&s->plan->trace[i]));
    fputc('\n', stderr);
}

bool sweep_wrong(const struct sweep *s, const char *format, ...)
{
    va_list arguments;
    print_fault(s);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return false;
}

/* What the child returns is looked at by the sanitizer's leak check as well. */
static void run_child(struct sweep *s)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    alarm(s->limit_seconds);
    bool good = s->run(s, s->context);
    sweep_disarm(s);
    exit(good ? EXIT_SUCCESS : EXIT_FAILURE);
}

static bool run_once(struct sweep *s)
{
    int status = 0;
    if (!temp_folder_make(s->folder))
        return sweep_wrong(s, "no folder: %s", strerror(errno));
    s->number++;
    s->runs++;
    fflush(NULL);
    pid_t child = faults_real_fork();
    if (child == 0)
        run_child(s);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    sweep_disarm(s);
    temp_folder_remove(s->folder);
    if (child < 0)
        return sweep_wrong(s, "no process: %s", strerror(errno));
    (void)kill(-child, SIGKILL); /* what it has left behind: its own group alone */
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
        return true;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        sweep_wrong(s, "it hangs");
    else if (WIFSIGNALED(status))
        sweep_wrong(s, "it dies: %s", strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != EXIT_FAILURE)
        sweep_wrong(s, "it ends with %d", WEXITSTATUS(status));
    print_place(s);
    return false;
}

static bool run_with(struct sweep *s, int fault, unsigned at, bool lasting)
{
    struct fault_plan *plan = s->plan;
    plan->fault = fault;
    plan->at = at;
    plan->lasting = lasting;
    atomic_store(&plan->met, 0);
    for (size_t i = 0; i < FAULT_COUNT; i++)
        atomic_store(&plan->counts[i], 0);
    for (size_t i = 0; i < FAULT_TRACE_MAX; i++)
        atomic_store(&plan->trace[i], 0);
    bool good = run_once(s);
    s->failures += !good;
    return good;
}

/* ---- the sweep ---- */

/* The i-th of chosen points among count, spread over all, the last one always among them. */
static unsigned point(const struct sweep *s, unsigned i, unsigned chosen, unsigned count)
{
    if (chosen == count)
        return i + 1;
    if (i + 1 == chosen)
        return count;
    unsigned first = i * count / chosen;
    unsigned span = (i + 1) * count / chosen - first;
    return first + 1 + (s->seed * 2654435761u + i * 40503u) % span;
}

static void sweep_function(struct sweep *s, int fault, unsigned count)
{
    unsigned most = s->full || s->points_max == 0 ? count : s->points_max;
    unsigned chosen = count < most ? count : most;
    unsigned met = 0;
    unsigned runs = 0;
    unsigned failures = s->failures;
    for (unsigned i = 0; i < chosen && s->failures < FAILURES_MAX; i++) {
        for (unsigned lasting = 0; lasting < 2; lasting++) {
            if ((i + lasting) % s->parts != s->part)
                continue;
            /* The short form takes the two in turn. */
            if (!s->full && lasting != (i + (unsigned)fault + s->seed) % 2)
                continue;
            (void)run_with(s, fault, point(s, i, chosen, count), lasting != 0);
            runs++;
            met += atomic_load(&s->plan->met) > 0;
        }
    }
    s->points += count;
    printf("%-10s %-24s %5u calls, %5u of them let fail, in %5u runs, which %5u met%s\n", s->name,
           fault_name((enum fault)fault), count, chosen, runs, met,
           s->failures > failures ? "  FAILED" : "");
    fflush(stdout);
}

void sweep_run(struct sweep *s)
{
    unsigned counts[FAULT_COUNT];
    if (s->only_fault != FAULT_NONE && s->only_at > 0) {
        (void)run_with(s, FAULT_NONE, 0, false);
        (void)run_with(s, s->only_fault, s->only_at, s->only_lasting);
        printf("%s: met %u times\n", s->name, atomic_load(&s->plan->met));
        return;
    }
    if (!run_with(s, FAULT_NONE, 0, false))
        return;
    for (size_t i = 0; i < FAULT_COUNT; i++)
        counts[i] = atomic_load(&s->plan->counts[i]);
    for (int i = 0; i < FAULT_COUNT && s->failures < FAILURES_MAX; i++)
        if (counts[i] > 0 && (s->only_fault == FAULT_NONE || s->only_fault == i))
            sweep_function(s, i, counts[i]);
}

int sweep_close(struct sweep *s)
{
    printf("%u runs over %u calls, %u failures (seed %u)\n", s->runs, s->points, s->failures,
           s->seed);
    munmap(s->plan, sizeof *s->plan);
    faults = NULL;
    return s->failures > 0 || s->runs == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
