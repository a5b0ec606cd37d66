#include "core/effect.h"

#include "failing_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void effects_keep_their_order_while_the_list_grows(void **unused) {
  (void)unused;
  struct stwi_effects effects;
  stwi_effects_init(&effects);
  for (uint32_t i = 0; i < 1000; i++) {
    struct stwi_effect *effect = stwi_effects_add(&effects, STWI_FX_PAUSE, i, i + 1);
    effect->u.pause.on = i % 2 == 0;
  }
  assert_int_equal(effects.count, 1000);
  for (uint32_t i = 0; i < 1000; i++) {
    assert_int_equal(effects.items[i].kind, STWI_FX_PAUSE);
    assert_int_equal(effects.items[i].conn, i);
    assert_int_equal(effects.items[i].link, i + 1);
    assert_int_equal(effects.items[i].u.pause.on, i % 2 == 0);
  }
  stwi_effects_fini(&effects);
  assert_int_equal(effects.count, 0);
  assert_int_equal(failing_mem_live, 0);
}

static void a_used_place_is_clean_when_it_is_used_again(void **unused) {
  (void)unused;
  struct stwi_effects effects;
  stwi_effects_init(&effects);
  struct stwi_effect *effect = stwi_effects_add(&effects, STWI_FX_DIAL, 1, 1);
  memset(&effect->u, 0xff, sizeof effect->u);
  effects.count = 0;
  effect = stwi_effects_add(&effects, STWI_FX_EVENT, 2, 3);
  static const stw_event none;
  assert_memory_equal(&effect->u.event, &none, sizeof none);
  stwi_effects_fini(&effects);
}

static void the_hot_kinds_are_named_right_too(void **unused) {
  (void)unused;
  struct stwi_effects effects;
  stwi_effects_init(&effects);
  assert_int_equal(stwi_effects_add(&effects, STWI_FX_MESSAGE, 7, 8)->kind, STWI_FX_MESSAGE);
  struct stwi_effect *write = stwi_effects_add(&effects, STWI_FX_WRITE, 7, 8);
  assert_int_equal(write->kind, STWI_FX_WRITE);
  assert_int_equal(write->conn, 7);
  assert_int_equal(write->link, 8);
  stwi_effects_fini(&effects);
}

static void without_memory_what_is_there_stays(void **unused) {
  (void)unused;
  struct stwi_effects effects;
  stwi_effects_init(&effects);
  failing_mem_after = 0;
  assert_null(stwi_effects_add(&effects, STWI_FX_CUT, 1, 1));
  failing_mem_after = 1;
  uint32_t count = 0;
  while (stwi_effects_add(&effects, STWI_FX_CUT, count, 1) != NULL)
    count++;
  assert_int_equal(effects.count, count);
  for (uint32_t i = 0; i < count; i++)
    assert_int_equal(effects.items[i].conn, i);
  failing_mem_after = -1;
  assert_non_null(stwi_effects_add(&effects, STWI_FX_CUT, count, 1));
  stwi_effects_fini(&effects);
  assert_int_equal(failing_mem_live, 0);
}

static void a_list_too_long_to_count_is_refused(void **unused) {
  (void)unused;
  struct stwi_effects effects = {.count = SIZE_MAX / 2 + 1, .capacity = SIZE_MAX / 2 + 1};
  assert_null(stwi_effects_add(&effects, STWI_FX_CUT, 1, 1));
  effects.count = effects.capacity = SIZE_MAX / sizeof(struct stwi_effect) / 2 + 1;
  assert_null(stwi_effects_add(&effects, STWI_FX_CUT, 1, 1));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(effects_keep_their_order_while_the_list_grows),
      cmocka_unit_test(a_used_place_is_clean_when_it_is_used_again),
      cmocka_unit_test(the_hot_kinds_are_named_right_too),
      cmocka_unit_test(without_memory_what_is_there_stays),
      cmocka_unit_test(a_list_too_long_to_count_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
