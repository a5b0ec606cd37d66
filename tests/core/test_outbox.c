#include "core/outbox.h"

#include "failing_mem.h"
#include "messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct stwi_outbox outbox;

static int set_up(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  stwi_outbox_init(&outbox, 1000, 100000, STWI_OVERFLOW_REJECT);
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  stwi_outbox_fini(&outbox);
  return failing_mem_live == 0 ? 0 : -1;
}

static void take_at(stwi_time now, const struct message_spec *specs, size_t count) {
  assert_true(stwi_outbox_take(&outbox, messages_chunk(specs, count), now));
}

static void take(const struct message_spec *spec) {
  take_at(0, spec, 1);
}

/* Messages `first` to `last`, ten bytes each. */
static void take_plain(uint64_t first, uint64_t last) {
  for (uint64_t number = first; number <= last; number++)
    take(&(struct message_spec){.number = number, .size = 10});
}

static unsigned write_all(stwi_time now) {
  unsigned count = 0;
  for (struct stwi_msg *msg; (msg = stwi_outbox_next(&outbox, now)) != NULL; count++)
    stwi_outbox_wrote(&outbox, msg);
  return count;
}

static void lose_link(uint64_t messages, uint64_t bytes) {
  uint64_t got_messages, got_bytes;
  stwi_outbox_link_lost(&outbox, &got_messages, &got_bytes);
  assert_int_equal(got_messages, messages);
  assert_int_equal(got_bytes, bytes);
}

static stw_message_state state_of(uint64_t number) {
  const struct stwi_msg *msg = stwi_outbox_find(&outbox, number);
  return msg == NULL ? STW_MESSAGE_STATE_COUNT : (stw_message_state)msg->state;
}

static void expect_end(uint64_t number, stw_message_state state, stw_cause cause) {
  struct stwi_msg_end end;
  assert_int_equal(stwi_outbox_ends(&outbox, &end, 1), 1);
  assert_int_equal(end.number, number);
  assert_int_equal(end.state, state);
  assert_int_equal(end.cause, cause);
}

static void expect_no_end(void) {
  struct stwi_msg_end end;
  assert_int_equal(stwi_outbox_ends(&outbox, &end, 1), 0);
  assert_int_equal(outbox.end_count, 0);
}

static void an_unused_outbox_owns_nothing(void **unused) {
  (void)unused;
  assert_int_equal(failing_mem_live, 0);
  assert_null(stwi_outbox_next(&outbox, 0));
  assert_null(stwi_outbox_find(&outbox, 0));
  assert_null(stwi_outbox_after(&outbox, 0));
  assert_true(stwi_outbox_is_settled(&outbox));
  assert_int_equal(stwi_outbox_expire(&outbox, STWI_S), STWI_NEVER);
  lose_link(0, 0);
  assert_true(stwi_outbox_take(&outbox, NULL, 0));
  assert_int_equal(failing_mem_live, 0);
}

static void messages_are_written_in_admission_order(void **unused) {
  (void)unused;
  take_plain(1, 40);
  for (uint64_t number = 1; number <= 40; number++) {
    struct stwi_msg *msg = stwi_outbox_next(&outbox, 0);
    assert_int_equal(msg->number, number);
    assert_ptr_equal(stwi_outbox_next(&outbox, 0), msg);
    stwi_outbox_wrote(&outbox, msg);
    assert_int_equal(msg->attempts, 1);
    assert_int_equal(stwi_outbox_last_written(&outbox), number);
  }
  assert_null(stwi_outbox_next(&outbox, 0));
  assert_true(stwi_outbox_has_inflight(&outbox));
  assert_int_equal(outbox.messages, 40);
  assert_int_equal(outbox.bytes, 400);
}

static void proof_is_cumulative_and_settles_from_the_front(void **unused) {
  (void)unused;
  take_plain(1, 10);
  write_all(0);
  assert_true(stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, 7, STW_PROOF_RECEIVED));
  assert_int_equal(outbox.messages, 3);
  assert_int_equal(outbox.counts[STW_MESSAGE_SETTLED], 7);
  assert_null(stwi_outbox_find(&outbox, 7));
  assert_int_equal(state_of(8), STW_MESSAGE_INFLIGHT);
  assert_int_equal(outbox.proven[STW_PROOF_RECEIVED], 7);
  assert_int_equal(outbox.proven[STW_PROOF_WRITTEN], 7);
  assert_int_equal(outbox.proven[STW_PROOF_ACCEPTED], 0);
  assert_false(stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, 7, STW_PROOF_RECEIVED));
  assert_false(stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, 3, STW_PROOF_RECEIVED));
  expect_no_end();
}

static void weaker_proof_than_wanted_is_kept_but_does_not_settle(void **unused) {
  (void)unused;
  take_plain(1, 4);
  write_all(0);
  assert_true(stwi_outbox_prove(&outbox, STW_PROOF_WRITTEN, 3, STW_PROOF_RECEIVED));
  assert_int_equal(outbox.messages, 4);
  assert_int_equal(stwi_outbox_find(&outbox, 3)->proof, STW_PROOF_WRITTEN);
  assert_int_equal(stwi_outbox_find(&outbox, 4)->proof, STW_PROOF_NONE);
  assert_false(stwi_outbox_prove(&outbox, STW_PROOF_WRITTEN, 3, STW_PROOF_RECEIVED));
  assert_int_equal(outbox.settled, 0);
  /* The peer turns out to be mute: written is all that is wanted from now on, and that is news. */
  assert_true(stwi_outbox_prove(&outbox, STW_PROOF_WRITTEN, 3, STW_PROOF_WRITTEN));
  assert_int_equal(outbox.messages, 1);
  assert_int_equal(outbox.settled, 3);
  assert_false(stwi_outbox_prove(&outbox, STW_PROOF_WRITTEN, 3, STW_PROOF_WRITTEN));
}

/* A mute link may have lost it: what a later one answers is about later messages. */
static void what_settled_with_less_gets_no_later_proof(void **unused) {
  (void)unused;
  take_plain(1, 8);
  write_all(0);
  stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, 2, STW_PROOF_RECEIVED);
  stwi_outbox_prove(&outbox, STW_PROOF_WRITTEN, 5, STW_PROOF_WRITTEN);
  assert_int_equal(outbox.short_of[STW_PROOF_WRITTEN], 0);
  assert_int_equal(outbox.short_of[STW_PROOF_RECEIVED], 5);
  assert_false(stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, 5, STW_PROOF_RECEIVED));
  assert_int_equal(outbox.proven[STW_PROOF_RECEIVED], 2);
  lose_link(3, 30);
  write_all(0);
  assert_true(stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, 7, STW_PROOF_RECEIVED));
  assert_int_equal(outbox.proven[STW_PROOF_RECEIVED], 7);
  assert_int_equal(outbox.short_of[STW_PROOF_RECEIVED], 5);
  assert_int_equal(outbox.short_of[STW_PROOF_PROCESSED], 7);
  assert_int_equal(outbox.settled, 7);
}

static void what_is_accepted_may_still_be_processed_until_the_peer_forgets_it(void **unused) {
  (void)unused;
  take_plain(1, 6);
  write_all(0);
  stwi_outbox_prove(&outbox, STW_PROOF_ACCEPTED, 4, STW_PROOF_ACCEPTED);
  assert_true(stwi_outbox_prove(&outbox, STW_PROOF_PROCESSED, 3, STW_PROOF_ACCEPTED));
  stwi_outbox_doubt(&outbox, STW_CAUSE_RESUME_REFUSED);
  assert_false(stwi_outbox_prove(&outbox, STW_PROOF_PROCESSED, 4, STW_PROOF_ACCEPTED));
  assert_int_equal(outbox.proven[STW_PROOF_PROCESSED], 3);
  assert_true(stwi_outbox_prove(&outbox, STW_PROOF_PROCESSED, 5, STW_PROOF_ACCEPTED));
  assert_int_equal(outbox.short_of[STW_PROOF_PROCESSED], 4);
}

static void strong_proof_is_not_weakened_by_a_later_weak_one(void **unused) {
  (void)unused;
  take_plain(1, 2);
  write_all(0);
  stwi_outbox_prove(&outbox, STW_PROOF_ACCEPTED, 1, STW_PROOF_PROCESSED);
  assert_true(stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, 2, STW_PROOF_PROCESSED));
  assert_int_equal(stwi_outbox_find(&outbox, 1)->proof, STW_PROOF_ACCEPTED);
  assert_int_equal(stwi_outbox_find(&outbox, 2)->proof, STW_PROOF_RECEIVED);
  lose_link(2, 20);
  take_plain(3, 3);
  write_all(0);
  assert_true(stwi_outbox_prove(&outbox, STW_PROOF_WRITTEN, 3, STW_PROOF_PROCESSED));
  assert_int_equal(stwi_outbox_find(&outbox, 1)->proof, STW_PROOF_ACCEPTED);
  assert_int_equal(stwi_outbox_find(&outbox, 2)->proof, STW_PROOF_RECEIVED);
  assert_int_equal(stwi_outbox_find(&outbox, 3)->proof, STW_PROOF_WRITTEN);
}

static void caution_gives_one_message_per_proof(void **unused) {
  (void)unused;
  take_plain(1, 3);
  assert_int_equal(write_all(0), 3);
  stwi_outbox_strike(&outbox, STW_CAUSE_TOO_BIG);
  lose_link(3, 30);
  for (uint64_t number = 1; number <= 3; number++) {
    assert_int_equal(write_all(0), 1);
    assert_int_equal(stwi_outbox_last_written(&outbox), number);
    stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, number, STW_PROOF_RECEIVED);
  }
  assert_false(outbox.is_cautious);
}

static void proof_reaches_no_further_than_what_was_written_on_this_link(void **unused) {
  (void)unused;
  take_plain(1, 4);
  stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
  stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
  assert_true(stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, UINT64_MAX, STW_PROOF_RECEIVED));
  assert_int_equal(outbox.proven[STW_PROOF_RECEIVED], 2);
  assert_int_equal(outbox.messages, 2);
  assert_int_equal(state_of(3), STW_MESSAGE_QUEUED);
  write_all(0);
  lose_link(2, 20);
  assert_false(stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, 4, STW_PROOF_RECEIVED));
  assert_int_equal(outbox.messages, 2);
}

static void a_lost_link_puts_messages_back_at_their_place(void **unused) {
  (void)unused;
  take_plain(1, 6);
  for (unsigned i = 0; i < 4; i++)
    stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
  stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, 1, STW_PROOF_RECEIVED);
  lose_link(3, 30);
  assert_false(stwi_outbox_has_inflight(&outbox));
  assert_int_equal(stwi_outbox_last_written(&outbox), 0);
  for (uint64_t number = 2; number <= 6; number++) {
    struct stwi_msg *msg = stwi_outbox_next(&outbox, 0);
    assert_int_equal(msg->number, number);
    stwi_outbox_wrote(&outbox, msg);
    assert_int_equal(msg->attempts, number <= 4 ? 2 : 1);
  }
  assert_int_equal(outbox.replayed, 3);
}

static void at_most_once_is_kept_until_written_then_unknown(void **unused) {
  (void)unused;
  take(&(struct message_spec){.number = 1, .size = 10, .guarantee = STW_AT_MOST_ONCE});
  take(&(struct message_spec){.number = 2, .size = 10});
  lose_link(0, 0);
  assert_int_equal(state_of(1), STW_MESSAGE_QUEUED);
  write_all(0);
  lose_link(1, 10);
  expect_end(1, STW_MESSAGE_UNKNOWN, STW_CAUSE_ABNORMAL_FIN);
  assert_int_equal(stwi_outbox_next(&outbox, 0)->number, 2);
  assert_int_equal(outbox.counts[STW_MESSAGE_UNKNOWN], 1);
}

static void ttl_ends_what_waits_but_not_what_is_inflight(void **unused) {
  (void)unused;
  take_at(100,
          (struct message_spec[]){{.number = 1, .size = 10, .ttl_ns = 50},
                                  {.number = 2, .size = 10, .ttl_ns = 60},
                                  {.number = 3, .size = 10},
                                  {.number = 4, .size = 10, .ttl_ns = UINT64_MAX}},
          4);
  assert_int_equal(outbox.next_expiry, 150);
  stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 149));
  assert_int_equal(stwi_outbox_expire(&outbox, 149), 150);
  stwi_outbox_expire(&outbox, 200);
  expect_end(2, STW_MESSAGE_EXPIRED, STW_CAUSE_REQUESTED);
  expect_no_end();
  assert_int_equal(state_of(1), STW_MESSAGE_INFLIGHT);
  lose_link(1, 10);
  assert_int_equal(outbox.next_expiry, 150);
  stwi_outbox_expire(&outbox, 300);
  expect_end(1, STW_MESSAGE_EXPIRED, STW_CAUSE_REQUESTED);
  assert_int_equal(stwi_outbox_expire(&outbox, 10 * STWI_S), STWI_NEVER);
  assert_int_equal(outbox.messages, 2);
}

static void an_expired_message_is_never_given_to_write(void **unused) {
  (void)unused;
  take_at(0, (struct message_spec[]){{.number = 1, .ttl_ns = 10}, {.number = 2, .ttl_ns = 20}}, 2);
  assert_int_equal(stwi_outbox_next(&outbox, 9)->number, 1);
  assert_int_equal(stwi_outbox_next(&outbox, 10)->number, 2);
  assert_null(stwi_outbox_next(&outbox, 20));
  expect_end(1, STW_MESSAGE_EXPIRED, STW_CAUSE_REQUESTED);
  expect_end(2, STW_MESSAGE_EXPIRED, STW_CAUSE_REQUESTED);
  assert_true(stwi_outbox_is_settled(&outbox));
}

static void the_next_expiry_is_the_nearest_one(void **unused) {
  (void)unused;
  take_at(0,
          (struct message_spec[]){{.number = 1, .ttl_ns = 3 * STWI_S},
                                  {.number = 2, .ttl_ns = 1 * STWI_S},
                                  {.number = 3, .ttl_ns = 2 * STWI_S}},
          3);
  assert_int_equal(stwi_outbox_expire(&outbox, 0), STWI_S);
  assert_int_equal(stwi_outbox_expire(&outbox, STWI_S), 2 * STWI_S);
  assert_int_equal(stwi_outbox_expire(&outbox, 2 * STWI_S), 3 * STWI_S);
  assert_int_equal(stwi_outbox_expire(&outbox, 3 * STWI_S), STWI_NEVER);
  assert_int_equal(outbox.counts[STW_MESSAGE_EXPIRED], 3);
}

static void a_long_queue_is_not_walked_for_every_expiry(void **unused) {
  (void)unused;
  for (uint64_t number = 1; number <= 500; number++)
    take(&(struct message_spec){.number = number, .ttl_ns = STWI_S + number});
  const stwi_time next = stwi_outbox_expire(&outbox, STWI_S + 1);
  assert_int_equal(outbox.counts[STW_MESSAGE_EXPIRED], 1);
  assert_int_equal(next, STWI_S + 1 + 500 * STWI_US);
  assert_int_equal(stwi_outbox_next(&outbox, STWI_S + 100)->number, 101);
}

static void only_what_was_never_written_can_be_cancelled(void **unused) {
  (void)unused;
  take_plain(1, 3);
  stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
  assert_int_equal(stwi_outbox_cancel(&outbox, 1), STW_E_STATE);
  assert_int_equal(stwi_outbox_cancel(&outbox, 2), STW_OK);
  assert_int_equal(stwi_outbox_cancel(&outbox, 2), STW_E_NOT_FOUND);
  assert_int_equal(stwi_outbox_cancel(&outbox, 0), STW_E_NOT_FOUND);
  assert_int_equal(stwi_outbox_cancel(&outbox, 99), STW_E_NOT_FOUND);
  expect_end(2, STW_MESSAGE_CANCELLED, STW_CAUSE_REQUESTED);
  lose_link(1, 10);
  assert_int_equal(stwi_outbox_cancel(&outbox, 1), STW_E_STATE);
  assert_int_equal(write_all(0), 2);
  stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, 3, STW_PROOF_RECEIVED);
  assert_int_equal(stwi_outbox_cancel(&outbox, 1), STW_E_NOT_FOUND);
}

/* The gate of the store, and of exactly once where no session gives it. */
static void what_may_not_be_written_yet_keeps_those_behind_it(void **unused) {
  (void)unused;
  outbox.stored_upto = 0;
  outbox.bars_exactly = true;
  take_plain(1, 3);
  take(&(struct message_spec){.number = 4, .size = 5, .guarantee = STW_EXACTLY_ONCE});
  take_plain(5, 5);
  assert_null(stwi_outbox_next(&outbox, 0));
  assert_int_equal(stwi_outbox_stored(&outbox, 2), 2);
  assert_int_equal(stwi_outbox_stored(&outbox, 2), 0);
  assert_int_equal(stwi_outbox_find(&outbox, 2)->proof, STW_PROOF_STORED);
  assert_int_equal(stwi_outbox_find(&outbox, 3)->proof, STW_PROOF_NONE);
  assert_int_equal(write_all(0), 2);
  assert_int_equal(stwi_outbox_stored(&outbox, 99), 3);
  assert_int_equal(outbox.stored_upto, 5);
  assert_int_equal(write_all(0), 1);
  outbox.bars_exactly = false;
  assert_int_equal(write_all(0), 2);
}

static void a_key_replaces_the_queued_message_only(void **unused) {
  (void)unused;
  take(&(struct message_spec){.number = 1, .size = 5, .key = "a"});
  take(&(struct message_spec){.number = 2, .size = 5, .key = "b"});
  take(&(struct message_spec){.number = 3, .size = 5, .key = "a"});
  expect_end(1, STW_MESSAGE_DROPPED, STW_CAUSE_SUPERSEDED);
  write_all(0);
  take(&(struct message_spec){.number = 4, .size = 5, .key = "a"});
  expect_no_end();
  assert_int_equal(state_of(3), STW_MESSAGE_INFLIGHT);
  /* The link dies: 3 would only repeat what 4 says better. */
  lose_link(1, 5);
  expect_end(3, STW_MESSAGE_DROPPED, STW_CAUSE_SUPERSEDED);
  assert_int_equal(write_all(0), 2);
  stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, 4, STW_PROOF_RECEIVED);
  take(&(struct message_spec){.number = 5, .size = 5, .key = "a"});
  expect_no_end();
  assert_int_equal(outbox.messages, 1);
}

static void a_replaced_inflight_message_is_replayed_if_its_heir_is_gone(void **unused) {
  (void)unused;
  take(&(struct message_spec){.number = 1, .key = "a"});
  write_all(0);
  take(&(struct message_spec){.number = 2, .key = "a"});
  assert_int_equal(stwi_outbox_cancel(&outbox, 2), STW_OK);
  expect_end(2, STW_MESSAGE_CANCELLED, STW_CAUSE_REQUESTED);
  lose_link(1, 0);
  expect_no_end();
  assert_int_equal(stwi_outbox_next(&outbox, 0)->number, 1);
}

static void drop_oldest_ends_the_oldest_queued_ones(void **unused) {
  (void)unused;
  stwi_outbox_init(&outbox, 4, 1000, STWI_OVERFLOW_DROP_OLDEST);
  take_plain(1, 2);
  write_all(0);
  take_plain(3, 6);
  expect_end(3, STW_MESSAGE_DROPPED, STW_CAUSE_REQUESTED);
  expect_end(4, STW_MESSAGE_DROPPED, STW_CAUSE_REQUESTED);
  expect_no_end();
  assert_int_equal(outbox.messages, 4);
  stwi_outbox_find(&outbox, 5)->state = STW_MESSAGE_HELD;
  take_plain(7, 7);
  expect_end(6, STW_MESSAGE_DROPPED, STW_CAUSE_REQUESTED);
}

static void drop_oldest_keeps_the_newest_even_when_all_others_are_inflight(void **unused) {
  (void)unused;
  stwi_outbox_init(&outbox, 2, 1000, STWI_OVERFLOW_DROP_OLDEST);
  take_plain(1, 2);
  write_all(0);
  take_plain(3, 3);
  expect_no_end();
  assert_int_equal(outbox.messages, 3);
  take_plain(4, 4);
  expect_end(3, STW_MESSAGE_DROPPED, STW_CAUSE_REQUESTED);
  assert_int_equal(outbox.messages, 3);
}

static void drop_oldest_minds_the_bytes_too(void **unused) {
  (void)unused;
  stwi_outbox_init(&outbox, 100, 100, STWI_OVERFLOW_DROP_OLDEST);
  take_plain(1, 10);
  take(&(struct message_spec){.number = 11, .size = 35});
  assert_int_equal(outbox.bytes, 95);
  assert_int_equal(outbox.counts[STW_MESSAGE_DROPPED], 4);
  take(&(struct message_spec){.number = 12, .size = 500});
  assert_int_equal(outbox.messages, 1);
}

static void other_policies_take_what_admission_let_through(void **unused) {
  (void)unused;
  stwi_outbox_init(&outbox, 1, 1, STWI_OVERFLOW_COALESCE);
  take_plain(1, 5);
  assert_int_equal(outbox.messages, 5);
  expect_no_end();
}

static void a_refused_message_ends_at_once_and_never_stands(void **unused) {
  (void)unused;
  take_at(0,
          (struct message_spec[]){{.number = 1, .size = 10, .is_refused = true},
                                  {.number = 2, .size = 10},
                                  {.number = 3, .size = 10, .is_refused = true}},
          3);
  assert_int_equal(outbox.messages, 1);
  assert_int_equal(outbox.taken, 3);
  expect_end(1, STW_MESSAGE_DROPPED, STW_CAUSE_REQUESTED);
  expect_end(3, STW_MESSAGE_DROPPED, STW_CAUSE_REQUESTED);
  assert_int_equal(write_all(0), 1);
}

static void ends_are_collected_oldest_first_in_pieces(void **unused) {
  (void)unused;
  take_plain(1, 10);
  for (uint64_t number = 1; number <= 10; number++)
    stwi_outbox_cancel(&outbox, 11 - number);
  assert_int_equal(outbox.end_count, 10);
  struct stwi_msg_end ends[4];
  assert_int_equal(stwi_outbox_ends(&outbox, ends, 4), 4);
  assert_int_equal(ends[0].number, 10);
  assert_int_equal(ends[3].number, 7);
  assert_int_equal(stwi_outbox_ends(&outbox, ends, 0), 0);
  assert_int_equal(stwi_outbox_ends(&outbox, ends, 4), 4);
  assert_int_equal(stwi_outbox_ends(&outbox, ends, 4), 2);
  assert_int_equal(ends[1].number, 1);
  assert_int_equal(failing_mem_live, 1); /* the small ring; every chunk is gone */
}

static void walking_shows_only_what_stands(void **unused) {
  (void)unused;
  take_plain(1, 6);
  stwi_outbox_cancel(&outbox, 1);
  stwi_outbox_cancel(&outbox, 4);
  assert_int_equal(stwi_outbox_after(&outbox, 0)->number, 2);
  assert_int_equal(stwi_outbox_after(&outbox, 3)->number, 5);
  assert_null(stwi_outbox_after(&outbox, 6));
  assert_null(stwi_outbox_find(&outbox, 4));
  assert_null(stwi_outbox_find(&outbox, 7));
}

static void an_emptied_outbox_gives_a_large_ring_back(void **unused) {
  (void)unused;
  take_plain(1, STWI_OUTBOX_KEPT);
  write_all(0);
  stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, UINT64_MAX, STW_PROOF_RECEIVED);
  assert_int_equal(outbox.capacity, STWI_OUTBOX_KEPT);
  take_plain(STWI_OUTBOX_KEPT + 1, 3 * STWI_OUTBOX_KEPT);
  assert_true(outbox.capacity > STWI_OUTBOX_KEPT);
  write_all(0);
  stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, UINT64_MAX, STW_PROOF_RECEIVED);
  assert_int_equal(outbox.capacity, 0);
  assert_int_equal(failing_mem_live, 0);
}

static void a_chunk_of_refused_messages_leaves_no_ring(void **unused) {
  (void)unused;
  struct message_spec specs[200];
  for (unsigned i = 0; i < 200; i++)
    specs[i] = (struct message_spec){.number = i + 1, .is_refused = true};
  take_at(0, specs, 200);
  assert_int_equal(outbox.capacity, 0);
  assert_int_equal(outbox.counts[STW_MESSAGE_DROPPED], 200);
}

static void ended_messages_in_the_middle_do_not_pile_up(void **unused) {
  (void)unused;
  take_plain(1, 1);
  for (uint64_t number = 2; number < 5000; number++) {
    take_plain(number, number);
    stwi_outbox_cancel(&outbox, number);
    expect_end(number, STW_MESSAGE_CANCELLED, STW_CAUSE_REQUESTED);
    assert_true(outbox.count <= 20);
    assert_true(failing_mem_live <= 22);
  }
  assert_int_equal(write_all(0), 1);
}

static void an_ended_message_is_given_back_at_once(void **unused) {
  (void)unused;
  struct stwi_chunk *first = messages_chunk(&(struct message_spec){.number = 1, .size = 1}, 1);
  assert_true(stwi_outbox_take(&outbox, first, 0));
  static const uint8_t large[40000];
  for (uint64_t number = 2; number <= 4; number++) {
    struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)stwi_msg_footprint(0, sizeof large));
    struct stwi_msg *msg = stwi_chunk_append(chunk, NULL, 0, large, sizeof large);
    msg->number = msg->id.number = number;
    assert_true(stwi_outbox_take(&outbox, chunk, 0));
    stwi_outbox_cancel(&outbox, number);
    expect_end(number, STW_MESSAGE_CANCELLED, STW_CAUSE_REQUESTED);
  }
  assert_int_equal(failing_mem_live, 2); /* ring, first chunk */
}

static void compaction_keeps_the_cursor(void **unused) {
  (void)unused;
  take_plain(1, 60);
  for (unsigned i = 0; i < 20; i++)
    stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
  for (uint64_t number = 21; number <= 55; number++)
    stwi_outbox_cancel(&outbox, number);
  assert_true(outbox.count < 60);
  assert_int_equal(stwi_outbox_next(&outbox, 0)->number, 56);
  lose_link(20, 200);
  assert_int_equal(write_all(0), 25);
}

static void ended_places_before_the_cursor_are_passed_over(void **unused) {
  (void)unused;
  take_plain(1, 4);
  stwi_outbox_cancel(&outbox, 2);
  assert_int_equal(write_all(0), 3); /* the place of 2 lies before the cursor now */
  lose_link(3, 30);
  assert_int_equal(write_all(0), 3);
  stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, 3, STW_PROOF_RECEIVED);
  assert_int_equal(outbox.messages, 1);
  assert_int_equal(outbox.gaps, 0);
}

static void without_memory_nothing_is_taken(void **unused) {
  (void)unused;
  struct message_spec specs[100];
  char keys[100][4];
  for (unsigned i = 0; i < 100; i++) {
    snprintf(keys[i], sizeof keys[i], "%u", i);
    specs[i] = (struct message_spec){.number = i + 1, .size = 10, .key = keys[i]};
  }
  struct stwi_chunk *chunk = messages_chunk(specs, 100);
  for (long after = 0; after < 3; after++) { /* ring, table, its slots */
    failing_mem_after = after;
    assert_false(stwi_outbox_take(&outbox, chunk, 0));
    assert_int_equal(outbox.taken, 0);
    assert_int_equal(outbox.capacity, 0);
  }
  failing_mem_after = 3;
  assert_true(stwi_outbox_take(&outbox, chunk, 0));
  failing_mem_after = 0; /* from here on nothing needs memory */
  assert_int_equal(write_all(0), 100);
  lose_link(100, 1000);
  for (uint64_t number = 1; number <= 50; number++)
    stwi_outbox_wrote(&outbox, stwi_outbox_next(&outbox, 0));
  stwi_outbox_prove(&outbox, STW_PROOF_RECEIVED, 50, STW_PROOF_RECEIVED);
  assert_int_equal(outbox.messages, 50);
}

static void more_messages_than_can_be_counted_are_refused(void **unused) {
  (void)unused;
  struct stwi_chunk huge = {.count = UINT32_MAX}, more = {.count = 1, .next = &huge};
  assert_false(stwi_outbox_take(&outbox, &huge, 0));
  assert_false(stwi_outbox_take(&outbox, &more, 0));
}

static void what_still_stands_is_freed_with_the_outbox(void **unused) {
  (void)unused;
  take(&(struct message_spec){.number = 1, .size = 10, .key = "k"});
  take_plain(2, 30);
  write_all(0);
  take_plain(31, 40);
  stwi_outbox_cancel(&outbox, 35);
  stwi_outbox_fini(&outbox);
  assert_int_equal(failing_mem_live, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(an_unused_outbox_owns_nothing),
      TEST(messages_are_written_in_admission_order),
      TEST(proof_is_cumulative_and_settles_from_the_front),
      TEST(weaker_proof_than_wanted_is_kept_but_does_not_settle),
      TEST(what_settled_with_less_gets_no_later_proof),
      TEST(what_is_accepted_may_still_be_processed_until_the_peer_forgets_it),
      TEST(strong_proof_is_not_weakened_by_a_later_weak_one),
      TEST(caution_gives_one_message_per_proof),
      TEST(proof_reaches_no_further_than_what_was_written_on_this_link),
      TEST(a_lost_link_puts_messages_back_at_their_place),
      TEST(at_most_once_is_kept_until_written_then_unknown),
      TEST(ttl_ends_what_waits_but_not_what_is_inflight),
      TEST(an_expired_message_is_never_given_to_write),
      TEST(the_next_expiry_is_the_nearest_one),
      TEST(a_long_queue_is_not_walked_for_every_expiry),
      TEST(only_what_was_never_written_can_be_cancelled),
      TEST(what_may_not_be_written_yet_keeps_those_behind_it),
      TEST(a_key_replaces_the_queued_message_only),
      TEST(a_replaced_inflight_message_is_replayed_if_its_heir_is_gone),
      TEST(drop_oldest_ends_the_oldest_queued_ones),
      TEST(drop_oldest_keeps_the_newest_even_when_all_others_are_inflight),
      TEST(drop_oldest_minds_the_bytes_too),
      TEST(other_policies_take_what_admission_let_through),
      TEST(a_refused_message_ends_at_once_and_never_stands),
      TEST(ends_are_collected_oldest_first_in_pieces),
      TEST(walking_shows_only_what_stands),
      TEST(an_emptied_outbox_gives_a_large_ring_back),
      TEST(a_chunk_of_refused_messages_leaves_no_ring),
      TEST(ended_messages_in_the_middle_do_not_pile_up),
      TEST(an_ended_message_is_given_back_at_once),
      TEST(compaction_keeps_the_cursor),
      TEST(ended_places_before_the_cursor_are_passed_over),
      TEST(without_memory_nothing_is_taken),
      TEST(more_messages_than_can_be_counted_are_refused),
      TEST(what_still_stands_is_freed_with_the_outbox),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
