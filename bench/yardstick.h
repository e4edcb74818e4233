/*
 * yardstick.h - what the parts allow on this machine, bare: ZeroMQ without a
 * server's work, LMDB without a transport, the disk without either. Each function
 * measures for about duration_ns.
 */
#ifndef VIGIL_BENCH_YARDSTICK_H
#define VIGIL_BENCH_YARDSTICK_H

#include "bench/histogram.h"
#include "protocol/failure.h"

#include <stddef.h>
#include <stdint.h>

struct echo_result {
    double per_s;
    struct histogram latency;
};

/* DEALERs that keep depth messages of size bytes in flight each, one frame and one request a message,
 * and a ROUTER in another process that sends each one back. listen: where the ROUTER binds. */
int yardstick_echo(const char *listen, uint32_t clients, uint32_t depth, size_t size,
                   uint64_t duration_ns, struct echo_result *ret_result, struct failure *failure);
/* One message at a time, rate times a second, or later where the reply before has not come. Between
 * them the machine is idle, so that every thread on the way has to be woken up, as it has in a load of
 * that rate. */
int yardstick_paced_echo(const char *listen, double rate, size_t size, uint64_t duration_ns,
                         struct echo_result *ret_result, struct failure *failure);

/* A PUB, and subscribers in another process: messages of size bytes delivered a second, to all
 * subscribers together. */
uint64_t yardstick_fanout_round(uint32_t subscribers); /* messages; see yardstick_fanout.c */
int yardstick_fanout(const char *listen, uint32_t subscribers, size_t size, uint64_t duration_ns,
                     double *ret_per_s, struct failure *failure);

struct append_result {
    double per_s;            /* records */
    struct histogram commit; /* of whole transactions */
};

/* Records of size bytes appended in transactions of batch, each synced, to a new environment in
 * folder. */
int yardstick_append(const char *folder, uint32_t batch, size_t size, uint64_t duration_ns,
                     struct append_result *ret_result, struct failure *failure);
/* Reads count records of size bytes in order and copies each; records a second. */
int yardstick_scan(const char *folder, uint64_t count, size_t size, double *ret_per_s,
                   struct failure *failure);
/* From exec until a process has opened an environment, bound a ROUTER and said so. */
int yardstick_start(const char *folder, const char *listen, uint32_t runs,
                    struct histogram *ret_times, struct failure *failure);
/* Appends of 4 KiB to a file, each followed by fdatasync. */
int yardstick_fdatasync(const char *folder, uint64_t duration_ns, struct histogram *ret_times,
                        struct failure *failure);

#endif
