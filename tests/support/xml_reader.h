/* xml_reader: makes trees of core/xmpp/element.h from text, for tests.
 *
 * Reads what servers write: namespaces with and without prefixes, both quotes, entities, character
 * references.  Without a declaration the prefix `stream` is that of streams and everything else is
 * in jabber:client, as inside a client's stream.  NULL for what is not well-formed.  A tree stays
 * until the reader is reset.
 */
#ifndef STEADWIRE_TESTS_XML_READER_H
#define STEADWIRE_TESTS_XML_READER_H

#include "core/xmpp/element.h"

const struct stwi_element *xml_read(const char *text, size_t size);
/* Outside a stream: no namespace but those declared. */
const struct stwi_element *xml_read_alone(const char *text, size_t size);
void xml_reader_reset(void);

/* The same tree? */
bool xml_is_same(const struct stwi_element *a, const struct stwi_element *b);

#endif
