/* peer_outbox.c - see peer_outbox.h. */
#include "server/net/peer_outbox.h"

#include <assert.h>
#include <stdlib.h>

/* Of the first block, which mostly holds one small reply, and of those that follow. */
enum { FIRST_CAPACITY = 960, NEXT_CAPACITY = 16 * 1024 };

struct outbox_block {
    struct outbox_block *next;
    size_t begin; /* the first byte that has not gone */
    size_t end;
    size_t capacity;
    uint32_t messages;
    uint8_t data[];
};

static struct outbox_block *add_block(struct peer_outbox *o, size_t size)
{
    size_t usual = o->last ? NEXT_CAPACITY : FIRST_CAPACITY;
    size_t capacity = size > usual ? size : usual;
    struct outbox_block *b = malloc(sizeof *b + capacity);
    if (!b)
        return NULL;
    *b = (struct outbox_block){.capacity = capacity};
    if (o->last)
        o->last->next = b;
    else
        o->first = b;
    o->last = b;
    return b;
}

static void put(struct outbox_block *b, struct bytes from, size_t *gone)
{
    size_t skipped = *gone < from.size ? *gone : from.size;
    *gone -= skipped;
    if (from.size > skipped)
        memcpy(b->data + b->end, from.data + skipped, from.size - skipped);
    b->end += from.size - skipped;
}

bool peer_outbox_add(struct peer_outbox *o, struct bytes header, struct bytes body, size_t gone,
                     uint32_t messages)
{
    size_t size = header.size + body.size - gone;
    struct outbox_block *b = o->last;
    if (!b || b->capacity - b->end < size)
        b = add_block(o, size);
    if (!b)
        return false;
    put(b, header, &gone);
    put(b, body, &gone);
    b->messages += messages;
    o->messages += messages;
    o->bytes += size;
    return true;
}

size_t peer_outbox_pieces(const struct peer_outbox *o, struct iovec *pieces, size_t count)
{
    size_t i = 0;
    for (struct outbox_block *b = o->first; b && i < count; b = b->next)
        pieces[i++] = (struct iovec){b->data + b->begin, b->end - b->begin};
    return i;
}

void peer_outbox_sent(struct peer_outbox *o, size_t bytes)
{
    assert(bytes <= o->bytes);
    o->bytes -= bytes;
    while (o->first) {
        struct outbox_block *b = o->first;
        size_t here = b->end - b->begin;
        if (bytes < here) {
            b->begin += bytes;
            return;
        }
        bytes -= here;
        o->messages -= b->messages;
        o->first = b->next;
        free(b);
    }
    o->last = NULL;
}

void peer_outbox_free(struct peer_outbox *o)
{
    peer_outbox_sent(o, o->bytes);
}
