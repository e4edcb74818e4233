/*
 * test_client_link.c - the request socket against servers that do what ZeroMQ never does: bytes one by
 * one, handshakes that never end, nonsense, replies that break off, no reading, pings; and the ways to
 * a server, by path and by name.
 *
 * ctest: TIMEOUT=240
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <vigil.h>

#include "protocol/zmtp.h"
#include "tests/support/raw_server.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000, SHORT_MS = 300, LARGE = 12 << 20, PUTS = 3000, PUT_SIZE = 8000 };

static struct raw_server s;
static const uint8_t value[] = {0xc4, 3, 'a', 'b', 'c'};

static int tear_down(void **state)
{
    (void)state;
    raw_server_close(&s);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    raw_server_listen(&s);
    return 0;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static vigil *open_client(void)
{
    vigil *v = NULL;
    const vigil_options options = {.endpoint = s.endpoint,
                                   .connect_timeout_ms = PATIENCE_MS,
                                   .request_timeout_ms = PATIENCE_MS,
                                   .no_session = true};
    if (vigil_open(&options, &v) != VIGIL_OK)
        fail_msg("%s", vigil_failure_text(NULL));
    return v;
}

static void expect_no_server(const char *endpoint)
{
    vigil *v = NULL;
    const vigil_options options = {.endpoint = endpoint, .connect_timeout_ms = SHORT_MS};
    int64_t start = now_ms();
    assert_int_equal(vigil_open(&options, &v), VIGIL_DISCONNECTED);
    assert_true(now_ms() - start >= SHORT_MS);
    assert_null(v);
    assert_non_null(strstr(vigil_failure_text(NULL), "cannot reach a server at"));
}

static bool answer_get(struct raw_server *server)
{
    struct wire_buffer b;
    raw_server_reply_get(server, (struct bytes){value, sizeof value}, &b);
    return raw_server_answer(server, &b);
}

static void expect_get(vigil *v)
{
    vigil_entry entry;
    if (vigil_get(v, "k", &entry) != VIGIL_OK)
        fail_msg("%s", vigil_failure_text(v));
    assert_int_equal(entry.size, sizeof value);
    assert_memory_equal(entry.value, value, sizeof value);
}

/* ---- a server that is slow, or talks nonsense ---- */

static bool serve_gets(struct raw_server *server)
{
    if (!raw_server_welcome(server))
        return false;
    for (unsigned i = 0; i < 3; i++) {
        if (!raw_server_take(server) || !answer_get(server))
            return false;
    }
    return raw_server_ended(server);
}

static void bytes_may_come_one_by_one(void **state)
{
    (void)state;
    s.piece = 1;
    raw_server_start(&s, serve_gets);
    vigil *v = open_client();
    for (unsigned i = 0; i < 3; i++)
        expect_get(v);
    vigil_close(v);
    raw_server_join(&s);
}

static bool serve_half_a_handshake(struct raw_server *server)
{
    uint8_t greeting[ZMTP_GREETING_SIZE];
    zmtp_greeting(greeting);
    return raw_server_accept(server) && raw_server_send(server, greeting, 30) &&
           raw_server_ended(server);
}

static void a_handshake_that_never_ends(void **state)
{
    (void)state;
    raw_server_start(&s, serve_half_a_handshake);
    expect_no_server(s.endpoint);
    raw_server_join(&s);
}

static bool serve_another_protocol(struct raw_server *server)
{
    static const char text[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    return raw_server_accept(server) && raw_server_send(server, text, sizeof text - 1) &&
           raw_server_ended(server);
}

static void a_server_of_another_protocol(void **state)
{
    (void)state;
    raw_server_start(&s, serve_another_protocol);
    expect_no_server(s.endpoint);
    raw_server_join(&s);
}

static bool serve_a_dealer(struct raw_server *server)
{
    uint8_t greeting[ZMTP_GREETING_SIZE];
    uint8_t ready[ZMTP_READY_MAX];
    zmtp_greeting(greeting);
    return raw_server_accept(server) && raw_server_send(server, greeting, sizeof greeting) &&
           raw_server_send(server, ready, zmtp_ready(ready, "DEALER")) && raw_server_ended(server);
}

static void a_peer_that_is_no_router(void **state)
{
    (void)state;
    raw_server_start(&s, serve_a_dealer);
    expect_no_server(s.endpoint);
    raw_server_join(&s);
}

/* A message of two frames, then one too large, then a reply: over three connections. */
static bool serve_nonsense_first(struct raw_server *server)
{
    static const uint8_t more[] = {ZMTP_MORE, 1, 'x'};
    static const uint8_t huge[] = {ZMTP_LONG, 0, 0, 0xff, 0, 0, 0, 0, 0, 1, 2, 3};
    return raw_server_welcome(server) && raw_server_take(server) &&
           raw_server_send(server, more, sizeof more) && raw_server_welcome(server) &&
           raw_server_take(server) && raw_server_send(server, huge, sizeof huge) &&
           raw_server_welcome(server) && raw_server_take(server) && answer_get(server) &&
           raw_server_ended(server);
}

static void nonsense_is_a_lost_connection(void **state)
{
    (void)state;
    raw_server_start(&s, serve_nonsense_first);
    vigil *v = open_client();
    expect_get(v);
    vigil_close(v);
    raw_server_join(&s);
}

/* ---- replies ---- */

static bool serve_half_a_reply(struct raw_server *server)
{
    struct wire_buffer b;
    if (!raw_server_welcome(server) || !raw_server_take(server))
        return false;
    raw_server_reply_get(server, (struct bytes){value, sizeof value}, &b);
    uint8_t header[ZMTP_HEADER_MAX];
    bool sent = raw_server_send(server, header, zmtp_header(header, b.size)) &&
                raw_server_send(server, b.data, b.size / 2);
    wire_buffer_free(&b);
    return sent && raw_server_welcome(server) && raw_server_take(server) && answer_get(server) &&
           raw_server_ended(server);
}

static void a_reply_that_breaks_off_is_asked_for_again(void **state)
{
    (void)state;
    raw_server_start(&s, serve_half_a_reply);
    vigil *v = open_client();
    expect_get(v);
    vigil_close(v);
    raw_server_join(&s);
}

static bool serve_a_large_reply(struct raw_server *server)
{
    uint8_t *large = malloc(LARGE);
    struct wire_buffer b;
    bool well = large && raw_server_welcome(server) && raw_server_take(server);
    if (well) {
        for (size_t i = 0; i < LARGE; i++)
            large[i] = (uint8_t)(i * 7 + i / 251);
        raw_server_reply_get(server, (struct bytes){large, LARGE}, &b);
        server->piece = 9973;
        well = raw_server_answer(server, &b) && raw_server_take(server) && answer_get(server) &&
               raw_server_ended(server);
    }
    free(large);
    return well;
}

static void a_large_reply_in_small_pieces(void **state)
{
    (void)state;
    vigil_entry entry;
    raw_server_start(&s, serve_a_large_reply);
    vigil *v = open_client();
    assert_int_equal(vigil_get(v, "k", &entry), VIGIL_OK);
    assert_int_equal(entry.size, LARGE);
    const uint8_t *bytes = entry.value;
    for (size_t i = 0; i < LARGE; i++)
        if (bytes[i] != (uint8_t)(i * 7 + i / 251))
            fail_msg("byte %zu", i);
    expect_get(v);
    vigil_close(v);
    raw_server_join(&s);
}

static bool serve_pings(struct raw_server *server)
{
    static const char ping[] = "\4PING\0\012context";
    static const char pong[] = "\4PONGcontext";
    uint8_t flags = 0;
    size_t size = 0;
    if (!raw_server_welcome(server) || !raw_server_take(server) ||
        !raw_server_send_frame(server, ZMTP_COMMAND, ping, sizeof ping - 1) ||
        !raw_server_send_frame(server, ZMTP_COMMAND, "\5OTHER", 6) || !answer_get(server))
        return false;
    uint8_t *body = raw_server_read_frame(server, &flags, &size);
    bool well =
        body && flags == ZMTP_COMMAND && size == sizeof pong - 1 && memcmp(body, pong, size) == 0;
    free(body);
    return well && raw_server_ended(server);
}

static void a_ping_is_answered(void **state)
{
    (void)state;
    raw_server_start(&s, serve_pings);
    vigil *v = open_client();
    expect_get(v);
    vigil_close(v);
    raw_server_join(&s);
}

/* ---- a server that does not read ---- */

/* Reads when it is told to; then each request must come once and in order. */
static int go_fds[2];

static bool serve_late(struct raw_server *server)
{
    char byte;
    uint64_t next = 0;
    if (!raw_server_welcome(server) || read(go_fds[0], &byte, 1) != 1)
        return false;
    for (unsigned answered = 0; answered < PUTS; answered += server->header.count) {
        struct wire_buffer b;
        if (!raw_server_take(server) || server->request.op != OP_PUT ||
            (next != 0 && server->request.id != next))
            return false;
        next = server->request.id + server->header.count;
        raw_server_reply_put(server, &b);
        if (!raw_server_answer(server, &b))
            return false;
    }
    return raw_server_ended(server);
}

static void what_the_socket_does_not_take_is_neither_lost_nor_doubled(void **state)
{
    (void)state;
    static uint8_t large[PUT_SIZE] = {0xc5, (PUT_SIZE - 3) >> 8, (PUT_SIZE - 3) & 0xff};
    vigil_completion c;
    assert_int_equal(pipe(go_fds), 0);
    raw_server_start(&s, serve_late);
    vigil *v = open_client();
    struct pollfd item = {.fd = vigil_fd(v), .events = POLLIN};
    uint64_t first = 0;
    for (unsigned i = 0; i < PUTS; i++) {
        uint64_t id;
        assert_int_equal(vigil_send_put(v, "k", large, sizeof large, NULL, &id), VIGIL_OK);
        first = i == 0 ? id : first;
        assert_int_equal(id, first + i);
    }
    assert_int_equal(vigil_flush(v), VIGIL_OK);
    assert_int_equal(vigil_receive(v, 0, &c), VIGIL_TIMEOUT);
    assert_int_equal(vigil_receive(v, 50, &c), VIGIL_TIMEOUT);
    assert_int_equal(write(go_fds[1], "x", 1), 1);
    for (unsigned received = 0; received < PUTS;) {
        assert_int_equal(poll(&item, 1, PATIENCE_MS), 1);
        for (int err; (err = vigil_receive(v, 0, &c)) != VIGIL_TIMEOUT && received < PUTS;) {
            assert_int_equal(err, VIGIL_OK);
            assert_int_equal(c.error, VIGIL_OK);
            assert_int_equal(c.id, first + received++);
        }
    }
    vigil_close(v);
    raw_server_join(&s);
    close(go_fds[0]);
    close(go_fds[1]);
}

/* Once everything has been received, the descriptor rests. */
static void the_descriptor_goes_quiet(void **state)
{
    (void)state;
    vigil_completion c;
    raw_server_start(&s, serve_gets);
    vigil *v = open_client();
    struct pollfd item = {.fd = vigil_fd(v), .events = POLLIN};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(vigil_send_get(v, "k", NULL), VIGIL_OK);
        assert_int_equal(vigil_flush(v), VIGIL_OK);
        for (int err = VIGIL_TIMEOUT; err != VIGIL_OK;) {
            assert_int_equal(poll(&item, 1, PATIENCE_MS), 1);
            err = vigil_receive(v, 0, &c);
            assert_true(err == VIGIL_OK || err == VIGIL_TIMEOUT);
        }
        assert_int_equal(vigil_receive(v, 0, &c), VIGIL_INVALID);
        assert_int_equal(poll(&item, 1, 10), 0);
    }
    vigil_close(v);
    raw_server_join(&s);
}

/* ---- the way to a server ---- */

static bool serve_one_get(struct raw_server *server)
{
    return raw_server_welcome(server) && raw_server_take(server) && answer_get(server);
}

static void a_path_that_comes_back(void **state)
{
    (void)state;
    vigil_completion c;
    raw_server_start(&s, serve_one_get);
    vigil *v = open_client();
    expect_get(v);
    raw_server_join(&s);
    raw_server_unlisten(&s);
    expect_no_server(s.endpoint);
    assert_int_equal(vigil_send_get(v, "k", NULL), VIGIL_OK);
    assert_int_equal(vigil_receive(v, SHORT_MS, &c), VIGIL_TIMEOUT);
    raw_server_listen_again(&s);
    raw_server_start(&s, serve_one_get);
    assert_int_equal(vigil_receive(v, PATIENCE_MS, &c), VIGIL_OK);
    assert_int_equal(c.size, sizeof value);
    raw_server_join(&s);
    vigil_close(v);
}

static void expect_get_over(const char *address, const char *host)
{
    struct raw_server unix_server = s;
    if (raw_server_listen_tcp(&s, address, host)) {
        raw_server_start(&s, serve_one_get);
        vigil *v = open_client();
        expect_get(v);
        raw_server_join(&s);
        vigil_close(v);
        raw_server_close(&s);
    }
    s = unix_server;
}

static void over_tcp_by_address_and_by_name(void **state)
{
    (void)state;
    expect_get_over("127.0.0.1", "127.0.0.1");
    expect_get_over("::1", "[::1]");
    /* Whichever of its addresses comes first: one of them is refused. */
    expect_get_over("127.0.0.1", "localhost");
}

static void names_that_nobody_knows(void **state)
{
    (void)state;
    vigil *v = NULL;
    expect_no_server("tcp://no-such-host.invalid:7878");
    const vigil_options any = {.endpoint = "tcp://*:7878"};
    assert_int_equal(vigil_open(&any, &v), VIGIL_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_may_come_one_by_one),
        TEST(a_handshake_that_never_ends),
        TEST(a_server_of_another_protocol),
        TEST(a_peer_that_is_no_router),
        TEST(nonsense_is_a_lost_connection),
        TEST(a_reply_that_breaks_off_is_asked_for_again),
        TEST(a_large_reply_in_small_pieces),
        TEST(a_ping_is_answered),
        TEST(what_the_socket_does_not_take_is_neither_lost_nor_doubled),
        TEST(the_descriptor_goes_quiet),
        TEST(a_path_that_comes_back),
        TEST(over_tcp_by_address_and_by_name),
        TEST(names_that_nobody_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
