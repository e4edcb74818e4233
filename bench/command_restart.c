/* command_restart.c - vigil-bench restart: from exec to the ready line, and the memory it takes. */
#define _GNU_SOURCE
#include "bench/commands.h"
#include "bench/comparison.h"
#include "bench/monotonic.h"

#include <inttypes.h>
#include <signal.h>
#include <vigil.h>

/* The newest record, as a client sees it: the server serves, and has lost nothing. */
static int check_head(struct bench *b, uint64_t wanted, struct failure *failure)
{
    vigil_options options = VIGIL_OPTIONS_INIT;
    options.endpoint = b->server.endpoint;
    vigil *v = NULL;
    int err = vigil_open(&options, &v);
    if (err) {
        return failure_set(failure, err, "cannot connect: %s", vigil_failure_text(NULL));
    }
    vigil_info info;
    vigil_get_info(v, &info);
    vigil_close(v);
    if (info.head != wanted) {
        return failure_set(failure, ERR_CORRUPT,
                           "after the start the newest record is %" PRIu64 ", not %" PRIu64,
                           info.head, wanted);
    }
    return ERR_OK;
}

int restart_once(struct bench *b, uint64_t head, int signal_number, struct histogram *times,
                 struct process_figures *ret_figures, struct failure *failure)
{
    uint64_t ns = 0;
    int err = server_stop(&b->server, signal_number, failure);
    if (!err) {
        err = server_launch(&b->server, &ns, failure);
    }
    if (!err) {
        err = check_head(b, head, failure);
    }
    if (!err && !process_figures_read(b->server.child.pid, ret_figures)) {
        err = failure_set(failure, ERR_IO, "cannot read the server's figures");
    }
    if (!err) {
        histogram_add(times, ns);
    }
    return err;
}

static void report_restart(struct bench *b, const struct load_result *written,
                           const struct histogram *times, const struct process_figures *figures)
{
    struct report *r = b->report;
    report_count(r, "records", written->total);
    report_count(r, "size", b->options->size);
    report_count(r, "keys", b->options->keys);
    report_text(r, "stopped_by", b->options->kill ? "SIGKILL" : "SIGTERM");
    report_count(r, "runs", b->options->runs);
    report_number(r, "ops_per_s", 1e9 / histogram_mean(times));
    report_latency(r, "", times);
    report_number(r, "server_rss_anon_mib", (double)figures->rss_anon_bytes / (1 << 20));
    report_number(r, "server_rss_mib", (double)figures->rss_bytes / (1 << 20));
    report_number(r, "written_per_s", (double)written->total / written->seconds);
}

int command_restart(struct bench *b, struct failure *failure)
{
    const struct options *o = b->options;
    if (!b->server.own) {
        return failure_set(failure, ERR_INVALID, "restart needs a server of its own");
    }
    struct comparison comparison;
    comparison_init(&comparison, COMPARE_START, o);
    struct process_figures figures = {0};
    struct load_result written = {0};
    struct histogram times = {0};
    int err = write_records(b, o->records, o->keys, &written, failure);
    if (!err) {
        err = comparison_measure(&comparison, o, b->server.folder, failure);
    }
    for (uint32_t i = 0; i < o->runs && !err; i++) {
        err = restart_once(b, written.last_seq, o->kill ? SIGKILL : SIGTERM, &times, &figures,
                           failure);
    }
    if (!err) {
        err = comparison_measure(&comparison, o, b->server.folder, failure);
    }
    if (!err) {
        report_restart(b, &written, &times, &figures);
        comparison_report_start(&comparison, b->report,
                                (double)histogram_percentile(&times, 50) / 1000.0);
    }
    return err;
}
