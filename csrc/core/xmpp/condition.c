#include "core/xmpp/condition.h"

#include "core/utf8.h"

#include <stdio.h>
#include <string.h>

struct row {
  const char *name;
  stw_cause cause;
};

static const struct row stream_rows[] = {
    {"bad-format", STW_CAUSE_PEER_PROTOCOL},
    {"bad-namespace-prefix", STW_CAUSE_PEER_PROTOCOL},
    {"conflict", STW_CAUSE_REPLACED},
    {"connection-timeout", STW_CAUSE_HEARTBEAT_TIMEOUT}, /* it heard nothing of us */
    {"host-gone", STW_CAUSE_HOST_UNKNOWN},
    {"host-unknown", STW_CAUSE_HOST_UNKNOWN},
    {"improper-addressing", STW_CAUSE_PEER_PROTOCOL},
    {"internal-server-error", STW_CAUSE_SERVER_ERROR},
    {"invalid-from", STW_CAUSE_PEER_PROTOCOL},
    {"invalid-id", STW_CAUSE_PEER_PROTOCOL}, /* RFC 3920 */
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
    {"xml-not-well-formed", STW_CAUSE_BAD_PAYLOAD}, /* RFC 3920 */
    {NULL, STW_CAUSE_STREAM_ERROR},
};

static const struct row sasl_rows[] = {
    {"aborted", STW_CAUSE_STREAM_ERROR},
    {"account-disabled", STW_CAUSE_AUTH_FAILED},
    {"bad-auth", STW_CAUSE_AUTH_FAILED}, /* before RFC 6120 */
    {"credentials-expired", STW_CAUSE_AUTH_FAILED},
    {"encryption-required", STW_CAUSE_NO_MECHANISM},
    {"incorrect-encoding", STW_CAUSE_PEER_PROTOCOL},
    {"invalid-authzid", STW_CAUSE_AUTH_FAILED},
    {"invalid-mechanism", STW_CAUSE_NO_MECHANISM},
    {"malformed-request", STW_CAUSE_PEER_PROTOCOL},
    {"mechanism-too-weak", STW_CAUSE_NO_MECHANISM},
    {"not-authorized", STW_CAUSE_AUTH_FAILED},
    {"temporary-auth-failure", STW_CAUSE_TRY_LATER},
    {NULL, STW_CAUSE_AUTH_FAILED},
};

static const struct row stanza_rows[] = {
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
    {NULL, STW_CAUSE_STREAM_ERROR},
};

struct stwi_condition stwi_condition_at(enum stwi_conditions table, size_t index) {
  static const struct row *const tables[] = {[STWI_CONDITIONS_STREAM] = stream_rows,
                                             [STWI_CONDITIONS_SASL] = sasl_rows,
                                             [STWI_CONDITIONS_STANZA] = stanza_rows};
  const struct row *row = tables[table] + index;
  return (struct stwi_condition){.cause = row->cause, .name = row->name, .text = "", .host = ""};
}

/* The first child of `ns` that the table knows; its last row where none is. */
static struct stwi_condition look_up(const struct row *rows, const struct stwi_element *parent,
                                     const char *ns) {
  const struct row *row = rows;
  const struct stwi_element *child = stwi_element_child(parent, NULL, ns);
  for (; child != NULL; child = stwi_element_after(child, NULL, ns)) {
    for (row = rows; row->name != NULL && strcmp(row->name, child->name) != 0;)
      row++;
    if (row->name != NULL)
      break;
  }
  while (child == NULL && row->name != NULL)
    row++;
  struct stwi_condition condition = {.cause = row->cause, .text = "", .host = ""};
  condition.name = row->name == NULL ? "undefined-condition" : row->name;
  const struct stwi_element *text = stwi_element_child(parent, "text", ns);
  if (text != NULL)
    condition.text = stwi_element_text(text, &condition.text_size);
  return condition;
}

/* ---- stream errors ---- */

static bool has_word(const struct stwi_condition *condition, const char *word) {
  const size_t size = strlen(word);
  for (size_t at = 0; at + size <= condition->text_size; at++)
    if (memcmp(condition->text + at, word, size) == 0)
      return true;
  return false;
}

static bool is_stanza_too_big(const struct stwi_condition *condition,
                              const struct stwi_element *error) {
  return stwi_element_child(error, "stanza-too-big", "urn:xmpp:errors") != NULL ||
         has_word(condition, "too big") || has_word(condition, "too large");
}

static void read_host(struct stwi_condition *condition, const struct stwi_element *error) {
  const struct stwi_element *child =
      stwi_element_child(error, "see-other-host", STWI_NS_STREAM_ERROR);
  size_t size;
  const char *host = stwi_element_text(child, &size);
  if (size == 0 || size > STWI_CONDITION_HOST_MAX)
    return;
  condition->host = host;
  condition->host_size = size;
}

struct stwi_condition stwi_condition_of_stream(const struct stwi_element *error) {
  struct stwi_condition condition = look_up(stream_rows, error, STWI_NS_STREAM_ERROR);
  if (condition.cause == STW_CAUSE_POLICY && is_stanza_too_big(&condition, error))
    condition.cause = STW_CAUSE_TOO_BIG;
  if (condition.cause == STW_CAUSE_GOAWAY)
    read_host(&condition, error);
  return condition;
}

struct stwi_condition stwi_condition_of_sasl(const struct stwi_element *failure) {
  return look_up(sasl_rows, failure, STWI_NS_SASL);
}

struct stwi_condition stwi_condition_of_stanza(const struct stwi_element *stanza) {
  const struct stwi_element *error = stwi_element_child(stanza, "error", stanza->ns);
  return look_up(stanza_rows, error == NULL ? stanza : error, STWI_NS_STANZA_ERROR);
}

/* ---- words ---- */

void stwi_condition_append(char *out, size_t size, const char *words, size_t words_size) {
  const size_t used = strlen(out);
  if (used + 1 >= size)
    return;
  const size_t room = size - used - 1;
  const size_t cut = words_size < room ? words_size : room;
  const size_t good = stwi_utf8_prefix((const uint8_t *)words, cut);
  for (size_t i = 0; i < good; i++) {
    const unsigned char c = (unsigned char)words[i];
    out[used + i] = c < 0x20 || c == 0x7F ? ' ' : words[i];
  }
  out[used + good] = '\0';
}

void stwi_condition_describe(const struct stwi_condition *condition, const char *what, char *out,
                             size_t size) {
  snprintf(out, size, "%s: %s", what, condition->name);
  if (condition->text_size == 0)
    return;
  stwi_condition_append(out, size, " (", 2);
  stwi_condition_append(out, size - 1, condition->text, condition->text_size);
  stwi_condition_append(out, size, ")", 1);
}
