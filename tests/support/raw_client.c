/* raw_client.c - see raw_client.h. */
#include "tests/support/raw_client.h"

static const uint8_t nothing;

struct bytes raw_text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

void raw_open(struct raw_client *c, void *zmq, const char *endpoint)
{
    int zero = 0;
    int timeout_ms = RAW_TIMEOUT_MS;
    *c = (struct raw_client){.next_id = 1};
    wire_buffer_init(&c->out, LIMIT_MESSAGE_SIZE_MAX + 1024);
    zmq_msg_init(&c->in);
    c->socket = zmq_socket(zmq, ZMQ_DEALER);
    zmq_setsockopt(c->socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(c->socket, ZMQ_SNDHWM, &zero, sizeof zero);
    zmq_setsockopt(c->socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    zmq_setsockopt(c->socket, ZMQ_SNDTIMEO, &timeout_ms, sizeof timeout_ms);
    zmq_connect(c->socket, endpoint);
}

void raw_close(struct raw_client *c)
{
    if (c->socket)
        zmq_close(c->socket);
    c->socket = NULL;
    zmq_msg_close(&c->in);
    wire_buffer_free(&c->out);
}

void raw_begin(struct raw_client *c, uint32_t flags)
{
    struct request_message_header header = {.flags = flags};
    wire_buffer_clear(&c->out);
    c->count = 0;
    request_message_begin(&c->out, &header);
}

uint64_t raw_add(struct raw_client *c, uint8_t op, uint8_t flags, const struct wire_buffer *body)
{
    struct request_header header = {.op = op, .flags = flags, .id = c->next_id++};
    size_t place = request_begin(&c->out, &header);
    wire_write_raw(&c->out, body && body->size ? body->data : &nothing, body ? body->size : 0);
    message_part_end(&c->out, place);
    c->count++;
    return header.id;
}

uint64_t raw_add_put(struct raw_client *c, const char *key, struct bytes value)
{
    struct request_put put = {.key = raw_text(key), .value = value};
    struct wire_buffer body;
    wire_buffer_init(&body, LIMIT_MESSAGE_SIZE_MAX);
    request_put_write(&body, &put);
    uint64_t id = raw_add(c, OP_PUT, 0, &body);
    wire_buffer_free(&body);
    return id;
}

uint64_t raw_add_get(struct raw_client *c, const char *key)
{
    struct request_get get = {.key = raw_text(key)};
    struct wire_buffer body;
    wire_buffer_init(&body, 1024);
    request_get_write(&body, &get);
    uint64_t id = raw_add(c, OP_GET, 0, &body);
    wire_buffer_free(&body);
    return id;
}

uint64_t raw_add_empty(struct raw_client *c, uint8_t op)
{
    return raw_add(c, op, 0, NULL);
}

void raw_send(struct raw_client *c)
{
    message_set_count(&c->out, 0, c->count);
    zmq_send(c->socket, c->out.data, c->out.size, 0);
}

bool raw_receive(struct raw_client *c)
{
    zmq_msg_close(&c->in);
    zmq_msg_init(&c->in);
    if (zmq_msg_recv(&c->in, c->socket, 0) < 0 || zmq_msg_more(&c->in))
        return false;
    c->replies = wire_reader_of(zmq_msg_data(&c->in), zmq_msg_size(&c->in));
    return reply_message_read(&c->replies, &c->reply_header) == ERR_OK;
}

bool raw_next(struct raw_client *c, struct reply_header *ret_header, struct wire_reader *ret_body)
{
    return reply_read(&c->replies, ret_header, ret_body) == ERR_OK;
}

int raw_call(struct raw_client *c, struct reply_header *ret_header, struct wire_reader *ret_body)
{
    raw_send(c);
    if (!raw_receive(c) || !raw_next(c, ret_header, ret_body))
        return -1;
    return ret_header->status;
}
