/* fake_server.c - see fake_server.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/fake_server.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "client/clock.h"

enum { STEP_MS = 5, QUIET_MS = 60 };

static void open_router(struct fake_server *s)
{
    const int linger = 0;
    s->router = zmq_socket(s->zmq, ZMQ_ROUTER);
    assert_non_null(s->router);
    zmq_setsockopt(s->router, ZMQ_LINGER, &linger, sizeof linger);
    /* The socket's file may still be that of the one before, for a moment. */
    int64_t deadline = clock_now_ms() + FAKE_PATIENCE_MS;
    while (zmq_bind(s->router, s->endpoint) != 0)
        assert_true(clock_now_ms() < deadline);
}

static void send_bytes(struct fake_server *s, struct wire_buffer *b)
{
    zmq_msg_t peer;
    assert_false(b->failed);
    zmq_msg_init(&peer);
    zmq_msg_copy(&peer, &s->peer);
    assert_true(zmq_msg_send(&peer, s->router, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(s->router, b->data, b->size, 0) >= 0);
    wire_buffer_free(b);
}

static void begin_reply(const struct fake_server *s, struct wire_buffer *b)
{
    wire_buffer_init(b, LIMIT_REPLY_SIZE);
    reply_message_begin(b, &(struct reply_message_header){
                               .count = s->header.count, .epoch = s->epoch, .incarnation = 9});
}

static void answer_hello(struct fake_server *s)
{
    static const uint8_t no_ports[2];
    struct wire_buffer b;
    struct reply_hello hello = {.protocol = PROTOCOL_VERSION,
                                .window_messages = 64,
                                .message_size_max = LIMIT_MESSAGE_SIZE,
                                .value_size_max = 1 << 20,
                                .lease_ms = 30000,
                                .stream_suffix = {(const uint8_t *)".stream", 7},
                                .replay_suffix = {(const uint8_t *)".replay", 7},
                                .ports = {no_ports, sizeof no_ports}};
    begin_reply(s, &b);
    size_t place = reply_begin(&b, &(struct reply_header){.op = OP_HELLO, .id = s->requests[0].id});
    reply_hello_write(&b, &hello);
    message_part_end(&b, place);
    send_bytes(s, &b);
    s->greetings++;
}

/* True: a message that is no hello. Waits up to timeout_ms. */
static bool receive(struct fake_server *s, int timeout_ms)
{
    zmq_pollitem_t item = {.socket = s->router, .events = ZMQ_POLLIN};
    zmq_msg_t m;
    if (zmq_poll(&item, 1, timeout_ms) != 1)
        return false;
    zmq_msg_close(&s->peer);
    zmq_msg_init(&s->peer);
    zmq_msg_init(&m);
    assert_true(zmq_msg_recv(&s->peer, s->router, 0) >= 0);
    assert_true(zmq_msg_recv(&m, s->router, 0) >= 0);
    assert_false(zmq_msg_more(&m));
    struct wire_reader r = wire_reader_of(zmq_msg_data(&m), zmq_msg_size(&m));
    assert_int_equal(request_message_read(&r, &s->header), ERR_OK);
    for (uint16_t i = 0; i < s->header.count; i++) {
        struct wire_reader body;
        assert_int_equal(request_read(&r, &s->requests[i], &body), ERR_OK);
    }
    assert_true(wire_read_complete(&r));
    zmq_msg_close(&m);
    if (s->requests[0].op != OP_HELLO)
        return true;
    answer_hello(s);
    return false;
}

/* vigil_open blocks, so somebody else must answer: the only moment with two threads. */
static void *greet(void *context)
{
    struct fake_server *s = context;
    (void)receive(s, FAKE_PATIENCE_MS);
    return NULL;
}

void fake_open(struct fake_server *s, vigil_options options)
{
    pthread_t greeter;
    memset(s, 0, sizeof *s);
    zmq_msg_init(&s->peer);
    assert_true(temp_folder_make(s->folder));
    snprintf(s->endpoint, sizeof s->endpoint, "ipc://%s/s", s->folder);
    s->zmq = zmq_ctx_new();
    s->epoch = 5;
    s->session = 100;
    s->window = LIMIT_SESSION_WINDOW;
    open_router(s);
    assert_int_equal(pthread_create(&greeter, NULL, greet, s), 0);
    options.endpoint = s->endpoint;
    int err = vigil_open(&options, &s->v);
    assert_int_equal(pthread_join(greeter, NULL), 0);
    if (err)
        fail_msg("vigil_open: %s", vigil_failure_text(NULL));
}

void fake_close(struct fake_server *s)
{
    vigil_close(s->v);
    zmq_msg_close(&s->peer);
    zmq_close(s->router);
    zmq_ctx_term(s->zmq);
    temp_folder_remove(s->folder);
}

void fake_pump(struct fake_server *s)
{
    vigil_completion *c = &s->outcomes[s->outcome_count];
    for (;;) {
        int err = vigil_receive(s->v, 0, c);
        if (err != VIGIL_OK && err != VIGIL_DISCONNECTED)
            return;
        c->value = NULL;
        c++;
        assert_true(++s->outcome_count < FAKE_OUTCOMES_MAX);
    }
}

void fake_drop(struct fake_server *s)
{
    unsigned before = s->greetings;
    int64_t deadline = clock_now_ms() + FAKE_PATIENCE_MS;
    zmq_close(s->router);
    open_router(s);
    while (s->greetings == before) {
        fake_pump(s);
        assert_false(receive(s, STEP_MS));
        assert_true(clock_now_ms() < deadline);
    }
}

static bool take(struct fake_server *s, int patience_ms)
{
    int64_t deadline = clock_now_ms() + patience_ms;
    do {
        fake_pump(s);
        if (receive(s, STEP_MS))
            return true;
    } while (clock_now_ms() < deadline);
    return false;
}

void fake_take(struct fake_server *s)
{
    if (!take(s, FAKE_PATIENCE_MS))
        fail_msg("no message has come");
}

bool fake_has_message(struct fake_server *s)
{
    return take(s, QUIET_MS);
}

static void answer_one(const struct fake_server *s, struct wire_buffer *b,
                       const struct request_header *r, uint64_t seq)
{
    size_t place = reply_begin(b, &(struct reply_header){.op = r->op, .id = r->id, .seq = seq});
    if (r->op == OP_PUT)
        reply_put_write(b, &(struct reply_put){.version = 1});
    else if (r->op == OP_GET)
        reply_get_write(b, &(struct reply_get){.present = 0});
    else if (r->op == OP_SESSION_OPEN)
        reply_session_open_write(b, &(struct reply_session_open){
                                        .session = s->session, .window = s->window, .idle_s = 60});
    else
        fail_msg("op %d", r->op);
    message_part_end(b, place);
}

void fake_answer_from(struct fake_server *s, size_t at, int status, uint64_t seq)
{
    struct wire_buffer b;
    begin_reply(s, &b);
    for (size_t i = 0; i < s->header.count; i++) {
        const struct request_header *r = &s->requests[i];
        if (i < at)
            answer_one(s, &b, r, i + 1);
        else
            reply_write_error(&b, r->op, r->id, (uint16_t)status, seq, NULL);
    }
    send_bytes(s, &b);
}

void fake_answer(struct fake_server *s)
{
    fake_answer_from(s, FAKE_REQUESTS_MAX, 0, 0);
}

void fake_grant_session(struct fake_server *s)
{
    fake_take(s);
    assert_int_equal(s->header.count, 1);
    assert_int_equal(s->header.session, 0);
    assert_int_equal(s->requests[0].op, OP_SESSION_OPEN);
    s->session++;
    fake_answer(s);
}

void fake_wait_outcomes(struct fake_server *s, size_t count)
{
    int64_t deadline = clock_now_ms() + FAKE_PATIENCE_MS;
    while (s->outcome_count < count) {
        fake_pump(s);
        if (s->outcome_count < count && receive(s, STEP_MS))
            fail_msg("a message instead of an outcome");
        assert_true(clock_now_ms() < deadline);
    }
    assert_int_equal(s->outcome_count, count);
}
