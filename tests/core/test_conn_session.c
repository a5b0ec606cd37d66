#include "seed.h"
#include "world_test.h"

#include <stdlib.h>
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

static void numbers_of_the_inbound_lane_come_once_across_links(void **unused) {
  (void)unused;
  server->has_echo = false;
  const uint32_t conn = open_session();
  for (unsigned i = 0; i < 100; i++) {
    world_session_say(world, server, i % 3 == 0 ? STW_LANE_CONTROL : STW_LANE_DATA, "news");
    if (i == 50) {
      world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
      world_restart(world, server);
    }
    world_run(world, 20 * STWI_MS);
  }
  world_run(world, 5 * STWI_S);
  assert_int_equal(world->conns[conn].inbound, 100);
  assert_int_equal(world_count(world, conn, STW_EVENT_GAP), 0);
}

/* ---- two links ---- */

static void a_false_alarm_costs_the_session_nothing(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  world_run(world, 3 * STWI_S);
  server->pong = WORLD_PONG_HOLD;
  server->door = WORLD_DOOR_NO_UPGRADE;
  world_say(world, conn);
  assert_true(world_run_to(world, conn, STW_STATE_SUSPECT, 60 * STWI_S));
  world_run(world, 20 * STWI_MS);
  world_release_pongs(world, server);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  assert_true(server->dials > 1);
  assert_int_equal(server->hellos, 1);
  assert_int_equal(world_live(world, conn)->gen, 1);
  server->pong = WORLD_PONG_ANSWER;
  server->door = WORLD_DOOR_OPEN;
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  expect_once(conn);
}

static void a_dead_link_is_replaced_and_nothing_comes_twice(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  talk(conn, STWI_S);
  world_swallow(world, server, true, true);
  talk(conn, 30 * STWI_S);
  assert_true(world_run_settled(world, conn, 10 * STWI_S));
  expect_once(conn);
  assert_true(server->resumes >= 1);
  assert_int_equal(server->hellos, 1 + server->resumes);
}

static void what_a_half_dead_link_brought_is_settled_without_being_sent_again(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  talk(conn, STWI_S);
  world_swallow(world, server, false, true);
  for (unsigned i = 0; i < 20; i++)
    world_send(world, conn, &(struct world_send){.guarantee = STW_AT_MOST_ONCE});
  world_run(world, 10 * STWI_MS);
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  assert_true(world_run_settled(world, conn, 10 * STWI_S));
  expect_once(conn);
  assert_int_equal(server->replays, 0);
  assert_int_equal(world_metric(world, conn, STW_METRIC_UNKNOWN), 0);
  assert_int_equal(world_count(world, conn, STW_EVENT_MESSAGE_ENDED), 0);
}

static void at_most_once_may_be_sent_again_where_it_never_arrived(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  talk(conn, STWI_S);
  world_swallow(world, server, true, false);
  for (unsigned i = 0; i < 20; i++)
    world_send(world, conn, &(struct world_send){.guarantee = STW_AT_MOST_ONCE});
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  assert_true(world_run_settled(world, conn, 10 * STWI_S));
  expect_once(conn);
  assert_int_equal(server->replays, 20);
  assert_int_equal(last(conn, STW_EVENT_REPLAY)->u.replay.messages, 20);
}

/* ---- no session ---- */

static void a_server_without_sessions_is_a_downgrade_told_once(void **unused) {
  (void)unused;
  server->has_sessions = false;
  const uint32_t conn = open_session();
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  world_run(world, 3 * STWI_S);
  assert_int_equal(world_count(world, conn, STW_EVENT_DOWNGRADED), 1);
  assert_int_equal(last(conn, STW_EVENT_GAP)->u.gap.reason, STW_GAP_NEW_LINK);
}

static void exactly_once_waits_for_a_session(void **unused) {
  (void)unused;
  server->has_sessions = false;
  const uint32_t conn = open_session();
  world_send(world, conn, &(struct world_send){.guarantee = STW_EXACTLY_ONCE});
  world_run(world, 3 * STWI_S);
  assert_int_equal(server->messages, 0);
  server->has_sessions = true;
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  assert_true(world_run_settled(world, conn, 5 * STWI_S));
  expect_once(conn);
  server->has_sessions = false;
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  world_run(world, 5 * STWI_S);
  assert_int_equal(world_count(world, conn, STW_EVENT_DOWNGRADED), 2);
}

static void exactly_once_goes_out_plain_where_that_is_allowed(void **unused) {
  (void)unused;
  server->has_sessions = false;
  struct stwi_conn_config *config = session_config();
  config->may_downgrade = true;
  const uint32_t conn = world_open(world, config);
  world_send(world, conn, &(struct world_send){.guarantee = STW_EXACTLY_ONCE});
  assert_true(world_run_settled(world, conn, 5 * STWI_S));
}

/* ---- openings ---- */

static void opening_messages_go_only_where_the_session_did_not_go_on(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = session_config();
  const uint32_t conn = world_open(world, config);
  world_opening(world, conn, "login", "o:login");
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_int_equal(world_live(world, conn)->openings, 1);
  assert_int_equal(world_live(world, conn)->openings_before, 1);
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  world_run(world, 3 * STWI_S);
  assert_int_equal(server->resumes, 1);
  assert_int_equal(world_live(world, conn)->openings, 0);
  world_session_forget(server);
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  world_run(world, 3 * STWI_S);
  assert_int_equal(world_live(world, conn)->openings, 1);
}

/* ---- stale ---- */

static void lose_memory(uint32_t conn) {
  talk(conn, STWI_S);
  assert_true(world_run_settled(world, conn, STWI_S));
  world_swallow(world, server, true, false);
  world_send(world, conn, &(struct world_send){.guarantee = STW_AT_MOST_ONCE});
  world_say(world, conn);
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_session_forget(server);
  world_restart(world, server);
}

static void a_server_that_lost_the_session_gets_a_new_one_on_the_same_link(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  uint8_t cid[STWI_CID_BYTES];
  lose_memory(conn);
  memcpy(cid, world_inside(world, conn)->session.saved.cid, sizeof cid);
  assert_true(world_run_settled(world, conn, 10 * STWI_S));
  assert_int_equal(world_count(world, conn, STW_EVENT_SESSION_STALE), 1);
  assert_int_equal(last(conn, STW_EVENT_SESSION_STALE)->u.session_stale.messages, 2);
  assert_int_equal(last(conn, STW_EVENT_GAP)->u.gap.reason, STW_GAP_SESSION_LOST);
  assert_memory_not_equal(cid, world_inside(world, conn)->session.saved.cid, sizeof cid);
  assert_int_equal(server->hellos, 3);
  assert_int_equal(server->accepts, 2);
  assert_int_equal(last(conn, STW_EVENT_MESSAGE_ENDED)->u.ended.state, STW_MESSAGE_UNKNOWN);
  assert_int_equal(last(conn, STW_EVENT_MESSAGE_ENDED)->u.ended.cause, STW_CAUSE_RESUME_REFUSED);
  assert_int_equal(world_metric(world, conn, STW_METRIC_UNKNOWN), 1);
}

static void the_host_may_decide_about_messages_of_unknown_fate(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = session_config();
  config->unknown_fate = STWI_UNKNOWN_ASK;
  config->dead_letters = 10;
  const uint32_t conn = world_open(world, config);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  lose_memory(conn);
  world_run(world, 10 * STWI_S);
  assert_int_equal(world_metric(world, conn, STW_METRIC_UNKNOWN), 2);
  assert_int_equal(stwi_core_parked(world->core, conn)->letters, 2);
}

/* ---- refusals and faults ---- */

static void expect_lost(uint32_t conn, stw_cause cause, const char *word) {
  world_run(world, 20 * STWI_MS);
  const struct stwi_conn *inside = world_inside(world, conn);
  assert_string_equal(stw_cause_at((size_t)inside->lost_cause)->name,
                      stw_cause_at((size_t)cause)->name);
  if (strstr(inside->detail, word) == NULL)
    fail_msg("\"%s\" does not say \"%s\"", inside->detail, word);
}

static void refusals_have_their_causes(void **unused) {
  (void)unused;
  static const struct {
    uint32_t code;
    stw_cause cause;
  } cases[] = {{STWI_REFUSE_VERSION, STW_CAUSE_PEER_PROTOCOL},
               {STWI_REFUSE_BUSY, STW_CAUSE_TRY_LATER},
               {99, STW_CAUSE_SESSION_ERROR}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    server->refuses = cases[i].code;
    const uint32_t conn = world_open(world, session_config());
    expect_lost(conn, cases[i].cause, "not now");
    server->refuses = 0;
    assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 60 * STWI_S));
  }
  server->refuses = STWI_REFUSE_AUTH;
  const uint32_t conn = world_open(world, session_config());
  expect_lost(conn, STW_CAUSE_AUTH_FAILED, "not now");
}

static void a_server_that_calls_everything_stale_does_not_spin(void **unused) {
  (void)unused;
  server->refuses = STWI_REFUSE_STALE;
  const uint32_t conn = world_open(world, session_config());
  expect_lost(conn, STW_CAUSE_SESSION_ERROR, "stale");
  world_run(world, 60 * STWI_S);
  assert_true(server->hellos < 60);
}

static void a_hello_without_answer_ends_the_attempt(void **unused) {
  (void)unused;
  server->is_mute_to_hello = true;
  const uint32_t conn = world_open(world, session_config());
  world_run(world, 5100 * STWI_MS);
  expect_lost(conn, STW_CAUSE_SESSION_ERROR, "HELLO");
  server->is_mute_to_hello = false;
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 60 * STWI_S));
}

static void a_frame_before_welcome_breaks_the_link(void **unused) {
  (void)unused;
  static const uint8_t ack[] = {0x82, 4, 0x93, 4, 0, 0};
  server->is_mute_to_hello = true;
  const uint32_t conn = world_open(world, session_config());
  world_run(world, 50 * STWI_MS);
  world_server_bytes(world, server, ack, sizeof ack);
  expect_lost(conn, STW_CAUSE_SESSION_ERROR, "before WELCOME");
}

static void frames_against_the_rules_break_the_link_and_name_the_rule(void **unused) {
  (void)unused;
  static const struct {
    struct stwi_sframe frame;
    const char *word;
  } cases[] = {
      {{.type = STWI_SF_ACK, .u.ack = {.accepted = 50}}, "not sent"},
      {{.type = STWI_SF_DATA, .u.data = {.number = 99}}, "past the next"},
      {{.type = STWI_SF_PART, .u.data = {.number = 99}}, "past the next"},
      {{.type = STWI_SF_GAP, .u.gap = {.from = 9, .to = 9, .reason = 1}}, "GAP begins past"},
      {{.type = STWI_SF_NACK, .u.nack = {.number = 77, .text = {"", 0}}}, "NACK"},
      {{.type = STWI_SF_REFUSE, .u.close = {.code = 1, .text = {"", 0}}}, "twice"},
      {{.type = STWI_SF_AUTH, .u.auth = {.token = {"x", 1}}}, "AUTH"},
  };
  const uint32_t conn = open_session();
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    world_session_frame(world, server, &cases[i].frame);
    expect_lost(conn, STW_CAUSE_SESSION_ERROR, cases[i].word);
    assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 120 * STWI_S));
  }
  world_server_text(world, server, "hello");
  expect_lost(conn, STW_CAUSE_SESSION_ERROR, "text");
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 120 * STWI_S));
  static const uint8_t garbage[] = {0x82, 3, 0xc1, 0xff, 0x00};
  world_server_bytes(world, server, garbage, sizeof garbage);
  expect_lost(conn, STW_CAUSE_SESSION_ERROR, "");
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 120 * STWI_S));
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
}

static void text_that_is_not_utf8_is_refused_and_does_not_count(void **unused) {
  (void)unused;
  static const struct stwi_sframe frame = {
      .type = STWI_SF_DATA,
      .u.data = {
          .number = 1, .flags = STWI_SF_TEXT, .payload = (const uint8_t *)"\xff", .size = 1}};
  const uint32_t conn = open_session();
  world_session_frame(world, server, &frame);
  expect_lost(conn, STW_CAUSE_SESSION_ERROR, "UTF-8");
  assert_int_equal(world->conns[conn].inbound, 0);
  assert_int_equal(world_inside(world, conn)->session.in[0].seen.accepted, 0);
}

static void codes_of_a_close_keep_their_causes(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  world_server_close(world, server, 4409, "");
  expect_lost(conn, STW_CAUSE_REPLACED, "4409");
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 60 * STWI_S));
  world_session_close(world, server, 1012);
  expect_lost(conn, STW_CAUSE_RESTART, "1012: bye");
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 60 * STWI_S));
  world_server_close(world, server, 4401, "");
  expect_lost(conn, STW_CAUSE_AUTH_FAILED, "4401");
}

static void a_nacked_message_is_dead_and_the_rest_flows(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  world_say(world, conn);
  const struct stwi_sframe nack = {
      .type = STWI_SF_NACK, .u.nack = {.number = 1, .code = 42, .text = {"no such room", 12}}};
  world_run(world, 5 * STWI_MS);
  world_session_frame(world, server, &nack);
  world_run(world, 5 * STWI_MS);
  assert_int_equal(last(conn, STW_EVENT_MESSAGE_ENDED)->u.ended.state, STW_MESSAGE_DEAD);
  assert_non_null(
      strstr(world_event(world, conn, STW_EVENT_MESSAGE_ENDED, 0)->detail, "42: no such room"));
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_int_equal(world_metric(world, conn, STW_METRIC_DEAD), 1);
}

static void a_message_over_the_servers_limit_is_dead_and_its_number_a_hole(void **unused) {
  (void)unused;
  server->session_options.message_max = 1000;
  const uint32_t conn = open_session();
  world_send(world, conn, &(struct world_send){.size = 1001});
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_int_equal(last(conn, STW_EVENT_MESSAGE_ENDED)->u.ended.cause, STW_CAUSE_TOO_BIG);
  assert_int_equal(server->gaps, 1);
  assert_int_equal(server->messages, 1);
}

static void messages_taken_back_leave_holes_that_are_told(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_REFUSED;
  const uint32_t conn = world_open(world, session_config());
  for (unsigned i = 0; i < 5; i++)
    world_say(world, conn);
  world_cancel(world, conn, 2);
  world_cancel(world, conn, 3);
  server->door = WORLD_DOOR_OPEN;
  assert_true(world_run_settled(world, conn, 60 * STWI_S));
  assert_int_equal(server->gaps, 2);
  assert_int_equal(server->messages, 3);
}

/* ---- flow ---- */

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

static void say_urgent(uint32_t conn) {
  struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)stwi_msg_footprint(0, 6));
  struct stwi_msg *msg = stwi_chunk_append(chunk, NULL, 0, "urgent", 6);
  msg->number = 1;
  msg->lane = STW_LANE_CONTROL;
  msg->id = (stw_message_id){world_inside(world, conn)->stream | 1, 1};
  const struct stwi_input input = {.kind = STWI_IN_SUBMIT, .conn = conn, .u.submit.chunks = chunk};
  world_input(world, &input);
}

static void an_urgent_message_passes_a_long_one(void **unused) {
  (void)unused;
  server->write_delay_ns = 10 * STWI_MS;
  const uint32_t conn = open_session();
  world_run(world, STWI_S);
  world_send(world, conn, &(struct world_send){.size = 1000000});
  say_urgent(conn);
  world_run(world, 20 * STWI_MS);
  assert_int_equal(server->messages, 0);
  assert_int_equal(world->conns[conn].inbound_ids[STW_LANE_CONTROL].number, 1);
  assert_string_equal(world->conns[conn].last_inbound, "urgent");
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

static void what_the_host_has_processed_reaches_the_server(void **unused) {
  (void)unused;
  server->has_echo = false;
  const uint32_t conn = open_session();
  world_session_say(world, server, STW_LANE_DATA, "one");
  world_run(world, STWI_S);
  assert_int_equal(world_session_role(server)->lanes[0].client_accepted, 1);
  assert_int_equal(world_session_role(server)->lanes[0].client_processed, 0);
  world_processed(world, conn, STW_LANE_DATA, 1);
  world_run(world, STWI_S);
  assert_int_equal(world_session_role(server)->lanes[0].client_processed, 1);
  world_processed(world, conn, (stw_lane)7, 1);
}

/* ---- the process dies ---- */

static void a_new_process_goes_on_with_the_session_of_the_dead_one(void **unused) {
  (void)unused;
  server->has_echo = false;
  const uint32_t conn = open_session();
  for (unsigned i = 0; i < 5; i++)
    world_session_say(world, server, STW_LANE_DATA, "news");
  talk(conn, STWI_S);
  world_processed(world, conn, STW_LANE_DATA, 3);
  world_swallow(world, server, false, true); /* what the server accepts is not known here */
  talk(conn, 300 * STWI_MS);
  assert_int_equal(world->conns[conn].inbound, 5);
  world_crash(world, conn, session_config());
  assert_true(world_run_settled(world, conn, 10 * STWI_S));
  world_run(world, STWI_S);
  expect_once(conn);
  assert_int_equal(server->resumes, 1);
  assert_int_equal(world->conns[conn].inbound, 7); /* 4 and 5 were not processed */
  assert_int_equal(world_count(world, conn, STW_EVENT_SESSION_STALE), 0);
}

/* ---- the store ---- */

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

/* ---- moving ---- */

static void goaway_moves_after_its_time_and_the_old_link_works_until_then(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  talk(conn, STWI_S);
  world_session_goaway(world, server, 1000, 500);
  talk(conn, 900 * STWI_MS);
  expect_state(conn, STW_STATE_MIGRATING);
  expect_cause(conn, STW_STATE_MIGRATING, STW_CAUSE_GOAWAY);
  assert_int_equal(server->dials, 1);
  talk(conn, 2 * STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(server->dials, 2);
  assert_true(world_run_settled(world, conn, STWI_S));
  expect_once(conn);
  assert_int_equal(server->resumes, 1);
}

static uint32_t open_with_token(void) {
  struct stwi_conn_config *config = session_config();
  config->has_credentials = true;
  const uint32_t conn = world_open(world, config);
  world_supply(world, conn, "first", 10000);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  world_run(world, 9100 * STWI_MS);
  assert_int_equal(last(conn, STW_EVENT_CREDENTIALS_NEEDED)->u.credentials.why,
                   STW_CAUSE_AUTH_EXPIRING);
  world_supply(world, conn, "second", 10000);
  world_run(world, STWI_S);
  return conn;
}

static void fresh_credentials_go_in_band(void **unused) {
  (void)unused;
  const uint32_t conn = open_with_token();
  assert_int_equal(server->auths, 1);
  assert_int_equal(server->dials, 1);
  expect_state(conn, STW_STATE_ONLINE);
}

static void credentials_refused_in_band_are_tried_on_another_link(void **unused) {
  (void)unused;
  server->refuses_auth = true;
  const uint32_t conn = open_with_token();
  assert_int_equal(server->auths, 1);
  assert_int_equal(server->dials, 2);
  expect_state(conn, STW_STATE_ONLINE);
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

static void the_subprotocol_is_offered_before_the_hosts_own(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = session_config();
  const uint32_t conn = world_open(world, config);
  assert_string_equal(world_inside(world, conn)->offer, "steadwire.v1");
  const uint32_t plain = world_open_default(world, "a");
  assert_null(world_inside(world, plain)->offer);
  assert_true(world_run_to(world, plain, STW_STATE_ONLINE, STWI_S));
  assert_int_equal(world_count(world, plain, STW_EVENT_DOWNGRADED), 0);
}

/* ---- a random world ---- */

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
    world_run(world, stwi_random_below(&world->random, 300 * STWI_MS));
  }
  server->drop_after = 0;
  world_run_settled(world, conn, 300 * STWI_S);
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

#define SESSION_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, world_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      SESSION_TEST(a_session_begins_and_messages_are_accepted),
      SESSION_TEST(a_lost_link_goes_on_where_it_was),
      SESSION_TEST(numbers_of_the_inbound_lane_come_once_across_links),
      SESSION_TEST(a_false_alarm_costs_the_session_nothing),
      SESSION_TEST(a_dead_link_is_replaced_and_nothing_comes_twice),
      SESSION_TEST(what_a_half_dead_link_brought_is_settled_without_being_sent_again),
      SESSION_TEST(at_most_once_may_be_sent_again_where_it_never_arrived),
      SESSION_TEST(a_server_without_sessions_is_a_downgrade_told_once),
      SESSION_TEST(exactly_once_waits_for_a_session),
      SESSION_TEST(exactly_once_goes_out_plain_where_that_is_allowed),
      SESSION_TEST(opening_messages_go_only_where_the_session_did_not_go_on),
      SESSION_TEST(a_server_that_lost_the_session_gets_a_new_one_on_the_same_link),
      SESSION_TEST(the_host_may_decide_about_messages_of_unknown_fate),
      SESSION_TEST(refusals_have_their_causes),
      SESSION_TEST(a_server_that_calls_everything_stale_does_not_spin),
      SESSION_TEST(a_hello_without_answer_ends_the_attempt),
      SESSION_TEST(a_frame_before_welcome_breaks_the_link),
      SESSION_TEST(frames_against_the_rules_break_the_link_and_name_the_rule),
      SESSION_TEST(text_that_is_not_utf8_is_refused_and_does_not_count),
      SESSION_TEST(codes_of_a_close_keep_their_causes),
      SESSION_TEST(a_nacked_message_is_dead_and_the_rest_flows),
      SESSION_TEST(a_message_over_the_servers_limit_is_dead_and_its_number_a_hole),
      SESSION_TEST(messages_taken_back_leave_holes_that_are_told),
      SESSION_TEST(the_servers_window_is_kept),
      SESSION_TEST(long_messages_pass_in_parts_both_ways),
      SESSION_TEST(an_urgent_message_passes_a_long_one),
      SESSION_TEST(acks_due_go_before_a_close),
      SESSION_TEST(what_the_host_has_processed_reaches_the_server),
      SESSION_TEST(a_new_process_goes_on_with_the_session_of_the_dead_one),
      SESSION_TEST(nothing_goes_out_under_a_token_that_is_not_committed),
      SESSION_TEST(goaway_moves_after_its_time_and_the_old_link_works_until_then),
      SESSION_TEST(fresh_credentials_go_in_band),
      SESSION_TEST(credentials_refused_in_band_are_tried_on_another_link),
      SESSION_TEST(where_it_is_allowed_messages_go_with_hello),
      SESSION_TEST(the_subprotocol_is_offered_before_the_hosts_own),
      cmocka_unit_test(exactly_once_in_order_both_ways_whatever_happens_to_the_links),
      cmocka_unit_test(exactly_once_in_order_both_ways_even_where_the_process_dies),
  };
  return cmocka_run_group_tests_name("conn_session", tests, NULL, NULL);
}
