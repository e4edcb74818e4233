/* values.c - making and reading the common MessagePack values. */
#include <vigil.h>

#include <math.h>
#include <msgpack.h>
#include <string.h>

#include "client/arguments.h"
#include "protocol/value.h"

/* ---- packing ---- */

/* What fits is written; the size counts on, as with snprintf. */
struct bounded {
    uint8_t *out;
    size_t capacity;
    size_t size;
};

static int write_bounded(void *data, const char *bytes, size_t size)
{
    struct bounded *b = data;
    if (b->size <= b->capacity && size <= b->capacity - b->size && size > 0)
        memcpy(b->out + b->size, bytes, size);
    b->size += size;
    return 0;
}

#define PACK(out_, capacity_, ...)                                  \
    struct bounded bounded = {(out_), (out_) ? (capacity_) : 0, 0}; \
    msgpack_packer packer;                                          \
    msgpack_packer_init(&packer, &bounded, write_bounded);          \
    __VA_ARGS__;                                                    \
    return bounded.size

size_t vigil_pack_nil(void *out, size_t capacity)
{
    PACK(out, capacity, msgpack_pack_nil(&packer));
}

size_t vigil_pack_bool(void *out, size_t capacity, bool value)
{
    PACK(out, capacity, value ? msgpack_pack_true(&packer) : msgpack_pack_false(&packer));
}

size_t vigil_pack_int(void *out, size_t capacity, int64_t value)
{
    PACK(out, capacity, msgpack_pack_int64(&packer, value));
}

size_t vigil_pack_uint(void *out, size_t capacity, uint64_t value)
{
    PACK(out, capacity, msgpack_pack_uint64(&packer, value));
}

size_t vigil_pack_double(void *out, size_t capacity, double value)
{
    PACK(out, capacity, msgpack_pack_double(&packer, value));
}

size_t vigil_pack_string(void *out, size_t capacity, const char *text, size_t size)
{
    PACK(out, capacity, msgpack_pack_str(&packer, size);
         msgpack_pack_str_body(&packer, text, size));
}

size_t vigil_pack_binary(void *out, size_t capacity, const void *data, size_t size)
{
    PACK(out, capacity, msgpack_pack_bin(&packer, size);
         msgpack_pack_bin_body(&packer, data, size));
}

size_t vigil_pack_array(void *out, size_t capacity, uint32_t count)
{
    PACK(out, capacity, msgpack_pack_array(&packer, count));
}

size_t vigil_pack_map(void *out, size_t capacity, uint32_t count)
{
    PACK(out, capacity, msgpack_pack_map(&packer, count));
}

/* ---- reading ---- */

enum {
    TAG_FIXSTR = 0xa0,
    TAG_FIXSTR_END = 0xc0,
    TAG_FALSE = 0xc2,
    TAG_TRUE = 0xc3,
    TAG_BIN8 = 0xc4,
    TAG_FLOAT32 = 0xca,
    TAG_FLOAT64 = 0xcb,
    TAG_STR8 = 0xd9
};
static const double two_to_63 = 9223372036854775808.0;
static const double two_to_64 = 18446744073709551616.0;

/* Whole and well-formed, so that nothing further has to be checked. */
static bool is_valid(const void *value, size_t size)
{
    return value && size > 0 && value_valid((struct bytes){value, size});
}

static uint64_t load_big_endian(const uint8_t *p, size_t width)
{
    uint64_t v = 0;
    for (size_t i = 0; i < width; i++)
        v = v << 8 | p[i];
    return v;
}

static bool read_float(const uint8_t *p, double *ret)
{
    if (p[0] == TAG_FLOAT64) {
        uint64_t bits = load_big_endian(p + 1, 8);
        memcpy(ret, &bits, sizeof *ret);
        return true;
    }
    if (p[0] == TAG_FLOAT32) {
        uint32_t bits = (uint32_t)load_big_endian(p + 1, 4);
        float f;
        memcpy(&f, &bits, sizeof f);
        *ret = (double)f;
        return true;
    }
    return false;
}

/* Any number without a fraction, within -2^63 .. 2^64 - 1. */
static bool read_whole(const void *value, size_t size, struct value_integer *ret)
{
    double d;
    if (!is_valid(value, size))
        return false;
    if (value_read_integer((struct bytes){value, size}, ret) == ERR_OK)
        return true;
    if (!read_float(value, &d) || d != floor(d) || d < -two_to_63 || d >= two_to_64)
        return false;
    ret->negative = d < 0;
    ret->bits = d < 0 ? (uint64_t)(int64_t)d : (uint64_t)d;
    return true;
}

int vigil_unpack_bool(const void *value, size_t size, bool *ret)
{
    const uint8_t *p = value;
    if (!is_valid(value, size) || (p[0] != TAG_TRUE && p[0] != TAG_FALSE))
        return ERR_BAD_VALUE;
    *ret = p[0] == TAG_TRUE;
    return ERR_OK;
}

int vigil_unpack_int(const void *value, size_t size, int64_t *ret)
{
    struct value_integer integer;
    if (!read_whole(value, size, &integer) || (!integer.negative && integer.bits > INT64_MAX))
        return ERR_BAD_VALUE;
    *ret = (int64_t)integer.bits;
    return ERR_OK;
}

int vigil_unpack_uint(const void *value, size_t size, uint64_t *ret)
{
    struct value_integer integer;
    if (!read_whole(value, size, &integer) || integer.negative)
        return ERR_BAD_VALUE;
    *ret = integer.bits;
    return ERR_OK;
}

int vigil_unpack_double(const void *value, size_t size, double *ret)
{
    struct value_integer integer;
    if (!is_valid(value, size))
        return ERR_BAD_VALUE;
    if (read_float(value, ret))
        return ERR_OK;
    if (value_read_integer((struct bytes){value, size}, &integer) != ERR_OK)
        return ERR_BAD_VALUE;
    double d = integer.negative ? (double)(int64_t)integer.bits : (double)integer.bits;
    /* Beyond 2^53 not every integer has a double. The largest round up to 2^64, which has no
     * integer. */
    bool same = integer.negative ? (int64_t)d == (int64_t)integer.bits
                                 : d < two_to_64 && (uint64_t)d == integer.bits;
    if (!same)
        return ERR_BAD_VALUE;
    *ret = d;
    return ERR_OK;
}

/* The content behind a head of 1 + 1, 2 or 4 bytes, counted from the tag for one byte. */
static struct bytes content_of(const uint8_t *p, uint8_t tag_of_8)
{
    size_t width = (size_t)1 << (p[0] - tag_of_8);
    return (struct bytes){p + 1 + width, (size_t)load_big_endian(p + 1, width)};
}

int vigil_unpack_string(const void *value, size_t size, const char **ret_text, size_t *ret_size)
{
    const uint8_t *p = value;
    struct bytes content;
    if (!is_valid(value, size))
        return ERR_BAD_VALUE;
    if (p[0] >= TAG_FIXSTR && p[0] < TAG_FIXSTR_END)
        content = (struct bytes){p + 1, p[0] & 0x1fu};
    else if (p[0] >= TAG_STR8 && p[0] <= TAG_STR8 + 2)
        content = content_of(p, TAG_STR8);
    else
        return ERR_BAD_VALUE;
    *ret_text = (const char *)content.data;
    *ret_size = content.size;
    return ERR_OK;
}

int vigil_unpack_binary(const void *value, size_t size, const void **ret_data, size_t *ret_size)
{
    const uint8_t *p = value;
    if (!is_valid(value, size) || p[0] < TAG_BIN8 || p[0] > TAG_BIN8 + 2)
        return ERR_BAD_VALUE;
    struct bytes content = content_of(p, TAG_BIN8);
    *ret_data = content.data;
    *ret_size = content.size;
    return ERR_OK;
}

bool vigil_value_valid(const void *value, size_t size)
{
    return is_valid(value, size);
}

bool vigil_key_valid(const char *key)
{
    struct bytes bytes;
    return arguments_key(NULL, key, &bytes) == ERR_OK;
}
