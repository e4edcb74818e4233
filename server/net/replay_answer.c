/* replay_answer.c - see replay_answer.h. */
#include "server/net/replay_answer.h"

#include "protocol/key.h"
#include "protocol/record.h"

#include <inttypes.h>
#include <stdio.h>

enum { CLOCK_EVERY = 64 /* records scanned between two looks at the clock */ };

struct reply_place {
    struct wire_buffer *out;
    const struct request_header *request;
    size_t bytes_max; /* of what this reply may add */
};

static void write_error(struct reply_place *p, int code, const char *text)
{
    reply_write_error(p->out, p->request->op, p->request->id, (uint16_t)code, 0, text);
}

static size_t begin_reply(struct reply_place *p, uint64_t seq)
{
    struct reply_header h = {
        .op = p->request->op, .status = ERR_OK, .id = p->request->id, .seq = seq};
    return reply_begin(p->out, &h);
}

static bool time_is_up(struct replay_answer *a)
{
    return a->scanned >= LIMIT_REPLAY_RECORDS_SCANNED ||
           (a->scanned % CLOCK_EVERY == 0 && a->now_us() >= a->deadline_us);
}

/* Notes damage for the log; the text goes to the client as well. */
static int read_failed(struct replay_answer *a, struct reply_place *p, int err, uint64_t seq,
                       const struct failure *failure)
{
    if (err == ERR_CORRUPT && a->corrupt_seq == 0) {
        a->corrupt_seq = seq;
        a->failure = *failure;
    }
    write_error(p, err, failure->text[0] ? failure->text : NULL);
    return err;
}

/* A reply's body is written in place: this closes its `bytes32` and `count`, written as 0 before. */
static void close_rows(struct wire_buffer *b, size_t count_at, uint32_t count)
{
    if (b->failed)
        return;
    wire_store_u32(b->data + count_at, count);
    wire_store_u32(b->data + count_at + 4, (uint32_t)(b->size - count_at - 8));
}

static size_t open_rows(struct wire_buffer *b)
{
    size_t count_at = b->size;
    wire_write_u32(b, 0);
    wire_write_u32(b, 0);
    return count_at;
}

static int check_epoch(struct replay_answer *a, struct reply_place *p, uint64_t epoch)
{
    if (epoch == 0 || epoch == a->view.epoch)
        return ERR_OK;
    write_error(p, ERR_EPOCH_CHANGED, NULL);
    return ERR_EPOCH_CHANGED;
}

/* ---- replay ---- */

/* Appends what matches of the records after `after`. *ret_to: everything up to it has been seen. */
static int scan_records(struct replay_answer *a, struct reply_place *p, uint64_t after,
                        uint64_t until, uint64_t *ret_to, uint32_t *ret_count,
                        struct failure *failure)
{
    struct wire_buffer *b = p->out;
    bool everything = filter_is_everything(&a->filter);
    size_t start = b->size;
    uint64_t to = after;
    uint32_t count = 0;
    int err = journal_reader_seek(a->reader, after + 1, failure);

    while (err == ERR_OK && to < until) {
        struct record_header header;
        struct bytes record;
        uint64_t seq = to + 1;
        err = journal_reader_next(a->reader, &seq, &record, failure);
        if (err != ERR_OK)
            break;
        size_t before = b->size;
        if (everything)
            record_write_shown(b, record.data);
        else if ((err = record_peek(record, &header)) == ERR_OK)
            record_write_view(b, record.data, &a->filter);
        if (err != ERR_OK || b->failed)
            break;
        if (count > 0 && b->size - start > p->bytes_max) {
            b->size = before;
            break;
        }
        count += b->size > before;
        to = seq;
        a->scanned++;
        if (b->size - start >= p->bytes_max || time_is_up(a))
            break;
    }
    if (err != ERR_OK && err != ERR_NOT_FOUND && count == 0 && to == after) {
        *ret_to = to + 1; /* the seq that cannot be read */
        return err;
    }
    /* Damage further on is told by the request that starts right before it. */
    *ret_to = to;
    *ret_count = count;
    return ERR_OK;
}

static int answer_replay(struct replay_answer *a, struct reply_place *p, struct wire_reader *body)
{
    struct request_replay request;
    struct failure failure = {0};
    if (!request_replay_read(body, &request)) {
        write_error(p, ERR_MALFORMED, NULL);
        return ERR_MALFORMED;
    }
    struct wire_reader filter = wire_reader_of(request.filter.data, request.filter.size);
    int err = filter_read(&filter, &a->filter);
    if (err == ERR_OK && !wire_read_complete(&filter))
        err = ERR_MALFORMED;
    if (err != ERR_OK) {
        write_error(p, err, NULL);
        return err;
    }
    err = check_epoch(a, p, request.epoch);
    if (err != ERR_OK)
        return err;
    if (request.after > a->view.head)
        err = ERR_POSITION_AHEAD;
    else if (request.after + 1 < a->view.oldest)
        err = ERR_COMPACTED;
    if (err != ERR_OK) {
        write_error(p, err, NULL);
        return err;
    }
    if (request.bytes_max > 0 && request.bytes_max < p->bytes_max)
        p->bytes_max = request.bytes_max;
    uint64_t until =
        request.until == 0 || request.until > a->view.head ? a->view.head : request.until;

    size_t begin_size = p->out->size;
    size_t place = begin_reply(p, a->view.head);
    wire_write_u64(p->out, request.after);
    size_t to_at = p->out->size;
    wire_write_u64(p->out, 0);
    size_t count_at = open_rows(p->out);
    uint64_t to = request.after;
    uint32_t count = 0;
    err = scan_records(a, p, request.after, until, &to, &count, &failure);
    if (err != ERR_OK) {
        p->out->size = begin_size;
        return read_failed(a, p, err, to, &failure);
    }
    a->records += count;
    if (!p->out->failed)
        wire_store_u64(p->out->data + to_at, to);
    close_rows(p->out, count_at, count);
    message_part_end(p->out, place);
    return ERR_OK;
}

/* ---- list ---- */

/* Rows of deleted keys are left out, but for one: where the bounds are used up among them, the
 * last one seen is sent with version 0, so that the client has a key to go on from. */
static int scan_rows(struct replay_answer *a, struct reply_place *p, bool values, bool *ret_more,
                     uint32_t *ret_count, struct failure *failure)
{
    struct wire_buffer *b = p->out;
    size_t start = b->size;
    uint32_t count = 0;
    int err;
    for (;;) {
        struct state_row row;
        struct list_row out = {0};
        err = journal_reader_next_row(a->reader, &out.key, &row, failure);
        if (err != ERR_OK || b->failed)
            break;
        a->scanned++;
        bool bound = time_is_up(a);
        if (row.deleted && !bound)
            continue;
        if (!row.deleted) {
            out.created = row.created;
            out.version = row.version;
            if (values)
                out.value = row.value;
        }
        out.modified = row.modified;
        size_t before = b->size;
        list_row_write(b, &out);
        bool over = b->size - start > p->bytes_max;
        if (over && count > 0)
            b->size = before;
        else
            count++;
        if (over || bound || count >= LIMIT_LIST_ROWS) {
            *ret_more = true;
            break;
        }
    }
    *ret_count = count;
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static int answer_list(struct replay_answer *a, struct reply_place *p, struct wire_reader *body)
{
    struct request_list request;
    struct failure failure = {0};
    int err = request_list_read(body, &request) ? ERR_OK : ERR_MALFORMED;
    if (err == ERR_OK && (!prefix_valid(request.prefix) || request.after.size > LIMIT_KEY_SIZE))
        err = ERR_BAD_KEY;
    if (err != ERR_OK) {
        write_error(p, err, NULL);
        return err;
    }
    err = check_epoch(a, p, request.epoch);
    if (err != ERR_OK)
        return err;
    if (request.bytes_max > 0 && request.bytes_max < p->bytes_max)
        p->bytes_max = request.bytes_max;

    size_t begin_size = p->out->size;
    size_t place = begin_reply(p, a->view.applied);
    wire_write_u64(p->out, a->view.applied);
    size_t more_at = p->out->size;
    wire_write_u8(p->out, 0);
    size_t count_at = open_rows(p->out);
    bool more = false;
    uint32_t count = 0;
    err = journal_reader_rows(a->reader, request.prefix, request.after, &failure);
    if (err == ERR_OK)
        err = scan_rows(a, p, (p->request->flags & REQUEST_LIST_VALUES) != 0, &more, &count,
                        &failure);
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        p->out->size = begin_size;
        return read_failed(a, p, err, a->view.applied, &failure);
    }
    if (!p->out->failed)
        p->out->data[more_at] = more;
    close_rows(p->out, count_at, count);
    message_part_end(p->out, place);
    return ERR_OK;
}

/* ---- history ---- */

/* The change of key in a checked record. */
static bool find_change(const uint8_t *record, struct bytes key, struct change *ret_change)
{
    struct change_iterator i = record_changes(record);
    while (change_next(&i, ret_change)) {
        if (bytes_equal(ret_change->key, key))
            return true;
    }
    return false;
}

struct history_walk {
    uint64_t seq; /* the next to look at, 0: the chain has ended */
    uint8_t end;  /* enum history_end */
    uint32_t count;
};

/* One step down the chain. ERR_OK: look at walk->end. */
static int history_step(struct replay_answer *a, struct reply_place *p, size_t start,
                        struct bytes key, struct history_walk *walk, struct failure *failure)
{
    struct record_header header;
    struct change change;
    struct bytes record;
    if (walk->seq < a->view.oldest) {
        walk->end = HISTORY_COMPACTED;
        return ERR_OK;
    }
    int err = journal_reader_get(a->reader, walk->seq, &record, failure);
    if (err == ERR_OK)
        err = record_peek(record, &header);
    if (err != ERR_OK)
        return err;
    if (!find_change(record.data, key, &change)) {
        bool asked = walk->count == 0; /* the client's number, not the chain's */
        return failure_set(failure, asked ? ERR_INVALID : ERR_CORRUPT,
                           "record %" PRIu64 " does not change this key", walk->seq);
    }
    if (change.prev_seq >= walk->seq)
        return failure_set(failure, ERR_CORRUPT, "record %" PRIu64 " names a later one before it",
                           walk->seq);
    size_t before = p->out->size;
    record_write_view(p->out, record.data, &a->filter);
    if (walk->count > 0 && p->out->size - start > p->bytes_max) {
        p->out->size = before;
        walk->end = HISTORY_MORE;
        return ERR_OK;
    }
    walk->count++;
    walk->seq = change.prev_seq;
    a->scanned++;
    walk->end = walk->seq == 0 ? HISTORY_COMPLETE : HISTORY_MORE;
    return ERR_OK;
}

static int history_walk(struct replay_answer *a, struct reply_place *p, struct bytes key,
                        struct history_walk *walk, struct failure *failure)
{
    size_t start = p->out->size;
    for (;;) {
        uint32_t count = walk->count;
        int err = history_step(a, p, start, key, walk, failure);
        if (err != ERR_OK)
            return err;
        if (walk->end != HISTORY_MORE || walk->count == count || p->out->failed)
            return ERR_OK;
        if (time_is_up(a))
            return ERR_OK;
    }
}

static int answer_history(struct replay_answer *a, struct reply_place *p, struct wire_reader *body)
{
    struct request_history request;
    struct failure failure = {0};
    int err = request_history_read(body, &request) ? ERR_OK : ERR_MALFORMED;
    if (err == ERR_OK && !key_valid(request.key))
        err = ERR_BAD_KEY;
    if (err == ERR_OK) {
        struct pattern exact = {.kind = PATTERN_EXACT, .text = request.key};
        err = filter_init(&a->filter, &exact, 1);
    }
    if (err != ERR_OK) {
        write_error(p, err, NULL);
        return err;
    }
    err = check_epoch(a, p, request.epoch);
    if (err != ERR_OK)
        return err;
    if (request.from_seq > a->view.head) {
        write_error(p, ERR_POSITION_AHEAD, NULL);
        return ERR_POSITION_AHEAD;
    }
    if (request.bytes_max > 0 && request.bytes_max < p->bytes_max)
        p->bytes_max = request.bytes_max;

    struct history_walk walk = {.seq = request.from_seq, .end = HISTORY_COMPLETE};
    size_t begin_size = p->out->size;
    size_t place = begin_reply(p, a->view.head);
    size_t end_at = p->out->size;
    wire_write_u8(p->out, 0);
    wire_write_u64(p->out, 0);
    size_t count_at = open_rows(p->out);
    if (walk.seq != 0)
        err = history_walk(a, p, request.key, &walk, &failure);
    if (err != ERR_OK && (walk.count == 0 || err != ERR_CORRUPT)) {
        p->out->size = begin_size;
        return read_failed(a, p, err, walk.seq, &failure);
    }
    if (err != ERR_OK)
        walk.end = HISTORY_MORE; /* the next request starts at the damage and is told of it */
    a->records += walk.count;
    if (!p->out->failed) {
        p->out->data[end_at] = walk.end;
        wire_store_u64(p->out->data + end_at + 1, walk.seq);
    }
    close_rows(p->out, count_at, walk.count);
    message_part_end(p->out, place);
    return ERR_OK;
}

/* ---- a message ---- */

static int answer_request(struct replay_answer *a, struct reply_place *p, struct wire_reader *body)
{
    switch (p->request->op) {
    case OP_REPLAY:
        return answer_replay(a, p, body);
    case OP_LIST:
        return answer_list(a, p, body);
    case OP_HISTORY:
        return answer_history(a, p, body);
    case OP_PING:
        message_part_end(p->out, begin_reply(p, a->view.head));
        return ERR_OK;
    default:
        write_error(p, ERR_UNKNOWN_OP, NULL);
        return ERR_UNKNOWN_OP;
    }
}

/* Whether every part of the message can be told apart, and nothing follows them. */
static bool is_whole(struct wire_reader r, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        struct request_header request;
        struct wire_reader body;
        if (request_read(&r, &request, &body) != ERR_OK)
            return false;
    }
    return wire_read_complete(&r);
}

static void answer_all(struct replay_answer *a, struct wire_reader *r, struct wire_buffer *out,
                       const struct request_message_header *message)
{
    bool aborted = false;
    for (uint16_t i = 0; i < message->count; i++) {
        struct request_header request;
        struct wire_reader body;
        size_t used = out->size;
        struct reply_place p = {.out = out, .request = &request};
        int err = request_read(r, &request, &body);
        if (err != ERR_OK)
            break; /* is_whole has been asked */
        p.bytes_max = used < LIMIT_REPLAY_BYTES ? LIMIT_REPLAY_BYTES - used : 0;
        a->requests++;
        if (aborted)
            write_error(&p, err = ERR_ABORTED, NULL);
        else if (i > 0 && (p.bytes_max == 0 || a->now_us() >= a->deadline_us))
            write_error(&p, err = ERR_BUSY, "this message's share is used up; ask again");
        else
            err = answer_request(a, &p, &body);
        aborted = aborted || (err != ERR_OK && (message->flags & MESSAGE_STOP_ON_ERROR) != 0);
    }
    message_set_count(out, 0, message->count);
}

int replay_answer(struct replay_answer *a, struct bytes message, struct wire_buffer *out)
{
    struct wire_reader r = wire_reader_of(message.data, message.size);
    struct request_message_header header = {0};
    struct failure failure = {0};

    a->requests = 0;
    a->records = 0;
    a->corrupt_seq = 0;
    a->scanned = 0;
    a->deadline_us = a->now_us() + LIMIT_REPLAY_TIME_MS * 1000u;

    int err = request_message_read(&r, &header);
    if (err == ERR_OK && !is_whole(r, header.count))
        err = ERR_MALFORMED;
    int view_err = journal_reader_begin(a->reader, &a->view, &failure);
    struct reply_message_header reply = {.count = 1, .incarnation = a->incarnation};
    if (view_err == ERR_OK) {
        reply.epoch = a->view.epoch;
        reply.head = a->view.head;
        reply.oldest = a->view.oldest;
    }
    reply_message_begin(out, &reply);
    if (err != ERR_OK)
        reply_write_error(out, 0, 0, (uint16_t)err, 0, NULL);
    else if (view_err != ERR_OK)
        reply_write_error(out, 0, 0, (uint16_t)view_err, 0, failure.text);
    else
        answer_all(a, &r, out, &header);
    if (view_err == ERR_OK)
        journal_reader_end(a->reader);
    return out->failed ? ERR_NO_MEMORY : ERR_OK;
}
