#include "sm_test.h"

/* ---- asking and answering ---- */

static void what_is_written_is_what_the_xep_shows(void **unused) {
  (void)unused;
  bind();
  struct stwi_xml *xml = writer();
  stwi_sm_enable(&sm, xml);
  assert_written(xml, "<enable xmlns=\"urn:xmpp:sm:3\" resume=\"true\"/>");
  hear("<enabled" NS " id='some-long-sm-id' resume='true'/>");
  xml = writer();
  stwi_sm_ask(&sm, xml);
  assert_written(xml, "<r xmlns=\"urn:xmpp:sm:3\"/>");
  uint64_t index;
  assert_true(stwi_sm_received(&sm, false, &index));
  assert_int_equal(index, 1);
  xml = writer();
  stwi_sm_answer(&sm, xml);
  assert_written(xml, "<a xmlns=\"urn:xmpp:sm:3\" h=\"1\"/>");
  stwi_sm_unlink(&sm);
  xml = writer();
  stwi_sm_resume(&sm, xml);
  assert_written(xml, "<resume xmlns=\"urn:xmpp:sm:3\" previd=\"some-long-sm-id\" h=\"1\"/>");
}

static void a_question_is_to_be_answered(void **unused) {
  (void)unused;
  enable();
  assert_int_equal(hear("<r" NS "/>"), STWI_SM_ASKED);
}

static void an_element_of_a_later_version_is_passed_over(void **unused) {
  (void)unused;
  enable();
  assert_int_equal(hear("<later" NS "/>"), STWI_SM_IGNORED);
  assert_int_equal(sm.phase, STWI_SM_ON);
}

/* Phases x elements, written down once more. */
static void what_was_not_asked_for_ends_the_session(void **unused) {
  (void)unused;
  static const char *const elements[] = {
      "<enabled" NS " id='y' resume='true'/>",
      "<failed" NS "/>",
      "<resumed" NS " previd='x' h='0'/>",
      "<a" NS " h='0'/>",
      "<r" NS "/>",
  };
  static const enum stwi_sm_news_kind wanted[STWI_SM_PHASE_COUNT][COUNT(elements)] = {
      {STWI_SM_BROKEN, STWI_SM_BROKEN, STWI_SM_BROKEN, STWI_SM_BROKEN, STWI_SM_BROKEN},
      {STWI_SM_ENABLED, STWI_SM_REFUSED, STWI_SM_BROKEN, STWI_SM_BROKEN, STWI_SM_BROKEN},
      {STWI_SM_BROKEN, STWI_SM_BROKEN, STWI_SM_BROKEN, STWI_SM_ACKED, STWI_SM_ASKED},
      {STWI_SM_BROKEN, STWI_SM_RESUME_REFUSED, STWI_SM_RESUMED, STWI_SM_BROKEN, STWI_SM_BROKEN},
  };
  for (unsigned phase = 0; phase < STWI_SM_PHASE_COUNT; phase++) {
    for (size_t i = 0; i < COUNT(elements); i++) {
      set_up(NULL);
      if (phase == STWI_SM_ENABLING)
        enabling();
      if (phase >= STWI_SM_ON)
        enable();
      if (phase == STWI_SM_RESUMING)
        lose_and_resume();
      assert_int_equal(sm.phase, phase);
      assert_int_equal(hear("%s", elements[i]), wanted[phase][i]);
      if (news.kind != STWI_SM_BROKEN)
        continue;
      assert_non_null(news.why);
      assert_int_equal(sm.phase, STWI_SM_OFF);
      assert_false(stwi_sm_is_resumable(&sm));
    }
  }
}

/* ---- enabled ---- */

static void what_the_server_offers_is_kept(void **unused) {
  (void)unused;
  enabling();
  assert_int_equal(hear("<enabled" NS " id='i' location='[2001:41D0::1]:9222' max='600'"
                        " resume='1'/>"),
                   STWI_SM_ENABLED);
  assert_null(news.why);
  assert_true(stwi_sm_is_resumable(&sm));
  assert_string_equal(sm.id, "i");
  assert_string_equal(sm.location, "[2001:41D0::1]:9222");
  assert_int_equal(sm.max_s, 600);
  assert_string_equal(sm.bound.text, "a@b/c");
}

static void a_stream_that_cannot_be_resumed_counts_all_the_same(void **unused) {
  (void)unused;
  static const char *const answers[] = {
      "<enabled" NS "/>",
      "<enabled" NS " id='i'/>",
      "<enabled" NS " id='i' resume='false'/>",
      "<enabled" NS " resume='true'/>",
      "<enabled" NS " id='' resume='true'/>",
  };
  for (size_t i = 0; i < COUNT(answers); i++) {
    set_up(NULL);
    enabling();
    assert_int_equal(hear("%s", answers[i]), STWI_SM_ENABLED);
    assert_non_null(news.why);
    assert_false(stwi_sm_is_resumable(&sm));
    write_messages(1, 2);
    assert_int_equal(hear("<a" NS " h='1'/>"), STWI_SM_ACKED);
    assert_int_equal(news.acked[STW_LANE_DATA], 1);
    stwi_sm_unlink(&sm);
    assert_int_equal(stwi_sm_unacked(&sm), 0);
  }
}

static void an_id_too_long_is_as_none_and_so_is_a_location(void **unused) {
  (void)unused;
  for (unsigned more = 0; more < 2; more++) {
    set_up(NULL);
    enabling();
    hear("<enabled" NS " id='%0*d' location='%0*d' max='x' resume='true'/>",
         (int)(STWI_SM_ID_MAX + more), 0, (int)(STWI_SM_LOCATION_MAX + more), 0);
    assert_int_equal(news.kind, STWI_SM_ENABLED);
    assert_int_equal(stwi_sm_is_resumable(&sm), more == 0);
    assert_int_equal(sm.location[0] != '\0', more == 0);
    assert_int_equal(news.why != NULL, more == 1);
    assert_int_equal(sm.max_s, 0);
  }
}

static void a_second_enabled_ends_the_session(void **unused) {
  (void)unused;
  enable();
  write_messages(1, 3);
  assert_int_equal(hear("<enabled" NS " id='other' resume='true'/>"), STWI_SM_BROKEN);
  assert_false(stwi_sm_is_resumable(&sm));
}

static void without_stream_management_nothing_counts(void **unused) {
  (void)unused;
  enabling();
  assert_int_equal(hear("<failed" NS "><unexpected-request"
                        " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"),
                   STWI_SM_REFUSED);
  write_messages(1, 100);
  write_own(100);
  assert_int_equal(stwi_sm_unacked(&sm), 0);
  assert_true(stwi_sm_has_room(&sm, STW_LANE_CONTROL, 1));
  uint64_t index;
  assert_true(stwi_sm_received(&sm, true, &index));
  assert_int_equal(index, 1);
}

/* ---- acknowledgements ---- */

static void counts_become_numbers_of_messages(void **unused) {
  (void)unused;
  enable();
  write_messages(10, 12);                  /* 1..3 */
  write_own(2);                            /* 4, 5 */
  stwi_sm_wrote(&sm, STW_LANE_CONTROL, 7); /* 6 */
  write_messages(13, 13);                  /* 7 */
  write_messages(20, 21);                  /* 8, 9: numbers between were taken back */
  static const uint64_t wanted[][3] = {{0, 0, 9}, {10, 0, 8}, {11, 0, 7}, {12, 0, 6}, {0, 0, 5},
                                       {0, 0, 4}, {0, 7, 3},  {13, 0, 2}, {20, 0, 1}, {21, 0, 0}};
  for (unsigned h = 0; h < COUNT(wanted); h++) {
    assert_int_equal(hear("<a" NS " h='%u'/>", h), STWI_SM_ACKED);
    assert_int_equal(news.acked[STW_LANE_DATA], wanted[h][0]);
    assert_int_equal(news.acked[STW_LANE_CONTROL], wanted[h][1]);
    assert_int_equal(stwi_sm_unacked(&sm), wanted[h][2]);
  }
  assert_int_equal(sm.count, 0);
}

static void one_acknowledgement_can_cover_many_runs(void **unused) {
  (void)unused;
  enable();
  write_messages(1, 5);
  write_own(1);
  stwi_sm_wrote(&sm, STW_LANE_CONTROL, 3);
  write_messages(6, 9);
  assert_int_equal(hear("<a" NS " h='9'/>"), STWI_SM_ACKED);
  assert_int_equal(news.acked[STW_LANE_DATA], 7);
  assert_int_equal(news.acked[STW_LANE_CONTROL], 3);
}

static void counts_wrap_at_2_to_the_32(void **unused) {
  (void)unused;
  enable();
  sm.sent = sm.acked = UINT32_MAX - 1;
  write_messages(1, 4); /* 2^32 - 1, 0, 1, 2 */
  assert_int_equal(hear("<a" NS " h='4294967295'/>"), STWI_SM_ACKED);
  assert_int_equal(news.acked[STW_LANE_DATA], 1);
  assert_int_equal(hear("<a" NS " h='0'/>"), STWI_SM_ACKED);
  assert_int_equal(news.acked[STW_LANE_DATA], 2);
  assert_int_equal(hear("<a" NS " h='2'/>"), STWI_SM_ACKED);
  assert_int_equal(news.acked[STW_LANE_DATA], 4);
  assert_int_equal(hear("<a" NS " h='3'/>"), STWI_SM_BROKEN);
  assert_true(news.is_too_high);
}

static void what_we_handled_wraps_as_well(void **unused) {
  (void)unused;
  enable();
  uint64_t index;
  sm.received = sm.for_host = sm.handled = sm.base + UINT32_MAX;
  assert_int_equal(stwi_sm_h(&sm), UINT32_MAX);
  assert_true(stwi_sm_received(&sm, false, &index));
  assert_int_equal(stwi_sm_h(&sm), 0);
  assert_true(stwi_sm_received(&sm, false, &index));
  assert_int_equal(stwi_sm_h(&sm), 1);
}

static void an_h_beyond_what_was_sent_ends_the_session(void **unused) {
  (void)unused;
  enable();
  write_messages(1, 8);
  assert_int_equal(hear("<a" NS " h='10'/>"), STWI_SM_BROKEN);
  assert_true(news.is_too_high);
  assert_int_equal(news.acked[STW_LANE_DATA], 0);
  assert_false(stwi_sm_is_resumable(&sm));
  struct stwi_xml *xml = writer();
  stwi_sm_complain(&news, xml);
  assert_written(xml, "<error xmlns=\"http://etherx.jabber.org/streams\">"
                      "<undefined-condition xmlns=\"urn:ietf:params:xml:ns:xmpp-streams\"/>"
                      "<handled-count-too-high xmlns=\"urn:xmpp:sm:3\" h=\"10\" send-count=\"8\"/>"
                      "<text xmlns=\"urn:ietf:params:xml:ns:xmpp-streams\">"
                      "the server acknowledges stanzas that were never sent</text></error>");
}

static void an_acknowledgement_that_goes_back_ends_the_session(void **unused) {
  (void)unused;
  enable();
  write_messages(1, 8);
  hear("<a" NS " h='5'/>");
  assert_int_equal(hear("<a" NS " h='4'/>"), STWI_SM_BROKEN);
  assert_false(news.is_too_high);
  struct stwi_xml *xml = writer();
  stwi_sm_complain(&news, xml);
  assert_written(xml, "<error xmlns=\"http://etherx.jabber.org/streams\">"
                      "<undefined-condition xmlns=\"urn:ietf:params:xml:ns:xmpp-streams\"/>"
                      "<text xmlns=\"urn:ietf:params:xml:ns:xmpp-streams\">"
                      "the server takes an acknowledgement back</text></error>");
}

static void an_acknowledgement_repeated_says_nothing_new(void **unused) {
  (void)unused;
  enable();
  write_messages(1, 2);
  hear("<a" NS " h='1'/>");
  assert_int_equal(hear("<a" NS " h='1'/>"), STWI_SM_ACKED);
  assert_int_equal(news.acked[STW_LANE_DATA], 0);
}

static void an_h_that_is_no_number_ends_the_session(void **unused) {
  (void)unused;
  static const char *const attributes[] = {"",        "h=''",           "h='-1'",
                                           "h='1.0'", "h=' 1'",         "h='0x1'",
                                           "h='1 '",  "h='4294967296'", "h='99999999999999999999'",
                                           "h='one'"};
  for (size_t i = 0; i < COUNT(attributes); i++) {
    set_up(NULL);
    enable();
    write_messages(1, 2);
    assert_int_equal(hear("<a" NS " %s/>", attributes[i]), STWI_SM_BROKEN);
    set_up(NULL);
    enable();
    lose_and_resume();
    assert_int_equal(hear("<resumed" NS " previd='x' %s/>", attributes[i]), STWI_SM_BROKEN);
  }
  set_up(NULL);
  enable();
  write_messages(1, 2);
  assert_int_equal(hear("<a" NS " h='0000000000002'/>"), STWI_SM_ACKED); /* xs:unsignedInt has it */
}

/* ---- room ---- */

static void a_full_ring_takes_what_prolongs_its_last_run(void **unused) {
  (void)unused;
  enable();
  for (uint64_t n = 1; n <= RUNS; n++)
    stwi_sm_wrote(&sm, STW_LANE_DATA, 2 * n);
  assert_false(stwi_sm_has_room(&sm, STW_LANE_DATA, 2 * RUNS + 2));
  assert_false(stwi_sm_has_room(&sm, STW_LANE_CONTROL, 2 * RUNS + 1));
  assert_false(stwi_sm_has_room(&sm, STW_LANE_DATA, 0));
  assert_true(stwi_sm_has_room(&sm, STW_LANE_DATA, 2 * RUNS + 1));
  write_messages(2 * RUNS + 1, 2 * RUNS + 1);
  hear("<a" NS " h='1'/>");
  assert_true(stwi_sm_has_room(&sm, STW_LANE_DATA, 0));
  write_own(2);
  assert_true(stwi_sm_has_room(&sm, STW_LANE_CONTROL, 0));
  assert_false(stwi_sm_has_room(&sm, STW_LANE_CONTROL, 1));
  hear("<a" NS " h='%u'/>", RUNS + 1);
  assert_int_equal(news.acked[STW_LANE_DATA], 2 * RUNS + 1);
}

static void more_memory_makes_more_room(void **unused) {
  (void)unused;
  struct stwi_sm_run more[2 * RUNS];
  enable();
  for (uint64_t n = 1; n <= RUNS; n++)
    stwi_sm_wrote(&sm, STW_LANE_DATA, 2 * n);
  hear("<a" NS " h='3'/>");
  stwi_sm_wrote(&sm, STW_LANE_CONTROL, 1); /* the circle has turned */
  stwi_sm_lend(&sm, more, COUNT(more));
  memset(memory, 0xff, sizeof memory);
  for (uint64_t n = 1; n <= 10; n++)
    stwi_sm_wrote(&sm, STW_LANE_DATA, 100 + 2 * n);
  for (unsigned h = 4; h <= RUNS; h++) {
    hear("<a" NS " h='%u'/>", h);
    assert_int_equal(news.acked[STW_LANE_DATA], 2 * h);
  }
  hear("<a" NS " h='19'/>");
  assert_int_equal(news.acked[STW_LANE_CONTROL], 1);
  assert_int_equal(news.acked[STW_LANE_DATA], 120);
}

static void what_is_unacknowledged_has_a_bound(void **unused) {
  (void)unused;
  enable();
  write_own(STWI_SM_UNACKED_MAX);
  assert_false(stwi_sm_has_room(&sm, STW_LANE_DATA, 0));
  hear("<a" NS " h='1'/>");
  assert_true(stwi_sm_has_room(&sm, STW_LANE_DATA, 0));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
  const struct CMUnitTest tests[] = {
      TEST(what_is_written_is_what_the_xep_shows),
      TEST(a_question_is_to_be_answered),
      TEST(an_element_of_a_later_version_is_passed_over),
      TEST(what_was_not_asked_for_ends_the_session),
      TEST(what_the_server_offers_is_kept),
      TEST(a_stream_that_cannot_be_resumed_counts_all_the_same),
      TEST(an_id_too_long_is_as_none_and_so_is_a_location),
      TEST(a_second_enabled_ends_the_session),
      TEST(without_stream_management_nothing_counts),
      TEST(counts_become_numbers_of_messages),
      TEST(one_acknowledgement_can_cover_many_runs),
      TEST(counts_wrap_at_2_to_the_32),
      TEST(what_we_handled_wraps_as_well),
      TEST(an_h_beyond_what_was_sent_ends_the_session),
      TEST(an_acknowledgement_that_goes_back_ends_the_session),
      TEST(an_acknowledgement_repeated_says_nothing_new),
      TEST(an_h_that_is_no_number_ends_the_session),
      TEST(a_full_ring_takes_what_prolongs_its_last_run),
      TEST(more_memory_makes_more_room),
      TEST(what_is_unacknowledged_has_a_bound),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
