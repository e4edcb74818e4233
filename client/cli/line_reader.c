/* line_reader.c - see line_reader.h. */
#define _POSIX_C_SOURCE 200809L
#include "client/cli/line_reader.h"

#include <errno.h>
#include <unistd.h>

enum { BLOCK_SIZE = 1 << 18 };

void line_reader_init(struct line_reader *r, int fd)
{
    *r = (struct line_reader){.fd = fd};
    wire_buffer_init(&r->buffer, LINE_READER_LINE_MAX);
}

void line_reader_free(struct line_reader *r)
{
    wire_buffer_free(&r->buffer);
}

/* Moves what is left of the last block to the front. */
static void discard_handed_out(struct line_reader *r)
{
    size_t left = r->buffer.size - r->at;

    if (r->at == 0)
        return;
    memmove(r->buffer.data, r->buffer.data + r->at, left);
    r->buffer.size = left;
    r->searched -= r->at;
    r->at = 0;
}

bool line_reader_fill(struct line_reader *r)
{
    discard_handed_out(r);
    /* One byte more, for the NUL behind a last line without a newline. */
    uint8_t *p = wire_extend(&r->buffer, BLOCK_SIZE + 1);
    if (p == NULL) {
        errno = EFBIG;
        return false;
    }
    ssize_t got;
    do {
        got = read(r->fd, p, BLOCK_SIZE);
    } while (got < 0 && errno == EINTR);
    r->buffer.size -= BLOCK_SIZE + 1 - (got > 0 ? (size_t)got : 0);
    if (got < 0)
        return errno == EAGAIN;
    r->ended = got == 0;
    r->bytes += (uint64_t)got;
    return true;
}

bool line_reader_next(struct line_reader *r, struct bytes *ret_line)
{
    if (r->buffer.size == 0)
        return false; /* nor is there a buffer, at first */
    uint8_t *start = r->buffer.data + r->at;
    size_t unsearched = r->buffer.size - r->searched;
    uint8_t *newline =
        unsearched > 0 ? memchr(r->buffer.data + r->searched, '\n', unsearched) : NULL;

    if (newline == NULL) {
        r->searched = r->buffer.size;
        if (!r->ended || r->at == r->buffer.size)
            return false;
        newline = r->buffer.data + r->buffer.size;
        r->buffer.data[r->buffer.size] = '\0';
        r->at = r->buffer.size;
    } else {
        *newline = '\0';
        r->at = (size_t)(newline - r->buffer.data) + 1;
        r->searched = r->at;
    }
    r->line_number++;
    *ret_line = (struct bytes){start, (size_t)(newline - start)};
    return true;
}

bool line_reader_done(const struct line_reader *r)
{
    return r->ended && r->at == r->buffer.size;
}
