/* base64.c - see base64.h. No state: any thread. */
#include "client/cli/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_write(struct wire_buffer *out, struct bytes data)
{
    uint8_t *p = wire_extend(out, (data.size + 2) / 3 * 4);

    if (p == NULL)
        return;
    for (size_t i = 0; i < data.size; i += 3, p += 4) {
        size_t left = data.size - i;
        uint32_t group = (uint32_t)data.data[i] << 16;
        if (left > 1)
            group |= (uint32_t)data.data[i + 1] << 8;
        if (left > 2)
            group |= data.data[i + 2];
        p[0] = (uint8_t)alphabet[group >> 18];
        p[1] = (uint8_t)alphabet[group >> 12 & 63];
        p[2] = left > 1 ? (uint8_t)alphabet[group >> 6 & 63] : '=';
        p[3] = left > 2 ? (uint8_t)alphabet[group & 63] : '=';
    }
}

/* 0..63, or -1. */
static int digit_of(char character)
{
    const char *found = character != '\0' ? strchr(alphabet, character) : NULL;
    return found != NULL ? (int)(found - alphabet) : -1;
}

bool base64_read(const char *text, size_t size, struct wire_buffer *out)
{
    if (size % 4 != 0)
        return false;
    for (size_t i = 0; i < size; i += 4) {
        bool is_end = i + 4 == size;
        size_t padding = 0;
        uint32_t group = 0;
        if (is_end && text[i + 3] == '=')
            padding = text[i + 2] == '=' ? 2 : 1;
        for (size_t j = 0; j < 4; j++) {
            int digit = j < 4 - padding ? digit_of(text[i + j]) : 0;
            if (digit < 0)
                return false;
            group = group << 6 | (uint32_t)digit;
        }
        /* The bits that padding leaves over are zero in the one canonical form. */
        if ((padding == 1 && (group & 0xff) != 0) || (padding == 2 && (group & 0xffff) != 0))
            return false;
        const uint8_t decoded[3] = {(uint8_t)(group >> 16), (uint8_t)(group >> 8), (uint8_t)group};
        wire_write_raw(out, decoded, 3 - padding);
    }
    return !out->failed;
}
