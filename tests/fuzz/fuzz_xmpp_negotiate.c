/* Plays arbitrary servers and an arbitrary SASL against the negotiation and checks what must hold
 * whatever they say: nobody is logged in before the mechanism has what it needs, no password is
 * shown without TLS, nothing is claimed before claim, what is written is whole, each link comes to
 * an end in a bounded number of elements.  Addresses are read from arbitrary bytes on the way.
 *
 * Input: one byte of terms, then steps of one byte and what they read.  make_xmpp_corpus.py writes
 * the seeds in corpus/xmpp_negotiate.
 */
#include "xmpp_input.h"

#include "core/xmpp/negotiate.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

enum { RUNS = 4, LINK_ELEMENTS_MAX = 200, STEPS_MAX = 2000 };

static struct stwi_jid account;
static struct stwi_negotiate_terms terms;
static struct stwi_negotiate negotiate;
static struct stwi_negotiate_news news;
static struct stwi_sm sm;
static struct stwi_sm_run runs[RUNS];
static char buffer[STWI_NEGOTIATE_OUT_MAX];
static struct stwi_xml out;
static bool was_verified, was_restarted, was_claimed, is_asked;
static unsigned elements;

static void set_terms(unsigned bits) {
  const char *jid = (bits & 1) != 0 ? "b" : "a@b/r";
  must(stwi_jid_parse(&account, jid, strlen(jid)) == NULL);
  terms = (struct stwi_negotiate_terms){.account = &account,
                                        .is_tls = (bits & 2) != 0,
                                        .has_password = (bits & 4) != 0,
                                        .has_certificate = (bits & 8) != 0,
                                        .has_binding = (bits & 16) != 0,
                                        .wants_stream_management = (bits & 32) == 0};
  terms.mechanisms =
      (bits & 64) != 0 ? stwi_mechanisms_from(STWI_MECHANISM_SCRAM_SHA_1) : STWI_MECHANISMS_ALL;
}

static void begin(void) {
  stwi_sm_unlink(&sm);
  stwi_negotiate_begin(&negotiate, &terms, &sm);
  was_verified = was_restarted = was_claimed = is_asked = false;
  elements = 0;
}

static void clear_out(void) {
  stwi_xml_init(&out, buffer, sizeof buffer, STWI_NS_CLIENT);
}

static bool has_written(const char *word) {
  return out.size > 0 && memmem(buffer, out.size, word, strlen(word)) != NULL;
}

static void check_login(void) {
  if (news.kind == STWI_NEGOTIATE_SASL_BEGIN) {
    must((terms.mechanisms >> news.mechanism & 1u) != 0);
    must(news.mechanism != STWI_MECHANISM_PLAIN || terms.is_tls);
    was_verified = false;
  }
  if (news.kind == STWI_NEGOTIATE_SASL_BEGIN || news.kind == STWI_NEGOTIATE_SASL_STEP)
    is_asked = true;
  if (news.kind == STWI_NEGOTIATE_RESTART) {
    must(was_verified && !was_restarted);
    was_restarted = true;
  }
  must(!has_written("<auth") || !was_restarted);
}

static void check_session(void) {
  if (has_written("<resume") || has_written("<bind") || has_written("<enable "))
    must(was_restarted && was_claimed);
  if (news.kind == STWI_NEGOTIATE_IS_READY) {
    must(was_restarted && was_claimed && negotiate.state == STWI_NEGOTIATE_READY);
    must(news.is_resumed ? sm.phase == STWI_SM_ON : sm.bound.resource_size > 0);
    must(news.why != NULL || stwi_sm_is_resumable(&sm));
  }
}

static void check_news(void) {
  must(out.size <= sizeof buffer && (out.size == 0 || stwi_xml_is_good(&out)));
  must(stwi_xml_carries(buffer, out.size));
  must(strnlen(negotiate.detail, sizeof negotiate.detail) < sizeof negotiate.detail);
  must(negotiate.state < STWI_NEGOTIATE_STATE_COUNT);
  must((news.kind == STWI_NEGOTIATE_IS_OVER) == (negotiate.state == STWI_NEGOTIATE_FAILED));
  if (news.kind == STWI_NEGOTIATE_IS_OVER)
    must(news.detail[0] != '\0' && (unsigned)news.cause < STW_CAUSE_COUNT && news.host_size < 1024);
  check_login();
  check_session();
}

static void hear(void) {
  struct stwi_element *element = take_element();
  clear_out();
  stwi_negotiate_element(&negotiate, element, &out, &news);
  check_news();
  must(++elements < LINK_ELEMENTS_MAX || negotiate.state == STWI_NEGOTIATE_ENABLE);
}

static void answer(unsigned bits) {
  byte_count = 0;
  const char *data = (bits & 1) != 0 ? NULL : take_value();
  const struct stwi_sasl_output output = {.data = data,
                                          .size = data == NULL ? 0 : strlen(data),
                                          .is_verified = (bits & 2) != 0,
                                          .cause = STW_CAUSE_FRAME_ERROR,
                                          .why = (bits & 12) == 12 ? "malformed" : NULL};
  clear_out();
  if (is_asked)
    was_verified = output.is_verified;
  is_asked = false;
  stwi_negotiate_sasl(&negotiate, &output, &out, &news);
  if (negotiate.state != STWI_NEGOTIATE_FAILED || news.kind != STWI_NEGOTIATE_NOTHING)
    check_news();
}

static void claim(void) {
  if (negotiate.state != STWI_NEGOTIATE_AUTHENTICATED)
    return;
  was_claimed = true;
  clear_out();
  stwi_negotiate_claim(&negotiate, &out, &news);
  check_news();
}

static void read_address(void) {
  struct stwi_jid jid;
  byte_count = 0;
  const char *text = take_raw();
  if (stwi_jid_parse(&jid, text, strlen(text)) != NULL)
    return;
  must(stwi_jid_is_sound(&jid) && jid.domain_size > 0);
  must(stwi_jid_bare_size(&jid) <= strlen(jid.text));
  clear_out();
  stwi_xml_leaf(&out, "jid", STWI_NS_BIND, jid.text, strlen(jid.text));
  must(stwi_xml_is_good(&out));
}

static void step(unsigned what) {
  const bool is_done = negotiate.state >= STWI_NEGOTIATE_READY;
  if (what % 8 < 4 && !is_done)
    hear();
  else if (what % 8 < 6)
    answer(what >> 3);
  else if (what % 8 == 6 && !is_done)
    claim();
  else if (is_done)
    begin();
  else
    read_address();
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  input_at = input;
  input_end = input + size;
  set_terms(take_byte());
  stwi_sm_init(&sm, runs, RUNS);
  begin();
  for (unsigned steps = 0; has_input() && steps < STEPS_MAX; steps++)
    step(take_byte());
  return 0;
}
