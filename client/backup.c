/*
 * backup.c - the state and the records of a running server, as a backup's bytes.
 *
 * Records first, from the oldest on; then the rows, page by page, and after each
 * page the records up to the head that it named. So the records follow the
 * journal closely, and compaction would have to pass the head of one page within
 * the time of another to take one away that is still needed.
 *
 * 1. Every page shows at least the effect of the records up to the `applied` of
 *    the first reply, and what follows that is in the file.
 * 2. Memory: one reply and one chunk.
 */
#include <stdlib.h>
#include <time.h>

#include "client/arguments.h"
#include "client/replay_trip.h"
#include "client/snapshot.h"
#include "protocol/backup_file.h"

struct backup {
    struct vigil *v;
    bool (*write)(void *context, const void *data, size_t size);
    void *context;
    struct filter everything;
    struct backup_tally tally;
    struct wire_buffer header; /* handed out before the first chunk */
    struct wire_buffer out;
    bool state_only;
    bool begun; /* something has been handed out */
    uint64_t epoch;
    uint64_t head; /* as the last reply named them */
    uint64_t oldest;
};

static int hand_out(struct backup *b)
{
    int err = ERR_OK;
    if (b->out.failed)
        err = connection_fail(b->v, ERR_NO_MEMORY, NULL);
    else if ((!b->begun && !b->write(b->context, b->header.data, b->header.size)) ||
             !b->write(b->context, b->out.data, b->out.size))
        err = connection_fail(b->v, ERR_INTERRUPTED, "the application stopped the backup");
    b->begun = true;
    wire_buffer_clear(&b->out);
    return err;
}

/* The chunk that fills the buffer: what a reader would refuse is not written. */
static int hand_out_chunk(struct backup *b, uint32_t count)
{
    struct failure reason = {0};
    struct backup_chunk chunk;
    backup_chunk_end(&b->out, 0, count);
    if (!b->out.failed && backup_tally_chunk(&b->tally, (struct bytes){b->out.data, b->out.size},
                                             &chunk, &reason) != ERR_OK)
        return connection_fail(b->v, ERR_MALFORMED, "the server's reply was not understood: %.200s",
                               reason.text);
    return hand_out(b);
}

static int ask(struct backup *b, const struct trip_question *question, struct replay_call *call)
{
    const struct trip_patience patience = trip_patience_of(0);
    int err = replay_trip(b->v, question, &patience, call);
    if (err)
        return err;
    if (call->header.op != question->op)
        return snapshot_malformed(b->v);
    if (b->epoch != 0 && call->message.epoch != b->epoch)
        return connection_fail(b->v, ERR_EPOCH_CHANGED, NULL);
    b->head = call->message.head;
    b->oldest = call->message.oldest;
    return ERR_OK;
}

/* ---- records ---- */

struct records_question {
    struct request_replay request;
    const struct filter *filter;
};

static void write_records_question(struct wire_buffer *b, const void *context)
{
    const struct records_question *q = context;
    request_replay_write(b, &q->request);
    filter_write(b, q->filter);
}

static int next_records(struct backup *b, uint64_t until)
{
    struct replay_call call = {0};
    struct reply_replay reply = {0};
    struct records_question records = {
        .request = {.epoch = b->epoch, .after = b->tally.summary.head, .until = until},
        .filter = &b->everything};
    struct trip_question question = {OP_REPLAY, 0, write_records_question, &records};
    int err = ask(b, &question, &call);
    if (err == ERR_OK &&
        (!reply_replay_read(&call.body, &reply) || reply.from != records.request.after ||
         reply.to <= reply.from || reply.count != reply.to - reply.from))
        err = snapshot_malformed(b->v);
    if (err == ERR_OK) {
        backup_chunk_begin(&b->out, BACKUP_RECORDS);
        wire_write_raw(&b->out, reply.records.data, reply.records.size);
        err = hand_out_chunk(b, reply.count);
    }
    replay_call_reset(b->v, &call);
    return err;
}

/* All up to what is the head now. */
static int catch_up(struct backup *b)
{
    uint64_t until = b->head;
    int err = ERR_OK;
    while (err == ERR_OK && b->tally.summary.head < until)
        err = next_records(b, until);
    return err;
}

/* ---- rows ---- */

static int take_rows(struct backup *b, const struct reply_list *page, char *last,
                     size_t *ret_last_size)
{
    struct wire_reader r = wire_reader_of(page->rows.data, page->rows.size);
    uint32_t count = 0;
    backup_chunk_begin(&b->out, BACKUP_ROWS);
    for (uint32_t i = 0; i < page->count; i++) {
        const uint8_t *at = r.at;
        struct list_row row;
        if (!list_row_read(&r, &row))
            return snapshot_malformed(b->v);
        memcpy(last, row.key.data, row.key.size);
        *ret_last_size = row.key.size;
        if (row.version == 0)
            continue; /* deleted: only a place to go on from */
        wire_write_raw(&b->out, at, (size_t)(r.at - at));
        count++;
    }
    if (!wire_read_complete(&r) || (page->more && page->count == 0))
        return snapshot_malformed(b->v);
    if (count > 0)
        return hand_out_chunk(b, count);
    wire_buffer_clear(&b->out);
    return ERR_OK;
}

static void write_list_question(struct wire_buffer *b, const void *context)
{
    request_list_write(b, context);
}

static int next_rows(struct backup *b, char *last, size_t *last_size, bool *ret_more)
{
    struct replay_call call = {0};
    struct reply_list page = {0};
    struct request_list request = {.epoch = b->epoch, .after = {(const uint8_t *)last, *last_size}};
    struct trip_question question = {OP_LIST, REQUEST_LIST_VALUES, write_list_question, &request};
    int err = ask(b, &question, &call);
    if (err == ERR_OK && !reply_list_read(&call.body, &page))
        err = snapshot_malformed(b->v);
    if (err == ERR_OK)
        err = take_rows(b, &page, last, last_size);
    *ret_more = page.more;
    replay_call_reset(b->v, &call);
    return err;
}

static int write_rows(struct backup *b)
{
    char last[LIMIT_KEY_SIZE];
    size_t last_size = 0;
    bool more = true;
    int err = ERR_OK;
    while (err == ERR_OK && more) {
        err = next_rows(b, last, &last_size, &more);
        if (err == ERR_OK)
            err = catch_up(b);
    }
    return err;
}

/* ---- the whole ---- */

static uint64_t wall_clock_us(void)
{
    struct timespec now = {0};
    timespec_get(&now, TIME_UTC);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* A page of nearly nothing tells where the journal is. */
static int begin(struct backup *b)
{
    struct replay_call call = {0};
    struct reply_list page = {0};
    struct request_list request = {.bytes_max = 1};
    struct trip_question question = {OP_LIST, 0, write_list_question, &request};
    b->epoch = 0;
    int err = ask(b, &question, &call);
    if (err == ERR_OK && !reply_list_read(&call.body, &page))
        err = snapshot_malformed(b->v);
    if (err == ERR_OK) {
        struct backup_header h = {.epoch = call.message.epoch,
                                  .first = call.message.oldest,
                                  .time_us = wall_clock_us(),
                                  .state_only = b->state_only};
        /* The record at head is never removed: a journal cannot be without it. */
        if (b->state_only && b->head > 0)
            h.first = page.applied < b->head ? page.applied + 1 : b->head;
        b->epoch = h.epoch;
        wire_buffer_clear(&b->header);
        backup_write_header(&b->header, &h, &b->tally);
        err = b->header.failed ? connection_fail(b->v, ERR_NO_MEMORY, NULL) : ERR_OK;
    }
    replay_call_reset(b->v, &call);
    return err;
}

static int write_end(struct backup *b)
{
    backup_write_end(&b->out, &b->tally, b->oldest);
    return hand_out(b);
}

/* As long as nothing has been handed out, what compaction takes away is no loss: the backup begins
 * at a later record. */
static int write_all(struct backup *b)
{
    enum { TRIES_MAX = 20 };
    int err = ERR_COMPACTED;
    for (int i = 0; i < TRIES_MAX && err == ERR_COMPACTED && !b->begun; i++) {
        err = begin(b);
        if (err == ERR_OK)
            err = catch_up(b);
    }
    if (err == ERR_OK)
        err = write_rows(b);
    if (err == ERR_OK)
        err = write_end(b);
    return err;
}

int vigil_backup(vigil *v, bool state_only,
                 bool (*write)(void *context, const void *data, size_t size), void *context,
                 vigil_backup_info *ret_info)
{
    const struct pattern all = {.kind = PATTERN_PREFIX};
    if (!write)
        return connection_fail(v, ERR_INVALID, NULL);
    struct backup *b = calloc(1, sizeof *b);
    if (!b)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    b->v = v;
    b->write = write;
    b->context = context;
    b->state_only = state_only;
    wire_buffer_init(&b->header, BACKUP_HEADER_SIZE);
    wire_buffer_init(&b->out, LIMIT_RECORD_SIZE + BACKUP_CHUNK_HEADER_SIZE);
    int err = filter_init(&b->everything, &all, 1);
    if (err == ERR_OK)
        err = write_all(b);
    if (err == ERR_OK && ret_info) {
        const struct backup_summary *s = &b->tally.summary;
        *ret_info = (vigil_backup_info){.epoch = s->epoch,
                                        .seq = s->head,
                                        .oldest = s->oldest,
                                        .records = s->records,
                                        .rows = s->rows,
                                        .bytes = s->bytes,
                                        .checksum = s->checksum};
    }
    wire_buffer_free(&b->header);
    wire_buffer_free(&b->out);
    free(b);
    return err;
}
