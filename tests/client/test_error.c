#include "client/error.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/utf8.h"

static void sentence_is_kept_until_the_next_refusal(void **state) {
  (void)state;
  assert_int_equal(stwi_error(STW_E_VALUE, "option %s: %d", "x", 7), STW_E_VALUE);
  assert_string_equal(stw_last_error(), "option x: 7");
  assert_int_equal(stwi_error(STW_E_FULL, "full"), STW_E_FULL);
  assert_string_equal(stw_last_error(), "full");
}

static void long_sentence_is_cut_with_a_mark(void **state) {
  (void)state;
  char text[511 + 1];
  memset(text, 'a', 511);
  text[511] = '\0';
  (void)stwi_error(STW_E_VALUE, "%s", text);
  assert_string_equal(stw_last_error(), text);
  (void)stwi_error(STW_E_VALUE, "%sb", text);
  assert_int_equal(strlen(stw_last_error()), 511);
  assert_string_equal(stw_last_error() + 506, "aa...");
}

static void cut_never_splits_a_character(void **state) {
  (void)state;
  char text[3 * 400 + 1] = "";
  for (size_t i = 0; i < 400; i++)
    memcpy(text + 3 * i, "\xe2\x82\xac", 4);
  for (size_t lead = 0; lead < 3; lead++) {
    (void)stwi_error(STW_E_VALUE, "%.*s%s", (int)lead, "xyz", text);
    const char *sentence = stw_last_error();
    assert_true(stwi_utf8_valid((const uint8_t *)sentence, strlen(sentence)));
    assert_string_equal(sentence + strlen(sentence) - 3, "...");
    assert_true(strlen(sentence) >= 509);
  }
}

static void *refuse_elsewhere(void *first) {
  *(char *)first = stw_last_error()[0];
  (void)stwi_error(STW_E_FULL, "there");
  return NULL;
}

static void each_thread_has_its_own_sentence(void **state) {
  (void)state;
  pthread_t thread;
  char first = 'x';
  (void)stwi_error(STW_E_VALUE, "here");
  assert_int_equal(pthread_create(&thread, NULL, refuse_elsewhere, &first), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_int_equal(first, '\0');
  assert_string_equal(stw_last_error(), "here");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sentence_is_kept_until_the_next_refusal),
      cmocka_unit_test(long_sentence_is_cut_with_a_mark),
      cmocka_unit_test(cut_never_splits_a_character),
      cmocka_unit_test(each_thread_has_its_own_sentence),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
