/* Skipping the heartbeats of quiet clients changes no number and no byte of the log.
 *
 * STW_FLEET_CLIENTS and STW_FLEET_DAYS take the place of the 100 clients and 4 days. */

#include <steadwire/sim_fleet.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sanitized.h"
#include "seed.h"

enum { DAY = 86400, PROFILES = 3 };

static uint64_t seed;

static uint64_t given(const char *name, uint64_t usual) {
  const char *text = getenv(name);
  return text == NULL ? usual : strtoull(text, NULL, 10);
}

static uint64_t clients(void) {
  return given("STW_FLEET_CLIENTS", IS_SANITIZED ? 5 : 100);
}

static stw_fleet_params params_of(size_t profile) {
  return (stw_fleet_params){.struct_size = sizeof(stw_fleet_params),
                            .policy = "steadwire",
                            .profile = stw_fleet_profile_at(profile),
                            .seed = seed,
                            .seconds = given("STW_FLEET_DAYS", 4) * DAY,
                            .has_log = true};
}

static stw_fleet *lived(stw_fleet_params params, bool is_event_level, uint64_t count) {
  stw_fleet *fleet = NULL;
  params.is_event_level = is_event_level;
  assert_int_equal(stw_fleet_new(&params, &fleet), STW_OK);
  assert_int_equal(stw_fleet_run(fleet, 0, count), STW_OK);
  return fleet;
}

static void expect_same(const stw_fleet_params *params, uint64_t count) {
  stw_fleet *skipped = lived(*params, false, count), *stepped = lived(*params, true, count);
  assert_memory_equal(stw_fleet_values(skipped), stw_fleet_values(stepped),
                      STW_FLEET_VALUES * sizeof(uint64_t));
  size_t size, same;
  const char *log = stw_fleet_log(skipped, &size), *again = stw_fleet_log(stepped, &same);
  assert_int_equal(size, same);
  assert_true(size > 0);
  assert_memory_equal(log, again, size);
  stw_fleet_free(skipped);
  stw_fleet_free(stepped);
}

static void every_profile_is_the_same(void **unused) {
  (void)unused;
  for (size_t profile = 0; profile < PROFILES; profile++) {
    const stw_fleet_params params = params_of(profile);
    expect_same(&params, clients());
  }
}

/* Answers later than the patience, questions rarer than a proxy's, and many at once. */
static void every_interval_is_the_same(void **unused) {
  (void)unused;
  static const uint64_t intervals_ms[] = {100, 5000, 40000, 59900, 60000, 240000};
  for (size_t i = 0; i < sizeof intervals_ms / sizeof intervals_ms[0]; i++) {
    stw_fleet_params params = params_of(i % PROFILES);
    params.interval_ms = intervals_ms[i];
    if (params.interval_ms < 1000)
      params.seconds = 6 * 3600;
    expect_same(&params, clients() / 10 + 1);
  }
}

static void without_help_it_is_the_same(void **unused) {
  (void)unused;
  for (unsigned left_out = 0; left_out < 4; left_out++) {
    stw_fleet_params params = params_of(0);
    params.has_no_hints = left_out == 0 || left_out == 3;
    params.has_no_drain = left_out == 1 || left_out == 3;
    params.has_no_hedge = left_out == 2 || left_out == 3;
    expect_same(&params, clients() / 10 + 1);
  }
}

/* Paths that are slow, and slower than any patience. */
static void a_trace_is_the_same(void **unused) {
  (void)unused;
  stw_fleet_step steps[500];
  for (uint32_t i = 0; i < 500; i++)
    steps[i] = (stw_fleet_step){.at_us = i * 97000000ull,
                                .rtt_us = i % 7 == 0 ? 4000000 : i % 5 * 300000,
                                .address = i / 50,
                                .is_up = i % 10 != 5};
  stw_fleet_params params = params_of(0);
  params.steps = steps;
  params.step_count = 500;
  expect_same(&params, clients() / 10 + 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_profile_is_the_same),
      cmocka_unit_test(every_interval_is_the_same),
      cmocka_unit_test(without_help_it_is_the_same),
      cmocka_unit_test(a_trace_is_the_same),
  };
  seed = test_seed("fleets");
  return cmocka_run_group_tests(tests, NULL, NULL);
}
