/* line_reader.h - a file or pipe as lines, read in large blocks, without blocking for more. */
#ifndef VIGIL_CLI_LINE_READER_H
#define VIGIL_CLI_LINE_READER_H

#include "protocol/wire.h"

struct line_reader {
    int fd;
    struct wire_buffer buffer;
    size_t at;            /* start of the first line not handed out */
    size_t searched;      /* up to here there is no newline */
    uint64_t line_number; /* of the line handed out last, from 1 */
    uint64_t bytes;       /* read so far */
    bool ended;
};

/* Longer lines make line_reader_fill fail with EFBIG. */
enum { LINE_READER_LINE_MAX = 128 << 20 };

void line_reader_init(struct line_reader *r, int fd);
void line_reader_free(struct line_reader *r);
/* Reads a block; blocks if there is none. Invalidates lines. False: errno. */
bool line_reader_fill(struct line_reader *r);
/* The next whole line, without its newline and with a NUL behind it; at the end of the input also one
 * without a newline. False: there is none before the next fill. */
bool line_reader_next(struct line_reader *r, struct bytes *ret_line);
/* True when every line has been handed out and no more will come. */
bool line_reader_done(const struct line_reader *r);

#endif
