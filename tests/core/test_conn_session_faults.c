#include "session_test.h"

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

static void links_that_die_young_do_not_make_the_server_of_a_session_mute(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  for (unsigned i = 0; i < 3; i++) {
    server->pong = WORLD_PONG_HOLD;
    world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
    world_restart(world, server);
    world_run(world, 10 * STWI_MS);
    assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 20 * STWI_S));
    world_say(world, conn);
    world_run(world, 300 * STWI_MS);
  }
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  server->pong = WORLD_PONG_ANSWER;
  world_run(world, 10 * STWI_MS);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 20 * STWI_S));
  assert_int_equal(world_count(world, conn, STW_EVENT_NO_PONG), 0);
  world_swallow(world, server, false, true);
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, 20 * STWI_S));
}

static void a_server_of_a_session_that_never_answers_a_ping_is_mute(void **unused) {
  (void)unused;
  server->pong = WORLD_PONG_NEVER;
  const uint32_t conn = open_session();
  for (unsigned i = 0; i < 2; i++)
    talk(conn, 15 * STWI_S);
  assert_int_equal(world_count(world, conn, STW_EVENT_NO_PONG), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
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
      SESSION_TEST(links_that_die_young_do_not_make_the_server_of_a_session_mute),
      SESSION_TEST(a_server_of_a_session_that_never_answers_a_ping_is_mute),
  };
  return cmocka_run_group_tests_name("conn_session_faults", tests, NULL, NULL);
}
