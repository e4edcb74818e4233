/* session.c - the table of sessions, their lists, and what a batch does to them. */
#include "server/core/session.h"

#include "protocol/errors.h"
#include "protocol/limits.h"

#include <assert.h>
#include <stdlib.h>

/* ---- lists ---- */

static struct session_links *links_of(struct session *s, enum session_list list)
{
    return list == SESSION_BY_USE ? &s->use : &s->writing;
}

static void list_remove(struct session_table *t, enum session_list list, struct session *s)
{
    struct session_ends *ends = &t->lists[list];
    struct session_links *l = links_of(s, list);
    if (l->before)
        links_of(l->before, list)->after = l->after;
    else
        ends->first = l->after;
    if (l->after)
        links_of(l->after, list)->before = l->before;
    else
        ends->last = l->before;
    *l = (struct session_links){NULL, NULL};
}

static void list_append(struct session_table *t, enum session_list list, struct session *s)
{
    struct session_ends *ends = &t->lists[list];
    *links_of(s, list) = (struct session_links){.before = ends->last};
    if (ends->last)
        links_of(ends->last, list)->after = s;
    else
        ends->first = s;
    ends->last = s;
}

static void list_prepend(struct session_table *t, enum session_list list, struct session *s)
{
    struct session_ends *ends = &t->lists[list];
    *links_of(s, list) = (struct session_links){.after = ends->first};
    if (ends->first)
        links_of(ends->first, list)->before = s;
    else
        ends->last = s;
    ends->first = s;
}

static void set_unwritten(struct session_table *t, struct session *s)
{
    if (s->written_in == SESSION_UNWRITTEN)
        return;
    if (s->written_in == SESSION_WRITTEN) { /* what was written is not the last word any more */
        list_remove(t, SESSION_WRITTEN, s);
        t->due_written -= s->is_due;
    }
    s->written_in = SESSION_UNWRITTEN;
    list_append(t, SESSION_UNWRITTEN, s);
}

/* ---- the table ---- */

/* Ids in the table were drawn by the server: nobody can choose those that collide, so mixing is enough. */
static uint64_t hash_of(const struct session_table *t, uint64_t id)
{
    uint64_t h = (id ^ t->seed.k0) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

static bool session_is(const void *item, const void *key)
{
    return ((const struct session *)item)->id == *(const uint64_t *)key;
}

size_t session_table_count(const struct session_table *t)
{
    return t->table.count;
}

struct session *session_find(const struct session_table *t, uint64_t id)
{
    struct session *s = table_find(&t->table, hash_of(t, id), session_is, &id);
    return s && !s->is_closing ? s : NULL;
}

int session_add(struct session_table *t, uint64_t id, uint64_t now_ms, struct session **ret)
{
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NO_MEMORY;
    s->id = id;
    s->hash = hash_of(t, id);
    s->used_ms = now_ms;
    if (table_add(&t->table, s->hash, s)) {
        free(s);
        return ERR_NO_MEMORY;
    }
    list_append(t, SESSION_BY_USE, s);
    *ret = s;
    return ERR_OK;
}

void session_use(struct session_table *t, struct session *s, uint64_t now_ms)
{
    s->used_ms = now_ms;
    if (t->lists[SESSION_BY_USE].last == s)
        return;
    list_remove(t, SESSION_BY_USE, s);
    list_append(t, SESSION_BY_USE, s);
}

static void drop_outcomes(struct session_table *t, struct session *s, uint64_t first, uint64_t last)
{
    uint32_t count = s->outcomes.count;
    uint64_t bytes = s->outcomes.bytes;
    outcomes_drop(&s->outcomes, first, last);
    t->outcomes -= count - s->outcomes.count;
    t->bytes -= bytes - s->outcomes.bytes;
}

static void free_outcomes(struct session_table *t, struct session *s)
{
    t->outcomes -= s->outcomes.count;
    t->bytes -= s->outcomes.bytes;
    outcomes_free(&s->outcomes);
}

/* Nobody finds it any more. */
static void leave_table(struct session_table *t, struct session *s)
{
    table_remove(&t->table, s->hash, s);
    list_remove(t, SESSION_BY_USE, s);
    free_outcomes(t, s);
}

static void make_gone(struct session_table *t, struct session *s)
{
    bool is_deleted = s->is_closing && s->written_in == SESSION_WRITTEN;
    leave_table(t, s);
    s->is_gone = true;
    t->gone++;
    if (!is_deleted)
        set_unwritten(t, s);
}

static void end(struct session_table *t, struct session *s)
{
    if (s->written_in != SESSION_BY_USE)
        list_remove(t, s->written_in, s);
    t->gone -= s->is_gone;
    t->due -= s->is_due;
    free(s);
}

void session_forget(struct session_table *t, struct session *s)
{
    leave_table(t, s);
    end(t, s);
}

void session_expire(struct session_table *t, uint64_t now_ms, uint64_t idle_ms, size_t most)
{
    if (!t->clock_known) {
        for (struct session *s = t->lists[SESSION_BY_USE].first; s; s = s->use.after)
            s->used_ms = now_ms;
        t->clock_known = true;
    }
    struct session *s;
    for (; most > 0 && (s = t->lists[SESSION_BY_USE].first) != NULL; most--) {
        if (now_ms - s->used_ms <= idle_ms)
            return;
        make_gone(t, s);
    }
}

/* Those that are in no other list. */
static void free_gone(const struct session_table *t, enum session_list list)
{
    for (struct session *s = t->lists[list].first; s;) {
        struct session *after = s->writing.after;
        if (s->is_gone)
            free(s);
        s = after;
    }
}

void session_table_free(struct session_table *t)
{
    free_gone(t, SESSION_UNWRITTEN);
    free_gone(t, SESSION_WRITTEN);
    for (struct session *s = t->lists[SESSION_BY_USE].first; s;) {
        struct session *after = s->use.after;
        outcomes_free(&s->outcomes);
        free(s);
        s = after;
    }
    table_free(&t->table);
}

/* ---- numbers ---- */

void session_acknowledge(struct session_table *t, struct session *s, uint64_t number)
{
    if (number <= s->acknowledged)
        return;
    drop_outcomes(t, s, s->acknowledged + 1, number);
    s->acknowledged = number;
    if (s->last < number)
        s->last = number;
    outcomes_shrink(&s->outcomes, s->last - number);
    if (s->stopped_at <= number)
        s->stopped_at = 0;
    set_unwritten(t, s);
}

void session_touch(struct session_table *t, struct session *s, uint64_t batch)
{
    if (s->batch == batch)
        return;
    s->batch = batch;
    s->last_before = s->last;
    s->stopped_before = s->stopped_at;
    s->next_touched = t->touched;
    t->touched = s;
    set_unwritten(t, s);
}

int session_take(struct session_table *t, struct session *s, const struct outcome *kept,
                 struct bytes body)
{
    assert(kept->number > s->last);
    assert(kept->number - s->acknowledged <= LIMIT_SESSION_WINDOW);
    if (outcomes_reserve(&s->outcomes, kept->number - s->acknowledged) ||
        outcomes_add(&s->outcomes, kept, body))
        return ERR_NO_MEMORY;
    s->last = kept->number;
    t->outcomes++;
    t->bytes += body.size;
    return ERR_OK;
}

int session_restore(struct session_table *t, struct session *s, const struct outcome *kept,
                    struct bytes body)
{
    if (kept->number <= s->last)
        return ERR_OK; /* the session's row is of a later batch */
    /* The number was taken: so what is a window before it had been acknowledged. */
    if (kept->number - s->acknowledged > LIMIT_SESSION_WINDOW)
        session_acknowledge(t, s, kept->number - LIMIT_SESSION_WINDOW);
    set_unwritten(t, s);
    if (t->outcomes < LIMIT_SESSION_OUTCOMES && t->bytes + body.size <= LIMIT_SESSIONS_BYTES &&
        s->outcomes.bytes + body.size <= LIMIT_SESSION_BYTES)
        return session_take(t, s, kept, body);
    /* Acknowledgements that were not written any more had made room for it. Which ones, nobody
     * knows: all outcomes up to this one are unknown now. */
    session_acknowledge(t, s, kept->number);
    return ERR_OK;
}

/* ---- a batch ---- */

void session_open_in_batch(struct session_table *t, struct session *s)
{
    s->is_new = true;
    t->touched_rows++;
}

void session_close_in_batch(struct session_table *t, struct session *s)
{
    t->touched_rows += !s->is_new;
    s->is_closing = true;
}

static struct session *next_touched(struct session_table *t)
{
    struct session *s = t->touched;
    if (s)
        t->touched = s->next_touched;
    return s;
}

void session_batch_commit(struct session_table *t)
{
    struct session *s;
    while ((s = next_touched(t)) != NULL) {
        s->is_new = false;
        if (s->is_closing)
            make_gone(t, s);
    }
    t->touched_rows = 0;
}

void session_batch_abort(struct session_table *t)
{
    struct session *s;
    session_take_back(t);
    while ((s = next_touched(t)) != NULL) {
        if (s->is_new) {
            session_forget(t, s);
            continue;
        }
        s->is_closing = false;
        drop_outcomes(t, s, s->last_before + 1, s->last);
        s->last = s->last_before > s->acknowledged ? s->last_before : s->acknowledged;
        s->stopped_at = s->stopped_before > s->acknowledged ? s->stopped_before : 0;
    }
    t->touched_rows = 0;
}

/* ---- rows ---- */

void session_written(struct session_table *t, struct session *s)
{
    assert(s->written_in == SESSION_UNWRITTEN);
    list_remove(t, SESSION_UNWRITTEN, s);
    s->written_in = SESSION_WRITTEN;
    list_append(t, SESSION_WRITTEN, s);
    t->due_written += s->is_due;
}

void session_confirm(struct session_table *t)
{
    struct session *s;
    while ((s = t->lists[SESSION_WRITTEN].first) != NULL) {
        /* The analyzer does not see that whoever is freed below has left the list here. */
        list_remove(t, SESSION_WRITTEN, s); // NOLINT(clang-analyzer-unix.Malloc)
        s->written_in = SESSION_BY_USE;
        if (s->is_gone) {
            end(t, s);
            continue;
        }
        t->due -= s->is_due;
        s->is_due = false;
    }
    t->due_written = 0;
}

void session_take_back(struct session_table *t)
{
    struct session *s;
    while ((s = t->lists[SESSION_WRITTEN].last) != NULL) {
        list_remove(t, SESSION_WRITTEN, s);
        s->written_in = SESSION_UNWRITTEN;
        list_prepend(t, SESSION_UNWRITTEN, s);
    }
    t->due_written = 0;
}

void session_mark_due(struct session_table *t)
{
    for (struct session *s = t->lists[SESSION_UNWRITTEN].first; s; s = s->writing.after) {
        t->due += !s->is_due;
        s->is_due = true;
    }
}
