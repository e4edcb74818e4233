/* cursor_reader.c - a row of the listing of cursors as the application sees it. */
#include "client/cursor_reader.h"

#include "protocol/key.h"

/* As the application writes them: a prefix ends in a star. */
static void write_patterns(struct cursor_reader *r)
{
    char *at = r->texts;
    for (size_t i = 0; i < r->filter.count; i++) {
        const struct pattern *p = &r->filter.patterns[i];
        r->patterns[i] = at;
        if (p->text.size > 0)
            memcpy(at, p->text.data, p->text.size);
        at += p->text.size;
        if (p->kind == PATTERN_PREFIX)
            *at++ = '*';
        *at++ = '\0';
    }
}

static uint64_t difference(uint64_t larger, uint64_t smaller)
{
    return larger > smaller ? larger - smaller : 0;
}

int cursor_reader_read(struct cursor_reader *r, const struct cursor_row *row,
                       const struct cursor_listing *listing, vigil_cursor *ret_cursor)
{
    struct wire_reader filter = wire_reader_of(row->filter.data, row->filter.size);
    uint64_t moved_us = row->moved_us > row->created_us ? row->moved_us : row->created_us;
    bool same_epoch = row->epoch == listing->epoch;
    if (row->name.size > LIMIT_CURSOR_NAME || !key_valid(row->name) ||
        filter_read(&filter, &r->filter) != ERR_OK || !wire_read_complete(&filter))
        return ERR_MALFORMED;
    memcpy(r->name, row->name.data, row->name.size);
    r->name[row->name.size] = '\0';
    write_patterns(r);
    *ret_cursor = (vigil_cursor){
        .name = r->name,
        .position = {row->epoch, row->position},
        .lag = same_epoch ? difference(listing->head, row->position) : listing->head,
        .created_us = row->created_us,
        .moved_us = moved_us,
        .age_us = difference(listing->time_us, moved_us),
        .patterns = r->patterns,
        .pattern_count = r->filter.count,
    };
    return ERR_OK;
}
