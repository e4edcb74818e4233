/*
 * value_edit.h - values made out of others: an array or string with more at its end,
 * and the arrays that tell what a transaction has found.
 *
 * Any thread.
 */
#ifndef VIGIL_PROTOCOL_VALUE_EDIT_H
#define VIGIL_PROTOCOL_VALUE_EDIT_H

#include "protocol/wire.h"

/* Writes what value (NULL: nothing, an empty array) is with element at its end: an array with one
 * more, a string with another, or binary with binary. Both are valid values. *ret_length: elements,
 * or bytes. ERR_OK; ERR_BAD_VALUE: the one cannot be put to the other; ERR_LIMIT: too many levels;
 * ERR_NO_MEMORY: out has failed. */
int value_append(const struct bytes *value, struct bytes element, struct wire_buffer *out,
                 uint64_t *ret_length);
/* Whether an array holds an element of exactly these bytes. ERR_OK, ERR_BAD_VALUE (no array). */
int value_array_has(struct bytes array, struct bytes element, uint32_t *ret_count, bool *ret_has);

/* Parts, in shortest form. */
enum { VALUE_HEAD_SIZE_MAX = 5 };
/* Of an array; returns the size. */
size_t value_array_head(uint32_t count, uint8_t out[VALUE_HEAD_SIZE_MAX]);
void value_write_array(struct wire_buffer *b, uint32_t count);
void value_write_string(struct wire_buffer *b, struct bytes text); /* valid UTF-8 */
void value_write_number(struct wire_buffer *b, uint64_t number);

#endif
