#include "negotiate_test.h"

/* ---- the table, written down once more ---- */

enum input {
  OPEN,
  CLOSE,
  ERROR,
  FEATURES,
  CHALLENGE,
  SUCCESS,
  FAILURE,
  ENABLED,
  REFUSED,
  RESUMED,
  ACK,
  QUESTION,
  RESULT,
  REFUSAL,
  MESSAGE,
  STRANGER,
  OUTPUT,
  INPUTS
};

static const char *const texts[INPUTS] = {
    [OPEN] = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0'/>",
    [CLOSE] = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
    [ERROR] = "<stream:error><conflict" STREAMS "/></stream:error>",
    [FEATURES] = "<stream:features><mechanisms" SASL "><mechanism>PLAIN</mechanism></mechanisms>"
                 "<bind" BIND "/><sm" SM "/></stream:features>",
    [CHALLENGE] = "<challenge" SASL ">Y2g=</challenge>",
    [SUCCESS] = "<success" SASL ">dj0=</success>",
    [FAILURE] = "<failure" SASL "><not-authorized/></failure>",
    [ENABLED] = "<enabled" SM " id='i' resume='true'/>",
    [REFUSED] = "<failed" SM "/>",
    [RESUMED] = "<resumed" SM " previd='old' h='0'/>",
    [ACK] = "<a" SM " h='0'/>",
    [QUESTION] = "<r" SM "/>",
    [RESULT] = BOUND,
    [REFUSAL] =
        "<iq type='error' id='bind'><error type='cancel'><not-allowed" STANZAS "/></error></iq>",
    [MESSAGE] = "<message/>",
    [STRANGER] = "<something xmlns='urn:other'/>",
};

struct cell {
  bool is_said; /* else: the server may not say it there */
  enum stwi_negotiate_state to;
  enum stwi_negotiate_news_kind news;
  stw_cause cause;
};

#define STAY(state)                                                                                \
  { true, STWI_NEGOTIATE_##state, STWI_NEGOTIATE_NOTHING, 0 }
#define TO(state, kind)                                                                            \
  { true, STWI_NEGOTIATE_##state, STWI_NEGOTIATE_##kind, 0 }
#define OVER(cause)                                                                                \
  { true, STWI_NEGOTIATE_FAILED, STWI_NEGOTIATE_IS_OVER, STW_CAUSE_##cause }
#define ENDS [CLOSE] = OVER(CLOSE_NORMAL), [ERROR] = OVER(REPLACED)

/* What is not here ends the link with FRAME_ERROR. */
static const struct cell cells[STWI_NEGOTIATE_READY][INPUTS] = {
    [STWI_NEGOTIATE_FEATURES] =
        {ENDS, [OPEN] = STAY(FEATURES), [FEATURES] = TO(MECHANISM, SASL_BEGIN),
         [MESSAGE] = STAY(FEATURES), [RESULT] = STAY(FEATURES), [REFUSAL] = STAY(FEATURES),
         [STRANGER] = STAY(FEATURES), [OUTPUT] = STAY(FEATURES)},
    [STWI_NEGOTIATE_MECHANISM] = {ENDS, [FAILURE] = OVER(AUTH_FAILED), [MESSAGE] = STAY(MECHANISM),
                                  [RESULT] = STAY(MECHANISM), [REFUSAL] = STAY(MECHANISM),
                                  [STRANGER] = STAY(MECHANISM), [OUTPUT] = TO(CHALLENGE, NOTHING)},
    [STWI_NEGOTIATE_CHALLENGE] =
        {ENDS, [CHALLENGE] = TO(STEP, SASL_STEP), [SUCCESS] = TO(VERIFY, SASL_STEP),
         [FAILURE] = OVER(AUTH_FAILED), [MESSAGE] = STAY(CHALLENGE), [RESULT] = STAY(CHALLENGE),
         [REFUSAL] = STAY(CHALLENGE), [STRANGER] = STAY(CHALLENGE), [OUTPUT] = STAY(CHALLENGE)},
    [STWI_NEGOTIATE_STEP] =
        {ENDS, [FAILURE] = OVER(AUTH_FAILED), [MESSAGE] = STAY(STEP), [RESULT] = STAY(STEP),
         [REFUSAL] = STAY(STEP), [STRANGER] = STAY(STEP), [OUTPUT] = TO(CHALLENGE, NOTHING)},
    [STWI_NEGOTIATE_VERIFY] =
        {ENDS, [FAILURE] = OVER(AUTH_FAILED), [MESSAGE] = STAY(VERIFY), [RESULT] = STAY(VERIFY),
         [REFUSAL] = STAY(VERIFY), [STRANGER] = STAY(VERIFY),
         [OUTPUT] = OVER(FRAME_ERROR)}, /* and still not verified */
    [STWI_NEGOTIATE_RESTARTED] =
        {ENDS, [OPEN] = STAY(RESTARTED), [FEATURES] = TO(AUTHENTICATED, LOGGED_IN),
         [MESSAGE] = STAY(RESTARTED), [RESULT] = STAY(RESTARTED), [REFUSAL] = STAY(RESTARTED),
         [STRANGER] = STAY(RESTARTED), [OUTPUT] = STAY(RESTARTED)},
    [STWI_NEGOTIATE_AUTHENTICATED] =
        {ENDS, [MESSAGE] = STAY(AUTHENTICATED), [RESULT] = STAY(AUTHENTICATED),
         [REFUSAL] = STAY(AUTHENTICATED), [STRANGER] = STAY(AUTHENTICATED),
         [OUTPUT] = STAY(AUTHENTICATED)},
    [STWI_NEGOTIATE_RESUME] =
        {ENDS, [ENABLED] = OVER(SESSION_ERROR), [REFUSED] = TO(BIND, RESUME_REFUSED),
         [RESUMED] = TO(READY, IS_READY), [ACK] = OVER(SESSION_ERROR),
         [QUESTION] = OVER(SESSION_ERROR), [MESSAGE] = STAY(RESUME), [RESULT] = STAY(RESUME),
         [REFUSAL] = STAY(RESUME), [STRANGER] = STAY(RESUME), [OUTPUT] = STAY(RESUME)},
    [STWI_NEGOTIATE_BIND] =
        {ENDS, [RESULT] = TO(ENABLE, NOTHING), [REFUSAL] = OVER(POLICY), [MESSAGE] = STAY(BIND),
         [STRANGER] = STAY(BIND), [OUTPUT] = STAY(BIND)},
    [STWI_NEGOTIATE_ENABLE] =
        {ENDS, [ENABLED] = TO(READY, IS_READY), [REFUSED] = TO(READY, IS_READY),
         [RESUMED] = OVER(SESSION_ERROR), [ACK] = OVER(SESSION_ERROR),
         [QUESTION] = OVER(SESSION_ERROR), [MESSAGE] = TO(ENABLE, STANZA),
         [RESULT] = TO(ENABLE, STANZA), [REFUSAL] = TO(ENABLE, STANZA), [STRANGER] = STAY(ENABLE),
         [OUTPUT] = STAY(ENABLE)},
};

static void reach_login(enum stwi_negotiate_state state) {
  offer("SCRAM-SHA-1");
  if (state >= STWI_NEGOTIATE_CHALLENGE)
    sasl("bg==", false);
  if (state == STWI_NEGOTIATE_STEP)
    hear(texts[CHALLENGE]);
  if (state == STWI_NEGOTIATE_VERIFY)
    hear(texts[SUCCESS]);
}

static void reach(enum stwi_negotiate_state state) {
  set_up(NULL);
  if (state == STWI_NEGOTIATE_RESUME)
    have_session();
  if (state == STWI_NEGOTIATE_FEATURES)
    return;
  if (state <= STWI_NEGOTIATE_VERIFY) {
    reach_login(state);
    return;
  }
  log_in();
  if (state >= STWI_NEGOTIATE_AUTHENTICATED)
    hear(SESSION_FEATURES);
  if (state >= STWI_NEGOTIATE_RESUME)
    claim();
  if (state >= STWI_NEGOTIATE_ENABLE)
    hear(BOUND);
  if (state == STWI_NEGOTIATE_READY)
    hear(texts[ENABLED]);
}

static void expect_cell(enum stwi_negotiate_state state, enum input input) {
  const struct cell *cell = &cells[state][input];
  reach(state);
  assert_int_equal(negotiate.state, state);
  if (input == OUTPUT)
    sasl("b3V0", false);
  else
    hear(texts[input]);
  if (!cell->is_said) {
    assert_over(STW_CAUSE_FRAME_ERROR, "where the stream waits for");
    return;
  }
  if (negotiate.state != cell->to || news.kind != cell->news || news.cause != cell->cause)
    fail_msg("state %d x input %d: state %d, news %d, cause %d", state, input, negotiate.state,
             news.kind, news.cause);
}

static void every_state_takes_every_input_as_the_table_says(void **unused) {
  (void)unused;
  for (unsigned state = 0; state < STWI_NEGOTIATE_READY; state++)
    for (unsigned input = 0; input < INPUTS; input++)
      expect_cell((enum stwi_negotiate_state)state, (enum input)input);
}

static void an_answer_of_sasl_that_comes_too_late_changes_nothing(void **unused) {
  (void)unused;
  reach(STWI_NEGOTIATE_READY);
  assert_int_equal(sasl("x", true), STWI_NEGOTIATE_NOTHING);
  assert_int_equal(negotiate.state, STWI_NEGOTIATE_READY);
  reach(STWI_NEGOTIATE_CHALLENGE);
  hear(texts[ERROR]);
  assert_int_equal(sasl_fails(STW_CAUSE_CONFIG, "late"), STWI_NEGOTIATE_NOTHING);
  assert_int_equal(negotiate.state, STWI_NEGOTIATE_FAILED);
  assert_int_equal(out.size, 0);
}

/* What the conn's timer names when nothing comes. */
static void every_state_belongs_to_a_phase(void **unused) {
  (void)unused;
  for (unsigned state = 0; state <= STWI_NEGOTIATE_READY; state++) {
    reach((enum stwi_negotiate_state)state);
    assert_int_equal(negotiate.state, state);
    const stw_phase wanted = state == STWI_NEGOTIATE_READY           ? STW_PHASE_UP
                             : state >= STWI_NEGOTIATE_AUTHENTICATED ? STW_PHASE_RESUME
                                                                     : STW_PHASE_AUTH;
    assert_int_equal(stwi_negotiate_phase(&negotiate), wanted);
  }
}

/* ---- logging in ---- */

static void the_strongest_mechanism_that_can_be_used_is_begun(void **unused) {
  (void)unused;
  static const struct {
    const char *offered;
    bool has_binding, has_certificate;
    enum stwi_mechanism begun;
  } cases[] = {
      {"PLAIN SCRAM-SHA-1 SCRAM-SHA-256", false, false, STWI_MECHANISM_SCRAM_SHA_256},
      {"PLAIN SCRAM-SHA-1 SCRAM-SHA-1-PLUS", true, false, STWI_MECHANISM_SCRAM_SHA_1_PLUS},
      {"PLAIN SCRAM-SHA-1 SCRAM-SHA-1-PLUS", false, false, STWI_MECHANISM_SCRAM_SHA_1},
      {"EXTERNAL PLAIN", false, true, STWI_MECHANISM_EXTERNAL},
      {"EXTERNAL PLAIN", false, false, STWI_MECHANISM_PLAIN},
      {"X-OAUTH2 DIGEST-MD5 PLAIN", false, false, STWI_MECHANISM_PLAIN},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    set_up(NULL);
    terms.has_binding = cases[i].has_binding;
    terms.has_certificate = cases[i].has_certificate;
    assert_int_equal(offer(cases[i].offered), STWI_NEGOTIATE_SASL_BEGIN);
    assert_int_equal(news.mechanism, cases[i].begun);
    assert_int_equal(out.size, 0);
  }
}

static void what_sasl_says_is_written_as_the_rfc_has_it(void **unused) {
  (void)unused;
  reach(STWI_NEGOTIATE_MECHANISM);
  sasl("bixhPWE=", false);
  assert_string_equal(written, "<auth xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\""
                               " mechanism=\"SCRAM-SHA-1\">bixhPWE=</auth>");
  reach(STWI_NEGOTIATE_MECHANISM);
  sasl("", true); /* data without a byte */
  assert_non_null(strstr(written, ">=</auth>"));
  reach(STWI_NEGOTIATE_MECHANISM);
  sasl(NULL, false); /* no data: the server speaks first */
  assert_non_null(strstr(written, "mechanism=\"SCRAM-SHA-1\"/>"));
  reach(STWI_NEGOTIATE_STEP);
  sasl("Yz0=", false);
  assert_string_equal(written, "<response xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\">Yz0="
                               "</response>");
  reach(STWI_NEGOTIATE_STEP);
  sasl("", true);
  assert_string_equal(written, "<response xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"/>");
}

static void a_challenge_is_lent_as_it_came(void **unused) {
  (void)unused;
  reach(STWI_NEGOTIATE_CHALLENGE);
  hear("<challenge" SASL ">cj0x</challenge>");
  assert_int_equal(news.challenge_size, 4);
  assert_memory_equal(news.challenge, "cj0x", 4);
  reach(STWI_NEGOTIATE_CHALLENGE);
  hear("<challenge" SASL ">c</challenge>");
  assert_int_equal(news.challenge_size, 1);
  static const char *const empty[] = {"<challenge" SASL "/>", "<challenge" SASL ">=</challenge>"};
  for (size_t i = 0; i < COUNT(empty); i++) {
    reach(STWI_NEGOTIATE_CHALLENGE);
    assert_int_equal(hear(empty[i]), STWI_NEGOTIATE_SASL_STEP);
    assert_int_equal(news.challenge_size, 0);
  }
}

static void a_mechanism_that_fails_here_ends_with_its_own_cause(void **unused) {
  (void)unused;
  static const enum stwi_negotiate_state states[] = {STWI_NEGOTIATE_MECHANISM, STWI_NEGOTIATE_STEP,
                                                     STWI_NEGOTIATE_VERIFY};
  for (size_t i = 0; i < COUNT(states); i++) {
    reach(states[i]);
    sasl_fails(STW_CAUSE_FRAME_ERROR, "the challenge is malformed");
    assert_over(STW_CAUSE_FRAME_ERROR, "the challenge is malformed");
    assert_int_equal(out.size, 0);
  }
}

/* ---- the session ---- */

static void the_resource_of_the_account_is_asked_for(void **unused) {
  (void)unused;
  reach(STWI_NEGOTIATE_BIND);
  assert_string_equal(written, "<iq type=\"set\" id=\"bind\">"
                               "<bind xmlns=\"urn:ietf:params:xml:ns:xmpp-bind\"/></iq>");
  set_up(NULL);
  be("a@b/Mine & <yours>");
  log_in();
  hear(SESSION_FEATURES);
  claim();
  assert_string_equal(written, "<iq type=\"set\" id=\"bind\">"
                               "<bind xmlns=\"urn:ietf:params:xml:ns:xmpp-bind\"><resource>"
                               "Mine &amp; &lt;yours&gt;</resource></bind></iq>");
}

static void a_candidate_claims_nothing_before_it_is_told_to(void **unused) {
  (void)unused;
  set_up(NULL);
  have_session();
  log_in();
  assert_int_equal(hear(SESSION_FEATURES), STWI_NEGOTIATE_LOGGED_IN);
  assert_int_equal(out.size, 0);
  assert_int_equal(sm.phase, STWI_SM_OFF);
}

static void a_session_is_resumed_before_anything_is_bound(void **unused) {
  (void)unused;
  reach(STWI_NEGOTIATE_RESUME);
  assert_string_equal(written, "<resume xmlns=\"urn:xmpp:sm:3\" previd=\"old\" h=\"0\"/>");
  assert_int_equal(hear(texts[RESUMED]), STWI_NEGOTIATE_IS_READY);
  assert_true(news.is_resumed);
  assert_null(news.why);
  assert_int_equal(news.sm.kind, STWI_SM_RESUMED);
  assert_int_equal(out.size, 0);
}

static void a_refused_resume_binds_and_enables_a_new_session(void **unused) {
  (void)unused;
  reach(STWI_NEGOTIATE_RESUME);
  assert_int_equal(hear("<failed" SM " h='0'><item-not-found" STANZAS "/></failed>"),
                   STWI_NEGOTIATE_RESUME_REFUSED);
  assert_true(news.sm.has_h);
  assert_string_equal(news.detail, "the server does not resume the stream: item-not-found");
  assert_non_null(strstr(written, "<bind"));
  assert_int_equal(hear(BOUND), STWI_NEGOTIATE_NOTHING);
  assert_string_equal(written, "<enable xmlns=\"urn:xmpp:sm:3\" resume=\"true\"/>");
  assert_int_equal(hear(texts[ENABLED]), STWI_NEGOTIATE_IS_READY);
  assert_false(news.is_resumed);
  assert_string_equal(sm.bound.text, "a@b/server-gave");
}

static void a_server_that_gave_up_stream_management_resumes_nothing(void **unused) {
  (void)unused;
  set_up(NULL);
  have_session();
  log_in();
  hear("<stream:features><bind" BIND "/></stream:features>");
  assert_int_equal(claim(), STWI_NEGOTIATE_RESUME_REFUSED);
  assert_non_null(strstr(news.detail, "no stream management"));
  assert_non_null(strstr(written, "<bind"));
  assert_false(stwi_sm_is_resumable(&sm));
  assert_int_equal(hear(BOUND), STWI_NEGOTIATE_IS_READY);
  assert_int_equal(sm.phase, STWI_SM_OFF);
}

static void without_stream_management_bound_is_ready(void **unused) {
  (void)unused;
  static const struct {
    bool wants, offers, refuses;
    const char *word;
  } cases[] = {{true, false, false, "offers no"},
               {false, true, false, "not wanted"},
               {true, true, true, "refused"}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    set_up(NULL);
    terms.wants_stream_management = cases[i].wants;
    log_in();
    hear(cases[i].offers ? SESSION_FEATURES : "<stream:features><bind" BIND "/></stream:features>");
    claim();
    hear(BOUND);
    if (cases[i].refuses)
      hear(texts[REFUSED]);
    assert_int_equal(news.kind, STWI_NEGOTIATE_IS_READY);
    assert_non_null(strstr(news.why, cases[i].word));
    assert_int_equal(sm.phase, STWI_SM_OFF);
    assert_string_equal(sm.bound.text, "a@b/server-gave");
  }
}

static void a_stream_that_cannot_be_resumed_says_why(void **unused) {
  (void)unused;
  reach(STWI_NEGOTIATE_ENABLE);
  assert_int_equal(hear("<enabled" SM "/>"), STWI_NEGOTIATE_IS_READY);
  assert_non_null(strstr(news.why, "resumed"));
  assert_int_equal(sm.phase, STWI_SM_ON);
}

static void each_bound_refusal_has_its_cause(void **unused) {
  (void)unused;
  reach(STWI_NEGOTIATE_BIND);
  hear("<iq type='error' id='bind' from='b'><error type='cancel'><conflict" STANZAS
       "/></error></iq>");
  assert_over(STW_CAUSE_REPLACED, "bind a resource: conflict");
  reach(STWI_NEGOTIATE_BIND);
  hear("<iq type='error' id='bind'><error type='wait'><resource-constraint" STANZAS
       "/></error></iq>");
  assert_over(STW_CAUSE_TRY_LATER, "resource-constraint");
  reach(STWI_NEGOTIATE_BIND);
  hear("<iq type='error' id='bind'/>");
  assert_over(STW_CAUSE_STREAM_ERROR, "undefined-condition");
}

static void an_address_that_cannot_be_ours_ends_the_link(void **unused) {
  (void)unused;
  static const char *const answers[] = {
      "<iq type='result' id='bind'/>",
      "<iq type='result' id='bind'><bind" BIND "/></iq>",
      "<iq type='result' id='bind'><bind" BIND "><jid/></bind></iq>",
      "<iq type='result' id='bind'><bind" BIND "><jid>a@b</jid></bind></iq>",
      "<iq type='result' id='bind'><bind" BIND "><jid>a@evil/r</jid></bind></iq>",
      "<iq type='result' id='bind'><bind" BIND "><jid>a b@b/r</jid></bind></iq>",
      "<iq type='result' id='bind'><bind" BIND "><jid>a@b/r<x/></jid></bind></iq>",
  };
  for (size_t i = 0; i < COUNT(answers); i++) {
    reach(STWI_NEGOTIATE_BIND);
    hear(answers[i]);
    assert_over(STW_CAUSE_FRAME_ERROR, "bound an address");
  }
}

static void only_the_server_answers_bind(void **unused) {
  (void)unused;
  static const struct {
    const char *head;
    bool is_answer;
  } cases[] = {
      {"<iq type='result' id='bind'>", true},
      {"<iq type='result' id='bind' from='b'>", true},
      {"<iq type='result' id='bind' from='a@b/server-gave'>", true},
      {"<iq type='result' id='bind' from='evil'>", false},
      {"<iq type='result' id='bind' from=''>", false},
      {"<iq type='result' id='other'>", false},
      {"<iq type='result'>", false},
      {"<iq type='set' id='bind'>", false},
      {"<iq id='bind'>", false},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    char text[300];
    snprintf(text, sizeof text, "%s<bind" BIND "><jid>a@b/r</jid></bind></iq>", cases[i].head);
    reach(STWI_NEGOTIATE_BIND);
    assert_int_equal(hear(text), STWI_NEGOTIATE_NOTHING);
    assert_int_equal(negotiate.state,
                     cases[i].is_answer ? STWI_NEGOTIATE_ENABLE : STWI_NEGOTIATE_BIND);
  }
  reach(STWI_NEGOTIATE_BIND);
  hear("<message type='result' id='bind'/>");
  assert_int_equal(negotiate.state, STWI_NEGOTIATE_BIND);
}

static void nothing_goes_out_in_halves(void **unused) {
  (void)unused;
  reach(STWI_NEGOTIATE_MECHANISM);
  char data[2000];
  memset(data, 'A', sizeof data);
  const struct stwi_sasl_output output = {.data = data, .size = sizeof data};
  stwi_xml_init(&out, written, 1000, STWI_NS_CLIENT);
  stwi_negotiate_sasl(&negotiate, &output, &out, &news);
  assert_over(STW_CAUSE_OVERLOAD_LOCAL, "larger than the buffer");
  assert_int_equal(out.size, 0);
  reach(STWI_NEGOTIATE_MECHANISM);
  sasl("\x01", false);
  assert_over(STW_CAUSE_CONFIG, "XML cannot carry");
  assert_int_equal(out.size, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
  const struct CMUnitTest tests[] = {
      TEST(every_state_takes_every_input_as_the_table_says),
      TEST(an_answer_of_sasl_that_comes_too_late_changes_nothing),
      TEST(every_state_belongs_to_a_phase),
      TEST(the_strongest_mechanism_that_can_be_used_is_begun),
      TEST(what_sasl_says_is_written_as_the_rfc_has_it),
      TEST(a_challenge_is_lent_as_it_came),
      TEST(a_mechanism_that_fails_here_ends_with_its_own_cause),
      TEST(the_resource_of_the_account_is_asked_for),
      TEST(a_candidate_claims_nothing_before_it_is_told_to),
      TEST(a_session_is_resumed_before_anything_is_bound),
      TEST(a_refused_resume_binds_and_enables_a_new_session),
      TEST(a_server_that_gave_up_stream_management_resumes_nothing),
      TEST(without_stream_management_bound_is_ready),
      TEST(a_stream_that_cannot_be_resumed_says_why),
      TEST(each_bound_refusal_has_its_cause),
      TEST(an_address_that_cannot_be_ours_ends_the_link),
      TEST(only_the_server_answers_bind),
      TEST(nothing_goes_out_in_halves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
