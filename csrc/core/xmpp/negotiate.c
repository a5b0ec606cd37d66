#include "core/xmpp/negotiate.h"

#include "core/xmpp/condition.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define BIND_ID "bind"

/* One input on its way through the table. */
struct step {
  struct stwi_negotiate *of;
  const struct stwi_element *element;    /* NULL: of SASL */
  const struct stwi_sasl_output *output; /* NULL: of the server */
  struct stwi_xml *out;
  struct stwi_negotiate_news *news;
};

typedef void handler(struct step *step);

/* ---- the end ---- */

static void end(struct step *step, stw_cause cause) {
  step->of->state = STWI_NEGOTIATE_FAILED;
  step->news->kind = STWI_NEGOTIATE_IS_OVER;
  step->news->cause = cause;
  step->news->detail = step->of->detail;
}

static void give_up(struct step *step, stw_cause cause, const char *detail) {
  snprintf(step->of->detail, sizeof step->of->detail, "%s", detail);
  end(step, cause);
}

static void give_up_on(struct step *step, const struct stwi_condition *condition,
                       const char *what) {
  stwi_condition_describe(condition, what, step->of->detail, sizeof step->of->detail);
  end(step, condition->cause);
}

static void on_end(struct step *step) {
  struct stwi_negotiate *of = step->of;
  stwi_negotiate_is_end(step->element, step->news, of->detail, sizeof of->detail);
  end(step, step->news->cause);
}

static const char *const waits_for[STWI_NEGOTIATE_STATE_COUNT] = {
    [STWI_NEGOTIATE_FEATURES] = "its features",
    [STWI_NEGOTIATE_MECHANISM] = "our login",
    [STWI_NEGOTIATE_CHALLENGE] = "its answer to the login",
    [STWI_NEGOTIATE_STEP] = "our answer to its challenge",
    [STWI_NEGOTIATE_VERIFY] = "us to check its proof",
    [STWI_NEGOTIATE_RESTARTED] = "the features of the new stream",
    [STWI_NEGOTIATE_AUTHENTICATED] = "us to claim the session",
    [STWI_NEGOTIATE_RESUME] = "its answer to resume",
    [STWI_NEGOTIATE_BIND] = "its answer to bind",
    [STWI_NEGOTIATE_ENABLE] = "its answer to enable",
};

static void on_misplaced(struct step *step) {
  char *detail = step->of->detail;
  snprintf(detail, sizeof step->of->detail, "the server sent <");
  stwi_condition_append(detail, 80, step->element->name, strlen(step->element->name));
  const size_t used = strlen(detail);
  snprintf(detail + used, sizeof step->of->detail - used, "/> where the stream waits for %s",
           waits_for[step->of->state]);
  end(step, STW_CAUSE_FRAME_ERROR);
}

static void on_ignored(struct step *step) {
  if (++step->of->ignored > STWI_NEGOTIATE_IGNORED_MAX)
    give_up(step, STW_CAUSE_FRAME_ERROR,
            "the server sends much that does not belong into the opening of a stream");
}

/* ---- SASL ---- */

static unsigned given(const struct stwi_negotiate_terms *terms) {
  const bool has_account = terms->account->local_size > 0;
  unsigned set = 0;
  if (terms->is_tls || terms->allows_plain_in_clear)
    set |= STWI_NEED_TLS;
  if (terms->has_certificate)
    set |= STWI_NEED_CERTIFICATE;
  if (terms->has_binding && terms->is_tls)
    set |= STWI_NEED_BINDING;
  if (terms->has_password && has_account)
    set |= STWI_NEED_PASSWORD;
  return has_account ? set : set | STWI_NEED_NO_ACCOUNT;
}

static void describe_lack(struct step *step, enum stwi_mechanism mechanism) {
  struct stwi_negotiate *of = step->of;
  const size_t used = strlen(of->detail);
  const char *lack = stwi_mechanism_lack(mechanism, given(of->terms));
  if ((of->terms->mechanisms >> mechanism & 1u) == 0)
    lack = "it is weaker than what was used before, or not allowed";
  snprintf(of->detail + used, sizeof of->detail - used, "%s%s, but %s", used > 40 ? "; " : " ",
           stwi_mechanism_name(mechanism), lack);
}

static void give_up_login(struct step *step) {
  struct stwi_negotiate *of = step->of;
  if (of->offered == 0) {
    give_up(step, STW_CAUSE_NO_MECHANISM,
            of->terms->is_tls ? "the server offers no way to log in that we know"
                              : "the server offers no way to log in: it may ask for TLS first");
    return;
  }
  snprintf(of->detail, sizeof of->detail, "no way to log in: the server offers");
  for (unsigned i = 0; i < STWI_MECHANISM_COUNT; i++)
    if (of->offered >> i & 1u)
      describe_lack(step, (enum stwi_mechanism)i);
  end(step, STW_CAUSE_NO_MECHANISM);
}

static void begin_login(struct step *step) {
  struct stwi_negotiate *of = step->of;
  const uint32_t set = of->offered & of->terms->mechanisms & ~of->tried;
  const enum stwi_mechanism mechanism = stwi_mechanism_choose(set, given(of->terms));
  if (mechanism == STWI_MECHANISM_COUNT) {
    give_up_login(step);
    return;
  }
  of->tried |= 1u << mechanism;
  of->mechanism = mechanism;
  of->state = STWI_NEGOTIATE_MECHANISM;
  step->news->kind = STWI_NEGOTIATE_SASL_BEGIN;
  step->news->mechanism = mechanism;
}

static void on_first_features(struct step *step) {
  struct stwi_negotiate *of = step->of;
  const struct stwi_element *list = stwi_element_child(step->element, "mechanisms", STWI_NS_SASL);
  const struct stwi_element *item =
      list == NULL ? NULL : stwi_element_child(list, "mechanism", STWI_NS_SASL);
  for (; item != NULL; item = stwi_element_after(item, "mechanism", STWI_NS_SASL)) {
    size_t size;
    const char *name = stwi_element_text(item, &size);
    const enum stwi_mechanism mechanism = stwi_mechanism_find(name, size);
    if (mechanism != STWI_MECHANISM_COUNT)
      of->offered |= 1u << mechanism;
  }
  begin_login(step);
}

/* RFC 6120 section 6.4.2: no data at all is no text, data without a byte is "=". */
static void write_data(struct step *step) {
  const struct stwi_sasl_output *output = step->output;
  if (output->data != NULL)
    stwi_xml_text(step->out, output->size == 0 ? "=" : output->data,
                  output->size == 0 ? 1 : output->size);
}

static bool is_sasl_good(struct step *step) {
  step->of->is_verified = step->output->is_verified;
  if (step->output->why != NULL)
    give_up(step, step->output->cause, step->output->why);
  return step->output->why == NULL;
}

static void on_first_output(struct step *step) {
  if (!is_sasl_good(step))
    return;
  stwi_xml_start(step->out, "auth", STWI_NS_SASL);
  stwi_xml_attribute(step->out, "mechanism", stwi_mechanism_name(step->of->mechanism));
  write_data(step);
  stwi_xml_end(step->out);
  step->of->state = STWI_NEGOTIATE_CHALLENGE;
}

static void on_output(struct step *step) {
  if (!is_sasl_good(step))
    return;
  stwi_xml_start(step->out, "response", STWI_NS_SASL);
  if (step->output->size > 0)
    write_data(step);
  stwi_xml_end(step->out);
  step->of->state = STWI_NEGOTIATE_CHALLENGE;
}

static void ask_step(struct step *step, enum stwi_negotiate_state state) {
  struct stwi_negotiate_news *news = step->news;
  news->challenge = stwi_element_text(step->element, &news->challenge_size);
  if (news->challenge_size > STWI_NEGOTIATE_CHALLENGE_MAX) {
    give_up(step, STW_CAUSE_FRAME_ERROR, "the server's challenge is longer than 8 KiB");
    return;
  }
  if (news->challenge_size == 1 && *news->challenge == '=')
    news->challenge_size = 0;
  news->kind = STWI_NEGOTIATE_SASL_STEP;
  step->of->state = state;
}

static void on_challenge(struct step *step) {
  if (step->of->is_verified)
    give_up(step, STW_CAUSE_FRAME_ERROR, "the server goes on with a login that is complete");
  else if (++step->of->rounds > STWI_NEGOTIATE_ROUNDS_MAX)
    give_up(step, STW_CAUSE_FRAME_ERROR, "the server's challenges do not end");
  else
    ask_step(step, STWI_NEGOTIATE_STEP);
}

static void restart(struct step *step) {
  step->of->state = STWI_NEGOTIATE_RESTARTED;
  step->news->kind = STWI_NEGOTIATE_RESTART;
}

/* A mechanism that has nothing to prove any more needs no data.  Any other must see the server's
 * proof: without it the server may be anybody (RFC 5802 section 5). */
static void on_success(struct step *step) {
  size_t size;
  stwi_element_text(step->element, &size);
  if (step->of->is_verified)
    restart(step);
  else if (size == 0)
    give_up(step, STW_CAUSE_FRAME_ERROR,
            "the server says that the login is complete without proof that it knows the password");
  else
    ask_step(step, STWI_NEGOTIATE_VERIFY);
}

static void on_verified(struct step *step) {
  if (!is_sasl_good(step))
    return;
  if (step->of->is_verified)
    restart(step);
  else
    give_up(step, STW_CAUSE_FRAME_ERROR, "the server says that the login is complete before it is");
}

/* Another mechanism is tried where this one was refused as such, or was only tried because a
 * certificate was at hand.  A wrong password stays wrong with a weaker one. */
static void on_failure(struct step *step) {
  struct stwi_negotiate *of = step->of;
  const struct stwi_condition condition = stwi_condition_of_sasl(step->element);
  const bool is_refused_as_such = condition.cause == STW_CAUSE_NO_MECHANISM;
  const bool is_certificate_refused =
      of->mechanism == STWI_MECHANISM_EXTERNAL && condition.cause == STW_CAUSE_AUTH_FAILED;
  const uint32_t left = of->offered & of->terms->mechanisms & ~of->tried;
  const bool has_other = stwi_mechanism_choose(left, given(of->terms)) != STWI_MECHANISM_COUNT;
  if (has_other && (is_refused_as_such || is_certificate_refused))
    begin_login(step);
  else
    give_up_on(step, &condition, "the server refused the login");
}

/* While we think: nothing else can be tried before we have answered. */
static void on_early_failure(struct step *step) {
  const struct stwi_condition condition = stwi_condition_of_sasl(step->element);
  give_up_on(step, &condition, "the server refused the login");
}

/* ---- the session ---- */

static void on_second_features(struct step *step) {
  struct stwi_negotiate *of = step->of;
  of->offers_bind = stwi_element_child(step->element, "bind", STWI_NS_BIND) != NULL;
  of->offers_sm = of->terms->wants_stream_management &&
                  stwi_element_child(step->element, "sm", STWI_NS_SM) != NULL;
  if (!of->offers_bind) {
    give_up(step, STW_CAUSE_FRAME_ERROR, "the server offers no binding of a resource");
    return;
  }
  of->state = STWI_NEGOTIATE_AUTHENTICATED;
  step->news->kind = STWI_NEGOTIATE_LOGGED_IN;
}

static void write_bind(struct step *step) {
  const struct stwi_jid *account = step->of->terms->account;
  stwi_xml_start(step->out, "iq", STWI_NS_CLIENT);
  stwi_xml_attribute(step->out, "type", "set");
  stwi_xml_attribute(step->out, "id", BIND_ID);
  stwi_xml_start(step->out, "bind", STWI_NS_BIND);
  if (account->resource_size > 0)
    stwi_xml_leaf(step->out, "resource", STWI_NS_BIND, stwi_jid_resource(account),
                  account->resource_size);
  stwi_xml_end(step->out);
  stwi_xml_end(step->out);
  step->of->state = STWI_NEGOTIATE_BIND;
}

static void claim(struct step *step) {
  struct stwi_negotiate *of = step->of;
  const bool has_session = stwi_sm_is_resumable(of->sm);
  if (has_session && of->offers_sm) {
    stwi_sm_resume(of->sm, step->out);
    of->state = STWI_NEGOTIATE_RESUME;
    return;
  }
  if (has_session) {
    snprintf(of->detail, sizeof of->detail, "the server offers no stream management any more");
    step->news->kind = STWI_NEGOTIATE_RESUME_REFUSED;
    step->news->detail = of->detail;
    stwi_sm_forget(of->sm);
  }
  write_bind(step);
}

static void get_ready(struct step *step, const char *why) {
  step->of->state = STWI_NEGOTIATE_READY;
  step->news->kind = STWI_NEGOTIATE_IS_READY;
  step->news->why = why;
}

static void on_bound(struct step *step) {
  struct stwi_negotiate *of = step->of;
  const struct stwi_element *bind = stwi_element_child(step->element, "bind", STWI_NS_BIND);
  const struct stwi_element *item =
      bind == NULL ? NULL : stwi_element_child(bind, "jid", STWI_NS_BIND);
  struct stwi_jid bound;
  size_t size = 0;
  const char *text = item == NULL ? "" : stwi_element_text(item, &size);
  if (stwi_jid_parse(&bound, text, size) != NULL || bound.resource_size == 0 ||
      !stwi_jid_is_same_domain(&bound, of->terms->account)) {
    give_up(step, STW_CAUSE_FRAME_ERROR,
            "the server bound an address that is none, or not one of its domain");
    return;
  }
  stwi_sm_bind(of->sm, &bound);
  if (!of->offers_sm) {
    get_ready(step, of->terms->wants_stream_management ? "the server offers no stream management"
                                                       : "stream management is not wanted");
    return;
  }
  stwi_sm_enable(of->sm, step->out);
  of->state = STWI_NEGOTIATE_ENABLE;
}

static void on_not_bound(struct step *step) {
  const struct stwi_condition condition = stwi_condition_of_stanza(step->element);
  give_up_on(step, &condition, "the server refused to bind a resource");
}

static void refused_resume(struct step *step) {
  struct stwi_negotiate *of = step->of;
  const struct stwi_condition condition = stwi_condition_of_stanza(step->element);
  stwi_condition_describe(&condition, "the server does not resume the stream", of->detail,
                          sizeof of->detail);
  step->news->kind = STWI_NEGOTIATE_RESUME_REFUSED;
  step->news->detail = of->detail;
  write_bind(step);
}

static void on_stream_management(struct step *step) {
  struct stwi_sm_news *news = &step->news->sm;
  stwi_sm_take(step->of->sm, step->element, news);
  switch (news->kind) {
  case STWI_SM_RESUMED:
    step->news->is_resumed = true;
    get_ready(step, NULL);
    break;
  case STWI_SM_RESUME_REFUSED:
    refused_resume(step);
    break;
  case STWI_SM_ENABLED:
    get_ready(step, news->why);
    break;
  case STWI_SM_REFUSED:
    get_ready(step, "the server refused stream management");
    break;
  case STWI_SM_BROKEN:
    stwi_sm_complain(news, step->out);
    give_up(step, STW_CAUSE_SESSION_ERROR, news->why);
    break;
  default: /* IGNORED; ACKED and ASKED come in phase ON only */
    on_ignored(step);
    break;
  }
}

static void on_stanza(struct step *step) {
  step->news->kind = STWI_NEGOTIATE_STANZA;
}

/* ---- the table ---- */

enum input {
  IN_OPEN, /* <open/> of RFC 7395 */
  IN_END,
  IN_FEATURES,
  IN_CHALLENGE,
  IN_SUCCESS,
  IN_FAILURE,
  IN_SM,
  IN_BOUND,
  IN_NOT_BOUND,
  IN_STANZA,
  IN_UNKNOWN,
  IN_SASL,
  IN_COUNT
};

/* No cell: the server may not say it there.  Ends and unknown elements mean the same everywhere;
 * stanzas before the session are passed over, as nobody has an address yet. */
static handler *const table[STWI_NEGOTIATE_STATE_COUNT][IN_COUNT] = {
    [STWI_NEGOTIATE_FEATURES] =
        {[IN_OPEN] = on_ignored, [IN_FEATURES] = on_first_features, [IN_STANZA] = on_ignored},
    [STWI_NEGOTIATE_MECHANISM] =
        {[IN_SASL] = on_first_output, [IN_FAILURE] = on_early_failure, [IN_STANZA] = on_ignored},
    [STWI_NEGOTIATE_CHALLENGE] = {[IN_CHALLENGE] = on_challenge,
                                  [IN_SUCCESS] = on_success,
                                  [IN_FAILURE] = on_failure,
                                  [IN_STANZA] = on_ignored},
    [STWI_NEGOTIATE_STEP] =
        {[IN_SASL] = on_output, [IN_FAILURE] = on_early_failure, [IN_STANZA] = on_ignored},
    [STWI_NEGOTIATE_VERIFY] =
        {[IN_SASL] = on_verified, [IN_FAILURE] = on_early_failure, [IN_STANZA] = on_ignored},
    [STWI_NEGOTIATE_RESTARTED] =
        {[IN_OPEN] = on_ignored, [IN_FEATURES] = on_second_features, [IN_STANZA] = on_ignored},
    [STWI_NEGOTIATE_AUTHENTICATED] = {[IN_STANZA] = on_ignored},
    [STWI_NEGOTIATE_RESUME] = {[IN_SM] = on_stream_management, [IN_STANZA] = on_ignored},
    [STWI_NEGOTIATE_BIND] =
        {[IN_BOUND] = on_bound, [IN_NOT_BOUND] = on_not_bound, [IN_STANZA] = on_ignored},
    [STWI_NEGOTIATE_ENABLE] = {[IN_SM] = on_stream_management, [IN_STANZA] = on_stanza},
};

static const struct {
  enum input input;
  const char *name, *ns; /* name NULL: any */
} elements[] = {
    {IN_OPEN, "open", STWI_NS_FRAMING},        {IN_END, "close", STWI_NS_FRAMING},
    {IN_END, "error", STWI_NS_STREAM},         {IN_FEATURES, "features", STWI_NS_STREAM},
    {IN_CHALLENGE, "challenge", STWI_NS_SASL}, {IN_SUCCESS, "success", STWI_NS_SASL},
    {IN_FAILURE, "failure", STWI_NS_SASL},     {IN_SM, NULL, STWI_NS_SM},
};

/* An answer to bind comes from the server, which need not say so. */
static bool is_from_server(const struct stwi_negotiate *of, const struct stwi_element *iq) {
  const char *from = stwi_element_attribute(iq, "from");
  struct stwi_jid sender;
  return from == NULL || (stwi_jid_parse(&sender, from, strlen(from)) == NULL &&
                          stwi_jid_is_same_domain(&sender, of->terms->account));
}

static enum input read_stanza(const struct stwi_negotiate *of, const struct stwi_element *stanza) {
  const char *id = stwi_element_attribute(stanza, "id");
  const char *type = stwi_element_attribute(stanza, "type");
  if (of->state != STWI_NEGOTIATE_BIND || strcmp(stanza->name, "iq") != 0 || id == NULL ||
      strcmp(id, BIND_ID) != 0 || type == NULL || !is_from_server(of, stanza))
    return IN_STANZA;
  if (strcmp(type, "result") == 0)
    return IN_BOUND;
  return strcmp(type, "error") == 0 ? IN_NOT_BOUND : IN_STANZA;
}

static enum input read_element(const struct stwi_negotiate *of,
                               const struct stwi_element *element) {
  for (size_t i = 0; i < sizeof elements / sizeof *elements; i++)
    if (stwi_element_is(element, elements[i].name, elements[i].ns))
      return elements[i].input;
  return stwi_element_is_stanza(element) ? read_stanza(of, element) : IN_UNKNOWN;
}

/* Nothing goes out in halves. */
static void check_out(struct step *step) {
  if (stwi_xml_is_good(step->out))
    return;
  step->out->size = 0;
  give_up(step, step->out->is_full ? STW_CAUSE_OVERLOAD_LOCAL : STW_CAUSE_CONFIG, step->out->why);
}

static void run(struct step *step, handler *handle) {
  memset(step->news, 0, sizeof *step->news);
  step->news->host = "";
  handle(step);
  check_out(step);
}

void stwi_negotiate_begin(struct stwi_negotiate *negotiate,
                          const struct stwi_negotiate_terms *terms, struct stwi_sm *sm) {
  memset(negotiate, 0, sizeof *negotiate);
  negotiate->terms = terms;
  negotiate->sm = sm;
}

void stwi_negotiate_element(struct stwi_negotiate *negotiate, const struct stwi_element *element,
                            struct stwi_xml *out, struct stwi_negotiate_news *news) {
  assert(negotiate->state < STWI_NEGOTIATE_READY);
  struct step step = {negotiate, element, NULL, out, news};
  const enum input input = read_element(negotiate, element);
  handler *handle = table[negotiate->state][input];
  if (input == IN_END)
    handle = on_end;
  else if (input == IN_UNKNOWN)
    handle = on_ignored;
  run(&step, handle == NULL ? on_misplaced : handle);
}

static void pass(struct step *step) {
  (void)step;
}

void stwi_negotiate_sasl(struct stwi_negotiate *negotiate, const struct stwi_sasl_output *output,
                         struct stwi_xml *out, struct stwi_negotiate_news *news) {
  struct step step = {negotiate, NULL, output, out, news};
  handler *handle = table[negotiate->state][IN_SASL];
  run(&step, handle == NULL ? pass : handle);
}

void stwi_negotiate_claim(struct stwi_negotiate *negotiate, struct stwi_xml *out,
                          struct stwi_negotiate_news *news) {
  assert(negotiate->state == STWI_NEGOTIATE_AUTHENTICATED);
  struct step step = {negotiate, NULL, NULL, out, news};
  run(&step, claim);
}

stw_phase stwi_negotiate_phase(const struct stwi_negotiate *negotiate) {
  if (negotiate->state == STWI_NEGOTIATE_FAILED)
    return STW_PHASE_DEAD;
  if (negotiate->state == STWI_NEGOTIATE_READY)
    return STW_PHASE_UP;
  return negotiate->state < STWI_NEGOTIATE_AUTHENTICATED ? STW_PHASE_AUTH : STW_PHASE_RESUME;
}

/* RFC 7395 section 3.6.1: <close/> can name another endpoint. */
static void read_close(const struct stwi_element *close, struct stwi_negotiate_news *news,
                       char *detail, size_t size) {
  const char *uri = stwi_element_attribute(close, "see-other-uri");
  const size_t uri_size = uri == NULL ? 0 : strlen(uri);
  news->cause = STW_CAUSE_CLOSE_NORMAL;
  snprintf(detail, size, "the server closed the stream");
  if (uri_size == 0 || uri_size > STWI_CONDITION_HOST_MAX)
    return;
  news->cause = STW_CAUSE_GOAWAY;
  news->host = uri;
  news->host_size = uri_size;
}

bool stwi_negotiate_is_end(const struct stwi_element *element, struct stwi_negotiate_news *news,
                           char *detail, size_t size) {
  news->host = "";
  news->host_size = 0;
  if (stwi_element_is(element, "close", STWI_NS_FRAMING)) {
    read_close(element, news, detail, size);
    return true;
  }
  if (!stwi_element_is(element, "error", STWI_NS_STREAM))
    return false;
  const struct stwi_condition condition = stwi_condition_of_stream(element);
  stwi_condition_describe(&condition, "the server ended the stream", detail, size);
  news->cause = condition.cause;
  news->host = condition.host;
  news->host_size = condition.host_size;
  return true;
}
