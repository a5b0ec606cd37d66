/* negotiate_test: one negotiation for tests that play server and SASL by hand. */
#ifndef STEADWIRE_TESTS_NEGOTIATE_TEST_H
#define STEADWIRE_TESTS_NEGOTIATE_TEST_H

#include "core/xmpp/negotiate.h"

#include "xml_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define SASL " xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
#define SM " xmlns='urn:xmpp:sm:3'"
#define BIND " xmlns='urn:ietf:params:xml:ns:xmpp-bind'"
#define STREAMS " xmlns='urn:ietf:params:xml:ns:xmpp-streams'"
#define STANZAS " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
#define SESSION_FEATURES "<stream:features><bind" BIND "/><sm" SM "/></stream:features>"
#define BOUND "<iq type='result' id='bind'><bind" BIND "><jid>a@b/server-gave</jid></bind></iq>"

static struct stwi_jid account;
static struct stwi_negotiate_terms terms;
static struct stwi_negotiate negotiate;
static struct stwi_negotiate_news news;
static struct stwi_sm sm;
static struct stwi_sm_run runs[4];
static char written[STWI_NEGOTIATE_OUT_MAX + 1];
static struct stwi_xml out;

static inline void be(const char *jid) {
  assert_null(stwi_jid_parse(&account, jid, strlen(jid)));
}

static inline int set_up(void **unused) {
  (void)unused;
  xml_reader_reset();
  be("a@b");
  terms = (struct stwi_negotiate_terms){.account = &account,
                                        .is_tls = true,
                                        .has_password = true,
                                        .wants_stream_management = true,
                                        .mechanisms = STWI_MECHANISMS_ALL};
  stwi_sm_init(&sm, runs, COUNT(runs));
  stwi_negotiate_begin(&negotiate, &terms, &sm);
  return 0;
}

static inline void clear_out(void) {
  stwi_xml_init(&out, written, STWI_NEGOTIATE_OUT_MAX, STWI_NS_CLIENT);
}

static inline enum stwi_negotiate_news_kind done(void) {
  written[out.size] = '\0';
  return news.kind;
}

static inline enum stwi_negotiate_news_kind hear(const char *text) {
  const struct stwi_element *element = xml_read(text, strlen(text));
  assert_non_null(element);
  clear_out();
  stwi_negotiate_element(&negotiate, element, &out, &news);
  return done();
}

static inline enum stwi_negotiate_news_kind sasl(const char *data, bool is_verified) {
  const struct stwi_sasl_output output = {
      .data = data, .size = data == NULL ? 0 : strlen(data), .is_verified = is_verified};
  clear_out();
  stwi_negotiate_sasl(&negotiate, &output, &out, &news);
  return done();
}

static inline enum stwi_negotiate_news_kind sasl_fails(stw_cause cause, const char *why) {
  const struct stwi_sasl_output output = {.cause = cause, .why = why};
  clear_out();
  stwi_negotiate_sasl(&negotiate, &output, &out, &news);
  return done();
}

static inline enum stwi_negotiate_news_kind claim(void) {
  clear_out();
  stwi_negotiate_claim(&negotiate, &out, &news);
  return done();
}

/* Mechanisms by name, with spaces between. */
static inline enum stwi_negotiate_news_kind offer(const char *mechanisms) {
  char text[2000] = "<stream:features><mechanisms" SASL ">";
  while (*mechanisms != '\0') {
    const size_t size = strcspn(mechanisms, " ");
    const size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, "<mechanism>%.*s</mechanism>", (int)size, mechanisms);
    mechanisms += size + strspn(mechanisms + size, " ");
  }
  const size_t used = strlen(text);
  snprintf(text + used, sizeof text - used, "</mechanisms></stream:features>");
  return hear(text);
}

static inline void assert_over(stw_cause cause, const char *word) {
  assert_int_equal(news.kind, STWI_NEGOTIATE_IS_OVER);
  assert_int_equal(negotiate.state, STWI_NEGOTIATE_FAILED);
  assert_int_equal(stwi_negotiate_phase(&negotiate), STW_PHASE_DEAD);
  if (news.cause != cause)
    fail_msg("cause %d instead of %d: %s", news.cause, cause, news.detail);
  if (strstr(news.detail, word) == NULL)
    fail_msg("\"%s\" does not say \"%s\"", news.detail, word);
}

static inline void log_in(void) {
  assert_int_equal(offer("PLAIN"), STWI_NEGOTIATE_SASL_BEGIN);
  assert_int_equal(sasl("AGEAcA==", true), STWI_NEGOTIATE_NOTHING);
  assert_int_equal(hear("<success" SASL "/>"), STWI_NEGOTIATE_RESTART);
}

/* As if an earlier link had begun it. */
static inline void have_session(void) {
  snprintf(sm.id, sizeof sm.id, "old");
}

#endif
