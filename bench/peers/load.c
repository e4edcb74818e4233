/* load.c - see load.h. One thread; peer_done runs within peer_poll. */
#define _GNU_SOURCE
#include "bench/peers/load.h"
#include "bench/interrupt.h"
#include "bench/monotonic.h"
#include "bench/payload.h"

#include <math.h>
#include <stdlib.h>
#include <sys/prctl.h>

#define TURN_NS (100 * NS_PER_MS) /* the longest sleep */
#define AHEAD_NS (30 * NS_PER_US) /* a sleeper wakes up late by less than this, mostly */
#define STUCK_NS (30 * NS_PER_S)
#define OVERTIME_NS (10 * NS_PER_S) /* for what was due and not sent when the window ends */

/* Counters' keys begin here, so that a system finds no other value at them. */
enum { COUNTERS_FIRST = PAYLOAD_KEYS_MAX / 2 };

/* WARMING --begin--> COUNTING --end--> ENDING (what is due is sent, all is waited for) */
enum phase { WARMING, COUNTING, ENDING };

struct work {
    uint64_t client_cpu_ns;
    uint64_t server_cpu_ns;
    uint64_t server_switches;
    uint64_t watcher_cpu_ns;
};

struct peer_load {
    const struct peer_load_plan *plan;
    struct peer_clients *clients;
    uint32_t *in_flight; /* of each client */
    uint64_t in_flight_all;
    uint8_t *value;
    uint64_t random;
    enum phase phase;
    uint64_t left;      /* with operations: still to be started */
    uint64_t next_key;  /* with operations */
    double interval_ns; /* paced */
    uint64_t first_ns;  /* paced: when the first operation was due */
    uint64_t due_index; /* paced: the next one's number, and time */
    uint64_t due_ns;
    uint32_t next_client; /* paced */
    uint64_t began_ns;    /* the window as it was */
    uint64_t progress_ns;
    struct work before;
    int err;
    struct failure failure;
    struct peer_load_result result;
};

static bool is_paced(const struct peer_load *l)
{
    return l->plan->rate > 0;
}

static uint64_t pick_key(struct peer_load *l)
{
    const struct peer_plan *peer = l->plan->peer;
    uint64_t number = l->plan->operations ? l->next_key++ : payload_draw(&l->random);
    return number % peer->keys + (peer->operation->counters ? COUNTERS_FIRST : 0);
}

/* What fails stays in the load, and ends it. */
static void start_one(struct peer_load *l, uint32_t client, uint64_t due_ns)
{
    char key[PAYLOAD_KEY_SIZE + 1];
    uint32_t size = l->plan->peer->size;
    payload_key(pick_key(l), key);
    payload_set_time(l->value, size, due_ns);
    if (!l->err) {
        l->err = peer_start(l->clients, client, key, l->value, size, due_ns, &l->failure);
        l->in_flight[client]++;
        l->in_flight_all++;
    }
}

/* Closed loop. */
static void start_next(struct peer_load *l, uint32_t client, uint64_t now)
{
    if (l->plan->operations) {
        if (l->left == 0) {
            return;
        }
        l->left--;
    }
    start_one(l, client, now);
}

static void on_done(void *context, uint32_t client, uint64_t due_ns)
{
    struct peer_load *l = context;
    uint64_t now = monotonic_ns();
    l->progress_ns = now;
    l->in_flight[client]--;
    l->in_flight_all--;
    l->result.total++;
    if (l->phase == COUNTING) {
        l->result.counted++;
    }
    if (due_ns >= l->plan->begin_ns && due_ns < l->plan->end_ns) {
        histogram_add(&l->result.latency, now - due_ns);
    }
    if (!is_paced(l) && l->phase != ENDING) {
        start_next(l, client, now);
    }
}

/* Work of all processes so far. */
static struct work look(const struct peer_load_plan *plan)
{
    struct work w = {.client_cpu_ns = process_cpu_ns()};
    struct process_figures figures = {0};
    for (size_t i = 0; i < plan->server_count; i++) {
        if (process_figures_read(plan->server_pids[i], &figures)) {
            w.server_cpu_ns += figures.cpu_ns;
            w.server_switches += figures.switches;
        }
    }
    if (plan->watcher_pid && process_figures_read(plan->watcher_pid, &figures)) {
        w.watcher_cpu_ns = figures.cpu_ns;
    }
    return w;
}

static void begin_window(struct peer_load *l)
{
    l->before = look(l->plan);
    l->began_ns = monotonic_ns();
    l->phase = COUNTING;
}

static void end_window(struct peer_load *l)
{
    struct work after = look(l->plan);
    struct peer_load_result *r = &l->result;
    r->seconds = (double)(monotonic_ns() - l->began_ns) / (double)NS_PER_S;
    r->client_cpu_ns = after.client_cpu_ns - l->before.client_cpu_ns;
    r->server_cpu_ns = after.server_cpu_ns - l->before.server_cpu_ns;
    r->server_switches = after.server_switches - l->before.server_switches;
    r->watcher_cpu_ns = after.watcher_cpu_ns - l->before.watcher_cpu_ns;
    l->phase = ENDING;
}

static void turn_phase(struct peer_load *l, uint64_t now)
{
    bool counted = l->plan->operations > 0;
    if (l->phase == WARMING && (counted || now >= l->plan->begin_ns)) {
        begin_window(l);
    } else if (l->phase == COUNTING &&
               (counted ? l->left == 0 && l->in_flight_all == 0 : now >= l->plan->end_ns)) {
        end_window(l);
    }
}

/* The next client, in turn, that has room. */
static bool find_client(struct peer_load *l, uint32_t *ret_client)
{
    const struct peer_plan *peer = l->plan->peer;
    for (uint32_t i = 0; i < peer->clients; i++) {
        uint32_t client = l->next_client;
        l->next_client = client + 1 < peer->clients ? client + 1 : 0;
        if (l->in_flight[client] < peer->depth) {
            *ret_client = client;
            return true;
        }
    }
    return false;
}

/* Paced: what is due goes out, as far as there is room. */
static void start_due(struct peer_load *l, uint64_t now)
{
    uint32_t client = 0;
    while (!l->err && l->due_ns <= now && l->due_ns < l->plan->end_ns && find_client(l, &client)) {
        start_one(l, client, l->due_ns);
        l->due_index++;
        l->due_ns = l->first_ns + (uint64_t)((double)l->due_index * l->interval_ns);
    }
}

static bool all_sent(const struct peer_load *l)
{
    return !is_paced(l) || l->due_ns >= l->plan->end_ns;
}

/* How long the poll may sleep: until the next that has to be done at a certain time. */
static uint64_t sleep_ns(const struct peer_load *l, uint64_t now)
{
    uint64_t wake_ns = now + TURN_NS;
    uint64_t turn_ns = l->phase == WARMING ? l->plan->begin_ns : l->plan->end_ns;
    if (l->phase != ENDING && !l->plan->operations && turn_ns < wake_ns) {
        wake_ns = turn_ns;
    }
    bool is_waiting_for_room = l->due_ns <= now;
    if (is_paced(l) && !all_sent(l) && !is_waiting_for_room) {
        /* Where little is due, the last bit is waited for awake; more would take a core from the server. */
        uint64_t due_ns = l->due_ns - (l->interval_ns > 2 * AHEAD_NS ? AHEAD_NS : 0);
        wake_ns = due_ns < wake_ns ? due_ns : wake_ns;
    }
    return wake_ns > now ? wake_ns - now : 0;
}

/* True: there is nothing more to send or to wait for. */
static bool is_over(struct peer_load *l, uint64_t now)
{
    if (l->phase != ENDING) {
        return false;
    }
    if (!all_sent(l)) {
        if (now < l->plan->end_ns + OVERTIME_NS) {
            return false;
        }
        double due = ceil((double)(l->plan->end_ns - l->first_ns) / l->interval_ns);
        l->result.unsent = (uint64_t)due - l->due_index;
        l->due_ns = l->plan->end_ns;
    }
    return l->in_flight_all == 0;
}

static int turn(struct peer_load *l, uint64_t now)
{
    if (is_paced(l)) {
        start_due(l, now);
    }
    int err = l->err ? l->err : peer_poll(l->clients, sleep_ns(l, now), &l->failure);
    if (!err && interrupted()) {
        err = failure_set(&l->failure, ERR_INTERRUPTED, "interrupted");
    }
    if (!err && l->in_flight_all > 0 && monotonic_ns() - l->progress_ns > STUCK_NS) {
        err = failure_set(&l->failure, ERR_TIMEOUT, "nothing was acknowledged for 30 s");
    }
    if (l->in_flight_all == 0) {
        l->progress_ns = now;
    }
    return err ? err : l->err;
}

static int run(struct peer_load *l)
{
    const struct peer_plan *peer = l->plan->peer;
    int err = ERR_OK;
    uint64_t now = monotonic_ns();
    l->progress_ns = l->first_ns = l->due_ns = now;
    turn_phase(l, now);
    for (uint32_t i = 0; !is_paced(l) && i < peer->depth; i++) {
        for (uint32_t client = 0; client < peer->clients; client++) {
            start_next(l, client, now);
        }
    }
    while (!err && !is_over(l, now)) {
        err = turn(l, now);
        now = monotonic_ns();
        turn_phase(l, now);
    }
    return err;
}

static int prepare(struct peer_load *l, const struct peer_load_plan *plan)
{
    const struct peer_plan *peer = plan->peer;
    l->plan = plan;
    l->random = UINT64_C(0x9e3779b97f4a7c15);
    l->left = plan->operations;
    l->interval_ns = plan->rate > 0 ? (double)NS_PER_S / plan->rate : 0;
    l->in_flight = calloc(peer->clients, sizeof *l->in_flight);
    l->value = malloc(peer->size);
    if (!l->in_flight || !l->value) {
        return failure_set(&l->failure, ERR_NO_MEMORY, "out of memory");
    }
    payload_make(l->value, peer->size);
    return peer_open(peer, on_done, l, &l->clients, &l->failure);
}

int peer_load_run(const struct peer_load_plan *plan, struct peer_load_result *ret_result,
                  struct failure *failure)
{
    struct peer_load *l = calloc(1, sizeof *l);
    if (!l) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    prctl(PR_SET_TIMERSLACK, 1UL);
    int err = prepare(l, plan);
    if (!err) {
        err = run(l);
    }
    if (err) {
        *failure = l->failure;
    } else {
        *ret_result = l->result;
    }
    peer_close(l->clients);
    free(l->in_flight);
    free(l->value);
    free(l);
    return err;
}
