/* before.c - the previous values of a watch's changes; see before.h. */
#include "client/before.h"

#include <stdlib.h>

#include "client/before_answer.h"
#include "client/connection.h"
#include "client/value_memory.h"
#include "client/watch_rule.h"

enum { ASK_LATER_MS = 20, TRY_AGAIN_MS = 50 };

struct before {
    struct vigil *connection;
    struct value_memory memory;
    enum { IDLE, ASKING, DONE, HANDED } state;

    vigil_record record;
    vigil_change *changes; /* the record's */
    uint16_t settled;      /* all changes before it have their before */
    uint16_t open;         /* changes that have not */

    struct replay_call call;
    int64_t due_ms;    /* IDLE: ask then. Otherwise the reply is */
    uint32_t failures; /* in a row */
    uint16_t asked_for[BEFORE_BATCH_MAX];

    zmq_msg_t *frames; /* replies that previous values stand in */
    size_t frames_count;
    size_t frames_capacity;
    size_t frames_bytes;

    uint64_t asked;
};

int before_new(struct vigil *v, size_t memory_bytes, struct before **ret_before)
{
    struct before *b = calloc(1, sizeof *b);
    if (!b)
        return ERR_NO_MEMORY;
    b->connection = v;
    value_memory_init(&b->memory, memory_bytes ? memory_bytes : BEFORE_MEMORY_DEFAULT);
    *ret_before = b;
    return ERR_OK;
}

/* Back to IDLE, without what belongs to the record. */
static void clear(struct before *b)
{
    replay_call_reset(b->connection, &b->call);
    for (size_t i = 0; i < b->frames_count; i++)
        zmq_msg_close(&b->frames[i]);
    b->frames_count = 0;
    b->frames_bytes = 0;
    b->state = IDLE;
}

void before_free(struct before *b)
{
    if (!b)
        return;
    clear(b);
    value_memory_clear(&b->memory);
    free(b->frames);
    free(b);
}

void before_reset(struct before *b)
{
    clear(b);
    value_memory_clear(&b->memory);
}

static struct bytes key_of(const vigil_change *c)
{
    return (struct bytes){(const uint8_t *)c->key, c->key_size};
}

static void settle(struct before *b, vigil_change *c, enum vigil_before before, struct bytes value)
{
    bool is_value = before == VIGIL_BEFORE_VALUE;
    c->before = before;
    c->before_value = is_value ? value.data : NULL;
    c->before_size = is_value ? value.size : 0;
    b->open--;
}

/* ---- asking ---- */

/* The server leaves out what the rest of bytes_max does not hold, but never the first record. */
static void write_request(struct before *b, const vigil_change *c, struct wire_buffer *buffer)
{
    struct request_history request = {
        .epoch = b->record.epoch, .from_seq = c->prev_seq, .bytes_max = 1, .key = key_of(c)};
    request_history_write(buffer, &request);
}

/* For as many changes as a message may carry. */
static void ask(struct before *b)
{
    struct vigil *v = b->connection;
    size_t place;
    uint16_t n = 0;
    struct wire_buffer *buffer = replay_call_begin(v, OP_HISTORY, 0, &place);
    for (uint16_t i = b->settled; i < b->record.count && n < BEFORE_BATCH_MAX; i++) {
        if (b->changes[i].before != VIGIL_BEFORE_NOT_ASKED)
            continue;
        if (n > 0)
            replay_call_more(v, OP_HISTORY, 0, &place);
        write_request(b, &b->changes[i], buffer);
        b->asked_for[n++] = i;
    }
    if (replay_call_end(v, &b->call, place) == ERR_OK) {
        b->due_ms = v->now_ms + BEFORE_REPLY_MS;
        b->asked += n;
    } else {
        /* Out of memory, or the connection is lost, which the watch is told as well. */
        b->due_ms = v->now_ms + ASK_LATER_MS;
    }
}

/* ---- answers ---- */

static bool reserve_frame(struct before *b)
{
    if (b->frames_count < b->frames_capacity)
        return true;
    size_t capacity = b->frames_capacity ? b->frames_capacity * 2 : 4;
    zmq_msg_t *frames = malloc(capacity * sizeof *frames);
    if (!frames)
        return false;
    for (size_t i = 0; i < b->frames_count; i++) {
        zmq_msg_init(&frames[i]);
        zmq_msg_move(&frames[i], &b->frames[i]);
    }
    free(b->frames);
    b->frames = frames;
    b->frames_capacity = capacity;
    return true;
}

/* One reply. What has to be asked again: ERR_BUSY. */
static int take_answer(struct before *b, uint16_t i, const struct reply_header *header,
                       struct wire_reader body)
{
    vigil_change *c = &b->changes[b->asked_for[i]];
    struct before_answer answer = {.before = VIGIL_BEFORE_NOT_ASKED};
    if (header->id != b->call.id + i)
        return ERR_CORRUPT;
    int err = before_read_answer(header, body, key_of(c), c->prev_seq, &answer);
    if (err)
        return err;
    if (answer.before == VIGIL_BEFORE_VALUE && b->frames_bytes >= BEFORE_BYTES_MAX)
        answer.before = VIGIL_BEFORE_UNKNOWN;
    settle(b, c, answer.before, answer.value);
    return ERR_OK;
}

/* All replies of the message. ERR_OK: some changes are settled, the others are asked for again. */
static int take_answers(struct before *b)
{
    const struct replay_call *call = &b->call;
    struct reply_header header = call->header;
    struct wire_reader body = call->body;
    struct wire_reader rest = call->rest;
    uint16_t open = b->open;
    int err = ERR_OK;
    if (call->error == ERR_DISCONNECTED)
        return call->error;
    if (call->error && header.id == 0)
        return call->error; /* the whole message */
    if (call->message.epoch != b->record.epoch)
        return ERR_EPOCH_CHANGED;
    for (uint16_t i = 0; i < call->count; i++) {
        if (i > 0 && reply_read(&rest, &header, &body) != ERR_OK)
            return ERR_CORRUPT;
        int one = take_answer(b, i, &header, body);
        if (one && !watch_rule_is_passing(one))
            return one;
        err = one ? one : err;
    }
    return b->open < open ? ERR_OK : err;
}

/* The values stay in the reply, which is kept until the record has been seen. One that holds a
 * record is too large to live inside of zmq_msg_t, so its bytes stay where they are. */
static int take_frame(struct before *b)
{
    if (!reserve_frame(b))
        return ERR_NO_MEMORY;
    int err = take_answers(b);
    zmq_msg_t *frame = &b->frames[b->frames_count++];
    zmq_msg_init(frame);
    zmq_msg_move(frame, &b->call.frame);
    b->frames_bytes += zmq_msg_size(frame);
    return err;
}

/* What has come, or not come in time. ERR_OK: go on. */
static int look(struct before *b)
{
    struct vigil *v = b->connection;
    int err = ERR_OK;
    if (replay_call_is_waiting(&b->call))
        b->due_ms = replay_call_due_ms(v, &b->call, BEFORE_REPLY_MS);
    if (b->call.state == REPLAY_ARRIVED)
        err = take_frame(b);
    else if (replay_call_is_waiting(&b->call) && v->now_ms >= b->due_ms)
        err = ERR_TIMEOUT;
    else
        return ERR_OK;
    replay_call_reset(v, &b->call);
    b->due_ms = v->now_ms;
    if (err == ERR_OK) {
        b->failures = 0;
        return ERR_OK;
    }
    b->due_ms += TRY_AGAIN_MS;
    if (err == ERR_DISCONNECTED)
        return ERR_OK; /* the watch is told as well, and decides */
    bool may_mend = watch_rule_is_passing(err) || err == ERR_CORRUPT;
    return may_mend && ++b->failures < BEFORE_TRIES ? ERR_OK : err;
}

static int fail(struct before *b, int err)
{
    if (err == ERR_CORRUPT)
        return connection_fail(b->connection, err,
                               "a value before record %llu is damaged, or its record is",
                               (unsigned long long)b->record.seq);
    return connection_fail(b->connection, err, NULL);
}

enum before_state before_drive(struct before *b, int *ret_error)
{
    int err = look(b);
    if (err) {
        *ret_error = fail(b, err);
        clear(b);
        return BEFORE_FAILED;
    }
    if (b->open == 0) {
        b->state = DONE;
        return BEFORE_DONE;
    }
    while (b->changes[b->settled].before != VIGIL_BEFORE_NOT_ASKED)
        b->settled++;
    if (b->call.state == REPLAY_IDLE && b->connection->now_ms >= b->due_ms)
        ask(b);
    return BEFORE_ASKING;
}

/* ---- a record ---- */

static void look_nearby(struct before *b, vigil_change *c, uint64_t oldest)
{
    struct bytes nothing = {0};
    const struct remembered *r = NULL;
    if (c->prev_seq != 0)
        r = value_memory_find(&b->memory, key_of(c), c->prev_seq);
    enum vigil_before before = before_without_looking(c->prev_seq, oldest);
    if (r)
        before = r->present ? VIGIL_BEFORE_VALUE : VIGIL_BEFORE_ABSENT;
    if (before != VIGIL_BEFORE_NOT_ASKED)
        settle(b, c, before, r ? remembered_value(r) : nothing);
}

enum before_state before_begin(struct before *b, const vigil_record *record, vigil_change *changes,
                               uint64_t oldest, int *ret_error)
{
    clear(b);
    b->record = *record;
    b->changes = changes;
    b->settled = 0;
    b->open = record->count;
    b->failures = 0;
    b->due_ms = b->connection->now_ms;
    for (uint16_t i = 0; i < record->count; i++)
        look_nearby(b, &changes[i], oldest);
    b->state = ASKING;
    return before_drive(b, ret_error);
}

bool before_is_asking(const struct before *b)
{
    return b->state == ASKING;
}

void before_cancel(struct before *b)
{
    if (b->state == ASKING)
        clear(b);
}

void before_handed_out(struct before *b)
{
    b->state = HANDED;
}

void before_absorb(struct before *b)
{
    if (b->state != HANDED)
        return;
    for (uint16_t i = 0; i < b->record.count; i++) {
        const vigil_change *c = &b->changes[i];
        value_memory_put(&b->memory, key_of(c), b->record.seq, c->op == VIGIL_PUT,
                         (struct bytes){c->value, c->size});
    }
    clear(b);
}

/* ---- driving ---- */

int64_t before_due_ms(const struct before *b)
{
    return b->call.state == REPLAY_ARRIVED ? INT64_MAX : b->due_ms;
}

void before_set_descriptor(struct before *b, struct descriptor *descriptor)
{
    b->call.descriptor = descriptor;
}

uint64_t before_asked(const struct before *b)
{
    return b->asked;
}
