#include "io/clock.h"
#include "store_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const stw_message_id no_id = {0, 0};

static int setup(void **state) {
  static struct store_world world;
  store_world_init(&world);
  *state = &world;
  return 0;
}

static int teardown(void **state) {
  store_world_fini(*state);
  return 0;
}

static void assert_open(struct store_world *world) {
  const stw_status status = store_world_open(world);
  if (status != STW_OK)
    fail_msg("%d: %s", status, world->detail);
}

static void assert_body(const struct stwi_msg *msg, const char *body) {
  assert_non_null(msg);
  assert_int_equal(msg->size, strlen(body));
  assert_memory_equal(stwi_msg_body(msg), body, msg->size);
}

static void what_was_committed_is_there_again(void **state) {
  struct store_world *world = *state;
  assert_open(world);
  assert_int_equal(world->health, STW_STORE_OK);
  assert_string_equal(world->detail, "");
  const uint64_t stream = world->stream;
  uint8_t cid[16];
  memcpy(cid, world->restored.session.cid, sizeof cid);
  for (uint64_t i = 1; i <= 5; i++)
    store_world_put(world, STW_LANE_DATA, i, "data", STW_AT_LEAST_ONCE);
  store_world_put(world, STW_LANE_CONTROL, 1, "urgent", STW_EXACTLY_ONCE);
  assert_true(store_world_commit(world));
  assert_int_equal(world->news.upto[STW_LANE_DATA], 5);
  assert_int_equal(world->news.upto[STW_LANE_CONTROL], 1);
  store_world_change(world, STWI_STORE_SETTLED, STW_LANE_DATA, 2, no_id);
  store_world_change(world, STWI_STORE_REMOVE, STW_LANE_DATA, 4, no_id);
  store_world_close(world);

  assert_open(world);
  assert_int_equal(world->health, STW_STORE_RECOVERED);
  assert_int_equal(world->stream, stream);
  assert_memory_equal(world->restored.session.cid, cid, sizeof cid);
  assert_true(world->restored.has_store);
  assert_false(world->restored.is_unclean);
  assert_int_equal(store_world_count(world->restored.chunks), 3);
  assert_body(store_world_find(world, STW_LANE_DATA, 3), "data");
  assert_body(store_world_find(world, STW_LANE_DATA, 5), "data");
  assert_body(store_world_find(world, STW_LANE_CONTROL, 1), "urgent");
  assert_int_equal(store_world_find(world, STW_LANE_CONTROL, 1)->guarantee, STW_EXACTLY_ONCE);
  assert_int_equal(world->restored.last_number[STW_LANE_DATA], 5);
  assert_int_equal(world->restored.last_number[STW_LANE_CONTROL], 1);
}

static void numbers_live_on_when_their_messages_are_gone(void **state) {
  struct store_world *world = *state;
  assert_open(world);
  store_world_put(world, STW_LANE_DATA, 7, "x", STW_AT_LEAST_ONCE);
  assert_true(store_world_commit(world));
  store_world_change(world, STWI_STORE_SETTLED, STW_LANE_DATA, 7, no_id);
  store_world_change(world, STWI_STORE_REMOVE, STW_LANE_CONTROL, 3, no_id);
  store_world_close(world);
  assert_open(world);
  assert_null(world->restored.chunks);
  assert_int_equal(world->restored.last_number[STW_LANE_DATA], 7);
  assert_int_equal(world->restored.last_number[STW_LANE_CONTROL], 3);
}

static void a_parked_message_keeps_what_is_known_of_it(void **state) {
  struct store_world *world = *state;
  assert_open(world);
  store_world_put(world, STW_LANE_CONTROL, 9, "poison", STW_AT_LEAST_ONCE);
  const struct stwi_msg dead = {.number = 9,
                                .id = {world->stream | 1, 9},
                                .lane = STW_LANE_CONTROL,
                                .state = STW_MESSAGE_DEAD,
                                .cause = STW_CAUSE_SESSION_ERROR,
                                .attempts = 3};
  store_world_message(world, STWI_STORE_PARK, &dead, "key", "poison", 6);
  assert_true(store_world_commit(world));
  store_world_close(world);
  assert_open(world);
  assert_null(world->restored.chunks);
  assert_int_equal(store_world_count(world->restored.parked), 1);
  const struct stwi_msg *msg = stwi_chunk_first(world->restored.parked);
  assert_body(msg, "poison");
  assert_int_equal(msg->id.number, 9);
  assert_int_equal(msg->lane, STW_LANE_CONTROL);
  assert_int_equal(msg->state, STW_MESSAGE_DEAD);
  assert_int_equal(msg->cause, STW_CAUSE_SESSION_ERROR);
  assert_int_equal(msg->attempts, 3);
  assert_int_equal(msg->key_size, 3);
  store_world_change(world, STWI_STORE_FORGET, STW_LANE_DATA, 0, msg->id);
  store_world_close(world);
  assert_open(world);
  assert_null(world->restored.parked);
}

static void ages_and_ttls_go_on(void **state) {
  struct store_world *world = *state;
  assert_open(world);
  const struct stwi_msg like = {.number = 1,
                                .id = {world->stream, 1},
                                .ttl_ns = 600 * STWI_S,
                                .waited_ns = 100 * STWI_S,
                                .admitted = stwi_clock_monotonic() - 50 * STWI_S};
  store_world_message(world, STWI_STORE_PUT, &like, NULL, "x", 1);
  store_world_close(world);
  assert_open(world);
  const struct stwi_msg *msg = store_world_find(world, STW_LANE_DATA, 1);
  assert_non_null(msg);
  assert_in_range(msg->waited_ns, 149 * STWI_S, 200 * STWI_S);
  assert_in_range(msg->ttl_ns, 500 * STWI_S, 551 * STWI_S);
}

static void the_session_and_its_cursors_are_kept(void **state) {
  struct store_world *world = *state;
  assert_open(world);
  struct stwi_session_saved session = {
      .incarnation = UINT64_MAX, .is_welcomed = true, .processed = {5, 6}, .found_next = {8, 9}};
  memset(session.cid, 7, sizeof session.cid);
  memset(session.token, 8, sizeof session.token);
  const struct stwi_store_change change = {
      .op = STWI_STORE_SESSION, .serial = ++world->serial, .session = &session};
  assert_true(world->store.ops->add(world->store.self, &change));
  store_world_change(world, STWI_STORE_INBOUND, STW_LANE_CONTROL, 60, no_id);
  assert_true(store_world_commit(world));
  store_world_close(world);
  assert_open(world);
  const struct stwi_session_saved *kept = &world->restored.session;
  assert_memory_equal(kept->cid, session.cid, sizeof session.cid);
  assert_memory_equal(kept->token, session.token, sizeof session.token);
  assert_true(kept->is_welcomed);
  assert_true(kept->incarnation == UINT64_MAX);
  assert_int_equal(kept->processed[STW_LANE_DATA], 5);
  assert_int_equal(kept->processed[STW_LANE_CONTROL], 60);
  assert_int_equal(kept->found_next[STW_LANE_DATA], 8);
  assert_int_equal(kept->found_next[STW_LANE_CONTROL], 9);
}

/* Of this thread, which opens the file itself: a loaded machine does not count. */
static stwi_time processor_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (stwi_time)now.tv_sec * STWI_S + (stwi_time)now.tv_nsec;
}

static void a_hundred_thousand_are_there_in_time(void **state) {
  struct store_world *world = *state;
  enum { COUNT = 100000 };
  char body[257];
  memset(body, 'b', 256);
  body[256] = '\0';
  assert_open(world);
  for (uint64_t i = 1; i <= COUNT; i++)
    store_world_put(world, STW_LANE_DATA, i, body, STW_AT_LEAST_ONCE);
  assert_true(store_world_commit(world));
  store_world_close(world);
  const stwi_time begin = processor_time();
  assert_open(world);
  const stwi_time took = processor_time() - begin;
  printf("100,000 pending messages of 256 bytes: open after %.0f ms of this thread\n",
         (double)took / 1e6);
  assert_int_equal(store_world_count(world->restored.chunks), COUNT);
  assert_true(took < 2 * STWI_S);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_was_committed_is_there_again, setup, teardown),
      cmocka_unit_test_setup_teardown(numbers_live_on_when_their_messages_are_gone, setup,
                                      teardown),
      cmocka_unit_test_setup_teardown(a_parked_message_keeps_what_is_known_of_it, setup, teardown),
      cmocka_unit_test_setup_teardown(ages_and_ttls_go_on, setup, teardown),
      cmocka_unit_test_setup_teardown(the_session_and_its_cursors_are_kept, setup, teardown),
      cmocka_unit_test_setup_teardown(a_hundred_thousand_are_there_in_time, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
