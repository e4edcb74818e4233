/* raw_call.h - whole requests over a connection by hand: sent, and their reply read or left. */
#ifndef VIGIL_TESTS_HOSTILE_RAW_CALL_H
#define VIGIL_TESTS_HOSTILE_RAW_CALL_H

#include "protocol/message.h"
#include "tests/hostile/raw_peer.h"

struct raw_call {
    int fd;                 /* -1: it has ended */
    struct wire_buffer out; /* the message under way */
    uint16_t count;
    size_t place;
    uint64_t epoch; /* of the last reply */
};

bool raw_call_open(struct raw_call *c, const char *path);
void raw_call_close(struct raw_call *c);
/* A message: begin; for each request part_begin, its body into out, part_end; send. */
void raw_call_begin(struct raw_call *c, uint64_t session);
void raw_call_part_begin(struct raw_call *c, uint8_t op, uint8_t flags, uint64_t number);
void raw_call_part_end(struct raw_call *c);
bool raw_call_send(struct raw_call *c);
/* The status of the first reply in the next message; body has its first bytes. -1: none came. */
int raw_call_receive(struct raw_call *c, uint8_t *body, size_t capacity);
/* Opens a stream. False: refused, or the connection has ended. */
bool raw_call_stream(struct raw_call *c, const char *prefix, uint8_t topic[TOPIC_SIZE]);
bool raw_call_put(struct raw_call *c, const char *key, const void *value, size_t size);

#endif
