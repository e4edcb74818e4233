/* json_read.c - see json_read.h: json-c's tree, checked before and converted behind it. */
#include "client/cli/json_read.h"

#include "client/cli/base64.h"
#include "client/cli/json_check.h"
#include "protocol/limits.h"

#include <vigil.h>

#include <json-c/json_object_iterator.h>
#include <json-c/json_tokener.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

/* A level of MessagePack may be up to three of JSON: {"$map":[[key, value]]}. */
enum { JSON_DEPTH_MAX = 3 * LIMIT_VALUE_DEPTH + 8 };

struct json_reader {
    struct json_tokener *tokener;
};

int json_reader_new(struct json_reader **ret_reader)
{
    struct json_reader *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return ERR_NO_MEMORY;
    r->tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
    if (r->tokener == NULL) {
        free(r);
        return ERR_NO_MEMORY;
    }
    json_tokener_set_flags(r->tokener, JSON_TOKENER_STRICT);
    *ret_reader = r;
    return ERR_OK;
}

void json_reader_free(struct json_reader *r)
{
    if (r == NULL)
        return;
    json_tokener_free(r->tokener);
    free(r);
}

static int refuse_depth(struct failure *failure)
{
    return failure_set(failure, ERR_BAD_VALUE, "nested more than %d levels deep",
                       LIMIT_VALUE_DEPTH);
}

int json_read_tree(struct json_reader *r, struct bytes text, struct json_object **ret_tree,
                   struct failure *failure)
{
    int err = json_check(text, failure);
    if (err != ERR_OK)
        return err;
    if (text.size >= INT_MAX)
        return failure_set(failure, ERR_BAD_VALUE, "too large for one JSON text");

    /* The NUL tells json-c that a number at the end is complete. */
    json_tokener_reset(r->tokener);
    struct json_object *tree =
        json_tokener_parse_ex(r->tokener, (const char *)text.data, (int)text.size + 1);
    enum json_tokener_error error = json_tokener_get_error(r->tokener);
    size_t end = json_tokener_get_parse_end(r->tokener);
    if (error == json_tokener_success) {
        *ret_tree = tree;
        return ERR_OK;
    }
    json_object_put(tree);
    if (error == json_tokener_error_depth)
        return refuse_depth(failure);
    if (end >= text.size)
        return failure_set(failure, ERR_BAD_VALUE, "no valid JSON: it ends too early");
    return failure_set(failure, ERR_BAD_VALUE, "no valid JSON at byte %zu: %s", end + 1,
                       json_tokener_error_desc(error));
}

static int convert(struct json_object *tree, int depth, struct wire_buffer *out,
                   struct failure *failure);

static int refuse(struct failure *failure, const char *what)
{
    return failure_set(failure, ERR_BAD_VALUE, "%s", what);
}

static void write_text(struct wire_buffer *out, const char *text, size_t size)
{
    uint8_t *p = wire_extend(out, vigil_pack_string(NULL, 0, text, size));
    if (p != NULL)
        vigil_pack_string(p, SIZE_MAX, text, size);
}

static void write_binary(struct wire_buffer *out, struct bytes data)
{
    uint8_t *p = wire_extend(out, vigil_pack_binary(NULL, 0, data.data, data.size));
    if (p != NULL)
        vigil_pack_binary(p, SIZE_MAX, data.data, data.size);
}

/* The form is the one of MessagePack's specification: fixext where the size has one. */
static void write_extension(struct wire_buffer *out, int type, struct bytes data)
{
    switch (data.size) {
    case 1:
    case 2:
    case 4:
    case 8:
    case 16:
        /* fixext 1, 2, 4, 8, 16 are 0xd4 to 0xd8: the tag counts the doublings. */
        wire_write_u8(out, (uint8_t)(0xd4 + __builtin_ctzl(data.size)));
        break;
    default:
        if (data.size <= UINT8_MAX) {
            wire_write_u8(out, 0xc7);
            wire_write_u8(out, (uint8_t)data.size);
        } else if (data.size <= UINT16_MAX) {
            wire_write_u8(out, 0xc8);
            wire_write_u16(out, __builtin_bswap16((uint16_t)data.size));
        } else {
            wire_write_u8(out, 0xc9);
            wire_write_u32(out, __builtin_bswap32((uint32_t)data.size));
        }
    }
    wire_write_u8(out, (uint8_t)type);
    wire_write_raw(out, data.data, data.size);
}

static bool read_base64(struct json_object *text, struct wire_buffer *ret_data)
{
    return json_object_is_type(text, json_type_string) &&
           base64_read(json_object_get_string(text), (size_t)json_object_get_string_len(text),
                       ret_data);
}

static int convert_bin(struct json_object *content, struct wire_buffer *out,
                       struct failure *failure)
{
    struct wire_buffer data;
    int err = ERR_OK;

    wire_buffer_init(&data, out->size_max);
    if (read_base64(content, &data))
        write_binary(out, (struct bytes){data.data, data.size});
    else
        err = refuse(failure, "{\"$bin\":...} holds a string of base64");
    wire_buffer_free(&data);
    return err;
}

static int convert_ext(struct json_object *content, struct wire_buffer *out,
                       struct failure *failure)
{
    struct wire_buffer data;
    int err = ERR_OK;

    wire_buffer_init(&data, out->size_max);
    bool is_pair = json_object_is_type(content, json_type_array) &&
                   json_object_array_length(content) == 2 &&
                   json_object_is_type(json_object_array_get_idx(content, 0), json_type_int);
    int64_t type = is_pair ? json_object_get_int64(json_object_array_get_idx(content, 0)) : 0;
    if (is_pair && type >= INT8_MIN && type <= INT8_MAX &&
        read_base64(json_object_array_get_idx(content, 1), &data))
        write_extension(out, (int)type, (struct bytes){data.data, data.size});
    else
        err = refuse(failure, "{\"$ext\":...} holds [type, base64], type -128 to 127");
    wire_buffer_free(&data);
    return err;
}

static int convert_map(struct json_object *content, int depth, struct wire_buffer *out,
                       struct failure *failure)
{
    static const char what[] = "{\"$map\":...} holds an array of [key, value] pairs";
    uint8_t head[9];

    if (!json_object_is_type(content, json_type_array))
        return refuse(failure, what);
    if (depth >= LIMIT_VALUE_DEPTH)
        return refuse_depth(failure);
    size_t count = json_object_array_length(content);
    wire_write_raw(out, head, vigil_pack_map(head, sizeof(head), (uint32_t)count));
    for (size_t i = 0; i < count; i++) {
        struct json_object *pair = json_object_array_get_idx(content, i);
        if (!json_object_is_type(pair, json_type_array) || json_object_array_length(pair) != 2)
            return refuse(failure, what);
        for (size_t j = 0; j < 2; j++) {
            int err = convert(json_object_array_get_idx(pair, j), depth + 1, out, failure);
            if (err != ERR_OK)
                return err;
        }
    }
    return ERR_OK;
}

static int convert_double(double number, struct wire_buffer *out)
{
    uint8_t packed[9];
    wire_write_raw(out, packed, vigil_pack_double(packed, sizeof(packed), number));
    return ERR_OK;
}

static int convert_float(struct json_object *content, struct wire_buffer *out,
                         struct failure *failure)
{
    const char *name =
        json_object_is_type(content, json_type_string) ? json_object_get_string(content) : "";

    if (strcmp(name, "nan") == 0)
        return convert_double((double)NAN, out);
    if (strcmp(name, "inf") == 0)
        return convert_double((double)INFINITY, out);
    if (strcmp(name, "-inf") == 0)
        return convert_double(-(double)INFINITY, out);
    return refuse(failure, "{\"$float\":...} holds \"nan\", \"inf\" or \"-inf\"");
}

/* depth: containers around tree. */
static int convert_object(struct json_object *tree, int depth, struct wire_buffer *out,
                          struct failure *failure)
{
    uint8_t head[9];
    int count = json_object_object_length(tree);

    if (count == 1) {
        struct json_object_iterator only = json_object_iter_begin(tree);
        const char *tag = json_object_iter_peek_name(&only);
        struct json_object *content = json_object_iter_peek_value(&only);
        if (strcmp(tag, "$bin") == 0)
            return convert_bin(content, out, failure);
        if (strcmp(tag, "$ext") == 0)
            return convert_ext(content, out, failure);
        if (strcmp(tag, "$float") == 0)
            return convert_float(content, out, failure);
        if (strcmp(tag, "$map") == 0)
            return convert_map(content, depth, out, failure);
    }
    if (depth >= LIMIT_VALUE_DEPTH)
        return refuse_depth(failure);
    wire_write_raw(out, head, vigil_pack_map(head, sizeof(head), (uint32_t)count));
    json_object_object_foreach(tree, name, member)
    {
        write_text(out, name, strlen(name));
        int err = convert(member, depth + 1, out, failure);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static int convert_array(struct json_object *tree, int depth, struct wire_buffer *out,
                         struct failure *failure)
{
    uint8_t head[9];
    size_t count = json_object_array_length(tree);

    if (depth >= LIMIT_VALUE_DEPTH)
        return refuse_depth(failure);
    wire_write_raw(out, head, vigil_pack_array(head, sizeof(head), (uint32_t)count));
    for (size_t i = 0; i < count; i++) {
        int err = convert(json_object_array_get_idx(tree, i), depth + 1, out, failure);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static int convert_number(struct json_object *tree, struct wire_buffer *out,
                          struct failure *failure)
{
    uint8_t packed[9];

    if (json_object_is_type(tree, json_type_double)) {
        double number = json_object_get_double(tree);
        if (!isfinite(number))
            return refuse(failure, "a number beyond what a 64-bit float holds");
        return convert_double(number, out);
    }
    /* json-c saturates on reading out as well: the sign decides which of its two to ask. */
    int64_t integer = json_object_get_int64(tree);
    size_t size = integer < 0
                      ? vigil_pack_int(packed, sizeof(packed), integer)
                      : vigil_pack_uint(packed, sizeof(packed), json_object_get_uint64(tree));
    wire_write_raw(out, packed, size);
    return ERR_OK;
}

/* depth: containers around tree. */
static int convert(struct json_object *tree, int depth, struct wire_buffer *out,
                   struct failure *failure)
{
    uint8_t packed[1];
    enum json_type type = json_object_get_type(tree);

    switch (type) {
    case json_type_null:
        wire_write_raw(out, packed, vigil_pack_nil(packed, sizeof(packed)));
        return ERR_OK;
    case json_type_boolean:
        wire_write_raw(out, packed,
                       vigil_pack_bool(packed, sizeof(packed), json_object_get_boolean(tree) != 0));
        return ERR_OK;
    case json_type_double:
    case json_type_int:
        return convert_number(tree, out, failure);
    case json_type_string:
        write_text(out, json_object_get_string(tree), (size_t)json_object_get_string_len(tree));
        return ERR_OK;
    case json_type_array:
        return convert_array(tree, depth, out, failure);
    case json_type_object:
        return convert_object(tree, depth, out, failure);
    }
    return refuse(failure, "a JSON type that is not known here");
}

int json_tree_to_value(struct json_object *tree, struct wire_buffer *out, struct failure *failure)
{
    int err = convert(tree, 0, out, failure);

    if (err == ERR_OK && out->failed)
        return failure_set(failure, ERR_NO_MEMORY, "the value is too large to be held in memory");
    return err;
}

int json_read_value(struct json_reader *r, struct bytes text, struct wire_buffer *out,
                    struct failure *failure)
{
    struct json_object *tree = NULL;
    int err = json_read_tree(r, text, &tree, failure);

    if (err != ERR_OK)
        return err;
    err = json_tree_to_value(tree, out, failure);
    json_object_put(tree);
    return err;
}
