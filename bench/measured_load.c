/* measured_load.c - a load, those who look on, and what of it goes into a report; see commands.h. */
#define _GNU_SOURCE
#include "bench/commands.h"
#include "bench/monotonic.h"
#include "bench/payload.h"
#include "bench/status.h"
#include "bench/yardstick.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { WRITE_CLIENTS = 8, WRITE_DEPTH = 512 };

static struct load_plan make_plan(const struct bench *b, enum load_kind kind, uint32_t keys)
{
    const struct options *o = b->options;
    return (struct load_plan){
        .kind = kind,
        .endpoint = b->server.endpoint,
        .clients = o->clients,
        .depth = o->depth,
        .threads = o->threads,
        .size = o->size,
        .keys = keys,
        .rate = o->rate,
        .server_pid = b->server.child.pid,
        .folder = b->server.folder,
    };
}

static int await_watchers(void *context, uint64_t last_seq, struct failure *failure)
{
    return watchers_await(context, last_seq, failure);
}

/* Each change reached each watcher once. A watcher of one key of its own gets what was written to that:
 * all of them together get each change once. */
static int check_seen(const struct load_result *load, const struct watchers_report *seen,
                      enum watchers_kind watching, uint32_t count, struct failure *failure)
{
    uint64_t wanted = watching == WATCHERS_DISTINCT ? load->total : load->total * count;
    bool all_the_same = watching == WATCHERS_DISTINCT || seen->fewest == seen->most;
    if (seen->deliveries != wanted || seen->disorder != 0 || !all_the_same) {
        return failure_set(failure, ERR_INTERNAL,
                           "the watchers got %" PRIu64 " records of %" PRIu64 ", %" PRIu64
                           " of them twice or out of order",
                           seen->deliveries, wanted, seen->disorder);
    }
    return ERR_OK;
}

static int run_watched(struct bench *b, const struct load_plan *plan, struct load *load,
                       struct watchers *watchers, uint32_t count, struct measured_load *m,
                       struct failure *failure)
{
    const struct options *o = b->options;
    uint64_t begin_ns = monotonic_ns() + o->warmup_ns;
    uint64_t end_ns = begin_ns + o->duration_ns;
    struct status_figures before = {0};
    struct status_figures after = {0};
    int err = count ? watchers_window(watchers, begin_ns, end_ns, failure) : ERR_OK;
    status_read(plan->endpoint, &before);
    if (!err && b->beside) {
        err = b->beside(b->beside_context, begin_ns, end_ns, failure);
    }
    if (!err) {
        err = load_run(load, begin_ns, end_ns, &m->load, failure);
    }
    status_read(plan->endpoint, &after);
    status_subtract(&after, &before, &m->status);
    if (!err && count) {
        err = watchers_finish(watchers, m->load.last_seq, &m->seen, failure);
    }
    return err;
}

int measure_load(struct bench *b, enum load_kind kind, uint32_t keys, enum watchers_kind watching,
                 uint32_t count, struct measured_load *ret_measured, struct failure *failure)
{
    struct load_plan plan = make_plan(b, kind, keys);
    struct load *load = NULL;
    struct watchers watchers = WATCHERS_INIT;
    struct measured_load m = {0};
    if (b->options->rounds && count) {
        plan.round = yardstick_fanout_round(count);
        plan.await_round = await_watchers;
        plan.await_context = &watchers;
        plan.rate = 0;
        plan.threads = 1;
    }
    int err =
        count ? watchers_start(&watchers, watching, b->server.endpoint, count, failure) : ERR_OK;
    if (!err) {
        err = load_open(&plan, &load, failure);
    }
    if (!err) {
        err = run_watched(b, &plan, load, &watchers, count, &m, failure);
    }
    if (!err && count && kind == LOAD_PUT) {
        err = check_seen(&m.load, &m.seen, watching, count, failure);
    }
    if (!err) {
        *ret_measured = m;
    }
    watchers_end(&watchers);
    load_close(load);
    return err;
}

int write_records(struct bench *b, uint64_t count, uint32_t keys, struct load_result *ret_result,
                  struct failure *failure)
{
    struct load_plan plan = make_plan(b, LOAD_PUT, keys);
    plan.operations = count;
    plan.rate = 0;
    plan.threads = 1;
    plan.clients = WRITE_CLIENTS;
    plan.depth = WRITE_DEPTH;
    struct load *load = NULL;
    int err = load_open(&plan, &load, failure);
    if (!err) {
        err = load_run(load, 0, 0, ret_result, failure);
    }
    load_close(load);
    return err;
}

void report_setting(struct bench *b)
{
    char text[512];
    report_text(b->report, "command", b->options->command);
    report_text(b->report, "version", VIGIL_VERSION_TEXT);
    machine_name(text, sizeof text);
    report_text(b->report, "machine", text);
    file_system_name(b->server.folder, text, sizeof text);
    report_text(b->report, "file_system", text);
    report_text(b->report, "transport", b->options->transport);
    if (b->server.own && b->options->durability) {
        report_text(b->report, "durability", b->options->durability);
    } else if (b->options->server) {
        report_text(b->report, "server", b->options->server);
    }
}

double server_cpu_us(const struct load_result *load)
{
    if (!load->has_server || load->counted == 0) {
        return 0;
    }
    uint64_t ns = load->server_after.cpu_ns - load->server_before.cpu_ns;
    return (double)ns / 1000.0 / (double)load->counted;
}

void report_load(struct bench *b, const struct load_result *load)
{
    struct report *r = b->report;
    double counted = (double)load->counted;
    report_count(r, "ops", load->counted);
    report_number(r, "ops_per_s", counted / load->seconds);
    if (load->has_server) {
        uint64_t switches = load->server_after.switches - load->server_before.switches;
        uint64_t server_ns = load->server_after.cpu_ns - load->server_before.cpu_ns;
        report_number(r, "server_cpu_us_per_op", server_cpu_us(load));
        report_number(r, "server_cpu_cores", (double)server_ns / 1e9 / load->seconds);
        report_number(r, "server_switches_per_op", (double)switches / counted);
        report_number(r, "server_rss_anon_mib",
                      (double)load->server_after.rss_anon_bytes / (1 << 20));
    }
    report_number(r, "load_cpu_us_per_op", (double)load->own_cpu_ns / 1000.0 / counted);
}

void report_status_figures(struct bench *b, const struct status_figures *s)
{
    if (s->known && s->messages > 0) {
        report_number(b->report, "requests_per_message", (double)s->requests / (double)s->messages);
    }
    if (s->known && s->commits > 0) {
        report_number(b->report, "records_per_commit", (double)s->mutations / (double)s->commits);
    }
}
