#include "sim/store.h"

#include "core/chunk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint64_t serial;

static struct stwi_restored open_life(struct stwi_model_store *store) {
  struct stwi_restored restored;
  uint64_t stream;
  assert_true(stwi_model_open(store, &restored, &stream));
  assert_true(restored.has_store);
  assert_int_equal(stream & 1, 0);
  serial = 0;
  return restored;
}

static void drop(const struct stwi_restored *restored) {
  stwi_chunk_free_list(restored->chunks);
  stwi_chunk_free_list(restored->parked);
}

static void with_msg(struct stwi_model_store *store, enum stwi_store_op op, uint64_t number,
                     stw_guarantee guarantee) {
  struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)stwi_msg_footprint(1, 4));
  struct stwi_msg *msg = stwi_chunk_append(chunk, "k", 1, "body", 4);
  msg->number = number;
  msg->id.number = number;
  msg->guarantee = (uint8_t)guarantee;
  msg->state = op == STWI_STORE_PARK ? STW_MESSAGE_HELD : STW_MESSAGE_QUEUED;
  assert_true(stwi_model_add(
      store,
      &(struct stwi_store_change){.op = op, .serial = ++serial, .number = number, .msg = msg}));
  stwi_chunk_free(chunk);
}

static void put(struct stwi_model_store *store, uint64_t number) {
  with_msg(store, STWI_STORE_PUT, number, STW_AT_LEAST_ONCE);
}

static void change(struct stwi_model_store *store, enum stwi_store_op op, uint64_t number) {
  assert_true(stwi_model_add(
      store, &(struct stwi_store_change){
                 .op = op, .serial = ++serial, .number = number, .id.number = number}));
}

static void commit(struct stwi_model_store *store) {
  struct stwi_input input;
  stwi_model_flush(store, 0, 0);
  assert_true(stwi_model_commit(store, 0, &input));
}

static void numbers_are(const struct stwi_chunk *chunks, const uint64_t *numbers, size_t count) {
  for (size_t i = 0; i < count; i++, chunks = chunks->next) {
    assert_non_null(chunks);
    const struct stwi_msg *msg = stwi_chunk_first((struct stwi_chunk *)chunks);
    assert_int_equal(msg->number, numbers[i]);
    assert_int_equal(msg->size, 4);
    assert_memory_equal(stwi_msg_body(msg), "body", 4);
    assert_memory_equal(stwi_msg_key(msg), "k", 1);
  }
  assert_null(chunks);
}

static void a_batch_commits_after_its_delay(void **unused) {
  (void)unused;
  struct stwi_model_store *store = stwi_model_new(1, 0);
  struct stwi_restored restored = open_life(store);
  struct stwi_input input;
  assert_int_equal(stwi_model_due(store), STWI_NEVER);
  put(store, 1);
  put(store, 2);
  stwi_model_flush(store, STWI_S, STWI_MS);
  assert_int_equal(stwi_model_due(store), STWI_S + STWI_MS);
  assert_false(stwi_model_commit(store, STWI_S, &input));
  assert_true(stwi_model_commit(store, STWI_S + STWI_MS, &input));
  assert_int_equal(input.kind, STWI_IN_STORED);
  assert_int_equal(input.u.stored.serial, 2);
  assert_int_equal(input.u.stored.upto[STW_LANE_DATA], 2);
  assert_int_equal(stwi_model_due(store), STWI_NEVER);
  drop(&restored);
  stwi_model_free(store);
}

static void a_crash_loses_what_was_not_committed_and_nothing_else(void **unused) {
  (void)unused;
  static const uint64_t left[] = {1, 3};
  struct stwi_model_store *store = stwi_model_new(1, 0);
  struct stwi_restored restored = open_life(store);
  for (uint64_t number = 1; number <= 3; number++)
    put(store, number);
  change(store, STWI_STORE_REMOVE, 2);
  commit(store);
  put(store, 4);
  stwi_model_flush(store, 0, STWI_S);
  put(store, 5);
  stwi_model_crash(store, true);
  restored = open_life(store);
  assert_true(restored.is_unclean);
  assert_false(restored.may_lag);
  assert_int_equal(restored.last_number[STW_LANE_DATA], 3);
  numbers_are(restored.chunks, left, 2);
  drop(&restored);
  stwi_model_free(store);
}

static void a_power_loss_takes_last_commits_of_level_process_in_order(void **unused) {
  (void)unused;
  unsigned lives_that_lost = 0;
  for (uint64_t seed = 0; seed < 50; seed++) {
    struct stwi_model_store *store = stwi_model_new(seed, 4);
    open_life(store);
    for (uint64_t number = 1; number <= 10; number++) {
      put(store, number);
      commit(store);
    }
    stwi_model_crash(store, seed % 2 == 0);
    const struct stwi_restored restored = open_life(store);
    const uint64_t last = restored.last_number[STW_LANE_DATA];
    assert_int_equal(restored.may_lag, seed % 2 == 0);
    assert_in_range(last, seed % 2 == 0 ? 6 : 10, 10);
    static const uint64_t all[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    numbers_are(restored.chunks, all, last);
    lives_that_lost += last < 10;
    drop(&restored);
    stwi_model_free(store);
  }
  assert_in_range(lives_that_lost, 5, 25);
}

static void settling_parking_and_forgetting_are_kept(void **unused) {
  (void)unused;
  static const uint64_t standing[] = {5}, parked[] = {4};
  struct stwi_model_store *store = stwi_model_new(1, 0);
  open_life(store);
  for (uint64_t number = 1; number <= 5; number++)
    put(store, number);
  change(store, STWI_STORE_SETTLED, 2);
  with_msg(store, STWI_STORE_PARK, 3, STW_AT_LEAST_ONCE);
  with_msg(store, STWI_STORE_PARK, 4, STW_AT_LEAST_ONCE);
  change(store, STWI_STORE_FORGET, 3);
  stwi_model_close(store);
  const struct stwi_restored restored = open_life(store);
  assert_false(restored.is_unclean);
  numbers_are(restored.chunks, standing, 1);
  numbers_are(restored.parked, parked, 1);
  assert_int_equal(stwi_model_standing(store, STW_LANE_DATA), 1);
  assert_int_equal(stwi_model_parked(store), 1);
  assert_int_equal(stwi_model_last(store, STW_LANE_DATA), 5);
  assert_string_equal(stwi_model_broken(store), "");
  drop(&restored);
  stwi_model_free(store);
}

static void at_most_once_comes_back_as_unknown_after_a_crash(void **unused) {
  (void)unused;
  static const uint64_t standing[] = {2}, parked[] = {1};
  struct stwi_model_store *store = stwi_model_new(1, 0);
  open_life(store);
  with_msg(store, STWI_STORE_PUT, 1, STW_AT_MOST_ONCE);
  put(store, 2);
  commit(store);
  stwi_model_crash(store, false);
  const struct stwi_restored restored = open_life(store);
  numbers_are(restored.chunks, standing, 1);
  numbers_are(restored.parked, parked, 1);
  assert_int_equal(stwi_chunk_first(restored.parked)->state, STW_MESSAGE_UNKNOWN);
  change(store, STWI_STORE_FORGET, 1);
  commit(store);
  assert_string_equal(stwi_model_broken(store), "");
  drop(&restored);
  stwi_model_free(store);
}

static void the_session_and_its_cursors_are_kept(void **unused) {
  (void)unused;
  struct stwi_model_store *store = stwi_model_new(1, 0);
  struct stwi_restored restored = open_life(store);
  struct stwi_session_saved session = restored.session;
  session.is_welcomed = true;
  session.incarnation = 77;
  assert_true(stwi_model_add(store, &(struct stwi_store_change){.op = STWI_STORE_SESSION,
                                                                .serial = ++serial,
                                                                .session = &session}));
  change(store, STWI_STORE_INBOUND, 9);
  commit(store);
  stwi_model_crash(store, false);
  restored = open_life(store);
  assert_memory_equal(restored.session.cid, session.cid, sizeof session.cid);
  assert_int_equal(restored.session.incarnation, 77);
  assert_int_equal(restored.session.processed[STW_LANE_DATA], 9);
  stwi_model_free(store);
}

static void a_full_disk_says_so_and_commits_when_it_has_room(void **unused) {
  (void)unused;
  struct stwi_model_store *store = stwi_model_new(1, 0);
  open_life(store);
  struct stwi_input input;
  stwi_model_full(store, true);
  put(store, 1);
  stwi_model_flush(store, 0, 0);
  assert_true(stwi_model_commit(store, 0, &input));
  assert_int_equal(input.u.stored.health, STW_STORE_FULL);
  assert_int_equal(input.u.stored.upto[STW_LANE_DATA], 0);
  assert_false(stwi_model_commit(store, STWI_S, &input));
  stwi_model_full(store, false);
  assert_true(stwi_model_commit(store, STWI_S, &input));
  assert_int_equal(input.u.stored.health, STW_STORE_OK);
  assert_int_equal(input.u.stored.upto[STW_LANE_DATA], 1);
  stwi_model_free(store);
}

static void a_failed_sync_asks_for_everything_once(void **unused) {
  (void)unused;
  struct stwi_model_store *store = stwi_model_new(1, 0);
  open_life(store);
  struct stwi_input input;
  put(store, 1);
  commit(store);
  stwi_model_fail_sync(store);
  assert_true(stwi_model_commit(store, 0, &input));
  assert_true(input.u.stored.wants_all);
  put(store, 1);
  commit(store);
  assert_false(stwi_model_commit(store, STWI_S, &input));
  assert_int_equal(stwi_model_standing(store, STW_LANE_DATA), 1);
  assert_string_equal(stwi_model_broken(store), "");
  stwi_model_free(store);
}

/* 2 is on its way when the sync fails; then 1 is settled, and 3 is told with everything. */
static void a_new_file_holds_what_was_told_for_it_and_nothing_else(void **unused) {
  (void)unused;
  static const uint64_t left[] = {3};
  struct stwi_model_store *store = stwi_model_new(1, 0);
  struct stwi_input input;
  open_life(store);
  put(store, 1);
  commit(store);
  put(store, 2);
  stwi_model_flush(store, 0, STWI_S);
  stwi_model_fail_sync(store);
  assert_true(stwi_model_commit(store, 0, &input));
  assert_int_equal(input.u.stored.upto[STW_LANE_DATA], 1);
  put(store, 3);
  commit(store);
  stwi_model_crash(store, true);
  const struct stwi_restored restored = open_life(store);
  numbers_are(restored.chunks, left, 1);
  assert_int_equal(restored.last_number[STW_LANE_DATA], 3);
  drop(&restored);
  assert_string_equal(stwi_model_broken(store), "");
  stwi_model_free(store);
}

static void a_change_is_safe_when_no_power_loss_takes_it(void **unused) {
  (void)unused;
  struct stwi_model_store *store = stwi_model_new(1, 2);
  open_life(store);
  const uint64_t before = serial;
  for (uint64_t number = 1; number <= 5; number++) {
    put(store, number);
    commit(store);
  }
  assert_int_equal(stwi_model_safe(store), before + 3);
  stwi_model_free(store);
}

static void broken_rules_of_the_caller_are_found(void **unused) {
  (void)unused;
  for (unsigned rule = 0; rule < 4; rule++) {
    struct stwi_model_store *store = stwi_model_new(1, 0);
    open_life(store);
    put(store, 1);
    change(store, STWI_STORE_SETTLED, 1);
    commit(store);
    assert_string_equal(stwi_model_broken(store), "");
    serial += rule == 0;
    if (rule == 0)
      put(store, 2);
    else if (rule == 1)
      put(store, 1);
    else
      change(store, rule == 2 ? STWI_STORE_REMOVE : STWI_STORE_FORGET, 1);
    commit(store);
    assert_string_not_equal(stwi_model_broken(store), "");
    stwi_model_free(store);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_batch_commits_after_its_delay),
      cmocka_unit_test(a_crash_loses_what_was_not_committed_and_nothing_else),
      cmocka_unit_test(a_power_loss_takes_last_commits_of_level_process_in_order),
      cmocka_unit_test(settling_parking_and_forgetting_are_kept),
      cmocka_unit_test(at_most_once_comes_back_as_unknown_after_a_crash),
      cmocka_unit_test(the_session_and_its_cursors_are_kept),
      cmocka_unit_test(a_full_disk_says_so_and_commits_when_it_has_room),
      cmocka_unit_test(a_failed_sync_asks_for_everything_once),
      cmocka_unit_test(a_new_file_holds_what_was_told_for_it_and_nothing_else),
      cmocka_unit_test(a_change_is_safe_when_no_power_loss_takes_it),
      cmocka_unit_test(broken_rules_of_the_caller_are_found),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
