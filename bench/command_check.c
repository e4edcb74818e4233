/*
 * command_check.c - vigil-bench check: a few measurements as ratios to the yardstick of the same minute,
 * against those of a baseline. Each row is a run of another command with options of its own, on a server
 * of its own; check.h judges.
 */
#define _GNU_SOURCE
#include "bench/baseline.h"
#include "bench/check.h"
#include "bench/commands.h"
#include "bench/figures.h"
#include "bench/interrupt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASELINE_DEFAULT "bench/baseline.json"

enum { REPLAYS = 3, WINDOWS = 3 /* at most, until one can be used */ };

/* How a report becomes a ratio that is the greater the better. */
enum ratio_kind {
    RATIO_AS_REPORTED, /* Vigil's pace by that of the yardstick */
    RATIO_INVERTED,    /* reported is Vigil's time by the yardstick's */
    RATIO_SYNCED       /* Vigil's pace by that of an echo and an append one after the other */
};

struct row {
    const char *name;
    int (*run)(struct bench *b, struct failure *failure);
    const char *durability;
    uint32_t clients;
    uint32_t depth;
    uint32_t watchers;
    enum ratio_kind kind;
    const char *reported; /* where in the report, as a JSON pointer */
    double rate;
    const char *way; /* of atomic */
};

#define PUT_PROCESS(clients, depth)                                                    \
    {                                                                                  \
        "put process " #clients "x" #depth, command_put, "process", clients, depth, 1, \
            RATIO_AS_REPORTED, "/ratio_echo", 0, NULL                                  \
    }
#define PUT_POWER(clients, depth)                                                                \
    {                                                                                            \
        "put power " #clients "x" #depth, command_put, "power", clients, depth, 1, RATIO_SYNCED, \
            NULL, 0, NULL                                                                        \
    }
#define GET(clients, depth)                                                                       \
    {                                                                                             \
        "get " #clients "x" #depth, command_get, "process", clients, depth, 0, RATIO_AS_REPORTED, \
            "/ratio_echo", 0, NULL                                                                \
    }

static const struct row rows[] = {
    PUT_PROCESS(1, 1),
    PUT_PROCESS(50, 1),
    PUT_PROCESS(50, 16),
    PUT_PROCESS(50, 64),
    PUT_POWER(1, 1),
    PUT_POWER(50, 1),
    PUT_POWER(50, 16),
    PUT_POWER(50, 64),
    GET(1, 1),
    GET(50, 16),
    {"delivery 1x1", command_watch, "process", 1, 1, 1, RATIO_INVERTED, "/ratio_round_trip", 0,
     NULL},
    {"delivery 1000/s", command_watch, "process", 1, 64, 1, RATIO_INVERTED,
     "/ratio_paced_round_trip", 1000, NULL},
    {"fan-out 10", command_watch, "process", 4, 64, 10, RATIO_AS_REPORTED, "/ratio_fanout", 0,
     NULL},
    {"replay", command_replay, "process", 1, 1, 0, RATIO_AS_REPORTED, "/ratio_scan", 0, NULL},
    {"call 50x16", command_atomic, "process", 50, 16, 0, RATIO_AS_REPORTED, "/rows/1/ratio_echo", 0,
     "call"},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static bool is_wanted(const struct options *o, const struct row *row)
{
    return !o->only || strstr(row->name, o->only);
}

static const struct row *find_row(const char *name)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (!strcmp(rows[i].name, name)) {
            return &rows[i];
        }
    }
    return NULL;
}

/* ---- a measurement ---- */

static struct options options_of(const struct options *given, const struct row *row)
{
    struct options o = *given;
    o.durability = row->durability;
    o.clients = row->clients;
    o.depth = row->depth;
    o.watchers = row->watchers;
    o.rate = row->rate;
    o.threads = 1;
    o.runs = REPLAYS;
    o.way = row->way;
    o.keys = row->way ? 1000 : o.keys;
    return o;
}

static bool find_ratio(const struct report *r, const struct row *row, double *ret_ratio)
{
    double value = 0;
    double echo = 0;
    double append = 0;
    if (row->kind == RATIO_SYNCED) {
        if (!report_find(r, "/ops_per_s", &value) || !report_find(r, "/echo_per_s", &echo) ||
            !report_find(r, "/append_per_s", &append)) {
            return false;
        }
        *ret_ratio = value * (1 / echo + 1 / append);
        return value > 0 && echo > 0 && append > 0;
    }
    if (!report_find(r, row->reported, &value) || value <= 0) {
        return false;
    }
    *ret_ratio = row->kind == RATIO_INVERTED ? 1 / value : value;
    return true;
}

static int measure_once(const struct options *given, const struct row *row, double *ret_ratio,
                        struct failure *failure)
{
    struct options o = options_of(given, row);
    struct bench b = {.options = &o, .server = SERVER_INIT, .report = report_new()};
    int err = server_start(&b.server, &o, failure);
    if (!err) {
        err = row->run(&b, failure);
    }
    server_end(&b.server);
    if (!err && !find_ratio(b.report, row, ret_ratio)) {
        err =
            failure_set(failure, ERR_TIMEOUT, "%s: nothing was done within --duration", row->name);
    }
    report_free(b.report);
    return err;
}

/* A window in which the disk did nothing at all says nothing of Vigil. */
static int measure(const struct options *given, const struct row *row, double *ret_ratio,
                   struct failure *failure)
{
    int err = ERR_TIMEOUT;
    for (int i = 0; i < WINDOWS && err == ERR_TIMEOUT && !interrupted(); i++) {
        err = measure_once(given, row, ret_ratio, failure);
    }
    return err;
}

/* A run of minutes says where it is. */
static void tell(const struct check_row *c, const struct row *row, double ratio, double margin)
{
    fprintf(stderr, "%-18s %.3f", row->name, ratio);
    if (c->stored) {
        fprintf(stderr, " of %.3f  %s", c->stored->ratio,
                check_verdict_text(check_judge(c, margin)));
    }
    fputc('\n', stderr);
}

/* For a baseline every row is measured so many times; else only what looks worse. */
static int measure_row(const struct options *o, const struct row *row, struct check_row *c,
                       struct failure *failure)
{
    int err = ERR_OK;
    while (!err && (o->write ? c->runs < o->runs : check_wants_more(c, o->margin, o->runs))) {
        double ratio = 0;
        err = measure(o, row, &ratio, failure);
        if (!err && interrupted()) {
            err = failure_set(failure, ERR_INTERRUPTED, "interrupted");
        }
        if (!err) {
            (void)check_add(c, ratio);
            tell(c, row, ratio, o->margin);
        }
    }
    return err;
}

/* ---- the report ---- */

static void report_check(struct bench *b, const struct row *row, const struct check_row *c)
{
    struct report *r = report_row(b->report, "rows");
    double now = check_median(c);
    report_text(r, "row", row->name);
    report_number(r, "baseline", c->stored ? c->stored->ratio : 0);
    report_number(r, "now", now);
    report_number(r, "change_percent", c->stored ? (now / c->stored->ratio - 1) * 100 : 0);
    report_count(r, "runs", c->runs);
    report_text(r, "verdict", check_verdict_text(check_judge(c, b->options->margin)));
}

static void report_stored(struct bench *b, const struct baseline_row *stored)
{
    struct report *r = report_row(b->report, "rows");
    report_text(r, "row", stored->name);
    report_number(r, "ratio", stored->ratio);
    report_number(r, "low", stored->low);
    report_number(r, "high", stored->high);
    report_number(r, "spread_percent", (stored->high - stored->low) / stored->ratio * 100);
    report_count(r, "runs", stored->runs);
}

/* ---- the command ---- */

/* A row that this program does not have would never be compared. */
static int read_baseline(const char *path, struct baseline *ret_baseline, struct failure *failure)
{
    int err = baseline_read(path, ret_baseline, failure);
    for (size_t i = 0; !err && i < ret_baseline->count; i++) {
        if (!find_row(ret_baseline->rows[i].name)) {
            err = failure_set(failure, ERR_INVALID,
                              "%s has a row '%s', which is none of this program's: make it anew "
                              "with --write",
                              path, ret_baseline->rows[i].name);
        }
    }
    return err;
}

/* --write: with --only, the other rows of the file stay. */
static int write_baseline(struct bench *b, struct baseline *baseline, struct failure *failure)
{
    const struct options *o = b->options;
    char machine[256];
    int err = ERR_OK;
    for (size_t i = 0; i < ROWS && !err; i++) {
        struct check_row c = {.stored = NULL};
        if (is_wanted(o, &rows[i])) {
            err = measure_row(o, &rows[i], &c, failure);
            if (!err) {
                struct baseline_row stored = check_store(&c, rows[i].name);
                report_stored(b, &stored);
                err = baseline_set(baseline, &stored, failure);
            }
        }
    }
    if (!err) {
        machine_name(machine, sizeof machine);
        err = baseline_write(o->write, baseline, VIGIL_VERSION_TEXT, machine, failure);
    }
    return err;
}

static int compare(struct bench *b, const struct baseline *baseline, struct failure *failure)
{
    const struct options *o = b->options;
    uint64_t worse = 0;
    int err = ERR_OK;
    for (size_t i = 0; i < ROWS && !err; i++) {
        if (is_wanted(o, &rows[i])) {
            struct check_row c = {.stored = baseline_find(baseline, rows[i].name)};
            err = measure_row(o, &rows[i], &c, failure);
            worse += !err && check_judge(&c, o->margin) == CHECK_WORSE;
            if (!err) {
                report_check(b, &rows[i], &c);
            }
        }
    }
    report_number(b->report, "margin_percent", o->margin * 100);
    report_count(b->report, "worse", worse);
    b->is_worse = worse > 0;
    return err;
}

static int check_options(const struct options *o, struct failure *failure)
{
    size_t wanted = 0;
    for (size_t i = 0; i < ROWS; i++) {
        wanted += is_wanted(o, &rows[i]);
    }
    if (wanted == 0) {
        return failure_set(failure, ERR_INVALID, "no row has '%s' in its name", o->only);
    }
    if (o->server) {
        return failure_set(failure, ERR_INVALID,
                           "check takes no --server: each row needs one of its own");
    }
    if (!o->yardstick) {
        return failure_set(failure, ERR_INVALID, "check cannot do without the yardstick");
    }
    if (o->runs > CHECK_RUNS_MAX) {
        return failure_set(failure, ERR_INVALID, "check takes %d --runs at most", CHECK_RUNS_MAX);
    }
    return ERR_OK;
}

int command_check(struct bench *b, struct failure *failure)
{
    const struct options *o = b->options;
    const char *path = o->baseline ? o->baseline : BASELINE_DEFAULT;
    struct baseline baseline = {.count = 0};
    int err = check_options(o, failure);
    if (err) {
        return err;
    }
    if (o->write) {
        err = o->only ? read_baseline(o->write, &baseline, failure) : ERR_OK;
        if (err == ERR_OK || err == ERR_NOT_FOUND) {
            err = baseline_try_write(o->write, failure);
        }
        return err ? err : write_baseline(b, &baseline, failure);
    }
    err = read_baseline(path, &baseline, failure);
    if (err == ERR_NOT_FOUND) {
        return failure_set(failure, ERR_INVALID,
                           "there is no baseline %s: name one (--baseline), or make it (--write)",
                           path);
    }
    return err ? err : compare(b, &baseline, failure);
}
