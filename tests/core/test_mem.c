#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void memory_keeps_its_content_when_it_grows(void **state) {
  (void)state;
  char *memory = stwi_alloc(4);
  assert_non_null(memory);
  memcpy(memory, "abc", 4);
  memory = stwi_realloc(memory, 100000);
  assert_non_null(memory);
  assert_string_equal(memory, "abc");
  stwi_free(memory);
}

static void resizing_nothing_reserves(void **state) {
  (void)state;
  uint8_t *memory = stwi_realloc(NULL, 1);
  assert_non_null(memory);
  *memory = 7;
  assert_int_equal(*memory, 7);
  stwi_free(memory);
  stwi_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(memory_keeps_its_content_when_it_grows),
      cmocka_unit_test(resizing_nothing_reserves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
