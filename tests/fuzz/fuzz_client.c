/*
 * What a client does with a server's bytes: the first byte chooses.
 *
 *   even  the rest is one reply message to three requests (pending.h, replay_channel.h), by bit 1
 *         within a session, by bit 2 not for the first time, by bits 3 to 5 the third one about a
 *         named cursor
 *   odd   the rest is a program for a watch with a named cursor: each step a byte, then what it
 *         needs
 *
 * Whatever comes, the watch's position never falls, no record is handed out twice or out of order,
 * every request ends once, and the cursor never moves beyond a record that was not acknowledged.
 */
#include <assert.h>
#include <stdlib.h>

#include "client/cursor_reader.h"
#include "client/cursor_rule.h"
#include "client/before_answer.h"
#include "client/pending.h"
#include "client/record_reader.h"
#include "client/replay_channel.h"
#include "client/watch_rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- replies ---- */

static void read_cursors(const struct reply *reply, const struct reply_cursor_list *page)
{
    struct wire_reader r = wire_reader_of(page->rows.data, page->rows.size);
    struct cursor_listing listing = {page->time_us, reply->message->epoch, reply->message->head};
    struct cursor_reader *reader = malloc(sizeof *reader);
    struct cursor_row row;
    vigil_cursor cursor;
    if (!reader)
        abort();
    for (uint32_t i = 0; i < page->count && cursor_row_read(&r, &row); i++) {
        if (cursor_reader_read(reader, &row, &listing, &cursor) != ERR_OK)
            break;
        assert(vigil_key_valid(cursor.name));
        assert(cursor.pattern_count >= 1 && cursor.pattern_count <= LIMIT_FILTER_PATTERNS);
        for (size_t k = 0; k < cursor.pattern_count; k++)
            assert(strlen(cursor.patterns[k]) <= LIMIT_KEY_SIZE + 1);
    }
    free(reader);
}

static void read_cursor_reply(const struct reply *reply)
{
    struct wire_reader body = reply->body;
    struct reply_cursor_open opened;
    struct reply_cursor_move moved;
    struct reply_cursor_list page;
    if (reply->header.op == OP_CURSOR_LIST && reply_cursor_list_read(&body, &page)) {
        read_cursors(reply, &page);
    } else if (reply->header.op == OP_CURSOR_MOVE) {
        (void)reply_cursor_move_read(&body, &moved);
    } else if (reply->header.op == OP_CURSOR_OPEN && reply_cursor_open_read(&body, &opened)) {
        struct wire_reader r = wire_reader_of(opened.filter.data, opened.filter.size);
        struct filter *filter = malloc(sizeof *filter);
        if (!filter)
            abort();
        (void)filter_read(&r, filter);
        free(filter);
    }
}

static void count_reply(void *context, const struct reply *reply)
{
    unsigned *count = context;
    (*count)++;
    assert((reply->message != NULL) == (reply->frame != NULL));
    if (reply->frame && !reply->error)
        read_cursor_reply(reply);
}

/* A previous value comes only out of a whole record, of this seq and key, and lies within it. */
static void take_previous(const struct reply_header *header, struct wire_reader body)
{
    static const struct bytes key = {(const uint8_t *)"pkg/vim", 7};
    struct before_answer answer = {.before = VIGIL_BEFORE_NOT_ASKED};
    int err = before_read_answer(header, body, key, 43, &answer);
    assert((err == ERR_OK) == (answer.before != VIGIL_BEFORE_NOT_ASKED));
    if (answer.before == VIGIL_BEFORE_VALUE)
        assert(answer.value.data > body.at && answer.value.data + answer.value.size <= body.end);
}

static void take_reply(uint8_t how, const uint8_t *data, size_t size)
{
    struct answered_message m = {
        .first_id = 1, .count = 3, .numbered = how & 2, .doubtful = how & 4};
    struct reply_summary summary;
    struct pending p;
    struct reply_message_header message;
    struct reply_header header;
    struct wire_reader body;
    unsigned ended = 0;
    if (pending_init(&p) != ERR_OK)
        abort();
    const uint8_t third = how & 8 ? (uint8_t)(OP_CURSOR_OPEN + (how >> 4 & 3)) : OP_STREAM_OPEN;
    const uint8_t ops[3] = {OP_PUT, OP_GET, third};
    for (int i = 0; i < 3; i++)
        pending_add(&p, &(struct pending_request){.op = ops[i],
                                                  .application = i < 2,
                                                  .handler = i < 2 ? NULL : count_reply,
                                                  .context = &ended});
    struct reply_frame *frame = reply_frame_new(&p);
    if (!frame)
        abort();
    wire_write_raw(&frame->message, data, size);
    (void)pending_take_reply(&p, frame, &m, &summary);
    reply_frame_release(&p, frame);
    pending_fail_all(&p, ERR_DISCONNECTED);
    for (struct pending_outcome outcome; pending_outcome(&p, &outcome); ended++)
        reply_frame_release(&p, outcome.frame);
    assert(ended == 3);
    assert(p.application_count == 0);
    pending_free(&p);
    if (replay_reply_read((struct bytes){data, size}, &message, &header, &body) == ERR_OK)
        take_previous(&header, body);
}

/* ---- a watch ---- */

struct program {
    struct wire_reader r;
    struct watch_rule rule;
    struct cursor_rule cursor;
    int64_t now;
    uint64_t last_delivered;
    uint64_t said; /* acknowledged */
};

/* Small numbers meet each other more often than large ones. */
static uint64_t number(struct program *p)
{
    uint8_t n = wire_read_u8(&p->r);
    return n < 250 ? n : UINT64_MAX - (255u - n);
}

static struct watch_opened opened(struct program *p)
{
    struct watch_opened o;
    o.epoch = number(p) % 3;
    o.incarnation = number(p) % 3;
    o.head = number(p);
    o.oldest = number(p);
    o.interval_ms = wire_read_u8(&p->r) * 100u;
    return o;
}

static void deliver(struct program *p, uint64_t seq)
{
    assert(seq > p->last_delivered);
    p->last_delivered = seq;
    watch_rule_delivered(&p->rule, seq);
    cursor_rule_handed(&p->cursor, seq);
}

static void live_message(struct program *p)
{
    uint8_t kind = wire_read_u8(&p->r) % 4;
    struct stream_bookmark b = {.head = number(p), .last = number(p), .oldest = number(p)};
    b.interval_ms = wire_read_u8(&p->r) * 50u;
    if (!watch_rule_heard(&p->rule, p->now, number(p) % 3, number(p) % 3))
        return;
    if (kind == 0 && b.last <= b.head)
        watch_rule_bookmark(&p->rule, p->now, &b);
    else if (kind == 1)
        watch_rule_notice(&p->rule, p->now, b.last, b.head);
    else if (kind == 2)
        watch_rule_garbled(&p->rule, p->now);
    else if (b.last < b.head &&
             watch_rule_record(&p->rule, p->now, b.last, b.head) == WATCH_DELIVER)
        deliver(p, b.head);
}

static void replay_reply(struct program *p)
{
    struct watch_opened o = opened(p);
    uint64_t from = number(p);
    uint64_t to = number(p);
    watch_rule_replay_arrived(&p->rule);
    if (!watch_rule_replay_taken(&p->rule, p->now, &o, from, to))
        return;
    for (uint8_t n = wire_read_u8(&p->r) % 8; n > 0; n--) {
        uint64_t seq = number(p);
        enum watch_verdict verdict = watch_rule_replay_record(&p->rule, seq);
        if (verdict == WATCH_BREAK) {
            watch_rule_chunk_bad(&p->rule, p->now, ERR_CORRUPT);
            return;
        }
        if (verdict == WATCH_DELIVER)
            deliver(p, seq);
    }
    watch_rule_chunk_done(&p->rule, p->now);
}

/* Records and stream messages as they come, with a record in front that is whole. */
static void read_bytes(struct program *p)
{
    struct wire_buffer b;
    struct record_writer writer;
    struct record_header header;
    struct record_reader reader = {0};
    struct stream_header stream;
    struct stream_bookmark bookmark;
    struct bytes record;
    uint64_t prev;
    vigil_record out;
    size_t size = wire_read_u8(&p->r);
    struct bytes rest = wire_read_raw(&p->r, size < wire_left(&p->r) ? size : wire_left(&p->r));

    if (rest.size == 0)
        return;
    wire_buffer_init(&b, 4096);
    record_begin(&writer, &b, 9, 0, 0, 0);
    struct change change = {.op = CHANGE_PUT, .key = rest, .value = rest};
    record_add(&writer, &change);
    if (record_end(&writer) > 0 &&
        record_check((struct bytes){b.data, b.size}, &header) == ERR_OK &&
        record_reader_read(&reader, 1, b.data, &header, &out) == ERR_OK)
        assert(out.count == 1 && out.changes[0].key_size == rest.size);
    struct wire_reader r = wire_reader_of(rest.data, rest.size);
    if (stream_read_header(&r, &stream) == ERR_OK && stream.kind == STREAM_BOOKMARK)
        (void)stream_read_bookmark(&r, &bookmark);
    else if (!r.failed)
        (void)stream_read_entry(&r, &prev, &record, &header);
    record_reader_free(&reader);
    wire_buffer_free(&b);
}

static void say(struct program *p, uint64_t seq)
{
    uint64_t most = p->rule.position > p->cursor.passed ? p->rule.position : p->cursor.passed;
    cursor_rule_passed(&p->cursor, p->rule.position);
    cursor_rule_say(&p->cursor, seq);
    seq = seq < most ? seq : most;
    p->said = seq > p->said ? seq : p->said;
}

static void step_cursor(struct program *p, uint8_t what)
{
    uint64_t position;
    if (what == 1)
        say(p, UINT64_MAX);
    else if (what == 2)
        say(p, p->last_delivered / 2);
    else if (what == 3 && p->cursor.under_way)
        cursor_rule_moved(&p->cursor);
    else if (what == 4 && p->cursor.under_way)
        cursor_rule_failed(&p->cursor, p->now, ERR_DISCONNECTED, false);
    cursor_rule_passed(&p->cursor, p->rule.position);
    if (!cursor_rule_wants_move(&p->cursor, p->now, &position))
        return;
    assert(position > p->cursor.moved && !p->cursor.under_way);
    assert(position <= p->said || p->last_delivered <= p->said);
    assert(position <= p->rule.position);
    cursor_rule_sent(&p->cursor, position, p->now);
}

static void step(struct program *p)
{
    uint64_t after;
    struct watch_opened o;
    p->now += wire_read_u8(&p->r) * 20;
    uint8_t what = wire_read_u8(&p->r);
    switch (what % 11) {
    case 0:
        if (watch_rule_wants_open(&p->rule, p->now))
            watch_rule_asked_open(&p->rule, p->now);
        break;
    case 1:
        o = opened(p);
        watch_rule_opened(&p->rule, p->now, &o);
        break;
    case 2:
        watch_rule_open_failed(&p->rule, p->now, (int)number(p));
        break;
    case 3:
        if (watch_rule_wants_replay(&p->rule, p->now, &after))
            watch_rule_asked_replay(&p->rule, p->now, after);
        break;
    case 4:
        replay_reply(p);
        break;
    case 5:
        o = opened(p);
        watch_rule_replay_failed(&p->rule, p->now, (int)number(p), &o);
        break;
    case 6:
        watch_rule_lost(&p->rule, p->now);
        break;
    case 7:
        watch_rule_stream_gone(&p->rule, p->now);
        break;
    case 8:
        read_bytes(p);
        break;
    default:
        live_message(p);
    }
    watch_rule_tick(&p->rule, p->now);
    (void)watch_rule_take_error(&p->rule);
    (void)watch_rule_due_ms(&p->rule);
    step_cursor(p, what / 11 % 5);
}

static void run_program(const uint8_t *data, size_t size)
{
    struct program p = {.r = wire_reader_of(data, size)};
    enum vigil_since since = (enum vigil_since)(wire_read_u8(&p.r) % 3);
    bool no_reconnect = wire_read_u8(&p.r) & 1;
    vigil_position position = {number(&p) % 3, number(&p)};
    watch_rule_init(&p.rule, since, position, no_reconnect, 1, 0);
    p.last_delivered = p.rule.positioned ? p.rule.position : 0;
    p.said = p.last_delivered;
    cursor_rule_init(&p.cursor, p.said, 0);
    while (wire_left(&p.r) > 0 && !p.r.failed) {
        uint64_t before = p.rule.position;
        bool positioned = p.rule.positioned;
        step(&p);
        assert(!positioned || p.rule.position >= before);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] & 1)
        run_program(data + 1, size - 1);
    else
        take_reply(data[0], data + 1, size - 1);
    return 0;
}
