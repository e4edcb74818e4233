/* outbox.c - requests on their way into messages. */
#include "client/outbox.h"

#include <stdlib.h>

enum { SPARE_CAPACITY_MAX = 2 * OUTBOX_MESSAGE_SIZE };

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

void outbox_clear(struct outbox *o)
{
    while (o->first)
        outbox_pop(o);
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

static struct outbox_message *message_take(struct outbox *o)
{
    struct outbox_message *m = o->spare;
    if (m) {
        o->spare = m->next;
        o->spare_count--;
        wire_buffer_clear(&m->buffer);
        m->next = NULL;
        return m;
    }
    return calloc(1, sizeof *m);
}

static int open_message(struct outbox *o, uint64_t first_id, uint32_t flags)
{
    struct outbox_message *m = message_take(o);
    if (!m)
        return ERR_NO_MEMORY;
    m->buffer.size_max = o->message_size_max;
    m->first_id = first_id;
    m->flags = flags;
    m->count = 0;
    request_message_begin(&m->buffer, &(struct request_message_header){.flags = flags});
    if (m->buffer.failed) {
        message_free(m);
        return ERR_NO_MEMORY;
    }
    if (o->last)
        o->last->next = m;
    else
        o->first = m;
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
    o->last = before;
    message_release(o, last);
}

int outbox_begin(struct outbox *o, const struct request_header *header, uint32_t message_flags,
                 size_t body_size, struct wire_buffer **ret_buffer)
{
    size_t most = o->message_size_max - REQUEST_MESSAGE_HEADER_SIZE - REQUEST_HEADER_SIZE;
    if (body_size > most)
        return ERR_TOO_LARGE;
    if (o->size_bytes >= OUTBOX_SIZE)
        return ERR_BUSY;
    size_t size = REQUEST_HEADER_SIZE + body_size;
    const struct outbox_message *last = o->last;
    /* Ids have a hole where queued messages were dropped. */
    o->opened = !last || header->id != last->first_id + last->count ||
                last->flags != message_flags || last->count == LIMIT_MESSAGE_REQUESTS ||
                last->buffer.size + size > OUTBOX_MESSAGE_SIZE ||
                last->buffer.size + size > o->message_size_max;
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
    o->size_bytes += m->buffer.size - o->message_size_before;
    if (o->opened)
        o->size_bytes += REQUEST_MESSAGE_HEADER_SIZE;
    return ERR_OK;
}

const struct outbox_message *outbox_first(struct outbox *o)
{
    struct outbox_message *m = o->first;
    if (m)
        message_set_count(&m->buffer, 0, m->count);
    return m;
}

void outbox_pop(struct outbox *o)
{
    struct outbox_message *m = o->first;
    o->first = m->next;
    if (!o->first)
        o->last = NULL;
    o->size_bytes -= m->buffer.size;
    message_release(o, m);
}

void outbox_drop_flagged(struct outbox *o, uint32_t flags,
                         void (*each)(void *context, const struct outbox_message *m), void *context)
{
    struct outbox_message **link = &o->first;
    o->last = NULL;
    while (*link) {
        struct outbox_message *m = *link;
        if (!(m->flags & flags)) {
            o->last = m;
            link = &m->next;
            continue;
        }
        each(context, m);
        *link = m->next;
        o->size_bytes -= m->buffer.size;
        message_release(o, m);
    }
}
