/*
 * onlookers_role.c - the watchers' process; see onlookers.h. One thread drives the
 * watch; deliveries may come on another that belongs to the peer's library, so
 * what they count is behind a lock.
 */
#define _GNU_SOURCE
#include "bench/monotonic.h"
#include "bench/payload.h"
#include "bench/peers/arguments.h"
#include "bench/peers/onlookers.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define TURN_NS (20 * NS_PER_MS) /* how late a command may be read */
#define QUIET_NS (2 * NS_PER_S)  /* nothing came for so long: nothing more will */

enum { COMMAND_MAX = 128 };

struct looking {
    const struct peer_operation *operation;
    struct peer_watch *watch;
    uint32_t count;
    char command[COMMAND_MAX];
    size_t command_size;
    bool over;
    bool reported;
    pthread_mutex_t lock; /* of all below */
    uint64_t begin_ns;    /* the window */
    uint64_t end_ns;
    bool has_until;
    uint64_t until;    /* changes that each is to get */
    uint64_t *records; /* that each has got */
    uint32_t done;     /* how many have got all */
    uint64_t last_ns;  /* when the last delivery came, or until was told */
    struct onlookers_report report;
};

static void on_delivery(void *context, uint32_t watcher, const void *value, size_t size)
{
    struct looking *l = context;
    uint64_t now = monotonic_ns();
    uint64_t due_ns = 0;
    bool timed = l->operation->timed && payload_get_time(value, size, &due_ns);
    pthread_mutex_lock(&l->lock);
    l->last_ns = now;
    l->report.deliveries++;
    if (++l->records[watcher] == l->until && l->has_until) {
        l->done++;
    }
    if (now >= l->begin_ns && now < l->end_ns) {
        l->report.counted++;
    }
    if (timed && due_ns >= l->begin_ns && due_ns < l->end_ns) {
        histogram_add(&l->report.latency, now - due_ns);
    }
    if (l->operation->timed && !timed) {
        l->report.untimed++;
    }
    pthread_mutex_unlock(&l->lock);
}

static void set_until(struct looking *l, uint64_t until)
{
    l->has_until = true;
    l->until = until;
    l->last_ns = monotonic_ns();
    for (uint32_t i = 0; i < l->count; i++) {
        l->done += l->records[i] >= until;
    }
}

static void run_command(struct looking *l)
{
    char *end = NULL;
    uint64_t first = strtoull(l->command + 1, &end, 10);
    uint64_t second = strtoull(end, NULL, 10);
    pthread_mutex_lock(&l->lock);
    if (l->command[0] == 'w') {
        l->begin_ns = first;
        l->end_ns = second;
    } else {
        set_until(l, first);
    }
    pthread_mutex_unlock(&l->lock);
}

static void read_commands(struct looking *l)
{
    char bytes[COMMAND_MAX];
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (poll(&input, 1, 0) <= 0) {
        return;
    }
    ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
    l->over = n == 0 || (n < 0 && errno != EINTR);
    for (ssize_t i = 0; i < n; i++) {
        if (bytes[i] == '\n') {
            l->command[l->command_size] = '\0';
            l->command_size = 0;
            run_command(l);
        } else if (l->command_size + 1 < sizeof l->command) {
            l->command[l->command_size++] = bytes[i];
        }
    }
}

static void report_when_done(struct looking *l, uint64_t now)
{
    pthread_mutex_lock(&l->lock);
    bool quiet = now > l->last_ns && now - l->last_ns > QUIET_NS;
    if (l->has_until && !l->reported && (l->done == l->count || quiet)) {
        struct onlookers_report *r = &l->report;
        l->reported = true;
        r->fewest = UINT64_MAX;
        for (uint32_t i = 0; i < l->count; i++) {
            r->fewest = l->records[i] < r->fewest ? l->records[i] : r->fewest;
            r->most = l->records[i] > r->most ? l->records[i] : r->most;
        }
        fwrite(r, sizeof *r, 1, stdout);
        fflush(stdout);
    }
    pthread_mutex_unlock(&l->lock);
}

static int run(struct looking *l, struct failure *failure)
{
    uint64_t looked_ns = 0;
    while (!l->over) {
        int err = ERR_OK;
        if (l->report.ended) {
            monotonic_sleep_until(monotonic_ns() + TURN_NS);
        } else {
            err = peer_watch_poll(l->watch, TURN_NS, failure);
        }
        if (err && !l->operation->lossy) {
            return err;
        }
        l->report.ended |= err != ERR_OK;
        uint64_t now = monotonic_ns();
        if (now - looked_ns >= TURN_NS) {
            looked_ns = now;
            read_commands(l);
            report_when_done(l, now);
        }
    }
    return ERR_OK;
}

/* arguments: address, operation, watchers, keys, size. */
int onlookers_role(int count, char *const arguments[])
{
    struct failure failure = {0};
    struct looking *l = calloc(1, sizeof *l);
    int err = ERR_NO_MEMORY;
    if (!l || count != 5 || pthread_mutex_init(&l->lock, NULL)) {
        free(l);
        return 1;
    }
    const struct peer_plan plan = {
        .address = arguments[0],
        .operation = arguments_operation(arguments[1]),
        .watchers = (uint32_t)strtoul(arguments[2], NULL, 10),
        .keys = (uint32_t)strtoul(arguments[3], NULL, 10),
        .size = (uint32_t)strtoul(arguments[4], NULL, 10),
        .clients = 1,
        .depth = 1,
    };
    l->operation = plan.operation;
    l->count = plan.watchers;
    l->records = calloc(l->count, sizeof *l->records);
    prctl(PR_SET_TIMERSLACK, 1UL);
    if (l->records && l->operation) {
        err = peer_watch_open(&plan, on_delivery, l, &l->watch, &failure);
    }
    if (!err) {
        puts("ready");
        fflush(stdout);
        err = run(l, &failure);
    }
    if (err) {
        fprintf(stderr, "vigil-peer-%s: watchers: %s\n", peer_name, failure.text);
    }
    peer_watch_close(l->watch);
    pthread_mutex_destroy(&l->lock);
    free(l->records);
    free(l);
    return err != ERR_OK;
}
