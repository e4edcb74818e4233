#define _POSIX_C_SOURCE 200809L
/*
 * check_cursors.c - each named cursor over all who held it, in the order of time: it never moves back, what
 * was acknowledged stays so, nothing that matches is passed without having been acknowledged by who saw it,
 * and who has lost it cannot move it. (That each holder sees everything after the place where it began is
 * check_watches.c's.)
 */
#include <vigil.h>

#include <inttypes.h>
#include <stdlib.h>

#include "tests/torture/check.h"

struct cursor_moment {
    uint64_t time_us;
    bool is_end;
    const struct operation *operation;
};

/* One cursor's requests, beginnings and ends by time. */
struct cursor {
    uint32_t name;
    struct cursor_moment *moments;
    size_t count;
    const struct operation **opened; /* with success */
    size_t opened_count;
    uint64_t begin; /* the least place that it was seen at */
};

static bool is_of_cursor(const struct operation *o)
{
    return o->kind == OPERATION_CURSOR_OPEN || o->kind == OPERATION_CURSOR_ACKNOWLEDGE ||
           o->kind == OPERATION_CURSOR_LOOK;
}

/* At one time, beginnings come before ends: what touches overlaps. */
static int compare_moments(const void *left, const void *right)
{
    const struct cursor_moment *a = left;
    const struct cursor_moment *b = right;
    if (a->operation->key != b->operation->key)
        return a->operation->key < b->operation->key ? -1 : 1;
    if (a->time_us != b->time_us)
        return a->time_us < b->time_us ? -1 : 1;
    return (int)a->is_end - (int)b->is_end;
}

/* The answer says where the cursor was. */
static bool tells_place(const struct operation *o)
{
    return o->error == VIGIL_OK && o->kind != OPERATION_CURSOR_ACKNOWLEDGE;
}

/* The opening by which the one who asked held the cursor; NULL: there is none. */
static const struct operation *held_by(const struct cursor *k, const struct operation *o)
{
    const struct operation *held = NULL;
    for (size_t i = 0; i < k->opened_count; i++) {
        if (k->opened[i]->process == o->process && k->opened[i] < o)
            held = k->opened[i];
    }
    return held;
}

/* The newest record that matches in (begin, until]; 0: none. */
static uint64_t newest_match(const struct check *c, const struct operation *open, uint64_t begin,
                             uint64_t until)
{
    for (uint64_t seq = until; seq > begin; seq--) {
        const struct seen_record *r = record_at(c, seq);
        for (uint16_t i = 0; r && i < r->count; i++) {
            if (filter_matches(c->e, open->filter, changes_of(c, r)[i].key))
                return seq;
        }
    }
    return 0;
}

static void check_place(struct check *c, const struct cursor *k, const struct operation *o,
                        uint64_t floor, uint64_t asked)
{
    checked(c, PROPERTY_CURSORS);
    if (o->seq < floor)
        accuse(c, PROPERTY_CURSORS, "%s: %s was at %" PRIu64 ", after %" PRIu64 " had been told",
               source_name(c, o->source), key_name(c, k->name), o->seq, floor);
    if (o->seq > c->head)
        accuse(c, PROPERTY_CURSORS, "%s: %s was at %" PRIu64 ", beyond the head",
               source_name(c, o->source), key_name(c, k->name), o->seq);
    if (o->kind != OPERATION_CURSOR_OPEN)
        return;
    uint64_t passed = newest_match(c, o, k->begin, o->seq);
    if (passed > asked)
        accuse(c, PROPERTY_CURSORS,
               "%s: %s went on at %" PRIu64 "; up to %" PRIu64
               " had been acknowledged, and %" PRIu64 " comes after that",
               source_name(c, o->source), key_name(c, k->name), o->seq, asked, passed);
}

/* Told that it is durable, although another had opened the cursor before it was asked for, and had not
 * found it there. (What the cursor has passed already needs no word of the server.) */
static void check_fence(struct check *c, const struct cursor *k, const struct operation *o)
{
    const struct operation *held = held_by(k, o);
    checked(c, PROPERTY_CURSORS);
    for (size_t i = 0; held && i < k->opened_count; i++) {
        const struct operation *other = k->opened[i];
        if (other->process == o->process || other->start_us <= held->end_us ||
            other->end_us >= o->start_us || other->seq >= o->acknowledges)
            continue;
        accuse(c, PROPERTY_CURSORS, "%s: moved %s to %" PRIu64 ", which %s had taken over",
               source_name(c, o->source), key_name(c, k->name), o->acknowledges,
               source_name(c, other->source));
        return;
    }
}

/* Told that another has it: somebody must have asked for it since, and be it with a word that was late. */
static void check_taken(struct check *c, const struct cursor *k, const struct operation *o)
{
    const struct operation *held = held_by(k, o);
    checked(c, PROPERTY_HONEST);
    for (size_t i = 0; i < k->count; i++) {
        const struct operation *other = k->moments[i].operation;
        if (other->kind == OPERATION_CURSOR_OPEN && other != held && other->start_us < o->end_us &&
            !(held && other->error == VIGIL_OK && other->end_us < held->start_us))
            return;
    }
    accuse(c, PROPERTY_HONEST, "%s: told that %s was taken, which nobody did",
           source_name(c, o->source), key_name(c, k->name));
}

/* It stands where compaction has passed it, which has to wait for it from the moment that somebody was told
 * of it. */
static void check_held(struct check *c, const struct cursor *k, const struct operation *o)
{
    checked(c, PROPERTY_CURSORS);
    for (size_t i = 0; i < k->opened_count; i++) {
        if (k->opened[i]->end_us >= o->start_us)
            continue;
        accuse(c, PROPERTY_CURSORS, "%s: %s was passed by compaction, which should have waited",
               source_name(c, o->source), key_name(c, k->name));
        return;
    }
}

static void check_end(struct check *c, const struct cursor *k, const struct operation *o,
                      uint64_t floor, uint64_t asked)
{
    if (tells_place(o))
        check_place(c, k, o, floor, asked);
    else if (o->error == VIGIL_OK && o->waits)
        check_fence(c, k, o);
    else if (o->error == VIGIL_COMPACTED && o->kind == OPERATION_CURSOR_LOOK && c->e->cursors_held)
        check_held(c, k, o);
    else if (o->error == VIGIL_CURSOR_TAKEN)
        check_taken(c, k, o);
    else if (o->error == VIGIL_NOT_FOUND && o->kind == OPERATION_CURSOR_ACKNOWLEDGE)
        accuse(c, PROPERTY_CURSORS, "%s: %s was gone, and nobody had deleted it",
               source_name(c, o->source), key_name(c, k->name));
}

static void walk(struct check *c, const struct cursor *k, uint64_t *floors)
{
    uint64_t floor = k->begin;
    uint64_t asked = floor;
    for (size_t i = 0; i < k->count; i++) {
        const struct operation *o = k->moments[i].operation;
        uint64_t *floor_before = &floors[o - c->e->operations.items];
        if (!k->moments[i].is_end) {
            *floor_before = floor;
            if (o->acknowledges > asked)
                asked = o->acknowledges;
            continue;
        }
        check_end(c, k, o, *floor_before, asked);
        uint64_t told = tells_place(o)                     ? o->seq
                        : o->error == VIGIL_OK && o->waits ? o->acknowledges
                                                           : 0;
        if (told > floor)
            floor = told;
    }
}

static void find_openings(struct cursor *k)
{
    k->opened_count = 0;
    k->begin = NEVER;
    for (size_t i = 0; i < k->count; i++) {
        const struct operation *o = k->moments[i].operation;
        if (k->moments[i].is_end && o->kind == OPERATION_CURSOR_OPEN && o->error == VIGIL_OK)
            k->opened[k->opened_count++] = o;
        if (k->moments[i].is_end && tells_place(o) && o->seq < k->begin)
            k->begin = o->seq;
    }
}

void check_cursors(struct check *c)
{
    size_t count = 0;
    struct cursor_moment *moments = calloc(c->e->operations.count * 2 + 1, sizeof *moments);
    uint64_t *floors = calloc(c->e->operations.count + 1, sizeof *floors);
    struct cursor k = {.opened = calloc(c->e->operations.count + 1, sizeof *k.opened)};
    if (!moments || !floors || !k.opened)
        abort();
    for (size_t i = 0; i < c->e->operations.count; i++) {
        const struct operation *o = &c->e->operations.items[i];
        if (!is_of_cursor(o))
            continue;
        moments[count++] = (struct cursor_moment){o->start_us, false, o};
        if (o->end_us != NEVER)
            moments[count++] = (struct cursor_moment){o->end_us, true, o};
    }
    qsort(moments, count, sizeof *moments, compare_moments);
    for (size_t first = 0; first < count; first += k.count) {
        k.name = moments[first].operation->key;
        k.moments = moments + first;
        k.count = 1;
        while (first + k.count < count && moments[first + k.count].operation->key == k.name)
            k.count++;
        find_openings(&k);
        walk(c, &k, floors);
    }
    free(k.opened);
    free(floors);
    free(moments);
}
