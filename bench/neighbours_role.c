/* neighbours_role.c - the processes of neighbours.h: a line says from when to when, and a report answers. */
#define _GNU_SOURCE
#include "bench/monotonic.h"
#include "bench/neighbours.h"
#include "bench/roles.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <vigil.h>

enum {
    STEP_TIMEOUT_MS = 10000,
    CLOCK_EVERY = 256, /* records between two looks at the clock */
    BURN_STEP_US = 500 /* how long one burn and one sleep last, about */
};

static void say_ready(void)
{
    printf("ready\n");
    fflush(stdout);
}

static void sleep_until(uint64_t at_ns)
{
    while (monotonic_ns() < at_ns) {
        monotonic_sleep_until(at_ns);
    }
}

static void send_report(const struct neighbour_report *report)
{
    fwrite(report, sizeof *report, 1, stdout);
    fflush(stdout);
}

/* ---- one that replays ------------------------------------------------------------ */

/* From the first record to until, or to the end of the window. */
static int replay(vigil *v, uint64_t until, uint64_t end_ns, struct neighbour_report *r)
{
    vigil_watch *w = NULL;
    vigil_watch_options options = VIGIL_WATCH_OPTIONS_INIT;
    options.since = VIGIL_SINCE_POSITION;
    uint64_t seq = 0;
    int err = vigil_watch_open(v, &options, &w);
    while (!err && seq < until && (r->records % CLOCK_EVERY || monotonic_ns() < end_ns)) {
        const vigil_event *event = NULL;
        err = vigil_watch_next(w, STEP_TIMEOUT_MS, &event);
        if (!err) {
            seq = event->record.seq;
            r->records++;
        }
    }
    if (err) {
        fprintf(stderr, "vigil-bench: the replay stopped: %s\n", vigil_failure_text(v));
    }
    r->replays += seq >= until;
    vigil_watch_close(w);
    return err;
}

/* arguments: endpoint, the last seq to replay. */
int role_replayer(int count, char *const arguments[])
{
    char line[80];
    vigil *v = NULL;
    vigil_options options = VIGIL_OPTIONS_INIT;
    if (count != 2) {
        return 1;
    }
    options.endpoint = arguments[0];
    uint64_t until = strtoull(arguments[1], NULL, 10);
    int err = vigil_open(&options, &v);
    if (err) {
        fprintf(stderr, "vigil-bench: the replay cannot connect: %s\n", vigil_failure_text(NULL));
        return 1;
    }
    say_ready();
    while (!err && fgets(line, sizeof line, stdin)) {
        char *end = NULL;
        uint64_t begin_ns = strtoull(line, &end, 10);
        uint64_t end_ns = strtoull(end, NULL, 10);
        struct neighbour_report report = {0};
        sleep_until(begin_ns);
        uint64_t cpu_ns = process_cpu_ns();
        while (!err && monotonic_ns() < end_ns) {
            err = replay(v, until, end_ns, &report);
        }
        report.cpu_ns = process_cpu_ns() - cpu_ns;
        if (!err) {
            send_report(&report);
        }
    }
    vigil_close(v);
    return err != VIGIL_OK;
}

/* ---- one that burns ----------------------------------------------------------------- */

struct burn {
    pthread_t thread;
    bool started;
    uint64_t begin_ns;
    uint64_t end_ns;
    double share;
    uint64_t cpu_ns;
};

static uint64_t thread_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Burns while it is behind its share, which it may be for long where others keep it from the cores. */
static void *burn(void *context)
{
    struct burn *b = context;
    prctl(PR_SET_TIMERSLACK, 1UL);
    sleep_until(b->begin_ns);
    uint64_t cpu_ns = thread_cpu_ns();
    uint64_t now = monotonic_ns();
    while (now < b->end_ns) {
        double wanted = (double)(now - b->begin_ns + BURN_STEP_US * NS_PER_US) * b->share;
        while ((double)(thread_cpu_ns() - cpu_ns) < wanted && now < b->end_ns) {
            now = monotonic_ns();
        }
        monotonic_sleep_until(now + BURN_STEP_US * NS_PER_US);
        now = monotonic_ns();
    }
    b->cpu_ns = thread_cpu_ns() - cpu_ns;
    return NULL;
}

int role_burner(int count, char *const arguments[])
{
    char line[120];
    (void)arguments;
    if (count != 0) {
        return 1;
    }
    say_ready();
    while (fgets(line, sizeof line, stdin)) {
        struct burn burns[2] = {{0}};
        struct neighbour_report report = {0};
        char *end = NULL;
        uint64_t begin_ns = strtoull(line, &end, 10);
        uint64_t end_ns = strtoull(end, &end, 10);
        for (int i = 0; i < 2; i++) {
            burns[i].begin_ns = begin_ns;
            burns[i].end_ns = end_ns;
            burns[i].share = strtod(end, &end);
            burns[i].started = !pthread_create(&burns[i].thread, NULL, burn, &burns[i]);
        }
        for (int i = 0; i < 2; i++) {
            if (burns[i].started) {
                pthread_join(burns[i].thread, NULL);
            }
            report.cpu_ns += burns[i].cpu_ns;
        }
        send_report(&report);
    }
    return 0;
}
