#include "sclient_test.h"

/* ---- handshake ---- */

static void the_first_hello_claims_nothing(void **unused) {
  (void)unused;
  stwi_sclient_link(&client);
  hello(5, 9);
  assert_int_equal(frame.type, STWI_SF_HELLO);
  assert_memory_equal(frame.u.hello.cid, cid, STWI_CID_BYTES);
  assert_false(frame.u.hello.has_token);
  assert_false(frame.u.hello.has_incarnation);
  assert_int_equal(frame.u.hello.versions, 2);
  assert_int_equal(frame.u.hello.lowest[0], 5);
  assert_int_equal(frame.u.hello.next[0], 9);
  assert_int_equal(frame.u.hello.received[0], 0);
  assert_int_equal(frame.u.hello.window_messages, 1024);
  assert_int_equal(frame.u.hello.window_bytes, 4096);
  assert_int_equal(frame.u.hello.message_max, MAX);
  assert_int_equal(frame.u.hello.caps, STWI_SF_CAP_PROCESSED | STWI_SF_CAP_PARTS);
}

static void a_later_hello_claims_the_session_with_the_newest_token(void **unused) {
  (void)unused;
  up();
  data(STWI_SF_DATA, 0, 1, "one");
  stwi_sclient_unlink(&client);
  stwi_sclient_link(&client);
  hello(1, 100);
  assert_true(frame.u.hello.has_token);
  assert_int_equal(frame.u.hello.token[0], 0x70);
  assert_true(frame.u.hello.has_incarnation);
  assert_int_equal(frame.u.hello.incarnation, 7);
  assert_int_equal(frame.u.hello.received[0], 1);
  assert_int_equal(frame.u.hello.processed[0], 0);
}

static void a_new_process_begins_at_what_was_processed(void **unused) {
  (void)unused;
  struct stwi_session_saved saved = {.is_welcomed = true, .processed = {4, 2}};
  stwi_sclient_init(&client, &saved, NULL, MAX);
  stwi_sclient_link(&client);
  hello(1, 100);
  assert_int_equal(frame.u.hello.received[0], 4);
  assert_int_equal(frame.u.hello.received[1], 2);
  const uint64_t from[STW_LANE_COUNT] = {9, 0};
  stwi_sclient_init(&client, &saved, from, MAX);
  hello(1, 100);
  assert_int_equal(frame.u.hello.received[0], 9);
  assert_int_equal(frame.u.hello.processed[0], 9);
  assert_int_equal(frame.u.hello.received[1], 0);
}

static void a_session_that_was_never_welcomed_has_brought_nothing(void **unused) {
  (void)unused;
  struct stwi_session_saved saved = {.is_welcomed = false};
  const uint64_t from[STW_LANE_COUNT] = {9, 9};
  stwi_sclient_init(&client, &saved, from, MAX);
  assert_int_equal(client.in[0].seen.accepted, 0);
}

static void welcome_settles_what_the_server_has_and_numbers_go_on_behind_it(void **unused) {
  (void)unused;
  stwi_sclient_link(&client);
  hello(5, 9);
  const struct stwi_sframe in = welcome(6, 1, 1);
  take(&in);
  assert_int_equal(news.kind, STWI_SNEWS_WELCOMED);
  assert_int_equal(news.u.welcomed.resume, STWI_RESUME_FULL);
  assert_false(news.u.welcomed.is_lost);
  assert_int_equal(client.out[0].acked, 6);
  assert_int_equal(client.out[0].next, 7);
  struct stwi_session_saved saved;
  stwi_sclient_save(&client, &saved);
  assert_true(saved.is_welcomed);
  assert_int_equal(saved.incarnation, 7);
  assert_int_equal(saved.token[0], 0x70);
}

static void what_was_written_ahead_of_welcome_stays_written(void **unused) {
  (void)unused;
  stwi_sclient_link(&client);
  hello(1, 9);
  stwi_sclient_wrote(&client, 0, 1);
  stwi_sclient_wrote(&client, 0, 2);
  const struct stwi_sframe in = welcome(1, 1, 1);
  take(&in);
  assert_int_equal(client.out[0].next, 3);
  ack(2, false, 0);
  assert_int_equal(news.kind, STWI_SNEWS_ACKED);
}

static void a_welcome_past_what_was_given_is_refused(void **unused) {
  (void)unused;
  stwi_sclient_link(&client);
  hello(1, 9);
  const struct stwi_sframe in = welcome(9, 1, 1);
  take(&in);
  expect_broken(4400, "never given");
}

static void a_welcome_of_another_version_is_refused(void **unused) {
  (void)unused;
  stwi_sclient_link(&client);
  hello(1, 9);
  struct stwi_sframe in = welcome(0, 1, 1);
  in.u.welcome.version = 2;
  take(&in);
  expect_broken(4400, "version");
}

static void a_welcome_that_takes_something_back_is_refused(void **unused) {
  (void)unused;
  up();
  stwi_sclient_wrote(&client, 0, 1);
  ack(1, true, 1);
  stwi_sclient_link(&client);
  hello(2, 9);
  struct stwi_sframe in = welcome(0, 1, 1);
  take(&in);
  expect_broken(4400, "takes back an ack");
  in = welcome(1, 1, 1);
  take(&in);
  expect_broken(4400, "takes back what was processed");
  in.u.welcome.processed[0] = 1;
  take(&in);
  assert_int_equal(news.kind, STWI_SNEWS_WELCOMED);
}

static void a_server_whose_numbers_go_back_is_refused(void **unused) {
  (void)unused;
  up();
  data(STWI_SF_DATA, 0, 1, "one");
  stwi_sclient_link(&client);
  hello(1, 9);
  struct stwi_sframe in = welcome(0, 1, 1);
  take(&in);
  expect_broken(4400, "that have arrived");
  hello(1, 9);
  in = welcome(0, 3, 2);
  take(&in);
  expect_broken(4400, "lo is past nx");
}

static void a_partial_resume_says_which_numbers_are_lost(void **unused) {
  (void)unused;
  up();
  data(STWI_SF_DATA, 0, 1, "one");
  stwi_sclient_link(&client);
  hello(1, 9);
  struct stwi_sframe in = welcome(0, 5, 8);
  in.u.welcome.resume = STWI_RESUME_PARTIAL;
  take(&in);
  assert_int_equal(news.u.welcomed.holes[0].from, 2);
  assert_int_equal(news.u.welcomed.holes[0].to, 4);
  assert_int_equal(news.u.welcomed.holes[1].from, 0);
  assert_false(news.u.welcomed.is_lost);
  data(STWI_SF_DATA, 0, 5, "five");
  assert_int_equal(news.kind, STWI_SNEWS_MESSAGE);
}

static void a_session_begun_anew_may_have_lost_messages(void **unused) {
  (void)unused;
  up();
  stwi_sclient_link(&client);
  hello(1, 9);
  struct stwi_sframe in = welcome(0, 1, 1);
  in.u.welcome.resume = STWI_RESUME_NONE;
  take(&in);
  assert_true(news.u.welcomed.is_lost);
}

static void the_first_session_has_lost_nothing(void **unused) {
  (void)unused;
  stwi_sclient_link(&client);
  hello(1, 9);
  struct stwi_sframe in = welcome(0, 1, 1);
  in.u.welcome.resume = STWI_RESUME_NONE;
  take(&in);
  assert_false(news.u.welcomed.is_lost);
}

static void a_stale_session_is_renewed_once(void **unused) {
  (void)unused;
  up();
  data(STWI_SF_DATA, 0, 1, "one");
  stwi_sclient_link(&client);
  hello(1, 9);
  struct stwi_sframe refuse = {.type = STWI_SF_REFUSE, .u.close.code = STWI_REFUSE_STALE};
  take(&refuse);
  assert_int_equal(news.kind, STWI_SNEWS_REFUSED);
  stwi_sclient_renew(&client, other_cid);
  assert_int_equal(client.phase, STWI_SCLIENT_HELLO);
  hello(1, 9);
  assert_memory_equal(frame.u.hello.cid, other_cid, STWI_CID_BYTES);
  assert_false(frame.u.hello.has_token);
  assert_int_equal(frame.u.hello.received[0], 0);
  struct stwi_sframe in = welcome(0, 1, 1);
  in.u.welcome.resume = STWI_RESUME_NONE;
  take(&in);
  assert_true(news.u.welcomed.is_lost);
  stwi_sclient_link(&client);
  hello(1, 9);
  take(&refuse);
  assert_int_equal(news.kind, STWI_SNEWS_REFUSED); /* another link, another chance */
}

static void a_new_session_that_is_called_stale_is_a_fault(void **unused) {
  (void)unused;
  up();
  stwi_sclient_link(&client);
  hello(1, 9);
  struct stwi_sframe refuse = {.type = STWI_SF_REFUSE, .u.close.code = STWI_REFUSE_STALE};
  take(&refuse);
  stwi_sclient_renew(&client, other_cid);
  hello(1, 9);
  take(&refuse);
  expect_broken(4400, "stale");
}

static void other_refusals_are_the_callers(void **unused) {
  (void)unused;
  stwi_sclient_link(&client);
  hello(1, 9);
  struct stwi_sframe refuse = {.type = STWI_SF_REFUSE, .u.close.code = STWI_REFUSE_AUTH};
  take(&refuse);
  assert_int_equal(news.kind, STWI_SNEWS_REFUSED);
}

static void before_welcome_only_an_answer_may_come(void **unused) {
  (void)unused;
  static const uint32_t types[] = {STWI_SF_DATA, STWI_SF_ACK,    STWI_SF_NACK, STWI_SF_PING,
                                   STWI_SF_PONG, STWI_SF_GOAWAY, STWI_SF_AUTH, STWI_SF_GAP,
                                   STWI_SF_PART, STWI_SF_HELLO};
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
    stwi_sclient_link(&client);
    plain(types[i]);
    expect_broken(4400, "before our HELLO");
    hello(1, 9);
    plain(types[i]);
    expect_broken(4400, "before WELCOME");
  }
  plain(STWI_SF_CLOSE);
  assert_int_equal(news.kind, STWI_SNEWS_CLOSE);
  plain(STWI_SF_IGNORED_FROM);
  assert_int_equal(news.kind, STWI_SNEWS_NOTHING);
}

static void after_welcome_no_second_answer_and_no_clients_frame_may_come(void **unused) {
  (void)unused;
  plain(STWI_SF_WELCOME);
  expect_broken(4400, "twice");
  plain(STWI_SF_REFUSE);
  expect_broken(4400, "twice");
  plain(STWI_SF_HELLO);
  expect_broken(4400, "only a client");
  plain(STWI_SF_AUTH);
  expect_broken(4400, "AUTH");
  plain(1000);
  assert_int_equal(news.kind, STWI_SNEWS_NOTHING);
}

/* ---- inbound ---- */

static void messages_come_once_and_in_order(void **unused) {
  (void)unused;
  data(STWI_SF_DATA, 0, 1, "one");
  assert_int_equal(news.kind, STWI_SNEWS_MESSAGE);
  assert_int_equal(news.u.message.size, 3);
  assert_null(news.u.message.held);
  data(STWI_SF_DATA, 0, 1, "one");
  assert_int_equal(news.kind, STWI_SNEWS_DUPLICATE);
  data(STWI_SF_DATA, 0, 3, "three");
  expect_broken(4400, "past the next");
}

static void lanes_are_numbered_apart(void **unused) {
  (void)unused;
  data(STWI_SF_DATA, 0, 1, "one");
  data(STWI_SF_DATA, 1, 1, "one");
  assert_int_equal(news.kind, STWI_SNEWS_MESSAGE);
  const stw_message_id a = stwi_sclient_id(&client, STW_LANE_DATA, 1);
  const stw_message_id b = stwi_sclient_id(&client, STW_LANE_CONTROL, 1);
  assert_int_equal(a.stream, 0x0102030405060708u);
  assert_int_equal(b.stream, 0x0102030405060709u);
  assert_int_equal(b.number, 1);
}

static void an_unnumbered_message_moves_nothing(void **unused) {
  (void)unused;
  data(STWI_SF_DATA, 0, 0, "hello");
  assert_int_equal(news.kind, STWI_SNEWS_MESSAGE);
  assert_int_equal(client.in[0].seen.accepted, 0);
  assert_int_equal(stwi_sclient_deadline(&client), STWI_NEVER);
}

static void parts_are_put_together(void **unused) {
  (void)unused;
  data(STWI_SF_PART, 0, 1, "ab");
  assert_int_equal(news.kind, STWI_SNEWS_NOTHING);
  data(STWI_SF_DATA, 1, 1, "urgent");
  assert_int_equal(news.kind, STWI_SNEWS_MESSAGE);
  data(STWI_SF_PART, 0, 1, "cd");
  data(STWI_SF_DATA, 0, 1, "e");
  assert_int_equal(news.kind, STWI_SNEWS_MESSAGE);
  assert_int_equal(news.u.message.size, 5);
  assert_memory_equal(news.u.message.data, "abcde", 5);
  assert_ptr_equal(news.u.message.held, news.u.message.data);
  stwi_free(news.u.message.held);
  assert_int_equal(client.in[0].parts.capacity, 0);
}

static void parts_of_a_duplicate_are_dropped(void **unused) {
  (void)unused;
  data(STWI_SF_DATA, 0, 1, "abcd");
  data(STWI_SF_PART, 0, 1, "ab");
  assert_int_equal(news.kind, STWI_SNEWS_NOTHING);
  data(STWI_SF_DATA, 0, 1, "cd");
  assert_int_equal(news.kind, STWI_SNEWS_DUPLICATE);
  assert_int_equal(failing_mem_live, 0);
}

static void parts_of_a_message_ahead_or_without_number_are_refused(void **unused) {
  (void)unused;
  data(STWI_SF_PART, 0, 2, "ab");
  expect_broken(4400, "past the next");
  data(STWI_SF_PART, 0, 0, "ab");
  expect_broken(4400, "without a number");
}

static void a_message_without_number_between_parts_is_refused(void **unused) {
  (void)unused;
  data(STWI_SF_PART, 0, 1, "ab");
  data(STWI_SF_DATA, 1, 0, "beside");
  assert_int_equal(news.kind, STWI_SNEWS_MESSAGE);
  data(STWI_SF_DATA, 0, 0, "between");
  expect_broken(4400, "between the parts");
}

static void parts_never_hold_more_than_a_message_may(void **unused) {
  (void)unused;
  char text[MAX + 1];
  memset(text, 'x', MAX);
  text[MAX] = '\0';
  data(STWI_SF_PART, 0, 1, text);
  assert_int_equal(news.kind, STWI_SNEWS_NOTHING);
  data(STWI_SF_PART, 0, 1, "y");
  expect_broken(1009, "max_message");
  data(STWI_SF_DATA, 0, 1, "y");
  expect_broken(1009, "max_message");
}

static void a_whole_message_over_the_limit_is_refused(void **unused) {
  (void)unused;
  char text[MAX + 2];
  memset(text, 'x', MAX + 1);
  text[MAX + 1] = '\0';
  data(STWI_SF_DATA, 0, 1, text);
  expect_broken(1009, "max_message");
  assert_int_equal(client.in[0].seen.accepted, 0);
}

static void without_memory_parts_end_the_link(void **unused) {
  (void)unused;
  failing_mem_after = 0;
  data(STWI_SF_PART, 0, 1, "ab");
  failing_mem_after = -1;
  expect_broken(1009, "memory");
}

static void half_a_message_goes_with_its_link(void **unused) {
  (void)unused;
  data(STWI_SF_PART, 0, 1, "ab");
  stwi_sclient_unlink(&client);
  assert_int_equal(failing_mem_live, 0);
  up();
  data(STWI_SF_DATA, 0, 1, "whole");
  assert_int_equal(news.u.message.size, 5);
}

static void a_gap_is_told_and_drops_a_half_message(void **unused) {
  (void)unused;
  data(STWI_SF_PART, 0, 1, "ab");
  gap(1, 4);
  assert_int_equal(news.kind, STWI_SNEWS_GAP);
  assert_int_equal(news.u.gap.from, 1);
  assert_int_equal(news.u.gap.to, 4);
  assert_int_equal(failing_mem_live, 0);
  gap(2, 4);
  assert_int_equal(news.kind, STWI_SNEWS_NOTHING);
  gap(6, 7);
  expect_broken(4400, "GAP begins past");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FRESH(the_first_hello_claims_nothing),
      FRESH(a_later_hello_claims_the_session_with_the_newest_token),
      FRESH(a_new_process_begins_at_what_was_processed),
      FRESH(a_session_that_was_never_welcomed_has_brought_nothing),
      FRESH(welcome_settles_what_the_server_has_and_numbers_go_on_behind_it),
      FRESH(what_was_written_ahead_of_welcome_stays_written),
      FRESH(a_welcome_past_what_was_given_is_refused),
      FRESH(a_welcome_of_another_version_is_refused),
      FRESH(a_welcome_that_takes_something_back_is_refused),
      FRESH(a_server_whose_numbers_go_back_is_refused),
      FRESH(a_partial_resume_says_which_numbers_are_lost),
      FRESH(a_session_begun_anew_may_have_lost_messages),
      FRESH(the_first_session_has_lost_nothing),
      FRESH(a_stale_session_is_renewed_once),
      FRESH(a_new_session_that_is_called_stale_is_a_fault),
      FRESH(other_refusals_are_the_callers),
      FRESH(before_welcome_only_an_answer_may_come),
      LINKED(after_welcome_no_second_answer_and_no_clients_frame_may_come),
      LINKED(messages_come_once_and_in_order),
      LINKED(lanes_are_numbered_apart),
      LINKED(an_unnumbered_message_moves_nothing),
      LINKED(parts_are_put_together),
      LINKED(parts_of_a_duplicate_are_dropped),
      LINKED(parts_of_a_message_ahead_or_without_number_are_refused),
      LINKED(a_message_without_number_between_parts_is_refused),
      LINKED(parts_never_hold_more_than_a_message_may),
      LINKED(a_whole_message_over_the_limit_is_refused),
      LINKED(without_memory_parts_end_the_link),
      LINKED(half_a_message_goes_with_its_link),
      LINKED(a_gap_is_told_and_drops_a_half_message),
  };
  return cmocka_run_group_tests_name("session_client", tests, NULL, NULL);
}
