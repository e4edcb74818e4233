/*
 * measure.c - see measure.h. A report has all names, whatever was measured; what
 * does not apply is null.
 */
#define _GNU_SOURCE
#include "bench/peers/measure.h"
#include "bench/interrupt.h"
#include "bench/monotonic.h"
#include "bench/peers/onlookers.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* How replayed records are written: fast. */
enum { WRITE_CLIENTS = 8, WRITE_DEPTH = 256 };

/* What both kinds of measurement have found; zero where it was not looked for. */
struct finding {
    struct peer_load_result load;
    struct onlookers_report seen;
    bool watched;
    uint64_t lost;
};

static void report_setting(const struct arguments *a, struct report *r)
{
    const struct peer_plan *peer = &a->peer;
    char machine[512];
    machine_name(machine, sizeof machine);
    report_text(r, "peer", peer_name);
    report_text(r, "row", a->row ? a->row : "");
    report_text(r, "operation", peer->operation->name);
    report_text(r, "mode", a->replay ? "replay" : a->rate > 0 ? "paced" : "closed");
    report_text(r, "machine", machine);
    report_text(r, "server", peer->address);
    report_count(r, "clients", a->replay ? 1 : peer->clients);
    report_count(r, "depth", a->replay ? 1 : peer->depth);
    report_count(r, "size", peer->size);
    report_count(r, "keys", peer->keys);
    report_number(r, "rate", a->rate);
    report_count(r, "watchers", peer->watchers);
}

static double each_us(uint64_t ns, uint64_t count)
{
    return (double)ns / (double)NS_PER_US / (double)count;
}

static void report_finding(const struct arguments *a, const struct finding *f, struct report *r)
{
    const struct peer_load_result *load = &f->load;
    bool has_server = a->server_count > 0;
    report_number(r, "seconds", load->seconds);
    report_count(r, "ops", load->counted);
    report_number(r, "ops_per_s", (double)load->counted / load->seconds);
    report_count(r, "unsent", load->unsent);
    report_latency(r, "", &load->latency);
    report_number(r, "client_cpu_us_per_op", each_us(load->client_cpu_ns, load->counted));
    report_number(r, "server_cpu_us_per_op",
                  has_server ? each_us(load->server_cpu_ns, load->counted) : NAN);
    report_number(r, "server_cpu_cores",
                  has_server ? (double)load->server_cpu_ns / 1e9 / load->seconds : NAN);
    report_number(r, "server_switches_per_op",
                  has_server ? (double)load->server_switches / (double)load->counted : NAN);
    report_count(r, "deliveries", f->seen.deliveries);
    report_number(r, "deliveries_per_s",
                  f->watched ? (double)f->seen.counted / load->seconds : NAN);
    report_latency(r, "delivery_", &f->seen.latency);
    report_number(r, "watcher_cpu_us_per_op",
                  f->watched ? each_us(load->watcher_cpu_ns, load->counted) : NAN);
    report_count(r, "lost", f->lost);
    report_count(r, "watch_ended", f->seen.ended);
}

/* Each change reached each watcher, as values that the load has written; where the peer promises it. */
static int check_seen(const struct arguments *a, struct finding *f, struct failure *failure)
{
    const struct onlookers_report *seen = &f->seen;
    uint64_t wanted = f->load.total * a->peer.watchers;
    if (a->peer.operation->lossy && seen->deliveries <= wanted) {
        f->lost = wanted - seen->deliveries;
        return ERR_OK;
    }
    if (seen->deliveries != wanted || seen->fewest != seen->most || seen->untimed != 0) {
        return failure_set(failure, ERR_INTERNAL,
                           "the watchers got %" PRIu64 " changes of %" PRIu64 " (one %" PRIu64
                           ", another %" PRIu64 "; %" PRIu64 " were no value of ours)",
                           seen->deliveries, wanted, seen->fewest, seen->most, seen->untimed);
    }
    return ERR_OK;
}

static struct peer_load_plan make_plan(const struct arguments *a, const struct peer_plan *peer)
{
    struct peer_load_plan plan = {.peer = peer, .server_count = a->server_count};
    memcpy(plan.server_pids, a->server_pids, sizeof plan.server_pids);
    return plan;
}

int measure_load(const struct arguments *a, struct report *r, struct failure *failure)
{
    struct peer_load_plan plan = make_plan(a, &a->peer);
    struct onlookers onlookers = ONLOOKERS_INIT;
    struct finding f = {.watched = a->peer.watchers > 0};
    int err = f.watched ? onlookers_start(&onlookers, &a->peer, failure) : ERR_OK;
    plan.watcher_pid = onlookers.child.pid;
    plan.rate = a->rate;
    plan.begin_ns = monotonic_ns() + a->warmup_ns;
    plan.end_ns = plan.begin_ns + a->duration_ns;
    if (!err && f.watched) {
        err = onlookers_window(&onlookers, plan.begin_ns, plan.end_ns, failure);
    }
    if (!err) {
        err = peer_load_run(&plan, &f.load, failure);
    }
    if (!err && f.watched) {
        err = onlookers_finish(&onlookers, f.load.total, &f.seen, failure);
    }
    onlookers_end(&onlookers);
    if (!err && f.watched) {
        err = check_seen(a, &f, failure);
    }
    if (!err) {
        report_setting(a, r);
        report_finding(a, &f, r);
    }
    return err;
}

static void count_delivery(void *context, uint32_t watcher, const void *value, size_t size)
{
    uint64_t *deliveries = context;
    (void)watcher;
    (void)value;
    (void)size;
    ++*deliveries;
}

static int write_records(const struct arguments *a, struct failure *failure)
{
    struct peer_plan peer = a->peer;
    peer.clients = WRITE_CLIENTS;
    peer.depth = WRITE_DEPTH;
    struct peer_load_plan plan = make_plan(a, &peer);
    struct peer_load_result written = {0};
    plan.operations = a->records;
    return peer_load_run(&plan, &written, failure);
}

/* The server's CPU time and context switches, of all its processes. */
static struct process_figures look_at_servers(const struct arguments *a)
{
    struct process_figures sum = {0};
    for (size_t i = 0; i < a->server_count; i++) {
        struct process_figures one = {0};
        if (process_figures_read(a->server_pids[i], &one)) {
            sum.cpu_ns += one.cpu_ns;
            sum.switches += one.switches;
        }
    }
    return sum;
}

int measure_replay(const struct arguments *a, struct report *r, struct failure *failure)
{
    struct finding f = {0};
    struct peer_load_result *sums = &f.load;
    int err = a->no_write ? ERR_OK : write_records(a, failure);
    for (uint32_t i = 0; i < a->runs && !err; i++) {
        uint64_t deliveries = 0;
        struct process_figures before = look_at_servers(a);
        uint64_t client_before_ns = process_cpu_ns();
        uint64_t begin_ns = monotonic_ns();
        err = peer_replay(&a->peer, a->records, count_delivery, &deliveries, failure);
        uint64_t ns = monotonic_ns() - begin_ns;
        struct process_figures after = look_at_servers(a);
        sums->client_cpu_ns += process_cpu_ns() - client_before_ns;
        sums->server_cpu_ns += after.cpu_ns - before.cpu_ns;
        sums->server_switches += after.switches - before.switches;
        sums->seconds += (double)ns / (double)NS_PER_S;
        sums->counted += deliveries;
        histogram_add(&sums->latency, ns);
        if (!err && interrupted()) {
            err = failure_set(failure, ERR_INTERRUPTED, "interrupted");
        }
        if (!err && deliveries < a->records) {
            err =
                failure_set(failure, ERR_INTERNAL, "the reader got %" PRIu64 " records of %" PRIu64,
                            deliveries, a->records);
        }
    }
    if (!err) {
        report_setting(a, r);
        report_finding(a, &f, r);
    }
    return err;
}
