/* duration.h - the times of the command line: 10 and 10s, 500ms, 2m, 1h, 1.5s, forever. */
#ifndef VIGIL_CLI_DURATION_H
#define VIGIL_CLI_DURATION_H

#include <stdbool.h>
#include <stdint.h>

/* Milliseconds, rounded up to whole ones; -1 for "forever". False if text is no duration, or one of
 * more than INT_MAX milliseconds (24 days). */
bool duration_parse(const char *text, int *ret_ms);

/* Milliseconds of a clock that never steps. */
int64_t duration_now_ms(void);

#endif
