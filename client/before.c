/* before.c - the previous values of a watch's changes; see before.h. */
#include "client/before.h"

#include <stdlib.h>

#include "client/before_answer.h"
#include "client/connection.h"
#include "client/value_memory.h"
#include "client/watch_rule.h"

enum { ASK_LATER_MS = 20, TRY_AGAIN_MS = 50 };

/* One change that is being asked for. */
struct before_lookup {
    bool used;
    uint16_t index; /* of the change */
    int64_t due_ms; /* WAITING: the reply is. IDLE: ask then */
    struct replay_call call;
};

struct before {
    struct vigil *connection;
    struct value_memory memory;
    enum { IDLE, ASKING, DONE, HANDED } state;

    vigil_record record;
    vigil_change *changes; /* the record's */
    uint16_t next;         /* changes before it have their before, or are being asked for */
    uint16_t unknown_yet;
    uint32_t failures; /* in a row */
    struct before_lookup lookups[BEFORE_CALLS_MAX];

    zmq_msg_t *frames; /* replies that previous values stand in */
    size_t frames_count;
    size_t frames_capacity;
    size_t frames_bytes;

    struct descriptor *descriptor;
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

static void end_lookup(struct before *b, struct before_lookup *l)
{
    replay_call_reset(b->connection, &l->call);
    l->used = false;
}

/* Back to IDLE, without what belongs to the record. */
static void clear(struct before *b)
{
    for (int i = 0; i < BEFORE_CALLS_MAX; i++)
        end_lookup(b, &b->lookups[i]);
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

/* ---- asking ---- */

static struct bytes key_of(const vigil_change *c)
{
    return (struct bytes){(const uint8_t *)c->key, c->key_size};
}

static void settle(struct before *b, vigil_change *c, enum vigil_before before, struct bytes value)
{
    c->before = before;
    c->before_value = before == VIGIL_BEFORE_VALUE ? value.data : NULL;
    c->before_size = before == VIGIL_BEFORE_VALUE ? value.size : 0;
    b->unknown_yet--;
}

/* The server leaves out what the rest of bytes_max does not hold, but never the first record. */
static void ask(struct before *b, struct before_lookup *l)
{
    struct vigil *v = b->connection;
    const vigil_change *c = &b->changes[l->index];
    struct request_history request = {
        .epoch = b->record.epoch, .from_seq = c->prev_seq, .bytes_max = 1, .key = key_of(c)};
    size_t place;
    request_history_write(replay_call_begin(v, OP_HISTORY, 0, &place), &request);
    l->call.descriptor = b->descriptor;
    if (replay_call_end(v, &l->call, place) == ERR_OK) {
        l->due_ms = v->now_ms + BEFORE_REPLY_MS;
        b->asked++;
    } else {
        /* Too much is under way, or the connection is lost, which the watch is told as well. */
        l->due_ms = v->now_ms + ASK_LATER_MS;
    }
}

static bool find_next(struct before *b, uint16_t *ret_index)
{
    while (b->next < b->record.count && b->changes[b->next].before != VIGIL_BEFORE_NOT_ASKED)
        b->next++;
    if (b->next == b->record.count)
        return false;
    *ret_index = b->next++;
    return true;
}

static void ask_what_is_due(struct before *b)
{
    int64_t now = b->connection->now_ms;
    for (int i = 0; i < BEFORE_CALLS_MAX; i++) {
        struct before_lookup *l = &b->lookups[i];
        if (!l->used) {
            if (!find_next(b, &l->index))
                continue;
            l->used = true;
            l->due_ms = now;
        }
        if (l->call.state == REPLAY_IDLE && now >= l->due_ms)
            ask(b, l);
    }
}

/* ---- answers ---- */

/* The value stays in the reply, which is kept until the record has been seen. */
static void keep_value(struct before *b, struct before_lookup *l, struct bytes value)
{
    zmq_msg_t *frame = &b->frames[b->frames_count];
    size_t size = zmq_msg_size(&l->call.frame);
    vigil_change *c = &b->changes[l->index];
    if (size > BEFORE_BYTES_MAX - b->frames_bytes) {
        settle(b, c, VIGIL_BEFORE_UNKNOWN, value);
        return;
    }
    /* A small message lives inside of zmq_msg_t: what points into it moves along. */
    ptrdiff_t at = value.data - (const uint8_t *)zmq_msg_data(&l->call.frame);
    zmq_msg_init(frame);
    zmq_msg_move(frame, &l->call.frame);
    b->frames_count++;
    b->frames_bytes += size;
    value.data = (const uint8_t *)zmq_msg_data(frame) + at;
    settle(b, c, VIGIL_BEFORE_VALUE, value);
}

static int take_answer(struct before *b, struct before_lookup *l)
{
    const vigil_change *c = &b->changes[l->index];
    const struct replay_call *call = &l->call;
    struct before_answer answer;
    if (call->error == ERR_DISCONNECTED)
        return call->error;
    if (call->message.epoch != b->record.epoch)
        return ERR_EPOCH_CHANGED;
    int err = before_read_answer(&call->header, call->body, key_of(c), c->prev_seq, &answer);
    if (err)
        return err;
    if (answer.before == VIGIL_BEFORE_VALUE)
        keep_value(b, l, answer.value);
    else
        settle(b, &b->changes[l->index], answer.before, answer.value);
    return ERR_OK;
}

/* What has come of l, and is nothing yet: ERR_OK. */
static int look_at(struct before *b, struct before_lookup *l)
{
    int err = ERR_OK;
    if (l->call.state == REPLAY_ARRIVED) {
        err = take_answer(b, l);
        if (err == ERR_OK) {
            end_lookup(b, l);
            b->failures = 0;
            return ERR_OK;
        }
    } else if (l->call.state == REPLAY_WAITING && b->connection->now_ms >= l->due_ms) {
        err = ERR_TIMEOUT;
    }
    if (err == ERR_OK)
        return ERR_OK;
    replay_call_reset(b->connection, &l->call);
    l->due_ms = b->connection->now_ms + TRY_AGAIN_MS;
    if (err == ERR_DISCONNECTED)
        return ERR_OK; /* the watch is told as well, and decides */
    if (!watch_rule_is_passing(err) && err != ERR_CORRUPT)
        return err;
    return ++b->failures < BEFORE_TRIES ? ERR_OK : err;
}

static int fail(struct before *b, const struct before_lookup *l, int err)
{
    struct vigil *v = b->connection;
    const vigil_change *c = &b->changes[l->index];
    if (err == ERR_CORRUPT)
        return connection_fail(v, err, "the change of %s at seq %llu, before seq %llu, is damaged",
                               c->key, (unsigned long long)c->prev_seq,
                               (unsigned long long)b->record.seq);
    return connection_fail(v, err, NULL);
}

enum before_state before_drive(struct before *b, int *ret_error)
{
    for (int i = 0; i < BEFORE_CALLS_MAX; i++) {
        struct before_lookup *l = &b->lookups[i];
        int err = l->used ? look_at(b, l) : ERR_OK;
        if (err) {
            *ret_error = fail(b, l, err);
            clear(b);
            return BEFORE_FAILED;
        }
    }
    if (b->unknown_yet > 0) {
        ask_what_is_due(b);
        return BEFORE_ASKING;
    }
    b->state = DONE;
    return BEFORE_DONE;
}

/* ---- a record ---- */

static void look_nearby(struct before *b, vigil_change *c, uint64_t oldest)
{
    struct bytes key = key_of(c);
    const struct remembered *r = NULL;
    if (c->prev_seq != 0)
        r = value_memory_find(&b->memory, key, c->prev_seq);
    enum vigil_before before = r ? (r->present ? VIGIL_BEFORE_VALUE : VIGIL_BEFORE_ABSENT)
                                 : before_without_looking(c->prev_seq, oldest);
    if (before != VIGIL_BEFORE_NOT_ASKED)
        settle(b, c, before, r ? remembered_value(r) : (struct bytes){0});
}

static bool reserve_frames(struct before *b, size_t count)
{
    if (count <= b->frames_capacity)
        return true;
    zmq_msg_t *frames = malloc(count * sizeof *frames);
    if (!frames)
        return false;
    free(b->frames);
    b->frames = frames;
    b->frames_capacity = count;
    return true;
}

enum before_state before_begin(struct before *b, const vigil_record *record, vigil_change *changes,
                               uint64_t oldest, int *ret_error)
{
    clear(b);
    b->record = *record;
    b->changes = changes;
    b->next = 0;
    b->unknown_yet = record->count;
    b->failures = 0;
    for (uint16_t i = 0; i < record->count; i++)
        look_nearby(b, &changes[i], oldest);
    if (b->unknown_yet == 0) {
        b->state = DONE;
        return BEFORE_DONE;
    }
    if (!reserve_frames(b, b->unknown_yet)) {
        *ret_error = connection_fail(b->connection, ERR_NO_MEMORY, NULL);
        return BEFORE_FAILED;
    }
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
    int64_t due_ms = INT64_MAX;
    for (int i = 0; i < BEFORE_CALLS_MAX; i++) {
        const struct before_lookup *l = &b->lookups[i];
        if (l->used && l->call.state != REPLAY_ARRIVED && l->due_ms < due_ms)
            due_ms = l->due_ms;
    }
    return due_ms;
}

void before_set_descriptor(struct before *b, struct descriptor *descriptor)
{
    b->descriptor = descriptor;
    for (int i = 0; i < BEFORE_CALLS_MAX; i++)
        b->lookups[i].call.descriptor = descriptor;
}

uint64_t before_asked(const struct before *b)
{
    return b->asked;
}
