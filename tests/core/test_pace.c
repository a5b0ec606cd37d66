#include "core/pace.h"

#include "seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define W STWI_S
#define CAP (30 * STWI_S)
#define T0 (1000 * STWI_S)

enum { CLIENTS = 2000 };

static struct stwi_random dice;

static int set_up(void **unused) {
  (void)unused;
  stwi_random_seed(&dice, 7);
  return 0;
}

static struct stwi_pace fresh(void) {
  struct stwi_pace pace;
  stwi_pace_init(&pace, W, CAP);
  return pace;
}

static stwi_time next(struct stwi_pace *pace, enum stwi_pace_kind kind, stwi_time now) {
  return stwi_pace_next(pace, kind, NULL, now, &dice);
}

static void a_first_local_failure_is_retried_within_250_ms(void **unused) {
  (void)unused;
  stwi_time latest = 0;
  for (unsigned i = 0; i < CLIENTS; i++) {
    struct stwi_pace pace = fresh();
    const stwi_time at = next(&pace, STWI_PACE_NOW, T0);
    assert_true(at >= T0 && at < T0 + 250 * STWI_MS);
    latest = at > latest ? at : latest;
  }
  assert_true(latest > T0 + 240 * STWI_MS);
}

static void a_flapping_link_waits_in_windows(void **unused) {
  (void)unused;
  struct stwi_pace pace = fresh();
  stwi_time at = next(&pace, STWI_PACE_NOW, T0);
  for (unsigned k = 0; k < 10; k++) {
    const stwi_time then = at;
    at = next(&pace, STWI_PACE_NOW, then);
    assert_true(at >= then);
  }
  assert_true(at > T0 + 100 * STWI_S);
  assert_int_equal(pace.attempts, 11);
}

/* A fleet dropped at T0 whose attempts fail at once: wave k of all clients lies before wave k + 1
 * of any, and each wave fills its window.  A short first window comes twice. */
static void expect_waves(uint64_t window, const uint64_t bounds[7]) {
  stwi_time starts[6], ends[6];
  for (unsigned k = 0; k < 6; k++) {
    starts[k] = STWI_NEVER;
    ends[k] = 0;
  }
  for (unsigned i = 0; i < CLIENTS; i++) {
    struct stwi_pace pace;
    stwi_pace_init(&pace, window, 1000 * window);
    stwi_time at = T0;
    for (unsigned k = 0; k < 6; k++) {
      at = next(&pace, STWI_PACE_WINDOW, at);
      starts[k] = at < starts[k] ? at : starts[k];
      ends[k] = at > ends[k] ? at : ends[k];
    }
  }
  for (unsigned k = 0; k < 6; k++) {
    const stwi_time from = T0 + window * bounds[k], to = T0 + window * bounds[k + 1];
    assert_true(starts[k] >= from && starts[k] < from + (to - from) / 50);
    assert_true(ends[k] < to && ends[k] > to - (to - from) / 50);
  }
}

static void windows_are_disjoint_and_double(void **unused) {
  (void)unused;
  expect_waves(1 * STWI_S, (const uint64_t[]){0, 1, 2, 4, 8, 16, 32});
  expect_waves(4 * STWI_S, (const uint64_t[]){0, 1, 3, 7, 15, 31, 63});
}

static void windows_grow_up_to_the_cap_and_no_further(void **unused) {
  (void)unused;
  struct stwi_pace pace = fresh();
  stwi_time at = T0;
  for (unsigned k = 0; k < 200; k++) {
    const stwi_time then = at;
    at = next(&pace, STWI_PACE_WINDOW, then);
    assert_true(at - then < 2 * CAP);
  }
  /* 1 + 1 + 2 + 4 + 8 + 16, then 194 windows of 30 s */
  assert_true(at >= T0 + (32 + 193 * 30) * W && at < T0 + (32 + 194 * 30) * W);
}

static void a_window_more_than_half_over_is_left_out(void **unused) {
  (void)unused;
  for (unsigned i = 0; i < CLIENTS; i++) {
    struct stwi_pace pace = fresh();
    next(&pace, STWI_PACE_WINDOW, T0);
    /* the attempt takes until 5.9 s: window 2 ends at 4 s, window 3 is [4, 8) and half over at 6 */
    stwi_time at = next(&pace, STWI_PACE_WINDOW, T0 + 5900 * STWI_MS);
    assert_true(at >= T0 + 5900 * STWI_MS && at < T0 + 8 * W);
    pace = fresh();
    next(&pace, STWI_PACE_WINDOW, T0);
    at = next(&pace, STWI_PACE_WINDOW, T0 + 6100 * STWI_MS);
    assert_true(at >= T0 + 8 * W && at < T0 + 16 * W);
  }
}

static void a_long_time_away_is_skipped_without_walking(void **unused) {
  (void)unused;
  struct stwi_pace pace = fresh();
  next(&pace, STWI_PACE_WINDOW, T0);
  const stwi_time later = T0 + 365 * 24 * 3600 * STWI_S;
  for (unsigned i = 0; i < 1000; i++) {
    const stwi_time at = next(&pace, STWI_PACE_WINDOW, later + i * 3600 * STWI_S);
    assert_true(at >= later + i * 3600 * STWI_S);
    assert_true(at < later + i * 3600 * STWI_S + 2 * CAP);
  }
}

static void overload_begins_at_four_windows_and_grows_by_four(void **unused) {
  (void)unused;
  static const enum stwi_pace_kind kinds[] = {STWI_PACE_WINDOW_X4, STWI_PACE_OVERLOAD};
  static const uint64_t starts[] = {0, 4, 20}, lengths[] = {4, 16, 64};
  for (unsigned i = 0; i < CLIENTS; i++) {
    struct stwi_pace pace;
    stwi_pace_init(&pace, W, 1000 * W);
    stwi_time at = T0;
    for (unsigned k = 0; k < 3; k++) {
      at = next(&pace, kinds[i % 2], at);
      assert_true(at >= T0 + starts[k] * W && at < T0 + (starts[k] + lengths[k]) * W);
    }
  }
}

/* Length of the window that `steps` attempts in a row have grown to. */
static uint64_t grown_window(struct stwi_pace *pace, enum stwi_pace_kind kind, unsigned steps) {
  stwi_time at = T0;
  for (unsigned i = 0; i < steps; i++)
    at = next(pace, kind, at);
  return pace->length_ns;
}

static void only_a_server_without_room_lifts_the_cap(void **unused) {
  (void)unused;
  struct stwi_pace pace = fresh();
  assert_int_equal(grown_window(&pace, STWI_PACE_WINDOW, 30), CAP);
  pace = fresh();
  assert_int_equal(grown_window(&pace, STWI_PACE_WINDOW_X4, 30), CAP);
  pace = fresh();
  assert_int_equal(grown_window(&pace, STWI_PACE_OVERLOAD, 30), 10 * CAP);
  assert_int_equal(grown_window(&pace, STWI_PACE_WINDOW, 1), CAP);
  stwi_pace_reset(&pace);
  assert_int_equal(grown_window(&pace, STWI_PACE_WINDOW, 30), CAP);
}

/* A path that is gone after an overload must not be waited for as long as a crowd takes. */
static void after_an_overload_other_causes_wait_no_longer_than_usual(void **unused) {
  (void)unused;
  struct stwi_random random;
  stwi_random_seed(&random, test_seed("pace"));
  for (unsigned run = 0; run < 300; run++) {
    struct stwi_pace pace = fresh();
    stwi_time now = T0;
    for (unsigned i = 0; i < 30; i++) {
      const enum stwi_pace_kind kind =
          (enum stwi_pace_kind)(STWI_PACE_WINDOW + stwi_random_below(&random, 3));
      const stwi_time at = stwi_pace_next(&pace, kind, NULL, now, &random);
      assert_true(at >= now && at <= now + (kind == STWI_PACE_OVERLOAD ? 20 : 2) * CAP);
      const bool is_kicked = stwi_random_below(&random, 4) == 0;
      now = is_kicked ? now + stwi_random_below(&random, CAP) : at;
    }
  }
}

/* What a server asks for is done; what it did not ask for is not. */
static void a_hint_lifts_the_cap_as_far_as_it_is_wide(void **unused) {
  (void)unused;
  const struct stwi_hint wide = {true, 0, 90000}, narrow = {true, 0, 5000};
  struct stwi_pace pace = fresh();
  stwi_pace_next(&pace, STWI_PACE_WINDOW, &wide, T0, &dice);
  assert_int_equal(grown_window(&pace, STWI_PACE_WINDOW, 30), 90 * STWI_S);
  pace = fresh();
  stwi_pace_next(&pace, STWI_PACE_WINDOW, &narrow, T0, &dice);
  assert_int_equal(grown_window(&pace, STWI_PACE_WINDOW, 30), CAP);
}

/* The higher cap holds from the next window on: nobody is sent further than one of those. */
static void a_cap_that_is_lifted_late_sends_nobody_far(void **unused) {
  (void)unused;
  struct stwi_pace pace = fresh();
  stwi_time at = T0;
  for (unsigned i = 0; i < 40; i++)
    at = next(&pace, STWI_PACE_WINDOW, at);
  const stwi_time after = next(&pace, STWI_PACE_OVERLOAD, at);
  assert_true(after > at && after < at + CAP + 4 * CAP);
}

static void attempts_out_of_turn_do_not_run_away(void **unused) {
  (void)unused;
  struct stwi_pace pace = fresh();
  for (unsigned i = 0; i < 300; i++)
    assert_true(next(&pace, STWI_PACE_OVERLOAD, T0) < T0 + 20 * CAP);
}

static void patience_doubles_up_to_two_minutes(void **unused) {
  (void)unused;
  static const uint64_t seconds[] = {5, 10, 20, 40, 80, 120, 120};
  struct stwi_pace pace = fresh();
  for (unsigned i = 0; i < 7; i++) {
    assert_int_equal(stwi_pace_patience(&pace, 5 * STWI_S), seconds[i] * STWI_S);
    next(&pace, STWI_PACE_OVERLOAD, T0);
  }
  assert_int_equal(stwi_pace_patience(&pace, 300 * STWI_S), 300 * STWI_S);
  pace.overloads = UINT32_MAX;
  next(&pace, STWI_PACE_OVERLOAD, T0);
  assert_true(pace.overloads == UINT32_MAX);
  assert_int_equal(stwi_pace_patience(&pace, 1), STWI_PATIENCE_MAX);
  assert_int_equal(stwi_pace_patience(&pace, 0), 0);
  stwi_pace_reset(&pace);
  next(&pace, STWI_PACE_WINDOW_X4, T0);
  assert_int_equal(stwi_pace_patience(&pace, 5 * STWI_S), 5 * STWI_S);
}

/* With OVERLOAD among them they need not: see above; who was spread over a long window stays so. */
static void waves_stay_disjoint_when_causes_mix(void **unused) {
  (void)unused;
  struct stwi_random random;
  stwi_random_seed(&random, test_seed("pace"));
  for (unsigned run = 0; run < 200; run++) {
    enum stwi_pace_kind kinds[8];
    stwi_time earliest[8], latest[8];
    for (unsigned k = 0; k < 8; k++) {
      const bool is_crowd = run % 2 == 0;
      kinds[k] = is_crowd ? STWI_PACE_OVERLOAD
                          : (enum stwi_pace_kind)(STWI_PACE_WINDOW + stwi_random_below(&random, 2));
      earliest[k] = STWI_NEVER;
      latest[k] = 0;
    }
    for (unsigned client = 0; client < 50; client++) {
      struct stwi_pace pace = fresh();
      stwi_time at = T0;
      for (unsigned k = 0; k < 8; k++) {
        at = stwi_pace_next(&pace, kinds[k], NULL, at, &random);
        earliest[k] = at < earliest[k] ? at : earliest[k];
        latest[k] = at > latest[k] ? at : latest[k];
      }
    }
    for (unsigned k = 1; k < 8; k++)
      assert_true(latest[k - 1] < earliest[k]);
  }
}

/* Twenty cells of the first window; p = 0.001 at 19 degrees of freedom is 43.82. */
static void attempts_are_uniform_in_their_window(void **unused) {
  (void)unused;
  for (uint64_t seed = 1; seed <= 5; seed++) {
    stwi_random_seed(&dice, seed);
    unsigned cells[20] = {0};
    const unsigned draws = 40000;
    for (unsigned i = 0; i < draws; i++) {
      struct stwi_pace pace = fresh();
      cells[(next(&pace, STWI_PACE_WINDOW, T0) - T0) / (W / 20)]++;
    }
    double sum = 0;
    for (unsigned i = 0; i < 20; i++)
      sum += (cells[i] - draws / 20.0) * (cells[i] - draws / 20.0) / (draws / 20.0);
    assert_true(sum < 43.82);
  }
}

static void nobody_comes_before_the_hint_nor_after_its_spread(void **unused) {
  (void)unused;
  const struct stwi_hint hint = {true, 5000, 20000};
  stwi_time earliest = STWI_NEVER, latest = 0;
  static const enum stwi_pace_kind kinds[] = {STWI_PACE_NOW, STWI_PACE_WINDOW, STWI_PACE_WINDOW_X4};
  for (unsigned i = 0; i < CLIENTS; i++) {
    struct stwi_pace pace = fresh();
    const stwi_time at = stwi_pace_next(&pace, kinds[i % 3], &hint, T0, &dice);
    earliest = at < earliest ? at : earliest;
    latest = at > latest ? at : latest;
  }
  assert_true(earliest >= T0 + 5 * STWI_S && earliest < T0 + 5100 * STWI_MS);
  assert_true(latest < T0 + 25 * STWI_S && latest > T0 + 24900 * STWI_MS);
}

/* Without a new hint the next wave begins after the whole spread and is twice as wide, even where
 * the spread is longer than the cap. */
static void windows_after_a_hint_begin_after_its_spread(void **unused) {
  (void)unused;
  const struct stwi_hint hint = {true, 5000, 100000};
  for (unsigned i = 0; i < CLIENTS; i++) {
    struct stwi_pace pace = fresh();
    const stwi_time first = stwi_pace_next(&pace, STWI_PACE_WINDOW, &hint, T0, &dice);
    const stwi_time second = next(&pace, STWI_PACE_WINDOW, first + STWI_MS);
    assert_true(second >= T0 + 105 * STWI_S && second < T0 + 305 * STWI_S);
  }
  const struct stwi_hint narrow = {true, 5000, 0};
  struct stwi_pace pace = fresh();
  assert_int_equal(stwi_pace_next(&pace, STWI_PACE_WINDOW, &narrow, T0, &dice), T0 + 5 * STWI_S);
  const stwi_time second = next(&pace, STWI_PACE_WINDOW, T0 + 5 * STWI_S);
  assert_true(second >= T0 + 6 * STWI_S && second < T0 + 8 * STWI_S);
}

static void a_hint_that_is_not_given_changes_nothing(void **unused) {
  (void)unused;
  const struct stwi_hint none = {false, 5000, 5000};
  struct stwi_pace pace = fresh();
  assert_true(stwi_pace_next(&pace, STWI_PACE_WINDOW, &none, T0, &dice) < T0 + W);
}

static void a_stable_link_begins_at_the_first_window_again(void **unused) {
  (void)unused;
  struct stwi_pace pace = fresh();
  const struct stwi_hint hint = {true, 0, 100000};
  stwi_pace_next(&pace, STWI_PACE_WINDOW_X4, &hint, T0, &dice);
  for (unsigned i = 0; i < 5; i++)
    next(&pace, STWI_PACE_WINDOW_X4, T0);
  stwi_pace_reset(&pace);
  assert_int_equal(pace.attempts, 0);
  assert_true(next(&pace, STWI_PACE_WINDOW, 2 * T0) < 2 * T0 + W);
}

static void the_extremes_of_time_do_not_overflow(void **unused) {
  (void)unused;
  static const stwi_time times[] = {0, 1, T0, STWI_NEVER / 2, STWI_NEVER - 2, STWI_NEVER - 1};
  static const uint64_t windows[] = {0, 1, W, STWI_NEVER / 2, UINT64_MAX};
  const struct stwi_hint hint = {true, STWI_HINT_MAX_MS, STWI_HINT_MAX_MS};
  for (unsigned w = 0; w < 5; w++)
    for (unsigned c = 0; c < 5; c++)
      for (unsigned t = 0; t < 6; t++)
        for (unsigned kind = 0; kind <= STWI_PACE_OVERLOAD; kind++) {
          struct stwi_pace pace;
          stwi_pace_init(&pace, windows[w], windows[c]);
          for (unsigned i = 0; i < 80; i++) {
            const stwi_time now = i % 10 == 9 ? times[5] : times[t];
            const stwi_time at = stwi_pace_next(&pace, (enum stwi_pace_kind)kind,
                                                i % 20 == 19 ? &hint : NULL, now, &dice);
            assert_true(at >= now || at == STWI_NEVER - 1);
            assert_true(at < STWI_NEVER);
          }
        }
}

static void through_silence_attempts_are_never_far_apart(void **unused) {
  (void)unused;
  struct stwi_pace pace = fresh();
  stwi_time at = next(&pace, STWI_PACE_WINDOW, T0);
  for (unsigned i = 0; i < 1000; i++) {
    const stwi_time failed = at + 5 * STWI_S;
    at = next(&pace, STWI_PACE_SILENT, failed);
    assert_true(at >= failed && at < failed + 4 * STWI_S);
  }
  at = next(&pace, STWI_PACE_WINDOW, at); /* something answers again: as after any loss */
  assert_true(at < T0 + 10000 * STWI_S + CAP);
}

static void attempts_are_counted_without_end(void **unused) {
  (void)unused;
  struct stwi_pace pace = fresh();
  next(&pace, STWI_PACE_WINDOW, T0);
  pace.attempts = UINT32_MAX;
  next(&pace, STWI_PACE_WINDOW, T0);
  assert_true(pace.attempts == UINT32_MAX);
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_first_local_failure_is_retried_within_250_ms),
      TEST(a_flapping_link_waits_in_windows),
      TEST(windows_are_disjoint_and_double),
      TEST(windows_grow_up_to_the_cap_and_no_further),
      TEST(a_window_more_than_half_over_is_left_out),
      TEST(a_long_time_away_is_skipped_without_walking),
      TEST(overload_begins_at_four_windows_and_grows_by_four),
      TEST(only_a_server_without_room_lifts_the_cap),
      TEST(a_hint_lifts_the_cap_as_far_as_it_is_wide),
      TEST(a_cap_that_is_lifted_late_sends_nobody_far),
      TEST(after_an_overload_other_causes_wait_no_longer_than_usual),
      TEST(attempts_out_of_turn_do_not_run_away),
      TEST(patience_doubles_up_to_two_minutes),
      TEST(waves_stay_disjoint_when_causes_mix),
      TEST(attempts_are_uniform_in_their_window),
      TEST(nobody_comes_before_the_hint_nor_after_its_spread),
      TEST(windows_after_a_hint_begin_after_its_spread),
      TEST(a_hint_that_is_not_given_changes_nothing),
      TEST(a_stable_link_begins_at_the_first_window_again),
      TEST(the_extremes_of_time_do_not_overflow),
      TEST(through_silence_attempts_are_never_far_apart),
      TEST(attempts_are_counted_without_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
