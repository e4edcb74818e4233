/* command_yardstick.c - vigil-bench yardstick: all of the bare parts; see yardstick.h. */
#define _GNU_SOURCE
#include "bench/commands.h"
#include "bench/comparison.h"
#include "bench/monotonic.h"
#include "bench/yardstick.h"

#include <stdio.h>

static const uint32_t batches[] = {1, 50, 800, 3200};
enum { BATCHES = sizeof batches / sizeof batches[0], SHARES = BATCHES + 4, START_RUNS = 10 };

static int measure_echoes(struct bench *b, const struct comparison *sizes, const char *listen,
                          uint64_t ns, struct failure *failure)
{
    const struct options *o = b->options;
    struct report *r = b->report;
    struct echo_result echo;
    int err = yardstick_echo(listen, o->clients, o->depth, sizes->message_size, ns, &echo, failure);
    if (!err) {
        report_count(r, "clients", o->clients);
        report_count(r, "depth", o->depth);
        report_count(r, "message_size", sizes->message_size);
        report_number(r, "ops_per_s", echo.per_s);
        report_latency(r, "", &echo.latency);
        err = yardstick_echo(listen, 1, 1, sizes->message_size, ns, &echo, failure);
    }
    if (!err) {
        report_number(r, "echo_1x1_per_s", echo.per_s);
        report_latency(r, "echo_1x1_", &echo.latency);
    }
    return err;
}

static int measure_disk(struct bench *b, const struct comparison *sizes, uint64_t ns,
                        struct failure *failure)
{
    struct report *r = b->report;
    const char *folder = b->server.folder;
    struct histogram times;
    struct append_result append;
    double per_s = 0;
    report_count(r, "record_size", sizes->record_size);
    int err = ERR_OK;
    for (size_t i = 0; i < BATCHES && !err; i++) {
        char name[40];
        snprintf(name, sizeof name, "append_%u_per_s", (unsigned)batches[i]);
        err = yardstick_append(folder, batches[i], sizes->record_size, ns, &append, failure);
        if (!err) {
            report_number(r, name, append.per_s);
        }
    }
    if (!err) {
        err = yardstick_scan(folder, sizes->records, sizes->record_size, &per_s, failure);
    }
    if (!err) {
        report_number(r, "scan_per_s", per_s);
        err = yardstick_fdatasync(folder, ns, &times, failure);
    }
    if (!err) {
        report_latency(r, "fdatasync_", &times);
    }
    return err;
}

static int measure_start(struct bench *b, const char *listen, struct failure *failure)
{
    struct histogram times;
    int err = yardstick_start(b->server.folder, listen, START_RUNS, &times, failure);
    if (!err) {
        report_latency(b->report, "bare_start_", &times);
    }
    return err;
}

int command_yardstick(struct bench *b, struct failure *failure)
{
    const struct options *o = b->options;
    struct comparison sizes;
    char listen[ENDPOINT_SIZE];
    double fanout_per_s = 0;
    uint64_t ns = o->duration_ns / SHARES;
    comparison_init(&sizes, 0, o);
    yardstick_endpoint(o, b->server.folder, listen, sizeof listen);
    int err = measure_echoes(b, &sizes, listen, ns, failure);
    if (!err && o->watchers > 0) {
        err = yardstick_fanout(listen, o->watchers, sizes.record_size, ns, &fanout_per_s, failure);
        if (!err) {
            report_count(b->report, "subscribers", o->watchers);
            report_number(b->report, "fanout_per_s", fanout_per_s);
        }
    }
    if (!err) {
        err = measure_disk(b, &sizes, ns, failure);
    }
    if (!err) {
        err = measure_start(b, listen, failure);
    }
    return err;
}
