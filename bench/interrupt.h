/*
 * interrupt.h - SIGINT and SIGTERM end a measurement early, so that what the
 * bench has started ends with it and its folder is removed.
 */
#ifndef VIGIL_BENCH_INTERRUPT_H
#define VIGIL_BENCH_INTERRUPT_H

#include <stdbool.h>

/* Once, at the start. A second signal kills. SIGPIPE is ignored from here on. */
void interrupt_install(void);
bool interrupted(void);

#endif
