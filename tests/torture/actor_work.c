#define _GNU_SOURCE
/* actor_work.c - see actor_work.h. */
#include "tests/torture/actor_work.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void work_begin(struct work *w, struct actor *a, enum work_way way)
{
    w->a = a;
    w->way = way;
    w->id = a->next_id++;
    w->compare_count = 0;
    w->count = 0;
}

void work_compare(struct work *w, const char *key, uint64_t seq)
{
    snprintf(w->compares[w->compare_count].key, ACTOR_KEY_SIZE, "%s", key);
    w->compares[w->compare_count++].seq = seq;
}

struct work_asked *work_add(struct work *w, enum work_code code, const char *key, int64_t by)
{
    struct work_asked *s = &w->steps[w->count++];
    *s = (struct work_asked){.code = code, .by = by};
    snprintf(s->key, sizeof s->key, "%s", key);
    return s;
}

void work_add_move(struct work *w, const char *from, int64_t by, const char *to)
{
    struct work_asked *s = work_add(w, WORK_MOVE, from, by);
    snprintf(s->other, sizeof s->other, "%s", to);
}

void work_value_text(struct work *w, struct work_asked *step)
{
    char text[64];
    int size = snprintf(text, sizeof text, "%u.%llu.%zu", w->a->number, (unsigned long long)w->id,
                        (size_t)(step - w->steps));
    step->size = vigil_pack_string(step->value, sizeof step->value, text, (size_t)size);
}

void work_value_number(struct work *w, struct work_asked *step)
{
    uint64_t number = w->id * WORK_STEPS_MAX + (uint64_t)(step - w->steps);
    step->size = vigil_pack_uint(step->value, sizeof step->value, number);
}

static const void *value_of(const struct work_asked *s)
{
    return s->size > 0 ? s->value : NULL;
}

void work_ask(struct work *w)
{
    static const char *const ways[WORK_WAYS] = WORK_WAY_NAMES;
    static const char *const codes[WORK_CODES] = WORK_CODE_NAMES;
    struct history *h = &w->a->history;
    history_begin(h, 'O');
    history_u64(h, w->id);
    history_u64(h, history_now_us());
    history_word(h, "do");
    history_word(h, ways[w->way]);
    history_u64(h, w->compare_count);
    for (size_t i = 0; i < w->compare_count; i++) {
        history_word(h, w->compares[i].key);
        history_u64(h, w->compares[i].seq);
    }
    history_u64(h, w->count);
    for (size_t i = 0; i < w->count; i++) {
        const struct work_asked *s = &w->steps[i];
        history_word(h, codes[s->code]);
        history_word(h, s->key);
        history_i64(h, s->by);
        if (s->code == WORK_MOVE)
            history_word(h, s->other);
        else
            history_value(h, value_of(s), s->size);
    }
    history_end(h);
}

void work_told(struct work *w, int error, uint64_t seq, bool succeeded, bool results)
{
    actor_told(w->a, 'A', w->id, error);
    history_u64(&w->a->history, seq);
    history_u64(&w->a->history, succeeded);
    history_u64(&w->a->history, results ? w->count : 0);
}

void work_result(struct work *w, unsigned present, uint64_t seq, const void *value, size_t size,
                 const char *key)
{
    history_u64(&w->a->history, present);
    history_u64(&w->a->history, seq);
    history_value(&w->a->history, value, size);
    history_word(&w->a->history, key ? key : "-");
}

void work_result_unknown(struct work *w)
{
    work_result(w, WORK_NOT_TOLD, UINT64_MAX, NULL, 0, NULL);
}

void work_told_end(struct work *w)
{
    history_end(&w->a->history);
}

/* ---- as a transaction ---- */

static void add_operation(vigil_txn *txn, const struct work_asked *s)
{
    switch (s->code) {
    case WORK_PUT:
        vigil_txn_put(txn, s->key, s->value, s->size);
        break;
    case WORK_DELETE:
        vigil_txn_delete(txn, s->key);
        break;
    case WORK_INCR:
        vigil_txn_incr(txn, s->key, s->by);
        break;
    case WORK_GET:
        vigil_txn_get(txn, s->key);
        break;
    case WORK_APPEND:
        vigil_txn_append(txn, s->key, s->value, s->size);
        break;
    case WORK_ADD:
        vigil_txn_add(txn, s->key, s->value, s->size);
        break;
    case WORK_DEFAULT:
        vigil_txn_set_default(txn, s->key, s->value, s->size);
        break;
    case WORK_POP:
        vigil_txn_pop(txn, s->key);
        break;
    case WORK_POP_ANY:
        vigil_txn_pop_any(txn, s->key);
        break;
    case WORK_CLEAR:
        vigil_txn_clear_prefix(txn, s->key);
        break;
    case WORK_COUNT:
        vigil_txn_count(txn, s->key);
        break;
    case WORK_LIST:
        vigil_txn_list(txn, s->key, (uint32_t)s->by);
        break;
    case WORK_PUSH:
        vigil_txn_push(txn, s->key, s->value, s->size);
        break;
    case WORK_TTL:
        vigil_txn_put_ttl(txn, s->key, s->value, s->size, (uint64_t)s->by);
        break;
    case WORK_LEASE:
        vigil_txn_put_lease(txn, s->key, s->value, s->size, (uint64_t)s->by);
        break;
    case WORK_MOVE: /* none of one operation */
    case WORK_CODES:
        break;
    }
}

static vigil_txn *make_txn(const struct work *w)
{
    vigil_txn *txn = NULL;
    if (vigil_txn_new(&txn) != VIGIL_OK)
        return NULL;
    for (size_t i = 0; i < w->compare_count; i++)
        vigil_txn_if_seq(txn, w->compares[i].key, VIGIL_EQUAL, w->compares[i].seq);
    for (size_t i = 0; i < w->count; i++)
        add_operation(txn, &w->steps[i]);
    return txn;
}

int work_commit(struct work *w, bool *ret_succeeded)
{
    const vigil_txn_result *results = NULL;
    size_t count = 0;
    uint64_t seq = 0;
    bool succeeded = false;
    vigil_txn *txn = make_txn(w);
    if (!txn)
        return VIGIL_NO_MEMORY;
    work_ask(w);
    int err = vigil_txn_commit(w->a->v, txn, &succeeded, &seq, &results, &count);
    bool told = err == VIGIL_OK && succeeded && count == w->count;
    work_told(w, err, seq, succeeded, told);
    for (size_t i = 0; told && i < count; i++) {
        bool pushed = w->steps[i].code == WORK_PUSH; /* its value is the key */
        work_result(w, results[i].present, results[i].seq, pushed ? NULL : results[i].value,
                    results[i].size, results[i].key);
    }
    work_told_end(w);
    vigil_txn_free(txn);
    if (ret_succeeded)
        *ret_succeeded = succeeded;
    return err;
}

/* ---- what actors of work share ---- */

bool work_is_wrong(struct actor *a, int error)
{
    static const int wrong[] = {VIGIL_INTERNAL,  VIGIL_INVALID,        VIGIL_MALFORMED,
                                VIGIL_BAD_KEY,   VIGIL_BAD_VALUE,      VIGIL_UNKNOWN_OP,
                                VIGIL_TOO_LARGE, VIGIL_NOT_AN_INTEGER, VIGIL_OUT_OF_RANGE,
                                VIGIL_CORRUPT};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (error != wrong[i])
            continue;
        fprintf(stderr, "torture_actor: %s: %s\n", vigil_error_name(error),
                vigil_failure_text(a->v));
        return true;
    }
    return false;
}

void work_pause(struct actor *a, unsigned most_ms)
{
    uint64_t us = actor_draw(a, most_ms * 1000) + atomic_load(&a->control->pace_us);
    struct timespec pause = {.tv_nsec = (long)us * 1000};
    nanosleep(&pause, NULL);
}

void accounts_add(struct accounts *all, const vigil_entry *entry)
{
    int64_t balance = 0;
    if (strncmp(entry->key, ACCOUNT_PREFIX, strlen(ACCOUNT_PREFIX)) != 0 ||
        vigil_unpack_int(entry->value, entry->size, &balance) != VIGIL_OK)
        return;
    all->count++;
    all->total += balance;
}

void accounts_write(struct actor *a, const struct accounts *all, uint64_t seq)
{
    history_begin(&a->history, 'Q');
    history_u64(&a->history, history_now_us());
    history_u64(&a->history, seq);
    history_u64(&a->history, all->count);
    history_i64(&a->history, all->total);
    history_end(&a->history);
}
