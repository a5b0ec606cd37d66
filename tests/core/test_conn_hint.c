/* What the host and the machine say of the network: it hurries who lacked one, and never makes a
 * loop. */
#include "world_test.h"

static void path(uint32_t conn, uint32_t link, stw_network what) {
  const struct stwi_input input = {
      .kind = STWI_IN_PATH, .conn = conn, .link = link, .u.network.what = what};
  world_input(world, &input);
}

static void noticed(void) {
  const struct stwi_input input = {.kind = STWI_IN_NOTICED};
  world_input(world, &input);
}

static void a_path_that_leads_elsewhere_is_left_within_a_handshake(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 5 * STWI_S);
  world_swallow(world, server, true, true);
  path(conn, 1, STW_NETWORK_CHANGED);
  expect_cause(conn, STW_STATE_SUSPECT, STW_CAUSE_IP_CHANGED);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 200 * STWI_MS));
  assert_int_equal(world_live(world, conn)->gen, 2);
}

static void a_path_that_leads_nowhere_is_waited_for(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 5 * STWI_S);
  path(conn, 1, STW_NETWORK_DOWN);
  expect_cause(conn, STW_STATE_OFFLINE, STW_CAUSE_NET_DOWN);
  assert_int_equal(attempts_in(20 * STWI_S), 0);
  noticed();
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 200 * STWI_MS));
}

static void a_kept_link_that_lived_through_it_goes_on(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 5 * STWI_S);
  world_network(world, STW_NETWORK_DOWN);
  world_run(world, 20 * STWI_S);
  world_network(world, STW_NETWORK_UP);
  expect_cause(conn, STW_STATE_SUSPECT, STW_CAUSE_NET_UP);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 100 * STWI_MS));
  expect_cause(conn, STW_STATE_ONLINE, STW_CAUSE_RECOVERED);
  world_run(world, 10 * STWI_S);
  assert_int_equal(world_live(world, conn)->gen, 1);
  assert_int_equal(world_metric(world, conn, STW_METRIC_SWITCHES), 0);
}

static void a_kept_link_that_died_meanwhile_is_left_within_a_handshake(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 5 * STWI_S);
  world_network(world, STW_NETWORK_DOWN);
  world_swallow(world, server, true, true);
  world_run(world, 20 * STWI_S);
  world_network(world, STW_NETWORK_UP);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 100 * STWI_MS));
  assert_int_equal(world_live(world, conn)->gen, 2);
}

/* No second link beside it: it is asked, and given up if it does not answer. */
static void a_kept_link_without_hedges_is_asked_first(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->has_hedge = false;
  const uint32_t conn = world_open(world, config);
  world_run(world, 5 * STWI_S);
  for (unsigned i = 0; i < 2; i++) {
    world_network(world, STW_NETWORK_DOWN);
    world_run(world, 20 * STWI_S);
    if (i == 1)
      world_swallow(world, server, true, true);
    world_network(world, STW_NETWORK_UP);
    world_run(world, 5 * STWI_S);
    expect_state(conn, STW_STATE_ONLINE);
    assert_int_equal(world_live(world, conn)->gen, i + 1);
  }
}

static void a_path_that_leads_where_it_led_is_asked_once(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 5 * STWI_S);
  const uint64_t pings = server->pings;
  for (unsigned i = 0; i < 100; i++) {
    path(conn, 1, STW_NETWORK_UP);
    world_run(world, 10 * STWI_MS);
  }
  assert_int_equal(server->pings - pings, 1);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_metric(world, conn, STW_METRIC_SUSPECTS), 0);
}

static void the_path_of_a_fenced_link_is_nobodys(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 5 * STWI_S);
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  world_run(world, STWI_S);
  assert_int_equal(world_live(world, conn)->gen, 2);
  path(conn, 1, STW_NETWORK_CHANGED);
  path(conn, 1, STW_NETWORK_DOWN);
  path(conn, 99, STW_NETWORK_DOWN);
  expect_state(conn, STW_STATE_ONLINE);
}

static void an_attempt_on_the_old_path_begins_again(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_BLACKHOLE;
  const uint32_t conn = world_open_default(world, "a");
  world_run(world, 100 * STWI_MS);
  server->door = WORLD_DOOR_OPEN;
  path(conn, 1, STW_NETWORK_CHANGED);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 100 * STWI_MS));
}

/* ---- who is called when a network comes ---- */

static void wait_for(uint32_t *conn, stw_cause cause) {
  server->door = WORLD_DOOR_CAUSE;
  server->door_cause = cause;
  *conn = world_open_default(world, "a");
  for (unsigned i = 0; i < 4; i++) /* far enough into the windows */
    assert_true(world_run_to(world, *conn, STW_STATE_WAITING, 20 * STWI_S));
  world_run(world, 10 * STWI_S);
  if (world_state(world, *conn) != STW_STATE_WAITING)
    assert_true(world_run_to(world, *conn, STW_STATE_WAITING, 20 * STWI_S));
  server->door = WORLD_DOOR_OPEN;
}

static void who_had_no_route_tries_at_once(void **unused) {
  (void)unused;
  uint32_t conn;
  wait_for(&conn, STW_CAUSE_NET_UNREACHABLE);
  noticed();
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 100 * STWI_MS));
}

static void who_waits_for_a_server_goes_on_waiting(void **unused) {
  (void)unused;
  uint32_t conn;
  wait_for(&conn, STW_CAUSE_TCP_REFUSED);
  const uint64_t dials = server->dials;
  for (unsigned i = 0; i < 50; i++)
    noticed();
  expect_state(conn, STW_STATE_WAITING);
  assert_int_equal(server->dials, dials);
}

/* ---- floods ---- */

static void flood(uint32_t conn, bool is_up, uint64_t for_ns) {
  static const stw_network turns[] = {STW_NETWORK_CHANGED, STW_NETWORK_DOWN, STW_NETWORK_UP};
  const stwi_time end = world->now + for_ns;
  for (unsigned i = 0; world->now < end; i++) {
    world_network(world, is_up ? turns[i % 3] : STW_NETWORK_CHANGED);
    path(conn, 1, turns[i % 3]);
    noticed();
    world_run(world, STWI_MS);
  }
}

static void contradictory_hints_without_end_are_bounded_and_pass(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  const uint64_t dials = server->dials;
  flood(conn, true, 10 * STWI_S);
  assert_in_range(server->dials - dials, 0, 50);
  world_network(world, STW_NETWORK_UP);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S) ||
              world_state(world, conn) == STW_STATE_ONLINE);
}

static void a_flood_while_connecting_is_bounded(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_BLACKHOLE;
  const uint32_t conn = world_open_default(world, "a");
  flood(conn, false, 10 * STWI_S);
  assert_in_range(server->dials, 2, 50);
  server->door = WORLD_DOOR_OPEN;
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 10 * STWI_S));
}

/* The last word counts, although it came too soon. */
static void the_last_of_many_hints_acts(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 5 * STWI_S);
  for (unsigned i = 0; i < 20; i++)
    world_network(world, i % 2 == 0 ? STW_NETWORK_UP : STW_NETWORK_DOWN);
  world_run(world, STWI_S);
  expect_state(conn, STW_STATE_OFFLINE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      WORLD_TEST(a_path_that_leads_elsewhere_is_left_within_a_handshake),
      WORLD_TEST(a_path_that_leads_nowhere_is_waited_for),
      WORLD_TEST(a_kept_link_that_lived_through_it_goes_on),
      WORLD_TEST(a_kept_link_that_died_meanwhile_is_left_within_a_handshake),
      WORLD_TEST(a_kept_link_without_hedges_is_asked_first),
      WORLD_TEST(a_path_that_leads_where_it_led_is_asked_once),
      WORLD_TEST(the_path_of_a_fenced_link_is_nobodys),
      WORLD_TEST(an_attempt_on_the_old_path_begins_again),
      WORLD_TEST(who_had_no_route_tries_at_once),
      WORLD_TEST(who_waits_for_a_server_goes_on_waiting),
      WORLD_TEST(contradictory_hints_without_end_are_bounded_and_pass),
      WORLD_TEST(a_flood_while_connecting_is_bounded),
      WORLD_TEST(the_last_of_many_hints_acts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
