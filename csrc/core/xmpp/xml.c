#include "core/xmpp/xml.h"

#include "core/utf8.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void stwi_xml_init(struct stwi_xml *xml, char *buffer, size_t max, const char *outer) {
  memset(xml, 0, sizeof *xml);
  xml->out = buffer;
  xml->max = max;
  xml->outer = outer;
}

static void fail(struct stwi_xml *xml, const char *why) {
  if (xml->why == NULL)
    xml->why = why;
}

static void put(struct stwi_xml *xml, const char *bytes, size_t size) {
  if (xml->why != NULL)
    return;
  if (size > xml->max - xml->size) {
    xml->is_full = true;
    fail(xml, "the stanza is larger than the buffer it is written to");
    return;
  }
  memcpy(xml->out + xml->size, bytes, size);
  xml->size += size;
}

static void put_text(struct stwi_xml *xml, const char *text) {
  put(xml, text, strlen(text));
}

/* ---- what may stand where ---- */

static bool is_control(unsigned char c) {
  return c < 0x20 && c != '\t' && c != '\n' && c != '\r';
}

/* U+FFFE and U+FFFF are the only valid UTF-8 besides controls that XML has no place for. */
static bool is_noncharacter(const char *at, size_t left) {
  return left >= 3 && memcmp(at, "\xEF\xBF", 2) == 0 && (unsigned char)at[2] >= 0xBE;
}

bool stwi_xml_carries(const char *text, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (is_control((unsigned char)text[i]) || is_noncharacter(text + i, size - i))
      return false;
  return stwi_utf8_valid((const uint8_t *)text, size);
}

static bool is_name_start(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

/* A name without a colon.  Outside ASCII every letter of UTF-8 is taken for one. */
static bool is_name(const char *name) {
  const size_t size = strlen(name);
  if (size == 0 || !is_name_start((unsigned char)name[0]) || !stwi_xml_carries(name, size))
    return false;
  for (size_t i = 1; i < size; i++) {
    const unsigned char c = (unsigned char)name[i];
    if (!is_name_start(c) && !(c >= '0' && c <= '9') && c != '-' && c != '.')
      return false;
  }
  return true;
}

static const char *escape(char c, bool is_attribute) {
  switch (c) {
  case '&':
    return "&amp;";
  case '<':
    return "&lt;";
  case '>': /* so that "]]>" cannot arise */
    return "&gt;";
  case '\r': /* a parser would read it as a line feed */
    return "&#13;";
  case '"':
    return is_attribute ? "&quot;" : NULL;
  case '\t': /* in an attribute a parser would read these as spaces */
    return is_attribute ? "&#9;" : NULL;
  case '\n':
    return is_attribute ? "&#10;" : NULL;
  default:
    return NULL;
  }
}

static void put_escaped(struct stwi_xml *xml, const char *text, size_t size, bool is_attribute) {
  if (!stwi_xml_carries(text, size)) {
    fail(xml, "a text holds a control character, or is not UTF-8: XML cannot carry it");
    return;
  }
  size_t from = 0;
  for (size_t i = 0; i < size; i++) {
    const char *escaped = escape(text[i], is_attribute);
    if (escaped == NULL)
      continue;
    put(xml, text + from, i - from);
    put_text(xml, escaped);
    from = i + 1;
  }
  put(xml, text + from, size - from);
}

/* ---- tags ---- */

static bool is_same_ns(const char *a, const char *b) {
  return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void close_tag(struct stwi_xml *xml) {
  if (xml->is_tag)
    put_text(xml, ">");
  xml->is_tag = false;
}

static void put_attribute(struct stwi_xml *xml, const char *prefix, const char *name,
                          const char *value) {
  put_text(xml, " ");
  put_text(xml, prefix);
  put_text(xml, name);
  put_text(xml, "=\"");
  put_escaped(xml, value, strlen(value), true);
  put_text(xml, "\"");
}

void stwi_xml_start(struct stwi_xml *xml, const char *name, const char *ns) {
  if (xml->depth == STWI_ELEMENT_DEPTH_MAX)
    fail(xml, "elements stand in each other too deeply");
  if (!is_name(name))
    fail(xml, "an element's name is no XML name without a prefix");
  if (xml->why != NULL)
    return;
  close_tag(xml);
  const char *around = xml->depth == 0 ? xml->outer : xml->open[xml->depth - 1].ns;
  xml->open[xml->depth].name = name;
  xml->open[xml->depth].ns = ns;
  xml->depth++;
  put_text(xml, "<");
  put_text(xml, name);
  if (!is_same_ns(ns, around))
    put_attribute(xml, "", "xmlns", ns == NULL ? "" : ns);
  xml->is_tag = true;
  xml->prefixes = 0;
}

static void attribute(struct stwi_xml *xml, const char *prefix, const char *name,
                      const char *value) {
  if (value == NULL || xml->why != NULL)
    return;
  assert(xml->is_tag);
  if (!is_name(name) || strcmp(name, "xmlns") == 0)
    fail(xml, "an attribute's name is no XML name without a prefix");
  put_attribute(xml, prefix, name, value);
}

void stwi_xml_attribute(struct stwi_xml *xml, const char *name, const char *value) {
  attribute(xml, "", name, value);
}

void stwi_xml_attribute_number(struct stwi_xml *xml, const char *name, uint32_t value) {
  char text[16];
  snprintf(text, sizeof text, "%lu", (unsigned long)value);
  attribute(xml, "", name, text);
}

void stwi_xml_text(struct stwi_xml *xml, const char *text, size_t size) {
  if (size == 0)
    return;
  close_tag(xml);
  put_escaped(xml, text, size, false);
}

void stwi_xml_end(struct stwi_xml *xml) {
  if (xml->why != NULL)
    return;
  assert(xml->depth > 0);
  const char *name = xml->open[--xml->depth].name;
  if (xml->is_tag) {
    put_text(xml, "/>");
    xml->is_tag = false;
    return;
  }
  put_text(xml, "</");
  put_text(xml, name);
  put_text(xml, ">");
}

void stwi_xml_leaf(struct stwi_xml *xml, const char *name, const char *ns, const char *text,
                   size_t size) {
  stwi_xml_start(xml, name, ns);
  stwi_xml_text(xml, text, size);
  stwi_xml_end(xml);
}

bool stwi_xml_is_good(const struct stwi_xml *xml) {
  return xml->why == NULL && xml->depth == 0;
}

/* ---- trees ---- */

/* xml: is known everywhere, any other namespace gets a prefix in the tag itself. */
static void copy_attribute(struct stwi_xml *xml, const struct stwi_attribute *from) {
  char prefix[8];
  if (from->ns == NULL) {
    attribute(xml, "", from->name, from->value);
  } else if (strcmp(from->ns, STWI_NS_XML) == 0) {
    attribute(xml, "xml:", from->name, from->value);
  } else if (xml->prefixes == UINT8_MAX) {
    fail(xml, "an element has too many attributes with namespaces");
  } else {
    snprintf(prefix, sizeof prefix, "n%u", xml->prefixes++);
    attribute(xml, "xmlns:", prefix, from->ns);
    snprintf(prefix + strlen(prefix), 2, ":");
    attribute(xml, prefix, from->name, from->value);
  }
}

static void copy_start(struct stwi_xml *xml, const struct stwi_element *element) {
  stwi_xml_start(xml, element->name, element->ns);
  for (const struct stwi_attribute *at = element->attributes; at != NULL; at = at->next)
    copy_attribute(xml, at);
}

/* Depth first; the way back up is `path`, as long as the writer is good no longer than its own
 * stack. */
void stwi_xml_element(struct stwi_xml *xml, const struct stwi_element *element) {
  const struct stwi_element *path[STWI_ELEMENT_DEPTH_MAX];
  unsigned depth = 0;
  const struct stwi_element *at = element;
  while (at != NULL && xml->why == NULL) {
    if (at->name == NULL) {
      stwi_xml_text(xml, at->text, at->text_size);
    } else {
      copy_start(xml, at);
      if (xml->why != NULL)
        return;
      path[depth++] = at;
      if (at->first != NULL) {
        at = at->first;
        continue;
      }
      stwi_xml_end(xml);
      depth--;
    }
    while (depth > 0 && at->next == NULL) {
      at = path[--depth];
      stwi_xml_end(xml);
    }
    at = depth > 0 ? at->next : NULL;
  }
}
