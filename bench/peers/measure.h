/*
 * measure.h - one measurement of the peer, from the arguments to the report.
 */
#ifndef VIGIL_BENCH_PEERS_MEASURE_H
#define VIGIL_BENCH_PEERS_MEASURE_H

#include "bench/peers/arguments.h"
#include "bench/report.h"

/* A load, with watchers if there are to be any. */
int measure_load(const struct arguments *a, struct report *r, struct failure *failure);
/* Writes records, unless they are there, and reads them from the beginning. */
int measure_replay(const struct arguments *a, struct report *r, struct failure *failure);

#endif
