/* Batches: several messages, aborts, malformed messages, bounds, checkpoints and restarts. */
#include "tests/support/core_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct core_fixture *f = malloc(sizeof *f);
    core_fixture_open(f, 13, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    core_fixture_close(*state);
    free(*state);
    return 0;
}

static void put(struct core_fixture *f, const char *key, struct bytes value)
{
    core_fixture_message(f, 0, 0);
    (void)request_put(f, key, value);
    assert_int_equal(core_fixture_ask(f, "p").header.status, ERR_OK);
}

static void assert_value(struct core_fixture *f, const char *key, struct bytes value)
{
    struct reply_get got = core_fixture_get(f, key);
    assert_int_equal(got.present, 1);
    assert_true(bytes_equal(got.value, value));
}

static void test_several_messages(void **state)
{
    struct core_fixture *f = *state;
    core_fixture_begin(f);
    core_fixture_message(f, 0, 0);
    (void)request_put(f, "a", value_number(1));
    (void)request_incr(f, "a", 1);
    core_fixture_send(f, "one");
    core_fixture_message(f, 0, 0);
    (void)request_get(f, "a");
    core_fixture_send(f, "two");
    assert_int_equal(core_batch_record_count(f->core), 2);
    core_fixture_commit(f);
    assert_int_equal(core_reply_count(f->core), 2);
    struct bytes peer;
    struct bytes message;
    core_reply_at(f->core, 0, &peer, &message);
    assert_true(bytes_equal(peer, bytes_of("one")));
    core_reply_at(f->core, 1, &peer, &message);
    assert_true(bytes_equal(peer, bytes_of("two")));
    /* The read stands between the mutations it saw, whatever the head was after the batch. */
    struct parsed_reply reply = core_fixture_reply(f, 1, 0);
    struct reply_get body;
    assert_int_equal(reply.message.head, 2);
    assert_int_equal(reply.header.seq, 2);
    assert_true(reply_get_read(&reply.body, &body));
    assert_true(bytes_equal(body.value, value_number(2)));
    assert_int_equal(core_fixture_reply(f, 0, 0).header.id, 100);
    assert_int_equal(core_fixture_reply(f, 0, 1).header.id, 101);
}

/* A batch that touches keys in every way: small and large values, new and known keys. */
static void disturb(struct core_fixture *f, struct bytes large)
{
    core_fixture_begin(f);
    core_fixture_message(f, 0, 0);
    (void)request_put(f, "small", large);
    (void)request_put(f, "small", value_number(3));
    (void)request_put(f, "large", value_number(4));
    (void)request_delete(f, "large");
    (void)request_put(f, "large", large);
    (void)request_delete(f, "text");
    (void)request_put(f, "new", value_number(5));
    (void)request_delete(f, "new");
    (void)request_put(f, "new2", large);
    (void)request_put(f, "", value_number(5));
    (void)request_put(f, "deleted", value_number(6));
    core_fixture_send(f, "p");
}

static void test_abort_takes_everything_back(void **state)
{
    struct core_fixture *f = *state;
    struct bytes large = value_blob(20000, 5);
    struct core_figures before;
    struct core_figures after;
    put(f, "small", value_number(1));
    put(f, "large", large);
    put(f, "text", value_text("some text"));
    put(f, "deleted", value_number(1));
    core_fixture_message(f, 0, 0);
    (void)request_delete(f, "deleted");
    core_fixture_run(f, "p");
    core_figures(f->core, &before);
    for (int round = 0; round < 3; round++) {
        disturb(f, large);
        core_fixture_abort(f, ERR_NO_SPACE, "the disk is full");
        assert_int_equal(core_reply_count(f->core), 1);
        for (size_t i = 0; i < 11; i++) {
            struct parsed_reply reply = core_fixture_reply(f, 0, i);
            assert_int_equal(reply.header.status, ERR_NO_SPACE);
            assert_string_equal(reply.text, "the disk is full");
            assert_int_equal(reply.message.count, 11);
            assert_int_equal(reply.message.head, 5);
            assert_int_equal(reply.header.id, f->next_id - 11 + i);
            assert_int_equal(reply.header.op, i == 3 || i == 5 || i == 7 ? OP_DELETE : OP_PUT);
        }
        core_figures(f->core, &after);
        assert_int_equal(after.overlay_keys, before.overlay_keys);
        assert_int_equal(after.overlay_bytes, before.overlay_bytes);
        assert_int_equal(after.mutations, before.mutations);
        assert_value(f, "small", value_number(1));
        assert_value(f, "large", large);
        assert_value(f, "text", value_text("some text"));
        assert_int_equal(core_fixture_get(f, "new").modified, 0);
        assert_int_equal(core_fixture_get(f, "new2").modified, 0);
        assert_int_equal(core_fixture_get(f, "deleted").modified, 5);
        assert_int_equal(core_fixture_get(f, "text").version, 1);
    }
    /* And the same batch, committed. */
    disturb(f, large);
    core_fixture_commit(f);
    assert_value(f, "small", value_number(3));
    assert_value(f, "large", large);
    assert_value(f, "deleted", value_number(6));
    assert_int_equal(core_fixture_get(f, "text").present, 0);
    free((void *)(uintptr_t)large.data);
}

static void test_abort_of_a_compaction(void **state)
{
    struct core_fixture *f = *state;
    put(f, "a", value_number(1));
    put(f, "a", value_number(2));
    core_fixture_begin(f);
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_COMPACT);
    request_compact_write(&f->message, &(struct request_compact){.before = 2});
    request_finish(f);
    core_fixture_send(f, "p");
    assert_int_equal(core_compact_target(f->core), 2);
    core_fixture_abort(f, ERR_IO, NULL);
    assert_int_equal(core_compact_target(f->core), 0);
    assert_string_equal(core_fixture_reply(f, 0, 0).text, error_text(ERR_IO));
}

static void test_stop_on_error(void **state)
{
    struct core_fixture *f = *state;
    for (uint32_t flags = 0; flags <= MESSAGE_STOP_ON_ERROR; flags++) {
        core_fixture_message(f, flags, 0);
        (void)request_put(f, "a", value_number(1));
        (void)request_delete(f, "absent");
        uint64_t id = request_put(f, "b", value_number(2));
        core_fixture_run(f, "p");
        assert_int_equal(core_fixture_reply(f, 0, 0).header.status, ERR_OK);
        assert_int_equal(core_fixture_reply(f, 0, 1).header.status, ERR_NOT_FOUND);
        struct parsed_reply reply = core_fixture_reply(f, 0, 2);
        assert_int_equal(reply.header.status, flags ? ERR_ABORTED : ERR_OK);
        assert_int_equal(reply.header.id, id);
        assert_int_equal(reply.header.op, OP_PUT);
    }
    assert_int_equal(core_fixture_head(f), 3);
}

/* One error for the whole message, and nothing of it applied. */
static void assert_refused(struct core_fixture *f, struct bytes message, int code, const char *part)
{
    core_fixture_begin(f);
    core_fixture_send_bytes(f, "p", message);
    assert_int_equal(core_batch_record_count(f->core), 0);
    core_fixture_commit(f);
    struct parsed_reply reply = core_fixture_reply(f, 0, 0);
    assert_int_equal(reply.message.count, 1);
    assert_int_equal(reply.header.status, code);
    assert_int_equal(reply.header.op, 0);
    assert_int_equal(reply.header.id, 0);
    assert_non_null(strstr(reply.text, part));
}

static void test_malformed_messages(void **state)
{
    struct core_fixture *f = *state;
    core_fixture_message(f, 0, 0);
    (void)request_put(f, "a", value_number(1));
    (void)request_put(f, "b", value_number(1));
    size_t size = f->message.size;
    uint8_t *bytes = f->message.data;
    /* Cut off anywhere. */
    for (size_t i = 0; i < size; i++)
        assert_refused(f, (struct bytes){bytes, i}, ERR_MALFORMED, "malformed message");
    bytes[0] = 'W';
    assert_refused(f, (struct bytes){bytes, size}, ERR_MALFORMED, "malformed");
    bytes[0] = PROTOCOL_MAGIC;
    bytes[1] = 9;
    assert_refused(f, (struct bytes){bytes, size}, ERR_VERSION, "version 9");
    bytes[1] = PROTOCOL_VERSION;
    bytes[2] = 1;
    assert_refused(f, (struct bytes){bytes, size}, ERR_MALFORMED, "after its last request");
    bytes[2] = 0;
    assert_refused(f, (struct bytes){bytes, size}, ERR_MALFORMED, "malformed");
    bytes[2] = 2;
    bytes[4] = 0x80;
    assert_refused(f, (struct bytes){bytes, size}, ERR_MALFORMED, "malformed");
    bytes[4] = 0;
    wire_store_u32(bytes + 16, 23);
    assert_refused(f, (struct bytes){bytes, size}, ERR_MALFORMED, "request 1 of 2 says 23 bytes");
    wire_store_u32(bytes + 16, UINT32_MAX);
    assert_refused(f, (struct bytes){bytes, size}, ERR_MALFORMED, "request 1 of 2");
    uint8_t *huge = calloc(1, LIMIT_MESSAGE_SIZE + 1);
    assert_refused(f, (struct bytes){huge, LIMIT_MESSAGE_SIZE + 1}, ERR_TOO_LARGE, "4194305");
    free(huge);
}

static void test_malformed_request_concerns_itself_alone(void **state)
{
    struct core_fixture *f = *state;
    core_fixture_message(f, 0, 0);
    uint64_t id = request_put(f, "a", value_number(1));
    f->message.data[16 + 6] = 1; /* its reserved bytes */
    (void)request_plain(f, OP_PUT);
    (void)request_put(f, "b", value_number(1));
    core_fixture_run(f, "p");
    assert_int_equal(core_fixture_reply(f, 0, 0).header.status, ERR_MALFORMED);
    assert_int_equal(core_fixture_reply(f, 0, 0).header.id, id);
    assert_int_equal(core_fixture_reply(f, 0, 1).header.status, ERR_MALFORMED);
    assert_int_equal(core_fixture_reply(f, 0, 2).header.status, ERR_OK);
    assert_int_equal(core_fixture_head(f), 1);
}

static void test_batch_is_full(void **state)
{
    struct core_fixture *f = *state;
    core_fixture_begin(f);
    core_fixture_message(f, 0, 0);
    for (int i = 0; i < LIMIT_MESSAGE_REQUESTS; i++)
        (void)request_plain(f, OP_PING);
    assert_false(core_batch_full(f->core));
    core_fixture_send(f, "p");
    assert_true(core_batch_full(f->core));
    core_fixture_commit(f);

    struct bytes value = value_blob(1 << 20, 1);
    core_fixture_begin(f);
    core_fixture_message(f, 0, 0);
    (void)request_put(f, "a", value);
    int messages = 0;
    while (!core_batch_full(f->core)) {
        core_fixture_send(f, "p");
        assert_true(++messages < 100);
    }
    assert_int_equal(messages, 8);
    /* Whoever goes on all the same gets an error in the end, not the machine's memory. */
    struct bytes message = core_fixture_message_bytes(f);
    while (core_request(f->core, bytes_of("p"), message) == ERR_OK)
        assert_true(++messages < 100);
    core_fixture_abort(f, ERR_NO_MEMORY, NULL);
    assert_int_equal(core_reply_count(f->core), messages + 1);
    assert_int_equal(core_fixture_reply(f, (size_t)messages, 0).header.status, ERR_NO_MEMORY);
    assert_int_equal(core_fixture_get(f, "a").present, 0);
    free((void *)(uintptr_t)value.data);
}

/* ---- checkpoints ---- */

static void fill(struct core_fixture *f, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", i * 7919u % 1000u);
        put(f, key, value_number((uint8_t)(i % 100)));
    }
}

static void test_checkpoint_writes_everything_in_order(void **state)
{
    struct core_fixture *f = *state;
    fill(f, 0, 300);
    core_fixture_message(f, 0, 0);
    (void)request_delete(f, "k0");
    core_fixture_run(f, "p");
    assert_int_equal(core_checkpoint_pending(f->core), 0);
    core_checkpoint_start(f->core);
    assert_int_equal(core_checkpoint_pending(f->core), 300);
    core_checkpoint_start(f->core); /* changes nothing */
    uint64_t frozen_at = core_fixture_head(f);
    struct bytes last = {NULL, 0};
    unsigned rows = 0;
    while (core_checkpoint_pending(f->core) > 0) {
        core_fixture_begin(f);
        core_fixture_slice(f, 7);
        for (size_t i = 0; i < f->staged_count; i++) {
            struct bytes key = f->staged[i].key;
            assert_true(!last.data || bytes_compare(last, key) < 0);
            last = key; /* kept until the end: no row is written twice */
            rows++;
        }
        core_fixture_message(f, 0, 0);
        (void)request_put(f, "k7", value_number(1));
        core_fixture_send(f, "p");
        core_fixture_commit(f);
        assert_value(f, "k7", value_number(1));
        (void)core_fixture_get(f, "k0");
    }
    assert_int_equal(rows, 300);
    assert_int_equal(f->applied, frozen_at);
    struct core_figures figures;
    core_figures(f->core, &figures);
    assert_int_equal(figures.applied, frozen_at);
    assert_int_equal(figures.overlay_keys, 1);
    const struct state_row *row = core_fixture_row(f, bytes_of("k0"));
    assert_true(row && row->deleted && row->modified == frozen_at && row->version == 0);
    assert_int_equal(core_fixture_get(f, "k0").modified, frozen_at);
    core_fixture_restart(f);
    assert_value(f, "k7", value_number(1));
    assert_int_equal(core_fixture_get(f, "k0").modified, frozen_at);
}

static void test_checkpoint_slice_taken_back(void **state)
{
    struct core_fixture *f = *state;
    fill(f, 0, 50);
    core_checkpoint_start(f->core);
    core_fixture_begin(f);
    core_fixture_slice(f, 20);
    core_fixture_abort(f, ERR_IO, NULL);
    assert_int_equal(core_checkpoint_pending(f->core), 50);
    /* A commit that failed and was tried again within the batch, without rows and with them. */
    core_fixture_begin(f);
    core_fixture_slice(f, 20);
    core_fixture_drop_staged(f);
    core_fixture_slice(f, 0);
    core_fixture_commit(f);
    assert_int_equal(core_checkpoint_pending(f->core), 50);
    core_fixture_begin(f);
    core_fixture_slice(f, 20);
    core_fixture_drop_staged(f);
    core_fixture_slice(f, 49);
    core_fixture_commit(f);
    assert_int_equal(core_checkpoint_pending(f->core), 1);
    assert_int_equal(f->applied, 0);
    core_fixture_begin(f);
    core_fixture_slice(f, 20);
    assert_int_equal(f->batch_applied, 50);
    core_fixture_commit(f);
    assert_int_equal(f->row_count, 50);
    assert_int_equal(f->applied, 50);
}

static int count_row(void *context, struct bytes key, const struct state_row *row)
{
    (void)key;
    (void)row;
    int *left = context;
    return (*left)-- > 0 ? ERR_OK : ERR_NO_SPACE;
}

static void test_checkpoint_outside_of_a_batch(void **state)
{
    struct core_fixture *f = *state;
    uint64_t applied = 9;
    fill(f, 0, 10);
    core_checkpoint_start(f->core);
    int room = 4;
    assert_int_equal(core_checkpoint_slice(f->core, 6, count_row, &room, &applied), ERR_NO_SPACE);
    assert_int_equal(applied, 9);
    room = 100;
    assert_int_equal(core_checkpoint_slice(f->core, 6, count_row, &room, &applied), ERR_OK);
    assert_int_equal(applied, 0);
    assert_int_equal(room, 94);
    /* Not confirmed: the same rows again, and the rest. */
    assert_int_equal(core_checkpoint_slice(f->core, 60, count_row, &room, &applied), ERR_OK);
    assert_int_equal(room, 84);
    assert_int_equal(applied, 10);
    assert_int_equal(core_checkpoint_pending(f->core), 10);
    core_checkpoint_confirm(f->core);
    assert_int_equal(core_checkpoint_pending(f->core), 0);
    /* Nothing to do any more. */
    core_checkpoint_start(f->core);
    assert_int_equal(core_checkpoint_pending(f->core), 0);
}

static void test_checkpoint_by_limits(void **state)
{
    (void)state;
    static const struct core_limits limits[] = {
        {.checkpoint_keys = 5}, {.checkpoint_bytes = 20}, {.checkpoint_records = 5}};
    for (size_t i = 0; i < 3; i++) {
        struct core_fixture f;
        core_fixture_open(&f, 3, &limits[i]);
        fill(&f, 0, 3);
        assert_int_equal(core_checkpoint_pending(f.core), 0);
        fill(&f, 3, 5);
        assert_int_equal(core_checkpoint_pending(f.core), 5);
        /* Beyond the limit again: it stays one checkpoint. */
        fill(&f, 5, 15);
        assert_int_equal(core_checkpoint_pending(f.core), 5);
        core_fixture_begin(&f);
        core_fixture_slice(&f, 5);
        core_fixture_commit(&f);
        assert_int_equal(f.applied, 5);
        assert_int_equal(core_checkpoint_pending(f.core), 10);
        core_fixture_close(&f);
    }
}

/* What is to be written keeps six times ahead of whichever limit the new changes approach. */
static void test_checkpoint_is_due_in_step(void **state)
{
    (void)state;
    static const struct core_limits limits[] = {
        {.checkpoint_keys = 300}, {.checkpoint_bytes = 1500}, {.checkpoint_records = 300}};
    for (size_t i = 0; i < 3; i++) {
        struct core_fixture f;
        core_fixture_open(&f, 3, &limits[i]);
        fill(&f, 0, 200);
        assert_int_equal(core_checkpoint_due(f.core), 0);
        core_checkpoint_start(f.core);
        assert_int_equal(core_checkpoint_due(f.core), 0);
        size_t pending = core_checkpoint_pending(f.core);
        size_t before = 0;
        unsigned changed = 0;
        while (core_checkpoint_due(f.core) < pending && changed < 300) {
            fill(&f, 200 + changed, 200 + changed + 10);
            changed += 10;
            assert_true(core_checkpoint_due(f.core) > before);
            before = core_checkpoint_due(f.core);
        }
        if (i == 1) /* 3 to 5 bytes each */
            assert_in_range(changed, limits[i].checkpoint_bytes / 6 / 5,
                            limits[i].checkpoint_bytes / 6 / 3);
        else
            assert_int_equal(changed, 50);
        core_fixture_begin(&f);
        core_fixture_slice(&f, 50);
        core_fixture_commit(&f);
        assert_int_equal(core_checkpoint_due(f.core), pending - 50);
        core_fixture_close(&f);
    }
}

static void test_restart_with_half_a_checkpoint(void **state)
{
    struct core_fixture *f = *state;
    fill(f, 0, 30);
    core_checkpoint_start(f->core);
    core_fixture_begin(f);
    core_fixture_slice(f, 11);
    core_fixture_commit(f);
    fill(f, 20, 50);
    core_fixture_restart(f);
    for (unsigned i = 0; i < 50; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", i * 7919u % 1000u);
        struct reply_get got = core_fixture_get(f, key);
        bool twice = i >= 20 && i < 30;
        assert_true(bytes_equal(got.value, value_number((uint8_t)i)));
        assert_int_equal(got.created, i < 30 ? i + 1 : i + 11);
        assert_int_equal(got.modified, i < 20 ? i + 1 : i + 11);
        assert_int_equal(got.version, twice ? 2 : 1);
    }
}

static void test_restore_refuses(void **state)
{
    struct core_fixture *f = *state;
    fill(f, 0, 3);
    core_fixture_restart(f);
    /* Beyond head, out of turn, damaged. */
    struct bytes record = core_fixture_record(f, 3);
    assert_int_equal(core_restore(f->core, record), ERR_CORRUPT);
    uint8_t *damaged = copy_exactly(record.data, record.size);
    damaged[record.size - 1] ^= 1;
    assert_int_equal(core_restore(f->core, (struct bytes){damaged, record.size}), ERR_CORRUPT);
    assert_int_equal(core_restore(f->core, (struct bytes){damaged, 10}), ERR_CORRUPT);
    free(damaged);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_several_messages),
        T(test_abort_takes_everything_back),
        T(test_abort_of_a_compaction),
        T(test_stop_on_error),
        T(test_malformed_messages),
        T(test_malformed_request_concerns_itself_alone),
        T(test_batch_is_full),
        T(test_checkpoint_writes_everything_in_order),
        T(test_checkpoint_slice_taken_back),
        T(test_checkpoint_outside_of_a_batch),
        T(test_checkpoint_by_limits),
        T(test_checkpoint_is_due_in_step),
        T(test_restart_with_half_a_checkpoint),
        T(test_restore_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
