/* world_test: one world per test: made before it, checked and freed after it. */
#ifndef STEADWIRE_TESTS_WORLD_TEST_H
#define STEADWIRE_TESTS_WORLD_TEST_H

#include "world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct world *world;
static struct world_server *server; /* "a" */

static inline int world_set_up(void **unused) {
  (void)unused;
  world = world_new(7);
  server = world_server(world, "a");
  return world == NULL ? -1 : 0;
}

static inline int world_tear_down(void **unused) {
  (void)unused;
  const char *broken = world_check(world);
  if (broken != NULL) {
    fprintf(stderr, "%s\n", broken);
    world_print(world, stderr);
  }
  const int answer = broken == NULL ? 0 : -1;
  world_free(world);
  return answer;
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

static inline uint32_t open_online(void) {
  const uint32_t conn = world_open_default(world, "a");
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  return conn;
}

static inline void expect_state(uint32_t conn, stw_state state) {
  assert_string_equal(stw_state_at((size_t)world_state(world, conn))->name,
                      stw_state_at((size_t)state)->name);
}

static inline void expect_cause(uint32_t conn, stw_state into, stw_cause cause) {
  const struct world_event *change = world_change(world, conn, into);
  assert_non_null(change);
  assert_string_equal(stw_cause_at((size_t)change->event.u.state.cause)->name,
                      stw_cause_at((size_t)cause)->name);
}

/* Says something every 50 ms until `for_ns` is over: 20 messages a second. */
static inline void talk(uint32_t conn, uint64_t for_ns) {
  const stwi_time end = world->now + for_ns;
  while (world->now < end && world->broken[0] == '\0') {
    world_say(world, conn);
    world_run(world, 50 * STWI_MS);
  }
}

static inline void expect_all_received(uint32_t conn) {
  for (uint64_t n = 1; n <= world->conns[conn].sent; n++)
    if (world->conns[conn].messages[n - 1].received == 0)
      fail_msg("message %llu was lost", (unsigned long long)n);
}

/* Attempts that reach the server within `for_ns`. */
static inline uint64_t attempts_in(uint64_t for_ns) {
  const uint64_t before = server->dials;
  world_run(world, for_ns);
  return server->dials - before;
}

#endif
