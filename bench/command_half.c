/*
 * command_half.c - vigil-bench half: how long after a put was due its watcher holds
 * it, at half of the rate that the same clients reach at their most, beside what it
 * is at a light load and beside bare commits.
 */
#define _GNU_SOURCE
#include "bench/commands.h"
#include "bench/comparison.h"
#include "bench/monotonic.h"
#include "bench/yardstick.h"

#include <stdlib.h>
#include <string.h>

enum { PACED_DEPTH = 4096 /* enough that the pace never waits for a reply */ };

struct half {
    struct measured_load light;
    struct measured_load most;
    struct measured_load half;
    struct append_result commits;
    double commit_us; /* median of a bare one; 0: not measured */
};

static int measure_at(struct bench *b, double rate, uint32_t depth, struct measured_load *m,
                      struct failure *failure)
{
    const struct options *given = b->options;
    struct options o = *given;
    o.rate = rate;
    o.depth = depth;
    b->options = &o;
    int err = measure_load(b, LOAD_PUT, o.keys, WATCHERS_ALL, o.watchers, m, failure);
    b->options = given;
    return err;
}

static double per_s(const struct measured_load *m)
{
    return (double)m->load.counted / m->load.seconds;
}

static uint32_t records_of_commit(const struct measured_load *m)
{
    uint64_t records = m->status.commits ? m->status.mutations / m->status.commits : 0;
    return records ? (uint32_t)records : 1;
}

static int measure_commits(struct bench *b, struct half *h, struct failure *failure)
{
    struct comparison sizes;
    comparison_init(&sizes, 0, b->options);
    int err = yardstick_append(b->server.folder, records_of_commit(&h->half), sizes.record_size,
                               b->options->duration_ns / 4, &h->commits, failure);
    if (!err) {
        h->commit_us = (double)histogram_percentile(&h->commits.commit, 50) / 1000.0;
    }
    return err;
}

static void report_half(struct bench *b, const struct half *h)
{
    const struct options *o = b->options;
    struct report *r = b->report;
    double p99_us = (double)histogram_percentile(&h->half.seen.latency, 99) / 1000.0;
    double light_us = (double)histogram_percentile(&h->light.seen.latency, 50) / 1000.0;
    report_count(r, "clients", o->clients);
    report_count(r, "depth", o->depth);
    report_count(r, "watchers", o->watchers);
    report_count(r, "size", o->size);
    report_number(r, "peak_per_s", per_s(&h->most));
    report_number(r, "light_per_s", per_s(&h->light));
    report_latency(r, "light_", &h->light.seen.latency);
    report_load(b, &h->half.load);
    report_latency(r, "", &h->half.seen.latency);
    report_latency(r, "put_", &h->half.load.latency);
    report_status_figures(b, &h->half.status);
    report_count(r, "watch_gaps", h->half.seen.gaps);
    report_number(r, "ratio_light", p99_us / light_us);
    if (h->commit_us > 0) {
        report_number(r, "bare_commit_us", h->commit_us);
        report_number(r, "ratio_commit", p99_us / h->commit_us);
    }
}

int command_half(struct bench *b, struct failure *failure)
{
    const struct options *o = b->options;
    if (o->watchers == 0 || o->rate <= 0) {
        return failure_set(failure, ERR_INVALID, "half needs watchers, and a light --rate");
    }
    struct half *h = calloc(1, sizeof *h); /* histograms are large */
    if (!h) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    int err = measure_at(b, o->rate, PACED_DEPTH, &h->light, failure);
    if (!err) {
        err = measure_at(b, 0, o->depth, &h->most, failure);
    }
    if (!err) {
        err = measure_at(b, per_s(&h->most) / 2, PACED_DEPTH, &h->half, failure);
    }
    if (!err && o->yardstick && !strcmp(o->durability, "power")) {
        err = measure_commits(b, h, failure);
    }
    if (!err) {
        report_half(b, h);
    }
    free(h);
    return err;
}
