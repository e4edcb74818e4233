/*
 * cursor_rows.c - the named cursors' rows: with a batch, and at start. The key is
 * the name. Layout, little-endian:
 *
 *    0 u64 epoch  8 u64 position  16 u64 holder  24 u64 created_us  32 u64 moved_us
 *   40 the filter, canonical, to the end
 */
#include "server/core/core_state.h"

#include "protocol/key.h"

static void encode(const struct cursor *c, struct wire_buffer *row)
{
    wire_write_u64(row, c->epoch);
    wire_write_u64(row, c->position);
    wire_write_u64(row, c->holder);
    wire_write_u64(row, c->created_us);
    wire_write_u64(row, c->moved_us);
    wire_write_raw(row, c->filter.data, c->filter.size);
}

int core_cursor_rows(struct core *core,
                     int (*put)(void *context, struct bytes name, struct bytes row), void *context)
{
    struct wire_buffer *row = &core->cursor_rows;
    int err = ERR_OK;
    for (const struct cursor *c = core->cursors.first_touched; c && !err; c = c->next_touched) {
        wire_buffer_clear(row);
        if (!c->is_deleted)
            encode(c, row);
        err = row->failed ? ERR_NO_MEMORY
                          : put(context, c->name, (struct bytes){row->data, row->size});
    }
    return err;
}

uint64_t core_cursor_row_bytes(const struct core *core)
{
    enum { HEADER_BYTES = 64 };
    uint64_t bytes = 0;
    for (const struct cursor *c = core->cursors.first_touched; c; c = c->next_touched)
        bytes += HEADER_BYTES + c->name.size + c->filter.size;
    return bytes;
}

bool core_batch_only_moves_cursors(const struct core *core)
{
    return core->cursors.touched > 0 && !core->cursors.has_grown && core->batch.record_count == 0 &&
           core->sessions.touched_rows == 0 && core->lives.touched_count == 0 &&
           core->lives.leases_touched_count == 0;
}

/* ERR_OK: bytes are a filter as filter_write writes it. */
static int check_filter(struct core *core, struct bytes filter)
{
    struct wire_reader r = wire_reader_of(filter.data, filter.size);
    int err = stream_table_read_filter(&core->streams, &r);
    if (err == ERR_NO_MEMORY)
        return err;
    return !err && bytes_equal(filter, stream_table_last_filter(&core->streams)) ? ERR_OK
                                                                                 : ERR_CORRUPT;
}

int core_restore_cursor(struct core *core, struct bytes name, struct bytes row)
{
    struct wire_reader r = wire_reader_of(row.data, row.size);
    uint64_t epoch = wire_read_u64(&r);
    uint64_t position = wire_read_u64(&r);
    uint64_t holder = wire_read_u64(&r);
    uint64_t created_us = wire_read_u64(&r);
    uint64_t moved_us = wire_read_u64(&r);
    struct bytes filter = wire_read_raw(&r, wire_left(&r));
    if (r.failed || epoch == 0 || holder == 0 || name.size > LIMIT_CURSOR_NAME ||
        !key_valid(name) || cursor_find(&core->cursors, name))
        return ERR_CORRUPT;
    int err = check_filter(core, filter);
    if (err)
        return err;
    struct cursor *c;
    if (cursor_add(&core->cursors, name, filter, &c))
        return ERR_NO_MEMORY;
    c->epoch = epoch;
    c->position = position;
    c->holder = holder;
    c->created_us = created_us;
    c->moved_us = moved_us;
    return ERR_OK;
}
