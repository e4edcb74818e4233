/* peer_inbox.c - see peer_inbox.h. */
#include "server/net/peer_inbox.h"

#include <stdlib.h>

enum { SPARE_MAX = 4 };

struct inbox_block {
    struct inbox_block *next;
    size_t wants; /* a large rest: bytes of its frame; 0: not one */
    size_t size;
    size_t capacity;
    uint8_t data[];
};

static struct inbox_block *new_block(size_t capacity)
{
    struct inbox_block *b = malloc(sizeof *b + capacity);
    if (b)
        *b = (struct inbox_block){.capacity = capacity};
    return b;
}

static struct inbox_block *new_shared(struct peer_inbox *in)
{
    struct inbox_block *b = in->spare;
    if (!b)
        return new_block(INBOX_BLOCK);
    in->spare = b->next;
    in->spare_count--;
    return b;
}

/* A large rest, with room for more: twice what has come, or a shared block's size. */
static bool place_large(struct inbox_block **rest, struct inbox_place *ret_place)
{
    struct inbox_block *b = *rest;
    size_t capacity = b->size * 2 > INBOX_BLOCK ? b->size * 2 : INBOX_BLOCK;
    if (capacity > b->wants)
        capacity = b->wants;
    if (b->size == b->capacity) {
        b = realloc(b, sizeof *b + capacity);
        if (!b)
            return false;
        b->capacity = capacity;
        *rest = b;
    }
    *ret_place = (struct inbox_place){b->data, b->size, b->capacity - b->size};
    return true;
}

bool peer_inbox_place(struct peer_inbox *in, struct inbox_block **rest,
                      struct inbox_place *ret_place)
{
    struct inbox_block *r = *rest;
    size_t have = r ? r->size : 0;
    struct inbox_block *b = in->shared;
    if (r && r->wants > 0)
        return place_large(rest, ret_place);
    if (!b || b->capacity - b->size < have + INBOX_ROOM) {
        b = new_shared(in);
        if (!b)
            return false;
        b->next = in->shared;
        in->shared = b;
        in->bytes += INBOX_BLOCK;
    }
    if (have > 0)
        memcpy(b->data + b->size, r->data, have);
    free(r);
    *rest = NULL;
    *ret_place = (struct inbox_place){b->data + b->size, have, b->capacity - b->size - have};
    return true;
}

struct bytes peer_inbox_take(struct peer_inbox *in, struct inbox_block **rest,
                             const struct inbox_place *place, size_t received)
{
    struct inbox_block *r = *rest;
    struct bytes all = {place->data, place->have + received};
    if (!r) {
        in->shared->size += all.size;
        return all;
    }
    r->size = all.size;
    if (r->size < r->wants)
        return (struct bytes){NULL, 0};
    r->next = in->large;
    in->large = r;
    in->bytes += r->capacity;
    *rest = NULL;
    return all;
}

bool peer_inbox_keep(struct inbox_block **rest, struct bytes left, uint64_t wants)
{
    if (left.size == 0)
        return true;
    struct inbox_block *b = new_block(left.size);
    if (!b)
        return false;
    memcpy(b->data, left.data, left.size);
    b->size = left.size;
    b->wants = wants > INBOX_LARGE && wants > left.size ? (size_t)wants : 0;
    *rest = b;
    return true;
}

static void free_list(struct inbox_block *b)
{
    while (b) {
        struct inbox_block *next = b->next;
        free(b);
        b = next;
    }
}

void peer_inbox_release(struct peer_inbox *in)
{
    free_list(in->large);
    in->large = NULL;
    while (in->shared) {
        struct inbox_block *b = in->shared;
        in->shared = b->next;
        b->size = 0;
        b->next = in->spare;
        if (in->spare_count < SPARE_MAX) {
            in->spare = b;
            in->spare_count++;
        } else {
            free(b);
        }
    }
    in->bytes = 0;
}

void peer_inbox_free(struct peer_inbox *in)
{
    peer_inbox_release(in);
    free_list(in->spare);
    *in = (struct peer_inbox){0};
}

void peer_inbox_drop(struct inbox_block *rest)
{
    free(rest);
}
