/* xml_parse.h: XML from a peer to trees of stwi_element, with limits that hold before memory grows.
 *
 * On expat, which knows namespaces and refuses what is not well-formed.  What RFC 6120 section 11.1
 * forbids is refused too: document types (and with them entities), comments, processing
 * instructions.  A tree costs at most about 25 times its text.  Nothing recurses.
 * Owner only.
 */
#ifndef STWI_IO_XML_PARSE_H
#define STWI_IO_XML_PARSE_H

#include "core/xmpp/element.h"

#include <stdint.h>

struct stwi_xml_limits {
  size_t bytes_max;   /* of the text of one first-level element (of a stream: its header too) */
  uint32_t depth_max; /* a first-level element has depth 1; at most STWI_ELEMENT_DEPTH_MAX */
  uint32_t attributes_max; /* of one element */
};
/* What every part of the project uses, with bytes_max as configured. */
struct stwi_xml_limits stwi_xml_limits(size_t bytes_max);

enum stwi_xml_status {
  STWI_XML_OK,
  STWI_XML_MALFORMED,  /* not well-formed: the peer is broken, or no XMPP peer at all */
  STWI_XML_RESTRICTED, /* well-formed, but forbidden in XMPP */
  STWI_XML_TOO_BIG,    /* beyond a limit */
  STWI_XML_NO_MEMORY
};

/* ---- a stream (RFC 6120): a root that stays open, and the elements within ---- */

struct stwi_xml_stream;

/* What comes of a stream; everything is lent during the call, from within feed. */
struct stwi_xml_hooks {
  void *owner;
  void (*opened)(void *owner, const struct stwi_element *header); /* the root, without children */
  void (*element)(void *owner, const struct stwi_element *element);
  void (*closed)(void *owner); /* the root's end: whatever follows is malformed */
};

/* NULL without memory. */
struct stwi_xml_stream *stwi_xml_stream_new(const struct stwi_xml_limits *limits,
                                            const struct stwi_xml_hooks *hooks);
/* Not from within a hook. */
void stwi_xml_stream_free(struct stwi_xml_stream *stream);
/* Begins anew.  From within a hook too: the rest of what is being fed is dropped. */
bool stwi_xml_stream_reset(struct stwi_xml_stream *stream);
/* From within a hook: drops the rest of what is being fed, which answers OK; the stream is not fed
 * again before a reset. */
void stwi_xml_stream_stop(struct stwi_xml_stream *stream);
/* After anything but OK it is not fed again before a reset.  *why is then a sentence, static. */
enum stwi_xml_status stwi_xml_stream_feed(struct stwi_xml_stream *stream, const void *data,
                                          size_t size, const char **why);

/* ---- a text that is one element (RFC 7395) ---- */

struct stwi_xml_tree;

/* The tree of `text`, which holds exactly one element; NULL with *status and *why (static). */
struct stwi_xml_tree *stwi_xml_parse(const void *text, size_t size,
                                     const struct stwi_xml_limits *limits,
                                     enum stwi_xml_status *status, const char **why);
const struct stwi_element *stwi_xml_tree_root(const struct stwi_xml_tree *tree); /* lends */
void stwi_xml_tree_free(struct stwi_xml_tree *tree);

#endif
