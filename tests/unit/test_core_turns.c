/*
 * Turns: the queues against simulated time, who may write meanwhile, and that everybody who contends
 * for one key gets through after a bounded number of tries.
 */
#include "server/core/turns.h"
#include "tests/support/core_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct turns t;
static struct filter filter;

static int setup(void **state)
{
    (void)state;
    t = (struct turns){.seed = {1, 2}};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    turns_free(&t);
    return 0;
}

/* A pattern that ends in * is a prefix; NULL: one only. */
static const struct filter *of(const char *first, const char *second)
{
    struct pattern patterns[2];
    const char *texts[] = {first, second};
    size_t count = second ? 2 : 1;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(texts[i]);
        bool is_prefix = size > 0 && texts[i][size - 1] == '*';
        patterns[i] = (struct pattern){is_prefix ? PATTERN_PREFIX : PATTERN_EXACT,
                                       {(const uint8_t *)texts[i], size - is_prefix}};
    }
    assert_int_equal(filter_init(&filter, patterns, count), ERR_OK);
    return &filter;
}

static struct turn_answer take(const char *peer, const char *first, const char *second,
                               uint64_t now_ms)
{
    struct turn_answer answer = {0};
    assert_int_equal(turns_take(&t, bytes_of(peer), of(first, second), now_ms, &answer), ERR_OK);
    return answer;
}

static bool forbidden(const char *peer, const char *key, uint64_t now_ms)
{
    return turns_forbid(&t, bytes_of(peer), bytes_of(key), now_ms);
}

static void test_first_come_first_served(void **state)
{
    (void)state;
    struct turn_answer answer = take("a", "k", NULL, 1000);
    assert_true(answer.granted);
    assert_int_equal(answer.left_ms, TURN_MS);
    answer = take("b", "k", NULL, 1001);
    assert_false(answer.granted);
    assert_int_equal(answer.ahead, 1);
    assert_int_equal(answer.left_ms, TURN_PLACE_MS);
    assert_int_equal(take("c", "k", NULL, 1002).ahead, 2);
    assert_true(take("d", "other", NULL, 1003).granted);
    assert_true(forbidden("b", "k", 1003));
    assert_true(forbidden("nobody", "k", 1003));
    assert_false(forbidden("a", "k", 1003));
    assert_false(forbidden("b", "kk", 1003));
    turns_leave(&t, bytes_of("a"));
    assert_false(forbidden("c", "k", 1004)); /* b has not asked yet */
    assert_int_equal(take("c", "k", NULL, 1005).ahead, 1);
    assert_true(take("b", "k", NULL, 1006).granted);
    assert_true(forbidden("c", "k", 1006));
    turns_leave(&t, bytes_of("nobody"));
}

static void test_a_turn_ends(void **state)
{
    (void)state;
    assert_true(take("a", "k", NULL, 1000).granted);
    assert_false(take("b", "k", NULL, 1000).granted);
    /* Asking again does not make it longer. */
    assert_int_equal(take("a", "k", NULL, 1000 + TURN_MS - 1).left_ms, 1);
    assert_true(forbidden("b", "k", 1000 + TURN_MS - 1));
    assert_false(forbidden("b", "k", 1000 + TURN_MS));
    assert_true(take("b", "k", NULL, 1000 + TURN_MS).granted);
    assert_int_equal(take("a", "k", NULL, 1000 + TURN_MS).ahead, 1); /* at the end again */
}

static void test_who_waits_and_dies_is_passed_by(void **state)
{
    (void)state;
    assert_true(take("a", "k", NULL, 1000).granted);
    assert_false(take("dead", "k", NULL, 1000).granted);
    assert_int_equal(take("c", "k", NULL, 1000).ahead, 2);
    assert_int_equal(take("c", "k", NULL, 1249).ahead, 1); /* a's turn is over */
    assert_true(take("c", "k", NULL, 1000 + TURN_PLACE_MS).granted);
}

static void test_several_patterns_are_one_place(void **state)
{
    (void)state;
    assert_true(take("a", "x", "y", 1000).granted);
    assert_int_equal(take("b", "y", "z", 1000).ahead, 1);
    assert_int_equal(take("c", "z", "x", 1000).ahead, 1); /* behind a at x, behind b at z */
    assert_true(take("d", "w", NULL, 1000).granted);
    turns_leave(&t, bytes_of("a"));
    assert_int_equal(take("c", "x", "z", 1001).ahead, 1);
    assert_true(take("b", "y", "z", 1001).granted);
    assert_true(forbidden("c", "y", 1001));
    assert_true(forbidden("c", "z", 1001));
    assert_false(forbidden("c", "x", 1001));
    /* Another filter is another place, behind all. */
    assert_int_equal(take("b", "x", "z", 1002).ahead, 1);
    assert_true(take("c", "x", "z", 1002).granted);
}

static void test_prefixes(void **state)
{
    (void)state;
    assert_true(take("a", "jobs/*", NULL, 1000).granted);
    assert_true(forbidden("b", "jobs/1", 1000));
    assert_true(forbidden("b", "jobs/", 1000));
    assert_false(forbidden("b", "jobs", 1000));
    assert_int_equal(take("b", "jobs/*", NULL, 1000).ahead, 1);
    /* A key below it may have its turn, but the older one goes first. */
    assert_true(take("c", "jobs/1", NULL, 1001).granted);
    assert_true(forbidden("c", "jobs/1", 1001));
    assert_false(forbidden("a", "jobs/1", 1001));
    assert_true(forbidden("d", "jobs/1", 1001));
    turns_leave(&t, bytes_of("a"));
    assert_true(take("b", "jobs/*", NULL, 1002).granted);
    assert_false(forbidden("c", "jobs/1", 1002));
    assert_true(forbidden("b", "jobs/1", 1002));
    assert_false(forbidden("b", "jobs/2", 1002));
    /* Everything. */
    assert_true(take("e", "*", NULL, 1003).granted);
    assert_true(forbidden("f", "anything", 1003));
}

static void test_limits(void **state)
{
    (void)state;
    char text[32];
    struct turn_answer answer;
    for (int i = 0; i < LIMIT_TURN_PREFIXES; i++) {
        (void)snprintf(text, sizeof text, "%d/*", i);
        assert_true(take(text, text, NULL, 1000).granted);
    }
    assert_int_equal(turns_take(&t, bytes_of("p"), of("one more*", NULL), 1000, &answer),
                     ERR_LIMIT);
    assert_int_equal(turns_take(&t, bytes_of("p"), of("a", "one more*"), 1000, &answer), ERR_LIMIT);
    assert_true(take("q", "a", NULL, 1000).granted); /* nothing was left behind */
    assert_int_equal(take("r", "1/*", NULL, 1000).ahead, 1);
    for (int i = LIMIT_TURN_PREFIXES + 2; i < LIMIT_TURN_PLACES; i++) {
        (void)snprintf(text, sizeof text, "peer %d", i);
        (void)take(text, "k", NULL, 1000);
    }
    assert_int_equal(turns_take(&t, bytes_of("p"), of("b", NULL), 1000, &answer), ERR_LIMIT);
    assert_int_equal(take(text, "k", NULL, 1001).ahead, TURN_AHEAD_MAX);
    turns_sweep(&t, 1000 + TURN_PLACE_MS);
    assert_int_equal(t.places.count, 1);
    turns_sweep(&t, 1001 + TURN_PLACE_MS); /* not due yet */
    assert_int_equal(t.places.count, 1);
    turns_sweep(&t, 1000 + 2 * TURN_PLACE_MS);
    assert_int_equal(t.places.count, 0);
    assert_int_equal(t.queues.count, 0);
    assert_int_equal(t.prefixes, 0);
    assert_int_equal(t.turns, 0);
}

/* ---- fairness ---- */

enum { CONTENDERS = 64, TRIES = 8, TIMES = 5 };

/* One that adds to the counter by reading it and writing if it has not changed meanwhile. */
struct contender {
    char name[8];
    uint64_t ready_ms; /* does nothing before */
    uint64_t read;     /* what it believes the counter to be */
    unsigned tries;    /* since its last success */
    unsigned done;
    bool waits;
    bool dead;
};

/* One step of a contender: its reply comes 1 to 3 ms later. Returns whether it got through. */
static bool contend(struct contender *c, uint64_t *counter, struct sample *random, uint64_t now_ms)
{
    c->ready_ms = now_ms + 1 + sample_below(random, 3);
    if (c->waits) {
        c->waits = !take(c->name, "counter", NULL, now_ms).granted;
        return false;
    }
    c->tries++;
    if (c->read == *counter && !forbidden(c->name, "counter", now_ms)) {
        turns_leave(&t, bytes_of(c->name));
        c->read = ++*counter;
        c->tries = 0;
        return true;
    }
    /* Those who were forbidden, or have tried often enough, queue up. */
    c->waits = c->read == *counter || c->tries >= TRIES;
    c->read = *counter;
    return false;
}

static void test_everybody_gets_through(void **state)
{
    (void)state;
    static struct contender contenders[CONTENDERS];
    struct sample random = {7};
    uint64_t counter = 0;
    unsigned most_tries = 0;
    unsigned left = CONTENDERS;
    uint64_t now_ms = 1000;
    for (unsigned i = 0; i < CONTENDERS; i++) {
        contenders[i] = (struct contender){.ready_ms = now_ms};
        (void)snprintf(contenders[i].name, sizeof contenders[i].name, "%u", i);
    }
    for (; left > 0; now_ms++) {
        assert_true(now_ms < 100000);
        for (unsigned i = 0; i < CONTENDERS; i++) {
            struct contender *c = &contenders[i];
            if (c->dead || c->done == TIMES || c->ready_ms > now_ms)
                continue;
            /* Some die, as they wait or have their turn. */
            if (c->waits && i % 16 == 3 && sample_below(&random, 4) == 0) {
                c->dead = true;
                left--;
                continue;
            }
            if (contend(c, &counter, &random, now_ms))
                left -= ++c->done == TIMES;
            most_tries = c->tries > most_tries ? c->tries : most_tries;
        }
    }
    for (unsigned i = 0; i < CONTENDERS; i++) {
        assert_true(contenders[i].dead || contenders[i].done == TIMES);
        assert_int_equal(contenders[i].dead, i % 16 == 3);
    }
    /* As many as it takes to queue up, then at most one that failed on the way, and one more. */
    print_message("%llu of %d in %llu ms; at most %u tries\n", (unsigned long long)counter,
                  CONTENDERS * TIMES, (unsigned long long)(now_ms - 1000), most_tries);
    assert_true(most_tries <= 2 * TRIES);
}

/* ---- through the core ---- */

static struct parsed_reply ask_turn(struct core_fixture *f, const char *peer, uint8_t action,
                                    const char *key)
{
    struct wire_buffer bytes;
    wire_buffer_init(&bytes, 1024);
    if (key)
        filter_write(&bytes, of(key, NULL));
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_TURN);
    request_turn_write(
        &f->message, &(struct request_turn){.action = action, .filter = {bytes.data, bytes.size}});
    request_finish(f);
    wire_buffer_free(&bytes);
    return core_fixture_ask(f, peer);
}

static bool granted(struct core_fixture *f, const char *peer, const char *key)
{
    struct parsed_reply reply = ask_turn(f, peer, TURN_TAKE, key);
    struct reply_turn body;
    assert_int_equal(reply.header.status, ERR_OK);
    assert_true(reply_turn_read(&reply.body, &body));
    return body.granted;
}

/* The key is absent or not, as given; then 7 is put there. */
static int put_if(struct core_fixture *f, const char *peer, uint8_t flags, const char *key,
                  bool exists)
{
    core_fixture_message(f, 0, 0);
    f->next_flags = flags;
    (void)request_start(f, OP_TXN);
    wire_write_u16(&f->message, 1);
    txn_compare_write(
        &f->message,
        &(struct txn_compare){COMPARE_EXISTS, COMPARE_EQUAL, exists, bytes_of(key), {NULL, 0}});
    wire_write_u16(&f->message, 2);
    txn_op_write(&f->message, &(struct txn_op){OP_GET, 0, bytes_of("read"), {NULL, 0}});
    txn_op_write(&f->message, &(struct txn_op){OP_PUT, 0, bytes_of(key), value_number(7)});
    wire_write_u16(&f->message, 0);
    request_finish(f);
    return core_fixture_ask(f, peer).header.status;
}

static void test_transactions_respect_turns(void **state)
{
    (void)state;
    struct core_fixture *f = malloc(sizeof *f);
    core_fixture_open(f, 11, NULL);
    assert_int_equal(put_if(f, "a", REQUEST_ATOMIC, "k", false), ERR_OK);
    assert_true(granted(f, "a", "k"));
    assert_true(granted(f, "a", "k"));
    assert_false(granted(f, "b", "k"));
    assert_int_equal(put_if(f, "b", REQUEST_ATOMIC, "k", true), ERR_CONFLICT);
    assert_int_equal(put_if(f, "b", REQUEST_ATOMIC, "k", false), ERR_OK); /* does not hold anyway */
    assert_int_equal(put_if(f, "b", 0, "k", true), ERR_OK);
    assert_int_equal(put_if(f, "b", REQUEST_ATOMIC, "other", false), ERR_OK);
    assert_true(granted(f, "c", "read"));
    assert_int_equal(put_if(f, "a", REQUEST_ATOMIC, "k", true), ERR_OK); /* which ends the turn */
    assert_int_equal(put_if(f, "b", REQUEST_ATOMIC, "k", true), ERR_OK); /* and b's place */
    assert_true(granted(f, "d", "k"));
    assert_int_equal(ask_turn(f, "d", TURN_LEAVE, NULL).header.status, ERR_OK);
    assert_int_equal(put_if(f, "b", REQUEST_ATOMIC, "k", true), ERR_OK);
    /* The clock of the batches is the turns'. */
    assert_true(granted(f, "d", "k"));
    f->now_ms += TURN_MS;
    assert_int_equal(put_if(f, "b", REQUEST_ATOMIC, "k", true), ERR_OK);
    /* What is not valid. */
    assert_int_equal(ask_turn(f, "d", TURN_TAKE, NULL).header.status, ERR_MALFORMED);
    assert_int_equal(ask_turn(f, "d", TURN_LEAVE, "k").header.status, ERR_MALFORMED);
    assert_int_equal(ask_turn(f, "d", 3, "k").header.status, ERR_INVALID);
    core_fixture_close(f);
    free(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_first_come_first_served),
        TEST(test_a_turn_ends),
        TEST(test_who_waits_and_dies_is_passed_by),
        TEST(test_several_patterns_are_one_place),
        TEST(test_prefixes),
        TEST(test_limits),
        TEST(test_everybody_gets_through),
        TEST(test_transactions_respect_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
