/* What a session writes, and what it holds back. */
#include "session_test.h"

static void the_servers_window_is_kept(void **unused) {
  (void)unused;
  server->session_options.window_messages = 5;
  server->session_options.ack_messages = 100;
  server->session_options.ack_ms = 500;
  const uint32_t conn = open_session();
  for (unsigned i = 0; i < 20; i++)
    world_say(world, conn);
  world_run(world, 100 * STWI_MS);
  assert_int_equal(server->messages, 5);
  assert_true(world_run_settled(world, conn, 10 * STWI_S));
  expect_once(conn);
}

static void long_messages_pass_in_parts_both_ways(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  world_send(world, conn, &(struct world_send){.size = 500000});
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  world_run(world, STWI_S);
  expect_once(conn);
  assert_int_equal(world->conns[conn].inbound, 2);
  assert_int_equal(world_metric(world, conn, STW_METRIC_RECEIVED_BYTES), 500000 + 7);
}

static void an_urgent_message_passes_a_long_one(void **unused) {
  (void)unused;
  server->write_delay_ns = 10 * STWI_MS;
  const uint32_t conn = open_session();
  world_run(world, STWI_S);
  world_send(world, conn, &(struct world_send){.size = 1000000});
  world_send(world, conn, &(struct world_send){.lane = STW_LANE_CONTROL, .marker = "urgent"});
  world_run(world, 20 * STWI_MS);
  assert_int_equal(server->messages, 1);
  assert_int_equal(world->conns[conn].inbound_ids[STW_LANE_CONTROL].number, 1);
  assert_string_equal(world->conns[conn].last_inbound, "c:0:1:urgent:");
  assert_true(world_run_settled(world, conn, STWI_S));
  expect_once(conn);
}

static void acks_due_go_before_a_close(void **unused) {
  (void)unused;
  server->has_echo = false;
  const uint32_t conn = open_session();
  world_run(world, STWI_S);
  world_session_say(world, server, STW_LANE_DATA, "last");
  world_run(world, 2 * STWI_MS);
  world_close(world, conn, STWI_S);
  assert_true(world_run_to(world, conn, STW_STATE_CLOSED, 2 * STWI_S));
  assert_int_equal(world_session_role(server)->lanes[0].client_accepted, 1);
}

static void nothing_goes_out_under_a_token_that_is_not_committed(void **unused) {
  (void)unused;
  server->has_echo = false;
  struct stwi_restored restored = {.has_store = true, .session.cid = {1, 2, 3}};
  const uint32_t conn = world_open_restored(world, session_config(), &restored);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  world_session_say(world, server, STW_LANE_DATA, "news");
  world_say(world, conn);
  world_run(world, STWI_S);
  assert_int_equal(server->messages, 0);
  assert_int_equal(world_session_role(server)->lanes[0].client_accepted, 0);
  struct stwi_input stored = {.kind = STWI_IN_STORED, .conn = conn};
  stored.u.stored.upto[STW_LANE_DATA] = 1;
  world_input(world, &stored);
  world_run(world, STWI_S);
  assert_int_equal(server->messages, 0);
  stored.u.stored.serial = world_inside(world, conn)->session_serial;
  world_input(world, &stored);
  assert_true(world_run_settled(world, conn, STWI_S));
  world_run(world, STWI_S);
  assert_int_equal(world_session_role(server)->lanes[0].client_accepted, 1);
}

/* What went with HELLO waits for a proof that cannot be asked for before the token is committed. */
static void the_engine_rests_while_a_token_is_being_committed(void **unused) {
  (void)unused;
  server->session_options.takes_optimistic = true;
  server->session_options.ack_ms = 10000;
  server->latency_ns = 50 * STWI_MS;
  server->write_delay_ns = 150 * STWI_MS; /* WELCOME comes first */
  struct stwi_restored restored = {.has_store = true, .session.cid = {1, 2, 3}};
  const uint32_t conn = world_open_restored(world, session_config(), &restored);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  struct stwi_input stored = {.kind = STWI_IN_STORED, .conn = conn};
  stored.u.stored.serial = world_inside(world, conn)->session_serial;
  stored.u.stored.upto[STW_LANE_DATA] = 1;
  world_input(world, &stored);
  world_say(world, conn);
  world_input(world, &stored);
  world_run(world, 100 * STWI_MS);
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  world_say(world, conn);
  stored.u.stored.upto[STW_LANE_DATA] = 2;
  world_input(world, &stored);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 10 * STWI_S));
  const uint64_t steps = world->steps;
  world_run(world, STWI_S);
  assert_in_range(world->steps - steps, 0, 100);
  stored.u.stored.serial = world_inside(world, conn)->session_serial;
  world_input(world, &stored);
  world_run(world, STWI_S);
  expect_all_received(conn);
}

static void where_it_is_allowed_messages_go_with_hello(void **unused) {
  (void)unused;
  server->session_options.takes_optimistic = true;
  server->latency_ns = 100 * STWI_MS;
  const uint32_t conn = open_session();
  talk(conn, STWI_S);
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  for (unsigned i = 0; i < 10; i++)
    world_say(world, conn);
  const uint64_t hellos = server->hellos, messages = server->messages;
  while (server->hellos == hellos)
    world_run(world, STWI_MS);
  world_run(world, 5 * STWI_MS); /* no round trip */
  assert_true(server->messages >= messages + 10);
  assert_true(world_run_settled(world, conn, 5 * STWI_S));
  expect_once(conn);
}

static void what_went_with_a_stale_hello_goes_again_under_the_new_one(void **unused) {
  (void)unused;
  server->session_options.takes_optimistic = true;
  server->latency_ns = 50 * STWI_MS;
  const uint32_t conn = open_session();
  talk(conn, STWI_S);
  assert_true(world_run_settled(world, conn, STWI_S));
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_session_forget(server);
  world_restart(world, server);
  server->write_delay_ns = 60 * STWI_MS; /* the long one is half written when REFUSE comes */
  world_send(world, conn, &(struct world_send){.size = 900000});
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, 20 * STWI_S));
  assert_int_equal(world_count(world, conn, STW_EVENT_SESSION_STALE), 1);
  expect_once(conn);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      SESSION_TEST(the_servers_window_is_kept),
      SESSION_TEST(long_messages_pass_in_parts_both_ways),
      SESSION_TEST(an_urgent_message_passes_a_long_one),
      SESSION_TEST(acks_due_go_before_a_close),
      SESSION_TEST(nothing_goes_out_under_a_token_that_is_not_committed),
      SESSION_TEST(the_engine_rests_while_a_token_is_being_committed),
      SESSION_TEST(where_it_is_allowed_messages_go_with_hello),
      SESSION_TEST(what_went_with_a_stale_hello_goes_again_under_the_new_one),
  };
  return cmocka_run_group_tests_name("conn_session_out", tests, NULL, NULL);
}
