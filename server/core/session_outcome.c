/* session_outcome.c - the ring of a session's replies. */
#include "server/core/session_outcome.h"

#include "protocol/errors.h"
#include "protocol/limits.h"

#include <assert.h>
#include <stdlib.h>

enum { CAPACITY_MIN = 8, SHRINK_FROM = 64 };
_Static_assert((LIMIT_SESSION_WINDOW & (LIMIT_SESSION_WINDOW - 1)) == 0, "a power of two");

struct bytes outcome_body(const struct outcome *o)
{
    return (struct bytes){o->size > OUTCOME_INLINE ? o->body.block : o->body.inlined, o->size};
}

static struct outcome *place_of(const struct outcomes *o, uint64_t number)
{
    return &o->places[number & (o->capacity - 1)];
}

static int resize(struct outcomes *o, uint64_t window)
{
    struct outcomes resized = *o;
    resized.capacity = CAPACITY_MIN;
    while (resized.capacity < window)
        resized.capacity *= 2;
    resized.places = calloc(resized.capacity, sizeof *resized.places);
    if (!resized.places)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < o->capacity; i++) {
        if (o->places[i].number != 0)
            *place_of(&resized, o->places[i].number) = o->places[i];
    }
    free(o->places);
    *o = resized;
    return ERR_OK;
}

int outcomes_reserve(struct outcomes *o, uint64_t window)
{
    assert(window <= LIMIT_SESSION_WINDOW);
    return window <= o->capacity ? ERR_OK : resize(o, window);
}

void outcomes_shrink(struct outcomes *o, uint64_t window)
{
    if (o->capacity > SHRINK_FROM && window <= o->capacity / 8)
        (void)resize(o, window); /* without memory for that, another time */
}

int outcomes_add(struct outcomes *o, const struct outcome *kept, struct bytes body)
{
    struct outcome *place = place_of(o, kept->number);
    struct outcome made = {.number = kept->number,
                           .seq = kept->seq,
                           .size = (uint32_t)body.size,
                           .status = kept->status,
                           .op = kept->op};
    uint8_t *to = made.body.inlined;
    assert(kept->number != 0);
    assert(place->number == 0);
    if (body.size > OUTCOME_INLINE) {
        to = malloc(body.size);
        if (!to)
            return ERR_NO_MEMORY;
        made.body.block = to;
    }
    if (body.size > 0)
        memcpy(to, body.data, body.size);
    *place = made;
    o->count++;
    o->bytes += body.size;
    return ERR_OK;
}

const struct outcome *outcomes_find(const struct outcomes *o, uint64_t number)
{
    if (o->capacity == 0)
        return NULL;
    const struct outcome *place = place_of(o, number);
    return number != 0 && place->number == number ? place : NULL;
}

static void drop(struct outcomes *o, struct outcome *place)
{
    if (place->size > OUTCOME_INLINE)
        free(place->body.block);
    o->count--;
    o->bytes -= place->size;
    *place = (struct outcome){0};
}

void outcomes_drop(struct outcomes *o, uint64_t first, uint64_t last)
{
    if (o->count == 0 || first > last)
        return;
    if (last - first >= o->capacity) {
        for (uint32_t i = 0; i < o->capacity; i++) {
            uint64_t number = o->places[i].number;
            if (number != 0 && number >= first && number <= last)
                drop(o, &o->places[i]);
        }
        return;
    }
    for (uint64_t i = 0; i <= last - first; i++) {
        struct outcome *place = place_of(o, first + i);
        if (place->number == first + i && place->number != 0)
            drop(o, place);
    }
}

void outcomes_free(struct outcomes *o)
{
    for (uint32_t i = 0; i < o->capacity; i++) {
        if (o->places[i].number != 0)
            drop(o, &o->places[i]);
    }
    free(o->places);
    *o = (struct outcomes){0};
}
