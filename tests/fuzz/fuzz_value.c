/*
 * Values: any bytes are either one whole object or not. What is one is none any
 * more when it is cut or when something follows; integers survive being written.
 */
#include <assert.h>
#include <stdlib.h>

#include "protocol/errors.h"
#include "protocol/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_integer(struct bytes value)
{
    struct value_integer v;
    struct value_integer back;
    struct value_integer sum;
    uint8_t out[VALUE_INTEGER_SIZE_MAX];
    if (value_read_integer(value, &v) != ERR_OK)
        return;
    assert(value_valid(value));
    size_t size = value_write_integer(v, out);
    assert(size <= value.size);
    int err = value_read_integer((struct bytes){out, size}, &back);
    assert(err == ERR_OK);
    assert(back.negative == v.negative);
    assert(back.bits == v.bits);
    if (value_integer_add(v, -1, &sum) == ERR_OK) {
        err = value_integer_add(sum, 1, &back);
        assert(err == ERR_OK);
        assert(back.negative == v.negative);
        assert(back.bits == v.bits);
    }
}

static void check_ends(const uint8_t *data, size_t size)
{
    for (size_t cut = 0; cut < size; cut++) {
        bool valid = value_valid((struct bytes){data, cut});
        assert(!valid);
    }
    uint8_t *longer = calloc(1, size + 1);
    if (!longer)
        return;
    memcpy(longer, data, size);
    bool valid = value_valid((struct bytes){longer, size + 1});
    assert(!valid);
    free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes value = {data, size};
    check_integer(value);
    if (value_valid(value) && size <= 512)
        check_ends(data, size);
    return 0;
}
