#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/clock.h"

#include <time.h>

static void monotonic_never_goes_back(void **state) {
  (void)state;
  stwi_time last = stwi_clock_monotonic();
  assert_true(last > 0 && last < STWI_NEVER);
  for (int i = 0; i < 100000; i++) {
    const stwi_time now = stwi_clock_monotonic();
    assert_true(now >= last);
    last = now;
  }
}

static uint64_t ns_of(clockid_t id) {
  struct timespec at;
  clock_gettime(id, &at);
  return (uint64_t)at.tv_sec * STWI_S + (uint64_t)at.tv_nsec;
}

static void clocks_are_those_they_say(void **state) {
  (void)state;
  uint64_t before = ns_of(CLOCK_MONOTONIC);
  stwi_time now = stwi_clock_monotonic();
  assert_true(now >= before && now <= ns_of(CLOCK_MONOTONIC));
  before = ns_of(CLOCK_BOOTTIME);
  now = stwi_clock_boot();
  assert_true(now >= before && now <= ns_of(CLOCK_BOOTTIME));
}

static void wall_is_milliseconds_since_1970(void **state) {
  (void)state;
  const uint64_t before = ns_of(CLOCK_REALTIME) / STWI_MS;
  const uint64_t now = stwi_clock_wall_ms();
  /* The machine's time may be set in between, by a little. */
  assert_true(now + 1000 >= before && now <= ns_of(CLOCK_REALTIME) / STWI_MS + 1000);
  assert_true(now > 1600000000000);
}

static void random_numbers_do_not_repeat(void **state) {
  (void)state;
  enum { COUNT = 1000 };
  uint64_t seen[COUNT], ones = 0, zeros = 0;
  for (int i = 0; i < COUNT; i++) {
    seen[i] = stwi_clock_random();
    ones |= seen[i];
    zeros |= ~seen[i];
    for (int j = 0; j < i; j++)
      assert_true(seen[i] != seen[j]);
  }
  assert_true(ones == UINT64_MAX && zeros == UINT64_MAX); /* every bit takes both values */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(monotonic_never_goes_back),
      cmocka_unit_test(clocks_are_those_they_say),
      cmocka_unit_test(wall_is_milliseconds_since_1970),
      cmocka_unit_test(random_numbers_do_not_repeat),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
