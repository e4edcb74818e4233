/*
 * core_cases.c - a request's whole way through the core: decoded, applied, its record written, the batch
 * committed, published on the streams that match, answered; bookmarks included.
 *
 * put/ and get/: messages x requests of a batch, with one watcher of everything.
 * match/: batches of 25 puts every millisecond on one key, of which one filter sees it. Between 1 and
 * 10,000 filters, a put may differ by what the idle streams' bookmarks cost, and no more.
 */
#include "tests/instructions/cases.h"

static uint64_t requests_of_batch(const struct instruction_case *c)
{
    return (uint64_t)c->plan.messages * c->plan.requests;
}

static void prepare(const struct instruction_case *c)
{
    if (c->operations % requests_of_batch(c) != 0)
        load_give_up("the operations are no whole number of batches");
    core_load_prepare(&c->plan);
}

static void run(const struct instruction_case *c)
{
    core_load_run(c->operations / requests_of_batch(c));
}

static bool succeeded(const struct instruction_case *c)
{
    (void)c;
    return core_load_succeeded();
}

#define CASE(case_name, op_name, count, ...)                                        \
    {                                                                               \
        .name = (case_name), .operations = (count), .prepare = prepare, .run = run, \
        .succeeded = succeeded, .plan = {                                           \
            .op = (op_name),                                                        \
            __VA_ARGS__                                                             \
        }                                                                           \
    }
#define REQUESTS(m, r, us) \
    .messages = (m), .requests = (r), .batch_us = (us), .keys = 1000, .filter_count = 1
#define MATCHES(kind, count)                                                                   \
    .messages = 25, .requests = 1, .batch_us = 1000, .keys = 1, .filters = LOAD_FILTER_##kind, \
    .filter_count = (count)

const struct instruction_case core_cases[] = {
    CASE("put/1x1", OP_PUT, 2000, REQUESTS(1, 1, 80)),
    CASE("put/20x1", OP_PUT, 10000, REQUESTS(20, 1, 400)),
    CASE("put/50x16", OP_PUT, 20000, REQUESTS(50, 16, 3000)),
    CASE("get/20x1", OP_GET, 10000, REQUESTS(20, 1, 400)),
    CASE("get/50x16", OP_GET, 20000, REQUESTS(50, 16, 3000)),
    CASE("match/keys-1", OP_PUT, 25000, MATCHES(KEYS, 1)),
    CASE("match/keys-10000", OP_PUT, 25000, MATCHES(KEYS, 10000)),
    CASE("match/prefixes-1", OP_PUT, 25000, MATCHES(PREFIXES, 1)),
    CASE("match/prefixes-10000", OP_PUT, 25000, MATCHES(PREFIXES, 10000)),
    {0},
};
