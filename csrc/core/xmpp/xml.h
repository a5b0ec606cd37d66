/* xml.h: writes XML into a bounded buffer, and nothing that XML cannot carry.
 *
 * Texts and values are escaped; what XML 1.0 has no way to say (control characters, U+FFFE, U+FFFF,
 * bytes that are no UTF-8) is refused, as are names that are none.  A namespace is declared where
 * it differs from that of the parent.  A fault stays: what follows it writes nothing, so callers
 * ask once, at the end.  A caller that never ends an element or ends one too many is our mistake.
 *
 *   stwi_xml_init(&xml, buffer, sizeof buffer, STWI_NS_CLIENT);
 *   stwi_xml_start(&xml, "message", STWI_NS_CLIENT);
 *   stwi_xml_attribute(&xml, "to", to);
 *   stwi_xml_leaf(&xml, "body", STWI_NS_CLIENT, body, size);
 *   stwi_xml_end(&xml);
 *   if (!stwi_xml_is_good(&xml)) ... xml.why
 *
 * Sources: XML 1.0 sections 2.2, 2.3, 2.4, 3.3.3; Namespaces in XML 1.0; RFC 6120 section 11.
 */
#ifndef STWI_CORE_XMPP_XML_H
#define STWI_CORE_XMPP_XML_H

#include "core/xmpp/element.h"

#include <stdint.h>

struct stwi_xml {
  char *out; /* borrowed; `size` bytes of it are written, not terminated */
  size_t size, max;
  const char *why;  /* NULL: good; else a static sentence */
  bool is_full;     /* ... and the buffer was too small */
  bool is_tag;      /* a start tag is open: attributes may come */
  uint8_t prefixes; /* declared in the open tag */
  uint8_t depth;
  const char *outer; /* the namespace that holds around everything, NULL: none */
  struct {
    const char *name, *ns;
  } open[STWI_ELEMENT_DEPTH_MAX]; /* borrowed until they are ended */
};

/* `outer`: the default namespace where the text will stand: jabber:client inside a TCP stream, NULL
 * where every element stands alone (RFC 7395 section 3.3.3). */
void stwi_xml_init(struct stwi_xml *xml, char *buffer, size_t max, const char *outer);

/* `name` and `ns` stay borrowed until stwi_xml_end; `ns` NULL: none. */
void stwi_xml_start(struct stwi_xml *xml, const char *name, const char *ns);
/* Only behind start or another attribute.  `value` NULL: nothing is written. */
void stwi_xml_attribute(struct stwi_xml *xml, const char *name, const char *value);
void stwi_xml_attribute_number(struct stwi_xml *xml, const char *name, uint32_t value);
void stwi_xml_text(struct stwi_xml *xml, const char *text, size_t size);
void stwi_xml_end(struct stwi_xml *xml);

/* start, text and end in one; without text: an empty element. */
void stwi_xml_leaf(struct stwi_xml *xml, const char *name, const char *ns, const char *text,
                   size_t size);
/* A whole tree. */
void stwi_xml_element(struct stwi_xml *xml, const struct stwi_element *element);

/* Everything asked for was written, and every element has its end. */
bool stwi_xml_is_good(const struct stwi_xml *xml);

/* Can XML carry the text? */
bool stwi_xml_carries(const char *text, size_t size);

#endif
