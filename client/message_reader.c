/* message_reader.c - see message_reader.h. */
#include "client/message_reader.h"

#include <assert.h>
#include <stdlib.h>

#include "protocol/zmtp.h"

enum { MESSAGE_CAPACITY_LEAST = 256 };

void message_reader_init(struct message_reader *r, size_t size_max)
{
    *r = (struct message_reader){.capacity = 0};
    wire_buffer_init(&r->large, size_max);
}

void message_reader_free(struct message_reader *r)
{
    free(r->data);
    wire_buffer_free(&r->large);
    message_reader_init(r, r->large.size_max);
}

void message_reader_clear(struct message_reader *r)
{
    wire_buffer_free(&r->large);
    r->start = r->end = 0;
    r->was_filled = r->is_malformed = r->is_large = false;
}

/* ---- room ---- */

static bool grow_large(struct message_reader *r)
{
    size_t capacity = 2 * r->large.capacity;
    if (capacity < MESSAGE_READER_MOST)
        capacity = MESSAGE_READER_MOST;
    if (capacity > r->large_size)
        capacity = r->large_size;
    uint8_t *data = realloc(r->large.data, capacity);
    if (!data)
        return false;
    r->large.data = data;
    r->large.capacity = capacity;
    return true;
}

static struct message_room large_room(struct message_reader *r)
{
    struct wire_buffer *b = &r->large;
    if (b->size == b->capacity && !grow_large(r))
        return (struct message_room){NULL, 0};
    size_t end = b->capacity < r->large_size ? b->capacity : r->large_size;
    return (struct message_room){b->data + b->size, end - b->size};
}

/* An empty one that is too small for what comes is replaced by a larger one, if there is memory. */
static bool reserve_data(struct message_reader *r)
{
    size_t capacity = r->capacity == 0 ? MESSAGE_READER_FIRST : r->capacity;
    if (r->was_filled && r->end == 0 && capacity < MESSAGE_READER_MOST)
        capacity *= 2;
    if (capacity == r->capacity)
        return true;
    uint8_t *data = malloc(capacity);
    if (!data)
        return r->data != NULL;
    free(r->data);
    r->data = data;
    r->capacity = capacity;
    return true;
}

struct message_room message_reader_room(struct message_reader *r)
{
    if (r->is_large)
        return large_room(r);
    if (r->start > 0) {
        memmove(r->data, r->data + r->start, r->end - r->start);
        r->end -= r->start;
        r->start = 0;
    }
    if (!reserve_data(r))
        return (struct message_room){NULL, 0};
    assert(r->end < r->capacity);
    return (struct message_room){r->data + r->end, r->capacity - r->end};
}

void message_reader_came(struct message_reader *r, size_t size)
{
    if (r->is_large) {
        r->large.size += size;
        assert(r->large.size <= r->large_size);
        return;
    }
    r->end += size;
    assert(r->end <= r->capacity);
    r->was_filled = r->end == r->capacity;
}

/* ---- messages ---- */

static enum message_reader_item take_large(struct message_reader *r, struct wire_buffer *message)
{
    if (r->large.size < r->large_size)
        return READER_NOTHING;
    struct wire_buffer used = *message;
    *message = r->large;
    used.size_max = r->large.size_max;
    wire_buffer_clear(&used);
    r->large = used;
    r->is_large = false;
    return READER_MESSAGE;
}

/* The body begins behind what was taken, and does not fit the buffer. */
static enum message_reader_item begin_large(struct message_reader *r, size_t body_size)
{
    struct bytes come = message_reader_bytes(r);
    assert(come.size < body_size);
    r->large_size = body_size;
    wire_buffer_clear(&r->large);
    while (r->large.capacity < come.size) {
        if (!grow_large(r))
            return READER_NO_MEMORY;
    }
    if (come.size > 0)
        memcpy(r->large.data, r->data + r->start, come.size);
    r->large.size = come.size;
    r->start = r->end = 0;
    r->is_large = true;
    return READER_NOTHING;
}

static bool copy_message(struct wire_buffer *message, struct bytes body)
{
    wire_buffer_clear(message);
    if (message->capacity < body.size || !message->data) {
        size_t capacity =
            body.size < MESSAGE_CAPACITY_LEAST ? (size_t)MESSAGE_CAPACITY_LEAST : body.size;
        uint8_t *data = malloc(capacity);
        if (!data)
            return false;
        free(message->data);
        message->data = data;
        message->capacity = capacity;
    }
    if (body.size > 0)
        memcpy(message->data, body.data, body.size);
    message->size = body.size;
    return true;
}

static bool is_welcome(const struct message_reader *r, const struct zmtp_frame *f)
{
    if ((f->flags & ~ZMTP_LONG) == ZMTP_COMMAND)
        return f->body_size <= MESSAGE_READER_COMMAND_MAX;
    return (f->flags & ~ZMTP_LONG) == 0 && f->body_size <= r->large.size_max;
}

enum message_reader_item message_reader_next(struct message_reader *r, struct wire_buffer *message,
                                             struct bytes *ret_command)
{
    struct bytes come = message_reader_bytes(r);
    struct zmtp_frame f;
    if (r->is_malformed)
        return READER_MALFORMED;
    if (r->is_large)
        return take_large(r, message);
    if (!zmtp_frame_read(come.data, come.size, &f))
        return READER_NOTHING;
    assert(come.data);
    if (!is_welcome(r, &f)) {
        r->is_malformed = true;
        return READER_MALFORMED;
    }
    size_t body_size = (size_t)f.body_size;
    if (come.size - f.header_size < body_size) {
        if (f.header_size + body_size <= r->capacity)
            return READER_NOTHING;
        r->start += f.header_size;
        return begin_large(r, body_size);
    }
    struct bytes body = {come.data + f.header_size, body_size};
    bool is_command = (f.flags & ZMTP_COMMAND) != 0;
    if (is_command)
        *ret_command = body;
    else if (!copy_message(message, body))
        return READER_NO_MEMORY;
    r->start += f.header_size + body_size;
    return is_command ? READER_COMMAND : READER_MESSAGE;
}
