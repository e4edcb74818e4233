/*
 * raw_server.h - a server that speaks ZMTP by hand over a plain socket, on a thread of its own: for what
 * ZeroMQ is too polite to do to a client. A test gives the thread its lines; it asserts with what it
 * returns, because cmocka's assertions belong to the main thread.
 */
#ifndef VIGIL_TESTS_SUPPORT_RAW_SERVER_H
#define VIGIL_TESTS_SUPPORT_RAW_SERVER_H

#include <pthread.h>

#include "protocol/message.h"
#include "tests/support/temp_folder.h"

struct raw_server;
/* What the thread does; true: all went as it should. */
typedef bool raw_server_lines(struct raw_server *s);

struct raw_server {
    char folder[TEMP_FOLDER_SIZE];
    char endpoint[TEMP_FOLDER_SIZE + 32];
    raw_server_lines *lines;
    size_t piece; /* bytes that are sent at once; 0: all */
    int listener;
    int fd; /* the connection; -1 */
    pthread_t thread;
    bool went_well;
    /* the request message taken last */
    uint8_t *message;
    struct request_message_header header;
    struct request_header request; /* its first */
    struct wire_reader body;
};

/* All of these assert. Listens at a unix socket of its own, or at a TCP port of this address (which
 * family takes it); its endpoint then has `host`, as given. False: there is no such address here. */
void raw_server_listen(struct raw_server *s);
bool raw_server_listen_tcp(struct raw_server *s, const char *address, const char *host);
/* The unix socket again, after raw_server_unlisten. */
void raw_server_listen_again(struct raw_server *s);
void raw_server_unlisten(struct raw_server *s);
void raw_server_start(struct raw_server *s, raw_server_lines *lines);
/* Waits for its end. */
void raw_server_join(struct raw_server *s);
void raw_server_close(struct raw_server *s);

/* ---- for the thread: false where the peer or the time is over ---- */

bool raw_server_accept(struct raw_server *s);
void raw_server_drop(struct raw_server *s);
bool raw_server_send(struct raw_server *s, const void *data, size_t size);
bool raw_server_send_frame(struct raw_server *s, uint8_t flags, const void *data, size_t size);
/* A frame; its body is freed by the caller. NULL: there is none. */
uint8_t *raw_server_read_frame(struct raw_server *s, uint8_t *ret_flags, size_t *ret_size);
/* Both introductions, of this socket type and of the one that the peer must have. */
bool raw_server_handshake(struct raw_server *s, const char *own, const char *peer);
/* A request message, other frames left out. */
bool raw_server_take(struct raw_server *s);
/* accept, handshake, hello and its answer. */
bool raw_server_welcome(struct raw_server *s);
/* The answer to the message taken last: a get's value, a put. As a message without its frame; freed by
 * the caller with wire_buffer_free. */
void raw_server_reply_get(const struct raw_server *s, struct bytes value, struct wire_buffer *b);
void raw_server_reply_put(const struct raw_server *s, struct wire_buffer *b);
bool raw_server_answer(struct raw_server *s, struct wire_buffer *b);
/* The peer has ended the connection, whether it had read everything or not; what it still sends is
 * thrown away. */
bool raw_server_ended(struct raw_server *s);

#endif
