/* Where no PING is to be answered: what the peer's kernel acknowledges is all there is to go by. */
#include "world_test.h"

/* A conn that has learnt that its server answers no PING. */
static uint32_t open_mute(bool has_hedge) {
  struct stwi_conn_config *config = world_config("a");
  config->has_hedge = has_hedge;
  server->pong = WORLD_PONG_NEVER;
  const uint32_t conn = world_open(world, config);
  talk(conn, 20 * STWI_S);
  assert_int_equal(world_count(world, conn, STW_EVENT_NO_PONG), 1);
  expect_state(conn, STW_STATE_ONLINE);
  world_run(world, 5 * STWI_S);
  return conn;
}

static void looked(uint32_t conn, bool is_unacked, uint64_t silence_ns) {
  const struct stwi_input input = {.kind = STWI_IN_LOOKED,
                                   .conn = conn,
                                   .link = world_live(world, conn)->gen,
                                   .u.looked = {is_unacked, silence_ns}};
  world_input(world, &input);
}

static void what_is_never_acknowledged_moves_the_conn(void **unused) {
  (void)unused;
  const uint32_t conn = open_mute(true);
  const uint32_t before = world_live(world, conn)->gen;
  world_swallow(world, server, true, true);
  world_say(world, conn);
  assert_true(world_run_to(world, conn, STW_STATE_SUSPECT, 2 * STWI_S));
  expect_cause(conn, STW_STATE_SUSPECT, STW_CAUSE_HEARTBEAT_TIMEOUT);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  assert_true(world_live(world, conn)->gen > before);
}

static void without_hedges_the_link_is_given_up_later(void **unused) {
  (void)unused;
  const uint32_t conn = open_mute(false);
  const uint32_t before = world_live(world, conn)->gen;
  world_swallow(world, server, true, true);
  world_say(world, conn);
  assert_true(world_run_to(world, conn, STW_STATE_CONNECTING, 5 * STWI_S));
  expect_cause(conn, STW_STATE_CONNECTING, STW_CAUSE_HEARTBEAT_TIMEOUT);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  assert_true(world_live(world, conn)->gen > before);
}

static void what_is_acknowledged_late_is_a_false_alarm(void **unused) {
  (void)unused;
  const uint32_t conn = open_mute(false);
  const uint64_t alarms = world_metric(world, conn, STW_METRIC_FALSE_ALARMS);
  world_swallow(world, server, true, true);
  world_say(world, conn);
  assert_true(world_run_to(world, conn, STW_STATE_SUSPECT, 2 * STWI_S));
  looked(conn, false, 0);
  expect_cause(conn, STW_STATE_ONLINE, STW_CAUSE_RECOVERED);
  assert_int_equal(world_metric(world, conn, STW_METRIC_FALSE_ALARMS), alarms + 1);
}

/* Progress, however slow: something was acknowledged just now. */
static void a_backlog_that_moves_is_no_silence(void **unused) {
  (void)unused;
  const uint32_t conn = open_mute(false);
  world_swallow(world, server, true, true);
  world_say(world, conn);
  for (unsigned i = 0; i < 100; i++) {
    world_run(world, 10 * STWI_MS);
    looked(conn, true, 100 * STWI_MS);
  }
  expect_state(conn, STW_STATE_ONLINE);
}

/* Its kernel goes on acknowledging: from here nothing is wrong with the path. */
static void a_stopped_process_is_not_found_so(void **unused) {
  (void)unused;
  const uint32_t conn = open_mute(true);
  const uint64_t suspects = world_metric(world, conn, STW_METRIC_SUSPECTS);
  world_freeze(world, server, 60 * STWI_S);
  for (unsigned i = 0; i < 10; i++) {
    world_say(world, conn);
    world_run(world, 3 * STWI_S);
  }
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_metric(world, conn, STW_METRIC_SUSPECTS), suspects);
}

static void who_answers_pings_is_asked_and_not_the_kernel(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  talk(conn, 10 * STWI_S);
  world_swallow(world, server, true, true);
  talk(conn, 10 * STWI_S);
  assert_int_equal(world->looks, 0);
  expect_state(conn, STW_STATE_ONLINE);
}

/* What it hears it acknowledges in frames of the session, and no barrier follows those. */
static void a_feed_that_falls_silent_with_an_ack_under_way_is_asked_at_once(void **unused) {
  (void)unused;
  server->has_sessions = true;
  struct stwi_conn_config *config = world_config("a");
  config->profile = STWI_PROFILE_SESSION;
  const uint32_t conn = world_open(world, config);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  for (unsigned i = 0; i < 100; i++) {
    world_session_say(world, server, STW_LANE_DATA, "tick");
    world_run(world, 50 * STWI_MS);
  }
  world_session_say(world, server, STW_LANE_DATA, "last");
  world_run(world, 2 * STWI_MS);
  world_swallow(world, server, true, true);
  assert_in_range(world->looks, 0, 5); /* one in T_soft at most */
  assert_true(world_run_to(world, conn, STW_STATE_SUSPECT, 1500 * STWI_MS));
  expect_cause(conn, STW_STATE_SUSPECT, STW_CAUSE_HEARTBEAT_TIMEOUT);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  assert_true(world_live(world, conn)->gen > 1);
}

static void pongs_that_are_acknowledged_cost_one_look(void **unused) {
  (void)unused;
  static const uint8_t ping[] = {0x89, 0};
  const uint32_t conn = open_online();
  world_run(world, 4 * STWI_S);
  for (unsigned i = 0; i < 5; i++) {
    world_server_bytes(world, server, ping, sizeof ping);
    world_run(world, 4 * STWI_S);
  }
  assert_int_equal(world->looks, 5);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_metric(world, conn, STW_METRIC_SUSPECTS), 0);
}

/* Its kernel says no more than a late PONG would: the PONG clears it. */
static void what_the_kernel_suspects_the_peer_clears(void **unused) {
  (void)unused;
  static const uint8_t ping[] = {0x89, 0};
  struct stwi_conn_config *config = world_config("a");
  config->has_hedge = false;
  const uint32_t conn = world_open(world, config);
  world_run(world, 4 * STWI_S);
  world_server_bytes(world, server, ping, sizeof ping);
  world_run(world, 1100 * STWI_MS);
  looked(conn, true, 0);
  world_run(world, 200 * STWI_MS);
  looked(conn, true, 5 * STWI_S);
  expect_state(conn, STW_STATE_SUSPECT);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 100 * STWI_MS));
  expect_cause(conn, STW_STATE_ONLINE, STW_CAUSE_RECOVERED);
  world_run(world, 60 * STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_live(world, conn)->gen, 1);
}

static void who_wants_no_heartbeat_gets_none_of_the_kernel_either(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->has_heartbeat = false;
  const uint32_t conn = world_open(world, config);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  world_swallow(world, server, true, true);
  talk(conn, 30 * STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world->looks, 0);
}

/* Once per write that is acknowledged; four times a second while one is not. */
static void the_kernel_is_not_asked_without_end(void **unused) {
  (void)unused;
  const uint32_t conn = open_mute(false);
  const uint64_t before = world->looks;
  world_run(world, 60 * STWI_S);
  assert_int_equal(world->looks, before);
  world_say(world, conn);
  world_run(world, 60 * STWI_S);
  assert_int_equal(world->looks, before + 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      WORLD_TEST(what_is_never_acknowledged_moves_the_conn),
      WORLD_TEST(without_hedges_the_link_is_given_up_later),
      WORLD_TEST(what_is_acknowledged_late_is_a_false_alarm),
      WORLD_TEST(a_backlog_that_moves_is_no_silence),
      WORLD_TEST(a_stopped_process_is_not_found_so),
      WORLD_TEST(who_answers_pings_is_asked_and_not_the_kernel),
      WORLD_TEST(a_feed_that_falls_silent_with_an_ack_under_way_is_asked_at_once),
      WORLD_TEST(pongs_that_are_acknowledged_cost_one_look),
      WORLD_TEST(what_the_kernel_suspects_the_peer_clears),
      WORLD_TEST(who_wants_no_heartbeat_gets_none_of_the_kernel_either),
      WORLD_TEST(the_kernel_is_not_asked_without_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
