/* load.c - see load.h. Each thread has its own connections, histogram and epoll; they share the plan. */
#define _GNU_SOURCE
#include "bench/load.h"
#include "bench/interrupt.h"
#include "bench/monotonic.h"
#include "bench/payload.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <vigil.h>

#define LOAD_POLL_MS 100
#define STUCK_NS (30 * NS_PER_S)
/* Open loop: where more than two requests are due within this time, they leave together. To wake up for
 * each, or to poll for them, would burn a core that the server may need. */
#define BURST_NS (100 * NS_PER_US)

struct load_connection {
    vigil *v;
    uint64_t *sent_ns; /* ring of plan->depth: when each request in flight was due */
    uint32_t first;
    uint32_t in_flight;
};

struct load_thread {
    const struct load_plan *plan;
    uint64_t begin_ns; /* the window */
    uint64_t end_ns;
    struct load_connection *connections;
    uint32_t count;
    uint8_t *value;
    int epoll_fd;
    uint64_t random;
    uint64_t next_key;        /* with operations: keys in order */
    uint64_t left;            /* with operations or rounds: still to be sent */
    uint64_t due_ns;          /* open loop: the next request's time */
    double interval_ns;       /* open loop */
    uint64_t burst_ns;        /* open loop: 0, or how late a request may leave to have company */
    uint64_t due_index;       /* open loop */
    uint32_t next_connection; /* open loop */
    uint64_t due_start_ns;    /* open loop */
    uint64_t progress_ns;     /* when the last completion came */
    double phase;             /* open loop: 0..1, this thread's part of an interval */
    bool started;
    pthread_t thread;
    int err;
    struct failure failure;
    struct load_result result;
};

struct load {
    const struct load_plan *plan;
    struct load_thread *threads;
    struct load_result result;
};

static uint64_t draw_key(struct load_thread *t)
{
    uint64_t first = t->plan->first_key;
    if (t->plan->operations) {
        return first + t->next_key++ % t->plan->keys;
    }
    return first + payload_draw(&t->random) % t->plan->keys;
}

static int fail(struct load_thread *t, const vigil *v, int err, const char *what)
{
    return failure_set(&t->failure, err, "%s: %s", what,
                       v ? vigil_failure_text(v) : vigil_error_text(err));
}

static int send_call(vigil *v, const char *key, uint64_t *ret_id)
{
    static const vigil_function function = {.name = LOAD_FUNCTION};
    uint8_t arguments[2 + PAYLOAD_KEY_SIZE] = {0x91, 0xa0 | PAYLOAD_KEY_SIZE}; /* [key] */
    memcpy(arguments + 2, key, PAYLOAD_KEY_SIZE);
    return vigil_send_call(v, &function, arguments, sizeof arguments, ret_id);
}

static int send_kind(struct load_thread *t, vigil *v, const char *key, uint64_t due_ns)
{
    uint64_t id = 0;
    switch (t->plan->kind) {
    case LOAD_PUT:
        payload_set_time(t->value, t->plan->size, due_ns);
        return vigil_send_put(v, key, t->value, t->plan->size, NULL, &id);
    case LOAD_INCR:
        return vigil_send_incr(v, key, 1, &id);
    case LOAD_CALL:
        return send_call(v, key, &id);
    case LOAD_GET:
        break;
    }
    return vigil_send_get(v, key, &id);
}

/* Queues one request; it leaves with the next receive that has to wait. */
static int send_one(struct load_thread *t, struct load_connection *c, uint64_t due_ns)
{
    char key[PAYLOAD_KEY_SIZE + 1];
    payload_key(draw_key(t), key);
    int err = send_kind(t, c->v, key, due_ns);
    if (err) {
        return fail(t, c->v, err, "cannot send");
    }
    uint32_t slot = c->first + c->in_flight;
    c->sent_ns[slot < t->plan->depth ? slot : slot - t->plan->depth] = due_ns;
    c->in_flight++;
    return ERR_OK;
}

/* Returns the time. */
static uint64_t count(struct load_thread *t, uint64_t sent_ns, const vigil_completion *completion)
{
    const struct load_plan *plan = t->plan;
    uint64_t now = monotonic_ns();
    t->progress_ns = now;
    t->result.total++;
    if (plan->kind != LOAD_GET && completion->result.seq > t->result.last_seq) {
        t->result.last_seq = completion->result.seq;
    }
    if (plan->operations || (now >= t->begin_ns && now < t->end_ns)) {
        t->result.counted++;
        histogram_add(&t->result.latency, now > sent_ns ? now - sent_ns : 0);
    }
    return now;
}

static bool is_over(const struct load_thread *t, uint64_t now)
{
    if (interrupted()) {
        return true;
    }
    return t->plan->operations ? t->left == 0 : now >= t->end_ns;
}

/* Closed loop: as many in flight as the plan wants. */
static int fill(struct load_thread *t, struct load_connection *c, uint64_t now)
{
    bool counts_down = t->plan->operations > 0 || t->plan->round > 0;
    while (c->in_flight < t->plan->depth && !is_over(t, now) && !(counts_down && t->left == 0)) {
        int err = send_one(t, c, now);
        if (err) {
            return err;
        }
        t->left -= counts_down;
    }
    return ERR_OK;
}

/* Takes all that has come and, in a closed loop, sends a request for each. The call that finds nothing
 * more has handed all of those to the socket. */
static int work(struct load_thread *t, struct load_connection *c)
{
    for (;;) {
        vigil_completion completion;
        int err = vigil_receive(c->v, 0, &completion);
        bool idle = err == VIGIL_INVALID && c->in_flight == 0;
        if (err == VIGIL_TIMEOUT || err == VIGIL_INTERRUPTED || idle) {
            return ERR_OK;
        }
        if (err) {
            return fail(t, c->v, err, "cannot receive");
        }
        if (completion.error) {
            return fail(t, NULL, completion.error, "a request failed");
        }
        uint64_t now = count(t, c->sent_ns[c->first], &completion);
        c->first = c->first + 1 < t->plan->depth ? c->first + 1 : 0;
        c->in_flight--;
        if (t->plan->rate <= 0) {
            err = fill(t, c, now);
            if (err) {
                return err;
            }
        }
    }
    return ERR_OK;
}

/* The first requests, or those of the next round. */
static int fill_all(struct load_thread *t, uint64_t now)
{
    int err = ERR_OK;
    for (uint32_t i = 0; i < t->count && !err; i++) {
        err = fill(t, &t->connections[i], now);
        if (!err) {
            err = work(t, &t->connections[i]);
        }
    }
    return err;
}

/* Open loop: what is due goes out, one connection after the other; what is due at once for one
 * connection shares a message. A connection that is full holds its turn, and with it all that follows,
 * up; their times run on. */
static int send_due(struct load_thread *t)
{
    uint64_t now = monotonic_ns();
    uint32_t first = t->next_connection;
    uint64_t sent = 0;
    int err = ERR_OK;
    if (now < t->due_ns + t->burst_ns) {
        return ERR_OK;
    }
    while (!err && t->due_ns <= now && t->due_ns < t->end_ns) {
        struct load_connection *c = &t->connections[t->next_connection];
        if (c->in_flight >= t->plan->depth) {
            break;
        }
        err = send_one(t, c, t->due_ns);
        sent++;
        t->due_index++;
        t->next_connection = t->next_connection + 1 < t->count ? t->next_connection + 1 : 0;
        t->due_ns = t->due_start_ns + (uint64_t)((double)t->due_index * t->interval_ns);
    }
    for (uint64_t i = 0; i < sent && i < t->count && !err; i++) {
        err = work(t, &t->connections[(first + i) % t->count]);
    }
    return err;
}

/* How long epoll may sleep. */
static uint64_t sleep_ns(const struct load_thread *t)
{
    uint64_t longest = LOAD_POLL_MS * NS_PER_MS;
    if (t->plan->rate <= 0 || t->due_ns >= t->end_ns) {
        return longest;
    }
    uint64_t ahead_ns = t->interval_ns < (double)POLL_AHEAD_NS ? 0 : POLL_AHEAD_NS;
    uint64_t now = monotonic_ns();
    uint64_t wake_ns = t->due_ns > ahead_ns ? t->due_ns - ahead_ns + t->burst_ns : 0;
    if (wake_ns <= now) {
        return 0;
    }
    return wake_ns - now < longest ? wake_ns - now : longest;
}

static bool any_in_flight(const struct load_thread *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->connections[i].in_flight > 0) {
            return true;
        }
    }
    return false;
}

static int next_round(struct load_thread *t)
{
    const struct load_plan *plan = t->plan;
    int err = plan->await_round(plan->await_context, t->result.last_seq, &t->failure);
    t->left = plan->round;
    t->progress_ns = monotonic_ns();
    return err ? err : fill_all(t, t->progress_ns);
}

static int turn(struct load_thread *t)
{
    struct epoll_event events[64];
    uint64_t ns = sleep_ns(t);
    struct timespec timeout = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    int n = epoll_pwait2(t->epoll_fd, events, 64, &timeout, NULL);
    if (n < 0 && errno != EINTR) {
        return failure_set(&t->failure, ERR_IO, "cannot poll: %s", strerror(errno));
    }
    int err = ERR_OK;
    for (int i = 0; i < n && !err; i++) {
        err = work(t, events[i].data.ptr);
    }
    if (!err && t->plan->rate > 0) {
        err = send_due(t);
    }
    if (!err && t->plan->round > 0 && t->left == 0 && !any_in_flight(t)) {
        err = next_round(t);
    }
    if (!err && monotonic_ns() - t->progress_ns > STUCK_NS && any_in_flight(t)) {
        err = failure_set(&t->failure, ERR_TIMEOUT, "no reply came for 30 s");
    }
    return err;
}

static void *run_thread(void *context)
{
    struct load_thread *t = context;
    prctl(PR_SET_TIMERSLACK, 1UL);
    t->progress_ns = monotonic_ns();
    t->due_start_ns = t->progress_ns + (uint64_t)(t->interval_ns * t->phase);
    t->due_ns = t->due_start_ns;
    if (t->plan->rate <= 0) {
        t->err = fill_all(t, t->progress_ns);
    }
    while (!t->err && (!is_over(t, monotonic_ns()) || (any_in_flight(t) && !interrupted()))) {
        t->err = turn(t);
    }
    return NULL;
}

static int open_connection(struct load_thread *t, struct load_connection *c)
{
    vigil_options options = VIGIL_OPTIONS_INIT;
    options.endpoint = t->plan->endpoint;
    options.client_name = "vigil-bench";
    options.pipeline_max = t->plan->depth;
    int err = vigil_open(&options, &c->v);
    if (err) {
        return fail(t, NULL, err, vigil_failure_text(NULL));
    }
    c->sent_ns = calloc(t->plan->depth, sizeof *c->sent_ns);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int fd = vigil_fd(c->v);
    if (!c->sent_ns || fd < 0 || epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
        return failure_set(&t->failure, ERR_IO, "cannot poll a connection: %s", strerror(errno));
    }
    return ERR_OK;
}

static int prepare_thread(struct load_thread *t, const struct load_plan *plan, uint32_t index)
{
    t->plan = plan;
    t->random = UINT64_C(0x9e3779b97f4a7c15) * (index + 1);
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    t->count = plan->clients / plan->threads + (index < plan->clients % plan->threads);
    t->connections = calloc(t->count, sizeof *t->connections);
    t->value = malloc(plan->size);
    if (t->epoll_fd < 0 || !t->connections || !t->value) {
        return failure_set(&t->failure, ERR_NO_MEMORY, "out of memory or descriptors");
    }
    payload_make(t->value, plan->size);
    t->left = plan->operations / plan->threads + (index < plan->operations % plan->threads);
    t->left += plan->round;
    t->next_key = plan->operations / plan->threads * index;
    if (plan->rate > 0) {
        t->interval_ns = (double)NS_PER_S * plan->threads / plan->rate;
        t->phase = index / (double)plan->threads;
        t->burst_ns = t->interval_ns < BURST_NS / 2.0 ? BURST_NS : 0;
    }
    for (uint32_t i = 0; i < t->count; i++) {
        int err = open_connection(t, &t->connections[i]);
        if (err) {
            return err;
        }
    }
    return ERR_OK;
}

static void end_thread(struct load_thread *t)
{
    for (uint32_t i = 0; t->connections && i < t->count; i++) {
        vigil_close(t->connections[i].v);
        free(t->connections[i].sent_ns);
    }
    free(t->connections);
    free(t->value);
    if (t->epoll_fd >= 0) {
        close(t->epoll_fd);
    }
}

static void look_at_processes(const struct load_plan *plan, struct load_result *r,
                              struct process_figures *ret_server)
{
    r->own_cpu_ns = process_cpu_ns() - r->own_cpu_ns;
    r->device_bytes = plan->folder ? device_written_bytes(plan->folder) - r->device_bytes : 0;
    r->has_server = plan->server_pid != 0 && process_figures_read(plan->server_pid, ret_server);
}

static void merge(struct load_result *into, const struct load_thread *t)
{
    into->total += t->result.total;
    into->counted += t->result.counted;
    if (t->result.last_seq > into->last_seq) {
        into->last_seq = t->result.last_seq;
    }
    histogram_merge(&into->latency, &t->result.latency);
}

static void sleep_until(uint64_t at_ns)
{
    while (monotonic_ns() < at_ns && !interrupted()) {
        monotonic_sleep_until(at_ns);
    }
}

/* Joins the threads that run; the first one's error is the load's. */
static int join_threads(struct load *l, struct failure *failure)
{
    int err = ERR_OK;
    for (uint32_t i = 0; i < l->plan->threads && l->threads[i].started; i++) {
        struct load_thread *t = &l->threads[i];
        pthread_join(t->thread, NULL);
        merge(&l->result, t);
        if (!err && t->err) {
            err = t->err;
            *failure = t->failure;
        }
    }
    return err;
}

int load_run(struct load *l, uint64_t begin_ns, uint64_t end_ns, struct load_result *ret_result,
             struct failure *failure)
{
    const struct load_plan *plan = l->plan;
    struct load_result *result = &l->result;
    bool windowed = plan->operations == 0;
    int start_err = ERR_OK;
    for (uint32_t i = 0; i < plan->threads && !start_err; i++) {
        struct load_thread *t = &l->threads[i];
        t->begin_ns = begin_ns;
        t->end_ns = end_ns;
        t->started = !pthread_create(&t->thread, NULL, run_thread, t);
        start_err = t->started ? ERR_OK : ERR_NO_MEMORY;
    }
    if (windowed) {
        sleep_until(begin_ns);
    }
    uint64_t began_ns = monotonic_ns();
    look_at_processes(plan, result, &result->server_before);
    if (windowed) {
        sleep_until(end_ns);
        look_at_processes(plan, result, &result->server_after);
    }
    uint64_t ended_ns = monotonic_ns();
    int err = join_threads(l, failure);
    if (!windowed) {
        look_at_processes(plan, result, &result->server_after);
        ended_ns = monotonic_ns();
    }
    if (!err && start_err) {
        err = failure_set(failure, start_err, "cannot start a thread");
    }
    if (!err && interrupted()) {
        err = failure_set(failure, ERR_INTERRUPTED, "interrupted");
    }
    if (!err) {
        result->seconds = (double)(ended_ns - began_ns) / (double)NS_PER_S;
        *ret_result = *result;
    }
    return err;
}

int load_open(const struct load_plan *plan, struct load **ret_load, struct failure *failure)
{
    struct load *l = calloc(1, sizeof *l);
    if (!l || !(l->threads = calloc(plan->threads, sizeof *l->threads))) {
        free(l);
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    l->plan = plan;
    for (uint32_t i = 0; i < plan->threads; i++) {
        l->threads[i].epoll_fd = -1;
    }
    for (uint32_t i = 0; i < plan->threads; i++) {
        int err = prepare_thread(&l->threads[i], plan, i);
        if (err) {
            *failure = l->threads[i].failure;
            load_close(l);
            return err;
        }
    }
    *ret_load = l;
    return ERR_OK;
}

void load_close(struct load *l)
{
    if (l) {
        for (uint32_t i = 0; i < l->plan->threads; i++) {
            end_thread(&l->threads[i]);
        }
        free(l->threads);
        free(l);
    }
}
