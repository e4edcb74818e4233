/* zmtp_frames.c - see zmtp_frames.h. */
#include "protocol/zmtp_frames.h"

enum { FLAG_MORE = 1, FLAG_LONG = 2, FLAG_COMMAND = 4, HEADER_SHORT = 2 };

/* The header is there: its frame counts from now on. */
static bool begin_frame(struct zmtp_frames *f, uint64_t message_size_max)
{
    uint64_t size = f->header[1];
    for (unsigned i = 2; i < f->header_size; i++)
        size = size << 8 | f->header[i];
    f->body_left = size;
    f->header_size = 0;
    /* A command stands by itself, maybe between the frames of a message, and ZeroMQ bounds it. But one
     * that claims to be continued is wrong, and a SUBSCRIBE of that kind is kept like a frame. */
    if ((f->header[0] & FLAG_COMMAND) != 0)
        return (f->header[0] & FLAG_MORE) == 0;
    f->parts++;
    bool within = f->parts <= ZMTP_PARTS_MAX && size <= message_size_max - f->message_size;
    f->message_size += size;
    if ((f->header[0] & FLAG_MORE) == 0) {
        f->parts = 0;
        f->message_size = 0;
    }
    return within;
}

bool zmtp_frames_take(struct zmtp_frames *f, const void *data, size_t size,
                      uint64_t message_size_max)
{
    const uint8_t *p = data;
    const uint8_t *end = p + size;
    while (p < end) {
        if (f->body_left > 0) {
            uint64_t here = (uint64_t)(end - p) < f->body_left ? (uint64_t)(end - p) : f->body_left;
            f->body_left -= here;
            p += here;
            continue;
        }
        f->header[f->header_size++] = *p++;
        bool is_long = (f->header[0] & FLAG_LONG) != 0;
        if (f->header_size == (is_long ? ZMTP_FRAME_HEADER_MAX : HEADER_SHORT) &&
            !begin_frame(f, message_size_max))
            return false;
    }
    return true;
}
