/* seed: the seed of a property test, printed so that a failure can be replayed.
 *
 * STW_SEED in the environment replays; otherwise every run draws another one.
 */
#ifndef STEADWIRE_TESTS_SEED_H
#define STEADWIRE_TESTS_SEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t test_seed(const char *test) {
  const char *given = getenv("STW_SEED");
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  const uint64_t drawn = (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec;
  const uint64_t seed = given == NULL ? drawn : strtoull(given, NULL, 10);
  printf("%s: replay with STW_SEED=%llu\n", test, (unsigned long long)seed);
  return seed;
}

#endif
