#include "core/arena.h"

#include "core/mem.h"
#include "failing_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void what_is_lent_stays_until_the_reset(void **unused) {
  (void)unused;
  enum { PIECES = 40, SIZE = 100000 }; /* several blocks */
  struct stwi_arena arena;
  uint8_t *pieces[PIECES];
  stwi_arena_init(&arena);
  for (int i = 0; i < PIECES; i++) {
    pieces[i] = stwi_arena_take(&arena, SIZE);
    assert_non_null(pieces[i]);
    memset(pieces[i], i, SIZE);
  }
  for (int i = 0; i < PIECES; i++)
    for (size_t at = 0; at < SIZE; at += 99)
      assert_int_equal(pieces[i][at], i);
  assert_true(arena.given >= (size_t)PIECES * SIZE);
  stwi_arena_reset(&arena);
  assert_int_equal(arena.given, 0);
  assert_true(failing_mem_live <= 1);
  stwi_arena_fini(&arena);
  assert_int_equal(failing_mem_live, 0);
}

static void the_end_of_the_last_take_can_be_given_back(void **unused) {
  (void)unused;
  struct stwi_arena arena;
  stwi_arena_init(&arena);
  uint8_t *first = stwi_arena_take(&arena, 1000);
  stwi_arena_trim(&arena, first, 10);
  assert_int_equal(arena.given, 16);
  assert_ptr_equal(stwi_arena_take(&arena, 1), first + 16);
  stwi_arena_fini(&arena);
}

static void adopted_memory_lives_until_the_reset(void **unused) {
  (void)unused;
  struct stwi_arena arena;
  stwi_arena_init(&arena);
  for (int round = 0; round < 3; round++) {
    int adopted = 0;
    while (stwi_arena_has_place(&arena)) {
      stwi_arena_adopt(&arena, stwi_alloc(64));
      adopted++;
    }
    assert_int_equal(adopted, STWI_ARENA_ADOPTED_MAX);
    assert_int_equal(failing_mem_live, adopted);
    stwi_arena_reset(&arena);
    assert_int_equal(failing_mem_live, 0);
  }
  stwi_arena_adopt(&arena, stwi_alloc(64));
  stwi_arena_fini(&arena);
  assert_int_equal(failing_mem_live, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_lent_stays_until_the_reset),
      cmocka_unit_test(the_end_of_the_last_take_can_be_given_back),
      cmocka_unit_test(adopted_memory_lives_until_the_reset),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
