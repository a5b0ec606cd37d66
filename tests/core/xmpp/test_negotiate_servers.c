/* Whole logins: against what Prosody 0.12 and ejabberd 23.01 send, and against servers that lie. */
#include "negotiate_test.h"

/* ---- servers as they are ---- */

static void prosody_0_12_with_scram(void **unused) {
  (void)unused;
  assert_int_equal(hear("<stream:features><mechanisms" SASL "><mechanism>SCRAM-SHA-1</mechanism>"
                        "<mechanism>PLAIN</mechanism></mechanisms></stream:features>"),
                   STWI_NEGOTIATE_SASL_BEGIN);
  assert_int_equal(news.mechanism, STWI_MECHANISM_SCRAM_SHA_1);
  assert_int_equal(sasl("biwsbj1hLHI9eA==", false), STWI_NEGOTIATE_NOTHING);
  assert_int_equal(hear("<challenge" SASL ">cj14eXo9</challenge>"), STWI_NEGOTIATE_SASL_STEP);
  assert_int_equal(sasl("Yz1iaXdz", false), STWI_NEGOTIATE_NOTHING);
  assert_int_equal(hear("<success" SASL ">dj14</success>"), STWI_NEGOTIATE_SASL_STEP);
  assert_memory_equal(news.challenge, "dj14", 4);
  assert_int_equal(sasl(NULL, true), STWI_NEGOTIATE_RESTART);
  assert_int_equal(out.size, 0);
  assert_int_equal(hear("<stream:features><c ver='x' hash='sha-1' node='http://prosody.im'"
                        " xmlns='http://jabber.org/protocol/caps'/><bind" BIND "><required/></bind>"
                        "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>"
                        "<csi xmlns='urn:xmpp:csi:0'/><sm xmlns='urn:xmpp:sm:2'><optional/></sm>"
                        "<sm" SM "><optional/></sm><ver xmlns='urn:xmpp:features:rosterver'/>"
                        "</stream:features>"),
                   STWI_NEGOTIATE_LOGGED_IN);
  assert_int_equal(claim(), STWI_NEGOTIATE_NOTHING);
  assert_int_equal(hear("<iq id='bind' type='result'><bind" BIND "><jid>a@b/bEz3Qsij</jid></bind>"
                        "</iq>"),
                   STWI_NEGOTIATE_NOTHING);
  assert_int_equal(hear("<enabled" SM " max='600' id='-8fC42cXo7Cc' resume='true'/>"),
                   STWI_NEGOTIATE_IS_READY);
  assert_null(news.why);
  assert_string_equal(sm.id, "-8fC42cXo7Cc");
  assert_string_equal(sm.bound.text, "a@b/bEz3Qsij");
}

static void ejabberd_23_01_with_channel_binding(void **unused) {
  (void)unused;
  terms.has_binding = true;
  assert_int_equal(
      hear("<stream:features><mechanisms" SASL "><mechanism>PLAIN</mechanism>"
           "<mechanism>SCRAM-SHA-1</mechanism><mechanism>SCRAM-SHA-1-PLUS</mechanism>"
           "<mechanism>X-OAUTH2</mechanism></mechanisms><c xmlns='http://jabber.org/protocol/caps'"
           " hash='sha-1' node='http://www.process-one.net/en/ejabberd/' ver='x'/>"
           "<register xmlns='http://jabber.org/features/iq-register'/></stream:features>"),
      STWI_NEGOTIATE_SASL_BEGIN);
  assert_int_equal(news.mechanism, STWI_MECHANISM_SCRAM_SHA_1_PLUS);
  sasl("cD10bHM=", false);
  hear("<challenge" SASL ">cj0=</challenge>");
  sasl("Yz0=", false);
  hear("<success" SASL ">dj0=</success>");
  assert_int_equal(sasl("", true), STWI_NEGOTIATE_RESTART);
  assert_int_equal(hear("<stream:features><bind" BIND "/>"
                        "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>"
                        "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='x'/>"
                        "<sm xmlns='urn:xmpp:sm:2'/><sm" SM
                        "/><ver xmlns='urn:xmpp:features:rosterver'/>"
                        "<csi xmlns='urn:xmpp:csi:0'/></stream:features>"),
                   STWI_NEGOTIATE_LOGGED_IN);
  claim();
  hear("<iq type='result' id='bind'><bind" BIND "><jid>a@b/1129</jid></bind></iq>");
  assert_int_equal(hear("<enabled" SM " id='g2gCbQAAAAQxMTI5aANiAAAGbg' max='300' resume='true'/>"),
                   STWI_NEGOTIATE_IS_READY);
  assert_int_equal(sm.max_s, 300);
}

/* ejabberd names the host in the address of its answer, and asks for a ping before it enables. */
static void stanzas_between_bind_and_enabled_are_for_the_conn(void **unused) {
  (void)unused;
  log_in();
  hear(SESSION_FEATURES);
  claim();
  hear(BOUND);
  assert_int_equal(hear("<iq type='get' id='1' from='b'><ping xmlns='urn:xmpp:ping'/></iq>"),
                   STWI_NEGOTIATE_STANZA);
  uint64_t index;
  assert_true(stwi_sm_received(&sm, false, &index));
  assert_int_equal(hear("<enabled" SM " id='i' resume='true'/>"), STWI_NEGOTIATE_IS_READY);
  assert_int_equal(stwi_sm_h(&sm), 0); /* it came before the count began */
}

static void over_websocket_each_stream_is_opened_by_an_element(void **unused) {
  (void)unused;
  static const char open[] = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='b' id='i'"
                             " version='1.0' xml:lang='en'/>";
  assert_int_equal(hear(open), STWI_NEGOTIATE_NOTHING);
  log_in();
  assert_int_equal(hear(open), STWI_NEGOTIATE_NOTHING);
  assert_int_equal(hear(SESSION_FEATURES), STWI_NEGOTIATE_LOGGED_IN);
}

static void an_anonymous_login_gets_an_address(void **unused) {
  (void)unused;
  be("b");
  terms.has_password = false;
  offer("ANONYMOUS");
  assert_int_equal(news.mechanism, STWI_MECHANISM_ANONYMOUS);
  sasl("", true);
  hear("<success" SASL "/>");
  hear(SESSION_FEATURES);
  claim();
  hear("<iq type='result' id='bind'><bind" BIND "><jid>guest-1@b/x</jid></bind></iq>");
  assert_int_equal(hear("<enabled" SM " id='i' resume='true'/>"), STWI_NEGOTIATE_IS_READY);
  assert_string_equal(sm.bound.text, "guest-1@b/x");
}

/* ---- logins that fail ---- */

static void a_wrong_password_is_not_tried_with_a_weaker_mechanism(void **unused) {
  (void)unused;
  offer("SCRAM-SHA-256 SCRAM-SHA-1 PLAIN");
  sasl("bg==", false);
  hear("<challenge" SASL ">cj0=</challenge>");
  sasl("Yz0=", false);
  hear("<failure" SASL "><not-authorized/><text xml:lang='en'>Invalid username or password</text>"
       "</failure>");
  assert_over(STW_CAUSE_AUTH_FAILED, "not-authorized (Invalid username or password)");
}

static void a_mechanism_refused_as_such_gives_way_to_the_next(void **unused) {
  (void)unused;
  offer("SCRAM-SHA-256 SCRAM-SHA-1");
  sasl("bg==", false);
  assert_int_equal(hear("<failure" SASL "><invalid-mechanism/></failure>"),
                   STWI_NEGOTIATE_SASL_BEGIN);
  assert_int_equal(news.mechanism, STWI_MECHANISM_SCRAM_SHA_1);
  sasl("bg==", false);
  assert_non_null(strstr(written, "mechanism=\"SCRAM-SHA-1\""));
  hear("<failure" SASL "><mechanism-too-weak/></failure>");
  assert_over(STW_CAUSE_NO_MECHANISM, "mechanism-too-weak");
}

static void a_certificate_that_is_not_known_gives_way_to_the_password(void **unused) {
  (void)unused;
  terms.has_certificate = true;
  offer("EXTERNAL SCRAM-SHA-1");
  assert_int_equal(news.mechanism, STWI_MECHANISM_EXTERNAL);
  sasl("", true);
  assert_int_equal(hear("<failure" SASL "><not-authorized/></failure>"), STWI_NEGOTIATE_SASL_BEGIN);
  assert_int_equal(news.mechanism, STWI_MECHANISM_SCRAM_SHA_1);
  set_up(NULL);
  terms.has_certificate = true;
  terms.has_password = false;
  offer("EXTERNAL SCRAM-SHA-1");
  sasl("", true);
  hear("<failure" SASL "><not-authorized/></failure>");
  assert_over(STW_CAUSE_AUTH_FAILED, "not-authorized");
}

static void a_server_short_of_something_is_tried_again_later(void **unused) {
  (void)unused;
  terms.has_certificate = true;
  offer("EXTERNAL PLAIN");
  sasl("", true);
  hear("<failure" SASL "><temporary-auth-failure/></failure>");
  assert_over(STW_CAUSE_TRY_LATER, "temporary-auth-failure");
}

/* ---- servers that lie, and those in the middle ---- */

static void no_mechanism_at_all(void **unused) {
  (void)unused;
  static const char *const features[] = {
      "<stream:features/>",
      "<stream:features><mechanisms" SASL "/></stream:features>",
      "<stream:features><mechanisms><mechanism>PLAIN</mechanism></mechanisms></stream:features>",
      "<stream:features><mechanisms" SASL "><mechanism>CRAM-MD5</mechanism></mechanisms>"
      "</stream:features>",
      "<stream:features><mechanisms" SASL "><mechanism>PL<x/>AIN</mechanism></mechanisms>"
      "</stream:features>",
  };
  for (size_t i = 0; i < COUNT(features); i++) {
    set_up(NULL);
    hear(features[i]);
    assert_over(STW_CAUSE_NO_MECHANISM, "no way to log in");
  }
  set_up(NULL);
  terms.is_tls = false;
  hear("<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
       "</stream:features>");
  assert_over(STW_CAUSE_NO_MECHANISM, "TLS");
}

static void a_password_is_not_shown_without_tls(void **unused) {
  (void)unused;
  terms.is_tls = false;
  offer("PLAIN");
  assert_over(STW_CAUSE_NO_MECHANISM, "PLAIN, but it needs TLS");
  assert_int_equal(out.size, 0);
  set_up(NULL);
  terms.is_tls = false;
  terms.allows_plain_in_clear = true;
  assert_int_equal(offer("PLAIN"), STWI_NEGOTIATE_SASL_BEGIN);
}

static void a_password_without_an_account_and_a_binding_without_tls_are_of_no_use(void **unused) {
  (void)unused;
  be("b");
  offer("SCRAM-SHA-1");
  assert_over(STW_CAUSE_NO_MECHANISM, "it needs a user and a password");
  set_up(NULL);
  terms.is_tls = false;
  terms.has_binding = true;
  offer("SCRAM-SHA-1-PLUS");
  assert_over(STW_CAUSE_NO_MECHANISM, "channel binding");
}

static void what_was_stronger_before_is_not_talked_down(void **unused) {
  (void)unused;
  terms.mechanisms = stwi_mechanisms_from(STWI_MECHANISM_SCRAM_SHA_256);
  offer("PLAIN SCRAM-SHA-1");
  assert_over(STW_CAUSE_NO_MECHANISM, "SCRAM-SHA-1, but it is weaker than what was used before");
  assert_non_null(strstr(news.detail, "; PLAIN, but it is weaker"));
  set_up(NULL);
  terms.mechanisms = stwi_mechanisms_from(STWI_MECHANISM_SCRAM_SHA_1);
  offer("SCRAM-SHA-256 SCRAM-SHA-1 PLAIN");
  sasl("bg==", false);
  hear("<failure" SASL "><invalid-mechanism/></failure>");
  sasl("bg==", false);
  hear("<failure" SASL "><invalid-mechanism/></failure>"); /* PLAIN is left, and not allowed */
  assert_over(STW_CAUSE_NO_MECHANISM, "invalid-mechanism");
}

static void all_that_is_offered_fits_the_detail(void **unused) {
  (void)unused;
  terms.has_password = false;
  offer("EXTERNAL SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN ANONYMOUS");
  assert_over(STW_CAUSE_NO_MECHANISM, "EXTERNAL, but it needs client_cert");
  assert_true(strlen(news.detail) < STWI_NEGOTIATE_DETAIL_MAX);
}

static void success_before_the_server_has_proved_anything(void **unused) {
  (void)unused;
  offer("SCRAM-SHA-1");
  sasl("bg==", false);
  hear("<success" SASL "/>"); /* it never saw a proof of ours */
  assert_over(STW_CAUSE_FRAME_ERROR, "without proof");
  set_up(NULL);
  offer("SCRAM-SHA-1");
  sasl("bg==", false);
  hear("<challenge" SASL ">cj0=</challenge>");
  sasl("Yz0=", false);
  hear("<success" SASL "/>");
  assert_over(STW_CAUSE_FRAME_ERROR, "without proof");
  set_up(NULL);
  offer("SCRAM-SHA-1");
  sasl("bg==", false);
  hear("<success" SASL ">eD15</success>"); /* words that are no proof */
  sasl(NULL, false);
  assert_over(STW_CAUSE_FRAME_ERROR, "before it is");
  set_up(NULL);
  offer("SCRAM-SHA-1");
  hear("<success" SASL "/>"); /* before we have said anything */
  assert_over(STW_CAUSE_FRAME_ERROR, "where the stream waits for our login");
}

static void challenges_without_end(void **unused) {
  (void)unused;
  offer("SCRAM-SHA-1");
  sasl("bg==", false);
  for (unsigned i = 0; i < STWI_NEGOTIATE_ROUNDS_MAX; i++) {
    assert_int_equal(hear("<challenge" SASL ">cj0=</challenge>"), STWI_NEGOTIATE_SASL_STEP);
    assert_int_equal(sasl("Yz0=", false), STWI_NEGOTIATE_NOTHING);
  }
  hear("<challenge" SASL ">cj0=</challenge>");
  assert_over(STW_CAUSE_FRAME_ERROR, "do not end");
}

static void a_challenge_after_the_last(void **unused) {
  (void)unused;
  offer("PLAIN");
  sasl("AGEAcA==", true);
  hear("<challenge" SASL ">c2VjcmV0Pw==</challenge>");
  assert_over(STW_CAUSE_FRAME_ERROR, "that is complete");
}

static void a_challenge_of_any_size(void **unused) {
  (void)unused;
  for (unsigned more = 0; more < 2; more++) {
    char text[STWI_NEGOTIATE_CHALLENGE_MAX + 200];
    snprintf(text, sizeof text, "<challenge" SASL ">%0*d</challenge>",
             (int)(STWI_NEGOTIATE_CHALLENGE_MAX + more), 0);
    set_up(NULL);
    offer("SCRAM-SHA-1");
    sasl("bg==", false);
    hear(text);
    if (more == 0)
      assert_int_equal(news.kind, STWI_NEGOTIATE_SASL_STEP);
    else
      assert_over(STW_CAUSE_FRAME_ERROR, "8 KiB");
  }
}

static void names_of_another_namespace_mean_nothing(void **unused) {
  (void)unused;
  static const char *const texts[] = {
      "<features xmlns='urn:other'/>",
      "<features/>",
      "<success xmlns='urn:other'/>",
      "<challenge xmlns='jabber:client'/>",
      "<resumed xmlns='urn:xmpp:sm:2' previd='old' h='0'/>",
      "<error xmlns='jabber:client'/>",
      "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
      "text between",
  };
  for (size_t i = 0; i < COUNT(texts); i++)
    assert_int_equal(hear(texts[i]), STWI_NEGOTIATE_NOTHING);
  assert_int_equal(negotiate.state, STWI_NEGOTIATE_FEATURES);
  have_session();
  log_in();
  hear(SESSION_FEATURES);
  claim();
  assert_int_equal(hear("<later" SM "/>"), STWI_NEGOTIATE_NOTHING);
  assert_int_equal(negotiate.state, STWI_NEGOTIATE_RESUME);
}

static void what_does_not_belong_has_an_end(void **unused) {
  (void)unused;
  static const char *const texts[] = {"<presence from='x@b'/>", "<x xmlns='urn:other'/>", " "};
  for (unsigned i = 0; i < STWI_NEGOTIATE_IGNORED_MAX; i++)
    assert_int_equal(hear(texts[i % COUNT(texts)]), STWI_NEGOTIATE_NOTHING);
  hear(texts[0]);
  assert_over(STW_CAUSE_FRAME_ERROR, "does not belong");
}

static void no_binding_is_offered(void **unused) {
  (void)unused;
  log_in();
  hear("<stream:features><mechanisms" SASL "><mechanism>PLAIN</mechanism></mechanisms>"
       "</stream:features>");
  assert_over(STW_CAUSE_FRAME_ERROR, "no binding");
}

static void a_count_that_cannot_be_is_answered_and_ended(void **unused) {
  (void)unused;
  have_session();
  log_in();
  hear(SESSION_FEATURES);
  claim();
  hear("<resumed" SM " previd='old' h='7'/>");
  assert_over(STW_CAUSE_SESSION_ERROR, "never sent");
  assert_non_null(strstr(written, "handled-count-too-high"));
  assert_false(stwi_sm_is_resumable(&sm));
}

static void another_stream_is_resumed(void **unused) {
  (void)unused;
  have_session();
  log_in();
  hear(SESSION_FEATURES);
  claim();
  hear("<resumed" SM " previd='somebody-elses' h='0'/>");
  assert_over(STW_CAUSE_SESSION_ERROR, "another stream");
}

/* ---- streams that end ---- */

static void a_stream_error_ends_the_login_wherever_it_is(void **unused) {
  (void)unused;
  static const struct {
    const char *condition;
    stw_cause cause;
    const char *host;
  } cases[] = {
      {"<conflict" STREAMS "/>", STW_CAUSE_REPLACED, ""},
      {"<system-shutdown" STREAMS "/>", STW_CAUSE_RESTART, ""},
      {"<host-unknown" STREAMS "/>", STW_CAUSE_HOST_UNKNOWN, ""},
      {"<not-authorized" STREAMS "/>", STW_CAUSE_AUTH_FAILED, ""},
      {"<policy-violation" STREAMS "/>", STW_CAUSE_POLICY, ""},
      {"<resource-constraint" STREAMS "/>", STW_CAUSE_TRY_LATER, ""},
      {"<see-other-host" STREAMS ">c.example:5269</see-other-host>", STW_CAUSE_GOAWAY,
       "c.example:5269"},
      {"<nonsense" STREAMS "/>", STW_CAUSE_STREAM_ERROR, ""},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    char text[300];
    snprintf(text, sizeof text, "<stream:error>%s</stream:error>", cases[i].condition);
    for (unsigned is_late = 0; is_late < 2; is_late++) {
      set_up(NULL);
      if (is_late == 1)
        log_in();
      hear(text);
      assert_over(cases[i].cause, "the server ended the stream");
      assert_int_equal(news.host_size, strlen(cases[i].host));
      assert_memory_equal(news.host, cases[i].host, news.host_size);
    }
  }
}

static void a_websocket_close_can_name_another_place(void **unused) {
  (void)unused;
  hear("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing' see-other-uri='wss://c.example/ws'/>");
  assert_over(STW_CAUSE_GOAWAY, "closed the stream");
  assert_int_equal(news.host_size, 18);
  assert_memory_equal(news.host, "wss://c.example/ws", 18);
  char text[2000];
  snprintf(text, sizeof text,
           "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing' see-other-uri='%01500d'/>", 0);
  set_up(NULL);
  hear(text);
  assert_over(STW_CAUSE_CLOSE_NORMAL, "closed the stream");
}

static void once_it_is_ready_an_end_is_read_the_same_way(void **unused) {
  (void)unused;
  char detail[100];
  const char *text = "<stream:error><conflict" STREAMS "/><text" STREAMS
                     ">Replaced by new connection</text></stream:error>";
  assert_true(stwi_negotiate_is_end(xml_read(text, strlen(text)), &news, detail, sizeof detail));
  assert_int_equal(news.cause, STW_CAUSE_REPLACED);
  assert_string_equal(detail, "the server ended the stream: conflict (Replaced by new connection)");
  assert_false(stwi_negotiate_is_end(xml_read("<message/>", 10), &news, detail, sizeof detail));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
  const struct CMUnitTest tests[] = {
      TEST(prosody_0_12_with_scram),
      TEST(ejabberd_23_01_with_channel_binding),
      TEST(stanzas_between_bind_and_enabled_are_for_the_conn),
      TEST(over_websocket_each_stream_is_opened_by_an_element),
      TEST(an_anonymous_login_gets_an_address),
      TEST(a_wrong_password_is_not_tried_with_a_weaker_mechanism),
      TEST(a_mechanism_refused_as_such_gives_way_to_the_next),
      TEST(a_certificate_that_is_not_known_gives_way_to_the_password),
      TEST(a_server_short_of_something_is_tried_again_later),
      TEST(no_mechanism_at_all),
      TEST(a_password_is_not_shown_without_tls),
      TEST(a_password_without_an_account_and_a_binding_without_tls_are_of_no_use),
      TEST(what_was_stronger_before_is_not_talked_down),
      TEST(all_that_is_offered_fits_the_detail),
      TEST(success_before_the_server_has_proved_anything),
      TEST(challenges_without_end),
      TEST(a_challenge_after_the_last),
      TEST(a_challenge_of_any_size),
      TEST(names_of_another_namespace_mean_nothing),
      TEST(what_does_not_belong_has_an_end),
      TEST(no_binding_is_offered),
      TEST(a_count_that_cannot_be_is_answered_and_ended),
      TEST(another_stream_is_resumed),
      TEST(a_stream_error_ends_the_login_wherever_it_is),
      TEST(a_websocket_close_can_name_another_place),
      TEST(once_it_is_ready_an_end_is_read_the_same_way),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
