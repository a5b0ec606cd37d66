#include "core/xmpp/condition.h"

#include "xml_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct row {
  const char *name;
  stw_cause cause;
};

static const struct stwi_element *read(const char *text) {
  xml_reader_reset();
  const struct stwi_element *element = xml_read(text, strlen(text));
  assert_non_null(element);
  return element;
}

static void assert_rows(const struct row *rows, size_t count, const char *format,
                        struct stwi_condition (*get)(const struct stwi_element *)) {
  for (size_t i = 0; i < count; i++) {
    char text[400];
    const char *at = strstr(format, "%s");
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - format), format, rows[i].name, at + 2);
    const struct stwi_condition condition = get(read(text));
    if (condition.cause != rows[i].cause)
      fail_msg("%s: %s instead of %s", rows[i].name, stwi_cause_row(condition.cause)->info.name,
               stwi_cause_row(rows[i].cause)->info.name);
    assert_string_equal(condition.name,
                        strcmp(rows[i].name, "x-new") == 0 ? "undefined-condition" : rows[i].name);
    assert_int_equal(condition.text_size, 5);
    assert_memory_equal(condition.text, "words", 5);
    assert_int_equal(condition.host_size, 0);
  }
}

/* RFC 6120 section 4.9.3, and two names of RFC 3920 that are still sent. */
static void every_stream_error_has_its_cause(void **unused) {
  (void)unused;
  static const struct row rows[] = {
      {"bad-format", STW_CAUSE_PEER_PROTOCOL},
      {"bad-namespace-prefix", STW_CAUSE_PEER_PROTOCOL},
      {"conflict", STW_CAUSE_REPLACED},
      {"connection-timeout", STW_CAUSE_HEARTBEAT_TIMEOUT},
      {"host-gone", STW_CAUSE_HOST_UNKNOWN},
      {"host-unknown", STW_CAUSE_HOST_UNKNOWN},
      {"improper-addressing", STW_CAUSE_PEER_PROTOCOL},
      {"internal-server-error", STW_CAUSE_SERVER_ERROR},
      {"invalid-from", STW_CAUSE_PEER_PROTOCOL},
      {"invalid-id", STW_CAUSE_PEER_PROTOCOL},
      {"invalid-namespace", STW_CAUSE_PEER_PROTOCOL},
      {"invalid-xml", STW_CAUSE_BAD_PAYLOAD},
      {"not-authorized", STW_CAUSE_AUTH_FAILED},
      {"not-well-formed", STW_CAUSE_BAD_PAYLOAD},
      {"policy-violation", STW_CAUSE_POLICY},
      {"remote-connection-failed", STW_CAUSE_SERVER_ERROR},
      {"reset", STW_CAUSE_GOING_AWAY},
      {"resource-constraint", STW_CAUSE_TRY_LATER},
      {"restricted-xml", STW_CAUSE_BAD_PAYLOAD},
      {"see-other-host", STW_CAUSE_GOAWAY},
      {"system-shutdown", STW_CAUSE_RESTART},
      {"undefined-condition", STW_CAUSE_STREAM_ERROR},
      {"unsupported-encoding", STW_CAUSE_PEER_PROTOCOL},
      {"unsupported-feature", STW_CAUSE_PEER_PROTOCOL},
      {"unsupported-stanza-type", STW_CAUSE_PEER_PROTOCOL},
      {"unsupported-version", STW_CAUSE_PEER_PROTOCOL},
      {"xml-not-well-formed", STW_CAUSE_BAD_PAYLOAD},
      {"x-new", STW_CAUSE_STREAM_ERROR},
  };
  assert_rows(rows, COUNT(rows),
              "<stream:error><%s xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
              "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>words</text></stream:error>",
              stwi_condition_of_stream);
}

static void every_failure_of_a_login_has_its_cause(void **unused) {
  (void)unused;
  static const struct row rows[] = {
      {"aborted", STW_CAUSE_STREAM_ERROR},
      {"account-disabled", STW_CAUSE_AUTH_FAILED},
      {"bad-auth", STW_CAUSE_AUTH_FAILED},
      {"credentials-expired", STW_CAUSE_AUTH_FAILED},
      {"encryption-required", STW_CAUSE_NO_MECHANISM},
      {"incorrect-encoding", STW_CAUSE_PEER_PROTOCOL},
      {"invalid-authzid", STW_CAUSE_AUTH_FAILED},
      {"invalid-mechanism", STW_CAUSE_NO_MECHANISM},
      {"malformed-request", STW_CAUSE_PEER_PROTOCOL},
      {"mechanism-too-weak", STW_CAUSE_NO_MECHANISM},
      {"not-authorized", STW_CAUSE_AUTH_FAILED},
      {"temporary-auth-failure", STW_CAUSE_TRY_LATER},
      {"x-new", STW_CAUSE_AUTH_FAILED},
  };
  assert_rows(rows, COUNT(rows),
              "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><%s/><text>words</text></failure>",
              stwi_condition_of_sasl);
}

static void every_stanza_error_has_its_cause(void **unused) {
  (void)unused;
  static const struct row rows[] = {
      {"bad-request", STW_CAUSE_PEER_PROTOCOL},
      {"conflict", STW_CAUSE_REPLACED},
      {"feature-not-implemented", STW_CAUSE_STREAM_ERROR},
      {"forbidden", STW_CAUSE_POLICY},
      {"gone", STW_CAUSE_STREAM_ERROR},
      {"internal-server-error", STW_CAUSE_SERVER_ERROR},
      {"item-not-found", STW_CAUSE_STREAM_ERROR},
      {"jid-malformed", STW_CAUSE_PEER_PROTOCOL},
      {"not-acceptable", STW_CAUSE_POLICY},
      {"not-allowed", STW_CAUSE_POLICY},
      {"not-authorized", STW_CAUSE_AUTH_FAILED},
      {"policy-violation", STW_CAUSE_POLICY},
      {"recipient-unavailable", STW_CAUSE_STREAM_ERROR},
      {"redirect", STW_CAUSE_STREAM_ERROR},
      {"registration-required", STW_CAUSE_POLICY},
      {"remote-server-not-found", STW_CAUSE_STREAM_ERROR},
      {"remote-server-timeout", STW_CAUSE_STREAM_ERROR},
      {"resource-constraint", STW_CAUSE_TRY_LATER},
      {"service-unavailable", STW_CAUSE_TRY_LATER},
      {"subscription-required", STW_CAUSE_POLICY},
      {"undefined-condition", STW_CAUSE_STREAM_ERROR},
      {"unexpected-request", STW_CAUSE_PEER_PROTOCOL},
      {"x-new", STW_CAUSE_STREAM_ERROR},
  };
  assert_rows(rows, COUNT(rows),
              "<iq type='error'><error type='cancel'>"
              "<%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
              "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>words</text></error></iq>",
              stwi_condition_of_stanza);
}

static void a_failed_of_stream_management_has_its_condition_inside(void **unused) {
  (void)unused;
  const struct stwi_condition condition = stwi_condition_of_stanza(
      read("<failed xmlns='urn:xmpp:sm:3' h='1'>"
           "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"));
  assert_string_equal(condition.name, "item-not-found");
}

static void an_error_that_says_nothing_is_undefined(void **unused) {
  (void)unused;
  assert_int_equal(stwi_condition_of_stream(read("<stream:error/>")).cause, STW_CAUSE_STREAM_ERROR);
  assert_string_equal(stwi_condition_of_stream(read("<stream:error>x</stream:error>")).name,
                      "undefined-condition");
  assert_int_equal(stwi_condition_of_stanza(read("<iq/>")).cause, STW_CAUSE_STREAM_ERROR);
  /* a condition of another namespace is none */
  assert_int_equal(stwi_condition_of_stream(read("<stream:error><conflict/></stream:error>")).cause,
                   STW_CAUSE_STREAM_ERROR);
}

static void the_known_condition_counts_wherever_it_stands(void **unused) {
  (void)unused;
  const struct stwi_condition condition = stwi_condition_of_stream(
      read("<stream:error xmlns:s='urn:ietf:params:xml:ns:xmpp-streams'><s:text>a</s:text>"
           "<s:x-new/><s:conflict/></stream:error>"));
  assert_int_equal(condition.cause, STW_CAUSE_REPLACED);
}

static stw_cause policy(const char *more) {
  char text[400];
  snprintf(text, sizeof text,
           "<stream:error xmlns:s='urn:ietf:params:xml:ns:xmpp-streams'><s:policy-violation/>%s"
           "</stream:error>",
           more);
  return stwi_condition_of_stream(read(text)).cause;
}

static void the_tables_can_be_walked_to_their_ends(void **unused) {
  (void)unused;
  static const struct {
    enum stwi_conditions table;
    size_t rows;
    stw_cause last;
  } cases[] = {{STWI_CONDITIONS_STREAM, 27, STW_CAUSE_STREAM_ERROR},
               {STWI_CONDITIONS_SASL, 12, STW_CAUSE_AUTH_FAILED},
               {STWI_CONDITIONS_STANZA, 22, STW_CAUSE_STREAM_ERROR}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    size_t rows = 0;
    while (stwi_condition_at(cases[i].table, rows).name != NULL)
      rows++;
    assert_int_equal(rows, cases[i].rows);
    assert_int_equal(stwi_condition_at(cases[i].table, rows).cause, cases[i].last);
  }
}

static void a_stanza_too_big_is_told_from_a_ban(void **unused) {
  (void)unused;
  assert_int_equal(policy("<s:text>XML stanza is too big</s:text>"), STW_CAUSE_TOO_BIG);
  assert_int_equal(policy("<s:text>stanza too large (over 262144)</s:text>"), STW_CAUSE_TOO_BIG);
  assert_int_equal(policy("<stanza-too-big xmlns='urn:xmpp:errors'/>"), STW_CAUSE_TOO_BIG);
  assert_int_equal(policy("<s:text>too bi</s:text>"), STW_CAUSE_POLICY);
  assert_int_equal(policy("<s:text>You are banned</s:text>"), STW_CAUSE_POLICY);
  assert_int_equal(policy(""), STW_CAUSE_POLICY);
}

static void see_other_host_names_the_host(void **unused) {
  (void)unused;
  struct stwi_condition condition = stwi_condition_of_stream(
      read("<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>"
           "[2001:41D0:1:A49b::1]:9222</see-other-host></stream:error>"));
  assert_int_equal(condition.cause, STW_CAUSE_GOAWAY);
  assert_int_equal(condition.host_size, 26);
  assert_memory_equal(condition.host, "[2001:41D0:1:A49b::1]:9222", 26);
  for (unsigned more = 0; more < 2; more++) {
    char text[2000];
    snprintf(text, sizeof text,
             "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>%0*d"
             "</see-other-host></stream:error>",
             (int)(STWI_CONDITION_HOST_MAX + more), 0);
    condition = stwi_condition_of_stream(read(text));
    assert_int_equal(condition.host_size, more == 0 ? STWI_CONDITION_HOST_MAX : 0);
  }
}

static void the_servers_words_are_shown_without_harm(void **unused) {
  (void)unused;
  const struct stwi_condition condition = {.name = "conflict",
                                           .text = "a\nb\x1B[31m\x7F\xC3\xA4\xFF"
                                                   "rest",
                                           .text_size = 15};
  char out[64];
  stwi_condition_describe(&condition, "the server ended the stream", out, sizeof out);
  assert_string_equal(out, "the server ended the stream: conflict (a b [31m \xC3\xA4)");
  const struct stwi_condition silent = {.name = "reset", .text = ""};
  stwi_condition_describe(&silent, "x", out, sizeof out);
  assert_string_equal(out, "x: reset");
}

static void a_text_of_any_length_fits(void **unused) {
  (void)unused;
  const struct stwi_condition condition = {
      .name = "conflict", .text = "\xC3\xA4\xC3\xA4\xC3\xA4", .text_size = 6};
  for (size_t size = 1; size < 40; size++) {
    char out[40];
    memset(out, 'x', sizeof out);
    stwi_condition_describe(&condition, "what", out, size);
    assert_true(strlen(out) < size);
    assert_int_equal(out[39], 'x');
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_stream_error_has_its_cause),
      cmocka_unit_test(every_failure_of_a_login_has_its_cause),
      cmocka_unit_test(every_stanza_error_has_its_cause),
      cmocka_unit_test(a_failed_of_stream_management_has_its_condition_inside),
      cmocka_unit_test(an_error_that_says_nothing_is_undefined),
      cmocka_unit_test(the_known_condition_counts_wherever_it_stands),
      cmocka_unit_test(the_tables_can_be_walked_to_their_ends),
      cmocka_unit_test(a_stanza_too_big_is_told_from_a_ban),
      cmocka_unit_test(see_other_host_names_the_host),
      cmocka_unit_test(the_servers_words_are_shown_without_harm),
      cmocka_unit_test(a_text_of_any_length_fits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
