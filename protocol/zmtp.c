/* zmtp.c - see zmtp.h. */
#include "protocol/zmtp.h"

enum {
    VERSION_MAJOR = 3,
    VERSION_MINOR = 1,
    NAME_SIZE = 5, /* of PING and PONG, its own size included */
    TTL_SIZE = 2,
    CONTEXT_MAX = 16
};

void zmtp_greeting(uint8_t out[ZMTP_GREETING_SIZE])
{
    memset(out, 0, ZMTP_GREETING_SIZE);
    out[0] = 0xff;
    out[9] = 0x7f;
    out[10] = VERSION_MAJOR;
    out[11] = VERSION_MINOR;
    memcpy(out + 12, "NULL", 4);
}

static uint8_t *put_property(uint8_t *at, const char *name, const char *value)
{
    size_t name_size = strlen(name);
    size_t value_size = strlen(value);
    *at++ = (uint8_t)name_size;
    memcpy(at, name, name_size);
    at += name_size;
    memset(at, 0, 3);
    at[3] = (uint8_t)value_size;
    memcpy(at + 4, value, value_size);
    return at + 4 + value_size;
}

size_t zmtp_ready(uint8_t out[ZMTP_READY_MAX], const char *socket_type)
{
    static const uint8_t name[] = {5, 'R', 'E', 'A', 'D', 'Y'};
    memcpy(out + 2, name, sizeof name);
    uint8_t *end = put_property(out + 2 + sizeof name, "Socket-Type", socket_type);
    end = put_property(end, "Identity", "");
    out[0] = ZMTP_COMMAND;
    out[1] = (uint8_t)(end - out - 2);
    return (size_t)(end - out);
}

size_t zmtp_header(uint8_t out[ZMTP_HEADER_MAX], uint64_t body_size)
{
    if (body_size <= UINT8_MAX) {
        out[0] = 0;
        out[1] = (uint8_t)body_size;
        return 2;
    }
    out[0] = ZMTP_LONG;
    for (unsigned i = 0; i < 8; i++)
        out[1 + i] = (uint8_t)(body_size >> (56 - 8 * i));
    return ZMTP_HEADER_MAX;
}

bool zmtp_frame_read(const uint8_t *data, size_t size, struct zmtp_frame *ret_frame)
{
    if (size < 2)
        return false;
    uint8_t header_size = (data[0] & ZMTP_LONG) != 0 ? ZMTP_HEADER_MAX : 2;
    if (size < header_size)
        return false;
    *ret_frame = (struct zmtp_frame){.flags = data[0], .header_size = header_size};
    for (unsigned i = 1; i < header_size; i++)
        ret_frame->body_size = ret_frame->body_size << 8 | data[i];
    return true;
}

size_t zmtp_pong(struct bytes command, uint8_t out[ZMTP_PONG_MAX])
{
    static const uint8_t ping[NAME_SIZE] = {4, 'P', 'I', 'N', 'G'};
    static const uint8_t pong[NAME_SIZE] = {4, 'P', 'O', 'N', 'G'};
    if (command.size < NAME_SIZE + TTL_SIZE || memcmp(command.data, ping, NAME_SIZE) != 0)
        return 0;
    size_t context = command.size - NAME_SIZE - TTL_SIZE;
    if (context > CONTEXT_MAX)
        return 0;
    out[0] = ZMTP_COMMAND;
    out[1] = (uint8_t)(NAME_SIZE + context);
    memcpy(out + 2, pong, NAME_SIZE);
    memcpy(out + 2 + NAME_SIZE, command.data + NAME_SIZE + TTL_SIZE, context);
    return 2 + NAME_SIZE + context;
}
