#include <steadwire/config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/config_inside.h"
#include "failing_mem.h"

static int setup(void **state) {
  failing_mem_after = -1;
  failing_mem_live = 0;
  *state = stw_config_new();
  return *state == NULL;
}

static int teardown(void **state) {
  stw_config_free(*state);
  return failing_mem_live != 0; /* nothing leaks, whatever the test did */
}

static bool is_scalar(const stw_option *option) {
  return option->type != STW_OPTION_LIST && option->type != STW_OPTION_MAP;
}

static const struct stwi_config_slot *slot(const stw_config *config, enum stwi_option_id id) {
  return &config->slots[id];
}

/* What text_size should be. */
static size_t count_text(const stw_config *config) {
  size_t size = 0;
  for (size_t i = 0; i < STWI_OPTION_TOTAL; i++) {
    size += config->slots[i].text == NULL ? 0 : strlen(config->slots[i].text) + 1;
    for (size_t k = 0; k < config->slots[i].count; k++) {
      const struct stwi_config_item *item = &config->slots[i].items[k];
      size += (item->key == NULL ? 0 : strlen(item->key) + 1) + strlen(item->value) + 1;
    }
  }
  return size;
}

static void new_config_has_every_default(void **state) {
  const stw_option *option;
  for (size_t i = 0; (option = stw_option_at(i)) != NULL; i++) {
    if (is_scalar(option))
      assert_string_equal(stw_config_get(*state, option->name), option->default_value);
    else
      assert_null(stw_config_get(*state, option->name));
  }
}

static void each_default_can_be_set(void **state) {
  const stw_option *option;
  for (size_t i = 0; (option = stw_option_at(i)) != NULL; i++) {
    assert_int_equal(stw_config_set(*state, option->name, option->default_value), STW_OK);
    if (is_scalar(option))
      assert_string_equal(stw_config_get(*state, option->name), option->default_value);
  }
}

static void last_value_counts(void **state) {
  assert_int_equal(stw_config_set(*state, "open_timeout", "1s"), STW_OK);
  assert_int_equal(stw_config_set(*state, "open_timeout", "250ms"), STW_OK);
  assert_string_equal(stw_config_get(*state, "open_timeout"), "250ms");
}

static void refusal_changes_nothing(void **state) {
  stw_config *config = *state;
  assert_int_equal(stw_config_set(config, "open_timeout", "1s"), STW_OK);
  assert_int_equal(stw_config_set(config, "open_timeout", "never"), STW_E_VALUE);
  assert_string_equal(stw_config_get(config, "open_timeout"), "1s");
  assert_int_equal(stw_config_set(config, "url", "ws://a/"), STW_OK);
  assert_int_equal(stw_config_set(config, "url", "http://b/"), STW_E_URL);
  assert_int_equal(stw_config_add(config, "url", "http://b/"), STW_E_URL);
  assert_int_equal(slot(config, STWI_OPTION_URL)->count, 1);
  assert_string_equal(slot(config, STWI_OPTION_URL)->items[0].value, "ws://a/");
  assert_int_equal(stw_config_put(config, "headers", "X-Key", "1"), STW_OK);
  assert_int_equal(stw_config_put(config, "headers", "X-Key", "a\nb"), STW_E_URL);
  assert_string_equal(slot(config, STWI_OPTION_HEADERS)->items[0].value, "1");
}

static void list_grows_and_starts_again(void **state) {
  stw_config *config = *state;
  const struct stwi_config_slot *urls = slot(config, STWI_OPTION_URL);
  assert_int_equal(stw_config_add(config, "url", "ws://a/"), STW_OK);
  assert_int_equal(stw_config_add(config, "url", "wss://b/"), STW_OK);
  assert_int_equal(urls->count, 2);
  assert_string_equal(urls->items[1].value, "wss://b/");
  assert_int_equal(stw_config_set(config, "url", "ws://c/"), STW_OK);
  assert_int_equal(urls->count, 1);
  assert_string_equal(urls->items[0].value, "ws://c/");
  assert_int_equal(stw_config_set(config, "url", ""), STW_OK);
  assert_int_equal(urls->count, 0);
}

static void map_replaces_by_key(void **state) {
  stw_config *config = *state;
  const struct stwi_config_slot *headers = slot(config, STWI_OPTION_HEADERS);
  assert_int_equal(stw_config_put(config, "headers", "X-A", "1"), STW_OK);
  assert_int_equal(stw_config_put(config, "headers", "X-B", "2"), STW_OK);
  assert_int_equal(stw_config_put(config, "headers", "x-b", "three"), STW_OK);
  assert_int_equal(headers->count, 2);
  assert_string_equal(headers->items[0].value, "1");
  assert_string_equal(headers->items[1].value, "three");
  assert_int_equal(stw_config_put(config, "causes", "4004", "auth"), STW_OK);
  assert_int_equal(stw_config_set(config, "headers", ""), STW_OK);
  assert_int_equal(headers->count, 0);
  assert_int_equal(slot(config, STWI_OPTION_CAUSES)->count, 1);
}

static void call_that_does_not_fit_names_the_one_that_does(void **state) {
  assert_int_equal(stw_config_set(*state, "headers", "X-A: 1"), STW_E_VALUE);
  assert_string_equal(stw_last_error(), "option headers has items by name: use stw_config_put");
  assert_int_equal(stw_config_add(*state, "name", "a"), STW_E_VALUE);
  assert_string_equal(stw_last_error(), "option name has one value: use stw_config_set");
  assert_int_equal(stw_config_put(*state, "url", "a", "b"), STW_E_VALUE);
  assert_string_equal(stw_last_error(), "option url is a list: use stw_config_add");
}

static void unknown_option_is_refused_by_each_call(void **state) {
  static const char sentence[] = "no option is called \"heders\"; the nearest is headers";
  assert_int_equal(stw_config_set(*state, "heders", "secret"), STW_E_OPTION);
  assert_string_equal(stw_last_error(), sentence);
  assert_int_equal(stw_config_add(*state, "heders", "secret"), STW_E_OPTION);
  assert_string_equal(stw_last_error(), sentence);
  assert_int_equal(stw_config_put(*state, "heders", "a", "secret"), STW_E_OPTION);
  assert_string_equal(stw_last_error(), sentence);
  assert_null(stw_config_get(*state, "heders"));
}

static void null_is_refused(void **state) {
  stw_config *config = *state;
  assert_int_equal(stw_config_set(NULL, "name", "a"), STW_E_ARGUMENT);
  assert_int_equal(stw_config_set(config, NULL, "a"), STW_E_ARGUMENT);
  assert_int_equal(stw_config_set(config, "name", NULL), STW_E_ARGUMENT);
  assert_int_equal(stw_config_add(config, "url", NULL), STW_E_ARGUMENT);
  assert_int_equal(stw_config_put(config, "headers", NULL, "a"), STW_E_ARGUMENT);
  assert_int_equal(stw_config_put(config, "headers", "a", NULL), STW_E_ARGUMENT);
  assert_null(stw_config_get(NULL, "name"));
  assert_null(stw_config_get(config, NULL));
  stw_config_free(NULL);
}

static void items_are_bounded(void **state) {
  for (int i = 0; i < 64; i++) {
    char text[32];
    snprintf(text, sizeof text, "X-%d", i);
    assert_int_equal(stw_config_add(*state, "url", "ws://h/"), STW_OK);
    assert_int_equal(stw_config_put(*state, "headers", text, "1"), STW_OK);
  }
  assert_int_equal(stw_config_add(*state, "url", "ws://h/"), STW_E_VALUE);
  assert_string_equal(stw_last_error(), "option url has 64 items already; give fewer");
  assert_int_equal(stw_config_put(*state, "headers", "X-64", "1"), STW_E_VALUE);
  assert_string_equal(stw_last_error(), "option headers has 64 items already; give fewer");
  assert_int_equal(stw_config_put(*state, "headers", "X-63", "2"), STW_OK);
  assert_int_equal(stw_config_set(*state, "url", "ws://h/"), STW_OK);
}

static void all_text_together_is_bounded(void **state) {
  stw_config *config = *state;
  static char text[8001];
  memset(text, 'a', sizeof text - 1);
  for (int i = 0; i < 8; i++) {
    char key[16];
    snprintf(key, sizeof key, "X-%d", i);
    assert_int_equal(stw_config_put(config, "headers", key, text), STW_OK);
  }
  assert_int_equal(stw_config_put(config, "headers", "X-8", text), STW_E_VALUE);
  assert_string_equal(stw_last_error(), "option headers: all values together are over 64 KiB; "
                                        "shorten some");
  assert_int_equal(stw_config_set(config, "user_agent", text), STW_E_VALUE);
  char url[8010];
  snprintf(url, sizeof url, "ws://h/%s", text);
  assert_int_equal(stw_config_add(config, "url", url), STW_E_VALUE);
  assert_int_equal(stw_config_set(config, "url", url), STW_E_VALUE);
  assert_int_equal(stw_config_put(config, "headers", "X-1", text), STW_OK);
  assert_int_equal(stw_config_put(config, "headers", "X-0", "short"), STW_OK);
  assert_int_equal(stw_config_set(config, "user_agent", text), STW_OK);
  assert_int_equal(stw_config_put(config, "headers", "X-0", text), STW_E_VALUE);
  assert_int_equal(stw_config_set(config, "user_agent", text), STW_OK);
  assert_int_equal(config->text_size, count_text(config));
  assert_true(config->text_size <= STWI_CONFIG_TEXT_MAX);
}

static void text_is_counted_exactly(void **state) {
  stw_config *config = *state;
  const uint32_t seed = 77;
  uint32_t random = seed;
  static const char *const urls[] = {"ws://a/", "wss://example.net/feed", "bad", ""};
  static const char *const keys[] = {"X-A", "x-a", "X-B", "Host"};
  for (int round = 0; round < 2000; round++) {
    random = random * 1664525u + 1013904223u;
    const char *url = urls[(random >> 8) % 4], *key = keys[(random >> 16) % 4];
    switch ((random >> 24) % 5) {
    case 0:
      (void)stw_config_set(config, "url", url);
      break;
    case 1:
      (void)stw_config_add(config, "url", url);
      break;
    case 2:
      (void)stw_config_put(config, "headers", key, url);
      break;
    case 3:
      (void)stw_config_set(config, "name", url);
      break;
    default:
      (void)stw_config_set(config, "headers", url);
    }
    if (config->text_size != count_text(config))
      fail_msg("seed=%u round=%d", seed, round);
  }
}

/* Each call with its 1st, 2nd, ... allocation failing: it says so and changes nothing. */
static void call_without_memory_changes_nothing(void **state) {
  stw_config *config = *state;
  assert_int_equal(stw_config_put(config, "headers", "X-A", "1"), STW_OK);
  for (int call = 0; call < 6; call++) {
    stw_status status = STW_E_MEMORY;
    for (long after = 0; status != STW_OK; after++) {
      const size_t before = config->text_size;
      const long live = failing_mem_live;
      failing_mem_after = after;
      status = call == 0   ? stw_config_set(config, "name", "a")
               : call == 1 ? stw_config_set(config, "url", "ws://a/")
               : call == 2 ? stw_config_add(config, "url", "ws://b/")
               : call == 3 ? stw_config_put(config, "headers", "X-A", "22")
               : call == 4 ? stw_config_put(config, "headers", "X-B", "2")
                           : stw_config_put(config, "causes", "4004", "auth");
      failing_mem_after = -1;
      if (status == STW_OK)
        break;
      assert_int_equal(status, STW_E_MEMORY);
      assert_non_null(strstr(stw_last_error(), "no memory"));
      assert_int_equal(config->text_size, before);
      assert_int_equal(failing_mem_live, live);
      assert_true(after < 20);
    }
  }
  failing_mem_after = 0;
  assert_null(stw_config_new());
  failing_mem_after = -1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(new_config_has_every_default),
      TEST(each_default_can_be_set),
      TEST(last_value_counts),
      TEST(refusal_changes_nothing),
      TEST(list_grows_and_starts_again),
      TEST(map_replaces_by_key),
      TEST(call_that_does_not_fit_names_the_one_that_does),
      TEST(unknown_option_is_refused_by_each_call),
      TEST(null_is_refused),
      TEST(items_are_bounded),
      TEST(all_text_together_is_bounded),
      TEST(text_is_counted_exactly),
      TEST(call_without_memory_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
