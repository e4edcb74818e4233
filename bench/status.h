/*
 * status.h - what the server counts of its own work.
 */
#ifndef VIGIL_BENCH_STATUS_H
#define VIGIL_BENCH_STATUS_H

#include "bench/commands.h"

/* Asks the server; not known where it cannot be asked or does not say. */
void status_read(const char *endpoint, struct status_figures *ret_figures);
/* What was counted between the two. */
void status_subtract(const struct status_figures *after, const struct status_figures *before,
                     struct status_figures *ret_difference);

#endif
