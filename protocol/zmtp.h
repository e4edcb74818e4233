/*
 * zmtp.h - ZeroMQ's wire format (ZMTP 3.1, mechanism NULL), as far as a DEALER and a ROUTER need it that
 * send messages of one frame: the bytes to send, and the frames in what has come. How a peer introduces
 * itself is read by zmtp_hello.h, whether its messages are within bounds by zmtp_frames.h. Pure.
 *
 * Source of the format: https://rfc.zeromq.org/spec/23/ and, for PING and PONG, /spec/37/.
 */
#ifndef VIGIL_PROTOCOL_ZMTP_H
#define VIGIL_PROTOCOL_ZMTP_H

#include "protocol/wire.h"
#include "protocol/zmtp_hello.h"

enum {
    ZMTP_HEADER_MAX = 9,   /* bytes before a frame's body */
    ZMTP_READY_MAX = 64,   /* bytes of the READY that zmtp_ready writes, header included */
    ZMTP_PONG_MAX = 2 + 21 /* bytes of a PONG: a PING's context has 16 at most */
};

enum { ZMTP_MORE = 1, ZMTP_LONG = 2, ZMTP_COMMAND = 4 }; /* a frame's flags */

struct zmtp_frame {
    uint8_t flags;
    uint8_t header_size;
    uint64_t body_size;
};

void zmtp_greeting(uint8_t out[ZMTP_GREETING_SIZE]);
/* As a READY's frame; socket_type: "DEALER" or "ROUTER". Returns its size. */
size_t zmtp_ready(uint8_t out[ZMTP_READY_MAX], const char *socket_type);
/* The header of a message of one frame. Returns its size. */
size_t zmtp_header(uint8_t out[ZMTP_HEADER_MAX], uint64_t body_size);

/* The header of the frame at data. False: more bytes are needed. All flags and sizes are possible:
 * judging them is up to the caller. */
bool zmtp_frame_read(const uint8_t *data, size_t size, struct zmtp_frame *ret_frame);

/* The answer to a command frame with this body, as a frame: 0 bytes unless it is a PING. */
size_t zmtp_pong(struct bytes command, uint8_t out[ZMTP_PONG_MAX]);

#endif
