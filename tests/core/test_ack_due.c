#include "core/ack_due.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct stwi_ack_policy policy = {.messages = 3, .bytes = 100, .after_ns = 50};
static struct stwi_ack_due due;

static int set_up(void **unused) {
  (void)unused;
  stwi_ack_clear(&due);
  return 0;
}

static void nothing_is_owed_at_first(void **unused) {
  (void)unused;
  assert_false(stwi_ack_is_owed(&due));
}

static void the_first_cause_sets_the_time(void **unused) {
  (void)unused;
  stwi_ack_owe(&due, &policy, 1, 10, false, 1000);
  assert_true(stwi_ack_is_owed(&due));
  stwi_ack_owe(&due, &policy, 1, 10, false, 1040);
  assert_int_equal(due.at, 1050);
}

static void enough_of_either_is_due_at_once(void **unused) {
  (void)unused;
  stwi_ack_owe(&due, &policy, 2, 99, false, 1000);
  assert_int_equal(due.at, 1050);
  stwi_ack_owe(&due, &policy, 1, 0, false, 1010);
  assert_int_equal(due.at, 1010);
  stwi_ack_clear(&due);
  stwi_ack_owe(&due, &policy, 1, 99, false, 1000);
  stwi_ack_owe(&due, &policy, 1, 1, false, 1020);
  assert_int_equal(due.at, 1020);
}

static void what_is_no_message_only_waits(void **unused) {
  (void)unused;
  for (uint64_t i = 0; i < 1000; i++)
    stwi_ack_owe(&due, &policy, 0, 0, false, 1000 + i);
  assert_int_equal(due.at, 1050);
}

static void urgent_is_at_once_and_counting_begins_anew_behind_each(void **unused) {
  (void)unused;
  stwi_ack_owe(&due, &policy, 2, 0, true, 1000);
  assert_int_equal(due.at, 1000);
  stwi_ack_clear(&due);
  assert_false(stwi_ack_is_owed(&due));
  stwi_ack_owe(&due, &policy, 2, 0, false, 1000);
  assert_int_equal(due.at, 1050);
}

static void the_end_of_time_is_not_passed(void **unused) {
  (void)unused;
  stwi_ack_owe(&due, &policy, 1, 0, false, UINT64_MAX - 10);
  assert_true(stwi_ack_is_owed(&due));
  assert_int_equal(due.at, UINT64_MAX - 1);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(nothing_is_owed_at_first),
      TEST(the_first_cause_sets_the_time),
      TEST(enough_of_either_is_due_at_once),
      TEST(what_is_no_message_only_waits),
      TEST(urgent_is_at_once_and_counting_begins_anew_behind_each),
      TEST(the_end_of_time_is_not_passed),
  };
  return cmocka_run_group_tests_name("ack_due", tests, NULL, NULL);
}
