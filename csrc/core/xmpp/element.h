/* element.h: an XML element as a tree that nobody changes.
 *
 * Whoever parses makes it, in memory of its own, and lends it; limits of depth, size and number of
 * attributes are the parser's.  Neighbouring texts are one text node.  All
 * functions here walk it without recursion.  Any thread.
 */
#ifndef STWI_CORE_XMPP_ELEMENT_H
#define STWI_CORE_XMPP_ELEMENT_H

#include <stdbool.h>
#include <stddef.h>

/* No parser gives a deeper tree, no writer writes one. */
#define STWI_ELEMENT_DEPTH_MAX 64u

#define STWI_NS_BIND "urn:ietf:params:xml:ns:xmpp-bind"
#define STWI_NS_CLIENT "jabber:client"
#define STWI_NS_FRAMING "urn:ietf:params:xml:ns:xmpp-framing"
#define STWI_NS_SASL "urn:ietf:params:xml:ns:xmpp-sasl"
#define STWI_NS_SM "urn:xmpp:sm:3"
#define STWI_NS_STANZA_ERROR "urn:ietf:params:xml:ns:xmpp-stanzas"
#define STWI_NS_STREAM "http://etherx.jabber.org/streams"
#define STWI_NS_STREAM_ERROR "urn:ietf:params:xml:ns:xmpp-streams"
#define STWI_NS_TLS "urn:ietf:params:xml:ns:xmpp-tls"
#define STWI_NS_XML "http://www.w3.org/XML/1998/namespace"

struct stwi_attribute {
  const char *name;  /* local */
  const char *ns;    /* NULL: none, as nearly always */
  const char *value; /* UTF-8 */
  const struct stwi_attribute *next;
};

struct stwi_element {
  const char *name; /* local; NULL: this node is text */
  const char *ns;   /* of an element; NULL: none */
  const struct stwi_attribute *attributes;
  const struct stwi_element *first; /* child */
  const struct stwi_element *next;  /* sibling */
  const char *text;                 /* of a text node: UTF-8, not terminated */
  size_t text_size;
};

/* Is it an element with this name and namespace?  `name` or `ns` NULL: with any.  False for NULL
 * and for text. */
bool stwi_element_is(const struct stwi_element *element, const char *name, const char *ns);

/* Lends the first child that is so, NULL if none. */
const struct stwi_element *stwi_element_child(const struct stwi_element *parent, const char *name,
                                              const char *ns);
/* Lends the next sibling behind `element` that is so, NULL if none. */
const struct stwi_element *stwi_element_after(const struct stwi_element *element, const char *name,
                                              const char *ns);

/* Lends the value of the attribute without a namespace, NULL if there is none. */
const char *stwi_element_attribute(const struct stwi_element *element, const char *name);

/* Lends the text of an element that holds nothing else, and its size; "" where it has none, or more
 * than text. */
const char *stwi_element_text(const struct stwi_element *element, size_t *size);
bool stwi_element_text_is(const struct stwi_element *element, const char *text);

/* Is it a stanza of a client's stream: message, presence or iq? */
bool stwi_element_is_stanza(const struct stwi_element *element);

#endif
