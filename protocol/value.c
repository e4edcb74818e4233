/*
 * value.c - the walk over one MessagePack object, and its integers.
 *
 * 1. A size that a value announces is compared with the bytes that are there
 *    before anything is done with it.
 * 2. The walk's time is bounded by the bytes, its memory by LIMIT_VALUE_DEPTH.
 */
#include "protocol/value.h"

#include "protocol/errors.h"
#include "protocol/key.h"
#include "protocol/limits.h"

enum {
    TAG_FIXMAP = 0x80,
    TAG_FIXARRAY = 0x90,
    TAG_FIXSTR = 0xa0,
    TAG_NIL = 0xc0, /* from here on a tag has a shape, see below */
    TAG_NEVER_USED = 0xc1,
    TAG_UINT8 = 0xcc,
    TAG_UINT16 = 0xcd,
    TAG_UINT32 = 0xce,
    TAG_UINT64 = 0xcf,
    TAG_INT8 = 0xd0,
    TAG_INT16 = 0xd1,
    TAG_INT32 = 0xd2,
    TAG_INT64 = 0xd3,
    TAG_NEGATIVE_FIXINT = 0xe0
};

/* What follows a tag: a big-endian size or count of size_width bytes, then fixed
 * bytes, then what the size or count says. */
enum tag_kind { KIND_PLAIN, KIND_BIN, KIND_STR, KIND_ARRAY, KIND_MAP };
struct tag_shape {
    uint8_t kind;
    uint8_t size_width;
    uint8_t fixed;
};

/* clang-format off */
static const struct tag_shape shapes[32] = {
    [0x00] = {KIND_PLAIN, 0, 0},   /* nil; 0xc1 is never used */
    [0x02] = {KIND_PLAIN, 0, 0},   /* false */
    [0x03] = {KIND_PLAIN, 0, 0},   /* true */
    [0x04] = {KIND_BIN, 1, 0},     /* bin 8, 16, 32 */
    [0x05] = {KIND_BIN, 2, 0},
    [0x06] = {KIND_BIN, 4, 0},
    [0x07] = {KIND_BIN, 1, 1},     /* ext 8, 16, 32: the type before the data */
    [0x08] = {KIND_BIN, 2, 1},
    [0x09] = {KIND_BIN, 4, 1},
    [0x0a] = {KIND_PLAIN, 0, 4},   /* float 32, 64 */
    [0x0b] = {KIND_PLAIN, 0, 8},
    [0x0c] = {KIND_PLAIN, 0, 1},   /* uint 8, 16, 32, 64 */
    [0x0d] = {KIND_PLAIN, 0, 2},
    [0x0e] = {KIND_PLAIN, 0, 4},
    [0x0f] = {KIND_PLAIN, 0, 8},
    [0x10] = {KIND_PLAIN, 0, 1},   /* int 8, 16, 32, 64 */
    [0x11] = {KIND_PLAIN, 0, 2},
    [0x12] = {KIND_PLAIN, 0, 4},
    [0x13] = {KIND_PLAIN, 0, 8},
    [0x14] = {KIND_PLAIN, 0, 2},   /* fixext 1, 2, 4, 8, 16: type and data */
    [0x15] = {KIND_PLAIN, 0, 3},
    [0x16] = {KIND_PLAIN, 0, 5},
    [0x17] = {KIND_PLAIN, 0, 9},
    [0x18] = {KIND_PLAIN, 0, 17},
    [0x19] = {KIND_STR, 1, 0},     /* str 8, 16, 32 */
    [0x1a] = {KIND_STR, 2, 0},
    [0x1b] = {KIND_STR, 4, 0},
    [0x1c] = {KIND_ARRAY, 2, 0},   /* array 16, 32 */
    [0x1d] = {KIND_ARRAY, 4, 0},
    [0x1e] = {KIND_MAP, 2, 0},     /* map 16, 32 */
    [0x1f] = {KIND_MAP, 4, 0},
};
/* clang-format on */

static uint64_t load_big_endian(const uint8_t *p, size_t width)
{
    uint64_t v = 0;
    for (size_t i = 0; i < width; i++)
        v = v << 8 | p[i];
    return v;
}

static void store_big_endian(uint8_t *p, uint64_t v, size_t width)
{
    for (size_t i = width; i > 0; i--, v >>= 8)
        p[i - 1] = (uint8_t)v;
}

/* One scalar, or a container's head. */
struct item {
    bool is_container;
    uint8_t kind;
    uint64_t children;
    struct bytes content; /* of a scalar: behind its tag and size */
};

/* Reads the item at *at, whose tag is there, and moves *at behind it. */
static bool read_item(const uint8_t **at, const uint8_t *end, struct item *ret_item)
{
    const uint8_t *p = *at;
    uint8_t tag = *p++;
    size_t left = (size_t)(end - p);
    uint8_t kind = KIND_PLAIN;
    uint64_t size = 0;

    if (tag < TAG_FIXMAP || tag >= TAG_NEGATIVE_FIXINT) {
        ; /* the tag is the integer */
    } else if (tag < TAG_FIXARRAY) {
        kind = KIND_MAP;
        size = tag & 0x0f;
    } else if (tag < TAG_FIXSTR) {
        kind = KIND_ARRAY;
        size = tag & 0x0f;
    } else if (tag < TAG_NIL) {
        kind = KIND_STR;
        size = tag & 0x1f;
    } else if (tag == TAG_NEVER_USED) {
        return false;
    } else {
        struct tag_shape shape = shapes[tag - TAG_NIL];
        if (left < (size_t)shape.size_width + shape.fixed)
            return false;
        kind = shape.kind;
        size = load_big_endian(p, shape.size_width);
        p += shape.size_width + shape.fixed;
        left -= (size_t)shape.size_width + shape.fixed;
    }

    struct item item = {.is_container = kind == KIND_ARRAY || kind == KIND_MAP, .kind = kind};
    if (item.is_container) {
        item.children = kind == KIND_MAP ? 2 * size : size;
        if (item.children > left) /* each takes a byte at least */
            return false;
    } else {
        if (size > left || (kind == KIND_STR && !utf8_valid((struct bytes){p, (size_t)size})))
            return false;
        item.content = (struct bytes){p, (size_t)size};
        p += size;
    }
    *at = p;
    *ret_item = item;
    return true;
}

/* Where the object that begins at `at` ends, or NULL. */
static const uint8_t *find_end(const uint8_t *at, const uint8_t *end)
{
    uint64_t missing[LIMIT_VALUE_DEPTH]; /* children yet to come, per open container */
    size_t depth = 0;

    while (at < end) {
        struct item item;
        if (!read_item(&at, end, &item))
            return NULL;
        if (item.is_container) {
            if (depth == LIMIT_VALUE_DEPTH)
                return NULL;
            missing[depth++] = item.children;
        } else if (depth > 0) {
            missing[depth - 1]--;
        }
        while (depth > 0 && missing[depth - 1] == 0) { /* a full container is one child more */
            depth--;
            if (depth > 0)
                missing[depth - 1]--;
        }
        if (depth == 0)
            return at;
    }
    return NULL;
}

bool value_valid(struct bytes value)
{
    return value.size > 0 &&
           find_end(value.data, value.data + value.size) == value.data + value.size;
}

bool value_next(struct wire_reader *r, struct bytes *ret_value)
{
    const uint8_t *end = r->failed ? NULL : find_end(r->at, r->end);
    if (!end)
        return false;
    *ret_value = (struct bytes){r->at, (size_t)(end - r->at)};
    r->at = end;
    return true;
}

bool value_next_array(struct wire_reader *r, uint32_t *ret_count)
{
    const uint8_t *at = r->at;
    struct item item;
    if (r->failed || at == r->end || !read_item(&at, r->end, &item) || item.kind != KIND_ARRAY)
        return false;
    *ret_count = (uint32_t)item.children;
    r->at = at;
    return true;
}

bool value_read_string(struct bytes value, struct bytes *ret_text)
{
    const uint8_t *at = value.data;
    struct item item;
    if (value.size == 0 || !read_item(&at, value.data + value.size, &item) ||
        item.kind != KIND_STR || at != value.data + value.size)
        return false;
    *ret_text = item.content;
    return true;
}

/* ---- integers ---- */

int value_read_integer(struct bytes value, struct value_integer *ret_integer)
{
    if (value.size == 0)
        return ERR_NOT_AN_INTEGER;
    uint8_t tag = value.data[0];
    if (tag < TAG_FIXMAP || tag >= TAG_NEGATIVE_FIXINT) {
        if (value.size != 1)
            return ERR_NOT_AN_INTEGER;
        *ret_integer = (struct value_integer){tag >= TAG_NEGATIVE_FIXINT, (uint64_t)(int8_t)tag};
        return ERR_OK;
    }
    if (tag < TAG_UINT8 || tag > TAG_INT64)
        return ERR_NOT_AN_INTEGER;
    size_t width = shapes[tag - TAG_NIL].fixed;
    if (width == 0 || value.size != 1 + width)
        return ERR_NOT_AN_INTEGER;
    uint64_t bits = load_big_endian(value.data + 1, width);
    uint64_t sign = UINT64_C(1) << (8 * width - 1);
    bool negative = tag >= TAG_INT8 && (bits & sign);
    if (negative)
        bits |= ~(sign - 1);
    *ret_integer = (struct value_integer){negative, bits};
    return ERR_OK;
}

int value_integer_add(struct value_integer a, int64_t by, struct value_integer *ret_sum)
{
    uint64_t sum = a.bits + (uint64_t)by;
    bool negative = a.negative;
    if (a.negative == (by < 0)) { /* away from zero: the only way out of the range */
        if (negative ? sum < UINT64_C(1) << 63 : sum < a.bits)
            return ERR_OUT_OF_RANGE;
    } else {
        /* In two's complement a carry out of 64 bits is a step over zero, upwards. */
        bool carry = sum < a.bits;
        negative = !carry;
    }
    *ret_sum = (struct value_integer){negative, sum};
    return ERR_OK;
}

size_t value_write_integer(struct value_integer v, uint8_t out[VALUE_INTEGER_SIZE_MAX])
{
    size_t width;
    uint8_t tag;
    if (v.negative) {
        uint64_t magnitude = ~v.bits; /* less one, so that each power of two is a width's edge */
        if (magnitude < 32) {
            out[0] = (uint8_t)v.bits;
            return 1;
        }
        tag = magnitude < UINT64_C(1) << 7    ? TAG_INT8
              : magnitude < UINT64_C(1) << 15 ? TAG_INT16
              : magnitude < UINT64_C(1) << 31 ? TAG_INT32
                                              : TAG_INT64;
    } else {
        if (v.bits < 128) {
            out[0] = (uint8_t)v.bits;
            return 1;
        }
        tag = v.bits <= UINT8_MAX    ? TAG_UINT8
              : v.bits <= UINT16_MAX ? TAG_UINT16
              : v.bits <= UINT32_MAX ? TAG_UINT32
                                     : TAG_UINT64;
    }
    width = shapes[tag - TAG_NIL].fixed;
    out[0] = tag;
    store_big_endian(out + 1, v.bits, width);
    return 1 + width;
}
