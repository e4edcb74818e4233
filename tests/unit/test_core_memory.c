/*
 * Memory runs out at the n-th allocation, for every n: a batch either succeeds or
 * is taken back wholly, each message has its reply, and no stream loses a record
 * without a notice.
 *
 * ctest: WRAP=malloc,calloc,realloc
 */
#include "tests/support/core_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *data, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *data, size_t size);

static bool armed;
static bool for_good; /* every allocation after the failing one fails, too */
static unsigned long left;
static bool has_failed;

static bool fails(void)
{
    if (!armed)
        return false;
    if (left > 0) {
        left--;
        return false;
    }
    if (has_failed && !for_good)
        return false;
    has_failed = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *data, size_t size)
{
    return fails() ? NULL : __real_realloc(data, size);
}

static void arm(unsigned long allocations, bool good)
{
    armed = true;
    left = allocations;
    for_good = good;
    has_failed = false;
}

/* ---- making a core ---- */

static int no_row(void *context, struct bytes key, struct state_row *ret_row)
{
    (void)context;
    (void)key;
    (void)ret_row;
    return ERR_NOT_FOUND;
}

static void zeros(void *context, uint8_t *out, size_t size)
{
    (void)context;
    memset(out, 0, size);
}

static void test_new(void **state)
{
    (void)state;
    struct core_source source = {.state_get = no_row, .random = zeros};
    struct core_identity identity = {.epoch = 1};
    struct core *core = NULL;
    unsigned long n = 0;
    for (;; n++) {
        arm(n, false);
        int err = core_new(&source, NULL, &identity, 0, 1, 0, &core);
        armed = false;
        if (!has_failed) {
            assert_int_equal(err, ERR_OK);
            break;
        }
        assert_int_equal(err, ERR_NO_MEMORY);
        assert_null(core);
    }
    core_free(core);
    assert_true(n > 5);
}

/* ---- a batch ---- */

struct scene {
    struct core_fixture f;
    struct bytes large;
    struct bytes first; /* messages of the batch */
    struct bytes second;
    uint64_t last_of[3]; /* by kind of stream: what has come over it */
    uint8_t topics[3][TOPIC_SIZE];
};

static struct bytes built(struct core_fixture *f)
{
    struct bytes message = core_fixture_message_bytes(f);
    return (struct bytes){copy_exactly(message.data, message.size), message.size};
}

static const char *const patterns[] = {"", "a", "b"};

static void open_cursor(struct core_fixture *f, const char *name)
{
    (void)request_start(f, OP_CURSOR_OPEN);
    request_cursor_open_write(&f->message, &(struct request_cursor_open){.name = bytes_of(name)});
    wire_write_u16(&f->message, 1);
    wire_write_u8(&f->message, PATTERN_EXACT);
    wire_write_bytes16(&f->message, bytes_of(name));
    request_finish(f);
}

/* Of the cursor that the scene has: moved, listed, deleted. */
static void use_cursor(struct core_fixture *f, uint64_t holder)
{
    (void)request_start(f, OP_CURSOR_MOVE);
    request_cursor_move_write(&f->message, &(struct request_cursor_move){.holder = holder,
                                                                         .epoch = f->epoch,
                                                                         .position = 2,
                                                                         .name = bytes_of("k")});
    request_finish(f);
    (void)request_start(f, OP_CURSOR_LIST);
    request_cursor_list_write(&f->message, &(struct request_cursor_list){{NULL, 0}, 0});
    request_finish(f);
    (void)request_start(f, OP_CURSOR_DELETE);
    request_cursor_delete_write(&f->message,
                                &(struct request_cursor_delete){.name = bytes_of("k")});
    request_finish(f);
}

/* Each operation within a transaction; they leave nothing but what is there. 12 of them. */
static void use_prefixes(struct core_fixture *f, struct bytes large)
{
    const struct txn_op ops[] = {
        {TXN_PUSH, 0, bytes_of("q/"), large},
        {TXN_PUSH, 0, bytes_of("q/"), value_number(1)},
        {TXN_LIST, 0, bytes_of(""), {NULL, 0}},
        {TXN_POP_ANY, 0, bytes_of("q/"), {NULL, 0}},
        {TXN_COUNT, 0, bytes_of(""), {NULL, 0}},
        {TXN_APPEND, 0, bytes_of("q/l"), value_number(1)},
        {TXN_APPEND, 0, bytes_of("q/l"), value_number(2)},
        {TXN_ADD, 0, bytes_of("q/l"), value_number(1)},
        {TXN_SET_DEFAULT, 0, bytes_of("q/l"), value_number(1)},
        {TXN_POP, 0, bytes_of("q/l"), {NULL, 0}},
        {TXN_SET_DEFAULT, 0, bytes_of("q/d"), value_number(1)},
        {TXN_CLEAR, 0, bytes_of("q/"), {NULL, 0}},
    };
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        txn_op_write(&f->message, &ops[i]);
}

static void scene_open(struct scene *s)
{
    struct core_fixture *f = &s->f;
    core_fixture_open(f, 5, NULL);
    s->large = value_blob(3000, 1);
    core_fixture_message(f, 0, 0);
    (void)request_put(f, "a", value_number(1));
    (void)request_put(f, "b", s->large);
    for (int i = 0; i < 3; i++) {
        struct pattern p = {PATTERN_PREFIX, bytes_of(patterns[i])};
        (void)request_open(f, &p, 1);
    }
    core_fixture_run(f, "p");
    for (size_t i = 0; i < 3; i++) {
        struct parsed_reply reply = core_fixture_reply(f, 0, 2 + i);
        struct reply_stream_open body;
        assert_true(reply_stream_open_read(&reply.body, &body));
        memcpy(s->topics[i], body.topic.data, TOPIC_SIZE);
        s->last_of[i] = 2;
    }
    core_fixture_message(f, 0, 0);
    open_cursor(f, "k");
    struct reply_cursor_open cursor;
    struct parsed_reply cursor_reply = core_fixture_ask(f, "p");
    assert_true(reply_cursor_open_read(&cursor_reply.body, &cursor));
    uint64_t holder = cursor.holder;
    core_fixture_message(f, 0, 0);
    (void)request_plain(f, OP_SESSION_OPEN);
    struct reply_session_open opened;
    struct parsed_reply reply = core_fixture_ask(f, "p");
    assert_true(reply_session_open_read(&reply.body, &opened));
    core_fixture_message(f, 0, opened.session);
    for (unsigned i = 0; i < 20; i++) {
        char key[2] = {(char)('a' + i % 4), '\0'};
        f->next_number = i + 1;
        (void)request_put(f, key, i % 3 == 0 ? s->large : value_number(2));
    }
    struct pattern c = {PATTERN_EXACT, bytes_of("c")};
    (void)request_open(f, &c, 1);
    s->first = built(f);
    core_fixture_message(f, 0, opened.session);
    f->next_number = 21;
    (void)request_start(f, OP_TXN);
    wire_write_u16(&f->message, 1);
    txn_compare_write(&f->message, &(struct txn_compare){
                                       COMPARE_PREFIX, COMPARE_EQUAL, 1, bytes_of("x"), {NULL, 0}});
    wire_write_u16(&f->message, 15);
    use_prefixes(f, s->large);
    txn_op_write(&f->message, &(struct txn_op){OP_PUT, 0, bytes_of("a"), value_number(1)});
    txn_op_write(&f->message, &(struct txn_op){OP_INCR, 3, bytes_of("e"), {NULL, 0}});
    txn_op_write(&f->message, &(struct txn_op){OP_GET, 0, bytes_of("b"), {NULL, 0}});
    wire_write_u16(&f->message, 0);
    request_finish(f);
    (void)request_get(f, "b");
    (void)request_plain(f, OP_SESSION_OPEN);
    open_cursor(f, "n");
    use_cursor(f, holder);
    (void)request_plain(f, OP_STATUS);
    s->second = built(f);
}

static void scene_close(struct scene *s)
{
    core_fixture_close(&s->f);
    free((void *)(uintptr_t)s->large.data);
    free((void *)(uintptr_t)s->first.data);
    free((void *)(uintptr_t)s->second.data);
}

static void check_chain(void *context, struct bytes message)
{
    struct scene *s = context;
    bool was_armed = armed;
    struct stream_header h;
    uint64_t prev;
    uint64_t seq;
    armed = false;
    struct wire_reader r = wire_reader_of(message.data, message.size);
    assert_int_equal(stream_read_header(&r, &h), ERR_OK);
    size_t i = 0;
    while (i < 3 && memcmp(h.topic, s->topics[i], TOPIC_SIZE) != 0)
        i++;
    for (uint16_t n = 0; n < h.count && i < 3; n++) {
        if (h.kind == STREAM_RECORDS) {
            struct bytes record;
            struct record_header header;
            assert_int_equal(stream_read_entry(&r, &prev, &record, &header), ERR_OK);
            seq = header.seq;
        } else {
            assert_int_equal(stream_read_notice(&r, &prev, &seq), ERR_OK);
        }
        assert_int_equal(prev, s->last_of[i]);
        s->last_of[i] = seq;
    }
    armed = was_armed;
}

static void assert_untouched(struct core_fixture *f, const struct scene *s)
{
    struct reply_get got = core_fixture_get(f, "a");
    assert_true(got.present && got.modified == 1);
    assert_true(bytes_equal(got.value, value_number(1)));
    got = core_fixture_get(f, "b");
    assert_true(got.present && got.modified == 2);
    assert_true(bytes_equal(got.value, s->large));
    assert_int_equal(core_fixture_get(f, "c").modified, 0);
    assert_int_equal(core_fixture_get(f, "e").modified, 0);
    struct core_figures figures;
    core_figures(f->core, &figures);
    assert_int_equal(figures.overlay_keys, 2);
    assert_int_equal(figures.head, 2);
    assert_int_equal(figures.sessions, 1);
    assert_int_equal(figures.session_replies, 0);
    assert_int_equal(figures.session_bytes, 0);
    assert_int_equal(figures.cursors, 1);
    assert_int_equal(core_cursors_wait_from(f->core), 1);
}

static void check_aborted(struct scene *s, size_t messages)
{
    struct core_fixture *f = &s->f;
    assert_int_equal(core_reply_count(f->core), messages);
    for (size_t m = 0; m < messages; m++) {
        struct parsed_reply reply = core_fixture_reply(f, m, 0);
        assert_int_equal(reply.header.status, ERR_NO_MEMORY);
        assert_true(reply.message.count == 1 || reply.message.count == (m == 0 ? 21 : 8));
    }
    assert_untouched(f, s);
    (void)core_fixture_tick(f, 1);
}

static void check_committed(struct scene *s)
{
    struct core_fixture *f = &s->f;
    assert_int_equal(s->last_of[0], 23);
    assert_int_equal(s->last_of[1], 23);
    assert_int_equal(s->last_of[2], 20);
    assert_int_equal(core_fixture_reply(f, 0, 19).header.seq, 22);
    assert_int_equal(core_fixture_reply(f, 1, 0).header.seq, 23);
    struct parsed_reply txn = core_fixture_reply(f, 1, 0);
    assert_int_equal(wire_read_u8(&txn.body), 1);
    struct core_figures figures;
    core_figures(f->core, &figures);
    assert_int_equal(figures.sessions, 2);
    assert_int_equal(figures.session_replies, 21);
    assert_int_equal(figures.cursors, 1); /* one made, one deleted */
    assert_int_equal(core_fixture_reply(f, 1, 6).header.status, ERR_OK);
    assert_int_equal(core_fixture_reply(f, 1, 7).header.status, ERR_OK); /* not INTERNAL */
}

static int take_row(void *context, struct bytes name, struct bytes row)
{
    (void)context;
    assert_true(bytes_equal(name, bytes_of(row.size == 0 ? "k" : "n")));
    return ERR_OK;
}

/* One batch with failures from the n-th allocation. False when there was none to fail. */
static bool run(unsigned long n, bool good)
{
    struct scene s;
    scene_open(&s);
    struct core *core = s.f.core;
    core_fixture_begin(&s.f);
    arm(n, good);
    size_t messages = 1;
    int err = core_request(core, bytes_of("p"), s.first);
    if (!err) {
        messages = 2;
        err = core_request(core, bytes_of("q"), s.second);
    }
    if (!err)
        err = core_cursor_rows(core, take_row, NULL);
    if (err) {
        assert_int_equal(err, ERR_NO_MEMORY);
        core_batch_abort(core, ERR_NO_MEMORY, "out of memory");
        armed = false;
        check_aborted(&s, messages);
    } else {
        core_batch_commit(core);
        core_publish(core, check_chain, &s);
        (void)core_tick(core, s.f.now_ms, check_chain, &s);
        armed = false;
        check_committed(&s);
    }
    bool failed = has_failed;
    scene_close(&s);
    return failed;
}

static void test_batch(void **state)
{
    (void)state;
    for (int good = 0; good < 2; good++) {
        unsigned long n = 0;
        while (run(n, good))
            n++;
        assert_true(n > 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_new), cmocka_unit_test(test_batch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
