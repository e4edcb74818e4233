/* key.c - what may be a key, a prefix, a text. */
#include "protocol/key.h"

#include "protocol/limits.h"

/* Size of the character that starts at p; 0 if there is none; -1 if the bytes
 * end within one that is well-formed so far. RFC 3629, section 4. */
static int character_size(const uint8_t *p, size_t left)
{
    uint8_t lead = p[0];
    if (lead < 0x80)
        return 1;
    /* What the second byte may be shuts out overlong forms (E0, F0), surrogates
     * (ED) and everything above U+10FFFF (F4). */
    uint8_t low = 0x80;
    uint8_t high = 0xbf;
    int size;
    if (lead >= 0xc2 && lead <= 0xdf) {
        size = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        size = 3;
        low = lead == 0xe0 ? 0xa0 : low;
        high = lead == 0xed ? 0x9f : high;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        size = 4;
        low = lead == 0xf0 ? 0x90 : low;
        high = lead == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (left > 1 && (p[1] < low || p[1] > high))
        return 0;
    for (int i = 2; i < size && (size_t)i < left; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return left < (size_t)size ? -1 : size;
}

/* True if text is UTF-8, but for a last character that may be cut off. */
static bool utf8_scan(struct bytes text, bool *ret_cut)
{
    const uint8_t *p = text.data;
    size_t left = text.size;
    while (left > 0) {
        while (left >= 8) { /* most text is ASCII: eight bytes at a time */
            uint64_t word;
            memcpy(&word, p, sizeof word);
            if (word & UINT64_C(0x8080808080808080))
                break;
            p += 8;
            left -= 8;
        }
        while (left > 0 && *p < 0x80) {
            p++;
            left--;
        }
        if (left == 0)
            break;
        int size = character_size(p, left);
        if (size <= 0) {
            *ret_cut = size < 0;
            return size < 0;
        }
        p += size;
        left -= (size_t)size;
    }
    *ret_cut = false;
    return true;
}

bool utf8_valid(struct bytes text)
{
    bool cut;
    return utf8_scan(text, &cut) && !cut;
}

bool key_valid(struct bytes key)
{
    return key.size > 0 && key.size <= LIMIT_KEY_SIZE && !memchr(key.data, 0, key.size) &&
           utf8_valid(key);
}

bool prefix_valid(struct bytes prefix)
{
    bool cut;
    if (prefix.size == 0)
        return true;
    return prefix.size <= LIMIT_KEY_SIZE && !memchr(prefix.data, 0, prefix.size) &&
           utf8_scan(prefix, &cut);
}
