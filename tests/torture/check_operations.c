#define _POSIX_C_SOURCE 200809L
/*
 * check_operations.c - what was answered: whether the journal has it, as it was asked for, and whether
 * the order that a clock saw is that of seq. (With every operation's place in the one order known from
 * its seq, linearizability is just this: what ended before something began has no greater seq.)
 */
#include <vigil.h>

#include <inttypes.h>
#include <stdlib.h>

#include "tests/torture/check.h"

static const char *kind_name(const struct operation *o)
{
    static const char *const names[OPERATION_KINDS] = {
        "put",  "del",     "incr", "txn", "do",   "get",    "list",  "wait",  "compact",
        "peek", "history", "open", "ack", "look", "backup", "grant", "renew", "revoke"};
    return names[o->kind];
}

static bool asked_matches(const struct check *c, const struct operation *o,
                          const struct seen_record *r)
{
    const struct seen_change *change = change_of_key(c, r, o->key);
    if (r->count != 1 || !change)
        return false;
    switch (o->kind) {
    case OPERATION_PUT:
        return change->op == VIGIL_PUT && change->mark == o->mark;
    case OPERATION_DELETE:
        return change->op == VIGIL_DELETE;
    default:
        return change->op == VIGIL_PUT && change->mark == o->result_mark;
    }
}

static bool txn_matches(const struct check *c, const struct operation *o,
                        const struct seen_record *r)
{
    for (size_t i = 0; i < o->change_count; i++) {
        const struct seen_change *asked = &c->e->changes.items[o->first_change + i];
        const struct seen_change *change = change_of_key(c, r, asked->key);
        if (!change) {
            if (asked->op == VIGIL_DELETE)
                continue; /* of a key that was absent */
            return false;
        }
        if (asked->op == 3 ? change->op != VIGIL_PUT : change->op != asked->op)
            return false;
        if (asked->op == VIGIL_PUT && change->mark != asked->mark)
            return false;
    }
    return r->count <= o->change_count;
}

static uint64_t mark_at(const struct check *c, uint32_t key, uint64_t seq)
{
    const struct seen_record *r = seq ? record_at(c, seq) : NULL;
    const struct seen_change *change = r ? change_of_key(c, r, key) : NULL;
    return change ? change->mark : 0;
}

static void check_condition(struct check *c, const struct operation *o,
                            const struct seen_change *change)
{
    const struct seen_record *before = change->prev_seq ? record_at(c, change->prev_seq) : NULL;
    const struct seen_change *old = before ? change_of_key(c, before, o->key) : NULL;
    bool present = old && old->op == VIGIL_PUT;
    uint64_t mark = present ? old->mark : 0;
    if (is_unread(c, change->prev_seq))
        return;
    checked(c, PROPERTY_SERIAL);
    bool none_known = o->kind == OPERATION_INCR && o->prev_seq == 0;
    if (o->prev_seq != change->prev_seq && !none_known)
        accuse(c, PROPERTY_SERIAL,
               "%s: %s of %s at %" PRIu64 " was told prev_seq %" PRIu64
               ", the journal says %" PRIu64,
               source_name(c, o->source), kind_name(o), key_name(c, o->key), o->seq, o->prev_seq,
               change->prev_seq);
    if (o->condition == 's' && o->condition_operand != (present ? change->prev_seq : 0))
        accuse(c, PROPERTY_SERIAL, "%s: %s of %s at %" PRIu64 " although its seq was not %" PRIu64,
               source_name(c, o->source), kind_name(o), key_name(c, o->key), o->seq,
               o->condition_operand);
    if (o->condition == 'v' && o->condition_operand != mark)
        accuse(c, PROPERTY_SERIAL, "%s: %s of %s at %" PRIu64 " although its value was another",
               source_name(c, o->source), kind_name(o), key_name(c, o->key), o->seq);
    if (o->kind == OPERATION_DELETE && !present)
        accuse(c, PROPERTY_SERIAL, "%s: del of %s at %" PRIu64 ", which was absent",
               source_name(c, o->source), key_name(c, o->key), o->seq);
}

static void check_compares(struct check *c, const struct operation *o)
{
    if (c->unread > 0)
        return; /* what the keys were is not known for sure */
    bool hold = true;
    uint64_t until = o->succeeded ? o->seq : o->seq + 1;
    for (size_t i = 0; i < o->compare_count; i++) {
        const struct seen_change *compare = &c->e->changes.items[o->first_compare + i];
        uint64_t at = changed_before(c, compare->key, until);
        if (mark_at(c, compare->key, at) == 0)
            at = 0; /* deleted */
        hold = hold && at == compare->prev_seq;
    }
    checked(c, PROPERTY_SERIAL);
    if (o->succeeded != hold)
        accuse(c, PROPERTY_SERIAL, "%s: the compares of the txn at %" PRIu64 " %s",
               source_name(c, o->source), o->seq, hold ? "held, and yet" : "did not hold");
}

static void check_acknowledged(struct check *c, const struct operation *o)
{
    const struct seen_record *r = record_at(c, o->seq);
    if (o->kind == OPERATION_TXN) {
        check_compares(c, o);
        if (!o->succeeded || o->change_count == 0)
            return;
    }
    if (is_unread(c, o->seq))
        return;
    checked(c, PROPERTY_DURABLE);
    if (!r) {
        accuse(c, PROPERTY_DURABLE,
               "%s: %s was acknowledged as %" PRIu64 ", which the journal has not",
               source_name(c, o->source), kind_name(o), o->seq);
        return;
    }
    if (o->kind == OPERATION_TXN ? !txn_matches(c, o, r) : !asked_matches(c, o, r)) {
        accuse(c, o->kind == OPERATION_TXN ? PROPERTY_ATOMIC : PROPERTY_DURABLE,
               "%s: %s was acknowledged as %" PRIu64 ", where the journal has something else",
               source_name(c, o->source), kind_name(o), o->seq);
        return;
    }
    if (o->kind != OPERATION_TXN)
        check_condition(c, o, change_of_key(c, r, o->key));
}

/* Two requests cannot have become one record. */
static void check_one_answer_a_record(struct check *c)
{
    uint32_t *asked = calloc(c->head + 1, sizeof *asked);
    if (!asked)
        abort();
    for (size_t i = 0; i < c->e->operations.count; i++) {
        const struct operation *o = &c->e->operations.items[i];
        if (!is_mutation(o->kind) || o->error != 0 || o->seq > c->head ||
            (o->kind == OPERATION_DO && !c->changes[i]) ||
            (o->kind == OPERATION_TXN &&
             (!o->succeeded || !record_at(c, o->seq) || !txn_matches(c, o, record_at(c, o->seq)))))
            continue;
        checked(c, PROPERTY_EXACTLY_ONCE);
        if (asked[o->seq]++)
            accuse(c, PROPERTY_EXACTLY_ONCE,
                   "%s: %s was acknowledged as %" PRIu64 ", as another was",
                   source_name(c, o->source), kind_name(o), o->seq);
    }
    free(asked);
}

/* Whoever asks for one thing and then for another gets them in this order, pipelined or not. */
static void check_order_asked(struct check *c)
{
    uint64_t last = 0;
    uint32_t process = UINT32_MAX;
    for (size_t i = 0; i < c->e->operations.count; i++) {
        const struct operation *o = &c->e->operations.items[i];
        if (o->process != process)
            last = 0;
        process = o->process;
        if (!is_mutation(o->kind) || o->error != 0 || o->kind == OPERATION_TXN ||
            (o->kind == OPERATION_DO && !c->changes[i]))
            continue;
        checked(c, PROPERTY_SERIAL);
        if (o->seq <= last)
            accuse(c, PROPERTY_SERIAL,
                   "%s: %s at %" PRIu64 " was asked for after what is at %" PRIu64,
                   source_name(c, o->source), kind_name(o), o->seq, last);
        last = o->seq;
    }
}

void check_operations(struct check *c)
{
    for (size_t i = 0; i < c->e->operations.count; i++) {
        const struct operation *o = &c->e->operations.items[i];
        if (is_mutation(o->kind) && o->kind != OPERATION_DO && o->error == 0)
            check_acknowledged(c, o);
    }
    check_one_answer_a_record(c);
    check_order_asked(c);
}

/* ---- real time ---- */

struct moment {
    uint64_t time_us;
    bool is_end;
    const struct operation *operation;
};

/* At one time, beginnings come before ends: what touches overlaps. */
static int compare_moments(const void *left, const void *right)
{
    const struct moment *a = left;
    const struct moment *b = right;
    if (a->time_us != b->time_us)
        return a->time_us < b->time_us ? -1 : 1;
    return (int)a->is_end - (int)b->is_end;
}

/* Its answer names its place in the order. */
static bool has_place(const struct operation *o)
{
    if (o->kind == OPERATION_BACKUP)
        return o->error == 0; /* it read everything */
    if (o->error != 0 || o->kind >= OPERATION_COMPACT)
        return false;
    return o->kind != OPERATION_WAIT || o->succeeded;
}

static void check_not_before(struct check *c, const struct operation *o, uint64_t floor)
{
    bool adds = is_mutation(o->kind) && !(o->kind == OPERATION_TXN && !o->succeeded);
    const struct seen_record *r = record_at(c, o->seq);
    if (o->kind == OPERATION_TXN && o->succeeded && r && !txn_matches(c, o, r))
        adds = false; /* nothing to do: it only read */
    if (o->kind == OPERATION_DO)
        adds = c->changes[o - c->e->operations.items];
    checked(c, PROPERTY_SERIAL);
    if (adds ? o->seq <= floor : o->seq < floor)
        accuse(c, PROPERTY_SERIAL, "%s: %s at %" PRIu64 ", begun after %" PRIu64 " had been told",
               source_name(c, o->source), kind_name(o), o->seq, floor);
}

/* A conflict tells where the key changed last: that must not have been outdated at the beginning. */
static void check_conflict(struct check *c, const struct operation *o, uint64_t floor)
{
    checked(c, PROPERTY_SERIAL);
    if (o->condition == 's' && o->seq == o->condition_operand)
        accuse(c, PROPERTY_SERIAL, "%s: %s of %s refused, although its seq was %" PRIu64,
               source_name(c, o->source), kind_name(o), key_name(c, o->key), o->seq);
    if (o->seq != 0 && changed_after(c, o->key, o->seq) <= floor)
        accuse(c, PROPERTY_SERIAL,
               "%s: %s of %s was told that it changed at %" PRIu64
               ", after a later change had been told",
               source_name(c, o->source), kind_name(o), key_name(c, o->key), o->seq);
}

/* Whether the key was absent at floor, or became so later. An absent key's answer names its deletion, but
 * not once that has been compacted: then it may be one that came while the answer was under way. */
static bool was_absent_since(const struct check *c, uint32_t key, uint64_t floor)
{
    uint64_t seq = changed_before(c, key, floor + 1);
    while (seq != NEVER && mark_at(c, key, seq) != 0)
        seq = changed_after(c, key, seq);
    return seq != NEVER;
}

/* A value that was there, and no older one than what had been told. */
static void check_peek(struct check *c, const struct operation *o, uint64_t floor)
{
    const struct seen_record *r = o->seq ? record_at(c, o->seq) : NULL;
    const struct seen_change *change = r ? change_of_key(c, r, o->key) : NULL;
    checked(c, PROPERTY_SERIAL);
    if (o->seq != 0 && !is_unread(c, o->seq) && (!change || change->mark != o->result_mark))
        accuse(c, PROPERTY_SERIAL, "%s: a read of %s saw a value of %" PRIu64 " that was not",
               source_name(c, o->source), key_name(c, o->key), o->seq);
    if (o->seq == 0 && c->unread > 0)
        return;
    if (o->seq != 0 ? changed_after(c, o->key, o->seq) <= floor
                    : !was_absent_since(c, o->key, floor))
        accuse(c, PROPERTY_SERIAL,
               "%s: a read of %s saw %" PRIu64 " after a later change had been told",
               source_name(c, o->source), key_name(c, o->key), o->seq);
}

static void walk_moments(struct check *c, const struct moment *moments, size_t count,
                         uint64_t *floors)
{
    uint64_t floor = 0;
    for (size_t i = 0; i < count; i++) {
        const struct operation *o = moments[i].operation;
        size_t index = (size_t)(o - c->e->operations.items);
        if (!moments[i].is_end)
            floors[index] = floor;
        else if (has_place(o)) {
            check_not_before(c, o, floors[index]);
            if (o->seq > floor)
                floor = o->seq;
        } else if (o->error == VIGIL_CONFLICT && is_mutation(o->kind) && o->kind != OPERATION_DO) {
            check_conflict(c, o, floors[index]);
        } else if (o->kind == OPERATION_PEEK && o->error == 0) {
            check_peek(c, o, floors[index]);
        } else if (o->kind == OPERATION_HISTORY && o->error == 0) {
            check_history(c, o, floors[index]);
        }
    }
}

void check_real_time(struct check *c)
{
    size_t count = 0;
    struct moment *moments = calloc(c->e->operations.count * 2 + 1, sizeof *moments);
    uint64_t *floors = calloc(c->e->operations.count + 1, sizeof *floors);
    if (!moments || !floors)
        abort();
    for (size_t i = 0; i < c->e->operations.count; i++) {
        const struct operation *o = &c->e->operations.items[i];
        moments[count++] = (struct moment){o->start_us, false, o};
        if (o->end_us != NEVER)
            moments[count++] = (struct moment){o->end_us, true, o};
    }
    qsort(moments, count, sizeof *moments, compare_moments);
    walk_moments(c, moments, count, floors);
    free(floors);
    free(moments);
}

/* ---- waits ---- */

static bool satisfies(const struct operation *o, const struct seen_change *change)
{
    return change->op == VIGIL_PUT && change->mark % o->divisor == o->remainder;
}

/* One epoch, and positions that the server gave: only compaction can refuse them. */
static void check_refusal(struct check *c, const struct operation *o)
{
    bool is_past = !o->since_state && o->since + 1 < c->oldest;
    checked(c, PROPERTY_HONEST);
    if (o->error == VIGIL_EPOCH_CHANGED || o->error == VIGIL_POSITION_AHEAD ||
        o->error == VIGIL_CORRUPT || (o->error == VIGIL_COMPACTED && !o->since_state && !is_past))
        accuse(c, PROPERTY_HONEST, "%s: a wait since %" PRIu64 " was told %s, which is not true",
               source_name(c, o->source), o->since, vigil_error_name(o->error));
}

/* A server that answers, and all the time in the world: it must have looked at everything up to until. */
static void check_timeout(struct check *c, const struct operation *o)
{
    uint64_t from = o->since_state ? changed_before(c, o->key, o->until + 1) : o->since + 1;
    if (c->unread > 0 || (o->since_state && changed_after(c, o->key, o->until) != NEVER))
        return; /* which state it looked at is not known */
    checked(c, PROPERTY_WAITS);
    for (uint64_t seq = from; seq > 0 && seq <= o->until; seq++) {
        const struct seen_record *r = record_at(c, seq);
        const struct seen_change *change = r ? change_of_key(c, r, o->key) : NULL;
        if (!change || !satisfies(o, change))
            continue;
        accuse(c, PROPERTY_WAITS, "%s: a wait for %s timed out, and missed %" PRIu64,
               source_name(c, o->source), key_name(c, o->key), seq);
        return;
    }
}

/* From a position: the very first that satisfies. From a state: one that the state right before it did not
 * satisfy, or the wait would have ended there. */
void check_waits(struct check *c)
{
    for (size_t i = 0; i < c->e->operations.count; i++) {
        const struct operation *o = &c->e->operations.items[i];
        if (o->kind == OPERATION_WAIT)
            check_refusal(c, o);
        if (o->kind == OPERATION_WAIT && o->error == VIGIL_TIMEOUT && o->until > 0)
            check_timeout(c, o);
        if (o->kind != OPERATION_WAIT || o->error != 0 || o->succeeded || is_unread(c, o->seq))
            continue;
        const struct seen_record *r = record_at(c, o->seq);
        const struct seen_change *change = r ? change_of_key(c, r, o->key) : NULL;
        checked(c, PROPERTY_WAITS);
        if (!change || change->mark != o->result_mark || !satisfies(o, change)) {
            accuse(c, PROPERTY_WAITS,
                   "%s: a wait for %s ended with %" PRIu64 ", which does not satisfy",
                   source_name(c, o->source), key_name(c, o->key), o->seq);
            continue;
        }
        uint64_t first = o->since_state ? change->prev_seq : o->since + 1;
        for (uint64_t seq = first; seq > 0 && seq < o->seq; seq++) {
            const struct seen_record *earlier = record_at(c, seq);
            const struct seen_change *missed = earlier ? change_of_key(c, earlier, o->key) : NULL;
            if (missed && satisfies(o, missed)) {
                accuse(c, PROPERTY_WAITS,
                       "%s: a wait for %s missed %" PRIu64 " and ended with %" PRIu64,
                       source_name(c, o->source), key_name(c, o->key), seq, o->seq);
                break;
            }
        }
    }
}
