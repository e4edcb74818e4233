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

/* What the server writes for each record of record_size bytes, checkpoints included; and what the device
 * does, the file system's own journal and whoever else uses it included. */
static void report_written(struct bench *b, const struct load_result *load, size_t record_size)
{
    if (!load->has_server) {
        return;
    }
    double written = (double)(load->server_after.written_bytes - load->server_before.written_bytes);
    double written_per_op = written / (double)load->counted;
    report_count(b->report, "record_size", record_size);
    report_number(b->report, "server_written_bytes_per_op", written_per_op);
    report_number(b->report, "ratio_written_record", written_per_op / (double)record_size);
    report_number(b->report, "device_bytes_per_op",
                  (double)load->device_bytes / (double)load->counted);
}

int command_put(struct bench *b, struct failure *failure)
{
    const struct options *o = b->options;
    struct comparison comparison;
    unsigned append = strcmp(o->durability, "power") ? 0 : COMPARE_APPEND;
    unsigned round_trip = o->clients == 1 && o->depth == 1 ? COMPARE_ROUND_TRIP : 0;
    comparison_init(&comparison, COMPARE_ECHO | append | round_trip, o);
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
        report_written(b, &m.load, comparison.record_size);
        report_watchers(b, &m);
        comparison_report_echo(&comparison, b->report, per_s);
        comparison_report_append(&comparison, b->report, per_s);
        comparison_report_commit(&comparison, b->report,
                                 (double)histogram_percentile(&m.load.latency, 50) / 1000.0);
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
