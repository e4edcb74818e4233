/*
 * test_client_session.c - what libvigil sends, and sends again, and what it tells the application,
 * against a server whose every reply the test chooses.
 *
 * ctest: TIMEOUT=120
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/fake_server.h"

static struct fake_server s;

static int set_up(void **state)
{
    (void)state;
    fake_open(&s, (vigil_options){.request_timeout_ms = 60000});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_close(&s);
    return 0;
}

static void send_puts(int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(vigil_send_put(s.v, "k", "\x01", 1, NULL, NULL), VIGIL_OK);
}

/* Sends count puts as one message; it arrives with these numbers. */
static void put_message(int count, uint64_t acknowledged, uint64_t first_number)
{
    send_puts(count);
    vigil_flush(s.v);
    fake_take(&s);
    assert_int_equal(s.header.count, count);
    assert_int_equal(s.header.acknowledged, acknowledged);
    for (int i = 0; i < count; i++)
        assert_int_equal(s.requests[i].number, first_number + (uint64_t)i);
}

static void expect_message(int count, uint64_t acknowledged, uint64_t first_number)
{
    fake_take(&s);
    assert_int_equal(s.header.session, s.session);
    assert_int_equal(s.header.count, count);
    assert_int_equal(s.header.acknowledged, acknowledged);
    assert_int_equal(s.requests[0].number, first_number);
}

static void open_session(void)
{
    send_puts(1);
    fake_grant_session(&s);
    expect_message(1, 0, 1);
    fake_answer(&s);
    fake_wait_outcomes(&s, 1);
    assert_int_equal(s.outcomes[0].error, VIGIL_OK);
    s.outcome_count = 0;
}

static void expect_outcomes(size_t count, int error)
{
    fake_wait_outcomes(&s, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(s.outcomes[i].error, error);
    for (size_t i = 1; i < count; i++)
        assert_true(s.outcomes[i].id > s.outcomes[i - 1].id);
    s.outcome_count = 0;
}

static void the_first_mutation_opens_a_session(void **state)
{
    (void)state;
    assert_int_equal(vigil_send_get(s.v, "k", NULL), VIGIL_OK);
    fake_take(&s);
    assert_int_equal(s.requests[0].op, OP_GET);
    assert_int_equal(s.header.session, 0);
    fake_answer(&s);
    fake_wait_outcomes(&s, 1);
    s.outcome_count = 0;
    open_session();
    put_message(3, 1, 2);
    assert_int_equal(s.header.session, s.session);
    fake_answer(&s);
    expect_outcomes(3, VIGIL_OK);
}

static void a_lost_reply_is_asked_for_again(void **state)
{
    (void)state;
    open_session();
    send_puts(2);
    assert_int_equal(vigil_send_get(s.v, "k", NULL), VIGIL_OK);
    send_puts(1);
    for (int round = 0; round < 3; round++) {
        expect_message(4, 1, 2);
        assert_int_equal(s.requests[1].number, 3);
        assert_int_equal(s.requests[2].number, 0);
        assert_int_equal(s.requests[3].number, 4);
        if (round < 2)
            fake_drop(&s);
    }
    fake_answer(&s);
    expect_outcomes(4, VIGIL_OK);
    put_message(1, 4, 5);
}

/* What was queued behind the lost message stays behind it. */
static void what_is_sent_again_keeps_its_order(void **state)
{
    (void)state;
    open_session();
    put_message(1, 1, 2);
    put_message(1, 1, 3);
    fake_drop(&s);
    send_puts(1);
    expect_message(1, 1, 2);
    fake_answer(&s);
    expect_message(1, 1, 3);
    fake_answer(&s);
    expect_message(1, 1, 4);
    fake_answer(&s);
    expect_outcomes(3, VIGIL_OK);
}

static void an_older_server_does_without(void **state)
{
    (void)state;
    send_puts(1);
    fake_take(&s);
    assert_int_equal(s.requests[0].op, OP_SESSION_OPEN);
    fake_answer_from(&s, 0, ERR_UNKNOWN_OP, 0);
    fake_take(&s);
    assert_int_equal(s.header.session, 0);
    assert_int_equal(s.header.flags, 0);
    assert_int_equal(s.requests[0].number, 0);
    fake_answer(&s);
    expect_outcomes(1, VIGIL_OK);

    /* Not to be sent again: it and what was to follow it end. Reads are. */
    assert_int_equal(vigil_send_get(s.v, "k", NULL), VIGIL_OK);
    send_puts(1);
    vigil_flush(s.v);
    fake_take(&s);
    send_puts(1);
    fake_drop(&s);
    fake_take(&s);
    assert_int_equal(s.header.count, 1);
    assert_int_equal(s.requests[0].op, OP_GET);
    fake_answer(&s);
    fake_wait_outcomes(&s, 3);
    assert_int_equal(s.outcomes[0].error, VIGIL_OK);
    assert_int_equal(s.outcomes[1].error, VIGIL_DISCONNECTED);
    assert_int_equal(s.outcomes[2].error, VIGIL_DISCONNECTED);
}

static void nothing_is_numbered_if_the_application_says_so(void **state)
{
    (void)state;
    fake_close(&s);
    fake_open(&s, (vigil_options){.no_session = true});
    send_puts(2);
    fake_take(&s);
    assert_int_equal(s.header.session, 0);
    assert_int_equal(s.requests[0].number, 0);
    assert_int_equal(s.requests[1].number, 0);
    fake_drop(&s);
    expect_outcomes(2, VIGIL_DISCONNECTED);
}

static void a_forgotten_session_is_replaced(void **state)
{
    (void)state;
    open_session();
    send_puts(1);
    vigil_flush(s.v);
    send_puts(2);
    vigil_flush(s.v);
    expect_message(1, 1, 2);
    fake_answer_from(&s, 0, ERR_OUTCOME_UNKNOWN, 0);
    expect_message(2, 1, 3);
    assert_false(fake_has_message(&s)); /* first everything must be answered */
    fake_answer_from(&s, 0, ERR_OUTCOME_UNKNOWN, 0);
    fake_grant_session(&s);
    expect_message(1, 0, 1);
    fake_answer(&s);
    expect_message(2, 0, 2);
    fake_answer(&s);
    expect_outcomes(3, VIGIL_OK);
}

static void what_may_have_been_applied_is_not_sent_elsewhere(void **state)
{
    (void)state;
    open_session();
    put_message(2, 1, 2);
    fake_drop(&s);
    send_puts(1);
    expect_message(2, 1, 2);
    fake_answer_from(&s, 0, ERR_OUTCOME_UNKNOWN, 0);
    expect_message(1, 1, 4);
    fake_answer_from(&s, 0, ERR_OUTCOME_UNKNOWN, 0);
    fake_grant_session(&s);
    expect_message(1, 0, 1);
    fake_answer(&s);
    fake_wait_outcomes(&s, 3);
    assert_int_equal(s.outcomes[0].error, VIGIL_OUTCOME_UNKNOWN);
    assert_int_equal(s.outcomes[1].error, VIGIL_OUTCOME_UNKNOWN);
    assert_int_equal(s.outcomes[2].error, VIGIL_OK);
}

static void another_journal_leaves_outcomes_unknown(void **state)
{
    (void)state;
    open_session();
    assert_int_equal(vigil_send_get(s.v, "k", NULL), VIGIL_OK);
    send_puts(1);
    vigil_flush(s.v);
    fake_take(&s);
    s.epoch++;
    fake_drop(&s);
    send_puts(1);
    fake_take(&s); /* the read, as it was; the outcomes stay in order */
    assert_int_equal(s.header.count, 1);
    assert_int_equal(s.requests[0].op, OP_GET);
    assert_int_equal(s.outcome_count, 0);
    fake_answer(&s);
    fake_grant_session(&s);
    expect_message(1, 0, 1);
    fake_answer(&s);
    fake_wait_outcomes(&s, 3);
    assert_int_equal(s.outcomes[0].error, VIGIL_OK);
    assert_int_equal(s.outcomes[1].error, VIGIL_OUTCOME_UNKNOWN);
    assert_int_equal(s.outcomes[2].error, VIGIL_OK);
}

static void what_was_not_taken_is_sent_again(void **state)
{
    (void)state;
    const int not_now[] = {ERR_ABORTED, ERR_LIMIT, ERR_BUSY};
    uint64_t number = 2;
    open_session();
    for (size_t i = 0; i < sizeof not_now / sizeof not_now[0]; i++) {
        put_message(3, number - 1, number);
        fake_answer_from(&s, 1, not_now[i], number + 1);
        expect_message(2, number, number + 1);
        fake_answer_from(&s, 0, not_now[i], number + 1); /* again, a little later */
        expect_message(2, number, number + 1);
        fake_answer(&s);
        expect_outcomes(3, VIGIL_OK);
        number += 3;
    }
    /* With seq 0 the number was taken, and this is the outcome. */
    put_message(1, number - 1, number);
    fake_answer_from(&s, 0, ERR_LIMIT, 0);
    expect_outcomes(1, VIGIL_LIMIT);
    put_message(1, number, number + 1);
}

static void a_full_disk_is_told_unless_an_earlier_copy_may_come(void **state)
{
    (void)state;
    open_session();
    put_message(1, 1, 2);
    fake_answer_from(&s, 0, ERR_NO_SPACE, 0);
    expect_outcomes(1, VIGIL_NO_SPACE);
    put_message(1, 2, 3); /* the number was given up */
    fake_drop(&s);
    expect_message(1, 2, 3);
    fake_answer_from(&s, 0, ERR_NO_SPACE, 0);
    expect_outcomes(1, VIGIL_OUTCOME_UNKNOWN);
}

static void no_more_than_the_window_is_under_way(void **state)
{
    (void)state;
    enum { COUNT = 5000, WINDOW = 2000 };
    uint64_t answered = 1;
    s.window = WINDOW;
    open_session();
    send_puts(COUNT);
    while (answered < COUNT + 1) {
        fake_take(&s);
        uint64_t newest = s.requests[s.header.count - 1].number;
        assert_true(newest - s.header.acknowledged <= WINDOW);
        assert_true(s.header.acknowledged <= answered);
        assert_int_equal(s.requests[0].number, answered + 1);
        if (answered == 1)
            assert_false(s.header.count == COUNT);
        answered = newest;
        fake_answer(&s);
    }
    expect_outcomes(COUNT, VIGIL_OK);
}

/* The failure is not acknowledged while something that was sent behind it may still arrive. */
static void a_failure_holds_what_was_sent_behind_it(void **state)
{
    (void)state;
    open_session();
    vigil_stop_on_error(s.v, true);
    send_puts(2);
    vigil_flush(s.v);
    send_puts(2);
    vigil_flush(s.v);
    vigil_stop_on_error(s.v, false);
    send_puts(1);
    vigil_flush(s.v);
    expect_message(2, 1, 2);
    fake_answer_from(&s, 1, ERR_CONFLICT, 9); /* number 3 */
    expect_message(2, 1, 4);
    expect_message(1, 1, 6);
    fake_wait_outcomes(&s, 2);
    fake_drop(&s);
    expect_message(1, 2, 6); /* what stops is aborted here; 3 to 5 are not acknowledged yet */
    fake_answer_from(&s, 0, ERR_ABORTED, 3);
    expect_message(1, 2, 6);
    fake_answer(&s);
    fake_wait_outcomes(&s, 5);
    assert_int_equal(s.outcomes[0].error, VIGIL_OK);
    assert_int_equal(s.outcomes[1].error, VIGIL_CONFLICT);
    assert_int_equal(s.outcomes[2].error, VIGIL_ABORTED);
    assert_int_equal(s.outcomes[3].error, VIGIL_ABORTED);
    assert_int_equal(s.outcomes[4].error, VIGIL_OK);
    put_message(1, 6, 7);
}

static void what_is_given_up_is_acknowledged(void **state)
{
    (void)state;
    fake_close(&s);
    fake_open(&s, (vigil_options){.request_timeout_ms = 300});
    open_session();
    put_message(2, 1, 2);
    while (s.outcome_count < 2 || fake_has_message(&s))
        (void)fake_has_message(&s); /* again, over another connection */
    expect_outcomes(2, VIGIL_DISCONNECTED);
    put_message(1, 3, 4);
    fake_answer(&s);
    expect_outcomes(1, VIGIL_OK);
}

/* A connection that says nothing any more is replaced while there is still time. */
static void silence_is_answered_by_another_connection(void **state)
{
    (void)state;
    fake_close(&s);
    fake_open(&s, (vigil_options){.request_timeout_ms = 8000});
    open_session();
    put_message(1, 1, 2);
    expect_message(1, 1, 2); /* over another one */
    fake_answer(&s);
    expect_outcomes(1, VIGIL_OK);
}

static void closing_ends_the_session(void **state)
{
    (void)state;
    open_session();
    vigil *v = s.v;
    s.v = NULL;
    vigil_close(v);
    zmq_pollitem_t item = {.socket = s.router, .events = ZMQ_POLLIN};
    zmq_msg_t m;
    assert_int_equal(zmq_poll(&item, 1, FAKE_PATIENCE_MS), 1);
    zmq_msg_init(&m);
    assert_true(zmq_msg_recv(&m, s.router, 0) >= 0);
    assert_true(zmq_msg_recv(&m, s.router, 0) >= 0);
    const uint8_t *data = zmq_msg_data(&m);
    assert_int_equal(data[REQUEST_MESSAGE_HEADER_SIZE + 4], OP_SESSION_CLOSE);
    zmq_msg_close(&m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_mutation_opens_a_session),
        TEST(a_lost_reply_is_asked_for_again),
        TEST(what_is_sent_again_keeps_its_order),
        TEST(an_older_server_does_without),
        TEST(nothing_is_numbered_if_the_application_says_so),
        TEST(a_forgotten_session_is_replaced),
        TEST(what_may_have_been_applied_is_not_sent_elsewhere),
        TEST(another_journal_leaves_outcomes_unknown),
        TEST(what_was_not_taken_is_sent_again),
        TEST(a_full_disk_is_told_unless_an_earlier_copy_may_come),
        TEST(no_more_than_the_window_is_under_way),
        TEST(a_failure_holds_what_was_sent_behind_it),
        TEST(what_is_given_up_is_acknowledged),
        TEST(silence_is_answered_by_another_connection),
        TEST(closing_ends_the_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
