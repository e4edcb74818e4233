/*
 * filter.h - what a watcher wants to see: up to LIMIT_FILTER_PATTERNS keys and
 * key prefixes, in canonical form: sorted (bytewise, exact before prefix), no
 * duplicate, nothing that another pattern covers. Equal sets have equal bytes.
 */
#ifndef VIGIL_PROTOCOL_FILTER_H
#define VIGIL_PROTOCOL_FILTER_H

#include "protocol/limits.h"
#include "protocol/wire.h"

enum pattern_kind { PATTERN_EXACT = 1, PATTERN_PREFIX = 2 };

struct pattern {
    uint8_t kind;
    struct bytes text;
};

/* Owns its texts. About 8 KiB: keep it on the heap. Not copyable by assignment. */
struct filter {
    size_t count;
    struct pattern patterns[LIMIT_FILTER_PATTERNS];
    uint8_t storage[LIMIT_FILTER_PATTERNS * LIMIT_KEY_SIZE];
};

/* Makes f the canonical filter of n patterns. ERR_OK, ERR_BAD_KEY (a pattern's
 * text), ERR_INVALID (kind, no pattern), ERR_LIMIT (too many). */
int filter_init(struct filter *f, const struct pattern *patterns, size_t n);
bool filter_match(const struct filter *f, struct bytes key);
static inline bool filter_is_everything(const struct filter *f)
{
    return f->count == 1 && f->patterns[0].kind == PATTERN_PREFIX && f->patterns[0].text.size == 0;
}
/* Wire form: u16 count, count times (u8 kind, u16 size, text). */
void filter_write(struct wire_buffer *b, const struct filter *f);
/* Reads and makes canonical. ERR_MALFORMED or what filter_init returns. */
int filter_read(struct wire_reader *r, struct filter *f);

#endif
