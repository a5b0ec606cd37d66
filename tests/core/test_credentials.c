#include "core/credentials.h"

#include "failing_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct stwi_credentials credentials;
static const char *why;

static int set_up(void **unused) {
  (void)unused;
  stwi_credentials_init(&credentials, true);
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  stwi_credentials_fini(&credentials);
  return failing_mem_live == 0 ? 0 : -1;
}

static stw_status supply(const char *url, const char *token, const char *const *headers) {
  return stwi_credentials_supply(&credentials, url, token, headers, 0, STWI_S, &why);
}

static void expect_answer(enum stwi_credentials_answer answer, stwi_time now) {
  assert_int_equal(stwi_credentials_begin(&credentials, now), answer);
}

/* "name=value;" of each header. */
static void expect_headers(const char *wanted) {
  char joined[200] = "";
  size_t used = 0;
  for (char **item = credentials.headers; *item != NULL; item += 2)
    used += (size_t)snprintf(joined + used, sizeof joined - used, "%s=%s;", item[0], item[1]);
  assert_string_equal(joined, wanted);
}

static void without_asking_the_config_is_used(void **unused) {
  (void)unused;
  stwi_credentials_init(&credentials, false);
  expect_answer(STWI_CREDENTIALS_USE, STWI_S);
}

static void the_host_is_asked_until_it_supplies(void **unused) {
  (void)unused;
  expect_answer(STWI_CREDENTIALS_ASK, STWI_S);
  expect_answer(STWI_CREDENTIALS_ASK, 2 * STWI_S);
  assert_int_equal(supply(NULL, "abc", NULL), STW_OK);
  assert_null(why);
  expect_answer(STWI_CREDENTIALS_USE, 3 * STWI_S);
  expect_headers("Authorization=Bearer abc;");
}

static void a_supply_serves_until_it_expires(void **unused) {
  (void)unused;
  assert_int_equal(stwi_credentials_supply(&credentials, NULL, "abc", NULL, 2000, STWI_S, &why),
                   STW_OK);
  expect_answer(STWI_CREDENTIALS_USE, 3 * STWI_S - 1);
  expect_answer(STWI_CREDENTIALS_ASK, 3 * STWI_S);
  assert_int_equal(
      stwi_credentials_supply(&credentials, NULL, "abc", NULL, UINT64_MAX, STWI_S, &why), STW_OK);
  assert_true(credentials.expires == STWI_NEVER);
}

static void a_refused_supply_is_not_used_again(void **unused) {
  (void)unused;
  supply(NULL, "old", NULL);
  assert_false(stwi_credentials_refused(&credentials));
  expect_answer(STWI_CREDENTIALS_ASK, STWI_S);
}

static void a_refused_fresh_supply_is_permanent(void **unused) {
  (void)unused;
  supply(NULL, "old", NULL);
  assert_false(stwi_credentials_refused(&credentials));
  supply(NULL, "fresh", NULL);
  supply(NULL, "fresher", NULL);
  expect_answer(STWI_CREDENTIALS_USE, STWI_S);
  assert_true(stwi_credentials_refused(&credentials));
}

static void a_supply_that_has_worked_is_not_fresh_any_more(void **unused) {
  (void)unused;
  supply(NULL, "old", NULL);
  stwi_credentials_refused(&credentials);
  supply(NULL, "fresh", NULL);
  stwi_credentials_accepted(&credentials);
  assert_false(stwi_credentials_refused(&credentials)); /* revoked hours later */
  supply(NULL, "next", NULL);
  assert_true(stwi_credentials_refused(&credentials));
}

static void static_credentials_are_refused_for_good_unless_they_have_worked(void **unused) {
  (void)unused;
  stwi_credentials_init(&credentials, false);
  assert_true(stwi_credentials_refused(&credentials));
  expect_answer(STWI_CREDENTIALS_USE, STWI_S);
  stwi_credentials_accepted(&credentials);
  assert_false(stwi_credentials_refused(&credentials));
}

static void what_is_not_given_is_kept(void **unused) {
  (void)unused;
  static const char *const first[] = {"X-A", "1", "X-B", "2", NULL};
  static const char *const second[] = {"X-C", "3", NULL};
  static const char *const none[] = {NULL};
  assert_int_equal(supply("wss://a/x?t=1", "abc", first), STW_OK);
  assert_string_equal(credentials.url.path, "/x?t=1");
  expect_headers("Authorization=Bearer abc;X-A=1;X-B=2;");
  assert_int_equal(supply(NULL, NULL, NULL), STW_OK);
  expect_headers("Authorization=Bearer abc;X-A=1;X-B=2;");
  assert_int_equal(supply(NULL, "def", NULL), STW_OK);
  expect_headers("Authorization=Bearer def;X-A=1;X-B=2;");
  assert_int_equal(supply(NULL, NULL, second), STW_OK);
  expect_headers("Authorization=Bearer def;X-C=3;");
  assert_int_equal(supply("ws://b", NULL, none), STW_OK);
  expect_headers("Authorization=Bearer def;");
  assert_string_equal(credentials.url.host, "b");
}

static void a_token_and_a_given_authorization_replace_each_other(void **unused) {
  (void)unused;
  static const char *const basic[] = {"X-A", "1", "authorization", "Basic eDp5", NULL};
  assert_int_equal(supply(NULL, "abc", NULL), STW_OK);
  assert_int_equal(supply(NULL, NULL, basic), STW_OK);
  expect_headers("X-A=1;authorization=Basic eDp5;");
  assert_int_equal(supply(NULL, NULL, NULL), STW_OK);
  expect_headers("X-A=1;authorization=Basic eDp5;");
  assert_int_equal(supply(NULL, "def", NULL), STW_OK);
  expect_headers("Authorization=Bearer def;X-A=1;");
}

static void bad_supplies_are_refused_and_the_old_one_stays(void **unused) {
  (void)unused;
  static const char *const injected[] = {"X-A", "1\r\nX-B: 2", NULL};
  static const char *const reserved[] = {"Host", "elsewhere", NULL};
  static const char *const odd[] = {"X-A", "1", "X-B", NULL};
  static const char *const twice[] = {"Authorization", "Basic x", NULL};
  assert_int_equal(supply("ws://good", "good", NULL), STW_OK);
  assert_int_equal(supply("http://bad", "bad", NULL), STW_E_URL);
  assert_non_null(strstr(why, "ws:// or wss://"));
  assert_int_equal(supply(NULL, "b\nad", NULL), STW_E_URL);
  assert_int_equal(supply(NULL, "", NULL), STW_E_URL);
  assert_int_equal(supply(NULL, NULL, injected), STW_E_URL);
  assert_non_null(strstr(why, "line break"));
  assert_int_equal(supply(NULL, NULL, reserved), STW_E_URL);
  assert_int_equal(supply(NULL, NULL, odd), STW_E_URL);
  assert_int_equal(supply(NULL, "bad", twice), STW_E_URL);
  assert_non_null(strstr(why, "not both"));
  expect_headers("Authorization=Bearer good;");
  assert_string_equal(credentials.url.host, "good");
}

static void without_memory_the_old_supply_stays(void **unused) {
  (void)unused;
  static const char *const headers[] = {"X-A", "1", NULL};
  assert_int_equal(supply("ws://good", "good", NULL), STW_OK);
  const long live = failing_mem_live;
  for (long after = 0; after < 9; after++) {
    failing_mem_after = after;
    assert_int_equal(supply("ws://new", "new", headers), STW_E_MEMORY);
    assert_non_null(why);
    assert_int_equal(failing_mem_live, live);
  }
  expect_headers("Authorization=Bearer good;");
  assert_string_equal(credentials.url.host, "good");
  failing_mem_after = 9;
  assert_int_equal(supply("ws://new", "new", headers), STW_OK);
  expect_headers("Authorization=Bearer new;X-A=1;");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(without_asking_the_config_is_used),
      TEST(the_host_is_asked_until_it_supplies),
      TEST(a_supply_serves_until_it_expires),
      TEST(a_refused_supply_is_not_used_again),
      TEST(a_refused_fresh_supply_is_permanent),
      TEST(a_supply_that_has_worked_is_not_fresh_any_more),
      TEST(static_credentials_are_refused_for_good_unless_they_have_worked),
      TEST(what_is_not_given_is_kept),
      TEST(a_token_and_a_given_authorization_replace_each_other),
      TEST(bad_supplies_are_refused_and_the_old_one_stays),
      TEST(without_memory_the_old_supply_stays),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
