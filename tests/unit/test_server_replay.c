/*
 * test_server_replay.c - what the replay socket answers, over a real journal
 * with a clock of the test's own: bounds, damage, what is compacted, and
 * messages that make no sense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/record.h"
#include "server/net/replay_answer.h"
#include "tests/support/sample_bytes.h"
#include "tests/support/temp_folder.h"

#include <stdio.h>

enum { RECORDS = 300, EPOCH = 77, INCARNATION = 99, DAMAGED = 250, COMPACTED_BELOW = 11 };

static struct fixture {
    char folder[TEMP_FOLDER_SIZE];
    struct journal *journal;
    struct replay_answer answer;
    struct wire_buffer request;
    struct wire_buffer reply;
    struct reply_message_header header; /* of the last answer */
    struct wire_reader replies;
    uint64_t ids;
} f;

static uint64_t clock_us;
static uint64_t clock_step_us;

static uint64_t test_clock(void)
{
    clock_us += clock_step_us;
    return clock_us;
}

static struct bytes text(const char *t)
{
    return (struct bytes){(const uint8_t *)t, strlen(t)};
}

/* Record seq changes "all" and, if it is even, "even"; "rare" changes at 100, 200 and DAMAGED. */
static void append(struct wire_buffer *b, uint64_t seq)
{
    struct record_writer w;
    struct change all = {
        .op = CHANGE_PUT, .prev_seq = seq - 1, .key = text("all"), .value = text("\x01")};
    struct change even = {
        .op = CHANGE_PUT, .prev_seq = seq - 2, .key = text("even"), .value = text("\x02")};
    struct change rare = {.op = CHANGE_PUT,
                          .prev_seq = seq == 100 ? 0 : seq - 100,
                          .key = text("rare"),
                          .value = text("\x03")};
    wire_buffer_clear(b);
    record_begin(&w, b, seq, 1000 + seq, 0, 0);
    record_add(&w, &all);
    if (seq % 2 == 0)
        record_add(&w, &even);
    if (seq % 100 == 0)
        record_add(&w, &rare);
    assert_true(record_end(&w) > 0);
    if (seq == DAMAGED)
        b->data[b->size - 1] ^= 1;
    assert_int_equal(journal_batch_append(f.journal, (struct bytes){b->data, b->size}, NULL),
                     ERR_OK);
}

static void put_rows(void)
{
    char key[16];
    for (uint64_t i = 0; i < 200; i++) {
        struct state_row row = {.created = 20,
                                .modified = 20,
                                .version = 1,
                                .deleted = i >= 10 && i < 190,
                                .value = i >= 10 && i < 190 ? text("") : text("\x04")};
        if (row.deleted)
            row.version = 0;
        snprintf(key, sizeof key, "row/%03u", (unsigned)i);
        assert_int_equal(journal_batch_put_row(f.journal, text(key), &row, NULL), ERR_OK);
    }
}

static int set_up(void **state)
{
    (void)state;
    struct wire_buffer record;
    struct failure failure;
    bool more;
    bool blocked;
    assert_true(temp_folder_make(f.folder));
    struct journal_options options = {
        .directory = f.folder, .durability = JOURNAL_PROCESS, .epoch = EPOCH};
    assert_int_equal(journal_open(&options, &f.journal, &failure), ERR_OK);
    wire_buffer_init(&record, 4096);
    assert_int_equal(journal_batch_begin(f.journal, 1 << 20, &failure), ERR_OK);
    for (uint64_t seq = 1; seq <= RECORDS; seq++)
        append(&record, seq);
    put_rows();
    assert_int_equal(journal_batch_set_applied(f.journal, 200, &failure), ERR_OK);
    assert_int_equal(
        journal_batch_compact(f.journal, COMPACTED_BELOW, NULL, 0, 1000, &more, &blocked, &failure),
        ERR_OK);
    assert_int_equal(journal_batch_commit(f.journal, &failure), ERR_OK);
    wire_buffer_free(&record);
    assert_int_equal(journal_reader_open(f.journal, &f.answer.reader, &failure), ERR_OK);
    f.answer.incarnation = INCARNATION;
    f.answer.now_us = test_clock;
    wire_buffer_init(&f.request, 1 << 20);
    wire_buffer_init(&f.reply, LIMIT_RECORD_SIZE);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wire_buffer_free(&f.request);
    wire_buffer_free(&f.reply);
    journal_reader_close(f.answer.reader);
    journal_close(f.journal);
    temp_folder_remove(f.folder);
    return 0;
}

/* ---- a message ---- */

static void begin(uint32_t flags)
{
    struct request_message_header h = {.flags = flags};
    clock_step_us = 0;
    wire_buffer_clear(&f.request);
    request_message_begin(&f.request, &h);
    f.ids = 0;
}

static size_t open_request(uint8_t op, uint8_t flags)
{
    struct request_header h = {.op = op, .flags = flags, .id = ++f.ids};
    return request_begin(&f.request, &h);
}

static void add_replay(uint64_t epoch, uint64_t after, uint64_t until, uint32_t bytes_max,
                       uint8_t kind, const char *pattern_text)
{
    static struct filter filter;
    struct wire_buffer b;
    struct pattern pattern = {.kind = kind, .text = text(pattern_text)};
    assert_int_equal(filter_init(&filter, &pattern, 1), ERR_OK);
    wire_buffer_init(&b, 4096);
    filter_write(&b, &filter);
    struct request_replay r = {.epoch = epoch,
                               .after = after,
                               .until = until,
                               .bytes_max = bytes_max,
                               .filter = {b.data, b.size}};
    size_t place = open_request(OP_REPLAY, 0);
    request_replay_write(&f.request, &r);
    message_part_end(&f.request, place);
    wire_buffer_free(&b);
}

static void add_history(uint64_t from_seq, uint32_t bytes_max, const char *key)
{
    struct request_history h = {.from_seq = from_seq, .bytes_max = bytes_max, .key = text(key)};
    size_t place = open_request(OP_HISTORY, 0);
    request_history_write(&f.request, &h);
    message_part_end(&f.request, place);
}

static void add_list(const char *prefix, const char *after)
{
    struct request_list l = {.prefix = text(prefix), .after = text(after)};
    size_t place = open_request(OP_LIST, REQUEST_LIST_VALUES);
    request_list_write(&f.request, &l);
    message_part_end(&f.request, place);
}

/* Answers what has been written, from a block that ends where the message does. */
static void answer(void)
{
    message_set_count(&f.request, 0, (uint16_t)f.ids);
    uint8_t *copy = malloc(f.request.size);
    assert_non_null(copy);
    memcpy(copy, f.request.data, f.request.size);
    wire_buffer_clear(&f.reply);
    assert_int_equal(replay_answer(&f.answer, (struct bytes){copy, f.request.size}, &f.reply),
                     ERR_OK);
    free(copy);
    f.replies = wire_reader_of(f.reply.data, f.reply.size);
    assert_int_equal(reply_message_read(&f.replies, &f.header), ERR_OK);
    assert_int_equal(f.header.epoch, EPOCH);
    assert_int_equal(f.header.incarnation, INCARNATION);
    assert_int_equal(f.header.head, RECORDS);
    assert_int_equal(f.header.oldest, COMPACTED_BELOW);
}

static int next(struct wire_reader *ret_body)
{
    struct reply_header h;
    assert_int_equal(reply_read(&f.replies, &h, ret_body), ERR_OK);
    return h.status;
}

static int only(struct wire_reader *ret_body)
{
    answer();
    assert_int_equal(f.header.count, 1);
    int status = next(ret_body);
    assert_int_equal(wire_left(&f.replies), 0);
    return status;
}

static int replay(uint64_t after, uint64_t until, uint32_t bytes_max, const char *exact,
                  struct reply_replay *ret_reply)
{
    struct wire_reader body;
    begin(0);
    add_replay(0, after, until, bytes_max, *exact ? PATTERN_EXACT : PATTERN_PREFIX, exact);
    int status = only(&body);
    if (status == ERR_OK)
        assert_true(reply_replay_read(&body, ret_reply));
    return status;
}

/* ---- replay ---- */

static void a_replay_covers_what_it_says(void **state)
{
    (void)state;
    struct reply_replay r;
    assert_int_equal(replay(COMPACTED_BELOW - 1, 100, 0, "", &r), ERR_OK);
    assert_int_equal(r.to, 100);
    assert_int_equal(r.count, 100 - COMPACTED_BELOW + 1);
    assert_int_equal(replay(50, 40, 0, "", &r), ERR_OK);
    assert_int_equal(r.to, 50);
    assert_int_equal(r.count, 0);
    assert_int_equal(replay(90, 220, 0, "rare", &r), ERR_OK);
    assert_int_equal(r.to, 220);
    assert_int_equal(r.count, 2);
    struct record_header h;
    assert_int_equal(record_check(r.records, &h), ERR_OK);
    assert_int_equal(h.seq, 100);
    assert_int_equal(h.count, 1);
    assert_int_equal(h.parts, 3);
}

static void ends_are_named(void **state)
{
    (void)state;
    struct reply_replay r;
    struct wire_reader body;
    assert_int_equal(replay(COMPACTED_BELOW - 2, 0, 0, "", &r), ERR_COMPACTED);
    assert_int_equal(replay(RECORDS, 0, 0, "", &r), ERR_OK);
    assert_int_equal(replay(RECORDS + 1, 0, 0, "", &r), ERR_POSITION_AHEAD);
    assert_int_equal(replay(UINT64_MAX, 0, 0, "", &r), ERR_POSITION_AHEAD);
    begin(0);
    add_replay(EPOCH + 1, 20, 0, 0, PATTERN_PREFIX, "");
    assert_int_equal(only(&body), ERR_EPOCH_CHANGED);
    begin(0);
    add_replay(EPOCH, 20, 30, 0, PATTERN_PREFIX, "");
    assert_int_equal(only(&body), ERR_OK);
}

/* What lies before the damage comes, and the request that starts at it is told. */
static void damage_is_named_and_nothing_is_skipped(void **state)
{
    (void)state;
    struct reply_replay r;
    assert_int_equal(replay(200, 0, 0, "", &r), ERR_OK);
    assert_int_equal(r.to, DAMAGED - 1);
    assert_int_equal(f.answer.corrupt_seq, 0);
    assert_int_equal(replay(r.to, 0, 0, "", &r), ERR_CORRUPT);
    assert_int_equal(f.answer.corrupt_seq, DAMAGED);
    assert_int_equal(replay(r.to, 0, 0, "rare", &r), ERR_CORRUPT);
    assert_int_equal(replay(DAMAGED, 0, 0, "", &r), ERR_OK);
    assert_int_equal(r.to, RECORDS);
}

static void time_bounds_a_scan(void **state)
{
    (void)state;
    struct reply_replay r;
    struct wire_reader body;
    begin(0);
    add_replay(0, 20, 240, 0, PATTERN_EXACT, "nothing");
    clock_step_us = LIMIT_REPLAY_TIME_MS * 1000;
    assert_int_equal(only(&body), ERR_OK);
    assert_true(reply_replay_read(&body, &r));
    assert_int_equal(r.count, 0);
    assert_true(r.to > 20 && r.to < 240);
}

static void requests_of_one_message_share_its_bounds(void **state)
{
    (void)state;
    struct wire_reader body;
    begin(0);
    for (int i = 0; i < 3; i++)
        add_replay(0, 20, 30, 0, PATTERN_PREFIX, "");
    answer();
    for (int i = 0; i < 3; i++)
        assert_int_equal(next(&body), ERR_OK);
    begin(0);
    for (int i = 0; i < 3; i++)
        add_replay(0, 20, 30, 0, PATTERN_PREFIX, "");
    clock_step_us = LIMIT_REPLAY_TIME_MS * 1000;
    answer();
    assert_int_equal(next(&body), ERR_OK);
    assert_int_equal(next(&body), ERR_BUSY);
    begin(MESSAGE_STOP_ON_ERROR);
    add_replay(0, 0, 0, 0, PATTERN_PREFIX, "");
    add_replay(0, 20, 30, 0, PATTERN_PREFIX, "");
    answer();
    assert_int_equal(next(&body), ERR_COMPACTED);
    assert_int_equal(next(&body), ERR_ABORTED);
}

/* ---- history, list ---- */

static int history(uint64_t from_seq, uint32_t bytes_max, const char *key,
                   struct reply_history *ret_reply)
{
    struct wire_reader body;
    begin(0);
    add_history(from_seq, bytes_max, key);
    int status = only(&body);
    if (status == ERR_OK)
        assert_true(reply_history_read(&body, ret_reply));
    return status;
}

static void a_history_ends_honestly(void **state)
{
    (void)state;
    struct reply_history h;
    assert_int_equal(history(200, 0, "rare", &h), ERR_OK);
    assert_int_equal(h.end, HISTORY_COMPLETE);
    assert_int_equal(h.count, 2);
    assert_int_equal(history(100, 0, "even", &h), ERR_OK);
    assert_int_equal(h.end, HISTORY_COMPACTED);
    assert_int_equal(h.count, (100 - COMPACTED_BELOW + 1) / 2);
    assert_int_equal(history(100, 1, "even", &h), ERR_OK);
    assert_int_equal(h.end, HISTORY_MORE);
    assert_int_equal(h.count, 1);
    assert_int_equal(h.next_seq, 98);
    assert_int_equal(history(0, 0, "even", &h), ERR_OK);
    assert_int_equal(h.end, HISTORY_COMPLETE);
    assert_int_equal(h.count, 0);
    assert_int_equal(history(5, 0, "all", &h), ERR_OK);
    assert_int_equal(h.end, HISTORY_COMPACTED);
    assert_int_equal(history(101, 0, "even", &h), ERR_INVALID);
    assert_int_equal(history(RECORDS + 1, 0, "even", &h), ERR_POSITION_AHEAD);
    assert_int_equal(history(RECORDS, 0, "all", &h), ERR_OK);
    assert_int_equal(h.end, HISTORY_MORE);
    assert_int_equal(h.next_seq, DAMAGED);
    assert_int_equal(history(DAMAGED, 0, "all", &h), ERR_CORRUPT);
}

static uint32_t list(const char *after, uint64_t step_us, char ret_last[16], bool *ret_more,
                     uint32_t *ret_live)
{
    struct wire_reader body;
    struct reply_list l;
    begin(0);
    add_list("row/", after);
    clock_step_us = step_us;
    assert_int_equal(only(&body), ERR_OK);
    assert_true(reply_list_read(&body, &l));
    assert_int_equal(l.applied, 200);
    struct wire_reader rows = wire_reader_of(l.rows.data, l.rows.size);
    *ret_live = 0;
    for (uint32_t i = 0; i < l.count; i++) {
        struct list_row row;
        assert_true(list_row_read(&rows, &row));
        assert_true(row.key.size < 16);
        memcpy(ret_last, row.key.data, row.key.size);
        ret_last[row.key.size] = '\0';
        *ret_live += row.version != 0;
        assert_true(row.version != 0 || i + 1 == l.count);
    }
    assert_true(wire_read_complete(&rows));
    *ret_more = l.more;
    return l.count;
}

static void a_listing_leaves_out_deleted_rows(void **state)
{
    (void)state;
    char last[16];
    bool more;
    uint32_t live;
    assert_int_equal(list("", 0, last, &more, &live), 20);
    assert_false(more);
    assert_int_equal(live, 20);
    assert_string_equal(last, "row/199");
    assert_int_equal(list("row/198", 0, last, &more, &live), 1);
    assert_int_equal(list("row/199", 0, last, &more, &live), 0);
}

/* Among many deleted rows a page may have none to show, and goes on all the same. */
static void a_listing_always_gets_on(void **state)
{
    (void)state;
    char after[16] = "";
    char last[16] = "";
    bool more = true;
    unsigned pages = 0;
    uint32_t all = 0;
    for (; more; pages++) {
        uint32_t live;
        list(after, LIMIT_REPLAY_TIME_MS * 1000, last, &more, &live);
        assert_true(!more || strcmp(last, after) > 0);
        strcpy(after, last);
        all += live;
    }
    assert_int_equal(all, 20);
    assert_true(pages > 2);
}

/* ---- nonsense ---- */

static void messages_without_sense_get_one_error(void **state)
{
    (void)state;
    struct wire_reader body;
    begin(0);
    add_replay(0, 20, 30, 0, PATTERN_PREFIX, "");
    add_list("row/", "");
    add_history(100, 0, "even");
    message_set_count(&f.request, 0, 3);
    size_t whole = f.request.size;
    for (size_t size = 0; size < whole; size++) {
        f.request.size = size;
        f.ids = 3;
        if (size < REQUEST_MESSAGE_HEADER_SIZE) {
            uint8_t *copy = malloc(size + 1);
            memcpy(copy + 1, f.request.data, size);
            wire_buffer_clear(&f.reply);
            assert_int_equal(replay_answer(&f.answer, (struct bytes){copy + 1, size}, &f.reply),
                             ERR_OK);
            free(copy);
            continue;
        }
        assert_int_equal(only(&body), ERR_MALFORMED);
    }
    f.request.size = whole;
    wire_write_u8(&f.request, 0);
    assert_int_equal(only(&body), ERR_MALFORMED);

    begin(0);
    message_part_end(&f.request, open_request(OP_PUT, 0));
    assert_int_equal(only(&body), ERR_UNKNOWN_OP);
    begin(0);
    message_part_end(&f.request, open_request(OP_REPLAY, 0));
    assert_int_equal(only(&body), ERR_MALFORMED);
    begin(0);
    add_history(100, 0, "");
    assert_int_equal(only(&body), ERR_BAD_KEY);
    begin(0);
    message_part_end(&f.request, open_request(OP_PING, 0));
    assert_int_equal(only(&body), ERR_OK);
}

/* Any bit of a good message turned over: an answer, and no access out of bounds. */
static void turned_bits_are_survived(void **state)
{
    (void)state;
    struct sample s = {11};
    for (int round = 0; round < 3000; round++) {
        begin(0);
        add_replay(0, 20, 30, 0, PATTERN_PREFIX, "e");
        add_list("row/", "");
        add_history(100, 50, "even");
        message_set_count(&f.request, 0, 3);
        for (size_t flips = 1 + sample_below(&s, 3); flips > 0; flips--)
            f.request.data[sample_below(&s, f.request.size)] ^=
                (uint8_t)(1u << sample_below(&s, 8));
        wire_buffer_clear(&f.reply);
        uint8_t *copy = malloc(f.request.size);
        memcpy(copy, f.request.data, f.request.size);
        assert_int_equal(replay_answer(&f.answer, (struct bytes){copy, f.request.size}, &f.reply),
                         ERR_OK);
        free(copy);
        f.replies = wire_reader_of(f.reply.data, f.reply.size);
        assert_int_equal(reply_message_read(&f.replies, &f.header), ERR_OK);
        struct wire_reader body;
        for (uint16_t i = 0; i < f.header.count; i++)
            next(&body);
        assert_int_equal(wire_left(&f.replies), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replay_covers_what_it_says),
        cmocka_unit_test(ends_are_named),
        cmocka_unit_test(damage_is_named_and_nothing_is_skipped),
        cmocka_unit_test(time_bounds_a_scan),
        cmocka_unit_test(requests_of_one_message_share_its_bounds),
        cmocka_unit_test(a_history_ends_honestly),
        cmocka_unit_test(a_listing_leaves_out_deleted_rows),
        cmocka_unit_test(a_listing_always_gets_on),
        cmocka_unit_test(messages_without_sense_get_one_error),
        cmocka_unit_test(turned_bits_are_survived),
    };
    return cmocka_run_group_tests_name("server replay", tests, set_up, tear_down);
}
