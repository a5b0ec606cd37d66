#include "core/session_ring.h"

#include "failing_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct stwi_ring ring;

static int set_up(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  stwi_ring_init(&ring, 1000, 5000);
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  stwi_ring_fini(&ring);
  assert_int_equal(failing_mem_live, 0);
  return 0;
}

static void messages_are_found_by_number_across_holes(void **unused) {
  (void)unused;
  for (uint64_t n = 1; n <= 300; n++)
    assert_non_null(stwi_ring_add(&ring, 3 * n, &n, sizeof n));
  stwi_ring_forget(&ring, 300);
  assert_int_equal(ring.count, 200);
  for (uint64_t n = 301; n <= 500; n++) /* turns the circle round */
    assert_non_null(stwi_ring_add(&ring, 3 * n, &n, sizeof n));
  for (uint64_t n = 101; n <= 500; n++) {
    const struct stwi_ring_entry *entry = stwi_ring_from(&ring, 3 * n - 2);
    assert_int_equal(entry->number, 3 * n);
    assert_memory_equal(entry->data, &n, sizeof n);
    assert_ptr_equal(stwi_ring_at(&ring, n - 101), entry);
  }
  assert_null(stwi_ring_from(&ring, 1501));
  assert_int_equal(stwi_ring_index(&ring, 1501), ring.count);
  assert_null(stwi_ring_at(&ring, ring.count));
}

static void both_bounds_hold(void **unused) {
  (void)unused;
  char bytes[5000] = {0};
  assert_true(stwi_ring_has_room(&ring, 5000));
  assert_false(stwi_ring_has_room(&ring, 5001));
  stwi_ring_add(&ring, 1, bytes, 4990);
  assert_true(stwi_ring_has_room(&ring, 10));
  assert_false(stwi_ring_has_room(&ring, 11));
  stwi_ring_forget(&ring, 1);
  for (uint64_t n = 2; n <= 1001; n++)
    stwi_ring_add(&ring, n, bytes, 0);
  assert_false(stwi_ring_has_room(&ring, 0));
  const struct stwi_ring_entry oldest = stwi_ring_pop(&ring);
  assert_int_equal(oldest.number, 2);
  stwi_free(oldest.data);
  assert_true(stwi_ring_has_room(&ring, 0));
}

static void an_emptied_ring_gives_its_places_back(void **unused) {
  (void)unused;
  for (uint64_t n = 1; n <= 500; n++)
    stwi_ring_add(&ring, n, "x", 1);
  stwi_ring_forget(&ring, 500);
  assert_int_equal(failing_mem_live, 0);
  assert_int_equal(ring.bytes, 0);
}

static void without_memory_nothing_is_added(void **unused) {
  (void)unused;
  for (uint64_t n = 1; n <= 20; n++) {
    for (failing_mem_after = 0; stwi_ring_add(&ring, n, &n, sizeof n) == NULL;)
      assert_int_equal(ring.count, n - 1), failing_mem_after = failing_mem_after < 0 ? -1 : 2;
  }
  failing_mem_after = -1;
  assert_int_equal(ring.count, 20);
  for (uint64_t n = 1; n <= 20; n++)
    assert_memory_equal(stwi_ring_from(&ring, n)->data, &n, sizeof n);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(messages_are_found_by_number_across_holes, set_up, tear_down),
      cmocka_unit_test_setup_teardown(both_bounds_hold, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_emptied_ring_gives_its_places_back, set_up, tear_down),
      cmocka_unit_test_setup_teardown(without_memory_nothing_is_added, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
