/*
 * waiters_role.c - the waiters' process; see watchers.h. Each waiter is a thread
 * with a connection, because vigil_wait blocks. A wait starts from the position
 * where the one before ended, so that each change of the key ends one wait of
 * each waiter, however fast they come.
 */
#define _GNU_SOURCE
#include "bench/monotonic.h"
#include "bench/payload.h"
#include "bench/roles.h"
#include "bench/watchers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vigil.h>

enum { WAIT_TIMEOUT_MS = 120000 };

static atomic_uint_fast64_t window_begin_ns;
static atomic_uint_fast64_t window_end_ns;
static atomic_uint_fast64_t window_cpu_ns;

struct waiter {
    vigil *v;
    pthread_t thread;
    bool started;
    bool failed;
    struct watchers_report report;
};

static void *wait_again_and_again(void *context)
{
    struct waiter *w = context;
    char key[PAYLOAD_KEY_SIZE + 1];
    payload_key(0, key);
    vigil_info info;
    vigil_get_info(w->v, &info);
    vigil_wait_options options = VIGIL_WAIT_OPTIONS_INIT;
    options.change = true;
    options.since = VIGIL_SINCE_POSITION;
    options.position = (vigil_position){.epoch = info.epoch, .seq = info.head};
    for (;;) {
        vigil_wait_result result;
        int err = vigil_wait(w->v, key, &options, WAIT_TIMEOUT_MS, &result);
        uint64_t now = monotonic_ns();
        if (err) {
            fprintf(stderr, "vigil-bench: waiters: %s\n", vigil_failure_text(w->v));
            w->failed = true;
            return NULL;
        }
        uint64_t due_ns = PAYLOAD_END;
        const vigil_change *change = &result.record.changes[0];
        payload_get_time(change->value, change->size, &due_ns);
        if (due_ns == PAYLOAD_END) {
            return NULL;
        }
        w->report.disorder += result.record.seq <= options.position.seq;
        options.position.seq = result.record.seq;
        w->report.deliveries++;
        uint64_t begin_ns = atomic_load(&window_begin_ns);
        uint64_t end_ns = atomic_load(&window_end_ns);
        w->report.counted += now >= begin_ns && now < end_ns;
        if (due_ns >= begin_ns && due_ns < end_ns && now > due_ns) {
            histogram_add(&w->report.latency, now - due_ns);
        }
    }
}

static void *read_commands(void *context)
{
    (void)context;
    char line[128];
    while (fgets(line, sizeof line, stdin)) {
        uint64_t begin_ns = 0;
        uint64_t end_ns = 0;
        if (watchers_parse_window(line, &begin_ns, &end_ns)) {
            atomic_store(&window_begin_ns, begin_ns);
            atomic_store(&window_end_ns, end_ns);
            atomic_store(&window_cpu_ns, process_cpu_ns());
        }
    }
    _exit(0);
}

static void merge(struct watchers_report *into, const struct watchers_report *from)
{
    into->deliveries += from->deliveries;
    into->counted += from->counted;
    into->disorder += from->disorder;
    into->fewest = from->deliveries < into->fewest ? from->deliveries : into->fewest;
    into->most = from->deliveries > into->most ? from->deliveries : into->most;
    histogram_merge(&into->latency, &from->latency);
}

static bool start_waiters(struct waiter *waiters, uint32_t count, const char *endpoint)
{
    for (uint32_t i = 0; i < count; i++) {
        vigil_options options = VIGIL_OPTIONS_INIT;
        options.endpoint = endpoint;
        options.client_name = "vigil-bench waiter";
        if (vigil_open(&options, &waiters[i].v)) {
            fprintf(stderr, "vigil-bench: waiters: %s\n", vigil_failure_text(NULL));
            return false;
        }
        waiters[i].started =
            !pthread_create(&waiters[i].thread, NULL, wait_again_and_again, &waiters[i]);
        if (!waiters[i].started) {
            fprintf(stderr, "vigil-bench: waiters: cannot start a thread\n");
            return false;
        }
    }
    return true;
}

/* arguments: endpoint, number of waiters, a word that is of no matter here. */
int role_waiters(int count, char *const arguments[])
{
    uint32_t waiter_count = count == 3 ? (uint32_t)strtoul(arguments[1], NULL, 10) : 0;
    struct waiter *waiters = calloc(waiter_count + 1, sizeof *waiters);
    struct watchers_report *report = calloc(1, sizeof *report);
    pthread_t commands;
    if (waiter_count == 0 || !waiters || !report ||
        !start_waiters(waiters, waiter_count, arguments[0]) ||
        pthread_create(&commands, NULL, read_commands, NULL)) {
        _exit(1); /* some may wait already: there is nothing to save */
    }
    printf("ready\n");
    fflush(stdout);
    bool failed = false;
    report->fewest = UINT64_MAX;
    for (uint32_t i = 0; i < waiter_count; i++) {
        pthread_join(waiters[i].thread, NULL);
        failed = failed || waiters[i].failed;
        merge(report, &waiters[i].report);
        vigil_close(waiters[i].v);
    }
    if (failed) {
        _exit(1);
    }
    report->cpu_ns = process_cpu_ns() - atomic_load(&window_cpu_ns);
    fwrite(report, sizeof *report, 1, stdout);
    fflush(stdout);
    pthread_join(commands, NULL); /* it ends the process when its input ends */
    return 0;
}
