#include "world_test.h"

#include <string.h>

static struct world_message *message(uint32_t conn, uint64_t number) {
  return &world->conns[conn].messages[number - 1];
}

/* An idle link whose opening barrier is answered. */
static uint32_t open_quiet(void) {
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  return conn;
}

static uint64_t pings(uint32_t conn) {
  return world_live(world, conn)->pings;
}

/* ---- barriers and proofs ---- */

static void a_lone_message_is_proven_at_once_and_a_stream_every_200_ms(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  assert_int_equal(pings(conn), 1); /* the first one measures the path */
  world_say(world, conn);
  world_run(world, 5 * STWI_MS);
  assert_int_equal(pings(conn), 2);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_RECEIVED], 1);
  world_say(world, conn);
  world_run(world, 100 * STWI_MS);
  world_say(world, conn);
  world_run(world, 90 * STWI_MS);
  assert_int_equal(pings(conn), 2);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_WRITTEN], 3);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_RECEIVED], 1);
  world_run(world, 10 * STWI_MS);
  assert_int_equal(pings(conn), 3); /* one for both */
  assert_int_equal(world->conns[conn].proven[STW_PROOF_RECEIVED], 3);
}

static void a_barrier_follows_64_kib_at_once(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  world_send(world, conn, &(struct world_send){.size = 65536});
  world_run(world, 5 * STWI_MS);
  assert_int_equal(pings(conn), 2);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_RECEIVED], 1);
}

static void nothing_is_proven_by_silence(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  server->pong = WORLD_PONG_HOLD;
  world_say(world, conn);
  world_run(world, STWI_S);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_RECEIVED], 0);
  assert_false(stwi_conn_is_delivered(world_inside(world, conn)));
  world_release_pongs(world, server);
  world_run(world, 5 * STWI_MS);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_RECEIVED], 1);
}

/* RFC 6455 section 5.5.3: a peer may answer the latest PING alone. */
static void the_answer_to_the_latest_barrier_covers_the_earlier(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  server->pong = WORLD_PONG_LAST;
  world_freeze(world, server, STWI_S);
  for (unsigned i = 0; i < 4; i++) {
    world_say(world, conn);
    world_run(world, 240 * STWI_MS);
  }
  world_run(world, 100 * STWI_MS);
  assert_true(world_run_settled(world, conn, STWI_S));
  expect_state(conn, STW_STATE_ONLINE);
}

/* More unanswered barriers than there is room to remember. */
static void barriers_are_bounded(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->heartbeat_timeout_ns = 60 * STWI_S;
  const uint32_t conn = world_open(world, config);
  world_run(world, STWI_S);
  server->pong = WORLD_PONG_HOLD;
  for (unsigned i = 0; i < 40; i++) {
    world_say(world, conn);
    world_run(world, 250 * STWI_MS);
  }
  assert_int_equal(pings(conn), 1 + STWI_BARRIERS_MAX);
  world_release_pongs(world, server);
  server->pong = WORLD_PONG_ANSWER;
  assert_true(world_run_settled(world, conn, STWI_S));
}

static void server_pong(const uint8_t *payload, size_t size) {
  uint8_t frame[130] = {0x8a, (uint8_t)size};
  memcpy(frame + 2, payload, size);
  world_server_bytes(world, server, frame, size + 2);
  world_run(world, 5 * STWI_MS);
}

/* Payload of the barrier `id` of link `gen`. */
static void forge(uint8_t payload[16], uint8_t gen, uint8_t id) {
  memset(payload, 0, 16);
  memcpy(payload, "stw1", 4);
  payload[7] = gen;
  payload[15] = id;
}

static void only_the_answer_to_our_own_question_counts(void **unused) {
  (void)unused;
  uint8_t payload[16];
  const uint32_t conn = open_quiet();
  server->pong = WORLD_PONG_HOLD;
  world_say(world, conn);
  world_run(world, 300 * STWI_MS); /* barrier 2 of link 1 is open */
  forge(payload, 0, 2);
  server_pong(payload, 16); /* of an older generation */
  forge(payload, 1, 3);
  server_pong(payload, 16); /* never asked */
  forge(payload, 1, 1);
  server_pong(payload, 16); /* answered long ago */
  forge(payload, 1, 2);
  server_pong(payload, 15); /* cut short */
  payload[0] = 'x';
  server_pong(payload, 16); /* not ours */
  server_pong(payload, 0);  /* unsolicited heartbeat */
  assert_int_equal(world->conns[conn].proven[STW_PROOF_RECEIVED], 0);
  forge(payload, 1, 2);
  world->conns[conn].messages[0].received = 1;
  server_pong(payload, 16);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_RECEIVED], 1);
  server_pong(payload, 16); /* and only once */
}

static void without_heartbeat_messages_settle_at_written(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->has_heartbeat = false;
  const uint32_t conn = world_open(world, config);
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  world_run(world, 60 * STWI_S);
  assert_int_equal(server->pings, 0);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_WRITTEN], 1);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_RECEIVED], 0);
}

static void written_is_claimed_when_the_socket_has_it(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  world_say(world, conn); /* the next one has no barrier of its own for 200 ms */
  world_run(world, 20 * STWI_MS);
  server->write_delay_ns = 100 * STWI_MS;
  world_say(world, conn);
  world_run(world, 50 * STWI_MS);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_WRITTEN], 1);
  world_run(world, 60 * STWI_MS);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_WRITTEN], 2);
}

/* ---- replay ---- */

static void nothing_is_written_while_offline_or_connecting(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  world_network(world, STW_NETWORK_DOWN);
  world_say(world, conn);
  world_run(world, 10 * STWI_S);
  assert_int_equal(message(conn, 1)->received, 0);
  world_network(world, STW_NETWORK_UP);
  assert_true(world_run_settled(world, conn, STWI_S));
}

/* ---- the opening ---- */

static void the_opening_comes_first_on_every_link(void **unused) {
  (void)unused;
  const uint32_t conn = world_open_default(world, "a");
  world_opening(world, conn, "login", "o:login");
  world_opening(world, conn, "trades", "o:trades");
  world_say(world, conn);
  for (unsigned i = 0; i < 3; i++) {
    assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 2 * STWI_S));
    world_say(world, conn);
    world_run(world, 3 * STWI_S);
    const struct world_link *link = world_live(world, conn);
    assert_int_equal(link->openings, 2);
    assert_int_equal(link->openings_before, 2);
    assert_true(link->messages > 0);
    world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
    world_restart(world, server);
    world_run(world, 5 * STWI_MS);
  }
}

static void an_opening_changed_while_online_is_sent_at_once(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  world_opening(world, conn, "trades", "o:trades");
  world_run(world, 5 * STWI_MS);
  assert_int_equal(world_live(world, conn)->openings, 1);
  world_opening(world, conn, "trades", "o:other");
  world_run(world, 5 * STWI_MS);
  assert_int_equal(world_live(world, conn)->openings, 2);
  world_opening(world, conn, "trades", NULL);
  world_opening(world, conn, "", "o:refused");
  world_run(world, 5 * STWI_MS);
  assert_int_equal(world_live(world, conn)->openings, 2);
}

/* ---- poison ---- */

static void expect_poison_ends(uint16_t code, stw_cause cause) {
  server->rejects = "poison";
  server->reject_code = code;
  const uint32_t conn = open_quiet();
  for (unsigned i = 0; i < 5; i++)
    world_say(world, conn);
  const uint64_t bad = world_send(world, conn, &(struct world_send){.marker = "poison"});
  for (unsigned i = 0; i < 5; i++)
    world_say(world, conn);
  const uint64_t dials = server->dials;
  assert_true(world_run_settled(world, conn, 60 * STWI_S));
  assert_in_range(server->dials - dials, 3, 5);
  for (uint64_t n = 1; n <= world->conns[conn].sent; n++) {
    assert_int_equal(message(conn, n)->is_ended, n == bad);
    assert_true(n == bad || message(conn, n)->received > 0);
  }
  assert_int_equal(message(conn, bad)->end, STW_MESSAGE_DEAD);
  assert_int_equal(message(conn, bad)->end_cause, cause);
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  world_run(world, 60 * STWI_S);
  assert_in_range(server->dials - dials, 3, 5);
}

static void a_message_rejected_with_1007_is_found_and_dead(void **unused) {
  (void)unused;
  expect_poison_ends(1007, STW_CAUSE_BAD_PAYLOAD);
}

static void a_message_rejected_with_1009_is_found_and_dead(void **unused) {
  (void)unused;
  expect_poison_ends(1009, STW_CAUSE_TOO_BIG);
}

static void caution_writes_one_message_per_proof(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  server->rejects = "poison";
  server->reject_code = 1007;
  world_send(world, conn, &(struct world_send){.marker = "poison"});
  for (unsigned i = 0; i < 4; i++)
    world_say(world, conn);
  assert_true(world_run_to(world, conn, STW_STATE_WAITING, STWI_S));
  server->rejects = NULL; /* it was not that bad */
  server->pong = WORLD_PONG_HOLD;
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 3 * STWI_S));
  world_run(world, 100 * STWI_MS);
  assert_int_equal(world_live(world, conn)->messages, 1);
  server->pong = WORLD_PONG_ANSWER;
  world_release_pongs(world, server);
  assert_true(world_run_settled(world, conn, STWI_S));
}

/* ---- PONGs owed ---- */

static void server_ping(const char *text) {
  uint8_t frame[130] = {0x89, (uint8_t)strlen(text)};
  memcpy(frame + 2, text, strlen(text));
  world_server_bytes(world, server, frame, strlen(text) + 2);
}

static uint64_t out_bytes(uint32_t conn) {
  return world_metric(world, conn, STW_METRIC_WIRE_OUT_BYTES);
}

static void a_ping_is_answered_with_its_payload(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  const uint64_t before = out_bytes(conn);
  server_ping("");
  server_ping("hello");
  world_run(world, 5 * STWI_MS);
  assert_int_equal(out_bytes(conn) - before, 6 + 6 + 5);
  assert_null(world_inside(world, conn)->active->pongs);
}

/* A peer that asks and does not read: the oldest answers give way. */
static void pongs_owed_are_bounded(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  server->is_write_stuck = true;
  server_ping("first");
  world_run(world, 5 * STWI_MS);
  for (unsigned i = 0; i < 1000; i++)
    server_ping("a payload of some length, so that it adds up to much");
  world_run(world, 5 * STWI_MS);
  assert_true(world_inside(world, conn)->active->pongs_used <= STWI_PONGS_BYTES_MAX);
  assert_true(world_inside(world, conn)->active->pongs_used > STWI_PONGS_BYTES_MAX - 60);
}

static void pings_are_answered_while_offline_and_while_opening(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->ready_when.kind = STWI_MATCH_HOST;
  const uint32_t conn = world_open(world, config);
  world_run(world, STWI_S);
  expect_state(conn, STW_STATE_CONNECTING);
  const uint64_t before = out_bytes(conn);
  server_ping("x");
  world_run(world, 5 * STWI_MS);
  assert_int_equal(out_bytes(conn) - before, 7);
}

/* ---- writing ---- */

static void a_big_message_goes_out_in_one_write(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  world_send(world, conn, &(struct world_send){.size = 3 * 1024 * 1024});
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_int_equal(message(conn, 1)->received, 1);
}

/* More than the entropy and the memory of one step allow. */
static void many_small_messages_need_many_turns(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  world_network(world, STW_NETWORK_DOWN);
  for (unsigned i = 0; i < 20000; i++)
    world_say(world, conn);
  world_network(world, STW_NETWORK_UP);
  assert_true(world_run_settled(world, conn, 2 * STWI_S));
  assert_int_equal(server->messages, 20000);
  assert_int_equal(server->duplicates, 0);
}

static void a_cancelled_message_is_not_written(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  world_network(world, STW_NETWORK_DOWN);
  const uint64_t number = world_say(world, conn);
  world_say(world, conn);
  world_cancel(world, conn, number);
  world_network(world, STW_NETWORK_UP);
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_int_equal(message(conn, number)->received, 0);
  assert_int_equal(message(conn, number)->end, STW_MESSAGE_CANCELLED);
}

static void a_message_whose_time_is_over_is_not_written(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  world_network(world, STW_NETWORK_DOWN);
  world_send(world, conn, &(struct world_send){.ttl_ns = 500 * STWI_MS});
  world_run(world, STWI_S);
  assert_int_equal(message(conn, 1)->end, STW_MESSAGE_EXPIRED);
}

/* What another conn of the same endpoint has learnt holds for the messages under way, too. */
static void muteness_learnt_elsewhere_settles_what_is_under_way(void **unused) {
  (void)unused;
  server->pong = WORLD_PONG_NEVER;
  struct stwi_conn_config *config = world_config("a");
  config->heartbeat_timeout_ns = 30 * STWI_S;
  const uint32_t patient = world_open(world, config);
  const uint32_t other = world_open_default(world, "a");
  world_say(world, patient);
  world_run(world, 10 * STWI_S);
  assert_int_equal(world_count(world, other, STW_EVENT_NO_PONG), 1);
  assert_true(world_run_settled(world, patient, 60 * STWI_S));
  assert_int_equal(world_count(world, patient, STW_EVENT_NO_PONG), 1);
  assert_int_equal(world->conns[patient].settled, 1);
  world_run(world, 60 * STWI_S);
  assert_int_equal(world_metric(world, patient, STW_METRIC_LINKS), 1);
}

/* A path that never answered in time is taken to be slower, so that the next link gets through. */
static void a_link_given_up_with_bytes_under_way_teaches_slowness(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  const uint64_t before = world_inside(world, conn)->byte_ns;
  world_swallow(world, server, true, true);
  world_send(world, conn, &(struct world_send){.size = 20000});
  world_run(world, 5 * STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_true(world_inside(world, conn)->byte_ns > before);
  for (unsigned i = 0; i < 60; i++) {
    world_send(world, conn, &(struct world_send){.size = 70000});
    world_run(world, 300 * STWI_MS);
  }
  assert_true(world_inside(world, conn)->byte_ns < before / 4);
}

/* Waking up while a write is under way: its barrier goes out behind it, and only that one counts.
 */
static void a_probe_waits_for_the_write_under_way(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  server->door = WORLD_DOOR_NO_UPGRADE;
  server->write_delay_ns = 500 * STWI_MS;
  world_say(world, conn);
  world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
  world_run(world, 400 * STWI_MS);
  expect_state(conn, STW_STATE_SUSPECT);
  world_run(world, 200 * STWI_MS);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(world_live(world, conn)->gen, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      WORLD_TEST(a_lone_message_is_proven_at_once_and_a_stream_every_200_ms),
      WORLD_TEST(a_barrier_follows_64_kib_at_once),
      WORLD_TEST(nothing_is_proven_by_silence),
      WORLD_TEST(the_answer_to_the_latest_barrier_covers_the_earlier),
      WORLD_TEST(barriers_are_bounded),
      WORLD_TEST(only_the_answer_to_our_own_question_counts),
      WORLD_TEST(without_heartbeat_messages_settle_at_written),
      WORLD_TEST(written_is_claimed_when_the_socket_has_it),
      WORLD_TEST(nothing_is_written_while_offline_or_connecting),
      WORLD_TEST(the_opening_comes_first_on_every_link),
      WORLD_TEST(an_opening_changed_while_online_is_sent_at_once),
      WORLD_TEST(a_message_rejected_with_1007_is_found_and_dead),
      WORLD_TEST(a_message_rejected_with_1009_is_found_and_dead),
      WORLD_TEST(caution_writes_one_message_per_proof),
      WORLD_TEST(a_ping_is_answered_with_its_payload),
      WORLD_TEST(pongs_owed_are_bounded),
      WORLD_TEST(pings_are_answered_while_offline_and_while_opening),
      WORLD_TEST(a_big_message_goes_out_in_one_write),
      WORLD_TEST(many_small_messages_need_many_turns),
      WORLD_TEST(a_cancelled_message_is_not_written),
      WORLD_TEST(a_message_whose_time_is_over_is_not_written),
      WORLD_TEST(muteness_learnt_elsewhere_settles_what_is_under_way),
      WORLD_TEST(a_link_given_up_with_bytes_under_way_teaches_slowness),
      WORLD_TEST(a_probe_waits_for_the_write_under_way),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
