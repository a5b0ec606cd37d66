#include "seed.h"
#include "session_test.h"

#include <stdlib.h>

static void misfortune(uint32_t conn) {
  switch (stwi_random_below(&world->random, 9)) {
  case 0:
    world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
    world_restart(world, server);
    break;
  case 1:
    world_swallow(world, server, true, true);
    break;
  case 2:
    world_swallow(world, server, true, false);
    break;
  case 3:
    world_swallow(world, server, false, true);
    break;
  case 4:
    world_freeze(world, server, stwi_random_below(&world->random, 3 * STWI_S));
    break;
  case 5:
    world_server_close(world, server, 1012, "");
    break;
  case 6:
    world_session_goaway(world, server, 100, 500);
    break;
  case 7:
    world_network(world, STW_NETWORK_CHANGED);
    break;
  default:
    server->drop_after = server->drop_after == 0 ? 20000 : 0;
    break;
  }
  (void)conn;
}

static void live(uint64_t seed, uint32_t rounds, bool has_crashes) {
  world = world_new(seed);
  world->cuts_reads = true;
  world->has_late_inputs = true;
  world->is_unlogged = true;
  server = world_server(world, "a");
  server->has_sessions = true;
  server->has_echo = false;
  server->jitter_ns = 20 * STWI_MS;
  server->session_options.takes_optimistic = stwi_random_below(&world->random, 2) == 0;
  server->session_options.accepts_later = stwi_random_below(&world->random, 2) == 0;
  server->session_options.window_messages = 1 + stwi_random_below(&world->random, 30);
  server->session_options.window_bytes = 1 + stwi_random_below(&world->random, 200000);
  const uint32_t conn = open_session();
  uint64_t said = 0;
  for (uint32_t i = 0; i < rounds && world->broken[0] == '\0'; i++) {
    const uint32_t burst = (uint32_t)stwi_random_below(&world->random, 8);
    for (uint32_t n = 0; n < burst; n++) {
      const bool is_long = stwi_random_below(&world->random, 50) == 0;
      world_send(world, conn,
                 &(struct world_send){.size = is_long ? 150000 : 0,
                                      .guarantee = (stw_guarantee)stwi_random_below(
                                          &world->random, STW_GUARANTEE_COUNT)});
      said = world_session_say(world, server, STW_LANE_DATA, "news");
    }
    if (stwi_random_below(&world->random, 6) == 0)
      misfortune(conn);
    if (has_crashes && stwi_random_below(&world->random, 40) == 0)
      world_crash(world, conn, session_config());
    world_processed(world, conn, STW_LANE_DATA, world->conns[conn].inbound_ids[0].number);
    if (stwi_random_below(&world->random, 3) == 0)
      world_session_accept(world, server);
    world_run(world, stwi_random_below(&world->random, 300 * STWI_MS));
  }
  server->drop_after = 0;
  for (uint32_t i = 0; i < 10000 && !world_run_settled(world, conn, 30 * STWI_MS); i++)
    world_session_accept(world, server);
  world_run(world, 120 * STWI_S);
  assert_string_equal(world->broken, "");
  assert_true(stwi_conn_is_delivered(world_inside(world, conn)));
  expect_once(conn);
  assert_int_equal(world->conns[conn].inbound_ids[0].number, said);
  if (!has_crashes)
    assert_int_equal(world->conns[conn].inbound, said);
  const char *broken = world_check(world);
  assert_null(broken);
  world_free(world);
}

static uint32_t lives_at_most(uint32_t wanted) {
  const char *given = getenv("STW_LIVES");
  const unsigned long bound = given == NULL ? wanted : strtoul(given, NULL, 10);
  return bound < wanted ? (uint32_t)bound : wanted;
}

static void exactly_once_in_order_both_ways_whatever_happens_to_the_links(void **unused) {
  (void)unused;
  const uint64_t seed = test_seed("conn_session");
  const uint32_t lives = lives_at_most(60);
  for (uint32_t i = 0; i < lives; i++)
    live(seed + i, 150, false);
}

static void exactly_once_in_order_both_ways_even_where_the_process_dies(void **unused) {
  (void)unused;
  const uint64_t seed = test_seed("conn_session");
  const uint32_t lives = lives_at_most(60);
  for (uint32_t i = 0; i < lives; i++)
    live(seed + i, 150, true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(exactly_once_in_order_both_ways_whatever_happens_to_the_links),
      cmocka_unit_test(exactly_once_in_order_both_ways_even_where_the_process_dies),
  };
  return cmocka_run_group_tests_name("conn_session_random", tests, NULL, NULL);
}
