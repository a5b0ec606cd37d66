#include "world_test.h"

#include <string.h>

/* ---- a conn with a session ---- */

static struct stwi_conn_config *session_config(void) {
  struct stwi_conn_config *config = world_config("a");
  config->profile = STWI_PROFILE_SESSION;
  return config;
}

static int set_up(void **unused) {
  const int answer = world_set_up(unused);
  server->has_sessions = true;
  return answer;
}

static uint32_t open_session(void) {
  const uint32_t conn = world_open(world, session_config());
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  return conn;
}

static const stw_event *last(uint32_t conn, stw_event_kind kind) {
  const struct world_event *event = world_event(world, conn, kind, -1);
  assert_non_null(event);
  return &event->event;
}

static void expect_once(uint32_t conn) {
  for (uint64_t n = 1; n <= world->conns[conn].sent; n++)
    if (world->conns[conn].messages[n - 1].received != 1)
      fail_msg("message %llu arrived %u times", (unsigned long long)n,
               world->conns[conn].messages[n - 1].received);
}

static void a_session_begins_and_messages_are_accepted(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  world_run(world, STWI_S);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_ACCEPTED], 1);
  assert_string_equal(world->conns[conn].last_inbound, "m:0:1::");
  assert_int_equal(world->conns[conn].inbound_ids[0].number, 1);
  assert_int_equal(server->hellos, 1);
  assert_false(last(conn, STW_EVENT_STATE)->u.state.resumed);
  assert_int_equal(world_count(world, conn, STW_EVENT_GAP), 0);
}

static void a_lost_link_goes_on_where_it_was(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  talk(conn, STWI_S);
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  talk(conn, 3 * STWI_S);
  assert_true(world_run_settled(world, conn, 5 * STWI_S));
  expect_once(conn);
  assert_int_equal(server->resumes, 1);
  assert_int_equal(world_metric(world, conn, STW_METRIC_RESUMES), 1);
  assert_true(world_change(world, conn, STW_STATE_ONLINE)->event.u.state.resumed);
  assert_int_equal(world_count(world, conn, STW_EVENT_GAP), 0);
}

#define SESSION_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, world_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      SESSION_TEST(a_session_begins_and_messages_are_accepted),
      SESSION_TEST(a_lost_link_goes_on_where_it_was),
  };
  return cmocka_run_group_tests_name("conn_session", tests, NULL, NULL);
}
