/*
 * raw_client.h - a client without the library: one DEALER, messages written with
 * protocol/message.h alone. For tests of what the server does with bytes.
 */
#ifndef VIGIL_TESTS_SUPPORT_RAW_CLIENT_H
#define VIGIL_TESTS_SUPPORT_RAW_CLIENT_H

#include "protocol/message.h"

#include <zmq.h>

enum { RAW_TIMEOUT_MS = 20000 };

struct raw_client {
    void *socket;
    struct wire_buffer out;
    uint16_t count;   /* requests in out */
    uint64_t next_id; /* of the next request */
    zmq_msg_t in;
    struct reply_message_header reply_header;
    struct wire_reader replies; /* those of `in` that have not been taken */
};

void raw_open(struct raw_client *c, void *zmq, const char *endpoint);
void raw_close(struct raw_client *c);

/* A message: begin, add requests, send. Each add returns the request's id. */
void raw_begin(struct raw_client *c, uint32_t flags);
uint64_t raw_add(struct raw_client *c, uint8_t op, uint8_t flags, const struct wire_buffer *body);
uint64_t raw_add_put(struct raw_client *c, const char *key, struct bytes value);
uint64_t raw_add_get(struct raw_client *c, const char *key);
uint64_t raw_add_empty(struct raw_client *c, uint8_t op);
void raw_send(struct raw_client *c);

/* The next reply message; false after RAW_TIMEOUT_MS, or if it cannot be read. */
bool raw_receive(struct raw_client *c);
/* The next reply of it. False if there is none. */
bool raw_next(struct raw_client *c, struct reply_header *ret_header, struct wire_reader *ret_body);
/* Sends, receives, takes the one reply. Returns its status, or -1. */
int raw_call(struct raw_client *c, struct reply_header *ret_header, struct wire_reader *ret_body);

struct bytes raw_text(const char *text);

#endif
