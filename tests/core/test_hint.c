#include "core/pace.h"

#include "seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct {
  const char *reason;
  bool is_given;
  uint64_t after_ms, spread_ms;
} cases[] = {
    {"r=5000;w=2000", true, 5000, 2000},
    {"w=2000;r=5000", true, 5000, 2000},
    {"r=0;w=0", true, 0, 0},
    {"r=5000;w=2000;", true, 5000, 2000},
    {"r=5000;w=2000 restarting", true, 5000, 2000},
    {"r=5000;w=2000;x=1", true, 5000, 2000},
    {"r=5000 w=2000", true, 5000, 750}, /* words after a space are for people */
    {"r=5000", true, 5000, 750},
    {"r=5000;", true, 5000, 750},
    {"r=5000;w=", true, 5000, 750},
    {"r=5000;w=x", true, 5000, 750},
    {"r=5000;r=1", true, 5000, 750},
    {"w=1;w=2;r=3", false, 0, 0},
    {"r=600000;w=600000", true, 600000, 600000},
    {"r=600001;w=700000", true, 600000, 600000},
    {"r=99999999999999999999999999;w=18446744073709551616", true, 600000, 600000},
    {"r=00000000000000000000000000000007;w=08", true, 7, 8},
    {"w=2000", false, 0, 0},
    {"", false, 0, 0},
    {"r", false, 0, 0},
    {"r=", false, 0, 0},
    {"r=-1", false, 0, 0},
    {"r=5s", false, 0, 0},
    {"r=5000ms;w=2000", false, 0, 0},
    {" r=5000", false, 0, 0},
    {"R=5000", false, 0, 0},
    {"restart r=5000", false, 0, 0},
    {"=5000", false, 0, 0},
    {";r=5000", false, 0, 0},
};

static void reasons_are_read_as_stated(void **unused) {
  (void)unused;
  for (size_t i = 0; i < COUNT(cases); i++) {
    const struct stwi_hint hint = stwi_hint_parse(cases[i].reason, strlen(cases[i].reason));
    if (hint.is_given != cases[i].is_given || hint.after_ms != cases[i].after_ms ||
        hint.spread_ms != cases[i].spread_ms)
      fail_msg("\"%s\" gives %d %u %u", cases[i].reason, hint.is_given, (unsigned)hint.after_ms,
               (unsigned)hint.spread_ms);
  }
}

static void a_reason_is_not_read_past_its_size(void **unused) {
  (void)unused;
  const struct stwi_hint hint = stwi_hint_parse("r=5000;w=2000", 4);
  assert_int_equal(hint.after_ms, 50);
  assert_false(stwi_hint_parse("r=5000", 2).is_given);
}

static void no_bytes_give_more_than_ten_minutes(void **unused) {
  (void)unused;
  static const char letters[] = "rw==;;0123456789 x";
  struct stwi_random random;
  stwi_random_seed(&random, test_seed("hint"));
  unsigned given = 0;
  for (unsigned i = 0; i < 100000; i++) {
    char reason[123];
    const size_t size = stwi_random_below(&random, 40);
    for (size_t k = 0; k < size; k++)
      reason[k] = letters[stwi_random_below(&random, sizeof letters - 1)];
    if (size > 1 && i % 2 == 0)
      memcpy(reason, "r=", 2);
    const struct stwi_hint hint = stwi_hint_parse(reason, size);
    given += hint.is_given;
    assert_true(hint.after_ms <= STWI_HINT_MAX_MS && hint.spread_ms <= STWI_HINT_MAX_MS);
    assert_true(hint.is_given || (hint.after_ms == 0 && hint.spread_ms == 0));
  }
  assert_true(given > 1000);
}

static void retry_after_is_spread_and_capped(void **unused) {
  (void)unused;
  struct stwi_hint hint = stwi_hint_retry_after(30000);
  assert_true(hint.is_given);
  assert_int_equal(hint.after_ms, 30000);
  assert_int_equal(hint.spread_ms, 2000);
  hint = stwi_hint_retry_after(UINT64_MAX);
  assert_int_equal(hint.after_ms, STWI_HINT_MAX_MS);
  assert_int_equal(hint.spread_ms, STWI_HINT_MAX_MS / 20 + 500);
  assert_false(stwi_hint_retry_after(0).is_given);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reasons_are_read_as_stated),
      cmocka_unit_test(a_reason_is_not_read_past_its_size),
      cmocka_unit_test(no_bytes_give_more_than_ten_minutes),
      cmocka_unit_test(retry_after_is_spread_and_capped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
