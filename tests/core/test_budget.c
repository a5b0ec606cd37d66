#include "core/pace.h"

#include "seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static unsigned spend_all(struct stwi_bucket *bucket, uint32_t conns, stwi_time now) {
  unsigned count = 0;
  for (stwi_time when; stwi_budget_allows(bucket, conns, now, &when); count++)
    stwi_budget_spend(bucket, conns, now);
  return count;
}

static void the_burst_is_ten_and_one_for_each_conn(void **unused) {
  (void)unused;
  static const uint32_t conns[] = {0, 1, 10, 11, 500, 20000};
  for (unsigned i = 0; i < sizeof conns / sizeof *conns; i++) {
    struct stwi_bucket bucket;
    stwi_budget_init(&bucket, 0);
    assert_int_equal(spend_all(&bucket, conns[i], 0), 10 + conns[i]);
    assert_int_equal(spend_all(&bucket, conns[i], 365 * 24 * 3600 * STWI_S), 10 + conns[i]);
  }
}

static void an_attempt_comes_back_every_six_seconds_at_least(void **unused) {
  (void)unused;
  struct stwi_bucket bucket;
  stwi_budget_init(&bucket, 0);
  spend_all(&bucket, 1, 0);
  stwi_time when = 0;
  assert_false(stwi_budget_allows(&bucket, 1, 0, &when));
  assert_int_equal(when, 6 * STWI_S);
  assert_false(stwi_budget_allows(&bucket, 1, 6 * STWI_S - 1, &when));
  assert_int_equal(when, 6 * STWI_S);
  assert_true(stwi_budget_allows(&bucket, 1, 6 * STWI_S, &when));
}

static void many_conns_get_one_each_in_a_minute(void **unused) {
  (void)unused;
  struct stwi_bucket bucket;
  stwi_budget_init(&bucket, 0);
  spend_all(&bucket, 600, 0);
  stwi_time when = 0;
  assert_false(stwi_budget_allows(&bucket, 600, 0, &when));
  assert_int_equal(when, 100 * STWI_MS);
  assert_int_equal(spend_all(&bucket, 600, 60 * STWI_S), 600);
}

static void asking_does_not_spend(void **unused) {
  (void)unused;
  struct stwi_bucket bucket;
  stwi_budget_init(&bucket, 0);
  stwi_time when;
  for (unsigned i = 0; i < 1000; i++)
    assert_true(stwi_budget_allows(&bucket, 1, 0, &when));
  assert_int_equal(spend_all(&bucket, 1, 0), 11);
}

static void spending_more_than_there_is_leaves_nothing_but_no_debt(void **unused) {
  (void)unused;
  struct stwi_bucket bucket;
  stwi_budget_init(&bucket, 0);
  for (unsigned i = 0; i < 500; i++)
    stwi_budget_spend(&bucket, 1, 0);
  stwi_time when;
  assert_true(stwi_budget_allows(&bucket, 1, 6 * STWI_S, &when));
}

static void a_token_that_was_given_back_is_there_again_and_no_more(void **unused) {
  (void)unused;
  struct stwi_bucket bucket;
  stwi_time when;
  stwi_budget_init(&bucket, 0);
  stwi_budget_give(&bucket);
  assert_int_equal(spend_all(&bucket, 1, 0), 11);
  assert_false(stwi_budget_spend(&bucket, 1, 0));
  stwi_budget_give(&bucket);
  assert_true(stwi_budget_spend(&bucket, 1, 0));
  assert_false(stwi_budget_allows(&bucket, 1, 0, &when));
  for (unsigned i = 0; i < 100; i++)
    stwi_budget_give(&bucket);
  assert_int_equal(spend_all(&bucket, 1, 0), 11);
}

/* However the queries fall, the sum over a day is exact to the token. */
static void no_pattern_of_queries_gains_or_loses_a_token(void **unused) {
  (void)unused;
  struct stwi_random random;
  stwi_random_seed(&random, test_seed("budget"));
  static const uint32_t conns[] = {1, 7, 13, 601};
  for (unsigned i = 0; i < 4; i++) {
    struct stwi_bucket bucket;
    stwi_budget_init(&bucket, 0);
    const uint64_t rate = conns[i] > 10 ? conns[i] : 10;
    uint64_t spent = 0;
    stwi_time now = 0;
    const stwi_time day = 24 * 3600 * STWI_S;
    while (now < day) {
      spent += spend_all(&bucket, conns[i], now);
      now += 1 + stwi_random_below(&random, 5 * STWI_S);
    }
    spent += spend_all(&bucket, conns[i], now);
    assert_int_equal(spent, 10 + conns[i] + now * rate / (60 * STWI_S));
  }
}

/* The time named is right: not a nanosecond too early, not one too late. */
static void the_time_named_is_exact(void **unused) {
  (void)unused;
  struct stwi_random random;
  stwi_random_seed(&random, test_seed("budget"));
  stwi_time now = 0, when = 0;
  struct stwi_bucket bucket;
  stwi_budget_init(&bucket, 0);
  for (unsigned i = 0; i < 20000; i++) {
    const uint32_t conns = 1 + (uint32_t)stwi_random_below(&random, 40);
    now += stwi_random_below(&random, 2 * STWI_S);
    spend_all(&bucket, conns, now);
    assert_false(stwi_budget_allows(&bucket, conns, now, &when));
    assert_true(when > now);
    struct stwi_bucket copy = bucket;
    stwi_time later;
    assert_false(stwi_budget_allows(&copy, conns, when - 1, &later));
    assert_int_equal(later, when);
    assert_true(stwi_budget_allows(&copy, conns, when, &later));
  }
}

static void the_ends_of_time_and_of_counting_are_harmless(void **unused) {
  (void)unused;
  struct stwi_bucket bucket;
  stwi_time when;
  stwi_budget_init(&bucket, STWI_NEVER - 1);
  spend_all(&bucket, 1, STWI_NEVER - 1);
  assert_false(stwi_budget_allows(&bucket, 1, STWI_NEVER - 1, &when));
  assert_true(when == STWI_NEVER - 1);
  stwi_budget_init(&bucket, 0);
  assert_true(stwi_budget_allows(&bucket, UINT32_MAX, STWI_NEVER - 1, &when));
  stwi_budget_spend(&bucket, UINT32_MAX, STWI_NEVER - 1);
  assert_true(stwi_budget_allows(&bucket, UINT32_MAX, 5, &when)); /* time never runs backwards */
  assert_true(bucket.filled_at == STWI_NEVER - 1);
}

static void hedges_come_in_twos_and_then_every_ten_seconds(void **unused) {
  (void)unused;
  struct stwi_bucket bucket;
  stwi_hedge_init(&bucket, STWI_S);
  assert_true(stwi_hedge_take(&bucket, STWI_S));
  assert_true(stwi_hedge_take(&bucket, STWI_S));
  assert_false(stwi_hedge_take(&bucket, STWI_S));
  assert_false(stwi_hedge_take(&bucket, 11 * STWI_S - 1));
  assert_true(stwi_hedge_take(&bucket, 11 * STWI_S));
  unsigned count = 0;
  for (stwi_time now = 11 * STWI_S; now <= 3611 * STWI_S; now += STWI_S)
    count += stwi_hedge_take(&bucket, now);
  assert_int_equal(count, 360);
}

static void five_attempts_earn_a_hedge(void **unused) {
  (void)unused;
  struct stwi_bucket bucket;
  stwi_hedge_init(&bucket, 0);
  for (unsigned i = 0; i < 100; i++)
    stwi_hedge_earn(&bucket); /* a full bucket takes no more */
  assert_true(stwi_hedge_take(&bucket, 0) && stwi_hedge_take(&bucket, 0));
  for (unsigned i = 0; i < 5; i++) {
    assert_false(stwi_hedge_take(&bucket, 0));
    stwi_hedge_earn(&bucket);
  }
  assert_true(stwi_hedge_take(&bucket, 0));
  assert_false(stwi_hedge_take(&bucket, 0));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_burst_is_ten_and_one_for_each_conn),
      cmocka_unit_test(an_attempt_comes_back_every_six_seconds_at_least),
      cmocka_unit_test(many_conns_get_one_each_in_a_minute),
      cmocka_unit_test(asking_does_not_spend),
      cmocka_unit_test(spending_more_than_there_is_leaves_nothing_but_no_debt),
      cmocka_unit_test(a_token_that_was_given_back_is_there_again_and_no_more),
      cmocka_unit_test(no_pattern_of_queries_gains_or_loses_a_token),
      cmocka_unit_test(the_time_named_is_exact),
      cmocka_unit_test(the_ends_of_time_and_of_counting_are_harmless),
      cmocka_unit_test(hedges_come_in_twos_and_then_every_ten_seconds),
      cmocka_unit_test(five_attempts_earn_a_hedge),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
