/* atomic_load.c - see atomic_load.h. The threads share the plan, and a flag that ends them. */
#define _GNU_SOURCE
#include "bench/atomic_load.h"
#include "bench/interrupt.h"
#include "bench/monotonic.h"
#include "bench/payload.h"
#include "client/cli/filter_jq.h"
#include "protocol/limits.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <vigil.h>

enum { FAILED_JQ = -1 }; /* what the function returns then */

struct atomic_client {
    const struct atomic_plan *plan;
    _Atomic bool *over;
    uint64_t begin_ns; /* the window */
    uint64_t end_ns;
    vigil *v;
    struct filter_jq *filter;
    struct wire_buffer value;
    uint64_t random;
    char key[PAYLOAD_KEY_SIZE + 1];
    uint32_t runs; /* of the present call */
    bool started;
    pthread_t thread;
    int err;
    struct failure failure;
    struct atomic_result result;
};

static int add_one(vigil_atomic *a, void *context)
{
    struct atomic_client *c = context;
    int64_t sum;
    c->runs = vigil_atomic_run(a);
    return vigil_atomic_incr(a, c->key, 1, &sum);
}

/* As cmd_update.c has it. */
static int update(vigil_atomic *a, void *context)
{
    struct atomic_client *c = context;
    const void *data = NULL;
    size_t size = 0;
    size_t outputs = 0;
    c->runs = vigil_atomic_run(a);
    int err = vigil_atomic_get(a, c->key, &data, &size);
    if (err) {
        return err;
    }
    wire_buffer_clear(&c->value);
    if (filter_jq_transform(c->filter, (struct bytes){data, size}, &c->value, &outputs,
                            &c->failure) ||
        outputs != 1) {
        return FAILED_JQ;
    }
    return vigil_atomic_put(a, c->key, c->value.data, c->value.size);
}

static int call(struct atomic_client *c)
{
    const struct atomic_plan *plan = c->plan;
    payload_key(plan->first_key + payload_draw(&c->random) % plan->keys, c->key);
    uint64_t sent_ns = monotonic_ns();
    int err = vigil_atomically(c->v, plan->way == ATOMIC_JQ ? update : add_one, c, NULL, NULL);
    if (err == FAILED_JQ) {
        return ERR_INTERNAL;
    }
    if (err) {
        return failure_set(&c->failure, err, "vigil_atomically: %s", vigil_failure_text(c->v));
    }
    uint64_t now = monotonic_ns();
    c->result.load.total++;
    if (now >= c->begin_ns && now < c->end_ns) {
        c->result.load.counted++;
        c->result.runs += c->runs;
        histogram_add(&c->result.load.latency, now - sent_ns);
    }
    return ERR_OK;
}

static void *run_client(void *context)
{
    struct atomic_client *c = context;
    while (!c->err && !atomic_load(c->over) && monotonic_ns() < c->end_ns && !interrupted()) {
        c->err = call(c);
    }
    if (c->err) {
        atomic_store(c->over, true);
    }
    return NULL;
}

static int open_client(struct atomic_client *c, uint32_t index)
{
    vigil_options options = VIGIL_OPTIONS_INIT;
    options.endpoint = c->plan->endpoint;
    options.client_name = "vigil-bench";
    c->random = UINT64_C(0x9e3779b97f4a7c15) * (index + 1);
    wire_buffer_init(&c->value, LIMIT_VALUE_SIZE_MAX);
    int err = vigil_open(&options, &c->v);
    if (err) {
        return failure_set(&c->failure, err, "cannot connect: %s", vigil_failure_text(NULL));
    }
    return c->plan->way == ATOMIC_JQ ? filter_jq_new(". + 1", &c->filter, &c->failure) : ERR_OK;
}

static void close_client(struct atomic_client *c)
{
    vigil_close(c->v);
    filter_jq_free(c->filter);
    wire_buffer_free(&c->value);
}

static void sleep_until(uint64_t at_ns, _Atomic bool *over)
{
    while (monotonic_ns() < at_ns && !interrupted() && !atomic_load(over)) {
        uint64_t slice_ns = monotonic_ns() + 100 * NS_PER_MS;
        monotonic_sleep_until(slice_ns < at_ns ? slice_ns : at_ns);
    }
}

static bool look_at_server(const struct atomic_plan *plan, struct process_figures *ret_figures)
{
    return plan->server_pid != 0 && process_figures_read(plan->server_pid, ret_figures);
}

/* The window, seen from beside the clients. */
static void watch_window(const struct atomic_plan *plan, uint64_t begin_ns, _Atomic bool *over,
                         struct load_result *l)
{
    sleep_until(begin_ns, over);
    uint64_t began_ns = monotonic_ns();
    l->own_cpu_ns = process_cpu_ns();
    l->has_server = look_at_server(plan, &l->server_before);
    sleep_until(begin_ns + plan->duration_ns, over);
    l->own_cpu_ns = process_cpu_ns() - l->own_cpu_ns;
    l->has_server = look_at_server(plan, &l->server_after) && l->has_server;
    l->seconds = (double)(monotonic_ns() - began_ns) / (double)NS_PER_S;
}

static int run_clients(const struct atomic_plan *plan, struct atomic_client *clients,
                       _Atomic bool *over, struct atomic_result *result, struct failure *failure)
{
    uint64_t begin_ns = monotonic_ns() + plan->warmup_ns;
    int err = ERR_OK;
    for (uint32_t i = 0; i < plan->clients && !err; i++) {
        struct atomic_client *c = &clients[i];
        c->begin_ns = begin_ns;
        c->end_ns = begin_ns + plan->duration_ns;
        c->started = !pthread_create(&c->thread, NULL, run_client, c);
        err = c->started ? ERR_OK
                         : failure_set(failure, ERR_NO_MEMORY, "cannot start a thread: too many");
    }
    if (err) {
        atomic_store(over, true);
    }
    watch_window(plan, begin_ns, over, &result->load);
    for (uint32_t i = 0; i < plan->clients && clients[i].started; i++) {
        struct atomic_client *c = &clients[i];
        pthread_join(c->thread, NULL);
        result->load.total += c->result.load.total;
        result->load.counted += c->result.load.counted;
        result->runs += c->result.runs;
        histogram_merge(&result->load.latency, &c->result.load.latency);
        if (!err && c->err) {
            err = c->err;
            *failure = c->failure;
        }
    }
    if (!err && interrupted()) {
        err = failure_set(failure, ERR_INTERRUPTED, "interrupted");
    }
    return err;
}

int atomic_load_run(const struct atomic_plan *plan, struct atomic_result *ret_result,
                    struct failure *failure)
{
    struct atomic_client *clients = calloc(plan->clients, sizeof *clients);
    struct atomic_result *result = calloc(1, sizeof *result);
    _Atomic bool over = false;
    uint32_t opened = 0;
    int err = ERR_OK;
    if (!clients || !result) {
        free(clients);
        free(result);
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    while (!err && opened < plan->clients) {
        struct atomic_client *c = &clients[opened];
        c->plan = plan;
        c->over = &over;
        err = open_client(c, opened++);
        if (err) {
            *failure = c->failure;
        }
    }
    if (!err) {
        err = run_clients(plan, clients, &over, result, failure);
    }
    if (!err) {
        *ret_result = *result;
    }
    while (opened > 0) {
        close_client(&clients[--opened]);
    }
    free(clients);
    free(result);
    return err;
}
