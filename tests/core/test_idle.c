/* How long links may be silent: what their lives and deaths teach. */
#include "core/idle.h"

#include "seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/pace.h"

#define T0 (100 * STWI_S)
#define DAY (24 * 3600 * STWI_S)

static struct stwi_idles idles;
static struct stwi_idle *idle;

static int set_up(void **unused) {
  (void)unused;
  idles = (struct stwi_idles){0};
  idle = stwi_idles_of(&idles, 1, T0);
  return 0;
}

static void lives(uint64_t idle_ns, unsigned times) {
  for (unsigned i = 0; i < times; i++)
    stwi_idle_lived(idle, idle_ns, T0);
}

static bool dies(uint64_t idle_ns) {
  return stwi_idle_died(idle, idle_ns, T0);
}

static void the_search_begins_at_25_s_and_grows_by_30_s_after_three_lives(void **unused) {
  (void)unused;
  assert_int_equal(stwi_idle_interval_ns(idle), 25 * STWI_S);
  lives(25 * STWI_S, 2);
  assert_int_equal(stwi_idle_interval_ns(idle), 25 * STWI_S);
  lives(25 * STWI_S, 1);
  assert_int_equal(stwi_idle_interval_ns(idle), 55 * STWI_S);
  lives(25 * STWI_S, 10); /* shorter silences say nothing about this one */
  assert_int_equal(stwi_idle_interval_ns(idle), 55 * STWI_S);
}

static void it_ends_at_270_s(void **unused) {
  (void)unused;
  for (unsigned i = 0; i < 20; i++)
    lives(stwi_idle_interval_ns(idle), 3);
  assert_int_equal(stwi_idle_interval_ns(idle), 270 * STWI_S);
  assert_true(stwi_idle_cap_ns(idle) == STWI_NEVER);
}

static void one_death_is_chance(void **unused) {
  (void)unused;
  assert_false(dies(25 * STWI_S));
  assert_true(stwi_idle_cap_ns(idle) == STWI_NEVER);
  lives(25 * STWI_S, 2); /* one of three */
  assert_false(dies(25 * STWI_S));
  assert_true(stwi_idle_cap_ns(idle) == STWI_NEVER);
}

static void two_deaths_of_three_are_a_bound(void **unused) {
  (void)unused;
  dies(40 * STWI_S);
  lives(39 * STWI_S, 1);
  assert_true(dies(42 * STWI_S));
  assert_int_equal(idle->bound_ns, 40 * STWI_S);
  assert_int_equal(stwi_idle_cap_ns(idle), 32 * STWI_S);
  assert_true(stwi_idle_interval_ns(idle) <= 32 * STWI_S);
}

static void what_links_have_lived_through_takes_three_deaths_in_a_row(void **unused) {
  (void)unused;
  lives(30 * STWI_S, 3);
  dies(28 * STWI_S);
  dies(28 * STWI_S);
  lives(28 * STWI_S, 1);
  dies(28 * STWI_S);
  assert_false(dies(28 * STWI_S));
  assert_int_equal(idle->bound_ns, 0);
  assert_true(dies(28 * STWI_S));
  assert_int_equal(idle->bound_ns, 28 * STWI_S);
}

static void a_bound_that_kills_few_is_found_by_its_edge(void **unused) {
  (void)unused;
  lives(30 * STWI_S, 3);
  for (unsigned i = 0; i < 3; i++) {
    assert_false(dies((35 - i) * STWI_S));
    lives(32 * STWI_S, 50);
  }
  assert_true(dies(34 * STWI_S));
  assert_int_equal(idle->bound_ns, 33 * STWI_S);
}

static void one_life_beyond_it_and_it_is_no_edge(void **unused) {
  (void)unused;
  lives(30 * STWI_S, 3);
  for (unsigned i = 0; i < 10; i++) {
    assert_false(dies(29 * STWI_S));
    lives(30 * STWI_S, 5);
  }
}

static void short_silences_do_not_kill(void **unused) {
  (void)unused;
  for (unsigned i = 0; i < 10; i++)
    assert_false(dies(STWI_IDLE_SHORTEST - 1));
  assert_true(stwi_idle_cap_ns(idle) == STWI_NEVER);
}

static void a_bound_of_a_minute_or_so_is_taken_for_a_proxy(void **unused) {
  (void)unused;
  lives(25 * STWI_S, 3);
  lives(55 * STWI_S, 3);
  dies(85 * STWI_S);
  assert_true(dies(85 * STWI_S));
  assert_int_equal(stwi_idle_interval_ns(idle), STWI_IDLE_PROXY);
  lives(STWI_IDLE_PROXY, 9); /* and stays there */
  assert_int_equal(stwi_idle_interval_ns(idle), STWI_IDLE_PROXY);
}

static void a_bound_that_is_lived_past_twice_was_none(void **unused) {
  (void)unused;
  dies(30 * STWI_S);
  dies(30 * STWI_S);
  lives(35 * STWI_S, 1);
  assert_int_equal(stwi_idle_cap_ns(idle), 24 * STWI_S);
  lives(35 * STWI_S, 1);
  assert_true(stwi_idle_cap_ns(idle) == STWI_NEVER);
}

static void a_bound_is_forgotten_after_seven_days(void **unused) {
  (void)unused;
  dies(100 * STWI_S);
  dies(100 * STWI_S);
  stwi_idle_lived(idle, 10 * STWI_S, T0 + 7 * DAY - 1);
  assert_int_equal(stwi_idle_cap_ns(idle), 80 * STWI_S);
  stwi_idle_lived(idle, 10 * STWI_S, T0 + 7 * DAY);
  assert_true(stwi_idle_cap_ns(idle) == STWI_NEVER);
}

static void what_has_killed_once_is_known(void **unused) {
  (void)unused;
  assert_false(stwi_idle_is_known_to_kill(idle, 100 * STWI_S));
  dies(30 * STWI_S);
  assert_true(stwi_idle_is_known_to_kill(idle, 26 * STWI_S));
  assert_false(stwi_idle_is_known_to_kill(idle, 20 * STWI_S));
  dies(30 * STWI_S);
  assert_true(stwi_idle_is_known_to_kill(idle, 30 * STWI_S));
  assert_false(stwi_idle_is_known_to_kill(idle, 26 * STWI_S));
}

static void each_network_is_learnt_by_itself_and_few_are_kept(void **unused) {
  (void)unused;
  dies(30 * STWI_S);
  dies(30 * STWI_S);
  for (uint64_t network = 2; network <= STWI_IDLE_NETWORKS; network++)
    assert_true(stwi_idle_cap_ns(stwi_idles_of(&idles, network, T0 + network)) == STWI_NEVER);
  assert_int_equal(stwi_idles_of(&idles, 1, T0 + 10)->bound_ns, 30 * STWI_S);
  assert_int_equal(stwi_idles_of(&idles, 99, T0 + 11)->bound_ns, 0); /* in the place of 2 */
  assert_int_equal(stwi_idles_of(&idles, 1, T0 + 12)->bound_ns, 30 * STWI_S);
}

/* A translator that forgets after `bound`, and links that ask at 85 to 100 % of `interval`. */
static uint64_t settle(struct stwi_random *random, uint64_t wanted, uint64_t bound,
                       unsigned *deaths) {
  *deaths = 0;
  for (unsigned i = 0; i < 1000; i++) {
    const uint64_t cap = stwi_idle_cap_ns(idle);
    const uint64_t interval = wanted == 0    ? stwi_idle_interval_ns(idle)
                              : wanted < cap ? wanted
                                             : cap;
    const uint64_t silence = interval / 1000 * (850 + stwi_random_below(random, 151));
    const bool is_dead = silence >= bound;
    *deaths += is_dead;
    if (is_dead)
      dies(silence);
    else
      lives(silence, 1);
  }
  const uint64_t cap = stwi_idle_cap_ns(idle);
  return wanted == 0 ? stwi_idle_interval_ns(idle) : wanted < cap ? wanted : cap;
}

static void any_translator_is_found_with_few_deaths(void **unused) {
  (void)unused;
  const uint64_t seed = test_seed(__func__);
  struct stwi_random random;
  stwi_random_seed(&random, seed);
  for (uint64_t bound = 8; bound <= 300; bound += 4) {
    unsigned deaths;
    idles = (struct stwi_idles){0};
    idle = stwi_idles_of(&idles, 1, T0);
    const uint64_t interval = settle(&random, 0, bound * STWI_S, &deaths);
    const bool is_too_long = interval > bound * STWI_S / 100 * 101; /* nearer, it kills too few */
    if (deaths > 16 || is_too_long || interval < bound * STWI_S / 5 * 2)
      if (bound > 8 && bound <= 270)
        fail_msg("bound %llu s: %u deaths, settled at %llu ms; seed %llu",
                 (unsigned long long)bound, deaths, (unsigned long long)(interval / STWI_MS),
                 (unsigned long long)seed);
  }
}

static void one_link_in_a_hundred_that_dies_by_chance_shortens_little(void **unused) {
  (void)unused;
  const uint64_t seed = test_seed(__func__);
  struct stwi_random random;
  stwi_random_seed(&random, seed);
  for (unsigned i = 0; i < 100000; i++) {
    const uint64_t silence = 15 * STWI_S / 1000 * (850 + stwi_random_below(&random, 151));
    if (stwi_random_below(&random, 100) == 0)
      dies(silence);
    else
      lives(silence, 1);
  }
  assert_true(stwi_idle_cap_ns(idle) >= 10 * STWI_S);
}

#define IDLE_TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void) {
  const struct CMUnitTest tests[] = {
      IDLE_TEST(the_search_begins_at_25_s_and_grows_by_30_s_after_three_lives),
      IDLE_TEST(it_ends_at_270_s),
      IDLE_TEST(one_death_is_chance),
      IDLE_TEST(two_deaths_of_three_are_a_bound),
      IDLE_TEST(what_links_have_lived_through_takes_three_deaths_in_a_row),
      IDLE_TEST(a_bound_that_kills_few_is_found_by_its_edge),
      IDLE_TEST(one_life_beyond_it_and_it_is_no_edge),
      IDLE_TEST(short_silences_do_not_kill),
      IDLE_TEST(a_bound_of_a_minute_or_so_is_taken_for_a_proxy),
      IDLE_TEST(a_bound_that_is_lived_past_twice_was_none),
      IDLE_TEST(a_bound_is_forgotten_after_seven_days),
      IDLE_TEST(what_has_killed_once_is_known),
      IDLE_TEST(each_network_is_learnt_by_itself_and_few_are_kept),
      IDLE_TEST(any_translator_is_found_with_few_deaths),
      IDLE_TEST(one_link_in_a_hundred_that_dies_by_chance_shortens_little),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
