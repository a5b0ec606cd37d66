#include "core/phi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct stwi_phi phi;

static int set_up(void **unused) {
  (void)unused;
  phi = (struct stwi_phi){0};
  return 0;
}

static void seen(uint64_t rtt_ns, unsigned times) {
  for (unsigned i = 0; i < times; i++)
    stwi_phi_seen(&phi, rtt_ns);
}

static void without_answers_nothing_is_suspicious(void **unused) {
  (void)unused;
  assert_int_equal(stwi_phi_milli(&phi, 0), 0);
  assert_int_equal(stwi_phi_milli(&phi, 3600 * STWI_S), 0);
}

/* 90 answers of 10 ms, 9 of 100 ms, one of 1 s: 1 - 10/100, 1 - 1/100, never. */
static void it_is_the_logarithm_of_the_share_that_took_longer(void **unused) {
  (void)unused;
  seen(10 * STWI_MS, 90);
  seen(100 * STWI_MS, 9);
  seen(1000 * STWI_MS, 1);
  assert_int_equal(stwi_phi_milli(&phi, 2 * STWI_MS), 0);
  assert_in_range(stwi_phi_milli(&phi, 50 * STWI_MS), 920, 1010);   /* -log10(11/101) = 0.96 */
  assert_in_range(stwi_phi_milli(&phi, 500 * STWI_MS), 1650, 1760); /* -log10(2/101) = 1.70 */
  assert_in_range(stwi_phi_milli(&phi, 10 * STWI_S), 1950, 2050);   /* -log10(1/101) = 2.00 */
}

static void it_never_falls_while_the_answer_is_missing(void **unused) {
  (void)unused;
  for (unsigned i = 1; i < 150; i++)
    seen((uint64_t)i * i * STWI_MS, 1);
  uint64_t last = 0;
  for (uint64_t age = 0; age < 400 * STWI_S; age += 50 * STWI_MS) {
    assert_true(stwi_phi_milli(&phi, age) >= last);
    last = stwi_phi_milli(&phi, age);
  }
  assert_in_range(last, 2000, 2800);
}

static void it_follows_a_path_that_has_become_slow(void **unused) {
  (void)unused;
  seen(10 * STWI_MS, 5000);
  assert_in_range(stwi_phi_milli(&phi, STWI_S), 2300, 2800);
  seen(2 * STWI_S, 1000);
  assert_in_range(stwi_phi_milli(&phi, STWI_S), 0, 200);
}

static void the_longest_round_trip_has_a_place(void **unused) {
  (void)unused;
  seen(UINT64_MAX, 10);
  assert_int_equal(stwi_phi_milli(&phi, UINT64_MAX), 0);
  seen(0, 10);
  assert_in_range(stwi_phi_milli(&phi, STWI_S), 250, 350);
}

#define PHI_TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void) {
  const struct CMUnitTest tests[] = {
      PHI_TEST(without_answers_nothing_is_suspicious),
      PHI_TEST(it_is_the_logarithm_of_the_share_that_took_longer),
      PHI_TEST(it_never_falls_while_the_answer_is_missing),
      PHI_TEST(it_follows_a_path_that_has_become_slow),
      PHI_TEST(the_longest_round_trip_has_a_place),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
