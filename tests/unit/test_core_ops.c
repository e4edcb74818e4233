/* What each single operation does and answers: hello, ping, status, put, delete, incr, get, compact. */
#include "tests/support/core_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct core_fixture *f = malloc(sizeof *f);
    core_fixture_open(f, 7, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    core_fixture_close(*state);
    free(*state);
    return 0;
}

static struct parsed_reply put(struct core_fixture *f, const char *key, struct bytes value)
{
    core_fixture_message(f, 0, 0);
    (void)request_put(f, key, value);
    return core_fixture_ask(f, "p");
}

static struct parsed_reply del(struct core_fixture *f, const char *key)
{
    core_fixture_message(f, 0, 0);
    (void)request_delete(f, key);
    return core_fixture_ask(f, "p");
}

static struct parsed_reply incr(struct core_fixture *f, const char *key, int64_t by)
{
    core_fixture_message(f, 0, 0);
    (void)request_incr(f, key, by);
    return core_fixture_ask(f, "p");
}

static void assert_put(struct parsed_reply reply, uint64_t seq, uint64_t prev, uint64_t version)
{
    struct reply_put body;
    assert_int_equal(reply.header.status, ERR_OK);
    assert_int_equal(reply.header.op, OP_PUT);
    assert_int_equal(reply.header.seq, seq);
    assert_int_equal(reply.message.head, seq);
    assert_true(reply_put_read(&reply.body, &body));
    assert_int_equal(body.prev_seq, prev);
    assert_int_equal(body.version, version);
}

static void assert_error(struct parsed_reply reply, int code, const char *part_of_text)
{
    assert_int_equal(reply.header.status, code);
    assert_non_null(strstr(reply.text, part_of_text));
}

static void test_put_and_get(void **state)
{
    struct core_fixture *f = *state;
    assert_put(put(f, "a", value_number(1)), 1, 0, 1);
    assert_put(put(f, "b", value_number(2)), 2, 0, 1);
    assert_put(put(f, "a", value_text("three")), 3, 1, 2);
    struct reply_get got = core_fixture_get(f, "a");
    assert_int_equal(got.present, 1);
    assert_int_equal(got.created, 1);
    assert_int_equal(got.modified, 3);
    assert_int_equal(got.version, 2);
    assert_true(bytes_equal(got.value, value_text("three")));
}

static void test_record_carries_what_came(void **state)
{
    struct core_fixture *f = *state;
    core_fixture_message(f, 0, 0);
    f->next_number = 5; /* without a session it means nothing */
    (void)request_put(f, "a", value_number(1));
    core_fixture_run(f, "p");
    struct record_header h;
    assert_int_equal(record_check(core_fixture_record(f, 1), &h), ERR_OK);
    assert_int_equal(h.session, 0);
    assert_int_equal(h.number, 0);
    assert_int_equal(h.request_op, 0);
    assert_int_equal(h.time_us, f->time_us);
    assert_int_equal(h.count, 1);
    struct change c;
    struct change_iterator i = record_changes(core_fixture_record(f, 1).data);
    assert_true(change_next(&i, &c));
    assert_int_equal(c.op, CHANGE_PUT);
    assert_true(bytes_equal(c.key, bytes_of("a")));
    assert_true(bytes_equal(c.value, value_number(1)));
}

static void test_time_never_falls(void **state)
{
    struct core_fixture *f = *state;
    struct record_header h;
    (void)put(f, "a", value_number(1));
    f->time_us -= 500000;
    (void)put(f, "a", value_number(2));
    assert_int_equal(record_check(core_fixture_record(f, 2), &h), ERR_OK);
    assert_int_equal(h.time_us, f->time_us + 500000);
    core_fixture_restart(f);
    (void)put(f, "a", value_number(3));
    assert_int_equal(record_check(core_fixture_record(f, 3), &h), ERR_OK);
    assert_int_equal(h.time_us, f->time_us + 500000);
}

static void test_delete(void **state)
{
    struct core_fixture *f = *state;
    assert_int_equal(del(f, "a").header.status, ERR_NOT_FOUND);
    assert_int_equal(core_fixture_head(f), 0);
    (void)put(f, "a", value_number(1));
    struct parsed_reply reply = del(f, "a");
    struct reply_delete body;
    assert_int_equal(reply.header.status, ERR_OK);
    assert_int_equal(reply.header.seq, 2);
    assert_true(reply_delete_read(&reply.body, &body));
    assert_int_equal(body.prev_seq, 1);
    struct reply_get got = core_fixture_get(f, "a");
    assert_int_equal(got.present, 0);
    assert_int_equal(got.modified, 2);
    assert_int_equal(got.created, 0);
    assert_int_equal(got.version, 0);
    assert_int_equal(got.value.size, 0);
    assert_int_equal(del(f, "a").header.status, ERR_NOT_FOUND);
    /* A new life; its first change names the deletion. */
    assert_put(put(f, "a", value_number(2)), 3, 2, 1);
    assert_int_equal(core_fixture_get(f, "a").created, 3);
}

static struct parsed_reply put_if(struct core_fixture *f, const char *key, uint8_t flags,
                                  uint64_t seq, struct bytes expected)
{
    core_fixture_message(f, 0, 0);
    (void)request_put_if(f, key, value_number(9), flags, seq, expected);
    return core_fixture_ask(f, "p");
}

static void test_put_if_seq(void **state)
{
    struct core_fixture *f = *state;
    struct bytes none = {NULL, 0};
    struct parsed_reply reply = put_if(f, "a", REQUEST_IF_SEQ, 4, none);
    assert_error(reply, ERR_CONFLICT, "there is none");
    assert_int_equal(reply.header.seq, 0);
    assert_put(put_if(f, "a", REQUEST_IF_SEQ, 0, none), 1, 0, 1);
    reply = put_if(f, "a", REQUEST_IF_SEQ, 0, none);
    assert_error(reply, ERR_CONFLICT, "is there");
    assert_int_equal(reply.header.seq, 1);
    assert_put(put_if(f, "a", REQUEST_IF_SEQ, 1, none), 2, 1, 2);
    reply = put_if(f, "a", REQUEST_IF_SEQ, 1, none);
    assert_error(reply, ERR_CONFLICT, "expected the key at seq 1, it changed last at 2");
    assert_int_equal(reply.header.seq, 2);
    /* A deletion's seq is not the key's. */
    (void)del(f, "a");
    reply = put_if(f, "a", REQUEST_IF_SEQ, 3, none);
    assert_int_equal(reply.header.status, ERR_CONFLICT);
    assert_int_equal(reply.header.seq, 0);
    assert_put(put_if(f, "a", REQUEST_IF_SEQ, 0, none), 4, 3, 1);
}

static void test_put_if_value(void **state)
{
    struct core_fixture *f = *state;
    assert_error(put_if(f, "a", REQUEST_IF_VALUE, 0, value_number(1)), ERR_CONFLICT, "no such key");
    (void)put(f, "a", value_number(1));
    assert_error(put_if(f, "a", REQUEST_IF_VALUE, 0, value_number(2)), ERR_CONFLICT,
                 "another value");
    assert_put(put_if(f, "a", REQUEST_IF_VALUE, 0, value_number(1)), 2, 1, 2);
    /* Both conditions. */
    struct parsed_reply reply =
        put_if(f, "a", REQUEST_IF_VALUE | REQUEST_IF_SEQ, 1, value_number(9));
    assert_int_equal(reply.header.status, ERR_CONFLICT);
    assert_put(put_if(f, "a", REQUEST_IF_VALUE | REQUEST_IF_SEQ, 2, value_number(9)), 3, 2, 3);
}

static void test_delete_if(void **state)
{
    struct core_fixture *f = *state;
    (void)put(f, "a", value_number(1));
    for (uint64_t seq = 0; seq < 3; seq++) {
        core_fixture_message(f, 0, 0);
        f->next_flags = REQUEST_IF_SEQ;
        (void)request_start(f, OP_DELETE);
        request_delete_write(&f->message,
                             &(struct request_delete){.expect_seq = seq, .key = bytes_of("a")});
        request_finish(f);
        struct parsed_reply reply = core_fixture_ask(f, "p");
        assert_int_equal(reply.header.status, seq == 1 ? ERR_OK : ERR_CONFLICT);
    }
}

static struct bytes incr_value(struct parsed_reply reply)
{
    struct reply_incr body;
    assert_int_equal(reply.header.status, ERR_OK);
    assert_true(reply_incr_read(&reply.body, &body));
    return body.value;
}

static void test_incr(void **state)
{
    struct core_fixture *f = *state;
    assert_true(bytes_equal(incr_value(incr(f, "n", 5)), value_number(5)));
    assert_true(bytes_equal(incr_value(incr(f, "n", 100)), value_number(105)));
    static const uint8_t minus_one[] = {0xff};
    assert_true(bytes_equal(incr_value(incr(f, "n", -106)), (struct bytes){minus_one, 1}));
    struct reply_get got = core_fixture_get(f, "n");
    assert_int_equal(got.version, 3);
    assert_true(bytes_equal(got.value, (struct bytes){minus_one, 1}));
    (void)put(f, "t", value_text("x"));
    assert_error(incr(f, "t", 1), ERR_NOT_AN_INTEGER, "not an integer");
    static const uint8_t most[] = {0xcf, 255, 255, 255, 255, 255, 255, 255, 255};
    (void)put(f, "m", (struct bytes){most, sizeof most});
    assert_error(incr(f, "m", 1), ERR_OUT_OF_RANGE, "do not fit");
    assert_int_equal(incr_value(incr(f, "m", -1)).size, 9);
}

static void test_bad_keys(void **state)
{
    struct core_fixture *f = *state;
    char longest[LIMIT_KEY_SIZE + 2];
    memset(longest, 'k', sizeof longest);
    longest[LIMIT_KEY_SIZE + 1] = '\0';
    assert_error(put(f, longest, value_number(1)), ERR_BAD_KEY, "481 bytes: at most 480");
    longest[LIMIT_KEY_SIZE] = '\0';
    assert_int_equal(put(f, longest, value_number(1)).header.status, ERR_OK);
    assert_error(put(f, "", value_number(1)), ERR_BAD_KEY, "empty");
    assert_error(put(f, "\xff", value_number(1)), ERR_BAD_KEY, "UTF-8");
    assert_error(incr(f, "\xff", 1), ERR_BAD_KEY, "UTF-8");
    assert_error(del(f, "\xff"), ERR_BAD_KEY, "UTF-8");
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_GET);
    request_get_write(&f->message, &(struct request_get){.key = {(const uint8_t *)"a\0b", 3}});
    request_finish(f);
    assert_error(core_fixture_ask(f, "p"), ERR_BAD_KEY, "NUL");
}

static void test_bad_values(void **state)
{
    struct core_fixture *f = *state;
    assert_error(put(f, "a", (struct bytes){NULL, 0}), ERR_BAD_VALUE, "empty");
    assert_error(put(f, "a", bytes_of("\xc1")), ERR_BAD_VALUE, "well-formed");
    assert_error(put(f, "a", bytes_of("\x01\x02")), ERR_BAD_VALUE, "well-formed");
    struct bytes large = value_blob(LIMIT_VALUE_SIZE + 1, 1);
    assert_error(put(f, "a", large), ERR_TOO_LARGE, "1048577 bytes: at most 1048576");
    free((void *)(uintptr_t)large.data);
    assert_int_equal(core_fixture_head(f), 0);
}

static void test_hello(void **state)
{
    struct core_fixture *f = *state;
    for (uint16_t min = 1; min <= 2; min++) {
        core_fixture_message(f, 0, 0);
        (void)request_start(f, OP_HELLO);
        request_hello_write(&f->message, &(struct request_hello){min, 9, bytes_of("test 1"), 0});
        request_finish(f);
        struct parsed_reply reply = core_fixture_ask(f, "p");
        if (min > PROTOCOL_VERSION) {
            assert_error(reply, ERR_VERSION, "2 to 9");
            continue;
        }
        struct reply_hello body;
        assert_int_equal(reply.header.status, ERR_OK);
        assert_int_equal(reply.message.epoch, f->epoch);
        assert_int_equal(reply.message.incarnation, f->incarnation);
        assert_true(reply_hello_read(&reply.body, &body));
        assert_int_equal(body.protocol, 1);
        assert_int_equal(body.window_messages, LIMIT_WINDOW_MESSAGES);
        assert_int_equal(body.value_size_max, LIMIT_VALUE_SIZE);
        assert_int_equal(body.message_size_max, LIMIT_MESSAGE_SIZE);
        assert_true(bytes_equal(body.server, bytes_of("vigild test")));
        struct wire_reader ports = wire_reader_of(body.ports.data, body.ports.size);
        assert_int_equal(wire_read_u16(&ports), 1);
        assert_int_equal(wire_read_u16(&ports), 7001);
        assert_int_equal(wire_read_u16(&ports), 7002);
        assert_int_equal(wire_read_u16(&ports), 7003);
        assert_true(wire_read_complete(&ports));
    }
}

static void write_status(void *context, struct wire_buffer *map)
{
    wire_write_u8(map, *(const uint8_t *)context);
}

static void fill_status(void *context, struct wire_buffer *map)
{
    (void)context;
    (void)wire_extend(map, 1 << 20);
}

static void test_ping_and_status(void **state)
{
    struct core_fixture *f = *state;
    uint8_t map = 0x80;
    struct reply_status body;
    core_fixture_message(f, 0, 0);
    (void)request_plain(f, OP_PING);
    assert_int_equal(core_fixture_ask(f, "p").header.status, ERR_OK);
    for (int round = 0; round < 3; round++) {
        if (round == 1)
            core_on_status(f->core, write_status, &map);
        if (round == 2)
            core_on_status(f->core, fill_status, NULL);
        core_fixture_message(f, 0, 0);
        (void)request_plain(f, OP_STATUS);
        struct parsed_reply reply = core_fixture_ask(f, "p");
        if (round == 2) {
            assert_error(reply, ERR_INTERNAL, "does not fit");
            continue;
        }
        assert_true(reply_status_read(&reply.body, &body));
        assert_true(bytes_equal(body.map, (struct bytes){&map, 1}));
    }
}

static struct parsed_reply compact(struct core_fixture *f, uint64_t before)
{
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_COMPACT);
    request_compact_write(&f->message, &(struct request_compact){.before = before});
    request_finish(f);
    return core_fixture_ask(f, "p");
}

static void test_compact(void **state)
{
    struct core_fixture *f = *state;
    struct reply_compact body;
    for (int i = 0; i < 5; i++)
        (void)put(f, "a", value_number(1));
    assert_error(compact(f, 6), ERR_POSITION_AHEAD, "head is 5");
    assert_int_equal(core_compact_target(f->core), 0);
    struct parsed_reply reply = compact(f, 4);
    assert_int_equal(reply.header.status, ERR_OK);
    assert_true(reply_compact_read(&reply.body, &body));
    assert_int_equal(body.oldest, 1);
    assert_int_equal(core_compact_target(f->core), 4);
    (void)compact(f, 2);
    assert_int_equal(core_compact_target(f->core), 4);
    core_set_oldest(f->core, 3);
    assert_int_equal(core_compact_target(f->core), 4);
    core_set_oldest(f->core, 4);
    assert_int_equal(core_compact_target(f->core), 0);
    reply = compact(f, 3);
    assert_true(reply_compact_read(&reply.body, &body));
    assert_int_equal(body.oldest, 4);
    assert_int_equal(reply.message.oldest, 4);
    assert_int_equal(core_compact_target(f->core), 0);
}

static void test_get_many(void **state)
{
    struct core_fixture *f = *state;
    (void)put(f, "a", value_number(1));
    (void)put(f, "c", value_number(3));
    static const char *const keys[] = {"a", "b", "c"};
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_GET_MANY);
    wire_write_u16(&f->message, 3);
    for (int i = 0; i < 3; i++)
        wire_write_bytes16(&f->message, bytes_of(keys[i]));
    request_finish(f);
    struct parsed_reply reply = core_fixture_ask(f, "p");
    assert_int_equal(reply.header.seq, 2);
    assert_int_equal(wire_read_u16(&reply.body), 3);
    for (int i = 0; i < 3; i++) {
        struct reply_get entry;
        assert_true(reply_get_read_next(&reply.body, &entry));
        assert_int_equal(entry.present, i != 1);
    }
    assert_true(wire_read_complete(&reply.body));
}

static void test_get_many_refused(void **state)
{
    struct core_fixture *f = *state;
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_GET_MANY);
    wire_write_u16(&f->message, 2);
    wire_write_bytes16(&f->message, bytes_of("a"));
    wire_write_bytes16(&f->message, bytes_of(""));
    request_finish(f);
    assert_error(core_fixture_ask(f, "p"), ERR_BAD_KEY, "key 1: the key is empty");
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_GET_MANY);
    wire_write_u16(&f->message, LIMIT_GET_KEYS + 1);
    request_finish(f);
    assert_error(core_fixture_ask(f, "p"), ERR_LIMIT, "4097 keys");
}

static void test_reply_too_large(void **state)
{
    struct core_fixture *f = *state;
    struct bytes value = value_blob(1 << 20, 3);
    (void)put(f, "a", value);
    core_fixture_message(f, 0, 0);
    for (int i = 0; i < 9; i++)
        (void)request_get(f, "a");
    (void)request_put(f, "b", value_number(1));
    core_fixture_run(f, "p");
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(core_fixture_reply(f, 0, i).header.status, ERR_OK);
    assert_error(core_fixture_reply(f, 0, 8), ERR_TOO_LARGE, "does not fit");
    assert_put(core_fixture_reply(f, 0, 9), 2, 0, 1);
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_GET_MANY);
    wire_write_u16(&f->message, 9);
    for (int i = 0; i < 9; i++)
        wire_write_bytes16(&f->message, bytes_of("a"));
    request_finish(f);
    assert_error(core_fixture_ask(f, "p"), ERR_TOO_LARGE, "does not fit");
    free((void *)(uintptr_t)value.data);
}

static void test_state_error_is_the_requests(void **state)
{
    struct core_fixture *f = *state;
    f->state_error = ERR_CORRUPT;
    assert_int_equal(put(f, "a", value_number(1)).header.status, ERR_CORRUPT);
    assert_int_equal(incr(f, "a", 1).header.status, ERR_CORRUPT);
    f->state_error = 0;
    assert_put(put(f, "a", value_number(1)), 1, 0, 1);
}

static void test_unknown_ops_and_flags(void **state)
{
    struct core_fixture *f = *state;
    static const uint8_t unknown[] = {0, 25, 31, 200};
    for (size_t i = 0; i < sizeof unknown; i++) {
        core_fixture_message(f, 0, 0);
        (void)request_plain(f, unknown[i]);
        assert_error(core_fixture_ask(f, "p"), ERR_UNKNOWN_OP, "unknown operation");
    }
    for (int op = OP_REPLAY; op <= OP_HISTORY; op++) {
        core_fixture_message(f, 0, 0);
        (void)request_plain(f, (uint8_t)op);
        assert_error(core_fixture_ask(f, "p"), ERR_UNKNOWN_OP, "replay socket");
    }
    core_fixture_message(f, 0, 0);
    f->next_flags = 0x84;
    (void)request_get(f, "a");
    assert_error(core_fixture_ask(f, "p"), ERR_MALFORMED, "'get' has no flag 0x84");
}

static void test_cut_off_bodies(void **state)
{
    struct core_fixture *f = *state;
    for (int op = OP_HELLO; op <= OP_SESSION_CLOSE; op++) {
        for (size_t size = 0; size < 3; size++) {
            core_fixture_message(f, 0, 0);
            (void)request_start(f, (uint8_t)op);
            for (size_t i = 0; i < size; i++)
                wire_write_u8(&f->message, 0xff);
            request_finish(f);
            uint16_t status = core_fixture_ask(f, "p").header.status;
            bool fine = size == 0 && (op == OP_PING || op == OP_STATUS || op == OP_SESSION_OPEN);
            bool counted = size >= 2 && op != OP_STREAM_RENEW &&
                           (op == OP_TXN || op == OP_GET_MANY || op == OP_STREAM_OPEN);
            assert_int_equal(status, fine ? ERR_OK : counted ? ERR_LIMIT : ERR_MALFORMED);
        }
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_put_and_get),
        T(test_record_carries_what_came),
        T(test_time_never_falls),
        T(test_delete),
        T(test_put_if_seq),
        T(test_put_if_value),
        T(test_delete_if),
        T(test_incr),
        T(test_bad_keys),
        T(test_bad_values),
        T(test_hello),
        T(test_ping_and_status),
        T(test_compact),
        T(test_get_many),
        T(test_get_many_refused),
        T(test_reply_too_large),
        T(test_state_error_is_the_requests),
        T(test_unknown_ops_and_flags),
        T(test_cut_off_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
