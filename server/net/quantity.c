/* quantity.c - see quantity.h. */
#include "server/net/quantity.h"

#include <stddef.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit no_units[] = {{"", 1}};
static const struct unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"K", UINT64_C(1) << 10},
    {"KiB", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"MiB", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
    {"GiB", UINT64_C(1) << 30},
    {"T", UINT64_C(1) << 40},
    {"TiB", UINT64_C(1) << 40},
};
static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
};

static bool parse(const char *text, const struct unit *units, size_t units_count, uint64_t *ret)
{
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    if (at == text)
        return false;
    for (size_t i = 0; i < units_count; i++) {
        if (strcmp(at, units[i].name) != 0)
            continue;
        if (number > UINT64_MAX / units[i].factor)
            return false;
        *ret = number * units[i].factor;
        return true;
    }
    return false;
}

bool quantity_parse_count(const char *text, uint64_t *ret_count)
{
    return parse(text, no_units, 1, ret_count);
}

bool quantity_parse_size(const char *text, uint64_t *ret_bytes)
{
    return parse(text, size_units, sizeof size_units / sizeof *size_units, ret_bytes);
}

bool quantity_parse_duration(const char *text, uint64_t *ret_ms)
{
    if (strcmp(text, "0") == 0) {
        *ret_ms = 0;
        return true;
    }
    return parse(text, duration_units, sizeof duration_units / sizeof *duration_units, ret_ms);
}
