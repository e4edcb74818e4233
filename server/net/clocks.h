/*
 * clocks.h - the clocks that vigild reads: wall time for records; the boot clock, which never steps and
 * goes on while the machine sleeps; and the time that this thread has had of a processor.
 */
#ifndef VIGIL_SERVER_NET_CLOCKS_H
#define VIGIL_SERVER_NET_CLOCKS_H

#include <stdint.h>

uint64_t clock_wall_us(void);
uint64_t clock_boot_us(void);
uint64_t clock_thread_us(void); /* slower than the others */
/* Before something that failed is tried again. A signal may end it early. */
void clock_pause_ms(unsigned ms);

#endif
