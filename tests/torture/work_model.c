#define _GNU_SOURCE
/* work_model.c - see work_model.h. */
#include "tests/torture/work_model.h"

#include <vigil.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/value.h"
#include "tests/torture/history.h"

enum { VALUE_MAX = 2 * VALUE_SHOWN_MAX };

/* ---- the state ---- */

static const struct evidence *sorted; /* qsort has no context: one check at a time */

static int compare_keys(const void *left, const void *right)
{
    return strcmp(sorted->keys.items[*(const uint32_t *)left],
                  sorted->keys.items[*(const uint32_t *)right]);
}

void world_open(struct world *w, const struct evidence *e)
{
    w->e = e;
    w->cells = calloc(e->keys.count + 1, sizeof *w->cells);
    w->order = calloc(e->keys.count + 1, sizeof *w->order);
    if (!w->cells || !w->order)
        abort();
    for (uint32_t i = 0; i < e->keys.count; i++)
        w->order[i] = i;
    sorted = e;
    qsort(w->order, e->keys.count, sizeof *w->order, compare_keys);
}

void world_close(struct world *w)
{
    free(w->cells);
    free(w->order);
}

static const uint8_t *bytes_of(const struct evidence *e, const struct shown *s)
{
    return s->size > 0 ? e->bytes.items + s->at : NULL;
}

void world_apply(struct world *w, const struct seen_record *r)
{
    for (uint16_t i = 0; i < r->count; i++) {
        const struct seen_change *change = &w->e->changes.items[r->first + i];
        w->cells[change->key] = (struct cell){.present = change->op == VIGIL_PUT,
                                              .modified = r->seq,
                                              .mark = change->mark,
                                              .bytes = bytes_of(w->e, &change->shown),
                                              .size = change->shown.size};
    }
}

/* The place in order of the first key that is not before the prefix. */
static size_t first_place(const struct world *w, const char *prefix)
{
    size_t low = 0, high = w->e->keys.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(w->e->keys.items[w->order[middle]], prefix) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- the copy ---- */

void model_begin(struct model *m, const struct world *w, uint64_t seq, bool makes_record)
{
    m->world = w;
    m->seq = seq;
    m->own_seq = makes_record ? seq : 0;
    m->count = 0;
    m->made_size = 0;
}

static struct model_change *changed(struct model *m, uint32_t key)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->changes[i].key == key)
            return &m->changes[i];
    }
    return NULL;
}

static struct cell cell_of(struct model *m, uint32_t key)
{
    const struct model_change *c = changed(m, key);
    return c ? c->now : m->world->cells[key];
}

static void store(struct model *m, uint32_t key, struct cell now)
{
    struct model_change *c = changed(m, key);
    if (!c) {
        if (m->count == MODEL_CHANGES_MAX)
            abort();
        c = &m->changes[m->count++];
        *c = (struct model_change){.key = key, .was_present = m->world->cells[key].present};
    }
    /* One that was absent and is so again has not changed. */
    now.modified = now.present || c->was_present ? m->own_seq : m->world->cells[key].modified;
    c->now = now;
}

size_t model_net(const struct model *m)
{
    size_t net = 0;
    for (size_t i = 0; i < m->count; i++)
        net += m->changes[i].was_present || m->changes[i].now.present;
    return net;
}

/* ---- values ---- */

static struct cell made(struct model *m, const void *bytes, size_t size)
{
    if (m->made_size + size > sizeof m->made)
        abort();
    uint8_t *copy = m->made + m->made_size;
    memcpy(copy, bytes, size);
    m->made_size += size;
    return (struct cell){
        .present = true, .mark = value_mark(copy, size), .bytes = copy, .size = size};
}

static uint64_t number_mark(uint64_t number)
{
    uint8_t bytes[16];
    return value_mark(bytes, vigil_pack_uint(bytes, sizeof bytes, number));
}

static bool is_member(struct wire_reader elements, uint32_t count, const uint8_t *bytes,
                      size_t size)
{
    struct bytes element;
    for (uint32_t i = 0; i < count && value_next(&elements, &element); i++) {
        if (element.size == size && memcmp(element.data, bytes, size) == 0)
            return true;
    }
    return false;
}

/* ---- steps on a key ---- */

/* What a change tells: where the key had changed before the whole. */
static void tell_before(const struct model *m, uint32_t key, const struct cell *before,
                        struct model_result *result)
{
    result->present = before->present;
    result->seq = m->world->cells[key].modified;
    result->is_deletion = !m->world->cells[key].present;
}

static void tell_present(const struct cell *cell, struct model_result *result)
{
    result->present = cell->present;
    result->seq = cell->modified;
    result->is_deletion = !cell->present;
    result->mark = cell->present ? cell->mark : 0;
}

static enum model_verdict put(struct model *m, const struct work_step *s, struct model_result *r)
{
    struct cell before = cell_of(m, s->key);
    tell_before(m, s->key, &before, r);
    store(m, s->key,
          (struct cell){.present = true,
                        .mark = s->mark,
                        .bytes = bytes_of(m->world->e, &s->shown),
                        .size = s->shown.size});
    return MODEL_DONE;
}

static enum model_verdict delete_key(struct model *m, uint32_t key, struct model_result *r)
{
    struct cell before = cell_of(m, key);
    tell_before(m, key, &before, r);
    if (before.present)
        store(m, key, (struct cell){0});
    return MODEL_DONE;
}

/* What an integer at key becomes. */
static enum model_verdict add_to(struct model *m, uint32_t key, int64_t by, struct cell *ret_before)
{
    struct cell before = cell_of(m, key);
    uint8_t bytes[16];
    int64_t number = 0;
    if (before.present && !before.bytes)
        return MODEL_UNKNOWN;
    if (before.present && vigil_unpack_int(before.bytes, before.size, &number) != VIGIL_OK)
        return MODEL_IMPOSSIBLE;
    store(m, key, made(m, bytes, vigil_pack_int(bytes, sizeof bytes, number + by)));
    *ret_before = before;
    return MODEL_DONE;
}

static enum model_verdict incr(struct model *m, const struct work_step *s, struct model_result *r)
{
    struct cell before;
    enum model_verdict v = add_to(m, s->key, s->by, &before);
    if (v != MODEL_DONE)
        return v;
    tell_before(m, s->key, &before, r);
    r->mark = cell_of(m, s->key).mark;
    return MODEL_DONE;
}

static enum model_verdict move(struct model *m, const struct work_step *s, struct model_result *r)
{
    struct cell before;
    uint8_t bytes[64];
    enum model_verdict v = add_to(m, s->key, -s->by, &before);
    if (v == MODEL_DONE)
        v = add_to(m, s->other, s->by, &before);
    if (v != MODEL_DONE)
        return v;
    struct cell from = cell_of(m, s->key);
    struct cell to = cell_of(m, s->other);
    size_t size = vigil_pack_array(bytes, sizeof bytes, 2);
    memcpy(bytes + size, from.bytes, from.size);
    memcpy(bytes + size + from.size, to.bytes, to.size);
    r->present = true;
    r->mark = value_mark(bytes, size + from.size + to.size);
    return MODEL_DONE;
}

static enum model_verdict append(struct model *m, const struct work_step *s, struct model_result *r)
{
    struct cell before = cell_of(m, s->key);
    const uint8_t *element = bytes_of(m->world->e, &s->shown);
    uint8_t bytes[VALUE_MAX + 16];
    uint32_t count = 0;
    struct wire_reader elements = wire_reader_of(before.bytes, before.size);
    if ((before.present && !before.bytes) || !element)
        return MODEL_UNKNOWN;
    if (before.present && !value_next_array(&elements, &count))
        return MODEL_IMPOSSIBLE;
    if (s->code == WORK_ADD && is_member(elements, count, element, s->shown.size)) {
        tell_present(&before, r);
        r->mark = number_mark(count);
        return MODEL_DONE;
    }
    size_t size = vigil_pack_array(bytes, sizeof bytes, count + 1);
    size_t old = before.present ? wire_left(&elements) : 0;
    if (size + old + s->shown.size > sizeof bytes)
        return MODEL_UNKNOWN;
    if (old > 0)
        memcpy(bytes + size, elements.at, old);
    memcpy(bytes + size + old, element, s->shown.size);
    store(m, s->key, made(m, bytes, size + old + s->shown.size));
    tell_before(m, s->key, &before, r);
    if (s->code == WORK_ADD)
        r->present = false;
    r->mark = number_mark(count + 1);
    return MODEL_DONE;
}

static enum model_verdict set_default(struct model *m, const struct work_step *s,
                                      struct model_result *r)
{
    struct cell before = cell_of(m, s->key);
    if (before.present) {
        tell_present(&before, r);
        return MODEL_DONE;
    }
    r->mark = s->mark;
    return put(m, s, r);
}

/* ---- steps on a prefix ---- */

/* One row of a list, behind those before. */
static bool list_row(const struct model *m, uint32_t key, const struct cell *cell, uint8_t *bytes,
                     size_t *size)
{
    enum { ROW_MAX = 1024 };
    const char *name = m->world->e->keys.items[key];
    if (!cell->bytes || *size + ROW_MAX > MODEL_MADE_MAX || cell->size + 512 > ROW_MAX)
        return false;
    *size += vigil_pack_array(bytes + *size, ROW_MAX, 3);
    *size += vigil_pack_string(bytes + *size, ROW_MAX, name, strlen(name));
    *size += vigil_pack_uint(bytes + *size, 16, cell->modified);
    memcpy(bytes + *size, cell->bytes, cell->size);
    *size += cell->size;
    return true;
}

static uint64_t list_mark(const uint8_t *rows, size_t size, uint32_t count)
{
    uint8_t *whole = malloc(size + 8);
    if (!whole)
        abort();
    size_t head = vigil_pack_array(whole, 8, count);
    memcpy(whole + head, rows, size);
    uint64_t mark = value_mark(whole, head + size);
    free(whole);
    return mark;
}

static enum model_verdict on_prefix(struct model *m, const struct work_step *s,
                                    struct model_result *r)
{
    static uint8_t rows[MODEL_MADE_MAX];
    const struct world *w = m->world;
    const char *prefix = w->e->keys.items[s->key];
    size_t length = strlen(prefix), size = 0;
    uint32_t count = 0;
    for (size_t i = first_place(w, prefix); i < w->e->keys.count; i++) {
        uint32_t key = w->order[i];
        if (strncmp(w->e->keys.items[key], prefix, length) != 0)
            break;
        struct cell cell = cell_of(m, key);
        if (!cell.present)
            continue;
        count++;
        if (s->code == WORK_POP_ANY) {
            r->mark = cell.mark;
            r->key = key;
            return delete_key(m, key, r);
        }
        if (s->code == WORK_CLEAR)
            store(m, key, (struct cell){0});
        if (s->code == WORK_LIST && !list_row(m, key, &cell, rows, &size))
            return MODEL_UNKNOWN;
        if (s->code == WORK_LIST && (int64_t)count == s->by)
            break;
    }
    r->present = count > 0;
    if (s->code == WORK_LIST)
        r->mark = list_mark(rows, size, count);
    else if (s->code != WORK_POP_ANY)
        r->mark = number_mark(count);
    return MODEL_DONE;
}

static enum model_verdict push(struct model *m, const struct work_step *s, size_t number,
                               struct model_result *r)
{
    const struct evidence *e = m->world->e;
    char name[512];
    struct work_step into = *s;
    snprintf(name, sizeof name, "%s%016" PRIx64 "-%04zx", e->keys.items[s->key], m->seq, number);
    if (!evidence_find_key(e, name, &into.key))
        return MODEL_IMPOSSIBLE;
    r->key = into.key;
    return put(m, &into, r);
}

enum model_verdict model_step(struct model *m, const struct work_step *s, size_t number,
                              struct model_result *ret_result)
{
    struct cell cell = cell_of(m, s->key);
    *ret_result = (struct model_result){.key = NO_KEY};
    switch (s->code) {
    case WORK_PUT:
    case WORK_TTL:
    case WORK_LEASE:
        return put(m, s, ret_result);
    case WORK_POP:
        ret_result->mark = cell.present ? cell.mark : 0;
        return delete_key(m, s->key, ret_result);
    case WORK_DELETE:
        return delete_key(m, s->key, ret_result);
    case WORK_INCR:
        return incr(m, s, ret_result);
    case WORK_GET:
        tell_present(&cell, ret_result);
        return MODEL_DONE;
    case WORK_APPEND:
    case WORK_ADD:
        return append(m, s, ret_result);
    case WORK_DEFAULT:
        return set_default(m, s, ret_result);
    case WORK_POP_ANY:
    case WORK_CLEAR:
    case WORK_COUNT:
    case WORK_LIST:
        return on_prefix(m, s, ret_result);
    case WORK_PUSH:
        return push(m, s, number, ret_result);
    case WORK_MOVE:
        return move(m, s, ret_result);
    case WORK_CODES:
        break;
    }
    return MODEL_IMPOSSIBLE;
}
