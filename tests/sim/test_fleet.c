/* Fleets: what does not depend on how they are simulated, what helps never hurts, and the figures
 * that the real core must reach. */

#include <steadwire/sim_fleet.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sanitized.h"

enum { DAY = 86400 };

static stw_fleet_params params_of(const char *profile, uint64_t days) {
  return (stw_fleet_params){.struct_size = sizeof(stw_fleet_params),
                            .policy = "steadwire",
                            .profile = profile,
                            .seed = 1,
                            .seconds = days * DAY};
}

static stw_fleet *fleet_of(const stw_fleet_params *params) {
  stw_fleet *fleet = NULL;
  assert_int_equal(stw_fleet_new(params, &fleet), STW_OK);
  return fleet;
}

static void run(stw_fleet *fleet, uint64_t first, uint64_t count) {
  assert_int_equal(stw_fleet_run(fleet, first, count), STW_OK);
}

static stw_fleet *lived(const stw_fleet_params *params, uint64_t clients) {
  stw_fleet *fleet = fleet_of(params);
  run(fleet, 0, clients);
  return fleet;
}

/* Figures need months of life; a sanitizer is there for the code, and shown two days of it. */
static bool is_for_the_code(const stw_fleet_params *params) {
  if (!IS_SANITIZED)
    return false;
  stw_fleet_params brief = *params;
  brief.seconds = 2 * DAY;
  stw_fleet_free(lived(&brief, 2));
  return true;
}

static uint64_t count(const stw_fleet *fleet, stw_fleet_count which) {
  return stw_fleet_values(fleet)[which];
}

static double reliability(const stw_fleet *fleet) {
  return 100 - 100.0 * (double)count(fleet, STW_FLEET_LOST_US) /
                   (double)count(fleet, STW_FLEET_USABLE_US);
}

static double mean_s(const stw_fleet *fleet, stw_fleet_count us, stw_fleet_count number) {
  return (double)count(fleet, us) / 1e6 / (double)count(fleet, number);
}

static double per_day(const stw_fleet *fleet, stw_fleet_count which) {
  const double days = (double)count(fleet, STW_FLEET_TOTAL_US) / 1e6 / DAY;
  return (double)count(fleet, which) / days;
}

static double p99_s(const stw_fleet *fleet, stw_fleet_histogram which) {
  const uint64_t *buckets =
      stw_fleet_values(fleet) + STW_FLEET_COUNT_COUNT + which * STW_FLEET_BUCKETS;
  uint64_t all = 0, seen = 0;
  for (size_t i = 0; i < STW_FLEET_BUCKETS; i++)
    all += buckets[i];
  size_t i = 0;
  while (i < STW_FLEET_BUCKETS && (double)(seen += buckets[i]) < 0.99 * (double)all)
    i++;
  return (double)stw_fleet_bucket_us(i + 1) / 1e6;
}

static void expect_same(const stw_fleet *a, const stw_fleet *b) {
  const size_t bytes = STW_FLEET_VALUES * sizeof(uint64_t);
  assert_memory_equal(stw_fleet_values(a), stw_fleet_values(b), bytes);
}

static void the_order_of_clients_changes_nothing(void **unused) {
  (void)unused;
  const char *const policies[] = {"steadwire", "fixed"};
  for (unsigned i = 0; i < 2; i++) {
    stw_fleet_params params = params_of("mobile", 2);
    params.policy = policies[i];
    stw_fleet *forth = lived(&params, 6), *back = fleet_of(&params);
    for (uint64_t client = 6; client-- > 0;)
      run(back, client, 1);
    expect_same(forth, back);
    stw_fleet_free(forth);
    stw_fleet_free(back);
  }
}

static void parts_add_up_to_the_whole(void **unused) {
  (void)unused;
  const stw_fleet_params params = params_of("mobile", 2);
  stw_fleet *whole = lived(&params, 5), *one = fleet_of(&params), *other = fleet_of(&params);
  run(one, 0, 2);
  run(other, 2, 3);
  for (size_t i = 0; i < STW_FLEET_VALUES; i++)
    assert_true(stw_fleet_values(whole)[i] ==
                stw_fleet_values(one)[i] + stw_fleet_values(other)[i]);
  stw_fleet_free(whole);
  stw_fleet_free(one);
  stw_fleet_free(other);
}

struct part {
  pthread_t thread;
  stw_fleet *fleet;
  uint64_t first;
};

static void *live_part(void *of) {
  const struct part *part = of;
  const stw_status status = stw_fleet_run(part->fleet, part->first, 2);
  return status == STW_OK ? of : NULL;
}

static void threads_change_nothing(void **unused) {
  (void)unused;
  enum { THREADS = 4 };
  const stw_fleet_params params = params_of("mobile", 2);
  stw_fleet *whole = lived(&params, 2 * THREADS);
  uint64_t sums[STW_FLEET_VALUES] = {0};
  struct part parts[THREADS];
  for (unsigned i = 0; i < THREADS; i++) {
    parts[i] = (struct part){.fleet = fleet_of(&params), .first = 2 * i};
    assert_int_equal(pthread_create(&parts[i].thread, NULL, live_part, &parts[i]), 0);
  }
  for (unsigned i = 0; i < THREADS; i++) {
    void *answer = NULL;
    assert_int_equal(pthread_join(parts[i].thread, &answer), 0);
    assert_non_null(answer);
    for (size_t k = 0; k < STW_FLEET_VALUES; k++)
      sums[k] += stw_fleet_values(parts[i].fleet)[k];
    stw_fleet_free(parts[i].fleet);
  }
  assert_memory_equal(sums, stw_fleet_values(whole), sizeof sums);
  stw_fleet_free(whole);
}

static void the_same_seed_logs_the_same_bytes(void **unused) {
  (void)unused;
  stw_fleet_params params = params_of("mobile", 3);
  params.has_log = true;
  stw_fleet *one = lived(&params, 2), *two = lived(&params, 2);
  size_t size, same;
  const char *log = stw_fleet_log(one, &size), *again = stw_fleet_log(two, &same);
  assert_true(size > 10000);
  assert_int_equal(size, same);
  assert_memory_equal(log, again, size);
  stw_fleet_free(two);
  params.seed = 2;
  two = lived(&params, 2);
  again = stw_fleet_log(two, &same);
  assert_true(size != same || memcmp(log, again, size) != 0);
  stw_fleet_free(one);
  stw_fleet_free(two);
}

/* 90 days of the note's model, fewer clients: what the core must reach with some room for chance;
 * `steadwire simulate fleet` gives the whole table. */
static void the_core_reaches_its_figures(void **unused) {
  (void)unused;
  static const struct {
    const char *profile;
    double reliability, restore_s, false_alarms;
  } floors[] = {
      {"mobile", 99.95, 1.3, 6.5}, {"desktop", 99.995, 0.7, 0.3}, {"bot", 99.998, 1, 0.1}};
  for (unsigned i = 0; i < sizeof floors / sizeof floors[0]; i++) {
    const stw_fleet_params params = params_of(floors[i].profile, 90);
    if (is_for_the_code(&params))
      continue;
    stw_fleet *fleet = lived(&params, 4);
    assert_true(reliability(fleet) >= floors[i].reliability);
    assert_true(mean_s(fleet, STW_FLEET_RESTORE_US, STW_FLEET_RESTORE_COUNT) <=
                floors[i].restore_s);
    assert_true(per_day(fleet, STW_FLEET_FALSE_ALARMS) <= floors[i].false_alarms);
    assert_true(p99_s(fleet, STW_FLEET_HISTOGRAM_DETECT) <= 17);
    assert_int_equal(count(fleet, STW_FLEET_LOST_MESSAGES), 0);
    assert_int_equal(count(fleet, STW_FLEET_DUPLICATES), 0);
    stw_fleet_free(fleet);
  }
}

static void the_fair_baseline_is_no_straw_man(void **unused) {
  (void)unused;
  stw_fleet_params params = params_of("mobile", 90);
  params.policy = "fixed";
  if (is_for_the_code(&params))
    return;
  stw_fleet *fleet = lived(&params, 5);
  assert_true(reliability(fleet) > 98.7 && reliability(fleet) < 99.05);
  assert_true(p99_s(fleet, STW_FLEET_HISTOGRAM_SILENT) < 47);
  stw_fleet_free(fleet);
}

static void half_the_interval_never_sees_later(void **unused) {
  (void)unused;
  double before = 1e9;
  for (uint64_t interval_ms = 40000; interval_ms >= 5000; interval_ms /= 2) {
    stw_fleet_params params = params_of("mobile", 60);
    params.interval_ms = interval_ms;
    if (is_for_the_code(&params))
      continue;
    stw_fleet *fleet = lived(&params, 3);
    const double p99 = p99_s(fleet, STW_FLEET_HISTOGRAM_SILENT);
    assert_true(p99 <= before);
    before = p99;
    stw_fleet_free(fleet);
  }
}

/* One client in ten lives behind a proxy that forgets a link after a minute. */
static void an_interval_too_long_for_a_proxy_is_shortened(void **unused) {
  (void)unused;
  stw_fleet_params params = params_of("bot", 30);
  params.interval_ms = 120000;
  if (is_for_the_code(&params))
    return;
  stw_fleet *fleet = lived(&params, 20);
  assert_true(reliability(fleet) > 99.95); /* 81 % without learning */
  stw_fleet_free(fleet);
}

static void a_learnt_idle_interval_halves_the_heartbeats(void **unused) {
  (void)unused;
  stw_fleet_params params = params_of("desktop", 30);
  if (is_for_the_code(&params))
    return;
  stw_fleet *usual = lived(&params, 10);
  params.idle_interval_ms = STW_FLEET_LEARNT;
  stw_fleet *learnt = lived(&params, 10);
  assert_true(count(learnt, STW_FLEET_HEARTBEAT_BYTES) * 10 <
              count(usual, STW_FLEET_HEARTBEAT_BYTES) * 6);
  assert_true(reliability(learnt) > 99.95);
  stw_fleet_free(usual);
  stw_fleet_free(learnt);
}

/* Hints, drains and hedges, each left out in turn. */
static void what_helps_never_hurts(void **unused) {
  (void)unused;
  static const char *const profiles[] = {"mobile", "desktop"};
  for (unsigned i = 0; i < 2; i++) {
    const stw_fleet_params all = params_of(profiles[i], 60);
    if (is_for_the_code(&all))
      continue;
    stw_fleet *with = lived(&all, 3);
    for (unsigned left_out = 0; left_out < 3; left_out++) {
      stw_fleet_params params = all;
      params.has_no_hints = left_out == 0;
      params.has_no_drain = left_out == 1;
      params.has_no_hedge = left_out == 2;
      stw_fleet *without = lived(&params, 3);
      assert_true(reliability(with) >= reliability(without));
      stw_fleet_free(without);
    }
    stw_fleet_free(with);
  }
}

static void a_false_alarm_costs_next_to_nothing(void **unused) {
  (void)unused;
  const stw_fleet_params params = params_of("mobile", 60);
  if (is_for_the_code(&params))
    return;
  stw_fleet *fleet = lived(&params, 3);
  assert_true(count(fleet, STW_FLEET_FALSE_ALARMS) > 100);
  assert_true(per_day(fleet, STW_FLEET_FALSE_ALARM_US) < 50000);
  stw_fleet_free(fleet);
}

static void every_policy_lives_through_a_day(void **unused) {
  (void)unused;
  const char *name;
  for (size_t i = 0; (name = stw_fleet_policy_at(i)) != NULL; i++) {
    stw_fleet_params params = params_of("mobile", 2);
    params.policy = name;
    stw_fleet *fleet = lived(&params, 2);
    assert_int_equal(count(fleet, STW_FLEET_CLIENTS), 2);
    assert_true(reliability(fleet) > 50);
    assert_true(count(fleet, STW_FLEET_FAULTS) > 20);
    stw_fleet_free(fleet);
  }
}

static void a_trace_is_replayed(void **unused) {
  (void)unused;
  stw_fleet_step steps[100];
  for (uint32_t i = 0; i < 100; i++)
    steps[i] = (stw_fleet_step){.at_us = i * 60000000ull, .address = i / 10, .is_up = i % 10 != 5};
  stw_fleet_params params = params_of("desktop", 1);
  params.seconds = 6000;
  params.steps = steps;
  params.step_count = 100;
  stw_fleet *fleet = lived(&params, 1);
  const double usable = (double)count(fleet, STW_FLEET_USABLE_US) / 1e6;
  assert_true(usable > 5390 && usable < 5401);
  assert_true(count(fleet, STW_FLEET_FAULTS) >= 9);
  stw_fleet_free(fleet);
}

static void what_no_fleet_can_be_is_refused(void **unused) {
  (void)unused;
  const stw_fleet_step back[] = {{.at_us = 2}, {.at_us = 1}};
  stw_fleet *fleet = NULL;
  stw_fleet_params params = params_of("mobile", 1);
  assert_int_equal(stw_fleet_new(NULL, &fleet), STW_E_ARGUMENT);
  params.policy = "hope";
  assert_int_equal(stw_fleet_new(&params, &fleet), STW_E_ARGUMENT);
  params = params_of("toaster", 1);
  assert_int_equal(stw_fleet_new(&params, &fleet), STW_E_ARGUMENT);
  params = params_of("mobile", 0);
  assert_int_equal(stw_fleet_new(&params, &fleet), STW_E_ARGUMENT);
  params = params_of("mobile", 10000);
  assert_int_equal(stw_fleet_new(&params, &fleet), STW_E_ARGUMENT);
  params = params_of("mobile", 1);
  params.struct_size = 1;
  assert_int_equal(stw_fleet_new(&params, &fleet), STW_E_ARGUMENT);
  params = params_of("mobile", 1);
  params.steps = back;
  params.step_count = 2;
  assert_int_equal(stw_fleet_new(&params, &fleet), STW_E_ARGUMENT);
  assert_null(fleet);
  fleet = fleet_of(&(stw_fleet_params){
      .struct_size = sizeof(stw_fleet_params), .policy = "grpc", .profile = "bot", .seconds = 1});
  assert_int_equal(stw_fleet_run(fleet, UINT64_MAX, 1), STW_E_ARGUMENT);
  stw_fleet_free(fleet);
  stw_fleet_free(NULL);
}

static void buckets_follow_one_another(void **unused) {
  (void)unused;
  for (size_t i = 1; i < STW_FLEET_BUCKETS; i++)
    assert_true(stw_fleet_bucket_us(i) > stw_fleet_bucket_us(i - 1));
  assert_int_equal(stw_fleet_bucket_us(64), 64000);
  assert_int_equal(stw_fleet_bucket_us(128), 128000);
  assert_int_equal(stw_fleet_bucket_us(129), 130000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_order_of_clients_changes_nothing),
      cmocka_unit_test(parts_add_up_to_the_whole),
      cmocka_unit_test(threads_change_nothing),
      cmocka_unit_test(the_same_seed_logs_the_same_bytes),
      cmocka_unit_test(the_core_reaches_its_figures),
      cmocka_unit_test(the_fair_baseline_is_no_straw_man),
      cmocka_unit_test(half_the_interval_never_sees_later),
      cmocka_unit_test(an_interval_too_long_for_a_proxy_is_shortened),
      cmocka_unit_test(a_learnt_idle_interval_halves_the_heartbeats),
      cmocka_unit_test(what_helps_never_hurts),
      cmocka_unit_test(a_false_alarm_costs_next_to_nothing),
      cmocka_unit_test(every_policy_lives_through_a_day),
      cmocka_unit_test(a_trace_is_replayed),
      cmocka_unit_test(what_no_fleet_can_be_is_refused),
      cmocka_unit_test(buckets_follow_one_another),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
