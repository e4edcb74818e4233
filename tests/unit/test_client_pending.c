/*
 * test_client_pending.c - requests into messages (outbox) and replies back to who asked (pending).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/outbox.h"
#include "client/pending.h"
#include "tests/support/sample_bytes.h"

/* ---- outbox ---- */

static uint64_t next_id = 1;

static int add(struct outbox *o, size_t size, uint32_t flags)
{
    struct wire_buffer *b;
    struct request_header header = {.op = OP_PUT, .id = next_id};
    int err = outbox_begin(o, &header, flags, size, &b);
    if (err)
        return err;
    uint8_t *body = wire_extend(b, size);
    if (body)
        memset(body, 'x', size);
    err = outbox_end(o);
    next_id += err == ERR_OK;
    return err;
}

/* Every message must read back as it was written. Returns the number of requests. */
static size_t drain(struct outbox *o, size_t *ret_messages)
{
    size_t requests = 0;
    *ret_messages = 0;
    struct client_session none = {.off = true};
    for (struct outbox_message *m; (m = o->unsent); outbox_answered(o)) {
        struct bytes message = outbox_stamp(m, &none);
        struct wire_reader r = wire_reader_of(message.data, message.size);
        struct request_message_header header;
        uint64_t last_id = 0;
        assert_int_equal(request_message_read(&r, &header), ERR_OK);
        assert_int_equal(header.count, m->count);
        assert_int_equal(header.flags, m->flags);
        for (uint16_t i = 0; i < header.count; i++) {
            struct request_header request;
            struct wire_reader body;
            assert_int_equal(request_read(&r, &request, &body), ERR_OK);
            assert_true(i == 0 ? request.id == m->first_id : request.id > last_id);
            last_id = request.id;
        }
        assert_true(wire_read_complete(&r));
        assert_true(m->count == 1 || m->buffer.size <= OUTBOX_MESSAGE_SIZE);
        requests += header.count;
        (*ret_messages)++;
        outbox_sent(o);
    }
    assert_int_equal(o->size_bytes, 0);
    return requests;
}

static void small_requests_share_messages(void **state)
{
    (void)state;
    struct outbox o;
    size_t messages;
    outbox_init(&o);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(add(&o, 10, 0), ERR_OK);
    assert_int_equal(drain(&o, &messages), 10000);
    assert_int_equal(messages, 10); /* 1024 mutations each, and the rest */
    for (int i = 0; i < 10; i++)
        assert_int_equal(add(&o, 100000, 0), ERR_OK);
    assert_int_equal(drain(&o, &messages), 10);
    assert_int_equal(messages, 5);
    outbox_free(&o);
}

static void flags_separate_messages(void **state)
{
    (void)state;
    struct outbox o;
    size_t messages;
    outbox_init(&o);
    for (int i = 0; i < 12; i++)
        assert_int_equal(add(&o, 10, i % 6 >= 3 ? MESSAGE_STOP_ON_ERROR : 0), ERR_OK);
    assert_int_equal(drain(&o, &messages), 12);
    assert_int_equal(messages, 4);
    outbox_free(&o);
}

static void large_requests_go_alone_or_not_at_all(void **state)
{
    (void)state;
    struct outbox o;
    size_t messages;
    outbox_init(&o);
    size_t most = LIMIT_MESSAGE_SIZE - OUTBOX_HEADER_SIZE - REQUEST_HEADER_SIZE;
    assert_int_equal(add(&o, 1, 0), ERR_OK);
    assert_int_equal(add(&o, most, 0), ERR_OK);
    assert_int_equal(add(&o, most + 1, 0), ERR_TOO_LARGE);
    assert_int_equal(add(&o, SIZE_MAX, 0), ERR_TOO_LARGE);
    assert_int_equal(add(&o, 1, 0), ERR_OK);
    assert_int_equal(drain(&o, &messages), 3);
    assert_int_equal(messages, 3);
    int added = 0;
    int err;
    while ((err = add(&o, 1000000, 0)) == ERR_OK)
        added++;
    assert_int_equal(err, ERR_BUSY);
    assert_true(added >= OUTBOX_SIZE / 1000000 - 1 && added <= OUTBOX_SIZE / 1000000 + 1);
    outbox_clear(&o);
    assert_int_equal(o.size_bytes, 0);
    outbox_free(&o);
}

/* A body that turns out larger than announced does not fit: the request is taken back. */
static void what_fails_is_taken_back(void **state)
{
    (void)state;
    struct outbox o;
    struct wire_buffer *b;
    size_t messages;
    outbox_init(&o);
    for (int first = 0; first < 2; first++) {
        if (first)
            assert_int_equal(add(&o, 10, 0), ERR_OK);
        struct request_header header = {.op = OP_PUT, .id = next_id};
        assert_int_equal(outbox_begin(&o, &header, 0, 10, &b), ERR_OK);
        assert_null(wire_extend(b, LIMIT_MESSAGE_SIZE));
        assert_int_equal(outbox_end(&o), ERR_NO_MEMORY);
        assert_int_equal(o.first == NULL, !first);
    }
    assert_int_equal(add(&o, 10, 0), ERR_OK);
    assert_int_equal(drain(&o, &messages), 2);
    assert_int_equal(messages, 1);
    outbox_free(&o);
}

static bool is_flagged(void *context, const struct outbox_message *m)
{
    size_t *count = context;
    if (!(m->flags & MESSAGE_STOP_ON_ERROR))
        return false;
    *count += m->count;
    return true;
}

static void messages_can_be_taken_out(void **state)
{
    (void)state;
    struct outbox o;
    size_t messages;
    size_t dropped = 0;
    outbox_init(&o);
    for (int i = 0; i < 9; i++)
        assert_int_equal(add(&o, 10, i % 3 == 1 ? 0 : MESSAGE_STOP_ON_ERROR), ERR_OK);
    outbox_take_out(&o, is_flagged, &dropped);
    assert_int_equal(dropped, 6);
    assert_int_equal(add(&o, 10, 0), ERR_OK); /* the last one is found again */
    assert_int_equal(drain(&o, &messages), 4);
    dropped = 0;
    assert_int_equal(add(&o, 10, MESSAGE_STOP_ON_ERROR), ERR_OK);
    outbox_take_out(&o, is_flagged, &dropped);
    assert_int_equal(dropped, 1);
    assert_null(o.first);
    assert_int_equal(o.size_bytes, 0);
    assert_int_equal(add(&o, 10, 0), ERR_OK);
    assert_int_equal(drain(&o, &messages), 1);
    /* What has been sent stays. */
    assert_int_equal(add(&o, 10, MESSAGE_STOP_ON_ERROR), ERR_OK);
    outbox_sent(&o);
    assert_int_equal(add(&o, 10, MESSAGE_STOP_ON_ERROR), ERR_OK);
    dropped = 0;
    outbox_take_out(&o, is_flagged, &dropped);
    assert_int_equal(dropped, 1);
    assert_non_null(o.first);
    outbox_free(&o);
}

/* ---- sending again ---- */

static struct client_session open_session(uint32_t window)
{
    return (struct client_session){.state = SESSION_OPEN, .id = 77, .epoch = 5, .window = window};
}

/* Sends the next message; its requests are ids[..count], with these numbers, 0 for reads. */
static void expect_sent(struct outbox *o, struct client_session *s, uint64_t acknowledged,
                        const uint64_t *ids, const uint64_t *numbers, size_t count)
{
    struct request_message_header header;
    assert_non_null(o->unsent);
    struct bytes message = outbox_stamp(o->unsent, s);
    struct wire_reader r = wire_reader_of(message.data, message.size);
    assert_int_equal(request_message_read(&r, &header), ERR_OK);
    assert_int_equal(header.session, s->id);
    assert_int_equal(header.acknowledged, acknowledged);
    assert_int_equal(header.count, count);
    for (size_t i = 0; i < count; i++) {
        struct request_header request;
        struct wire_reader body;
        assert_int_equal(request_read(&r, &request, &body), ERR_OK);
        assert_int_equal(request.id, ids[i]);
        assert_int_equal(request.number, numbers[i]);
        assert_int_equal(outbox_number_of(o->unsent, ids[i]), numbers[i]);
    }
    assert_true(wire_read_complete(&r));
    outbox_sent(o);
}

static void add_op(struct outbox *o, uint8_t op, uint32_t flags)
{
    struct wire_buffer *b;
    struct request_header header = {.op = op, .id = next_id};
    assert_int_equal(outbox_begin(o, &header, flags, 3, &b), ERR_OK);
    wire_write_raw(b, "xyz", 3);
    assert_int_equal(outbox_end(o), ERR_OK);
    next_id++;
}

static bool keep_after(void *context, const struct outbox_request *r)
{
    const uint64_t *id = context;
    return r->id > *id;
}

static bool keep_reads_and_new(void *context, const struct outbox_request *r)
{
    size_t *lost = context;
    bool keeps = !request_op_is_mutation(r->op) || !r->doubtful;
    *lost += !keeps;
    return keeps;
}

static void what_is_sent_again_keeps_its_numbers(void **state)
{
    (void)state;
    struct outbox o;
    struct client_session s = open_session(4096);
    next_id = 1;
    outbox_init(&o);
    add_op(&o, OP_PUT, 0); /* 1 */
    add_op(&o, OP_GET, 0);
    add_op(&o, OP_INCR, 0);
    expect_sent(&o, &s, 0, (uint64_t[]){1, 2, 3}, (uint64_t[]){1, 0, 2}, 3);
    add_op(&o, OP_DELETE, 0); /* 4: a message of its own */
    add_op(&o, OP_TXN, 0);
    expect_sent(&o, &s, 0, (uint64_t[]){4, 5}, (uint64_t[]){3, 4}, 2);
    add_op(&o, OP_PUT, 0); /* 6: not sent */
    assert_int_equal(o.sent_count, 2);
    assert_int_equal(outbox_oldest_number(&o), 1);
    assert_false(outbox_has_unnumbered_sent(&o));

    uint64_t ended = 2;
    outbox_rewind(&o, keep_after, &ended);
    assert_int_equal(o.sent_count, 0);
    assert_int_equal(outbox_oldest_number(&o), 2);
    client_session_acknowledge(&s, outbox_oldest_number(&o));
    expect_sent(&o, &s, 1, (uint64_t[]){3}, (uint64_t[]){2}, 1);
    expect_sent(&o, &s, 1, (uint64_t[]){4, 5}, (uint64_t[]){3, 4}, 2);
    assert_true(o.first->doubtful && o.first->next->doubtful && !o.unsent->doubtful);
    expect_sent(&o, &s, 1, (uint64_t[]){6}, (uint64_t[]){5}, 1);

    /* A whole message has ended. */
    ended = 3;
    outbox_rewind(&o, keep_after, &ended);
    client_session_acknowledge(&s, outbox_oldest_number(&o));
    expect_sent(&o, &s, 2, (uint64_t[]){4, 5}, (uint64_t[]){3, 4}, 2);
    outbox_answered(&o);
    ended = 100;
    outbox_rewind(&o, keep_after, &ended);
    assert_null(o.first);
    assert_null(o.last);
    assert_int_equal(o.size_bytes, 0);
    assert_int_equal(client_session_acknowledge(&s, outbox_oldest_number(&o)), 5);
    outbox_free(&o);
}

static void another_session_numbers_anew_what_was_never_sent(void **state)
{
    (void)state;
    struct outbox o;
    struct client_session s = open_session(4096);
    size_t lost = 0;
    next_id = 1;
    outbox_init(&o);
    add_op(&o, OP_PUT, 0);
    add_op(&o, OP_GET, 0);
    expect_sent(&o, &s, 0, (uint64_t[]){1, 2}, (uint64_t[]){1, 0}, 2);
    uint64_t none = 0;
    outbox_rewind(&o, keep_after, &none); /* the connection was lost */
    expect_sent(&o, &s, 0, (uint64_t[]){1, 2}, (uint64_t[]){1, 0}, 2);
    add_op(&o, OP_PUT, 0);
    expect_sent(&o, &s, 0, (uint64_t[]){3}, (uint64_t[]){2}, 1); /* over this connection only */
    add_op(&o, OP_PUT, 0);
    outbox_rewind(&o, keep_reads_and_new, &lost);
    outbox_renumber(&o);
    assert_int_equal(lost, 1);
    s = open_session(4096);
    s.id = 78;
    expect_sent(&o, &s, 0, (uint64_t[]){2}, (uint64_t[]){0}, 1);
    expect_sent(&o, &s, 0, (uint64_t[]){3}, (uint64_t[]){1}, 1);
    expect_sent(&o, &s, 0, (uint64_t[]){4}, (uint64_t[]){2}, 1);
    for (struct outbox_message *m = o.first; m; m = m->next)
        assert_false(m->doubtful);
    outbox_free(&o);
}

static void without_a_session_nothing_is_numbered(void **state)
{
    (void)state;
    struct outbox o;
    struct client_session none = {.off = true};
    struct request_message_header header;
    next_id = 1;
    outbox_init(&o);
    add_op(&o, OP_GET, 0);
    outbox_stamp(o.unsent, &none);
    outbox_sent(&o);
    assert_false(outbox_has_unnumbered_sent(&o));
    add_op(&o, OP_PUT, 0);
    struct bytes message = outbox_stamp(o.unsent, &none);
    outbox_sent(&o);
    struct wire_reader r = wire_reader_of(message.data, message.size);
    assert_int_equal(request_message_read(&r, &header), ERR_OK);
    assert_int_equal(header.session, 0);
    assert_int_equal(header.flags, 0);
    assert_int_equal(outbox_oldest_number(&o), 0);
    assert_true(outbox_has_unnumbered_sent(&o));
    outbox_free(&o);
}

/* ---- pending ---- */

struct seen {
    int calls;
    int error;
    uint64_t id;
    uint64_t epoch;
};

static void note(void *context, const struct reply *reply)
{
    struct seen *s = context;
    s->calls++;
    s->error = reply->error;
    s->id = reply->message ? reply->header.id : 0;
    s->epoch = reply->message ? reply->message->epoch : 0;
}

struct message {
    struct wire_buffer b;
    uint16_t count;
};

static void message_start(struct message *m)
{
    wire_buffer_init(&m->b, LIMIT_REPLY_SIZE);
    m->count = 0;
    reply_message_begin(&m->b, &(struct reply_message_header){.epoch = 5, .head = 9});
}

static void message_put(struct message *m, uint64_t id, uint64_t seq)
{
    size_t place = reply_begin(&m->b, &(struct reply_header){.op = OP_PUT, .id = id, .seq = seq});
    reply_put_write(&m->b, &(struct reply_put){.prev_seq = seq - 1, .version = 3});
    message_part_end(&m->b, place);
    m->count++;
}

static void message_error(struct message *m, uint8_t op, uint64_t id, int status, const char *text)
{
    reply_write_error(&m->b, op, id, (uint16_t)status, 0, text);
    m->count++;
}

static int take_bytes(struct pending *p, const uint8_t *data, size_t size, uint64_t first_id,
                      uint16_t count)
{
    struct reply_summary summary;
    struct answered_message m = {.first_id = first_id, .count = count};
    struct reply_frame *f = reply_frame_new(p);
    assert_non_null(f);
    wire_write_raw(&f->message, data, size);
    int err = pending_take_reply(p, f, &m, &summary);
    reply_frame_release(p, f);
    return err;
}

static int take(struct pending *p, struct message *m, uint64_t first_id, uint16_t count)
{
    message_set_count(&m->b, 0, m->count);
    assert_false(m->b.failed);
    int err = take_bytes(p, m->b.data, m->b.size, first_id, count);
    wire_buffer_free(&m->b);
    return err;
}

static uint64_t ask(struct pending *p, reply_handler *handler, void *context)
{
    assert_int_equal(pending_reserve(p), ERR_OK);
    return pending_add(
        p, &(struct pending_request){
               .op = OP_PUT, .application = !handler, .handler = handler, .context = context});
}

static void replies_reach_who_asked(void **state)
{
    (void)state;
    struct pending p;
    struct message m;
    struct seen a = {0};
    struct seen b = {0};
    struct pending_outcome outcome;
    assert_int_equal(pending_init(&p), ERR_OK);
    assert_int_equal(ask(&p, note, &a), 1);
    assert_int_equal(ask(&p, NULL, NULL), 2);
    assert_int_equal(ask(&p, note, &b), 3);
    assert_int_equal(pending_count(&p), 3);
    pending_abandon(&p, &b);
    message_start(&m);
    message_put(&m, 1, 10);
    message_error(&m, OP_PUT, 2, ERR_CONFLICT, "because");
    message_put(&m, 3, 12);
    assert_int_equal(take(&p, &m, 1, 3), ERR_OK);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.error, ERR_OK);
    assert_int_equal(a.epoch, 5);
    assert_int_equal(b.calls, 0);
    assert_int_equal(pending_count(&p), 0);
    assert_true(pending_outcome(&p, &outcome));
    assert_int_equal(outcome.completion.id, 2);
    assert_int_equal(outcome.completion.error, ERR_CONFLICT);
    assert_true(bytes_equal(outcome.text, bytes_of("because")));
    reply_frame_release(&p, outcome.frame);
    assert_false(pending_outcome(&p, &outcome));
    assert_int_equal(p.application_count, 0);
    pending_free(&p);
}

static void one_error_answers_a_message_that_was_not_understood(void **state)
{
    (void)state;
    struct pending p;
    struct message m;
    struct seen s = {0};
    assert_int_equal(pending_init(&p), ERR_OK);
    for (int i = 0; i < 3; i++)
        ask(&p, note, &s);
    ask(&p, NULL, NULL);
    message_start(&m);
    message_error(&m, 0, 0, ERR_MALFORMED, NULL);
    assert_int_equal(take(&p, &m, 1, 4), ERR_OK);
    assert_int_equal(s.calls, 3);
    assert_int_equal(s.error, ERR_MALFORMED);
    struct pending_outcome outcome;
    assert_true(pending_outcome(&p, &outcome));
    assert_int_equal(outcome.completion.id, 4);
    assert_int_equal(outcome.completion.error, ERR_MALFORMED);
    reply_frame_release(&p, outcome.frame);
    pending_free(&p);
}

static void what_answers_something_else_is_malformed(void **state)
{
    (void)state;
    struct seen s = {0};
    for (int kind = 0; kind < 7; kind++) {
        struct pending p;
        struct message m;
        assert_int_equal(pending_init(&p), ERR_OK);
        ask(&p, note, &s);
        ask(&p, NULL, NULL);
        message_start(&m);
        message_put(&m, kind == 0 ? 2 : 1, 10);
        if (kind == 1) /* one is missing */
            ;
        else if (kind == 2) /* another op */
            message_error(&m, OP_GET, 2, ERR_CONFLICT, NULL);
        else if (kind == 3) { /* the body is cut off */
            size_t place = reply_begin(&m.b, &(struct reply_header){.op = OP_PUT, .id = 2});
            wire_write_u64(&m.b, 1);
            message_part_end(&m.b, place);
            m.count++;
        } else {
            message_put(&m, 2, 11);
        }
        if (kind == 4) /* one too many */
            message_put(&m, 3, 12);
        if (kind == 5)
            wire_write_u8(&m.b, 0);
        uint64_t first = kind == 6 ? 2 : 1;
        assert_int_equal(take(&p, &m, first, 2), ERR_MALFORMED);
        pending_fail_all(&p, ERR_DISCONNECTED);
        assert_int_equal(pending_count(&p), 0);
        pending_free(&p);
    }
}

static void a_loss_ends_all(void **state)
{
    (void)state;
    struct pending p;
    struct seen s = {0};
    struct pending_outcome outcome;
    assert_int_equal(pending_init(&p), ERR_OK);
    for (int i = 0; i < 1000; i++)
        ask(&p, i % 2 ? note : NULL, &s);
    pending_doom(&p, 1, ERR_ABORTED);
    pending_doom(&p, 2, ERR_ABORTED);
    pending_doom(&p, 1000, ERR_ABORTED);
    assert_int_equal(s.calls, 1); /* the last one waits for its turn */
    assert_int_equal(s.error, ERR_ABORTED);
    pending_fail_all(&p, ERR_DISCONNECTED);
    assert_int_equal(s.calls, 500);
    assert_int_equal(pending_count(&p), 0);
    for (int i = 0; i < 500; i++) {
        assert_true(pending_outcome(&p, &outcome));
        assert_int_equal(outcome.completion.error, i == 0 ? ERR_ABORTED : ERR_DISCONNECTED);
    }
    assert_false(pending_outcome(&p, &outcome));
    pending_free(&p);
}

/* Any bytes: an error or a reading, nothing touched outside (AddressSanitizer watches). */
static void damaged_replies_do_no_harm(void **state)
{
    (void)state;
    struct sample random = {12345};
    struct message m;
    message_start(&m);
    message_put(&m, 1, 10);
    message_error(&m, OP_PUT, 2, ERR_CONFLICT, "text");
    message_put(&m, 3, 11);
    message_set_count(&m.b, 0, m.count);
    for (int i = 0; i < 20000; i++) {
        struct pending p;
        struct seen s = {0};
        size_t size = sample_below(&random, 4) ? m.b.size : sample_below(&random, m.b.size);
        uint8_t *bytes = copy_exactly(m.b.data, size);
        for (size_t n = sample_below(&random, 4); n > 0 && size > 0; n--)
            bytes[sample_below(&random, size)] = (uint8_t)sample_u64(&random);
        assert_int_equal(pending_init(&p), ERR_OK);
        ask(&p, note, &s);
        ask(&p, NULL, NULL);
        ask(&p, note, &s);
        take_bytes(&p, bytes, size, 1, 3);
        pending_fail_all(&p, ERR_DISCONNECTED);
        assert_int_equal(s.calls, 2);
        assert_int_equal(p.application_count, 1);
        free(bytes);
        pending_free(&p);
    }
    wire_buffer_free(&m.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_requests_share_messages),
        cmocka_unit_test(flags_separate_messages),
        cmocka_unit_test(large_requests_go_alone_or_not_at_all),
        cmocka_unit_test(what_fails_is_taken_back),
        cmocka_unit_test(messages_can_be_taken_out),
        cmocka_unit_test(what_is_sent_again_keeps_its_numbers),
        cmocka_unit_test(another_session_numbers_anew_what_was_never_sent),
        cmocka_unit_test(without_a_session_nothing_is_numbered),
        cmocka_unit_test(replies_reach_who_asked),
        cmocka_unit_test(one_error_answers_a_message_that_was_not_understood),
        cmocka_unit_test(what_answers_something_else_is_malformed),
        cmocka_unit_test(a_loss_ends_all),
        cmocka_unit_test(damaged_replies_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
