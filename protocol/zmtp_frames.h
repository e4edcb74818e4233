/*
 * zmtp_frames.h - follows the frames of a connection (ZMTP 3, behind the READY) to see that no message
 * is endless. Pure.
 *
 * ZMQ_MAXMSGSIZE bounds a frame; ZeroMQ keeps the frames of a message until its last one has come.
 */
#ifndef VIGIL_PROTOCOL_ZMTP_FRAMES_H
#define VIGIL_PROTOCOL_ZMTP_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ZMTP_FRAME_HEADER_MAX = 9,
    ZMTP_PARTS_MAX = 8192 /* of a message; one is welcome, more are answered with MALFORMED */
};

struct zmtp_frames {
    uint64_t body_left;    /* of the frame under way, once its header is there */
    uint64_t message_size; /* of the message under way */
    uint32_t parts;
    uint8_t header_size; /* what has come of the header under way */
    uint8_t header[ZMTP_FRAME_HEADER_MAX];
};

/* The next bytes of the connection; zero it before the first. False: the message under way has more
 * than ZMTP_PARTS_MAX frames, or more than message_size_max bytes, or a command claims to be part of
 * one. Nothing that comes after that means anything. */
bool zmtp_frames_take(struct zmtp_frames *f, const void *data, size_t size,
                      uint64_t message_size_max);

#endif
