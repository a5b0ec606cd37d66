/* What the stream's elements mean to the transport: until TLS is there it speaks for itself, from
 * then on everything is put. */
#include "io/transport_xmpp.h"

#include <string.h>

static const char starttls[] = "<starttls xmlns='" STWI_NS_TLS "'/>";

static void put_ready(struct stwi_xmpp_link *link) {
  uint8_t binding[STWI_XMPP_BINDING_BYTES_MAX];
  struct stwi_input input = {.kind = STWI_IN_READY, .u.ready.subprotocol = ""};
  input.u.ready.binding = binding;
  input.u.ready.binding_size = stwi_xmpp_binding(link, binding, &input.u.ready.binding_type);
  if (input.u.ready.binding_size == 0)
    input.u.ready.binding = NULL;
  stwi_xmpp_put(link, &input);
}

static void on_opened(void *owner, const struct stwi_element *header) {
  struct stwi_xmpp_link *link = owner;
  const char *version = stwi_element_attribute(header, "version");
  if (!stwi_element_is(header, "stream", STWI_NS_STREAM)) {
    stwi_xmpp_fail(link, STW_CAUSE_STREAM_ERROR, "the peer opened no XMPP stream but <%.40s>",
                   header->name);
  } else if (version == NULL || version[0] < '1' || version[0] > '9') {
    stwi_xmpp_fail(link, STW_CAUSE_STREAM_ERROR,
                   "the peer does not speak XMPP 1.0 (RFC 6120 section 4.7.5)");
  } else if (link->stage == STWI_XMPP_OPENING) {
    link->stage = STWI_XMPP_UP;
    stwi_xmpp_attempt_free(link);
    put_ready(link);
  }
  if (link->is_over)
    stwi_xml_stream_stop(link->parser);
}

/* RFC 6120 section 4.9: the first child is the condition. */
static const char *condition_of(const struct stwi_element *error) {
  const struct stwi_element *first = stwi_element_child(error, NULL, STWI_NS_STREAM_ERROR);
  return first == NULL ? "without a condition" : first->name;
}

/* Between TCP and TLS nothing else is taken from a peer whom nobody has authenticated. */
static void ask(struct stwi_xmpp_link *link, const struct stwi_element *element) {
  if (stwi_element_is(element, "features", STWI_NS_STREAM)) {
    if (stwi_element_child(element, "starttls", STWI_NS_TLS) != NULL)
      stwi_xmpp_write(link, (const uint8_t *)starttls, sizeof starttls - 1);
    else
      stwi_xmpp_fail(link, STW_CAUSE_TLS_PROTOCOL,
                     "the server does not offer STARTTLS, or somebody has removed the offer");
  } else if (stwi_element_is(element, "proceed", STWI_NS_TLS)) {
    stwi_xmpp_secure(link);
  } else if (stwi_element_is(element, "failure", STWI_NS_TLS)) {
    stwi_xmpp_fail(link, STW_CAUSE_TLS_PROTOCOL, "the server refused STARTTLS");
  } else if (stwi_element_is(element, "error", STWI_NS_STREAM)) {
    stwi_xmpp_fail(link, STW_CAUSE_STREAM_ERROR, "stream error before TLS: %.60s",
                   condition_of(element));
  } else {
    stwi_xmpp_fail(link, STW_CAUSE_STREAM_ERROR, "<%.40s> instead of an answer to STARTTLS",
                   element->name);
  }
}

static void on_element(void *owner, const struct stwi_element *element) {
  struct stwi_xmpp_link *link = owner;
  if (link->stage == STWI_XMPP_ASKING) {
    ask(link, element);
    /* Nothing that came in the clear behind <proceed/> counts (CVE-2011-0411). */
    if (link->is_over || link->stage != STWI_XMPP_ASKING)
      stwi_xml_stream_stop(link->parser);
    return;
  }
  struct stwi_input input = {.kind = STWI_IN_ELEMENT, .u.element = element};
  stwi_xmpp_put(link, &input);
  if (link->is_over)
    stwi_xml_stream_stop(link->parser);
}

static void on_stream_closed(void *owner) {
  struct stwi_xmpp_link *link = owner;
  stwi_xmpp_fail(link, STW_CAUSE_CLOSE_NORMAL, "the server closed the stream");
  stwi_xml_stream_stop(link->parser);
}

const struct stwi_xml_hooks stwi_xmpp_hooks = {
    .opened = on_opened, .element = on_element, .closed = on_stream_closed};
