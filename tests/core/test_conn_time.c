#include "world_test.h"

#include <string.h>

static uint64_t since(const struct world_event *event, stwi_time then) {
  assert_non_null(event);
  return event->at - then;
}

/* A link that died silently under traffic: found, and everything delivered, within two seconds. */
static void expect_zombie_is_replaced(bool to_server, bool to_client) {
  const uint32_t conn = open_online();
  talk(conn, 3 * STWI_S);
  const stwi_time fault = world->now;
  world_swallow(world, server, to_server, to_client);
  talk(conn, 5 * STWI_S);
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_true(since(world_change(world, conn, STW_STATE_SUSPECT), fault) < 1500 * STWI_MS);
  expect_cause(conn, STW_STATE_SUSPECT, STW_CAUSE_HEARTBEAT_TIMEOUT);
  assert_true(since(world_change(world, conn, STW_STATE_ONLINE), fault) < 1600 * STWI_MS);
  for (uint64_t n = 1; n <= world->conns[conn].sent; n++)
    assert_true(world->conns[conn].messages[n - 1].received > 0);
  assert_int_equal(server->accepts, 2);
}

static void both_directions_swallowed(void **unused) {
  (void)unused;
  expect_zombie_is_replaced(true, true);
  assert_true(server->duplicates <= 5); /* what 200 ms of barrier left unproven */
}

static void only_server_to_client_swallowed(void **unused) {
  (void)unused;
  expect_zombie_is_replaced(false, true);
  assert_true(server->duplicates > 0); /* the plain profile promises at least once */
}

static void only_client_to_server_swallowed(void **unused) {
  (void)unused;
  expect_zombie_is_replaced(true, false);
}

/* The socket takes nothing more: no barrier can even be written. */
static void a_write_that_is_never_taken_is_a_zombie_too(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  talk(conn, STWI_S);
  world_run(world, STWI_S);
  world_say(world, conn); /* with a barrier; the next one has none for 200 ms */
  world_run(world, 50 * STWI_MS);
  const stwi_time fault = world->now;
  server->is_write_stuck = true;
  world_say(world, conn);
  world_run(world, 100 * STWI_MS);
  server->is_write_stuck = false; /* for new links */
  world_swallow(world, server, true, true);
  assert_true(world_run_to(world, conn, STW_STATE_SUSPECT, 2 * STWI_S));
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_true(world->now - fault < 2 * STWI_S);
}

/* One connection after the other is swallowed while new ones are accepted. */
static void silence_on_every_link_is_found_again_and_again(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  for (unsigned i = 0; i < 5; i++) {
    talk(conn, 15 * STWI_S);
    world_swallow(world, server, true, true);
  }
  talk(conn, 5 * STWI_S);
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_int_equal(server->accepts, 6);
}

static void an_idle_zombie_is_found_by_the_heartbeat(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  world_swallow(world, server, true, true);
  const stwi_time fault = world->now;
  assert_true(world_run_to(world, conn, STW_STATE_SUSPECT, 20 * STWI_S));
  assert_true(world->now - fault < 18 * STWI_S);
  world_run(world, STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
}

/* The whole server is silent, and so are new connections: dead after 3 T_soft, then on and on. */
static void a_dead_host_ends_the_link_after_three_times_the_patience(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  talk(conn, STWI_S);
  server->door = WORLD_DOOR_BLACKHOLE;
  world_swallow(world, server, true, true);
  const stwi_time fault = world->now;
  talk(conn, 3 * STWI_S);
  expect_state(conn, STW_STATE_SUSPECT);
  assert_true(world_run_to(world, conn, STW_STATE_CONNECTING, 2 * STWI_S));
  expect_cause(conn, STW_STATE_CONNECTING, STW_CAUSE_HEARTBEAT_TIMEOUT);
  assert_true(world->now - fault < 4500 * STWI_MS);
  world_run(world, 60 * STWI_S);
  server->door = WORLD_DOOR_OPEN;
  assert_true(world_run_settled(world, conn, 125 * STWI_S)); /* two longest windows */
}

/* SIGSTOP of the server for 4 s: no candidate can become ready either. */
static void a_stopped_server_costs_no_message(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  talk(conn, 2 * STWI_S);
  world_freeze(world, server, 4 * STWI_S);
  const stwi_time back = world->now + 4 * STWI_S;
  talk(conn, 4 * STWI_S);
  const uint64_t number = world_say(world, conn);
  assert_true(world_run_settled(world, conn, 2 * STWI_S));
  assert_true(world->now - back < 2 * STWI_S);
  assert_true(world->conns[conn].messages[number - 1].received > 0);
  expect_state(conn, STW_STATE_ONLINE);
}

/* The candidate cannot be ready before the old link answers. */
static void a_false_alarm_keeps_the_live_link(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  talk(conn, 2 * STWI_S);
  server->door = WORLD_DOOR_NO_UPGRADE;
  world_freeze(world, server, 2 * STWI_S);
  world_say(world, conn);
  assert_true(world_run_to(world, conn, STW_STATE_SUSPECT, 2 * STWI_S));
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 2 * STWI_S));
  expect_cause(conn, STW_STATE_ONLINE, STW_CAUSE_RECOVERED);
  assert_int_equal(world_live(world, conn)->gen, 1);
  assert_int_equal(world_metric(world, conn, STW_METRIC_FALSE_ALARMS), 1);
  assert_int_equal(world_metric(world, conn, STW_METRIC_LINKS), 1);
  assert_int_equal(server->duplicates, 0);
  world_run(world, STWI_S);
  for (struct world_link *link = world->conns[conn].links; link != NULL; link = link->next)
    assert_true(link->gen == 1 || link->is_over);
}

/* 1 MiB through 1 Mbit/s takes 8 s: that is no silence. */
static void a_slow_path_is_no_dead_path(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  server->bytes_per_s = 125000;
  for (unsigned i = 0; i < 16; i++)
    world_send(world, conn, &(struct world_send){.size = 65536});
  assert_true(world_run_settled(world, conn, 20 * STWI_S));
  assert_int_equal(world_metric(world, conn, STW_METRIC_LINKS), 1);
  assert_int_equal(server->duplicates, 0);
}

static void one_big_message_on_a_slow_path_arrives(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  server->bytes_per_s = 64 * 1024;
  server->write_delay_ns = 3 * STWI_S; /* of each turn's share */
  world_send(world, conn, &(struct world_send){.size = 2 * 1024 * 1024});
  assert_true(world_run_settled(world, conn, 50 * STWI_S));
  assert_int_equal(world_metric(world, conn, STW_METRIC_LINKS), 1);
}

/* After slow times a dead link is still found. */
static void what_a_slow_path_taught_is_bounded(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  server->bytes_per_s = 16 * 1024;
  world_send(world, conn, &(struct world_send){.size = 256 * 1024});
  assert_true(world_run_settled(world, conn, 60 * STWI_S));
  server->bytes_per_s = 0;
  talk(conn, 2 * STWI_S);
  world_swallow(world, server, true, true);
  const stwi_time fault = world->now;
  talk(conn, 2 * STWI_S);
  assert_true(world_run_settled(world, conn, 30 * STWI_S));
  assert_true(world->now - fault < 15 * STWI_S);
}

static void a_stalled_process_blames_nobody(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  talk(conn, STWI_S);
  world_say(world, conn);
  world_run(world, 250 * STWI_MS); /* a barrier is under way or answered */
  world_say(world, conn);
  world_stalled(world, 60 * STWI_S);
  world_run(world, 5 * STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_metric(world, conn, STW_METRIC_SUSPECTS), 0);
}

static void a_stall_is_not_held_against_an_attempt(void **unused) {
  (void)unused;
  server->latency_ns = 100 * STWI_MS;
  const uint32_t conn = world_open_default(world, "a");
  world_run(world, 150 * STWI_MS);
  world_stalled(world, 60 * STWI_S);
  world_run(world, STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_metric(world, conn, STW_METRIC_ATTEMPTS), 1);
}

static void a_stall_is_not_held_against_ready_when(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->ready_when.kind = STWI_MATCH_HOST;
  const uint32_t conn = world_open(world, config);
  world_run(world, STWI_S);
  world_stalled(world, 60 * STWI_S);
  world_run(world, STWI_S);
  world_do(world, conn, STWI_IN_HOST_READY);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_metric(world, conn, STW_METRIC_ATTEMPTS), 1);
}

static void waking_up_asks_at_once(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
  expect_state(conn, STW_STATE_SUSPECT);
  expect_cause(conn, STW_STATE_SUSPECT, STW_CAUSE_SUSPEND_RESUME);
  world_run(world, 100 * STWI_MS);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_live(world, conn)->gen, 1);
}

static void waking_up_with_a_dead_link_is_over_at_once(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  world_swallow(world, server, true, true);
  world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
  world_run(world, 100 * STWI_MS);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_live(world, conn)->gen, 2);
}

/* A PONG from before the sleep says nothing about the link after it. */
static void an_answer_from_before_the_sleep_proves_nothing(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  server->pong = WORLD_PONG_HOLD;
  server->door = WORLD_DOOR_NO_UPGRADE;
  world_say(world, conn);
  world_run(world, 300 * STWI_MS);
  world_release_pongs(world, server);
  server->pong = WORLD_PONG_NEVER;
  world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
  world_run(world, 100 * STWI_MS);
  expect_state(conn, STW_STATE_SUSPECT);
}

/* Without PINGs a suspicion has no answer; the candidate takes over, or it ends by itself. */
static void a_suspicion_that_nobody_can_clear_ends(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->has_heartbeat = false;
  config->has_hedge = false;
  const uint32_t conn = world_open(world, config);
  world_run(world, STWI_S);
  world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
  expect_state(conn, STW_STATE_SUSPECT);
  world_run(world, 5 * STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
  world_server_text(world, server, "still here");
  world_run(world, 100 * STWI_MS);
  expect_state(conn, STW_STATE_ONLINE);
}

static void silence_is_told_and_then_nothing(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->max_silence_ns = 20 * STWI_S;
  const uint32_t conn = world_open(world, config);
  world_run(world, 25 * STWI_S);
  assert_int_equal(world_count(world, conn, STW_EVENT_STALE), 1);
  assert_int_equal(world_event(world, conn, STW_EVENT_STALE, 0)->event.u.stale.silence_ns,
                   20 * STWI_S);
  world_run(world, 60 * STWI_S);
  assert_int_equal(world_count(world, conn, STW_EVENT_STALE), 1);
  world_server_text(world, server, "news");
  world_run(world, 25 * STWI_S);
  assert_int_equal(world_count(world, conn, STW_EVENT_STALE), 2);
  assert_int_equal(server->accepts, 1);
}

static void silence_repeats_the_opening(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->max_silence_ns = 2 * STWI_S;
  config->stale_action = STWI_STALE_OPENING;
  const uint32_t conn = world_open(world, config);
  world_opening(world, conn, "trades", "o:trades");
  world_run(world, 3 * STWI_S);
  assert_int_equal(world_live(world, conn)->openings, 2);
  assert_int_equal(server->accepts, 1);
}

static void silence_moves_to_a_new_link(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->max_silence_ns = 20 * STWI_S;
  config->stale_action = STWI_STALE_RELINK;
  const uint32_t conn = world_open(world, config);
  world_run(world, 20500 * STWI_MS);
  expect_cause(conn, STW_STATE_MIGRATING, STW_CAUSE_STALE);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_live(world, conn)->gen, 2);
}

static void without_hedges_silence_ends_the_link(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->max_silence_ns = 20 * STWI_S;
  config->stale_action = STWI_STALE_RELINK;
  config->has_hedge = false;
  const uint32_t conn = world_open(world, config);
  world_run(world, 22 * STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_live(world, conn)->gen, 2);
  assert_int_equal(world_count(world, conn, STW_EVENT_STALE), 1);
}

static void a_migration_whose_candidate_fails_goes_on(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->max_silence_ns = 5 * STWI_S;
  config->stale_action = STWI_STALE_RELINK;
  const uint32_t conn = world_open(world, config);
  world_run(world, STWI_S);
  server->door = WORLD_DOOR_REFUSED;
  world_run(world, 30 * STWI_S);
  expect_state(conn, STW_STATE_MIGRATING);
  assert_true(server->dials <= 7); /* the hedge budget: 2 at once, then one in 10 s */
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S)); /* the old link is in use meanwhile */
  server->door = WORLD_DOOR_OPEN;
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 11 * STWI_S));
  assert_int_equal(world_metric(world, conn, STW_METRIC_SWITCHES), 1);
}

static void a_migration_that_grows_silent_is_suspected(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->max_silence_ns = 2 * STWI_S;
  config->stale_action = STWI_STALE_RELINK;
  const uint32_t conn = world_open(world, config);
  world_run(world, STWI_S);
  server->door = WORLD_DOOR_NO_UPGRADE;
  assert_true(world_run_to(world, conn, STW_STATE_MIGRATING, 2 * STWI_S));
  world_swallow(world, server, true, true);
  world_say(world, conn);
  assert_true(world_run_to(world, conn, STW_STATE_SUSPECT, 2 * STWI_S));
  server->door = WORLD_DOOR_OPEN;
  assert_true(world_run_settled(world, conn, 30 * STWI_S));
}

static void the_attempt_counter_falls_after_proof_and_two_seconds(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 5 * STWI_S);
  world_server_close(world, server, 1001, "");
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, STWI_S));
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 2 * STWI_S));
  world_run(world, 1900 * STWI_MS);
  assert_int_equal(world_inside(world, conn)->pace.attempts, 1);
  world_run(world, 200 * STWI_MS);
  assert_int_equal(world_inside(world, conn)->pace.attempts, 0);
}

/* Sends a conn away from a server that then accepts and never answers. */
static uint32_t open_crowded(const char *names) {
  const uint32_t conn = world_open_default(world, names);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  world_run(world, 5 * STWI_S);
  for (uint32_t i = 0; i < world->server_count; i++)
    world->servers[i].door = WORLD_DOOR_NO_UPGRADE;
  world_server_close(world, server, 1012, "");
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, STWI_S));
  return conn;
}

static void patience_with_a_crowded_server_doubles(void **unused) {
  (void)unused;
  static const uint64_t seconds[] = {5, 10, 20, 40, 80, 120, 120};
  const uint32_t conn = open_crowded("a");
  for (unsigned i = 0; i < 7; i++) {
    assert_true(world_run_to(world, conn, STW_STATE_CONNECTING, 1300 * STWI_S));
    assert_true(world_run_to(world, conn, STW_STATE_WAITING, 130 * STWI_S));
    expect_cause(conn, STW_STATE_WAITING, STW_CAUSE_UPGRADE_TIMEOUT);
    const stwi_time began = world_change(world, conn, STW_STATE_CONNECTING)->at;
    assert_int_equal(since(world_change(world, conn, STW_STATE_WAITING), began),
                     seconds[i] * STWI_S);
  }
  const struct world_event *waiting = world_change(world, conn, STW_STATE_WAITING);
  assert_non_null(strstr(waiting->detail, "a longer open_timeout (120000 ms)"));
}

/* The longer patience is for servers: nobody has answered these SYNs. */
static void patience_with_a_silent_path_stays(void **unused) {
  (void)unused;
  const uint32_t conn = open_crowded("a");
  for (unsigned i = 0; i < 3; i++) {
    assert_true(world_run_to(world, conn, STW_STATE_CONNECTING, 100 * STWI_S));
    assert_true(world_run_to(world, conn, STW_STATE_WAITING, 130 * STWI_S));
  }
  server->door = WORLD_DOOR_BLACKHOLE;
  assert_true(world_run_to(world, conn, STW_STATE_CONNECTING, 600 * STWI_S));
  const uint64_t dials = server->dials;
  world_run(world, 5100 * STWI_MS);
  assert_int_equal(server->dials, dials + 2); /* silent paths are raced */
  const struct world_event *failed = world_event(world, conn, STW_EVENT_RETRY, -1);
  assert_int_equal(failed->event.u.retry.cause, STW_CAUSE_TCP_TIMEOUT);
}

/* Silent servers one after the other: none is waited for longer because of another. */
static void each_endpoint_has_its_own_patience(void **unused) {
  (void)unused;
  static const char *const others[] = {"b", "c", "d"};
  for (unsigned i = 0; i < 3; i++)
    world_server(world, others[i]);
  const uint32_t conn = open_crowded("a b c d");
  const stwi_time end = world->now + 120 * STWI_S;
  while (world->now < end) {
    const struct stwi_conn *inside = world_inside(world, conn);
    for (unsigned i = 0; i < STWI_ATTEMPTS_MAX; i++) {
      const struct stwi_link *link = inside->attempts[i];
      if (link == NULL || link->phase < STW_PHASE_UPGRADE || inside->overloads[link->endpoint] > 0)
        continue;
      assert_true(world->now - link->dialled_at <= 5 * STWI_S);
    }
    world_run(world, 100 * STWI_MS);
  }
  assert_true(world_inside(world, conn)->pace.overloads > 2);
  assert_non_null(strstr(world_change(world, conn, STW_STATE_WAITING)->detail, "a longer"));
}

static void a_crowded_server_is_not_raced(void **unused) {
  (void)unused;
  const uint32_t conn = open_crowded("a");
  assert_true(world_run_to(world, conn, STW_STATE_CONNECTING, 5 * STWI_S));
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, 6 * STWI_S));
  assert_int_equal(server->dials, 2);
}

static void beside_a_crowded_server_another_endpoint_is_tried(void **unused) {
  (void)unused;
  struct world_server *second = world_server(world, "b");
  const uint32_t conn = open_crowded("a b");
  assert_true(world_run_to(world, conn, STW_STATE_CONNECTING, 5 * STWI_S));
  const uint64_t before = server->dials + second->dials;
  world_run(world, 4 * STWI_S);
  assert_int_equal(server->dials + second->dials, before + 1);
  assert_int_equal(server->dials, 2);
  assert_int_equal(second->dials, 1);
}

static void after_overload_a_link_that_holds_is_enough(void **unused) {
  (void)unused;
  const uint32_t conn = open_crowded("a");
  assert_true(world_run_to(world, conn, STW_STATE_CONNECTING, 5 * STWI_S));
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, 6 * STWI_S));
  server->door = WORLD_DOOR_OPEN;
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 60 * STWI_S));
  world_run(world, 1900 * STWI_MS);
  assert_int_equal(world_inside(world, conn)->pace.attempts, 2);
  world_run(world, 200 * STWI_MS);
  assert_int_equal(world_inside(world, conn)->pace.attempts, 0);
  assert_int_equal(stwi_pace_patience(&world_inside(world, conn)->pace, STWI_S), STWI_S);
}

/* Ten minutes without a path: no long wait is left over when it is back. */
static void after_a_silent_path_the_next_attempt_is_near(void **unused) {
  (void)unused;
  const uint32_t conn = world_open_default(world, "a");
  world_run(world, 5 * STWI_S);
  world_swallow(world, server, true, true);
  server->door = WORLD_DOOR_BLACKHOLE;
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, 60 * STWI_S));
  world_run(world, 600 * STWI_S);
  server->door = WORLD_DOOR_OPEN;
  server->eats_to_server = server->eats_to_client = false;
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 20 * STWI_S));
}

/* A server that closed its door in good order is not a path that fell silent. */
static void a_server_that_left_is_given_time(void **unused) {
  (void)unused;
  const uint32_t conn = world_open_default(world, "a");
  world_run(world, 5 * STWI_S);
  world_server_close(world, server, 1001, "");
  server->door = WORLD_DOOR_BLACKHOLE;
  world_run(world, 600 * STWI_S);
  const uint64_t before = server->dials;
  world_run(world, 60 * STWI_S);
  assert_true(server->dials - before <= 6);
  assert_true(world_state(world, conn) != STW_STATE_ONLINE);
}

static void a_link_that_proves_nothing_does_not_reset_the_pace(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->heartbeat_timeout_ns = 20 * STWI_S;
  const uint32_t conn = world_open(world, config);
  world_run(world, 5 * STWI_S);
  server->pong = WORLD_PONG_HOLD;
  world_server_close(world, server, 1001, "");
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, STWI_S));
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 2 * STWI_S));
  world_run(world, 10 * STWI_S);
  world_say(world, conn);
  assert_int_equal(world_inside(world, conn)->pace.attempts, 1);
  world_release_pongs(world, server);
  world_run(world, 10 * STWI_MS);
  assert_int_equal(world_inside(world, conn)->pace.attempts, 0);
}

static void offline_tries_again_after_thirty_seconds(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  world_network(world, STW_NETWORK_DOWN);
  expect_state(conn, STW_STATE_OFFLINE);
  world_run(world, 29900 * STWI_MS);
  expect_state(conn, STW_STATE_OFFLINE);
  assert_int_equal(server->dials, 1);
  world_run(world, 200 * STWI_MS);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(server->dials, 2);
}

static void closing_waits_for_the_proofs(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  server->latency_ns = 200 * STWI_MS;
  world_say(world, conn);
  world_close(world, conn, 5 * STWI_S);
  assert_true(world_run_to(world, conn, STW_STATE_CLOSED, 5 * STWI_S));
  assert_true(world->now - WORLD_START < STWI_S);
  assert_int_equal(world_event(world, conn, STW_EVENT_CLOSED, 0)->event.u.closed.undelivered, 0);
  world_run(world, STWI_S);
}

static void closing_goes_on_dialling_until_its_deadline(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_say(world, conn);
  world_close(world, conn, 20 * STWI_S);
  world_run(world, 3 * STWI_S);
  world_restart(world, server);
  assert_true(world_run_to(world, conn, STW_STATE_CLOSED, 20 * STWI_S));
  assert_int_equal(world->conns[conn].messages[0].received, 1);
}

static void closing_ends_at_its_deadline_whatever_happens(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  world_swallow(world, server, true, true);
  server->door = WORLD_DOOR_BLACKHOLE;
  world_say(world, conn);
  const stwi_time then = world->now;
  world_close(world, conn, 3 * STWI_S);
  assert_true(world_run_to(world, conn, STW_STATE_CLOSED, 10 * STWI_S));
  assert_true(world->now - then <= 4 * STWI_S);
  assert_int_equal(world_event(world, conn, STW_EVENT_CLOSED, 0)->event.u.closed.undelivered, 1);
}

static void a_peer_that_ignores_close_is_left_after_a_second(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  server->is_mute_to_close = true;
  const stwi_time then = world->now;
  world_close(world, conn, 5 * STWI_S);
  assert_true(world_run_to(world, conn, STW_STATE_CLOSED, 5 * STWI_S));
  assert_true(world->now - then <= STWI_S);
}

static void closing_while_a_write_is_stuck_ends_at_the_deadline(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  server->is_write_stuck = true;
  world_say(world, conn);
  world_close(world, conn, 500 * STWI_MS);
  assert_true(world_run_to(world, conn, STW_STATE_CLOSED, STWI_S));
}

/* 30 conns: 40 attempts at once, then one in two seconds. */
static void the_budget_of_an_endpoint_bounds_all_its_conns(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_REFUSED;
  for (unsigned i = 0; i < 30; i++)
    world_open_default(world, "a");
  world_run(world, 20 * STWI_S);
  assert_in_range(server->dials, 40, 56);
}

static void a_host_that_supplies_nothing_fails_the_attempt_in_time(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->has_credentials = true;
  const uint32_t conn = world_open(world, config);
  world_run(world, 4990 * STWI_MS);
  expect_state(conn, STW_STATE_CONNECTING);
  world_run(world, 20 * STWI_MS);
  expect_cause(conn, STW_STATE_WAITING, STW_CAUSE_TOKEN_FAILED);
}

static void a_link_that_gets_no_answer_to_its_opening_is_given_up(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->ready_when.kind = STWI_MATCH_HOST;
  const uint32_t conn = world_open(world, config);
  world_run(world, 4990 * STWI_MS);
  expect_state(conn, STW_STATE_CONNECTING);
  world_run(world, 20 * STWI_MS);
  expect_cause(conn, STW_STATE_WAITING, STW_CAUSE_READY_TIMEOUT);
}

static void credentials_are_asked_for_at_nine_tenths_of_their_time(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->has_credentials = true;
  const uint32_t conn = world_open(world, config);
  world_supply(world, conn, "one", 100000);
  world_run(world, 89900 * STWI_MS);
  assert_int_equal(world_count(world, conn, STW_EVENT_CREDENTIALS_NEEDED), 1);
  world_run(world, 200 * STWI_MS);
  assert_int_equal(world_count(world, conn, STW_EVENT_CREDENTIALS_NEEDED), 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      WORLD_TEST(both_directions_swallowed),
      WORLD_TEST(only_server_to_client_swallowed),
      WORLD_TEST(only_client_to_server_swallowed),
      WORLD_TEST(a_write_that_is_never_taken_is_a_zombie_too),
      WORLD_TEST(silence_on_every_link_is_found_again_and_again),
      WORLD_TEST(an_idle_zombie_is_found_by_the_heartbeat),
      WORLD_TEST(a_dead_host_ends_the_link_after_three_times_the_patience),
      WORLD_TEST(a_stopped_server_costs_no_message),
      WORLD_TEST(a_false_alarm_keeps_the_live_link),
      WORLD_TEST(a_slow_path_is_no_dead_path),
      WORLD_TEST(one_big_message_on_a_slow_path_arrives),
      WORLD_TEST(what_a_slow_path_taught_is_bounded),
      WORLD_TEST(a_stalled_process_blames_nobody),
      WORLD_TEST(a_stall_is_not_held_against_an_attempt),
      WORLD_TEST(a_stall_is_not_held_against_ready_when),
      WORLD_TEST(waking_up_asks_at_once),
      WORLD_TEST(waking_up_with_a_dead_link_is_over_at_once),
      WORLD_TEST(an_answer_from_before_the_sleep_proves_nothing),
      WORLD_TEST(a_suspicion_that_nobody_can_clear_ends),
      WORLD_TEST(silence_is_told_and_then_nothing),
      WORLD_TEST(silence_repeats_the_opening),
      WORLD_TEST(silence_moves_to_a_new_link),
      WORLD_TEST(without_hedges_silence_ends_the_link),
      WORLD_TEST(a_migration_whose_candidate_fails_goes_on),
      WORLD_TEST(a_migration_that_grows_silent_is_suspected),
      WORLD_TEST(the_attempt_counter_falls_after_proof_and_two_seconds),
      WORLD_TEST(patience_with_a_crowded_server_doubles),
      WORLD_TEST(patience_with_a_silent_path_stays),
      WORLD_TEST(each_endpoint_has_its_own_patience),
      WORLD_TEST(a_crowded_server_is_not_raced),
      WORLD_TEST(beside_a_crowded_server_another_endpoint_is_tried),
      WORLD_TEST(after_overload_a_link_that_holds_is_enough),
      WORLD_TEST(after_a_silent_path_the_next_attempt_is_near),
      WORLD_TEST(a_server_that_left_is_given_time),
      WORLD_TEST(a_link_that_proves_nothing_does_not_reset_the_pace),
      WORLD_TEST(offline_tries_again_after_thirty_seconds),
      WORLD_TEST(closing_waits_for_the_proofs),
      WORLD_TEST(closing_goes_on_dialling_until_its_deadline),
      WORLD_TEST(closing_ends_at_its_deadline_whatever_happens),
      WORLD_TEST(a_peer_that_ignores_close_is_left_after_a_second),
      WORLD_TEST(closing_while_a_write_is_stuck_ends_at_the_deadline),
      WORLD_TEST(the_budget_of_an_endpoint_bounds_all_its_conns),
      WORLD_TEST(a_host_that_supplies_nothing_fails_the_attempt_in_time),
      WORLD_TEST(a_link_that_gets_no_answer_to_its_opening_is_given_up),
      WORLD_TEST(credentials_are_asked_for_at_nine_tenths_of_their_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
