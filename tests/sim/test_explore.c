/* Lives of a core among faults, every promise of the design checked: see steadwire/sim_explore.h.
 *
 * Always the same lives, unless STW_SEED says from which seed on and STW_LIVES how many; others are
 * lived by steadwire simulate explore, which also shows one as a log: --seed N --trace. */
#include <steadwire/sim_explore.h>

#include "failing_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define LIVES 600u /* a sanitizer makes a life twenty times as long */
#else
#define LIVES 10000u
#define TIMES_REAL_LEAST 1000.0
#endif
#define PLANTED_LIVES 3000u

/* ---- lives ---- */

static stw_explore_report explore(const stw_explore_options *options, char **trace) {
  stw_explore *lived;
  const char *why;
  stw_explore_report report = {.struct_size = sizeof report};
  const stw_status status = stw_explore_run(options, &lived, &why);
  if (status != STW_OK)
    fail_msg("%s", why);
  assert_int_equal(stw_explore_look(lived, &report), STW_OK);
  size_t size;
  const char *text = stw_explore_trace(lived, &size);
  if (trace != NULL)
    *trace = strndup(text, size);
  stw_explore_free(lived);
  return report;
}

static stw_explore_options options_of(uint64_t seed, uint64_t seeds) {
  return (stw_explore_options){
      .struct_size = sizeof(stw_explore_options), .seed = seed, .seeds = seeds};
}

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t given(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void expect_kept(const stw_explore_report *report) {
  if (report->is_broken)
    fail_msg("STW_SEED=%llu STW_LIVES=1 breaks %s: %s", (unsigned long long)report->broken_seed,
             stw_explore_rule_at(report->broken_rule)->name, report->broken);
}

/* Lives that broke a promise once. */
static const uint64_t kept[] = {
    1002153,  /* the budget of one server paid for attempts at another */
    5033413,  /* attempts that race had no budget at all */
    5023291,  /* a late HELLO voided the token that the client held */
    20232298, /* ... and so did a late first HELLO */
    5111118,  /* numbers that were never committed were given again */
};

static void no_life_breaks_a_promise(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
    const stw_explore_options one = options_of(kept[i], 1);
    const stw_explore_report report = explore(&one, NULL);
    expect_kept(&report);
  }
  const stw_explore_options options = options_of(given("STW_SEED", 1), given("STW_LIVES", LIVES));
  const double began = now_s();
  const stw_explore_report report = explore(&options, NULL);
  const double took = now_s() - began, virtual_s = (double)report.virtual_ns / 1e9;
  print_message("  %llu lives, %llu conns, %llu links, %llu messages, %llu steps: %.0f virtual "
                "seconds in %.2f s of CPU, %.0f times real time\n",
                (unsigned long long)report.lives, (unsigned long long)report.conns,
                (unsigned long long)report.links, (unsigned long long)report.messages,
                (unsigned long long)report.steps, virtual_s, took, virtual_s / took);
  expect_kept(&report);
  assert_int_equal(report.lives, options.seeds);
#ifdef TIMES_REAL_LEAST
  assert_true(virtual_s / took >= TIMES_REAL_LEAST);
#endif
}

static void every_fault_happens_and_every_promise_is_looked_at(void **unused) {
  (void)unused;
  const stw_explore_options options = options_of(1, LIVES / 10);
  const stw_explore_report report = explore(&options, NULL);
  expect_kept(&report);
  for (size_t i = 0; i < STW_EXPLORE_FAULT_COUNT; i++)
    if (report.faults[i] == 0)
      fail_msg("no life had %s", stw_explore_fault_at(i)->name);
  for (size_t i = 0; i < STW_RULE_COUNT; i++)
    if (report.checks[i] == 0)
      fail_msg("no life was looked at for %s", stw_explore_rule_at(i)->name);
}

static void memory_goes_back_to_zero(void **unused) {
  (void)unused;
  const long before = failing_mem_live;
  for (uint64_t seed = 1; seed <= LIVES / 50; seed++) {
    const stw_explore_options options = options_of(seed, 1);
    explore(&options, NULL);
    if (failing_mem_live != before)
      fail_msg("the life of seed %llu left %ld blocks behind", (unsigned long long)seed,
               failing_mem_live - before);
  }
}

static void the_same_seed_gives_the_same_life(void **unused) {
  (void)unused;
  for (uint64_t seed = 100; seed < 120; seed++) {
    char *traces[2];
    stw_explore_options options = options_of(seed, 1);
    options.has_trace = true;
    const stw_explore_report first = explore(&options, &traces[0]);
    const stw_explore_report second = explore(&options, &traces[1]);
    assert_true(strlen(traces[0]) > 100);
    assert_string_equal(traces[0], traces[1]);
    assert_memory_equal(&first, &second, sizeof first);
    free(traces[0]);
    free(traces[1]);
  }
}

static void ranges_add_up_to_the_whole(void **unused) {
  (void)unused;
  const stw_explore_options whole = options_of(500, 40), left = options_of(500, 13),
                            right = options_of(513, 27);
  const stw_explore_report all = explore(&whole, NULL), one = explore(&left, NULL),
                           other = explore(&right, NULL);
  assert_int_equal(all.digest, one.digest + other.digest);
  assert_int_equal(all.steps, one.steps + other.steps);
  assert_int_equal(all.virtual_ns, one.virtual_ns + other.virtual_ns);
}

/* ---- mistakes made on purpose ---- */

static const struct {
  stw_explore_rule rule;
  stw_explore_profile profile;
} found_as[STW_PLANT_COUNT] = {
    [STW_PLANT_DELIVERED_TWICE] = {STW_RULE_EXACTLY, STW_EXPLORE_PROFILE_SESSION},
    [STW_PLANT_DELIVERED_LATE] = {STW_RULE_ORDER, STW_EXPLORE_PROFILE_ANY},
    [STW_PLANT_SENT_ON_FENCED] = {STW_RULE_FENCED, STW_EXPLORE_PROFILE_ANY},
    [STW_PLANT_END_UNTOLD] = {STW_RULE_LOST, STW_EXPLORE_PROFILE_ANY},
    [STW_PLANT_UNPAIRED] = {STW_RULE_PAIRED, STW_EXPLORE_PROFILE_ANY},
    [STW_PLANT_CHANGE_UNTOLD] = {STW_RULE_TRANSITION, STW_EXPLORE_PROFILE_ANY},
    [STW_PLANT_AFTER_CLOSED] = {STW_RULE_LAST, STW_EXPLORE_PROFILE_ANY},
    [STW_PLANT_NO_TIMER] = {STW_RULE_WAY_OUT, STW_EXPLORE_PROFILE_ANY},
    [STW_PLANT_EARLY_RESET] = {STW_RULE_ATTEMPTS, STW_EXPLORE_PROFILE_ANY},
    [STW_PLANT_NO_BUDGET] = {STW_RULE_BUDGET, STW_EXPLORE_PROFILE_ANY},
    [STW_PLANT_NO_HEDGE_BUDGET] = {STW_RULE_HEDGES, STW_EXPLORE_PROFILE_ANY},
    [STW_PLANT_GAP_UNTOLD] = {STW_RULE_GAPS, STW_EXPLORE_PROFILE_SESSION},
    [STW_PLANT_PROOF_FALSE] = {STW_RULE_PROOF, STW_EXPLORE_PROFILE_ANY},
    [STW_PLANT_STORE_LOSES] = {STW_RULE_STORED, STW_EXPLORE_PROFILE_ANY},
    [STW_PLANT_NEVER_BACK] = {STW_RULE_BACK, STW_EXPLORE_PROFILE_ANY},
};

/* A mistake can be noticed under more than one name: lives go on to the one that fits it best. */
static void expect_found(stw_explore_plant plant) {
  stw_explore_options options = options_of(1, PLANTED_LIVES);
  options.plant = plant;
  options.profile = (uint32_t)found_as[plant].profile;
  while (options.seed <= PLANTED_LIVES) {
    options.seeds = PLANTED_LIVES + 1 - options.seed;
    const stw_explore_report report = explore(&options, NULL);
    if (!report.is_broken)
      break;
    if (report.broken_rule == (uint32_t)found_as[plant].rule) {
      print_message("  %s, seed %llu: %s: %s\n", stw_explore_plant_at(plant)->text,
                    (unsigned long long)report.broken_seed,
                    stw_explore_rule_at(report.broken_rule)->name, report.broken);
      return;
    }
    options.seed = report.broken_seed + 1;
  }
  fail_msg("%s was not found in %u lives", stw_explore_plant_at(plant)->name, PLANTED_LIVES);
}

static void planted_mistakes_are_found_by_name(void **unused) {
  (void)unused;
  for (stw_explore_plant plant = STW_PLANT_NONE + 1; plant < STW_PLANT_COUNT; plant++)
    expect_found(plant);
}

static void nonsense_is_refused(void **unused) {
  (void)unused;
  stw_explore *lived;
  const char *why;
  stw_explore_options none = options_of(1, 0), profile = options_of(1, 1), plant = options_of(1, 1);
  profile.profile = STW_EXPLORE_PROFILE_COUNT;
  plant.plant = STW_PLANT_COUNT;
  const stw_explore_options size = {.seeds = 1};
  const stw_explore_options *const bad[] = {NULL, &none, &profile, &plant, &size};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(stw_explore_run(bad[i], &lived, &why), STW_E_ARGUMENT);
    assert_null(lived);
    assert_non_null(why);
  }
  stw_explore_report report = {.struct_size = 1};
  assert_int_equal(stw_explore_look(NULL, &report), STW_E_ARGUMENT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_life_breaks_a_promise),
      cmocka_unit_test(every_fault_happens_and_every_promise_is_looked_at),
      cmocka_unit_test(memory_goes_back_to_zero),
      cmocka_unit_test(the_same_seed_gives_the_same_life),
      cmocka_unit_test(ranges_add_up_to_the_whole),
      cmocka_unit_test(planted_mistakes_are_found_by_name),
      cmocka_unit_test(nonsense_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
