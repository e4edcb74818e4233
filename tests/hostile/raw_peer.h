/*
 * raw_peer.h - a peer that speaks ZMTP 3.0 over a socket by hand, where libzmq would be too polite:
 * it may stop anywhere, claim anything, and never reads unless told to.
 */
#ifndef VIGIL_TESTS_HOSTILE_RAW_PEER_H
#define VIGIL_TESTS_HOSTILE_RAW_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RAW_FRAME_MORE = 1, RAW_FRAME_COMMAND = 4 };

/* How far a connection gets before it falls silent. */
enum raw_depth { RAW_CONNECTED, RAW_SIGNATURE, RAW_GREETING, RAW_HALF_READY, RAW_READY };

struct raw_hello {
    const char *type;     /* "DEALER" */
    const void *identity; /* may be NULL */
    uint8_t identity_size;
    uint8_t major; /* 0: 3 */
};

/* Connects to the unix socket at path; -1 if that fails. Blocking, with time-outs. */
int raw_connect(const char *path);
/* Sends the handshake up to depth, and reads the server's if that is RAW_READY. False: refused. */
bool raw_handshake(int fd, const struct raw_hello *hello, enum raw_depth depth);
/* Both of them. -1: refused. */
int raw_open(const char *path, const char *type);
/* One frame. False: the connection has ended, or does not take it in time. */
bool raw_send_frame(int fd, uint8_t flags, const void *data, size_t size);
/* As they are. */
bool raw_send_bytes(int fd, const void *data, size_t size);
/* Puts a frame's header at out, which has room for 9 bytes; returns its size. */
size_t raw_frame_header(uint8_t *out, uint8_t flags, size_t size);
/* Takes a whole frame and throws it away but for its first bytes. Returns its size, -1 at the end. */
int64_t raw_receive_frame(int fd, void *out, size_t capacity);
/* The other side has ended the connection (waits for it up to timeout_ms, reading on). */
bool raw_ended(int fd, int timeout_ms);
void raw_close(int fd);

#endif
