/*
 * comparison.h - the parts of the yardstick that match a command, measured in the
 * same run before and after it, so that a machine that is slow just now is slow
 * for both; the means of the two stand in the report.
 */
#ifndef VIGIL_BENCH_COMPARISON_H
#define VIGIL_BENCH_COMPARISON_H

#include "bench/options.h"
#include "bench/report.h"
#include "protocol/failure.h"

#include <stddef.h>
#include <stdint.h>

enum comparison_part {
    COMPARE_ECHO = 1,       /* at clients x depth */
    COMPARE_ROUND_TRIP = 2, /* one echo at a time, and with a rate also at that rate */
    COMPARE_FANOUT = 4,
    COMPARE_APPEND = 8,
    COMPARE_SCAN = 16,
    COMPARE_START = 32
};

struct comparison {
    unsigned parts;
    size_t message_size; /* of a request, for the echo */
    size_t record_size;  /* in the journal and on a stream */
    uint32_t batch;      /* records of an append's transaction */
    uint64_t records;    /* of a scan */
    double rate;         /* of paced round trips; 0: none */
    unsigned times;
    double echo_per_s; /* from here on sums over the times */
    double round_trip_us;
    double paced_us;
    double fanout_per_s;
    double append_per_s;
    double commit_us;
    double scan_per_s;
    double start_us;
};

/* parts of COMPARE_; none where options say --no-yardstick. Sizes follow from options->size. */
void comparison_init(struct comparison *c, unsigned parts, const struct options *options);
int comparison_measure(struct comparison *c, const struct options *options, const char *folder,
                       struct failure *failure);
/* Each adds what the yardstick had and, as ratio, what of it the value reaches; nothing where the part was
 * not measured. */
void comparison_report_echo(const struct comparison *c, struct report *r, double per_s);
void comparison_report_round_trips(const struct comparison *c, struct report *r, double us);
void comparison_report_fanout(const struct comparison *c, struct report *r, double per_s);
void comparison_report_append(const struct comparison *c, struct report *r, double per_s);
/* What a put that waits for its commit consists of: a bare commit and a bare echo, both medians. */
void comparison_report_commit(const struct comparison *c, struct report *r, double us);
void comparison_report_scan(const struct comparison *c, struct report *r, double per_s);
void comparison_report_start(const struct comparison *c, struct report *r, double us);

/* Where the yardstick's sockets listen. */
void yardstick_endpoint(const struct options *options, const char *folder, char *out, size_t size);

#endif
