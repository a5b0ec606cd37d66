#include "sm_test.h"

/* ---- inbound ---- */

static uint64_t receive(bool is_for_host) {
  uint64_t index = 0;
  return stwi_sm_received(&sm, is_for_host, &index) ? index : 0;
}

static void the_count_moves_when_the_host_has_handled(void **unused) {
  (void)unused;
  enable();
  assert_int_equal(receive(true), 1);
  assert_int_equal(receive(true), 2);
  assert_int_equal(stwi_sm_h(&sm), 0);
  assert_true(stwi_sm_handled(&sm, 1));
  assert_int_equal(stwi_sm_h(&sm), 1);
  assert_false(stwi_sm_handled(&sm, 1));
  assert_false(stwi_sm_handled(&sm, 0));
  assert_true(stwi_sm_handled(&sm, 2));
  assert_int_equal(stwi_sm_h(&sm), 2);
}

static void our_own_count_when_nothing_earlier_waits(void **unused) {
  (void)unused;
  enable();
  receive(false);
  assert_int_equal(stwi_sm_h(&sm), 1);
  receive(true); /* 2 */
  receive(false);
  assert_int_equal(stwi_sm_h(&sm), 1);
  receive(true); /* 4 */
  receive(false);
  assert_true(stwi_sm_handled(&sm, 2));
  assert_int_equal(stwi_sm_h(&sm), 2);
  assert_true(stwi_sm_handled(&sm, 4)); /* the last of the host's: what follows is ours */
  assert_int_equal(stwi_sm_h(&sm), 5);
  receive(false);
  assert_int_equal(stwi_sm_h(&sm), 6);
}

static void nobody_can_handle_what_has_not_come(void **unused) {
  (void)unused;
  enable();
  receive(true);
  assert_true(stwi_sm_handled(&sm, 1000));
  assert_int_equal(stwi_sm_h(&sm), 1);
  assert_false(stwi_sm_handled(&sm, UINT64_MAX));
}

static void stanzas_before_enabled_do_not_count_for_the_peer(void **unused) {
  (void)unused;
  bind();
  receive(true);
  stwi_sm_enable(&sm, writer());
  receive(true);
  hear("<enabled" NS " id='x' resume='true'/>");
  assert_int_equal(stwi_sm_h(&sm), 0);
  stwi_sm_handled(&sm, 2);
  assert_int_equal(stwi_sm_h(&sm), 0);
  assert_int_equal(receive(true), 3);
  stwi_sm_handled(&sm, 3);
  assert_int_equal(stwi_sm_h(&sm), 1);
}

static void what_waits_for_the_host_across_a_resume_comes_once(void **unused) {
  (void)unused;
  enable();
  for (unsigned i = 0; i < 5; i++)
    receive(true);
  stwi_sm_handled(&sm, 3);
  lose_and_resume();
  assert_non_null(strstr(written, "h=\"3\""));
  stwi_sm_handled(&sm, 4); /* before the server answers */
  hear("<resumed" NS " previd='x' h='0'/>");
  assert_int_equal(receive(true), 0); /* 4 again */
  assert_int_equal(stwi_sm_h(&sm), 4);
  assert_int_equal(receive(true), 0); /* 5 again */
  assert_int_equal(receive(true), 6);
  stwi_sm_handled(&sm, 6);
  assert_int_equal(stwi_sm_h(&sm), 6);
}

static void a_link_lost_among_the_repeats_begins_them_anew(void **unused) {
  (void)unused;
  enable();
  for (unsigned i = 0; i < 5; i++)
    receive(true);
  for (unsigned links = 0; links < 3; links++) {
    lose_and_resume();
    hear("<resumed" NS " previd='x' h='0'/>");
    for (unsigned i = 0; i < 2 + links; i++)
      assert_int_equal(receive(true), 0);
  }
  stwi_sm_unlink(&sm);
  assert_int_equal(receive(true), 6); /* nothing is a repeat without a link that was resumed */
}

static void after_a_refused_resume_nothing_is_a_repeat(void **unused) {
  (void)unused;
  enable();
  receive(true);
  receive(true);
  lose_and_resume();
  hear("<failed" NS "/>");
  enable();
  assert_int_equal(receive(true), 3);
  stwi_sm_handled(&sm, 2); /* of the session before */
  assert_int_equal(stwi_sm_h(&sm), 0);
  stwi_sm_handled(&sm, 3);
  assert_int_equal(stwi_sm_h(&sm), 1);
}

/* ---- resuming ---- */

static void what_the_server_has_is_acked_and_the_rest_counts_again(void **unused) {
  (void)unused;
  enable();
  write_messages(1, 5);
  write_own(2);
  write_messages(6, 6);
  lose_and_resume();
  assert_false(stwi_sm_has_room(&sm, STW_LANE_DATA, 7)); /* nothing before the answer */
  assert_int_equal(hear("<resumed" NS " previd='x' h='3'/>"), STWI_SM_RESUMED);
  assert_int_equal(news.acked[STW_LANE_DATA], 3);
  assert_int_equal(news.own_lost, 2);
  assert_int_equal(stwi_sm_unacked(&sm), 0);
  write_messages(4, 6);
  assert_int_equal(hear("<a" NS " h='6'/>"), STWI_SM_ACKED);
  assert_int_equal(news.acked[STW_LANE_DATA], 6);
}

static void a_wrong_previd_ends_the_session(void **unused) {
  (void)unused;
  static const char *const answers[] = {"<resumed" NS " previd='y' h='0'/>",
                                        "<resumed" NS " previd='' h='0'/>",
                                        "<resumed" NS " h='0'/>"};
  for (size_t i = 0; i < COUNT(answers); i++) {
    set_up(NULL);
    enable();
    lose_and_resume();
    assert_int_equal(hear("%s", answers[i]), STWI_SM_BROKEN);
    assert_false(stwi_sm_is_resumable(&sm));
  }
}

static void a_resume_that_counts_wrongly_ends_the_session(void **unused) {
  (void)unused;
  for (unsigned h = 0; h <= 9; h++) {
    set_up(NULL);
    enable();
    write_messages(1, 8);
    hear("<a" NS " h='3'/>");
    lose_and_resume();
    const bool is_right = h >= 3 && h <= 8;
    assert_int_equal(hear("<resumed" NS " previd='x' h='%u'/>", h),
                     is_right ? STWI_SM_RESUMED : STWI_SM_BROKEN);
    assert_int_equal(news.is_too_high, h == 9);
  }
}

static void a_refusal_with_h_settles_what_the_server_had(void **unused) {
  (void)unused;
  enable();
  write_messages(1, 5);
  write_own(3);
  lose_and_resume();
  assert_int_equal(hear("<failed" NS " h='3'><item-not-found"
                        " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"),
                   STWI_SM_RESUME_REFUSED);
  assert_true(news.has_h);
  assert_int_equal(news.acked[STW_LANE_DATA], 3);
  assert_int_equal(news.own_lost, 3);
  assert_false(stwi_sm_is_resumable(&sm));
}

static void a_refusal_without_h_or_with_an_impossible_one_settles_nothing(void **unused) {
  (void)unused;
  static const char *const answers[] = {"<failed" NS "/>", "<failed" NS " h='6'/>",
                                        "<failed" NS " h='1'/>", "<failed" NS " h='x'/>"};
  for (size_t i = 0; i < COUNT(answers); i++) {
    set_up(NULL);
    enable();
    write_messages(1, 5);
    hear("<a" NS " h='2'/>");
    lose_and_resume();
    assert_int_equal(hear("%s", answers[i]), STWI_SM_RESUME_REFUSED);
    assert_false(news.has_h);
    assert_int_equal(news.acked[STW_LANE_DATA], 0);
  }
}

static void a_link_lost_while_resuming_can_be_resumed_again(void **unused) {
  (void)unused;
  enable();
  write_messages(1, 5);
  lose_and_resume();
  lose_and_resume();
  assert_int_equal(hear("<resumed" NS " previd='x' h='2'/>"), STWI_SM_RESUMED);
  assert_int_equal(news.acked[STW_LANE_DATA], 2);
}

static void a_link_lost_while_enabling_leaves_no_session(void **unused) {
  (void)unused;
  enabling();
  write_messages(1, 5);
  stwi_sm_unlink(&sm);
  assert_false(stwi_sm_is_resumable(&sm));
  assert_int_equal(stwi_sm_unacked(&sm), 0);
  assert_int_equal(sm.phase, STWI_SM_OFF);
}

static void a_session_that_we_closed_is_not_resumed(void **unused) {
  (void)unused;
  enable();
  stwi_sm_forget(&sm);
  assert_false(stwi_sm_is_resumable(&sm));
  assert_int_equal(sm.phase, STWI_SM_OFF);
}

/* ---- another process ---- */

static struct stwi_sm_saved saved;

static void another_process(void) {
  memset(&sm, 0xa5, sizeof sm);
  memset(memory, 0xa5, sizeof memory);
  stwi_sm_init(&sm, memory, RUNS);
}

static void another_process_goes_on_where_one_was_killed(void **unused) {
  (void)unused;
  enabling();
  hear("<enabled" NS " id='x' location='l' max='60' resume='true'/>");
  write_messages(1, 5);
  write_own(1);
  stwi_sm_wrote(&sm, STW_LANE_CONTROL, 9);
  hear("<a" NS " h='2'/>");
  for (unsigned i = 0; i < 4; i++)
    receive(true);
  stwi_sm_handled(&sm, 3);
  stwi_sm_save(&sm, &saved);
  another_process();
  assert_true(stwi_sm_restore(&sm, &saved));
  assert_string_equal(sm.bound.text, "a@b/c");
  assert_string_equal(sm.location, "l");
  assert_int_equal(sm.max_s, 60);
  struct stwi_xml *xml = writer();
  stwi_sm_resume(&sm, xml);
  assert_written(xml, "<resume xmlns=\"urn:xmpp:sm:3\" previd=\"x\" h=\"3\"/>");
  assert_int_equal(hear("<resumed" NS " previd='x' h='7'/>"), STWI_SM_RESUMED);
  assert_int_equal(news.acked[STW_LANE_DATA], 5);
  assert_int_equal(news.acked[STW_LANE_CONTROL], 9);
  assert_int_equal(news.beyond, 0);
  assert_int_equal(receive(true), 4); /* it had come and was not handled */
}

static void what_was_written_after_the_save_is_told_as_beyond(void **unused) {
  (void)unused;
  enable();
  write_messages(1, 3);
  stwi_sm_save(&sm, &saved);
  another_process();
  assert_true(stwi_sm_restore(&sm, &saved));
  stwi_sm_resume(&sm, writer());
  assert_int_equal(hear("<resumed" NS " previd='x' h='5'/>"), STWI_SM_RESUMED);
  assert_int_equal(news.acked[STW_LANE_DATA], 3);
  assert_int_equal(news.beyond, 2);
  write_messages(6, 6);
  assert_int_equal(hear("<a" NS " h='6'/>"), STWI_SM_ACKED);
  assert_int_equal(news.acked[STW_LANE_DATA], 6);
  assert_int_equal(hear("<a" NS " h='7'/>"), STWI_SM_BROKEN); /* it is behind no more */
}

static void a_new_session_is_behind_nothing(void **unused) {
  (void)unused;
  enable();
  stwi_sm_save(&sm, &saved);
  another_process();
  assert_true(stwi_sm_restore(&sm, &saved));
  stwi_sm_resume(&sm, writer());
  hear("<failed" NS "/>");
  enable();
  assert_int_equal(hear("<a" NS " h='1'/>"), STWI_SM_BROKEN);
}

static void even_a_process_that_is_behind_believes_no_h_that_went_back(void **unused) {
  (void)unused;
  enable();
  write_messages(1, 3);
  hear("<a" NS " h='2'/>");
  stwi_sm_save(&sm, &saved);
  another_process();
  assert_true(stwi_sm_restore(&sm, &saved));
  stwi_sm_resume(&sm, writer());
  assert_int_equal(hear("<resumed" NS " previd='x' h='1'/>"), STWI_SM_BROKEN);
  assert_false(news.is_too_high);
}

static void more_runs_than_are_saved_are_beyond(void **unused) {
  (void)unused;
  struct stwi_sm_run more[2 * STWI_SM_SAVED_RUNS];
  stwi_sm_init(&sm, more, COUNT(more));
  enable();
  for (uint64_t n = 1; n <= STWI_SM_SAVED_RUNS + 3; n++)
    stwi_sm_wrote(&sm, STW_LANE_DATA, 2 * n);
  stwi_sm_save(&sm, &saved);
  stwi_sm_init(&sm, more, COUNT(more));
  assert_true(stwi_sm_restore(&sm, &saved));
  stwi_sm_resume(&sm, writer());
  hear("<resumed" NS " previd='x' h='%u'/>", STWI_SM_SAVED_RUNS + 2);
  assert_int_equal(news.acked[STW_LANE_DATA], 2 * STWI_SM_SAVED_RUNS);
  assert_int_equal(news.beyond, 2);
}

/* What the host had of the session before died with the process: no stanza of this one. */
static void a_session_begun_while_the_host_was_behind_is_counted_from_its_begin(void **unused) {
  (void)unused;
  enable();
  receive(true);
  receive(true);
  lose_and_resume();
  hear("<failed" NS "/>");
  enable();
  stwi_sm_save(&sm, &saved);
  another_process();
  assert_true(stwi_sm_restore(&sm, &saved));
  stwi_sm_resume(&sm, writer());
  hear("<resumed" NS " previd='x' h='0'/>");
  assert_int_equal(receive(true), 3);
  assert_int_equal(stwi_sm_h(&sm), 0);
  stwi_sm_handled(&sm, 3);
  assert_int_equal(stwi_sm_h(&sm), 1);
}

static void a_state_without_a_session_is_restored_as_such(void **unused) {
  (void)unused;
  memset(&saved, 0, sizeof saved);
  assert_true(stwi_sm_restore(&sm, &saved));
  assert_false(stwi_sm_is_resumable(&sm));
}

static void damage_number(size_t which) {
  switch (which) {
  case 0:
    memset(saved.id, 'x', sizeof saved.id);
    break;
  case 1:
    memset(saved.location, 'x', sizeof saved.location);
    break;
  case 2:
    saved.bound.local_size = 77;
    break;
  case 3:
    saved.run_count = STWI_SM_SAVED_RUNS + 1;
    break;
  case 4:
    saved.run_count = RUNS + 1;
    break;
  case 5:
    saved.runs[0].count = 0;
    break;
  case 6:
    saved.runs[0].count = STWI_SM_UNACKED_MAX + 1;
    break;
  case 7:
    saved.runs[0].lane = STW_LANE_COUNT;
    break;
  case 8:
    saved.runs[0].number = UINT64_MAX;
    break;
  case 9:
    saved.runs[0].count = saved.runs[1].count = STWI_SM_UNACKED_MAX / 2 + 1;
    break;
  case 10:
    saved.acked = UINT64_MAX;
    break;
  case 11:
    saved.base = UINT64_MAX;
    break;
  default:
    saved.handled = UINT64_MAX;
    break;
  }
}

static void a_damaged_state_is_not_restored(void **unused) {
  (void)unused;
  enable();
  write_messages(1, 1);
  write_own(1);
  struct stwi_sm_saved whole;
  stwi_sm_save(&sm, &whole);
  another_process();
  const struct stwi_sm before = sm;
  for (size_t which = 0; which <= 12; which++) {
    saved = whole;
    damage_number(which);
    assert_false(stwi_sm_restore(&sm, &saved));
    assert_memory_equal(&sm, &before, sizeof sm);
  }
  assert_true(stwi_sm_restore(&sm, &whole));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
  const struct CMUnitTest tests[] = {
      TEST(the_count_moves_when_the_host_has_handled),
      TEST(our_own_count_when_nothing_earlier_waits),
      TEST(nobody_can_handle_what_has_not_come),
      TEST(stanzas_before_enabled_do_not_count_for_the_peer),
      TEST(what_waits_for_the_host_across_a_resume_comes_once),
      TEST(a_link_lost_among_the_repeats_begins_them_anew),
      TEST(after_a_refused_resume_nothing_is_a_repeat),
      TEST(what_the_server_has_is_acked_and_the_rest_counts_again),
      TEST(a_wrong_previd_ends_the_session),
      TEST(a_resume_that_counts_wrongly_ends_the_session),
      TEST(a_refusal_with_h_settles_what_the_server_had),
      TEST(a_refusal_without_h_or_with_an_impossible_one_settles_nothing),
      TEST(a_link_lost_while_resuming_can_be_resumed_again),
      TEST(a_link_lost_while_enabling_leaves_no_session),
      TEST(a_session_that_we_closed_is_not_resumed),
      TEST(another_process_goes_on_where_one_was_killed),
      TEST(what_was_written_after_the_save_is_told_as_beyond),
      TEST(a_new_session_is_behind_nothing),
      TEST(even_a_process_that_is_behind_believes_no_h_that_went_back),
      TEST(more_runs_than_are_saved_are_beyond),
      TEST(a_session_begun_while_the_host_was_behind_is_counted_from_its_begin),
      TEST(a_state_without_a_session_is_restored_as_such),
      TEST(a_damaged_state_is_not_restored),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
