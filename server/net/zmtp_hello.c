/* zmtp_hello.c - see zmtp_hello.h. */
#include "server/net/zmtp_hello.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum {
    SIGNATURE_LAST = 9, /* 0xff, eight bytes of any value, 0x7f; then the version */
    MAJOR_AT = 10,
    MAJOR_MIN = 3,
    FLAGS_AT = ZMTP_GREETING_SIZE,
    FRAME_COMMAND = 4, /* the flags of a short command frame */
    BODY_AT = ZMTP_GREETING_SIZE + 2
};

/* Peers before version 3 have no READY and no socket type: nothing says what they are. */
static bool greeting_is_wrong(const struct zmtp_hello *h)
{
    return (h->size > 0 && h->bytes[0] != 0xff) ||
           (h->size > SIGNATURE_LAST && h->bytes[SIGNATURE_LAST] != 0x7f) ||
           (h->size > MAJOR_AT && h->bytes[MAJOR_AT] < MAJOR_MIN) ||
           (h->size > FLAGS_AT && h->bytes[FLAGS_AT] != FRAME_COMMAND);
}

struct property {
    const uint8_t *name;
    const uint8_t *value;
    size_t name_size;
    size_t value_size;
};

/* u8 size, name, u32 size (big-endian), value. */
static bool read_property(const uint8_t **p, size_t *left, struct property *ret)
{
    ret->name_size = (*p)[0];
    if (*left < 1 + ret->name_size + 4)
        return false;
    ret->name = *p + 1;
    const uint8_t *size = ret->name + ret->name_size;
    *left -= 1 + ret->name_size + 4;
    ret->value_size =
        (size_t)size[0] << 24 | (size_t)size[1] << 16 | (size_t)size[2] << 8 | size[3];
    if (ret->value_size > *left)
        return false;
    ret->value = size + 4;
    *left -= ret->value_size;
    *p = ret->value + ret->value_size;
    return true;
}

static bool is_named(const struct property *p, const char *name)
{
    return p->name_size == strlen(name) &&
           strncasecmp((const char *)p->name, name, p->name_size) == 0;
}

static bool is_subscriber(const struct property *type)
{
    return (type->value_size == 3 && memcmp(type->value, "SUB", 3) == 0) ||
           (type->value_size == 4 && memcmp(type->value, "XSUB", 4) == 0);
}

/* READY, then properties. ZeroMQ checks whether the type fits the socket, if there is one. */
static enum zmtp_verdict judge_ready(const uint8_t *p, size_t left)
{
    enum zmtp_verdict verdict = ZMTP_REFUSED;
    if (left < 6 || memcmp(p, "\5READY", 6) != 0)
        return ZMTP_REFUSED;
    p += 6;
    left -= 6;
    while (left > 0) {
        struct property property;
        if (!read_property(&p, &left, &property))
            return ZMTP_REFUSED;
        if (is_named(&property, "Identity") && property.value_size > 0)
            return ZMTP_REFUSED;
        if (is_named(&property, "Socket-Type") && verdict != ZMTP_SUBSCRIBER)
            verdict = is_subscriber(&property) ? ZMTP_SUBSCRIBER : ZMTP_WELCOME;
    }
    return verdict;
}

enum zmtp_verdict zmtp_hello_take(struct zmtp_hello *h, const void *data, size_t size,
                                  size_t *ret_used)
{
    const uint8_t *bytes = data;
    size_t used = 0;
    while (used < size && h->size < sizeof h->bytes) {
        h->bytes[h->size++] = bytes[used++];
        *ret_used = used;
        if (h->size >= BODY_AT && h->size == BODY_AT + h->bytes[FLAGS_AT + 1])
            return greeting_is_wrong(h) ? ZMTP_REFUSED
                                        : judge_ready(h->bytes + BODY_AT, h->bytes[FLAGS_AT + 1]);
    }
    return greeting_is_wrong(h) ? ZMTP_REFUSED : ZMTP_UNDECIDED;
}
