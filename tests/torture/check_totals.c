#define _POSIX_C_SOURCE 200809L
/*
 * check_totals.c - money moves between accounts, and there is never more or less of it: the sum over all
 * accounts is what they were created with, after every record of the journal, after every record in the view
 * of each watcher that sees all of them, and in each copy that was made at one seq.
 *
 * A view that begins in the middle, or with a gap, knows a balance once it has seen it change; it says
 * nothing until it knows them all.
 */
#include <vigil.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/torture/check.h"

struct view {
    struct check *c;
    const char *whose;
    uint32_t *accounts; /* [key]: which account, from 1 on; 0: none */
    uint32_t count;
    int64_t sum; /* with which they were created */
    int64_t *balances;
    bool *known;
    uint32_t known_count;
};

static void forget(struct view *v)
{
    memset(v->known, 0, (v->count + 1) * sizeof *v->known);
    v->known_count = 0;
}

static bool read_integer(const struct check *c, const struct shown *s, int64_t *ret_number)
{
    return s->size > 0 && vigil_unpack_int(c->e->bytes.items + s->at, s->size, ret_number) == 0;
}

/* The accounts, as every request to create them says. */
static void find_accounts(struct view *v)
{
    const struct check *c = v->c;
    for (size_t i = 0; i < c->e->operations.count && v->count == 0; i++) {
        const struct operation *o = &c->e->operations.items[i];
        if (o->kind != OPERATION_DO || o->way != WAY_CREATE)
            continue;
        for (size_t k = 0; k < o->step_count; k++) {
            const struct work_step *s = &c->e->steps.items[o->first_step + k];
            int64_t balance = 0;
            if (strncmp(key_name(c, s->key), ACCOUNT_PREFIX, strlen(ACCOUNT_PREFIX)) != 0 ||
                !read_integer(c, &s->shown, &balance))
                continue;
            v->accounts[s->key] = ++v->count;
            v->sum += balance;
        }
    }
}

static void open_view(struct view *v, struct check *c)
{
    *v = (struct view){.c = c};
    v->accounts = calloc(c->e->keys.count + 1, sizeof *v->accounts);
    if (!v->accounts)
        abort();
    find_accounts(v);
    v->balances = calloc(v->count + 1, sizeof *v->balances);
    v->known = calloc(v->count + 1, sizeof *v->known);
    if (!v->balances || !v->known)
        abort();
}

static void close_view(struct view *v)
{
    free(v->accounts);
    free(v->balances);
    free(v->known);
}

static void take_change(struct view *v, uint64_t seq, const struct seen_change *change)
{
    uint32_t account = v->accounts[change->key];
    int64_t balance;
    if (change->op != VIGIL_PUT || !read_integer(v->c, &change->shown, &balance)) {
        accuse(v->c, PROPERTY_TOTALS, "%s: %s holds no amount at %" PRIu64, v->whose,
               key_name(v->c, change->key), seq);
        return;
    }
    v->known_count += !v->known[account];
    v->known[account] = true;
    v->balances[account] = balance;
}

static void take_record(struct view *v, const struct seen_record *r)
{
    const struct seen_change *changes = changes_of(v->c, r);
    bool touched = false;
    for (uint16_t i = 0; i < r->count; i++) {
        if (v->accounts[changes[i].key] == 0)
            continue;
        take_change(v, r->seq, &changes[i]);
        touched = true;
    }
    if (!touched || v->known_count < v->count)
        return;
    int64_t sum = 0;
    for (uint32_t account = 1; account <= v->count; account++)
        sum += v->balances[account];
    checked(v->c, PROPERTY_TOTALS);
    if (sum != v->sum)
        accuse(v->c, PROPERTY_TOTALS,
               "%s: all accounts hold %" PRId64 " at %" PRIu64 ", and %" PRId64 " in the beginning",
               v->whose, sum, r->seq, v->sum);
    if (sum != v->sum)
        forget(v); /* one says it */
}

static void check_own_records(struct view *v)
{
    v->whose = "the journal";
    for (uint64_t seq = 1; seq <= v->c->head; seq++) {
        if (v->c->records[seq])
            take_record(v, v->c->records[seq]);
        else
            forget(v);
    }
}

static bool sees_all(const struct view *v, uint32_t filter)
{
    for (uint32_t key = 0; key < v->c->e->keys.count; key++) {
        if (v->accounts[key] != 0 && !filter_matches(v->c->e, filter, key))
            return false;
    }
    return true;
}

/* A watch that goes on where the one before it was has seen all in between. */
static void check_watchers(struct view *v)
{
    uint32_t source = UINT32_MAX;
    uint64_t position = 0;
    bool sees = false;
    for (size_t i = 0; i < v->c->e->watches.count; i++) {
        const struct watch_event *event = &v->c->e->watches.items[i];
        bool goes_on = event->source == source && event->kind == WATCH_OPENED &&
                       event->since == SINCE_POSITION && event->position == position;
        if (event->source != source || (event->kind == WATCH_OPENED && !goes_on))
            forget(v);
        if (event->source != source)
            sees = false;
        source = event->source;
        v->whose = source_name(v->c, source);
        if (event->kind == WATCH_OPENED)
            sees = sees_all(v, event->filter);
        if (event->kind == WATCH_RECORD && sees)
            take_record(v, &event->record);
        if (event->kind != WATCH_REFUSED && event->kind != WATCH_DRAINED)
            position = event->position;
    }
}

static void check_copies(struct view *v)
{
    struct check *c = v->c;
    uint64_t created = NEVER;
    for (uint32_t key = 0; key < c->e->keys.count; key++) {
        uint64_t first = v->accounts[key] != 0 ? changed_after(c, key, 0) : NEVER;
        if (first < created)
            created = first;
    }
    for (size_t i = 0; i < c->e->totals.count; i++) {
        const struct total_claim *claim = &c->e->totals.items[i];
        bool before = claim->accounts == 0 && (claim->seq < created || c->unread > 0);
        checked(c, PROPERTY_TOTALS);
        if (!before && (claim->accounts != v->count || claim->total != v->sum))
            accuse(c, PROPERTY_TOTALS,
                   "%s: a copy at %" PRIu64 " has %" PRIu64 " accounts with %" PRId64
                   ", of %u with %" PRId64,
                   source_name(c, claim->source), claim->seq, claim->accounts, claim->total,
                   v->count, v->sum);
    }
}

void check_totals(struct check *c)
{
    struct view v;
    open_view(&v, c);
    if (v.count > 0) {
        check_own_records(&v);
        forget(&v);
        check_watchers(&v);
        check_copies(&v);
    }
    close_view(&v);
}
