#include "world_test.h"

#include <string.h>

/* ---- attempts ---- */

static void a_conn_dials_its_url(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  assert_int_equal(server->dials, 1);
  const struct world_event *online = world_change(world, conn, STW_STATE_ONLINE);
  assert_int_equal(online->event.link, 1);
  assert_int_equal(online->event.u.state.phase_ns[STW_PHASE_TCP], 2 * STWI_MS);
  assert_int_equal(online->event.u.state.phase_ns[STW_PHASE_UPGRADE], 2 * STWI_MS);
}

static void a_silent_attempt_is_raced_after_a_second_and_at_most_by_two(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_NO_UPGRADE;
  world_open_default(world, "a");
  world_run(world, 990 * STWI_MS);
  assert_int_equal(server->dials, 1);
  world_run(world, 20 * STWI_MS);
  assert_int_equal(server->dials, 2);
  world_run(world, STWI_S);
  assert_int_equal(server->dials, 3);
  world_run(world, 2 * STWI_S);
  assert_int_equal(server->dials, 3);
}

static void the_first_ready_attempt_wins(void **unused) {
  (void)unused;
  server->latency_ns = 400 * STWI_MS; /* ready after 1.6 s */
  const uint32_t conn = world_open_default(world, "a");
  world_run(world, 100 * STWI_MS);
  server->latency_ns = STWI_MS; /* the raced one overtakes */
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 3 * STWI_S));
  world_run(world, 3 * STWI_S);
  for (struct world_link *link = world->conns[conn].links; link != NULL; link = link->next)
    assert_true(link->is_over || link == world_live(world, conn));
  assert_int_equal(world_metric(world, conn, STW_METRIC_LINKS), 1);
}

/* The phase that hangs names the cause. */
static void open_timeout_names_the_phase(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_BLACKHOLE;
  uint32_t conn = world_open_default(world, "a");
  world_run(world, 6 * STWI_S);
  const struct world_event *failed = world_event(world, conn, STW_EVENT_RETRY, 0);
  assert_int_equal(failed->event.u.retry.cause, STW_CAUSE_TCP_TIMEOUT);
  assert_non_null(strstr(failed->detail, "phase tcp"));
  server->door = WORLD_DOOR_NO_UPGRADE;
  conn = world_open_default(world, "a");
  world_run(world, 6 * STWI_S);
  failed = world_event(world, conn, STW_EVENT_RETRY, 0);
  assert_int_equal(failed->event.u.retry.cause, STW_CAUSE_UPGRADE_TIMEOUT);
}

static void a_raced_attempt_that_fails_is_only_reported(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_NO_UPGRADE;
  const uint32_t conn = world_open_default(world, "a");
  world_run(world, 900 * STWI_MS);
  server->door = WORLD_DOOR_REFUSED;
  world_run(world, 200 * STWI_MS);
  expect_state(conn, STW_STATE_CONNECTING);
  const struct world_event *retry = world_event(world, conn, STW_EVENT_RETRY, -1);
  assert_int_equal(retry->event.u.retry.cause, STW_CAUSE_TCP_REFUSED);
  assert_string_equal(retry->detail, "the path says so");
}

static void failed_attempts_are_paced_in_windows(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_REFUSED;
  const uint32_t conn = world_open_default(world, "a");
  world_run(world, 60 * STWI_S);
  expect_state(conn, STW_STATE_WAITING);
  assert_in_range(server->dials, 5, 8);
  server->door = WORLD_DOOR_OPEN;
  world_do(world, conn, STWI_IN_KICK);
  world_run(world, 100 * STWI_MS);
  expect_state(conn, STW_STATE_ONLINE);
}

static void a_change_of_the_network_restarts_the_attempt(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_BLACKHOLE;
  const uint32_t conn = world_open_default(world, "a");
  world_run(world, 500 * STWI_MS);
  server->door = WORLD_DOOR_OPEN;
  world_network(world, STW_NETWORK_CHANGED);
  world_run(world, 10 * STWI_MS);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_live(world, conn)->gen, 2);
}

static void endpoints_take_turns_until_one_works(void **unused) {
  (void)unused;
  struct world_server *second = world_server(world, "b");
  server->door = WORLD_DOOR_REFUSED;
  const uint32_t conn = world_open_default(world, "a b");
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 3 * STWI_S));
  assert_int_equal(second->accepts, 1);
  world_run(world, 3 * STWI_S);
  world_kill(world, second, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  assert_true(world_run_to(world, conn, STW_STATE_CONNECTING, STWI_S));
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 3 * STWI_S));
  assert_int_equal(server->accepts, 1);
}

static void a_name_that_does_not_exist_is_tried_again(void **unused) {
  (void)unused;
  const uint32_t conn = world_open_default(world, "nowhere");
  world_run(world, 10 * STWI_S);
  expect_cause(conn, STW_STATE_WAITING, STW_CAUSE_DNS_NXDOMAIN);
}

/* ---- what is permanent ---- */

static void expect_first(uint16_t status, stw_state state, stw_cause cause) {
  struct world_server *own = world_server(world, "p");
  own->door = WORLD_DOOR_HTTP;
  own->http_status = status;
  const uint32_t conn = world_open_default(world, "p");
  world_run(world, 50 * STWI_MS);
  expect_state(conn, state);
  expect_cause(conn, state, cause);
  assert_int_equal(world_change(world, conn, state)->event.u.state.http_status, status);
  world->server_count--;
}

static void before_the_first_online_a_refusal_is_final(void **unused) {
  (void)unused;
  expect_first(401, STW_STATE_FAILED, STW_CAUSE_HTTP_401);
  expect_first(403, STW_STATE_FAILED, STW_CAUSE_HTTP_403);
  expect_first(404, STW_STATE_FAILED, STW_CAUSE_HTTP_4XX);
  expect_first(302, STW_STATE_FAILED, STW_CAUSE_HTTP_REDIRECT);
  expect_first(429, STW_STATE_WAITING, STW_CAUSE_HTTP_429);
  expect_first(503, STW_STATE_WAITING, STW_CAUSE_HTTP_5XX);
}

static void after_it_a_refusal_is_tried_again_at_the_cap(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 3 * STWI_S);
  server->door = WORLD_DOOR_HTTP;
  server->http_status = 404;
  world_server_close(world, server, 1012, "");
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, STWI_S));
  world_run(world, 3 * STWI_S);
  const struct world_event *waiting = world_change(world, conn, STW_STATE_WAITING);
  assert_int_equal(waiting->event.u.state.cause, STW_CAUSE_HTTP_4XX);
  assert_in_range(waiting->event.u.state.delay_ns, 30 * STWI_S, 60 * STWI_S);
  server->door = WORLD_DOOR_OPEN;
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 61 * STWI_S));
}

static void a_local_setting_that_cannot_work_is_final_at_any_time(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 3 * STWI_S);
  server->door = WORLD_DOOR_CAUSE;
  server->door_cause = STW_CAUSE_CONFIG;
  world_server_close(world, server, 1012, "r=0;w=100");
  assert_true(world_run_to(world, conn, STW_STATE_FAILED, STWI_S));
  expect_cause(conn, STW_STATE_FAILED, STW_CAUSE_CONFIG);
}

static void replaced_three_times_in_a_minute_is_final(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  for (unsigned i = 0; i < 3; i++) {
    assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 10 * STWI_S));
    world_run(world, 3 * STWI_S);
    world_server_close(world, server, 4409, "elsewhere");
    world_run(world, 10 * STWI_MS);
  }
  expect_state(conn, STW_STATE_FAILED);
  expect_cause(conn, STW_STATE_FAILED, STW_CAUSE_REPLACED);
  world_do(world, conn, STWI_IN_REOPEN); /* asked for again: counted anew */
  world_run(world, STWI_S);
  world_server_close(world, server, 4409, "elsewhere");
  world_run(world, 10 * STWI_MS);
  expect_state(conn, STW_STATE_WAITING);
}

static void replaced_now_and_then_is_not(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  for (unsigned i = 0; i < 6; i++) {
    world_run(world, 40 * STWI_S);
    world_server_close(world, server, 4409, "elsewhere");
  }
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 10 * STWI_S));
}

/* ---- credentials ---- */

static uint32_t open_asking(void) {
  struct stwi_conn_config *config = world_config("a");
  config->has_credentials = true;
  return world_open(world, config);
}

static void credentials_are_asked_for_before_the_attempt(void **unused) {
  (void)unused;
  const uint32_t conn = open_asking();
  world_run(world, STWI_S);
  assert_int_equal(server->dials, 0);
  const struct world_event *asked = world_event(world, conn, STW_EVENT_CREDENTIALS_NEEDED, 0);
  assert_int_equal(asked->event.u.credentials.attempt, 1);
  assert_int_equal(asked->event.u.credentials.deadline_ns, 5 * STWI_S);
  world_supply(world, conn, "secret", 0);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  assert_int_equal(world_count(world, conn, STW_EVENT_CREDENTIALS_NEEDED), 1);
}

static void credentials_that_do_not_come_fail_the_attempt(void **unused) {
  (void)unused;
  const uint32_t conn = open_asking();
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, 6 * STWI_S));
  expect_cause(conn, STW_STATE_WAITING, STW_CAUSE_TOKEN_FAILED);
  assert_true(world_run_to(world, conn, STW_STATE_CONNECTING, 2 * STWI_S));
  assert_int_equal(world_count(world, conn, STW_EVENT_CREDENTIALS_NEEDED), 2);
}

static void the_last_credentials_serve_while_the_host_is_busy(void **unused) {
  (void)unused;
  const uint32_t conn = open_asking();
  world_supply(world, conn, "secret", 0);
  world_run(world, 5 * STWI_S);
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  world_run(world, STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_count(world, conn, STW_EVENT_CREDENTIALS_NEEDED), 1);
}

static void a_401_forces_one_refresh_and_then_is_final(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_HTTP;
  server->http_status = 401;
  const uint32_t conn = open_asking();
  world_supply(world, conn, "old", 0);
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, STWI_S));
  assert_true(world_run_to(world, conn, STW_STATE_CONNECTING, 3 * STWI_S));
  world_supply(world, conn, "fresh", 0);
  assert_true(world_run_to(world, conn, STW_STATE_FAILED, STWI_S));
  expect_cause(conn, STW_STATE_FAILED, STW_CAUSE_HTTP_401);
}

static void credentials_that_worked_earn_another_refresh(void **unused) {
  (void)unused;
  const uint32_t conn = open_asking();
  world_supply(world, conn, "one", 0);
  for (unsigned i = 0; i < 3; i++) {
    assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 5 * STWI_S));
    world_run(world, 5 * STWI_S);
    server->door = WORLD_DOOR_HTTP;
    server->http_status = 401;
    world_server_close(world, server, 1012, "r=0;w=10");
    world_run(world, 100 * STWI_MS);
    server->door = WORLD_DOOR_OPEN;
    assert_true(world_run_to(world, conn, STW_STATE_CONNECTING, 5 * STWI_S));
    world_supply(world, conn, "next", 0);
  }
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 5 * STWI_S));
}

/* The old login is used up while its attempt is still silent. */
static void a_race_without_credentials_leaves_the_first_attempt_alone(void **unused) {
  (void)unused;
  server->latency_ns = 1100 * STWI_MS;
  struct stwi_conn_config *config = world_config("a");
  config->has_credentials = true;
  config->credentials_timeout_ns = 200 * STWI_MS;
  const uint32_t conn = world_open(world, config);
  world_supply(world, conn, "short", 500);
  world_run(world, 3500 * STWI_MS);
  expect_state(conn, STW_STATE_CONNECTING);
  assert_int_equal(server->dials, 1);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 2 * STWI_S));
}

static void a_candidate_without_credentials_is_asked_for_again(void **unused) {
  (void)unused;
  const uint32_t conn = open_asking();
  world_supply(world, conn, "short", 500);
  world_run(world, 2 * STWI_S);
  server->door = WORLD_DOOR_BLACKHOLE;
  world_swallow(world, server, true, true);
  world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
  world_run(world, STWI_S);
  server->door = WORLD_DOOR_OPEN;
  world_supply(world, conn, "new", 0);
  world_run(world, 100 * STWI_MS);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_live(world, conn)->gen, 2);
}

/* ---- the end of a link ---- */

static void a_reset_is_answered_within_a_quarter_of_a_second(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  for (unsigned i = 0; i < 10; i++) {
    talk(conn, 3 * STWI_S);
    world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
    world_restart(world, server);
    assert_true(world_run_to(world, conn, STW_STATE_CONNECTING, 10 * STWI_MS));
    expect_cause(conn, STW_STATE_CONNECTING, STW_CAUSE_ABNORMAL_RST);
    assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 260 * STWI_MS));
  }
  assert_true(world_run_settled(world, conn, STWI_S));
  expect_all_received(conn);
}

static void a_killed_server_that_comes_back_within_a_second(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  talk(conn, 5 * STWI_S);
  world_kill(world, server, STW_CAUSE_ABNORMAL_FIN);
  talk(conn, 800 * STWI_MS);
  world_restart(world, server);
  const stwi_time back = world->now;
  const uint64_t number = world_say(world, conn);
  assert_true(world_run_settled(world, conn, 4 * STWI_S));
  assert_true(world->now - back < 2 * STWI_S);
  assert_true(world->conns[conn].messages[number - 1].received > 0);
  expect_all_received(conn);
}

static void the_delay_of_retry_after_is_obeyed(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  talk(conn, 3 * STWI_S);
  server->door = WORLD_DOOR_HTTP;
  server->http_status = 503;
  server->retry_after_ms = 2000;
  world_server_close(world, server, 1012, "r=0;w=1");
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, STWI_S));
  world_run(world, 50 * STWI_MS);
  const struct world_event *waiting = world_change(world, conn, STW_STATE_WAITING);
  assert_int_equal(waiting->event.u.state.cause, STW_CAUSE_HTTP_5XX);
  assert_in_range(waiting->event.u.state.delay_ns, 2 * STWI_S, 2600 * STWI_MS);
  assert_int_equal(attempts_in(1900 * STWI_MS), 0);
  server->door = WORLD_DOOR_OPEN;
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
}

static void an_appointment_in_a_year_is_one_in_ten_minutes(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  talk(conn, 3 * STWI_S);
  server->door = WORLD_DOOR_HTTP;
  server->http_status = 503;
  server->retry_after_ms = 365ull * 24 * 3600 * 1000;
  world_server_close(world, server, 1012, "r=0;w=1");
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, STWI_S));
  world_run(world, 50 * STWI_MS);
  server->door = WORLD_DOOR_OPEN;
  assert_int_equal(attempts_in(599 * STWI_S), 0);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 32 * STWI_S));
}

static void the_hint_of_a_restart_is_obeyed(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  talk(conn, 3 * STWI_S);
  world_server_close(world, server, 1012, "r=1500;w=400");
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, 100 * STWI_MS));
  const struct world_event *waiting = world_change(world, conn, STW_STATE_WAITING);
  assert_int_equal(waiting->event.u.state.cause, STW_CAUSE_RESTART);
  assert_int_equal(waiting->event.u.state.close_code, 1012);
  assert_in_range(waiting->event.u.state.delay_ns, 1500 * STWI_MS, 1900 * STWI_MS);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 2 * STWI_S));
}

/* Accepts everybody and throws out at once: each time a failure, at a growing distance. */
static void a_server_that_throws_out_at_once_is_not_hammered(void **unused) {
  (void)unused;
  server->drop_after = 1;
  const uint32_t conn = world_open_default(world, "a");
  world_say(world, conn);
  assert_in_range(attempts_in(60 * STWI_S), 0, 12);
  assert_in_range(attempts_in(60 * STWI_S), 0, 4);
  server->drop_after = 0;
  world_do(world, conn, STWI_IN_KICK);
  assert_true(world_run_settled(world, conn, 120 * STWI_S));
}

static void kicking_does_not_break_the_budget(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_REFUSED;
  const uint32_t conn = world_open_default(world, "a");
  for (unsigned i = 0; i < 600; i++) {
    world_do(world, conn, i % 3 == 0 ? STWI_IN_KICK : STWI_IN_WAKE);
    world_network(world, STW_NETWORK_UP);
    world_run(world, 100 * STWI_MS);
  }
  assert_in_range(server->dials, 10, 25); /* 11 at once, then one in 6 s */
}

/* Attempts asked for by the host use windows up; the next one stays within seven of them. */
static void kicking_does_not_push_the_next_attempt_away(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_REFUSED;
  const uint32_t conn = world_open_default(world, "a");
  for (unsigned i = 0; i < 200; i++) {
    world_run(world, 10 * STWI_S);
    world_do(world, conn, STWI_IN_KICK);
  }
  world_run(world, STWI_S);
  const struct world_event *waiting = world_change(world, conn, STW_STATE_WAITING);
  assert_true(waiting->event.u.state.delay_ns <= 7 * 60 * STWI_S);
  server->door = WORLD_DOOR_OPEN;
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 421 * STWI_S));
}

/* ---- hedges ---- */

/* One server is silent and keeps an attempt, the other refuses at once and asks for another. */
static void each_server_is_asked_within_its_own_budget(void **unused) {
  (void)unused;
  struct world_server *silent = world_server(world, "b");
  silent->door = WORLD_DOOR_NO_UPGRADE;
  server->door = WORLD_DOOR_HTTP;
  server->http_status = 503;
  server->retry_after_ms = 1;
  struct stwi_conn_config *config = world_config("b a");
  config->retry_window_ns = 20 * STWI_MS;
  config->open_timeout_ns = 60 * STWI_S;
  world_open(world, config);
  assert_true(attempts_in(60 * STWI_S) <= 11 + 60 / 6);
}

/* Each of them is given up soon after it was joined by the next. */
static void attempts_that_race_keep_to_the_budget(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_BLACKHOLE;
  struct stwi_conn_config *config = world_config("a");
  config->open_timeout_ns = 2 * STWI_S;
  world_open(world, config);
  assert_true(attempts_in(120 * STWI_S) <= 11 + 120 / 6);
}

static void hedges_are_budgeted(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  talk(conn, STWI_S);
  server->door = WORLD_DOOR_NO_UPGRADE;
  for (unsigned i = 0; i < 60; i++) {
    world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
    world_run(world, STWI_S);
  }
  assert_in_range(world_metric(world, conn, STW_METRIC_HEDGES), 6, 9);
  assert_int_equal(world_metric(world, conn, STW_METRIC_LINKS), 1);
}

static void hedge_off_dials_no_second_link(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->has_hedge = false;
  const uint32_t conn = world_open(world, config);
  talk(conn, STWI_S);
  world_swallow(world, server, true, true);
  talk(conn, 2 * STWI_S);
  expect_state(conn, STW_STATE_SUSPECT);
  assert_int_equal(server->dials, 1);
  talk(conn, 3 * STWI_S);
  assert_true(world_run_settled(world, conn, STWI_S));
  expect_all_received(conn);
}

/* A new login closes the old link: after the first time nobody hedges there. */
static void where_one_login_is_allowed_hedging_stops(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  talk(conn, 3 * STWI_S);
  server->login = WORLD_LOGIN_NEW_WINS;
  server->latency_ns = 20 * STWI_MS;
  server->pong = WORLD_PONG_HOLD;
  for (unsigned i = 0; i < 40; i++) {
    talk(conn, 3 * STWI_S);
    world_release_pongs(world, server);
  }
  server->pong = WORLD_PONG_ANSWER;
  world_release_pongs(world, server);
  assert_true(world_run_settled(world, conn, 30 * STWI_S));
  expect_all_received(conn);
}

static void an_endpoint_that_closes_the_old_link_for_a_candidate_is_never_hedged_again(void **u) {
  (void)u;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  server->door = WORLD_DOOR_NO_UPGRADE;
  world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
  world_server_close(world, server, 4000, "only one");
  world_run(world, 100 * STWI_MS);
  expect_state(conn, STW_STATE_CONNECTING); /* the candidate is the attempt now */
  assert_int_equal(server->dials, 2);
  server->door = WORLD_DOOR_OPEN;
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 3 * STWI_S));
  const uint64_t hedges = world_metric(world, conn, STW_METRIC_HEDGES);
  world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
  world_run(world, 30 * STWI_S);
  assert_int_equal(world_metric(world, conn, STW_METRIC_HEDGES), hedges);
}

/* ---- at the edges ---- */

static void a_candidate_that_is_not_needed_any_more_is_cut(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  server->latency_ns = 100 * STWI_MS; /* the answer comes before the second link is ready */
  world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
  world_run(world, 10 * STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_live(world, conn)->gen, 1);
  assert_int_equal(world_metric(world, conn, STW_METRIC_FALSE_ALARMS), 1);
}

static void the_opening_is_due_again_on_every_link(void **unused) {
  (void)unused;
  const uint32_t conn = world_open_default(world, "a");
  world_opening(world, conn, "k", "o:k");
  for (unsigned i = 0; i < 3; i++) {
    assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 2 * STWI_S));
    world_run(world, 3 * STWI_S);
    assert_int_equal(world_live(world, conn)->openings, 1);
    world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
    world_restart(world, server);
    world_run(world, 5 * STWI_MS);
  }
}

static void a_link_that_dies_before_it_is_ready_is_a_failed_attempt(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->ready_when.kind = STWI_MATCH_HOST;
  const uint32_t conn = world_open(world, config);
  world_run(world, STWI_S);
  world_kill(world, server, STW_CAUSE_ABNORMAL_FIN);
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, 100 * STWI_MS));
  expect_cause(conn, STW_STATE_WAITING, STW_CAUSE_ABNORMAL_FIN);
}

static void the_answer_to_our_close_is_the_end(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  world_close(world, conn, STWI_S);
  assert_true(world_run_to(world, conn, STW_STATE_CLOSED, 10 * STWI_MS));
  expect_cause(conn, STW_STATE_CLOSED, STW_CAUSE_REQUESTED);
}

static void a_candidate_that_is_refused_is_dialled_again(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  talk(conn, STWI_S);
  server->door = WORLD_DOOR_REFUSED;
  world_swallow(world, server, true, true);
  world_say(world, conn);
  assert_true(world_run_to(world, conn, STW_STATE_SUSPECT, 2 * STWI_S));
  world_run(world, 100 * STWI_MS);
  assert_int_equal(world_count(world, conn, STW_EVENT_RETRY), 1);
  server->door = WORLD_DOOR_OPEN;
  world_run(world, 300 * STWI_MS);
  expect_state(conn, STW_STATE_ONLINE);
  assert_true(world_run_settled(world, conn, STWI_S));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      WORLD_TEST(a_conn_dials_its_url),
      WORLD_TEST(a_silent_attempt_is_raced_after_a_second_and_at_most_by_two),
      WORLD_TEST(the_first_ready_attempt_wins),
      WORLD_TEST(open_timeout_names_the_phase),
      WORLD_TEST(a_raced_attempt_that_fails_is_only_reported),
      WORLD_TEST(failed_attempts_are_paced_in_windows),
      WORLD_TEST(a_change_of_the_network_restarts_the_attempt),
      WORLD_TEST(endpoints_take_turns_until_one_works),
      WORLD_TEST(a_name_that_does_not_exist_is_tried_again),
      WORLD_TEST(before_the_first_online_a_refusal_is_final),
      WORLD_TEST(after_it_a_refusal_is_tried_again_at_the_cap),
      WORLD_TEST(a_local_setting_that_cannot_work_is_final_at_any_time),
      WORLD_TEST(replaced_three_times_in_a_minute_is_final),
      WORLD_TEST(replaced_now_and_then_is_not),
      WORLD_TEST(credentials_are_asked_for_before_the_attempt),
      WORLD_TEST(credentials_that_do_not_come_fail_the_attempt),
      WORLD_TEST(the_last_credentials_serve_while_the_host_is_busy),
      WORLD_TEST(a_401_forces_one_refresh_and_then_is_final),
      WORLD_TEST(credentials_that_worked_earn_another_refresh),
      WORLD_TEST(a_race_without_credentials_leaves_the_first_attempt_alone),
      WORLD_TEST(a_candidate_without_credentials_is_asked_for_again),
      WORLD_TEST(a_reset_is_answered_within_a_quarter_of_a_second),
      WORLD_TEST(a_killed_server_that_comes_back_within_a_second),
      WORLD_TEST(the_delay_of_retry_after_is_obeyed),
      WORLD_TEST(an_appointment_in_a_year_is_one_in_ten_minutes),
      WORLD_TEST(the_hint_of_a_restart_is_obeyed),
      WORLD_TEST(a_server_that_throws_out_at_once_is_not_hammered),
      WORLD_TEST(kicking_does_not_break_the_budget),
      WORLD_TEST(kicking_does_not_push_the_next_attempt_away),
      WORLD_TEST(each_server_is_asked_within_its_own_budget),
      WORLD_TEST(attempts_that_race_keep_to_the_budget),
      WORLD_TEST(hedges_are_budgeted),
      WORLD_TEST(hedge_off_dials_no_second_link),
      WORLD_TEST(where_one_login_is_allowed_hedging_stops),
      WORLD_TEST(an_endpoint_that_closes_the_old_link_for_a_candidate_is_never_hedged_again),
      WORLD_TEST(a_candidate_that_is_not_needed_any_more_is_cut),
      WORLD_TEST(the_opening_is_due_again_on_every_link),
      WORLD_TEST(a_link_that_dies_before_it_is_ready_is_a_failed_attempt),
      WORLD_TEST(the_answer_to_our_close_is_the_end),
      WORLD_TEST(a_candidate_that_is_refused_is_dialled_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
