/*
 * json_write.c - see json_write.h. No state: any thread.
 *
 * 1. Nothing is read beyond the value's end, whatever its sizes say.
 * 2. The depth is bounded by LIMIT_VALUE_DEPTH; the time by that times the size
 *    (each map is looked over once before it is written).
 */
#include "client/cli/json_write.h"

#include "client/cli/base64.h"
#include "protocol/limits.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void json_write_raw(struct wire_buffer *out, const char *text)
{
    wire_write_raw(out, text, strlen(text));
}

void json_write_u64(struct wire_buffer *out, uint64_t number)
{
    uint8_t digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    wire_write_raw(out, digits + at, sizeof(digits) - at);
}

void json_write_member(struct wire_buffer *out, const char *name, uint64_t number)
{
    json_write_raw(out, name);
    json_write_u64(out, number);
}

static void write_i64(struct wire_buffer *out, int64_t number)
{
    if (number < 0)
        wire_write_u8(out, '-');
    json_write_u64(out, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

static void write_escape(struct wire_buffer *out, uint8_t character)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r',
                                   ['\t'] = 't', ['"'] = '"',  ['\\'] = '\\'};

    if (character < sizeof(letters) && letters[character] != 0) {
        const uint8_t escape[2] = {'\\', (uint8_t)letters[character]};
        wire_write_raw(out, escape, sizeof(escape));
    } else {
        const uint8_t escape[6] = {
            '\\', 'u', '0', '0', (uint8_t)hex[character >> 4], (uint8_t)hex[character & 15]};
        wire_write_raw(out, escape, sizeof(escape));
    }
}

void json_write_string(struct wire_buffer *out, struct bytes text)
{
    size_t done = 0;

    wire_write_u8(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        uint8_t character = text.data[i];
        /* DEL is valid in JSON, but not nice to a terminal. */
        if (character >= 0x20 && character != '"' && character != '\\' && character != 0x7f)
            continue;
        wire_write_raw(out, text.data + done, i - done);
        write_escape(out, character);
        done = i + 1;
    }
    wire_write_raw(out, text.data + done, text.size - done);
    wire_write_u8(out, '"');
}

static void write_double(struct wire_buffer *out, double number)
{
    char digits[40];

    if (isnan(number) || isinf(number)) {
        json_write_raw(out, "{\"$float\":\"");
        json_write_raw(out, isnan(number) ? "nan" : number > 0 ? "inf" : "-inf");
        json_write_raw(out, "\"}");
        return;
    }
    /* 15 digits are always exact, and trailing zeros are left out, but below DBL_MIN there are fewer. */
    for (int precision = fabs(number) < DBL_MIN ? 1 : 15; precision <= 17; precision++) {
        snprintf(digits, sizeof(digits), "%.*g", precision, number);
        if (strtod(digits, NULL) == number)
            break;
    }
    json_write_raw(out, digits);
    if (strpbrk(digits, ".e") == NULL)
        json_write_raw(out, ".0");
}

/* One object of MessagePack; of a container its head, the elements follow. */
enum item_kind {
    ITEM_NIL,
    ITEM_BOOL,
    ITEM_UNSIGNED,
    ITEM_SIGNED,
    ITEM_FLOAT,
    ITEM_STRING,
    ITEM_BINARY,
    ITEM_EXTENSION,
    ITEM_ARRAY,
    ITEM_MAP
};

struct item {
    enum item_kind kind;
    uint64_t number; /* bool, unsigned, signed (two's complement), and a container's count */
    double real;
    int8_t type; /* of an extension */
    struct bytes data;
};

static uint64_t read_big_endian(struct wire_reader *r, size_t width)
{
    struct bytes raw = wire_read_raw(r, width);
    uint64_t number = 0;

    for (size_t i = 0; i < raw.size; i++)
        number = number << 8 | raw.data[i];
    return number;
}

static void read_extension(struct wire_reader *r, struct item *item, uint64_t size)
{
    item->kind = ITEM_EXTENSION;
    item->type = (int8_t)wire_read_u8(r);
    item->data = wire_read_raw(r, (size_t)size);
}

static void read_float(struct wire_reader *r, struct item *item, size_t width)
{
    uint64_t bits = read_big_endian(r, width);

    item->kind = ITEM_FLOAT;
    if (width == sizeof(float)) {
        uint32_t narrow = (uint32_t)bits;
        float single;
        memcpy(&single, &narrow, sizeof(single));
        item->real = (double)single;
    } else {
        memcpy(&item->real, &bits, sizeof(bits));
    }
}

static void read_signed(struct wire_reader *r, struct item *item, size_t width)
{
    unsigned shift = (unsigned)(64 - 8 * width);

    item->number = (uint64_t)((int64_t)(read_big_endian(r, width) << shift) >> shift);
    item->kind = (int64_t)item->number < 0 ? ITEM_SIGNED : ITEM_UNSIGNED;
}

/* Tags 0xc0 to 0xdf. */
static bool read_wide_item(struct wire_reader *r, uint8_t tag, struct item *item)
{
    switch (tag) {
    case 0xc0:
        item->kind = ITEM_NIL;
        return true;
    case 0xc2:
    case 0xc3:
        item->kind = ITEM_BOOL;
        item->number = tag & 1;
        return true;
    case 0xc4: /* bin 8, 16, 32 */
    case 0xc5:
    case 0xc6:
        item->kind = ITEM_BINARY;
        item->data = wire_read_raw(r, (size_t)read_big_endian(r, (size_t)1 << (tag - 0xc4)));
        return true;
    case 0xc7: /* ext 8, 16, 32 */
    case 0xc8:
    case 0xc9:
        read_extension(r, item, read_big_endian(r, (size_t)1 << (tag - 0xc7)));
        return true;
    case 0xca:
    case 0xcb:
        read_float(r, item, tag == 0xca ? sizeof(float) : sizeof(double));
        return true;
    case 0xcc: /* uint 8, 16, 32, 64 */
    case 0xcd:
    case 0xce:
    case 0xcf:
        item->kind = ITEM_UNSIGNED;
        item->number = read_big_endian(r, (size_t)1 << (tag - 0xcc));
        return true;
    case 0xd0: /* int 8, 16, 32, 64 */
    case 0xd1:
    case 0xd2:
    case 0xd3:
        read_signed(r, item, (size_t)1 << (tag - 0xd0));
        return true;
    case 0xd4: /* fixext 1, 2, 4, 8, 16 */
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        read_extension(r, item, UINT64_C(1) << (tag - 0xd4));
        return true;
    case 0xd9: /* str 8, 16, 32 */
    case 0xda:
    case 0xdb:
        item->kind = ITEM_STRING;
        item->data = wire_read_raw(r, (size_t)read_big_endian(r, (size_t)1 << (tag - 0xd9)));
        return true;
    case 0xdc: /* array 16, 32 */
    case 0xdd:
        item->kind = ITEM_ARRAY;
        item->number = read_big_endian(r, (size_t)2 << (tag - 0xdc));
        return true;
    case 0xde: /* map 16, 32 */
    case 0xdf:
        item->kind = ITEM_MAP;
        item->number = read_big_endian(r, (size_t)2 << (tag - 0xde));
        return true;
    default: /* 0xc1 */
        return false;
    }
}

static bool read_item(struct wire_reader *r, struct item *ret_item)
{
    uint8_t tag = wire_read_u8(r);

    if (r->failed)
        return false;
    if (tag < 0x80) {
        *ret_item = (struct item){.kind = ITEM_UNSIGNED, .number = tag};
    } else if (tag < 0x90) {
        *ret_item = (struct item){.kind = ITEM_MAP, .number = tag & 15};
    } else if (tag < 0xa0) {
        *ret_item = (struct item){.kind = ITEM_ARRAY, .number = tag & 15};
    } else if (tag < 0xc0) {
        *ret_item = (struct item){.kind = ITEM_STRING, .data = wire_read_raw(r, tag & 31)};
    } else if (tag >= 0xe0) {
        *ret_item = (struct item){.kind = ITEM_SIGNED, .number = (uint64_t)(int64_t)(int8_t)tag};
    } else {
        *ret_item = (struct item){0};
        if (!read_wide_item(r, tag, ret_item))
            return false;
    }
    /* Each element takes a byte at least: a count is never believed beyond that. */
    bool is_container = ret_item->kind == ITEM_ARRAY || ret_item->kind == ITEM_MAP;
    return !r->failed && (!is_container || ret_item->number <= wire_left(r));
}

static bool is_tag(struct bytes name)
{
    static const char *const tags[] = {"$bin", "$ext", "$map", "$float"};

    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
        if (name.size == strlen(tags[i]) && memcmp(name.data, tags[i], name.size) == 0)
            return true;
    return false;
}

/* True if the map whose count elements r is at can be a plain JSON object. r is a copy: not moved. */
static bool map_is_plain(struct wire_reader r, uint64_t count)
{
    struct item key;

    for (uint64_t i = 0; i < count; i++) {
        if (!read_item(&r, &key) || key.kind != ITEM_STRING || (count == 1 && is_tag(key.data)))
            return false;
        /* JSON can say it, but json-c would cut the name short on the way back. */
        if (key.data.size > 0 && memchr(key.data.data, '\0', key.data.size) != NULL)
            return false;
        struct item skipped;
        for (uint64_t left = 1; left > 0; left--) {
            if (!read_item(&r, &skipped))
                return false;
            if (skipped.kind == ITEM_ARRAY)
                left += skipped.number;
            else if (skipped.kind == ITEM_MAP)
                left += 2 * skipped.number;
        }
    }
    return true;
}

static bool write_next(struct wire_buffer *out, struct wire_reader *r, int depth);

static bool write_elements(struct wire_buffer *out, struct wire_reader *r, int depth,
                           uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0)
            wire_write_u8(out, ',');
        if (!write_next(out, r, depth))
            return false;
    }
    return true;
}

static bool write_map(struct wire_buffer *out, struct wire_reader *r, int depth, uint64_t count)
{
    bool plain = map_is_plain(*r, count);

    json_write_raw(out, plain ? "{" : "{\"$map\":[");
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0)
            wire_write_u8(out, ',');
        if (!plain)
            wire_write_u8(out, '[');
        if (!write_next(out, r, depth))
            return false;
        wire_write_u8(out, plain ? ':' : ',');
        if (!write_next(out, r, depth))
            return false;
        if (!plain)
            wire_write_u8(out, ']');
    }
    json_write_raw(out, plain ? "}" : "]}");
    return true;
}

static bool write_container(struct wire_buffer *out, struct wire_reader *r, int depth,
                            const struct item *item)
{
    if (depth >= LIMIT_VALUE_DEPTH)
        return false;
    if (item->kind == ITEM_MAP)
        return write_map(out, r, depth + 1, item->number);
    wire_write_u8(out, '[');
    bool ok = write_elements(out, r, depth + 1, item->number);
    wire_write_u8(out, ']');
    return ok;
}

/* depth: containers around what r is at. */
static bool write_next(struct wire_buffer *out, struct wire_reader *r, int depth)
{
    struct item item;

    if (!read_item(r, &item))
        return false;
    switch (item.kind) {
    case ITEM_NIL:
        json_write_raw(out, "null");
        break;
    case ITEM_BOOL:
        json_write_raw(out, item.number ? "true" : "false");
        break;
    case ITEM_UNSIGNED:
        json_write_u64(out, item.number);
        break;
    case ITEM_SIGNED:
        write_i64(out, (int64_t)item.number);
        break;
    case ITEM_FLOAT:
        write_double(out, item.real);
        break;
    case ITEM_STRING:
        json_write_string(out, item.data);
        break;
    case ITEM_BINARY:
        json_write_raw(out, "{\"$bin\":\"");
        base64_write(out, item.data);
        json_write_raw(out, "\"}");
        break;
    case ITEM_EXTENSION:
        json_write_raw(out, "{\"$ext\":[");
        write_i64(out, item.type);
        json_write_raw(out, ",\"");
        base64_write(out, item.data);
        json_write_raw(out, "\"]}");
        break;
    case ITEM_ARRAY:
    case ITEM_MAP:
        return write_container(out, r, depth, &item);
    }
    return true;
}

bool json_write_value(struct wire_buffer *out, struct bytes value)
{
    size_t before = out->size;
    struct wire_reader r = wire_reader_of(value.data, value.size);

    if (write_next(out, &r, 0) && wire_read_complete(&r) && !out->failed)
        return true;
    if (!out->failed)
        out->size = before;
    return false;
}
