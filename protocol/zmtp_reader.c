/* zmtp_reader.c - see zmtp_reader.h. */
#include "protocol/zmtp_reader.h"

#include "protocol/zmtp_frames.h"

enum { CONTROL_MAX = 64 }; /* a PING has 23 bytes at most */

/* A command stands by itself, maybe between the frames of a message; one that claims to be continued
 * is wrong. */
static bool is_within(const struct zmtp_reader *r, const struct zmtp_frame *f,
                      uint64_t message_size_max)
{
    if ((f->flags & ZMTP_COMMAND) != 0)
        return (f->flags & ZMTP_MORE) == 0 && f->body_size <= message_size_max;
    return r->parts < ZMTP_PARTS_MAX && f->body_size <= message_size_max - r->message_size;
}

static bool is_wanted(const struct zmtp_reader *r, const struct zmtp_frame *f)
{
    if ((f->flags & ZMTP_COMMAND) != 0)
        return f->body_size <= CONTROL_MAX;
    return (f->flags & ZMTP_MORE) == 0 && r->parts == 0;
}

static void begin_skip(struct zmtp_reader *r, const struct zmtp_frame *f)
{
    r->skip = f->body_size;
    if ((f->flags & ZMTP_COMMAND) != 0)
        return;
    r->parts++;
    r->message_size += f->body_size;
    r->is_last = (f->flags & ZMTP_MORE) == 0;
}

/* True: all that is to be skipped has come. */
static bool skip(struct zmtp_reader *r, size_t left, size_t *used)
{
    size_t here = r->skip < left ? (size_t)r->skip : left;
    r->skip -= here;
    *used += here;
    return r->skip == 0;
}

enum zmtp_found zmtp_reader_next(struct zmtp_reader *r, struct bytes data,
                                 uint64_t message_size_max, size_t *ret_used,
                                 struct bytes *ret_body)
{
    struct zmtp_frame f;
    size_t *used = ret_used;
    for (*used = 0; skip(r, data.size - *used, used);) {
        if (r->is_last) {
            *r = (struct zmtp_reader){0};
            return ZMTP_SURPLUS;
        }
        if (!zmtp_frame_read(data.data + *used, data.size - *used, &f))
            return ZMTP_INCOMPLETE;
        if (!is_within(r, &f, message_size_max))
            return ZMTP_ENDLESS;
        if (!is_wanted(r, &f)) {
            *used += f.header_size;
            begin_skip(r, &f);
            continue;
        }
        if (data.size - *used - f.header_size < f.body_size)
            return ZMTP_INCOMPLETE;
        *ret_body = (struct bytes){data.data + *used + f.header_size, (size_t)f.body_size};
        *used += f.header_size + (size_t)f.body_size;
        return (f.flags & ZMTP_COMMAND) != 0 ? ZMTP_CONTROL : ZMTP_MESSAGE;
    }
    return ZMTP_INCOMPLETE;
}

uint64_t zmtp_reader_wants(struct bytes incomplete)
{
    struct zmtp_frame f;
    if (!zmtp_frame_read(incomplete.data, incomplete.size, &f))
        return 0;
    return f.header_size + f.body_size;
}
