/* pending.c - the requests that wait for their reply. */
#include "client/pending.h"

#include <stdlib.h>

enum { RING_CAPACITY_FIRST = 64, RING_CAPACITY_MAX = 1 << 20 };
enum { SPARE_FRAMES_MAX = 64, SPARE_FRAME_SIZE_MAX = 16 * 1024 };

int pending_init(struct pending *p)
{
    *p = (struct pending){.first_id = 1, .next_id = 1};
    return pending_reserve(p);
}

static void frame_free(struct reply_frame *f)
{
    wire_buffer_free(&f->message);
    free(f);
}

void pending_free(struct pending *p)
{
    struct pending_outcome outcome;
    while (pending_outcome(p, &outcome))
        reply_frame_release(p, outcome.frame);
    while (p->spare) {
        struct reply_frame *f = p->spare;
        p->spare = f->next_spare;
        frame_free(f);
    }
    free(p->ring);
    free(p->outcomes);
    *p = (struct pending){0};
}

/* ---- frames ---- */

struct reply_frame *reply_frame_new(struct pending *p)
{
    struct reply_frame *f = p->spare;
    if (f) {
        p->spare = f->next_spare;
        p->spare_count--;
    } else {
        f = calloc(1, sizeof *f);
    }
    if (!f)
        return NULL;
    f->message.size_max = SIZE_MAX; /* whoever fills it has a bound */
    wire_buffer_clear(&f->message);
    f->references = 1;
    f->next_spare = NULL;
    return f;
}

void reply_frame_release(struct pending *p, struct reply_frame *f)
{
    if (!f || --f->references > 0)
        return;
    if (p->spare_count == SPARE_FRAMES_MAX) {
        frame_free(f);
        return;
    }
    if (f->message.capacity > SPARE_FRAME_SIZE_MAX)
        wire_buffer_free(&f->message);
    f->next_spare = p->spare;
    p->spare = f;
    p->spare_count++;
}

/* ---- rings ---- */

static struct pending_request *request_at(const struct pending *p, uint64_t id)
{
    return &p->ring[id & (p->ring_capacity - 1)];
}

static int grow_requests(struct pending *p)
{
    size_t capacity = p->ring_capacity ? p->ring_capacity * 2 : RING_CAPACITY_FIRST;
    if (capacity > RING_CAPACITY_MAX)
        return ERR_BUSY;
    struct pending_request *ring = calloc(capacity, sizeof *ring);
    if (!ring)
        return ERR_NO_MEMORY;
    for (uint64_t id = p->first_id; id != p->next_id; id++)
        ring[id & (capacity - 1)] = *request_at(p, id);
    free(p->ring);
    p->ring = ring;
    p->ring_capacity = capacity;
    return ERR_OK;
}

static int grow_outcomes(struct pending *p)
{
    size_t capacity = p->outcomes_capacity ? p->outcomes_capacity * 2 : RING_CAPACITY_FIRST;
    if (capacity > RING_CAPACITY_MAX)
        return ERR_BUSY;
    struct pending_outcome *outcomes = calloc(capacity, sizeof *outcomes);
    if (!outcomes)
        return ERR_NO_MEMORY;
    for (uint64_t i = p->outcomes_first; i != p->outcomes_next; i++)
        outcomes[i & (capacity - 1)] = p->outcomes[i & (p->outcomes_capacity - 1)];
    free(p->outcomes);
    p->outcomes = outcomes;
    p->outcomes_capacity = capacity;
    return ERR_OK;
}

int pending_reserve(struct pending *p)
{
    int err = ERR_OK;
    if (pending_count(p) + 1 > p->ring_capacity)
        err = grow_requests(p);
    if (err == ERR_OK && p->application_count + 1 > p->outcomes_capacity)
        err = grow_outcomes(p);
    return err;
}

uint64_t pending_add(struct pending *p, const struct pending_request *request)
{
    uint64_t id = p->next_id++;
    *request_at(p, id) = *request;
    if (request->application)
        p->application_count++;
    return id;
}

void pending_abandon(struct pending *p, const void *context)
{
    for (uint64_t id = p->first_id; id != p->next_id; id++) {
        struct pending_request *r = request_at(p, id);
        if (!r->application && r->context == context)
            r->handler = NULL;
    }
}

bool pending_outcome(struct pending *p, struct pending_outcome *ret_outcome)
{
    if (!pending_has_outcome(p))
        return false;
    *ret_outcome = p->outcomes[p->outcomes_first++ & (p->outcomes_capacity - 1)];
    p->application_count--;
    if (ret_outcome->completion.id == p->failed_id)
        p->failed_id = 0;
    return true;
}

/* ---- ending requests ---- */

static void add_outcome(struct pending *p, const struct pending_outcome *outcome, bool stops)
{
    p->outcomes[p->outcomes_next++ & (p->outcomes_capacity - 1)] = *outcome;
    int error = outcome->completion.error;
    if (stops && error && error != ERR_ABORTED && p->failed_id == 0)
        p->failed_id = outcome->completion.id;
}

static void end_without_reply(struct pending *p, uint64_t id, int error)
{
    struct pending_request *r = request_at(p, id);
    if (r->application)
        add_outcome(p, &(struct pending_outcome){.completion = {.id = id, .error = error}},
                    r->stops);
    else if (r->handler)
        r->handler(r->context, &(struct reply){.error = error});
}

/* Requests end in order: a doomed one when it has become the oldest. */
static void end_doomed(struct pending *p)
{
    while (p->first_id != p->next_id && request_at(p, p->first_id)->doom) {
        uint64_t id = p->first_id++;
        end_without_reply(p, id, request_at(p, id)->doom);
    }
}

void pending_doom(struct pending *p, uint64_t id, int error)
{
    struct pending_request *r = request_at(p, id);
    if (!pending_is_live(p, id))
        return;
    r->doom = error;
    /* Nothing may be sent behind it from now on. */
    if (r->application && r->stops && error != ERR_ABORTED && p->failed_id == 0)
        p->failed_id = id;
    end_doomed(p);
}

void pending_fail_all(struct pending *p, int error)
{
    while (p->first_id != p->next_id) {
        uint64_t id = p->first_id++;
        int doom = request_at(p, id)->doom;
        end_without_reply(p, id, doom ? doom : error);
    }
}

bool pending_is_live(const struct pending *p, uint64_t id)
{
    return id - p->first_id < pending_count(p) && request_at(p, id)->doom == ERR_OK;
}

bool pending_is_abandoned(const struct pending *p, uint64_t id)
{
    const struct pending_request *r = request_at(p, id);
    return !r->application && !r->handler;
}

/* ---- replies ---- */

static bool read_get(struct wire_reader *body, struct pending_outcome *o)
{
    struct reply_get b;
    if (!reply_get_read(body, &b))
        return false;
    o->completion.result.seq = b.modified;
    o->completion.result.version = b.version;
    o->completion.present = b.present;
    if (b.present) {
        o->completion.value = b.value.data;
        o->completion.size = b.value.size;
    }
    return true;
}

static bool read_put(struct wire_reader *body, vigil_result *result)
{
    struct reply_put b;
    if (!reply_put_read(body, &b))
        return false;
    result->prev_seq = b.prev_seq;
    result->version = b.version;
    return true;
}

static bool read_incr(struct wire_reader *body, vigil_completion *c)
{
    struct reply_incr b;
    if (!reply_incr_read(body, &b))
        return false;
    c->result.version = b.version;
    c->value = b.value.data;
    c->size = b.value.size;
    return true;
}

static bool read_outcome(const struct reply *reply, struct pending_outcome *o)
{
    struct wire_reader body = reply->body;
    o->completion.id = reply->header.id;
    o->completion.error = reply->error;
    o->completion.result.seq = reply->header.seq;
    if (reply->error) {
        struct reply_error b;
        if (!reply_error_read(&body, &b))
            return false;
        o->text = b.text;
        return true;
    }
    switch (reply->header.op) {
    case OP_PUT:
        return read_put(&body, &o->completion.result);
    case OP_DELETE: {
        struct reply_delete b;
        if (!reply_delete_read(&body, &b))
            return false;
        o->completion.result.prev_seq = b.prev_seq;
        return true;
    }
    case OP_INCR:
        return read_incr(&body, &o->completion);
    case OP_GET:
        return read_get(&body, o);
    case OP_CALL: {
        struct reply_call b;
        if (!reply_call_read(&body, &b))
            return false;
        o->completion.value = b.value.data;
        o->completion.size = b.value.size;
        return true;
    }
    case OP_TXN: {
        struct reply_txn b;
        if (!reply_txn_read(&body, &b))
            return false;
        o->completion.present = b.succeeded;
        return true;
    }
    default:
        return false; /* nothing else is sent for the application */
    }
}

/* A mutation's reply that leaves open what becomes of it. */
static enum reply_verdict judge(const struct pending_request *r, const struct answered_message *m,
                                struct reply *reply)
{
    if (!m->numbered || !request_op_is_mutation(r->op) || reply->header.op == 0)
        return REPLY_TAKEN;
    switch (reply->error) {
    case ERR_ABORTED: /* seq: the number that the server takes next */
    case ERR_LIMIT:
    case ERR_BUSY:
        return reply->header.seq != 0 ? REPLY_AGAIN : REPLY_TAKEN;
    case ERR_OUTCOME_UNKNOWN:
        return m->doubtful ? REPLY_TAKEN : REPLY_SESSION_UNKNOWN;
    case ERR_NO_SPACE: /* now; but an earlier copy of it may still be on its way */
    case ERR_IO:
    case ERR_NO_MEMORY:
        if (m->doubtful)
            reply->error = ERR_OUTCOME_UNKNOWN;
        return REPLY_TAKEN;
    default:
        return REPLY_TAKEN;
    }
}

static int end_with_reply(struct pending *p, struct reply *reply, uint64_t id)
{
    struct pending_request *r = request_at(p, id);
    if (r->application) {
        struct pending_outcome outcome = {0};
        if (!read_outcome(reply, &outcome))
            return ERR_MALFORMED;
        outcome.completion.id = id;
        outcome.frame = reply_frame_keep(reply->frame);
        add_outcome(p, &outcome, r->stops);
    } else if (r->handler) {
        r->handler(r->context, reply);
    }
    p->first_id = id + 1;
    end_doomed(p);
    return ERR_OK;
}

static int take_one(struct pending *p, struct reply *reply, const struct answered_message *m,
                    struct reply_summary *summary)
{
    uint64_t id = p->first_id;
    const struct pending_request *r = request_at(p, id);
    /* Of a message that could not be read at all, the one error is everybody's. */
    bool whole = reply->header.id == 0 && reply->error;
    if (id == p->next_id || (!whole && (reply->header.id != id || reply->header.op != r->op)))
        return ERR_MALFORMED;
    summary->verdict = judge(r, m, reply);
    if (summary->verdict != REPLY_TAKEN)
        return ERR_OK;
    if (m->numbered && request_op_is_mutation(r->op) && reply->error &&
        reply->error != ERR_OUTCOME_UNKNOWN && summary->failed_id == 0)
        summary->failed_id = id;
    summary->ended++;
    return end_with_reply(p, reply, id);
}

int pending_take_reply(struct pending *p, struct reply_frame *frame,
                       const struct answered_message *m, struct reply_summary *ret_summary)
{
    struct reply_summary summary = {.verdict = REPLY_TAKEN};
    struct wire_reader r = wire_reader_of(frame->message.data, frame->message.size);
    int err = reply_message_read(&r, &summary.header);
    if (err)
        return err;
    if (p->first_id != m->first_id || pending_count(p) < m->count)
        return ERR_MALFORMED;
    *ret_summary = summary;

    struct reply reply = {.message = &ret_summary->header, .frame = frame};
    for (uint16_t i = 0; i < m->count; i++) {
        bool repeat = i > 0 && reply.header.id == 0;
        if (!repeat) {
            if (i >= summary.header.count || reply_read(&r, &reply.header, &reply.body) != ERR_OK)
                return ERR_MALFORMED;
        }
        reply.error = reply.header.status;
        err = take_one(p, &reply, m, ret_summary);
        if (err || ret_summary->verdict != REPLY_TAKEN)
            return err;
    }
    return wire_read_complete(&r) ? ERR_OK : ERR_MALFORMED;
}
