/*
 * quantity.h - numbers as people write them in options: 64K, 10G, 500ms, 7d.
 * Pure; false leaves the result as it was. Overflow is an error.
 */
#ifndef VIGIL_SERVER_NET_QUANTITY_H
#define VIGIL_SERVER_NET_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

/* A plain decimal number. */
bool quantity_parse_count(const char *text, uint64_t *ret_count);
/* Bytes; K, M, G, T are powers of 1024 (also KiB and so on). */
bool quantity_parse_size(const char *text, uint64_t *ret_bytes);
/* Milliseconds; a number needs its unit (ms, s, m, h, d), except 0. */
bool quantity_parse_duration(const char *text, uint64_t *ret_ms);

#endif
