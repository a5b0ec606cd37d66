#include "world_test.h"

#include <string.h>

static void a_message_is_echoed_and_settles_as_received(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  world_run(world, 10 * STWI_MS);
  assert_string_equal(world->conns[conn].last_inbound, "m:0:1::");
  assert_int_equal(world->conns[conn].proven[STW_PROOF_RECEIVED], 1);
  assert_int_equal(server->messages, 1);
  assert_int_equal(world_metric(world, conn, STW_METRIC_SETTLED), 1);
}

static void messages_wait_for_the_first_link(void **unused) {
  (void)unused;
  const uint32_t conn = world_open_default(world, "a");
  for (unsigned i = 0; i < 10; i++)
    world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_int_equal(server->messages, 10);
}

static void a_close_without_messages_is_a_handshake(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  world_close(world, conn, 5 * STWI_S);
  assert_true(world_run_to(world, conn, STW_STATE_CLOSED, 100 * STWI_MS));
  expect_cause(conn, STW_STATE_CLOSED, STW_CAUSE_REQUESTED);
  assert_int_equal(world_metric(world, conn, STW_METRIC_LINKS_LOST), 0);
}

/* The second one may come while the handshake runs. */
static void closing_twice_is_closing_once(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  server->latency_ns = 50 * STWI_MS;
  world_close(world, conn, 5 * STWI_S);
  world_close(world, conn, 9 * STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_true(world_run_to(world, conn, STW_STATE_CLOSED, 200 * STWI_MS));
  world_close(world, conn, STWI_S);
  assert_int_equal(world_count(world, conn, STW_EVENT_CLOSED), 1);
}

static void a_forgotten_conn_says_nothing_more(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_say(world, conn);
  world_forget(world, conn);
  assert_null(world_inside(world, conn));
  world_run(world, 60 * STWI_S);
  const uint32_t next = open_online();
  assert_int_equal(next, conn); /* the slot is used again */
}

static void reopening_what_is_open_changes_nothing(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  world_close(world, conn, 5 * STWI_S);
  world_do(world, conn, STWI_IN_REOPEN);
  assert_true(world_run_to(world, conn, STW_STATE_CLOSED, STWI_S));
}

/* ---- back-pressure ---- */

static void a_full_mailbox_pauses_the_socket(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  world_inbound(world, conn, true);
  world_inbound(world, conn, true);
  assert_true(world_live(world, conn)->is_paused);
  for (unsigned i = 0; i < 10; i++)
    world_server_text(world, server, "x");
  world_run(world, 60 * STWI_S);
  expect_state(conn, STW_STATE_ONLINE); /* the silence is ours */
  assert_int_equal(world->conns[conn].inbound, 0);
  world_inbound(world, conn, false);
  world_run(world, STWI_S);
  assert_int_equal(world->conns[conn].inbound, 10);
  assert_int_equal(world_metric(world, conn, STW_METRIC_PAUSES), 1);
  assert_int_equal(world_count(world, conn, STW_EVENT_PAUSED), 1);
  assert_int_equal(world_count(world, conn, STW_EVENT_RESUMED), 1);
}

static void a_new_link_of_a_paused_conn_is_paused(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 3 * STWI_S);
  world_inbound(world, conn, true);
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  world_inbound(world, conn, false);
  world_run(world, 5 * STWI_MS);
  world_inbound(world, conn, true);
  world_run(world, 3 * STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_live(world, conn)->gen, 2);
  assert_true(world_live(world, conn)->is_paused);
}

/* The present link is paused while nothing can be read from it: stale would be a lie. */
static void a_paused_conn_is_not_stale(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->max_silence_ns = 2 * STWI_S;
  const uint32_t conn = world_open(world, config);
  world_run(world, STWI_S);
  world_inbound(world, conn, true);
  world_run(world, 20 * STWI_S);
  assert_int_equal(world_count(world, conn, STW_EVENT_STALE), 0);
  world_inbound(world, conn, false);
  world_run(world, 1900 * STWI_MS);
  assert_int_equal(world_count(world, conn, STW_EVENT_STALE), 0);
}

/* ---- credentials ---- */

static void credentials_are_refreshed_ahead_of_their_end(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->has_credentials = true;
  const uint32_t conn = world_open(world, config);
  world_supply(world, conn, "one", 10000);
  world_run(world, 8 * STWI_S);
  assert_int_equal(world_count(world, conn, STW_EVENT_CREDENTIALS_NEEDED), 1);
  world_run(world, 1500 * STWI_MS);
  const struct world_event *asked = world_event(world, conn, STW_EVENT_CREDENTIALS_NEEDED, 1);
  assert_int_equal(asked->event.u.credentials.why, STW_CAUSE_AUTH_EXPIRING);
  world_supply(world, conn, "two", 0);
  expect_cause(conn, STW_STATE_MIGRATING, STW_CAUSE_AUTH_EXPIRING);
  world_run(world, STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_live(world, conn)->gen, 2);
}

static void without_hedges_fresh_credentials_serve_the_next_link(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->has_credentials = true;
  config->has_hedge = false;
  const uint32_t conn = world_open(world, config);
  world_supply(world, conn, "one", 10000);
  world_run(world, 9500 * STWI_MS);
  world_supply(world, conn, "two", UINT64_MAX);
  world_run(world, STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(server->dials, 1);
}

static void bad_credentials_change_nothing(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->has_credentials = true;
  const uint32_t conn = world_open(world, config);
  world_supply(world, conn, "", 0);
  world_run(world, STWI_S);
  assert_int_equal(server->dials, 0);
  world_supply(world, conn, "good", 0);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
}

static void a_supplied_url_replaces_the_configured_one(void **unused) {
  (void)unused;
  struct world_server *other = world_server(world, "b");
  struct stwi_conn_config *config = world_config("a");
  config->has_credentials = true;
  const uint32_t conn = world_open(world, config);
  const struct stwi_input input = {
      .kind = STWI_IN_SUPPLY, .conn = conn, .u.supply = {.url = "ws://b/?ticket=1"}};
  world_input(world, &input);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  assert_int_equal(other->accepts, 1);
  assert_int_equal(server->accepts, 0);
}

/* ---- the network ---- */

static void offline_ends_when_the_network_is_there(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  world_network(world, STW_NETWORK_DOWN);
  expect_cause(conn, STW_STATE_OFFLINE, STW_CAUSE_NET_DOWN);
  world_say(world, conn);
  world_network(world, STW_NETWORK_UP);
  assert_true(world_run_settled(world, conn, STWI_S));
  expect_state(conn, STW_STATE_ONLINE);
}

static void a_link_that_dies_offline_is_no_news(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 3 * STWI_S);
  world_network(world, STW_NETWORK_DOWN);
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  world_run(world, STWI_S);
  expect_state(conn, STW_STATE_OFFLINE);
  world_network(world, STW_NETWORK_UP);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
}

static void another_address_is_a_suspicion(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  world_network(world, STW_NETWORK_CHANGED);
  expect_cause(conn, STW_STATE_SUSPECT, STW_CAUSE_IP_CHANGED);
  world_run(world, 100 * STWI_MS);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_live(world, conn)->gen, 1);
}

/* ---- looking ---- */

static stw_conn_view look(uint32_t conn) {
  stw_conn_view view = {.struct_size = sizeof view};
  assert_true(stwi_core_view(world->core, conn, &view));
  assert_int_equal(view.struct_size, sizeof view);
  return view;
}

static void the_view_shows_what_is(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  stw_conn_view view = look(conn);
  assert_int_equal(view.state, STW_STATE_ONLINE);
  assert_int_equal(view.cause, STW_CAUSE_READY);
  assert_int_equal(view.link, 1);
  assert_int_equal(view.rtt_ns, 2 * STWI_MS);
  assert_int_equal(view.since_ns, WORLD_START + 4 * STWI_MS);
  assert_string_equal(view.endpoint, "ws://a:80/");
  assert_int_equal(view.next_attempt_ns, 0);
  world_network(world, STW_NETWORK_DOWN);
  world_send(world, conn, &(struct world_send){.size = 100});
  view = look(conn);
  assert_int_equal(view.outbox_messages, 1);
  assert_int_equal(view.outbox_bytes, 100);
  assert_int_equal(view.stream.number, 1);
  world_network(world, STW_NETWORK_UP);
  world_run(world, 3 * STWI_S);
  world_server_close(world, server, 1012, "");
  world_run(world, 2 * STWI_MS);
  view = look(conn);
  assert_int_equal(view.state, STW_STATE_WAITING);
  assert_true(view.next_attempt_ns > world->now);
  assert_int_equal(view.close_code, 1012);
  assert_int_equal(view.link, 0);
  assert_string_equal(view.detail, "the server closed with 1012");
}

static void there_is_nothing_to_see_in_an_empty_slot(void **unused) {
  (void)unused;
  stw_conn_view view = {.struct_size = sizeof view};
  uint64_t values[STW_METRIC_COUNT];
  assert_false(stwi_core_view(world->core, 0, &view));
  assert_false(stwi_core_metrics(world->core, 99, world->now, values));
  assert_null(stwi_core_outbox(world->core, 5, STW_LANE_DATA));
}

static void the_clock_of_a_closed_conn_stands(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 10 * STWI_S);
  world_close(world, conn, 0);
  world_run(world, 60 * STWI_S);
  const uint64_t open = world_metric(world, conn, STW_METRIC_OPEN_NS);
  assert_in_range(open, 10 * STWI_S, 11 * STWI_S);
  world_do(world, conn, STWI_IN_REOPEN);
  world_run(world, STWI_S);
  assert_in_range(world_metric(world, conn, STW_METRIC_OPEN_NS), open + STWI_S,
                  open + STWI_S + STWI_MS);
  assert_true(world_metric(world, conn, STW_METRIC_ONLINE_NS) < open + STWI_S);
}

/* ---- the other inputs, each once ---- */

static void a_kick_ends_the_wait(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_REFUSED;
  const uint32_t conn = world_open_default(world, "a");
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, STWI_S));
  world_do(world, conn, STWI_IN_KICK);
  expect_state(conn, STW_STATE_CONNECTING);
  expect_cause(conn, STW_STATE_CONNECTING, STW_CAUSE_REQUESTED);
}

static void an_opening_is_kept_for_the_next_link_and_sent_on_this(void **unused) {
  (void)unused;
  const uint32_t conn = world_open_default(world, "a");
  world_opening(world, conn, "one", "o:one");
  world_opening(world, conn, "", "o:refused");
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  world_opening(world, conn, "two", "o:two");
  world_opening(world, conn, "one", NULL);
  world_run(world, 10 * STWI_MS);
  assert_int_equal(world_live(world, conn)->openings, 2);
}

static void ready_and_cancel_are_passed_on(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->ready_when.kind = STWI_MATCH_HOST;
  const uint32_t conn = world_open(world, config);
  world_cancel(world, conn, world_say(world, conn));
  world_say(world, conn);
  world_run(world, STWI_S);
  world_do(world, conn, STWI_IN_HOST_READY);
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_int_equal(server->messages, 1);
}

static void a_stall_moves_the_patience_of_everything_pending(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_NO_UPGRADE;
  const uint32_t dialling = world_open_default(world, "a");
  world_run(world, 900 * STWI_MS);
  world_stalled(world, 30 * STWI_S);
  assert_int_equal(server->dials, 1); /* not even raced */
  world_run(world, 200 * STWI_MS);
  assert_int_equal(server->dials, 2);
  expect_state(dialling, STW_STATE_CONNECTING);
}

static void waking_up_is_a_suspicion_and_ends_a_wait(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 3 * STWI_S);
  world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
  expect_state(conn, STW_STATE_SUSPECT);
  world_run(world, STWI_S);
  world_server_close(world, server, 1013, "");
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, STWI_S));
  world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
  expect_state(conn, STW_STATE_CONNECTING);
}

static void a_stopped_engine_ends_every_conn_once(void **unused) {
  (void)unused;
  const uint32_t one = open_online(), two = world_open_default(world, "nowhere");
  world_input(world, &(struct stwi_input){.kind = STWI_IN_STOP});
  world_input(world, &(struct stwi_input){.kind = STWI_IN_STOP});
  assert_int_equal(world_count(world, one, STW_EVENT_CLOSED), 1);
  assert_int_equal(world_count(world, two, STW_EVENT_CLOSED), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      WORLD_TEST(a_message_is_echoed_and_settles_as_received),
      WORLD_TEST(messages_wait_for_the_first_link),
      WORLD_TEST(a_close_without_messages_is_a_handshake),
      WORLD_TEST(closing_twice_is_closing_once),
      WORLD_TEST(a_forgotten_conn_says_nothing_more),
      WORLD_TEST(reopening_what_is_open_changes_nothing),
      WORLD_TEST(a_full_mailbox_pauses_the_socket),
      WORLD_TEST(a_new_link_of_a_paused_conn_is_paused),
      WORLD_TEST(a_paused_conn_is_not_stale),
      WORLD_TEST(credentials_are_refreshed_ahead_of_their_end),
      WORLD_TEST(without_hedges_fresh_credentials_serve_the_next_link),
      WORLD_TEST(bad_credentials_change_nothing),
      WORLD_TEST(a_supplied_url_replaces_the_configured_one),
      WORLD_TEST(offline_ends_when_the_network_is_there),
      WORLD_TEST(a_link_that_dies_offline_is_no_news),
      WORLD_TEST(another_address_is_a_suspicion),
      WORLD_TEST(the_view_shows_what_is),
      WORLD_TEST(there_is_nothing_to_see_in_an_empty_slot),
      WORLD_TEST(the_clock_of_a_closed_conn_stands),
      WORLD_TEST(a_kick_ends_the_wait),
      WORLD_TEST(an_opening_is_kept_for_the_next_link_and_sent_on_this),
      WORLD_TEST(ready_and_cancel_are_passed_on),
      WORLD_TEST(a_stall_moves_the_patience_of_everything_pending),
      WORLD_TEST(waking_up_is_a_suspicion_and_ends_a_wait),
      WORLD_TEST(a_stopped_engine_ends_every_conn_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
