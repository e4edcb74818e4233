#define _POSIX_C_SOURCE 200809L
/*
 * check_work.c - walks the journal once and, at the seq that each request was told, works its steps out
 * again (work_model.h): on the state just before, when they have to come to exactly that record; or on
 * that state, if they change nothing. A request without an answer that took effect is known by what it
 * put, and is worked out at that record.
 */
#include <vigil.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/torture/check.h"
#include "tests/torture/work_model.h"

enum { INTEGER_SIZE = 9, WHY_SIZE = 64 };

/* ---- values that are used once ---- */

struct mark_places {
    size_t count;
    struct {
        uint64_t mark, seq;
    } items[];
};

static int compare_places(const void *left, const void *right)
{
    const uint64_t *a = left;
    const uint64_t *b = right;
    if (a[0] != b[0])
        return a[0] < b[0] ? -1 : 1;
    return a[1] < b[1] ? -1 : a[1] > b[1];
}

struct mark_places *mark_places_of(const struct check *c)
{
    size_t count = 0;
    for (uint64_t seq = 1; seq <= c->head; seq++)
        count += c->records[seq] ? c->records[seq]->count : 0;
    struct mark_places *p = calloc(1, sizeof *p + (count + 1) * sizeof *p->items);
    if (!p)
        abort();
    for (uint64_t seq = 1; seq <= c->head; seq++) {
        const struct seen_record *r = c->records[seq];
        for (uint16_t i = 0; r && i < r->count; i++) {
            const struct seen_change *change = &changes_of(c, r)[i];
            if (change->op != VIGIL_PUT)
                continue;
            p->items[p->count].mark = change->mark;
            p->items[p->count++].seq = seq;
        }
    }
    qsort(p->items, p->count, sizeof *p->items, compare_places);
    return p;
}

uint64_t mark_place(const struct mark_places *p, uint64_t mark)
{
    size_t low = 0, high = p->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p->items[middle].mark < mark)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->count && p->items[low].mark == mark ? p->items[low].seq : 0;
}

bool is_signed(const struct work_step *s)
{
    bool puts = s->code == WORK_PUT || s->code == WORK_TTL || s->code == WORK_LEASE ||
                s->code == WORK_PUSH || s->code == WORK_DEFAULT;
    return puts && s->mark != 0 && (s->shown.size == 0 || s->shown.size == INTEGER_SIZE);
}

const struct work_step *signed_step(const struct check *c, const struct operation *o)
{
    for (size_t i = 0; o->kind == OPERATION_DO && i < o->step_count; i++) {
        const struct work_step *s = &c->e->steps.items[o->first_step + i];
        if (is_signed(s))
            return s;
    }
    return NULL;
}

/* ---- one request ---- */

struct work_check {
    struct check *c;
    struct world world;
    struct model model;
    char why[WHY_SIZE]; /* what did not come to the same */
};

static bool differs(struct work_check *w, const char *what, size_t number)
{

    if (!w->why[0])
        (void)snprintf(w->why, sizeof w->why, "%s of step %u", what, (unsigned)number);
    return false;
}

static bool same_result(struct work_check *w, const struct work_step *told,
                        const struct model_result *r, size_t number)
{
    if (told->present != 2 && (told->present != 0) != r->present)
        return differs(w, "the presence in the result", number);
    bool forgotten = r->is_deletion && told->seq == 0;
    if (told->seq != NEVER && told->seq != r->seq && !forgotten)
        return differs(w, "the seq in the result", number);
    if (told->result_mark != r->mark)
        return differs(w, "the value in the result", number);
    return told->result_key == r->key || differs(w, "the key in the result", number);
}

static bool compares_hold(const struct work_check *w, const struct operation *o)
{
    for (size_t i = 0; i < o->compare_count; i++) {
        const struct seen_change *compare = &w->c->e->changes.items[o->first_compare + i];
        const struct cell *cell = &w->world.cells[compare->key];
        if (compare->prev_seq != (cell->present ? cell->modified : 0))
            return false;
    }
    return true;
}

/* The steps on the state as it stands, in the model; whether all results are those that were told. */
static enum model_verdict run_steps(struct work_check *w, const struct operation *o, uint64_t seq,
                                    bool makes_record, bool *ret_same)
{
    *ret_same = true;
    model_begin(&w->model, &w->world, seq, makes_record);
    for (size_t i = 0; i < o->step_count; i++) {
        const struct work_step *s = &w->c->e->steps.items[o->first_step + i];
        struct model_result result;
        enum model_verdict v = model_step(&w->model, s, i, &result);
        if (v != MODEL_DONE)
            return v;
        if (o->results_known && !same_result(w, s, &result, i))
            *ret_same = false;
    }
    return MODEL_DONE;
}

static bool same_changes(struct work_check *w, const struct seen_record *r)
{
    const struct model *m = &w->model;
    if (model_net(m) != r->count || r->count == 0)
        return false;
    for (size_t i = 0; i < m->count; i++) {
        const struct model_change *mine = &m->changes[i];
        const struct seen_change *its = change_of_key(w->c, r, mine->key);
        if (!mine->was_present && !mine->now.present)
            continue;
        if (!its || its->op != (mine->now.present ? VIGIL_PUT : VIGIL_DELETE) ||
            (mine->now.present && its->mark != mine->now.mark))
            return false;
    }
    return true;
}

/* Before r is in the state: whether o is known to have made it. *ret_unknown: it may have. */
static bool made_record(struct work_check *w, const struct operation *o,
                        const struct seen_record *r, bool *ret_unknown)
{
    bool same;
    *ret_unknown = false;
    if (!r || (o->error == 0 && !o->succeeded) || !compares_hold(w, o))
        return false;
    enum model_verdict v = run_steps(w, o, r->seq, true, &same);
    *ret_unknown = v == MODEL_UNKNOWN;
    if (v != MODEL_DONE)
        return false;
    if (same_changes(w, r))
        return same;
    if (!w->why[0])
        snprintf(w->why, sizeof w->why, "the record");
    return false;
}

/* With the state as it is: whether o was answered so, and had nothing to do. */
static bool made_nothing(struct work_check *w, const struct operation *o)
{
    bool same;
    if (compares_hold(w, o) != o->succeeded) {
        snprintf(w->why, sizeof w->why, "whether the compares hold");
        return false;
    }
    if (!o->succeeded)
        return true;
    enum model_verdict v = run_steps(w, o, o->seq + 1, false, &same);
    if (v != MODEL_DONE)
        return v == MODEL_UNKNOWN;
    if (same && model_net(&w->model) > 0)
        snprintf(w->why, sizeof w->why, "there is something to do");
    return same && model_net(&w->model) == 0;
}

/* ---- all of them ---- */

struct work_place {
    uint64_t seq;
    size_t operation;
    bool is_unknown;    /* whether it made the record there */
    char why[WHY_SIZE]; /* it did not */
};

static int compare_work(const void *left, const void *right)
{
    const struct work_place *a = left;
    const struct work_place *b = right;
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* Where each took effect, or read. */
static struct work_place *find_places(struct check *c, size_t *ret_count)
{
    struct work_place *places = calloc(c->e->operations.count + 1, sizeof *places);
    struct mark_places *marks = mark_places_of(c);
    size_t count = 0;
    if (!places)
        abort();
    for (size_t i = 0; i < c->e->operations.count; i++) {
        const struct operation *o = &c->e->operations.items[i];
        const struct work_step *s = signed_step(c, o);
        uint64_t seq = is_in_doubt(o) && s ? mark_place(marks, s->mark) : 0;
        if (o->kind != OPERATION_DO)
            continue;
        if (o->error == 0)
            places[count++] = (struct work_place){.seq = o->seq, .operation = i};
        else if (seq > 0)
            places[count++] = (struct work_place){.seq = seq, .operation = i};
    }
    free(marks);
    qsort(places, count, sizeof *places, compare_work);
    *ret_count = count;
    return places;
}

static void accuse_work(const struct work_check *w, const struct operation *o,
                        const struct work_place *place)
{
    static const char *const ways[WORK_WAYS] = WORK_WAY_NAMES;
    static const char *const codes[WORK_CODES] = WORK_CODE_NAMES;
    const struct work_step *first = &w->c->e->steps.items[o->first_step];
    accuse(w->c, PROPERTY_RESULTS,
           "%s: %s of %s %s and %zu more at %" PRIu64
           "%s is not what comes of it: before it %s, after it %s",
           source_name(w->c, o->source), ways[o->way], codes[first->code],
           key_name(w->c, first->key), o->step_count - 1, place->seq,
           o->error == 0 ? "" : ", without an answer,", place->why, w->why);
}

/* All work at seq, the state being that before it; and the record after it. */
static size_t take_seq(struct work_check *w, struct work_place *places, size_t count, uint64_t seq)
{
    struct check *c = w->c;
    const struct seen_record *r = record_at(c, seq);
    size_t taken = 0;
    for (; taken < count && places[taken].seq == seq; taken++) {
        w->why[0] = '\0';
        struct work_place *place = &places[taken];
        c->changes[place->operation] =
            made_record(w, &c->e->operations.items[place->operation], r, &place->is_unknown);
        memcpy(place->why, w->why, WHY_SIZE);
    }
    if (r)
        world_apply(&w->world, r);
    for (size_t i = 0; i < taken; i++) {
        const struct operation *o = &c->e->operations.items[places[i].operation];
        checked(c, PROPERTY_RESULTS);
        w->why[0] = '\0';
        if (!c->changes[places[i].operation] && !places[i].is_unknown &&
            (o->error != 0 || !made_nothing(w, o)))
            accuse_work(w, o, &places[i]);
    }
    return taken;
}

void check_work(struct check *c)
{
    static struct work_check w;
    size_t count, next = 0;
    struct work_place *places = find_places(c, &count);
    w = (struct work_check){.c = c};
    world_open(&w.world, c->e);
    for (uint64_t seq = 0; seq <= c->head && !is_unread(c, seq); seq++)
        next += take_seq(&w, places + next, count - next, seq);
    if (next < count && c->unread == 0)
        accuse(c, PROPERTY_DURABLE, "%zu requests were told a seq beyond the journal's head",
               count - next);
    world_close(&w.world);
    free(places);
}
