#include "core/session_server.h"

#include "seed.h"
#include "session_peer.h"

/* ---- receiving ---- */

static void numbers_in_order_are_given_and_acknowledged(void **unused) {
  (void)unused;
  connect_client();
  for (uint64_t n = 1; n <= 31; n++) {
    assert_int_equal(give_data(n), STW_OK);
    assert_int_equal(item.kind, STW_SESSION_MESSAGE);
    assert_int_equal(item.u.message.number, n);
    assert_memory_equal(item.u.message.data, &n, sizeof n);
    take_nothing();
  }
  assert_int_equal(stwi_server_deadline(&server), now + 50 * MS);
  give_data(32);
  assert_int_equal(take(STWI_SF_ACK).u.ack.accepted, 32);
  give_data(33);
  now += 49 * MS;
  take_nothing();
  now += MS;
  assert_int_equal(take(STWI_SF_ACK).u.ack.accepted, 33);
  assert_int_equal(stwi_server_deadline(&server), STW_SESSION_NEVER);
}

static void the_control_lane_is_acknowledged_at_once(void **unused) {
  (void)unused;
  connect_client();
  assert_int_equal(give_bytes(STWI_SF_DATA, STW_LANE_CONTROL, 1, 0, "x", 1), STW_OK);
  assert_int_equal(take(STWI_SF_ACK).u.ack.lane, STW_LANE_CONTROL);
}

static void repeats_are_dropped_and_acknowledged_again_together(void **unused) {
  (void)unused;
  connect_client();
  give_data(1);
  now += 50 * MS;
  take(STWI_SF_ACK);
  for (int i = 0; i < 100; i++) {
    assert_int_equal(give_data(1), STW_OK);
    assert_int_equal(item.kind, STW_SESSION_NOTHING);
  }
  assert_int_equal(give_gap(1, 1), STW_OK);
  take_nothing();
  now += 50 * MS;
  assert_int_equal(take(STWI_SF_ACK).u.ack.accepted, 1);
  assert_int_equal(server.lanes[0].duplicates, 100);
}

static void unnumbered_messages_are_given_and_never_acknowledged(void **unused) {
  (void)unused;
  connect_client();
  assert_int_equal(give_bytes(STWI_SF_DATA, 0, 0, STWI_SF_TEXT, "hi", 2), STW_OK);
  assert_int_equal(item.kind, STW_SESSION_MESSAGE);
  assert_true(item.u.message.is_text);
  assert_int_equal(stwi_server_deadline(&server), STW_SESSION_NEVER);
  assert_int_equal(server.lanes[0].received, 0);
}

static void parts_become_one_message_and_a_gap_ends_them(void **unused) {
  (void)unused;
  connect_client();
  assert_int_equal(give_bytes(STWI_SF_PART, 0, 1, 0, "he", 2), STW_OK);
  assert_int_equal(item.kind, STW_SESSION_NOTHING);
  assert_int_equal(give_bytes(STWI_SF_DATA, 1, 1, 0, "urgent", 6), STW_OK);
  assert_int_equal(give_bytes(STWI_SF_PART, 0, 1, 0, "ll", 2), STW_OK);
  assert_int_equal(give_bytes(STWI_SF_DATA, 0, 1, 0, "o", 1), STW_OK);
  assert_int_equal(item.u.message.size, 5);
  assert_memory_equal(item.u.message.data, "hello", 5);
  give_bytes(STWI_SF_PART, 0, 2, 0, "never", 5);
  assert_int_equal(give_gap(2, 4), STW_OK);
  assert_int_equal(item.kind, STW_SESSION_GAP);
  assert_int_equal(item.u.gap.from, 2);
  assert_int_equal(item.u.gap.to, 4);
  assert_int_equal(give_bytes(STWI_SF_DATA, 0, 5, 0, "x", 1), STW_OK);
  assert_int_equal(item.u.message.size, 1);
}

static void broken_rules_close_the_link_with_a_code(void **unused) {
  (void)unused;
  connect_client();
  expect_broken(give_data(2), 4400);
  expect_broken(give_gap(2, 3), 4400);
  expect_broken(give_gap(1, (uint64_t)1 << 63), 4400);
  expect_broken(give_ack(0, 1, 0), 4400);
  expect_broken(give_bytes(STWI_SF_DATA, (stw_lane)2, 1, 0, "", 0), 4400);
  expect_broken(give_bytes(STWI_SF_DATA, 0, 1, STWI_SF_TEXT, "\xff", 1), 1007);
  give_bytes(STWI_SF_PART, 0, 1, 0, "x", 1);
  expect_broken(give_bytes(STWI_SF_DATA, 0, 0, 0, "", 0), 4400);
  expect_broken(give_bytes(STWI_SF_PART, 0, 0, 0, "x", 1), 4400);
  expect_broken(give_bytes(STWI_SF_PART, 0, 2, 0, "x", 1), 4400);
  const uint32_t foreign[] = {STWI_SF_HELLO, STWI_SF_WELCOME, STWI_SF_GOAWAY, STWI_SF_REFUSE, 63};
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
    const struct stwi_sframe frame = {.type = foreign[i]};
    expect_broken(give(&frame), 4400);
  }
  const struct stwi_sframe unknown = {.type = STWI_SF_IGNORED_FROM};
  assert_int_equal(give(&unknown), STW_OK);
}

static void a_message_over_the_bound_is_refused_before_it_is_kept(void **unused) {
  (void)unused;
  options.message_max = 100;
  renew();
  connect_client();
  char bytes[101] = {0};
  expect_broken(give_bytes(STWI_SF_DATA, 0, 1, 0, bytes, 101), 1009);
  for (int i = 0; i < 10; i++)
    assert_int_equal(give_bytes(STWI_SF_PART, 0, 1, 0, bytes, 10), STW_OK);
  expect_broken(give_bytes(STWI_SF_PART, 0, 1, 0, bytes, 1), 1009);
}

static void only_what_the_host_accepted_is_acknowledged(void **unused) {
  (void)unused;
  options.accepts_later = options.says_processed = true;
  renew();
  connect_client();
  for (uint64_t n = 1; n <= 40; n++)
    give_data(n);
  now += 100 * MS;
  take_nothing();
  assert_int_equal(stwi_server_accept(&server, 0, 41, now), STW_E_ARGUMENT);
  assert_int_equal(stwi_server_accept(&server, 0, 35, now), STW_OK);
  assert_int_equal(stwi_server_processed(&server, 0, 36, now), STW_E_ARGUMENT);
  assert_int_equal(stwi_server_processed(&server, 0, 20, now), STW_OK);
  const struct stwi_sframe ack = take(STWI_SF_ACK);
  assert_int_equal(ack.u.ack.accepted, 35);
  assert_int_equal(ack.u.ack.processed, 20);
  const struct stwi_sf_welcome welcome = connect_client();
  assert_int_equal(welcome.received[0], 35);
  assert_int_equal(welcome.processed[0], 20);
  assert_int_equal(give_data(36), STW_OK);
  assert_int_equal(item.kind, STW_SESSION_NOTHING);
}

/* A client takes an ACK of what it has not written on the link for a broken rule. */
static void nothing_is_acknowledged_before_the_link_brought_it(void **unused) {
  (void)unused;
  options.accepts_later = options.says_processed = true;
  renew();
  connect_client();
  for (uint64_t n = 1; n <= 40; n++)
    give_data(n);
  stwi_server_accept(&server, 0, 3, now);
  assert_int_equal(connect_client().received[0], 3);
  stwi_server_accept(&server, 0, 40, now);
  stwi_server_processed(&server, 0, 40, now);
  now += 50 * MS;
  struct stwi_sframe ack = take(STWI_SF_ACK);
  assert_int_equal(ack.u.ack.accepted, 3);
  assert_int_equal(ack.u.ack.processed, 3);
  give_data(4);
  give_gap(5, 9);
  now += 50 * MS;
  ack = take(STWI_SF_ACK);
  assert_int_equal(ack.u.ack.accepted, 9);
  assert_int_equal(ack.u.ack.processed, 9);
  for (uint64_t n = 10; n <= 41; n++)
    give_data(n);
  now += 50 * MS;
  assert_int_equal(take(STWI_SF_ACK).u.ack.accepted, 40);
  assert_int_equal(connect_client().received[0], 40);
}

static stw_status give_sized(stw_lane lane, uint64_t size) {
  static const char bytes[2000];
  if (size > sizeof bytes)
    return STW_E_TOO_BIG;
  return give_bytes(STWI_SF_DATA, lane, ++client.gave[lane], 0, bytes, size);
}

static void set_up_window(void) {
  options.accepts_later = true;
  options.window_messages = 10;
  options.window_bytes = 1000;
  renew();
  connect_client();
}

static void the_window_is_exact_and_of_both_lanes(void **unused) {
  (void)unused;
  set_up_window();
  for (int i = 0; i < 10; i++)
    assert_int_equal(give_sized(i % 2 == 0 ? STW_LANE_DATA : STW_LANE_CONTROL, 100), STW_OK);
  expect_broken(give_sized(STW_LANE_CONTROL, 0), 4400);
  assert_int_equal(give_sized(STW_LANE_DATA, 999), STW_OK);
  assert_int_equal(give_sized(STW_LANE_CONTROL, 1), STW_OK);
  expect_broken(give_sized(STW_LANE_DATA, 1), 4400);
  assert_int_equal(give_sized(STW_LANE_DATA, 2000), STW_OK); /* alone, it may be larger */
  expect_broken(give_sized(STW_LANE_DATA, 0), 4400);
}

static void what_the_host_accepts_makes_room(void **unused) {
  (void)unused;
  set_up_window();
  for (uint64_t n = 1; n <= 10; n++)
    give_data(n);
  stwi_server_accept(&server, 0, 4, now);
  for (uint64_t n = 11; n <= 14; n++)
    assert_int_equal(give_data(n), STW_OK);
  expect_broken(give_data(15), 4400);
}

static void what_was_taken_back_is_in_no_window(void **unused) {
  (void)unused;
  set_up_window();
  assert_int_equal(give_gap(1, 1000000), STW_OK);
  assert_int_equal(give_data(1000001), STW_OK);
  for (uint64_t n = 1000002; n <= 1000010; n++)
    assert_int_equal(give_data(n), STW_OK);
  /* the link is lost; the client has let three of them go, its host took back two more */
  connect_client();
  assert_int_equal(give_gap(1, 1000003), STW_OK);
  assert_int_equal(give_data(1000004), STW_OK);
  assert_int_equal(give_gap(1000005, 1000006), STW_OK);
  for (uint64_t n = 1000007; n <= 1000015; n++)
    assert_int_equal(give_data(n), STW_OK);
  expect_broken(give_data(1000016), 4400);
}

/* A client that counts as docs/protocol.md says is never refused, however late the host accepts. */
static void an_honest_client_is_never_refused(void **unused) {
  (void)unused;
  stwi_random_seed(&dice, test_seed("honest_client"));
  set_up_window();
  uint64_t sizes[STW_LANE_COUNT][16] = {{0}};
  for (int i = 0; i < 20000; i++) {
    const stw_lane lane = (stw_lane)stwi_random_below(&dice, 2);
    const uint64_t size = stwi_random_below(&dice, 300);
    uint64_t messages = 0, bytes = 0;
    for (int k = 0; k < STW_LANE_COUNT; k++) {
      for (uint64_t n = server.lanes[k].accepted + 1; n <= client.gave[k]; n++, messages++)
        bytes += sizes[k][n % 16];
    }
    if (messages == 0 || (messages < 10 && bytes + size <= 1000)) {
      assert_int_equal(give_sized(lane, size), STW_OK);
      sizes[lane][client.gave[lane] % 16] = size;
    } else {
      const uint64_t open = client.gave[lane] - server.lanes[lane].accepted;
      const uint64_t upto = server.lanes[lane].accepted + stwi_random_below(&dice, open + 1);
      assert_int_equal(stwi_server_accept(&server, lane, upto, now), STW_OK);
    }
  }
}

/* ---- tokens and links ---- */

static void nobody_takes_a_session_by_its_cid(void **unused) {
  (void)unused;
  connect_client();
  give_data(1);
  struct stwi_sf_hello hello = hello_of();
  hello.has_token = false;
  assert_int_equal(claim_as(&hello, "alice"), STW_REFUSAL_AUTH);
  hello = hello_of();
  hello.token[31] ^= 1;
  assert_int_equal(claim_as(&hello, "alice"), STW_REFUSAL_AUTH);
  hello = hello_of();
  assert_int_equal(claim_as(&hello, "mallory"), STW_REFUSAL_AUTH);
  assert_int_equal(give_data(2), STW_OK); /* the link lives on */
  hello = hello_of();
  assert_int_equal(claim_as(&hello, "alice"), STW_REFUSAL_NONE);
}

static void a_token_is_valid_until_the_next_one_was_used(void **unused) {
  (void)unused;
  connect_client();
  give_data(1);
  const struct stwi_sf_hello first = hello_of();
  assert_int_equal(claim_as(&first, "alice"), STW_REFUSAL_NONE); /* its WELCOME is lost */
  assert_int_equal(claim_as(&first, "alice"), STW_REFUSAL_NONE); /* again */
  struct stwi_sf_hello second = first;
  memcpy(second.token, take(STWI_SF_WELCOME).u.welcome.token, sizeof second.token);
  assert_int_equal(give_data(2), STW_OK);
  assert_int_equal(claim_as(&first, "alice"), STW_REFUSAL_AUTH);
  assert_int_equal(claim_as(&second, "alice"), STW_REFUSAL_STALE);
  second.next[0] = 3;
  assert_int_equal(claim_as(&second, "alice"), STW_REFUSAL_NONE);
}

/* Two nodes share the session; one of them stood still with a HELLO that it had read. */
static void a_late_hello_of_an_older_link_voids_no_token(void **unused) {
  (void)unused;
  connect_client();
  give_data(1);
  const struct stwi_sf_hello first = hello_of();
  assert_int_equal(claim_as(&first, "alice"), STW_REFUSAL_NONE);
  struct stwi_sf_hello second = first;
  memcpy(second.token, take(STWI_SF_WELCOME).u.welcome.token, sizeof second.token);
  assert_int_equal(claim_as(&first, "alice"), STW_REFUSAL_NONE); /* the late one */
  assert_int_equal(claim_as(&second, "alice"), STW_REFUSAL_NONE);
}

static void a_late_first_hello_voids_no_token(void **unused) {
  (void)unused;
  assert_int_equal(claim(), STW_REFUSAL_NONE);
  const struct stwi_sf_welcome welcome = take(STWI_SF_WELCOME).u.welcome;
  assert_int_equal(claim(), STW_REFUSAL_NONE); /* the late one */
  struct stwi_sf_hello hello = hello_of();
  hello.has_token = hello.has_incarnation = true;
  hello.incarnation = welcome.incarnation;
  memcpy(hello.token, welcome.token, sizeof hello.token);
  assert_int_equal(claim_as(&hello, "alice"), STW_REFUSAL_NONE);
}

static void a_client_whose_first_welcome_was_lost_comes_in(void **unused) {
  (void)unused;
  assert_int_equal(claim(), STW_REFUSAL_NONE);
  assert_int_equal(claim(), STW_REFUSAL_NONE);
  connect_client();
  give_data(1);
  client.is_welcomed = false;
  assert_int_equal(claim(), STW_REFUSAL_AUTH);
}

static void optimistic_frames_do_not_void_the_old_token(void **unused) {
  (void)unused;
  options.takes_optimistic = true;
  renew();
  connect_client();
  give_data(1);
  assert_int_equal(claim(), STW_REFUSAL_NONE);
  give_data(2); /* sent behind the HELLO: the WELCOME may never arrive */
  assert_int_equal(claim(), STW_REFUSAL_NONE);
  const struct stwi_sf_hello old = hello_of();
  post_count(1);
  take(STWI_SF_WELCOME);
  expect_data(1);
  give_ack(0, 1, 0);
  assert_int_equal(claim_as(&old, "alice"), STW_REFUSAL_AUTH);
}

static void what_the_store_does_not_know_is_stale(void **unused) {
  (void)unused;
  client.is_welcomed = true;
  assert_int_equal(claim(), STW_REFUSAL_STALE);
  client.is_welcomed = false;
  connect_client();
  for (uint64_t n = 1; n <= 3; n++)
    give_data(n);
  struct stwi_sf_hello hello = hello_of();
  hello.incarnation++;
  assert_int_equal(claim_as(&hello, "alice"), STW_REFUSAL_STALE);
  hello = hello_of();
  hello.next[0] = 3;
  assert_int_equal(claim_as(&hello, "alice"), STW_REFUSAL_STALE);
  hello = hello_of();
  hello.received[0] = 1;
  assert_int_equal(claim_as(&hello, "alice"), STW_REFUSAL_STALE);
  hello = hello_of();
  hello.versions = 4;
  assert_int_equal(claim_as(&hello, "alice"), STW_REFUSAL_VERSION);
}

static void a_new_session_leaves_the_server_numbers(void **unused) {
  (void)unused;
  struct stwi_sf_hello hello = hello_of();
  stw_session_claim claim = {.struct_size = sizeof claim};
  stw_refusal refusal;
  hello.received[0] = INT64_MAX;
  assert_int_equal(stwi_server_open(&server, &hello, &claim, &client.link, &refusal),
                   STW_E_PROTOCOL);
  assert_non_null(strstr(server.why, "2^62"));
  hello.received[0] = INT64_MAX / 2;
  assert_int_equal(claim_as(&hello, "alice"), STW_REFUSAL_NONE);
  assert_int_equal(take(STWI_SF_WELCOME).u.welcome.next[0], (uint64_t)1 << 62);
}

static void the_newest_link_fences_the_one_before(void **unused) {
  (void)unused;
  connect_client();
  give_data(1);
  const uint32_t old = client.link;
  connect_client();
  assert_int_equal(stwi_server_check_link(&server, old, &item), STW_E_STATE);
  assert_int_equal(item.close_code, 4409);
  stwi_server_lost(&server, old);
  assert_int_equal(give_data(2), STW_OK);
  stwi_server_lost(&server, client.link);
  assert_int_equal(give_data(3), STW_E_STATE);
}

/* ---- sending ---- */

static void kept_messages_are_replayed_until_the_client_has_them(void **unused) {
  (void)unused;
  assert_int_equal(connect_client().resume, STWI_RESUME_NONE);
  give_data(1);
  post_count(3);
  expect_data(1);
  expect_data(2);
  give_ack(0, 1, 0);
  assert_int_equal(item.kind, STW_SESSION_PROOF);
  assert_int_equal(item.u.proof.kept_from, 2);
  client.has[0] = 1;
  const struct stwi_sf_welcome welcome = connect_client();
  assert_int_equal(welcome.resume, STWI_RESUME_FULL);
  assert_int_equal(welcome.lowest[0], 2);
  assert_int_equal(welcome.next[0], 4);
  struct stwi_sframe frame = take(STWI_SF_DATA);
  assert_int_equal(frame.u.data.number, 2);
  assert_int_equal(frame.u.data.flags, STWI_SF_REPLAY);
  assert_int_equal(take(STWI_SF_DATA).u.data.flags, 0);
  take_nothing();
}

static void clients_that_say_processed_find_all_until_then(void **unused) {
  (void)unused;
  client.caps |= STWI_SF_CAP_PROCESSED;
  connect_client();
  give_data(1);
  post_count(5);
  for (uint64_t n = 1; n <= 5; n++)
    expect_data(n);
  give_ack(0, 5, 2);
  client.has[0] = client.processed[0] = 2; /* it dies, and knows what it had processed */
  assert_int_equal(connect_client().resume, STWI_RESUME_FULL);
  expect_data(3);
  expect_data(4);
  client.has[0] = client.processed[0] = 0; /* an empty resume resumes, with a gap */
  assert_int_equal(connect_client().resume, STWI_RESUME_PARTIAL);
  expect_gap(1, 2, STWI_GAP_LOST);
  expect_data(3);
}

static void an_ack_that_goes_back_is_refused(void **unused) {
  (void)unused;
  client.caps |= STWI_SF_CAP_PROCESSED;
  connect_client();
  post_count(3);
  for (uint64_t n = 1; n <= 3; n++)
    expect_data(n);
  give_ack(0, 3, 2);
  assert_int_equal(give_ack(0, 3, 2), STW_OK);
  assert_int_equal(item.kind, STW_SESSION_NOTHING);
  client.has[0] = client.processed[0] = 1; /* a process with an older store: its own link counts */
  connect_client();
  expect_gap(2, 2, STWI_GAP_LOST);
  expect_data(3);
  assert_int_equal(give_ack(0, 3, 1), STW_OK);
  client.processed[0] = 0;
  expect_broken(give_ack(0, 2, 1), 4400);
  post_count(3);
  for (uint64_t n = 1; n <= 3; n++)
    expect_data(n);
  give_ack(0, 3, 2);
  expect_broken(give_ack(0, 3, 1), 4400);
}

static void a_full_ring_lets_the_oldest_go_as_a_gap(void **unused) {
  (void)unused;
  options.ring_messages = 4;
  renew();
  connect_client();
  post_count(6);
  expect_gap(1, 2, STWI_GAP_OVERFLOW);
  expect_data(3);
  expect_data(4);
  post_count(3);
  expect_gap(5, 5, STWI_GAP_OVERFLOW);
  for (uint64_t n = 6; n <= 9; n++)
    expect_data(n);
  take_nothing();
  assert_int_equal(server.lanes[0].overflowed, 5);
  options.refuses_when_full = true;
  renew();
  client.is_welcomed = false;
  connect_client();
  post_count(4);
  uint64_t number = 0;
  assert_int_equal(stwi_server_send(&server, 0, "x", 1, false, &number), STW_E_FULL);
}

static void large_messages_go_in_parts_and_urgent_ones_pass(void **unused) {
  (void)unused;
  options.part_bytes = 4;
  options.ring_messages = 1;
  renew();
  connect_client();
  post(STW_LANE_DATA, "0123456789", 10);
  assert_memory_equal(take(STWI_SF_PART).u.data.payload, "0123", 4);
  post(STW_LANE_CONTROL, "now", 3);
  assert_int_equal(take(STWI_SF_DATA).u.data.lane, STW_LANE_CONTROL);
  post(STW_LANE_DATA, "next", 4); /* the ring is full: the begun one is completed all the same */
  assert_memory_equal(take(STWI_SF_PART).u.data.payload, "4567", 4);
  const struct stwi_sframe last = take(STWI_SF_DATA);
  assert_int_equal(last.u.data.number, 1);
  assert_memory_equal(last.u.data.payload, "89", 2);
  assert_int_equal(last.u.data.size, 2);
  expect_data(2);
}

static void the_clients_window_and_largest_message_are_heeded(void **unused) {
  (void)unused;
  struct stwi_sf_hello hello = hello_of();
  hello.window_messages = 2;
  hello.window_bytes = 20;
  hello.message_max = 50;
  assert_int_equal(claim_as(&hello, "alice"), STW_REFUSAL_NONE);
  take(STWI_SF_WELCOME);
  post_count(3);
  expect_data(1);
  expect_data(2);
  take_nothing();
  give_ack(0, 1, 0);
  char bytes[60] = {0};
  post(STW_LANE_DATA, bytes, 40);
  post(STW_LANE_DATA, bytes, 60);
  expect_data(3);
  take_nothing();
  give_ack(0, 3, 0);
  expect_data(4); /* over the window, alone */
  take_nothing();
  give_ack(0, 4, 0);
  expect_gap(5, 5, STWI_GAP_REMOVED);
}

static void what_gave_way_unacknowledged_stays_in_the_clients_window(void **unused) {
  (void)unused;
  options.ring_messages = 2;
  renew();
  struct stwi_sf_hello hello = hello_of();
  hello.window_messages = 3;
  assert_int_equal(claim_as(&hello, "alice"), STW_REFUSAL_NONE);
  take(STWI_SF_WELCOME);
  post_count(2);
  expect_data(1);
  expect_data(2);
  post_count(2);
  expect_data(3);
  take_nothing();
  give_ack(0, 1, 0); /* 2 may be under way still */
  take_nothing();
  give_ack(0, 2, 0);
  expect_data(4);
  post_count(2);
  expect_data(5);
  take_nothing();
  give_ack(0, 5, 0);
  expect_data(6);
}

static void answers_and_the_end_go_in_order(void **unused) {
  (void)unused;
  connect_client();
  give_data(1);
  post_count(1);
  struct stwi_sframe frame = {.type = STWI_SF_PING};
  frame.u.ping.n = 3;
  give(&frame);
  frame = (struct stwi_sframe){.type = STWI_SF_AUTH};
  frame.u.auth.token = (struct stwi_text){"secret", 6};
  give(&frame);
  assert_int_equal(item.kind, STW_SESSION_AUTH);
  assert_int_equal(stwi_server_auth(&server, true, 60000), STW_OK);
  assert_int_equal(stwi_server_goaway(&server, 1, 2, "wss://b/", 1012), STW_OK);
  assert_int_equal(stwi_server_close(&server, 1000, "done"), STW_OK);
  assert_true(take(STWI_SF_AUTH).u.auth.is_ok);
  assert_int_equal(take(STWI_SF_PONG).u.ping.n, 3);
  assert_int_equal(take(STWI_SF_ACK).u.ack.accepted, 1);
  assert_int_equal(take(STWI_SF_CLOSE).u.close.code, 1000);
  take_nothing();
}

static void without_memory_calls_refuse_and_nothing_is_lost(void **unused) {
  (void)unused;
  connect_client();
  uint64_t number = 0;
  char bytes[100] = {0};
  uint64_t n = 0;
  for (long after = 0; after < 40; after++) {
    failing_mem_after = after % 6;
    const stw_status sent = stwi_server_send(&server, 0, bytes, sizeof bytes, false, &number);
    assert_true(sent == STW_OK || sent == STW_E_MEMORY);
    stw_status status = give_bytes(STWI_SF_PART, 0, n + 1, 0, bytes, sizeof bytes);
    if (status == STW_OK)
      status = give_bytes(STWI_SF_DATA, 0, n + 1, 0, bytes, sizeof bytes);
    failing_mem_after = -1;
    client.gave[0] = n + 1;
    if (status == STW_OK) {
      assert_int_equal(item.u.message.size, 200);
      n++;
    } else {
      assert_int_equal(status, STW_E_MEMORY);
      assert_int_equal(item.close_code, 1013);
      connect_client();
    }
    assert_int_equal(server.lanes[0].received, n);
  }
  assert_true(n > 0 && n < 40);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(numbers_in_order_are_given_and_acknowledged),
      TEST(the_control_lane_is_acknowledged_at_once),
      TEST(repeats_are_dropped_and_acknowledged_again_together),
      TEST(unnumbered_messages_are_given_and_never_acknowledged),
      TEST(parts_become_one_message_and_a_gap_ends_them),
      TEST(broken_rules_close_the_link_with_a_code),
      TEST(a_message_over_the_bound_is_refused_before_it_is_kept),
      TEST(only_what_the_host_accepted_is_acknowledged),
      TEST(nothing_is_acknowledged_before_the_link_brought_it),
      TEST(the_window_is_exact_and_of_both_lanes),
      TEST(what_the_host_accepts_makes_room),
      TEST(what_was_taken_back_is_in_no_window),
      TEST(an_honest_client_is_never_refused),
      TEST(nobody_takes_a_session_by_its_cid),
      TEST(a_token_is_valid_until_the_next_one_was_used),
      TEST(a_late_hello_of_an_older_link_voids_no_token),
      TEST(a_late_first_hello_voids_no_token),
      TEST(a_client_whose_first_welcome_was_lost_comes_in),
      TEST(optimistic_frames_do_not_void_the_old_token),
      TEST(what_the_store_does_not_know_is_stale),
      TEST(a_new_session_leaves_the_server_numbers),
      TEST(the_newest_link_fences_the_one_before),
      TEST(kept_messages_are_replayed_until_the_client_has_them),
      TEST(clients_that_say_processed_find_all_until_then),
      TEST(an_ack_that_goes_back_is_refused),
      TEST(a_full_ring_lets_the_oldest_go_as_a_gap),
      TEST(large_messages_go_in_parts_and_urgent_ones_pass),
      TEST(the_clients_window_and_largest_message_are_heeded),
      TEST(what_gave_way_unacknowledged_stays_in_the_clients_window),
      TEST(answers_and_the_end_go_in_order),
      TEST(without_memory_calls_refuse_and_nothing_is_lost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
