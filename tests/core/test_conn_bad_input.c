/* What a server says of when to come back, and how it treats who comes: whatever it is, attempts
 * stay bounded, and each failure is told with its reason. */
#include "session_test.h"

#define YEAR_MS (UINT64_C(365) * 24 * 3600 * 1000)
#define MINUTE (60 * STWI_S)

/* ---- Retry-After and close reasons ---- */

static void turn_away(uint64_t retry_after_ms) {
  server->door = WORLD_DOOR_HTTP;
  server->http_status = 503;
  server->retry_after_ms = retry_after_ms;
}

/* The hint ends at ten minutes; its spread is a twentieth, and half a second. */
static void expect_ten_minutes(uint16_t status) {
  const uint32_t conn = open_online();
  world_run(world, 3 * STWI_S);
  turn_away(YEAR_MS);
  server->http_status = status;
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  server->door = WORLD_DOOR_HTTP;
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, STWI_S));
  assert_int_equal(attempts_in(599 * STWI_S), 0);
  assert_int_equal(attempts_in(32 * STWI_S), 1);
  server->door = WORLD_DOOR_OPEN;
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 631 * STWI_S));
}

static void a_retry_after_of_a_year_is_ten_minutes(void **unused) {
  (void)unused;
  expect_ten_minutes(503);
}

static void with_too_many_requests_it_is_the_same(void **unused) {
  (void)unused;
  expect_ten_minutes(429);
}

/* A year, nothing, a second, in any order: the last one counts, and none of them for long. */
static void retry_afters_that_contradict_each_other_are_bounded(void **unused) {
  (void)unused;
  static const uint64_t said[] = {YEAR_MS, 0, 1000, 1, UINT64_MAX, 5000};
  turn_away(0);
  const uint32_t conn = world_open_default(world, "a");
  for (unsigned i = 0; i < 1200; i++) {
    server->retry_after_ms = said[i % 6];
    assert_in_range(attempts_in(MINUTE), 0, 21); /* the burst is there again after a long wait */
  }
  assert_in_range(server->dials, 200, 11 + 1200 * 10);
  server->door = WORLD_DOOR_OPEN;
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 631 * STWI_S));
}

/* Closes each link as soon as it is up. */
static uint64_t attempts_closed_with(uint16_t code, const char *reason, uint64_t for_ns) {
  const uint64_t before = server->dials;
  for (uint64_t passed = 0; passed < for_ns; passed += 5 * STWI_MS) {
    world_server_close(world, server, code, reason);
    world_run(world, 5 * STWI_MS);
  }
  return server->dials - before;
}

static void being_called_back_at_once_for_ever_stays_within_the_budget(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  assert_in_range(attempts_closed_with(1012, "r=0;w=0", STWI_S), 2, 6); /* not all at once */
  assert_in_range(attempts_closed_with(1012, "r=0;w=0", MINUTE - STWI_S), 5, 21);
  assert_in_range(attempts_closed_with(1013, "r=0;w=0", MINUTE), 5, 10);
  assert_in_range(attempts_closed_with(1001, "w=0;r=1;r=600000", MINUTE), 5, 10);
  const struct world_event *retry = world_change(world, conn, STW_STATE_WAITING);
  assert_int_equal(retry->event.u.state.close_code, 1001);
  assert_true(strlen(retry->detail) > 0);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, MINUTE));
}

static void a_reason_that_is_no_hint_is_paced_as_if_there_were_none(void **unused) {
  (void)unused;
  static const char *const reasons[] = {"r=-5;w=9",    "r=;w=",       "r=1e9",
                                        "r=99999999x", "r = 0 ; w=0", "w=0",
                                        "R=0;W=0",     "\xc3\xa9r=0", "r=0,w=0"};
  open_online();
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
    world_run(world, 10 * MINUTE); /* the link is stable, the budget full */
    assert_in_range(attempts_closed_with(1012, reasons[i], MINUTE), 3, 9);
  }
}

/* ---- GOAWAY of a session ---- */

/* Where to and when changes with each; the old link works meanwhile. */
static void a_flood_of_goaways_moves_within_the_hedge_budget(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  world_run(world, 3 * STWI_S);
  for (unsigned i = 0; i < 6000; i++) {
    world_session_goaway(world, server, i % 3 == 0 ? UINT64_MAX : 0, i % 2 == 0 ? 0 : YEAR_MS);
    if (i % 10 == 0)
      world_say(world, conn);
    world_run(world, 10 * STWI_MS);
  }
  assert_in_range(server->dials, 1, 10); /* two at once, one in 10 s, and a fifth of an attempt */
  assert_int_equal(world_count(world, conn, STW_EVENT_RETRY), 0);
  world_run(world, 1300 * STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_true(world_run_settled(world, conn, STWI_S));
  expect_once(conn);
}

/* ---- accepted and dropped, for ever ---- */

static void expect_ever_fewer(uint32_t conn, stw_cause cause) {
  assert_in_range(attempts_in(MINUTE), 5, 12);
  assert_in_range(attempts_in(10 * MINUTE), 8, 25);
  assert_in_range(attempts_in(60 * MINUTE), 5, 80);
  const struct world_event *waiting = world_change(world, conn, STW_STATE_WAITING);
  assert_string_equal(stw_cause_at((size_t)waiting->event.u.state.cause)->name,
                      stw_cause_at((size_t)cause)->name);
  assert_true(strlen(waiting->detail) > 0);
  assert_true(waiting->event.u.state.delay_ns > 0);
}

static void who_is_dropped_before_the_upgrade_comes_ever_less_often(void **unused) {
  (void)unused;
  static const stw_cause causes[] = {STW_CAUSE_TCP_REFUSED, STW_CAUSE_TCP_RESET,
                                     STW_CAUSE_UPGRADE_EOF};
  for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
    server->door = WORLD_DOOR_CAUSE;
    server->door_cause = causes[i];
    const uint32_t conn = world_open_default(world, "a");
    expect_ever_fewer(conn, causes[i]);
    world_forget(world, conn);
  }
}

static void who_is_dropped_once_online_comes_ever_less_often(void **unused) {
  (void)unused;
  const uint32_t conn = world_open_default(world, "a");
  assert_in_range(attempts_closed_with(1011, "", MINUTE), 5, 12);
  assert_in_range(attempts_closed_with(1011, "", 10 * MINUTE), 8, 25);
  expect_cause(conn, STW_STATE_WAITING, STW_CAUSE_SERVER_ERROR);
  assert_true(strlen(world_change(world, conn, STW_STATE_WAITING)->detail) > 0);
  world_do(world, conn, STWI_IN_KICK);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 7 * STWI_S));
}

static void who_is_dropped_at_the_first_message_comes_ever_less_often(void **unused) {
  (void)unused;
  server->drop_after = 40; /* more than the first PING */
  const uint32_t conn = world_open_default(world, "a");
  const struct world_send how = {.size = 4000};
  world_send(world, conn, &how);
  expect_ever_fewer(conn, STW_CAUSE_ABNORMAL_RST);
}

/* The PINGs of the first two have no answer: that is not the server's way with PINGs. */
static void who_is_dropped_once_online_loses_no_message(void **unused) {
  (void)unused;
  server->latency_ns = 50 * STWI_MS; /* the server is gone before it has read anything */
  const uint32_t conn = world_open_default(world, "a");
  for (unsigned i = 0; i < 5; i++) {
    world_say(world, conn);
    assert_in_range(attempts_closed_with(1011, "", MINUTE), 1, 12);
  }
  assert_int_equal(server->messages, 0);
  world_do(world, conn, STWI_IN_KICK);
  assert_true(world_run_settled(world, conn, 10 * STWI_S));
  expect_all_received(conn);
}

static void a_session_that_ends_at_hello_comes_ever_less_often(void **unused) {
  (void)unused;
  server->refuses = STWI_REFUSE_BUSY;
  const uint32_t conn = world_open(world, session_config());
  assert_in_range(attempts_in(MINUTE), 2, 12);
  assert_in_range(attempts_in(10 * MINUTE), 1, 25);
  const struct world_event *waiting = world_change(world, conn, STW_STATE_WAITING);
  assert_true(strlen(waiting->detail) > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      WORLD_TEST(a_retry_after_of_a_year_is_ten_minutes),
      WORLD_TEST(with_too_many_requests_it_is_the_same),
      WORLD_TEST(retry_afters_that_contradict_each_other_are_bounded),
      WORLD_TEST(being_called_back_at_once_for_ever_stays_within_the_budget),
      WORLD_TEST(a_reason_that_is_no_hint_is_paced_as_if_there_were_none),
      SESSION_TEST(a_flood_of_goaways_moves_within_the_hedge_budget),
      WORLD_TEST(who_is_dropped_before_the_upgrade_comes_ever_less_often),
      WORLD_TEST(who_is_dropped_once_online_comes_ever_less_often),
      WORLD_TEST(who_is_dropped_once_online_loses_no_message),
      WORLD_TEST(who_is_dropped_at_the_first_message_comes_ever_less_often),
      SESSION_TEST(a_session_that_ends_at_hello_comes_ever_less_often),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
