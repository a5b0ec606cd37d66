#include "core/parked.h"

#include "failing_mem.h"
#include "messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct stwi_parked parked;

static int set_up(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  stwi_parked_init(&parked, 3);
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  stwi_parked_fini(&parked);
  return failing_mem_live == 0 ? 0 : -1;
}

static struct stwi_msg *park(uint64_t number, stw_message_state state, uint64_t ttl_ns) {
  const struct message_spec spec = {.number = number, .size = 10, .ttl_ns = ttl_ns};
  struct stwi_msg *msg = stwi_chunk_first(messages_chunk(&spec, 1));
  msg->state = (uint8_t)state;
  assert_true(stwi_parked_reserve(&parked));
  stwi_parked_put(&parked, msg);
  return msg;
}

static void unpark(struct stwi_msg *msg) {
  stwi_parked_remove(&parked, msg);
  stwi_chunk_release(msg->home);
}

static void they_are_listed_oldest_first_and_found_by_id(void **unused) {
  (void)unused;
  assert_null(stwi_parked_after(&parked, 0));
  struct stwi_msg *first = park(7, STW_MESSAGE_HELD, 0);
  struct stwi_msg *second = park(3, STW_MESSAGE_DEAD, 0);
  struct stwi_msg *third = park(9, STW_MESSAGE_UNKNOWN, 0);
  assert_ptr_equal(stwi_parked_after(&parked, 0)->msg, first);
  assert_ptr_equal(stwi_parked_after(&parked, 1)->msg, second);
  unpark(second);
  assert_ptr_equal(stwi_parked_after(&parked, 1)->msg, third);
  assert_null(stwi_parked_after(&parked, 3));
  assert_ptr_equal(stwi_parked_find(&parked, (stw_message_id){0, 9}), third);
  assert_null(stwi_parked_find(&parked, (stw_message_id){2, 9}));
  assert_null(stwi_parked_find(&parked, (stw_message_id){0, 3}));
}

static void held_ones_and_letters_are_counted_apart(void **unused) {
  (void)unused;
  struct stwi_msg *held = park(1, STW_MESSAGE_HELD, 0);
  park(2, STW_MESSAGE_HELD, 0);
  struct stwi_msg *oldest = park(3, STW_MESSAGE_DEAD, 0);
  park(4, STW_MESSAGE_UNKNOWN, 0);
  park(5, STW_MESSAGE_DEAD, 0);
  assert_null(stwi_parked_surplus(&parked));
  park(6, STW_MESSAGE_DEAD, 0);
  assert_ptr_equal(stwi_parked_surplus(&parked), oldest);
  assert_int_equal(parked.held, 2);
  assert_int_equal(parked.held_bytes, 20);
  assert_int_equal(parked.letters, 4);
  unpark(oldest);
  unpark(held);
  assert_int_equal(parked.held, 1);
  assert_int_equal(parked.held_bytes, 10);
  assert_int_equal(parked.letters, 3);
}

static void only_held_ones_expire(void **unused) {
  (void)unused;
  park(1, STW_MESSAGE_DEAD, 5);
  assert_true(parked.next_expiry == STWI_NEVER);
  park(2, STW_MESSAGE_HELD, 70);
  park(3, STW_MESSAGE_HELD, 30);
  park(4, STW_MESSAGE_HELD, 50);
  assert_int_equal(parked.next_expiry, 30);
}

static void without_memory_there_is_no_room(void **unused) {
  (void)unused;
  failing_mem_after = 0;
  assert_false(stwi_parked_reserve(&parked));
  failing_mem_after = -1;
  for (uint64_t number = 1; number <= 100; number++)
    park(number, STW_MESSAGE_HELD, 0);
  assert_int_equal(parked.count, 100);
}

static void what_can_no_longer_be_counted_is_refused(void **unused) {
  (void)unused;
  parked.count = parked.capacity = UINT32_MAX;
  assert_false(stwi_parked_reserve(&parked));
  parked.count = parked.capacity = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(they_are_listed_oldest_first_and_found_by_id),
      TEST(held_ones_and_letters_are_counted_apart),
      TEST(only_held_ones_expire),
      TEST(without_memory_there_is_no_room),
      TEST(what_can_no_longer_be_counted_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
