/* raw_call.c - see raw_call.h. */
#include "tests/hostile/raw_call.h"

#include <string.h>

bool raw_call_open(struct raw_call *c, const char *path)
{
    *c = (struct raw_call){.fd = raw_open(path, "DEALER")};
    wire_buffer_init(&c->out, LIMIT_MESSAGE_SIZE + 1024);
    return c->fd >= 0;
}

void raw_call_close(struct raw_call *c)
{
    raw_close(c->fd);
    wire_buffer_free(&c->out);
    c->fd = -1;
}

void raw_call_begin(struct raw_call *c, uint64_t session)
{
    struct request_message_header head = {.session = session};
    wire_buffer_clear(&c->out);
    c->count = 0;
    request_message_begin(&c->out, &head);
}

void raw_call_part_begin(struct raw_call *c, uint8_t op, uint8_t flags, uint64_t number)
{
    struct request_header head = {.op = op, .flags = flags, .id = c->count, .number = number};
    c->place = request_begin(&c->out, &head);
}

void raw_call_part_end(struct raw_call *c)
{
    message_part_end(&c->out, c->place);
    c->count++;
}

bool raw_call_send(struct raw_call *c)
{
    message_set_count(&c->out, 0, c->count);
    if (c->fd >= 0 && raw_send_frame(c->fd, 0, c->out.data, c->out.size))
        return true;
    raw_close(c->fd);
    c->fd = -1;
    return false;
}

int raw_call_receive(struct raw_call *c, uint8_t *body, size_t capacity)
{
    uint8_t head[REPLY_MESSAGE_HEADER_SIZE + REPLY_HEADER_SIZE + 256] = {0};
    size_t before = REPLY_MESSAGE_HEADER_SIZE + REPLY_HEADER_SIZE;
    int64_t size = c->fd >= 0 ? raw_receive_frame(c->fd, head, sizeof head) : -1;
    if (size < (int64_t)before)
        return -1;
    c->epoch = wire_load_u64(head + 8);
    memcpy(body, head + before, capacity < 256 ? capacity : 256);
    return wire_load_u16(head + REPLY_MESSAGE_HEADER_SIZE + 6);
}

bool raw_call_stream(struct raw_call *c, const char *prefix, uint8_t topic[TOPIC_SIZE])
{
    uint8_t body[2 + TOPIC_SIZE];
    raw_call_begin(c, 0);
    raw_call_part_begin(c, OP_STREAM_OPEN, 0, 0);
    wire_write_u16(&c->out, 1);
    wire_write_u8(&c->out, PATTERN_PREFIX);
    wire_write_u16(&c->out, (uint16_t)strlen(prefix));
    wire_write_raw(&c->out, prefix, strlen(prefix));
    raw_call_part_end(c);
    if (!raw_call_send(c) || raw_call_receive(c, body, sizeof body) != ERR_OK)
        return false;
    memcpy(topic, body + 2, TOPIC_SIZE);
    return true;
}

bool raw_call_put(struct raw_call *c, const char *key, const void *value, size_t size)
{
    uint8_t body[1];
    struct request_put put = {.key = {(const uint8_t *)key, strlen(key)}, .value = {value, size}};
    raw_call_begin(c, 0);
    raw_call_part_begin(c, OP_PUT, 0, 0);
    request_put_write(&c->out, &put);
    raw_call_part_end(c);
    return raw_call_send(c) && raw_call_receive(c, body, 1) == ERR_OK;
}
