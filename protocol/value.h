/*
 * value.h - what a value is: exactly one well-formed MessagePack object, with
 * at most LIMIT_VALUE_DEPTH nested containers, strings of valid UTF-8.
 *
 * The check walks the bytes with a bounded cursor and allocates nothing: a
 * container's announced size is never believed (see docs/protocol.md).
 */
#ifndef VIGIL_PROTOCOL_VALUE_H
#define VIGIL_PROTOCOL_VALUE_H

#include "protocol/wire.h"

bool value_valid(struct bytes value);
/* The object at the reader, which may be followed by others, and the reader moves behind it. False
 * if there is none that is well-formed; the reader is then as it was. */
bool value_next(struct wire_reader *r, struct bytes *ret_value);
/* The head of an array there: its elements follow, each for value_next. False as above. */
bool value_next_array(struct wire_reader *r, uint32_t *ret_count);
/* The bytes of a string, or false. */
bool value_read_string(struct bytes value, struct bytes *ret_text);

/* An integer of MessagePack's whole range, -2^63 .. 2^64-1. */
struct value_integer {
    bool negative; /* then bits is the two's complement */
    uint64_t bits;
};
/* ERR_OK or ERR_NOT_AN_INTEGER. */
int value_read_integer(struct bytes value, struct value_integer *ret_integer);
/* a + by; ERR_OUT_OF_RANGE if the sum is outside the range. */
int value_integer_add(struct value_integer a, int64_t by, struct value_integer *ret_sum);
enum { VALUE_INTEGER_SIZE_MAX = 9 };
/* Shortest form. Returns the size. */
size_t value_write_integer(struct value_integer v, uint8_t out[VALUE_INTEGER_SIZE_MAX]);

#endif
