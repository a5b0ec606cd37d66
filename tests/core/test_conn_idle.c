/* Links that something on the way forgets when they are silent, and links on which nobody talks. */
#include "world_test.h"

static uint32_t open_with(uint64_t interval_ns, uint64_t idle_ns, bool is_learnt) {
  struct stwi_conn_config *config = world_config("a");
  config->heartbeat_interval_ns = interval_ns;
  config->heartbeat_idle_ns = idle_ns;
  config->is_idle_learnt = is_learnt;
  server->has_echo = false;
  const uint32_t conn = world_open(world, config);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  return conn;
}

static uint64_t pings_in(uint64_t for_ns) {
  const uint64_t before = server->pings;
  world_run(world, for_ns);
  return server->pings - before;
}

static uint64_t links_in(uint32_t conn, uint64_t for_ns) {
  const uint64_t before = world_metric(world, conn, STW_METRIC_LINKS);
  world_run(world, for_ns);
  return world_metric(world, conn, STW_METRIC_LINKS) - before;
}

static uint64_t interval_of(uint32_t conn) {
  return world_metric(world, conn, STW_METRIC_HEARTBEAT_INTERVAL_NS);
}

static void a_link_on_which_nobody_talks_is_asked_less_often(void **unused) {
  (void)unused;
  const uint32_t conn = open_with(15 * STWI_S, 120 * STWI_S, false);
  assert_int_equal(interval_of(conn), 15 * STWI_S);
  world_run(world, 120 * STWI_S);
  assert_int_equal(interval_of(conn), 120 * STWI_S);
  assert_in_range(pings_in(600 * STWI_S), 4, 6);
}

static void a_message_brings_back_the_active_interval(void **unused) {
  (void)unused;
  const uint32_t conn = open_with(15 * STWI_S, 240 * STWI_S, false);
  world_run(world, 300 * STWI_S);
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_int_equal(interval_of(conn), 15 * STWI_S);
  assert_in_range(pings_in(55 * STWI_S), 3, 4);
  world_run(world, 300 * STWI_S);
  world_server_text(world, server, "hello");
  assert_in_range(pings_in(55 * STWI_S), 3, 4);
}

/* What the server does to keep its own links is no talk. */
static void pings_of_the_server_are_no_messages(void **unused) {
  (void)unused;
  static const uint8_t ping[] = {0x89, 0};
  const uint32_t conn = open_with(15 * STWI_S, 120 * STWI_S, false);
  for (unsigned i = 0; i < 10; i++) {
    world_run(world, 10 * STWI_S);
    world_server_bytes(world, server, ping, sizeof ping);
  }
  world_run(world, STWI_S);
  assert_int_equal(interval_of(conn), 120 * STWI_S);
}

static void without_the_option_quiet_links_are_asked_as_often(void **unused) {
  (void)unused;
  open_with(15 * STWI_S, 0, false);
  world_run(world, 300 * STWI_S);
  assert_in_range(pings_in(600 * STWI_S), 40, 48);
}

/* ---- learnt ---- */

static void the_idle_interval_is_searched_up_to_its_ceiling(void **unused) {
  (void)unused;
  const uint32_t conn = open_with(15 * STWI_S, 0, true);
  world_run(world, 2 * 3600 * STWI_S);
  assert_int_equal(interval_of(conn), 270 * STWI_S);
  assert_int_equal(world_metric(world, conn, STW_METRIC_LINKS), 1);
  assert_int_equal(world_metric(world, conn, STW_METRIC_IDLE_BOUND_NS), 0);
}

static void what_forgets_idle_links_is_found_and_stayed_below(void **unused) {
  (void)unused;
  server->forgets_after = 100 * STWI_S;
  const uint32_t conn = open_with(15 * STWI_S, 0, true);
  world_run(world, 2 * 3600 * STWI_S);
  assert_in_range(world_metric(world, conn, STW_METRIC_IDLE_BOUND_NS), 97 * STWI_S, 115 * STWI_S);
  assert_in_range(interval_of(conn), 70 * STWI_S, 92 * STWI_S);
  assert_in_range(world_metric(world, conn, STW_METRIC_LINKS), 3, 5);
  assert_int_equal(links_in(conn, 6 * 3600 * STWI_S), 0);
}

static void behind_the_common_proxy_it_is_55_s(void **unused) {
  (void)unused;
  server->forgets_after = 60 * STWI_S;
  const uint32_t conn = open_with(15 * STWI_S, 0, true);
  world_run(world, 2 * 3600 * STWI_S);
  assert_in_range(interval_of(conn), 48 * STWI_S, 55 * STWI_S);
  assert_int_equal(links_in(conn, 6 * 3600 * STWI_S), 0);
}

/* A translator that forgets after 20 s makes 30 s too long. */
static void the_active_interval_is_shortened_where_links_die_of_less(void **unused) {
  (void)unused;
  server->forgets_after = 20 * STWI_S;
  const uint32_t conn = open_with(30 * STWI_S, 0, false);
  world_run(world, 600 * STWI_S);
  assert_in_range(interval_of(conn), 10 * STWI_S, 23500 * STWI_MS);
  assert_in_range(world_metric(world, conn, STW_METRIC_LINKS), 3, 7);
  assert_true(world_metric(world, conn, STW_METRIC_IDLE_BOUND_NS) >= 17 * STWI_S);
  assert_int_equal(links_in(conn, 3600 * STWI_S), 0);
}

static void it_is_never_made_shorter_than_five_seconds(void **unused) {
  (void)unused;
  server->forgets_after = 3 * STWI_S;
  const uint32_t conn = open_with(30 * STWI_S, 0, false);
  world_run(world, 1200 * STWI_S);
  assert_in_range(interval_of(conn), 5 * STWI_S, 30 * STWI_S);
  const uint32_t other = open_with(4 * STWI_S, 0, false);
  assert_int_equal(interval_of(other), 4 * STWI_S);
}

static void the_death_is_named_where_no_second_link_is_allowed(void **unused) {
  (void)unused;
  server->forgets_after = 20 * STWI_S;
  struct stwi_conn_config *config = world_config("a");
  config->heartbeat_interval_ns = 30 * STWI_S;
  config->has_hedge = false;
  const uint32_t conn = world_open(world, config);
  world_run(world, 85 * STWI_S);
  expect_cause(conn, STW_STATE_CONNECTING, STW_CAUSE_IDLE_CUT_SUSPECTED);
}

static void what_was_learnt_serves_the_next_conn_on_the_same_network(void **unused) {
  (void)unused;
  server->forgets_after = 20 * STWI_S;
  server->network = 7;
  const uint32_t first = open_with(30 * STWI_S, 0, false);
  world_run(world, 600 * STWI_S);
  const uint64_t learnt = interval_of(first);
  assert_int_equal(interval_of(open_with(30 * STWI_S, 0, false)), learnt);
  server->network = 8;
  assert_int_equal(interval_of(open_with(30 * STWI_S, 0, false)), 30 * STWI_S);
}

/* ---- what is no idle death ---- */

static void a_server_that_restarts_now_and_then_shortens_nothing(void **unused) {
  (void)unused;
  const uint32_t conn = open_with(15 * STWI_S, 0, false);
  for (unsigned i = 0; i < 20; i++) {
    world_run(world, (60 + 7 * i) * STWI_S);
    world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
    world_restart(world, server);
  }
  world_run(world, 10 * STWI_S);
  assert_int_equal(interval_of(conn), 15 * STWI_S);
}

static void paths_that_break_shorten_nothing(void **unused) {
  (void)unused;
  const uint32_t conn = open_with(15 * STWI_S, 0, false);
  for (unsigned i = 0; i < 10; i++) {
    world_run(world, 20 * STWI_S);
    world_swallow(world, server, true, true);
    server->door = WORLD_DOOR_BLACKHOLE;
    world_run(world, 30 * STWI_S);
    server->door = WORLD_DOOR_OPEN;
    world_run(world, 60 * STWI_S);
  }
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(interval_of(conn), 15 * STWI_S);
}

static void sleep_and_another_address_shorten_nothing(void **unused) {
  (void)unused;
  const uint32_t conn = open_with(15 * STWI_S, 0, false);
  for (unsigned i = 0; i < 10; i++) {
    world_run(world, 12 * STWI_S);
    world_swallow(world, server, true, true);
    if (i % 2 == 0)
      world_network(world, STW_NETWORK_CHANGED);
    else
      world_do(world, conn, STWI_IN_WAKE);
    world_run(world, 5 * STWI_S);
    expect_state(conn, STW_STATE_ONLINE);
  }
  assert_int_equal(interval_of(conn), 15 * STWI_S);
}

/* ---- phi ---- */

static void suspicion_can_be_watched(void **unused) {
  (void)unused;
  const uint32_t conn = open_with(STWI_S, 0, false);
  world_run(world, 120 * STWI_S);
  assert_int_equal(world_metric(world, conn, STW_METRIC_PHI_MILLI), 0);
  world_swallow(world, server, true, true);
  for (unsigned i = 0; i < 20 && world_metric(world, conn, STW_METRIC_PHI_MILLI) < 1900; i++)
    world_run(world, 100 * STWI_MS);
  expect_state(conn, STW_STATE_ONLINE);
  assert_in_range(world_metric(world, conn, STW_METRIC_PHI_MILLI), 1900, 2800);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      WORLD_TEST(a_link_on_which_nobody_talks_is_asked_less_often),
      WORLD_TEST(a_message_brings_back_the_active_interval),
      WORLD_TEST(pings_of_the_server_are_no_messages),
      WORLD_TEST(without_the_option_quiet_links_are_asked_as_often),
      WORLD_TEST(the_idle_interval_is_searched_up_to_its_ceiling),
      WORLD_TEST(what_forgets_idle_links_is_found_and_stayed_below),
      WORLD_TEST(behind_the_common_proxy_it_is_55_s),
      WORLD_TEST(the_active_interval_is_shortened_where_links_die_of_less),
      WORLD_TEST(it_is_never_made_shorter_than_five_seconds),
      WORLD_TEST(the_death_is_named_where_no_second_link_is_allowed),
      WORLD_TEST(what_was_learnt_serves_the_next_conn_on_the_same_network),
      WORLD_TEST(a_server_that_restarts_now_and_then_shortens_nothing),
      WORLD_TEST(paths_that_break_shorten_nothing),
      WORLD_TEST(sleep_and_another_address_shorten_nothing),
      WORLD_TEST(suspicion_can_be_watched),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
