#include "core/heap.h"

#include "failing_mem.h"
#include "seed.h"

#include "core/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct stwi_heap heap;

static int set_up(void **unused) {
  (void)unused;
  stwi_heap_init(&heap);
  return stwi_heap_reserve(&heap, 16) ? 0 : -1;
}

static int tear_down(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  stwi_heap_fini(&heap);
  return failing_mem_live == 0 ? 0 : -1;
}

static void expect_pop(stwi_time now, uint32_t slot) {
  uint32_t popped = UINT32_MAX;
  assert_true(stwi_heap_pop(&heap, now, &popped));
  assert_int_equal(popped, slot);
}

static void an_empty_heap_has_nothing_due(void **unused) {
  (void)unused;
  uint32_t slot;
  assert_int_equal(stwi_heap_first(&heap), STWI_NEVER);
  assert_false(stwi_heap_pop(&heap, STWI_NEVER - 1, &slot));
}

static void the_earliest_comes_first_and_not_before_its_time(void **unused) {
  (void)unused;
  uint32_t slot;
  stwi_heap_set(&heap, 3, 30);
  stwi_heap_set(&heap, 1, 10);
  stwi_heap_set(&heap, 2, 20);
  assert_int_equal(stwi_heap_first(&heap), 10);
  assert_false(stwi_heap_pop(&heap, 9, &slot));
  expect_pop(10, 1);
  expect_pop(100, 2);
  expect_pop(100, 3);
}

static void a_deadline_moves_both_ways_and_away(void **unused) {
  (void)unused;
  for (uint32_t slot = 0; slot < 8; slot++)
    stwi_heap_set(&heap, slot, 100 + slot);
  stwi_heap_set(&heap, 7, 1);
  assert_int_equal(stwi_heap_first(&heap), 1);
  stwi_heap_set(&heap, 7, 500);
  stwi_heap_set(&heap, 0, 100); /* unchanged */
  assert_int_equal(stwi_heap_first(&heap), 100);
  stwi_heap_set(&heap, 0, STWI_NEVER);
  stwi_heap_set(&heap, 0, STWI_NEVER);
  assert_int_equal(stwi_heap_first(&heap), 101);
}

static void without_memory_nothing_changes(void **unused) {
  (void)unused;
  stwi_heap_set(&heap, 5, 50);
  for (failing_mem_after = 0; failing_mem_after < 2; failing_mem_after++) {
    const long after = failing_mem_after;
    assert_false(stwi_heap_reserve(&heap, 64));
    failing_mem_after = after;
    assert_int_equal(stwi_heap_first(&heap), 50);
  }
  failing_mem_after = -1;
  assert_true(stwi_heap_reserve(&heap, 64));
  assert_true(stwi_heap_reserve(&heap, 10)); /* there already */
  stwi_heap_set(&heap, 63, 5);
  expect_pop(5, 63);
  expect_pop(50, 5);
}

/* Against a plain array. */
static void random_deadlines_come_in_order(void **unused) {
  (void)unused;
  enum { SLOTS = 200 };
  stwi_time model[SLOTS];
  struct stwi_random random;
  stwi_random_seed(&random, test_seed("test_heap"));
  assert_true(stwi_heap_reserve(&heap, SLOTS));
  for (uint32_t i = 0; i < SLOTS; i++)
    model[i] = STWI_NEVER;
  for (int step = 0; step < 20000; step++) {
    const uint32_t slot = (uint32_t)stwi_random_below(&random, SLOTS);
    const bool is_off = stwi_random_below(&random, 4) == 0;
    model[slot] = is_off ? STWI_NEVER : stwi_random_below(&random, 1000);
    stwi_heap_set(&heap, slot, model[slot]);
    stwi_time first = STWI_NEVER;
    for (uint32_t i = 0; i < SLOTS; i++)
      first = model[i] < first ? model[i] : first;
    assert_int_equal(stwi_heap_first(&heap), first);
    uint32_t popped;
    if (step % 3 == 0 && stwi_heap_pop(&heap, 500, &popped)) {
      assert_int_equal(model[popped], first);
      model[popped] = STWI_NEVER;
    }
  }
}

#define HEAP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      HEAP_TEST(an_empty_heap_has_nothing_due),
      HEAP_TEST(the_earliest_comes_first_and_not_before_its_time),
      HEAP_TEST(a_deadline_moves_both_ways_and_away),
      HEAP_TEST(without_memory_nothing_changes),
      HEAP_TEST(random_deadlines_come_in_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
