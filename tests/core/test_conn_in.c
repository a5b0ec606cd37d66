#include "world_test.h"

#include "core/mem.h"

#include <string.h>

static void server_bytes(const void *bytes, size_t size) {
  world_server_bytes(world, server, bytes, size);
  world_run(world, 10 * STWI_MS);
}

struct close_row {
  uint16_t code;
  stw_cause cause;
  stw_state state;
};

static void expect_close(const struct close_row *row) {
  struct world_server *own = world_server(world, "p");
  const uint32_t conn = world_open_default(world, "p");
  world_run(world, 3 * STWI_S);
  world_server_close(world, own, row->code, "because \x01");
  world_run(world, 5 * STWI_MS);
  expect_state(conn, row->state);
  expect_cause(conn, row->state, row->cause);
  const struct world_event *change = world_change(world, conn, row->state);
  assert_int_equal(change->event.u.state.close_code, row->code);
  char wanted[60];
  snprintf(wanted, sizeof wanted, "the server closed with %u: because ?", row->code);
  assert_string_equal(change->detail, wanted);
  world_close(world, conn, 0);
  world->server_count--;
}

static void a_close_code_names_the_cause(void **unused) {
  (void)unused;
  static const struct close_row rows[] = {
      {1000, STW_CAUSE_CLOSE_NORMAL, STW_STATE_WAITING},
      {1001, STW_CAUSE_GOING_AWAY, STW_STATE_WAITING},
      {1002, STW_CAUSE_PEER_PROTOCOL, STW_STATE_WAITING},
      {1008, STW_CAUSE_POLICY, STW_STATE_WAITING},
      {1011, STW_CAUSE_SERVER_ERROR, STW_STATE_WAITING},
      {1012, STW_CAUSE_RESTART, STW_STATE_WAITING},
      {1013, STW_CAUSE_TRY_LATER, STW_STATE_WAITING},
      {4000, STW_CAUSE_CLOSE_OTHER, STW_STATE_WAITING},
      {4401, STW_CAUSE_AUTH_FAILED, STW_STATE_WAITING},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    expect_close(&rows[i]);
}

static void a_close_without_a_code_is_a_normal_one(void **unused) {
  (void)unused;
  static const uint8_t bytes[] = {0x88, 0};
  const uint32_t conn = open_online();
  world_run(world, 3 * STWI_S);
  server_bytes(bytes, sizeof bytes);
  expect_cause(conn, STW_STATE_WAITING, STW_CAUSE_CLOSE_NORMAL);
}

static void hints_are_taken_from_the_reason(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 3 * STWI_S);
  world_server_close(world, server, 1001, "r=30000;w=10000");
  world_run(world, 5 * STWI_MS);
  const struct world_event *waiting = world_change(world, conn, STW_STATE_WAITING);
  assert_in_range(waiting->event.u.state.delay_ns, 30 * STWI_S, 40 * STWI_S);
}

static struct stwi_code_class *code_class(uint16_t code, stw_class cls) {
  struct stwi_code_class *row = stwi_alloc(sizeof *row);
  *row = (struct stwi_code_class){code, cls};
  return row;
}

static uint32_t open_with_class(uint16_t code, stw_class cls) {
  struct stwi_conn_config *config = world_config("a");
  config->causes = code_class(code, cls);
  config->cause_count = 1;
  const uint32_t conn = world_open(world, config);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  world_run(world, 3 * STWI_S);
  world_server_close(world, server, code, "");
  world_run(world, 5 * STWI_MS);
  return conn;
}

static void the_user_may_say_what_a_code_means(void **unused) {
  (void)unused;
  static const struct {
    stw_class cls;
    stw_cause cause;
    stw_state state;
  } rows[] = {
      {STW_CLASS_AUTH, STW_CAUSE_AUTH_FAILED, STW_STATE_WAITING},
      {STW_CLASS_OVERLOAD, STW_CAUSE_TRY_LATER, STW_STATE_WAITING},
      {STW_CLASS_SERVER_PLANNED, STW_CAUSE_RESTART, STW_STATE_WAITING},
      {STW_CLASS_PROTOCOL, STW_CAUSE_PEER_PROTOCOL, STW_STATE_WAITING},
      {STW_CLASS_PATH, STW_CAUSE_ABNORMAL_FIN, STW_STATE_CONNECTING},
      {STW_CLASS_LOCAL, STW_CAUSE_ABNORMAL_FIN, STW_STATE_CONNECTING},
      {STW_CLASS_HOST, STW_CAUSE_CONFIG, STW_STATE_FAILED},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const uint32_t conn = open_with_class(4004, rows[i].cls);
    expect_cause(conn, rows[i].state, rows[i].cause);
    world_forget(world, conn);
    world_run(world, STWI_S);
  }
}

static void other_codes_keep_their_meaning(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->causes = code_class(4004, STW_CLASS_HOST);
  config->cause_count = 1;
  const uint32_t conn = world_open(world, config);
  world_run(world, 3 * STWI_S);
  world_server_close(world, server, 1012, "");
  world_run(world, 5 * STWI_MS);
  expect_cause(conn, STW_STATE_WAITING, STW_CAUSE_RESTART);
}

static void a_broken_frame_ends_the_link_and_names_the_rule(void **unused) {
  (void)unused;
  static const uint8_t bytes[] = {0xf1, 0};
  const uint32_t conn = open_online();
  world_run(world, 3 * STWI_S);
  server_bytes(bytes, sizeof bytes);
  expect_cause(conn, STW_STATE_WAITING, STW_CAUSE_FRAME_ERROR);
  assert_non_null(strstr(world_change(world, conn, STW_STATE_WAITING)->detail, "RFC 6455"));
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 2 * STWI_S));
}

static void a_message_over_the_limit_three_times_is_final(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->max_message = 10;
  const uint32_t conn = world_open(world, config);
  for (unsigned i = 0; i < 3; i++) {
    assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 10 * STWI_S));
    world_run(world, 3 * STWI_S);
    world_server_text(world, server, "more than ten bytes");
    world_run(world, 10 * STWI_MS);
  }
  expect_cause(conn, STW_STATE_FAILED, STW_CAUSE_INBOUND_TOO_BIG);
}

/* ---- ready_when ---- */

static char *copy_of(const char *text) {
  char *copy = stwi_alloc(strlen(text) + 1);
  memcpy(copy, text, strlen(text) + 1);
  return copy;
}

static struct stwi_conn_config *ready_config(enum stwi_match_kind kind, const char *text) {
  struct stwi_conn_config *config = world_config("a");
  config->ready_when.kind = kind;
  config->ready_when.text = copy_of(text);
  config->ready_when.size = strlen(text);
  return config;
}

static void online_waits_for_the_answer_to_the_opening(void **unused) {
  (void)unused;
  server->opening_reply = "welcome";
  server->latency_ns = 100 * STWI_MS;
  const uint32_t conn = world_open(world, ready_config(STWI_MATCH_EQUALS, "welcome"));
  world_opening(world, conn, "login", "o:login");
  world_say(world, conn);
  world_run(world, 450 * STWI_MS); /* ready after 400 ms */
  expect_state(conn, STW_STATE_CONNECTING);
  world_server_text(world, server, "not yet");
  world_run(world, 120 * STWI_MS);
  expect_state(conn, STW_STATE_CONNECTING);
  assert_int_equal(server->messages, 0);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  assert_int_equal(world->conns[conn].inbound, 2); /* the host sees them, too */
  assert_true(world_run_settled(world, conn, STWI_S));
}

static void an_answer_that_never_comes_ends_the_link(void **unused) {
  (void)unused;
  const uint32_t conn = world_open(world, ready_config(STWI_MATCH_PREFIX, "welcome"));
  world_opening(world, conn, "login", "o:login");
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, 6 * STWI_S));
  expect_cause(conn, STW_STATE_WAITING, STW_CAUSE_READY_TIMEOUT);
}

static void the_host_may_say_ready(void **unused) {
  (void)unused;
  const uint32_t conn = world_open(world, ready_config(STWI_MATCH_HOST, ""));
  world_do(world, conn, STWI_IN_HOST_READY); /* too early: there is no link */
  world_run(world, STWI_S);
  expect_state(conn, STW_STATE_CONNECTING);
  world_do(world, conn, STWI_IN_HOST_READY);
  expect_state(conn, STW_STATE_ONLINE);
  world_do(world, conn, STWI_IN_HOST_READY); /* too late: nothing */
  expect_state(conn, STW_STATE_ONLINE);
}

static void a_full_mailbox_does_not_keep_the_answer_away(void **unused) {
  (void)unused;
  server->opening_reply = "welcome";
  const uint32_t conn = world_open(world, ready_config(STWI_MATCH_EQUALS, "welcome"));
  world_opening(world, conn, "login", "o:login");
  world_inbound(world, conn, true);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  assert_true(world_live(world, conn)->is_paused);
}

/* ---- offline ---- */

static void a_byte_on_the_kept_link_proves_the_hint_wrong(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_say(world, conn);
  world_run(world, 210 * STWI_MS);
  world_say(world, conn); /* its barrier stays unanswered while offline */
  server->pong = WORLD_PONG_HOLD;
  world_run(world, 300 * STWI_MS);
  world_network(world, STW_NETWORK_DOWN);
  world_run(world, 20 * STWI_S);
  expect_state(conn, STW_STATE_OFFLINE);
  world_server_text(world, server, "hello");
  world_run(world, 10 * STWI_MS);
  expect_state(conn, STW_STATE_ONLINE);
  expect_cause(conn, STW_STATE_ONLINE, STW_CAUSE_RECOVERED);
  world_run(world, STWI_S); /* and the silence is not held against it */
  expect_state(conn, STW_STATE_ONLINE);
  world_release_pongs(world, server);
  server->pong = WORLD_PONG_ANSWER;
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_int_equal(world_live(world, conn)->gen, 1);
}

static void a_kept_link_that_becomes_ready_is_online(void **unused) {
  (void)unused;
  const uint32_t conn = world_open(world, ready_config(STWI_MATCH_EQUALS, "welcome"));
  world_say(world, conn);
  world_run(world, STWI_S);
  world_network(world, STW_NETWORK_DOWN);
  world_server_text(world, server, "something else");
  world_run(world, 10 * STWI_MS);
  expect_state(conn, STW_STATE_OFFLINE);
  world_server_text(world, server, "welcome");
  world_run(world, 10 * STWI_MS);
  expect_state(conn, STW_STATE_ONLINE);
  assert_true(world_run_settled(world, conn, STWI_S));
}

static void bytes_of_an_older_link_are_nothing(void **unused) {
  (void)unused;
  world->has_late_inputs = true;
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  server->pong = WORLD_PONG_NEVER;
  server->latency_ns = 50 * STWI_MS;
  world_server_text(world, server, "late");
  server->latency_ns = STWI_MS;
  world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
  world_run(world, STWI_S);
  assert_int_equal(world_live(world, conn)->gen, 2);
  assert_int_equal(world->conns[conn].inbound, 0);
}

/* Assembled by the decoder and handed on without another copy, as many as there is room for. */
static void big_messages_in_pieces_arrive_whole(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world->cuts_reads = true;
  for (unsigned i = 0; i < 20; i++)
    world_send(world, conn, &(struct world_send){.size = 100000});
  world_run(world, STWI_S);
  assert_int_equal(world->conns[conn].inbound, 20);
  assert_memory_equal(world->conns[conn].last_inbound, "m:0:20::....", 12);
  assert_int_equal(world_metric(world, conn, STW_METRIC_RECEIVED_BYTES), 2000000);
}

static void a_ping_of_the_server_is_answered(void **unused) {
  (void)unused;
  static const uint8_t ping[] = {0x89, 2, 'h', 'i'};
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  const uint64_t before = world_metric(world, conn, STW_METRIC_WIRE_OUT_BYTES);
  server_bytes(ping, sizeof ping);
  assert_int_equal(world_metric(world, conn, STW_METRIC_WIRE_OUT_BYTES) - before, 8);
}

/* A close that crosses a write under way: nothing can be answered, and nothing needs to be. */
static void a_close_during_a_write_ends_the_link_too(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_run(world, 3 * STWI_S);
  server->is_write_stuck = true;
  world_say(world, conn);
  world_server_close(world, server, 1001, "");
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, STWI_S));
  server->is_write_stuck = false;
  assert_true(world_run_settled(world, conn, 3 * STWI_S));
}

static void without_pings_any_byte_clears_a_suspicion(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->has_heartbeat = config->has_hedge = false;
  const uint32_t conn = world_open(world, config);
  world_run(world, STWI_S);
  world_network(world, STW_NETWORK_CHANGED);
  expect_state(conn, STW_STATE_SUSPECT);
  world_server_text(world, server, "x");
  world_run(world, 10 * STWI_MS);
  expect_state(conn, STW_STATE_ONLINE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      WORLD_TEST(a_close_code_names_the_cause),
      WORLD_TEST(a_close_without_a_code_is_a_normal_one),
      WORLD_TEST(hints_are_taken_from_the_reason),
      WORLD_TEST(the_user_may_say_what_a_code_means),
      WORLD_TEST(other_codes_keep_their_meaning),
      WORLD_TEST(a_broken_frame_ends_the_link_and_names_the_rule),
      WORLD_TEST(a_message_over_the_limit_three_times_is_final),
      WORLD_TEST(online_waits_for_the_answer_to_the_opening),
      WORLD_TEST(an_answer_that_never_comes_ends_the_link),
      WORLD_TEST(the_host_may_say_ready),
      WORLD_TEST(a_full_mailbox_does_not_keep_the_answer_away),
      WORLD_TEST(a_byte_on_the_kept_link_proves_the_hint_wrong),
      WORLD_TEST(a_kept_link_that_becomes_ready_is_online),
      WORLD_TEST(bytes_of_an_older_link_are_nothing),
      WORLD_TEST(big_messages_in_pieces_arrive_whole),
      WORLD_TEST(a_ping_of_the_server_is_answered),
      WORLD_TEST(a_close_during_a_write_ends_the_link_too),
      WORLD_TEST(without_pings_any_byte_clears_a_suspicion),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
