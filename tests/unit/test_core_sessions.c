/*
 * Mutations within a session take effect once: what each number gets, before and
 * after aborts and restarts, and what keeps sessions within their bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/core/session.h"
#include "tests/support/core_fixture.h"

static int set_up(void **state)
{
    static const struct core_limits limits = {.sessions_max = 4, .session_idle_ms = 60000};
    struct core_fixture *f = malloc(sizeof *f);
    assert_non_null(f);
    core_fixture_open(f, 7, &limits);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    core_fixture_close(*state);
    free(*state);
    return 0;
}

static uint64_t open_session(struct core_fixture *f)
{
    struct reply_session_open body;
    core_fixture_message(f, 0, 0);
    (void)request_plain(f, OP_SESSION_OPEN);
    struct parsed_reply reply = core_fixture_ask(f, "p");
    assert_int_equal(reply.header.status, ERR_OK);
    assert_true(reply_session_open_read(&reply.body, &body));
    assert_int_not_equal(body.session, 0);
    assert_int_equal(body.window, LIMIT_SESSION_WINDOW);
    assert_int_equal(body.idle_s, 60);
    return body.session;
}

static struct parsed_reply close_session(struct core_fixture *f, uint64_t session)
{
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_SESSION_CLOSE);
    request_session_close_write(&f->message, &(struct request_session_close){.session = session});
    request_finish(f);
    return core_fixture_ask(f, "p");
}

static void begin_message(struct core_fixture *f, uint64_t session, uint64_t acknowledged,
                          uint32_t flags)
{
    f->acknowledged = acknowledged;
    core_fixture_message(f, flags | MESSAGE_ACKNOWLEDGES, session);
}

static void add_incr(struct core_fixture *f, uint64_t number, const char *key)
{
    f->next_number = number;
    (void)request_incr(f, key, 1);
}

/* One increment of "n" as a batch of its own. */
static struct parsed_reply incr(struct core_fixture *f, uint64_t session, uint64_t number,
                                uint64_t acknowledged)
{
    begin_message(f, session, acknowledged, 0);
    add_incr(f, number, "n");
    return core_fixture_ask(f, "p");
}

static void assert_refused(struct parsed_reply reply, int status, uint64_t seq)
{
    if (reply.header.status != status)
        print_message("%s\n", reply.text);
    assert_int_equal(reply.header.status, status);
    assert_int_equal(reply.header.seq, seq);
}

static void assert_value(struct core_fixture *f, const char *key, uint8_t value)
{
    struct reply_get got = core_fixture_get(f, key);
    assert_int_equal(got.present, value != 0);
    if (value)
        assert_true(bytes_equal(got.value, value_number(value)));
}

/* The replies are the same, but for the id. */
static void assert_same(struct parsed_reply a, const uint8_t *body, size_t size,
                        const struct reply_header *h)
{
    assert_int_equal(a.header.op, h->op);
    assert_int_equal(a.header.status, h->status);
    assert_int_equal(a.header.seq, h->seq);
    assert_int_equal(wire_left(&a.body), size);
    assert_memory_equal(a.body.at, body, size);
}

/* ---- repetition ---- */

static void add_sample(struct core_fixture *f, uint64_t number, unsigned kind)
{
    struct wire_buffer *b = &f->message;
    f->next_number = number;
    switch (kind) {
    case 0:
        (void)request_put(f, "a", value_text("text"));
        return;
    case 1:
        (void)request_incr(f, "n", 1000000);
        return;
    case 2:
        (void)request_delete(f, "a");
        return;
    case 3: /* there is none any more */
        (void)request_delete(f, "a");
        return;
    case 4:
        (void)request_put_if(f, "n", value_number(1), REQUEST_IF_SEQ, 99, (struct bytes){NULL, 0});
        return;
    case 5: /* a transaction with a result that the changes do not tell */
    case 6: /* and one without any change */
        (void)request_start(f, OP_TXN);
        wire_write_u16(b, 0);
        wire_write_u16(b, kind == 5 ? 2 : 1);
        txn_op_write(b, &(struct txn_op){.op = OP_GET, .key = bytes_of("n")});
        if (kind == 5)
            txn_op_write(
                b, &(struct txn_op){.op = OP_PUT, .key = bytes_of("b"), .value = value_number(3)});
        wire_write_u16(b, 0);
        request_finish(f);
        return;
    default:
        (void)request_put(f, "", value_number(1));
        return;
    }
}
enum { SAMPLES = 8 };

static void test_each_reply_is_repeated(void **state)
{
    struct core_fixture *f = *state;
    uint64_t session = open_session(f);
    struct wire_buffer kept[SAMPLES];
    struct reply_header headers[SAMPLES];
    for (unsigned i = 0; i < SAMPLES; i++) {
        wire_buffer_init(&kept[i], 4096);
        begin_message(f, session, 0, 0);
        add_sample(f, i + 1, i);
        struct parsed_reply reply = core_fixture_ask(f, "p");
        headers[i] = reply.header;
        wire_write_raw(&kept[i], reply.body.at, wire_left(&reply.body));
    }
    assert_int_equal(headers[2].status, ERR_OK);
    assert_int_equal(headers[3].status, ERR_NOT_FOUND);
    assert_int_equal(headers[4].status, ERR_CONFLICT);
    assert_int_equal(headers[6].status, ERR_OK);
    assert_int_equal(headers[7].status, ERR_BAD_KEY);
    uint64_t head = core_fixture_head(f);
    assert_int_equal(head, 4);
    for (unsigned restarted = 0; restarted < 2; restarted++) {
        for (unsigned i = 0; i < SAMPLES; i++) {
            begin_message(f, session, 0, 0);
            add_sample(f, i + 1, i);
            struct parsed_reply reply = core_fixture_ask(f, "q");
            /* After a restart in between, those without a record are not known, if a later one
             * was; behind the last record they are tried anew. */
            if (restarted && (i == 3 || i == 4))
                assert_refused(reply, ERR_OUTCOME_UNKNOWN, 0);
            else
                assert_same(reply, kept[i].data, kept[i].size, &headers[i]);
        }
        assert_int_equal(core_fixture_head(f), head);
        core_fixture_restart(f);
    }
    for (unsigned i = 0; i < SAMPLES; i++)
        wire_buffer_free(&kept[i]);
}

/* The row of a key may be ahead of the record that is restored: the reply is the first one all the
 * same. */
static void test_restored_version_is_of_the_record(void **state)
{
    struct core_fixture *f = *state;
    struct reply_put body;
    uint64_t session = open_session(f);
    for (uint64_t number = 1; number <= 3; number++) {
        begin_message(f, session, 0, 0);
        f->next_number = number;
        (void)request_put(f, "a", value_number((uint8_t)number));
        core_fixture_run(f, "p");
    }
    begin_message(f, session, 0, 0);
    f->next_number = 4;
    (void)request_put(f, "b", value_number(1));
    core_fixture_run(f, "p");
    core_checkpoint_start(f->core);
    core_fixture_begin(f);
    uint64_t applied;
    /* One row is written, without the session's. */
    assert_int_equal(core_checkpoint_slice(f->core, 0, NULL, NULL, &applied), ERR_OK);
    core_fixture_slice(f, 1);
    core_fixture_commit(f);
    assert_int_equal(f->applied, 0);
    core_fixture_restart(f);
    for (uint64_t number = 1; number <= 3; number++) {
        begin_message(f, session, 0, 0);
        f->next_number = number;
        (void)request_put(f, "a", value_number((uint8_t)number));
        struct parsed_reply reply = core_fixture_ask(f, "p");
        assert_int_equal(reply.header.status, ERR_OK);
        assert_int_equal(reply.header.seq, number);
        assert_true(reply_put_read(&reply.body, &body));
        assert_int_equal(body.version, number);
        assert_int_equal(body.prev_seq, number - 1);
    }
}

static void test_another_op(void **state)
{
    struct core_fixture *f = *state;
    uint64_t session = open_session(f);
    assert_refused(incr(f, session, 1, 0), ERR_OK, 1);
    begin_message(f, session, 0, 0);
    f->next_number = 1;
    (void)request_delete(f, "n");
    assert_refused(core_fixture_ask(f, "p"), ERR_INVALID, 2);
    assert_value(f, "n", 1);
}

static void test_record_of_a_session(void **state)
{
    struct core_fixture *f = *state;
    struct record_header h;
    uint64_t session = open_session(f);
    assert_refused(incr(f, session, 1, 0), ERR_OK, 1);
    assert_int_equal(record_check(core_fixture_record(f, 1), &h), ERR_OK);
    assert_true(h.session == session);
    assert_int_equal(h.number, 1);
    assert_int_equal(h.request_op, OP_INCR);
    assert_int_equal(h.flags, RECORD_FLAG_RESULT);
    struct parsed_reply reply = incr(f, session, 1, 0);
    assert_true(bytes_equal(record_result(core_fixture_record(f, 1).data),
                            (struct bytes){reply.body.at, wire_left(&reply.body)}));
}

/* ---- numbers ---- */

static void test_numbers_come_in_order(void **state)
{
    struct core_fixture *f = *state;
    uint64_t session = open_session(f);
    assert_refused(incr(f, session, 2, 0), ERR_ABORTED, 1);
    assert_refused(incr(f, session, 1, 0), ERR_OK, 1);
    assert_refused(incr(f, session, 3, 0), ERR_ABORTED, 2);
    assert_refused(incr(f, session, 2, 0), ERR_OK, 2);
    assert_refused(incr(f, session, 1, 0), ERR_OK, 1);
    assert_refused(incr(f, session, 2, 1), ERR_OK, 2);
    assert_refused(incr(f, session, 1, 0), ERR_OUTCOME_UNKNOWN, 0); /* acknowledged */
    assert_refused(incr(f, session, 9, 7), ERR_ABORTED, 8);         /* 3 to 7 are given up */
    assert_refused(incr(f, session, 5, 0), ERR_OUTCOME_UNKNOWN, 0);
    assert_refused(incr(f, session, 8, 0), ERR_OK, 3);
    assert_refused(incr(f, session, 9, 0), ERR_OK, 4);
    assert_value(f, "n", 4);
    assert_refused(incr(f, session, UINT64_MAX, UINT64_MAX), ERR_OUTCOME_UNKNOWN, 0);
    assert_value(f, "n", 4);
}

static void test_unknown_session(void **state)
{
    struct core_fixture *f = *state;
    assert_refused(incr(f, 12345, 1, 0), ERR_OUTCOME_UNKNOWN, 0);
    assert_value(f, "n", 0);
    begin_message(f, 12345, 9, 0); /* without a number it is not needed */
    (void)request_incr(f, "n", 1);
    assert_refused(core_fixture_ask(f, "p"), ERR_OK, 1);
}

static void test_window(void **state)
{
    struct core_fixture *f = *state;
    uint64_t session = open_session(f);
    begin_message(f, session, 0, 0);
    for (uint64_t i = 1; i < LIMIT_SESSION_WINDOW; i++)
        add_incr(f, i, "n");
    core_fixture_run(f, "p");
    assert_refused(incr(f, session, LIMIT_SESSION_WINDOW, 0), ERR_OK, LIMIT_SESSION_WINDOW);
    assert_refused(incr(f, session, LIMIT_SESSION_WINDOW + 1, 0), ERR_LIMIT,
                   LIMIT_SESSION_WINDOW + 1);
    for (uint64_t i = 1; i <= LIMIT_SESSION_WINDOW; i++) {
        if (i % 64 == 0)
            assert_refused(incr(f, session, i, 0), ERR_OK, i);
    }
    assert_refused(incr(f, session, LIMIT_SESSION_WINDOW + 1, 1), ERR_OK, LIMIT_SESSION_WINDOW + 1);
    struct core_figures figures;
    core_figures(f->core, &figures);
    assert_int_equal(figures.session_replies, LIMIT_SESSION_WINDOW);
    core_fixture_restart(f);
    assert_refused(incr(f, session, 2, 0), ERR_OK, 2);
    assert_refused(incr(f, session, LIMIT_SESSION_WINDOW + 1, LIMIT_SESSION_WINDOW), ERR_OK,
                   LIMIT_SESSION_WINDOW + 1);
    core_figures(f->core, &figures);
    assert_int_equal(figures.session_replies, 1);
}

/* ---- stop on error ---- */

static struct parsed_reply send_stopping(struct core_fixture *f, uint64_t session, uint64_t number,
                                         const char *key, uint64_t acknowledged)
{
    begin_message(f, session, acknowledged, MESSAGE_STOP_ON_ERROR);
    add_incr(f, number, key);
    return core_fixture_ask(f, "p");
}

static void test_stop_reaches_beyond_the_message(void **state)
{
    struct core_fixture *f = *state;
    uint64_t session = open_session(f);
    assert_refused(send_stopping(f, session, 1, "n", 0), ERR_OK, 1);
    assert_refused(send_stopping(f, session, 2, "", 0), ERR_BAD_KEY, 0);
    assert_refused(send_stopping(f, session, 3, "n", 1), ERR_ABORTED, 0);
    assert_refused(incr(f, session, 4, 0), ERR_OK, 2); /* its message does not ask for that */
    assert_refused(send_stopping(f, session, 5, "n", 0), ERR_ABORTED, 0);
    assert_refused(send_stopping(f, session, 2, "", 0), ERR_BAD_KEY, 0);
    assert_refused(send_stopping(f, session, 3, "n", 0), ERR_ABORTED, 0);
    assert_refused(send_stopping(f, session, 4, "n", 0), ERR_OK, 2);
    assert_refused(send_stopping(f, session, 6, "n", 2), ERR_OK, 3);
    assert_refused(send_stopping(f, session, 3, "n", 2), ERR_ABORTED, 0); /* its own outcome */
    assert_value(f, "n", 3);
}

static void test_stop_within_a_message(void **state)
{
    struct core_fixture *f = *state;
    uint64_t session = open_session(f);
    for (unsigned round = 0; round < 2; round++) { /* the second time all is repeated */
        begin_message(f, session, 0, MESSAGE_STOP_ON_ERROR);
        add_incr(f, 1, "n");
        (void)request_get(f, ""); /* fails, without a number */
        add_incr(f, 2, "n");
        (void)request_get(f, "n");
        add_incr(f, 3, "n");
        core_fixture_run(f, "p");
        static const uint16_t expected[] = {ERR_OK, ERR_BAD_KEY, ERR_ABORTED, ERR_ABORTED,
                                            ERR_ABORTED};
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(core_fixture_reply(f, 0, i).header.status, expected[i]);
    }
    assert_refused(send_stopping(f, session, 4, "n", 0), ERR_ABORTED, 0);
    assert_refused(send_stopping(f, session, 5, "n", 2), ERR_OK, 2);
    assert_value(f, "n", 2);
}

/* ---- aborts ---- */

static void test_abort_takes_back(void **state)
{
    struct core_fixture *f = *state;
    uint64_t session = open_session(f);
    assert_refused(incr(f, session, 1, 0), ERR_OK, 1);
    for (unsigned round = 0; round < 3; round++) {
        core_fixture_begin(f);
        begin_message(f, session, 0, MESSAGE_STOP_ON_ERROR);
        add_incr(f, 2, "n");
        add_incr(f, 3, "");
        add_incr(f, 4, "n");
        core_fixture_send(f, "p");
        if (round == 0)
            core_fixture_slice(f, 10);
        core_fixture_abort(f, ERR_NO_SPACE, NULL);
        assert_refused(core_fixture_reply(f, 0, 0), ERR_NO_SPACE, 0);
    }
    assert_value(f, "n", 1);
    assert_refused(incr(f, session, 3, 0), ERR_ABORTED, 2);
    assert_refused(send_stopping(f, session, 2, "n", 0), ERR_OK, 2); /* not stopped */
    assert_refused(incr(f, session, 1, 0), ERR_OK, 1);
    assert_value(f, "n", 2);
}

/* What is acknowledged stays so, also if the batch is aborted. */
static void test_abort_keeps_acknowledgements(void **state)
{
    struct core_fixture *f = *state;
    uint64_t session = open_session(f);
    assert_refused(incr(f, session, 1, 0), ERR_OK, 1);
    core_fixture_begin(f);
    begin_message(f, session, 0, 0);
    add_incr(f, 2, "n");
    core_fixture_send(f, "p");
    begin_message(f, session, 3, 0);
    add_incr(f, 4, "n");
    core_fixture_send(f, "p");
    core_fixture_abort(f, ERR_IO, NULL);
    assert_refused(incr(f, session, 2, 0), ERR_OUTCOME_UNKNOWN, 0);
    assert_refused(incr(f, session, 4, 0), ERR_OK, 2);
}

static void test_abort_of_opening_and_closing(void **state)
{
    struct core_fixture *f = *state;
    struct core_figures figures;
    uint64_t session = open_session(f);
    core_fixture_begin(f);
    core_fixture_message(f, 0, 0);
    (void)request_plain(f, OP_SESSION_OPEN);
    (void)request_start(f, OP_SESSION_CLOSE);
    request_session_close_write(&f->message, &(struct request_session_close){.session = session});
    request_finish(f);
    core_fixture_send(f, "p");
    begin_message(f, session, 0, 0);
    add_incr(f, 1, "n");
    core_fixture_send(f, "p");
    assert_int_equal(core_batch_record_count(f->core), 0); /* closed already */
    assert_true(core_batch_is_durable_work(f->core));
    core_fixture_abort(f, ERR_IO, NULL);
    core_figures(f->core, &figures);
    assert_int_equal(figures.sessions, 1);
    assert_refused(incr(f, session, 1, 0), ERR_OK, 1);
}

/* ---- life ---- */

static void test_open_is_durable(void **state)
{
    struct core_fixture *f = *state;
    uint64_t session = open_session(f);
    assert_int_equal(f->session_count, 1);
    core_fixture_restart(f);
    assert_refused(incr(f, session, 1, 0), ERR_OK, 1);
    core_fixture_restart(f);
    assert_refused(incr(f, session, 1, 0), ERR_OK, 1);
    assert_refused(incr(f, session, 2, 0), ERR_OK, 2);
    assert_value(f, "n", 2);
}

static void test_close(void **state)
{
    struct core_fixture *f = *state;
    uint64_t session = open_session(f);
    assert_refused(incr(f, session, 1, 0), ERR_OK, 1);
    assert_int_equal(close_session(f, session).header.status, ERR_OK);
    assert_int_equal(f->session_count, 0);
    assert_refused(incr(f, session, 1, 0), ERR_OUTCOME_UNKNOWN, 0);
    assert_int_equal(close_session(f, session).header.status, ERR_OK);
    core_fixture_restart(f); /* its record does not bring it back */
    assert_refused(incr(f, session, 2, 0), ERR_OUTCOME_UNKNOWN, 0);
    assert_value(f, "n", 1);
}

static void test_limit_and_expiry(void **state)
{
    struct core_fixture *f = *state;
    uint64_t first = open_session(f);
    uint64_t used = open_session(f);
    (void)open_session(f);
    (void)open_session(f);
    core_fixture_message(f, 0, 0);
    (void)request_plain(f, OP_SESSION_OPEN);
    assert_refused(core_fixture_ask(f, "p"), ERR_LIMIT, 0);
    (void)core_fixture_tick(f, 40000);
    assert_refused(incr(f, used, 1, 0), ERR_OK, 1);
    (void)core_fixture_tick(f, 40000);
    (void)open_session(f);
    assert_refused(incr(f, first, 1, 0), ERR_OUTCOME_UNKNOWN, 0);
    assert_refused(incr(f, used, 2, 0), ERR_OK, 2);
    /* Their rows are deleted with the next ones that are written anyway. */
    assert_int_equal(core_sessions_gone(f->core), 3);
    core_fixture_begin(f);
    core_fixture_slice(f, 10);
    core_fixture_commit(f);
    assert_int_equal(core_sessions_gone(f->core), 0);
    assert_int_equal(f->session_count, 2);
    /* After a restart the time counts anew. */
    (void)core_fixture_tick(f, 59000);
    core_fixture_restart(f);
    (void)core_fixture_tick(f, 59000);
    assert_refused(incr(f, used, 3, 0), ERR_OK, 3);
    (void)core_fixture_tick(f, 60001);
    assert_refused(incr(f, used, 4, 0), ERR_OUTCOME_UNKNOWN, 0);
}

/* A checkpoint is not complete before the sessions' rows are. */
static void test_checkpoint_needs_sessions(void **state)
{
    struct core_fixture *f = *state;
    uint64_t sessions[3];
    for (size_t i = 0; i < 3; i++)
        sessions[i] = open_session(f);
    for (size_t i = 0; i < 3; i++)
        assert_refused(incr(f, sessions[i], 1, 0), ERR_OK, i + 1);
    core_checkpoint_start(f->core);
    assert_int_equal(core_checkpoint_pending(f->core), 1 + 3);
    for (uint64_t step = 1; step <= 3; step++) {
        assert_int_equal(f->applied, 0);
        core_fixture_begin(f);
        core_fixture_slice(f, 1);
        core_fixture_commit(f);
    }
    assert_int_equal(f->applied, 3);
    assert_int_equal(core_checkpoint_pending(f->core), 0);
    core_fixture_compact(f, 3);
    core_fixture_restart(f);
    for (size_t i = 0; i < 3; i++)
        assert_refused(incr(f, sessions[i], 1, 0), ERR_OK, i + 1);
    assert_value(f, "n", 3);
}

static void test_large_result_is_refused(void **state)
{
    struct core_fixture *f = *state;
    uint64_t session = open_session(f);
    struct bytes large = value_blob(40000, 1);
    begin_message(f, session, 0, 0);
    f->next_number = 1;
    (void)request_put(f, "large", large);
    assert_refused(core_fixture_ask(f, "p"), ERR_OK, 1);
    for (uint64_t number = 2; number <= 3; number++) {
        begin_message(f, session, 0, 0);
        f->next_number = number;
        (void)request_start(f, OP_TXN);
        wire_write_u16(&f->message, 0);
        wire_write_u16(&f->message, 3);
        for (unsigned i = 0; i < 2; i++)
            txn_op_write(&f->message, &(struct txn_op){.op = OP_GET, .key = bytes_of("large")});
        txn_op_write(&f->message, &(struct txn_op){.op = OP_INCR, .by = 1, .key = bytes_of("n")});
        wire_write_u16(&f->message, 0);
        request_finish(f);
        struct parsed_reply reply = core_fixture_ask(f, "p");
        assert_refused(reply, ERR_TOO_LARGE, 0);
        assert_non_null(strstr(reply.text, "65536"));
    }
    assert_value(f, "n", 0);
    assert_refused(incr(f, session, 4, 0), ERR_OK, 2);
    free((void *)(uintptr_t)large.data);
}

/* ---- rows ---- */

static void test_row_and_its_damage(void **state)
{
    struct core_fixture *f = *state;
    uint64_t session = open_session(f);
    for (unsigned i = 0; i < SAMPLES; i++) {
        begin_message(f, session, i > 2 ? 1 : 0, MESSAGE_STOP_ON_ERROR);
        add_sample(f, i + 1, i);
        core_fixture_run(f, "p");
    }
    core_fixture_begin(f);
    core_fixture_slice(f, 10);
    core_fixture_commit(f);
    assert_int_equal(f->session_count, 1);
    struct bytes row = f->sessions[0].row;
    for (size_t cut = 0; cut < row.size; cut++) {
        uint8_t *copy = copy_exactly(row.data, cut);
        assert_int_equal(core_restore_session(f->core, session + 1, (struct bytes){copy, cut}),
                         ERR_CORRUPT);
        free(copy);
    }
    struct sample s = {3};
    for (unsigned i = 0; i < 20000; i++) { /* nonsense is refused, or does no harm */
        uint8_t *copy = copy_exactly(row.data, row.size);
        for (size_t n = 1 + sample_below(&s, 3); n > 0; n--)
            copy[sample_below(&s, sample_below(&s, 2) ? 60 : row.size)] = (uint8_t)sample_u64(&s);
        int err = core_restore_session(f->core, session + 2 + i, (struct bytes){copy, row.size});
        assert_true(err == ERR_OK || err == ERR_CORRUPT);
        free(copy);
    }
    core_fixture_restart(f);
    begin_message(f, session, 0, 0);
    add_sample(f, 4, 3);
    struct parsed_reply reply = core_fixture_ask(f, "p");
    assert_refused(reply, ERR_NOT_FOUND, 0); /* a failure that had no record, from the row */
    assert_refused(send_stopping(f, session, 9, "n", 1), ERR_ABORTED, 0);
    assert_refused(send_stopping(f, session, 10, "n", 4), ERR_OK, 4);
}

/* Acknowledgements that were not written before a restart had moved the window. */
static void test_restart_moves_the_window(void **state)
{
    struct core_fixture *f = *state;
    uint64_t session = open_session(f);
    uint64_t last = 3 * (uint64_t)LIMIT_SESSION_WINDOW;
    for (uint64_t n = 1; n <= last; n += 512) {
        begin_message(f, session, n - 1, 0);
        for (uint64_t i = 0; i < 512; i++)
            add_incr(f, n + i, "n");
        core_fixture_run(f, "p");
    }
    core_fixture_restart(f);
    struct core_figures figures;
    core_figures(f->core, &figures);
    assert_int_equal(figures.session_replies, LIMIT_SESSION_WINDOW);
    assert_refused(incr(f, session, last, 0), ERR_OK, last);
    assert_refused(incr(f, session, last - LIMIT_SESSION_WINDOW, 0), ERR_OUTCOME_UNKNOWN, 0);
    assert_refused(incr(f, session, last - LIMIT_SESSION_WINDOW + 1, 0), ERR_OK,
                   last - LIMIT_SESSION_WINDOW + 1);
    assert_refused(incr(f, session, last + 1, last), ERR_OK, last + 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_each_reply_is_repeated),
        TEST(test_restored_version_is_of_the_record),
        TEST(test_another_op),
        TEST(test_record_of_a_session),
        TEST(test_numbers_come_in_order),
        TEST(test_unknown_session),
        TEST(test_window),
        TEST(test_stop_reaches_beyond_the_message),
        TEST(test_stop_within_a_message),
        TEST(test_abort_takes_back),
        TEST(test_abort_keeps_acknowledgements),
        TEST(test_abort_of_opening_and_closing),
        TEST(test_open_is_durable),
        TEST(test_close),
        TEST(test_limit_and_expiry),
        TEST(test_checkpoint_needs_sessions),
        TEST(test_large_result_is_refused),
        TEST(test_row_and_its_damage),
        TEST(test_restart_moves_the_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
