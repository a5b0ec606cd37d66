#include "core/seen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "seed.h"

#include "core/pace.h"

static struct stwi_seen seen;
static uint64_t known;

static int set_up(void **unused) {
  (void)unused;
  stwi_seen_init(&seen, 10);
  return 0;
}

static void the_next_number_is_new(void **unused) {
  (void)unused;
  assert_int_equal(stwi_seen_take(&seen, 11), STWI_SEEN_NEW);
  assert_int_equal(stwi_seen_take(&seen, 12), STWI_SEEN_NEW);
  assert_int_equal(seen.accepted, 12);
  assert_int_equal(seen.processed, 10);
}

static void what_came_before_is_a_duplicate(void **unused) {
  (void)unused;
  assert_int_equal(stwi_seen_take(&seen, 10), STWI_SEEN_DUPLICATE);
  assert_int_equal(stwi_seen_take(&seen, 1), STWI_SEEN_DUPLICATE);
  assert_int_equal(seen.accepted, 10);
}

static void a_number_past_the_next_is_refused(void **unused) {
  (void)unused;
  assert_int_equal(stwi_seen_take(&seen, 12), STWI_SEEN_AHEAD);
  assert_int_equal(stwi_seen_take(&seen, UINT64_MAX), STWI_SEEN_AHEAD);
  assert_int_equal(seen.accepted, 10);
}

static void looking_moves_nothing(void **unused) {
  (void)unused;
  assert_int_equal(stwi_seen_check(&seen, 11), STWI_SEEN_NEW);
  assert_int_equal(stwi_seen_check(&seen, 11), STWI_SEEN_NEW);
  assert_int_equal(seen.accepted, 10);
}

static void a_gap_moves_the_cursor_and_says_what_is_missing(void **unused) {
  (void)unused;
  assert_int_equal(stwi_seen_gap(&seen, 11, 15, &known), STWI_SEEN_NEW);
  assert_int_equal(known, 10);
  assert_int_equal(seen.accepted, 15);
  assert_int_equal(stwi_seen_take(&seen, 16), STWI_SEEN_NEW);
}

static void of_a_gap_that_overlaps_only_the_rest_is_missing(void **unused) {
  (void)unused;
  assert_int_equal(stwi_seen_gap(&seen, 3, 12, &known), STWI_SEEN_NEW);
  assert_int_equal(known, 10);
  assert_int_equal(seen.accepted, 12);
  assert_int_equal(stwi_seen_gap(&seen, 3, 12, &known), STWI_SEEN_DUPLICATE);
  assert_int_equal(seen.accepted, 12);
}

static void a_gap_must_begin_at_the_next_number(void **unused) {
  (void)unused;
  assert_int_equal(stwi_seen_gap(&seen, 12, 15, &known), STWI_SEEN_AHEAD);
  assert_int_equal(seen.accepted, 10);
}

static void processed_grows_up_to_what_was_accepted(void **unused) {
  (void)unused;
  stwi_seen_take(&seen, 11);
  stwi_seen_take(&seen, 12);
  assert_true(stwi_seen_done(&seen, 11));
  assert_false(stwi_seen_done(&seen, 11));
  assert_false(stwi_seen_done(&seen, 5));
  assert_int_equal(seen.processed, 11);
  assert_true(stwi_seen_done(&seen, UINT64_MAX));
  assert_int_equal(seen.processed, 12);
}

static void the_last_number_does_not_wrap(void **unused) {
  (void)unused;
  stwi_seen_init(&seen, UINT64_MAX - 1);
  assert_int_equal(stwi_seen_take(&seen, UINT64_MAX), STWI_SEEN_NEW);
  assert_int_equal(stwi_seen_take(&seen, 1), STWI_SEEN_DUPLICATE);
  assert_int_equal(stwi_seen_gap(&seen, 1, UINT64_MAX, &known), STWI_SEEN_DUPLICATE);
}

/* A sender that replays from anywhere it may, with holes it announces: each number is new once. */
static void whatever_is_replayed_each_number_is_new_once(void **unused) {
  (void)unused;
  struct stwi_random random;
  stwi_random_seed(&random, test_seed("seen"));
  enum { NUMBERS = 500 };
  unsigned char delivered[NUMBERS + 1] = {0}, is_hole[NUMBERS + 1] = {0};
  for (int i = 1; i <= NUMBERS; i++)
    is_hole[i] = stwi_random_below(&random, 4) == 0;
  stwi_seen_init(&seen, 0);
  while (seen.accepted < NUMBERS) {
    const uint64_t last = seen.processed; /* where a replay may begin */
    const uint64_t from = last + 1 + stwi_random_below(&random, seen.accepted + 1 - last);
    uint64_t upto = from + stwi_random_below(&random, 20);
    for (uint64_t n = from; n <= upto && n <= NUMBERS; n++) {
      const enum stwi_seen_verdict verdict =
          is_hole[n] ? stwi_seen_gap(&seen, n, n, &known) : stwi_seen_take(&seen, n);
      assert_int_not_equal(verdict, STWI_SEEN_AHEAD);
      delivered[n] = (unsigned char)(delivered[n] + (verdict == STWI_SEEN_NEW));
    }
    stwi_seen_done(&seen, stwi_random_below(&random, NUMBERS));
  }
  for (int i = 1; i <= NUMBERS; i++)
    assert_int_equal(delivered[i], 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(the_next_number_is_new, set_up),
      cmocka_unit_test_setup(what_came_before_is_a_duplicate, set_up),
      cmocka_unit_test_setup(a_number_past_the_next_is_refused, set_up),
      cmocka_unit_test_setup(looking_moves_nothing, set_up),
      cmocka_unit_test_setup(a_gap_moves_the_cursor_and_says_what_is_missing, set_up),
      cmocka_unit_test_setup(of_a_gap_that_overlaps_only_the_rest_is_missing, set_up),
      cmocka_unit_test_setup(a_gap_must_begin_at_the_next_number, set_up),
      cmocka_unit_test_setup(processed_grows_up_to_what_was_accepted, set_up),
      cmocka_unit_test_setup(the_last_number_does_not_wrap, set_up),
      cmocka_unit_test_setup(whatever_is_replayed_each_number_is_new_once, set_up),
  };
  return cmocka_run_group_tests_name("seen", tests, NULL, NULL);
}
