#define _POSIX_C_SOURCE 200809L
/* The load of bench/peers, on a peer that is made up here: how much is in flight, what counts, and that
 * what a stall held up counts from when it was due. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bench/monotonic.h"
#include "bench/payload.h"
#include "bench/peers/load.h"

const char peer_name[] = "fake";
const char peer_address_help[] = "nothing";
const struct peer_operation peer_operations[] = {
    {.name = "put", .timed = true},
    {.name = "count", .counters = true},
};
const size_t peer_operation_count = 2;

enum { CLIENTS = 3, DEPTH = 4, QUEUE_MAX = 64 };

struct peer_clients {
    const struct peer_plan *plan;
    peer_done *done;
    void *context;
    struct {
        uint32_t client;
        uint64_t token;
    } queue[QUEUE_MAX];
    uint32_t count;
    uint32_t in_flight[CLIENTS];
};

/* What the made-up peer was told to do, and has seen. */
static struct {
    uint64_t stall_from_ns; /* 0: never */
    uint64_t stall_ns;
    uint64_t stall_end_ns;
    uint64_t fail_at; /* the operation that is refused; 0: none */
    uint64_t started;
    uint64_t done;
    uint32_t most_in_flight; /* of one client */
    uint64_t wrong_times;    /* values whose time is not their token */
    char first_key[PAYLOAD_KEY_SIZE + 1];
    char last_key[PAYLOAD_KEY_SIZE + 1];
} fake;

int peer_open(const struct peer_plan *plan, peer_done *done, void *context,
              struct peer_clients **ret_clients, struct failure *failure)
{
    struct peer_clients *c = calloc(1, sizeof *c);
    (void)failure;
    assert_non_null(c);
    c->plan = plan;
    c->done = done;
    c->context = context;
    *ret_clients = c;
    return ERR_OK;
}

int peer_start(struct peer_clients *c, uint32_t client, const char *key, const void *value,
               size_t size, uint64_t token, struct failure *failure)
{
    uint64_t time_ns = 0;
    assert_in_range(client, 0, CLIENTS - 1);
    assert_in_range(c->count, 0, QUEUE_MAX - 1);
    if (++fake.started == fake.fail_at) {
        return failure_set(failure, ERR_IO, "refused");
    }
    if (fake.started == 1) {
        strcpy(fake.first_key, key);
    }
    strcpy(fake.last_key, key);
    if (!payload_get_time(value, size, &time_ns) || time_ns != token) {
        fake.wrong_times++;
    }
    c->queue[c->count].client = client;
    c->queue[c->count].token = token;
    c->count++;
    if (++c->in_flight[client] > fake.most_in_flight) {
        fake.most_in_flight = c->in_flight[client];
    }
    return ERR_OK;
}

/* Acknowledges all that was queued at its begin, unless it stalls. */
int peer_poll(struct peer_clients *c, uint64_t timeout_ns, struct failure *failure)
{
    struct peer_clients before = *c;
    (void)failure;
    uint64_t now = monotonic_ns();
    if (fake.stall_from_ns > 0 && now >= fake.stall_from_ns && !fake.stall_end_ns) {
        fake.stall_end_ns = now + fake.stall_ns;
    }
    if (before.count == 0 || now < fake.stall_end_ns) {
        monotonic_sleep_until(now + (timeout_ns < NS_PER_MS ? timeout_ns : NS_PER_MS));
        return ERR_OK;
    }
    c->count = 0;
    for (uint32_t i = 0; i < before.count; i++) {
        c->in_flight[before.queue[i].client]--;
        fake.done++;
        c->done(c->context, before.queue[i].client, before.queue[i].token);
    }
    return ERR_OK;
}

void peer_close(struct peer_clients *c)
{
    free(c);
}

/* The library has functions that call these, but no test does. */
int peer_watch_open(const struct peer_plan *plan, peer_delivery *delivery, void *context,
                    struct peer_watch **ret_watch, struct failure *failure)
{
    (void)plan;
    (void)delivery;
    (void)context;
    (void)ret_watch;
    return failure_set(failure, ERR_INTERNAL, "not made");
}

int peer_watch_poll(struct peer_watch *w, uint64_t timeout_ns, struct failure *failure)
{
    (void)w;
    (void)timeout_ns;
    return failure_set(failure, ERR_INTERNAL, "not made");
}

void peer_watch_close(struct peer_watch *w)
{
    (void)w;
}

int peer_replay(const struct peer_plan *plan, uint64_t records, peer_delivery *delivery,
                void *context, struct failure *failure)
{
    (void)plan;
    (void)records;
    (void)delivery;
    (void)context;
    return failure_set(failure, ERR_INTERNAL, "not made");
}

/* ---- tests --------------------------------------------------------------------- */

static struct peer_plan peer;

static int set_up(void **unused)
{
    (void)unused;
    memset(&fake, 0, sizeof fake);
    peer = (struct peer_plan){.operation = &peer_operations[0],
                              .clients = CLIENTS,
                              .depth = DEPTH,
                              .size = 100,
                              .keys = 10};
    return 0;
}

static struct peer_load_plan plan_of(uint64_t warmup_ms, uint64_t ms, double rate)
{
    uint64_t begin_ns = monotonic_ns() + warmup_ms * NS_PER_MS;
    return (struct peer_load_plan){
        .peer = &peer, .rate = rate, .begin_ns = begin_ns, .end_ns = begin_ns + ms * NS_PER_MS};
}

static void test_closed_loop(void **unused)
{
    (void)unused;
    static struct peer_load_result result;
    struct failure failure = {0};
    struct peer_load_plan plan = plan_of(20, 50, 0);
    assert_int_equal(peer_load_run(&plan, &result, &failure), ERR_OK);
    assert_int_equal(fake.most_in_flight, DEPTH);
    assert_int_equal(fake.done, fake.started);
    assert_int_equal(result.total, fake.done);
    assert_true(result.counted > 0 && result.counted < result.total);
    assert_true(result.latency.count > 0 && result.latency.count < result.total);
    assert_int_equal(fake.wrong_times, 0);
    assert_true(result.seconds > 0);
    assert_true(result.client_cpu_ns > 0);
}

static void test_so_many_operations(void **unused)
{
    (void)unused;
    static struct peer_load_result result;
    struct failure failure = {0};
    struct peer_load_plan plan = {.peer = &peer, .operations = 1003};
    assert_int_equal(peer_load_run(&plan, &result, &failure), ERR_OK);
    assert_int_equal(fake.started, 1003);
    assert_int_equal(result.total, 1003);
    assert_int_equal(result.counted, 1003);
    assert_string_equal(fake.first_key, "bench/00000000");
    assert_string_equal(fake.last_key, "bench/00000002");
}

static void test_counters_have_keys_of_their_own(void **unused)
{
    (void)unused;
    static struct peer_load_result result;
    struct failure failure = {0};
    peer.operation = &peer_operations[1];
    struct peer_load_plan plan = {.peer = &peer, .operations = 1};
    assert_int_equal(peer_load_run(&plan, &result, &failure), ERR_OK);
    assert_string_equal(fake.first_key, "bench/50000000");
}

/* 1000 a second, at most 12 in flight: during a stall of 200 ms most could not even be sent. Each of the
 * 200 counts, from when it was due: half of them have waited for half of the stall, or longer. */
static void test_a_stall_counts(void **unused)
{
    (void)unused;
    static struct peer_load_result result;
    struct failure failure = {0};
    struct peer_load_plan plan = plan_of(200, 400, 1000);
    fake.stall_from_ns = plan.begin_ns + 50 * NS_PER_MS;
    fake.stall_ns = 200 * NS_PER_MS;
    assert_int_equal(peer_load_run(&plan, &result, &failure), ERR_OK);
    assert_true(fake.stall_end_ns > 0);
    assert_int_equal(fake.most_in_flight, DEPTH);
    assert_int_equal(fake.wrong_times, 0);
    assert_int_equal(result.total, fake.started);
    assert_int_equal(result.unsent, 0);
    assert_in_range(result.latency.count, 399, 401);
    uint64_t waited = 0;
    for (unsigned quarter = 0; quarter < 400; quarter++) {
        waited += histogram_percentile(&result.latency, quarter / 4.0) >= fake.stall_ns / 2;
    }
    assert_true(waited >= 90);
}

/* What was due in the window is sent even when the window is over. */
static void test_what_was_due_is_sent_late(void **unused)
{
    (void)unused;
    static struct peer_load_result result;
    struct failure failure = {0};
    struct peer_load_plan plan = plan_of(200, 100, 1000);
    fake.stall_from_ns = plan.begin_ns;
    fake.stall_ns = 200 * NS_PER_MS;
    assert_int_equal(peer_load_run(&plan, &result, &failure), ERR_OK);
    assert_in_range(result.latency.count, 99, 101);
    assert_true(result.counted < result.latency.count / 2);
    assert_int_equal(result.unsent, 0);
}

static void test_a_refusal_ends_it(void **unused)
{
    (void)unused;
    static struct peer_load_result result;
    struct failure failure = {0};
    struct peer_load_plan plan = {.peer = &peer, .operations = 1000};
    fake.fail_at = 500;
    assert_int_equal(peer_load_run(&plan, &result, &failure), ERR_IO);
    assert_string_equal(failure.text, "refused");
    assert_int_equal(fake.started, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_closed_loop, set_up),
        cmocka_unit_test_setup(test_so_many_operations, set_up),
        cmocka_unit_test_setup(test_counters_have_keys_of_their_own, set_up),
        cmocka_unit_test_setup(test_a_stall_counts, set_up),
        cmocka_unit_test_setup(test_what_was_due_is_sent_late, set_up),
        cmocka_unit_test_setup(test_a_refusal_ends_it, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
