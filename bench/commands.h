/*
 * commands.h - the commands of vigil-bench. Each measures what its name says
 * against b->server, and adds what it found to b->report.
 */
#ifndef VIGIL_BENCH_COMMANDS_H
#define VIGIL_BENCH_COMMANDS_H

#include "bench/load.h"
#include "bench/options.h"
#include "bench/report.h"
#include "bench/server.h"
#include "bench/watchers.h"

struct bench {
    const struct options *options;
    struct server server;
    struct report *report;
    bool is_worse; /* check: the report is printed all the same, and the exit status is 1 */
    /* Called by measure_load when the window of a load is known, before it; NULL: nobody. */
    int (*beside)(void *context, uint64_t begin_ns, uint64_t end_ns, struct failure *failure);
    void *beside_context;
};

struct command {
    const char *name;
    const char *summary;
    void (*set_defaults)(struct options *options); /* NULL: those of all */
    bool needs_server;
    int (*run)(struct bench *b, struct failure *failure);
};

int command_put(struct bench *b, struct failure *failure);
int command_get(struct bench *b, struct failure *failure);
int command_atomic(struct bench *b, struct failure *failure);
int command_watch(struct bench *b, struct failure *failure);
int command_wait(struct bench *b, struct failure *failure);
int command_replay(struct bench *b, struct failure *failure);
int command_restart(struct bench *b, struct failure *failure);
int command_grown(struct bench *b, struct failure *failure);
int command_beside(struct bench *b, struct failure *failure);
int command_half(struct bench *b, struct failure *failure);
int command_check(struct bench *b, struct failure *failure);
int command_yardstick(struct bench *b, struct failure *failure);

/* ---- measured_load.c: what several of them share ------------------------------- */

/* What the server's status counts, over the load from its start to its end. */
struct status_figures {
    bool known;
    uint64_t requests;
    uint64_t messages;
    uint64_t mutations;
    uint64_t commits;
};

struct measured_load {
    struct load_result load;
    struct watchers_report seen; /* all 0 without watchers */
    struct status_figures status;
};

/* Runs load while count watchers of that kind look on, and checks that they saw what it wrote, all of
 * it, in order. keys: written at random among so many. */
int measure_load(struct bench *b, enum load_kind kind, uint32_t keys, enum watchers_kind watching,
                 uint32_t count, struct measured_load *ret_measured, struct failure *failure);
/* Writes so many records, over keys keys in turn; fast. */
int write_records(struct bench *b, uint64_t count, uint32_t keys, struct load_result *ret_result,
                  struct failure *failure);
/* command_restart.c: stops the server, starts it, and checks that head is still its newest record. Adds
 * the time from exec to the ready line. */
int restart_once(struct bench *b, uint64_t head, int signal_number, struct histogram *times,
                 struct process_figures *ret_figures, struct failure *failure);
/* What every report starts with: command, machine, options that matter to all. */
void report_setting(struct bench *b);
/* ops, ops_per_s, CPU and context switches a request. */
void report_load(struct bench *b, const struct load_result *load);
void report_status_figures(struct bench *b, const struct status_figures *status);
/* CPU time of the server a request, in microseconds; 0 where it is not known. */
double server_cpu_us(const struct load_result *load);

#endif
