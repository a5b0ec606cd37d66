#include "session_test.h"

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

static bool has_session(uint32_t conn) {
  stw_conn_view view = {.struct_size = sizeof view};
  assert_true(stwi_core_view(world->core, conn, &view));
  return view.has_session;
}

static void exactly_once_waits_for_a_session(void **unused) {
  (void)unused;
  server->has_sessions = false;
  const uint32_t conn = open_session();
  world_send(world, conn, &(struct world_send){.guarantee = STW_EXACTLY_ONCE});
  world_run(world, 3 * STWI_S);
  assert_int_equal(server->messages, 0);
  assert_false(has_session(conn));
  server->has_sessions = true;
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  assert_true(world_run_settled(world, conn, 5 * STWI_S));
  expect_once(conn);
  assert_true(has_session(conn));
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

static void an_ack_says_nothing_of_what_went_out_plain(void **unused) {
  (void)unused;
  server->has_sessions = false;
  const uint32_t conn = open_session();
  const uint64_t plain = world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  server->has_sessions = true;
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_restart(world, server);
  world_run(world, 3 * STWI_S);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_ACCEPTED], 0);
  const uint64_t numbered = world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_int_equal(last(conn, STW_EVENT_PROOF)->u.proof.after, plain);
  assert_int_equal(last(conn, STW_EVENT_PROOF)->u.proof.settled, numbered);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_ACCEPTED], numbered);
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

/* Between the pieces of a message of its lane the server would refuse it. */
static void an_opening_changed_within_a_long_message_waits_for_its_end(void **unused) {
  (void)unused;
  server->write_delay_ns = 10 * STWI_MS;
  const uint32_t conn = open_session();
  world_run(world, STWI_S);
  for (unsigned i = 0; i < 3; i++)
    world_send(world, conn, &(struct world_send){.size = 700000});
  world_opening(world, conn, "trades", "o:trades");
  world_run(world, 15 * STWI_MS);
  assert_int_equal(server->messages, 0);
  assert_int_equal(world_live(world, conn)->openings, 0);
  world_run(world, 25 * STWI_MS);
  assert_int_equal(world_live(world, conn)->openings, 1);
  assert_int_equal(server->messages, 1);
  assert_true(world_run_settled(world, conn, STWI_S));
  expect_once(conn);
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

static void a_forgetful_server_has_processed_nothing_of_what_it_forgot(void **unused) {
  (void)unused;
  server->session_options.says_processed = false;
  const uint32_t conn = open_session();
  const uint64_t accepted = world_say(world, conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  server->session_options.says_processed = true;
  world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
  world_session_forget(server);
  world_restart(world, server);
  world_run(world, 3 * STWI_S);
  assert_int_equal(world_count(world, conn, STW_EVENT_SESSION_STALE), 1);
  assert_int_equal(world->conns[conn].proven[STW_PROOF_PROCESSED], 0);
  world_say(world, conn);
  world_run(world, STWI_S);
  assert_int_equal(last(conn, STW_EVENT_PROOF)->u.proof.proof, STW_PROOF_PROCESSED);
  assert_int_equal(last(conn, STW_EVENT_PROOF)->u.proof.after, accepted);
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

/* Its file lost the messages that it was told last: their numbers are given again. */
static void numbers_that_went_back_are_found_even_where_new_ones_were_given(void **unused) {
  (void)unused;
  server->has_echo = false;
  const uint32_t before = open_session();
  for (unsigned i = 0; i < 5; i++)
    world_say(world, before);
  assert_true(world_run_settled(world, before, STWI_S));
  struct stwi_restored restored = {
      .is_unclean = true, .may_lag = true, .session = world_inside(world, before)->saved};
  world_forget(world, before);
  const uint32_t conn = world_open_restored(world, session_config(), &restored);
  for (unsigned i = 0; i < 7; i++)
    world_say(world, conn);
  const uint64_t had = server->messages;
  assert_true(world_run_settled(world, conn, 10 * STWI_S));
  assert_int_equal(server->messages - had, 7);
  assert_int_equal(world_count(world, conn, STW_EVENT_SESSION_STALE), 1);
}

static bool has_hello(struct world *unused, void *none) {
  (void)unused;
  (void)none;
  return server->hellos > 0;
}

/* A process told the server of numbers, and died before it had committed them or the WELCOME. */
static void numbers_that_were_never_committed_are_found(void **unused) {
  (void)unused;
  const uint32_t before = world_open(world, session_config());
  world_send(world, before, &(struct world_send){.key = "price"});
  world_send(world, before, &(struct world_send){.key = "price"});
  assert_true(world_run_until(world, has_hello, NULL, STWI_S));
  struct stwi_restored restored = {.is_unclean = true};
  memcpy(restored.session.cid, world_inside(world, before)->session.saved.cid,
         sizeof restored.session.cid);
  world_forget(world, before);
  const uint32_t conn = world_open_restored(world, session_config(), &restored);
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, 10 * STWI_S));
  assert_int_equal(world->conns[conn].messages[0].received, 1);
}

static void numbers_that_went_back_are_found_by_a_later_process_too(void **unused) {
  (void)unused;
  server->has_echo = false;
  const uint32_t before = open_session();
  for (unsigned i = 0; i < 5; i++)
    world_say(world, before);
  assert_true(world_run_settled(world, before, STWI_S));
  struct stwi_restored restored = {.is_unclean = true,
                                   .session = world_inside(world, before)->saved};
  world_forget(world, before);
  server->door = WORLD_DOOR_REFUSED;
  const uint32_t conn = world_open_restored(world, session_config(), &restored);
  for (unsigned i = 0; i < 7; i++)
    world_say(world, conn);
  world_crash(world, conn, session_config());
  server->door = WORLD_DOOR_OPEN;
  const uint64_t had = server->messages;
  assert_true(world_run_settled(world, conn, 10 * STWI_S));
  assert_int_equal(server->messages - had, 7);
  assert_int_equal(world_count(world, conn, STW_EVENT_SESSION_STALE), 1);
}

/* A session whose file missed the last tokens: the link was lost twice since. */
static struct stwi_restored outdated(bool is_unclean) {
  server->has_echo = false;
  const uint32_t before = open_session();
  const struct stwi_restored restored = {.is_unclean = is_unclean,
                                         .session = world_inside(world, before)->saved};
  for (unsigned i = 0; i < 2; i++) {
    world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
    world_restart(world, server);
    world_run(world, STWI_S);
    assert_true(world_run_to(world, before, STW_STATE_ONLINE, 10 * STWI_S));
    world_say(world, before);
    assert_true(world_run_settled(world, before, STWI_S));
  }
  world_forget(world, before);
  return restored;
}

static void a_token_that_the_file_missed_costs_the_session_and_not_the_conn(void **unused) {
  (void)unused;
  struct stwi_restored restored = outdated(true);
  const uint32_t conn = world_open_restored(world, session_config(), &restored);
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, 10 * STWI_S));
  assert_int_equal(world_count(world, conn, STW_EVENT_SESSION_STALE), 1);
  assert_int_equal(last(conn, STW_EVENT_GAP)->u.gap.reason, STW_GAP_SESSION_LOST);
}

static void a_wrong_token_of_a_file_closed_in_order_is_a_refused_login(void **unused) {
  (void)unused;
  struct stwi_restored restored = outdated(false);
  const uint32_t conn = world_open_restored(world, session_config(), &restored);
  assert_true(world_run_to(world, conn, STW_STATE_FAILED, 10 * STWI_S));
  assert_int_equal(world_count(world, conn, STW_EVENT_SESSION_STALE), 0);
}

static void credentials_are_doubted_before_the_token_is(void **unused) {
  (void)unused;
  struct stwi_restored restored = outdated(true);
  struct stwi_conn_config *config = session_config();
  config->has_credentials = true;
  const uint32_t conn = world_open_restored(world, config, &restored);
  world_supply(world, conn, "one", 60000);
  world_run(world, STWI_S);
  assert_int_equal(world_count(world, conn, STW_EVENT_SESSION_STALE), 0);
  world_supply(world, conn, "two", 60000);
  world_say(world, conn);
  assert_true(world_run_settled(world, conn, 10 * STWI_S));
  assert_int_equal(world_count(world, conn, STW_EVENT_SESSION_STALE), 1);
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

static void goaway_sends_a_client_to_its_other_server(void **unused) {
  (void)unused;
  struct world_server *other = world_server(world, "b");
  other->has_sessions = true;
  struct stwi_conn_config *config = world_config("a b");
  config->profile = STWI_PROFILE_SESSION;
  const uint32_t conn = world_open(world, config);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, STWI_S));
  world_run(world, 3 * STWI_S);
  server->refuses = STWI_REFUSE_BUSY; /* it takes nobody from now on */
  world_session_goaway(world, server, 0, 100);
  world_run(world, STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(server->dials, 1);
  assert_int_equal(other->dials, 1);
}

/* Who is alone behind its address comes back to the one that it was asked to leave. */
static void a_refusal_with_a_hint_is_followed_at_once(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  world_run(world, 3 * STWI_S);
  server->refuses = STWI_REFUSE_BUSY;
  server->refusal_text = "r=0;w=200";
  world_session_goaway(world, server, 0, 100);
  world_run(world, 150 * STWI_MS);
  assert_int_equal(server->hellos, 2);
  server->refuses = 0; /* the address leads to another node */
  world_run(world, 250 * STWI_MS);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(server->hellos, 3);
}

/* The old link works meanwhile, but who has no room is not to be asked all the time. */
static void an_appointment_is_kept_beside_a_live_link(void **unused) {
  (void)unused;
  const uint32_t conn = open_session();
  world_run(world, 3 * STWI_S);
  server->door = WORLD_DOOR_HTTP;
  server->http_status = 503;
  server->retry_after_ms = 20000;
  world_session_goaway(world, server, 0, 100);
  world_run(world, STWI_S);
  expect_state(conn, STW_STATE_MIGRATING);
  assert_int_equal(server->dials, 2);
  world_run(world, 18 * STWI_S);
  expect_state(conn, STW_STATE_MIGRATING);
  assert_int_equal(server->dials, 2);
  server->door = WORLD_DOOR_OPEN;
  world_run(world, 3 * STWI_S);
  expect_state(conn, STW_STATE_ONLINE);
  assert_int_equal(server->dials, 3);
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
      SESSION_TEST(an_ack_says_nothing_of_what_went_out_plain),
      SESSION_TEST(a_forgetful_server_has_processed_nothing_of_what_it_forgot),
      SESSION_TEST(opening_messages_go_only_where_the_session_did_not_go_on),
      SESSION_TEST(an_opening_changed_within_a_long_message_waits_for_its_end),
      SESSION_TEST(a_server_that_lost_the_session_gets_a_new_one_on_the_same_link),
      SESSION_TEST(the_host_may_decide_about_messages_of_unknown_fate),
      SESSION_TEST(what_the_host_has_processed_reaches_the_server),
      SESSION_TEST(a_new_process_goes_on_with_the_session_of_the_dead_one),
      SESSION_TEST(numbers_that_went_back_are_found_even_where_new_ones_were_given),
      SESSION_TEST(numbers_that_were_never_committed_are_found),
      SESSION_TEST(numbers_that_went_back_are_found_by_a_later_process_too),
      SESSION_TEST(a_token_that_the_file_missed_costs_the_session_and_not_the_conn),
      SESSION_TEST(a_wrong_token_of_a_file_closed_in_order_is_a_refused_login),
      SESSION_TEST(credentials_are_doubted_before_the_token_is),
      SESSION_TEST(goaway_moves_after_its_time_and_the_old_link_works_until_then),
      SESSION_TEST(goaway_sends_a_client_to_its_other_server),
      SESSION_TEST(an_appointment_is_kept_beside_a_live_link),
      SESSION_TEST(a_refusal_with_a_hint_is_followed_at_once),
      SESSION_TEST(fresh_credentials_go_in_band),
      SESSION_TEST(credentials_refused_in_band_are_tried_on_another_link),
      SESSION_TEST(the_subprotocol_is_offered_before_the_hosts_own),
  };
  return cmocka_run_group_tests_name("conn_session", tests, NULL, NULL);
}
