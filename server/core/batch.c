/*
 * batch.c - a batch of request messages: what they made, their replies, and how
 * all of it becomes true or is taken back.
 *
 * Replies are written as if the batch had been committed, but for head and
 * oldest in their headers, which commit fills in. An abort walks over them and
 * writes an error for each request in their place.
 *
 * 1. Between core_request calls there is room for one more place, peer and short
 *    reply: whatever happens within a message, it gets an answer.
 */
#include "server/core/core_state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PEER_SIZE_MAX = 255,
    REPLY_SHORT_SIZE = REPLY_MESSAGE_HEADER_SIZE + REPLY_RESERVE,
    /* A reply that says no more than its code's sentence. */
    REPLY_ERROR_SIZE = REPLY_HEADER_SIZE + 2 + 62,
    BUFFER_KEEP_BYTES = LIMIT_BATCH_BYTES + (2 << 20), /* stays allocated from batch to batch */
    ARRAY_KEEP = 65536,
    EXPIRE_PER_BATCH = 256 /* sessions */
};

/* Room for size more bytes without a further allocation. */
static int reserve(struct wire_buffer *b, size_t size)
{
    if (!wire_extend(b, size)) {
        b->failed = false;
        return ERR_NO_MEMORY;
    }
    b->size -= size;
    return ERR_OK;
}

static int reserve_message(struct batch *b)
{
    if (b->place_count == b->place_capacity) {
        size_t capacity = b->place_capacity ? b->place_capacity * 2 : 256;
        struct reply_place *places = realloc(b->places, capacity * sizeof *places);
        if (!places)
            return ERR_NO_MEMORY;
        b->places = places;
        b->place_capacity = capacity;
    }
    if (reserve(&b->peers, PEER_SIZE_MAX) || reserve(&b->replies, REPLY_SHORT_SIZE))
        return ERR_NO_MEMORY;
    return ERR_OK;
}

int batch_init(struct core *core)
{
    struct batch *b = &core->batch;
    /* A record takes less than twice the bytes of the request that it came in, or what record_room
     * says, and keeps at most the bytes of its reply. */
    wire_buffer_init(&b->records, LIMIT_BATCH_BYTES + LIMIT_REPLY_SIZE + LIMIT_GROWN_BYTES +
                                      2 * (size_t)core->limits.message_size_max + (1 << 20));
    wire_buffer_init(&b->replies, 2 * LIMIT_BATCH_BYTES + LIMIT_REPLY_SIZE);
    wire_buffer_init(&b->peers, (size_t)(LIMIT_BATCH_REQUESTS + 2) * PEER_SIZE_MAX);
    b->is_published = true;
    b->last_seq = core->head;
    core->publisher.head = core->head;
    return reserve_message(b);
}

void batch_free(struct batch *b)
{
    wire_buffer_free(&b->records);
    wire_buffer_free(&b->replies);
    wire_buffer_free(&b->peers);
    free(b->record_ends);
    free(b->key_hashes);
    free(b->places);
}

/* Gives back what an unusually large batch needed. */
static void reset_buffer(struct wire_buffer *b)
{
    wire_buffer_clear(b);
    if (b->capacity <= BUFFER_KEEP_BYTES)
        return;
    uint8_t *data = realloc(b->data, BUFFER_KEEP_BYTES);
    if (data) {
        b->data = data;
        b->capacity = BUFFER_KEEP_BYTES;
    }
}

/* The header that all replies of the batch have, but for their count; made once, because a reply
 * to a single put is little more than that. */
static void make_reply_header(struct core *core)
{
    struct wire_buffer header = {.data = core->batch.reply_header,
                                 .capacity = REPLY_MESSAGE_HEADER_SIZE,
                                 .size_max = REPLY_MESSAGE_HEADER_SIZE};
    reply_message_begin(&header, &(struct reply_message_header){.epoch = core->epoch,
                                                                .incarnation = core->incarnation,
                                                                .head = core->head,
                                                                .oldest = core->oldest});
    assert(!header.failed);
}

void core_batch_begin(struct core *core, uint64_t time_us, uint64_t now_ms)
{
    struct batch *b = &core->batch;
    assert(!b->is_open);
    assert(b->is_published);
    reset_buffer(&b->records);
    reset_buffer(&b->replies);
    wire_buffer_clear(&b->peers);
    if (b->key_hash_capacity > ARRAY_KEEP) {
        free(b->key_hashes);
        b->key_hashes = NULL;
        b->key_hash_capacity = 0;
    }
    core_at(core, now_ms);
    b->is_open = true;
    b->replies_lost = false;
    b->number++;
    b->time_us = time_us > core->time_us ? time_us : core->time_us;
    b->last_seq = core->head;
    b->first_seq = core->head + 1;
    b->compact_target = core->compact_target;
    b->function_us = 0;
    b->requests = 0;
    b->mutations = 0;
    b->expired = 0;
    b->record_count = 0;
    b->key_hash_count = 0;
    b->place_count = 0;
    make_reply_header(core);
    session_take_back(&core->sessions);
    session_expire(&core->sessions, core->now_ms, core->limits.session_idle_ms, EXPIRE_PER_BATCH);
    checkpoint_take_back(&core->checkpoint);
    checkpoint_free_some(&core->checkpoint);
}

void core_at(struct core *core, uint64_t now_ms)
{
    if (now_ms > core->now_ms)
        core->now_ms = now_ms;
}

bool core_batch_full(const struct core *core)
{
    const struct batch *b = &core->batch;
    return b->requests >= LIMIT_BATCH_REQUESTS || b->place_count >= LIMIT_BATCH_REQUESTS ||
           b->records.size + b->replies.size >= LIMIT_BATCH_BYTES;
}

bool core_batch_is_late(const struct core *core)
{
    return core->batch.function_us >= core->limits.function_ms * 1000;
}

void core_all_read(struct core *core)
{
    core->burst_us = 0;
}

bool core_wants_all_read(const struct core *core)
{
    return core->burst_us > 0;
}

size_t core_batch_record_count(const struct core *core)
{
    return core->batch.record_count;
}

bool core_batch_is_durable_work(const struct core *core)
{
    return core->batch.record_count > 0 || core->sessions.touched_rows > 0 ||
           core->cursors.touched > 0 || core->lives.touched_count > 0 ||
           core->lives.leases_touched_count > 0;
}

struct bytes core_batch_record_at(const struct core *core, size_t i)
{
    const struct batch *b = &core->batch;
    size_t begin = i > 0 ? b->record_ends[i - 1] : 0;
    return (struct bytes){b->records.data + begin, b->record_ends[i] - begin};
}

size_t core_batch_record_bytes(const struct core *core)
{
    return core->batch.records.size;
}

/* ---- a message ---- */

static size_t begin_reply(const struct core *core, struct wire_buffer *replies, uint16_t count)
{
    size_t begin = replies->size;
    wire_write_raw(replies, core->batch.reply_header, REPLY_MESSAGE_HEADER_SIZE);
    message_set_count(replies, begin, count);
    return begin;
}

/* Checks the whole message before any of it is applied: its header, and that the
 * requests' sizes lead exactly to its end. */
static int check_message(const struct core *core, struct bytes message,
                         struct request_message_header *ret_header, char *text, size_t text_size)
{
    if (message.size > core->limits.message_size_max) {
        (void)snprintf(text, text_size, "a message may have %u bytes, this one has %zu",
                       (unsigned)core->limits.message_size_max, message.size);
        return ERR_TOO_LARGE;
    }
    struct wire_reader r = wire_reader_of(message.data, message.size);
    int err = request_message_read(&r, ret_header);
    if (err == ERR_VERSION) {
        (void)snprintf(text, text_size,
                       "the message is of protocol version %u, this server speaks %d",
                       message.data[1], PROTOCOL_VERSION);
        return err;
    }
    if (err) {
        (void)snprintf(text, text_size,
                       "malformed message: %zu bytes that do not begin as a request message does",
                       message.size);
        return err;
    }
    for (unsigned i = 1; i <= ret_header->count; i++) {
        uint32_t size = wire_left(&r) >= 4 ? wire_load_u32(r.at) : 0;
        if (size < REQUEST_HEADER_SIZE || size > wire_left(&r)) {
            (void)snprintf(text, text_size,
                           "malformed message: request %u of %u says %u bytes, %zu are left", i,
                           ret_header->count, (unsigned)size, wire_left(&r));
            return ERR_MALFORMED;
        }
        (void)wire_read_raw(&r, size);
    }
    if (wire_left(&r) > 0) {
        (void)snprintf(text, text_size, "malformed message: %zu bytes after its last request",
                       wire_left(&r));
        return ERR_MALFORMED;
    }
    return ERR_OK;
}

/* One request; what is malformed in it concerns it alone. */
static int apply_next(struct core *core, struct request *q, struct wire_reader *r, bool abort_it,
                      uint16_t *ret_status)
{
    struct wire_buffer *replies = &core->batch.replies;
    const uint8_t *part = r->at;
    int err = request_read(r, &q->header, &q->body);
    if (!err && exactly_once_applies(q))
        return exactly_once_apply(core, q, abort_it, ret_status);
    if (err || abort_it) {
        /* check_message has seen that the header is there. */
        *ret_status = (uint16_t)(err ? err : ERR_ABORTED);
        reply_write_error(replies, part[4], wire_load_u64(part + 8), *ret_status, 0,
                          err ? "malformed request: its reserved bytes are not 0" : NULL);
        return replies->failed ? ERR_NO_MEMORY : ERR_OK;
    }
    return core_apply(core, q, ret_status);
}

/* What the record of a request may take, if that is not bounded by the request's own size: those
 * that follow it in its message, bytes_after of them, need room for theirs. */
static size_t record_room(const struct batch *b, size_t bytes_after)
{
    size_t room = b->records.size_max - b->records.size - LIMIT_REPLY_SIZE - 2 * bytes_after;
    size_t one = LIMIT_RECORD_SIZE - 2 * LIMIT_SESSION_RESULT;
    return room < one ? room : one;
}

static int apply_all(struct core *core, struct bytes peer, struct bytes message,
                     const struct request_message_header *h)
{
    struct batch *b = &core->batch;
    size_t begin = begin_reply(core, &b->replies, h->count);
    size_t header_size = request_message_header_size(h->flags);
    struct wire_reader r = wire_reader_of(message.data + header_size, message.size - header_size);
    bool abort_rest = false;
    struct request q;
    q.peer = peer;
    q.all_looked_at = 0;
    q.all_appended = 0;
    exactly_once_begin(core, &q, h);
    for (uint16_t i = 0; i < h->count; i++) {
        uint16_t status;
        /* The requests that follow need room for their replies, too. */
        q.budget = LIMIT_REPLY_SIZE - (b->replies.size - begin) -
                   (size_t)(h->count - i - 1) * REPLY_RESERVE;
        q.record_room = record_room(b, wire_left(&r) - wire_load_u32(r.at));
        int err = apply_next(core, &q, &r, abort_rest, &status);
        if (err)
            return err;
        if (status != ERR_OK && (h->flags & MESSAGE_STOP_ON_ERROR) != 0)
            abort_rest = true;
    }
    return ERR_OK;
}

/* Memory ran out within a message: an error for each of its requests, in the
 * room that was reserved for that. */
static void reply_no_memory(struct core *core, struct bytes message,
                            const struct request_message_header *h)
{
    size_t header_size = request_message_header_size(h->flags);
    struct wire_reader r = wire_reader_of(message.data + header_size, message.size - header_size);
    (void)begin_reply(core, &core->batch.replies, h->count);
    for (uint16_t i = 0; i < h->count; i++) {
        const uint8_t *part = r.at;
        (void)wire_read_raw(&r, wire_load_u32(part));
        reply_write_error(&core->batch.replies, part[4], wire_load_u64(part + 8), ERR_NO_MEMORY, 0,
                          NULL);
    }
}

static void place_reply(struct batch *b, size_t begin, uint16_t count, struct bytes peer)
{
    struct reply_place *place = &b->places[b->place_count++];
    *place = (struct reply_place){begin, b->replies.size - begin, b->peers.size,
                                  (uint16_t)peer.size, count};
    wire_write_raw(&b->peers, peer.data, peer.size);
}

int core_request(struct core *core, struct bytes peer, struct bytes message)
{
    struct batch *b = &core->batch;
    struct request_message_header h;
    char text[LIMIT_ERROR_TEXT];
    size_t begin = b->replies.size;
    uint16_t count;
    assert(b->is_open);
    assert(peer.size <= PEER_SIZE_MAX);

    lease_touch(&core->leases, peer, core->now_ms);
    int err = ERR_OK;
    int refused = check_message(core, message, &h, text, sizeof text);
    if (refused ||
        reserve(&b->replies, REPLY_MESSAGE_HEADER_SIZE + (size_t)h.count * REPLY_ERROR_SIZE)) {
        if (!refused)
            err = ERR_NO_MEMORY;
        count = 1;
        b->requests++;
        (void)begin_reply(core, &b->replies, 1);
        reply_write_error(&b->replies, 0, 0, (uint16_t)(refused ? refused : ERR_NO_MEMORY), 0,
                          refused ? text : NULL);
    } else {
        count = h.count;
        b->requests += count;
        err = apply_all(core, peer, message, &h);
        if (err) {
            b->replies.failed = false;
            b->replies.size = begin;
            reply_no_memory(core, message, &h);
        }
    }
    place_reply(b, begin, count, peer);
    if (!err)
        err = reserve_message(b);
    return err;
}

/* ---- the end ---- */

void core_batch_commit(struct core *core)
{
    struct batch *b = &core->batch;
    assert(b->is_open);
    core->head = b->last_seq;
    if (b->record_count > 0)
        core->time_us = b->time_us;
    core->requests += b->requests;
    core->mutations += b->mutations;
    core->expired += b->expired;
    make_reply_header(core);
    for (size_t i = 0; i < b->place_count; i++) {
        memcpy(b->replies.data + b->places[i].begin, b->reply_header, REPLY_MESSAGE_HEADER_SIZE);
        message_set_count(&b->replies, b->places[i].begin, b->places[i].count);
    }
    undo_forget(&core->undo);
    lease_commit(&core->leases);
    session_batch_commit(&core->sessions);
    cursor_batch_commit(&core->cursors);
    life_batch_commit(&core->lives);
    life_clock_batch_end(&core->life_clock, true);
    b->is_open = false;
    b->is_published = b->record_count == 0;
    core_checkpoint_confirm(core);
    core_freeze_if_due(core);
}

/* The message at place again, with an error for each request. */
static void write_aborted(struct core *core, const struct reply_place *place,
                          struct wire_buffer *to, int code, const char *text)
{
    struct wire_reader r = wire_reader_of(core->batch.replies.data + place->begin, place->size);
    struct reply_message_header h;
    struct reply_header reply;
    struct wire_reader body;
    int err = reply_message_read(&r, &h);
    assert(err == ERR_OK);
    (void)begin_reply(core, to, h.count);
    for (uint16_t i = 0; i < h.count; i++) {
        err = reply_read(&r, &reply, &body);
        assert(err == ERR_OK);
        reply_write_error(to, reply.op, reply.id, (uint16_t)code, 0, text);
    }
}

static void abort_replies(struct core *core, int code, const char *text)
{
    struct batch *b = &core->batch;
    struct wire_buffer aborted;
    wire_buffer_init(&aborted, b->replies.size_max);
    aborted.failed = reserve(&aborted, REPLY_SHORT_SIZE) != ERR_OK;
    for (size_t i = 0; i < b->place_count && !aborted.failed; i++) {
        size_t begin = aborted.size;
        write_aborted(core, &b->places[i], &aborted, code, text);
        b->places[i].begin = begin;
        b->places[i].size = aborted.size - begin;
    }
    if (!aborted.failed) {
        wire_buffer_free(&b->replies);
        b->replies = aborted;
        return;
    }
    /* No memory for that: one message for all of them, in the room that there always is. */
    wire_buffer_free(&aborted);
    b->replies_lost = true;
    wire_buffer_clear(&b->replies);
    (void)begin_reply(core, &b->replies, 1);
    reply_write_error(&b->replies, 0, 0, (uint16_t)code, 0, text);
}

void core_batch_abort(struct core *core, int code, const char *text)
{
    struct batch *b = &core->batch;
    assert(b->is_open);
    undo_rollback(&core->undo, core->active);
    key_gaps_abort(&core->gaps, b->number);
    session_batch_abort(&core->sessions);
    cursor_batch_abort(&core->cursors);
    life_batch_abort(&core->lives);
    life_clock_batch_end(&core->life_clock, false);
    lease_abort(&core->leases, core->head);
    checkpoint_take_back(&core->checkpoint);
    core->compact_target = b->compact_target > core->oldest ? b->compact_target : 0;
    core->requests += b->requests;
    b->last_seq = core->head;
    b->record_count = 0;
    b->key_hash_count = 0;
    wire_buffer_clear(&b->records);
    make_reply_header(core);
    abort_replies(core, code, text);
    b->is_open = false;
    b->is_published = true;
    core_freeze_if_due(core);
}

size_t core_reply_count(const struct core *core)
{
    return core->batch.place_count;
}

void core_reply_at(const struct core *core, size_t i, struct bytes *ret_peer,
                   struct bytes *ret_message)
{
    const struct batch *b = &core->batch;
    const struct reply_place *place = &b->places[i];
    *ret_peer = (struct bytes){b->peers.data + place->peer_at, place->peer_size};
    *ret_message = b->replies_lost ? (struct bytes){b->replies.data, b->replies.size}
                                   : (struct bytes){b->replies.data + place->begin, place->size};
}
