/*
 * command_beside.c - vigil-bench beside: what watchers of a paced load feel of a
 * watcher that is stopped and of one that replays the journal, against a load on
 * the same cores that is no watcher and takes as much CPU time.
 *
 * Each run has three parts, right after one another: alone; with the stopped one
 * and the replay; with the burner, which gets what the replay's process used, and
 * in a second thread what the server used beyond what it did alone.
 */
#define _GNU_SOURCE
#include "bench/commands.h"
#include "bench/monotonic.h"
#include "bench/neighbours.h"

#include <signal.h>
#include <stdlib.h>

struct beside {
    struct child replayer;
    struct child burner;
    double shares[2]; /* of a core: for the burner's threads */
    struct load_result written;
    struct histogram alone;
    struct histogram replaying;
    struct histogram burning;
    struct histogram ratios; /* of each run's p99s, in thousandths */
    uint64_t records;        /* replayed */
    uint64_t replays;
    double replay_cores; /* sums over the runs */
    double burnt_cores;
};

static double cores(uint64_t cpu_ns, const struct load_result *load)
{
    return (double)cpu_ns / (double)NS_PER_S / load->seconds;
}

static uint64_t server_cpu_ns(const struct load_result *load)
{
    return load->server_after.cpu_ns - load->server_before.cpu_ns;
}

static int measure_others(struct bench *b, struct histogram *latency, struct measured_load *m,
                          struct failure *failure)
{
    const struct options *o = b->options;
    int err = measure_load(b, LOAD_PUT, o->keys, WATCHERS_ALL, o->watchers, m, failure);
    if (!err) {
        histogram_merge(latency, &m->seen.latency);
    }
    return err;
}

static int tell_replayer(void *context, uint64_t begin_ns, uint64_t end_ns, struct failure *failure)
{
    struct beside *s = context;
    return replayer_window(&s->replayer, begin_ns, end_ns, failure);
}

static int tell_burner(void *context, uint64_t begin_ns, uint64_t end_ns, struct failure *failure)
{
    struct beside *s = context;
    return burner_window(&s->burner, begin_ns, end_ns, s->shares, failure);
}

/* One that stands still from before the load until after it, and then gets all of it. */
static int measure_replaying(struct bench *b, struct beside *s, struct measured_load *m,
                             struct neighbour_report *ret_replay, struct failure *failure)
{
    struct watchers stopped = WATCHERS_INIT;
    struct watchers_report seen;
    int err = watchers_start(&stopped, WATCHERS_ALL, b->server.endpoint, 1, failure);
    if (!err) {
        kill(stopped.child.pid, SIGSTOP);
        b->beside = tell_replayer;
        err = measure_others(b, &s->replaying, m, failure);
        b->beside = NULL;
        kill(stopped.child.pid, SIGCONT);
    }
    if (!err) {
        err = neighbour_finish(&s->replayer, ret_replay, failure);
    }
    if (!err) {
        err = watchers_finish(&stopped, m->load.last_seq, &seen, failure);
    }
    if (!err && (seen.deliveries != m->load.total || seen.disorder)) {
        err = failure_set(failure, ERR_INTERNAL, "the watcher that was stopped missed changes");
    }
    watchers_end(&stopped);
    return err;
}

static int measure_burning(struct bench *b, struct beside *s, struct measured_load *m,
                           struct neighbour_report *ret_burnt, struct failure *failure)
{
    b->beside = tell_burner;
    int err = measure_others(b, &s->burning, m, failure);
    b->beside = NULL;
    return err ? err : neighbour_finish(&s->burner, ret_burnt, failure);
}

static int run_once(struct bench *b, struct beside *s, struct measured_load *m,
                    struct failure *failure)
{
    struct neighbour_report replay = {0};
    struct neighbour_report burnt = {0};
    int err = measure_others(b, &s->alone, m, failure);
    uint64_t alone_ns = server_cpu_ns(&m->load);
    uint64_t replaying_p99 = 0;
    if (!err) {
        err = measure_replaying(b, s, m, &replay, failure);
    }
    if (!err) {
        uint64_t server_ns = server_cpu_ns(&m->load);
        uint64_t more_ns = server_ns > alone_ns ? server_ns - alone_ns : 0;
        s->shares[0] = cores(replay.cpu_ns, &m->load);
        s->shares[1] = cores(more_ns, &m->load);
        s->replay_cores += s->shares[0] + s->shares[1];
        s->records += replay.records;
        s->replays += replay.replays;
        replaying_p99 = histogram_percentile(&m->seen.latency, 99);
        err = measure_burning(b, s, m, &burnt, failure);
    }
    if (!err) {
        s->burnt_cores += cores(burnt.cpu_ns, &m->load);
        histogram_add(&s->ratios,
                      replaying_p99 * 1000 / histogram_percentile(&m->seen.latency, 99));
    }
    return err;
}

static void report_beside(struct bench *b, const struct beside *s)
{
    const struct options *o = b->options;
    struct report *r = b->report;
    double seconds = (double)o->duration_ns / (double)NS_PER_S * o->runs;
    report_count(r, "records", s->written.total);
    report_count(r, "watchers", o->watchers);
    report_number(r, "rate", o->rate);
    report_count(r, "runs", o->runs);
    report_number(r, "ops_per_s", (double)s->records / seconds);
    report_count(r, "replays", s->replays);
    report_number(r, "replay_cores", s->replay_cores / o->runs);
    report_number(r, "burnt_cores", s->burnt_cores / o->runs);
    report_latency(r, "", &s->replaying);
    report_latency(r, "burning_", &s->burning);
    report_latency(r, "alone_", &s->alone);
    report_number(r, "ratio_p99",
                  (double)histogram_percentile(&s->replaying, 99) /
                      (double)histogram_percentile(&s->burning, 99));
    report_number(r, "ratio_p99_median", (double)histogram_percentile(&s->ratios, 50) / 1000);
    report_number(r, "ratio_p99_min", (double)s->ratios.min / 1000);
    report_number(r, "ratio_p99_max", (double)s->ratios.max / 1000);
}

int command_beside(struct bench *b, struct failure *failure)
{
    const struct options *o = b->options;
    if (!b->server.own || o->watchers == 0 || o->rate <= 0) {
        return failure_set(failure, ERR_INVALID,
                           "beside needs a server of its own, watchers and a --rate");
    }
    struct beside *s = calloc(1, sizeof *s); /* histograms are large */
    struct measured_load *m = calloc(1, sizeof *m);
    if (!s || !m) {
        free(s);
        free(m);
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    s->replayer = s->burner = (struct child)CHILD_INIT;
    b->beside_context = s;
    int err = write_records(b, o->records, o->keys, &s->written, failure);
    if (!err) {
        err = replayer_start(&s->replayer, b->server.endpoint, s->written.last_seq, failure);
    }
    if (!err) {
        err = burner_start(&s->burner, failure);
    }
    for (uint32_t i = 0; i < o->runs && !err; i++) {
        err = run_once(b, s, m, failure);
    }
    if (!err) {
        report_beside(b, s);
    }
    neighbour_end(&s->replayer);
    neighbour_end(&s->burner);
    free(s);
    free(m);
    return err;
}
