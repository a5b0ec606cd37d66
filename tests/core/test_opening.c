#include "core/opening.h"

#include "failing_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct stwi_opening opening;

static int set_up(void **unused) {
  (void)unused;
  stwi_opening_init(&opening);
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  stwi_opening_fini(&opening);
  stwi_opening_fini(&opening);
  return failing_mem_live == 0 ? 0 : -1;
}

static void set(const char *key, const char *data) {
  const size_t size = data == NULL ? 0 : strlen(data);
  assert_int_equal(stwi_opening_set(&opening, key, data, size, true), STW_OK);
}

/* The bodies in their order, one after the other. */
static void expect(const char *bodies) {
  char joined[64] = "";
  size_t used = 0;
  for (const struct stwi_opening_item *item = opening.first; item != NULL; item = item->next) {
    assert_true(used + item->size < sizeof joined);
    memcpy(joined + used, stwi_opening_body(item), item->size);
    used += item->size;
  }
  assert_string_equal(joined, bodies);
}

static void items_keep_the_order_of_first_setting(void **unused) {
  (void)unused;
  set("login", "L");
  set("trades", "T");
  set("quotes", "Q");
  expect("LTQ");
  set("trades", "longer");
  expect("LlongerQ");
  set("login", NULL);
  expect("longerQ");
  set("login", "L");
  expect("longerQL");
}

static void removing_what_is_not_there_is_fine(void **unused) {
  (void)unused;
  set("a", NULL);
  set("b", "B");
  set("a", NULL);
  expect("B");
}

static void an_item_is_found_by_its_whole_key(void **unused) {
  (void)unused;
  set("ab", "1");
  set("a", "2");
  set("ba", "3");
  assert_int_equal(*stwi_opening_body(stwi_opening_find(&opening, "a")), '2');
  assert_int_equal(*stwi_opening_body(stwi_opening_find(&opening, "ba")), '3');
  assert_null(stwi_opening_find(&opening, "b"));
  assert_null(stwi_opening_find(&opening, ""));
}

static void an_empty_message_is_a_message(void **unused) {
  (void)unused;
  assert_int_equal(stwi_opening_set(&opening, "hello", "", 0, false), STW_OK);
  const struct stwi_opening_item *item = stwi_opening_find(&opening, "hello");
  assert_int_equal(item->size, 0);
  assert_false(item->is_text);
}

static void keys_have_1_to_255_bytes(void **unused) {
  (void)unused;
  char key[257];
  memset(key, 'k', sizeof key);
  key[256] = '\0';
  assert_int_equal(stwi_opening_set(&opening, key, "x", 1, true), STW_E_ARGUMENT);
  assert_int_equal(stwi_opening_set(&opening, "", "x", 1, true), STW_E_ARGUMENT);
  key[255] = '\0';
  set(key, "x");
  expect("x");
}

static void without_memory_the_old_item_stays(void **unused) {
  (void)unused;
  set("a", "old");
  failing_mem_after = 0;
  assert_int_equal(stwi_opening_set(&opening, "a", "new", 3, true), STW_E_MEMORY);
  assert_int_equal(stwi_opening_set(&opening, "b", "new", 3, true), STW_E_MEMORY);
  expect("old");
  failing_mem_after = -1;
  assert_int_equal(stwi_opening_set(&opening, "a", "x", SIZE_MAX, true), STW_E_MEMORY);
  expect("old");
}

static bool matches(enum stwi_match_kind kind, const char *pattern, const char *data) {
  char text[32];
  snprintf(text, sizeof text, "%s", pattern);
  const struct stwi_match match = {kind, text, strlen(pattern)};
  return stwi_match_message(&match, (const uint8_t *)data, data == NULL ? 0 : strlen(data));
}

static void ready_when_matches_as_it_says(void **unused) {
  (void)unused;
  assert_true(matches(STWI_MATCH_EQUALS, "ready", "ready"));
  assert_false(matches(STWI_MATCH_EQUALS, "ready", "readx"));
  assert_false(matches(STWI_MATCH_EQUALS, "ready", "ready "));
  assert_true(matches(STWI_MATCH_EQUALS, "", NULL));
  assert_true(matches(STWI_MATCH_PREFIX, "re", "ready"));
  assert_true(matches(STWI_MATCH_PREFIX, "", NULL));
  assert_false(matches(STWI_MATCH_PREFIX, "ready!", "ready"));
  assert_false(matches(STWI_MATCH_PREFIX, "ea", "ready"));
  assert_true(matches(STWI_MATCH_CONTAINS, "ad", "ready"));
  assert_true(matches(STWI_MATCH_CONTAINS, "", NULL));
  assert_false(matches(STWI_MATCH_CONTAINS, "da", "ready"));
  assert_false(matches(STWI_MATCH_CONTAINS, "ready to go", "ready"));
}

static void no_message_satisfies_none_or_the_host(void **unused) {
  (void)unused;
  assert_false(matches(STWI_MATCH_NONE, "", "x"));
  assert_false(matches(STWI_MATCH_HOST, "", "x"));
  assert_false(matches((enum stwi_match_kind)99, "", "x"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(items_keep_the_order_of_first_setting),
      TEST(removing_what_is_not_there_is_fine),
      TEST(an_item_is_found_by_its_whole_key),
      TEST(an_empty_message_is_a_message),
      TEST(keys_have_1_to_255_bytes),
      TEST(without_memory_the_old_item_stays),
      TEST(ready_when_matches_as_it_says),
      TEST(no_message_satisfies_none_or_the_host),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
