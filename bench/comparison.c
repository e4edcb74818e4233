/* comparison.c - see comparison.h. */
#define _GNU_SOURCE
#include "bench/comparison.h"
#include "bench/monotonic.h"
#include "bench/payload.h"
#include "bench/yardstick.h"
#include "protocol/endpoint.h"
#include "protocol/message.h"
#include "protocol/record.h"

#include <stdio.h>
#include <string.h>

enum { START_RUNS = 5, SCAN_RECORDS_MAX = 1000000, PACE_MIN = 50 /* a second: enough to count */ };

void comparison_init(struct comparison *c, unsigned parts, const struct options *options)
{
    /* A put's fields: seq, key and value with their sizes, and the size of no expected value. */
    size_t put_size = 8 + 2 + PAYLOAD_KEY_SIZE + 4 + options->size + 4;
    uint64_t in_flight = (uint64_t)options->clients * options->depth;
    *c = (struct comparison){
        .parts = options->yardstick ? parts : 0,
        .message_size = REQUEST_MESSAGE_HEADER_SIZE + REQUEST_HEADER_SIZE + put_size,
        .record_size = RECORD_HEADER_SIZE + CHANGE_HEADER_SIZE + PAYLOAD_KEY_SIZE + options->size,
        .batch = in_flight < LIMIT_BATCH_REQUESTS ? (uint32_t)in_flight : LIMIT_BATCH_REQUESTS,
        .rate = options->rate > 0 && options->rate < PACE_MIN ? PACE_MIN : options->rate,
        .records = options->records < SCAN_RECORDS_MAX ? options->records : SCAN_RECORDS_MAX,
    };
}

void yardstick_endpoint(const struct options *options, const char *folder, char *out, size_t size)
{
    if (!strcmp(options->transport, "tcp")) {
        snprintf(out, size, "tcp://127.0.0.1:*");
    } else {
        snprintf(out, size, "ipc://%s/y", folder);
    }
}

/* Long enough to be steady, short beside what it is compared with. */
static uint64_t part_duration_ns(const struct options *options)
{
    uint64_t ns = options->duration_ns / 5;
    return ns < 200 * NS_PER_MS ? 200 * NS_PER_MS : ns > NS_PER_S ? NS_PER_S : ns;
}

static int measure_echo(uint32_t clients, uint32_t depth, const struct comparison *c,
                        const char *listen, uint64_t ns, double *per_s, double *p50_us,
                        struct failure *failure)
{
    struct echo_result result;
    int err = yardstick_echo(listen, clients, depth, c->message_size, ns, &result, failure);
    if (!err) {
        *per_s += result.per_s;
        *p50_us += (double)histogram_percentile(&result.latency, 50) / 1000.0;
    }
    return err;
}

static int measure_paced(struct comparison *c, const char *listen, uint64_t ns,
                         struct failure *failure)
{
    struct echo_result result;
    int err = yardstick_paced_echo(listen, c->rate, c->message_size, ns, &result, failure);
    if (!err) {
        c->paced_us += (double)histogram_percentile(&result.latency, 50) / 1000.0;
    }
    return err;
}

static int measure_append(struct comparison *c, const char *folder, uint64_t ns,
                          struct failure *failure)
{
    struct append_result result;
    int err = yardstick_append(folder, c->batch, c->record_size, ns, &result, failure);
    if (!err) {
        c->append_per_s += result.per_s;
        c->commit_us += (double)histogram_percentile(&result.commit, 50) / 1000.0;
    }
    return err;
}

int comparison_measure(struct comparison *c, const struct options *options, const char *folder,
                       struct failure *failure)
{
    char listen[ENDPOINT_SIZE];
    uint64_t ns = part_duration_ns(options);
    double value = 0;
    double ignored = 0;
    int err = ERR_OK;
    yardstick_endpoint(options, folder, listen, sizeof listen);
    if (c->parts & COMPARE_ECHO) {
        err = measure_echo(options->clients, options->depth, c, listen, ns, &c->echo_per_s,
                           &ignored, failure);
    }
    if (!err && c->parts & COMPARE_ROUND_TRIP) {
        err = measure_echo(1, 1, c, listen, ns, &ignored, &c->round_trip_us, failure);
        if (!err && c->rate > 0) {
            err = measure_paced(c, listen, ns, failure);
        }
    }
    if (!err && c->parts & COMPARE_FANOUT) {
        err = yardstick_fanout(listen, options->watchers, c->record_size, ns, &value, failure);
        c->fanout_per_s += value;
    }
    if (!err && c->parts & COMPARE_APPEND) {
        err = measure_append(c, folder, ns, failure);
    }
    if (!err && c->parts & COMPARE_SCAN) {
        err = yardstick_scan(folder, c->records, c->record_size, &value, failure);
        c->scan_per_s += value;
    }
    if (!err && c->parts & COMPARE_START) {
        struct histogram times;
        err = yardstick_start(folder, listen, START_RUNS, &times, failure);
        c->start_us += (double)histogram_percentile(&times, 50) / 1000.0;
    }
    c->times++;
    return err;
}

static void report_ratio(const struct comparison *c, unsigned part, struct report *r,
                         const char *name, double sum, const char *ratio_name, double value)
{
    if (c->parts & part) {
        double mean = sum / c->times;
        report_number(r, name, mean);
        report_number(r, ratio_name, value / mean);
    }
}

void comparison_report_echo(const struct comparison *c, struct report *r, double per_s)
{
    report_ratio(c, COMPARE_ECHO, r, "echo_per_s", c->echo_per_s, "ratio_echo", per_s);
}

void comparison_report_round_trips(const struct comparison *c, struct report *r, double us)
{
    report_ratio(c, COMPARE_ROUND_TRIP, r, "echo_round_trip_us", c->round_trip_us,
                 "ratio_round_trip", us);
    if (c->rate > 0) {
        report_ratio(c, COMPARE_ROUND_TRIP, r, "paced_round_trip_us", c->paced_us,
                     "ratio_paced_round_trip", us);
    }
}

void comparison_report_fanout(const struct comparison *c, struct report *r, double per_s)
{
    report_ratio(c, COMPARE_FANOUT, r, "fanout_per_s", c->fanout_per_s, "ratio_fanout", per_s);
}

void comparison_report_append(const struct comparison *c, struct report *r, double per_s)
{
    if (c->parts & COMPARE_APPEND) {
        report_count(r, "append_batch", c->batch);
    }
    report_ratio(c, COMPARE_APPEND, r, "append_per_s", c->append_per_s, "ratio_append", per_s);
}

void comparison_report_commit(const struct comparison *c, struct report *r, double us)
{
    if ((c->parts & COMPARE_APPEND) && (c->parts & COMPARE_ROUND_TRIP)) {
        double bare_us = (c->commit_us + c->round_trip_us) / c->times;
        report_number(r, "bare_commit_us", c->commit_us / c->times);
        report_number(r, "bare_round_trip_us", c->round_trip_us / c->times);
        report_number(r, "ratio_commit_and_echo", us / bare_us);
    }
}

void comparison_report_scan(const struct comparison *c, struct report *r, double per_s)
{
    report_ratio(c, COMPARE_SCAN, r, "scan_per_s", c->scan_per_s, "ratio_scan", per_s);
}

void comparison_report_start(const struct comparison *c, struct report *r, double us)
{
    report_ratio(c, COMPARE_START, r, "bare_start_us", c->start_us, "ratio_start", us);
}
