/* clock.c - the library's clock and its deadlines. */
#define _GNU_SOURCE
#include "client/clock.h"

#include <limits.h>
#include <time.h>

static int64_t read_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_now_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

int64_t clock_boot_ms(void)
{
    return read_ms(CLOCK_BOOTTIME);
}

int64_t deadline_after(int timeout_ms)
{
    return timeout_ms < 0 ? DEADLINE_NEVER : clock_now_ms() + timeout_ms;
}

int deadline_left_ms(int64_t deadline, int64_t now_ms, int most_ms)
{
    if (deadline <= now_ms)
        return 0;
    return deadline - now_ms < most_ms ? (int)(deadline - now_ms) : most_ms;
}

int deadline_timeout_ms(int64_t deadline)
{
    return deadline == DEADLINE_NEVER ? -1 : deadline_left_ms(deadline, clock_now_ms(), INT_MAX);
}

int deadline_trip_ms(int64_t deadline, int trip_ms)
{
    int left = deadline_timeout_ms(deadline);
    if (left < 0)
        return trip_ms;
    return trip_ms >= 0 && trip_ms < left ? trip_ms : left;
}
