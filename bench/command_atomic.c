/*
 * command_atomic.c - vigil-bench atomic: one is added to a counter in four ways,
 * by so many clients on so many keys, beside plain puts by the same clients and
 * the yardstick. After each load the counters are added up: they must have grown
 * by the number of operations that succeeded.
 */
#define _GNU_SOURCE
#include "bench/atomic_load.h"
#include "bench/commands.h"
#include "bench/comparison.h"
#include "bench/monotonic.h"
#include "bench/payload.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <vigil.h>

enum { COUNTERS_FIRST = 50000000, SUM_STEP = 1000, WAY_KEYS = 10000000 };

/* What a function does that has no increment: it reads, and writes. */
static const char function_source[] = "local n = (get(args[1]) or 0) + 1\n"
                                      "put(args[1], n)\n"
                                      "return n\n";

enum way { WAY_PUT, WAY_INCR, WAY_CALL, WAY_ATOMICALLY, WAY_UPDATE, WAYS };
static const char *const way_names[WAYS] = {"put", "incr", "call", "atomically", "update"};

/* What was measured with so many clients on so many keys. */
struct plan_figures {
    struct atomic_result ways[WAYS];
    struct comparison comparison;
};

/* ---- counters ---- */

/* Ways do not share their counters. */
static uint32_t first_key_of(enum way way)
{
    return way == WAY_PUT ? 0 : COUNTERS_FIRST + ((uint32_t)way - 1) * WAY_KEYS;
}

static int add_up(vigil *v, uint32_t first, uint32_t count, int64_t *sum)
{
    static char names[SUM_STEP][PAYLOAD_KEY_SIZE + 1];
    static vigil_entry entries[SUM_STEP];
    const char *keys[SUM_STEP] = {NULL};
    for (uint32_t i = 0; i < count; i++) {
        payload_key(first + i, names[i]);
        keys[i] = names[i];
    }
    int err = vigil_get_many(v, keys, count, entries);
    for (uint32_t i = 0; i < count && !err; i++) {
        int64_t number = 0;
        if (entries[i].present) {
            err = vigil_unpack_int(entries[i].value, entries[i].size, &number);
        }
        *sum += number;
    }
    return err;
}

static int sum_counters(const struct bench *b, enum way way, uint32_t keys, int64_t *ret_sum,
                        struct failure *failure)
{
    vigil *v = NULL;
    vigil_options options = VIGIL_OPTIONS_INIT;
    options.endpoint = b->server.endpoint;
    int64_t sum = 0;
    int err = vigil_open(&options, &v);
    for (uint32_t done = 0; done < keys && !err; done += SUM_STEP) {
        uint32_t left = keys - done;
        err = add_up(v, first_key_of(way) + done, left < SUM_STEP ? left : SUM_STEP, &sum);
    }
    if (err) {
        failure_set(failure, err, "the counters cannot be added up: %s", vigil_failure_text(v));
    } else {
        *ret_sum = sum;
    }
    vigil_close(v);
    return err;
}

static int store_function(const struct bench *b, struct failure *failure)
{
    vigil *v = NULL;
    uint8_t value[sizeof function_source + 8];
    size_t size =
        vigil_pack_string(value, sizeof value, function_source, sizeof function_source - 1);
    vigil_options options = VIGIL_OPTIONS_INIT;
    options.endpoint = b->server.endpoint;
    int err = vigil_open(&options, &v);
    if (!err) {
        err = vigil_put(v, VIGIL_FUNCTIONS LOAD_FUNCTION, value, size, NULL, NULL);
    }
    if (err) {
        failure_set(failure, err, "the function cannot be stored: %s", vigil_failure_text(v));
    }
    vigil_close(v);
    return err;
}

/* ---- one measurement ---- */

static int run_pipelined(struct bench *b, enum way way, struct load_result *ret_result,
                         struct failure *failure)
{
    static const enum load_kind kinds[] = {LOAD_PUT, LOAD_INCR, LOAD_CALL};
    const struct options *o = b->options;
    struct load_plan plan = {
        .kind = kinds[way],
        .endpoint = b->server.endpoint,
        .clients = o->clients,
        .depth = o->depth,
        .threads = o->threads,
        .size = o->size,
        .keys = o->keys,
        .first_key = first_key_of(way),
        .server_pid = b->server.child.pid,
    };
    struct load *load = NULL;
    int err = load_open(&plan, &load, failure);
    if (!err) {
        uint64_t begin_ns = monotonic_ns() + o->warmup_ns;
        err = load_run(load, begin_ns, begin_ns + o->duration_ns, ret_result, failure);
    }
    load_close(load);
    return err;
}

static int run_blocking(struct bench *b, enum way way, struct atomic_result *ret_result,
                        struct failure *failure)
{
    const struct options *o = b->options;
    struct atomic_plan plan = {
        .way = way == WAY_UPDATE ? ATOMIC_JQ : ATOMIC_FUNCTION,
        .endpoint = b->server.endpoint,
        .clients = o->clients,
        .keys = o->keys,
        .first_key = first_key_of(way),
        .warmup_ns = o->warmup_ns,
        .duration_ns = o->duration_ns,
        .server_pid = b->server.child.pid,
    };
    return atomic_load_run(&plan, ret_result, failure);
}

static int measure_way(struct bench *b, enum way way, struct atomic_result *ret_result,
                       struct failure *failure)
{
    uint32_t keys = b->options->keys;
    bool counts = way != WAY_PUT;
    int64_t before = 0;
    int64_t after = 0;
    int err = counts ? sum_counters(b, way, keys, &before, failure) : ERR_OK;
    if (!err) {
        err = way <= WAY_CALL ? run_pipelined(b, way, &ret_result->load, failure)
                              : run_blocking(b, way, ret_result, failure);
    }
    if (!err && counts) {
        err = sum_counters(b, way, keys, &after, failure);
    }
    if (!err && counts && after - before != (int64_t)ret_result->load.total) {
        err = failure_set(failure, ERR_INTERNAL,
                          "%s: %" PRIu64 " additions of one have added %" PRId64 " in all",
                          way_names[way], ret_result->load.total, after - before);
    }
    return err;
}

/* ---- the report ---- */

static double per_s(const struct atomic_result *r)
{
    return (double)r->load.counted / r->load.seconds;
}

static void report_way(struct bench *b, const struct plan_figures *f, enum way way)
{
    const struct options *o = b->options;
    const struct atomic_result *result = &f->ways[way];
    struct report *r = report_row(b->report, "rows");
    report_text(r, "durability", o->durability ? o->durability : "-");
    report_count(r, "clients", o->clients);
    report_count(r, "depth", way <= WAY_CALL ? o->depth : 1);
    report_count(r, "keys", o->keys);
    report_text(r, "way", way_names[way]);
    report_count(r, "ops", result->load.counted);
    report_number(r, "ops_per_s", per_s(result));
    report_latency(r, "", &result->load.latency);
    report_number(r, "runs_per_op",
                  way <= WAY_CALL ? 1 : (double)result->runs / (double)result->load.counted);
    report_number(r, "server_cpu_us_per_op", server_cpu_us(&result->load));
    report_number(r, "ratio_put", per_s(result) / per_s(&f->ways[WAY_PUT]));
    comparison_report_echo(&f->comparison, r, per_s(result));
    comparison_report_append(&f->comparison, r, per_s(result));
}

/* ---- the plans ---- */

static bool is_wanted(const struct options *o, enum way way)
{
    return way == WAY_PUT || !o->way || !strcmp(o->way, way_names[way]);
}

static int measure_plan(struct bench *b, struct plan_figures *f, struct failure *failure)
{
    const struct options *o = b->options;
    bool synced = o->durability && !strcmp(o->durability, "power");
    comparison_init(&f->comparison, COMPARE_ECHO | (synced ? COMPARE_APPEND : 0), o);
    int err = comparison_measure(&f->comparison, o, b->server.folder, failure);
    for (enum way way = WAY_PUT; way < WAYS && !err; way++) {
        if (is_wanted(o, way)) {
            err = measure_way(b, way, &f->ways[way], failure);
        }
    }
    if (!err) {
        err = comparison_measure(&f->comparison, o, b->server.folder, failure);
    }
    for (enum way way = WAY_PUT; way < WAYS && !err; way++) {
        if (is_wanted(o, way)) {
            report_way(b, f, way);
        }
    }
    return err;
}

static int measure_clients(struct bench *b, struct options *o, struct failure *failure)
{
    static const uint32_t all_clients[] = {1, 8, 64};
    static const uint32_t all_keys[] = {1, 1000};
    const uint32_t clients = o->clients;
    const uint32_t keys = o->keys;
    struct plan_figures *f = calloc(1, sizeof *f);
    if (!f)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    int err = store_function(b, failure);
    for (size_t k = 0; k < (keys ? 1 : 2) && !err; k++) {
        for (size_t c = 0; c < (clients ? 1 : 3) && !err; c++) {
            o->keys = keys ? keys : all_keys[k];
            o->clients = clients ? clients : all_clients[c];
            memset(f, 0, sizeof *f);
            err = measure_plan(b, f, failure);
        }
    }
    o->keys = keys;
    o->clients = clients;
    free(f);
    return err;
}

/* The server that was started has the first mode; for the other it is started anew. */
static int measure_durabilities(struct bench *b, struct options *o, struct failure *failure)
{
    static const char *const all[] = {"process", "power"};
    int err = ERR_OK;
    for (size_t i = 0; i < 2 && !err; i++) {
        o->durability = all[i];
        if (i > 0) {
            err = server_stop(&b->server, SIGTERM, failure);
            if (!err) {
                err = server_launch(&b->server, NULL, failure);
            }
        }
        if (!err) {
            err = measure_clients(b, o, failure);
        }
    }
    return err;
}

int command_atomic(struct bench *b, struct failure *failure)
{
    const struct options *given = b->options;
    struct options o = *given;
    if (o.rate > 0) {
        return failure_set(failure, ERR_INVALID, "atomic has no --rate");
    }
    if (o.keys > WAY_KEYS) {
        return failure_set(failure, ERR_INVALID, "atomic takes %d --keys at most", WAY_KEYS);
    }
    b->options = &o;
    b->server.options = &o;
    int err = b->server.own && !o.durability ? measure_durabilities(b, &o, failure)
                                             : measure_clients(b, &o, failure);
    b->options = given;
    b->server.options = given;
    return err;
}
