#include "core/unaccepted.h"

#include "core/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "failing_mem.h"
#include "seed.h"

static struct stwi_unaccepted unaccepted;
static uint64_t messages, bytes;

static int set_up(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  unaccepted = (struct stwi_unaccepted){.entries = NULL};
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  stwi_unaccepted_fini(&unaccepted);
  stwi_unaccepted_fini(&unaccepted);
  assert_int_equal(failing_mem_live, 0);
  return 0;
}

static void add(uint64_t first, uint64_t last) {
  for (uint64_t n = first; n <= last; n++)
    assert_true(stwi_unaccepted_add(&unaccepted, n, n));
}

static void what_is_accepted_is_counted_and_gone(void **unused) {
  (void)unused;
  add(1, 10);
  assert_int_equal(unaccepted.bytes, 55);
  stwi_unaccepted_accept(&unaccepted, 4, &messages, &bytes);
  assert_int_equal(messages, 4);
  assert_int_equal(bytes, 10);
  stwi_unaccepted_accept(&unaccepted, 4, &messages, &bytes);
  assert_int_equal(messages, 0);
  stwi_unaccepted_accept(&unaccepted, UINT64_MAX, &messages, &bytes);
  assert_int_equal(messages, 6);
  assert_int_equal(unaccepted.count, 0);
  assert_int_equal(unaccepted.bytes, 0);
}

static void what_is_taken_back_counts_no_longer(void **unused) {
  (void)unused;
  add(5, 9);
  stwi_unaccepted_drop(&unaccepted, 1, 4);
  stwi_unaccepted_drop(&unaccepted, 10, 100);
  assert_int_equal(unaccepted.count, 5);
  stwi_unaccepted_drop(&unaccepted, 6, 7);
  assert_int_equal(unaccepted.count, 3);
  assert_int_equal(unaccepted.bytes, 22);
  stwi_unaccepted_accept(&unaccepted, 8, &messages, &bytes);
  assert_int_equal(messages, 2);
  assert_int_equal(bytes, 13);
  stwi_unaccepted_drop(&unaccepted, 1, 100);
  assert_int_equal(unaccepted.count, 0);
}

static void a_burst_leaves_no_memory_behind(void **unused) {
  (void)unused;
  add(1, 10000);
  assert_true(unaccepted.capacity >= 10000);
  stwi_unaccepted_accept(&unaccepted, 10000, &messages, &bytes);
  assert_int_equal(unaccepted.capacity, 0);
  add(10001, 10002);
  stwi_unaccepted_accept(&unaccepted, 10002, &messages, &bytes);
  assert_true(unaccepted.capacity <= 16);
}

static void without_memory_nothing_is_added(void **unused) {
  (void)unused;
  add(1, 16);
  failing_mem_after = 0;
  assert_false(stwi_unaccepted_add(&unaccepted, 17, 17));
  assert_int_equal(unaccepted.count, 16);
  failing_mem_after = -1;
  assert_true(stwi_unaccepted_add(&unaccepted, 17, 17));
}

/* Against a plain array, with a bound: the capacity follows what is there, not what went by. */
static void it_is_what_a_list_would_be(void **unused) {
  (void)unused;
  struct stwi_random random;
  stwi_random_seed(&random, test_seed("unaccepted"));
  static bool is_there[200100];
  uint64_t number = 0, accepted = 0;
  for (int round = 0; round < 100000; round++) {
    const uint64_t roll = stwi_random_below(&random, 10);
    if (roll < 7 && number - accepted < 100) {
      number += 1 + stwi_random_below(&random, 2);
      assert_true(stwi_unaccepted_add(&unaccepted, number, number % 7));
      is_there[number] = true;
    } else if (roll < 9) {
      accepted += stwi_random_below(&random, number - accepted + 1);
      stwi_unaccepted_accept(&unaccepted, accepted, &messages, &bytes);
    } else {
      const uint64_t from = accepted + 1 + stwi_random_below(&random, 50);
      stwi_unaccepted_drop(&unaccepted, from, from + 3);
      for (uint64_t n = from; n <= from + 3; n++)
        is_there[n] = false;
    }
    uint64_t count = 0, sum = 0;
    for (uint64_t n = accepted + 1; n <= number; n++) {
      count += is_there[n];
      sum += is_there[n] ? n % 7 : 0;
    }
    assert_int_equal(unaccepted.count, count);
    assert_int_equal(unaccepted.bytes, sum);
    assert_true(unaccepted.capacity <= 512);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_is_accepted_is_counted_and_gone), TEST(what_is_taken_back_counts_no_longer),
      TEST(a_burst_leaves_no_memory_behind),      TEST(without_memory_nothing_is_added),
      TEST(it_is_what_a_list_would_be),
  };
  return cmocka_run_group_tests_name("unaccepted", tests, NULL, NULL);
}
