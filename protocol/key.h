/* key.h - what a key is: 1 to LIMIT_KEY_SIZE bytes of valid UTF-8 without NUL. */
#ifndef VIGIL_PROTOCOL_KEY_H
#define VIGIL_PROTOCOL_KEY_H

#include "protocol/wire.h"

bool key_valid(struct bytes key);
/* A prefix may be empty, and may end within a character. */
bool prefix_valid(struct bytes prefix);
/* Well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates), any length. */
bool utf8_valid(struct bytes text);

#endif
