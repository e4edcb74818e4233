#define _GNU_SOURCE
/*
 * hostile.c - hostile [SCENARIO]... [--scale full|short] [--seed N] --vigild PROGRAM
 *
 * Each scenario gets a server of its own, a polite writer and a polite watcher, and goes
 *
 *   calm -> a load that is no attack (the yardstick) -> calm -> the attack -> its connections held
 *        -> they are closed -> calm
 *
 * What must hold: the server lives and stops cleanly; what the polite see is right and complete; the
 * server's anonymous memory stays within what docs/guarantees.md states, and comes back; the polite
 * wait no longer, give or take, than under the yardstick; while connections do nothing but be there,
 * the server does nothing either.
 */
#include "tests/hostile/polite.h"
#include "tests/hostile/raw_peer.h"
#include "tests/hostile/scenario.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    THREADS_MAX = 8,
    LATENCY_RATIO = 20, /* of the yardstick's: the margin of a machine that others use too */
    WAIT_MARGIN = 10,   /* likewise: a limit of processor time takes longer there */
    SAMPLES_MIN = 150,  /* puts during each measurement */
    SAMPLES_MIN_LARGE = 30,
    MEMORY_SLACK_MIB = 24, /* the polite's own, and what the allocator keeps */
    BACK_SLACK_MIB = 48,   /* malloc's arenas after an attack: they do not shrink at once */
    BACK_MS = 45000,       /* leases end after 30 s */
    STEADY_MS = 250,
    QUIET_MS = 1000
};

struct run {
    const struct scenario *scenario;
    struct target target;
    struct server_process server;
    struct polite *polite;
    char folder[TEMP_FOLDER_SIZE];
    uint64_t seed;
    _Atomic bool sampling;
    _Atomic uint64_t memory_max;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static void fault(struct run *r, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("  FAILED %s: ", r->scenario->name);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
    r->failed = true;
}

static void sleep_ms(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

/* ---- the server's figures ---- */

/* Bytes of anonymous memory: what the journal maps is the page cache's. */
static uint64_t memory_of(pid_t pid)
{
    char line[256];
    const char name[] = "RssAnon:";
    uint64_t kib = 0;
    snprintf(line, sizeof line, "/proc/%d/status", (int)pid);
    FILE *file = fopen(line, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtoull(line + strlen(name), NULL, 10);
    if (file)
        fclose(file);
    return kib * 1024;
}

static uint64_t cpu_ms_of(pid_t pid)
{
    char line[1024];
    enum { FIELDS_BEFORE = 11 }; /* between the name and the two times */
    uint64_t ticks = 0;
    snprintf(line, sizeof line, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(line, "re");
    if (file && fgets(line, sizeof line, file)) {
        char *at = strrchr(line, ')') + 1;
        for (int i = 0; i < FIELDS_BEFORE && at; i++)
            at = strchr(at + 1, ' ');
        if (at) {
            ticks = strtoull(at, &at, 10);
            ticks += strtoull(at, NULL, 10);
        }
    }
    if (file)
        fclose(file);
    return ticks * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static void *sample_memory(void *context)
{
    struct run *r = context;
    while (atomic_load(&r->sampling)) {
        uint64_t now = memory_of(r->server.pid);
        if (now > atomic_load(&r->memory_max))
            atomic_store(&r->memory_max, now);
        sleep_ms(10);
    }
    return NULL;
}

/* ---- attackers ---- */

uint64_t attacker_random(struct attacker *a)
{
    uint64_t z = a->random += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

void attacker_hold(struct attacker *a, int fd)
{
    if (a->held_count == a->held_capacity) {
        a->held_capacity = a->held_capacity * 2 + 64;
        a->held = realloc(a->held, a->held_capacity * sizeof *a->held);
    }
    if (fd >= 0)
        a->held[a->held_count++] = fd;
}

int attacker_open(struct attacker *a, int to, const char *type)
{
    int fd = raw_open(a->target->sockets[to], type);
    if (fd < 0)
        a->fault = "a connection was refused";
    attacker_hold(a, fd);
    return fd;
}

static void *run_attacker(void *context)
{
    struct attacker *a = context;
    const struct scenario *s = (const struct scenario *)(uintptr_t)a->done;
    a->done = 0;
    s->attack(a);
    return NULL;
}

static void release(struct attacker *attackers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        for (size_t k = 0; k < attackers[i].held_count; k++)
            raw_close(attackers[i].held[k]);
        free(attackers[i].held);
    }
}

static void attack(struct run *r, struct attacker *attackers)
{
    const struct scenario *s = r->scenario;
    pthread_t threads[THREADS_MAX];
    uint64_t volume = r->target.full ? s->volume_full : s->volume_short;
    for (unsigned i = 0; i < s->threads; i++) {
        attackers[i] = (struct attacker){.target = &r->target,
                                         .index = i,
                                         .volume = volume / s->threads,
                                         .random = r->seed * 64 + i,
                                         .done = (uintptr_t)s};
        pthread_create(&threads[i], NULL, run_attacker, &attackers[i]);
    }
    for (unsigned i = 0; i < s->threads; i++) {
        pthread_join(threads[i], NULL);
        if (attackers[i].fault)
            fault(r, "%s", attackers[i].fault);
    }
}

/* ---- one scenario ---- */

static bool is_alive(struct run *r)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)r->server.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
}

static void wait_for_samples(struct run *r)
{
    size_t wanted = r->scenario->is_large ? SAMPLES_MIN_LARGE : SAMPLES_MIN;
    while (polite_puts(r->polite) < wanted && is_alive(r))
        sleep_ms(5);
}

/* What an attack has asked for may still be on its way when it has asked for all of it. */
static void wait_until_steady(struct run *r)
{
    uint64_t seen = 0;
    while (is_alive(r) && atomic_load(&r->memory_max) > seen) {
        seen = atomic_load(&r->memory_max);
        sleep_ms(STEADY_MS);
    }
}

static void start(struct run *r, const char *vigild)
{
    static char endpoint[128];
    char data[128];
    char limited[128];
    static const char *const suffixes[3] = {"", ".stream", ".replay"};
    temp_folder_make(r->folder);
    snprintf(endpoint, sizeof endpoint, "ipc://%s/v", r->folder);
    snprintf(data, sizeof data, "%s/data", r->folder);
    snprintf(limited, sizeof limited, "ulimit -n %u && exec \"$0\" \"$@\"",
             r->scenario->descriptors);
    const char *arguments[] = {"-c",       limited,  vigild,         "--data",  data,
                               "--listen", endpoint, "--durability", "process", NULL};
    bool is_limited = r->scenario->descriptors > 0;
    r->target.endpoint = endpoint;
    for (int i = 0; i < 3; i++)
        snprintf(r->target.sockets[i], sizeof r->target.sockets[i], "%s/v%s", r->folder,
                 suffixes[i]);
    if (server_start(&r->server, is_limited ? "/bin/sh" : vigild, arguments + (is_limited ? 0 : 3)))
        r->polite = polite_start(endpoint);
    if (!r->polite)
        fault(r, "the server or the polite clients did not start");
}

/* Held connections cost no CPU: a thread that spins takes all of the time. */
static void check_quiet(struct run *r)
{
    struct timespec from;
    struct timespec to;
    polite_pause(r->polite, true);
    sleep_ms(QUIET_MS); /* what is under way ends */
    clock_gettime(CLOCK_MONOTONIC, &from);
    uint64_t before = cpu_ms_of(r->server.pid);
    sleep_ms(QUIET_MS);
    uint64_t used = cpu_ms_of(r->server.pid) - before;
    clock_gettime(CLOCK_MONOTONIC, &to);
    polite_pause(r->polite, false);
    uint64_t passed =
        (uint64_t)((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000);
    if (used * 2 > passed)
        fault(r, "with nothing to do, the server computes: %llu of %llu ms",
              (unsigned long long)used, (unsigned long long)passed);
}

static void check_latency(struct run *r, const char *what, uint64_t attacked, uint64_t yardstick)
{
    uint64_t wait_us = (uint64_t)r->scenario->wait_ms * 1000 * WAIT_MARGIN;
    if (attacked > LATENCY_RATIO * yardstick + wait_us)
        fault(r, "%s took %.1f times as long as under the yardstick", what,
              (double)attacked / (double)(yardstick ? yardstick : 1));
}

static void check_memory(struct run *r, uint64_t before)
{
    const struct scenario *s = r->scenario;
    uint64_t volume = r->target.full ? s->volume_full : s->volume_short;
    uint64_t bound = s->memory_fixed + s->memory_each * volume + ((uint64_t)MEMORY_SLACK_MIB << 20);
    uint64_t most = atomic_load(&r->memory_max);
    uint64_t grown = most > before ? most - before : 0;
    printf("  memory: +%.1f MiB at most, bound %.1f MiB\n", (double)grown / (1 << 20),
           (double)bound / (1 << 20));
    if (grown > bound)
        fault(r, "its memory grew beyond the bound");
}

static void check_memory_comes_back(struct run *r, uint64_t before)
{
    uint64_t slack = (uint64_t)BACK_SLACK_MIB << 20;
    uint64_t most = atomic_load(&r->memory_max);
    if (r->scenario->keeps && !r->target.full)
        return; /* leases and checkpoints take longer than the short form has */
    /* The server gives back what is free after ten seconds; until then what lies between pieces that
     * are in use stays. The short form does not wait for that. */
    if (!r->target.full && most > before && (most - before) / 2 > slack)
        slack = (most - before) / 2;
    uint64_t now = memory_of(r->server.pid);
    for (int waited = 0; now > before + slack && waited < BACK_MS && is_alive(r); waited += 100) {
        sleep_ms(100);
        now = memory_of(r->server.pid);
    }
    printf("  memory afterwards: %+.1f MiB\n", ((double)now - (double)before) / (1 << 20));
    if (now > before + slack && !r->scenario->keeps)
        fault(r, "its memory did not come back");
}

static void print_latencies(const char *when, const struct latencies *l)
{
    printf("  %-10s %6zu puts: p50 %llu p99 %llu max %llu us; delivery: p50 %llu p99 %llu max %llu "
           "us\n",
           when, l->count, (unsigned long long)l->put_p50, (unsigned long long)l->put_p99,
           (unsigned long long)l->put_max, (unsigned long long)l->delivery_p50,
           (unsigned long long)l->delivery_p99, (unsigned long long)l->delivery_max);
}

static void keep_worse(uint64_t *worst, uint64_t *now)
{
    if (*now > *worst)
        *worst = *now;
    *now = *worst;
}

/* The worst of this run so far: on a machine that others use, a single one may be lucky. */
static void measure_yardstick(struct run *r, struct latencies *ret)
{
    static struct latencies worsts[2];
    struct latencies *worst = &worsts[r->scenario->is_large];
    struct busy *busy = busy_start(r->target.endpoint, r->scenario->threads, r->scenario->is_large);
    polite_measure(r->polite, NULL);
    wait_for_samples(r);
    polite_measure(r->polite, ret);
    busy_end(busy);
    print_latencies("yardstick", ret);
    keep_worse(&worst->put_p50, &ret->put_p50);
    keep_worse(&worst->put_p99, &ret->put_p99);
    keep_worse(&worst->delivery_p50, &ret->delivery_p50);
    keep_worse(&worst->delivery_p99, &ret->delivery_p99);
}

static void end(struct run *r)
{
    const char *complaint = polite_end(r->polite);
    if (complaint)
        fault(r, "%s", complaint);
    bool alive = is_alive(r);
    int status = server_stop(&r->server, SIGTERM);
    if (!alive || status != 0) {
        char log[SERVER_LOG_SIZE];
        server_log(&r->server, log);
        fault(r, "the server ended with %d:\n%s", status, log);
    }
    temp_folder_remove(r->folder);
}

static bool run_scenario(const struct scenario *s, bool full, uint64_t seed, const char *vigild)
{
    struct run r = {.scenario = s, .target = {.full = full}, .seed = seed};
    struct attacker attackers[THREADS_MAX] = {{0}};
    struct latencies yardstick;
    struct latencies attacked;
    pthread_t sampler;
    printf("%s: %llu %s\n", s->name, (unsigned long long)(full ? s->volume_full : s->volume_short),
           s->what);
    fflush(stdout);
    start(&r, vigild);
    if (r.failed)
        return false;
    measure_yardstick(&r, &yardstick);
    uint64_t before = memory_of(r.server.pid);
    atomic_store(&r.sampling, true);
    pthread_create(&sampler, NULL, sample_memory, &r);
    polite_measure(r.polite, NULL);
    attack(&r, attackers);
    wait_for_samples(&r);
    wait_until_steady(&r);
    polite_measure(r.polite, &attacked);
    print_latencies("attack", &attacked);
    if (s->is_quiet && is_alive(&r))
        check_quiet(&r);
    atomic_store(&r.sampling, false);
    pthread_join(sampler, NULL);
    release(attackers, s->threads);
    check_memory(&r, before);
    /* Beside requests of nearly the largest size a put meets one or none: a busy machine decides which
     * of the two the half of them is, so that it says nothing there. */
    uint64_t half_of_puts = s->is_large ? yardstick.put_p99 : yardstick.put_p50;
    uint64_t half_of_deliveries = s->is_large ? yardstick.delivery_p99 : yardstick.delivery_p50;
    check_latency(&r, "half of the puts", attacked.put_p50, half_of_puts);
    check_latency(&r, "one put in a hundred", attacked.put_p99, yardstick.put_p99);
    check_latency(&r, "half of the deliveries", attacked.delivery_p50, half_of_deliveries);
    check_latency(&r, "one delivery in a hundred", attacked.delivery_p99, yardstick.delivery_p99);
    check_memory_comes_back(&r, before);
    end(&r);
    printf("  ratio: put p50 %.2f p99 %.2f, delivery p50 %.2f p99 %.2f%s\n",
           (double)attacked.put_p50 / (double)yardstick.put_p50,
           (double)attacked.put_p99 / (double)yardstick.put_p99,
           (double)attacked.delivery_p50 / (double)yardstick.delivery_p50,
           (double)attacked.delivery_p99 / (double)yardstick.delivery_p99, r.failed ? "" : "  ok");
    fflush(stdout);
    return !r.failed;
}

/* ---- the command line ---- */

static int usage(void)
{
    fprintf(stderr, "usage: hostile --vigild PROGRAM [--scale full|short] [--seed N] "
                    "[SCENARIO]...\n");
    for (size_t i = 0; i < scenarios_count; i++)
        fprintf(stderr, "  %s\n", scenarios[i].name);
    return 2;
}

static bool is_wanted(const char *name, char **names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return count == 0;
}

static bool is_known(const char *name)
{
    for (size_t i = 0; i < scenarios_count; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    const char *vigild = NULL;
    bool full = false;
    uint64_t seed = 1;
    int names = 0;
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strncmp(argv[i], "--", 2) != 0 && is_known(argv[i]))
            argv[1 + names++] = argv[i];
        else if (value && strcmp(argv[i], "--vigild") == 0)
            vigild = argv[++i];
        else if (value && strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[++i], NULL, 10);
        else if (value && strcmp(argv[i], "--scale") == 0)
            full = strcmp(argv[++i], "full") == 0;
        else
            return usage();
    }
    if (!vigild)
        return usage();
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (size_t i = 0; i < scenarios_count; i++)
        if (is_wanted(scenarios[i].name, argv + 1, names))
            failed += !run_scenario(&scenarios[i], full, seed, vigild);
    printf(failed ? "%d scenarios failed (--seed %llu)\n" : "all held\n", failed,
           (unsigned long long)seed);
    return failed ? 1 : 0;
}
