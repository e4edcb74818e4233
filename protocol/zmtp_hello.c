/* zmtp_hello.c - see zmtp_hello.h. */
#include "protocol/zmtp_hello.h"

#include <string.h>
#include <strings.h>

enum {
    MECHANISM_AT = 12,
    MECHANISM_SIZE = 20,
    SIGNATURE_LAST = 9, /* 0xff, eight bytes of any value, 0x7f; then the version */
    MAJOR_AT = 10,
    MAJOR_MIN = 3,
    FLAGS_AT = ZMTP_GREETING_SIZE,
    COMMAND = 4, /* the flags of a command frame whose size is one byte, or eight */
    LONG_COMMAND = 6
};

/* Peers before version 3 have no READY and no socket type: nothing says what they are. Looked at with
 * each byte, so that the first that is wrong decides, however they come. */
static bool is_wrong(const struct zmtp_hello *h)
{
    uint8_t last = h->bytes[h->size - 1];
    switch (h->size - 1) {
    case 0:
        return last != 0xff;
    case SIGNATURE_LAST:
        return last != 0x7f;
    case MAJOR_AT:
        return last < MAJOR_MIN;
    case FLAGS_AT:
        return last != COMMAND && last != LONG_COMMAND;
    default:
        return false;
    }
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

static bool is_name(const struct property *p)
{
    static const char name[] = "Identity";
    return p->name_size == sizeof name - 1 && p->value_size > 0 &&
           strncasecmp((const char *)p->name, name, sizeof name - 1) == 0;
}

/* In this spelling alone: ZeroMQ does not know another, and lets a peer in without looking at it. */
static bool is_type(const struct property *p)
{
    static const char name[] = "Socket-Type";
    return p->name_size == sizeof name - 1 && memcmp(p->name, name, sizeof name - 1) == 0;
}

static bool is_subscriber(const struct property *type)
{
    return (type->value_size == 3 && memcmp(type->value, "SUB", 3) == 0) ||
           (type->value_size == 4 && memcmp(type->value, "XSUB", 4) == 0);
}

/* READY, then properties. ZeroMQ checks whether each type that is given fits the socket. */
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
        if (is_name(&property))
            return ZMTP_REFUSED;
        if (is_type(&property) && verdict != ZMTP_SUBSCRIBER)
            verdict = is_subscriber(&property) ? ZMTP_SUBSCRIBER : ZMTP_WELCOME;
    }
    return verdict;
}

enum zmtp_verdict zmtp_hello_take(struct zmtp_hello *h, const void *data, size_t size,
                                  size_t *ret_used)
{
    const uint8_t *bytes = data;
    for (size_t used = 0; used < size;) {
        h->bytes[h->size++] = bytes[used++];
        *ret_used = used;
        if (is_wrong(h))
            return ZMTP_REFUSED;
        if (h->size <= FLAGS_AT)
            continue;
        size_t body_at = FLAGS_AT + (h->bytes[FLAGS_AT] == LONG_COMMAND ? 9 : 2);
        if (h->size < body_at)
            continue;
        uint64_t body_size = 0;
        for (size_t i = FLAGS_AT + 1; i < body_at; i++)
            body_size = body_size << 8 | h->bytes[i];
        if (body_size > ZMTP_READY_SIZE_MAX)
            return ZMTP_REFUSED;
        if (h->size == body_at + body_size)
            return judge_ready(h->bytes + body_at, (size_t)body_size);
    }
    return ZMTP_UNDECIDED;
}

static bool is_text(const struct property *p, const char *text)
{
    return text && p->value_size == strlen(text) && memcmp(p->value, text, p->value_size) == 0;
}

bool zmtp_hello_is(const struct zmtp_hello *h, const char *type, const char *other)
{
    static const uint8_t mechanism[MECHANISM_SIZE] = "NULL";
    size_t body_at = FLAGS_AT + (h->bytes[FLAGS_AT] == LONG_COMMAND ? 9 : 2);
    const uint8_t *p = h->bytes + body_at + sizeof "\5READY" - 1;
    size_t left = h->size - body_at - (sizeof "\5READY" - 1);
    struct property property;
    if (memcmp(h->bytes + MECHANISM_AT, mechanism, sizeof mechanism) != 0)
        return false;
    while (left > 0 && read_property(&p, &left, &property)) {
        if (is_type(&property) && !is_text(&property, type) && !is_text(&property, other))
            return false;
    }
    return true;
}
