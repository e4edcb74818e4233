/* clock.h - the library's clock and its deadlines. Any thread. */
#ifndef VIGIL_CLIENT_CLOCK_H
#define VIGIL_CLIENT_CLOCK_H

#include <stdint.h>

#define DEADLINE_NEVER INT64_MAX

/* Milliseconds of a clock that never steps. */
int64_t clock_now_ms(void);
/* The same, of the boot clock: it goes on while the machine sleeps. */
int64_t clock_boot_ms(void);
/* timeout_ms from now; negative: DEADLINE_NEVER. */
int64_t deadline_after(int timeout_ms);
/* How long until deadline, between 0 and most_ms. */
int deadline_left_ms(int64_t deadline, int64_t now_ms, int most_ms);
/* As a timeout for the calls that take one: 0 when it has passed, -1 for never. */
int deadline_timeout_ms(int64_t deadline);
/* The same for one of several round trips until then, each of trip_ms at most (negative: any). */
int deadline_trip_ms(int64_t deadline, int trip_ms);

#endif
