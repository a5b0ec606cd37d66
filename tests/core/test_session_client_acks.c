#include "sclient_test.h"
#include "seed.h"

#include "core/pace.h"

static void an_ack_waits_for_company_at_most_50_ms(void **unused) {
  (void)unused;
  data(STWI_SF_DATA, 0, 1, "one");
  assert_int_equal(stwi_sclient_deadline(&client), NOW + 50 * STWI_MS);
  assert_false(stwi_sclient_next_control(&client, NOW, false, &frame));
  assert_true(stwi_sclient_next_control(&client, NOW + 50 * STWI_MS, false, &frame));
  expect_ack(0, 1, 0);
  assert_false(stwi_sclient_next_control(&client, NOW + 50 * STWI_MS, false, &frame));
  assert_int_equal(stwi_sclient_deadline(&client), STWI_NEVER);
}

static void thirty_two_messages_are_acked_at_once(void **unused) {
  (void)unused;
  for (uint64_t n = 1; n < 32; n++)
    data(STWI_SF_DATA, 0, n, "x");
  assert_int_equal(stwi_sclient_deadline(&client), NOW + 50 * STWI_MS);
  data(STWI_SF_DATA, 0, 32, "x");
  assert_int_equal(stwi_sclient_deadline(&client), NOW);
  assert_true(stwi_sclient_next_control(&client, NOW, false, &frame));
  expect_ack(0, 32, 0);
}

static void sixty_four_kib_are_acked_at_once(void **unused) {
  (void)unused;
  static char text[40000];
  client.message_max = 1 << 20;
  memset(text, 'x', sizeof text - 1);
  data(STWI_SF_DATA, 0, 1, text);
  assert_int_equal(stwi_sclient_deadline(&client), NOW + 50 * STWI_MS);
  data(STWI_SF_DATA, 0, 2, text);
  assert_int_equal(stwi_sclient_deadline(&client), NOW);
}

static void the_control_lane_is_acked_at_once_and_first(void **unused) {
  (void)unused;
  data(STWI_SF_DATA, 0, 1, "one");
  data(STWI_SF_DATA, 1, 1, "urgent");
  assert_int_equal(stwi_sclient_deadline(&client), NOW);
  assert_true(stwi_sclient_next_control(&client, NOW, false, &frame));
  expect_ack(1, 1, 0);
  assert_false(stwi_sclient_next_control(&client, NOW, false, &frame));
  data(STWI_SF_DATA, 1, 2, "urgent");
  assert_true(stwi_sclient_next_control(&client, NOW + 50 * STWI_MS, false, &frame));
  expect_ack(1, 2, 0);
  assert_true(stwi_sclient_next_control(&client, NOW + 50 * STWI_MS, false, &frame));
  expect_ack(0, 1, 0);
}

static void each_lane_is_counted_alone(void **unused) {
  (void)unused;
  for (uint64_t n = 1; n < 32; n++)
    data(STWI_SF_DATA, 0, n, "x");
  data(STWI_SF_DATA, 1, 1, "urgent");
  stwi_sclient_next_control(&client, NOW, false, &frame);
  expect_ack(1, 1, 0);
  assert_int_equal(stwi_sclient_deadline(&client), NOW + 50 * STWI_MS);
}

static void repeats_are_acked_again_together(void **unused) {
  (void)unused;
  data(STWI_SF_DATA, 0, 1, "one");
  stwi_sclient_next_control(&client, NOW, true, &frame);
  assert_int_equal(stwi_sclient_deadline(&client), STWI_NEVER);
  for (unsigned i = 0; i < 100; i++)
    data(STWI_SF_DATA, 0, 1, "one");
  gap(1, 1);
  assert_int_equal(stwi_sclient_deadline(&client), NOW + 50 * STWI_MS);
  assert_true(stwi_sclient_next_control(&client, NOW + 50 * STWI_MS, false, &frame));
  expect_ack(0, 1, 0);
  assert_int_equal(stwi_sclient_deadline(&client), STWI_NEVER);
  data(STWI_SF_DATA, 1, 1, "urgent");
  stwi_sclient_next_control(&client, NOW, false, &frame);
  data(STWI_SF_DATA, 1, 1, "urgent");
  assert_int_equal(stwi_sclient_deadline(&client), NOW);
}

static void the_last_acks_do_not_wait(void **unused) {
  (void)unused;
  data(STWI_SF_DATA, 0, 1, "one");
  assert_true(stwi_sclient_next_control(&client, NOW, true, &frame));
  expect_ack(0, 1, 0);
}

static void what_the_host_has_processed_is_told(void **unused) {
  (void)unused;
  data(STWI_SF_DATA, 0, 1, "one");
  stwi_sclient_next_control(&client, NOW, true, &frame);
  stwi_sclient_next_control(&client, NOW, true, &frame);
  assert_true(stwi_sclient_processed(&client, 0, 1, NOW));
  assert_false(stwi_sclient_processed(&client, 0, 1, NOW));
  assert_false(stwi_sclient_processed(&client, 0, 9, NOW));
  assert_int_equal(stwi_sclient_deadline(&client), NOW + 50 * STWI_MS);
  assert_true(stwi_sclient_next_control(&client, NOW + 50 * STWI_MS, false, &frame));
  expect_ack(0, 1, 1);
  struct stwi_session_saved saved;
  stwi_sclient_save(&client, &saved);
  assert_int_equal(saved.processed[0], 1);
}

static void what_was_processed_without_a_link_is_told_by_hello(void **unused) {
  (void)unused;
  data(STWI_SF_DATA, 0, 1, "one");
  stwi_sclient_unlink(&client);
  assert_true(stwi_sclient_processed(&client, 0, 1, NOW));
  assert_int_equal(stwi_sclient_deadline(&client), STWI_NEVER);
  stwi_sclient_link(&client);
  hello(1, 9);
  assert_int_equal(frame.u.hello.processed[0], 1);
}

static void what_was_processed_while_welcome_is_awaited_is_told_behind_it(void **unused) {
  (void)unused;
  data(STWI_SF_DATA, 0, 1, "one");
  stwi_sclient_unlink(&client);
  stwi_sclient_link(&client);
  hello(1, 9);
  assert_true(stwi_sclient_processed(&client, 0, 1, NOW));
  assert_false(stwi_sclient_next_control(&client, NOW + STWI_S, false, &frame));
  const struct stwi_sframe in = welcome(0, 2, 2);
  take(&in);
  assert_int_equal(stwi_sclient_deadline(&client), NOW + 50 * STWI_MS);
  assert_true(stwi_sclient_next_control(&client, NOW + 50 * STWI_MS, false, &frame));
  expect_ack(0, 1, 1);
}

/* ---- outbound ---- */

static void an_ack_tells_once_what_is_accepted_and_processed(void **unused) {
  (void)unused;
  stwi_sclient_wrote(&client, 0, 1);
  stwi_sclient_wrote(&client, 0, 2);
  ack(1, false, 0);
  assert_int_equal(news.kind, STWI_SNEWS_ACKED);
  ack(1, false, 0);
  assert_int_equal(news.kind, STWI_SNEWS_NOTHING);
  ack(2, true, 1);
  assert_int_equal(news.kind, STWI_SNEWS_ACKED);
  assert_int_equal(client.out[0].processed, 1);
  ack(2, false, 0); /* says nothing about processed: it does not take it back */
  assert_int_equal(news.kind, STWI_SNEWS_NOTHING);
  assert_int_equal(client.out[0].processed, 1);
}

static void an_ack_of_what_was_not_sent_is_refused(void **unused) {
  (void)unused;
  ack(1, false, 0);
  expect_broken(4400, "not sent");
  stwi_sclient_wrote(&client, 0, 1);
  ack(2, false, 0);
  expect_broken(4400, "not sent");
  ack(UINT64_MAX, false, 0);
  expect_broken(4400, "not sent");
}

static void an_ack_that_goes_back_is_refused(void **unused) {
  (void)unused;
  stwi_sclient_wrote(&client, 0, 1);
  stwi_sclient_wrote(&client, 0, 2);
  ack(2, true, 2);
  ack(1, false, 0);
  expect_broken(4400, "takes back an earlier");
  ack(2, true, 1);
  expect_broken(4400, "what was processed");
  ack(2, true, 3);
  expect_broken(4400, "past accepted");
}

static void a_nack_names_a_message_that_was_sent(void **unused) {
  (void)unused;
  stwi_sclient_wrote(&client, 0, 1);
  struct stwi_sframe in = {.type = STWI_SF_NACK, .u.nack.number = 1};
  take(&in);
  assert_int_equal(news.kind, STWI_SNEWS_NACKED);
  in.u.nack.number = 2;
  take(&in);
  expect_broken(4400, "NACK");
  in.u.nack.number = 0;
  take(&in);
  expect_broken(4400, "NACK");
  ack(1, false, 0);
  in.u.nack.number = 1; /* accepted before: too late to refuse it */
  take(&in);
  assert_int_equal(news.kind, STWI_SNEWS_NOTHING);
}

static void a_hole_before_a_message_is_announced(void **unused) {
  (void)unused;
  assert_false(stwi_sclient_hole(&client, 0, 1, &frame));
  stwi_sclient_wrote(&client, 0, 1);
  assert_true(stwi_sclient_hole(&client, 0, 5, &frame));
  assert_int_equal(frame.type, STWI_SF_GAP);
  assert_int_equal(frame.u.gap.from, 2);
  assert_int_equal(frame.u.gap.to, 4);
  stwi_sclient_wrote(&client, 0, 5);
  ack(5, false, 0);
  assert_int_equal(news.kind, STWI_SNEWS_ACKED);
}

static void the_servers_window_bounds_what_is_on_its_way(void **unused) {
  (void)unused;
  assert_true(stwi_sclient_has_window(&client, 0, 0, 1 << 20)); /* one always may */
  assert_true(stwi_sclient_has_window(&client, 9, 900, 100));
  assert_false(stwi_sclient_has_window(&client, 9, 900, 101));
  assert_false(stwi_sclient_has_window(&client, 10, 10, 1));
  client.window_messages = client.window_bytes = 0;
  assert_true(stwi_sclient_has_window(&client, 100000, 1 << 30, 1 << 20));
}

static void pings_are_answered_and_a_flood_of_them_is_bounded(void **unused) {
  (void)unused;
  struct stwi_sframe in = {.type = STWI_SF_PING, .u.ping = {.n = 1, .t = 5}};
  for (in.u.ping.n = 1; in.u.ping.n <= 100; in.u.ping.n++)
    take(&in);
  assert_int_equal(stwi_sclient_deadline(&client), 0);
  for (uint64_t n = 93; n <= 100; n++) {
    assert_true(stwi_sclient_next_control(&client, NOW, false, &frame));
    assert_int_equal(frame.type, STWI_SF_PONG);
    assert_int_equal(frame.u.ping.n, n);
    assert_int_equal(frame.u.ping.t, 5);
  }
  assert_false(stwi_sclient_next_control(&client, NOW, false, &frame));
}

static void the_rest_is_told_to_the_caller(void **unused) {
  (void)unused;
  plain(STWI_SF_GOAWAY);
  assert_int_equal(news.kind, STWI_SNEWS_GOAWAY);
  plain(STWI_SF_CLOSE);
  assert_int_equal(news.kind, STWI_SNEWS_CLOSE);
  plain(STWI_SF_PONG);
  assert_int_equal(news.kind, STWI_SNEWS_NOTHING);
  const struct stwi_sframe in = {.type = STWI_SF_AUTH, .u.auth = {.is_answer = true}};
  take(&in);
  assert_int_equal(news.kind, STWI_SNEWS_AUTH);
}

/* Whatever frames come in whatever order: bounded memory, and the cursors only grow. */
static void no_sequence_of_frames_breaks_the_bounds(void **unused) {
  (void)unused;
  struct stwi_random random;
  stwi_random_seed(&random, test_seed("session_client"));
  char text[400];
  memset(text, 'z', sizeof text);
  for (int round = 0; round < 50000; round++) {
    const uint64_t before = client.in[0].seen.accepted, acked = client.out[0].acked;
    struct stwi_sframe in = {.type = (uint32_t)stwi_random_below(&random, 16)};
    const uint64_t near = client.in[0].seen.accepted + stwi_random_below(&random, 3);
    switch (in.type) {
    case STWI_SF_DATA:
    case STWI_SF_PART:
      in.u.data.number = near;
      in.u.data.payload = (const uint8_t *)text;
      in.u.data.size = stwi_random_below(&random, sizeof text);
      break;
    case STWI_SF_ACK:
      in.u.ack.accepted = client.out[0].acked + stwi_random_below(&random, 3);
      break;
    case STWI_SF_GAP:
      in.u.gap.from = near + 1;
      in.u.gap.to = in.u.gap.from + stwi_random_below(&random, 3);
      break;
    default:
      break;
    }
    take(&in);
    if (news.kind == STWI_SNEWS_MESSAGE)
      stwi_free(news.u.message.held);
    if (stwi_random_below(&random, 4) == 0)
      stwi_sclient_wrote(&client, 0, client.out[0].next);
    assert_true(client.in[0].parts.capacity <= 4096);
    assert_true(client.in[0].seen.accepted >= before);
    assert_true(client.out[0].acked >= acked && client.out[0].acked < client.out[0].next);
    if (news.kind == STWI_SNEWS_BROKEN || news.kind == STWI_SNEWS_CLOSE) {
      stwi_sclient_unlink(&client);
      stwi_sclient_link(&client);
      hello(1, UINT64_MAX);
      const uint64_t accepted = client.in[0].seen.accepted;
      struct stwi_sframe again = welcome(client.out[0].acked, accepted + 1, accepted + 1);
      take(&again);
      assert_int_equal(news.kind, STWI_SNEWS_WELCOMED);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      LINKED(an_ack_waits_for_company_at_most_50_ms),
      LINKED(thirty_two_messages_are_acked_at_once),
      LINKED(sixty_four_kib_are_acked_at_once),
      LINKED(the_control_lane_is_acked_at_once_and_first),
      LINKED(each_lane_is_counted_alone),
      LINKED(repeats_are_acked_again_together),
      LINKED(the_last_acks_do_not_wait),
      LINKED(what_the_host_has_processed_is_told),
      LINKED(what_was_processed_without_a_link_is_told_by_hello),
      LINKED(what_was_processed_while_welcome_is_awaited_is_told_behind_it),
      LINKED(an_ack_tells_once_what_is_accepted_and_processed),
      LINKED(an_ack_of_what_was_not_sent_is_refused),
      LINKED(an_ack_that_goes_back_is_refused),
      LINKED(a_nack_names_a_message_that_was_sent),
      LINKED(a_hole_before_a_message_is_announced),
      LINKED(the_servers_window_bounds_what_is_on_its_way),
      LINKED(pings_are_answered_and_a_flood_of_them_is_bounded),
      LINKED(the_rest_is_told_to_the_caller),
      LINKED(no_sequence_of_frames_breaks_the_bounds),
  };
  return cmocka_run_group_tests_name("session_client_acks", tests, NULL, NULL);
}
