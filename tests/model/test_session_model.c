/*
 * Exactly once, under everything that can happen to it: clients that pipeline
 * increments within sessions over a network that loses, repeats and reorders
 * their messages and loses replies; batches that are aborted; checkpoints in
 * slices; restarts with records that are not in a checkpoint yet.
 *
 *  - no two records have the same session and number;
 *  - a reply that comes again is the same;
 *  - in the end each client's counter is the sum of the increments that it was
 *    told of, exactly.
 *
 * ctest: TIMEOUT=120
 */
#include "tests/support/core_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CLIENTS = 6, TURNS = 20000, NUMBERS_MAX = 1 << 16, KEPT_BODY = 128, FLIGHT_MAX = 32 };

enum op_kind { KIND_INCR, KIND_TXN, KIND_FAILING };

struct operation {
    enum op_kind kind;
    uint8_t by;
    bool is_final; /* its outcome has been received */
    bool is_given_up;
    uint64_t record; /* seq of its record in the journal; 0: none seen */
    uint16_t status;
    uint64_t seq;
    uint8_t body[KEPT_BODY];
    size_t body_size;
};

struct client {
    char name[8];
    uint64_t session;
    struct operation *operations; /* of number i at i */
    uint64_t made;                /* numbers 1..made exist */
    uint64_t received;            /* all up to this one are final or given up */
    uint64_t acknowledged;
    bool gives_up; /* now and then */
};

/* A message that is in the network. */
struct message {
    struct bytes bytes;
    size_t client;
    uint64_t numbers[8];
    size_t count;
};

struct model {
    struct core_fixture f;
    struct sample random;
    struct client clients[CLIENTS];
    struct message flight[FLIGHT_MAX];
    size_t flight_count;
    struct message sent[FLIGHT_MAX]; /* in the batch at hand */
    size_t sent_count;
    uint64_t checked; /* records */
    uint64_t repeats, aborts, restarts, unknown, refused, given_up, checkpoints;
};

static bool chance(struct model *m, size_t of)
{
    return sample_below(&m->random, of) == 0;
}

/* ---- clients ---- */

static void make_operations(struct model *m, struct client *c)
{
    if (c->made - c->received > 40)
        return;
    for (size_t n = sample_below(&m->random, 5); n > 0 && c->made + 1 < NUMBERS_MAX; n--) {
        size_t kind = sample_below(&m->random, 10);
        c->operations[++c->made] =
            (struct operation){.kind = kind < 6   ? KIND_INCR
                                       : kind < 9 ? KIND_TXN
                                                  : KIND_FAILING,
                               .by = (uint8_t)(1 + sample_below(&m->random, 9))};
    }
}

static void add_operation(struct model *m, const struct client *c, uint64_t number)
{
    struct core_fixture *f = &m->f;
    const struct operation *o = &c->operations[number];
    f->next_number = number;
    if (o->kind == KIND_INCR) {
        (void)request_incr(f, c->name, o->by);
        return;
    }
    if (o->kind == KIND_FAILING) {
        (void)request_put_if(f, c->name, value_number(0), REQUEST_IF_SEQ, UINT64_MAX,
                             (struct bytes){NULL, 0});
        return;
    }
    (void)request_start(f, OP_TXN);
    wire_write_u16(&f->message, 0);
    wire_write_u16(&f->message, 2);
    txn_op_write(&f->message, &(struct txn_op){.op = OP_GET, .key = bytes_of(c->name)});
    txn_op_write(&f->message,
                 &(struct txn_op){.op = OP_INCR, .by = o->by, .key = bytes_of(c->name)});
    wire_write_u16(&f->message, 0);
    request_finish(f);
}

/* From first on, what is worth sending: not the failures that were received, which a server that
 * has forgotten them would try anew. */
static void send_from(struct model *m, size_t client, uint64_t first)
{
    struct client *c = &m->clients[client];
    struct message made = {.client = client};
    m->f.acknowledged = c->acknowledged;
    core_fixture_message(&m->f, MESSAGE_ACKNOWLEDGES, c->session);
    for (uint64_t n = first; n <= c->made && made.count < 8; n++) {
        const struct operation *o = &c->operations[n];
        if (o->is_given_up || (o->is_final && (o->status != ERR_OK || n <= c->acknowledged)))
            continue;
        add_operation(m, c, n);
        made.numbers[made.count++] = n;
    }
    if (made.count == 0 || m->flight_count == FLIGHT_MAX)
        return;
    struct bytes bytes = core_fixture_message_bytes(&m->f);
    made.bytes = (struct bytes){copy_exactly(bytes.data, bytes.size), bytes.size};
    m->flight[m->flight_count++] = made;
}

static void advance_received(struct client *c)
{
    while (c->received < c->made &&
           (c->operations[c->received + 1].is_final || c->operations[c->received + 1].is_given_up))
        c->received++;
}

static void give_up(struct model *m, struct client *c)
{
    uint64_t to = c->received + sample_below(&m->random, 4);
    for (uint64_t n = c->received + 1; n <= to && n <= c->made; n++) {
        m->given_up += !c->operations[n].is_final;
        c->operations[n].is_given_up = !c->operations[n].is_final;
    }
    advance_received(c);
}

static void client_works(struct model *m, size_t client)
{
    struct client *c = &m->clients[client];
    make_operations(m, c);
    if (c->gives_up && chance(m, 50))
        give_up(m, c);
    if (chance(m, 3) || c->received - c->acknowledged > 100)
        c->acknowledged = c->received;
    if (chance(m, 4)) /* again from some way back, also what was received */
        send_from(m, client, c->received - sample_below(&m->random, c->received + 1) % 8 + 1);
    else
        send_from(m, client, c->received + 1 + (chance(m, 10) ? sample_below(&m->random, 6) : 0));
}

/* ---- what comes back ---- */

static bool is_refusal(const struct parsed_reply *reply)
{
    uint16_t s = reply->header.status;
    return reply->header.seq != 0 && (s == ERR_ABORTED || s == ERR_LIMIT || s == ERR_BUSY);
}

static void take_reply(struct model *m, struct client *c, uint64_t number,
                       const struct parsed_reply *reply)
{
    struct operation *o = &c->operations[number];
    size_t size = wire_left(&reply->body);
    if (is_refusal(reply)) {
        m->refused++;
        if (c->acknowledged < c->received)
            c->acknowledged = c->received; /* what is missing may be a failure that is forgotten */
        return;
    }
    if (reply->header.status == ERR_OUTCOME_UNKNOWN) {
        /* It was acknowledged, by this message or one that overtook it; or it was a failure, and
         * a restart came in between. */
        assert_true(number <= c->acknowledged || o->kind == KIND_FAILING);
        m->unknown++;
        if (!o->is_final && !o->is_given_up) {
            o->is_final = true;
            o->status = ERR_OUTCOME_UNKNOWN;
        }
        advance_received(c);
        return;
    }
    assert_int_equal(reply->header.status, o->kind == KIND_FAILING ? ERR_CONFLICT : ERR_OK);
    assert_true(size <= KEPT_BODY);
    if (o->is_final && o->status != ERR_OUTCOME_UNKNOWN) {
        m->repeats++;
        assert_int_equal(reply->header.status, o->status);
        if (o->status == ERR_OK) {
            assert_int_equal(reply->header.seq, o->seq);
            assert_int_equal(size, o->body_size);
            assert_memory_equal(reply->body.at, o->body, size);
        }
        return;
    }
    o->is_final = true;
    o->status = reply->header.status;
    o->seq = reply->header.seq;
    o->body_size = size;
    memcpy(o->body, reply->body.at, size);
    advance_received(c);
}

static void take_replies(struct model *m)
{
    for (size_t i = 0; i < m->sent_count; i++) {
        const struct message *message = &m->sent[i];
        if (!chance(m, 4)) {
            for (size_t r = 0; r < message->count; r++) {
                struct parsed_reply reply = core_fixture_reply(&m->f, i, r);
                take_reply(m, &m->clients[message->client], message->numbers[r], &reply);
            }
        }
    }
}

/* No number has two records, and none that was refused or failed has one. */
static void check_records(struct model *m)
{
    while (m->checked < core_fixture_head(&m->f)) {
        struct record_header h;
        assert_int_equal(record_check(core_fixture_record(&m->f, ++m->checked), &h), ERR_OK);
        struct client *c = NULL;
        for (size_t i = 0; i < CLIENTS; i++) {
            if (m->clients[i].session == h.session)
                c = &m->clients[i];
        }
        assert_non_null(c);
        assert_in_range(h.number, 1, c->made);
        struct operation *o = &c->operations[h.number];
        assert_int_equal(o->record, 0);
        assert_int_not_equal(o->kind, KIND_FAILING);
        o->record = h.seq;
    }
}

/* ---- the network and the server ---- */

/* Some messages of those in flight arrive, in any order. Some stay and come again. */
static void deliver(struct model *m)
{
    size_t arrive = sample_below(&m->random, m->flight_count + 1);
    m->sent_count = 0;
    while (arrive-- > 0) {
        size_t i = chance(m, 3) ? sample_below(&m->random, m->flight_count) : 0;
        struct message message = m->flight[i];
        bool again = chance(m, 8);
        if (!chance(m, 10)) {
            core_fixture_send_bytes(&m->f, m->clients[message.client].name, message.bytes);
            m->sent[m->sent_count++] = message;
        }
        if (again)
            continue;
        m->flight_count--;
        memmove(&m->flight[i], &m->flight[i + 1], (m->flight_count - i) * sizeof m->flight[0]);
        free((void *)(uintptr_t)message.bytes.data);
    }
}

static void lose_flight(struct model *m)
{
    for (size_t i = 0; i < m->flight_count; i++)
        free((void *)(uintptr_t)m->flight[i].bytes.data);
    m->flight_count = 0;
}

static void run_batch(struct model *m)
{
    uint64_t applied = m->f.applied;
    core_fixture_begin(&m->f);
    deliver(m);
    if (chance(m, 2))
        core_fixture_slice(&m->f, 1 + (uint32_t)sample_below(&m->random, 3));
    if (chance(m, 15)) {
        core_fixture_abort(&m->f, ERR_NO_SPACE, NULL);
        m->aborts++;
        return; /* its replies say no more than that: all of it is sent again */
    }
    core_fixture_commit(&m->f);
    check_records(m);
    take_replies(m);
    m->checkpoints += m->f.applied != applied;
}

static void turn(struct model *m)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        if (chance(m, 2))
            client_works(m, i);
    }
    run_batch(m);
    if (chance(m, 30))
        core_checkpoint_start(m->f.core);
    if (chance(m, 200)) {
        lose_flight(m); /* clients connect anew */
        core_fixture_restart(&m->f);
        m->restarts++;
    }
}

/* ---- the whole ---- */

static void open_session(struct model *m, struct client *c)
{
    struct reply_session_open body;
    core_fixture_message(&m->f, 0, 0);
    (void)request_plain(&m->f, OP_SESSION_OPEN);
    struct parsed_reply reply = core_fixture_ask(&m->f, c->name);
    assert_true(reply_session_open_read(&reply.body, &body));
    c->session = body.session;
}

static void model_open(struct model *m, uint64_t seed)
{
    static const struct core_limits limits = {.checkpoint_keys = 1000, .checkpoint_records = 300};
    *m = (struct model){.random = {seed}};
    core_fixture_open(&m->f, seed + 1, &limits);
    for (size_t i = 0; i < CLIENTS; i++) {
        struct client *c = &m->clients[i];
        (void)snprintf(c->name, sizeof c->name, "c%zu", i);
        c->gives_up = i % 3 == 2;
        c->operations = calloc(NUMBERS_MAX, sizeof *c->operations);
        assert_non_null(c->operations);
        open_session(m, c);
    }
}

static void model_close(struct model *m)
{
    lose_flight(m);
    for (size_t i = 0; i < CLIENTS; i++)
        free(m->clients[i].operations);
    core_fixture_close(&m->f);
}

/* Nothing is made or lost any more: each client gets all of its outcomes. */
static void settle(struct model *m)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        struct client *c = &m->clients[i];
        for (unsigned tries = 0; c->received < c->made; tries++) {
            assert_true(tries < 1000);
            c->acknowledged = c->received;
            lose_flight(m);
            send_from(m, i, c->received + 1);
            run_batch(m);
        }
    }
}

static uint64_t number_of(struct bytes value)
{
    uint64_t n = value.data[0];
    if (n < 0x80)
        return n;
    n = 0;
    for (size_t i = 1; i < value.size; i++)
        n = n << 8 | value.data[i];
    return n;
}

static void check_sums(struct model *m)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        const struct client *c = &m->clients[i];
        uint64_t told = 0;
        uint64_t recorded = 0;
        for (uint64_t n = 1; n <= c->made; n++) {
            const struct operation *o = &c->operations[n];
            bool went_well = o->is_final && o->status == ERR_OK;
            assert_true(!went_well || o->record == o->seq);
            told += went_well ? o->by : 0;
            recorded += o->record ? o->by : 0;
        }
        struct reply_get got = core_fixture_get(&m->f, c->name);
        assert_int_equal(number_of(got.value), recorded);
        if (!c->gives_up)
            assert_int_equal(number_of(got.value), told);
    }
}

static void test_exactly_once(void **state)
{
    static const uint64_t seeds[] = {1, 2, 20261122};
    (void)state;
    struct model *m = malloc(sizeof *m);
    assert_non_null(m);
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        model_open(m, seeds[i]);
        for (unsigned t = 0; t < TURNS; t++)
            turn(m);
        settle(m);
        check_sums(m);
        core_fixture_restart(&m->f);
        check_sums(m);
        print_message("seed %llu: %llu records, %llu repeated, %llu refused, %llu unknown, %llu "
                      "given up; %llu aborts, %llu restarts, %llu checkpoints\n",
                      (unsigned long long)seeds[i], (unsigned long long)m->checked,
                      (unsigned long long)m->repeats, (unsigned long long)m->refused,
                      (unsigned long long)m->unknown, (unsigned long long)m->given_up,
                      (unsigned long long)m->aborts, (unsigned long long)m->restarts,
                      (unsigned long long)m->checkpoints);
        assert_true(m->repeats > 1000 && m->refused > 1000 && m->unknown > 100);
        assert_true(m->aborts > 500 && m->restarts > 50 && m->checkpoints > 50);
        model_close(m);
    }
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exactly_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
