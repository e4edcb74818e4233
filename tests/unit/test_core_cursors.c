/*
 * Named cursors in the core: who may move one and whereto, what a batch writes of
 * them, what an abort and a restart leave, and for what compaction waits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/support/core_fixture.h"

enum { CURSORS_MAX = 5 };

static int set_up(void **state)
{
    static const struct core_limits limits = {.cursors_max = CURSORS_MAX};
    struct core_fixture *f = malloc(sizeof *f);
    assert_non_null(f);
    core_fixture_open(f, 11, &limits);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    core_fixture_close(*state);
    free(*state);
    return 0;
}

/* ---- requests ---- */

static const struct pattern everything = {PATTERN_PREFIX, {NULL, 0}};

static void write_open(struct core_fixture *f, struct bytes name, uint64_t epoch, uint64_t position,
                       const struct pattern *patterns, size_t count)
{
    (void)request_start(f, OP_CURSOR_OPEN);
    request_cursor_open_write(&f->message, &(struct request_cursor_open){
                                               .epoch = epoch, .position = position, .name = name});
    if (count > 0)
        wire_write_u16(&f->message, (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        wire_write_u8(&f->message, patterns[i].kind);
        wire_write_bytes16(&f->message, patterns[i].text);
    }
    request_finish(f);
}

static void write_move(struct core_fixture *f, const char *name, uint64_t holder, uint64_t epoch,
                       uint64_t position)
{
    (void)request_start(f, OP_CURSOR_MOVE);
    request_cursor_move_write(&f->message, &(struct request_cursor_move){.holder = holder,
                                                                         .epoch = epoch,
                                                                         .position = position,
                                                                         .name = bytes_of(name)});
    request_finish(f);
}

static void write_delete(struct core_fixture *f, const char *name)
{
    (void)request_start(f, OP_CURSOR_DELETE);
    request_cursor_delete_write(&f->message,
                                &(struct request_cursor_delete){.name = bytes_of(name)});
    request_finish(f);
}

static struct parsed_reply open_named(struct core_fixture *f, struct bytes name, uint64_t epoch,
                                      uint64_t position)
{
    core_fixture_message(f, 0, 0);
    write_open(f, name, epoch, position, &everything, 1);
    return core_fixture_ask(f, "p");
}

static struct parsed_reply open_at(struct core_fixture *f, const char *name, uint64_t position)
{
    return open_named(f, bytes_of(name), 0, position);
}

static struct parsed_reply open_stored(struct core_fixture *f, const char *name)
{
    core_fixture_message(f, 0, 0);
    f->next_flags = REQUEST_CURSOR_AS_STORED;
    write_open(f, bytes_of(name), 0, 0, NULL, 0);
    return core_fixture_ask(f, "p");
}

static struct reply_cursor_open opened(struct parsed_reply reply)
{
    struct reply_cursor_open body;
    assert_int_equal(reply.header.status, ERR_OK);
    assert_true(reply_cursor_open_read(&reply.body, &body));
    return body;
}

static struct parsed_reply move(struct core_fixture *f, const char *name, uint64_t holder,
                                uint64_t position)
{
    core_fixture_message(f, 0, 0);
    write_move(f, name, holder, f->epoch, position);
    return core_fixture_ask(f, "p");
}

static uint64_t moved(struct parsed_reply reply)
{
    struct reply_cursor_move body;
    assert_int_equal(reply.header.status, ERR_OK);
    assert_true(reply_cursor_move_read(&reply.body, &body));
    return body.position;
}

static struct parsed_reply delete_cursor(struct core_fixture *f, const char *name)
{
    core_fixture_message(f, 0, 0);
    write_delete(f, name);
    return core_fixture_ask(f, "p");
}

static struct reply_cursor_list list(struct core_fixture *f, struct bytes after)
{
    struct reply_cursor_list body;
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_CURSOR_LIST);
    request_cursor_list_write(&f->message, &(struct request_cursor_list){.after = after});
    request_finish(f);
    struct parsed_reply reply = core_fixture_ask(f, "p");
    assert_int_equal(reply.header.status, ERR_OK);
    assert_true(reply_cursor_list_read(&reply.body, &body));
    return body;
}

/* The only row. */
static struct cursor_row only_row(struct core_fixture *f)
{
    struct reply_cursor_list body = list(f, (struct bytes){NULL, 0});
    struct cursor_row row;
    assert_int_equal(body.count, 1);
    assert_int_equal(body.more, 0);
    struct wire_reader r = wire_reader_of(body.rows.data, body.rows.size);
    assert_true(cursor_row_read(&r, &row));
    assert_true(wire_read_complete(&r));
    return row;
}

static void assert_refused(struct parsed_reply reply, int status, const char *text)
{
    if (reply.header.status != status)
        print_message("%s\n", reply.text);
    assert_int_equal(reply.header.status, status);
    if (!strstr(reply.text, text))
        fail_msg("'%s' is not in: %s", text, reply.text);
}

static void put_many(struct core_fixture *f, unsigned count)
{
    core_fixture_message(f, 0, 0);
    for (unsigned i = 0; i < count; i++)
        (void)request_put(f, "k", value_number(1));
    core_fixture_run(f, "p");
}

/* ---- opening ---- */

static void test_made_and_taken_over(void **state)
{
    struct core_fixture *f = *state;
    put_many(f, 10);
    struct reply_cursor_open first = opened(open_at(f, "c", UINT64_MAX));
    assert_int_equal(first.is_new, 1);
    assert_int_equal(first.position, 10);
    assert_true(first.epoch == f->epoch);
    assert_int_equal(first.filter.size, 2 + 3);
    uint64_t first_holder = first.holder;
    f->time_us += 1000;
    struct reply_cursor_open second = opened(open_named(f, bytes_of("c"), 77, 3));
    assert_int_equal(second.is_new, 0);
    assert_int_equal(second.position, 10);
    assert_true(second.holder == first_holder + 1);
    assert_refused(move(f, "c", first_holder, 10), ERR_CURSOR_TAKEN, "cursor c");
    core_fixture_restart(f);
    assert_refused(move(f, "c", first_holder, 10), ERR_CURSOR_TAKEN, "cursor c");
    assert_int_equal(moved(move(f, "c", first_holder + 1, 10)), 10);
    assert_true(opened(open_stored(f, "c")).holder == first_holder + 2);
    assert_int_equal(f->cursors.count, 1);
    assert_int_equal(core_fixture_head(f), 10); /* no record comes of it */
}

static void test_refused_openings(void **state)
{
    struct core_fixture *f = *state;
    char name[LIMIT_CURSOR_NAME + 2];
    memset(name, 'n', sizeof name);
    put_many(f, 3);
    assert_refused(open_at(f, "", 0), ERR_BAD_KEY, "the cursor's name is empty");
    assert_refused(open_named(f, (struct bytes){(uint8_t *)name, LIMIT_CURSOR_NAME + 1}, 0, 0),
                   ERR_BAD_KEY, "129 bytes: at most 128");
    assert_refused(open_named(f, (struct bytes){(const uint8_t *)"a\0b", 3}, 0, 0), ERR_BAD_KEY,
                   "NUL");
    assert_refused(open_at(f, "\xff", 0), ERR_BAD_KEY, "UTF-8");
    assert_refused(open_named(f, bytes_of("c"), f->epoch + 1, 0), ERR_EPOCH_CHANGED,
                   "epoch 00000000000000ea");
    assert_refused(open_at(f, "c", 4), ERR_POSITION_AHEAD, "position 4 is beyond");
    assert_refused(open_stored(f, "c"), ERR_NOT_FOUND, "no such cursor: c");
    core_fixture_message(f, 0, 0);
    write_open(f, bytes_of("c"), 0, 0, NULL, 0); /* no filter at all */
    assert_refused(core_fixture_ask(f, "p"), ERR_MALFORMED, "malformed");
    (void)opened(open_named(f, (struct bytes){(uint8_t *)name, LIMIT_CURSOR_NAME}, f->epoch, 3));
    core_fixture_message(f, 0, 0);
    f->next_flags = REQUEST_CURSOR_AS_STORED;
    write_open(f, (struct bytes){(uint8_t *)name, LIMIT_CURSOR_NAME}, 0, 0, &everything, 1);
    assert_refused(core_fixture_ask(f, "p"), ERR_MALFORMED, "malformed");
    assert_int_equal(f->cursors.count, 1);
}

static void test_another_filter(void **state)
{
    struct core_fixture *f = *state;
    static const struct pattern given[] = {{PATTERN_PREFIX, {(const uint8_t *)"pkg/", 4}},
                                           {PATTERN_EXACT, {(const uint8_t *)"lock", 4}}};
    static const struct pattern same[] = {{PATTERN_EXACT, {(const uint8_t *)"pkg/vim", 7}},
                                          {PATTERN_EXACT, {(const uint8_t *)"lock", 4}},
                                          {PATTERN_PREFIX, {(const uint8_t *)"pkg/", 4}}};
    core_fixture_message(f, 0, 0);
    write_open(f, bytes_of("c"), 0, 0, given, 2);
    uint64_t holder = opened(core_fixture_ask(f, "p")).holder;
    core_fixture_message(f, 0, 0);
    write_open(f, bytes_of("c"), 0, 0, same, 3); /* sees the same */
    assert_true(opened(core_fixture_ask(f, "p")).holder == holder + 1);
    struct parsed_reply reply = open_at(f, "c", 0);
    assert_refused(reply, ERR_CONFLICT, "key 'lock', prefix 'pkg/'");
    assert_refused(reply, ERR_CONFLICT, "delete it");
    assert_int_equal(moved(move(f, "c", holder + 1, 0)), 0); /* it was not taken over */
}

/* ---- moving ---- */

static void test_moves(void **state)
{
    struct core_fixture *f = *state;
    put_many(f, 10);
    uint64_t holder = opened(open_at(f, "c", 2)).holder;
    struct cursor_row row = only_row(f);
    assert_int_equal(row.position, 2);
    assert_true(row.created_us == f->time_us && row.moved_us == f->time_us);
    uint64_t created_us = row.created_us;
    f->time_us += 5;
    assert_int_equal(moved(move(f, "c", holder, 7)), 7);
    f->time_us += 5;
    assert_int_equal(moved(move(f, "c", holder, 4)), 7); /* never back */
    row = only_row(f);
    assert_int_equal(row.position, 7);
    assert_true(row.created_us == created_us && row.moved_us == f->time_us);
    assert_refused(move(f, "c", holder, 11), ERR_POSITION_AHEAD, "head, 10");
    assert_refused(move(f, "c", holder + 1, 8), ERR_CURSOR_TAKEN, "its holder is");
    assert_refused(move(f, "d", holder, 8), ERR_NOT_FOUND, "no such cursor: d");
    core_fixture_message(f, 0, 0);
    write_move(f, "c", holder, f->epoch + 1, 8);
    assert_refused(core_fixture_ask(f, "p"), ERR_EPOCH_CHANGED, "epoch 00000000000000ea");
    assert_int_equal(only_row(f).position, 7);
}

static void test_one_row_a_batch(void **state)
{
    struct core_fixture *f = *state;
    put_many(f, 100);
    uint64_t holder = opened(open_at(f, "c", 0)).holder;
    core_fixture_begin(f);
    core_fixture_message(f, 0, 0);
    for (uint64_t position = 1; position <= 100; position++)
        write_move(f, "c", holder, f->epoch, position);
    core_fixture_send(f, "p");
    assert_true(core_batch_is_durable_work(f->core));
    assert_true(core_batch_only_moves_cursors(f->core));
    assert_int_equal(core_batch_record_count(f->core), 0);
    fixture_cursors_stage(&f->cursors, f->core);
    assert_int_equal(f->cursors.staged_count, 1);
    core_fixture_commit(f);
    core_fixture_begin(f);
    assert_false(core_batch_is_durable_work(f->core));
    core_fixture_message(f, 0, 0);
    write_open(f, bytes_of("d"), 0, 0, &everything, 1);
    core_fixture_send(f, "p");
    assert_true(core_batch_is_durable_work(f->core));
    assert_false(core_batch_only_moves_cursors(f->core));
    core_fixture_commit(f);
    core_fixture_restart(f);
    assert_int_equal(opened(open_stored(f, "c")).position, 100);
}

static void test_refusals_write_nothing(void **state)
{
    struct core_fixture *f = *state;
    (void)opened(open_at(f, "c", 0));
    core_fixture_begin(f);
    core_fixture_message(f, 0, 0);
    write_move(f, "c", 1, f->epoch, 0);
    write_delete(f, "d");
    write_open(f, bytes_of("e"), 0, 9, &everything, 1);
    core_fixture_send(f, "p");
    assert_false(core_batch_is_durable_work(f->core));
    core_fixture_commit(f);
}

/* ---- deleting, limits ---- */

static void test_deleted(void **state)
{
    struct core_fixture *f = *state;
    uint64_t holder = opened(open_at(f, "c", 0)).holder;
    assert_int_equal(delete_cursor(f, "c").header.status, ERR_OK);
    assert_refused(delete_cursor(f, "c"), ERR_NOT_FOUND, "no such cursor: c");
    assert_refused(move(f, "c", holder, 0), ERR_NOT_FOUND, "no such cursor: c");
    assert_int_equal(f->cursors.count, 0);
    /* Another one of the same name: whoever held the old one cannot move it. */
    struct reply_cursor_open again = opened(open_at(f, "c", 0));
    assert_int_equal(again.is_new, 1);
    assert_true(again.holder != holder);
    assert_refused(move(f, "c", holder, 0), ERR_CURSOR_TAKEN, "cursor c");
}

static void test_limit(void **state)
{
    struct core_fixture *f = *state;
    char name[2] = "a";
    for (unsigned i = 0; i < CURSORS_MAX; i++, name[0]++)
        (void)opened(open_at(f, name, 0));
    assert_refused(open_at(f, name, 0), ERR_LIMIT, "there are 5 cursors");
    (void)opened(open_at(f, "c", 0));
    assert_int_equal(delete_cursor(f, "a").header.status, ERR_OK);
    (void)opened(open_at(f, name, 0));
    f->limits.cursors_max = 2; /* what is there stays */
    core_fixture_restart(f);
    (void)opened(open_stored(f, name));
    assert_refused(open_at(f, "x", 0), ERR_LIMIT, "there are 5 cursors");
}

/* ---- listing ---- */

static void test_list_in_pages(void **state)
{
    struct core_fixture *f = *state;
    static uint8_t texts[LIMIT_FILTER_PATTERNS][LIMIT_KEY_SIZE];
    struct pattern large[LIMIT_FILTER_PATTERNS];
    char name[16];
    f->limits.cursors_max = 100;
    core_fixture_restart(f);
    for (size_t i = 0; i < LIMIT_FILTER_PATTERNS; i++) {
        memset(texts[i], (int)('a' + i), LIMIT_KEY_SIZE);
        large[i] = (struct pattern){PATTERN_EXACT, {texts[i], LIMIT_KEY_SIZE}};
    }
    for (unsigned i = 0; i < 100; i++) { /* 780 KiB of filters */
        (void)snprintf(name, sizeof name, "%u", (i * 37) % 100);
        core_fixture_message(f, 0, 0);
        write_open(f, bytes_of(name), 0, 0, large, LIMIT_FILTER_PATTERNS);
        (void)opened(core_fixture_ask(f, "p"));
    }
    uint8_t after[LIMIT_CURSOR_NAME];
    size_t after_size = 0;
    unsigned seen = 0;
    unsigned pages = 0;
    struct reply_cursor_list body;
    do {
        body = list(f, (struct bytes){after, after_size});
        assert_true(body.time_us == f->time_us);
        struct wire_reader r = wire_reader_of(body.rows.data, body.rows.size);
        for (uint32_t i = 0; i < body.count; i++, seen++) {
            struct cursor_row row;
            assert_true(cursor_row_read(&r, &row));
            assert_true(bytes_compare(row.name, (struct bytes){after, after_size}) > 0);
            memcpy(after, row.name.data, row.name.size);
            after_size = row.name.size;
        }
        assert_true(wire_read_complete(&r));
        assert_true(body.rows.size <= 256 << 10);
        pages++;
    } while (body.more);
    assert_int_equal(seen, 100);
    assert_int_equal(pages, 4);
    assert_int_equal(list(f, bytes_of("zz")).count, 0);
}

/* ---- aborts ---- */

static void test_abort_takes_all_back(void **state)
{
    struct core_fixture *f = *state;
    put_many(f, 10);
    uint64_t kept = opened(open_at(f, "kept", 1)).holder;
    uint64_t gone = opened(open_at(f, "gone", 2)).holder;
    f->time_us += 100;
    core_fixture_begin(f);
    core_fixture_message(f, 0, 0);
    write_move(f, "kept", kept, f->epoch, 9);
    write_open(f, bytes_of("kept"), 0, 0, &everything, 1);
    write_delete(f, "gone");
    write_open(f, bytes_of("gone"), 0, 5, &everything, 1);
    write_delete(f, "gone");
    write_open(f, bytes_of("gone"), 0, 6, &everything, 1);
    write_open(f, bytes_of("new"), 0, 7, &everything, 1);
    write_delete(f, "kept");
    core_fixture_send(f, "p");
    core_fixture_abort(f, ERR_IO, "a test");
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(moved(move(f, "kept", kept, 0)), 1);
        assert_int_equal(moved(move(f, "gone", gone, 0)), 2);
        assert_refused(open_stored(f, "new"), ERR_NOT_FOUND, "no such cursor: new");
        core_fixture_restart(f);
    }
    /* And much the same, committed. */
    core_fixture_begin(f);
    core_fixture_message(f, 0, 0);
    write_delete(f, "gone");
    write_open(f, bytes_of("gone"), 0, 5, &everything, 1);
    write_delete(f, "kept");
    core_fixture_send(f, "p");
    core_fixture_commit(f);
    for (unsigned round = 0; round < 2; round++) {
        struct cursor_row row = only_row(f);
        assert_true(bytes_equal(row.name, bytes_of("gone")));
        assert_int_equal(row.position, 5);
        core_fixture_restart(f);
    }
}

/* ---- start ---- */

static void test_rows_that_are_refused(void **state)
{
    struct core_fixture *f = *state;
    (void)opened(open_at(f, "c", 0));
    assert_int_equal(f->cursors.count, 1);
    struct bytes row = f->cursors.rows[0].row;
    struct bytes name = bytes_of("d");
    uint8_t *copy = copy_exactly(row.data, row.size);
    for (size_t size = 0; size < row.size; size++)
        assert_int_equal(core_restore_cursor(f->core, name, (struct bytes){copy, size}),
                         ERR_CORRUPT);
    assert_int_equal(core_restore_cursor(f->core, bytes_of("c"), row), ERR_CORRUPT); /* twice */
    assert_int_equal(core_restore_cursor(f->core, bytes_of(""), row), ERR_CORRUPT);
    assert_int_equal(core_restore_cursor(f->core, bytes_of("\xff"), row), ERR_CORRUPT);
    memset(copy, 0, 8); /* epoch */
    assert_int_equal(core_restore_cursor(f->core, name, (struct bytes){copy, row.size}),
                     ERR_CORRUPT);
    free(copy);
    assert_int_equal(core_restore_cursor(f->core, name, row), ERR_OK);
}

static void test_another_epoch(void **state)
{
    struct core_fixture *f = *state;
    put_many(f, 10);
    uint64_t holder = opened(open_at(f, "c", 8)).holder;
    uint64_t before = f->epoch;
    f->epoch = 0xea;
    core_fixture_restart(f);
    struct reply_cursor_open body = opened(open_stored(f, "c"));
    assert_true(body.epoch == before);
    assert_int_equal(body.position, 8);
    assert_refused(move(f, "c", holder + 1, 9), ERR_EPOCH_CHANGED, "epoch 00000000000000e9");
    assert_int_equal(core_cursors_wait_from(f->core), 0);
    assert_int_equal(delete_cursor(f, "c").header.status, ERR_OK);
}

/* ---- compaction ---- */

struct overtaken {
    unsigned count;
    char name[16];
    uint64_t position;
    uint64_t lag;
};

static void note_overtaken(void *context, struct bytes name, uint64_t position, uint64_t lag)
{
    struct overtaken *o = context;
    o->count++;
    memcpy(o->name, name.data, name.size);
    o->name[name.size] = '\0';
    o->position = position;
    o->lag = lag;
}

static void test_who_waits(void **state)
{
    struct core_fixture *f = *state;
    struct overtaken o = {0};
    put_many(f, 20);
    assert_int_equal(core_cursors_wait_from(f->core), 0);
    uint64_t holder = opened(open_at(f, "slow", 3)).holder;
    (void)opened(open_at(f, "fast", 12));
    (void)opened(open_at(f, "head", UINT64_MAX));
    assert_int_equal(core_cursors_wait_from(f->core), 4);
    assert_int_equal(moved(move(f, "slow", holder, 6)), 6);
    assert_int_equal(core_cursors_wait_from(f->core), 7);
    core_cursors_overtake(f->core, 7, note_overtaken, &o);
    assert_int_equal(o.count, 0);
    core_cursors_overtake(f->core, 8, note_overtaken, &o);
    core_fixture_compact(f, 8);
    assert_int_equal(o.count, 1);
    assert_string_equal(o.name, "slow");
    assert_int_equal(o.position, 6);
    assert_int_equal(o.lag, 14);
    core_cursors_overtake(f->core, 10, note_overtaken, &o); /* once only */
    assert_int_equal(o.count, 1);
    assert_int_equal(core_cursors_wait_from(f->core), 13);
    struct core_figures figures;
    core_figures(f->core, &figures);
    assert_int_equal(figures.cursors, 3);
    assert_int_equal(figures.cursors_overtaken, 1);
    /* Its watcher is told so: the cursor stays, and may even go on. */
    assert_int_equal(opened(open_stored(f, "slow")).position, 6);
}

static struct parsed_reply compact(struct core_fixture *f, uint64_t before)
{
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_COMPACT);
    request_compact_write(&f->message, &(struct request_compact){.before = before});
    request_finish(f);
    return core_fixture_ask(f, "p");
}

static void test_compaction_that_is_held(void **state)
{
    struct core_fixture *f = *state;
    put_many(f, 20);
    uint64_t holder = opened(open_at(f, "c", 5)).holder;
    assert_int_equal(compact(f, 10).header.status, ERR_OK);
    assert_int_equal(core_compact_target(f->core), 10);
    core_fixture_compact(f, 6);
    core_compact_is_held(f->core, 6);
    assert_int_equal(core_compact_target(f->core), 0);
    assert_refused(compact(f, 10), ERR_CONFLICT, "cursor c");
    assert_int_equal(core_compact_target(f->core), 0);
    assert_int_equal(compact(f, 10).header.status, ERR_OK); /* it may have changed since */
    core_compact_is_held(f->core, 6);
    assert_int_equal(compact(f, 6).header.status, ERR_OK); /* no further than the cursor */
    core_compact_is_held(f->core, 6);
    assert_int_equal(moved(move(f, "c", holder, 15)), 15);
    assert_int_equal(compact(f, 10).header.status, ERR_OK);
    assert_int_equal(core_compact_target(f->core), 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_made_and_taken_over),
        TEST(test_refused_openings),
        TEST(test_another_filter),
        TEST(test_moves),
        TEST(test_one_row_a_batch),
        TEST(test_refusals_write_nothing),
        TEST(test_deleted),
        TEST(test_limit),
        TEST(test_list_in_pages),
        TEST(test_abort_takes_all_back),
        TEST(test_rows_that_are_refused),
        TEST(test_another_epoch),
        TEST(test_who_waits),
        TEST(test_compaction_that_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
