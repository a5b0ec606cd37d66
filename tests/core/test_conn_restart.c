/* Planned restarts: what the server says before it goes, and that nothing is lost over it. */
#include "session_test.h"

static uint64_t down_ns(uint32_t conn) {
  return world_metric(world, conn, STW_METRIC_OPEN_NS) -
         world_metric(world, conn, STW_METRIC_ONLINE_NS);
}

/* The new link takes 4 x 300 ms; until then the old one carries everything, both ways. */
static void the_old_link_works_until_the_candidate_is_ready(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  talk(conn, 3 * STWI_S);
  server->latency_ns = 300 * STWI_MS;
  talk(conn, 700 * STWI_MS); /* what was under way */
  const uint64_t down = down_ns(conn), messages = server->messages;
  const uint64_t inbound = world->conns[conn].inbound;
  world_session_goaway(world, server, 0, 0);
  talk(conn, STWI_S);
  expect_state(conn, STW_STATE_MIGRATING);
  assert_int_equal(world_live(world, conn)->gen, 1);
  assert_in_range(server->messages - messages, 18, 21);
  world_session_say(world, server, STW_LANE_DATA, "still here");
  world_run(world, 350 * STWI_MS);
  assert_true(world->conns[conn].inbound > inbound);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 3 * STWI_S));
  assert_int_equal(world_live(world, conn)->gen, 2);
  assert_true(down_ns(conn) - down <= 2 * 300 * STWI_MS + STWI_MS); /* HELLO and its answer */
  talk(conn, STWI_S);
  assert_true(world_run_settled(world, conn, 3 * STWI_S));
  expect_once(conn);
  assert_int_equal(world_metric(world, conn, STW_METRIC_LINKS_LOST), 0);
}

/* The server goes before the candidate is ready: the hint is for those who are left without. */
static void a_server_that_goes_too_soon_costs_no_message(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  talk(conn, 3 * STWI_S);
  world_session_goaway(world, server, 2000, 500);
  talk(conn, 500 * STWI_MS);
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  talk(conn, 100 * STWI_MS);
  world_restart(world, server);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 3 * STWI_S));
  talk(conn, STWI_S);
  assert_true(world_run_settled(world, conn, 3 * STWI_S));
  expect_all_received(conn);
}

/* The close handshake leaves no link to keep: the conn is back within the hint, and says again what
 * was not answered. */
static void expect_plain_restart(uint16_t code, const char *reason, uint64_t least_ms,
                                 uint64_t most_ms) {
  const uint32_t conn = open_online();
  talk(conn, 3 * STWI_S);
  for (unsigned i = 0; i < 20; i++) {
    for (unsigned n = 0; n < 10; n++)
      world_say(world, conn); /* some of it is under way */
    const stwi_time at = world->now;
    world_server_close(world, server, code, reason);
    assert_true(world_run_to(world, conn, STW_STATE_WAITING, STWI_S) ||
                world_state(world, conn) == STW_STATE_CONNECTING);
    assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 10 * STWI_S));
    assert_in_range((world->now - at) / STWI_MS, least_ms, most_ms);
    talk(conn, 3 * STWI_S);
  }
  assert_true(world_run_settled(world, conn, STWI_S));
  expect_all_received(conn);
}

static void a_restart_of_a_plain_server_costs_no_message(void **unused) {
  (void)unused;
  expect_plain_restart(1012, "", 0, 1020);
}

static void a_plain_server_that_goes_away_costs_no_message(void **unused) {
  (void)unused;
  expect_plain_restart(1001, "", 0, 1020);
}

static void a_plain_server_that_names_the_time_costs_no_message(void **unused) {
  (void)unused;
  expect_plain_restart(1012, "r=1500;w=400", 1500, 1920);
}

/* The one that goes says so; the other one is there already. */
static void with_two_servers_the_other_one_takes_over(void **unused) {
  (void)unused;
  struct world_server *other = world_server(world, "b");
  const uint32_t conn = world_open_default(world, "a b");
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  talk(conn, 3 * STWI_S);
  world_say(world, conn);
  world_server_close(world, server, 1001, "");
  server->door = WORLD_DOOR_REFUSED;
  assert_true(world_run_settled(world, conn, 2 * STWI_S));
  expect_all_received(conn);
  assert_int_equal(other->accepts, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      SESSION_TEST(the_old_link_works_until_the_candidate_is_ready),
      SESSION_TEST(a_server_that_goes_too_soon_costs_no_message),
      WORLD_TEST(a_restart_of_a_plain_server_costs_no_message),
      WORLD_TEST(a_plain_server_that_goes_away_costs_no_message),
      WORLD_TEST(a_plain_server_that_names_the_time_costs_no_message),
      WORLD_TEST(with_two_servers_the_other_one_takes_over),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
