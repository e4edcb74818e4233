/*
 * Functions: whatever the source says, a call ends, within its limits, and the
 * engine is fit for the next one; what a call returns is one value.
 */
#include <assert.h>
#include <stdlib.h>

#include "protocol/errors.h"
#include "protocol/value.h"
#include "server/script/pattern.h"
#include "server/script/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int get(void *context, struct bytes key, bool *ret_present, struct bytes *ret_value)
{
    (void)context;
    *ret_present = key.size % 2 == 0;
    *ret_value = (struct bytes){(const uint8_t *)"\x81\xa1k\x92\x01\xc4\x01\xff", 8};
    return ERR_OK;
}

static int put(void *context, struct bytes key, struct bytes value, uint64_t ttl_ms)
{
    (void)context;
    (void)ttl_ms;
    assert(value_valid(value));
    return key.size == 0 ? ERR_BAD_KEY : ERR_OK;
}

static int erase(void *context, struct bytes key, bool *ret_was_present)
{
    (void)context;
    *ret_was_present = key.size == 1;
    return ERR_OK;
}

static int incr(void *context, struct bytes key, int64_t by, struct bytes *ret_value)
{
    (void)context;
    (void)by;
    *ret_value = (struct bytes){(const uint8_t *)"\x07", 1};
    return key.size == 3 ? ERR_NOT_AN_INTEGER : ERR_OK;
}

static int list(void *context, struct bytes prefix, size_t limit, const struct bytes **ret_keys,
                size_t *ret_count)
{
    static const struct bytes keys[] = {{(const uint8_t *)"a", 1}, {(const uint8_t *)"b", 1}};
    (void)context;
    (void)prefix;
    *ret_keys = keys;
    *ret_count = limit < 2 ? limit : 2;
    return ERR_OK;
}

static uint64_t clock_us(void *context)
{
    uint64_t *now = context;
    return ++*now;
}

static bool spend(void *context, uint32_t steps)
{
    uint64_t *spent = context;
    *spent += steps;
    return *spent < 100000;
}

static void check_pattern(const uint8_t *data, size_t size)
{
    size_t at = size / 2;
    size_t end = 0;
    uint64_t spent = 0;
    struct pattern_match m = {.subject = {data, at},
                              .pattern = {data + at, size - at},
                              .spend = spend,
                              .context = &spent};
    if (pattern_match_at(&m, 0, &end) == PATTERN_FOUND)
        assert(end <= at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct script_engine *engine;
    static uint64_t now;
    static const struct script_host host = {.context = &now,
                                            .get = get,
                                            .put = put,
                                            .remove = erase,
                                            .incr = incr,
                                            .list = list,
                                            .clock_us = clock_us};
    struct script_call call = {.name = {(const uint8_t *)"fuzz", 4},
                               .source = {data, size},
                               .arguments = {(const uint8_t *)"\x93\xa1x\xc0\x80", 5},
                               .host = &host,
                               .limits = {.steps = 20000, .memory = 1 << 20}};
    struct bytes value;
    if (!engine && script_engine_new(&engine))
        abort();
    int err = script_call(engine, &call, &value);
    assert(err == ERR_OK || err == ERR_SCRIPT);
    if (err == ERR_OK)
        assert(value_valid(value));
    call.source = (struct bytes){(const uint8_t *)"return 1 + #args", 16};
    err = script_call(engine, &call, &value);
    assert(err == ERR_OK && value.size == 1 && value.data[0] == 4);
    if (size > 1)
        check_pattern(data, size);
    return 0;
}
