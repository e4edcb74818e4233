/*
 * Filters: what can be read has a canonical form that reads as itself, and the
 * bytes that follow, taken as keys, match as a naive look at the patterns says.
 */
#include <assert.h>
#include <stdlib.h>

#include "protocol/errors.h"
#include "protocol/filter.h"
#include "protocol/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Looks at the patterns as they were sent. */
static bool naive_match(const uint8_t *sent, size_t size, struct bytes key)
{
    struct wire_reader r = wire_reader_of(sent, size);
    bool matches = false;
    uint16_t count = wire_read_u16(&r);
    for (uint16_t i = 0; i < count; i++) {
        uint8_t kind = wire_read_u8(&r);
        struct bytes text = wire_read_bytes16(&r);
        struct bytes start = {key.data, text.size < key.size ? text.size : key.size};
        matches = matches || bytes_equal(text, kind == PATTERN_PREFIX ? start : key);
    }
    return matches;
}

static void check_canonical(const struct filter *f, struct filter *back)
{
    struct wire_buffer b;
    struct wire_buffer again;
    wire_buffer_init(&b, 1 << 16);
    wire_buffer_init(&again, 1 << 16);
    filter_write(&b, f);
    assert(!b.failed);
    struct wire_reader r = wire_reader_of(b.data, b.size);
    int err = filter_read(&r, back);
    assert(err == ERR_OK);
    assert(wire_read_complete(&r));
    filter_write(&again, back);
    assert(again.size == b.size);
    assert(memcmp(again.data, b.data, b.size) == 0);
    wire_buffer_free(&b);
    wire_buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_reader r = wire_reader_of(data, size);
    struct filter *f = calloc(1, sizeof *f);
    struct filter *back = calloc(1, sizeof *back);
    if (f && back && filter_read(&r, f) == ERR_OK) {
        assert(f->count >= 1);
        assert(f->count <= LIMIT_FILTER_PATTERNS);
        check_canonical(f, back);
        size_t sent = (size_t)(r.at - data);
        while (wire_left(&r) > 0 && !r.failed) {
            struct bytes key = wire_read_bytes16(&r);
            if (!r.failed && key_valid(key))
                assert(filter_match(f, key) == naive_match(data, sent, key));
        }
    }
    free(f);
    free(back);
    return 0;
}
