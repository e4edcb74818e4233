#define _GNU_SOURCE
/*
 * preload.c - preloaded into the server: its wall clock steps, and its syncs take longer, as control.h
 * says. The monotonic clock stays what it is: no machine steps that one.
 */
#include "tests/torture/control.h"

#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

static struct control *shared;

__attribute__((constructor)) static void start(void)
{
    shared = control_map(getenv(CONTROL_VARIABLE));
}

static void delay(void)
{
    uint32_t us = shared ? atomic_load_explicit(&shared->sync_delay_us, memory_order_relaxed) : 0;
    struct timespec pause = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};
    if (us > 0)
        nanosleep(&pause, NULL);
}

EXPORT int fdatasync(int fd)
{
    delay();
    return (int)syscall(SYS_fdatasync, fd);
}

EXPORT int fsync(int fd)
{
    delay();
    return (int)syscall(SYS_fsync, fd);
}

EXPORT int msync(void *address, size_t size, int flags)
{
    delay();
    return (int)syscall(SYS_msync, address, size, flags);
}

EXPORT int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int err = (int)syscall(SYS_clock_gettime, clock, ret_time);
    if (err == 0 && shared && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t offset = atomic_load_explicit(&shared->clock_offset_us, memory_order_relaxed);
        int64_t us = (int64_t)ret_time->tv_sec * 1000000 + ret_time->tv_nsec / 1000 + offset;
        ret_time->tv_sec = (time_t)(us / 1000000);
        ret_time->tv_nsec = (long)(us % 1000000) * 1000;
    }
    return err;
}

EXPORT time_t time(time_t *ret_time)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (ret_time)
        *ret_time = now.tv_sec;
    return now.tv_sec;
}

EXPORT int gettimeofday(struct timeval *ret_time, void *zone)
{
    struct timespec now;
    (void)zone;
    int err = clock_gettime(CLOCK_REALTIME, &now);
    ret_time->tv_sec = now.tv_sec;
    ret_time->tv_usec = (suseconds_t)(now.tv_nsec / 1000);
    return err;
}
