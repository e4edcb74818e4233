#define _GNU_SOURCE
/*
 * actor_dict.c - the dict's other methods: queues, arrays, defaults; as single requests, and mixed in
 * transactions. Arrays are kept so short that the history shows them as a whole.
 */
#include "tests/torture/actor_work.h"

#include <stdio.h>

enum { ARRAYS = 3, DEFAULTS = 3, LONG_ARRAY = 8, TXN_STEPS_MAX = 6, LISTED = 5, PAUSE_MS = 12 };

static const char *draw_queue(struct actor *a)
{
    return actor_draw(a, 2) == 0 ? "q/0/" : "q/1/";
}

/* A step on a queue, an array or a default. */
static struct work_asked *draw_step(struct actor *a, struct work *w)
{
    static const struct {
        enum work_code code;
        char of; /* queues end with '/' */
        size_t keys;
    } kinds[] = {
        {WORK_PUSH, 'q', 2},        {WORK_PUSH, 'q', 2},         {WORK_POP_ANY, 'q', 2},
        {WORK_POP_ANY, 'q', 2},     {WORK_COUNT, 'q', 2},        {WORK_LIST, 'q', 2},
        {WORK_APPEND, 'l', ARRAYS}, {WORK_APPEND, 'l', ARRAYS},  {WORK_ADD, 'l', ARRAYS},
        {WORK_POP, 'l', ARRAYS},    {WORK_GET, 'l', ARRAYS},     {WORK_DEFAULT, 'd', DEFAULTS},
        {WORK_POP, 'd', DEFAULTS},  {WORK_DELETE, 'd', DEFAULTS}};
    size_t kind = actor_draw(a, sizeof kinds / sizeof *kinds);
    char key[ACTOR_KEY_SIZE];
    snprintf(key, sizeof key, "%c/%zu%s", kinds[kind].of, actor_draw(a, kinds[kind].keys),
             kinds[kind].of == 'q' ? "/" : "");
    struct work_asked *s = work_add(w, kinds[kind].code, key, 0);
    if (s->code == WORK_LIST)
        s->by = LISTED;
    if (s->code == WORK_PUSH || s->code == WORK_APPEND || s->code == WORK_ADD)
        work_value_number(w, s);
    if (s->code == WORK_DEFAULT)
        work_value_text(w, s);
    if (s->code == WORK_ADD && actor_draw(a, 2) == 0)
        s->size = vigil_pack_uint(s->value, sizeof s->value, UINT64_MAX - actor_draw(a, 3));
    return s;
}

static int mixed(struct actor *a, struct work *w)
{
    size_t count = 1 + actor_draw(a, TXN_STEPS_MAX);
    work_begin(w, a, WAY_TXN);
    for (size_t i = 0; i < count; i++)
        (void)draw_step(a, w);
    return work_commit(w, NULL);
}

static int clear(struct actor *a, struct work *w)
{
    work_begin(w, a, WAY_TXN);
    work_add(w, WORK_CLEAR, draw_queue(a), 0);
    return work_commit(w, NULL);
}

/* ---- single requests, by functions of their own ---- */

static void told_number(struct work *w, int err, uint64_t seq, unsigned present, uint64_t number)
{
    uint8_t value[16];
    size_t size = vigil_pack_uint(value, sizeof value, number);
    work_told(w, err, seq, !err, !err);
    if (!err)
        work_result(w, present, UINT64_MAX, value, size, NULL);
    work_told_end(w);
}

static void told_entry(struct work *w, int err, uint64_t seq, unsigned present,
                       const vigil_entry *entry, bool named)
{
    work_told(w, err, seq, !err, !err);
    if (!err)
        work_result(w, present, entry->modified, entry->value, entry->size,
                    named ? entry->key : NULL);
    work_told_end(w);
}

static int push(struct actor *a, struct work *w)
{
    const char *key = NULL;
    uint64_t seq = 0;
    struct work_asked *s = work_add(w, WORK_PUSH, draw_queue(a), 0);
    work_value_number(w, s);
    work_ask(w);
    int err = vigil_push(a->v, s->key, s->value, s->size, &key, &seq);
    work_told(w, err, seq, !err, !err);
    if (!err)
        work_result(w, WORK_NOT_TOLD, UINT64_MAX, NULL, 0, key);
    work_told_end(w);
    return err;
}

static int pop_any(struct actor *a, struct work *w)
{
    vigil_entry entry;
    uint64_t seq = 0;
    const struct work_asked *s = work_add(w, WORK_POP_ANY, draw_queue(a), 0);
    work_ask(w);
    int err = vigil_pop_any(a->v, s->key, &entry, &seq);
    told_entry(w, err, seq, true, &entry, true);
    return err;
}

static int pop(struct actor *a, struct work *w, const char *key)
{
    vigil_entry entry;
    uint64_t seq = 0;
    work_add(w, WORK_POP, key, 0);
    work_ask(w);
    int err = vigil_pop(a->v, key, &entry, &seq);
    told_entry(w, err, seq, true, &entry, false);
    return err;
}

static int append(struct actor *a, struct work *w, const char *key, uint64_t *ret_length)
{
    uint64_t seq = 0, length = 0;
    bool adds = actor_draw(a, 2) == 0, added = true;
    struct work_asked *s = work_add(w, adds ? WORK_ADD : WORK_APPEND, key, 0);
    work_value_number(w, s);
    if (adds && actor_draw(a, 2) == 0)
        s->size = vigil_pack_uint(s->value, sizeof s->value, UINT64_MAX - actor_draw(a, 3));
    work_ask(w);
    int err = adds ? vigil_add(a->v, key, s->value, s->size, &added, &length, &seq)
                   : vigil_append(a->v, key, s->value, s->size, &length, &seq);
    told_number(w, err, seq, adds ? !added : WORK_NOT_TOLD, length);
    *ret_length = length;
    return err;
}

static int set_default(struct actor *a, struct work *w)
{
    char key[ACTOR_KEY_SIZE];
    vigil_entry entry = {0};
    bool put = false;
    snprintf(key, sizeof key, "d/%zu", actor_draw(a, DEFAULTS));
    struct work_asked *s = work_add(w, WORK_DEFAULT, key, 0);
    work_value_text(w, s);
    work_ask(w);
    int err = vigil_set_default(a->v, key, s->value, s->size, &put, &entry);
    told_entry(w, err, entry.seq, !put, &entry, false);
    return err;
}

static int count(struct actor *a, struct work *w)
{
    uint64_t number = 0, seq = 0;
    const struct work_asked *s = work_add(w, WORK_COUNT, draw_queue(a), 0);
    work_ask(w);
    int err = vigil_count(a->v, s->key, 0, &number, &seq);
    told_number(w, err, seq, number > 0, number);
    return err;
}

static int single(struct actor *a, struct work *w)
{
    char key[ACTOR_KEY_SIZE];
    uint64_t length = 0;
    work_begin(w, a, WAY_DICT);
    snprintf(key, sizeof key, "l/%zu", actor_draw(a, ARRAYS));
    switch (actor_draw(a, 10)) {
    case 0:
    case 1:
    case 2:
        return push(a, w);
    case 3:
    case 4:
    case 5:
        return pop_any(a, w);
    case 6:
        return set_default(a, w);
    case 7:
        return count(a, w);
    case 8:
        return pop(a, w, key);
    default:
        break;
    }
    int err = append(a, w, key, &length);
    if (err || length < LONG_ARRAY)
        return err;
    work_begin(w, a, WAY_DICT);
    return pop(a, w, key);
}

int actor_dict(struct actor *a)
{
    static struct work w;
    if (!actor_connect(a))
        return 0;
    while (!actor_stopping) {
        size_t choice = actor_draw(a, 100);
        int err = choice < 60 ? single(a, &w) : choice < 99 ? mixed(a, &w) : clear(a, &w);
        if (work_is_wrong(a, err))
            return 1;
        if ((err == VIGIL_DISCONNECTED || err == VIGIL_TIMEOUT) && actor_draw(a, 3) == 0 &&
            !actor_connect(a))
            return 0;
        work_pause(a, PAUSE_MS);
    }
    return 0;
}
