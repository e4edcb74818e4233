#define _GNU_SOURCE
/*
 * test_server_requests.c - the request socket with bare messages: what is
 * answered, in which order, and what bytes that make no sense are answered.
 *
 * ctest: TIMEOUT=120
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/endpoint.h"
#include "tests/support/raw_client.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"

#include <signal.h>
#include <stdio.h>

static struct fixture {
    char folder[TEMP_FOLDER_SIZE];
    char data[128];
    struct server_process server;
    void *zmq;
    struct raw_client client;
} f;

static int set_up(void **state)
{
    (void)state;
    assert_true(temp_folder_make(f.folder));
    snprintf(f.data, sizeof f.data, "%s/data", f.folder);
    const char *arguments[] = {"--listen", "tcp://127.0.0.1:0", "--data", f.data, NULL};
    assert_true(server_start(&f.server, TEST_VIGILD, arguments));
    f.zmq = zmq_ctx_new();
    raw_open(&f.client, f.zmq, f.server.endpoints[0]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    raw_close(&f.client);
    zmq_ctx_term(f.zmq);
    int status = server_stop(&f.server, SIGTERM);
    temp_folder_remove(f.folder);
    return status;
}

static const uint8_t one[] = {0x01};
static const struct bytes value_one = {one, sizeof one};

static uint64_t put(const char *key)
{
    struct reply_header reply;
    struct wire_reader body;
    raw_begin(&f.client, 0);
    raw_add_put(&f.client, key, value_one);
    assert_int_equal(raw_call(&f.client, &reply, &body), ERR_OK);
    return reply.seq;
}

static void hello_tells_what_a_client_needs(void **state)
{
    (void)state;
    struct reply_header reply;
    struct wire_reader body;
    struct reply_hello hello;
    struct request_hello request = {
        .protocol_min = 1, .protocol_max = 1, .client = raw_text("test")};
    struct wire_buffer b;
    wire_buffer_init(&b, 1024);
    request_hello_write(&b, &request);
    raw_begin(&f.client, 0);
    raw_add(&f.client, OP_HELLO, 0, &b);
    wire_buffer_free(&b);
    assert_int_equal(raw_call(&f.client, &reply, &body), ERR_OK);
    assert_true(reply_hello_read(&body, &hello));
    assert_int_equal(hello.protocol, 1);
    assert_int_equal(hello.window_messages, LIMIT_WINDOW_MESSAGES);
    assert_int_equal(hello.value_size_max, LIMIT_VALUE_SIZE);
    assert_true(f.client.reply_header.epoch != 0);
    assert_true(f.client.reply_header.incarnation != 0);

    struct endpoint e;
    struct endpoint derived;
    char replay[ENDPOINT_SIZE];
    assert_int_equal(endpoint_parse(f.server.endpoints[0], &e, NULL), ERR_OK);
    assert_int_equal(endpoint_derive(&e, ENDPOINT_STREAM, &hello, &derived), ERR_OK);
    assert_int_equal(endpoint_derive(&e, ENDPOINT_REPLAY, &hello, &derived), ERR_OK);
    endpoint_format(&derived, replay);
    struct raw_client other;
    raw_open(&other, f.zmq, replay);
    raw_begin(&other, 0);
    raw_add_empty(&other, OP_PING);
    assert_int_equal(raw_call(&other, &reply, &body), ERR_OK);
    raw_close(&other);
}

static void mutations_are_numbered_and_read_back(void **state)
{
    (void)state;
    struct reply_header reply;
    struct wire_reader body;
    struct reply_get get;
    uint64_t first = put("a/one");
    assert_int_equal(put("a/two"), first + 1);
    raw_begin(&f.client, 0);
    raw_add_get(&f.client, "a/one");
    assert_int_equal(raw_call(&f.client, &reply, &body), ERR_OK);
    assert_true(reply_get_read(&body, &get));
    assert_int_equal(get.present, 1);
    assert_int_equal(get.modified, first);
    assert_true(bytes_equal(get.value, value_one));
    assert_true(reply.seq >= first + 1);
}

/* Many small messages and one large: each is answered once, in order. */
static void pipelined_messages_are_answered_in_order(void **state)
{
    (void)state;
    enum { MESSAGES = 64, EACH = 50 };
    uint64_t ids[MESSAGES] = {0};
    for (int i = 0; i < MESSAGES; i++) {
        raw_begin(&f.client, 0);
        for (int k = 0; k < EACH; k++) {
            char key[32];
            snprintf(key, sizeof key, "p/%d", k);
            uint64_t id = raw_add_put(&f.client, key, value_one);
            if (k == 0)
                ids[i] = id;
        }
        raw_send(&f.client);
    }
    uint64_t last = 0;
    for (int i = 0; i < MESSAGES; i++) {
        assert_true(raw_receive(&f.client));
        assert_int_equal(f.client.reply_header.count, EACH);
        for (uint64_t k = 0; k < EACH; k++) {
            struct reply_header reply;
            struct wire_reader body;
            assert_true(raw_next(&f.client, &reply, &body));
            assert_int_equal(reply.status, ERR_OK);
            assert_int_equal(reply.id, ids[i] + k);
            assert_true(last == 0 || reply.seq == last + 1);
            last = reply.seq;
        }
        assert_true(f.client.reply_header.head >= last);
    }
}

static void expect_error(int code)
{
    struct reply_header reply;
    struct wire_reader body;
    struct reply_error error;
    assert_true(raw_receive(&f.client));
    assert_true(raw_next(&f.client, &reply, &body));
    assert_int_equal(reply.status, code);
    assert_true(reply_error_read(&body, &error));
    assert_true(error.text.size > 0);
}

static void send_frame(const void *data, size_t size, int flags)
{
    assert_true(zmq_send(f.client.socket, data, size, flags) >= 0);
}

static void nonsense_is_answered_and_the_connection_lives_on(void **state)
{
    (void)state;
    uint8_t newer[16] = {'V', 9, 1};
    put("n/before");
    send_frame("", 0, 0);
    expect_error(ERR_MALFORMED);
    send_frame("hello there, server", 19, 0);
    expect_error(ERR_MALFORMED);
    send_frame(newer, sizeof newer, 0);
    expect_error(ERR_VERSION);

    raw_begin(&f.client, 0);
    raw_add_put(&f.client, "n/cut", value_one);
    message_set_count(&f.client.out, 0, 1);
    for (size_t size = 1; size < f.client.out.size; size++) {
        send_frame(f.client.out.data, size, 0);
        expect_error(ERR_MALFORMED);
    }
    raw_begin(&f.client, 0);
    raw_add_empty(&f.client, 200);
    raw_send(&f.client);
    expect_error(ERR_UNKNOWN_OP);
    raw_begin(&f.client, 0);
    raw_add_put(&f.client, "", value_one);
    raw_send(&f.client);
    expect_error(ERR_BAD_KEY);
    put("n/after");
}

static void surplus_frames_get_one_answer(void **state)
{
    (void)state;
    uint64_t before = put("s/before");
    raw_begin(&f.client, 0);
    raw_add_put(&f.client, "s/two-frames", value_one);
    message_set_count(&f.client.out, 0, 1);
    send_frame(f.client.out.data, f.client.out.size, ZMQ_SNDMORE);
    send_frame("more", 4, 0);
    expect_error(ERR_MALFORMED);

    /* More than the server takes at once. */
    for (int i = 0; i < 8000; i++)
        send_frame("x", 1, ZMQ_SNDMORE);
    send_frame("x", 1, 0);
    expect_error(ERR_MALFORMED);
    assert_int_equal(put("s/after"), before + 1); /* neither was applied */
}

/* Above ZeroMQ's limit the connection ends; ZeroMQ makes a new one. */
static void too_large_messages_harm_only_their_sender(void **state)
{
    (void)state;
    struct raw_client other;
    struct reply_header reply;
    struct wire_reader body;
    static uint8_t large[LIMIT_MESSAGE_SIZE + 1];
    raw_open(&other, f.zmq, f.server.endpoints[0]);
    assert_true(zmq_send(other.socket, large, sizeof large, 0) >= 0);
    put("l/one");
    do { /* what is sent before the connection is back is lost */
        int timeout_ms = 200;
        zmq_setsockopt(other.socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
        raw_begin(&other, 0);
        raw_add_empty(&other, OP_PING);
    } while (raw_call(&other, &reply, &body) != ERR_OK);
    raw_close(&other);
}

static void stop_on_error_aborts_the_rest(void **state)
{
    (void)state;
    static const uint16_t expected[3] = {ERR_OK, ERR_BAD_VALUE, ERR_ABORTED};
    raw_begin(&f.client, MESSAGE_STOP_ON_ERROR);
    raw_add_put(&f.client, "e/1", value_one);
    raw_add_put(&f.client, "e/2", raw_text("\xc1"));
    raw_add_put(&f.client, "e/3", value_one);
    raw_send(&f.client);
    assert_true(raw_receive(&f.client));
    for (size_t i = 0; i < 3; i++) {
        struct reply_header reply;
        struct wire_reader body;
        assert_true(raw_next(&f.client, &reply, &body));
        assert_int_equal(reply.status, expected[i]);
    }
}

/* Steps over an integer or a text in MessagePack; the kinds that a status map has. */
static struct bytes take_item(struct wire_reader *r)
{
    uint8_t tag = wire_read_u8(r);
    if (tag < 0x80)
        return (struct bytes){NULL, 0};
    if ((tag & 0xe0) == 0xa0)
        return wire_read_raw(r, tag & 0x1f);
    if (tag == 0xda) {
        size_t size = (size_t)wire_read_u8(r) << 8;
        return wire_read_raw(r, size | wire_read_u8(r));
    }
    assert_in_range(tag, 0xcc, 0xcf);
    return wire_read_raw(r, (size_t)1 << (tag - 0xcc));
}

/* Every figure is explained in docs/operations.md. */
static void status_is_a_map_of_documented_figures(void **state)
{
    (void)state;
    static char page[65536];
    struct reply_header reply;
    struct wire_reader body;
    struct reply_status status;
    FILE *file = fopen(TEST_SOURCE_DIR "/docs/operations.md", "re");
    assert_non_null(file);
    assert_true(fread(page, 1, sizeof page - 1, file) > 0);
    (void)fclose(file);
    put("st/one");
    raw_begin(&f.client, 0);
    raw_add_empty(&f.client, OP_STATUS);
    assert_int_equal(raw_call(&f.client, &reply, &body), ERR_OK);
    assert_true(reply_status_read(&body, &status));
    struct wire_reader map = wire_reader_of(status.map.data, status.map.size);
    assert_int_equal(wire_read_u8(&map), 0xde);
    unsigned count = (unsigned)wire_read_u8(&map) << 8;
    count |= wire_read_u8(&map);
    assert_true(count > 20);
    for (unsigned i = 0; i < count; i++) {
        char quoted[64];
        struct bytes name = take_item(&map);
        snprintf(quoted, sizeof quoted, "`%.*s`", (int)name.size, (const char *)name.data);
        if (!strstr(page, quoted))
            fail_msg("%s is not documented", quoted);
        take_item(&map);
    }
    assert_true(wire_read_complete(&map));
}

static uint64_t replies_dropped(void)
{
    static const char name[] = "replies_dropped";
    struct reply_header reply;
    struct wire_reader body;
    struct reply_status status;
    raw_begin(&f.client, 0);
    raw_add_empty(&f.client, OP_STATUS);
    assert_int_equal(raw_call(&f.client, &reply, &body), ERR_OK);
    assert_true(reply_status_read(&body, &status));
    const uint8_t *at = memmem(status.map.data, status.map.size, name, sizeof name - 1);
    assert_non_null(at);
    return at[sizeof name - 1]; /* 0, or any other number */
}

/* A client that sends and never reads: its replies are dropped, others are served. */
static void a_client_that_does_not_read_is_left_behind(void **state)
{
    (void)state;
    struct raw_client deaf;
    int small = 1;
    raw_open(&deaf, f.zmq, f.server.endpoints[0]);
    zmq_setsockopt(deaf.socket, ZMQ_RCVHWM, &small, sizeof small);
    static uint8_t text[900 * 1024];
    static struct wire_buffer large;
    wire_buffer_init(&large, sizeof text + 8);
    wire_write_u8(&large, 0xc6);
    wire_write_u8(&large, 0);
    wire_write_u8(&large, (uint8_t)(sizeof text >> 16));
    wire_write_u8(&large, (uint8_t)(sizeof text >> 8));
    wire_write_u8(&large, (uint8_t)sizeof text);
    wire_write_raw(&large, text, sizeof text);
    struct reply_header reply;
    struct wire_reader body;
    raw_begin(&f.client, 0);
    raw_add_put(&f.client, "d/large", (struct bytes){large.data, large.size});
    assert_int_equal(raw_call(&f.client, &reply, &body), ERR_OK);
    wire_buffer_free(&large);
    for (int i = 0; i < 400; i++) {
        raw_begin(&deaf, 0);
        raw_add_get(&deaf, "d/large");
        raw_send(&deaf);
    }
    while (replies_dropped() == 0)
        put("d/others");
    raw_close(&deaf);
    put("d/after");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_tells_what_a_client_needs),
        cmocka_unit_test(mutations_are_numbered_and_read_back),
        cmocka_unit_test(pipelined_messages_are_answered_in_order),
        cmocka_unit_test(nonsense_is_answered_and_the_connection_lives_on),
        cmocka_unit_test(surplus_frames_get_one_answer),
        cmocka_unit_test(too_large_messages_harm_only_their_sender),
        cmocka_unit_test(stop_on_error_aborts_the_rest),
        cmocka_unit_test(status_is_a_map_of_documented_figures),
        cmocka_unit_test(a_client_that_does_not_read_is_left_behind),
    };
    return cmocka_run_group_tests_name("server requests", tests, set_up, tear_down);
}
