#define _GNU_SOURCE
/*
 * test_server_sessions.c - increments within sessions by clients that repeat what
 * got no reply, against a server that is killed again and again: the counter is
 * the sum of what was acknowledged.
 *
 * ctest: TIMEOUT=180
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/raw_client.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS = 4, ROUNDS = 12, MESSAGES = 60, PER_MESSAGE = 5, KILL_AT = 20 };

struct session_client {
    struct raw_client raw;
    uint64_t session;
    uint64_t next;     /* the first number without an outcome */
    uint64_t sent_to;  /* numbers up to it have been sent */
    uint64_t received; /* acknowledged increments */
    unsigned unanswered;
};

struct fixture {
    char folder[TEMP_FOLDER_SIZE];
    char data[128];
    char listen[160];
    struct server_process server;
    void *zmq;
    struct session_client clients[CLIENTS];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_true(temp_folder_make(f->folder));
    snprintf(f->data, sizeof f->data, "%s/data", f->folder);
    snprintf(f->listen, sizeof f->listen, "ipc://%s/sock", f->folder);
    f->zmq = zmq_ctx_new();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    server_stop(&f->server, SIGKILL);
    for (size_t i = 0; i < CLIENTS; i++)
        raw_close(&f->clients[i].raw);
    zmq_ctx_term(f->zmq);
    temp_folder_remove(f->folder);
    free(f);
    return 0;
}

static void start(struct fixture *f, const char *idle)
{
    /* Small checkpoints: kills meet them at any point. */
    const char *arguments[] = {
        "--data", f->data,          "--listen", f->listen, "--checkpoint-records",
        "100",    "--session-idle", idle,       NULL};
    if (!server_start(&f->server, TEST_VIGILD, arguments)) {
        char log[SERVER_LOG_SIZE];
        server_log(&f->server, log);
        fail_msg("vigild ended with %d: %s", f->server.exit_status, log);
    }
}

static uint64_t open_session(struct raw_client *c)
{
    struct reply_header reply;
    struct wire_reader body;
    struct reply_session_open opened;
    raw_begin(c, 0);
    raw_add_empty(c, OP_SESSION_OPEN);
    assert_int_equal(raw_call(c, &reply, &body), ERR_OK);
    assert_true(reply_session_open_read(&body, &opened));
    return opened.session;
}

/* A message of increments first..last. */
static void send_increments(struct session_client *c, uint64_t first, uint64_t last)
{
    struct wire_buffer *b = &c->raw.out;
    wire_buffer_clear(b);
    request_message_begin(b, &(struct request_message_header){.flags = MESSAGE_ACKNOWLEDGES,
                                                              .session = c->session,
                                                              .acknowledged = c->next - 1});
    c->raw.count = 0;
    for (uint64_t n = first; n <= last; n++) {
        size_t part =
            request_begin(b, &(struct request_header){.op = OP_INCR, .id = n, .number = n});
        request_incr_write(b, &(struct request_incr){.by = 1, .key = raw_text("n")});
        message_part_end(b, part);
        c->raw.count++;
    }
    raw_send(&c->raw);
    c->unanswered++;
}

static void take_reply(struct session_client *c)
{
    struct reply_header reply;
    struct wire_reader body;
    while (raw_next(&c->raw, &reply, &body)) {
        assert_int_equal(reply.status, ERR_OK);
        if (reply.id == c->next) {
            c->next++;
            c->received++;
        }
    }
    c->unanswered--;
}

/* Another socket, as a client does that has waited for too long; then all that has no outcome. */
static void connect_anew(struct fixture *f, struct session_client *c)
{
    raw_close(&c->raw);
    raw_open(&c->raw, f->zmq, f->listen);
    c->unanswered = 0;
    for (uint64_t n = c->next; n <= c->sent_to; n += PER_MESSAGE) {
        uint64_t last = n + PER_MESSAGE - 1;
        send_increments(c, n, last < c->sent_to ? last : c->sent_to);
    }
}

static void receive_all(struct session_client *c)
{
    while (c->unanswered > 0) {
        assert_true(raw_receive(&c->raw));
        take_reply(c);
    }
}

static uint64_t counter(struct fixture *f)
{
    struct raw_client *c = &f->clients[0].raw;
    struct reply_header reply;
    struct wire_reader body;
    struct reply_get got;
    raw_begin(c, 0);
    raw_add_get(c, "n");
    assert_int_equal(raw_call(c, &reply, &body), ERR_OK);
    assert_true(reply_get_read(&body, &got));
    uint64_t n = got.value.size == 1 ? got.value.data[0] : 0;
    for (size_t i = 1; i < got.value.size; i++)
        n = n << 8 | got.value.data[i];
    return n;
}

static void killed_again_and_again_the_sum_is_exact(void **state)
{
    struct fixture *f = *state;
    start(f, "1h");
    for (size_t i = 0; i < CLIENTS; i++) {
        raw_open(&f->clients[i].raw, f->zmq, f->listen);
        f->clients[i].session = open_session(&f->clients[i].raw);
        f->clients[i].next = 1;
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned m = 0; m < MESSAGES; m++) {
            struct session_client *c = &f->clients[m % CLIENTS];
            send_increments(c, c->sent_to + 1, c->sent_to + PER_MESSAGE);
            c->sent_to += PER_MESSAGE;
            if (m >= KILL_AT && m < KILL_AT + CLIENTS) { /* some replies come, some do not */
                assert_true(raw_receive(&c->raw));
                take_reply(c);
            }
        }
        server_stop(&f->server, round % 4 == 3 ? SIGTERM : SIGKILL);
        start(f, "1h");
        for (size_t i = 0; i < CLIENTS; i++)
            connect_anew(f, &f->clients[i]);
        for (size_t i = 0; i < CLIENTS; i++)
            receive_all(&f->clients[i]);
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(f->clients[i].received, f->clients[i].sent_to);
        sum += f->clients[i].received;
    }
    assert_int_equal(sum, ROUNDS * MESSAGES * PER_MESSAGE);
    assert_int_equal(counter(f), sum);
}

/* Without records, too: a session that was opened is known after a kill. */
static void an_open_session_is_durable(void **state)
{
    struct fixture *f = *state;
    struct session_client *c = &f->clients[0];
    start(f, "1h");
    raw_open(&c->raw, f->zmq, f->listen);
    c->session = open_session(&c->raw);
    c->next = 1;
    server_stop(&f->server, SIGKILL);
    start(f, "1h");
    connect_anew(f, c);
    send_increments(c, 1, 1);
    receive_all(c);
    assert_int_equal(counter(f), 1);
}

static void an_expired_session_is_unknown(void **state)
{
    struct fixture *f = *state;
    struct session_client *c = &f->clients[0];
    struct reply_header reply;
    struct wire_reader body;
    start(f, "1s");
    raw_open(&c->raw, f->zmq, f->listen);
    c->session = open_session(&c->raw);
    c->next = 1;
    int status;
    do { /* until it has expired; whatever does not name it does not keep it */
        uint64_t other = open_session(&c->raw);
        assert_true(other != c->session);
        struct timespec pause = {.tv_sec = 1, .tv_nsec = 100000000};
        nanosleep(&pause, NULL);
        send_increments(c, c->next, c->next);
        assert_true(raw_receive(&c->raw) && raw_next(&c->raw, &reply, &body));
        status = reply.status;
        c->next += status == ERR_OK;
    } while (status == ERR_OK);
    assert_int_equal(status, ERR_OUTCOME_UNKNOWN);
    assert_int_equal(counter(f), c->next - 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(killed_again_and_again_the_sum_is_exact),
        TEST(an_open_session_is_durable),
        TEST(an_expired_session_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
