/* session_rows.c - the sessions' rows: with a batch, and at start. */
#include "server/core/core_state.h"

enum { ROW_BYTES_AT_ONCE = 1 << 20, ROW_HEADER_BYTES = 64, OUTCOME_BYTES = 24 };

struct row_writer {
    struct core *core;
    int (*put)(void *context, uint64_t session, struct bytes row);
    void *context;
    size_t bytes;
};

static int write_row(struct row_writer *w, struct session *s)
{
    struct wire_buffer *row = &w->core->session_row;
    wire_buffer_clear(row);
    if (!s->is_gone && !s->is_closing)
        session_row_encode(s, row);
    if (row->failed)
        return ERR_NO_MEMORY;
    int err = w->put(w->context, s->id, (struct bytes){row->data, row->size});
    if (!err)
        session_written(&w->core->sessions, s);
    w->bytes += row->size;
    return err;
}

int core_session_rows(struct core *core, uint32_t others_max,
                      int (*put)(void *context, uint64_t session, struct bytes row), void *context)
{
    struct session_table *t = &core->sessions;
    struct row_writer w = {.core = core, .put = put, .context = context};
    int err = ERR_OK;
    session_take_back(t);
    for (struct session *s = t->touched; s && !err; s = s->next_touched) {
        if (s->is_new || s->is_closing)
            err = write_row(&w, s);
    }
    for (uint32_t i = 0; i < others_max && !err && w.bytes < ROW_BYTES_AT_ONCE; i++) {
        struct session *s = t->lists[SESSION_UNWRITTEN].first;
        if (!s)
            break;
        err = write_row(&w, s);
    }
    return err;
}

size_t core_sessions_unwritten(const struct core *core)
{
    size_t count = 0;
    const struct session_table *t = &core->sessions;
    for (const struct session *s = t->lists[SESSION_UNWRITTEN].first; s; s = s->writing.after)
        count++;
    return count;
}

size_t core_sessions_gone(const struct core *core)
{
    return core->sessions.gone;
}

uint64_t core_session_row_bytes(const struct core *core, uint32_t others_max)
{
    const struct session_table *t = &core->sessions;
    uint64_t bytes = t->touched_rows * ROW_HEADER_BYTES;
    const struct session *s = t->lists[SESSION_UNWRITTEN].first;
    for (uint32_t i = 0; i < others_max && s && bytes < ROW_BYTES_AT_ONCE;
         i++, s = s->writing.after)
        bytes += ROW_HEADER_BYTES + s->outcomes.bytes + s->outcomes.count * OUTCOME_BYTES;
    return bytes;
}

int core_restore_session(struct core *core, uint64_t session, struct bytes row)
{
    struct session_table *t = &core->sessions;
    struct session *s;
    if (session == 0 || session_find(t, session))
        return ERR_CORRUPT;
    if (session_add(t, session, core->now_ms, &s))
        return ERR_NO_MEMORY;
    int err = session_row_decode(t, s, row);
    if (err)
        session_forget(t, s);
    return err;
}
