/* base64.h - RFC 4648, with padding: how JSON carries binary values. */
#ifndef VIGIL_CLI_BASE64_H
#define VIGIL_CLI_BASE64_H

#include "protocol/wire.h"

void base64_write(struct wire_buffer *out, struct bytes data);
/* Appends the bytes to out. False if text is not canonical base64, or out failed. */
bool base64_read(const char *text, size_t size, struct wire_buffer *out);

#endif
