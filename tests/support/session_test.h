/* session_test: a world whose server "a" speaks steadwire.v1, one per test. */
#ifndef STEADWIRE_TESTS_SESSION_TEST_H
#define STEADWIRE_TESTS_SESSION_TEST_H

#include "world_test.h"

#include <string.h>

static inline struct stwi_conn_config *session_config(void) {
  struct stwi_conn_config *config = world_config("a");
  config->profile = STWI_PROFILE_SESSION;
  return config;
}

static inline int session_set_up(void **unused) {
  const int answer = world_set_up(unused);
  server->has_sessions = true;
  return answer;
}

static inline uint32_t open_session(void) {
  const uint32_t conn = world_open(world, session_config());
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  return conn;
}

static inline const stw_event *last(uint32_t conn, stw_event_kind kind) {
  const struct world_event *event = world_event(world, conn, kind, -1);
  assert_non_null(event);
  return &event->event;
}

static inline void expect_once(uint32_t conn) {
  for (uint64_t n = 1; n <= world->conns[conn].sent; n++)
    if (world->conns[conn].messages[n - 1].received != 1)
      fail_msg("message %llu arrived %u times", (unsigned long long)n,
               world->conns[conn].messages[n - 1].received);
}

#define SESSION_TEST(name) cmocka_unit_test_setup_teardown(name, session_set_up, world_tear_down)

#endif
