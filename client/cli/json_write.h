/*
 * json_write.h - MessagePack to JSON text, the inverse of json_read.h.
 *
 * Written straight into a buffer, without a tree: a watch prints hundreds of
 * thousands of lines a second. A float always shows that it is one ("1.0"), in
 * the fewest digits that read back as the same.
 */
#ifndef VIGIL_CLI_JSON_WRITE_H
#define VIGIL_CLI_JSON_WRITE_H

#include "protocol/wire.h"

/* Appends the JSON text of one MessagePack object. False, and out as it was, if value is not exactly
 * one well-formed object. */
bool json_write_value(struct wire_buffer *out, struct bytes value);
/* A JSON string, with its quotes. */
void json_write_string(struct wire_buffer *out, struct bytes text);
void json_write_u64(struct wire_buffer *out, uint64_t number);
/* name is what stands before the number: {"seq": or ,"seq": */
void json_write_member(struct wire_buffer *out, const char *name, uint64_t number);
/* Text that is JSON already. */
void json_write_raw(struct wire_buffer *out, const char *text);

#endif
