#include "core/parts.h"

#include "failing_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void parts_come_out_in_one_piece(void **unused) {
  (void)unused;
  struct stwi_parts parts = {.data = NULL};
  uint8_t whole[20000], *at = whole;
  for (size_t i = 0; i < sizeof whole; i++)
    whole[i] = (uint8_t)(i * 7);
  static const size_t sizes[] = {1, 0, 4095, 4096, 1, 11807};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; at += sizes[i++])
    assert_true(stwi_parts_add(&parts, 5, at, sizes[i]));
  assert_ptr_equal(at, whole + sizeof whole);
  assert_true(parts.is_begun);
  assert_int_equal(parts.number, 5);
  assert_int_equal(parts.size, sizeof whole);
  assert_memory_equal(parts.data, whole, sizeof whole);
  stwi_parts_drop(&parts);
  assert_int_equal(failing_mem_live, 0);
}

static void an_empty_part_begins_a_message(void **unused) {
  (void)unused;
  struct stwi_parts parts = {.data = NULL};
  assert_true(stwi_parts_add(&parts, 1, NULL, 0));
  assert_true(parts.is_begun);
  assert_int_equal(parts.size, 0);
  stwi_parts_drop(&parts);
  stwi_parts_drop(&parts);
  assert_false(parts.is_begun);
  assert_int_equal(failing_mem_live, 0);
}

static void without_memory_nothing_is_added(void **unused) {
  (void)unused;
  struct stwi_parts parts = {.data = NULL};
  uint8_t part[5000] = {1};
  failing_mem_after = 0;
  assert_false(stwi_parts_add(&parts, 1, part, sizeof part));
  failing_mem_after = -1;
  assert_false(parts.is_begun);
  assert_true(stwi_parts_add(&parts, 1, part, 3));
  failing_mem_after = 0;
  assert_false(stwi_parts_add(&parts, 1, part, sizeof part));
  failing_mem_after = -1;
  assert_int_equal(parts.size, 3);
  stwi_parts_drop(&parts);
  assert_int_equal(failing_mem_live, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parts_come_out_in_one_piece),
      cmocka_unit_test(an_empty_part_begins_a_message),
      cmocka_unit_test(without_memory_nothing_is_added),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
