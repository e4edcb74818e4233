/* cursor_reader.h - a row of the listing of cursors as the application sees it. Pure. */
#ifndef VIGIL_CLIENT_CURSOR_READER_H
#define VIGIL_CLIENT_CURSOR_READER_H

#include <vigil.h>

#include "protocol/filter.h"
#include "protocol/message.h"

/* What a vigil_cursor points into. About 24 KiB: keep it on the heap. */
struct cursor_reader {
    char name[LIMIT_CURSOR_NAME + 1];
    struct filter filter;
    char texts[LIMIT_FILTER_PATTERNS * (LIMIT_KEY_SIZE + 2)];
    const char *patterns[LIMIT_FILTER_PATTERNS];
};

/* What the reply says beside its rows. */
struct cursor_listing {
    uint64_t time_us;
    uint64_t epoch;
    uint64_t head;
};

/* *ret_cursor points into r, until the next call. ERR_OK, ERR_MALFORMED. */
int cursor_reader_read(struct cursor_reader *r, const struct cursor_row *row,
                       const struct cursor_listing *listing, vigil_cursor *ret_cursor);

#endif
