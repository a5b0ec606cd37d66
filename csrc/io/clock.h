/* clock.h: the only reader of clocks and of the system's randomness.  Any thread. */
#ifndef STWI_IO_CLOCK_H
#define STWI_IO_CLOCK_H

#include "core/input.h"

stwi_time stwi_clock_monotonic(void); /* ns, CLOCK_MONOTONIC: stands still in sleep */
uint64_t stwi_clock_boot(void);       /* ns, CLOCK_BOOTTIME: goes on */
uint64_t stwi_clock_wall_ms(void);    /* ms since 1970 */
uint64_t stwi_clock_random(void);     /* 64 bits from getrandom(2) */
void stwi_clock_random_bytes(uint8_t *bytes, size_t size); /* likewise */

#endif
