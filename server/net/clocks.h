/*
 * clocks.h - the two clocks that vigild reads: wall time for records, and the boot clock, which never
 * steps and goes on while the machine sleeps.
 */
#ifndef VIGIL_SERVER_NET_CLOCKS_H
#define VIGIL_SERVER_NET_CLOCKS_H

#include <stdint.h>

uint64_t clock_wall_us(void);
uint64_t clock_boot_us(void);
/* Before something that failed is tried again. A signal may end it early. */
void clock_pause_ms(unsigned ms);

#endif
