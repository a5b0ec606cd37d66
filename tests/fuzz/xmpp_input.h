/* xmpp_input: what the fuzz targets of XMPP make of their input: bytes, numbers, and elements from
 * the words that servers use.  Include it in one file.
 *
 * An element is: name, namespace, number of attributes and each (name, value), number of children
 * and each (one byte: 0 a text, which is a value; else an element).  Words are indexes into the
 * lists below, which make_xmpp_corpus.py reads.  A value past its list is bytes: their number,
 * they.
 */
#ifndef STEADWIRE_TESTS_XMPP_INPUT_H
#define STEADWIRE_TESTS_XMPP_INPUT_H

#include "core/xmpp/element.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES_MAX = 200, BYTES_MAX = 65536, ATTRIBUTES_MAX = 5, CHILDREN_MAX = 9, DEPTH_MAX = 6 };

static const char *const names[] = {"features",
                                    "mechanisms",
                                    "mechanism",
                                    "bind",
                                    "jid",
                                    "sm",
                                    "success",
                                    "challenge",
                                    "failure",
                                    "enabled",
                                    "resumed",
                                    "failed",
                                    "a",
                                    "r",
                                    "iq",
                                    "message",
                                    "presence",
                                    "error",
                                    "conflict",
                                    "text",
                                    "open",
                                    "close",
                                    "see-other-host",
                                    "not-authorized",
                                    "invalid-mechanism",
                                    "item-not-found",
                                    "policy-violation"};
static const char *const spaces[] = {"jabber:client",
                                     "http://etherx.jabber.org/streams",
                                     "urn:ietf:params:xml:ns:xmpp-sasl",
                                     "urn:ietf:params:xml:ns:xmpp-bind",
                                     "urn:xmpp:sm:3",
                                     "urn:ietf:params:xml:ns:xmpp-streams",
                                     "urn:ietf:params:xml:ns:xmpp-stanzas",
                                     "urn:ietf:params:xml:ns:xmpp-framing",
                                     "urn:other"};
static const char *const keys[] = {"id",  "type",     "from",         "h", "previd", "resume",
                                   "max", "location", "see-other-uri"};
static const char *const values[] = {"bind",     "result",      "error",
                                     "a@b/c",    "b",           "old",
                                     "true",     "0",           "1",
                                     "2",        "4294967295",  "4294967296",
                                     "PLAIN",    "SCRAM-SHA-1", "SCRAM-SHA-256",
                                     "EXTERNAL", "ANONYMOUS",   "SCRAM-SHA-1-PLUS",
                                     "cj0=",     "=",           "c.example:1",
                                     "too big"};

#define WORDS(list) (sizeof(list) / sizeof(list)[0])

/* The finding names what does not hold. */
#define must(holds) ((holds) ? (void)0 : give_up(#holds, __LINE__))

static inline void give_up(const char *what, int line) {
  fprintf(stderr, "line %d: %s\n", line, what);
  abort();
}

static const uint8_t *input_at, *input_end;

static inline bool has_input(void) {
  return input_at < input_end;
}

static inline unsigned take_byte(void) {
  return has_input() ? *input_at++ : 0;
}

/* ---- elements, made anew by each take_element ---- */

static struct stwi_element nodes[NODES_MAX];
static struct stwi_attribute attributes[NODES_MAX * ATTRIBUTES_MAX];
static char bytes[BYTES_MAX];
static unsigned node_count, attribute_count;
static size_t byte_count;

/* Bytes as a parser gives them: no NUL, at most 255. */
static inline const char *take_raw(void) {
  const unsigned size = take_byte();
  char *text = bytes + byte_count;
  must(byte_count + size + 1 <= BYTES_MAX);
  for (unsigned i = 0; i < size; i++) {
    const unsigned byte = take_byte();
    text[i] = (char)(byte == 0 ? 'x' : byte);
  }
  text[size] = '\0';
  byte_count += size + 1;
  return text;
}

static inline const char *take_value(void) {
  const unsigned index = take_byte();
  if (index < WORDS(values))
    return values[index];
  return byte_count + 256 < BYTES_MAX ? take_raw() : "";
}

static inline void take_attributes(struct stwi_element *element) {
  const struct stwi_attribute **last = &element->attributes;
  for (unsigned left = take_byte() % (ATTRIBUTES_MAX + 1); left > 0; left--) {
    struct stwi_attribute *made = &attributes[attribute_count++];
    *made = (struct stwi_attribute){.name = keys[take_byte() % WORDS(keys)]};
    made->value = take_value();
    *last = made;
    last = &made->next;
  }
}

static inline struct stwi_element *take_node(unsigned depth) {
  struct stwi_element *element = &nodes[node_count++];
  *element = (struct stwi_element){.name = names[take_byte() % WORDS(names)]};
  element->ns = spaces[take_byte() % WORDS(spaces)];
  take_attributes(element);
  const struct stwi_element **last = &element->first;
  for (unsigned left = take_byte() % (CHILDREN_MAX + 1); left > 0; left--) {
    if (node_count == NODES_MAX || depth == DEPTH_MAX)
      break;
    struct stwi_element *child;
    if (take_byte() == 0) {
      child = &nodes[node_count++];
      *child = (struct stwi_element){.text = take_value()};
      child->text_size = strlen(child->text);
    } else {
      child = take_node(depth + 1);
    }
    *last = child;
    last = &child->next;
  }
  return element;
}

static inline struct stwi_element *take_element(void) {
  node_count = attribute_count = 0;
  byte_count = 0;
  return take_node(1);
}

#endif
