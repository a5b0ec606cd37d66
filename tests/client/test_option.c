#include "client/option.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/judge.h"
#include "client/parse.h"

static bool is_number(const stw_option *option) {
  return option->type == STW_OPTION_DURATION || option->type == STW_OPTION_BYTES ||
         option->type == STW_OPTION_COUNT;
}

static void each_row_is_complete(void **state) {
  (void)state;
  size_t count = 0;
  for (; stw_option_at(count) != NULL; count++) {
    const stw_option *option = stw_option_at(count);
    assert_ptr_equal(option, stwi_option_row((enum stwi_option_id)count));
    assert_true(strlen(option->name) > 0);
    assert_int_equal(strspn(option->name, "abcdefghijklmnopqrstuvwxyz_"), strlen(option->name));
    assert_true(strlen(option->range) > 0);
    assert_true(strlen(option->text) > 0);
    assert_int_equal(option->text[strlen(option->text) - 1], '.');
    assert_non_null(option->unit);
    assert_non_null(option->default_value);
    assert_int_equal(*option->unit != '\0', is_number(option));
    assert_null(strpbrk(option->text, "\"|\n"));
  }
  assert_int_equal(count, STWI_OPTION_TOTAL);
  assert_null(stw_option_at(SIZE_MAX));
}

static void each_name_is_found_and_stands_once(void **state) {
  (void)state;
  for (size_t i = 0; i < STWI_OPTION_TOTAL; i++) {
    enum stwi_option_id id = STWI_OPTION_TOTAL;
    assert_int_equal(stwi_option_find(stw_option_at(i)->name, &id), STW_OK);
    assert_int_equal(id, i);
  }
}

static void each_default_is_allowed(void **state) {
  (void)state;
  for (size_t i = 0; i < STWI_OPTION_TOTAL; i++) {
    const stw_option *option = stw_option_at(i);
    if (option->type == STW_OPTION_LIST || option->type == STW_OPTION_MAP)
      assert_string_equal(option->default_value, "");
    else
      assert_int_equal(stwi_judge((enum stwi_option_id)i, option->default_value), STW_OK);
  }
}

static void each_choice_of_a_range_is_allowed(void **state) {
  (void)state;
  for (size_t i = 0; i < STWI_OPTION_TOTAL; i++) {
    const stw_option *option = stw_option_at(i);
    const char *range = option->range;
    struct stwi_part part;
    if (option->type != STW_OPTION_CHOICE && option->type != STW_OPTION_BOOL)
      continue;
    while (stwi_range_next(&range, &part)) {
      char text[64];
      snprintf(text, sizeof text, "%.*s", (int)part.size, part.text);
      assert_int_equal(stwi_judge((enum stwi_option_id)i, text), STW_OK);
    }
  }
}

/* A value in the smallest unit of its option. */
static void print(const stw_option *option, uint64_t value, char *text, size_t size) {
  if (option->type == STW_OPTION_DURATION)
    snprintf(text, size, "%llu.%09llu", (unsigned long long)(value / STWI_S),
             (unsigned long long)(value % STWI_S));
  else
    snprintf(text, size, "%llu", (unsigned long long)value);
}

static void check_ends(size_t i, struct stwi_part part) {
  const stw_option *option = stw_option_at(i);
  const char *dots = memmem(part.text, part.size, " .. ", 4);
  struct stwi_part low_text = part, high_text = part;
  char text[64];
  uint64_t low, high;
  if (dots != NULL) {
    low_text.size = (size_t)(dots - part.text);
    high_text = (struct stwi_part){dots + 4, (size_t)(part.text + part.size - dots - 4)};
  }
  if (!stwi_parse_number(option->type, low_text, &low)) {
    snprintf(text, sizeof text, "%.*s", (int)part.size, part.text);
    assert_int_equal(stwi_judge((enum stwi_option_id)i, text), STW_OK);
    return;
  }
  assert_true(stwi_parse_number(option->type, high_text, &high));
  assert_true(low <= high);
  print(option, low, text, sizeof text);
  assert_int_equal(stwi_judge((enum stwi_option_id)i, text), STW_OK);
  print(option, high, text, sizeof text);
  assert_int_equal(stwi_judge((enum stwi_option_id)i, text), STW_OK);
  print(option, high + 1, text, sizeof text);
  assert_int_equal(stwi_judge((enum stwi_option_id)i, text), STW_E_VALUE);
  if (low > 0) {
    print(option, low - 1, text, sizeof text);
    const bool is_zero = low == 1; /* its neighbour may be an alternative of its own */
    if (!is_zero)
      assert_int_equal(stwi_judge((enum stwi_option_id)i, text), STW_E_VALUE);
  }
}

static void each_range_holds_at_its_ends_and_no_further(void **state) {
  (void)state;
  size_t checked = 0;
  for (size_t i = 0; i < STWI_OPTION_TOTAL; i++) {
    const char *range = stw_option_at(i)->range;
    struct stwi_part part;
    if (!is_number(stw_option_at(i)))
      continue;
    checked++;
    while (stwi_range_next(&range, &part))
      check_ends(i, part);
  }
  assert_true(checked >= 14);
}

static void unknown_name_gets_the_nearest(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"heartbeat_intervall", "heartbeat_interval"},
      {"heartbeatInterval", "heartbeat_interval"},
      {"Retry-Window", "retry_window"},
      {"uri", "url"},
      {"headres", "headers"},
      {"timeout", "open_timeout"},
      {"overflow", "outbox_overflow"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    enum stwi_option_id id;
    char wanted[160];
    assert_int_equal(stwi_option_find(cases[i][0], &id), STW_E_OPTION);
    snprintf(wanted, sizeof wanted, "no option is called \"%s\"; the nearest is %s", cases[i][0],
             cases[i][1]);
    assert_string_equal(stw_last_error(), wanted);
  }
}

static void unknown_name_may_be_anything(void **state) {
  (void)state;
  char name[5000];
  enum stwi_option_id id;
  memset(name, '\n', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  assert_int_equal(stwi_option_find(name, &id), STW_E_OPTION);
  assert_null(strchr(stw_last_error(), '\n'));
  assert_true(strlen(stw_last_error()) < 120);
  assert_int_equal(stwi_option_find("", &id), STW_E_OPTION);
}

static void classes_of_causes_are_those_of_the_list(void **state) {
  (void)state;
  const char *names = strstr(stwi_option_row(STWI_OPTION_CAUSES)->range, "-> ") + 3;
  struct stwi_part part;
  size_t count = 0;
  for (; stwi_range_next(&names, &part); count++) {
    const stw_word *word = stw_class_at(count);
    assert_non_null(word);
    assert_int_equal(part.size, strlen(word->name));
    assert_memory_equal(part.text, word->name, part.size);
  }
  assert_null(stw_class_at(count));
}

static void secrets_are_marked(void **state) {
  (void)state;
  static const char *const secrets[] = {"url", "headers", "subprotocols", "proxy", "ready_when"};
  size_t found = 0;
  for (size_t i = 0; i < STWI_OPTION_TOTAL; i++)
    found += stw_option_at(i)->is_secret;
  assert_int_equal(found, 5);
  for (size_t i = 0; i < 5; i++) {
    enum stwi_option_id id;
    assert_int_equal(stwi_option_find(secrets[i], &id), STW_OK);
    assert_true(stwi_option_row(id)->is_secret);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_row_is_complete),
      cmocka_unit_test(each_name_is_found_and_stands_once),
      cmocka_unit_test(each_default_is_allowed),
      cmocka_unit_test(each_choice_of_a_range_is_allowed),
      cmocka_unit_test(each_range_holds_at_its_ends_and_no_further),
      cmocka_unit_test(unknown_name_gets_the_nearest),
      cmocka_unit_test(unknown_name_may_be_anything),
      cmocka_unit_test(classes_of_causes_are_those_of_the_list),
      cmocka_unit_test(secrets_are_marked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
