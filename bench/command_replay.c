/* command_replay.c - vigil-bench replay: how fast a new watcher gets all that the journal has. */
#define _GNU_SOURCE
#include "bench/commands.h"
#include "bench/comparison.h"
#include "bench/interrupt.h"
#include "bench/monotonic.h"

#include <inttypes.h>
#include <vigil.h>

enum { STEP_TIMEOUT_MS = 10000 };

/* The folder of our own server is new; somebody else's may have lost its beginning. */
static int open_from_start(struct bench *b, vigil **ret_connection, vigil_watch **ret_watch,
                           struct failure *failure)
{
    vigil_options options = VIGIL_OPTIONS_INIT;
    options.endpoint = b->server.endpoint;
    vigil_watch_options watch_options = VIGIL_WATCH_OPTIONS_INIT;
    watch_options.since = b->server.own ? VIGIL_SINCE_POSITION : VIGIL_SINCE_OLDEST;
    int err = vigil_open(&options, ret_connection);
    if (!err) {
        err = vigil_watch_open(*ret_connection, &watch_options, ret_watch);
    }
    if (err) {
        failure_set(failure, err, "cannot watch: %s", vigil_failure_text(*ret_connection));
    }
    return err;
}

/* One replay up to seq until, timed from before the watch is opened. */
static int replay(struct bench *b, uint64_t until, uint64_t *ret_records, uint64_t *ret_bytes,
                  uint64_t *ret_ns, struct failure *failure)
{
    vigil *v = NULL;
    vigil_watch *w = NULL;
    uint64_t records = 0;
    uint64_t bytes = 0;
    uint64_t last_seq = 0;
    uint64_t begin_ns = monotonic_ns();
    int err = open_from_start(b, &v, &w, failure);
    while (!err && last_seq < until) {
        const vigil_event *event = NULL;
        err = vigil_watch_next(w, STEP_TIMEOUT_MS, &event);
        if (err || interrupted()) {
            err = failure_set(failure, err ? err : ERR_INTERRUPTED, "the replay stopped: %s",
                              vigil_error_text(err ? err : VIGIL_INTERRUPTED));
        } else if (b->server.own && event->record.seq != last_seq + 1) {
            err = failure_set(failure, ERR_INTERNAL,
                              "the replay goes from record %" PRIu64 " to %" PRIu64, last_seq,
                              event->record.seq);
        } else {
            last_seq = event->record.seq;
            bytes += event->record.changes[0].size;
            records++;
        }
    }
    *ret_ns = monotonic_ns() - begin_ns;
    *ret_records = records;
    *ret_bytes = bytes;
    vigil_watch_close(w);
    vigil_close(v);
    return err;
}

struct replay_sums {
    uint64_t records;
    uint64_t bytes; /* of values */
    uint64_t ns;
    uint64_t own_cpu_ns;
    uint64_t server_cpu_ns;
    struct histogram times; /* of whole replays */
};

static int replay_again_and_again(struct bench *b, uint64_t until, struct replay_sums *sums,
                                  struct failure *failure)
{
    struct process_figures before = {0};
    struct process_figures after = {0};
    process_figures_read(b->server.child.pid, &before);
    uint64_t own_before = process_cpu_ns();
    for (uint32_t i = 0; i < b->options->runs; i++) {
        uint64_t records = 0;
        uint64_t bytes = 0;
        uint64_t ns = 0;
        int err = replay(b, until, &records, &bytes, &ns, failure);
        if (err) {
            return err;
        }
        sums->records += records;
        sums->bytes += bytes;
        sums->ns += ns;
        histogram_add(&sums->times, ns);
    }
    sums->own_cpu_ns = process_cpu_ns() - own_before;
    if (b->server.own && process_figures_read(b->server.child.pid, &after)) {
        sums->server_cpu_ns = after.cpu_ns - before.cpu_ns;
    }
    return ERR_OK;
}

static void report_replay(struct bench *b, const struct replay_sums *sums)
{
    struct report *r = b->report;
    double records = (double)sums->records;
    double seconds = (double)sums->ns / (double)NS_PER_S;
    report_count(r, "records", sums->records / b->options->runs);
    report_count(r, "size", b->options->size);
    report_count(r, "runs", b->options->runs);
    report_number(r, "ops_per_s", records / seconds);
    report_number(r, "value_mib_per_s", (double)sums->bytes / (1 << 20) / seconds);
    report_latency(r, "", &sums->times);
    if (b->server.own) {
        report_number(r, "server_cpu_us_per_op", (double)sums->server_cpu_ns / 1000.0 / records);
    }
    report_number(r, "watcher_cpu_us_per_op", (double)sums->own_cpu_ns / 1000.0 / records);
}

int command_replay(struct bench *b, struct failure *failure)
{
    const struct options *o = b->options;
    struct comparison comparison;
    comparison_init(&comparison, COMPARE_SCAN, o);
    struct load_result written = {0};
    struct replay_sums sums = {0};
    int err = write_records(b, o->records, o->keys, &written, failure);
    if (!err) {
        err = comparison_measure(&comparison, o, b->server.folder, failure);
    }
    if (!err) {
        err = replay_again_and_again(b, written.last_seq, &sums, failure);
    }
    if (!err) {
        err = comparison_measure(&comparison, o, b->server.folder, failure);
    }
    if (!err) {
        report_replay(b, &sums);
        comparison_report_scan(&comparison, b->report,
                               (double)sums.records * (double)NS_PER_S / (double)sums.ns);
    }
    return err;
}
