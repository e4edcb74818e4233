/*
 * mirror.c - a live local copy of what a filter sees: a snapshot at one seq,
 * then every record after it.
 *
 * 1. Between two calls the table is the state at vigil_mirror_seq, exactly.
 */
#include <stdlib.h>

#include "client/arguments.h"
#include "client/clock.h"
#include "client/snapshot.h"
#include "client/watch.h"

enum { APPLY_MAX = 65536 /* records that one update takes beyond the first */ };

struct vigil_mirror {
    struct vigil *v;
    struct filter *filter;
    struct vigil_watch *watch;
    struct row_table table;
    int deferred;      /* an error that the watch told after records were applied */
    bool needs_reload; /* the watch has ended, or the table is not whole */
};

static int copy_filter(struct vigil *v, const struct filter *f, struct filter **ret_copy)
{
    struct filter *copy = malloc(sizeof *copy);
    int err = copy ? filter_init(copy, f->patterns, f->count) : ERR_NO_MEMORY;
    if (err) {
        free(copy);
        return connection_fail(v, err, NULL);
    }
    *ret_copy = copy;
    return ERR_OK;
}

static int load(struct vigil_mirror *m, int timeout_ms)
{
    struct snapshot snapshot = {.epoch = 0};
    int64_t deadline = deadline_after(timeout_ms == 0 ? m->v->request_timeout_ms : timeout_ms);
    int err = snapshot_load(m->v, m->filter, true, timeout_ms, &snapshot);
    if (err)
        return err;
    vigil_watch_options options = {.since = VIGIL_SINCE_POSITION,
                                   .position = {snapshot.epoch, snapshot.seq},
                                   .bookmarks = true};
    if (m->watch) {
        watch_restart(m->watch, &options);
    } else {
        struct filter *filter = NULL;
        err = copy_filter(m->v, m->filter, &filter);
        if (err == ERR_OK)
            err =
                watch_open(m->v, filter, NULL, &options, deadline_timeout_ms(deadline), &m->watch);
    }
    if (err) {
        snapshot_free(&snapshot);
        return err;
    }
    row_table_free(&m->table);
    m->table = snapshot.table;
    m->needs_reload = false;
    return ERR_OK;
}

int vigil_mirror_open(vigil *v, const char *const *patterns, size_t pattern_count, int timeout_ms,
                      vigil_mirror **ret_mirror)
{
    if (!ret_mirror)
        return connection_fail(v, ERR_INVALID, NULL);
    vigil_mirror *m = calloc(1, sizeof *m);
    if (!m)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    m->v = v;
    int err = arguments_filter(v, patterns, pattern_count, &m->filter);
    if (err == ERR_OK)
        err = load(m, timeout_ms);
    if (err) {
        vigil_mirror_close(m);
        return err;
    }
    *ret_mirror = m;
    return ERR_OK;
}

void vigil_mirror_close(vigil_mirror *m)
{
    if (!m)
        return;
    vigil_watch_close(m->watch);
    row_table_free(&m->table);
    free(m->filter);
    free(m);
}

/* ---- updating ---- */

static int apply(struct vigil_mirror *m, const vigil_record *record)
{
    for (uint16_t i = 0; i < record->count; i++) {
        const vigil_change *c = &record->changes[i];
        int err = row_table_apply(&m->table, record->seq, c->op == VIGIL_PUT,
                                  (struct bytes){(const uint8_t *)c->key, c->key_size},
                                  (struct bytes){c->value, c->size});
        if (err) {
            m->needs_reload = true; /* half a record must not be seen as a state */
            return connection_fail(m->v, err, NULL);
        }
    }
    return ERR_OK;
}

/* One event. ERR_OK: *ret_record tells whether it was a record. */
static int take_event(struct vigil_mirror *m, int timeout_ms, bool *ret_record)
{
    const vigil_event *event;
    int err = m->deferred;
    m->deferred = ERR_OK;
    if (err == ERR_OK)
        err = vigil_watch_next(m->watch, timeout_ms, &event);
    if (err)
        return err;
    *ret_record = event->kind == VIGIL_EVENT_RECORD;
    return *ret_record ? apply(m, &event->record) : ERR_OK;
}

/* COMPACTED and EPOCH_CHANGED have their remedy here. */
static int mend(struct vigil_mirror *m, int err, bool *ret_reloaded)
{
    if (err == ERR_COMPACTED || err == ERR_EPOCH_CHANGED || err == ERR_POSITION_AHEAD)
        m->needs_reload = true;
    if (!m->needs_reload)
        return err;
    err = load(m, 0);
    if (err == ERR_OK)
        *ret_reloaded = true;
    return err;
}

static void apply_what_is_there(struct vigil_mirror *m)
{
    for (int i = 0; i < APPLY_MAX; i++) {
        bool is_record;
        int err = take_event(m, 0, &is_record);
        if (err == ERR_TIMEOUT)
            return;
        if (err) {
            m->deferred = err;
            return;
        }
    }
}

int vigil_mirror_update(vigil_mirror *m, int timeout_ms, bool *ret_reloaded)
{
    int64_t deadline = deadline_after(timeout_ms);
    bool reloaded = false;
    bool is_record = false;
    int err = m->needs_reload ? mend(m, ERR_OK, &reloaded) : ERR_OK;
    while (err == ERR_OK && !is_record && !reloaded) {
        err = take_event(m, deadline_timeout_ms(deadline), &is_record);
        err = err ? mend(m, err, &reloaded) : ERR_OK;
    }
    if (err)
        return err;
    if (is_record)
        apply_what_is_there(m);
    if (ret_reloaded)
        *ret_reloaded = reloaded;
    return ERR_OK;
}

int vigil_mirror_wait_seq(vigil_mirror *m, uint64_t seq, int timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);
    bool reloaded;
    int err = m->needs_reload ? mend(m, ERR_OK, &reloaded) : ERR_OK;
    while (err == ERR_OK && vigil_mirror_seq(m) < seq) {
        bool is_record;
        err = take_event(m, deadline_timeout_ms(deadline), &is_record);
        err = err ? mend(m, err, &reloaded) : ERR_OK;
    }
    return err;
}

/* ---- reading ---- */

uint64_t vigil_mirror_seq(const vigil_mirror *m)
{
    vigil_position position;
    vigil_watch_position(m->watch, &position);
    return position.seq;
}

static vigil_entry entry_of(const struct vigil_mirror *m, const struct table_row *row)
{
    return (vigil_entry){
        .key = row->key,
        .value = table_row_value(row),
        .size = row->value_size,
        .present = true,
        .modified = row->modified,
        .created = row->created,
        .version = row->version,
        .seq = vigil_mirror_seq(m),
    };
}

int vigil_mirror_get(const vigil_mirror *m, const char *key, vigil_entry *ret_entry)
{
    struct bytes bytes;
    int err = arguments_key(NULL, key, &bytes);
    if (err)
        return err;
    const struct table_row *row = row_table_find(&m->table, bytes);
    if (!row)
        return ERR_NOT_FOUND;
    *ret_entry = entry_of(m, row);
    return ERR_OK;
}

size_t vigil_mirror_count(const vigil_mirror *m)
{
    return m->table.count;
}

void vigil_mirror_each(const vigil_mirror *m, bool (*each)(void *context, const vigil_entry *entry),
                       void *context)
{
    for (size_t i = 0; i < m->table.capacity; i++) {
        if (!m->table.slots[i])
            continue;
        vigil_entry entry = entry_of(m, m->table.slots[i]);
        if (!each(context, &entry))
            return;
    }
}

int vigil_mirror_fd(vigil_mirror *m)
{
    return vigil_watch_fd(m->watch);
}
