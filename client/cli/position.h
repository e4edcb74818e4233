/* position.h - positions as text: N, EPOCH:N with the epoch in 16 hexadecimal digits, oldest, now. */
#ifndef VIGIL_CLI_POSITION_H
#define VIGIL_CLI_POSITION_H

#include <vigil.h>

struct start {
    enum vigil_since since;
    vigil_position position; /* with VIGIL_SINCE_POSITION */
};

/* Decimal digits only, at most 2^64-1. */
bool position_parse_u64(const char *text, uint64_t *ret_number);
/* N or EPOCH:N; without an epoch it is 0, which is whatever the server's is. */
bool position_parse(const char *text, vigil_position *ret_position);
/* The argument of --since. */
bool position_parse_start(const char *text, struct start *ret_start);

enum { POSITION_TEXT_SIZE = 16 + 1 + 20 + 1 };
/* EPOCH:N */
void position_format(vigil_position position, char text[POSITION_TEXT_SIZE]);

#endif
