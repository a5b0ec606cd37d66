#include "sim/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define DAY (86400 * STWI_S)

enum { MOBILE, DESKTOP, BOT, DAYS = 400 };

/* Happenings of one kind from one source in so many days of a client. */
static double per_day(const struct stwi_path_profile *profile, enum stwi_path_source source,
                      enum stwi_path_kind kind) {
  struct stwi_path path;
  unsigned count = 0;
  stwi_path_init(&path, profile, 7, 3);
  while (stwi_path_due(&path) < DAYS * DAY) {
    const struct stwi_path_event event = stwi_path_take(&path);
    count += event.source == source && event.kind == kind;
  }
  return (double)count / DAYS;
}

static void assert_near(double got, double wanted) {
  const double apart = got > wanted ? got - wanted : wanted - got;
  assert_true(apart <= 0.1 * wanted + 0.02);
}

static void faults_come_as_often_as_the_table_says(void **unused) {
  (void)unused;
  const struct stwi_path_profile *mobile = stwi_path_profile_at(MOBILE);
  assert_near(per_day(mobile, STWI_PATH_GAP, STWI_PATH_BREAKS), 131);
  assert_near(per_day(mobile, STWI_PATH_OUTAGE, STWI_PATH_BREAKS), 2);
  assert_near(per_day(mobile, STWI_PATH_HANDOVER, STWI_PATH_NET_CHANGED), 8);
  assert_near(per_day(mobile, STWI_PATH_SLEEP, STWI_PATH_WAKE), 6);
  assert_near(per_day(mobile, STWI_PATH_KILL, STWI_PATH_DIES), 1);
  assert_near(per_day(stwi_path_profile_at(DESKTOP), STWI_PATH_GAP, STWI_PATH_BREAKS), 2);
  assert_near(per_day(stwi_path_profile_at(BOT), STWI_PATH_DEPLOY, STWI_PATH_STOP), 2);
  assert_near(per_day(stwi_path_profile_at(BOT), STWI_PATH_HANDOVER, STWI_PATH_BREAKS), 0);
  assert_null(stwi_path_profile_at(BOT + 1));
}

static void time_never_goes_back_and_what_breaks_mends(void **unused) {
  (void)unused;
  for (uint64_t client = 0; client < 20; client++) {
    struct stwi_path path;
    stwi_path_init(&path, stwi_path_profile_at(MOBILE), 11, client);
    stwi_time before = 0;
    for (unsigned i = 0; i < 20000; i++) {
      assert_true(stwi_path_due(&path) >= before);
      before = stwi_path_due(&path);
      stwi_path_take(&path);
      assert_true(path.broken <= 3);
      assert_int_equal(stwi_path_is_up(&path), path.broken == 0);
    }
  }
}

/* The first thousand events of a client in one number. */
static uint64_t digest(uint64_t seed, uint64_t client) {
  struct stwi_path path;
  stwi_path_init(&path, stwi_path_profile_at(MOBILE), seed, client);
  uint64_t sum = 0;
  for (unsigned i = 0; i < 1000; i++) {
    const stwi_time at = stwi_path_due(&path);
    sum = sum * 31 + at + (uint64_t)stwi_path_take(&path).kind;
  }
  return sum;
}

static void seed_and_client_make_the_path(void **unused) {
  (void)unused;
  assert_true(digest(1, 2) == digest(1, 2));
  assert_true(digest(1, 2) != digest(2, 1));
  assert_true(digest(1, 2) != digest(1, 3));
  assert_true(stwi_random_stream(1, 2, 3) != stwi_random_stream(1, 3, 2));
}

/* Medians of 20,001 draws, and the share of gaps beyond 2 s: 2^-1.9. */
static void shapes_are_those_that_were_fitted(void **unused) {
  (void)unused;
  struct stwi_random dice;
  stwi_random_seed(&dice, 5);
  unsigned below = 0, beyond = 0, late = 0;
  for (unsigned i = 0; i < 20000; i++) {
    below += stwi_path_lognormal(&dice, 30 * STWI_S, 1.3) < 30 * STWI_S;
    const uint64_t gap = stwi_path_pareto(&dice, STWI_S, 1.9);
    assert_true(gap >= STWI_S);
    beyond += gap > 2 * STWI_S;
    late += stwi_path_exponential(&dice, (double)STWI_S) > STWI_S;
  }
  assert_true(below > 9700 && below < 10300);
  assert_true(beyond > 5100 && beyond < 5620);
  assert_true(late > 7100 && late < 7620);
}

static void a_trace_takes_the_place_of_every_fault(void **unused) {
  (void)unused;
  static const struct stwi_path_step steps[] = {
      {0, 50 * STWI_MS, 0, true},
      {10 * STWI_S, 0, 0, false},
      {12 * STWI_S, 80 * STWI_MS, 0, true},
      {20 * STWI_S, 0, 1, true},
  };
  struct stwi_path path;
  stwi_path_init(&path, stwi_path_profile_at(MOBILE), 1, 1);
  stwi_path_replay(&path, steps, 4);
  assert_int_equal(stwi_path_take(&path).kind, STWI_PATH_DIES);
  assert_int_equal(stwi_path_due(&path), 10 * STWI_S);
  assert_int_equal(stwi_path_take(&path).kind, STWI_PATH_BREAKS);
  assert_false(stwi_path_is_up(&path));
  assert_int_equal(stwi_path_take(&path).kind, STWI_PATH_MENDS);
  const struct stwi_path_event moved = stwi_path_take(&path);
  assert_int_equal(moved.kind, STWI_PATH_DIES);
  assert_true(moved.ends_flows);
  assert_int_equal(stwi_path_take(&path).kind, STWI_PATH_NET_CHANGED);
  assert_true(stwi_path_due(&path) == STWI_NEVER);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(faults_come_as_often_as_the_table_says),
      cmocka_unit_test(time_never_goes_back_and_what_breaks_mends),
      cmocka_unit_test(seed_and_client_make_the_path),
      cmocka_unit_test(shapes_are_those_that_were_fitted),
      cmocka_unit_test(a_trace_takes_the_place_of_every_fault),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
