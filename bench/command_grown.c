/*
 * command_grown.c - vigil-bench grown: what a journal of many records costs. The
 * time of a start beside that with few records, and the server's own memory while
 * watchers keep up with a light load.
 */
#define _GNU_SOURCE
#include "bench/commands.h"

#include <signal.h>
#include <stdlib.h>

enum { FEW_RECORDS = 10000 };

struct grown {
    struct load_result written;
    struct histogram few_clean;
    struct histogram few_killed;
    struct histogram clean;
    struct histogram killed;
    struct process_figures started; /* right after the last start */
    struct measured_load watched;
    uint64_t written_anon_bytes; /* of the server that has written the records */
};

/* Starts after both kinds of stop, in turns. */
static int measure_starts(struct bench *b, uint64_t head, struct histogram *clean,
                          struct histogram *killed, struct process_figures *ret_figures,
                          struct failure *failure)
{
    int err = ERR_OK;
    for (uint32_t i = 0; i < b->options->runs && !err; i++) {
        err = restart_once(b, head, SIGKILL, killed, ret_figures, failure);
        if (!err) {
            err = restart_once(b, head, SIGTERM, clean, ret_figures, failure);
        }
    }
    return err;
}

static uint64_t anon_bytes(struct bench *b)
{
    struct process_figures figures = {0};
    process_figures_read(b->server.child.pid, &figures);
    return figures.rss_anon_bytes;
}

/* All watchers on all keys. A watcher that had fallen behind would have met a gap. */
static int measure_memory(struct bench *b, struct grown *g, struct failure *failure)
{
    const struct options *o = b->options;
    g->written_anon_bytes = anon_bytes(b);
    int err = measure_load(b, LOAD_PUT, o->keys, WATCHERS_ALL, o->watchers, &g->watched, failure);
    if (!err && g->watched.seen.gaps > 0) {
        err = failure_set(failure, ERR_INTERNAL,
                          "the watchers did not keep up: choose another --rate");
    }
    return err;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static void report_memory(struct bench *b, const struct grown *g)
{
    struct report *r = b->report;
    uint64_t before = g->watched.load.server_before.rss_anon_bytes;
    uint64_t after = g->watched.load.server_after.rss_anon_bytes;
    uint64_t most = before > after ? before : after;
    report_number(r, "anon_written_mib", mib(g->written_anon_bytes));
    report_number(r, "anon_watched_mib", mib(most));
    report_number(r, "anon_started_mib", mib(g->started.rss_anon_bytes));
    report_number(r, "anon_most_mib",
                  mib(most > g->written_anon_bytes ? most : g->written_anon_bytes));
    report_count(r, "deliveries", g->watched.seen.deliveries);
    report_count(r, "watch_gaps", g->watched.seen.gaps);
}

static void report_grown(struct bench *b, const struct grown *g)
{
    const struct options *o = b->options;
    struct report *r = b->report;
    report_count(r, "records", o->records);
    report_count(r, "size", o->size);
    report_count(r, "keys", o->keys);
    report_count(r, "watchers", o->watchers);
    report_number(r, "rate", o->rate);
    report_count(r, "runs", o->runs);
    report_number(r, "written_per_s", (double)g->written.total / g->written.seconds);
    report_number(r, "ops_per_s", 1e9 / histogram_mean(&g->clean));
    report_latency(r, "", &g->clean);
    report_latency(r, "few_", &g->few_clean);
    report_latency(r, "killed_", &g->killed);
    report_latency(r, "few_killed_", &g->few_killed);
    report_number(r, "ratio_few",
                  (double)histogram_percentile(&g->clean, 50) /
                      (double)histogram_percentile(&g->few_clean, 50));
    report_number(r, "ratio_few_killed",
                  (double)histogram_percentile(&g->killed, 50) /
                      (double)histogram_percentile(&g->few_killed, 50));
    report_memory(b, g);
}

int command_grown(struct bench *b, struct failure *failure)
{
    const struct options *o = b->options;
    struct grown *g = calloc(1, sizeof *g); /* histograms are large */
    if (!g) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    int err = ERR_OK;
    if (!b->server.own || o->records <= FEW_RECORDS || o->watchers == 0) {
        err = failure_set(failure, ERR_INVALID,
                          "grown needs a server of its own, watchers, and more than %d records",
                          (int)FEW_RECORDS);
    }
    if (!err) {
        err = write_records(b, FEW_RECORDS, o->keys, &g->written, failure);
    }
    if (!err) {
        err = measure_starts(b, g->written.last_seq, &g->few_clean, &g->few_killed, &g->started,
                             failure);
    }
    if (!err) {
        err = write_records(b, o->records - FEW_RECORDS, o->keys, &g->written, failure);
    }
    if (!err) {
        err = measure_memory(b, g, failure);
    }
    if (!err) {
        err = measure_starts(b, g->watched.load.last_seq, &g->clean, &g->killed, &g->started,
                             failure);
    }
    if (!err) {
        report_grown(b, g);
    }
    free(g);
    return err;
}
