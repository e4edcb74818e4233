/*
 * power_loss.c - the power is taken away at every step of what a journal, and a
 * server, write; what is left is opened and held against what was acknowledged.
 *
 *   power_loss [SCENARIO]... [--seed N] [--variants N] [--cuts N] [--cut N] [--jobs N]
 *              [--keep FOLDER]
 *
 *   --variants  pictures of the disk at each cut (3)
 *   --cuts      at most so many cuts a scenario, spread evenly; 0: all. Without it some
 *               hundreds, which is what the suite has time for
 *   --cut       this one alone
 *   --keep      leaves the first wrong picture in FOLDER, and each log beside it
 *
 * A failure names seed, scenario and cut, which bring it back (a server's scenario is
 * not the same twice: keep its log).
 *
 * ctest: TIMEOUT=600 LABELS=release-only PROCESSORS=2
 */
#define _GNU_SOURCE

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/powerloss/cutting.h"
#include "tests/powerloss/recorded_run.h"

enum { SEGMENTS_MAX = 8 };

struct settings {
    uint64_t seed;
    unsigned variants;
    size_t cuts_max;
    bool has_cuts_max;
    size_t only_cut;
    unsigned jobs;
    const char *keep;
};

enum scenario_kind { OF_JOURNAL, OF_SERVER, OF_RECOVERY, OF_LIES };

struct scenario {
    const char *name;
    enum scenario_kind kind;
    size_t cuts_max; /* unless told otherwise; 0: all */
    struct workload_segment segments[SEGMENTS_MAX];
};

#define POWER JOURNAL_POWER
#define PROCESS JOURNAL_PROCESS
#define CLOSES true, NULL, NULL
#define DIES false, NULL, NULL

static const struct scenario scenarios[] = {
    {"power", OF_JOURNAL, 700, {{POWER, 130, CLOSES}, {POWER, 80, DIES}, {POWER, 40, CLOSES}}},
    {"process",
     OF_JOURNAL,
     450,
     {{PROCESS, 130, DIES}, {PROCESS, 80, CLOSES}, {PROCESS, 40, DIES}}},
    {"mixed",
     OF_JOURNAL,
     400,
     {{PROCESS, 50, CLOSES},
      {POWER, 50, DIES},
      {PROCESS, 50, DIES},
      {POWER, 50, CLOSES},
      {PROCESS, 30, DIES}}},
    {"recovery", OF_RECOVERY, 20, {{PROCESS, 130, CLOSES}, {PROCESS, 100, DIES}}},
    {"power-recovery", OF_RECOVERY, 20, {{POWER, 60, CLOSES}, {POWER, 150, DIES}}},
    {"server-power", OF_SERVER, 250, {{POWER, 300, CLOSES}, {POWER, 200, CLOSES}}},
    {"server-process", OF_SERVER, 150, {{PROCESS, 300, CLOSES}, {PROCESS, 200, CLOSES}}},
    /* No room for a redo log: LMDB syncs each commit. */
    {"power-no-log",
     OF_JOURNAL,
     200,
     {{POWER, 60, CLOSES}, {POWER, 60, false, POWERLOSS_FULL, "redo."}, {POWER, 30, CLOSES}}},
    {"lie-redo", OF_LIES, 300, {{POWER, 100, false, POWERLOSS_UNSYNCED, "redo."}}},
    {"lie-data", OF_LIES, 300, {{POWER, 100, false, POWERLOSS_UNSYNCED, "data.mdb"}}},
    {"lie-late-data", OF_LIES, 300, {{POWER, 100, false, POWERLOSS_LATE, "data.mdb"}}},
};
enum { SCENARIOS = sizeof scenarios / sizeof scenarios[0] };

static bool fail(const struct scenario *s, const char *text)
{
    printf("%s: %s\n", s->name, text);
    return false;
}

/* ---- reports ---- */

static void keep_log(const struct settings *settings, const struct scenario *s,
                     const struct recorded_run *run)
{
    char path[RUN_PATH_SIZE + 64];
    snprintf(path, sizeof path, "%s/%s.log", settings->keep, s->name);
    if (link(run->log, path) != 0 && rename(run->log, path) != 0)
        perror(path);
}

static void print_report(const struct scenario *s, const struct cut_report *r)
{
    const size_t *n = r->outcomes;
    printf("%s: %zu operations, %zu cuts, %zu pictures: %zu served, %zu in a new epoch, "
           "%zu refused, %zu wrong\n",
           s->name, r->operations, r->cuts, r->images, n[OUTCOME_SERVED], n[OUTCOME_RENEWED],
           n[OUTCOME_REFUSED], n[OUTCOME_WRONG]);
    for (size_t i = 0; i < r->failures_count; i++)
        printf("%s: %s\n", s->name, r->failures[i]);
    fflush(stdout);
}

/* ---- scenarios ---- */

static struct cutting cutting_of(const struct settings *settings, const struct scenario *s,
                                 const struct recorded_run *run)
{
    return (struct cutting){
        .log_path = run->log,
        .folder = run->folder,
        .history = s->kind == OF_SERVER ? &server_history : &journal_history,
        .durability = s->segments[0].durability,
        .seed = settings->seed,
        .cuts_max = settings->has_cuts_max ? settings->cuts_max : s->cuts_max,
        .only_cut = settings->only_cut,
        .variants = settings->variants,
        .workers = settings->jobs,
        .keep = settings->keep,
    };
}

static bool run_segments(const struct settings *settings, const struct scenario *s,
                         struct recorded_run *run)
{
    char error[IMAGE_ERROR_SIZE];
    bool ok = true;
    for (size_t i = 0; ok && i < SEGMENTS_MAX && s->segments[i].batches > 0; i++) {
        const struct workload_segment *segment = &s->segments[i];
        uint64_t seed = settings->seed * 100 + i;
        ok = s->kind == OF_SERVER
                 ? recorded_run_server(run, segment->durability, segment->batches, seed)
                 : recorded_run_workload(run, segment, seed, NULL);
    }
    if (!ok)
        return fail(s, run->error);
    return cut_explains(run->log, run->root, error) || fail(s, error);
}

static bool is_fine(const struct cut_report *r)
{
    return r->outcomes[OUTCOME_WRONG] == 0 && r->images > 0;
}

static bool cut_run(const struct settings *settings, const struct scenario *s,
                    const struct recorded_run *run)
{
    struct cutting c = cutting_of(settings, s, run);
    struct cut_report report = {0};
    c.stop_at_wrong = s->kind == OF_LIES;
    bool usable = cut_everywhere(&c, &report);
    if (s->kind != OF_LIES) {
        print_report(s, &report);
        return usable && is_fine(&report);
    }
    /* Here the test is tested. */
    if (usable && report.outcomes[OUTCOME_WRONG] > 0) {
        printf("%s: found out, by %zu pictures: %s\n", s->name, report.images, report.failures[0]);
        return true;
    }
    print_report(s, &report);
    return fail(s, "it was not found out");
}

/* ---- the power fails again while the server recovers ---- */

enum { RECOVERIES = 12, RECOVERY_BATCHES = 12 };

static void add_report(struct cut_report *sum, const struct cut_report *r)
{
    sum->operations += r->operations;
    sum->cuts += r->cuts;
    sum->images += r->images;
    for (size_t i = 0; i < OUTCOMES; i++)
        sum->outcomes[i] += r->outcomes[i];
    for (size_t i = 0; i < r->failures_count && sum->failures_count < CUT_FAILURES_MAX; i++)
        memcpy(sum->failures[sum->failures_count++], r->failures[i], sizeof r->failures[i]);
}

/* Puts what the first power loss has left into second, and starts the machine again. */
static bool lose_power(const struct recorded_run *first, size_t cut, uint64_t seed,
                       struct recorded_run *second, struct expectation *ret_expectation,
                       size_t *ret_operations)
{
    struct image image;
    if (!cut_once(first->log, cut, seed, &image, ret_expectation))
        return false;
    bool ok = recorded_run_make(second) && recorded_run_boot(second, "second boot") &&
              image_write(&image, second->root);
    if (ok) {
        int log_fd = operation_log_open(second->log);
        ok = log_fd >= 0 && image_append_to_log(&image, second->root, log_fd);
        if (log_fd >= 0)
            close(log_fd);
    }
    image_free(&image);
    *ret_operations = ok ? cut_count_operations(second->log) : 0;
    return ok;
}

/* *ret_done: the first power loss left something to recover from. */
static bool recover_once(const struct settings *settings, const struct scenario *s,
                         const struct recorded_run *first, size_t cut, uint64_t seed,
                         struct cut_report *sum, bool *ret_done)
{
    struct recorded_run second = {0};
    struct cut_report report = {0};
    const struct workload_segment segment = {s->segments[0].durability, RECOVERY_BATCHES, DIES};
    char error[IMAGE_ERROR_SIZE];
    bool may_refuse = segment.durability == PROCESS;
    bool refused = false;
    struct expectation before;
    size_t prepared = 0;
    bool ok = lose_power(first, cut, seed, &second, &before, &prepared) &&
              recorded_run_workload(&second, &segment, seed, may_refuse ? &refused : NULL);
    if (!ok) {
        fail(s, second.error);
    } else if (!refused) {
        struct cutting c = cutting_of(settings, s, &second);
        c.first = prepared;
        c.before = before;
        ok = cut_explains(second.log, second.root, error) || fail(s, error);
        ok = ok && cut_everywhere(&c, &report);
        add_report(sum, &report);
        *ret_done = true;
    }
    recorded_run_remove(&second);
    return ok;
}

static bool cut_recoveries(const struct settings *settings, const struct scenario *s,
                           const struct recorded_run *first)
{
    enum { TRIES = RECOVERIES * 10 };
    struct cut_report sum = {0};
    size_t count = cut_count_operations(first->log);
    size_t done = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < TRIES && done < RECOVERIES; i++) {
        size_t cut = count / 10 + (count - count / 10) * i / TRIES;
        bool recovered = false;
        ok = recover_once(settings, s, first, cut, settings->seed * 1000 + i, &sum, &recovered);
        done += recovered;
    }
    print_report(s, &sum);
    if (ok && done < RECOVERIES / 2)
        return fail(s, "too little could be recovered from");
    return ok && is_fine(&sum);
}

static bool run_scenario(const struct settings *settings, const struct scenario *s)
{
    struct recorded_run run;
    bool ok = recorded_run_make(&run) || fail(s, run.error);
    ok = ok && run_segments(settings, s, &run);
    if (ok)
        ok =
            s->kind == OF_RECOVERY ? cut_recoveries(settings, s, &run) : cut_run(settings, s, &run);
    if (settings->keep)
        keep_log(settings, s, &run);
    recorded_run_remove(&run);
    if (!ok)
        printf("%s: FAILED; again with: power_loss %s --seed %llu --variants %u\n", s->name,
               s->name, (unsigned long long)settings->seed, settings->variants);
    return ok;
}

/* ---- the command line ---- */

static bool read_number(const char *text, uint64_t max, uint64_t *ret_number)
{
    char *end = NULL;
    *ret_number = strtoull(text, &end, 10);
    return end != text && *end == '\0' && *ret_number <= max;
}

static bool take_option(struct settings *settings, int option, const char *text)
{
    uint64_t number = 0;
    if (option == 'k') {
        settings->keep = text;
        return mkdir(text, 0700) == 0 || access(text, W_OK) == 0;
    }
    if (option == '?' || !read_number(text, option == 's' ? UINT64_MAX / 2000 : 100000000, &number))
        return false;
    switch (option) {
    case 's':
        settings->seed = number;
        return true;
    case 'v':
        settings->variants = (unsigned)number;
        return number > 0;
    case 'n':
        settings->cuts_max = (size_t)number;
        settings->has_cuts_max = true;
        return true;
    case 'c':
        settings->only_cut = (size_t)number;
        return true;
    default:
        settings->jobs = (unsigned)number;
        return number > 0 && number <= CUT_WORKERS_MAX;
    }
}

static bool is_wanted(const struct scenario *s, char **names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], s->name) == 0)
            return true;
    return count == 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"variants", required_argument, NULL, 'v'},
                                            {"cuts", required_argument, NULL, 'n'},
                                            {"cut", required_argument, NULL, 'c'},
                                            {"jobs", required_argument, NULL, 'j'},
                                            {"keep", required_argument, NULL, 'k'},
                                            {NULL, 0, NULL, 0}};
    struct settings settings = {.seed = 1, .variants = 3, .jobs = 2};
    int option = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (!take_option(&settings, option, optarg)) {
            fprintf(stderr, "power_loss: see the head of tests/powerloss/power_loss.c\n");
            return 2;
        }
    struct rlimit no_core = {0, 0}; /* what opens a damaged journal may crash */
    setrlimit(RLIMIT_CORE, &no_core);
    /* The pictures need no disk of their own. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    bool ok = true;
    size_t run = 0;
    printf("seed %llu\n", (unsigned long long)settings.seed);
    for (size_t i = 0; i < SCENARIOS; i++)
        if (is_wanted(&scenarios[i], argv + optind, argc - optind)) {
            ok = run_scenario(&settings, &scenarios[i]) && ok;
            run++;
        }
    if (run == 0)
        fprintf(stderr, "power_loss: no such scenario\n");
    return ok && run > 0 ? 0 : 1;
}
