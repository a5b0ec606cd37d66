#include "core/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* xoshiro256++ by its definition, stated again here, from a state of 1, 2, 3, 4: the first values
 * are those of the authors' reference code. */
static void the_generator_is_xoshiro256_plus_plus(void **unused) {
  (void)unused;
  struct stwi_random random = {{1, 2, 3, 4}};
  static const uint64_t first[] = {
      41943041u,           58720359u, 3588806011781223u, 3591011842654386u, 9228616714210784205u,
      9973669472204895162u};
  for (unsigned i = 0; i < 6; i++)
    assert_true(stwi_random_next(&random) == first[i]);
}

/* splitmix64 of 1234567 begins so (Rosetta Code). */
static void a_seed_fills_the_state_with_splitmix64(void **unused) {
  (void)unused;
  struct stwi_random random;
  stwi_random_seed(&random, 1234567);
  static const uint64_t state[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                   4593380528125082431u};
  for (unsigned i = 0; i < 4; i++)
    assert_true(random.state[i] == state[i]);
}

static void near_seeds_give_unlike_streams(void **unused) {
  (void)unused;
  for (uint64_t seed = 0; seed < 1000; seed++) {
    struct stwi_random a, b;
    stwi_random_seed(&a, seed);
    stwi_random_seed(&b, seed + 1);
    const int same_bits = 64 - __builtin_popcountll(stwi_random_next(&a) ^ stwi_random_next(&b));
    assert_in_range(same_bits, 8, 56);
  }
}

static void values_stay_below_their_bound(void **unused) {
  (void)unused;
  static const uint64_t bounds[] = {2, 3, 5, 64, 65, 1000, UINT32_MAX, 1ull << 63, UINT64_MAX};
  struct stwi_random random;
  stwi_random_seed(&random, 42);
  for (unsigned i = 0; i < sizeof bounds / sizeof *bounds; i++)
    for (unsigned draw = 0; draw < 1000; draw++)
      assert_true(stwi_random_below(&random, bounds[i]) < bounds[i]);
  assert_true(stwi_random_below(&random, 0) == 0);
  assert_true(stwi_random_below(&random, 1) == 0);
}

/* Pearson's statistic over 7 and 10 cells; limits of p = 0.001 at 6 and 9 degrees of freedom. */
static void values_are_uniform(void **unused) {
  (void)unused;
  static const struct {
    uint64_t bound;
    double limit;
  } cases[] = {{7, 22.46}, {10, 27.88}};
  for (uint64_t seed = 1; seed <= 5; seed++) {
    for (unsigned c = 0; c < 2; c++) {
      struct stwi_random random;
      stwi_random_seed(&random, seed);
      unsigned cells[10] = {0};
      const unsigned draws = 70000;
      for (unsigned i = 0; i < draws; i++)
        cells[stwi_random_below(&random, cases[c].bound)]++;
      double sum = 0;
      const double wanted = (double)draws / (double)cases[c].bound;
      for (unsigned i = 0; i < cases[c].bound; i++)
        sum += (cells[i] - wanted) * (cells[i] - wanted) / wanted;
      assert_true(sum < cases[c].limit);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_generator_is_xoshiro256_plus_plus),
      cmocka_unit_test(a_seed_fills_the_state_with_splitmix64),
      cmocka_unit_test(near_seeds_give_unlike_streams),
      cmocka_unit_test(values_stay_below_their_bound),
      cmocka_unit_test(values_are_uniform),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
