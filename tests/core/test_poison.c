#include "core/outbox.h"

#include "failing_mem.h"
#include "messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct stwi_outbox outbox;

static int set_up(void **unused) {
  (void)unused;
  stwi_outbox_init(&outbox, 1000, 100000, STWI_OVERFLOW_REJECT);
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  stwi_outbox_fini(&outbox);
  return failing_mem_live == 0 ? 0 : -1;
}

static void take(uint64_t first, uint64_t last, stw_guarantee guarantee) {
  for (uint64_t number = first; number <= last; number++) {
    const struct message_spec spec = {.number = number, .size = 8, .guarantee = guarantee};
    assert_true(stwi_outbox_take(&outbox, messages_chunk(&spec, 1), 0));
  }
}

static void lose_link(void) {
  uint64_t messages, bytes;
  stwi_outbox_link_lost(&outbox, &messages, &bytes);
}

static void expect_dead(uint64_t number, stw_cause cause) {
  struct stwi_msg_end end;
  assert_int_equal(stwi_outbox_ends(&outbox, &end, 1), 1);
  assert_int_equal(end.number, number);
  assert_int_equal(end.state, STW_MESSAGE_DEAD);
  assert_int_equal(end.cause, cause);
}

static void prove(uint64_t upto) {
  stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, upto, STW_PROOF_RECEIVED);
}

/* A peer that closes when it sees one of the poisonous numbers; it answers a barrier after each
 * batch of what next() gives, and proves nothing of the batch that it closes on.  True: the link
 * ended by its fault. */
static bool run_link(const uint64_t *poisons, size_t poison_count, stw_cause cause) {
  for (;;) {
    bool is_refused = false;
    unsigned written = 0;
    for (struct stwi_msg *msg; (msg = stwi_outbox_next(&outbox, 0)) != NULL; written++) {
      for (size_t i = 0; i < poison_count; i++)
        is_refused |= msg->number == poisons[i];
      stwi_outbox_wrote(&outbox, msg);
    }
    if (written == 0)
      return false;
    if (is_refused) {
      stwi_outbox_strike(&outbox, cause);
      lose_link();
      return true;
    }
    prove(stwi_outbox_last_written(&outbox));
  }
}

static void a_poison_between_good_messages_dies_within_five_links(void **unused) {
  (void)unused;
  take(1, 3, STW_AT_LEAST_ONCE);
  const uint64_t poison = 2;
  unsigned links = 1;
  while (run_link(&poison, 1, STW_CAUSE_BAD_PAYLOAD))
    links++;
  assert_true(links <= 5);
  expect_dead(2, STW_CAUSE_BAD_PAYLOAD);
  assert_int_equal(outbox.counts[STW_MESSAGE_DEAD], 1);
  assert_int_equal(outbox.counts[STW_MESSAGE_SETTLED], 2);
  assert_true(stwi_outbox_is_settled(&outbox));
  assert_false(outbox.is_cautious);
}

static void every_place_of_the_poison_ends_alike(void **unused) {
  (void)unused;
  for (uint64_t poison = 1; poison <= 9; poison++) {
    set_up(NULL);
    take(1, 9, STW_AT_LEAST_ONCE);
    unsigned links = 1;
    while (run_link(&poison, 1, STW_CAUSE_TOO_BIG))
      links++;
    assert_true(links <= 5);
    expect_dead(poison, STW_CAUSE_TOO_BIG);
    assert_int_equal(outbox.counts[STW_MESSAGE_SETTLED], 8);
    stwi_outbox_fini(&outbox);
  }
}

static void two_poisons_both_die_and_nothing_else_does(void **unused) {
  (void)unused;
  take(1, 9, STW_AT_LEAST_ONCE);
  const uint64_t poisons[] = {3, 7};
  unsigned links = 1;
  while (run_link(poisons, 2, STW_CAUSE_BAD_PAYLOAD))
    links++;
  assert_true(links <= 9);
  expect_dead(3, STW_CAUSE_BAD_PAYLOAD);
  expect_dead(7, STW_CAUSE_BAD_PAYLOAD);
  assert_int_equal(outbox.counts[STW_MESSAGE_SETTLED], 7);
}

static void a_lonely_message_dies_at_its_third_strike(void **unused) {
  (void)unused;
  take(1, 1, STW_AT_LEAST_ONCE);
  for (unsigned link = 1; link <= 3; link++) {
    assert_int_equal(outbox.counts[STW_MESSAGE_DEAD], 0);
    stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
    stwi_outbox_strike(&outbox, STW_CAUSE_TOO_BIG);
    lose_link();
  }
  expect_dead(1, STW_CAUSE_TOO_BIG);
}

static void proof_clears_the_strikes(void **unused) {
  (void)unused;
  take(1, 2, STW_AT_LEAST_ONCE);
  for (unsigned link = 1; link <= 2; link++) {
    stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
    stwi_outbox_strike(&outbox, STW_CAUSE_TOO_BIG);
    lose_link();
  }
  assert_int_equal(outbox.suspect_strikes, 2);
  stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
  prove(1);
  assert_int_equal(outbox.suspect_strikes, 0);
  assert_int_equal(outbox.suspect_number, 0);
}

static void proof_of_others_does_not_clear_them(void **unused) {
  (void)unused;
  take(1, 3, STW_AT_LEAST_ONCE);
  stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
  prove(1);
  stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
  stwi_outbox_strike(&outbox, STW_CAUSE_TOO_BIG);
  assert_int_equal(outbox.suspect_number, 2);
  prove(1);
  assert_int_equal(outbox.suspect_strikes, 1);
}

static void another_cause_begins_to_count_anew(void **unused) {
  (void)unused;
  take(1, 1, STW_AT_LEAST_ONCE);
  const stw_cause causes[] = {STW_CAUSE_TOO_BIG, STW_CAUSE_TOO_BIG, STW_CAUSE_BAD_PAYLOAD,
                              STW_CAUSE_BAD_PAYLOAD, STW_CAUSE_BAD_PAYLOAD};
  for (unsigned link = 0; link < 5; link++) {
    assert_int_equal(outbox.messages, 1);
    stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
    stwi_outbox_strike(&outbox, causes[link]);
    lose_link();
  }
  expect_dead(1, STW_CAUSE_BAD_PAYLOAD);
}

static void links_that_end_otherwise_do_not_excuse_a_message(void **unused) {
  (void)unused;
  take(1, 1, STW_AT_LEAST_ONCE);
  for (unsigned link = 1; link <= 3; link++) {
    stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
    lose_link(); /* the close frame was overtaken by a reset */
    stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
    stwi_outbox_strike(&outbox, STW_CAUSE_TOO_BIG);
    lose_link();
  }
  expect_dead(1, STW_CAUSE_TOO_BIG);
}

static void a_strike_without_anything_inflight_blames_nobody(void **unused) {
  (void)unused;
  stwi_outbox_strike(&outbox, STW_CAUSE_TOO_BIG);
  take(1, 2, STW_AT_LEAST_ONCE);
  stwi_outbox_strike(&outbox, STW_CAUSE_TOO_BIG);
  assert_int_equal(outbox.suspect_strikes, 0);
  assert_false(outbox.is_cautious);
}

static void company_is_never_killed(void **unused) {
  (void)unused;
  take(1, 2, STW_AT_LEAST_ONCE);
  stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
  stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
  for (unsigned strike = 1; strike <= 5; strike++)
    stwi_outbox_strike(&outbox, STW_CAUSE_TOO_BIG);
  assert_int_equal(outbox.messages, 2);
}

static void
caution_covers_what_was_written_when_it_began_and_later_strikes_extend_it(void **unused) {
  (void)unused;
  take(1, 3, STW_AT_LEAST_ONCE);
  for (unsigned i = 0; i < 3; i++)
    stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
  stwi_outbox_strike(&outbox, STW_CAUSE_TOO_BIG);
  lose_link();
  take(4, 6, STW_AT_LEAST_ONCE);
  for (uint64_t number = 1; number <= 3; number++) {
    assert_true(outbox.is_cautious);
    stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
    assert_null(stwi_outbox_next(&outbox, 0));
    stwi_outbox_strike(&outbox, STW_CAUSE_TOO_BIG);
    assert_int_equal(outbox.cautious_until, 3);
    prove(number);
  }
  assert_false(outbox.is_cautious);
  stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
  assert_non_null(stwi_outbox_next(&outbox, 0));
  stwi_outbox_strike(&outbox, STW_CAUSE_TOO_BIG);
  assert_int_equal(outbox.cautious_until, 4);
}

static void what_ends_otherwise_ends_caution_too(void **unused) {
  (void)unused;
  take(1, 2, STW_AT_MOST_ONCE);
  take(3, 3, STW_AT_LEAST_ONCE);
  stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
  stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
  stwi_outbox_strike(&outbox, STW_CAUSE_TOO_BIG);
  assert_true(outbox.is_cautious);
  lose_link(); /* both end as unknown */
  assert_false(outbox.is_cautious);
  assert_int_equal(outbox.counts[STW_MESSAGE_UNKNOWN], 2);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_poison_between_good_messages_dies_within_five_links),
      TEST(every_place_of_the_poison_ends_alike),
      TEST(two_poisons_both_die_and_nothing_else_does),
      TEST(a_lonely_message_dies_at_its_third_strike),
      TEST(proof_clears_the_strikes),
      TEST(proof_of_others_does_not_clear_them),
      TEST(another_cause_begins_to_count_anew),
      TEST(links_that_end_otherwise_do_not_excuse_a_message),
      TEST(a_strike_without_anything_inflight_blames_nobody),
      TEST(company_is_never_killed),
      TEST(caution_covers_what_was_written_when_it_began_and_later_strikes_extend_it),
      TEST(what_ends_otherwise_ends_caution_too),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
