/* payload.c - see payload.h. */
#include "bench/payload.h"

#include <string.h>
#include <vigil.h>

/* Told apart from other binaries by four bytes that stand before the time. */
static const uint8_t mark[4] = {'v', 'b', 0, 1};

/* MessagePack's header of a binary whose whole size this is. */
static size_t header_size(size_t whole)
{
    return whole <= 2 + UINT8_MAX ? 2 : whole <= 3 + UINT16_MAX ? 3 : 5;
}

void payload_make(uint8_t *out, size_t size)
{
    size_t header = header_size(size);
    uint32_t noise = 0x9e3779b9u;
    for (size_t i = header; i < size; i++) {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        out[i] = (uint8_t)noise;
    }
    size_t content = size - header;
    out[0] = header == 2 ? 0xc4 : header == 3 ? 0xc5 : 0xc6;
    for (size_t i = 1; i < header; i++) {
        out[i] = (uint8_t)(content >> (8 * (header - 1 - i)));
    }
    memcpy(out + header, mark, sizeof mark);
    payload_set_time(out, size, 0);
}

void payload_set_time(uint8_t *value, size_t size, uint64_t time_ns)
{
    memcpy(value + header_size(size) + sizeof mark, &time_ns, sizeof time_ns);
}

bool payload_get_time(const void *value, size_t size, uint64_t *ret_time_ns)
{
    const void *content = NULL;
    size_t content_size = 0;
    if (!value || vigil_unpack_binary(value, size, &content, &content_size) != VIGIL_OK ||
        content_size < sizeof mark + sizeof *ret_time_ns || memcmp(content, mark, sizeof mark)) {
        return false;
    }
    memcpy(ret_time_ns, (const uint8_t *)content + sizeof mark, sizeof *ret_time_ns);
    return true;
}

uint64_t payload_draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 16;
}

void payload_key(uint64_t number, char out[PAYLOAD_KEY_SIZE + 1])
{
    memcpy(out, PAYLOAD_PREFIX, sizeof PAYLOAD_PREFIX - 1);
    for (size_t i = PAYLOAD_KEY_SIZE; i-- > sizeof PAYLOAD_PREFIX - 1;) {
        out[i] = (char)('0' + number % 10);
        number /= 10;
    }
    out[PAYLOAD_KEY_SIZE] = '\0';
}
