/* value_edit.c - see value_edit.h. */
#include "protocol/value_edit.h"

#include "protocol/errors.h"
#include "protocol/value.h"

/* A head: fixed is the tag up to fixed_max; then tags of a size of 8 bits (0: there is none), 16,
 * and 32. */
struct head_shape {
    uint8_t fixed;
    uint8_t fixed_max;
    bool has_fixed;
    uint8_t tag8;
    uint8_t tag16;
    uint8_t tag32;
};
static const struct head_shape array_shape = {0x90, 15, true, 0, 0xdc, 0xdd};
static const struct head_shape string_shape = {0xa0, 31, true, 0xd9, 0xda, 0xdb};
static const struct head_shape binary_shape = {0, 0, false, 0xc4, 0xc5, 0xc6};

static size_t make_head(const struct head_shape *shape, uint32_t size,
                        uint8_t out[VALUE_HEAD_SIZE_MAX])
{
    size_t width = 4;
    if (shape->has_fixed && size <= shape->fixed_max) {
        out[0] = (uint8_t)(shape->fixed | size);
        return 1;
    }
    out[0] = shape->tag32;
    if (shape->tag8 && size <= UINT8_MAX) {
        out[0] = shape->tag8;
        width = 1;
    } else if (size <= UINT16_MAX) {
        out[0] = shape->tag16;
        width = 2;
    }
    for (size_t i = 0; i < width; i++)
        out[1 + i] = (uint8_t)(size >> (8 * (width - 1 - i)));
    return 1 + width;
}

static void write_head(struct wire_buffer *b, const struct head_shape *shape, uint32_t size)
{
    uint8_t head[VALUE_HEAD_SIZE_MAX];
    wire_write_raw(b, head, make_head(shape, size, head));
}

size_t value_array_head(uint32_t count, uint8_t out[VALUE_HEAD_SIZE_MAX])
{
    return make_head(&array_shape, count, out);
}

void value_write_array(struct wire_buffer *b, uint32_t count)
{
    write_head(b, &array_shape, count);
}

void value_write_string(struct wire_buffer *b, struct bytes text)
{
    write_head(b, &string_shape, (uint32_t)text.size);
    wire_write_raw(b, text.data, text.size);
}

void value_write_number(struct wire_buffer *b, uint64_t number)
{
    uint8_t out[VALUE_INTEGER_SIZE_MAX];
    wire_write_raw(b, out, value_write_integer((struct value_integer){false, number}, out));
}

/* ---- appending ---- */

static bool read_binary(struct bytes value, struct bytes *ret_content)
{
    if (value.size == 0 || value.data[0] < binary_shape.tag8 || value.data[0] > binary_shape.tag32)
        return false;
    size_t head = 1 + ((size_t)1 << (value.data[0] - binary_shape.tag8));
    *ret_content = (struct bytes){value.data + head, value.size - head};
    return true;
}

/* An array of this one element is a value: it has not too many levels. */
static bool can_be_element(struct bytes element, struct wire_buffer *scratch)
{
    size_t begin = scratch->size;
    value_write_array(scratch, 1);
    wire_write_raw(scratch, element.data, element.size);
    bool valid = scratch->failed ||
                 value_valid((struct bytes){scratch->data + begin, scratch->size - begin});
    scratch->size = begin;
    return valid;
}

static int append_element(struct bytes array, struct bytes element, struct wire_buffer *out,
                          uint64_t *ret_length)
{
    struct wire_reader r = wire_reader_of(array.data, array.size);
    uint32_t count;
    if (!value_next_array(&r, &count))
        return ERR_BAD_VALUE;
    if (!can_be_element(element, out))
        return ERR_LIMIT;
    value_write_array(out, count + 1);
    wire_write_raw(out, r.at, wire_left(&r));
    wire_write_raw(out, element.data, element.size);
    *ret_length = (uint64_t)count + 1;
    return ERR_OK;
}

static void append_bytes(const struct head_shape *shape, struct bytes before, struct bytes more,
                         struct wire_buffer *out, uint64_t *ret_length)
{
    *ret_length = (uint64_t)before.size + more.size;
    write_head(out, shape, (uint32_t)*ret_length);
    wire_write_raw(out, before.data, before.size);
    wire_write_raw(out, more.data, more.size);
}

int value_append(const struct bytes *value, struct bytes element, struct wire_buffer *out,
                 uint64_t *ret_length)
{
    static const uint8_t empty_array[] = {0x90};
    struct bytes is = value ? *value : (struct bytes){empty_array, 1};
    struct bytes before;
    struct bytes more;
    int err = ERR_OK;
    if (value_read_string(is, &before) && value_read_string(element, &more))
        append_bytes(&string_shape, before, more, out, ret_length);
    else if (read_binary(is, &before) && read_binary(element, &more))
        append_bytes(&binary_shape, before, more, out, ret_length);
    else
        err = append_element(is, element, out, ret_length);
    return !err && out->failed ? ERR_NO_MEMORY : err;
}

int value_array_has(struct bytes array, struct bytes element, uint32_t *ret_count, bool *ret_has)
{
    struct wire_reader r = wire_reader_of(array.data, array.size);
    struct bytes at;
    uint32_t count;
    bool has = false;
    if (!value_next_array(&r, &count))
        return ERR_BAD_VALUE;
    for (uint32_t i = 0; i < count && !has && value_next(&r, &at); i++)
        has = bytes_equal(at, element);
    *ret_count = count;
    *ret_has = has;
    return ERR_OK;
}
