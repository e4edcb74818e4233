/*
 * command_watch.c - vigil-bench watch and wait: how long after a mutation was due
 * those who wait for it hold it. A rate of 0, or rounds, put as fast as replies
 * come, and show how many deliveries a second there are instead.
 */
#define _GNU_SOURCE
#include "bench/commands.h"
#include "bench/comparison.h"
#include "bench/monotonic.h"
#include "bench/payload.h"
#include "bench/yardstick.h"

#include <stdlib.h>
#include <string.h>
#include <vigil.h>

static void report_delivery(struct bench *b, const struct measured_load *m)
{
    struct report *r = b->report;
    report_count(r, "watchers", b->options->watchers);
    if (b->options->rounds) {
        report_count(r, "round", yardstick_fanout_round(b->options->watchers));
    } else {
        report_number(r, "rate", b->options->rate);
    }
    report_count(r, "size", b->options->size);
    report_latency(r, "", &m->seen.latency);
    report_latency(r, "put_", &m->load.latency);
    report_load(b, &m->load);
    report_status_figures(b, &m->status);
    report_count(r, "deliveries", m->seen.deliveries);
    report_number(r, "deliveries_per_s", (double)m->seen.counted / m->load.seconds);
    report_count(r, "watch_gaps", m->seen.gaps);
    report_number(r, "watchers_cpu_us_per_delivery",
                  (double)m->seen.cpu_ns / 1000.0 / (double)m->seen.deliveries);
}

/* All on the same filter. */
static int watch_shared(struct bench *b, struct measured_load *m, struct failure *failure)
{
    const struct options *o = b->options;
    struct comparison comparison;
    comparison_init(&comparison, COMPARE_ROUND_TRIP | COMPARE_FANOUT, o);
    int err = comparison_measure(&comparison, o, b->server.folder, failure);
    if (!err) {
        err = measure_load(b, LOAD_PUT, o->keys, WATCHERS_ALL, o->watchers, m, failure);
    }
    if (!err) {
        err = comparison_measure(&comparison, o, b->server.folder, failure);
    }
    if (!err) {
        double p50_us = (double)histogram_percentile(&m->seen.latency, 50) / 1000.0;
        report_delivery(b, m);
        comparison_report_round_trips(&comparison, b->report, p50_us);
        comparison_report_fanout(&comparison, b->report, (double)m->seen.counted / m->load.seconds);
    }
    return err;
}

static int measure_distinct(struct bench *b, uint32_t watchers, struct measured_load *m,
                            struct failure *failure)
{
    const struct options *given = b->options;
    struct options o = *given;
    o.watchers = watchers;
    b->options = &o;
    int err = measure_load(b, LOAD_PUT, 1, WATCHERS_DISTINCT, watchers, m, failure);
    b->options = given;
    return err;
}

/* A key for each watcher, and a load on the first key: what the others cost the server. Pairs of a load
 * with one watcher and one with all, whose order alternates, so that neither a change of the machine's
 * pace nor what comes first in a server's life shows in the ratio. */
static int watch_distinct(struct bench *b, struct measured_load *m, struct failure *failure)
{
    const struct options *o = b->options;
    struct measured_load *last = calloc(1, sizeof *last); /* of all watchers; it is large */
    if (!last) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    double sums[2] = {0, 0};
    double least = 0;
    double most = 0;
    int err = ERR_OK;
    for (uint32_t run = 0; run < o->runs && !err; run++) {
        double us[2] = {0, 0}; /* with one, with all */
        for (unsigned i = 0; i < 2 && !err; i++) {
            unsigned all = (run + i) % 2;
            err = measure_distinct(b, all ? o->watchers : 1, m, failure);
            us[all] = server_cpu_us(&m->load);
            sums[all] += us[all];
            if (all) {
                *last = *m;
            }
        }
        double ratio = us[1] / us[0];
        least = run == 0 || ratio < least ? ratio : least;
        most = run == 0 || ratio > most ? ratio : most;
    }
    if (!err) {
        report_delivery(b, last);
    }
    if (!err && b->server.own) {
        report_count(b->report, "runs", o->runs);
        report_number(b->report, "server_cpu_us_per_op_all", sums[1] / o->runs);
        report_number(b->report, "server_cpu_us_per_op_one", sums[0] / o->runs);
        report_number(b->report, "ratio_one", sums[1] / sums[0]);
        report_number(b->report, "ratio_one_min", least);
        report_number(b->report, "ratio_one_max", most);
    }
    free(last);
    return err;
}

int command_watch(struct bench *b, struct failure *failure)
{
    if (b->options->watchers == 0) {
        return failure_set(failure, ERR_INVALID, "watch needs watchers");
    }
    if (b->options->rounds && (b->options->distinct || b->options->threads > 1)) {
        return failure_set(failure, ERR_INVALID, "--rounds: one thread, and watchers of all keys");
    }
    struct measured_load m = {0};
    return b->options->distinct ? watch_distinct(b, &m, failure) : watch_shared(b, &m, failure);
}

/* ---- wait --------------------------------------------------------------------------- */

/* The value after which waiters stop. */
static int put_end(struct bench *b, struct failure *failure)
{
    uint8_t value[PAYLOAD_SIZE_MIN];
    char key[PAYLOAD_KEY_SIZE + 1];
    payload_make(value, sizeof value);
    payload_set_time(value, sizeof value, PAYLOAD_END);
    payload_key(0, key);
    vigil_options options = VIGIL_OPTIONS_INIT;
    options.endpoint = b->server.endpoint;
    vigil *v = NULL;
    int err = vigil_open(&options, &v);
    if (!err) {
        err = vigil_put(v, key, value, sizeof value, NULL, NULL);
    }
    if (err) {
        failure_set(failure, err, "cannot put: %s", vigil_failure_text(v));
    }
    vigil_close(v);
    return err;
}

static int measure_waits(struct bench *b, struct measured_load *m, struct failure *failure)
{
    const struct options *o = b->options;
    struct watchers waiters = WATCHERS_INIT;
    struct load *load = NULL;
    struct load_plan plan = {
        .kind = LOAD_PUT,
        .endpoint = b->server.endpoint,
        .clients = o->clients,
        .depth = o->depth,
        .threads = o->threads,
        .size = o->size,
        .keys = 1,
        .rate = o->rate,
        .server_pid = b->server.child.pid,
    };
    int err = watchers_start(&waiters, WATCHERS_WAITERS, b->server.endpoint, o->watchers, failure);
    if (!err) {
        err = load_open(&plan, &load, failure);
    }
    if (!err) {
        uint64_t begin_ns = monotonic_ns() + o->warmup_ns;
        uint64_t end_ns = begin_ns + o->duration_ns;
        err = watchers_window(&waiters, begin_ns, end_ns, failure);
        if (!err) {
            err = load_run(load, begin_ns, end_ns, &m->load, failure);
        }
    }
    if (!err) {
        err = put_end(b, failure);
    }
    if (!err) {
        err = watchers_finish(&waiters, m->load.last_seq, &m->seen, failure);
    }
    if (!err && (m->seen.deliveries != m->load.total * o->watchers || m->seen.disorder)) {
        err = failure_set(failure, ERR_INTERNAL, "the waiters missed changes");
    }
    watchers_end(&waiters);
    load_close(load);
    return err;
}

int command_wait(struct bench *b, struct failure *failure)
{
    const struct options *o = b->options;
    if (o->watchers == 0 || o->rate <= 0) {
        return failure_set(failure, ERR_INVALID, "wait needs waiters (--watchers) and a --rate");
    }
    struct comparison comparison;
    comparison_init(&comparison, COMPARE_ROUND_TRIP, o);
    struct measured_load m = {0};
    int err = comparison_measure(&comparison, o, b->server.folder, failure);
    if (!err) {
        err = measure_waits(b, &m, failure);
    }
    if (!err) {
        err = comparison_measure(&comparison, o, b->server.folder, failure);
    }
    if (!err) {
        report_delivery(b, &m);
        comparison_report_round_trips(&comparison, b->report,
                                      (double)histogram_percentile(&m.seen.latency, 50) / 1000.0);
    }
    return err;
}
