/* cursors.c - listing and deleting named cursors. Those of watches are in watch_cursor.c. */
#include <stdlib.h>

#include "client/arguments.h"
#include "client/cursor_reader.h"

struct listing {
    struct vigil *v;
    bool (*each)(void *context, const vigil_cursor *cursor);
    void *context;
    struct cursor_reader reader;
    uint8_t last[LIMIT_CURSOR_NAME]; /* name: the listing goes on after it */
    size_t last_size;
};

/* Names rise from row to row, so that the listing comes to an end whatever the server says. */
static int hand_out(struct listing *l, const struct reply_cursor_list *page,
                    const struct reply_message_header *message)
{
    struct wire_reader r = wire_reader_of(page->rows.data, page->rows.size);
    struct cursor_listing listing = {page->time_us, message->epoch, message->head};
    for (uint32_t i = 0; i < page->count; i++) {
        struct cursor_row row;
        vigil_cursor cursor;
        if (!cursor_row_read(&r, &row) ||
            bytes_compare(row.name, (struct bytes){l->last, l->last_size}) <= 0 ||
            cursor_reader_read(&l->reader, &row, &listing, &cursor) != ERR_OK)
            return connection_malformed(l->v);
        memcpy(l->last, row.name.data, row.name.size);
        l->last_size = row.name.size;
        if (!l->each(l->context, &cursor))
            return connection_fail(l->v, ERR_INTERRUPTED, "the application stopped the listing");
    }
    return wire_read_complete(&r) ? ERR_OK : connection_malformed(l->v);
}

static int list_page(struct listing *l, bool *ret_more)
{
    struct vigil *v = l->v;
    struct call call;
    struct wire_buffer *b;
    struct request_cursor_list request = {.after = {l->last, l->last_size}};
    struct reply_cursor_list page;
    int err = connection_request_begin(v, OP_CURSOR_LIST, 0, 2 + request.after.size, &b);
    if (err)
        return err;
    request_cursor_list_write(b, &request);
    err = connection_call(v, &call, v->request_timeout_ms);
    if (err)
        return err;
    if (!reply_cursor_list_read(&call.reply.body, &page) || (page.more && page.count == 0))
        return connection_malformed(v);
    *ret_more = page.more;
    return hand_out(l, &page, &call.message);
}

int vigil_cursor_each(vigil *v, bool (*each)(void *context, const vigil_cursor *cursor),
                      void *context)
{
    bool more = true;
    int err = ERR_OK;
    if (!each)
        return connection_fail(v, ERR_INVALID, NULL);
    struct listing *l = calloc(1, sizeof *l);
    if (!l)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    l->v = v;
    l->each = each;
    l->context = context;
    while (more && err == ERR_OK)
        err = list_page(l, &more);
    free(l);
    return err;
}

int vigil_cursor_delete(vigil *v, const char *name)
{
    struct call call;
    struct wire_buffer *b;
    struct request_cursor_delete request = {0};
    int err = arguments_cursor_name(v, name, &request.name);
    if (err == ERR_OK)
        err = connection_request_begin(v, OP_CURSOR_DELETE, 0, 2 + request.name.size, &b);
    if (err)
        return err;
    request_cursor_delete_write(b, &request);
    err = connection_call(v, &call, v->request_timeout_ms);
    if (err == ERR_NOT_FOUND)
        return connection_fail(v, err, "there is no cursor %s", name);
    return err;
}
