/*
 * test_client_subscription.c - a watch's way to its stream, against servers that do what ZeroMQ never
 * does: messages in pieces and larger than any buffer, connections that break off, nonsense; and the
 * application's descriptor meanwhile.
 *
 * ctest: TIMEOUT=240
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/clock.h"
#include "client/subscription.h"
#include "protocol/errors.h"
#include "protocol/zmtp.h"
#include "tests/support/raw_server.h"

#include <stdlib.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000, LARGE = 300000, MESSAGE_MOST = 1 << 20 };

static struct raw_server s;
static struct subscription sub;
static struct descriptor descriptor;
static struct wire_buffer message;
static int go_fds[2]; /* a byte from the test lets the server go on */
static const uint8_t topic[TOPIC_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const uint8_t other_topic[TOPIC_SIZE] = {9};

static int set_up(void **state)
{
    (void)state;
    raw_server_listen(&s);
    subscription_init(&sub, 1);
    wire_buffer_init(&message, MESSAGE_MOST);
    assert_int_equal(descriptor_open(&descriptor), ERR_OK);
    assert_int_equal(pipe(go_fds), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    subscription_free(&sub);
    descriptor_close(&descriptor);
    wire_buffer_free(&message);
    raw_server_close(&s);
    close(go_fds[0]);
    close(go_fds[1]);
    return 0;
}

/* ---- the test's side ---- */

static void open_for(const uint8_t *for_topic)
{
    struct endpoint e;
    assert_int_equal(endpoint_parse(s.endpoint, &e, NULL), ERR_OK);
    assert_int_equal(subscription_open(&sub, &e, for_topic, clock_now_ms()), ERR_OK);
}

static void wait_a_moment(void)
{
    struct pollfd wanted = subscription_wanted(&sub, true);
    int64_t now = clock_now_ms();
    poll(&wanted, 1, deadline_left_ms(subscription_due_ms(&sub), now, 1000));
    subscription_drive(&sub, clock_now_ms());
}

static void receive(void)
{
    int64_t deadline = deadline_after(PATIENCE_MS);
    while (!subscription_receive(&sub, &message, clock_now_ms())) {
        assert_true(clock_now_ms() < deadline);
        wait_a_moment();
    }
}

static void expect_text(const char *text)
{
    receive();
    assert_int_equal(message.size, strlen(text));
    assert_memory_equal(message.data, text, message.size);
}

static void drive_until(enum subscription_state state)
{
    int64_t deadline = deadline_after(PATIENCE_MS);
    while (sub.state != state) {
        assert_true(clock_now_ms() < deadline);
        assert_false(subscription_receive(&sub, &message, clock_now_ms()));
        wait_a_moment();
    }
}

static void let_go_on(void)
{
    assert_int_equal(write(go_fds[1], "x", 1), 1);
}

/* ---- the server's ---- */

static bool wait_for_go(void)
{
    char byte;
    return read(go_fds[0], &byte, 1) == 1;
}

static bool is_subscription(struct raw_server *server, const uint8_t *to)
{
    uint8_t flags = 0;
    size_t size = 0;
    uint8_t *body = raw_server_read_frame(server, &flags, &size);
    bool is_one = body && flags == 0 && size == 1 + TOPIC_SIZE && body[0] == 1 &&
                  memcmp(body + 1, to, TOPIC_SIZE) == 0;
    free(body);
    return is_one;
}

static bool take_subscriber_of(struct raw_server *server, const uint8_t *to)
{
    return raw_server_accept(server) && raw_server_handshake(server, "XPUB", "SUB") &&
           is_subscription(server, to);
}

static bool take_subscriber(struct raw_server *server)
{
    return take_subscriber_of(server, topic);
}

static bool publish(struct raw_server *server, const char *text)
{
    return raw_server_send_frame(server, 0, text, strlen(text));
}

/* ---- messages ---- */

static uint8_t large_byte(size_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

static bool serve_in_pieces(struct raw_server *server)
{
    uint8_t *large = malloc(LARGE);
    if (!large || !raw_server_accept(server))
        return false;
    for (size_t i = 0; i < LARGE; i++)
        large[i] = large_byte(i);
    server->piece = 1;
    bool well = raw_server_handshake(server, "XPUB", "SUB") && is_subscription(server, topic) &&
                publish(server, "one") && publish(server, "") && publish(server, "three");
    server->piece = 997;
    well = well && raw_server_send_frame(server, 0, large, LARGE) && publish(server, "five") &&
           raw_server_ended(server);
    free(large);
    return well;
}

static void messages_are_whole_whatever_the_pieces(void **state)
{
    (void)state;
    raw_server_start(&s, serve_in_pieces);
    open_for(topic);
    expect_text("one");
    expect_text("");
    expect_text("three");
    receive();
    assert_int_equal(message.size, LARGE);
    for (size_t i = 0; i < LARGE; i++)
        if (message.data[i] != large_byte(i))
            fail_msg("byte %zu", i);
    expect_text("five");
    subscription_close(&sub);
    raw_server_join(&s);
}

/* A server that reads nothing of what comes behind: the stream has one direction. */
static bool serve_a_peer_of_pub(struct raw_server *server)
{
    return raw_server_accept(server) && raw_server_handshake(server, "PUB", "SUB") &&
           is_subscription(server, topic) && publish(server, "one") && raw_server_ended(server);
}

static void a_pub_will_do(void **state)
{
    (void)state;
    raw_server_start(&s, serve_a_peer_of_pub);
    open_for(topic);
    expect_text("one");
    subscription_close(&sub);
    raw_server_join(&s);
}

/* ---- losses ---- */

static bool serve_half_a_message(struct raw_server *server)
{
    static const uint8_t half[] = {0, 9, 'h', 'a', 'l', 'f'};
    return take_subscriber(server) && publish(server, "one") &&
           raw_server_send(server, half, sizeof half) && take_subscriber(server) &&
           publish(server, "two") && raw_server_ended(server);
}

static void a_connection_that_breaks_off_is_made_anew(void **state)
{
    (void)state;
    raw_server_start(&s, serve_half_a_message);
    open_for(topic);
    expect_text("one");
    expect_text("two");
    subscription_close(&sub);
    raw_server_join(&s);
}

/* What is no message of one frame, one that nobody could keep, another kind of socket, another protocol:
 * a connection each. */
static bool serve_nonsense(struct raw_server *server)
{
    static const uint8_t more[] = {ZMTP_MORE, 1, 'x'};
    static const uint8_t huge[] = {ZMTP_LONG, 0, 0, 0xff, 0, 0, 0, 0, 0, 1, 2, 3};
    uint8_t http[100] = "HTTP/1.1 400 Bad Request\r\n";
    return take_subscriber(server) && raw_server_send(server, more, sizeof more) &&
           take_subscriber(server) && raw_server_send(server, huge, sizeof huge) &&
           raw_server_accept(server) && raw_server_handshake(server, "ROUTER", "SUB") &&
           raw_server_accept(server) && raw_server_send(server, http, sizeof http) &&
           take_subscriber(server) && publish(server, "sense") && raw_server_ended(server);
}

static void nonsense_ends_the_connection(void **state)
{
    (void)state;
    raw_server_start(&s, serve_nonsense);
    open_for(topic);
    expect_text("sense");
    subscription_close(&sub);
    raw_server_join(&s);
}

static bool serve_one(struct raw_server *server)
{
    return take_subscriber(server) && publish(server, "one") && raw_server_ended(server);
}

/* Pauses grow, up to a second, and end with the first message. */
static void a_server_that_is_not_there(void **state)
{
    (void)state;
    int64_t now = clock_now_ms();
    raw_server_unlisten(&s);
    open_for(topic);
    assert_int_equal(sub.state, SUBSCRIPTION_DOWN);
    for (unsigned tries = 0; tries < 20; tries++) {
        int64_t due = subscription_due_ms(&sub);
        int64_t least = tries == 0 ? 0 : tries < 5 ? (25 << tries) / 2 : 500;
        assert_true(due >= now + least && due <= now + 1000);
        assert_int_equal(subscription_wanted(&sub, true).fd, -1);
        subscription_drive(&sub, due - 1);
        assert_int_equal(subscription_due_ms(&sub), due);
        now = due;
        subscription_drive(&sub, now);
        assert_int_equal(sub.state, SUBSCRIPTION_DOWN);
    }
    raw_server_listen_again(&s);
    raw_server_start(&s, serve_one);
    subscription_drive(&sub, subscription_due_ms(&sub));
    expect_text("one");
    assert_int_equal(sub.backoff.delay_ms, 0);
    subscription_close(&sub);
    raw_server_join(&s);
}

/* ---- another topic ---- */

static bool serve_two_topics(struct raw_server *server)
{
    if (!take_subscriber(server) || !publish(server, "old"))
        return false;
    (void)publish(server, "older"); /* it may have gone by now */
    return raw_server_ended(server) && take_subscriber_of(server, other_topic) &&
           publish(server, "new") && raw_server_ended(server);
}

static void nothing_of_the_topic_before_comes(void **state)
{
    (void)state;
    raw_server_start(&s, serve_two_topics);
    open_for(topic);
    expect_text("old");
    open_for(other_topic);
    expect_text("new");
    subscription_close(&sub);
    raw_server_join(&s);
}

/* ---- the application's descriptor ---- */

static bool is_readable(int timeout_ms)
{
    struct pollfd item = {.fd = descriptor.epoll, .events = POLLIN};
    return poll(&item, 1, timeout_ms) == 1;
}

static bool serve_when_told(struct raw_server *server)
{
    return take_subscriber(server) && wait_for_go() && publish(server, "one") &&
           publish(server, "two") && wait_for_go() && take_subscriber(server) && wait_for_go() &&
           publish(server, "three") && raw_server_ended(server);
}

static void the_descriptor_tells_what_is_wanted(void **state)
{
    (void)state;
    raw_server_start(&s, serve_when_told);
    sub.watcher = &descriptor;
    open_for(topic);
    drive_until(SUBSCRIPTION_UP);
    subscription_watch(&sub, true);
    assert_false(is_readable(10));
    let_go_on();
    assert_true(is_readable(PATIENCE_MS));
    subscription_watch(&sub, false);
    assert_false(is_readable(10));
    subscription_watch(&sub, true);
    assert_true(is_readable(PATIENCE_MS));
    expect_text("one");
    expect_text("two");
    subscription_watch(&sub, true);
    assert_false(is_readable(10));

    let_go_on(); /* the server hangs up, and takes it again */
    assert_true(is_readable(PATIENCE_MS));
    assert_false(subscription_receive(&sub, &message, clock_now_ms()));
    while (sub.state == SUBSCRIPTION_UP)
        assert_false(subscription_receive(&sub, &message, clock_now_ms()));
    subscription_watch(&sub, true);
    assert_false(is_readable(10)); /* only time helps, which subscription_due_ms tells */
    drive_until(SUBSCRIPTION_UP);
    subscription_watch(&sub, true);
    let_go_on();
    assert_true(is_readable(PATIENCE_MS));
    expect_text("three");
    subscription_close(&sub);
    assert_false(is_readable(10));
    raw_server_join(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages_are_whole_whatever_the_pieces),
        TEST(a_pub_will_do),
        TEST(a_connection_that_breaks_off_is_made_anew),
        TEST(nonsense_ends_the_connection),
        TEST(a_server_that_is_not_there),
        TEST(nothing_of_the_topic_before_comes),
        TEST(the_descriptor_tells_what_is_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
