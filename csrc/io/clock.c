#include "io/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static uint64_t read_clock(clockid_t id, uint64_t per_second) {
  struct timespec at;
  if (clock_gettime(id, &at) != 0)
    abort(); /* only for an id the kernel does not have */
  return (uint64_t)at.tv_sec * per_second + (uint64_t)at.tv_nsec / (STWI_S / per_second);
}

stwi_time stwi_clock_monotonic(void) {
  return read_clock(CLOCK_MONOTONIC, STWI_S);
}

uint64_t stwi_clock_boot(void) {
  return read_clock(CLOCK_BOOTTIME, STWI_S);
}

uint64_t stwi_clock_wall_ms(void) {
  return read_clock(CLOCK_REALTIME, 1000);
}

/* A signal can interrupt the wait for the pool, and long requests come in parts. */
void stwi_clock_random_bytes(uint8_t *bytes, size_t size) {
  size_t got = 0;
  while (got < size) {
    ssize_t part = getrandom(bytes + got, size - got, 0);
    if (part > 0)
      got += (size_t)part;
    else if (part < 0 && errno != EINTR)
      abort(); /* a guessable mask or id must never be used instead */
  }
}

uint64_t stwi_clock_random(void) {
  uint64_t value;
  stwi_clock_random_bytes((uint8_t *)&value, sizeof value);
  return value;
}
