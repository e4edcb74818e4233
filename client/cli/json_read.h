/*
 * json_read.h - JSON text to MessagePack, the way values enter the store.
 *
 * Integers keep all their digits up to 64 bits; larger ones are an error. Other
 * numbers become 64-bit floats. Of a repeated name the last value counts. What
 * JSON has no word for is a tagged object of exactly one member:
 *
 *   {"$bin": "base64"}             binary
 *   {"$ext": [type, "base64"]}     extension, type -128..127
 *   {"$map": [[key, value], ...]}  a map whose keys are not all strings, or that
 *                                  would be taken for one of these
 *   {"$float": "nan"}              nan, inf, -inf
 */
#ifndef VIGIL_CLI_JSON_READ_H
#define VIGIL_CLI_JSON_READ_H

#include "protocol/failure.h"
#include "protocol/wire.h"

#include <json-c/json_object.h>
#include <json-c/linkhash.h> /* for json_object_object_foreach */

/* Keeps what can be used again from one text to the next. One thread at a time. */
struct json_reader;
int json_reader_new(struct json_reader **ret_reader);
void json_reader_free(struct json_reader *r);

/* One JSON text as json-c's tree; the caller calls json_object_put (null is a NULL tree). text.data
 * must be followed by a NUL. ERR_OK or ERR_BAD_VALUE with a sentence in failure. */
int json_read_tree(struct json_reader *r, struct bytes text, struct json_object **ret_tree,
                   struct failure *failure);
/* Appends the tree as one MessagePack object. ERR_OK, ERR_BAD_VALUE, ERR_NO_MEMORY. */
int json_tree_to_value(struct json_object *tree, struct wire_buffer *out, struct failure *failure);
/* Both in one. */
int json_read_value(struct json_reader *r, struct bytes text, struct wire_buffer *out,
                    struct failure *failure);

#endif
