/* command_load.c - vigil-bench put and get: how much, and how long each takes. */
#define _GNU_SOURCE
#include "bench/commands.h"
#include "bench/comparison.h"
#include "bench/monotonic.h"

#include <string.h>

static void report_plan(struct bench *b)
{
    const struct options *o = b->options;
    report_count(b->report, "clients", o->clients);
    report_count(b->report, "depth", o->depth);
    report_count(b->report, "size", o->size);
    report_count(b->report, "keys", o->keys);
    report_number(b->report, "rate", o->rate);
}

static void report_watchers(struct bench *b, const struct measured_load *m)
{
    struct report *r = b->report;
    if (b->options->watchers == 0) {
        return;
    }
    report_count(r, "watchers", b->options->watchers);
    report_count(r, "deliveries", m->seen.deliveries);
    report_number(r, "deliveries_per_s", (double)m->seen.counted / m->load.seconds);
    report_count(r, "watch_gaps", m->seen.gaps);
    report_latency(r, "delivery_", &m->seen.latency);
}

int command_put(struct bench *b, struct failure *failure)
{
    const struct options *o = b->options;
    struct comparison comparison;
    unsigned append = strcmp(o->durability, "power") ? 0 : COMPARE_APPEND;
    comparison_init(&comparison, COMPARE_ECHO | append, o);
    struct measured_load m = {0};
    int err = comparison_measure(&comparison, o, b->server.folder, failure);
    if (!err) {
        err = measure_load(b, LOAD_PUT, o->keys, WATCHERS_ALL, o->watchers, &m, failure);
    }
    if (!err) {
        err = comparison_measure(&comparison, o, b->server.folder, failure);
    }
    if (!err) {
        double per_s = (double)m.load.counted / m.load.seconds;
        report_plan(b);
        report_load(b, &m.load);
        report_latency(b->report, "", &m.load.latency);
        report_status_figures(b, &m.status);
        report_watchers(b, &m);
        comparison_report_echo(&comparison, b->report, per_s);
        comparison_report_append(&comparison, b->report, per_s);
    }
    return err;
}

int command_get(struct bench *b, struct failure *failure)
{
    const struct options *o = b->options;
    struct comparison comparison;
    comparison_init(&comparison, COMPARE_ECHO, o);
    struct measured_load m = {0};
    int err = write_records(b, o->keys, o->keys, &m.load, failure);
    if (!err) {
        err = comparison_measure(&comparison, o, b->server.folder, failure);
    }
    if (!err) {
        err = measure_load(b, LOAD_GET, o->keys, WATCHERS_ALL, 0, &m, failure);
    }
    if (!err) {
        err = comparison_measure(&comparison, o, b->server.folder, failure);
    }
    if (!err) {
        report_plan(b);
        report_load(b, &m.load);
        report_latency(b->report, "", &m.load.latency);
        comparison_report_echo(&comparison, b->report, (double)m.load.counted / m.load.seconds);
    }
    return err;
}
