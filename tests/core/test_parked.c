#include "core/parked.h"

#include "failing_mem.h"
#include "messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct stwi_parked parked;

static int set_up(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  stwi_parked_init(&parked, 3, 1000);
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

static void removed_ones_leave_no_gaps_for_long(void **unused) {
  (void)unused;
  struct stwi_msg *kept = park(1, STW_MESSAGE_HELD, 0);
  for (uint64_t number = 2; number <= 5000; number++) {
    unpark(park(number, STW_MESSAGE_HELD, 0));
    assert_true(parked.used <= 40);
  }
  assert_int_equal(parked.count, 1);
  assert_ptr_equal(stwi_parked_find(&parked, (stw_message_id){0, 1}), kept);
  assert_ptr_equal(stwi_parked_after(&parked, 0)->msg, kept);
  assert_null(stwi_parked_after(&parked, stwi_parked_serial(&parked, kept)));
}

static void the_oldest_letter_is_found_behind_held_ones_and_gaps(void **unused) {
  (void)unused;
  struct stwi_msg *held[40];
  for (uint64_t number = 0; number < 40; number++)
    held[number] = park(number + 1, STW_MESSAGE_HELD, 0);
  for (uint64_t number = 100; number < 400; number++) {
    park(number, STW_MESSAGE_DEAD, 0);
    struct stwi_msg *oldest = stwi_parked_surplus(&parked);
    if (number < 103) {
      assert_null(oldest);
      continue;
    }
    assert_int_equal(oldest->id.number, number - 3);
    unpark(oldest);
    if (number % 8 == 0)
      unpark(held[number / 8 - 13]);
  }
  assert_int_equal(parked.letters, 3);
}

static void letters_have_a_bound_in_bytes_that_the_newest_may_pass(void **unused) {
  (void)unused;
  const struct message_spec small = {.number = 1, .size = 900}, large = {.number = 2, .size = 1001};
  const struct message_spec *const specs[] = {&small, &large};
  struct stwi_msg *msgs[2];
  for (unsigned i = 0; i < 2; i++) {
    msgs[i] = stwi_chunk_first(messages_chunk(specs[i], 1));
    msgs[i]->state = STW_MESSAGE_DEAD;
    assert_true(stwi_parked_reserve(&parked));
    stwi_parked_put(&parked, msgs[i]);
    assert_ptr_equal(stwi_parked_surplus(&parked), i == 0 ? NULL : msgs[0]);
  }
  unpark(msgs[0]);
  assert_null(stwi_parked_surplus(&parked));
  assert_int_equal(parked.letter_bytes, 1001);
}

/* Two hundred messages of one chunk, of which one is parked. */
static struct stwi_msg *park_one_of_many(void) {
  struct message_spec specs[200];
  memset(specs, 0, sizeof specs);
  for (unsigned i = 0; i < 200; i++) {
    specs[i].number = i + 1;
    specs[i].size = 10;
  }
  struct stwi_chunk *chunk = messages_chunk(specs, 200);
  struct stwi_msg *msg = stwi_chunk_first(chunk);
  msg->state = STW_MESSAGE_HELD;
  assert_true(stwi_parked_reserve(&parked));
  stwi_parked_put(&parked, msg);
  return msg;
}

static void a_parked_message_lets_go_of_a_chunk_that_is_too_large_for_it(void **unused) {
  (void)unused;
  struct stwi_msg *msg = park_one_of_many();
  const uint64_t serial = stwi_parked_serial(&parked, msg);
  failing_mem_after = 0;
  stwi_parked_shrink(&parked, msg);
  assert_true(stwi_parked_has(&parked, msg)); /* no memory: it stays where it is */
  failing_mem_after = -1;
  stwi_parked_shrink(&parked, msg);
  struct stwi_msg *copy = stwi_parked_find(&parked, (stw_message_id){0, 1});
  assert_int_equal(copy->home->size, stwi_msg_footprint(0, 10));
  assert_int_equal(copy->size, 10);
  assert_int_equal(stwi_parked_serial(&parked, copy), serial);
  assert_true(stwi_parked_has(&parked, copy));
  stwi_parked_shrink(&parked, copy); /* it does not pay twice */
  assert_ptr_equal(stwi_parked_find(&parked, (stw_message_id){0, 1}), copy);
  assert_int_equal(parked.held_bytes, 10);
}

static void what_can_no_longer_be_counted_is_refused(void **unused) {
  (void)unused;
  parked.used = parked.capacity = UINT32_MAX;
  assert_false(stwi_parked_reserve(&parked));
  parked.used = parked.capacity = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(they_are_listed_oldest_first_and_found_by_id),
      TEST(held_ones_and_letters_are_counted_apart),
      TEST(only_held_ones_expire),
      TEST(without_memory_there_is_no_room),
      TEST(removed_ones_leave_no_gaps_for_long),
      TEST(the_oldest_letter_is_found_behind_held_ones_and_gaps),
      TEST(letters_have_a_bound_in_bytes_that_the_newest_may_pass),
      TEST(a_parked_message_lets_go_of_a_chunk_that_is_too_large_for_it),
      TEST(what_can_no_longer_be_counted_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
