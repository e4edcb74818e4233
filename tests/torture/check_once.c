#define _POSIX_C_SOURCE 200809L
/*
 * check_once.c - how often each request took effect. A put's value is its own, so the journal tells who
 * wrote a record; increments are counted; and a session's number is used once.
 */
#include <vigil.h>

#include <inttypes.h>
#include <stdlib.h>

#include "tests/torture/check.h"

/* ---- puts: by their marks ---- */

struct mark_user {
    uint64_t mark;
    uint64_t seq;                      /* a record that wrote it, or 0 */
    const struct operation *operation; /* the request that asked for it, or NULL */
};

static int compare_users(const void *left, const void *right)
{
    const struct mark_user *a = left;
    const struct mark_user *b = right;
    if (a->mark != b->mark)
        return a->mark < b->mark ? -1 : 1;
    if ((a->operation != NULL) != (b->operation != NULL))
        return a->operation ? -1 : 1; /* the request first */
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static bool is_put(const struct seen_change *change)
{
    return change->op == VIGIL_PUT && change->mark != 0;
}

/* Requests by the mark of their first put. */
static size_t collect_requests(const struct check *c, struct mark_user *users)
{
    size_t count = 0;
    for (size_t i = 0; i < c->e->operations.count; i++) {
        const struct operation *o = &c->e->operations.items[i];
        if (o->kind == OPERATION_PUT && o->mark)
            users[count++] = (struct mark_user){o->mark, 0, o};
        const struct work_step *step = signed_step(c, o);
        if (step)
            users[count++] = (struct mark_user){step->mark, 0, o};
        for (size_t k = 0; o->kind == OPERATION_TXN && k < o->change_count; k++) {
            const struct seen_change *change = &c->e->changes.items[o->first_change + k];
            if (is_put(change)) {
                users[count++] = (struct mark_user){change->mark, 0, o};
                break;
            }
        }
    }
    return count;
}

static void judge_request(struct check *c, const struct operation *o, const struct mark_user *users,
                          size_t count)
{
    bool refused =
        !is_in_doubt(o) &&
        (o->error != 0 || ((o->kind == OPERATION_TXN || o->kind == OPERATION_DO) && !o->succeeded));
    checked(c, PROPERTY_EXACTLY_ONCE);
    if (count > 1)
        accuse(c, PROPERTY_EXACTLY_ONCE,
               "%s: a request took effect at %" PRIu64 " and again at %" PRIu64,
               source_name(c, o->source), users[0].seq, users[1].seq);
    if (refused && count > 0)
        accuse(c, PROPERTY_EXACTLY_ONCE,
               "%s: a request was refused (%s), and took effect at %" PRIu64,
               source_name(c, o->source), vigil_error_name(o->error), users[0].seq);
    if (is_in_doubt(o) && c->options.no_doubt)
        accuse(c, PROPERTY_EXACTLY_ONCE, "%s: a request was left in doubt",
               source_name(c, o->source));
}

static void check_puts(struct check *c)
{
    size_t count = c->e->operations.count;
    for (uint64_t seq = 1; seq <= c->head; seq++)
        count += c->records[seq] ? c->records[seq]->count : 0;
    struct mark_user *users = calloc(count + 1, sizeof *users);
    if (!users)
        abort();
    count = collect_requests(c, users);
    for (uint64_t seq = 1; seq <= c->head; seq++) {
        const struct seen_record *r = c->records[seq];
        for (uint16_t i = 0; r && i < r->count; i++) {
            if (is_put(&changes_of(c, r)[i]))
                users[count++] = (struct mark_user){changes_of(c, r)[i].mark, seq, NULL};
        }
    }
    qsort(users, count, sizeof *users, compare_users);
    for (size_t i = 0; i < count; i++) {
        if (!users[i].operation)
            continue;
        size_t end = i + 1;
        while (end < count && users[end].mark == users[i].mark && !users[end].operation)
            end++;
        judge_request(c, users[i].operation, users + i + 1, end - i - 1);
    }
    free(users);
}

/* ---- increments: by counting. Nothing but increments by 1 changes a counter's key. ---- */

struct counter {
    uint64_t acknowledged, in_doubt, applied;
};

static void check_counters(struct check *c)
{
    struct counter *counters = calloc(c->e->keys.count + 1, sizeof *counters);
    if (!counters)
        abort();
    for (size_t i = 0; i < c->e->operations.count; i++) {
        const struct operation *o = &c->e->operations.items[i];
        if (o->kind == OPERATION_INCR) {
            counters[o->key].acknowledged += o->error == 0;
            counters[o->key].in_doubt += is_in_doubt(o);
        }
        for (size_t k = 0; o->kind == OPERATION_TXN && k < o->change_count; k++) {
            const struct seen_change *change = &c->e->changes.items[o->first_change + k];
            if (change->op != 3)
                continue;
            counters[change->key].acknowledged += o->error == 0 && o->succeeded;
            counters[change->key].in_doubt += is_in_doubt(o);
        }
    }
    for (uint32_t key = 0; key < c->e->keys.count; key++) {
        struct counter *n = &counters[key];
        if (n->acknowledged + n->in_doubt == 0)
            continue;
        n->applied = c->key_first[key + 1] - c->key_first[key];
        checked(c, PROPERTY_EXACTLY_ONCE);
        if (n->applied + c->unread < n->acknowledged || n->applied > n->acknowledged + n->in_doubt)
            accuse(c, PROPERTY_EXACTLY_ONCE,
                   "%s was incremented %" PRIu64 " times; %" PRIu64 " acknowledged, %" PRIu64
                   " in doubt",
                   key_name(c, key), n->applied, n->acknowledged, n->in_doubt);
        if (c->options.no_doubt && n->in_doubt > 0)
            accuse(c, PROPERTY_EXACTLY_ONCE, "%" PRIu64 " increments of %s were left in doubt",
                   n->in_doubt, key_name(c, key));
        c->verdict->increments_acknowledged += n->acknowledged;
        c->verdict->increments_in_doubt += n->in_doubt;
        c->verdict->increments_applied += n->applied;
    }
    free(counters);
}

/* ---- sessions ---- */

static int compare_numbers(const void *left, const void *right)
{
    const struct seen_record *a = *(const struct seen_record *const *)left;
    const struct seen_record *b = *(const struct seen_record *const *)right;
    if (a->session != b->session)
        return a->session < b->session ? -1 : 1;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static void check_sessions(struct check *c)
{
    size_t count = 0;
    const struct seen_record **records = calloc(c->head + 1, sizeof *records);
    if (!records)
        abort();
    for (uint64_t seq = 1; seq <= c->head; seq++) {
        if (c->records[seq] && c->records[seq]->session != 0)
            records[count++] = c->records[seq];
    }
    qsort(records, count, sizeof *records, compare_numbers);
    for (size_t i = 1; i < count; i++) {
        checked(c, PROPERTY_EXACTLY_ONCE);
        if (records[i]->session != records[i - 1]->session)
            continue;
        if (records[i]->number == records[i - 1]->number)
            accuse(c, PROPERTY_EXACTLY_ONCE,
                   "request %" PRIu64 " of session %" PRIu64 " took effect at %" PRIu64
                   " and at %" PRIu64,
                   records[i]->number, records[i]->session, records[i - 1]->seq, records[i]->seq);
        else if (records[i]->seq < records[i - 1]->seq)
            accuse(c, PROPERTY_SERIAL,
                   "request %" PRIu64 " of session %" PRIu64 " overtook the one before",
                   records[i]->number, records[i]->session);
    }
    free(records);
}

void check_once(struct check *c)
{
    check_puts(c);
    check_counters(c);
    check_sessions(c);
}
