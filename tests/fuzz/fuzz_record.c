/*
 * Records: the gate must stand any bytes; what passes it can be walked, matched
 * and cut down to views that pass it again. The input is tried as it is, and
 * once more with its size and CRC put right, so that mutations get behind those.
 */
#include <assert.h>
#include <stdlib.h>

#include "protocol/crc32c.h"
#include "protocol/errors.h"
#include "protocol/filter.h"
#include "protocol/limits.h"
#include "protocol/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t walk(const uint8_t *record)
{
    size_t sum = RECORD_HEADER_SIZE;
    struct change c;
    for (struct change_iterator i = record_changes(record); change_next(&i, &c);)
        sum += CHANGE_HEADER_SIZE + c.key.size + c.value.size;
    struct bytes result = record_result(record);
    return result.size > 0 ? sum + 4 + result.size : sum;
}

/* What a filter made of the first change's key, cut to kept bytes, sees. */
static void view(const uint8_t *record, uint8_t kind, size_t kept)
{
    struct filter *f = malloc(sizeof *f);
    struct wire_buffer b;
    struct change first;
    struct change_iterator i = record_changes(record);
    bool any = change_next(&i, &first);
    assert(any);
    struct pattern p = {kind, {first.key.data, kept < first.key.size ? kept : first.key.size}};
    wire_buffer_init(&b, LIMIT_RECORD_SIZE);
    if (f && filter_init(f, &p, 1) == ERR_OK) {
        struct record_header h;
        uint16_t matching = record_match(record, f);
        size_t size = record_write_view(&b, record, f);
        assert((size > 0) == (matching > 0));
        if (size > 0) {
            int err = record_check((struct bytes){b.data, size}, &h);
            assert(err == ERR_OK);
            assert(h.count == matching);
            assert(record_result(b.data).size == 0);
            assert(walk(b.data) == size);
        }
    }
    wire_buffer_free(&b);
    free(f);
}

static void use(const uint8_t *data, size_t size)
{
    struct record_header h;
    if (record_check((struct bytes){data, size}, &h) != ERR_OK)
        return;
    assert(walk(data) == h.size);
    view(data, PATTERN_PREFIX, 0);
    view(data, PATTERN_PREFIX, 2);
    view(data, PATTERN_EXACT, LIMIT_KEY_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record_header h;
    use(data, size);
    (void)record_peek((struct bytes){data, size}, &h);
    if (size < RECORD_HEADER_SIZE)
        return 0;
    uint8_t *copy = malloc(size);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    wire_store_u32(copy, (uint32_t)size);
    wire_store_u32(copy + 4, crc32c(0, copy + 8, size - 8));
    bool passes = record_check((struct bytes){copy, size}, &h) == ERR_OK;
    assert(passes == (record_peek((struct bytes){copy, size}, &h) == ERR_OK));
    use(copy, size);
    free(copy);
    return 0;
}
