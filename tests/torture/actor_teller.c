#define _GNU_SOURCE
/*
 * actor_teller.c - moves money between accounts, in every way that is atomic, and adds all of it up. Each
 * transfer leaves a slip, whose value no other one has: so the checker knows which of them has been made.
 */
#include "tests/torture/actor_work.h"

#include <stdio.h>
#include <string.h>

enum { ACCOUNTS = 6, BALANCE = 1000, AMOUNT_MAX = 20, PAUSE_MS = 25 };

#define STORED_NAME "transfer"

static const char transfer_source[] = "local from, to, by, slip, id = table.unpack(args)\n"
                                      "local a, b = get(from) - by, get(to) + by\n"
                                      "put(from, a)\n"
                                      "put(slip, id)\n"
                                      "put(to, b)\n"
                                      "return {a, b}\n";
static const char half_source[] = "local from, to, by, slip, id = table.unpack(args)\n"
                                  "put(slip, id)\n"
                                  "put(from, get(from) - by)\n"
                                  "error('half way')\n";

struct transfer {
    char from[ACTOR_KEY_SIZE], to[ACTOR_KEY_SIZE], slip[ACTOR_KEY_SIZE];
    int64_t by;
    struct work work;
    /* of the last run within vigil_atomically */
    int64_t from_after, to_after;
};

static void draw_transfer(struct actor *a, struct transfer *t)
{
    size_t from = actor_draw(a, ACCOUNTS);
    size_t to = (from + 1 + actor_draw(a, ACCOUNTS - 1)) % ACCOUNTS;
    snprintf(t->from, sizeof t->from, ACCOUNT_PREFIX "%zu", from);
    snprintf(t->to, sizeof t->to, ACCOUNT_PREFIX "%zu", to);
    snprintf(t->slip, sizeof t->slip, "slip/%u", a->number);
    t->by = 1 + (int64_t)actor_draw(a, AMOUNT_MAX);
}

static void add_slip(struct transfer *t)
{
    work_value_text(&t->work, work_add(&t->work, WORK_PUT, t->slip, 0));
}

static void add_balance(struct work *w, const char *key, int64_t balance)
{
    struct work_asked *s = work_add(w, WORK_PUT, key, 0);
    s->size = vigil_pack_int(s->value, sizeof s->value, balance);
}

/* All at once, by whoever comes first. */
static int create_accounts(struct actor *a, struct transfer *t, bool *ret_succeeded)
{
    char key[ACTOR_KEY_SIZE];
    work_begin(&t->work, a, WAY_CREATE);
    work_compare(&t->work, ACCOUNT_PREFIX "0", 0);
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        snprintf(key, sizeof key, ACCOUNT_PREFIX "%u", i);
        add_balance(&t->work, key, BALANCE);
    }
    add_slip(t);
    return work_commit(&t->work, ret_succeeded);
}

static int store_function(struct actor *a)
{
    uint8_t value[sizeof transfer_source + 8];
    size_t size = vigil_pack_string(value, sizeof value, transfer_source, strlen(transfer_source));
    vigil_condition absent = {.if_seq = true};
    vigil_result result;
    int err = vigil_put(a->v, VIGIL_FUNCTIONS STORED_NAME, value, size, &absent, &result);
    return err == VIGIL_CONFLICT ? VIGIL_OK : err;
}

/* ---- the ways ---- */

static int by_increments(struct actor *a, struct transfer *t)
{
    work_begin(&t->work, a, WAY_TXN);
    work_add(&t->work, WORK_INCR, t->from, -t->by);
    work_add(&t->work, WORK_INCR, t->to, t->by);
    add_slip(t);
    return work_commit(&t->work, NULL);
}

static int by_compares(struct actor *a, struct transfer *t)
{
    const char *keys[] = {t->from, t->to};
    vigil_entry entries[2];
    int64_t from = 0, to = 0;
    int err = vigil_get_many(a->v, keys, 2, entries);
    if (err || !entries[0].present || !entries[1].present)
        return err;
    err = vigil_unpack_int(entries[0].value, entries[0].size, &from);
    if (!err)
        err = vigil_unpack_int(entries[1].value, entries[1].size, &to);
    if (err)
        return err;
    work_begin(&t->work, a, WAY_COMPARE);
    work_compare(&t->work, t->from, entries[0].modified);
    work_compare(&t->work, t->to, entries[1].modified);
    add_balance(&t->work, t->from, from - t->by);
    add_balance(&t->work, t->to, to + t->by);
    add_slip(t);
    return work_commit(&t->work, NULL);
}

static size_t pack_arguments(const struct transfer *t, uint8_t *out, size_t capacity)
{
    const struct work_asked *slip = &t->work.steps[1];
    size_t size = vigil_pack_array(out, capacity, 5);
    size += vigil_pack_string(out + size, capacity - size, t->from, strlen(t->from));
    size += vigil_pack_string(out + size, capacity - size, t->to, strlen(t->to));
    size += vigil_pack_int(out + size, capacity - size, t->by);
    size += vigil_pack_string(out + size, capacity - size, t->slip, strlen(t->slip));
    memcpy(out + size, slip->value, slip->size);
    return size + slip->size;
}

static void begin_move(struct actor *a, struct transfer *t, enum work_way way)
{
    work_begin(&t->work, a, way);
    work_add_move(&t->work, t->from, t->by, t->to);
    add_slip(t);
}

static int by_function(struct actor *a, struct transfer *t, const vigil_function *function)
{
    uint8_t arguments[512];
    const void *value = NULL;
    size_t size = 0;
    uint64_t seq = 0;
    begin_move(a, t, function->name ? WAY_STORED : WAY_CALL);
    size_t arguments_size = pack_arguments(t, arguments, sizeof arguments);
    work_ask(&t->work);
    int err = vigil_call(a->v, function, arguments, arguments_size, &value, &size, &seq);
    work_told(&t->work, err, seq, err == VIGIL_OK, err == VIGIL_OK);
    if (err == VIGIL_OK) {
        work_result(&t->work, true, UINT64_MAX, value, size, NULL);
        work_result_unknown(&t->work);
    }
    work_told_end(&t->work);
    return err;
}

static int read_balance(vigil_atomic *atomic, const char *key, int64_t *ret_balance)
{
    const void *value;
    size_t size;
    int err = vigil_atomic_get(atomic, key, &value, &size);
    if (!err && !value)
        err = VIGIL_NOT_FOUND;
    return err ? err : vigil_unpack_int(value, size, ret_balance);
}

static int put_balance(vigil_atomic *atomic, const char *key, int64_t balance)
{
    uint8_t value[16];
    return vigil_atomic_put(atomic, key, value, vigil_pack_int(value, sizeof value, balance));
}

static int transfer_atomically(vigil_atomic *atomic, void *context)
{
    struct transfer *t = context;
    const struct work_asked *slip = &t->work.steps[1];
    int64_t from = 0, to = 0;
    int err = read_balance(atomic, t->from, &from);
    if (!err)
        err = put_balance(atomic, t->from, from - t->by);
    if (!err)
        err = vigil_atomic_put(atomic, t->slip, slip->value, slip->size);
    if (!err)
        err = read_balance(atomic, t->to, &to);
    if (!err)
        err = put_balance(atomic, t->to, to + t->by);
    t->from_after = from - t->by;
    t->to_after = to + t->by;
    return err;
}

static int atomically(struct actor *a, struct transfer *t)
{
    uint8_t both[32];
    uint64_t seq = 0;
    begin_move(a, t, WAY_ATOMICALLY);
    work_ask(&t->work);
    int err = vigil_atomically(a->v, transfer_atomically, t, NULL, &seq);
    work_told(&t->work, err, seq, err == VIGIL_OK, err == VIGIL_OK);
    if (err == VIGIL_OK) {
        size_t size = vigil_pack_array(both, sizeof both, 2);
        size += vigil_pack_int(both + size, sizeof both - size, t->from_after);
        size += vigil_pack_int(both + size, sizeof both - size, t->to_after);
        work_result(&t->work, true, UINT64_MAX, both, size, NULL);
        work_result_unknown(&t->work);
    }
    work_told_end(&t->work);
    return err;
}

/* ---- all of it ---- */

static bool on_account(void *context, const vigil_entry *entry)
{
    accounts_add(context, entry);
    return true;
}

static int add_up(struct actor *a)
{
    struct accounts all = {0};
    uint64_t seq = 0;
    int err = vigil_list(a->v, ACCOUNT_PREFIX, true, 0, on_account, &all, &seq);
    if (!err)
        accounts_write(a, &all, seq);
    return err;
}

static int step(struct actor *a, struct transfer *t)
{
    static const vigil_function by_source = {.source = transfer_source,
                                             .source_size = sizeof transfer_source - 1};
    static const vigil_function by_half = {.source = half_source,
                                           .source_size = sizeof half_source - 1};
    static const vigil_function by_name = {.name = STORED_NAME};
    draw_transfer(a, t);
    switch (actor_draw(a, 12)) {
    case 0:
    case 1:
        return by_increments(a, t);
    case 2:
    case 3:
    case 4:
        return by_compares(a, t);
    case 5:
    case 6:
        return by_function(a, t, &by_source);
    case 7:
        return by_function(a, t, &by_name);
    case 8:
        return by_function(a, t, &by_half);
    case 9:
        return add_up(a);
    default:
        return atomically(a, t);
    }
}

int actor_teller(struct actor *a)
{
    static struct transfer t;
    bool created = false, succeeded;
    if (!actor_connect(a))
        return 0;
    while (!actor_stopping) {
        int err = VIGIL_OK;
        if (created) {
            err = step(a, &t);
        } else {
            draw_transfer(a, &t);
            err = create_accounts(a, &t, &succeeded);
            if (!err)
                err = store_function(a);
            created = !err;
        }
        if (work_is_wrong(a, err))
            return 1;
        if ((err == VIGIL_DISCONNECTED || err == VIGIL_TIMEOUT) && actor_draw(a, 3) == 0 &&
            !actor_connect(a))
            return 0;
        work_pause(a, PAUSE_MS);
    }
    return 0;
}
