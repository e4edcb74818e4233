/* outbox.c - requests on their way into messages, and back. */
#include "client/outbox.h"

#include <assert.h>
#include <stdlib.h>

enum { SPARE_CAPACITY_MAX = 2 * OUTBOX_MESSAGE_SIZE };
/* Where things stand in a request. */
enum { REQUEST_OP_AT = 4, REQUEST_ID_AT = 8, REQUEST_NUMBER_AT = 16 };

void outbox_init(struct outbox *o)
{
    *o = (struct outbox){.message_size_max = LIMIT_MESSAGE_SIZE};
}

static void message_free(struct outbox_message *m)
{
    wire_buffer_free(&m->buffer);
    free(m);
}

/* Keeps a few for reuse, unless a large request has blown them up. */
static void message_release(struct outbox *o, struct outbox_message *m)
{
    if (o->spare_count == OUTBOX_SPARE_MAX || m->buffer.capacity > SPARE_CAPACITY_MAX) {
        message_free(m);
        return;
    }
    m->next = o->spare;
    o->spare = m;
    o->spare_count++;
}

static void drop_first(struct outbox *o)
{
    struct outbox_message *m = o->first;
    o->first = m->next;
    if (!o->first)
        o->last = NULL;
    o->size_bytes -= m->buffer.size;
    message_release(o, m);
}

void outbox_clear(struct outbox *o)
{
    while (o->first)
        drop_first(o);
    o->unsent = NULL;
    o->sent_count = 0;
}

void outbox_free(struct outbox *o)
{
    outbox_clear(o);
    while (o->spare) {
        struct outbox_message *m = o->spare;
        o->spare = m->next;
        message_free(m);
    }
    outbox_init(o);
}

/* ---- writing requests ---- */

static struct outbox_message *message_take(struct outbox *o)
{
    struct outbox_message *m = o->spare;
    if (!m)
        return calloc(1, sizeof *m);
    o->spare = m->next;
    o->spare_count--;
    struct wire_buffer buffer = m->buffer;
    *m = (struct outbox_message){.buffer = buffer};
    wire_buffer_clear(&m->buffer);
    return m;
}

static int open_message(struct outbox *o, uint64_t first_id, uint32_t flags)
{
    struct outbox_message *m = message_take(o);
    if (!m)
        return ERR_NO_MEMORY;
    m->buffer.size_max = o->message_size_max;
    m->first_id = first_id;
    m->flags = flags;
    if (!wire_extend(&m->buffer, OUTBOX_HEADER_SIZE)) {
        message_free(m);
        return ERR_NO_MEMORY;
    }
    if (o->last)
        o->last->next = m;
    else
        o->first = m;
    if (!o->unsent)
        o->unsent = m;
    o->last = m;
    return ERR_OK;
}

static void drop_last(struct outbox *o)
{
    struct outbox_message *last = o->last;
    struct outbox_message *before = NULL;
    for (struct outbox_message *m = o->first; m != last; m = m->next)
        before = m;
    if (before)
        before->next = NULL;
    else
        o->first = NULL;
    if (o->unsent == last)
        o->unsent = NULL;
    o->last = before;
    message_release(o, last);
}

static bool last_takes(const struct outbox *o, uint8_t op, uint32_t flags, size_t size)
{
    const struct outbox_message *last = o->last;
    if (!o->unsent || last->doubtful || last->first_number || last->flags != flags)
        return false;
    if (last->count == LIMIT_MESSAGE_REQUESTS ||
        (request_op_is_mutation(op) && last->mutations == SESSION_MESSAGE_MUTATIONS))
        return false;
    return last->buffer.size + size <= OUTBOX_MESSAGE_SIZE &&
           last->buffer.size + size <= o->message_size_max;
}

int outbox_begin(struct outbox *o, const struct request_header *header, uint32_t message_flags,
                 size_t body_size, struct wire_buffer **ret_buffer)
{
    size_t most = o->message_size_max - OUTBOX_HEADER_SIZE - REQUEST_HEADER_SIZE;
    if (body_size > most)
        return ERR_TOO_LARGE;
    if (o->size_bytes >= OUTBOX_SIZE)
        return ERR_BUSY;
    o->opened = !last_takes(o, header->op, message_flags, REQUEST_HEADER_SIZE + body_size);
    if (o->opened) {
        int err = open_message(o, header->id, message_flags);
        if (err)
            return err;
    }
    o->message_size_before = o->last->buffer.size;
    o->request_at = request_begin(&o->last->buffer, header);
    *ret_buffer = &o->last->buffer;
    return ERR_OK;
}

int outbox_end(struct outbox *o)
{
    struct outbox_message *m = o->last;
    if (m->buffer.failed) {
        m->buffer.size = o->message_size_before;
        m->buffer.failed = false;
        if (o->opened)
            drop_last(o);
        return ERR_NO_MEMORY;
    }
    message_part_end(&m->buffer, o->request_at);
    m->count++;
    if (request_op_is_mutation(m->buffer.data[o->request_at + REQUEST_OP_AT]))
        m->mutations++;
    o->size_bytes += m->buffer.size - o->message_size_before;
    if (o->opened)
        o->size_bytes += OUTBOX_HEADER_SIZE;
    return ERR_OK;
}

/* ---- requests of a message ---- */

/* The request at *at, or NULL at the end; moves on. Starts at 0. */
static uint8_t *next_request(const struct outbox_message *m, size_t *at)
{
    if (*at == 0)
        *at = OUTBOX_HEADER_SIZE;
    if (*at >= m->buffer.size)
        return NULL;
    uint8_t *request = m->buffer.data + *at;
    *at += wire_load_u32(request);
    return request;
}

bool outbox_next_id(const struct outbox_message *m, size_t *at, uint64_t *ret_id)
{
    const uint8_t *request = next_request(m, at);
    if (!request)
        return false;
    *ret_id = wire_load_u64(request + REQUEST_ID_AT);
    return true;
}

uint64_t outbox_number_of(const struct outbox_message *m, uint64_t id)
{
    size_t at = 0;
    for (const uint8_t *request; (request = next_request(m, &at));) {
        if (wire_load_u64(request + REQUEST_ID_AT) == id)
            return wire_load_u64(request + REQUEST_NUMBER_AT);
    }
    return 0;
}

uint64_t outbox_oldest_number(const struct outbox *o)
{
    for (const struct outbox_message *m = o->first; m; m = m->next) {
        if (m->first_number)
            return m->first_number;
    }
    return 0;
}

bool outbox_has_unnumbered_sent(const struct outbox *o)
{
    for (const struct outbox_message *m = o->first; m != o->unsent; m = m->next) {
        if (m->mutations > 0 && m->first_number == 0)
            return true;
    }
    return false;
}

/* ---- sending ---- */

static void give_numbers(struct outbox_message *m, struct client_session *s)
{
    size_t at = 0;
    m->first_number = s->last_number + 1;
    for (uint8_t *request; (request = next_request(m, &at));) {
        if (request_op_is_mutation(request[REQUEST_OP_AT]))
            wire_store_u64(request + REQUEST_NUMBER_AT, ++s->last_number);
    }
}

struct bytes outbox_stamp(struct outbox_message *m, struct client_session *s)
{
    uint8_t header[OUTBOX_HEADER_SIZE] = {0};
    struct wire_buffer b = {.data = header, .capacity = sizeof header, .size_max = sizeof header};
    struct request_message_header h = {.count = m->count, .flags = m->flags};
    if (client_session_is_open(s)) {
        if (m->mutations > 0 && m->first_number == 0)
            give_numbers(m, s);
        h.flags |= MESSAGE_ACKNOWLEDGES;
        h.session = s->id;
        h.acknowledged = s->acknowledged;
    }
    request_message_begin(&b, &h);
    size_t start = OUTBOX_HEADER_SIZE - b.size;
    memcpy(m->buffer.data + start, header, b.size);
    return (struct bytes){m->buffer.data + start, m->buffer.size - start};
}

void outbox_sent(struct outbox *o)
{
    o->unsent = o->unsent->next;
    o->sent_count++;
}

void outbox_refused(struct outbox *o, uint32_t count)
{
    assert(count <= o->sent_count);
    o->sent_count -= count;
    o->unsent = o->first;
    for (uint32_t i = 0; i < o->sent_count; i++)
        o->unsent = o->unsent->next;
}

void outbox_answered(struct outbox *o)
{
    drop_first(o);
    o->sent_count--;
}

/* ---- sending again ---- */

/* Closes the gaps of the requests that are not kept. */
static void filter_message(struct outbox_message *m, bool was_sent, outbox_keeps *keeps,
                           void *context)
{
    size_t at = 0;
    size_t end = OUTBOX_HEADER_SIZE;
    struct outbox_message kept = {.flags = m->flags};
    for (uint8_t *request; (request = next_request(m, &at));) {
        struct outbox_request r = {.op = request[REQUEST_OP_AT],
                                   .id = wire_load_u64(request + REQUEST_ID_AT),
                                   .number = wire_load_u64(request + REQUEST_NUMBER_AT),
                                   .was_sent = was_sent || m->doubtful,
                                   .doubtful = m->doubtful};
        if (!keeps(context, &r))
            continue;
        size_t size = wire_load_u32(request);
        memmove(m->buffer.data + end, request, size);
        end += size;
        if (kept.count++ == 0)
            kept.first_id = r.id;
        if (kept.first_number == 0)
            kept.first_number = r.number;
        kept.mutations = (uint16_t)(kept.mutations + request_op_is_mutation(r.op));
    }
    m->buffer.size = end;
    m->first_id = kept.first_id;
    m->first_number = kept.first_number;
    m->count = kept.count;
    m->mutations = kept.mutations;
}

void outbox_rewind(struct outbox *o, outbox_keeps *keeps, void *context)
{
    struct outbox_message **link = &o->first;
    bool was_sent = o->first != o->unsent;
    o->last = NULL;
    o->size_bytes = 0;
    while (*link) {
        struct outbox_message *m = *link;
        was_sent = was_sent && m != o->unsent;
        filter_message(m, was_sent, keeps, context);
        m->doubtful = m->doubtful || was_sent;
        if (m->count == 0) {
            *link = m->next;
            message_release(o, m);
            continue;
        }
        o->size_bytes += m->buffer.size;
        o->last = m;
        link = &m->next;
    }
    o->unsent = o->first;
    o->sent_count = 0;
}

void outbox_renumber(struct outbox *o)
{
    for (struct outbox_message *m = o->first; m; m = m->next) {
        size_t at = 0;
        for (uint8_t *request; (request = next_request(m, &at));)
            wire_store_u64(request + REQUEST_NUMBER_AT, 0);
        m->first_number = 0;
        m->doubtful = false;
    }
}

void outbox_take_out(struct outbox *o, bool (*takes)(void *context, const struct outbox_message *m),
                     void *context)
{
    struct outbox_message **link = &o->first;
    bool is_unsent = false;
    o->last = NULL;
    while (*link) {
        struct outbox_message *m = *link;
        is_unsent = is_unsent || m == o->unsent;
        if (!is_unsent || !takes(context, m)) {
            o->last = m;
            link = &m->next;
            continue;
        }
        if (o->unsent == m)
            o->unsent = m->next;
        *link = m->next;
        o->size_bytes -= m->buffer.size;
        message_release(o, m);
    }
}
