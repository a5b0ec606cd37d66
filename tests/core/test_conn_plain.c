#include "world_test.h"

#include <string.h>

static void server_bytes(const void *bytes, size_t size) {
  world_server_bytes(world, server, bytes, size);
  world_run(world, 10 * STWI_MS);
}

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

static void messages_reach_the_host(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_server_text(world, server, "one");
  world_server_text(world, server, "two");
  world_run(world, 10 * STWI_MS);
  assert_int_equal(world->conns[conn].inbound, 2);
  assert_string_equal(world->conns[conn].last_inbound, "two");
  assert_int_equal(world_metric(world, conn, STW_METRIC_RECEIVED), 2);
  assert_int_equal(world_metric(world, conn, STW_METRIC_RECEIVED_BYTES), 6);
}

/* A message that is cut by the end of a read is lent from the core's own memory. */
static void messages_in_pieces_are_the_same(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world->cuts_reads = true;
  for (unsigned i = 0; i < 50; i++)
    world_server_text(world, server, "a message that is cut wherever it may be");
  world_run(world, 10 * STWI_MS);
  assert_int_equal(world->conns[conn].inbound, 50);
  assert_string_equal(world->conns[conn].last_inbound, "a message that is cut wherever it may be");
}

static void fragments_and_empty_messages_arrive(void **unused) {
  (void)unused;
  static const uint8_t bytes[] = {0x01, 2, 'a', 'b', 0x80, 1, 'c', 0x82, 0};
  const uint32_t conn = open_online();
  server_bytes(bytes, sizeof bytes);
  assert_int_equal(world->conns[conn].inbound, 2);
  assert_string_equal(world->conns[conn].last_inbound, "");
}

static void every_link_but_the_first_is_a_gap(void **unused) {
  (void)unused;
  const uint32_t conn = open_online();
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_run(world, 10 * STWI_MS);
  world_restart(world, server);
  assert_int_equal(world_count(world, conn, STW_EVENT_GAP), 0);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 3 * STWI_S));
  const struct world_event *gap = world_event(world, conn, STW_EVENT_GAP, 0);
  assert_int_equal(gap->event.u.gap.reason, STW_GAP_NEW_LINK);
  assert_false(gap->event.u.gap.known);
}

static void what_is_unproven_is_written_again_in_order(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  world_swallow(world, server, true, true);
  for (unsigned i = 0; i < 5; i++)
    world_say(world, conn);
  world_run(world, 5 * STWI_S);
  const struct world_event *replay = world_event(world, conn, STW_EVENT_REPLAY, 0);
  assert_int_equal(replay->event.u.replay.messages, 5);
  assert_int_equal(replay->event.u.replay.bytes, 5 * strlen("m:0:1::"));
  assert_int_equal(replay->event.link, 2);
  for (uint64_t n = 1; n <= 5; n++)
    assert_int_equal(message(conn, n)->received, 1);
  assert_int_equal(world_metric(world, conn, STW_METRIC_REPLAYED), 5);
}

static void at_most_once_is_never_written_twice(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  world_swallow(world, server, true, true);
  world_send(world, conn, &(struct world_send){.guarantee = STW_AT_MOST_ONCE});
  world_say(world, conn);
  world_run(world, 5 * STWI_S);
  assert_int_equal(message(conn, 1)->received, 0);
  assert_int_equal(message(conn, 1)->end, STW_MESSAGE_UNKNOWN);
  assert_int_equal(message(conn, 1)->end_cause, STW_CAUSE_SUPERSEDED);
  assert_int_equal(message(conn, 2)->received, 1);
  assert_int_equal(world_event(world, conn, STW_EVENT_REPLAY, 0)->event.u.replay.messages, 1);
}

/* RFC 6455 section 5.4: control frames pass between the parts of a message, others do not. */
static void a_ping_is_answered_within_a_long_message(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  server->bytes_per_s = 1 << 20;
  server->write_delay_ns = 200 * STWI_MS;
  world_send(world, conn, &(struct world_send){.size = 4 << 20});
  const uint64_t before = pings(conn);
  world_run(world, 2 * STWI_S);
  assert_int_equal(message(conn, 1)->received, 0);
  assert_true(pings(conn) > before);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_RECEIVED], 0);
  world_opening(world, conn, "late", "o:late");
  assert_true(world_run_settled(world, conn, 30 * STWI_S));
  assert_int_equal(world_metric(world, conn, STW_METRIC_LINKS), 1);
}

static void a_long_message_begins_again_on_the_next_link(void **unused) {
  (void)unused;
  const uint32_t conn = open_quiet();
  server->write_delay_ns = 50 * STWI_MS;
  world_send(world, conn, &(struct world_send){.size = 4 << 20});
  world_run(world, 100 * STWI_MS);
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  assert_true(world_run_settled(world, conn, 60 * STWI_S));
  assert_int_equal(message(conn, 1)->received, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      WORLD_TEST(messages_reach_the_host),
      WORLD_TEST(messages_in_pieces_are_the_same),
      WORLD_TEST(fragments_and_empty_messages_arrive),
      WORLD_TEST(every_link_but_the_first_is_a_gap),
      WORLD_TEST(what_is_unproven_is_written_again_in_order),
      WORLD_TEST(at_most_once_is_never_written_twice),
      WORLD_TEST(a_ping_is_answered_within_a_long_message),
      WORLD_TEST(a_long_message_begins_again_on_the_next_link),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
