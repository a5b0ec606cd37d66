/* Servers as they are: mute ones, strict ones, crowded ones.  No loop, and no later message lost.
 */
#include "world_test.h"

/* ---- one login ---- */

static void one_login_where_the_new_one_wins(void **unused) {
  (void)unused;
  server->login = WORLD_LOGIN_NEW_WINS;
  const uint32_t conn = open_online();
  talk(conn, 5 * STWI_S);
  assert_int_equal(attempts_in(60 * STWI_S), 0);
  for (unsigned i = 0; i < 3; i++) {
    world_swallow(world, server, true, true);
    talk(conn, 15 * STWI_S);
  }
  assert_in_range(attempts_in(60 * STWI_S), 0, 2);
  assert_true(world_run_settled(world, conn, 5 * STWI_S));
  expect_all_received(conn);
  expect_state(conn, STW_STATE_ONLINE);
}

static void one_login_where_the_old_one_wins(void **unused) {
  (void)unused;
  server->login = WORLD_LOGIN_OLD_WINS;
  const uint32_t conn = open_online();
  talk(conn, 5 * STWI_S);
  world_freeze(world, server, 2 * STWI_S); /* a false alarm */
  talk(conn, 10 * STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_live(world, conn)->gen, 1);
  assert_true(world_run_settled(world, conn, STWI_S));
  expect_all_received(conn);
  assert_int_equal(attempts_in(60 * STWI_S), 0);
}

/* ---- many ---- */

struct crowd {
  uint32_t count;
};

static bool is_all_online(struct world *all, void *context) {
  const struct crowd *crowd = context;
  for (uint32_t i = 0; i < crowd->count; i++)
    if (world_state(all, i) != STW_STATE_ONLINE)
      return false;
  return true;
}

static unsigned count_online(const struct crowd *crowd) {
  unsigned online = 0;
  for (uint32_t i = 0; i < crowd->count; i++)
    online += world_state(world, i) == STW_STATE_ONLINE;
  return online;
}

/* 500 conns, their server killed for `down_ns`; `most` of them must be back after `soon_ns`. */
static void expect_crowd_returns(uint64_t down_ns, unsigned most, uint64_t soon_ns,
                                 uint64_t all_ns) {
  struct crowd crowd = {500};
  for (uint32_t i = 0; i < crowd.count; i++)
    world_open_default(world, "a");
  assert_true(world_run_until(world, is_all_online, &crowd, 2 * STWI_S));
  world_run(world, 5 * STWI_S);
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_run(world, down_ns);
  world_restart(world, server);
  const stwi_time back = world->now;
  world_run(world, soon_ns);
  assert_in_range(count_online(&crowd), most, 500);
  assert_true(world_run_until(world, is_all_online, &crowd, 60 * STWI_S));
  print_message("all back %.3f s after their server, %llu dials\n",
                (double)(world->now - back) / 1e9, (unsigned long long)server->dials);
  assert_true(world->now - back < all_ns);
}

/* 250 ms for the first attempt, then windows of 1, 2 and 4 s.  The budget starves nobody. */
static void five_hundred_conns_return_within_the_first_window(void **unused) {
  (void)unused;
  expect_crowd_returns(10 * STWI_MS, 495, 1300 * STWI_MS, 3300 * STWI_MS);
}

static void five_hundred_conns_return_within_the_second_window(void **unused) {
  (void)unused;
  expect_crowd_returns(500 * STWI_MS, 100, 800 * STWI_MS, 3000 * STWI_MS);
}

static void five_hundred_conns_return_within_the_third_window(void **unused) {
  (void)unused;
  expect_crowd_returns(2 * STWI_S, 50, 1300 * STWI_MS, 5300 * STWI_MS);
}

static void one_dead_endpoint_harms_no_other(void **unused) {
  (void)unused;
  world_server(world, "b")->door = WORLD_DOOR_REFUSED;
  for (unsigned i = 0; i < 50; i++)
    world_open_default(world, "b");
  const uint32_t conn = open_online();
  for (unsigned i = 0; i < 5; i++) {
    world_run(world, 10 * STWI_S);
    world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
    world_restart(world, server);
    assert_true(world_run_to(world, conn, STW_STATE_CONNECTING, 10 * STWI_MS));
    assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 300 * STWI_MS));
  }
}

/* ---- PINGs ---- */

static void expect_mute_server_is_learnt(void) {
  const uint32_t conn = open_online();
  talk(conn, 10 * STWI_S);
  assert_int_equal(world_count(world, conn, STW_EVENT_NO_PONG), 1);
  assert_int_equal(server->accepts, 3); /* two links without an answer, then peace */
  assert_int_equal(attempts_in(300 * STWI_S), 0);
  talk(conn, 3 * STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  expect_all_received(conn);
  assert_true(world_run_settled(world, conn, STWI_S));
}

static void a_server_that_echoes_but_answers_no_ping(void **unused) {
  (void)unused;
  server->pong = WORLD_PONG_NEVER;
  expect_mute_server_is_learnt();
}

static void a_server_that_says_nothing_and_answers_no_ping(void **unused) {
  (void)unused;
  server->pong = WORLD_PONG_NEVER;
  server->has_echo = false;
  expect_mute_server_is_learnt();
}

static const stw_event *last_proof(uint32_t conn) {
  const struct world_event *event = world_event(world, conn, STW_EVENT_PROOF, -1);
  assert_non_null(event);
  return &event->event;
}

/* What settled unasked may be lost: the answers of a later link do not speak of it. */
static void an_answer_says_nothing_of_what_settled_without_one(void **unused) {
  (void)unused;
  server->pong = WORLD_PONG_NEVER;
  const uint32_t conn = open_online();
  talk(conn, 10 * STWI_S);
  world_swallow(world, server, true, false);
  const uint64_t lost = world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_int_equal(last_proof(conn)->u.proof.proof, STW_PROOF_WRITTEN);
  assert_int_equal(last_proof(conn)->u.proof.settled, lost);
  server->pong = WORLD_PONG_ANSWER;
  world_run(world, 600 * STWI_S);
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  world_run(world, 3 * STWI_S);
  const uint64_t last = world_say(world, conn);
  assert_true(world_run_settled(world, conn, 10 * STWI_S));
  assert_int_equal(world->conns[conn].messages[lost - 1].received, 0);
  assert_int_equal(last_proof(conn)->u.proof.proof, STW_PROOF_RECEIVED);
  assert_int_equal(last_proof(conn)->u.proof.after, lost);
  assert_int_equal(last_proof(conn)->u.proof.upto, last);
  assert_int_equal(last_proof(conn)->u.proof.settled, last);
}

/* Two links in a row that we leave before their answers can be there. */
static void links_that_had_no_time_to_answer_say_nothing_of_pings(void **unused) {
  (void)unused;
  server->latency_ns = 100 * STWI_MS;
  struct stwi_conn_config *config = world_config("a");
  config->max_silence_ns = 50 * STWI_MS;
  config->stale_action = STWI_STALE_RELINK;
  config->has_hedge = false;
  const uint32_t conn = world_open(world, config);
  world_run(world, 10 * STWI_S);
  assert_true(world_metric(world, conn, STW_METRIC_LINKS) > 2);
  assert_int_equal(world_count(world, conn, STW_EVENT_NO_PONG), 0);
}

static bool has_accepted(struct world *of, void *context) {
  (void)of;
  return server->accepts > *(const uint64_t *)context;
}

/* A server that throws out who comes, for lack of room or in its fall, two links in a row. */
static void links_ended_by_the_peer_at_once_say_nothing_of_pings(void **unused) {
  (void)unused;
  server->latency_ns = 50 * STWI_MS;
  const uint32_t conn = world_open_default(world, "a");
  for (uint64_t i = 0; i < 4; i++) {
    assert_true(world_run_until(world, has_accepted, &i, 100 * STWI_S));
    if (i % 2 == 0)
      world_server_close(world, server, 1013, "");
    else
      world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
    world_restart(world, server);
  }
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, 200 * STWI_S));
  assert_int_equal(world_count(world, conn, STW_EVENT_NO_PONG), 0);
  assert_int_equal(last_proof(conn)->u.proof.proof, STW_PROOF_RECEIVED);
}

/* As above, but left for a second link that is ready sooner. */
static void links_left_for_a_better_one_say_nothing_of_pings(void **unused) {
  (void)unused;
  server->pong = WORLD_PONG_HOLD;
  const uint32_t conn = open_online();
  for (unsigned i = 0; i < 4; i++) {
    world_network(world, STW_NETWORK_CHANGED);
    world_run(world, 300 * STWI_MS);
  }
  assert_true(world_metric(world, conn, STW_METRIC_LINKS) > 2);
  assert_int_equal(world_count(world, conn, STW_EVENT_NO_PONG), 0);
  server->pong = WORLD_PONG_ANSWER;
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, 5 * STWI_S));
  assert_int_equal(last_proof(conn)->u.proof.proof, STW_PROOF_RECEIVED);
}

/* The second link was slow to come, so the wait for the first one's answer may have been a stall;
 * it was too long all the same. */
static void links_left_for_a_slow_one_speak_of_pings(void **unused) {
  (void)unused;
  server->pong = WORLD_PONG_NEVER;
  const uint32_t conn = open_online();
  for (unsigned i = 0; i < 2; i++) {
    server->door = WORLD_DOOR_BLACKHOLE;
    assert_true(world_run_to(world, conn, STW_STATE_SUSPECT, 10 * STWI_S));
    world_run(world, 900 * STWI_MS);
    server->door = WORLD_DOOR_OPEN;
    world_run(world, 500 * STWI_MS);
  }
  world_run(world, 5 * STWI_S);
  assert_int_equal(world_count(world, conn, STW_EVENT_NO_PONG), 1);
  assert_int_equal(attempts_in(60 * STWI_S), 0);
}

static void an_endpoint_that_has_answered_is_never_called_mute(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  talk(conn, 5 * STWI_S);
  for (unsigned i = 0; i < 4; i++) {
    world_swallow(world, server, true, true);
    talk(conn, 12 * STWI_S);
  }
  assert_int_equal(world_count(world, conn, STW_EVENT_NO_PONG), 0);
  assert_true(world_run_settled(world, conn, STWI_S));
  expect_all_received(conn);
}

static void expect_closer_is_learnt(uint16_t code) {
  server->pong = WORLD_PONG_CLOSE;
  server->close_code = code;
  const uint32_t conn = world_open_default(world, "a");
  const uint64_t first = world_say(world, conn);
  assert_in_range(attempts_in(60 * STWI_S), 1, 10);
  talk(conn, 2 * STWI_S);
  assert_true(world_run_settled(world, conn, 60 * STWI_S));
  assert_in_range(attempts_in(60 * STWI_S), 0, 1);
  const uint64_t last = world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  world_run(world, 10 * STWI_MS);
  assert_true(world->conns[conn].messages[first - 1].received > 0);
  assert_int_equal(world->conns[conn].messages[last - 1].received, 1);
  expect_all_received(conn);
}

static void a_server_that_closes_on_ping(void **unused) {
  (void)unused;
  expect_closer_is_learnt(1002);
}

static void a_server_that_resets_on_ping(void **unused) {
  (void)unused;
  expect_closer_is_learnt(0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      WORLD_TEST(one_login_where_the_new_one_wins),
      WORLD_TEST(one_login_where_the_old_one_wins),
      WORLD_TEST(five_hundred_conns_return_within_the_first_window),
      WORLD_TEST(five_hundred_conns_return_within_the_second_window),
      WORLD_TEST(five_hundred_conns_return_within_the_third_window),
      WORLD_TEST(one_dead_endpoint_harms_no_other),
      WORLD_TEST(links_ended_by_the_peer_at_once_say_nothing_of_pings),
      WORLD_TEST(a_server_that_echoes_but_answers_no_ping),
      WORLD_TEST(a_server_that_says_nothing_and_answers_no_ping),
      WORLD_TEST(links_left_for_a_slow_one_speak_of_pings),
      WORLD_TEST(an_endpoint_that_has_answered_is_never_called_mute),
      WORLD_TEST(an_answer_says_nothing_of_what_settled_without_one),
      WORLD_TEST(links_that_had_no_time_to_answer_say_nothing_of_pings),
      WORLD_TEST(links_left_for_a_better_one_say_nothing_of_pings),
      WORLD_TEST(a_server_that_closes_on_ping),
      WORLD_TEST(a_server_that_resets_on_ping),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
