/*
 * monotonic.h - the one clock of the bench. It is the same in all processes of
 * the machine, so a time taken in one can be subtracted from a time of another.
 */
#ifndef VIGIL_BENCH_MONOTONIC_H
#define VIGIL_BENCH_MONOTONIC_H

#include <stdint.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_US UINT64_C(1000)

/* A thread that sleeps wakes up late by about this: it polls for what is due sooner. */
#define POLL_AHEAD_NS (200 * NS_PER_US)

/* The file that includes this defines _POSIX_C_SOURCE or _GNU_SOURCE. */
static inline uint64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* CPU time of the calling process, all of its threads. */
static inline uint64_t process_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Sleeps until the clock shows at_ns, or a signal arrives. */
static inline void monotonic_sleep_until(uint64_t at_ns)
{
    struct timespec t = {.tv_sec = (time_t)(at_ns / NS_PER_S), .tv_nsec = (long)(at_ns % NS_PER_S)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

#endif
