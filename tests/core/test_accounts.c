#include "core/accounts.h"

#include "failing_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define T0 (100 * STWI_S)

static struct stwi_accounts accounts;
static struct stwi_budgets budgets;

static int set_up(void **unused) {
  (void)unused;
  accounts = (struct stwi_accounts){0};
  budgets = stwi_accounts_budgets(&accounts);
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  stwi_accounts_fini(&accounts);
  return failing_mem_live == 0 ? 0 : -1;
}

static struct stwi_account *hold(const char *key) {
  struct stwi_account *account = budgets.ops->hold(budgets.self, key, T0);
  assert_non_null(account);
  return account;
}

static unsigned take_all(struct stwi_account *account, stwi_time now) {
  unsigned count = 0;
  for (stwi_time when; budgets.ops->take(budgets.self, account, now, &when); count++)
    assert_true(count < 1000000);
  return count;
}

static void conns_of_one_address_share_an_account(void **unused) {
  (void)unused;
  struct stwi_account *account = hold("ws://a:80");
  assert_ptr_equal(hold("ws://a:80"), account);
  assert_int_equal(account->conns, 2);
  assert_int_equal(take_all(account, T0), 12);
  assert_int_equal(take_all(hold("ws://a:81"), T0), 11);
}

static void a_new_conn_brings_a_token_along(void **unused) {
  (void)unused;
  struct stwi_account *account = hold("ws://a:80");
  take_all(account, T0);
  hold("ws://a:80");
  assert_int_equal(take_all(account, T0), 1);
}

static void who_is_refused_hears_when_to_ask_again(void **unused) {
  (void)unused;
  struct stwi_account *account = hold("ws://a:80");
  take_all(account, T0);
  stwi_time when = 0;
  assert_false(budgets.ops->take(budgets.self, account, T0 + STWI_S, &when));
  assert_int_equal(when, T0 + 6 * STWI_S);
  assert_false(budgets.ops->take(budgets.self, account, when - 1, &when));
  assert_true(budgets.ops->take(budgets.self, account, when, &when));
  assert_false(budgets.ops->take(budgets.self, account, when, &when));
  assert_int_equal(when, T0 + 12 * STWI_S);
}

/* Engines read the clock each for itself. */
static void an_earlier_clock_is_told_a_time_that_holds(void **unused) {
  (void)unused;
  struct stwi_account *account = hold("ws://a:80");
  take_all(account, T0);
  stwi_time when = 0;
  assert_false(budgets.ops->take(budgets.self, account, T0 - STWI_S, &when));
  assert_int_equal(when, T0 + 6 * STWI_S);
  assert_true(budgets.ops->take(budgets.self, account, when, &when));
}

static void what_was_spent_outlives_the_conns(void **unused) {
  (void)unused;
  struct stwi_account *account = hold("ws://a:80");
  take_all(account, T0);
  budgets.ops->drop(budgets.self, account);
  assert_ptr_equal(hold("ws://a:80"), account);
  assert_int_equal(take_all(account, T0), 1);
}

static size_t count(void) {
  size_t kept = 0;
  for (struct stwi_account *account = accounts.first; account != NULL; account = account->next)
    kept++;
  return kept;
}

static void only_so_many_unused_ones_are_kept(void **unused) {
  (void)unused;
  struct stwi_account *account = hold("ws://a:80");
  for (int i = 0; i < 200; i++) {
    char key[32];
    snprintf(key, sizeof key, "ws://host%d:80", i);
    budgets.ops->drop(budgets.self, hold(key));
  }
  assert_int_equal(count(), 64 + 1);
  assert_ptr_equal(hold("ws://a:80"), account); /* it is in use */
}

static void without_memory_there_is_no_account(void **unused) {
  (void)unused;
  for (long after = 0; after < 2; after++) {
    failing_mem_after = after;
    assert_null(budgets.ops->hold(budgets.self, "ws://b:80", T0));
  }
  failing_mem_after = -1;
  assert_int_equal(count(), 0);
}

static void what_is_forgotten_is_as_new(void **unused) {
  (void)unused;
  struct stwi_account *account = hold("ws://a:80");
  hold("ws://a:80");
  take_all(account, T0);
  stwi_accounts_forget(&accounts);
  assert_int_equal(account->conns, 0);
  assert_int_equal(take_all(hold("ws://a:80"), T0), 11);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(conns_of_one_address_share_an_account),
      TEST(a_new_conn_brings_a_token_along),
      TEST(who_is_refused_hears_when_to_ask_again),
      TEST(an_earlier_clock_is_told_a_time_that_holds),
      TEST(what_was_spent_outlives_the_conns),
      TEST(only_so_many_unused_ones_are_kept),
      TEST(without_memory_there_is_no_account),
      TEST(what_is_forgotten_is_as_new),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
