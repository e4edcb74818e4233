/* duration.c - see duration.h. No state: any thread. */
#define _POSIX_C_SOURCE 200809L
#include "client/cli/duration.h"

#include <ctype.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

/* The unit's milliseconds; 0 if it is none. */
static int64_t unit_ms(const char *unit)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(unit, units[i].name) == 0)
            return units[i].ms;
    return 0;
}

bool duration_parse(const char *text, int *ret_ms)
{
    enum { FRACTION_MAX = 1000000 };
    int64_t whole = 0;
    int64_t fraction = 0; /* in parts of scale */
    int64_t scale = 1;
    const char *at = text;

    if (strcmp(text, "forever") == 0) {
        *ret_ms = -1;
        return true;
    }
    if (!isdigit((unsigned char)*at))
        return false;
    for (; isdigit((unsigned char)*at); at++) {
        whole = whole * 10 + (*at - '0');
        if (whole > INT_MAX)
            return false;
    }
    if (*at == '.') {
        at++;
        if (!isdigit((unsigned char)*at))
            return false;
        for (; isdigit((unsigned char)*at); at++) {
            if (scale < FRACTION_MAX) {
                fraction = fraction * 10 + (*at - '0');
                scale *= 10;
            }
        }
    }
    int64_t unit = unit_ms(at);
    if (unit == 0)
        return false;
    int64_t ms = whole * unit + (fraction * unit + scale - 1) / scale;
    if (ms > INT_MAX)
        return false;
    *ret_ms = (int)ms;
    return true;
}

int64_t duration_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
