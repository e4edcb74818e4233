/*
 * test_client_session.c - the numbers of a session: when it is opened, what is acknowledged, how
 * far one may go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/session.h"

enum { WINDOW = 4096 };

static void take_reply(struct client_session *s, uint16_t status, uint64_t id, uint32_t window,
                       int64_t now_ms)
{
    struct wire_buffer b;
    struct reply_session_open body = {.session = id, .window = window, .idle_s = 60};
    wire_buffer_init(&b, 1024);
    reply_session_open_write(&b, &body);
    client_session_take_reply(s, &(struct reply_message_header){.epoch = 5},
                              &(struct reply_header){.op = OP_SESSION_OPEN, .status = status},
                              status ? wire_reader_of(NULL, 0) : wire_reader_of(b.data, b.size),
                              now_ms);
    wire_buffer_free(&b);
}

static struct client_session opened(void)
{
    struct client_session s;
    client_session_init(&s, false);
    assert_true(client_session_wanted(&s, 0));
    s.state = SESSION_OPENING;
    assert_true(client_session_wanted(&s, 0));
    take_reply(&s, ERR_OK, 7, WINDOW, 0);
    assert_true(client_session_is_open(&s));
    assert_false(client_session_wanted(&s, 0));
    assert_int_equal(s.id, 7);
    assert_int_equal(s.epoch, 5);
    return s;
}

static void it_is_opened_where_the_server_can(void **state)
{
    (void)state;
    struct client_session s = opened();
    client_session_lost(&s);
    assert_true(client_session_is_open(&s)); /* it outlives a connection */
    client_session_forget(&s);
    assert_true(client_session_wanted(&s, 0));

    take_reply(&s, ERR_UNKNOWN_OP, 0, 0, 0);
    assert_false(client_session_wanted(&s, INT64_MAX - 1));
    client_session_lost(&s); /* the next server may be another */
    assert_true(client_session_wanted(&s, 0));

    take_reply(&s, ERR_LIMIT, 0, 0, 100);
    assert_false(client_session_wanted(&s, 100 + SESSION_RETRY_MS - 1));
    assert_true(client_session_wanted(&s, 100 + SESSION_RETRY_MS));

    take_reply(&s, ERR_OK, 0, WINDOW, 0); /* no session at all */
    assert_int_equal(s.state, SESSION_REFUSED);
    take_reply(&s, ERR_OK, 7, SESSION_MESSAGE_MUTATIONS - 1, 0);
    assert_int_equal(s.state, SESSION_REFUSED);

    client_session_init(&s, true);
    assert_false(client_session_wanted(&s, 0));
    client_session_forget(&s);
    assert_false(client_session_wanted(&s, 0));
}

static void acknowledged_follows_the_oldest_that_is_open(void **state)
{
    (void)state;
    struct client_session s = opened();
    assert_int_equal(client_session_acknowledge(&s, 0), 0);
    s.last_number = 10;
    assert_int_equal(client_session_acknowledge(&s, 1), 0);
    assert_int_equal(client_session_acknowledge(&s, 4), 3);
    assert_int_equal(client_session_acknowledge(&s, 3), 3); /* never back */
    assert_int_equal(client_session_acknowledge(&s, 0), 10);
}

static void the_window_bounds_what_is_under_way(void **state)
{
    (void)state;
    struct client_session s = opened();
    assert_true(client_session_has_room(&s, WINDOW));
    assert_false(client_session_has_room(&s, WINDOW + 1));
    s.last_number = 4000;
    assert_true(client_session_has_room(&s, 96));
    assert_false(client_session_has_room(&s, 97));
    client_session_acknowledge(&s, 1001);
    assert_true(client_session_has_room(&s, 1096));
    assert_false(client_session_has_room(&s, 1097));
}

static void a_failure_that_stops_is_held(void **state)
{
    (void)state;
    struct client_session s = opened();
    s.last_number = 20;
    client_session_acknowledge(&s, 8);
    client_session_stopped(&s, 10);
    s.last_number = 25;             /* what does not stop goes on */
    client_session_stopped(&s, 12); /* the first counts */
    assert_int_equal(client_session_acknowledge(&s, 9), 8);
    assert_int_equal(client_session_acknowledge(&s, 11), 9);
    assert_int_equal(client_session_acknowledge(&s, 20), 9);
    assert_int_equal(s.stop_number, 10);
    assert_int_equal(client_session_acknowledge(&s, 21), 20); /* all of before has ended */
    assert_int_equal(s.stop_number, 0);

    client_session_stopped(&s, 25); /* nothing was behind it */
    assert_int_equal(client_session_acknowledge(&s, 0), 25);
    assert_int_equal(s.stop_number, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_opened_where_the_server_can),
        cmocka_unit_test(acknowledged_follows_the_oldest_that_is_open),
        cmocka_unit_test(the_window_bounds_what_is_under_way),
        cmocka_unit_test(a_failure_that_stops_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
