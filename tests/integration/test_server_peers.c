#define _GNU_SOURCE
/*
 * test_server_peers.c - the request socket as its peers see it: those of ZeroMQ, and bytes by hand, cut
 * anywhere, unread, too many, or none at all.
 *
 * ctest: TIMEOUT=180 PROCESSORS=2
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/endpoint.h"
#include "protocol/zmtp.h"
#include "tests/support/raw_client.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000, LARGE_VALUE = 1000000, WINDOW = LIMIT_WINDOW_MESSAGES };

static struct fixture {
    char folder[TEMP_FOLDER_SIZE];
    struct server_process server;
    void *zmq;
    struct raw_client client; /* a DEALER of ZeroMQ */
    int silent;               /* a connection that says nothing, from the start on */
} f;

static const uint8_t one[] = {0x01};
static const struct bytes value_one = {one, sizeof one};

/* ---- peers by hand ---- */

static int connect_ipc(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/s", f.folder);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void write_all(int fd, const void *data, size_t size, size_t piece)
{
    for (size_t at = 0; at < size;) {
        size_t here = size - at < piece ? size - at : piece;
        ssize_t sent = send(fd, (const uint8_t *)data + at, here, MSG_NOSIGNAL);
        assert_true(sent > 0);
        at += (size_t)sent;
    }
}

/* False: the other side has ended the connection. */
static bool read_all(int fd, void *out, size_t size)
{
    for (size_t at = 0; at < size;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
        ssize_t got = recv(fd, (uint8_t *)out + at, size - at, 0);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

static size_t write_hello(uint8_t out[ZMTP_GREETING_SIZE + ZMTP_READY_MAX], const char *type)
{
    zmtp_greeting(out);
    return ZMTP_GREETING_SIZE + zmtp_ready(out + ZMTP_GREETING_SIZE, type);
}

/* The next frame's size, its first bytes at out; -1: the connection has ended. */
static int64_t read_frame(int fd, uint8_t *ret_flags, uint8_t *out, size_t capacity)
{
    static uint8_t body[LIMIT_REPLY_SIZE];
    uint8_t header[ZMTP_HEADER_MAX];
    struct zmtp_frame frame;
    if (!read_all(fd, header, 2))
        return -1;
    if (!zmtp_frame_read(header, 2, &frame)) {
        assert_true(read_all(fd, header + 2, 7));
        assert_true(zmtp_frame_read(header, sizeof header, &frame));
    }
    assert_true(frame.body_size <= sizeof body);
    if (!read_all(fd, body, (size_t)frame.body_size))
        return -1;
    memcpy(out, body, frame.body_size < capacity ? (size_t)frame.body_size : capacity);
    *ret_flags = frame.flags;
    return (int64_t)frame.body_size;
}

static int open_by_hand(size_t piece)
{
    uint8_t hello[ZMTP_GREETING_SIZE + ZMTP_READY_MAX];
    uint8_t theirs[ZMTP_GREETING_SIZE];
    uint8_t ready[6];
    uint8_t flags = 0;
    int fd = connect_ipc();
    write_all(fd, hello, write_hello(hello, "DEALER"), piece);
    assert_true(read_all(fd, theirs, sizeof theirs));
    assert_int_equal(theirs[10], 3);
    assert_true(read_frame(fd, &flags, ready, sizeof ready) > 0);
    assert_int_equal(flags, ZMTP_COMMAND);
    assert_memory_equal(ready, "\5READY", sizeof ready);
    return fd;
}

/* A message with one request, as a frame. */
static struct wire_buffer message(uint8_t op, const struct wire_buffer *body, uint64_t id)
{
    struct wire_buffer m;
    struct wire_buffer frame;
    uint8_t header[ZMTP_HEADER_MAX];
    struct request_message_header head = {0};
    struct request_header request = {.op = op, .id = id};
    wire_buffer_init(&m, LIMIT_MESSAGE_SIZE);
    wire_buffer_init(&frame, LIMIT_MESSAGE_SIZE + sizeof header);
    request_message_begin(&m, &head);
    size_t place = request_begin(&m, &request);
    if (body)
        wire_write_raw(&m, body->data, body->size);
    message_part_end(&m, place);
    message_set_count(&m, 0, 1);
    wire_write_raw(&frame, header, zmtp_header(header, m.size));
    wire_write_raw(&frame, m.data, m.size);
    assert_false(frame.failed);
    wire_buffer_free(&m);
    return frame;
}

static struct wire_buffer put_message(const char *key, struct bytes value, uint64_t id)
{
    struct wire_buffer body;
    struct request_put put = {.key = {(const uint8_t *)key, strlen(key)}, .value = value};
    wire_buffer_init(&body, LIMIT_MESSAGE_SIZE);
    request_put_write(&body, &put);
    struct wire_buffer m = message(OP_PUT, &body, id);
    wire_buffer_free(&body);
    return m;
}

static struct wire_buffer get_message(const char *key, uint64_t id)
{
    struct wire_buffer body;
    struct request_get get = {.key = {(const uint8_t *)key, strlen(key)}};
    wire_buffer_init(&body, 1024);
    request_get_write(&body, &get);
    struct wire_buffer m = message(OP_GET, &body, id);
    wire_buffer_free(&body);
    return m;
}

/* Reads a reply: its id. *ret_size: the message's. */
static uint64_t read_reply(int fd, uint16_t *ret_status, int64_t *ret_size)
{
    uint8_t head[40 + 24] = {0};
    uint8_t flags = 1;
    *ret_size = read_frame(fd, &flags, head, sizeof head);
    assert_true(*ret_size >= 40);
    assert_int_equal(flags & ~ZMTP_LONG, 0);
    struct wire_reader r = wire_reader_of(head + 40 + 6, sizeof head - 40 - 6);
    *ret_status = wire_read_u16(&r);
    return wire_read_u64(&r);
}

static void expect_ok(int fd, uint64_t id)
{
    uint16_t status = 1;
    int64_t size;
    assert_int_equal(read_reply(fd, &status, &size), id);
    assert_int_equal(status, ERR_OK);
}

/* The others are served as ever. Returns the head. */
static uint64_t ping(struct raw_client *c)
{
    struct reply_header reply;
    struct wire_reader body;
    raw_begin(c, 0);
    raw_add_empty(c, OP_PING);
    assert_int_equal(raw_call(c, &reply, &body), ERR_OK);
    return c->reply_header.head;
}

/* ---- set up ---- */

static int set_up(void **state)
{
    char listen[128];
    char data[128];
    (void)state;
    assert_true(temp_folder_make(f.folder));
    snprintf(data, sizeof data, "%s/data", f.folder);
    snprintf(listen, sizeof listen, "ipc://%s/s", f.folder);
    const char *arguments[] = {
        "--listen", listen,         "--listen", "tcp://localhost:0", "--data",
        data,       "--durability", "process",  "--max-connections", "100",
        NULL};
    assert_true(server_start(&f.server, TEST_VIGILD, arguments));
    f.zmq = zmq_ctx_new();
    raw_open(&f.client, f.zmq, f.server.endpoints[0]);
    f.silent = connect_ipc();
    return 0;
}

static int tear_down(void **state)
{
    char path[128];
    (void)state;
    raw_close(&f.client);
    zmq_ctx_term(f.zmq);
    close(f.silent);
    int status = server_stop(&f.server, SIGTERM);
    snprintf(path, sizeof path, "%s/s", f.folder);
    assert_int_equal(access(path, F_OK), -1);
    temp_folder_remove(f.folder);
    return status;
}

/* ---- tests ---- */

static void bytes_may_come_one_by_one(void **state)
{
    (void)state;
    int fd = open_by_hand(1);
    struct wire_buffer m = put_message("bytes/1", value_one, 7);
    write_all(fd, m.data, m.size, 1);
    expect_ok(fd, 7);
    write_all(fd, m.data, m.size, m.size - 1);
    expect_ok(fd, 7);
    wire_buffer_free(&m);
    close(fd);
}

static void pings_are_answered(void **state)
{
    (void)state;
    static const uint8_t ping_frame[] = {ZMTP_COMMAND, 10, 4, 'P', 'I', 'N',
                                         'G',          0,  9, 'a', 'b', 'c'};
    static const uint8_t unknown[] = {ZMTP_COMMAND, 4, 3, 'X', 'Y', 'Z'};
    static const uint8_t pong[] = {4, 'P', 'O', 'N', 'G', 'a', 'b', 'c'};
    uint8_t got[sizeof pong];
    uint8_t flags = 0;
    int fd = open_by_hand(1000);
    struct wire_buffer m = message(OP_PING, NULL, 3);
    write_all(fd, unknown, sizeof unknown, 1000);
    write_all(fd, ping_frame, sizeof ping_frame, 5);
    assert_int_equal(read_frame(fd, &flags, got, sizeof got), sizeof pong);
    assert_int_equal(flags, ZMTP_COMMAND);
    assert_memory_equal(got, pong, sizeof pong);
    write_all(fd, m.data, m.size, 1000);
    expect_ok(fd, 3);
    wire_buffer_free(&m);
    close(fd);
}

static void replies_keep_the_order_of_a_full_window(void **state)
{
    (void)state;
    struct wire_buffer all;
    int fd = open_by_hand(1000);
    uint64_t id = 0;
    uint64_t expected = 0;
    for (int round = 0; round < 50; round++) {
        wire_buffer_init(&all, 1 << 20);
        for (int i = 0; i < WINDOW; i++) {
            struct wire_buffer m = put_message("order/1", value_one, ++id);
            wire_write_raw(&all, m.data, m.size);
            wire_buffer_free(&m);
        }
        write_all(fd, all.data, all.size, round % 2 ? all.size : 777);
        wire_buffer_free(&all);
        for (int i = 0; i < WINDOW; i++)
            expect_ok(fd, ++expected);
    }
    close(fd);
}

static void large_messages_come_and_go_in_pieces(void **state)
{
    (void)state;
    static uint8_t value[LARGE_VALUE] = {0xc6};
    uint16_t status = 1;
    int64_t size = 0;
    wire_store_u32(value + 1, __builtin_bswap32(LARGE_VALUE - 5));
    int fd = open_by_hand(1000);
    struct wire_buffer m = put_message("large/1", (struct bytes){value, sizeof value}, 1);
    struct wire_buffer get = get_message("large/1", 2);
    for (int i = 0; i < 3; i++) {
        write_all(fd, m.data, m.size, i == 0 ? 3001 : m.size);
        write_all(fd, get.data, get.size, 1000);
        expect_ok(fd, 1);
        assert_int_equal(read_reply(fd, &status, &size), 2);
        assert_int_equal(status, ERR_OK);
        assert_true(size > LARGE_VALUE);
    }
    wire_buffer_free(&m);
    wire_buffer_free(&get);
    close(fd);
}

/* One reply a turn, until one does not find room in the kernel: it comes later. */
static void the_last_reply_comes_when_there_is_room(void **state)
{
    (void)state;
    enum { VALUE = 1000, MOST = 100000 };
    static uint8_t value[VALUE] = {0xc5, (VALUE - 3) >> 8, (VALUE - 3) & 255};
    int fd = open_by_hand(1000);
    struct wire_buffer m = put_message("late/1", (struct bytes){value, sizeof value}, 1);
    uint64_t sent = 0;
    int before = 0;
    int here = VALUE;
    write_all(fd, m.data, m.size, m.size);
    wire_buffer_free(&m);
    expect_ok(fd, 1);
    while (here - before >= VALUE) {
        before = here == VALUE ? 0 : here;
        m = get_message("late/1", ++sent);
        write_all(fd, m.data, m.size, m.size);
        wire_buffer_free(&m);
        ping(&f.client);
        assert_int_equal(ioctl(fd, FIONREAD, &here), 0);
        assert_true(sent < MOST);
    }
    for (uint64_t i = 1; i <= sent; i++)
        expect_ok(fd, i);
    close(fd);
}

static void half_a_frame_harms_nobody(void **state)
{
    (void)state;
    int fds[10];
    struct wire_buffer m = put_message("half/1", value_one, 1);
    uint8_t header[ZMTP_HEADER_MAX];
    size_t header_size = zmtp_header(header, LIMIT_MESSAGE_SIZE);
    for (int i = 0; i < 10; i++) {
        fds[i] = open_by_hand(1000);
        if (i % 2)
            write_all(fds[i], m.data, m.size / 2, 1000);
        else
            write_all(fds[i], header, header_size, 1000);
        ping(&f.client);
    }
    for (int i = 0; i < 10; i++) {
        if (i % 2) {
            write_all(fds[i], m.data + m.size / 2, m.size - m.size / 2, 1000);
            expect_ok(fds[i], 1);
        }
        close(fds[i]);
    }
    wire_buffer_free(&m);
}

static void too_large_a_frame_ends_the_connection(void **state)
{
    (void)state;
    uint8_t header[ZMTP_HEADER_MAX];
    uint8_t none;
    int fd = open_by_hand(1000);
    write_all(fd, header, zmtp_header(header, LIMIT_MESSAGE_SIZE + 1), 1000);
    assert_false(read_all(fd, &none, 1));
    close(fd);
}

static void others_are_not_let_in(void **state)
{
    (void)state;
    static const char *const types[] = {"SUB", "REP", "PUSH", "dealer"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        uint8_t hello[ZMTP_GREETING_SIZE + ZMTP_READY_MAX];
        uint8_t none;
        int fd = connect_ipc();
        write_all(fd, hello, write_hello(hello, types[i]), 1000);
        while (read_all(fd, &none, 1))
            ; /* its own hello */
        close(fd);
    }
    ping(&f.client);
}

/* What has been sent takes effect, though nobody is there any more to be told. */
static void requests_outlive_their_peer(void **state)
{
    (void)state;
    enum { PUTS = 3000 };
    uint64_t before = ping(&f.client);
    int fd = open_by_hand(1000);
    for (uint64_t i = 0; i < PUTS; i++) {
        struct wire_buffer m = put_message("outlive/1", value_one, i);
        write_all(fd, m.data, m.size, m.size);
        wire_buffer_free(&m);
    }
    close(fd);
    while (ping(&f.client) < before + PUTS)
        ;
    assert_int_equal(ping(&f.client), before + PUTS);
}

/* Some replies are dropped, none is cut: what is read at last are whole messages, in order. */
static void who_does_not_read_loses_replies_and_nothing_else(void **state)
{
    (void)state;
    enum { GETS = 300 };
    static uint8_t value[LARGE_VALUE] = {0xc6};
    uint64_t last = 0;
    uint64_t got = 0;
    wire_store_u32(value + 1, __builtin_bswap32(LARGE_VALUE - 5));
    int fd = open_by_hand(1000);
    struct wire_buffer m = put_message("unread/1", (struct bytes){value, sizeof value}, 1);
    write_all(fd, m.data, m.size, m.size);
    wire_buffer_free(&m);
    expect_ok(fd, 1);
    for (uint64_t i = 1; i <= GETS; i++) {
        m = get_message("unread/1", i);
        write_all(fd, m.data, m.size, m.size);
        wire_buffer_free(&m);
        ping(&f.client);
    }
    for (; last < GETS + 1; got++) {
        uint16_t status = 1;
        int64_t size;
        m = message(OP_PING, NULL, GETS + 1);
        write_all(fd, m.data, m.size, m.size); /* of these, one comes through at last */
        wire_buffer_free(&m);
        uint64_t id = read_reply(fd, &status, &size);
        assert_true(id > last || last == GETS + 1);
        assert_true(id > GETS || size > LARGE_VALUE);
        last = id;
    }
    assert_true(got >= 10 && got < GETS);
    close(fd);
}

static void a_req_and_a_router_are_let_in(void **state)
{
    (void)state;
    int timeout_ms = PATIENCE_MS;
    char name[] = "vigild";
    struct wire_buffer m = message(OP_PING, NULL, 5);
    void *router = zmq_socket(f.zmq, ZMQ_ROUTER);
    zmq_setsockopt(router, ZMQ_CONNECT_ROUTING_ID, name, strlen(name));
    zmq_setsockopt(router, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    assert_int_equal(zmq_connect(router, f.server.endpoints[1]), 0);
    zmq_send(router, name, strlen(name), ZMQ_SNDMORE);
    zmq_send(router, m.data + 2, m.size - 2, 0); /* a short frame's header is ZeroMQ's here */
    uint8_t reply[256];
    assert_int_equal(zmq_recv(router, reply, sizeof reply, 0), strlen(name));
    assert_true(zmq_recv(router, reply, sizeof reply, 0) > 40);
    assert_int_equal(reply[0], 'V');
    zmq_close(router);

    /* A REQ's message has a frame before it: it is told so, in a form that it does not understand. */
    void *req = zmq_socket(f.zmq, ZMQ_REQ);
    int none_ms = 0;
    zmq_setsockopt(req, ZMQ_LINGER, &none_ms, sizeof none_ms);
    assert_int_equal(zmq_connect(req, f.server.endpoints[1]), 0);
    assert_true(zmq_send(req, m.data + 2, m.size - 2, 0) > 0);
    ping(&f.client);
    zmq_close(req);
    wire_buffer_free(&m);
}

static void heartbeats_of_zeromq_are_answered(void **state)
{
    (void)state;
    int interval_ms = 50;
    int patience_ms = 2500; /* without an answer: then the peer ends the connection */
    struct raw_client c;
    raw_open(&c, f.zmq, f.server.endpoints[1]);
    raw_close(&c);
    c.socket = zmq_socket(f.zmq, ZMQ_DEALER);
    zmq_setsockopt(c.socket, ZMQ_HEARTBEAT_IVL, &interval_ms, sizeof interval_ms);
    zmq_setsockopt(c.socket, ZMQ_HEARTBEAT_TIMEOUT, &patience_ms, sizeof patience_ms);
    void *events = zmq_socket(f.zmq, ZMQ_PAIR);
    int timeout_ms = 4000;
    zmq_setsockopt(events, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    assert_int_equal(zmq_socket_monitor(c.socket, "inproc://events", ZMQ_EVENT_DISCONNECTED), 0);
    assert_int_equal(zmq_connect(events, "inproc://events"), 0);
    assert_int_equal(zmq_connect(c.socket, f.server.endpoints[1]), 0);
    uint8_t event[16];
    assert_int_equal(zmq_recv(events, event, sizeof event, 0), -1); /* all went well */
    zmq_socket_monitor(c.socket, NULL, 0);
    zmq_close(events);
    zmq_close(c.socket);
}

/* Those beyond the limit are closed at once; the others go on; and who leaves makes room. */
static void one_too_many_is_turned_away(void **state)
{
    (void)state;
    enum { MANY = 200 };
    int fds[MANY];
    int ended = 0;
    for (int i = 0; i < MANY; i++)
        fds[i] = connect_ipc();
    ping(&f.client);
    for (int i = 0; i < MANY; i++) {
        uint8_t theirs[ZMTP_GREETING_SIZE];
        ended += !read_all(fds[i], theirs, sizeof theirs);
    }
    assert_true(ended >= MANY - 100 - 64 && ended <= MANY - 50);
    ping(&f.client);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    ping(&f.client); /* it has seen them go by then: they came first */
    ping(&f.client);
    int fd = open_by_hand(1000);
    close(fd);
}

static void who_does_not_introduce_itself_is_ended(void **state)
{
    (void)state;
    uint8_t theirs[ZMTP_GREETING_SIZE + 47];
    int introduced = open_by_hand(1000);
    struct wire_buffer m = message(OP_PING, NULL, 5);
    while (read_all(f.silent, theirs, 1))
        ;
    write_all(introduced, m.data, m.size, m.size);
    expect_ok(introduced, 5);
    wire_buffer_free(&m);
    close(introduced);
}

static void addresses_are_taken_and_told(void **state)
{
    (void)state;
    static const char *const given[] = {"tcp://[::1]:0", "tcp://127.0.0.1:0", "tcp://lo:0"};
    static const char *const told[] = {"tcp://[::1]:", "tcp://127.0.0.1:", "tcp://127.0.0.1:"};
    for (size_t i = 0; i < 3; i++) {
        char data[128];
        struct server_process server = {0};
        snprintf(data, sizeof data, "%s/data%zu", f.folder, i);
        const char *arguments[] = {"--allow-remote", "--listen", given[i], "--data", data, NULL};
        if (!server_start(&server, TEST_VIGILD, arguments)) {
            assert_true(server_log_has(&server, "cannot listen on"));
            assert_int_equal(i, 0); /* there are machines without IPv6 */
            continue;
        }
        assert_memory_equal(server.endpoints[0], told[i], strlen(told[i]));
        assert_string_not_equal(server.endpoints[0] + strlen(told[i]), "0");
        int yes = 1;
        void *dealer = zmq_socket(f.zmq, ZMQ_DEALER);
        struct wire_buffer m = message(OP_PING, NULL, 5);
        uint8_t reply[256];
        zmq_setsockopt(dealer, ZMQ_IPV6, &yes, sizeof yes);
        assert_int_equal(zmq_connect(dealer, server.endpoints[0]), 0);
        assert_true(zmq_send(dealer, m.data + 2, m.size - 2, 0) > 0);
        assert_true(zmq_recv(dealer, reply, sizeof reply, 0) > 40);
        zmq_close(dealer);
        wire_buffer_free(&m);
        assert_int_equal(server_stop(&server, SIGTERM), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_may_come_one_by_one),
        cmocka_unit_test(pings_are_answered),
        cmocka_unit_test(replies_keep_the_order_of_a_full_window),
        cmocka_unit_test(large_messages_come_and_go_in_pieces),
        cmocka_unit_test(the_last_reply_comes_when_there_is_room),
        cmocka_unit_test(half_a_frame_harms_nobody),
        cmocka_unit_test(too_large_a_frame_ends_the_connection),
        cmocka_unit_test(others_are_not_let_in),
        cmocka_unit_test(requests_outlive_their_peer),
        cmocka_unit_test(who_does_not_read_loses_replies_and_nothing_else),
        cmocka_unit_test(a_req_and_a_router_are_let_in),
        cmocka_unit_test(heartbeats_of_zeromq_are_answered),
        cmocka_unit_test(one_too_many_is_turned_away),
        cmocka_unit_test(addresses_are_taken_and_told),
        cmocka_unit_test(who_does_not_introduce_itself_is_ended),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
