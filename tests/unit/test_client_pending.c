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
    for (const struct outbox_message *m; (m = outbox_first(o)); outbox_pop(o)) {
        struct wire_reader r = wire_reader_of(m->buffer.data, m->buffer.size);
        struct request_message_header header;
        assert_int_equal(request_message_read(&r, &header), ERR_OK);
        assert_int_equal(header.count, m->count);
        assert_int_equal(header.flags, m->flags);
        for (uint16_t i = 0; i < header.count; i++) {
            struct request_header request;
            struct wire_reader body;
            assert_int_equal(request_read(&r, &request, &body), ERR_OK);
            assert_int_equal(request.id, m->first_id + i);
        }
        assert_true(wire_read_complete(&r));
        assert_true(m->count == 1 || m->buffer.size <= OUTBOX_MESSAGE_SIZE);
        requests += header.count;
        (*ret_messages)++;
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
    assert_int_equal(messages, 3); /* 4096, 4096, the rest */
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
    size_t most = LIMIT_MESSAGE_SIZE - REQUEST_MESSAGE_HEADER_SIZE - REQUEST_HEADER_SIZE;
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

static void note_dropped(void *context, const struct outbox_message *m)
{
    size_t *count = context;
    *count += m->count;
}

static void flagged_messages_can_be_dropped(void **state)
{
    (void)state;
    struct outbox o;
    size_t messages;
    size_t dropped = 0;
    outbox_init(&o);
    for (int i = 0; i < 9; i++)
        assert_int_equal(add(&o, 10, i % 3 == 1 ? 0 : MESSAGE_STOP_ON_ERROR), ERR_OK);
    outbox_drop_flagged(&o, MESSAGE_STOP_ON_ERROR, note_dropped, &dropped);
    assert_int_equal(dropped, 6);
    assert_int_equal(add(&o, 10, 0), ERR_OK); /* the last one is found again */
    assert_int_equal(drain(&o, &messages), 4);
    dropped = 0;
    assert_int_equal(add(&o, 10, MESSAGE_STOP_ON_ERROR), ERR_OK);
    outbox_drop_flagged(&o, MESSAGE_STOP_ON_ERROR, note_dropped, &dropped);
    assert_int_equal(dropped, 1);
    assert_null(outbox_first(&o));
    assert_int_equal(add(&o, 10, 0), ERR_OK);
    assert_int_equal(drain(&o, &messages), 1);
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
    struct reply_message_header header;
    struct reply_frame *f = reply_frame_new(p);
    assert_non_null(f);
    zmq_msg_init_size(&f->message, size);
    if (size)
        memcpy(zmq_msg_data(&f->message), data, size);
    int err = pending_take_reply(p, f, first_id, count, &header);
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
    pending_cancel(&p, 1, ERR_ABORTED);
    pending_cancel(&p, 2, ERR_ABORTED);
    pending_cancel(&p, 1000, ERR_ABORTED);
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
        cmocka_unit_test(flagged_messages_can_be_dropped),
        cmocka_unit_test(replies_reach_who_asked),
        cmocka_unit_test(one_error_answers_a_message_that_was_not_understood),
        cmocka_unit_test(what_answers_something_else_is_malformed),
        cmocka_unit_test(a_loss_ends_all),
        cmocka_unit_test(damaged_replies_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
