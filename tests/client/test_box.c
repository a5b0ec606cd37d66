/* A box against a naive model: what goes in comes out once, in order, within its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/box.h"
#include "core/pace.h"
#include "seed.h"

#define EVENTS 64

static struct stwi_box box;

static void make_box(enum stwi_inbound policy, uint64_t bytes_max) {
  struct stwi_conn_config config = {.inbound_buffer = bytes_max, .inbound_overflow = policy};
  config.inbound_key_kind = STWI_KEY_UNTIL;
  config.inbound_key_arg = ':';
  stwi_box_init(&box, &config);
}

static bool put_message(const char *text) {
  stw_event event = {.kind = STW_EVENT_MESSAGE, .link = 1};
  event.u.message.data = text;
  event.u.message.size = strlen(text);
  event.u.message.is_text = true;
  return stwi_box_message(&box, &event);
}

static void put_number(uint64_t number, size_t padding) {
  char *text = calloc(1, padding + 32);
  assert_non_null(text);
  int used = snprintf(text, 32, "%llu:", (unsigned long long)number);
  memset(text + used, 'x', padding);
  assert_true(put_message(text));
  free(text);
}

static uint64_t number_of(const stw_event *event) {
  char text[32] = {0};
  size_t size = event->u.message.size < 31 ? event->u.message.size : 31;
  memcpy(text, event->u.message.data, size);
  return strtoull(text, NULL, 10);
}

static void put_state(stw_state from, stw_state to, const char *detail) {
  stw_event event = {.kind = STW_EVENT_STATE};
  event.u.state.from = from;
  event.u.state.to = to;
  event.u.state.detail = detail;
  assert_true(stwi_box_event(&box, &event));
}

static void put_proof(stw_proof proof, uint64_t upto) {
  stw_event event = {.kind = STW_EVENT_PROOF};
  event.u.proof.proof = proof;
  event.u.proof.upto = upto;
  assert_true(stwi_box_event(&box, &event));
}

static size_t drain(const stw_event **events, size_t max, struct stwi_box_chunk **lent) {
  stwi_box_release(*lent);
  *lent = NULL;
  return stwi_box_drain(&box, events, max, lent);
}

static void messages_come_out_in_order_with_their_bytes(void **state) {
  (void)state;
  make_box(STWI_INBOUND_PAUSE, 1 << 20);
  for (uint64_t n = 0; n < 1000; n++)
    put_number(n, n % 700);
  const stw_event *events[EVENTS];
  struct stwi_box_chunk *lent = NULL;
  uint64_t expected = 0;
  size_t count;
  while ((count = drain(events, EVENTS, &lent)) > 0) {
    for (size_t i = 0; i < count; i++) {
      assert_int_equal(number_of(events[i]), expected);
      const char *data = events[i]->u.message.data;
      for (size_t k = events[i]->u.message.size - expected % 700; k < events[i]->u.message.size;
           k++) {
        assert_int_equal(data[k], 'x');
      }
      expected++;
    }
  }
  assert_int_equal(expected, 1000);
  assert_true(stwi_box_is_empty(&box));
  stwi_box_release(lent);
  assert_int_equal(box.held_bytes, 0);
  stwi_box_fini(&box);
}

static void pause_is_full_at_the_bound_and_has_room_at_half(void **state) {
  (void)state;
  make_box(STWI_INBOUND_PAUSE, 10000);
  uint64_t put = 0;
  while (!stwi_box_is_full(&box))
    put_number(put++, 100);
  assert_true(box.bytes >= 10000);
  assert_false(stwi_box_has_room(&box));
  const stw_event *events[1];
  struct stwi_box_chunk *lent = NULL;
  uint64_t got = 0;
  while (!stwi_box_has_room(&box))
    got += drain(events, 1, &lent);
  assert_in_range(got, put / 2 - 1, put / 2 + 2);
  stwi_box_release(lent);
  stwi_box_fini(&box);
}

static void drop_oldest_keeps_the_newest_and_says_how_many_are_missing(void **state) {
  (void)state;
  make_box(STWI_INBOUND_DROP_OLDEST, 20000);
  for (uint64_t n = 0; n < 100000; n++) {
    put_number(n, 50);
    assert_true(box.bytes <= 20000);
    assert_true(box.held_bytes < 3 * 20000 + 2 * 65536);
  }
  const stw_event *events[EVENTS];
  struct stwi_box_chunk *lent = NULL;
  uint64_t missing = 0, next = 0, got = 0;
  size_t count;
  while ((count = drain(events, EVENTS, &lent)) > 0) {
    for (size_t i = 0; i < count; i++) {
      if (events[i]->kind == STW_EVENT_GAP) {
        assert_true(events[i]->u.gap.known);
        assert_int_equal(events[i]->u.gap.reason, STW_GAP_OVERFLOW);
        missing += events[i]->u.gap.messages;
        next = missing;
        continue;
      }
      assert_int_equal(number_of(events[i]), next++);
      got++;
    }
  }
  assert_int_equal(missing + got, 100000);
  assert_int_equal(next, 100000);
  stwi_box_release(lent);
  stwi_box_fini(&box);
}

static void latest_by_key_keeps_one_of_each_key(void **state) {
  (void)state;
  make_box(STWI_INBOUND_LATEST_BY_KEY, 20000);
  char text[64];
  for (int round = 0; round < 500; round++) {
    for (int key = 0; key < 20; key++) {
      snprintf(text, sizeof text, "k%d:round %d", key, round);
      assert_true(put_message(text));
    }
    assert_true(box.bytes <= 20000);
    assert_true(box.held_bytes < 3 * 20000 + 2 * 65536);
  }
  bool has_last[20] = {false};
  const stw_event *events[EVENTS];
  struct stwi_box_chunk *lent = NULL;
  uint64_t missing = 0, got = 0;
  size_t count;
  while ((count = drain(events, EVENTS, &lent)) > 0) {
    for (size_t i = 0; i < count; i++) {
      if (events[i]->kind == STW_EVENT_GAP) {
        missing += events[i]->u.gap.messages;
        continue;
      }
      int key = 0, round = 0;
      snprintf(text, sizeof text, "%.*s", (int)events[i]->u.message.size,
               (const char *)events[i]->u.message.data);
      assert_int_equal(sscanf(text, "k%d:round %d", &key, &round), 2);
      got++;
      if (round == 499)
        has_last[key] = true;
    }
  }
  for (int key = 0; key < 20; key++)
    assert_true(has_last[key]);
  assert_int_equal(missing + got, 500 * 20);
  stwi_box_release(lent);
  stwi_box_fini(&box);
}

static void proofs_behind_one_another_merge(void **state) {
  (void)state;
  make_box(STWI_INBOUND_PAUSE, 10000);
  for (uint64_t n = 1; n <= 500; n++)
    put_proof(STW_PROOF_RECEIVED, n);
  put_proof(STW_PROOF_WRITTEN, 600);
  const stw_event *events[EVENTS];
  struct stwi_box_chunk *lent = NULL;
  assert_int_equal(drain(events, EVENTS, &lent), 2);
  assert_int_equal(events[0]->u.proof.upto, 500);
  assert_int_equal(events[1]->u.proof.upto, 600);
  stwi_box_release(lent);
  stwi_box_fini(&box);
}

static void put_proof_after(uint64_t after, uint64_t upto, uint64_t settled) {
  stw_event event = {.kind = STW_EVENT_PROOF};
  event.u.proof.proof = STW_PROOF_RECEIVED;
  event.u.proof.after = after;
  event.u.proof.upto = upto;
  event.u.proof.settled = settled;
  assert_true(stwi_box_event(&box, &event));
}

static void proofs_merge_only_where_they_prove_what_lies_between(void **state) {
  (void)state;
  make_box(STWI_INBOUND_PAUSE, 10000);
  put_proof_after(0, 5, 5);
  put_proof_after(9, 12, 12);
  put_proof_after(9, 15, 15);
  put_proof_after(14, 20, 20);
  const stw_event *events[EVENTS];
  struct stwi_box_chunk *lent = NULL;
  assert_int_equal(drain(events, EVENTS, &lent), 2);
  assert_int_equal(events[0]->u.proof.upto, 5);
  assert_int_equal(events[0]->u.proof.settled, 5);
  assert_int_equal(events[1]->u.proof.after, 9);
  assert_int_equal(events[1]->u.proof.upto, 20);
  assert_int_equal(events[1]->u.proof.settled, 20);
  stwi_box_release(lent);
  stwi_box_fini(&box);
}

static void a_sleeping_host_is_never_told_more_than_was_proven(void **state) {
  (void)state;
  make_box(STWI_INBOUND_PAUSE, 10000);
  for (uint64_t n = 10; n <= 100000; n += 10)
    put_proof_after(n - 5, n, n);
  assert_true(box.held_bytes < 400000);
  const stw_event *events[1024];
  struct stwi_box_chunk *lent = NULL;
  const size_t count = drain(events, 1024, &lent);
  for (size_t i = 0; i < count; i++)
    assert_int_equal(events[i]->u.proof.upto - events[i]->u.proof.after, 5);
  assert_int_equal(events[count - 1]->u.proof.settled, 100000);
  stwi_box_release(lent);
  stwi_box_fini(&box);
}

/* Written and received take turns, so neighbours never merge: a host that sends but never drains.
 */
static void proofs_of_a_sleeping_host_coalesce_by_kind(void **state) {
  (void)state;
  make_box(STWI_INBOUND_PAUSE, 10000);
  for (uint64_t n = 1; n <= 100000; n++) {
    put_proof(STW_PROOF_WRITTEN, n);
    put_proof(STW_PROOF_RECEIVED, n);
  }
  assert_true(box.held_bytes < 400000);
  const stw_event *events[1024];
  struct stwi_box_chunk *lent = NULL;
  const size_t count = drain(events, 1024, &lent);
  uint64_t highest[STW_PROOF_COUNT] = {0};
  for (size_t i = 0; i < count; i++) {
    assert_true(events[i]->u.proof.upto > highest[events[i]->u.proof.proof]);
    highest[events[i]->u.proof.proof] = events[i]->u.proof.upto;
  }
  assert_int_equal(highest[STW_PROOF_WRITTEN], 100000);
  assert_int_equal(highest[STW_PROOF_RECEIVED], 100000);
  stwi_box_release(lent);
  stwi_box_fini(&box);
}

static void states_of_a_sleeping_host_coalesce_to_the_latest(void **state) {
  (void)state;
  make_box(STWI_INBOUND_PAUSE, 10000);
  put_state(STW_STATE_CONNECTING, STW_STATE_ONLINE, "first");
  for (int i = 0; i < 20000; i++) {
    put_state(STW_STATE_ONLINE, STW_STATE_WAITING, "down");
    put_state(STW_STATE_WAITING, STW_STATE_ONLINE, "up");
  }
  put_state(STW_STATE_ONLINE, STW_STATE_CLOSED, "end");
  assert_true(box.held_bytes < 400000);
  const stw_event *events[1024];
  struct stwi_box_chunk *lent = NULL;
  size_t count = drain(events, 1024, &lent);
  assert_in_range(count, 2, 300);
  assert_string_equal(events[0]->u.state.detail, "first");
  assert_int_equal(events[count - 1]->u.state.to, STW_STATE_CLOSED);
  stw_state at = STW_STATE_CONNECTING;
  for (size_t i = 0; i < count; i++) { /* each begins where the one before ended */
    assert_int_equal(events[i]->u.state.from, at);
    at = events[i]->u.state.to;
  }
  stwi_box_release(lent);
  stwi_box_fini(&box);
}

static void what_was_lent_outlives_the_conn(void **state) {
  (void)state;
  make_box(STWI_INBOUND_PAUSE, 10000);
  put_message("one");
  put_message("two");
  const stw_event *events[1];
  struct stwi_box_chunk *lent = NULL;
  assert_int_equal(drain(events, 1, &lent), 1);
  stwi_box_surrender(&box, &lent);
  assert_true(stwi_box_is_empty(&box));
  stwi_box_fini(&box);
  assert_memory_equal(events[0]->u.message.data, "one", 3);
  stwi_box_release(lent);
}

/* Random puts and drains; the model is the list of numbers put and not dropped. */
static void random_traffic(enum stwi_inbound policy, struct stwi_random *random) {
  make_box(policy, 4096);
  const stw_event *events[EVENTS];
  struct stwi_box_chunk *lent = NULL;
  uint64_t put = 0, got = 0, missing = 0;
  for (int step = 0; step < 5000 || !stwi_box_is_empty(&box); step++) {
    if (step < 5000 && stwi_random_below(random, 3) != 0) {
      put_number(put++, (size_t)stwi_random_below(random, 600));
      continue;
    }
    size_t count = drain(events, 1 + (size_t)stwi_random_below(random, EVENTS - 1), &lent);
    for (size_t i = 0; i < count; i++) {
      if (events[i]->kind == STW_EVENT_GAP) {
        missing += events[i]->u.gap.messages;
        continue;
      }
      assert_true(number_of(events[i]) >= got);
      if (policy != STWI_INBOUND_LATEST_BY_KEY) {
        assert_int_equal(number_of(events[i]), got + missing);
      }
      got++;
    }
  }
  assert_int_equal(got + missing, put);
  if (policy == STWI_INBOUND_PAUSE)
    assert_int_equal(missing, 0);
  stwi_box_release(lent);
  stwi_box_fini(&box);
}

static void random_traffic_loses_nothing_silently(void **state) {
  (void)state;
  struct stwi_random random;
  stwi_random_seed(&random, test_seed(__func__));
  for (int life = 0; life < 20; life++) {
    random_traffic(STWI_INBOUND_PAUSE, &random);
    random_traffic(STWI_INBOUND_DROP_OLDEST, &random);
    random_traffic(STWI_INBOUND_LATEST_BY_KEY, &random);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(messages_come_out_in_order_with_their_bytes),
      cmocka_unit_test(pause_is_full_at_the_bound_and_has_room_at_half),
      cmocka_unit_test(drop_oldest_keeps_the_newest_and_says_how_many_are_missing),
      cmocka_unit_test(latest_by_key_keeps_one_of_each_key),
      cmocka_unit_test(proofs_behind_one_another_merge),
      cmocka_unit_test(proofs_merge_only_where_they_prove_what_lies_between),
      cmocka_unit_test(a_sleeping_host_is_never_told_more_than_was_proven),
      cmocka_unit_test(proofs_of_a_sleeping_host_coalesce_by_kind),
      cmocka_unit_test(states_of_a_sleeping_host_coalesce_to_the_latest),
      cmocka_unit_test(what_was_lent_outlives_the_conn),
      cmocka_unit_test(random_traffic_loses_nothing_silently),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
